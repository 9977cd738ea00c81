//! What the exchanges of a worker share.

use std::time::{Duration, Instant, UNIX_EPOCH};

use super::cache::FileCaches;
use super::exchanges::ExchangeTimers;
use super::limits::Limiters;
use super::log::LogLines;
use super::request::Waiting;
use super::verify::Checks;
use crate::mem::{FreeList, Key, Pages, Scratch};
use crate::proto::http::{RequestHead, ResponseHead};
use crate::ring::Driver;
use crate::runtime::{Reactor, TimerId};
use crate::service::cluster::{Cluster, Clusters};
use crate::service::http::auth::VerifiedCache;
use crate::service::http::limit::Concurrency;
use crate::service::proxy::http::{HttpProxy, ProxyAction};
use crate::session::SessionOptions;
use crate::session::context::Context;
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

/// The date field's value, made once a second.
#[derive(Debug)]
pub(super) struct DateText {
    text: String,
    until: Option<Instant>,
}

impl DateText {
    pub(super) fn text(&self) -> &[u8] {
        self.text.as_bytes()
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
            spare_heads: FreeList::new(SPARE_MAX, SPARE_BYTES_MAX),
            spare_answers: FreeList::new(SPARE_MAX, SPARE_BYTES_MAX),
            name: Scratch::new(NAME_BYTES_MAX),
            date: DateText { text: String::new(), until: None },
            limiters: Limiters::default(),
            sources: Concurrency::default(),
            waiting: Waiting::default(),
            checks: Checks::default(),
            verified: VerifiedCache::new(VERIFIED_MAX, VERIFIED_FOR, seed),
            caches: FileCaches::new(options.descriptors.pause),
            lines: LogLines::default(),
            last_request: 0,
        }
    }

    /// Whether no request is under way.
    pub(in crate::session) fn is_idle(&self) -> bool {
        self.proxy.is_empty() && self.waiting.is_empty()
    }

    /// Whether something is to be carried out.
    pub(in crate::session) const fn has_work(&self) -> bool {
        self.proxy.has_actions() || !self.tunnels.is_empty()
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
}

impl<D: Driver> Context<D> {
    /// Keeps files of these folders only.
    pub(in crate::session) fn keep_folders(&mut self, folders: &[usize]) {
        let Self { http, reactor, .. } = self;
        http.caches.keep(reactor, folders);
    }

    /// Closes files that were being sent when their folders went.
    pub(in crate::session) fn close_leaving_files(&mut self) {
        let Self { http, reactor, .. } = self;
        http.caches.close_leaving(reactor);
    }

    /// The servers of an upstream go: nothing uses them any more.
    pub(in crate::session) fn take_cluster(&mut self, upstream: usize) -> Option<Cluster> {
        if let Some((timer, _)) = self.http.cluster_timers[upstream].take() {
            self.reactor.disarm(timer);
        }
        self.http.clusters.remove(upstream)
    }

    /// Closes the files that are kept open, at the end.
    pub(in crate::session) fn close_files(&mut self) {
        let Self { http, reactor, .. } = self;
        http.caches.close(reactor);
    }

    /// Makes the date anew when a second is over.
    pub(super) fn refresh_date(&mut self) {
        let now = self.now();
        if self.http.date.until.is_some_and(|until| now < until) {
            return;
        }
        let unix = self.unix_time();
        let part = Duration::from_nanos(u64::from(unix.subsec_nanos()));
        let date = &mut self.http.date;
        date.until = Some(now + Duration::from_secs(1).saturating_sub(part));
        let text = httpdate::fmt_http_date(UNIX_EPOCH + unix);
        date.text.clear();
        date.text.push_str(&text);
    }
}
