//! Chunks and their sizes (RFC 9112, section 7.1).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "no_chunk_but_the_last_is_an_empty_body",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "chunks_are_put_together",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n\
          \x20\r\n5\r\nworld\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello world"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_size_in_lower_case_is_hexadecimal",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello world"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_size_in_upper_case_is_hexadecimal",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nB\r\nhello world\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello world"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_size_may_have_leading_zeros",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_size_may_have_sixteen_digits",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000005\r\n\
          hello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "the_last_size_may_have_several_zeros",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0000\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "the_last_size_may_have_sixteen_zeros",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0000000000000000\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_chunk_may_have_line_ends",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"\r\n\r\n"), ("GET", "/next", b"")],
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_plus_sign_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_minus_sign_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_hexadecimal_prefix_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_space_before_it_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_tab_before_it_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\t5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::accept(
        "a_chunk_size_may_have_a_space_behind_it",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\
          \r\n",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::accept(
        "a_chunk_size_may_have_a_tab_behind_it",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\t\r\nhello\r\n\
          0\r\n\r\n",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_letter_that_is_no_digit_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5g\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_an_underscore_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0_5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_dot_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5.0\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_comma_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5,5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_nul_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\0\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_vertical_tab_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\x0b5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_quotes_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\"5\"\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_non_ascii_byte_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\xb2\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_minus_sign_before_zero_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-0\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_with_a_suffix_h_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5h\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_missing_chunk_size_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_without_a_size_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;a=b\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_size_of_seventeen_digits_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          00000000000000005\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_size_of_seventeen_zeros_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          00000000000000000\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_size_that_wraps_to_five_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          10000000000000005\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_ended_by_a_bare_lf_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_ended_by_a_bare_cr_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_size_ended_by_two_crs_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_ended_by_a_bare_lf_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_ended_by_a_bare_cr_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_ended_by_two_other_bytes_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_without_an_end_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_longer_than_its_size_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_chunk_shorter_than_its_size_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "an_empty_line_between_chunks_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "the_last_size_ended_by_a_bare_lf_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_last_empty_line_of_a_bare_lf_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\n",
        400,
    ),
    RequestCase::refuse(
        "chunks_with_bare_lfs_everywhere_are_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        400,
    ),
    RequestCase::refuse_after(
        "a_malformed_chunk_behind_a_request_is_refused",
        "RFC 9112, section 7.1",
        b"GET /next HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n\
          Transfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n",
        1,
        400,
    ),
    RequestCase::refuse(
        "a_malformed_second_chunk_is_refused",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0x5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::incomplete(
        "a_chunked_body_without_a_byte_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        0,
    ),
    RequestCase::incomplete(
        "a_size_without_its_line_end_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5",
        0,
    ),
    RequestCase::incomplete(
        "a_size_without_its_lf_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r",
        0,
    ),
    RequestCase::incomplete(
        "a_chunk_without_its_last_byte_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
        0,
    ),
    RequestCase::incomplete(
        "a_chunk_without_its_line_end_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        0,
    ),
    RequestCase::incomplete(
        "a_chunk_without_its_lf_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r",
        0,
    ),
    RequestCase::incomplete(
        "chunks_without_the_last_one_need_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        0,
    ),
    RequestCase::incomplete(
        "the_last_chunk_without_its_empty_line_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        0,
    ),
    RequestCase::incomplete(
        "the_last_empty_line_without_its_lf_needs_more",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r",
        0,
    ),
];
