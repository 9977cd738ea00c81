//! Clients that break TLS on purpose: before, within and after the handshake. Each is told or cut
//! off, and counted by its reason; nobody else notices.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use ringway::net::tls::Fault;
use ringway::ring::sim::Random;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use crate::forger::Forger;
use crate::pki::*;
use crate::support::*;

/// An echo server, with a client that is served throughout.
pub(crate) struct Besieged {
    pub(crate) pki: Pki,
    pub(crate) served: Served,
    steady: Secured,
}

impl Besieged {
    pub(crate) fn new(keys: &str) -> Self {
        let pki = Pki::new();
        let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(keys);
        let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
        let steady = pki.connect(served.address());
        Self { pki, served, steady }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.served.address()
    }

    pub(crate) fn failed(&self, fault: Fault) -> u64 {
        self.served.sum(|cell| cell.stats.listeners.get(0).tls.failed[fault.index()].get())
    }

    /// The faults that have been counted, as often as they were.
    fn faults(&self) -> Vec<(Fault, u64)> {
        let counted = Fault::ALL.map(|fault| (fault, self.failed(fault)));
        counted.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn assert_serves(&mut self) {
        self.steady.write_all(b"x").unwrap();
        self.steady.read_exact(&mut [0]).unwrap();
    }

    /// At the end: new clients are served, and nothing is left of the others.
    pub(crate) fn assert_unharmed(mut self) {
        self.assert_serves();
        let mut new = self.pki.connect(self.address());
        new.write_all(b"x").unwrap();
        new.read_exact(&mut [0]).unwrap();
        drop(new);
        let Self { served, .. } = &self;
        wait_until("all are gone", || served.sum(|cell| cell.active.get()) == 1);
        assert_eq!(served.sum(|cell| cell.stats.stale.get()), 0);
        assert_eq!(self.failed(Fault::Internal), 0, "{:?}", self.faults());
    }
}

/// What comes up to the end, whichever that is.
pub(crate) fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    rest
}

/// A client of one version, whose keys can be taken.
pub(crate) fn client_of(pki: &Pki, version: &'static SupportedProtocolVersion) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca.as_bytes()).unwrap()).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name().as_str() == Some("X25519"));
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// A connection whose handshake was honest, and what seals records on it.
pub(crate) fn forged(pki: &Pki, address: SocketAddr, is_old: bool) -> (TcpStream, Forger) {
    let version = if is_old { &version::TLS12 } else { &version::TLS13 };
    let mut connection = client_of(pki, version);
    let mut stream = connect(address);
    while connection.is_handshaking() || connection.wants_write() {
        connection.complete_io(&mut stream).unwrap();
    }
    let suite = connection.negotiated_cipher_suite().unwrap();
    let secrets = connection.dangerous_extract_secrets().unwrap();
    (stream, Forger::new(suite, secrets.tx))
}

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

fn u16s(values: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    long(&bytes)
}

/// With its length before it, in two bytes.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

pub(crate) fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &*long(payload)].concat()
}

/// A `ClientHello` that is put together by hand.
pub(crate) struct Hello {
    version: u16,
    suites: Vec<u16>,
    extensions: Vec<(u16, Vec<u8>)>,
}

const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const SIGNATURES: u16 = 13;
pub(crate) const PADDING: u16 = 21;
const EARLY_DATA: u16 = 42;
const VERSIONS: u16 = 43;
pub(crate) const KEY_SHARE: u16 = 51;

impl Hello {
    pub(crate) fn new() -> Self {
        let share = [&[0, 29][..], &long(&[9; 32])].concat();
        let name = [&[0][..], &long(b"localhost")].concat();
        Self {
            version: 0x0303,
            suites: vec![0x1301, 0xc02b],
            extensions: vec![
                (SERVER_NAME, long(&name)),
                (GROUPS, u16s(&[29])),
                (11, short(&[0])),
                (SIGNATURES, u16s(&[0x0403])),
                (23, Vec::new()),
                (VERSIONS, short(&[3, 4, 3, 3])),
                (45, short(&[1])),
                (KEY_SHARE, long(&share)),
            ],
        }
    }

    /// With another extension, or none of this number.
    pub(crate) fn with(mut self, number: u16, value: Option<Vec<u8>>) -> Self {
        self.extensions.retain(|(other, _)| *other != number);
        self.extensions.extend(value.map(|value| (number, value)));
        self
    }

    pub(crate) fn with_suites(self, suites: &[u16]) -> Self {
        Self { suites: suites.to_vec(), ..self }
    }

    pub(crate) fn with_names(self, names: &[&[u8]]) -> Self {
        let names: Vec<u8> =
            names.iter().flat_map(|name| [&[0][..], &long(name)].concat()).collect();
        self.with(SERVER_NAME, Some(long(&names)))
    }

    /// The message, in as many records as it needs.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(number, value)| [&number.to_be_bytes()[..], &long(value)].concat())
            .collect();
        let body = [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            &short(&[8; 32]),
            &u16s(&self.suites),
            &short(&[0]),
            &long(&extensions),
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1][..], &length[1..], &body].concat();
        message.chunks(16 * 1024).flat_map(|part| record(HANDSHAKE, part)).collect()
    }
}

fn name_of(length: usize) -> Vec<u8> {
    [&vec![b'a'; length - 4][..], b".com"].concat()
}

/// What is sent first, and the reason that is counted.
fn beginnings() -> Vec<(&'static str, Vec<u8>, Fault)> {
    let hello = Hello::new;
    let with = |number, value: Vec<u8>| hello().with(number, Some(value)).bytes();
    let old = |version: u16| {
        let hello = Hello { version, ..hello() }.with(VERSIONS, None).bytes();
        [&hello[..1], &version.to_be_bytes(), &hello[3..]].concat()
    };
    let suites = |suites: &[u16]| hello().with_suites(suites).bytes();
    let tls12 = || hello().with_suites(&[0xc02b]).with(VERSIONS, None);
    let ssl2 = [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[5; 37]].concat();
    let whole = hello().bytes();
    let retry = hello().with(KEY_SHARE, Some(vec![0, 0])).bytes();
    vec![
        ("SSL 2", ssl2, Fault::NotTls),
        ("SSL 3", old(0x0300), Fault::Version),
        ("TLS 1.0", old(0x0301), Fault::Version),
        ("TLS 1.1", old(0x0302), Fault::Version),
        ("TLS 1.1 by extension", with(VERSIONS, short(&[3, 2])), Fault::Version),
        ("unknown versions", with(VERSIONS, short(&[0x7f, 0xff, 9, 9])), Fault::Version),
        ("no common suite", suites(&[0x0035, 0x000a]), Fault::Suite),
        ("no suite", suites(&[]), Fault::Protocol),
        ("no common group", hello().with(GROUPS, Some(u16s(&[22]))).bytes(), Fault::Group),
        (
            "no common group in TLS 1.2",
            tls12().with(GROUPS, Some(u16s(&[22]))).bytes(),
            Fault::Group,
        ),
        ("no common signature", with(SIGNATURES, u16s(&[0x0201])), Fault::Signature),
        (
            "no common signature in TLS 1.2",
            tls12().with(SIGNATURES, Some(u16s(&[0x0201]))).bytes(),
            Fault::Signature,
        ),
        ("the same hello after a retry", [&retry[..], &retry].concat(), Fault::Protocol),
        ("an empty name", hello().with_names(&[b""]).bytes(), Fault::Protocol),
        ("two names", hello().with_names(&[b"a.com", b"b.com"]).bytes(), Fault::Protocol),
        ("no name in the list", hello().with_names(&[]).bytes(), Fault::Protocol),
        (
            "a name with a control character",
            hello().with_names(&[b"a\x01.com"]).bytes(),
            Fault::Protocol,
        ),
        ("a name with a blank", hello().with_names(&[b"a b.com"]).bytes(), Fault::Protocol),
        (
            "a name that is no ASCII",
            hello().with_names(&["ä.com".as_bytes()]).bytes(),
            Fault::Protocol,
        ),
        ("a name of 300 bytes", hello().with_names(&[&name_of(300)]).bytes(), Fault::Protocol),
        ("early data, which is not taken", with(EARLY_DATA, Vec::new()), Fault::Truncated),
        (
            "an extension twice",
            {
                let mut hello = hello();
                hello.extensions.push((GROUPS, u16s(&[29])));
                hello.bytes()
            },
            Fault::Protocol,
        ),
        (
            "a hello of 70 KiB",
            {
                let mut hello = hello();
                hello.suites = vec![0x1301; 20_000];
                hello.with(PADDING, Some(vec![0; 30_000])).bytes()
            },
            Fault::HandshakeTooLarge,
        ),
        ("a server's hello", record(HANDSHAKE, &[2, 0, 0, 4, 3, 3, 0, 0]), Fault::Protocol),
        ("a record of 2^14 + 2049 bytes", record(HANDSHAKE, &[1; 16_384 + 2_049]), Fault::Protocol),
        (
            "a message of 16 MiB",
            record(HANDSHAKE, &[1, 0xff, 0xff, 0xff, 3, 3]),
            Fault::HandshakeTooLarge,
        ),
        ("empty records", record(HANDSHAKE, &[]).repeat(100), Fault::Protocol),
        ("an empty record within", [&whole[..5], &[]].concat(), Fault::Truncated),
        ("half a hello", whole[..whole.len() / 2].to_vec(), Fault::Truncated),
        ("a hello and no more", whole.clone(), Fault::Truncated),
        ("a hello twice", whole.repeat(2), Fault::Decrypt),
        (
            "a hello, then data in clear text",
            [&whole[..], &record(DATA, b"hello")].concat(),
            Fault::Decrypt,
        ),
        (
            "a hello, then a key update",
            [&whole[..], &record(HANDSHAKE, &[24, 0, 0, 1, 0])].concat(),
            Fault::Decrypt,
        ),
        ("a fatal alert", record(ALERT, &[2, 40]), Fault::Alert),
        ("warnings", record(ALERT, &[1, 90]).repeat(20), Fault::Protocol),
        ("change of keys first", record(CHANGE_CIPHER_SPEC, &[1]).repeat(9), Fault::NotTls),
        ("data first", record(DATA, b"hello"), Fault::NotTls),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Fault::PlainHttp),
        ("another protocol", b"\x00\x01\x02\x03".to_vec(), Fault::NotTls),
    ]
}

#[test]
fn whatever_a_client_begins_with_is_counted_by_its_reason() {
    let mut besieged = Besieged::new("");
    let mut wrong = Vec::new();
    for (what, bytes, fault) in beginnings() {
        let before = besieged.faults();
        let mut stream = connect(besieged.address());
        let _may_be_closed = stream.write_all(&bytes);
        let _may_be_closed = stream.shutdown(Shutdown::Write);
        let answer = rest_of(&mut stream);
        assert_eq!(answer.starts_with(b"HTTP/1.1 400 "), fault == Fault::PlainHttp, "{what}");
        wait_until(what, || besieged.faults() != before);
        let after = besieged.faults();
        let new: Vec<_> = after.iter().filter(|one| !before.contains(one)).collect();
        if !matches!(*new, [(found, _)] if *found == fault) {
            wrong.push(format!("{what}: {new:?}, not {fault:?}"));
        }
        besieged.assert_serves();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    besieged.assert_unharmed();
}

#[test]
fn a_hello_may_be_as_large_as_handshake_max_says() {
    let besieged = Besieged::new("handshake_max = \"4KiB\"");
    let sizes = [(3_000, Fault::Truncated), (8_000, Fault::HandshakeTooLarge)];
    for (size, fault) in sizes {
        let mut stream = connect(besieged.address());
        let hello = Hello::new().with(PADDING, Some(vec![0; size])).bytes();
        // Slowly, so that its beginning is read before it is whole.
        stream.set_nodelay(true).unwrap();
        for part in hello.chunks(100) {
            let _may_be_closed = stream.write_all(part);
        }
        let _may_be_closed = stream.shutdown(Shutdown::Write);
        rest_of(&mut stream);
        wait_until("it is counted", || besieged.failed(fault) == 1);
    }
    besieged.assert_unharmed();
}

/// What is done to the records of a client.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Cut,
    Lengthen,
    Oversize,
    Swap,
    Repeat,
    Drop,
    Flip,
    Random,
    Empty,
}

const HARMS: [Harm; 9] = [
    Harm::Cut,
    Harm::Lengthen,
    Harm::Oversize,
    Harm::Swap,
    Harm::Repeat,
    Harm::Drop,
    Harm::Flip,
    Harm::Random,
    Harm::Empty,
];

impl Harm {
    /// Changes one of the records.
    fn change(self, records: &mut Vec<Vec<u8>>, at: usize, random: &mut Random) {
        let len = records[at].len();
        match self {
            Self::Cut => records[at].truncate(random.below(len)),
            Self::Lengthen => {
                records[at].extend(bytes(random.bits(), 1 + random.below(99)));
            }
            Self::Oversize => {
                let mut large = record(records[at][0], &[0; 16_384 + 2_049]);
                large[..3].copy_from_slice(&records[at][..3]);
                records[at] = large;
            }
            Self::Swap => {
                let other = random.below(records.len());
                records.swap(at, other);
            }
            Self::Repeat => records.insert(at, records[at].clone()),
            Self::Drop => drop(records.remove(at)),
            Self::Flip => records[at][random.below(len)] ^= 1 << random.below(8),
            Self::Random => records[at] = bytes(random.bits(), 1 + random.below(300)),
            Self::Empty => {
                let kind = [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, 99][random.below(5)];
                let count = [1, 100][random.below(2)];
                records.insert(at, record(kind, &[]).repeat(count));
            }
        }
    }
}

fn records_of(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let len = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        records.push(bytes[..len].to_vec());
        bytes = &bytes[len..];
    }
    records
}

/// An exchange of which one flight is harmed: the hello, what ends the handshake, the data.
fn harmed(besieged: &Besieged, is_old: bool, flight: usize, harm: Harm, random: &mut Random) {
    let mut client =
        client_of(&besieged.pki, if is_old { &version::TLS12 } else { &version::TLS13 });
    let mut stream = connect(besieged.address());
    for number in 0..3 {
        if !client.is_handshaking() {
            for part in bytes(1, 6_000).chunks(1_500) {
                client.writer().write_all(part).unwrap();
                client.writer().flush().unwrap();
            }
        }
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut records = records_of(&wire);
        if number == flight && !records.is_empty() {
            let at = random.below(records.len());
            harm.change(&mut records, at, random);
        }
        if stream.write_all(&records.concat()).is_err() || number == flight {
            break;
        }
        while client.is_handshaking() && !client.wants_write() {
            if !matches!(client.read_tls(&mut stream), Ok(1..)) {
                return;
            }
            if client.process_new_packets().is_err() {
                return;
            }
        }
    }
    let _may_be_closed = stream.shutdown(Shutdown::Write);
    rest_of(&mut stream);
}

#[test]
fn records_that_are_harmed_in_any_way_at_any_time_end_their_own_connection_only() {
    let mut besieged = Besieged::new("");
    let mut random = Random::new(7);
    for is_old in [false, true] {
        for flight in 0..3 {
            for harm in HARMS {
                for _ in 0..4 {
                    harmed(&besieged, is_old, flight, harm, &mut random);
                }
                besieged.assert_serves();
            }
        }
    }
    besieged.assert_unharmed();
}

#[test]
fn a_client_that_sends_byte_for_byte_is_served() {
    let besieged = Besieged::new("");
    for version in [&version::TLS12, &version::TLS13] {
        let mut client = client_of(&besieged.pki, version);
        let mut stream = connect(besieged.address());
        stream.set_nodelay(true).unwrap();
        client.writer().write_all(b"hello").unwrap();
        let mut answer = Vec::new();
        while answer.len() < 5 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            for byte in wire {
                stream.write_all(&[byte]).unwrap();
            }
            client.read_tls(&mut stream).unwrap();
            client.process_new_packets().unwrap();
            let _none_yet = client.reader().read_to_end(&mut answer);
        }
        assert_eq!(answer, b"hello");
    }
    besieged.assert_unharmed();
}
