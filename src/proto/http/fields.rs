//! The fields of a head, or of trailers (RFC 9110, section 5).

use std::collections::HashSet;

use super::Known;
use crate::mem::Span;

/// Fields in their order, with the text that they lie in. Names are in lower case.
#[derive(Debug, Default)]
pub struct Fields {
    /// Each field as a line: name, `: `, value, end of line. So fields that follow each other are
    /// written as one piece.
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// The names that may be among them, so that most questions for one that is not cost no search.
    names: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    known: Known,
    never_indexed: bool,
    name: Span,
    value: Span,
}

impl Entry {
    /// Where the text of the next field begins, if it was added behind this one.
    const fn line_end(&self) -> usize {
        self.value.end() as usize + LINE_END.len()
    }
}

/// What stands between name and value.
const SEPARATOR: &[u8] = b": ";
/// What stands behind a value.
const LINE_END: &[u8] = b"\r\n";

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which one.
    pub known: Known,
    /// Its name, in lower case.
    pub name: &'a [u8],
    /// Its value, without white space around it.
    pub value: &'a [u8],
    /// Nobody on its way may put it into a table of header compression (RFC 7541, section 7.1.3).
    pub never_indexed: bool,
}

impl Clone for Fields {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), entries: self.entries.clone(), names: self.names }
    }

    /// Takes no new memory if there is enough.
    fn clone_from(&mut self, other: &Self) {
        self.text.clone_from(&other.text);
        self.entries.clone_from(&other.entries);
        self.names = other.names;
    }
}

impl Fields {
    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.names = 0;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the lines of all fields, those that were removed among them.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Bytes of memory that are held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Adds a field at the end. The name is put into lower case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_as(Known::of_any_case(name), name, value);
    }

    /// The same of a field that is known to be this one, or to be another than this program knows.
    pub fn push_as(&mut self, known: Known, name: &[u8], value: &[u8]) {
        debug_assert_eq!(known, Known::of_any_case(name), "what the name says");
        if known != Known::Other {
            return self.push_known(known, value);
        }
        self.text.reserve(name.len() + value.len() + SEPARATOR.len() + LINE_END.len());
        let name_at = self.text.len();
        self.text.extend_from_slice(name);
        self.text.get_mut(name_at..).unwrap_or_default().make_ascii_lowercase();
        self.enter(known, name_at, |text| text.extend_from_slice(value));
    }

    /// Adds a field at the end that this program knows.
    pub fn push_known(&mut self, known: Known, value: &[u8]) {
        let name = known.name().as_bytes();
        self.text.reserve(name.len() + value.len() + SEPARATOR.len() + LINE_END.len());
        let name_at = self.text.len();
        self.text.extend_from_slice(name);
        self.enter(known, name_at, |text| text.extend_from_slice(value));
    }

    /// Adds a field whose value `write` appends to what it is given.
    pub fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let name_at = self.text.len();
        self.text.extend_from_slice(name);
        let own = self.text.get_mut(name_at..).unwrap_or_default();
        own.make_ascii_lowercase();
        let known = Known::of(own);
        self.enter(known, name_at, write);
    }

    /// Which kind the last field is.
    #[must_use]
    pub fn last_known(&self) -> Known {
        self.entries.last().map_or(Known::Other, |entry| entry.known)
    }

    /// Nobody may put the last field into a table of header compression.
    pub fn mark_last_never_indexed(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.never_indexed = true;
        }
    }

    /// Bytes of memory that the fields need.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len() + self.entries.len() * size_of::<Entry>()
    }

    /// Removes the last field.
    pub fn pop(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.text.truncate(entry.name.start() as usize);
        }
    }

    /// Adds an element to a field that is a list, behind those of all its lines, which become one
    /// (RFC 9110, section 5.3).
    pub fn append_to_list(&mut self, known: Known, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.has(known) {
            let name_at = self.text.len();
            self.text.extend_from_slice(known.name().as_bytes());
            self.enter(known, name_at, write);
            return;
        }
        let mut value = Vec::new();
        for one in self.all(known) {
            value.extend_from_slice(one);
            value.extend_from_slice(b", ");
        }
        write(&mut value);
        self.remove_known(known);
        self.push_known(known, &value);
    }

    /// Removes the fields that `connection` fields name (RFC 9110, section 7.6.1). However many
    /// they name, each of them and each field is looked at once.
    pub fn remove_nominated(&mut self) {
        let options = self.all(Known::Connection).flat_map(|line| line.split(|byte| *byte == b','));
        let options = options.map(<[u8]>::trim_ascii).filter(|option| !option.is_empty());
        let nominated: HashSet<Vec<u8>> = options.map(<[u8]>::to_ascii_lowercase).collect();
        self.retain(|field| field.known.is_hop_by_hop() || !nominated.contains(field.name));
    }

    /// Adds a field whose name stands at the end of the text.
    fn enter(&mut self, known: Known, name_at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let name = Span::from_range(name_at..self.text.len()).unwrap_or_default();
        self.text.extend_from_slice(SEPARATOR);
        let value_at = self.text.len();
        write(&mut self.text);
        let value = Span::from_range(value_at..self.text.len()).unwrap_or_default();
        self.text.extend_from_slice(LINE_END);
        self.names |= known.bit();
        self.entries.push(Entry { known, never_indexed: false, name, value });
    }

    /// Writes all fields, one a line.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        let mut entries = self.entries.iter();
        let Some(first) = entries.next() else { return };
        let (mut from, mut to) = (first.name.start() as usize, first.line_end());
        let mut write = |from: usize, to: usize| {
            out.extend_from_slice(self.text.get(from..to).unwrap_or_default());
        };
        for entry in entries {
            let start = entry.name.start() as usize;
            if start != to {
                write(from, to);
                from = start;
            }
            to = entry.line_end();
        }
        write(from, to);
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + '_ {
        self.entries.iter().map(|entry| Field {
            known: entry.known,
            name: entry.name.of(&self.text).unwrap_or_default(),
            value: entry.value.of(&self.text).unwrap_or_default(),
            never_indexed: entry.never_indexed,
        })
    }

    /// The value of the first field of that kind.
    #[must_use]
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        if !self.may_have(known) {
            return None;
        }
        let entry = self.entries.iter().find(|entry| entry.known == known)?;
        entry.value.of(&self.text)
    }

    /// The values of all fields of that kind.
    pub fn all(&self, known: Known) -> impl DoubleEndedIterator<Item = &[u8]> + '_ {
        let entries = if self.may_have(known) { &*self.entries } else { &[] };
        let entries = entries.iter().filter(move |entry| entry.known == known);
        entries.filter_map(|entry| entry.value.of(&self.text))
    }

    /// The value of the first field of that name, which is in lower case.
    #[must_use]
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// The values of all fields of that name, which is in lower case.
    pub fn all_named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |field| field.name == name).map(|field| field.value)
    }

    /// Whether there may be a field of that kind; never wrong when it says no.
    const fn may_have(&self, known: Known) -> bool {
        self.names & known.bit() != 0
    }

    /// Whether there is a field of that kind.
    #[must_use]
    pub fn has(&self, known: Known) -> bool {
        self.may_have(known) && self.entries.iter().any(|entry| entry.known == known)
    }

    /// Removes all fields of that name, which is in lower case.
    pub fn remove(&mut self, name: &[u8]) {
        let Self { text, entries, .. } = self;
        entries.retain(|entry| entry.name.of(text) != Some(name));
    }

    /// Removes all fields of that kind.
    pub fn remove_known(&mut self, known: Known) {
        if self.may_have(known) {
            self.entries.retain(|entry| entry.known != known);
            self.names &= !known.bit();
        }
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let Self { text, entries, .. } = self;
        entries.retain(|entry| {
            keep(Field {
                known: entry.known,
                name: entry.name.of(text).unwrap_or_default(),
                value: entry.value.of(text).unwrap_or_default(),
                never_indexed: entry.never_indexed,
            })
        });
    }

    /// Puts a field in the place of all others of its name.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.push(name, value);
    }

    /// The members of a list-valued field over all its lines (RFC 9110, section 5.6.1), without
    /// white space around them; empty ones are left out.
    pub fn list(&self, known: Known) -> impl Iterator<Item = &[u8]> + '_ {
        let values = self.all(known).flat_map(|value| value.split(|byte| *byte == b','));
        values.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn fields_keep_their_order_and_names_lose_their_case() {
        let fields = fields(&[("Host", "a"), ("X-B", "1"), ("x-b", "2")]);
        let all: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(all, [(&b"host"[..], &b"a"[..]), (b"x-b", b"1"), (b"x-b", b"2")]);
        assert_eq!(fields.get(Known::Host), Some(&b"a"[..]));
        assert_eq!(fields.get_named(b"x-b"), Some(&b"1"[..]));
        assert_eq!((fields.len(), fields.is_empty()), (3, false));
        assert!(fields.capacity() >= fields.text_len());
    }

    #[test]
    fn a_field_is_removed_and_set_by_name() {
        let mut fields = fields(&[("a", "1"), ("b", "2"), ("a", "3")]);
        fields.set(b"a", b"4");
        let all: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(all, [(&b"b"[..], &b"2"[..]), (b"a", b"4")]);
        fields.push_with(b"Date", |out| out.extend_from_slice(b"now"));
        assert_eq!(fields.get(Known::Date), Some(&b"now"[..]));
        fields.remove_known(Known::Date);
        fields.retain(|field| field.name != b"b");
        assert_eq!(fields.len(), 1);
        fields.clear();
        assert!(fields.is_empty() && !fields.has(Known::Date));
    }

    #[test]
    fn lines_are_written_in_order_whatever_was_removed() {
        let mut fields = fields(&[("A", "1"), ("host", ""), ("b", "2"), ("c", "3"), ("b", "4")]);
        let lines = |fields: &Fields| {
            let mut out = Vec::new();
            fields.write_lines(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(lines(&fields), "a: 1\r\nhost: \r\nb: 2\r\nc: 3\r\nb: 4\r\n");
        fields.remove_known(Known::Host);
        assert_eq!(lines(&fields), "a: 1\r\nb: 2\r\nc: 3\r\nb: 4\r\n");
        fields.pop();
        fields.remove(b"a");
        fields.push_known(Known::Via, b"1.1 x");
        fields.push_with(b"X", |out| out.extend_from_slice(b"y"));
        assert_eq!(lines(&fields), "b: 2\r\nc: 3\r\nvia: 1.1 x\r\nx: y\r\n");
        assert_eq!((fields.get(Known::Via), fields.len()), (Some(&b"1.1 x"[..]), 4));
        fields.retain(|field| field.name == b"x");
        assert_eq!(lines(&fields), "x: y\r\n");
        fields.clear();
        assert_eq!(lines(&fields), "");
    }

    #[test]
    fn the_members_of_a_list_come_from_all_its_lines() {
        let fields = fields(&[("Connection", "close, , x-a"), ("connection", "\tkeep-alive ")]);
        let members: Vec<_> = fields.list(Known::Connection).collect();
        assert_eq!(members, [&b"close"[..], b"x-a", b"keep-alive"]);
    }
}
