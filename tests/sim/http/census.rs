//! What runs have reached.

use std::collections::BTreeSet;

use ringway::proto::http1::Refusal;
use ringway::service::CloseReason;
use ringway::service::cluster::failure::Failure;
use ringway::service::cluster::pool::CloseCause;

use super::run::Run;

/// Names of what was reached, each with its kind before it.
#[derive(Debug, Default)]
pub(super) struct Census(BTreeSet<String>);

impl Census {
    pub(super) fn note(&mut self, run: &Run) {
        let stats = &run.fleet.cells()[0].stats;
        let (listener, upstream) = (&stats.listeners[0], &stats.upstreams[0].http);
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
        for (name, count) in Refusal::NAMES.iter().zip(&listener.http.refused) {
            self.reach("refusal", name, count.get());
        }
        let all = 0..=super::setup::ROUTES.len();
        for route in all.filter_map(|at| listener.http.used_route(at)) {
            for (class, count) in route.answers.iter().enumerate() {
                self.reach("class", &format!("{class}xx"), count.get());
            }
        }
        for got in run.clients.iter().flat_map(|client| &client.answers) {
            self.reach("status", &got.status.to_string(), 1);
        }
    }

    fn reach(&mut self, kind: &str, name: &str, count: u64) {
        if count > 0 {
            self.0.insert(format!("{kind} {name}"));
        }
    }

    pub(super) fn names(&self) -> &BTreeSet<String> {
        &self.0
    }
}
