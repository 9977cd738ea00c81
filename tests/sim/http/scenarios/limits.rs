//! What a worker does not put up with: too much, too slowly, too often, or against the rules.

use std::time::Duration;

use ringway::ring::sim::{Behaviour, Random};
use ringway::session::http_options::HalfClose;

use super::{LONG, SHORT, TIMED, body_ask, clients, marker, pick, plain_ask};
use crate::http_runs::client::Habits;
use crate::http_runs::orders::{Ask, Fault, Orders};
use crate::http_runs::setup::{SHORT_BODY, Setup};

const TOO_MUCH: usize = SHORT_BODY + 500;

fn limited_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = plain_ask(random, marker);
    ask.orders.hold = pick(random, &[0, 5, 20]);
    match random.below(6) {
        0 => {
            ask.path = "/limited";
            ask.fields = format!("X-Who: {}\r\n", random.below(2));
        }
        1 => {
            ask.path = "/short";
            ask.method = pick(random, &["POST", "PUT"]);
            ask.body = Some((pick(random, &[500, TOO_MUCH, TOO_MUCH]), random.chance(500)));
            ask.orders.early = random.chance(300);
            ask.expects = random.chance(200);
        }
        2 => ask.path = pick(random, &["/moved", "/none"]),
        _ => {}
    }
    ask
}

/// Breaker, queue, rate, bodies, requests of a connection.
pub(super) fn limits(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6c69);
    let mut setup = Setup::new(seed, &mut random, 2, SHORT);
    setup.http.keepalive_requests = pick(&mut random, &[1, 2, 1_000]);
    setup.http.half_close =
        pick(&mut random, &[HalfClose::Auto, HalfClose::Allow, HalfClose::Refuse]);
    let origins = setup.origins();
    origins.connections_max = pick(&mut random, &[1, 1, 3]);
    origins.breaker.in_flight = pick(&mut random, &[None, None, Some(1), Some(2)]);
    origins.pool.queue_max = pick(&mut random, &[1, 1, 2, 100]);
    origins.pool.min_idle = pick(&mut random, &[0, 0, 1]);
    origins.pool.queue_timeout = pick(&mut random, &[SHORT, Duration::from_millis(5)]);
    let ends_early = random.chance(300);
    let habits = Habits { ends_early, reads: 1000, ..Habits::default() };
    setup.clients = clients(&mut random, (5, 3), &habits, limited_ask);
    setup
}

/// Large bodies both ways, between slow clients and slow servers, in little memory.
pub(super) fn short_budget(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6275);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.http.routes[TIMED].total_timeout = Some(LONG * 10);
    setup.origins().connections_max = 8;
    setup.waiting_memory = pick(&mut random, &[0, 1_000, 4_000, 15_000]);
    setup.capacity = pick(&mut random, &[1_000, 2_000]);
    setup.servers = vec![Behaviour::Accept { capacity: setup.capacity }; 2];
    setup.moods.part = pick(&mut random, &[0, 1_000]);
    setup.clients = clients(&mut random, (4, 1), &Habits::default(), body_ask);
    for (asks, habits) in &mut setup.clients {
        habits.reads = pick(&mut random, &[500, 1_000]);
        for ask in asks {
            let is_long = ask.orders.len > 0 && random.chance(500);
            ask.orders.len = if is_long { 15_000 } else { ask.orders.len };
            if ask.body.is_some() && random.chance(500) {
                ask.body = ask.body.map(|(_, chunked)| (15_000, chunked));
            }
        }
    }
    setup
}

/// Clients and servers that stop in the middle, or go too slowly.
pub(super) fn slow(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x736c);
    let mut setup = Setup::new(seed, &mut random, 2, SHORT);
    setup.http.body_rate_min = pick(&mut random, &[None, Some(100_000)]);
    setup.http.write_rate_min = pick(&mut random, &[None, Some(100_000)]);
    setup.http.half_close = pick(&mut random, &[HalfClose::Auto, HalfClose::Allow]);
    let habits = Habits::default();
    setup.clients = clients(&mut random, (3, 2), &habits, body_ask);
    for (asks, habits) in &mut setup.clients {
        habits.leaves = random.chance(500);
        let last = asks.last_mut().expect("at least one");
        match random.below(6) {
            // It stops in the head, or in the body.
            0 => last.stops_at = Some(1 + random.below(150)),
            1 => {
                last.method = "POST";
                last.body = Some((3_000, random.chance(500)));
                last.http10 = false;
                last.stops_at = Some(400 + random.below(2_000));
            }
            // It takes nothing, or little, of what is much.
            2 => {
                habits.reads = pick(&mut random, &[0, 5, 20]);
                habits.part = 20;
                last.orders.len = 80_000;
                last.orders.status = 200;
                last.method = "GET";
                (last.body, last.expects) = (None, false);
                last.path = pick(&mut random, &["/up", "/zip", "/files", "/timed"]);
            }
            3 => {
                last.orders.fault =
                    Some((10, pick(&mut random, &[Fault::Silent, Fault::Deaf, Fault::StallInBody])))
            }
            4 => {
                habits.ends_early = true;
                last.orders.hold = 50;
            }
            // It sends its body by and by.
            _ => {
                habits.part = 3;
                last.method = "PUT";
                last.body = Some((700, random.chance(500)));
                last.http10 = false;
                last.path = pick(&mut random, &["/timed", "/timed", "/up", "/echo", "/fixed"]);
            }
        }
    }
    setup
}

/// A head that is no request: what breaks which rule.
const BROKEN: [&[u8]; 27] = [
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\r\nHost: a\r\n\r\n",
    b"GET / HTTP/x\r\nHost: a\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: gold\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nA:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\n\r\n",
    b"TRACE /up/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
    b"OPTIONS /up/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n",
    b"GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    b"\x00\x01\x02\r\n\r\n",
];

/// What a chunked body breaks off with.
const BAD_BODIES: [&[u8]; 5] = [
    b"zz\r\n",
    b"5;a=\x01\r\n",
    b"0\r\nno field\r\n\r\n",
    b"1\r\n?bc",
    b"ffffffffffffffffffff\r\n",
];

/// Requests that break rules, behind others that do not.
pub(super) fn refusals(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x7265);
    let mut setup = Setup::new(seed, &mut random, 2, SHORT);
    setup.faults = if random.chance(300) { ringway::ring::sim::Faults::ALL } else { setup.faults };
    setup.http.limits.size = 1_500;
    setup.http.limits.target = 64;
    setup.http.limits.fields = pick(&mut random, &[7, 100]);
    if setup.http.limits.fields == 7 {
        // A server's answer is held to other limits, and an own request has fewer fields.
        setup.http.forwarded = ringway::session::http_options::Forwarded::Off;
    }
    let habits = Habits { reads: 1000, ..Habits::default() };
    setup.clients = clients(&mut random, (3, 2), &habits, plain_ask);
    let count = setup.clients.len();
    for (client, (asks, habits)) in setup.clients.iter_mut().enumerate() {
        habits.ahead = 10;
        asks.iter_mut().for_each(|ask| ask.closes = false);
        let mut ask = Ask::get(marker(client + count, 0), "/up", Orders::default());
        match random.below(5) {
            0 => {
                ask.method = "POST";
                ask.path = pick(&mut random, &["/up", "/echo", "/fixed", "/timed"]);
                ask.body = Some((600, true));
                ask.orders.early = random.chance(300);
                ask.orders.len = 300;
                ask.bad_body = Some(pick(&mut random, &BAD_BODIES));
            }
            1 => {
                let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1_500));
                ask.broken = Some(head.into_bytes());
            }
            _ => ask.broken = Some(pick(&mut random, &BROKEN).to_vec()),
        }
        asks.push(ask);
    }
    setup
}
