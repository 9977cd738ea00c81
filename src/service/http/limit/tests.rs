//! Tests of rate limits.
#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use std::cell::RefCell;
use std::collections::HashMap;

use super::*;

#[test]
fn a_burst_is_let_through_and_then_the_rate() {
    let mut limiter = RateLimiter::new(10, 3, 8, 7);
    let (ip, origin) = (IpAddr::from([1, 2, 3, 4]), Instant::now());
    let after = |millis| origin + Duration::from_millis(millis);
    let limited = |millis| Verdict::Limited { retry_after: Duration::from_millis(millis) };
    let table = [
        (0, Verdict::Allowed),
        (0, Verdict::Allowed),
        (0, Verdict::Allowed),
        (0, limited(100)),
        (60, limited(40)),
        (99, limited(1)),
        (100, Verdict::Allowed),
        (100, limited(100)),
        // A moment that comes late changes nothing.
        (50, limited(100)),
        (150, limited(50)),
        // A long pause fills the bucket, and no more.
        (10_000_000, Verdict::Allowed),
        (10_000_000, Verdict::Allowed),
        (10_000_000, Verdict::Allowed),
        (10_000_000, limited(100)),
    ];
    for (at, (millis, verdict)) in table.into_iter().enumerate() {
        assert_eq!(limiter.check_source(ip, after(millis), &NoPeers), verdict, "{at}");
    }
    assert_eq!(
        limiter.check_source(IpAddr::from([1, 2, 3, 5]), origin, &NoPeers),
        Verdict::Allowed
    );
    assert_eq!((limiter.len(), limiter.is_empty()), (2, false));
}

#[test]
fn after_the_time_that_was_said_there_is_a_token_and_not_before() {
    let origin = Instant::now();
    for rate in [1, 3, 7, 1000, 999_983, 1_000_000_000, u32::MAX] {
        for burst in [1, 2, u32::MAX] {
            let mut limiter = RateLimiter::new(rate, burst, 1, 7);
            limiter.check_bytes(b"a", origin, &NoPeers);
            if burst == u32::MAX {
                continue;
            }
            let mut now = origin;
            for _ in 0..100 {
                let Verdict::Limited { retry_after } = limiter.check_bytes(b"a", now, &NoPeers)
                else {
                    continue;
                };
                let early = now + retry_after.saturating_sub(Duration::from_nanos(1));
                assert_ne!(limiter.check_bytes(b"a", early, &NoPeers), Verdict::Allowed, "{rate}");
                now += retry_after;
                assert_eq!(limiter.check_bytes(b"a", now, &NoPeers), Verdict::Allowed, "{rate}");
            }
        }
    }
    let mut nothing = RateLimiter::new(0, 0, 0, 7);
    assert_eq!(nothing.check_bytes(b"a", origin, &NoPeers), Verdict::Allowed, "it is one of each");
    assert_ne!(nothing.check_bytes(b"a", origin, &NoPeers), Verdict::Allowed);
}

#[test]
fn memory_is_bounded_and_who_was_asked_longest_ago_goes_first() {
    let mut limiter = RateLimiter::new(1, 1, 4, 7);
    let now = Instant::now();
    for n in 0..4_u8 {
        assert_eq!(limiter.check_bytes(&[n], now, &NoPeers), Verdict::Allowed);
    }
    assert_ne!(limiter.check_bytes(&[0], now, &NoPeers), Verdict::Allowed);
    assert_eq!(limiter.check_bytes(&[9], now, &NoPeers), Verdict::Allowed, "takes the place of 1");
    assert_ne!(limiter.check_bytes(&[0], now, &NoPeers), Verdict::Allowed, "0 was asked since");
    assert_eq!(limiter.check_bytes(&[1], now, &NoPeers), Verdict::Allowed, "it was forgotten");
}

#[test]
fn a_full_bucket_goes_before_one_that_was_asked_longer_ago() {
    let mut limiter = RateLimiter::new(1, 4, 3, 7);
    let origin = Instant::now();
    for _ in 0..5 {
        limiter.check_bytes(b"greedy", origin, &NoPeers);
    }
    limiter.check_bytes(b"modest", origin, &NoPeers);
    limiter.check_bytes(b"other", origin, &NoPeers);
    // By now, all but the first are full again.
    let later = origin + Duration::from_secs(1);
    limiter.check_bytes(b"new", later, &NoPeers);
    assert_eq!(limiter.check_bytes(b"greedy", later, &NoPeers), Verdict::Allowed, "one token came");
    assert_ne!(
        limiter.check_bytes(b"greedy", later, &NoPeers),
        Verdict::Allowed,
        "it was not forgotten"
    );
}

#[test]
fn an_ipv6_source_is_its_network() {
    let mut limiter = RateLimiter::new(1, 1, 4, 7);
    let now = Instant::now();
    let [one, same, other] =
        ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
    assert_eq!(limiter.check_source(one, now, &NoPeers), Verdict::Allowed);
    assert_ne!(limiter.check_source(same, now, &NoPeers), Verdict::Allowed);
    assert_eq!(limiter.check_source(other, now, &NoPeers), Verdict::Allowed);
}

/// Numbers that depend on nothing but the state (xorshift64*).
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

#[test]
fn random_clients_take_no_more_memory_than_was_given() {
    let mut state = 0x5eed;
    for limit in [1, 2, 15, 16, 17, 100] {
        let mut limiter = RateLimiter::new(5, 3, limit, 7);
        let mut now = Instant::now();
        let mut held = 0;
        for step in 0..5_000 {
            let client = random(&mut state) % (1 + random(&mut state) % (4 * limit as u64));
            now += Duration::from_millis(random(&mut state) % 20);
            limiter.check_bytes(&client.to_le_bytes(), now, &NoPeers);
            let key = hash::of_bytes(&client.to_le_bytes(), 7);
            assert!(limiter.len() <= limit);
            if step % 50 == 0 {
                assert_eq!(limiter.table.keys().first(), Some(&key), "asked last");
            }
            if limiter.len() == limit {
                assert!(held == 0 || held == limiter.table.capacity(), "nothing grows");
                held = limiter.table.capacity();
            }
        }
        assert!(held > 0 && held <= limit.next_power_of_two().max(16) * 56, "{limit}: {held}");
    }
}

#[test]
fn random_clients_that_all_fit_get_what_a_bucket_of_their_own_gives() {
    let (rate, burst) = (7_u64, 4_u64);
    let mut limiter = RateLimiter::new(7, 4, 64, 9);
    let mut state = 0xc0de;
    let origin = Instant::now();
    let mut passed: u64 = 0;
    // Tokens in billionths, and when they were counted.
    let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
    for _ in 0..20_000 {
        passed += random(&mut state) % 10_000_000;
        let client = random(&mut state) % 64;
        let (tokens, at) = model.entry(client).or_insert((burst * TOKEN, passed));
        *tokens = (*tokens + (passed - *at) * rate).min(burst * TOKEN);
        *at = passed;
        let expected = *tokens >= TOKEN;
        *tokens -= if expected { TOKEN } else { 0 };
        let now = origin + Duration::from_nanos(passed);
        let verdict = limiter.check_bytes(&client.to_le_bytes(), now, &NoPeers);
        assert_eq!(verdict == Verdict::Allowed, expected);
    }
}

/// What workers show each other, as a board of each would say it.
#[derive(Default)]
struct Boards(Vec<RefCell<HashMap<u64, Instant>>>);

struct View<'a>(&'a Boards, usize);

impl PeerBuckets for View<'_> {
    fn full_at(&self, key: u64) -> Option<Instant> {
        let others = self.0.0.iter().enumerate().filter(|(worker, _)| *worker != self.1);
        others.filter_map(|(_, board)| board.borrow().get(&key).copied()).max()
    }

    fn publish(&self, key: u64, full_at: Instant) {
        self.0.0[self.1].borrow_mut().insert(key, full_at);
    }
}

#[test]
fn a_limit_holds_for_all_workers_however_many_there_are() {
    for workers in [1, 2, 8, 16] {
        let boards = Boards((0..workers).map(|_| RefCell::default()).collect());
        let mut limiters: Vec<_> = boards.0.iter().map(|_| RateLimiter::new(7, 4, 64, 9)).collect();
        let mut alone = RateLimiter::new(7, 4, 64, 9);
        let mut state = 0xace;
        let mut now = Instant::now();
        let mut allowed = 0;
        for step in 0..20_000 {
            now += Duration::from_nanos(random(&mut state) % 20_000_000);
            let client = [u8::try_from(random(&mut state) % 3).unwrap()];
            let worker = usize::try_from(random(&mut state)).unwrap() % workers;
            let verdict = limiters[worker].check_bytes(&client, now, &View(&boards, worker));
            let expected = alone.check_bytes(&client, now, &NoPeers);
            // What is shown is rounded up to a nanosecond: a bucket may be that much behind for
            // each request that was let through since it was last full.
            let slack = Duration::from_nanos(allowed);
            let same = match (verdict, expected) {
                (Verdict::Limited { retry_after }, Verdict::Allowed) => retry_after <= slack,
                (Verdict::Limited { retry_after: a }, Verdict::Limited { retry_after: b }) => {
                    a.abs_diff(b) <= slack
                }
                (left, right) => left == right,
            };
            assert!(same, "{workers} workers, step {step}: {verdict:?}, {expected:?}");
            allowed += u64::from(verdict == Verdict::Allowed);
        }
        assert!(allowed > 3_000, "{allowed}");
    }
}
