//! An issuer of certificates, and foreign peers that speak TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use crate::support::*;

/// An issuer, and a certificate of `localhost` and 127.0.0.1.
pub(crate) struct Pki {
    folder: Folder,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::named("an issuer")
    }

    /// An issuer of a name of its own, where several are trusted.
    pub(crate) fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        let this = Self { folder: Folder::new(), issuer: Issuer::new(params, key), ca };
        this.folder.file("ca.pem", &this.ca);
        this.write("server", &["localhost", "127.0.0.1"]);
        this
    }

    /// A certificate and its key, as files and as texts.
    pub(crate) fn write(&self, name: &str, names: &[&str]) -> (String, String) {
        self.write_with(name, names, |_| ())
    }

    /// The same, with what `change` changes.
    pub(crate) fn write_with(
        &self,
        name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        self.folder.file(&format!("{name}.key"), &key);
        self.folder.file(&format!("{name}.pem"), &pem);
        (pem, key)
    }

    /// A certificate that has signed itself.
    pub(crate) fn write_alone(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        // With the issuer's name it would be taken for a forgery.
        params.distinguished_name = DistinguishedName::new();
        self.folder.file(&format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
        self.folder.file(&format!("{name}.key"), &key.serialize_pem());
    }

    /// A list that revokes the certificate of a number.
    pub(crate) fn revoke(&self, serial: u64) -> PathBuf {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap().pem().unwrap();
        self.folder.file("revoked.crl", &list)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tables of a listener that shows the server's certificate.
    pub(crate) fn listener_tls(&self, keys: &str) -> String {
        let (chain, key) = (self.path("server.pem"), self.path("server.key"));
        format!(
            "[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{keys}\n",
            chain.display(),
            key.display()
        )
    }

    pub(crate) fn upstream_tls(&self, name: &str, keys: &str) -> String {
        format!("[upstream.{name}.tls]\nca = \"{}\"\n{keys}\n", self.path("ca.pem").display())
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// A client that shows one of the certificates.
    pub(crate) fn client_with(&self, name: &str) -> Arc<ClientConfig> {
        self.client_trusting(&self.ca, name)
    }

    /// The same, where servers are those of another issuer.
    pub(crate) fn client_trusting(&self, ca: &str, name: &str) -> Arc<ClientConfig> {
        let read = |kind: &str| std::fs::read(self.path(&format!("{name}.{kind}"))).unwrap();
        let (chain, key) = (read("pem"), read("key"));
        let chain = CertificateDer::pem_slice_iter(&chain).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
    }

    pub(crate) fn connect(&self, address: SocketAddr) -> Secured {
        self.connect_with(&self.client(), address)
    }

    pub(crate) fn connect_with(&self, config: &Arc<ClientConfig>, address: SocketAddr) -> Secured {
        secure(config, "localhost", connect(address))
    }

    /// A connection that asks for `name`.
    pub(crate) fn ask_for(&self, name: &str, address: SocketAddr) -> Secured {
        secure(&self.client(), name, connect(address))
    }

    /// How a foreign server speaks TLS with one of the certificates.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        let read = |kind: &str| std::fs::read(self.path(&format!("{name}.{kind}"))).unwrap();
        let (chain, key) = (read("pem"), read("key"));
        let chain = CertificateDer::pem_slice_iter(&chain).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// A server of rustls' own that sends back, in upper case, what each connection brings.
    pub(crate) fn shouter(&self) -> SocketAddr {
        let config = self.server("server");
        serve(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                buffer[..count].make_ascii_uppercase();
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            stream.conn.send_close_notify();
            let _gone = stream.flush();
        })
    }
}

/// A connection by TLS on a socket that is connected.
pub(crate) fn secure(config: &Arc<ClientConfig>, name: &str, socket: TcpStream) -> Secured {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

pub(crate) type Secured = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn listener(name: &str, rest: &str) -> String {
    format!("[[listener]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n{rest}\n")
}

pub(crate) fn get(stream: &mut Secured, path: &str) -> (String, Vec<u8>) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}
