//! Chunks and trailers of answers (RFC 9112, section 7.1).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::accept(
        "no_chunk_but_the_last_is_an_empty_body_in_an_answer",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "chunks_are_put_together_in_an_answer",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n006\r\n world\r\n\
          0\r\n\r\n",
        200,
        b"hello world",
        true,
    ),
    ResponseCase::accept(
        "an_extension_is_dropped_in_an_answer",
        "RFC 9112, section 7.1.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\n0;d\r\n\
          \r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_size_may_have_sixteen_digits_in_an_answer",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000005\r\nhello\r\n\
          0\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_trailer_is_accepted_in_an_answer",
        "RFC 9112, section 7.1.2",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_content_length_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Length: 9\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_transfer_encoding_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_connection_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Connection: close\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_host_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: b\r\n\
          \r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_content_type_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Type: a/b\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_cache_control_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Cache-Control: no-store\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_content_encoding_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Encoding: gzip\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_content_range_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Range: bytes 0-1/2\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_forbidden_trailer_trailer_changes_nothing_in_an_answer",
        "RFC 9110, section 6.5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Trailer: X\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::truncated(
        "a_first_size_with_a_prefix_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"",
    ),
    ResponseCase::truncated(
        "a_first_size_with_a_sign_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        b"",
    ),
    ResponseCase::truncated(
        "a_first_size_with_a_space_before_it_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        b"",
    ),
    ResponseCase::accept(
        "a_first_size_may_have_a_space_behind_it",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::truncated(
        "a_first_size_with_a_letter_that_is_no_digit_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5z\r\nhello\r\n0\r\n\r\n",
        b"",
    ),
    ResponseCase::truncated(
        "a_first_size_with_seventeen_digits_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n\
          0\r\n\r\n",
        b"",
    ),
    ResponseCase::truncated(
        "a_first_size_with_nothing_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        b"",
    ),
    ResponseCase::truncated(
        "a_malformed_second_size_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\nworld\r\n\
          0\r\n\r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_size_ended_by_a_bare_lf_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\nworld\r\n0\r\n\
          \r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_chunk_ended_by_a_bare_lf_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_chunk_longer_than_its_size_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        b"hell",
    ),
    ResponseCase::accept(
        "a_space_may_stand_before_an_extension_in_an_answer",
        "RFC 9112, section 7.1.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5 ;a\r\nworld\r\n\
          0\r\n\r\n",
        200,
        b"helloworld",
        true,
    ),
    ResponseCase::truncated(
        "an_extension_with_a_control_byte_breaks_the_body_off",
        "RFC 9112, section 7.1.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5;a=\x01\r\n\
          world\r\n0\r\n\r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "an_empty_line_between_chunks_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\n5\r\n\
          world\r\n0\r\n\r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_last_empty_line_of_a_bare_lf_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_trailer_with_a_space_before_its_colon_breaks_the_body_off",
        "RFC 9112, section 5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T : 1\r\n\
          \r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_folded_trailer_breaks_the_body_off",
        "RFC 9112, section 5.2",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\
          \x202\r\n\r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_trailer_with_an_empty_name_breaks_the_body_off",
        "RFC 9112, section 5.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n: 1\r\n\r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "a_trailer_with_a_nul_breaks_the_body_off",
        "RFC 9110, section 5.5",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: \0\r\n\
          \r\n",
        b"hello",
    ),
    ResponseCase::truncated(
        "an_answer_in_place_of_a_size_breaks_the_body_off",
        "RFC 9112, section 7.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          HTTP/1.1 200 OK\r\n\r\n",
        b"hello",
    ),
];
