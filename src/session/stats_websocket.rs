//! What is counted of WebSockets.

use crate::proto::websocket::{CloseCode, Violation};
use crate::runtime::{Counter, Gauge};
use crate::service::http::record::Inspected;

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
    /// Sockets that were closed, in the order of [`CloseCode::CLASSES`].
    pub closed: [Counter; CloseCode::CLASSES.len()],
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
        if let Some(counter) = self.closed.get(code.class()) {
            counter.add(1);
        }
    }

    /// So many messages have gone: their bytes, and those of them on the wire.
    pub fn note_sent(&self, messages: u64, (bytes, wire): (usize, usize)) {
        self.sent.add(messages);
        self.sent_bytes.add(bytes as u64);
        self.sent_wire_bytes.add(wire as u64);
    }

    /// What was seen of a WebSocket on its way through a proxy, where messages are not inflated.
    pub fn note_inspected(&self, inspected: &Inspected) {
        let Inspected { from_client, from_server, pongs, pong_time, closed, violation } = inspected;
        self.received.add(from_client.messages);
        self.received_wire_bytes.add(from_client.bytes);
        self.sent.add(from_server.messages);
        self.sent_wire_bytes.add(from_server.bytes);
        self.pongs.add(*pongs);
        self.pong_micros.add(u64::try_from(pong_time.as_micros()).unwrap_or(u64::MAX));
        closed.iter().for_each(|code| self.close(*code));
        violation.iter().for_each(|violation| self.violate(*violation));
    }

    /// A client has broken a rule.
    pub fn violate(&self, violation: Violation) {
        if let Some(counter) = self.violations.get(violation.index()) {
            counter.add(1);
        }
    }
}
