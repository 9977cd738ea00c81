//! Signs of life, timed: a line for each, and a summary.

use std::os::fd::AsFd;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{ConnectArgs, Failure, write};
use crate::client::{ClientError, Frame};
use crate::ring::SocketAddress;

/// The time from one to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest time that is told from longer ones, an hour, in nanoseconds.
const TIME_MAX: u64 = 3_600_000_000_000;

/// Pings until it is enough, or until it is interrupted (^C), then tells what came of it.
pub(super) fn run(args: &ConnectArgs, mut client: Frame) -> Result<(), Failure> {
    let interrupted = interrupts().map_err(|errno| Failure::Failed(errno.to_string()))?;
    let mut tally = Tally::new()?;
    let ended = ping(args, &mut client, &interrupted, &mut tally);
    let told = tally.tell(client.peer());
    ended.and(told)?;
    if tally.times.is_empty() {
        return Err(Failure::Failed(format!("{} did not answer", client.peer())));
    }
    Ok(())
}

fn ping(
    args: &ConnectArgs,
    client: &mut Frame,
    interrupted: &impl AsFd,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let peer = client.peer();
    loop {
        tally.sent += 1;
        let sent = tally.sent;
        match client.ping_unless(interrupted, args.timeout()) {
            Ok(Some(time)) => {
                tally.add(time);
                write(format_args!("answer from {peer}: seq={sent} time={}\n", Millis(time)))?;
            }
            Ok(None) => {
                tally.sent -= 1;
                return Ok(());
            }
            Err(ClientError::Deadline { after, .. }) => {
                write(format_args!("no answer from {peer}: seq={sent} within {after:?}\n"))?;
            }
            Err(error) => return Err(error.into()),
        }
        if args.count.is_some_and(|count| sent >= count) {
            return Ok(());
        }
        if !client.rest_unless(interrupted, args.interval.unwrap_or(INTERVAL))? {
            return Ok(());
        }
    }
}

/// A descriptor that can be read when ^C was pressed, which from now on does nothing else.
fn interrupts() -> Result<SignalFd, nix::errno::Errno> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// What came of it so far.
struct Tally {
    sent: u64,
    /// Times of those answered, in nanoseconds.
    times: Histogram<u64>,
}

impl Tally {
    fn new() -> Result<Self, Failure> {
        let times = Histogram::new_with_bounds(1, TIME_MAX, 3);
        let times = times.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Self { sent: 0, times })
    }

    fn add(&mut self, time: Duration) {
        self.times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn tell(&self, peer: SocketAddress) -> Result<(), Failure> {
        let (sent, received) = (self.sent, self.times.len());
        let loss = (sent.saturating_sub(received)) * 100 / sent.max(1);
        write(format_args!("{peer}: {sent} sent, {received} received, {loss}% loss\n"))?;
        if received == 0 {
            return Ok(());
        }
        write(format_args!("{}\n", self.summary()))
    }

    fn summary(&self) -> String {
        let quantile = |q| Millis(Duration::from_nanos(self.times.value_at_quantile(q)));
        let mean = Millis(Duration::from_secs_f64(self.times.mean() / 1e9));
        let (min, p50, p99, max) = (quantile(0.0), quantile(0.5), quantile(0.99), quantile(1.0));
        format!("min {min}, avg {mean}, p50 {p50}, p99 {p99}, max {max}")
    }
}

/// A time as ping(8) prints it.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} ms", self.0.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_the_times_that_were_added() {
        let mut tally = Tally::new().unwrap();
        for millis in 1..=100 {
            tally.add(Duration::from_millis(millis));
        }
        let summary = tally.summary();
        let numbers: Vec<f64> =
            summary.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        for (number, expected) in numbers.iter().zip([1.0, 50.5, 50.0, 99.0, 100.0]) {
            assert!((number - expected).abs() < expected / 500.0, "{summary}");
        }
        assert_eq!(numbers.len(), 5, "{summary}");
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(Millis(Duration::from_micros(1234)).to_string(), "1.234 ms");
        assert_eq!(Millis(Duration::from_nanos(400)).to_string(), "0.000 ms");
        assert_eq!(Millis(Duration::from_secs(2)).to_string(), "2000.000 ms");
    }
}
