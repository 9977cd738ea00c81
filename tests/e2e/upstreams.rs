//! The servers of an upstream, whatever protocols use them: health, limits, changes by hand.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use ringway::service::CloseReason;
use serde_json::Value;

use crate::admin::get;
use crate::support::*;

const TOKEN: &str = "a-token-of-the-operators-of-all-servers";

/// An admin interface on which servers may be changed.
fn admin(folder: &Folder) -> String {
    let file = folder.file("tokens", TOKEN);
    format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n", file.display())
}

/// A server that says its name, and gives back what comes.
fn named(name: u8) -> SocketAddr {
    serve(move |mut stream| {
        let mut reader = stream.try_clone().unwrap();
        if stream.write_all(&[name]).is_ok() {
            let _broken = std::io::copy(&mut reader, &mut stream);
        }
        let _gone = stream.shutdown(Shutdown::Write);
    })
}

/// A server of HTTP that answers one request for each connection.
fn web_server() -> SocketAddr {
    serve(|mut stream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
            head.push(byte[0]);
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        let _gone = stream.write_all(answer);
    })
}

/// A connection, and the name of the server that it got.
fn connected(served: &Served) -> (TcpStream, u8) {
    let mut stream = served.connect();
    let mut name = [0];
    stream.read_exact(&mut name).unwrap();
    (stream, name[0])
}

/// How many of so many connections, one after the other, went to each server.
fn shares(served: &Served, count: usize, names: &[u8]) -> Vec<usize> {
    let all: Vec<u8> = (0..count).map(|_| connected(served).1).collect();
    names.iter().map(|name| all.iter().filter(|one| *one == name).count()).collect()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// What the page tells of the servers of the first upstream.
fn servers(served: &Served) -> Vec<Value> {
    let answer = get(served.running().admin().unwrap(), "GET /upstreams");
    let page: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(page["workers_without_answer"], serde_json::json!([]));
    page["upstreams"][0]["servers"].as_array().unwrap().clone()
}

fn post(served: &Served, path: &str, json: &str) -> String {
    let mut stream = connect(served.running().admin().unwrap());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn servers_of_a_tcp_upstream_are_checked_and_shown() {
    let folder = Folder::new();
    let (good, bad) = (named(b'a'), nobody());
    let keys = "health = { interval = \"20ms\", timeout = \"20ms\", fall = 2 }\n";
    let text = [&*runtime(2), &admin(&folder), &proxy(""), &upstream(&[good, bad], keys)].concat();
    let served = Served::new(&text);
    wait_until("the checks have found it", || servers(&served)[1]["state"] == "down");
    let all = servers(&served);
    assert_eq!((&all[0]["state"], &all[1]["reason"]), (&"up".into(), &"health_check".into()));
    assert_eq!(all[0]["last_check"]["result"], "success", "{all:?}");
    assert!(all[1]["last_check"]["error"].as_str().unwrap().contains("refused"), "{all:?}");
    assert!(all[1]["since"].as_f64().unwrap() > 1.6e9 && all[0]["since"].is_null(), "{all:?}");
    assert_eq!(shares(&served, 12, b"a"), [12]);
    let metrics = get(served.running().admin().unwrap(), "GET /metrics");
    for line in [
        format!("ringway_server_usable_workers{{upstream=\"u\",server=\"{good}\"}} 2"),
        format!("ringway_server_usable_workers{{upstream=\"u\",server=\"{bad}\"}} 0"),
        format!("ringway_server_healthy{{upstream=\"u\",server=\"{bad}\"}} 0"),
        "ringway_upstream_connect_failures_total{upstream=\"u\",kind=\"refused\"} 0".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[test]
fn a_server_is_drained_and_lifted_while_its_connections_go_on() {
    let folder = Folder::new();
    let to = [named(b'a'), named(b'b')];
    let served =
        Served::new(&[&*runtime(2), &admin(&folder), &proxy(""), &upstream(&to, "")].concat());
    let (mut open, name) =
        std::iter::repeat_with(|| connected(&served)).find(|(_, name)| *name == b'a').unwrap();
    assert_eq!(name, b'a');
    let path = format!("/upstreams/u/servers/{}", to[0]);
    let answer = post(&served, &path, "{\"drain\": true}");
    assert!(answer.starts_with("HTTP/1.1 200") && body(&answer) == "{\"workers\":2}\n", "{answer}");
    assert_eq!(shares(&served, 10, b"ab"), [0, 10]);
    let all = servers(&served);
    assert_eq!((&all[0]["state"], &all[0]["active"]), (&"drained".into(), &1.into()));
    assert_eq!(all[0]["workers"], serde_json::json!({ "drained": 2 }));
    open.write_all(b"on").unwrap();
    let mut back = [0; 2];
    open.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"on", "what was there goes on");
    assert!(post(&served, &path, "{\"up\": true}").starts_with("HTTP/1.1 200"));
    let counts = shares(&served, 20, b"ab");
    assert!(counts[0] > 5 && counts[1] > 5, "{counts:?}");
    assert_eq!(servers(&served)[0]["state"], "up");
}

#[test]
fn a_weight_changes_at_run_time_and_nonsense_changes_nothing() {
    let folder = Folder::new();
    let to = [named(b'a'), named(b'b')];
    let served =
        Served::new(&[&*runtime(1), &admin(&folder), &proxy(""), &upstream(&to, "")].concat());
    let path = format!("/upstreams/u/servers/{}", to[1]);
    for (path, json, status) in [
        (&*path, "{\"weight\": 0}", 400),
        (&path, "{\"weight\": 9, \"drain\": true}", 400),
        (&path, "drain", 400),
        (&path, &format!("{{\"weight\": {}1}}", " ".repeat(5_000)), 400),
        ("/upstreams/v/servers/x", "{\"up\": true}", 404),
        ("/upstreams/u/servers/10.0.0.1:1", "{\"up\": true}", 404),
        ("/upstreams/u", "{\"up\": true}", 404),
        ("/upstreams", "{\"up\": true}", 405),
    ] {
        let answer = post(&served, path, json);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {json}: {answer}");
    }
    let answer = get(served.running().admin().unwrap(), &format!("GET {path}"));
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert_eq!(shares(&served, 20, b"ab"), [10, 10]);
    assert!(post(&served, &path, "{\"weight\": 4}").starts_with("HTTP/1.1 200"));
    assert_eq!(servers(&served)[1]["weight"], 4);
    let counts = shares(&served, 20, b"ab");
    assert!((15..=17).contains(&counts[1]), "{counts:?}");
}

#[test]
fn weights_and_priorities_hold_for_tcp() {
    let to = [named(b'a'), named(b'b'), named(b'c')];
    let keys = format!(
        "[upstream.u]\nservers = [{{ address = \"{}\", weight = 3 }}, \"{}\", \
         {{ address = \"{}\", priority = 1 }}]\n",
        to[0], to[1], to[2]
    );
    let served = Served::new(&[&*runtime(1), NO_ADMIN, &proxy(""), &keys].concat());
    assert_eq!(shares(&served, 40, b"abc"), [30, 10, 0]);
}

#[test]
fn a_limit_on_connections_holds_and_tells_why() {
    let folder = Folder::new();
    let keys = "requests_max = 2\n";
    let to = upstream(&[named(b'a')], keys);
    let served = Served::new(&[&*runtime(1), &admin(&folder), &proxy(""), &to].concat());
    let open = [connected(&served), connected(&served)];
    let mut refused = served.connect();
    assert_eq!(refused.read(&mut [0]).unwrap_or(0), 0);
    wait_until("it is counted", || served.closed(CloseReason::UpstreamOverloaded) == 1);
    let metrics = get(served.running().admin().unwrap(), "GET /metrics");
    let line = "ringway_upstream_refused_total{upstream=\"u\",limit=\"in_flight\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    drop(open);
    wait_until("both are over", || served.closed(CloseReason::Finished) == 2);
    assert_eq!(connected(&served).1, b'a');
}

/// What an HTTP route has found out, a TCP listener with the same upstream goes by.
#[test]
fn a_tcp_listener_and_a_route_of_http_share_their_servers() {
    let folder = Folder::new();
    let (web, bad) = (web_server(), nobody());
    let listeners = format!(
        "{}[[listener]]\nname = \"h\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\nproxy = \"u\"\n",
        proxy("")
    );
    let to = upstream(&[web, bad], "eject = { consecutive_connect_failures = 1, time = \"1h\" }");
    let served = Served::new(&[&*runtime(1), &admin(&folder), &listeners, &to].concat());
    let route = served.running().address("h").unwrap().ip().unwrap();
    wait_until("the route has met the dead one", || {
        assert!(get(route, "GET /").starts_with("HTTP/1.1 200"));
        servers(&served)[1]["state"] == "ejected"
    });
    let failed =
        || served.sum(|cell| cell.stats.upstreams.get(0).failed.iter().map(|n| n.get()).sum());
    let before = failed();
    for _ in 0..6 {
        assert!(get(served.address(), "GET /").starts_with("HTTP/1.1 200"));
    }
    assert_eq!(failed(), before, "the TCP listener has not tried it");
    let shown = &servers(&served)[1];
    assert_eq!(shown["reason"], "connect_failures");
    assert!(shown["until"].as_f64().unwrap() > shown["since"].as_f64().unwrap() + 3_000.0);
    let path = format!("/upstreams/u/servers/{bad}");
    assert!(post(&served, &path, "{\"up\": true}").starts_with("HTTP/1.1 200"));
    assert_eq!(servers(&served)[1]["state"], "up");
}

#[test]
fn frame_servers_are_asked_by_a_ping() {
    let folder = Folder::new();
    let frame = "[[listener]]\nname = \"f\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"frame\"\n";
    let server = Served::new(&[&*runtime(1), NO_ADMIN, frame].concat());
    // It takes connections, and speaks nothing that is asked of it.
    let mute = serve(|mut stream| {
        let _until_it_is_given_up = stream.read_to_end(&mut Vec::new());
    });
    let proxy = format!("{frame}upstream = \"u\"\n");
    let keys = "health = { interval = \"20ms\", timeout = \"20ms\", fall = 2 }\n";
    let to = upstream(&[server.address(), mute], keys);
    let served = Served::new(&[&*runtime(1), &admin(&folder), &proxy, &to].concat());
    wait_until("only one of them is down", || {
        let all = servers(&served);
        all[1]["state"] == "down" && all[0]["last_check"]["result"] == "success"
    });
    assert_eq!(servers(&served)[0]["state"], "up");
    drop(server);
    wait_until("it is gone", || servers(&served)[0]["state"] == "down");
}
