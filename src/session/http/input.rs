//! What was received and is not read.

use std::collections::VecDeque;

use crate::mem::Buf;

/// Received bytes in their order. They are read where they lie; only a head that comes in pieces
/// is copied together.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Mostly all there is: an idle connection then keeps no list.
    first: Option<Buf>,
    rest: VecDeque<Buf>,
    /// The beginning of a head, before `first`.
    partial: Vec<u8>,
    /// Bytes in `first` and `rest`.
    bytes: usize,
}

impl Input {
    pub(super) fn push(&mut self, buf: Buf) {
        self.bytes += buf.len();
        if self.first.is_none() {
            self.first = Some(buf);
        } else {
            self.rest.push_back(buf);
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.partial.is_empty()
    }

    /// Whether nothing new has come since a head was found incomplete.
    pub(super) fn has_nothing_new(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes + self.partial.len()
    }

    /// Reads a head: `read` is given all that there is of it, more each time, until it says how
    /// long the head is, or fails.
    pub(super) fn read_head<T, E>(
        &mut self,
        mut read: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, E>,
    ) -> Result<Option<T>, E> {
        while let Some(mut buf) = self.pop() {
            if self.partial.is_empty() {
                match read(&buf)? {
                    Some((len, value)) => {
                        buf.advance(len);
                        self.put_back(buf);
                        return Ok(Some(value));
                    }
                    None => self.partial.extend_from_slice(&buf),
                }
                continue;
            }
            let before = self.partial.len();
            self.partial.extend_from_slice(&buf);
            if let Some((len, value)) = read(&self.partial)? {
                buf.advance(len.saturating_sub(before));
                self.put_back(buf);
                self.partial = Vec::new();
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The next bytes of a body.
    pub(super) fn pop(&mut self) -> Option<Buf> {
        let buf = self.first.take()?;
        self.bytes -= buf.len();
        self.first = self.rest.pop_front();
        if self.first.is_none() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        Some(buf)
    }

    /// What is left of the bytes that were taken last.
    pub(super) fn put_back(&mut self, buf: Buf) {
        if !buf.is_empty() {
            self.bytes += buf.len();
            if let Some(next) = self.first.replace(buf) {
                self.rest.push_front(next);
            }
        }
    }

    /// Who waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        for buf in self.first.iter_mut().chain(&mut self.rest) {
            if buf.is_pooled() {
                *buf = Buf::copy_of(buf);
            }
        }
    }

    /// Forgets all, with its memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes out all that waits.
    pub(super) fn take_all(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.partial);
        while let Some(buf) = self.pop() {
            all.extend_from_slice(&buf);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head that ends with `!`.
    fn read(input: &[u8]) -> Result<Option<(usize, String)>, ()> {
        let end = input.iter().position(|byte| *byte == b'!');
        Ok(end.map(|at| (at + 1, String::from_utf8_lossy(&input[..at]).into_owned())))
    }

    #[test]
    fn a_head_is_the_same_however_it_comes_and_the_rest_stays() {
        let text = b"head!body";
        for first in 0..text.len() {
            for second in first..text.len() {
                let mut input = Input::default();
                let mut heads = Vec::new();
                for part in [&text[..first], &text[first..second], &text[second..]] {
                    if !part.is_empty() {
                        input.push(Buf::copy_of(part));
                    }
                    if heads.is_empty() {
                        heads.extend(input.read_head(read).unwrap());
                    }
                }
                assert_eq!(heads, ["head"], "{first} {second}");
                assert_eq!(input.len(), 4);
                assert_eq!(input.take_all(), b"body");
                assert!(input.is_empty());
                assert_eq!(input.len(), 0);
            }
        }
    }
}
