//! Which routes a host may take.

use std::collections::HashMap;

use super::condition::{HostMatch, RouteMatch};

/// The numbers of routes by their hosts, each list in order.
///
/// A host takes the routes that name it, those of the longest suffix it ends with, and those for
/// any host. The list of a suffix has those of shorter suffixes, of which it is an end, with it: so
/// three lists are merged, whatever the host.
#[derive(Debug)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Vec<usize>>,
    suffixes: HashMap<Box<str>, Vec<usize>>,
    any: Vec<usize>,
    /// Dots of the suffix that has most.
    dots: usize,
}

impl Hosts {
    pub(super) fn new(routes: &[RouteMatch]) -> Self {
        let (mut exact, mut own) = (HashMap::new(), HashMap::new());
        let mut any = Vec::new();
        for (number, route) in routes.iter().enumerate() {
            if route.hosts.is_empty() {
                any.push(number);
            }
            for host in &route.hosts {
                match host {
                    HostMatch::Any => append(&mut any, number),
                    HostMatch::Exact(host) => append(list(&mut exact, host), number),
                    HostMatch::Suffix(suffix) => append(list(&mut own, suffix), number),
                }
            }
        }
        let suffixes = inherited(&own);
        let dots = own.keys().map(|suffix| suffix.matches('.').count()).max().unwrap_or(0);
        Self { exact, suffixes, any, dots }
    }

    /// The routes that may be meant with a host, in their order, each once.
    pub(super) fn candidates(&self, host: &str) -> Merged<'_> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        Merged {
            exact: exact.map(Vec::as_slice).unwrap_or_default(),
            suffix: self.longest_suffix(host).map(Vec::as_slice).unwrap_or_default(),
            any: &self.any,
        }
    }

    /// The list of the longest suffix that is known. A hostile host may have many labels: no more
    /// of them are looked at than suffixes have.
    fn longest_suffix(&self, host: &str) -> Option<&Vec<usize>> {
        let mut longest = None;
        for (at, _) in host.rmatch_indices('.').take(self.dots) {
            // A suffix stands behind at least one label.
            if at == 0 {
                break;
            }
            let found = host.get(at..).and_then(|suffix| self.suffixes.get(suffix));
            longest = found.or(longest);
        }
        longest
    }
}

fn list<'a>(lists: &'a mut HashMap<Box<str>, Vec<usize>>, host: &str) -> &'a mut Vec<usize> {
    lists.entry(host.into()).or_default()
}

/// A route may name one host twice.
fn append(list: &mut Vec<usize>, number: usize) {
    if list.last() != Some(&number) {
        list.push(number);
    }
}

/// For each suffix, its own routes and those of all suffixes that it ends with.
fn inherited(own: &HashMap<Box<str>, Vec<usize>>) -> HashMap<Box<str>, Vec<usize>> {
    let with_shorter = |suffix: &str| {
        let ends = suffix.match_indices('.').filter_map(|(at, _)| suffix.get(at..));
        let mut all: Vec<usize> = ends.filter_map(|end| own.get(end)).flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    own.keys().map(|suffix| (suffix.clone(), with_shorter(suffix))).collect()
}

/// The numbers of three lists, in order, each once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged<'a> {
    exact: &'a [usize],
    suffix: &'a [usize],
    any: &'a [usize],
}

impl Iterator for Merged<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // Mostly there is one list, or one is left.
        let only = match (self.exact, self.suffix, self.any) {
            (_, [], []) => Some(&mut self.exact),
            ([], _, []) => Some(&mut self.suffix),
            ([], [], _) => Some(&mut self.any),
            (_, _, _) => None,
        };
        if let Some(list) = only {
            let (number, rest) = list.split_first()?;
            *list = rest;
            return Some(*number);
        }
        let lists = [&mut self.exact, &mut self.suffix, &mut self.any];
        let first = lists.iter().filter_map(|list| list.first().copied()).min()?;
        for list in lists {
            if let [number, rest @ ..] = *list
                && *number == first
            {
                *list = rest;
            }
        }
        Some(first)
    }
}
