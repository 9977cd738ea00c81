//! From raw values to the configuration: what holds between keys, and between tables.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;
use std::net::SocketAddr;

use toml::Spanned;

use super::accept;
use super::http::check::{check_hash, check_names as check_routes};
use super::listener::RawListener;
use super::parse::Raw;
use super::references::services;
use super::report::Mistake;
use super::schema::{COMPLETIONS_PER_SUBMISSION, FRAME_SERVER_KEYS, Protocol, protocols_of};
use super::section::Field;
use super::topics::refer;
use super::units::Period;
use super::upstream::RawUpstream;
use super::{
    Admin, ClientAuth, Config, HealthKind, HealthOptions, ListenAddress, Listener, ListenerService,
    ServerAddress, Upstream,
};

/// Checks a file. `None` only if something is missing; with mistakes, the result means nothing.
pub(super) fn check(raw: Raw, mistakes: &mut Vec<Mistake>) -> Option<Config> {
    let Raw { runtime, rings, admin, log, listeners, upstreams, topics } = raw;
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
    for listener in &listeners {
        check_keys(listener, mistakes);
        check_routes(&listener.service.http, mistakes);
        check_certificates(listener, mistakes);
    }
    for upstream in &upstreams {
        check_servers(upstream, mistakes);
        let is_given = upstream.given.iter().any(|key| *key.get_ref() == "hash_on");
        let (balance, place) = (upstream.rest.balance, upstream.balance.as_ref());
        check_hash(&upstream.http, balance, place, is_given, mistakes);
    }
    let (mut listeners, mut upstreams) = (listeners, upstreams);
    refer(&mut listeners, &topics, mistakes);
    let services = services(&mut listeners, &upstreams, mistakes);
    set_defaults_of_http(&mut upstreams, services.iter().flatten());
    let users = Protocol::users(services.iter().flatten(), upstreams.len());
    for (upstream, users) in upstreams.iter_mut().zip(&users) {
        set_default_check(upstream, users);
        check_checks(upstream, mistakes);
    }
    upstreams.iter().for_each(|upstream| check_pairs(upstream, mistakes));
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
        topics,
    })
}

/// `pool_max` of upstreams of HTTP: answers that stream on for hours must leave room for others.
const POOL_MAX_HTTP: u32 = 4_096;

/// A connection of HTTP/1.1 carries one request, perhaps for hours: there may be many more of them
/// than of those that carry many.
fn set_defaults_of_http<'a>(
    upstreams: &mut [RawUpstream],
    services: impl Iterator<Item = &'a ListenerService>,
) {
    for service in services {
        let Some(http) = service.http() else { continue };
        for index in http.origins() {
            if let Some(upstream) = upstreams.get_mut(index)
                && !upstream.given.iter().any(|key| *key.get_ref() == "pool_max")
            {
                upstream.rest.pool.max = POOL_MAX_HTTP;
            }
        }
    }
}

/// Where nothing else is said, checks ask as the proxies do that use the servers.
fn set_default_check(upstream: &mut RawUpstream, users: &[Protocol]) {
    let is_open = upstream.http.checks_are_open && !users.is_empty();
    if let Some(health) = upstream.http.rest.health.as_mut().filter(|_| is_open)
        && !users.contains(&Protocol::Http)
    {
        let is_frame = users.contains(&Protocol::Frame);
        health.kind = if is_frame { HealthKind::Frame } else { HealthKind::Tcp };
    }
}

/// Checks by TLS need to know how it is spoken.
fn check_checks(upstream: &RawUpstream, mistakes: &mut Vec<Mistake>) {
    let is_tls = |health: &HealthOptions| health.kind == HealthKind::Tls;
    let place = upstream.http.check_kind.clone();
    if let Some(place) = place.filter(|_| upstream.http.rest.health.as_ref().is_some_and(is_tls))
        && upstream.rest.tls.is_none()
    {
        let name = accept::shown(upstream.name.get_ref());
        mistakes.push(Mistake::new(
            place,
            format!("checks by TLS need a table [upstream.{name}.tls]"),
            "add that table, or set `kind` to \"tcp\"",
        ));
    }
}

fn finish_upstream(raw: RawUpstream) -> Upstream {
    Upstream {
        servers: raw.servers.into_iter().map(Spanned::into_inner).collect(),
        http: raw.http.rest,
        ..raw.rest
    }
}

/// Routes ask for certificates only where clients are asked for them.
fn check_certificates(listener: &RawListener, mistakes: &mut Vec<Mistake>) {
    let auth = listener.rest.tls.as_ref().map_or(ClientAuth::Off, |tls| tls.client_auth);
    let routes = listener.service.http.routes.iter();
    for place in routes.filter_map(|route| route.certificate.as_ref()) {
        if auth == ClientAuth::Off {
            mistakes.push(Mistake::new(
                place.clone(),
                "clients of this listener are not asked for certificates",
                "set `client_auth` to \"optional\" or \"required\" in its [listener.tls]",
            ));
        }
    }
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

/// No two sockets of one transport listen on one address, nor on one that the other includes.
fn check_addresses(listeners: &[RawListener], admin: &Admin, mistakes: &mut Vec<Mistake>) {
    // Those of which the protocol is not known are held against each other only.
    for is_udp in [Some(false), Some(true), None] {
        let transport = |listener: &&RawListener| listener.protocol.map(Protocol::is_udp) == is_udp;
        let mut taken = Taken::default();
        for address in listeners.iter().filter(transport).flat_map(|listener| &listener.listen) {
            let shown = displayed(address);
            if is_udp == Some(false)
                && admin.enabled
                && let ListenAddress::Ip(own) = address.get_ref()
                && meets_admin(*own, admin.listen)
            {
                let admin = admin.listen;
                mistakes.push(Mistake::new(
                    address.span(),
                    format!("`{shown}` is the address of the administration endpoint, `{admin}`"),
                    "choose another port, or set `listen` or `enabled` in [admin]",
                ));
            }
            let Some(other) = taken.take(address.get_ref()) else { continue };
            let (message, help) = if other == *address.get_ref() {
                (
                    format!("`{shown}` is listened on already"),
                    "each address stands once, over all listeners of TCP, and over those of UDP",
                )
            } else {
                let other = accept::shown(&other.to_string());
                (
                    format!("`{shown}` overlaps `{other}`, which is listened on already"),
                    "0.0.0.0 and [::] include every address of this machine: give each address by \
                     itself, or another port",
                )
            };
            mistakes.push(Mistake::new(address.span(), message, help));
        }
    }
}

/// Whether a listener and the admin interface would want the same address. The latter takes IPv4 as
/// well where it listens on `[::]`.
fn meets_admin(own: SocketAddr, admin: SocketAddr) -> bool {
    let is_dual = admin.is_ipv6() && admin.ip().is_unspecified();
    let is_equal = own.is_ipv4() == admin.is_ipv4() && own.ip() == admin.ip();
    let includes = own.is_ipv4() == admin.is_ipv4()
        && (own.ip().is_unspecified() || admin.ip().is_unspecified());
    own.port() != 0 && own.port() == admin.port() && (is_equal || includes || is_dual)
}

/// Addresses of one transport that are listened on.
#[derive(Default)]
struct Taken {
    all: HashMap<ListenAddress, ListenAddress>,
    /// The first address of each port and family.
    first: HashMap<(u16, bool), SocketAddr>,
    /// The address of each port and family that stands for all.
    wildcards: HashMap<(u16, bool), SocketAddr>,
}

impl Taken {
    /// Notes an address; gives the one before it that it meets.
    fn take(&mut self, address: &ListenAddress) -> Option<ListenAddress> {
        let (key, own) = match address {
            // Port 0 is another port each time.
            ListenAddress::Ip(own) if own.port() == 0 => return None,
            ListenAddress::Ip(own) => (address.clone(), Some(*own)),
            // `/a/./b` and `/a//b` are `/a/b`.
            ListenAddress::Unix(path) => (ListenAddress::Unix(path.components().collect()), None),
        };
        let mut met = self.all.get(&key).cloned();
        self.all.entry(key).or_insert_with(|| address.clone());
        if let Some(own) = own {
            let place = (own.port(), own.is_ipv4());
            let others = if own.ip().is_unspecified() { &self.first } else { &self.wildcards };
            met = met.or_else(|| others.get(&place).copied().map(ListenAddress::Ip));
            self.first.entry(place).or_insert(own);
            if own.ip().is_unspecified() {
                self.wildcards.entry(place).or_insert(own);
            }
        }
        met
    }
}

/// A listener has no key and no address that its protocol has no use for.
fn check_keys(listener: &RawListener, mistakes: &mut Vec<Mistake>) {
    let Some(protocol) = listener.protocol else {
        return;
    };
    for key in &listener.given {
        if !protocol.has(key.get_ref()) {
            mistakes.push(foreign(key, protocol));
        } else if FRAME_SERVER_KEYS.contains(key.get_ref())
            && matches!(listener.upstream, Field::Value(_))
        {
            mistakes.push(Mistake::new(
                key.span(),
                format!("`{}` is for a frame server, and this listener is a proxy", key.get_ref()),
                "remove it, or remove `upstream`",
            ));
        }
    }
    let is_unix = |address: &&Spanned<ListenAddress>| match address.get_ref() {
        ListenAddress::Unix(_) => true,
        ListenAddress::Ip(_) => false,
    };
    for address in listener.listen.iter().filter(is_unix).filter(|_| protocol.is_udp()) {
        let (shown, word) = (displayed(address), protocol.word());
        mistakes.push(Mistake::new(
            address.span(),
            format!("`{shown}` is a Unix socket, which `protocol = \"{word}\"` has no use for"),
            "UDP needs an address: IP:PORT or [IPV6]:PORT",
        ));
    }
}

/// A key of another protocol.
fn foreign(key: &Spanned<&'static str>, protocol: Protocol) -> Mistake {
    let own = protocols_of(key.get_ref()).unwrap_or_default();
    let own: Vec<_> = own.iter().map(|own| format!("\"{}\"", own.word())).collect();
    let message = match own.as_slice() {
        [only] => format!("`{}` is for `protocol = {only}`", key.get_ref()),
        [..] => format!("`{}` is for a `protocol` of {}", key.get_ref(), accept::either(&own)),
    };
    let help = format!("remove it: this listener has `protocol = \"{}\"`", protocol.word());
    Mistake::new(key.span(), message, help)
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

/// Of two sizes and of two pauses of an upstream, the lower one is not above the higher one.
fn check_pairs(upstream: &RawUpstream, mistakes: &mut Vec<Mistake>) {
    let (pool, exchange) = (&upstream.rest.pool, &upstream.rest.exchange);
    if let Some(span) = &upstream.pool_sizes
        && pool.min_idle > pool.max
    {
        mistakes.push(Mistake::new(
            span.clone(),
            format!("`pool_min_idle` is {}, and `pool_max` {}", pool.min_idle, pool.max),
            "`pool_min_idle` must not be above `pool_max`",
        ));
    }
    if let Some(span) = &upstream.backoffs
        && exchange.backoff > exchange.backoff_max
    {
        let [first, most] = [exchange.backoff, exchange.backoff_max].map(Period);
        mistakes.push(Mistake::new(
            span.clone(),
            format!("`retry_backoff` is {first}, and `retry_backoff_max` {most}"),
            "`retry_backoff_max` must not be below `retry_backoff`",
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
