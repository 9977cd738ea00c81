//! Why an exchange with a server failed.

use crate::service::retry::Safety;

/// What went wrong, from the first attempt to connect to the last byte of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server refused the connection.
    ConnectRefused,
    /// The connection did not stand in time.
    ConnectTimeout,
    /// There is no way to the server.
    ConnectUnreachable,
    /// There is no address or port here from which to connect to it.
    ConnectNoAddress,
    /// TLS failed: the server's certificate, or the handshake.
    ConnectTls,
    /// The connection failed otherwise.
    ConnectOther,
    /// No server is usable, or all were tried.
    NoServer,
    /// Too many exchanges waited for a connection.
    QueueFull,
    /// No connection was free in time.
    QueueTimeout,
    /// A connection that had been kept was closed before any byte of the answer: the server had
    /// most likely closed it before the request came (RFC 9112, section 9.3.1).
    StaleConnection,
    /// The server has refused the request before it did anything for it, by REFUSED_STREAM or
    /// GOAWAY (RFC 9113, section 8.7).
    RefusedStream,
    /// The connection was lost before the head of the answer was complete.
    ResetBeforeHead,
    /// The connection was lost within the body of the answer.
    ResetInBody,
    /// What came was no answer that HTTP allows.
    BadResponse,
    /// The head of the answer did not come in time.
    FirstByteTimeout,
    /// One try took too long.
    TryTimeout,
    /// All tries together took too long.
    TotalTimeout,
    /// Nothing of the body came for too long.
    IdleTimeout,
    /// The server took nothing of the request for too long.
    WriteTimeout,
    /// The interim answers were larger than they may be.
    ResponseTooLarge,
    /// Too many exchanges were under way.
    Breaker,
    /// Descriptors or memory ran out.
    Resources,
    /// The client went away.
    ClientGone,
    /// The time was over while the client had not sent all of its request.
    ClientTimeout,
    /// The server has agreed to another WebSocket than was asked for: with the wrong
    /// `sec-websocket-accept` or without the protocol's name, or by a status that would open a
    /// tunnel to a client of HTTP/2.
    BadHandshake,
    /// The server speaks HTTP/2 without WebSockets (RFC 8441).
    NoWebSocket,
    /// The client's handshake for a WebSocket is none that could be one of HTTP/2.
    ClientHandshake,
}

/// Which kind of failure it is, as far as trying again goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection stood: nothing was sent.
    Connect,
    /// A kept connection was gone.
    Stale,
    /// The server has certainly done nothing for the request.
    Unprocessed,
    /// The connection was lost before the answer.
    Reset,
    /// The answer did not come in time.
    Timeout,
    /// Trying again would not help, or comes too late.
    Final,
}

/// How far an exchange had come when it failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TryProgress {
    /// The request's method is idempotent (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// All of the request's body that was taken from the client is still there, or it has none.
    pub body_repeatable: bool,
    /// A byte of the request was sent.
    pub sent: bool,
    /// A byte of the answer was seen.
    pub answered: bool,
}

impl Failure {
    /// Every failure, in the order of their numbers.
    pub const ALL: [Self; 27] = [
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectUnreachable,
        Self::ConnectNoAddress,
        Self::ConnectTls,
        Self::ConnectOther,
        Self::NoServer,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::StaleConnection,
        Self::RefusedStream,
        Self::ResetBeforeHead,
        Self::ResetInBody,
        Self::BadResponse,
        Self::FirstByteTimeout,
        Self::TryTimeout,
        Self::TotalTimeout,
        Self::IdleTimeout,
        Self::WriteTimeout,
        Self::ResponseTooLarge,
        Self::Breaker,
        Self::Resources,
        Self::ClientGone,
        Self::ClientTimeout,
        Self::BadHandshake,
        Self::NoWebSocket,
        Self::ClientHandshake,
    ];

    /// The failure's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The status that the client is told (RFC 9110, section 15.6): 502, 503 or 504, or 400 or 408
    /// where the fault is its own. A client that is gone is told nothing; logs commonly call that
    /// 499.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::ConnectRefused
            | Self::ConnectUnreachable
            | Self::ConnectTls
            | Self::ConnectOther
            | Self::StaleConnection
            | Self::ResetBeforeHead
            | Self::ResetInBody
            | Self::BadResponse
            | Self::BadHandshake
            | Self::NoWebSocket
            | Self::ResponseTooLarge => 502,
            Self::NoServer
            | Self::RefusedStream
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Breaker
            | Self::ConnectNoAddress
            | Self::Resources => 503,
            Self::ConnectTimeout
            | Self::FirstByteTimeout
            | Self::TryTimeout
            | Self::TotalTimeout
            | Self::IdleTimeout
            | Self::WriteTimeout => 504,
            Self::ClientGone => 499,
            Self::ClientTimeout => 408,
            Self::ClientHandshake => 400,
        }
    }

    /// The value of `x-ringway-reason`, and the label of logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectUnreachable => "connect_unreachable",
            Self::ConnectNoAddress => "connect_no_address",
            Self::ConnectTls => "connect_tls",
            Self::ConnectOther => "connect_failed",
            Self::NoServer => "no_server",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::StaleConnection => "stale_connection",
            Self::RefusedStream => "refused_stream",
            Self::ResetBeforeHead => "reset_before_head",
            Self::ResetInBody => "reset_in_body",
            Self::BadResponse => "bad_response",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::TryTimeout => "try_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::ResponseTooLarge => "response_too_large",
            Self::Breaker => "breaker",
            Self::Resources => "resources",
            Self::ClientGone => "client_gone",
            Self::ClientTimeout => "client_timeout",
            Self::BadHandshake => "bad_handshake",
            Self::NoWebSocket => "no_websocket",
            Self::ClientHandshake => "client_handshake",
        }
    }

    /// Whether it speaks against the server: what this side, its limits or its client did does not,
    /// nor does a kept connection that the server closed, as it may.
    #[must_use]
    pub const fn blames_server(self) -> bool {
        match self {
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectUnreachable
            | Self::ConnectTls
            | Self::ConnectOther
            | Self::ResetBeforeHead
            | Self::ResetInBody
            | Self::BadResponse
            | Self::BadHandshake
            | Self::ResponseTooLarge
            | Self::FirstByteTimeout
            | Self::TryTimeout
            | Self::IdleTimeout
            | Self::WriteTimeout => true,
            Self::NoServer
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::StaleConnection
            | Self::RefusedStream
            | Self::TotalTimeout
            | Self::Breaker
            | Self::ConnectNoAddress
            | Self::Resources
            | Self::ClientGone
            | Self::ClientTimeout
            | Self::NoWebSocket
            | Self::ClientHandshake => false,
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(self) -> FailureKind {
        match self {
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectUnreachable
            | Self::ConnectNoAddress
            | Self::ConnectTls
            | Self::ConnectOther => FailureKind::Connect,
            Self::StaleConnection => FailureKind::Stale,
            Self::RefusedStream | Self::NoWebSocket => FailureKind::Unprocessed,
            Self::ResetBeforeHead => FailureKind::Reset,
            Self::FirstByteTimeout | Self::TryTimeout | Self::WriteTimeout => FailureKind::Timeout,
            Self::NoServer
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::ResetInBody
            | Self::BadResponse
            | Self::TotalTimeout
            | Self::IdleTimeout
            | Self::ResponseTooLarge
            | Self::Breaker
            | Self::Resources
            | Self::ClientGone
            | Self::ClientTimeout
            | Self::BadHandshake
            | Self::ClientHandshake => FailureKind::Final,
        }
    }

    /// Whether the exchange can be repeated without harm. Once a byte of the answer was seen the
    /// server has acted, and the client may have been told.
    #[must_use]
    pub const fn safety(self, progress: TryProgress) -> Safety {
        match self.kind() {
            FailureKind::Final => Safety::Unsafe,
            FailureKind::Connect => Safety::NotSent,
            FailureKind::Unprocessed if progress.answered => Safety::Unsafe,
            FailureKind::Unprocessed => Safety::NotSent,
            FailureKind::Stale | FailureKind::Reset | FailureKind::Timeout => {
                if progress.answered {
                    Safety::Unsafe
                } else if !progress.sent {
                    Safety::NotSent
                } else if progress.idempotent {
                    Safety::Idempotent
                } else {
                    Safety::Unsafe
                }
            }
        }
    }

    /// Whether the exchange may be tried again at all: without harm, and with its whole body.
    #[must_use]
    pub const fn may_be_retried(self, progress: TryProgress) -> bool {
        match (self.safety(progress), self.kind()) {
            (Safety::NotSent, FailureKind::Connect) => true,
            // A server that refuses a request may have taken some of its body from us before.
            (Safety::NotSent | Safety::Idempotent, _) => progress.body_repeatable,
            (Safety::Unsafe, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_knows_its_place_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Vec::new();
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure.index(), index);
            let name = failure.name();
            assert!(!names.contains(&name));
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            names.push(name);
            let told = matches!(failure.status(), 400 | 408 | 502..=504);
            assert_eq!(told, failure != Failure::ClientGone, "{name}");
        }
    }

    const fn progress(idempotent: bool, sent: bool, answered: bool) -> TryProgress {
        TryProgress { idempotent, body_repeatable: true, sent, answered }
    }

    #[test]
    fn what_may_be_tried_again() {
        let nothing = progress(false, false, false);
        let posted = progress(false, true, false);
        let got = progress(true, true, false);
        let begun = progress(true, true, true);
        let cases = [
            // (failure, nothing sent, sent and not idempotent, idempotent, answer begun)
            (Failure::ConnectRefused, [true, true, true, true]),
            (Failure::ConnectTimeout, [true, true, true, true]),
            (Failure::ConnectUnreachable, [true, true, true, true]),
            (Failure::ConnectNoAddress, [true, true, true, true]),
            (Failure::ConnectTls, [true, true, true, true]),
            (Failure::ConnectOther, [true, true, true, true]),
            (Failure::StaleConnection, [true, false, true, false]),
            (Failure::RefusedStream, [true, true, true, false]),
            (Failure::NoWebSocket, [true, true, true, false]),
            (Failure::ResetBeforeHead, [true, false, true, false]),
            (Failure::FirstByteTimeout, [true, false, true, false]),
            (Failure::TryTimeout, [true, false, true, false]),
            (Failure::WriteTimeout, [true, false, true, false]),
        ];
        for failure in Failure::ALL {
            let listed = cases.iter().find(|case| case.0 == failure);
            let expected = listed.map_or([false; 4], |case| case.1);
            let found =
                [nothing, posted, got, begun].map(|progress| failure.may_be_retried(progress));
            assert_eq!(found, expected, "{failure:?}");
        }
    }

    #[test]
    fn a_body_that_is_gone_is_not_sent_again() {
        let gone = TryProgress { body_repeatable: false, ..progress(true, true, false) };
        assert!(!Failure::ResetBeforeHead.may_be_retried(gone));
        assert_eq!(Failure::ResetBeforeHead.safety(gone), Safety::Idempotent);
        let refused = TryProgress { idempotent: false, ..gone };
        assert!(!Failure::RefusedStream.may_be_retried(refused), "its beginning would be missing");
        let untouched = TryProgress { sent: false, body_repeatable: true, ..gone };
        assert!(Failure::ResetBeforeHead.may_be_retried(untouched), "nothing of it was sent");
        assert!(Failure::ConnectRefused.may_be_retried(gone));
    }

    #[test]
    fn a_server_is_blamed_for_what_it_did() {
        let blamed = Failure::ALL.into_iter().filter(|failure| failure.blames_server());
        assert!(blamed.clone().all(|failure| matches!(failure.status(), 502 | 504)));
        assert_eq!(blamed.count(), 14);
        for kind in [FailureKind::Connect, FailureKind::Reset, FailureKind::Timeout] {
            let mut same = Failure::ALL.into_iter().filter(|failure| failure.kind() == kind);
            let is_ours = |failure| failure == Failure::ConnectNoAddress;
            assert!(same.all(|failure| failure.blames_server() || is_ours(failure)));
        }
    }
}
