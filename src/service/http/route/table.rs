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
    key: Key,
    /// Where the text is, if the key does not say all of it.
    start: u32,
}

/// What is compared first: all of a short text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    owner: u32,
    len: u32,
    /// The first bytes and the last ones, which meet in a text of up to [`SHORT`] bytes.
    first: u64,
    last: u64,
}

/// Bytes of a text that a key has whole.
const SHORT: usize = 16;

impl Key {
    fn new(owner: u32, text: &[u8]) -> Self {
        let eight = |bytes: Option<&[u8; 8]>| bytes.map(|bytes| u64::from_le_bytes(*bytes));
        let four = |bytes: Option<&[u8; 4]>| bytes.map(|bytes| u32::from_le_bytes(*bytes).into());
        let (first, last) = if let Some(first) = eight(text.first_chunk()) {
            (first, eight(text.last_chunk()).unwrap_or_default())
        } else if let Some(first) = four(text.first_chunk()) {
            (first, four(text.last_chunk()).unwrap_or_default())
        } else {
            let byte = |at: usize| text.get(at).copied().unwrap_or_default();
            (u64::from_le_bytes([byte(0), byte(1), byte(2), 0, 0, 0, 0, 0]), 0)
        };
        Self { owner, len: size(text.len()), first, last }
    }

    /// The hash of the text that this key is of.
    fn hash(self, text: &[u8]) -> u64 {
        const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        let start = u64::from(self.owner) << 32 | u64::from(self.len);
        let one = (start ^ self.first.rotate_left(20)).wrapping_mul(FACTORS[0]);
        let mut state = one ^ (one >> 32) ^ self.last.wrapping_mul(FACTORS[1]);
        if text.len() > SHORT {
            for word in text.as_chunks().0 {
                state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(FACTORS[0]);
                state ^= state >> 32;
            }
        }
        let last = (state ^ (state >> 29)).wrapping_mul(FACTORS[1]);
        last ^ (last >> 32)
    }
}

/// No text is longer than a configuration.
fn size(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

impl Table {
    /// The entry of this owner and text, which is added if there is none.
    pub(super) fn add(&mut self, owner: u32, text: &[u8]) -> u32 {
        if let Some(number) = self.find(owner, text) {
            return number;
        }
        let number = u32::try_from(self.entries.len()).expect("a configuration is below 4 GiB");
        self.entries.push(Entry { key: Key::new(owner, text), start: size(self.text.len()) });
        if text.len() > SHORT {
            self.text.extend_from_slice(text);
        }
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
        let hash = entry.key.hash(self.text_of(entry));
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
        let key = Key::new(owner, text);
        let hash = key.hash(text);
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
                if entry.key == key && (text.len() <= SHORT || self.text_of(entry) == text) {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Bytes of the longest text.
    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    /// The text of an entry, if it is a long one.
    fn text_of(&self, entry: &Entry) -> &[u8] {
        let (start, len) = (entry.start as usize, entry.key.len as usize);
        let len = if len > SHORT { len } else { 0 };
        self.text.get(start..start + len).unwrap_or_default()
    }
}

/// The half of a slot that is of the hash.
const TAG: u64 = !0 << 32;

/// The slot of a hash: its lower half, as the upper one is compared.
fn place(hash: u64, mask: usize) -> usize {
    usize::try_from(hash & !TAG).unwrap_or_default() & mask
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

    #[test]
    fn texts_of_each_length_differ_by_each_of_their_bytes() {
        let mut table = Table::default();
        let mut texts = Vec::new();
        for len in 0..40 {
            texts.push(vec![0; len]);
            for at in 0..len {
                let mut text = vec![0; len];
                text[at] = 1;
                texts.push(text);
            }
        }
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(table.find(3, text), None, "{text:?}");
            assert_eq!(table.add(3, text), number);
        }
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(table.find(3, text), Some(number), "{text:?}");
        }
    }
}
