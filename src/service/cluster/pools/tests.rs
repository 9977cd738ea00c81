#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use std::time::Duration;

use super::*;
use crate::service::cluster::random::Random;

const OPTIONS: PoolOptions = PoolOptions {
    min_idle: 0,
    capacity: 2,
    spread_at: 2,
    idle_timeout: Duration::from_secs(5),
    max_age: Some(Duration::from_secs(20)),
    queue_max: 4,
    queue_timeout: Duration::from_secs(1),
};

/// What is kept up to date is what a look at every pool gives.
fn check(pools: &Pools, quota: &ConnectionQuota, now: Instant) {
    let mut sum = PoolGauges::default();
    for server in 0..pools.len() {
        let pool = &pools[server];
        let gauges = pool.gauges();
        sum.replace(PoolGauges::default(), gauges);
        assert_eq!(gauges.open(), pool.open());
        let due = pool
            .next_deadline()
            .is_none_or(|due| pools.next_deadline().is_some_and(|first| first <= due));
        assert!(due, "nothing is over unseen");
        let listed = pools.wanting.iter().any(|other| other == server);
        assert_eq!(listed, gauges.waiting > 0 && pool.needs(u32::MAX) > 0);
        let has_idle = pools.with_idle.iter().any(|other| other == server);
        assert_eq!(has_idle, gauges.idle > 0);
    }
    assert_eq!(pools.gauges(), sum);
    for server in 0..pools.len() {
        let elsewhere = sum.open() - pools[server].open();
        let needs = pools[server].needs(quota.limit().saturating_sub(elsewhere));
        assert_eq!(pools.may_open(server, quota), needs > 0, "{now:?}");
    }
}

#[test]
fn what_is_kept_is_what_all_pools_come_to() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let (mut pools, quota) = (Pools::new(OPTIONS, 5), ConnectionQuota::new(6, 1, 0));
        let mut now = Instant::now();
        let (mut names, mut carried, mut waiting) = (0, Vec::new(), Vec::new());
        for _ in 0..1_500 {
            now += Duration::from_millis(random.bits() % 400);
            let server = random.below(5);
            names += 1;
            let name = Key::new(names, 0);
            match random.below(8) {
                0..3 => match pools.checkout(server, name, now) {
                    Checkout::Use(connection) => carried.push((server, connection)),
                    Checkout::Wait => waiting.push((server, name)),
                    Checkout::Refused => assert_eq!(pools[server].gauges().waiting, 4),
                },
                3 if pools.may_open(server, &quota) => {
                    pools.begin_open(server);
                    pools.opened(server, name, now);
                }
                4 if !carried.is_empty() => {
                    let (server, name) = carried.swap_remove(random.below(carried.len()));
                    let _stays = pools.release(server, name, now);
                }
                5 if !waiting.is_empty() => {
                    let (server, name) = waiting.swap_remove(random.below(waiting.len()));
                    pools.cancel(server, &name);
                }
                6 => {
                    let lent = pools.take_idle(Some(server), CloseCause::Lent);
                    assert!(lent.is_none_or(|lent| pools[server].carries(lent) == 0));
                }
                _ => {
                    for (server, gauges, one) in pools.expire(now) {
                        assert!(gauges.open() + gauges.waiting > 0);
                        match one {
                            Expired::Waiter(name) => {
                                waiting.retain(|other| *other != (server, name));
                            }
                            Expired::Connection(name) => {
                                assert!(!carried.contains(&(server, name)), "it was idle");
                            }
                        }
                    }
                }
            }
            while let Some((name, connection)) = pools.next_ready(server, now) {
                waiting.retain(|other| *other != (server, name));
                carried.push((server, connection));
            }
            check(&pools, &quota, now);
            assert_eq!(pools.gauges().waiting as usize, waiting.len());
        }
    }
}

#[test]
fn each_server_that_wants_a_connection_is_looked_at_in_its_turn() {
    let mut pools = Pools::new(OPTIONS, 40);
    let now = Instant::now();
    for server in 0..40 {
        let number = u32::try_from(server).unwrap();
        assert_eq!(pools.checkout(server, Key::new(number, 0), now), Checkout::Wait);
    }
    let mut looked_at = Vec::new();
    for _ in 0..3 {
        let wanting: Vec<usize> = pools.wanting().collect();
        wanting.iter().for_each(|server| pools.had_turn(*server));
        looked_at.extend(wanting);
    }
    assert_eq!(looked_at.len(), 3 * LOOKS_MAX);
    looked_at.sort_unstable();
    looked_at.dedup();
    assert_eq!(looked_at.len(), 40);
}

#[test]
fn few_servers_that_want_a_connection_are_first_in_turn() {
    let mut pools = Pools::new(OPTIONS, 3);
    let now = Instant::now();
    for server in 0..3 {
        let number = u32::try_from(server).unwrap();
        assert_eq!(pools.checkout(server, Key::new(number, 0), now), Checkout::Wait);
    }
    let mut first = Vec::new();
    for _ in 0..6 {
        // One place at a time: only the first gets what it wants.
        let server = pools.wanting().next().unwrap();
        first.push(server);
        pools.had_turn(server);
        // Who gets nothing keeps its place.
        assert_eq!(pools.wanting().collect::<Vec<_>>(), pools.wanting().collect::<Vec<_>>());
    }
    assert_eq!(first, [0, 1, 2, 0, 1, 2]);
}
