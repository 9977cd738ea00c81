//! A connection that rustls has given away, so that the kernel can encrypt what it sends, and open
//! what it receives: what the kernel does not do is done here.

use super::super::error::{Fault, TlsError};
use super::super::keys::{Aead, KeySource, TrafficKey};
use super::super::records::{Event, Receiver, RecordError, RecordRead, Sealer};
use super::{Connection, Info, RECORD_MAX, Received, Session};
use crate::proto::tls::Version;

/// What is left of a session.
#[derive(Debug)]
pub(super) struct KernelSession {
    receiver: Receiver,
    source: KeySource,
    /// Seals what is sent, unless the kernel does.
    sealer: Option<Sealer>,
    pub(super) info: Option<Info>,
    pub(super) alpn: Option<Vec<u8>>,
    /// The alert that the peer should get, for who sends records.
    alert: Option<u8>,
}

impl Session {
    /// The version and the cipher, once the handshake is done.
    #[must_use]
    pub fn cipher(&self) -> Option<(Version, Aead)> {
        let Info { version, suite, .. } = self.info()?;
        let version = if version == "TLSv1.3" { Version::Tls13 } else { Version::Tls12 };
        let aead = if suite.contains("AES_128_GCM") {
            Aead::Aes128Gcm
        } else if suite.contains("AES_256_GCM") {
            Aead::Aes256Gcm
        } else if suite.contains("CHACHA20_POLY1305") {
            Aead::ChaCha20Poly1305
        } else {
            return None;
        };
        Some((version, aead))
    }

    /// Whether it can be given away now: nothing is kept of a record that has come in part, and
    /// rustls keeps nothing that it would send before what is sent next, such as the answer to a
    /// peer that wants our next key.
    #[must_use]
    pub const fn can_be_given_away(&self) -> bool {
        self.carry.is_empty() && !self.unanswered
    }

    /// Whether rustls may hold something that it sends before what is sent next, such as the answer
    /// to a peer that wants our next key, or tickets wait for that.
    #[must_use]
    pub const fn owes_answer(&self) -> bool {
        let is_ours = matches!(self.connection, Connection::Server(_) | Connection::Client(_));
        self.unanswered && is_ours && !self.said_end
    }

    /// Sends what is held, before a record without payload, which peers pass over (RFC 8446,
    /// section 5.1; RFC 5246, section 6.2.1).
    ///
    /// # Errors
    /// As [`Session::send`].
    pub fn answer(&mut self, wire: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.said_end {
            return Err(TlsError::of(Fault::Internal));
        }
        let before = wire.len();
        self.encrypt(&[], RECORD_MAX, wire)?;
        self.add_tickets(wire, before);
        self.unanswered = false;
        Ok(())
    }

    /// Takes the connection from rustls: the key of what is sent is for who seals that from now
    /// on. [`Session::keep`] if nobody else does. All that was sealed was sent.
    ///
    /// # Errors
    /// When the handshake is not done, or the configuration does not allow it. The connection is of
    /// no further use then.
    pub fn give_away(&mut self) -> Result<TrafficKey, TlsError> {
        let (info, alpn) = (self.info(), self.alpn().map(<[u8]>::to_vec));
        let connection = std::mem::replace(&mut self.connection, Connection::Gone);
        let (secrets, source) = match connection {
            Connection::Server(one) => {
                let (secrets, rest) = one.dangerous_into_kernel_connection()?;
                (secrets, KeySource::Server(rest))
            }
            Connection::Client(one) => {
                let (secrets, rest) = one.dangerous_into_kernel_connection()?;
                (secrets, KeySource::Client(rest))
            }
            Connection::KernelSession(_) | Connection::Gone => {
                return Err(TlsError::of(Fault::Internal));
            }
        };
        let extracted = |secrets| {
            let key = TrafficKey::extracted(source.version(), secrets);
            key.map_err(|_| TlsError::of(Fault::Internal))
        };
        let (transmit, receive) = (extracted(secrets.tx)?, extracted(secrets.rx)?);
        let receiver = Receiver::new(&receive)?;
        let given = KernelSession { receiver, source, sealer: None, info, alpn, alert: None };
        self.connection = Connection::KernelSession(Box::new(given));
        Ok(transmit)
    }

    /// Seals what is sent with the key that was given away.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn keep(&mut self, key: &TrafficKey) -> Result<(), TlsError> {
        if let Connection::KernelSession(given) = &mut self.connection {
            given.sealer = Some(Sealer::new(key)?);
        }
        Ok(())
    }

    /// What makes the next keys, of a session that was given away.
    pub fn key_source(&mut self) -> Option<&mut KeySource> {
        match &mut self.connection {
            Connection::KernelSession(given) => Some(&mut given.source),
            Connection::Server(_) | Connection::Client(_) | Connection::Gone => None,
        }
    }

    /// How many bytes are missing of the record that has come in part; 0 when none has. At least so
    /// many come, or the peer breaks a rule.
    #[must_use]
    pub fn missing(&self) -> usize {
        const HEAD: usize = 5;
        match *self.carry {
            [] => 0,
            [_, _, _, high, low, ref rest @ ..] => {
                let len = usize::from(u16::from_be_bytes([high, low]));
                len.saturating_sub(rest.len())
            }
            ref head => HEAD - head.len(),
        }
    }

    /// The key of what is received next, for who opens that from now on. None where nothing was
    /// given away, or something has come in part.
    #[must_use]
    pub fn receive_key(&self) -> Option<TrafficKey> {
        match &self.connection {
            Connection::KernelSession(given) if self.carry.is_empty() => given.receiver.next_key(),
            Connection::KernelSession(_)
            | Connection::Server(_)
            | Connection::Client(_)
            | Connection::Gone => None,
        }
    }

    /// Takes a record that somebody else has opened, which is not one of data: its type, and its
    /// payload. `after_data` says whether data has come since the last one. With a new key of the
    /// peer, that is returned, for who opens.
    ///
    /// # Errors
    /// As [`Session::receive`]; [`Session::take_alert_code`] has the alert for the peer.
    pub fn receive_opened(
        &mut self,
        record: (u8, &[u8]),
        after_data: bool,
    ) -> Result<(Received, Option<TrafficKey>), TlsError> {
        let Connection::KernelSession(given) = &mut self.connection else {
            return Err(TlsError::of(Fault::Internal));
        };
        let taken = given.receiver.take_opened(&mut given.source, record, after_data);
        let event = taken.map_err(|error| given.fail(error, &mut Vec::new()))?;
        self.closed = event == Event::Closed;
        let key_update = event == Event::KeyUpdate { reply: true };
        let received = Received { closed: self.closed, key_update, ..Received::default() };
        let is_new = matches!(event, Event::KeyUpdate { .. });
        Ok((received, if is_new { given.receiver.next_key() } else { None }))
    }

    /// A record came that somebody else could not open.
    pub fn fail_opened(&mut self) -> TlsError {
        match &mut self.connection {
            Connection::KernelSession(given) => given.fail(RecordError::Decrypt, &mut Vec::new()),
            Connection::Server(_) | Connection::Client(_) | Connection::Gone => {
                TlsError::of(Fault::Internal)
            }
        }
    }

    /// The alert that the peer should get after a failure, once, where somebody else sends records.
    pub fn take_alert_code(&mut self) -> Option<u8> {
        match &mut self.connection {
            Connection::KernelSession(given) => given.alert.take(),
            Connection::Server(_) | Connection::Client(_) | Connection::Gone => None,
        }
    }
}

impl KernelSession {
    /// Opens the records at the beginning: how many bytes are used up, and what came of them.
    pub(super) fn receive(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Received, TlsError>) {
        let mut used = 0;
        let mut received = Received::default();
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            if rest.is_empty() {
                return (used, Ok(received));
            }
            match self.receiver.receive(&mut self.source, rest) {
                Ok(RecordRead::NeedMore(_)) => return (used, Ok(received)),
                Ok(RecordRead::Record { len, event }) => {
                    used += len;
                    if let Err(error) = self.take(event, rest, &mut received, plain, wire) {
                        return (used, Err(self.fail(error, wire)));
                    }
                }
                Err(error) => return (used, Err(self.fail(error, wire))),
            }
        }
    }

    fn take(
        &mut self,
        event: Event,
        record: &[u8],
        received: &mut Received,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        match event {
            Event::Data(payload) => {
                plain.extend_from_slice(record.get(payload).unwrap_or_default());
            }
            Event::KeyUpdate { reply: true } => match &mut self.sealer {
                Some(sealer) => sealer.update_key(&mut self.source, false, wire)?,
                None => received.key_update = true,
            },
            Event::Closed => received.closed = true,
            Event::Quiet | Event::KeyUpdate { reply: false } => {}
        }
        Ok(())
    }

    /// Tells the peer why, if we seal; else the alert is kept for who does.
    fn fail(&mut self, error: RecordError, wire: &mut Vec<u8>) -> TlsError {
        if let Some(code) = error.alert() {
            match &mut self.sealer {
                // The connection ends, whether it can be told or not.
                Some(sealer) => sealer.alert(code, wire).unwrap_or_default(),
                None => self.alert = Some(code),
            }
        }
        error.into()
    }

    /// Encrypts `plain` in records of at most `record` bytes.
    pub(super) fn encrypt(
        &mut self,
        plain: &[u8],
        record: usize,
        wire: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        let Some(sealer) = &mut self.sealer else { return Err(TlsError::of(Fault::Internal)) };
        if sealer.records_left() < KEY_SPARE && sealer.can_update() {
            sealer.update_key(&mut self.source, false, wire)?;
        }
        sealer.seal_data(plain, record, wire).map_err(Into::into)
    }

    pub(super) fn close_notify(&mut self, wire: &mut Vec<u8>) {
        if let Some(sealer) = &mut self.sealer {
            // Without it the peer sees a cut, which a key that is used up is.
            sealer.alert(0, wire).unwrap_or_default();
        }
    }
}

/// The next key is taken when the present one may encrypt so many records still.
const KEY_SPARE: u64 = 1 << 16;
