//! The plan that a worker works by. A reload puts another one in its place between two turns:
//! connections keep the parts of the plan that they began with, and requests of kept connections
//! take the newest.
//!
//! Things have numbers, which they keep from plan to plan. A number is given to something else only
//! when nobody has its [`Lease`] any more, so that it means the same on all workers, and in
//! messages between them.

use std::ops::Index;
use std::rc::Rc;
use std::sync::Arc;

use super::lease::Lease;
use super::options::{
    DatagramOptions, DatagramService, ListenerOptions, RelayOptions, UpstreamOptions,
};
use super::stats::{ListenerStats, UpstreamStats};
use super::stats_http::ServerCounters;
use super::stats_udp::DatagramStats;
use super::workers::Workers;
use crate::service::cluster::Cluster;

/// Something with its number.
#[derive(Debug)]
pub struct Planned<T> {
    /// Its number.
    pub lease: Lease,
    /// What it is.
    pub options: T,
}

/// An upstream of a plan.
#[derive(Debug)]
pub struct PlannedUpstream {
    /// The number of its servers. An upstream that has changed gets another one.
    pub lease: Lease,
    /// The number of its counters, which goes with its name.
    pub counted: Lease,
    /// What it is.
    pub options: Arc<UpstreamOptions>,
    /// Its servers, if they are new: made where that may take its time.
    pub fresh: Option<FreshCluster>,
}

/// The servers of an upstream that is new, or has changed.
#[derive(Debug)]
pub struct FreshCluster {
    /// The servers.
    pub cluster: Box<Cluster>,
    /// Those that they take the place of, and for each of them where it is now, if it stays.
    pub before: Option<(Lease, Box<[Option<u32>]>)>,
    /// Checks say which can be used: what they have found before holds.
    pub is_checked: bool,
}

/// What a reload may change of a worker itself.
#[derive(Debug, Clone, Copy)]
pub struct WorkerSettings {
    /// How bytes are moved; the size of buffers stays.
    pub relay: RelayOptions,
    /// Bytes of memory that compressors may take at most.
    pub compression_memory: u64,
    /// Bytes of memory that may wait for slow peers of HTTP.
    pub waiting_memory: u64,
    /// Connections that this worker may have at most.
    pub connections_max: u32,
    /// Operations in flight that their driver may have at most; `None`: as many as before.
    pub in_flight_max: Option<usize>,
    /// Whether every connection is logged with a line.
    pub access_log: bool,
    /// Times the mean load above which new connections are handed over; `None`: never.
    pub hand_off_ratio: Option<f64>,
    /// How long connections may go on whose listeners are gone.
    pub shutdown_timeout: std::time::Duration,
}

/// A plan for one worker, built and checked by the control plane.
#[derive(Debug)]
pub struct PlanOptions {
    /// Which plan it is: later ones have larger numbers.
    pub id: u64,
    /// What is listened on.
    pub listeners: Vec<Planned<ListenerOptions>>,
    /// Where datagrams are received.
    pub datagrams: Vec<Planned<DatagramOptions>>,
    /// Where connections go.
    pub upstreams: Vec<PlannedUpstream>,
    /// Routes whose numbers had other owners before: what is kept for those numbers is dropped.
    pub fresh_routes: Vec<usize>,
    /// Folders that routes give files of: what is kept of others is closed. None: all stay.
    pub folders: Option<Vec<usize>>,
    /// What is changed of the worker itself.
    pub settings: WorkerSettings,
}

/// A listener, as its connections have it.
#[derive(Debug)]
pub(super) struct ListenerPlan {
    lease: Lease,
    pub(super) options: ListenerOptions,
    /// This worker's counters of it.
    pub(super) stats: Arc<ListenerStats>,
    /// Those of all workers.
    everywhere: Box<[Arc<ListenerStats>]>,
    /// The upstreams that its connections may go to: they stay while it does.
    _upstreams: Vec<Rc<UpstreamPlan>>,
}

impl ListenerPlan {
    pub(super) fn new(
        Planned { lease, options }: Planned<ListenerOptions>,
        workers: &Workers,
        worker: usize,
        upstreams: &Upstreams,
    ) -> Self {
        let all = workers.cells().iter().map(|cell| cell.stats.listeners.get(lease.number()));
        let everywhere: Box<[_]> = all.collect();
        let used = options.service.upstreams().into_iter();
        Self {
            stats: Arc::clone(&everywhere[worker]),
            everywhere,
            _upstreams: used.filter_map(|upstream| upstreams.share(upstream)).collect(),
            lease,
            options,
        }
    }

    /// Its number, the same in all workers and plans.
    pub(super) fn number(&self) -> usize {
        self.lease.number()
    }

    /// The counters of all workers.
    pub(super) fn everywhere(&self) -> &[Arc<ListenerStats>] {
        &self.everywhere
    }

    /// Its connections, of all workers.
    pub(super) fn active(&self) -> u64 {
        self.everywhere.iter().map(|stats| stats.active.get()).sum()
    }
}

/// A UDP listener, as its sockets and flows have it.
#[derive(Debug)]
pub(super) struct DatagramPlan {
    lease: Lease,
    pub(super) options: DatagramOptions,
    /// This worker's counters of it.
    pub(super) stats: Arc<DatagramStats>,
    /// Those of all workers.
    pub(super) everywhere: Box<[Arc<DatagramStats>]>,
    /// Where its flows go: it stays while they do.
    _upstream: Option<Rc<UpstreamPlan>>,
}

impl DatagramPlan {
    pub(super) fn new(
        Planned { lease, options }: Planned<DatagramOptions>,
        workers: &Workers,
        worker: usize,
        upstreams: &Upstreams,
    ) -> Self {
        let all = workers.cells().iter().map(|cell| cell.stats.datagrams.get(lease.number()));
        let everywhere: Box<[_]> = all.collect();
        let upstream = match options.service {
            DatagramService::Echo => None,
            DatagramService::Proxy { upstream, .. } => upstreams.share(upstream),
        };
        let stats = Arc::clone(&everywhere[worker]);
        Self { lease, options, stats, everywhere, _upstream: upstream }
    }

    pub(super) fn number(&self) -> usize {
        self.lease.number()
    }
}

/// An upstream, as one worker has it.
#[derive(Debug)]
pub(super) struct UpstreamPlan {
    _lease: Lease,
    _counted: Lease,
    options: Arc<UpstreamOptions>,
    stats: Arc<UpstreamStats>,
    servers: Arc<ServerCounters>,
}

impl UpstreamPlan {
    /// Whether its servers are spoken to by TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.options.tls.is_some()
    }

    /// This worker's counters of it.
    pub(super) fn stats(&self) -> &UpstreamStats {
        &self.stats
    }
}

/// The upstreams of a worker by number: those of the present plan, and those of earlier ones that
/// something still uses.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    all: Vec<Option<Rc<UpstreamPlan>>>,
    /// The present ones, in the order of the configuration.
    present: Vec<usize>,
    /// Those of earlier plans.
    retired: Vec<usize>,
    /// The numbers of those that another one has taken the place of, and the numbers of these.
    successors: Vec<(usize, usize)>,
}

impl Index<usize> for Upstreams {
    type Output = UpstreamOptions;

    fn index(&self, upstream: usize) -> &UpstreamOptions {
        &self.plan(upstream).options
    }
}

impl Upstreams {
    fn plan(&self, upstream: usize) -> &Rc<UpstreamPlan> {
        let plan = self.all.get(upstream).and_then(Option::as_ref);
        plan.expect("whoever knows an upstream's number keeps its plan")
    }

    /// This worker's counters of it.
    pub(super) fn stats(&self, upstream: usize) -> &UpstreamStats {
        &self.plan(upstream).stats
    }

    /// The same, and those of its servers.
    pub(super) fn counted(&self, upstream: usize) -> (&UpstreamStats, &ServerCounters) {
        let plan = self.plan(upstream);
        (&plan.stats, &plan.servers)
    }

    /// Whether there is one of that number: one of an earlier plan may be gone.
    pub(super) fn has(&self, upstream: usize) -> bool {
        self.all.get(upstream).is_some_and(Option::is_some)
    }

    /// How many there are, present ones and others.
    pub(super) fn len(&self) -> usize {
        self.all.iter().flatten().count()
    }

    /// Keeps an upstream.
    pub(super) fn keep(&self, upstream: usize) -> Rc<UpstreamPlan> {
        Rc::clone(self.plan(upstream))
    }

    /// Keeps an upstream, if there is one of that number.
    pub(super) fn share(&self, upstream: usize) -> Option<Rc<UpstreamPlan>> {
        self.all.get(upstream)?.clone()
    }

    /// The present ones, in the order of the configuration.
    pub(super) fn present(&self) -> &[usize] {
        &self.present
    }

    /// Those of earlier plans.
    pub(super) fn retired(&self) -> &[usize] {
        &self.retired
    }

    /// Another one has taken the place of an upstream.
    pub(super) fn succeed(&mut self, upstream: usize, successor: usize) {
        self.successors.push((upstream, successor));
    }

    /// The one that has taken the place of an upstream, which goes: that of others from now on that
    /// it had itself taken the place of.
    pub(super) fn take_successor(&mut self, upstream: usize) -> Option<usize> {
        let at = self.successors.iter().position(|(old, _)| *old == upstream);
        let successor = at.map(|at| self.successors.swap_remove(at).1);
        self.successors.retain_mut(|(_, new)| match successor {
            _ if *new != upstream => true,
            Some(successor) => {
                *new = successor;
                true
            }
            None => false,
        });
        successor
    }

    /// Whether nothing has it but this table.
    pub(super) fn is_unused(&self, upstream: usize) -> bool {
        self.all.get(upstream).and_then(Option::as_ref).is_none_or(|one| Rc::strong_count(one) == 1)
    }

    /// These are the present ones from now on. Returns those that were and are not.
    pub(super) fn replace(
        &mut self,
        upstreams: &[PlannedUpstream],
        workers: &Workers,
        worker: usize,
    ) -> Vec<usize> {
        let mut present = Vec::with_capacity(upstreams.len());
        for PlannedUpstream { lease, counted, options, .. } in upstreams {
            let number = lease.number();
            present.push(number);
            if number >= self.all.len() {
                self.all.resize_with(number + 1, || None);
            }
            // One that goes on stays as it is: who has it is counted.
            self.all[number].get_or_insert_with(|| {
                let stats = &workers.cells()[worker].stats;
                let servers = stats.servers.get(number);
                let stats = stats.upstreams.get(counted.number());
                let (lease, counted) = (lease.clone(), counted.clone());
                let options = Arc::clone(options);
                Rc::new(UpstreamPlan { _lease: lease, _counted: counted, options, stats, servers })
            });
        }
        let before = std::mem::replace(&mut self.present, present);
        let is_present: std::collections::HashSet<usize> = self.present.iter().copied().collect();
        let gone: Vec<usize> =
            before.into_iter().filter(|number| !is_present.contains(number)).collect();
        self.retired.extend(&gone);
        gone
    }

    /// Nothing uses it any more. Returns it, as its end takes a step for each server.
    pub(super) fn remove(&mut self, upstream: usize) -> Option<UpstreamPlan> {
        self.retired.retain(|one| *one != upstream);
        debug_assert!(!self.present.contains(&upstream), "it is of the present plan");
        self.all.get_mut(upstream)?.take().and_then(Rc::into_inner)
    }
}

/// The plan of a worker.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Which it is.
    pub(super) id: u64,
    /// The listeners, by number.
    listeners: Vec<Option<Rc<ListenerPlan>>>,
    pub(super) upstreams: Upstreams,
}

impl Plan {
    /// The listener of a number, as the present plan has it.
    pub(super) fn listener(&self, number: usize) -> Option<&Rc<ListenerPlan>> {
        self.listeners.get(number)?.as_ref()
    }

    /// These are the listeners from now on. Returns those before.
    pub(super) fn set_listeners(
        &mut self,
        listeners: &[Rc<ListenerPlan>],
    ) -> Vec<Rc<ListenerPlan>> {
        let before = std::mem::take(&mut self.listeners);
        for listener in listeners {
            let number = listener.number();
            if number >= self.listeners.len() {
                self.listeners.resize_with(number + 1, || None);
            }
            self.listeners[number] = Some(Rc::clone(listener));
        }
        before.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_the_place_of_an_upstream_is_known_until_it_goes() {
        let mut upstreams = Upstreams::default();
        (0..3).for_each(|old| upstreams.succeed(old, old + 1));
        assert_eq!(upstreams.take_successor(1), Some(2), "in any order");
        assert_eq!(upstreams.take_successor(0), Some(2));
        assert_eq!(upstreams.take_successor(0), None, "once");
        upstreams.succeed(7, 3);
        assert_eq!(upstreams.take_successor(3), None, "nothing has taken its place");
        assert_eq!((upstreams.take_successor(2), upstreams.take_successor(7)), (None, None));
    }
}
