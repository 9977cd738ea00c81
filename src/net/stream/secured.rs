//! A stream that speaks TLS: what is asked of it besides, and what its events mean.

use std::sync::Arc;

use nix::errno::Errno;

use super::{Connecting, Stream, StreamEvent};
use crate::mem::{Buf, Key, Outgoing};
use crate::net::secure::{Control, Opened, Secure};
use crate::net::tls::kernel::{KernelError, Report};
use crate::net::tls::{Session, TlsError};
use crate::ring::Driver;
use crate::runtime::Reactor;

/// The longest record with its head, in bytes: see [`Stream::receive_rest`].
const REST_MAX: usize = 5 + 16 * 1024 + 2048;

impl Stream {
    /// Speaks TLS from now on; nothing was sent. A stream that is to connect connects by TLS, too.
    pub fn secure(&mut self, session: Session) {
        self.tls = Some(Box::new(Secure::new(session)));
        if self.fd.is_none() {
            self.connecting = Connecting::Yes;
        }
    }

    /// Begins a handshake with the server at the other end of a connection that stands: behind a
    /// proxy's answer, for example. Nothing is queued and no receive is armed. What comes of it is
    /// [`StreamEvent::Connected`] or [`StreamEvent::ConnectFailed`].
    pub fn secure_connected<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        session: Session,
    ) {
        debug_assert!(!self.is_receiving() && self.is_drained(), "no plain bytes are under way");
        self.tls = Some(Box::new(Secure::new(session)));
        self.connecting = Connecting::Yes;
        let _begun = self.handle_connecting(reactor, key, StreamEvent::Connected);
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

    /// Whether the peer, which sends no more, has not said so by TLS: anybody can cut a connection.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.tls().is_some_and(|session| !session.is_closed())
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

    /// The kernel may be asked to encrypt what is sent: see [`Stream::takes_pages`].
    pub fn offer_kernel(&mut self, report: Arc<Report>) {
        if let Some(tls) = &mut self.tls {
            tls.offer(report);
        }
    }

    /// Whether the kernel encrypts what is sent.
    #[must_use]
    pub fn is_offloaded(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_offloaded())
    }

    /// Whether [`Stream::takes_pages`] may say yes.
    #[must_use]
    pub fn may_take_pages(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_or_may_be_offloaded())
    }

    /// Whether the kernel may move bytes to the socket by `sendfile(2)` or `splice(2)`: there is no
    /// TLS, or the kernel encrypts, which it does from the first question on, if it can. All that
    /// was queued is sent.
    pub fn takes_pages<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
    ) -> bool {
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return true };
        if !self.sending && !tls.is_offloaded() {
            tls.offload(reactor.driver(), socket);
        }
        self.is_offloaded() && self.settle(reactor, key)
    }

    /// Whether [`Stream::gives_pages`] may say yes.
    #[must_use]
    pub fn may_give_pages(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.may_receive_plain())
    }

    /// Whether the kernel may move bytes from the socket by `splice(2)`: there is no TLS, or the
    /// kernel decrypts, which it does from the first question on, if it can. No receive is in
    /// flight, and [`Stream::receive_rest`] has found nothing to receive.
    pub fn gives_pages<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) -> bool {
        debug_assert!(!self.is_receiving(), "nobody else receives");
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return true };
        if !tls.receives_plain() && !self.sending {
            tls.offload(reactor.driver(), socket);
            tls.offload_receive(reactor.driver(), socket);
        }
        self.receives_plain()
    }

    /// Whether the kernel decrypts what is received.
    #[must_use]
    pub fn receives_plain(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.receives_plain())
    }

    /// Before the kernel decrypts: sends what rustls may still hold, and receives what is missing
    /// of a record that has come in part, and no more. None when nothing more is to be done, or can
    /// be; no receive is in flight. [`StreamEvent::Quiet`] when it has to wait.
    pub fn receive_rest<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
    ) -> Option<StreamEvent> {
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return None };
        if tls.receives_plain() || tls.session().is_closed() || self.blocked {
            return None;
        }
        if tls.session().owes_answer() {
            if !tls.answer(reactor.memory()) {
                return Some(StreamEvent::Broken(Errno::EPROTO));
            }
            self.flush(reactor, key);
            return Some(StreamEvent::Quiet);
        }
        let missing = match tls.session().missing() {
            0 => return None,
            missing if missing > REST_MAX => return None,
            missing => missing,
        };
        if self.watching {
            return Some(StreamEvent::Quiet);
        }
        let (driver, memory) = reactor.parts();
        let room = memory.work.lend();
        room.resize(missing, 0);
        match driver.receive_now(socket, room) {
            Ok(0) => Some(self.handle_secured(reactor, key, StreamEvent::End)),
            Ok(len) => {
                let bytes = Buf::copy_of(room.get(..len).unwrap_or_default());
                Some(self.handle_secured(reactor, key, StreamEvent::Data(bytes)))
            }
            Err(Errno::EAGAIN) => {
                self.watch_readable(reactor, key);
                Some(StreamEvent::Quiet)
            }
            Err(errno) => Some(StreamEvent::Broken(errno)),
        }
    }

    /// Data came from a kernel that decrypts, past [`Stream::handle`].
    pub(in crate::net) fn note_moved(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.note_data();
        }
    }

    /// Takes what stands where data was expected of a kernel that decrypts. The peer is told why
    /// the connection fails.
    pub(in crate::net) fn take_control<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
    ) -> Control {
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return Control::Failed };
        let control = tls.take_control(reactor, socket);
        if matches!(control, Control::Failed) {
            self.say_failure(reactor, false);
        }
        control
    }

    /// A record came that the kernel cannot decrypt. The peer is told, if it can be.
    pub(in crate::net) fn fail_opened<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if let Some(tls) = &mut self.tls {
            tls.fail_opened();
        }
        self.say_failure(reactor, false);
    }

    /// Whether FIN without a word of TLS tells the peer of a cut: by TLS that we decrypt ourselves.
    #[must_use]
    pub fn tells_cuts(&self) -> bool {
        self.tls.is_some() && !self.receives_plain()
    }

    /// Seals what is queued, or prepares the kernel for it; false when nothing can be sent now.
    pub(super) fn prepare_send<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
    ) -> bool {
        let Some(tls) = &mut self.tls else { return true };
        if tls.is_offloaded() {
            return self.outbox.is_none() || self.settle(reactor, key);
        }
        if tls.wire.is_none()
            && !tls.is_handshaking()
            && let Some(mut plain) = self.outbox.take()
        {
            self.outbox = plain.split_excess();
            if let (false, Some(socket)) = (tls.seal(reactor, &plain), self.fd) {
                // Nothing more can be sent: what follows is the end.
                reactor.driver().shutdown_read(socket);
            }
        }
        true
    }

    /// Has the kernel take its next key, if it is time; false when it can be given nothing now.
    fn settle<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) -> bool {
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return true };
        match tls.settle(reactor.driver(), socket) {
            Ok(()) => true,
            Err(KernelError::Full) => {
                self.watch_writable(reactor, key);
                false
            }
            Err(error) => {
                tracing::debug!(%error, "TLS has ended");
                // Nothing more can be sent: what follows is the end.
                self.outbox = None;
                reactor.driver().shutdown_read(socket);
                false
            }
        }
    }

    /// Tells a peer by TLS that nothing more comes; to others, the close that follows says it. All
    /// is sent. False when the socket takes nothing now: then it is to be repeated once it does.
    pub fn say_end<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) -> bool {
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return true };
        if tls.is_handshaking() {
            return true;
        }
        if tls.is_offloaded() {
            // A peer that is gone needs no word.
            let is_full = tls.end_by_kernel(reactor.driver(), socket) == Err(KernelError::Full);
            if is_full {
                self.watch_writable(reactor, key);
            }
            return !is_full;
        }
        tls.end(reactor.memory());
        if let Some(rest) = self.send_last(reactor) {
            if let Some(tls) = &mut self.tls {
                tls.wire = Some(rest.into_heap());
            }
            self.watch_writable(reactor, key);
            return false;
        }
        true
    }

    /// Sends a few last sealed bytes, behind which nothing comes, past the ring: the socket may be
    /// closed before a send of the ring has begun. What it did not take is returned.
    pub(super) fn send_last<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
    ) -> Option<Outgoing> {
        let wire = self.tls.as_mut().and_then(|tls| tls.wire.take())?;
        let socket = self.fd.filter(|_| !self.sending)?;
        let mut sent = 0;
        for slice in wire.segments() {
            match reactor.driver().send_now(socket, slice, false) {
                Ok(count) => {
                    sent += count;
                    self.note_written(count);
                }
                Err(Errno::EAGAIN) => return wire.after(sent),
                // The peer is gone.
                Err(_) => return None,
            }
        }
        wire.after(sent)
    }

    /// What an event means on a connection by TLS.
    pub(super) fn handle_secured<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        event: StreamEvent,
    ) -> StreamEvent {
        match event {
            // Its connection has ended, perhaps with an alert, behind which nothing is said.
            StreamEvent::Data(_) if self.abandoned => StreamEvent::Quiet,
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

    /// What came of a receive means where the kernel decrypts.
    pub(super) fn handle_decrypted<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        event: StreamEvent,
    ) -> StreamEvent {
        if self.abandoned {
            return StreamEvent::Quiet;
        }
        match event {
            StreamEvent::Data(_) => {
                self.note_moved();
                event
            }
            // A record of another type than data, or, as it seems, the end: that may be a record
            // without bytes.
            StreamEvent::Broken(Errno::EIO) | StreamEvent::End => {
                match self.take_control(reactor) {
                    Control::Quiet | Control::Nothing => StreamEvent::Quiet,
                    Control::Data(buf) => StreamEvent::Data(buf),
                    Control::End => StreamEvent::End,
                    Control::Failed => StreamEvent::Broken(Errno::EPROTO),
                }
            }
            // A record that cannot be decrypted, or is none.
            StreamEvent::Broken(Errno::EBADMSG | Errno::EINVAL) => {
                self.fail_opened(reactor);
                StreamEvent::Broken(Errno::EPROTO)
            }
            StreamEvent::Broken(_)
            | StreamEvent::Starved
            | StreamEvent::Sent(_)
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_)
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
        match tls.open(reactor.memory(), bytes) {
            Opened::Failed { told } => {
                self.say_failure(reactor, told);
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
                    tls.start(reactor.memory());
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
            StreamEvent::Writable => {
                self.flush(reactor, key);
                StreamEvent::Quiet
            }
            // A shortage of ours says nothing of the server: the receive goes on when it is over.
            StreamEvent::ConnectFailed(_) | StreamEvent::Starved => event,
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
