//! Answers that are not all there when the connection ends (RFC 9112, section 8).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::refuse("no_answer_at_all_is_refused", "RFC 9112, section 8", b"").closed(),
    ResponseCase::refuse("half_a_status_line_is_refused", "RFC 9112, section 8", b"HTTP/1.1 20")
        .closed(),
    ResponseCase::refuse(
        "a_status_line_alone_is_refused",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "fields_without_an_empty_line_are_refused",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_head_without_its_last_lf_is_refused",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r",
    )
    .closed(),
    ResponseCase::truncated(
        "a_body_without_its_last_byte_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"hell",
    )
    .closed(),
    ResponseCase::truncated(
        "a_body_without_a_byte_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"",
    )
    .closed(),
    ResponseCase::truncated(
        "a_body_of_http_1_0_without_its_last_byte_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"hell",
    )
    .closed(),
    ResponseCase::truncated(
        "a_body_behind_an_interim_answer_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"hell",
    )
    .closed(),
    ResponseCase::truncated(
        "a_body_with_close_is_truncated_all_the_same",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhell",
        b"hell",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_no_chunk_at_all_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_half_a_size_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_a_size_alone_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        b"",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_half_a_chunk_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"hel",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_a_chunk_without_its_line_end_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_a_chunk_without_its_lf_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_no_last_chunk_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_half_a_last_size_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_no_last_empty_line_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_half_a_last_empty_line_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_half_a_trailer_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: ",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_trailers_without_their_empty_line_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n",
        b"hello",
    )
    .closed(),
    ResponseCase::truncated(
        "a_chunked_body_with_half_an_extension_is_truncated",
        "RFC 9112, section 8",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5;a",
        b"hello",
    )
    .closed(),
];
