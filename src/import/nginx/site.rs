//! `server` blocks of `http`: their names, and in which order they are asked.

use std::collections::{HashMap, HashSet};

use super::super::convert::{self, shown};
use super::super::document::Route;
use super::Import;
use super::listen::Listen;
use super::parse::Directive;
use super::scope::Scope;

/// A `server` block.
#[derive(Debug)]
pub(super) struct Site<'d> {
    pub(super) at: &'d Directive,
    pub(super) scope: Scope<'d>,
    /// Exact names and wildcards (`*.example.com`), in lower case.
    pub(super) names: Vec<String>,
    pub(super) listens: Vec<Listen>,
    /// It refuses requests, and some of its hosts cannot be told apart from others.
    pub(super) is_lost: bool,
    /// So many words are taken over from around it.
    pub(super) outer: usize,
}

/// Hosts of one route.
const HOSTS_MAX: usize = 256;

impl<'d> Site<'d> {
    pub(super) fn new(
        import: &mut Import<'_>,
        at: &'d Directive,
        around: &Scope<'d>,
        outer: usize,
    ) -> Self {
        let scope = around.within(at.inner());
        let mut names = Vec::new();
        let mut known = HashSet::new();
        let mut lost: Vec<(&Directive, String)> = Vec::new();
        for directive in scope.own("server_name") {
            for text in &directive.args {
                match server_names(text) {
                    Ok(own) => {
                        names.extend(own.into_iter().filter(|one| known.insert(one.clone())))
                    }
                    Err(why) => lost.push((directive, why)),
                }
            }
        }
        if names.len() > HOSTS_MAX {
            let why = "a route has 256 hosts at most; the further ones were left out";
            lost.push((at, why.to_owned()));
            names.truncate(HOSTS_MAX);
        }
        let is_lost = !lost.is_empty() && super::location::refuses_within(&scope, at);
        for (directive, why) in lost {
            match is_lost {
                false => import.note(directive, why),
                true => {
                    let end = "This server refuses requests, so hosts that no server names get 403 \
                               (unless it is the default one)";
                    import.security(directive, format!("{why}. {end}"));
                }
            }
        }
        let mut listens: Vec<Listen> = Vec::new();
        for directive in scope.own("listen") {
            listens.extend(super::listen::listen(import, directive));
        }
        if scope.own("listen").is_empty() {
            listens.push(Listen {
                address: "0.0.0.0:80".to_owned(),
                port: 80,
                ..Listen::default()
            });
        }
        // The old `ssl on` is for all addresses of the server.
        if scope.is_on("ssl") {
            listens.iter_mut().for_each(|listen| listen.tls = true);
        }
        Self { at, scope, names, listens, is_lost, outer }
    }

    /// The name that `$server_name` has.
    pub(super) fn first_name(&self) -> String {
        let words = self.scope.own("server_name").iter().flat_map(|directive| &directive.args);
        words.filter(|word| convert::is_host(word)).take(1).cloned().collect()
    }
}

/// The hosts of one `server_name`: none for `_`, which is for no host.
fn server_names(text: &str) -> Result<Vec<String>, String> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "_" | "" | "__" | "--" | "\"\"") {
        return Ok(Vec::new());
    }
    if let Some(regex) = lower.strip_prefix('~') {
        if let Some(names) = plain_names(regex) {
            return Ok(names);
        }
        return Err(format!(
            "`{}` is a regular expression, and hosts are names: list them, or `*.example.com`",
            shown(text)
        ));
    }
    if let Some(name) = lower.strip_prefix('.').filter(|name| convert::is_host(name)) {
        return Ok(vec![name.to_owned(), format!("*.{name}")]);
    }
    if convert::is_host(&lower) && (!lower.contains('*') || lower.starts_with("*.")) {
        return Ok(vec![lower]);
    }
    Err(format!("`{}` is no host that a route has: list the names", shown(text)))
}

/// The names that an expression such as `^(www\.)?example\.com$` stands for.
fn plain_names(regex: &str) -> Option<Vec<String>> {
    let inner = regex.strip_prefix('^')?.strip_suffix('$')?;
    let plain = |text: &str| {
        let name = text.replace("\\.", "\0");
        let is_plain = !name.contains('.') && !name.contains('\\');
        let name = name.replace('\0', ".");
        (is_plain && convert::is_host(&name) && !name.starts_with("*.")).then_some(name)
    };
    match inner.strip_prefix('(').and_then(|rest| rest.split_once(")?")) {
        None => plain(inner).map(|name| vec![name]),
        Some((prefix, rest)) => {
            let prefix = prefix.strip_prefix("?:").unwrap_or(prefix);
            let rest = plain(rest)?;
            let both = plain(&format!("{prefix}{}", rest.replace('.', "\\.")))?;
            Some(vec![rest, both])
        }
    }
}

/// The names of a site that are asked together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) site: usize,
    /// Empty: all hosts.
    pub(super) hosts: Vec<String>,
}

/// The order in which the sites of a listener are asked: nginx takes an exact name before a
/// wildcard, the longest wildcard before others, and the default server last.
pub(super) fn order(sites: &[(usize, &[String])], default: usize) -> Vec<Group> {
    // nginx keeps a name for the first server that has it.
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (site, names) in sites {
        for name in *names {
            let owner = owners.entry(name).or_insert(*site);
            *owner = (*owner).min(*site);
        }
    }
    let owned: Vec<(usize, Vec<String>)> = sites
        .iter()
        .map(|(site, names)| {
            let own = names.iter().filter(|name| owners.get(name.as_str()) == Some(site));
            (*site, own.cloned().collect())
        })
        .collect();
    ordered(&owned, default)
}

/// The same for names that are each of one site.
fn ordered(sites: &[(usize, Vec<String>)], default: usize) -> Vec<Group> {
    let mut exact = Vec::new();
    let mut wild: Vec<(usize, Group)> = Vec::new();
    let wildcards: HashMap<&str, usize> = sites
        .iter()
        .flat_map(|(site, names)| names.iter().map(move |name| (name, *site)))
        .filter_map(|(name, site)| Some((name.strip_prefix("*.")?, site)))
        .collect();
    for (site, names) in sites.iter().filter(|(site, _)| *site != default) {
        let (stars, plain): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| name.starts_with("*."));
        // An exact name that is below a wildcard of another site is asked before that.
        let is_below = |name: &String| {
            let foreign = |parent: &str| wildcards.get(parent).is_some_and(|own| own != site);
            parents(name).any(foreign)
        };
        let longest = stars.iter().map(String::len).max();
        match longest {
            None if plain.is_empty() => {}
            None => exact.push(Group { site: *site, hosts: plain }),
            Some(length) if plain.iter().any(is_below) => {
                exact.push(Group { site: *site, hosts: plain });
                wild.push((length, Group { site: *site, hosts: stars }));
            }
            Some(length) => wild.push((length, Group { site: *site, hosts: names.clone() })),
        }
    }
    wild.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    exact.extend(wild.into_iter().map(|(_, group)| group));
    let own = sites.iter().find(|(site, _)| *site == default);
    let exact_of_default = own.map(|(_, names)| {
        let is_below = |name: &&String| {
            parents(name).any(|parent| wildcards.get(parent).is_some_and(|own| *own != default))
        };
        names.iter().filter(is_below).cloned().collect::<Vec<_>>()
    });
    // Names of the default server that a wildcard of another one would take.
    if let Some(hosts) = exact_of_default.filter(|hosts| !hosts.is_empty()) {
        exact.insert(0, Group { site: default, hosts });
    }
    exact.push(Group { site: default, hosts: Vec::new() });
    exact
}

/// The names above a name: of `a.b.c` they are `b.c` and `c`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let own = name.starts_with("*.").then_some(bare);
    own.into_iter().chain(bare.match_indices('.').take(16).filter_map(|(at, _)| bare.get(at + 1..)))
}

/// Gives hosts to the routes of a group that have none of their own.
pub(super) fn with_hosts(routes: Vec<Route>, hosts: &[String]) -> Vec<Route> {
    let own = |mut route: Route| {
        if route.hosts.is_empty() {
            route.hosts = hosts.to_vec();
        }
        route
    };
    routes.into_iter().map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_plain_names_are_names() {
        let names = |regex: &str| plain_names(regex).unwrap_or_default().join(" ");
        assert_eq!(names(r"^(www\.)?example\.com$"), "example.com www.example.com");
        assert_eq!(names(r"^a\.example$"), "a.example");
        assert_eq!(names(r"^(?<x>.+)\.example$"), "");
        assert_eq!(names(r"^a.example$"), "");
    }

    #[test]
    fn exact_names_come_before_wildcards_and_the_default_last() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (a, b, c, d) = (
            list(&["*.example", "b.x.example"]),
            list(&["a.example"]),
            list(&["*.x.example"]),
            list(&["d"]),
        );
        let sites = [(0, &*a), (1, &*b), (2, &*c), (3, &*d)];
        let found: Vec<_> =
            order(&sites, 3).into_iter().map(|group| (group.site, group.hosts.join(" "))).collect();
        let expected = [
            (0, "b.x.example".to_owned()),
            (1, "a.example".to_owned()),
            (2, "*.x.example".to_owned()),
            (0, "*.example".to_owned()),
            (3, String::new()),
        ];
        assert_eq!(found, expected);
    }
}
