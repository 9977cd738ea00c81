//! permessage-deflate (RFC 7692) of one connection.

use crate::proto::websocket::Violation;
use crate::proto::websocket::deflate::{Codec, Context, InflateError, Level};
use crate::proto::websocket::extension::Parameters;

/// Shorter messages are sent as they are: little would be saved.
const LEN_MIN: usize = 64;

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Compression {
    window_bits: u8,
    codec: Box<Codec>,
    context: Option<Box<Context>>,
}

impl Compression {
    pub(super) fn new(parameters: Parameters) -> Self {
        let context = Context::new(parameters.client(), parameters.server()).map(Box::new);
        Self { window_bits: parameters.client_max_window_bits, codec: Box::default(), context }
    }

    /// Compresses a message; `None` where it is better sent as it is.
    pub(super) fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() < LEN_MIN {
            return None;
        }
        let mut out = Vec::new();
        match &mut self.context {
            Some(context) => context.deflate(&mut self.codec, message, Level::Default, &mut out),
            None => self.codec.deflate(message, self.window_bits, Level::Default, &mut out),
        }
        // What a window has taken over has to be sent.
        (out.len() < message.len() || self.context.is_some()).then_some(out)
    }

    /// What a compressed message stands for: at most `max` bytes.
    pub(super) fn inflate(&mut self, message: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        let inflated = match &mut self.context {
            Some(context) => context.inflate(&mut self.codec, [message], max, &mut out),
            None => self.codec.inflate([message], max, &mut out),
        };
        match inflated {
            Ok(()) => Ok(out),
            Err(InflateError::TooLong) => Err(Violation::MessageTooBig),
            Err(InflateError::Corrupt) => Err(Violation::Deflate),
        }
    }
}
