//! The admin interface.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::support::*;

pub(crate) fn get(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    // In one piece, as some answers are there after the first one.
    let request = format!("{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn served(workers: usize) -> Served {
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let to = upstream(&[echo_server()], "");
    Served::new(&[&runtime(workers), admin, &proxy(""), &to].concat())
}

#[test]
fn metrics_tell_what_has_happened() {
    let served = served(2);
    for number in 0..10 {
        assert_eq!(exchange(served.connect(), bytes(number, 1000)).len(), 1000);
    }
    wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
    let text = get(served.running().admin().unwrap(), "GET /metrics");
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    for line in [
        "# TYPE ringway_connections_accepted_total counter",
        "# HELP ringway_connections_accepted_total ",
        "ringway_connections_accepted_total{listener=\"t\"} 10",
        "ringway_connections_active{listener=\"t\"} 0",
        "ringway_connections_closed_total{listener=\"t\",reason=\"finished\"} 10",
        "ringway_received_bytes_total{listener=\"t\"} 10000",
        "ringway_sent_bytes_total{listener=\"t\"} 10000",
        "ringway_upstream_connects_total{upstream=\"u\"} 10",
        "ringway_relay_copied_bytes_total 20000",
        "ringway_connection_duration_seconds_count 10",
        "ringway_upstream_connect_duration_seconds_count 10",
        "ringway_loop_stale_completions_total{worker=\"1\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

/// The value of a sample, by its name and labels.
fn value(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is not in {metrics}")).parse().unwrap()
}

#[test]
fn metrics_tell_how_long_turns_take_and_how_busy_each_worker_is() {
    let served = served(2);
    let admin = served.running().admin().unwrap();
    let of = |name: &str, worker: usize| format!("ringway_{name}{{worker=\"{worker}\"}}");
    let before = get(admin, "GET /metrics");
    for number in 0..10 {
        assert_eq!(exchange(served.connect(), bytes(number, 1000)).len(), 1000);
    }
    let text = get(admin, "GET /metrics");
    let mut grown = 0.0;
    for worker in 0..2 {
        let get = |name: &str| value(&text, &of(name, worker));
        let timed = get("loop_turn_duration_seconds_count");
        assert!(timed > 0.0, "{text}");
        let (busy, longest) = (get("worker_busy_seconds_total"), get("loop_turn_longest_seconds"));
        assert!(longest > 0.0 && longest <= busy, "{longest} of {busy}");
        // A worker may end a turn while the page is made: what is read later may be more.
        assert!(busy >= get("loop_turn_duration_seconds_sum"));
        assert!(get("worker_cpu_seconds_total") > 0.0);
        assert!(get("worker_run_queue_seconds_total") >= 0.0);
        let last =
            format!("ringway_loop_turn_duration_seconds_bucket{{worker=\"{worker}\",le=\"+Inf\"}}");
        assert!((value(&text, &last) - timed).abs() < 0.5);
        grown += busy - value(&before, &of("worker_busy_seconds_total", worker));
    }
    assert!(grown > 0.0, "ten connections take time");
}

#[test]
fn pages_answer_and_others_are_not_found() {
    let served = served(1);
    let admin = served.running().admin().unwrap();
    assert!(get(admin, "GET /healthz").ends_with("ok\n"));
    assert!(get(admin, "GET /readyz").ends_with("ready\n"));
    assert!(get(admin, "GET /").contains("/metrics"));
    assert!(get(admin, "GET /nothing").starts_with("HTTP/1.1 404"));
    assert!(get(admin, "POST /metrics").starts_with("HTTP/1.1 405"));
    let config = get(admin, "GET /config");
    let (_, body) = config.split_once("\r\n\r\n").unwrap();
    ringway::config::parse("effective.toml", body).unwrap();
    // While it drains it lives, but is not ready.
    let mut open = served.connect();
    open.write_all(b"x").unwrap();
    open.read_exact(&mut [0]).unwrap();
    served.running().drain();
    wait_until("not ready", || get(admin, "GET /readyz").starts_with("HTTP/1.1 503"));
    assert!(get(admin, "GET /healthz").ends_with("ok\n"));
    drop(open);
    assert_eq!(served.drain().cut, 0);
}
