//! Messages of gRPC within a body of HTTP: each comes behind five bytes, which say how long it is
//! and whether it is compressed ("Length-Prefixed-Message" of gRPC over HTTP/2).

mod scan;

use std::borrow::Cow;

pub use self::scan::MessageScanner;

/// Bytes before a message.
pub const HEAD_LEN: usize = 5;
/// Bytes that are set aside at once for a message that comes in parts: more only as they come.
const RESERVE_MAX: usize = 16 * 1024;

/// What comes before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHead {
    /// The message is compressed, as `grpc-encoding` says.
    pub is_compressed: bool,
    /// Its length in bytes, as it is sent.
    pub len: u32,
}

/// One message, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// It is compressed, as `grpc-encoding` says.
    pub is_compressed: bool,
    /// Its bytes: where they were received if it came whole, copied together otherwise.
    pub bytes: Cow<'a, [u8]>,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The first byte is neither 0 nor 1.
    #[error("a message begins with the byte {0:#04x}, which is neither 0 nor 1")]
    Flag(u8),
    /// It is longer than allowed.
    #[error("a message has {len} bytes, and at most {max} are taken")]
    TooLarge {
        /// Its length.
        len: u32,
        /// The most that is taken.
        max: usize,
    },
    /// The body ends within a message.
    #[error("the body ends within a message")]
    Truncated,
}

impl MessageHead {
    /// Reads the bytes before a message.
    ///
    /// # Errors
    /// [`MessageError::Flag`].
    pub const fn read(bytes: [u8; HEAD_LEN]) -> Result<Self, MessageError> {
        let [flag, a, b, c, d] = bytes;
        let is_compressed = match flag {
            0 => false,
            1 => true,
            _ => return Err(MessageError::Flag(flag)),
        };
        Ok(Self { is_compressed, len: u32::from_be_bytes([a, b, c, d]) })
    }

    /// The bytes before a message.
    #[must_use]
    pub const fn write(self) -> [u8; HEAD_LEN] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [self.is_compressed as u8, a, b, c, d]
    }
}

/// A message as it is sent, without compression.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&MessageHead { is_compressed: false, len }.write(), message].concat()
}

/// Takes messages out of a body that comes in parts.
///
/// Its memory is what has come of one message, whatever length that claims.
#[derive(Debug)]
pub struct MessageReader {
    max: usize,
    head: [u8; HEAD_LEN],
    /// Bytes of the head that have come.
    head_len: usize,
    /// What has come of the message behind it.
    partial: Vec<u8>,
}

impl MessageReader {
    /// A reader of messages of at most `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, head: [0; HEAD_LEN], head_len: 0, partial: Vec::new() }
    }

    /// The next whole message, whose bytes are taken from the beginning of `input`; `None` when
    /// more has to come: all of `input` is taken then.
    ///
    /// # Errors
    /// What is wrong with it. Nothing can be read after that.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Message<'a>>, MessageError> {
        let wanted = HEAD_LEN - self.head_len;
        let taken = take(input, wanted);
        self.head[self.head_len..self.head_len + taken.len()].copy_from_slice(taken);
        self.head_len += taken.len();
        if self.head_len < HEAD_LEN {
            return Ok(None);
        }
        let MessageHead { is_compressed, len } = MessageHead::read(self.head)?;
        let whole = usize::try_from(len).unwrap_or(usize::MAX);
        if whole > self.max {
            return Err(MessageError::TooLarge { len, max: self.max });
        }
        let part = take(input, whole - self.partial.len());
        if part.len() == whole {
            self.head_len = 0;
            return Ok(Some(Message { is_compressed, bytes: Cow::Borrowed(part) }));
        }
        if self.partial.is_empty() {
            self.partial.reserve(whole.min(RESERVE_MAX));
        }
        self.partial.extend_from_slice(part);
        if self.partial.len() < whole {
            return Ok(None);
        }
        self.head_len = 0;
        let bytes = Cow::Owned(std::mem::take(&mut self.partial));
        Ok(Some(Message { is_compressed, bytes }))
    }

    /// Bytes of memory that what has come of a message takes.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// The body is over.
    ///
    /// # Errors
    /// [`MessageError::Truncated`] when a part of a message is missing.
    pub const fn end(&self) -> Result<(), MessageError> {
        if self.head_len == 0 { Ok(()) } else { Err(MessageError::Truncated) }
    }
}

/// Takes at most `most` bytes from the beginning.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of these messages.
    fn body(messages: &[(bool, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (is_compressed, bytes) in messages {
            let len = u32::try_from(bytes.len()).unwrap();
            let head = MessageHead { is_compressed: *is_compressed, len };
            body.extend_from_slice(&head.write());
            body.extend_from_slice(bytes);
        }
        body
    }

    /// What was found in parts of a body: the messages, and how it ended.
    type Found = (Vec<(bool, Vec<u8>)>, Result<(), MessageError>);

    fn read(parts: &[&[u8]], max: usize) -> Found {
        let mut reader = MessageReader::new(max);
        let mut found = Vec::new();
        for part in parts {
            let mut input = *part;
            loop {
                match reader.next(&mut input) {
                    Ok(Some(message)) => {
                        found.push((message.is_compressed, message.bytes.into_owned()));
                    }
                    Ok(None) => break,
                    Err(error) => return (found, Err(error)),
                }
            }
            assert!(input.is_empty());
        }
        let ended = reader.end();
        (found, ended)
    }

    #[test]
    fn messages_are_found_wherever_the_body_is_split() {
        let messages: &[(bool, &[u8])] =
            &[(false, b"one"), (true, b""), (false, b""), (true, b"4")];
        let expected: Vec<_> = messages.iter().map(|(is, bytes)| (*is, bytes.to_vec())).collect();
        let whole = body(messages);
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let parts = [&whole[..first], &whole[first..second], &whole[second..]];
                assert_eq!(read(&parts, 3), (expected.clone(), Ok(())), "{first} {second}");
            }
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(read(&bytes, 3), (expected, Ok(())));
    }

    #[test]
    fn a_message_that_came_whole_is_not_copied() {
        let whole = body(&[(false, b"abc")]);
        let mut reader = MessageReader::new(3);
        let mut input = &whole[..];
        let message = reader.next(&mut input).unwrap().unwrap();
        assert!(matches!(message.bytes, Cow::Borrowed(b"abc")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert_eq!(read(&[&[2, 0, 0, 0, 0]], 9).1, Err(MessageError::Flag(2)));
        let long = MessageError::TooLarge { len: 4, max: 3 };
        assert_eq!(read(&[&[0, 0, 0, 0, 4]], 3).1, Err(long));
        let whole = body(&[(false, b"abc"), (false, b"def")]);
        for end in 1..whole.len() {
            let ended = read(&[&whole[..end]], 3).1;
            let is_between = end == whole.len() / 2;
            assert_eq!(ended.is_ok(), is_between, "{end}");
        }
    }

    #[test]
    fn memory_follows_what_came_and_not_what_was_claimed() {
        let mut reader = MessageReader::new(usize::MAX);
        let mut input: &[u8] = &[0, 0xff, 0xff, 0xff, 0xff, 1, 2];
        assert_eq!(reader.next(&mut input), Ok(None));
        assert!(reader.partial.capacity() <= RESERVE_MAX);
    }
}
