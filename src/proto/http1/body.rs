//! Finding the bytes of a body.

use std::ops::Range;

use super::chunked::{ChunkedReader, Step};
use super::{Framing, Refusal};
use crate::proto::http::Fields;

/// What is next in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyPart {
    /// Bytes of the body, where they lie in the input; what is before them is read.
    Data(Range<usize>),
    /// All of the input is read, and more is needed.
    More,
    /// The body ends behind so many bytes of the input.
    End(usize),
}

/// Finds the bytes of one body.
///
/// Calling order: [`BodyReader::next`] with what is not read of the input, until [`BodyPart::More`]
/// or [`BodyPart::End`]; for the end of the connection, [`BodyReader::at_end`].
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Bytes of the body that may still come.
    allowed: u64,
}

#[derive(Debug)]
enum State {
    Done,
    Length(u64),
    Chunked(Box<ChunkedReader>),
    UntilClose,
}

impl BodyReader {
    /// A body that is delimited so, of at most `max` bytes.
    ///
    /// # Errors
    /// It is known to be longer than that.
    pub fn new(framing: Framing, max: u64) -> Result<Self, Refusal> {
        if framing.length().is_some_and(|length| length > max) {
            return Err(Refusal::BodyTooLarge);
        }
        let state = match framing {
            Framing::None => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Ok(Self { state, allowed: max })
    }

    /// Whether all of it was read.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes that will come at least.
    #[must_use]
    pub const fn least_left(&self) -> u64 {
        match self.state {
            State::Length(left) => left,
            State::Done | State::Chunked(_) | State::UntilClose => 0,
        }
    }

    /// What is next in `input`.
    ///
    /// # Errors
    /// What is wrong with the body; the connection is of no further use then.
    pub fn next(&mut self, input: &[u8]) -> Result<BodyPart, Refusal> {
        match &mut self.state {
            State::Done => Ok(BodyPart::End(0)),
            _ if input.is_empty() => Ok(BodyPart::More),
            State::Length(left) => {
                let have = input.len() as u64;
                if have >= *left {
                    // It fits: there are at least so many bytes.
                    let end = usize::try_from(*left).unwrap_or(input.len());
                    self.state = State::Done;
                    return Ok(BodyPart::Data(0..end));
                }
                *left -= have;
                Ok(BodyPart::Data(0..input.len()))
            }
            State::UntilClose => {
                Self::spend(&mut self.allowed, input.len())?;
                Ok(BodyPart::Data(0..input.len()))
            }
            State::Chunked(reader) => match reader.next(input)? {
                Step::Data(range) => {
                    Self::spend(&mut self.allowed, range.len())?;
                    Ok(BodyPart::Data(range))
                }
                Step::More => Ok(BodyPart::More),
                Step::End(at) => {
                    if !reader.has_trailers() {
                        self.state = State::Done;
                    }
                    Ok(BodyPart::End(at))
                }
            },
        }
    }

    /// The trailers, once the body has ended.
    ///
    /// # Errors
    /// They are no fields.
    pub fn take_trailers(&mut self) -> Result<Option<Fields>, Refusal> {
        let State::Chunked(reader) = &self.state else { return Ok(None) };
        let trailers = reader.trailers()?;
        self.state = State::Done;
        Ok(Some(trailers).filter(|trailers| !trailers.is_empty()))
    }

    /// The connection has ended: whether the body is whole.
    #[must_use]
    pub const fn at_end(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    const fn spend(allowed: &mut u64, bytes: usize) -> Result<(), Refusal> {
        match allowed.checked_sub(bytes as u64) {
            Some(left) => {
                *allowed = left;
                Ok(())
            }
            None => Err(Refusal::BodyTooLarge),
        }
    }
}
