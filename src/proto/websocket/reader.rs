//! Frames as they come (RFC 6455, section 5).
//!
//! ```text
//!            head is whole             its bytes come
//!   Head ───────────────────> Data ─────────────────────> Head   parts of a message, as they come
//!        ───────────────────> Control ──────────────────> Head   ping, pong: once they are whole
//!                                     ──────────────────> Closed nothing is read behind a close
//! ```

use std::ops::Range;

use super::error::{CloseCode, Violation};
use super::frame::{CONTROL_MAX, FrameHead, HEAD_MAX, Opcode};
use super::mask;
use super::utf8::Utf8Check;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It reads frames that are masked, and masks none.
    Server,
    /// It masks its frames, and reads none that are.
    Client,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    /// The opcode of its first frame.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame's payload.
    pub frame: u64,
    /// Bytes of a message, inflated.
    pub message: u64,
    /// Whether messages may be compressed: `permessage-deflate` was agreed on.
    pub deflate: bool,
}

/// A part of a message: a frame's payload, or what has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it lies in the input. It is unmasked.
    pub payload: Range<usize>,
    /// Bytes of its frame's head that lie before it in the input; none where those came before.
    pub head: usize,
    /// What its message is.
    pub kind: Kind,
    /// Its message is compressed. The check for UTF-8 is then for who inflates it.
    pub compressed: bool,
    /// Its message begins with it.
    pub first: bool,
    /// Its message ends with it.
    pub last: bool,
    /// Bytes of its frame that have not come.
    pub left: u64,
}

/// The payload of a control frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Control {
    len: u8,
    bytes: [u8; CONTROL_MAX],
}

impl Control {
    const EMPTY: Self = Self { len: 0, bytes: [0; CONTROL_MAX] };

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Takes what is missing of `of` bytes from `input`; returns how many bytes it took.
    fn fill(&mut self, of: u8, input: &[u8]) -> usize {
        let count = usize::from(of - self.len).min(input.len());
        let at = usize::from(self.len);
        self.bytes[at..at + count].copy_from_slice(&input[..count]);
        // A control frame has at most 125 bytes.
        self.len += u8::try_from(count).unwrap_or(0);
        count
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({} bytes)", self.len)
    }
}

/// What has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A part of a message.
    Part(Part),
    /// It is to be answered by a pong of the same payload.
    Ping(Control),
    /// A ping is answered, or the peer says that it lives.
    Pong(Control),
    /// The peer closes, with this code ([`CloseCode::NO_STATUS`] without one). The payload has the
    /// code and the reason.
    Close(CloseCode, Control),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Data { left: u64, mask: Option<[u8; 4]>, fin: bool },
    Control { opcode: Opcode, len: u8, mask: Option<[u8; 4]> },
    Closed,
}

/// A message of which more has to come.
#[derive(Debug, Clone, Copy)]
struct Message {
    kind: Kind,
    compressed: bool,
    /// None of its bytes was given.
    is_new: bool,
    /// Bytes of its frames so far, with those that the present one announces.
    size: u64,
    utf8: Utf8Check,
}

/// Reads the frames of a peer.
///
/// Calling order: [`Reader::read`] with what has come, until it says that it has read it all; what
/// it has read is not shown to it again. An error is the end.
#[derive(Debug)]
pub struct Reader {
    role: Role,
    state: State,
    message: Option<Message>,
    /// The beginning of a head whose rest has not come.
    open: [u8; HEAD_MAX],
    open_len: u8,
    /// The beginning of a control frame's payload whose rest has not come.
    control: Option<Box<Control>>,
}

impl Reader {
    /// For this end of a connection.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            state: State::Head,
            message: None,
            open: [0; HEAD_MAX],
            open_len: 0,
            control: None,
        }
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub const fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// Whether the peer has closed: nothing is read any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Reads what lies at the start of `input`, whose payload is unmasked there. Returns how many
    /// bytes were read, and what they are; nothing when all was read and more has to come.
    ///
    /// # Errors
    /// The rule that the peer has broken.
    pub fn read(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Item>), Violation> {
        let mut at = 0;
        let mut head = 0;
        loop {
            match self.state {
                State::Closed => return Ok((input.len(), None)),
                State::Head => {
                    let Some((taken, found)) = self.read_head(&input[at..])? else {
                        return Ok((input.len(), None));
                    };
                    // A head that came in parts does not lie before its payload.
                    head = if taken == found.size() { taken } else { 0 };
                    at += taken;
                    self.begin_frame(found, limits)?;
                }
                State::Data { left, mask, fin } => {
                    if at == input.len() && left > 0 {
                        return Ok((at, None));
                    }
                    let count = usize::try_from(left).map_or(usize::MAX, |left| left);
                    let count = count.min(input.len() - at);
                    let payload = at..at + count;
                    let key = mask.map(|key| mask::apply(&mut input[payload.clone()], key));
                    let left = left - count as u64;
                    let part = self.end_part(&input[payload.clone()], left, fin)?;
                    self.state = match left {
                        0 => State::Head,
                        left => State::Data { left, mask: key, fin },
                    };
                    let end = payload.end;
                    return Ok((end, Some(Item::Part(Part { payload, head, left, ..part }))));
                }
                State::Control { opcode, len, mask } => {
                    let mut control = self.control.take().map_or(Control::EMPTY, |one| *one);
                    at += control.fill(len, &input[at..]);
                    if control.len < len {
                        self.control = Some(Box::new(control));
                        return Ok((at, None));
                    }
                    mask.map(|key| mask::apply(&mut control.bytes[..usize::from(len)], key));
                    self.state = State::Head;
                    return self.end_control(opcode, control).map(|item| (at, Some(item)));
                }
            }
        }
    }

    /// Reads a head that may have begun before. Returns how many bytes of `input` it has.
    fn read_head(&mut self, input: &[u8]) -> Result<Option<(usize, FrameHead)>, Violation> {
        if self.open_len == 0 {
            if let Some((head, size)) = FrameHead::read(input)? {
                return Ok(Some((size, head)));
            }
            // A head that is not whole is shorter than the longest one.
            self.open[..input.len()].copy_from_slice(input);
            self.open_len = u8::try_from(input.len()).unwrap_or(0);
            return Ok(None);
        }
        let before = usize::from(self.open_len);
        let count = input.len().min(HEAD_MAX - before);
        self.open[before..before + count].copy_from_slice(&input[..count]);
        let Some((head, size)) = FrameHead::read(&self.open[..before + count])? else {
            self.open_len = u8::try_from(before + count).unwrap_or(0);
            return Ok(None);
        };
        self.open_len = 0;
        Ok(Some((size - before, head)))
    }

    fn begin_frame(&mut self, head: FrameHead, limits: &Limits) -> Result<(), Violation> {
        let FrameHead { fin, compressed, opcode, mask, len } = head;
        match (self.role, mask) {
            (Role::Server, None) => return Err(Violation::Unmasked),
            (Role::Client, Some(_)) => return Err(Violation::Masked),
            (Role::Server, Some(_)) | (Role::Client, None) => {}
        }
        if compressed && !limits.deflate {
            return Err(Violation::ReservedBit);
        }
        if opcode.is_control() {
            if compressed {
                return Err(Violation::CompressedFragment);
            }
            // The head was refused otherwise.
            let len = u8::try_from(len).unwrap_or(0);
            self.state = State::Control { opcode, len, mask };
            return Ok(());
        }
        let kind = match opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => None,
        };
        let utf8 = Utf8Check::default();
        let mut message = match (kind, self.message) {
            (Some(_), Some(_)) => return Err(Violation::MessageWithin),
            (None, None) => return Err(Violation::NoMessage),
            (None, Some(_)) if compressed => return Err(Violation::CompressedFragment),
            (None, Some(message)) => message,
            (Some(kind), None) => Message { kind, compressed, is_new: true, size: 0, utf8 },
        };
        message.size = message.size.saturating_add(len);
        let most = |limit| if message.compressed { compressed_max(limit) } else { limit };
        if len > most(limits.frame) {
            return Err(Violation::FrameTooBig);
        }
        if message.size > most(limits.message) {
            return Err(Violation::MessageTooBig);
        }
        self.message = Some(message);
        self.state = State::Data { left: len, mask, fin };
        Ok(())
    }

    /// A part of a frame has come; `left` bytes of it have not.
    fn end_part(&mut self, payload: &[u8], left: u64, fin: bool) -> Result<Part, Violation> {
        let last = fin && left == 0;
        // A frame with data is within a message.
        let Some(message) = &mut self.message else { return Err(Violation::NoMessage) };
        if message.kind == Kind::Text && !message.compressed {
            let is_text = message.utf8.take(payload) && (!last || message.utf8.end());
            if !is_text {
                return Err(Violation::Utf8);
            }
        }
        let first = std::mem::take(&mut message.is_new);
        let Message { kind, compressed, .. } = *message;
        if last {
            self.message = None;
        }
        Ok(Part { payload: 0..0, head: 0, kind, compressed, first, last, left })
    }

    fn end_control(&mut self, opcode: Opcode, control: Control) -> Result<Item, Violation> {
        Ok(match opcode {
            Opcode::Ping => Item::Ping(control),
            Opcode::Pong => Item::Pong(control),
            Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let code = match control.bytes() {
                    [] => CloseCode::NO_STATUS,
                    [_] => return Err(Violation::CloseLength),
                    [high, low, reason @ ..] => {
                        let code = CloseCode(u16::from_be_bytes([*high, *low]));
                        if !code.is_valid() {
                            return Err(Violation::CloseCode);
                        }
                        if std::str::from_utf8(reason).is_err() {
                            return Err(Violation::CloseReason);
                        }
                        code
                    }
                };
                self.state = State::Closed;
                Item::Close(code, control)
            }
        })
    }
}

/// Bytes of what is compressed and has at most so many when it is inflated: stored blocks add a
/// little.
pub(super) const fn compressed_max(inflated: u64) -> u64 {
    inflated.saturating_add(inflated / 64).saturating_add(64)
}
