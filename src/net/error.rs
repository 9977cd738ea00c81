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

/// Whether a connect failed for a shortage of this machine (descriptors, memory, ports), so that
/// nothing is known of the server.
#[must_use]
pub fn is_local_shortage(errno: Errno, server: &SocketAddress) -> bool {
    let always =
        [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EADDRNOTAVAIL];
    // No port is left. On a Unix socket, EAGAIN says that the server's queue is full.
    always.contains(&errno) || errno == Errno::EAGAIN && server.ip().is_some()
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
    fn a_shortage_of_ours_is_told_from_a_failure_of_the_server() {
        let inet = SocketAddress::inet("10.0.0.5:6379".parse().unwrap());
        let unix = SocketAddress::unnamed();
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EADDRNOTAVAIL] {
            assert!(is_local_shortage(errno, &inet) && is_local_shortage(errno, &unix));
        }
        assert!(is_local_shortage(Errno::EAGAIN, &inet));
        assert!(!is_local_shortage(Errno::EAGAIN, &unix), "its queue is full");
        assert!(!is_local_shortage(Errno::ECONNREFUSED, &inet));
    }

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
