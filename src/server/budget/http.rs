//! What a listener of HTTP has beside its connections.

use super::formula::{Factor, bytes, count, number, product, size, sum};
use super::listener::{
    TLS, are_secured, connections, most, pipes, server_buffers, slow_peers, to_servers,
};
use super::{Item, Open, Part, Scope};
use crate::config::{Action, FilesOptions, HttpOptions, Listener, PathPattern, Topics};

/// Bytes of an idle connection of HTTP/1.1, measured (docs/benchmarks.md): 0.674 KiB. Of one of
/// HTTP/2, and of a request that is held, what `tests/e2e/http2/memory.rs` allows at most, beside
/// what has come (docs/http2.md).
const HTTP1: u64 = 691;
const HTTP2: u64 = 32 << 10;
const REQUEST: u64 = 3 << 10;
/// Bytes of a message that are gathered even when `waiting_memory` is used: `GATHERED_ANYWAY` of
/// `session/http/client/socket.rs`.
const GATHERED_ANYWAY: u32 = 16 << 10;
/// Bytes of one subscription: an entry of its filter and its place, with room to grow.
const SUBSCRIPTION: u64 = 64;
/// Bytes of a bucket of a rate limit, and of what other workers are shown of it (docs/http.md).
const BUCKET: u64 = 56;
const SHOWN: u64 = 16;
/// Bytes of a route (docs/http.md: 330 MiB for 100,000), and of a route in each worker (5 MiB).
const ROUTE: u64 = 3_461;
const ROUTE_OF_WORKER: u64 = 53;
/// Bytes of a regular expression, of all of a listener, and of the states of those of one host on
/// each worker (docs/http.md).
const REGEX: u64 = 1 << 20;
const REGEXES: u64 = 256 << 20;
const STATES: u64 = 8 << 20;

/// A listener of HTTP.
pub(super) fn http(
    scope: &Scope<'_>,
    listener: &Listener,
    options: &HttpOptions,
    part: &mut Part,
    open: &mut Open,
) {
    let requests = requests(listener, options);
    let (idle, source) =
        if options.http2.enabled { (HTTP2, "(tested)") } else { (HTTP1, "(measured)") };
    part.memory.push(connections(listener, idle, source));
    part.memory.push(product("requests", &with(&requests, bytes(REQUEST, "(tested)"))));
    let head = size("head_size_max", options.head_size_max);
    part.memory.push(product("heads of requests", &with(&requests, head)));
    part.memory.push(beyond_budget(scope, listener, options, &requests));
    part.memory.extend(sockets(scope, options, &requests));
    part.memory.extend(routes(scope, options));
    part.memory.extend(limits(scope, options));
    files(scope, options, &requests, part);
    to_upstreams(scope, listener, options, part, open);
    for route in &options.routes {
        open.note_action(&listener.name, &route.name, &route.action);
    }
}

/// How many requests there may be at a time.
fn requests(listener: &Listener, options: &HttpOptions) -> Vec<Factor> {
    let mut factors = vec![most(listener)];
    if options.http2.enabled {
        factors.push(count("http2_streams_max", options.http2.streams_max));
    }
    factors
}

fn with(factors: &[Factor], factor: Factor) -> Vec<Factor> {
    factors.iter().cloned().chain([factor]).collect()
}

/// `waiting_memory` refuses nothing: beyond it, each answer of which nothing waits takes one part,
/// a connection of HTTP/1.1 has received one buffer, and clients of HTTP/2 may send what their
/// windows, which have grown before, allow.
fn beyond_budget(
    scope: &Scope<'_>,
    listener: &Listener,
    options: &HttpOptions,
    requests: &[Factor],
) -> Item {
    let part = || size("runtime.buffer_size", scope.config.runtime.buffer_size);
    let answers = with(requests, part());
    let received = [most(listener), part()];
    let window = [most(listener), size("http2_window_max", options.http2.window_max)];
    let mut terms: Vec<&[Factor]> = vec![answers.as_slice(), received.as_slice()];
    if options.http2.enabled {
        terms.push(&window);
    }
    sum("bytes beyond runtime.waiting_memory", &terms)
}

/// What WebSockets keep beyond `waiting_memory`: it counts messages that are gathered and queues,
/// and closes none of the latter.
fn sockets(scope: &Scope<'_>, options: &HttpOptions, requests: &[Factor]) -> Vec<Item> {
    let endpoints = || options.routes.iter().filter_map(|route| route.action.websocket());
    let mut items = Vec::new();
    if let Some(longest) = endpoints().map(|endpoint| endpoint.limits.message_max).max() {
        let gathered = size("message_max, up to", longest.min(GATHERED_ANYWAY));
        items.push(product("messages in part", &with(requests, gathered)));
    }
    let topics = || {
        let used = endpoints().filter_map(|endpoint| endpoint.topics());
        used.filter_map(|index| scope.config.topics.get(index))
    };
    // One message waits whatever its size.
    let queue = |topics: &Topics| topics.queue_bytes.max(topics.message_max);
    if let Some(largest) = topics().max_by_key(|topics| queue(topics)) {
        let is_one = largest.message_max > largest.queue_bytes;
        let key = if is_one { "message_max" } else { "queue_bytes" };
        let bytes = size(&format!("topics.{}.{key}", largest.name), queue(largest));
        items.push(product("queues of subscribers", &with(requests, bytes)));
    }
    if let Some(largest) = topics().max_by_key(|topics| topics.subscriptions_max) {
        let key = format!("topics.{}.subscriptions_max", largest.name);
        let each = with(requests, count(&key, largest.subscriptions_max));
        let each = with(&each, bytes(SUBSCRIPTION, "(estimated)"));
        items.push(product("subscriptions", &each));
    }
    items
}

fn routes(scope: &Scope<'_>, options: &HttpOptions) -> Vec<Item> {
    let number_of = || number(options.routes.len() as u64, "routes");
    let own = [number_of(), bytes(ROUTE, "(measured)")];
    let of_worker = [scope.workers(), number_of(), bytes(ROUTE_OF_WORKER, "(measured)")];
    let mut items = vec![sum("routes", &[&own, &of_worker])];
    let regexes =
        || options.routes.iter().filter(|route| matches!(route.path, PathPattern::Regex(_)));
    let expressions = regexes().count() as u64;
    if expressions > 0 {
        let compiled = REGEX.saturating_mul(expressions).min(REGEXES);
        let compiled = [bytes(compiled, &format!("for {expressions} of path_regex"))];
        let hosts = regexes().map(|route| route.hosts.len() as u64).fold(0, u64::saturating_add);
        let states = [scope.workers(), number(hosts, "hosts"), bytes(STATES, "(fixed)")];
        items.push(sum("regular expressions", &[&compiled, &states]));
    }
    items
}

/// Buckets of rate limits.
fn limits(scope: &Scope<'_>, options: &HttpOptions) -> Option<Item> {
    let each = if scope.workers > 1 { BUCKET + SHOWN } else { BUCKET };
    let limited = options.routes.iter().filter_map(|route| {
        let limit = route.rate_limit.as_ref()?;
        let key = format!("{}: entries_max", route.name);
        Some([scope.workers(), count(&key, limit.entries_max), bytes(each, "(fixed)")])
    });
    joined("rate limits", &limited.collect::<Vec<_>>())
}

/// One item for the products of several routes, if there is any.
fn joined<const N: usize>(name: &str, terms: &[[Factor; N]]) -> Option<Item> {
    let terms: Vec<&[Factor]> = terms.iter().map(<[Factor; N]>::as_slice).collect();
    (!terms.is_empty()).then(|| sum(name, &terms))
}

/// Files that are kept open, the small ones of which are kept in memory; and those that are being
/// sent, which may all be others.
fn files(scope: &Scope<'_>, options: &HttpOptions, requests: &[Factor], part: &mut Part) {
    let folders: Vec<(&str, &FilesOptions)> = options
        .routes
        .iter()
        .filter_map(|route| match &route.action {
            Action::Files(files) => Some((route.name.as_str(), &**files)),
            Action::Proxy { .. }
            | Action::Redirect { .. }
            | Action::Respond { .. }
            | Action::Echo
            | Action::StatusPage
            | Action::WebSocketPage
            | Action::Handler(_)
            | Action::WebSocket(_) => None,
        })
        .collect();
    if folders.is_empty() {
        return;
    }
    // A cache has room for one file at least.
    let kept = |name: &str, files: &FilesOptions| {
        count(&format!("{name}: file_cache_entries"), files.cache_entries.max(1))
    };
    let open: Vec<[Factor; 2]> =
        folders.iter().map(|(name, files)| [scope.workers(), kept(name, files)]).collect();
    let small = folders.iter().map(|(name, files)| {
        [scope.workers(), kept(name, files), size("small_file_max", files.small_file_max)]
    });
    part.memory.extend(joined("small files", &small.collect::<Vec<_>>()));
    part.descriptors.push(product("folders", &[number(folders.len() as u64, "folders")]));
    part.descriptors.extend(joined("files that are kept open", &open));
    part.descriptors.push(product("files that are sent", requests));
}

/// Connections to servers that no pool counts: those of clients that were upgraded, and those of
/// WebSockets that are relayed.
fn to_upstreams(
    scope: &Scope<'_>,
    listener: &Listener,
    options: &HttpOptions,
    part: &mut Part,
    open: &mut Open,
) {
    if options.origins().next().is_some() {
        // Neither `pool_max` nor `requests_max` counts them any more.
        part.descriptors.push(product("upgraded: to servers", &[most(listener)]));
        let upgraded = slow_peers(scope, listener, 2);
        part.memory.push(Item { name: format!("upgraded: {}", upgraded.name), ..upgraded });
        let buffers = server_buffers(scope, options.origins(), &[most(listener)], open);
        let buffers = buffers.map(|item| Item { name: format!("upgraded: {}", item.name), ..item });
        part.memory.extend(buffers);
        pipes(scope, listener, part);
    }
    if options.relayed().next().is_some() {
        let name = "relayed WebSockets: to servers";
        let requests = requests(listener, options);
        part.descriptors.push(to_servers(scope, options.relayed(), name, &requests));
        part.memory.extend(server_buffers(scope, options.relayed(), &requests, open));
        if are_secured(scope, options.relayed()) {
            let each = with(&requests, bytes(TLS, "(measured)"));
            part.memory.push(product("relayed WebSockets: TLS to servers", &each));
        }
    }
}
