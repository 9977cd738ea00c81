//! The HTTP proxy: which server answers a request, over which connection, and what follows when
//! that fails. It decides; the session carries its [`ProxyAction`]s out, on sockets, and tells it
//! what has come. It knows no version of HTTP.
//!
//! | file | job |
//! |---|---|
//! | `exchange` | one request and its answer, and how far they have come |
//! | `attempt` | tries: the first, the next, the last |
//! | `hedge` | a second try beside the first |
//! | `answer` | what servers say |
//! | `connections` | which connections there are, who waits for them, which are closed |
//! | `tunnel` | WebSockets: their handshakes, and what follows |
//! | `inspect` | the frames of WebSockets, where they are looked at |
//! | `clients` | what waits for each client that may have many exchanges |
//! | `tally` | what is counted |

mod answer;
mod attempt;
mod clients;
mod connections;
mod exchange;
mod hedge;
mod inspect;
mod tally;
#[cfg(test)]
mod tests;
mod tunnel;

use std::time::Instant;

pub use self::answer::{HeadVerdict, InterimVerdict};
use self::clients::ClientSums;
pub use self::exchange::{Answer, Exchange, ForwardedRequest, Reply};
use self::exchange::{Hedged, Kept, State, Tries, Waiting};
pub use self::inspect::InspectRules;
pub use self::tally::ProxyTally;
pub use self::tunnel::WebSocket;
use crate::mem::{Buf, Key, Slab};
use crate::proto::http::{BodySize, Fields, RequestHead, ResponseHead};
use crate::proto::websocket::Sender;
use crate::service::cluster::Clusters;
use crate::service::cluster::failure::Failure;
use crate::service::http::budget::{WAITING_MAX, WaitingBudget};
use crate::service::http::record::RequestRecord;

/// Exchanges at a time: more than there are connections to carry them.
const EXCHANGES_MAX: u32 = 1 << 20;

/// What the session has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyAction {
    /// Connect to a server: [`HttpProxy::connection_opened`] or [`HttpProxy::connection_failed`]
    /// follows.
    Connect {
        /// The cluster.
        cluster: usize,
        /// The number of its server.
        server: usize,
    },
    /// Connect to a server by HTTP/1.1, for one exchange alone:
    /// [`HttpProxy::connection_opened_alone`] or [`HttpProxy::connection_failed_alone`] follows.
    ConnectAlone {
        /// The cluster.
        cluster: usize,
        /// The number of its server.
        server: usize,
        /// The exchange.
        exchange: Key,
    },
    /// A connection carries an exchange from now on: send the request.
    Send {
        /// The connection to a server.
        connection: Key,
        /// The exchange.
        exchange: Key,
    },
    /// What a connection carries is not wanted any more: reset that stream, or, where a connection
    /// carries one exchange at a time, close it.
    Cancel {
        /// The connection to a server.
        connection: Key,
        /// The exchange.
        exchange: Key,
    },
    /// A connection that carries nothing is of no more use; the proxy knows it no longer.
    Close {
        /// The connection to a server.
        connection: Key,
    },
    /// The connection of a client has something to do for one of its requests.
    WakeClient {
        /// The connection.
        connection: Key,
        /// The stream of the request; 0 where there are no streams.
        stream: u32,
    },
    /// A connection to a server has something to do for an exchange.
    WakeServer {
        /// The connection.
        connection: Key,
        /// The exchange.
        exchange: Key,
    },
    /// Ask another worker for a place of its quota of connections: the answer goes to
    /// [`HttpProxy::quota_lent`].
    Borrow {
        /// The cluster.
        cluster: usize,
        /// The worker that is asked.
        worker: usize,
    },
    /// Call [`HttpProxy::exchange_due`] at that time; what was asked for before does not count.
    Arm {
        /// The exchange.
        exchange: Key,
        /// When.
        at: Instant,
    },
    /// Which servers are left out has changed: [`Servers::next_event`] says how.
    ///
    /// [`Servers::next_event`]: crate::service::cluster::servers::Servers::next_event
    Report {
        /// The cluster.
        cluster: usize,
    },
    /// Call [`HttpProxy::expire`] at that time, or earlier.
    Watch {
        /// The cluster.
        cluster: usize,
        /// When.
        at: Instant,
    },
}

/// An exchange that begins.
#[derive(Debug)]
pub struct NewExchange {
    /// The client's connection, and the stream of the request there; 0 where there are no streams.
    pub client: (Key, u32),
    /// The cluster whose servers are asked.
    pub cluster: usize,
    /// What is asked.
    pub request: ForwardedRequest,
    /// What is recorded of it.
    pub record: RequestRecord,
    /// What the balancer goes by.
    pub hash: Option<u64>,
    /// When all must be over.
    pub until: Option<Instant>,
}

/// What is left of an exchange that is over.
#[derive(Debug)]
pub struct Ended {
    /// The request's head.
    pub head: Box<RequestHead>,
    /// What was recorded.
    pub record: RequestRecord,
    /// Heads of answers that the client has not taken, to be used again.
    pub answers: Vec<Box<ResponseHead>>,
    /// The answer's head, if the client has not taken it, to be used again.
    pub answer: Option<Box<ResponseHead>>,
}

/// What the proxy knows of a cluster, beside what the cluster knows itself.
#[derive(Debug, Default)]
struct Watched {
    /// When the session calls [`HttpProxy::expire`].
    until: Option<Instant>,
    tally: ProxyTally,
    /// Something was counted since the session has looked.
    is_counted: bool,
    /// Exchanges under way.
    active: u32,
}

impl Watched {
    /// Something is counted of this cluster.
    fn count(&mut self, counted: &mut Vec<usize>, cluster: usize) -> &mut ProxyTally {
        if !std::mem::replace(&mut self.is_counted, true) {
            counted.push(cluster);
        }
        &mut self.tally
    }
}

/// The exchanges of one worker. Pure: time and clusters are arguments.
///
/// Calling order: an exchange comes with [`HttpProxy::insert`] and begins with
/// [`HttpProxy::start`]; its body comes with [`HttpProxy::push_body`] and [`HttpProxy::end_body`].
/// A connection that carries it takes what it has to send, and gives what has come to the methods
/// of `answer`; the client's connection takes that, and [`HttpProxy::end`] is the exchange's end,
/// however that came. After each call, and before the turn is over, the actions are carried out:
/// [`HttpProxy::take_actions`].
#[derive(Debug)]
pub struct HttpProxy {
    exchanges: Slab<Exchange>,
    watched: Vec<Watched>,
    /// Clusters that something was counted of.
    counted: Vec<usize>,
    actions: Vec<ProxyAction>,
    /// Exchanges that parts of a body came for in this turn.
    filled: Vec<Key>,
    /// What waits in exchanges and on connections.
    budget: WaitingBudget,
    clients: ClientSums,
}

/// What an exchange acts on, beside itself.
struct Surroundings<'a> {
    clusters: &'a mut Clusters,
    watched: &'a mut Vec<Watched>,
    counted: &'a mut Vec<usize>,
    actions: &'a mut Vec<ProxyAction>,
    filled: &'a mut Vec<Key>,
    now: Instant,
}

impl Surroundings<'_> {
    fn tally(&mut self, cluster: usize) -> &mut ProxyTally {
        self.watched[cluster].count(self.counted, cluster)
    }
}

impl HttpProxy {
    /// No exchange yet, for so many clusters; [`HttpProxy::ensure`] adds others.
    #[must_use]
    pub fn new(clusters: usize) -> Self {
        Self {
            exchanges: Slab::with_limit(EXCHANGES_MAX),
            watched: (0..clusters).map(|_| Watched::default()).collect(),
            counted: Vec::new(),
            actions: Vec::new(),
            filled: Vec::new(),
            budget: WaitingBudget::default(),
            clients: ClientSums::default(),
        }
    }

    /// A cluster of this number is there from now on, of which nothing was counted. Another one may
    /// have had the number before, on which no exchange is under way any more.
    pub fn ensure(&mut self, cluster: usize) {
        if cluster >= self.watched.len() {
            self.watched.resize_with(cluster + 1, Watched::default);
        }
        let watched = &mut self.watched[cluster];
        debug_assert_eq!(watched.active, 0, "a number is used again when its cluster is not");
        // What was to be looked at still is.
        let Watched { is_counted, active, .. } = *watched;
        *watched = Watched { is_counted, active, ..Watched::default() };
    }

    /// How many exchanges are under way on a cluster. Takes no step for each.
    #[must_use]
    pub fn active(&self, cluster: usize) -> u32 {
        self.watched.get(cluster).map_or(0, |watched| watched.active)
    }

    /// Whether an exchange is under way on a cluster.
    #[must_use]
    pub fn uses(&self, cluster: usize) -> bool {
        self.active(cluster) > 0
    }

    /// What the session has to do; `into` is empty.
    pub fn take_actions(&mut self, into: &mut Vec<ProxyAction>) {
        debug_assert!(into.is_empty(), "what was taken is carried out");
        std::mem::swap(&mut self.actions, into);
    }

    /// Whether the session has something to do.
    #[must_use]
    pub const fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// An exchange.
    #[must_use]
    pub fn get(&self, exchange: Key) -> Option<&Exchange> {
        self.exchanges.get(exchange)
    }

    /// An exchange, to be taken from.
    pub fn get_mut(&mut self, exchange: Key) -> Option<&mut Exchange> {
        self.exchanges.get_mut(exchange)
    }

    /// The next cluster that something was counted of since the last call.
    pub fn next_counted(&mut self) -> Option<usize> {
        let cluster = self.counted.pop()?;
        self.watched[cluster].is_counted = false;
        Some(cluster)
    }

    /// What was counted of a cluster.
    #[must_use]
    pub fn tally(&self, cluster: usize) -> &ProxyTally {
        self.watched.get(cluster).map_or(&ProxyTally::NONE, |watched| &watched.tally)
    }

    /// Exchanges under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether no exchange is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// An exchange and what it acts on.
    fn split<'a>(
        &'a mut self,
        key: Key,
        clusters: &'a mut Clusters,
        now: Instant,
    ) -> Option<(&'a mut Exchange, Surroundings<'a>)> {
        let Self { exchanges, watched, counted, actions, filled, .. } = self;
        let exchange = exchanges.get_mut(key)?;
        Some((exchange, Surroundings { clusters, watched, counted, actions, filled, now }))
    }

    /// Takes an exchange; it comes back when there are too many, or its cluster is not there.
    /// [`HttpProxy::start`] follows.
    ///
    /// # Errors
    /// The exchange, as it cannot be taken.
    #[expect(clippy::result_large_err, reason = "what came is given back as it came")]
    pub fn insert(
        &mut self,
        new: NewExchange,
        clusters: &mut Clusters,
        now: Instant,
    ) -> Result<Key, (Box<RequestHead>, RequestRecord)> {
        let NewExchange { client, cluster, mut request, mut record, hash, until } = new;
        let (client, stream) = client;
        if cluster >= self.watched.len() || clusters.find(cluster).is_none() {
            return Err((request.head, record));
        }
        record.upstream.server = Some((cluster, None));
        if request.size == BodySize::None {
            request.body.end(None);
        }
        let exchange = Exchange {
            client,
            stream,
            cluster,
            request,
            answer: Answer::default(),
            record,
            tries: Tries {
                state: State::Resting,
                began: now,
                second: None,
                second_has_body: false,
                hedged: Hedged::No,
                attempts: clusters.get(cluster).retries.begin(now),
                hash,
                is_sent: false,
                has_entered: false,
            },
            waiting: Waiting::default(),
            kept: Kept::default(),
            failed: None,
            until,
        };
        let inserted = self.exchanges.insert(exchange);
        let key = inserted.map_err(|full| (full.request.head, full.record))?;
        self.watched[cluster].active += 1;
        Ok(key)
    }

    /// An exchange begins: it looks for a server.
    pub fn start(&mut self, key: Key, clusters: &mut Clusters, now: Instant) {
        let Some((exchange, mut around)) = self.split(key, clusters, now) else { return };
        let cluster = exchange.cluster;
        around.tally(cluster).begun += 1;
        if around.clusters.get(cluster).breaker.try_enter().is_ok() {
            exchange.tries.has_entered = true;
            exchange.try_server(key, &mut around);
        } else {
            exchange.fail(key, Failure::Breaker, &mut around);
        }
    }

    /// An exchange is over, for its client: what is left of it. What a server still does for it is
    /// not wanted any more.
    pub fn end(&mut self, key: Key, clusters: &mut Clusters, now: Instant) -> Option<Ended> {
        let (exchange, mut around) = self.split(key, clusters, now)?;
        exchange.unlink(key, &mut around);
        let exchange = self.exchanges.get_mut(key)?;
        exchange.record.inspected = exchange.take_inspected().map(Box::new);
        self.budget.remove(exchange.counted());
        self.clients.end(exchange);
        self.watched[exchange.cluster].active -= 1;
        let cluster = clusters.get(exchange.cluster);
        exchange.tries.attempts.finish(&mut cluster.breaker);
        if exchange.tries.has_entered {
            cluster.breaker.leave();
        }
        let Exchange { request, record, answer, .. } = self.exchanges.remove(key)?;
        Some(Ended { head: request.head, record, answers: answer.interim, answer: answer.head })
    }

    /// Whether more of the request's body may be read.
    #[must_use]
    pub fn takes_body(&self, exchange: Key) -> bool {
        self.exchanges.get(exchange).is_some_and(|one| one.takes_body(self.budget.allowance()))
    }

    /// Whether more of the request's body would be read, were the worker's budget not short.
    #[must_use]
    pub fn is_body_limited(&self, exchange: Key) -> bool {
        let is_short = |one: &Exchange| {
            !one.takes_body(self.budget.allowance()) && one.takes_body(WAITING_MAX)
        };
        self.budget.is_short() && self.exchanges.get(exchange).is_some_and(is_short)
    }

    /// The same of the answer's body.
    #[must_use]
    pub fn is_answer_limited(&self, exchange: Key) -> bool {
        let is_short = |one: &Exchange| {
            !one.takes_answer(self.allowed_of(one, self.budget.allowance()))
                && one.takes_answer(self.allowed_of(one, WAITING_MAX))
        };
        self.budget.is_short() && self.exchanges.get(exchange).is_some_and(is_short)
    }

    /// Bytes of an answer that may wait, when `allowed` may wait for its client in all: what other
    /// exchanges of the client have is not there for this one.
    fn allowed_of(&self, one: &Exchange, allowed: usize) -> usize {
        allowed.saturating_sub(self.clients.beside(one))
    }

    /// What waits in exchanges and on connections.
    #[must_use]
    pub const fn budget(&self) -> &WaitingBudget {
        &self.budget
    }

    /// The same, for sessions that count what waits on their connections.
    pub const fn budget_mut(&mut self) -> &mut WaitingBudget {
        &mut self.budget
    }

    /// So many bytes wait on the client's connection: the exchange has less room for others.
    pub fn note_on_client(&mut self, exchange: Key, bytes: usize) {
        if let Some(one) = self.exchanges.get_mut(exchange) {
            one.waiting.on_client = bytes;
        }
    }

    /// So many bytes wait on the connection to the server.
    pub fn note_on_server(&mut self, exchange: Key, bytes: usize) {
        if let Some(one) = self.exchanges.get_mut(exchange) {
            one.waiting.on_server = bytes;
        }
    }

    /// A part of the request's body has come.
    pub fn push_body(&mut self, key: Key, part: Buf, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.record.received += part.len() as u64;
        exchange.waiting.counted += part.len();
        self.budget.add(part.len());
        exchange.push_inspected(Sender::Client, part, now);
        exchange.wake_server(key, &mut self.actions);
        self.filled.push(key);
        if exchange.is_inspected() {
            self.check_inspected(key, now);
        }
    }

    /// All of the request's body has come.
    pub fn end_body(&mut self, key: Key, trailers: Option<Box<Fields>>) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.request.body.end(trailers);
        exchange.wake_server(key, &mut self.actions);
    }

    /// The client has taken some of the answer: there is room for more.
    pub fn answer_taken(&mut self, key: Key) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.recount(&mut self.budget, &mut self.clients);
            exchange.wake_server(key, &mut self.actions);
            if exchange.is_tunnel() {
                self.filled.push(key);
            }
        }
    }

    /// A server has taken some of the request's body: there is room for more.
    pub fn request_taken(&mut self, key: Key) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.recount(&mut self.budget, &mut self.clients);
        if exchange.is_tunnel() {
            self.filled.push(key);
        }
        // One that has sent all has nothing to do.
        if !exchange.request.body.has_ended() {
            exchange.wake_client(&mut self.actions);
        }
    }

    /// An exchange cannot go on, for a want of ours.
    pub fn fail(&mut self, key: Key, failure: Failure, clusters: &mut Clusters, now: Instant) {
        if let Some((exchange, mut around)) = self.split(key, clusters, now) {
            exchange.fail(key, failure, &mut around);
        }
    }

    /// The end of a turn: what waits in exchanges holds nothing of the pool.
    pub fn hold(&mut self, now: Instant) {
        for key in self.filled.drain(..) {
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.request.body.hold();
                exchange.answer.body.hold();
                exchange.note_moved(now);
                exchange.recount(&mut self.budget, &mut self.clients);
            }
        }
    }

    /// Checks what must always hold at the end of a turn; for tests, as it looks at everything.
    /// Returns the bytes of memory that the bodies take; all else of [`HttpProxy::budget`] waits on
    /// connections.
    ///
    /// # Panics
    /// When it does not.
    pub fn check(&self, clusters: &Clusters) -> usize {
        let mut waiting = 0;
        let (mut active, mut entered) = (vec![0; self.watched.len()], vec![0; self.watched.len()]);
        for exchange in self.exchanges.values() {
            let Tries { state, second, has_entered, .. } = &exchange.tries;
            active[exchange.cluster] += 1_u32;
            entered[exchange.cluster] += u32::from(*has_entered);
            let is_waiting = matches!(state, State::Waiting { .. } | State::Linked { .. });
            assert!(second.is_none() || is_waiting, "a second try stands beside a first");
            assert!(second.is_none() || !exchange.has_head(), "an answer settles the tries");
            let ends = *state == State::Done;
            assert!(exchange.failed.is_none() || ends, "a failed exchange is tried no more");
            assert_eq!(exchange.waiting.counted, exchange.cost(), "what waits is counted");
            waiting += exchange.cost();
        }
        let of_many = self.exchanges.values().filter(|exchange| exchange.slot().is_some());
        let of_many = of_many.map(|exchange| exchange.answer.body.cost()).sum::<usize>();
        assert_eq!(self.clients.sum(), of_many, "what waits for each client is counted");
        for (number, (active, entered)) in active.into_iter().zip(entered).enumerate() {
            assert_eq!(self.active(number), active, "exchanges under way are counted");
            match clusters.find(number) {
                Some(cluster) => {
                    assert!(cluster.breaker.taken()[0] >= entered, "the breaker counts exchanges");
                    let keeps = cluster.is_retired() && cluster.gauges().idle > 0;
                    assert!(!keeps, "a cluster that is retired keeps no idle connection");
                }
                None => assert_eq!(active, 0, "an exchange has a cluster"),
            }
        }
        assert!(self.budget.used() >= waiting, "the budget has the sum of all");
        waiting
    }
}
