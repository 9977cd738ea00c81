//! A stream that speaks TLS: what is asked of it besides, and what its events mean.

use nix::errno::Errno;

use super::{Connecting, Stream, StreamEvent};
use crate::mem::{Buf, Key};
use crate::net::secure::{Opened, Secure};
use crate::net::tls::{Session, TlsError};
use crate::ring::Driver;
use crate::runtime::Reactor;

impl Stream {
    /// Speaks TLS from now on; nothing was sent. A stream that is to connect connects by TLS, too.
    pub fn secure(&mut self, session: Session) {
        self.tls = Some(Box::new(Secure::new(session)));
        if self.fd.is_none() {
            self.connecting = Connecting::Yes;
        }
    }

    /// What a server is sent before the TLS handshake, as it is. The stream was just secured.
    pub fn queue_preface(&mut self, buf: Buf) {
        if let Some(tls) = &mut self.tls {
            tls.queue(buf);
        }
    }

    /// Takes bytes that were received before the stream spoke TLS, and are part of that.
    pub fn open_received<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        bytes: &Buf,
    ) -> StreamEvent {
        self.open(reactor, key, bytes)
    }

    /// Whether bytes go to the socket as they are, so that the kernel may move them.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// The TLS connection, if there is one.
    #[must_use]
    pub fn tls(&self) -> Option<&Session> {
        self.tls.as_deref().map(Secure::session)
    }

    /// Why TLS has failed, if it has.
    #[must_use]
    pub fn tls_error(&self) -> Option<&TlsError> {
        self.tls.as_deref().and_then(Secure::error)
    }

    /// What came with the end of the handshake, once.
    pub fn take_held(&mut self) -> Option<Buf> {
        self.tls.as_mut().and_then(|tls| tls.take_held())
    }

    /// Tells a peer by TLS that nothing more comes; to others, the close that follows says it.
    ///
    /// # Errors
    /// As [`Stream::shutdown_write`].
    pub fn say_end<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
    ) -> Result<(), Errno> {
        if self.is_plain() { Ok(()) } else { self.shutdown_write(reactor) }
    }

    /// Sends a few last sealed bytes, behind which nothing comes, past the ring: the socket may be
    /// closed before a send of the ring has begun.
    pub(super) fn send_last<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        let wire = self.tls.as_mut().and_then(|tls| tls.wire.take());
        if let (Some(wire), Some(socket), false) = (wire, self.fd, self.sending) {
            for slice in wire.segments() {
                // Whoever does not take it, does not need it.
                let _full = reactor.driver().send_now(socket, slice);
            }
        }
    }

    /// What an event means on a connection by TLS.
    pub(super) fn handle_secured<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        event: StreamEvent,
    ) -> StreamEvent {
        match event {
            StreamEvent::Data(buf) => self.open(reactor, key, &buf),
            StreamEvent::End if self.tls.as_mut().is_some_and(|tls| tls.is_cut()) => {
                StreamEvent::Broken(Errno::EPROTO)
            }
            StreamEvent::End
            | StreamEvent::Starved
            | StreamEvent::Sent(_)
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_)
            | StreamEvent::Broken(_)
            | StreamEvent::Quiet => event,
        }
    }

    /// Opens received bytes.
    fn open<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        bytes: &Buf,
    ) -> StreamEvent {
        let Some(tls) = &mut self.tls else { return StreamEvent::Quiet };
        match tls.open(reactor.scratch(), bytes) {
            Opened::Failed => {
                self.send_last(reactor);
                StreamEvent::Broken(Errno::EPROTO)
            }
            Opened::Established => {
                self.flush(reactor, key);
                StreamEvent::Secured
            }
            Opened::Data(data, closed) => {
                self.flush(reactor, key);
                if let (true, Some(socket)) = (closed, self.fd) {
                    // What follows is the end, as if the peer had shut its socket.
                    reactor.driver().shutdown_read(socket);
                }
                data.map_or(StreamEvent::Quiet, StreamEvent::Data)
            }
        }
    }

    /// What an event means while a connection to a server is made.
    pub(super) fn handle_connecting<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        event: StreamEvent,
    ) -> StreamEvent {
        match event {
            StreamEvent::Connected => {
                if let Some(tls) = &mut self.tls {
                    tls.start(reactor.scratch());
                }
                self.flush(reactor, key);
                self.receive(reactor, key, false);
                StreamEvent::Quiet
            }
            StreamEvent::Data(_) | StreamEvent::End => {
                match self.handle_secured(reactor, key, event) {
                    StreamEvent::Secured => {
                        self.connecting = Connecting::No;
                        StreamEvent::Connected
                    }
                    StreamEvent::Broken(errno) => self.fail_connect(reactor, key, errno),
                    StreamEvent::End => self.fail_connect(reactor, key, Errno::ECONNRESET),
                    StreamEvent::Data(_)
                    | StreamEvent::Starved
                    | StreamEvent::Sent(_)
                    | StreamEvent::Writable
                    | StreamEvent::Readable
                    | StreamEvent::Connected
                    | StreamEvent::ConnectFailed(_)
                    | StreamEvent::Quiet => StreamEvent::Quiet,
                }
            }
            StreamEvent::Broken(errno) => self.fail_connect(reactor, key, errno),
            StreamEvent::Starved => self.fail_connect(reactor, key, Errno::ENOBUFS),
            StreamEvent::Writable => {
                self.flush(reactor, key);
                StreamEvent::Quiet
            }
            StreamEvent::ConnectFailed(_) => event,
            StreamEvent::Sent(_)
            | StreamEvent::Readable
            | StreamEvent::Secured
            | StreamEvent::Quiet => StreamEvent::Quiet,
        }
    }

    /// Ends the operations of a connection that does not come about; then it has failed.
    pub(super) fn fail_connect<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        errno: Errno,
    ) -> StreamEvent {
        self.connecting = Connecting::Failing(errno);
        let _lost = self.abandon(reactor, key);
        if self.pending == 0 { StreamEvent::ConnectFailed(errno) } else { StreamEvent::Quiet }
    }
}
