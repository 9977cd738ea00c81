//! What is decided before a request: who may connect, and how many.

use ipnet::IpNet;
use ringway::ring::sim::{Faults, Random};
use ringway::service::http::access::AccessList;

use super::{SHORT, clients, pick, plain_ask};
use crate::http_runs::client::Habits;
use crate::http_runs::orders::Fault;
use crate::http_runs::setup::Setup;

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

/// PROXY protocol headers that are right, wrong, slow, and from where nobody may come from; and too
/// many connections. Files that become shorter while they are sent.
pub(super) fn doors(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x646f);
    let mut setup = Setup::new(seed, &mut random, 2, SHORT);
    setup.faults = if random.chance(300) { Faults::ALL } else { Faults::NONE };
    setup.accept_header = random.chance(700);
    setup.http.access = AccessList::new(&[], &[network("10.1.0.0/16")]);
    setup.http.source_connections_max = pick(&mut random, &[None, Some(1)]);
    setup.connections_max = pick(&mut random, &[2, 100, 100]);
    // The servers' connections and the clients' share the slots.
    setup.slots = pick(&mut random, &[4, 100, 100]);
    setup.clients = clients(&mut random, (5, 3), &Habits::default(), plain_ask);
    for (number, (asks, habits)) in setup.clients.iter_mut().enumerate() {
        let from = match random.below(6) {
            0 => "10.1.0.1".to_owned(),
            1 | 2 => "10.2.0.1".to_owned(),
            _ => format!("10.3.0.{number}"),
        };
        let preface = match random.below(12) {
            0 => "PROXY NONSENSE\r\n".to_owned(),
            1 => "PRO".to_owned(),
            2 => "PROXY UNKNOWN\r\n".to_owned(),
            _ => format!("PROXY TCP4 {from} 10.0.0.1 1000 80\r\n"),
        };
        if setup.accept_header {
            if preface == "PRO" {
                asks.clear();
                habits.leaves = false;
            }
            habits.preface = preface.into_bytes();
        }
        for ask in asks {
            if !random.chance(300) {
                continue;
            }
            (ask.path, ask.method, ask.body) = ("/files", "GET", None);
            ask.orders.len = pick(&mut random, &[100, 3_000, 9_000]);
            ask.orders.fault = Some((1, Fault::EndInBody));
            let (name, left) = (ask.target()[1..].to_owned(), random.below(ask.orders.len));
            setup.shrinks.push((20 + random.below(60), name, left));
        }
    }
    setup
}
