//! What is spoken on one connection: requests in, bytes out; bytes in, what became of requests out.
//! Pure: no socket, and time as an argument.
//!
//! | file | protocol |
//! |---|---|
//! | `raw` | so many bytes for so many bytes, on TCP or UDP |
//! | `frame` | ECHO of the framed protocol |
//! | `http1`, `http2` | HTTP; `http2` also has the calls of gRPC |
//! | `websocket` | messages that come back |

pub(super) mod frame;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod raw;
pub(super) mod websocket;

use std::time::Instant;

use super::recorder::Failure;
use crate::mem::{Buf, FreeList};
use crate::proto::http::ResponseHead;
use crate::proto::http2::Workspace;
use crate::session::Writer;

/// The number of a request, which its connection is told.
pub(super) type RequestNumber = u64;

/// What one connection speaks.
///
/// Calling order: [`Wire::greet`] when the connection stands; [`Wire::begin`] while
/// [`Wire::room`] is not 0; [`Wire::receive`] and [`Wire::end`] with what comes, and behind them
/// [`Wire::poll`] until it says `None`; [`Wire::finish`] before what was written is sent.
pub(super) trait Wire: std::fmt::Debug {
    /// What is sent before any request.
    fn greet(&mut self, _memory: &mut WireMemory, _out: &mut Writer<'_>) {}

    /// Requests that may begin now.
    fn room(&self) -> usize;

    /// Begins a request of a target, by its place among those of the run.
    fn begin(
        &mut self,
        number: RequestNumber,
        target: usize,
        memory: &mut WireMemory,
        out: &mut Writer<'_>,
    );

    /// Bytes have come.
    fn receive(&mut self, buf: Buf);

    /// No more comes.
    fn end(&mut self, end: End);

    /// The next thing that has come.
    fn poll(
        &mut self,
        now: Instant,
        memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) -> Option<WireEvent>;

    /// The request is given up. False: the connection cannot be used any more.
    fn give_up(&mut self, _number: RequestNumber, _memory: &mut WireMemory) -> bool {
        false
    }

    /// Writes what may go out, and keeps nothing of the receive buffers.
    fn finish(&mut self, _now: Instant, _memory: &mut WireMemory, _out: &mut Writer<'_>) {}

    /// Whether each piece that is written has to be sent by itself: it is a datagram.
    fn is_datagram(&self) -> bool {
        false
    }
}

/// Memory that the connections of a thread share.
#[derive(Debug)]
pub(super) struct WireMemory {
    pub(super) heads: FreeList<ResponseHead>,
    pub(super) space: Workspace,
}

impl Default for WireMemory {
    fn default() -> Self {
        Self { heads: FreeList::new(64, 64 * 1024), space: Workspace::default() }
    }
}

/// How a connection's peer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has said that it sends no more.
    Orderly,
    /// It has ended the transport without TLS's word for it.
    Cut,
    /// It has reset the connection.
    Reset,
}

impl End {
    /// What that is to a request that waits.
    pub(super) fn failure(self) -> (Failure, String) {
        match self {
            Self::Orderly => {
                (Failure::Closed, "the server closed the connection before it answered".into())
            }
            Self::Cut => (
                Failure::Closed,
                "the connection ended without close_notify before the answer".into(),
            ),
            Self::Reset => (Failure::Reset, "the server reset the connection".into()),
        }
    }

    /// What that is to the connection.
    fn broken(self) -> WireEvent {
        let (failure, reason) = self.failure();
        WireEvent::Broken(failure, reason)
    }
}

/// What has come.
#[derive(Debug)]
pub(super) enum WireEvent {
    /// Requests may begin.
    Open,
    /// The first byte of an answer.
    FirstByte(RequestNumber),
    /// An answer is all there.
    Done(RequestNumber, Answered),
    /// The connection carries no further request, and that is as it should be.
    Ended,
    /// The connection is of no more use, and what is on it has failed.
    Broken(Failure, String),
}

/// What an answer was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// Its status, where the protocol has one.
    pub(super) status: Option<u16>,
    /// Why it counts as failed, and in words.
    pub(super) failure: Option<(Failure, String)>,
}

/// The answer with an HTTP status, which fails from 400 on.
pub(super) fn answered(status: u16) -> Answered {
    let failure = (status >= 400).then(|| (Failure::Status, format!("status {status}")));
    Answered { status: Some(status), failure }
}
