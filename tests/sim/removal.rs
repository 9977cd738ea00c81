//! Listeners that a reload removes, and how long their connections may go on.

use std::sync::Arc;
use std::time::Duration;

use ringway::ring::Fd;
use ringway::ring::sim::{Faults, PeerId, Sim};
use ringway::server::Worker;
use ringway::service::CloseReason;
use ringway::session::{
    Lease, ListenerOptions, PlanOptions, Planned, ServiceOptions, SessionOptions, WorkerSettings,
    Workers,
};

use super::frames::{listener_options, options};

const LONG: Duration = Duration::from_secs(600);

/// A worker with listeners of the echo service, whose clients say nothing.
struct Rig {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    sockets: Vec<Fd>,
    present: Vec<usize>,
    id: u64,
}

fn listener(socket: Fd) -> ListenerOptions {
    let options = listener_options(socket, ServiceOptions::Echo);
    ListenerOptions { connections_max: 10_000, idle_timeout: LONG * 10, ..options }
}

impl Rig {
    fn new(listeners: usize, faults: Faults) -> Self {
        let mut sim = Sim::new(1, Faults::NONE, 8, 256);
        let sockets: Vec<Fd> = (0..listeners).map(|_| sim.listen()).collect();
        sim.set_faults(faults);
        let workers = Arc::new(Workers::new(1, listeners, 0));
        let options = SessionOptions {
            listeners: sockets.iter().map(|socket| listener(*socket)).collect(),
            connections_max: 10_000,
            ..options(&workers, sockets[0], ServiceOptions::Echo, Vec::new())
        };
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self { worker, workers, present: (0..listeners).collect(), sockets, id: 0 }
    }

    fn connect(&mut self, listener: usize, count: usize) -> Vec<PeerId> {
        let socket = self.sockets[listener];
        let sim = self.worker.sessions().reactor().driver();
        (0..count).map(|_| sim.connect(socket, 300)).collect()
    }

    fn run(&mut self, turns: usize) {
        for _ in 0..turns {
            self.worker.turn().expect("the simulated kernel does not fail");
        }
    }

    /// Turns that bring nothing last a millisecond.
    fn run_until_no_more_than(&mut self, left: u64, turns: usize) {
        for _ in 0..turns {
            if self.workers.cells()[0].active.get() <= left {
                return;
            }
            self.run(1);
        }
        panic!("{} connections are left", self.workers.cells()[0].active.get());
    }

    fn remove(&mut self, listener: usize, timeout: Duration) {
        self.present.retain(|one| *one != listener);
        self.replace(timeout);
    }

    fn replace(&mut self, shutdown_timeout: Duration) {
        self.id += 1;
        let all = self.present.iter().map(|number| Planned {
            lease: Lease::new(*number),
            options: listener(self.sockets[*number]),
        });
        let plan = PlanOptions {
            id: self.id,
            listeners: all.collect(),
            datagrams: Vec::new(),
            upstreams: Vec::new(),
            fresh_routes: Vec::new(),
            folders: None,
            settings: WorkerSettings {
                relay: options(&self.workers, self.sockets[0], ServiceOptions::Echo, Vec::new())
                    .relay,
                compression_memory: 1 << 20,
                waiting_memory: 1 << 20,
                in_flight_max: None,
                connections_max: 10_000,
                access_log: false,
                hand_off_ratio: None,
                shutdown_timeout,
            },
        };
        let sessions = self.worker.sessions();
        sessions.reactor().driver().wake();
        sessions.replace_plan(plan);
    }

    fn active(&self, listener: usize) -> u64 {
        self.workers.cells()[0].stats.listeners.get(listener).active.get()
    }

    fn cut(&self, listener: usize) -> u64 {
        let stats = self.workers.cells()[0].stats.listeners.get(listener);
        stats.closed[CloseReason::ShutdownTimeout.index()].get()
    }
}

#[test]
fn a_shorter_time_is_not_waited_for_behind_a_longer_one() {
    let mut rig = Rig::new(2, Faults::NONE);
    rig.connect(0, 3);
    rig.connect(1, 3);
    rig.run(10);
    rig.remove(0, LONG);
    rig.remove(1, Duration::from_millis(20));
    rig.run(5);
    assert_eq!((rig.active(0), rig.active(1)), (3, 3));
    rig.run_until_no_more_than(3, 200);
    assert_eq!((rig.active(0), rig.cut(1)), (3, 3));
}

#[test]
fn times_that_are_over_one_behind_the_other_end_all_connections() {
    for apart in 0..8 {
        let mut rig = Rig::new(2, Faults::NONE);
        // Several turns are needed to look at all of them.
        for _ in 0..10 {
            rig.connect(0, 100);
            rig.connect(1, 100);
            rig.run(5);
        }
        rig.remove(0, Duration::from_millis(20));
        rig.remove(1, Duration::from_millis(20 + apart));
        rig.run_until_no_more_than(0, 400);
        assert_eq!((rig.cut(0), rig.cut(1)), (1_000, 1_000));
    }
}

#[test]
fn a_plan_that_comes_while_connections_are_ended_keeps_none_of_them() {
    let mut rig = Rig::new(2, Faults::NONE);
    for _ in 0..10 {
        rig.connect(0, 100);
        rig.run(5);
    }
    rig.connect(1, 2);
    rig.run(5);
    rig.remove(0, Duration::ZERO);
    rig.run(2);
    assert!(rig.active(0) > 0, "it takes several turns");
    rig.replace(LONG);
    rig.run_until_no_more_than(2, 100);
    assert_eq!((rig.cut(0), rig.active(1)), (1_000, 2));
}

#[test]
fn who_waits_in_the_queue_of_a_listener_that_goes_is_not_forgotten() {
    for timeout in [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(50)] {
        let mut rig = Rig::new(1, Faults::ALL);
        rig.run(5);
        rig.connect(0, 50);
        rig.remove(0, timeout);
        rig.connect(0, 10);
        for _ in 0..500 {
            rig.run(1);
        }
        let stats = rig.workers.cells()[0].stats.listeners.get(0);
        assert_eq!((stats.active.get(), stats.accepted.get()), (0, 60));
        let sessions = rig.worker.sessions();
        assert!(sessions.is_empty(), "{timeout:?}");
        assert_eq!(sessions.reactor().driver().open(), 0, "the socket is closed");
    }
}

#[test]
fn a_listener_that_is_back_in_time_keeps_its_connections() {
    let mut rig = Rig::new(1, Faults::NONE);
    rig.connect(0, 5);
    rig.run(10);
    rig.remove(0, Duration::from_millis(20));
    rig.run(5);
    let sim = rig.worker.sessions().reactor().driver();
    rig.sockets[0] = sim.listen();
    rig.present.push(0);
    rig.replace(LONG);
    rig.connect(0, 1);
    rig.run(200);
    assert_eq!((rig.active(0), rig.cut(0)), (6, 0));
    assert_eq!(rig.worker.sessions().reactor().timers_armed(), 6, "their idle timeouts alone");
}
