//! Carries out what the frame proxies decide.

use std::collections::HashMap;

use crate::mem::Key;
use crate::ring::Driver;
use crate::service::cluster::servers::{Change, ServerView};
use crate::service::proxy::FrameAction;
use crate::session::Sessions;
use crate::session::context::Context;
use crate::session::http::state::HttpState;
use crate::session::kind::Session;
use crate::session::offloaded::Finished;
use crate::session::published::Published;
use crate::session::stats_pool::TrunkSums;
use crate::session::trunk::TrunkConnection;
use crate::session::workers::WorkerMessage;

/// Rounds of one turn in which answers of one side are passed on to the other. What is left waits
/// for the next turn.
const ROUNDS_MAX: usize = 4;

impl<D: Driver> Sessions<D> {
    /// At the end of a turn: what the frame proxies want done, and all that follows from it.
    pub(in crate::session) fn settle_exchangers(&mut self) {
        self.context.unsettled = false;
        for upstream in 0..self.context.exchangers.len() {
            if self.context.exchangers[upstream].is_none() {
                continue;
            }
            for round in 0..=ROUNDS_MAX {
                if round == ROUNDS_MAX {
                    self.context.unsettled = true;
                    break;
                }
                let now = self.context.now();
                let mut actions = std::mem::take(&mut self.context.frame_actions);
                let (exchanger, cluster) = self.context.exchanger_and_cluster(upstream);
                exchanger.settle(cluster, now);
                exchanger.take_actions(&mut actions);
                let none = actions.is_empty();
                for action in actions.drain(..) {
                    self.carry_out(upstream, action);
                }
                self.context.frame_actions = actions;
                if none {
                    break;
                }
            }
            self.context.arm_exchanger(upstream);
            self.context.tell_ejections(upstream);
            self.count_exchanges(upstream);
        }
    }

    /// A frame proxy's timer has fired.
    pub(in crate::session) fn expire_exchanger(&mut self, upstream: usize) {
        if let Some(timer) = self.context.exchanger_timers.get_mut(upstream) {
            *timer = None;
        }
        let now = self.context.now();
        if let Some(Some(exchanger)) = self.context.exchangers.get_mut(upstream) {
            exchanger.expire(now);
        }
    }

    /// Another worker has sent a note.
    pub fn take_note(&mut self, note: WorkerMessage) {
        let now = self.context.now();
        if note.upstream().is_some_and(|upstream| !self.context.plan.upstreams.has(upstream)) {
            return self.decline(&note);
        }
        match note {
            WorkerMessage::Ask { upstream, from } => self.lend(upstream, from, now),
            WorkerMessage::Give { upstream, places } => {
                self.context.quota_lent(upstream, places);
            }
            WorkerMessage::Health { upstream, server, up } => {
                self.context.cluster(upstream).servers.set_health(server, up, now);
            }
            WorkerMessage::Server { upstream, servers, change } => {
                self.change_servers(upstream, &servers, change);
            }
            WorkerMessage::EndFlow { listener } => {
                self.datagrams.give_back(&mut self.context, listener)
            }
            WorkerMessage::Topics(set) => self.context.topics.receive(&set),
            WorkerMessage::Finished { finished: Finished::Answered, .. } => {
                for request in self.context.http.take_answered() {
                    self.finish_work(request, Finished::Answered);
                }
            }
            WorkerMessage::Finished { request, finished } => {
                if let Finished::Verified(verified) = finished {
                    for waiter in self.context.http.checked(&verified) {
                        self.finish_work(waiter, Finished::Verified(verified));
                    }
                } else {
                    self.finish_work(request, finished);
                }
            }
        }
    }

    /// A note about an upstream that has gone with an earlier plan. What is waited for is answered.
    fn decline(&mut self, note: &WorkerMessage) {
        if let WorkerMessage::Ask { upstream, from } = *note {
            let nothing = WorkerMessage::Give { upstream, places: 0 };
            // Who asked is gone as well then.
            let _ended = self.context.options.workers.send(from, nothing);
        }
    }

    /// Servers of an upstream are changed by hand.
    fn change_servers(&mut self, upstream: usize, servers: &[usize], change: Change) {
        let now = self.context.now();
        let own = &mut self.context.cluster(upstream).servers;
        for server in servers {
            let _is_known = match change {
                Change::Weight(weight) => own.set_weight(*server, weight),
                Change::Drain => own.drain(*server, now),
                Change::Lift => own.lift(*server, now),
            };
        }
        self.context.tell_ejections(upstream);
    }

    /// How the servers of all upstreams of the plan are, by their numbers.
    #[must_use]
    pub fn server_views(&mut self) -> HashMap<usize, Vec<ServerView>> {
        let now = self.context.now();
        let Context { plan, http, .. } = &mut self.context;
        let all = plan.upstreams.present().iter().map(|upstream| {
            let servers = &mut http.cluster(*upstream).servers;
            servers.advance(now);
            let views = (0..servers.len()).filter_map(|server| servers.view(server, now));
            (*upstream, views.collect())
        });
        all.collect()
    }

    fn finish_work(&mut self, request: Key, finished: Finished) {
        let Some((connection, _)) = self.context.http.waiting.of(request) else { return };
        if let Some(Session::Http(http)) = self.slab.get_mut(connection) {
            http.finished_work(&mut self.context, connection, (request, finished));
        }
    }

    /// Another worker asks for places in a pool.
    fn lend(&mut self, upstream: usize, from: usize, now: std::time::Instant) {
        let is_http = self.context.exchangers[upstream].is_none();
        let places = if is_http {
            let HttpState { proxy, clusters, .. } = &mut self.context.http;
            proxy.quota_asked(upstream, clusters)
        } else {
            let (exchanger, cluster) = self.context.exchanger_and_cluster(upstream);
            exchanger.asked(cluster, now)
        };
        // What cannot be given is kept.
        if !self.context.options.workers.send(from, WorkerMessage::Give { upstream, places }) {
            self.context.cluster(upstream).quota.keep(places);
        }
    }

    fn carry_out(&mut self, upstream: usize, action: FrameAction) {
        match action {
            FrameAction::Connect { trunk, server } => {
                let now = self.context.now();
                let plan = self.context.plan.upstreams.keep(upstream);
                plan.stats().active.increment();
                let session = TrunkConnection::new((upstream, server), plan, trunk, now);
                let session = Session::Trunk(Box::new(session));
                match self.slab.insert(session) {
                    Ok(key) => {
                        if let Some(session) = self.slab.get_mut(key) {
                            session.start(&mut self.context, key);
                        }
                        self.remove_if_finished(key);
                    }
                    Err(_full) => {
                        self.context.upstream_stats(upstream).active.decrement();
                        // It is we who have no slot: no server is blamed for that.
                        let exchanger = self.context.exchanger(upstream);
                        exchanger.trunk_is_blameless(trunk);
                        exchanger.trunk_closed(trunk, now);
                    }
                }
            }
            FrameAction::Flush(key) => self.flush_one(key),
            FrameAction::CloseTrunk(key) => {
                if let Some(Session::Trunk(trunk)) = self.slab.get_mut(key) {
                    trunk.close(&mut self.context, key);
                }
                self.remove_if_finished(key);
            }
            FrameAction::CloseClient(key, reason) => {
                if let Some(Session::Frames(frames)) = self.slab.get_mut(key) {
                    frames.close(&mut self.context, key, reason);
                }
                self.remove_if_finished(key);
            }
            FrameAction::LookAtClient(key) => {
                if let Some(Session::Frames(frames)) = self.slab.get_mut(key) {
                    frames.look(&mut self.context);
                }
            }
            FrameAction::Ask(ask) => {
                let from = self.context.options.worker;
                if !self.context.options.workers.send(ask.to, WorkerMessage::Ask { upstream, from })
                {
                    let now = self.context.now();
                    self.context.cluster(upstream).quota.answered(0, now);
                }
            }
        }
    }

    fn count_exchanges(&mut self, upstream: usize) {
        let (exchanger, cluster) = self.context.exchanger_and_cluster(upstream);
        let tally = exchanger.take_tally();
        let (gauges, counters) = (exchanger.pool().gauges(), *exchanger.pool().counters());
        let trunks = TrunkSums { gauges, counters, share: cluster.quota.limit() };
        let Context { http, plan, .. } = &mut self.context;
        let stats = plan.upstreams.stats(upstream);
        Published::of(&mut http.published, upstream).publish_trunks(&tally, trunks, stats);
    }
}
