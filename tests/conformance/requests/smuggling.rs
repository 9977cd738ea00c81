//! Messages that two parties could delimit differently (RFC 9112, section 11.2).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::refuse(
        "cl_te_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\
          \r\n0\r\n\r\nG",
        400,
    ),
    RequestCase::refuse(
        "cl_te_with_a_hidden_request_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\nTransfer-Encoding: chunked\r\n\
          \r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "te_cl_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\
          \r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "te_cl_with_a_hidden_request_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\
          \r\n1d\r\nGET /admin HTTP/1.1\r\nX: y\r\n\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "cl_0_beside_te_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\
          \r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_length_that_agrees_with_the_chunks_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\nTransfer-Encoding: chunked\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_length_beside_an_unknown_coding_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n\
          hello",
        400,
    ),
    RequestCase::refuse(
        "a_length_beside_identity_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\
          \r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_beside_an_empty_coding_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding:\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_beside_chunked_in_http_1_0_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
          \r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_malformed_length_beside_chunked_is_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_length_beside_chunked_of_a_get_is_refused",
        "RFC 9112, section 6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
          5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse_after(
        "cl_te_behind_a_request_is_refused",
        "RFC 9112, section 11.2",
        b"GET /next HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n\
          Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        1,
        400,
    ),
    RequestCase::refuse(
        "te_te_with_an_unknown_coding_last_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          Transfer-Encoding: cow\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "te_te_with_an_unknown_coding_first_is_unknown",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow\r\n\
          Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        501,
    ),
    RequestCase::refuse(
        "te_te_in_another_case_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          transfer-encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "te_te_behind_a_bare_lf_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "te_te_behind_a_bare_cr_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: x\rTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\
          0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "te_te_behind_a_fold_is_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: x\r\n Transfer-Encoding: chunked\r\n\r\n5\r\n\
          hello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_space_before_its_colon_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_with_a_tab_before_its_colon_is_refused",
        "RFC 9112, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_length_behind_a_nul_is_refused",
        "RFC 9110, section 5.5",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: x\0\r\nContent-Length: 5\r\n\r\nhello",
        400,
    ),
    RequestCase::refuse(
        "a_folded_length_is_refused",
        "RFC 9112, section 5.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n 6\r\n\r\nhello",
        400,
    ),
    RequestCase::accept(
        "a_field_that_looks_like_a_length_is_another_one",
        "RFC 9110, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_field_that_looks_like_a_coding_is_another_one",
        "RFC 9110, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_field_with_more_than_the_name_of_a_coding_is_another_one",
        "RFC 9110, section 5.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Transfer-Encoding: chunked\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_body_that_looks_like_a_request_is_a_body",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\nGET /admin HTTP/1.1\r\n\
          Host: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_body_of_a_get_that_looks_like_a_request_is_a_body",
        "RFC 9112, section 11.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\nGET /admin HTTP/1.1\r\n\
          Host: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_chunk_that_looks_like_a_request_is_a_body",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n\
          GET /admin HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\
          \r\n",
        &[("POST", "/", b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_chunk_that_looks_like_the_last_one_is_a_body",
        "RFC 9112, section 7.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n\
          0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"0\r\n\r\n"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "bytes_behind_the_length_are_the_next_request",
        "RFC 9112, section 6.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /admin HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/admin", b"")],
    ),
    RequestCase::refuse_after(
        "bytes_behind_the_length_that_are_no_request_are_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhello(GET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        1,
        400,
    ),
    RequestCase::refuse_after(
        "bytes_behind_the_last_chunk_that_are_no_request_are_refused",
        "RFC 9112, section 11.2",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
          \r\n0\r\n\r\n",
        1,
        400,
    ),
    RequestCase::refuse_after(
        "a_body_without_a_length_is_read_as_a_request",
        "RFC 9112, section 6.3",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        1,
        400,
    ),
];
