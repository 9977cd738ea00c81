//! What listeners and upstreams are to each other: each reference has to lead to an upstream, and
//! an upstream has to suit all the listeners that use it.

use std::collections::{HashMap, HashSet};

use toml::Spanned;

use super::accept;
use super::http::HashOn;
use super::http::check::resolve;
use super::listener::RawListener;
use super::report::Mistake;
use super::schema::{BALANCE_WORDS, Protocol, SEND_PROXY_PROTOCOL_WORDS, proxies_of, word};
use super::section::Field;
use super::upstream::RawUpstream;
use super::{Balance, ListenerService, SendProxyProtocol, ServerAddress};

/// The protocols of the listeners that use one upstream. `None` stands for a listener that is not
/// understood.
type Uses = Vec<Option<Protocol>>;

/// Names that lead nowhere for which the likely one is looked for: as many as a report shows.
const NEAREST_MAX: usize = 256;

/// What each listener does.
pub(super) fn services(
    listeners: &mut [RawListener],
    upstreams: &[RawUpstream],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Option<ListenerService>> {
    let names = upstreams.iter().map(|upstream| upstream.name.get_ref().as_str());
    let indexes: HashMap<_, _> = names.clone().zip(0..).collect();
    let mut uses: Vec<Uses> = upstreams.iter().map(|_| Uses::new()).collect();
    // Which keys of an upstream are of use cannot be told while a reference is unreadable.
    let mut all_are_known = !listeners.is_empty();
    let mut services = Vec::new();
    // The names of upstreams of relays.
    let mut relayed: HashSet<String> = HashSet::new();
    let mut nearest: HashMap<String, Option<&str>> = HashMap::new();
    for listener in listeners {
        let mut lookup = |name: &Spanned<String>, protocol: Option<Protocol>| {
            let found = indexes.get(name.get_ref().as_str()).copied();
            let likely = match found {
                Some(_) => None,
                // The likely one is looked for among all, which is too much for each of thousands.
                None if nearest.len() < NEAREST_MAX => *nearest
                    .entry(name.get_ref().clone())
                    .or_insert_with(|| accept::nearest(name.get_ref(), names.clone())),
                None => nearest.get(name.get_ref().as_str()).copied().flatten(),
            };
            // An upstream that is likely meant is used, but by whom is not certain.
            let meant = found.or_else(|| likely.and_then(|name| indexes.get(name).copied()));
            if let Some(uses) = meant.and_then(|index| uses.get_mut(index)) {
                uses.push(found.and(protocol));
            }
            if found.is_none() {
                mistakes.push(dangling(name, likely, upstreams));
            }
            found
        };
        let target = match &listener.upstream {
            Field::Value(name) => lookup(name, listener.protocol.filter(|one| may_refer(*one))),
            Field::Mistake => {
                all_are_known = false;
                None
            }
            Field::Nothing => {
                all_are_known &= listener.protocol.is_some_and(|one| !one.needs_upstream());
                None
            }
        };
        let (http, sni) = (&listener.service.http, &listener.service.sni);
        all_are_known &= http.routes_are_known && http.routes.iter().all(|route| route.is_known);
        all_are_known &= sni.is_known;
        let named = named(listener).into_iter();
        let targets = named.map(|(name, protocol)| lookup(name?, protocol));
        let targets: Vec<_> = targets.collect();
        let relays = listener.service.http.routes.iter().filter(|route| route.is_relay);
        relayed.extend(relays.filter_map(|route| match &route.upstream {
            Field::Value(name) => Some(name.get_ref().clone()),
            Field::Nothing | Field::Mistake => None,
        }));
        mistakes.extend(needless(listener));
        services.push(service(listener, target, &targets));
    }
    check_uses((upstreams, &uses), all_are_known, &relayed, mistakes);
    services
}

/// What is said of each upstream has a use where it is used.
fn check_uses(
    (upstreams, uses): (&[RawUpstream], &[Uses]),
    all_are_known: bool,
    relayed: &HashSet<String>,
    mistakes: &mut Vec<Mistake>,
) {
    for (upstream, uses) in upstreams.iter().zip(uses) {
        // Unused upstreams are only a warning: see `Config::warnings`.
        if uses.is_empty() {
            continue;
        }
        check_balance(upstream, uses, mistakes);
        check_hash_on(upstream, uses, mistakes);
        check_header(upstream, uses, mistakes);
        check_tls(upstream, uses, mistakes);
        check_unix(upstream, uses, mistakes);
        if all_are_known {
            check_keys(upstream, uses, relayed.contains(upstream.name.get_ref()), mistakes);
        }
    }
}

/// What the routes of a listener name, or the names that its clients ask for; and what the servers
/// are spoken to by, if the listener's protocol has such.
fn named(listener: &RawListener) -> Vec<(Option<&Spanned<String>>, Option<Protocol>)> {
    let routes = listener.service.http.routes.iter().map(|route| {
        // To its servers, a relay of WebSockets is a TCP proxy.
        let to_servers = if route.is_relay { Protocol::Tcp } else { Protocol::Http };
        match &route.upstream {
            Field::Value(name) => (Some(name), to_servers),
            Field::Nothing | Field::Mistake => (None, to_servers),
        }
    });
    let names = listener.service.sni.names.iter().map(|(_, name)| Some(name));
    let of = |protocol| listener.protocol.filter(|own| *own == protocol);
    if listener.protocol == Some(Protocol::Sni) {
        names.map(|name| (name, of(Protocol::Sni))).collect()
    } else {
        routes.map(|(name, to)| (name, of(Protocol::Http).map(|_| to))).collect()
    }
}

/// Whether listeners of a protocol may have the key `upstream`.
const fn may_refer(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Frame | Protocol::Sni => true,
        Protocol::Echo | Protocol::UdpEcho | Protocol::Messages | Protocol::Http => false,
    }
}

/// What a listener does, with the upstreams that its reference and those of its routes lead to.
fn service(
    listener: &mut RawListener,
    target: Option<usize>,
    targets: &[Option<usize>],
) -> Option<ListenerService> {
    let keys = &mut listener.service;
    match listener.protocol? {
        Protocol::Tcp => target.map(|upstream| ListenerService::Tcp { upstream }),
        Protocol::Echo => Some(ListenerService::Echo),
        Protocol::Udp => target.map(|upstream| ListenerService::Udp {
            upstream,
            options: keys.udp,
            flows: keys.flows,
        }),
        Protocol::UdpEcho => Some(ListenerService::UdpEcho { options: keys.udp }),
        Protocol::Frame => {
            Some(ListenerService::Frame { upstream: target, options: keys.frame.clone() })
        }
        Protocol::Messages => Some(ListenerService::Messages(keys.lines)),
        Protocol::Sni => {
            let options = keys.sni.resolve(targets);
            options.map(|options| ListenerService::Sni { upstream: target, options })
        }
        Protocol::Http => {
            resolve(&mut keys.http, targets).map(|options| ListenerService::Http(Box::new(options)))
        }
    }
}

/// A reference of a listener that has no upstream.
fn needless(listener: &RawListener) -> Option<Mistake> {
    let (Some(protocol), Field::Value(name)) = (listener.protocol, &listener.upstream) else {
        return None;
    };
    let help = match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Frame | Protocol::Sni => return None,
        Protocol::Echo => "remove `upstream`, or set `protocol = \"tcp\"`",
        Protocol::UdpEcho => "remove `upstream`, or set `protocol = \"udp\"`",
        Protocol::Messages => "remove `upstream`: this process answers messages itself",
        Protocol::Http => {
            "remove `upstream`, and name it in a [[listener.route]], as in proxy = \"NAME\""
        }
    };
    let message = format!("a listener with `protocol = \"{}\"` has no upstream", protocol.word());
    Some(Mistake::new(name.span(), message, help))
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

/// The proxies that can choose a server in this way.
const fn balancers(balance: Balance) -> &'static [Protocol] {
    match balance {
        Balance::RoundRobin | Balance::LeastConnections | Balance::LeastRequests => {
            &[Protocol::Tcp, Protocol::Udp, Protocol::Frame, Protocol::Sni, Protocol::Http]
        }
        Balance::Ewma => &[Protocol::Tcp, Protocol::Frame, Protocol::Sni, Protocol::Http],
        Balance::SourceHash | Balance::ConsistentHash | Balance::Hash => {
            &[Protocol::Tcp, Protocol::Udp, Protocol::Sni, Protocol::Http]
        }
    }
}

/// Why proxies of a protocol cannot choose a server in a way that others can.
const fn obstacle(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "how long a server takes is not known of datagrams",
        Protocol::Frame => "requests of many clients share its connections",
        Protocol::Tcp
        | Protocol::Echo
        | Protocol::UdpEcho
        | Protocol::Messages
        | Protocol::Sni
        | Protocol::Http => "it has nothing to go by",
    }
}

/// All listeners that use an upstream can choose a server in its way.
fn check_balance(upstream: &RawUpstream, uses: &Uses, mistakes: &mut Vec<Mistake>) {
    let balance = upstream.rest.balance;
    let suited = balancers(balance);
    let unsuited = uses.iter().flatten().find(|protocol| !suited.contains(protocol));
    if let (Some(span), Some(protocol)) = (&upstream.balance, unsuited) {
        let suiting = BALANCE_WORDS.iter().filter(|(_, one)| balancers(*one).contains(protocol));
        let suiting: Vec<_> = suiting.map(|(word, _)| format!("\"{word}\"")).collect();
        let setting = format!("`balance = \"{}\"`", word(BALANCE_WORDS, balance));
        mistakes.push(Mistake::new(
            span.clone(),
            unsuiting(&setting, suited, *protocol),
            format!(
                "{}; {} proxy takes {}",
                obstacle(*protocol),
                noun_with_article(*protocol),
                accept::either(&suiting)
            ),
        ));
    }
}

/// Only a request of HTTP has more than the address of its client to hash.
fn check_hash_on(upstream: &RawUpstream, uses: &Uses, mistakes: &mut Vec<Mistake>) {
    let is_source = matches!(upstream.http.rest.hash_on, None | Some(HashOn::Source));
    let others = uses.iter().flatten().find(|one| ![Protocol::Http, Protocol::Frame].contains(one));
    if let (Some(place), Some(protocol), false) = (&upstream.http.hash_on, others, is_source) {
        mistakes.push(Mistake::new(
            place.clone(),
            format!(
                "only a request of HTTP has this to hash, and {} proxy uses this upstream",
                noun_with_article(*protocol)
            ),
            "set it to \"source\", or give those listeners an upstream of their own",
        ));
    }
}

/// The proxies whose connections may start with a PROXY protocol header.
const WITH_HEADER: &[Protocol] = &[Protocol::Tcp, Protocol::Sni];

/// Only connections of some proxies start with a PROXY protocol header.
fn check_header(upstream: &RawUpstream, uses: &Uses, mistakes: &mut Vec<Mistake>) {
    let header = upstream.rest.send_proxy_protocol;
    let unsuited = uses.iter().flatten().find(|protocol| !WITH_HEADER.contains(protocol));
    if let (Some(span), Some(protocol)) = (&upstream.send_proxy_protocol, unsuited)
        && header != SendProxyProtocol::Off
    {
        let header = word(SEND_PROXY_PROTOCOL_WORDS, header);
        let setting = format!("`send_proxy_protocol = \"{header}\"`");
        mistakes.push(Mistake::new(
            span.clone(),
            unsuiting(&setting, WITH_HEADER, *protocol),
            "set it to \"off\", or give those listeners an upstream of their own",
        ));
    }
}

/// What an SNI proxy passes on is TLS already.
fn check_tls(upstream: &RawUpstream, uses: &Uses, mistakes: &mut Vec<Mistake>) {
    let place = upstream.given.iter().find(|key| *key.get_ref() == "tls");
    let is_shared = uses.iter().flatten().any(|one| *one != Protocol::Sni);
    if let (Some(place), true) = (place, is_shared && uses.contains(&Some(Protocol::Sni))) {
        mistakes.push(Mistake::new(
            place.span(),
            "an SNI proxy uses this upstream, and passes on connections that are TLS already",
            "remove this table, or give that listener an upstream of its own",
        ));
    }
}

/// The servers of UDP proxies have IP addresses.
fn check_unix(upstream: &RawUpstream, uses: &Uses, mistakes: &mut Vec<Mistake>) {
    let is_unix = |server: &&Spanned<ServerAddress>| match server.get_ref() {
        ServerAddress::Unix(_) => true,
        ServerAddress::Ip(_) | ServerAddress::Name { .. } => false,
    };
    if uses.contains(&Some(Protocol::Udp)) {
        for server in upstream.servers.iter().filter(is_unix) {
            let server_shown = accept::shown(&server.get_ref().to_string());
            mistakes.push(Mistake::new(
                server.span(),
                format!(
                    "`{server_shown}` is no server for UDP, and a UDP proxy uses this upstream"
                ),
                "give a server of UDP as IP:PORT or HOST:PORT",
            ));
        }
    }
}

/// A listener that uses the upstream knows each of its keys.
fn check_keys(upstream: &RawUpstream, uses: &Uses, is_relayed: bool, mistakes: &mut Vec<Mistake>) {
    if uses.contains(&None) {
        return;
    }
    for key in upstream.given.iter().chain(&upstream.http.share_keys) {
        let Some(proxies) = proxies_of(key.get_ref()) else {
            continue;
        };
        if !uses.iter().flatten().any(|protocol| proxies.contains(protocol)) {
            let words: Vec<_> = proxies.iter().map(|one| format!("\"{}\"", one.word())).collect();
            let help = if is_relayed {
                "remove it: to these servers, a relay of WebSockets is a TCP proxy".to_owned()
            } else {
                let words = accept::either(&words);
                format!("remove it: no listener with a `protocol` of {words} has this upstream")
            };
            mistakes.push(Mistake::new(
                key.span(),
                format!("only {} proxies use `{}`", nouns(proxies), key.get_ref()),
                help,
            ));
        }
    }
}

fn unsuiting(setting: &str, suited: &[Protocol], unsuited: Protocol) -> String {
    let (suited, unsuited) = (nouns(suited), noun_with_article(unsuited));
    format!("{setting} is for {suited} proxies, and {unsuited} proxy uses this upstream")
}

/// What the proxies of some protocols are called.
pub(super) fn nouns(protocols: &[Protocol]) -> String {
    let nouns: Vec<_> = protocols.iter().map(|protocol| noun(*protocol)).collect();
    match nouns.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        [..] => nouns.concat(),
    }
}

/// One proxy of a protocol.
fn noun_with_article(protocol: Protocol) -> String {
    let noun = noun(protocol);
    match protocol {
        Protocol::Http | Protocol::Sni => format!("an {noun}"),
        Protocol::Tcp
        | Protocol::Echo
        | Protocol::Udp
        | Protocol::UdpEcho
        | Protocol::Frame
        | Protocol::Messages => format!("a {noun}"),
    }
}

const fn noun(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp | Protocol::Echo => "TCP",
        Protocol::Udp | Protocol::UdpEcho => "UDP",
        Protocol::Frame => "frame",
        Protocol::Messages => "message",
        Protocol::Sni => "SNI",
        Protocol::Http => "HTTP",
    }
}
