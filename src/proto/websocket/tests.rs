//! Frames at every split position, and what breaks a rule.

use super::*;

const ANY: Limits = Limits { frame: u64::MAX, message: u64::MAX, deflate: false };
const KEY: Option<[u8; 4]> = Some([0xde, 0xad, 0xbe, 0xef]);

/// A frame of a client.
fn masked(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::frame(opcode, (fin, false), payload, KEY, &mut out);
    out
}

/// What is read of parts that come one after the other: messages and control frames in words.
fn tell(role: Role, limits: &Limits, parts: &[&[u8]]) -> Vec<String> {
    let mut reader = Reader::new(role);
    let mut told = Vec::new();
    let (mut message, mut is_within) = (Vec::new(), false);
    for part in parts {
        let mut bytes = part.to_vec();
        let mut at = 0;
        while at < bytes.len() {
            let (count, item) = match reader.read(&mut bytes[at..], limits) {
                Ok(read) => read,
                Err(violation) => {
                    told.push(format!("error {} {}", violation.name(), violation.code()));
                    return told;
                }
            };
            match item {
                None => assert_eq!(at + count, bytes.len(), "nothing follows from a part of it"),
                Some(Item::Part(part)) => {
                    let Part { payload, first, last, kind, .. } = part;
                    assert_eq!(first, !is_within, "only the first part begins a message");
                    is_within = !last;
                    message.extend_from_slice(&bytes[at..][payload]);
                    if last {
                        told.push(format!("{kind:?} {}", String::from_utf8_lossy(&message)));
                        message.clear();
                    }
                }
                Some(Item::Ping(one)) => {
                    told.push(format!("ping {}", String::from_utf8_lossy(one.bytes())));
                }
                Some(Item::Pong(one)) => {
                    told.push(format!("pong {}", String::from_utf8_lossy(one.bytes())));
                }
                Some(Item::Close(code, one)) => {
                    let reason = one.bytes().get(2..).unwrap_or_default();
                    told.push(format!("close {code} {}", String::from_utf8_lossy(reason)));
                }
            }
            at += count;
        }
    }
    told
}

#[test]
fn a_conversation_is_read_alike_at_every_split() {
    let long = "x".repeat(300);
    let mut wire = masked(Opcode::Text, true, "héllo".as_bytes());
    wire.extend(masked(Opcode::Ping, true, b"p"));
    wire.extend(masked(Opcode::Binary, false, b"ab"));
    wire.extend(masked(Opcode::Pong, true, b""));
    wire.extend(masked(Opcode::Continuation, false, b""));
    wire.extend(masked(Opcode::Continuation, true, b"cd"));
    wire.extend(masked(Opcode::Text, true, b""));
    wire.extend(masked(Opcode::Text, true, long.as_bytes()));
    let mut close = Vec::new();
    write::close(CloseCode::NORMAL, "done", KEY, &mut close);
    wire.extend(close);
    wire.extend(b"whatever follows");
    let expected = [
        "Text héllo".to_owned(),
        "ping p".to_owned(),
        "pong ".to_owned(),
        "Binary abcd".to_owned(),
        "Text ".to_owned(),
        format!("Text {long}"),
        "close 1000 done".to_owned(),
    ];
    assert_eq!(tell(Role::Server, &ANY, &[&wire]), expected);
    for cut in 0..wire.len() {
        let (first, second) = wire.split_at(cut);
        assert_eq!(tell(Role::Server, &ANY, &[first, second]), expected, "{cut}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(tell(Role::Server, &ANY, &bytes), expected);
}

#[test]
fn what_breaks_a_rule_is_named_at_every_split() {
    let two = |one: Vec<u8>, other: Vec<u8>| [one, other].concat();
    let text = |payload: &[u8]| masked(Opcode::Text, true, payload);
    let close = |payload: &[u8]| masked(Opcode::Close, true, payload);
    let mut unmasked = Vec::new();
    write::frame(Opcode::Text, (true, false), b"x", None, &mut unmasked);
    let mut compressed = Vec::new();
    write::frame(Opcode::Text, (true, true), b"x", KEY, &mut compressed);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (unmasked, "error unmasked 1002"),
        (compressed, "error reserved_bit 1002"),
        (masked(Opcode::Continuation, true, b"x"), "error no_message 1002"),
        (two(masked(Opcode::Text, false, b"a"), text(b"b")), "error message_within 1002"),
        (text(b"\xff"), "error utf8 1007"),
        (text(b"ab\xe2\x82"), "error utf8 1007"),
        (close(b"x"), "error close_length 1002"),
        (close(&1005u16.to_be_bytes()), "error close_code 1002"),
        (close(&[3, 232, 0xff]), "error close_reason 1007"),
        (text(&[b'x'; 11]), "error frame_too_big 1009"),
        (
            two(
                masked(Opcode::Binary, false, &[0; 10]),
                masked(Opcode::Continuation, true, &[0; 6]),
            ),
            "error message_too_big 1009",
        ),
    ];
    let limits = Limits { frame: 10, message: 15, deflate: false };
    for (wire, expected) in cases {
        assert_eq!(tell(Role::Server, &limits, &[&wire]).last().unwrap(), expected);
        for cut in 0..wire.len() {
            let (first, second) = wire.split_at(cut);
            let told = tell(Role::Server, &limits, &[first, second]);
            assert_eq!(told.last().unwrap(), expected, "{cut} of {wire:x?}");
        }
    }
    assert_eq!(tell(Role::Client, &ANY, &[&text(b"x")]), ["error masked 1002"]);
}

#[test]
fn what_is_compressed_is_so_from_its_first_frame_on() {
    let limits = Limits { deflate: true, ..ANY };
    let frame = |opcode, compressed, payload: &[u8]| {
        let mut out = Vec::new();
        write::frame(opcode, (opcode != Opcode::Text, compressed), payload, KEY, &mut out);
        out
    };
    let mut ping = frame(Opcode::Ping, true, b"");
    assert_eq!(tell(Role::Server, &limits, &[&ping]), ["error compressed_fragment 1002"]);
    ping = frame(Opcode::Text, false, b"a");
    ping.extend(frame(Opcode::Continuation, true, b"b"));
    assert_eq!(tell(Role::Server, &limits, &[&ping]), ["error compressed_fragment 1002"]);
    // No text is looked for in what is compressed.
    let mut wire = frame(Opcode::Text, true, b"\xff");
    wire.extend(frame(Opcode::Continuation, false, b"\xfe"));
    assert_eq!(tell(Role::Server, &limits, &[&wire]), ["Text \u{fffd}\u{fffd}"]);
}

#[test]
fn what_is_compressed_and_does_not_become_shorter_is_within_the_limits() {
    let limits = Limits { frame: 1 << 20, message: 1 << 20, deflate: true };
    let frame = |len, opcode, compressed| {
        let mut out = Vec::new();
        FrameHead { fin: true, compressed, opcode, mask: KEY, len }.append(&mut out);
        out
    };
    // What stored blocks of 64 KiB add, and somewhat smaller ones.
    for over in [340, 2560] {
        let head = frame((1 << 20) + over, Opcode::Binary, true);
        assert!(tell(Role::Server, &limits, &[&head]).is_empty(), "{over}");
        let head = frame((1 << 20) + over, Opcode::Binary, false);
        assert_eq!(tell(Role::Server, &limits, &[&head]), ["error frame_too_big 1009"]);
    }
    let head = frame((1 << 20) + (1 << 15), Opcode::Binary, true);
    assert_eq!(tell(Role::Server, &limits, &[&head]), ["error frame_too_big 1009"]);
}

#[test]
fn both_ends_close_once() {
    let mut out = Vec::new();
    let mut server = Endpoint::new(Role::Server);
    let mut client = Endpoint::new(Role::Client);
    client.close(CloseCode(4000), "bye", KEY, &mut out);
    client.close(CloseCode::NORMAL, "again", KEY, &mut out);
    assert_eq!(client.closing(), Closing::Sent);
    let (count, item) = server.read(&mut out, &ANY).unwrap();
    assert_eq!(count, out.len());
    let mut answer = Vec::new();
    server.answer(&item.unwrap(), None, &mut answer);
    assert_eq!((server.closing(), server.code()), (Closing::Done, Some(CloseCode(4000))));
    assert_eq!(answer, [0x88, 2, 0x0f, 0xa0]);
    let (_, item) = client.read(&mut answer, &ANY).unwrap();
    let mut nothing = Vec::new();
    client.answer(&item.unwrap(), KEY, &mut nothing);
    assert_eq!((client.closing(), nothing.len()), (Closing::Done, 0));
    assert_eq!(client.read(&mut [0xff; 9], &ANY), Ok((9, None)), "nothing is read any more");
}

#[test]
fn every_violation_has_its_own_name() {
    let places = Violation::ALL.map(Violation::index);
    assert!(places.iter().copied().eq(0..Violation::ALL.len()));
    let names: std::collections::BTreeSet<_> =
        Violation::ALL.iter().map(|one| one.name()).collect();
    assert_eq!(names.len(), Violation::ALL.len());
}

#[test]
fn every_code_is_counted_in_its_class() {
    for (code, class) in [
        (1000, "1000"),
        (1003, "1003"),
        (1004, "other"),
        (1005, "1005"),
        (1014, "1014"),
        (1015, "other"),
        (2999, "other"),
        (3000, "3xxx"),
        (4999, "4xxx"),
        (5000, "other"),
    ] {
        assert_eq!(CloseCode::CLASSES[CloseCode(code).class()], class, "{code}");
    }
}
