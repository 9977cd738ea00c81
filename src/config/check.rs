//! From raw values to the configuration: what holds between keys, and between tables.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;

use toml::Spanned;

use super::accept;
use super::parse::{Raw, RawListener, RawUpstream};
use super::report::Mistake;
use super::schema::{COMPLETIONS_PER_SUBMISSION, Protocol};
use super::section::Given;
use super::{Admin, Config, ListenAddress, Listener, ListenerService, ServerAddress, Upstream};

/// Checks a file. `None` only if something is missing; with mistakes, the result means nothing.
pub(super) fn check(raw: Raw, mistakes: &mut Vec<Mistake>) -> Option<Config> {
    let Raw { runtime, rings, admin, log, listeners, upstreams } = raw;
    let least = runtime.ring_entries.saturating_mul(COMPLETIONS_PER_SUBMISSION);
    if let Some(span) = rings
        && runtime.completion_entries < least
    {
        let message = format!(
            "`completion_entries` is {}, and `ring_entries` {}",
            runtime.completion_entries, runtime.ring_entries
        );
        let help = format!("`completion_entries` must be at least twice as much: {least}");
        mistakes.push(Mistake::new(span, message, help));
    }

    check_names(&listeners, mistakes);
    check_addresses(&listeners, &admin, mistakes);
    for upstream in &upstreams {
        check_servers(upstream, mistakes);
    }
    let services = services(&listeners, &upstreams, mistakes);
    let listeners = listeners.into_iter().zip(services).map(|(raw, service)| {
        Some(Listener {
            name: raw.name?.into_inner(),
            listen: raw.listen.into_iter().map(Spanned::into_inner).collect(),
            service: service?,
            ..raw.rest
        })
    });
    Some(Config {
        runtime,
        admin,
        log,
        listeners: listeners.collect::<Option<_>>()?,
        upstreams: upstreams.into_iter().map(finish_upstream).collect(),
    })
}

fn finish_upstream(raw: RawUpstream) -> Upstream {
    Upstream { servers: raw.servers.into_iter().map(Spanned::into_inner).collect(), ..raw.rest }
}

/// Names of listeners are unique.
fn check_names(listeners: &[RawListener], mistakes: &mut Vec<Mistake>) {
    let names = listeners.iter().filter_map(|listener| listener.name.as_ref());
    for name in repeated(names) {
        mistakes.push(Mistake::new(
            name.span(),
            format!("there is already a listener named `{}`", name.get_ref()),
            "each listener needs a name of its own, as logs and metrics tell them by it",
        ));
    }
}

/// No two sockets listen on one address.
fn check_addresses(listeners: &[RawListener], admin: &Admin, mistakes: &mut Vec<Mistake>) {
    let is_fixed = |address: &ListenAddress| match address {
        ListenAddress::Ip(address) => address.port() != 0,
        ListenAddress::Unix(_) => true,
    };
    let addresses = listeners.iter().flat_map(|listener| &listener.listen);
    let addresses = addresses.filter(|address| is_fixed(address.get_ref()));
    for address in repeated(addresses.clone()) {
        mistakes.push(Mistake::new(
            address.span(),
            format!("`{}` is listened on already", displayed(address)),
            "each address stands once, over all listeners",
        ));
    }
    let admins = ListenAddress::Ip(admin.listen);
    for address in addresses.filter(|address| admin.enabled && *address.get_ref() == admins) {
        mistakes.push(Mistake::new(
            address.span(),
            format!("`{admins}` is the address of the administration endpoint"),
            "choose another port, or set `listen` or `enabled` in [admin]",
        ));
    }
}

/// The servers of an upstream are all different.
fn check_servers(upstream: &RawUpstream, mistakes: &mut Vec<Mistake>) {
    for server in repeated::<ServerAddress>(&upstream.servers) {
        mistakes.push(Mistake::new(
            server.span(),
            format!("`{}` is already a server of this upstream", displayed(server)),
            "each server stands once",
        ));
    }
}

/// A path may have any character; what is shown of it does not move the cursor.
fn displayed(address: &Spanned<impl Display>) -> String {
    accept::shown(&address.get_ref().to_string())
}

/// The values that stood before already.
fn repeated<'v, T: Eq + Hash + Display>(
    values: impl IntoIterator<Item = &'v Spanned<T>>,
) -> Vec<&'v Spanned<T>> {
    let mut seen = HashSet::new();
    let values = values.into_iter();
    values.filter(|value| !seen.insert(value.get_ref())).collect()
}

/// What each listener does. Each reference has to lead to an upstream, and to each upstream a
/// reference.
fn services(
    listeners: &[RawListener],
    upstreams: &[RawUpstream],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Option<ListenerService>> {
    let names = upstreams.iter().map(|upstream| upstream.name.get_ref().as_str());
    let indexes: HashMap<_, _> = names.clone().zip(0..).collect();
    let mut used = HashSet::new();
    // Which upstreams are unused cannot be told while a reference is unreadable, or all of them.
    let mut all_are_known = !listeners.is_empty();
    let mut services = Vec::new();
    for listener in listeners {
        let target = match &listener.upstream {
            Given::Value(name) => match indexes.get(name.get_ref().as_str()) {
                Some(index) => {
                    used.insert(*index);
                    Some(*index)
                }
                None => {
                    let likely = accept::nearest(name.get_ref(), names.clone());
                    used.extend(likely.and_then(|name| indexes.get(name)));
                    mistakes.push(dangling(name, likely, upstreams));
                    None
                }
            },
            Given::Mistake => {
                all_are_known = false;
                None
            }
            Given::Nothing => {
                all_are_known &= listener.protocol == Some(Protocol::Echo);
                None
            }
        };
        if let (Some(Protocol::Echo), Given::Value(name)) = (listener.protocol, &listener.upstream)
        {
            mistakes.push(Mistake::new(
                name.span(),
                "a listener with `protocol = \"echo\"` has no upstream",
                "remove `upstream`, or set `protocol = \"tcp\"`",
            ));
        }
        services.push(match listener.protocol {
            Some(Protocol::Tcp) => target.map(|upstream| ListenerService::Tcp { upstream }),
            Some(Protocol::Echo) => Some(ListenerService::Echo),
            None => None,
        });
    }
    let unused = upstreams.iter().enumerate().filter(|(index, _)| !used.contains(index));
    for (_, upstream) in unused.filter(|_| all_are_known) {
        mistakes.push(Mistake::new(
            upstream.name.span(),
            format!("no listener uses the upstream `{}`", accept::shown(upstream.name.get_ref())),
            format!(
                "set `upstream = {}` in a [[listener]], or remove this table",
                accept::quoted(upstream.name.get_ref())
            ),
        ));
    }
    services
}

/// A reference that leads nowhere.
fn dangling(name: &Spanned<String>, likely: Option<&str>, upstreams: &[RawUpstream]) -> Mistake {
    /// So many names are listed.
    const LISTED_MAX: usize = 16;
    let names = upstreams.iter().take(LISTED_MAX);
    let names: Vec<_> = names.map(|upstream| accept::shown(upstream.name.get_ref())).collect();
    let help = match likely {
        Some(likely) => format!("did you mean \"{}\"?", accept::shown(likely)),
        None if names.is_empty() => format!("add a table [upstream.{}]", name.get_ref()),
        None => format!(
            "add a table [upstream.{}], or use one of: {}",
            name.get_ref(),
            names.join(", ")
        ),
    };
    let message = format!("there is no upstream named `{}`", name.get_ref());
    Mistake::new(name.span(), message, help)
}
