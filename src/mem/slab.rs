//! Slots that are reused, with keys that notice it.

/// Names one occupancy of one slot. A key of an earlier occupant finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The slot.
    pub index: u32,
    /// Which occupant of the slot, modulo 2^16.
    pub generation: u16,
}

impl Key {
    /// A key made of its parts.
    #[must_use]
    pub const fn new(index: u32, generation: u16) -> Self {
        Self { index, generation }
    }
}

/// Values in slots, at most a fixed number of them. Slots are reused last in, first out, so that
/// the ones in use stay in the cache.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    limit: u32,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u16,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// An empty slab that takes at most `limit` values. Memory is used as slots are.
    #[must_use]
    pub const fn with_limit(limit: u32) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), limit }
    }

    /// It takes at most `limit` values from now on. Those that there are stay.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores a value.
    ///
    /// # Errors
    /// The value comes back when the slab is full.
    pub fn insert(&mut self, value: T) -> Result<Key, T> {
        if self.len() >= self.limit as usize {
            return Err(value);
        }
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.value = Some(value);
            return Ok(Key::new(index, entry.generation));
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { generation: 0, value: Some(value) });
        Ok(Key::new(index, 0))
    }

    /// The value that `key` names, if it is still there.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    /// The value that `key` names, if it is still there, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the value out and frees its slot; its key and all older ones name nothing any more.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation || entry.value.is_none() {
            return None;
        }
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.index);
        // The last step: a large value is moved once, to where the caller wants it.
        entry.value.take()
    }

    /// Puts another value in the place of one, which keeps its key.
    pub fn replace(&mut self, key: Key, change: impl FnOnce(T) -> T) {
        let entry = self.entries.get_mut(key.index as usize);
        if let Some(entry) = entry.filter(|entry| entry.generation == key.generation) {
            entry.value = entry.value.take().map(change);
        }
    }

    /// All values, in the order of their slots.
    pub fn values(&self) -> impl Iterator<Item = &T> + '_ {
        self.entries.iter().filter_map(|entry| entry.value.as_ref())
    }

    /// All values, to be changed, in the order of their slots.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> + '_ {
        self.entries.iter_mut().filter_map(|entry| entry.value.as_mut())
    }

    /// The key of the first value whose slot is this one or one behind it.
    #[must_use]
    pub fn next_key(&self, from: u32) -> Option<Key> {
        let rest = self.entries.get(from as usize..)?;
        let (index, entry) = (from..).zip(rest).find(|(_, entry)| entry.value.is_some())?;
        Some(Key::new(index, entry.generation))
    }

    /// The keys of all values, in the order of their slots.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        (0u32..).zip(&self.entries).filter_map(|(index, entry)| {
            entry.value.as_ref().map(|_| Key::new(index, entry.generation))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_value_until_it_is_removed() {
        let mut slab = Slab::with_limit(2);
        let a = slab.insert("a").unwrap();
        let b = slab.insert("b").unwrap();
        assert_eq!(slab.insert("c"), Err("c"), "full");
        assert_eq!((slab.get(a), slab.get(b)), (Some(&"a"), Some(&"b")));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        let c = slab.insert("c").unwrap();
        assert_eq!(c.index, a.index, "the slot is reused");
        assert_eq!(slab.get(a), None, "an old key finds nothing");
        assert_eq!(slab.get_mut(c), Some(&mut "c"));
        assert_eq!(slab.len(), 2);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [c, b]);
        assert_eq!([0, 1, 2, 9].map(|from| slab.next_key(from)), [Some(c), Some(b), None, None]);
        slab.set_limit(1);
        slab.remove(b).unwrap();
        assert_eq!(slab.insert("d"), Err("d"), "as many as it takes now");
    }

    #[test]
    fn a_generation_wraps_around() {
        let mut slab = Slab::with_limit(1);
        let first = slab.insert(0).unwrap();
        slab.remove(first).unwrap();
        for n in 1..=u32::from(u16::MAX) {
            let key = slab.insert(n).unwrap();
            assert_ne!(key, first);
            slab.remove(key).unwrap();
        }
        assert_eq!(slab.insert(7), Ok(first));
        assert!(!slab.is_empty());
    }
}
