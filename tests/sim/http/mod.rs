//! HTTP on the simulated kernel: clients, a worker as their proxy, and servers, under all faults.
//!
//! Of every run it is asserted (in `client`, `server`, `run` and `books`):
//!
//! - each request gets its own answer once and in order, or a failure with a reason, or its
//!   connection is cut;
//! - no byte of a body is lost, invented, or given to another, and a cut body never looks whole;
//! - a request that is not idempotent and may have reached a server is seen by no second one;
//! - nothing waits without a timer, and slots, buffers, timers, pipes, descriptors, places in pools
//!   and limits are all back at the end;
//! - what was counted, logged, asked and answered is consistent.
//!
//! The same seed gives the same run, byte for byte.

mod books;
mod census;
mod client;
mod net;
mod orders;
mod run;
mod scenarios;
mod server;
mod setup;
mod wire;

use self::census::Census;
use self::run::Run;
use self::setup::Setup;
use super::harness::{for_each_seed, for_some_seeds};

/// Runs many seeds of a scenario. What is `fair` has nothing go wrong.
fn sweep(scenario: impl Fn(u64) -> Setup + std::panic::RefUnwindSafe, fair: bool) {
    let census = std::sync::Mutex::new(Census::default());
    for_each_seed(|seed| {
        let mut run = Run::new(scenario(seed));
        run.play();
        if fair {
            run.assert_all_served();
        }
        census.lock().expect("no panic while it is held").note(&run);
    });
    eprintln!("{:?}", census.into_inner().expect("no panic").names());
}

#[test]
fn http_is_answered_once_in_order_and_in_full() {
    sweep(scenarios::plain, true);
}

#[test]
fn http_under_all_faults_is_answered_once_in_order_or_fails_with_a_reason() {
    sweep(scenarios::plain_with_faults, false);
}

#[test]
fn http_runs_the_same_way_again() {
    for_some_seeds(|seed| {
        let trace = || {
            let mut run = Run::new(scenarios::plain_with_faults(seed));
            run.play();
            run.report(&mut Census::default());
            run.trace
        };
        let difference = trace().difference(&trace());
        assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    });
}
