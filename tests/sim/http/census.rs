//! What runs have reached.

use std::collections::{BTreeMap, BTreeSet};

use ringway::proto::http1::Refusal;
use ringway::service::CloseReason;
use ringway::service::cluster::attempts::Stop;
use ringway::service::cluster::failure::Failure;
use ringway::service::cluster::pool::CloseCause;

use super::run::Run;

/// In how many runs something was reached, by its name with its kind before it.
#[derive(Debug, Default)]
pub(super) struct Census(BTreeMap<String, usize>);

/// What is counted of clients that speak HTTP/2.
const HTTP2: [&str; 4] = ["connections", "resets", "refused", "stalled"];

/// All that can be reached.
pub(super) fn all() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    all.extend(CloseReason::ALL.iter().map(|reason| format!("close {}", reason.name())));
    all.extend(Failure::ALL.iter().map(|failure| format!("failure {}", failure.name())));
    all.extend(Stop::ALL.iter().map(|stop| format!("stop {}", stop.name())));
    all.extend(CloseCause::ALL.iter().map(|cause| format!("pool {}", cause.name())));
    all.extend(Refusal::NAMES.iter().map(|name| format!("refusal {name}")));
    all.extend(HTTP2.iter().map(|name| format!("http2 {name}")));
    all.extend((0..=5).map(|class| format!("class {class}xx")));
    all
}

/// What no run reaches, and why.
pub(super) const EXCUSED: [(&str, &str); 9] = [
    ("close connect_failed", "of TCP proxies: their sweeps reach it"),
    ("close connect_timeout", "of TCP proxies"),
    ("close tls_failed", "the simulated kernel's peers speak no TLS"),
    ("close tls_timeout", "the same"),
    ("close too_many_handshakes", "the same"),
    ("close upstream_overloaded", "of TCP proxies"),
    ("failure client_gone", "nothing fails with it: a client that has gone has no exchange"),
    ("failure connect_tls", "the simulated kernel's peers speak no TLS"),
    ("refusal status_line", "answers have status lines, and only requests are counted"),
];

impl Census {
    pub(super) fn note(&mut self, run: &Run) {
        let stats = &run.workers.cells()[0].stats;
        let (listener, upstream) = (&stats.listeners.get(0), &stats.upstreams.get(0).http);
        for reason in CloseReason::ALL {
            self.reach("close", reason.name(), run.closed(reason));
        }
        for failure in Failure::ALL {
            let count = upstream.failed[failure.index()].get();
            self.reach("failure", failure.name(), count);
        }
        for (cause, count) in CloseCause::ALL.iter().zip(&upstream.closed) {
            self.reach("pool", cause.name(), count.get());
        }
        for (stop, count) in Stop::ALL.iter().zip(&upstream.stopped) {
            self.reach("stop", stop.name(), count.get());
        }
        for (name, count) in Refusal::NAMES.iter().zip(&listener.http.refused) {
            self.reach("refusal", name, count.get());
        }
        let http2 = &listener.http.http2;
        let counts = [&http2.connections, &http2.resets, &http2.refused, &http2.stalled];
        for (name, count) in HTTP2.iter().zip(counts) {
            self.reach("http2", name, count.get());
        }
        let routes = || {
            let used = run.routes.iter().flat_map(|route| route.used());
            used.chain([&listener.http.unrouted])
        };
        for class in 0..=5 {
            let count = routes().map(|route| route.answers[class].get()).sum();
            self.reach("class", &format!("{class}xx"), count);
        }
    }

    fn reach(&mut self, kind: &str, name: &str, count: u64) {
        if count > 0 {
            *self.0.entry(format!("{kind} {name}")).or_default() += 1;
        }
    }

    /// What a scenario has to reach was reached, and nothing that is excused.
    pub(super) fn assert_reached(&self, scenario: &str, expected: &[&str]) {
        let is_reached = |name: &&&str| self.0.contains_key(**name);
        let missing: Vec<_> = expected.iter().filter(|name| !is_reached(name)).collect();
        assert!(missing.is_empty(), "{scenario} does not reach {missing:?}: {:?}", self.0);
        for (name, why) in &EXCUSED {
            assert!(!is_reached(&name), "{scenario} reaches {name}, which is excused: {why}");
        }
    }
}
