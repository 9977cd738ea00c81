//! One connection of HTTP, of either version: a socket, and the machine that is driven over it.

use std::os::fd::AsFd;
use std::time::Instant;

use super::http1::Http1;
use super::http2::Http2;
use super::options::{HttpOptions, HttpProtocol};
use super::request::Prepared;
use crate::client::connect::{self, Kind};
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::client::line::Line;
use crate::client::{ClientError, ConnectOptions, Target};
use crate::mem::{Buf, FreeList};
use crate::net::tls::Session;
use crate::proto::http::{Fields, ResponseHead, Version};
use crate::proto::http2::{ErrorCode, StreamId};

/// Bytes that wait for a socket, at most, and bytes of one request that wait for windows.
pub(super) const WAITING_MAX: usize = 256 * 1024;
/// Heads that are kept for the next answers, and bytes of each.
const SPARE_HEADS: (usize, usize) = (2, 16 * 1024);

/// Something of an answer.
#[derive(Debug)]
pub(in crate::client) enum Part {
    /// Of its body.
    Data(Buf),
    /// Its end, with what came behind the body.
    End(Option<Box<Fields>>),
}

/// The head of an answer, and the length of its body, if that is declared.
pub(in crate::client) type AnswerHead = (Box<ResponseHead>, Option<u64>);

/// A connection, and what it carries.
#[derive(Debug)]
pub(super) struct Connection {
    line: Line,
    wire: Wire,
    out: Vec<u8>,
    spare: FreeList<ResponseHead>,
    /// It has carried an exchange to its end.
    is_used: bool,
    /// Why it is of no more use.
    lost: Option<ClientError>,
}

#[derive(Debug)]
enum Wire {
    One(Box<Http1>),
    Many(Box<Http2>),
}

impl Connection {
    /// Connects.
    pub(super) fn connect(
        target: &Target,
        connect: &ConnectOptions,
        is_http2: bool,
        options: &HttpOptions,
    ) -> Result<Self, ClientError> {
        let line = connect::connect(target, Kind::Stream, connect)?;
        let chosen = line.tls().map(|session| session.alpn().map(<[u8]>::to_vec));
        let is_http2 = match chosen {
            None => is_http2,
            Some(Some(name)) => name == b"h2",
            Some(None) if options.protocol == HttpProtocol::Http2 => {
                return Err(ClientError::Http {
                    peer: line.peer().to_string(),
                    version: "HTTP/2",
                    reason: "it chose no protocol (ALPN)".to_owned(),
                });
            }
            Some(None) => false,
        };
        let wire = if is_http2 {
            Wire::Many(Box::new(Http2::new(options.head_max)))
        } else {
            Wire::One(Box::new(Http1::new(options.head_max)))
        };
        let spare = FreeList::new(SPARE_HEADS.0, SPARE_HEADS.1);
        Ok(Self { line, wire, out: Vec::new(), spare, is_used: false, lost: None })
    }

    /// The address at the other end.
    pub(super) fn peer(&self) -> String {
        self.line.peer().to_string()
    }

    pub(super) fn tls(&self) -> Option<&Session> {
        self.line.tls()
    }

    pub(super) const fn version(&self) -> Version {
        match &self.wire {
            Wire::One(_) => Version::Http11,
            Wire::Many(_) => Version::Http2,
        }
    }

    /// Whether an exchange was carried before.
    pub(super) const fn is_used(&self) -> bool {
        self.is_used
    }

    /// Whether many exchanges are carried at a time.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.wire, Wire::Many(_))
    }

    /// Whether a request may begin, as far as is known.
    pub(super) fn can_begin(&self) -> bool {
        let is_open = match &self.wire {
            Wire::One(one) => one.can_begin() && !self.line.is_ended(),
            Wire::Many(many) => many.can_begin(),
        };
        is_open && self.lost.is_none() && self.line.check_send().is_ok()
    }

    /// Whether no further request will ever begin.
    pub(super) fn is_spent(&self) -> bool {
        match &self.wire {
            Wire::One(_) => !self.can_begin(),
            Wire::Many(many) => {
                many.is_spent() || self.lost.is_some() || self.line.check_send().is_err()
            }
        }
    }

    /// Looks, without waiting, whether the server has said something: that it goes away, most
    /// often.
    pub(super) fn look(&mut self) -> Result<(), ClientError> {
        let now = self.line.now();
        self.turn_until(Some(now))
    }

    /// Begins an exchange; all of it, if it `ends` with its head.
    pub(super) fn begin(&mut self, request: &Prepared, ends: bool) -> StreamId {
        let stream = match &mut self.wire {
            Wire::One(one) => one.begin(request, ends, &mut self.out),
            Wire::Many(many) => many.begin(request, ends, &mut self.out),
        };
        self.queue();
        stream
    }

    /// Whether the body of a request is still wanted.
    pub(super) fn is_sending(&self, stream: StreamId) -> bool {
        self.line.check_send().is_ok()
            && match &self.wire {
                Wire::One(one) => one.is_sending(),
                Wire::Many(many) => many.is_sending(stream),
            }
    }

    /// Bytes that can be taken of a request's body now.
    pub(super) fn room(&self, stream: StreamId) -> usize {
        match &self.wire {
            Wire::One(_) if self.line.is_drained() => WAITING_MAX,
            Wire::One(_) => 0,
            Wire::Many(many) => many.room(stream),
        }
    }

    /// Sends a part of a request's body.
    pub(super) fn send_part(&mut self, stream: StreamId, part: Buf) {
        match &mut self.wire {
            Wire::One(one) => one.send_part(part, &mut self.out),
            Wire::Many(many) => many.send_part(stream, part),
        }
        self.queue();
    }

    /// Sends the end of a request.
    pub(super) fn send_end(&mut self, stream: StreamId, trailers: Option<&Fields>) {
        match &mut self.wire {
            Wire::One(one) => one.send_end(trailers, &mut self.out),
            Wire::Many(many) => many.send_end(stream, trailers),
        }
        self.queue();
    }

    /// The head of an answer, once it has come.
    pub(super) fn poll_head(
        &mut self,
        stream: StreamId,
    ) -> Result<Option<AnswerHead>, ClientError> {
        match &mut self.wire {
            Wire::One(one) => one.poll_head(&mut self.spare).map_err(|error| self.explain(error)),
            Wire::Many(many) => many.poll_head(stream),
        }
    }

    /// More of an answer, behind its head.
    pub(super) fn poll_part(&mut self, stream: StreamId) -> Result<Option<Part>, ClientError> {
        match &mut self.wire {
            Wire::One(one) => one.poll_part(&mut self.spare).map_err(|error| self.explain(error)),
            Wire::Many(many) => many.poll_part(stream),
        }
    }

    /// Whether the server has said something of an exchange.
    pub(super) fn is_seen(&self, stream: StreamId) -> bool {
        match &self.wire {
            Wire::One(one) => one.is_seen(),
            Wire::Many(many) => many.is_seen(stream),
        }
    }

    /// What an error of the first version means here.
    fn explain(&self, error: crate::proto::http1::ClientError) -> ClientError {
        use crate::proto::http1::ClientError as Http1Error;
        let (peer, version) = (self.peer(), "HTTP/1.1");
        let rule = |reason: &str| {
            let (peer, reason) = (peer.clone(), reason.to_owned());
            ClientError::Http { peer, version, reason }
        };
        match (error, &self.lost) {
            (Http1Error::Refused(refusal), _) => rule(refusal.name()),
            (Http1Error::Flooded, _) => rule("too many interim answers"),
            (Http1Error::LostBeforeHead | Http1Error::LostInBody, Some(lost)) => lost.clone(),
            (Http1Error::LostBeforeHead, None) => ClientError::Closed { peer },
            (Http1Error::LostInBody, None) => ClientError::Cut { peer },
        }
    }

    /// An answer was taken whole. Whether another exchange may follow.
    pub(super) fn finish(&mut self, stream: StreamId) -> bool {
        self.is_used = true;
        match &mut self.wire {
            Wire::One(one) => one.is_reusable(),
            Wire::Many(many) => {
                many.finish(stream);
                true
            }
        }
    }

    /// An exchange is not wanted any more: the server is told, as far as the socket takes it now.
    pub(super) fn give_up(&mut self, stream: StreamId, code: ErrorCode) {
        match &mut self.wire {
            // The end of the connection says it.
            Wire::One(_) => {}
            Wire::Many(many) => {
                many.reset(stream, code);
                // What fails now is met by the next exchange.
                let _failed = self.look();
            }
        }
    }

    /// Watches for a descriptor to be readable, in the turns to come.
    pub(super) fn watch(&mut self, input: &impl AsFd) {
        self.line.watch(input);
    }

    /// Whether the watched descriptor can be read; says so once.
    pub(super) fn take_input(&mut self) -> bool {
        self.line.take_input()
    }

    /// Watches no more.
    pub(super) fn unwatch(&mut self) -> Result<(), ClientError> {
        self.line.unwatch()?;
        // What came meanwhile would be waited for in vain.
        self.take();
        Ok(())
    }

    /// Waits until something happens.
    pub(super) fn turn(&mut self, deadline: Deadline, op: Waiting) -> Result<(), ClientError> {
        if self.line.is_over(deadline.until) {
            return Err(self.line.late(op, deadline.patience));
        }
        self.turn_until(deadline.until)
    }

    fn turn_until(&mut self, until: Option<Instant>) -> Result<(), ClientError> {
        self.transmit();
        if self.wants_bytes() {
            self.line.receive();
        }
        self.line.turn(until)?;
        self.take();
        self.transmit();
        Ok(())
    }

    /// What was received is read before more is.
    fn wants_bytes(&self) -> bool {
        match &self.wire {
            Wire::One(one) => one.is_read(),
            Wire::Many(_) => true,
        }
    }

    /// Takes what has come.
    fn take(&mut self) {
        while let Some(buf) = self.line.take() {
            match &mut self.wire {
                Wire::One(one) => one.receive(buf),
                Wire::Many(many) => many.receive(buf),
            }
        }
        let broken = self.line.check_receive().err();
        let (has_ended, is_cut) = (self.line.is_ended() || broken.is_some(), self.line.is_cut());
        if has_ended && self.lost.is_none() {
            let sending = self.line.check_send().err();
            let peer = self.peer();
            let cut = is_cut.then_some(ClientError::Cut { peer });
            self.lost = broken.clone().or(cut).or(sending);
        }
        match &mut self.wire {
            Wire::One(one) => {
                if broken.is_some() {
                    one.receive_reset();
                } else if has_ended {
                    one.receive_end(is_cut);
                }
                if self.line.check_send().is_err() {
                    one.close_after();
                }
                one.hold();
            }
            Wire::Many(many) => {
                let (now, peer) = (self.line.now(), self.line.peer());
                many.work(now, (has_ended, self.lost.as_ref()), &mut self.spare, peer);
                if has_ended && self.lost.is_none() {
                    self.lost = Some(ClientError::Closed { peer: peer.to_string() });
                }
            }
        }
    }

    /// Hands what may go out to the socket, if that has sent what it was given before.
    fn transmit(&mut self) {
        let Wire::Many(many) = &mut self.wire else { return };
        if !self.line.is_drained() {
            return;
        }
        if many.wants_round_trip()
            && let Some(time) = self.line.round_trip()
        {
            many.set_round_trip(time);
        }
        let now = self.line.now();
        many.transmit(now, WAITING_MAX, &mut self.out);
        self.queue();
    }

    fn queue(&mut self) {
        if !self.out.is_empty() {
            self.line.queue(&self.out);
            self.out.clear();
            if self.out.capacity() > WAITING_MAX {
                self.out = Vec::new();
            }
        }
    }
}

impl Drop for Connection {
    /// Says that it is over, where there is a word for that.
    fn drop(&mut self) {
        if let Wire::Many(many) = &mut self.wire {
            many.leave();
            self.transmit();
            let now = self.line.now();
            // Best effort: the end of the connection says the same.
            let _failed = self.line.turn(Some(now));
        }
    }
}
