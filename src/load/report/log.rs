//! The interval log of `HdrHistogram`, version 2, as its log processors read it. Values are
//! nanoseconds; each line is tagged with what was measured.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use crate::load::result::RunResult;

/// The tag of latencies from when a request was due to the end of its answer.
pub const TAG_TOTAL: &str = "total";
/// The longest maximum is shown in milliseconds.
const NS_PER_MS: f64 = 1e6;

/// Writes a line for each interval.
///
/// # Errors
///
/// What the writer says.
pub fn write(result: &RunResult, out: &mut impl Write) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("[Logged by {}]", one_line(&result.tool)))
        .with_max_value_divisor(NS_PER_MS);
    if let Some(began) = began(result) {
        builder.with_start_time(began).with_base_time(began);
    }
    let mut log = builder.begin_log_with(out, &mut serializer)?;
    log.write_comment(
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
    )?;
    for interval in &result.intervals {
        let histogram = interval.histogram.unpack();
        let (start, length) = (duration(interval.start), duration(interval.seconds));
        let written = log.write_histogram(histogram.inner(), start, length, Tag::new(TAG_TOTAL));
        written.map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
        })?;
    }
    Ok(())
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// When the measurement began; `None` if the date is invalid or before 1970.
fn began(result: &RunResult) -> Option<SystemTime> {
    let text = result.began.as_str();
    let date = prost_types::Timestamp::from_str(text).ok().filter(|_| text.len() <= 64)?;
    let seconds = u64::try_from(date.seconds).ok()?;
    let nanos = u32::try_from(date.nanos).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos.min(999_999_999)))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::example::Example;

    #[test]
    fn the_crate_reads_it_again() {
        let result = Example::constant(1_000.0).seconds(9).build();
        let mut text = Vec::new();
        write(&result, &mut text).unwrap();
        let start = "#[Histogram log format version 1.3]\n#[Logged by ringway 0.1.0]\n\
            #[StartTime: 1795428000.000 (seconds since epoch)]\n";
        assert!(text.starts_with(start.as_bytes()), "{}", String::from_utf8_lossy(&text[..300]));
        let entries: Vec<_> = IntervalLogIterator::new(&text).map(Result::unwrap).collect();
        let intervals = entries.iter().filter_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            LogEntry::StartTime(_) | LogEntry::BaseTime(_) => None,
        });
        let mut count = 0;
        for (interval, written) in intervals.zip(&result.intervals) {
            assert_eq!(interval.tag().unwrap().as_str(), TAG_TOTAL);
            assert_eq!(interval.start_timestamp(), duration(written.start));
            let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let read: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            assert_eq!(&read, written.histogram.unpack().inner());
            count += 1;
        }
        assert_eq!(count, 9);
    }

    #[test]
    fn odd_dates_are_left_out() {
        let mut result = Example::constant(1_000.0).seconds(8).build();
        for date in ["", "yesterday", "1969-12-31T00:00:00Z", "9999999999-01-01T00:00:00Z\n#x"] {
            result.began = date.to_owned();
            result.tool = "a\nb".to_owned();
            let mut text = Vec::new();
            write(&result, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(!text.contains("StartTime:") && text.contains("by ab]"), "{date}: {text:.200}");
        }
    }
}
