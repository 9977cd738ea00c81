//! Choosing a server of an upstream: what it costs with few and with many of them, and with some of
//! them down.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use ringway::mem::Key;
use ringway::runtime::clock;
use ringway::service::cluster::pool::{Checkout, PoolOptions};
use ringway::service::cluster::servers::{
    Ended, Policy, ServerOptions, ServerOutcome, Servers, ServersOptions,
};
use ringway::service::cluster::{Pools, stable_hash};

/// Requests that are under way at a time.
const UNDER_WAY: usize = 64;

fn servers(policy: Policy, count: usize, weights: u32) -> Servers {
    let options = ServersOptions {
        policy,
        slow_start: None,
        panic_ratio: 0.0,
        eject: Some(ringway::service::cluster::eject::EjectOptions::CONNECTS),
    };
    let server = |number: u32| ServerOptions {
        weight: 1 + number % weights,
        priority: 0,
        id: stable_hash(&number.to_le_bytes()),
    };
    let listed: Vec<ServerOptions> = (0u32..).take(count).map(server).collect();
    Servers::new(options, &listed, 1, 0)
}

/// A choice and the end of an exchange.
pub(crate) fn choices(criterion: &mut Criterion) {
    let policies = [
        ("round robin", Policy::RoundRobin),
        ("least requests", Policy::LeastRequests),
        ("ewma", Policy::Ewma),
        ("hash", Policy::Hash),
        ("source hash", Policy::SourceHash),
    ];
    let mut group = criterion.benchmark_group("server chosen and done");
    for (name, policy) in policies {
        for count in [2, 100, 1_000, 10_000] {
            for (what, weights, down) in
                [("", 1, 0), (" of ten weights", 10, 0), (", a third down", 1, count / 3)]
            {
                let mut now = clock::now();
                let mut servers = servers(policy, count, weights);
                (0..down).for_each(|server| servers.set_health(server * 3, false, now));
                let mut under_way = [None; UNDER_WAY];
                let outcome = ServerOutcome {
                    ended: Ended::Status(200),
                    latency: Some(Duration::from_millis(1)),
                };
                let mut request = 0usize;
                group.bench_function(format!("{name}, {count} servers{what}"), |bench| {
                    bench.iter(|| {
                        request += 1;
                        now += Duration::from_micros(10);
                        let place = &mut under_way[request % UNDER_WAY];
                        if let Some(server) = place.take() {
                            servers.done(server, outcome, now);
                        }
                        let hash = stable_hash(&request.to_le_bytes());
                        *place = servers.pick(Some(black_box(hash)), &[], now);
                    });
                });
            }
        }
    }
    group.finish();
}

/// A connection taken and given back.
pub(crate) fn connections(criterion: &mut Criterion) {
    let options = PoolOptions {
        min_idle: 0,
        capacity: 1,
        spread_at: u32::MAX,
        idle_timeout: Duration::from_secs(60),
        max_age: Some(Duration::from_secs(3_600)),
        queue_max: 1024,
        queue_timeout: Duration::from_secs(1),
    };
    for (servers, each) in [(2usize, 4u32), (1_000, 4), (2, 4_000)] {
        let now = clock::now();
        let mut pools = Pools::new(options, servers);
        let mut name = 0;
        for server in 0..servers {
            for _ in 0..each {
                name += 1;
                pools.begin_open(server);
                pools.opened(server, Key::new(name, 0), now);
            }
        }
        let mut server = 0;
        let title = format!("connection of {each} to each of {servers} servers taken and back");
        criterion.bench_function(&title, |bench| {
            bench.iter(|| {
                server = (server + 1) % servers;
                let Checkout::Use(connection) = pools.checkout(server, Key::new(0, 0), now) else {
                    unreachable!("one is idle")
                };
                pools.release(server, black_box(connection), now)
            });
        });
    }
}
