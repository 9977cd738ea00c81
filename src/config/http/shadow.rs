//! Routes that no request ever takes, because routes before them take all that they are for.

use std::cell::OnceCell;
use std::collections::HashSet;

use regex::Regex;

use super::{HostPattern, PathPattern, Route};

/// For each route that can never be reached: its index, and those of routes before it that take
/// its requests.
pub(in crate::config) fn unreachable_routes(routes: &[Route]) -> Vec<(usize, Vec<usize>)> {
    let hosts: Vec<Hosts<'_>> = routes.iter().map(Hosts::new).collect();
    let paths: Vec<Path<'_>> = routes.iter().map(|route| Path::new(&route.path)).collect();
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
        (Some(own), Some(one)) => own == one || *own == super::CertificateCondition::default(),
    };
    fields && certificate
}

/// The path of a route, whose regular expression is compiled once, if it is needed.
struct Path<'r> {
    pattern: &'r PathPattern,
    compiled: OnceCell<Option<Regex>>,
}

impl<'r> Path<'r> {
    const fn new(pattern: &'r PathPattern) -> Self {
        Self { pattern, compiled: OnceCell::new() }
    }

    /// Whether every path of `other` is one of this.
    fn covers(&self, other: &PathPattern) -> bool {
        match (self.pattern, other) {
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
                let compiled = self.compiled.get_or_init(|| Regex::new(regex).ok());
                compiled.as_ref().is_some_and(|regex| regex.is_match(other))
            }
            (PathPattern::Regex(regex), PathPattern::Regex(other)) => regex == other,
            (PathPattern::Exact(_) | PathPattern::Regex(_) | PathPattern::Prefix(_), _) => false,
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
