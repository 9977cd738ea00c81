//! Heads of frames (RFC 6455, section 5.2).
//!
//! ```text
//!  F R R R  op     M  length   16 or 64 bits of length   mask, if M
//! +-+-+-+-+----+  +-+-------+ +----------------------+ +-----------+
//! |I|1|2|3|    |  | | 7 bits| | if length is 126, 127| |  4 bytes  |
//! ```

use super::error::Violation;

/// Bytes of the longest head.
pub const HEAD_MAX: usize = 14;
/// Bytes of the payload of a control frame, at most (RFC 6455, section 5.5).
pub const CONTROL_MAX: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV23: u8 = 0x30;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// It goes on with a message.
    Continuation = 0x0,
    /// It begins a message of text.
    Text = 0x1,
    /// It begins a message of bytes.
    Binary = 0x2,
    /// It closes the connection.
    Close = 0x8,
    /// It asks for a pong.
    Ping = 0x9,
    /// It answers a ping, or says that its sender lives.
    Pong = 0xa,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is about the connection, and not a part of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// It is the last of its message.
    pub fin: bool,
    /// Its message is compressed (RFC 7692, section 6).
    pub compressed: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub len: u64,
}

impl FrameHead {
    /// Reads a head, and tells how many bytes it has; `None` as long as it is not all there.
    ///
    /// # Errors
    /// It is no head, whatever follows.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & RSV23 != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(Violation::ReservedOpcode)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(Violation::FragmentedControl);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(Violation::LongControl);
        }
        let (len, at) = match short {
            126 => {
                let Some(long) = bytes.get(2..4) else { return Ok(None) };
                let len = u64::from(u16::from_be_bytes([long[0], long[1]]));
                if len < 126 {
                    return Err(Violation::Length);
                }
                (len, 4)
            }
            127 => {
                let long = bytes.get(2..10).and_then(|long| <[u8; 8]>::try_from(long).ok());
                let Some(long) = long else { return Ok(None) };
                let len = u64::from_be_bytes(long);
                if !(1 << 16..1 << 63).contains(&len) {
                    return Err(Violation::Length);
                }
                (len, 10)
            }
            short => (u64::from(short), 2),
        };
        let (mask, at) = if second & MASKED == 0 {
            (None, at)
        } else {
            let mask = bytes.get(at..at + 4).and_then(|mask| <[u8; 4]>::try_from(mask).ok());
            let Some(mask) = mask else { return Ok(None) };
            (Some(mask), at + 4)
        };
        Ok(Some((Self { fin, compressed: first & RSV1 != 0, opcode, mask, len }, at)))
    }

    /// Bytes that it takes on the wire.
    #[must_use]
    pub const fn size(&self) -> usize {
        let mask = if self.mask.is_some() { 4 } else { 0 };
        mask + match self.len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        }
    }

    /// Writes it; returns how many bytes it has.
    pub fn write(&self, out: &mut [u8; HEAD_MAX]) -> usize {
        let fin = if self.fin { FIN } else { 0 };
        out[0] = fin | if self.compressed { RSV1 } else { 0 } | self.opcode as u8;
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let mut at = match self.len {
            0..=125 => {
                // The arm says that it fits.
                out[1] = masked | self.len.to_be_bytes()[7];
                2
            }
            126..=0xffff => {
                out[1] = masked | 126;
                out[2..4].copy_from_slice(&self.len.to_be_bytes()[6..]);
                4
            }
            _ => {
                out[1] = masked | 127;
                out[2..10].copy_from_slice(&self.len.to_be_bytes());
                10
            }
        };
        if let Some(mask) = self.mask {
            out[at..at + 4].copy_from_slice(&mask);
            at += 4;
        }
        at
    }

    /// Appends it to what is written.
    pub fn append(&self, out: &mut Vec<u8>) {
        let mut head = [0; HEAD_MAX];
        let len = self.write(&mut head);
        out.extend_from_slice(&head[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_at_every_split_and_written_as_they_were() {
        for opcode in [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Pong] {
            for len in [0, 1, 125, 126, 127, 65_535, 65_536, (1 << 63) - 1] {
                if opcode.is_control() && len > 125 {
                    continue;
                }
                for mask in [None, Some([1, 2, 3, 4])] {
                    for (fin, compressed) in [(true, false), (true, true), (false, true)] {
                        let fin = fin || opcode.is_control();
                        let head = FrameHead { fin, compressed, opcode, mask, len };
                        let mut out = [0; HEAD_MAX];
                        let size = head.write(&mut out);
                        assert_eq!(size, head.size());
                        for cut in 0..size {
                            assert_eq!(FrameHead::read(&out[..cut]), Ok(None), "{head:?} {cut}");
                        }
                        assert_eq!(FrameHead::read(&out), Ok(Some((head, size))));
                    }
                }
            }
        }
    }

    #[test]
    fn what_no_head_has_is_refused_as_soon_as_it_is_there() {
        let cases: [(&[u8], Violation); 9] = [
            (&[0xa0], Violation::ReservedBit),
            (&[0x91], Violation::ReservedBit),
            (&[0x83], Violation::ReservedOpcode),
            (&[0x8f], Violation::ReservedOpcode),
            (&[0x09], Violation::FragmentedControl),
            (&[0x89, 126], Violation::LongControl),
            (&[0x82, 126, 0, 125], Violation::Length),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], Violation::Length),
            (&[0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0], Violation::Length),
        ];
        for (bytes, violation) in cases {
            assert_eq!(FrameHead::read(bytes), Err(violation), "{bytes:x?}");
            assert_eq!(FrameHead::read(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?}");
        }
    }
}
