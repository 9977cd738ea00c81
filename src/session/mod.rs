//! Where transport and decisions meet: the connections of one worker.
//!
//! [`Sessions`] owns every connection as a slot, gives each completion to the slot that it is for,
//! and carries out what the services decide. This folder alone knows both sides.
//!
//! | file | job |
//! |---|---|
//! | `accept` | listeners, limits, handing connections to other workers, draining |
//! | `kind` | the kinds of sessions, and what is asked of each |
//! | `echo`, `relay`, `frame`, `messages` | connections of clients |
//! | `http` | HTTP: connections of either side, exchanges, files |
//! | `trunk` | connections to servers that many clients share |
//! | `socket_relay` | connections of WebSockets to servers |
//! | `actions` | what the pure engines decide, carried out |
//! | `offloaded` | what helper threads bring back |
//! | `resources` | folders, and where lines of access logs go |
//! | `exchangers` | the frame proxies |
//! | `lease` | numbers that something keeps while it is used |
//! | `deadline` | deadlines that move often |
//! | `io` | what every connection of a client has: its socket, and what is written to it |
//! | `common` | what every connection has: its number, its timer, its end |
//! | `context` | what connections share: reactor, pipes, upstreams, lists of work |
//! | `udp` | datagrams: listening sockets, echo, the flows of the proxy |
//! | `workers` | what workers see of each other |
//! | `write_buffer` | what a connection writes in a turn |
//! | `published` | what clusters have added to counters that they share |
//! | `stats`, `stats_http`, `stats_messages`, `stats_pool`, `stats_udp` | counters |
//! | `handshake` | what is before a session: PROXY protocol header, TLS handshake |
//! | `parting` | what is after one: a peer that was told why is given time to take that |
//! | `latency` | how long requests took |
//! | `failure` | which kind of failure a connect's error is |
//! | `options` | how all of this is set up |
//! | `plan` | what a worker works by: listeners, routes, upstreams |
//! | `arrival` | the client of a new connection, and whether it is admitted |
//! | `distribution` | durations by how long they were |
//! | `ejection` | what the log says of ejections |
//! | `replace` | another plan takes the place of the present one |

mod accept;
mod actions;
mod arrival;
mod calls;
mod common;
mod context;
mod deadline;
mod distribution;
mod echo;
mod ejection;
mod exchangers;
mod failure;
mod frame;
mod handshake;
mod http;
mod io;
mod kind;
mod latency;
mod lease;
mod messages;
mod offloaded;
mod options;
mod parting;
mod plan;
mod published;
mod relay;
mod replace;
mod resources;
mod socket_relay;
mod stats;
mod stats_http;
mod stats_messages;
mod stats_pool;
mod stats_udp;
mod stats_websocket;
pub mod topic_set;
mod topics;
mod trunk;
mod udp;
mod workers;
mod write_buffer;

// What `ringway check --budget` counts.
pub(crate) use frame::{ANSWERS_MAX, TRANSFERS_MAX};
pub(crate) use topics::PENDING_MAX;

use std::rc::Rc;
use std::time::Instant;

pub use self::calls::{Calls, MethodCalls};
pub use self::context::worker_seed;
pub use self::distribution::Distribution;
pub use self::http::Encoded;
pub use self::http::options as http_options;
pub use self::http::websocket as websocket_options;
pub use self::latency::{Latencies, LatencyPhase};
pub use self::lease::Lease;
pub use self::offloaded::{Finished, Verified};
pub use self::options::{
    DatagramOptions, DatagramService, DescriptorLimits, FrameOptions, HandlerFactory,
    ListenerOptions, RelayOptions, ServiceOptions, SessionOptions, SniOptions, TlsOptions,
    UpstreamOptions, UpstreamTls,
};
pub use self::plan::{FreshCluster, PlanOptions, Planned, PlannedUpstream, WorkerSettings};
pub use self::replace::{Replaced, cluster_seed};
pub use self::resources::{Folder, LineSink};
pub use self::stats::{
    CompressionStats, Counted, ErrorKind, FrameStats, Histograms, ListenerStats, RelayStats,
    SessionStats, TlsStats, UpstreamStats, WaitingStats,
};
pub use self::stats_http::{
    Http2Stats, HttpStats, OriginStats, RouteCounters, RouteStats, ServerCounters, ServerStats,
};
pub use self::stats_messages::MessageStats;
pub use self::stats_pool::PoolStats;
pub use self::stats_udp::{DatagramStats, DropReason};
pub use self::stats_websocket::SocketStats;
pub use self::workers::{WorkerCell, WorkerMessage, Workers};
#[cfg(feature = "load")]
pub(crate) use self::write_buffer::{WriteBuffer, Writer};

use self::accept::Listener;
use self::common::Common;
use self::context::Context;
use self::handshake::Handshake;
use self::http::shown;
use self::http::state::HttpState;
use self::kind::Session;
use self::parting::Parting;
use self::plan::ListenerPlan;
use self::published::Published;
use self::replace::Removal;
use self::udp::Datagrams;
use crate::mem::{Key, Slab};
use crate::net::Stream;
use crate::ring::{Completion, Driver, DriverError, Fd, Lane, Token, Verb};
use crate::runtime::Reactor;
use crate::service::CloseReason;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A connection's present deadline.
    Session(Key),
    /// An acceptor that failed may try again.
    Acceptor(u32),
    /// A frame proxy, by the number of its upstream, has something to do.
    Exchanger(u32),
    /// An exchange of HTTP has rested, or its time is over.
    Exchange(Key),
    /// Something is over with the connections of a cluster, by the number of its upstream.
    Cluster(u32),
    /// The lines of the access log have waited long enough.
    Lines,
    /// The oldest flow of a UDP listener may be idle.
    Flows(u32),
    /// A UDP socket that failed may try again.
    UdpListener(u32),
    /// The shutdown's time is over.
    Shutdown,
    /// The time of connections whose listeners were removed is over.
    Removal,
}

/// All connections of one worker.
#[derive(Debug)]
pub struct Sessions<D: Driver> {
    slab: Slab<Session>,
    listeners: Vec<Listener>,
    datagrams: Datagrams,
    context: Context<D>,
    /// Connections that received something in this turn.
    received: Vec<Key>,
    /// Connections that were worked on in this turn, and have not sent.
    worked: Vec<Key>,
    /// By slot: the turn in which it was worked on last, and who had it then.
    worked_in: Vec<(u32, u16)>,
    /// The number of the turn.
    turn: u32,
    draining: bool,
    /// The shutdown's time is over: what still comes is cut at once.
    cutting: bool,
    cut: u64,
    /// Connections are accepted: [`Sessions::start`] was called.
    started: bool,
    /// Connections of listeners that a reload has removed.
    removal: Removal,
}

impl<D: Driver> Sessions<D> {
    /// No connection yet. [`Sessions::start`] begins to accept.
    #[must_use]
    pub fn new(reactor: Reactor<D, Due>, mut options: SessionOptions) -> Self {
        let first = options.first_plan(reactor.now());
        let slab = Slab::with_limit(options.connections_max);
        let context = Context::new(reactor, options);
        let mut this = Self {
            slab,
            listeners: Vec::new(),
            datagrams: Datagrams::new(),
            context,
            received: Vec::new(),
            worked: Vec::new(),
            worked_in: Vec::new(),
            turn: 0,
            draining: false,
            cutting: false,
            cut: 0,
            started: false,
            removal: Removal::default(),
        };
        this.replace_plan(first);
        this
    }

    /// The reactor, for the worker's own operations and its loop.
    pub fn reactor(&mut self) -> &mut Reactor<D, Due> {
        &mut self.context.reactor
    }

    /// The two histograms so far.
    #[must_use]
    pub fn histograms(&self) -> &Histograms {
        &self.context.histograms
    }

    /// One turn: submit, wait and reap into `batch`. Does not wait while there is work left.
    ///
    /// # Errors
    /// Only when the driver is beyond use.
    pub fn wait(&mut self, batch: &mut Vec<Completion>) -> Result<(), DriverError> {
        let can_feed = !self.context.starved.is_empty() && self.context.reactor.free_buffers() > 0;
        let can_feed = can_feed || self.datagrams.can_feed(&self.context);
        let busy = can_feed || self.context.has_waiting() || self.context.unsettled;
        let busy = busy || self.context.http.has_work() || self.removal.is_busy();
        let busy = busy || self.context.http.has_closable_files();
        let busy = busy || self.context.topics.has_pending();
        self.context.reactor.turn(busy, batch)
    }

    /// Gives one completion to whom it is for.
    pub fn drive(&mut self, completion: Completion) {
        let Token { key, verb, .. } = completion.token;
        match verb {
            Verb::Accept => self.handle_accept(completion),
            Verb::Arrival => self.handle_arrival(completion),
            Verb::HandOff => self.handle_hand_off(completion),
            // Nobody waits for a close, and the mailbox is the worker's.
            Verb::Close | Verb::Wake => {}
            Verb::ReceiveFrom | Verb::CancelFrom => {
                self.datagrams.handle(&mut self.context, completion);
                if self.draining {
                    self.stop_accepting_if_drained();
                }
            }
            Verb::Receive
            | Verb::Send
            | Verb::Connect
            | Verb::PollIn
            | Verb::PollOut
            | Verb::Cancel
            | Verb::Read => {
                if matches!(verb, Verb::Receive | Verb::Read) && self.received.last() != Some(&key)
                {
                    self.received.push(key);
                }
                let Some(session) = self.slab.get_mut(key) else {
                    self.context.stats().stale.add(1);
                    return;
                };
                session.handle(&mut self.context, key, completion);
                let is_finished = session.is_finished();
                if self.context.opened.pop().is_some() {
                    self.serve_opened(key);
                    self.remove_if_finished(key);
                } else if is_finished {
                    self.remove_if_finished(key);
                }
            }
        }
    }

    /// A timer is due.
    pub fn timeout(&mut self, due: Due) {
        match due {
            Due::Session(key) => {
                if let Some(session) = self.slab.get_mut(key) {
                    session.handle_timeout(&mut self.context, key);
                }
                self.remove_if_finished(key);
            }
            Due::Acceptor(index) => self.retry_accept(index),
            Due::Exchange(exchange) => self.context.exchange_due(exchange),
            Due::Cluster(upstream) => self.context.expire_cluster(upstream as usize),
            Due::Lines => self.context.lines_due(),
            Due::Exchanger(upstream) => self.expire_exchanger(upstream as usize),
            Due::Flows(listener) => self.datagrams.expire(&mut self.context, listener),
            Due::UdpListener(number) => self.datagrams.retry(&mut self.context, number),
            Due::Shutdown => self.cut_all(),
            Due::Removal => self.removal_due(),
        }
    }

    /// Sends what the turn has queued: one send per connection, and all that follows from it.
    pub fn flush_dirty(&mut self) {
        self.context.refill_bulk();
        self.feed_starved();
        self.work();
        self.context.refill_bulk();
        self.transmit();
        self.context.count_exchanges();
        self.settle_exchangers();
        self.datagrams.flush(&mut self.context);
        self.hold_received();
        self.sweep();
    }

    /// First half of a turn's end: what one connection passes to another is worked on in the same
    /// turn, until nothing is left to do or the rounds are used up.
    fn work(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.context.take_turns();
        for _ in 0..ROUNDS_MAX {
            let mut dirty = std::mem::take(&mut self.context.flushing);
            std::mem::swap(&mut dirty, &mut self.context.dirty);
            for key in dirty.drain(..) {
                let Some(session) = self.slab.get_mut(key) else { continue };
                session.work(&mut self.context, key);
                if session.is_finished() {
                    self.remove_if_finished(key);
                } else {
                    self.note_worked(key);
                }
            }
            self.context.flushing = dirty;
            if self.context.http.has_work() {
                self.settle_proxy();
            }
            if self.context.topics.has_pending() {
                self.deliver_topics();
            }
            if self.context.dirty.is_empty() && !self.context.http.has_work() {
                break;
            }
        }
    }

    /// Second half: each connection that was worked on sends once.
    fn transmit(&mut self) {
        let mut worked = std::mem::take(&mut self.worked);
        for key in worked.drain(..) {
            let Some(session) = self.slab.get_mut(key) else { continue };
            session.transmit(&mut self.context, key);
            if session.is_finished() {
                self.remove_if_finished(key);
            }
        }
        self.worked = worked;
    }

    /// The end of a turn. Who waits holds nothing of the pool: what nobody has taken of what was
    /// received is gathered on the heap, whichever protocol it is, so that no number of peers that
    /// stall can keep the buffers from the others.
    fn hold_received(&mut self) {
        for key in self.received.drain(..) {
            if let Some(session) = self.slab.get_mut(key) {
                session.hold();
            }
        }
        let now = self.context.now();
        let HttpState { proxy, links, .. } = &mut self.context.http;
        proxy.hold(now);
        links.hold(proxy.budget_mut());
        let budget = self.context.http.proxy.budget();
        let stats = &self.context.stats().waiting;
        stats.bytes.set(budget.used() as u64);
        stats.limited.set(budget.limited());
        #[cfg(debug_assertions)]
        assert_eq!(self.context.reactor.stray_handles(), 0, "a queue holds a pool buffer");
    }

    /// A connection has something to send in this turn: it is noted once.
    fn note_worked(&mut self, key: Key) {
        let (at, now) = (key.index as usize, (self.turn, key.generation));
        if at >= self.worked_in.len() {
            self.worked_in.resize(at + 1, (self.turn.wrapping_sub(1), 0));
        }
        if std::mem::replace(&mut self.worked_in[at], now) != now {
            self.worked.push(key);
        }
    }

    fn flush_one(&mut self, key: Key) {
        if let Some(session) = self.slab.get_mut(key) {
            session.work(&mut self.context, key);
            session.transmit(&mut self.context, key);
        }
        self.remove_if_finished(key);
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is no connection and no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty() && self.datagrams.is_empty()
    }

    /// How many connections the shutdown's deadline has cut.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Pipes that are open.
    #[must_use]
    pub fn pipes_open(&self) -> usize {
        self.context.pipes.open()
    }

    /// Ends all connections that are left.
    pub fn cut_all(&mut self) {
        self.cutting = true;
        self.datagrams.end_all(&mut self.context);
        let keys: Vec<Key> = self.slab.keys().collect();
        for key in keys {
            if let Some(session) = self.slab.get_mut(key)
                && session.cut(&mut self.context, key)
            {
                self.cut += 1;
            }
            self.remove_if_finished(key);
        }
    }

    /// Brings the counters up to date that cost too much to be kept so in every turn.
    pub fn publish(&mut self) {
        self.context.topics.show();
        let now = self.context.now();
        let Context { http, plan, .. } = &mut self.context;
        for (upstream, cluster) in http.clusters.iter_mut() {
            let (stats, servers) = plan.upstreams.counted(upstream);
            let published = Published::of(&mut http.published, upstream);
            published.publish(cluster, stats, servers, now);
            let name = &plan.upstreams[upstream].name;
            shown::tell_ejections(cluster, (stats, servers), name);
        }
    }

    /// Checks what must always hold of exchanges; for tests, as it looks at everything.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_exchanges(&self) {
        self.context.http.proxy.check(&self.context.http.clusters);
    }

    /// Upstreams whose servers this worker has: those of the present plan, and those of earlier
    /// plans that something still uses.
    #[must_use]
    pub fn upstreams(&self) -> usize {
        self.context.plan.upstreams.len()
    }

    /// Closes what is left open when all connections have ended.
    pub fn finish(&mut self) {
        debug_assert!(self.context.http.is_idle(), "an exchange or a request outlives all");
        self.publish();
        self.context.flush_lines();
        self.context.close_files();
        let Context { pipes, reactor, .. } = &mut self.context;
        pipes.clear(reactor.driver());
    }

    /// Tells connections whose protocol knows an orderly end that it has come.
    pub(super) fn drain_sessions(&mut self) {
        let keys: Vec<Key> = self.slab.keys().collect();
        for key in keys {
            if let Some(session) = self.slab.get_mut(key) {
                session.drain(&mut self.context, key);
            }
        }
        for exchanger in self.context.exchangers.iter_mut().flatten() {
            exchanger.drain();
            self.context.unsettled = true;
        }
    }

    /// Arms the shutdown's deadline.
    pub fn arm_shutdown(&mut self, deadline: Instant) {
        self.context.reactor.arm(deadline, Due::Shutdown);
    }

    /// Makes a slot for an accepted connection and starts its service.
    fn open(&mut self, listener: &Rc<ListenerPlan>, socket: Fd) {
        let is_over = self.is_over(listener);
        let context = &mut self.context;
        if self.cutting {
            self.cut += 1;
            context.refuse(listener, socket, CloseReason::ShutdownTimeout);
            return;
        }
        if is_over {
            context.refuse(listener, socket, CloseReason::ShutdownTimeout);
            return;
        }
        let options = &listener.options;
        let has_header = options.accept_header;
        let handshakes = context.handshakes.get(listener.number()).copied().unwrap_or(0);
        if Handshake::most(options).is_some_and(|most| handshakes >= most) {
            context.refuse(listener, socket, CloseReason::TooManyHandshakes);
            return;
        }
        let is_opening = Handshake::is_needed(options);
        let mut arrival = match context.identify(listener, socket) {
            Ok(arrival) => arrival,
            Err(reason) => return context.refuse(listener, socket, reason),
        };
        // Behind a PROXY protocol header, the client is whom that names.
        if !has_header && let Err(reason) = context.admit(listener, &mut arrival) {
            return context.refuse(listener, socket, reason);
        }
        let common = Common::new(context, Rc::clone(listener));
        let stream = Stream::new(Lane::Client, Some(socket));
        let session = if is_opening {
            Session::Handshake(Box::new(Handshake::new(common, stream, arrival.clone())))
        } else {
            Session::serve(context, common, stream, &arrival)
        };
        let Ok(key) = self.slab.insert(session) else {
            context.dismiss(listener, &mut arrival);
            context.refuse(listener, socket, CloseReason::Resources);
            return;
        };
        listener.stats.active.increment();
        context.cell().active.increment();
        if let Some(session) = self.slab.get_mut(key) {
            session.start(context, key);
        }
        self.remove_if_finished(key);
    }

    fn remove_if_finished(&mut self, key: Key) {
        let finished = self.slab.get(key).is_some_and(Session::is_finished);
        if finished && let Some(session) = self.slab.remove(key) {
            session.finish(&mut self.context, key);
            while let Some(socket) = self.context.parted.pop() {
                self.part(socket);
            }
        }
    }

    /// Gives the peer of a connection that has ended time to take what it was told. Many of them
    /// take no place of others.
    fn part(&mut self, socket: Fd) {
        if self.cutting || self.context.partings >= PARTINGS_MAX {
            self.context.reactor.driver().close(socket);
            return;
        }
        match self.slab.insert(Session::Parting(Box::new(Parting::new(socket)))) {
            Ok(key) => {
                if let Some(session) = self.slab.get_mut(key) {
                    session.start(&mut self.context, key);
                }
            }
            Err(_full) => self.context.reactor.driver().close(socket),
        }
    }

    /// Lets as many starved connections receive again as there are free buffers.
    fn feed_starved(&mut self) {
        if self.context.starved.is_empty() {
            return;
        }
        for _ in 0..self.context.reactor.free_buffers() {
            let Some((key, lane)) = self.context.starved.pop_front() else {
                return;
            };
            if let Some(session) = self.slab.get_mut(key) {
                session.feed(&mut self.context, key, lane);
            }
        }
    }
}

/// Connections of a worker that have ended and whose peers are given time, at most: more are closed
/// at once.
pub(crate) const PARTINGS_MAX: usize = 512;

/// Rounds of one turn in which connections pass on what others have brought. What is left waits
/// for the next turn.
const ROUNDS_MAX: usize = 4;

/// The lane of every connection that was accepted.
const CLIENT: Lane = Lane::Client;
