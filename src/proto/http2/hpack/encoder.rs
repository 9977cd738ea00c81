//! From fields to a field block (RFC 7541, section 6).

use super::name::{Name, Pseudo};
use super::table::{NewName, Table};
use super::{huffman, integer, static_table};
use crate::proto::http::{Known, is_secret};

/// Bytes of the dynamic table that we fill, if the peer takes as many.
pub const ENCODER_TABLE_MAX: usize = 4096;
/// Fields of more bytes are not put into the table: they would drive too many others out of it.
const INDEXED_MAX: usize = 1024;
/// Strings of fewer bytes are sent as they are: what the code would save is not worth its time, at
/// both ends. The first is for strings that are sent once and kept, the second for those that are
/// written out each time.
const HUFFMAN_MIN: usize = 8;
const HUFFMAN_MIN_EACH: usize = 64;

/// Whether the peer keeps a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It may be sent again: it goes into the table.
    Table,
    /// It will hardly be sent again.
    No,
    /// Never indexed, by any hop (RFC 7541, section 7.1.3).
    Never,
}

impl Keep {
    /// What is right for a field of a name that is in lower case.
    #[must_use]
    pub fn of(name: Name, text: &[u8]) -> Self {
        let known = match name {
            Name::Pseudo(Pseudo::Path) => return Self::No,
            Name::Pseudo(_) => return Self::Table,
            Name::Field(known) => known,
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "these are the exceptions")]
        match known {
            Known::Authorization | Known::ProxyAuthorization => Self::Never,
            // What clients send is not kept beside what others send.
            Known::Cookie | Known::Forwarded | Known::Referer | Known::XForwardedFor => Self::No,
            Known::ContentLength
            | Known::ContentRange
            | Known::Date
            | Known::Etag
            | Known::IfMatch
            | Known::IfModifiedSince
            | Known::IfNoneMatch
            | Known::IfRange
            | Known::IfUnmodifiedSince
            | Known::LastModified
            | Known::Location
            | Known::Range => Self::No,
            Known::Other if text == b"set-cookie" => Self::Never,
            Known::Other if is_secret(text) => Self::Never,
            Known::Other if matches!(text, b"age" | b"expires" | b"x-request-id") => Self::No,
            _ => Self::Table,
        }
    }
}

/// Encodes the blocks of a connection, in their order.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// The smallest size and the last one that the peer has not been told of.
    resized: Option<(usize, usize)>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { table: Table::new(ENCODER_TABLE_MAX), resized: None }
    }
}

impl Encoder {
    /// Bytes of memory that are held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// The peer takes a table of at most so many bytes.
    pub fn set_max(&mut self, bytes: usize) {
        let max = bytes.min(ENCODER_TABLE_MAX);
        if max == self.table.max() && self.resized.is_none() {
            return;
        }
        let least = self.resized.map_or(max, |(least, _)| least.min(max));
        self.table.resize(max);
        self.resized = Some((least, max));
    }

    /// A block begins.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((least, last)) = self.resized.take() else { return };
        if least < last {
            integer::write(least, 5, 0x20, out);
        }
        integer::write(last, 5, 0x20, out);
    }

    /// Adds a field. The name is in lower case.
    pub fn field(&mut self, name: (Name, &[u8]), value: &[u8], keep: Keep, out: &mut Vec<u8>) {
        let (kind, text) = name;
        if keep == Keep::Never {
            let index = static_table::find_name(kind, text);
            return literal(index, (4, 0x10), (text, value), HUFFMAN_MIN_EACH, out);
        }
        if let Some(index) = static_table::find(kind, value) {
            return integer::write(index, 7, 0x80, out);
        }
        let by_name = static_table::find_name(kind, text);
        let fits = text.len() + value.len() <= INDEXED_MAX && self.table.fits(text, value);
        if keep == Keep::No || !fits {
            return literal(by_name, (4, 0), (text, value), HUFFMAN_MIN_EACH, out);
        }
        let (found, row) = self.table.find(name, value);
        if let Some(index) = found {
            return integer::write(static_table::LEN + index, 7, 0x80, out);
        }
        let index = by_name.or_else(|| row.map(|row| static_table::LEN + row));
        literal(index, (6, 0x40), (text, value), HUFFMAN_MIN, out);
        self.table.insert(NewName::Text(text), value, (kind, None));
    }
}

/// Adds a field that no table changes for, as one that is always written so.
pub fn plain_field((kind, text): (Name, &[u8]), value: &[u8], out: &mut Vec<u8>) {
    match static_table::find(kind, value) {
        Some(index) => integer::write(index, 7, 0x80, out),
        None => {
            let index = static_table::find_name(kind, text);
            literal(index, (4, 0), (text, value), HUFFMAN_MIN_EACH, out);
        }
    }
}

/// Writes a field whose value is written out, and its name if it has no index: by the code where
/// they have at least `coded_from` bytes.
fn literal(
    index: Option<usize>,
    (prefix, high): (u8, u8),
    (name, value): (&[u8], &[u8]),
    coded_from: usize,
    out: &mut Vec<u8>,
) {
    integer::write(index.unwrap_or(0), prefix, high, out);
    if index.is_none() {
        string(name, coded_from, out);
    }
    string(value, coded_from, out);
}

fn string(text: &[u8], coded_from: usize, out: &mut Vec<u8>) {
    if text.len() >= coded_from {
        let len = huffman::encoded_len(text);
        if len < text.len() {
            integer::write(len, 7, 0x80, out);
            return huffman::encode(text, out);
        }
    }
    integer::write(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}
