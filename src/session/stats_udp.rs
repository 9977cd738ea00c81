//! What a worker counts of the datagrams of one listener.

use std::sync::atomic::AtomicBool;

use crate::ring::SendReport;
use crate::runtime::{Counter, Gauge};
use crate::service::flows::FlowEnd;

/// One UDP listener's counters in one worker.
#[derive(Debug)]
pub struct DatagramStats {
    /// Flows that there are now.
    pub flows_active: Gauge,
    /// The worker was told to give back what it has borrowed, and has not done so yet.
    pub(super) is_asked: AtomicBool,
    /// Flows that began.
    pub flows_opened: Counter,
    /// Flows that ended, in the order of [`FlowEnd::ALL`].
    pub flows_ended: [Counter; FlowEnd::ALL.len()],
    /// Datagrams received from clients.
    pub received: Counter,
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Datagrams sent to clients.
    pub sent: Counter,
    /// Bytes sent to clients.
    pub sent_bytes: Counter,
    /// Datagrams larger than a buffer, dropped.
    pub truncated: Counter,
    /// Datagrams dropped, in the order of [`DropReason::ALL`].
    pub dropped: [Counter; DropReason::ALL.len()],
    /// Times that the kernel delivered several datagrams as one (UDP GRO).
    pub joined_received: Counter,
    /// Times that several datagrams were handed to the kernel as one (UDP GSO).
    pub joined_sent: Counter,
}

/// Why a datagram was dropped here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The socket, or the queue behind it, was full.
    SendFull,
    /// There was no flow for it and none could be made.
    NoFlow,
    /// The kernel refused to send it.
    SendError,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::SendFull, Self::NoFlow, Self::SendError];

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendFull => "send_full",
            Self::NoFlow => "no_flow",
            Self::SendError => "send_error",
        }
    }
}

impl Default for DatagramStats {
    fn default() -> Self {
        Self::new()
    }
}

impl DatagramStats {
    /// All at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            flows_active: Gauge::new(),
            is_asked: AtomicBool::new(false),
            flows_opened: Counter::new(),
            flows_ended: [const { Counter::new() }; FlowEnd::ALL.len()],
            received: Counter::new(),
            received_bytes: Counter::new(),
            sent: Counter::new(),
            sent_bytes: Counter::new(),
            truncated: Counter::new(),
            dropped: [const { Counter::new() }; DropReason::ALL.len()],
            joined_received: Counter::new(),
            joined_sent: Counter::new(),
        }
    }

    /// Counts dropped datagrams.
    pub fn drop_of(&self, reason: DropReason, datagrams: u64) {
        self.dropped[reason as usize].add(datagrams);
    }

    /// Counts what a send has dropped and joined.
    pub(super) fn count_report(&self, report: &SendReport) {
        self.joined_sent.add(report.joined);
        if report.full > 0 {
            self.drop_of(DropReason::SendFull, report.full);
        }
        if report.refused > 0 {
            self.drop_of(DropReason::SendError, report.refused);
        }
    }
}
