//! What an echo sends back.

use std::io::Read;

use ringway::proto::websocket::deflate::Codec;
use ringway::proto::websocket::{Opcode, write};

use super::peer::frame;
use super::*;

/// Frames of every kind, and what comes back.
fn conversation() -> (Vec<u8>, Vec<Came>) {
    let long = bytes(3, 300);
    let sent = [
        frame(Opcode::Text, true, "grüße".as_bytes()),
        frame(Opcode::Text, true, b""),
        frame(Opcode::Binary, true, &long),
        frame(Opcode::Ping, true, b"a"),
        frame(Opcode::Text, false, &"né".as_bytes()[..2]),
        frame(Opcode::Ping, true, b"between"),
        frame(Opcode::Pong, true, b"unasked"),
        frame(Opcode::Continuation, false, b""),
        frame(Opcode::Continuation, true, &"né".as_bytes()[2..]),
        frame(Opcode::Binary, true, b"last"),
        frame(Opcode::Close, true, b"\x0f\xa0bye"),
    ];
    let came = vec![
        Came::text("grüße"),
        Came::text(""),
        Came::Binary(long),
        Came::Pong(b"a".to_vec()),
        Came::Pong(b"between".to_vec()),
        Came::text("né"),
        Came::Binary(b"last".to_vec()),
        Came::close(4000),
        Came::End,
    ];
    (sent.concat(), came)
}

#[test]
fn messages_come_back_at_every_split_of_the_stream() {
    let served = served(1, "", "");
    let (sent, expected) = conversation();
    // Its worker has read what was written before, once it is answered.
    let mut other = Peer::open(&served, "/echo");
    for cut in 0..=sent.len() {
        let mut peer = Peer::open(&served, "/echo");
        peer.write(&sent[..cut]);
        other.round_trip();
        peer.write(&sent[cut..]);
        let came: Vec<Came> = (0..expected.len()).map(|_| peer.next()).collect();
        assert_eq!(came, expected, "cut at {cut}");
    }
}

#[test]
fn a_byte_at_a_time_is_read_like_the_whole() {
    let served = served(1, "", "");
    let (sent, expected) = conversation();
    let mut other = Peer::open(&served, "/echo");
    let mut peer = Peer::open(&served, "/echo");
    for byte in sent {
        peer.write(&[byte]);
        other.round_trip();
    }
    let came: Vec<Came> = (0..expected.len()).map(|_| peer.next()).collect();
    assert_eq!(came, expected);
}

#[test]
fn what_follows_the_handshake_at_once_is_answered() {
    let served = served(1, "", "");
    let mut stream = served.connect();
    let (sent, _) = conversation();
    let request = [super::peer::handshake("/echo", "").as_bytes(), &sent].concat();
    std::io::Write::write_all(&mut stream, &request).unwrap();
    let head = super::peer::head_of_answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.starts_with("\u{81}".as_bytes().get(1..).unwrap()), "{rest:x?}");
    assert!(rest.ends_with(&[0x88, 2, 0x0f, 0xa0]), "{rest:x?}");
}

#[test]
fn many_messages_at_once_come_back_in_order() {
    let served = served(1, "", "");
    let mut peer = Peer::open(&served, "/echo");
    let sizes = [0, 1, 125, 126, 4000, 4090, 5000, 20_000];
    for round in 0..20_u64 {
        let messages: Vec<Vec<u8>> =
            (0..16).map(|n| bytes(round * 16 + n as u64, sizes[n % sizes.len()])).collect();
        let sent: Vec<u8> =
            messages.iter().flat_map(|one| frame(Opcode::Binary, true, one)).collect();
        peer.write(&sent);
        for message in messages {
            assert_eq!(peer.next(), Came::Binary(message), "round {round}");
        }
    }
    peer.finish();
    let sum = |direction| of_route(&served, "messages_total", "echo", direction);
    wait_until("all is counted", || sum(",direction=\"sent\"") == 320);
    assert_eq!(sum(",direction=\"received\""), 320);
}

#[test]
fn a_megabyte_comes_back_whole_and_in_fragments() {
    let served = served(1, "", "");
    let data = bytes(9, 1 << 20);
    for size in [1 << 20, 300_000, 65_536, 1000] {
        let mut peer = Peer::open(&served, "/echo");
        let mut sent = Vec::new();
        let count = data.chunks(size).count();
        for (n, part) in data.chunks(size).enumerate() {
            let opcode = if n == 0 { Opcode::Binary } else { Opcode::Continuation };
            sent.extend(frame(opcode, n + 1 == count, part));
            // A control frame may come between any two.
            if n % 100 == 50 {
                sent.extend(frame(Opcode::Ping, true, &n.to_le_bytes()));
            }
        }
        let mut writer = peer.stream.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            std::io::Write::write_all(&mut writer, &sent).unwrap();
        });
        let mut pongs = Vec::new();
        let message = loop {
            match peer.next() {
                Came::Pong(payload) => pongs.push(payload),
                Came::Binary(message) => break message,
                came @ (Came::Text(_) | Came::Ping(_) | Came::Close(..) | Came::End) => {
                    panic!("{came:?}")
                }
            }
        };
        assert!(message == data, "fragments of {size}");
        let expected: Vec<Vec<u8>> =
            (0..count).filter(|n| n % 100 == 50).map(|n| n.to_le_bytes().to_vec()).collect();
        assert_eq!(pongs, expected);
        thread.join().unwrap();
        peer.finish();
    }
    assert_eq!(of_route(&served, "connections_total", "echo", ""), 4);
    wait_until("all are closed", || closed(&served, "echo", "1000") == 4);
    assert_eq!(of_route(&served, "connections_active", "echo", ""), 0);
    let received = of_route(&served, "message_bytes_total", "echo", ",direction=\"received\"");
    let sent = of_route(&served, "message_bytes_total", "echo", ",direction=\"sent\"");
    assert_eq!((received, sent), (4 << 20, 4 << 20));
}

#[test]
fn compressed_messages_come_back_compressed_in_any_fragments() {
    let text = "the same line, time after time\n".repeat(500);
    let mut deflated = Vec::new();
    Codec::new().deflate(text.as_bytes(), 15, Default::default(), &mut deflated);
    for keys in ["", "deflate_min = 1", "deflate_level = 9\ndeflate_window_bits = 9"] {
        let served = served(1, keys, "");
        let field = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let mut peer = Peer::open_with(&served, "/echo", field);
        let extension = peer.field("sec-websocket-extensions").unwrap_or_default();
        assert!(extension.starts_with("permessage-deflate"), "{}", peer.head);
        let window = extension.contains("server_max_window_bits=9");
        assert_eq!(window, keys.contains("bits"), "{extension}");
        for size in [1, 7, deflated.len()] {
            let mut sent = Vec::new();
            let count = deflated.chunks(size).count();
            for (n, part) in deflated.chunks(size).enumerate() {
                let opcode = if n == 0 { Opcode::Text } else { Opcode::Continuation };
                write::frame(opcode, (n + 1 == count, n == 0), part, MASK, &mut sent);
            }
            peer.write(&sent);
            assert_eq!(peer.next(), Came::text(&text));
        }
        assert_eq!(peer.frames.compressed, 3);
        // A short one goes as it is, with or without compression on its way here.
        let mut sent = Vec::new();
        Codec::new().deflate(b"short", 15, Default::default(), &mut sent);
        let mut short = Vec::new();
        write::frame(Opcode::Text, (true, true), &sent, MASK, &mut short);
        peer.write(&short);
        assert_eq!(peer.next(), Came::text("short"));
        peer.text("");
        assert_eq!(peer.next(), Came::text(""));
        peer.finish();
        let received = of_route(&served, "wire_bytes_total", "echo", ",direction=\"received\"");
        assert_eq!(received, 3 * deflated.len() as u64 + sent.len() as u64);
    }
}
