//! Which requests a rule of HAProxy is for, as far as a route can say it.

use super::super::document::{Path, Route};
use super::super::regex;

/// What of a path a rule asks for. HAProxy compares texts: `/api` is also the beginning of `/apix`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum PathPart {
    #[default]
    Any,
    Exact(String),
    Starts(String),
    Regex(String),
}

/// Requests for which all of this holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Region {
    /// Empty: any.
    pub(super) hosts: Vec<String>,
    pub(super) path: PathPart,
    /// Empty: any.
    pub(super) methods: Vec<String>,
    pub(super) headers: Vec<(String, String)>,
}

/// What two regions have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meet {
    Nothing,
    Region(Region),
    /// It cannot be said.
    Unknown,
}

/// Hosts and methods of a route.
const LIST_MAX: usize = 256;

impl Region {
    /// What both have in common.
    pub(super) fn meet(&self, other: &Self) -> Meet {
        let Some(hosts) = hosts(&self.hosts, &other.hosts) else { return Meet::Unknown };
        if hosts.is_empty() && !(self.hosts.is_empty() && other.hosts.is_empty()) {
            return Meet::Nothing;
        }
        let methods = match (self.methods.as_slice(), other.methods.as_slice()) {
            ([], list) | (list, []) => list.to_vec(),
            (one, two) => one.iter().filter(|method| two.contains(method)).cloned().collect(),
        };
        if methods.is_empty() && !(self.methods.is_empty() && other.methods.is_empty()) {
            return Meet::Nothing;
        }
        let path = match (&self.path, &other.path) {
            (PathPart::Any, path) | (path, PathPart::Any) => path.clone(),
            (one, two) if one == two => one.clone(),
            (PathPart::Exact(_), PathPart::Exact(_)) => return Meet::Nothing,
            (PathPart::Exact(path), PathPart::Starts(start))
            | (PathPart::Starts(start), PathPart::Exact(path)) => match path.starts_with(start) {
                true => PathPart::Exact(path.clone()),
                false => return Meet::Nothing,
            },
            (PathPart::Starts(one), PathPart::Starts(two)) => {
                let (short, long) = if one.len() < two.len() { (one, two) } else { (two, one) };
                match long.starts_with(short.as_str()) {
                    true => PathPart::Starts(long.clone()),
                    false => return Meet::Nothing,
                }
            }
            (PathPart::Regex(regex), PathPart::Starts(start))
            | (PathPart::Starts(start), PathPart::Regex(regex)) => match within(regex, start) {
                Meet::Nothing => return Meet::Nothing,
                Meet::Region(Self { path, .. }) => path,
                Meet::Unknown => return Meet::Unknown,
            },
            (PathPart::Regex(regex), PathPart::Exact(path))
            | (PathPart::Exact(path), PathPart::Regex(regex)) => {
                match is_apart(&regex::shape(regex).start, path) {
                    true => return Meet::Nothing,
                    false => return Meet::Unknown,
                }
            }
            (PathPart::Regex(one), PathPart::Regex(two)) => {
                match is_apart(&regex::shape(one).start, &regex::shape(two).start) {
                    true => return Meet::Nothing,
                    false => return Meet::Unknown,
                }
            }
        };
        let mut headers = self.headers.clone();
        headers.extend(other.headers.iter().filter(|one| !self.headers.contains(one)).cloned());
        Meet::Region(Self { hosts, path, methods, headers })
    }

    /// A route for this region. With `is_exact`, a beginning of a path in the middle of a segment
    /// is an expression; without, it is a prefix of whole segments.
    pub(super) fn route(&self, is_exact: bool) -> Route {
        let path = match &self.path {
            PathPart::Any => Path::Any,
            PathPart::Exact(path) => Path::Exact(path.clone()),
            PathPart::Starts(start) if start == "/" => Path::Any,
            PathPart::Starts(start) if start.ends_with('/') || !is_exact => {
                Path::Prefix(start.clone())
            }
            PathPart::Starts(start) => Path::Regex(format!("^{}", regex::literal(start))),
            PathPart::Regex(regex) => Path::Regex(regex.clone()),
        };
        Route {
            hosts: self.hosts.clone(),
            path,
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            ..Route::default()
        }
    }
}

/// Whether no path begins with both texts, whatever the case.
fn is_apart(one: &str, two: &str) -> bool {
    let pairs = one.bytes().zip(two.bytes());
    pairs.into_iter().any(|(a, b)| !a.eq_ignore_ascii_case(&b))
}

/// The paths of an expression that begin with a text.
fn within(regex: &str, start: &str) -> Meet {
    let shape = regex::shape(regex);
    let path = if is_apart(&shape.start, start) {
        return Meet::Nothing;
    } else if shape.start.starts_with(start) && !shape.ignores_case {
        regex.to_owned()
    } else if !shape.end.is_empty() && !overlaps(start, &shape.end) {
        let flag = if shape.ignores_case { "(?i)" } else { "" };
        format!("^{}{flag}.*{}$", regex::literal(start), regex::literal(&shape.end))
    } else {
        return Meet::Unknown;
    };
    Meet::Region(Region { path: PathPart::Regex(path), ..Region::default() })
}

/// Whether a path that begins with one text may end with another within it.
fn overlaps(start: &str, end: &str) -> bool {
    let (start, end) = (start.to_ascii_lowercase(), end.to_ascii_lowercase());
    let lengths = 1..=end.len().min(start.len());
    start.contains(&end)
        || lengths
            .into_iter()
            .any(|length| end.get(..length).is_some_and(|part| start.ends_with(part)))
}

/// The hosts that two lists have in common; empty lists stand for all. `None`: they are too long.
fn hosts(one: &[String], two: &[String]) -> Option<Vec<String>> {
    match (one, two) {
        ([], list) | (list, []) => return Some(list.to_vec()),
        (_, _) if one.len() > LIST_MAX || two.len() > LIST_MAX => return None,
        (_, _) => {}
    }
    let is_below = |name: &str, star: &str| {
        star.strip_prefix('*').is_some_and(|end| name.len() > end.len() && name.ends_with(end))
    };
    let mut common: Vec<String> = Vec::new();
    for a in one {
        for b in two {
            let both = match (a == b, is_below(a, b), is_below(b, a)) {
                (true, _, _) | (_, true, _) => a,
                (_, _, true) => b,
                (false, false, false) => continue,
            };
            if !common.contains(both) {
                common.push(both.clone());
            }
        }
    }
    Some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(path: &str) -> Region {
        Region { path: PathPart::Starts(path.to_owned()), ..Region::default() }
    }

    #[test]
    fn regions_meet() {
        let exact = Region { path: PathPart::Exact("/a/x".to_owned()), ..Region::default() };
        let host = |name: &str| Region { hosts: vec![name.to_owned()], ..Region::default() };
        assert_eq!(starts("/a").meet(&starts("/ab")), Meet::Region(starts("/ab")));
        assert_eq!(starts("/a").meet(&starts("/b")), Meet::Nothing);
        assert_eq!(starts("/a").meet(&exact), Meet::Region(exact.clone()));
        assert_eq!(starts("/b").meet(&exact), Meet::Nothing);
        assert_eq!(Region::default().meet(&exact), Meet::Region(exact));
        assert_eq!(host("a.b").meet(&host("*.b")), Meet::Region(host("a.b")));
        assert_eq!(host("a.b").meet(&host("c.b")), Meet::Nothing);
        let regex = Region { path: PathPart::Regex("x".to_owned()), ..Region::default() };
        assert_eq!(regex.meet(&starts("/a")), Meet::Unknown);
        let regex =
            |text: &str| Region { path: PathPart::Regex(text.to_owned()), ..Region::default() };
        assert_eq!(regex(r"\.js$").meet(&starts("/a")), Meet::Region(regex(r"^/a.*\.js$")));
        assert_eq!(regex(r"\.js$").meet(&starts("/a.")), Meet::Unknown);
        assert_eq!(regex("^/b/[0-9]").meet(&starts("/a")), Meet::Nothing);
        assert_eq!(regex("^/a/[0-9]").meet(&starts("/a")), Meet::Region(regex("^/a/[0-9]")));
        assert_eq!(regex("(?i)^/A/").meet(&starts("/a")), Meet::Unknown);
        assert_eq!(regex("(?i)^/B/").meet(&starts("/a")), Meet::Nothing);
        assert_eq!(starts("/a").route(true).path, Path::Regex("^/a".to_owned()));
        assert_eq!(starts("/a").route(false).path, Path::Prefix("/a".to_owned()));
    }
}
