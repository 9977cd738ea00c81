//! The listening sockets: what comes from clients, and what the network says of our answers.

use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;

use super::super::Due;
use super::super::context::Context;
use super::super::options::DatagramService;
use super::super::plan::DatagramPlan;
use super::super::stats_udp::DropReason;
use super::{Datagrams, Hungry};
use crate::mem::Key;
use crate::net::{DatagramEvent, DatagramSocket};
use crate::ring::{Completion, Datagram, DatagramHead, Driver, Fd, Lane, Outbox};
use crate::service::flows::{FlowEnd, FlowKey};

/// How long a socket rests that failed for another reason than the network.
const REST: Duration = Duration::from_millis(100);
/// ICMP errors that are looked at in one go.
const ERRORS_MAX: usize = 256;

/// A listening socket.
#[derive(Debug)]
pub(super) struct UdpListener {
    /// The listener that has it. None when the socket is closed: what is not in use keeps nothing
    /// of an earlier plan.
    pub(super) plan: Option<Rc<DatagramPlan>>,
    pub(super) socket: DatagramSocket,
    pub(super) outbox: Outbox,
    dirty: bool,
}

impl UdpListener {
    pub(super) fn new(number: u32, plan: Rc<DatagramPlan>, socket: Fd) -> Self {
        let key = Key::new(number, 0);
        Self {
            socket: DatagramSocket::new(socket, key, Lane::Client, plan.options.offload),
            plan: Some(plan),
            outbox: Outbox::new(),
            dirty: false,
        }
    }
}

/// How many datagrams are in `len` bytes.
pub(super) fn count_of(head: &DatagramHead, len: usize) -> u64 {
    let segment = usize::from(head.segment);
    if len <= segment || segment == 0 { 1 } else { len.div_ceil(segment) as u64 }
}

impl Datagrams {
    pub(super) fn handle_door<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        completion: Completion,
    ) {
        let number = completion.token.key.index;
        let index = number as usize;
        match self.doors[index].socket.handle(completion) {
            DatagramEvent::Data(datagram) => self.take_from_client(context, number, datagram),
            DatagramEvent::Starved => self.starved.push_back(Hungry::UdpListener(number)),
            DatagramEvent::Failed(errno) => {
                self.read_errors(context, number);
                if !is_network(errno) && self.doors[index].socket.is_idle() {
                    let now = context.now();
                    if let Some(others) = context.notices.datagrams.due(now) {
                        let plan = self.doors[index].plan.as_ref();
                        let name = plan.map(|plan| plan.options.name.as_str());
                        tracing::warn!(listener = name, others, "receiving datagrams: {errno}");
                    }
                    context.reactor.arm(now + REST, Due::UdpListener(number));
                    return;
                }
            }
            DatagramEvent::Quiet => {}
        }
        self.doors[index].socket.arm(&mut context.reactor);
        self.close_door_if_quiet(context, index);
    }

    /// A door has rested.
    pub(in super::super) fn retry<D: Driver>(&mut self, context: &mut Context<D>, number: u32) {
        if let Some(door) = self.doors.get_mut(number as usize) {
            door.socket.arm(&mut context.reactor);
        }
    }

    pub(super) fn close_door_if_quiet<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        index: usize,
    ) {
        let door = &mut self.doors[index];
        if door.socket.is_quiet() {
            if door.dirty {
                // Answers to what came while the receive was being ended.
                self.flush_door(context, u32::try_from(index).unwrap_or(u32::MAX));
            }
            let door = &mut self.doors[index];
            door.socket.close(&mut context.reactor);
            door.plan = None;
        }
    }

    /// Has a door flushed at the end of the turn.
    pub(super) fn mark_dirty(&mut self, number: u32) {
        let door = &mut self.doors[number as usize];
        if !door.dirty {
            door.dirty = true;
            self.dirty.push(number);
        }
    }

    pub(super) fn flush_door<D: Driver>(&mut self, context: &mut Context<D>, number: u32) {
        let door = &mut self.doors[number as usize];
        door.dirty = false;
        if door.outbox.is_empty() {
            return;
        }
        let Some(plan) = &door.plan else { return door.outbox.clear() };
        let report = door.socket.send(&mut context.reactor, &mut door.outbox);
        let stats = &plan.stats;
        stats.count_report(&report);
        stats.sent.add(report.datagrams);
        stats.sent_bytes.add(report.bytes);
        if report.error.is_some() || report.interrupted {
            self.read_errors(context, number);
        }
    }

    fn take_from_client<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        number: u32,
        datagram: Datagram,
    ) {
        let door = &mut self.doors[number as usize];
        let head = datagram.head();
        let data = datagram.into_data();
        let count = count_of(&head, data.len());
        let Some(plan) = &door.plan else { return };
        let stats = &plan.stats;
        stats.received.add(count);
        stats.received_bytes.add(data.len() as u64);
        if count > 1 {
            stats.joined_received.add(1);
        }
        if head.truncated {
            // What is left of it is not what was sent.
            stats.truncated.add(1);
            return;
        }
        // Nothing can be sent to a port 0.
        let Some(client) = head.from.filter(|client| client.port() != 0) else {
            return stats.drop_of(DropReason::NoFlow, count);
        };
        match plan.options.service {
            DatagramService::Echo => {
                let most = door.socket.segment_max();
                door.outbox.push(Some(client), head.local, data, head.segment, most);
                self.mark_dirty(number);
            }
            DatagramService::Proxy { .. } => {
                // Flows of a socket that is being closed have ended.
                let is_open = !door.socket.is_stopping();
                let plan = Rc::clone(plan);
                let key = FlowKey { client, local: head.local, socket: number };
                if !is_open || !self.take_for_server(context, key, &plan, head.segment, data) {
                    plan.stats.drop_of(DropReason::NoFlow, count);
                }
            }
        }
    }

    /// Reads what the network has said of our answers: a client that is gone needs no flow.
    fn read_errors<D: Driver>(&mut self, context: &mut Context<D>, number: u32) {
        for _ in 0..ERRORS_MAX {
            let door = &self.doors[number as usize];
            let Some(error) = door.socket.take_error(&mut context.reactor) else {
                return;
            };
            if error.errno != Errno::ECONNREFUSED {
                continue;
            }
            let key = FlowKey { client: error.peer, local: error.local, socket: number };
            let number = door.plan.as_ref().map(|plan| plan.number());
            let listener = number.and_then(|number| self.listeners.get(number)?.as_ref());
            if let Some((_, flow)) = listener.and_then(|own| own.table.find(&key)) {
                self.end_flow(context, flow, FlowEnd::ClientUnreachable);
            }
        }
    }
}

/// Whether an error tells of a receiver, or of a moment, and not of the socket.
fn is_network(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EMSGSIZE
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EOPNOTSUPP
            | Errno::EACCES
            | Errno::EINTR
            | Errno::EAGAIN
    )
}
