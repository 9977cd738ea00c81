//! Connections for tests: our end is given away by rustls, the peer's is a usual one.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection, version,
};

use super::Session;
use super::keys::{Aead, KeySource, TrafficKey};
use crate::proto::tls::Version;

/// Which end is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    Server,
    Client,
}

/// A connection whose handshake is done.
pub(super) struct Pair {
    pub(super) transmit: TrafficKey,
    pub(super) receive: TrafficKey,
    pub(super) source: KeySource,
    pub(super) peer: Connection,
}

/// Every combination.
pub(super) fn combinations() -> impl Iterator<Item = (Version, Aead)> {
    let versions = [Version::Tls13, Version::Tls12];
    versions.into_iter().flat_map(|version| Aead::ALL.map(|aead| (version, aead)))
}

fn provider(version: Version, aead: Aead) -> Arc<CryptoProvider> {
    let suite = match (version, aead) {
        (Version::Tls13, Aead::Aes128Gcm) => CipherSuite::TLS13_AES_128_GCM_SHA256,
        (Version::Tls13, Aead::Aes256Gcm) => CipherSuite::TLS13_AES_256_GCM_SHA384,
        (Version::Tls13, Aead::ChaCha20Poly1305) => CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        (Version::Tls12, Aead::Aes128Gcm) => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        (Version::Tls12, Aead::Aes256Gcm) => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        (Version::Tls12, Aead::ChaCha20Poly1305) => {
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
    };
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|candidate| candidate.suite() == suite);
    assert_eq!(provider.cipher_suites.len(), 1);
    Arc::new(provider)
}

fn configs(version: Version, aead: Aead) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let versions = [match version {
        Version::Tls13 => &version::TLS13,
        Version::Tls12 => &version::TLS12,
    }];
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider(version, aead))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    let mut client = ClientConfig::builder_with_provider(provider(version, aead))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// Takes our end as far as it goes with what has come; true when its handshake is done.
macro_rules! drive {
    ($connection:expr, $incoming:expr, $outgoing:expr) => {
        loop {
            let UnbufferedStatus { discard, state, .. } =
                $connection.process_tls_records($incoming);
            let done = match state.unwrap() {
                ConnectionState::EncodeTlsData(mut data) => {
                    let mut buffer = [0; 20_000];
                    let len = data.encode(&mut buffer).unwrap();
                    $outgoing.extend_from_slice(&buffer[..len]);
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::BlockedHandshake => Some(false),
                ConnectionState::WriteTraffic(_) => Some(true),
                state => panic!("{state:?}"),
            };
            $incoming.drain(..discard);
            if let Some(done) = done {
                break done;
            }
        }
    };
}

/// Bytes to the peer; what it receives of the application stays with it.
pub(super) fn give(peer: &mut Connection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        peer.read_tls(&mut bytes).unwrap();
        peer.process_new_packets()?;
    }
    Ok(())
}

/// What the peer wants to send.
pub(super) fn take(peer: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// What the peer has received of the application.
pub(super) fn heard(peer: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    match peer.reader().read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
    }
    bytes
}

/// What the peer says, in its records.
pub(super) fn said(peer: &mut Connection, text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    // rustls keeps only so much at once.
    for part in text.chunks(16_384) {
        peer.writer().write_all(part).unwrap();
        wire.extend(take(peer));
    }
    wire
}

/// A server's session after its handshake, and its client.
pub(in crate::net) fn session(version: Version, aead: Aead) -> (Session, Connection) {
    let (server, client) = configs(version, aead);
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = Session::server(&server, 1 << 16).unwrap();
    let mut peer = Connection::from(ClientConnection::new(client, name).unwrap());
    while peer.is_handshaking() || session.is_handshaking() {
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        session.receive(&take(&mut peer), &mut Vec::new(), &mut plain, &mut wire).unwrap();
        give(&mut peer, &wire).unwrap();
        assert!(plain.is_empty());
    }
    (session, peer)
}

/// A handshake in memory. What the peer sends after it, such as tickets, it has not sent yet.
pub(super) fn pair(ours: Ours, version: Version, aead: Aead) -> Pair {
    let (server, client) = configs(version, aead);
    let name = ServerName::try_from("localhost").unwrap();
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    let (secrets, source, peer) = match ours {
        Ours::Server => {
            let mut our_end = UnbufferedServerConnection::new(server).unwrap();
            let mut peer = Connection::from(ClientConnection::new(client, name).unwrap());
            loop {
                incoming.extend(take(&mut peer));
                let done = drive!(our_end, &mut incoming, outgoing);
                give(&mut peer, &std::mem::take(&mut outgoing)).unwrap();
                if done && !peer.is_handshaking() {
                    break;
                }
            }
            let (secrets, source) = our_end.dangerous_into_kernel_connection().unwrap();
            (secrets, KeySource::Server(source), peer)
        }
        Ours::Client => {
            let mut our_end = UnbufferedClientConnection::new(client, name).unwrap();
            let mut peer = Connection::from(ServerConnection::new(server).unwrap());
            loop {
                let done = drive!(our_end, &mut incoming, outgoing);
                give(&mut peer, &std::mem::take(&mut outgoing)).unwrap();
                if done && !peer.is_handshaking() {
                    break;
                }
                incoming.extend(take(&mut peer));
            }
            let (secrets, source) = our_end.dangerous_into_kernel_connection().unwrap();
            (secrets, KeySource::Client(source), peer)
        }
    };
    assert!(incoming.is_empty());
    let version = source.version();
    Pair {
        transmit: TrafficKey::extracted(version, secrets.tx).unwrap(),
        receive: TrafficKey::extracted(version, secrets.rx).unwrap(),
        source,
        peer,
    }
}
