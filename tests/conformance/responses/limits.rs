//! Answers at the limits and beyond (RFC 9110, section 5.4). The limits are those of requests.

use crate::cases::{ResponseCase, filled};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
const TO_VALUE: &[u8] = b"HTTP/1.1 200 OK\r\nA: ";
const AFTER_VALUE: &[u8] = b"\r\nContent-Length: 0\r\n\r\n";
const FIELD: &[u8] = b"A: b\r\n";
const AFTER_FIELDS: &[u8] = b"Content-Length: 0\r\n\r\n";
const TO_EXTENSION: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;";
const TO_TRAILERS: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";

/// A head with so many fields beside its length.
const fn with_fields(fields: usize) -> usize {
    OK.len() + fields * FIELD.len() + AFTER_FIELDS.len()
}

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::accept(
        "a_head_of_64_kib_is_accepted_in_an_answer",
        "RFC 9110, section 5.4",
        &filled::<65_536>(TO_VALUE, b"b", AFTER_VALUE),
        200,
        b"",
        true,
    ),
    ResponseCase::refuse(
        "a_head_of_64_kib_and_one_byte_is_refused",
        "RFC 9110, section 5.4",
        &filled::<65_537>(TO_VALUE, b"b", AFTER_VALUE),
    ),
    ResponseCase::refuse(
        "a_value_that_does_not_end_is_refused",
        "RFC 9110, section 5.4",
        &filled::<70_000>(TO_VALUE, b"b", b""),
    ),
    ResponseCase::refuse(
        "a_reason_that_does_not_end_is_refused",
        "RFC 9110, section 5.4",
        &filled::<70_000>(b"HTTP/1.1 200 ", b"b", b""),
    ),
    ResponseCase::accept(
        "a_head_of_100_fields_is_accepted_in_an_answer",
        "RFC 9110, section 5.4",
        &filled::<{ with_fields(99) }>(OK, FIELD, AFTER_FIELDS),
        200,
        b"",
        true,
    ),
    ResponseCase::refuse(
        "a_head_of_101_fields_is_refused",
        "RFC 9110, section 5.4",
        &filled::<{ with_fields(100) }>(OK, FIELD, AFTER_FIELDS),
    ),
    ResponseCase::truncated(
        "an_extension_that_does_not_end_breaks_the_body_off",
        "RFC 9112, section 7.1.1",
        &filled::<1000>(TO_EXTENSION, b"a", b""),
        b"",
    ),
    ResponseCase::truncated(
        "trailers_beyond_8_kib_break_the_body_off",
        "RFC 9112, section 7.1.2",
        &filled::<{ TO_TRAILERS.len() + 8300 }>(TO_TRAILERS, b"a", b": b\r\n\r\n"),
        b"hello",
    ),
];
