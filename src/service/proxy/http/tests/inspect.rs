//! WebSockets whose frames are looked at.

use super::*;
use crate::proto::websocket::{FrameHead, Opcode, Violation, mask, write};
use crate::service::http::record::Inspected;
use crate::service::proxy::http::InspectRules;

const RULES: InspectRules = InspectRules {
    frame_max: 1_000,
    message_max: 1_500,
    message_rate: Some((1_000, 1_000)),
    ping_interval: Some(Duration::from_secs(3)),
    idle_timeout: Some(Duration::from_secs(8)),
    close_timeout: Duration::from_secs(2),
};
const MASK: Option<[u8; 4]> = Some([7, 1, 250, 3]);

fn text(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    write::frame(Opcode::Text, (true, false), payload, mask, &mut out);
    out
}

/// An open WebSocket between a client and a server of HTTP/1.1, and the server's connection.
fn opened(rules: InspectRules) -> (Rig, Key, Key) {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.ask_for_websocket(Version::Http11);
    let asked = rig.proxy.get_mut(exchange).unwrap().request.websocket.as_mut().unwrap();
    asked.inspect(rules, 1, rig.now);
    let connection = rig.connected();
    let told = rig.shake(connection, Version::Http11, (101, "websocket", ACCEPT));
    assert_eq!(told, "tunnel 101 s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    (rig, exchange, connection)
}

impl Rig {
    /// What the client gets.
    fn client_got(&mut self, exchange: Key) -> Vec<u8> {
        let mut out = Vec::new();
        let one = self.proxy.get_mut(exchange).unwrap();
        while let Some(part) = one.take_answer_part() {
            out.extend_from_slice(&part);
        }
        self.proxy.answer_taken(exchange);
        self.settle();
        out
    }

    /// What the server gets.
    fn server_got(&mut self, exchange: Key, connection: Key) -> Vec<u8> {
        let mut out = Vec::new();
        let one = self.proxy.get_mut(exchange).unwrap();
        while let Some(part) = one.take_request_part(connection, 0) {
            out.extend_from_slice(&part);
        }
        self.proxy.request_taken(exchange);
        self.settle();
        out
    }

    fn client_says(&mut self, exchange: Key, bytes: &[u8]) {
        self.proxy.push_body(exchange, Buf::copy_of(bytes), self.now);
        self.settle();
    }

    fn server_says(&mut self, exchange: Key, bytes: &[u8]) {
        self.proxy.answer_came(exchange, Buf::copy_of(bytes), self.now);
        self.settle();
    }

    fn seen(&mut self, exchange: Key) -> Inspected {
        self.proxy.get_mut(exchange).unwrap().take_inspected().unwrap()
    }
}

/// The frames that there are: opcode, whether it is masked, payload.
fn frames(mut bytes: &[u8]) -> Vec<(Opcode, bool, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((head, size)) = FrameHead::read(bytes).unwrap() {
        let len = usize::try_from(head.len).unwrap();
        let mut payload = bytes[size..size + len].to_vec();
        mask::apply(&mut payload, head.mask.unwrap_or_default());
        found.push((head.opcode, head.mask.is_some(), payload));
        bytes = &bytes[size + len..];
    }
    assert!(bytes.is_empty(), "whole frames are sent");
    found
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

#[test]
fn messages_pass_as_they_are_and_are_counted() {
    let (mut rig, exchange, connection) = opened(RULES);
    rig.open_tunnel(exchange);
    let said = [text(b"one", MASK), text(&[b'x'; 700], MASK)].concat();
    for part in said.chunks(5) {
        rig.client_says(exchange, part);
    }
    rig.server_says(exchange, &text(b"hello", None));
    assert_eq!(rig.server_got(exchange, connection), said);
    assert_eq!(rig.client_got(exchange), text(b"hello", None));
    let seen = rig.seen(exchange);
    assert_eq!((seen.from_client.messages, seen.from_client.bytes), (2, 703));
    assert_eq!((seen.from_server.messages, seen.from_server.bytes), (1, 5));
    assert_eq!(rig.seen(exchange), Inspected::default(), "news is told once");
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn both_sides_are_told_when_one_breaks_a_rule_and_have_some_time_to_end() {
    let too_long = text(&[b'x'; 1_001], MASK);
    let unmasked = text(b"hello", None);
    let masked = text(b"hello", MASK);
    type Told = (u16, &'static str);
    type Case<'a> = (bool, &'a [u8], Told, Told, Option<Violation>);
    let cases: [Case<'_>; 3] = [
        (
            true,
            &too_long,
            (1009, "frame_too_big"),
            (1001, "the client broke a rule"),
            Some(Violation::FrameTooBig),
        ),
        (
            true,
            &unmasked,
            (1002, "unmasked"),
            (1001, "the client broke a rule"),
            Some(Violation::Unmasked),
        ),
        (false, &masked, (1014, "the server broke a rule"), (1002, "masked"), None),
    ];
    for (is_client, bytes, client, server, violation) in cases {
        // A fault that is found before the client knows of the tunnel is told when it does.
        for is_early in [false, true] {
            let (mut rig, exchange, connection) = opened(RULES);
            if is_early && is_client {
                continue;
            }
            if !is_early {
                rig.open_tunnel(exchange);
            }
            if is_client {
                rig.client_says(exchange, bytes);
            } else {
                rig.server_says(exchange, bytes);
            }
            if is_early {
                rig.open_tunnel(exchange);
            }
            let expected = (Opcode::Close, false, close(client.0, client.1));
            assert_eq!(frames(&rig.client_got(exchange)), [expected]);
            let expected = (Opcode::Close, true, close(server.0, server.1));
            assert_eq!(frames(&rig.server_got(exchange, connection)), [expected]);
            let seen = rig.seen(exchange);
            assert_eq!(seen.closed.map(|code| code.0), Some(client.0));
            assert_eq!(seen.violation, violation);
            // Nothing passes any more, and nothing gives it more time.
            rig.pass(SECOND);
            rig.client_says(exchange, &text(b"more", MASK));
            rig.server_says(exchange, &text(b"more", None));
            assert!(rig.client_got(exchange).is_empty());
            assert!(rig.server_got(exchange, connection).is_empty());
            assert_eq!(rig.reply(exchange), Reply::Nothing);
            rig.pass(SECOND);
            assert_eq!(rig.reply(exchange), Reply::Failed(Failure::IdleTimeout));
            rig.end(exchange);
            rig.assert_idle();
        }
    }
}

#[test]
fn silent_sides_are_pinged_and_their_pongs_are_for_us_alone() {
    let (mut rig, exchange, connection) = opened(RULES);
    rig.open_tunnel(exchange);
    rig.pass(3 * SECOND);
    let pinged = frames(&rig.client_got(exchange));
    let [(Opcode::Ping, false, payload)] = &pinged[..] else { panic!("{pinged:?}") };
    let asked = frames(&rig.server_got(exchange, connection));
    let [(Opcode::Ping, true, of_server)] = &asked[..] else { panic!("{asked:?}") };
    rig.pass(Duration::from_millis(250));
    let mut pong = Vec::new();
    write::control(Opcode::Pong, payload, MASK, &mut pong);
    write::control(Opcode::Pong, b"its own", MASK, &mut pong);
    rig.client_says(exchange, &pong);
    let mut pong = Vec::new();
    write::control(Opcode::Pong, of_server, None, &mut pong);
    rig.server_says(exchange, &pong);
    let passed = frames(&rig.server_got(exchange, connection));
    assert_eq!(passed, [(Opcode::Pong, true, b"its own".to_vec())]);
    assert!(rig.client_got(exchange).is_empty());
    let seen = rig.seen(exchange);
    assert_eq!((seen.pongs, seen.pong_time), (1, Duration::from_millis(250)));
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_side_that_answers_no_ping_is_given_up() {
    for is_client_silent in [false, true] {
        let (mut rig, exchange, connection) = opened(RULES);
        rig.open_tunnel(exchange);
        for _ in 0..8 {
            rig.pass(SECOND);
            if is_client_silent {
                rig.server_says(exchange, &text(b"x", None));
            } else {
                rig.client_says(exchange, &text(b"x", MASK));
            }
            if rig.seen(exchange).closed.is_some() {
                break;
            }
            rig.server_got(exchange, connection);
            rig.client_got(exchange);
        }
        let closes = |bytes: &[u8]| {
            let mut found = frames(bytes);
            found.retain(|(opcode, ..)| *opcode == Opcode::Close);
            found.pop().map(|(_, _, payload)| payload)
        };
        let (to_client, to_server) =
            (closes(&rig.client_got(exchange)), closes(&rig.server_got(exchange, connection)));
        let expected = if is_client_silent {
            (close(1001, "silent for too long"), close(1001, "the client is silent"))
        } else {
            (close(1014, "the server is silent"), close(1001, "silent for too long"))
        };
        assert_eq!((to_client, to_server), (Some(expected.0), Some(expected.1)));
        rig.end(exchange);
        rig.assert_idle();
    }
}

#[test]
fn a_side_that_is_not_read_is_not_silent() {
    let (mut rig, exchange, _) = opened(RULES);
    rig.open_tunnel(exchange);
    // The server takes nothing for long, and the client is not read meanwhile.
    rig.client_says(exchange, &text(b"x", MASK));
    for _ in 0..9 {
        rig.pass(SECOND);
        rig.server_says(exchange, &text(b"x", None));
        rig.client_got(exchange);
    }
    assert_eq!(rig.seen(exchange).closed, None);
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn nothing_of_ours_stands_within_a_frame() {
    let (mut rig, exchange, connection) = opened(RULES);
    rig.open_tunnel(exchange);
    let long = text(&[b'x'; 700], None);
    rig.server_says(exchange, &long[..100]);
    rig.pass(3 * SECOND);
    assert_eq!(rig.client_got(exchange), &long[..100], "no ping");
    rig.client_says(exchange, &text(b"x", None));
    assert!(rig.client_got(exchange).is_empty(), "no close frame");
    let one = rig.proxy.get(exchange).unwrap();
    assert!(one.answer.body.has_ended(), "it ends all the same");
    let to_server = frames(&rig.server_got(exchange, connection));
    assert!(matches!(&to_server[..], [.., (Opcode::Close, true, _)]), "{to_server:?}");
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_close_that_is_not_answered_ends_in_time() {
    for is_client in [false, true] {
        let (mut rig, exchange, connection) = opened(RULES);
        rig.open_tunnel(exchange);
        let mut frame = Vec::new();
        let mask = if is_client { MASK } else { None };
        write::control(Opcode::Close, &1000_u16.to_be_bytes(), mask, &mut frame);
        if is_client {
            rig.client_says(exchange, &frame);
            assert_eq!(rig.server_got(exchange, connection), frame, "it is passed on");
        } else {
            rig.server_says(exchange, &frame);
            assert_eq!(rig.client_got(exchange), frame, "it is passed on");
        }
        // What still comes the other way passes, and gives no more time.
        rig.pass(SECOND);
        if is_client {
            rig.server_says(exchange, &text(b"x", None));
            assert_eq!(rig.client_got(exchange), text(b"x", None));
        } else {
            rig.client_says(exchange, &text(b"x", MASK));
            assert_eq!(rig.server_got(exchange, connection), text(b"x", MASK));
        }
        assert_eq!(rig.reply(exchange), Reply::Nothing);
        rig.pass(SECOND);
        assert_eq!(rig.reply(exchange), Reply::Failed(Failure::IdleTimeout));
        rig.end(exchange);
        rig.assert_idle();
    }
}
