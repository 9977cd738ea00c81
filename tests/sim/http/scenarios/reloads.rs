//! Plans that are replaced while clients, proxy and servers are at work.

use ringway::ring::sim::{Faults, Random};

use super::{LONG, SHORT, body_ask, clients, pick, plain_ask};
use crate::http_runs::client::Habits;
use crate::http_runs::orders::{Ask, Fault};
use crate::http_runs::setup::Setup;

/// In a run of another kind, plans are replaced now and then.
pub(super) fn reload_sometimes(setup: &mut Setup) {
    let mut random = Random::new(setup.seed ^ 0x726c);
    if random.chance(150) {
        setup.reloads = (0..1 + random.below(4)).map(|_| random.below(200)).collect();
        setup.ends_with_nothing = random.chance(100);
    }
}

fn ask(random: &mut Random, marker: String) -> Ask {
    let mut ask =
        if random.chance(500) { plain_ask(random, marker) } else { body_ask(random, marker) };
    if random.chance(100) {
        ask.path = "/limited";
        ask.fields = format!("X-Who: {}\r\n", random.below(2));
    }
    ask.orders.hold = pick(random, &[0, 3, 10, 30]);
    if ask.path != "/files" && random.chance(150) {
        let faults = [Fault::Silent, Fault::Reset, Fault::EndInBody, Fault::Status(503)];
        ask.orders.fault = Some((pick(random, &[1, 1, 10]), pick(random, &faults)));
        ask.orders.len = ask.orders.len.max(100);
        if matches!(ask.orders.status, 204 | 304) {
            ask.orders.status = 200;
        }
    }
    ask
}

pub(super) fn reloads(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x7265_6c6f);
    let unit = pick(&mut random, &[SHORT, LONG]);
    let mut setup = Setup::new(seed, &mut random, 4, unit);
    if random.chance(600) {
        setup.faults = Faults::ALL;
    }
    let origins = setup.origins();
    origins.pool.min_idle = pick(&mut random, &[0, 0, 1]);
    origins.pool.idle_timeout = pick(&mut random, &[unit, LONG]);
    origins.connections_max = pick(&mut random, &[1, 2, 8]);
    origins.breaker.in_flight = pick(&mut random, &[None, None, Some(2)]);
    origins.attempts.retries_max = pick(&mut random, &[0, 1, 3]);
    origins.hedge_after = random.chance(200).then_some(SHORT / 10);
    let habits = Habits {
        resets: pick(&mut random, &[0, 0, 3]),
        reads: pick(&mut random, &[150, 500, 1000]),
        leaves: random.chance(800),
        ..Habits::default()
    };
    setup.clients = clients(&mut random, (4, 6), &habits, ask);
    setup.accept_header = random.chance(200);
    for (number, (_, habits)) in setup.clients.iter_mut().enumerate() {
        habits.comes_at = random.below(150);
        if setup.accept_header {
            let from = number % 2;
            habits.preface = format!("PROXY TCP4 10.3.0.{from} 10.0.0.1 1000 80\r\n").into_bytes();
        }
    }
    setup.moods.reset = pick(&mut random, &[0, 0, 3]);
    setup.moods.end = pick(&mut random, &[0, 0, 3]);
    let span = pick(&mut random, &[60, 200, 600]);
    setup.reloads = (0..2 + random.below(10)).map(|_| random.below(span)).collect();
    if random.chance(200) {
        // Two in a row, without a turn between them.
        setup.reloads.push(setup.reloads[0]);
    }
    setup.ends_with_nothing = random.chance(150);
    if random.chance(100) {
        setup.drains_at = Some(1 + random.below(span));
    }
    if random.chance(300) {
        let note = |_| (random.below(span), random.below(4), random.chance(500));
        setup.health = (0..4).map(note).collect();
    }
    setup
}
