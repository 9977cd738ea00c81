//! What gRPC adds to HTTP/2: calls that are told from other requests, their statuses and deadlines,
//! and answers of ours that its clients understand.
//!
//! | file | job |
//! |---|---|
//! | `binary` | binary values of metadata |
//! | `code` | the statuses of calls, and what other statuses and failures mean in them |
//! | `deadline` | `grpc-timeout` |
//! | `messages` | what is done with messages that are passed on |
//! | `web` | calls of browsers, which are translated |
//!
//! The protocol is described in gRPC's `PROTOCOL-HTTP2.md`.

mod binary;
mod code;
mod deadline;
mod messages;
mod web;

pub use self::binary::{BASE64, DETAILS, decode_binary};
pub use self::code::{Code, CodeSet};
pub use self::deadline::{parse_timeout, set_timeout, timeout_of};
pub use self::messages::{BadMessages, CallMessages};
pub use self::web::{NotBase64, WebCall};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::proto::http::{Digits, Fields, Known, Method, RequestHead};

/// The field with the status of a call: in trailers, or, where there is nothing else, in the head.
pub const STATUS: &[u8] = b"grpc-status";
/// The field with what is said of it, for people.
pub const MESSAGE: &[u8] = b"grpc-message";
/// The type of what calls and their answers carry; that of the messages may follow.
pub const CONTENT_TYPE: &[u8] = b"application/grpc";

/// Whether a request is a call of gRPC.
#[must_use]
pub fn is_call(head: &RequestHead) -> bool {
    head.method == Method::Post && head.fields.get(Known::ContentType).is_some_and(is_of_grpc)
}

/// Whether that is the type of a call: `application/grpc`, or that with `+proto` or another one
/// behind it. `application/grpc-web` is not.
#[must_use]
pub fn is_of_grpc(kind: &[u8]) -> bool {
    is_kind(kind, CONTENT_TYPE)
}

/// Whether a content type is this one, with a format or a parameter behind it or without.
fn is_kind(kind: &[u8], own: &[u8]) -> bool {
    let rest = kind
        .split_at_checked(own.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(own))
        .map(|(_, rest)| rest);
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The status that fields tell: trailers, or the head of an answer without a body.
#[must_use]
pub fn status_of(fields: &Fields) -> Option<Code> {
    fields.get_named(STATUS).map(Code::parse)
}

/// Says with which status a call ends, and why: the fields of trailers, or of a head that is all
/// there is.
pub fn write_status(code: Code, message: &str, fields: &mut Fields) {
    fields.push(STATUS, Digits::of(code.number() as u64).text());
    if !message.is_empty() {
        fields.push_with(MESSAGE, |out| write_message(message, out));
    }
}

/// The head of an answer that has nothing but a status.
pub fn describe(code: Code, message: &str, fields: &mut Fields) {
    fields.push_known(Known::ContentType, CONTENT_TYPE);
    write_status(code, message, fields);
}

/// Bytes of what is said of a status at most: it is in a head, which no window holds back.
const MESSAGE_MAX: usize = 1024;

/// What is escaped: printable ASCII stays, but for `%`.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

fn write_message(message: &str, out: &mut Vec<u8>) {
    let end = (0..=MESSAGE_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
    for part in utf8_percent_encode(&message[..end.unwrap_or(0)], ESCAPED) {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, kind: Option<&[u8]>) -> bool {
        let mut head = RequestHead::default();
        head.method = method;
        kind.into_iter().for_each(|kind| head.fields.push_known(Known::ContentType, kind));
        is_call(&head)
    }

    #[test]
    fn calls_are_told_from_other_requests() {
        let cases: [(&[u8], bool); 8] = [
            (b"application/grpc", true),
            (b"application/grpc+proto", true),
            (b"Application/GRPC+json", true),
            (b"application/grpc; charset=utf-8", true),
            (b"application/grpc-web", false),
            (b"application/grpc-web-text+proto", false),
            (b"application/grpcx", false),
            (b"application/json", false),
        ];
        for (kind, expected) in cases {
            assert_eq!(call(Method::Post, Some(kind)), expected, "{:?}", kind.escape_ascii());
        }
        assert!(!call(Method::Get, Some(b"application/grpc")));
        assert!(!call(Method::Post, None));
    }

    #[test]
    fn a_message_is_percent_encoded() {
        let cases = [
            ("no server", "no server"),
            ("100 %", "100 %25"),
            ("line\r\nnext", "line%0D%0Anext"),
            ("grün", "gr%C3%BCn"),
        ];
        for (message, expected) in cases {
            let mut out = Vec::new();
            write_message(message, &mut out);
            assert_eq!(out, expected.as_bytes(), "{message}");
        }
        let mut out = Vec::new();
        write_message(&"ü".repeat(10_000), &mut out);
        assert_eq!(out.len(), MESSAGE_MAX * 3);
    }

    #[test]
    fn an_answer_that_is_only_a_status() {
        let mut fields = Fields::default();
        describe(Code::Unavailable, "no_server", &mut fields);
        assert_eq!(fields.get(Known::ContentType), Some(&b"application/grpc"[..]));
        assert_eq!(fields.get_named(STATUS), Some(&b"14"[..]));
        assert_eq!(fields.get_named(MESSAGE), Some(&b"no_server"[..]));
        assert_eq!(status_of(&fields), Some(Code::Unavailable));
        assert_eq!(status_of(&Fields::default()), None);
    }
}
