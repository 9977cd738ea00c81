//! What a request costs in user space, without a kernel: instructions (counted by callgrind, see
//! `scripts/instructions.sh`) and allocations, of one worker on the simulated kernel.
//!
//! - `instructions`: allocations of all scenarios
//! - `instructions SCENARIO [CONNECTIONS [ROUNDS]]`: one scenario; prints its name, the number of
//!   requests and of allocations. In a round every connection asks once, or 32 times by HTTP/2.
//!
//! Counted is what the worker does in its turns, its memory included. The simulated kernel, the
//! clients and the servers are not counted.
#![allow(clippy::print_stdout, reason = "results go to standard output")]

mod http2;
mod meter;
mod scenario;

use std::process::ExitCode;

use ringway::runtime::clock;
use scenario::{Kind, Scenario};

const USAGE: &str =
    "usage: instructions [fixed|file|proxy|http2|relay|frame [CONNECTIONS [ROUNDS]]]";
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 50;
/// Rounds that are not counted: connections are opened, files read, memory grows.
const WARM_UP: usize = 50;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
    match args[..] {
        [] => Kind::ALL.into_iter().for_each(|kind| measure(kind, CONNECTIONS, ROUNDS)),
        // Cargo runs benches with options of its own.
        [first, ..] if first.starts_with("--") => {
            Kind::ALL.into_iter().for_each(|kind| measure(kind, CONNECTIONS, ROUNDS));
        }
        [name, ref rest @ ..] if rest.len() <= 2 => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let connections = rest.first().map_or(Some(CONNECTIONS), |text| number(text));
            let rounds = rest.get(1).map_or(Some(ROUNDS), |text| number(text));
            let (Some(kind), Some(connections), Some(rounds)) = (kind, connections, rounds) else {
                return refuse();
            };
            measure(kind, connections, rounds);
        }
        _ => return refuse(),
    }
    ExitCode::SUCCESS
}

fn refuse() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn measure(kind: Kind, connections: usize, rounds: usize) {
    let mut scenario = Scenario::new(kind, connections);
    (0..WARM_UP).for_each(|_| scenario.round());
    // The date of answers is written once a second. The first round of a second does that; those
    // that are counted take less than one, and so do the same in each run.
    let second = clock::unix_time().as_secs();
    while clock::unix_time().as_secs() == second {}
    scenario.round();
    let opened = scenario.opened();
    let before = meter::allocations();
    meter::begin();
    (0..rounds).for_each(|_| scenario.round());
    meter::end();
    assert_eq!(scenario.opened(), opened, "connections to servers are kept");
    let requests = connections * rounds * kind.at_once();
    let allocations = meter::allocations() - before;
    println!(
        "{} connections={connections} requests={requests} allocations={allocations}",
        kind.name()
    );
}
