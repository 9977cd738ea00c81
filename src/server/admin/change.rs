//! Requests that change something: who may, what came of them, and how often that was.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use super::token::{Tokens, bearer};
use super::{PLAIN, page};
use crate::runtime::Current;

/// What a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Change {
    /// The level of the log.
    LogLevel,
    /// A server of an upstream.
    Server,
    /// The whole configuration.
    Reload,
}

impl Change {
    /// All, in the order of their numbers.
    pub(in crate::server) const ALL: [Self; 3] = [Self::LogLevel, Self::Server, Self::Reload];

    /// The label of the metrics, and the word of the log.
    pub(in crate::server) const fn name(self) -> &'static str {
        match self {
            Self::LogLevel => "log_level",
            Self::Server => "server",
            Self::Reload => "reload",
        }
    }
}

/// What came of a request for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Verdict {
    /// It was made.
    Made,
    /// It was allowed, and is not possible as it was asked for.
    Invalid,
    /// It came without a token, or with a wrong one.
    Unauthorized,
    /// No token is configured.
    Forbidden,
}

impl Verdict {
    /// All, in the order of their numbers.
    pub(in crate::server) const ALL: [Self; 4] =
        [Self::Made, Self::Invalid, Self::Unauthorized, Self::Forbidden];

    /// The label of the metrics.
    pub(in crate::server) const fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
        }
    }
}

/// Requests for changes, by what and by verdict.
#[derive(Debug, Default)]
pub(in crate::server) struct ChangeCounts([[AtomicU64; Verdict::ALL.len()]; Change::ALL.len()]);

impl ChangeCounts {
    pub(in crate::server) fn read(&self, change: Change, verdict: Verdict) -> u64 {
        self.0[change as usize][verdict as usize].load(Ordering::Relaxed)
    }
}

/// Decides who may change something.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct Gate {
    /// `None`: no token is configured, and every change is refused. Else the file and its tokens.
    tokens: Option<(PathBuf, Arc<Current<Tokens>>)>,
    counts: Arc<ChangeCounts>,
    /// It goes on from the plan before.
    is_kept: bool,
}

impl Gate {
    /// A gate for other tokens, which goes on counting.
    pub(in crate::server) fn with(&self, tokens: Option<(PathBuf, Arc<Current<Tokens>>)>) -> Self {
        Self { tokens, counts: Arc::clone(&self.counts), is_kept: false }
    }

    /// The same gate, if its tokens are those of this file.
    pub(in crate::server) fn kept(&self, file: &Path) -> Option<Self> {
        self.tokens.as_ref().filter(|(own, _)| own == file)?;
        Some(Self { is_kept: true, ..self.clone() })
    }

    /// Whether it goes on from the plan before.
    pub(in crate::server) const fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(in crate::server) fn counts(&self) -> Arc<ChangeCounts> {
        Arc::clone(&self.counts)
    }

    /// Refuses a request for `change` that does not come with a token; the refusal is the answer.
    pub(super) fn admit(
        &self,
        change: Change,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Option<Response<Bytes>> {
        let Some((_, tokens)) = &self.tokens else {
            self.note(change, Verdict::Forbidden, peer, "no token is configured");
            return Some(page(StatusCode::FORBIDDEN, PLAIN, FORBIDDEN));
        };
        // Of several fields, none counts.
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let token = fields.next().filter(|_| fields.next().is_none());
        let token = token.and_then(|field| bearer(field.as_bytes()));
        if token.is_some_and(|token| tokens.get().allow(token)) {
            return None;
        }
        let (what, challenge) = match token {
            Some(_) => ("wrong token", "Bearer realm=\"ringway admin\", error=\"invalid_token\""),
            None => ("no token", "Bearer realm=\"ringway admin\""),
        };
        self.note(change, Verdict::Unauthorized, peer, what);
        let mut refusal = page(StatusCode::UNAUTHORIZED, PLAIN, UNAUTHORIZED);
        refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        Some(refusal)
    }

    /// Counts what came of a request, and writes it to the log.
    pub(super) fn note(&self, change: Change, verdict: Verdict, peer: SocketAddr, what: &str) {
        self.counts.0[change as usize][verdict as usize].fetch_add(1, Ordering::Relaxed);
        let (change, verdict) = (change.name(), verdict.name());
        tracing::warn!(%peer, change, verdict, what, "admin interface: a change was asked for");
    }
}

const FORBIDDEN: &str = "nothing can be changed here, as no token is configured: set `token_file` \
    in [admin] to a file with a token\n(`openssl rand -hex 32`), and send it as \
    `Authorization: Bearer TOKEN`\n";
const UNAUTHORIZED: &str = "a change needs a token of the file `token_file` of [admin], sent as \
    `Authorization: Bearer TOKEN`\n";
