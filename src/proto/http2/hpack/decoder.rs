//! From a field block to its fields (RFC 7541, sections 3 and 6).

use super::name::{Flaw, Name};
use super::table::{NewName, Table};
use super::{HpackError, huffman, integer, static_table};

/// Bytes of the dynamic table that peers may fill: what they may do unless they are told else.
pub const TABLE_MAX: usize = 4096;
/// Changes of the table's size at the beginning of a block (RFC 7541, section 4.2).
const RESIZES_MAX: u8 = 2;

/// A field as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodedField<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Which field it is.
    pub kind: Name,
    /// What is wrong with it by itself.
    pub flaw: Option<Flaw>,
    /// Intermediaries must not index it (RFC 7541, section 7.1.3).
    pub never_indexed: bool,
}

/// How a field is written.
#[derive(Clone, Copy)]
enum Literal {
    Indexed,
    Plain,
    NeverIndexed,
}

/// How far a block was read.
#[derive(Debug, Default)]
pub struct BlockCursor {
    at: usize,
    resizes: u8,
    has_field: bool,
}

/// Decodes the blocks of a connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The name of a field that was too large for the table, and emptied it.
    displaced: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: Table::new(TABLE_MAX), displaced: Vec::new() }
    }
}

impl Decoder {
    /// How often the table has changed.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.table.changes()
    }

    /// Bytes of memory that are held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.table.capacity() + self.displaced.capacity()
    }

    /// The next field of a block; `None` at its end. `text` is memory for what is encoded.
    ///
    /// # Errors
    /// The block cannot be decoded; no later one can be, either.
    pub fn next<'a>(
        &'a mut self,
        block: &'a [u8],
        cursor: &mut BlockCursor,
        text: &'a mut Vec<u8>,
    ) -> Result<Option<DecodedField<'a>>, HpackError> {
        loop {
            let mut rest = block.get(cursor.at..).unwrap_or_default();
            let Some(first) = rest.first().copied() else { return Ok(None) };
            if first & 0xe0 == 0x20 {
                self.resize(&mut rest, cursor)?;
                cursor.at = block.len() - rest.len();
                continue;
            }
            cursor.has_field = true;
            if first & 0x80 != 0 {
                let index = integer::read(&mut rest, 7)?;
                cursor.at = block.len() - rest.len();
                return self.indexed(index).map(Some);
            }
            let (prefix, literal) = match first {
                0x40.. => (6, Literal::Indexed),
                0x10..0x40 => (4, Literal::NeverIndexed),
                0..0x10 => (4, Literal::Plain),
            };
            let index = integer::read(&mut rest, prefix)?;
            text.clear();
            let field = self.literal(&mut rest, index, literal, text)?;
            cursor.at = block.len() - rest.len();
            return Ok(Some(field));
        }
    }

    fn resize(&mut self, rest: &mut &[u8], cursor: &mut BlockCursor) -> Result<(), HpackError> {
        let size = integer::read(rest, 5)?;
        cursor.resizes += 1;
        if cursor.has_field || cursor.resizes > RESIZES_MAX {
            return Err(HpackError::ResizeMisplaced);
        }
        if size > TABLE_MAX {
            return Err(HpackError::ResizeTooLarge);
        }
        self.table.resize(size);
        Ok(())
    }

    /// A field that a table has whole.
    fn indexed(&self, index: usize) -> Result<DecodedField<'_>, HpackError> {
        if let Some(entry) = static_table::get(index) {
            return Ok(DecodedField {
                name: entry.name.as_bytes(),
                value: entry.value.as_bytes(),
                kind: entry.kind,
                flaw: None,
                never_indexed: false,
            });
        }
        let dynamic = index.checked_sub(static_table::LEN).ok_or(HpackError::IndexUnknown)?;
        let row = self.table.get(dynamic).ok_or(HpackError::IndexUnknown)?;
        Ok(DecodedField {
            name: row.name,
            value: row.value,
            kind: row.kind,
            flaw: row.flaw,
            never_indexed: false,
        })
    }

    /// A field whose value is there, and perhaps its name.
    fn literal<'a>(
        &'a mut self,
        rest: &mut &'a [u8],
        index: usize,
        literal: Literal,
        text: &'a mut Vec<u8>,
    ) -> Result<DecodedField<'a>, HpackError> {
        let own_name = if index == 0 { Some(string(rest, text)?) } else { None };
        let name_end = text.len();
        let own_value = string(rest, text)?;
        let (own_name_text, value_text) = text.split_at(name_end);
        let value = own_value.unwrap_or(value_text);
        let never_indexed = matches!(literal, Literal::NeverIndexed);
        if let Some(own_name) = own_name {
            let name = own_name.unwrap_or(own_name_text);
            let kind = Name::of(name);
            let flaw = Flaw::of(name, value);
            if matches!(literal, Literal::Indexed) {
                self.table.insert(NewName::Text(name), value, (kind, flaw));
            }
            return Ok(DecodedField { name, value, kind, flaw, never_indexed });
        }
        if let Some(entry) = static_table::get(index) {
            let (name, kind) = (entry.name.as_bytes(), entry.kind);
            let flaw = Flaw::of_value(value);
            if matches!(literal, Literal::Indexed) {
                self.table.insert(NewName::Text(name), value, (kind, flaw));
            }
            return Ok(DecodedField { name, value, kind, flaw, never_indexed });
        }
        self.named_by_row(index - static_table::LEN, value, literal)
    }

    /// A field with the name of one of the table.
    fn named_by_row<'a>(
        &'a mut self,
        index: usize,
        value: &'a [u8],
        literal: Literal,
    ) -> Result<DecodedField<'a>, HpackError> {
        let row = self.table.get(index).ok_or(HpackError::IndexUnknown)?;
        let kind = row.kind;
        let name_flaw = row.flaw.filter(|flaw| *flaw == Flaw::Name);
        let flaw = name_flaw.or_else(|| Flaw::of_value(value));
        let never_indexed = matches!(literal, Literal::NeverIndexed);
        let mut index = index;
        if matches!(literal, Literal::Indexed) {
            if !self.table.fits(row.name, value) {
                // The table is empty then, and the name is gone with all others.
                self.displaced = row.name.to_vec();
                self.table.clear();
                return Ok(DecodedField {
                    name: &self.displaced,
                    value,
                    kind,
                    flaw,
                    never_indexed,
                });
            }
            self.table.insert(NewName::Row(index), value, (kind, flaw));
            index = 1;
        }
        let row = self.table.get(index).ok_or(HpackError::IndexUnknown)?;
        Ok(DecodedField { name: row.name, value, kind, flaw, never_indexed })
    }
}

/// Reads a string: where it lies in the input, or `None` if it was decoded to the end of `text`.
fn string<'a>(rest: &mut &'a [u8], text: &mut Vec<u8>) -> Result<Option<&'a [u8]>, HpackError> {
    let is_huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer::read(rest, 7)?;
    let (string, tail) = rest.split_at_checked(len).ok_or(HpackError::Truncated)?;
    *rest = tail;
    if is_huffman {
        huffman::decode(string, text)?;
        return Ok(None);
    }
    Ok(Some(string))
}
