//! Forms of `Transfer-Encoding` (RFC 9112, section 6.1).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "chunked_delimits_a_body",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "chunked_has_no_case",
        "RFC 9112, section 7",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cHuNKeD\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "the_name_transfer_encoding_has_no_case",
        "RFC 9110, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "white_space_around_chunked_is_no_part_of_it",
        "RFC 9110, section 5.6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\t chunked \t\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "chunked_needs_no_space_before_it",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_get_may_have_chunks",
        "RFC 9112, section 6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::refuse(
        "chunked_in_http_1_0_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_in_http_1_0_with_keep_alive_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          Connection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_unknown_coding_in_http_1_0_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_twice_in_a_list_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_twice_in_two_fields_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_around_a_coding_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip, chunked\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_before_identity_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_before_gzip_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_before_another_field_s_coding_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_empty_transfer_encoding_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_transfer_encoding_of_a_comma_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_before_an_empty_member_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_behind_an_empty_member_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "chunked_beside_an_empty_field_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "gzip_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "gzip_before_chunked_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "identity_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        501,
    ),
    RequestCase::refuse(
        "identity_before_chunked_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "deflate_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: deflate\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        501,
    ),
    RequestCase::refuse(
        "a_word_that_ends_with_chunked_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        501,
    ),
    RequestCase::refuse(
        "a_word_that_begins_with_chunked_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        501,
    ),
    RequestCase::refuse(
        "half_of_chunked_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunk\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_in_quotes_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_in_single_quotes_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_with_a_parameter_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_with_an_empty_parameter_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_behind_a_word_and_a_space_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_with_a_space_in_it_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chu nked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_with_a_tab_in_it_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chu\tnked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_before_a_semicolon_and_a_word_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked; identity\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_with_a_kelvin_sign_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_with_the_high_bit_set_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xe3hunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "chunked_behind_a_no_break_space_is_an_unknown_coding",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "an_unknown_coding_in_a_field_before_chunked_is_unknown",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "a_vertical_tab_before_chunked_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_vertical_tab_behind_chunked_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_form_feed_before_chunked_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0cchunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_nul_behind_chunked_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_space_behind_the_name_transfer_encoding_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_space_before_the_name_transfer_encoding_is_refused",
        "RFC 9112, section 5.2",
        b"POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "a_fold_before_chunked_is_refused",
        "RFC 9112, section 5.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_fold_before_the_colon_is_refused",
        "RFC 9112, section 5.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n : chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::accept(
        "te_does_not_delimit_a_body",
        "RFC 9110, section 10.1.4",
        b"GET / HTTP/1.1\r\nHost: a\r\nTE: chunked\r\nConnection: TE\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "content_encoding_does_not_delimit_a_body",
        "RFC 9110, section 8.4",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: chunked\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
];
