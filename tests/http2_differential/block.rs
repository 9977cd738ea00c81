//! Field blocks in all the ways that RFC 7541 allows, written without our encoder.

use std::collections::VecDeque;

use ringway::proto::http2::hpack::{Name, plain_field};
use ringway::ring::sim::Random;

/// Bytes of the dynamic table that both ends begin with.
const TABLE_MAX: usize = 4096;
/// Fields of the static table.
const STATIC_LEN: usize = 61;
/// Fields of the static table that are used: an index, its name and its value.
const STATIC: [(usize, &str, &str); 14] = [
    (1, ":authority", ""),
    (2, ":method", "GET"),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (6, ":scheme", "http"),
    (7, ":scheme", "https"),
    (8, ":status", "200"),
    (9, ":status", "204"),
    (16, "accept-encoding", "gzip, deflate"),
    (28, "content-length", ""),
    (31, "content-type", ""),
    (32, "cookie", ""),
    (54, "server", ""),
    (58, "user-agent", ""),
];

/// A name and a value.
pub(crate) type Field = (String, String);

/// Writes the blocks of one connection, and keeps the table that the other end must have.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    table: VecDeque<Field>,
    max: usize,
}

impl Default for BlockWriter {
    fn default() -> Self {
        Self { table: VecDeque::new(), max: TABLE_MAX }
    }
}

impl BlockWriter {
    /// A block of these fields, each in one of the ways that it can be written.
    pub(crate) fn write(&mut self, fields: &[Field], random: &mut Random) -> Vec<u8> {
        let mut out = Vec::new();
        if random.below(8) == 0 {
            let sizes = [0, 40, 100, 1000, TABLE_MAX];
            for _ in 0..=random.below(2) {
                self.max = sizes[random.below(sizes.len())];
                integer(self.max, 5, 0x20, &mut out);
                self.evict();
            }
        }
        for (name, value) in fields {
            self.field(name, value, random, &mut out);
        }
        out
    }

    fn field(&mut self, name: &str, value: &str, random: &mut Random, out: &mut Vec<u8>) {
        let whole = STATIC.iter().find(|(_, n, v)| (*n, *v) == (name, value));
        let whole = whole.filter(|_| !value.is_empty()).map(|(index, ..)| *index);
        let found = self.table.iter().position(|(n, v)| (&**n, &**v) == (name, value));
        let whole = whole.or_else(|| found.map(|at| STATIC_LEN + 1 + at));
        if let Some(index) = whole
            && random.below(4) > 0
        {
            return integer(index, 7, 0x80, out);
        }
        let by_name = STATIC.iter().find(|(_, n, _)| *n == name).map(|(index, ..)| *index);
        let found = self.table.iter().position(|(n, _)| n == name);
        let by_name = found.map(|at| STATIC_LEN + 1 + at).or(by_name);
        let by_name = by_name.filter(|_| random.below(4) > 0).unwrap_or(0);
        let (prefix, high, keeps) =
            [(6, 0x40, true), (6, 0x40, true), (4, 0, false), (4, 0x10, false)][random.below(4)];
        integer(by_name, prefix, high, out);
        if by_name == 0 {
            string(name, random, out);
        }
        string(value, random, out);
        if keeps {
            self.table.push_front((name.to_owned(), value.to_owned()));
            self.evict();
        }
    }

    fn evict(&mut self) {
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > self.max {
            self.table.pop_back();
        }
    }
}

/// Writes an integer (RFC 7541, section 5.1).
pub(crate) fn integer(value: usize, prefix: u32, high: u8, out: &mut Vec<u8>) {
    let most = (1 << prefix) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).expect("eight bits");
    if value < most {
        return out.push(high | low(value));
    }
    out.push(high | low(most));
    let mut left = value - most;
    while left >= 0x80 {
        out.push(0x80 | low(left & 0x7f));
        left >>= 7;
    }
    out.push(low(left));
}

/// Writes a string, in the Huffman code or not. Our own code is read by the others, whose tables
/// are not ours.
fn string(text: &str, random: &mut Random, out: &mut Vec<u8>) {
    if random.below(2) == 0 {
        let mut field = Vec::new();
        plain_field((Name::of(b"x"), b"x"), text.as_bytes(), &mut field);
        return out.extend_from_slice(field.get(3..).expect("behind the name"));
    }
    integer(text.len(), 7, 0, out);
    out.extend_from_slice(text.as_bytes());
}

/// A block of literals that no table changes for, whatever their bytes.
pub(crate) fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            integer(text.len(), 7, 0, &mut out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}
