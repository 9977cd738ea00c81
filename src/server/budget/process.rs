//! What the process and its workers have once, whatever the number of connections; and sets of
//! topics, which workers have once each.

use std::collections::BTreeSet;
use std::path::Path;

use super::formula::{Factor, bytes, count, number, product, size, sum};
use super::listener::spliced_directions;
use super::{Item, Part, Scope};
use crate::config::{AccessLogTarget, HttpOptions, Topics};
use crate::ring::{DATAGRAM_BUFFER_LEN, DriverChoice};
use crate::server::build;
use crate::server::sink::WAITING_MAX;
use crate::service::topics::SEGMENTS_MAX;
use crate::session::{PARTINGS_MAX, PENDING_MAX};

/// Bytes of a page of memory, in which the kernel charges rings. Larger pages charge more.
const PAGE: u64 = 4096;
/// Bytes of a submission entry, of a completion, and of an entry of a ring of buffers: fixed by the
/// kernel's interface.
const SUBMISSION: u64 = 64;
const COMPLETION: u64 = 16;
const BUFFER_ENTRY: u64 = 16;
/// Bytes of lines that a worker gathers before it hands them over: `LINES_MAX` of
/// `session/http/client/log.rs`. Lines of a turn come on top.
const LINES_MAX: u64 = 32 << 10;
/// Bytes of a filter of topics: a node of 48 bytes and its place among its siblings for each
/// segment, and its text, about.
const FILTER_SEGMENT: u64 = 128;

/// Standard input, output and error.
const STANDARD: u64 = 3;
/// Of each worker: a ring, or an epoll with the ends of a pipe and an eventfd; and its mailbox.
const OF_RING: u64 = 2;
const OF_EPOLL: u64 = 5;
/// Of the control plane: epoll and eventfds of its runtime, the sockets that signals come by, files
/// that are read again, one at a time.
const OF_CONTROL: u64 = 16;
/// Connections of the admin interface: `CONNECTIONS_MAX` of `server/admin/serve.rs`.
const ADMIN_CONNECTIONS: u64 = 64;

/// What the process has once, and each worker once.
pub(super) fn process(scope: &Scope<'_>) -> Part {
    let mut part = Part::new("process".to_owned());
    part.locked = rings(scope);
    if !part.locked.is_empty() {
        part.memory.push(kernel_rings(&part.locked));
    }
    part.memory.extend(buffers(scope));
    part.memory.extend(shared(scope));
    part.memory.extend(logs(scope));
    part.descriptors = descriptors(scope);
    part
}

/// The rings of all workers, as the kernel charges them: whole pages for submissions, for
/// completions behind a head, and for each ring of buffers. Measured on Linux 6.18 by how many
/// rings fit into 8 MiB: 41 of the default sizes (49 pages), 40 with their rings of buffers (51).
fn rings(scope: &Scope<'_>) -> Vec<Item> {
    if scope.config.runtime.driver == DriverChoice::Epoll {
        return Vec::new();
    }
    let (runtime, ring) = (&scope.config.runtime, build::ring(scope.config));
    let paged = |name: &str, key: &str, entries: u64, each: u64, head: u64| {
        let whole = entries.saturating_mul(each).saturating_add(head);
        let whole = whole.div_ceil(PAGE).saturating_mul(PAGE);
        let what = format!("for {key} {entries} of {each}B");
        product(name, &[scope.workers(), bytes(whole, &what)])
    };
    let datagrams = u64::from(ring.datagram_buffers);
    vec![
        paged("submissions", "runtime.ring_entries", runtime.ring_entries.into(), SUBMISSION, 0),
        paged(
            "completions",
            "runtime.completion_entries",
            runtime.completion_entries.into(),
            COMPLETION,
            PAGE,
        ),
        paged(
            "ring of receive buffers",
            "runtime.buffers",
            runtime.buffers.into(),
            BUFFER_ENTRY,
            0,
        ),
        paged("ring of datagram buffers", "datagram buffers (fixed)", datagrams, BUFFER_ENTRY, 0),
    ]
}

/// The same as memory.
fn kernel_rings(locked: &[Item]) -> Item {
    Item {
        name: "rings".to_owned(),
        formula: "as locked memory below".to_owned(),
        amount: locked.iter().map(|item| item.amount).fold(0, u64::saturating_add),
    }
}

/// Buffers that are received into.
fn buffers(scope: &Scope<'_>) -> Vec<Item> {
    let [buffers, each] = scope.turn();
    let mut items = vec![product("receive buffers", &[scope.workers(), buffers, each])];
    // Without a listener of UDP they are address space that nothing touches.
    if scope.config.listeners.iter().any(|listener| listener.is_udp()) {
        let buffers = u64::from(build::ring(scope.config).datagram_buffers);
        let each = [
            scope.workers(),
            number(buffers, "buffers"),
            bytes(DATAGRAM_BUFFER_LEN.into(), "each"),
        ];
        items.push(product("datagram buffers", &each));
    }
    items
}

/// What all connections of a worker share.
fn shared(scope: &Scope<'_>) -> Vec<Item> {
    let runtime = &scope.config.runtime;
    let http = || scope.config.listeners.iter().filter_map(|listener| listener.service.http());
    let any = |has: fn(&HttpOptions) -> bool| http().any(has);
    let each = |name: &str, factor: Factor| product(name, &[scope.workers(), factor]);
    let mut items = Vec::new();
    if http().next().is_some() {
        let most = size("runtime.waiting_memory", runtime.waiting_memory);
        items.push(each("bytes that wait for HTTP peers", most));
    }
    if any(|http| http.routes.iter().any(|route| route.compression.enabled)) {
        let most = size("runtime.compression_memory", runtime.compression_memory);
        items.push(each("compressors", most));
    }
    if any(keeps_windows) {
        let most = size("runtime.websocket_takeover_memory", runtime.websocket_takeover_memory);
        items.push(each("windows of WebSockets", most));
    }
    if !scope.topics.is_empty() {
        items.push(each("publications to be delivered", bytes(PENDING_MAX as u64, "(fixed)")));
    }
    items
}

/// Whether a WebSocket may keep its windows between messages.
fn keeps_windows(http: &HttpOptions) -> bool {
    let mut sockets = http.routes.iter().filter_map(|route| route.action.websocket());
    // Those of topics share what is compressed.
    sockets.any(|one| one.deflate && one.deflate_takeover && one.topics().is_none())
}

/// The files of access logs, each once; none for standard output.
fn log_targets<'a>(scope: &Scope<'a>) -> BTreeSet<Option<&'a Path>> {
    let http = scope.config.listeners.iter().filter_map(|listener| listener.service.http());
    let logs = http.filter_map(|http| http.access_log.as_ref());
    let targets = logs.map(|log| match &log.target {
        AccessLogTarget::Stdout => None,
        AccessLogTarget::File(path) => Some(path.as_path()),
    });
    targets.collect()
}

/// Lines of logs that wait.
fn logs(scope: &Scope<'_>) -> Vec<Item> {
    let mut items = vec![product("log of the program", &[bytes(WAITING_MAX as u64, "(fixed)")])];
    let targets = log_targets(scope).len() as u64;
    if targets > 0 {
        let outputs = number(targets, "access logs");
        let waiting = [outputs.clone(), bytes(WAITING_MAX as u64, "(fixed)")];
        let gathered = [scope.workers(), outputs, bytes(LINES_MAX, "(fixed)")];
        items.push(sum("access logs", &[&waiting, &gathered]));
    }
    items
}

fn descriptors(scope: &Scope<'_>) -> Vec<Item> {
    let config = scope.config;
    let partings = number(PARTINGS_MAX as u64, "each (fixed)");
    let own = if config.runtime.driver == DriverChoice::Uring { OF_RING } else { OF_EPOLL };
    let mut items = vec![
        product("standard streams", &[number(STANDARD, "(fixed)")]),
        product("control plane", &[number(OF_CONTROL, "(fixed)")]),
        product("drivers and mailboxes", &[scope.workers(), number(own, "each")]),
        product("connections that were told their end", &[scope.workers(), partings]),
    ];
    if config.admin.enabled {
        let most = number(ADMIN_CONNECTIONS + 1, "connections and socket (fixed)");
        items.push(product("admin interface", &[most]));
    }
    let files = log_targets(scope).into_iter().flatten().count() as u64;
    if files > 0 {
        items.push(product("files of access logs", &[number(files, "files")]));
    }
    // A pipe that a connection no longer needs is kept, beside those that others need meanwhile.
    if config.listeners.iter().any(|listener| spliced_directions(scope, listener) > 0) {
        let kept = count("runtime.pipes", config.runtime.splice.pipes);
        items.push(product("idle pipes", &[scope.workers(), kept, number(2, "ends")]));
    }
    items
}

/// What a set of topics takes, beside its subscribers' queues.
pub(super) fn topics(scope: &Scope<'_>, topics: &Topics) -> Part {
    let mut part = Part::new(format!("topics {}", topics.name));
    let retained = size("retained_bytes", topics.retained_bytes);
    // Workers share the payloads: mostly there is one copy.
    part.memory.push(product("retained messages", &[scope.workers(), retained]));
    if scope.workers > 1 {
        let exchange = size("exchange_bytes", topics.exchange_bytes);
        part.memory.push(product("publications for other workers", &[scope.workers(), exchange]));
    }
    let filter = bytes(FILTER_SEGMENT.saturating_mul(SEGMENTS_MAX as u64), "each (estimated)");
    let filters = count("filters_max", topics.filters_max);
    part.memory.push(product("filters", &[scope.workers(), filters, filter]));
    part
}
