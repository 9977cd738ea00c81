//! What the connections of a worker share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::http::{shown, state::HttpState};
use super::options::Speaks;
use super::plan::{ListenerPlan, Plan};
use super::stats::ErrorKind;
use super::topics::Topics;
use super::{Due, Histograms, SessionOptions, SessionStats, UpstreamStats, WorkerCell};
use crate::mem::{Key, Pages, Scratch};
use crate::net::{PipePool, Stream};
use crate::ring::{Driver, Fd, Lane, SocketAddress};
use crate::runtime::{Budget, Reactor, TimerId};
use crate::service::CloseReason;
use crate::service::cluster::Cluster;
use crate::service::handler::{Contained, Handler};
use crate::service::messages::Messages;
use crate::service::proxy::{Exchanger, FrameAction};

/// Least time between two warnings of the same kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of an answer whose memory is kept for the next one.
const ANSWERS_BYTES_MAX: usize = 1 << 20;

/// So many flows may each move all of `turn_budget` in each half of a turn. The others take their
/// turns in the next ones, so that a turn does not grow with the number of bulk flows. Each half
/// has its own shares: files are sent in the first, relays splice in the second.
const BULK_SHARES: usize = 2;

/// What the jitter of retries begins with. Any number will do: it spreads what fails together.
pub(super) const JITTER_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Reactor, pipes, upstreams, and the lists of connections that have work.
#[derive(Debug)]
pub(super) struct Context<D> {
    pub(super) reactor: Reactor<D, Due>,
    pub(super) pipes: PipePool,
    pub(super) pages: Pages,
    /// What a program adds to the built-in services.
    pub(super) handler: Box<dyn Handler>,
    /// The frame proxies, by upstream.
    pub(super) exchangers: Vec<Option<Exchanger>>,
    /// The timer of each, and when it fires.
    pub(super) exchanger_timers: Vec<Option<(TimerId, Instant)>>,
    /// They have to be asked again at once.
    pub(super) unsettled: bool,
    /// What they want done, while it is done.
    pub(super) frame_actions: Vec<FrameAction>,
    /// Connections to be flushed at the end of the turn.
    pub(super) dirty: Vec<Key>,
    /// Connections that found the turn's bulk used up, and moved nothing: first in the next turn.
    pub(super) unserved: Vec<Key>,
    /// Connections that have used up their share of this turn: they come after those.
    pub(super) postponed: Vec<Key>,
    /// Bytes that bulk may still move in this half of the turn, of all connections together.
    pub(super) bulk: Budget,
    /// The other list, to be swapped with `dirty` while it is worked off.
    pub(super) flushing: Vec<Key>,
    /// Receives that found no buffer.
    pub(super) starved: VecDeque<(Key, Lane)>,
    pub(super) histograms: Histograms,
    /// What the worker is set up with, but for its plan.
    pub(super) options: SessionOptions,
    /// What it works by.
    pub(super) plan: Plan,
    pub(super) notices: Notices,
    /// Connections handed over of which it is not known yet whether they arrived.
    pub(super) hand_offs: usize,
    /// TLS handshakes with clients under way, by listener.
    pub(super) handshakes: Vec<usize>,
    /// Connections that are open, and no session yet.
    pub(super) opened: Vec<Key>,
    /// Sockets whose peers were told why their connections ended.
    pub(super) parted: Vec<Fd>,
    /// Peers that are given time to take that.
    pub(super) partings: usize,
    pub(super) last_id: u64,
    pub(super) http: HttpState,
    /// Who gets what is published.
    pub(super) topics: Topics,
    pub(super) messages: Messages,
    /// What an answer of our own is written into.
    pub(super) answers: Scratch<Vec<u8>>,
    /// The date of a turn, by the turn's time.
    unix_time: Option<(Instant, Duration)>,
}

impl<D: Driver> Context<D> {
    pub(super) fn new(reactor: Reactor<D, Due>, options: SessionOptions) -> Self {
        let seed = options.worker_seed();
        let relay = &options.relay;
        Self {
            pipes: PipePool::new(relay.pipes_idle_max, relay.pipe_capacity),
            pages: Pages::default(),
            handler: contained(&options),
            exchanger_timers: Vec::new(),
            exchangers: Vec::new(),
            unsettled: false,
            frame_actions: Vec::new(),
            dirty: Vec::new(),
            unserved: Vec::new(),
            postponed: Vec::new(),
            bulk: Budget::new(0),
            flushing: Vec::new(),
            starved: VecDeque::new(),
            histograms: Histograms::default(),
            plan: Plan::default(),
            notices: Notices::default(),
            hand_offs: 0,
            handshakes: Vec::new(),
            opened: Vec::new(),
            parted: Vec::new(),
            partings: 0,
            last_id: 0,
            http: HttpState::new(&options, seed),
            topics: Topics::new(options.worker),
            messages: Messages::default(),
            answers: Scratch::new(ANSWERS_BYTES_MAX),
            unix_time: None,
            options,
            reactor,
        }
    }

    /// A half of a turn begins: what bulk may move in it.
    pub(super) fn refill_bulk(&mut self) {
        self.bulk = Budget::new(self.options.relay.turn_budget * BULK_SHARES);
    }

    /// A turn begins: puts what waited for it into the order in which it is worked off. Who moved
    /// nothing in the last turn goes before who did, so that no flow keeps the others out.
    pub(super) fn take_turns(&mut self) {
        self.unserved.append(&mut self.postponed);
        self.unserved.append(&mut self.dirty);
        std::mem::swap(&mut self.unserved, &mut self.dirty);
    }

    /// Whether connections wait for the next turn alone.
    pub(super) fn has_waiting(&self) -> bool {
        !(self.dirty.is_empty() && self.postponed.is_empty() && self.unserved.is_empty())
    }

    /// Where a connection comes from, if that is logged.
    pub(super) fn logged_peer(&mut self, stream: &Stream) -> Option<Box<SocketAddress>> {
        let socket = stream.fd().filter(|_| self.options.access_log)?;
        self.reactor.driver().peer_address(socket).ok().map(Box::new)
    }

    /// Ends what is under way on a stream. One that is cut, or has lost bytes, must not look whole.
    pub(super) fn abandon_stream(&mut self, key: Key, stream: &mut Stream, reason: CloseReason) {
        let lost = stream.abandon(&mut self.reactor, key);
        if lost || reason.is_cut() {
            stream.reset_on_close(&mut self.reactor);
        }
    }

    /// Opens a socket for a connection to a server, and secures the stream where the upstream says
    /// so. [`Stream::connect`] follows.
    pub(super) fn open_socket(
        &mut self,
        stream: &mut Stream,
        (upstream, server): (usize, usize),
        speaks: Speaks,
    ) -> Result<Fd, Errno> {
        let upstream = &self.plan.upstreams[upstream];
        upstream.secure(stream, server, speaks)?;
        let driver = self.reactor.driver();
        let socket = driver.socket(&upstream.servers[server])?;
        driver.configure(socket, &upstream.stream);
        Ok(socket)
    }

    /// Closes a stream on which no operation is in flight. A peer that was told why is given time
    /// to take that.
    pub(super) fn close_stream(&mut self, key: Key, mut stream: Stream) {
        match stream.part(&mut self.reactor) {
            Some(socket) => self.parted.push(socket),
            None => stream.close(&mut self.reactor, key),
        }
    }

    pub(super) fn cell(&self) -> &WorkerCell {
        &self.options.workers.cells()[self.options.worker]
    }

    pub(super) fn stats(&self) -> &SessionStats {
        &self.cell().stats
    }

    /// This worker's counters of an upstream.
    pub(super) fn upstream_stats(&self, upstream: usize) -> &UpstreamStats {
        self.plan.upstreams.stats(upstream)
    }

    pub(super) fn now(&self) -> Instant {
        self.reactor.now()
    }

    /// The time since 1970-01-01 UTC: asked for once a turn, and only in turns that need it.
    pub(super) fn unix_time(&mut self) -> Duration {
        let now = self.now();
        match self.unix_time {
            Some((turn, time)) if turn == now => time,
            Some(_) | None => {
                let time = self.reactor.driver().unix_time();
                self.unix_time = Some((now, time));
                time
            }
        }
    }

    /// A number for a new connection, unique over all workers for as long as the server runs.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        let workers = self.options.workers.cells().len() as u64;
        self.last_id * workers + self.options.worker as u64
    }

    /// The servers of an upstream, whatever uses them.
    pub(super) fn cluster(&mut self, upstream: usize) -> &mut Cluster {
        self.http.cluster(upstream)
    }

    /// Logs and counts which servers are ejected, and which are used again.
    pub(super) fn tell_ejections(&mut self, upstream: usize) {
        let Self { http, plan, .. } = self;
        let counted = plan.upstreams.counted(upstream);
        let name = &plan.upstreams[upstream].name;
        shown::tell_ejections(http.cluster(upstream), counted, name);
    }

    /// Closes a connection that gets no slot.
    pub(super) fn refuse(&mut self, listener: &ListenerPlan, socket: Fd, reason: CloseReason) {
        listener.stats.closed[reason.index()].add(1);
        self.reactor.driver().close(socket);
        let now = self.now();
        if let Some(others) = self.notices.refused.due(now) {
            let name = &listener.options.name;
            tracing::warn!(
                listener = %name,
                reason = reason.name(),
                others,
                "connection refused at once"
            );
        }
    }
}

impl SessionOptions {
    /// What random choices of this worker begin with.
    pub(super) const fn worker_seed(&self) -> u64 {
        worker_seed(self.seed, self.worker)
    }
}

/// What random choices of a worker begin with.
#[must_use]
pub const fn worker_seed(seed: u64, worker: usize) -> u64 {
    seed ^ (worker as u64 + 1).wrapping_mul(JITTER_SEED)
}

/// The program's handler. Its panics are counted, logged, and cost one request each.
fn contained(options: &SessionOptions) -> Box<dyn Handler> {
    let (factory, worker) = (options.handler.clone(), options.worker);
    let workers = Arc::clone(&options.workers);
    let report = move |text: &str| {
        workers.cells()[worker].stats.error(ErrorKind::Handler);
        tracing::error!(worker, "the program's handler panicked, and was made again: {text}");
    };
    let make = move || factory.make(worker);
    Box::new(Contained::new(Box::new(make), Box::new(report)))
}

/// Warnings that would come with every connection, thinned out.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) refused: Notice,
    pub(super) connect: Notice,
    pub(super) accept: Notice,
    pub(super) datagrams: Notice,
    /// Servers that break the rules of their protocol.
    pub(super) protocol: Notice,
    /// Files that cannot be opened or read.
    pub(super) files: Notice,
    /// TLS sessions that cannot be made.
    pub(super) tls: Notice,
}

/// One kind of warning: at most one a second, with the number of those left out.
#[derive(Debug, Default)]
pub(super) struct Notice {
    last: Option<Instant>,
    left_out: u64,
}

impl Notice {
    /// Whether to warn now, and how many were left out since the last warning.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let early = self.last.is_some_and(|last| now < last + WARNING_INTERVAL);
        if early {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_thinned_out_and_counted() {
        let origin = Instant::now();
        let mut notice = Notice::default();
        assert_eq!(notice.due(origin), Some(0));
        assert_eq!(notice.due(origin), None);
        assert_eq!(notice.due(origin + WARNING_INTERVAL / 2), None);
        assert_eq!(notice.due(origin + WARNING_INTERVAL), Some(2));
    }
}
