//! Datagrams: the UDP sockets of this worker, and the flows of the UDP proxy.
//!
//! A *door* is one listening socket. Echo answers through it; the proxy makes a flow for each
//! client, with a socket of its own that is connected to a server. What a turn brings is collected
//! per socket and leaves at the end of the turn, in one call each.
//!
//! | file | job |
//! |---|---|
//! | `listener` | what comes in by the listening sockets, and the errors on them |
//! | `flow` | the life of a flow |

mod flow;
mod listener;

use std::collections::VecDeque;

use self::flow::Flow;
use self::listener::UdpListener;
use super::Due;
use super::context::Context;
use super::options::DatagramService;
use crate::mem::{Key, Slab};
use crate::ring::{Completion, Driver, Lane, Outbox};
use crate::runtime::TimerId;
use crate::service::flows::{FlowEnd, FlowTable, SuspectsByUpstream};

/// Slots beyond the flows that there may be: for those that are ending.
const FLOWS_SPARE: u32 = 64 * 1024;
/// Flows that end in one go; the others end a moment later.
const EXPIRED_MAX: usize = 1024;

/// All datagram sockets of one worker.
#[derive(Debug)]
pub(super) struct Datagrams {
    listeners: Vec<Listener>,
    doors: Vec<UdpListener>,
    flows: Slab<Flow>,
    outboxes: Outboxes,
    /// Doors with something to send.
    dirty: Vec<u32>,
    /// Sockets whose receive found no buffer.
    starved: VecDeque<Hungry>,
    suspects: SuspectsByUpstream,
    draining: bool,
}

/// One listener's flows in this worker.
#[derive(Debug, Default)]
struct Listener {
    table: FlowTable<Key>,
    /// For the oldest flow: there is one timer for all, and a datagram arms none.
    timer: Option<TimerId>,
}

#[derive(Debug, Clone, Copy)]
enum Hungry {
    UdpListener(u32),
    Flow(Key),
}

/// What flows have to send in this turn. Outboxes go from flow to flow, so that an idle flow has
/// none.
#[derive(Debug, Default)]
struct Outboxes {
    boxes: Vec<(Key, Outbox)>,
    used: usize,
}

impl Outboxes {
    /// The outbox of a flow that knows its place in `place`, if it has one.
    fn of(&mut self, place: &mut Option<usize>, key: Key) -> &mut Outbox {
        let index = *place.get_or_insert_with(|| {
            if self.used == self.boxes.len() {
                self.boxes.push((key, Outbox::new()));
            }
            self.used += 1;
            self.used - 1
        });
        let (owner, outbox) = &mut self.boxes[index];
        *owner = key;
        outbox
    }
}

impl Datagrams {
    pub(super) fn new<D: Driver>(context: &Context<D>) -> Self {
        let options = &context.options;
        let mut doors: Vec<UdpListener> = Vec::new();
        for (listener, datagrams) in options.datagrams.iter().enumerate() {
            for socket in &datagrams.sockets {
                let number = u32::try_from(doors.len()).unwrap_or(u32::MAX);
                doors.push(UdpListener::new(number, listener, *socket, datagrams));
            }
        }
        let flows = options.datagrams.iter().map(|datagrams| match datagrams.service {
            DatagramService::Echo => 0,
            DatagramService::Proxy { flows_max, .. } => u32::try_from(flows_max).unwrap_or(1 << 30),
        });
        Self {
            listeners: options.datagrams.iter().map(|_| Listener::default()).collect(),
            doors,
            flows: Slab::with_limit(flows.fold(FLOWS_SPARE, u32::saturating_add)),
            outboxes: Outboxes::default(),
            dirty: Vec::new(),
            starved: VecDeque::new(),
            suspects: SuspectsByUpstream::default(),
            draining: false,
        }
    }

    /// The number of an upstream is that of another one from now on.
    #[expect(dead_code, reason = "for upstreams that are replaced")]
    pub(super) fn reset_suspects(&mut self, upstream: usize) {
        self.suspects.reset(upstream);
    }

    /// Begins to receive.
    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>) {
        for door in &mut self.doors {
            door.socket.arm(&mut context.reactor);
        }
    }

    /// Sends what is queued, ends all flows, stops to receive and closes the sockets. What waits in
    /// their queues is lost.
    pub(super) fn drain<D: Driver>(&mut self, context: &mut Context<D>) {
        self.flush(context);
        self.draining = true;
        self.end_all(context);
        for index in 0..self.doors.len() {
            self.doors[index].socket.stop(&mut context.reactor);
            self.close_door_if_quiet(context, index);
        }
        for listener in &mut self.listeners {
            if let Some(timer) = listener.timer.take() {
                context.reactor.disarm(timer);
            }
        }
    }

    /// Ends all flows.
    pub(super) fn end_all<D: Driver>(&mut self, context: &mut Context<D>) {
        let keys: Vec<Key> = self.flows.keys().collect();
        for key in keys {
            self.end_flow(context, key, FlowEnd::Shutdown);
        }
    }

    /// Whether no flow is left, and after a drain no socket: nothing would be lost by the end of
    /// the worker.
    pub(super) fn is_empty(&self) -> bool {
        if self.draining { self.is_drained() } else { self.flows.is_empty() }
    }

    /// Whether all sockets are closed.
    pub(super) fn is_drained(&self) -> bool {
        self.flows.is_empty() && self.doors.iter().all(|door| door.socket.fd().is_none())
    }

    /// Whether a starved receive can be armed again.
    pub(super) fn can_feed<D: Driver>(&self, context: &Context<D>) -> bool {
        !self.starved.is_empty() && context.reactor.free_datagram_buffers() > 0
    }

    /// Gives a completion to the socket that it is for.
    pub(super) fn handle<D: Driver>(&mut self, context: &mut Context<D>, completion: Completion) {
        match completion.token.lane {
            Lane::Client => self.handle_door(context, completion),
            Lane::Upstream => self.handle_flow(context, completion),
        }
    }

    /// The oldest flow of a listener may be idle: ends those that are, and waits for the next.
    pub(super) fn expire<D: Driver>(&mut self, context: &mut Context<D>, listener: u32) {
        let index = listener as usize;
        self.listeners[index].timer = None;
        let DatagramService::Proxy { flow_timeout, .. } = context.options.datagrams[index].service
        else {
            return;
        };
        let now = context.now();
        for _ in 0..EXPIRED_MAX {
            match self.listeners[index].table.idle(flow_timeout, now) {
                Ok(key) => self.end_flow(context, key, FlowEnd::Idle),
                Err(Some(later)) => {
                    let timer = context.reactor.arm(later, Due::Flows(listener));
                    self.listeners[index].timer = Some(timer);
                    return;
                }
                Err(None) => return,
            }
        }
        self.listeners[index].timer = Some(context.reactor.arm(now, Due::Flows(listener)));
    }

    /// Sends what the turn has queued: one call per socket. Then receives go on.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>) {
        for index in 0..self.outboxes.used {
            self.flush_flow(context, index);
        }
        self.outboxes.used = 0;
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.flush_door(context, index);
        }
        self.dirty = dirty;
        self.feed(context);
    }

    /// Lets as many starved sockets receive again as there are free buffers.
    fn feed<D: Driver>(&mut self, context: &mut Context<D>) {
        if self.starved.is_empty() {
            return;
        }
        for _ in 0..context.reactor.free_datagram_buffers() {
            let socket = match self.starved.pop_front() {
                Some(Hungry::UdpListener(index)) => Some(&mut self.doors[index as usize].socket),
                Some(Hungry::Flow(key)) => self.flows.get_mut(key).map(|flow| &mut flow.socket),
                None => return,
            };
            if let Some(socket) = socket {
                socket.feed(&mut context.reactor);
            }
        }
    }
}
