//! The client against servers that do as a script says.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use super::*;
use crate::client::scripted::{PATIENCE, Peer, Script, Server, block};
use crate::proto::grpc::MessageHead;
use crate::proto::http2::ErrorCode;
use crate::proto::http2::frame::{flag, kind};
use crate::proto::http2::hpack::{BlockCursor, Decoder};

const METHOD: &str = "t.S/Say";
const OK: &[(&str, &str)] = &[("grpc-status", "0")];

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn text(text: &str) -> Text {
    Text { text: text.to_owned() }
}

impl Server {
    fn grpc(&self) -> Grpc {
        self.grpc_with(GrpcOptions::default())
    }

    fn grpc_with(&self, options: GrpcOptions) -> Grpc {
        Grpc::new(&format!("grpc://{}", self.authority), options).unwrap()
    }
}

impl Peer {
    /// The head of an answer.
    fn begin(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let own = [(":status", "200"), ("content-type", "application/grpc")];
        let block = block(&[&own, fields].concat());
        self.send_frame(kind::HEADERS, flag::END_HEADERS, stream, &block);
    }

    /// An answer that is a head only.
    fn only(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let flags = flag::END_HEADERS | flag::END_STREAM;
        self.send_frame(kind::HEADERS, flags, stream, &block(fields));
    }

    fn message(&mut self, stream: u32, is_compressed: bool, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap();
        let head = MessageHead { is_compressed, len }.write();
        self.data(stream, 0, &[&head, bytes].concat());
    }

    /// The end of an answer, with its status.
    fn end(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.only(stream, fields);
    }

    /// All that a call sends, up to its end.
    fn asked(&mut self) -> Vec<u8> {
        let mut asked = Vec::new();
        loop {
            let (head, payload) = self.frame_of(kind::DATA);
            asked.extend_from_slice(&payload);
            if head.has(flag::END_STREAM) {
                return asked;
            }
        }
    }
}

/// The error of one unary call, by a server that answers with what `answer` says.
fn error_of(answer: impl FnOnce(&mut Peer, u32) + Send + 'static) -> ClientError {
    let server = Server::one(move |peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.asked();
        answer(peer, stream);
        peer.rest();
    });
    let options = GrpcOptions { receive_max: 100, ..GrpcOptions::default() };
    let mut grpc = server.grpc_with(options);
    let error = grpc.unary::<_, Text>(METHOD, &text("x"), PATIENCE).unwrap_err();
    drop(grpc);
    server.end();
    error
}

fn status_of(error: &ClientError) -> &CallStatus {
    let ClientError::Call { status, .. } = error else { panic!("{error}") };
    status
}

#[test]
fn a_unary_call_has_one_message_each_way() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let (head, fields) = peer.frame_of(kind::HEADERS);
        let fields = fields_of(&fields);
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/t.S/Say"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-accept-encoding", "identity,gzip,zstd"),
            ("x-a", "b"),
            ("x-bin", "AP8"),
        ] {
            assert!(fields.contains(&(name.into(), value.into())), "{name}: {fields:?}");
        }
        assert!(fields.iter().any(|(name, _)| name == "grpc-timeout"));
        assert_eq!(peer.asked(), [&[0, 0, 0, 0, 4, 10, 2][..], b"hi"].concat());
        let stream = head.stream;
        peer.begin(stream, &[("x-first", "1"), ("y-bin", "AAE=")]);
        // In parts.
        for byte in [&[0, 0, 0, 0, 7, 10, 5][..], b"hello"].concat() {
            peer.data(stream, 0, &[byte]);
        }
        peer.end(stream, &[("grpc-status", "0"), ("x-last", "2")]);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let mut options = CallOptions::default();
    options.metadata.push("x-a", "b").unwrap();
    options.metadata.push_binary("x-bin", &[0, 255]).unwrap();
    let reply: CallReply<Text> = grpc.unary_with(METHOD, &text("hi"), &options, PATIENCE).unwrap();
    assert_eq!(reply.message, text("hello"));
    assert_eq!(reply.initial.get("x-first"), Some("1"));
    assert_eq!(reply.initial.get_binary("y-bin"), Some(vec![0, 1]));
    assert_eq!(reply.trailing.get("x-last"), Some("2"));
    drop(grpc);
    assert_eq!(server.end(), 1);
}

/// Names and values of a field block.
fn fields_of(block: &[u8]) -> Vec<(String, String)> {
    let (mut decoder, mut cursor) = (Decoder::default(), BlockCursor::default());
    let (mut text, mut found) = (Vec::new(), Vec::new());
    while let Some(field) = decoder.next(block, &mut cursor, &mut text).unwrap() {
        let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.push((of(field.name), of(field.value)));
    }
    found
}

#[test]
fn how_a_call_failed_is_told() {
    let error = error_of(|peer, stream| {
        peer.begin(stream, &[]);
        let details = ("grpc-status-details-bin", "AAE");
        peer.end(stream, &[("grpc-status", "5"), ("grpc-message", "no%20note"), details]);
    });
    assert!(error.to_string().starts_with("t.S/Say at 127.0.0.1:"), "{error}");
    assert!(error.to_string().ends_with(": status NOT_FOUND (5): no note"), "{error}");
    assert_eq!(status_of(&error).details, [0, 1]);
    assert_eq!(error.status_code(), GrpcCode::NotFound);
    type Answer = fn(&mut Peer, u32);
    let cases: [(Answer, GrpcCode, &str); 14] = [
        (
            |peer, stream| peer.only(stream, &[(":status", "200"), ("grpc-status", "7")]),
            GrpcCode::PermissionDenied,
            "",
        ),
        (|peer, stream| peer.only(stream, &[(":status", "503")]), GrpcCode::Unavailable, "503"),
        (|peer, stream| peer.only(stream, &[(":status", "404")]), GrpcCode::Unimplemented, "404"),
        (
            |peer, stream| peer.only(stream, &[(":status", "200"), ("content-type", "text/html")]),
            GrpcCode::Unknown,
            "text/html",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.data(stream, flag::END_STREAM, b"");
            },
            GrpcCode::Unknown,
            "without a status",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.data(stream, 0, &[0, 0, 0, 0, 9, 1]);
                peer.end(stream, OK);
            },
            GrpcCode::Internal,
            "within a message",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.data(stream, 0, &[7, 0, 0, 0, 0]);
            },
            GrpcCode::Internal,
            "0x07",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.data(stream, 0, &[0, 0, 0, 0, 101]);
            },
            GrpcCode::ResourceExhausted,
            "101 bytes",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[("grpc-encoding", "gzip")]);
                let mut bomb = Vec::new();
                MessageCoding::Gzip.compress(&[0; 10_000], &mut bomb).unwrap();
                peer.message(stream, true, &bomb);
            },
            GrpcCode::ResourceExhausted,
            "more than 100 bytes",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.message(stream, true, b"x");
            },
            GrpcCode::Internal,
            "is compressed",
        ),
        (|peer, stream| peer.begin(stream, &[("grpc-encoding", "br")]), GrpcCode::Internal, "br"),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.message(stream, false, &[0xff]);
                peer.end(stream, OK);
            },
            GrpcCode::Internal,
            "decoded",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.end(stream, OK);
            },
            GrpcCode::Unimplemented,
            "no message",
        ),
        (
            |peer, stream| {
                peer.begin(stream, &[]);
                peer.message(stream, false, b"");
                peer.message(stream, false, b"");
                peer.end(stream, OK);
            },
            GrpcCode::Unimplemented,
            "several messages",
        ),
    ];
    for (answer, code, word) in cases {
        let error = error_of(answer);
        let status = status_of(&error);
        assert_eq!(status.code, code, "{error}");
        assert!(status.message.contains(word), "{error}");
    }
    for (reset, code) in [
        (ErrorCode::CANCEL, GrpcCode::Cancelled),
        (ErrorCode::ENHANCE_YOUR_CALM, GrpcCode::ResourceExhausted),
        (ErrorCode::INADEQUATE_SECURITY, GrpcCode::PermissionDenied),
        (ErrorCode::PROTOCOL_ERROR, GrpcCode::Internal),
    ] {
        let error = error_of(move |peer, stream| peer.reset(stream, reset));
        assert_eq!(error.status_code(), code, "{error}");
    }
}

#[test]
fn both_sides_of_a_call_are_streams() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.begin(stream, &[]);
        for _ in 0..3 {
            let (_, payload) = peer.frame_of(kind::DATA);
            peer.data(stream, 0, &payload);
        }
        assert_eq!(peer.asked(), b"");
        peer.end(stream, OK);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let mut call = grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap();
    for word in ["one", "two", "three"] {
        assert_eq!(call.send(&text(word), PATIENCE), Ok(true));
        assert_eq!(call.receive(PATIENCE), Ok(Some(text(word))));
    }
    assert!(call.initial().is_some() && call.status().is_none());
    let late = call.receive::<Text>(Duration::ZERO).unwrap_err();
    assert!(matches!(late, ClientError::Deadline { .. }), "{late}");
    call.finish_sending().unwrap();
    assert_eq!(call.send(&text("late"), PATIENCE), Err(ClientError::Finished));
    for _ in 0..2 {
        assert_eq!(call.receive::<Text>(PATIENCE), Ok(None));
    }
    assert_eq!(call.status().unwrap().code, GrpcCode::Ok);
    drop((call, grpc));
    server.end();
}

#[test]
fn messages_are_compressed_each_by_itself() {
    for coding in [MessageCoding::Gzip, MessageCoding::Zstd] {
        let server = Server::one(move |peer| {
            peer.greet(&[]);
            let stream = peer.request();
            let asked = peer.asked();
            let head = MessageHead::read(*asked.first_chunk().unwrap()).unwrap();
            assert!(head.is_compressed && asked.len() < 1000);
            let plain = coding.decompress(&asked[5..], 100_000).unwrap();
            peer.begin(stream, &[("grpc-encoding", coding.name())]);
            peer.message(stream, false, &plain);
            peer.message(stream, true, &asked[5..]);
            peer.end(stream, OK);
            peer.rest();
        });
        let mut grpc = server.grpc();
        let options = CallOptions { coding, ..CallOptions::default() };
        let mut call = grpc.call(METHOD, &options, PATIENCE).unwrap();
        let long = text(&"long ".repeat(2_000));
        call.send(&long, PATIENCE).unwrap();
        call.finish_sending().unwrap();
        for _ in 0..2 {
            assert_eq!(call.receive(PATIENCE), Ok(Some(long.clone())));
        }
        assert_eq!(call.receive::<Text>(PATIENCE), Ok(None));
        drop((call, grpc));
        server.end();
    }
    let server = Server::one(|peer| {
        peer.greet(&[]);
        peer.rest();
    });
    let options = GrpcOptions { send_max: 5, ..GrpcOptions::default() };
    let mut grpc = server.grpc_with(options);
    let error = grpc.unary::<_, Text>(METHOD, &text("long"), PATIENCE).unwrap_err();
    assert!(error.to_string().contains("6 bytes, and at most 5"), "{error}");
    drop(grpc);
    server.end();
}

#[test]
fn a_deadline_ends_a_call_and_so_does_its_drop() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let mut cancelled = |stream| {
            let (head, payload) = peer.frame_of(kind::RST_STREAM);
            assert_eq!((head.stream, &*payload), (stream, &ErrorCode::CANCEL.0.to_be_bytes()[..]));
        };
        cancelled(1);
        cancelled(3);
        cancelled(5);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let short = Duration::from_millis(20);
    let error = grpc.unary::<_, Text>(METHOD, &text("x"), short).unwrap_err();
    assert_eq!(error.status_code(), GrpcCode::DeadlineExceeded);
    assert!(error.to_string().contains("DEADLINE_EXCEEDED (4): not done within 20ms"), "{error}");
    let options = CallOptions { deadline: Some(short), ..CallOptions::default() };
    let mut call = grpc.call(METHOD, &options, PATIENCE).unwrap();
    for _ in 0..2 {
        let error = call.receive::<Text>(PATIENCE).unwrap_err();
        assert_eq!(error.status_code(), GrpcCode::DeadlineExceeded);
    }
    drop(call);
    drop(grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap());
    drop(grpc);
    assert_eq!(server.end(), 1);
}

#[test]
fn a_call_that_was_not_carried_out_begins_again() {
    let refused: fn(bool) -> Script = |goes_away| {
        Box::new(move |peer: &mut Peer| {
            peer.greet(&[]);
            let stream = peer.request();
            peer.frame_of(kind::DATA);
            match goes_away {
                true => peer.go_away(0),
                false => peer.reset(stream, ErrorCode::REFUSED_STREAM),
            }
            peer.rest();
        })
    };
    for goes_away in [false, true] {
        let good: Script = Box::new(|peer| {
            peer.greet(&[]);
            let stream = peer.request();
            let asked = peer.asked();
            assert_eq!(
                asked,
                [[0, 0, 0, 0, 3, 10, 1, b'a'], [0, 0, 0, 0, 3, 10, 1, b'b']].concat()
            );
            peer.begin(stream, &[]);
            peer.data(stream, 0, &asked);
            peer.end(stream, OK);
            peer.rest();
        });
        let server = Server::new(vec![refused(goes_away), good]);
        let mut grpc = server.grpc();
        let mut call = grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap();
        assert_eq!(call.send(&text("a"), PATIENCE), Ok(true));
        assert!(call.receive::<Text>(Duration::from_millis(100)).is_err());
        assert_eq!(call.send(&text("b"), PATIENCE), Ok(true));
        call.finish_sending().unwrap();
        assert_eq!(call.receive(PATIENCE), Ok(Some(text("a"))));
        assert_eq!(call.receive(PATIENCE), Ok(Some(text("b"))));
        assert_eq!(call.receive::<Text>(PATIENCE), Ok(None));
        drop((call, grpc));
        assert_eq!(server.end(), 2);
    }
    // Once.
    let server = Server::new(vec![refused(false), refused(false)]);
    let mut grpc = server.grpc();
    let error = grpc.unary::<_, Text>(METHOD, &text("x"), PATIENCE).unwrap_err();
    assert!(error.is_not_done(), "{error}");
    drop(grpc);
    assert_eq!(server.end(), 2);
}

#[test]
fn what_is_unavailable_is_tried_again_where_that_does_no_harm() {
    let script: fn() -> Script = || {
        Box::new(|peer: &mut Peer| {
            peer.greet(&[]);
            for code in ["14", "14", "0"] {
                let stream = peer.request();
                peer.asked();
                peer.begin(stream, &[]);
                if code == "0" {
                    peer.message(stream, false, b"");
                }
                peer.end(stream, &[("grpc-status", code)]);
            }
            peer.rest();
        })
    };
    let retry = RetryPolicy { tries_max: 3, backoff: Duration::ZERO, ..RetryPolicy::default() };
    let options = GrpcOptions { retry, ..GrpcOptions::default() };
    let server = Server::new(vec![script()]);
    let mut grpc = server.grpc_with(options);
    let idempotent = CallOptions { is_idempotent: true, ..CallOptions::default() };
    let once = grpc.unary_bytes(METHOD, b"", &CallOptions::default(), PATIENCE).unwrap_err();
    assert_eq!(once.status_code(), GrpcCode::Unavailable);
    let done = grpc.unary_bytes(METHOD, b"", &idempotent, PATIENCE).unwrap();
    assert_eq!(done.message, b"");
    drop(grpc);
    assert_eq!(server.end(), 1);
}

#[test]
fn a_server_may_end_a_call_before_it_has_read_all() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.begin(stream, &[]);
        peer.end(stream, &[("grpc-status", "9"), ("grpc-message", "enough")]);
        peer.reset(stream, ErrorCode::NO_ERROR);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let mut call = grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap();
    while call.send_bytes(&[0; 100_000], PATIENCE).unwrap() {}
    let error = call.receive_bytes(PATIENCE).unwrap_err();
    assert!(error.to_string().ends_with("status FAILED_PRECONDITION (9): enough"), "{error}");
    drop((call, grpc));
    server.end();
}

#[test]
fn input_is_waited_for_beside_messages() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.frame_of(kind::DATA);
        peer.begin(stream, &[]);
        peer.message(stream, false, b"m");
        peer.asked();
        peer.end(stream, OK);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let mut call = grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap();
    let (input, mut other) = std::io::pipe().unwrap();
    other.write_all(b"x").unwrap();
    let input = input.as_fd();
    assert_eq!(call.receive_or_input(&input, PATIENCE), Ok(CallEvent::Input));
    std::io::Read::read_exact(
        &mut std::fs::File::from(input.try_clone_to_owned().unwrap()),
        &mut [0],
    )
    .unwrap();
    call.send_bytes(b"x", PATIENCE).unwrap();
    let message = call.receive_or_input(&input, PATIENCE);
    assert_eq!(message, Ok(CallEvent::Message(b"m".to_vec())));
    call.finish_sending().unwrap();
    assert_eq!(call.receive_or_input(&input, PATIENCE), Ok(CallEvent::End));
    drop((call, grpc));
    server.end();
}

#[test]
fn each_call_waits_for_its_own_descriptor() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let mut begin = || grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap();
    let (mut first, mut second) = (begin(), begin());
    let short = Duration::from_millis(20);
    let (silent, mut silent_end) = std::io::pipe().unwrap();
    let (ready, mut ready_end) = std::io::pipe().unwrap();
    ready_end.write_all(b"x").unwrap();
    let is_late = |event| matches!(event, Err(ClientError::Deadline { .. }));
    // One call, then another one on the same connection, with another descriptor each time.
    assert!(is_late(first.receive_or_input(&silent, short)));
    assert_eq!(first.receive_or_input(&ready, PATIENCE), Ok(CallEvent::Input));
    assert!(is_late(first.receive_or_input(&silent, short)));
    assert_eq!(second.receive_or_input(&ready, PATIENCE), Ok(CallEvent::Input));
    assert!(is_late(second.receive_or_input(&silent, short)));
    // What became ready while nobody waited is not taken for the other one.
    assert!(is_late(first.receive_or_input(&silent, short)));
    silent_end.write_all(b"x").unwrap();
    let (closed, _closed_end) = std::io::pipe().unwrap();
    assert!(is_late(second.receive_or_input(&closed, short)));
    assert_eq!(first.receive_or_input(&silent, PATIENCE), Ok(CallEvent::Input));
    drop((first, second, grpc));
    server.end();
}

#[test]
fn compressed_messages_stay_so_until_they_are_taken() {
    const COUNT: usize = 20;
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.begin(stream, &[("grpc-encoding", "gzip")]);
        let mut bomb = Vec::new();
        MessageCoding::Gzip.compress(&[0; 1_000_000], &mut bomb).unwrap();
        let len = u32::try_from(bomb.len()).unwrap();
        let head = MessageHead { is_compressed: true, len }.write();
        let all = [&head, &*bomb].concat().repeat(COUNT);
        all.chunks(16_000).for_each(|part| peer.data(stream, 0, part));
        peer.end(stream, OK);
        peer.rest();
    });
    let mut grpc = server.grpc();
    let mut call = grpc.call(METHOD, &CallOptions::default(), PATIENCE).unwrap();
    for _ in 0..COUNT {
        assert_eq!(call.receive_bytes(PATIENCE).unwrap().map(|bytes| bytes.len()), Some(1_000_000));
        assert!(call.kept() < 100_000, "{}", call.kept());
    }
    assert_eq!(call.receive_bytes(PATIENCE), Ok(None));
    drop((call, grpc));
    server.end();
}

#[test]
fn a_call_whose_answer_has_begun_is_not_repeated() {
    let refusals: [fn(&mut Peer, u32); 2] =
        [|peer, stream| peer.reset(stream, ErrorCode::REFUSED_STREAM), |peer, _| peer.go_away(0)];
    for refuse in refusals {
        let server = Server::one(move |peer| {
            peer.greet(&[]);
            let stream = peer.request();
            peer.asked();
            peer.begin(stream, &[]);
            peer.message(stream, false, b"x");
            refuse(peer, stream);
            peer.rest();
        });
        let retry = RetryPolicy { tries_max: 3, backoff: Duration::ZERO, ..RetryPolicy::default() };
        let mut grpc = server.grpc_with(GrpcOptions { retry, ..GrpcOptions::default() });
        let error = grpc.unary_bytes(METHOD, b"", &CallOptions::default(), PATIENCE).unwrap_err();
        assert!(error.to_string().contains("it had begun to answer"), "{error}");
        assert!(!error.is_not_done() && !error.is_transient(), "{error}");
        drop(grpc);
        assert_eq!(server.end(), 1);
    }
}

#[test]
fn an_answer_that_is_whole_outlives_a_goaway() {
    let server = Server::one(|peer| {
        peer.greet(&[]);
        let stream = peer.request();
        peer.asked();
        peer.begin(stream, &[]);
        peer.message(stream, false, b"x");
        peer.end(stream, OK);
        peer.go_away(0);
        peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
        peer.rest();
    });
    let mut grpc = server.grpc();
    let reply = grpc.unary_bytes(METHOD, b"", &CallOptions::default(), PATIENCE).unwrap();
    assert_eq!(reply.message, b"x");
    drop(grpc);
    server.end();
}

#[test]
fn wrong_servers_and_methods_are_refused() {
    for url in ["127.0.0.1:1", "grpc://127.0.0.1:1/path", "ftp://a", "grpc://"] {
        assert!(Grpc::new(url, GrpcOptions::default()).is_err(), "{url}");
    }
    let mut grpc = Grpc::new("http://127.0.0.1:1", GrpcOptions::default()).unwrap();
    for method in ["", "method", "/method", "a b/c", "a/b?c"] {
        let error = grpc.unary::<_, Text>(method, &text(""), PATIENCE).unwrap_err();
        assert!(error.to_string().contains("is no method"), "{error}");
    }
}
