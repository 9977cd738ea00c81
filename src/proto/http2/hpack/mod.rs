//! Header compression (RFC 7541): blocks of fields, and the tables that both ends have. Pure.
//!
//! What fields mean is decided elsewhere. A field that was checked once, when it came into the
//! table, is not checked again.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod name;
mod static_table;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::{BlockCursor, DecodedField, Decoder, TABLE_MAX};
pub use encoder::{ENCODER_TABLE_MAX, Encoder, Keep, plain_field};
pub use name::{Flaw, Name, Pseudo};

/// Why a block cannot be decoded. The tables of both ends differ from then on, so the connection
/// is of no further use (RFC 9113, section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HpackError {
    /// It ends within a field (RFC 7541, section 6).
    Truncated,
    /// An integer is larger than any that may stand there (RFC 7541, section 5.1).
    IntegerTooLarge,
    /// A string has the end of the Huffman code within it (RFC 7541, section 5.2).
    HuffmanEnd,
    /// A string in the Huffman code is not filled with up to seven ones (RFC 7541, section 5.2).
    HuffmanPadding,
    /// No table has a field of that index (RFC 7541, section 2.3.3).
    IndexUnknown,
    /// The table changes its size behind a field, or more than twice (RFC 7541, section 4.2).
    ResizeMisplaced,
    /// The table would be larger than what is allowed (RFC 7541, section 6.3).
    ResizeTooLarge,
}
