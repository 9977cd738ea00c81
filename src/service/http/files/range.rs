//! Ranges of bytes (RFC 9110, section 14).

/// Ranges of one request at most; more are not answered as ranges.
const RANGES_MAX: usize = 16;

/// The first byte, and the one behind the last.
pub type ByteRange = std::ops::Range<u64>;

/// What a `range` field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// All: there is no field, or one that is not to be understood, which is as good as none.
    Whole,
    /// These, one at least, in the order in which they were asked for, none upon another.
    Some(Vec<ByteRange>),
    /// None of what there is: 416.
    Unsatisfiable,
}

/// The ranges of a file of `len` bytes. Ranges that overlap, or too many of them, ask for more than
/// the file has: such a request gets the whole of it (section 14.2 allows that).
#[must_use]
pub fn parse(value: Option<&[u8]>, len: u64) -> Ranges {
    let Some(value) = value else { return Ranges::Whole };
    let Some((unit, set)) = value.split_at_checked(6) else { return Ranges::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Whole;
    }
    let mut found: Vec<ByteRange> = Vec::new();
    let mut count = 0;
    for one in set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if one.is_empty() {
            continue;
        }
        count += 1;
        match parse_one(one, len) {
            None => return Ranges::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => {
                let overlaps =
                    found.iter().any(|other| other.start < range.end && range.start < other.end);
                if overlaps || found.len() == RANGES_MAX {
                    return Ranges::Whole;
                }
                found.push(range);
            }
        }
    }
    match (count, found.is_empty()) {
        (0, _) => Ranges::Whole,
        (_, true) => Ranges::Unsatisfiable,
        (_, false) => Ranges::Some(found),
    }
}

/// One range; empty when the file has nothing of it, `None` when it is no range.
fn parse_one(text: &[u8], len: u64) -> Option<ByteRange> {
    let at = text.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (text.get(..at)?, text.get(at + 1..)?);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(len.saturating_sub(suffix)..len);
    }
    let first = number(first)?;
    let end = if last.is_empty() { len } else { number(last)?.saturating_add(1).min(len) };
    if !last.is_empty() && number(last)? < first {
        return None;
    }
    Some(first.min(len)..end.max(first.min(len)))
}

/// A number; one that is beyond all files is the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let one = |range: ByteRange| Ranges::Some(vec![range]);
        let table = [
            ("bytes=0-499", one(0..500)),
            ("bytes=500-999", one(500..1000)),
            ("bytes=-500", one(9500..10_000)),
            ("bytes=9500-", one(9500..10_000)),
            ("bytes=0-0,-1", Ranges::Some(vec![0..1, 9999..10_000])),
            ("bytes=9999-20000", one(9999..10_000)),
            ("bytes=-20000", one(0..10_000)),
            ("BYTES=0-0", one(0..1)),
            ("bytes= 0-0 , ,5-5", Ranges::Some(vec![0..1, 5..6])),
            ("bytes=10000-", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=10000-,0-0", one(0..1)),
            ("bytes=5-4", Ranges::Whole),
            ("bytes=a-", Ranges::Whole),
            ("bytes=-", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=1", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
            ("items=0-1", Ranges::Whole),
            ("", Ranges::Whole),
            ("bytes=99999999999999999999-", Ranges::Unsatisfiable),
            ("bytes=0-18446744073709551615", one(0..10_000)),
            ("bytes=0-5,3-9", Ranges::Whole),
            ("bytes=0-,0-,0-,0-", Ranges::Whole),
        ];
        for (value, expected) in table {
            assert_eq!(parse(Some(value.as_bytes()), 10_000), expected, "{value}");
        }
        assert_eq!(parse(None, 10), Ranges::Whole);
        assert_eq!(parse(Some(b"bytes=0-0"), 0), Ranges::Unsatisfiable);
        let many: Vec<String> =
            (0..RANGES_MAX + 1).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
        let many = format!("bytes={}", many.join(","));
        assert_eq!(parse(Some(many.as_bytes()), 10_000), Ranges::Whole);
    }
}
