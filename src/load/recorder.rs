//! What one thread measures. Nothing is shared between threads: each hands a [`Slice`] of its time
//! over when that is full, and the receiver adds them up.

use std::collections::BTreeMap;

use super::histogram::LatencyHistogram;

/// Bytes of an example of an error that are kept.
pub(super) const EXAMPLE_MAX: usize = 300;

/// Why a request, or a connection, failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Failure {
    /// A connection was refused, or could not be made for another reason of the network.
    Connect,
    /// A connection was not made in time.
    ConnectTimeout,
    /// The handshake of TLS failed.
    Tls,
    /// The server ended the connection before it had answered.
    Closed,
    /// It reset the connection.
    Reset,
    /// No answer came in time.
    Timeout,
    /// What came breaks the protocol.
    Protocol,
    /// An answer whose status is an error: 400 to 599, or one of gRPC that is not OK.
    Status,
    /// An answer that is not what was expected: another size, another text.
    Answer,
    /// This machine has no more descriptors, ports or memory.
    Resources,
}

impl Failure {
    const ALL: [Self; 10] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Closed,
        Self::Reset,
        Self::Timeout,
        Self::Protocol,
        Self::Status,
        Self::Answer,
        Self::Resources,
    ];

    /// The one of that name.
    #[must_use]
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.name() == name)
    }

    /// Its name in reports.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Answer => "answer",
            Self::Resources => "resources",
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Requests that were sent.
    pub(super) sent: u64,
    /// Requests that were answered, and not by an error.
    pub(super) completed: u64,
    /// Requests that failed, and connections that could not be made.
    pub(super) errors: u64,
    /// Bytes that were sent.
    pub(super) bytes_sent: u64,
    /// Bytes that came.
    pub(super) bytes_received: u64,
    /// Connections that were made.
    pub(super) connects: u64,
}

impl Tally {
    /// Adds another one.
    pub(super) const fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.completed += other.completed;
        self.errors += other.errors;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.connects += other.connects;
    }
}

/// A failure, how often it came, and the first time that it did, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failures {
    /// How often.
    pub(super) count: u64,
    /// What was said of the first one.
    pub(super) example: String,
}

/// What one thread measured in a part of its time.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    /// Its number: the seconds (or what a slice is) since the beginning of what is measured.
    pub(super) number: u64,
    /// Slices of single threads that were added up in it.
    pub(super) threads: usize,
    /// From when a request was due (closed loop: sent) to its answer's end.
    pub(super) total: LatencyHistogram,
    /// From when a request was sent to the first byte of its answer.
    pub(super) first_byte: LatencyHistogram,
    /// From when a request was due to when it was sent, where that may differ.
    pub(super) lateness: LatencyHistogram,
    /// Connections of the transport.
    pub(super) connect: LatencyHistogram,
    /// Handshakes of TLS.
    pub(super) tls: LatencyHistogram,
    /// What was counted.
    pub(super) tally: Tally,
    /// Failures by kind.
    pub(super) failures: BTreeMap<Failure, Failures>,
    /// Answers by status, where the protocol has them.
    pub(super) statuses: BTreeMap<u16, u64>,
}

impl Slice {
    /// One in which nothing was measured.
    #[must_use]
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            threads: 1,
            total: LatencyHistogram::new(),
            first_byte: LatencyHistogram::new(),
            lateness: LatencyHistogram::new(),
            connect: LatencyHistogram::new(),
            tls: LatencyHistogram::new(),
            tally: Tally::default(),
            failures: BTreeMap::new(),
            statuses: BTreeMap::new(),
        }
    }

    /// Adds what another thread, or another part, has measured.
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.total, &other.total),
            (&mut self.first_byte, &other.first_byte),
            (&mut self.lateness, &other.lateness),
            (&mut self.connect, &other.connect),
            (&mut self.tls, &other.tls),
        ];
        for (own, others) in pairs {
            own.add(others);
        }
        self.threads += other.threads;
        self.tally.add(&other.tally);
        for (failure, failures) in &other.failures {
            let own = self.failures.entry(*failure);
            own.and_modify(|own| own.count += failures.count).or_insert_with(|| failures.clone());
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }

    /// A request, or a connection, has failed.
    pub(super) fn fail(&mut self, failure: Failure, example: impl FnOnce() -> String) {
        self.tally.errors += 1;
        let entry = self
            .failures
            .entry(failure)
            .or_insert_with(|| Failures { count: 0, example: cut(example()) });
        entry.count += 1;
    }
}

/// An example of an error, of a bounded length.
pub(super) fn cut(mut example: String) -> String {
    let mut end = EXAMPLE_MAX.min(example.len());
    while !example.is_char_boundary(end) {
        end -= 1;
    }
    example.truncate(end);
    example
}

/// Slices that are added up by their numbers, until those of all threads have come.
#[derive(Debug, Default)]
pub(super) struct OpenSlices(BTreeMap<u64, Slice>);

impl OpenSlices {
    /// Adds a slice, of one thread or of several.
    pub(super) fn add(&mut self, slice: Slice) {
        match self.0.get_mut(&slice.number) {
            Some(sum) => sum.add(&slice),
            None => {
                self.0.insert(slice.number, slice);
            }
        }
    }

    /// Takes the oldest one, if it is of that many threads, or if more than `most` are open.
    pub(super) fn take(&mut self, threads: usize, most: usize) -> Option<Slice> {
        let is_many = self.0.len() > most;
        let first = self.0.first_entry()?;
        (is_many || first.get().threads >= threads).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn slices_add_up_and_keep_the_first_example() {
        let (mut sum, mut other) = (Slice::new(0), Slice::new(0));
        sum.total.record(Duration::from_micros(100));
        other.total.record(Duration::from_millis(100));
        sum.fail(Failure::Reset, || "the first".to_owned());
        other.fail(Failure::Reset, || "the second".to_owned());
        other.fail(Failure::Timeout, || "é".repeat(EXAMPLE_MAX));
        other.statuses.insert(200, 3);
        sum.add(&other);
        assert_eq!((sum.total.count(), sum.tally.errors, sum.statuses[&200]), (2, 3, 3));
        assert_eq!(sum.failures[&Failure::Reset].count, 2);
        assert_eq!(sum.failures[&Failure::Reset].example, "the first");
        assert_eq!(sum.failures[&Failure::Timeout].example.len(), EXAMPLE_MAX);
    }
}
