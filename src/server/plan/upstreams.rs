//! What of upstreams goes on from plan to plan: an upstream whose keys and addresses are as before
//! is the same one, with all that is known of its servers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::numbers::Numbers;
use crate::config::{Config, ListenerService, Upstream};
use crate::ring::SocketAddress;
use crate::server::StartError;
use crate::server::build::tls::Common;
use crate::server::build::{self, Resolved, tls};
use crate::server::health::HealthPlan;
use crate::server::watch::Watched;
use crate::service::cluster::Cluster;
use crate::session::{
    FreshCluster, Lease, PlannedUpstream, ServerCounters, UpstreamOptions, UpstreamStats, Workers,
    cluster_seed, worker_seed,
};

/// An upstream of the present plan.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    config: Arc<Upstream>,
    /// HTTP is spoken with its servers.
    pub(super) is_http: bool,
    /// Its connections carry frames of many clients.
    pub(super) is_pooled: bool,
    pub(super) lease: Lease,
    pub(super) counted: Lease,
    pub(super) options: Arc<UpstreamOptions>,
    /// It goes on from the plan before.
    is_kept: bool,
}

/// An upstream that goes, and for each of its servers, which one it is of its successor.
type Places = (Lease, Box<[Option<u32>]>);

/// The upstreams of the present plan.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    present: Arc<[Entry]>,
    clusters: Numbers<u64>,
    counted: Numbers<String>,
    keys: u64,
}

/// The upstreams of a plan.
#[derive(Debug)]
pub(super) struct PlannedUpstreams {
    pub(super) entries: Vec<Entry>,
    /// Those whose keys are as before, and whose names have other addresses.
    pub(super) resolved_anew: Vec<String>,
    /// By worker, the servers of those that are new, in the order of the entries.
    fresh: Vec<Vec<Option<FreshCluster>>>,
}

impl Upstreams {
    /// The upstreams of a configuration. Nothing is changed until [`Upstreams::adopt`].
    ///
    /// # Errors
    /// A name that does not resolve, or files of TLS that cannot be used.
    pub(super) fn plan(
        &mut self,
        config: &Config,
        common: &Common,
        watched: &mut Vec<Watched>,
        (workers, seed, now): (&Workers, u64, Instant),
    ) -> Result<PlannedUpstreams, StartError> {
        self.clusters.sweep();
        self.counted.sweep();
        let of_http = build::http::origins_of(config);
        let pooled: HashSet<usize> = config.listeners.iter().filter_map(pooled).collect();
        let count = workers.cells().len();
        let present = Arc::clone(&self.present);
        let present: HashMap<&str, &Entry> =
            present.iter().map(|entry| (entry.name(), entry)).collect();
        let mut resolved_anew = Vec::new();
        let mut entries = Vec::with_capacity(config.upstreams.len());
        let mut fresh: Vec<Vec<Option<FreshCluster>>> = Vec::new();
        fresh.resize_with(count, Vec::new);
        for (place, upstream) in config.upstreams.iter().enumerate() {
            let kind = (of_http.contains(&place), pooled.contains(&place));
            let before = present.get(upstream.name.as_str()).copied();
            let unchanged = before.filter(|before| before.is_same(upstream, kind));
            let resolved = match build::resolve(upstream, &config.runtime.connect_to) {
                Ok(resolved) => resolved,
                Err(error) => match unchanged {
                    Some(before) => {
                        tracing::warn!("{error}; its servers stay as they were found before");
                        entries.push(Entry { is_kept: true, ..before.clone() });
                        fresh.iter_mut().for_each(|own| own.push(None));
                        continue;
                    }
                    None => return Err(error),
                },
            };
            if let Some(before) = unchanged {
                if before.has_servers(&resolved.servers) {
                    entries.push(Entry { is_kept: true, ..before.clone() });
                    fresh.iter_mut().for_each(|own| own.push(None));
                    continue;
                }
                resolved_anew.push(upstream.name.clone());
            }
            let entry = self.make(upstream, resolved, kind, count, common, watched)?;
            let places = before.map(|before| before.places_in(&entry));
            self.count(&entry, places.as_ref(), workers);
            let number = entry.lease.number();
            for (worker, own) in fresh.iter_mut().enumerate() {
                let seed = cluster_seed(worker_seed(seed, worker), number);
                let cluster = Cluster::new(&entry.options.cluster, (worker, count), seed, now);
                let is_checked = upstream.http.health.is_some();
                let before = places.clone();
                own.push(Some(FreshCluster { cluster: cluster.into(), before, is_checked }));
            }
            entries.push(entry);
        }
        Ok(PlannedUpstreams { entries, resolved_anew, fresh })
    }

    fn make(
        &mut self,
        upstream: &Upstream,
        resolved: Resolved,
        (is_http, is_pooled): (bool, bool),
        workers: usize,
        common: &Common,
        watched: &mut Vec<Watched>,
    ) -> Result<Entry, StartError> {
        let tls = tls::upstream(upstream, &resolved.places, is_http, common, watched)?;
        let exchanges = is_pooled.then(|| build::exchanges(upstream));
        let options = build::upstream(upstream, resolved, workers);
        self.keys += 1;
        Ok(Entry {
            config: Arc::new(upstream.clone()),
            is_http,
            is_pooled,
            lease: self.clusters.lease(&self.keys),
            counted: self.counted.lease(&upstream.name),
            options: Arc::new(UpstreamOptions { tls, exchanges, ..options }),
            is_kept: false,
        })
    }

    /// Begins to count for an upstream that is new. `places`: as [`Entry::places_in`], of the one
    /// whose place it takes.
    fn count(&mut self, entry: &Entry, places: Option<&Places>, workers: &Workers) {
        for number in self.counted.take_fresh() {
            for cell in workers.cells() {
                cell.stats.upstreams.put(number, Arc::new(UpstreamStats::new()));
            }
        }
        let (number, servers) = (entry.lease.number(), entry.options.servers.len());
        for cell in workers.cells() {
            let counters = places.map(|(old, places)| {
                let pairs = places.iter().enumerate();
                let pairs = pairs.filter_map(|(at, place)| Some((at, (*place)? as usize)));
                ServerCounters::continuing(&cell.stats.servers.get(old.number()), servers, pairs)
            });
            let counters = counters.unwrap_or_else(|| ServerCounters::new(servers));
            cell.stats.servers.put(number, Arc::new(counters));
        }
    }

    /// The plan with these upstreams holds.
    pub(super) fn adopt(&mut self, planned: PlannedUpstreams) {
        self.present = planned.entries.into();
        self.clusters.take_fresh();
    }

    /// Files of upstreams that go on.
    pub(super) fn kept_files(&self) -> impl Iterator<Item = (String, &'static str)> {
        let kept = self.present.iter().filter(|one| one.is_kept);
        kept.map(|one| (format!("upstream {}", one.config.name), "ca"))
    }
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    fn is_same(&self, upstream: &Upstream, kind: (bool, bool)) -> bool {
        *self.config == *upstream && (self.is_http, self.is_pooled) == kind
    }

    /// Whether these are its servers, in whatever order names have resolved to them.
    fn has_servers(&self, servers: &[SocketAddress]) -> bool {
        let sorted = |all: &[SocketAddress]| {
            let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.sort_unstable();
            all
        };
        sorted(&self.options.servers) == sorted(servers)
    }

    /// For each of its servers, which one it is of an upstream that takes its place.
    fn places_in(&self, newest: &Self) -> Places {
        let found: HashMap<String, u32> = newest.identities().zip(0u32..).collect();
        let places = self.identities().map(|own| found.get(&own).copied());
        (self.lease.clone(), places.collect())
    }

    /// Servers stay the same by name and address.
    fn identities(&self) -> impl Iterator<Item = String> + '_ {
        let UpstreamOptions { servers, cluster, .. } = &*self.options;
        servers.iter().zip(&cluster.names).map(|(address, name)| format!("{name} {address}"))
    }
}

impl PlannedUpstreams {
    /// The numbers by which workers know them, in the order of the configuration.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.entries.iter().map(|entry| entry.lease.number()).collect()
    }

    /// The part of one worker: once.
    pub(super) fn of_worker(&mut self, worker: usize) -> Vec<PlannedUpstream> {
        let fresh = std::mem::take(&mut self.fresh[worker]);
        let own = self.entries.iter().zip(fresh).map(|(entry, fresh)| PlannedUpstream {
            lease: entry.lease.clone(),
            counted: entry.counted.clone(),
            options: Arc::clone(&entry.options),
            fresh,
        });
        own.collect()
    }

    /// The active checks of all upstreams.
    pub(super) fn checks(&self, config: &Config) -> Vec<HealthPlan> {
        let pairs = config.upstreams.iter().zip(&self.entries);
        let plans = pairs.filter_map(|(upstream, entry)| {
            let (lease, options) = (entry.lease.clone(), &entry.options);
            build::cluster::health(lease, upstream, options)
        });
        plans.collect()
    }
}

/// The upstream of a frame proxy.
fn pooled(listener: &crate::config::Listener) -> Option<usize> {
    match listener.service {
        ListenerService::Frame { upstream, .. } => upstream,
        ListenerService::Tcp { .. }
        | ListenerService::Echo
        | ListenerService::Udp { .. }
        | ListenerService::UdpEcho { .. }
        | ListenerService::Messages { .. }
        | ListenerService::Sni { .. }
        | ListenerService::Http(_) => None,
    }
}
