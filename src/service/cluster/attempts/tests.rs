#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use super::*;
use crate::service::cluster::breaker::{Limits, Refused};
use crate::service::cluster::servers::{Policy, ServerOptions, ServersOptions};
use crate::service::grpc::CodeSet;

const GET: TryProgress =
    TryProgress { idempotent: true, body_repeatable: true, sent: true, answered: false };
const POST: TryProgress = TryProgress { idempotent: false, ..GET };

const ALL: RetryOn = RetryOn { connect: true, reset: true, timeout: true };

fn options() -> AttemptOptions {
    let mut statuses = StatusSet::default();
    assert!(statuses.insert(503) && statuses.insert(500));
    AttemptOptions {
        retries_max: 3,
        on: ALL,
        statuses,
        codes: CodeSet::default(),
        backoff: Duration::from_millis(20),
        backoff_max: Duration::from_millis(50),
        deadline: Some(Duration::from_secs(1)),
        budget: 1.0,
    }
}

fn servers(count: usize) -> Servers {
    let options = ServersOptions {
        policy: Policy::RoundRobin,
        slow_start: None,
        panic_ratio: 0.0,
        eject: None,
    };
    let server = |id| ServerOptions { weight: 1, priority: 0, id };
    Servers::new(options, &(0..count as u64).map(server).collect::<Vec<_>>(), 1, 0)
}

/// What is decided of the first failure.
fn first(on: RetryOn, failure: Failure, progress: TryProgress) -> Decision {
    let now = Instant::now();
    let mut retries = Retries::new(AttemptOptions { on, ..options() }, 1, now);
    let mut breaker = Breaker::default();
    retries.begin(now).on_failure(&mut retries, &mut breaker, (failure, false), progress, now)
}

#[test]
fn a_failure_is_tried_again_when_that_is_asked_for_and_does_no_harm() {
    const NONE: RetryOn = RetryOn { connect: false, reset: false, timeout: false };
    let connect = RetryOn { connect: true, ..NONE };
    let reset = RetryOn { reset: true, ..NONE };
    let timeout = RetryOn { timeout: true, ..NONE };
    let unsent = TryProgress { sent: false, ..POST };
    let answered = TryProgress { answered: true, ..GET };
    let bodyless = TryProgress { body_repeatable: false, ..GET };
    let cases = [
        (connect, Failure::ConnectRefused, POST, None),
        (connect, Failure::ConnectTimeout, bodyless, None),
        (connect, Failure::ResetBeforeHead, GET, Some(Stop::NotWanted)),
        (connect, Failure::StaleConnection, GET, None),
        (NONE, Failure::StaleConnection, GET, None),
        (NONE, Failure::StaleConnection, POST, Some(Stop::Unsafe)),
        (NONE, Failure::StaleConnection, unsent, None),
        (NONE, Failure::StaleConnection, bodyless, Some(Stop::Body)),
        (NONE, Failure::ConnectRefused, GET, Some(Stop::NotWanted)),
        (reset, Failure::ResetBeforeHead, GET, None),
        (reset, Failure::ResetBeforeHead, POST, Some(Stop::Unsafe)),
        (reset, Failure::ResetBeforeHead, unsent, None),
        (reset, Failure::ResetBeforeHead, answered, Some(Stop::Unsafe)),
        (reset, Failure::ResetBeforeHead, bodyless, Some(Stop::Body)),
        (reset, Failure::TryTimeout, GET, Some(Stop::NotWanted)),
        (timeout, Failure::TryTimeout, GET, None),
        (timeout, Failure::FirstByteTimeout, GET, None),
        (timeout, Failure::TryTimeout, POST, Some(Stop::Unsafe)),
        (ALL, Failure::ResetInBody, GET, Some(Stop::NotWanted)),
        (ALL, Failure::BadResponse, GET, Some(Stop::NotWanted)),
        (ALL, Failure::TotalTimeout, GET, Some(Stop::NotWanted)),
        (ALL, Failure::NoServer, GET, Some(Stop::NotWanted)),
        (ALL, Failure::ClientGone, GET, Some(Stop::NotWanted)),
    ];
    for (on, failure, progress, stop) in cases {
        let decision = first(on, failure, progress);
        let found = match decision {
            Decision::Retry { .. } => None,
            Decision::Fail(stop) => Some(stop),
        };
        assert_eq!(found, stop, "{on:?} {failure:?} {progress:?}");
    }
}

#[test]
fn a_status_is_tried_again_when_it_is_listed_and_the_exchange_can_be_repeated() {
    let answered = TryProgress { answered: true, ..GET };
    let bodyless = TryProgress { body_repeatable: false, ..answered };
    let cases = [
        (503, answered, None),
        (500, answered, None),
        (502, answered, Some(Stop::NotWanted)),
        (404, answered, Some(Stop::NotWanted)),
        (503, POST, Some(Stop::Unsafe)),
        (503, bodyless, Some(Stop::Body)),
    ];
    let now = Instant::now();
    for (status, progress, stop) in cases {
        let mut retries = Retries::new(options(), 1, now);
        let mut breaker = Breaker::default();
        let mut attempts = retries.begin(now);
        let decision = attempts.on_status(&mut retries, &mut breaker, status, progress, now);
        assert_eq!(matches!(decision, Decision::Retry { .. }), stop.is_none(), "{status}");
        assert_eq!(decision == Decision::Fail(stop.unwrap_or(Stop::Limit)), stop.is_some());
        let counters = retries.counters();
        assert_eq!(counters.retried, u64::from(stop.is_none()));
        let stopped = stop.map_or(0, |stop| counters.stopped[stop.index()]);
        assert_eq!(stopped, u64::from(stop.is_some()));
    }
}

#[test]
fn the_rest_grows_to_its_maximum_and_the_first_is_none_if_nothing_was_sent() {
    let now = Instant::now();
    let (mut longest, mut sum) = ([Duration::ZERO; 3], Duration::ZERO);
    for seed in 0..300 {
        let mut retries = Retries::new(options(), seed, now);
        let mut breaker = Breaker::default();
        let mut attempts = retries.begin(now);
        for most in &mut longest {
            let failure = Failure::ResetBeforeHead;
            let decision =
                attempts.on_failure(&mut retries, &mut breaker, (failure, false), GET, now);
            let Decision::Retry { after } = decision else { panic!("{decision:?}") };
            *most = after.max(*most);
            sum += after;
        }
        let last = attempts.on_status(&mut retries, &mut breaker, 503, GET, now);
        assert_eq!(last, Decision::Fail(Stop::Tries));
    }
    for (longest, most) in longest.into_iter().zip([20, 40, 50]) {
        let most = Duration::from_millis(most);
        assert!(longest <= most && longest > most * 9 / 10, "{longest:?} of {most:?}");
    }
    let mean = sum / 300;
    let expected = Duration::from_millis(50)..Duration::from_millis(60);
    assert!(expected.contains(&mean), "any part of the rest: {mean:?}");
    for failure in [Failure::ConnectRefused, Failure::StaleConnection] {
        assert_eq!(first(ALL, failure, GET), Decision::Retry { after: Duration::ZERO });
    }
}

#[test]
fn the_deadline_ends_all_tries() {
    let begin = Instant::now();
    let late = begin + Duration::from_secs(1);
    for (deadline, expected) in [(Some(1), Some(Stop::Deadline)), (None, None), (Some(9), None)] {
        let deadline = deadline.map(Duration::from_secs);
        let mut retries = Retries::new(AttemptOptions { deadline, ..options() }, 1, begin);
        let mut breaker = Breaker::default();
        let mut attempts = retries.begin(begin);
        assert_eq!(attempts.deadline(), deadline.map(|deadline| begin + deadline));
        let failure = Failure::ConnectRefused;
        let decision = attempts.on_failure(&mut retries, &mut breaker, (failure, false), GET, late);
        let stop = expected.map_or(Decision::Retry { after: Duration::ZERO }, Decision::Fail);
        assert_eq!(decision, stop);
        assert_eq!(attempts.failed(), u32::from(expected.is_none()));
    }
}

#[test]
fn retries_in_flight_are_limited_and_given_back() {
    let now = Instant::now();
    let mut retries = Retries::new(options(), 1, now);
    let mut breaker = Breaker::new(Limits { retries: Some(1), ..Limits::default() });
    let (mut one, mut other) = (retries.begin(now), retries.begin(now));
    let failure = Failure::ConnectRefused;
    let mut fail = |attempts: &mut Attempts, breaker: &mut Breaker| {
        attempts.on_failure(&mut retries, breaker, (failure, false), GET, now)
    };
    assert!(matches!(fail(&mut one, &mut breaker), Decision::Retry { .. }));
    assert_eq!(fail(&mut other, &mut breaker), Decision::Fail(Stop::Limit));
    assert!(matches!(fail(&mut one, &mut breaker), Decision::Retry { .. }), "its own place");
    assert_eq!(breaker.taken()[Refused::Retries.index()], 1);
    one.finish(&mut breaker);
    one.finish(&mut breaker);
    other.finish(&mut breaker);
    assert_eq!(breaker.taken(), [0; 3]);
    assert!(matches!(fail(&mut other, &mut breaker), Decision::Retry { .. }));
    other.finish(&mut breaker);
    assert_eq!((breaker.taken(), breaker.refused()), ([0; 3], [0, 0, 1]));
}

#[test]
fn the_budget_is_shared_and_a_retry_that_it_refuses_gives_its_place_back() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    for (budget, exchanges, expected) in [(0.0, 100, 0), (0.1, 100, 13), (1.0, 50, 50)] {
        let mut retries = Retries::new(AttemptOptions { budget, ..options() }, 1, now);
        let mut retried = 0;
        let failure = Failure::ConnectRefused;
        for _ in 0..exchanges {
            let mut attempts = retries.begin(now);
            let decision =
                attempts.on_failure(&mut retries, &mut breaker, (failure, false), GET, now);
            retried += u32::from(matches!(decision, Decision::Retry { .. }));
            attempts.finish(&mut breaker);
        }
        assert_eq!((retried, breaker.taken()), (expected, [0; 3]), "{budget}");
        let stopped = retries.counters().stopped[Stop::Budget.index()];
        assert_eq!(stopped, u64::from(exchanges - expected));
    }
}

#[test]
fn there_are_never_more_tries_than_servers_can_be_remembered() {
    let now = Instant::now();
    let endless = AttemptOptions { retries_max: u32::MAX, deadline: None, ..options() };
    let mut retries = Retries::new(endless, 1, now);
    assert_eq!((0..100).map(|_| retries.begin(now)).count(), 100);
    let (mut breaker, mut servers) = (Breaker::default(), servers(40));
    let mut attempts = retries.begin(now);
    let mut tries = 0;
    loop {
        assert!(attempts.pick(&mut servers, None, now).is_some());
        tries += 1;
        let failure = Failure::ConnectRefused;
        match attempts.on_failure(&mut retries, &mut breaker, (failure, false), GET, now) {
            Decision::Retry { .. } => {}
            Decision::Fail(stop) => {
                assert_eq!((stop, tries), (Stop::Tries, TRIES_MAX));
                break;
            }
        }
    }
    let mut tried = attempts.tried().to_vec();
    tried.dedup();
    assert_eq!(tried.len(), TRIES_MAX, "each on another server");
}

#[test]
fn a_free_failover_ends_when_it_is_no_longer_known_which_servers_were_tried() {
    let now = Instant::now();
    let once = AttemptOptions { retries_max: 1, deadline: None, ..options() };
    let mut retries = Retries::new(once, 1, now);
    let (mut breaker, mut servers) = (Breaker::default(), servers(40));
    let mut attempts = retries.begin(now);
    for tries in 1.. {
        assert!(attempts.pick(&mut servers, None, now).is_some());
        let failed = (Failure::ConnectRefused, servers.has_other(attempts.tried()));
        match attempts.on_failure(&mut retries, &mut breaker, failed, GET, now) {
            Decision::Retry { .. } => assert!(tries < 2 * TRIES_MAX),
            // One of them by the policy.
            Decision::Fail(_) => return assert_eq!(tries, TRIES_MAX + 1),
        }
    }
}

#[test]
fn servers_are_tried_once_each_before_any_is_tried_again() {
    let now = Instant::now();
    let mut retries = Retries::new(options(), 1, now);
    for count in 1..5_usize {
        let mut servers = servers(count);
        let mut attempts = retries.begin(now);
        let picked: Vec<usize> =
            (0..12).map(|_| attempts.pick(&mut servers, None, now).unwrap()).collect();
        let mut first = picked[..count].to_vec();
        first.sort_unstable();
        assert_eq!(first, (0..count).collect::<Vec<_>>());
        let repeats = picked.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(repeats, if count == 1 { 11 } else { 0 }, "{picked:?}");
    }
    assert_eq!(retries.begin(now).pick(&mut servers(0), None, now), None);
}

#[test]
fn a_set_has_the_statuses_that_were_put_in() {
    let mut set = StatusSet::default();
    for status in [500, 503, 599] {
        assert!(!set.contains(status) && set.insert(status) && set.contains(status));
    }
    for status in [0, 200, 499, 600, u16::MAX] {
        assert!(!set.insert(status) && !set.contains(status));
    }
    assert_eq!((500..600).filter(|status| set.contains(*status)).count(), 3);
}

#[test]
fn every_stop_knows_its_place_and_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Vec::new();
    for (index, stop) in Stop::ALL.into_iter().enumerate() {
        assert_eq!(stop.index(), index);
        assert!(!names.contains(&stop.name()));
        names.push(stop.name());
    }
    let reasons = [GiveUp::Unsafe, GiveUp::Tries, GiveUp::Deadline, GiveUp::Budget];
    let expected = [Stop::Unsafe, Stop::Tries, Stop::Deadline, Stop::Budget];
    assert_eq!(reasons.map(Stop::from), expected);
}

#[test]
fn a_kept_connection_that_was_gone_costs_no_try_once() {
    let now = Instant::now();
    let mut retries = Retries::new(AttemptOptions { retries_max: 0, ..options() }, 1, now);
    let mut breaker = Breaker::default();
    let mut attempts = retries.begin(now);
    let stale = Failure::StaleConnection;
    let again = Decision::Retry { after: Duration::ZERO };
    assert_eq!(attempts.on_failure(&mut retries, &mut breaker, (stale, false), GET, now), again);
    assert_eq!(attempts.failed(), 0);
    let second = attempts.on_failure(&mut retries, &mut breaker, (stale, false), GET, now);
    assert_eq!(second, Decision::Fail(Stop::Tries));
}

#[test]
fn a_second_try_goes_elsewhere_and_is_a_retry_for_budget_and_limit() {
    let now = Instant::now();
    let cases = [(2, 1.0, Some(1), true), (1, 1.0, Some(1), false), (2, 0.0, None, false)];
    let none = (2, 1.0, Some(0), false);
    for (count, budget, most, expected) in cases.into_iter().chain([none]) {
        let mut retries = Retries::new(AttemptOptions { budget, ..options() }, 1, now);
        let mut breaker = Breaker::new(Limits { retries: most, ..Limits::default() });
        let mut servers = servers(count);
        let mut attempts = retries.begin(now);
        let first = attempts.pick(&mut servers, None, now).expect("a server");
        let shared = (&mut retries, &mut breaker, &mut servers);
        let second = attempts.pick_hedge(shared, None, now);
        assert_eq!(second.is_some(), expected, "{count} servers, {budget}, {most:?}");
        assert_ne!(second, Some(first));
        assert_eq!(breaker.taken()[Refused::Retries.index()], u32::from(expected));
        attempts.finish(&mut breaker);
        assert_eq!(breaker.taken(), [0; 3], "given back");
    }
}

#[test]
fn a_connect_that_failed_goes_on_to_every_other_server_whatever_the_budget_says() {
    let now = Instant::now();
    let on = RetryOn { connect: true, reset: false, timeout: false };
    let options = AttemptOptions { on, budget: 0.0, retries_max: 1, deadline: None, ..options() };
    let late = now + FAILOVER_MAX;
    let early = late - Duration::from_millis(1);
    let none = AttemptOptions { retries_max: 0, ..options };
    let other = AttemptOptions { on: RetryOn { connect: false, ..on }, ..options };
    let cases = [
        (options, Failure::ConnectRefused, true, early, None),
        (options, Failure::ConnectTimeout, true, early, None),
        (options, Failure::ConnectRefused, false, early, Some(Stop::Limit)),
        (options, Failure::ConnectRefused, true, late, Some(Stop::Limit)),
        (options, Failure::Resources, true, early, Some(Stop::NotWanted)),
        (none, Failure::ConnectRefused, true, early, Some(Stop::Tries)),
        (other, Failure::ConnectRefused, true, early, Some(Stop::NotWanted)),
    ];
    for (options, failure, has_other, at, expected) in cases {
        let mut retries = Retries::new(options, 1, now);
        let limits = Limits { in_flight: None, waiting: None, retries: Some(0) };
        let mut breaker = Breaker::new(limits);
        let mut attempts = retries.begin(now);
        // A request that may have done harm elsewhere does none here.
        let progress = TryProgress { idempotent: false, sent: true, ..GET };
        for _ in 0..20 {
            let decision =
                attempts.on_failure(&mut retries, &mut breaker, (failure, has_other), progress, at);
            match expected {
                None => assert_eq!(decision, Decision::Retry { after: Duration::ZERO }),
                Some(stop) => assert_eq!(decision, Decision::Fail(stop), "{failure:?}"),
            }
        }
        assert_eq!(attempts.failed(), 0, "none of them counts as a retry");
    }
}
