//! The intervals of a result as CSV (RFC 4180), with a line of names.

use std::io::{self, Write};

use crate::load::result::RunResult;

const HEAD: &str = "start_s,seconds,sent,completed,errors,wanted_rate,rate,bytes_received,\
    mean_us,p50_us,p90_us,p99_us,p99.9_us,p99.99_us,max_us,lateness_p99_us";

/// Writes a line for each interval. What was not measured is empty.
///
/// # Errors
///
/// What the writer says.
pub fn write(result: &RunResult, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{HEAD}")?;
    for interval in &result.intervals {
        write!(
            out,
            "{:.3},{:.3},{},{},{},{},{:.1},{}",
            interval.start,
            interval.seconds,
            interval.sent,
            interval.completed,
            interval.errors,
            maybe(interval.wanted_rate),
            interval.rate(),
            interval.bytes_received,
        )?;
        let summary = interval.histogram.summary();
        let values = [
            summary.mean,
            summary.p50,
            summary.p90,
            summary.p99,
            summary.p99_9,
            summary.p99_99,
            summary.max,
        ];
        for us in values {
            write!(out, ",{}", maybe((!summary.is_empty()).then_some(us)))?;
        }
        writeln!(out, ",{}", maybe(interval.lateness_p99_us))?;
    }
    Ok(())
}

fn maybe(number: Option<f64>) -> String {
    number.map(|number| format!("{number:.1}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;
    use crate::load::histogram::{LatencyHistogram, Packed};

    #[test]
    fn a_line_for_each_interval() {
        let mut result = Example::constant(1_000.0).seconds(2).build();
        let mut histogram = LatencyHistogram::new();
        histogram.record_many_ns(250_000, 1_000);
        result.intervals[0].histogram = histogram.pack();
        result.intervals[1].histogram = Packed::default();
        (result.intervals[1].completed, result.intervals[1].lateness_p99_us) = (0, None);
        let mut text = Vec::new();
        write(&result, &mut text).unwrap();
        let expected = format!(
            "{HEAD}\n\
             0.000,1.000,1000,1000,0,1000.0,1000.0,180000,\
             250.0,250.1,250.1,250.1,250.1,250.1,250.1,20.0\n\
             1.000,1.000,1000,0,0,1000.0,0.0,180000,,,,,,,,\n"
        );
        let text = String::from_utf8(text).unwrap();
        let columns = |line: &str| line.split(',').count();
        assert!(text.lines().all(|line| columns(line) == columns(HEAD)), "{text}");
        assert_eq!(text, expected);
    }
}
