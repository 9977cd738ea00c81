//! What a check writes to and reads from: a socket, or TLS on it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::CheckError;
use crate::net::tls::Session;
use crate::runtime::clock;

/// A connection to a server.
pub(super) struct Wire<S> {
    stream: S,
    tls: Option<Session>,
    /// What came with the end of the handshake.
    early: Vec<u8>,
    /// Received bytes, and memory to open them in.
    received: Vec<u8>,
    scratch: Vec<u8>,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Wire<S> {
    /// A connection whose handshake is done, if it is by TLS.
    pub(super) async fn new(stream: S, tls: Option<Session>) -> Result<Self, CheckError> {
        let (early, received, scratch) = (Vec::new(), Vec::new(), Vec::new());
        let mut this = Self { stream, tls, early, received, scratch };
        let mut sealed = Vec::new();
        if let Some(session) = &mut this.tls {
            session.start(&mut sealed)?;
        }
        this.stream.write_all(&sealed).await?;
        let mut early = Vec::new();
        while this.tls.as_ref().is_some_and(Session::is_handshaking) {
            this.read(&mut early).await?;
        }
        this.early = early;
        Ok(this)
    }

    /// Whether it is by TLS.
    pub(super) const fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// What both ends have agreed to speak, if they have.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn()
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), CheckError> {
        let Some(session) = &mut self.tls else { return Ok(self.stream.write_all(bytes).await?) };
        let mut sealed = Vec::new();
        session.send(bytes, clock::now(), &mut sealed)?;
        Ok(self.stream.write_all(&sealed).await?)
    }

    /// Appends what comes next: it may be nothing yet, by TLS.
    pub(super) async fn read(&mut self, into: &mut Vec<u8>) -> Result<(), CheckError> {
        if !self.early.is_empty() {
            into.append(&mut self.early);
            return Ok(());
        }
        let Some(session) = &mut self.tls else {
            let count = self.stream.read_buf(into).await?;
            return if count == 0 { Err(CheckError::Closed) } else { Ok(()) };
        };
        self.received.clear();
        if session.is_closed() || self.stream.read_buf(&mut self.received).await? == 0 {
            session.receive_end()?;
            return Err(CheckError::Closed);
        }
        let mut sealed = Vec::new();
        let result = session.receive(&self.received, &mut self.scratch, into, &mut sealed);
        // An alert, or an answer of the handshake.
        self.stream.write_all(&sealed).await?;
        result?;
        Ok(())
    }
}
