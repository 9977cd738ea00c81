//! Requests that a program's handlers answer, by either version.

use ringway::ring::sim::Random;

use super::{LONG, SHORT, TIMED, clients, http2, pick, plain_ask, with_faults};
use crate::http_runs::client::Habits;
use crate::http_runs::orders::Ask;
use crate::http_runs::setup::{HANDLED, Setup};

fn ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = plain_ask(random, marker);
    if random.chance(700) {
        ask.path = "/handled";
        ask.method = pick(random, &["GET", "POST", "POST", "PUT", "HEAD"]);
        let body = (pick(random, &[0, 10, 2_000, 6_000]), random.chance(500));
        ask.body = matches!(ask.method, "POST" | "PUT").then_some(body);
        ask.expects = ask.body.is_some() && random.chance(200);
    }
    ask
}

fn faulty_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = ask(random, marker);
    if ask.path == "/handled" && random.chance(300) {
        ask.path = "/broken";
    }
    ask
}

pub(super) fn handlers(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6877);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.http.routes[TIMED].total_timeout = Some(LONG * 10);
    setup.origins().connections_max = 8;
    setup.clients = clients(&mut random, (3, 4), &Habits::default(), ask);
    if random.chance(500) {
        http2::of_clients(&mut random, &mut setup, 0);
    }
    setup
}

pub(super) fn handlers_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = with_faults(seed, faulty_ask);
    if random.chance(500) {
        http2::of_clients(&mut random, &mut setup, pick(&mut Random::new(seed), &[0, 5, 50]));
    }
    if random.chance(300) {
        setup.http.routes[HANDLED].total_timeout = Some(pick(&mut random, &[SHORT, SHORT / 10]));
    }
    setup
}
