//! What was received and is not read.

use std::collections::VecDeque;

use crate::mem::Buf;

/// Received bytes in their order. They are read where they lie; only a head that comes in pieces
/// is copied together.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Mostly all there is.
    first: Option<Buf>,
    /// An idle connection has no more, and no room for it.
    more: Option<Box<More>>,
    /// Bytes in `first` and behind it.
    bytes: usize,
}

#[derive(Debug, Default)]
struct More {
    /// The beginning of a head, before the first buffer.
    partial: Vec<u8>,
    /// What is behind the first buffer.
    rest: VecDeque<Buf>,
}

impl Input {
    pub(super) fn push(&mut self, buf: Buf) {
        self.bytes += buf.len();
        if self.first.is_none() {
            self.first = Some(buf);
        } else {
            self.more.get_or_insert_default().rest.push_back(buf);
        }
    }

    /// The beginning of a head that has not come whole.
    fn partial(&self) -> &[u8] {
        self.more.as_ref().map_or(&[], |more| &more.partial)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.partial().is_empty()
    }

    /// Whether nothing new has come since a head was found incomplete.
    pub(super) const fn has_nothing_new(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes + self.partial().len()
    }

    /// Reads a head: `read` is given all that there is of it, more each time, until it says how
    /// long the head is, or fails.
    pub(super) fn read_head<T, E>(
        &mut self,
        mut read: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, E>,
    ) -> Result<Option<T>, E> {
        while let Some(mut buf) = self.pop() {
            let before = self.partial().len();
            let found = if before == 0 {
                read(&buf)?
            } else {
                let partial = &mut self.more.get_or_insert_default().partial;
                partial.extend_from_slice(&buf);
                read(partial)?
            };
            if let Some((len, value)) = found {
                buf.advance(len.saturating_sub(before));
                if let Some(more) = &mut self.more {
                    more.partial = Vec::new();
                }
                self.put_back(buf);
                self.tidy();
                return Ok(Some(value));
            }
            if before == 0 {
                self.more.get_or_insert_default().partial.extend_from_slice(&buf);
            }
        }
        Ok(None)
    }

    /// The next bytes of a body.
    pub(super) fn pop(&mut self) -> Option<Buf> {
        let buf = self.first.take()?;
        self.bytes -= buf.len();
        self.first = self.more.as_mut().and_then(|more| more.rest.pop_front());
        if self.first.is_none() {
            self.tidy();
        }
        Some(buf)
    }

    /// What is left of the bytes that were taken last.
    pub(super) fn put_back(&mut self, buf: Buf) {
        if !buf.is_empty() {
            self.bytes += buf.len();
            if let Some(next) = self.first.replace(buf) {
                self.more.get_or_insert_default().rest.push_front(next);
            }
        }
    }

    /// Keeps no room for what there is not.
    fn tidy(&mut self) {
        self.more.take_if(|more| more.partial.is_empty() && more.rest.is_empty());
    }

    /// Who waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        let rest = self.more.iter_mut().flat_map(|more| &mut more.rest);
        for buf in self.first.iter_mut().chain(rest) {
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
                assert_eq!(input.len(), 4);
                assert_eq!(input.take_all(), b"body");
                assert!(input.is_empty());
                assert_eq!(input.len(), 0);
            }
        }
    }
}
