//! One TLS connection: records in, bytes of the application out, and the other way round.
//!
//! Memory is kept only while it is needed: an idle session holds no buffer, except tickets that
//! wait for the first data.

mod kernel_session;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use super::error::{Fault, TlsError};
use super::policy::suite_index;
use super::subject::Subject;
use crate::proto::tls::CIPHER_SUITES;
use kernel_session::KernelSession;

/// The payload of a full record (RFC 8446, section 5.1), in bytes.
const RECORD_MAX: usize = 16 * 1024;
/// The payload of a small record: with its framing it fits into one segment of a usual path, so
/// that the first bytes of an answer can be read when the first segment has come.
const RECORD_SMALL: usize = 1_300;
/// After so many bytes, full records are sent.
const SMALL_BYTES: usize = 64 * 1024;
/// After such a pause, records begin small again: the path may have forgotten how fast it is.
const PAUSE: Duration = Duration::from_secs(1);
/// Most bytes that are kept of what came in part once the handshake is done: a message in many
/// records, of which only a ticket may have several, and a record behind it.
const CARRY_MAX: usize = 64 * 1024;
/// Room for what a record has beside its payload, in bytes: header, type, tag, explicit nonce.
const RECORD_ROOM: usize = 5 + 1 + 16 + 8;

/// The alert for a message that is longer than it may be (RFC 8446, section 6.2).
const DECODE_ERROR: u8 = 50;

/// A fatal alert before anything is encrypted (RFC 8446, section 6).
#[must_use]
pub const fn clear_alert(code: u8) -> [u8; 7] {
    [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, code]
}

/// One end of a TLS connection.
///
/// Calling order: a client's [`Session::start`]; then what comes through [`Session::receive`], and
/// when [`Session::is_handshaking`] says no, what goes through [`Session::send`]; at the end
/// [`Session::close_notify`]. What they write to `wire` is to be sent in its order.
pub struct Session {
    connection: Connection,
    /// The beginning of a record that has not come whole.
    carry: Vec<u8>,
    /// Tickets that go with what is sent next. A client that sends all it has and closes without a
    /// look at what it got would have them unread, and its close would be a reset, which destroys
    /// what it has sent.
    tickets: Vec<u8>,
    /// Bytes of the handshake that may still come.
    allowed: usize,
    begun: bool,
    /// Something was written that the peer is to be sent.
    spoken: bool,
    closed: bool,
    said_end: bool,
    /// Something other than data was received since something was sent last.
    unanswered: bool,
    /// Bytes that were sent without a pause.
    burst: usize,
    last_sent: Option<Instant>,
}

enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
    /// rustls has given it away.
    KernelSession(Box<KernelSession>),
    /// It has failed, or could not be given away.
    Gone,
}

/// What came of received bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// The handshake is done, since just now.
    pub established: bool,
    /// The peer has said that it sends no more.
    pub closed: bool,
    /// The peer wants our next key before we send again, and somebody else seals what is sent.
    pub key_update: bool,
}

/// What is known of a connection whose handshake is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name, as IANA has it.
    pub suite: &'static str,
    /// The key exchange group's name; none when a session of TLS 1.2 was resumed.
    pub group: Option<&'static str>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// Where a step of the connection leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Again,
    PeerClosed,
    Rests,
}

impl Session {
    /// The server's end. `handshake_max` bounds the bytes of the client's part of the handshake.
    ///
    /// # Errors
    /// When no connection can be made of the configuration.
    pub fn server(config: &Arc<ServerConfig>, handshake_max: usize) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self::new(Connection::Server(connection), handshake_max))
    }

    /// The client's end, which expects the server to be `name`.
    ///
    /// # Errors
    /// When no connection can be made of the configuration.
    pub fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        handshake_max: usize,
    ) -> Result<Self, TlsError> {
        let connection = UnbufferedClientConnection::new(Arc::clone(config), name)?;
        Ok(Self::new(Connection::Client(connection), handshake_max))
    }

    /// The same, but the server has these application protocols to choose from.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn client_with(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
        handshake_max: usize,
    ) -> Result<Self, TlsError> {
        let config = Arc::clone(config);
        let connection = UnbufferedClientConnection::new_with_alpn(config, name, alpn)?;
        Ok(Self::new(Connection::Client(connection), handshake_max))
    }

    const fn new(connection: Connection, handshake_max: usize) -> Self {
        Self {
            connection,
            carry: Vec::new(),
            tickets: Vec::new(),
            allowed: handshake_max,
            begun: false,
            spoken: false,
            closed: false,
            said_end: false,
            unanswered: false,
            burst: 0,
            last_sent: None,
        }
    }

    fn common(&self) -> Option<&CommonState> {
        match &self.connection {
            Connection::Server(connection) => Some(connection),
            Connection::Client(connection) => Some(connection),
            Connection::KernelSession(_) | Connection::Gone => None,
        }
    }

    /// Whether the handshake is under way.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.common().is_some_and(CommonState::is_handshaking)
    }

    /// Whether the peer has said that it sends no more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// A client's first flight.
    ///
    /// # Errors
    /// When rustls cannot make it.
    pub fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), TlsError> {
        let (_, result) = self.drive(&mut [], &mut Vec::new(), wire);
        result.map(drop)
    }

    /// Takes bytes of the peer. `scratch` is memory that the caller lends: records are decrypted
    /// in it. Bytes of the application are appended to `plain`, and what the peer is to be sent,
    /// to `wire`: in case of an error, too, which then is an alert.
    ///
    /// # Errors
    /// What the peer did, or what it is not. The connection is of no further use then.
    pub fn receive(
        &mut self,
        input: &[u8],
        scratch: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        if self.closed {
            // What follows the end is dropped (RFC 8446, section 6.1).
            return Ok(Received::default());
        }
        let sealed = wire.len();
        let result = self.receive_records(input, scratch, plain, wire);
        if matches!(result, Ok(Received { established: true, .. })) && self.sends_tickets() {
            self.tickets = wire.split_off(sealed);
        } else {
            self.add_tickets(wire, sealed);
        }
        result
    }

    /// Puts the tickets that wait before what was sealed now: records keep the order in which they
    /// were sealed. `wire` had so many bytes before.
    fn add_tickets(&mut self, wire: &mut Vec<u8>, before: usize) {
        if wire.len() > before && !self.tickets.is_empty() {
            wire.splice(before..before, std::mem::take(&mut self.tickets));
        }
    }

    /// Whether what follows the client's part of the handshake is nothing but tickets.
    fn sends_tickets(&self) -> bool {
        let is_server = matches!(self.connection, Connection::Server(_));
        let version = self.common().and_then(CommonState::protocol_version);
        is_server && version == Some(ProtocolVersion::TLSv1_3)
    }

    fn receive_records(
        &mut self,
        input: &[u8],
        scratch: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        let was_handshaking = self.is_handshaking();
        if was_handshaking {
            self.check_beginning(input, wire)?;
        }
        scratch.clear();
        scratch.append(&mut self.carry);
        scratch.extend_from_slice(input);
        let (before, sealed) = (plain.len(), wire.len());
        let (used, result) = self.drive(scratch, plain, wire);
        self.spoken |= wire.len() > sealed;
        let read = scratch.get(..used).unwrap_or_default();
        let is_data = !was_handshaking && data_len(read) == Some(plain.len() - before);
        let rest = scratch.get(used..).unwrap_or_default();
        let is_too_much = rest.len() > CARRY_MAX && !self.is_handshaking();
        let mut received = match result {
            Ok(_) if is_too_much => return Err(self.fail(TlsError::of(Fault::Protocol), wire)),
            Ok(received) => received,
            Err(error) => return Err(self.fail(error, wire)),
        };
        self.closed = received.closed;
        self.carry = if rest.is_empty() || self.closed { Vec::new() } else { rest.to_vec() };
        received.established = was_handshaking && !self.is_handshaking();
        // TLS 1.2 has no new keys, and all else is answered at once.
        let version = self.common().and_then(CommonState::protocol_version);
        let is_old = version == Some(ProtocolVersion::TLSv1_2) && !self.is_handshaking();
        self.unanswered |= !is_data;
        self.unanswered &= !is_old;
        Ok(received)
    }

    /// The connection is of no further use: rustls, which has lost what it has read of a message,
    /// must not be asked again.
    fn fail(&mut self, error: TlsError, wire: &mut Vec<u8>) -> TlsError {
        self.take_alert(wire);
        if matches!(self.connection, Connection::Server(_) | Connection::Client(_)) {
            self.connection = Connection::Gone;
        }
        error
    }

    /// The alert that belongs to an error. Nothing is read any more.
    fn take_alert(&mut self, wire: &mut Vec<u8>) {
        while self.common().is_some_and(CommonState::wants_write) {
            let mut none = Vec::new();
            let (_, step) = match &mut self.connection {
                Connection::Server(one) => step(one.process_tls_records(&mut []), &mut none, wire),
                Connection::Client(one) => step(one.process_tls_records(&mut []), &mut none, wire),
                Connection::KernelSession(_) | Connection::Gone => return,
            };
            if step.is_err() {
                return;
            }
        }
    }

    /// What begins a connection must look like TLS, and a handshake must end.
    fn check_beginning(&mut self, input: &[u8], wire: &mut Vec<u8>) -> Result<(), TlsError> {
        if !self.begun {
            self.begun = true;
            let first = input.first().copied().unwrap_or_default();
            // A handshake, or, from a server, an alert (RFC 8446, section 5.1).
            if !matches!(first, 0x15 | 0x16) {
                let is_http = first.is_ascii_uppercase();
                let fault = if is_http { Fault::PlainHttp } else { Fault::NotTls };
                return Err(TlsError::of(fault));
            }
        }
        match self.allowed.checked_sub(input.len()) {
            Some(left) => self.allowed = left,
            None => {
                // Behind the server's hello, alerts are encrypted, and rustls makes its own only.
                if matches!(self.connection, Connection::Server(_)) && !self.spoken {
                    wire.extend_from_slice(&clear_alert(DECODE_ERROR));
                }
                return Err(TlsError::of(Fault::HandshakeTooLarge));
            }
        }
        Ok(())
    }

    /// The peer sends no more.
    ///
    /// # Errors
    /// When it ended within the handshake.
    pub fn receive_end(&mut self) -> Result<(), TlsError> {
        if self.is_handshaking() { Err(TlsError::of(Fault::Truncated)) } else { Ok(()) }
    }

    /// Encrypts bytes of the application.
    ///
    /// # Errors
    /// When the handshake is not done, the end was said, or a key was used up.
    pub fn send(
        &mut self,
        mut plain: &[u8],
        now: Instant,
        wire: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        if self.said_end {
            return Err(TlsError::of(Fault::Internal));
        }
        if self.last_sent.is_none_or(|last| now.saturating_duration_since(last) > PAUSE) {
            self.burst = 0;
        }
        self.last_sent = Some(now);
        while !plain.is_empty() {
            let is_small = self.burst < SMALL_BYTES;
            let most = if is_small { SMALL_BYTES - self.burst } else { plain.len() };
            let (part, rest) = plain.split_at(most.min(plain.len()));
            let record = if is_small { RECORD_SMALL } else { RECORD_MAX };
            let before = wire.len();
            self.encrypt(part, record, wire)?;
            self.add_tickets(wire, before);
            self.burst = self.burst.saturating_add(part.len());
            self.unanswered = false;
            plain = rest;
        }
        Ok(())
    }

    fn encrypt(&mut self, plain: &[u8], record: usize, wire: &mut Vec<u8>) -> Result<(), TlsError> {
        // The beginning of a message that was read in part must stay before the reader's eyes.
        let carry = &mut self.carry;
        match &mut self.connection {
            Connection::Server(one) => encrypt(one.process_tls_records(carry), plain, record, wire),
            Connection::Client(one) => encrypt(one.process_tls_records(carry), plain, record, wire),
            Connection::KernelSession(given) => given.encrypt(plain, record, wire),
            Connection::Gone => Err(TlsError::of(Fault::Internal)),
        }
    }

    /// Whether the peer was told that nothing more comes.
    #[must_use]
    pub const fn has_said_end(&self) -> bool {
        self.said_end
    }

    /// Somebody else has told the peer so.
    pub const fn note_end(&mut self) {
        self.said_end = true;
    }

    /// Tells the peer that nothing more comes (RFC 8446, section 6.1).
    pub fn close_notify(&mut self, wire: &mut Vec<u8>) {
        if std::mem::replace(&mut self.said_end, true) {
            return;
        }
        let (before, carry) = (wire.len(), &mut self.carry);
        match &mut self.connection {
            Connection::Server(one) => say_end(one.process_tls_records(carry), wire),
            Connection::Client(one) => say_end(one.process_tls_records(carry), wire),
            Connection::KernelSession(given) => given.close_notify(wire),
            Connection::Gone => {}
        }
        self.add_tickets(wire, before);
    }

    /// Works on records until nothing more can be done: how many bytes are used up, and what came
    /// of them.
    fn drive(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> (usize, Result<Received, TlsError>) {
        let mut used = 0;
        let mut received = Received::default();
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let (discard, step) = match &mut self.connection {
                Connection::Server(one) => step(one.process_tls_records(rest), plain, wire),
                Connection::Client(one) => step(one.process_tls_records(rest), plain, wire),
                Connection::KernelSession(given) => return given.receive(rest, plain, wire),
                Connection::Gone => return (used, Err(TlsError::of(Fault::Internal))),
            };
            used += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::PeerClosed) => received.closed = true,
                Ok(Step::Rests) => return (used, Ok(received)),
                Err(error) => return (used, Err(error)),
            }
        }
    }

    /// What is known, once the handshake is done.
    #[must_use]
    pub fn info(&self) -> Option<Info> {
        if let Connection::KernelSession(given) = &self.connection {
            return given.info.clone();
        }
        let common = self.common()?;
        let version = common.protocol_version()?.as_str()?;
        let (suite, _) = CIPHER_SUITES.get(suite_index(&common.negotiated_cipher_suite()?)?)?;
        let group = common.negotiated_key_exchange_group();
        let group = group.and_then(|group| group.name().as_str());
        let resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
        let version = if version == "TLSv1_3" { "TLSv1.3" } else { "TLSv1.2" };
        Some(Info { version, suite, group, resumed })
    }

    /// The application protocol that was agreed on (RFC 7301).
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.connection {
            Connection::KernelSession(given) => given.alpn.as_deref(),
            Connection::Server(_) | Connection::Client(_) | Connection::Gone => {
                self.common()?.alpn_protocol()
            }
        }
    }

    /// What the client's certificate says. None for a server's, where none was shown, and of one
    /// that cannot be read.
    #[must_use]
    pub fn client_certificate(&self) -> Option<Subject> {
        let Connection::Server(_) = &self.connection else { return None };
        Subject::of(self.peer_certificates().first()?).ok()
    }

    /// The peer's certificates, its own first; none of a session that was given away.
    #[must_use]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.common().and_then(CommonState::peer_certificates).unwrap_or_default()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("handshaking", &self.is_handshaking()).finish()
    }
}

/// The bytes of the application in whole records of TLS 1.3, if they have nothing else: then each
/// has its type and its tag besides (RFC 8446, section 5.2). What is padded seems to have something
/// else.
fn data_len(mut records: &[u8]) -> Option<usize> {
    const HEAD: usize = 5;
    const BESIDES: usize = 1 + 16;
    let mut total = 0;
    while let Some((&[kind, _, _, high, low], rest)) = records.split_first_chunk::<HEAD>() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (_, rest) = rest.split_at_checked(len).filter(|_| kind == 23)?;
        total += len.checked_sub(BESIDES)?;
        records = rest;
    }
    records.is_empty().then_some(total)
}

/// Does what the connection asks for.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> (usize, Result<Step, TlsError>) {
    let UnbufferedStatus { discard, state } = status;
    let step = match state {
        Ok(state) => advance(state, plain, wire),
        Err(error) => Err(error.into()),
    };
    (discard, step)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the states of rustls may grow")]
fn advance<Data>(
    state: ConnectionState<'_, '_, Data>,
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<Step, TlsError> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                plain.extend_from_slice(record?.payload);
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let start = wire.len();
            let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) else {
                return Ok(Step::Again);
            };
            wire.resize(start + needed.required_size, 0);
            let room = wire.get_mut(start..).unwrap_or_default();
            data.encode(room).map_err(|_| TlsError::of(Fault::Internal))?;
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        ConnectionState::BlockedHandshake
        | ConnectionState::WriteTraffic(_)
        | ConnectionState::Closed => Ok(Step::Rests),
        // Early data is not allowed: it could be repeated by anybody.
        _ => Err(TlsError::of(Fault::Internal)),
    }
}

/// Encrypts `plain` in records of at most `record` bytes.
fn encrypt<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &[u8],
    record: usize,
    wire: &mut Vec<u8>,
) -> Result<(), TlsError> {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
        return Err(TlsError::of(Fault::Internal));
    };
    let records = plain.len().div_ceil(record).max(1);
    let mut end = wire.len();
    wire.resize(end + plain.len() + records * RECORD_ROOM, 0);
    // Without bytes it is one record without payload.
    for part in plain.chunks(record).chain(plain.is_empty().then_some(plain)) {
        let room = wire.get_mut(end..).unwrap_or_default();
        match traffic.encrypt(part, room) {
            Ok(written) => end += written,
            Err(EncryptError::InsufficientSize(needed)) => {
                wire.resize(end + needed.required_size + records * RECORD_ROOM, 0);
                let room = wire.get_mut(end..).unwrap_or_default();
                let written = traffic.encrypt(part, room);
                end += written.map_err(|_| TlsError::of(Fault::Internal))?;
            }
            Err(EncryptError::EncryptExhausted) => return Err(TlsError::of(Fault::Internal)),
        }
    }
    wire.truncate(end);
    Ok(())
}

fn say_end<Data>(status: UnbufferedStatus<'_, '_, Data>, wire: &mut Vec<u8>) {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else { return };
    let mut room = [0; 64];
    if let Ok(written) = traffic.queue_close_notify(&mut room) {
        wire.extend_from_slice(room.get(..written).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
