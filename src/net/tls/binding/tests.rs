use std::sync::Mutex;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use super::*;
use crate::net::tls::client::root_store;
use crate::net::tls::tests::{revocation_list, suite};
use crate::net::tls::{
    Certificate, Certificates, ClientOptions, ClientRoots, Policy, Roots, ServerOptions, TicketKey,
    client_config, server_config,
};
use crate::proto::tls::Version;

/// An issuer of certificates.
struct Authority {
    ca: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&key).expect("an issuer").pem();
        Self { ca, issuer: Issuer::new(params, key) }
    }

    fn make(&self, name: &str, serial: u64) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2200, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    fn roots(&self, crl: Option<Vec<u8>>) -> ClientRoots {
        ClientRoots { ca: self.ca.clone().into_bytes(), crl }
    }

    fn crl(&self, serial: u64) -> Vec<u8> {
        revocation_list(&self.issuer, serial)
    }
}

/// Listeners that share a file of ticket keys.
struct Fleet {
    servers: Authority,
    chain: Vec<u8>,
    key: Vec<u8>,
    version: Version,
}

impl Fleet {
    fn new(version: Version) -> Self {
        let servers = Authority::new("servers");
        let (chain, key) = servers.make("localhost", 1);
        Self { servers, chain, key, version }
    }

    fn listener(&self, client_auth: ClientAuth, alpn: &[&str], names: &[&str]) -> Listener {
        let file: Vec<u8> = (0..80).collect();
        let keys = TicketKey::all_from_file(&file).expect("a key");
        let certificate = Certificate::from_pem(&self.chain, &self.key, None).expect("it fits");
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let resolver = Resolver::new(Certificates::new(vec![(certificate, names)], false));
        let name = match self.version {
            Version::Tls12 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Version::Tls13 => "TLS_AES_128_GCM_SHA256",
        };
        let options = ServerOptions {
            policy: Policy { suites: vec![suite(name)], ..Policy::default() },
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            client_auth,
            resolver: Arc::new(resolver),
            tickets: Arc::new(Tickets::with(keys, Duration::from_secs(60))),
            tickets_each: 1,
            extractable: false,
            key_log: None,
        };
        server_config(options).expect("good options")
    }

    fn client(&self, identity: Option<&(Vec<u8>, Vec<u8>)>) -> Arc<ClientConfig> {
        let options = ClientOptions {
            roots: Roots::Given(self.servers.ca.clone().into_bytes()),
            alpn: vec![b"a".to_vec(), b"b".to_vec()],
            identity: identity.cloned(),
            ..ClientOptions::default()
        };
        client_config(options).expect("good options")
    }
}

type Listener = Arc<ServerConfig>;

const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];

/// How a handshake ended, if it did.
fn handshake(client: &Arc<ClientConfig>, server: &Listener) -> Option<HandshakeKind> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets().ok()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets().ok()?;
        }
    }
    server.handshake_kind()
}

/// Whether a client that was at the first listener resumes at the second; `None` when either does
/// not accept it.
fn resumes(client: &Arc<ClientConfig>, first: &Listener, second: &Listener) -> Option<bool> {
    let earned = handshake(client, first)?;
    assert_ne!(earned, HandshakeKind::Resumed, "it is a new client");
    handshake(client, second).map(|kind| kind == HandshakeKind::Resumed)
}

#[test]
fn a_ticket_opens_only_what_asks_the_same_of_its_client() {
    let (x, y) = (Authority::new("x"), Authority::new("y"));
    let by_x = x.make("client", 7);
    let pem = |all: [&Authority; 2]| ClientRoots {
        ca: all.map(|one| one.ca.as_bytes()).concat(),
        crl: None,
    };
    let policies = [
        ("off", ClientAuth::Off),
        ("optional", ClientAuth::Optional(x.roots(None))),
        ("required", ClientAuth::Required(x.roots(None))),
        ("of y", ClientAuth::Required(y.roots(None))),
        ("of both", ClientAuth::Required(pem([&x, &y]))),
        ("of both", ClientAuth::Required(pem([&y, &x]))),
        ("another is revoked", ClientAuth::Required(x.roots(Some(x.crl(8))))),
        ("revoked", ClientAuth::Required(x.roots(Some(x.crl(7))))),
    ];
    for version in BOTH {
        let fleet = Fleet::new(version);
        for (from, first) in &policies {
            for (to, second) in &policies {
                let [first, second] =
                    [first, second].map(|auth| fleet.listener(auth.clone(), &[], &[]));
                for identity in [None, Some(&by_x)] {
                    let client = fleet.client(identity);
                    let fresh = handshake(&fleet.client(identity), &second).is_some();
                    let is_accepted = handshake(&fleet.client(identity), &first).is_some();
                    let found = resumes(&client, &first, &second);
                    let what = format!("{version:?}, {from} to {to}, {}", identity.is_some());
                    match found {
                        Some(resumed) => assert_eq!(resumed, from == to, "{what}"),
                        None => assert!(!is_accepted || !fresh, "{what}: a ticket is no obstacle"),
                    }
                    assert!(fresh || found.is_none(), "{what}: who may not come may not resume");
                }
            }
        }
    }
}

#[test]
fn a_ticket_opens_only_what_has_the_same_names_and_protocols() {
    for version in BOTH {
        let fleet = Fleet::new(version);
        let same = |alpn: &[&str], names: &[&str]| {
            let first = fleet.listener(ClientAuth::Off, &["a", "b"], &[]);
            let second = fleet.listener(ClientAuth::Off, alpn, names);
            resumes(&fleet.client(None), &first, &second)
        };
        assert_eq!(same(&["a", "b"], &[]), Some(true));
        assert_eq!(same(&["a"], &[]), Some(false), "other protocols");
        assert_eq!(same(&["a", "b"], &["localhost", "other.example"]), Some(false), "other names");
    }
}

/// Writes down the sessions that it is to seal.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Vec<u8>>>);

impl ProducesTickets for Recorder {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().expect("one thread").push(plain.to_vec());
        Some(plain.to_vec())
    }

    fn decrypt(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The format is rustls' own: this test fails when it has changed, and then no session with a
/// client's certificate is resumed until [`client_chain`] follows.
#[test]
fn the_certificate_of_a_session_is_verified_again_when_it_is_resumed() {
    let x = Authority::new("x");
    let by_x = x.make("client", 7);
    for version in BOTH {
        let fleet = Fleet::new(version);
        for identity in [None, Some(&by_x)] {
            let listener = fleet.listener(ClientAuth::Optional(x.roots(None)), &["a"], &[]);
            let mut config = (*listener).clone();
            let recorder = Arc::new(Recorder::default());
            config.ticketer = Arc::clone(&recorder) as _;
            assert!(handshake(&fleet.client(identity), &Arc::new(config)).is_some());
            let session = recorder.0.lock().expect("one thread").pop().expect("a ticket");
            let chain = client_chain(&session).expect("a session of rustls");
            assert_eq!(chain.len(), usize::from(identity.is_some()), "{version:?}");
            for cut in 0..session.len() {
                assert!(client_chain(&session[..cut]).is_none(), "{cut}");
            }
            let with = |crl| {
                let roots = root_store(x.ca.as_bytes()).expect("an issuer");
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let builder = rustls::server::WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    provider,
                );
                let crls: Option<Vec<u8>> = crl;
                let lists = crls.map(|list| revocations(&list).expect("a list"));
                let verifier = builder
                    .with_crls(lists.unwrap_or_default())
                    .allow_unknown_revocation_status()
                    .allow_unauthenticated()
                    .build()
                    .expect("a verifier");
                let tickets = Tickets::random(Duration::from_secs(60)).expect("random bytes");
                let resolver = Arc::new(Resolver::new(Certificates::default()));
                BoundTickets::new(Arc::new(tickets), resolver, [0; 32], Some(verifier))
            };
            let year = |year: u64| {
                UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952))
            };
            let has_none = identity.is_none();
            assert!(with(None).accepts(&session, year(2030)));
            assert_eq!(with(None).accepts(&session, year(2210)), has_none, "it has expired");
            assert_eq!(with(Some(x.crl(7))).accepts(&session, year(2030)), has_none, "revoked");
            assert!(with(Some(x.crl(8))).accepts(&session, year(2030)));
        }
    }
}
