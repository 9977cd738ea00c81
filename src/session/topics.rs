//! Topics: what all workers share of them, and what each worker has.
//!
//! A publication is delivered by each worker to its own subscribers. It waits for the other workers
//! in their inboxes, of which they are told by a message; one for many publications.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Sessions;
use super::http::Delivery;
use super::kind::Session;
use super::workers::{WorkerMessage, Workers};
use crate::mem::{Key, Slab};
use crate::proto::http2::StreamId;
use crate::ring::Driver;
use crate::runtime::Counter;
use crate::service::topics::{
    Cost, Fault, Format, Hub, HubLimits, Outcome, Permissions, Publication, Pushed, QueueLimits,
    RETAINED_BURST, SubscriberId, TopicsStats,
};

/// Sets of topics that a worker knows at a time.
const HUBS_MAX: u32 = 1 << 16;
/// Publications that wait on a worker for their delivery, in bytes, before it reads no more.
const PENDING_MAX: usize = 1 << 20;
/// Deliveries of one turn. What is left is for the next one.
const DELIVERIES_PER_TURN: usize = 32 * 1024;

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

pub use crate::service::topics::Policy as QueuePolicy;

impl TopicOptions {
    /// What may wait for one subscriber.
    pub(super) const fn queue(&self) -> QueueLimits {
        let (bytes, messages, policy) = (self.queue_bytes, self.queue_max, self.queue_policy);
        QueueLimits { bytes, messages, policy }
    }

    const fn hub(&self) -> HubLimits {
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

    /// Whether both are the same topics, perhaps with other options.
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.workers, &other.workers)
    }

    /// Leaves a publication for a worker. Returns whether it is to be told: that is up to the one
    /// caller who gets true. The worker may take what is there before it is told.
    fn leave(&self, worker: usize, publication: &Publication) -> bool {
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
    fn note_untold(&self, worker: usize) {
        if let Some(of) = self.workers.get(worker) {
            of.inbox.lock().unwrap_or_else(PoisonError::into_inner).is_told = false;
        }
    }

    /// Takes what others have left for a worker.
    fn take(&self, worker: usize) -> Vec<Publication> {
        let Some(of) = self.workers.get(worker) else { return Vec::new() };
        let mut inbox = of.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        (inbox.bytes, inbox.is_told) = (0, false);
        std::mem::take(&mut inbox.waiting)
    }
}

/// Where a subscriber is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    hub: Key,
    id: SubscriberId,
}

/// One set on one worker.
#[derive(Debug)]
struct Local {
    set: Arc<TopicSet>,
    hub: Hub<(Key, StreamId)>,
    /// A route of the present plan has it.
    is_kept: bool,
}

impl Local {
    fn is_over(&self) -> bool {
        !self.is_kept && self.hub.stats().subscribers == 0
    }
}

/// A publication that waits for its delivery.
#[derive(Debug)]
struct Pending {
    hub: Key,
    publication: Publication,
    /// Who gets it, where that is decided already: who subscribes to what is retained must not get
    /// it twice.
    targets: Option<Vec<(Key, StreamId)>>,
}

/// All topics of one worker.
#[derive(Debug)]
pub(super) struct Topics {
    worker: usize,
    hubs: Slab<Local>,
    /// Publications that are to be delivered here.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// Subscribers of the publication that is delivered.
    targets: Vec<(Key, StreamId)>,
}

impl Topics {
    pub(super) fn new(worker: usize) -> Self {
        Self {
            worker,
            hubs: Slab::with_limit(HUBS_MAX),
            pending: VecDeque::new(),
            pending_bytes: 0,
            targets: Vec::new(),
        }
    }

    /// Where a set is kept; it is made if it is not there.
    fn hub(&mut self, set: &Arc<TopicSet>) -> Option<Key> {
        let is_same = |key: &Key| self.hubs.get(*key).is_some_and(|local| local.set.is_same(set));
        let found = self.hubs.keys().find(is_same);
        if let Some(key) = found {
            let local = self.hubs.get_mut(key)?;
            if !Arc::ptr_eq(&local.set, set) && local.set.options != set.options {
                local.hub.set_limits(set.options.hub());
            }
            local.set = Arc::clone(set);
            return Some(key);
        }
        let number = u16::try_from(self.worker).unwrap_or(u16::MAX);
        let hub = Hub::new(set.options.hub(), number);
        self.hubs.insert(Local { set: Arc::clone(set), hub, is_kept: true }).ok()
    }

    /// A plan has these topics: they are there from now on, so that what is published is retained.
    /// Others go with their last subscriber.
    pub(super) fn keep<'a>(&mut self, sets: impl Iterator<Item = &'a Arc<TopicSet>>) {
        self.hubs.values_mut().for_each(|local| local.is_kept = false);
        for set in sets {
            if let Some(local) = self.hub(set).and_then(|key| self.hubs.get_mut(key)) {
                local.is_kept = true;
            }
        }
        let over: Vec<Key> = self.hubs.keys().filter(|key| self.is_over(*key)).collect();
        for key in over {
            self.hubs.remove(key);
        }
    }

    fn is_over(&self, hub: Key) -> bool {
        self.hubs.get(hub).is_some_and(Local::is_over)
    }

    /// A subscriber comes; `None` where there can be no more.
    pub(super) fn open(&mut self, set: &Arc<TopicSet>, key: (Key, StreamId)) -> Option<Place> {
        let hub = self.hub(set)?;
        let id = self.hubs.get_mut(hub)?.hub.open(key);
        Some(Place { hub, id })
    }

    /// A subscriber goes.
    pub(super) fn leave(&mut self, place: Place) {
        if let Some(local) = self.hubs.get_mut(place.hub) {
            local.hub.close(place.id);
            if !local.is_kept && local.is_over() {
                self.hubs.remove(place.hub);
            }
        }
    }

    /// A subscriber says something.
    pub(super) fn handle(
        &mut self,
        place: Place,
        message: &[u8],
        (format, permissions): (Format, Permissions),
        answer: &mut Vec<u8>,
    ) -> Option<Outcome> {
        let local = self.hubs.get_mut(place.hub)?;
        Some(local.hub.handle(place.id, message, format, permissions, answer))
    }

    /// What became of a message in a subscriber's queue.
    pub(super) fn note_pushed(&mut self, place: Place, pushed: Pushed) {
        if let Some(local) = self.hubs.get_mut(place.hub) {
            local.hub.note_pushed(pushed);
        }
    }

    /// Whether so much waits for its delivery that no more is read.
    pub(super) const fn is_behind(&self) -> bool {
        self.pending_bytes > PENDING_MAX
    }

    /// Whether anything waits for its delivery.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A subscriber has published something: all workers deliver it.
    pub(super) fn publish(&mut self, place: Place, publication: Publication, workers: &Workers) {
        let Some(local) = self.hubs.get(place.hub) else { return };
        self.spread(&local.set, &publication, workers);
        self.push(place.hub, publication);
    }

    /// Something is published that did not come from a subscriber.
    ///
    /// # Errors
    /// Why it is not published.
    pub(super) fn publish_to(
        &mut self,
        set: &Arc<TopicSet>,
        publication: Publication,
        workers: &Workers,
    ) -> Result<(), Fault> {
        let Some(hub) = self.hub(set) else { return Ok(()) };
        let Some(local) = self.hubs.get_mut(hub) else { return Ok(()) };
        let publication = local.hub.publish(publication)?;
        self.spread(set, &publication, workers);
        self.push(hub, publication);
        Ok(())
    }

    /// Leaves a publication for the other workers.
    fn spread(&self, set: &Arc<TopicSet>, publication: &Publication, workers: &Workers) {
        for worker in (0..set.workers.len()).filter(|worker| *worker != self.worker) {
            if set.leave(worker, publication)
                && !workers.send(worker, WorkerMessage::Topics(Arc::clone(set)))
            {
                set.note_untold(worker);
            }
        }
    }

    fn push(&mut self, hub: Key, publication: Publication) {
        self.pending_bytes += publication.cost();
        let mut targets = None;
        if publication.retain()
            && let Some(local) = self.hubs.get_mut(hub)
        {
            let mut found = Vec::new();
            local.hub.deliver(&publication, |key| {
                found.push(key);
                Pushed::Queued
            });
            targets = Some(found);
        }
        self.pending.push_back(Pending { hub, publication, targets });
    }

    /// The next publication, with those who get it in `targets`.
    fn next(&mut self) -> Option<Publication> {
        let Pending { hub, publication, targets } = self.pending.pop_front()?;
        self.pending_bytes -= publication.cost();
        if let Some(targets) = targets {
            self.targets = targets;
            return Some(publication);
        }
        self.targets.clear();
        if let Some(local) = self.hubs.get_mut(hub) {
            local.hub.deliver(&publication, |key| {
                self.targets.push(key);
                // What becomes of it is counted then.
                Pushed::Queued
            });
        }
        Some(publication)
    }

    /// Takes what other workers have published.
    pub(super) fn receive(&mut self, set: &Arc<TopicSet>) {
        let Some(hub) = self.hub(set) else { return };
        for publication in set.take(self.worker) {
            self.push(hub, publication);
        }
    }

    /// Shows what was counted.
    pub(super) fn show(&self) {
        for local in self.hubs.values() {
            if let Some(of) = local.set.workers.get(self.worker) {
                *of.stats.lock().unwrap_or_else(PoisonError::into_inner) = local.hub.stats();
            }
        }
    }
}

impl<D: Driver> Sessions<D> {
    /// Delivers what was published to the subscribers of this worker.
    pub(super) fn deliver_topics(&mut self) {
        let mut left = DELIVERIES_PER_TURN;
        while left > 0
            && let Some(publication) = self.context.topics.next()
        {
            let targets = std::mem::take(&mut self.context.topics.targets);
            let mut delivery = Delivery::new(&publication);
            for (key, stream) in &targets {
                let (key, stream) = (*key, *stream);
                if let Some(Session::Http(http)) = self.slab.get_mut(key)
                    && http.deliver(&mut self.context, (key, stream), &mut delivery)
                {
                    self.note_worked(key);
                }
            }
            left = left.saturating_sub(targets.len().max(1));
            self.context.topics.targets = targets;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_told_again_of_what_comes_after_it_took() {
        let options = TopicOptions {
            message_max: 100,
            subscriptions_max: 1,
            filters_max: 1,
            queue_max: 1,
            queue_bytes: 100,
            queue_policy: QueuePolicy::DropOldest,
            retained_max: 1,
            retained_bytes: 100,
            exchange_bytes: 1_000,
        };
        let set = TopicSet::new("demo", options, 2);
        let publication = Publication::new(b"a", &b"1"[..], false).unwrap();
        for _ in 0..2 {
            assert!(set.leave(1, &publication));
            assert!(!set.leave(1, &publication));
            // Between the two, the publisher's thread may have stood still: it notes nothing more.
            assert_eq!(set.take(1).len(), 2);
        }
        assert!(set.leave(1, &publication));
        set.note_untold(1);
        assert!(set.leave(1, &publication));
    }
}
