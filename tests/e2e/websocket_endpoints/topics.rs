//! Topics: what is published reaches its subscribers.

use std::io::{Read, Write};

use ringway::proto::frame::{Command, Version, message};
use ringway::proto::websocket::Opcode;
use serde_json::{Value, json};

use super::peer::frame;
use super::*;
use crate::frame_peer::{Greeting, Peer as FramePeer};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const BINARY: &str = "Sec-WebSocket-Protocol: ringway.topics.v1.binary\r\n";

impl Peer {
    pub(super) fn say(&mut self, what: &Value) {
        self.text(&what.to_string());
    }

    pub(super) fn hear(&mut self) -> Value {
        serde_json::from_str(&self.next_text()).unwrap()
    }

    pub(super) fn subscribe(&mut self, filter: &str) {
        self.say(&json!({"op": "subscribe", "topic": filter, "id": filter}));
        assert_eq!(self.hear(), json!({"op": "ok", "id": filter}));
    }
}

/// A request that publishes; the status of its answer, and its body.
fn post(served: &Served, query: &str, body: &str) -> (u16, String) {
    post_with(served, query, "", body)
}

/// The same with further fields.
fn post_with(served: &Served, query: &str, fields: &str, body: &str) -> (u16, String) {
    let mut stream = served.connect();
    let request = format!(
        "POST /topics?{query} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn what_is_published_reaches_those_whose_filters_match() {
    let served = served(1, "", "");
    let filters = ["a/b", "a/+", "a/#", "#", "b", "+"];
    let mut peers: Vec<Peer> = filters
        .iter()
        .map(|filter| {
            let mut peer = Peer::open(&served, "/topics");
            peer.subscribe(filter);
            peer
        })
        .collect();
    let topics = ["a/b", "a/c", "a", "a/b/c", "b", "$x/y"];
    let gets: [&[&str]; 6] = [
        &["a/b"],
        &["a/b", "a/c"],
        &["a/b", "a/c", "a", "a/b/c"],
        &["a/b", "a/c", "a", "a/b/c", "b", "$x/y"],
        &["b"],
        &["a", "b"],
    ];
    let mut publisher = Peer::open(&served, "/topics");
    for topic in topics {
        publisher.say(&json!({"op": "publish", "topic": topic, "data": [topic], "id": 1}));
        assert_eq!(publisher.hear(), json!({"op": "ok", "id": 1}));
    }
    for ((peer, gets), filter) in peers.iter_mut().zip(gets).zip(filters) {
        for topic in gets {
            let expected = json!({"op": "message", "topic": topic, "data": [topic]});
            assert_eq!(peer.hear(), expected, "{filter}");
        }
        // Nothing else has come.
        peer.say(&json!({"op": "ping", "id": 7}));
        assert_eq!(peer.hear(), json!({"op": "pong", "id": 7}), "{filter}");
        peer.say(&json!({"op": "unsubscribe", "topic": filter, "id": 8}));
        assert_eq!(peer.hear(), json!({"op": "ok", "id": 8}));
    }
    publisher.say(&json!({"op": "publish", "topic": "a/b", "id": 2}));
    assert_eq!(publisher.hear(), json!({"op": "ok", "id": 2}));
    for mut peer in peers {
        peer.say(&json!({"op": "ping"}));
        assert_eq!(peer.hear(), json!({"op": "pong"}));
        peer.finish();
    }
    publisher.finish();
    wait_until("all have gone", || of_topics(&served, "subscribers", "") == 0);
    assert_eq!(of_topics(&served, "subscriptions", ""), 0);
    assert_eq!(of_topics(&served, "published_total", ""), 7);
    assert_eq!(of_topics(&served, "delivered_total", ""), 16);
}

#[test]
fn both_formats_and_compression_carry_the_same_message() {
    let served = served(1, "deflate_min = \"64B\"", "");
    let mut json_plain = Peer::open(&served, "/topics");
    let mut json_packed = Peer::open_with(&served, "/topics", DEFLATE);
    let small = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
    let mut json_small = Peer::open_with(&served, "/topics", small);
    let mut binary_plain = Peer::open_with(&served, "/topics", BINARY);
    let mut binary_packed = Peer::open_with(&served, "/topics", &[BINARY, DEFLATE].concat());
    for peer in [&mut json_plain, &mut json_packed, &mut json_small] {
        peer.subscribe("t");
    }
    for peer in [&mut binary_plain, &mut binary_packed] {
        peer.send(Opcode::Binary, b"\x01\0\0\0\x05t");
        assert_eq!(peer.next(), Came::Binary(b"\x81\0\0\0\x05".to_vec()));
    }
    let text = "a text, and again a text, ".repeat(40);
    let data = json!({"text": text}).to_string();
    for round in 0..3 {
        // From each kind of publisher.
        let payload = data.as_bytes();
        match round {
            0 => json_plain.text(&format!(r#"{{"op":"publish","topic":"t","data":{data}}}"#)),
            1 => {
                binary_plain.send(Opcode::Binary, &[b"\x03\0\0\0\0\0\0\x01t", payload].concat());
            }
            _ => assert_eq!(post(&served, "topic=t", &data).0, 204),
        }
        let expected = format!(r#"{{"op":"message","topic":"t","data":{data}}}"#);
        for peer in [&mut json_plain, &mut json_packed, &mut json_small] {
            assert_eq!(peer.next(), Came::text(&expected));
        }
        let expected = [b"\x83\0\0\x01t", payload].concat();
        for peer in [&mut binary_plain, &mut binary_packed] {
            assert_eq!(peer.next(), Came::Binary(expected.clone()));
        }
    }
    let packed = [&json_packed, &json_small, &binary_packed].map(|peer| peer.frames.compressed);
    assert_eq!(packed, [3, 3, 3]);
    assert_eq!((json_plain.frames.compressed, binary_plain.frames.compressed), (0, 0));
    // Bytes that are no JSON.
    binary_plain.send(Opcode::Binary, b"\x03\0\0\0\0\0\0\x01t\xff\0");
    assert_eq!(json_plain.hear(), json!({"op": "message", "topic": "t", "base64": "/wA="}));
    assert_eq!(binary_packed.next(), Came::Binary(b"\x83\0\0\x01t\xff\0".to_vec()));
}

#[test]
fn retained_messages_wait_for_subscribers() {
    let served = served(2, "", "");
    for n in 0..10 {
        let query = format!("topic=r%2F{n}&retain=true");
        assert_eq!(post(&served, &query, &n.to_string()).0, 204);
    }
    // Whichever worker has it.
    for _ in 0..8 {
        let mut peer = Peer::open(&served, "/topics");
        wait_until_retained(&served, 10);
        peer.subscribe("r/+");
        for n in 0..10 {
            let topic = format!("r/{n}");
            let expected = json!({"op": "message", "topic": topic, "data": n, "retained": true});
            assert_eq!(peer.hear(), expected);
        }
        peer.finish();
    }
    let mut live = Peer::open(&served, "/topics");
    live.subscribe("r/3");
    assert_eq!(live.hear()["retained"], true);
    assert_eq!(post(&served, "topic=r/3&retain", "").0, 204);
    let ended = live.hear();
    assert_eq!((&ended["op"], ended.get("retained")), (&json!("message"), None));
    wait_until_retained(&served, 9);
}

/// Waits until both workers retain so many messages, each with a topic of three bytes and a payload
/// of one, and 128 bytes beside.
fn wait_until_retained(served: &Served, count: u64) {
    let is_so = || of_topics(served, "retained_bytes", "") == 2 * count * (3 + 1 + 128);
    wait_until("both workers know", is_so);
}

#[test]
fn requests_and_frames_publish() {
    let topics = "message_max = \"1KiB\"\nretained_bytes = \"2KiB\"";
    let frames = "[[listener]]\nname = \"frames\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"frame\"\n\
                  topics = \"t\"\n";
    let served = Served::new(&[&configuration(1, "", topics), frames].concat());
    let mut peer = Peer::open(&served, "/topics");
    peer.subscribe("#");
    let error = |answer: (u16, String)| {
        let body: Value = serde_json::from_str(&answer.1).unwrap();
        (answer.0, body["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(post(&served, "topic=a%20b&x=1", "{\"n\":1}"), (204, String::new()));
    assert_eq!(peer.hear(), json!({"op": "message", "topic": "a b", "data": {"n": 1}}));
    assert_eq!(error(post(&served, "", "x")), (400, "invalid_topic".into()));
    assert_eq!(error(post(&served, "topic=a%01", "x")), (400, "invalid_topic".into()));
    assert_eq!(error(post(&served, "topic=a", &"x".repeat(1025))), (413, "too_large".into()));
    assert_eq!(post(&served, "topic=a", &"x".repeat(1024)).0, 204);
    assert!(peer.hear()["base64"].is_string());
    for n in 0..20 {
        let answer =
            post(&served, &format!("topic=k{n}&retain=true"), &format!("\"{}\"", "x".repeat(500)));
        if answer.0 == 507 {
            assert!(n >= 2, "there is room for some");
            assert_eq!(error(answer), (507, "retained_full".into()));
            break;
        }
        assert_eq!(answer.0, 204);
        assert_eq!(peer.hear()["topic"], format!("k{n}"));
        assert!(n < 19, "there is no room for all");
    }
    let mut frames = FramePeer::new(served.at("frames"), Greeting::Offer(Version::V2));
    let publish = |carried: &[u8]| message("publish", carried);
    let answer = frames.answer(Command::MESSAGE, &publish(b"\0\0\x01f{\"m\":2}"));
    assert_eq!(answer, Ok(message("publish", b"")));
    assert_eq!(peer.hear(), json!({"op": "message", "topic": "f", "data": {"m": 2}}));
    for carried in [&b""[..], b"\0\0\x05f", b"\0\0\0x", b"\x02\0\x01fx"] {
        assert!(frames.answer(Command::MESSAGE, &publish(carried)).is_err(), "{carried:?}");
    }
    peer.say(&json!({"op": "ping"}));
    assert_eq!(peer.hear(), json!({"op": "pong"}), "what was refused reaches nobody");
}

#[test]
fn pages_of_other_sites_do_not_publish() {
    let served = served(1, "origins = [\"same\", \"https://app.example\"]", "");
    let mut peer = Peer::open(&served, "/topics");
    peer.subscribe("#");
    let origin = |origin: &str| format!("Origin: {origin}\r\n");
    for other in ["https://evil.example", "http://a.example:81", "null", "https://a.example.evil"] {
        assert_eq!(post_with(&served, "topic=x", &origin(other), "1").0, 403, "{other}");
    }
    for own in ["http://a.example", "https://app.example"] {
        assert_eq!(post_with(&served, "topic=a", &origin(own), "2").0, 204, "{own}");
        assert_eq!(peer.hear(), json!({"op": "message", "topic": "a", "data": 2}));
    }
    assert_eq!(of_topics(&served, "published_total", ""), 2);
}

#[test]
fn each_subscriber_gets_messages_compressed_as_its_own_route_says() {
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let route = |path: &str, keys: &str| {
        format!(
            "[[listener.route]]\npath = \"{path}\"\n[listener.route.websocket]\n\
             service = \"topics\"\ntopics = \"t\"\n{keys}\n"
        )
    };
    let routes = [route("/long", "deflate_min = \"4KiB\""), route("/short", "deflate_min = 10")];
    let text = [&runtime(1), NO_ADMIN, listener, &routes.concat(), "[topics.t]\n"].concat();
    let served = Served::new(&text);
    // Whichever of them comes first.
    let paths = ["/long", "/short", "/long"];
    let mut peers = paths.map(|path| Peer::open_with(&served, path, DEFLATE));
    for peer in &mut peers {
        peer.subscribe("a");
    }
    let data = "x".repeat(1000);
    for _ in 0..2 {
        peers[0].say(&json!({"op": "publish", "topic": "a", "data": data}));
        for peer in &mut peers {
            assert_eq!(peer.hear()["data"], data);
        }
    }
    assert_eq!(peers.map(|peer| peer.frames.compressed), [0, 2, 0]);
}

#[test]
fn what_is_counted_is_payloads_before_and_after_compression() {
    let served = served(1, "deflate_min = \"64B\"", "");
    let mut plain = Peer::open(&served, "/topics");
    let mut packed = Peer::open_with(&served, "/topics", DEFLATE);
    let count = |of: &str| of_route(&served, of, "topics", ",direction=\"sent\"");
    plain.subscribe("a");
    packed.subscribe("a");
    let ok = json!({"op": "ok", "id": "a"}).to_string().len() as u64;
    assert_eq!((count("message_bytes_total"), count("wire_bytes_total")), (2 * ok, 2 * ok));
    let data = "x".repeat(1000);
    plain.say(&json!({"op": "publish", "topic": "a", "data": data}));
    let message = format!(r#"{{"op":"message","topic":"a","data":"{data}"}}"#);
    assert_eq!(plain.next_text(), message);
    assert_eq!(packed.next_text(), message);
    let (bytes, len) = (count("message_bytes_total") - 2 * ok, message.len() as u64);
    let on_wire = count("wire_bytes_total") - 2 * ok;
    assert_eq!(bytes, 2 * len);
    assert!(on_wire > len && on_wire < len + 100, "{on_wire}");
}

#[test]
fn retained_messages_beyond_the_room_of_the_queue_are_not_made() {
    let full = |limit: &str| {
        let served = served(1, "", limit);
        for n in 0..20 {
            assert_eq!(post(&served, &format!("topic=r/{n:02}&retain"), "\"1234\"").0, 204);
        }
        let mut peer = Peer::open(&served, "/topics");
        peer.subscribe("#");
        let mut next = || peer.hear();
        assert_eq!(next(), json!({"op": "dropped", "count": 17}));
        for n in 0..3 {
            assert_eq!(next()["topic"], format!("r/{n:02}"));
        }
        assert_eq!(of_topics(&served, "retained_skipped_total", ""), 17);
        assert_eq!(of_topics(&served, "dropped_total", ",which=\"newest\""), 0);
        let latest = json!({"op": "publish", "topic": "x", "data": 1});
        peer.say(&latest);
        assert_eq!(peer.hear()["topic"], "x");
    };
    full("queue_max = 3");
    // The fourth has room for its payload, and not for its frame.
    let frame = 2 + r#"{"op":"message","topic":"r/00","data":"1234","retained":true}"#.len();
    full(&format!("queue_bytes = {}", 3 * frame + 10));
}

#[test]
fn a_message_in_parts_and_a_payload_that_has_not_ended_count_as_waiting() {
    const MEMORY: u64 = 2 << 20;
    let text = configuration(1, "", "message_max = \"1MiB\"");
    let memory = format!("{}waiting_memory = \"2MiB\"\n", runtime(1));
    let served = Served::new(&text.replace(&runtime(1), &memory));
    let waiting = || served.sum(|cell| cell.stats.waiting.bytes.get());
    let body = "x".repeat(700_000);
    // Until so little is left that no message of this size has room.
    let mut held = Vec::new();
    while waiting() < MEMORY - 400_000 {
        let before = waiting();
        let mut peer = Peer::open(&served, "/topics");
        peer.write(&frame(Opcode::Text, false, &body.as_bytes()[..100_000]));
        wait_until("the part counts", || waiting() >= before + 100_000);
        held.push(peer);
    }
    assert!(waiting() < MEMORY, "there is room for what is short");
    let mut peer = Peer::open(&served, "/topics");
    peer.write(&frame(Opcode::Text, false, br#"{"op":"#));
    peer.write(&frame(Opcode::Continuation, true, br#""ping"}"#));
    assert_eq!(peer.hear(), json!({"op": "pong"}));
    assert_eq!(post(&served, "topic=a", "1").0, 204);
    peer.write(&frame(Opcode::Text, false, body.as_bytes()));
    assert_eq!(peer.next(), Came::Close(1013, "the server is short of memory".into()));
    drop(peer);
    assert_eq!(post(&served, "topic=a", &body).0, 503);
    assert_eq!(of_topics(&served, "published_total", ""), 1);
    drop(held);
    wait_until("nothing waits", || waiting() == 0);
    assert_eq!(post(&served, "topic=a", &body).0, 204);
    // A payload counts while it comes.
    let mut half = served.connect();
    let head = "POST /topics?topic=a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 700000\r\n\r\n";
    half.write_all(&[head.as_bytes(), &body.as_bytes()[..50_000]].concat()).unwrap();
    wait_until("the payload counts", || waiting() >= 50_000);
    drop(half);
    wait_until("nothing waits", || waiting() == 0);
}

#[test]
fn who_may_not_publish_or_subscribe_is_told_so() {
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let route = |path: &str, keys: &str| {
        format!(
            "[[listener.route]]\npath = \"{path}\"\n[listener.route.websocket]\n\
             service = \"topics\"\ntopics = \"t\"\n{keys}\n"
        )
    };
    let routes = [route("/topics", "publish = false"), route("/write", "subscribe = false")];
    let topics = "[topics.t]\n";
    let text = [&runtime(1), NO_ADMIN, listener, &routes.concat(), topics].concat();
    let served = Served::new(&text);
    let mut reader = Peer::open(&served, "/topics");
    let mut writer = Peer::open(&served, "/write");
    reader.subscribe("a");
    reader.say(&json!({"op": "publish", "topic": "a", "id": 1}));
    assert_eq!(reader.hear()["error"], "not_permitted");
    writer.say(&json!({"op": "subscribe", "topic": "a", "id": 1}));
    assert_eq!(writer.hear()["error"], "not_permitted");
    assert_eq!(post(&served, "topic=a", "1").0, 405);
    writer.say(&json!({"op": "publish", "topic": "a", "data": 5}));
    assert_eq!(reader.hear(), json!({"op": "message", "topic": "a", "data": 5}));
}

#[test]
fn subscribers_of_all_workers_get_each_message_once_and_in_order() {
    const PUBLISHERS: usize = 6;
    const EACH: usize = 200;
    let served = served(2, "", "queue_max = 10000\nqueue_bytes = \"16MiB\"");
    let mut subscribers: Vec<Peer> = (0..12)
        .map(|n| {
            let fields = if n % 2 == 0 { DEFLATE } else { "" };
            let mut peer = Peer::open_with(&served, "/topics", fields);
            peer.subscribe("load/+");
            // What matches twice comes once.
            peer.subscribe("#");
            peer
        })
        .collect();
    let threads: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let mut peer = Peer::open(&served, "/topics");
            std::thread::spawn(move || {
                for n in 0..EACH {
                    let topic = format!("load/{publisher}");
                    peer.say(&json!({"op": "publish", "topic": topic, "data": n}));
                }
                peer.say(&json!({"op": "ping"}));
                assert_eq!(peer.hear(), json!({"op": "pong"}));
                peer
            })
        })
        .collect();
    for peer in &mut subscribers {
        let mut next = [0; PUBLISHERS];
        for _ in 0..PUBLISHERS * EACH {
            let came = peer.hear();
            let publisher = came["topic"].as_str().unwrap().strip_prefix("load/").unwrap();
            let publisher: usize = publisher.parse().unwrap();
            assert_eq!(came["data"], next[publisher], "{came}");
            next[publisher] += 1;
        }
        assert_eq!(next, [EACH; PUBLISHERS]);
    }
    let _open: Vec<Peer> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for peer in &mut subscribers {
        peer.say(&json!({"op": "ping"}));
        assert_eq!(peer.hear(), json!({"op": "pong"}), "nothing came twice");
    }
    let delivered = (12 * PUBLISHERS * EACH) as u64;
    wait_until("all is counted", || of_topics(&served, "delivered_total", "") == delivered);
    assert_eq!(of_topics(&served, "lost_total", ""), 0);
}
