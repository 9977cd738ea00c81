//! The dynamic table (RFC 7541, section 2.3.2): what was sent lately, the newest first.

use std::collections::VecDeque;
use std::ops::Range;

use super::name::{Flaw, Name};

/// Bytes that each entry counts beside its text (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;

/// One field of the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where its text begins, counted from the first byte that the table ever had.
    start: u32,
    name_len: u16,
    value_len: u16,
    kind: Name,
    flaw: Option<Flaw>,
}

impl Entry {
    fn size(&self) -> usize {
        usize::from(self.name_len) + usize::from(self.value_len) + OVERHEAD
    }
}

/// A field as the table has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) kind: Name,
    pub(super) flaw: Option<Flaw>,
}

/// Where the name of a new field comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum NewName<'a> {
    Text(&'a [u8]),
    /// The field of this index, counted from 1, has it too. It may have to make room.
    Row(usize),
}

/// The table. It takes memory as it needs it, at most twice its size.
#[derive(Debug)]
pub(super) struct Table {
    /// The text of all entries, the oldest first, perhaps behind some of entries that are gone.
    text: Vec<u8>,
    /// Bytes that were removed at the beginning of the text.
    removed: u32,
    /// The oldest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// How often it has changed.
    changes: u64,
}

impl Table {
    /// An empty table of at most `max` bytes, as entries are counted.
    pub(super) const fn new(max: usize) -> Self {
        Self { text: Vec::new(), removed: 0, entries: VecDeque::new(), size: 0, max, changes: 0 }
    }

    /// How many fields there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How often it has changed.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Bytes that it may have.
    pub(super) const fn max(&self) -> usize {
        self.max
    }

    /// Bytes of memory that are held.
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// The field of an index, counted from 1.
    pub(super) fn get(&self, index: usize) -> Option<Row<'_>> {
        let entry = self.entries.get(self.entries.len().checked_sub(index)?)?;
        let text = self.text.get(self.range(entry))?;
        let (name, value) = text.split_at_checked(entry.name_len.into())?;
        Some(Row { name, value, kind: entry.kind, flaw: entry.flaw })
    }

    fn range(&self, entry: &Entry) -> Range<usize> {
        let start = entry.start.wrapping_sub(self.removed) as usize;
        start..start + usize::from(entry.name_len) + usize::from(entry.value_len)
    }

    /// The indexes, counted from 1, of a field with that name and value, and of one with that
    /// name.
    pub(super) fn find(
        &self,
        (kind, name): (Name, &[u8]),
        value: &[u8],
    ) -> (Option<usize>, Option<usize>) {
        let mut by_name = None;
        for (entry, index) in self.entries.iter().rev().zip(1..) {
            let is_alike = entry.kind == kind && usize::from(entry.name_len) == name.len();
            if !is_alike {
                continue;
            }
            let Some(row) = self.get(index) else { continue };
            if row.name != name {
                continue;
            }
            if row.value == value {
                return (Some(index), by_name.or(Some(index)));
            }
            by_name = by_name.or(Some(index));
        }
        (None, by_name)
    }

    /// Adds a field; older ones make room for it. One that is larger than the table leaves it
    /// empty (RFC 7541, section 4.4).
    pub(super) fn insert(
        &mut self,
        name: NewName<'_>,
        value: &[u8],
        (kind, flaw): (Name, Option<Flaw>),
    ) {
        self.changes += 1;
        let name_range = match name {
            NewName::Text(_) => 0..0,
            NewName::Row(index) => {
                let at = self.entries.len().checked_sub(index);
                let Some(entry) = at.and_then(|at| self.entries.get(at)) else { return };
                let whole = self.range(entry);
                whole.start..whole.start + usize::from(entry.name_len)
            }
        };
        let name_len = match name {
            NewName::Text(text) => text.len(),
            NewName::Row(_) => name_range.len(),
        };
        let size = name_len + value.len() + OVERHEAD;
        self.shrink_to(self.max.saturating_sub(size));
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name_len), u16::try_from(value.len()))
        else {
            return;
        };
        if size > self.max {
            return;
        }
        let start = self.removed.wrapping_add(u32::try_from(self.text.len()).unwrap_or(0));
        match name {
            NewName::Text(text) => self.text.extend_from_slice(text),
            // The text of entries that are gone is still there.
            NewName::Row(_) => self.text.extend_from_within(name_range),
        }
        self.text.extend_from_slice(value);
        self.entries.push_back(Entry { start, name_len, value_len, kind, flaw });
        self.size += size;
        self.compact();
    }

    /// Whether a field fits, if all others make room.
    pub(super) fn fits(&self, name: &[u8], value: &[u8]) -> bool {
        name.len() + value.len() + OVERHEAD <= self.max
    }

    /// Removes all fields.
    pub(super) fn clear(&mut self) {
        self.changes += 1;
        self.shrink_to(0);
        self.compact();
    }

    /// Changes how many bytes it may have.
    pub(super) fn resize(&mut self, max: usize) {
        self.changes += 1;
        self.max = max;
        self.shrink_to(max);
        self.compact();
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.size = 0;
        }
    }

    /// Removes the text of entries that are gone, once that is half of all.
    fn compact(&mut self) {
        let first = self.entries.front().map(|entry| self.range(entry).start);
        let gone = first.unwrap_or(self.text.len());
        if gone > 0 && gone * 2 >= self.text.len() {
            self.text.drain(..gone);
            self.removed = self.removed.wrapping_add(u32::try_from(gone).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::Known;

    const KIND: (Name, Option<Flaw>) = (Name::Field(Known::Other), None);

    fn all(table: &Table) -> Vec<String> {
        let text = |index| {
            let row = table.get(index).unwrap();
            format!("{}={}", row.name.escape_ascii(), row.value.escape_ascii())
        };
        (1..=table.len()).map(text).collect()
    }

    #[test]
    fn the_oldest_make_room_and_a_field_that_is_too_large_empties_all() {
        let mut table = Table::new(110);
        table.insert(NewName::Text(b"a"), b"1", KIND);
        table.insert(NewName::Text(b"b"), b"2", KIND);
        table.insert(NewName::Text(b"c"), b"3", KIND);
        assert_eq!(all(&table), ["c=3", "b=2", "a=1"]);
        // Its name is that of the one that makes room.
        table.insert(NewName::Row(3), b"4", KIND);
        assert_eq!(all(&table), ["a=4", "c=3", "b=2"]);
        assert!(table.get(0).is_none() && table.get(4).is_none());
        table.resize(70);
        assert_eq!(all(&table), ["a=4", "c=3"]);
        table.insert(NewName::Text(b"d"), &[b'x'; 64], KIND);
        assert_eq!(all(&table), [""; 0]);
        table.insert(NewName::Text(b"e"), b"", KIND);
        assert_eq!(all(&table), ["e="]);
        table.resize(0);
        assert_eq!((table.len(), table.max()), (0, 0));
    }

    #[test]
    fn memory_stays_within_twice_the_size_however_much_passes() {
        let mut table = Table::new(4096);
        for at in 0..20_000_u32 {
            let value = vec![b'v'; (at * 7 % 900) as usize];
            table.insert(NewName::Text(format!("n{at}").as_bytes()), &value, KIND);
            assert_eq!(table.get(1).unwrap().value, value);
            assert!(table.size <= 4096);
        }
        assert!(table.text.len() <= 2 * 4096 && table.capacity() <= 4 * 4096);
    }

    #[test]
    fn a_field_is_found_by_name_and_value_or_by_name() {
        let mut table = Table::new(4096);
        for (name, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
            table.insert(NewName::Text(name.as_bytes()), value.as_bytes(), KIND);
        }
        let find =
            |name: &str, value: &str| table.find((KIND.0, name.as_bytes()), value.as_bytes());
        assert_eq!(find("a", "1"), (Some(3), Some(1)));
        assert_eq!(find("a", "2"), (Some(1), Some(1)));
        assert_eq!(find("b", "9"), (None, Some(2)));
        assert_eq!(find("c", "1"), (None, None));
    }
}
