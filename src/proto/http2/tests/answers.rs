//! The machine of a client with servers that send frames of their own making.

use super::*;
use crate::proto::http2::{Client, ClientEvent, RequestLine};

/// A client that has sent requests, and what it was told.
struct Asker {
    client: Client,
    limits: Limits,
    now: Instant,
    space: Workspace,
    spare: FreeList<ResponseHead>,
    events: Vec<String>,
    out: Vec<u8>,
}

impl Asker {
    #[expect(clippy::disallowed_methods, reason = "a time to count from")]
    fn new(methods: &[crate::proto::http::Method]) -> Self {
        let limits = Limits::default();
        let mut asker = Self {
            client: Client::new(&limits),
            limits,
            now: Instant::now(),
            space: Workspace::default(),
            spare: FreeList::new(8, 65_536),
            events: Vec::new(),
            out: Vec::new(),
        };
        let mut greeting = Vec::new();
        frame::write_settings(&[], &mut greeting);
        asker.send(&greeting);
        for method in methods {
            let mut head = RequestHead::default();
            head.method = *method;
            let (path, authority, scheme) = ("/", "a", "http");
            let line = RequestLine {
                head: &head,
                path,
                authority,
                scheme,
                length: None,
                websocket: false,
            };
            let Self { client, space, out, .. } = &mut asker;
            client.open(&line, true, space, out);
        }
        asker
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.receive(Buf::copy_of(bytes));
        loop {
            let Self { client, limits, now, space, spare, .. } = self;
            match client.poll(*now, limits, space, spare) {
                Ok(Some(event)) => self.take(&event),
                Ok(None) => break,
                Err(violation) => {
                    self.events.push(format!("fails: {}", violation.name()));
                    self.client.fail(violation);
                }
            }
        }
        let growth = Growth { most: self.limits.window, is_allowed: true };
        let Self { client, now, space, out, .. } = self;
        client.transmit(1 << 20, (*now, growth), space, out);
    }

    fn take(&mut self, event: &ClientEvent) {
        self.events.push(match event {
            ClientEvent::Interim(id, head) => format!("{id} interim {}", head.status),
            ClientEvent::Head(id, head, length) => format!("{id} {} {length:?}", head.status),
            ClientEvent::Body(id) => format!("{id} body"),
            ClientEvent::Reset(id, code) => format!("{id} reset {}", code.name()),
            ClientEvent::Violated(id, violation) => format!("{id} violates {}", violation.name()),
            ClientEvent::GoAway(last, ..) => format!("goaway {last}"),
            ClientEvent::Opened(_) => return,
        });
    }
}

/// The head of an answer.
fn answer(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&[(":status", "200")], fields].concat();
    framed(kind::HEADERS, flags, stream, &block(&fields))
}

use crate::proto::http::Method::{Get, Head};

#[test]
fn a_body_before_its_head_is_none() {
    for ends in [false, true] {
        let mut asker = Asker::new(&[Get, Get]);
        asker.send(&data(1, b"x", ends));
        assert_eq!(asker.events, ["1 violates body_before_head"]);
        asker.send(&answer(3, END, &[]));
        assert_eq!(asker.events.last().unwrap(), "3 200 Some(0)", "others go on");
    }
}

#[test]
fn an_answer_that_has_no_body_is_followed_by_none() {
    let mut asker = Asker::new(&[Head, Get]);
    asker.send(&answer(1, flag::END_HEADERS, &[("content-length", "5")]));
    asker.send(&data(1, b"HTTP/", true));
    assert_eq!(asker.events, ["1 200 Some(5)", "1 body"]);
    assert!(asker.client.next_of_body(1).is_none() && asker.client.is_body_read(1));
    let fields = [(":status", "304"), ("content-length", "5")];
    asker.send(&framed(kind::HEADERS, flag::END_HEADERS, 3, &block(&fields)));
    asker.send(&data(3, b"", true));
    assert_eq!(asker.events[2..], ["3 304 Some(5)", "3 body"], "an empty end is none");
}

#[test]
fn trailers_that_are_left_out_do_not_hide_that_a_body_is_too_short() {
    let mut asker = Asker::new(&[Get]);
    let many: Vec<(String, &str)> = (0..300).map(|at| (format!("x-{at}"), "v")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    asker.send(&answer(1, flag::END_HEADERS, &[("content-length", "100")]));
    asker.send(&data(1, &[b'a'; 50], false));
    asker.send(&framed(kind::HEADERS, END, 1, &block(&many)));
    assert_eq!(asker.events.last().unwrap(), "1 violates length_differs");
}

#[test]
fn what_comes_late_on_streams_that_are_gone_is_dropped() {
    let mut asker = Asker::new(&[Get; 100]);
    for id in (1..200).step_by(2) {
        asker.send(&answer(id, flag::END_HEADERS, &[]));
        asker.client.reset(id, ErrorCode::CANCEL, &mut asker.space);
    }
    asker.events.clear();
    for id in (1..200).step_by(2) {
        asker.send(&data(id, b"late", true));
    }
    assert!(asker.events.is_empty(), "{:?}", asker.events);
}

#[test]
fn a_stream_that_nobody_takes_holds_no_other_one_up() {
    let mut asker = Asker::new(&[Get, Get]);
    asker.send(&answer(1, flag::END_HEADERS, &[]));
    asker.send(&answer(3, flag::END_HEADERS, &[]));
    for _ in 0..3 {
        asker.send(&data(1, &[b'a'; 16_384], false));
    }
    for _ in 0..20 {
        asker.send(&data(3, &[b'b'; 16_384], false));
        while asker.client.next_of_body(3).is_some() {}
    }
    assert!(asker.events.iter().all(|event| !event.contains("fails")), "{:?}", asker.events);
}

#[test]
fn what_is_not_all_there_at_the_end_never_will_be() {
    let mut asker = Asker::new(&[Get]);
    asker.send(&answer(1, flag::END_HEADERS, &[])[..5]);
    asker.client.receive_end();
    assert!(asker.client.has_nothing_new());
    assert!(!asker.client.is_read(), "a part of a frame waits for ever");
}

#[test]
fn an_answer_that_has_come_whole_outlives_a_goaway() {
    let mut asker = Asker::new(&[Get, Get, Get]);
    asker.send(&answer(1, flag::END_HEADERS, &[]));
    asker.send(&answer(3, flag::END_HEADERS, &[]));
    asker.send(&data(3, b"whole", true));
    let mut bytes = Vec::new();
    frame::write_go_away(0, ErrorCode::NO_ERROR, "", &mut bytes);
    asker.send(&bytes);
    assert_eq!(asker.events.last().unwrap(), "goaway 0");
    assert!(asker.client.has_come(3) && !asker.client.is_sending(1));
    assert_eq!(asker.client.next_of_body(3).as_deref(), Some(&b"whole"[..]));
    assert!(asker.client.is_body_read(3));
    assert!(!asker.client.is_body_read(1) && asker.client.next_of_body(1).is_none());
}

#[test]
fn a_status_behind_any_field_is_misplaced() {
    for field in [("content-length", "5"), ("x-a", "b")] {
        let mut asker = Asker::new(&[Get]);
        let fields = [field, (":status", "200")];
        asker.send(&framed(kind::HEADERS, flag::END_HEADERS, 1, &block(&fields)));
        assert_eq!(asker.events, ["1 violates pseudo_misplaced"], "{field:?}");
    }
}
