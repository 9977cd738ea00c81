//! Topics as all workers share them: how they are set up, and what waits for each worker.
//!
//! A publication is delivered by each worker to its own subscribers. It waits for the other workers
//! in their inboxes, of which they are told by a message; one for many publications.

use std::sync::{Arc, Mutex, PoisonError};

use crate::runtime::Counter;
pub use crate::service::topics::Policy as QueuePolicy;
use crate::service::topics::{
    Cost, HubLimits, Publication, QueueLimits, RETAINED_BURST, TopicsStats,
};

/// How topics are set up: a table `[topics.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOptions {
    /// Bytes of a publication's payload.
    pub message_max: usize,
    /// Filters of one subscriber.
    pub subscriptions_max: usize,
    /// Filters of one worker.
    pub filters_max: usize,
    /// Messages that wait for one subscriber.
    pub queue_max: usize,
    /// The same in bytes.
    pub queue_bytes: usize,
    /// What becomes of messages beyond that.
    pub queue_policy: QueuePolicy,
    /// Topics of which the last message is retained.
    pub retained_max: usize,
    /// The same in bytes.
    pub retained_bytes: usize,
    /// Bytes of publications that wait for another worker.
    pub exchange_bytes: usize,
}

impl TopicOptions {
    /// What may wait for one subscriber.
    pub(super) const fn queue(&self) -> QueueLimits {
        let (bytes, messages, policy) = (self.queue_bytes, self.queue_max, self.queue_policy);
        QueueLimits { bytes, messages, policy }
    }

    pub(super) const fn hub(&self) -> HubLimits {
        HubLimits {
            payload_max: self.message_max,
            subscriptions_max: self.subscriptions_max,
            filters_max: self.filters_max,
            retained_max: self.retained_max,
            retained_bytes: self.retained_bytes,
            retained_burst: RETAINED_BURST,
        }
    }
}

/// Topics, by name. All workers share it.
#[derive(Debug)]
pub struct TopicSet {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// How it is set up.
    pub options: TopicOptions,
    /// By worker. A set that takes the place of one of the same name goes on with them.
    workers: Arc<[OfWorker]>,
}

/// What a worker has of a set, as others see it.
#[derive(Debug, Default)]
struct OfWorker {
    inbox: Mutex<Inbox>,
    stats: Mutex<TopicsStats>,
    /// Publications that its inbox had no room for.
    lost: Counter,
}

/// Publications of other workers.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Vec<Publication>,
    bytes: usize,
    /// The worker knows that there is something.
    is_told: bool,
}

impl TopicSet {
    /// Topics that nobody uses yet, on so many workers.
    #[must_use]
    pub fn new(name: &str, options: TopicOptions, workers: usize) -> Self {
        let workers = (0..workers).map(|_| OfWorker::default()).collect();
        Self { name: name.into(), options, workers }
    }

    /// The same topics with other options: their subscribers and what is retained stay.
    #[must_use]
    pub fn with_options(&self, options: TopicOptions) -> Self {
        Self { name: self.name.clone(), options, workers: Arc::clone(&self.workers) }
    }

    /// What each worker has counted of it, and lost of what others published.
    #[must_use]
    pub fn stats(&self) -> Vec<(TopicsStats, u64)> {
        let read = |of: &OfWorker| {
            let stats = *of.stats.lock().unwrap_or_else(PoisonError::into_inner);
            (stats, of.lost.get())
        };
        self.workers.iter().map(read).collect()
    }

    /// On how many workers they are.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Shows what a worker has counted.
    pub(super) fn show(&self, worker: usize, stats: TopicsStats) {
        if let Some(of) = self.workers.get(worker) {
            *of.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        }
    }

    /// Whether both are the same topics, perhaps with other options.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.workers, &other.workers)
    }

    /// Leaves a publication for a worker. Returns whether it is to be told: that is up to the one
    /// caller who gets true. The worker may take what is there before it is told.
    pub(super) fn leave(&self, worker: usize, publication: &Publication) -> bool {
        let Some(of) = self.workers.get(worker) else { return false };
        let mut inbox = of.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = publication.cost();
        if inbox.bytes + cost > self.options.exchange_bytes && !inbox.waiting.is_empty() {
            // Workers count in turn, under the lock.
            of.lost.add(1);
        } else {
            inbox.bytes += cost;
            inbox.waiting.push(publication.clone());
        }
        // Under the lock: once the worker was told it may take them at any time.
        !std::mem::replace(&mut inbox.is_told, true)
    }

    /// A worker could not be told; the next publication tries again.
    pub(super) fn note_untold(&self, worker: usize) {
        if let Some(of) = self.workers.get(worker) {
            of.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_told = false;
        }
    }

    /// Takes what others have left for a worker.
    pub(super) fn take(&self, worker: usize) -> Vec<Publication> {
        let Some(of) = self.workers.get(worker) else { return Vec::new() };
        let mut inbox = of.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        (inbox.bytes, inbox.is_told) = (0, false);
        std::mem::take(&mut inbox.waiting)
    }
}
