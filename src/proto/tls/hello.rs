//! The first message of a TLS client, which says in clear text for whom the connection is.

use std::fmt;

use super::name;
use super::wire::Wire;

/// Most bytes that a `ClientHello` may take on the wire, the heads of its records among them.
pub const HELLO_MAX: usize = 16 * 1024;

/// Bytes of a record's head (RFC 8446, section 5.1).
const RECORD_HEAD: usize = 5;
/// Bytes of a handshake message's head (RFC 8446, section 4).
const MESSAGE_HEAD: usize = 4;
/// Most bytes of a record's payload (RFC 8446, section 5.1).
const PAYLOAD_MAX: usize = 16 * 1024;
/// The content type of records that carry the handshake.
const HANDSHAKE: u8 = 22;
/// The type of the message.
const CLIENT_HELLO: u8 = 1;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;

/// How a plain HTTP request begins; `PRI` is that of HTTP/2 (RFC 9113, section 3.4).
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * HTTP/2.0",
];

/// A rule that a `ClientHello` breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// More than [`HELLO_MAX`] bytes.
    TooLarge,
    /// A record of another type before the message is whole (RFC 8446, section 5.1).
    RecordType,
    /// A record of a version that never was (RFC 8446, section 5.1).
    RecordVersion,
    /// A record that is empty or too long (RFC 8446, section 5.1).
    RecordLength,
    /// A handshake that begins with another message (RFC 8446, section 4).
    MessageType,
    /// Bytes after the message in its last record (RFC 8446, section 5.1).
    MessageTrailing,
    /// A field that reaches beyond its structure, or a structure with bytes left (RFC 8446,
    /// section 4.1.2).
    Structure,
    /// A client version that never was (RFC 8446, section 4.1.2).
    ClientVersion,
    /// A session identifier of more than 32 bytes (RFC 8446, section 4.1.2).
    SessionId,
    /// No cipher suites, or half of one (RFC 8446, section 4.1.2).
    CipherSuites,
    /// No method without compression (RFC 5246, section 7.4.1.2).
    Compression,
    /// One extension twice (RFC 8446, section 4.2).
    ExtensionRepeated,
    /// `pre_shared_key` is not the last extension (RFC 8446, section 4.2.11).
    PreSharedKeyOrder,
    /// A list of server names that is none (RFC 6066, section 3).
    ServerNameList,
    /// A list of protocols that is none (RFC 7301, section 3.1).
    Alpn,
    /// A list of versions that is none (RFC 8446, section 4.2.1).
    SupportedVersions,
}

impl Rule {
    /// The code of the alert that the client should get (RFC 8446, section 6).
    #[must_use]
    pub const fn alert(self) -> u8 {
        match self {
            Self::RecordType | Self::MessageType | Self::MessageTrailing => 10,
            Self::RecordLength => 22,
            Self::SessionId
            | Self::Compression
            | Self::ExtensionRepeated
            | Self::PreSharedKeyOrder => 47,
            Self::TooLarge
            | Self::Structure
            | Self::CipherSuites
            | Self::ServerNameList
            | Self::Alpn
            | Self::SupportedVersions => 50,
            Self::RecordVersion | Self::ClientVersion => 70,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => return write!(f, "a ClientHello of more than {HELLO_MAX} bytes"),
            Self::RecordType => "a record of another type within the ClientHello",
            Self::RecordVersion => "a record of an unknown version",
            Self::RecordLength => "a record that is empty or too long",
            Self::MessageType => "a handshake that does not begin with a ClientHello",
            Self::MessageTrailing => "bytes after the ClientHello in its record",
            Self::Structure => "a ClientHello with a field that does not fit",
            Self::ClientVersion => "a ClientHello of an unknown version",
            Self::SessionId => "a session identifier that is too long",
            Self::CipherSuites => "a ClientHello without cipher suites",
            Self::Compression => "a ClientHello that insists on compression",
            Self::ExtensionRepeated => "an extension that is repeated",
            Self::PreSharedKeyOrder => "pre_shared_key is not the last extension",
            Self::ServerNameList => "a list of server names that is none",
            Self::Alpn => "a list of application protocols that is none",
            Self::SupportedVersions => "a list of versions that is none",
        })
    }
}

/// What is known of a connection after its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloRead {
    /// More bytes decide.
    NeedMore,
    /// The client's greeting.
    Hello(ClientHello),
    /// Something else than TLS.
    NotTls {
        /// Whether a request of plain HTTP begins there, which deserves an answer in clear text.
        looks_like_http: bool,
    },
    /// TLS that breaks a rule.
    Malformed(Rule),
}

/// What a client says of the connection that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The host that the client asks for, in lower case and without a dot at its end; `None` when
    /// it sends no name, an address, or an invalid host name.
    pub server_name: Option<String>,
    /// The application protocols that the client speaks, the best first.
    pub alpn: Alpn,
    /// The versions of TLS that the client speaks.
    pub versions: Versions,
}

/// Application protocols in the client's order (RFC 7301).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alpn(Vec<u8>);

impl Alpn {
    /// The protocols' names, such as `h2`; none when the client names none.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut list = Wire(&self.0);
        std::iter::from_fn(move || list.vector8())
    }

    fn read(mut body: Wire<'_>) -> Option<Self> {
        let list = body.vector16().filter(|list| !list.is_empty() && body.is_empty())?;
        let mut names = Wire(list);
        while !names.is_empty() {
            names.vector8().filter(|name| !name.is_empty())?;
        }
        Some(Self(list.to_vec()))
    }
}

/// A set of versions, without those that nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versions(u8);

impl Versions {
    /// TLS 1.0 to TLS 1.3 on the wire.
    const KNOWN: std::ops::RangeInclusive<u16> = 0x0301..=0x0304;

    /// Whether the version is among them, by its number on the wire: 0x0303 is TLS 1.2.
    #[must_use]
    pub fn contains(self, version: u16) -> bool {
        Self::KNOWN.contains(&version) && self.0 & (1 << (version & 0xf)) != 0
    }

    /// The highest of them by its number on the wire; none when all are unknown.
    #[must_use]
    pub fn highest(self) -> Option<u16> {
        Self::KNOWN.rev().find(|&version| self.contains(version))
    }

    fn insert(&mut self, version: u16) {
        if Self::KNOWN.contains(&version) {
            self.0 |= 1 << (version & 0xf);
        }
    }

    /// Those of a client without the extension: up to TLS 1.2, the highest of which the field can
    /// tell (RFC 8446, section 4.1.2).
    fn up_to(legacy: u16) -> Self {
        let mut versions = Self::default();
        (0x0301..=legacy.min(0x0303)).for_each(|version| versions.insert(version));
        versions
    }

    fn read(mut body: Wire<'_>) -> Option<Self> {
        let list = body.vector8()?;
        let is_list = !list.is_empty() && list.len().is_multiple_of(2) && body.is_empty();
        let mut list = Wire(is_list.then_some(list)?);
        let mut versions = Self::default();
        while let Some(version) = list.u16() {
            versions.insert(version);
        }
        Some(versions)
    }
}

/// Reads the `ClientHello` at the beginning of a connection.
///
/// The caller gathers what it receives, and after each receive shows all of it to
/// [`HelloReader::handle_bytes`], until that says something else than [`HelloRead::NeedMore`]. Each
/// record's head is looked at once and the message is read once, when it is whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct HelloReader {
    /// Where the next record begins: all before are whole and of the handshake.
    next: usize,
    /// Bytes of the message in the records before that.
    gathered: usize,
    /// The message's length with its head, when that has come.
    wanted: Option<usize>,
}

impl HelloReader {
    /// A reader at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the connection's bytes say, all of them from its beginning.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> HelloRead {
        if self.next == 0 && !is_tls(bytes) {
            return not_tls(bytes);
        }
        match self.gather(bytes) {
            Ok(None) if bytes.len() >= HELLO_MAX => HelloRead::Malformed(Rule::TooLarge),
            Ok(None) => HelloRead::NeedMore,
            Ok(Some(hello)) => HelloRead::Hello(hello),
            Err(rule) => HelloRead::Malformed(rule),
        }
    }

    /// Walks over the records that are whole.
    fn gather(&mut self, bytes: &[u8]) -> Result<Option<ClientHello>, Rule> {
        loop {
            let head = bytes.get(self.next..).unwrap_or_default();
            let Some(len) = record_len(head)? else { return Ok(None) };
            self.check_size(self.next + RECORD_HEAD + len)?;
            let payload = &head[RECORD_HEAD..];
            self.read_message_head(bytes, &payload[..payload.len().min(len)])?;
            if payload.len() < len {
                return Ok(None);
            }
            self.next += RECORD_HEAD + len;
            self.gathered += len;
            let Some(wanted) = self.wanted else { continue };
            if self.gathered > wanted {
                return Err(Rule::MessageTrailing);
            }
            if self.gathered == wanted {
                return self.read_message(bytes).map(Some);
            }
        }
    }

    /// Takes the message's type and length, which may be in several records, as soon as they are
    /// there: what is refused need not be waited for.
    fn read_message_head(&mut self, bytes: &[u8], payload: &[u8]) -> Result<(), Rule> {
        if self.wanted.is_some() {
            return Ok(());
        }
        let mut head = [0; MESSAGE_HEAD];
        let before = self.payloads(bytes).flatten();
        let mut len = 0;
        for (place, byte) in head.iter_mut().zip(before.chain(payload)) {
            *place = *byte;
            len += 1;
        }
        if len > 0 && head[0] != CLIENT_HELLO {
            return Err(Rule::MessageType);
        }
        if len == MESSAGE_HEAD {
            let [_, high, middle, low] = head;
            let body = u32::from_be_bytes([0, high, middle, low]);
            let wanted = usize::try_from(body).unwrap_or(usize::MAX).saturating_add(MESSAGE_HEAD);
            self.check_size(wanted.saturating_add(RECORD_HEAD))?;
            self.wanted = Some(wanted);
        }
        Ok(())
    }

    fn check_size(&self, len: usize) -> Result<(), Rule> {
        if len > HELLO_MAX { Err(Rule::TooLarge) } else { Ok(()) }
    }

    /// The payloads of the records that were walked over.
    fn payloads<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Wire(bytes.get(..self.next).unwrap_or_default());
        std::iter::from_fn(move || {
            rest.take(RECORD_HEAD - 2)?;
            rest.vector16()
        })
    }

    /// Reads the whole message where it lies, or, if it is in several records, from a copy.
    fn read_message(&self, bytes: &[u8]) -> Result<ClientHello, Rule> {
        if self.next == RECORD_HEAD + self.gathered {
            return read_hello(&bytes[RECORD_HEAD + MESSAGE_HEAD..self.next]);
        }
        let mut message = Vec::with_capacity(self.gathered);
        self.payloads(bytes).for_each(|payload| message.extend_from_slice(payload));
        read_hello(&message[MESSAGE_HEAD..])
    }
}

/// Whether the bytes may be those of a TLS record, as far as they go.
fn is_tls(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|&kind| kind == HANDSHAKE)
        && bytes.get(1).is_none_or(|&major| major == 3)
}

fn not_tls(bytes: &[u8]) -> HelloRead {
    if METHODS.iter().any(|method| bytes.starts_with(method)) {
        return HelloRead::NotTls { looks_like_http: true };
    }
    if METHODS.iter().any(|method| method.starts_with(bytes)) {
        return HelloRead::NeedMore;
    }
    HelloRead::NotTls { looks_like_http: false }
}

/// The length of a record's payload; none when its head has not come.
fn record_len(head: &[u8]) -> Result<Option<usize>, Rule> {
    match head.first() {
        None => return Ok(None),
        Some(&HANDSHAKE) => {}
        Some(_) => return Err(Rule::RecordType),
    }
    // The minor version means nothing (RFC 8446, section 5.1).
    if head.get(1).is_some_and(|&major| major != 3) {
        return Err(Rule::RecordVersion);
    }
    let Some(&[high, low]) = head.get(RECORD_HEAD - 2..RECORD_HEAD) else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len == 0 || len > PAYLOAD_MAX { Err(Rule::RecordLength) } else { Ok(Some(len)) }
}

/// The message without its head (RFC 8446, section 4.1.2).
fn read_hello(body: &[u8]) -> Result<ClientHello, Rule> {
    let mut body = Wire(body);
    let version = body.u16().ok_or(Rule::Structure)?;
    if version < 0x0300 || version >> 8 != 3 {
        return Err(Rule::ClientVersion);
    }
    let _random = body.take(32).ok_or(Rule::Structure)?;
    let session = body.vector8().ok_or(Rule::Structure)?;
    if session.len() > 32 {
        return Err(Rule::SessionId);
    }
    let suites = body.vector16().ok_or(Rule::Structure)?;
    if suites.is_empty() || !suites.len().is_multiple_of(2) {
        return Err(Rule::CipherSuites);
    }
    let methods = body.vector8().ok_or(Rule::Structure)?;
    if !methods.contains(&0) {
        return Err(Rule::Compression);
    }
    let mut hello = ClientHello {
        server_name: None,
        alpn: Alpn::default(),
        versions: Versions::up_to(version),
    };
    // A client of TLS 1.2 may have no extensions at all.
    if !body.is_empty() {
        let extensions = body.vector16().filter(|_| body.is_empty()).ok_or(Rule::Structure)?;
        read_extensions(Wire(extensions), &mut hello)?;
    }
    Ok(hello)
}

fn read_extensions(mut list: Wire<'_>, hello: &mut ClientHello) -> Result<(), Rule> {
    // One bit for each type: comparing each with each would be the client's to make expensive.
    let mut seen = [0_u64; 1024];
    while !list.is_empty() {
        let kind = list.u16().ok_or(Rule::Structure)?;
        let body = Wire(list.vector16().ok_or(Rule::Structure)?);
        let (word, bit) = (&mut seen[usize::from(kind >> 6)], 1_u64 << (kind & 63));
        if *word & bit != 0 {
            return Err(Rule::ExtensionRepeated);
        }
        *word |= bit;
        match kind {
            SERVER_NAME => hello.server_name = read_server_name(body)?,
            ALPN => hello.alpn = Alpn::read(body).ok_or(Rule::Alpn)?,
            SUPPORTED_VERSIONS => {
                hello.versions = Versions::read(body).ok_or(Rule::SupportedVersions)?;
            }
            PRE_SHARED_KEY if !list.is_empty() => return Err(Rule::PreSharedKeyOrder),
            _ => {}
        }
    }
    Ok(())
}

/// The one host name of the list. Other types of names were never defined, so what follows the type
/// of one cannot be read.
fn read_server_name(mut body: Wire<'_>) -> Result<Option<String>, Rule> {
    let list = body.vector16().filter(|_| body.is_empty()).ok_or(Rule::ServerNameList)?;
    let mut list = Wire(list);
    let kind = list.u8().ok_or(Rule::ServerNameList)?;
    let host = list.vector16().filter(|_| kind == 0 && list.is_empty());
    host.map(name::read).ok_or(Rule::ServerNameList)
}

#[cfg(test)]
mod tests;
