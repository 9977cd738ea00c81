//! The servers of an upstream: how they are chosen, which are left out, how they are checked.

use std::time::Duration;

use crate::config::{self, Balance, HealthKind, Upstream};
use crate::ring::SocketAddress;
use crate::server::health::{CheckKind, HealthPlan, HttpRequest};
use crate::service::cluster::attempts::{AttemptOptions, RetryOn, StatusSet};
use crate::service::cluster::breaker::Limits;
use crate::service::cluster::eject::EjectOptions;
use crate::service::cluster::health::{CheckOptions, Expected};
use crate::service::cluster::pool::PoolOptions;
use crate::service::cluster::servers::{Policy, ServerOptions, ServersOptions};
use crate::service::cluster::{ClusterOptions, HashOn, HostHeader, ServerProtocol, stable_hash};
use crate::service::grpc::{Code, CodeSet};
use crate::session::{Lease, UpstreamOptions};

/// The servers of an upstream, for whatever protocol. `places` tells for each address which server
/// of the file it is.
pub(in crate::server) fn cluster(
    upstream: &Upstream,
    servers: &[SocketAddress],
    places: &[usize],
    workers: usize,
) -> ClusterOptions {
    let (http, pool) = (&upstream.http, &upstream.pool);
    let each = |place: &usize| http.shares.get(*place).copied().unwrap_or_default();
    let share = |most: u32| most.div_ceil(u32::try_from(workers).unwrap_or(1).max(1)).max(1);
    let keeps_bodies = upstream.retries > 0;
    ClusterOptions {
        policy: ServersOptions {
            policy: match upstream.balance {
                Balance::RoundRobin => Policy::RoundRobin,
                Balance::LeastConnections | Balance::LeastRequests => Policy::LeastRequests,
                Balance::Ewma => Policy::Ewma,
                Balance::SourceHash => Policy::SourceHash,
                Balance::ConsistentHash | Balance::Hash => Policy::Hash,
            },
            slow_start: http.slow_start,
            panic_ratio: http.panic_ratio,
            eject: Some(http.eject.as_ref().map_or(EjectOptions::CONNECTS, eject)),
        },
        servers: servers
            .iter()
            .zip(places.iter().map(each))
            .map(|(address, share)| ServerOptions {
                weight: share.weight,
                priority: share.priority,
                id: stable_hash(address.to_string().as_bytes()),
            })
            .collect(),
        hash_on: hash_on(upstream),
        pool: pool_options(upstream),
        connections_max: pool.max,
        attempts: attempts(upstream),
        retry_body_max: if keeps_bodies { http.retry_body_max as usize } else { 0 },
        breaker: Limits {
            in_flight: http.requests_max.map(share),
            waiting: None,
            retries: Some(share(http.retries_max)),
        },
        try_timeout: http.try_timeout,
        hedge_after: http.hedge_after,
        hedge_calls: http.hedge_calls,
        first_byte_timeout: http.first_byte_timeout,
        idle_timeout: http.response_idle_timeout,
        protocol: match http.protocol {
            config::ServerProtocol::Auto => ServerProtocol::Auto,
            config::ServerProtocol::Http1 => ServerProtocol::Http1,
            config::ServerProtocol::Http2 => ServerProtocol::Http2,
        },
        streams_max: pool.streams_max.into(),
        host: match &http.host_header {
            config::HostHeader::Pass => HostHeader::Pass,
            config::HostHeader::Server => HostHeader::Server,
            config::HostHeader::Name(name) => HostHeader::Literal(name.as_str().into()),
        },
        names: places
            .iter()
            .zip(servers)
            .map(|(place, address)| {
                let named = upstream.servers.get(*place).map(ToString::to_string);
                named.unwrap_or_else(|| address.to_string()).into()
            })
            .collect(),
    }
}

/// How connections to one server are kept.
fn pool_options(upstream: &Upstream) -> PoolOptions {
    let pool = &upstream.pool;
    PoolOptions {
        min_idle: pool.min_idle,
        capacity: match upstream.http.protocol {
            // What a server prefers is known when the first connection stands.
            config::ServerProtocol::Auto | config::ServerProtocol::Http1 => 1,
            config::ServerProtocol::Http2 => pool.streams_max.into(),
        },
        spread_at: u32::MAX,
        idle_timeout: pool.idle_timeout,
        max_age: pool.max_age,
        queue_max: pool.queue as usize,
        queue_timeout: pool.queue_timeout,
    }
}

fn hash_on(upstream: &Upstream) -> Option<HashOn> {
    let given = match upstream.balance {
        Balance::SourceHash | Balance::ConsistentHash => Some(&config::HashOn::Source),
        Balance::RoundRobin
        | Balance::LeastConnections
        | Balance::LeastRequests
        | Balance::Ewma
        | Balance::Hash => upstream.http.hash_on.as_ref(),
    };
    Some(match given? {
        config::HashOn::Source => HashOn::Source,
        config::HashOn::Path => HashOn::Path,
        config::HashOn::Header(name) => HashOn::Header(name.as_str().into()),
        config::HashOn::Cookie(name) => HashOn::Cookie(name.as_str().into()),
    })
}

/// When an exchange is tried again.
fn attempts(upstream: &Upstream) -> AttemptOptions {
    let (http, exchange) = (&upstream.http, &upstream.exchange);
    let mut statuses = StatusSet::default();
    for status in &http.retry_on.statuses {
        let _is_of_the_set = statuses.insert(*status);
    }
    let mut codes = CodeSet::default();
    let named = http.retry_on.codes.iter().filter_map(|name| Code::named(name));
    named.for_each(|code| codes.insert(code));
    AttemptOptions {
        codes,
        retries_max: upstream.retries,
        on: RetryOn {
            connect: http.retry_on.connect,
            reset: http.retry_on.reset,
            timeout: http.retry_on.timeout,
        },
        statuses,
        backoff: exchange.backoff,
        backoff_max: exchange.backoff_max,
        deadline: None,
        budget: exchange.budget,
    }
}

const fn eject(options: &config::EjectOptions) -> EjectOptions {
    EjectOptions {
        consecutive_failures: options.consecutive_failures,
        consecutive_connect_failures: options.consecutive_connect_failures,
        error_rate: options.error_rate,
        latency_factor: options.latency_factor,
        min_requests: options.min_requests,
        interval: options.interval,
        time: options.time,
        share_max: options.share_max,
    }
}

/// The active checks of an upstream, if it has any.
pub(in crate::server) fn health(
    upstream: Lease,
    config: &Upstream,
    options: &UpstreamOptions,
) -> Option<HealthPlan> {
    let health = config.http.health.as_ref()?;
    let (servers, names) = (&options.servers, &options.cluster.names);
    let kind = match &health.kind {
        HealthKind::Tcp => CheckKind::Tcp,
        HealthKind::Tls => CheckKind::Tls,
        HealthKind::Frame => CheckKind::Frame,
        HealthKind::Grpc(check) => {
            let host = |server: usize| {
                let name = names.get(server).map(|name| &**name);
                check.host.as_deref().or(name).unwrap_or("localhost").to_owned()
            };
            CheckKind::Grpc {
                hosts: (0..servers.len()).map(host).collect(),
                service: check.service.clone(),
            }
        }
        HealthKind::Http(check) => {
            let request = |server: usize| {
                let name = names.get(server).map(|name| &**name);
                HttpRequest {
                    path: check.path.clone(),
                    host: check.host.as_deref().or(name).unwrap_or("localhost").to_owned(),
                }
            };
            CheckKind::Http {
                requests: (0..servers.len()).map(request).collect(),
                protocol: options.cluster.protocol,
                expected: Expected {
                    statuses: check.statuses.clone(),
                    body: check.body.as_ref().map(|text| text.as_bytes().to_vec()),
                },
            }
        }
    };
    Some(HealthPlan {
        upstream,
        name: config.name.clone(),
        servers: servers.clone(),
        options: CheckOptions {
            interval: health.interval.max(Duration::from_millis(1)),
            timeout: health.timeout,
            jitter: health.jitter,
            rise: health.rise,
            fall: health.fall,
        },
        kind,
        tls: options.tls.clone(),
    })
}
