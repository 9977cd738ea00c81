//! What is answered to a request for a file.

use super::condition::{Condition, evaluate, if_range_holds};
use super::range::{ByteRange, Ranges, parse};
use super::{FileInfo, is_kind};
use crate::proto::http::{Fields, Known, Method, RequestHead, ResponseHead};

/// What may be asked for, and what is said of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileRules {
    /// Whether names that begin with a dot are served.
    pub dot_files: bool,
    /// The `cache-control` field.
    pub cache_control: Option<Box<str>>,
    /// The same by patterns of types; the first that suits counts.
    pub cache_control_by: Vec<(Box<str>, Box<str>)>,
    /// Codings in which files may lie beside themselves, by preference.
    pub precompressed: Vec<super::coding::Coding>,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// None of the file.
    None,
    /// One stretch of the file: all of it, or a range.
    One(ByteRange),
    /// Several ranges, each behind a head of its own, and an end.
    Many {
        /// The text before each range, and the range.
        parts: Vec<(String, ByteRange)>,
        /// What is behind the last one.
        end: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The body.
    pub body: Body,
    /// The `content-length`; `None` where there is none to say.
    pub length: Option<u64>,
}

/// Decides on the answer to a request for a file of type `kind`, and writes its status and fields
/// to `answer`. `boundary` makes a text that stands between several ranges, and is in no file;
/// `now` is the time in seconds since 1970-01-01 UTC.
#[must_use]
pub fn plan(
    request: &RequestHead,
    file: &FileInfo,
    kind: &str,
    rules: &FileRules,
    (boundary, now): (u64, u64),
    answer: &mut ResponseHead,
) -> Plan {
    let validators = file.validators(now);
    let fields = &mut answer.fields;
    if request.method != Method::Get && request.method != Method::Head {
        answer.status = 405;
        fields.push(b"allow", b"GET, HEAD");
        return Plan { body: Body::None, length: Some(0) };
    }
    let condition = evaluate(&request.fields, validators);
    if condition == Condition::Failed {
        answer.status = 412;
        return Plan { body: Body::None, length: Some(0) };
    }
    if let Some(file) = validators {
        fields.push_known(Known::Etag, file.etag.as_bytes());
        fields.push_known(Known::LastModified, file.last_modified.as_bytes());
    }
    let by_kind = rules.cache_control_by.iter().find(|(pattern, _)| is_kind(kind, pattern));
    let cache_control = by_kind.map(|(_, value)| value).or(rules.cache_control.as_ref());
    if let Some(value) = cache_control {
        fields.push_known(Known::CacheControl, value.as_bytes());
    }
    if condition == Condition::NotModified {
        answer.status = 304;
        return Plan { body: Body::None, length: None };
    }
    fields.push(b"accept-ranges", b"bytes");
    let asked = request.fields.get(Known::Range);
    // A range is only for GET (RFC 9110, section 14.2).
    let wanted = request.method == Method::Get && if_range_holds(&request.fields, validators);
    let ranges = parse(asked.filter(|_| wanted), file.len);
    match ranges {
        Ranges::Whole => {
            answer.status = 200;
            fields.push_known(Known::ContentType, kind.as_bytes());
            let is_get = request.method == Method::Get && file.len > 0;
            let body = if is_get { Body::One(0..file.len) } else { Body::None };
            Plan { body, length: Some(file.len) }
        }
        Ranges::Unsatisfiable => {
            answer.status = 416;
            // How long the file may be kept says nothing of this answer.
            fields.remove(b"cache-control");
            fields.push_known(Known::ContentRange, format!("bytes */{}", file.len).as_bytes());
            Plan { body: Body::None, length: Some(0) }
        }
        Ranges::Some(ranges) => {
            answer.status = 206;
            partial(ranges, file.len, (kind, boundary), fields)
        }
    }
}

/// One range is the body; several have a head each.
fn partial(
    ranges: Vec<ByteRange>,
    len: u64,
    (kind, boundary): (&str, u64),
    fields: &mut Fields,
) -> Plan {
    match ranges.as_slice() {
        [range] => {
            fields.push_known(Known::ContentType, kind.as_bytes());
            fields.push_known(Known::ContentRange, content_range(range, len).as_bytes());
            let length = range.end - range.start;
            Plan { body: Body::One(range.clone()), length: Some(length) }
        }
        [..] => {
            let boundary = format!("ringway-{boundary:016x}");
            let kind_of_all = format!("multipart/byteranges; boundary={boundary}");
            fields.push_known(Known::ContentType, kind_of_all.as_bytes());
            many(ranges, len, kind, &boundary)
        }
    }
}

fn content_range(range: &ByteRange, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

/// Several ranges in one body (RFC 9110, section 14.6).
fn many(ranges: Vec<ByteRange>, len: u64, kind: &str, boundary: &str) -> Plan {
    let mut length = 0;
    let mut parts = Vec::with_capacity(ranges.len());
    for (at, range) in ranges.into_iter().enumerate() {
        let start = if at == 0 { "" } else { "\r\n" };
        let head = format!(
            "{start}--{boundary}\r\ncontent-type: {kind}\r\ncontent-range: {}\r\n\r\n",
            content_range(&range, len)
        );
        length += head.len() as u64 + (range.end - range.start);
        parts.push((head, range));
    }
    let end = format!("\r\n--{boundary}--\r\n");
    length += end.len() as u64;
    Plan { body: Body::Many { parts, end }, length: Some(length) }
}

/// An error's page is shown whole, whatever the conditions of the request.
#[must_use]
pub fn page_plan(
    head: &RequestHead,
    info: &FileInfo,
    kind: &str,
    status: u16,
    response: &mut ResponseHead,
) -> Plan {
    response.status = status;
    response.fields.push_known(Known::ContentType, kind.as_bytes());
    let body = if head.method == Method::Head || info.len == 0 {
        Body::None
    } else {
        Body::One(0..info.len)
    };
    Plan { body, length: Some(info.len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::http::files::tests::stamp;

    fn ask(method: &str, pairs: &[(&str, &str)], len: u64) -> (ResponseHead, Plan) {
        let mut request = RequestHead::default();
        request.set_method(method.as_bytes());
        for (name, value) in pairs {
            request.fields.push(name.as_bytes(), value.as_bytes());
        }
        let rules = FileRules {
            cache_control: Some("no-cache".into()),
            cache_control_by: vec![("image/*".into(), "max-age=60".into())],
            ..FileRules::default()
        };
        let mut answer = ResponseHead::default();
        let file = FileInfo::new(stamp(len, (1_795_443_505, 0)));
        let at = (0xb0, 1_795_443_505);
        let plan = plan(&request, &file, "image/png", &rules, at, &mut answer);
        let is_error = answer.status >= 400;
        let cached = answer.fields.get(Known::CacheControl) == Some(b"max-age=60");
        assert!(is_error != cached);
        (answer, plan)
    }

    #[test]
    fn a_file_is_answered_as_it_is_asked_for() {
        let file = FileInfo::new(stamp(100, (1_795_443_505, 0)));
        let etag = file.validators(u64::MAX).unwrap().etag;
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, Body, Option<u64>);
        let table: &[Row<'_>] = &[
            ("GET", &[], 200, Body::One(0..100), Some(100)),
            ("HEAD", &[], 200, Body::None, Some(100)),
            ("HEAD", &[("range", "bytes=0-1")], 200, Body::None, Some(100)),
            ("POST", &[], 405, Body::None, Some(0)),
            ("GET", &[("range", "bytes=0-9")], 206, Body::One(0..10), Some(10)),
            ("GET", &[("range", "bytes=100-")], 416, Body::None, Some(0)),
            ("GET", &[("range", "lines=1")], 200, Body::One(0..100), Some(100)),
            (
                "GET",
                &[("range", "bytes=0-9"), ("if-range", "\"x\"")],
                200,
                Body::One(0..100),
                Some(100),
            ),
            ("GET", &[("range", "bytes=0-9"), ("if-range", etag)], 206, Body::One(0..10), Some(10)),
            ("GET", &[("if-none-match", etag)], 304, Body::None, None),
            ("GET", &[("if-match", "\"x\"")], 412, Body::None, Some(0)),
        ];
        for (method, pairs, status, body, length) in table {
            let (answer, plan) = ask(method, pairs, 100);
            assert_eq!(
                (answer.status, &plan.body, plan.length),
                (*status, body, *length),
                "{pairs:?}"
            );
        }
        let (answer, _) = ask("GET", &[("range", "bytes=-1")], 100);
        assert_eq!(answer.fields.get(Known::ContentRange), Some(&b"bytes 99-99/100"[..]));
        let (answer, _) = ask("GET", &[("range", "bytes=200-")], 100);
        assert_eq!(answer.fields.get(Known::ContentRange), Some(&b"bytes */100"[..]));
        assert_eq!(ask("GET", &[], 0).1, Plan { body: Body::None, length: Some(0) });
    }

    #[test]
    fn the_parts_of_an_answer_add_up_to_the_length_that_it_says() {
        let mut state = 7_u64;
        for _ in 0..2_000 {
            let mut next = |most: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % most
            };
            let (len, mut at) = (next(10_000) + 100, 0);
            let mut ranges = Vec::new();
            for _ in 0..next(14) + 2 {
                let (start, more) = (at + next(50), next(50));
                ranges.push(format!("{start}-{}", start + more));
                at = start + more + 1;
            }
            let value = format!("bytes={}", ranges.join(","));
            let (answer, plan) = ask("GET", &[("range", &value)], len);
            let sum = match &plan.body {
                Body::None => 0,
                Body::One(range) => range.end - range.start,
                Body::Many { parts, end } => {
                    let parts = parts.iter().map(|(head, range)| {
                        assert!(range.end <= len && range.start < range.end);
                        head.len() as u64 + range.end - range.start
                    });
                    parts.sum::<u64>() + end.len() as u64
                }
            };
            assert!(matches!(answer.status, 200 | 206 | 416));
            assert_eq!(plan.length, Some(sum), "{value} of {len}");
        }
    }
}
