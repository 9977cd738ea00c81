//! Forms of `Content-Length` (RFC 9110, section 8.6).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "a_length_delimits_a_body",
        "RFC 9112, section 6.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_length_of_zero_is_no_body",
        "RFC 9112, section 6.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_length_of_several_zeros_is_no_body",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "no_length_is_no_body",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_length_may_have_leading_zeros",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00005\r\n\r\n\
          helloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_length_may_have_nineteen_digits",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000005\r\n\r\n\
          helloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "white_space_around_a_length_is_no_part_of_it",
        "RFC 9110, section 5.6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 5 \t\r\n\r\n\
          helloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_length_needs_no_space_before_it",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length:5\r\n\r\nhelloGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_get_may_have_a_body",
        "RFC 9110, section 9.3.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_head_may_have_a_body",
        "RFC 9110, section 9.3.2",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("HEAD", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_unknown_method_may_have_a_body",
        "RFC 9112, section 6.3",
        b"X / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("X", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "http_1_0_may_have_a_body",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::accept(
        "a_body_may_have_any_bytes",
        "RFC 9112, section 6.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\0\r\n\n\
          \xffGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"\0\r\n\n\xff"), ("GET", "/next", b"")],
    ),
    RequestCase::refuse(
        "a_length_with_a_plus_sign_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_minus_sign_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_minus_sign_before_zero_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_hexadecimal_prefix_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_hexadecimal_digits_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: a\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_fraction_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_an_exponent_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5e0\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_an_underscore_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_group_separator_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1'000\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_space_between_digits_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_tab_between_digits_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_parameter_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5;a=b\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_quotes_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_letter_behind_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5a\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_word_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_an_asterisk_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: *\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_full_width_digits_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xef\xbc\x95\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_byte_of_obsolete_text_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\xb2\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_of_minus_one_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "an_empty_length_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_of_white_space_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_vertical_tab_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_nul_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\0\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_list_of_equal_lengths_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_list_of_different_lengths_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,6\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_list_of_one_length_and_nothing_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_list_of_nothing_and_one_length_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ,5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_repeated_equal_length_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_repeated_different_length_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_repeated_length_of_zero_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_repeated_length_in_another_case_is_refused",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_of_two_to_the_64th_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_that_wraps_to_five_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_of_twenty_digits_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00000000000000000005\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_of_forty_digits_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\n\
          Content-Length: 9999999999999999999999999999999999999999\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_of_nineteen_nines_is_too_large",
        "RFC 9110, section 15.5.14",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\nhello",
        413,
    ),
    RequestCase::refuse(
        "a_body_of_sixteen_mib_and_one_byte_is_too_large",
        "RFC 9110, section 15.5.14",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n",
        413,
    ),
    RequestCase::incomplete(
        "a_body_of_sixteen_mib_needs_all_its_bytes",
        "RFC 9110, section 15.5.14",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16777216\r\n\r\nhello",
        0,
    ),
    RequestCase::incomplete(
        "a_body_without_its_last_byte_needs_more",
        "RFC 9112, section 8",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        0,
    ),
    RequestCase::incomplete(
        "a_body_without_a_byte_needs_more",
        "RFC 9112, section 8",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        0,
    ),
    RequestCase::incomplete(
        "a_second_body_without_its_last_byte_needs_more",
        "RFC 9112, section 8",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPOST / HTTP/1.1\r\n\
          Host: a\r\nContent-Length: 5\r\n\r\nhell",
        1,
    ),
    RequestCase::refuse(
        "a_malformed_length_in_http_1_0_is_refused",
        "RFC 9110, section 8.6",
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_malformed_length_of_a_get_is_refused",
        "RFC 9110, section 8.6",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        400,
    ),
];
