//! What workers see of each other: load, rings, counters. Each cell has one writer, its worker.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::offloaded::Finished;
use super::topic_set::TopicSet;
use super::{Counted, ListenerStats, SessionStats};
use crate::mem::Key;
use crate::ring::Fd;
use crate::runtime::{Board, Counter, Current, Gauge, LoopStats, Offload, Task, Work};
use crate::service::cluster::servers::Change;
use crate::service::http::status_page::Introduction;

/// Fewest connections more than the least loaded worker that make handing over worth its hop.
const HAND_OFF_MARGIN: u64 = 8;
/// Sources whose connections each worker shows the others: those with fewest connections go first.
const SOURCES_SHOWN: usize = 65_536;
/// No ring yet, or none that can be sent to.
const NO_RING: i32 = -1;

/// What one worker tells another.
#[derive(Debug)]
pub enum WorkerMessage {
    /// Places for connections to this upstream are short: can you lend some?
    Ask {
        /// The upstream's number.
        upstream: usize,
        /// Who asks.
        from: usize,
    },
    /// So many, perhaps none.
    Give {
        /// The upstream's number.
        upstream: usize,
        /// Places.
        places: u32,
    },
    /// A server of an upstream can be used, or cannot.
    Health {
        /// The upstream's number.
        upstream: usize,
        /// The server's number.
        server: usize,
        /// Whether it can be used.
        up: bool,
    },
    /// Servers of an upstream are changed by hand.
    Server {
        /// The upstream's number.
        upstream: usize,
        /// The servers' numbers.
        servers: Vec<usize>,
        /// How.
        change: Change,
    },
    /// One of the flows of this UDP listener that the worker has borrowed is needed elsewhere.
    EndFlow {
        /// The listener's number.
        listener: usize,
    },
    /// Work that took too long for the loop is done.
    Finished {
        /// The request that waits for it.
        request: Key,
        /// What came of it.
        finished: Finished,
    },
    /// Something was published to these topics: it waits for this worker.
    Topics(Arc<TopicSet>),
}

impl WorkerMessage {
    /// The upstream that it is about, if it is about one.
    pub(super) const fn upstream(&self) -> Option<usize> {
        match self {
            Self::Ask { upstream, .. }
            | Self::Give { upstream, .. }
            | Self::Health { upstream, .. }
            | Self::Server { upstream, .. } => Some(*upstream),
            Self::EndFlow { .. } | Self::Finished { .. } | Self::Topics(_) => None,
        }
    }
}

/// Leaves a note in a worker's mailbox; false when that is not possible.
type Post = dyn Fn(WorkerMessage) -> bool + Send + Sync;

/// Frees something large, elsewhere.
type Dispose = dyn Fn(Box<dyn Any + Send>) + Send + Sync;

/// All workers of a server.
pub struct Workers {
    cells: Box<[WorkerCell]>,
    /// The mailboxes, by worker, once all stand.
    posts: OnceLock<Vec<Box<Post>>>,
    offload: OnceLock<Offload>,
    epoch: OnceLock<Instant>,
    introduction: Current<Introduction>,
    dispose: OnceLock<Box<Dispose>>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("cells", &self.cells).finish_non_exhaustive()
    }
}

/// One worker as the others and the control plane see it.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCell {
    /// Connections it has.
    pub active: Gauge,
    /// What its sessions count.
    pub stats: SessionStats,
    /// What its loop counts.
    pub loops: Arc<LoopStats>,
    /// How many connections it has by source, where that is counted.
    sources: OnceLock<Board>,
    ring: AtomicI32,
    accepting: AtomicBool,
    /// The plan that it works by.
    plan: AtomicU64,
}

impl WorkerCell {
    /// The worker works by this plan from now on.
    pub(super) fn set_plan(&self, plan: u64) {
        self.plan.store(plan, Ordering::Release);
    }

    fn plan(&self) -> u64 {
        self.plan.load(Ordering::Acquire)
    }

    /// The worker takes connections that are handed over to `ring`.
    pub fn open(&self, ring: Option<Fd>) {
        self.ring.store(ring.map_or(NO_RING, |fd| fd.0), Ordering::Release);
        self.accepting.store(true, Ordering::Release);
    }

    /// The worker takes no more connections, and hands none over.
    pub fn close(&self) {
        self.accepting.store(false, Ordering::Release);
    }

    /// Connections are counted by source from now on, and workers show each other how many.
    pub fn count_sources(&self) {
        self.sources.get_or_init(|| Board::new(SOURCES_SHOWN));
    }

    /// How many connections it has by source, where that is counted and there are other workers.
    pub(super) fn sources(&self) -> Option<&Board> {
        self.sources.get()
    }

    /// Whether the worker may still take or hand over connections.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::Acquire)
    }
}

impl Workers {
    /// So many workers, which count for so many listeners and upstreams.
    #[must_use]
    pub fn new(workers: usize, listeners: usize, upstreams: usize) -> Self {
        Self::with_plan(workers, &Counted::plain(listeners, upstreams))
    }

    /// So many workers, which count this from the start.
    #[must_use]
    pub fn with_plan(workers: usize, counted: &Counted) -> Self {
        let cell = || WorkerCell {
            active: Gauge::new(),
            stats: SessionStats::new(counted),
            loops: Arc::new(LoopStats::default()),
            sources: OnceLock::new(),
            ring: AtomicI32::new(NO_RING),
            accepting: AtomicBool::new(false),
            plan: AtomicU64::new(0),
        };
        Self {
            cells: (0..workers).map(|_| cell()).collect(),
            posts: OnceLock::new(),
            offload: OnceLock::new(),
            epoch: OnceLock::new(),
            introduction: Current::new(Arc::default()),
            dispose: OnceLock::new(),
        }
    }

    /// The moment from which workers count the times that they publish: `now` at the first call.
    #[must_use]
    pub fn epoch(&self, now: Instant) -> Instant {
        *self.epoch.get_or_init(|| now)
    }

    /// What the page that shows what runs tells of the listeners from now on.
    pub fn introduce(&self, introduction: Introduction) {
        self.introduction.replace(Arc::new(introduction));
    }

    /// What is known of the listeners, once they listen.
    #[must_use]
    pub fn introduction(&self) -> Arc<Introduction> {
        self.introduction.get()
    }

    /// How notes reach the workers, in their order; the first call counts.
    pub fn connect(&self, posts: Vec<Box<Post>>) {
        // A second call would be a second server on the same workers.
        let _connected = self.posts.set(posts);
    }

    /// Who does what takes too long for a loop; the first call counts.
    pub fn set_offload(&self, offload: Offload) {
        // As with the mailboxes.
        let _set = self.offload.set(offload);
    }

    /// Who frees what is so large that a loop had better not do it; the first call counts.
    pub fn set_disposal(&self, dispose: Box<Dispose>) {
        // As with the mailboxes.
        let _set = self.dispose.set(dispose);
    }

    /// Frees something large, elsewhere if that is possible.
    pub(super) fn dispose(&self, large: Box<dyn Any + Send>) {
        match self.dispose.get() {
            Some(dispose) => dispose(large),
            None => drop(large),
        }
    }

    /// Hands over work that takes too long for a loop.
    ///
    /// # Errors
    /// The work, when it cannot be taken.
    pub fn offload(&self, task: Task, work: Work) -> Result<(), Work> {
        match self.offload.get() {
            Some(offload) => offload.submit(task, work),
            None => Err(work),
        }
    }

    /// Sends a note to a worker; false when it does not take notes.
    #[must_use]
    pub fn send(&self, worker: usize, note: WorkerMessage) -> bool {
        let post = self.posts.get().and_then(|posts| posts.get(worker));
        post.is_some_and(|post| post(note))
    }

    /// The workers, in their order.
    #[must_use]
    pub fn cells(&self) -> &[WorkerCell] {
        &self.cells
    }

    /// The counters of all workers, as one JSON object: what STATS answers.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let sum = |read: &dyn Fn(&ListenerStats) -> u64| -> u64 {
            let listeners = self.cells.iter().flat_map(|cell| cell.stats.listeners.all());
            listeners.map(|stats| read(&stats)).sum()
        };
        let requests = |stats: &ListenerStats| stats.frames.requests.iter().map(Counter::get).sum();
        let text = format!(
            "{{\"version\":\"{}\",\"workers\":{},\"connections_active\":{},\
             \"connections_accepted\":{},\"received_bytes\":{},\"sent_bytes\":{},\
             \"frame_requests\":{}}}",
            env!("CARGO_PKG_VERSION"),
            self.cells.len(),
            sum(&|stats| stats.active.get()),
            sum(&|stats| stats.accepted.get()),
            sum(&|stats| stats.received.get()),
            sum(&|stats| stats.sent.get()),
            sum(&requests),
        );
        out.extend_from_slice(text.as_bytes());
    }

    /// Flows of one UDP listener, of each worker.
    #[must_use]
    pub fn flows(&self, listener: usize) -> Vec<u64> {
        let all = self.cells.iter().map(|cell| cell.stats.datagrams.get(listener));
        all.map(|stats| stats.flows_active.get()).collect()
    }

    /// The largest load divided by the mean load; 1 when all are equal or there is none.
    #[must_use]
    pub fn imbalance(&self) -> f64 {
        let loads = self.cells.iter().map(|cell| as_float(cell.active.get()));
        let (sum, most) =
            loads.fold((0.0, 0.0), |(sum, most): (f64, f64), load| (sum + load, most.max(load)));
        if sum == 0.0 { 1.0 } else { most * as_float(self.cells.len() as u64) / sum }
    }

    /// The ring that `worker` should hand a new connection to: the least loaded worker's, if
    /// `worker` has more than `ratio` times the mean. One with another plan may not know what the
    /// connection is for.
    #[must_use]
    pub fn relief(&self, worker: usize, ratio: f64) -> Option<Fd> {
        let own = self.cells[worker].active.get();
        let total: u64 = self.cells.iter().map(|cell| cell.active.get()).sum();
        let mean = as_float(total) / as_float(self.cells.len() as u64);
        if as_float(own) <= ratio * mean {
            return None;
        }
        let plan = self.cells[worker].plan();
        let takers = self.cells.iter().filter(|cell| cell.is_accepting() && cell.plan() == plan);
        let least = takers.min_by_key(|cell| cell.active.get())?;
        let ring = least.ring.load(Ordering::Acquire);
        let worth = own >= least.active.get() + HAND_OFF_MARGIN;
        (worth && ring != NO_RING).then_some(Fd(ring))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of connections are far below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(loads: &[u64]) -> Workers {
        let workers = Workers::new(loads.len(), 1, 0);
        for (index, (cell, load)) in workers.cells().iter().zip(loads).enumerate() {
            cell.open(Some(Fd(i32::try_from(100 + index).unwrap())));
            (0..*load).for_each(|_| cell.active.increment());
        }
        workers
    }

    #[test]
    fn only_an_overloaded_worker_hands_over_and_to_the_least_loaded() {
        let uneven = workers(&[40, 5, 15]);
        assert_eq!(uneven.relief(0, 1.5), Some(Fd(101)));
        assert_eq!(uneven.relief(1, 1.5), None);
        assert_eq!(uneven.relief(2, 1.5), None);
        assert_eq!(uneven.relief(0, 2.5), None, "below the ratio");
        uneven.cells()[0].set_plan(2);
        uneven.cells()[2].set_plan(2);
        assert_eq!(uneven.relief(0, 1.5), Some(Fd(102)), "the other has an earlier plan");
        uneven.cells()[1].set_plan(2);
        assert_eq!(uneven.relief(0, 1.5), Some(Fd(101)));
        assert!((uneven.imbalance() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn small_differences_stay_and_so_does_a_lone_worker() {
        assert_eq!(workers(&[7, 0]).relief(0, 1.5), None);
        assert_eq!(workers(&[8, 0]).relief(0, 1.5), Some(Fd(101)));
        assert_eq!(workers(&[1000]).relief(0, 1.0), None);
        assert!((workers(&[0, 0]).imbalance() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_worker_that_stops_takes_nothing() {
        let stopping = workers(&[90, 0, 30]);
        stopping.cells()[1].close();
        assert_eq!(stopping.relief(0, 1.5), Some(Fd(102)));
        stopping.cells()[2].open(None);
        assert_eq!(stopping.relief(0, 1.5), None, "no ring to send to");
    }
}
