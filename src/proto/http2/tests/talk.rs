//! Conversations in order, however their bytes come.

use super::*;

#[test]
fn a_request_is_answered_and_its_stream_is_forgotten() {
    let mut peer = Peer::new(Answers::Word);
    peer.send(&[hello(&[]), get(1, "/a?b=c"), get(3, "/d")].concat());
    assert_eq!(peer.events, ["1 GET a/ab=c 0", "3 GET a/d 0"]);
    assert_eq!(
        peer.said(),
        [
            "settings",
            "settings ack",
            "1 head :status=200 content-length=4",
            "1 data word end",
            "3 head :status=200 content-length=4",
            "3 data word end"
        ]
    );
    assert_eq!((peer.server.streams(), peer.server.cost()), (0, 0));
    peer.send(&framed(kind::PING, 0, 0, b"12345678"));
    peer.send(&framed(kind::SETTINGS, flag::ACK, 0, b""));
    peer.send(&framed(0xbb, 0xff, 7, b"unknown"));
    assert_eq!(peer.said(), ["ping 1 12345678"]);
}

/// A conversation with all that a request may have.
fn conversation() -> Vec<u8> {
    let cookies = [("cookie", "a=1"), ("cookie", "b=2"), ("x-y", "z"), ("te", "trailers")];
    let split = {
        let whole = block(&[&request_line("GET", "/long")[..], &[("x-long", "value")]].concat());
        let (first, rest) = whole.split_at(7);
        let (second, third) = rest.split_at(5);
        [
            framed(kind::HEADERS, flag::END_STREAM, 5, first),
            framed(kind::CONTINUATION, 0, 5, second),
            framed(kind::CONTINUATION, flag::END_HEADERS, 5, third),
        ]
        .concat()
    };
    let padded = {
        let mut payload = vec![3];
        payload.extend_from_slice(b"body");
        payload.extend_from_slice(&[0; 3]);
        framed(kind::DATA, flag::PADDED, 1, &payload)
    };
    let prioritized = {
        let mut payload = vec![2, 0, 0, 0, 0, 9];
        payload.extend_from_slice(&block(&request_line("GET", "/pr")));
        payload.extend_from_slice(&[0; 2]);
        framed(kind::HEADERS, END | flag::PADDED | flag::PRIORITY, 7, &payload)
    };
    [
        hello(&[(3, 7), (4, 10_000)]),
        post(1, &cookies),
        padded,
        get(3, "/x"),
        data(1, b" goes on", false),
        split,
        framed(kind::HEADERS, END, 1, &block(&[("x-trailer", "t")])),
        prioritized,
        framed(kind::PING, 0, 0, b"87654321"),
    ]
    .concat()
}

#[test]
fn a_conversation_is_the_same_at_every_split() {
    let bytes = conversation();
    let run = |parts: &[&[u8]]| {
        let mut peer = Peer::new(Answers::Echo);
        for part in parts {
            peer.send(part);
        }
        peer.turn();
        let mut said = peer.said();
        // Parts of a body go out as they came: they are put together.
        let mut bodies = Vec::new();
        said.retain(|word| {
            let is_body = word.contains(" data ");
            if let Some((id, text)) = word.split_once(" data ") {
                bodies.push((id.to_owned(), text.replace(" end", "|")));
            }
            !is_body
        });
        bodies.sort_by(|one, other| one.0.cmp(&other.0));
        let text: String = bodies.iter().map(|(_, text)| text.as_str()).collect();
        said.sort();
        assert_eq!(peer.server.streams(), 0);
        (peer.events, said, text)
    };
    let whole = run(&[&bytes]);
    assert_eq!(
        whole.0,
        [
            "1 POST a/p ?",
            "1 x-y=z",
            "1 cookie=a=1; b=2",
            "3 GET a/x 0",
            "5 GET a/long 0",
            "5 x-long=value",
            "7 GET a/pr 0"
        ]
    );
    assert!(whole.1.contains(&"1 head x-trailer=t end".to_owned()), "{:?}", whole.1);
    assert_eq!(whole.2, "body goes on|||");
    for at in 0..bytes.len() {
        assert_eq!(run(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(&single), whole, "byte by byte");
}

#[test]
fn a_client_that_waits_to_be_told_is_told() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&post(1, &[("expect", "100-continue"), ("content-length", "2")]));
    peer.server.send_continue(1, &mut peer.out);
    peer.server.send_continue(1, &mut peer.out);
    assert_eq!(peer.said(), ["1 head :status=100"]);
    peer.send(&data(1, b"ab", true));
    assert_eq!(&*peer.server.next_of_body(1).unwrap().unwrap(), b"ab");
    assert!(peer.server.is_body_read(1));
    peer.respond(1, 204, b"");
    peer.turn();
    assert_eq!(peer.said(), ["1 head :status=204 end"]);
}

#[test]
fn an_answer_before_the_end_of_the_body_tells_the_client_to_stop() {
    let mut peer = Peer::greeted(Answers::Word);
    peer.send(&[post(1, &[]), data(1, b"some", false)].concat());
    assert_eq!(
        peer.said(),
        ["1 head :status=200 content-length=4", "1 data word end", "1 reset no_error"]
    );
    // What was on its way is dropped, and counts no offence.
    peer.send(&[data(1, b"more", true), get(3, "/")].concat());
    assert_eq!(peer.said().len(), 2);
    assert_eq!(peer.events.last().unwrap(), "3 GET a/ 0");
}

#[test]
fn trailers_go_out_behind_the_body() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&get(1, "/"));
    peer.head(1, 200, None);
    peer.server.send_part(1, Buf::copy_of(b"body"));
    let mut trailers = crate::proto::http::Fields::default();
    trailers.push(b"grpc-status", b"0");
    peer.server.send_end(1, Some(&trailers));
    peer.server.end_answer(1, &mut peer.space);
    peer.turn();
    assert_eq!(peer.said(), ["1 head :status=200", "1 data body", "1 head grpc-status=0 end"]);
    assert_eq!(peer.server.streams(), 0);
}

#[test]
fn a_client_learns_that_no_more_requests_are_wanted_before_they_are_dropped() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&get(1, "/"));
    peer.server.go_away();
    peer.server.go_away();
    peer.turn();
    assert_eq!(peer.said(), ["goaway all no_error"]);
    peer.send(&get(3, "/late"));
    peer.server.finish();
    peer.send(&get(5, "/too-late"));
    assert_eq!(peer.said(), ["goaway 3 no_error", "5 reset refused_stream"]);
    peer.respond(1, 200, b"1");
    peer.respond(3, 200, b"3");
    peer.turn();
    assert_eq!(peer.said().len(), 4);
    assert_eq!(peer.server.streams(), 0);
}

#[test]
fn constant_blocks_are_sent_as_they_are() {
    let mut constant = Vec::new();
    super::super::write_constant(200, &[("content-type", b"text/plain")], &mut constant);
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&[get(1, "/"), get(3, "/")].concat());
    for id in [1, 3] {
        peer.server.send_block(id, (&constant, b""), false, &mut peer.out);
        peer.server.send_whole(id, Whole::Bytes(b"x"), &mut peer.out);
        peer.server.end_answer(id, &mut peer.space);
    }
    let said = peer.said();
    assert_eq!(said[0], "1 head :status=200 content-type=text/plain");
    assert_eq!(said[3], "3 data x end");
}
