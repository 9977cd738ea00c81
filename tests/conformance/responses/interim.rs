//! Interim answers (RFC 9110, section 15.2).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::accept(
        "a_100_goes_before_the_answer",
        "RFC 9110, section 15.2.1",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    )
    .after(&[100]),
    ResponseCase::accept(
        "a_100_without_a_reason_goes_before_the_answer",
        "RFC 9112, section 4",
        b"HTTP/1.1 100\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    )
    .after(&[100]),
    ResponseCase::accept(
        "a_102_goes_before_the_answer",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    )
    .after(&[102]),
    ResponseCase::accept(
        "a_103_goes_before_the_answer",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    )
    .after(&[103]),
    ResponseCase::accept(
        "several_103s_go_before_the_answer",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\
          Link: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    )
    .after(&[103, 103, 103]),
    ResponseCase::accept(
        "ten_interim_answers_go_before_the_answer",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 102\r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 102\r\n\r\nHTTP/1.1 103\r\n\r\n\
          HTTP/1.1 102\r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 102\r\n\r\nHTTP/1.1 103\r\n\r\n\
          HTTP/1.1 102\r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 426 x\r\nUpgrade: x\r\n\
          Connection: upgrade\r\nContent-Length: 0\r\n\r\n",
        426,
        b"",
        true,
    )
    .after(&[102, 103, 102, 103, 102, 103, 102, 103, 102, 103]),
    ResponseCase::accept(
        "a_100_and_a_103_go_before_the_answer",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
        true,
    )
    .after(&[100, 103]),
    ResponseCase::accept(
        "an_unknown_interim_status_goes_before_the_answer",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 199 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    )
    .after(&[199]),
    ResponseCase::accept(
        "an_interim_answer_with_a_length_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\
          \r\nhello",
        200,
        b"hello",
        true,
    )
    .after(&[103]),
    ResponseCase::accept(
        "an_interim_answer_with_chunked_has_no_body",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        true,
    )
    .after(&[100]),
    ResponseCase::accept(
        "an_interim_answer_may_go_before_a_204",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
        204,
        b"",
        true,
    )
    .after(&[100]),
    ResponseCase::accept(
        "an_interim_answer_may_go_before_an_error",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
        500,
        b"",
        true,
    )
    .after(&[100]),
    ResponseCase::accept(
        "an_interim_answer_may_go_before_an_answer_to_head",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 5\r\n\r\n",
        200,
        b"",
        true,
    )
    .after(&[103])
    .to("HEAD"),
    ResponseCase::accept(
        "an_interim_answer_may_go_before_the_end_of_the_connection",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
        200,
        b"hello",
        false,
    )
    .after(&[100])
    .closed(),
    ResponseCase::refuse(
        "an_interim_answer_alone_is_refused",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "interim_answers_and_half_a_head_are_refused",
        "RFC 9112, section 8",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-",
    )
    .closed(),
    ResponseCase::refuse(
        "a_malformed_answer_behind_an_interim_one_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2x0 OK\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_body_behind_an_interim_answer_is_refused",
        "RFC 9112, section 6.3",
        b"HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\
          Content-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_interim_answer_with_a_length_and_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"HTTP/1.1 100 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_interim_answer_with_a_fold_is_refused",
        "RFC 9112, section 5.2",
        b"HTTP/1.1 103 x\r\nLink: </a>\r\n ; b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\
          \r\n",
    ),
    ResponseCase::refuse(
        "an_interim_answer_with_a_bare_lf_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_empty_line_behind_an_interim_answer_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
];
