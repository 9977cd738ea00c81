//! How HTTP listeners and upstreams are set up.

use std::sync::Arc;
use std::time::Duration;

use super::websocket::WebSocketOptions;
use crate::mem::Text;
use crate::proto::http::status::reason;
use crate::proto::http1::{HeadLimits, write};
use crate::proto::http2::{Limits, write_constant};
use crate::runtime::{Board, Current};
pub use crate::service::cluster::{ClusterOptions, HashOn, HostHeader, ServerProtocol};
use crate::service::grpc;
use crate::service::http::access::AccessList;
use crate::service::http::access_log::Format;
use crate::service::http::auth::Users;
use crate::service::http::compression::CompressionRules;
use crate::service::http::edit::HeaderEdits;
use crate::service::http::files::FileRules;
use crate::service::http::files::attempt::Attempt;
use crate::service::http::files::types::ContentTypes;
pub use crate::service::http::forwarded::{Forwarded, TrustedProxies};
use crate::service::http::route::Rewrite;
use crate::service::http::route::Router;
use crate::service::http::template::Template;
use crate::service::proxy::http::InspectRules;
use crate::session::lease::Lease;
use crate::session::resources::{Folder, LineSink};
use crate::session::stats_http::{RouteCounters, RouteStats};
use crate::session::stats_websocket::SocketStats;
use crate::session::topic_set::TopicSet;

/// A listener of HTTP.
#[derive(Debug)]
pub struct HttpOptions {
    /// Finds the route of a request.
    pub router: Router,
    /// What is done with requests, in the order of the router's routes.
    pub routes: Vec<RouteOptions>,
    /// What the head of a request may have.
    pub limits: HeadLimits,
    /// What a connection of HTTP/2 may have, if that is spoken.
    pub http2: Option<Limits>,
    /// Bytes of a request's body at most, where a route does not say otherwise.
    pub body_max: u64,
    /// How long a head may take from its first byte on.
    pub head_timeout: Duration,
    /// How long no byte of a body may come.
    pub body_timeout: Duration,
    /// Bytes a second that a body has to bring, beyond the first `body_timeout`.
    pub body_rate_min: Option<u32>,
    /// How long a client may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// Bytes a second that a client has to take while some wait for it, beyond the first
    /// `write_timeout`.
    pub write_rate_min: Option<u32>,
    /// How long a connection may be idle between two requests.
    pub keepalive_timeout: Duration,
    /// Requests of one connection.
    pub keepalive_requests: u32,
    /// How old a connection may be to get further requests, a tenth more or less.
    pub keepalive_max_age: Option<Duration>,
    /// What becomes of an exchange whose client ends its side.
    pub half_close: HalfClose,
    /// The value of the `server` field of our own answers.
    pub server: Option<Box<str>>,
    /// Whether answers tell by `x-ringway-reason` which failure they stand for.
    pub reason_header: bool,
    /// Whether servers are told of the client.
    pub forwarded: Forwarded,
    /// Peers whose word on the client is believed.
    pub trusted_proxies: TrustedProxies,
    /// The field with a number for each request, in lower case.
    pub request_id: Option<Box<str>>,
    /// Connections at a time from one source.
    pub source_connections_max: Option<u32>,
    /// Who may connect.
    pub access: AccessList,
    /// The line of each request, and where it goes.
    pub access_log: Option<AccessLogOptions>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Whether anything here goes by the client's address.
    pub needs_source: bool,
    /// The numbers of the upstreams that its routes go to, each once.
    pub upstreams: Box<[usize]>,
}

impl HttpOptions {
    /// The topics of its routes.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicSet>> {
        self.routes.iter().filter_map(|route| route.action.websocket()?.service.topics())
    }
}

/// What becomes of an exchange with a server when the client ends its side of the connection. That
/// end looks the same whether the client still reads or has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClose {
    /// A client that said that its connection ends behind the answer still reads; others are gone.
    Auto,
    /// It still reads.
    Allow,
    /// It is gone.
    Refuse,
}

/// An access log.
#[derive(Debug)]
pub struct AccessLogOptions {
    /// How a line looks.
    pub format: Format,
    /// Where it goes.
    pub sink: LineSink,
}

/// A route.
#[derive(Debug)]
pub struct RouteOptions {
    /// Its name, in logs and metrics.
    pub name: Box<str>,
    /// What is counted of it; with them goes its number.
    pub counters: Arc<RouteCounters>,
    /// The name of the upstream, of a proxy.
    pub upstream_name: Option<Box<str>>,
    /// What is done.
    pub action: RouteAction,
    /// Changes to the fields of requests.
    pub request_edits: HeaderEdits,
    /// Changes to the fields of answers.
    pub response_edits: HeaderEdits,
    /// Bytes of a request's body at most.
    pub body_max: u64,
    /// How long a request may take in all.
    pub total_timeout: Option<Duration>,
    /// Calls of browsers are translated.
    pub grpc_web: bool,
    /// Bytes of a message of gRPC at most, either way.
    pub grpc_message_max: Option<u32>,
    /// Who may ask.
    pub access: AccessList,
    /// How often one may ask.
    pub rate_limit: Option<RateLimitOptions>,
    /// Who may ask, with a password.
    pub auth: Option<Arc<AuthOptions>>,
    /// Which answers are compressed.
    pub compression: Option<CompressionRules>,
}

impl RouteOptions {
    /// What a worker counts of its WebSockets.
    pub(in crate::session) fn sockets(&self, worker: usize) -> Option<&SocketStats> {
        self.counters.of(worker).map(RouteStats::sockets)
    }

    /// Whether anything here may go by the client's address, or tell it.
    #[must_use]
    pub fn needs_source(&self) -> bool {
        let is_told = match &self.action {
            RouteAction::Redirect { location, .. } => !location.is_constant(),
            RouteAction::Proxy(_) | RouteAction::Handler(_) | RouteAction::WebSocket(_) => true,
            RouteAction::Respond(_)
            | RouteAction::Echo
            | RouteAction::StatusPage
            | RouteAction::WebSocketPage
            | RouteAction::Files(_) => false,
        };
        let has_edits = !self.request_edits.is_empty() || !self.response_edits.is_empty();
        let is_limited = self.rate_limit.is_some() || !self.access.is_open();
        is_told || has_edits || is_limited || self.auth.is_some()
    }
}

/// How often a client may ask.
#[derive(Debug, Clone)]
pub struct RateLimitOptions {
    /// Requests a second.
    pub rate: u32,
    /// Requests at once.
    pub burst: u32,
    /// Clients that are told apart.
    pub entries_max: usize,
    /// The field that tells clients apart; without one, their address does.
    pub header: Option<Box<str>>,
    /// What workers show each other of it. It stands for the limit: a reload that does not change
    /// the limit leaves it in its place.
    pub shown: Arc<LimitBoards>,
}

/// When the buckets of a rate limit are full again, as each worker shows the others.
#[derive(Debug, Default)]
pub struct LimitBoards(Box<[Board]>);

impl LimitBoards {
    /// Boards for so many workers and buckets. A lone worker has nobody to show them to.
    #[must_use]
    pub fn new(workers: usize, buckets: usize) -> Self {
        let boards = if workers > 1 { workers } else { 0 };
        Self((0..boards).map(|_| Board::new(buckets)).collect())
    }

    /// Those of the workers, in their order; none of a lone one.
    pub(in crate::session) const fn boards(&self) -> &[Board] {
        &self.0
    }
}

/// Basic authentication.
#[derive(Debug)]
pub struct AuthOptions {
    /// What the users are asked to log in to: the `www-authenticate` field.
    pub challenge: Box<str>,
    /// Who may.
    pub users: Current<Users>,
}

/// What is done with a request.
#[derive(Debug)]
pub enum RouteAction {
    /// Always the same answer.
    Respond(FixedAnswer),
    /// The client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: Template,
    },
    /// The request's body comes back, or its head if it has none.
    Echo,
    /// A page that shows what runs.
    StatusPage,
    /// A page that tries the endpoints of WebSockets below it.
    WebSocketPage,
    /// A file.
    Files(Box<FilesOptions>),
    /// A server answers.
    Proxy(ProxyOptions),
    /// A handler of the program answers.
    Handler(HandlerOptions),
    /// An endpoint of WebSockets answers.
    WebSocket(Box<WebSocketOptions>),
}

impl RouteAction {
    /// The endpoint of WebSockets, if it is one.
    #[must_use]
    pub const fn websocket(&self) -> Option<&WebSocketOptions> {
        let Self::WebSocket(options) = self else { return None };
        Some(options)
    }

    /// Whether it is a proxy that looks at the frames of WebSockets.
    #[must_use]
    pub const fn inspects(&self) -> bool {
        matches!(self, Self::Proxy(ProxyOptions { inspect: Some(_), .. }))
    }

    /// Whether WebSockets are counted.
    #[must_use]
    pub const fn counts_sockets(&self) -> bool {
        self.websocket().is_some() || self.inspects()
    }
}

/// A handler of the program.
#[derive(Debug)]
pub struct HandlerOptions {
    /// Its place among them.
    pub(super) place: usize,
    /// The head of an answer to a call of gRPC that says nothing else, as HTTP/2 has it.
    pub(super) call_head: Box<[u8]>,
}

impl HandlerOptions {
    /// The handler at a place. `server` is what the listener says of itself.
    #[must_use]
    pub fn new(place: usize, server: Option<&str>) -> Self {
        let server = server.map(|server| ("server", server.as_bytes()));
        let fields = server.into_iter().chain([("content-type", grpc::CONTENT_TYPE)]);
        let mut call_head = Vec::new();
        write_constant(200, &fields.collect::<Vec<_>>(), &mut call_head);
        Self { place, call_head: call_head.into() }
    }
}

/// An answer that is always the same.
#[derive(Debug)]
pub struct FixedAnswer {
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: Box<str>,
    /// Its body.
    pub body: Text,
    /// Its head as HTTP/1.1 writes it, but for the date and what is about the connection.
    head: Box<[u8]>,
    /// The same as HTTP/2 has it.
    block: Box<[u8]>,
}

impl FixedAnswer {
    /// An answer with this body. `server` is what the listener says of itself.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: &[u8], server: Option<&str>) -> Self {
        let mut head = Vec::new();
        write::status_line(status, reason(status), &mut head);
        if let Some(server) = server {
            write::field(b"server", server.as_bytes(), &mut head);
        }
        write::field(b"content-type", content_type.as_bytes(), &mut head);
        write::length(body.len() as u64, &mut head);
        let length = body.len().to_string();
        let server = server.map(|server| ("server", server.as_bytes()));
        let fields =
            [("content-type", content_type.as_bytes()), ("content-length", length.as_bytes())];
        let fields: Vec<(&str, &[u8])> = server.into_iter().chain(fields).collect();
        let mut block = Vec::new();
        write_constant(status, &fields, &mut block);
        Self {
            status,
            content_type: content_type.into(),
            body: body.into(),
            head: head.into(),
            block: block.into(),
        }
    }

    /// Its head as HTTP/1.1 writes it, but for the date and what is about the connection.
    pub(super) const fn head(&self) -> &[u8] {
        &self.head
    }

    /// The same as HTTP/2 has it.
    pub(super) const fn block(&self) -> &[u8] {
        &self.block
    }
}

/// Static files.
#[derive(Debug)]
pub struct FilesOptions {
    /// The folder below which they lie.
    pub root: Arc<Folder>,
    /// What may be asked for, and how it is answered.
    pub rules: FileRules,
    /// The prefix of the route's paths, if it ends with `/`.
    pub below: Option<Box<str>>,
    /// Names that stand for a folder.
    pub index: Vec<String>,
    /// What is tried for a request; the first that is there is given.
    pub attempts: Vec<Attempt>,
    /// Content types.
    pub types: Arc<ContentTypes>,
    /// Whether folders are listed.
    pub listing: bool,
    /// Whether symbolic links are followed, as long as they stay below the root.
    pub follow_symlinks: bool,
    /// How the path is changed before it is used.
    pub rewrite: Option<Rewrite>,
    /// Files that are kept open by one worker.
    pub cache_entries: usize,
    /// How long a file is not looked at again.
    pub cache_ttl: Duration,
    /// Files up to so many bytes are kept in memory.
    pub small_max: u64,
    /// Pages for statuses, by name below the root.
    pub error_pages: Vec<(u16, String)>,
    /// The number of what is kept open of the folder.
    pub cache: Lease,
}

impl FilesOptions {
    /// Whether a path is not below the route's prefix: it lacks the `/` at its end.
    #[must_use]
    pub fn is_outside(&self, path: &str) -> bool {
        self.below.as_ref().is_some_and(|prefix| !path.starts_with(&**prefix))
    }
}

/// A reverse proxy.
#[derive(Debug)]
pub struct ProxyOptions {
    /// The upstream's number.
    pub upstream: usize,
    /// How the path is changed before it is used.
    pub rewrite: Option<Rewrite>,
    /// What the frames of WebSockets may be, where they are looked at.
    pub inspect: Option<InspectRules>,
}
