//! The life of a flow: made for a client's first datagram, ended when it is idle, evicted or told
//! that nobody is there.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::super::Due;
use super::super::context::Context;
use super::super::failure::failure_of;
use super::super::options::DatagramService;
use super::super::plan::DatagramPlan;
use super::super::workers::WorkerMessage;
use super::listener::count_of;
use super::{Datagrams, Hungry, Listener};
use crate::mem::{Buf, Key};
use crate::net::{DatagramEvent, DatagramSocket, NetworkError, Operation};
use crate::ring::{
    Completion, Datagram, DatagramSocketOptions, Driver, Fd, Lane, Outbox, SocketAddress,
};
use crate::service::cluster::failed;
use crate::service::flows::{FlowEnd, FlowKey, FlowQuota, Place, client_hash};

/// How long new flows pass a server over whose host has refused a datagram.
const SUSPICION: Duration = Duration::from_secs(5);

/// One client's flow.
#[derive(Debug)]
pub(super) struct Flow {
    id: u64,
    key: FlowKey,
    /// The listener, as the plan had it with which the flow began.
    plan: Rc<DatagramPlan>,
    place: Place,
    /// Connected to the server.
    pub(super) socket: DatagramSocket,
    upstream: usize,
    server: usize,
    opened: Instant,
    /// The place of its outbox, in a turn in which there is something to send.
    outbox: Option<usize>,
    ended: bool,
    /// Datagrams and bytes from the client.
    received: (u64, u64),
    /// Datagrams and bytes for the client.
    sent: (u64, u64),
}

impl Datagrams {
    /// Queues a client's datagrams for its server; false when there is no flow and none can be
    /// made.
    pub(super) fn take_for_server<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: FlowKey,
        plan: &Rc<DatagramPlan>,
        segment: u16,
        data: Buf,
    ) -> bool {
        let listener = self.listeners.get_mut(plan.number()).and_then(Option::as_mut);
        let Some(Listener { table, .. }) = listener else { return false };
        let found = match table.find(&key) {
            Some((place, flow)) => {
                table.touch(place, context.now());
                Some(flow)
            }
            None => {
                let plan = Rc::clone(plan);
                self.open_flow(context, key, plan)
            }
        };
        let Some((own, flow)) = found.and_then(|own| Some((own, self.flows.get_mut(own)?))) else {
            return false;
        };
        let count = data.len().div_ceil(usize::from(segment).max(1)).max(1);
        flow.received.0 += count as u64;
        flow.received.1 += data.len() as u64;
        let outbox = self.outboxes.of(&mut flow.outbox, own);
        outbox.push(None, None, data, segment, flow.socket.segment_max());
        true
    }

    /// Chooses the server of a new flow, which counts as being under way then.
    fn choose<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        upstream: usize,
        hash: u64,
    ) -> Option<usize> {
        let now = context.now();
        let cluster = context.cluster(upstream);
        cluster.breaker.try_enter().ok()?;
        let suspects = self.suspects.of(upstream).list(now);
        let server = cluster.servers.pick_any(Some(hash), suspects, now);
        let server = server.or_else(|| cluster.servers.pick_any(Some(hash), &[], now));
        if server.is_none() {
            cluster.breaker.leave();
        }
        server
    }

    /// A flow that was to be made is none.
    fn give_back_server<D: Driver>(
        context: &mut Context<D>,
        (upstream, server): (usize, usize),
        errno: Errno,
    ) {
        let now = context.now();
        let failure = failure_of(errno, &context.plan.upstreams[upstream].servers[server]);
        let cluster = context.cluster(upstream);
        cluster.breaker.leave();
        cluster.servers.done(server, failed(failure.failure()), now);
        context.tell_ejections(upstream);
    }

    /// Makes a flow. The oldest makes room where there are too many.
    fn open_flow<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: FlowKey,
        plan: Rc<DatagramPlan>,
    ) -> Option<Key> {
        let DatagramService::Proxy { upstream, flows_max, flow_timeout } = plan.options.service
        else {
            return None;
        };
        if self.draining {
            return None;
        }
        self.make_room(context, &plan, flows_max);
        let now = context.now();
        let server = self.choose(context, upstream, client_hash(key.client))?;
        let offload = plan.options.offload;
        let fd = match connect(context, upstream, server, offload) {
            Ok(fd) => fd,
            Err(errno) => {
                Self::give_back_server(context, (upstream, server), errno);
                self.open_failed(context, &plan, errno, (upstream, server));
                return None;
            }
        };
        let flow = Flow {
            id: context.next_id(),
            key,
            plan: Rc::clone(&plan),
            place: Place::NOWHERE,
            socket: DatagramSocket::new(fd, Key::new(0, 0), Lane::Upstream, offload),
            upstream,
            server,
            opened: now,
            outbox: None,
            ended: false,
            received: (0, 0),
            sent: (0, 0),
        };
        let Ok(own) = self.flows.insert(flow) else {
            context.reactor.driver().close(fd);
            Self::give_back_server(context, (upstream, server), Errno::ENOMEM);
            self.open_failed(context, &plan, Errno::ENOMEM, (upstream, server));
            return None;
        };
        let listed = self.listeners.get_mut(plan.number())?.as_mut()?;
        let flow = self.flows.get_mut(own)?;
        flow.place = listed.table.insert(key, own, now);
        flow.socket = DatagramSocket::new(fd, own, Lane::Upstream, offload);
        flow.socket.arm(&mut context.reactor);
        if listed.timer.is_none() {
            let due = Due::Flows(u32::try_from(plan.number()).unwrap_or(u32::MAX));
            listed.timer = Some(context.reactor.arm(now + flow_timeout, due));
        }
        plan.stats.flows_opened.add(1);
        plan.stats.flows_active.increment();
        let upstream = context.upstream_stats(upstream);
        upstream.connected.add(1);
        upstream.active.increment();
        Some(own)
    }

    /// The oldest flow of a listener.
    fn oldest(&self, listener: usize) -> Option<Key> {
        self.listeners.get(listener)?.as_ref()?.table.oldest()
    }

    /// Ends as many flows as there are too many. Where this worker has no more than its share, one
    /// that has borrowed is told to.
    fn make_room<D: Driver>(&mut self, context: &mut Context<D>, plan: &DatagramPlan, max: u64) {
        let listener = plan.number();
        let (quota, own, total) = usage(plan, max);
        let surplus = quota.surplus(own, total);
        self.evict(context, listener, surplus);
        if total < max || surplus > 0 {
            return;
        }
        let flows = plan.everywhere.iter().map(|stats| stats.flows_active.get()).enumerate();
        let most = flows.max_by_key(|(_, flows)| *flows);
        if let Some((other, _)) = most.filter(|(_, flows)| quota.has_borrowed(*flows)) {
            let is_asked = &plan.everywhere[other].is_asked;
            if !is_asked.swap(true, Ordering::AcqRel)
                && !context.options.workers.send(other, WorkerMessage::EndFlow { listener })
            {
                is_asked.store(false, Ordering::Release);
            }
        }
    }

    /// Ends so many flows, the oldest first.
    fn evict<D: Driver>(&mut self, context: &mut Context<D>, listener: usize, count: u64) {
        for _ in 0..count {
            let Some(oldest) = self.oldest(listener) else { return };
            self.end_flow(context, oldest, FlowEnd::Evicted);
        }
    }

    /// Another worker needs what this one has borrowed of a listener's flows.
    pub(in crate::session) fn give_back<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        listener: usize,
    ) {
        // It may have gone with an earlier plan.
        let Some(Some(Listener { plan, .. })) = self.listeners.get(listener) else { return };
        plan.stats.is_asked.store(false, Ordering::Release);
        let DatagramService::Proxy { flows_max: max, .. } = plan.options.service else { return };
        let (quota, own, total) = usage(plan, max);
        // Whoever asked may not count its new flow yet.
        self.evict(context, listener, quota.owed(own, total));
    }

    /// No socket could be had, or no way to the server.
    fn open_failed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        plan: &DatagramPlan,
        errno: Errno,
        (upstream, server): (usize, usize),
    ) {
        // EAGAIN: no local port is left.
        let peer = &context.plan.upstreams[upstream].servers[server];
        let short = failure_of(errno, peer).is_local();
        let end = if short {
            // There is a descriptor and a port when the next datagram comes.
            if let Some(oldest) = self.oldest(plan.number()) {
                self.end_flow(context, oldest, FlowEnd::Evicted);
            }
            FlowEnd::Resources
        } else {
            self.suspects.of(upstream).add(server, context.now() + SUSPICION);
            FlowEnd::ServerUnreachable
        };
        plan.stats.flows_opened.add(1);
        plan.stats.flows_ended[end.index()].add(1);
        note_failure(context, errno, (upstream, server));
    }

    pub(super) fn handle_flow<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        completion: Completion,
    ) {
        let own = completion.token.key;
        let Some(flow) = self.flows.get_mut(own) else {
            context.stats().stale.add(1);
            return;
        };
        match flow.socket.handle(completion) {
            DatagramEvent::Data(datagram) => self.take_from_server(context, own, datagram),
            DatagramEvent::Starved => self.starved.push_back(Hungry::Flow(own)),
            DatagramEvent::Failed(Errno::EINTR | Errno::EAGAIN) | DatagramEvent::Quiet => {}
            DatagramEvent::Failed(errno) => self.fail_flow(context, own, errno),
        }
        if let Some(flow) = self.flows.get_mut(own) {
            flow.socket.arm(&mut context.reactor);
        }
        self.remove_if_quiet(context, own);
    }

    /// Queues a server's datagrams for the client, to leave from the address that it had asked.
    fn take_from_server<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        own: Key,
        datagram: Datagram,
    ) {
        let Some(flow) = self.flows.get_mut(own) else { return };
        let head = datagram.head();
        let data = datagram.into_data();
        let count = count_of(&head, data.len());
        let stats = &flow.plan.stats;
        if count > 1 {
            stats.joined_received.add(1);
        }
        if head.truncated {
            stats.truncated.add(1);
            return;
        }
        if flow.sent.0 == 0 {
            // Datagrams know no connect: the first answer says that somebody is there.
            let now = context.now();
            context.cluster(flow.upstream).servers.connected(flow.server, now);
        }
        flow.sent.0 += count;
        flow.sent.1 += data.len() as u64;
        let FlowKey { client, local, socket } = flow.key;
        let door = &mut self.doors[socket as usize];
        let is_own = door.plan.as_ref().is_some_and(|plan| plan.number() == flow.plan.number());
        if !is_own {
            // The flow has ended with its listener, and the place may be another socket's by now.
            return;
        }
        if !flow.ended
            && let Some(Some(listener)) = self.listeners.get_mut(flow.plan.number())
        {
            listener.table.touch(flow.place, context.now());
        }
        let most = door.socket.segment_max();
        door.outbox.push(Some(client), local, data, head.segment, most);
        self.mark_dirty(socket);
    }

    /// Sends what a flow has collected in this turn.
    pub(super) fn flush_flow<D: Driver>(&mut self, context: &mut Context<D>, index: usize) {
        let (own, outbox) = &mut self.outboxes.boxes[index];
        let own = *own;
        if outbox.is_empty() {
            return;
        }
        let Some(flow) = self.flows.get_mut(own) else {
            outbox.clear();
            return;
        };
        flow.outbox = None;
        let report = flow.socket.send(&mut context.reactor, outbox);
        flow.plan.stats.count_report(&report);
        if report.error == Some(Errno::ECONNREFUSED) {
            self.fail_flow(context, own, Errno::ECONNREFUSED);
            self.remove_if_quiet(context, own);
        }
    }

    /// The server's host refuses: the client's next datagram goes to another one.
    fn fail_flow<D: Driver>(&mut self, context: &mut Context<D>, own: Key, errno: Errno) {
        let Some(flow) = self.flows.get(own).filter(|flow| !flow.ended) else {
            return;
        };
        let at = (flow.upstream, flow.server);
        self.suspects.of(flow.upstream).add(flow.server, context.now() + SUSPICION);
        let failure = failure_of(errno, &context.plan.upstreams[at.0].servers[at.1]);
        let outcome = failed(failure.failure());
        let now = context.now();
        context.cluster(at.0).servers.judge(at.1, outcome, now);
        context.tell_ejections(at.0);
        note_failure(context, errno, at);
        self.end_flow(context, own, FlowEnd::ServerUnreachable);
    }

    /// Ends a flow; its socket is closed when nothing is in flight on it.
    pub(super) fn end_flow<D: Driver>(&mut self, context: &mut Context<D>, own: Key, end: FlowEnd) {
        let Some(flow) = self.flows.get_mut(own).filter(|flow| !flow.ended) else {
            return;
        };
        flow.ended = true;
        if let Some(index) = flow.outbox.take() {
            let (_, outbox): &mut (Key, Outbox) = &mut self.outboxes.boxes[index];
            let report = flow.socket.send(&mut context.reactor, outbox);
            flow.plan.stats.count_report(&report);
        }
        if let Some(Some(listener)) = self.listeners.get_mut(flow.plan.number()) {
            listener.table.remove(flow.place);
        }
        let cluster = context.cluster(flow.upstream);
        cluster.servers.leave(flow.server);
        cluster.breaker.leave();
        context.upstream_stats(flow.upstream).active.decrement();
        let stats = &flow.plan.stats;
        stats.flows_active.decrement();
        stats.flows_ended[end.index()].add(1);
        flow.socket.stop(&mut context.reactor);
        if context.options.access_log {
            flow.log(context, end);
        }
        self.remove_if_quiet(context, own);
    }

    fn remove_if_quiet<D: Driver>(&mut self, context: &mut Context<D>, own: Key) {
        if self.flows.get(own).is_some_and(|flow| flow.socket.is_quiet())
            && let Some(mut flow) = self.flows.remove(own)
        {
            flow.socket.close(&mut context.reactor);
        }
    }
}

impl Flow {
    /// Whether it has ended, and only waits for its last operation.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The number of the listening socket that its client sends to.
    pub(super) const fn socket_number(&self) -> usize {
        self.key.socket as usize
    }

    fn log<D: Driver>(&self, context: &Context<D>, end: FlowEnd) {
        let duration = context.now().saturating_duration_since(self.opened);
        tracing::info!(
            target: "access",
            id = self.id,
            listener = %self.plan.options.name,
            client = %self.key.client,
            upstream = context.plan.upstreams[self.upstream].name,
            server = %context.plan.upstreams[self.upstream].servers[self.server],
            received = self.received.1,
            sent = self.sent.1,
            received_datagrams = self.received.0,
            sent_datagrams = self.sent.0,
            seconds = duration.as_secs_f64(),
            reason = end.name(),
            "flow"
        );
    }
}

/// What the workers' flows of a listener are measured by, how many this worker has, and all have.
fn usage(plan: &DatagramPlan, max: u64) -> (FlowQuota, u64, u64) {
    let total = plan.everywhere.iter().map(|stats| stats.flows_active.get()).sum();
    let quota = FlowQuota { max, workers: plan.everywhere.len() as u64 };
    (quota, plan.stats.flows_active.get(), total)
}

/// A socket that is connected to a server.
fn connect<D: Driver>(
    context: &mut Context<D>,
    upstream: usize,
    server: usize,
    offload: bool,
) -> Result<Fd, Errno> {
    let upstream = &context.plan.upstreams[upstream];
    let options = DatagramSocketOptions {
        offload,
        receive_buffer: upstream.stream.receive_buffer,
        send_buffer: upstream.stream.send_buffer,
    };
    let address: SocketAddress = upstream.servers[server];
    let door = context.options.descriptors.pause;
    let fd = context.reactor.driver().datagram_socket(&address, &options)?;
    if fd.0 >= door {
        // What is left of the descriptors is not for flows.
        context.reactor.driver().close(fd);
        return Err(Errno::EMFILE);
    }
    Ok(fd)
}

/// Counts a server that could not be reached, and warns now and then.
fn note_failure<D: Driver>(
    context: &mut Context<D>,
    errno: Errno,
    (upstream, server): (usize, usize),
) {
    let peer = &context.plan.upstreams[upstream].servers[server];
    let failure = failure_of(errno, peer);
    context.upstream_stats(upstream).failed[failure as usize].add(1);
    let now = context.now();
    if let Some(others) = context.notices.connect.due(now) {
        let upstream = &context.plan.upstreams[upstream];
        let peer = upstream.servers[server];
        let error = NetworkError { op: Operation::Connect, peer, source: errno };
        tracing::warn!(upstream = %upstream.name, others, "datagrams: {error}");
    }
}
