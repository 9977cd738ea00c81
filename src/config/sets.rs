//! Named sets of hosts and of networks: `[hosts]` and `[networks]`. In a list, `"@NAME"` stands for
//! all of a set.
//!
//! They are put into the tree of the file before its tables are read, as what is taken over is
//! (see `inherit`).

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::accept;
use super::http::accept::{host, network};
use super::http::schema::{CONDITIONS_MAX, NETWORKS_MAX};
use super::inherit::{Room, elements, table_mut, tables};
use super::report::Mistake;
use super::schema::TableKeys;
use super::section::{Section, of_fault};

pub(super) const HOSTS: TableKeys = TableKeys { table: "[hosts]", keys: &[] };
pub(super) const NETWORKS: TableKeys = TableKeys { table: "[networks]", keys: &[] };

/// Keys of listeners and routes with networks.
const NETWORK_KEYS: &[&str] = &["allow", "deny", "trusted_proxies"];
/// Keys of routes with hosts.
const HOST_KEYS: &[&str] = &["host"];

/// So many unknown names are looked for among the known ones.
const LOOKED_FOR_MAX: usize = 256;

/// The sets of one kind.
struct Sets<'i> {
    /// The table that they stand in.
    table: &'static str,
    /// The keys in which they may be named.
    keys: &'static [&'static str],
    /// Values of such a key, at most.
    most: usize,
    sets: HashMap<String, Vec<Spanned<DeValue<'i>>>>,
}

/// Puts the sets in the place of their names.
pub(super) fn replace<'i>(root: &mut DeTable<'i>, room: &mut Room, mistakes: &mut Vec<Mistake>) {
    let hosts = Sets {
        table: "hosts",
        keys: HOST_KEYS,
        most: CONDITIONS_MAX,
        sets: sets(root.remove("hosts"), HOSTS, CONDITIONS_MAX, &|v| host(v).map(drop), mistakes),
    };
    let is_network = |value: &DeValue<'_>| match value.as_str() {
        Some("unix") => Ok(()),
        Some(_) | None => network(value).map(drop),
    };
    let networks = Sets {
        table: "networks",
        keys: NETWORK_KEYS,
        most: NETWORKS_MAX,
        sets: sets(root.remove("networks"), NETWORKS, NETWORKS_MAX, &is_network, mistakes),
    };
    let mut replace = |table: &mut DeTable<'i>| {
        hosts.replace_in(table, room, mistakes);
        networks.replace_in(table, room, mistakes);
    };
    if let Some(defaults) = table_mut(root.get_mut("defaults")) {
        let both = defaults.iter_mut().filter_map(|(_, value)| table_mut(Some(value)));
        both.for_each(&mut replace);
    }
    for listener in tables(root.get_mut("listener")) {
        replace(listener);
        tables(listener.get_mut("route")).for_each(&mut replace);
    }
}

/// Reads the sets of a table. Elements that are not accepted are reported and left out.
fn sets<'i>(
    value: Option<Spanned<DeValue<'i>>>,
    keys: TableKeys,
    most: usize,
    accept: &dyn Fn(&DeValue<'_>) -> Result<(), accept::Fault>,
    mistakes: &mut Vec<Mistake>,
) -> HashMap<String, Vec<Spanned<DeValue<'i>>>> {
    let entries = Section::open(keys, value, mistakes).into_entries();
    let mut sets = HashMap::new();
    for (name, value) in entries {
        let key = name.get_ref().as_ref();
        if !accept::is_name(key) {
            mistakes.push(of_fault(keys.table, name.span(), accept::bad_name(key)));
        }
        let mut set: Vec<_> = elements(Some(&value)).cloned().collect();
        if !(1..=most).contains(&set.len()) {
            let message =
                format!("`{}`: expected 1 to {most} values, got {}", accept::shown(key), set.len());
            mistakes.push(Mistake::new(value.span(), message, "write one value, or an array"));
            set.truncate(most);
        }
        set.retain(|one| match accept(one.get_ref()) {
            Ok(()) => true,
            Err(fault) => {
                mistakes.push(of_fault(key, one.span(), fault));
                false
            }
        });
        sets.insert(key.to_owned(), set);
    }
    sets
}

impl<'i> Sets<'i> {
    fn replace_in(&self, table: &mut DeTable<'i>, room: &mut Room, mistakes: &mut Vec<Mistake>) {
        for key in self.keys {
            let Some(value) = table.get_mut(*key) else { continue };
            let is_set = |one: &Spanned<DeValue<'_>>| named(one).is_some();
            if !elements(Some(value)).any(is_set) {
                continue;
            }
            let mut all = Vec::new();
            let size = |one| named(one).map_or(1, |name| self.sets.get(name).map_or(0, Vec::len));
            let count: usize = elements(Some(value)).map(size).sum();
            if count > self.most {
                let message =
                    format!("`{key}`: expected at most {} values, got {count}", self.most);
                mistakes.push(Mistake::new(value.span(), message, "name fewer, or smaller sets"));
                table.remove(*key);
                continue;
            }
            for one in elements(Some(value)) {
                match named(one) {
                    None => all.push(one.clone()),
                    Some(name) => match self.sets.get(name) {
                        Some(set) => all.extend(set.iter().filter_map(|one| room.copy(one))),
                        None => mistakes.push(self.unknown(name, one, mistakes.len())),
                    },
                }
            }
            // That an empty list is one would be told as a second mistake.
            match all.is_empty() {
                true => drop(table.remove(*key)),
                false => *value.get_mut() = DeValue::Array(all.into_iter().collect()),
            }
        }
    }

    /// A name of no set. The likely one is not looked for when there are many mistakes already.
    fn unknown(&self, name: &str, place: &Spanned<DeValue<'_>>, mistakes: usize) -> Mistake {
        let names = self.sets.keys().map(String::as_str).filter(|_| mistakes < LOOKED_FOR_MAX);
        let help = match accept::nearest(name, names) {
            Some(likely) => format!("did you mean \"@{likely}\"?"),
            None => {
                format!("add it to [{}], as in {} = [\"...\"]", self.table, accept::shown(name))
            }
        };
        let message = format!("there is no set `{}` in [{}]", accept::shown(name), self.table);
        Mistake::new(place.span(), message, help)
    }
}

/// The set that a value names.
fn named<'t>(value: &'t Spanned<DeValue<'_>>) -> Option<&'t str> {
    value.get_ref().as_str()?.strip_prefix('@')
}
