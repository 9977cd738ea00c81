//! TLS on a stream: what is to be sent is sealed once a turn, what comes is opened as it comes.

use std::sync::Arc;

use nix::errno::Errno;

use super::tls::kernel::{self, Found, KernelError, KernelSender, Report, Verdict};
use super::tls::{Session, TlsError};
use crate::mem::{Buf, Outgoing};
use crate::ring::{Driver, Fd, TlsCalls};
use crate::runtime::{LoopMemory, Reactor};

/// Shorter slices are sealed together.
const SHORT: usize = 4 * 1024;
/// Bytes that are sealed together.
const TOGETHER: usize = 16 * 1024;

/// Calls that hand bytes to the kernel, after which it is asked how far its key is used up: none of
/// them is more than some hundred records.
const LOOK_EVERY: u16 = 1024;
/// When the kernel's key may encrypt so many records still, the next one is taken.
const RECORDS_SPARE: u64 = 1 << 20;
/// When that cannot be, the connection ends when there are so many left.
const RECORDS_LAST: u64 = 1 << 18;

/// The payload of the longest record that is no data (RFC 8446, section 5.1), in bytes.
const CONTROL_MAX: usize = 16 * 1024;

/// The TLS of a stream.
#[derive(Debug)]
pub(super) struct Secure {
    session: Session,
    /// Sealed bytes that wait to be sent.
    pub(super) wire: Option<Outgoing>,
    /// Bytes of the application that are sealed and not sent.
    sealed: usize,
    /// What came with the end of the handshake: boxed, as that is soon over.
    held: Option<Box<Buf>>,
    /// Boxed, for few connections have one, and all have its room.
    error: Option<Box<TlsError>>,
    /// What the kernel can do, until it has refused.
    offer: Option<Arc<Report>>,
    /// The kernel's end of the connection, if it encrypts what is sent.
    sender: Option<KernelSender>,
    /// The next key is to be taken before anything else is sent.
    owes_key: bool,
    /// The kernel decrypts what is received.
    receives_plain: bool,
    /// Data has come since the last record of another type, where the kernel decrypts.
    data_since: bool,
    /// Calls since the kernel was last asked for the use of its key.
    calls: u16,
}

/// What stands where data was expected of a kernel that decrypts.
#[derive(Debug)]
pub(super) enum Control {
    /// Nothing that concerns the caller: more may come at once.
    Quiet,
    /// Data, behind a record that had none.
    Data(Buf),
    /// Nothing yet.
    Nothing,
    /// The peer sends no more; whether it has said so is for [`Session::is_closed`].
    End,
    /// The connection is of no further use.
    Failed,
}

/// What came of received bytes.
#[derive(Debug)]
pub(super) enum Opened {
    /// Bytes of the application, if any, and whether the peer has said its end.
    Data(Option<Buf>, bool),
    /// The handshake is done.
    Established,
    /// The connection is of no further use, and whether an alert for the peer is queued.
    Failed {
        /// There is an alert.
        told: bool,
    },
}

impl Secure {
    pub(super) const fn new(session: Session) -> Self {
        Self {
            session,
            wire: None,
            sealed: 0,
            held: None,
            error: None,
            offer: None,
            sender: None,
            owes_key: false,
            receives_plain: false,
            data_since: false,
            calls: 0,
        }
    }

    /// The kernel may be asked to encrypt what is sent.
    pub(super) fn offer(&mut self, report: Arc<Report>) {
        self.offer = Some(report);
    }

    /// Whether the kernel encrypts what is sent, or may be asked to.
    pub(super) const fn is_or_may_be_offloaded(&self) -> bool {
        self.sender.is_some() || self.offer.is_some()
    }

    /// Whether the kernel encrypts what is sent.
    pub(super) const fn is_offloaded(&self) -> bool {
        self.sender.is_some()
    }

    /// Lets the kernel encrypt what is sent from now on, if it can; all that was sealed was sent.
    pub(super) fn offload<C: TlsCalls>(&mut self, calls: &mut C, socket: Fd) {
        let is_busy = self.session.is_handshaking() || !self.session.can_be_given_away();
        if is_busy || self.wire.is_some() || self.error.is_some() || self.sender.is_some() {
            return;
        }
        let (Some(report), Some((version, aead))) = (self.offer.take(), self.session.cipher())
        else {
            return;
        };
        // What may be refused is tried before rustls gives the keys away, as that is for good.
        let is_able = report.verdict(version, aead) == Verdict::Works;
        if !is_able || !matches!(calls.enable_tls(socket), Ok(()) | Err(Errno::EEXIST)) {
            return;
        }
        let given = self.session.give_away().and_then(|key| {
            match KernelSender::enable(calls, socket, &key, &report) {
                Ok(sender) => {
                    self.sender = Some(sender);
                    self.offer = report.decrypts(version, aead).then_some(report);
                }
                Err(error) => {
                    tracing::debug!(%error, "TLS goes on without the kernel");
                    self.session.keep(&key)?;
                }
            }
            Ok(())
        });
        self.error = given.err().map(Box::new);
    }

    /// Whether the kernel decrypts what is received.
    pub(super) const fn receives_plain(&self) -> bool {
        self.receives_plain
    }

    /// Whether the kernel decrypts what is received, or may be asked to.
    pub(super) fn may_receive_plain(&self) -> bool {
        let Some((version, aead)) = self.session.cipher() else { return false };
        let is_offered = self.offer.as_ref().is_some_and(|report| report.decrypts(version, aead));
        self.receives_plain || is_offered
    }

    /// Lets the kernel decrypt what is received from now on, if it can and encrypts what is sent.
    /// No receive is in flight, and [`Session::missing`] says that nothing is.
    pub(super) fn offload_receive<C: TlsCalls>(&mut self, calls: &mut C, socket: Fd) {
        // After our end the kernel would tell of a record in part as if it were whole.
        let has_ended = self.session.has_said_end();
        if self.receives_plain || !self.is_offloaded() || has_ended || self.offer.take().is_none() {
            return;
        }
        let Some(key) = self.session.receive_key() else { return };
        match kernel::decrypt(calls, socket, &key) {
            Ok(()) => self.receives_plain = true,
            Err(error) => tracing::debug!(%error, "TLS is decrypted without the kernel"),
        }
    }

    /// Data came from a kernel that decrypts.
    pub(super) const fn note_data(&mut self) {
        self.data_since = true;
    }

    /// A record came that the kernel cannot decrypt.
    pub(super) fn fail_opened(&mut self) -> Control {
        self.error = Some(Box::new(self.session.fail_opened()));
        Control::Failed
    }

    /// Takes what stands where data was expected of a kernel that decrypts.
    pub(super) fn take_control<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        socket: Fd,
    ) -> Control {
        let (driver, memory) = reactor.parts();
        let room = memory.work.lend();
        room.resize(CONTROL_MAX, 0);
        let (kind, len) = match kernel::control_record(driver, socket, room) {
            Ok(Found::Record(kind, len)) => (kind, len),
            Ok(Found::Data(0)) => return Control::Quiet,
            Ok(Found::Data(len)) => {
                self.data_since = true;
                return Control::Data(Buf::copy_of(room.get(..len).unwrap_or_default()));
            }
            Ok(Found::Nothing) => return Control::Nothing,
            Ok(Found::End) => return Control::End,
            Err(KernelError::Broken(Errno::EBADMSG)) => return self.fail_opened(),
            Err(_) => return Control::Failed,
        };
        let payload = room.get(..len).unwrap_or_default();
        let after_data = std::mem::take(&mut self.data_since);
        match self.session.receive_opened((kind, payload), after_data) {
            Ok((received, key)) => {
                self.owes_key |= received.key_update;
                // Without the next key nothing that comes can be decrypted.
                let refused = key.and_then(|key| kernel::decrypt(driver, socket, &key).err());
                match refused {
                    Some(error) => {
                        tracing::debug!(%error, "the peer's next key cannot be used");
                        Control::Failed
                    }
                    None if received.closed => Control::End,
                    None => Control::Quiet,
                }
            }
            Err(error) => {
                self.error = Some(Box::new(error));
                Control::Failed
            }
        }
    }

    /// Before bytes are handed to the kernel: takes the next key if it is time.
    ///
    /// # Errors
    /// [`KernelError::Full`] when that is to be tried again once the socket takes bytes; else the
    /// connection can send no more.
    pub(super) fn settle<C: TlsCalls>(
        &mut self,
        calls: &mut C,
        socket: Fd,
    ) -> Result<(), KernelError> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        self.calls += 1;
        let mut left = 0;
        if self.calls >= LOOK_EVERY {
            left = sender.records_left(calls, socket)?;
            self.calls = 0;
            if left > RECORDS_SPARE && !self.owes_key {
                return Ok(());
            }
        } else if !self.owes_key {
            return Ok(());
        }
        let Some(source) = self.session.key_source() else { return Ok(()) };
        match sender.update_key(calls, socket, source, false) {
            Ok(()) => self.owes_key = false,
            Err(KernelError::NoKeyUpdate) if !self.owes_key && left > RECORDS_LAST => {}
            Err(KernelError::Full) => {
                self.owes_key = true;
                return Err(KernelError::Full);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Says the end where the kernel encrypts.
    ///
    /// # Errors
    /// [`KernelError::Full`] when the socket takes nothing now.
    pub(super) fn end_by_kernel<C: TlsCalls>(
        &mut self,
        calls: &mut C,
        socket: Fd,
    ) -> Result<(), KernelError> {
        let Some(sender) = self.sender.as_mut().filter(|_| !self.session.has_said_end()) else {
            return Ok(());
        };
        sender.alert(calls, socket, 0)?;
        self.session.note_end();
        Ok(())
    }

    /// Tells the peer why the connection has failed, where the kernel encrypts; true when it was
    /// told.
    pub(super) fn alert_by_kernel<C: TlsCalls>(&mut self, calls: &mut C, socket: Fd) -> bool {
        match (&mut self.sender, self.session.take_alert_code()) {
            (Some(sender), Some(code)) => sender.alert(calls, socket, code).is_ok(),
            (Some(_) | None, _) => false,
        }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(super) fn error(&self) -> Option<&TlsError> {
        self.error.as_deref()
    }

    pub(super) fn take_held(&mut self) -> Option<Buf> {
        self.held.take().map(|buf| *buf)
    }

    /// A client begins.
    pub(super) fn start(&mut self, memory: &mut LoopMemory) {
        let mut page = memory.pages.take();
        self.error = self.session.start(page.bytes()).err().map(Box::new);
        self.queue(memory.pages.seal(page));
    }

    /// Takes received bytes.
    pub(super) fn open(&mut self, memory: &mut LoopMemory, input: &Buf) -> Opened {
        let LoopMemory { work, pages } = memory;
        let (mut plain, mut wire) = (pages.take(), pages.take());
        let result = self.session.receive(input, work.lend(), plain.bytes(), wire.bytes());
        let (plain, wire) = (pages.seal(plain), pages.seal(wire));
        let told = !wire.is_empty();
        self.queue(wire);
        let data = (!plain.is_empty()).then_some(plain);
        match result {
            Ok(received) if received.established => {
                self.held = data.map(Box::new);
                Opened::Established
            }
            Ok(received) => {
                self.owes_key |= received.key_update;
                Opened::Data(data, received.closed)
            }
            Err(error) => {
                self.error = Some(Box::new(error));
                Opened::Failed { told }
            }
        }
    }

    /// The peer sends no more. True when it ended too early.
    pub(super) fn is_cut(&mut self) -> bool {
        self.error = self.session.receive_end().err().map(Box::new);
        self.error.is_some()
    }

    /// Seals bytes of the application; false when that has failed.
    pub(super) fn seal<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        plain: &Outgoing,
    ) -> bool {
        let now = reactor.now();
        let LoopMemory { work, pages } = reactor.memory();
        let bytes = work.lend();
        let mut page = pages.take();
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
        self.error = self.error.take().or_else(|| result.err().map(Box::new));
        self.queue(pages.seal(page));
        self.error.is_none()
    }

    /// What is sealed was sent, all of it: how many bytes of the application that is.
    pub(super) const fn take_sent(&mut self) -> usize {
        std::mem::replace(&mut self.sealed, 0)
    }

    /// Queues what rustls may still hold, so that it can give the connection away; false when that
    /// has failed.
    pub(super) fn answer(&mut self, memory: &mut LoopMemory) -> bool {
        let mut page = memory.pages.take();
        let result = self.session.answer(page.bytes());
        self.error = self.error.take().or_else(|| result.err().map(Box::new));
        self.queue(memory.pages.seal(page));
        self.error.is_none()
    }

    /// The end, to be sent behind all else.
    pub(super) fn end(&mut self, memory: &mut LoopMemory) {
        let mut page = memory.pages.take();
        self.session.close_notify(page.bytes());
        self.queue(memory.pages.seal(page));
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

#[cfg(test)]
mod tests;
