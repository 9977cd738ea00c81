//! Latencies: one histogram while they are recorded, and packed as results keep them.
//!
//! Values are nanoseconds with three significant digits, up to one hour. A histogram in memory
//! takes 270 KiB, a packed one a few: results keep thousands of the latter.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// The largest value that is told from larger ones, in nanoseconds: one hour.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits of a recorded value.
pub const DIGITS: u8 = 3;
/// Nanoseconds in a microsecond.
const NS_PER_US: f64 = 1_000.0;

/// The start of a histogram in the format V2, and of one that is compressed.
const COOKIE: u32 = 0x1c84_9313;
const COOKIE_COMPRESSED: u32 = 0x1c84_9314;
/// Bytes before the counts: cookie, length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;
/// Counts are numbers of at most nine bytes, one for each distinct value.
const UNPACKED_MAX: usize = HEADER + 9 * DISTINCT_MAX;
/// More than the distinct values of our histograms (33,792).
const DISTINCT_MAX: usize = 34_000;
/// Characters of a packed histogram. Compression may make noise a little longer.
const PACKED_MAX: usize = UNPACKED_MAX / 3 * 4 + 4_096;
/// Values of one histogram. Sums of them are exact as `f64`, too.
const COUNT_MAX: u64 = 1 << 53;

/// Latencies while they are recorded.
#[derive(Clone)]
pub struct LatencyHistogram(Histogram<u64>);

impl LatencyHistogram {
    /// One without values.
    #[must_use]
    pub fn new() -> Self {
        let made = Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS);
        Self(made.expect("the bounds are in order"))
    }

    /// Adds a value. What is longer than an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The same in nanoseconds.
    pub fn record_ns(&mut self, latency: u64) {
        self.0.saturating_record(latency.min(HIGHEST_NS));
    }

    /// Adds `count` equal values, in nanoseconds.
    pub fn record_many_ns(&mut self, latency: u64, count: u64) {
        self.0.saturating_record_n(latency.min(HIGHEST_NS), count);
    }

    /// Adds all values of another one.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// Forgets all values, and keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// The same with the values that a closed loop did not send while it waited: for each value
    /// longer than `expected`, those that requests at this interval would have met.
    #[must_use]
    pub fn corrected(&self, expected: Duration) -> Self {
        let expected = u64::try_from(expected.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.clone_correct(expected))
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value that a share of all is not above, in microseconds; 0 without values. The share is
    /// from 0 to 1.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        micros(self.0.value_at_quantile(share))
    }

    /// The figures for people.
    #[must_use]
    pub fn summary(&self) -> Summary {
        if self.0.is_empty() {
            return Summary::default();
        }
        Summary {
            count: self.0.len(),
            mean: tenth(self.0.mean() / NS_PER_US),
            min: micros(self.0.min()),
            p50: self.quantile_us(0.5),
            p90: self.quantile_us(0.9),
            p99: self.quantile_us(0.99),
            p99_9: self.quantile_us(0.999),
            p99_99: self.quantile_us(0.9999),
            max: micros(self.0.max()),
        }
    }

    /// The histogram itself, in nanoseconds.
    #[must_use]
    pub fn inner(&self) -> &Histogram<u64> {
        &self.0
    }

    /// Packs it, for a result.
    #[must_use]
    pub fn pack(&self) -> Packed {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).expect("memory takes it");
        Packed { summary: self.summary(), hdr: STANDARD.encode(bytes) }
    }

    /// Reads the bytes of the format V2, compressed, which may be anybody's.
    fn from_compressed(bytes: &[u8]) -> Result<Self, HistogramError> {
        let field = |at: usize| word(bytes, at).ok_or(HistogramError::Truncated);
        let (cookie, length) = (field(0)?, field(4)?);
        if cookie != COOKIE_COMPRESSED {
            return Err(HistogramError::Format);
        }
        let packed = bytes.get(8..).unwrap_or_default();
        if usize::try_from(length) != Ok(packed.len()) {
            return Err(HistogramError::Truncated);
        }
        let mut plain = Vec::new();
        let limit = u64::try_from(UNPACKED_MAX + 1).unwrap_or(u64::MAX);
        let inflated = ZlibDecoder::new(packed).take(limit).read_to_end(&mut plain);
        inflated.map_err(|_| HistogramError::Compression)?;
        check_plain(&plain)?;
        let read = Deserializer::new().deserialize(&mut plain.as_slice());
        read.map(Self).map_err(|_| HistogramError::Counts)
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LatencyHistogram").field(&self.summary()).finish()
    }
}

/// Checks what the crate takes on trust: lengths before memory is taken, counts before they are
/// negated or summed, and that the bounds are ours.
fn check_plain(plain: &[u8]) -> Result<(), HistogramError> {
    let ours = LatencyHistogram::new();
    let counts = plain.get(HEADER..).ok_or(HistogramError::Truncated)?;
    if plain.len() > UNPACKED_MAX || word(plain, 0) != Some(COOKIE) {
        return Err(HistogramError::Format);
    }
    if word(plain, 4).and_then(|length| usize::try_from(length).ok()) != Some(counts.len()) {
        return Err(HistogramError::Truncated);
    }
    let is_ours = word(plain, 12) == Some(u32::from(DIGITS))
        && long(plain, 16) == Some(1)
        && long(plain, 24) == Some(HIGHEST_NS);
    if !is_ours {
        return Err(HistogramError::Bounds);
    }
    check_counts(counts, ours.0.distinct_values())
}

fn check_counts(mut counts: &[u8], distinct: usize) -> Result<(), HistogramError> {
    let (mut at, mut total) = (0_usize, 0_u64);
    while !counts.is_empty() {
        let (number, rest) = signed(counts).ok_or(HistogramError::Truncated)?;
        counts = rest;
        match u64::try_from(number) {
            Ok(count) => {
                total = total.checked_add(count).ok_or(HistogramError::Counts)?;
                at += 1;
            }
            // So many values in a row have no count.
            Err(_) => {
                let zeros = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
                at = at.saturating_add(zeros);
            }
        }
        if at > distinct || total > COUNT_MAX {
            return Err(HistogramError::Counts);
        }
    }
    Ok(())
}

/// A number of the format (LEB128 of at most nine bytes, zigzag), and what follows it.
fn signed(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (place, &byte) in (0_u32..9).zip(bytes) {
        let rest = || bytes.get(usize::try_from(place).ok()? + 1..);
        if place == 8 {
            value |= u64::from(byte) << 56;
            return Some((unzigzag(value), rest()?));
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((unzigzag(value), rest()?));
        }
    }
    None
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds is far below 2^53")]
fn micros(ns: u64) -> f64 {
    tenth(ns as f64 / NS_PER_US)
}

/// Rounds to the decimal that summaries have.
fn tenth(us: f64) -> f64 {
    (us * 10.0).round() / 10.0
}

/// Why a packed histogram cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// The text is not base64.
    #[error("a histogram is not base64")]
    Base64,
    /// More bytes than any of ours has.
    #[error("a histogram is longer than any that ringway writes")]
    TooLong,
    /// It ends too early, or says another length than it has.
    #[error("a histogram is cut short")]
    Truncated,
    /// It is no HdrHistogram of version 2.
    #[error("a histogram is not in the format HdrHistogram V2 (compressed)")]
    Format,
    /// It cannot be inflated.
    #[error("a histogram cannot be inflated")]
    Compression,
    /// Its range or precision is not ours.
    #[error("a histogram has other bounds than 1 ns to 1 h with 3 digits")]
    Bounds,
    /// Counts that no histogram has.
    #[error("a histogram has counts that cannot be")]
    Counts,
}

/// Figures of a histogram for people: microseconds with one decimal, all 0 without values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The smallest one.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 % are not above it.
    pub p90: f64,
    /// 99 % are not above it.
    pub p99: f64,
    /// 99.9 % are not above it.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// 99.99 % are not above it.
    #[serde(rename = "p99.99")]
    pub p99_99: f64,
    /// The largest one.
    pub max: f64,
}

impl Summary {
    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A histogram as results keep it: figures for people, and beside them `HdrHistogram` V2,
/// compressed, in base64. The figures always are those of the histogram: those in a file are not
/// read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Packed {
    #[serde(flatten)]
    summary: Summary,
    hdr: String,
}

/// What is read of a packed histogram.
#[derive(Deserialize)]
struct Unchecked {
    hdr: String,
}

impl TryFrom<Unchecked> for Packed {
    type Error = HistogramError;

    fn try_from(unchecked: Unchecked) -> Result<Self, HistogramError> {
        let summary = unpack(&unchecked.hdr)?.summary();
        Ok(Self { summary, hdr: unchecked.hdr })
    }
}

impl Packed {
    /// The figures for people.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.summary.is_empty()
    }

    /// The histogram itself.
    #[must_use]
    pub fn unpack(&self) -> LatencyHistogram {
        unpack(&self.hdr).expect("it was packed by us, or checked when it was read")
    }
}

impl Default for Packed {
    fn default() -> Self {
        LatencyHistogram::new().pack()
    }
}

fn unpack(hdr: &str) -> Result<LatencyHistogram, HistogramError> {
    if hdr.len() > PACKED_MAX {
        return Err(HistogramError::TooLong);
    }
    let bytes = STANDARD.decode(hdr).map_err(|_| HistogramError::Base64)?;
    LatencyHistogram::from_compressed(&bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn some() -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        for n in 1..=1_000_u64 {
            histogram.record(Duration::from_micros(n));
        }
        histogram
    }

    /// A compressed histogram with such a payload of counts.
    fn packed(header: impl FnOnce(&mut Vec<u8>), counts: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.extend(COOKIE.to_be_bytes());
        plain.extend(u32::try_from(counts.len()).unwrap().to_be_bytes());
        plain.extend(0_u32.to_be_bytes());
        plain.extend(u32::from(DIGITS).to_be_bytes());
        plain.extend(1_u64.to_be_bytes());
        plain.extend(HIGHEST_NS.to_be_bytes());
        plain.extend(1_f64.to_be_bytes());
        header(&mut plain);
        plain.extend(counts);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain).unwrap();
        let body = encoder.finish().unwrap();
        let mut whole = COOKIE_COMPRESSED.to_be_bytes().to_vec();
        whole.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        whole.extend(body);
        whole
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let histogram = some();
        let packed = histogram.pack();
        assert_eq!(packed.unpack().inner(), histogram.inner());
        let summary = packed.summary();
        assert_eq!((summary.count, summary.min, summary.p50), (1_000, 1.0, 500.2));
        assert!((summary.mean - 500.5).abs() < 0.5 && (summary.max - 1_000.0).abs() < 1.0);
        let text = serde_json::to_string(&packed).unwrap();
        assert!(text.contains("\"p99.9\":999.4"), "{text}");
        assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), packed);
        assert!(Packed::default().is_empty() && Packed::default().summary().max == 0.0);
    }

    #[test]
    fn the_longest_is_an_hour() {
        let mut histogram = LatencyHistogram::new();
        histogram.record(Duration::from_secs(100_000));
        histogram.record_ns(0);
        let summary = histogram.pack().unpack().summary();
        assert!((summary.max / 3.6e9 - 1.0).abs() < 0.001, "{summary:?}");
        assert_eq!((summary.count, summary.min), (2, 0.0));
    }

    #[test]
    fn correction_fills_what_a_stall_hid() {
        let mut histogram = LatencyHistogram::new();
        histogram.record_many_ns(1_000_000, 99);
        histogram.record(Duration::from_millis(100));
        let corrected = histogram.corrected(Duration::from_millis(1));
        assert_eq!((histogram.count(), corrected.count()), (100, 199));
    }

    #[test]
    fn hostile_histograms_have_named_faults() {
        use HistogramError as E;
        let min = [0xff; 9];
        let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let cases: [(&str, Vec<u8>, E); 9] = [
            ("nothing", Vec::new(), E::Truncated),
            ("no cookie", vec![0; 60], E::Format),
            ("most negative", packed(|_| {}, &min), E::Counts),
            ("most positive", packed(|_| {}, &max), E::Counts),
            ("too many values", packed(|_| {}, &vec![2; DISTINCT_MAX]), E::Counts),
            ("too long", packed(|_| {}, &vec![2; 10 * DISTINCT_MAX]), E::Format),
            ("half a number", packed(|_| {}, &[0x80]), E::Truncated),
            ("other digits", packed(|plain| plain[15] = 5, &[2]), E::Bounds),
            ("other length", packed(|plain| plain[4] = 0xff, &[2]), E::Truncated),
        ];
        for (name, bytes, expected) in cases {
            let found = LatencyHistogram::from_compressed(&bytes).map(|found| found.count());
            assert_eq!(found, Err(expected), "{name}");
        }
        let good = LatencyHistogram::from_compressed(&packed(|_| {}, &[1, 4]));
        assert_eq!(good.map(|found| found.count()), Ok(2));
        assert_eq!(unpack("?").map(|_| ()), Err(E::Base64));
        assert_eq!(unpack(&"A".repeat(PACKED_MAX + 4)).map(|_| ()), Err(E::TooLong));
    }

    #[test]
    fn cut_and_changed_bytes_never_panic() {
        let whole = STANDARD.decode(some().pack().hdr).unwrap();
        for at in 0..whole.len() {
            assert!(LatencyHistogram::from_compressed(&whole[..at]).is_err(), "{at}");
            for flipped in [1, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= flipped;
                let _either = LatencyHistogram::from_compressed(&changed);
            }
        }
    }
}
