//! What is allowed and yet likely not meant: upstreams and topics that nothing uses, routes that no
//! request reaches, tokens sent in clear.

use std::collections::HashSet;

use super::accept;
use super::http::shadow::unreachable_routes;
use super::place::{Finding, Place};
use super::report::Severity;
use super::{Config, Topics};

impl Config {
    /// What this configuration allows and likely does not mean.
    #[must_use]
    pub fn warnings(&self) -> Vec<Finding> {
        let mut found = self.unused_upstreams();
        found.extend(self.unused_topics());
        found.extend(self.clear_tokens());
        for (index, listener) in self.listeners.iter().enumerate() {
            let Some(http) = listener.service.http() else { continue };
            for (route, by) in unreachable_routes(&http.routes) {
                let name = |at: usize| format!("`{}`", accept::shown(&http.routes[at].name));
                let names: Vec<_> = by.into_iter().map(name).collect();
                let verb = if names.len() == 1 { "takes" } else { "take" };
                found.push(Finding {
                    place: Place::listener(index).key("route").at(route),
                    severity: Severity::Warning,
                    message: format!("no request ever reaches the route {}", name(route)),
                    help: format!(
                        "the first route whose conditions hold is taken, and {} {verb} all of its \
                         requests: move it up, or remove it",
                        names.join(" and ")
                    ),
                });
            }
        }
        found
    }

    /// A token that whoever is on the way can read.
    fn clear_tokens(&self) -> Option<Finding> {
        let admin = &self.admin;
        let is_clear = admin.enabled && admin.tls.is_none() && !admin.listen.ip().is_loopback();
        (is_clear && admin.token_file.is_some()).then(|| Finding {
            place: Place::table("admin").key("token_file"),
            severity: Severity::Warning,
            message: format!("tokens are sent in clear to {}", admin.listen),
            help: "add [admin.tls], or listen on a loopback address".to_owned(),
        })
    }

    fn unused_upstreams(&self) -> Vec<Finding> {
        let mut is_used = vec![false; self.upstreams.len()];
        for index in self.listeners.iter().flat_map(|listener| listener.service.upstreams()) {
            if let Some(is_used) = is_used.get_mut(index) {
                *is_used = true;
            }
        }
        let unused = self.upstreams.iter().zip(is_used).filter(|(_, is_used)| !is_used);
        let findings = unused.map(|(upstream, _)| {
            let name = &upstream.name;
            Finding {
                place: Place::upstream(name),
                severity: Severity::Warning,
                message: format!("no listener uses the upstream `{}`", accept::shown(name)),
                help: format!(
                    "set `upstream = {0}` in a [[listener]], or remove this table; a \
                     [[listener.route]] of HTTP sets `proxy = {0}`",
                    accept::quoted(name)
                ),
            }
        });
        findings.collect()
    }

    fn unused_topics(&self) -> Vec<Finding> {
        let http = self.listeners.iter().filter_map(|listener| listener.service.http());
        let routes = http.flat_map(|http| &http.routes);
        let used = routes.filter_map(|route| route.action.websocket()?.topics());
        let frames = self.listeners.iter().filter_map(|listener| listener.service.frame_topics());
        let used: HashSet<usize> = used.chain(frames).collect();
        let unused = self.topics.iter().enumerate().filter(|(index, _)| !used.contains(index));
        let findings = unused.map(|(_, Topics { name, .. })| Finding {
            place: Place::topics(name),
            severity: Severity::Warning,
            message: format!("no route uses the topics `{}`", accept::shown(name)),
            help: format!(
                "set `topics = {}` in a [listener.route.websocket] with `service = \"topics\"`, or \
                 remove this table",
                accept::quoted(name)
            ),
        });
        findings.collect()
    }
}
