//! What there is in a plan, by name and number: for metrics, pages and changes by hand.

use std::sync::Arc;

use super::upstreams::PlannedUpstreams;
use crate::config::{Config, ListenerService};
use crate::session::http_options::HttpOptions;
use crate::session::{Lease, ServiceOptions};

/// What there is.
#[derive(Debug, Default)]
pub(in crate::server) struct Inventory {
    /// The listeners of connections.
    pub(in crate::server) listeners: Vec<Known>,
    /// Those of them that answer frames.
    pub(in crate::server) frames: Vec<Known>,
    /// Those of them that speak TLS, or read its first message.
    pub(in crate::server) secured: Vec<Known>,
    /// Those of them that answer HTTP, and how.
    pub(in crate::server) http: Vec<(Known, Arc<HttpOptions>)>,
    /// The UDP listeners.
    pub(in crate::server) datagrams: Vec<Known>,
    pub(in crate::server) upstreams: Vec<KnownUpstream>,
}

/// Something with its number, which it keeps while this is there.
#[derive(Debug, Clone)]
pub(in crate::server) struct Known {
    pub(in crate::server) lease: Lease,
    pub(in crate::server) name: String,
}

impl Known {
    /// Something of that number.
    #[cfg(test)]
    pub(in crate::server) fn at(number: usize, name: &str) -> Self {
        Self { lease: Lease::new(number), name: name.to_owned() }
    }

    pub(in crate::server) fn number(&self) -> usize {
        self.lease.number()
    }
}

/// An upstream.
#[derive(Debug, Clone)]
pub(in crate::server) struct KnownUpstream {
    pub(in crate::server) name: String,
    /// The number of its servers.
    pub(in crate::server) cluster: Lease,
    /// The number of its counters.
    pub(in crate::server) counted: Lease,
    /// The servers as the configuration names them, and their addresses.
    pub(in crate::server) servers: Vec<(String, String)>,
    pub(in crate::server) is_http: bool,
    pub(in crate::server) is_pooled: bool,
}

impl Inventory {
    pub(super) fn new(
        config: &Config,
        leases: &[Lease],
        services: &[ServiceOptions],
        upstreams: &PlannedUpstreams,
    ) -> Self {
        let mut this = Self::default();
        let mut services = services.iter();
        for (listener, lease) in config.listeners.iter().zip(leases) {
            let known = Known { lease: lease.clone(), name: listener.name.clone() };
            if listener.is_udp() {
                this.datagrams.push(known);
                continue;
            }
            if let Some(http) = services.next().and_then(ServiceOptions::http) {
                this.http.push((known.clone(), Arc::clone(http)));
            }
            if matches!(listener.service, ListenerService::Frame { upstream: None, .. }) {
                this.frames.push(known.clone());
            }
            if listener.tls.is_some() || matches!(listener.service, ListenerService::Sni { .. }) {
                this.secured.push(known.clone());
            }
            this.listeners.push(known);
        }
        let known = upstreams.entries.iter().map(|entry| {
            let names = entry.options.cluster.names.iter().map(ToString::to_string);
            KnownUpstream {
                name: entry.name().to_owned(),
                cluster: entry.lease.clone(),
                counted: entry.counted.clone(),
                servers: names.zip(entry.options.servers.iter().map(ToString::to_string)).collect(),
                is_http: entry.is_http,
                is_pooled: entry.is_pooled,
            }
        });
        this.upstreams = known.collect();
        this
    }
}
