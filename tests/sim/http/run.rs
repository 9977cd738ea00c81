//! One run: a worker, its kernel, its clients, its servers.

use std::sync::{Arc, Mutex};

use ringway::proto::http2::frame::WINDOW_INITIAL;
use ringway::ring::Fd;
use ringway::ring::sim::{Behaviour, Faults, Random, Sim};
use ringway::server::Worker;
use ringway::service::CloseReason;
use ringway::session::{Counted, LineSink, RouteCounters, WorkerMessage, Workers};

use super::books;
use super::client::{Client, End, Habits};
use super::net::{Net, Trace};
use super::orders::{Ask, Orders};
use super::reload::Control;
use super::server::{AllSeen, Server};
use super::setup::{BUFFER_SIZE, BUFFERS, Setup, address};
use super::wire::pattern;
use crate::harness::drain;

/// Turns after which a run counts as hanging.
const TURNS_MAX: usize = 60_000;
/// Turns in which nothing happens before time is skipped. A peer may rest for some turns, and a
/// completion may be late.
const QUIET_TURNS: u32 = 16;
/// Turns in which nothing happens, and nothing is waited for, before a run counts as hanging.
const ENDLESS_TURNS: u32 = 600;
/// How long connections may go on when the worker drains.
const DRAIN_TIME: std::time::Duration = std::time::Duration::from_millis(60);

/// How long two requests may need on one connection.
const QUEUE_TIME: std::time::Duration = std::time::Duration::from_millis(30);

/// Bytes that may wait for each connection, whatever the budget: a part of the body and one in each
/// queue, all buffers that are filled in the two turns until it is paused, and as much again of
/// pages that are not full.
const WAITING_EACH: u64 = 1_024 + 4 * BUFFERS as u64 * BUFFER_SIZE as u64;

pub(super) struct Run {
    pub(super) worker: Worker<Sim>,
    pub(super) workers: Arc<Workers>,
    /// What is counted of routes.
    pub(super) routes: Vec<Arc<RouteCounters>>,
    pub(super) setup: Setup,
    random: Random,
    /// Makes the plans that come later.
    pub(super) control: Control,
    /// What clients connect to, unless nobody listens.
    listener: Option<Fd>,
    pub(super) clients: Vec<Client>,
    servers: Vec<Server>,
    pub(super) seen: AllSeen,
    pub(super) lines: Arc<Mutex<Vec<u8>>>,
    pub(super) trace: Trace,
    /// What helpers have done, and the turn from which the worker knows. There are no threads: work
    /// is done at once, and its result comes later.
    notes: Arc<Mutex<Vec<WorkerMessage>>>,
    notes_at: usize,
    /// Turns in a row in which no peer did anything.
    quiet_turns: u32,
    has_drained: bool,
}

/// A run that is played alone, and fails, shows what peers did.
impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var("RINGWAY_SIM_SEED").is_ok() {
            eprintln!("{}", self.trace.text());
        }
    }
}

impl Run {
    pub(super) fn new(mut setup: Setup) -> Self {
        let mut sim = Sim::new(setup.seed, Faults::NONE, BUFFERS, BUFFER_SIZE);
        for (server, behaviour) in setup.servers.iter().enumerate() {
            sim.serve(address(server), *behaviour);
        }
        for ask in setup.clients.iter().flat_map(|(asks, _)| asks) {
            if ask.path == "/files" && ask.orders.status == 200 {
                let file = pattern(&ask.marker, 'f', ask.orders.len);
                sim.put_file(&ask.target()[1..], &file);
            }
        }
        let listener = sim.listen();
        sim.set_faults(setup.faults);
        let servers = vec![setup.servers.len()];
        let plan = Counted { listeners: 1, servers, ..Counted::default() };
        let workers = Arc::new(Workers::with_plan(1, &plan));
        let notes = Arc::new(Mutex::new(Vec::new()));
        let posted = Arc::clone(&notes);
        workers.connect(vec![Box::new(move |note| {
            posted.lock().expect("no panic while it is held").push(note);
            true
        })]);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let routes: Vec<_> =
            setup.http.routes.iter().map(|route| Arc::clone(&route.counters)).collect();
        let sink = Arc::clone(&lines);
        let sink = LineSink::new(move |more| {
            sink.lock().expect("no panic while it is held").extend(more);
            true
        });
        let control = Control::new(&setup, &workers, &routes, &sink);
        let options = setup.options(&workers, listener, &sink);
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self {
            worker,
            workers,
            routes,
            random: Random::new(setup.seed ^ 0x6874_7470),
            setup,
            control,
            listener: Some(listener),
            clients: Vec::new(),
            servers: Vec::new(),
            seen: AllSeen::new(),
            lines,
            trace: Trace::default(),
            notes,
            notes_at: 0,
            quiet_turns: 0,
            has_drained: false,
        }
    }

    /// Runs to the end, and checks what must hold of every run.
    pub(super) fn play(&mut self) {
        self.run_until("clients are served", |run| {
            if run.worker.sessions().is_empty() {
                // The others are only slow to take what waits for them.
                run.clients.iter_mut().for_each(Client::hurry);
            }
            run.setup.clients.is_empty() && run.clients.iter().all(Client::is_done)
        });
        self.run_until("connections end", |run| run.active() == 0);
        if !self.has_drained {
            self.end_reloads();
            if self.listener.is_some() {
                self.run_epilogue();
            }
            self.drain(false);
        }
        self.run_until("the worker is empty", |run| {
            let sessions = run.worker.sessions();
            sessions.is_drained() && sessions.is_empty()
        });
        self.rest();
        let sessions = self.worker.sessions();
        sessions.finish();
        sessions.publish();
        self.assert_clean();
        self.assert_nothing_is_done_twice();
        self.assert_plans_hold();
        books::balance(self);
    }

    fn active(&self) -> u64 {
        self.workers.cells()[0].stats.listeners.get(0).active.get()
    }

    fn run_until(&mut self, what: &str, is_over: impl Fn(&mut Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_over(self) {
                return;
            }
            self.step();
            if self.is_stuck() {
                break;
            }
        }
        panic!("{what}: hangs in turn {}: {:#?}", self.trace.turn, self.clients);
    }

    /// Whether nothing moves, and no timer will change that. Lets time go on if one will.
    fn is_stuck(&mut self) -> bool {
        let sim = self.worker.sessions().reactor().driver();
        let quiet = self.quiet_turns.min(sim.quiet_turns());
        if quiet < QUIET_TURNS {
            return false;
        }
        if sim.sleeps_without_deadline() {
            return quiet > ENDLESS_TURNS;
        }
        sim.skip_wait();
        false
    }

    /// All timers fire, and nothing comes of that. What listens goes on.
    fn rest(&mut self) {
        let listening = usize::from(!self.has_drained && self.listener.is_some());
        for _ in 0..TURNS_MAX {
            self.step();
            self.is_stuck();
            let reactor = self.worker.sessions().reactor();
            if reactor.timers_armed() == 0 && reactor.pending() <= listening {
                // A peer may still say something, and an accept may end and begin again.
                let sleeps = (0..100).any(|_| {
                    self.step();
                    self.worker.sessions().reactor().driver().sleeps_without_deadline()
                });
                assert!(sleeps, "it goes round without anything to do");
                return self.assert_earlier_plans_are_gone();
            }
        }
        let reactor = self.worker.sessions().reactor();
        let left = (reactor.timers_armed(), reactor.pending());
        panic!("timers and operations that are left: {left:?}");
    }

    fn step(&mut self) {
        self.trace.turn += 1;
        self.check_health();
        let is_told = self.setup.later.play(&mut self.random) | self.take_notes();
        self.worker.turn().expect("the simulated kernel does not fail");
        self.check_budget();
        self.worker.sessions().check_exchanges();
        let turn = self.trace.turn;
        let sim = self.worker.sessions().reactor().driver();
        for (at, server, behaviour) in &self.setup.changes {
            if *at == turn {
                sim.serve(address(*server), *behaviour);
            }
        }
        for (_, name, left) in self.setup.shrinks.iter().filter(|(at, ..)| *at == turn) {
            let marker = name.rsplit('/').next().unwrap_or_default();
            sim.put_file(name, &pattern(marker, 'f', *left));
        }
        for (to, peer) in sim.take_accepted() {
            let count = self.setup.servers.len();
            let number = (0..count).find(|server| address(*server) == to).expect("a server");
            self.servers.push(Server::new(peer, number, self.setup.moods));
        }
        let Self { random, trace, .. } = self;
        let mut net = Net { sim, trace, random, moved: is_told, plan: self.control.present() };
        let capacity = self.setup.capacity;
        let (come, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.setup.clients)
            .into_iter()
            .partition(|(_, habits)| habits.comes_at <= turn);
        self.setup.clients = wait;
        // Nobody listens any more for those who come late.
        let listener = self.listener.filter(|_| !self.has_drained);
        for ((asks, habits), listener) in come.into_iter().zip(listener.iter().cycle()) {
            let peer = net.sim.connect(*listener, capacity);
            self.clients.push(Client::new(peer, asks, habits, net.plan));
        }
        if !self.setup.clients.is_empty() {
            net.stay_awake();
        }
        for client in &mut self.clients {
            client.play(&mut net);
        }
        for server in &mut self.servers {
            server.play(&mut net, self.setup.moods, &mut self.seen);
        }
        self.servers.retain(|server| !server.gone);
        self.quiet_turns = if net.moved { 0 } else { self.quiet_turns + 1 };
        if self.setup.drains_at == Some(turn) {
            self.drain(true);
        }
        let reloads = self.setup.reloads.iter().filter(|at| **at == turn).count();
        for _ in 0..if self.has_drained { 0 } else { reloads } {
            self.control.change();
            self.reload();
        }
    }

    /// Puts what the control plane wants now in the place of the present plan.
    fn reload(&mut self) {
        let active = self.active();
        let sessions = self.worker.sessions();
        let sim = sessions.reactor().driver();
        sim.wake();
        let had = self.listener;
        self.listener = self.control.listens().then(|| had.unwrap_or_else(|| sim.listen()));
        let now = sessions.reactor().now();
        let plan = self.control.plan(&self.setup, self.listener, now);
        let replaced = sessions.replace_plan(plan);
        self.trace.note_plan(&(self.control.facts(), replaced));
        let is_gone = had.is_some() && self.listener.is_none();
        assert!(replaced.drained <= active && (is_gone || replaced.drained == 0), "{replaced:?}");
        assert!(replaced.kept + replaced.drained >= active, "{replaced:?} {active}");
        self.quiet_turns = 0;
    }

    /// The last plan is one with everything, or with nothing.
    fn end_reloads(&mut self) {
        if !self.setup.reloads.is_empty() {
            self.setup.reloads.clear();
            self.control.end(self.setup.ends_with_nothing);
            self.reload();
            self.rest();
        }
    }

    /// Nothing is left of earlier plans, and their numbers are free.
    fn assert_earlier_plans_are_gone(&mut self) {
        let left = self.worker.sessions().upstreams();
        assert_eq!(left, self.control.upstreams(), "upstreams");
        assert_eq!(self.control.numbers_in_use(), left, "numbers of upstreams");
    }

    /// Each answer is that of a plan which held between the begin of its request and its end.
    fn assert_plans_hold(&self) {
        for client in &self.clients {
            let mut first = client.came_in;
            for (ask, answer) in client.answered() {
                first = self.control.first_held(first, answer.held);
                if let Some(why) = self.control.objection(first, ask, answer) {
                    panic!("{why}: {ask:?} {answer:?} {:#?}", self.control.all_facts());
                }
            }
        }
    }

    /// Hands over what helpers have done, some turns later. Whether anything is under way.
    fn take_notes(&mut self) -> bool {
        let mut notes = self.notes.lock().expect("no panic while it is held");
        if notes.is_empty() {
            self.notes_at = self.trace.turn + self.random.below(4);
            return false;
        }
        if self.notes_at > self.trace.turn {
            return true;
        }
        let sessions = self.worker.sessions();
        sessions.reactor().driver().wake();
        notes.drain(..).for_each(|note| sessions.take_note(note));
        true
    }

    /// What waits is within its budget, but for a little of each connection: what every one may
    /// always take, and what came before it was paused, or its window shut.
    fn check_budget(&mut self) {
        let connections = self.worker.sessions().len() as u64;
        let is_http2 = self.setup.moods.http2 || self.clients.iter().any(Client::is_http2);
        let each = WAITING_EACH + if is_http2 { u64::from(WINDOW_INITIAL) } else { 0 };
        let most = self.setup.waiting_memory + connections * each;
        let waiting = self.workers.cells()[0].stats.waiting.bytes.get();
        assert!(waiting <= most, "{waiting} bytes wait, of {connections} connections");
    }

    /// Active checks tell the worker what they have found.
    fn check_health(&self) {
        for (_, server, up) in self.setup.health.iter().filter(|(at, ..)| *at == self.trace.turn) {
            let Some((upstream, server)) = self.control.place_of(*server) else { continue };
            let note = WorkerMessage::Health { upstream, server, up: *up };
            self.notes.lock().expect("no panic while it is held").push(note);
        }
    }

    fn drain(&mut self, with_deadline: bool) {
        self.has_drained = true;
        drain(&mut self.worker, with_deadline.then_some(DRAIN_TIME));
        self.quiet_turns = 0;
    }

    /// After all that, a worker that has lost nothing serves as many as it may at once: places,
    /// limits and servers are all back.
    fn run_epilogue(&mut self) {
        self.rest();
        let sim = self.worker.sessions().reactor().driver();
        sim.set_faults(Faults::NONE);
        for server in 0..self.setup.servers.len() {
            sim.serve(address(server), Behaviour::Accept { capacity: 50_000 });
        }
        self.setup.moods = self.setup.moods.calm();
        for server in 0..self.setup.servers.len() {
            let Some((upstream, server)) = self.control.place_of(server) else { continue };
            let note = WorkerMessage::Health { upstream, server, up: true };
            self.notes.lock().expect("no panic while it is held").push(note);
        }
        let first = self.clients.len();
        self.setup.changes.clear();
        self.setup.health.clear();
        // As many as there may be at once, as they may all wait for the first connection.
        let origins = self.setup.origins();
        let queue = u32::try_from(origins.pool.queue_max).unwrap_or(u32::MAX);
        let most = match origins.breaker.in_flight.unwrap_or(2).min(queue) {
            // They wait for one connection one after the other.
            _ if origins.pool.queue_timeout < QUEUE_TIME => 1,
            most => most,
        };
        let turn = self.trace.turn;
        for number in 0..most {
            let orders = Orders { len: 10, ..Orders::default() };
            let ask = Ask::get(format!("last{number}"), "/up", orders);
            let (preface, comes_at) = (self.epilogue_preface(number), turn + 6);
            let habits = Habits { preface, comes_at, reads: 1000, ..Habits::default() };
            self.setup.clients.push((vec![ask], habits));
        }
        self.run_until("the epilogue", |run| {
            run.setup.clients.is_empty() && run.clients.iter().all(Client::is_done)
        });
        self.run_until("the epilogue's connections end", |run| run.active() == 0);
        for client in &self.clients[first..] {
            let answers: Vec<u16> = client.answers.iter().map(|answer| answer.status).collect();
            assert_eq!(answers, [200], "something was not given back: {client:#?}");
        }
    }

    fn epilogue_preface(&self, number: u32) -> Vec<u8> {
        if !self.setup.accept_header {
            return Vec::new();
        }
        format!("PROXY TCP4 10.9.9.{number} 10.0.0.1 1000 80\r\n").into_bytes()
    }

    /// Every slot, buffer, pipe, timer and descriptor is back, and every gauge at zero.
    fn assert_clean(&mut self) {
        let workers = Arc::clone(&self.workers);
        let cell = &workers.cells()[0];
        let upstream = &cell.stats.upstreams.get(0);
        assert_eq!((cell.active.get(), upstream.active.get()), (0, 0));
        assert_eq!(cell.stats.stale.get(), 0, "no completion outlives its slot");
        let http = &upstream.http;
        let pool = [&http.idle, &http.in_use, &http.opening, &http.waiting].map(|one| one.get());
        assert_eq!(pool, [0; 4], "idle, in use, opening, waiting");
        for servers in cell.stats.servers.all() {
            assert!(servers.iter().all(|server| server.active.get() == 0));
        }
        assert_eq!(cell.stats.compression.memory.used(), 0);
        assert_eq!(cell.stats.waiting.bytes.get(), 0, "what was counted as waiting");
        let sessions = self.worker.sessions();
        assert_eq!((sessions.len(), sessions.pipes_open()), (0, 0));
        let reactor = sessions.reactor();
        assert_eq!((reactor.pending(), reactor.timers_armed()), (0, 0));
        let sim = reactor.driver();
        assert_eq!(sim.open(), 0, "no descriptor is left: {}", sim.describe_open());
        assert_eq!(sim.buffers_home(), usize::from(BUFFERS));
    }

    /// What is not idempotent and may have reached a server is seen by no second one.
    fn assert_nothing_is_done_twice(&self) {
        for (marker, seen) in &self.seen {
            let is_safe = seen.method != "POST" || seen.tries <= 1;
            assert!(is_safe, "{marker}: {seen:?}");
        }
    }

    /// Every client has got every answer, and nothing went wrong.
    pub(super) fn assert_all_served(&self) {
        for client in &self.clients {
            let status_of = |ask: &Ask| match ask.orders.status {
                101 if client.is_http2() => 200,
                status => status,
            };
            let asked: Vec<u16> = client.asks.iter().map(status_of).collect();
            let got = client.answered().into_iter().map(|(_, answer)| answer.status);
            let got: Vec<u16> = got.collect();
            assert_eq!(got, asked, "{client:#?}");
            assert_eq!(client.end, End::Whole, "{client:#?}");
            let hints = client.asks.iter().filter(|ask| ask.hears_interims());
            let hints: usize = hints.map(|ask| ask.orders.interims).sum();
            assert_eq!(client.hints, hints, "{client:#?}");
        }
    }

    pub(super) fn closed(&self, reason: CloseReason) -> u64 {
        self.workers.cells()[0].stats.listeners.get(0).closed[reason.index()].get()
    }

    /// Adds all that was counted to the trace.
    pub(super) fn note_counters(&mut self) {
        let cell = &self.workers.cells()[0];
        self.trace.note_counters(&cell.stats);
        self.trace.note_counters(&cell.loops);
        self.trace.note_counters(&self.lines);
    }
}
