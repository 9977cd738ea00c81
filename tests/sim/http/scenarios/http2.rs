//! HTTP/2 on either side of the proxy, or on both.

use ringway::proto::http2::Limits;
use ringway::ring::sim::Random;
use ringway::session::http_options::ServerProtocol;

use super::proxy::{FAULTS, give_fault, upgrade_ask};
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
    let streams = pick(random, &[2, 100, 100]);
    let limits = Limits { streams, extended_connect: true, ..Limits::default() };
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

/// The key of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn socket_ask(random: &mut Random, marker: String) -> Ask {
    if random.chance(300) {
        let mut ask = plain_ask(random, marker);
        ask.http10 = false;
        return ask;
    }
    let mut ask = upgrade_ask(random, marker);
    if ask.upgrade.is_some() {
        ask.socket = Some(KEY);
    }
    ask
}

fn bad_socket_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = socket_ask(random, marker);
    if ask.path != "/files" && random.chance(300) {
        let fault = if random.chance(200) { Fault::WrongAccept } else { pick(random, &FAULTS) };
        give_fault(random, &mut ask, fault);
    }
    if ask.upgrade.is_some() && random.chance(200) {
        ask.orders.status = pick(random, &[200, 404, 426]);
    }
    if ask.upgrade.is_some() && random.chance(50) {
        ask.socket = Some("short");
    }
    ask
}

/// Each side speaks either version.
fn either(random: &mut Random, setup: &mut Setup, cancels: u32) {
    if random.chance(600) {
        of_clients(random, setup, cancels);
    }
    if random.chance(600) {
        of_servers(random, setup);
        setup.moods.takes_sockets = true;
    }
}

/// Only clients of HTTP/2 have more than one that is the last.
fn cut_behind_sockets(setup: &mut Setup) {
    for (asks, habits) in &mut setup.clients {
        let last = asks.iter().position(|ask| ask.upgrade.is_some());
        if let (None, Some(last)) = (habits.http2, last) {
            asks.truncate(last + 1);
        }
        // A client that ends early would have to have said all.
        habits.ends_early &= asks.iter().all(|ask| ask.upgrade.is_none());
    }
}

/// More requests than [`clients`] makes, as connections of HTTP/2 go on behind a tunnel.
fn with_more(random: &mut Random, setup: &mut Setup, ask: fn(&mut Random, String) -> Ask) {
    for (client, (asks, _)) in setup.clients.iter_mut().enumerate() {
        let more = random.below(6);
        let first = asks.len();
        asks.iter_mut().for_each(|ask| ask.closes = false);
        asks.extend((first..first + more).map(|at| ask(random, super::marker(client, at))));
    }
}

pub(super) fn sockets(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x7763);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.origins().connections_max = 20;
    setup.http.routes[TIMED].total_timeout = Some(LONG * 10);
    setup.clients = clients(&mut random, (3, 3), &Habits::default(), socket_ask);
    with_more(&mut random, &mut setup, socket_ask);
    either(&mut random, &mut setup, 0);
    cut_behind_sockets(&mut setup);
    setup
}

pub(super) fn sockets_with_faults(seed: u64) -> Setup {
    let (mut setup, mut random) = with_faults(seed, bad_socket_ask);
    with_more(&mut random, &mut setup, bad_socket_ask);
    let cancels = cancels(&mut random);
    either(&mut random, &mut setup, cancels);
    setup.moods.takes_sockets = random.chance(800);
    if setup.moods.http2 {
        setup.moods.go_away = pick(&mut random, &[0, 5, 20]);
    }
    if random.chance(150) {
        setup.drains_at = Some(1 + random.below(200));
    }
    cut_behind_sockets(&mut setup);
    setup
}
