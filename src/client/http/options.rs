//! How HTTP is spoken.

use std::time::Duration;

use crate::client::{ConnectOptions, RetryPolicy};

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum HttpProtocol {
    /// By TLS what the server chooses (ALPN), HTTP/2 preferred; in clear HTTP/1.1, but for URLs
    /// that begin with `h2://`.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: in clear with prior knowledge, by TLS only with a server that chooses it.
    Http2,
}

/// How HTTP is spoken, and what is kept of connections.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// How to connect. Its `tls` is for `https://`: whom to trust and what to show; without it,
    /// whom the system trusts. Its protocols (ALPN) are set as `protocol` has it.
    pub connect: ConnectOptions,
    /// Which version is spoken.
    pub protocol: HttpProtocol,
    /// Bytes of the head of an answer, at most.
    pub head_max: usize,
    /// Bytes of an answer that is [collected](super::Answer::collect), at most.
    pub answer_max: usize,
    /// Idle connections that are kept for each authority; 0 keeps none.
    pub idle_max: usize,
    /// How long an idle connection is kept.
    pub idle_time: Duration,
    /// How often requests are tried again that may be carried out twice (GET, HEAD, PUT, DELETE,
    /// OPTIONS, TRACE, QUERY) or that certainly were not carried out. One try by default: what is
    /// due to a connection that the server had closed while it was idle, or to a server that says
    /// that it has done nothing, is tried again once in any case.
    pub retry: RetryPolicy,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect: ConnectOptions::default(),
            protocol: HttpProtocol::default(),
            head_max: 64 * 1024,
            answer_max: 16 * 1024 * 1024,
            idle_max: 4,
            idle_time: Duration::from_secs(60),
            retry: RetryPolicy { tries_max: 1, ..RetryPolicy::default() },
        }
    }
}
