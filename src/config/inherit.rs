//! What a table takes over where it says nothing itself: from `[defaults]`, and the routes of a
//! listener from its `request_headers` and `response_headers`.
//!
//! It happens in the tree of the file, before its tables are read. So what is taken over is read
//! as if it stood in each table, and keeps its place: a mistake in it is told where it stands.

use std::collections::{HashMap, HashSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::http::schema::{ACTIONS, ENTRIES_MAX, PATHS, ROUTE, actions_of};
use super::report::Mistake;
use super::schema::{LISTENER, PROTOCOL_WORDS, Protocol, TableKeys, UPSTREAM, proxies_of};
use super::section::Section;

pub(super) const DEFAULTS: TableKeys =
    TableKeys { table: "[defaults]", keys: &["listener", "route", "upstream"] };

/// Whether each table of a kind has a key for itself: what it is, and where it leads.
pub(super) fn is_of_one(kind: &str, key: &str) -> bool {
    match kind {
        "listener" => ["name", "listen", "protocol", "upstream", "route", "names"].contains(&key),
        "route" => {
            ["name", "prefix_rewrite", "path_rewrite", "status", "content_type"].contains(&key)
                || ACTIONS.contains(&key)
                || PATHS.contains(&key)
        }
        _upstream => key == "servers",
    }
}

/// The edits that the routes of a listener share.
pub(super) const HEADERS: [&str; 2] = ["request_headers", "response_headers"];
/// Tables that can be switched off by the word, where a default has them.
pub(super) const TABLES: &[&str] = &[
    "tls",
    "access_log",
    "request_headers",
    "response_headers",
    "rate_limit",
    "auth",
    "websocket_inspect",
    "client_certificate",
    "health",
    "eject",
];

/// How much may be taken over: no more than a file could say that writes everything out.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
    is_over: bool,
}

impl Room {
    pub(super) const fn new(bytes: usize) -> Self {
        Self { left: bytes, is_over: false }
    }

    /// A copy of a value, while there is room. When there was none once, there is none any more.
    pub(super) fn copy<'i>(
        &mut self,
        value: &Spanned<DeValue<'i>>,
    ) -> Option<Spanned<DeValue<'i>>> {
        let left = self.left.checked_sub(weight(value.get_ref()));
        self.is_over |= left.is_none();
        self.left = left.unwrap_or(0);
        left.map(|_| value.clone())
    }

    /// Reports that there was not enough.
    pub(super) fn finish(self, mistakes: &mut Vec<Mistake>) {
        if self.is_over {
            mistakes.push(Mistake::new(
                0..0,
                "what tables take over from [defaults], [hosts], [networks] and the headers of \
                 their listeners is more than a configuration may have",
                "say less there, or in fewer tables",
            ));
        }
    }
}

/// About how many bytes of a file a value stands for: short ones take more when they are read.
fn weight(value: &DeValue<'_>) -> usize {
    const EACH: usize = 64;
    EACH + match value {
        DeValue::String(text) => text.len(),
        DeValue::Array(values) => values.iter().map(|one| weight(one.get_ref())).sum(),
        DeValue::Table(table) => {
            let entries = table.iter();
            entries.map(|(key, value)| EACH + key.get_ref().len() + weight(value.get_ref())).sum()
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => 0,
    }
}

/// The tables of `[defaults]`.
pub(super) struct Defaults<'i> {
    pub(super) listener: Option<Spanned<DeValue<'i>>>,
    pub(super) route: Option<Spanned<DeValue<'i>>>,
    pub(super) upstream: Option<Spanned<DeValue<'i>>>,
}

impl<'i> Defaults<'i> {
    /// Takes them out of a file.
    pub(super) fn take(root: &mut DeTable<'i>, mistakes: &mut Vec<Mistake>) -> Self {
        let mut section = Section::open(DEFAULTS, root.remove("defaults"), mistakes);
        let mut table = |name: &'static str| {
            let mut value = section.take(name)?;
            let table = table_mut(Some(&mut value)).map(std::mem::take);
            let entries = table.into_iter().flatten().filter(|(key, _)| {
                let is_own = is_of_one(name, key.get_ref());
                if is_own {
                    section.report(Mistake::new(
                        key.span(),
                        format!("`{}` has no default: each {name} has its own", key.get_ref()),
                        "write it where it is for",
                    ));
                }
                !is_own
            });
            let entries: DeTable<'_> = entries.collect();
            if let Some(table) = table_mut(Some(&mut value)) {
                *table = entries;
            }
            Some(value)
        };
        let defaults = Self {
            listener: table("listener"),
            route: table("route"),
            upstream: table("upstream"),
        };
        section.finish();
        defaults
    }

    /// Gives each listener, route and upstream of a file what it does not say itself, if its
    /// protocol or action has a use for it.
    pub(super) fn apply(&self, root: &mut DeTable<'i>, room: &mut Room) {
        let users = users(root);
        for listener in tables(root.get_mut("listener")) {
            self.apply_to_listener(listener, room);
        }
        let upstreams = table_mut(root.get_mut("upstream"));
        for (name, upstream) in upstreams.into_iter().flatten() {
            let Some(upstream) = table_mut(Some(upstream)) else { continue };
            let users = users.get(name.get_ref().as_ref());
            let is_used = |key: &str| match (proxies_of(key), users) {
                (Some(proxies), Some(users)) => users.iter().any(|one| proxies.contains(one)),
                (None, _) | (_, None) => true,
            };
            let defaults = as_table(self.upstream.as_ref());
            let text = |table: &DeTable<'_>| {
                table.get("balance").and_then(|value| value.get_ref().as_str().map(str::to_owned))
            };
            let balance = text(upstream).or_else(|| defaults.and_then(text));
            let hashes = balance.as_deref() == Some("hash");
            let applies = |key: &str| {
                UPSTREAM.keys.contains(&key) && is_used(key) && (key != "hash_on" || hashes)
            };
            take_over(upstream, defaults, &applies, room);
        }
    }

    fn apply_to_listener(&self, listener: &mut DeTable<'i>, room: &mut Room) {
        let protocol = protocol_of(listener);
        let has = |key: &str| {
            LISTENER.keys.contains(&key) && protocol.is_none_or(|protocol| protocol.has(key))
        };
        take_over(listener, as_table(self.listener.as_ref()), &has, room);
        let headers = HEADERS.map(|key| listener.get_key_value(key));
        let headers = headers.into_iter().flatten().filter(|(_, value)| value.get_ref().is_table());
        let headers: DeTable<'_> =
            headers.map(|(key, value)| (key.clone(), value.clone())).collect();
        for route in tables(listener.get_mut("route")) {
            let action = ACTIONS.iter().find(|action| route.contains_key(**action));
            let applies = |key: &str| {
                let actions = actions_of(key).zip(action);
                ROUTE.keys.contains(&key)
                    && actions.is_none_or(|(actions, action)| actions.contains(action))
            };
            take_over(route, Some(&headers), &applies, room);
            take_over(route, as_table(self.route.as_ref()), &applies, room);
        }
    }
}

/// The tables of an array.
pub(super) fn tables<'t, 'i>(
    value: Option<&'t mut Spanned<DeValue<'i>>>,
) -> impl Iterator<Item = &'t mut DeTable<'i>> {
    let elements = match value.map(Spanned::get_mut) {
        Some(DeValue::Array(elements)) => Some(elements.iter_mut()),
        Some(_) | None => None,
    };
    elements.into_iter().flatten().filter_map(|element| table_mut(Some(element)))
}

/// A value, if it is a table.
pub(super) fn table_mut<'t, 'i>(
    value: Option<&'t mut Spanned<DeValue<'i>>>,
) -> Option<&'t mut DeTable<'i>> {
    let value = value?.get_mut();
    if let DeValue::Table(table) = value { Some(table) } else { None }
}

fn as_table<'t, 'i>(value: Option<&'t Spanned<DeValue<'i>>>) -> Option<&'t DeTable<'i>> {
    value.and_then(|value| value.get_ref().as_table())
}

fn protocol_of(listener: &DeTable<'_>) -> Option<Protocol> {
    let word = listener.get("protocol")?.get_ref().as_str()?;
    PROTOCOL_WORDS.iter().find(|(own, _)| *own == word).map(|(_, protocol)| *protocol)
}

/// The protocols by which the servers of upstreams are spoken to, as far as it can be told yet.
fn users(root: &mut DeTable<'_>) -> HashMap<String, Vec<Protocol>> {
    let mut users: HashMap<String, Vec<Protocol>> = HashMap::new();
    let mut note = |name: Option<&Spanned<DeValue<'_>>>, protocol: Protocol| {
        let Some(name) = name.and_then(|name| name.get_ref().as_str()) else { return };
        match users.get_mut(name) {
            Some(users) if users.contains(&protocol) => {}
            Some(users) => users.push(protocol),
            None => drop(users.insert(name.to_owned(), vec![protocol])),
        }
    };
    for listener in tables(root.get_mut("listener")) {
        let Some(protocol) = protocol_of(listener) else { continue };
        if protocol != Protocol::Http {
            note(listener.get("upstream"), protocol);
            let names = as_table(listener.get("names"));
            names.into_iter().flatten().for_each(|(_, name)| note(Some(name), protocol));
            continue;
        }
        for route in tables(listener.get_mut("route")) {
            note(route.get("proxy"), Protocol::Http);
            // To its servers, a relay of WebSockets is a TCP proxy.
            let socket = as_table(route.get("websocket"));
            note(socket.and_then(|socket| socket.get("upstream")), Protocol::Tcp);
        }
    }
    users
}

/// Gives a table the keys that it does not have itself.
fn take_over<'i>(
    own: &mut DeTable<'i>,
    defaults: Option<&DeTable<'i>>,
    applies: &dyn Fn(&str) -> bool,
    room: &mut Room,
) {
    for (key, default) in defaults.into_iter().flatten() {
        if !applies(key.get_ref()) {
            continue;
        }
        if room.is_over {
            return;
        }
        let Some(given) = own.get_mut(&**key.get_ref()) else {
            if let Some(value) = room.copy(default) {
                own.insert(key.clone(), value);
            }
            continue;
        };
        match (given.get_mut(), default.get_ref(), key.get_ref().as_ref()) {
            (DeValue::Table(given), DeValue::Table(default), "tls") => {
                take_over(given, Some(default), &|_| true, room);
            }
            (DeValue::Table(given), DeValue::Table(default), key) if HEADERS.contains(&key) => {
                add_edits(given, default, room);
            }
            (_, _, _) => {}
        }
    }
}

/// Removes the tables that the file switches off, so that they take nothing over.
pub(super) fn switch_off(root: &mut DeTable<'_>) {
    let off = |table: &mut DeTable<'_>| {
        for key in TABLES {
            if table.get(*key).is_some_and(|value| value.get_ref().as_str() == Some("off")) {
                table.remove(*key);
            }
        }
    };
    for listener in tables(root.get_mut("listener")) {
        tables(listener.get_mut("route")).for_each(off);
        off(listener);
    }
    let upstreams = table_mut(root.get_mut("upstream")).into_iter().flatten();
    upstreams.filter_map(|(_, upstream)| table_mut(Some(upstream))).for_each(off);
}

/// Adds the edits of header fields to those of a table. A field that the table sets or removes
/// itself is not touched by others.
fn add_edits<'i>(own: &mut DeTable<'i>, others: &DeTable<'i>, room: &mut Room) {
    let lower = |name: &str| name.to_ascii_lowercase();
    let mut decided: HashSet<String> =
        elements(own.get("remove")).filter_map(|name| name.get_ref().as_str().map(lower)).collect();
    let set = as_table(own.get("set"));
    decided.extend(set.into_iter().flatten().map(|(name, _)| lower(name.get_ref())));
    for (kind, edits) in others {
        // Too many are told where they stand.
        if room.is_over || edits.get_ref().as_table().is_some_and(|all| all.len() > ENTRIES_MAX) {
            continue;
        }
        match (own.get_mut(&**kind.get_ref()).map(Spanned::get_mut), edits.get_ref()) {
            (None, DeValue::Table(edits)) => {
                let is_open = |name: &str| !decided.contains(&lower(name));
                let left = edits.iter().filter(|(name, _)| is_open(name.get_ref()));
                let left = left.map(|(name, value)| (name.clone(), value.clone())).collect();
                let value = Spanned::new(0..0, DeValue::Table(left));
                own.extend(room.copy(&value).map(|value| (kind.clone(), value)));
            }
            (None, _) => own.extend(room.copy(edits).map(|value| (kind.clone(), value))),
            (Some(DeValue::Table(own)), DeValue::Table(edits)) => {
                let names: HashSet<_> = own.keys().map(|name| lower(name.get_ref())).collect();
                let is_new = |name: &str| !decided.contains(name) && !names.contains(name);
                for (name, value) in edits {
                    if is_new(&lower(name.get_ref())) {
                        own.extend(room.copy(value).map(|value| (name.clone(), value)));
                    }
                }
            }
            (Some(own), DeValue::Array(_) | DeValue::String(_)) => {
                if let DeValue::String(_) = own {
                    let one = Spanned::new(0..0, own.clone());
                    *own = DeValue::Array(std::iter::once(one).collect());
                }
                if let DeValue::Array(own) = own {
                    let others = elements(Some(edits)).filter_map(|edit| room.copy(edit));
                    others.for_each(|edit| own.push(edit));
                }
            }
            (Some(_), _) => {}
        }
    }
}

/// The elements of an array; a single value counts as an array of one.
pub(super) fn elements<'t, 'i>(
    value: Option<&'t Spanned<DeValue<'i>>>,
) -> impl Iterator<Item = &'t Spanned<DeValue<'i>>> {
    let array = value.and_then(|value| value.get_ref().as_array());
    let single = value.filter(|_| array.is_none());
    array.into_iter().flatten().chain(single)
}
