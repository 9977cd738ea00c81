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
    /// Sending to a peer.
    Send,
    /// Receiving from a peer.
    Receive,
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

impl NetworkError {
    /// Whether no connection stood yet, so that nothing can have been sent.
    #[must_use]
    pub const fn is_before_connection(&self) -> bool {
        matches!(self.op, Operation::Socket | Operation::Connect)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket for",
            Self::Connect => "connect",
            Self::Greet => "greet",
            Self::Accept => "accept on",
            Self::Send => "send to",
            Self::Receive => "receive from",
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
        for (op, source, expected) in [
            (Operation::Connect, Errno::ECONNREFUSED, "connect 10.0.0.5:6379: connection refused"),
            (Operation::Send, Errno::EPIPE, "send to 10.0.0.5:6379: broken pipe"),
            (
                Operation::Receive,
                Errno::ECONNRESET,
                "receive from 10.0.0.5:6379: connection reset by peer",
            ),
        ] {
            let peer = SocketAddress::inet("10.0.0.5:6379".parse().unwrap());
            let error = NetworkError { op, peer, source };
            assert_eq!(error.to_string(), expected);
            assert!(std::error::Error::source(&error).is_some());
        }
    }
}
