//! The connections and flows of a listener.

use super::formula::{Factor, bytes, count, number, product, size, sum};
use super::{Item, Open, Part, Scope, http};
use crate::config::{
    FlowOptions, FrameOptions, KernelTls, LineOptions, Listener, ListenerService, ListenerTls,
    SniOptions, SocketOptions, SpliceMode,
};
use crate::net::BUFFER_WANTED;
use crate::proto::proxy_protocol::HEADER_MAX;
use crate::proto::tls::HELLO_MAX;
use crate::service::proxy::CLOG_BYTES;
use crate::session::{ANSWERS_MAX, TRANSFERS_MAX};

/// Bytes of memory that an idle connection takes, measured (docs/benchmarks.md, idle connections):
/// 0.821 KiB of a TCP proxy, both sides; of TLS 3.79 KiB, of which 0.674 KiB are those of the
/// connection that has none. Of echo, messages and frames none was measured: they are smaller than
/// this.
const RELAYED: u64 = 841;
pub(super) const TLS: u64 = 3_191;
const OTHER: u64 = 1024;
/// Bytes of a flow (docs/udp.md).
const FLOW: u64 = 400;
/// A record of TLS that came in part is kept until it is whole: its payload and what is around it,
/// rounded up.
const RECORD: u64 = 17 << 10;
/// Bytes that servers of a frame proxy may send ahead, over all answers of one client (the credit
/// of docs/protocol.md, section 9).
const FRAME_CREDIT: u64 = 1 << 20;

/// The upstream of a frame proxy.
pub(super) const fn frame_upstream(service: &ListenerService) -> Option<usize> {
    if let ListenerService::Frame { upstream, .. } = service { *upstream } else { None }
}

/// What a listener may take.
pub(super) fn listener(scope: &Scope<'_>, listener: &Listener, open: &mut Open) -> Part {
    let mut part = Part::new(format!("listener {}", listener.name));
    let sockets = [scope.workers(), addresses(listener)];
    part.descriptors.push(product("listening sockets", &sockets));
    if !listener.is_udp() {
        stream(scope, listener, &mut part, open);
    }
    match &listener.service {
        ListenerService::Tcp { .. } => relayed(scope, listener, &mut part, open),
        ListenerService::Sni { options, .. } => {
            relayed(scope, listener, &mut part, open);
            part.memory.push(hellos(scope, options));
        }
        ListenerService::Echo => {
            part.memory.push(connections(listener, OTHER, "(estimated)"));
            part.memory.push(slow_peers(scope, listener, 1));
        }
        ListenerService::Messages(options) => messages(scope, listener, *options, &mut part),
        ListenerService::Frame { upstream, options } => {
            frames(scope, listener, (*upstream, options), &mut part);
        }
        ListenerService::Http(options) => {
            http::http(scope, listener, options, &mut part, open);
        }
        ListenerService::Udp { upstream, flows, .. } => {
            datagrams(scope, listener, &mut part);
            udp_flows(scope, (*upstream, *flows), &mut part, open);
        }
        ListenerService::UdpEcho { .. } => datagrams(scope, listener, &mut part),
    }
    part
}

/// The limit of its connections.
pub(super) fn most(listener: &Listener) -> Factor {
    count("max_connections", listener.max_connections)
}

/// The connections themselves, with what an idle one takes.
pub(super) fn connections(listener: &Listener, each: u64, source: &str) -> Item {
    product("connections", &[most(listener), bytes(each, source)])
}

/// What slow peers have not taken: what one turn has brought for each of them, as its sender is not
/// read any further then.
pub(super) fn slow_peers(scope: &Scope<'_>, listener: &Listener, directions: u64) -> Item {
    let [buffers, size] = scope.turn();
    let directions = number(directions, if directions == 1 { "direction" } else { "directions" });
    product("bytes for slow peers", &[most(listener), directions, buffers, size])
}

/// What every listener of connections has.
fn stream(scope: &Scope<'_>, listener: &Listener, part: &mut Part, open: &mut Open) {
    part.descriptors.push(product("connections", &[most(listener)]));
    if listener.accept_proxy_protocol {
        let header = bytes(HEADER_MAX as u64, "(fixed)");
        part.memory.push(product("PROXY headers", &[most(listener), header]));
    }
    if let Some(tls) = &listener.tls {
        part.memory.extend(secured(scope, listener, tls));
    }
    match socket_buffers(&[most(listener)], "", &listener.socket) {
        Ok(item) => part.memory.push(item),
        Err(item) => {
            open.note_buffers(format!("listener {}", listener.name));
            part.memory.extend(item);
        }
    }
}

/// What connections of TLS take beside those without.
fn secured(scope: &Scope<'_>, listener: &Listener, tls: &ListenerTls) -> [Item; 3] {
    let handshakes = [
        scope.workers(),
        count("handshakes_max", tls.handshakes_max),
        size("handshake_max", tls.handshake_max),
    ];
    [
        product("TLS", &[most(listener), bytes(TLS, "(measured)")]),
        product("TLS handshakes", &handshakes),
        product("TLS records in part", &[most(listener), bytes(RECORD, "(fixed)")]),
    ]
}

/// The buffers of sockets in the kernel, which doubles what is asked for; `table` stands before
/// their keys. Those with a size that is not set are not bounded: the error, with an item of the
/// others.
pub(super) fn socket_buffers(
    sockets: &[Factor],
    table: &str,
    options: &SocketOptions,
) -> Result<Item, Option<Item>> {
    let keys = [("receive_buffer", options.receive_buffer), ("send_buffer", options.send_buffer)];
    let set =
        keys.into_iter().filter_map(|(key, bytes)| Some(size(&format!("{table}{key}"), bytes?)));
    let terms: Vec<Vec<Factor>> = set
        .map(|bytes| {
            let both = [number(2, "(doubled by the kernel)"), bytes];
            sockets.iter().cloned().chain(both).collect()
        })
        .collect();
    let terms: Vec<&[Factor]> = terms.iter().map(Vec::as_slice).collect();
    let item = sum("socket buffers in the kernel", &terms);
    if terms.len() == keys.len() { Ok(item) } else { Err((!terms.is_empty()).then_some(item)) }
}

/// How many directions of a connection may be spliced: what is opened or sealed by us cannot be,
/// what the kernel seals can.
pub(super) fn spliced_directions(scope: &Scope<'_>, listener: &Listener) -> u64 {
    let runtime = &scope.config.runtime;
    if runtime.splice.mode == SpliceMode::Off {
        return 0;
    }
    let (sealed, opened) = match runtime.kernel_tls {
        KernelTls::Off => (0, 0),
        KernelTls::Auto => (1, 0),
        KernelTls::Both => (1, 1),
    };
    let directions = |index: usize| {
        let to = scope.config.upstreams.get(index).is_some_and(|one| one.tls.is_some());
        match (listener.tls.is_some(), to) {
            (false, false) => 2,
            (true, false) | (false, true) => sealed + opened,
            (true, true) => 2 * opened,
        }
    };
    match &listener.service {
        ListenerService::Tcp { .. } | ListenerService::Sni { .. } => {
            listener.service.upstreams().map(directions).max().unwrap_or(0)
        }
        // Those that are upgraded.
        ListenerService::Http(http) => http.origins().map(directions).max().unwrap_or(0),
        ListenerService::Echo
        | ListenerService::Udp { .. }
        | ListenerService::UdpEcho { .. }
        | ListenerService::Frame { .. }
        | ListenerService::Messages(_) => 0,
    }
}

/// The pipes of spliced directions: one each while bytes are in flight, perhaps for long.
pub(super) fn pipes(scope: &Scope<'_>, listener: &Listener, part: &mut Part) {
    let directions = spliced_directions(scope, listener);
    if directions == 0 {
        return;
    }
    let spliced = || number(directions, "spliced");
    let ends = number(2, "ends");
    part.descriptors.push(product("pipes", &[most(listener), spliced(), ends]));
    let each = size("runtime.pipe_size", scope.config.runtime.splice.pipe_size);
    part.memory.push(product("pipes", &[most(listener), spliced(), each]));
}

/// How many connections or flows go to servers of these upstreams: all of them, or as many as the
/// upstreams take if that is less.
pub(super) fn to_servers(
    scope: &Scope<'_>,
    upstreams: impl Iterator<Item = usize>,
    name: &str,
    all: &[Factor],
) -> Item {
    let item = product(name, all);
    let mut indexes: Vec<usize> = upstreams.collect();
    indexes.sort_unstable();
    indexes.dedup();
    let limited: Option<Vec<Factor>> = indexes
        .iter()
        .map(|&index| {
            let upstream = scope.config.upstreams.get(index)?;
            let key = format!("upstream.{}.requests_max", upstream.name);
            Some(count(&key, scope.requests_max(index)?))
        })
        .collect();
    let Some(limited) = limited else { return item };
    let terms: Vec<&[Factor]> = limited.iter().map(std::slice::from_ref).collect();
    let limited = sum(name, &terms);
    if limited.amount < item.amount { limited } else { item }
}

/// A proxy of connections, each of which has one to a server.
fn relayed(scope: &Scope<'_>, listener: &Listener, part: &mut Part, open: &mut Open) {
    part.memory.push(connections(listener, RELAYED, "(measured)"));
    part.memory.push(slow_peers(scope, listener, 2));
    let upstreams = listener.service.upstreams();
    let to = to_servers(scope, upstreams, "connections to servers", &[most(listener)]);
    part.descriptors.push(to);
    if are_secured(scope, listener.service.upstreams()) {
        let each = bytes(TLS, "(measured)");
        part.memory.push(product("TLS to servers", &[most(listener), each]));
    }
    pipes(scope, listener, part);
    let upstreams = listener.service.upstreams();
    part.memory.extend(server_buffers(scope, upstreams, &[most(listener)], open));
}

/// The buffers of sockets to servers of these upstreams, as if all went to the one whose are
/// largest; those that the kernel sizes are noted.
pub(super) fn server_buffers(
    scope: &Scope<'_>,
    upstreams: impl Iterator<Item = usize>,
    sockets: &[Factor],
    open: &mut Open,
) -> Option<Item> {
    let mut largest: Option<Item> = None;
    let mut indexes: Vec<usize> = upstreams.collect();
    indexes.sort_unstable();
    indexes.dedup();
    for upstream in indexes.into_iter().filter_map(|index| scope.config.upstreams.get(index)) {
        let table = format!("upstream.{}.", upstream.name);
        let item = match socket_buffers(sockets, &table, &upstream.socket) {
            Ok(item) => Some(item),
            Err(item) => {
                open.note_buffers(format!("upstream {}", upstream.name));
                item
            }
        };
        let before = largest.as_ref().map_or(0, |largest| largest.amount);
        largest = item.filter(|item| item.amount > before).or(largest);
    }
    largest.map(|item| Item { name: "socket buffers to servers".to_owned(), ..item })
}

/// Whether servers of one of these upstreams are spoken to by TLS.
pub(super) fn are_secured(scope: &Scope<'_>, mut upstreams: impl Iterator<Item = usize>) -> bool {
    upstreams.any(|index| scope.config.upstreams.get(index).is_some_and(|one| one.tls.is_some()))
}

/// How many addresses it listens on.
fn addresses(listener: &Listener) -> Factor {
    let count = listener.listen.len() as u64;
    number(count, if count == 1 { "address" } else { "addresses" })
}

fn hellos(scope: &Scope<'_>, options: &SniOptions) -> Item {
    let pending = count("hellos_max", options.hellos_max);
    product("hellos", &[scope.workers(), pending, bytes(HELLO_MAX as u64, "(fixed)")])
}

/// Lines of messages, and their answers: no line is answered while an answer waits.
fn messages(scope: &Scope<'_>, listener: &Listener, options: LineOptions, part: &mut Part) {
    let [buffers, each] = scope.turn();
    let came = [most(listener), buffers, each];
    let line = [most(listener), size("line_limit", options.line_limit)];
    let answers = size("runtime.turn_budget", scope.config.runtime.turn_budget);
    part.memory.push(connections(listener, OTHER, "(estimated)"));
    part.memory.push(sum("lines", &[&line, &came]));
    part.memory.push(product("answers", &[most(listener), answers]));
}

/// Frames of clients, and what waits for these.
fn frames(
    scope: &Scope<'_>,
    listener: &Listener,
    (upstream, options): (Option<usize>, &FrameOptions),
    part: &mut Part,
) {
    let [buffers, each] = scope.turn();
    let came = [most(listener), buffers, each];
    let frame = [most(listener), size("max_payload", options.max_payload)];
    part.memory.push(connections(listener, OTHER, "(estimated)"));
    part.memory.push(sum("frames", &[&frame, &came]));
    let answers = if upstream.is_some() { CLOG_BYTES as u64 } else { ANSWERS_MAX as u64 };
    let waiting = [most(listener), bytes(answers, "(fixed)")];
    let ahead = [most(listener), bytes(FRAME_CREDIT, "of credit (fixed)")];
    match upstream {
        Some(_) => part.memory.push(sum("answers", &[&waiting, &ahead])),
        None => part.memory.push(product("answers", &waiting)),
    }
    if options.files.is_some() {
        let sent = number(TRANSFERS_MAX as u64, "files (fixed)");
        part.descriptors.push(product("files", &[most(listener), sent]));
    }
}

/// The listening sockets of UDP, which hold what waits for a worker.
fn datagrams(scope: &Scope<'_>, listener: &Listener, part: &mut Part) {
    let sockets = [scope.workers(), addresses(listener)];
    let socket = SocketOptions {
        receive_buffer: listener.socket.receive_buffer.or(Some(BUFFER_WANTED)),
        send_buffer: listener.socket.send_buffer.or(Some(BUFFER_WANTED)),
        ..listener.socket.clone()
    };
    part.memory.extend(socket_buffers(&sockets, "", &socket).ok());
}

/// Flows, each with a socket of its own. Workers count without locks, so there may be one too many
/// for each of them.
fn udp_flows(
    scope: &Scope<'_>,
    (upstream, flows): (usize, FlowOptions),
    part: &mut Part,
    open: &mut Open,
) {
    let most = count("max_flows", flows.max_flows);
    let each = || bytes(FLOW, "(measured)");
    part.memory.push(sum("flows", &[&[most.clone(), each()], &[scope.workers(), each()]]));
    let sockets = sum("sockets of flows", &[std::slice::from_ref(&most), &[scope.workers()]]);
    let limited = to_servers(scope, std::iter::once(upstream), "sockets of flows", &[most]);
    let is_less = limited.amount < u64::from(flows.max_flows);
    part.descriptors.push(if is_less { limited } else { sockets });
    let flows = [count("max_flows", flows.max_flows)];
    part.memory.extend(server_buffers(scope, std::iter::once(upstream), &flows, open));
}
