//! One worker: a thread's driver, its connections, and the loop.

use std::collections::HashMap;

use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::mem::Key;
use crate::ring::{Completion, Driver, DriverError, Fd, Lane, Op, Token, Verb};
use crate::runtime::{Mailbox, Reactor, clock};
use crate::service::cluster::servers::ServerView;
use crate::session::{Histograms, Replaced, SessionOptions, Sessions, WorkerMessage};

use super::plan::WorkerPlan;

/// What the control plane tells a worker.
#[derive(Debug)]
pub enum Message {
    /// Send the histograms so far.
    Report(oneshot::Sender<Histograms>),
    /// Stop to accept; end what is left at the deadline.
    Drain {
        /// When connections that are still open are cut.
        deadline: std::time::Instant,
    },
    /// No worker hands over connections any more: exit when the last one has ended.
    Release,
    /// Send how the servers of all upstreams are.
    Upstreams(oneshot::Sender<HashMap<usize, Vec<ServerView>>>),
    /// Do what the note says, and say when that is done.
    Change(WorkerMessage, oneshot::Sender<()>),
    /// Another worker has something to say.
    Note(WorkerMessage),
    /// Work by this plan from now on, and say what became of connections.
    Plan(Box<WorkerPlan>, oneshot::Sender<Replaced>),
    /// Cut all connections now.
    Cut,
}

/// What a worker tells the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The worker takes no more connections.
    Drained,
    /// The worker has ended. The number of connections that were cut.
    Ended(Result<u64, DriverError>),
}

/// The token of the mailbox; a slot number that no connection has.
const WAKE: Token = Token::new(Key::new(u32::MAX, 0), Lane::Client, Verb::Wake);

/// One worker.
#[derive(Debug)]
pub struct Worker<D: Driver> {
    sessions: Sessions<D>,
    mailbox: Option<Mailbox<Message>>,
    batch: Vec<Completion>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// No more is accepted here.
    Draining,
    /// That was reported.
    Drained,
    /// No more can come from others.
    Released,
}

impl<D: Driver> Worker<D> {
    /// A worker on `driver`. Without a mailbox nobody can tell it anything: for tests.
    #[must_use]
    pub fn new(driver: D, options: SessionOptions, mailbox: Option<Mailbox<Message>>) -> Self {
        let loops = options.workers.cells()[options.worker].loops.clone();
        Self {
            sessions: Sessions::new(Reactor::new(driver, loops), options),
            mailbox,
            batch: Vec::new(),
            phase: Phase::Running,
        }
    }

    /// Begins to accept. Other workers hand connections over to `ring`.
    pub fn start(&mut self, ring: Option<Fd>) {
        self.watch_mailbox();
        self.sessions.start(ring);
    }

    /// Runs until it was drained and released and its last connection has ended. Calls `report`
    /// when it takes no more connections. Returns how many connections were cut.
    ///
    /// # Errors
    /// When the driver is beyond use.
    pub fn run(mut self, mut report: impl FnMut(Report)) -> Result<u64, DriverError> {
        loop {
            let over = self.phase == Phase::Released && self.sessions.is_empty();
            if over {
                self.sessions.finish();
                return Ok(self.sessions.cut());
            }
            self.turn()?;
            if self.phase == Phase::Draining && self.sessions.is_drained() {
                self.phase = Phase::Drained;
                report(Report::Drained);
            }
        }
    }

    /// One turn of the loop: submit and wait, reap, dispatch, fire timers, flush.
    ///
    /// # Errors
    /// When the driver is beyond use.
    pub fn turn(&mut self) -> Result<(), DriverError> {
        self.sessions.wait(&mut self.batch)?;
        let mut batch = std::mem::take(&mut self.batch);
        batch.drain(..).for_each(|completion| self.dispatch(completion));
        self.batch = batch;
        self.fire_timers();
        self.sessions.flush_dirty();
        Ok(())
    }

    /// Its connections.
    pub fn sessions(&mut self) -> &mut Sessions<D> {
        &mut self.sessions
    }

    fn dispatch(&mut self, completion: Completion) {
        if completion.token.verb == Verb::Wake {
            self.read_mailbox();
            self.watch_mailbox();
        } else {
            self.sessions.drive(completion);
        }
    }

    fn fire_timers(&mut self) {
        self.sessions.reactor().expire();
        // One by one, as each may disarm others that are due.
        while let Some(due) = self.sessions.reactor().take_due() {
            self.sessions.timeout(due);
        }
    }

    /// Works by a plan from now on, unless the worker is ending: then the sockets that it brings
    /// are closed again.
    fn take_plan(&mut self, plan: WorkerPlan) -> Replaced {
        if self.phase != Phase::Running {
            return Replaced::default();
        }
        self.adopt(plan)
    }

    /// Works by a plan from now on.
    pub(super) fn adopt(&mut self, plan: WorkerPlan) -> Replaced {
        let WorkerPlan { options, sockets } = plan;
        for socket in sockets {
            // The sessions close it.
            let _session_s = std::os::fd::IntoRawFd::into_raw_fd(socket);
        }
        self.sessions.replace_plan(options)
    }

    fn watch_mailbox(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            let fd = mailbox.fd();
            self.sessions.reactor().submit(WAKE, Op::PollIn { fd });
        }
    }

    fn read_mailbox(&mut self) {
        let Some(mailbox) = &self.mailbox else { return };
        for message in mailbox.take() {
            match message {
                Message::Report(answer) => {
                    self.sessions.publish();
                    // The exporter may have given up waiting.
                    let _abandoned = answer.send(self.sessions.histograms().clone());
                }
                Message::Upstreams(answer) => {
                    let _abandoned = answer.send(self.sessions.server_views());
                }
                Message::Change(note, done) => {
                    self.sessions.take_note(note);
                    let _abandoned = done.send(());
                }
                Message::Drain { deadline } => {
                    if self.phase == Phase::Running {
                        self.phase = Phase::Draining;
                        self.sessions.drain();
                        self.sessions.arm_shutdown(deadline.max(clock::now()));
                    }
                }
                Message::Release => self.phase = Phase::Released,
                Message::Note(note) => self.sessions.take_note(note),
                Message::Plan(plan, done) => {
                    let _abandoned = done.send(self.take_plan(*plan));
                }
                Message::Cut => self.sessions.cut_all(),
            }
        }
    }
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// `EINVAL` when the process may not use that CPU.
pub(super) fn pin(cpu: usize) -> Result<(), Errno> {
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)
}

/// The CPUs that this process may use.
///
/// # Errors
/// As `sched_getaffinity(2)`.
pub fn cpus() -> Result<Vec<usize>, Errno> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    let all = 0..nix::sched::CpuSet::count();
    Ok(all.filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}
