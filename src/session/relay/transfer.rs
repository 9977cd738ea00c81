//! While bytes are relayed: copying, splicing, back-pressure, half-close.

use std::time::Duration;

use super::*;
use crate::runtime::Budget;
use crate::service::proxy::Switch;
use crate::session::ErrorKind;

/// How often to check whether a peer that will be reset has acknowledged everything.
const CUT_LOOK: Duration = Duration::from_millis(20);
/// The same of a peer that takes nothing: each look finds as much as the one before.
const CUT_LOOK_MAX: Duration = Duration::from_secs(1);

impl Relay {
    /// Bytes came in copy mode: they wait for the turn's end, to leave in one send.
    pub(super) fn take_data<D: Driver>(&mut self, context: &Context<D>, lane: Lane, buf: Buf) {
        let bytes = buf.len();
        match lane {
            Lane::Client => self.common.count_received(context, bytes),
            Lane::Upstream => self.common.note_active(context),
        }
        context.stats().relay.copied.add(bytes as u64);
        self.directions[lane.index()].note_received(bytes);
        self.streams[lane.other().index()].queue(buf);
    }

    /// Bytes were sent in copy mode. Whether anything waited for that.
    pub(super) fn take_sent<D: Driver>(
        &mut self,
        context: &Context<D>,
        lane: Lane,
        bytes: usize,
    ) -> bool {
        match lane {
            Lane::Client => self.common.count_sent(context, bytes),
            Lane::Upstream => self.common.note_active(context),
        }
        let source = lane.other().index();
        let direction = &self.directions[source];
        let waits_for_drain = direction.has_ended() || direction.is_promoting();
        let is_paused = !self.streams[source].is_receiving();
        waits_for_drain || is_paused || !self.streams[lane.index()].is_drained()
    }

    /// The turn's end: everything that this turn has brought is sent, and what comes next is
    /// armed.
    pub(in crate::session) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_some() {
            return;
        }
        if !self.exchange.is_relaying() {
            return;
        }
        for stream in &mut self.streams {
            stream.flush(&mut context.reactor, key);
        }
        for lane in Lane::ALL {
            if let Err(broken) = self.steer(context, key, lane) {
                self.break_off(context, key, broken);
                return;
            }
        }
        if self.directions.iter().all(Direction::is_done) {
            self.advance(context, key, Event::Finished);
            return;
        }
        self.pass_cuts(context, key);
    }

    /// Passes a side that was cut on to the other one by a reset, where FIN does not tell of it. It
    /// gets all that came before: a reset destroys what is not acknowledged, so that is waited for.
    pub(super) fn pass_cuts<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        for lane in Lane::ALL {
            let sink = &self.streams[lane.other().index()];
            let is_due = self.directions[lane.index()].is_cut() && !sink.tells_cuts();
            if !is_due || !sink.is_drained() {
                continue;
            }
            let waiting = sink.unacknowledged(&mut context.reactor);
            if waiting > 0 {
                let (pause, before) = self.cut_look;
                let is_slower = waiting == before;
                let pause = if is_slower { (pause * 2).min(CUT_LOOK_MAX) } else { CUT_LOOK };
                self.cut_look = (pause.max(CUT_LOOK), waiting);
                self.common.arm(context, key, self.cut_look.0);
                continue;
            }
            let event = match lane {
                Lane::Client => Event::ClientReset,
                Lane::Upstream => Event::UpstreamReset,
            };
            self.advance(context, key, event);
            return;
        }
    }

    /// Takes one direction as far as it goes now. The error is the lane that failed.
    fn steer<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: Lane,
    ) -> Result<(), Lane> {
        self.meter(context, key, lane);
        let index = lane.index();
        if !self.receive_rest(context, key, lane)? {
            return Ok(());
        }
        let was_promoting = self.directions[index].is_promoting();
        let was_offloaded = self.client().is_offloaded();
        let was_decrypted = self.client().receives_plain();
        let ends = both(&mut self.streams, lane);
        if self.directions[index].try_splice(&mut context.reactor, key, ends) {
            context.stats().relay.promotions.add(1);
        } else if was_promoting && !self.directions[index].is_promoting() {
            self.meters[index].handle_refusal();
        }
        if !was_offloaded && self.client().is_offloaded() {
            self.common.listener.stats.tls.offloaded.add(1);
        }
        if !was_decrypted && self.client().receives_plain() {
            self.common.listener.stats.tls.decrypted.add(1);
        }
        if self.directions[index].is_splicing() {
            self.pump(context, key, lane)?;
        }
        let (source, sink) = both(&mut self.streams, lane);
        let direction = &mut self.directions[index];
        if direction.is_copying() && !direction.is_promoting() && !direction.has_ended() {
            if sink.is_blocked() {
                if source.is_receiving() {
                    context.stats().relay.pauses.add(1);
                    source.pause(&mut context.reactor, key);
                }
            } else {
                source.receive(&mut context.reactor, key, sink.is_congested());
            }
        }
        let last = self.directions[lane.other().index()].is_done();
        self.directions[index]
            .try_shut(&mut context.reactor, key, sink, last)
            .map(drop)
            .map_err(|_| lane.other())
    }

    /// Before a kernel decrypts what comes: takes the rest of a record that has come in part. False
    /// when that has to wait.
    fn receive_rest<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: Lane,
    ) -> Result<bool, Lane> {
        let source = &mut self.streams[lane.index()];
        if !self.directions[lane.index()].is_promoting() || source.is_receiving() {
            return Ok(true);
        }
        match source.receive_rest(&mut context.reactor, key) {
            None => return Ok(true),
            Some(StreamEvent::Data(buf)) => self.take_data(context, lane, buf),
            Some(StreamEvent::End) => {
                note_end(&mut self.directions[lane.index()], &self.streams[lane.index()]);
                return Ok(true);
            }
            Some(StreamEvent::Broken(_)) => return Err(lane),
            Some(
                StreamEvent::Starved
                | StreamEvent::Sent(_)
                | StreamEvent::Writable
                | StreamEvent::Readable
                | StreamEvent::Connected
                | StreamEvent::Secured
                | StreamEvent::ConnectFailed(_)
                | StreamEvent::Quiet,
            ) => {}
        }
        let streams = &mut self.streams;
        streams[lane.other().index()].flush(&mut context.reactor, key);
        // What has come may be the rest, or some of it.
        if !streams[lane.index()].is_watched() {
            self.common.postpone(context, key, true);
        }
        Ok(false)
    }

    /// Splices, and demotes a direction that carries little.
    fn pump<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: Lane,
    ) -> Result<(), Lane> {
        if context.bulk.is_spent() {
            self.common.postpone(context, key, false);
            return Ok(());
        }
        let most = context.options.relay.turn_budget.min(context.bulk.left());
        let budget = Budget::new(most);
        let ends = both(&mut self.streams, lane);
        let direction = &mut self.directions[lane.index()];
        if !ends.1.takes_pages(&mut context.reactor, key) {
            // It waits for the socket, or it is broken, which the socket then tells.
            return Ok(());
        }
        let Context { reactor, pipes, .. } = context;
        let pumped =
            direction.pump(reactor, key, ends, pipes, budget).map_err(|broken| match broken {
                Broken::Source(_) => lane,
                Broken::Sink(_) => lane.other(),
            })?;
        context.bulk.spend(pumped.received.max(pumped.sent));
        match lane {
            Lane::Client => self.common.count_received(context, pumped.received),
            Lane::Upstream => self.common.count_sent(context, pumped.sent),
        }
        let relay = &context.stats().relay;
        relay.spliced.add(pumped.sent as u64);
        relay.pipes.set(context.pipes.open() as u64);
        if pumped.refused {
            context.stats().error(ErrorKind::Pipe);
            self.meters[lane.index()].handle_refusal();
        } else if pumped.received > 0 {
            let options = context.options.relay.meter;
            self.meters[lane.index()].handle_turn(&options, pumped.received);
            // Not only in the turn that decides it: bytes in the pipe may have to go first.
            if !self.meters[lane.index()].is_spliced() {
                self.demote(context, lane);
            }
        }
        if pumped.busy {
            self.common.postpone(context, key, true);
        }
        Ok(())
    }

    fn demote<D: Driver>(&mut self, context: &mut Context<D>, lane: Lane) {
        let direction = &mut self.directions[lane.index()];
        if direction.demote(&mut context.reactor, &mut context.pipes) {
            context.stats().relay.demotions.add(1);
        }
    }

    /// Weighs what came in copy mode in this turn, and promotes a direction that is bulk.
    fn meter<D: Driver>(&mut self, context: &mut Context<D>, key: Key, lane: Lane) {
        let direction = &mut self.directions[lane.index()];
        let fresh = direction.take_fresh();
        if fresh == 0 {
            return;
        }
        let options = context.options.relay.meter;
        // Behind a slow receiver one buffer is read at a time: a full one says that more waits.
        let is_cut = self.streams[lane.other().index()].is_congested()
            && fresh >= context.options.relay.buffer_size;
        let weight = if is_cut { fresh.max(options.mean_min as usize) } else { fresh };
        let switch = self.meters[lane.index()].handle_turn(&options, weight);
        // What is opened on its way, or sealed by us, cannot be moved by the kernel.
        let (source, sink) = both(&mut self.streams, lane);
        let is_possible = source.may_give_pages() && sink.may_take_pages();
        if switch == Some(Switch::Promote) && is_possible {
            direction.promote(&mut context.reactor, key, &mut self.streams[lane.index()]);
        }
    }
}

/// The stream that bytes come from in the direction of `lane`, and the one that they go to.
fn both(streams: &mut [Stream; LANES], lane: Lane) -> (&mut Stream, &mut Stream) {
    let [client, upstream] = streams;
    match lane {
        Lane::Client => (client, upstream),
        Lane::Upstream => (upstream, client),
    }
}
