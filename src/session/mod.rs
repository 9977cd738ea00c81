//! Where transport and decisions meet: the connections of one worker.
//!
//! [`Sessions`] owns every connection as a slot, gives each completion to the slot that it is for,
//! and carries out what the services decide. This folder alone knows both sides.
//!
//! | file | job |
//! |---|---|
//! | `accept` | listeners, limits, handing connections to other workers, draining |
//! | `echo`, `relay` | the two kinds of connections |
//! | `common` | what every connection has: its number, its timer, its end |
//! | `context` | what connections share: reactor, pipes, upstreams, lists of work |
//! | `udp` | datagrams: listening sockets, echo, the flows of the proxy |
//! | `fleet` | what workers see of each other |
//! | `stats`, `stats_udp` | counters |
//! | `options` | how all of this is set up |

mod accept;
mod common;
mod context;
mod echo;
mod fleet;
mod options;
mod relay;
mod stats;
mod stats_udp;
mod udp;

use std::time::Instant;

pub use self::fleet::{Fleet, WorkerCell};
pub use self::options::{
    DatagramOptions, DatagramService, ListenerOptions, RelayOptions, ServiceOptions,
    SessionOptions, UpstreamOptions,
};
pub use self::stats::{
    Distribution, ErrorKind, Histograms, ListenerStats, RelayStats, SessionStats, UpstreamStats,
};

pub use self::stats_udp::{DatagramStats, DropReason};

use self::accept::Entrance;
use self::common::Common;
use self::context::Context;
use self::echo::Echo;
use self::relay::Relay;
use self::udp::Datagrams;
use crate::mem::{Key, Slab};
use crate::ring::{Completion, Driver, DriverError, Fd, Lane, Token, Verb};
use crate::runtime::Reactor;
use crate::service::CloseReason;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A connection's present deadline.
    Session(Key),
    /// An acceptor that failed may try again.
    Acceptor(u32),
    /// The oldest flow of a UDP listener may be idle.
    Flows(u32),
    /// A UDP socket that failed may try again.
    Door(u32),
    /// The shutdown's time is over.
    Shutdown,
}

/// One connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a slot is as large as the common kind, a relay")]
enum Session {
    Echo(Echo),
    Relay(Relay),
}

/// All connections of one worker.
#[derive(Debug)]
pub struct Sessions<D: Driver> {
    slab: Slab<Session>,
    entrances: Vec<Entrance>,
    datagrams: Datagrams,
    context: Context<D>,
    draining: bool,
    /// The shutdown's time is over: what still comes is cut at once.
    cutting: bool,
    cut: u64,
}

impl<D: Driver> Sessions<D> {
    /// No connection yet. [`Sessions::start`] begins to accept.
    #[must_use]
    pub fn new(reactor: Reactor<D, Due>, options: SessionOptions) -> Self {
        let listeners = options.listeners.iter().enumerate();
        let sockets = listeners.flat_map(|(listener, options)| {
            options.sockets.iter().map(move |socket| (listener, *socket))
        });
        let numbered = (0u32..).zip(sockets);
        let entrances =
            numbered.map(|(number, (listener, fd))| Entrance::new(number, listener, fd)).collect();
        let slab = Slab::with_limit(options.connections_max);
        let context = Context::new(reactor, options);
        Self {
            slab,
            entrances,
            datagrams: Datagrams::new(&context),
            context,
            draining: false,
            cutting: false,
            cut: 0,
        }
    }

    /// The reactor, for the worker's own operations and its loop.
    pub fn reactor(&mut self) -> &mut Reactor<D, Due> {
        &mut self.context.reactor
    }

    /// The two histograms so far.
    #[must_use]
    pub fn histograms(&self) -> &Histograms {
        &self.context.histograms
    }

    /// One turn: submit, wait and reap into `batch`. Does not wait while there is work left.
    ///
    /// # Errors
    /// Only when the driver is beyond use.
    pub fn wait(&mut self, batch: &mut Vec<Completion>) -> Result<(), DriverError> {
        let can_feed = !self.context.starved.is_empty() && self.context.reactor.free_buffers() > 0;
        let can_feed = can_feed || self.datagrams.can_feed(&self.context);
        let busy = can_feed || !self.context.dirty.is_empty();
        self.context.reactor.turn(busy, batch)
    }

    /// Gives one completion to whom it is for.
    pub fn drive(&mut self, completion: Completion) {
        let Token { key, verb, .. } = completion.token;
        match verb {
            Verb::Accept => self.handle_accept(completion),
            Verb::Arrival => self.handle_arrival(completion),
            Verb::HandOff => self.handle_hand_off(completion),
            // Nobody waits for a close, and the mailbox is the worker's.
            Verb::Close | Verb::Wake => {}
            Verb::ReceiveFrom | Verb::CancelFrom => {
                self.datagrams.handle(&mut self.context, completion);
                if self.draining {
                    self.leave_fleet_if_drained();
                }
            }
            Verb::Receive
            | Verb::Send
            | Verb::Connect
            | Verb::PollIn
            | Verb::PollOut
            | Verb::Cancel => {
                match self.slab.get_mut(key) {
                    Some(Session::Relay(relay)) => {
                        relay.handle(&mut self.context, key, completion);
                    }
                    Some(Session::Echo(echo)) => echo.handle(&mut self.context, key, completion),
                    None => self.context.stats().stale.add(1),
                }
                self.remove_if_finished(key);
            }
        }
    }

    /// A timer is due.
    pub fn timeout(&mut self, due: Due) {
        match due {
            Due::Session(key) => {
                match self.slab.get_mut(key) {
                    Some(Session::Relay(relay)) => relay.handle_timeout(&mut self.context, key),
                    Some(Session::Echo(echo)) => echo.handle_timeout(&mut self.context, key),
                    None => {}
                }
                self.remove_if_finished(key);
            }
            Due::Acceptor(index) => self.retry_accept(index),
            Due::Flows(listener) => self.datagrams.expire(&mut self.context, listener),
            Due::Door(number) => self.datagrams.retry(&mut self.context, number),
            Due::Shutdown => self.cut_all(),
        }
    }

    /// Sends what the turn has queued: one send per connection, and all that follows from it.
    pub fn flush_dirty(&mut self) {
        self.feed_starved();
        let mut dirty = std::mem::take(&mut self.context.flushing);
        std::mem::swap(&mut dirty, &mut self.context.dirty);
        for key in dirty.drain(..) {
            match self.slab.get_mut(key) {
                Some(Session::Relay(relay)) => relay.flush(&mut self.context, key),
                Some(Session::Echo(echo)) => echo.flush(&mut self.context, key),
                None => {}
            }
            self.remove_if_finished(key);
        }
        self.context.flushing = dirty;
        self.datagrams.flush(&mut self.context);
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is no connection and no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty() && self.datagrams.is_empty()
    }

    /// How many connections the shutdown's deadline has cut.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Pipes that are open.
    #[must_use]
    pub fn pipes_open(&self) -> usize {
        self.context.pipes.open()
    }

    /// Ends all connections that are left.
    pub fn cut_all(&mut self) {
        self.cutting = true;
        self.datagrams.end_all(&mut self.context);
        let keys: Vec<Key> = self.slab.keys().collect();
        for key in keys {
            match self.slab.get_mut(key) {
                Some(Session::Relay(relay)) => relay.cut(&mut self.context, key),
                Some(Session::Echo(echo)) => echo.cut(&mut self.context, key),
                None => {}
            }
            self.cut += 1;
            self.remove_if_finished(key);
        }
    }

    /// Closes what is left open when all connections have ended.
    pub fn finish(&mut self) {
        let Context { pipes, reactor, .. } = &mut self.context;
        pipes.clear(reactor.driver());
    }

    /// Arms the shutdown's deadline.
    pub fn arm_shutdown(&mut self, deadline: Instant) {
        self.context.reactor.arm(deadline, Due::Shutdown);
    }

    /// Makes a slot for an accepted connection and starts its service.
    fn open(&mut self, listener: usize, socket: Fd) {
        let context = &mut self.context;
        if self.cutting {
            self.cut += 1;
            context.refuse(listener, socket, CloseReason::ShutdownTimeout);
            return;
        }
        let common = Common::new(context, listener);
        let session = match context.options.listeners[listener].service {
            ServiceOptions::Echo => Session::Echo(Echo::new(common, socket)),
            ServiceOptions::Tcp { upstream } => {
                Session::Relay(Relay::new(context, common, socket, upstream))
            }
        };
        let Ok(key) = self.slab.insert(session) else {
            context.refuse(listener, socket, CloseReason::Resources);
            return;
        };
        context.listener_stats(listener).active.increment();
        context.cell().active.increment();
        match self.slab.get_mut(key) {
            Some(Session::Relay(relay)) => relay.start(context, key),
            Some(Session::Echo(echo)) => echo.start(context, key),
            None => {}
        }
        self.remove_if_finished(key);
    }

    fn remove_if_finished(&mut self, key: Key) {
        let finished = match self.slab.get(key) {
            Some(Session::Relay(relay)) => relay.is_finished(),
            Some(Session::Echo(echo)) => echo.is_finished(),
            None => false,
        };
        if !finished {
            return;
        }
        match self.slab.remove(key) {
            Some(Session::Relay(relay)) => relay.finish(&mut self.context, key),
            Some(Session::Echo(echo)) => echo.finish(&mut self.context, key),
            None => {}
        }
    }

    /// Lets as many starved connections receive again as there are free buffers.
    fn feed_starved(&mut self) {
        if self.context.starved.is_empty() {
            return;
        }
        for _ in 0..self.context.reactor.free_buffers() {
            let Some((key, lane)) = self.context.starved.pop_front() else {
                return;
            };
            match self.slab.get_mut(key) {
                Some(Session::Relay(relay)) => relay.feed(&mut self.context, key, lane),
                Some(Session::Echo(echo)) => echo.feed(&mut self.context, key),
                None => {}
            }
        }
    }
}

/// The lane of every connection that was accepted.
const CLIENT: Lane = Lane::Client;
