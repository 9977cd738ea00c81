//! The configuration that is written: listeners with their routes, and upstreams, before what they
//! have in common is put together.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::convert;

/// A value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Real(f64),
    Flag(bool),
    List(Vec<Self>),
    /// Names with their values.
    Pairs(Vec<(String, Self)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::List(texts.into_iter().map(Self::Text).collect())
    }
}

impl Value {
    /// One text, or an array of several.
    pub(super) fn one_or_list(texts: &[String]) -> Self {
        match texts {
            [one] => Self::from(one.as_str()),
            _ => Self::from(texts.to_vec()),
        }
    }
}

/// A table: its keys in the order in which they are written, and the tables within it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table {
    pub(super) keys: Vec<(&'static str, Value)>,
    pub(super) tables: Vec<(&'static str, Self)>,
}

impl Table {
    /// Sets a key, in the place of an earlier value.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.keys.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.keys.retain(|(name, _)| *name != key);
    }

    /// The table of a name within this one, which is made if it is not there.
    pub(super) fn table(&mut self, name: &'static str) -> &mut Self {
        if self.find_table(name).is_none() {
            self.tables.push((name, Self::default()));
        }
        let found = self.tables.iter_mut().find(|(own, _)| *own == name);
        found.map(|(_, table)| table).expect("it was added above if it was not there")
    }

    pub(super) fn find_table(&self, name: &str) -> Option<&Self> {
        self.tables.iter().find(|(own, _)| *own == name).map(|(_, table)| table)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tables.is_empty()
    }
}

/// What of a path a route asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) enum Path {
    #[default]
    Any,
    Exact(String),
    Prefix(String),
    Regex(String),
}

/// Edits of header fields. The last edit of a name holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edits {
    pub(super) set: Vec<(String, String)>,
    pub(super) add: Vec<(String, String)>,
    pub(super) remove: Vec<String>,
}

impl Edits {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let name = name.to_ascii_lowercase();
        self.forget(&name);
        self.set.push((name, value.into()));
    }

    /// Adds a field. A table has each name once, so that a second value joins the first.
    pub(super) fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let name = name.to_ascii_lowercase();
        match self.add.iter_mut().find(|(own, _)| *own == name) {
            Some((_, old)) => {
                old.push_str(", ");
                old.push_str(value.as_ref());
            }
            None => self.add.push((name, value.as_ref().to_owned())),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.forget(&name);
        self.remove.push(name);
    }

    fn forget(&mut self, name: &str) {
        self.set.retain(|(own, _)| own != name);
        self.add.retain(|(own, _)| own != name);
        self.remove.retain(|own| own != name);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    fn table(self) -> Table {
        let mut table = Table::default();
        let pairs = |pairs: Vec<(String, String)>| {
            Value::Pairs(pairs.into_iter().map(|(name, value)| (name, value.into())).collect())
        };
        if !self.remove.is_empty() {
            table.set("remove", self.remove);
        }
        if !self.set.is_empty() {
            table.set("set", pairs(self.set));
        }
        if !self.add.is_empty() {
            table.set("add", pairs(self.add));
        }
        table
    }
}

/// A route of an HTTP listener.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Route {
    /// Lines above it.
    pub(super) comment: Option<String>,
    /// Empty: any host.
    pub(super) hosts: Vec<String>,
    pub(super) path: Path,
    /// Empty: any method.
    pub(super) methods: Vec<String>,
    pub(super) headers: Vec<(String, String)>,
    /// The action and what belongs to it.
    pub(super) table: Table,
    pub(super) request: Edits,
    pub(super) response: Edits,
    /// `allow` and `deny`.
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
}

impl Route {
    /// A route that answers with a text of its own.
    pub(super) fn respond(path: Path, status: u16, text: &str) -> Self {
        let mut route = Self { path, ..Self::default() };
        route.table.set("respond", text);
        if status != 200 {
            route.table.set("status", u64::from(status));
        }
        route
    }

    /// A route that stands for one whose access rule could not be translated.
    pub(super) fn closed(path: Path) -> Self {
        let mut route = Self::respond(path, 403, "Forbidden\n");
        route.comment = Some("Closed: its access rule was not translated.".to_owned());
        route
    }

    /// Whether it answers all of its requests with a failure.
    pub(super) fn refuses(&self) -> bool {
        match self.table.get("status") {
            Some(Value::Number(status)) => self.table.has("respond") && *status >= 400,
            Some(
                Value::Text(_) | Value::Real(_) | Value::Flag(_) | Value::List(_) | Value::Pairs(_),
            )
            | None => false,
        }
    }

    /// Whether it carries a body of its own, so that compression and limits mean something.
    pub(super) fn has_content(&self) -> bool {
        self.table.has("proxy") || self.table.has("files")
    }

    /// Whether two routes differ by nothing but their hosts.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.path == other.path
            && self.methods == other.methods
            && self.headers == other.headers
            && self.table == other.table
            && self.request == other.request
            && self.response == other.response
            && self.allow == other.allow
            && self.deny == other.deny
            && self.comment == other.comment
    }
}

/// A listener.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Listener {
    pub(super) comment: Option<String>,
    pub(super) name: String,
    pub(super) listen: Vec<String>,
    pub(super) protocol: &'static str,
    pub(super) table: Table,
    pub(super) routes: Vec<Route>,
    pub(super) request: Edits,
    pub(super) response: Edits,
}

/// A server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) address: String,
    pub(super) weight: u64,
    pub(super) priority: u64,
}

/// An upstream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
    pub(super) table: Table,
    /// The protocol of the listeners that use it; empty: none does.
    pub(super) protocol: &'static str,
}

/// A whole configuration.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Lines at the top.
    pub(super) comment: String,
    /// Tables before the listeners, such as `log`.
    pub(super) top: Table,
    pub(super) listeners: Vec<Listener>,
    pub(super) upstreams: Vec<Upstream>,
    /// Lists with a name: of hosts, and of networks.
    pub(super) hosts: Vec<(String, Vec<String>)>,
    pub(super) networks: Vec<(String, Vec<String>)>,
    /// What lists of networks were called.
    pub(super) network_names: HashMap<Vec<String>, String>,
    /// `defaults`, by table.
    pub(super) defaults: Table,
}

impl Document {
    /// Puts together what is said more than once.
    pub(super) fn condense(&mut self) {
        self.drop_unused();
        for listener in &mut self.listeners {
            hoist_edits(listener);
            hoist_body_max(listener);
        }
        self.name_hosts();
        self.name_networks();
        self.finish_edits();
        self.hoist_defaults();
    }

    /// Leaves out upstreams of routes that were closed.
    fn drop_unused(&mut self) {
        let mut used: HashSet<String> = HashSet::new();
        for listener in &self.listeners {
            let tables = listener.routes.iter().map(|route| &route.table);
            for table in tables.chain([&listener.table]) {
                for key in ["proxy", "upstream"] {
                    if let Some(Value::Text(name)) = table.get(key) {
                        used.insert(name.clone());
                    }
                }
                if let Some(Value::Pairs(names)) = table.get("names") {
                    used.extend(names.iter().filter_map(|(_, value)| match value {
                        Value::Text(name) => Some(name.clone()),
                        Value::Number(_)
                        | Value::Real(_)
                        | Value::Flag(_)
                        | Value::List(_)
                        | Value::Pairs(_) => None,
                    }));
                }
            }
        }
        self.upstreams.retain(|upstream| used.contains(&upstream.name));
    }

    /// Gives a name to lists of hosts that several routes have.
    fn name_hosts(&mut self) {
        let routes = self.listeners.iter_mut().flat_map(|listener| &mut listener.routes);
        let lists: Vec<&mut Vec<String>> = routes.map(|route| &mut route.hosts).collect();
        self.hosts = named(lists, "hosts", |list| {
            let first = list.first().map(String::as_str).unwrap_or_default();
            let bare = first.trim_start_matches("*.").trim_start_matches("www.");
            bare.split('.').next().unwrap_or_default().to_owned()
        });
    }

    /// Gives a name to lists of networks that several routes have.
    fn name_networks(&mut self) {
        let routes = self.listeners.iter_mut().flat_map(|listener| &mut listener.routes);
        let lists = routes.flat_map(|route| [&mut route.allow, &mut route.deny]).collect();
        let names = &self.network_names;
        self.networks = named(lists, "networks", |list| {
            names.get(list).map_or_else(|| "clients".to_owned(), Clone::clone)
        });
    }

    /// Writes header edits and access lists into the tables.
    fn finish_edits(&mut self) {
        for listener in &mut self.listeners {
            finish(&mut listener.table, &mut listener.request, &mut listener.response);
            for route in &mut listener.routes {
                if !route.allow.is_empty() {
                    route.table.set("allow", std::mem::take(&mut route.allow));
                }
                if !route.deny.is_empty() {
                    route.table.set("deny", std::mem::take(&mut route.deny));
                }
                finish(&mut route.table, &mut route.request, &mut route.response);
            }
        }
    }

    /// Moves keys that all tables of a kind have into `[defaults]`.
    fn hoist_defaults(&mut self) {
        let protocol = self.listeners.first().map(|listener| listener.protocol);
        if self.listeners.iter().all(|listener| Some(listener.protocol) == protocol) {
            let tables = self.listeners.iter_mut().map(|listener| &mut listener.table).collect();
            hoist(
                tables,
                &["listener"],
                &mut self.defaults,
                &["upstream", "names", "allow", "deny"],
            );
        }
        let routes = self.listeners.iter_mut().flat_map(|listener| &mut listener.routes);
        let tables: Vec<_> =
            routes.filter(|route| route.has_content()).map(|route| &mut route.table).collect();
        hoist_keys(tables, "route", &mut self.defaults, |key| key.starts_with("compress"));
        let protocol = self.upstreams.first().map(|upstream| upstream.protocol);
        if self.upstreams.iter().all(|upstream| Some(upstream.protocol) == protocol) {
            let tables = self.upstreams.iter_mut().map(|upstream| &mut upstream.table).collect();
            hoist_keys(tables, "upstream", &mut self.defaults, |key| {
                !["balance", "hash_on", "servers"].contains(&key)
            });
        }
    }
}

/// Hoists keys, and the access log, of listeners.
fn hoist(tables: Vec<&mut Table>, names: &[&'static str], defaults: &mut Table, own: &[&str]) {
    let Some(name) = names.first() else { return };
    let mut tables = tables;
    let log = tables.first().and_then(|table| table.find_table("access_log").cloned());
    let is_common = |tables: &[&mut Table]| {
        tables.len() > 1
            && tables.iter().all(|table| table.find_table("access_log") == log.as_ref())
    };
    if let Some(log) = log.clone().filter(|_| is_common(&tables)) {
        for table in &mut tables {
            table.tables.retain(|(name, _)| *name != "access_log");
        }
        defaults.table(name).tables.push(("access_log", log));
    }
    hoist_keys(tables, name, defaults, |key| !own.contains(&key));
}

/// Moves keys that all of several tables have with one value to their defaults.
fn hoist_keys(
    mut tables: Vec<&mut Table>,
    name: &'static str,
    defaults: &mut Table,
    may: impl Fn(&str) -> bool,
) {
    let Some((first, others)) = tables.split_first() else { return };
    if others.is_empty() {
        return;
    }
    let is_common = |(key, value): &&(&'static str, Value)| {
        may(key) && others.iter().all(|table| table.get(key) == Some(value))
    };
    let common: Vec<_> = first.keys.iter().filter(is_common).cloned().collect();
    for (key, value) in common {
        tables.iter_mut().for_each(|table| table.remove(key));
        defaults.table(name).set(key, value);
    }
}

/// Gives names to lists of two or more that occur twice or more, and puts `@NAME` in their places.
fn named(
    lists: Vec<&mut Vec<String>>,
    fallback: &str,
    name: impl Fn(&[String]) -> String,
) -> Vec<(String, Vec<String>)> {
    let mut counts: HashMap<Vec<String>, usize> = HashMap::new();
    for list in lists.iter().filter(|list| list.len() > 1) {
        *counts.entry((*list).clone()).or_default() += 1;
    }
    let mut names = convert::Names::default();
    let mut known: HashMap<Vec<String>, String> = HashMap::new();
    let mut found = Vec::new();
    for list in lists {
        if counts.get(list).copied().unwrap_or_default() < 2 {
            continue;
        }
        let own = known.entry(list.clone()).or_insert_with(|| {
            let own = names.unique(&name(list), fallback);
            found.push((own.clone(), list.clone()));
            own
        });
        *list = vec![format!("@{own}")];
    }
    found
}

fn finish(table: &mut Table, request: &mut Edits, response: &mut Edits) {
    for (name, edits) in [("request_headers", request), ("response_headers", response)] {
        if !edits.is_empty() {
            table.tables.push((name, std::mem::take(edits).table()));
        }
    }
}

/// Moves edits that all routes have to their listener: of requests, those that all proxies have.
fn hoist_edits(listener: &mut Listener) {
    let routes = &mut listener.routes;
    // What refuses is the better for a field more.
    let is_bare = |route: &Route| route.table.has("respond") && route.response.is_empty();
    let answers = routes.iter_mut().filter(|route| !is_bare(route));
    let answers: Vec<_> = answers.map(|route| &mut route.response).collect();
    hoist_common(answers, &mut listener.response);
    let proxies = routes.iter_mut().filter(|route| route.table.has("proxy"));
    let requests: Vec<_> = proxies.map(|route| &mut route.request).collect();
    hoist_common(requests, &mut listener.request);
}

fn hoist_common(mut edits: Vec<&mut Edits>, target: &mut Edits) {
    if edits.len() < 2 {
        return;
    }
    let all: Vec<&Edits> = edits.iter().map(|one| &**one).collect();
    let mut common = Edits {
        set: common(all.iter().map(|one| one.set.as_slice())),
        add: common(all.iter().map(|one| one.add.as_slice())),
        remove: common(all.iter().map(|one| one.remove.as_slice())),
    };
    // What a route says of a field goes before what its listener says.
    let sets = all.iter().flat_map(|one| one.set.iter().map(|(name, _)| name));
    let own: HashSet<String> =
        sets.chain(all.iter().flat_map(|one| &one.remove)).cloned().collect();
    common.add.retain(|(name, _)| !own.contains(name));
    for one in &mut edits {
        one.set.retain(|entry| !common.set.contains(entry));
        one.add.retain(|entry| !common.add.contains(entry));
        one.remove.retain(|entry| !common.remove.contains(entry));
    }
    target.set.extend(common.set);
    target.add.extend(common.add);
    target.remove.extend(common.remove);
}

/// What all of several lists have.
fn common<'l, T: Clone + Eq + Hash + 'l>(lists: impl Iterator<Item = &'l [T]>) -> Vec<T> {
    let mut counts: HashMap<&T, usize> = HashMap::new();
    let (mut first, mut count) = (None, 0);
    for list in lists {
        first = first.or(Some(list));
        count += 1;
        for entry in list {
            *counts.entry(entry).or_default() += 1;
        }
    }
    let is_common = |entry: &&T| counts.get(*entry) == Some(&count);
    first.into_iter().flatten().filter(is_common).cloned().collect()
}

/// Moves the most frequent `body_max` to the listener, where all routes with a body say one.
fn hoist_body_max(listener: &mut Listener) {
    let mut counts: Vec<(Value, usize)> = Vec::new();
    for route in listener.routes.iter().filter(|route| route.has_content()) {
        let Some(value) = route.table.get("body_max") else { return };
        match counts.iter_mut().find(|(own, _)| own == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value.clone(), 1)),
        }
        // So many sizes have nothing in common.
        if counts.len() > 16 {
            return;
        }
    }
    let Some((value, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return };
    for route in &mut listener.routes {
        if route.table.get("body_max") == Some(&value) {
            route.table.remove("body_max");
        }
    }
    listener.table.set("body_max", value);
}
