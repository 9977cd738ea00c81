//! Each byte is its own: connections of one worker, whose buffers are used again and again.

use ringway::proto::websocket::Opcode;
use serde_json::json;

use super::peer::frame;
use super::*;

const CLIENTS: usize = 100;
const ROUNDS: usize = 20;

/// What only this client, in this round, sends.
fn marked(client: usize, round: usize, len: usize) -> Vec<u8> {
    let mark = format!("<{client}:{round}>");
    mark.bytes().cycle().take(len).collect()
}

#[test]
fn what_a_client_gets_is_its_own() {
    let served = served(1, "deflate_min = \"256B\"", "queue_max = 10000\nqueue_bytes = \"16MiB\"");
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut peers: Vec<Peer> = (0..CLIENTS)
        .map(|client| {
            let fields = if client % 3 == 0 { deflate } else { "" };
            if client % 2 == 0 {
                return Peer::open_with(&served, "/echo", fields);
            }
            let mut peer = Peer::open_with(&served, "/topics", fields);
            peer.subscribe(&format!("of/{client}"));
            peer
        })
        .collect();
    let sizes = [1, 100, 126, 700, 3000, 4096, 9000];
    for round in 0..ROUNDS {
        let of = |client: usize, n: usize| {
            marked(client, round, sizes[(client + round + n) % sizes.len()])
        };
        let mut sent: Vec<Vec<u8>> = (0..CLIENTS)
            .map(|client| {
                let mut sent = Vec::new();
                for n in 0..3 {
                    let message = of(client, n);
                    if client % 2 == 1 {
                        // It publishes for its neighbour.
                        let topic = format!("of/{}", (client + 2) % CLIENTS);
                        let text = String::from_utf8(message).unwrap();
                        let what = json!({"op": "publish", "topic": topic, "data": text});
                        sent.extend(frame(Opcode::Text, true, what.to_string().as_bytes()));
                    } else if n == 1 {
                        let (one, two) = message.split_at(message.len() / 2);
                        sent.extend(frame(Opcode::Text, false, one));
                        sent.extend(frame(Opcode::Continuation, true, two));
                    } else {
                        sent.extend(frame(Opcode::Text, true, &message));
                    }
                }
                sent
            })
            .collect();
        // A piece of each in turn.
        while sent.iter().any(|rest| !rest.is_empty()) {
            for (peer, rest) in peers.iter_mut().zip(&mut sent) {
                let piece: Vec<u8> = rest.drain(..rest.len().min(2500)).collect();
                peer.write(&piece);
            }
        }
        for (client, peer) in peers.iter_mut().enumerate() {
            for n in 0..3 {
                if client % 2 == 0 {
                    let text = String::from_utf8(of(client, n)).unwrap();
                    assert_eq!(peer.next(), Came::text(&text));
                } else {
                    let publisher = (client + CLIENTS - 2) % CLIENTS;
                    let text = String::from_utf8(of(publisher, n)).unwrap();
                    let topic = format!("of/{client}");
                    let expected = json!({"op": "message", "topic": topic, "data": text});
                    assert_eq!(peer.hear(), expected);
                }
            }
        }
    }
    peers.into_iter().for_each(Peer::finish);
}
