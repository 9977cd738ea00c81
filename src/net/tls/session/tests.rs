use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::super::records::{Kind, Sealer};
use super::super::*;
use super::*;
use crate::proto::tls::{GROUPS, Group, Pin, Version};

/// An issuer, its certificate, and a certificate of `localhost` with its key, all in PEM.
struct Pki {
    ca: String,
    chain: String,
    key: String,
    client_chain: String,
    client_key: String,
}

impl Pki {
    fn new() -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        // Issuers with the same name would be taken for each other.
        let name = format!("{:?}", ca_key.public_key_raw().first_chunk::<32>());
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).expect("an issuer");
        let issuer = Issuer::new(params, ca_key);
        let make = |names: &[&str], client: bool| {
            let key = KeyPair::generate().expect("a key");
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).expect("names");
            if client {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        };
        let (chain, key) = make(&["localhost", "*.example.com"], false);
        let (client_chain, client_key) = make(&["client.example"], true);
        Self { ca: ca.pem(), chain, key, client_chain, client_key }
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.chain.as_bytes(), self.key.as_bytes(), None).expect("it fits")
    }

    fn server_with(&self, policy: Policy, client_auth: ClientAuth) -> Arc<ServerConfig> {
        self.server_that(policy, client_auth, 1)
    }

    fn server_that(
        &self,
        policy: Policy,
        client_auth: ClientAuth,
        tickets_each: usize,
    ) -> Arc<ServerConfig> {
        let certificates = Certificates::new(vec![(self.certificate(), Vec::new())], false);
        let options = ServerOptions {
            policy,
            alpn: vec![b"http/1.1".to_vec()],
            client_auth,
            resolver: Arc::new(Resolver::new(certificates)),
            tickets: Arc::new(Tickets::random(Duration::from_secs(60)).expect("random bytes")),
            tickets_each,
            extractable: true,
            key_log: None,
        };
        server_config(options).expect("a good configuration")
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.server_with(Policy::default(), ClientAuth::Off)
    }

    fn client(&self, change: impl FnOnce(&mut ClientOptions)) -> Arc<ClientConfig> {
        let mut options = ClientOptions {
            roots: Roots::Given(self.ca.clone().into_bytes()),
            alpn: vec![b"http/1.1".to_vec()],
            extractable: true,
            ..ClientOptions::default()
        };
        change(&mut options);
        client_config(options).expect("a good configuration")
    }
}

#[expect(clippy::disallowed_methods, reason = "a time to count from")]
fn now() -> Instant {
    Instant::now()
}

const MAX: usize = 64 * 1024;

/// Both ends of a connection.
struct Pair {
    client: Session,
    server: Session,
    /// What the client has received.
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    /// Bytes that are passed on at once.
    step: usize,
    wire_up: Vec<u8>,
    wire_down: Vec<u8>,
}

impl Pair {
    fn new(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Self {
        Self::named(client, server, "localhost")
    }

    fn named(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut wire_up = Vec::new();
        let mut client = Session::client(client, name, MAX).expect("a client");
        client.start(&mut wire_up).expect("a first flight");
        let server = Session::server(server, MAX).expect("a server");
        let (to_client, to_server) = (Vec::new(), Vec::new());
        let wire_down = Vec::new();
        Self { client, server, to_client, to_server, step: usize::MAX, wire_up, wire_down }
    }

    /// Passes on all that waits.
    fn run(&mut self) -> Result<(), TlsError> {
        let mut scratch = Vec::new();
        while !self.wire_up.is_empty() || !self.wire_down.is_empty() {
            for part in std::mem::take(&mut self.wire_up).chunks(self.step.min(MAX)) {
                let Self { server, to_server, wire_down, .. } = self;
                server.receive(part, &mut scratch, to_server, wire_down)?;
            }
            for part in std::mem::take(&mut self.wire_down).chunks(self.step.min(MAX)) {
                let Self { client, to_client, wire_up, .. } = self;
                client.receive(part, &mut scratch, to_client, wire_up)?;
            }
        }
        Ok(())
    }

    fn established(mut self) -> Self {
        self.run().expect("a handshake");
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        self
    }
}

fn policies() -> [Policy; 2] {
    let old = super::super::tests::suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    [Policy::default(), Policy { suites: vec![old], ..Policy::default() }]
}

#[test]
fn a_handshake_goes_through_however_its_bytes_come() {
    let pki = Pki::new();
    for policy in policies() {
        let version = if policy.suites.is_empty() { "TLSv1.3" } else { "TLSv1.2" };
        for step in [1, 2, 3, 7, 100, 1460, usize::MAX] {
            let server = pki.server_with(policy.clone(), ClientAuth::Off);
            let mut pair = Pair::new(&pki.client(|_| ()), &server);
            pair.step = step;
            let mut pair = pair.established();
            assert_eq!(pair.server.info().expect("it stands").version, version);
            assert_eq!(pair.server.alpn(), Some(&b"http/1.1"[..]));
            let at = now();
            pair.client.send(b"question", at, &mut pair.wire_up).expect("it stands");
            pair.server.send(b"answer", at, &mut pair.wire_down).expect("it stands");
            pair.run().expect("good records");
            assert_eq!((&*pair.to_server, &*pair.to_client), (&b"question"[..], &b"answer"[..]));
            assert_eq!(pair.server.carry.capacity(), 0, "an idle session holds nothing");
        }
    }
}

#[test]
fn much_goes_through_small_records_first() {
    let pki = Pki::new();
    for policy in policies() {
        let server = pki.server_with(policy, ClientAuth::Off);
        let mut pair = Pair::new(&pki.client(|_| ()), &server).established();
        let text: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let at = now();
        pair.server.send(&text, at, &mut pair.wire_down).expect("it stands");
        let first = u16::from_be_bytes([pair.wire_down[3], pair.wire_down[4]]);
        assert!(first < 1_400, "{first}");
        let small = SMALL_BYTES.div_ceil(RECORD_SMALL) * (RECORD_SMALL + RECORD_ROOM);
        let large = u16::from_be_bytes([pair.wire_down[small], 0]);
        assert!(large > 0, "there are larger ones behind");
        pair.step = 999;
        pair.run().expect("good records");
        assert_eq!(pair.to_client, text);
    }
}

#[test]
fn the_end_is_said_and_heard() {
    let pki = Pki::new();
    let mut pair = Pair::new(&pki.client(|_| ()), &pki.server()).established();
    pair.server.close_notify(&mut pair.wire_down);
    pair.run().expect("an alert that is no error");
    assert!(pair.client.is_closed() && !pair.server.is_closed());
    assert!(pair.server.send(b"more", now(), &mut pair.wire_down).is_err());
    pair.client.send(b"last", now(), &mut pair.wire_up).expect("the other way is open");
    pair.run().expect("good records");
    assert_eq!(pair.to_server, b"last");
}

#[test]
fn changed_bytes_never_pass_and_the_peer_is_told() {
    let pki = Pki::new();
    let mut scratch = Vec::new();
    for at in [0, 1, 3, 5, 20, 40] {
        let mut pair = Pair::new(&pki.client(|_| ()), &pki.server()).established();
        let mut wire = Vec::new();
        pair.client
            .send(b"a question of some length, more than forty", now(), &mut wire)
            .expect("it stands");
        wire[at] ^= 0x40;
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        let result = pair.server.receive(&wire, &mut scratch, &mut plain, &mut answer);
        assert!(plain.is_empty(), "byte {at}");
        if let Err(error) = result {
            assert!(!answer.is_empty(), "byte {at}: {error} without an alert");
            assert!(matches!(error.fault(), Fault::Decrypt | Fault::NotTls | Fault::Protocol));
        } else {
            assert!(at == 3, "a longer record is waited for");
        }
    }
}

#[test]
fn what_is_no_tls_is_told_from_plain_http() {
    let pki = Pki::new();
    let table = [(&b"GET / HTTP/1.1\r\n"[..], Fault::PlainHttp), (b"\x00\x01", Fault::NotTls)];
    for (bytes, fault) in table {
        let mut server = Session::server(&pki.server(), MAX).expect("a server");
        let (mut scratch, mut plain, mut wire) = (Vec::new(), Vec::new(), Vec::new());
        let error = server.receive(bytes, &mut scratch, &mut plain, &mut wire).expect_err("no TLS");
        assert_eq!(error.fault(), fault);
    }
    let mut server = Session::server(&pki.server(), 100).expect("a server");
    let mut hello = vec![0x16, 3, 1, 0x40, 0];
    hello.resize(101, 0);
    let (mut scratch, mut plain, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    let error = server.receive(&hello, &mut scratch, &mut plain, &mut wire).expect_err("too long");
    assert_eq!(error.fault(), Fault::HandshakeTooLarge);
    assert_eq!(server.receive_end().expect_err("in the middle").fault(), Fault::Truncated);
}

#[test]
fn random_records_do_no_harm() {
    let pki = Pki::new();
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let mut scratch = Vec::new();
    for round in 0..300 {
        let mut pair = Pair::new(&pki.client(|_| ()), &pki.server());
        if round % 2 == 0 {
            pair = pair.established();
        }
        for _ in 0..20 {
            let len = random();
            let mut record = vec![0x14 + random() % 5, 3, 3, 0, len];
            record.extend((0..len).map(|_| random()));
            let (mut plain, mut wire) = (Vec::new(), Vec::new());
            let result = pair.server.receive(&record, &mut scratch, &mut plain, &mut wire);
            assert!(plain.is_empty());
            if result.is_err() {
                break;
            }
            let _may_fail = pair.server.send(b"x", now(), &mut wire);
        }
    }
}

#[test]
fn a_session_is_resumed_by_a_ticket() {
    let pki = Pki::new();
    for policy in policies() {
        let (client, server) = (pki.client(|_| ()), pki.server_with(policy, ClientAuth::Off));
        for is_resumed in [false, true] {
            let mut pair = Pair::new(&client, &server).established();
            assert_eq!(pair.server.info().expect("it stands").resumed, is_resumed);
            pair.server.send(b"x", now(), &mut pair.wire_down).expect("it stands");
            pair.run().expect("a ticket with data behind it");
        }
    }
}

/// Records in bytes that were sent.
fn count_records(mut wire: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, _, high, low, rest @ ..] = wire {
        wire = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        count += 1;
    }
    count
}

#[test]
fn tickets_go_with_what_is_sent_next_and_are_as_many_as_is_said() {
    let pki = Pki::new();
    let client = pki.client(|_| ());
    let established = |each: usize| {
        let server = pki.server_that(Policy::default(), ClientAuth::Off, each);
        let mut pair = Pair::new(&client, &server);
        while pair.server.is_handshaking() {
            let up = std::mem::take(&mut pair.wire_up);
            let (mut scratch, mut plain) = (Vec::new(), Vec::new());
            assert!(pair.wire_down.is_empty());
            pair.server.receive(&up, &mut scratch, &mut plain, &mut pair.wire_down).expect("good");
            let down = std::mem::take(&mut pair.wire_down);
            pair.client.receive(&down, &mut scratch, &mut plain, &mut pair.wire_up).expect("good");
        }
        pair
    };
    for each in [0, 1, 5] {
        // Data, the end, an alert: each goes behind them.
        for what in 0..3 {
            let mut pair = established(each);
            assert!(pair.wire_up.is_empty());
            match what {
                0 => pair.server.send(b"x", now(), &mut pair.wire_down).expect("it stands"),
                1 => pair.server.close_notify(&mut pair.wire_down),
                _ => {
                    let bad = [23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    let (mut scratch, mut plain) = (Vec::new(), Vec::new());
                    let received =
                        pair.server.receive(&bad, &mut scratch, &mut plain, &mut pair.wire_down);
                    assert_eq!(received.expect_err("changed").fault(), Fault::Decrypt);
                }
            }
            // All tickets are in one record.
            assert_eq!(count_records(&pair.wire_down), each.min(1) + 1, "{what}");
            let end = pair.run();
            assert_eq!(end.err().map(|error| error.fault()), (what == 2).then_some(Fault::Alert));
        }
    }
}

#[test]
fn without_tickets_no_session_is_resumed() {
    let pki = Pki::new();
    for policy in policies() {
        let client = pki.client(|_| ());
        let server = pki.server_that(policy, ClientAuth::Off, 0);
        for _ in 0..2 {
            let mut pair = Pair::new(&client, &server).established();
            assert!(!pair.server.info().expect("it stands").resumed);
            pair.server.send(b"x", now(), &mut pair.wire_down).expect("it stands");
            pair.run().expect("data");
        }
    }
}

/// What the client finds wrong with the server, and what the server is told of it.
fn refused(pki: &Pki, name: &str, change: impl FnOnce(&mut ClientOptions)) -> TlsError {
    let mut pair = Pair::named(&pki.client(change), &pki.server(), name);
    let error = pair.run().expect_err("the client refuses");
    let told = pair.run().expect_err("the server is told");
    assert_eq!(told.fault(), Fault::Alert, "{told}");
    error
}

#[test]
fn a_server_that_is_not_the_right_one_is_refused_by_name() {
    let pki = Pki::new();
    let error = refused(&pki, "other.example", |_| ());
    assert_eq!(error.fault(), Fault::CertificateName);
    assert!(error.to_string().contains("localhost"), "it says which names there are: {error}");
    let strange = Pki::new().ca.into_bytes();
    let error = refused(&pki, "localhost", |options| options.roots = Roots::Given(strange));
    assert_eq!(error.fault(), Fault::CertificateUntrusted);
    let pin = Pin::Key([7; 32]);
    let error = refused(&pki, "localhost", |options| options.pins = vec![pin]);
    assert_eq!(error.fault(), Fault::CertificatePin);
    let seen = Pin::Key(pki.certificate().summary().key_fingerprint);
    assert!(error.to_string().contains(&seen.to_string()), "it names what it saw: {error}");
}

#[test]
fn one_right_pin_of_several_is_enough_with_and_without_issuers() {
    let pki = Pki::new();
    let summary = pki.certificate().summary().clone();
    for right in [Pin::Key(summary.key_fingerprint), Pin::Certificate(summary.fingerprint)] {
        for roots in [Roots::Nobody, Roots::Given(pki.ca.clone().into_bytes())] {
            let client = pki.client(|options| {
                options.roots = roots;
                options.pins = vec![Pin::Key([1; 32]), right];
            });
            Pair::new(&client, &pki.server()).established();
        }
    }
}

#[test]
fn clients_show_a_certificate_where_they_are_asked() {
    let pki = Pki::new();
    let roots = || ClientRoots { ca: pki.ca.clone().into_bytes(), crl: None };
    let known = pki.client(|options| {
        let (chain, key) = (pki.client_chain.clone(), pki.client_key.clone());
        options.identity = Some((chain.into_bytes(), key.into_bytes()));
    });
    let unknown = pki.client(|_| ());
    for (auth, may_be_unknown) in
        [(ClientAuth::Required(roots()), false), (ClientAuth::Optional(roots()), true)]
    {
        let server = pki.server_with(Policy::default(), auth);
        let pair = Pair::new(&known, &server).established();
        let shown = pair.server.peer_certificates();
        let summary = Summary::of(shown.first().expect("a certificate")).expect("it is good");
        assert_eq!(summary.names, ["client.example"]);
        let result = Pair::new(&unknown, &server).run();
        assert_eq!(result.is_ok(), may_be_unknown);
        if let Err(error) = result {
            assert_eq!(error.fault(), Fault::CertificateMissing);
        }
    }
}

/// The group of a name.
fn group(name: &str) -> Group {
    GROUPS.into_iter().find(|(known, _)| *known == name).expect("it is known").1
}

#[test]
fn ends_with_nothing_in_common_say_what_it_is() {
    let pki = Pki::new();
    let of = |suites: &[&str], groups: &[&str], min_version| Policy {
        min_version,
        suites: suites.iter().map(|name| super::super::tests::suite(name)).collect(),
        groups: groups.iter().map(|name| group(name)).collect(),
    };
    let (v12, v13) = (Version::Tls12, Version::Tls13);
    let table = [
        (of(&["TLS_AES_128_GCM_SHA256"], &[], v13), of(&["TLS_AES_256_GCM_SHA384"], &[], v13)),
        (of(&[], &["X25519"], v13), of(&[], &["secp256r1"], v13)),
        (of(&["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"], &[], v12), of(&[], &[], v13)),
    ];
    let faults = [Fault::Suite, Fault::Group, Fault::Version];
    for ((client, server), fault) in table.into_iter().zip(faults) {
        let client = pki.client(|options| options.policy = client);
        let server = pki.server_with(server, ClientAuth::Off);
        let error = Pair::new(&client, &server).run().expect_err("nothing in common");
        assert_eq!(error.fault(), fault, "{error}");
    }
}

#[test]
fn a_wrong_key_is_found_before_it_is_used() {
    let (one, other) = (Pki::new(), Pki::new());
    let read = |chain: &str, key: &str| {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), None).map(|_| ())
    };
    assert_eq!(read(&one.chain, &one.key), Ok(()));
    assert_eq!(read(&one.chain, &other.key), Err(CertificateError::Mismatch));
    assert_eq!(read(&one.key, &one.key), Err(CertificateError::NoCertificate));
    assert_eq!(read(&one.chain, &one.chain), Err(CertificateError::NoKey));
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(read(&one.chain, locked), Err(CertificateError::EncryptedKey));
}

/// One end is given away, and goes on by itself.
fn given_away(pair: &mut Pair, is_server: bool) {
    let session = if is_server { &mut pair.server } else { &mut pair.client };
    let (info, alpn) = (session.info(), session.alpn().map(<[u8]>::to_vec));
    let key = session.give_away().expect("it stands");
    session.keep(&key).expect("its own key");
    assert_eq!((session.info(), session.alpn()), (info, alpn.as_deref()));
    assert_eq!(session.cipher().map(|(version, _)| version), Some(key.version()));
}

#[test]
fn a_session_that_was_given_away_goes_on_at_either_end() {
    let pki = Pki::new();
    let text: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for policy in policies() {
        for (step, is_server) in [(1, true), (99, false), (usize::MAX, true), (usize::MAX, false)] {
            let server = pki.server_with(policy.clone(), ClientAuth::Off);
            let mut pair = Pair::new(&pki.client(|_| ()), &server).established();
            pair.step = step;
            let at = now();
            pair.server.send(b"before", at, &mut pair.wire_down).expect("it stands");
            pair.client.send(b"before", at, &mut pair.wire_up).expect("it stands");
            pair.run().expect("good records");
            given_away(&mut pair, is_server);
            pair.server.send(&text, at, &mut pair.wire_down).expect("it stands");
            pair.client.send(&text, at, &mut pair.wire_up).expect("it stands");
            pair.run().expect("good records");
            assert!(pair.to_client.ends_with(&text) && pair.to_server.ends_with(&text));
            pair.server.close_notify(&mut pair.wire_down);
            pair.client.close_notify(&mut pair.wire_up);
            pair.run().expect("alerts that are no errors");
            assert!(pair.client.is_closed() && pair.server.is_closed());
        }
    }
}

#[test]
fn what_was_changed_on_its_way_is_refused_by_a_session_that_was_given_away() {
    let pki = Pki::new();
    for policy in policies() {
        for is_server in [true, false] {
            let server = pki.server_with(policy.clone(), ClientAuth::Off);
            let mut pair = Pair::new(&pki.client(|_| ()), &server).established();
            given_away(&mut pair, is_server);
            let at = now();
            let (from, to) = if is_server {
                (&mut pair.client, &mut pair.server)
            } else {
                (&mut pair.server, &mut pair.client)
            };
            let (mut wire, mut alert) = (Vec::new(), Vec::new());
            from.send(b"some bytes", at, &mut wire).expect("it stands");
            *wire.last_mut().expect("a record") ^= 1;
            let (mut scratch, mut plain) = (Vec::new(), Vec::new());
            let error = to.receive(&wire, &mut scratch, &mut plain, &mut alert);
            assert_eq!(error.expect_err("it was changed").fault(), Fault::Decrypt);
            assert!(plain.is_empty());
            let error = from.receive(&alert, &mut scratch, &mut plain, &mut Vec::new());
            assert_eq!(error.expect_err("an alert").fault(), Fault::Alert);
        }
    }
}

#[test]
fn a_session_is_not_given_away_before_its_time_or_where_that_is_not_wanted() {
    let pki = Pki::new();
    let mut early = Session::server(&pki.server(), MAX).expect("a server");
    assert!(early.cipher().is_none() && early.give_away().is_err());
    let client = pki.client(|options| options.extractable = false);
    let mut pair = Pair::new(&client, &pki.server()).established();
    assert!(pair.client.give_away().is_err());
    let (mut scratch, mut bytes) = (Vec::new(), Vec::new());
    assert!(pair.client.receive(b"x", &mut scratch, &mut bytes, &mut Vec::new()).is_err());
    assert!(pair.client.send(b"x", now(), &mut bytes).is_err());
    assert!(bytes.is_empty(), "nothing leaves in clear text");
}

#[test]
fn a_session_is_given_away_only_behind_something_that_was_sent() {
    let pki = Pki::new();
    let mut pair = Pair::new(&pki.client(|_| ()), &pki.server()).established();
    let at = now();
    assert!(!pair.server.can_be_given_away(), "the handshake was received");
    pair.server.send(b"answer", at, &mut pair.wire_down).expect("it stands");
    assert!(pair.server.can_be_given_away());
    for text in [&b"question"[..], &[7; 100_000]] {
        pair.client.send(text, at, &mut pair.wire_up).expect("it stands");
        pair.step = 999;
        pair.run().expect("good records");
        assert!(pair.server.can_be_given_away(), "data wants no answer");
    }
    // A wish for a new key does, which rustls gives with what is sent next.
    let key = pair.client.give_away().expect("it stands");
    let mut sealer = Sealer::new(&key).expect("its own key");
    for payload in [&[24, 0, 0, 1, 1], &[24, 0, 0, 1, 0]] {
        sealer.seal(Kind::Handshake, payload, &mut pair.wire_up).expect("it stands");
        let (mut scratch, mut plain, mut wire) = (Vec::new(), Vec::new(), Vec::new());
        let sealed = std::mem::take(&mut pair.wire_up);
        pair.server.receive(&sealed, &mut scratch, &mut plain, &mut wire).expect("a good record");
        assert!(!pair.server.can_be_given_away(), "it was no data");
        pair.server.send(b"answer", at, &mut pair.wire_down).expect("it stands");
        assert!(pair.server.can_be_given_away());
        let source = pair.client.key_source().expect("it was given away");
        sealer = Sealer::new(&source.next_transmit().expect("the next key")).expect("its own");
    }
}

#[test]
fn a_key_that_is_none_is_the_fault_of_the_peer() {
    /// X25519MLKEM768, and the bytes of a client's part: an ML-KEM key, then one of X25519.
    const SHARE: [u8; 4] = [0x11, 0xec, 0x04, 0xc0];
    const ML_KEM_LEN: usize = 1_184;
    let pki = Pki::new();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = rustls::ClientConnection::new(pki.client(|_| {}), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes all");
    let at = hello.windows(4).position(|four| four == SHARE).expect("a hybrid share") + 4;
    // Coefficients beyond the modulus.
    hello[at..at + ML_KEM_LEN].fill(0xff);
    let mut server = Session::server(&pki.server(), MAX).expect("a server");
    let (mut scratch, mut plain, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    let error = server.receive(&hello, &mut scratch, &mut plain, &mut wire).expect_err("no key");
    assert_eq!(error.fault(), Fault::Protocol, "{error}");
}
