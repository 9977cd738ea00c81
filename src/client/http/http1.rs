//! HTTP/1.1: one exchange after the other.

use super::connection::{AnswerHead, Part};
use super::request::Prepared;
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Fields, ResponseHead};
use crate::proto::http1::{
    Client, ClientError, ClientEvent, HeadLimits, Output, Refusal, RequestLine,
};
use crate::proto::http2::StreamId;

/// The machine of one connection.
#[derive(Debug)]
pub(super) struct Http1 {
    machine: Client,
}

impl Http1 {
    pub(super) fn new(head_max: usize) -> Self {
        let limits = HeadLimits { size: head_max, ..HeadLimits::default() };
        Self { machine: Client::with_limits(limits) }
    }

    pub(super) fn can_begin(&self) -> bool {
        self.machine.is_ready()
    }

    pub(super) fn begin(
        &mut self,
        request: &Prepared,
        ends: bool,
        out: &mut impl Output,
    ) -> StreamId {
        let Prepared { head, authority, size, url } = request;
        self.machine.begin(head.method);
        let line = RequestLine {
            head,
            path: &url.path,
            authority,
            size: *size,
            upgrade: false,
            key: None,
        };
        self.machine.send_head(line, out);
        if ends {
            self.machine.send_end(None, out);
        }
        0
    }

    pub(super) fn is_sending(&self) -> bool {
        self.machine.is_sending()
    }

    pub(super) fn send_part(&mut self, part: Buf, out: &mut impl Output) {
        self.machine.send_body(part, out);
    }

    pub(super) fn send_end(&mut self, trailers: Option<&Fields>, out: &mut impl Output) {
        self.machine.send_end(trailers, out);
    }

    pub(super) fn poll_head(
        &mut self,
        spare: &mut FreeList<ResponseHead>,
    ) -> Result<Option<AnswerHead>, ClientError> {
        loop {
            match self.machine.poll_event(false, spare)? {
                Some(ClientEvent::Interim(head)) => spare.give(head),
                // Nobody has asked for another protocol.
                Some(ClientEvent::Switched) => return Err(Refusal::StatusLine.into()),
                Some(ClientEvent::Head(head, _)) if head.status == 101 => {
                    return Err(Refusal::StatusLine.into());
                }
                Some(ClientEvent::Head(head, length)) => return Ok(Some((head, length))),
                // The body is behind the head.
                Some(ClientEvent::Body(_) | ClientEvent::End(_)) | None => return Ok(None),
            }
        }
    }

    pub(super) fn poll_part(
        &mut self,
        spare: &mut FreeList<ResponseHead>,
    ) -> Result<Option<Part>, ClientError> {
        match self.machine.poll_event(true, spare)? {
            Some(ClientEvent::Body(part)) => Ok(Some(Part::Data(part))),
            Some(ClientEvent::End(trailers)) => Ok(Some(Part::End(trailers))),
            // The head is before the body.
            Some(ClientEvent::Interim(_) | ClientEvent::Head(..) | ClientEvent::Switched)
            | None => Ok(None),
        }
    }

    /// Whether the server has said something of the exchange: the beginning of a head is something.
    pub(super) fn is_seen(&self) -> bool {
        self.machine.is_seen() || self.machine.is_in_body() || !self.machine.is_read()
    }

    pub(super) fn is_read(&self) -> bool {
        self.machine.is_read() || !self.machine.is_in_body()
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.machine.is_reusable()
    }

    pub(super) fn receive(&mut self, buf: Buf) {
        self.machine.receive(buf);
    }

    pub(super) fn receive_end(&mut self, is_cut: bool) {
        self.machine.receive_end(is_cut);
    }

    pub(super) const fn receive_reset(&mut self) {
        self.machine.receive_reset();
    }

    pub(super) const fn close_after(&mut self) {
        self.machine.close_after();
    }

    pub(super) fn hold(&mut self) {
        self.machine.hold();
    }
}
