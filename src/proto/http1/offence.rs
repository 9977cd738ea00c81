//! What a log tells of a request that was refused: the line with the fault, and what else can be
//! found without understanding the request.

use std::borrow::Cow;

use super::Refusal;
use super::framing::{Declared, trim};
use crate::proto::http::{is_secret, is_token};

/// Bytes of each text that are kept.
pub(super) const TEXT_MAX: usize = 256;

/// A refused request. The texts are as they came, cut to 256 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offence {
    /// Its first line.
    pub request_line: Box<[u8]>,
    /// The line that breaks the rule.
    pub line: Box<[u8]>,
    /// The value of the first `host` field.
    pub host: Box<[u8]>,
}

impl Offence {
    /// Looks at what has come of a request that was refused. Without a rule, what came is only not
    /// whole.
    #[must_use]
    pub fn of(input: &[u8], rule: Option<Refusal>) -> Self {
        let first = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        let input = first.and_then(|at| input.get(at..)).unwrap_or_default();
        let mut lines = lines(input);
        let request_line = lines.next().unwrap_or_default();
        let fields = lines.take_while(|line| !line.text.is_empty());
        let host = named(fields.clone(), b"host").next().unwrap_or_default();
        let line = match rule {
            Some(Refusal::BareLineFeed) if request_line.is_bare => request_line,
            Some(rule) => find(rule, fields.clone(), request_line).unwrap_or(request_line),
            None => request_line,
        };
        // A line that begins with white space goes on with the field before it.
        let is_before = |other: &Line<'_>| !std::ptr::eq(other.text.as_ptr(), line.text.as_ptr());
        let before = fields.take_while(is_before);
        let owner = before.filter(|other| !is_folded(other.text)).last().unwrap_or_default();
        Self {
            request_line: without_secret(request_line.text, b""),
            line: without_secret(line.text, owner.text),
            host: cut(&without_user(value(host.text))),
        }
    }
}

/// A line without its end.
#[derive(Debug, Clone, Copy, Default)]
struct Line<'a> {
    text: &'a [u8],
    /// It ends with LF alone.
    is_bare: bool,
}

fn lines(input: &[u8]) -> impl Iterator<Item = Line<'_>> + Clone {
    input.split_inclusive(|byte| *byte == b'\n').map(|line| match line {
        [text @ .., b'\r', b'\n'] | [text @ .., b'\r'] => Line { text, is_bare: false },
        [text @ .., b'\n'] => Line { text, is_bare: true },
        text => Line { text, is_bare: false },
    })
}

/// The line of a field that breaks a rule, if it is one of a field.
fn find<'a>(
    rule: Refusal,
    mut fields: impl Iterator<Item = Line<'a>> + Clone,
    request_line: Line<'a>,
) -> Option<Line<'a>> {
    match rule {
        Refusal::BareLineFeed => fields.find(|line| line.is_bare),
        Refusal::FieldName => fields.find(|line| !is_token(name(line.text).unwrap_or_default())),
        Refusal::FieldValue => {
            let is_wrong = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
            fields.find(|line| line.text.iter().any(is_wrong))
        }
        // What takes the most room is most likely what is too large.
        Refusal::HeadTooLarge => fields.chain([request_line]).max_by_key(|line| line.text.len()),
        Refusal::Host(_) => named(fields, b"host").next(),
        Refusal::HostRepeated => named(fields, b"host").nth(1),
        Refusal::LengthInvalid => named(fields, b"content-length")
            .find(|line| Declared::default().note_length(value(line.text)).is_err()),
        Refusal::LengthRepeated => named(fields, b"content-length").nth(1),
        Refusal::LengthWithCoding
        | Refusal::CodingInHttp10
        | Refusal::CodingUnknown
        | Refusal::CodingOrder => named(fields, b"transfer-encoding").last(),
        Refusal::Expectation => named(fields, b"expect").last(),
        Refusal::EmptyLines
        | Refusal::RequestLine
        | Refusal::StatusLine
        | Refusal::Version
        | Refusal::VersionUnsupported
        | Refusal::TargetForm
        | Refusal::Target(_)
        | Refusal::TargetTooLong
        | Refusal::TooManyFields
        | Refusal::HostMissing
        | Refusal::BodyTooLarge
        | Refusal::ChunkSize
        | Refusal::ChunkExtension
        | Refusal::ChunkEnd
        | Refusal::Trailers => None,
    }
}

/// The name of a field, as it came.
fn name(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().position(|byte| *byte == b':')?;
    line.get(..end)
}

/// The value of a field, without white space around it.
fn value(line: &[u8]) -> &[u8] {
    trim(line.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default())
}

/// The fields of a name, also where there is white space around it.
fn named<'a>(
    fields: impl Iterator<Item = Line<'a>> + Clone,
    wanted: &'static [u8],
) -> impl Iterator<Item = Line<'a>> {
    fields.filter(move |line| {
        name(line.text).is_some_and(|name| trim(name).eq_ignore_ascii_case(wanted))
    })
}

/// Whether a line goes on with the field of the line before it.
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// A line, of which secrets are left out; `owner` is that of the field which a folded one goes on
/// with.
fn without_secret(line: &[u8], owner: &[u8]) -> Box<[u8]> {
    let is_secret = |name: &[u8]| is_secret(trim(name));
    let of = if is_folded(line) { owner } else { line };
    // The colon may be what is missing.
    let end = of.iter().position(|byte| matches!(byte, b':' | b' ' | b'\t')).unwrap_or(of.len());
    let word = of.get(..end).unwrap_or_default();
    let named = name(of).filter(|name| is_secret(name));
    match named.or_else(|| Some(word).filter(|word| is_secret(word))) {
        Some(name) => [cut(name).as_ref(), b": (not shown)"].concat().into(),
        None => cut(&without_user(line)),
    }
}

/// A text without what may be a user and a password before a host.
fn without_user(text: &[u8]) -> Cow<'_, [u8]> {
    let begin = text.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let rest = text.get(begin..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b' ' | b'\t'));
    let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
        return Cow::Borrowed(text);
    };
    let before = text.get(..begin).unwrap_or_default();
    Cow::Owned([before, b"(not shown)", rest.get(at..).unwrap_or_default()].concat())
}

fn cut(text: &[u8]) -> Box<[u8]> {
    text.get(..text.len().min(TEXT_MAX)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::RequestHead;
    use crate::proto::http1::{HeadLimits, RequestReader};

    /// The offence of what the reader refuses.
    fn offence(input: &str) -> (&'static str, String, String, String) {
        let mut head = RequestHead::default();
        let limits = HeadLimits { size: 4096, fields: 8, target: 1024, ..HeadLimits::default() };
        let read = RequestReader::default().read(input.as_bytes(), &limits, &mut head);
        let rule = read.expect_err(input);
        let Offence { request_line, line, host } = Offence::of(input.as_bytes(), Some(rule));
        let [request_line, line, host] =
            [request_line, line, host].map(|text| String::from_utf8_lossy(&text).into_owned());
        (rule.name(), request_line, line, host)
    }

    #[test]
    fn the_line_that_breaks_the_rule_is_found() {
        let start = "GET /a HTTP/1.1\r\nHost: h.example\r\n";
        for (rest, rule, line) in [
            ("Bad Name: x\r\n\r\n", "field_name", "Bad Name: x"),
            ("A: b\r\n folded: c\r\n\r\n", "field_name", " folded: c"),
            ("no colon\r\n\r\n", "field_name", "no colon"),
            ("A: b\x01c\r\n\r\n", "field_value", "A: b\x01c"),
            ("A: b\r\nHost: other\r\n\r\n", "host_repeated", "Host: other"),
            ("Content-Length: x\r\n\r\n", "length_invalid", "Content-Length: x"),
            (
                "Content-Length: 00000000000000000001\r\n\r\n",
                "length_invalid",
                "Content-Length: 00000000000000000001",
            ),
            (
                "Content-Length: 1\r\nContent-length: 2\r\n\r\n",
                "length_repeated",
                "Content-length: 2",
            ),
            (
                "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "length_with_coding",
                "Transfer-Encoding: chunked",
            ),
            ("Expect: miracles\r\n\r\n", "expectation", "Expect: miracles"),
            ("A: b\nC: d\r\n\r\n", "bare_line_feed", "A: b"),
            ("Cookie: a\x01secret\r\n\r\n", "field_value", "Cookie: (not shown)"),
            ("Cookie: a=1;\r\n\tsecret\r\n\r\n", "field_name", "Cookie: (not shown)"),
            ("Cookie: a\r\n b\r\n\tsecret\r\n\r\n", "field_name", "Cookie: (not shown)"),
            ("Authorization Bearer secret\r\n\r\n", "field_name", "Authorization: (not shown)"),
            (&"A: b\r\n".repeat(9), "too_many_fields", "GET /a HTTP/1.1"),
        ] {
            let rest =
                if rest.ends_with("\r\n\r\n") { rest.to_owned() } else { rest.to_owned() + "\r\n" };
            let input = format!("{start}{rest}");
            let found = offence(&input);
            let expected = (rule, "GET /a HTTP/1.1".into(), line.into(), "h.example".into());
            assert_eq!(found, expected, "{input:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_as_it_came_and_cut() {
        let (rule, request_line, line, host) = offence("\r\nGET /a  b HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((rule, &*host), ("request_line", "h"));
        assert_eq!((&*request_line, &*line), ("GET /a  b HTTP/1.1", "GET /a  b HTTP/1.1"));
        let (rule, request_line, ..) = offence("\x16\x03\x01\x02\x00\x01");
        assert_eq!((rule, request_line.len()), ("request_line", 6));
        let long = format!("GET /{}", "a".repeat(2000));
        let (rule, request_line, line, host) = offence(&long);
        assert_eq!((rule, request_line.len(), &*host), ("target_too_long", TEXT_MAX, ""));
        assert_eq!(line, request_line);
        let large = format!("GET / HTTP/1.1\r\nA: {}\r\nHost: h\r\n\r\n", "b".repeat(5000));
        let (rule, _, line, host) = offence(&large);
        assert_eq!((rule, line.len(), &*host), ("head_too_large", TEXT_MAX, "h"));
        assert!(line.starts_with("A: bbb"), "{line}");
        for (input, line, host) in [
            ("Authorization: Bearer secret\r\n\r\n", "Authorization: (not shown)", ""),
            (
                "GET http://user:secret@a/b@c HTTP/1.1\r\nHost: user:secret@a\r\n\r\n",
                "GET http://(not shown)@a/b@c HTTP/1.1",
                "(not shown)@a",
            ),
            ("GET /a@b HTTP/1.1\r\n\r\n", "GET /a@b HTTP/1.1", ""),
        ] {
            let (_, request_line, _, found) = offence(input);
            assert_eq!((&*request_line, &*found), (line, host));
        }
        let nothing = Offence::of(b"", Some(Refusal::EmptyLines));
        assert_eq!(nothing, Offence::default());
        let part = Offence::of(b"GET / HTTP/1.1\r\nHost: h\r\nAccep", None);
        assert_eq!((&*part.line, &*part.host), (&b"GET / HTTP/1.1"[..], &b"h"[..]));
    }
}
