//! The TCP proxy, the echo service and messages on the simulated kernel: seeded runs under all faults.
//!
//! A run that fails prints its seed; `RINGWAY_SIM_SEED=N cargo test --test sim` runs that one
//! alone, and `RINGWAY_SIM_RUNS=N` says how many there are (2,000 of each kind by default).
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "sim/frame_proxy.rs"]
mod frame_proxy;
#[path = "sim/frames.rs"]
mod frames;
#[path = "sim/harness.rs"]
mod harness;
#[path = "sim/http.rs"]
mod http;
#[path = "sim/http/mod.rs"]
mod http_runs;
#[path = "sim/isolation.rs"]
mod isolation;
#[path = "sim/reload.rs"]
mod reload;
#[path = "sim/removal.rs"]
mod removal;
#[path = "sim/socket_relay.rs"]
mod socket_relay;
#[path = "sim/udp.rs"]
mod udp;
#[path = "sim/websocket.rs"]
mod websocket;

use std::time::Duration;

use harness::{Plan, Scenario, for_each_seed, for_some_seeds};
use ringway::ring::sim::{Behaviour, Faults};
use ringway::service::CloseReason;

#[test]
fn a_relay_delivers_every_byte_once_and_in_order() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::NONE, Plan::orderly(seed));
        scenario.run();
        scenario.assert_delivered();
        scenario.assert_clean();
        assert_eq!(scenario.closed(CloseReason::Finished), scenario.connections());
    });
}

#[test]
fn a_relay_under_all_faults_delivers_every_byte_once_and_in_order() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::ALL, Plan::orderly(seed));
        scenario.run();
        scenario.assert_delivered();
        scenario.assert_clean();
    });
}

#[test]
fn a_relay_whose_peers_reset_at_any_time_delivers_no_wrong_byte_and_leaks_nothing() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::ALL, Plan::with_resets(seed));
        scenario.run();
        scenario.assert_prefixes();
        scenario.assert_clean();
    });
}

#[test]
fn starved_connections_are_all_fed_again_though_many_of_them_have_nothing_to_say() {
    for_some_seeds(|seed| {
        let faults = Faults { starve: 1000, ..Faults::NONE };
        let mut scenario = Scenario::relay(seed, faults, Plan::crowd());
        scenario.run_for(200);
        scenario.set_faults(Faults::NONE);
        scenario.run();
        scenario.assert_clean();
        assert_eq!(scenario.closed(CloseReason::IdleTimeout), scenario.connections());
    });
}

#[test]
fn an_echo_under_all_faults_gives_every_byte_back() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::echo(seed, Faults::ALL, Plan::orderly(seed));
        scenario.run();
        scenario.assert_delivered();
        scenario.assert_clean();
    });
}

#[test]
fn messages_under_all_faults_are_answered_in_order_and_once() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::messages(seed, Faults::ALL, Plan::orderly(seed));
        scenario.run();
        scenario.assert_delivered();
        scenario.assert_clean();
        scenario.assert_messages_counted();
    });
}

#[test]
fn messages_whose_client_resets_at_any_time_get_no_wrong_answer_and_leak_nothing() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::messages(seed, Faults::ALL, Plan::with_resets(seed));
        scenario.run();
        scenario.assert_prefixes();
        scenario.assert_clean();
    });
}

#[test]
fn messages_whose_client_does_not_read_keep_no_buffer_and_end_with_the_idle_timeout() {
    for_some_seeds(|seed| {
        let mut scenario = Scenario::messages(seed, Faults::NONE, Plan::unread());
        scenario.run_for(40);
        scenario.assert_buffers_home();
        scenario.run();
        scenario.assert_prefixes();
        scenario.assert_clean();
        assert_eq!(scenario.closed(CloseReason::IdleTimeout), scenario.connections());
    });
}

#[test]
fn messages_of_a_silent_client_end_with_the_idle_timeout() {
    for_some_seeds(|seed| {
        let mut scenario = Scenario::messages(seed, Faults::NONE, Plan::silent());
        scenario.run();
        scenario.assert_clean();
        assert_eq!(scenario.closed(CloseReason::IdleTimeout), scenario.connections());
    });
}

#[test]
fn servers_that_refuse_or_are_silent_are_passed_over() {
    for_each_seed(|seed| {
        let faults = Faults { descriptors: 0, ..Faults::ALL };
        let mut scenario = Scenario::relay_with_bad_servers(seed, faults, Plan::orderly(seed));
        scenario.run();
        scenario.assert_delivered();
        scenario.assert_clean();
        assert!(scenario.retries() > 0);
    });
}

#[test]
fn a_client_that_says_nothing_is_closed_after_the_idle_timeout() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::NONE, Plan::silent());
        scenario.run();
        scenario.assert_clean();
        assert_eq!(scenario.closed(CloseReason::IdleTimeout), scenario.connections());
    });
}

#[test]
fn bulk_is_spliced_and_comes_out_as_it_went_in() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::NONE, Plan::bulk(seed));
        scenario.run();
        scenario.assert_delivered();
        scenario.assert_clean();
        assert!(scenario.promotions() > 0, "bulk is promoted");
        assert!(scenario.spliced() > 0);
    });
}

#[test]
fn a_turn_does_not_grow_with_the_number_of_bulk_flows_and_all_of_them_go_on() {
    for_some_seeds(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::NONE, Plan::bulk_of_many(seed));
        let most = scenario.run_and_measure();
        scenario.assert_delivered();
        scenario.assert_clean();
        assert!(scenario.promotions() >= 12, "all are promoted");
        // Four times the budget of one direction, and what is in the pipes of the last ones.
        assert!((1..=4 * 1_000 + 5 * 3_000).contains(&most), "{most}");
    });
}

#[test]
fn bulk_flows_have_even_shares() {
    for_some_seeds(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::NONE, Plan::bulk_of_many(seed));
        let least = scenario.run_and_compare();
        assert!(least >= 50_000, "{least}");
        scenario.assert_delivered();
        scenario.assert_clean();
    });
}

#[test]
fn a_drain_serves_what_was_accepted_and_cuts_the_rest_at_the_deadline() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::relay(seed, Faults::ALL, Plan::orderly(seed));
        scenario.run_and_drain();
        scenario.assert_prefixes();
        scenario.assert_clean();
    });
}

#[test]
fn a_relay_goes_on_when_its_plan_is_replaced_or_gone() {
    for_each_seed(|seed| {
        let faults = if seed % 2 == 0 { Faults::NONE } else { Faults::ALL };
        let mut scenario = Scenario::relay(seed, faults, Plan::orderly(seed));
        scenario.run_with_reloads(Duration::from_secs(600));
        scenario.assert_delivered();
        scenario.assert_clean();
    });
}

#[test]
fn a_relay_whose_listener_is_gone_is_cut_when_its_time_is_over() {
    let cut = std::sync::atomic::AtomicU64::new(0);
    for_each_seed(|seed| {
        let timeout = Duration::from_millis(seed % 4 * 10);
        let mut scenario = Scenario::relay(seed, Faults::ALL, Plan::with_resets(seed));
        scenario.run_with_reloads(timeout);
        scenario.assert_prefixes();
        scenario.assert_clean();
        let own = scenario.closed(CloseReason::ShutdownTimeout);
        cut.fetch_add(own, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(cut.into_inner() > 0 || !harness::is_full_sweep(), "some are cut");
}

#[test]
fn every_frame_is_answered_once_and_rightly() {
    for_each_seed(|seed| {
        let mut scenario = frames::Local::new(seed, Faults::NONE);
        scenario.run();
        scenario.assert_answered(true);
        scenario.assert_clean();
    });
}

#[test]
fn frames_under_all_faults_are_answered_once_and_rightly() {
    for_each_seed(|seed| {
        let mut scenario = frames::Local::new(seed, Faults::ALL);
        scenario.run();
        scenario.assert_answered(true);
        scenario.assert_clean();
    });
}

#[test]
fn a_drain_answers_what_has_come_and_nothing_twice() {
    for_each_seed(|seed| {
        let mut scenario = frames::Local::new(seed, Faults::ALL);
        scenario.run_and_drain();
        scenario.assert_answered(false);
        scenario.assert_clean();
    });
}

#[test]
fn a_frame_proxy_goes_on_when_its_plan_is_replaced_or_gone() {
    for_each_seed(|seed| {
        let habits = frame_proxy::Habits { reset: 2, ..frame_proxy::Habits::default() };
        let faults = if seed % 2 == 0 { Faults::NONE } else { Faults::ALL };
        let mut scenario = frame_proxy::Proxied::new(seed, faults, habits, &[GOOD, GOOD]);
        scenario.run_with_reloads();
        scenario.assert_right();
        scenario.assert_clean();
    });
}

const GOOD: Behaviour = Behaviour::Accept { capacity: 3_000 };

#[test]
fn a_frame_proxy_passes_every_answer_to_its_client() {
    for_each_seed(|seed| {
        let habits = frame_proxy::Habits::default();
        let mut scenario = frame_proxy::Proxied::new(seed, Faults::NONE, habits, &[GOOD, GOOD]);
        scenario.run();
        // A short queue may overflow.
        scenario.assert_answered(true);
        scenario.assert_clean();
        assert_eq!(scenario.retried(), 0);
    });
}

#[test]
fn a_frame_proxy_under_all_faults_passes_every_answer_or_says_why_not() {
    for_each_seed(|seed| {
        let habits = frame_proxy::Habits::default();
        let servers = [Behaviour::Refuse, GOOD, Behaviour::Silent, GOOD];
        let mut scenario = frame_proxy::Proxied::new(seed, Faults::ALL, habits, &servers);
        scenario.run();
        scenario.assert_answered(true);
        scenario.assert_clean();
    });
}

#[test]
fn servers_that_die_at_any_time_cost_no_answer_and_nothing_is_done_twice() {
    for_each_seed(|seed| {
        let habits =
            frame_proxy::Habits { reset: 5, close: 5, go_away: 5, refuse: 20, mute: false };
        let mut scenario = frame_proxy::Proxied::new(seed, Faults::ALL, habits, &[GOOD, GOOD]);
        scenario.run();
        scenario.assert_answered(true);
        scenario.assert_clean();
    });
}

#[test]
fn servers_that_never_answer_are_answered_for() {
    for_some_seeds(|seed| {
        let habits = frame_proxy::Habits { mute: true, ..frame_proxy::Habits::default() };
        let mut scenario = frame_proxy::Proxied::new(seed, Faults::ALL, habits, &[GOOD]);
        scenario.run();
        scenario.assert_answered(true);
        scenario.assert_clean();
    });
}

#[test]
fn a_drain_of_a_frame_proxy_leaves_nothing_half_done() {
    for_each_seed(|seed| {
        let habits = frame_proxy::Habits { reset: 2, ..frame_proxy::Habits::default() };
        let mut scenario = frame_proxy::Proxied::new(seed, Faults::ALL, habits, &[GOOD, GOOD]);
        scenario.run_and_drain();
        scenario.assert_right();
        scenario.assert_clean();
    });
}

#[test]
fn every_client_gets_its_own_bytes_and_all_of_them() {
    for_each_seed(|seed| {
        let habits = http::Habits::default();
        let mut scenario = isolation::Everything::new(seed, Faults::NONE, habits, 0);
        scenario.run();
        scenario.assert_isolated();
        scenario.assert_served();
        scenario.assert_clean();
    });
}

#[test]
fn no_client_gets_a_byte_of_another_under_all_faults() {
    for_each_seed(|seed| {
        let habits = http::Habits { reset: 2, close: 2, unavailable: 50, silent: 20 };
        let mut scenario = isolation::Everything::new(seed, Faults::ALL, habits, 2);
        scenario.run();
        scenario.assert_isolated();
        scenario.assert_clean();
    });
}

#[test]
fn a_want_of_descriptors_is_held_against_no_server() {
    let wants = std::sync::atomic::AtomicU64::new(0);
    for_some_seeds(|seed| {
        let faults = Faults { descriptors: 500, ..Faults::NONE };
        let habits = http::Habits::default();
        let mut scenario = isolation::Everything::new(seed, faults, habits, 0);
        scenario.run();
        scenario.assert_isolated();
        scenario.assert_none_is_blamed();
        scenario.assert_clean();
        let failed = scenario.failed(ringway::service::cluster::failure::Failure::Resources);
        wants.fetch_add(failed, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(wants.into_inner() > 0, "there were some");
}
