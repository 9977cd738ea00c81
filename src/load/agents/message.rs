//! The messages between a coordinator and an agent: requests of the framed protocol, in JSON.
//!
//! An answer to [`POLL`] is a part of a text of lines, each of them a [`Line`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::THREADS_MAX;
use crate::client::tls_plan::Blob;
use crate::load::environment::Environment;
use crate::load::generator::Ended;
use crate::load::histogram::{LatencyHistogram, Packed};
use crate::load::recorder::{Failure, Failures, Slice, Tally, cut};

/// A part of a plan: [`Upload`]. The answer to the last one is [`Accepted`].
pub(super) const UPLOAD: u8 = 0x50;
/// What the agent has to report: [`Poll`]. The answer is a part of its lines.
pub(super) const POLL: u8 = 0x51;
/// When the first request is sent: [`Start`].
pub(super) const START: u8 = 0x52;
/// Nothing more is sent: [`Stop`].
pub(super) const STOP: u8 = 0x53;

/// Bytes of a part of a plan, so that it fits into a frame with what is around it.
pub(super) const PART_MAX: usize = 40_000;
/// Bytes of an answer to [`POLL`].
pub(super) const ANSWER_MAX: usize = 60_000;
/// Bytes of a plan, with its body and messages.
pub(super) const PLAN_MAX: usize = 32 << 20;
/// Bytes of a line.
pub(super) const LINE_MAX: usize = 8 << 20;
/// A count of a slice, at most: sums of many of them are still exact.
pub(super) const COUNT_MAX: u64 = 1 << 44;
/// The number of a slice, at most.
const NUMBER_MAX: u64 = 1 << 32;
/// Kinds of statuses in a slice, at most.
const STATUSES_MAX: usize = 2_000;

/// A part of a plan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) token: String,
    /// The same for all parts of a plan.
    pub(super) upload: u64,
    /// The number of the part, from 0.
    pub(super) number: u32,
    pub(super) part: Blob,
    pub(super) is_last: bool,
}

/// The number of the run that a plan became.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) run: u64,
}

/// Of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Poll {
    pub(super) token: String,
    pub(super) run: u64,
}

/// Ends a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) token: String,
    pub(super) run: u64,
    /// Its reports will not be asked for.
    pub(super) forget: bool,
}

/// When a run starts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) token: String,
    pub(super) run: u64,
    /// Microseconds from now on.
    pub(super) in_us: u64,
}

/// What an agent reports.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// The plan is valid: names are resolved, and the protocol is known.
    Prepared { protocol: String, environment: Environment },
    /// The connections of one thread are established, or have failed once.
    Ready,
    /// A slice of one thread.
    Slice(Box<SliceLine>),
    /// One thread has ended.
    Ended(EndedLine),
    /// All threads have ended.
    Done { cpu_seconds: f64 },
    /// The run cannot go on.
    Failed { reason: String },
}

/// An [`Ended`] as data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct EndedLine {
    unsent: u64,
    unfinished: u64,
    last_wait: (Duration, Duration),
    error: Option<String>,
}

impl EndedLine {
    pub(super) fn of(ended: &Ended) -> Self {
        Self {
            unsent: ended.unsent,
            unfinished: ended.unfinished,
            last_wait: ended.last_wait,
            error: ended.error.clone(),
        }
    }

    pub(super) fn ended(self) -> Ended {
        Ended {
            unsent: self.unsent.min(COUNT_MAX),
            unfinished: self.unfinished.min(COUNT_MAX),
            last_wait: self.last_wait,
            error: self.error,
        }
    }
}

/// A [`Slice`] as data. Histograms without values are left out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SliceLine {
    pub(super) number: u64,
    /// Threads that it is of.
    threads: usize,
    total: Option<Packed>,
    first_byte: Option<Packed>,
    lateness: Option<Packed>,
    connect: Option<Packed>,
    tls: Option<Packed>,
    sent: u64,
    completed: u64,
    errors: u64,
    bytes_sent: u64,
    bytes_received: u64,
    connects: u64,
    /// Names of failures, their counts, and first examples.
    failures: Vec<(String, u64, String)>,
    statuses: BTreeMap<u16, u64>,
}

impl SliceLine {
    pub(super) fn of(slice: &Slice) -> Self {
        let pack = |histogram: &LatencyHistogram| (histogram.count() > 0).then(|| histogram.pack());
        let failures = slice.failures.iter().map(|(failure, failures)| {
            (failure.name().to_owned(), failures.count, failures.example.clone())
        });
        let Tally { sent, completed, errors, bytes_sent, bytes_received, connects } = slice.tally;
        Self {
            number: slice.number,
            threads: slice.threads,
            total: pack(&slice.total),
            first_byte: pack(&slice.first_byte),
            lateness: pack(&slice.lateness),
            connect: pack(&slice.connect),
            tls: pack(&slice.tls),
            sent,
            completed,
            errors,
            bytes_sent,
            bytes_received,
            connects,
            failures: failures.collect(),
            statuses: slice.statuses.clone(),
        }
    }

    /// The slice; `None` if it is invalid.
    pub(super) fn slice(self) -> Option<Slice> {
        let Self { sent, completed, errors, bytes_sent, bytes_received, connects, .. } = self;
        let tally = Tally { sent, completed, errors, bytes_sent, bytes_received, connects };
        let mut counts = vec![sent, completed, errors, bytes_sent, bytes_received, connects];
        counts.extend(self.statuses.values());
        let mut failures = BTreeMap::new();
        for (name, count, example) in self.failures {
            counts.push(count);
            failures.insert(Failure::named(&name)?, Failures { count, example: cut(example) });
        }
        if self.number > NUMBER_MAX || self.threads > THREADS_MAX {
            return None;
        }
        if self.statuses.len() > STATUSES_MAX || counts.into_iter().any(|one| one > COUNT_MAX) {
            return None;
        }
        let unpack = |packed: Option<Packed>| packed.map(|one| one.unpack()).unwrap_or_default();
        Some(Slice {
            number: self.number,
            threads: self.threads,
            total: unpack(self.total),
            first_byte: unpack(self.first_byte),
            lateness: unpack(self.lateness),
            connect: unpack(self.connect),
            tls: unpack(self.tls),
            tally,
            failures,
            statuses: self.statuses,
        })
    }
}
