//! The secrets of connections, written to a file for who has to look into recorded traffic. Whoever
//! has the file can read all of it: nothing writes one unless somebody asks for it by a flag.

use std::fmt;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use nix::fcntl::OFlag;
use rustls::KeyLog;
use zeroize::Zeroize;

/// A file in the format of `SSLKEYLOGFILE` (draft-ietf-tls-keylogfile), as Wireshark reads it.
pub struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Opens the file, or makes one that only its owner can read. Lines are appended.
    ///
    /// A pipe without a reader never blocks, neither here nor the workers that write to it.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        Ok(Self(Mutex::new(file)))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        for byte in client_random {
            // Writing to a string does not fail.
            let _infallible = write!(line, "{byte:02x}");
        }
        line.push(' ');
        for byte in secret {
            let _infallible = write!(line, "{byte:02x}");
        }
        line.push('\n');
        let mut file = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Whole lines, so that workers and processes may write to one file.
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "a secret of TLS cannot be written to the key log");
        }
        line.zeroize();
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}
