//! `Connection`, `Expect`, `Upgrade` and requests that follow each other (RFC 9112, section 9).

use crate::cases::RequestCase;

/// The cases.
pub(crate) const CASES: &[RequestCase] = &[
    RequestCase::accept(
        "http_1_1_goes_on",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "http_1_0_ends",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "http_1_0_with_keep_alive_goes_on",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "http_1_0_with_keep_alive_of_any_case_goes_on",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "http_1_0_with_a_keep_alive_field_alone_ends",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.0\r\nHost: a\r\nKeep-Alive: timeout=5\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "nothing_is_read_behind_close",
        "RFC 9112, section 9.6",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_has_no_case",
        "RFC 9110, section 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_in_a_list_is_found",
        "RFC 9110, section 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a , close\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_in_a_second_field_is_found",
        "RFC 9110, section 5.3",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nConnection: close\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_among_empty_members_is_found",
        "RFC 9110, section 5.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ,, close,\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_goes_before_keep_alive",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_goes_before_a_later_keep_alive",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "close_in_http_1_0_goes_before_keep_alive",
        "RFC 9112, section 9.3",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "a_word_that_begins_with_close_is_another_option",
        "RFC 9110, section 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_empty_connection_field_changes_nothing",
        "RFC 9110, section 5.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "proxy_connection_changes_nothing",
        "RFC 9112, section C.2.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "what_follows_close_is_not_even_looked_at",
        "RFC 9112, section 9.6",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\0\n\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "a_body_goes_before_close",
        "RFC 9112, section 9.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n\
          helloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::accept(
        "a_nominated_content_length_still_delimits",
        "RFC 9110, section 7.6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\
          \r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_nominated_transfer_encoding_still_delimits",
        "RFC 9110, section 7.6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\
          Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_nominated_host_is_still_the_host",
        "RFC 9110, section 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::refuse(
        "a_nominated_length_beside_chunked_is_still_refused",
        "RFC 9112, section 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\
          Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        400,
    ),
    RequestCase::refuse(
        "a_nominated_second_host_is_still_refused",
        "RFC 9112, section 3.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\nHost: b\r\n\r\n",
        400,
    ),
    RequestCase::accept(
        "a_nominated_connection_changes_nothing",
        "RFC 9110, section 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: connection\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_nominated_field_that_is_not_there_changes_nothing",
        "RFC 9110, section 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "three_requests_in_one_piece_are_three",
        "RFC 9112, section 9.3.2",
        b"GET /next HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/next", b""), ("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "a_post_between_gets_is_read_in_order",
        "RFC 9112, section 9.3.2",
        b"GET /next HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n\
          Content-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("GET", "/next", b""), ("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_upgrade_without_its_option_is_ignored",
        "RFC 9110, section 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_upgrade_in_http_1_0_is_ignored",
        "RFC 9110, section 7.8",
        b"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "an_upgrade_is_a_request",
        "RFC 9110, section 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "an_option_to_upgrade_without_the_field_changes_nothing",
        "RFC 9110, section 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_upgrade_to_h2c_is_a_request",
        "RFC 9110, section 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\
          Connection: Upgrade, HTTP2-Settings\r\n\r\n",
        &[("GET", "/", b"")],
    ),
    RequestCase::accept(
        "an_upgrade_with_a_body_has_its_body",
        "RFC 9110, section 7.8",
        b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
          Content-Length: 5\r\n\r\nhello",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::accept(
        "an_expectation_of_100_continue_is_accepted",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n\
          helloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_expectation_has_no_case",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nContent-Length: 5\r\n\r\n\
          helloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_expectation_without_a_body_is_accepted",
        "RFC 9110, section 10.1.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\nGET /next HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[("GET", "/", b""), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_expectation_before_chunks_is_accepted",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\
          \r\n5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &[("POST", "/", b"hello"), ("GET", "/next", b"")],
    ),
    RequestCase::accept(
        "an_expectation_in_http_1_0_is_ignored",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        &[("POST", "/", b"hello")],
    ),
    RequestCase::refuse(
        "an_unknown_expectation_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello",
        417,
    ),
    RequestCase::refuse(
        "an_expectation_of_200_ok_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello",
        417,
    ),
    RequestCase::refuse(
        "an_expectation_with_a_suffix_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continued\r\nContent-Length: 5\r\n\r\nhello",
        417,
    ),
    RequestCase::refuse(
        "an_expectation_with_a_parameter_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue;a=b\r\nContent-Length: 5\r\n\r\n\
          hello",
        417,
    ),
    RequestCase::refuse(
        "a_second_expectation_in_a_list_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 5\r\n\r\n\
          hello",
        417,
    ),
    RequestCase::refuse(
        "an_expectation_with_a_space_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100 continue\r\nContent-Length: 5\r\n\r\nhello",
        417,
    ),
    RequestCase::refuse(
        "a_second_expectation_in_another_field_fails",
        "RFC 9110, section 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\n\
          Content-Length: 5\r\n\r\nhello",
        417,
    ),
];
