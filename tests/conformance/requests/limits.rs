//! Requests at the limits and beyond (RFC 9110, section 5.4; RFC 9112, section 3).
//!
//! The limits: 8 KiB of a target, 64 KiB of a head with its empty line, 100 fields of a head with
//! `Host`, 256 bytes of one chunk's extensions, 8 KiB of trailers.

use crate::cases::{RequestCase, filled};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const TO_TARGET: &[u8] = b"GET /";
const TO_QUERY: &[u8] = b"GET /?";
const TO_VALUE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nA: ";
const AFTER_TARGET: &[u8] = b" HTTP/1.1\r\nHost: a\r\n\r\n";
const FIELD: &[u8] = b"A: b\r\n";
const TO_EXTENSION: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;";
const TO_TRAILERS: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
const AFTER_EXTENSION: &[u8] = b"\r\nhello\r\n0\r\n\r\n";

/// A target of so many bytes, and what is around it.
const fn with_target(bytes: usize) -> usize {
    TO_TARGET.len() - 1 + bytes + AFTER_TARGET.len()
}

/// A head with so many fields beside `Host`.
const fn with_fields(fields: usize) -> usize {
    GET.len() + fields * FIELD.len() + 2
}

/// Extensions of so many bytes behind the `;`, and what is around them.
const fn with_extension(bytes: usize) -> usize {
    TO_EXTENSION.len() + bytes + AFTER_EXTENSION.len()
}

/// So many trailers, and what is before and behind them.
const fn with_trailers(fields: usize) -> usize {
    TO_TRAILERS.len() + fields * FIELD.len() + 2
}

const LONGEST_PATH: &[u8] = &filled::<8192>(b"/", b"a", b"");
const LONGEST_TARGET: &str = match str::from_utf8(LONGEST_PATH) {
    Ok(path) => path,
    Err(_) => panic!("it is ASCII"),
};
const TWO_EXTENSIONS: &[u8] = &filled::<{ CHUNKED.len() + 2 * 208 + 5 }>(
    CHUNKED,
    &filled::<208>(b"1;", b"a", b"\r\nb\r\n"),
    b"0\r\n\r\n",
);

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "a_target_of_8_kib_is_accepted",
        "RFC 9112, section 3",
        &filled::<{ with_target(8192) }>(TO_TARGET, b"a", AFTER_TARGET),
        &[("GET", LONGEST_TARGET, b"")],
    ),
    RequestCase::refuse(
        "a_target_of_8_kib_and_one_byte_is_too_long",
        "RFC 9112, section 3",
        &filled::<{ with_target(8193) }>(TO_TARGET, b"a", AFTER_TARGET),
        414,
    ),
    RequestCase::refuse(
        "a_target_with_a_long_query_is_too_long",
        "RFC 9110, section 15.5.15",
        &filled::<9000>(TO_QUERY, b"a", AFTER_TARGET),
        414,
    ),
    RequestCase::refuse(
        "a_target_longer_than_a_head_is_too_long",
        "RFC 9110, section 15.5.15",
        &filled::<70_000>(TO_TARGET, b"a", AFTER_TARGET),
        414,
    ),
    RequestCase::refuse(
        "a_target_that_does_not_end_is_too_long",
        "RFC 9110, section 15.5.15",
        &filled::<9000>(TO_TARGET, b"a", b""),
        414,
    ),
    RequestCase::refuse_after(
        "a_target_behind_a_request_is_too_long",
        "RFC 9110, section 15.5.15",
        &filled::<9000>(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /", b"a", AFTER_TARGET),
        1,
        414,
    ),
    RequestCase::accept(
        "a_head_of_64_kib_is_accepted",
        "RFC 9110, section 5.4",
        &filled::<65_536>(TO_VALUE, b"b", b"\r\n\r\n"),
        &[("GET", "/", b"")],
    ),
    RequestCase::refuse(
        "a_head_of_64_kib_and_one_byte_is_too_large",
        "RFC 9110, section 5.4",
        &filled::<65_537>(TO_VALUE, b"b", b"\r\n\r\n"),
        431,
    ),
    RequestCase::refuse(
        "a_value_that_does_not_end_is_too_large",
        "RFC 9110, section 5.4",
        &filled::<70_000>(TO_VALUE, b"b", b""),
        431,
    ),
    RequestCase::refuse(
        "a_name_that_does_not_end_is_too_large",
        "RFC 9110, section 5.4",
        &filled::<70_000>(GET, b"a", b""),
        431,
    ),
    RequestCase::refuse(
        "fields_that_do_not_end_are_too_large",
        "RFC 9110, section 5.4",
        &filled::<{ GET.len() + 12_000 * FIELD.len() }>(GET, FIELD, b""),
        431,
    ),
    RequestCase::refuse_after(
        "a_head_behind_a_request_is_too_large",
        "RFC 9110, section 5.4",
        &filled::<70_000>(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nA: ",
            b"b",
            b"\r\n\r\n",
        ),
        1,
        431,
    ),
    RequestCase::accept(
        "a_head_of_100_fields_is_accepted",
        "RFC 9110, section 5.4",
        &filled::<{ with_fields(99) }>(GET, FIELD, b"\r\n"),
        &[("GET", "/", b"")],
    ),
    RequestCase::refuse(
        "a_head_of_101_fields_has_too_many",
        "RFC 9110, section 5.4",
        &filled::<{ with_fields(100) }>(GET, FIELD, b"\r\n"),
        431,
    ),
    RequestCase::refuse(
        "a_head_of_5000_fields_has_too_many",
        "RFC 9110, section 5.4",
        &filled::<{ with_fields(4999) }>(GET, FIELD, b"\r\n"),
        431,
    ),
    RequestCase::accept(
        "extensions_of_250_bytes_are_dropped",
        "RFC 9112, section 7.1.1",
        &filled::<{ with_extension(250) }>(TO_EXTENSION, b"a", AFTER_EXTENSION),
        &[("POST", "/", b"hello")],
    ),
    RequestCase::refuse(
        "extensions_of_260_bytes_are_refused",
        "RFC 9112, section 7.1.1",
        &filled::<{ with_extension(260) }>(TO_EXTENSION, b"a", AFTER_EXTENSION),
        400,
    ),
    RequestCase::refuse(
        "many_short_extensions_are_refused",
        "RFC 9112, section 7.1.1",
        &filled::<{ with_extension(600) }>(TO_EXTENSION, b"a;", AFTER_EXTENSION),
        400,
    ),
    RequestCase::refuse(
        "an_extension_that_does_not_end_is_refused",
        "RFC 9112, section 7.1.1",
        &filled::<1000>(TO_EXTENSION, b"a", b""),
        400,
    ),
    RequestCase::accept(
        "each_chunk_has_its_own_limit_of_extensions",
        "RFC 9112, section 7.1.1",
        TWO_EXTENSIONS,
        &[("POST", "/", b"bb")],
    ),
    RequestCase::accept(
        "trailers_of_90_fields_are_accepted",
        "RFC 9112, section 7.1.2",
        &filled::<{ with_trailers(90) }>(TO_TRAILERS, FIELD, b"\r\n"),
        &[("POST", "/", b"")],
    ),
    RequestCase::accept(
        "trailers_of_nearly_8_kib_are_accepted",
        "RFC 9112, section 7.1.2",
        &filled::<{ TO_TRAILERS.len() + 8000 }>(TO_TRAILERS, b"a", b": b\r\n\r\n"),
        &[("POST", "/", b"")],
    ),
    RequestCase::refuse(
        "trailers_beyond_8_kib_are_refused",
        "RFC 9112, section 7.1.2",
        &filled::<{ TO_TRAILERS.len() + 8300 }>(TO_TRAILERS, b"a", b": b\r\n\r\n"),
        400,
    ),
    RequestCase::refuse(
        "trailers_that_do_not_end_are_refused",
        "RFC 9112, section 7.1.2",
        &filled::<{ with_trailers(2000) - 2 }>(TO_TRAILERS, FIELD, b""),
        400,
    ),
];
