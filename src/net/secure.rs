//! TLS on a stream: what is to be sent is sealed once a turn, what comes is opened as it comes.

use super::tls::{Session, TlsError};
use crate::mem::{Buf, Outgoing};
use crate::ring::Driver;
use crate::runtime::{Reactor, Scratch};

/// Shorter slices are sealed together.
const SHORT: usize = 4 * 1024;
/// Bytes that are sealed together.
const TOGETHER: usize = 16 * 1024;

/// The TLS of a stream.
#[derive(Debug)]
pub(super) struct Secure {
    session: Session,
    /// Sealed bytes that wait to be sent.
    pub(super) wire: Option<Outgoing>,
    /// Bytes of the application that are sealed and not sent.
    sealed: usize,
    /// What came with the end of the handshake.
    held: Option<Buf>,
    error: Option<TlsError>,
}

/// What came of received bytes.
#[derive(Debug)]
pub(super) enum Opened {
    /// Bytes of the application, if any, and whether the peer has said its end.
    Data(Option<Buf>, bool),
    /// The handshake is done.
    Established,
    /// The connection is of no further use.
    Failed,
}

impl Secure {
    pub(super) const fn new(session: Session) -> Self {
        Self { session, wire: None, sealed: 0, held: None, error: None }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(super) const fn error(&self) -> Option<&TlsError> {
        self.error.as_ref()
    }

    pub(super) fn take_held(&mut self) -> Option<Buf> {
        self.held.take()
    }

    /// A client begins.
    pub(super) fn start(&mut self, scratch: &mut Scratch) {
        let mut page = scratch.pages.take();
        self.error = self.session.start(page.bytes()).err();
        self.queue(scratch.pages.seal(page));
    }

    /// Takes received bytes.
    pub(super) fn open(&mut self, scratch: &mut Scratch, input: &Buf) -> Opened {
        let Scratch { bytes, pages } = scratch;
        let (mut plain, mut wire) = (pages.take(), pages.take());
        let result = self.session.receive(input, bytes, plain.bytes(), wire.bytes());
        let (plain, wire) = (pages.seal(plain), pages.seal(wire));
        self.queue(wire);
        let data = (!plain.is_empty()).then_some(plain);
        match result {
            Ok(received) if received.established => {
                self.held = data;
                Opened::Established
            }
            Ok(received) => Opened::Data(data, received.closed),
            Err(error) => {
                self.error = Some(error);
                Opened::Failed
            }
        }
    }

    /// The peer sends no more. True when it ended too early.
    pub(super) fn is_cut(&mut self) -> bool {
        self.error = self.session.receive_end().err();
        self.error.is_some()
    }

    /// Seals bytes of the application; false when that has failed.
    pub(super) fn seal<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        plain: &Outgoing,
    ) -> bool {
        let now = reactor.now();
        let Scratch { bytes, pages } = reactor.scratch();
        let mut page = pages.take();
        bytes.clear();
        let mut result = Ok(());
        for slice in plain.segments() {
            self.sealed += slice.len();
            let is_short = slice.len() < SHORT;
            if !bytes.is_empty() && (!is_short || bytes.len() + slice.len() > TOGETHER) {
                result = result.and_then(|()| self.session.send(bytes, now, page.bytes()));
                bytes.clear();
            }
            if is_short {
                bytes.extend_from_slice(slice);
            } else {
                result = result.and_then(|()| self.session.send(slice, now, page.bytes()));
            }
        }
        result = result.and_then(|()| self.session.send(bytes, now, page.bytes()));
        self.error = self.error.take().or_else(|| result.err());
        self.queue(pages.seal(page));
        self.error.is_none()
    }

    /// What is sealed was sent, all of it: how many bytes of the application that is.
    pub(super) const fn take_sent(&mut self) -> usize {
        std::mem::replace(&mut self.sealed, 0)
    }

    /// The end, to be sent behind all else.
    pub(super) fn end(&mut self, scratch: &mut Scratch) {
        let mut page = scratch.pages.take();
        self.session.close_notify(page.bytes());
        self.queue(scratch.pages.seal(page));
    }

    /// Queues bytes for the socket as they are.
    pub(super) fn queue(&mut self, wire: Buf) {
        if wire.is_empty() {
            return;
        }
        self.wire = Some(match self.wire.take() {
            None => Outgoing::One(wire),
            Some(queued) => queued.append(wire),
        });
    }
}
