//! What a client can meet: what failed, on what, why.

use std::fmt;
use std::time::Duration;

use super::address::TargetError;
use super::grpc::CallStatus;
use crate::net::NetworkError;
use crate::net::tls::Fault;
use crate::proto::frame::{Code, Command, FrameError};
use crate::proto::http2::ErrorCode;
use crate::proto::websocket::{CloseCode, Violation};
use crate::ring::DriverError;
use crate::ring::UnknownDriver;
use crate::ring::uring::SetupError;
use crate::service::grpc::Code as GrpcCode;

/// Why a client did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The text names no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The name has no address.
    #[error("resolve {name}: {reason}")]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// The text is no URL of HTTP.
    #[error("{text} is no URL: {reason}")]
    Url {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// TLS cannot be spoken as the options have it.
    #[error("TLS: {reason}")]
    TlsOptions {
        /// What is wrong.
        reason: String,
    },
    /// TLS has failed: most often the server is not whom it should be.
    #[error("TLS with {peer}: {reason}")]
    Tls {
        /// The peer.
        peer: String,
        /// What went wrong.
        fault: Fault,
        /// The same as a sentence, with what was seen.
        reason: String,
    },
    /// The connection ended within an answer, or without the word of TLS that it is the end:
    /// something may be missing.
    #[error(
        "{peer} cut the connection: it did not say that it was done, and something may be missing"
    )]
    Cut {
        /// The peer.
        peer: String,
    },
    /// It took too long.
    #[error("{op} {peer}: not done within {after:?}")]
    Deadline {
        /// What was being done.
        op: Waiting,
        /// With whom.
        peer: String,
        /// The time that it had.
        after: Duration,
    },
    /// The peer does not keep to the framed protocol; the connection is of no more use.
    #[error("frames from {peer}: {source}")]
    Frame {
        /// The peer.
        peer: String,
        /// What it did.
        source: FrameError,
    },
    /// What came is no message; the connection is of no more use.
    #[error("messages from {peer}: {reason}")]
    Message {
        /// The peer.
        peer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What came is not HTTP; the connection is of no more use, or the exchange by HTTP/2.
    #[error("{peer}: its answer is no {version}: {reason}")]
    Http {
        /// The peer.
        peer: String,
        /// What was expected, such as `HTTP/1.1`.
        version: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
    /// The peer gave an exchange up (RST_STREAM of HTTP/2). The connection goes on.
    #[error("{peer} reset the exchange: {code}")]
    Reset {
        /// The peer.
        peer: String,
        /// The name of the code in the specification, or its number.
        code: String,
    },
    /// A call of gRPC ended with another status than OK. The connection goes on.
    #[error("{method} at {peer}: {status}")]
    Call {
        /// The peer.
        peer: String,
        /// Which method was called.
        method: String,
        /// Its status.
        status: Box<CallStatus>,
    },
    /// The peer answered with an error. The connection goes on.
    #[error("{peer} refused: {code}: {text}")]
    Refused {
        /// The peer.
        peer: String,
        /// The error's name in the specification, or its number.
        code: String,
        /// What the peer says of it.
        text: String,
    },
    /// The peer goes away, and has certainly not carried the request out.
    #[error("{peer} goes away and did not carry it out: {code}: {text}")]
    NotDone {
        /// The peer.
        peer: String,
        /// Why it goes: the name in the specification, or its number.
        code: String,
        /// What the peer says of it.
        text: String,
    },
    /// The peer ended the connection before it answered; it may have carried the request out.
    #[error("{peer} closed the connection before it answered")]
    Closed {
        /// The peer.
        peer: String,
    },
    /// The peer said why it goes away (GOAWAY of HTTP/2), and ended the connection before it
    /// answered; it may have carried the request out.
    #[error("{peer} closed the connection: {code}{}{text}", separator(.text))]
    Left {
        /// The peer.
        peer: String,
        /// The name of the code in the specification, or its number.
        code: String,
        /// What the peer says of it; empty if it says nothing.
        text: String,
    },
    /// The server answered, and opened no WebSocket.
    #[error("{peer} opened no WebSocket: {reason}")]
    Handshake {
        /// The peer.
        peer: String,
        /// The status of its answer; 101 if that breaks a rule of the handshake.
        status: u16,
        /// How long it asks to wait before another try.
        retry_after: Option<Duration>,
        /// What is wrong with it, and what may help.
        reason: String,
    },
    /// A proxy opened no tunnel.
    #[error("{proxy} opened no tunnel to {target}: {reason}")]
    Tunnel {
        /// The proxy.
        proxy: String,
        /// What was to be connected to.
        target: String,
        /// The status of its answer.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer broke a rule of WebSocket, or a limit: the connection was closed with the code of
    /// that.
    #[error("{peer} broke a rule of WebSocket: {violation}; closed with {}", .violation.code())]
    WebSocket {
        /// The peer.
        peer: String,
        /// The rule.
        violation: Violation,
    },
    /// The connection ended without a close frame (which stands for close code 1006): what was sent
    /// last may not have come.
    #[error("{peer} ended the WebSocket without a close frame")]
    Unclosed {
        /// The peer.
        peer: String,
    },
    /// Nothing can be sent: the WebSocket is closed, or is being closed.
    #[error("the WebSocket with {peer} is closed with {code}: nothing can be sent")]
    AfterClose {
        /// The peer.
        peer: String,
        /// The code that it was closed with.
        code: CloseCode,
    },
    /// What came is not what the peer sent, or too much. The connection goes on.
    #[error("{what} from {peer}: {reason}")]
    Transfer {
        /// The peer.
        peer: String,
        /// What was transferred.
        what: String,
        /// What is wrong with it.
        reason: TransferError,
    },
    /// The request cannot be sent: too large, or no name.
    #[error("the request cannot be sent: {reason}")]
    Request {
        /// Why.
        reason: String,
    },
    /// So many exchanges are open that none may begin: finish one.
    #[error("{peer} takes no more than {window} exchanges at a time")]
    Busy {
        /// The peer.
        peer: String,
        /// How many it takes.
        window: u16,
    },
    /// The exchange was finished before.
    #[error("the exchange was finished before")]
    Finished,
    /// It was tried so often as allowed.
    #[error("gave up after {tries} tries: {last}")]
    RetriesExhausted {
        /// How often.
        tries: u32,
        /// What the last try met.
        last: Box<Self>,
    },
    /// The loop cannot be set up.
    #[error(transparent)]
    Ring(#[from] SetupError),
    /// The environment names no driver.
    #[error(transparent)]
    Driver(#[from] UnknownDriver),
    /// The loop cannot go on.
    #[error(transparent)]
    Loop(#[from] DriverError),
}

/// What was waited for when a deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// The connection.
    Connect,
    /// The agreement on a version.
    Hello,
    /// Room for what is to be sent.
    Send,
    /// Bytes, or a datagram.
    Receive,
    /// The answer to a request of the framed protocol.
    Exchange(Command),
    /// Any answer.
    Any,
    /// A message.
    Message,
    /// The head of an answer of HTTP.
    Answer,
    /// The answer to the handshake of a WebSocket.
    Handshake,
    /// The answer of a proxy that was asked for a tunnel.
    Tunnel,
    /// The answer to a ping of a WebSocket.
    Pong,
    /// The answer to a close frame of a WebSocket.
    Close,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Hello => f.write_str("HELLO to"),
            Self::Send => f.write_str("send to"),
            Self::Receive => f.write_str("receive from"),
            Self::Exchange(command) => write!(f, "{command} to"),
            Self::Any => f.write_str("any answer from"),
            Self::Message => f.write_str("message from"),
            Self::Answer => f.write_str("answer from"),
            Self::Handshake => f.write_str("handshake with"),
            Self::Tunnel => f.write_str("tunnel through"),
            Self::Pong => f.write_str("pong from"),
            Self::Close => f.write_str("close frame from"),
        }
    }
}

/// What is wrong with transferred bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Bytes are missing, or there are too many.
    #[error("{came} bytes came of {announced}")]
    Length {
        /// What the end says.
        announced: u64,
        /// What came.
        came: u64,
    },
    /// The bytes are others.
    #[error("checksum {computed:#010x} instead of {announced:#010x}")]
    Checksum {
        /// What the end says.
        announced: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The end cannot be read.
    #[error("an end that is none")]
    End,
    /// More than the client takes.
    #[error("more than {max} bytes")]
    TooLarge {
        /// What it takes.
        max: usize,
    },
}

/// What stands before a text, if there is one.
const fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}

impl ClientError {
    /// A wait that was too long, told as this time.
    pub(super) fn told_as(self, after: Duration) -> Self {
        let Self::Deadline { op, peer, .. } = self else { return self };
        Self::Deadline { op, peer, after }
    }

    /// What is wrong with a URL, without the text of it: for messages that show that themselves.
    pub(crate) fn into_url_reason(self) -> String {
        if let Self::Url { reason, .. } = self { reason } else { self.to_string() }
    }

    /// Whether the request was certainly not carried out: any request may be repeated.
    #[must_use]
    pub fn is_not_done(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::NotDone { .. } => true,
            Self::Network(error) => error.is_before_connection(),
            Self::Deadline { op, .. } => *op == Waiting::Connect,
            Self::Refused { code, .. } => has_code(code, Code::is_not_done),
            Self::Reset { code, .. } => code == ErrorCode::REFUSED_STREAM.name(),
            Self::Target(_)
            | Self::Url { .. }
            | Self::Http { .. }
            | Self::Call { .. }
            | Self::TlsOptions { .. }
            | Self::Tls { .. }
            | Self::Cut { .. }
            | Self::Frame { .. }
            | Self::Message { .. }
            | Self::Handshake { .. }
            | Self::Tunnel { .. }
            | Self::WebSocket { .. }
            | Self::Unclosed { .. }
            | Self::AfterClose { .. }
            | Self::Closed { .. }
            | Self::Left { .. }
            | Self::Transfer { .. }
            | Self::Request { .. }
            | Self::Busy { .. }
            | Self::Finished
            | Self::RetriesExhausted { .. }
            | Self::Ring(_)
            | Self::Driver(_)
            | Self::Loop(_) => false,
        }
    }

    /// Whether the connection was lost.
    pub(super) const fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Network(_)
                | Self::Closed { .. }
                | Self::Left { .. }
                | Self::Cut { .. }
                | Self::Unclosed { .. }
        )
    }

    /// The status of a call of gRPC that ended like that: the server's, or what gRPC takes the
    /// failure for.
    #[must_use]
    pub fn status_code(&self) -> GrpcCode {
        match self {
            Self::Call { status, .. } => status.code,
            Self::RetriesExhausted { last, .. } => last.status_code(),
            Self::Deadline { op: Waiting::Connect, .. }
            | Self::Resolve { .. }
            | Self::Network(_)
            | Self::Tls { .. }
            | Self::Closed { .. }
            | Self::Left { .. }
            | Self::Cut { .. }
            | Self::Unclosed { .. }
            | Self::NotDone { .. } => GrpcCode::Unavailable,
            Self::Deadline { .. } => GrpcCode::DeadlineExceeded,
            Self::Reset { code, .. } => of_reset(code),
            Self::Transfer { reason: TransferError::TooLarge { .. }, .. } => {
                GrpcCode::ResourceExhausted
            }
            Self::Target(_)
            | Self::Url { .. }
            | Self::TlsOptions { .. }
            | Self::Http { .. }
            | Self::Frame { .. }
            | Self::Message { .. }
            | Self::Handshake { .. }
            | Self::Tunnel { .. }
            | Self::WebSocket { .. }
            | Self::AfterClose { .. }
            | Self::Refused { .. }
            | Self::Transfer { .. }
            | Self::Request { .. }
            | Self::Busy { .. }
            | Self::Finished
            | Self::Ring(_)
            | Self::Driver(_)
            | Self::Loop(_) => GrpcCode::Internal,
        }
    }

    /// Whether another try may fare better, for a request that may be carried out twice.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let unknown = |code| matches!(code, Code::UpstreamLost | Code::Deadline);
        let lost = matches!(
            self,
            Self::Network(_)
                | Self::Deadline { .. }
                | Self::Closed { .. }
                | Self::Left { .. }
                | Self::Cut { .. }
                | Self::Unclosed { .. }
                | Self::Handshake { status: 429 | 500..=599, .. }
                | Self::Transfer { reason: TransferError::Length { .. }, .. }
                | Self::Transfer { reason: TransferError::Checksum { .. }, .. }
                | Self::Transfer { reason: TransferError::End, .. }
        ) || matches!(self, Self::Refused { code, .. } if has_code(code, unknown));
        lost || self.is_not_done()
    }
}

/// What a reset of HTTP/2 means in gRPC (its `PROTOCOL-HTTP2.md`, "Errors").
fn of_reset(code: &str) -> GrpcCode {
    [
        (ErrorCode::REFUSED_STREAM, GrpcCode::Unavailable),
        (ErrorCode::CANCEL, GrpcCode::Cancelled),
        (ErrorCode::ENHANCE_YOUR_CALM, GrpcCode::ResourceExhausted),
        (ErrorCode::INADEQUATE_SECURITY, GrpcCode::PermissionDenied),
    ]
    .into_iter()
    .find(|(known, _)| known.name() == code)
    .map_or(GrpcCode::Internal, |(_, status)| status)
}

/// The name of a code on the wire, or its number.
pub(super) fn code_name(number: u16) -> String {
    Code::from_number(number)
        .map_or_else(|| format!("{number:#06x}"), |code| code.name().to_owned())
}

/// Whether a code of this name is one of those.
fn has_code(name: &str, is_one: impl Fn(Code) -> bool) -> bool {
    Code::ALL.into_iter().any(|code| code.name() == name && is_one(code))
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::net::Operation;
    use crate::ring::SocketAddress;

    #[test]
    fn it_says_what_failed_on_what_and_why_and_whether_to_try_again() {
        let peer = || "10.0.0.5:1".to_owned();
        let network = |op, source| {
            let peer = SocketAddress::inet("10.0.0.5:1".parse().unwrap());
            ClientError::Network(NetworkError { op, peer, source })
        };
        let late = |op| ClientError::Deadline { op, peer: peer(), after: Duration::from_secs(5) };
        let refused = |code: Code| ClientError::Refused {
            peer: peer(),
            code: code_name(code.number()),
            text: "why".to_owned(),
        };
        // The text, whether it was certainly not done, whether to try again.
        let table = [
            (
                network(Operation::Connect, Errno::ECONNREFUSED),
                "connect 10.0.0.5:1: connection refused",
                true,
                true,
            ),
            (
                network(Operation::Send, Errno::EPIPE),
                "send to 10.0.0.5:1: broken pipe",
                false,
                true,
            ),
            (late(Waiting::Connect), "connect 10.0.0.5:1: not done within 5s", true, true),
            (
                late(Waiting::Exchange(Command::PING)),
                "PING to 10.0.0.5:1: not done within 5s",
                false,
                true,
            ),
            (refused(Code::NotFound), "10.0.0.5:1 refused: not_found: why", false, false),
            (refused(Code::Overloaded), "10.0.0.5:1 refused: overloaded: why", true, true),
            (refused(Code::UpstreamLost), "10.0.0.5:1 refused: upstream_lost: why", false, true),
            (
                ClientError::NotDone {
                    peer: peer(),
                    code: code_name(0x99),
                    text: "why".to_owned(),
                },
                "10.0.0.5:1 goes away and did not carry it out: 0x0099: why",
                true,
                true,
            ),
            (
                ClientError::Closed { peer: peer() },
                "10.0.0.5:1 closed the connection before it answered",
                false,
                true,
            ),
            (
                ClientError::Reset { peer: peer(), code: "refused_stream".to_owned() },
                "10.0.0.5:1 reset the exchange: refused_stream",
                true,
                true,
            ),
            (
                ClientError::Reset { peer: peer(), code: "internal_error".to_owned() },
                "10.0.0.5:1 reset the exchange: internal_error",
                false,
                false,
            ),
            (
                ClientError::Http {
                    peer: peer(),
                    version: "HTTP/2",
                    reason: "frame_size".to_owned(),
                },
                "10.0.0.5:1: its answer is no HTTP/2: frame_size",
                false,
                false,
            ),
            (late(Waiting::Answer), "answer from 10.0.0.5:1: not done within 5s", false, true),
            (
                ClientError::Url { text: "a b".to_owned(), reason: "why".to_owned() },
                "a b is no URL: why",
                false,
                false,
            ),
            (
                ClientError::RetriesExhausted {
                    tries: 3,
                    last: Box::new(network(Operation::Connect, Errno::ECONNREFUSED)),
                },
                "gave up after 3 tries: connect 10.0.0.5:1: connection refused",
                false,
                false,
            ),
        ];
        for (error, text, not_done, transient) in table {
            assert_eq!(error.to_string(), text);
            assert_eq!(
                (error.is_not_done(), error.is_transient()),
                (not_done, transient),
                "{text}"
            );
        }
    }
}
