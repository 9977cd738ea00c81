//! HTTP on the simulated kernel: clients, a worker as their proxy, and servers, under all faults.
//!
//! Clients and servers speak HTTP/1.1, or HTTP/2 with many requests at a time (`talk`, and
//! `streams` of `client` and `server`).
//!
//! Of every run it is asserted (in `client`, `server`, `run` and `books`):
//!
//! - each request gets its own answer once, in order or on its own stream, or a failure with a
//!   reason, or its connection is cut, or its stream is reset;
//! - no byte of a body is lost, invented, or given to another, and a cut body never looks whole;
//! - a request that is not idempotent and may have reached a server is seen by no second one;
//! - windows, streams and settings of HTTP/2 are kept, and what was refused was not carried out;
//! - nothing waits without a timer, and slots, buffers, timers, pipes, descriptors, places in pools
//!   and limits are all back at the end;
//! - what was counted, logged, asked and answered is consistent;
//! - where plans are replaced (`reload`), each answer is that of a plan which held between the begin
//!   of its request and its end, and nothing is left of earlier plans.
//!
//! The same seed gives the same run, byte for byte.

mod books;
mod census;
mod client;
mod handlers;
mod net;
mod orders;
mod reload;
mod run;
mod scenarios;
mod server;
mod setup;
mod talk;
mod wire;

use self::census::{Census, EXCUSED};
use self::run::Run;
use self::scenarios::{SCENARIOS, Scenario};
use super::harness::{for_seeds, for_some_seeds, is_full_sweep};

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|one| one.name == name).expect("a scenario of that name")
}

/// Runs many seeds of a scenario.
fn sweep(name: &str) {
    let Scenario { setup, share, is_fair, reaches, .. } = scenario(name);
    let census = std::sync::Mutex::new(Census::default());
    for_seeds(*share, |seed| {
        let mut run = Run::new(setup(seed));
        run.play();
        if *is_fair {
            run.assert_all_served();
        }
        census.lock().expect("no panic while it is held").note(&run);
    });
    if is_full_sweep() {
        census.into_inner().expect("no panic").assert_reached(name, reaches);
    }
}

macro_rules! sweeps {
    ($($test:ident $name:ident)*) => {
        $(#[test]
        fn $test() {
            sweep(stringify!($name));
        })*

        #[test]
        fn every_scenario_is_swept() {
            let swept = [$(stringify!($name)),*];
            assert!(SCENARIOS.iter().map(|one| one.name).eq(swept));
        }
    };
}

sweeps! {
    http_is_answered_once_in_order_and_in_full plain
    http_under_all_faults_is_answered_or_fails_with_a_reason plain_with_faults
    http_bodies_come_through_in_every_framing bodies
    http_bodies_under_all_faults_are_whole_or_cut bodies_with_faults
    http_peers_that_reset_at_any_time_get_no_wrong_byte_and_leak_nothing resets
    http_drains_in_the_middle drain
    http_is_tried_again_only_where_that_is_safe retries
    http_servers_that_die_and_come_back_cost_nothing_else dying
    http_hedges_and_takes_one_answer hedging
    http_upgrades_pass_every_byte_both_ways upgrades
    http_upgrades_that_fail_look_like_that upgrades_with_faults
    http_compressed_is_what_it_was compression
    http_compressed_under_all_faults_is_whole_or_cut compression_with_faults
    http_limits_refuse_and_give_back limits
    http_that_stops_in_the_middle_is_ended_by_a_timer slow
    http_that_breaks_rules_is_refused_and_counted refusals
    http_connections_that_may_not_be_are_refused doors
    http_with_a_short_budget_of_waiting_bytes_answers_all_in_bounded_memory short_budget
    http_plans_are_replaced_under_way reloads
    http2_clients_get_each_answer_on_its_own_stream streams
    http2_clients_under_all_faults_get_their_own_bytes_or_a_reset streams_with_faults
    http2_servers_answer_many_clients_on_one_connection shared
    http2_servers_under_all_faults_cost_only_what_they_have_failed shared_with_faults
    http2_on_both_sides_gives_each_answer_on_its_own_stream both
    http2_on_both_sides_under_all_faults_mixes_nothing_up both_with_faults
    http2_with_a_short_budget_of_waiting_bytes_answers_all_in_bounded_memory short_streams
    http_websockets_pass_every_byte_both_ways_in_every_pair_of_versions sockets
    http_websockets_that_fail_look_like_that sockets_with_faults
    http_handlers_answer_at_once_or_later handlers
    http_handlers_under_all_faults_cost_only_what_they_have_broken handlers_with_faults
}

#[test]
fn http_sweeps_reach_all_that_there_is_and_is_not_excused() {
    let mut missing = census::all();
    for (name, _) in EXCUSED {
        assert!(missing.remove(name), "{name} is not there");
    }
    let reached = SCENARIOS.iter().flat_map(|one| one.reaches);
    missing.retain(|name| !reached.clone().any(|reached| reached == name));
    assert!(missing.is_empty(), "no scenario has to reach {missing:?}");
}

#[test]
fn http_runs_the_same_way_again() {
    for_some_seeds(|seed| {
        for Scenario { name, setup, .. } in &SCENARIOS {
            let trace = || {
                let mut run = Run::new(setup(seed));
                run.play();
                run.note_counters();
                std::mem::take(&mut run.trace)
            };
            let difference = trace().difference(&trace());
            assert!(difference.is_none(), "{name}: {}", difference.unwrap_or_default());
        }
    });
}
