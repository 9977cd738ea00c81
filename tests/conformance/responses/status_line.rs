//! Status lines (RFC 9112, section 4).

use crate::cases::ResponseCase;

/// The cases.
pub(crate) const CASES: &[ResponseCase] = &[
    ResponseCase::accept(
        "a_status_line_has_a_reason",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_status_line_needs_no_reason",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_status_line_needs_no_space_behind_the_status",
        "RFC 9112, section 4",
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_reason_may_have_spaces_and_tabs",
        "RFC 9112, section 4",
        b"HTTP/1.1 404 Not  \tFound\r\nContent-Length: 0\r\n\r\n",
        404,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_reason_may_have_obsolete_text",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 \xe9\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "a_reason_may_contradict_the_status",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 Not Found\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::accept(
        "an_unknown_status_is_accepted",
        "RFC 9110, section 15",
        b"HTTP/1.1 299 x\r\nContent-Length: 0\r\n\r\n",
        299,
        b"",
        true,
    ),
    ResponseCase::accept(
        "an_unknown_server_error_is_accepted",
        "RFC 9110, section 15",
        b"HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n",
        599,
        b"",
        true,
    ),
    ResponseCase::refuse(
        "a_status_of_two_digits_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_of_four_digits_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_of_one_digit_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 2 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_with_a_letter_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_of_letters_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_with_a_sign_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_negative_status_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_with_a_fraction_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200.1 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_missing_status_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_empty_status_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 \r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_reason_in_place_of_the_status_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_joined_to_its_reason_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "two_spaces_before_the_status_are_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_tab_before_the_status_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_tab_behind_the_status_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200\tOK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_space_before_the_version_is_refused",
        "RFC 9112, section 4",
        b" HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_reason_with_a_control_byte_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_reason_with_a_nul_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_reason_with_a_delete_byte_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 O\x7fK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_reason_with_a_bare_cr_is_refused",
        "RFC 9112, section 4",
        b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_of_zero_is_refused",
        "RFC 9110, section 15",
        b"HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "a_status_below_100_is_refused",
        "RFC 9110, section 15",
        b"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_missing_version_is_refused",
        "RFC 9112, section 2.3",
        b"200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_version_in_lower_case_is_refused",
        "RFC 9112, section 2.3",
        b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_version_without_a_minor_number_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_http_2_0_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::accept(
        "an_answer_of_http_1_2_is_treated_as_1_1",
        "RFC 9112, section 2.3",
        b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
        200,
        b"",
        true,
    ),
    ResponseCase::refuse(
        "an_answer_of_http_0_9_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_version_of_two_minor_digits_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_version_of_two_major_digits_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/01.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_version_joined_to_the_status_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/1.1200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_another_protocol_is_refused",
        "RFC 9112, section 2.3",
        b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_of_a_version_with_a_nul_is_refused",
        "RFC 9112, section 2.3",
        b"HTTP/1.1\0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_answer_without_a_head_is_refused",
        "RFC 9112, section 4",
        b"<html>hello</html>\r\n\r\n",
    )
    .closed(),
    ResponseCase::refuse(
        "a_request_line_is_no_status_line",
        "RFC 9112, section 4",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ResponseCase::refuse(
        "an_empty_line_before_an_answer_is_refused",
        "RFC 9112, section 2.2",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
];
