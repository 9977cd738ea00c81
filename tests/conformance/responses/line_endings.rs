//! Ends of lines and fields of answers (RFC 9112, sections 2.2 and 5).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::refuse(
        "a_bare_lf_behind_the_status_line_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_bare_lf_behind_a_field_in_an_answer_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
    ),
    ResponseCase::refuse(
        "a_bare_lf_as_the_empty_line_in_an_answer_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    ),
    ResponseCase::refuse(
        "bare_lfs_everywhere_in_an_answer_are_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    ),
    ResponseCase::refuse(
        "a_bare_lf_before_the_status_line_is_refused",
        "RFC 9112, section 2.2",
        b"\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_bare_cr_between_fields_in_an_answer_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_bare_cr_within_a_value_in_an_answer_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "two_crs_before_an_lf_in_an_answer_are_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\r\nA: b\r\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_fold_with_a_space_in_an_answer_is_refused",
        "RFC 9112, section 5.2",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_fold_with_a_tab_in_an_answer_is_refused",
        "RFC 9112, section 5.2",
        b"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "white_space_before_the_first_field_in_an_answer_is_refused",
        "RFC 9112, section 2.2",
        b"HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_space_before_a_colon_in_an_answer_is_refused",
        "RFC 9112, section 5.1",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_space_behind_the_name_of_the_length_is_refused",
        "RFC 9112, section 5.1",
        b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    ),
    ResponseCase::refuse(
        "an_empty_name_in_an_answer_is_refused",
        "RFC 9112, section 5.1",
        b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_line_without_a_colon_in_an_answer_is_refused",
        "RFC 9112, section 5.1",
        b"HTTP/1.1 200 OK\r\nA\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_name_with_a_space_is_refused",
        "RFC 9110, section 5.1",
        b"HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_name_with_a_non_ascii_byte_in_an_answer_is_refused",
        "RFC 9110, section 5.1",
        b"HTTP/1.1 200 OK\r\nA\xe9: b\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_name_with_a_control_byte_in_an_answer_is_refused",
        "RFC 9110, section 5.1",
        b"HTTP/1.1 200 OK\r\nA\x01: b\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_value_with_a_nul_in_an_answer_is_refused",
        "RFC 9110, section 5.5",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_value_with_a_control_byte_in_an_answer_is_refused",
        "RFC 9110, section 5.5",
        b"HTTP/1.1 200 OK\r\nA: b\x02c\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_value_with_a_delete_byte_in_an_answer_is_refused",
        "RFC 9110, section 5.5",
        b"HTTP/1.1 200 OK\r\nA: b\x7f\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::accept(
        "a_value_may_have_obsolete_text_in_an_answer",
        "RFC 9110, section 5.5",
        b"HTTP/1.1 200 OK\r\nA: \xe9\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_value_may_be_empty_in_an_answer",
        "RFC 9110, section 5.5",
        b"HTTP/1.1 200 OK\r\nA:\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_field_may_be_repeated",
        "RFC 9110, section 5.3",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
];
