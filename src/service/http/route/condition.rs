//! The conditions of a route.

use std::fmt::Write as _;

use regex::Regex;

use crate::proto::http::RequestHead;
use crate::service::http::certificate::{CertificateMatch, ClientCertificate};

/// The conditions of a route.
#[derive(Debug, Clone, Default)]
pub struct RouteMatch {
    /// Hosts, one of which it must be; none: any.
    pub hosts: Vec<HostMatch>,
    /// The path.
    pub path: PathMatch,
    /// Methods, one of which it must be; none: any.
    pub methods: Vec<Box<str>>,
    /// Fields that must be there, by names in lower case. `host` is the authority.
    pub headers: Vec<(Box<str>, HeaderMatch)>,
    /// What the client's certificate has to be; none: nothing.
    pub certificate: Option<CertificateMatch>,
    /// Whether what is below the prefix is a folder: then `/docs`, if no route takes it, is the
    /// folder of `/docs/`, and its client is sent there.
    pub is_folder: bool,
}

/// A host, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMatch {
    /// Any.
    Any,
    /// This one.
    Exact(Box<str>),
    /// Those that end so; the suffix begins with a dot: `.example.com` for `*.example.com`, which
    /// stands for names with one or more labels before it.
    Suffix(Box<str>),
}

/// A condition on the path, which is in normal form; queries are no part of it.
#[derive(Debug, Clone, Default)]
pub enum PathMatch {
    /// None.
    #[default]
    Any,
    /// It is this.
    Exact(Box<str>),
    /// It begins so; a prefix that does not end with `/` stands for whole segments: `/api` for
    /// `/api` and `/api/x`, and not for `/apix`.
    Prefix(Box<str>),
    /// This is found in it, in a time that grows no faster than the path.
    Regex(PathRegex),
}

/// A regular expression of paths, equal to others of the same text: what a builder may set besides
/// is at its default.
#[derive(Debug, Clone)]
pub struct PathRegex(Regex);

impl PathRegex {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(Self)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// How many groups it has in parentheses.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.0.captures_len().saturating_sub(1)
    }

    /// The compiled expression.
    #[must_use]
    pub const fn regex(&self) -> &Regex {
        &self.0
    }

    /// Appends what a group finds in a path.
    pub fn write_capture(&self, path: &str, group: u8, out: &mut Vec<u8>) {
        let found = self.0.captures(path);
        let found = found.as_ref().and_then(|captures| captures.get(group.into()));
        out.extend_from_slice(found.map_or("", |found| found.as_str()).as_bytes());
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PathRegex {}

/// A condition on a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderMatch {
    /// It is there.
    Present,
    /// One of its lines is this.
    Equal(Box<str>),
}

/// What is asked for, taken out of a head once for all routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) method: &'a str,
    head: &'a RequestHead,
    certificate: Option<&'a ClientCertificate>,
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a RequestHead, certificate: Option<&'a ClientCertificate>) -> Self {
        // A host with the dot of the DNS's root at its end is the same host: it shall not slip past
        // routes that are for the name without.
        let host = head.host();
        let host = host.strip_suffix('.').unwrap_or(host);
        Self { host, path: head.path(), method: head.method_name(), head, certificate }
    }
}

/// A condition that does not hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Obstacle<'a> {
    Host(&'a [HostMatch]),
    Path(&'a PathMatch),
    Method(&'a [Box<str>]),
    Header(&'a str, &'a HeaderMatch),
    Certificate(&'a CertificateMatch),
}

impl RouteMatch {
    pub(super) fn normalize(&mut self) {
        for one in &mut self.hosts {
            match one {
                HostMatch::Exact(host) | HostMatch::Suffix(host) => host.make_ascii_lowercase(),
                HostMatch::Any => {}
            }
        }
        self.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    }

    /// Whether nothing but the host and the path is asked for.
    pub(super) const fn is_sole(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.certificate.is_none()
    }

    #[cfg(test)]
    pub(super) fn takes(&self, request: &Request<'_>) -> bool {
        self.obstacle(request).is_none()
    }

    /// The first condition that does not hold.
    pub(super) fn obstacle(&self, request: &Request<'_>) -> Option<Obstacle<'_>> {
        let Request { host, path, .. } = *request;
        if !self.hosts.is_empty() && !self.hosts.iter().any(|one| one.takes(host)) {
            return Some(Obstacle::Host(&self.hosts));
        }
        if !self.path.takes(path) {
            return Some(Obstacle::Path(&self.path));
        }
        self.other_obstacle(request)
    }

    /// Whether the path is that of the folder, without the `/` at its end, and all other
    /// conditions hold, but for the host, which is not looked at.
    pub(super) fn takes_bare(&self, request: &Request<'_>) -> bool {
        self.is_folder && self.path.is_bare(request.path) && self.other_obstacle(request).is_none()
    }

    /// The first condition that does not hold, other than those on host and path.
    pub(super) fn other_obstacle(&self, request: &Request<'_>) -> Option<Obstacle<'_>> {
        let Request { method, head, certificate, .. } = *request;
        if !self.methods.is_empty() && !self.methods.iter().any(|one| **one == *method) {
            return Some(Obstacle::Method(&self.methods));
        }
        let failed = self.headers.iter().find(|(name, condition)| !condition.holds(name, head));
        let failed = failed.map(|(name, condition)| Obstacle::Header(name, condition));
        failed.or_else(|| {
            let condition = self.certificate.as_ref()?;
            (!condition.holds(certificate)).then_some(Obstacle::Certificate(condition))
        })
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
    pub(super) fn takes(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => path.strip_prefix(&**prefix).is_some_and(|rest| {
                rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
            }),
            Self::Regex(regex) => regex.regex().is_match(path),
        }
    }

    /// The regular expression, if it is one.
    pub(super) const fn regex(&self) -> Option<&PathRegex> {
        match self {
            Self::Regex(regex) => Some(regex),
            Self::Any | Self::Exact(_) | Self::Prefix(_) => None,
        }
    }

    /// Whether the path lacks only the `/` at the end of the prefix.
    fn is_bare(&self, path: &str) -> bool {
        match self {
            Self::Prefix(prefix) => prefix.strip_suffix('/') == Some(path),
            Self::Any | Self::Exact(_) | Self::Regex(_) => false,
        }
    }
}

impl HeaderMatch {
    fn holds(&self, name: &str, head: &RequestHead) -> bool {
        // The host is no field of a head, as versions write it differently.
        if name == "host" {
            return match self {
                Self::Present => !head.authority().is_empty(),
                Self::Equal(value) => head.authority().eq_ignore_ascii_case(value),
            };
        }
        let mut lines = head.fields.iter().filter(|field| field.name == name.as_bytes());
        match self {
            Self::Present => lines.next().is_some(),
            Self::Equal(value) => lines.any(|field| field.value == value.as_bytes()),
        }
    }
}

impl Obstacle<'_> {
    /// A sentence of it.
    pub(super) fn tell(self, request: &Request<'_>) -> String {
        let Request { host, path, method, certificate, .. } = *request;
        match self {
            Self::Host(hosts) => {
                let hosts = hosts.iter().map(|one| match one {
                    HostMatch::Any => "*".to_owned(),
                    HostMatch::Exact(host) => host.to_string(),
                    HostMatch::Suffix(suffix) => format!("*{suffix}"),
                });
                format!("the host `{host}` is not {}", alternatives(hosts))
            }
            Self::Path(condition) => match condition {
                PathMatch::Any => format!("the path `{path}` is another"),
                PathMatch::Exact(exact) => format!("the path `{path}` is not `{exact}`"),
                PathMatch::Prefix(prefix) => {
                    format!("the path `{path}` does not begin with `{prefix}`")
                }
                PathMatch::Regex(regex) => {
                    format!("the path `{path}` does not match `{}`", regex.as_str())
                }
            },
            Self::Method(methods) => {
                let methods = methods.iter().map(|method| method.to_string());
                format!("the method `{method}` is not {}", alternatives(methods))
            }
            Self::Header(name, HeaderMatch::Present) => format!("the field `{name}` is not there"),
            Self::Header(name, HeaderMatch::Equal(value)) => {
                format!("the field `{name}` is not `{value}`")
            }
            Self::Certificate(_) if certificate.is_none() => {
                "the client shows no certificate".to_owned()
            }
            Self::Certificate(CertificateMatch { subject, name, fingerprint }) => {
                let wanted = [subject, name, fingerprint].into_iter().flatten();
                let wanted: Vec<_> = wanted.map(|text| format!("`{text}`")).collect();
                format!("the client's certificate is not of {}", wanted.join(", "))
            }
        }
    }
}

/// `a`, `b` or `c`, of which the first few are named.
fn alternatives(mut all: impl ExactSizeIterator<Item = String>) -> String {
    /// How many are named.
    const MOST: usize = 8;
    let count = all.len();
    let mut text = String::new();
    for (at, one) in all.by_ref().take(MOST).enumerate() {
        let before = match at {
            0 => "",
            _ if at + 1 == count => " or ",
            _ => ", ",
        };
        text.push_str(before);
        // A string takes all that is written.
        let _taken = write!(text, "`{one}`");
    }
    if count > MOST {
        let _taken = write!(text, " or one of {} more", count - MOST);
    }
    text
}
