//! The client against servers that do as a script says.

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;
use crate::client::scripted::{PATIENCE, Peer, Script, Server, block};
use crate::client::{Received, RetryPolicy, TransferError};
use crate::proto::http::Version;
use crate::proto::http2::ErrorCode;
use crate::proto::http2::frame::{self, flag, kind};

fn once() -> Http {
    Http::default()
}

fn tries(count: u32) -> Http {
    let retry = RetryPolicy { tries_max: count, backoff: Duration::ZERO, ..RetryPolicy::default() };
    Http::new(HttpOptions { retry, ..HttpOptions::default() })
}

fn body_of(mut answer: Answer<'_>) -> Vec<u8> {
    answer.collect(PATIENCE).unwrap()
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";

#[test]
fn exchanges_follow_each_other_on_one_connection() {
    let server = Server::one(|peer| {
        let head = peer.head();
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
        assert!(head.contains("\r\nuser-agent: ringway/"), "{head}");
        peer.say(HELLO);
        let head = peer.head();
        assert!(head.starts_with("HEAD "), "{head}");
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let head = peer.head();
        assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(peer.until(b"\r\nx: y\r\n\r\n"), "3\r\nabc\r\n0\r\nx: y\r\n\r\n");
        peer.say(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        peer.say(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n");
        peer.say(b"2\r\nno\r\n0\r\nSum: 1\r\n\r\n");
        assert_eq!(peer.head().lines().next(), Some("POST /a?b HTTP/1.1"));
        peer.say(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(peer.rest(), b"");
    });
    let mut http = once();
    let url = server.url("http");
    let mut answer = http.get(&url, PATIENCE).unwrap();
    assert_eq!((answer.status(), answer.version()), (200, Version::Http11));
    assert_eq!(answer.length(), Some(5));
    assert_eq!((answer.field("x-a"), answer.peer()), (Some(&b"b"[..]), server.authority.clone()));
    assert_eq!(answer.collect(PATIENCE).unwrap(), b"hello");
    assert_eq!(http.connections(), 1);
    drop(answer);
    assert_eq!(body_of(http.send(Request::new("HEAD", &url), PATIENCE).unwrap()), b"");
    let request = Request::new("PUT", &url).body_from(&b"abc"[..]).trailer("x", "y");
    let mut answer = http.send(request, PATIENCE).unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.collect(PATIENCE).unwrap(), b"no");
    assert_eq!(answer.trailers().unwrap().get_named(b"sum"), Some(&b"1"[..]));
    drop(answer);
    let answer = http.send(Request::new("POST", &url), PATIENCE).unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(body_of(answer), b"");
    assert_eq!(http.connections(), 0);
    assert_eq!(server.end(), 1);
}

#[test]
fn a_body_is_read_in_parts_and_as_a_reader() {
    let (tell, told) = channel::<()>();
    let server = Server::one(move |peer| {
        peer.head();
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        told.recv().unwrap();
        peer.say(b"secon");
        peer.rest();
    });
    let mut http = once();
    let mut answer = http.get(&server.url("http"), PATIENCE).unwrap();
    let mut body = Vec::new();
    while body.len() < 5 {
        assert_ne!(answer.read(&mut body, PATIENCE), Ok(Received::End));
    }
    let late = answer.read(&mut body, Duration::ZERO).unwrap_err();
    assert_eq!(late.to_string(), format!("receive from {}: not done within 0ns", server.authority));
    let late = answer.reader(Duration::ZERO).read(&mut [0; 4]).unwrap_err();
    assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
    tell.send(()).unwrap();
    let mut rest = String::new();
    assert_eq!(answer.reader(PATIENCE).read_to_string(&mut rest).unwrap(), 5);
    assert_eq!((&*body, &*rest), (&b"first"[..], "secon"));
    drop((answer, http));
    server.end();
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_nothing() {
    // The first script ends with the second request unanswered; what is idempotent goes again.
    let hello = |peer: &mut Peer| {
        peer.head();
        peer.say(HELLO);
    };
    let server = Server::new(vec![
        Box::new(move |peer| {
            hello(peer);
            peer.head();
        }),
        Box::new(move |peer| {
            peer.until(b"\r\n\r\nabc");
            peer.say(HELLO);
            peer.head();
        }),
    ]);
    let mut http = once();
    let url = server.url("http");
    assert_eq!(body_of(http.get(&url, PATIENCE).unwrap()), b"hello");
    let put = Request::new("PUT", &url).body("abc");
    assert_eq!(body_of(http.send(put, PATIENCE).unwrap()), b"hello");
    // What may have been carried out, and is not to be twice, is not sent again.
    let error = http.send(Request::new("POST", &url).body("abc"), PATIENCE).unwrap_err();
    assert!(error.is_transient() && !error.is_not_done(), "{error}");
    assert_eq!(server.end(), 2);
}

#[test]
fn a_request_whose_answer_has_begun_is_not_repeated() {
    let server = Server::one(|peer| {
        peer.head();
        peer.say(HELLO);
        peer.head();
        peer.say(b"HTTP/1.1 200 O");
    });
    let mut http = once();
    let url = server.url("http");
    assert_eq!(body_of(http.get(&url, PATIENCE).unwrap()), b"hello");
    let error = http.send(Request::new("DELETE", &url), PATIENCE).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} closed the connection before it answered", server.authority)
    );
    drop(http);
    assert_eq!(server.end(), 1);
}

#[test]
fn a_closed_idle_connection_is_seen_before_it_is_used() {
    let (tell, told) = channel();
    let server = Server::new(vec![
        Box::new(move |peer| {
            peer.head();
            peer.say(HELLO);
            peer.stream.shutdown(std::net::Shutdown::Both).unwrap();
            tell.send(()).unwrap();
        }),
        Box::new(|peer| {
            peer.head();
            peer.say(b"HTTP/1.1 204 No Content\r\n\r\n");
            peer.rest();
        }),
    ]);
    let mut http = once();
    assert_eq!(body_of(http.get(&server.url("http"), PATIENCE).unwrap()), b"hello");
    told.recv().unwrap();
    // Not idempotent: it is not sent on the old one at all.
    let post = Request::new("POST", &server.url("http")).body("abc");
    assert_eq!(http.send(post, PATIENCE).unwrap().status(), 204);
    drop(http);
    assert_eq!(server.end(), 2);
}

#[test]
fn tries_are_as_the_policy_says() {
    let drop_it: fn() -> Script = || {
        Box::new(|peer: &mut Peer| {
            peer.head();
        })
    };
    let good: Script = Box::new(|peer| {
        peer.head();
        peer.say(HELLO);
    });
    let server = Server::new(vec![drop_it(), drop_it(), good]);
    assert_eq!(body_of(tries(3).get(&server.url("http"), PATIENCE).unwrap()), b"hello");
    server.end();
    let server = Server::new(vec![drop_it(), drop_it()]);
    let error = tries(2).get(&server.url("http"), PATIENCE).unwrap_err();
    assert!(error.to_string().starts_with("gave up after 2 tries: "), "{error}");
    server.end();
    // A POST, and a body that was read, are sent once.
    for request in
        [(|url| Request::new("POST", url).body("a")) as fn(&str) -> Request<'static>, |url| {
            Request::new("PUT", url).body_from(&b"abc"[..])
        }]
    {
        let server = Server::new(vec![drop_it()]);
        let error = tries(3).send(request(&server.url("http")), PATIENCE).unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(server.end(), 1);
    }
    // Nobody could be connected to: anything may be tried again.
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let post = format!("http://{nobody}/");
    let error = tries(2).send(Request::new("POST", &post).body("a"), PATIENCE).unwrap_err();
    assert!(error.to_string().contains("2 tries: connect"), "{error}");
}

#[test]
fn what_is_wrong_with_an_answer_is_told() {
    let cases: [(&'static [u8], &str); 7] = [
        (b"220 smtp ready\r\n\r\n", "its answer is no HTTP/1.1: "),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "no HTTP/1.1: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "no HTTP/1.1: "),
        (b"", "before it answered"),
        (b"HTTP/1.1 200 O", "before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "cut the connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx", "no HTTP/1.1: "),
    ];
    for (says, expected) in cases {
        let server = Server::one(move |peer| {
            peer.head();
            peer.say(says);
            peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
            peer.rest();
        });
        let mut http = once();
        let got = http.get(&server.url("http"), PATIENCE);
        let error = got.and_then(|mut answer| answer.collect(PATIENCE)).unwrap_err().to_string();
        assert!(error.contains(&server.authority) && error.contains(expected), "{error}");
        drop(http);
        server.end();
    }
}

#[test]
fn limits_hold() {
    let head_max = 256;
    let server = Server::new(vec![
        Box::new(|peer| {
            peer.head();
            peer.say(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(300)).as_bytes());
            peer.rest();
        }),
        Box::new(|peer| {
            peer.head();
            peer.say(HELLO);
            peer.rest();
        }),
    ]);
    let options = HttpOptions { head_max, answer_max: 4, ..HttpOptions::default() };
    let mut http = Http::new(options);
    let error = http.get(&server.url("http"), PATIENCE).unwrap_err();
    assert!(error.to_string().contains("no HTTP/1.1: "), "{error}");
    let error = http.get(&server.url("http"), PATIENCE).unwrap().collect(PATIENCE).unwrap_err();
    let (peer, what) = (server.authority.clone(), "answer".to_owned());
    let reason = TransferError::TooLarge { max: 4 };
    assert_eq!(error, ClientError::Transfer { peer, what, reason });
    server.end();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let error = tries(3).get(&url, Duration::from_millis(30)).unwrap_err().to_string();
    assert!(error.contains("not done within 30ms"), "{error}");
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_an_error() {
    for (body, length) in [(&b"abc"[..], 5), (b"", 1)] {
        let server = Server::one(|peer| {
            peer.head();
            peer.rest();
        });
        let request = Request::new("PUT", &server.url("http")).body_of_length(body, length);
        let error = once().send(request, PATIENCE).unwrap_err().to_string();
        assert!(error.contains("bytes before its length"), "{error}");
        server.end();
    }
}

#[test]
fn an_early_answer_is_read_and_the_upload_goes_on() {
    const LEN: usize = 3_000_000;
    // An echo: what it reads, it gives back at once, so that both sides must be served.
    let server = Server::one(|peer| {
        peer.head();
        peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").as_bytes());
        let mut left = LEN;
        let mut piece = [0; 10_000];
        while left > 0 {
            let count = peer.stream.read(&mut piece).unwrap();
            peer.say(&piece[..count]);
            left -= count;
        }
        peer.rest();
    });
    let sent: Vec<u8> = (0..LEN).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut http = once();
    let request =
        Request::new("PUT", &server.url("http")).body_of_length(&*sent, LEN.try_into().unwrap());
    let answer = http.send(request, PATIENCE).unwrap();
    assert!(body_of(answer) == sent);
    assert_eq!(http.connections(), 1, "the exchange was carried whole");
    drop(http);
    server.end();
    // One that refuses the upload, and closes: the answer counts.
    let server = Server::one(|peer| {
        peer.head();
        peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
        peer.rest();
    });
    let mut http = once();
    let request = Request::new("PUT", &server.url("http")).body(&sent);
    let answer = http.send(request, PATIENCE).unwrap();
    assert_eq!((answer.status(), body_of(answer)), (413, b"no".to_vec()));
    assert_eq!(http.connections(), 0);
    server.end();
}

#[test]
fn a_half_read_answer_ends_its_connection() {
    let server = Server::one(|peer| {
        peer.head();
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
        assert_eq!(peer.rest(), b"");
    });
    let mut http = once();
    let mut answer = http.get(&server.url("http"), PATIENCE).unwrap();
    answer.read(&mut Vec::new(), PATIENCE).unwrap();
    drop(answer);
    assert_eq!(http.connections(), 0);
    server.end();
}

#[test]
fn idle_connections_are_kept_within_limits() {
    let hello: fn() -> Script = || {
        Box::new(|peer: &mut Peer| {
            peer.head();
            peer.say(HELLO);
            assert_eq!(peer.rest(), b"");
        })
    };
    let server = Server::new((0..3).map(|_| hello()).collect());
    let mut http = Http::new(HttpOptions { idle_max: 2, ..HttpOptions::default() });
    let url = server.url("http");
    let answers: Vec<_> = (0..3).map(|_| http.get(&url, PATIENCE).unwrap()).collect();
    answers.into_iter().for_each(|answer| assert_eq!(body_of(answer), b"hello"));
    assert_eq!(http.connections(), 2);
    http.close_idle();
    assert_eq!((http.connections(), server.end()), (0, 3));
    for (idle_max, idle_time) in [(0, PATIENCE), (4, Duration::ZERO)] {
        let server = Server::new(vec![hello()]);
        let mut http = Http::new(HttpOptions { idle_max, idle_time, ..HttpOptions::default() });
        assert_eq!(body_of(http.get(&server.url("http"), PATIENCE).unwrap()), b"hello");
        assert_eq!((http.connections(), server.end()), (0, 1));
    }
}

#[test]
fn http2_carries_many_at_a_time_on_one_connection() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let (first, second) = (peer.request(), peer.request());
        assert_eq!((first, second), (1, 3));
        // The later one is answered first; a question of the server's is answered in between.
        peer.send_frame(kind::HEADERS, flag::END_HEADERS, second, &block(&[(":status", "103")]));
        peer.answer(second, 0);
        peer.data(second, 0, b"second");
        peer.send_frame(kind::PING, 0, 0, b"12345678");
        let trailers = block(&[("sum", "2")]);
        let flags = flag::END_HEADERS | flag::END_STREAM;
        peer.send_frame(kind::HEADERS, flags, second, &trailers);
        loop {
            let (head, payload) = peer.frame_of(kind::PING);
            if head.has(flag::ACK) {
                assert_eq!(payload, b"12345678");
                break;
            }
        }
        peer.answer(first, 0);
        peer.data(first, flag::END_STREAM, b"first");
        // The third one is dropped by the client in the middle.
        let third = peer.request();
        peer.answer(third, 0);
        peer.data(third, 0, b"third");
        let (head, payload) = peer.frame_of(kind::RST_STREAM);
        assert_eq!((head.stream, payload), (third, ErrorCode::CANCEL.0.to_be_bytes().to_vec()));
        let fourth = peer.request();
        peer.answer(fourth, flag::END_STREAM);
        peer.frame_of(kind::GOAWAY);
    });
    let mut http = once();
    let url = server.url("h2");
    // Both are sent before either is answered.
    let mut prepared = Request::get(&url);
    let prepared = prepared.prepare().unwrap();
    let deadline = Deadline::new(PATIENCE);
    let mut first = http.begin(&prepared, true, false, deadline).unwrap();
    let mut answer = http.get(&url, PATIENCE).unwrap();
    assert_eq!((answer.status(), answer.version()), (200, Version::Http2));
    assert_eq!(answer.collect(PATIENCE).unwrap(), b"second");
    assert_eq!(answer.trailers().unwrap().get_named(b"sum"), Some(&b"2"[..]));
    drop(answer);
    let head = wait_for_head(&mut first, &mut empty(), deadline).unwrap();
    assert_eq!(body_of(Answer::new(head, first, empty(), 100)), b"first");
    let mut third = http.get(&url, PATIENCE).unwrap();
    third.read(&mut Vec::new(), PATIENCE).unwrap();
    drop(third);
    assert_eq!(body_of(http.get(&url, PATIENCE).unwrap()), b"");
    assert_eq!(http.connections(), 1);
    drop(http);
    assert_eq!(server.end(), 1);
}

fn empty() -> Upload<'static> {
    Upload::new(request::Body::None, None)
}

#[test]
fn what_a_server_of_http2_did_not_do_goes_again() {
    let good: fn() -> Script = || {
        Box::new(|peer: &mut Peer| {
            peer.greet(&[]);
            let stream = peer.request();
            let (head, payload) = peer.frame_of(kind::DATA);
            assert_eq!((head.stream, &*payload), (stream, &b"abc"[..]));
            peer.answer(stream, flag::END_STREAM);
            peer.rest();
        })
    };
    let refusals: [fn(&mut Peer, u32); 2] =
        [|peer, stream| peer.reset(stream, ErrorCode::REFUSED_STREAM), |peer, _| peer.go_away(0)];
    for refuse in refusals {
        let refused: Script = Box::new(move |peer| {
            peer.greet(&[]);
            let stream = peer.request();
            refuse(peer, stream);
            peer.rest();
        });
        let server = Server::new(vec![refused, good()]);
        let mut http = once();
        let post = Request::new("POST", &server.url("h2")).body("abc");
        assert_eq!(http.send(post, PATIENCE).unwrap().status(), 200);
        drop(http);
        assert_eq!(server.end(), 2);
    }
    // A second refusal is the answer.
    let refused: fn() -> Script = || {
        Box::new(|peer: &mut Peer| {
            peer.greet(&[]);
            let stream = peer.request();
            peer.reset(stream, ErrorCode::REFUSED_STREAM);
            peer.rest();
        })
    };
    let server = Server::new(vec![refused(), refused()]);
    let error = once().get(&server.url("h2"), PATIENCE).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} reset the exchange: refused_stream", server.authority)
    );
    assert!(error.is_not_done());
    server.end();
}

#[test]
fn failures_of_http2_are_told() {
    type Fail = fn(&mut Peer, u32);
    let cases: [(Fail, &str); 8] = [
        (
            |peer, _| {
                let said = [&[0, 0, 0, 9, 0, 0, 0, 11][..], b"too many\npings"].concat();
                peer.send_frame(kind::GOAWAY, 0, 0, &said);
                peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
            },
            "closed the connection: enhance_your_calm: too many\\npings",
        ),
        (
            |peer, _| {
                peer.send_frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]);
                peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
            },
            "closed the connection before it answered",
        ),
        (
            |peer, stream| peer.reset(stream, ErrorCode::INTERNAL_ERROR),
            "reset the exchange: internal_error",
        ),
        (|peer, stream| peer.reset(stream, ErrorCode(0x99)), "reset the exchange: 0x99"),
        (|peer, stream| peer.data(stream, 0, b"x"), "no HTTP/2: body_before_head"),
        (|peer, _| peer.send_frame(kind::SETTINGS, 0, 0, b"x"), "no HTTP/2: frame_size"),
        (|peer, _| peer.stream.shutdown(std::net::Shutdown::Both).unwrap(), ""),
        (
            |peer, stream| {
                peer.answer(stream, 0);
                peer.data(stream, 0, b"x");
                peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
            },
            "cut the connection",
        ),
    ];
    for (fail, expected) in cases {
        let server = Server::one(move |peer| {
            peer.greet(&[]);
            let stream = peer.request();
            fail(peer, stream);
            peer.rest();
        });
        let mut http = once();
        let post = Request::new("POST", &server.url("h2"));
        let got = http.send(post, PATIENCE).and_then(|mut answer| answer.collect(PATIENCE));
        let error = got.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&server.authority), "{error}");
        drop(http);
        server.end();
    }
    // A server of HTTP/1.1.
    let server = Server::one(|peer| {
        peer.say(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        peer.rest();
    });
    let error = once().get(&server.url("h2"), PATIENCE).unwrap_err().to_string();
    assert!(error.contains("its answer is no HTTP/2"), "{error}");
    server.end();
}

#[test]
fn an_upload_waits_for_windows_while_the_answer_is_read() {
    const LEN: usize = 1_000_000;
    const WINDOW: usize = 1000;
    let (tell, told): (_, Receiver<usize>) = channel();
    let server = Server::one(move |peer| {
        let window = u32::try_from(WINDOW).unwrap();
        peer.greet(&[(frame::setting::INITIAL_WINDOW_SIZE, window)]);
        let stream = peer.request();
        peer.answer(stream, 0);
        let mut came = 0;
        loop {
            let (head, payload) = peer.frame_of(kind::DATA);
            came += payload.len();
            peer.data(stream, 0, &payload);
            let ends = head.has(flag::END_STREAM);
            let give = u32::try_from(payload.len()).unwrap().to_be_bytes();
            if !payload.is_empty() && !ends {
                peer.send_frame(kind::WINDOW_UPDATE, 0, 0, &give);
                peer.send_frame(kind::WINDOW_UPDATE, 0, stream, &give);
            }
            if ends {
                break;
            }
        }
        peer.data(stream, flag::END_STREAM, b"");
        tell.send(came).unwrap();
        peer.rest();
    });
    let sent: Vec<u8> = (0..LEN).map(|at| u8::try_from(at % 241).unwrap()).collect();
    let mut http = once();
    let request = Request::new("POST", &server.url("h2")).body_from(&*sent);
    let mut answer = http.send(request, PATIENCE).unwrap();
    assert!(answer.collect(PATIENCE).unwrap() == sent);
    assert_eq!(told.recv().unwrap(), LEN);
    drop((answer, http));
    server.end();
}

#[test]
fn a_server_of_http2_may_answer_early_and_stop_the_upload() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.answer(stream, 0);
        peer.data(stream, flag::END_STREAM, b"enough");
        peer.reset(stream, ErrorCode::NO_ERROR);
        let stream = peer.request();
        peer.answer(stream, flag::END_STREAM);
        peer.rest();
    });
    let mut http = once();
    let request = Request::new("POST", &server.url("h2")).body_from(std::io::repeat(7));
    assert_eq!(body_of(http.send(request, PATIENCE).unwrap()), b"enough");
    assert_eq!(http.get(&server.url("h2"), PATIENCE).unwrap().status(), 200);
    drop(http);
    assert_eq!(server.end(), 1);
}
