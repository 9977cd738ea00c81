//! Compression of messages (RFC 7692): what a worker has for all sockets, and what one keeps.

use crate::mem::Scratch;
use crate::proto::websocket::deflate::{Codec, Context, InflateError, Level};
use crate::proto::websocket::extension::Parameters;
use crate::proto::websocket::{Kind, Utf8Check, Violation};
use crate::session::http::websocket::DeflateOptions;

/// Bytes of a message whose memory is kept for the next one.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What the sockets of a worker compress with, one after the other.
#[derive(Debug)]
pub(in crate::session::http) struct Compression {
    /// Made with the first message.
    codec: Option<Box<Codec>>,
    /// A message that was inflated.
    inflated: Scratch<Vec<u8>>,
    /// A message that was compressed.
    deflated: Scratch<Vec<u8>>,
    /// Bytes that windows of sockets may take, and do.
    takeover_max: u64,
    takeover: u64,
}

impl Compression {
    pub(in crate::session::http) fn new(takeover_max: u64) -> Self {
        Self {
            codec: None,
            inflated: Scratch::new(MESSAGE_BYTES_MAX),
            deflated: Scratch::new(MESSAGE_BYTES_MAX),
            takeover_max,
            takeover: 0,
        }
    }

    /// What all sockets share.
    fn codec(&mut self) -> &mut Codec {
        self.codec.get_or_insert_default()
    }

    /// Whether one more socket may keep its windows.
    pub(in crate::session::http) const fn has_takeover_room(&self, cost: u64) -> bool {
        self.takeover + cost <= self.takeover_max
    }

    /// Compresses a message for subscribers that share it.
    pub(in crate::session::http) fn deflate_shared(
        &mut self,
        message: &[u8],
        how: Shared,
        out: &mut Vec<u8>,
    ) {
        self.codec().deflate(message, how.window_bits, how.level, out);
    }

    /// Memory for a message that is compressed.
    pub(in crate::session::http) fn take_deflated(&mut self) -> Vec<u8> {
        self.deflated.take()
    }

    /// It is used again.
    pub(in crate::session::http) fn give_deflated(&mut self, bytes: Vec<u8>) {
        self.deflated.give(bytes);
    }

    /// Memory for a message that is inflated.
    pub(in crate::session::http) fn give_inflated(&mut self, bytes: Vec<u8>) {
        self.inflated.give(bytes);
    }
}

/// How a message is compressed that several subscribers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session::http) struct Shared {
    pub(in crate::session::http) window_bits: u8,
    pub(in crate::session::http) level: Level,
    /// Messages of fewer bytes are not compressed.
    pub(in crate::session::http) min: usize,
}

/// What was agreed on for one socket.
#[derive(Debug)]
pub(in crate::session::http) struct Deflate {
    parameters: Parameters,
    level: Level,
    min: usize,
    /// What it keeps from one message to the next.
    context: Option<Box<Context>>,
}

impl Deflate {
    /// The most bytes that a socket with these parameters keeps.
    pub(in crate::session::http) const fn cost(parameters: &Parameters) -> u64 {
        Context::memory_cost(parameters.server(), parameters.client()) as u64
    }

    /// What was agreed on holds from now on: its windows count.
    pub(in crate::session::http) fn new(
        parameters: Parameters,
        options: &DeflateOptions,
        compression: &mut Compression,
    ) -> Self {
        let context = Context::new(parameters.server(), parameters.client()).map(Box::new);
        if context.is_some() {
            compression.takeover += Self::cost(&parameters);
        }
        let level = match options.level {
            0 | 1 => Level::Fastest,
            2..=4 => Level::Fast,
            5..=7 => Level::Default,
            _ => Level::Best,
        };
        Self { parameters, level, min: options.min, context }
    }

    /// The socket is over: its windows do not count any more.
    pub(in crate::session::http) fn leave(&self, compression: &mut Compression) {
        if self.context.is_some() {
            compression.takeover -= Self::cost(&self.parameters);
        }
    }

    /// Whether the windows go on from message to message: what it gets is compressed for it alone.
    pub(in crate::session::http) const fn has_context(&self) -> bool {
        self.context.is_some()
    }

    /// How messages are compressed that it gets together with others.
    pub(in crate::session::http) const fn shared(&self) -> Shared {
        let window_bits = self.parameters.server_max_window_bits;
        Shared { window_bits, level: self.level, min: self.min }
    }

    /// Compresses a message; `None` where it is better sent as it is.
    pub(in crate::session::http) fn deflate(
        &mut self,
        message: &[u8],
        compression: &mut Compression,
    ) -> Option<Vec<u8>> {
        if message.len() < self.min {
            return None;
        }
        let mut out = compression.deflated.take();
        let (bits, level) = (self.parameters.server_max_window_bits, self.level);
        match &mut self.context {
            Some(context) => context.deflate(compression.codec(), message, level, &mut out),
            None => compression.codec().deflate(message, bits, level, &mut out),
        }
        // What its window has taken over has to be sent.
        if out.len() >= message.len() && self.context.is_none() {
            compression.deflated.give(out);
            return None;
        }
        Some(out)
    }

    /// What a compressed message stands for.
    pub(in crate::session::http) fn inflate(
        &mut self,
        (kind, message): (Kind, &[u8]),
        max: u64,
        compression: &mut Compression,
    ) -> Result<Vec<u8>, Violation> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut out = compression.inflated.take();
        let inflated = match &mut self.context {
            Some(context) => context.inflate(compression.codec(), [message], max, &mut out),
            None => compression.codec().inflate([message], max, &mut out),
        };
        let checked = match inflated {
            Ok(()) if kind == Kind::Text && !Utf8Check::is_text(&out) => Err(Violation::Utf8),
            Ok(()) => Ok(()),
            Err(InflateError::TooLong) => Err(Violation::MessageTooBig),
            Err(InflateError::Corrupt) => Err(Violation::Deflate),
        };
        match checked {
            Ok(()) => Ok(out),
            Err(violation) => {
                compression.inflated.give(out);
                Err(violation)
            }
        }
    }
}
