//! Handshakes with rustls' own buffered connections, which share no code with [`Session`].

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256,
    RevokedCertParams, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    AlertDescription, CertificateError as Bad, ClientConfig, ClientConnection, Error, ServerConfig,
    ServerConnection,
};

use super::*;
use crate::proto::tls::{CIPHER_SUITES, CipherSuite, Version};

/// The cipher suite of a name.
pub(super) fn suite(name: &str) -> CipherSuite {
    CIPHER_SUITES.into_iter().find(|(known, _)| *known == name).expect("it is known").1
}

/// A list that revokes one certificate.
pub(super) fn revocation_list(issuer: &Issuer<'_, KeyPair>, serial: u64) -> Vec<u8> {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(4000, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("a list").pem().expect("PEM").into_bytes()
}

/// An issuer, and what it signs.
struct Pki {
    ca: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&key).expect("an issuer").pem();
        Self { ca, issuer: Issuer::new(params, key) }
    }

    fn make(
        &self,
        names: &[&str],
        kind: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate_for(kind).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn certificate(&self, names: &[&str], kind: &'static SignatureAlgorithm) -> Certificate {
        let (chain, key) = self.make(names, kind, |_| ());
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), None).expect("it fits")
    }

    fn crl(&self, serial: u64) -> Vec<u8> {
        revocation_list(&self.issuer, serial)
    }

    fn client(&self, change: impl FnOnce(&mut ClientOptions)) -> Arc<ClientConfig> {
        let roots = Roots::Given(self.ca.clone().into_bytes());
        let mut options = ClientOptions { roots, ..ClientOptions::default() };
        change(&mut options);
        client_config(options).expect("good options")
    }
}

fn server(resolver: Arc<Resolver>, client_auth: ClientAuth) -> Arc<ServerConfig> {
    let tickets = Tickets::random(Duration::from_secs(60)).expect("random bytes");
    let options = ServerOptions {
        policy: Policy::default(),
        alpn: Vec::new(),
        client_auth,
        resolver,
        tickets: Arc::new(tickets),
        tickets_each: 1,
        extractable: false,
        key_log: None,
    };
    server_config(options).expect("good options")
}

fn resolver(all: Vec<(Certificate, Vec<String>)>, strict: bool) -> Arc<Resolver> {
    Arc::new(Resolver::new(Certificates::new(all, strict)))
}

/// The certificate that a client saw, or the errors of both ends.
type Outcome = Result<CertificateDer<'static>, Box<(Option<Error>, Option<Error>)>>;

fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Outcome {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    let mut errors = (None, None);
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() && errors.1.is_none() {
            server.read_tls(&mut rest).expect("memory");
            errors.1 = server.process_new_packets().err();
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() && errors.0.is_none() {
            client.read_tls(&mut rest).expect("memory");
            errors.0 = client.process_new_packets().err();
        }
    }
    match errors {
        (None, None) => Ok(client.peer_certificates().expect("a chain")[0].clone().into_owned()),
        errors => Err(Box::new(errors)),
    }
}

fn alone(chain: &str, key: &str) -> Arc<ServerConfig> {
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), None);
    server(resolver(vec![(certificate.expect("it fits"), Vec::new())], false), ClientAuth::Off)
}

#[test]
fn certificates_are_refused_each_with_its_own_reason() {
    let pki = Pki::new();
    let kind = &PKCS_ECDSA_P256_SHA256;
    let old = pki.make(&["a.example"], kind, |p| p.not_after = date_time_ymd(2001, 1, 1));
    let new = pki.make(&["a.example"], kind, |p| p.not_before = date_time_ymd(3000, 1, 1));
    let revoked = pki.make(&["a.example"], kind, |p| p.serial_number = Some(7.into()));
    let good = pki.make(&["a.example"], kind, |p| p.serial_number = Some(8.into()));
    let crl = pki.crl(7);
    let reason = |(chain, key): &(String, String), pki: &Pki| {
        let client = pki.client(|options| options.crl = Some(crl.clone()));
        match handshake(&client, &alone(chain, key), "a.example") {
            Ok(_) => None,
            Err(errors) => match errors.0 {
                Some(Error::InvalidCertificate(bad)) => Some(bad),
                other => panic!("{other:?}"),
            },
        }
    };
    assert!(matches!(reason(&old, &pki), Some(Bad::ExpiredContext { .. })));
    assert!(matches!(reason(&new, &pki), Some(Bad::NotValidYetContext { .. })));
    assert_eq!(reason(&revoked, &pki), Some(Bad::Revoked));
    assert_eq!(reason(&good, &pki), None);
    let other = pki.make(&["b.example"], kind, |_| ());
    assert!(matches!(reason(&other, &pki), Some(Bad::NotValidForNameContext { .. })));
    // Without the list: it would be signed by another issuer of the same name.
    let stranger = Pki::new().client(|_| ());
    let seen = handshake(&stranger, &alone(&good.0, &good.1), "a.example");
    let seen = seen.expect_err("a stranger").0;
    let Some(Error::InvalidCertificate(bad)) = seen else { panic!("{seen:?}") };
    assert!(matches!(bad, Bad::UnknownIssuer | Bad::BadSignature), "{bad:?}");
}

#[test]
fn certificates_are_chosen_by_name() {
    let pki = Pki::new();
    let kind = &PKCS_ECDSA_P256_SHA256;
    let make = |names: &[&str]| pki.certificate(names, kind);
    let all = [make(&["default.example"]), make(&["a.example"]), make(&["*.a.example"])];
    let [default, exact, wild] = &all;
    let given = make(&["other.example"]);
    let list = |strict| {
        let mut list: Vec<_> = all.iter().map(|one| (one.clone(), Vec::new())).collect();
        list.push((given.clone(), vec!["Given.Example".to_owned()]));
        resolver(list, strict)
    };
    let table = [
        ("a.example", Some(exact)),
        ("A.Example", Some(exact)),
        ("x.a.example", Some(wild)),
        ("y.x.a.example", None),
        ("given.example", Some(&given)),
        ("other.example", None),
        ("192.0.2.1", Some(default)),
    ];
    // Whom they show, and not whether that is right, is asked here.
    let client = pki.client(|options| options.roots = Roots::Nobody);
    for (name, expected) in table {
        for strict in [false, true] {
            let seen = handshake(&client, &server(list(strict), ClientAuth::Off), name);
            let seen = seen.map(|der| Summary::of(&der).expect("it is read"));
            match expected.or_else(|| (!strict).then_some(default)) {
                Some(expected) => assert_eq!(seen.as_ref(), Ok(expected.summary()), "{name}"),
                None => {
                    let error = seen.expect_err("strict").1.expect("the server's");
                    assert!(error.to_string().contains("no server certificate"), "{error}");
                }
            }
        }
    }
}

#[test]
fn of_several_keys_the_first_that_the_client_knows_is_taken() {
    let pki = Pki::new();
    let kinds = [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256, &PKCS_RSA_SHA256];
    let all = kinds.map(|kind| pki.certificate(&["a.example"], kind));
    let list = all.iter().map(|one| (one.clone(), Vec::new())).collect();
    let server = server(resolver(list, true), ClientAuth::Off);
    let with_suite = |name: &str| {
        let suites = vec![suite(&format!("TLS_ECDHE_{name}_WITH_AES_128_GCM_SHA256"))];
        let policy = Policy { suites, ..Policy::default() };
        pki.client(|options| options.policy = policy)
    };
    let seen = |client| handshake(&client, &server, "a.example").map(|der| Summary::of(&der));
    assert_eq!(seen(pki.client(|_| ())), Ok(Ok(all[0].summary().clone())));
    assert_eq!(seen(with_suite("ECDSA")), Ok(Ok(all[0].summary().clone())));
    assert_eq!(seen(with_suite("RSA")), Ok(Ok(all[2].summary().clone())));
}

#[test]
fn certificates_are_changed_between_handshakes() {
    let pki = Pki::new();
    let kind = &PKCS_ECDSA_P256_SHA256;
    let [old, new] = [0, 1].map(|_| pki.certificate(&["a.example"], kind));
    let resolver = resolver(vec![(old.clone(), Vec::new())], false);
    let server = server(Arc::clone(&resolver), ClientAuth::Off);
    for expected in [&old, &new] {
        resolver.replace(Certificates::new(vec![(expected.clone(), Vec::new())], false));
        let seen = handshake(&pki.client(|_| ()), &server, "a.example").expect("it is good");
        assert_eq!(&Summary::of(&seen).expect("it is read"), expected.summary());
    }
}

#[test]
fn a_revoked_client_is_refused_and_another_is_not() {
    let pki = Pki::new();
    let own = pki.certificate(&["a.example"], &PKCS_ECDSA_P256_SHA256);
    let roots = ClientRoots { ca: pki.ca.clone().into_bytes(), crl: Some(pki.crl(7)) };
    let all = vec![(own, Vec::new())];
    let server = server(resolver(all, false), ClientAuth::Required(roots));
    for (serial, good) in [(7_u64, false), (8, true)] {
        let made = pki.make(&["client"], &PKCS_ECDSA_P256_SHA256, |params| {
            params.serial_number = Some(serial.into());
        });
        let identity = Some((made.0.into_bytes(), made.1.into_bytes()));
        let client = pki.client(|options| options.identity = identity);
        match handshake(&client, &server, "a.example") {
            Ok(_) => assert!(good),
            Err(errors) => {
                let (seen, error) = *errors;
                assert_eq!(error, Some(Error::InvalidCertificate(Bad::Revoked)));
                let alert = AlertDescription::CertificateRevoked;
                assert!(!good && seen == Some(Error::AlertReceived(alert)), "{seen:?}");
            }
        }
    }
}

/// Whether a text has bytes of a key in it: as they are, as numbers, in hexadecimal or in base64.
fn shows(text: &str, key: &[u8]) -> bool {
    let text = text.to_lowercase();
    key.chunks_exact(12).any(|part| {
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{part:?}");
        let plain = String::from_utf8_lossy(part).to_lowercase();
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, part);
        let forms = [hex, list.trim_matches(['[', ']']).to_owned(), plain, base64.to_lowercase()];
        forms.iter().any(|form| text.contains(form.as_str()))
    })
}

#[test]
fn keys_are_seen_in_no_debug_output_and_no_error() {
    let pki = Pki::new();
    let (chain, pem) = pki.make(&["localhost"], &PKCS_ECDSA_P256_SHA256, |_| ());
    let (chain, pem) = (chain.into_bytes(), pem.into_bytes());
    let der = super::certificate::private_key(&pem).expect("a key");
    // Behind the envelope, and before the public key, which anybody may see.
    let at = der.secret_der().windows(5).position(|part| part == [2, 1, 1, 4, 32]);
    let key = &der.secret_der()[at.expect("a key of P-256") + 5..][..32];
    let body: String = String::from_utf8_lossy(&pem).lines().skip(1).take(2).collect();
    let certificate = Certificate::from_pem(&chain, &pem, None).expect("it fits");
    let file: Vec<u8> = (0..240_u8).map(|at| at.wrapping_mul(151) ^ 0x5a).collect();
    let tickets = TicketKey::all_from_file(&file).expect("whole keys");
    let one = format!("{tickets:?}");
    let options = ServerOptions {
        policy: Policy::default(),
        alpn: Vec::new(),
        client_auth: ClientAuth::Off,
        resolver: resolver(vec![(certificate.clone(), Vec::new())], false),
        tickets: Arc::new(Tickets::with(tickets, Duration::from_secs(60))),
        tickets_each: 1,
        extractable: true,
        key_log: None,
    };
    let identity = Some((chain.clone(), pem.clone()));
    let client = ClientOptions { identity, ..ClientOptions::default() };
    let secret: Vec<u8> = (1..33_u8).map(|at| at.wrapping_mul(77)).collect();
    let traffic = TrafficKey::new(Version::Tls13, Aead::Aes256Gcm, &secret, [0xa7; 12], 5);
    let traffic = traffic.expect("a key of this length");
    let mut broken = pem.clone();
    broken.truncate(pem.len() - 60);
    let other = pki.make(&["localhost"], &PKCS_ED25519, |_| ()).0;
    let errors = [
        Certificate::from_pem(&chain, &broken, None).expect_err("it is cut"),
        Certificate::from_pem(other.as_bytes(), &pem, None).expect_err("it is another's"),
        Certificate::from_pem(&pem, &chain, None).expect_err("they are swapped"),
    ];
    let mut texts =
        vec![format!("{certificate:?}"), one, format!("{options:?}"), format!("{client:?}")];
    texts.push(format!("{traffic:?}"));
    texts.extend(errors.iter().map(|error| format!("{error} {error:?}")));
    let server = server_config(options).expect("good options");
    texts.push(format!("{server:?}"));
    texts.push(format!("{:?}", Session::server(&server, 4096)));
    for text in texts {
        for secret in [key, body.as_bytes(), &file, &secret, &[0xa7; 12]] {
            assert!(!shows(&text, secret), "{text}");
        }
    }
    assert!(shows(&format!("{pem:?}"), &pem) && shows(&body, body.as_bytes()));
}
