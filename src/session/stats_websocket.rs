//! What is counted of WebSockets.

use crate::proto::websocket::{CloseCode, Violation};
use crate::runtime::{Counter, Gauge};

/// Codes that sockets are closed with, as metrics tell them apart: [`CloseCode::class`].
pub const CLOSE_CLASSES: [&str; 17] = [
    "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
    "1013", "1014", "3xxx", "4xxx", "other",
];

/// One route's sockets, of one worker.
#[derive(Debug)]
pub struct SocketStats {
    /// Sockets that were opened.
    pub opened: Counter,
    /// Those that are open.
    pub active: Gauge,
    /// Messages from clients.
    pub received: Counter,
    /// Messages to clients.
    pub sent: Counter,
    /// Bytes of messages from clients, inflated.
    pub received_bytes: Counter,
    /// The same on the wire, without heads.
    pub received_wire_bytes: Counter,
    /// Bytes of messages to clients, before they are compressed.
    pub sent_bytes: Counter,
    /// The same on the wire, without heads.
    pub sent_wire_bytes: Counter,
    /// Pings that were answered.
    pub pongs: Counter,
    /// Microseconds that these answers took, together.
    pub pong_micros: Counter,
    /// Sockets that were closed, by code: [`CLOSE_CLASSES`].
    pub closed: [Counter; CLOSE_CLASSES.len()],
    /// Rules that clients have broken, in the order of [`Violation::ALL`].
    pub violations: [Counter; Violation::ALL.len()],
    /// Messages that subscribers have not taken and that were dropped.
    pub dropped: Counter,
    /// Sockets that kept no window of compression, as the worker's budget for them was used.
    pub takeover_refused: Counter,
    /// Messages that could not be gathered, as the worker's memory for what waits was used.
    pub starved: Counter,
}

impl Default for SocketStats {
    fn default() -> Self {
        Self {
            opened: Counter::default(),
            active: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
            received_bytes: Counter::default(),
            received_wire_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            sent_wire_bytes: Counter::default(),
            pongs: Counter::default(),
            pong_micros: Counter::default(),
            closed: std::array::from_fn(|_| Counter::default()),
            violations: std::array::from_fn(|_| Counter::default()),
            dropped: Counter::default(),
            takeover_refused: Counter::default(),
            starved: Counter::default(),
        }
    }
}

impl SocketStats {
    /// A socket was closed with this code.
    pub fn close(&self, code: CloseCode) {
        let class = code.class();
        let place = CLOSE_CLASSES.iter().position(|one| *one == class);
        if let Some(counter) = place.and_then(|place| self.closed.get(place)) {
            counter.add(1);
        }
    }

    /// A client has broken a rule.
    pub fn violate(&self, violation: Violation) {
        let place = Violation::ALL.iter().position(|one| *one == violation);
        if let Some(counter) = place.and_then(|place| self.violations.get(place)) {
            counter.add(1);
        }
    }
}
