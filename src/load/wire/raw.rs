//! So many bytes for so many bytes: what an echo server, or any server of fixed sizes, speaks.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Answered, End, RequestNumber, Wire, WireEvent, WireMemory};
use crate::load::recorder::Failure;
use crate::mem::{Buf, Text};
use crate::proto::http1::Output;
use crate::session::Writer;

/// Bytes of a datagram in which its number is written, if it has as many.
const NUMBER_BYTES: usize = size_of::<RequestNumber>();

/// Requests on a stream: their answers come one behind the other.
#[derive(Debug)]
pub(in crate::load) struct RawStream {
    question: Text,
    answer: usize,
    streams: usize,
    /// Those that wait; of the first, `got` bytes have come.
    waiting: VecDeque<RequestNumber>,
    got: usize,
    /// Bytes that came and were not looked at.
    unread: usize,
    is_begun: bool,
    end: Option<End>,
}

impl RawStream {
    pub(in crate::load) fn new(question: Text, answer: usize, streams: usize) -> Self {
        Self {
            question,
            answer,
            streams,
            waiting: VecDeque::new(),
            got: 0,
            unread: 0,
            is_begun: false,
            end: None,
        }
    }
}

impl Wire for RawStream {
    fn room(&self) -> usize {
        if self.end.is_some() { 0 } else { self.streams - self.waiting.len() }
    }

    fn begin(
        &mut self,
        number: RequestNumber,
        _target: usize,
        _memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) {
        self.waiting.push_back(number);
        write_text(&self.question, out);
    }

    fn receive(&mut self, buf: Buf) {
        self.unread += buf.len();
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
    }

    fn poll(
        &mut self,
        _now: Instant,
        _memory: &mut WireMemory,
        _out: &mut Writer<'_>,
    ) -> Option<WireEvent> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(WireEvent::Open);
        }
        let Some(first) = self.waiting.front().copied() else {
            if self.unread > 0 {
                let reason = format!("{} bytes came that were not asked for", self.unread);
                self.unread = 0;
                return Some(WireEvent::Broken(Failure::Answer, reason));
            }
            return self.end.map(End::broken);
        };
        if self.unread > 0 && self.got == 0 {
            let count = self.unread.min(self.answer);
            (self.got, self.unread) = (count, self.unread - count);
            return Some(WireEvent::FirstByte(first));
        }
        let count = self.unread.min(self.answer - self.got);
        (self.got, self.unread) = (self.got + count, self.unread - count);
        if self.got == self.answer {
            self.got = 0;
            self.waiting.pop_front();
            return Some(WireEvent::Done(first, Answered::default()));
        }
        self.end.map(End::broken)
    }
}

/// Writes a text: short ones are copied, long ones are sent from where they lie.
pub(super) fn write_text(text: &Text, out: &mut Writer<'_>) {
    const COPY_MAX: usize = 2048;
    if text.len() <= COPY_MAX {
        out.bytes().extend_from_slice(text);
    } else {
        out.slice(Buf::text(text));
    }
}

/// Datagrams: each request is one, and so is each answer. Where they are long enough each has a
/// number, which an echo brings back, so that one that was lost is not taken for the next.
#[derive(Debug)]
pub(in crate::load) struct Datagrams {
    question: Text,
    streams: usize,
    waiting: VecDeque<RequestNumber>,
    /// The numbers that were sent are between these.
    first_number: RequestNumber,
    last_number: RequestNumber,
    came: VecDeque<Option<RequestNumber>>,
    first: Option<RequestNumber>,
    is_begun: bool,
    end: Option<End>,
}

impl Datagrams {
    pub(in crate::load) fn new(question: Text, streams: usize) -> Self {
        Self {
            question,
            streams,
            waiting: VecDeque::new(),
            first_number: RequestNumber::MAX,
            last_number: 0,
            came: VecDeque::new(),
            first: None,
            is_begun: false,
            end: None,
        }
    }

    fn has_numbers(&self) -> bool {
        self.question.len() >= NUMBER_BYTES
    }
}

impl Wire for Datagrams {
    fn room(&self) -> usize {
        if self.end.is_some() { 0 } else { self.streams.saturating_sub(self.waiting.len()) }
    }

    fn begin(
        &mut self,
        number: RequestNumber,
        _target: usize,
        _memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) {
        self.waiting.push_back(number);
        self.first_number = self.first_number.min(number);
        self.last_number = number;
        if self.has_numbers() {
            let mut bytes = self.question.to_vec();
            bytes[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
            out.slice(Buf::from(bytes));
        } else {
            out.slice(Buf::text(&self.question));
        }
    }

    fn receive(&mut self, buf: Buf) {
        let number = buf.first_chunk().filter(|_| self.has_numbers());
        self.came.push_back(number.map(|bytes| RequestNumber::from_be_bytes(*bytes)));
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
    }

    fn poll(
        &mut self,
        _now: Instant,
        _memory: &mut WireMemory,
        _out: &mut Writer<'_>,
    ) -> Option<WireEvent> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(WireEvent::Open);
        }
        if let Some(number) = self.first.take() {
            return Some(WireEvent::Done(number, Answered::default()));
        }
        while let Some(came) = self.came.pop_front() {
            // Answers of servers that do not echo are taken in order.
            let known = came.and_then(|number| self.waiting.iter().position(|one| *one == number));
            let place = match (known, came) {
                (Some(place), _) => place,
                // One that was given up, or a copy of one that was answered.
                (None, Some(number))
                    if (self.first_number..=self.last_number).contains(&number) =>
                {
                    continue;
                }
                (None, _) => 0,
            };
            if let Some(number) = self.waiting.remove(place) {
                self.first = Some(number);
                return Some(WireEvent::FirstByte(number));
            }
        }
        self.end?;
        let reason = "the port cannot be reached (ICMP)".to_owned();
        Some(WireEvent::Broken(Failure::Connect, reason))
    }

    fn give_up(&mut self, number: RequestNumber, _memory: &mut WireMemory) -> bool {
        self.waiting.retain(|one| *one != number);
        true
    }

    fn is_datagram(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Pages;
    use crate::net::Stream;
    use crate::ring::Lane;
    use crate::session::WriteBuffer;

    #[test]
    fn a_copy_of_a_datagram_answers_nothing_else() {
        let mut wire = Datagrams::new(Text::from(&[0; 16][..]), 8);
        let (mut pages, mut buffer) = (Pages::default(), WriteBuffer::default());
        let mut stream = Stream::new(Lane::Client, None);
        let mut memory = WireMemory::default();
        let now = crate::runtime::clock::now();
        for number in [5, 9, 12] {
            let mut out = buffer.writer(&mut pages, &mut stream);
            wire.begin(number, 0, &mut memory, &mut out);
        }
        let mut done = |numbers: &[RequestNumber]| {
            for number in numbers {
                let mut answer = number.to_be_bytes().to_vec();
                answer.resize(16, 0);
                wire.receive(Buf::from(answer));
            }
            let mut done = Vec::new();
            let mut out = buffer.writer(&mut pages, &mut stream);
            while let Some(event) = wire.poll(now, &mut memory, &mut out) {
                if let WireEvent::Done(number, _) = event {
                    done.push(number);
                }
            }
            done
        };
        // One overtakes, and comes twice; one that was never sent is the answer of no echo.
        assert_eq!(done(&[9, 9, 9]), [9]);
        assert_eq!(done(&[5, 5]), [5]);
        assert_eq!(done(&[77]), [12]);
    }
}
