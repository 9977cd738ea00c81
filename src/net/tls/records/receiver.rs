//! What records mean after the handshake.

use std::ops::Range;

use super::{HEAD, Kind, Opener, RecordError};
use crate::net::tls::keys::{KeySource, TrafficKey};
use crate::proto::tls::Version;

/// Most bytes of a handshake message after the handshake: a ticket.
const MESSAGE_MAX: usize = 64 * 1024;
/// Most key updates without data between them: each costs us the making of a key.
const KEY_UPDATES_MAX: u8 = 32;
/// Most warnings in a connection.
const WARNINGS_MAX: u8 = 4;

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;

/// What came of the bytes at the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordRead {
    /// So many more bytes are needed at least.
    NeedMore(usize),
    /// One record was read.
    Record {
        /// The record's bytes, which are done with once the event is.
        len: usize,
        /// What it said.
        event: Event,
    },
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes of the application, where they lie.
    Data(Range<usize>),
    /// Nothing that concerns the caller.
    Quiet,
    /// The peer has taken a new key, as have we for what it sends.
    KeyUpdate {
        /// Whether the peer wants us to take a new key as well, before we send again.
        reply: bool,
    },
    /// The peer sends no more; what still comes is dropped.
    Closed,
}

/// The receiving end of a connection.
///
/// The caller gathers what it receives, and calls [`Receiver::receive`] with what it has not yet
/// used, as long as that finds records.
#[derive(Debug)]
pub struct Receiver {
    opener: Opener,
    /// Kept for a kernel that is to open records in our place.
    key: TrafficKey,
    version: Version,
    /// The beginning of a message that goes on in the next record.
    pub(super) message: Vec<u8>,
    key_updates: u8,
    warnings: u8,
    closed: bool,
}

impl Receiver {
    /// Goes on where the key's records were left.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn new(key: &TrafficKey) -> Result<Self, RecordError> {
        Ok(Self {
            opener: Opener::new(key)?,
            key: key.at(key.sequence()),
            version: key.version(),
            message: Vec::new(),
            key_updates: 0,
            warnings: 0,
            closed: false,
        })
    }

    /// Whether the peer has said that it sends no more; an end without that is a cut.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Opens the record at the beginning, in place.
    ///
    /// # Errors
    /// When the peer breaks a rule; the connection has to end, with [`RecordError::alert`].
    pub fn receive(
        &mut self,
        source: &mut KeySource,
        bytes: &mut [u8],
    ) -> Result<RecordRead, RecordError> {
        if self.closed && !bytes.is_empty() {
            return Ok(RecordRead::Record { len: bytes.len(), event: Event::Closed });
        }
        let Some(opened) = self.opener.open(bytes)? else {
            let wanted = self.opener.record_len(bytes)?.unwrap_or(HEAD);
            return Ok(RecordRead::NeedMore(wanted - bytes.len()));
        };
        let event = self.take(source, opened.kind, bytes, opened.payload)?;
        Ok(RecordRead::Record { len: opened.len, event })
    }

    /// Takes a record that somebody else has opened, of this type. `after_data` says whether data
    /// has come since the one before.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn take_opened(
        &mut self,
        source: &mut KeySource,
        (kind, payload): (u8, &[u8]),
        after_data: bool,
    ) -> Result<Event, RecordError> {
        let kind = Kind::from_number(kind)?;
        if after_data {
            self.key_updates = 0;
        }
        if payload.is_empty() && kind != Kind::Data {
            return Err(RecordError::Empty);
        }
        self.take(source, kind, payload, 0..payload.len())
    }

    /// The key of what comes next, for who opens records in our place from now on. None while a
    /// message goes on in the next record.
    #[must_use]
    pub fn next_key(&self) -> Option<TrafficKey> {
        self.message.is_empty().then(|| self.key.at(self.opener.sequence()))
    }

    fn take(
        &mut self,
        source: &mut KeySource,
        kind: Kind,
        bytes: &[u8],
        payload: Range<usize>,
    ) -> Result<Event, RecordError> {
        if kind != Kind::Handshake && !self.message.is_empty() {
            return Err(RecordError::MessageBoundary);
        }
        match kind {
            Kind::Data => {
                self.key_updates = 0;
                Ok(Event::Data(payload))
            }
            Kind::Alert => self.take_alert(&bytes[payload]),
            Kind::Handshake => self.take_handshake(source, &bytes[payload]),
        }
    }

    /// In TLS 1.3 the level means nothing (RFC 8446, section 6).
    fn take_alert(&mut self, payload: &[u8]) -> Result<Event, RecordError> {
        let &[level, code] = payload else { return Err(RecordError::AlertLength) };
        let is_warning = match self.version {
            Version::Tls12 => level == WARNING,
            Version::Tls13 => code == USER_CANCELED,
        };
        if code == CLOSE_NOTIFY {
            self.closed = true;
            return Ok(Event::Closed);
        }
        if !is_warning {
            return Err(RecordError::Alert(code));
        }
        self.warnings += 1;
        if self.warnings > WARNINGS_MAX { Err(RecordError::Warnings) } else { Ok(Event::Quiet) }
    }

    fn take_handshake(
        &mut self,
        source: &mut KeySource,
        payload: &[u8],
    ) -> Result<Event, RecordError> {
        // A message that lies whole in its record is read there; else its parts are joined.
        if self.message.is_empty() {
            let (event, used) = self.take_messages(source, payload)?;
            self.message.extend_from_slice(&payload[used..]);
            return Ok(event);
        }
        let mut joined = std::mem::take(&mut self.message);
        joined.extend_from_slice(payload);
        let (event, used) = self.take_messages(source, &joined)?;
        joined.drain(..used);
        // An idle connection holds no buffer.
        self.message = if joined.is_empty() { Vec::new() } else { joined };
        Ok(event)
    }

    /// Takes the messages that are whole; the number is that of their bytes.
    fn take_messages(
        &mut self,
        source: &mut KeySource,
        bytes: &[u8],
    ) -> Result<(Event, usize), RecordError> {
        let mut used = 0;
        while let Some(len) = self.message_len(&bytes[used..])? {
            let Some(message) = bytes.get(used..used + len) else { break };
            used += len;
            let event = self.take_message(source, message)?;
            if event == Event::Quiet {
                continue;
            }
            // What follows is of another key (RFC 8446, section 5.1).
            let is_last = used == bytes.len();
            return if is_last { Ok((event, used)) } else { Err(RecordError::MessageBoundary) };
        }
        Ok((Event::Quiet, used))
    }

    /// The length of the message at the beginning with its head, as soon as that is known.
    fn message_len(&self, bytes: &[u8]) -> Result<Option<usize>, RecordError> {
        let Some(&kind) = bytes.first() else { return Ok(None) };
        match (self.version, kind) {
            (Version::Tls13, NEW_SESSION_TICKET | KEY_UPDATE) => {}
            (Version::Tls12, HELLO_REQUEST | CLIENT_HELLO) => {
                return Err(RecordError::Renegotiation);
            }
            (Version::Tls12 | Version::Tls13, _) => return Err(RecordError::Message(kind)),
        }
        let Some(&[_, high, middle, low]) = bytes.get(..4) else { return Ok(None) };
        let len = u32::from_be_bytes([0, high, middle, low]);
        let len = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(4);
        if kind == KEY_UPDATE && len != 5 {
            return Err(RecordError::KeyUpdate);
        }
        if len > MESSAGE_MAX { Err(RecordError::MessageTooLarge) } else { Ok(Some(len)) }
    }

    fn take_message(
        &mut self,
        source: &mut KeySource,
        message: &[u8],
    ) -> Result<Event, RecordError> {
        let kind = message[0];
        if kind == NEW_SESSION_TICKET {
            let taken = source.take_ticket(&message[4..]).map_err(RecordError::Rustls)?;
            return if taken { Ok(Event::Quiet) } else { Err(RecordError::Message(kind)) };
        }
        let reply = match message[4..] {
            [0] => false,
            [1] => true,
            _ => return Err(RecordError::KeyUpdate),
        };
        self.key_updates += 1;
        if self.key_updates > KEY_UPDATES_MAX {
            return Err(RecordError::KeyUpdates);
        }
        self.key = source.next_receive().map_err(RecordError::Rustls)?;
        self.opener = Opener::new(&self.key)?;
        Ok(Event::KeyUpdate { reply })
    }
}
