//! What a client may send, and rules that it breaks.

use ringway::proto::websocket::deflate::Codec;
use ringway::proto::websocket::{Opcode, write};

use super::peer::frame;
use super::*;

/// The code that `sent` is closed with, behind what is echoed.
fn code_of(served: &Served, fields: &str, sent: &[u8], echoed: &[Came]) -> u16 {
    let mut peer = Peer::open_with(served, "/echo", fields);
    peer.write(sent);
    for expected in echoed {
        assert_eq!(peer.next(), *expected);
    }
    let Came::Close(code, _) = peer.next() else { panic!("it is closed") };
    // Nothing is read behind it, and the server ends the connection by itself.
    assert_eq!(peer.next(), Came::End);
    code
}

#[test]
fn who_breaks_a_rule_is_told_which_kind_it_was_and_counted() {
    let served = served(1, "message_max = 1000\nframe_max = 500", "");
    let whole = |opcode, payload: &[u8]| frame(opcode, true, payload);
    let start = |payload: &[u8]| frame(Opcode::Text, false, payload);
    let unmasked = b"\x81\x02hi".to_vec();
    let within = [start(b"a"), whole(Opcode::Text, b"b")].concat();
    let half = [start(b"a"), frame(Opcode::Continuation, true, b"\xff")].concat();
    let long = [
        frame(Opcode::Binary, false, &[0; 400]),
        frame(Opcode::Continuation, false, &[0; 400]),
        frame(Opcode::Continuation, true, &[0; 201]),
    ];
    let cases: [(&str, Vec<u8>, u16); 15] = [
        ("unmasked", unmasked, 1002),
        ("reserved_bit", vec![0xa1, 0x80, 0, 0, 0, 0], 1002),
        ("reserved_bit", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("reserved_opcode", vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        ("length", vec![0x82, 0xfe, 0, 125], 1002),
        ("fragmented_control", vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        ("long_control", vec![0x89, 0xfe, 0, 126], 1002),
        ("no_message", whole(Opcode::Continuation, b"a"), 1002),
        ("message_within", within, 1002),
        ("close_length", whole(Opcode::Close, b"a"), 1002),
        ("close_code", whole(Opcode::Close, b"\x03\xec"), 1002),
        ("close_reason", whole(Opcode::Close, b"\x03\xe8\xff"), 1007),
        ("utf8", half, 1007),
        ("frame_too_big", whole(Opcode::Binary, &[0; 501]), 1009),
        ("message_too_big", long.concat(), 1009),
    ];
    for (rule, sent, code) in cases {
        let before = violations(&served, rule);
        assert_eq!(code_of(&served, "", &sent, &[]), code, "{rule}");
        wait_until("it is counted", || violations(&served, rule) == before + 1);
    }
    // What came whole before is answered before.
    let sent = [whole(Opcode::Text, b"one"), whole(Opcode::Ping, b"2"), vec![0x83, 0x80]].concat();
    let echoed = [Came::text("one"), Came::Pong(b"2".to_vec())];
    assert_eq!(code_of(&served, "", &sent, &echoed), 1002);
    for (code, count) in [("1002", 12), ("1007", 2), ("1009", 2)] {
        wait_until("closes are counted", || closed(&served, "echo", code) == count);
    }
    // A message of just the limit, in frames of just theirs.
    let mut peer = Peer::open(&served, "/echo");
    peer.write(&frame(Opcode::Binary, false, &[1; 500]));
    peer.write(&frame(Opcode::Continuation, true, &[1; 500]));
    assert_eq!(peer.next(), Came::Binary(vec![1; 1000]));
    peer.finish();
}

#[test]
fn text_that_is_none_is_refused_before_its_frame_is_whole() {
    let served = served(1, "", "");
    let mut peer = Peer::open(&served, "/echo");
    let mut whole = frame(Opcode::Text, true, b"abc\xf4\x90 and more that never comes");
    whole.truncate(6 + 5);
    peer.write(&whole);
    assert!(matches!(peer.next(), Came::Close(1007, _)));
    assert_eq!(peer.next(), Came::End);
}

#[test]
fn messages_beyond_the_rate_close_the_socket() {
    let served = served(1, "message_rate = 1\nmessage_burst = 3", "");
    let sent: Vec<u8> = (0..9).flat_map(|_| frame(Opcode::Text, true, b"x")).collect();
    let echoed = [Came::text("x"), Came::text("x"), Came::text("x")];
    assert_eq!(code_of(&served, "", &sent, &echoed), 1008);
    wait_until("it is counted", || violations(&served, "rate") == 1);
    // Control frames are no messages.
    let mut peer = Peer::open(&served, "/echo");
    for n in 0..20_u8 {
        peer.send(Opcode::Ping, &[n]);
        assert_eq!(peer.next(), Came::Pong(vec![n]));
    }
    peer.finish();
}

#[test]
fn a_bomb_is_refused_before_its_memory_is_taken() {
    let served = served(1, "message_max = \"64KiB\"\ndeflate_takeover = true", "");
    let field = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let shared = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                  client_no_context_takeover\r\n";
    let mut deflated = Vec::new();
    Codec::new().deflate(&vec![0; 32 << 20], 15, Default::default(), &mut deflated);
    assert!(deflated.len() < (64 << 10), "the wire would refuse it");
    let mut bomb = Vec::new();
    write::frame(Opcode::Binary, (true, true), &deflated, MASK, &mut bomb);
    let mut corrupt = Vec::new();
    write::frame(Opcode::Binary, (true, true), &[0xff; 20], MASK, &mut corrupt);
    for fields in [field, shared] {
        assert_eq!(code_of(&served, fields, &bomb, &[]), 1009);
        assert_eq!(code_of(&served, fields, &corrupt, &[]), 1007);
    }
    wait_until("both are counted", || violations(&served, "deflate") == 2);
    assert_eq!(violations(&served, "message_too_big"), 2);
    // The next one finds all in order.
    let mut deflated = Vec::new();
    Codec::new().deflate(b"hello", 15, Default::default(), &mut deflated);
    let mut good = Vec::new();
    write::frame(Opcode::Binary, (true, true), &deflated, MASK, &mut good);
    let mut peer = Peer::open_with(&served, "/echo", shared);
    peer.write(&good);
    assert_eq!(peer.next(), Came::Binary(b"hello".to_vec()));
    peer.finish();
}

#[test]
fn a_client_that_takes_nothing_is_read_no_more() {
    let served = served(1, "idle_timeout = \"off\"\nping_interval = \"off\"", "");
    let mut peer = Peer::open(&served, "/echo");
    let mut writer = peer.stream.try_clone().unwrap();
    let piece = bytes(5, 50_000);
    let sent = frame(Opcode::Binary, true, &piece);
    let (tell, told) = std::sync::mpsc::channel();
    const COUNT: usize = 1000;
    let thread = std::thread::spawn(move || {
        for _ in 0..COUNT {
            std::io::Write::write_all(&mut writer, &sent).unwrap();
            tell.send(()).unwrap();
        }
    });
    // Until nothing is taken any more: buffers of the kernel are full.
    let mut taken = 0;
    while told.recv_timeout(std::time::Duration::from_millis(300)).is_ok() {
        taken += 1;
        assert!(taken < COUNT, "50 MB are not held");
    }
    let waiting = served.sum(|cell| cell.stats.waiting.bytes.get());
    assert!(waiting < 1 << 20, "{waiting} bytes wait");
    let mut other = Peer::open(&served, "/echo");
    other.round_trip();
    for _ in 0..COUNT {
        assert!(peer.next() == Came::Binary(piece.clone()));
        other.round_trip();
    }
    thread.join().unwrap();
}
