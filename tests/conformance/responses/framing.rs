//! How answers are delimited (RFC 9112, section 6.3).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::accept(
        "a_length_delimits_a_body_in_an_answer",
        "RFC 9112, section 6.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_length_of_zero_is_no_body_in_an_answer",
        "RFC 9112, section 6.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_length_may_have_leading_zeros_in_an_answer",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\nhello",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "chunked_delimits_a_body_in_an_answer",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "chunked_has_no_case_in_an_answer",
        "RFC 9112, section 7",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_body_may_end_with_the_connection",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        200,
        b"hello",
        false,
    )
    .closed(),
    ResponseCase::accept(
        "an_empty_body_may_end_with_the_connection",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\n\r\n",
        200,
        b"",
        false,
    )
    .closed(),
    ResponseCase::accept(
        "a_body_that_looks_like_an_answer_is_a_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        200,
        b"HTTP/1.1 204 No\r\n\r\n",
        false,
    )
    .closed(),
    ResponseCase::accept(
        "close_ends_the_connection",
        "RFC 9112, section 9.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "close_in_a_list_ends_the_connection",
        "RFC 9110, section 7.6.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x-a, Close\r\n\r\nhello",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "close_goes_before_keep_alive_in_an_answer",
        "RFC 9112, section 9.3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, close\r\n\r\nhello",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "a_closed_connection_is_not_reused",
        "RFC 9112, section 9.5",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        false,
    )
    .closed(),
    ResponseCase::accept(
        "a_closed_connection_behind_the_last_chunk_is_not_reused",
        "RFC 9112, section 9.5",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        false,
    )
    .closed(),
    ResponseCase::accept(
        "a_nominated_length_still_delimits",
        "RFC 9110, section 7.6.1",
        b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "a_nominated_coding_still_delimits",
        "RFC 9110, section 7.6.1",
        b"HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "an_answer_of_http_1_0_is_not_reused",
        "RFC 9112, section 9.3",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "an_answer_of_http_1_0_with_keep_alive_is_reused",
        "RFC 9112, section 9.3",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
        200,
        b"hello",
        true,
    ),
    ResponseCase::accept(
        "an_answer_of_http_1_0_may_end_with_the_connection",
        "RFC 9112, section 6.3",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        200,
        b"hello",
        false,
    )
    .closed(),
    ResponseCase::accept(
        "keep_alive_does_not_delimit_an_answer_of_http_1_0",
        "RFC 9112, section 6.3",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        200,
        b"hello",
        false,
    )
    .closed(),
    ResponseCase::refuse(
        "chunked_in_http_1_0_in_an_answer_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_length_before_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_length_behind_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_length_of_zero_beside_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_length_beside_an_unknown_coding_in_an_answer_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_repeated_different_length_in_an_answer_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ),
    ResponseCase::refuse(
        "a_repeated_equal_length_in_an_answer_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_list_of_equal_lengths_in_an_answer_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_list_of_different_lengths_in_an_answer_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5,6\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_a_plus_sign_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_a_minus_sign_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_a_hexadecimal_prefix_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_a_fraction_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5.0\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_a_word_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_a_space_between_digits_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_length_with_twenty_digits_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "an_empty_length_in_an_answer_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "a_coding_of_gzip_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_gzip_before_chunked_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_identity_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_chunked_before_gzip_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_chunked_twice_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_chunked_with_a_parameter_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_a_vertical_tab_before_chunked_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_a_word_that_ends_with_chunked_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_coding_of_a_comma_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ,\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "an_empty_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "chunked_in_two_fields_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n\
          5\r\nhello\r\n0\r\n\r\n",
    ),
];
