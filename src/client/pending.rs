//! The open exchanges of one connection, and what has come of their answers.

use std::collections::VecDeque;

use super::error::code_name;
use super::{ClientError, TransferError};
use crate::mem::{Key, Slab};
use crate::proto::frame::{Answer, Command, End, parse_error};
use crate::ring::SocketAddress;

/// Where the DATA of one exchange goes as it comes.
pub(super) struct Sink<'a> {
    pub(super) key: Key,
    pub(super) take: &'a mut dyn FnMut(&[u8]),
    /// Bytes that it was given.
    pub(super) total: u64,
}

/// Open exchanges and answers that nobody has taken.
#[derive(Debug)]
pub(super) struct PendingRequests {
    peer: SocketAddress,
    answer_max: usize,
    /// Bytes of answers in parts, collected and not taken.
    collected: usize,
    open: Slab<Open>,
    /// Those with a result, in the order of their answers.
    answered: VecDeque<Key>,
}

#[derive(Debug)]
struct Open {
    command: Command,
    stream: u32,
    /// What came in DATA frames, until the answer is whole.
    parts: Vec<u8>,
    /// How many of the collected bytes are of this exchange.
    collected: usize,
    total: u64,
    sum: crc32fast::Hasher,
    too_large: bool,
    result: Option<Result<Vec<u8>, ClientError>>,
}

impl PendingRequests {
    pub(super) fn new(peer: SocketAddress, window: u16, answer_max: usize) -> Self {
        // Those that were answered wait to be taken beside those that are open.
        let limit = u32::from(window).saturating_mul(2);
        Self {
            peer,
            answer_max,
            collected: 0,
            open: Slab::with_limit(limit),
            answered: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.open.get(key).is_some()
    }

    /// A new exchange; `None` when too many answers wait to be taken.
    pub(super) fn open(&mut self, command: Command) -> Option<Key> {
        let open = Open {
            command,
            stream: 0,
            parts: Vec::new(),
            collected: 0,
            total: 0,
            sum: crc32fast::Hasher::new(),
            too_large: false,
            result: None,
        };
        self.open.insert(open).ok()
    }

    /// The stream that it was given.
    pub(super) fn begun(&mut self, key: Key, stream: u32) {
        if let Some(open) = self.open.get_mut(key) {
            open.stream = stream;
        }
    }

    /// Forgets an exchange that has no answer: its stream and command.
    pub(super) fn close(&mut self, key: Key) -> Option<(u32, Command)> {
        self.remove(key).map(|open| (open.stream, open.command))
    }

    /// What became of an exchange, once that is known.
    pub(super) fn take(&mut self, key: Key) -> Option<Result<Vec<u8>, ClientError>> {
        self.open.get(key)?.result.as_ref()?;
        self.answered.retain(|answered| *answered != key);
        self.remove(key)?.result
    }

    /// What became of the exchange that was answered first of those not taken.
    pub(super) fn take_any(&mut self) -> Option<(Key, Result<Vec<u8>, ClientError>)> {
        let key = self.answered.pop_front()?;
        Some((key, self.remove(key)?.result?))
    }

    fn remove(&mut self, key: Key) -> Option<Open> {
        let open = self.open.remove(key)?;
        self.collected -= open.collected;
        Some(open)
    }

    /// An exchange that will not be answered.
    pub(super) fn fail(&mut self, key: Key, error: ClientError) {
        if let Some(open) = self.open.get_mut(key).filter(|open| open.result.is_none()) {
            open.result = Some(Err(error));
            self.answered.push_back(key);
        }
    }

    /// Takes a part of an answer; that of an exchange which was given up is passed over.
    pub(super) fn part(&mut self, answer: &Answer<'_, Key>, sink: &mut Option<Sink<'_>>) {
        let Self { peer, answer_max, collected, open, answered } = self;
        let Some((key, open)) = answer.who.and_then(|key| Some((key, open.get_mut(key)?))) else {
            return;
        };
        match answer.command {
            Command::DATA => {
                open.total += answer.payload.len() as u64;
                open.sum.update(answer.payload);
                match sink {
                    Some(sink) if sink.key == key => {
                        sink.total = open.total;
                        (sink.take)(answer.payload);
                    }
                    Some(_) | None => open.collect(answer.payload, *answer_max, collected),
                }
                return;
            }
            Command::END => open.result = Some(open.end(answer.payload, *peer, *answer_max)),
            Command::ERROR => {
                let (code, text) = match parse_error(answer.payload) {
                    Ok((code, text)) => (code_name(code), text.into_owned()),
                    Err(error) => (code_name(0), error.to_string()),
                };
                let peer = peer.to_string();
                open.result = Some(Err(ClientError::Refused { peer, code, text }));
            }
            _ => open.result = Some(Ok(answer.payload.to_vec())),
        }
        answered.push_back(key);
    }
}

impl Open {
    /// Keeps a part, unless that is too much of all: then what came before is dropped, too.
    fn collect(&mut self, payload: &[u8], max: usize, collected: &mut usize) {
        self.too_large |= *collected + payload.len() > max;
        if self.too_large {
            *collected -= std::mem::take(&mut self.collected);
            self.parts = Vec::new();
        } else {
            *collected += payload.len();
            self.collected += payload.len();
            self.parts.extend_from_slice(payload);
        }
    }

    /// Holds what came against what the end says of it.
    fn end(
        &mut self,
        payload: &[u8],
        peer: SocketAddress,
        max: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let computed = self.sum.clone().finalize();
        let reason = match End::parse(payload) {
            Err(_) => TransferError::End,
            Ok(end) if end.total != self.total => {
                TransferError::Length { announced: end.total, came: self.total }
            }
            Ok(end) if end.checksum != computed => {
                TransferError::Checksum { announced: end.checksum, computed }
            }
            Ok(_) if self.too_large => TransferError::TooLarge { max },
            Ok(_) => return Ok(std::mem::take(&mut self.parts)),
        };
        Err(ClientError::Transfer {
            peer: peer.to_string(),
            what: self.command.to_string(),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(book: &mut PendingRequests, who: Option<Key>, command: Command, payload: &[u8]) {
        let last = command != Command::DATA;
        let answer = Answer { who, request: Command::GET, command, payload, last };
        book.part(&answer, &mut None);
    }

    #[test]
    fn what_is_collected_is_bounded_over_all_exchanges() {
        let mut book = PendingRequests::new(SocketAddress::unnamed(), 4, 100);
        let [a, b] = [(); 2].map(|()| book.open(Command::GET).unwrap());
        part(&mut book, Some(a), Command::DATA, &[0; 60]);
        part(&mut book, Some(b), Command::DATA, &[0; 60]);
        part(&mut book, None, Command::DATA, &[0; 60]);
        let end = |total| End { total, checksum: crc32fast::hash(&[0; 60]) }.to_bytes();
        part(&mut book, Some(b), Command::END, &end(60));
        part(&mut book, Some(a), Command::END, &end(60));
        let reason = TransferError::TooLarge { max: 100 };
        let (peer, what) = ("unix:".to_owned(), "GET".to_owned());
        assert_eq!(book.take_any(), Some((b, Err(ClientError::Transfer { peer, what, reason }))));
        assert_eq!(book.take(a), Some(Ok(vec![0; 60])));
        assert_eq!((book.take(a), book.take_any(), book.collected), (None, None, 0));
        assert!(book.is_empty());
    }

    #[test]
    fn an_exchange_that_was_given_up_is_forgotten() {
        let mut book = PendingRequests::new(SocketAddress::unnamed(), 1, 100);
        let a = book.open(Command::GET).unwrap();
        book.begun(a, 7);
        part(&mut book, Some(a), Command::DATA, &[0; 60]);
        assert_eq!(book.close(a), Some((7, Command::GET)));
        part(&mut book, Some(a), Command::DATA, &[0; 60]);
        book.fail(a, ClientError::Finished);
        assert_eq!((book.has(a), book.collected, book.take_any()), (false, 0, None));
        assert!(book.open(Command::GET).is_some() && book.open(Command::GET).is_some());
        assert_eq!(book.open(Command::GET), None, "two windows of answers that nobody takes");
    }
}
