//! Why a connection ended, and how long its end may take.

use std::time::Duration;

/// How long a peer may take to close, once it was told that the connection ends, and why. Without
/// that time, what it has sent meanwhile would make a reset of our close, and lose what we told it.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and dropped meanwhile of a peer that has broken its protocol.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// What a peer may still send that was told why its connection ends.
#[derive(Debug)]
pub struct Linger {
    left: usize,
}

impl Default for Linger {
    fn default() -> Self {
        Self { left: LINGER_BYTES_MAX }
    }
}

impl Linger {
    /// Bytes came and are dropped. False when there were too many: then the peer is not waited for.
    pub const fn goes_on(&mut self, bytes: usize) -> bool {
        self.left = self.left.saturating_sub(bytes);
        self.left > 0
    }
}

/// Why a connection ended: carried to the access line and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides said that they were done.
    Finished,
    /// The client reset the connection.
    ClientReset,
    /// The client ended while a server was still answering it, and was taken for gone.
    ClientGone,
    /// The upstream reset the connection.
    UpstreamReset,
    /// No byte moved for the idle timeout.
    IdleTimeout,
    /// The PROXY protocol header did not come in time.
    ProxyHeaderTimeout,
    /// What came instead of a PROXY protocol header was none.
    ProxyHeaderInvalid,
    /// No server could be connected to.
    ConnectFailed,
    /// The last server tried did not answer in time.
    ConnectTimeout,
    /// The upstream had its maximum of connections (`requests_max`).
    UpstreamOverloaded,
    /// The client broke a rule of its protocol, and was told which.
    ProtocolError,
    /// The head of a request did not come in time.
    HeadTimeout,
    /// The body of a request did not come in time.
    BodyTimeout,
    /// The listener does not allow connections from there.
    Denied,
    /// There were too many connections from there.
    TooManyOfSource,
    /// A file became shorter while it was sent.
    FileCut,
    /// A handler of the program failed within an answer, or took too long for it.
    HandlerFailed,
    /// The client did not take its answers.
    SlowReader,
    /// The listener had its maximum of connections: refused at once.
    TooManyConnections,
    /// Descriptors or memory ran out.
    Resources,
    /// The TLS handshake did not end in time.
    TlsTimeout,
    /// TLS failed: the handshake, or what the client sent later.
    TlsFailed,
    /// There were too many TLS handshakes at a time: refused at once.
    TooManyHandshakes,
    /// Still open when the shutdown's time was over.
    ShutdownTimeout,
}

impl CloseReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 24] = [
        Self::Finished,
        Self::ClientReset,
        Self::ClientGone,
        Self::UpstreamReset,
        Self::IdleTimeout,
        Self::ProxyHeaderTimeout,
        Self::ProxyHeaderInvalid,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::UpstreamOverloaded,
        Self::ProtocolError,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::Denied,
        Self::TooManyOfSource,
        Self::FileCut,
        Self::HandlerFailed,
        Self::SlowReader,
        Self::TooManyConnections,
        Self::Resources,
        Self::TlsTimeout,
        Self::TlsFailed,
        Self::TooManyHandshakes,
        Self::ShutdownTimeout,
    ];

    /// The reason's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label of the metrics and the access line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientReset => "client_reset",
            Self::ClientGone => "client_gone",
            Self::UpstreamReset => "upstream_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::ProxyHeaderTimeout => "proxy_header_timeout",
            Self::ProxyHeaderInvalid => "proxy_header_invalid",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::UpstreamOverloaded => "upstream_overloaded",
            Self::ProtocolError => "protocol_error",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::Denied => "denied",
            Self::TooManyOfSource => "too_many_of_source",
            Self::FileCut => "file_cut",
            Self::HandlerFailed => "handler_failed",
            Self::SlowReader => "slow_reader",
            Self::TooManyConnections => "too_many_connections",
            Self::Resources => "resources",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsFailed => "tls_failed",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::ShutdownTimeout => "shutdown_timeout",
        }
    }

    /// Whether the other side must see that the stream was cut, not ended.
    #[must_use]
    pub const fn is_cut(self) -> bool {
        matches!(
            self,
            Self::ClientReset
                | Self::ClientGone
                | Self::UpstreamReset
                | Self::FileCut
                | Self::HandlerFailed
                | Self::TlsFailed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_was_told_is_read_up_to_a_limit() {
        let mut linger = Linger::default();
        assert!(linger.goes_on(0) && linger.goes_on(LINGER_BYTES_MAX - 1));
        assert!(!linger.goes_on(1) && !linger.goes_on(usize::MAX));
    }

    #[test]
    fn every_reason_knows_its_place_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Vec::new();
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(!names.contains(&reason.name()));
            names.push(reason.name());
        }
        assert!(CloseReason::ClientReset.is_cut() && !CloseReason::Finished.is_cut());
    }
}
