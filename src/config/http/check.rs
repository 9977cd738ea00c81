//! From raw values of HTTP to its part of the configuration: what holds between routes, and
//! between keys of an upstream.

use std::collections::HashSet;
use std::ops::Range;

use super::super::Balance;
use super::super::report::Mistake;
use super::listener::RawHttp;
use super::upstream::RawHttpUpstream;
use super::{Action, HttpOptions, Route, WebSocketService};

/// Names of routes are unique within a listener.
pub(in super::super) fn check_names(http: &RawHttp, mistakes: &mut Vec<Mistake>) {
    let mut seen: HashSet<String> = HashSet::new();
    for (number, route) in (1_usize..).zip(&http.routes) {
        let name = route.name.as_ref();
        let own = name.map_or_else(|| format!("route-{number}"), |name| name.get_ref().clone());
        let is_new = seen.insert(own);
        if let Some(name) = name.filter(|_| !is_new) {
            mistakes.push(repeated(name.get_ref(), name.span()));
        }
    }
    // A route without a name of its own may come after one that took its default.
    let named = http.routes.iter().enumerate().filter_map(|(index, route)| {
        let name = route.name.as_ref()?;
        let number: usize = name.get_ref().strip_prefix("route-")?.parse().ok()?;
        let other = http.routes.get(number.checked_sub(1)?)?;
        let is_taken = other.name.is_none() && number > index + 1;
        (is_taken && *name.get_ref() == format!("route-{number}")).then_some(name)
    });
    for name in named {
        mistakes.push(Mistake::new(
            name.span(),
            format!("`{}` is the name of a later route, which gives none", name.get_ref()),
            "choose another name, or give that route one",
        ));
    }
}

fn repeated(name: &str, span: Range<usize>) -> Mistake {
    Mistake::new(
        span,
        format!("there is already a route named `{name}` in this listener"),
        "each route needs a name of its own, as logs and metrics tell them by it",
    )
}

/// What is hashed is given if, and only if, a hash chooses the server.
pub(in super::super) fn check_hash(
    http: &RawHttpUpstream,
    balance: Balance,
    balance_place: Option<&Range<usize>>,
    is_given: bool,
    mistakes: &mut Vec<Mistake>,
) {
    match (balance, &http.hash_on, balance_place) {
        (Balance::Hash, None, Some(place)) if !is_given => mistakes.push(Mistake::new(
            place.clone(),
            "`balance = \"hash\"` needs `hash_on`",
            "add hash_on = \"source\", \"path\", \"header:NAME\" or \"cookie:NAME\"",
        )),
        (
            Balance::RoundRobin
            | Balance::LeastConnections
            | Balance::LeastRequests
            | Balance::SourceHash
            | Balance::ConsistentHash
            | Balance::Ewma,
            Some(place),
            _,
        ) => mistakes.push(Mistake::new(
            place.clone(),
            "`hash_on` is for `balance = \"hash\"`",
            "remove it, or set `balance` to \"hash\"",
        )),
        (_, _, _) => {}
    }
}

/// The options of a listener, with the upstreams that its routes lead to. The routes are taken out
/// of it. `None` if a route is not understood, or its upstream is not there.
pub(in super::super) fn resolve(
    http: &mut RawHttp,
    targets: &[Option<usize>],
) -> Option<HttpOptions> {
    let mut routes = Vec::with_capacity(http.routes.len());
    for (raw, target) in http.routes.iter_mut().zip(targets) {
        let route = raw.rest.take()?;
        let action = match route.action {
            Action::Proxy { .. } => Action::Proxy { upstream: (*target)? },
            Action::WebSocket(mut options) => {
                if let WebSocketService::Relay { upstream, .. } = &mut options.service {
                    *upstream = (*target)?;
                }
                Action::WebSocket(options)
            }
            other @ (Action::Files(_)
            | Action::Redirect { .. }
            | Action::Respond { .. }
            | Action::Echo
            | Action::Handler(_)
            | Action::StatusPage
            | Action::WebSocketPage) => other,
        };
        routes.push(Route { action, ..route });
    }
    Some(HttpOptions { routes, ..http.rest.clone() })
}
