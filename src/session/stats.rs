//! What a worker's sessions count. One writer, the worker; read by the exporter.

use super::DatagramStats;
use super::distribution::Distribution;
use super::latency::Latencies;
use super::stats_http::{HttpStats, OriginStats, ServerCounters};
use super::stats_messages::MessageStats;
use super::stats_pool::PoolStats;
use crate::net::tls::{Fault, Session as TlsSession};
use crate::proto::frame::Code;
use crate::proto::tls::CIPHER_SUITES;
use crate::runtime::{Counter, Gauge, Quota, Registry};
use crate::service::CloseReason;
use crate::service::frame::Tally;
use crate::service::proxy::ConnectFailure;

/// One worker's counters.
#[derive(Debug)]
pub struct SessionStats {
    /// By the number of the listener.
    pub listeners: Registry<ListenerStats>,
    /// By the number of the upstream's counters.
    pub upstreams: Registry<UpstreamStats>,
    /// By the number of the upstream's servers.
    pub servers: Registry<ServerCounters>,
    /// By the number of the UDP listener.
    pub datagrams: Registry<DatagramStats>,
    /// How bytes were moved.
    pub relay: RelayStats,
    /// Errors by kind, in the order of [`ErrorKind::ALL`].
    pub errors: [Counter; ErrorKind::ALL.len()],
    /// Connections handed to another worker.
    pub handed_over: Counter,
    /// Connections taken from another worker.
    pub taken_over: Counter,
    /// Answers that are compressed on their way.
    pub compression: CompressionStats,
    /// What waits for slow peers of HTTP.
    pub waiting: WaitingStats,
    /// Lines of access logs that could not be written in time.
    pub lines_lost: Counter,
    /// Completions for a slot that had ended.
    pub stale: Counter,
}

/// What there is to be counted at the start. A reload adds what comes later.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// How many listeners of connections there are.
    pub listeners: usize,
    /// For each upstream, how many servers it has.
    pub servers: Vec<usize>,
    /// How many UDP listeners there are.
    pub datagrams: usize,
}

impl Counted {
    /// So many listeners and upstreams, with nothing of HTTP.
    #[must_use]
    pub fn plain(listeners: usize, upstreams: usize) -> Self {
        Self { listeners, servers: vec![0; upstreams], datagrams: 0 }
    }
}

/// What waits for slow peers of HTTP, as the worker's budget has it.
#[derive(Debug, Default)]
pub struct WaitingStats {
    /// Bytes of memory that it takes now.
    pub bytes: Counter,
    /// How often a source was not read because the budget was short.
    pub limited: Counter,
}

/// One listener's counters.
#[derive(Debug)]
pub struct ListenerStats {
    /// Connections open now.
    pub active: Gauge,
    /// Connections accepted, those refused at once among them.
    pub accepted: Counter,
    /// Connections ended, in the order of [`CloseReason::ALL`].
    pub closed: [Counter; CloseReason::ALL.len()],
    /// Bytes received from clients.
    pub received: Counter,
    /// Bytes sent to clients.
    pub sent: Counter,
    /// Requests of the framed protocol.
    pub frames: FrameStats,
    /// Messages answered, if its service is messages.
    pub messages: MessageStats,
    /// Requests of HTTP, if that is its service.
    pub http: HttpStats,
    /// Handshakes, if it speaks TLS.
    pub tls: TlsStats,
}

/// TLS handshakes of one listener.
#[derive(Debug)]
pub struct TlsStats {
    /// Handshakes that were done, by version: 1.2, 1.3.
    pub done: [Counter; 2],
    /// Of them, those that resumed a session.
    pub resumed: Counter,
    /// Handshakes that were done, by cipher suite, in the order of [`CIPHER_SUITES`].
    pub suites: [Counter; CIPHER_SUITES.len()],
    /// Connections that the kernel encrypts, since their first large file or bulk flow.
    pub offloaded: Counter,
    /// Connections of which the kernel also decrypts what the client sends.
    pub decrypted: Counter,
    /// Handshakes that failed, in the order of [`Fault::ALL`].
    pub failed: [Counter; Fault::ALL.len()],
}

impl TlsStats {
    const fn new() -> Self {
        Self {
            done: [const { Counter::new() }; 2],
            resumed: Counter::new(),
            suites: [const { Counter::new() }; CIPHER_SUITES.len()],
            offloaded: Counter::new(),
            decrypted: Counter::new(),
            failed: [const { Counter::new() }; Fault::ALL.len()],
        }
    }

    /// A handshake was done.
    pub(super) fn established(&self, session: Option<&TlsSession>) {
        let Some(info) = session.and_then(TlsSession::info) else { return };
        self.done[usize::from(info.version == "TLSv1.3")].add(1);
        self.resumed.add(u64::from(info.resumed));
        if let Some(at) = CIPHER_SUITES.iter().position(|(suite, _)| *suite == info.suite) {
            self.suites[at].add(1);
        }
    }
}

/// Requests of the framed protocol, of one listener.
#[derive(Debug)]
pub struct FrameStats {
    /// Requests, in the order of [`Tally::KINDS`].
    pub requests: [Counter; Tally::KINDS.len()],
    /// Errors told to clients, in the order of [`Code::ALL`].
    pub errors: [Counter; Code::ALL.len()],
}

impl FrameStats {
    const fn new() -> Self {
        Self {
            requests: [const { Counter::new() }; Tally::KINDS.len()],
            errors: [const { Counter::new() }; Code::ALL.len()],
        }
    }

    /// Adds what a connection counted.
    pub fn add(&self, tally: &Tally) {
        for (counter, count) in self.requests.iter().zip(tally.requests) {
            if count > 0 {
                counter.add(count.into());
            }
        }
        if tally.has_errors {
            for (counter, count) in self.errors.iter().zip(tally.errors) {
                counter.add(count.into());
            }
        }
    }
}

/// One upstream's counters.
#[derive(Debug)]
pub struct UpstreamStats {
    /// Connections open now, those being made among them.
    pub active: Gauge,
    /// Connections that stood.
    pub connected: Counter,
    /// Connects that failed, in the order of [`ConnectFailure::ALL`].
    pub failed: [Counter; ConnectFailure::ALL.len()],
    /// Connects to a further server after one had failed.
    pub retries: Counter,
    /// Times that a server was ejected.
    pub ejections: Counter,
    /// Exchanges and their connections, of a frame proxy.
    pub pool: PoolStats,
    /// Exchanges of HTTP.
    pub http: OriginStats,
}

/// How bytes were moved.
#[derive(Debug, Default)]
pub struct RelayStats {
    /// Bytes copied through pool buffers.
    pub copied: Counter,
    /// Bytes spliced.
    pub spliced: Counter,
    /// Directions that changed to splicing.
    pub promotions: Counter,
    /// Directions that changed back.
    pub demotions: Counter,
    /// Receives paused because the other side was slow.
    pub pauses: Counter,
    /// Pipes that are open.
    pub pipes: Counter,
}

/// Answers that are compressed on their way.
#[derive(Debug, Default)]
pub struct CompressionStats {
    /// Bytes of memory that compressors take now.
    pub memory: Quota,
    /// Answers that began to be compressed with the full window.
    pub full: Counter,
    /// Those with a small window, as they are short or most of the memory is in use.
    pub small: Counter,
    /// Answers that went as they are, as there was no memory to compress them.
    pub refused: Counter,
}

/// Errors that are counted apart from closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Accepting failed for want of descriptors.
    AcceptDescriptors,
    /// Accepting failed otherwise.
    Accept,
    /// A connection could not be handed over and was kept.
    HandOver,
    /// No pipe could be had: a direction stayed with copying.
    Pipe,
    /// The program's handler panicked.
    Handler,
}

impl ErrorKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::AcceptDescriptors, Self::Accept, Self::HandOver, Self::Pipe, Self::Handler];

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptDescriptors => "accept_descriptors",
            Self::Accept => "accept",
            Self::HandOver => "hand_over",
            Self::Pipe => "pipe",
            Self::Handler => "handler",
        }
    }
}

impl SessionStats {
    /// All at zero, of what there is.
    #[must_use]
    pub fn new(counted: &Counted) -> Self {
        Self {
            listeners: (0..counted.listeners).map(|_| ListenerStats::new()).collect(),
            upstreams: counted.servers.iter().map(|_| UpstreamStats::new()).collect(),
            servers: counted.servers.iter().map(|servers| ServerCounters::new(*servers)).collect(),
            datagrams: (0..counted.datagrams).map(|_| DatagramStats::new()).collect(),
            relay: RelayStats::default(),
            errors: [const { Counter::new() }; ErrorKind::ALL.len()],
            handed_over: Counter::new(),
            taken_over: Counter::new(),
            compression: CompressionStats::default(),
            waiting: WaitingStats::default(),
            lines_lost: Counter::new(),
            stale: Counter::new(),
        }
    }

    /// Counts an error.
    pub fn error(&self, kind: ErrorKind) {
        self.errors[kind as usize].add(1);
    }
}

impl Default for ListenerStats {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenerStats {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            active: Gauge::new(),
            accepted: Counter::new(),
            closed: [const { Counter::new() }; CloseReason::ALL.len()],
            received: Counter::new(),
            sent: Counter::new(),
            frames: FrameStats::new(),
            messages: MessageStats::new(),
            http: HttpStats::default(),
            tls: TlsStats::new(),
        }
    }
}

impl Default for UpstreamStats {
    fn default() -> Self {
        Self::new()
    }
}

impl UpstreamStats {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            active: Gauge::new(),
            connected: Counter::new(),
            failed: [const { Counter::new() }; ConnectFailure::ALL.len()],
            retries: Counter::new(),
            ejections: Counter::new(),
            pool: PoolStats::new(),
            http: OriginStats::default(),
        }
    }
}

/// A worker's distributions.
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    /// How long connections lasted.
    pub duration: Distribution,
    /// How long connecting to a server took.
    pub connect: Distribution,
    /// How long TLS handshakes with clients took.
    pub handshake: Distribution,
    /// How long requests of HTTP took.
    pub latencies: Latencies,
}

impl Histograms {
    /// Adds another worker's.
    pub fn merge(&mut self, other: &Self) {
        self.duration.merge(&other.duration);
        self.connect.merge(&other.connect);
        self.handshake.merge(&other.handshake);
        self.latencies.merge(&other.latencies);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_are_counted_and_summed_over_workers() {
        let mut one = Histograms::default();
        let mut other = Histograms::default();
        one.duration.record(Duration::from_millis(2));
        one.duration.record(Duration::from_secs(3));
        other.duration.record(Duration::from_millis(2));
        other.connect.record(Duration::from_secs(1_000_000));
        one.merge(&other);
        assert_eq!(one.duration.count(), 3);
        assert_eq!(one.duration.count_up_to(Duration::from_millis(5)), 2);
        assert_eq!(one.duration.sum(), Duration::from_millis(3_004));
        assert_eq!(one.connect.count(), 1, "longer than the longest counts as that");
    }
}
