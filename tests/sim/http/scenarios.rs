//! What is played.

use std::time::Duration;

use ringway::ring::sim::{Faults, Random};

use super::client::Habits;
use super::orders::{Ask, FRAMINGS, Orders};
use super::setup::Setup;

/// Times that nothing reaches unless somebody is silent.
const LONG: Duration = Duration::from_secs(5);
/// Times that what is slow reaches.
const SHORT: Duration = Duration::from_millis(60);

fn pick<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len())]
}

fn marker(client: usize, request: usize) -> String {
    format!("mrk{client:02}n{request:02}q")
}

/// Requests of common kinds, for any route.
fn plain_ask(random: &mut Random, marker: String) -> Ask {
    let path = pick(random, &["/up", "/up", "/up", "/up", "/timed", "/fixed", "/echo"]);
    let orders = Orders {
        len: pick(random, &[0, 1, 100, 700, 3_000]),
        framing: pick(random, &FRAMINGS[..3]),
        ..Orders::default()
    };
    let mut ask = Ask::get(marker, path, orders);
    ask.method = pick(random, &["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE"]);
    if matches!(ask.method, "POST" | "PUT") {
        ask.body = Some((pick(random, &[0, 1, 300, 2_500]), random.chance(500)));
    }
    ask
}

fn plain_clients(random: &mut Random, habits: &Habits) -> Vec<(Vec<Ask>, Habits)> {
    let count = 1 + random.below(3);
    let clients = (0..count).map(|client| {
        let requests = 1 + random.below(4);
        let mut asks: Vec<Ask> =
            (0..requests).map(|at| plain_ask(random, marker(client, at))).collect();
        if random.chance(300) {
            asks.last_mut().expect("at least one").closes = true;
        }
        let (ahead, part) = (pick(random, &[1, 1, 3, 10]), pick(random, &[30, 500, 4_000]));
        let comes_at = random.below(20);
        (asks, Habits { ahead, part, comes_at, ..habits.clone() })
    });
    clients.collect()
}

pub(super) fn plain(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6874);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.http.routes[5].total_timeout = Some(LONG * 10);
    setup.origins().connections_max = 8;
    setup.clients = plain_clients(&mut random, &Habits::default());
    setup
}

pub(super) fn plain_with_faults(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6875);
    let mut setup = Setup::new(seed, &mut random, 3, pick(&mut Random::new(seed), &[SHORT, LONG]));
    setup.faults = Faults::ALL;
    let resets = pick(&mut random, &[0, 0, 3]);
    let reads = pick(&mut random, &[150, 500, 1000]);
    setup.clients = plain_clients(&mut random, &Habits { resets, reads, ..Habits::default() });
    setup.moods.reset = pick(&mut random, &[0, 0, 5]);
    setup.moods.end = pick(&mut random, &[0, 0, 5]);
    setup.moods.part = pick(&mut random, &[0, 20, 1_000]);
    setup
}
