//! Another plan takes the place of the present one, between two turns. What has to be done for each
//! connection is done a few at a time, so that no turn is long.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::accept::Listener;
use super::context::JITTER_SEED;
use super::kind::Session;
use super::lease::Lease;
use super::options::SessionOptions;
use super::plan::{
    DatagramPlan, FreshCluster, ListenerPlan, PlanOptions, Planned, PlannedUpstream, WorkerSettings,
};
use super::published::Published;
use super::stats_pool::TrunkSums;
use super::{Due, Sessions};
use crate::mem::Key;
use crate::ring::{Driver, Fd};
use crate::runtime::TimerId;
use crate::service::cluster::Cluster;
use crate::service::cluster::pool::CloseCause;
use crate::service::proxy::Exchanger;

/// Connections that are looked at in one turn after a reload.
const CONNECTIONS_PER_TURN: u32 = 256;
/// Idle connections to servers of an earlier plan that are closed in one turn.
const IDLE_PER_TURN: usize = 32;

/// What became of the connections of clients when a plan took the place of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replaced {
    /// They go on.
    pub kept: u64,
    /// Their listeners are gone: they end with what is under way on them.
    pub drained: u64,
    /// Flows of UDP listeners that are gone.
    pub closed: u64,
}

/// Connections that are to be looked at since a plan was replaced, and those whose listeners are
/// gone.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// The slot that is looked at next, while connections are looked at.
    next: Option<u32>,
    /// Those whose time was over at this moment are ended in this round.
    cut_at: Option<Instant>,
    /// By number, the listeners that are gone, and when their connections are ended.
    gone: Vec<(usize, Instant)>,
    /// For the earliest of them, and when it fires.
    timer: Option<(TimerId, Instant)>,
    /// More idle connections of earlier plans are there to be closed.
    has_idle: bool,
}

impl Removal {
    /// Whether there is something to be done in the next turn.
    pub(super) const fn is_busy(&self) -> bool {
        self.next.is_some() || self.has_idle
    }
}

impl SessionOptions {
    /// The plan that the worker starts with, whose numbers are places in these lists.
    pub(super) fn first_plan(&mut self, now: Instant) -> PlanOptions {
        fn numbered<T>(all: Vec<T>) -> Vec<Planned<T>> {
            let all = all.into_iter().enumerate();
            all.map(|(number, options)| Planned { lease: Lease::new(number), options }).collect()
        }
        let upstreams = std::mem::take(&mut self.upstreams).into_iter().enumerate();
        let place = (self.worker, self.workers.cells().len());
        let seed = self.worker_seed();
        let upstreams = upstreams.map(|(number, options)| {
            let cluster = Cluster::new(&options.cluster, place, cluster_seed(seed, number), now);
            PlannedUpstream {
                lease: Lease::new(number),
                counted: Lease::new(number),
                options: options.into(),
                fresh: Some(FreshCluster {
                    cluster: cluster.into(),
                    before: None,
                    is_checked: true,
                }),
            }
        });
        PlanOptions {
            id: 0,
            upstreams: upstreams.collect(),
            listeners: numbered(std::mem::take(&mut self.listeners)),
            datagrams: numbered(std::mem::take(&mut self.datagrams)),
            fresh_routes: Vec::new(),
            folders: None,
            settings: WorkerSettings {
                relay: self.relay,
                compression_memory: self.compression_memory,
                waiting_memory: self.waiting_memory,
                connections_max: self.connections_max,
                in_flight_max: None,
                access_log: self.access_log,
                hand_off_ratio: self.hand_off_ratio,
                shutdown_timeout: Duration::ZERO,
            },
        }
    }
}

/// What random choices of a cluster begin with.
#[must_use]
pub const fn cluster_seed(worker_seed: u64, number: usize) -> u64 {
    super::http::seed_of(worker_seed, number)
}

impl<D: Driver> Sessions<D> {
    /// Puts a plan in the place of the present one. The sockets that it brings are the worker's
    /// from now on. Connections keep the parts of their plan; requests on kept connections of HTTP
    /// take the new one.
    pub fn replace_plan(&mut self, plan: PlanOptions) -> Replaced {
        let PlanOptions { id, listeners, datagrams, upstreams, settings, .. } = plan;
        self.set_up(&settings);
        self.replace_upstreams(upstreams);
        let context = &mut self.context;
        let (workers, worker) =
            (std::sync::Arc::clone(&context.options.workers), context.options.worker);
        let own = &context.plan.upstreams;
        let listeners: Vec<_> = listeners
            .into_iter()
            .map(|one| Rc::new(ListenerPlan::new(one, &workers, worker, own)))
            .collect();
        let datagrams: Vec<_> = datagrams
            .into_iter()
            .map(|one| Rc::new(DatagramPlan::new(one, &workers, worker, own)))
            .collect();
        for route in plan.fresh_routes {
            context.histograms.latencies.reset_route(route);
            context.http.forget_route(route);
        }
        if let Some(folders) = plan.folders {
            context.keep_folders(&folders);
        }
        let services = || listeners.iter().map(|one| &one.options.service);
        let routes = services().filter_map(|one| one.http()).flat_map(|options| options.topics());
        let frames = services().filter_map(|one| one.frame_topics());
        context.topics.keep(routes.chain(frames));
        let before = context.plan.set_listeners(&listeners);
        context.plan.id = id;
        context.cell().set_plan(id);
        let drained = self.note_gone(&before, settings.shutdown_timeout);
        self.replace_acceptors(&listeners);
        let is_started = self.started && !self.draining;
        let closed = self.datagrams.replace(&mut self.context, datagrams, is_started);
        if !self.slab.is_empty() {
            self.removal.next = Some(0);
        }
        let all: u64 = self.context.cell().active.get();
        Replaced { kept: all.saturating_sub(drained), drained, closed }
    }

    /// Changes what is changed of the worker itself.
    fn set_up(&mut self, settings: &WorkerSettings) {
        let WorkerSettings { relay, compression_memory, connections_max, access_log, .. } =
            *settings;
        self.slab.set_limit(connections_max);
        let context = &mut self.context;
        if let Some(most) = settings.in_flight_max {
            context.reactor.driver().set_in_flight_max(most);
        }
        context.pipes.set_up(relay.pipes_idle_max, relay.pipe_capacity);
        let options = &mut context.options;
        options.relay = relay;
        options.compression_memory = compression_memory;
        options.waiting_memory = settings.waiting_memory;
        options.connections_max = connections_max;
        options.access_log = access_log;
        options.hand_off_ratio = settings.hand_off_ratio;
        context.http.proxy.budget_mut().set_most(settings.waiting_memory);
    }

    fn replace_upstreams(&mut self, upstreams: Vec<PlannedUpstream>) {
        let context = &mut self.context;
        let (workers, worker) = (&context.options.workers, context.options.worker);
        let gone = context.plan.upstreams.replace(&upstreams, workers, worker);
        for upstream in upstreams {
            if let Some(fresh) = upstream.fresh {
                let number = upstream.lease.number();
                self.datagrams.reset_suspects(number);
                self.context.add_cluster(number, fresh);
            }
        }
        for upstream in gone {
            self.context.cluster(upstream).retire();
            self.removal.has_idle = true;
            if let Some(exchanger) = &mut self.context.exchangers[upstream] {
                exchanger.drain();
                self.context.unsettled = true;
            }
        }
    }

    /// Listeners that are gone: their connections end. Returns how many there are.
    fn note_gone(&mut self, before: &[Rc<ListenerPlan>], timeout: Duration) -> u64 {
        let now = self.context.now();
        let gone = &mut self.removal.gone;
        // One of the same name may be back.
        gone.retain(|(number, _)| self.context.plan.listener(*number).is_none());
        let mut drained = 0;
        for listener in before {
            if self.context.plan.listener(listener.number()).is_none() {
                drained += listener.stats.active.get();
                gone.push((listener.number(), now + timeout));
            }
        }
        let next = gone.iter().map(|(_, until)| *until).min();
        self.arm_removal(next);
        drained
    }

    /// The next moment at which connections of listeners that are gone are ended.
    fn arm_removal(&mut self, next: Option<Instant>) {
        let timer = &mut self.removal.timer;
        if timer.map(|(_, at)| at) == next {
            return;
        }
        if let Some((timer, _)) = timer.take() {
            self.context.reactor.disarm(timer);
        }
        *timer = next.map(|next| (self.context.reactor.arm(next, Due::Removal), next));
    }

    /// Whether a listener is gone, and the time of its connections is over: what still comes by it
    /// is not begun.
    pub(super) fn is_over(&self, listener: &ListenerPlan) -> bool {
        let number = listener.number();
        let Removal { gone, cut_at, .. } = &self.removal;
        self.context.plan.listener(number).is_none()
            && !gone
                .iter()
                .any(|(own, until)| *own == number && cut_at.is_none_or(|cut_at| cut_at < *until))
    }

    /// The time of connections of listeners that are gone is over.
    pub(super) fn removal_due(&mut self) {
        let now = self.context.now();
        self.removal.timer = None;
        let later = self.removal.gone.iter().map(|(_, until)| *until).filter(|until| *until > now);
        let next = later.min();
        self.arm_removal(next);
        self.removal.cut_at = Some(now);
        self.removal.next = Some(0);
    }

    /// Listens on the sockets of these listeners. A socket that stays is not touched, but for what
    /// its listener says of it now; what waits in the queue of one that goes is served.
    fn replace_acceptors(&mut self, listeners: &[Rc<ListenerPlan>]) {
        let owners: HashMap<Fd, &Rc<ListenerPlan>> = listeners
            .iter()
            .flat_map(|listener| listener.options.sockets.iter().map(move |one| (*one, listener)))
            .collect();
        let mut known = HashSet::new();
        for index in 0..self.listeners.len() {
            let Listener { acceptor, listener } = &mut self.listeners[index];
            if acceptor.is_closed() || acceptor.is_stopping() {
                continue;
            }
            let socket = acceptor.socket();
            match owners.get(&socket).copied() {
                Some(newest) => {
                    known.insert(socket);
                    let before = listener.replace(Rc::clone(newest));
                    let before = before.and_then(|before| before.options.listen);
                    if let Some(listen) = newest.options.listen
                        && before != Some(listen)
                    {
                        let driver = self.context.reactor.driver();
                        driver.configure(socket, &listen.stream);
                        driver.set_backlog(socket, listen.backlog);
                    }
                }
                None => {
                    if !acceptor.stop(&mut self.context.reactor) {
                        self.close_entrance(index);
                    }
                }
            }
        }
        for listener in listeners {
            for socket in &listener.options.sockets {
                if known.insert(*socket) {
                    self.add_acceptor(listener, *socket);
                }
            }
        }
    }

    fn add_acceptor(&mut self, listener: &Rc<ListenerPlan>, socket: Fd) {
        let free = self.listeners.iter().position(|one| one.acceptor.is_closed());
        let index = free.unwrap_or(self.listeners.len());
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut own = Listener::new(number, Rc::clone(listener), socket);
        if self.started && !self.draining {
            own.acceptor.arm(&mut self.context.reactor);
        }
        match self.listeners.get_mut(index) {
            Some(slot) => *slot = own,
            None => self.listeners.push(own),
        }
    }

    /// The end of a turn: goes on with what a reload has left to be done.
    pub(super) fn sweep(&mut self) {
        if self.removal.next.is_some() {
            self.look_at_connections();
        }
        if !self.context.plan.upstreams.retired().is_empty() {
            self.release_upstreams();
        }
        if self.context.http.has_leaving_files() {
            self.context.close_leaving_files();
        }
    }

    /// Lets a few connections take the newest plan, or drain, or ends them.
    fn look_at_connections(&mut self) {
        let Some(first) = self.removal.next else { return };
        let last = first.saturating_add(CONNECTIONS_PER_TURN);
        let cut_at = self.removal.cut_at;
        self.removal.next = None;
        let mut from = first;
        while let Some(key) = self.slab.next_key(from) {
            if key.index >= last {
                self.removal.next = Some(key.index);
                return;
            }
            from = key.index + 1;
            self.look_at(key, cut_at);
        }
        if let Some(cut_at) = self.removal.cut_at.take() {
            self.removal.gone.retain(|(_, until)| *until > cut_at);
        }
    }

    fn look_at(&mut self, key: Key, cut_at: Option<Instant>) {
        let Some(session) = self.slab.get_mut(key) else { return };
        let Some(number) = session.listener().map(|listener| listener.number()) else { return };
        if self.context.plan.listener(number).is_some() {
            session.renew(&mut self.context, key);
        } else {
            session.depart(&mut self.context, key);
            let until = self.removal.gone.iter().find(|(gone, _)| *gone == number);
            if let (Some(cut_at), Some((_, until))) = (cut_at, until)
                && *until <= cut_at
            {
                session.cut(&mut self.context, key);
            }
        }
        self.remove_if_finished(key);
    }

    /// Closes idle connections to servers of earlier plans, and lets go of the servers that nothing
    /// uses any more.
    fn release_upstreams(&mut self) {
        self.removal.has_idle = false;
        for at in (0..self.context.plan.upstreams.retired().len()).rev() {
            let upstream = self.context.plan.upstreams.retired()[at];
            for _ in 0..IDLE_PER_TURN {
                let Some(key) = self.context.cluster(upstream).take_retired() else { break };
                if let Some(Session::Upstream(one)) = self.slab.get_mut(key) {
                    one.close(&mut self.context, key, CloseCause::Retired);
                }
                self.remove_if_finished(key);
                self.removal.has_idle = true;
            }
            // What was decided of it may still have to be done.
            if !self.context.http.has_work() && self.context.is_released(upstream) {
                self.context.remove_upstream(upstream);
            }
        }
    }
}

impl<D: Driver> super::context::Context<D> {
    /// The servers of an upstream that is new, or has changed. What is known of those that stay is
    /// taken over.
    fn add_cluster(&mut self, number: usize, fresh: FreshCluster) {
        let now = self.now();
        let FreshCluster { mut cluster, before, is_checked } = fresh;
        let latencies = &mut self.histograms.latencies;
        latencies.reset_upstream(number);
        if let Some((lease, places)) = before {
            let old = lease.number();
            latencies.move_upstream(old, number);
            self.plan.upstreams.succeed(old, number);
            let servers = &self.http.cluster(old).servers;
            let remarkable = servers.remarkable().filter_map(|server| {
                let place = places.get(server).copied().flatten()? as usize;
                let memory = servers.remember(server)?;
                Some((place, if is_checked { memory } else { memory.unchecked() }))
            });
            cluster.servers.recall_all(remarkable, now);
        }
        self.http.add_cluster(number, *cluster);
        if number >= self.exchangers.len() {
            self.exchangers.resize_with(number + 1, || None);
            self.exchanger_timers.resize_with(number + 1, || None);
        }
        let proxy = self.plan.upstreams[number].exchanges.clone();
        self.exchangers[number] = proxy.map(|proxy| Exchanger::new(proxy, JITTER_SEED, now));
    }

    /// Whether nothing uses the servers of an earlier plan any more.
    fn is_released(&mut self, upstream: usize) -> bool {
        let exchanges = self.exchangers[upstream].as_ref();
        self.plan.upstreams.is_unused(upstream)
            && self.http.cluster(upstream).open() == 0
            && !self.http.proxy.uses(upstream)
            && exchanges.is_none_or(|exchanger| {
                exchanger.pool().gauges().open() == 0 && exchanger.open_exchanges() == 0
            })
    }

    /// Lets go of the servers of an earlier plan.
    fn remove_upstream(&mut self, upstream: usize) {
        if let Some((timer, _)) = self.exchanger_timers[upstream].take() {
            self.reactor.disarm(timer);
        }
        let mut exchanger = self.exchangers[upstream].take();
        let cluster = self.take_cluster(upstream);
        let (stats, servers) = self.plan.upstreams.counted(upstream);
        let published = Published::of(&mut self.http.published, upstream);
        cluster.iter().for_each(|cluster| published.publish_sums(cluster, stats));
        published.publish_tally(self.http.proxy.tally(upstream), stats);
        if let Some(exchanger) = &mut exchanger {
            let tally = exchanger.take_tally();
            let pool = exchanger.pool();
            let (gauges, counters) = (pool.gauges(), *pool.counters());
            published.publish_trunks(&tally, TrunkSums { gauges, counters, share: 0 }, stats);
        }
        published.withdraw(stats, servers);
        published.renew();
        if let Some(successor) = self.plan.upstreams.take_successor(upstream) {
            // What was recorded of it since.
            self.histograms.latencies.move_upstream(upstream, successor);
        }
        let plan = self.plan.upstreams.remove(upstream);
        // Thousands of servers: freed by whoever has the time.
        self.options.workers.dispose(Box::new((cluster, exchanger, plan)));
    }
}
