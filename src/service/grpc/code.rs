//! The statuses of calls.

use crate::proto::grpc::MessageError;
use crate::service::cluster::failure::Failure;

/// How a call ended. Their numbers are those of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It succeeded.
    Ok,
    /// The client gave it up.
    Cancelled,
    /// Nothing is known.
    Unknown,
    /// What was asked for makes no sense.
    InvalidArgument,
    /// It was not over in time.
    DeadlineExceeded,
    /// What was asked for is not there.
    NotFound,
    /// What was to be made is there.
    AlreadyExists,
    /// The client may not.
    PermissionDenied,
    /// A limit was reached, of a server or of a proxy.
    ResourceExhausted,
    /// The state of the server does not allow it.
    FailedPrecondition,
    /// It was given up for another one.
    Aborted,
    /// Beyond what there is.
    OutOfRange,
    /// The server has no such method.
    Unimplemented,
    /// The server is broken.
    Internal,
    /// The server cannot be used now.
    Unavailable,
    /// Data was lost.
    DataLoss,
    /// The server does not know who asks.
    Unauthenticated,
}

impl Code {
    /// The status of a call with such a message.
    #[must_use]
    pub const fn of_message_error(error: MessageError) -> Self {
        match error {
            MessageError::TooLarge { .. } => Self::ResourceExhausted,
            MessageError::Flag(_) | MessageError::Truncated => Self::Internal,
        }
    }

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The number that is sent.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize
    }

    /// The word of configurations, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The code of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The value of `grpc-status`. What is no known number is [`Code::Unknown`].
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        number.and_then(|number| Self::ALL.get(number).copied()).unwrap_or(Self::Unknown)
    }

    /// What a status of HTTP means where an answer has no `grpc-status` (gRPC's
    /// `http-grpc-status-mapping.md`), and that of an answer of ours. Bodies and heads that are too
    /// large have a code of their own.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            408 => Self::DeadlineExceeded,
            413 | 431 => Self::ResourceExhausted,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The status that this is for a server's own record, where it speaks against it: what an
    /// application answers to a bad call does not.
    #[must_use]
    pub const fn for_server(self) -> Option<u16> {
        match self {
            Self::Internal | Self::DataLoss => Some(500),
            Self::Unavailable => Some(503),
            Self::Ok
            | Self::Cancelled
            | Self::Unknown
            | Self::InvalidArgument
            | Self::DeadlineExceeded
            | Self::NotFound
            | Self::AlreadyExists
            | Self::PermissionDenied
            | Self::ResourceExhausted
            | Self::FailedPrecondition
            | Self::Aborted
            | Self::OutOfRange
            | Self::Unimplemented
            | Self::Unauthenticated => None,
        }
    }

    /// What a client is told when its call could not be passed on. A time of ours that is over is
    /// told as such; that of a connect is not, as the call has reached no server.
    #[must_use]
    pub const fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::FirstByteTimeout
            | Failure::TryTimeout
            | Failure::TotalTimeout
            | Failure::IdleTimeout
            | Failure::ClientTimeout => Self::DeadlineExceeded,
            Failure::ClientGone => Self::Cancelled,
            Failure::ResponseTooLarge => Self::ResourceExhausted,
            Failure::BadResponse | Failure::BadHandshake => Self::Internal,
            Failure::ClientHandshake => Self::InvalidArgument,
            Failure::NoWebSocket => Self::Unimplemented,
            Failure::ConnectRefused
            | Failure::ConnectTimeout
            | Failure::ConnectUnreachable
            | Failure::ConnectNoAddress
            | Failure::ConnectTls
            | Failure::ConnectOther
            | Failure::NoServer
            | Failure::QueueFull
            | Failure::QueueTimeout
            | Failure::StaleConnection
            | Failure::RefusedStream
            | Failure::ResetBeforeHead
            | Failure::ResetInBody
            | Failure::WriteTimeout
            | Failure::Breaker
            | Failure::Resources => Self::Unavailable,
        }
    }
}

/// A set of statuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodeSet(u32);

impl CodeSet {
    /// Adds a status.
    pub const fn insert(&mut self, code: Code) {
        self.0 |= 1 << code.number();
    }

    /// Whether it has this status.
    #[must_use]
    pub const fn contains(self, code: Code) -> bool {
        self.0 & (1 << code.number()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_number_and_a_name_of_its_own() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code.number(), number);
            assert_eq!(Code::named(code.name()), Some(code));
            assert_eq!(Code::parse(number.to_string().as_bytes()), code);
        }
        assert_eq!(Code::named("OK"), None);
        for unknown in ["", "17", "-1", "x", "99999999999999999999"] {
            assert_eq!(Code::parse(unknown.as_bytes()), Code::Unknown, "{unknown}");
        }
    }

    #[test]
    fn what_other_statuses_mean() {
        let cases = [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (413, Code::ResourceExhausted),
            (429, Code::Unavailable),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (418, Code::Unknown),
        ];
        for (status, code) in cases {
            assert_eq!(Code::of_status(status), code, "{status}");
        }
    }

    #[test]
    fn no_failure_is_a_success() {
        for failure in Failure::ALL {
            assert_ne!(Code::of_failure(failure), Code::Ok, "{failure:?}");
        }
        assert_eq!(Code::of_failure(Failure::TotalTimeout), Code::DeadlineExceeded);
        assert_eq!(Code::of_failure(Failure::ConnectTimeout), Code::Unavailable);
    }

    #[test]
    fn a_set_has_what_was_added() {
        let mut set = CodeSet::default();
        set.insert(Code::Unavailable);
        set.insert(Code::Unauthenticated);
        for code in Code::ALL {
            let expected = matches!(code, Code::Unavailable | Code::Unauthenticated);
            assert_eq!(set.contains(code), expected);
        }
    }
}
