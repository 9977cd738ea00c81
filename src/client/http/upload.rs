//! The body of a request on its way.

use std::io::{ErrorKind, Read};

use super::exchange::Exchange;
use super::request::Body;
use crate::client::ClientError;
use crate::mem::Buf;
use crate::proto::http::Fields;

/// Bytes that are read of a body at a time.
const PIECE: usize = 64 * 1024;

/// How far the body of a request is.
#[derive(Debug)]
pub(super) struct Upload<'b> {
    body: Body<'b>,
    trailers: Option<Fields>,
    /// Bytes that were handed on.
    sent: u64,
    /// Something was read of it that cannot be read again.
    is_touched: bool,
    is_done: bool,
}

impl<'b> Upload<'b> {
    pub(super) const fn new(body: Body<'b>, trailers: Option<Fields>) -> Self {
        Self { body, trailers, sent: 0, is_touched: false, is_done: false }
    }

    /// Whether the head is all there is.
    pub(super) fn is_empty(&self) -> bool {
        self.trailers.is_none() && self.body.length() == Some(0)
    }

    /// Begins again, if that is possible.
    pub(super) const fn rewind(&mut self) -> bool {
        self.sent = 0;
        self.is_done = false;
        !self.is_touched
    }

    /// Sends as much as the server takes now.
    pub(super) fn pump(&mut self, exchange: &mut Exchange) -> Result<(), ClientError> {
        while !self.is_done && exchange.is_sending() {
            let room = exchange.room().min(PIECE);
            if room == 0 {
                break;
            }
            match self.next(room)? {
                Some(part) => {
                    self.sent += part.len() as u64;
                    exchange.send_part(part);
                }
                None => {
                    self.is_done = true;
                    exchange.send_end(self.trailers.as_ref());
                }
            }
        }
        Ok(())
    }

    /// The next bytes of the body; `None` at its end.
    fn next(&mut self, room: usize) -> Result<Option<Buf>, ClientError> {
        match &mut self.body {
            Body::None => Ok(None),
            Body::Bytes(bytes) => {
                let from = usize::try_from(self.sent).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                let part = rest.get(..room.min(rest.len())).unwrap_or_default();
                Ok((!part.is_empty()).then(|| Buf::copy_of(part)))
            }
            Body::Reader { read, len } => {
                let left = len.map_or(u64::MAX, |len| len.saturating_sub(self.sent));
                let most = room.min(usize::try_from(left).unwrap_or(usize::MAX));
                if most == 0 {
                    return Ok(None);
                }
                self.is_touched = true;
                let part = read_some(read.as_mut(), most)?;
                if part.is_empty() && len.is_some() {
                    let reason = format!("its body ends {left} bytes before its length");
                    return Err(ClientError::Request { reason });
                }
                Ok((!part.is_empty()).then(|| Buf::from(part)))
            }
        }
    }
}

/// Reads once; nothing at the end.
fn read_some(read: &mut dyn Read, most: usize) -> Result<Vec<u8>, ClientError> {
    let mut piece = vec![0; most];
    loop {
        match read.read(&mut piece) {
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let reason = format!("its body cannot be read: {error}");
                return Err(ClientError::Request { reason });
            }
        }
    }
}
