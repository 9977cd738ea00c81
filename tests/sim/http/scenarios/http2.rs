//! HTTP/2 on either side of the proxy, or on both.

use ringway::proto::http2::Limits;
use ringway::ring::sim::Random;
use ringway::session::http_options::ServerProtocol;

use super::proxy::{FAULTS, give_fault};
use super::{LONG, TIMED, body_ask, clients, pick, plain_ask, with_faults};
use crate::http_runs::client::{Habits, Manners};
use crate::http_runs::orders::{Ask, Fault};
use crate::http_runs::setup::Setup;

/// Bytes of a new stream's window: none, few, or as many as nobody here needs.
const WINDOWS: [u32; 5] = [0, 100, 1_000, 20_000, 65_535];

/// Requests that any version has.
fn ask(random: &mut Random, marker: String) -> Ask {
    let mut ask =
        if random.chance(400) { plain_ask(random, marker) } else { body_ask(random, marker) };
    ask.http10 = false;
    if ask.path == "/zip" && random.chance(500) {
        let coding = pick(random, &["gzip", "br", "zstd"]);
        ask.fields = format!("Accept-Encoding: {coding}\r\n");
    }
    ask
}

/// The same, of servers that fail in all ways.
fn faulty_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = ask(random, marker);
    if ask.path == "/files" || random.chance(600) {
        return ask;
    }
    let fault = match random.below(40) {
        0 => Fault::LargeHead,
        1 => Fault::Flood,
        2..7 => Fault::Refused,
        _ => pick(random, &FAULTS),
    };
    give_fault(random, &mut ask, fault);
    ask
}

/// The clients speak HTTP/2, with many requests at a time.
pub(super) fn of_clients(random: &mut Random, setup: &mut Setup, cancels: u32) {
    let limits = Limits { streams: pick(random, &[2, 100, 100]), ..Limits::default() };
    setup.http.http2 = Some(limits);
    for (asks, habits) in &mut setup.clients {
        asks.iter_mut().for_each(|ask| ask.closes = false);
        let (window, shuts) = (pick(random, &WINDOWS), pick(random, &[0, 0, 20]));
        habits.http2 = Some(Manners { window, cancels, shuts });
        habits.ahead = pick(random, &[1, 4, 30]);
    }
}

/// The servers speak HTTP/2.
fn of_servers(random: &mut Random, setup: &mut Setup) {
    let origins = setup.origins();
    origins.protocol = ServerProtocol::Http2;
    origins.streams_max = pick(random, &[1, 3, 128]);
    let moods = &mut setup.moods;
    moods.http2 = true;
    moods.window = pick(random, &WINDOWS);
    moods.streams_max = pick(random, &[None, Some(1), Some(3), Some(100)]);
    moods.shuts = pick(random, &[0, 0, 20]);
}

fn calm(seed: u64, requests: usize) -> (Setup, Random) {
    let mut random = Random::new(seed ^ 0x6832);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.http.routes[TIMED].total_timeout = Some(LONG * 10);
    setup.origins().connections_max = 8;
    setup.clients = clients(&mut random, (3, requests), &Habits::default(), ask);
    (setup, random)
}

/// Peers that fail in all ways, on a kernel that does too.
fn rough(seed: u64, requests: usize) -> (Setup, Random) {
    let (mut setup, mut random) = with_faults(seed, faulty_ask);
    let (_, habits) = setup.clients.swap_remove(0);
    setup.clients = clients(&mut random, (3, requests), &habits, faulty_ask);
    setup.origins().hedge_after = random.chance(100).then_some(super::SHORT / 10);
    if random.chance(150) {
        setup.drains_at = Some(1 + random.below(200));
    }
    (setup, random)
}

fn cancels(random: &mut Random) -> u32 {
    pick(random, &[0, 10, 50])
}

pub(super) fn streams(seed: u64) -> Setup {
    let (mut setup, mut random) = calm(seed, 12);
    of_clients(&mut random, &mut setup, 0);
    setup
}

pub(super) fn streams_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = rough(seed, 10);
    let cancels = cancels(&mut random);
    of_clients(&mut random, &mut setup, cancels);
    setup
}

pub(super) fn shared(seed: u64) -> Setup {
    let (mut setup, mut random) = calm(seed, 5);
    of_servers(&mut random, &mut setup);
    setup
}

pub(super) fn shared_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = rough(seed, 5);
    of_servers(&mut random, &mut setup);
    setup.moods.go_away = pick(&mut random, &[0, 5, 20]);
    setup
}

pub(super) fn both(seed: u64) -> Setup {
    let (mut setup, mut random) = calm(seed, 12);
    of_clients(&mut random, &mut setup, 0);
    of_servers(&mut random, &mut setup);
    setup
}

pub(super) fn both_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = rough(seed, 10);
    let cancels = cancels(&mut random);
    of_clients(&mut random, &mut setup, cancels);
    of_servers(&mut random, &mut setup);
    setup.moods.go_away = pick(&mut random, &[0, 5, 20]);
    setup
}

/// Little may wait, on either side.
pub(super) fn short_streams(seed: u64) -> Setup {
    let (mut setup, mut random) = calm(seed, 6);
    setup.waiting_memory = pick(&mut random, &[0, 1_000, 4_000, 15_000]);
    setup.moods.part = pick(&mut random, &[0, 1_000]);
    for (asks, habits) in &mut setup.clients {
        habits.part = pick(&mut random, &[500, 4_000]);
        for ask in asks {
            let is_long = ask.orders.len > 0 && random.chance(500);
            ask.orders.len = if is_long { 15_000 } else { ask.orders.len };
            if ask.body.is_some() && random.chance(500) {
                ask.body = ask.body.map(|(_, chunked)| (15_000, chunked));
            }
        }
    }
    let has_clients = random.chance(700);
    if has_clients {
        of_clients(&mut random, &mut setup, 0);
    }
    if !has_clients || random.chance(500) {
        of_servers(&mut random, &mut setup);
    }
    setup
}
