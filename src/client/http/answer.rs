//! What a server answers.

use std::io::{self, Read};
use std::time::Duration;

use super::connection::{AnswerHead, Part};
use super::exchange::Exchange;
use super::upload::Upload;
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::client::{ClientError, Received, TransferError};
use crate::net::tls::Info;
use crate::proto::http::{Fields, ResponseHead, Version};

/// An answer whose head has come; its body is taken as it comes. What is left of the request's body
/// is sent while the answer is read.
///
/// Once the body was read to its end, the connection is used again. An answer that is dropped
/// before ends its connection (HTTP/1.1), or its stream (HTTP/2).
#[derive(Debug)]
pub struct Answer<'b> {
    head: Box<ResponseHead>,
    length: Option<u64>,
    exchange: Exchange,
    upload: Upload<'b>,
    trailers: Option<Box<Fields>>,
    answer_max: usize,
    is_over: bool,
}

impl<'b> Answer<'b> {
    pub(super) fn new(
        (head, length): AnswerHead,
        exchange: Exchange,
        upload: Upload<'b>,
        answer_max: usize,
    ) -> Self {
        Self { head, length, exchange, upload, trailers: None, answer_max, is_over: false }
    }

    /// The status code, 200 to 999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The version that it came in.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.exchange.version() {
            Version::Http2 => Version::Http2,
            Version::Http10 | Version::Http11 => self.head.version,
        }
    }

    /// The length of its body, if that is declared: of an answer to HEAD, that of what a GET would
    /// bring.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Its fields, but for those of the connection and the length.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.head.fields
    }

    /// The value of the first field of a name, which is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.fields.get_named(name.as_bytes())
    }

    /// The fields behind the body, once that was read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }

    /// The address that it came from.
    #[must_use]
    pub fn peer(&self) -> String {
        self.exchange.peer()
    }

    /// What is known of the connection by TLS, if that is spoken.
    #[must_use]
    pub fn tls(&self) -> Option<Info> {
        self.exchange.tls()
    }

    /// Waits for more of the body, and appends it.
    ///
    /// # Errors
    /// When the answer is cut, or the time is over; it may be called again after the latter.
    pub fn read(
        &mut self,
        into: &mut Vec<u8>,
        patience: Duration,
    ) -> Result<Received, ClientError> {
        let deadline = Deadline::new(patience);
        while !self.is_over {
            match self.exchange.poll_part()? {
                Some(Part::Data(bytes)) if bytes.is_empty() => {}
                Some(Part::Data(bytes)) => {
                    into.extend_from_slice(&bytes);
                    return Ok(Received::Bytes(bytes.len()));
                }
                Some(Part::End(trailers)) => {
                    self.trailers = trailers;
                    self.is_over = true;
                }
                None => {
                    self.upload.pump(&mut self.exchange)?;
                    self.exchange.turn(deadline, Waiting::Receive)?;
                }
            }
        }
        Ok(Received::End)
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// As of [`Answer::read`], or when there are more bytes than the client's `answer_max`.
    pub fn collect(&mut self, patience: Duration) -> Result<Vec<u8>, ClientError> {
        let deadline = Deadline::new(patience);
        let mut body = Vec::new();
        loop {
            let read = self.read(&mut body, deadline.rest());
            let read = read.map_err(|error| error.told_as(patience))?;
            if body.len() > self.answer_max {
                return Err(ClientError::Transfer {
                    peer: self.peer(),
                    what: "answer".to_owned(),
                    reason: TransferError::TooLarge { max: self.answer_max },
                });
            }
            if read == Received::End {
                return Ok(body);
            }
        }
    }

    /// The body as a reader, each read of which waits for no longer than `patience`.
    #[must_use]
    pub const fn reader(&mut self, patience: Duration) -> BodyReader<'_, 'b> {
        BodyReader { answer: self, patience, piece: Vec::new(), at: 0 }
    }
}

/// The body of an answer as a reader. What is left in it when it is dropped is lost.
#[derive(Debug)]
pub struct BodyReader<'a, 'b> {
    answer: &'a mut Answer<'b>,
    patience: Duration,
    piece: Vec<u8>,
    at: usize,
}

impl Read for BodyReader<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.piece.len() {
            self.piece.clear();
            self.at = 0;
            self.answer.read(&mut self.piece, self.patience).map_err(|error| {
                let is_late = matches!(error, ClientError::Deadline { .. });
                let kind = if is_late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
                io::Error::new(kind, error)
            })?;
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let len = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.at += len;
        Ok(len)
    }
}
