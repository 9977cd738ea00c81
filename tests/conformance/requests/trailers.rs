//! Trailers (RFC 9112, section 7.1.2; RFC 9110, section 6.5).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "a_trailer_is_accepted",
        "RFC 9112, section 7.1.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "several_trailers_are_accepted",
        "RFC 9112, section 7.1.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: 1\r\nX-T: 2\r\nY:\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_trailer_may_have_obsolete_text",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: \xe9\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_transfer_encoding_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Transfer-Encoding: chunked\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_content_length_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Length: 99\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_host_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Host: b\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_connection_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Connection: close\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_trailer_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Trailer: X\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_expect_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Expect: 100-continue\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_authorization_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Authorization: Basic x\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_content_type_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Type: a/b\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_content_encoding_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Encoding: gzip\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_upgrade_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Upgrade: h2c\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_forbidden_trailer_te_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          TE: trailers\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_malformed_length_among_the_trailers_changes_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Length: +x\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "trailers_that_disagree_about_the_length_change_nothing",
        "RFC 9110, section 6.5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Content-Length: 1\r\nContent-Length: 2\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::refuse(
        "a_trailer_with_a_space_before_its_colon_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T : 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_space_before_its_name_is_refused",
        "RFC 9112, section 5.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \x20X-T: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_folded_trailer_is_refused",
        "RFC 9112, section 5.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: 1\r\n 2\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_an_empty_name_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          : 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_without_a_colon_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_space_in_its_name_is_refused",
        "RFC 9110, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X T: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_non_ascii_name_is_refused",
        "RFC 9110, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X\xe9: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_control_byte_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: \x01\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_nul_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: \0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_bare_cr_is_refused",
        "RFC 9112, section 2.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: 1\r2\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_trailer_with_a_bare_lf_is_refused",
        "RFC 9112, section 2.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          X-T: 1\nY: 2\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_request_line_among_the_trailers_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          GET /admin HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_forbidden_trailer_with_a_space_before_its_colon_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          Transfer-Encoding : chunked\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "trailers_ended_by_a_bare_lf_are_refused",
        "RFC 9112, section 2.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::incomplete(
        "a_trailer_without_its_line_end_needs_more",
        "RFC 9112, section 7.1.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1",
        0,
    ),
    RequestCase::incomplete(
        "trailers_without_their_empty_line_need_more",
        "RFC 9112, section 7.1.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n",
        0,
    ),
    RequestCase::incomplete(
        "trailers_without_their_last_lf_need_more",
        "RFC 9112, section 7.1.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r",
        0,
    ),
];
