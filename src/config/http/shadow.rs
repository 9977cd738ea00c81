//! Routes that no request ever takes, because routes before them take all that they are for.

use std::collections::{HashMap, HashSet};

use super::{CertificateCondition, HostPattern, PathPattern, Route};
use crate::service::http::route::{
    HostMatch, PathPlace, PathRegex, PatternScratch, Patterns, PlaceKind, Places,
};

/// For each route that can never be reached: its index, and those of routes before it that take
/// its requests.
pub(in crate::config) fn unreachable_routes(routes: &[Route]) -> Vec<(usize, Vec<usize>)> {
    let mut index = Index::new(routes);
    let found = (0..).zip(routes).filter_map(|(number, route)| index.takers(number, route));
    found.collect()
}

/// A field and its value, if a certain one is asked for.
type Header<'r> = (&'r str, Option<&'r str>);

/// What routes have in common that are held against the same other ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key<'r> {
    spot: Spot<'r>,
    method: Option<&'r str>,
    /// Of the fields that a route asks for, the one that fewest others do.
    header: Option<Header<'r>>,
    certificate: Option<&'r CertificateCondition>,
}

/// A host and a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Spot<'r> {
    /// A place of the tree.
    Place(u32),
    /// A regular expression, of a root of the tree.
    Regex(u32, &'r str),
}

/// Routes by what they ask for, so that of each route only those before it are looked at that have
/// much in common with it: the cost grows with the number of routes, and not with its square.
struct Index<'r> {
    routes: &'r [Route],
    places: Places,
    /// The first route of each place.
    firsts: Vec<u32>,
    /// Whether each place has further ones. Only those of such places are listed.
    shared: Vec<bool>,
    /// In order.
    lists: HashMap<Key<'r>, Vec<u32>>,
    /// Fields by which routes are listed.
    headers: HashSet<Header<'r>>,
    /// The regular expressions of each root.
    patterns: HashMap<u32, Patterns>,
    scratch: PatternScratch,
}

impl<'r> Index<'r> {
    fn new(routes: &'r [Route]) -> Self {
        let mut index = Self {
            routes,
            places: Places::default(),
            firsts: Vec::new(),
            shared: Vec::new(),
            lists: HashMap::new(),
            headers: HashSet::new(),
            patterns: HashMap::new(),
            scratch: PatternScratch::default(),
        };
        let mut regexes: HashMap<u32, Vec<(u32, &PathRegex)>> = HashMap::new();
        let mut spots = Vec::with_capacity(routes.len());
        for (number, route) in (0..).zip(routes) {
            for host in &route.hosts {
                let root = index.places.root(&host_match(host));
                let mut place = |path| Spot::Place(index.places.place(root, path));
                let spot = match &route.path {
                    PathPattern::Any => place(PathPlace::Any),
                    // But for the target `*`, every path begins so.
                    PathPattern::Prefix(path) if path == "/" => place(PathPlace::Any),
                    PathPattern::Exact(path) => place(PathPlace::Exact(path)),
                    PathPattern::Prefix(path) => place(PathPlace::Prefix(path)),
                    PathPattern::Regex(regex) => {
                        regexes.entry(root).or_default().push((number, regex));
                        Spot::Regex(root, regex.as_str())
                    }
                };
                spots.push((number, route, spot));
            }
        }
        index.list(&spots);
        let has_exact = routes.iter().any(|route| matches!(route.path, PathPattern::Exact(_)));
        if has_exact {
            index.compile(regexes);
        }
        index
    }

    /// Lists routes by what they ask for.
    fn list(&mut self, spots: &[(u32, &'r Route, Spot<'r>)]) {
        self.firsts = vec![u32::MAX; self.places.len()];
        for (number, _, spot) in spots {
            if let Spot::Place(place) = spot
                && let Some(first) = self.firsts.get_mut(*place as usize)
            {
                *first = (*first).min(*number);
            }
        }
        let mut shared = vec![false; self.places.len()];
        for (number, _, spot) in spots {
            if let Spot::Place(place) = spot
                && self.firsts.get(*place as usize) != Some(number)
                && let Some(shared) = shared.get_mut(*place as usize)
            {
                *shared = true;
            }
        }
        self.shared = shared;
        let shared = &self.shared;
        let is_listed = |spot: &Spot<'r>| match spot {
            Spot::Place(place) => shared.get(*place as usize) == Some(&true),
            Spot::Regex(..) => true,
        };
        let spots = || spots.iter().filter(|(_, _, spot)| is_listed(spot));
        let mut counts: HashMap<Header<'r>, usize> = HashMap::new();
        for header in spots().flat_map(|(_, route, _)| headers(route)) {
            *counts.entry(header).or_default() += 1;
        }
        for (number, route, spot) in spots() {
            let header = headers(route).min_by_key(|header| counts.get(header).copied());
            self.headers.extend(header);
            let certificate = route.client_certificate.as_ref();
            for method in cells(route) {
                let key = Key { spot: *spot, method, header, certificate };
                self.lists.entry(key).or_default().push(*number);
            }
        }
    }

    fn compile(&mut self, regexes: HashMap<u32, Vec<(u32, &'r PathRegex)>>) {
        let patterns = regexes.into_iter().map(|(root, mut regexes)| {
            // A route may name one host twice.
            regexes.dedup();
            let compiled = regexes.iter().map(|(number, regex)| (*number, regex.regex()));
            (root, Patterns::new(&compiled.collect::<Vec<_>>()))
        });
        self.patterns = patterns.collect();
    }

    /// The route's index with those before it that take all of its requests, if they do.
    fn takers(&mut self, number: u32, route: &'r Route) -> Option<(usize, Vec<usize>)> {
        let asked: Vec<Option<Header<'r>>> = self.asked(route);
        let own = route.client_certificate.as_ref();
        let certificates: &[Option<&CertificateCondition>] = match own {
            None => &[None],
            Some(_) => &[None, Some(&CertificateCondition::ANY), own],
        };
        let mut by = Vec::new();
        for host in &route.hosts {
            let roots: Vec<u32> = self.roots(host);
            let (sole, spots) = self.spots(&roots, &route.path, number);
            for method in cells(route) {
                let methods: &[Option<&str>] =
                    if method.is_some() { &[None, method] } else { &[None] };
                let covers = |one: &u32| self.covers(*one, route, method);
                let mut first = sole.iter().copied().filter(covers).min().unwrap_or(number);
                let keys = spots.iter().flat_map(|spot| asked.iter().map(move |one| (spot, one)));
                let keys = keys.flat_map(|key| methods.iter().map(move |method| (key, method)));
                for ((spot, header), method) in keys {
                    for certificate in certificates {
                        let key = Key {
                            spot: *spot,
                            method: *method,
                            header: *header,
                            certificate: *certificate,
                        };
                        let list = self.lists.get(&key).into_iter().flatten().copied();
                        let mut before = list.take_while(|one| *one < first);
                        first = before.find(covers).unwrap_or(first);
                    }
                }
                if let PathPattern::Exact(path) = &route.path {
                    for root in &roots {
                        first = self.by_regex(*root, path, first, route, method).unwrap_or(first);
                    }
                }
                if first == number {
                    return None;
                }
                by.push(first as usize);
            }
        }
        by.sort_unstable();
        by.dedup();
        (!by.is_empty()).then_some((number as usize, by))
    }

    /// The fields by which a route may be listed that covers this one.
    fn asked(&self, route: &'r Route) -> Vec<Option<Header<'r>>> {
        let own = headers(route).flat_map(|(name, value)| [(name, value), (name, None)]);
        let known = own.filter(|header| self.headers.contains(header)).map(Some);
        std::iter::once(None).chain(known).collect()
    }

    /// The roots of routes that take all hosts that this one stands for.
    fn roots(&self, host: &HostPattern) -> Vec<u32> {
        match host {
            HostPattern::Any => self.places.roots("").collect(),
            HostPattern::Exact(name) => self.places.roots(name).collect(),
            // No host is named so: only suffixes are found, and what is for any host.
            HostPattern::Below(name) => self.places.roots(&format!("*.{name}")).collect(),
        }
    }

    /// Where routes before this one are that take all paths of a pattern, but for regular
    /// expressions that are found in a path: those that are alone at their place, and further
    /// places.
    fn spots(
        &self,
        roots: &[u32],
        path: &'r PathPattern,
        number: u32,
    ) -> (Vec<u32>, Vec<Spot<'r>>) {
        let (mut sole, mut spots) = (Vec::new(), Vec::new());
        let (text, is_exact) = match path {
            PathPattern::Any | PathPattern::Regex(_) => ("", false),
            PathPattern::Exact(path) => (path.as_str(), true),
            PathPattern::Prefix(path) => (path.as_str(), false),
        };
        for root in roots {
            self.places.along(*root, text, |kind, place| {
                let first = self.firsts.get(place as usize).copied().unwrap_or(u32::MAX);
                if first >= number || kind == PlaceKind::Exact && !is_exact {
                    return;
                }
                match self.shared.get(place as usize) {
                    Some(false) => sole.push(first),
                    Some(true) | None => spots.push(Spot::Place(place)),
                }
            });
            if let PathPattern::Regex(regex) = path {
                spots.push(Spot::Regex(*root, regex.as_str()));
            }
        }
        (sole, spots)
    }

    /// The first route below `limit` whose regular expression is found in a path, and that covers
    /// the rest of a route.
    fn by_regex(
        &mut self,
        root: u32,
        path: &str,
        limit: u32,
        route: &Route,
        method: Option<&str>,
    ) -> Option<u32> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let holds = |one: u32| self.covers(one, route, method);
        let regex = |one: u32| match &self.routes.get(one as usize)?.path {
            PathPattern::Regex(regex) => Some(regex.regex()),
            PathPattern::Any | PathPattern::Exact(_) | PathPattern::Prefix(_) => None,
        };
        let patterns = self.patterns.get(&root);
        let found = patterns.and_then(|patterns| {
            patterns.first(root as usize, path, limit, &mut scratch, regex, holds)
        });
        self.scratch = scratch;
        found
    }

    /// Whether a route takes what another takes with a method, but for host and path.
    fn covers(&self, number: u32, other: &Route, method: Option<&str>) -> bool {
        let covers = |own: &Route| takes_method(own, method) && covers_conditions(own, other);
        self.routes.get(number as usize).is_some_and(covers)
    }
}

fn headers(route: &Route) -> impl Iterator<Item = Header<'_>> {
    route.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref()))
}

fn host_match(host: &HostPattern) -> HostMatch {
    match host {
        HostPattern::Any => HostMatch::Any,
        HostPattern::Exact(name) => HostMatch::Exact(name.as_str().into()),
        HostPattern::Below(name) => HostMatch::Suffix(format!(".{name}").into()),
    }
}

/// The methods of a route; `None` stands for any.
fn cells(route: &Route) -> impl Iterator<Item = Option<&str>> {
    let any = route.methods.is_empty().then_some(None);
    any.into_iter().chain(route.methods.iter().map(|method| Some(method.as_str())))
}

fn takes_method(route: &Route, method: Option<&str>) -> bool {
    route.methods.is_empty()
        || method.is_some_and(|method| route.methods.iter().any(|own| own == method))
}

/// Whether what a route asks of fields and certificate holds whenever that of `other` does.
fn covers_conditions(route: &Route, other: &Route) -> bool {
    let fields = route.headers.iter().all(|own| {
        other
            .headers
            .iter()
            .any(|one| one.name == own.name && (own.value.is_none() || one.value == own.value))
    });
    let certificate = match (&route.client_certificate, &other.client_certificate) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(one)) => own == one || *own == CertificateCondition::ANY,
    };
    fields && certificate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::http::HeaderCondition;

    /// For each route that can never be reached: its index, and those of routes before it that take
    /// its requests.
    fn by_a_look_at_each(routes: &[Route]) -> Vec<(usize, Vec<usize>)> {
        let hosts: Vec<Hosts<'_>> = routes.iter().map(Hosts::new).collect();
        let paths: Vec<Path<'_>> = routes.iter().map(|route| Path(&route.path)).collect();
        let mut found = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let before = (0..index).filter(|earlier| {
                covers_conditions(&routes[*earlier], route) && paths[*earlier].covers(&route.path)
            });
            let before: Vec<usize> = before.collect();
            let mut by = Vec::new();
            let all_are_taken = route.hosts.iter().all(|host| {
                cells(route).all(|method| {
                    let taker = before.iter().copied().find(|earlier| {
                        hosts[*earlier].take(host) && takes_method(&routes[*earlier], method)
                    });
                    by.extend(taker);
                    taker.is_some()
                })
            });
            if all_are_taken && !by.is_empty() {
                by.sort_unstable();
                by.dedup();
                found.push((index, by));
            }
        }
        found
    }

    /// The path of a route.
    struct Path<'r>(&'r PathPattern);

    impl Path<'_> {
        /// Whether every path of `other` is one of this.
        fn covers(&self, other: &PathPattern) -> bool {
            match (self.0, other) {
                (PathPattern::Any, _) => true,
                // But for the target `*`, every path begins so.
                (PathPattern::Prefix(prefix), _) if prefix == "/" => true,
                (PathPattern::Exact(path), PathPattern::Exact(other)) => path == other,
                (
                    PathPattern::Prefix(prefix),
                    PathPattern::Exact(other) | PathPattern::Prefix(other),
                ) => other.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
                }),
                (PathPattern::Regex(regex), PathPattern::Exact(other)) => {
                    regex.regex().is_match(other)
                }
                (PathPattern::Regex(regex), PathPattern::Regex(other)) => regex == other,
                (PathPattern::Exact(_) | PathPattern::Regex(_) | PathPattern::Prefix(_), _) => {
                    false
                }
            }
        }
    }

    /// The hosts of a route, to be looked up.
    struct Hosts<'r> {
        any: bool,
        exact: HashSet<&'r str>,
        below: HashSet<&'r str>,
    }

    impl<'r> Hosts<'r> {
        fn new(route: &'r Route) -> Self {
            let mut hosts = Self { any: false, exact: HashSet::new(), below: HashSet::new() };
            for host in &route.hosts {
                match host {
                    HostPattern::Any => hosts.any = true,
                    HostPattern::Exact(name) => {
                        hosts.exact.insert(name);
                    }
                    HostPattern::Below(name) => {
                        hosts.below.insert(name);
                    }
                }
            }
            hosts
        }

        /// Whether all that a host of another route stands for is among these.
        fn take(&self, host: &HostPattern) -> bool {
            self.any
                || match host {
                    HostPattern::Any => false,
                    HostPattern::Exact(name) => {
                        self.exact.contains(name.as_str()) || self.has_above(name)
                    }
                    HostPattern::Below(name) => {
                        self.below.contains(name.as_str()) || self.has_above(name)
                    }
                }
        }

        /// Whether there is a pattern for all names below one that this name is below.
        fn has_above(&self, name: &str) -> bool {
            let ends = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
            ends.into_iter().any(|above| self.below.contains(above))
        }
    }

    /// Numbers that depend on nothing but the state (xorshift64*).
    fn random(state: &mut u64, bound: usize) -> usize {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap() % bound
    }

    fn some<T>(state: &mut u64, most: usize, one: impl Fn(&mut u64) -> T) -> Vec<T> {
        (0..random(state, most + 1)).map(|_| one(state)).collect()
    }

    fn random_route(state: &mut u64) -> Route {
        let name = |state: &mut u64| ["a", "b.a", "c.b.a", "b"][random(state, 4)].to_owned();
        let mut hosts = some(state, 2, |state| match random(state, 4) {
            0 => HostPattern::Any,
            1 => HostPattern::Below(name(state)),
            _ => HostPattern::Exact(name(state)),
        });
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        let paths = ["/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "//"];
        let path = paths[random(state, paths.len())].to_owned();
        let regexes = ["^/a", "b$", "/a/", "[ab]+/", "^/$", "x", "a.b", "/?"];
        let path = match random(state, 7) {
            0 => PathPattern::Any,
            1 | 2 => PathPattern::Exact(path),
            3 | 4 => {
                PathPattern::Regex(PathRegex::new(regexes[random(state, regexes.len())]).unwrap())
            }
            _ => PathPattern::Prefix(path),
        };
        let certificate = (random(state, 4) == 0).then(|| CertificateCondition {
            subject: [None, Some("a".to_owned()), Some("b".to_owned())][random(state, 3)].clone(),
            ..CertificateCondition::ANY
        });
        Route {
            hosts,
            path,
            methods: some(state, 2, |state| ["GET", "PUT"][random(state, 2)].to_owned()),
            headers: some(state, 2, |state| HeaderCondition {
                name: ["x", "y"][random(state, 2)].to_owned(),
                value: [None, Some("1".to_owned()), Some("2".to_owned())][random(state, 3)].clone(),
            }),
            client_certificate: certificate,
            ..Route::default()
        }
    }

    #[test]
    fn the_findings_are_those_of_a_look_at_each_route_before() {
        let mut state = 0x5eed;
        let mut found = 0;
        for _ in 0..2_000 {
            let count = 1 + random(&mut state, 30);
            let routes: Vec<_> = (0..count).map(|_| random_route(&mut state)).collect();
            let expected = by_a_look_at_each(&routes);
            assert_eq!(unreachable_routes(&routes), expected, "{routes:#?}");
            found += expected.len();
        }
        assert!(found > 1_000, "{found}");
    }
}
