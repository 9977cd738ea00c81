#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use std::collections::VecDeque;

use super::*;
use crate::service::cluster::eject::Reason;
use crate::service::cluster::random::mix;
use crate::service::cluster::stable_hash;

const POLICIES: [Policy; 5] =
    [Policy::RoundRobin, Policy::LeastRequests, Policy::Ewma, Policy::Hash, Policy::SourceHash];

const OPTIONS: ServersOptions =
    ServersOptions { policy: Policy::RoundRobin, slow_start: None, panic_ratio: 0.0, eject: None };

const EJECT: EjectOptions = EjectOptions {
    consecutive_connect_failures: 0,
    consecutive_failures: 2,
    error_rate: 0.0,
    latency_factor: 0.0,
    min_requests: 5,
    interval: Duration::from_secs(10),
    time: Duration::from_secs(30),
    share_max: 0.5,
};

const OK: ServerOutcome = ServerOutcome { ended: Ended::Status(200), latency: None };
const BROKEN: ServerOutcome =
    ServerOutcome { ended: Ended::Failed(Failure::ConnectRefused), latency: None };

fn with(options: ServersOptions, servers: &[(u32, u8)]) -> Servers {
    let server = |(number, (weight, priority)): (usize, &(u32, u8))| ServerOptions {
        weight: *weight,
        priority: *priority,
        id: stable_hash(format!("192.0.2.{number}:80").as_bytes()),
    };
    let servers: Vec<ServerOptions> = servers.iter().enumerate().map(server).collect();
    Servers::new(options, &servers, 7, 0)
}

fn of_policy(policy: Policy, servers: &[(u32, u8)]) -> Servers {
    with(ServersOptions { policy, ..OPTIONS }, servers)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How often each server is picked when `concurrent` requests are always under way, a millisecond
/// apart, with answers after as long as that makes.
fn picks(servers: &mut Servers, total: u64, concurrent: usize, now: &mut Instant) -> Vec<u64> {
    let mut counts = vec![0; servers.len()];
    let mut under_way = VecDeque::new();
    for request in 0..total {
        *now += Duration::from_millis(1);
        let picked = servers.pick(Some(mix(request)), &[], *now).unwrap();
        counts[picked] += 1;
        under_way.push_back(picked);
        if under_way.len() >= concurrent {
            let latency = Some(Duration::from_millis(concurrent as u64));
            servers.done(under_way.pop_front().unwrap(), ServerOutcome { latency, ..OK }, *now);
        }
    }
    for picked in under_way {
        servers.done(picked, OK, *now);
    }
    counts
}

#[test]
fn turns_are_spread_evenly() {
    let now = Instant::now();
    type Case = (&'static [(u32, u8)], usize, &'static [usize]);
    let cases: [Case; 4] = [
        (&[(1, 0), (1, 0), (1, 0)], 0, &[0, 1, 2, 0, 1, 2]),
        (&[(1, 0), (1, 0), (1, 0)], 4, &[1, 2, 0, 1, 2, 0]),
        (&[(5, 0), (1, 0), (1, 0)], 0, &[0, 0, 1, 0, 0, 2, 0, 0, 0, 1]),
        (&[(0, 0), (2, 0)], 0, &[1, 0, 1, 1, 0, 1]),
    ];
    for (weights, first, expected) in cases {
        let options: Vec<ServerOptions> = weights
            .iter()
            .map(|(weight, priority)| ServerOptions { weight: *weight, priority: *priority, id: 0 })
            .collect();
        let mut servers = Servers::new(OPTIONS, &options, 1, first);
        let picked = expected.iter().map(|_| servers.pick(None, &[], now).unwrap());
        assert_eq!(picked.collect::<Vec<_>>(), expected, "{weights:?}");
    }
}

#[test]
fn requests_are_shared_by_weight() {
    let cases: [(Policy, usize, &[u32], f64); 11] = [
        (Policy::RoundRobin, 1, &[1, 1, 1, 1], 0.02),
        (Policy::RoundRobin, 10, &[1, 10, 100], 0.02),
        (Policy::LeastRequests, 1, &[1, 2, 3], 0.02),
        (Policy::LeastRequests, 120, &[1, 2, 3], 0.02),
        (Policy::LeastRequests, 64, &[1, 1, 1, 1], 0.02),
        (Policy::Hash, 10, &[1, 1, 1, 1, 1], 0.02),
        (Policy::Hash, 10, &[1, 2, 3], 0.02),
        (Policy::SourceHash, 10, &[1, 1, 1, 1, 1], 0.02),
        (Policy::SourceHash, 10, &[1, 2, 3], 0.02),
        (Policy::Ewma, 16, &[1, 1, 1, 1], 0.02),
        (Policy::Ewma, 120, &[1, 2, 2, 1], 0.02),
    ];
    for (policy, concurrent, weights, tolerance) in cases {
        let options: Vec<(u32, u8)> = weights.iter().map(|weight| (*weight, 0)).collect();
        let mut servers = of_policy(policy, &options);
        let mut now = Instant::now();
        let counts = picks(&mut servers, 200_000, concurrent, &mut now);
        let sum: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            let share = *count as f64 / 200_000.0;
            let due = f64::from(*weight) / f64::from(sum);
            assert!((share - due).abs() <= tolerance, "{policy:?} {weights:?} {counts:?}");
        }
        let active = |number| servers.view(number, now).unwrap().active;
        assert!((0..servers.len()).all(|number| active(number) == 0));
    }
}

#[test]
fn every_policy_passes_over_what_was_tried_or_is_down_and_ends() {
    let now = Instant::now();
    for policy in POLICIES {
        for hash in (0..200).map(mix).map(Some).chain([None]) {
            let mut servers = of_policy(policy, &[(1, 0), (3, 0), (1, 0), (2, 0)]);
            servers.set_health(1, false, now);
            let mut tried = Vec::new();
            while let Some(server) = servers.pick(hash, &tried, now) {
                assert!(server != 1 && !tried.contains(&server));
                tried.push(server);
            }
            assert_eq!(tried.len(), 3, "{policy:?}");
        }
        assert_eq!(of_policy(policy, &[]).pick(Some(1), &[], now), None);
        assert!(of_policy(policy, &[]).is_empty());
    }
}

#[test]
fn the_lowest_priority_number_with_a_usable_server_is_used() {
    let now = Instant::now();
    let listed = [(1, 5), (1, 0), (1, 0), (9, 2)];
    // (servers that are down, servers that were tried, what is picked)
    let cases: [(&[usize], &[usize], &[usize]); 8] = [
        (&[], &[], &[1, 2]),
        (&[1], &[], &[2]),
        (&[1, 2], &[], &[3]),
        (&[1, 2, 3], &[], &[0]),
        (&[0, 1, 2, 3], &[], &[]),
        (&[], &[1], &[2]),
        (&[], &[1, 2], &[3]),
        (&[3], &[1, 2], &[0]),
    ];
    for policy in POLICIES {
        for (down, tried, expected) in cases {
            let mut servers = of_policy(policy, &listed);
            down.iter().for_each(|server| servers.set_health(*server, false, now));
            assert_eq!(servers.usable(), 4 - down.len());
            let mut picked: Vec<usize> =
                (0..100).filter_map(|n| servers.pick(Some(mix(n)), tried, now)).collect();
            picked.sort_unstable();
            picked.dedup();
            assert_eq!(picked, expected, "{policy:?} {down:?} {tried:?}");
        }
    }
}

#[test]
fn below_the_panic_ratio_all_servers_of_a_priority_are_used() {
    let now = Instant::now();
    let listed = [(1, 0), (1, 0), (1, 0), (1, 0), (1, 1)];
    let cases: [(f64, &[usize], &[usize]); 8] = [
        (0.5, &[0, 1], &[2, 3]),
        (0.5, &[0, 1, 2], &[0, 1, 2, 3]),
        (0.0, &[0, 1, 2], &[3]),
        (0.5, &[0, 1, 2, 3], &[4]),
        (0.0, &[0, 1, 2, 3, 4], &[]),
        (0.5, &[0, 1, 2, 3, 4], &[0, 1, 2, 3]),
        (1.0, &[3], &[0, 1, 2, 3]),
        (f64::NAN, &[0, 1, 2, 3, 4], &[]),
    ];
    for policy in POLICIES {
        for (panic_ratio, down, expected) in cases {
            let mut servers = with(ServersOptions { policy, panic_ratio, ..OPTIONS }, &listed);
            down.iter().for_each(|server| servers.set_health(*server, false, now));
            let mut picked: Vec<usize> =
                (0..200).filter_map(|n| servers.pick(Some(mix(n)), &[], now)).collect();
            picked.sort_unstable();
            picked.dedup();
            assert_eq!(picked, expected, "{policy:?} {panic_ratio} {down:?}");
        }
    }
}

#[test]
fn a_server_that_is_back_takes_a_growing_share() {
    for policy in POLICIES {
        let options = ServersOptions { policy, slow_start: Some(seconds(100)), ..OPTIONS };
        let mut servers = with(options, &[(1, 0), (1, 0), (1, 0)]);
        let begin = Instant::now();
        servers.set_health(0, false, begin);
        servers.set_health(0, true, begin);
        let mut shares = Vec::new();
        for at in [0, 25, 50, 75, 100] {
            let mut now = begin + seconds(at);
            let ramp = servers.view(0, now).unwrap().ramp;
            assert!((ramp - (0.1 + 0.9 * at as f64 / 100.0)).abs() < 0.01);
            // So long that the policy has settled, so short that the weight stays.
            let counts = picks(&mut servers, 3_000, 60, &mut now);
            shares.push(counts[0] as f64 / 3_000.0);
        }
        assert!(shares.is_sorted(), "{policy:?} {shares:?}");
        assert!(shares[0] < 0.12 && (0.30..0.37).contains(&shares[4]), "{policy:?} {shares:?}");
    }
}

#[test]
fn a_hash_stays_with_its_server_and_only_those_of_one_that_goes_move() {
    let now = Instant::now();
    let mut servers = of_policy(Policy::Hash, &[(1, 0); 8]);
    let keys: Vec<u64> = (0..20_000).map(mix).collect();
    let all = |servers: &mut Servers| -> Vec<usize> {
        keys.iter().map(|key| servers.pick(Some(*key), &[], now).unwrap()).collect()
    };
    let before = all(&mut servers);
    assert_eq!(all(&mut servers), before);
    servers.set_health(3, false, now);
    let without = all(&mut servers);
    let moved = before.iter().zip(&without).filter(|(before, after)| before != after).count();
    assert!(before.iter().zip(&without).all(|(before, after)| *before == 3 || before == after));
    assert!(moved as f64 / 20_000.0 <= 1.3 / 8.0, "{moved}");
    let mut taken = [0; 8];
    let orphans = before.iter().zip(&without).filter(|(before, _)| **before == 3);
    orphans.for_each(|(_, after)| taken[*after] += 1);
    assert!(taken.iter().all(|count| *count < moved / 3), "they are spread: {taken:?}");
    servers.set_health(3, true, now);
    assert_eq!(all(&mut servers), before);
}

#[test]
fn a_server_whose_start_is_slow_takes_more_and_more_of_the_same_hashes() {
    let begin = Instant::now();
    let slow = ServersOptions { policy: Policy::Hash, slow_start: Some(seconds(10)), ..OPTIONS };
    let mut servers = with(slow, &[(1, 0); 4]);
    for number in 0..4 {
        servers.set_health(number, false, begin);
        servers.set_health(number, true, begin);
    }
    assert!((0..5_000).all(|n| servers.pick(Some(mix(n)), &[], begin).is_some()));
    let mut servers = with(slow, &[(1, 0); 4]);
    servers.set_health(2, false, begin);
    servers.set_health(2, true, begin);
    let mut before: Vec<u64> = Vec::new();
    for at in [0, 3, 6, 9, 10] {
        let now = begin + seconds(at);
        let taken = (0..5_000).filter(|n| servers.pick(Some(mix(*n)), &[], now) == Some(2));
        let taken: Vec<u64> = taken.collect();
        assert!(before.iter().all(|key| taken.contains(key)) && taken.len() > before.len());
        before = taken;
    }
}

#[test]
fn ewma_avoids_the_slow_and_the_failing_and_tries_them_again() {
    let mut servers = of_policy(Policy::Ewma, &[(1, 0); 4]);
    let mut now = Instant::now();
    let mut run = |servers: &mut Servers, slow: ServerOutcome| {
        let mut counts = [0_u32; 4];
        let mut under_way: Vec<(Instant, usize, ServerOutcome)> = Vec::new();
        for _ in 0..20_000 {
            now += Duration::from_millis(1);
            let picked = servers.pick(None, &[], now).unwrap();
            counts[picked] += 1;
            let quick = ServerOutcome { latency: Some(Duration::from_millis(5)), ..OK };
            let outcome = if picked == 3 { slow } else { quick };
            under_way.push((now + outcome.latency.unwrap(), picked, outcome));
            under_way.retain(|(end, server, outcome)| {
                let over = *end <= now;
                if over {
                    servers.done(*server, *outcome, now);
                }
                !over
            });
        }
        under_way.iter().for_each(|(_, server, _)| servers.done(*server, OK, now));
        counts
    };
    let late = ServerOutcome { latency: Some(Duration::from_millis(200)), ..OK };
    let refused = ServerOutcome { latency: Some(Duration::from_millis(1)), ..BROKEN };
    for bad in [late, refused] {
        let counts = run(&mut servers, bad);
        assert!((1..1_000).contains(&counts[3]), "{counts:?}");
    }
    let quick = ServerOutcome { latency: Some(Duration::from_millis(5)), ..OK };
    // After what counted as a second, it takes a minute to be like the others again.
    (0..3).for_each(|_| assert!(run(&mut servers, quick)[3] < 6_000));
    let counts = run(&mut servers, quick);
    assert!(counts.iter().all(|count| (4_000..6_000).contains(count)), "{counts:?}");
}

#[test]
fn a_server_that_does_badly_is_out_for_a_while() {
    let begin = Instant::now();
    let outcomes = [
        (BROKEN, true),
        (ServerOutcome { ended: Ended::Status(500), latency: None }, true),
        (ServerOutcome { ended: Ended::Status(599), latency: None }, true),
        (ServerOutcome { ended: Ended::Status(404), latency: None }, false),
        (ServerOutcome { ended: Ended::Failed(Failure::ClientGone), latency: None }, false),
        (ServerOutcome { ended: Ended::Failed(Failure::StaleConnection), latency: None }, false),
    ];
    for (outcome, expected) in outcomes {
        let options =
            ServersOptions { eject: Some(EJECT), slow_start: Some(seconds(10)), ..OPTIONS };
        let mut servers = with(options, &[(1, 0), (1, 0)]);
        for _ in 0..2 {
            servers.done(0, outcome, begin);
        }
        assert_eq!(servers.view(0, begin).unwrap().ejected, expected, "{outcome:?}");
        assert_eq!(servers.usable(), if expected { 1 } else { 2 });
        if !expected {
            continue;
        }
        assert!((0..9).all(|_| servers.pick(None, &[], begin) == Some(1)));
        let back = begin + seconds(30);
        // Nobody called at the deadline: picking sees to it.
        assert!((0..12).filter_map(|_| servers.pick(None, &[], back)).any(|picked| picked == 0));
        let view = servers.view(0, back).unwrap();
        assert!(!view.ejected && (view.ramp - 0.1).abs() < 1e-9, "and starts slowly");
        assert!(matches!(servers.next_event(), Some(Event::Ejected { server: 0, .. })));
        assert_eq!(servers.next_event(), Some(Event::Returned { server: 0 }));
        assert_eq!(servers.eject_counters().ejected, [1, 0, 0, 0]);
    }
}

#[test]
fn when_checks_leave_no_other_the_suspected_are_used_again() {
    let now = Instant::now();
    let mut servers = with(ServersOptions { eject: Some(EJECT), ..OPTIONS }, &[(1, 0), (1, 0)]);
    (0..2).for_each(|_| servers.done(0, BROKEN, now));
    assert_eq!(servers.usable(), 1);
    servers.set_health(1, false, now);
    assert_eq!((servers.usable(), servers.pick(None, &[], now)), (1, Some(0)));
    servers.set_health(0, false, now);
    assert_eq!((servers.usable(), servers.pick(None, &[], now)), (0, None));
}

#[test]
fn exchanges_are_counted() {
    let now = Instant::now();
    let mut servers = of_policy(Policy::RoundRobin, &[(1, 0)]);
    let ended = [
        Ended::Status(200),
        Ended::Status(404),
        Ended::Status(502),
        Ended::Failed(Failure::ResetInBody),
        Ended::Failed(Failure::ClientGone),
    ];
    for ended in ended {
        assert_eq!(servers.pick(None, &[], now), Some(0));
        assert_eq!(servers.view(0, now).unwrap().active, 1);
        servers.done(0, ServerOutcome { ended, latency: None }, now);
    }
    let view = servers.view(0, now).unwrap();
    let expected = ServerCounters { picked: 5, answered: 2, errors: 1, failures: 1 };
    assert_eq!((view.counters, view.active), (expected, 0));
    servers.done(0, OK, now);
    servers.done(9, OK, now);
    servers.set_health(9, false, now);
    assert_eq!(servers.view(0, now).unwrap().active, 0, "never below zero");
    assert_eq!(servers.view(9, now), None);
}

#[test]
fn whatever_happens_only_what_may_be_picked_is() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let policy = POLICIES[random.below(5)];
        let options = ServersOptions {
            policy,
            slow_start: Some(seconds(20)),
            panic_ratio: 0.0,
            eject: Some(EjectOptions { error_rate: 0.4, latency_factor: 3.0, ..EJECT }),
        };
        let count = 1 + random.below(10);
        let weight = |random: &mut Random| 1 + u32::try_from(random.below(20)).unwrap();
        let listed: Vec<(u32, u8)> =
            (0..count).map(|n| (weight(&mut random), u8::from(n % 3 == 2))).collect();
        let mut servers = with(options, &listed);
        let mut under_way: Vec<usize> = Vec::new();
        let mut now = Instant::now();
        for _ in 0..20_000 {
            now += Duration::from_millis(random.below(200) as u64);
            let view = |servers: &Servers, server| servers.view(server, now).unwrap();
            match random.below(20) {
                0 => servers.set_health(random.below(count), random.below(3) > 0, now),
                1..10 if !under_way.is_empty() => {
                    let server = under_way.swap_remove(random.below(under_way.len()));
                    let latency = Some(Duration::from_millis(random.below(500) as u64));
                    let outcome = if random.below(4) == 0 { BROKEN } else { OK };
                    servers.done(server, ServerOutcome { latency, ..outcome }, now);
                }
                _ => {
                    let tried = [random.below(count)];
                    let hash = Some(random.bits());
                    let picked = servers.pick(hash, &tried[..random.below(2)], now);
                    if let Some(server) = picked {
                        let state = view(&servers, server);
                        assert!(state.healthy && !state.ejected, "{policy:?}");
                    }
                    under_way.extend(picked);
                }
            }
            let out = (0..count).filter(|server| view(&servers, *server).ejected).count();
            assert!(out * 2 <= count && out < count.max(2));
            let active: u32 = (0..count).map(|server| view(&servers, server).active).sum();
            assert_eq!(active as usize, under_way.len());
        }
    }
}

/// What is known of the servers, and which of them may be chosen, found by looking at all of them.
struct Reference {
    panic_ratio: f64,
    tried: Vec<usize>,
    views: Vec<ServerView>,
}

impl Reference {
    fn new(servers: &Servers, panic_ratio: f64, tried: &[usize], now: Instant) -> Self {
        let views = (0..servers.len()).map(|number| servers.view(number, now).unwrap());
        Self { panic_ratio, tried: tried.to_vec(), views: views.collect() }
    }

    fn is_usable(view: &ServerView) -> bool {
        matches!(view.standing, Standing::Up | Standing::SlowStart)
    }

    fn admitted(&self) -> Vec<usize> {
        let any_usable = self.views.iter().any(Self::is_usable);
        for priority in 0..=9 {
            let level = || self.views.iter().enumerate().filter(|one| one.1.priority == priority);
            let in_service = || level().filter(|(_, view)| view.standing != Standing::Drained);
            let usable = level().filter(|(_, view)| Self::is_usable(view)).count();
            if any_usable && usable == 0 {
                continue;
            }
            let panics = (usable as f64) < self.panic_ratio * in_service().count() as f64;
            let suits = |view: &ServerView| panics || Self::is_usable(view);
            let admitted =
                in_service().filter(|(number, view)| suits(view) && !self.tried.contains(number));
            let admitted: Vec<usize> = admitted.map(|(number, _)| number).collect();
            if !admitted.is_empty() {
                return admitted;
            }
        }
        Vec::new()
    }

    /// Within what a step of a slow start makes.
    fn load(&self, number: usize) -> f64 {
        let view = &self.views[number];
        f64::from(view.active) / (f64::from(view.weight) * view.ramp)
    }
}

/// Random health, ejections, drains, weights and tries: what is chosen is always among what a look
/// at all servers admits, and there is a choice whenever that admits any.
#[test]
fn every_choice_is_one_that_a_look_at_all_servers_admits() {
    for seed in 0..80 {
        let mut random = Random::new(seed);
        let policy = POLICIES[random.below(5)];
        let panic_ratio = [0.0, 0.3, 1.0][random.below(3)];
        let slow_start = [None, Some(seconds(20))][random.below(2)];
        let eject = Some(EjectOptions { error_rate: 0.4, latency_factor: 3.0, ..EJECT });
        let count = 1 + random.below(30);
        let weight = |random: &mut Random| 1 + u32::try_from(random.below(20)).unwrap();
        let listed: Vec<(u32, u8)> =
            (0..count).map(|n| (weight(&mut random), u8::from(n % 4 == 3))).collect();
        let mut servers = with(ServersOptions { policy, slow_start, panic_ratio, eject }, &listed);
        let mut under_way: Vec<usize> = Vec::new();
        let mut now = Instant::now();
        for _ in 0..3_000 {
            now += Duration::from_millis(random.below(300) as u64);
            let server = random.below(count);
            match random.below(24) {
                0 => servers.set_health(server, random.below(3) > 0, now),
                1 => assert!(servers.set_weight(server, weight(&mut random))),
                2 => assert!(servers.drain(server, now)),
                3 | 4 => assert!(servers.lift(server, now)),
                5..12 if !under_way.is_empty() => {
                    let server = under_way.swap_remove(random.below(under_way.len()));
                    let latency = Some(Duration::from_millis(random.below(500) as u64));
                    let outcome = if random.below(3) == 0 { BROKEN } else { OK };
                    servers.done(server, ServerOutcome { latency, ..outcome }, now);
                }
                _ => {
                    let tried: Vec<usize> =
                        (0..random.below(4)).map(|_| random.below(count)).collect();
                    servers.advance(now);
                    let reference = Reference::new(&servers, panic_ratio, &tried, now);
                    let admitted = reference.admitted();
                    let hash = [None, Some(random.bits())][random.below(2)];
                    let picked = servers.pick(hash, &tried, now);
                    let is_right =
                        picked.map_or(admitted.is_empty(), |one| admitted.contains(&one));
                    assert!(is_right, "{policy:?}: {picked:?} of {admitted:?}");
                    if let (Policy::LeastRequests, Some(picked), None) =
                        (policy, picked, slow_start)
                    {
                        let loads = admitted.iter().map(|one| reference.load(*one));
                        let least = loads.reduce(f64::min).unwrap();
                        assert!(reference.load(picked) <= least * 1.000_001, "{picked}");
                    }
                    under_way.extend(picked);
                    let mut usable = reference.views.iter().enumerate();
                    let other = usable.any(|(number, view)| {
                        Reference::is_usable(view) && !tried.contains(&number)
                    });
                    assert_eq!(servers.has_other(&tried), other);
                    let out = |number: &usize| servers.view(*number, now).unwrap().ejected;
                    let few = (0..count).filter(out).count() * 2 <= count;
                    assert!(few, "the share that may be out");
                }
            }
            let active = (0..count).map(|server| servers.view(server, now).unwrap().active);
            assert_eq!(active.sum::<u32>() as usize, under_way.len());
        }
    }
}

#[test]
fn a_drained_server_takes_nothing_new_until_it_is_lifted() {
    let now = Instant::now();
    for policy in POLICIES {
        let options = ServersOptions { policy, panic_ratio: 1.0, eject: Some(EJECT), ..OPTIONS };
        let mut servers = with(options, &[(1, 0), (1, 0), (1, 1)]);
        assert!(servers.drain(0, now) && servers.drain(0, now) && !servers.drain(3, now));
        assert_eq!(
            (servers.usable(), servers.view(0, now).unwrap().standing.name()),
            (2, "drained")
        );
        let picked = |servers: &mut Servers| {
            let all = (0..60).filter_map(|n| servers.pick(Some(mix(n)), &[], now));
            let mut all: Vec<usize> = all.collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        assert_eq!(picked(&mut servers), [1], "{policy:?}");
        servers.set_health(1, false, now);
        assert_eq!(picked(&mut servers), [2], "not even in a panic");
        assert!(servers.drain(1, now) && servers.drain(2, now));
        assert_eq!((picked(&mut servers), servers.has_other(&[])), (vec![], false));
        assert!(servers.lift(0, now));
        assert_eq!(picked(&mut servers), [0]);
        assert!(servers.lift(1, now) && servers.lift(2, now));
        servers.set_health(1, true, now);
        assert_eq!(picked(&mut servers), [0, 1]);
    }
}

#[test]
fn an_ejection_can_be_lifted_by_hand() {
    let now = Instant::now();
    let mut servers = with(ServersOptions { eject: Some(EJECT), ..OPTIONS }, &[(1, 0), (1, 0)]);
    (0..2).for_each(|_| servers.done(0, BROKEN, now));
    let standing = servers.view(0, now).unwrap().standing;
    assert_eq!(standing, Standing::Ejected(Reason::ConsecutiveFailures, now + seconds(30)));
    assert!(servers.lift(0, now));
    assert_eq!((servers.view(0, now).unwrap().standing, servers.usable()), (Standing::Up, 2));
    assert!(matches!(servers.next_event(), Some(Event::Ejected { .. })));
    assert_eq!(servers.next_event(), Some(Event::Returned { server: 0 }));
}

#[test]
fn a_weight_changes_at_run_time() {
    for policy in [Policy::RoundRobin, Policy::LeastRequests, Policy::Hash, Policy::SourceHash] {
        let mut servers = of_policy(policy, &[(1, 0); 4]);
        let mut now = Instant::now();
        let counts = picks(&mut servers, 4_000, 40, &mut now);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{policy:?} {counts:?}");
        assert!(servers.set_weight(2, 5) && !servers.set_weight(4, 1));
        let counts = picks(&mut servers, 8_000, 40, &mut now);
        assert!((4_600..5_400).contains(&counts[2]), "{policy:?} {counts:?}");
        assert!(servers.set_weight(2, 0), "as 1");
        assert_eq!(servers.view(2, now).unwrap().weight, 1);
    }
}

#[test]
fn a_source_hash_goes_by_the_places_of_the_list() {
    let now = Instant::now();
    let mut servers = of_policy(Policy::SourceHash, &[(1, 0); 5]);
    for hash in 0..50 {
        let place = usize::try_from(hash % 5).unwrap();
        assert_eq!(servers.pick(Some(hash), &[], now), Some(place));
        assert_eq!(servers.pick(Some(hash), &[place], now), Some((place + 1) % 5), "the next one");
    }
    servers.set_health(3, false, now);
    assert_eq!(servers.pick(Some(3), &[], now), Some(4));
    assert_eq!(servers.pick(Some(4), &[4], now), Some(0));
    assert_eq!(servers.pick(Some(2), &[2, 4], now), Some(0));
}

/// Even when nearly all servers are down, hashes are spread over the rest and stay where they are.
#[test]
fn hashes_find_the_last_servers_of_many() {
    let now = Instant::now();
    let mut servers = of_policy(Policy::Hash, &[(1, 0); 500]);
    (5..500).for_each(|server| servers.set_health(server, false, now));
    let keys: Vec<u64> = (0..2_000).map(mix).collect();
    let all = |servers: &mut Servers| -> Vec<usize> {
        keys.iter().map(|key| servers.pick(Some(*key), &[], now).unwrap()).collect()
    };
    let before = all(&mut servers);
    assert!((0..5).all(|server| before.contains(&server)));
    servers.set_health(2, false, now);
    let after = all(&mut servers);
    assert!(before.iter().zip(&after).all(|(before, after)| *before == 2 || before == after));
}

#[test]
fn those_that_cannot_be_connected_to_are_tried_in_no_fixed_order() {
    let now = Instant::now();
    let options = ServersOptions { eject: Some(EjectOptions::CONNECTS), ..OPTIONS };
    let mut servers = with(options, &[(1, 0); 6]);
    for server in 1..6 {
        (0..3).for_each(|_| servers.done(server, BROKEN, now));
    }
    assert_eq!(servers.usable(), 1);
    let first: Vec<usize> = (0..60).filter_map(|_| servers.pick_unreachable(&[3])).collect();
    assert!([1, 2, 4, 5].iter().all(|server| first.contains(server)), "{first:?}");
    assert!(!first.contains(&3) && !first.contains(&0));
    assert!(servers.has_unreachable(&[1, 2, 3, 4]) && !servers.has_unreachable(&[1, 2, 3, 4, 5]));
    assert!(servers.drain(5, now));
    assert!(!servers.has_unreachable(&[1, 2, 3, 4]), "not one that is drained");
}

/// A reload: the servers of the new list are what they were, each under its new number.
#[test]
fn servers_that_stay_are_what_they_were() {
    let eject = EjectOptions { share_max: 0.9, ..EJECT };
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let policy = POLICIES[random.below(5)];
        let slow_start = [None, Some(seconds(20))][random.below(2)];
        let options = ServersOptions { policy, slow_start, eject: Some(eject), ..OPTIONS };
        let count = 1 + random.below(30);
        let listed = vec![(7, 0); count];
        let (mut old, mut now) = (with(options, &listed), Instant::now());
        for _ in 0..300 {
            now += Duration::from_millis(random.below(300) as u64);
            let server = random.below(count);
            match random.below(12) {
                0 => old.set_health(server, random.below(3) > 0, now),
                1 => assert!(old.set_weight(server, [6, 7, 8][random.below(3)])),
                2 => assert!(old.drain(server, now)),
                3 | 4 => assert!(old.lift(server, now)),
                _ => {
                    let latency = Some(Duration::from_millis(random.below(500) as u64));
                    let outcome = if random.below(3) == 0 { BROKEN } else { OK };
                    old.hold(server);
                    old.done(server, ServerOutcome { latency, ..outcome }, now);
                }
            }
            let mut remarkable: Vec<usize> = old.remarkable().collect();
            remarkable.sort_unstable();
            let look = |number: &usize| {
                let view = old.view(*number, now).unwrap();
                view.standing != Standing::Up || view.ejected || view.weight != 7
            };
            assert_eq!(remarkable, (0..count).filter(look).collect::<Vec<_>>());
            if policy != Policy::Ewma {
                let worth: Vec<usize> = (0..count).filter(|n| old.remember(*n).is_some()).collect();
                assert_eq!(worth, remarkable, "nothing else is worth it");
            }
        }
        old.hold(0);
        now += Duration::from_millis(random.below(3_000) as u64);
        old.advance(now);
        // The list is turned round, and two servers more are in front of it.
        let mut new = with(options, &vec![(9, 0); count + 2]);
        let place = |server| count + 1 - server;
        new.adopt(&old, (0..count).map(|server| (server, place(server))), now);
        for server in 0..count {
            let [was, is] = [(&old, server), (&new, place(server))]
                .map(|(servers, number)| servers.view(number, now).unwrap());
            let of = |view: &ServerView| (view.healthy, view.ejected, view.ramp.to_bits());
            assert_eq!(of(&is), of(&was), "{policy:?}");
            if was.ramp < 1.0 || was.standing != Standing::SlowStart {
                assert_eq!(is.standing, was.standing);
            }
            assert_eq!(is.weight, if was.weight == 7 { 9 } else { was.weight });
            assert_eq!((is.active, is.counters), (0, ServerCounters::default()));
            if policy == Policy::Ewma {
                assert_eq!(is.latency, was.latency);
            }
            if was.standing != Standing::Up {
                assert_eq!(is.since, was.since);
            }
        }
        assert_eq!(new.usable(), old.usable() + 2);
        assert!(!new.has_events(), "nothing has happened");
        let reference = Reference::new(&new, 0.0, &[], now);
        let admitted = reference.admitted();
        for n in 0..50 {
            let picked = new.pick(Some(mix(n)), &[], now);
            assert!(picked.map_or(admitted.is_empty(), |one| admitted.contains(&one)));
        }
        // And they come back when they would have.
        let later = now + seconds(1_000);
        old.advance(later);
        new.advance(later);
        assert_eq!(new.usable(), old.usable() + 2);
    }
}

#[test]
fn a_server_that_stays_is_ejected_as_often_in_a_row_as_it_was() {
    let options = ServersOptions { eject: Some(EJECT), ..OPTIONS };
    let mut now = Instant::now();
    let mut servers = with(options, &[(1, 0), (1, 0)]);
    for times in 1..=4 {
        (0..2).for_each(|_| servers.done(0, BROKEN, now));
        let mut new = with(options, &[(1, 0), (1, 0)]);
        new.adopt(&servers, [(0, 0), (1, 1)], now);
        servers = new;
        let until = now + seconds(30 * times);
        let standing = Standing::Ejected(Reason::ConsecutiveFailures, until);
        assert_eq!(servers.view(0, now).unwrap().standing, standing);
        assert_eq!(servers.next_deadline(), Some(until));
        now = until;
        servers.advance(now);
        assert_eq!(servers.view(0, now).unwrap().standing, Standing::Up);
    }
}

#[test]
fn what_a_new_list_has_no_use_for_is_not_taken_over() {
    let now = Instant::now();
    let ejects = ServersOptions { eject: Some(EJECT), ..OPTIONS };
    let mut old = with(ejects, &[(1, 0); 4]);
    (0..2).for_each(|_| old.done(0, BROKEN, now));
    (0..2).for_each(|_| old.done(1, BROKEN, now));
    old.set_health(2, false, now);
    assert_eq!(old.usable(), 1);
    let ejected = old.remember(0).unwrap();
    // The last one stays in, an ejection is over some time, and not all lists eject.
    let cases = [(ejects, 1, now, false), (ejects, 2, now, true), (OPTIONS, 2, now, false)];
    let later = (ejects, 2, now + seconds(30), false);
    for (options, count, now, expected) in cases.into_iter().chain([later]) {
        let mut new = with(options, &vec![(1, 0); count]);
        new.recall(0, ejected, now);
        assert_eq!(new.view(0, now).unwrap().ejected, expected, "{count}");
    }
    // Two may be out of four, and one of three.
    let mut new = with(ejects, &[(1, 0); 3]);
    new.adopt(&old, [(0, 0), (1, 1), (3, 2), (9, 1), (0, 9)], now);
    assert_eq!(new.usable(), 2);
    // Nobody would find out that a server is up again that is not checked any more.
    let down = old.remember(2).unwrap();
    for (memory, healthy) in [(down, false), (down.unchecked(), true)] {
        let mut new = with(ejects, &[(1, 0); 4]);
        new.recall(2, memory, now);
        assert_eq!(new.view(2, now).unwrap().healthy, healthy);
        assert_eq!(new.remember(2).is_some(), !healthy);
    }
}
