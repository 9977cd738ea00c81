//! What a proxy is for: retries, hedging, upgrades, compression.

use std::time::Duration;

use nix::errno::Errno;
use ringway::ring::sim::{Behaviour, Faults, Random};
use ringway::service::cluster::attempts::RetryOn;
use ringway::service::cluster::eject::EjectOptions;

use super::{LONG, SHORT, body_ask, clients, pick, plain_ask, reloads, with_faults};
use crate::http_runs::client::Habits;
use crate::http_runs::orders::{Ask, FRAMINGS, Fault, Orders};
use crate::http_runs::setup::Setup;

pub(super) const FAULTS: [Fault; 11] = [
    Fault::Silent,
    Fault::Deaf,
    Fault::Reset,
    Fault::End,
    Fault::ResetInHead,
    Fault::ResetInBody,
    Fault::EndInBody,
    Fault::StallInBody,
    Fault::Malformed,
    Fault::Status(503),
    Fault::Status(500),
];

/// The server of a request fails so.
pub(super) fn give_fault(random: &mut Random, ask: &mut Ask, fault: Fault) {
    ask.orders.fault = Some((pick(random, &[1, 1, 2, 10]), fault));
    ask.orders.len = ask.orders.len.max(100);
    if matches!(ask.orders.status, 204 | 304) {
        ask.orders.status = 200;
    }
    if fault == Fault::Deaf && ask.body.is_some() {
        // More than most windows.
        ask.body = Some((5_000, true));
    }
}

fn faulty_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask =
        if random.chance(500) { plain_ask(random, marker) } else { body_ask(random, marker) };
    if ask.path == "/files" {
        ask.path = "/up";
    }
    if random.chance(600) {
        let fault = match random.below(60) {
            0 => Fault::LargeHead,
            1 => Fault::Flood,
            _ => pick(random, &FAULTS),
        };
        give_fault(random, &mut ask, fault);
    }
    ask
}

/// Servers that fail in all ways, tried again in all ways.
fn retrying(seed: u64) -> (Setup, Random) {
    let mut random = Random::new(seed ^ 0x7274);
    let mut setup = Setup::new(seed, &mut random, 4, SHORT);
    if random.chance(500) {
        setup.faults = Faults::ALL;
    }
    let capacity = setup.capacity;
    let good = Behaviour::Accept { capacity };
    let bad = [
        Behaviour::Refuse,
        Behaviour::Unreachable,
        Behaviour::Silent,
        Behaviour::Fails(Errno::EADDRNOTAVAIL),
        Behaviour::Fails(Errno::ECONNABORTED),
    ];
    let all_bad = random.chance(50);
    for (server, behaviour) in setup.servers.iter_mut().enumerate() {
        let is_bad = random.chance(400) || all_bad;
        *behaviour = if is_bad && (server > 0 || all_bad) { pick(&mut random, &bad) } else { good };
    }
    let has_priorities = random.chance(300);
    let origins = setup.origins();
    for (at, server) in origins.servers.iter_mut().enumerate() {
        server.priority = if has_priorities { u8::try_from(3 - at).expect("small") } else { 0 };
    }
    origins.policy.panic_ratio = pick(&mut random, &[0.0, 0.0, 0.5]);
    origins.policy.slow_start = random.chance(200).then_some(SHORT);
    if random.chance(300) {
        origins.policy.eject = Some(EjectOptions {
            consecutive_failures: 2,
            share_max: pick(&mut random, &[0.5, 1.0]),
            time: SHORT,
            ..EjectOptions::CONNECTS
        });
    }
    let attempts = &mut origins.attempts;
    attempts.retries_max = pick(&mut random, &[0, 1, 3, 3]);
    let mut on = || random.chance(800);
    attempts.on = RetryOn { connect: on(), reset: on(), timeout: on() };
    attempts.budget = pick(&mut random, &[1.0, 1.0, 0.0, 0.1]);
    attempts.deadline = random.chance(150).then_some(Duration::from_millis(30));
    origins.breaker.retries = pick(&mut random, &[None, None, Some(1), Some(0)]);
    origins.try_timeout = random.chance(200).then_some(SHORT / 2);
    // Longer than a connect may take, and shorter.
    origins.pool.queue_timeout = pick(&mut random, &[SHORT * 2, SHORT / 4]);
    let habits = Habits { ahead: 2, ..Habits::default() };
    setup.clients = clients(&mut random, (3, 3), &habits, faulty_ask);
    reloads::reload_sometimes(&mut setup);
    (setup, random)
}

pub(super) fn retries(seed: u64) -> Setup {
    retrying(seed).0
}

/// Servers die and come back, and active checks take them out.
pub(super) fn dying(seed: u64) -> Setup {
    let (mut setup, mut random) = retrying(seed);
    let capacity = setup.capacity;
    for _ in 0..1 + random.below(4) {
        let (turn, server) = (random.below(150), random.below(4));
        let behaviour =
            if random.chance(500) { Behaviour::Refuse } else { Behaviour::Accept { capacity } };
        setup.changes.push((turn, server, behaviour));
        if random.chance(500) {
            setup.health.push((random.below(150), random.below(4), random.chance(300)));
        }
    }
    if random.chance(100) {
        setup.health.extend((0..4).map(|server| (1, server, false)));
    }
    setup.moods.reset = pick(&mut random, &[0, 5, 20]);
    setup.moods.end = pick(&mut random, &[0, 5, 20]);
    setup
}

fn hedged_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = faulty_ask(random, marker);
    if random.chance(800) {
        ask.method = pick(random, &["GET", "GET", "HEAD"]);
        (ask.body, ask.expects) = (None, false);
    }
    ask.orders.hold = pick(random, &[0, 5, 15, 30]);
    ask
}

pub(super) fn hedging(seed: u64) -> Setup {
    let (mut setup, mut random) = retrying(seed);
    let after = Duration::from_millis(pick(&mut random, &[1, 3, 10]));
    setup.origins().hedge_after = Some(after);
    let habits = Habits { resets: pick(&mut random, &[0, 0, 5]), ..Habits::default() };
    setup.clients = clients(&mut random, (3, 3), &habits, hedged_ask);
    setup.moods.reset = pick(&mut random, &[0, 0, 5]);
    setup
}

pub(super) fn upgrade_ask(random: &mut Random, marker: String) -> Ask {
    if random.chance(400) {
        return plain_ask(random, marker);
    }
    let len = pick(random, &[0, 10, 3_000, 9_000]);
    let interims = pick(random, &[0, 0, 1]);
    let hold = pick(random, &[0, 3]);
    let orders = Orders { status: 101, len, interims, hold, ..Orders::default() };
    let mut ask = Ask::get(marker, pick(random, &["/up", "/timed"]), orders);
    let all = pick(random, &[0, 10, 3_000, 9_000]);
    ask.upgrade = Some((random.below(all + 1), all));
    ask
}

pub(super) fn upgrades(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x7570);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.origins().connections_max = 8;
    setup.http.routes[super::TIMED].total_timeout = Some(LONG * 10);
    setup.clients = clients(&mut random, (3, 3), &Habits::default(), upgrade_ask);
    setup
}

/// Servers that do not upgrade, fail before they do, or within the other protocol.
fn bad_upgrade_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = upgrade_ask(random, marker);
    if ask.path != "/files" && random.chance(300) {
        ask.orders.fault = Some((pick(random, &[1, 10]), pick(random, &FAULTS)));
    }
    if ask.upgrade.is_some() && random.chance(200) {
        ask.orders.status = pick(random, &[200, 426]);
        ask.orders.framing = pick(random, &FRAMINGS);
    }
    ask
}

pub(super) fn upgrades_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = with_faults(seed, bad_upgrade_ask);
    for (asks, habits) in &mut setup.clients {
        // A client that ends early would have to have said all.
        habits.ends_early &= asks.iter().all(|ask| ask.upgrade.is_none());
    }
    if random.chance(200) {
        setup.drains_at = Some(1 + random.below(150));
    }
    setup
}

fn compressed_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = body_ask(random, marker);
    ask.path = pick(random, &["/zip", "/zip", "/zip", "/up"]);
    ask.orders.len = pick(random, &[0, 1, 300, 5_000, 20_000]);
    if matches!(ask.orders.status, 204 | 304) {
        ask.orders.status = 200;
    }
    let coding = pick(random, &["gzip", "br", "zstd", "br;q=0.5, gzip", "identity", "*"]);
    ask.fields = format!("Accept-Encoding: {coding}\r\n");
    ask
}

pub(super) fn compression(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x7a69);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.origins().connections_max = 8;
    setup.http.routes[super::TIMED].total_timeout = Some(LONG * 10);
    // All windows, small ones, or none at all.
    setup.compression_memory = pick(&mut random, &[64 << 20, 4 << 20, 1 << 20, 0]);
    setup.clients = clients(&mut random, (2, 3), &Habits::default(), compressed_ask);
    setup
}

pub(super) fn compression_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = with_faults(seed, compressed_ask);
    setup.compression_memory = pick(&mut random, &[64 << 20, 4 << 20, 1 << 20]);
    for (asks, _) in &mut setup.clients {
        for ask in asks {
            if !random.chance(300) {
                continue;
            }
            let faults = [Fault::ResetInBody, Fault::EndInBody, Fault::StallInBody];
            ask.orders.fault = Some((1, pick(&mut random, &faults)));
            ask.orders.len = ask.orders.len.max(100);
        }
    }
    setup
}
