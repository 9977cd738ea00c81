//! What the exchanges of a worker share.

use std::time::{Duration, Instant};

use super::cache::FileCaches;
use super::checks::Checks;
use super::deflate::Compression;
use super::handlers::Handlers;
use super::limiters::Limiters;
use super::lines::LogLines;
use super::links::Links;
use super::timers::ExchangeTimers;
use super::waiting::Waiting;
use crate::mem::{FreeList, Key, Pages, Scratch};
use crate::proto::http::{RequestHead, ResponseHead};
use crate::proto::http2::Workspace;
use crate::ring::Driver;
use crate::runtime::{Reactor, TimerId};
use crate::service::cluster::{Cluster, Clusters};
use crate::service::http::auth::VerifiedCache;
use crate::service::http::limit::Concurrency;
use crate::service::proxy::http::{HttpProxy, ProxyAction};
use crate::session::offloaded::Verified;
use crate::session::options::SessionOptions;
use crate::session::published::Published;

/// Heads that are kept to be used again.
const SPARE_MAX: usize = 256;
/// Bytes of a head that is kept.
const SPARE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a file name that are kept for the next one.
const NAME_BYTES_MAX: usize = 16 * 1024;
/// How long a password that was checked is not checked again.
const VERIFIED_FOR: Duration = Duration::from_secs(300);
/// Passwords that are remembered as checked.
const VERIFIED_MAX: usize = 4096;

/// What an answer is written with.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) pages: &'a mut Pages,
    pub(super) date: &'a [u8],
}

/// The beginning of the date field's line.
pub(super) const DATE: &str = "date: ";

/// The date field, made once a second.
#[derive(Debug)]
pub(super) struct DateText {
    /// The whole field, as a line.
    pub(super) line: String,
    /// The whole field as HTTP/2 has it.
    pub(super) block: Vec<u8>,
    pub(super) until: Option<Instant>,
}

impl DateText {
    pub(super) fn text(&self) -> &[u8] {
        let value = self.line.strip_prefix(DATE).and_then(|line| line.strip_suffix("\r\n"));
        value.unwrap_or_default().as_bytes()
    }

    /// The whole field, as HTTP/1.1 writes it.
    pub(super) fn line(&self) -> &[u8] {
        self.line.as_bytes()
    }
}

/// The exchanges of a worker and what they share.
#[derive(Debug)]
pub(in crate::session) struct HttpState {
    /// The exchanges with servers, and what is decided of them.
    pub(in crate::session) proxy: HttpProxy,
    /// The servers, by upstream.
    pub(in crate::session) clusters: Clusters,
    /// What was shown of them.
    pub(in crate::session) published: Vec<Published>,
    /// The timer of each, and when it fires.
    pub(super) cluster_timers: Vec<Option<(TimerId, Instant)>>,
    /// The timers of exchanges that no server's connection keeps the time of.
    pub(super) exchange_timers: ExchangeTimers,
    /// What the proxy wants done, while it is done.
    pub(in crate::session) acting: Vec<ProxyAction>,
    /// Exchanges whose two connections become a tunnel, with those to their servers.
    pub(in crate::session) tunnels: Vec<(Key, Key)>,
    /// WebSockets and their connections to servers.
    pub(in crate::session) links: Links,
    pub(super) spare_heads: FreeList<RequestHead>,
    pub(super) spare_answers: FreeList<ResponseHead>,
    /// The name of the file that is looked for.
    pub(super) name: Scratch<String>,
    pub(super) date: DateText,
    /// By the number of the route.
    pub(super) limiters: Limiters,
    pub(in crate::session) sources: Concurrency,
    pub(super) verified: VerifiedCache,
    /// Requests that others do something for.
    pub(in crate::session) waiting: Waiting,
    /// Passwords that are being checked.
    pub(super) checks: Checks,
    /// By the number of the folder.
    pub(super) caches: FileCaches,
    /// Lines of access logs that wait.
    pub(super) lines: LogLines,
    pub(super) last_request: u64,
    /// The program's handlers.
    pub(super) handlers: Handlers,
    /// Frames of a WebSocket that are written to a stream of HTTP/2.
    pub(super) frames: Vec<u8>,
    /// What messages of WebSockets are compressed with.
    pub(super) compression: Compression,
    /// What heads of HTTP/2 are read with.
    pub(super) workspace: Workspace,
}

impl HttpState {
    pub(in crate::session) fn new(options: &SessionOptions, seed: u64) -> Self {
        Self {
            proxy: HttpProxy::new(0),
            clusters: Clusters::new(Vec::new()),
            published: Vec::new(),
            cluster_timers: Vec::new(),
            exchange_timers: ExchangeTimers::default(),
            acting: Vec::new(),
            tunnels: Vec::new(),
            links: Links::default(),
            spare_heads: FreeList::new(SPARE_MAX, SPARE_BYTES_MAX),
            spare_answers: FreeList::new(SPARE_MAX, SPARE_BYTES_MAX),
            name: Scratch::new(NAME_BYTES_MAX),
            date: DateText { line: String::new(), block: Vec::new(), until: None },
            limiters: Limiters::default(),
            sources: Concurrency::default(),
            waiting: Waiting::default(),
            checks: Checks::default(),
            verified: VerifiedCache::new(VERIFIED_MAX, VERIFIED_FOR, seed),
            caches: FileCaches::new(options.descriptors.pause),
            lines: LogLines::default(),
            last_request: 0,
            handlers: Handlers::new(options),
            frames: Vec::new(),
            compression: Compression::new(options.websocket_takeover_memory),
            workspace: Workspace::default(),
        }
    }

    /// The requests of which handlers have said more.
    pub(in crate::session) fn take_answered(&self) -> Vec<Key> {
        self.handlers.take_answered()
    }

    /// Whether no request is under way.
    pub(in crate::session) fn is_idle(&self) -> bool {
        self.proxy.is_empty() && self.waiting.is_empty() && self.links.is_empty()
    }

    /// Whether something is to be carried out.
    pub(in crate::session) const fn has_work(&self) -> bool {
        self.proxy.has_actions() || !self.tunnels.is_empty() || self.links.has_wishes()
    }

    /// Descriptors are short: files that are only kept for the next request are closed.
    pub(in crate::session) fn shed_files<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
    ) {
        self.caches.shed(reactor);
    }

    /// The number of a route has another owner: what was kept for it is dropped.
    pub(in crate::session) fn forget_route(&mut self, route: usize) {
        self.limiters.forget(route);
    }

    /// The servers of an upstream come.
    pub(in crate::session) fn add_cluster(&mut self, upstream: usize, cluster: Cluster) {
        self.proxy.ensure(upstream);
        self.clusters.insert(upstream, cluster);
        if upstream >= self.cluster_timers.len() {
            self.cluster_timers.resize_with(upstream + 1, || None);
        }
    }

    /// Whether files are still open of folders that no route has any more.
    pub(in crate::session) const fn has_leaving_files(&self) -> bool {
        self.caches.has_leaving()
    }

    /// Whether some of them are to be closed in the next turn.
    pub(in crate::session) fn has_closable_files(&self) -> bool {
        self.caches.has_closable()
    }

    /// The servers of an upstream and the connections to them.
    pub(in crate::session) fn cluster(&mut self, upstream: usize) -> &mut Cluster {
        self.clusters.get(upstream)
    }

    /// A password was checked: the requests that wait for that.
    pub(in crate::session) fn checked(&mut self, verified: &Verified) -> Vec<Key> {
        self.checks.end(verified)
    }
}
