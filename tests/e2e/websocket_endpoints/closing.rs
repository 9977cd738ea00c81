//! How sockets end, and what they wait for.

use std::net::Shutdown;

use ringway::proto::websocket::Opcode;

use super::peer::frame;
use super::*;

#[test]
fn a_client_closes_with_any_code_that_there_is() {
    let served = served(1, "", "");
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000];
    for code in codes.into_iter().chain([3999, 4000, 4999]) {
        let mut peer = Peer::open(&served, "/echo");
        peer.close(code, "why not");
        assert_eq!(peer.next(), Came::close(code));
        assert_eq!(peer.next(), Came::End);
    }
    let mut peer = Peer::open(&served, "/echo");
    peer.send(Opcode::Close, b"");
    assert_eq!(peer.next(), Came::close(1005), "none is answered by none");
    assert_eq!(peer.next(), Came::End);
    for code in ["1000", "1005", "1012"] {
        wait_until("each is counted", || closed(&served, "echo", code) == 1);
    }
}

#[test]
fn nothing_behind_a_close_is_answered() {
    let served = served(1, "", "");
    let mut peer = Peer::open(&served, "/echo");
    peer.write(
        &[
            frame(Opcode::Text, false, b"half a message"),
            frame(Opcode::Close, true, &1000_u16.to_be_bytes()),
            frame(Opcode::Ping, true, b""),
            frame(Opcode::Text, true, b"late"),
            vec![0xff; 100],
        ]
        .concat(),
    );
    assert_eq!(peer.next(), Came::close(1000));
    assert_eq!(peer.next(), Came::End);
    wait_until("it is over", || closed(&served, "echo", "1000") == 1);
    assert_eq!(violations(&served, "reserved_bit"), 0);
    assert_eq!(of_route(&served, "messages_total", "echo", ",direction=\"received\""), 0);
}

#[test]
fn a_client_that_ends_without_a_close_is_over() {
    let served = served(1, "", "");
    // Its half of the connection: what it has sent is answered.
    let mut peer = Peer::open(&served, "/echo");
    peer.text("the last one");
    peer.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.next(), Came::text("the last one"));
    assert_eq!(peer.next(), Came::End);
    wait_until("it is counted", || closed(&served, "echo", "1006") == 1);
    // Within a frame, and within a message.
    for sent in [&frame(Opcode::Text, true, b"abc")[..7], &frame(Opcode::Text, false, b"abc")] {
        let mut peer = Peer::open(&served, "/echo");
        peer.write(sent);
        peer.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.next(), Came::End);
    }
    wait_until("they are counted", || closed(&served, "echo", "1006") == 3);
    // By a reset.
    let mut peer = Peer::open(&served, "/echo");
    peer.round_trip();
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    nix::sys::socket::setsockopt(&peer.stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    drop(peer);
    wait_until("it is counted", || closed(&served, "echo", "1006") == 4);
    assert_eq!(of_route(&served, "connections_active", "echo", ""), 0);
    wait_until("no connection is left", || served.sum(|cell| cell.active.get()) == 0);
    assert_eq!(served.sum(|cell| cell.stats.waiting.bytes.get()), 0);
}

#[test]
fn a_silent_client_is_pinged_and_closed() {
    let served = served(1, "ping_interval = \"1s\"\nidle_timeout = \"2s\"", "");
    for target in ["/echo", "/topics"] {
        let begin = ringway::runtime::clock::now();
        let mut peer = Peer::open(&served, target);
        assert_eq!(peer.next(), Came::Ping(b"ringway".to_vec()));
        assert!(begin.elapsed().as_millis() >= 1000);
        assert_eq!(peer.next(), Came::Close(1001, "idle".into()));
        assert!(begin.elapsed().as_millis() >= 2000);
        peer.close(1001, "");
        assert_eq!(peer.next(), Came::End);
        wait_until("it is counted", || closed(&served, &target[1..], "1001") == 1);
    }
}

#[test]
fn a_client_that_answers_pings_stays() {
    let served = served(1, "ping_interval = \"1s\"\nidle_timeout = \"2s\"", "");
    let mut peer = Peer::open(&served, "/echo");
    for _ in 0..3 {
        let Came::Ping(payload) = peer.next() else { panic!("a ping") };
        // Unasked ones, and of other payloads, are not counted.
        peer.send(Opcode::Pong, b"other");
        peer.send(Opcode::Pong, &payload);
        peer.send(Opcode::Pong, &payload);
    }
    peer.round_trip();
    assert_eq!(of_route(&served, "pongs_total", "echo", ""), 3);
    peer.finish();
}

#[test]
fn a_client_that_does_not_answer_a_close_is_cut() {
    let keys = "ping_interval = \"off\"\nidle_timeout = \"1s\"\nclose_timeout = \"100ms\"";
    let served = served(1, keys, "");
    let mut peer = Peer::open(&served, "/echo");
    assert_eq!(peer.next(), Came::Close(1001, "idle".into()));
    // Messages are no answer to it.
    peer.text("not echoed");
    assert_eq!(peer.next(), Came::End);
    wait_until("it is counted", || closed(&served, "echo", "1001") == 1);
    assert_eq!(of_route(&served, "messages_total", "echo", ",direction=\"sent\""), 0);
}
