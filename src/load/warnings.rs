//! Why a result may not be what it seems: the first lines of every report.

use super::report::format;
use super::result::{RunResult, real};

/// Lateness at p99 that is small whatever is reported, in microseconds.
const LATENESS_MAX_US: f64 = 1_000.0;
/// Lateness at p99 that is small against the median.
const LATENESS_SHARE_MAX: f64 = 0.1;
/// The share of the requests that were due which must have been sent, and answered.
const KEPT_MIN: f64 = 0.99;

/// What is to be known before any figure is read; nothing of a sound result.
#[must_use]
pub fn warnings(result: &RunResult) -> Vec<String> {
    let found = [closed_loop(result), lateness(result), rate(result), nothing(result)];
    found.into_iter().flatten().collect()
}

fn closed_loop(result: &RunResult) -> Option<String> {
    let told = "closed loop: coordinated omission is not corrected; ";
    let instead = if result.latency.corrected.is_some() {
        "see corrected"
    } else {
        "give a rate to measure what clients would see"
    };
    (!result.is_open_loop()).then(|| format!("{told}{instead}"))
}

fn lateness(result: &RunResult) -> Option<String> {
    let late = result.latency.lateness.summary();
    let total = result.latency.total.summary();
    if !result.is_open_loop() || late.is_empty() || total.is_empty() {
        return None;
    }
    let limit = (total.p50 * LATENESS_SHARE_MAX).min(LATENESS_MAX_US);
    (late.p99 > limit).then(|| {
        format!(
            "the generator itself was late: {} at p99, beside a median of {} (at most {} is \
             sound); the latencies are partly its own: \
             give it more threads or CPUs, or a lower rate",
            format::latency(late.p99),
            format::latency(total.p50),
            format::latency(limit),
        )
    })
}

fn rate(result: &RunResult) -> Option<String> {
    let counts = &result.counts;
    if !result.is_open_loop() || counts.due == 0 {
        return None;
    }
    let (sent, completed) = (real(counts.sent), real(counts.completed));
    let due = real(counts.due);
    let kept = |count: f64| format!("{} %", format::short(100.0 * count / due));
    if sent < KEPT_MIN * due {
        Some(format!(
            "the rate was not kept: {} of the requests that were due were sent ({} of {})",
            kept(sent),
            format::count(counts.sent),
            format::count(counts.due),
        ))
    } else if completed < KEPT_MIN * due {
        Some(format!(
            "the rate was not kept: {} of the requests that were due were answered ({} of {})",
            kept(completed),
            format::count(counts.completed),
            format::count(counts.due),
        ))
    } else {
        None
    }
}

fn nothing(result: &RunResult) -> Option<String> {
    (result.counts.completed == 0).then(|| "no request was answered".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;
    use crate::load::histogram::LatencyHistogram;
    use crate::load::result::Counts;

    #[test]
    fn sound_results_have_none_and_others_say_why() {
        let sound = Example::constant(1_000.0).seconds(10).build();
        assert_eq!(warnings(&sound), Vec::<String>::new());
        let first = |change: &dyn Fn(&mut RunResult)| {
            let mut result = sound.clone();
            change(&mut result);
            warnings(&result).join("\n")
        };
        let late = |us: u64| {
            let mut late = LatencyHistogram::new();
            late.record_many_ns(us * 1_000, 100);
            late.pack()
        };
        let due = sound.counts.due;
        let text = first(&|result| result.latency.lateness = late(900));
        assert!(text.starts_with("the generator itself was late: 900 us at p99"), "{text}");
        let text = first(&|result| result.counts.sent = due / 2);
        assert!(text.starts_with("the rate was not kept: 50 % of the"), "{text}");
        let text = first(&|result| result.counts.completed = due * 98 / 100);
        assert!(text.contains("98 % of the requests that were due were answered"), "{text}");
        let text = first(&|result| result.counts = Counts::default());
        assert_eq!(text, "no request was answered");
        let closed = warnings(&Example::closed().seconds(10).build());
        assert_eq!(closed, ["closed loop: coordinated omission is not corrected; see corrected"]);
    }
}
