//! A TLS connection of ours whose peer sends what it likes, before, within and after the handshake.
//!
//! The first byte of an input says which: bit 0, whether ours is the client's end; bit 1, whether
//! TLS 1.2 is spoken; bits 2 and 3, the [`Stage`]; bits 4 and 5, the size of the pieces in which
//! bytes come.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ringway::net::tls::{
    Certificate, Certificates, ClientAuth, ClientConfig, ClientOptions, Policy, Resolver, Roots,
    ServerConfig, ServerName, ServerOptions, Session, Tickets, TlsError, client_config,
    server_config,
};
use ringway::proto::tls::{CIPHER_SUITES, GROUPS};
use rustls::{ClientConnection, Connection, ServerConnection};

use super::forger::Forger;

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All that the peer sends.
    Alone,
    /// What it sends when the handshake is done.
    Behind,
    /// The contents of records that it then sends, sealed as they must be: a type, the payload's
    /// length, the payload.
    Sealed,
    /// What is changed in an honest handshake: two bytes of a position, then one to be put there,
    /// and again.
    Changed,
}

/// Bytes of a handshake that are taken.
const HANDSHAKE_MAX: usize = 64 * 1024;
/// What must never be seen in clear text.
const SECRET: &[u8] = b"nobody may read this";

struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Configs {
    fn make(is_old: bool) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let roots = params.self_signed(&key).expect("an issuer").pem().into_bytes();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let chain = params.signed_by(&key, &issuer).expect("a certificate").pem();
        let key = key.serialize_pem();
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), None);
        let certificates = vec![(certificate.expect("it fits"), Vec::new())];
        let is_suite = |(name, _): &&(&str, _)| *name == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        let (_, suite) = CIPHER_SUITES.iter().find(is_suite).expect("it is known");
        let (_, group) = GROUPS.iter().find(|(name, _)| *name == "X25519").expect("it is known");
        let policy = Policy {
            suites: if is_old { vec![*suite] } else { Vec::new() },
            groups: vec![*group],
            ..Policy::default()
        };
        let server = ServerOptions {
            policy: policy.clone(),
            alpn: Vec::new(),
            client_auth: ClientAuth::Off,
            resolver: Arc::new(Resolver::new(Certificates::new(certificates, false))),
            tickets: Arc::new(Tickets::random(Duration::from_secs(60)).expect("random bytes")),
            tickets_each: 1,
            extractable: true,
            key_log: None,
        };
        let client = ClientOptions {
            policy,
            roots: Roots::Given(roots),
            extractable: true,
            ..ClientOptions::default()
        };
        Self {
            client: client_config(client).expect("good options"),
            server: server_config(server).expect("good options"),
        }
    }

    fn of(is_old: bool) -> &'static Self {
        static ALL: OnceLock<[Configs; 2]> = OnceLock::new();
        &ALL.get_or_init(|| [Self::make(false), Self::make(true)])[usize::from(is_old)]
    }
}

#[expect(clippy::disallowed_methods, reason = "a time to count from")]
fn now() -> Instant {
    Instant::now()
}

/// Our end, and what came of what it was given.
struct Ours {
    session: Session,
    /// The size of the pieces in which bytes come.
    step: usize,
    plain: Vec<u8>,
    wire: Vec<u8>,
}

impl Ours {
    fn new(is_client: bool, is_old: bool, step: usize) -> Self {
        let configs = Configs::of(is_old);
        let mut wire = Vec::new();
        let session = if is_client {
            let name = ServerName::try_from("localhost").expect("a name");
            let mut session =
                Session::client(&configs.client, name, HANDSHAKE_MAX).expect("a client");
            session.start(&mut wire).expect("a first flight");
            session
        } else {
            Session::server(&configs.server, HANDSHAKE_MAX).expect("a server")
        };
        Self { session, step, plain: Vec::new(), wire }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        let mut scratch = Vec::new();
        for piece in bytes.chunks(self.step) {
            self.session.receive(piece, &mut scratch, &mut self.plain, &mut self.wire)?;
        }
        Ok(())
    }

    /// Whatever has come of it, an end can be asked for more, and tells no secret.
    fn assert_harmless(&mut self) {
        let (mut wire, mut scratch) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let len = wire.len();
            let is_refused = self.session.send(SECRET, now(), &mut wire).is_err();
            assert!(!is_refused || wire.len() == len, "a refused send leaves nothing");
            self.session.close_notify(&mut wire);
            let rest = b"\x17\x03\x03";
            let more = self.session.receive(rest, &mut scratch, &mut Vec::new(), &mut wire);
            assert!(!wire.windows(SECRET.len()).any(|part| part == SECRET), "{more:?}");
        }
    }
}

/// The honest other end.
fn peer(ours_is_client: bool, is_old: bool) -> Connection {
    let configs = Configs::of(is_old);
    if ours_is_client {
        ServerConnection::new(Arc::clone(&configs.server)).expect("a server").into()
    } else {
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::clone(&configs.client), name).expect("a client").into()
    }
}

/// A handshake, in which `change` sees each flight of the peer before we do: its number, and its
/// bytes; they come in two parts, and it says how long the first is.
fn handshake(
    ours: &mut Ours,
    peer: &mut Connection,
    mut change: impl FnMut(usize, &mut Vec<u8>) -> usize,
) -> Result<(), TlsError> {
    for flight in 0.. {
        let mut bytes = Vec::new();
        while peer.wants_write() {
            peer.write_tls(&mut bytes).expect("memory");
        }
        if bytes.is_empty() && ours.wire.is_empty() {
            break;
        }
        let cut = change(flight, &mut bytes);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        ours.take(first)?;
        ours.take(second)?;
        let wire = std::mem::take(&mut ours.wire);
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            peer.read_tls(&mut rest).expect("memory");
            if peer.process_new_packets().is_err() {
                break;
            }
        }
    }
    ours.session.receive_end()
}

fn established(is_client: bool, is_old: bool, step: usize) -> (Ours, Connection) {
    let mut ours = Ours::new(is_client, is_old, step);
    let mut peer = peer(is_client, is_old);
    handshake(&mut ours, &mut peer, |_, _| 0).expect("an honest handshake");
    assert!(!ours.session.is_handshaking() && !peer.is_handshaking());
    (ours, peer)
}

/// What can seal records in the peer's place.
fn forger(peer: Connection) -> Forger {
    let suite = peer.negotiated_cipher_suite().expect("it stands");
    Forger::new(suite, peer.dangerous_extract_secrets().expect("it is allowed").tx)
}

/// Any bytes of a peer: the name of the fault, if there is one.
pub(crate) fn tls_session(input: &[u8]) -> Option<&'static str> {
    let (setting, rest) = input.split_first()?;
    let (is_client, is_old) = (setting & 1 != 0, setting & 2 != 0);
    let stages = [Stage::Alone, Stage::Behind, Stage::Sealed, Stage::Changed];
    let stage = stages[usize::from(setting >> 2 & 3)];
    let step = [usize::MAX, 1, 7, 1_400][usize::from(setting >> 4 & 3)];
    let (mut ours, result) = match stage {
        Stage::Alone => {
            let mut ours = Ours::new(is_client, is_old, step);
            let result = ours.take(rest);
            assert!(ours.plain.is_empty(), "nothing is read before a handshake is done");
            (ours, result)
        }
        Stage::Behind => {
            let (mut ours, _peer) = established(is_client, is_old, step);
            let result = ours.take(rest);
            assert!(ours.plain.is_empty(), "what nobody has sealed is nothing");
            (ours, result)
        }
        Stage::Sealed => {
            let (mut ours, peer) = established(is_client, is_old, step);
            let mut forger = forger(peer);
            let (mut rest, mut bytes) = (rest, Vec::new());
            while let [kind, len, after @ ..] = rest {
                let (payload, after) = after.split_at(after.len().min(usize::from(*len)));
                bytes.extend(forger.record(*kind, payload));
                rest = after;
            }
            let result = ours.take(&bytes);
            (ours, result)
        }
        Stage::Changed => {
            let mut ours = Ours::new(is_client, is_old, step);
            let mut peer = peer(is_client, is_old);
            let mut passed = 0;
            let result = handshake(&mut ours, &mut peer, |_, bytes| {
                for edit in rest.chunks_exact(3) {
                    let at = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
                    let place = at.checked_sub(passed).and_then(|at| bytes.get_mut(at));
                    place.into_iter().for_each(|byte| *byte = edit[2]);
                }
                passed += bytes.len();
                0
            });
            (ours, result)
        }
    };
    ours.assert_harmless();
    result.err().map(|error| {
        assert!(!error.to_string().is_empty());
        error.fault().name()
    })
}

/// Handshakes in which the peer's flights are cut in two anywhere.
pub(crate) fn cut_anywhere() {
    for (is_client, is_old) in [(false, false), (false, true), (true, false), (true, true)] {
        for chosen in 0..2 {
            let (mut at, mut len) = (0, 0);
            while at <= len {
                let mut ours = Ours::new(is_client, is_old, usize::MAX);
                let mut peer = peer(is_client, is_old);
                let result = handshake(&mut ours, &mut peer, |flight, bytes| {
                    len = if flight == chosen { bytes.len() } else { len };
                    if flight == chosen { at } else { 0 }
                });
                assert!(result.is_ok(), "flight {chosen} of {len} bytes cut at {at}: {result:?}");
                at += 1;
            }
        }
    }
}

/// How many bytes are taken of a message that comes byte for byte, a record each, before the
/// connection ends.
pub(crate) fn many_fragments(is_client: bool, is_old: bool) -> usize {
    let (mut ours, peer) = established(is_client, is_old, usize::MAX);
    let mut forger = forger(peer);
    let mut taken = 0;
    let mut record = forger.record(22, &[20, 0, 0xff, 0xff]);
    loop {
        taken += record.len();
        if let Err(error) = ours.take(&record) {
            assert_eq!(error.fault().name(), "protocol", "{error}");
            ours.assert_harmless();
            return taken;
        }
        record = forger.record(22, &[0]);
    }
}
