#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use std::collections::VecDeque;

use super::*;

const OPTIONS: PoolOptions = PoolOptions {
    min_idle: 0,
    capacity: 1,
    spread_at: 1,
    idle_timeout: Duration::from_secs(60),
    max_age: Some(Duration::from_secs(600)),
    queue_max: 3,
    queue_timeout: Duration::from_secs(1),
};

type Numbers = Pool<u32, char>;

fn open(pool: &mut Numbers, connection: u32, now: Instant) {
    pool.begin_open();
    pool.opened(connection, now);
}

#[test]
fn who_waits_is_served_first_come_first_served() {
    let now = Instant::now();
    let mut pool = Numbers::new(OPTIONS);
    assert_eq!(pool.checkout('a', now), Checkout::Wait);
    assert_eq!(pool.needs(8), 1);
    open(&mut pool, 1, now);
    assert_eq!(pool.checkout('b', now), Checkout::Wait, "nobody overtakes");
    assert_eq!(pool.next_ready(now), Some(('a', 1)));
    assert_eq!(pool.next_ready(now), None);
    assert_eq!(pool.checkout('c', now), Checkout::Wait);
    assert_eq!(pool.checkout('d', now), Checkout::Wait);
    assert_eq!(pool.checkout('e', now), Checkout::Refused);
    pool.cancel(&'c');
    assert!(pool.release(1, now));
    assert_eq!(pool.next_ready(now), Some(('b', 1)));
    assert!(pool.release(1, now));
    assert_eq!(pool.next_ready(now), Some(('d', 1)));
    let counters = pool.counters();
    assert_eq!(
        (counters.created, counters.reused, counters.misses, counters.refused),
        (1, 2, 4, 1)
    );
}

#[test]
fn the_connection_used_last_is_used_again_and_the_surplus_is_closed() {
    let start = Instant::now();
    let mut pool = Numbers::new(OPTIONS);
    (1..=3).for_each(|connection| open(&mut pool, connection, start));
    let mut now = start;
    for _ in 0..100 {
        now += Duration::from_secs(1);
        let Checkout::Use(connection) = pool.checkout('a', now) else { panic!("one is idle") };
        assert!(pool.release(connection, now));
    }
    let mut expired = Vec::new();
    pool.expire(now, &mut expired);
    assert_eq!(expired.len(), 2);
    assert_eq!(pool.gauges(), PoolGauges { idle: 1, ..PoolGauges::default() });
    assert_eq!(pool.counters().closed[CloseCause::IdleTimeout as usize], 2);
    assert_eq!(pool.next_deadline(), Some(now + OPTIONS.idle_timeout));
}

#[test]
fn many_exchanges_share_a_connection_the_least_loaded_one_first() {
    let now = Instant::now();
    let mut pool = Numbers::new(PoolOptions { capacity: 4, spread_at: 2, ..OPTIONS });
    open(&mut pool, 1, now);
    let mut used = Vec::new();
    for _ in 0..3 {
        if let Checkout::Use(connection) = pool.checkout('x', now) {
            used.push(connection);
        }
    }
    assert_eq!(used, [1, 1, 1]);
    assert_eq!(pool.needs(8), 1, "the third met one that carried two");
    open(&mut pool, 2, now);
    assert_eq!(pool.checkout('x', now), Checkout::Use(2));
    pool.set_capacity(2, 1);
    assert_eq!(pool.checkout('x', now), Checkout::Use(1));
    assert_eq!(pool.checkout('x', now), Checkout::Wait);
    assert_eq!(pool.needs(2), 0, "the share is used up");
    assert_eq!(pool.needs(3), 1);
}

#[test]
fn what_is_over_leaves_the_pool() {
    let start = Instant::now();
    let mut pool = Numbers::new(PoolOptions { min_idle: 1, capacity: 2, ..OPTIONS });
    assert_eq!(pool.needs(9), 1, "one ahead of need");
    assert_eq!(pool.checkout('a', start), Checkout::Wait);
    assert_eq!(pool.next_deadline(), Some(start + OPTIONS.queue_timeout));
    let mut expired = Vec::new();
    pool.expire(start + OPTIONS.queue_timeout, &mut expired);
    assert_eq!(expired, [Expired::Waiter('a')]);
    open(&mut pool, 1, start);
    expired.clear();
    pool.expire(start + Duration::from_secs(599), &mut expired);
    assert_eq!(expired, [], "the last idle one stays");
    assert_eq!(pool.checkout('b', start), Checkout::Use(1));
    pool.expire(start + Duration::from_secs(600), &mut expired);
    assert_eq!(expired, [], "one that is used is not closed");
    assert!(!pool.release(1, start + Duration::from_secs(600)), "but after that");
    assert_eq!(pool.gauges(), PoolGauges::default());
}

#[test]
fn a_retired_connection_finishes_what_it_carries() {
    let now = Instant::now();
    let mut pool = Numbers::new(PoolOptions { capacity: 2, ..OPTIONS });
    open(&mut pool, 1, now);
    assert_eq!(pool.checkout('a', now), Checkout::Use(1));
    assert!(pool.retire(1, CloseCause::Retired));
    assert_eq!(pool.checkout('b', now), Checkout::Wait);
    assert!(!pool.release(1, now));
    assert!(!pool.release(1, now), "it is gone");
    open(&mut pool, 2, now);
    assert!(!pool.retire(2, CloseCause::Retired), "idle: gone at once");
    open(&mut pool, 3, now);
    pool.closed(3, CloseCause::Failed);
    assert_eq!(pool.counters().closed[CloseCause::Stale as usize], 1, "it carried nothing");
    open(&mut pool, 4, now);
    assert_eq!(pool.take_idle(CloseCause::Lent), Some(4));
    assert_eq!(pool.take_idle(CloseCause::Lent), None);
    assert_eq!(pool.counters().closed.iter().sum::<u64>(), 4);
    for (index, cause) in CloseCause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, index);
        assert!(!cause.name().is_empty());
    }
}

/// Random use: nobody is served twice, no connection carries more than it may, none is lost.
#[test]
fn whatever_happens_the_counts_are_right() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for _ in 0..200 {
        let capacity = u32::try_from(1 + next(3)).unwrap();
        let mut pool: Pool<u32, u64> = Pool::new(PoolOptions { capacity, queue_max: 5, ..OPTIONS });
        let mut now = Instant::now();
        let (mut names, mut waiters) = (0, 0);
        let mut carried: Vec<(u32, u32)> = Vec::new();
        let mut waiting: VecDeque<u64> = VecDeque::new();
        let use_one = |carried: &mut Vec<(u32, u32)>, connection| {
            let entry = carried.iter_mut().find(|(name, _)| *name == connection).unwrap();
            entry.1 += 1;
            assert!(entry.1 <= capacity);
        };
        for _ in 0..300 {
            now += Duration::from_millis(next(300));
            match next(6) {
                0 | 1 => {
                    waiters += 1;
                    match pool.checkout(waiters, now) {
                        Checkout::Use(connection) => use_one(&mut carried, connection),
                        Checkout::Wait => waiting.push_back(waiters),
                        Checkout::Refused => assert_eq!(waiting.len(), 5),
                    }
                }
                2 => {
                    for _ in 0..pool.needs(4) {
                        names += 1;
                        pool.begin_open();
                        pool.opened(names, now);
                        carried.push((names, 0));
                    }
                    assert!(pool.open() <= 4);
                }
                3 => {
                    let busy = carried.iter_mut().find(|(_, count)| *count > 0);
                    if let Some((name, count)) = busy {
                        *count -= 1;
                        let name = *name;
                        if !pool.release(name, now) {
                            carried.retain(|(other, _)| *other != name);
                        }
                    }
                }
                4 if !carried.is_empty() => {
                    let (name, _) =
                        carried.swap_remove(usize::try_from(next(carried.len() as u64)).unwrap());
                    pool.closed(name, CloseCause::Failed);
                }
                _ => {
                    let mut expired = Vec::new();
                    pool.expire(now, &mut expired);
                    for expired in expired {
                        match expired {
                            Expired::Waiter(waiter) => {
                                assert_eq!(waiting.pop_front(), Some(waiter));
                            }
                            Expired::Connection(name) => {
                                assert!(carried.contains(&(name, 0)), "only idle ones");
                                carried.retain(|(other, _)| *other != name);
                            }
                        }
                    }
                }
            }
            while let Some((waiter, connection)) = pool.next_ready(now) {
                assert_eq!(waiting.pop_front(), Some(waiter));
                use_one(&mut carried, connection);
            }
            let gauges = pool.gauges();
            assert_eq!(gauges.waiting as usize, waiting.len());
            assert_eq!((gauges.idle + gauges.in_use) as usize, carried.len());
        }
    }
}

#[test]
fn an_old_connection_takes_nothing_new_and_closes_after_its_last_exchange() {
    let start = Instant::now();
    let mut pool = Numbers::new(PoolOptions { capacity: 2, ..OPTIONS });
    open(&mut pool, 1, start);
    assert_eq!(pool.checkout('a', start), Checkout::Use(1));
    let old = start + Duration::from_secs(600);
    assert_eq!(pool.next_deadline(), Some(old));
    let mut expired = Vec::new();
    pool.expire(old, &mut expired);
    assert_eq!((expired.as_slice(), pool.next_deadline()), (&[][..], None));
    assert_eq!(pool.checkout('b', old), Checkout::Wait, "though it has room");
    assert!(!pool.release(1, old));
    assert_eq!(pool.gauges(), PoolGauges { waiting: 1, ..PoolGauges::default() });
}

/// With thousands of connections and waiters, each use takes no step for each of them.
#[test]
fn many_connections_and_waiters_are_kept_in_order() {
    let start = Instant::now();
    let options = PoolOptions { queue_max: 10_000, ..OPTIONS };
    let mut pool: Pool<u32, u32> = Pool::new(options);
    for name in 0..5_000 {
        pool.begin_open();
        pool.opened(name, start);
    }
    for round in 0..3 {
        let now = start + Duration::from_secs(round);
        for name in (0..5_000).rev() {
            assert_eq!(pool.checkout(name, now), Checkout::Use(name), "the last one first");
        }
        assert!((5_000..15_000).all(|name| pool.checkout(name, now) == Checkout::Wait));
        assert!((5_000..15_000).filter(|name| name % 100 > 0).all(|name| {
            pool.cancel(&name);
            true
        }));
        for name in 0..100 {
            assert!(pool.release(name, now));
            assert_eq!(pool.next_ready(now), Some((5_000 + 100 * name, name)));
        }
        assert!((0..5_000).all(|name| pool.release(name, now)));
    }
    let mut expired = Vec::new();
    pool.expire(start + Duration::from_secs(61), &mut expired);
    assert_eq!(expired, [], "none was idle for so long");
    pool.expire(start + Duration::from_secs(62), &mut expired);
    assert!(expired.len() == 5_000 && expired[0] == Expired::Connection(0), "the oldest first");
}
