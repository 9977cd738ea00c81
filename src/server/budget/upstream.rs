//! The connections to the servers of an upstream that many clients share, and health checks. The
//! connections of TCP and SNI proxies and the flows of UDP proxies are counted at their listeners.

use super::formula::{Factor, bytes, count, number, product, size, sum};
use super::listener::{TLS, socket_buffers};
use super::{Item, Open, Part, Scope};
use crate::config::{Balance, ListenerService, ServerAddress, ServerProtocol, Upstream};

/// Bytes of a connection to a server, measured as one of HTTP/1.1 (docs/benchmarks.md).
const CONNECTION: u64 = 691;
/// Bytes of the head of an answer (docs/http.md: `bad_response`), and as many of interim answers.
const HEAD_MAX: u64 = 64 << 10;
/// Bytes that may wait on a connection of HTTP/2 to be looked at: `UNREAD_MAX` of
/// `session/http/upstream/many.rs`.
const UNREAD_MAX: u64 = 256 << 10;
/// Bytes of the answer to a check: `ANSWER_MAX` of `server/health.rs`.
const CHECK_MAX: u64 = 80 << 10;
/// Bytes of a slot of a table of `consistent_hash` and `hash`, and slots for up to twelve servers
/// and for more: `service/cluster/maglev.rs`.
const SLOT: u64 = 4;
const SLOTS_FEW: u64 = 4_099;
const SLOTS_MANY: u64 = 65_537;
const FEW: usize = 12;

/// What an upstream may take; `None` where that is nothing of its own.
pub(super) fn upstream(
    scope: &Scope<'_>,
    (index, upstream): (usize, &Upstream),
    open: &mut Open,
) -> Option<Part> {
    let mut part = Part::new(format!("upstream {}", upstream.name));
    let is_origin = scope.origins.contains(&index);
    let is_exchange = scope.exchanges.contains(&index);
    let is_used = scope.config.listeners.iter().any(|one| one.service.uses(index));
    let is_named = |server: &ServerAddress| matches!(server, ServerAddress::Name { .. });
    if is_used && upstream.servers.iter().any(is_named) {
        open.names.push(upstream.name.clone());
    }
    if is_origin || is_exchange {
        pooled(upstream, &mut part, open);
    }
    if is_origin {
        part.memory.extend(answers(scope, upstream));
    }
    if is_exchange {
        part.memory.push(payloads(scope, (index, upstream)));
    }
    if is_used {
        part.memory.extend(table(scope, upstream));
    }
    if is_used && upstream.http.health.is_some() {
        let servers = || number(upstream.servers.len() as u64, "servers");
        part.memory.push(product("health checks", &[servers(), bytes(CHECK_MAX, "(fixed)")]));
        part.descriptors.push(product("health checks", &[servers()]));
    }
    let is_empty = part.memory.is_empty() && part.descriptors.is_empty();
    (!is_empty).then_some(part)
}

fn pool_max(upstream: &Upstream) -> Factor {
    count("pool_max", upstream.pool.max)
}

/// The connections of its pool.
fn pooled(upstream: &Upstream, part: &mut Part, open: &mut Open) {
    part.descriptors.push(product("connections", &[pool_max(upstream)]));
    let each = bytes(CONNECTION, "(measured)");
    part.memory.push(product("connections", &[pool_max(upstream), each]));
    if upstream.tls.is_some() {
        let each = bytes(TLS, "(measured)");
        part.memory.push(product("TLS", &[pool_max(upstream), each]));
    }
    match socket_buffers(&[pool_max(upstream)], "", &upstream.socket) {
        Ok(item) => part.memory.push(item),
        Err(item) => {
            open.note_buffers(format!("upstream {}", upstream.name));
            part.memory.extend(item);
        }
    }
}

/// Heads of answers of HTTP, and what has come beyond `runtime.waiting_memory`.
fn answers(scope: &Scope<'_>, upstream: &Upstream) -> [Item; 2] {
    let may_be_http2 = match upstream.http.protocol {
        ServerProtocol::Http1 => false,
        ServerProtocol::Http2 => true,
        ServerProtocol::Auto => upstream.tls.is_some(),
    };
    let mut exchanges = vec![pool_max(upstream)];
    if may_be_http2 {
        exchanges.push(count("streams_max", upstream.pool.streams_max));
    }
    exchanges.push(number(2, "heads, one of them interim"));
    exchanges.push(bytes(HEAD_MAX, "(fixed)"));
    let buffer = size("runtime.buffer_size", scope.config.runtime.buffer_size);
    let came = if may_be_http2 { bytes(UNREAD_MAX, "(fixed)") } else { buffer };
    [
        product("heads of answers", &exchanges),
        product("bytes beyond runtime.waiting_memory", &[pool_max(upstream), came]),
    ]
}

/// Payloads of a frame proxy's exchanges, of which a copy is kept for another try: those that wait
/// for a connection, on each worker, and those that connections carry. One that rests before
/// another try was among these.
fn payloads(scope: &Scope<'_>, (index, upstream): (usize, &Upstream)) -> Item {
    let listeners = scope.config.listeners.iter();
    let of_frames = listeners.filter_map(|listener| {
        let ListenerService::Frame { upstream, options } = &listener.service else { return None };
        (*upstream == Some(index)).then_some(options.max_payload)
    });
    let largest = of_frames.max();
    let payload = || size("listener.max_payload", largest.unwrap_or(u16::MAX));
    let waiting = [scope.workers(), count("pool_queue", upstream.pool.queue), payload()];
    let streams = count("streams_max", upstream.pool.streams_max);
    sum("payloads", &[&waiting, &[pool_max(upstream), streams, payload()]])
}

/// The table of a consistent hash, of each worker.
fn table(scope: &Scope<'_>, upstream: &Upstream) -> Option<Item> {
    match upstream.balance {
        Balance::ConsistentHash | Balance::Hash => {}
        Balance::RoundRobin
        | Balance::LeastConnections
        | Balance::LeastRequests
        | Balance::SourceHash
        | Balance::Ewma => return None,
    }
    let slots = if upstream.servers.len() > FEW { SLOTS_MANY } else { SLOTS_FEW };
    let factors = [scope.workers(), number(slots, "slots"), bytes(SLOT, "each")];
    Some(product("table of the hash", &factors))
}
