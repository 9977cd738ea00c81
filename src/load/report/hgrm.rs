//! The percentile text of `HdrHistogram`, in milliseconds, as its plotters read it.

use std::io::{self, Write};

use crate::load::histogram::LatencyHistogram;

/// Lines between a percentile and the one with half of the distance to 100 %.
const TICKS: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// Writes it.
///
/// # Errors
///
/// What the writer says.
pub fn write(histogram: &LatencyHistogram, out: &mut impl Write) -> io::Result<()> {
    let inner = histogram.inner();
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0_u64;
    for step in inner.iter_quantiles(TICKS) {
        total = total.saturating_add(step.count_since_last_iteration());
        let value = millis(step.value_iterated_to());
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(out, "{value:>12.6} {quantile:>14.12} {total:>10} {inverse:>14.2}")?;
        } else {
            writeln!(out, "{value:>12.6} {quantile:>14.12} {total:>10}")?;
        }
    }
    let (mean, deviation) = (inner.mean() / NS_PER_MS, inner.stdev() / NS_PER_MS);
    writeln!(out, "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]")?;
    let (max, count) = (millis(inner.max()), inner.len());
    writeln!(out, "#[Max     = {max:>12.6}, Total count    = {count:>12}]")?;
    let (buckets, halves) =
        (inner.buckets(), inner.distinct_values() / (usize::from(inner.buckets()) + 1));
    writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {:>12}]", 2 * halves)
}

#[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds is far below 2^53")]
fn millis(ns: u64) -> f64 {
    ns as f64 / NS_PER_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_format_of_hdrhistogram() {
        let mut histogram = LatencyHistogram::new();
        histogram.record_many_ns(1_000_000, 9);
        histogram.record_many_ns(10_000_000, 1);
        let mut text = Vec::new();
        write(&histogram, &mut text).unwrap();
        let expected = "       Value     Percentile TotalCount 1/(1-Percentile)

    1.000447 0.000000000000          9           1.00
    1.000447 0.100000000000          9           1.11
";
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(expected), "{text}");
        let end = "   10.002431 0.900000000000         10          10.00
   10.002431 1.000000000000         10
#[Mean    =     1.900006, StdDeviation   =     2.699443]
#[Max     =    10.002431, Total count    =           10]
#[Buckets =           32, SubBuckets     =         2048]
";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn without_values_it_is_whole() {
        let mut text = Vec::new();
        write(&LatencyHistogram::new(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("Total count    =            0]"), "{text}");
    }
}
