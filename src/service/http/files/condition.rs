//! Conditional requests (RFC 9110, section 13).

use std::time::UNIX_EPOCH;

use super::Validators;
use crate::proto::http::{Fields, Known};

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The request is carried out.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// A condition does not hold: 412.
    Failed,
}

/// Weighs the conditions in the order of section 13.2.2. Without validators, tags are not the
/// file's, and dates are ignored (sections 13.1.3 and 13.1.4); `*` is any file.
#[must_use]
pub fn evaluate(fields: &Fields, file: Option<Validators<'_>>) -> Condition {
    if fields.has(Known::IfMatch) {
        if !matches(fields, Known::IfMatch, file, true) {
            return Condition::Failed;
        }
    } else if let Some(since) = date(fields, Known::IfUnmodifiedSince)
        && file.is_some_and(|file| file.modified > since)
    {
        return Condition::Failed;
    }
    if fields.has(Known::IfNoneMatch) {
        if matches(fields, Known::IfNoneMatch, file, false) {
            return Condition::NotModified;
        }
    } else if let Some(since) = date(fields, Known::IfModifiedSince)
        && file.is_some_and(|file| file.modified <= since)
    {
        return Condition::NotModified;
    }
    Condition::Proceed
}

/// Whether a range is wanted of just this file (section 13.1.5). A weak tag does not do, nor does a
/// date: a file may change twice within a second (section 8.8.2.2), and a tag comes with every
/// date.
#[must_use]
pub fn if_range_holds(fields: &Fields, file: Option<Validators<'_>>) -> bool {
    let Some(value) = fields.get(Known::IfRange) else { return true };
    let Some(file) = file else { return false };
    value == file.etag.as_bytes()
}

/// Whether one of the tags is the file's (section 8.8.3.2).
fn matches(fields: &Fields, known: Known, file: Option<Validators<'_>>, strong: bool) -> bool {
    fields.list(known).any(|tag| {
        let opaque = tag.strip_prefix(b"W/");
        let is_compared = !(strong && opaque.is_some());
        let opaque = opaque.unwrap_or(tag);
        let is_same = file.is_some_and(|file| opaque == file.etag.as_bytes());
        tag == b"*" || is_compared && is_same
    })
}

/// A date in seconds since 1970-01-01 UTC; one that is none does not count.
fn date(fields: &Fields, known: Known) -> Option<u64> {
    let text = std::str::from_utf8(fields.get(known)?).ok()?;
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::http::files::FileInfo;
    use crate::service::http::files::tests::stamp;

    const THEN: &str = "Mon, 23 Nov 2026 14:18:25 GMT";
    const BEFORE: &str = "Mon, 23 Nov 2026 14:18:24 GMT";

    fn with(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn conditions_are_weighed_in_their_order() {
        let file = FileInfo::new(stamp(10, (1_795_443_505, 0)));
        let file = file.validators(u64::MAX);
        let etag = file.unwrap().etag;
        let weak = format!("W/{etag}");
        let list = format!("\"x\", {etag}");
        let table: &[(&[(&str, &str)], Condition)] = &[
            (&[], Condition::Proceed),
            (&[("if-match", etag)], Condition::Proceed),
            (&[("if-match", "*")], Condition::Proceed),
            (&[("if-match", &list)], Condition::Proceed),
            (&[("if-match", "\"x\"")], Condition::Failed),
            (&[("if-match", &weak)], Condition::Failed),
            (&[("if-unmodified-since", THEN)], Condition::Proceed),
            (&[("if-unmodified-since", BEFORE)], Condition::Failed),
            (&[("if-match", etag), ("if-unmodified-since", BEFORE)], Condition::Proceed),
            (&[("if-none-match", etag)], Condition::NotModified),
            (&[("if-none-match", &weak)], Condition::NotModified),
            (&[("if-none-match", "\"x\"")], Condition::Proceed),
            (&[("if-none-match", "*")], Condition::NotModified),
            (&[("if-modified-since", THEN)], Condition::NotModified),
            (&[("if-modified-since", BEFORE)], Condition::Proceed),
            (&[("if-modified-since", "yesterday")], Condition::Proceed),
            (&[("if-none-match", "\"x\""), ("if-modified-since", THEN)], Condition::Proceed),
            (&[("if-match", "\"x\""), ("if-none-match", etag)], Condition::Failed),
        ];
        for (pairs, expected) in table {
            assert_eq!(evaluate(&with(pairs), file), *expected, "{pairs:?}");
        }
        let table = [
            ("", true),
            (etag, true),
            (&weak, false),
            ("\"x\"", false),
            (THEN, false),
            (BEFORE, false),
        ];
        for (value, holds) in table {
            let pairs = [("if-range", value)];
            let pairs = if value.is_empty() { &[][..] } else { &pairs[..] };
            assert_eq!(if_range_holds(&with(pairs), file), holds, "{value}");
        }
    }

    #[test]
    fn without_validators_no_condition_names_the_file() {
        let table: &[(&[(&str, &str)], Condition)] = &[
            (&[], Condition::Proceed),
            (&[("if-match", "*")], Condition::Proceed),
            (&[("if-match", "\"x\"")], Condition::Failed),
            (&[("if-none-match", "*")], Condition::NotModified),
            (&[("if-none-match", "\"x\"")], Condition::Proceed),
            (&[("if-modified-since", THEN)], Condition::Proceed),
            (&[("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")], Condition::Proceed),
        ];
        for (pairs, expected) in table {
            assert_eq!(evaluate(&with(pairs), None), *expected, "{pairs:?}");
        }
        for value in ["\"x\"", "Thu, 01 Jan 1970 00:00:00 GMT", THEN] {
            assert!(!if_range_holds(&with(&[("if-range", value)]), None), "{value}");
        }
        assert!(if_range_holds(&with(&[]), None));
    }
}
