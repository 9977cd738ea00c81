//! How many more proxies a request may pass (RFC 9110, section 7.6.2).

use crate::proto::http::{Method, RequestHead, is_secret};
use crate::proto::http1::write;

const NAME: &[u8] = b"max-forwards";

/// What to do with a request that a server would answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwards {
    /// It goes to a server.
    On,
    /// It may pass no further proxy: it is answered here.
    Ends,
    /// Its `max-forwards` is no number, or is there twice.
    Invalid,
}

/// Counts a request: its `max-forwards` becomes one less, if it has one and its method is one that
/// has. Other methods keep the field as it came.
pub fn count(head: &mut RequestHead) -> Forwards {
    if !matches!(head.method, Method::Options | Method::Trace) {
        return Forwards::On;
    }
    let mut values = head.fields.iter().filter(|field| field.name == NAME);
    let Some(value) = values.next().map(|field| field.value) else { return Forwards::On };
    if values.next().is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Forwards::Invalid;
    }
    drop(values);
    // What is above the largest number that is kept becomes that number, as the RFC allows.
    let most = value
        .iter()
        .fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    let Some(left) = most.checked_sub(1) else { return Forwards::Ends };
    head.fields.set(NAME, left.to_string().as_bytes());
    Forwards::On
}

/// Writes a request as its server received it, for the answer to `TRACE` (RFC 9110, section
/// 9.3.8), without what could give a secret away.
pub fn write_trace(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method_name().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.path().as_bytes());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.push(b' ');
    out.extend_from_slice(head.version.name().as_bytes());
    out.extend_from_slice(b"\r\n");
    write::field(b"host", head.authority().as_bytes(), out);
    for field in head.fields.iter().filter(|field| !is_secret(field.name)) {
        write::field(field.name, field.value, out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &[u8], values: &[&str]) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_method(method);
        for value in values {
            head.fields.push(NAME, value.as_bytes());
        }
        head
    }

    #[test]
    fn each_proxy_takes_one() {
        for (value, left) in [("1", "0"), ("10", "9"), ("007", "6"), ("99999999999", "4294967294")]
        {
            let mut head = request(b"OPTIONS", &[value]);
            assert_eq!(count(&mut head), Forwards::On, "{value}");
            assert_eq!(head.fields.get_named(NAME), Some(left.as_bytes()), "{value}");
        }
    }

    #[test]
    fn only_options_and_trace_are_counted() {
        for (method, values, expected) in [
            (&b"TRACE"[..], &["0"][..], Forwards::Ends),
            (b"OPTIONS", &["0"], Forwards::Ends),
            (b"OPTIONS", &["000"], Forwards::Ends),
            (b"OPTIONS", &[], Forwards::On),
            (b"GET", &["0"], Forwards::On),
            (b"GET", &["many"], Forwards::On),
            (b"TRACE", &["many"], Forwards::Invalid),
            (b"TRACE", &[""], Forwards::Invalid),
            (b"TRACE", &["-1"], Forwards::Invalid),
            (b"TRACE", &["1, 2"], Forwards::Invalid),
            (b"TRACE", &["1", "1"], Forwards::Invalid),
        ] {
            assert_eq!(count(&mut request(method, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn a_trace_tells_no_secret() {
        let mut head = request(b"TRACE", &["0"]);
        head.set_path("/a");
        head.set_authority(b"a.example");
        head.fields.push(b"authorization", b"Basic c2VjcmV0");
        head.fields.push(b"cookie", b"secret");
        let mut out = Vec::new();
        write_trace(&head, &mut out);
        assert_eq!(out, b"TRACE /a HTTP/1.1\r\nhost: a.example\r\nmax-forwards: 0\r\n\r\n");
    }
}
