//! Which route a request takes: the first one, in their order, of which all conditions hold.

mod condition;
mod lists;
mod literals;
mod patterns;
mod places;
mod rewrite;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::util::pool::Pool;

use super::certificate::ClientCertificate;
use crate::proto::http::RequestHead;

use condition::Request;
pub use condition::{HeaderMatch, HostMatch, PathMatch, PathRegex, RouteMatch};
use lists::{Entry, Lists};
pub use patterns::{PatternScratch, Patterns};
pub use places::{PathPlace, PlaceKind, Places};
pub use rewrite::Rewrite;

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
/// Routes are found by their hosts, paths and methods, so that the cost does not grow with their
/// number. Looked at one by one are only those of the same host, path and method, which differ by
/// fields or certificates, and regular expressions of which a text is in the path. The first one
/// that matches is the same that a look at each of them would find.
#[derive(Debug)]
pub struct Router {
    routes: Vec<RouteMatch>,
    places: Places,
    lists: Lists,
    expressions: Expressions,
}

/// The regular expressions of each host.
struct Expressions {
    /// By roots of [`Places`], in order: which patterns they have.
    roots: Vec<(u32, usize)>,
    /// Hosts with the same expressions share them.
    patterns: Vec<Patterns>,
    scratches: Pool<PatternScratch, MakeScratch>,
}

type MakeScratch = Box<dyn Fn() -> PatternScratch + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl fmt::Debug for Expressions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

impl Router {
    /// A router over these routes. Hosts and names of fields are put into lower case, as those of
    /// requests are.
    ///
    /// # Panics
    /// With 2^31 routes or more.
    #[must_use]
    pub fn new(mut routes: Vec<RouteMatch>) -> Self {
        routes.iter_mut().for_each(RouteMatch::normalize);
        let mut places = Places::default();
        let mut entries = Vec::with_capacity(routes.len());
        let mut expressions: HashMap<u32, Vec<u32>> = HashMap::new();
        for (number, route) in routes.iter().enumerate() {
            let number = i32::try_from(number).expect("nobody writes 2^31 routes").cast_unsigned();
            let any = route.hosts.is_empty().then_some(&HostMatch::Any);
            for host in any.into_iter().chain(&route.hosts) {
                let root = places.root(host);
                let path = match &route.path {
                    PathMatch::Any => PathPlace::Any,
                    PathMatch::Exact(path) => PathPlace::Exact(path),
                    PathMatch::Prefix(path) => PathPlace::Prefix(path),
                    PathMatch::Regex(_) => {
                        let of_root = expressions.entry(root).or_default();
                        // A route may name one host twice.
                        if of_root.last() != Some(&number) {
                            of_root.push(number);
                        }
                        continue;
                    }
                };
                let place = places.place(root, path);
                let any = route.methods.is_empty().then_some(None);
                let methods = route.methods.iter().map(|method| Some(&**method));
                let methods = any.into_iter().chain(methods);
                entries.extend(methods.map(|method| Entry { place, method, number }));
            }
        }
        let is_sole = |number: u32| routes.get(number as usize).is_some_and(RouteMatch::is_sole);
        let lists = Lists::new(places.len(), entries, is_sole);
        let expressions = Expressions::new(expressions, &routes);
        Self { routes, places, lists, expressions }
    }

    /// The route that a request takes. Nothing is allocated.
    #[must_use]
    pub fn find(
        &self,
        head: &RequestHead,
        certificate: Option<&ClientCertificate>,
    ) -> Option<usize> {
        let request = Request::new(head, certificate);
        self.first(&request).or_else(|| self.find_bare(&request))
    }

    fn first(&self, request: &Request<'_>) -> Option<usize> {
        let holds = |number: u32| {
            let route = self.routes.get(number as usize);
            route.is_some_and(|route| route.other_obstacle(request).is_none())
        };
        let mut best = u32::MAX;
        for root in self.places.roots(request.host) {
            self.places.along(root, request.path, |_, place| {
                best = self.lists.first(place, request.method, best, holds).unwrap_or(best);
            });
        }
        if !self.expressions.roots.is_empty() {
            for root in self.places.roots(request.host) {
                let found = self.expressions.first(root, request.path, best, &self.routes, holds);
                best = found.unwrap_or(best);
            }
        }
        (best != u32::MAX).then_some(best as usize)
    }

    /// The route whose folder is asked for without the `/` at its end.
    fn find_bare(&self, request: &Request<'_>) -> Option<usize> {
        let roots = self.places.roots(request.host);
        let folders = roots.filter_map(|root| self.places.folder(root, request.path));
        let routes = folders.flat_map(|place| self.lists.all(place)).map(|number| number as usize);
        let takes = |number: &usize| {
            self.routes.get(*number).is_some_and(|route| route.takes_bare(request))
        };
        routes.filter(takes).min()
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

    /// The regular expression of the path of a route, if it has one.
    #[must_use]
    pub fn regex(&self, route: usize) -> Option<&PathRegex> {
        self.routes.get(route)?.path.regex()
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

impl Expressions {
    /// The routes with regular expressions, by the roots of their hosts.
    fn new(by_root: HashMap<u32, Vec<u32>>, routes: &[RouteMatch]) -> Self {
        let mut by_root: Vec<_> = by_root.into_iter().collect();
        by_root.sort_unstable();
        let mut known: HashMap<&[u32], usize> = HashMap::new();
        let mut patterns = Vec::new();
        let mut roots = Vec::with_capacity(by_root.len());
        for (root, numbers) in &by_root {
            let key = *known.entry(numbers).or_insert_with(|| {
                let expressions = numbers.iter().filter_map(|number| {
                    Some((*number, routes.get(*number as usize)?.path.regex()?.regex()))
                });
                patterns.push(Patterns::new(&expressions.collect::<Vec<_>>()));
                patterns.len() - 1
            });
            roots.push((*root, key));
        }
        let most = patterns.iter().map(Patterns::len).max().unwrap_or_default();
        let make = move || PatternScratch::with_capacity(most);
        Self { roots, patterns, scratches: Pool::new(Box::new(make)) }
    }

    /// The first route below `best` of a root whose regular expression is found in the path, and
    /// for which `holds` says so.
    fn first(
        &self,
        root: u32,
        path: &str,
        best: u32,
        routes: &[RouteMatch],
        holds: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let at = self.roots.binary_search_by_key(&root, |(root, _)| *root).ok()?;
        let (_, key) = *self.roots.get(at)?;
        let patterns = self.patterns.get(key)?;
        let regex = |number: u32| Some(routes.get(number as usize)?.path.regex()?.regex());
        if patterns.are_few() {
            return patterns.first_of_few(path, best, regex, holds);
        }
        let mut scratch = self.scratches.get();
        patterns.first(key, path, best, &mut scratch, regex, holds)
    }
}
