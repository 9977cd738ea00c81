//! What of TLS may be spoken, by its names at IANA.

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// A cipher suite, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CipherSuite(u16);

impl CipherSuite {
    /// Its number in a handshake.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Of what version it is: those of TLS 1.3 are of no other.
    #[must_use]
    pub const fn version(self) -> Version {
        if self.0 >> 8 == 0x13 { Version::Tls13 } else { Version::Tls12 }
    }
}

/// All cipher suites that are spoken.
pub const CIPHER_SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite(0x1301)),
    ("TLS_AES_256_GCM_SHA384", CipherSuite(0x1302)),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite(0x1303)),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite(0xc02b)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite(0xc02c)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite(0xcca9)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite(0xc02f)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite(0xc030)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite(0xcca8)),
];

/// A group in which keys are exchanged, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(u16);

impl Group {
    /// Its number in a handshake.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// All groups that are spoken.
pub const GROUPS: [(&str, Group); 7] = [
    ("X25519MLKEM768", Group(0x11ec)),
    ("X25519", Group(0x001d)),
    ("secp256r1", Group(0x0017)),
    ("secp384r1", Group(0x0018)),
    ("secp256r1MLKEM768", Group(0x11eb)),
    ("MLKEM768", Group(0x0201)),
    ("MLKEM1024", Group(0x0202)),
];
