//! Which route a request takes: the first one, in their order, of which all conditions hold.

mod condition;
mod hosts;
mod rewrite;
mod sieve;
#[cfg(test)]
mod tests;

use super::certificate::ClientCertificate;
use crate::proto::http::RequestHead;

use condition::Request;
pub use condition::{HeaderMatch, HostMatch, PathMatch, RouteMatch};
use hosts::Hosts;
pub use rewrite::prefix_rewrite;
use sieve::{Path, Sieve};

/// What was considered of a route, for whoever wants to know why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The route's number.
    pub route: usize,
    /// Whether it is the one.
    pub matched: bool,
    /// The first condition that does not hold, or that all do.
    pub why: String,
}

/// Finds routes.
///
/// Of all routes, only those are looked at whose hosts may be the request's, in their order, and
/// closely only if the path may be theirs: so the first one that matches is the same that a look at
/// each of them would find.
#[derive(Debug)]
pub struct Router {
    routes: Vec<RouteMatch>,
    /// One for each route.
    sieves: Vec<Sieve>,
    hosts: Hosts,
}

impl Router {
    /// A router over these routes. Hosts and names of fields are put into lower case, as those of
    /// requests are.
    #[must_use]
    pub fn new(mut routes: Vec<RouteMatch>) -> Self {
        routes.iter_mut().for_each(RouteMatch::normalize);
        let hosts = Hosts::new(&routes);
        let sieves = routes.iter().map(Sieve::new).collect();
        Self { routes, sieves, hosts }
    }

    /// The route that a request takes. Nothing is allocated.
    #[must_use]
    pub fn find(
        &self,
        head: &RequestHead,
        certificate: Option<&ClientCertificate>,
    ) -> Option<usize> {
        let request = Request::new(head, certificate);
        let path = Path::new(request.path);
        let takes = |number: &usize| {
            self.sieves.get(*number).is_some_and(|sieve| sieve.lets_through(path))
                && self.routes.get(*number).is_some_and(|route| route.takes(&request))
        };
        self.hosts.candidates(request.host).find(takes).or_else(|| self.find_bare(&request))
    }

    /// The route whose folder is asked for without the `/` at its end.
    fn find_bare(&self, request: &Request<'_>) -> Option<usize> {
        let takes = |number: &usize| {
            self.routes.get(*number).is_some_and(|route| route.takes_bare(request))
        };
        self.hosts.candidates(request.host).find(takes)
    }

    /// Each route up to the one that a request takes, with the first condition that does not hold.
    #[must_use]
    pub fn explain(
        &self,
        head: &RequestHead,
        certificate: Option<&ClientCertificate>,
    ) -> Vec<Considered> {
        let request = Request::new(head, certificate);
        let mut considered = Vec::new();
        for (route, conditions) in self.routes.iter().enumerate() {
            let obstacle = conditions.obstacle(&request);
            let matched = obstacle.is_none();
            let why = match obstacle {
                Some(obstacle) => obstacle.tell(&request),
                None => "all conditions hold".to_owned(),
            };
            considered.push(Considered { route, matched, why });
            if matched {
                return considered;
            }
        }
        if let Some(route) = self.find_bare(&request) {
            let why = "it is the folder, without the `/` at its end: redirected".to_owned();
            considered.push(Considered { route, matched: true, why });
        }
        considered
    }

    /// How many routes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}
