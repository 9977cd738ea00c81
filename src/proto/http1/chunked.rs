//! Bodies in chunks (RFC 9112, section 7.1).
//!
//! ```text
//!   Size ──`;`──> Extension ──CR──> SizeEnd ──LF──> Data ──all of it──> DataCr ──> DataLf
//!    │ └────────────CR──────────────^   │                                            │
//!    ^                                  └──size 0──> Trailers ──empty line──> Done   │
//!    └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! White space behind a size (`Padding`) leads to `;` or CR as the size itself does.

use std::ops::Range;

use super::Refusal;
use super::framing::trim;
use super::lines::HeadScanner;
use crate::proto::http::{Fields, Known};

/// Digits of a chunk's size: all numbers of so many fit.
const DIGITS_MAX: u8 = 16;
/// Bytes of one chunk's extensions.
const EXTENSION_MAX: u16 = 256;
/// Bytes of all trailers.
const TRAILERS_MAX: usize = 8 * 1024;
/// Trailer fields.
const TRAILER_FIELDS_MAX: usize = 100;

/// Reads chunks.
#[derive(Debug)]
pub(super) struct ChunkedReader {
    state: State,
    /// What came of the trailers.
    trailers: Vec<u8>,
    scanner: HeadScanner,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In the digits of a size.
    Size { size: u64, digits: u8 },
    /// In white space behind a size (`BWS` of RFC 9112, section 7.1.1).
    Padding { size: u64, len: u16 },
    /// Behind a `;`.
    Extension { size: u64, len: u16 },
    /// Behind the CR of a size's line.
    SizeEnd { size: u64 },
    /// Within a chunk, of which so many bytes are left.
    Data { left: u64 },
    /// Behind a chunk.
    DataCr,
    /// Behind a chunk's CR.
    DataLf,
    /// Behind the last chunk.
    Trailers,
    /// Behind all.
    Done,
}

impl Default for ChunkedReader {
    fn default() -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            trailers: Vec::new(),
            scanner: HeadScanner::default(),
        }
    }
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Range<usize>),
    More,
    End(usize),
}

impl ChunkedReader {
    pub(super) fn next(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data { left } => {
                    let have = input.len() - at;
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(have);
                    let left = left - len as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    return Ok(Step::Data(at..at + len));
                }
                State::Trailers => return self.read_trailers(input, at),
                State::Done => return Ok(Step::End(at)),
                State::Size { .. }
                | State::Padding { .. }
                | State::Extension { .. }
                | State::SizeEnd { .. }
                | State::DataCr
                | State::DataLf => self.state = step(self.state, byte)?,
            }
            at += 1;
        }
        Ok(Step::More)
    }

    fn read_trailers(&mut self, input: &[u8], at: usize) -> Result<Step, Refusal> {
        let before = self.trailers.len();
        let rest = input.get(at..).unwrap_or_default();
        // The usual end: no trailers at all.
        if before == 0 && rest.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(Step::End(at + 2));
        }
        let room = TRAILERS_MAX - before.min(TRAILERS_MAX);
        let taken = rest.get(..room.min(rest.len())).unwrap_or_default();
        self.trailers.extend_from_slice(taken);
        match self.scanner.find(&self.trailers)? {
            Some(end) => {
                self.trailers.truncate(end);
                self.state = State::Done;
                Ok(Step::End(at + end.saturating_sub(before)))
            }
            None if self.trailers.len() >= TRAILERS_MAX => Err(Refusal::Trailers),
            None => Ok(Step::More),
        }
    }

    pub(super) fn has_trailers(&self) -> bool {
        !self.trailers.is_empty()
    }

    /// The trailers, without those that may not be there (RFC 9110, section 6.5.1).
    pub(super) fn trailers(&self) -> Result<Fields, Refusal> {
        let mut plain = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
        let mut fields = Fields::default();
        if self.trailers.is_empty() {
            return Ok(fields);
        }
        match httparse::parse_headers(&self.trailers, &mut plain) {
            Ok(httparse::Status::Complete((_, headers))) => {
                for header in headers {
                    if header.name.is_empty() {
                        return Err(Refusal::Trailers);
                    }
                    fields.push(header.name.as_bytes(), trim(header.value));
                    if is_forbidden(fields.last_known()) {
                        fields.pop();
                    }
                }
                Ok(fields)
            }
            Ok(httparse::Status::Partial) | Err(_) => Err(Refusal::Trailers),
        }
    }
}

/// Fields that a recipient needs before the body, or that are about the connection: in trailers
/// they could only mislead.
fn is_forbidden(known: Known) -> bool {
    known.is_hop_by_hop()
        || matches!(
            known,
            Known::ContentLength
                | Known::ContentEncoding
                | Known::ContentRange
                | Known::ContentType
                | Known::Host
                | Known::Trailer
                | Known::Authorization
                | Known::Cookie
                | Known::CacheControl
                | Known::Expect
                | Known::Range
        )
}

/// One byte of what is around the chunks.
fn step(state: State, byte: u8) -> Result<State, Refusal> {
    Ok(match (state, byte) {
        (State::Size { digits: 1.., size } | State::Padding { size, .. }, b';') => {
            State::Extension { size, len: 0 }
        }
        (State::Size { digits: 1.., size } | State::Padding { size, .. }, b'\r') => {
            State::SizeEnd { size }
        }
        (State::Size { digits: 1.., size }, b' ' | b'\t') => State::Padding { size, len: 1 },
        (State::Padding { size, len }, b' ' | b'\t') if len < EXTENSION_MAX => {
            State::Padding { size, len: len + 1 }
        }
        (State::Padding { len: EXTENSION_MAX.., .. }, _) => return Err(Refusal::ChunkExtension),
        (State::Padding { .. }, _) => return Err(Refusal::ChunkSize),
        (State::Size { size, digits }, _) => {
            let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
            if digits == DIGITS_MAX {
                return Err(Refusal::ChunkSize);
            }
            State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
        }
        (State::Extension { size, .. }, b'\r') => State::SizeEnd { size },
        (State::Extension { size, len }, b'\t' | b' '..=b'~') if len < EXTENSION_MAX => {
            State::Extension { size, len: len + 1 }
        }
        (State::Extension { .. }, _) => return Err(Refusal::ChunkExtension),
        (State::SizeEnd { size: 0 }, b'\n') => State::Trailers,
        (State::SizeEnd { size }, b'\n') => State::Data { left: size },
        (State::SizeEnd { .. }, _) => return Err(Refusal::ChunkSize),
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
        (State::DataCr | State::DataLf, _) => return Err(Refusal::ChunkEnd),
        (State::Data { .. } | State::Trailers | State::Done, _) => state,
    })
}
