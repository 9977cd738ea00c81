//! The same with frames that the proxy looks at.

use ringway::proto::websocket::{FrameHead, Opcode, mask, write};

use super::*;

const MASK: Option<[u8; 4]> = Some([9, 200, 3, 77]);

fn inspecting(by: By, server: SocketAddr, keys: &str) -> Served {
    let protocol = if by == By::Two { "http2" } else { "http1" };
    let upstream = upstream(&[server], &format!("protocol = \"{protocol}\"\n"));
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let route = format!(
        "[[listener.route]]\nname = \"all\"\nproxy = \"u\"\n\
         [listener.route.websocket_inspect]\n{keys}\n{upstream}"
    );
    Served::new(&[&runtime(1), admin, listener, &route].concat())
}

fn frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    write::frame(opcode, (true, false), payload, mask, &mut out);
    out
}

/// The next frame: its opcode and payload. What comes behind it stays in `bytes`.
async fn next(reader: &mut Reader, bytes: &mut Vec<u8>) -> Option<(Opcode, Vec<u8>)> {
    loop {
        if let Some((head, size)) = FrameHead::read(bytes).unwrap()
            && bytes.len() >= size + usize::try_from(head.len).unwrap()
        {
            let mut payload = bytes.split_off(size);
            *bytes = payload.split_off(usize::try_from(head.len).unwrap());
            mask::apply(&mut payload, head.mask.unwrap_or_default());
            return Some((head.opcode, payload));
        }
        bytes.extend(reader.next().await.expect("no reset")?);
    }
}

/// Answers each frame as a server has to, until a close frame has come.
pub(super) async fn answer_frames(reader: &mut Reader, writer: &mut Writer) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut closed = Vec::new();
    while let Some((opcode, payload)) = next(reader, &mut bytes).await {
        let answer = match opcode {
            Opcode::Ping => Opcode::Pong,
            Opcode::Pong => continue,
            Opcode::Continuation | Opcode::Text | Opcode::Binary | Opcode::Close => opcode,
        };
        writer.send(frame(answer, &payload, None)).await;
        if opcode == Opcode::Close {
            closed = payload;
            break;
        }
    }
    writer.end().await;
    closed
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

#[test]
fn a_message_beyond_the_limit_is_told_to_both_sides() {
    for pair in PAIRS {
        let server = Server::default();
        let address = server.start(pair.1, Does::AnswersFrames);
        let served = inspecting(pair.1, address, "message_max = 1000");
        run(async {
            let (answered, _peer) = ask(pair.0, &served).await;
            assert_eq!(answered.status, if pair.0 == By::One { 101 } else { 200 }, "{pair:?}");
            let Tunnel { mut reader, mut writer } = answered.tunnel;
            let mut bytes = Vec::new();
            let hello = frame(Opcode::Text, b"hello", MASK);
            writer.send(hello[..3].to_vec()).await;
            writer.send(hello[3..].to_vec()).await;
            let told = next(&mut reader, &mut bytes).await;
            assert_eq!(told, Some((Opcode::Text, b"hello".to_vec())), "{pair:?}");
            writer.send(frame(Opcode::Text, &[b'x'; 1001], MASK)).await;
            let told = next(&mut reader, &mut bytes).await;
            let expected = close(1009, "frame_too_big");
            assert_eq!(told, Some((Opcode::Close, expected)), "{pair:?}");
            assert_eq!(next(&mut reader, &mut bytes).await, None, "{pair:?}");
            let (came, is_whole) = server.ended().await;
            assert!(is_whole, "{pair:?}");
            assert_eq!(came, close(1001, "the client broke a rule"), "{pair:?}");
        });
        wait_for_nothing(&served, pair);
        let counted = |name: &str, label: &str| {
            let labels = format!("listener=\"web\",route=\"all\"{label}");
            let sample = format!("ringway_websocket_{name}{{{labels}}} ");
            let text = crate::admin::get(served.running().admin().unwrap(), "GET /metrics");
            text.lines().find_map(|line| line.strip_prefix(&sample)?.parse::<u64>().ok())
        };
        wait_until("the socket is over", || counted("connections_active", "") == Some(0));
        for (name, label, expected) in [
            ("connections_total", "", 1),
            ("messages_total", ",direction=\"received\"", 1),
            ("messages_total", ",direction=\"sent\"", 1),
            ("wire_bytes_total", ",direction=\"received\"", 5),
            ("closed_total", ",code=\"1009\"", 1),
            ("violations_total", ",rule=\"frame_too_big\"", 1),
        ] {
            assert_eq!(counted(name, label), Some(expected), "{pair:?} {name} {label}");
        }
    }
}

#[test]
fn a_server_that_breaks_a_rule_is_a_bad_gateway() {
    for pair in PAIRS {
        let server = Server::default();
        // It sends frames back as they are: masked.
        let address = server.start(pair.1, Does::Echo);
        let served = inspecting(pair.1, address, "");
        run(async {
            let (answered, _peer) = ask(pair.0, &served).await;
            let Tunnel { mut reader, mut writer } = answered.tunnel;
            writer.send(frame(Opcode::Text, b"hello", MASK)).await;
            let told = next(&mut reader, &mut Vec::new()).await;
            let expected = close(1014, "the server broke a rule");
            assert_eq!(told, Some((Opcode::Close, expected)), "{pair:?}");
            writer.end().await;
        });
        wait_for_nothing(&served, pair);
    }
}

#[test]
fn a_silent_client_is_pinged_and_the_server_does_not_see_its_pong() {
    for pair in [(By::One, By::One), (By::Two, By::Two)] {
        let server = Server::default();
        let address = server.start(pair.1, Does::AnswersFrames);
        let served = inspecting(pair.1, address, "ping_interval = \"1s\"\nidle_timeout = \"1m\"");
        run(async {
            let (answered, _peer) = ask(pair.0, &served).await;
            let Tunnel { mut reader, mut writer } = answered.tunnel;
            let mut bytes = Vec::new();
            let Some((Opcode::Ping, payload)) = next(&mut reader, &mut bytes).await else {
                panic!("a ping is due")
            };
            writer.send(frame(Opcode::Pong, &payload, MASK)).await;
            writer.send(frame(Opcode::Close, &1000_u16.to_be_bytes(), MASK)).await;
            let told = next(&mut reader, &mut bytes).await;
            assert_eq!(told, Some((Opcode::Close, 1000_u16.to_be_bytes().to_vec())), "{pair:?}");
            writer.end().await;
        });
        wait_for_nothing(&served, pair);
    }
}
