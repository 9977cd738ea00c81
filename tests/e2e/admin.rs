//! The admin interface.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use ringway::config::LogLevel;
use ringway::server::{LogLevelControl, StartOptions};

use crate::support::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn get(address: SocketAddr, request: &str) -> String {
    ask(address, request, "", "")
}

/// The answer to a request with further fields, each with its end of line, and a body.
fn ask(address: SocketAddr, request: &str, fields: &str, body: &str) -> String {
    let mut stream = connect(address);
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    // In one piece, as some answers are there after the first one.
    let request = format!(
        "{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{length}{fields}\r\n{body}"
    );
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

/// Up to 1,000 routes, all are exported from the start on; beyond, those that had a request.
#[test]
fn a_scrape_of_many_routes_has_those_that_are_used() {
    let page = |count: usize| {
        let routes: String = (0..count)
            .map(|n| format!("[[listener.route]]\npath = \"/{n}\"\nrespond = \"{n}\"\n"))
            .collect();
        let served = Served::new(&format!(
            "{}[admin]\nlisten = \"127.0.0.1:0\"\n[[listener]]\nname = \"web\"\n\
             listen = \"127.0.0.1:0\"\nprotocol = \"http\"\n{routes}",
            runtime(2)
        ));
        assert!(get(served.address(), "GET /7").ends_with("\r\n\r\n7"));
        let admin = served.running().admin().unwrap();
        let own =
            "ringway_http_requests_total{listener=\"web\",route=\"route-8\",status=\"2xx\"} 1";
        wait_until(own, || get(admin, "GET /metrics").contains(own));
        let text = get(admin, "GET /metrics");
        text.lines().filter(|line| line.starts_with("ringway_http_response_bytes_total")).count()
    };
    assert_eq!(page(1_000), 1_001, "each route, and `none`");
    assert_eq!(page(1_001), 1);
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

/// The field with a token.
fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// The value of the counter of changes.
fn changes(admin: SocketAddr, verdict: &str) -> f64 {
    let sample =
        format!("ringway_admin_changes_total{{change=\"log_level\",verdict=\"{verdict}\"}}");
    value(&get(admin, "GET /metrics"), &sample)
}

/// A level that is kept here, and how a server reads and changes it.
fn control() -> (Arc<Mutex<LogLevel>>, LogLevelControl) {
    let level = Arc::new(Mutex::new(LogLevel::Info));
    let (read, written) = (Arc::clone(&level), Arc::clone(&level));
    let control = LogLevelControl::new(
        move || *read.lock().unwrap(),
        move |level| {
            *written.lock().unwrap() = level;
            Ok(())
        },
    );
    (level, control)
}

fn served_with(admin: &str, log_level: Option<LogLevelControl>) -> Served {
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\n{admin}");
    let text = runtime(1) + &admin + &proxy("") + &upstream(&[nobody()], "");
    Served::with_options(&text, StartOptions { log_level, ..StartOptions::default() })
}

#[test]
fn without_a_token_in_the_configuration_nothing_can_be_changed() {
    let (level, control) = control();
    let served = served_with("", Some(control));
    let admin = served.running().admin().unwrap();
    for fields in [String::new(), bearer(TOKEN), bearer("")] {
        let answer = ask(admin, "POST /log?level=debug", &fields, "");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("set `token_file` in [admin]"), "{answer}");
    }
    assert_eq!(*level.lock().unwrap(), LogLevel::Info);
    assert!(get(admin, "GET /log").ends_with("{\"level\":\"info\"}\n"));
    assert!((changes(admin, "forbidden") - 3.0).abs() < 0.5);
}

#[test]
fn a_change_needs_a_token_and_is_counted() {
    let folder = Folder::new();
    let file = folder.file("tokens", &format!("# operators\n{TOKEN}\n"));
    let (level, control) = control();
    let served = served_with(&format!("token_file = \"{}\"\n", file.display()), Some(control));
    let admin = served.running().admin().unwrap();
    let twice = bearer(TOKEN) + &bearer(TOKEN);
    let basic = format!("Authorization: Basic {TOKEN}\r\n");
    for (fields, challenge) in [
        (String::new(), "www-authenticate: Bearer realm=\"ringway admin\"\r\n"),
        (basic, "www-authenticate: Bearer realm=\"ringway admin\"\r\n"),
        (bearer(&TOKEN[1..]), "error=\"invalid_token\""),
        (bearer("0123456789ABCDEF0123456789ABCDEF"), "error=\"invalid_token\""),
        (twice, "www-authenticate: Bearer realm=\"ringway admin\"\r\n"),
    ] {
        let answer = ask(admin, "POST /log?level=debug", &fields, "");
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(challenge), "{answer}");
        assert!(!answer.contains(TOKEN));
    }
    assert_eq!(*level.lock().unwrap(), LogLevel::Info);
    // Reading needs none, and the token is nowhere.
    let config = get(admin, "GET /config");
    assert!(config.starts_with("HTTP/1.1 200") && config.contains("token_file = "), "{config}");
    assert!(!config.contains(TOKEN));
    for (query, body, old, new) in [
        ("?level=debug", "", "info", "debug"),
        ("", "level=trace", "debug", "trace"),
        ("", "warn", "trace", "warn"),
        ("?level=warn", "", "warn", "warn"),
    ] {
        let answer = ask(admin, &format!("POST /log{query}"), &bearer(TOKEN), body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.ends_with(&format!("{{\"new\":\"{new}\",\"old\":\"{old}\"}}\n")),
            "{answer}"
        );
        assert!(get(admin, "GET /log").ends_with(&format!("{{\"level\":\"{new}\"}}\n")));
    }
    let long = "x".repeat(10_000);
    for (query, body, status) in [
        ("", "", "400"),
        ("?level=loud", "", "400"),
        ("?level=info", "info", "400"),
        ("", &*long, "413"),
    ] {
        let answer = ask(admin, &format!("POST /log{query}"), &bearer(TOKEN), body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    for request in ["DELETE /log", "PUT /log?level=info"] {
        let answer = ask(admin, request, &bearer(TOKEN), "");
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(answer.contains("allow: GET, HEAD, POST"), "{answer}");
    }
    assert_eq!(*level.lock().unwrap(), LogLevel::Warn);
    for (verdict, count) in
        [("made", 4.0), ("invalid", 4.0), ("unauthorized", 5.0), ("forbidden", 0.0)]
    {
        assert!((changes(admin, verdict) - count).abs() < 0.5, "{verdict}");
    }
}

#[test]
fn a_program_without_a_level_that_can_be_changed_says_so() {
    let folder = Folder::new();
    let file = folder.file("tokens", TOKEN);
    let served = served_with(&format!("token_file = \"{}\"\n", file.display()), None);
    let admin = served.running().admin().unwrap();
    assert!(get(admin, "GET /log").starts_with("HTTP/1.1 501"));
    assert!(ask(admin, "POST /log?level=debug", &bearer(TOKEN), "").starts_with("HTTP/1.1 501"));
}

#[test]
fn tokens_are_read_again_when_the_file_changes_and_bad_ones_change_nothing() {
    let folder = Folder::new();
    let file = folder.file("tokens", TOKEN);
    let (_level, control) = control();
    let served = served_with(&format!("token_file = \"{}\"\n", file.display()), Some(control));
    let admin = served.running().admin().unwrap();
    let status =
        |token: &str| ask(admin, "POST /log?level=info", &bearer(token), "")[..12].to_owned();
    let replace = |text: &str| {
        let new = folder.file("new", text);
        std::fs::rename(new, &file).unwrap();
    };
    let wait_for = |result: &str| {
        let sample = format!(
            "ringway_file_reloads_total{{owner=\"admin\",files=\"tokens\",result=\"{result}\"}} 1\n"
        );
        wait_until(&sample, || get(admin, "GET /metrics").contains(&sample));
    };
    let next = "another-token-of-the-operators";
    assert_eq!([status(TOKEN), status(next)], ["HTTP/1.1 200", "HTTP/1.1 401"]);
    replace(next);
    wait_for("ok");
    assert_eq!([status(TOKEN), status(next)], ["HTTP/1.1 401", "HTTP/1.1 200"]);
    replace("short");
    wait_for("failed");
    assert_eq!([status(TOKEN), status(next)], ["HTTP/1.1 401", "HTTP/1.1 200"]);
}

#[test]
fn the_level_of_the_log_changes_while_the_program_runs_and_the_log_says_who_did_it() {
    let folder = Folder::new();
    let file = folder.file("tokens", TOKEN);
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n", file.display());
    let echo = "[[listener]]\nname = \"t\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"echo\"\n\
                accept_proxy_protocol = true\n";
    let text = [&runtime(1), &admin, "[log]\nformat = \"json\"\n", echo].concat();
    let program = Program::serve(&text);
    let [address, admin] = program.addresses[..] else { panic!("{:?}", program.addresses) };
    // A connection that is refused for a reason that only the level "debug" shows.
    let refused = || {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
    };
    let change = |token: &str, level: &str| {
        ask(admin, &format!("POST /log?level={level}"), &bearer(token), "")[..12].to_owned()
    };
    assert!(get(admin, "GET /log").ends_with("{\"level\":\"info\"}\n"));
    refused();
    assert_eq!(change("not-the-token-at-all", "trace"), "HTTP/1.1 401");
    refused();
    assert_eq!(change(TOKEN, "debug"), "HTTP/1.1 200");
    refused();
    assert_eq!(change(TOKEN, "error"), "HTTP/1.1 200");
    refused();
    assert!(get(admin, "GET /log").ends_with("{\"level\":\"error\"}\n"));
    program.signal(Signal::SIGTERM);
    let (status, errors) = program.wait();
    assert!(status.success(), "{errors}");
    assert_eq!(errors.matches("PROXY protocol header refused").count(), 1, "{errors}");
    let changes: Vec<&str> = errors.lines().filter(|line| line.contains("log_level")).collect();
    let expected =
        [["unauthorized", "wrong token"], ["made", "info -> debug"], ["made", "debug -> error"]];
    assert_eq!(changes.len(), expected.len(), "{errors}");
    for (line, words) in changes.iter().zip(expected) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert!(line.contains("\"peer\":\"127.0.0.1:"), "{line}");
    }
    assert!(!errors.contains(TOKEN) && !errors.contains("not-the-token"), "{errors}");
}
