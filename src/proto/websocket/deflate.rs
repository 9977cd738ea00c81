//! permessage-deflate (RFC 7692, section 7.2): messages to and from DEFLATE (RFC 1951).
//!
//! Without context takeover a message is compressed on its own: one [`Codec`] serves all
//! connections of a worker. With it, a connection keeps a [`Context`], which is given the worker's
//! codec for what both have no need to keep.
//!
//! The encoder is written for small messages. That of zlib clears a hash table of 128 KiB for each,
//! which takes as long as to compress a few hundred bytes; this one has nothing to clear, and no
//! window that messages are copied into. `docs/architecture.md` has the figures.

mod encode;
mod huffman;
mod inflate;
#[cfg(test)]
mod tests;

pub use self::inflate::{InflateError, Inflater};

use self::encode::{Table, encode};
use self::huffman::{Bits, Block};
use super::extension::{Parameters, WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// Base-2 logarithm of the positions that a codec remembers: 64 KiB of them.
const TABLE_BITS: u32 = 14;
/// Bytes that a context takes in at once, if its window is smaller.
const PIECE_MIN: usize = 4096;

/// How hard the encoder looks for matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// The codes that DEFLATE knows beforehand: the least time, and about a fourth more bytes than
    /// `Fast` for text.
    Fastest,
    /// The first match is taken.
    Fast,
    /// A few matches are compared, and a longer one a byte later is preferred: about the size of
    /// zlib's level 6.
    #[default]
    Default,
    /// More matches are compared.
    Best,
}

/// How one direction of a connection is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The window lives on from one message to the next.
    pub context_takeover: bool,
    /// Base-2 logarithm of the window: 8 to 15.
    pub window_bits: u8,
}

impl Parameters {
    /// What the server sends.
    #[must_use]
    pub const fn server(&self) -> Direction {
        Direction {
            context_takeover: !self.server_no_context_takeover,
            window_bits: self.server_max_window_bits,
        }
    }

    /// What the client sends.
    #[must_use]
    pub const fn client(&self) -> Direction {
        Direction {
            context_takeover: !self.client_no_context_takeover,
            window_bits: self.client_max_window_bits,
        }
    }
}

/// Compresses and decompresses messages one after the other, of any connections. Nothing of one
/// message is seen in another.
#[derive(Debug)]
pub struct Codec {
    table: Table,
    block: Block,
    inflater: Inflater,
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec {
    /// A codec. It takes about 250 KiB once it has compressed a large message.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Table::new(TABLE_BITS), block: Block::new(), inflater: Inflater::new() }
    }

    /// Appends the compressed message to `out`. `window_bits` (8 to 15) is what the direction may
    /// use at most.
    ///
    /// What cannot be compressed becomes longer, by 5 bytes for each 32 KiB and one more. Such a
    /// message is better sent as it is, which is allowed for any message (section 6.1).
    pub fn deflate(&mut self, message: &[u8], window_bits: u8, level: Level, out: &mut Vec<u8>) {
        let mut bits = Bits::default();
        let how = (window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX), level);
        encode(&mut self.table, (message, 0), how, &mut self.block, (&mut bits, out));
        bits.end(out);
        self.table.advance(message.len());
    }

    /// Appends to `out` what the parts of a compressed message stand for: at most `max` bytes.
    ///
    /// # Errors
    /// What is wrong with the message. `out` has what came before that.
    pub fn inflate<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        self.inflater.inflate(parts, max, out)
    }
}

/// What a connection keeps from one message to the next, of the directions that have context
/// takeover. The others go through the codec.
#[derive(Debug)]
pub struct Context {
    own: Direction,
    window: Option<Window>,
    inflater: Option<Inflater>,
}

impl Context {
    /// A context for what this end sends (`own`) and receives (`peer`); `None` if neither has
    /// context takeover.
    #[must_use]
    pub fn new(own: Direction, peer: Direction) -> Option<Self> {
        (own.context_takeover || peer.context_takeover).then(|| Self {
            own,
            window: own.context_takeover.then(|| Window::new(own.window_bits)),
            inflater: peer.context_takeover.then(Inflater::with_takeover),
        })
    }

    /// The most bytes that a context for these directions takes.
    #[must_use]
    pub const fn memory_cost(own: Direction, peer: Direction) -> usize {
        let mut cost = 0;
        if own.context_takeover {
            cost += Window::memory(own.window_bits);
        }
        if peer.context_takeover {
            cost += Inflater::MEMORY_MAX;
        }
        cost
    }

    /// Appends the compressed message to `out`. What was appended has to be sent: the peer takes it
    /// over into its window. A message which is sent as it is does not come here.
    pub fn deflate(&mut self, codec: &mut Codec, message: &[u8], level: Level, out: &mut Vec<u8>) {
        match &mut self.window {
            Some(window) => window.deflate(&mut codec.block, message, level, out),
            None => codec.deflate(message, self.own.window_bits, level, out),
        }
    }

    /// What decompresses the messages of this connection.
    pub const fn inflater<'a>(&'a mut self, codec: &'a mut Codec) -> &'a mut Inflater {
        match &mut self.inflater {
            Some(inflater) => inflater,
            None => &mut codec.inflater,
        }
    }

    /// As [`Codec::inflate`]. After an error nothing can be read from the connection.
    ///
    /// # Errors
    /// What is wrong with the message. `out` has what came before that.
    pub fn inflate<'a>(
        &mut self,
        codec: &mut Codec,
        parts: impl IntoIterator<Item = &'a [u8]>,
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        self.inflater(codec).inflate(parts, max, out)
    }
}

/// What was sent last, and where words are in it.
#[derive(Debug)]
struct Window {
    bits: u8,
    data: Vec<u8>,
    /// Made with the first message.
    table: Option<Table>,
}

impl Window {
    fn new(bits: u8) -> Self {
        let bits = bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        Self { bits, data: Vec::new(), table: None }
    }

    const fn table_bits(bits: u8) -> u32 {
        let bits = bits as u32;
        if bits < 10 { 8 } else { bits - 2 }
    }

    const fn piece(bits: u8) -> usize {
        let window = 1 << bits;
        if window < PIECE_MIN { PIECE_MIN } else { window }
    }

    const fn memory(bits: u8) -> usize {
        Table::memory(Self::table_bits(bits)) + (1 << bits) + Self::piece(bits)
    }

    fn deflate(&mut self, block: &mut Block, message: &[u8], level: Level, out: &mut Vec<u8>) {
        let (window, piece) = (1 << self.bits, Self::piece(self.bits));
        let table = self.table.get_or_insert_with(|| Table::new(Self::table_bits(self.bits)));
        let mut bits = Bits::default();
        for piece_of in message.chunks(piece) {
            if self.data.capacity() == 0 {
                self.data.reserve_exact(window + piece);
            }
            if self.data.len() + piece_of.len() > window + piece {
                let gone = self.data.len() - window;
                self.data.drain(..gone);
                table.advance(gone);
            }
            let from = self.data.len();
            self.data.extend_from_slice(piece_of);
            encode(table, (&self.data, from), (self.bits, level), block, (&mut bits, out));
        }
        bits.end(out);
    }
}
