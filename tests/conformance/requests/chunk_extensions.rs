//! Extensions of chunks (RFC 9112, section 7.1.1).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "an_extension_is_dropped",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_extension_without_a_value_is_dropped",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "several_extensions_are_dropped",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c;d=\"e\"\r\n\
          hello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_extension_in_quotes_may_have_a_semicolon",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b;c\\\"d\"\r\n\
          hello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_extension_may_follow_a_semicolon_and_a_space",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5; a=b\r\nhello\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_extension_of_the_last_chunk_is_dropped",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0;a=b\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_extension_that_looks_like_a_size_is_dropped",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;10\r\nhello\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_space_may_stand_before_an_extension",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 ;a=b\r\nhello\r\n\
          0\r\n\r\n",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::accept(
        "a_tab_may_stand_before_an_extension",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\t;a=b\r\nhello\r\n\
          0\r\n\r\n",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::accept(
        "a_space_may_stand_before_the_last_chunk_s_extension",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0 ;a\r\n\r\n",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::refuse(
        "an_extension_with_a_bare_lf_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\
          \r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_with_a_bare_cr_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_in_quotes_with_a_line_end_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"\r\n\
          hello\"\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_with_a_nul_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\0\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_with_a_control_byte_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\x01\r\n\
          hello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_with_a_delete_byte_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\x7f\r\n\
          hello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_with_a_colon_in_place_of_its_semicolon_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5:a\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "an_extension_with_a_comma_in_place_of_its_semicolon_is_refused",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5,a\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::incomplete(
        "an_extension_without_its_line_end_needs_more",
        "RFC 9112, section 7.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b",
        0,
    ),
];
