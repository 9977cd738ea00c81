//! The readers of HTTP/1.1 on any bytes: they never panic, and say the same however the bytes come.

use ringway::proto::http::{Method, RequestHead, ResponseHead};
use ringway::proto::http1::{
    BodyPart, BodyReader, Framing, HeadLimits, Refusal, RequestReader, ResponseReader,
};

const LIMITS: HeadLimits = HeadLimits { size: 1024, fields: 32, target: 256, underscores: true };
const BODY_MAX: u64 = 4096;

/// What was read of an input: heads as text, bodies, and the rule that was broken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) messages: Vec<(String, Vec<u8>, bool)>,
    pub(crate) refused: Option<Refusal>,
}

/// Which end reads.
#[derive(Debug, Clone, Copy)]
enum End {
    Server(RequestReader),
    Client(ResponseReader),
}

/// One end of a connection that is fed in pieces.
struct Reader {
    end: End,
    input: Vec<u8>,
    body: Option<BodyReader>,
    read: Read,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.read.refused.is_none() {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(refusal) => self.read.refused = Some(refusal),
            }
        }
    }

    /// Reads a head or a part of a body; false when more has to come.
    fn step(&mut self) -> Result<bool, Refusal> {
        let Some(body) = &mut self.body else { return self.head() };
        match body.next(&self.input)? {
            BodyPart::Data(range) => {
                assert!(range.end <= self.input.len() && range.start <= range.end);
                let part = &self.input[range.clone()];
                if let Some((_, whole, _)) = self.read.messages.last_mut() {
                    whole.extend_from_slice(part);
                    assert!(whole.len() as u64 <= BODY_MAX);
                }
                self.input.drain(..range.end);
                Ok(true)
            }
            BodyPart::More => {
                self.input.clear();
                Ok(false)
            }
            BodyPart::End(len) => {
                self.input.drain(..len);
                body.take_trailers()?;
                self.body = None;
                if let Some((_, _, is_whole)) = self.read.messages.last_mut() {
                    *is_whole = true;
                }
                Ok(true)
            }
        }
    }

    fn head(&mut self) -> Result<bool, Refusal> {
        let found = match &mut self.end {
            End::Server(reader) => {
                let mut head = RequestHead::default();
                let meta = reader.read(&self.input, &LIMITS, &mut head)?;
                meta.map(|meta| (format!("{head:?} {meta:?}"), meta.len, meta.framing))
            }
            End::Client(reader) => {
                let mut head = ResponseHead::default();
                let meta = reader.read(&self.input, Method::Get, &LIMITS, &mut head)?;
                meta.map(|meta| (format!("{head:?} {meta:?}"), meta.len, meta.framing))
            }
        };
        let Some((text, len, framing)) = found else { return Ok(false) };
        assert!(len <= self.input.len() && len > 0);
        self.input.drain(..len);
        self.read.messages.push((text, Vec::new(), framing == Framing::None));
        self.body = Some(BodyReader::new(framing, BODY_MAX)?);
        Ok(true)
    }
}

fn read(end: End, pieces: &[&[u8]]) -> Read {
    let mut reader = Reader { end, input: Vec::new(), body: None, read: Read::default() };
    pieces.iter().for_each(|piece| reader.feed(piece));
    reader.read
}

/// What is read must not depend on how the bytes come. Which limit is hit first may.
fn check(end: End, input: &[u8]) -> Read {
    let whole = read(end, &[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    let halves: Vec<&[u8]> = input.chunks(input.len().div_ceil(2).max(1)).collect();
    for pieces in [&bytes, &halves] {
        let other = read(end, pieces);
        let is_limit = |read: &Read| {
            use Refusal::{BareLineFeed, BodyTooLarge, HeadTooLarge, TargetTooLong, TooManyFields};
            let limits = [BareLineFeed, BodyTooLarge, HeadTooLarge, TargetTooLong, TooManyFields];
            read.refused.is_some_and(|refusal| limits.contains(&refusal))
        };
        if is_limit(&whole) || is_limit(&other) {
            assert_eq!(whole.refused.is_some(), other.refused.is_some());
        } else {
            assert_eq!(whole, other);
        }
    }
    whole
}

/// Any bytes to a server.
pub(crate) fn http1_request(input: &[u8]) -> Read {
    check(End::Server(RequestReader::default()), input)
}

/// Any bytes to a client.
pub(crate) fn http1_response(input: &[u8]) -> Read {
    check(End::Client(ResponseReader::default()), input)
}
