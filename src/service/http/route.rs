//! Which route a request takes: the first one, in their order, of which all conditions hold.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;

use crate::proto::http::RequestHead;

/// The conditions of a route.
#[derive(Debug, Clone, Default)]
pub struct RouteMatch {
    /// Hosts, one of which it must be; none: any.
    pub hosts: Vec<HostMatch>,
    /// The path.
    pub path: PathMatch,
    /// Methods, one of which it must be; none: any.
    pub methods: Vec<Box<str>>,
    /// Fields that must be there, by names in lower case.
    pub headers: Vec<(Box<str>, HeaderMatch)>,
}

/// A host, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMatch {
    /// Any.
    Any,
    /// This one.
    Exact(Box<str>),
    /// Those that end so; the suffix begins with a dot: `.example.com` for `*.example.com`.
    Suffix(Box<str>),
}

/// A condition on the path.
#[derive(Debug, Clone, Default)]
pub enum PathMatch {
    /// None.
    #[default]
    Any,
    /// It is this.
    Exact(Box<str>),
    /// It begins so; a prefix that does not end with `/` stands for whole segments.
    Prefix(Box<str>),
    /// This is found in it.
    Regex(Regex),
}

/// A condition on a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderMatch {
    /// It is there.
    Present,
    /// One of its lines is this.
    Equal(Box<str>),
}

/// What was considered of a route, for whoever wants to know why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The route's number.
    pub route: usize,
    /// Whether it is the one.
    pub matched: bool,
    /// The condition that does not hold, or that all do.
    pub why: String,
}

/// Finds routes.
#[derive(Debug)]
pub struct Router {
    routes: Vec<RouteMatch>,
    /// For hosts that are named exactly: the routes that may be meant, in their order.
    by_host: HashMap<Box<str>, Vec<usize>>,
    /// For all other hosts: the routes that name none exactly, in their order.
    others: Vec<usize>,
}

impl Router {
    /// A router over these routes.
    #[must_use]
    pub fn new(routes: Vec<RouteMatch>) -> Self {
        let mut by_host: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for host in routes.iter().flat_map(|route| &route.hosts) {
            if let HostMatch::Exact(host) = host {
                by_host.entry(host.clone()).or_insert_with(|| {
                    let routes = routes.iter().enumerate();
                    let meant = routes.filter(|(_, route)| route.takes_host(host));
                    meant.map(|(number, _)| number).collect()
                });
            }
        }
        let is_exact = |host: &HostMatch| matches!(host, HostMatch::Exact(_));
        let only_exact =
            |route: &RouteMatch| !route.hosts.is_empty() && route.hosts.iter().all(is_exact);
        let others = routes.iter().enumerate().filter(|(_, route)| !only_exact(route));
        let others = others.map(|(number, _)| number).collect();
        Self { routes, by_host, others }
    }

    /// The route that a request takes.
    #[must_use]
    pub fn find(&self, head: &RequestHead) -> Option<usize> {
        let candidates = if self.by_host.is_empty() {
            &self.others
        } else {
            self.by_host.get(head.host()).unwrap_or(&self.others)
        };
        let takes = |number: &usize| {
            self.routes.get(*number).is_some_and(|route| route.obstacle(head).is_none())
        };
        candidates.iter().copied().find(takes)
    }

    /// Each route up to the one that a request takes, with the first condition that does not hold.
    #[must_use]
    pub fn explain(&self, head: &RequestHead) -> Vec<Considered> {
        let mut considered = Vec::new();
        for (route, conditions) in self.routes.iter().enumerate() {
            let obstacle = conditions.obstacle(head);
            let matched = obstacle.is_none();
            let why = obstacle.unwrap_or_else(|| "all conditions hold".into()).into_owned();
            considered.push(Considered { route, matched, why });
            if matched {
                break;
            }
        }
        considered
    }
}

impl RouteMatch {
    fn takes_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|one| one.takes(host))
    }

    /// The first condition that does not hold. Only a request that is explained makes a text of it.
    fn obstacle(&self, head: &RequestHead) -> Option<Cow<'static, str>> {
        if !self.takes_host(head.host()) {
            return Some(Cow::Borrowed("its host is another"));
        }
        if !self.path.takes(head.path()) {
            return Some(Cow::Borrowed("its path is another"));
        }
        let method = head.method_name();
        if !self.methods.is_empty() && !self.methods.iter().any(|one| **one == *method) {
            return Some(Cow::Borrowed("its method is another"));
        }
        for (name, condition) in &self.headers {
            let mut lines = head.fields.iter().filter(|field| field.name == name.as_bytes());
            let holds = match condition {
                HeaderMatch::Present => lines.next().is_some(),
                HeaderMatch::Equal(value) => lines.any(|field| field.value == value.as_bytes()),
            };
            // The host is no field of a head, as versions write it differently.
            let is_host = &**name == "host";
            let holds = holds
                || (is_host
                    && match condition {
                        HeaderMatch::Present => !head.authority().is_empty(),
                        HeaderMatch::Equal(value) => head.authority() == &**value,
                    });
            if !holds {
                return Some(Cow::Borrowed("a field is another, or not there"));
            }
        }
        None
    }
}

impl HostMatch {
    fn takes(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }
}

impl PathMatch {
    fn takes(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => path.strip_prefix(&**prefix).is_some_and(|rest| {
                rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
            }),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A path with another prefix. What comes of it begins with `/` and has no `//` at the seam.
#[must_use]
pub fn prefix_rewrite<'p>(path: &'p str, prefix: &str, replacement: &str) -> Cow<'p, str> {
    let Some(rest) = path.strip_prefix(prefix) else { return Cow::Borrowed(path) };
    let start = replacement.trim_end_matches('/');
    let rest = rest.trim_start_matches('/');
    if rest.is_empty() && !replacement.ends_with('/') && !start.is_empty() {
        return Cow::Owned(start.to_owned());
    }
    Cow::Owned(format!("{start}/{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, host: &str, path: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_method(method.as_bytes());
        head.set_authority(host.as_bytes());
        head.set_path(path.as_bytes());
        head.fields.push(b"x-version", b"2");
        head
    }

    fn route(hosts: &[&str], path: PathMatch) -> RouteMatch {
        let host = |host: &&str| match host.strip_prefix('*') {
            Some("") => HostMatch::Any,
            Some(suffix) => HostMatch::Suffix(suffix.into()),
            None => HostMatch::Exact((*host).into()),
        };
        RouteMatch { hosts: hosts.iter().map(host).collect(), path, ..RouteMatch::default() }
    }

    #[test]
    fn the_first_route_of_which_all_conditions_hold_is_taken() {
        let regex = Regex::new("^/u/[0-9]+$").unwrap();
        let mut posts = route(&[], PathMatch::Any);
        posts.methods = vec!["POST".into()];
        let mut versioned = route(&[], PathMatch::Prefix("/v".into()));
        versioned.headers = vec![("x-version".into(), HeaderMatch::Equal("2".into()))];
        let mut absent = route(&[], PathMatch::Prefix("/v".into()));
        absent.headers = vec![("x-none".into(), HeaderMatch::Present)];
        let router = Router::new(vec![
            route(&["a.example"], PathMatch::Exact("/".into())),
            route(&["*.example"], PathMatch::Prefix("/api".into())),
            route(&["a.example", "b.example"], PathMatch::Prefix("/api/".into())),
            route(&[], PathMatch::Regex(regex)),
            posts,
            absent,
            versioned,
            route(&["c.example"], PathMatch::Any),
        ]);
        let table = [
            (head("GET", "a.example", "/"), Some(0)),
            (head("GET", "a.example:80", "/"), Some(0)),
            (head("GET", "x.example", "/"), None),
            (head("GET", "a.example", "/api"), Some(1)),
            (head("GET", "a.example", "/api/x"), Some(1)),
            (head("GET", "a.example", "/apix"), None),
            (head("GET", "example", "/api"), None),
            (head("GET", "", "/u/12"), Some(3)),
            (head("GET", "a.example", "/u/x"), None),
            (head("POST", "other", "/"), Some(4)),
            (head("GET", "other", "/v/1"), Some(6)),
            (head("GET", "c.example", "/"), Some(7)),
        ];
        for (head, expected) in table {
            assert_eq!(router.find(&head), expected, "{head:?}");
            let explained = router.explain(&head);
            assert_eq!(explained.iter().find(|one| one.matched).map(|one| one.route), expected);
        }
    }

    #[test]
    fn a_prefix_is_rewritten_without_a_double_slash() {
        let table = [
            ("/api/x", "/api/", "/", "/x"),
            ("/api/x", "/api", "/new", "/new/x"),
            ("/api/x", "/api/", "/new/", "/new/x"),
            ("/api", "/api", "/new", "/new"),
            ("/api/", "/api/", "/new/", "/new/"),
            ("/api", "/api", "/", "/"),
            ("/other", "/api", "/", "/other"),
        ];
        for (path, prefix, replacement, expected) in table {
            assert_eq!(prefix_rewrite(path, prefix, replacement), expected, "{path} {prefix}");
        }
    }
}
