//! The PROXY protocol, versions 1 and 2: how a proxy in front tells us who its client is, and how
//! we tell the server behind us.
//!
//! The rules are those of HAProxy's `doc/proxy-protocol.txt`, whose sections are named as §2.1 and
//! so on. [`parse`] takes what has arrived so far, from the connection's first byte. While it
//! answers [`Parsed::Incomplete`], call it again with those bytes and more behind them; everything
//! after `consumed` belongs to the protocol that the connection carries. Bytes that cannot become
//! a header are refused at the first one that shows it.
//!
//! What a header says is only as good as who sent it: ask for one only on listeners that nobody
//! but trusted proxies can reach (§2, §5).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

use thiserror::Error;

/// Bytes of a version 2 header at most, all included. The format allows 65,551; a header that
/// carries a client certificate's name and the like stays within some hundred, and "always smaller
/// than an MSS" (§2.2). It is also what nginx allows.
pub const HEADER_MAX: usize = 4096;

/// Bytes of a version 1 line at most, with its CRLF (§2.1).
pub const V1_LINE_MAX: usize = 107;
/// The shortest header there is, `PROXY UNKNOWN\r\n`.
const V1_LINE_MIN: usize = 15;
const V1_SIGNATURE: &[u8] = b"PROXY ";

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of the rest.
const V2_FIXED_LEN: usize = 16;
const V2_VERSION: u8 = 2;
const V2_LOCAL: u8 = 0;
const V2_PROXY: u8 = 1;
const V2_UNSPEC: u8 = 0x00;
const V2_TCP4: u8 = 0x11;
const V2_TCP6: u8 = 0x21;
const V2_UNIX_PATH_LEN: usize = 108;
const V2_TLV_CRC32C: u8 = 0x03;
const V2_CRC32C_LEN: usize = 4;

/// A client and the address that it connected to; `None` where they cannot be told in this
/// protocol (unix sockets) or are not known.
pub type Endpoints = Option<(SocketAddr, SocketAddr)>;

/// What [`parse`] found at the start of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The start of a header.
    Incomplete {
        /// At least so many bytes are missing; never 0.
        at_least: usize,
    },
    /// A whole header.
    Complete {
        /// What it says.
        header: Header,
        /// Its length; what follows is the connection's own data.
        consumed: usize,
    },
}

/// A whole header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The format it came in.
    pub version: Version,
    /// Whom the connection is made for.
    pub source: Source,
}

/// The two formats of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Whom a connection is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The proxy itself, or somebody that it cannot tell: the addresses of the real connection
    /// hold.
    Local,
    /// A TCP connection.
    Inet {
        /// The client. As it was sent: an IPv4 address inside an IPv6 one is not unwrapped.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
    /// A connection over a unix socket. The paths end before their first NUL, so that unnamed and
    /// abstract ones are empty.
    Unix {
        /// The client's path.
        source: Box<[u8]>,
        /// The path that the client connected to.
        destination: Box<[u8]>,
    },
}

/// What is wrong with a header. Each of them ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum PeerError {
    /// §2.2: neither signature, so "the connection must be dropped".
    #[error("the connection does not start with a PROXY protocol header")]
    NotProxyProtocol,
    /// §2.1: "if the CRLF sequence is not found in the first 107 characters".
    #[error("PROXY v1: the line has no end within 107 bytes")]
    V1LineTooLong,
    /// §2.1: "must not tolerate a single CR or LF character to end the line".
    #[error("PROXY v1: a CR or LF stands alone; the line must end in CRLF")]
    V1LineEnding,
    /// §2.1: only these three names are allowed.
    #[error("PROXY v1: the family is none of TCP4, TCP6 and UNKNOWN")]
    V1Family,
    /// §2.1: addresses and ports are digits, dots and (of IPv6) colons.
    #[error("PROXY v1: a byte that no address, port or single space has")]
    V1Character,
    /// §2.1: "exactly one space".
    #[error("PROXY v1: a space too many; exactly one stands between two fields")]
    V1Spacing,
    /// §2.1: two addresses and two ports.
    #[error("PROXY v1: the line ends before the destination port")]
    V1FieldMissing,
    /// §2.1: two addresses and two ports.
    #[error("PROXY v1: something stands behind the destination port")]
    V1FieldExtra,
    /// §2.1: four numbers to 255 without leading zeros; the name TCP4 dictates the format.
    #[error("PROXY v1: an address of a TCP4 line is not an IPv4 address")]
    V1Ipv4Address,
    /// §2.1: 128 bits in colon-separated groups; the name TCP6 dictates the format.
    #[error("PROXY v1: an address of a TCP6 line is not an IPv6 address")]
    V1Ipv6Address,
    /// §2.1: a decimal to 65535 without leading zeros.
    #[error("PROXY v1: a port is not a decimal of 0 to 65535 without leading zeros")]
    V1Port,
    /// §2.2: "the receiver must only accept this value", 2.
    #[error("PROXY v2: the version is not 2")]
    V2Version,
    /// §2.2: "receivers must drop connections presenting unexpected values here".
    #[error("PROXY v2: the command is neither LOCAL nor PROXY")]
    V2Command,
    /// §2.2: other families "must be rejected as invalid".
    #[error("PROXY v2: the address family is none of UNSPEC, INET, INET6 and UNIX")]
    V2Family,
    /// §2.2: other transports "must be rejected as invalid".
    #[error("PROXY v2: the transport is none of UNSPEC, STREAM and DGRAM")]
    V2Transport,
    /// §2.2: valid, but nothing that arrives on a TCP connection came as a datagram. (The section
    /// also lets a receiver use the real addresses then, which would hide a wrong setup.)
    #[error("PROXY v2: the client's transport is DGRAM, on a stream connection")]
    V2Datagram,
    /// Not in the specification: our limit, [`HEADER_MAX`].
    #[error("PROXY v2: the header is longer than {} bytes", HEADER_MAX)]
    V2HeaderTooLong,
    /// §2.2: 12 bytes for INET, 36 for INET6, 216 for UNIX.
    #[error("PROXY v2: the length is too short for the addresses of its family")]
    V2AddressTooShort,
    /// §2.2: a type, two bytes of length, and as many bytes of value.
    #[error("PROXY v2: a TLV reaches beyond the end of the header")]
    V2TlvTruncated,
    /// §2.2.3: "a 32-bit number".
    #[error("PROXY v2: the checksum's TLV is not 4 bytes long")]
    V2ChecksumLength,
    /// §2.2.3 knows one checksum per header; which of several holds would be guessing.
    #[error("PROXY v2: more than one checksum")]
    V2ChecksumRepeated,
    /// §2.2.3: "MUST treat the TCP connection providing the header as invalid".
    #[error("PROXY v2: the checksum does not match the header")]
    V2ChecksumMismatch,
}

/// Reads the header at the start of a connection, from all that has arrived so far.
///
/// # Errors
///
/// The rule that the peer broke; more bytes would not mend it.
pub fn parse(input: &[u8]) -> Result<Parsed, PeerError> {
    if is_start_of(V2_SIGNATURE, input) && !input.is_empty() {
        parse_v2(input)
    } else if is_start_of(V1_SIGNATURE, input) {
        parse_v1(input)
    } else {
        Err(PeerError::NotProxyProtocol)
    }
}

/// Appends a version 1 header. `None`, as for unix sockets, becomes `PROXY UNKNOWN`. If only one of
/// the addresses is IPv4, both are written as IPv6.
pub fn write_v1(endpoints: &Endpoints, out: &mut Vec<u8>) {
    let line = match endpoints.map(Pair::new) {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Pair::V4([source, destination], [from, to])) => {
            format!("PROXY TCP4 {source} {destination} {from} {to}\r\n")
        }
        Some(Pair::V6([source, destination], [from, to])) => {
            let (source, destination) = (Groups(source), Groups(destination));
            format!("PROXY TCP6 {source} {destination} {from} {to}\r\n")
        }
    };
    out.extend_from_slice(line.as_bytes());
}

/// Appends a version 2 header without TLVs. `None`, as for unix sockets, becomes the command PROXY
/// of an unspecified family: the command LOCAL is for connections that the proxy makes for itself.
/// If only one of the addresses is IPv4, both are written as IPv6.
pub fn write_v2(endpoints: &Endpoints, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    out.push(V2_VERSION << 4 | V2_PROXY);
    let ports = match endpoints.map(Pair::new) {
        None => {
            out.extend_from_slice(&[V2_UNSPEC, 0, 0]);
            return;
        }
        Some(Pair::V4(addresses, ports)) => {
            out.extend_from_slice(&[V2_TCP4, 0, Layout::Inet.address_len()]);
            out.extend(addresses.iter().flat_map(Ipv4Addr::octets));
            ports
        }
        Some(Pair::V6(addresses, ports)) => {
            out.extend_from_slice(&[V2_TCP6, 0, Layout::Inet6.address_len()]);
            out.extend(addresses.iter().flat_map(Ipv6Addr::octets));
            ports
        }
    };
    out.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
}

/// Whether `input` begins with `signature`, or may do so once more of it has arrived.
fn is_start_of(signature: &[u8], input: &[u8]) -> bool {
    signature.iter().zip(input).all(|(expected, byte)| expected == byte)
}

fn parse_v1(input: &[u8]) -> Result<Parsed, PeerError> {
    // The CR is looked for where the LF behind it is still within the limit.
    let window = input.get(..V1_LINE_MAX - 1).unwrap_or(input);
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        v1_source(window, false)?;
        if window.len() == V1_LINE_MAX - 1 {
            return Err(PeerError::V1LineTooLong);
        }
        let at_least = V1_LINE_MIN.saturating_sub(input.len()).max(2);
        return Ok(Parsed::Incomplete { at_least });
    };
    let (line, ending) = input.split_at_checked(end).unwrap_or((input, b""));
    if !matches!(ending, [b'\r'] | [b'\r', b'\n', ..]) {
        return Err(PeerError::V1LineEnding);
    }
    match (v1_source(line, true)?, ending) {
        (Some(source), [_, _, ..]) => Ok(complete(Version::V1, source, end + 2)),
        (Some(_) | None, _) => Ok(Parsed::Incomplete { at_least: 1 }),
    }
}

fn complete(version: Version, source: Source, consumed: usize) -> Parsed {
    let header = Header { version, source };
    Parsed::Complete { header, consumed }
}

/// What a version 1 line without its CRLF says. `None` only while it is not `whole`, and nothing
/// is wrong with it so far.
fn v1_source(line: &[u8], whole: bool) -> Result<Option<Source>, PeerError> {
    // What is shorter than the signature has been compared with it before.
    let Some(rest) = line.strip_prefix(V1_SIGNATURE) else {
        return Ok(None);
    };
    let (name, fields) = match rest.iter().position(|&byte| byte == b' ') {
        Some(at) => (rest.get(..at).unwrap_or(rest), rest.get(at + 1..)),
        None => (rest, None),
    };
    match (name, fields) {
        (b"TCP4", Some(fields)) => v1_tcp(V1Family::Tcp4, fields, whole),
        (b"TCP6", Some(fields)) => v1_tcp(V1Family::Tcp6, fields, whole),
        (b"TCP4" | b"TCP6", None) if whole => Err(PeerError::V1FieldMissing),
        // "The receiver must ignore anything presented before the CRLF."
        (b"UNKNOWN", _) => Ok(whole.then_some(Source::Local)),
        (_, None) if !whole && v1_name_may_follow(name) => Ok(None),
        _ => Err(PeerError::V1Family),
    }
}

fn v1_name_may_follow(start: &[u8]) -> bool {
    [&b"TCP4"[..], b"TCP6", b"UNKNOWN"].iter().any(|name| name.starts_with(start))
}

#[derive(Debug, Clone, Copy)]
enum V1Family {
    Tcp4,
    Tcp6,
}

impl V1Family {
    fn allows(self, byte: u8) -> bool {
        match self {
            Self::Tcp4 => matches!(byte, b'0'..=b'9' | b'.' | b' '),
            // Dots, because the C library writes ::ffff:192.0.2.1.
            Self::Tcp6 => byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b' '),
        }
    }

    fn address(self, field: &[u8]) -> Result<IpAddr, PeerError> {
        let text = str::from_utf8(field).unwrap_or_default();
        match self {
            Self::Tcp4 => match text.parse::<Ipv4Addr>() {
                Ok(address) => Ok(IpAddr::V4(address)),
                Err(_) => Err(PeerError::V1Ipv4Address),
            },
            Self::Tcp6 => match text.parse::<Ipv6Addr>() {
                Ok(address) => Ok(IpAddr::V6(address)),
                Err(_) => Err(PeerError::V1Ipv6Address),
            },
        }
    }
}

/// The fields behind `PROXY TCP4 ` or `PROXY TCP6 `. Each is checked as soon as it is there.
fn v1_tcp(family: V1Family, fields: &[u8], whole: bool) -> Result<Option<Source>, PeerError> {
    if !fields.iter().all(|&byte| family.allows(byte)) {
        return Err(PeerError::V1Character);
    }
    // Of a line that goes on, the last field may go on too.
    let finished = match fields.iter().rposition(|&byte| byte == b' ') {
        _ if whole => fields,
        Some(at) => fields.get(..at).unwrap_or(fields),
        None => return Ok(None),
    };
    let (mut addresses, mut ports) = ([None; 2], [None; 2]);
    for (at, field) in finished.split(|&byte| byte == b' ').enumerate() {
        match (at, &mut addresses, &mut ports) {
            _ if field.is_empty() => return Err(PeerError::V1Spacing),
            (0, [address, _], _) | (1, [_, address], _) => *address = Some(family.address(field)?),
            (2, _, [port, _]) | (3, _, [_, port]) => *port = Some(v1_port(field)?),
            _ => return Err(PeerError::V1FieldExtra),
        }
    }
    match (addresses, ports) {
        ([Some(source), Some(destination)], [Some(from), Some(to)]) if whole => {
            let source = SocketAddr::new(source, from);
            let destination = SocketAddr::new(destination, to);
            Ok(Some(Source::Inet { source, destination }))
        }
        (_, [_, Some(_)]) => Err(PeerError::V1FieldExtra),
        _ if whole => Err(PeerError::V1FieldMissing),
        _ => Ok(None),
    }
}

fn v1_port(field: &[u8]) -> Result<u16, PeerError> {
    let canonical = match field {
        [b'0'] => true,
        [first, ..] => *first != b'0' && field.iter().all(u8::is_ascii_digit),
        [] => false,
    };
    let text = if canonical { str::from_utf8(field).unwrap_or_default() } else { "" };
    text.parse().map_err(|_| PeerError::V1Port)
}

/// How the addresses of a version 2 header are laid out.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// Whatever the header holds is to be ignored.
    Ignored,
    Inet,
    Inet6,
    Unix,
}

impl Layout {
    /// From the fourteenth byte.
    fn new(byte: u8) -> Result<Self, PeerError> {
        let layout = match byte >> 4 {
            0 => Self::Ignored,
            1 => Self::Inet,
            2 => Self::Inet6,
            3 => Self::Unix,
            _ => return Err(PeerError::V2Family),
        };
        match byte & 0x0f {
            0 => Ok(Self::Ignored),
            1 => Ok(layout),
            2 => Err(PeerError::V2Datagram),
            _ => Err(PeerError::V2Transport),
        }
    }

    const fn address_len(self) -> u8 {
        match self {
            Self::Ignored => 0,
            Self::Inet => 2 * (4 + 2),
            Self::Inet6 => 2 * (16 + 2),
            Self::Unix => 2 * 108,
        }
    }
}

fn parse_v2(input: &[u8]) -> Result<Parsed, PeerError> {
    let mut bytes = input.iter().skip(V2_SIGNATURE.len()).copied();
    let missing = Parsed::Incomplete { at_least: V2_FIXED_LEN.saturating_sub(input.len()).max(1) };
    let Some(version_and_command) = bytes.next() else {
        return Ok(missing);
    };
    if version_and_command >> 4 != V2_VERSION {
        return Err(PeerError::V2Version);
    }
    let command = version_and_command & 0x0f;
    if !matches!(command, V2_LOCAL | V2_PROXY) {
        return Err(PeerError::V2Command);
    }
    let Some(family) = bytes.next() else {
        return Ok(missing);
    };
    // LOCAL: "discard the protocol block including the family which is ignored".
    let layout = if command == V2_LOCAL { Layout::Ignored } else { Layout::new(family)? };
    let (Some(high), Some(low)) = (bytes.next(), bytes.next()) else {
        return Ok(missing);
    };
    let length = u16::from_be_bytes([high, low]);
    if length < u16::from(layout.address_len()) {
        return Err(PeerError::V2AddressTooShort);
    }
    let total = V2_FIXED_LEN + usize::from(length);
    if total > HEADER_MAX {
        return Err(PeerError::V2HeaderTooLong);
    }
    let Some(header) = input.get(..total) else {
        return Ok(Parsed::Incomplete { at_least: total - input.len() });
    };
    let block = header.get(V2_FIXED_LEN..).unwrap_or_default();
    let (source, tlvs) = v2_source(layout, block).ok_or(PeerError::V2AddressTooShort)?;
    v2_check_tlvs(header, tlvs)?;
    Ok(complete(Version::V2, source, total))
}

/// The addresses at the start of what follows the fixed part, and the TLVs behind them. Where
/// addresses are to be ignored nobody knows where they end, so there are no TLVs either.
fn v2_source(layout: Layout, block: &[u8]) -> Option<(Source, &[u8])> {
    match layout {
        Layout::Ignored => Some((Source::Local, &[])),
        Layout::Inet => v2_inet::<4>(block),
        Layout::Inet6 => v2_inet::<16>(block),
        Layout::Unix => {
            let (source, rest) = block.split_first_chunk::<V2_UNIX_PATH_LEN>()?;
            let (destination, tlvs) = rest.split_first_chunk::<V2_UNIX_PATH_LEN>()?;
            let (source, destination) = (unix_path(source), unix_path(destination));
            Some((Source::Unix { source, destination }, tlvs))
        }
    }
}

/// Two addresses of `N` bytes, then two ports.
fn v2_inet<const N: usize>(block: &[u8]) -> Option<(Source, &[u8])>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, tlvs) = rest.split_first_chunk::<2>()?;
    let source = SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port));
    let destination = SocketAddr::new((*destination).into(), u16::from_be_bytes(*destination_port));
    Some((Source::Inet { source, destination }, tlvs))
}

fn unix_path(padded: &[u8]) -> Box<[u8]> {
    padded.split(|&byte| byte == 0).next().unwrap_or_default().into()
}

/// Walks the TLVs at the end of `header`. Of the known ones only the checksum matters to us.
fn v2_check_tlvs(header: &[u8], tlvs: &[u8]) -> Result<(), PeerError> {
    let mut rest = tlvs;
    let mut checksum = None;
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk().ok_or(PeerError::V2TlvTruncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, after) = after.split_at_checked(length).ok_or(PeerError::V2TlvTruncated)?;
        if kind == V2_TLV_CRC32C {
            let value = <[u8; V2_CRC32C_LEN]>::try_from(value);
            let value = u32::from_be_bytes(value.map_err(|_| PeerError::V2ChecksumLength)?);
            if checksum.replace((value, after)).is_some() {
                return Err(PeerError::V2ChecksumRepeated);
            }
        }
        rest = after;
    }
    let Some((received, after)) = checksum else {
        return Ok(());
    };
    let before = header.len().saturating_sub(after.len() + V2_CRC32C_LEN);
    let crc = crc32c(u32::MAX, header.get(..before).unwrap_or_default());
    let crc = !crc32c(crc32c(crc, &[0; V2_CRC32C_LEN]), after);
    if crc == received { Ok(()) } else { Err(PeerError::V2ChecksumMismatch) }
}

/// One step of the checksum of RFC 4960, appendix B (CRC-32C, reflected), which begins with all
/// ones and ends with an inversion. Bit by bit: it runs once per connection, over a short header,
/// and few senders use it.
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let carry = if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            (crc >> 1) ^ carry
        })
    })
}

/// Two addresses of one family, and their ports; the source first.
#[derive(Debug)]
enum Pair {
    V4([Ipv4Addr; 2], [u16; 2]),
    V6([Ipv6Addr; 2], [u16; 2]),
}

impl Pair {
    /// IPv4 when both are, be it inside an IPv6 address.
    fn new((source, destination): (SocketAddr, SocketAddr)) -> Self {
        let ports = [source.port(), destination.port()];
        match (source.ip().to_canonical(), destination.ip().to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self::V4([source, destination], ports),
            (source, destination) => Self::V6([to_v6(source), to_v6(destination)], ports),
        }
    }
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// An IPv6 address in hexadecimal groups only, as §2.1 has it: `::ffff:c000:201`, where Rust
/// writes `::ffff:192.0.2.1`.
struct Groups(Ipv6Addr);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    const CRLF: &[u8] = b"\r\n";

    fn inet(source: &str, destination: &str) -> Source {
        Source::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn line(text: &str) -> Vec<u8> {
        [text.as_bytes(), CRLF].concat()
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, block].concat()
    }

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], &length[..], value].concat()
    }

    const ADDRESSES4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

    /// A TCP4 header with `tlvs` behind the addresses.
    fn with_tlvs(tlvs: &[&[u8]]) -> Vec<u8> {
        v2(0x21, 0x11, &[&ADDRESSES4[..], &tlvs.concat()].concat())
    }

    /// The same with a checksum between `before` and `after`.
    fn with_checksum(before: &[u8], after: &[u8]) -> Vec<u8> {
        let mut header = with_tlvs(&[before, &tlv(V2_TLV_CRC32C, &[0; 4]), after]);
        let crc = !crc32c(u32::MAX, &header);
        let at = header.len() - after.len() - 4;
        header.splice(at..at + 4, crc.to_be_bytes());
        header
    }

    fn unix(source: &[u8], destination: &[u8]) -> Vec<u8> {
        let mut block = [0; 216];
        block.iter_mut().zip(source).for_each(|(to, &from)| *to = from);
        block.iter_mut().skip(108).zip(destination).for_each(|(to, &from)| *to = from);
        v2(0x21, 0x31, &block)
    }

    /// Headers that are right, and what they say.
    fn valid() -> Vec<(Vec<u8>, Version, Source)> {
        let tcp4 = inet("192.0.2.1:56324", "198.51.100.2:443");
        let tcp6 = inet("[2001:db8::1]:1", "[::1]:65535");
        let mut block6 = [0; 36];
        block6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (block6[15], block6[31]) = (1, 1);
        block6[32..].copy_from_slice(&[0, 1, 0xff, 0xff]);
        let longest = format!("PROXY UNKNOWN {}", "f".repeat(V1_LINE_MAX - 16));
        let noop = tlv(0x04, &[0; 5]);
        let largest = vec![0; HEADER_MAX - V2_FIXED_LEN];
        let unix_source = |source: &[u8], destination: &[u8]| Source::Unix {
            source: source.into(),
            destination: destination.into(),
        };
        let v1 = [
            (line("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443"), tcp4.clone()),
            (line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), inet("0.0.0.0:0", "0.0.0.0:0")),
            (line("PROXY TCP6 2001:db8::1 ::1 1 65535"), tcp6.clone()),
            (
                line("PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 0:0:0:0:0:0:0:1 1 65535"),
                tcp6.clone(),
            ),
            (
                line("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 56324 443"),
                inet("[::ffff:192.0.2.1]:56324", "[::ffff:198.51.100.2]:443"),
            ),
            (line("PROXY UNKNOWN"), Source::Local),
            (line("PROXY UNKNOWN "), Source::Local),
            (line("PROXY UNKNOWN ffff::1 ffff::2 65535 65535"), Source::Local),
            (line("PROXY UNKNOWN \0 TCP4 \u{e9}  PROXY"), Source::Local),
            (line(&longest), Source::Local),
        ];
        let v2 = [
            (v2(0x21, 0x11, &ADDRESSES4), tcp4.clone()),
            (v2(0x21, 0x21, &block6), tcp6),
            (unix(b"/run/a", b""), unix_source(b"/run/a", b"")),
            (unix(&[b'p'; 108], b"\0abstract"), unix_source(&[b'p'; 108], b"")),
            (v2(0x20, 0x00, b""), Source::Local),
            (v2(0x20, 0x00, b"whatever"), Source::Local),
            (v2(0x20, 0x11, b""), Source::Local),
            (v2(0x20, 0xff, &largest), Source::Local),
            (v2(0x21, 0x00, b""), Source::Local),
            (v2(0x21, 0x00, b"whatever"), Source::Local),
            (v2(0x21, 0x01, b""), Source::Local),
            (v2(0x21, 0x10, &ADDRESSES4), Source::Local),
            (with_tlvs(&[&tlv(0x02, b"example.com"), &tlv(0xe7, b""), &noop]), tcp4.clone()),
            (with_checksum(b"", b""), tcp4.clone()),
            (with_checksum(&noop, &tlv(0x05, b"an id")), tcp4),
        ];
        let v1 = v1.map(|(bytes, source)| (bytes, Version::V1, source));
        v1.into_iter().chain(v2.map(|(bytes, source)| (bytes, Version::V2, source))).collect()
    }

    #[test]
    fn a_valid_header_is_read_whatever_follows() {
        for (bytes, version, source) in valid() {
            let header = Header { version, source };
            let expected = Ok(Parsed::Complete { header, consumed: bytes.len() });
            for rest in [&b""[..], b"\n", b"\r\n", b"\0", b"GET / HTTP/1.1\r\n", &bytes] {
                assert_eq!(
                    parse(&[&bytes[..], rest].concat()),
                    expected,
                    "{}",
                    bytes.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn every_prefix_of_a_valid_header_is_incomplete() {
        for (bytes, ..) in valid() {
            for len in 0..bytes.len() {
                let (prefix, rest) = bytes.split_at(len);
                match parse(prefix) {
                    Ok(Parsed::Incomplete { at_least }) => {
                        assert!((1..=rest.len()).contains(&at_least), "{}", prefix.escape_ascii());
                    }
                    other => panic!("{}: {other:?}", prefix.escape_ascii()),
                }
            }
        }
    }

    #[test]
    fn as_many_bytes_as_it_asks_for_always_lead_to_the_end() {
        for (bytes, ..) in valid() {
            let mut len = 0;
            while let Ok(Parsed::Incomplete { at_least }) = parse(&bytes[..len]) {
                len += at_least;
            }
            assert_eq!(len, bytes.len());
        }
    }

    #[test]
    fn a_changed_byte_never_panics_and_more_bytes_never_mend_an_error() {
        for (bytes, ..) in valid() {
            let positions = (0..bytes.len()).filter(|&at| at < 256 || at % 97 == 0);
            for (at, mask) in positions.flat_map(|at| [1, 0x20, 0x80, 0xff].map(|mask| (at, mask)))
            {
                let mut changed = bytes.clone();
                changed[at] ^= mask;
                let whole = parse(&changed);
                for len in [at, at + 1, changed.len() - 1] {
                    match parse(&changed[..len]) {
                        Ok(Parsed::Incomplete { at_least }) => assert!(at_least > 0),
                        complete @ Ok(Parsed::Complete { .. }) => assert_eq!(complete, whole),
                        Err(_) => assert!(whole.is_err(), "{}", changed.escape_ascii()),
                    }
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_breaks_the_checksum() {
        let bytes = with_checksum(&tlv(0x04, b"pad"), b"");
        for at in V2_FIXED_LEN..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            match (at, parse(&changed)) {
                // The types and lengths of TLVs: what the checksum is may be lost with them.
                (28..=30 | 34..=36, _) => {}
                (_, result) => assert_eq!(result, Err(PeerError::V2ChecksumMismatch), "{at}"),
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        // Appendix B.4: "CRC Examples", and the check value of the CRC catalogue.
        let ascending: Vec<u8> = (0..32).collect();
        let cases: [(&[u8], u32); 4] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, expected) in cases {
            assert_eq!(!crc32c(u32::MAX, bytes), expected);
        }
    }

    #[test]
    fn every_broken_rule_of_version_1_has_its_error() {
        let too_long = format!("PROXY UNKNOWN {}", "f".repeat(V1_LINE_MAX - 15));
        let endless = format!("PROXY TCP4 1.1.1.1 2.2.2.2 1 {}", "2".repeat(79));
        assert_eq!(endless.len(), 108);
        let cases: &[(&[u8], PeerError)] = &[
            (b"\n", PeerError::NotProxyProtocol),
            (b"\0", PeerError::NotProxyProtocol),
            (b" PROXY", PeerError::NotProxyProtocol),
            (b"GET / HTTP/1.1\r\n", PeerError::NotProxyProtocol),
            (b"PRI * HTTP/2.0\r\n", PeerError::NotProxyProtocol),
            (b"POST", PeerError::NotProxyProtocol),
            (b"proxy", PeerError::NotProxyProtocol),
            (b"PROXY\t", PeerError::NotProxyProtocol),
            (b"PROXY\r\n", PeerError::NotProxyProtocol),
            (b"PROXY\0", PeerError::NotProxyProtocol),
            (too_long.as_bytes(), PeerError::V1LineTooLong),
            (&line(&too_long), PeerError::V1LineTooLong),
            (endless.as_bytes(), PeerError::V1LineTooLong),
            (b"PROXY UNKNOWN\n", PeerError::V1LineEnding),
            (b"PROXY UNKNOWN\rx", PeerError::V1LineEnding),
            (b"PROXY UNKNOWN\r\r\n", PeerError::V1LineEnding),
            (b"PROXY UNKNOWN a\nb\r\n", PeerError::V1LineEnding),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", PeerError::V1LineEnding),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n", PeerError::V1LineEnding),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\0\r\n", PeerError::V1Character),
            (b"PROXY \r\n", PeerError::V1Family),
            (b"PROXY  ", PeerError::V1Family),
            (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", PeerError::V1Family),
            (b"PROXY X", PeerError::V1Family),
            (b"PROXY UNKNOWN\0", PeerError::V1Family),
            (b"PROXY UNKNOWNS", PeerError::V1Family),
            (b"PROXY UNKNOW\r\n", PeerError::V1Family),
            (b"PROXY unknown\r\n", PeerError::V1Family),
            (b"PROXY TCP ", PeerError::V1Family),
            (b"PROXY TCP\r\n", PeerError::V1Family),
            (b"PROXY TCP5", PeerError::V1Family),
            (b"PROXY TCP4\t", PeerError::V1Family),
            (b"PROXY TCP41", PeerError::V1Family),
            (b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", PeerError::V1Family),
            (b"PROXY TCP4 1.1.1.1\t", PeerError::V1Character),
            (b"PROXY TCP4 +1.1.1.1", PeerError::V1Character),
            (b"PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", PeerError::V1Character),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", PeerError::V1Character),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n", PeerError::V1Character),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 0x2\r\n", PeerError::V1Character),
            (b"PROXY TCP6 fe80::1%eth0", PeerError::V1Character),
            (b"PROXY TCP6 [::1]", PeerError::V1Character),
            (b"PROXY TCP4  ", PeerError::V1Spacing),
            (b"PROXY TCP4 1.1.1.1  ", PeerError::V1Spacing),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2  1 2\r\n", PeerError::V1Spacing),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1  2\r\n", PeerError::V1Spacing),
            (b"PROXY TCP4\r\n", PeerError::V1FieldMissing),
            (b"PROXY TCP6\r", PeerError::V1FieldMissing),
            (b"PROXY TCP4 \r\n", PeerError::V1Spacing),
            (b"PROXY TCP4 1.1.1.1\r\n", PeerError::V1FieldMissing),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", PeerError::V1FieldMissing),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n", PeerError::V1Spacing),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 ", PeerError::V1FieldExtra),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", PeerError::V1FieldExtra),
            (b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", PeerError::V1Ipv4Address),
            (b"PROXY TCP4 1.1.1.01 ", PeerError::V1Ipv4Address),
            (b"PROXY TCP4 1.1.1.256 ", PeerError::V1Ipv4Address),
            (b"PROXY TCP4 1.1.1.1.1 ", PeerError::V1Ipv4Address),
            (b"PROXY TCP4 16843009 ", PeerError::V1Ipv4Address),
            (b"PROXY TCP4 1.1.1.1 2.2.2. 1 2\r\n", PeerError::V1Ipv4Address),
            (b"PROXY TCP6 1.1.1.1 ", PeerError::V1Ipv6Address),
            (b"PROXY TCP6 1::2::3 ", PeerError::V1Ipv6Address),
            (b"PROXY TCP6 00001:: ", PeerError::V1Ipv6Address),
            (b"PROXY TCP6 1:2:3:4:5:6:7 ", PeerError::V1Ipv6Address),
            (b"PROXY TCP6 :: : 1 2\r\n", PeerError::V1Ipv6Address),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 ", PeerError::V1Port),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 00 ", PeerError::V1Port),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 ", PeerError::V1Port),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1. 2\r\n", PeerError::V1Port),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 02\r\n", PeerError::V1Port),
            (b"PROXY TCP6 ::1 ::1 1 f\r\n", PeerError::V1Port),
        ];
        refuses(cases);
    }

    #[test]
    fn every_broken_rule_of_version_2_has_its_error() {
        let truncated = PeerError::V2TlvTruncated;
        let checksum = tlv(V2_TLV_CRC32C, &[0; 4]);
        let cases: &[(&[u8], PeerError)] = &[
            (b"\r\n\r\nGET", PeerError::NotProxyProtocol),
            (b"\r\n\r\n\0\r\nQUIT\r", PeerError::NotProxyProtocol),
            (&v2(0x11, 0x11, &ADDRESSES4), PeerError::V2Version),
            (&v2(0x31, 0x11, &ADDRESSES4), PeerError::V2Version),
            (b"\r\n\r\n\0\r\nQUIT\n\0", PeerError::V2Version),
            (b"\r\n\r\n\0\r\nQUIT\n\x22", PeerError::V2Command),
            (&v2(0x2f, 0x11, &ADDRESSES4), PeerError::V2Command),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x41", PeerError::V2Family),
            (&v2(0x21, 0xf0, &ADDRESSES4), PeerError::V2Family),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x13", PeerError::V2Transport),
            (&v2(0x21, 0x0f, b""), PeerError::V2Transport),
            (&v2(0x21, 0x12, &ADDRESSES4), PeerError::V2Datagram),
            (&v2(0x21, 0x32, &[0; 216]), PeerError::V2Datagram),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x0f\xf1", PeerError::V2HeaderTooLong),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", PeerError::V2HeaderTooLong),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b", PeerError::V2AddressTooShort),
            (&v2(0x21, 0x11, b""), PeerError::V2AddressTooShort),
            (&v2(0x21, 0x21, &[0; 35]), PeerError::V2AddressTooShort),
            (&v2(0x21, 0x31, &[0; 215]), PeerError::V2AddressTooShort),
            (&with_tlvs(&[b"\x04"]), truncated),
            (&with_tlvs(&[b"\x04\x00"]), truncated),
            (&with_tlvs(&[b"\x04\x00\x01"]), truncated),
            (&with_tlvs(&[b"\x04\xff\xff\x00"]), truncated),
            (&with_tlvs(&[b"\x04\x00\x00", b"\x04\x00\x02\x00"]), truncated),
            (&with_tlvs(&[b"\x03\x00\x04\x00\x00\x00"]), truncated),
            (&with_tlvs(&[&tlv(V2_TLV_CRC32C, &[0; 3])]), PeerError::V2ChecksumLength),
            (&with_tlvs(&[&tlv(V2_TLV_CRC32C, &[0; 5])]), PeerError::V2ChecksumLength),
            (&with_tlvs(&[&checksum]), PeerError::V2ChecksumMismatch),
            (&with_tlvs(&[&checksum, &checksum]), PeerError::V2ChecksumRepeated),
            (&with_checksum(b"", &checksum), PeerError::V2ChecksumRepeated),
        ];
        refuses(cases);
    }

    fn refuses(cases: &[(&[u8], PeerError)]) {
        for (input, error) in cases {
            assert_eq!(parse(input), Err(*error), "{}", input.escape_ascii());
            let more = [input, &b"\r\n\r\n"[..]].concat();
            assert!(parse(&more).is_err(), "{}", input.escape_ascii());
            assert!(error.to_string().is_ascii());
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let v6 = "[::ffff:192.0.2.1]:5";
        let (v6_scoped, v6_plain) = ("[fe80::1%7]:1", "[fe80::1]:1");
        let cases = [
            ("192.0.2.1:5", "198.51.100.2:443", "192.0.2.1:5", "198.51.100.2:443"),
            ("255.255.255.255:65535", "0.0.0.0:0", "255.255.255.255:65535", "0.0.0.0:0"),
            ("[2001:db8::1]:5", "[::]:443", "[2001:db8::1]:5", "[::]:443"),
            ("192.0.2.1:5", "[2001:db8::1]:443", v6, "[2001:db8::1]:443"),
            ("[2001:db8::1]:443", "192.0.2.1:5", "[2001:db8::1]:443", v6),
            (v6, "[::ffff:1.2.3.4]:6", "192.0.2.1:5", "1.2.3.4:6"),
            (v6, "1.2.3.4:6", "192.0.2.1:5", "1.2.3.4:6"),
            (v6, "[2001:db8::1]:443", v6, "[2001:db8::1]:443"),
            ("[::1.2.3.4]:1", "[::1]:1", "[::1.2.3.4]:1", "[::1]:1"),
            (v6_scoped, v6_plain, v6_plain, v6_plain),
        ];
        for (source, destination, read_source, read_destination) in cases {
            let endpoints = Some((source.parse().unwrap(), destination.parse().unwrap()));
            let source = inet(read_source, read_destination);
            for (version, bytes) in write_both(&endpoints) {
                let header = Header { version, source: source.clone() };
                let complete = Parsed::Complete { header, consumed: bytes.len() };
                assert_eq!(parse(&bytes), Ok(complete), "{}", bytes.escape_ascii());
            }
        }
    }

    fn write_both(endpoints: &Endpoints) -> [(Version, Vec<u8>); 2] {
        let (mut v1, mut v2) = (Vec::new(), Vec::new());
        write_v1(endpoints, &mut v1);
        write_v2(endpoints, &mut v2);
        [(Version::V1, v1), (Version::V2, v2)]
    }

    #[test]
    fn the_written_bytes_are_those_of_the_specification() {
        let cases = [
            (None, "PROXY UNKNOWN\r\n", v2(0x21, 0x00, b"")),
            (
                Some(("192.0.2.1:56324", "198.51.100.2:443")),
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
                v2(0x21, 0x11, &ADDRESSES4),
            ),
            (
                Some(("192.0.2.1:258", "[::1]:0")),
                "PROXY TCP6 ::ffff:c000:201 ::1 258 0\r\n",
                v2(
                    0x21,
                    0x21,
                    b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\
                      \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\x02\0\0",
                ),
            ),
        ];
        for (endpoints, v1, v2) in cases {
            let endpoints = endpoints.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
            let [(_, line), (_, binary)] = write_both(&endpoints);
            assert_eq!(line, v1.as_bytes());
            assert_eq!(binary, v2);
        }
    }

    #[test]
    fn writing_appends() {
        let mut out = b"before".to_vec();
        write_v1(&None, &mut out);
        write_v2(&None, &mut out);
        let expected = [&b"beforePROXY UNKNOWN\r\n"[..], V2_SIGNATURE, b"\x21\0\0\0"].concat();
        assert_eq!(out, expected);
    }
}
