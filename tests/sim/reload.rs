//! Plans that take the place of others on a worker with one listener and one upstream.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ringway::ring::sim::Random;
use ringway::service::cluster::Cluster;
use ringway::session::{
    FreshCluster, Lease, PlanOptions, PlannedUpstream, RelayOptions, ServerCounters,
    UpstreamOptions, WorkerSettings, Workers,
};

/// Numbers of one kind: one that nobody has is given away again.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Vec<Weak<usize>>);

impl Numbers {
    /// One number is somebody's for good.
    pub(crate) fn behind(taken: &Lease) -> Self {
        Self(vec![taken.watch()])
    }

    pub(crate) fn lease(&mut self) -> Lease {
        let free = self.0.iter().position(|watch| watch.strong_count() == 0);
        let lease = Lease::new(free.unwrap_or(self.0.len()));
        match self.0.get_mut(lease.number()) {
            Some(slot) => *slot = lease.watch(),
            None => self.0.push(lease.watch()),
        }
        lease
    }

    pub(crate) fn in_use(&self) -> usize {
        self.0.iter().filter(|watch| watch.strong_count() > 0).count()
    }
}

/// The control plane of such a worker.
#[derive(Debug)]
pub(crate) struct Swaps {
    workers: Arc<Workers>,
    random: Random,
    /// Of the plan that the worker starts with: nobody knows whether it still has it.
    first: Lease,
    pub(crate) listener: Lease,
    counted: Lease,
    clusters: Numbers,
    upstream: Option<(Lease, Arc<UpstreamOptions>)>,
    base: UpstreamOptions,
    wants_other: bool,
    pub(crate) listens: bool,
    /// How long connections of a listener that is gone may go on.
    pub(crate) timeout: Duration,
    relay: RelayOptions,
    id: u64,
    /// Plans that are still to come.
    left: usize,
}

impl Swaps {
    pub(crate) fn new(
        seed: u64,
        workers: &Arc<Workers>,
        base: UpstreamOptions,
        relay: RelayOptions,
    ) -> Self {
        let mut random = Random::new(seed ^ 0x7377_6170);
        let first = Lease::new(0);
        Self {
            workers: Arc::clone(workers),
            listener: Lease::new(0),
            counted: Lease::new(0),
            clusters: Numbers::behind(&first),
            upstream: Some((first.clone(), Arc::new(base.clone()))),
            first,
            base,
            wants_other: false,
            listens: true,
            timeout: Duration::from_secs(600),
            relay,
            id: 0,
            left: 1 + random.below(8),
            random,
        }
    }

    /// Whether another plan is to come now.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.left > 0 && self.random.chance(60);
        if is_due {
            self.left -= 1;
            match self.random.below(6) {
                0 => {}
                1 | 2 => self.listens = !self.listens,
                _ => self.wants_other = true,
            }
        }
        is_due
    }

    /// The last plan is one with everything.
    pub(crate) fn end(&mut self) {
        self.left = 0;
        self.listens = true;
    }

    /// The number of the upstream.
    pub(crate) fn number(&self) -> usize {
        self.upstream.as_ref().map_or(0, |(lease, _)| lease.number())
    }

    /// Nothing is left of earlier plans, and their numbers are free.
    pub(crate) fn assert_alone(&self, upstreams: usize) {
        let is_first = self.upstream.as_ref().is_some_and(|(lease, _)| *lease == self.first);
        let in_use = self.clusters.in_use() - usize::from(!is_first);
        let present = usize::from(self.upstream.is_some());
        assert_eq!((upstreams, in_use), (present, present), "upstreams, and numbers of them");
    }

    /// The present wishes, without listeners.
    pub(crate) fn plan(&mut self, now: Instant) -> PlanOptions {
        self.id += 1;
        let mut upstreams = Vec::new();
        if self.listens {
            upstreams.push(self.plan_upstream(now));
        } else {
            self.upstream = None;
        }
        PlanOptions {
            id: self.id,
            listeners: Vec::new(),
            datagrams: Vec::new(),
            upstreams,
            fresh_routes: Vec::new(),
            folders: None,
            settings: WorkerSettings {
                relay: self.relay,
                compression_memory: 1 << 20,
                waiting_memory: 1 << 20,
                in_flight_max: None,
                connections_max: 100,
                access_log: false,
                hand_off_ratio: None,
                shutdown_timeout: self.timeout,
            },
        }
    }

    fn plan_upstream(&mut self, now: Instant) -> PlannedUpstream {
        let wants_other = std::mem::take(&mut self.wants_other);
        let counted = self.counted.clone();
        if let Some((lease, options)) = self.upstream.clone().filter(|_| !wants_other) {
            return PlannedUpstream { lease, counted, options, fresh: None };
        }
        let before = self.upstream.take();
        // All servers move on by one place.
        let base = &mut self.base;
        let count = base.servers.len();
        base.servers.rotate_left(1);
        base.cluster.names.rotate_left(1);
        base.cluster.servers.rotate_left(1);
        let lease = self.clusters.lease();
        let place = |old: usize| u32::try_from((old + count - 1) % count).unwrap();
        let before = before
            .map(|(old, _)| (old, (0..count).map(|old| Some(place(old))).collect::<Box<[_]>>()));
        let counters = &self.workers.cells()[0].stats.servers;
        let own = match &before {
            Some((old, places)) => {
                let places = places.iter().enumerate();
                let places = places.filter_map(|(at, place)| Some((at, (*place)? as usize)));
                ServerCounters::continuing(&counters.get(old.number()), count, places)
            }
            None => ServerCounters::new(count),
        };
        counters.put(lease.number(), Arc::new(own));
        let cluster = Cluster::new(&self.base.cluster, (0, 1), self.id, now);
        let fresh = FreshCluster { cluster: cluster.into(), before, is_checked: false };
        let options = Arc::new(self.base.clone());
        self.upstream = Some((lease.clone(), Arc::clone(&options)));
        PlannedUpstream { lease, counted, options, fresh: Some(fresh) }
    }
}
