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
fn check(pools: &mut Pools, quota: &ConnectionQuota, now: Instant) {
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
        let may_open = pools.may_open(server, quota);
        let needs = pools[server].needs(quota.limit().saturating_sub(elsewhere));
        assert_eq!(may_open, needs > 0, "{now:?}");
    }
}

#[test]
fn what_is_kept_is_what_all_pools_come_to() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let options = PoolOptions { min_idle: u32::try_from(random.below(3)).unwrap(), ..OPTIONS };
        let (mut pools, quota) = (Pools::new(options, 5), ConnectionQuota::new(6, 1, 0));
        let keeps_none_from = if seed % 2 == 0 { usize::MAX } else { 700 };
        let mut now = Instant::now();
        let (mut names, mut carried, mut waiting) = (0, Vec::new(), Vec::new());
        for step in 0..1_500 {
            if step == keeps_none_from {
                pools.keep_none();
            }
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
                    let (others, waiters) = (pools[server].carries(name), pools[server].is_short());
                    let stays = pools.release(server, name, now);
                    let is_unwanted = pools.keeps_none() && others == 1 && !waiters;
                    assert!(!stays || !is_unwanted, "it carries nothing more");
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
            if pools.keeps_none() {
                while let Some(connection) = pools.take_idle(None, CloseCause::Retired) {
                    assert!(carried.iter().all(|(_, other)| *other != connection));
                }
                assert_eq!(pools.gauges().idle, 0);
            }
            check(&mut pools, &quota, now);
            assert_eq!(pools.gauges().waiting as usize, waiting.len());
        }
        if pools.keeps_none() {
            waiting.drain(..).for_each(|(server, name)| pools.cancel(server, &name));
            for (server, name) in carried {
                let _stays = pools.release(server, name, now);
            }
            assert_eq!(pools.gauges(), PoolGauges::default(), "nothing is left");
        }
    }
}

#[test]
fn pools_that_keep_none_open_nothing_ahead_of_need_and_serve_who_waits() {
    let now = Instant::now();
    let options = PoolOptions { min_idle: 2, capacity: 1, ..OPTIONS };
    let (mut pools, quota) = (Pools::new(options, 3), ConnectionQuota::new(9, 1, 0));
    let [first, second, third, one, other] = [1, 2, 3, 11, 12].map(|name| Key::new(name, 0));
    for (server, connection) in [(0, first), (1, second)] {
        assert!(pools.may_open(server, &quota));
        pools.begin_open(server);
        pools.opened(server, connection, now);
    }
    assert_eq!(pools.checkout(0, one, now), Checkout::Use(first));
    assert!(pools.may_open(0, &quota) && pools.may_open(2, &quota), "ahead of need");
    pools.keep_none();
    assert!((0..3).all(|server| !pools.may_open(server, &quota)));
    assert_eq!(pools.take_idle(None, CloseCause::Retired), Some(second));
    assert_eq!(pools.take_idle(None, CloseCause::Retired), None);
    // One that still begins on it waits, gets the connection that is released, and it closes then.
    assert_eq!(pools.checkout(0, other, now), Checkout::Wait);
    assert!(pools.may_open(0, &quota), "it is made for who waits");
    assert!(pools.release(0, first, now), "somebody waits for it");
    assert_eq!(pools.next_ready(0, now), Some((other, first)));
    assert!(!pools.release(0, first, now));
    // One that was being opened when the last waiter left is taken at once.
    pools.begin_open(2);
    pools.opened(2, third, now);
    assert_eq!(pools.take_idle(None, CloseCause::Retired), Some(third));
    assert_eq!(pools.gauges(), PoolGauges::default());
    assert_eq!(pools.counters().closed[CloseCause::Retired as usize], 3);
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
