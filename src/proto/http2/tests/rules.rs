//! What a peer must not do, by section of RFC 9113, and what becomes of it.

use super::super::Violation;
use super::*;

/// What a server says to bytes behind the greeting.
fn said(bytes: &[u8]) -> Vec<String> {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(bytes);
    peer.said()
}

/// The last word to bytes that cost the connection, and the word of what was wrong.
fn fails(bytes: &[u8]) -> (String, String) {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(bytes);
    let last = peer.said().pop().unwrap_or_default();
    let event = peer.events.last().cloned().unwrap_or_default();
    (last, event)
}

fn with(more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&request_line("GET", "/")[..], more].concat();
    framed(kind::HEADERS, END, 1, &block(&fields))
}

fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    framed(kind::HEADERS, END, 1, &block(fields))
}

/// What costs the connection: the section, what is sent, and the rule.
fn cost_the_connection(cases: &[(&str, Vec<u8>, &str)]) {
    for (section, bytes, name) in cases {
        let (last, event) = fails(bytes);
        let rule = Violation::NAMES.iter().position(|known| known == name).expect("a rule");
        assert!(last.starts_with("goaway "), "{section} {name}: {last} {event}");
        assert_eq!(event, format!("fails: {name}"), "{section}");
        let code = CODES.iter().find(|(_, rules)| rules.contains(name)).map(|(code, _)| *code);
        let code = code.unwrap_or("protocol_error");
        assert!(last.ends_with(code), "{section} {name} ({rule}): {last}");
    }
}

/// Rules that have a code of their own.
const CODES: [(&str, &[&str]); 4] = [
    ("frame_size_error", &["frame_too_large", "frame_size"]),
    ("compression_error", &["compression"]),
    ("flow_control_error", &["window_overflow", "window_exceeded"]),
    ("stream_closed", &["stream_ended"]),
];

fn reset(id: u32, code: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_reset(id, ErrorCode(code), &mut out);
    out
}

fn settings(id: u16, value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_settings(&[(id, value)], &mut out);
    out
}

fn window(id: u32, bytes: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_window_update(id, bytes, &mut out);
    out
}

/// A request whose body has not ended, and what follows.
fn open(more: Vec<u8>) -> Vec<u8> {
    [post(1, &[]), more].concat()
}

#[test]
fn streams_and_blocks_that_cost_the_connection() {
    let head = block(&request_line("GET", "/"));
    cost_the_connection(&[
        ("4.2", framed(kind::HEADERS, END, 1, &vec![0; 16_385]), "frame_too_large"),
        ("4.3", framed(kind::HEADERS, END, 1, &[0xff]), "compression"),
        ("4.3", open(framed(kind::HEADERS, END, 1, &[0xff])), "compression"),
        ("5.1", data(1, b"x", true), "stream_idle"),
        ("5.1", reset(1, 0), "stream_idle"),
        ("5.1", framed(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), "stream_idle"),
        ("5.1", framed(kind::WINDOW_UPDATE, 0, 2, &[0, 0, 0, 1]), "stream_idle"),
        ("5.1.1", get(2, "/"), "stream_parity"),
        ("5.1.1", [get(3, "/"), get(1, "/")].concat(), "stream_ended"),
        ("6.1", data(0, b"x", true), "frame_stream"),
        ("6.1", open(framed(kind::DATA, flag::PADDED, 1, b"")), "padding"),
        ("6.1", open([framed(kind::DATA, flag::PADDED, 1, b""), get(3, "/")].concat()), "padding"),
        ("6.1", open(framed(kind::DATA, flag::PADDED, 1, &[5, 0, 0, 0])), "padding"),
        ("6.2", framed(kind::HEADERS, END, 0, &head), "frame_stream"),
        ("6.2", framed(kind::HEADERS, END | flag::PADDED, 1, b""), "padding"),
    ]);
}

#[test]
fn settings_and_resets_that_cost_the_connection() {
    let head = block(&request_line("GET", "/"));
    cost_the_connection(&[
        ("6.2", framed(kind::HEADERS, END | flag::PADDED, 1, &[9, 0]), "padding"),
        ("6.2", framed(kind::HEADERS, END | flag::PRIORITY, 1, &[0; 4]), "frame_size"),
        ("6.2", [framed(kind::HEADERS, 1, 1, &head), get(3, "/")].concat(), "block_interrupted"),
        (
            "6.2",
            [framed(kind::HEADERS, 1, 1, &head), framed(kind::PING, 0, 0, &[0; 8])].concat(),
            "block_interrupted",
        ),
        (
            "6.2",
            [framed(kind::HEADERS, 1, 1, &head), framed(kind::CONTINUATION, 4, 3, b"")].concat(),
            "block_interrupted",
        ),
        ("6.3", framed(kind::PRIORITY, 0, 0, &[0; 5]), "frame_stream"),
        ("6.4", open(reset(0, 0)), "frame_stream"),
        ("6.4", open(framed(kind::RST_STREAM, 0, 1, &[0; 5])), "frame_size"),
        ("6.5", framed(kind::SETTINGS, 0, 1, b""), "frame_stream"),
        ("6.5", framed(kind::SETTINGS, flag::ACK, 0, &[0; 6]), "frame_size"),
        ("6.5", framed(kind::SETTINGS, 0, 0, &[0; 5]), "frame_size"),
        ("6.5.2", settings(frame::setting::ENABLE_PUSH, 2), "setting_value"),
        ("6.5.2", settings(frame::setting::INITIAL_WINDOW_SIZE, 1 << 31), "window_overflow"),
        ("6.5.2", settings(frame::setting::MAX_FRAME_SIZE, 16_383), "setting_value"),
    ]);
}

#[test]
fn windows_and_the_rest_that_costs_the_connection() {
    cost_the_connection(&[
        ("6.7", framed(kind::PING, 0, 1, &[0; 8]), "frame_stream"),
        ("6.7", framed(kind::PING, 0, 0, &[0; 7]), "frame_size"),
        ("6.8", framed(kind::GOAWAY, 0, 1, &[0; 8]), "frame_stream"),
        ("6.8", framed(kind::GOAWAY, 0, 0, &[0; 7]), "frame_size"),
        ("6.9", framed(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), "window_increment"),
        ("6.9", framed(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), "frame_size"),
        ("6.9.1", window(0, (1 << 31) - 1), "window_overflow"),
        (
            "6.9.2",
            open([window(1, (1 << 31) - 1 - 65_535), settings(4, 70_000)].concat()),
            "window_overflow",
        ),
        ("6.10", framed(kind::CONTINUATION, flag::END_HEADERS, 1, b""), "continuation_unexpected"),
        (
            "8.4",
            open(framed(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0, 0, 0, 2])),
            "push_promise",
        ),
        ("9218 7.1", framed(kind::PRIORITY_UPDATE, 0, 1, &[0, 0, 0, 1]), "frame_stream"),
        ("9218 7.1", framed(kind::PRIORITY_UPDATE, 0, 0, &[0, 0, 0]), "frame_size"),
        ("9218 7.1", framed(kind::PRIORITY_UPDATE, 0, 0, &[0, 0, 0, 0]), "frame_stream"),
    ]);
}

#[test]
fn a_connection_begins_as_one_of_http_2() {
    for (bytes, name) in [
        (b"GET / HTTP/1.1\r\n\r\nhost: a\r\n\r\n".to_vec(), "preface"),
        ([PREFACE, &get(1, "/")].concat(), "settings_missing"),
        ([PREFACE, &framed(kind::SETTINGS, flag::ACK, 0, b"")].concat(), "settings_missing"),
    ] {
        let mut peer = Peer::new(Answers::Nothing);
        peer.send(&bytes);
        assert_eq!(peer.events, [format!("fails: {name}")]);
        assert_eq!(peer.said(), ["settings", "goaway 0 protocol_error"]);
        // What follows is not looked at.
        peer.send(&get(1, "/"));
        assert_eq!((peer.events.len(), peer.server.cost()), (1, 0));
    }
}

/// What costs a stream: the section, what is sent, and the rule.
fn cost_a_stream(cases: &[(&str, Vec<u8>, &str)]) {
    for (section, bytes, name) in cases {
        let mut peer = Peer::greeted(Answers::Nothing);
        peer.send(bytes);
        let violated = format!("1 violates: {name}");
        assert!(peer.events.contains(&violated), "{section}: {:?}", peer.events);
        let last = peer.said().pop().unwrap();
        assert!(last.starts_with("1 reset "), "{section}: {last}");
        assert_eq!(peer.server.streams(), 0);
        // The connection goes on, with its tables.
        peer.send(&get(3, "/on"));
        assert_eq!(peer.events.last().unwrap(), "3 GET a/on 0", "{section}");
    }
}

#[test]
fn frames_that_cost_a_stream() {
    let ended = |more: Vec<u8>| [get(1, "/"), more].concat();
    let long = |more: Vec<u8>| [post(1, &[("content-length", "3")]), more].concat();
    let trailers = |fields: &[(&str, &str)], flags| framed(kind::HEADERS, flags, 1, &block(fields));
    let overflow = window(1, (1 << 31) - 1);
    cost_a_stream(&[
        ("5.1", ended(data(1, b"x", false)), "stream_ended"),
        ("5.1", ended(trailers(&[("a", "b")], END)), "stream_ended"),
        ("6.3", open(framed(kind::PRIORITY, 0, 1, &[0; 4])), "frame_size"),
        ("6.9", open(framed(kind::WINDOW_UPDATE, 0, 1, &[0; 4])), "window_increment"),
        ("6.9.1", open(overflow), "window_overflow"),
        ("8.1", open(trailers(&[("a", "b")], flag::END_HEADERS)), "trailers_unended"),
        ("8.1", open(trailers(&[(":path", "/")], END)), "pseudo_unknown"),
        ("8.1.1", long(data(1, b"ab", true)), "length_differs"),
        ("8.1.1", long(data(1, b"abcd", false)), "length_differs"),
        ("8.1.1", long(trailers(&[("a", "b")], END)), "length_differs"),
    ]);
}

#[test]
fn fields_that_cost_a_stream() {
    cost_a_stream(&[
        ("8.1.1", with(&[("content-length", "3")]), "length_differs"),
        ("8.1.1", with(&[("content-length", "x")]), "h2_length_invalid"),
        ("8.1.1", with(&[("content-length", "")]), "h2_length_invalid"),
        ("8.1.1", with(&[("content-length", "0"), ("content-length", "0")]), "h2_length_invalid"),
        ("8.2.1", with(&[("X-Upper", "a")]), "h2_field_name"),
        ("8.2.1", with(&[("a b", "a")]), "h2_field_name"),
        ("8.2.1", with(&[("", "a")]), "h2_field_name"),
        ("8.2.1", with(&[("x", "a\r\nb: c")]), "h2_field_value"),
        ("8.2.1", with(&[("x", "a\0")]), "h2_field_value"),
        ("8.2.1", with(&[("x", " a")]), "h2_field_value"),
        ("8.2.2", with(&[("connection", "close")]), "connection_field"),
        ("8.2.2", with(&[("keep-alive", "1")]), "connection_field"),
        ("8.2.2", with(&[("proxy-connection", "x")]), "connection_field"),
        ("8.2.2", with(&[("transfer-encoding", "chunked")]), "connection_field"),
        ("8.2.2", with(&[("upgrade", "h2c")]), "connection_field"),
        ("8.2.2", with(&[("te", "gzip")]), "connection_field"),
    ]);
}

#[test]
fn pseudo_header_fields_that_cost_a_stream() {
    let scheme = (":scheme", "http");
    let authority = (":authority", "a");
    cost_a_stream(&[
        ("8.3", with(&[(":x", "y")]), "pseudo_unknown"),
        ("8.3", with(&[(":path", "/")]), "pseudo_repeated"),
        (
            "8.3",
            only(&[(":method", "GET"), ("x", "y"), (":path", "/"), scheme]),
            "pseudo_misplaced",
        ),
        ("8.3.1", only(&[(":method", "GET"), scheme, authority]), "pseudo_missing"),
        ("8.3.1", only(&[(":method", "GET"), (":path", "/"), authority]), "pseudo_missing"),
        ("8.3.1", only(&[(":path", "/"), scheme, authority]), "pseudo_missing"),
        ("8.3.1", only(&[(":method", "GET"), (":path", ""), scheme]), "pseudo_value"),
        ("8.3.1", only(&[(":method", "GET"), (":path", "a"), scheme, authority]), "pseudo_value"),
        ("8.3.1", only(&[(":method", "GE T"), (":path", "/"), scheme]), "pseudo_value"),
        ("8.3.1", only(&[(":method", "GET"), (":path", "/"), (":scheme", "ftp")]), "pseudo_value"),
        ("8.3.1", only(&[(":status", "200")]), "pseudo_unknown"),
        ("8.3.1", with(&[("host", "b")]), "host_differs"),
        ("8.5", only(&[(":method", "CONNECT"), (":path", "/"), authority]), "pseudo_unknown"),
        ("8.5", only(&[(":method", "CONNECT")]), "pseudo_missing"),
        (
            "8441 4",
            only(&[
                (":method", "GET"),
                (":path", "/"),
                scheme,
                authority,
                (":protocol", "websocket"),
            ]),
            "pseudo_unknown",
        ),
    ]);
}

#[test]
fn what_is_refused_with_a_status() {
    let long = "x".repeat(9000);
    let path = format!("/{long}");
    let large = "x".repeat(15_000);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            only(&[(":method", "GET"), (":path", &path), (":scheme", "http"), (":authority", "a")]),
            "target_too_long",
        ),
        (
            only(&[(":method", "GET"), (":path", "/.."), (":scheme", "http"), (":authority", "a")]),
            "target",
        ),
        (
            only(&[(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a b")]),
            "host",
        ),
        (
            only(&[(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "u@a")]),
            "host",
        ),
        (only(&[(":method", "GET"), (":path", "/"), (":scheme", "http")]), "host_missing"),
        (with(&[("host", "a"), ("host", "a")]), "host_repeated"),
        (with(&[("expect", "200-ok")]), "expectation"),
        (
            {
                let fields = [("x", &*large), ("y", &*large), ("z", &*large)];
                let whole = block(&[&request_line("GET", "/")[..], &fields, &fields].concat());
                let mut parts = whole.chunks(16_000);
                let mut bytes = framed(kind::HEADERS, flag::END_STREAM, 1, parts.next().unwrap());
                let rest: Vec<&[u8]> = parts.collect();
                for (at, part) in rest.iter().enumerate() {
                    let flags = if at + 1 == rest.len() { flag::END_HEADERS } else { 0 };
                    bytes.extend(framed(kind::CONTINUATION, flags, 1, part));
                }
                bytes
            },
            "head_too_large",
        ),
    ];
    for (bytes, name) in cases {
        let mut peer = Peer::greeted(Answers::Nothing);
        peer.send(&bytes);
        assert_eq!(peer.events, [format!("1 refused: {name}")]);
        let answer = peer.said();
        assert!(answer[0].starts_with("1 head :status=4"), "{answer:?}");
        peer.send(&get(3, "/on"));
        assert_eq!(peer.events.last().unwrap(), "3 GET a/on 0");
    }
}

#[test]
fn a_body_beyond_its_limit_is_refused() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&post(1, &[("content-length", "1048577")]));
    assert_eq!(peer.events.last().unwrap(), "1 too large");
    peer.respond(1, 413, b"");
    peer.turn();
    assert_eq!(peer.said(), ["1 head :status=413 content-length=0 end", "1 reset no_error"]);
}

#[test]
fn frames_on_streams_that_are_over_are_no_offence_but_of_the_peer() {
    // After our reset, what was on its way is ignored.
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&post(1, &[]));
    peer.server.reset(1, ErrorCode::CANCEL, &mut peer.space);
    let mut more = data(1, b"x", false);
    more.extend(framed(kind::HEADERS, END, 1, &block(&[("a", "b")])));
    frame::write_window_update(1, 5, &mut more);
    frame::write_reset(1, ErrorCode::CANCEL, &mut more);
    peer.send(&more);
    assert_eq!(peer.said(), ["1 reset cancel"]);
    // After its own end, what it sends is wrong.
    let mut peer = Peer::greeted(Answers::Word);
    peer.send(&get(1, "/"));
    peer.said();
    peer.send(&data(1, b"x", false));
    assert_eq!(peer.said(), ["goaway 1 stream_closed"]);
}

#[test]
fn a_host_takes_the_place_of_an_authority_and_may_say_the_same() {
    for (fields, word) in [
        (
            vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "B.example")],
            "1 GET b.example/ 0",
        ),
        (
            vec![
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "A"),
                ("host", "a"),
            ],
            "1 GET a/ 0",
        ),
        (
            vec![(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "a")],
            "1 OPTIONS a* 0",
        ),
        (vec![(":method", "CONNECT"), (":authority", "a:1")], "1 CONNECT a:1 0"),
        (extended_connect("websocket"), "1 GET a/ 0,1 upgrade=websocket"),
        (extended_connect("connect-udp"), "1 CONNECT a/ 0"),
    ] {
        let mut peer = Peer::greeted(Answers::Nothing);
        peer.send(&only(&fields));
        assert_eq!(peer.events.join(","), word);
    }
}

/// RFC 8441, section 4.
fn extended_connect(protocol: &str) -> Vec<(&str, &str)> {
    let line = [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    [&line[..], &[(":protocol", protocol)]].concat()
}

#[test]
fn the_settings_say_what_is_taken() {
    let mut peer = Peer::new(Answers::Nothing);
    peer.send(&hello(&[]));
    let out = std::mem::take(&mut peer.out);
    let all = frames(&out);
    let settings: Vec<(u16, u32)> = frame::read_settings(all[0].1).collect();
    assert_eq!(settings, [(3, 100), (6, 65_536), (9, 1)]);
    let limits = Limits { extended_connect: true, ..Limits::default() };
    let mut peer = Peer::limited(Answers::Nothing, limits);
    peer.send(&hello(&[]));
    let out = std::mem::take(&mut peer.out);
    let all = frames(&out);
    let settings: Vec<(u16, u32)> = frame::read_settings(all[0].1).collect();
    assert_eq!(settings.last(), Some(&(8, 1)), "RFC 8441, section 3");
    assert!(said(&framed(kind::SETTINGS, 0, 0, &[0, 0x70, 0, 0, 0, 1])) == ["settings ack"]);
}

#[test]
fn trailers_that_are_left_out_do_not_hide_that_a_body_is_too_short() {
    let mut peer = Peer::greeted(Answers::Echo);
    let many: Vec<(String, &str)> = (0..300).map(|at| (format!("x-{at}"), "v")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    peer.send(&post(1, &[("content-length", "100")]));
    peer.send(&data(1, &[b'a'; 50], false));
    peer.send(&framed(kind::HEADERS, END, 1, &block(&many)));
    assert!(peer.events.contains(&"1 violates: length_differs".to_owned()), "{:?}", peer.events);
}
