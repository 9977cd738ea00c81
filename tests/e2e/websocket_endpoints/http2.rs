//! Sockets that are streams of HTTP/2 (RFC 8441).

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use ringway::proto::websocket::Opcode;
use serde_json::json;

use super::peer::{Frames, frame};
use super::*;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE * 2, test).await.expect("it takes no minute");
    });
}

/// A connection.
struct Connection(SendRequest<Bytes>);

impl Connection {
    async fn new(served: &Served) -> Self {
        let stream = tokio::net::TcpStream::connect(served.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut ping = connection.ping_pong().unwrap();
        let _end = tokio::spawn(connection);
        // Its settings have come then.
        ping.ping(h2::Ping::opaque()).await.unwrap();
        assert!(send.is_extended_connect_protocol_enabled());
        Self(send)
    }

    async fn try_open(&mut self, path: &str, fields: &[(&str, &str)]) -> (u16, Stream) {
        let mut request = Request::connect(format!("http://a.example{path}"))
            .extension(Protocol::from_static("websocket"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.0 = self.0.clone().ready().await.unwrap();
        let (answer, writer) = self.0.send_request(request.body(()).unwrap(), false).unwrap();
        let (head, reader) = answer.await.unwrap().into_parts();
        let stream = Stream { writer, reader, frames: Frames::new(), input: Vec::new() };
        (head.status.as_u16(), stream)
    }

    async fn open(&mut self, path: &str) -> Stream {
        let (status, stream) = self.try_open(path, &[("sec-websocket-version", "13")]).await;
        assert_eq!(status, 200);
        stream
    }
}

struct Stream {
    writer: SendStream<Bytes>,
    reader: RecvStream,
    frames: Frames,
    input: Vec<u8>,
}

impl Stream {
    async fn send(&mut self, bytes: Vec<u8>) {
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            self.writer.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|context| self.writer.poll_capacity(context)).await;
            let room = room.expect("the stream goes on").unwrap();
            self.writer.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
        }
    }

    async fn next(&mut self) -> Came {
        loop {
            if let Some(came) = self.frames.next(&mut self.input) {
                return came;
            }
            match self.reader.data().await {
                None => return Came::End,
                Some(part) => {
                    let part = part.unwrap();
                    self.input.extend_from_slice(&part);
                    self.reader.flow_control().release_capacity(part.len()).unwrap();
                }
            }
        }
    }
}

#[test]
fn streams_are_sockets() {
    let served = served(1, "deflate_min = \"256B\"", "");
    run(async {
        let mut connection = Connection::new(&served).await;
        let mut stream = connection.open("/echo").await;
        for (n, size) in [0, 1, 125, 126, 16_384, 70_000, 1 << 20].into_iter().enumerate() {
            let data = bytes(n as u64, size);
            let sent = frame(Opcode::Binary, true, &data);
            // It comes back as it goes: the windows are smaller than the largest.
            let mut writer = stream.writer;
            let sending = async {
                let mut rest = Bytes::from(sent);
                while !rest.is_empty() {
                    writer.reserve_capacity(rest.len());
                    let room = std::future::poll_fn(|context| writer.poll_capacity(context)).await;
                    let room = room.expect("the stream goes on").unwrap();
                    writer.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
                }
                writer
            };
            let (reader, frames, input) = (stream.reader, stream.frames, stream.input);
            let own = connection.open("/echo").await;
            let mut reading = Stream { writer: own.writer, reader, frames, input };
            let (writer, came) = tokio::join!(sending, reading.next());
            assert!(came == Came::Binary(data), "{size}");
            stream = Stream { writer, ..reading };
        }
        let sent = [
            frame(Opcode::Text, false, b"one "),
            frame(Opcode::Ping, true, b"p"),
            frame(Opcode::Continuation, true, b"message"),
            frame(Opcode::Close, true, &4000_u16.to_be_bytes()),
        ];
        stream.send(sent.concat()).await;
        assert_eq!(stream.next().await, Came::Pong(b"p".to_vec()));
        assert_eq!(stream.next().await, Came::text("one message"));
        assert_eq!(stream.next().await, Came::close(4000));
        assert_eq!(stream.next().await, Came::End);
        // The connection goes on.
        let mut other = connection.open("/echo").await;
        other.send(frame(Opcode::Text, true, b"more")).await;
        assert_eq!(other.next().await, Came::text("more"));
        until("the code is counted", || closed(&served, "echo", "4xxx") == 1).await;
    });
    wait_until("all are over", || of_route(&served, "connections_active", "echo", "") == 0);
    assert_eq!(served.sum(|cell| cell.stats.waiting.bytes.get()), 0);
}

#[test]
fn handshakes_that_are_none_are_refused() {
    let served = served(1, "", "");
    run(async {
        let mut connection = Connection::new(&served).await;
        let version = ("sec-websocket-version", "13");
        let cases: [(&[(&str, &str)], u16); 5] = [
            (&[version], 200),
            (&[], 426),
            (&[("sec-websocket-version", "8")], 426),
            (&[version, ("origin", "http://b.example")], 403),
            (&[version, ("sec-websocket-protocol", "a, a")], 400),
        ];
        for (fields, status) in cases {
            assert_eq!(connection.try_open("/echo", fields).await.0, status, "{fields:?}");
        }
        for (method, status) in [("GET", 400), ("HEAD", 400), ("POST", 405)] {
            let request = Request::builder().method(method).uri("http://a.example/echo");
            let mut send = connection.0.clone().ready().await.unwrap();
            let (answer, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
            assert_eq!(answer.await.unwrap().status().as_u16(), status, "{method}");
        }
    });
}

#[test]
fn streams_of_one_connection_get_what_is_theirs() {
    let served = served(1, "", "");
    run(async {
        let mut connection = Connection::new(&served).await;
        let mut streams = Vec::new();
        for n in 0..50 {
            let mut stream = connection.open(if n % 2 == 0 { "/echo" } else { "/topics" }).await;
            if n % 2 == 1 {
                let what = json!({"op": "subscribe", "topic": format!("of/{n}")}).to_string();
                stream.send(frame(Opcode::Text, true, what.as_bytes())).await;
                assert_eq!(stream.next().await, Came::text(r#"{"op":"ok"}"#));
            }
            streams.push(stream);
        }
        let mut by_http1 = Peer::open(&served, "/topics");
        for round in 0..20 {
            for (n, stream) in streams.iter_mut().enumerate() {
                let mark = format!("<{n}:{round}>").repeat(1 + (n * 7 + round * 13) % 200);
                if n % 2 == 0 {
                    stream.send(frame(Opcode::Text, true, mark.as_bytes())).await;
                } else {
                    let topic = format!("of/{n}");
                    by_http1.say(&json!({"op": "publish", "topic": topic, "data": mark}));
                }
            }
            for (n, stream) in streams.iter_mut().enumerate() {
                let mark = format!("<{n}:{round}>").repeat(1 + (n * 7 + round * 13) % 200);
                let message = format!(r#"{{"op":"message","topic":"of/{n}","data":"{mark}"}}"#);
                let expected = if n % 2 == 0 { mark } else { message };
                assert_eq!(stream.next().await, Came::text(&expected));
            }
        }
        // Resets of some leave the others alone.
        for stream in streams.iter_mut().skip(2) {
            stream.writer.send_reset(h2::Reason::CANCEL);
        }
        let gone = || of_topics(&served, "subscribers", "") == 2;
        until("they have gone", gone).await;
        streams[0].send(frame(Opcode::Text, true, b"still here")).await;
        assert_eq!(streams[0].next().await, Came::text("still here"));
        by_http1.say(&json!({"op": "publish", "topic": "of/1", "data": 1}));
        let expected = r#"{"op":"message","topic":"of/1","data":1}"#;
        assert_eq!(streams[1].next().await, Came::text(expected));
    });
}

#[test]
fn streams_are_closed_when_the_server_drains() {
    let served = served(1, "drain_window = \"0s\"\nclose_timeout = \"100ms\"", "");
    run(async {
        let mut connection = Connection::new(&served).await;
        let mut streams = [connection.open("/echo").await, connection.open("/topics").await];
        served.running().drain();
        for stream in &mut streams {
            assert_eq!(stream.next().await, Came::Close(1012, "the server restarts".into()));
        }
        // One answers, and the other is cut.
        let [answers, silent] = &mut streams;
        answers.send(frame(Opcode::Close, true, &1012_u16.to_be_bytes())).await;
        assert_eq!(answers.next().await, Came::End);
        let error = silent.reader.data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    });
    assert_eq!(served.drain().cut, 0);
}
