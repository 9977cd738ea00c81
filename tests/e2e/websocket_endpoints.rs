//! Endpoints of WebSockets on real sockets: echo and topics. The client writes its frames byte for
//! byte; by HTTP/2 it is of the `h2` crate.

#[path = "websocket_endpoints/closing.rs"]
mod closing;
#[path = "websocket_endpoints/drain.rs"]
mod drain;
#[path = "websocket_endpoints/echo.rs"]
mod echo;
#[path = "websocket_endpoints/handshakes.rs"]
mod handshakes;
#[path = "websocket_endpoints/http2.rs"]
mod http2;
#[path = "websocket_endpoints/limits.rs"]
mod limits;
#[path = "websocket_endpoints/markers.rs"]
mod markers;
#[path = "websocket_endpoints/peer.rs"]
mod peer;
#[path = "websocket_endpoints/slow.rs"]
mod slow;
#[path = "websocket_endpoints/topics.rs"]
mod topics;

use crate::support::*;
use peer::{Came, MASK, Peer};

/// A server with the endpoints `/echo` and `/topics`; `keys` are those of both.
fn configuration(workers: usize, keys: &str, topics: &str) -> String {
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let routes = format!(
        "[[listener.route]]\nname = \"echo\"\npath = \"/echo\"\n[listener.route.websocket]\n\
         service = \"echo\"\n{keys}\n\
         [[listener.route]]\nname = \"topics\"\npath = \"/topics\"\n[listener.route.websocket]\n\
         service = \"topics\"\ntopics = \"t\"\n{keys}\n[topics.t]\n{topics}\n"
    );
    [&runtime(workers), admin, listener, &routes].concat()
}

fn served(workers: usize, keys: &str, topics: &str) -> Served {
    Served::new(&configuration(workers, keys, topics))
}

/// A number among the metrics. One that is counted by code, or by rule, is not there until it counts.
fn number(served: &Served, sample: &str) -> u64 {
    let text = crate::admin::get(served.running().admin().unwrap(), "GET /metrics");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    value.unwrap_or_default()
}

/// A number of the route `echo` or `topics`.
fn of_route(served: &Served, name: &str, route: &str, label: &str) -> u64 {
    let sample = format!("ringway_websocket_{name}{{listener=\"web\",route=\"{route}\"{label}}}");
    number(served, &sample)
}

/// A number of the topics `t`.
fn of_topics(served: &Served, name: &str, label: &str) -> u64 {
    number(served, &format!("ringway_topics_{name}{{topics=\"t\"{label}}}"))
}

fn closed(served: &Served, route: &str, code: &str) -> u64 {
    of_route(served, "closed_total", route, &format!(",code=\"{code}\""))
}

fn violations(served: &Served, rule: &str) -> u64 {
    of_route(served, "violations_total", "echo", &format!(",rule=\"{rule}\""))
}
