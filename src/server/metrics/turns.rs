//! What the workers' loops do with their time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus::proto::{Bucket, Histogram as ProtoHistogram, MetricFamily, MetricType};

use super::{Exporter, counter_float, family, gauge, labelled};
use crate::ring::DriverKind;
use crate::runtime::TurnStats;

impl Exporter {
    /// What the workers ask the kernel by, and where each one's time on a CPU is found.
    pub(in crate::server) fn set_threads(&mut self, driver: DriverKind, files: Vec<PathBuf>) {
        self.driver = Some(driver);
        self.thread_files = files.into();
    }

    pub(super) fn turn_families(&self) -> Vec<MetricFamily> {
        let cells = || self.workers.cells().iter().enumerate();
        let label = |worker: usize| [("worker", worker.to_string())];
        let histograms = cells().map(|(worker, cell)| {
            let mut metric = labelled(&label(worker));
            metric.set_histogram(histogram(&cell.loops.times));
            metric
        });
        let longest = cells()
            .map(|(worker, cell)| gauge(&label(worker), cell.loops.times.longest().as_secs_f64()));
        let busy = cells().map(|(worker, cell)| {
            counter_float(&label(worker), cell.loops.times.busy().as_secs_f64())
        });
        let (mut ran, mut waited) = (Vec::new(), Vec::new());
        for (worker, file) in self.thread_files.iter().enumerate() {
            if let Some([on_cpu, in_queue]) = read_times(file) {
                ran.push(counter_float(&label(worker), on_cpu.as_secs_f64()));
                waited.push(counter_float(&label(worker), in_queue.as_secs_f64()));
            }
        }
        vec![
            family(
                "ringway_loop_turn_duration_seconds",
                "How long turns of the loop took, from the end of a wait to the next one.",
                MetricType::HISTOGRAM,
                histograms.collect(),
            ),
            family(
                "ringway_loop_turn_longest_seconds",
                "The longest turn of the loop since the start.",
                MetricType::GAUGE,
                longest.collect(),
            ),
            family(
                "ringway_worker_busy_seconds_total",
                "Time that turns took; its rate is the share of the time that the worker was busy, \
                 without the kernel's work on what it submits.",
                MetricType::COUNTER,
                busy.collect(),
            ),
            family(
                "ringway_worker_cpu_seconds_total",
                "Time on a CPU, the kernel's work for the worker included; a rate of 1 is a whole \
                 core.",
                MetricType::COUNTER,
                ran,
            ),
            family(
                "ringway_worker_run_queue_seconds_total",
                "Time in which the worker could have run and got no CPU.",
                MetricType::COUNTER,
                waited,
            ),
        ]
    }
}

fn histogram(times: &TurnStats) -> ProtoHistogram {
    let (bounds, count) = times.cumulative();
    let buckets = bounds.into_iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = ProtoHistogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(times.busy().as_secs_f64());
    histogram
}

/// A thread's time on a CPU and in the queue for one, from its `schedstat` (proc(5)).
fn read_times(file: &Path) -> Option<[Duration; 2]> {
    parse_times(&std::fs::read_to_string(file).ok()?)
}

fn parse_times(text: &str) -> Option<[Duration; 2]> {
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
    let mut next = || numbers.next()?.map(Duration::from_nanos);
    Some([next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_thread_are_read() {
        let nanos = Duration::from_nanos;
        assert_eq!(parse_times("1000 20 3\n"), Some([nanos(1_000), nanos(20)]));
        for wrong in ["", "1", "1 x 3", "-1 2 3"] {
            assert_eq!(parse_times(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_turn_is_in_the_histogram() {
        let times = TurnStats::default();
        times.record(Duration::from_micros(30));
        times.record(Duration::from_secs(2));
        let histogram = histogram(&times);
        assert_eq!(histogram.get_sample_count(), 2);
        assert!((histogram.get_sample_sum() - 2.000_03).abs() < 1e-9);
        let last = histogram.get_bucket().last().map(Bucket::cumulative_count);
        assert_eq!(last, Some(1), "two seconds are beyond the last bound");
    }
}
