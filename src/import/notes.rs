//! Notes while they are collected: repeated ones become one that names all lines.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::Note;

/// Where something stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Rc<str>,
    pub(super) line: usize,
}

/// What is told of one kind: its place and all of its lines.
#[derive(Debug)]
struct Entry {
    file: Rc<str>,
    what: String,
    why: String,
    lines: BTreeSet<usize>,
}

/// The notes so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    entries: Vec<Entry>,
    /// The entry of a file, a directive and a reason.
    known: HashMap<(Rc<str>, String, String), usize>,
}

/// Lines that a note names behind its first.
const LINES_NAMED: usize = 8;

impl Notes {
    /// Notes something. The same note of another line joins the first.
    pub(super) fn add(&mut self, at: &Place, what: &str, why: impl Into<String>) {
        let why = why.into();
        let key = (Rc::clone(&at.file), what.to_owned(), why.clone());
        let next = self.entries.len();
        let index = *self.known.entry(key).or_insert(next);
        if index == next {
            let (file, what) = (Rc::clone(&at.file), what.to_owned());
            self.entries.push(Entry { file, what, why, lines: BTreeSet::new() });
        }
        if let Some(entry) = self.entries.get_mut(index) {
            entry.lines.insert(at.line);
        }
    }

    /// Notes something that is about who may do what.
    pub(super) fn security(&mut self, at: &Place, what: &str, why: impl AsRef<str>) {
        self.add(at, what, format!("{} {}", super::SECURITY, why.as_ref()));
    }

    /// The notes: what concerns security first, then by line.
    pub(super) fn finish(self) -> Vec<Note> {
        let mut files: HashMap<Rc<str>, usize> = HashMap::new();
        for entry in &self.entries {
            let next = files.len();
            files.entry(Rc::clone(&entry.file)).or_insert(next);
        }
        let mut notes: Vec<(usize, Note)> = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let rank = files.get(&entry.file).copied().unwrap_or_default();
            notes.push((rank, entry.finish()));
        }
        notes.sort_by_key(|(rank, note)| (!note.is_security(), *rank, note.line));
        notes.into_iter().map(|(_, note)| note).collect()
    }
}

impl Entry {
    fn finish(self) -> Note {
        let line = self.lines.first().copied().unwrap_or(1);
        let mut why = self.why;
        let further = self.lines.len().saturating_sub(1);
        if further > 0 {
            let named = self.lines.iter().skip(1).take(LINES_NAMED).map(ToString::to_string);
            let named = named.collect::<Vec<_>>().join(", ");
            let noun = if further == 1 { "line" } else { "lines" };
            why.push_str(&format!(" (also {noun} {named}"));
            if let Some(rest @ 1..) = further.checked_sub(LINES_NAMED) {
                why.push_str(&format!(" and {rest} more"));
            }
            why.push(')');
        }
        Note { file: self.file.to_string(), line, what: self.what, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notes_become_one_and_security_comes_first() {
        let place = |line| Place { file: "a.conf".into(), line };
        let mut notes = Notes::default();
        notes.add(&place(9), "geo", "is not there");
        notes.add(&place(3), "map", "is not there");
        notes.add(&place(5), "geo", "is not there");
        notes.add(&place(5), "geo", "is not there");
        notes.security(&place(7), "deny", "is lost");
        let shown: Vec<_> = notes.finish().iter().map(ToString::to_string).collect();
        let expected = [
            "a.conf:7: deny: SECURITY: is lost",
            "a.conf:3: map: is not there",
            "a.conf:5: geo: is not there (also line 9)",
        ];
        assert_eq!(shown, expected);
    }
}
