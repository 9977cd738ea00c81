//! The frame proxy: many clients' exchanges over few connections to an upstream.
//!
//! ```text
//!  client ──request──> exchange ──checkout──> waiting ──a trunk has room──> sent ──answer──> done
//!                         ^                      │ queue timeout             │ trunk lost,
//!                         │                      v                           v not carried out
//!                      resting <──────── retry, if it is safe and the budget allows, or ERROR
//! ```
//!
//! An exchange is a slot of its own: it names the client that it answers and the trunk (a
//! connection to a server) that carries it, and each may go first. Answers reach clients of
//! version 1 in the order of their requests, whatever order they come in.
//!
//! | file | job |
//! |---|---|
//! | `client` | what is answered to one client, and in which order |
//! | `clients` | what clients say, and what they are told |
//! | `delivery` | what of an answer reaches its client, and when |
//! | `exchange` | the exchanges in flight: their ages, their deadlines, what becomes of them |
//! | `flow` | how much of an answer servers may send ahead of a client |
//! | `trunk` | one connection to a server |

mod client;
mod clients;
mod delivery;
mod exchange;
mod flow;
mod trunk;

use std::time::{Duration, Instant};

use self::client::Client;
pub use self::exchange::ExchangeTally;
use self::exchange::{Exchanges, State, Trial};
pub use self::flow::CREDIT_FIRST;
use self::trunk::Trunk;
use crate::mem::{Key, Slab};
use crate::proto::frame::{ClientOptions, Code, Version};
use crate::service::CloseReason;
use crate::service::cluster::Cluster;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::{
    Ask, Checkout, CloseCause, Expired, Grant, Pool, PoolGauges, PoolOptions,
};
use crate::service::cluster::servers::{Ended, ServerOutcome};
use crate::service::retry::{RetryBudget, RetryPolicy, Safety, Verdict};

/// Bytes of answers that may wait for one client before servers get no credit for more; without
/// flow control, before the connections that bring it more are not read any further.
pub const CLOG_BYTES: usize = 256 * 1024;
/// How long such a client may take nothing before it is closed, when it holds a connection to a
/// server that does not speak flow control.
pub const CLOG_TIME: Duration = Duration::from_secs(5);

/// Servers that are tried one after the other before it rests.
const TRIES_MAX: usize = 64;

/// How a frame proxy works.
#[derive(Debug, Clone)]
pub struct ExchangerOptions {
    /// What servers are asked for.
    pub client: ClientOptions,
    /// The connections. How many there may be is the cluster's quota.
    pub pool: PoolOptions,
    /// What happens to exchanges that fail. Its deadline is that of every exchange.
    pub retry: RetryPolicy,
    /// Retries, as a share of the requests.
    pub budget: f64,
}

/// What the session has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameAction {
    /// Connect to a server: [`Exchanger::trunk_attached`], then [`Exchanger::trunk_connected`] or
    /// [`Exchanger::trunk_closed`].
    Connect {
        /// The trunk.
        trunk: Key,
        /// The server's number.
        server: usize,
    },
    /// Something waits to be sent on the connection of this owner, or it may be read from again.
    Flush(Key),
    /// Close the trunk of this owner; it is gone here already.
    CloseTrunk(Key),
    /// Close the client of this owner.
    CloseClient(Key, CloseReason),
    /// Say how much the client of this owner has acknowledged, with [`Exchanger::client_taken`].
    LookAtClient(Key),
    /// Ask another worker for a place of its quota; the answer goes to that of the cluster.
    Ask(Ask),
}

/// What has become of a connection to a server, which the cluster is told when things are settled.
#[derive(Debug, Clone, Copy)]
enum Learnt {
    /// It stands, and an answer came on it; it took so long to stand.
    Answers(usize, Option<Duration>),
    /// It has ended. Whether that counts as a failed connect, and whether the server is blamed.
    Ended { server: usize, has_failed: bool, is_blamed: bool },
}

/// The frame proxy of one upstream on one worker. Pure: it takes and gives bytes. Servers and quota
/// are those of the upstream's [`Cluster`], which others use as well.
///
/// Calling order: clients come with [`Exchanger::open_client`], and their bytes with
/// [`Exchanger::client_bytes`]; trunks are asked for by [`FrameAction::Connect`]. After each call,
/// and at the end of a turn, [`Exchanger::settle`] and [`Exchanger::take_actions`].
#[derive(Debug)]
pub struct Exchanger {
    options: ExchangerOptions,
    clients: Slab<Client>,
    trunks: Slab<Trunk>,
    exchanges: Exchanges,
    pool: Pool<Key, Key>,
    /// What the cluster has yet to be told.
    learnt: Vec<Learnt>,
    /// Exchanges that the cluster counts as being under way.
    entered: usize,
    /// Changes of the cluster's servers that were followed.
    changes: u64,
    budget: RetryBudget,
    random: u64,
    actions: Vec<FrameAction>,
    /// Exchanges that have to be sent, or sent again, at the end of the call.
    fresh: Vec<Key>,
    lost: Vec<Key>,
    expired: Vec<Expired<Key, Key>>,
    /// Servers that could not be connected to since one stood, or since the last rest.
    tried: Vec<usize>,
    /// Rounds in which no server could be, and the end of the rest after the last one.
    rounds: u32,
    rest_until: Option<Instant>,
    draining: bool,
}

impl Exchanger {
    /// No client and no connection yet. `seed` is what its jitter comes from.
    #[must_use]
    pub fn new(options: ExchangerOptions, seed: u64, now: Instant) -> Self {
        let pool = Pool::new(options.pool);
        Self {
            clients: Slab::with_limit(u32::MAX),
            trunks: Slab::with_limit(u32::MAX),
            exchanges: Exchanges::new(options.retry.deadline),
            pool,
            learnt: Vec::new(),
            entered: 0,
            changes: 0,
            budget: RetryBudget::new(options.budget, now),
            random: seed | 1,
            actions: Vec::new(),
            fresh: Vec::new(),
            lost: Vec::new(),
            expired: Vec::new(),
            tried: Vec::new(),
            rounds: 0,
            rest_until: None,
            draining: false,
            options,
        }
    }

    /// The connections' pool, for its gauges and counters.
    #[must_use]
    pub const fn pool(&self) -> &Pool<Key, Key> {
        &self.pool
    }

    /// Another worker asks for a place.
    pub fn asked(&mut self, cluster: &mut Cluster, now: Instant) -> u32 {
        let gauges = self.pool.gauges();
        let Grant { places, close_idle } =
            cluster.quota.asked(self.pool.open(), gauges.idle, gauges.waiting);
        if !close_idle {
            return places;
        }
        if let Some(trunk) = self.pool.take_idle(CloseCause::Lent) {
            self.close_trunk(trunk, now);
        }
        places + 1
    }

    /// What was counted since the last call.
    pub fn take_tally(&mut self) -> ExchangeTally {
        self.exchanges.take_tally()
    }

    /// Exchanges that have no last answer yet.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// What is to be done, oldest first, into `into`.
    pub fn take_actions(&mut self, into: &mut Vec<FrameAction>) {
        into.append(&mut self.actions);
    }

    /// A trunk is lost, or never stood.
    pub fn trunk_closed(&mut self, trunk: Key, now: Instant) {
        let Some(mut state) = self.trunks.remove(trunk) else {
            return;
        };
        if state.ready {
            self.pool.closed(trunk, CloseCause::Failed);
        } else {
            self.pool.open_failed();
        }
        let is_useless = !state.ready || Self::was_useless(&state, now);
        self.learnt.push(Learnt::Ended {
            server: state.server,
            has_failed: !state.ready || (is_useless && !state.is_blameless),
            is_blamed: is_useless && !state.is_blameless,
        });
        state.machine.take_open(&mut self.lost);
        self.redo_lost(Safety::Unsafe, now);
        self.send_fresh(now);
    }

    /// Tells the cluster what has become of connections and exchanges.
    fn tell(&mut self, cluster: &mut Cluster, now: Instant) {
        let mut learnt = std::mem::take(&mut self.learnt);
        for one in learnt.drain(..) {
            match one {
                Learnt::Answers(server, latency) => {
                    let outcome = ServerOutcome { ended: Ended::Stood, latency };
                    cluster.servers.judge(server, outcome, now);
                }
                Learnt::Ended { server, has_failed, is_blamed } => {
                    cluster.servers.leave(server);
                    if is_blamed {
                        let failure = Ended::Failed(Failure::ConnectOther);
                        let outcome = ServerOutcome { ended: failure, latency: None };
                        cluster.servers.judge(server, outcome, now);
                    }
                    if has_failed {
                        self.connect_failed(server, cluster, now);
                    }
                }
            }
        }
        self.learnt = learnt;
        self.count_gone(cluster);
    }

    /// Connections to servers that are drained or dead take no further exchange, and close after
    /// those that they carry.
    fn follow_servers(&mut self, cluster: &Cluster, now: Instant) {
        if std::mem::replace(&mut self.changes, cluster.servers.changes())
            == cluster.servers.changes()
        {
            return;
        }
        let trunks: Vec<Key> = self.trunks.keys().collect();
        for trunk in trunks {
            let Some(state) = self.trunks.get_mut(trunk) else { continue };
            state.is_leaving = !cluster.servers.takes_more(state.server);
            let retires = state.is_leaving && state.ready;
            if retires && !self.pool.retire(trunk, CloseCause::Retired) {
                self.close_trunk(trunk, now);
            }
        }
    }

    /// Exchanges that are over leave the cluster's count.
    fn count_gone(&mut self, cluster: &mut Cluster) {
        let gone = self.entered.saturating_sub(self.exchanges.len());
        self.entered -= gone;
        cluster.breaker.leave_many(u32::try_from(gone).unwrap_or(u32::MAX));
    }

    /// When to call [`Exchanger::expire`], if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self, cluster: &Cluster) -> Option<Instant> {
        let is_asking = self.pool.is_short()
            && self.pool.needs(u32::MAX) > self.pool.needs(cluster.quota.limit());
        let asks = cluster.quota.rest_until().filter(|_| is_asking);
        let rest = self.rest_until.into_iter().chain(asks).min();
        let all =
            [self.exchanges.next_deadline(), self.pool.next_deadline(), self.next_look(), rest];
        all.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Instant) {
        while let Some(exchange) = self.exchanges.overdue(now) {
            if let State::Sent { trunk, stream } = self.exchanges.state(exchange) {
                self.give_up(trunk, stream, now);
            } else {
                self.pool.cancel(&exchange);
            }
            self.fail(exchange, Code::Deadline, "no answer came in time");
        }
        self.exchanges.rested(now, &mut self.fresh);
        self.pool.expire(now, &mut self.expired);
        let mut expired = std::mem::take(&mut self.expired);
        for expired in expired.drain(..) {
            match expired {
                Expired::Waiter(exchange) => {
                    let is_down = self.rounds > 0 || !self.tried.is_empty();
                    let code = if is_down { Code::Unavailable } else { Code::Overloaded };
                    self.fail(exchange, code, "no connection to a server was free in time");
                }
                Expired::Connection(trunk) => self.close_trunk(trunk, now),
            }
        }
        self.expired = expired;
        self.look_at_clogged_clients(now);
        if self.rest_until.is_some_and(|until| until <= now) {
            self.rest_until = None;
        }
        self.send_fresh(now);
    }

    /// Serves who waits, opens what is needed, closes what is done with: once at the end of a turn.
    pub fn settle(&mut self, cluster: &mut Cluster, now: Instant) {
        cluster.servers.advance(now);
        self.tell(cluster, now);
        self.follow_servers(cluster, now);
        while let Some((exchange, trunk)) = self.pool.next_ready(now) {
            self.send(exchange, trunk, now);
        }
        while self.exchanges.has_ready() {
            self.send_fresh(now);
        }
        if self.draining && self.clients.is_empty() {
            let trunks: Vec<Key> = self.trunks.keys().collect();
            for trunk in trunks {
                self.pool.closed(trunk, CloseCause::Shutdown);
                self.close_trunk(trunk, now);
            }
        } else if self.rest_until.is_none() {
            let wanted = self.pool.needs(u32::MAX);
            let possible = self.pool.needs(cluster.quota.limit());
            let made = (0..possible).all(|_| self.connect(cluster, now));
            if made && wanted > possible && self.pool.is_short() {
                self.actions.extend(cluster.quota.want(now).map(FrameAction::Ask));
            }
        }
        self.tell(cluster, now);
    }

    /// No more clients will come: connections close when the last client has gone.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Begins to make a connection; false when there is no server for it.
    fn connect(&mut self, cluster: &mut Cluster, now: Instant) -> bool {
        // Exchanges of many clients share connections: no policy goes by their addresses.
        let Some(server) = cluster.servers.pick_any(None, &self.tried, now) else {
            self.rest_if_all_failed(cluster, now);
            return false;
        };
        let state = Trunk::new(self.options.client, server, now);
        if let Ok(trunk) = self.trunks.insert(state) {
            self.pool.begin_open();
            self.actions.push(FrameAction::Connect { trunk, server });
        }
        true
    }

    /// A connect failed.
    fn connect_failed(&mut self, server: usize, cluster: &Cluster, now: Instant) {
        if !self.tried.contains(&server) {
            self.tried.push(server);
        }
        self.rest_if_all_failed(cluster, now);
    }

    /// When every server was tried in vain, or none may be tried, no exchange waits for them any
    /// longer.
    fn rest_if_all_failed(&mut self, cluster: &Cluster, now: Instant) {
        let servers = &cluster.servers;
        let has_other = servers.has_other(&self.tried) || servers.has_unreachable(&self.tried);
        let PoolGauges { idle, in_use, opening, .. } = self.pool.gauges();
        if opening > 0 || (has_other && self.tried.len() < TRIES_MAX) {
            return;
        }
        self.tried.clear();
        self.rounds = self.rounds.saturating_add(1);
        let policy = &self.options.retry;
        let rest = policy.backoff.saturating_mul(1 << self.rounds.min(16)).min(policy.backoff_max);
        self.rest_until = Some(now + rest);
        if idle + in_use > 0 {
            return;
        }
        while let Some(exchange) = self.pool.take_waiter() {
            self.fail(exchange, Code::Unavailable, "no server can be connected to");
        }
    }

    /// Sends what is new.
    fn send_fresh(&mut self, now: Instant) {
        self.exchanges.take_ready(&mut self.fresh, now);
        let mut fresh = std::mem::take(&mut self.fresh);
        for exchange in fresh.drain(..) {
            if !self.exchanges.is_wanted(exchange, &self.clients) {
                self.exchanges.remove(exchange);
                continue;
            }
            match self.pool.checkout(exchange, now) {
                Checkout::Use(trunk) => self.send(exchange, trunk, now),
                Checkout::Wait => self.exchanges.set_state(exchange, State::Waiting),
                Checkout::Refused => {
                    self.fail(exchange, Code::Overloaded, "too many requests wait");
                }
            }
        }
        debug_assert!(self.fresh.is_empty(), "sending makes nothing new");
        self.fresh = fresh;
    }

    /// Sends an exchange on a trunk that was checked out for it.
    fn send(&mut self, exchange: Key, trunk: Key, now: Instant) {
        if !self.exchanges.is_wanted(exchange, &self.clients) {
            self.exchanges.remove(exchange);
            self.release(trunk, now);
            return;
        }
        let sent = match self.trunks.get_mut(trunk) {
            Some(state) => self.exchanges.send(exchange, trunk, state, &mut self.actions, now),
            None => false,
        };
        if !sent {
            self.release(trunk, now);
            self.fail(exchange, Code::BadPayload, "the payload is larger than the server takes");
            return;
        }
        let Some(state) = self.trunks.get_mut(trunk) else { return };
        if state.machine.is_spent() {
            // It carries this last exchange, and so stays until that is done.
            let _kept = self.pool.retire(trunk, CloseCause::Retired);
        }
        if self.exchanges.is_large(exchange) {
            state.large += 1;
            if state.large > 1 {
                self.pool.press();
            }
            if !state.machine.has_flow() {
                // What is asked behind it would wait until its client has taken it.
                self.pool.set_capacity(trunk, 1);
                self.pool.press();
            }
        }
    }

    /// Decides what becomes of exchanges whose connection was lost.
    fn redo_lost(&mut self, safety: Safety, now: Instant) {
        let mut lost = std::mem::take(&mut self.lost);
        for exchange in lost.drain(..) {
            if !self.exchanges.is_wanted(exchange, &self.clients) {
                self.exchanges.bury(&mut self.clients, exchange);
                continue;
            }
            let trial = Trial { safety, random: self.next_random(), now };
            let policy = &self.options.retry;
            let refused = self.exchanges.refused(exchange);
            match self.exchanges.retry(exchange, policy, &mut self.budget, trial) {
                Some(Verdict::Again { at }) if at <= now => {
                    self.exchanges.lose(exchange);
                    self.fresh.push(exchange);
                }
                Some(Verdict::Again { at }) => self.exchanges.rest(exchange, at),
                Some(Verdict::GiveUp(reason)) => {
                    let code = match (refused, safety) {
                        // What servers said tells more than that there was none.
                        (Some(code), _) => code,
                        (None, Safety::NotSent) => Code::Unavailable,
                        (None, Safety::Idempotent | Safety::Unsafe) => Code::UpstreamLost,
                    };
                    self.fail(exchange, code, reason.text());
                }
                None => {}
            }
        }
        self.lost = lost;
    }

    /// Answers an exchange with an error.
    fn fail(&mut self, exchange: Key, code: Code, text: &str) {
        self.exchanges.fail(&mut self.clients, exchange, code, text, &mut self.actions);
    }

    /// Nobody waits for a request any more. In version 1, nothing behind it can be answered before
    /// it: a server that is silent for so long is given up. In version 2 the connection goes on,
    /// unless nothing at all came for so long, or too many of its places are lost in this way; then
    /// it takes no more, and closes when nobody waits for anything on it.
    fn give_up(&mut self, trunk: Key, stream: u32, now: Instant) {
        let Some(state) = self.trunks.get_mut(trunk) else { return };
        if state.machine.has_flow() {
            state.machine.reset(stream, &mut state.out);
            self.actions.extend(state.request_flush());
        }
        state.machine.give_up(stream);
        let abandoned = state.abandoned();
        let most = self.options.retry.deadline;
        let heard = state.heard.map(|heard| now.saturating_duration_since(heard));
        let is_silent = heard.is_none_or(|silence| silence >= most);
        let is_spent = abandoned.saturating_mul(2) > self.options.pool.capacity;
        let is_v1 = state.machine.version() == Version::V1;
        if !(is_v1 || is_silent || is_spent) {
            return;
        }
        if is_v1 || self.pool.carries(trunk) <= abandoned {
            self.actions.extend(state.owner.map(FrameAction::CloseTrunk));
        }
        // It is closed after this call, or later, and takes nothing until then.
        let _carries = self.pool.retire(trunk, CloseCause::Failed);
    }

    /// A place on a trunk is not needed.
    fn release(&mut self, trunk: Key, now: Instant) {
        if !self.pool.release(trunk, now) {
            self.close_trunk(trunk, now);
        }
    }

    /// Closes a trunk that is no longer in the pool.
    fn close_trunk(&mut self, trunk: Key, now: Instant) {
        if let Some(state) = self.trunks.get_mut(trunk) {
            state.is_blameless = true;
            self.actions.extend(state.owner.map(FrameAction::CloseTrunk));
        }
        self.trunk_closed(trunk, now);
    }

    /// Xorshift: jitter needs no more.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests;
