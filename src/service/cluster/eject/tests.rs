#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use super::*;
use crate::service::cluster::random::Random;

const OPTIONS: EjectOptions = EjectOptions {
    consecutive_failures: 0,
    consecutive_connect_failures: 0,
    error_rate: 0.0,
    latency_factor: 0.0,
    min_requests: 10,
    interval: Duration::from_secs(10),
    time: Duration::from_secs(30),
    share_max: 0.5,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sample(success: bool) -> Sample {
    if success { Sample::Success } else { Sample::Failure }
}

#[test]
fn a_server_that_cannot_be_connected_to_is_out_longer_each_time() {
    let mut now = Instant::now();
    let mut ejector = Ejector::new(EjectOptions::CONNECTS, 2);
    let refused = |ejector: &mut Ejector, now| ejector.record(0, Sample::ConnectFailure, None, now);
    assert!(!refused(&mut ejector, now) && !refused(&mut ejector, now));
    ejector.record(0, Sample::Connected, None, now);
    assert!(!refused(&mut ejector, now) && !refused(&mut ejector, now), "not in a row");
    ejector.record(0, Sample::Failure, None, now);
    assert!(!refused(&mut ejector, now) && !refused(&mut ejector, now));
    assert!(refused(&mut ejector, now));
    for time in [5, 10, 15, 20] {
        assert_eq!(out(&ejector), [0]);
        assert_eq!(ejector.next_deadline(), Some(now + seconds(time)));
        now += seconds(time);
        assert!(ejector.advance(now));
        assert_eq!(out(&ejector), [0_usize; 0]);
        assert!(refused(&mut ejector, now), "the first one is enough now");
    }
    now += seconds(25);
    assert!(ejector.advance(now));
    ejector.record(0, Sample::Connected, None, now);
    assert!(!refused(&mut ejector, now), "it was there meanwhile");
    assert!(!ejector.record(1, Sample::Failure, None, now));
    assert_eq!(ejector.next_deadline(), None, "nothing is counted by intervals");
    let mut alone = Ejector::new(EjectOptions::CONNECTS, 1);
    (0..9).for_each(|_| assert!(!refused(&mut alone, now), "there is no other"));
}

fn out(ejector: &Ejector) -> Vec<usize> {
    (0..ejector.servers.len()).filter(|server| ejector.is_ejected(*server)).collect()
}

#[test]
fn failures_in_a_row_take_a_server_out_at_once() {
    let now = Instant::now();
    // `+` is a success, `-` a failure.
    let cases = [
        (3, "--", false),
        (3, "---", true),
        (3, "--+--", false),
        (3, "--+---", true),
        (1, "-", true),
        (0, "--------------------", false),
    ];
    for (consecutive_failures, results, expected) in cases {
        let options = EjectOptions { consecutive_failures, ..OPTIONS };
        let mut ejector = Ejector::new(options, 4);
        let results = results.bytes();
        let changed =
            results.filter(|result| ejector.record(2, sample(*result == b'+'), None, now));
        assert_eq!(changed.count(), usize::from(expected));
        assert_eq!(ejector.is_ejected(2), expected, "{consecutive_failures}");
        assert_eq!(ejector.counters().ejected, [u64::from(expected), 0, 0, 0]);
    }
}

#[test]
fn an_error_rate_needs_enough_requests_and_the_end_of_the_interval() {
    let begin = Instant::now();
    // (limit, requests, failures, out)
    let cases = [
        (0.5, 10, 5, true),
        (0.5, 10, 4, false),
        (0.5, 9, 9, false),
        (1.0, 20, 20, true),
        (1.0, 20, 19, false),
        (0.0, 20, 20, false),
        (f64::NAN, 20, 20, false),
    ];
    for (error_rate, requests, failures, expected) in cases {
        let mut ejector = Ejector::new(EjectOptions { error_rate, ..OPTIONS }, 3);
        for request in 0..requests {
            assert!(!ejector.record(1, sample(request >= failures), None, begin + seconds(1)));
        }
        // What is not looked at is not counted.
        let end = (error_rate > 0.0).then(|| begin + seconds(11));
        assert_eq!(ejector.next_deadline(), end);
        assert!(!ejector.advance(begin + seconds(10)));
        assert_eq!(ejector.advance(begin + seconds(11)), expected, "{error_rate} {failures}");
        assert_eq!(ejector.is_ejected(1), expected);
        assert_eq!(ejector.counters().ejected, [0, 0, u64::from(expected), 0]);
        let back = expected.then(|| begin + seconds(41));
        assert_eq!(ejector.next_deadline(), back, "without requests there is no interval");
    }
}

#[test]
fn a_latency_is_compared_with_the_median_of_the_servers() {
    let begin = Instant::now();
    let cases: [(f64, &[u64], &[usize]); 7] = [
        (3.0, &[10, 11, 12, 40], &[3]),
        (3.0, &[10, 11, 12, 33], &[]),
        (3.0, &[100, 10, 10, 50, 10], &[0, 3]),
        (1.5, &[10, 40], &[1]),
        (3.0, &[10, 40], &[]),
        (3.0, &[400], &[]),
        (0.0, &[10, 11, 12, 400], &[]),
    ];
    for (latency_factor, latencies, expected) in cases {
        let options = EjectOptions { latency_factor, ..OPTIONS };
        let mut ejector = Ejector::new(options, latencies.len());
        for (server, latency) in latencies.iter().enumerate() {
            for _ in 0..10 {
                ejector.record(
                    server,
                    Sample::Success,
                    Some(Duration::from_millis(*latency)),
                    begin,
                );
            }
        }
        ejector.advance(begin + seconds(10));
        assert_eq!(out(&ejector), expected, "{latencies:?}");
    }
}

#[test]
fn the_latency_of_failures_and_of_few_requests_says_nothing() {
    let begin = Instant::now();
    let mut ejector = Ejector::new(EjectOptions { latency_factor: 2.0, ..OPTIONS }, 4);
    for server in 0..4 {
        let (requests, success) = [(10, true), (10, true), (9, true), (50, false)][server];
        let latency = if server < 2 { 10 } else { 9_000 };
        for _ in 0..requests {
            ejector.record(server, sample(success), Some(Duration::from_millis(latency)), begin);
        }
    }
    assert!(!ejector.advance(begin + seconds(10)));
}

#[test]
fn an_ejection_lasts_longer_each_time_in_a_row() {
    let mut now = Instant::now();
    let options = EjectOptions { consecutive_failures: 1, ..OPTIONS };
    let mut ejector = Ejector::new(options, 2);
    for times in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
        assert!(ejector.record(0, Sample::Failure, None, now));
        let back = now + seconds(30 * times);
        assert!(!ejector.record(0, Sample::Failure, None, now), "it is out already");
        assert!(!ejector.advance(back - Duration::from_millis(1)) && ejector.is_ejected(0));
        assert!(ejector.advance(back) && !ejector.is_ejected(0));
        now = back + seconds(20);
    }
    now += seconds(300);
    assert!(ejector.record(0, Sample::Failure, None, now));
    let back = now + seconds(30);
    assert!(ejector.advance(back), "after a while in peace it is the first again");
    assert_eq!(ejector.ejected(), 0);
}

#[test]
fn the_share_that_may_be_out_is_kept_and_one_always_stays() {
    let cases = [
        (10, 0.5, 5),
        (10, 0.3, 3),
        (100, 0.29, 29),
        (3, 0.5, 1),
        (3, 0.3, 0),
        (3, 1.0, 2),
        (1, 1.0, 0),
        (0, 1.0, 0),
        (4, f64::NAN, 0),
        (4, 9.0, 3),
    ];
    let now = Instant::now();
    for (servers, share_max, expected) in cases {
        let options = EjectOptions { consecutive_failures: 1, share_max, ..OPTIONS };
        let mut ejector = Ejector::new(options, servers);
        let changed =
            (0..servers).filter(|server| ejector.record(*server, Sample::Failure, None, now));
        assert_eq!(changed.count(), expected, "{servers} {share_max}");
        assert_eq!(ejector.ejected_max(), expected);
        let counters = ejector.counters();
        assert_eq!(counters.ejected[0], expected as u64);
        assert_eq!(counters.held_back, (servers - expected) as u64);
    }
}

#[test]
fn the_worst_are_out_when_not_all_can_be() {
    let begin = Instant::now();
    let options = EjectOptions { error_rate: 0.1, share_max: 0.4, ..OPTIONS };
    let mut ejector = Ejector::new(options, 5);
    for (server, failures) in [2, 7, 1, 9, 0].into_iter().enumerate() {
        for request in 0..10 {
            ejector.record(server, sample(request >= failures), None, begin);
        }
    }
    assert!(ejector.advance(begin + seconds(10)));
    assert_eq!((out(&ejector), ejector.counters().held_back), (vec![1, 3], 1));
}

#[test]
fn the_last_healthy_server_stays_and_health_ends_an_ejection() {
    let now = Instant::now();
    let options = EjectOptions { consecutive_failures: 1, share_max: 1.0, ..OPTIONS };
    let mut ejector = Ejector::new(options, 3);
    assert!(!ejector.set_healthy(0, false));
    assert!(!ejector.record(0, Sample::Failure, None, now), "it is dead already");
    assert!(ejector.record(1, Sample::Failure, None, now));
    assert!(!ejector.record(2, Sample::Failure, None, now), "no other is left");
    assert!(!ejector.set_healthy(2, false));
    assert!(ejector.pardon(now) && !ejector.is_ejected(1));
    assert!(!ejector.pardon(now));
    ejector.set_healthy(2, true);
    assert!(ejector.record(1, Sample::Failure, None, now));
    assert!(!ejector.set_healthy(1, false) && ejector.is_ejected(1));
    assert!(ejector.set_healthy(1, true) && !ejector.is_ejected(1));
    assert_eq!((ejector.ejected(), ejector.next_deadline()), (0, ejector.interval_end));
}

#[test]
fn events_are_told_in_order_and_do_not_pile_up() {
    let begin = Instant::now();
    let options = EjectOptions { consecutive_failures: 1, ..OPTIONS };
    let mut ejector = Ejector::new(options, 2);
    ejector.record(1, Sample::Failure, None, begin);
    ejector.advance(begin + seconds(30));
    let reason = Reason::ConsecutiveFailures;
    let ejected = Event::Ejected { server: 1, reason, time: seconds(30) };
    assert_eq!(ejector.next_event(), Some(ejected));
    assert_eq!(ejector.next_event(), Some(Event::Returned { server: 1 }));
    assert_eq!(ejector.next_event(), None);
    let capacity = ejector.events.capacity();
    let mut now = begin;
    for _ in 0..100 {
        now += seconds(1_000);
        ejector.advance(now);
        ejector.record(1, Sample::Failure, None, now);
    }
    assert_eq!((ejector.events.len(), ejector.events.capacity()), (8, capacity));
}

#[test]
fn servers_that_do_badly_at_random_never_break_the_limits() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let servers = 1 + random.below(12);
        let options = EjectOptions {
            consecutive_failures: 3,
            error_rate: 0.3,
            latency_factor: 2.0,
            share_max: random.unit(),
            ..OPTIONS
        };
        let mut ejector = Ejector::new(options, servers);
        let mut healthy = vec![true; servers];
        let mut now = Instant::now();
        for _ in 0..20_000 {
            now += Duration::from_millis(random.below(300) as u64);
            let server = random.below(servers);
            if random.below(200) == 0 {
                healthy[server] = !healthy[server];
                ejector.set_healthy(server, healthy[server]);
            }
            let latency = Duration::from_millis(random.below(10 + 40 * server) as u64);
            let before = out(&ejector);
            ejector.record(server, sample(random.below(3) > 0), Some(latency), now);
            if random.below(4) > 0 {
                ejector.advance(now);
                assert!(ejector.next_deadline().is_none_or(|deadline| deadline > now));
            }
            let after = out(&ejector);
            assert_eq!(after.len(), ejector.ejected());
            let most = options.share_max * servers as f64;
            assert!(after.len() as f64 <= most + 1e-6 && after.len() < servers);
            if after.iter().any(|server| !before.contains(server)) {
                assert!((0..servers).any(|server| healthy[server] && !after.contains(&server)));
            }
        }
    }
}

#[test]
fn every_reason_knows_its_place() {
    for (index, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), index);
    }
    let names = Reason::ALL.map(Reason::name);
    assert_eq!(names, ["consecutive_failures", "connect_failures", "error_rate", "latency"]);
}
