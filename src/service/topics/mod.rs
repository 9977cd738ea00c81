//! Publish and subscribe: who gets what is published to a topic. `docs/websocket.md` describes it
//! to clients.
//!
//! Each worker has a [`Hub`] for each set of topics. A publication is read and checked by the hub
//! of its publisher ([`Hub::handle`], [`Hub::publish`]), sent to all workers, and delivered there
//! by each hub to its own subscribers ([`Hub::admit`], [`Hub::deliver`]), the publisher's hub among
//! them. What a connection has not taken waits in its own [`Queue`], so that a delivery touches the
//! hub's list and the connection, and nothing else.
//!
//! Publications of one connection reach each subscriber in their order, if workers pass them on in
//! theirs. There is no order across publishers on different workers. Which of their retained
//! publications is the latest all hubs decide alike.
//!
//! | file | job |
//! |---|---|
//! | `name` | which topics and filters are valid; matching |
//! | `subscriptions`, `segments` | the trie of filters and their subscribers |
//! | `publication` | what is published; encodings that are shared |
//! | `retained` | the last publication of each topic |
//! | `queue` | what waits for one subscriber |
//! | `format`, `json`, `binary` | messages of clients and answers |
//! | `fault` | why a message was refused |

mod binary;
mod fault;
mod format;
mod json;
mod name;
mod publication;
mod queue;
mod retained;
mod segments;
mod subscriptions;

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

pub use self::fault::Fault;
pub use self::format::{ClientMessage, Command, Format, ID_BYTES_MAX, ID_MAX, Id, Reply, encode};
pub use self::name::{Filter, SEGMENTS_MAX, TOPIC_BYTES_MAX, Topic, TopicError, WILDCARDS_MAX};
pub use self::publication::{DATA_DEPTH_MAX, Publication};
pub use self::queue::{
    CLOSE_TOO_SLOW, Cost, Policy, Pushed, QUEUE_BYTES, QUEUE_MAX, Queue, QueueLimits, Taken,
};
pub use self::retained::ENDED_MAX;
use self::retained::{Retained, RetainedFull};
pub use self::subscriptions::SubscriberId;
use self::subscriptions::{NotAdded, Subscriptions};

/// Default of [`HubLimits::payload_max`]: bytes of a publication's payload.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// Default of [`HubLimits::subscriptions_max`]: subscriptions of one subscriber.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Default of [`HubLimits::filters_max`]: different filters of one hub.
pub const FILTERS_MAX: usize = 100_000;
/// Default of [`HubLimits::retained_max`]: retained publications of one hub.
pub const RETAINED_MAX: usize = 10_000;
/// Default of [`HubLimits::retained_bytes`]: bytes of memory of the retained publications.
pub const RETAINED_BYTES: usize = 16 * 1024 * 1024;
/// Default of [`HubLimits::retained_burst`]: retained publications for one new subscription.
pub const RETAINED_BURST: usize = 1000;

/// Bits of a publication's order that name the worker: two hubs never give the same order, and all
/// hubs say alike which is the later one.
const WORKER_BITS: u32 = 16;

/// What a hub keeps at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// Bytes of a publication's payload.
    pub payload_max: usize,
    /// Subscriptions of one subscriber.
    pub subscriptions_max: usize,
    /// Different filters. One subscriber takes at most half of those that are free.
    pub filters_max: usize,
    /// Retained publications.
    pub retained_max: usize,
    /// Bytes of memory of the retained publications.
    pub retained_bytes: usize,
    /// Retained publications that a new subscription gets.
    pub retained_burst: usize,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            payload_max: PAYLOAD_MAX,
            subscriptions_max: SUBSCRIPTIONS_MAX,
            filters_max: FILTERS_MAX,
            retained_max: RETAINED_MAX,
            retained_bytes: RETAINED_BYTES,
            retained_burst: RETAINED_BURST,
        }
    }
}

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// Publish.
    pub publish: bool,
    /// Subscribe.
    pub subscribe: bool,
}

/// What follows from a client's message, beside the answer to it.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing.
    Done,
    /// The hubs of all workers admit and deliver this; that of the publisher admits it at once.
    Publish(Publication),
    /// There is a new subscription. These are sent to the subscriber as retained messages, behind
    /// the answer and before what is delivered from now on.
    Subscribed {
        /// At most [`HubLimits::retained_burst`], by topic.
        retained: Vec<Publication>,
        /// How many more the filter matches: they are told of as dropped messages.
        left_out: usize,
    },
    /// The message was refused, which the answer tells. The code, for counting.
    Refused(&'static str),
}

/// What a hub counted, and has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicsStats {
    /// Publications of this worker's clients.
    pub published: u64,
    /// Publications that were delivered, of all workers' clients.
    pub received: u64,
    /// Messages to subscribers that came of them, also those that were dropped.
    pub delivered: u64,
    /// Retained publications to new subscriptions.
    pub retained_sent: u64,
    /// Those beyond [`HubLimits::retained_burst`], or without room in the subscriber's queue.
    pub retained_left_out: u64,
    /// Retained publications of other workers that had no room here.
    pub retained_skipped: u64,
    /// Messages that were dropped as the oldest of a full queue.
    pub dropped_oldest: u64,
    /// Messages that were dropped as the newest, for a full queue.
    pub dropped_newest: u64,
    /// Subscribers that were closed for a full queue.
    pub closed: u64,
    /// Messages that were refused, by the places of [`Fault::CODES`].
    pub refused: [u64; Fault::CODES.len()],
    /// Subscribers now.
    pub subscribers: usize,
    /// Subscriptions of all subscribers now.
    pub subscriptions: usize,
    /// Different filters now.
    pub filters: usize,
    /// Bytes of memory that filters and subscriptions take now.
    pub filters_bytes: usize,
    /// Retained publications now.
    pub retained: usize,
    /// Bytes of memory that they cost now. All workers share topics and payloads.
    pub retained_bytes: usize,
}

impl TopicsStats {
    const fn note(&mut self, pushed: Pushed) {
        match pushed {
            Pushed::Queued => {}
            Pushed::DroppedOldest(count) => self.dropped_oldest += count as u64,
            Pushed::DroppedNewest => self.dropped_newest += 1,
            Pushed::Close => self.closed += 1,
        }
    }
}

/// The topics of one set on one worker: its subscribers, whom the session knows by `K`, and what
/// is retained.
#[derive(Debug)]
pub struct Hub<K> {
    limits: HubLimits,
    /// Which worker this is: so that no two hubs give the same order.
    worker: u16,
    /// The highest order that was seen, without the worker.
    order: u64,
    /// Publications that were admitted.
    admitted: u64,
    subscriptions: Subscriptions<K>,
    retained: Retained,
    stats: TopicsStats,
}

impl<K: Copy + Debug> Hub<K> {
    /// An empty hub. `worker` is another number for each worker.
    #[must_use]
    pub fn new(limits: HubLimits, worker: u16) -> Self {
        let (subscriptions, retained) = (Subscriptions::new(), Retained::default());
        let stats = TopicsStats::default();
        Self { limits, worker, order: 0, admitted: 0, subscriptions, retained, stats }
    }

    /// Other limits from now on. What is there already stays.
    pub const fn set_limits(&mut self, limits: HubLimits) {
        self.limits = limits;
    }

    /// A subscriber, without subscriptions yet. `key` is what [`Hub::deliver`] names it by.
    pub fn open(&mut self, key: K) -> SubscriberId {
        self.subscriptions.open(key)
    }

    /// Ends a subscriber with all its subscriptions.
    pub fn close(&mut self, id: SubscriberId) {
        self.subscriptions.close(id);
    }

    /// Does what a client's message says, and appends the answer to `out`, if there is one: always
    /// to `subscribe` and `ping` and when the message is refused, to others if it has an id.
    pub fn handle(
        &mut self,
        from: SubscriberId,
        message: &[u8],
        format: Format,
        permissions: Permissions,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let ClientMessage { id, command } = format.read(message);
        let is_ping = matches!(command, Ok(Command::Ping));
        let is_answered = id != Id::None || is_ping || matches!(command, Ok(Command::Subscribe(_)));
        match command.and_then(|command| self.run(from, command, permissions)) {
            Ok(outcome) => {
                if is_answered {
                    format.write(&id, if is_ping { Reply::Pong } else { Reply::Ok }, out);
                }
                outcome
            }
            Err(fault) => {
                self.note_refused(&fault);
                format.write(&id, Reply::Error(&fault), out);
                Outcome::Refused(fault.code())
            }
        }
    }

    /// Accepts a publication that came another way than as a message of a subscriber. What is
    /// returned is to be delivered by the hubs of all workers, this one among them.
    ///
    /// # Errors
    /// When it is to be retained and there is no room. It is to be delivered nowhere then.
    pub fn publish(&mut self, publication: Publication) -> Result<Publication, Fault> {
        self.accept(publication).inspect_err(|fault| self.note_refused(fault))
    }

    /// Takes a publication that any hub accepted, and retains it if it says so. Returns its number,
    /// with which [`Hub::deliver`] is called later: in the order of the numbers. A publication of
    /// this hub's own is admitted as soon as it is accepted. Subscriptions made after that get it
    /// only as a retained message, so that they neither get it twice nor an older one behind it.
    pub fn admit(&mut self, publication: &Publication) -> u64 {
        if publication.retain() {
            self.order = self.order.max(publication.order >> WORKER_BITS);
            if self.retain(publication).is_err() {
                self.stats.retained_skipped += 1;
            }
        }
        self.admitted += 1;
        self.admitted
    }

    /// Delivers a publication with the number that it was admitted with: calls `each` once for each
    /// subscriber of this hub whose filters match, in no order, also for its publisher. `each` says
    /// what became of the message, which is counted; one that is sent at once is
    /// [`Pushed::Queued`]. How many subscribers there are.
    pub fn deliver(
        &mut self,
        publication: &Publication,
        number: u64,
        mut each: impl FnMut(K) -> Pushed,
    ) -> usize {
        let (stats, topic) = (&mut self.stats, publication.topic());
        let count = self.subscriptions.each(topic, number, |key| stats.note(each(key)));
        self.stats.received += 1;
        self.stats.delivered += count as u64;
        count
    }

    /// All retained publications, by topic.
    #[cfg(test)]
    fn retained(&self) -> impl Iterator<Item = &Publication> {
        self.retained.all()
    }

    /// Counts retained messages of a new subscription that had no room in the subscriber's queue.
    pub const fn note_left_out(&mut self, count: usize) {
        self.stats.retained_sent -= count as u64;
        self.stats.retained_left_out += count as u64;
    }

    /// Counts what became of a message in a subscriber's queue.
    pub const fn note_pushed(&mut self, pushed: Pushed) {
        self.stats.note(pushed);
    }

    /// Counts a publication that was refused before it came here.
    pub const fn note_refused(&mut self, fault: &Fault) {
        self.stats.refused[fault.index()] += 1;
    }

    /// What was counted, and what there is now.
    #[must_use]
    pub fn stats(&self) -> TopicsStats {
        TopicsStats {
            subscribers: self.subscriptions.subscribers(),
            subscriptions: self.subscriptions.subscriptions(),
            filters: self.subscriptions.filters(),
            filters_bytes: self.subscriptions.bytes(),
            retained: self.retained.count(),
            retained_bytes: self.retained.bytes(),
            ..self.stats
        }
    }

    fn run(
        &mut self,
        from: SubscriberId,
        command: Command<'_>,
        permissions: Permissions,
    ) -> Result<Outcome, Fault> {
        match command {
            Command::Ping => Ok(Outcome::Done),
            Command::Publish { topic, payload, is_json, retain } => {
                if !permissions.publish {
                    return Err(Fault::NotPermitted("publish"));
                }
                let publication = if is_json {
                    Publication::of_json(&topic, &payload, retain)
                } else {
                    Publication::new(&topic, &*payload, retain)
                };
                let publication = publication.map_err(Fault::InvalidTopic)?;
                self.accept(publication).map(Outcome::Publish)
            }
            Command::Subscribe(filter) => {
                if !permissions.subscribe {
                    return Err(Fault::NotPermitted("subscribe"));
                }
                self.subscribe(from, Filter::parse(&filter).map_err(Fault::InvalidFilter)?)
            }
            Command::Unsubscribe(filter) => {
                let filter = Filter::parse(&filter).map_err(Fault::InvalidFilter)?;
                let was_there = self.subscriptions.unsubscribe(from, filter);
                if was_there { Ok(Outcome::Done) } else { Err(Fault::NotSubscribed) }
            }
        }
    }

    fn subscribe(&mut self, from: SubscriberId, filter: Filter<'_>) -> Result<Outcome, Fault> {
        let HubLimits { subscriptions_max, filters_max, retained_burst, .. } = self.limits;
        let most = (subscriptions_max, filters_max);
        let added = self.subscriptions.subscribe(from, filter, self.admitted, most);
        let is_new = added.map_err(|why| match why {
            NotAdded::Subscriptions => Fault::TooManySubscriptions(subscriptions_max),
            NotAdded::Filters => Fault::TooManyFilters(filters_max),
            NotAdded::Closed => Fault::NotSubscribed,
        })?;
        if !is_new {
            return Ok(Outcome::Done);
        }
        let (retained, left_out) = self.retained.matching(filter, retained_burst);
        self.stats.retained_sent += retained.len() as u64;
        self.stats.retained_left_out += left_out as u64;
        Ok(Outcome::Subscribed { retained, left_out })
    }

    /// Gives a publication that is to be retained its order, and retains it.
    fn accept(&mut self, mut publication: Publication) -> Result<Publication, Fault> {
        let most = self.limits.payload_max;
        if publication.payload().len() > most {
            return Err(Fault::TooLarge(most));
        }
        if publication.retain() {
            let order = self.order + 1;
            publication.order = order << WORKER_BITS | u64::from(self.worker);
            self.retain(&publication).map_err(|RetainedFull| Fault::RetainedFull)?;
            self.order = order;
        }
        self.stats.published += 1;
        Ok(publication)
    }

    fn retain(&mut self, publication: &Publication) -> Result<(), RetainedFull> {
        self.retained.put(publication, self.limits.retained_max, self.limits.retained_bytes)
    }
}

/// Bytes of memory that a map takes, about: its items, and a byte for each place.
fn map_bytes<N, V>(map: &HashMap<N, V>) -> usize {
    map.capacity() * (size_of::<(N, V)>() + 1)
}

/// Gives memory back when most of it is unused.
fn shrink_map<N: Eq + Hash, V>(map: &mut HashMap<N, V>) {
    if map.len() <= map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests;
