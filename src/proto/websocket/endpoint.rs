//! One end of a connection: what it reads, and who has closed it (RFC 6455, section 7).
//!
//! ```text
//!            close() is sent                  the peer's close comes
//!   Open ──────────────────────> Sent ───────────────────────────────> Done
//!     │  the peer's close comes: it is answered                          ^
//!     └──────────────────────────────────────────────────────────────────┘
//! ```

use super::error::{CloseCode, Violation};
use super::frame::Opcode;
use super::reader::{Item, Limits, Reader, Role};
use super::write;

/// How far the close handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Messages go both ways.
    Open,
    /// A close frame was sent, and that of the peer has not come.
    Sent,
    /// Both have closed: the connection ends, the server ends it first (RFC 6455, section 7.1.1).
    Done,
}

/// One end of a connection.
///
/// Calling order: [`Endpoint::read`] with what has come, as [`Reader::read`]; [`Endpoint::answer`]
/// with each control frame; [`Endpoint::close`] once. Data is sent while it is
/// [`Closing::Open`].
#[derive(Debug)]
pub struct Endpoint {
    reader: Reader,
    closing: Closing,
    /// The code that the connection was closed with first, whoever did it.
    code: Option<CloseCode>,
}

impl Endpoint {
    /// A connection whose handshake is done.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { reader: Reader::new(role), closing: Closing::Open, code: None }
    }

    /// How far the close handshake is.
    #[must_use]
    pub const fn closing(&self) -> Closing {
        self.closing
    }

    /// The code that the connection was closed with.
    #[must_use]
    pub const fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// Whether a message has begun to come and has not ended.
    #[must_use]
    pub const fn is_within_message(&self) -> bool {
        self.reader.is_within_message()
    }

    /// Reads what has come: see [`Reader::read`]. What comes behind a close frame is dropped.
    ///
    /// # Errors
    /// The rule that the peer has broken: [`Endpoint::close`] with its code follows.
    pub fn read(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Item>), Violation> {
        if self.closing == Closing::Done {
            return Ok((input.len(), None));
        }
        self.reader.read(input, limits)
    }

    /// Answers a control frame. `mask` is for a client: see [`write::frame`].
    pub fn answer(&mut self, item: &Item, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        match item {
            Item::Ping(payload) if self.closing == Closing::Open => {
                write::control(Opcode::Pong, payload.bytes(), mask, out);
            }
            Item::Close(code, payload) => {
                if self.closing == Closing::Open {
                    // The same code, without the reason (RFC 6455, section 5.5.1).
                    let code = payload.bytes().get(..2).unwrap_or_default();
                    write::control(Opcode::Close, code, mask, out);
                }
                self.code.get_or_insert(*code);
                self.closing = Closing::Done;
            }
            Item::Ping(_) | Item::Pong(_) | Item::Part(_) => {}
        }
    }

    /// Closes the connection; it does nothing when that was done.
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        if self.closing == Closing::Open {
            write::close(code, reason, mask, out);
            self.code.get_or_insert(code);
            self.closing = Closing::Sent;
        }
    }
}
