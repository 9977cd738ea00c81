//! Answers that never have a body (RFC 9112, section 6.3, rule 1).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::accept(
        "a_204_has_no_body",
        "RFC 9110, section 15.3.5",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        204,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_204_with_a_length_of_zero_has_no_body",
        "RFC 9110, section 15.3.5",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        204,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_204_with_a_length_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        204,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_204_with_chunked_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        204,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_204_with_bytes_behind_it_is_not_reused",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        204,
        b"",
        false,
    ),
    ResponseCase::accept(
        "a_304_has_no_body",
        "RFC 9110, section 15.4.5",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        304,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_304_with_a_length_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        304,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_304_with_chunked_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        304,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_304_with_bytes_behind_it_is_not_reused",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
        304,
        b"",
        false,
    ),
    ResponseCase::accept(
        "a_304_with_close_is_not_reused",
        "RFC 9112, section 9.6",
        b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
        304,
        b"",
        false,
    ),
    ResponseCase::accept(
        "a_205_with_a_length_of_zero_has_no_body",
        "RFC 9110, section 15.3.6",
        b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
        205,
        b"",
        true,
    ),
    ResponseCase::refuse(
        "a_204_with_a_length_and_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_304_with_two_lengths_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_204_with_a_malformed_length_is_refused",
        "RFC 9110, section 8.6",
        b"HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n",
    ),
    ResponseCase::accept(
        "an_answer_to_head_has_no_body",
        "RFC 9110, section 9.3.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        200,
        b"",
        true,
    )
    .to("HEAD"),
    ResponseCase::accept(
        "an_answer_to_head_without_a_length_has_no_body",
        "RFC 9110, section 9.3.2",
        b"HTTP/1.1 200 OK\r\n\r\n",
        200,
        b"",
        true,
    )
    .to("HEAD"),
    ResponseCase::accept(
        "an_answer_to_head_with_chunked_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        200,
        b"",
        true,
    )
    .to("HEAD"),
    ResponseCase::accept(
        "an_error_to_head_has_no_body",
        "RFC 9110, section 9.3.2",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n",
        404,
        b"",
        true,
    )
    .to("HEAD"),
    ResponseCase::accept(
        "an_answer_to_head_with_bytes_behind_it_is_not_reused",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"",
        false,
    )
    .to("HEAD"),
    ResponseCase::accept(
        "an_answer_to_head_of_http_1_0_is_not_reused",
        "RFC 9112, section 9.3",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        200,
        b"",
        false,
    )
    .to("HEAD"),
    ResponseCase::refuse(
        "an_answer_to_head_with_a_length_and_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .to("HEAD"),
    ResponseCase::refuse(
        "an_answer_to_head_with_two_lengths_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    )
    .to("HEAD"),
    ResponseCase::accept(
        "an_answer_to_options_has_its_body",
        "RFC 9110, section 9.3.7",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    )
    .to("OPTIONS"),
    ResponseCase::accept(
        "a_second_answer_to_one_request_is_not_read",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\
          Content-Length: 5\r\n\r\nadmin",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "bytes_behind_a_length_are_no_body",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "bytes_behind_the_last_chunk_are_no_body",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nx",
        200,
        b"hello",
        false,
    ),
    ResponseCase::accept(
        "an_empty_line_behind_a_body_is_not_reused",
        "RFC 9112, section 9.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\n",
        200,
        b"hello",
        false,
    ),
];
