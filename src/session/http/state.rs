//! What the exchanges of a worker share.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Exchange;
use super::cache::FileCache;
use super::limits::seed_of;
use super::options::HttpOptions;
use super::verify::Checks;
use crate::mem::{FreeList, Key, Pages, Scratch, Slab};
use crate::proto::http::{RequestHead, ResponseHead};
use crate::proto::http1::Offence;
use crate::ring::Driver;
use crate::runtime::{Reactor, TimerId};
use crate::service::cluster::Cluster;
use crate::service::http::auth::VerifiedCache;
use crate::service::http::limit::{Concurrency, RateLimiter};
use crate::session::SessionOptions;
use crate::session::context::Context;
use crate::session::options::ServiceOptions;

/// Heads that are kept to be used again.
const SPARE_MAX: usize = 256;
/// Bytes of a head that is kept.
const SPARE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a file name that are kept for the next one.
const NAME_BYTES_MAX: usize = 16 * 1024;
/// Exchanges at a time: more than there are connections to carry them.
const EXCHANGES_MAX: u32 = 1 << 20;
/// How long a password that was checked is not checked again.
const VERIFIED_FOR: Duration = Duration::from_secs(300);
/// Passwords that are remembered as checked.
const VERIFIED_MAX: usize = 4096;

/// What is told of a request when it is over.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// When its head had come.
    pub(super) began: Instant,
    /// Who it is from, if that is known; the port is 0 where only the address is.
    pub(super) source: Option<SocketAddr>,
    /// Its route's place among those of the listener.
    pub(super) route: Option<usize>,
    /// Bytes that came.
    pub(super) received: u64,
    /// Bytes of the answer.
    pub(super) sent: u64,
    /// The answer's status; 0 until there is one.
    pub(super) status: u16,
    /// What went wrong, if anything did.
    pub(super) reason: Option<&'static str>,
    /// The upstream and its server that answered, or were to.
    pub(super) upstream: Option<(usize, Option<usize>)>,
    /// How long it waited for a connection.
    pub(super) queued: Option<Duration>,
    /// How long the connection took that it waited for.
    pub(super) connect: Option<Duration>,
    /// How long the head of the answer took.
    pub(super) first_byte: Option<Duration>,
    /// How long it took until the server had answered.
    pub(super) answered: Option<Duration>,
    /// Tries of servers.
    pub(super) tries: u32,
    /// The number of the request, if it has one.
    pub(super) request_id: u64,
    /// The user that it was allowed for.
    pub(super) user: Option<Box<str>>,
    /// What came, if it was refused before it was understood.
    pub(super) offence: Option<Box<Offence>>,
}

impl Told {
    pub(super) const fn new(
        began: Instant,
        source: Option<SocketAddr>,
        route: Option<usize>,
        received: usize,
    ) -> Self {
        Self {
            began,
            source,
            route,
            received: received as u64,
            sent: 0,
            status: 0,
            reason: None,
            upstream: None,
            queued: None,
            connect: None,
            answered: None,
            first_byte: None,
            tries: 0,
            request_id: 0,
            user: None,
            offence: None,
        }
    }

    /// The address that it is from.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip().to_canonical())
    }
}

/// What an answer is written with.
#[derive(Debug)]
pub(super) struct Output<'a> {
    pub(super) pages: &'a mut Pages,
    pub(super) date: &'a [u8],
}

/// What the loop has to do for exchanges, between two flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum HttpAction {
    /// A connection to a server is needed.
    Open { upstream: usize, server: usize },
    /// A connection carries an exchange from now on.
    Assign { origin: Key, exchange: Key },
    /// A connection to a server is of no more use.
    Close { origin: Key },
    /// A connection has something to do.
    Wake { connection: Key },
    /// Another worker may lend a place for a connection.
    Ask { upstream: usize, to: usize },
    /// Both connections of an exchange become one relay.
    Join { exchange: Key, origin: Key },
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
    pub(super) exchanges: Slab<Exchange>,
    /// Exchanges that parts of a body came for in this turn.
    pub(super) filled: Vec<Key>,
    pub(super) spare_heads: FreeList<RequestHead>,
    pub(super) spare_answers: FreeList<ResponseHead>,
    /// The name of the file that is looked for.
    pub(super) name: Scratch<String>,
    /// The servers of the upstreams and the connections to them, whatever protocols use them.
    pub(in crate::session) clusters: Vec<Option<Cluster>>,
    /// The timer of each, and when it fires.
    pub(super) cluster_timers: Vec<Option<(TimerId, Instant)>>,
    pub(in crate::session) actions: Vec<HttpAction>,
    /// The other list, while it is worked off.
    pub(in crate::session) acting: Vec<HttpAction>,
    pub(super) date: DateText,
    /// By the number of the route.
    pub(super) limiters: Vec<Option<RateLimiter>>,
    pub(in crate::session) sources: Concurrency,
    pub(super) verified: VerifiedCache,
    /// Passwords that are being checked.
    pub(super) checks: Checks,
    /// By the number of the folder.
    pub(super) caches: Vec<FileCache>,
    /// Lines for each file of the access log.
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) lines_armed: bool,
    pub(super) last_request: u64,
}

impl HttpState {
    pub(in crate::session) fn new(options: &SessionOptions, seed: u64, now: Instant) -> Self {
        let services = options.listeners.iter().filter_map(|listener| match &listener.service {
            ServiceOptions::Http(http) => Some(http.as_ref()),
            ServiceOptions::Echo
            | ServiceOptions::Tcp { .. }
            | ServiceOptions::Sni(_)
            | ServiceOptions::Messages { .. }
            | ServiceOptions::Frame(_)
            | ServiceOptions::FrameProxy { .. } => None,
        });
        let routes = services.clone().flat_map(|http: &HttpOptions| &http.routes);
        let mut limiters = Vec::new();
        for route in routes.clone() {
            limiters.push(route.rate_limit.as_ref().map(|limit| {
                // The same for all workers.
                let seed = seed_of(options.seed, route.number);
                RateLimiter::new(limit.rate, limit.burst, limit.entries_max, seed)
            }));
        }
        let workers = (options.worker, options.fleet.cells().len());
        let clusters = options.upstreams.iter().enumerate().map(|(upstream, one)| {
            Some(Cluster::new(&one.cluster, workers, seed_of(seed, upstream), now))
        });
        let fd_max = options.descriptors.pause;
        Self {
            exchanges: Slab::with_limit(EXCHANGES_MAX),
            filled: Vec::new(),
            spare_heads: FreeList::new(SPARE_MAX, SPARE_BYTES_MAX),
            spare_answers: FreeList::new(SPARE_MAX, SPARE_BYTES_MAX),
            name: Scratch::new(NAME_BYTES_MAX),
            clusters: clusters.collect(),
            cluster_timers: options.upstreams.iter().map(|_| None).collect(),
            actions: Vec::new(),
            acting: Vec::new(),
            date: DateText { text: String::new(), until: None },
            limiters,
            sources: Concurrency::default(),
            checks: Checks::default(),
            verified: VerifiedCache::new(VERIFIED_MAX, VERIFIED_FOR, seed),
            caches: routes.filter_map(|route| FileCache::for_route(route, fd_max)).collect(),
            lines: vec![Vec::new(); options.access_sinks.len()],
            lines_armed: false,
            last_request: 0,
        }
    }

    /// Descriptors are short: files that are only kept for the next request are closed.
    pub(in crate::session) fn shed_files<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
    ) {
        self.caches.iter_mut().for_each(|cache| cache.shed(reactor));
    }

    /// The servers of an upstream and the connections to them.
    ///
    /// # Panics
    /// When there is no such upstream: numbers of upstreams come from the configuration.
    pub(in crate::session) fn cluster(&mut self, upstream: usize) -> &mut Cluster {
        let cluster = self.clusters.get_mut(upstream).and_then(Option::as_mut);
        cluster.expect("an upstream of the configuration")
    }
}

impl<D: Driver> Context<D> {
    /// Closes the files that are kept open, at the end.
    pub(in crate::session) fn close_files(&mut self) {
        let Self { http, reactor, .. } = self;
        http.caches.iter_mut().for_each(|cache| cache.close(reactor));
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
