//! What is different between two configurations, in the words of a file: what a reload would do.
//!
//! The keys in effect are compared, so that a key that is written out with its default makes no
//! difference, and neither does the order of listeners, of upstreams and of an upstream's servers.

mod text;

use std::collections::{HashMap, HashSet};

use toml::{Table, Value};

use self::text::shown;
use super::effective;
use super::http::ServerShare;
use super::http::effective as http;
use super::{
    Config, HIDDEN_HASH, HIDDEN_VALUE, Listener, ListenerService, Route, ServerAddress, Topics,
    Upstream, WebSocketOptions,
};

/// Keys that are read once, when the process starts, with all keys of those that are tables.
const OF_THE_START: &[(&str, &[&str])] = &[
    (
        "runtime",
        &[
            "workers",
            "pin",
            "driver",
            "zero_copy_send",
            "ring_entries",
            "completion_entries",
            "buffers",
            "buffer_size",
            "kernel_tls",
            "connect_to",
            "websocket_takeover_memory",
        ],
    ),
    ("admin", &["enabled", "listen", "tls"]),
    ("log", &["format"]),
];

/// Keys of a listener that are set on its listening sockets. Those of UDP have no others, and only
/// a restart changes them.
const OF_SOCKETS: &[&str] = &[
    "backlog",
    "unix_mode",
    "nodelay",
    "keepalive",
    "receive_buffer",
    "send_buffer",
    "offload",
    "steering",
];

/// Tables whose keys are compared one by one. The others are values.
const TABLES: &[&str] = &[
    "tls",
    "access_log",
    "health",
    "eject",
    "auth",
    "rate_limit",
    "client_certificate",
    "websocket",
    "websocket_inspect",
    "request_headers",
    "response_headers",
];

/// All changes from one configuration to another, in a stable order: of the process, of listeners
/// with their routes, of upstreams and topics. Of listeners, routes and the others those that stay
/// or come, in the order of the new configuration, and then those that go, in that of the old one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The changes, each of one thing.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it is.
    pub subject: Subject,
    /// What it is.
    pub kind: ChangeKind,
    /// What it takes.
    pub effect: Effect,
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `[runtime]`.
    Runtime,
    /// `[admin]`.
    Admin,
    /// `[log]`.
    Log,
    /// A listener, by its name.
    Listener(String),
    /// A route of a listener, by the names of both.
    Route {
        /// The listener.
        listener: String,
        /// The route.
        route: String,
    },
    /// An upstream, by its name.
    Upstream(String),
    /// Topics, by their name.
    Topics(String),
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// A key has another value. `None`: it is not there, or does not apply.
    Key {
        /// The key, with those of the tables around it: `tls.certificate`.
        key: String,
        /// The value before, as a file writes it.
        old: Option<String>,
        /// The value now.
        new: Option<String>,
    },
    /// A listener listens elsewhere. Where it listened before and does now, its sockets stay.
    Addresses {
        /// Where it listens now, and did not.
        opened: Vec<String>,
        /// Where it listens no more.
        closed: Vec<String>,
    },
    /// The routes of a listener that stay are tried in another order.
    Order,
    /// An upstream has one more server.
    ServerAdded(String),
    /// An upstream has one server less.
    ServerRemoved(String),
    /// A server has another weight or priority.
    Server {
        /// Its address.
        address: String,
        /// Weight and priority before.
        old: (u32, u8),
        /// Weight and priority now.
        new: (u32, u8),
    },
}

/// What a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A reload; no socket is touched.
    Reload,
    /// A reload that opens, closes or sets up listening sockets.
    Sockets,
    /// A restart: a reload cannot do it.
    Restart,
}

impl Difference {
    /// Compares two configurations.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut found = Self::default();
        found.tables(old, new);
        found.listeners(old, new);
        found.upstreams(old, new);
        found.topics(old, new);
        found
    }

    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether a reload could not do all of it.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        self.changes.iter().any(|change| change.effect == Effect::Restart)
    }

    /// Whether the listening sockets of a listener stay as they are.
    #[must_use]
    pub fn keeps_sockets(&self, listener: &str) -> bool {
        !self.changes.iter().any(|change| {
            let is_own = matches!(&change.subject, Subject::Listener(name) if name == listener);
            is_own && change.effect == Effect::Sockets
        })
    }

    fn push(&mut self, subject: Subject, kind: ChangeKind, effect: Effect) {
        self.changes.push(Change { subject, kind, effect });
    }

    /// Everything of the process.
    fn tables(&mut self, old: &Config, new: &Config) {
        let tables = [
            (Subject::Runtime, "runtime", old.runtime == new.runtime),
            (Subject::Admin, "admin", old.admin == new.admin),
            (Subject::Log, "log", old.log == new.log),
        ];
        for (subject, name, is_equal) in tables {
            if is_equal {
                continue;
            }
            let table = |config: &Config| {
                let text = effective::table_text(config, name);
                parsed(&text).remove(name).map(of_table).unwrap_or_default()
            };
            let of_start = OF_THE_START.iter().find(|(table, _)| *table == name);
            let of_start = of_start.map_or(&[][..], |(_, keys)| keys);
            let effect = |key: &str| {
                let first = key.split('.').next().unwrap_or_default();
                if of_start.contains(&first) { Effect::Restart } else { Effect::Reload }
            };
            self.keys(&subject, "", &table(old), &table(new), &effect);
        }
    }

    fn listeners(&mut self, old: &Config, new: &Config) {
        let before = by_name(&old.listeners, |listener| &listener.name);
        let after = by_name(&new.listeners, |listener| &listener.name);
        for listener in &new.listeners {
            match before.get(listener.name.as_str()) {
                Some(earlier) => self.listener((earlier, old), (listener, new)),
                None => {
                    let subject = Subject::Listener(listener.name.clone());
                    self.push(subject, ChangeKind::Added, Effect::Sockets);
                }
            }
        }
        let gone = old.listeners.iter().filter(|one| !after.contains_key(one.name.as_str()));
        for listener in gone {
            let subject = Subject::Listener(listener.name.clone());
            self.push(subject, ChangeKind::Removed, Effect::Sockets);
        }
    }

    fn listener(&mut self, old: (&Listener, &Config), new: (&Listener, &Config)) {
        let subject = Subject::Listener(new.0.name.clone());
        self.addresses(&subject, old.0, new.0);
        let table = |(listener, config): (&Listener, &Config)| {
            let text = effective::listener_text(&without_routes(listener), config);
            let last = parsed(&text).get_mut("listener").and_then(Value::as_array_mut)?.pop();
            let mut keys = last.map(of_table)?;
            // What was compared by other means.
            keys.remove("name");
            keys.remove("listen");
            Some(keys)
        };
        let [before, after] = [old, new].map(|one| table(one).unwrap_or_default());
        // A socket of datagrams is set up when it is bound.
        let of_sockets = if new.0.is_udp() { Effect::Restart } else { Effect::Sockets };
        let effect = |key: &str| match OF_SOCKETS.contains(&key) {
            true => of_sockets,
            false => Effect::Reload,
        };
        self.keys(&subject, "", &before, &after, &effect);
        self.routes(old, new);
    }

    fn addresses(&mut self, subject: &Subject, old: &Listener, new: &Listener) {
        // The sockets of TCP and UDP are of different kinds, whatever their address.
        let is_same_kind = old.is_udp() == new.is_udp();
        let missing = |from: &Listener, of: &Listener| -> Vec<String> {
            let kept: HashSet<_> = from.listen.iter().filter(|_| is_same_kind).collect();
            of.listen.iter().filter(|one| !kept.contains(one)).map(ToString::to_string).collect()
        };
        let (opened, closed) = (missing(old, new), missing(new, old));
        if !opened.is_empty() || !closed.is_empty() {
            let kind = ChangeKind::Addresses { opened, closed };
            self.push(subject.clone(), kind, Effect::Sockets);
        }
    }

    fn routes(&mut self, old: (&Listener, &Config), new: (&Listener, &Config)) {
        let listener = &new.0.name;
        let (earlier, later) = (routes_of(old.0), routes_of(new.0));
        let before = by_name(earlier, |route| &route.name);
        let after = by_name(later, |route| &route.name);
        let subject = |route: &Route| {
            let (listener, route) = (listener.clone(), route.name.clone());
            Subject::Route { listener, route }
        };
        let stay = |routes: &[Route], others: &HashMap<&str, &Route>| -> Vec<String> {
            let names = routes.iter().map(|route| &route.name);
            names.filter(|name| others.contains_key(name.as_str())).cloned().collect()
        };
        if stay(earlier, &after) != stay(later, &before) {
            let own = Subject::Listener(listener.clone());
            self.push(own, ChangeKind::Order, Effect::Reload);
        }
        for route in later {
            match before.get(route.name.as_str()) {
                Some(earlier) => self.route(&subject(route), (earlier, old.1), (route, new.1)),
                None => self.push(subject(route), ChangeKind::Added, Effect::Reload),
            }
        }
        for route in earlier.iter().filter(|one| !after.contains_key(one.name.as_str())) {
            self.push(subject(route), ChangeKind::Removed, Effect::Reload);
        }
    }

    fn route(&mut self, subject: &Subject, old: (&Route, &Config), new: (&Route, &Config)) {
        if old.0 == new.0 && named_by(old) == named_by(new) {
            return;
        }
        let table = |(route, config): (&Route, &Config)| -> Table {
            let lines = http::route(route, config).into_iter();
            lines.map(|(key, value)| (key.to_owned(), value)).collect()
        };
        self.keys(subject, "", &table(old), &table(new), &|_| Effect::Reload);
    }

    fn upstreams(&mut self, old: &Config, new: &Config) {
        let before = by_name(&old.upstreams, |upstream| &upstream.name);
        let after = by_name(&new.upstreams, |upstream| &upstream.name);
        for upstream in &new.upstreams {
            match before.get(upstream.name.as_str()) {
                Some(earlier) if *earlier == upstream => {}
                Some(earlier) => self.upstream(earlier, upstream),
                None => {
                    let subject = Subject::Upstream(upstream.name.clone());
                    self.push(subject, ChangeKind::Added, Effect::Reload);
                }
            }
        }
        for upstream in old.upstreams.iter().filter(|one| !after.contains_key(one.name.as_str())) {
            let subject = Subject::Upstream(upstream.name.clone());
            self.push(subject, ChangeKind::Removed, Effect::Reload);
        }
    }

    fn topics(&mut self, old: &Config, new: &Config) {
        let before = by_name(&old.topics, |topics| &topics.name);
        let after = by_name(&new.topics, |topics| &topics.name);
        for topics in &new.topics {
            let subject = Subject::Topics(topics.name.clone());
            let Some(earlier) = before.get(topics.name.as_str()) else {
                self.push(subject, ChangeKind::Added, Effect::Reload);
                continue;
            };
            let table = |topics: &Topics| {
                let mut all = parsed(&effective::topics_text(topics));
                let own =
                    all.get_mut("topics").and_then(|all| all.as_table_mut()?.remove(&topics.name));
                own.map(of_table).unwrap_or_default()
            };
            self.keys(&subject, "", &table(earlier), &table(topics), &|_| Effect::Reload);
        }
        for topics in old.topics.iter().filter(|one| !after.contains_key(one.name.as_str())) {
            let subject = Subject::Topics(topics.name.clone());
            self.push(subject, ChangeKind::Removed, Effect::Reload);
        }
    }

    fn upstream(&mut self, old: &Upstream, new: &Upstream) {
        let subject = Subject::Upstream(new.name.clone());
        let table = |upstream: &Upstream| {
            // All keys, also those that no listener applies: this compares the upstream alone.
            let text = effective::upstream_text(&without_servers(upstream));
            let all = parsed(&text).remove("upstream").map(of_table).unwrap_or_default();
            let mut keys = all.into_iter().next().map(|(_, own)| of_table(own)).unwrap_or_default();
            keys.remove("servers");
            keys
        };
        self.keys(&subject, "", &table(old), &table(new), &|_| Effect::Reload);
        self.servers(&subject, old, new);
    }

    fn servers(&mut self, subject: &Subject, old: &Upstream, new: &Upstream) {
        let before: HashMap<_, _> = shares(old).collect();
        let after: HashSet<_> = new.servers.iter().collect();
        for (server, share) in shares(new) {
            let address = server.to_string();
            let kind = match before.get(server) {
                None => ChangeKind::ServerAdded(address),
                Some(earlier) if *earlier != share => {
                    ChangeKind::Server { address, old: *earlier, new: share }
                }
                Some(_) => continue,
            };
            self.push(subject.clone(), kind, Effect::Reload);
        }
        for server in old.servers.iter().filter(|server| !after.contains(server)) {
            let kind = ChangeKind::ServerRemoved(server.to_string());
            self.push(subject.clone(), kind, Effect::Reload);
        }
    }

    /// The keys of two tables, in the order of their names.
    fn keys(
        &mut self,
        subject: &Subject,
        above: &str,
        old: &Table,
        new: &Table,
        effect: &dyn Fn(&str) -> Effect,
    ) {
        let gone = old.keys().filter(|key| !new.contains_key(*key));
        let mut keys: Vec<&String> = new.keys().chain(gone).collect();
        keys.sort();
        for key in keys {
            let path = format!("{above}{key}");
            match (old.get(key), new.get(key)) {
                (Some(Value::Table(old)), Some(Value::Table(new)))
                    if TABLES.contains(&key.as_str()) =>
                {
                    self.keys(subject, &format!("{path}."), old, new, effect);
                }
                (old, new) if is_equal(old, new) => {}
                (old, new) => {
                    let [old, new] = [old, new].map(|value| Some(shown(key, value?)));
                    let effect = effect(&path);
                    self.push(subject.clone(), ChangeKind::Key { key: path, old, new }, effect);
                }
            }
        }
    }
}

/// Things by their names, which are unique.
fn by_name<T>(all: &[T], name: impl Fn(&T) -> &String) -> HashMap<&str, &T> {
    all.iter().map(|one| (name(one).as_str(), one)).collect()
}

fn routes_of(listener: &Listener) -> &[Route] {
    listener.service.http().map_or(&[], |http| &http.routes)
}

/// The names of the upstream and of the topics that a route leads to.
fn named_by<'c>((route, config): (&Route, &'c Config)) -> [Option<&'c str>; 2] {
    let upstream = route.action.upstream().and_then(|index| config.upstreams.get(index));
    let topics = route.action.websocket().and_then(WebSocketOptions::topics);
    let topics = topics.and_then(|index| config.topics.get(index));
    [upstream.map(|one| one.name.as_str()), topics.map(|one| one.name.as_str())]
}

fn without_routes(listener: &Listener) -> Listener {
    let mut bare = listener.clone();
    if let ListenerService::Http(http) = &mut bare.service {
        http.routes.clear();
    }
    bare
}

fn without_servers(upstream: &Upstream) -> Upstream {
    let mut bare = upstream.clone();
    bare.servers.clear();
    bare.http.shares.clear();
    bare
}

/// The servers of an upstream, each with its weight and priority.
fn shares(upstream: &Upstream) -> impl Iterator<Item = (&ServerAddress, (u32, u8))> {
    let usual = ServerShare::default();
    let shares = upstream.http.shares.iter().copied().chain(std::iter::repeat(usual));
    upstream.servers.iter().zip(shares.map(|share| (share.weight, share.priority)))
}

/// A text that this crate has written.
fn parsed(text: &str) -> Table {
    text.parse().expect("the configuration in effect is TOML: tests read it")
}

fn of_table(value: Value) -> Table {
    if let Value::Table(table) = value { table } else { Table::new() }
}

/// The names of a table of users with their hashes.
fn users(value: &Value) -> Option<Vec<&str>> {
    value.as_table().map(|users| users.keys().map(String::as_str).collect())
}

/// Whether two values are the same. A secret that a running server does not show may be any.
fn is_equal(old: Option<&Value>, new: Option<&Value>) -> bool {
    let tables = old.and_then(Value::as_table).zip(new.and_then(Value::as_table));
    let Some((one, other)) = tables else { return old == new };
    let is_hidden = |value: &Value| {
        value.as_str().is_some_and(|text| [HIDDEN_HASH, HIDDEN_VALUE].contains(&text))
    };
    one.keys().eq(other.keys())
        && one.values().zip(other.values()).all(|(a, b)| a == b || is_hidden(a) || is_hidden(b))
}
