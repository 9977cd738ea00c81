//! How long the messages of a body are that is passed on: nothing of it is kept.

use super::{HEAD_LEN, MessageError, MessageHead};

/// Looks at the heads of messages as a body goes by.
#[derive(Debug, Clone)]
pub struct MessageScanner {
    max: u32,
    head: [u8; HEAD_LEN],
    /// Bytes of the head that have come.
    head_len: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl MessageScanner {
    /// For messages of at most `max` bytes, as they are sent.
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { max, head: [0; HEAD_LEN], head_len: 0, left: 0 }
    }

    /// A part of the body goes by.
    ///
    /// # Errors
    /// [`MessageError::TooLarge`]. What else is wrong with messages is their receiver's to find.
    pub fn scan(&mut self, mut part: &[u8]) -> Result<(), MessageError> {
        while !part.is_empty() {
            let skipped = self.left.min(part.len());
            self.left -= skipped;
            part = &part[skipped..];
            let taken = (HEAD_LEN - self.head_len).min(part.len());
            self.head[self.head_len..self.head_len + taken].copy_from_slice(&part[..taken]);
            self.head_len += taken;
            part = &part[taken..];
            if self.head_len < HEAD_LEN {
                continue;
            }
            self.head_len = 0;
            let [_, length @ ..] = self.head;
            let head = MessageHead { is_compressed: false, len: u32::from_be_bytes(length) };
            if head.len > self.max {
                let max = usize::try_from(self.max).unwrap_or(usize::MAX);
                return Err(MessageError::TooLarge { len: head.len, max });
            }
            self.left = usize::try_from(head.len).unwrap_or(usize::MAX);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_that_is_too_long_is_found_wherever_the_body_is_split() {
        let mut body = Vec::new();
        for len in [0_u32, 10, 3, 0, 10] {
            body.extend_from_slice(&MessageHead { is_compressed: true, len }.write());
            body.extend(std::iter::repeat_n(0xff, len as usize));
        }
        for split in 0..=body.len() {
            let scan = |max| {
                let mut scanner = MessageScanner::new(max);
                scanner.scan(&body[..split])?;
                scanner.scan(&body[split..])
            };
            assert_eq!(scan(10), Ok(()), "{split}");
            assert_eq!(scan(9), Err(MessageError::TooLarge { len: 10, max: 9 }), "{split}");
        }
        let mut scanner = MessageScanner::new(10);
        assert!(body.iter().all(|byte| scanner.scan(&[*byte]).is_ok()));
    }
}
