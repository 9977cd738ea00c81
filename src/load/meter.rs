//! The CPU time of a process within the measurement.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The CPU time of a process between two calls.
#[derive(Debug)]
pub(super) struct CpuMeter {
    /// When it was made.
    made: f64,
    before: Option<f64>,
    after: Option<f64>,
}

impl CpuMeter {
    pub(super) fn new() -> Self {
        Self { made: cpu_seconds(), before: None, after: None }
    }

    /// The measurement has begun: only the first call counts. Whether this was it.
    pub(super) fn begin(&mut self) -> bool {
        let is_first = self.before.is_none();
        self.before.get_or_insert_with(cpu_seconds);
        is_first
    }

    /// The measurement is over: only the first call counts. Whether this was it.
    pub(super) fn end(&mut self) -> bool {
        let is_first = self.after.is_none();
        self.after.get_or_insert_with(cpu_seconds);
        is_first
    }

    /// CPU seconds between them; of a run that ended before it was measured, all of its own.
    pub(super) fn seconds(&self) -> f64 {
        (self.after.unwrap_or(self.made) - self.before.unwrap_or(self.made)).max(0.0)
    }
}

/// CPU seconds of this process so far.
fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[expect(clippy::cast_precision_loss, reason = "a CPU time fits")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_each_call_counts() {
        let mut meter = CpuMeter::new();
        assert!(meter.begin() && !meter.begin());
        assert!(meter.end());
        let seconds = meter.seconds();
        let burnt: u64 = (0..2_000_000_u64).map(std::hint::black_box).sum();
        assert!(burnt > 0 && !meter.end() && meter.seconds() == seconds);
        assert_eq!(CpuMeter::new().seconds(), 0.0);
    }
}
