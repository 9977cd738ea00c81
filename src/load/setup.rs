//! What all threads of a run share: where to connect, what to speak, and when to ask.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::schedule::Arrivals;
use super::wire::Wire;
use super::wire::frame::Frames;
use super::wire::http1::{self, Http1};
use super::wire::http2::{self, Http2};
use super::wire::raw::{Datagrams, RawStream};
use super::wire::websocket::{self, WebSocket};
use crate::client::Tls;
use crate::mem::Text;
use crate::ring::SocketAddress;
use crate::service::cluster::random::next_random;

/// What is spoken on each connection.
#[derive(Debug, Clone)]
pub(super) enum Speaks {
    /// So many bytes for a text, on TCP.
    Raw { question: Text, answer: usize },
    /// The same by UDP.
    Datagrams { question: Text },
    /// ECHO of the framed protocol.
    Frames { payload: Text },
    /// HTTP/1.1.
    Http1 { targets: Arc<[http1::Prepared]> },
    /// HTTP/2, and gRPC.
    Http2 { targets: Arc<[http2::Prepared]> },
    /// Messages.
    WebSocket { prepared: websocket::Prepared },
}

/// How requests are paced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// Each connection asks again when it was answered, and has rested for so long.
    Closed { think: Duration },
    /// At times of their own.
    Open(Arrivals),
}

/// One run, as its threads see it.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) addresses: Vec<SocketAddress>,
    /// Addresses of this machine that connections are made from, in turn.
    pub(super) sources: Vec<IpAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) speaks: Speaks,
    pub(super) weights: Weights,
    pub(super) connections: usize,
    /// Requests at a time on each connection.
    pub(super) streams: usize,
    pub(super) threads: usize,
    pub(super) pace: Pace,
    pub(super) keepalive: bool,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// Time at the start that is not measured.
    pub(super) warm_up: Duration,
    /// Time that is measured, behind it. `None`: until the count is reached.
    pub(super) duration: Option<Duration>,
    /// Requests in all.
    pub(super) count: Option<u64>,
    /// The time of one slice.
    pub(super) slice: Duration,
    pub(super) seed: u64,
    /// How long before a request is due the loop polls, in place of sleeping: a sleep ends late.
    pub(super) spin: Duration,
}

impl Setup {
    /// What a new connection speaks.
    pub(super) fn wire(&self, random: &mut u64) -> Box<dyn Wire> {
        let streams = self.streams;
        match &self.speaks {
            Speaks::Raw { question, answer } => {
                Box::new(RawStream::new(question.clone(), *answer, streams))
            }
            Speaks::Datagrams { question } => Box::new(Datagrams::new(question.clone(), streams)),
            Speaks::Frames { payload } => Box::new(Frames::new(payload.clone(), streams)),
            Speaks::Http1 { targets } => Box::new(Http1::new(Arc::clone(targets), !self.keepalive)),
            Speaks::Http2 { targets } => Box::new(Http2::new(Arc::clone(targets), streams)),
            Speaks::WebSocket { prepared } => {
                Box::new(WebSocket::new(prepared.clone(), streams, next_random(random)))
            }
        }
    }

    /// Whether sockets are those of UDP.
    pub(super) const fn is_datagram(&self) -> bool {
        matches!(self.speaks, Speaks::Datagrams { .. })
    }

    /// When it is measured no more, of a run that began then.
    pub(super) fn end(&self, start: Instant) -> Option<Instant> {
        self.duration.map(|time| start + self.warm_up + time)
    }

    /// The share of thread `place` of a number.
    pub(super) const fn share(&self, of: u64, place: usize) -> u64 {
        let threads = self.threads as u64;
        of / threads + if (place as u64) < of % threads { 1 } else { 0 }
    }
}

/// Chooses targets at random, each as often as its weight says.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Sums of the weights up to and with each target.
    sums: Vec<u64>,
}

impl Weights {
    pub(super) fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let mut sum = 0;
        let add = |weight: u32| {
            sum += u64::from(weight);
            sum
        };
        Self { sums: weights.into_iter().map(add).collect() }
    }

    pub(super) fn choose(&self, random: &mut u64) -> usize {
        let Some(total) = self.sums.last().copied().filter(|_| self.sums.len() > 1) else {
            return 0;
        };
        let point = next_random(random) % total.max(1);
        self.sums.partition_point(|sum| *sum <= point)
    }
}

/// What the run tells its threads.
#[derive(Debug, Default)]
pub(super) struct Control {
    start: Mutex<Option<Instant>>,
    stop: AtomicBool,
    /// Something was told.
    changed: Condvar,
}

impl Control {
    /// Another run begins: when it starts is not known yet.
    pub(super) fn begin(&self) {
        if let Ok(mut start) = self.start.lock() {
            *start = None;
        }
    }

    /// All threads begin to ask then.
    pub(super) fn start_at(&self, at: Instant) {
        if let Ok(mut start) = self.start.lock() {
            *start = Some(at);
        }
        self.changed.notify_all();
    }

    pub(super) fn start(&self) -> Option<Instant> {
        self.start.lock().ok().and_then(|start| *start)
    }

    /// Nothing further is asked: what was measured so far is the result.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Rests for so long, or until something is told.
    pub(super) fn rest(&self, time: Duration) {
        if let Ok(start) = self.start.lock() {
            let _rested = self.changed.wait_timeout(start, time);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_as_often_as_their_weights_say() {
        let weights = Weights::new([1, 0, 3, 6]);
        let (mut random, mut counts) = (1, [0_u32; 4]);
        for _ in 0..100_000 {
            counts[weights.choose(&mut random)] += 1;
        }
        let [a, b, c, d] = counts.map(|count| f64::from(count) / 100_000.0);
        assert!((a - 0.1).abs() < 0.01 && b == 0.0, "{counts:?}");
        assert!((c - 0.3).abs() < 0.01 && (d - 0.6).abs() < 0.01, "{counts:?}");
        assert_eq!(Weights::new([5]).choose(&mut random), 0);
    }
}
