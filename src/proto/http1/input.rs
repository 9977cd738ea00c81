//! What was received on a connection and is not read.

use crate::mem::{Backlog, Buf};

/// Received bytes in their order. They are read where they lie; only a head that comes in pieces
/// is copied together.
#[derive(Debug, Default)]
pub struct Input {
    /// The beginning of a head, before all else.
    #[expect(clippy::box_collection, reason = "an idle connection has none, and no room for it")]
    partial: Option<Box<Vec<u8>>>,
    waiting: Backlog,
}

impl Input {
    /// Bytes have come.
    pub fn push(&mut self, buf: Buf) {
        self.waiting.push(buf);
    }

    /// The beginning of a head that has not come whole.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        self.partial.as_ref().map_or(&[], |partial| partial.as_slice())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.partial.is_none()
    }

    /// Whether nothing new has come since a head was found incomplete.
    #[must_use]
    pub const fn has_nothing_new(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.partial().len()
    }

    /// Bytes of memory that what waits takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.waiting.cost() + self.partial.as_ref().map_or(0, |partial| partial.capacity())
    }

    /// Reads a head: `read` is given all that there is of it, more each time, until it says how
    /// long the head is, or fails.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_head<T, E>(
        &mut self,
        mut read: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, E>,
    ) -> Result<Option<T>, E> {
        while let Some(mut buf) = self.pop() {
            let before = self.partial().len();
            let found = if before == 0 {
                read(&buf)?
            } else {
                let partial = self.partial.get_or_insert_default();
                partial.extend_from_slice(&buf);
                read(partial)?
            };
            if let Some((len, value)) = found {
                buf.advance(len.saturating_sub(before));
                self.partial = None;
                self.put_back(buf);
                return Ok(Some(value));
            }
            if before == 0 {
                self.partial.get_or_insert_default().extend_from_slice(&buf);
            }
        }
        Ok(None)
    }

    /// The next bytes of a body.
    pub fn pop(&mut self) -> Option<Buf> {
        self.waiting.pop()
    }

    /// What is left of the bytes that were taken last.
    pub fn put_back(&mut self, buf: Buf) {
        self.waiting.put_back(buf);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.waiting.hold();
    }

    /// Forgets all, with its memory.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes out all that waits.
    #[must_use]
    pub fn take_all(&mut self) -> Vec<u8> {
        let mut all = self.partial().to_vec();
        while let Some(buf) = self.pop() {
            all.extend_from_slice(&buf);
        }
        self.clear();
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
                assert_eq!(input.take_all(), b"body");
                assert!(input.is_empty());
                assert_eq!(input.cost(), 0);
            }
        }
    }
}
