//! The limit of open files: raised at the start. A part of it is kept for what clients must not use
//! up.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::{Config, FlowOptions, Listener, ListenerService};
use crate::session::DescriptorLimits;

/// Descriptors that a server needs beside those of connections.
const DESCRIPTORS_SPARE: u64 = 256;

/// Raises the soft limit of open files to the hard one, and warns when that is too low. Returns
/// what is kept of it.
pub(super) fn raise_descriptor_limit(config: &Config) -> DescriptorLimits {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return DescriptorLimits::OPEN;
    };
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = if raised { hard } else { soft };
    let needed: u64 = config
        .listeners
        .iter()
        .map(|listener| match &listener.service {
            ListenerService::Tcp { .. }
            | ListenerService::Frame { upstream: Some(_), .. }
            | ListenerService::Http(_)
            | ListenerService::Sni { .. } => 2 * u64::from(listener.max_connections),
            ListenerService::Echo
            | ListenerService::Frame { upstream: None, .. }
            | ListenerService::Messages(_) => u64::from(listener.max_connections),
            ListenerService::Udp { flows, .. } => u64::from(flows.max_flows),
            ListenerService::UdpEcho { .. } => 0,
        })
        .sum::<u64>()
        + DESCRIPTORS_SPARE;
    let is_default = config.listeners.iter().all(|listener| {
        let flows = FlowOptions::default().max_flows;
        listener.max_connections == Listener::default().max_connections
            && listener.service.max_flows().unwrap_or(flows) == flows
    });
    if limit < needed {
        let text = "the limit of open files is below what max_connections may need: beyond it, \
                    connections wait or are refused (raise `ulimit -n`, LimitNOFILE=)";
        tell_limit!(is_default, limit, needed, "{text}");
    }
    DescriptorLimits::new(limit)
}
