//! Failures of the network: which operation, on whom, why.

use std::fmt;

use nix::errno::Errno;

use crate::ring::SocketAddress;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making a socket.
    Socket,
    /// Connecting to a server.
    Connect,
    /// Agreeing with a server on how to go on.
    Greet,
    /// Taking a connection from a listener.
    Accept,
}

/// A failed operation on a peer, printed as `connect 10.0.0.5:6379: connection refused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkError {
    /// What was being done.
    pub op: Operation,
    /// The peer, or the listener.
    pub peer: SocketAddress,
    /// What the kernel said.
    pub source: Errno,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket for",
            Self::Connect => "connect",
            Self::Greet => "greet",
            Self::Accept => "accept on",
        })
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.source.desc().to_lowercase();
        write!(f, "{} {}: {reason}", self.op, self.peer)
    }
}

impl std::error::Error for NetworkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_failed_on_whom_and_why() {
        let error = NetworkError {
            op: Operation::Connect,
            peer: SocketAddress::inet("10.0.0.5:6379".parse().unwrap()),
            source: Errno::ECONNREFUSED,
        };
        assert_eq!(error.to_string(), "connect 10.0.0.5:6379: connection refused");
        assert!(std::error::Error::source(&error).is_some());
    }
}
