//! Numbers by an owner and a text: a hash table to which entries are only added.

/// An entry that there is not.
pub(super) const NONE: u32 = u32::MAX;

/// Finds the number of an entry by the number of its owner and a text. Entries are numbered from 0
/// in the order in which they came.
///
/// The hash has no secret: what is looked up may be hostile, but nothing of that is ever added.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The upper half of the hash with the number of the entry plus one; 0: free.
    slots: Vec<u64>,
    entries: Vec<Entry>,
    text: Vec<u8>,
    /// Bytes of the longest text.
    longest: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    owner: u32,
    start: u32,
    len: u32,
}

impl Table {
    /// The entry of this owner and text, which is added if there is none.
    pub(super) fn add(&mut self, owner: u32, text: &[u8]) -> u32 {
        if let Some(number) = self.find(owner, text) {
            return number;
        }
        let size = |size: usize| u32::try_from(size).expect("a configuration is below 4 GiB");
        let number = size(self.entries.len());
        self.entries.push(Entry { owner, start: size(self.text.len()), len: size(text.len()) });
        self.text.extend_from_slice(text);
        self.longest = self.longest.max(text.len());
        // At most half of the slots are taken, so that searches are short and come to an end.
        if self.slots.len() < 2 * self.entries.len() {
            let slots = (4 * self.entries.len()).next_power_of_two().max(8);
            self.slots = vec![0; slots];
            for number in 0..=number {
                self.enter(number);
            }
        } else {
            self.enter(number);
        }
        number
    }

    fn enter(&mut self, number: u32) {
        let Some(entry) = self.entries.get(number as usize) else { return };
        let hash = hash(entry.owner, self.text_of(entry));
        let mask = self.slots.len() - 1;
        let mut at = place(hash, mask);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = (hash & TAG) | (u64::from(number) + 1);
    }

    /// The entry of this owner and text.
    pub(super) fn find(&self, owner: u32, text: &[u8]) -> Option<u32> {
        if self.slots.is_empty() || text.len() > self.longest {
            return None;
        }
        let hash = hash(owner, text);
        let mask = self.slots.len() - 1;
        let mut at = place(hash, mask);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot & TAG == hash & TAG {
                let number = u32::try_from((slot & !TAG) - 1).ok()?;
                let entry = self.entries.get(number as usize)?;
                if entry.owner == owner && self.text_of(entry) == text {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn text_of(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        self.text.get(start..start + entry.len as usize).unwrap_or_default()
    }
}

/// The half of a slot that is of the hash.
const TAG: u64 = !0 << 32;

/// The slot of a hash: its lower half, as the upper one is compared.
fn place(hash: u64, mask: usize) -> usize {
    usize::try_from(hash & !TAG).unwrap_or_default() & mask
}

fn hash(owner: u32, text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let product = (state ^ word).wrapping_mul(FACTOR);
        product ^ (product >> 32)
    };
    let mut state = mix(u64::from(owner), text.len() as u64);
    let (words, rest) = text.as_chunks();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    mix(mix(state, u64::from_le_bytes(last)), FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_owner_and_text() {
        let mut table = Table::default();
        assert_eq!(table.find(0, b""), None);
        let texts = |n: u32| format!("service-{n}");
        for n in 0..1_000 {
            assert_eq!(table.add(n % 7, texts(n).as_bytes()), n);
        }
        assert_eq!(table.add(7, b""), 1_000);
        for n in 0..1_000 {
            assert_eq!(table.add(n % 7, texts(n).as_bytes()), n, "it is there");
            assert_eq!(table.find(n % 7 + 1, texts(n).as_bytes()), None);
            assert_eq!(table.find(n % 7, texts(n + 1_000).as_bytes()), None);
        }
        assert_eq!(table.find(7, b""), Some(1_000));
        assert_eq!(table.find(7, &[0; 9]), None);
        assert_eq!(table.find(7, &[0; 90]), None);
    }
}
