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

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use self::flow::Flow;
use self::listener::UdpListener;
use super::Due;
use super::context::Context;
use super::options::DatagramService;
use super::plan::DatagramPlan;
use crate::mem::{Key, Slab};
use crate::ring::{Completion, Driver, Fd, Lane, Outbox};
use crate::runtime::TimerId;
use crate::service::flows::{FlowEnd, FlowTable, SuspectsByUpstream};

/// Slots beyond the flows that there may be: for those that are ending.
const FLOWS_SPARE: u32 = 64 * 1024;
/// Flows that end in one go; the others end a moment later.
const EXPIRED_MAX: usize = 1024;

/// All datagram sockets of one worker.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// By number.
    listeners: Vec<Option<Listener>>,
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
#[derive(Debug)]
struct Listener {
    /// The listener, as the present plan has it.
    plan: Rc<DatagramPlan>,
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
    /// No socket yet: [`Datagrams::replace`] follows.
    pub(super) fn new() -> Self {
        Self {
            listeners: Vec::new(),
            doors: Vec::new(),
            flows: Slab::with_limit(FLOWS_SPARE),
            outboxes: Outboxes::default(),
            dirty: Vec::new(),
            starved: VecDeque::new(),
            suspects: SuspectsByUpstream::default(),
            draining: false,
        }
    }

    /// The number of an upstream is that of another one from now on.
    pub(super) fn reset_suspects(&mut self, upstream: usize) {
        self.suspects.reset(upstream);
    }

    /// Begins to receive.
    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>) {
        for door in &mut self.doors {
            door.socket.arm(&mut context.reactor);
        }
    }

    /// These are the listeners from now on. Sockets that none of them has are closed, and the flows
    /// of listeners that are gone end; the others go on to the server that they have. Returns how
    /// many have ended.
    pub(super) fn replace<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        plans: Vec<Rc<DatagramPlan>>,
        is_started: bool,
    ) -> u64 {
        let most = plans.iter().map(|plan| match plan.options.service {
            DatagramService::Echo => 0,
            DatagramService::Proxy { flows_max, .. } => u32::try_from(flows_max).unwrap_or(1 << 30),
        });
        self.flows.set_limit(most.fold(FLOWS_SPARE, u32::saturating_add));
        let owners: HashMap<Fd, &Rc<DatagramPlan>> = plans
            .iter()
            .flat_map(|plan| plan.options.sockets.iter().map(move |socket| (*socket, plan)))
            .collect();
        let ended = self.end_flows_of_others(context, &plans, &owners);
        let mut known = HashSet::new();
        for index in 0..self.doors.len() {
            let Some(socket) = self.doors[index].socket.fd() else { continue };
            known.insert(socket);
            match owners.get(&socket) {
                Some(plan) => self.doors[index].plan = Some(Rc::clone(plan)),
                None => {
                    self.doors[index].socket.stop(&mut context.reactor);
                    self.close_door_if_quiet(context, index);
                }
            }
        }
        for plan in plans {
            for socket in &plan.options.sockets {
                if known.insert(*socket) {
                    let index = self.add_door(&plan, *socket);
                    if is_started {
                        self.doors[index].socket.arm(&mut context.reactor);
                    }
                }
            }
            let number = plan.number();
            if number >= self.listeners.len() {
                self.listeners.resize_with(number + 1, || None);
            }
            match &mut self.listeners[number] {
                Some(listener) => {
                    let is_other = listener.plan.options.service != plan.options.service;
                    listener.plan = plan;
                    if is_other && let Some(timer) = listener.timer.take() {
                        // Flows may be idle earlier by the new plan.
                        context.reactor.disarm(timer);
                        let due = Due::Flows(u32::try_from(number).unwrap_or(u32::MAX));
                        listener.timer = Some(context.reactor.arm(context.reactor.now(), due));
                    }
                }
                slot @ None => {
                    *slot = Some(Listener { plan, table: FlowTable::new(), timer: None });
                }
            }
        }
        ended
    }

    fn add_door(&mut self, plan: &Rc<DatagramPlan>, socket: Fd) -> usize {
        let free = self.doors.iter().position(|door| door.socket.fd().is_none());
        let index = free.unwrap_or(self.doors.len());
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let door = UdpListener::new(number, Rc::clone(plan), socket);
        match self.doors.get_mut(index) {
            Some(slot) => *slot = door,
            None => self.doors.push(door),
        }
        index
    }

    /// Ends the flows of listeners that are gone or have flows no more, and of sockets that another
    /// listener has now.
    fn end_flows_of_others<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        plans: &[Rc<DatagramPlan>],
        owners: &HashMap<Fd, &Rc<DatagramPlan>>,
    ) -> u64 {
        let mut ended = 0;
        let stays = |door: &UdpListener| {
            let newest = door.socket.fd().and_then(|socket| owners.get(&socket));
            newest.is_some_and(|plan| {
                let own = door.plan.as_ref().map(|plan| plan.number());
                let has_flows = matches!(plan.options.service, DatagramService::Proxy { .. });
                has_flows && own == Some(plan.number())
            })
        };
        let stays: Vec<bool> = self.doors.iter().map(stays).collect();
        if stays.iter().any(|stays| !stays) {
            let keys: Vec<Key> = self.flows.keys().collect();
            for key in keys {
                let ends = |flow: &Flow| !flow.has_ended() && !stays[flow.socket_number()];
                if self.flows.get(key).is_some_and(ends) {
                    self.end_flow(context, key, FlowEnd::Shutdown);
                    ended += 1;
                }
            }
        }
        let present: HashSet<usize> = plans.iter().map(|plan| plan.number()).collect();
        for (number, slot) in self.listeners.iter_mut().enumerate() {
            if !present.contains(&number)
                && let Some(listener) = slot.take()
                && let Some(timer) = listener.timer
            {
                context.reactor.disarm(timer);
            }
        }
        ended
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
        for listener in self.listeners.iter_mut().flatten() {
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
        let now = context.now();
        for round in 0..=EXPIRED_MAX {
            // It may have gone with an earlier plan.
            let Some(Some(own)) = self.listeners.get_mut(listener as usize) else { return };
            own.timer = None;
            let DatagramService::Proxy { flow_timeout, .. } = own.plan.options.service else {
                return;
            };
            match own.table.idle(flow_timeout, now) {
                Ok(_) if round == EXPIRED_MAX => {
                    own.timer = Some(context.reactor.arm(now, Due::Flows(listener)));
                }
                Ok(key) => self.end_flow(context, key, FlowEnd::Idle),
                Err(Some(later)) => {
                    own.timer = Some(context.reactor.arm(later, Due::Flows(listener)));
                    return;
                }
                Err(None) => return,
            }
        }
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
