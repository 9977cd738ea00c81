//! Topics as one worker has them: its subscribers, what is retained, and what is to be delivered.

use std::collections::VecDeque;
use std::sync::Arc;

use super::topic_set::TopicSet;
use super::workers::{WorkerMessage, Workers};
use crate::mem::{Key, Slab};
use crate::proto::http2::StreamId;
use crate::service::topics::{
    Cost, Fault, Format, Hub, Outcome, Permissions, Publication, Pushed, SubscriberId,
};

/// Sets of topics that a worker knows at a time.
const HUBS_MAX: u32 = 1 << 16;
/// Publications that wait on a worker for their delivery, in bytes, before it reads no more.
pub(crate) const PENDING_MAX: usize = 1 << 20;

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

/// All topics of one worker.
#[derive(Debug)]
pub(super) struct Topics {
    worker: usize,
    hubs: Slab<Local>,
    /// Publications that are to be delivered here, with their hubs and numbers.
    pending: VecDeque<(Key, u64, Publication)>,
    pending_bytes: usize,
    /// Sets of which more waits in the inbox, until there is room for it.
    later: Vec<Arc<TopicSet>>,
    /// Subscribers of the publication that is delivered.
    pub(super) targets: Vec<(Key, StreamId)>,
}

impl Topics {
    pub(super) fn new(worker: usize) -> Self {
        Self {
            worker,
            hubs: Slab::with_limit(HUBS_MAX),
            pending: VecDeque::new(),
            pending_bytes: 0,
            later: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// Where a set is kept; it is made if it is not there.
    fn hub(&mut self, set: &Arc<TopicSet>) -> Option<Key> {
        let is_same = |key: &Key| self.hubs.get(*key).is_some_and(|local| local.set.is_same(set));
        let found = self.hubs.keys().find(is_same);
        if found.is_some() {
            return found;
        }
        let number = u16::try_from(self.worker).unwrap_or(u16::MAX);
        let hub = Hub::new(set.options.hub(), number);
        self.hubs.insert(Local { set: Arc::clone(set), hub, is_kept: false }).ok()
    }

    /// A plan has these topics: they are there from now on, so that what is published is retained.
    /// Others go with their last subscriber.
    pub(super) fn keep<'a>(&mut self, sets: impl Iterator<Item = &'a Arc<TopicSet>>) {
        self.hubs.values_mut().for_each(|local| local.is_kept = false);
        for set in sets {
            if let Some(local) = self.hub(set).and_then(|key| self.hubs.get_mut(key)) {
                if local.set.options != set.options {
                    local.hub.set_limits(set.options.hub());
                }
                local.set = Arc::clone(set);
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

    /// So many retained messages had no room in the queue of a new subscription.
    pub(super) fn note_left_out(&mut self, place: Place, count: usize) {
        if let Some(local) = self.hubs.get_mut(place.hub) {
            local.hub.note_left_out(count);
        }
    }

    /// Whether so much waits for its delivery that no more is read.
    pub(super) const fn is_behind(&self) -> bool {
        self.pending_bytes > PENDING_MAX
    }

    /// Whether anything waits for its delivery.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty() || !self.later.is_empty()
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
        for worker in (0..set.workers()).filter(|worker| *worker != self.worker) {
            if set.leave(worker, publication)
                && !workers.send(worker, WorkerMessage::Topics(Arc::clone(set)))
            {
                set.note_untold(worker);
            }
        }
    }

    fn push(&mut self, hub: Key, publication: Publication) {
        let Some(local) = self.hubs.get_mut(hub) else { return };
        let number = local.hub.admit(&publication);
        self.pending_bytes += publication.cost();
        self.pending.push_back((hub, number, publication));
    }

    /// There may be room for what waits in the inboxes.
    pub(super) fn receive_later(&mut self) {
        if !self.later.is_empty() && !self.is_behind() {
            for set in std::mem::take(&mut self.later) {
                self.receive(&set);
            }
        }
    }

    /// The next publication, with those who get it in `targets`.
    pub(super) fn next(&mut self) -> Option<Publication> {
        let (hub, number, publication) = self.pending.pop_front()?;
        self.pending_bytes -= publication.cost();
        self.targets.clear();
        if let Some(local) = self.hubs.get_mut(hub) {
            local.hub.deliver(&publication, number, |key| {
                self.targets.push(key);
                // What becomes of it is counted then.
                Pushed::Queued
            });
        }
        Some(publication)
    }

    /// Takes what other workers have published.
    pub(super) fn receive(&mut self, set: &Arc<TopicSet>) {
        if self.is_behind() {
            // It waits in the inbox, which has a limit of its own.
            if !self.later.iter().any(|one| Arc::ptr_eq(one, set)) {
                self.later.push(Arc::clone(set));
            }
            return;
        }
        let Some(hub) = self.hub(set) else { return };
        for publication in set.take(self.worker) {
            self.push(hub, publication);
        }
    }

    /// Shows what was counted.
    pub(super) fn show(&self) {
        for local in self.hubs.values() {
            local.set.show(self.worker, local.hub.stats());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::topic_set::{QueuePolicy, TopicOptions};

    const OPTIONS: TopicOptions = TopicOptions {
        message_max: 100,
        subscriptions_max: 1,
        filters_max: 100,
        queue_max: 1,
        queue_bytes: 100,
        queue_policy: QueuePolicy::DropOldest,
        retained_max: 100,
        retained_bytes: 100_000,
        exchange_bytes: 1_000,
    };
    const JSON: (Format, Permissions) =
        (Format::Json, Permissions { publish: true, subscribe: true });

    fn publication(payload: &[u8], retain: bool) -> Publication {
        Publication::new(b"a", payload, retain).unwrap()
    }

    /// A subscriber does what a message of JSON says.
    fn say(topics: &mut Topics, place: Place, message: &str) -> Outcome {
        topics.handle(place, message.as_bytes(), JSON, &mut Vec::new()).unwrap()
    }

    #[test]
    fn what_other_workers_publish_waits_within_limits() {
        let exchange_bytes = 2 * PENDING_MAX;
        let set = Arc::new(TopicSet::new("demo", TopicOptions { exchange_bytes, ..OPTIONS }, 2));
        let large = publication(&[b'x'; 10_000], false);
        let mut topics = Topics::new(1);
        let cost = large.cost();
        // Nothing is delivered meanwhile.
        let mut left = 0;
        for _ in 0..1_000 {
            left += 1;
            if set.leave(1, &large) {
                topics.receive(&set);
            }
        }
        let pending = topics.pending.len();
        assert!(topics.is_behind());
        assert!(topics.pending_bytes <= PENDING_MAX + cost, "{} bytes", topics.pending_bytes);
        let lost = usize::try_from(set.stats()[1].1).unwrap();
        let kept = left - lost - pending;
        assert!(kept * cost <= exchange_bytes && (kept + 1) * cost > exchange_bytes, "{kept}");
        // What was kept comes once there is room, without being told again.
        let mut delivered = 0;
        while topics.has_pending() {
            topics.receive_later();
            delivered += usize::from(topics.next().is_some());
        }
        assert_eq!(delivered, pending + kept);
        assert!(set.leave(1, &large), "the worker is told again from then on");
    }

    #[test]
    fn who_gets_a_retained_publication_is_found_at_its_delivery() {
        let set = Arc::new(TopicSet::new("demo", OPTIONS, 1));
        let mut topics = Topics::new(0);
        let workers = Workers::new(1, 0, 0);
        let places: Vec<Place> = (0..50)
            .map(|index| {
                let key = (Key::new(index, 0), StreamId::default());
                let place = topics.open(&set, key).unwrap();
                say(&mut topics, place, r#"{"op":"subscribe","topic":"a"}"#);
                place
            })
            .collect();
        for _ in 0..10 {
            topics.publish_to(&set, publication(b"1", true), &workers).unwrap();
        }
        assert_eq!(topics.targets.capacity(), 0, "no list is made before");
        // Those that go before the delivery are not kept by what waits.
        places[1..].iter().for_each(|place| topics.leave(*place));
        for _ in 0..10 {
            assert!(topics.next().is_some());
            assert_eq!(topics.targets.len(), 1);
        }
        assert!(topics.next().is_none());
    }

    #[test]
    fn a_subscription_made_again_gets_nothing_twice() {
        let set = Arc::new(TopicSet::new("demo", OPTIONS, 2));
        let mut topics = Topics::new(0);
        let workers = Workers::new(1, 0, 0);
        let place = topics.open(&set, (Key::new(1, 0), StreamId::default())).unwrap();
        let subscribe = r#"{"op":"subscribe","topic":"a"}"#;
        say(&mut topics, place, subscribe);
        // One of another worker, retained when it is taken, and two of this one.
        set.leave(0, &publication(b"0", true));
        topics.receive(&set);
        for (payload, retain) in [(b"1", false), (b"2", true)] {
            topics.publish_to(&set, publication(payload, retain), &workers).unwrap();
        }
        say(&mut topics, place, r#"{"op":"unsubscribe","topic":"a"}"#);
        let Outcome::Subscribed { retained, .. } = say(&mut topics, place, subscribe) else {
            panic!("it is new")
        };
        assert_eq!(retained.iter().map(|one| one.payload().to_vec()).collect::<Vec<_>>(), [b"2"]);
        topics.publish_to(&set, publication(b"3", false), &workers).unwrap();
        let mut got = Vec::new();
        while let Some(publication) = topics.next() {
            got.extend(topics.targets.iter().map(|_| publication.payload()[0]));
        }
        assert_eq!(got, [b'3'], "what came before is older than what was retained, or the same");
    }

    #[test]
    fn who_has_an_older_plan_does_not_bring_its_options_back() {
        let old = Arc::new(TopicSet::new("demo", OPTIONS, 1));
        let new = Arc::new(old.with_options(TopicOptions { message_max: 4, ..OPTIONS }));
        let mut topics = Topics::new(0);
        let workers = Workers::new(1, 0, 0);
        topics.keep([&old].into_iter());
        topics.publish_to(&old, publication(b"12345", false), &workers).unwrap();
        topics.keep([&new].into_iter());
        let too_large = Err(Fault::TooLarge(4));
        // Connections go on with the plan that they know.
        assert_eq!(topics.publish_to(&old, publication(b"12345", false), &workers), too_large);
        let place = topics.open(&old, (Key::new(1, 0), StreamId::default())).unwrap();
        topics.receive(&old);
        assert_eq!(topics.publish_to(&new, publication(b"12345", false), &workers), too_large);
        assert!(matches!(
            say(&mut topics, place, r#"{"op":"publish","topic":"a","data":12345}"#),
            Outcome::Refused("too_large")
        ));
        assert_eq!(topics.hubs.len(), 1);
    }

    #[test]
    fn a_worker_is_told_again_of_what_comes_after_it_took() {
        let set = TopicSet::new("demo", OPTIONS, 2);
        let publication = publication(b"1", false);
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
