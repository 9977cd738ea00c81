//! WebSockets through the proxy, in every pair of versions: by HTTP/1.1 clients and servers write
//! byte for byte, by HTTP/2 they are of the `h2` crate. What the tunnel carries is no matter: the
//! bytes are none of a WebSocket.

mod inspect;

use std::sync::Arc;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream as Socket;
use tokio::sync::watch;

use ringway::proto::websocket::handshake;

use super::peer::{Peer, run};
use super::*;
use crate::pki::Pki;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\n";

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    One,
    Two,
}

const PAIRS: [(By, By); 4] =
    [(By::One, By::One), (By::One, By::Two), (By::Two, By::One), (By::Two, By::Two)];

/// What a server does with a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It sends all back, and ends when its client does.
    Echo,
    /// It says so much, ends, and takes the rest.
    Says(&'static str),
    /// It sends without end, until nobody takes more.
    Floods,
    /// It resets once something has come.
    Resets,
    /// It answers each frame, up to a close frame.
    AnswersFrames,
}

/// What servers have seen.
#[derive(Debug, Default)]
struct Seen {
    /// The heads of requests.
    heads: Vec<String>,
    /// What came into tunnels that are over, and whether they ended in order.
    ends: Vec<(Vec<u8>, bool)>,
}

#[derive(Clone, Default)]
struct Server(Arc<watch::Sender<Seen>>);

impl Server {
    fn head(&self) -> String {
        self.0.borrow().heads.last().cloned().unwrap_or_default()
    }

    /// Waits for the end of a tunnel: what came into it, and whether it ended in order.
    async fn ended(&self) -> (Vec<u8>, bool) {
        let mut seen = self.0.subscribe();
        let ended = seen.wait_for(|seen| !seen.ends.is_empty());
        let ended = tokio::time::timeout(PATIENCE, ended).await.expect("the tunnel ends");
        ended.unwrap().ends.last().cloned().unwrap()
    }

    fn start(&self, by: By, does: Does) -> SocketAddr {
        let this = self.clone();
        serve_async(move |socket| {
            let this = this.clone();
            async move {
                match by {
                    By::One => this.serve_one(socket, does).await,
                    By::Two => this.serve_two(socket, does).await,
                }
            }
        })
    }

    async fn serve_one(&self, mut socket: Socket, does: Does) {
        let Some(head) = read_until_empty_line(&mut socket).await else { return };
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let accept = handshake::accept(key.unwrap_or_default().as_bytes());
        let accept = String::from_utf8_lossy(&accept).into_owned();
        self.0.send_modify(|seen| seen.heads.push(head));
        let answer = format!(
            "{SWITCH}Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        if does == Does::Resets {
            let _come = socket.read(&mut [0; 100]).await;
            #[expect(deprecated, reason = "a reset is wanted, and nothing waits")]
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            return;
        }
        self.tunnel(Tunnel::of_socket(socket), does).await;
    }

    async fn serve_two(&self, socket: Socket, does: Does) {
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else { return };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let protocol = request.extensions().get::<Protocol>().cloned();
            let (head, body) = request.into_parts();
            let mut text = format!("{} {} {protocol:?}\n", head.method, head.uri);
            for (name, value) in &head.headers {
                text += &format!("{name}: {}\n", value.to_str().unwrap());
            }
            self.0.send_modify(|seen| seen.heads.push(text));
            let answer = Response::builder().header("sec-websocket-protocol", "chat");
            let answer = answer.body(()).unwrap();
            let Ok(mut stream) = respond.send_response(answer, false) else { continue };
            let this = self.clone();
            tokio::spawn(async move {
                if does == Does::Resets {
                    let mut body = body;
                    let _come = body.data().await;
                    return stream.send_reset(h2::Reason::CANCEL);
                }
                this.tunnel(Tunnel::of_stream(stream, body), does).await;
            });
        }
    }

    async fn tunnel(&self, tunnel: Tunnel, does: Does) {
        let Tunnel { mut reader, mut writer } = tunnel;
        let mut came = Vec::new();
        let mut is_whole = true;
        match does {
            Does::Floods => {
                while writer.send(vec![b'f'; 16_384]).await {}
                is_whole = false;
            }
            Does::Says(text) => {
                writer.send(text.as_bytes().to_vec()).await;
                writer.end().await;
            }
            Does::AnswersFrames => {
                let closed = inspect::answer_frames(&mut reader, &mut writer).await;
                return self.0.send_modify(|seen| seen.ends.push((closed, is_whole)));
            }
            Does::Echo | Does::Resets => {}
        }
        loop {
            match reader.next().await {
                Ok(Some(part)) => {
                    came.extend_from_slice(&part);
                    if does == Does::Echo && !writer.send(part).await {
                        is_whole = false;
                        break;
                    }
                }
                Ok(None) => break,
                Err(()) => {
                    is_whole = false;
                    break;
                }
            }
        }
        if does == Does::Echo {
            writer.end().await;
        }
        self.0.send_modify(|seen| seen.ends.push((came, is_whole)));
    }
}

async fn read_until_empty_line(socket: &mut Socket) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap().replace("\r\n", "\n").to_ascii_lowercase_names())
}

trait Names {
    fn to_ascii_lowercase_names(self) -> String;
}

impl Names for String {
    fn to_ascii_lowercase_names(self) -> String {
        let line = |line: &str| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\n", name.to_ascii_lowercase()),
            None => format!("{line}\n"),
        };
        self.lines().map(line).collect()
    }
}

/// Either end of a tunnel.
struct Tunnel {
    reader: Reader,
    writer: Writer,
}

enum Reader {
    One(tokio::net::tcp::OwnedReadHalf),
    Two(RecvStream),
}

enum Writer {
    One(tokio::net::tcp::OwnedWriteHalf),
    Two(SendStream<Bytes>),
}

impl Tunnel {
    fn of_socket(socket: Socket) -> Self {
        let (reader, writer) = socket.into_split();
        Self { reader: Reader::One(reader), writer: Writer::One(writer) }
    }

    fn of_stream(writer: SendStream<Bytes>, reader: RecvStream) -> Self {
        Self { reader: Reader::Two(reader), writer: Writer::Two(writer) }
    }
}

impl Reader {
    /// What comes next; nothing at the end, and an error after a reset.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ()> {
        match self {
            Self::One(socket) => {
                let mut part = vec![0; 16_384];
                let count = socket.read(&mut part).await.map_err(|_| ())?;
                part.truncate(count);
                Ok((count > 0).then_some(part))
            }
            Self::Two(stream) => match stream.data().await {
                None => Ok(None),
                Some(Err(_)) => Err(()),
                Some(Ok(part)) => {
                    let _gone = stream.flow_control().release_capacity(part.len());
                    Ok(Some(part.to_vec()))
                }
            },
        }
    }

    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.next().await.expect("no reset").expect("no end"));
        }
        all
    }

    async fn rest(&mut self) -> Result<Vec<u8>, ()> {
        let mut all = Vec::new();
        while let Some(part) = self.next().await? {
            all.extend(part);
        }
        Ok(all)
    }
}

impl Writer {
    /// False: nobody takes it any more.
    async fn send(&mut self, part: Vec<u8>) -> bool {
        match self {
            Self::One(socket) => socket.write_all(&part).await.is_ok(),
            Self::Two(stream) => {
                let mut rest = Bytes::from(part);
                while !rest.is_empty() {
                    stream.reserve_capacity(rest.len());
                    let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                    let Some(Ok(room)) = room else { return false };
                    if stream.send_data(rest.split_to(room.min(rest.len())), false).is_err() {
                        return false;
                    }
                }
                true
            }
        }
    }

    async fn end(&mut self) {
        match self {
            Self::One(socket) => drop(socket.shutdown().await),
            Self::Two(stream) => drop(stream.send_data(Bytes::new(), true)),
        }
    }
}

/// What a client was answered.
struct Answered {
    status: u16,
    head: String,
    tunnel: Tunnel,
}

const ASK: &str = "GET /chat?a=1 HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n";

async fn ask_with(by: By, address: SocketAddr, key: &str) -> (Answered, Option<Peer>) {
    match by {
        By::One => {
            let mut socket = Socket::connect(address).await.unwrap();
            let ask = format!("{ASK}Sec-WebSocket-Key: {key}\r\n\r\n");
            socket.write_all(ask.as_bytes()).await.unwrap();
            let head = read_until_empty_line(&mut socket).await.expect("an answer");
            let status = head[9..12].parse().unwrap();
            (Answered { status, head, tunnel: Tunnel::of_socket(socket) }, None)
        }
        By::Two => {
            let mut peer = Peer::new(address).await;
            let (status, head, writer, reader) = peer.connect("/chat?a=1").await;
            (Answered { status, head, tunnel: Tunnel::of_stream(writer, reader) }, Some(peer))
        }
    }
}

async fn ask(by: By, served: &Served) -> (Answered, Option<Peer>) {
    ask_with(by, served.address(), KEY).await
}

impl Peer {
    /// Asks for a WebSocket, once the server has said that it knows them.
    async fn connect(&mut self, path: &str) -> (u16, String, SendStream<Bytes>, RecvStream) {
        let request = Request::builder().method("CONNECT").uri(format!("http://a.example{path}"));
        let request = request
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat");
        let (answer, writer) = self.send_extended(request.body(()).unwrap()).await;
        let (head, reader) = answer.await.unwrap().into_parts();
        let mut text = String::new();
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        (head.status.as_u16(), text, writer, reader)
    }
}

/// A proxy before a server.
fn proxy(by: By, server: SocketAddr, keys: &str) -> Served {
    let protocol = if by == By::Two { "http2" } else { "http1" };
    let upstream = upstream(&[server], &format!("protocol = \"{protocol}\"\n"));
    web(keys, &format!("[[listener.route]]\nproxy = \"u\"\n{upstream}"))
}

fn wait_for_nothing(served: &Served, pair: (By, By)) {
    wait_until(&format!("all is over: {pair:?}"), || {
        served.sum(|cell| cell.stats.upstreams.get(0).http.active.get()) == 0
            && served.sum(|cell| cell.stats.waiting.bytes.get()) == 0
    });
}

/// The exchange is over while its client's connection stands.
async fn wait_for_the_end(served: &Served) {
    let active = || served.sum(|cell| cell.stats.upstreams.get(0).http.active.get());
    until("the exchange ends", || active() == 0).await;
}

#[test]
fn a_megabyte_goes_both_ways_at_once_and_the_clients_end_is_passed_on() {
    for (client, behind) in PAIRS {
        let server = Server::default();
        let served = proxy(behind, server.start(behind, Does::Echo), "");
        run(async {
            let (answered, peer) = ask(client, &served).await;
            let expected = if client == By::One { 101 } else { 200 };
            let Answered { status, head, tunnel } = answered;
            assert_eq!(status, expected, "{client:?} {behind:?}");
            assert!(head.contains("sec-websocket-protocol: chat\n"), "{head}");
            let accept = format!("sec-websocket-accept: {ACCEPT}\n");
            assert_eq!(head.contains(&accept), client == By::One, "{head}");
            assert_eq!(head.contains("upgrade: "), client == By::One, "{head}");
            let Tunnel { mut reader, mut writer } = tunnel;
            assert!(writer.send(b"first".to_vec()).await);
            assert_eq!(reader.exactly(5).await, b"first");
            let data = bytes(7, 1 << 20);
            let sent = data.clone();
            let sending = tokio::spawn(async move {
                for part in sent.chunks(50_000) {
                    assert!(writer.send(part.to_vec()).await);
                }
                writer.end().await;
                writer
            });
            let back = reader.rest().await.expect("no reset");
            assert!(back == data, "{client:?} {behind:?}: {}", back.len());
            let keep = (sending.await.unwrap(), reader, peer);
            wait_for_the_end(&served).await;
            assert!(server.ended().await.1, "in order: {client:?} {behind:?}");
            drop(keep);
        });
        let head = server.head();
        let (first, key) = match behind {
            By::One => ("GET /chat?a=1 HTTP/1.1\n", "sec-websocket-key: "),
            By::Two => ("CONNECT http://a.example/chat?a=1 Some", "key"),
        };
        assert!(head.starts_with(first), "{head}");
        assert_eq!(head.contains(key), behind == By::One, "{head}");
        assert_eq!(head.contains("upgrade: websocket\n"), behind == By::One, "{head}");
        assert!(head.contains("sec-websocket-version: 13\n"), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
        wait_for_nothing(&served, (client, behind));
    }
}

#[test]
fn a_server_that_ends_its_side_takes_what_its_client_still_sends() {
    for (client, behind) in PAIRS {
        let server = Server::default();
        let served = proxy(behind, server.start(behind, Does::Says("bye")), "");
        run(async {
            let (Answered { tunnel, .. }, peer) = ask(client, &served).await;
            let Tunnel { mut reader, mut writer } = tunnel;
            let all = reader.rest().await;
            assert_eq!(all.as_deref(), Ok(&b"bye"[..]), "{client:?} {behind:?}");
            assert!(writer.send(b"and more".to_vec()).await);
            writer.end().await;
            let keep = (reader, writer, peer);
            let ended = server.ended().await;
            assert_eq!(ended, (b"and more".to_vec(), true), "{client:?} {behind:?}");
            wait_for_the_end(&served).await;
            drop(keep);
        });
        wait_for_nothing(&served, (client, behind));
    }
}

#[test]
fn a_reset_of_either_side_is_one_for_the_other() {
    for (client, behind) in PAIRS {
        let server = Server::default();
        let served = proxy(behind, server.start(behind, Does::Resets), "");
        run(async {
            let (Answered { tunnel, .. }, _peer) = ask(client, &served).await;
            let Tunnel { mut reader, mut writer } = tunnel;
            assert!(writer.send(b"x".to_vec()).await);
            assert_eq!(reader.rest().await, Err(()), "{client:?} {behind:?}");
        });
        let server = Server::default();
        let second = proxy(behind, server.start(behind, Does::Echo), "");
        run(async {
            let (Answered { tunnel, .. }, peer) = ask(client, &second).await;
            let Tunnel { mut reader, mut writer } = tunnel;
            assert!(writer.send(b"x".to_vec()).await);
            reader.exactly(1).await;
            match (writer, reader) {
                (Writer::Two(mut stream), _) => stream.send_reset(h2::Reason::CANCEL),
                (Writer::One(writer), Reader::One(reader)) => {
                    let socket = reader.reunite(writer).unwrap();
                    #[expect(deprecated, reason = "a reset is wanted, and nothing waits")]
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
                (Writer::One(_), Reader::Two(_)) => unreachable!(),
            }
            let ended = server.ended().await;
            assert_eq!(ended, (b"x".to_vec(), false), "{client:?} {behind:?}");
            drop(peer);
        });
        for served in [&served, &second] {
            wait_for_nothing(served, (client, behind));
        }
    }
}

#[test]
fn a_client_that_reads_nothing_stops_its_own_server_and_nobody_else() {
    for (client, behind) in PAIRS {
        let server = Server::default();
        let served = proxy(behind, server.start(behind, Does::Floods), "");
        run(async {
            let (Answered { tunnel, .. }, mut peer) = ask(client, &served).await;
            let waiting = || served.sum(|cell| cell.stats.waiting.bytes.get());
            // Where both speak HTTP/1.1, the relay counts nothing.
            if (client, behind) != (By::One, By::One) {
                until("bytes wait", || waiting() >= 64 * 1024).await;
            }
            let (other, _second) = match &mut peer {
                Some(peer) => {
                    let (status, head, writer, reader) = peer.connect("/").await;
                    let tunnel = Tunnel::of_stream(writer, reader);
                    (Answered { status, head, tunnel }, None)
                }
                None => ask(client, &served).await,
            };
            let mut reader = other.tunnel.reader;
            for _ in 0..20 {
                assert!(reader.next().await.unwrap().unwrap().iter().all(|byte| *byte == b'f'));
            }
            // What a server of HTTP/2 sends ahead is bounded by the windows of its streams.
            let most = if behind == By::Two { 10 << 20 } else { 1 << 20 };
            assert!(waiting() < most, "{client:?} {behind:?}: {}", waiting());
            drop((tunnel, reader, other.tunnel.writer));
        });
        wait_for_nothing(&served, (client, behind));
    }
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_ended_by_the_idle_timeout_alone() {
    for (client, behind) in PAIRS {
        let server = Server::default();
        let keys = "tunnel_timeout = \"300ms\"\nbody_timeout = \"100ms\"\n";
        let protocol = if behind == By::Two { "http2" } else { "http1" };
        let keys_behind = format!(
            "protocol = \"{protocol}\"\nresponse_idle_timeout = \"100ms\"\n\
             first_byte_timeout = \"200ms\"\n"
        );
        let upstream = upstream(&[server.start(behind, Does::Echo)], &keys_behind);
        let route = "[[listener.route]]\nproxy = \"u\"\ntotal_timeout = \"250ms\"\n";
        let served = web(keys, &format!("{route}{upstream}"));
        run(async {
            let (Answered { tunnel, .. }, _peer) = ask(client, &served).await;
            let Tunnel { mut reader, mut writer } = tunnel;
            // Each pause is longer than the timeouts of bodies and shorter than that of tunnels, and
            // all of them together are longer than any: time itself is tested.
            for _ in 0..4 {
                assert!(writer.send(b"x".to_vec()).await, "{client:?} {behind:?}");
                assert_eq!(reader.exactly(1).await, b"x");
                tokio::time::sleep(Duration::from_millis(120)).await;
            }
            let quiet = tokio::time::Instant::now();
            let _ended = reader.rest().await;
            let waited = quiet.elapsed();
            assert!(waited >= Duration::from_millis(150), "{client:?} {behind:?}: {waited:?}");
        });
        wait_for_nothing(&served, (client, behind));
    }
}

/// A server of HTTP/1.1 that answers each handshake with this, and keeps the connection.
fn answering(answer: &'static str) -> SocketAddr {
    origin(move |_, _| answer.as_bytes().to_vec())
}

#[test]
fn what_is_no_agreement_becomes_none() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let missing = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\n\r\n";
    let other = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n";
    let refused = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    let ordinary = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (answer, by_one, by_two) in [
        (wrong, 502, 502),
        (missing, 502, 502),
        (other, 502, 502),
        (refused, 403, 403),
        (ordinary, 200, 502),
    ] {
        for (client, expected) in [(By::One, by_one), (By::Two, by_two)] {
            let served = proxy(By::One, answering(answer), "reason_header = true\n");
            run(async {
                let (Answered { status, head, mut tunnel }, _peer) = ask(client, &served).await;
                assert_eq!(status, expected, "{client:?} {answer}");
                let is_named = head.contains("x-ringway-reason: bad_handshake\n");
                assert_eq!(is_named, status == 502, "{head}");
                if client == By::Two {
                    let body = tunnel.reader.rest().await.unwrap();
                    assert!(!body.is_empty() && (status != 403 || body == b"no"));
                }
            });
            wait_for_nothing(&served, (client, By::One));
            let idle = served.sum(|cell| cell.stats.upstreams.get(0).active.get());
            assert_eq!(idle, u64::from(expected != 502), "a server that lies is left");
        }
    }
}

#[test]
fn bytes_behind_the_agreement_and_hints_before_it_come_through() {
    let server = serve(|stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = read_head(&mut reader);
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = handshake::accept(key.as_bytes());
        let accept = std::str::from_utf8(&accept).unwrap();
        let answer = format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{SWITCH}Content-Length: 3\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\nhello"
        );
        (&stream).write_all(answer.as_bytes()).unwrap();
        let _end = reader.read_to_end(&mut Vec::new());
    });
    let served = proxy(By::One, server, "");
    run(async {
        let (Answered { status, head, mut tunnel }, _peer) = ask(By::Two, &served).await;
        assert_eq!(status, 200);
        assert!(!head.contains("content-length"), "{head}");
        assert_eq!(tunnel.reader.exactly(5).await, b"hello");
        tunnel.writer.end().await;
        assert_eq!(tunnel.reader.rest().await, Ok(Vec::new()));
    });
    wait_for_nothing(&served, (By::Two, By::One));
}

#[test]
fn a_server_of_http2_that_knows_no_websockets_is_named() {
    let server = super::upstream::plain_server();
    for client in [By::One, By::Two] {
        let served = proxy(By::Two, server, "reason_header = true\n");
        run(async {
            let (Answered { status, head, .. }, _peer) = ask(client, &served).await;
            assert_eq!(status, 502);
            assert!(head.contains("x-ringway-reason: no_websocket\n"), "{head}");
        });
        wait_for_nothing(&served, (client, By::Two));
    }
}

#[test]
fn a_handshake_that_cannot_be_one_of_http2_is_refused() {
    let server = Server::default();
    let served = proxy(By::Two, server.start(By::Two, Does::Echo), "reason_header = true\n");
    run(async {
        let (Answered { status, head, .. }, _) = ask_with(By::One, served.address(), "short").await;
        assert_eq!(status, 400);
        assert!(head.contains("x-ringway-reason: client_handshake\n"), "{head}");
    });
    assert_eq!(server.head(), "");
}

#[test]
fn servers_that_choose_http2_without_websockets_are_asked_by_http1_where_they_may_be() {
    let pki = Pki::new();
    let mut config = Arc::unwrap_or_clone(pki.server("server"));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let server = serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut first = [0];
        if stream.read_exact(&mut first).is_err() {
            return;
        }
        if stream.conn.alpn_protocol() == Some(b"h2") {
            // Settings, and nothing more.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
            let _end = stream.read_to_end(&mut Vec::new());
            return;
        }
        let mut head = first.to_vec();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = handshake::accept(key.as_bytes());
        let accept = std::str::from_utf8(&accept).unwrap();
        let answer = format!("{SWITCH}Sec-WebSocket-Accept: {accept}\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        let mut part = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut part) {
            stream.write_all(&part[..count]).unwrap();
        }
        stream.conn.send_close_notify();
        let _flushed = stream.flush();
    });
    let tls = pki.upstream_tls("u", "server_name = \"localhost\"\n");
    for client in [By::One, By::Two] {
        let upstream = upstream(&[server], "protocol = \"auto\"\n");
        let route = "[[listener.route]]\nproxy = \"u\"\n";
        let served = web("reason_header = true\n", &format!("{route}{upstream}{tls}"));
        run(async {
            for _ in 0..2 {
                let (Answered { status, head, mut tunnel }, _peer) = ask(client, &served).await;
                assert_eq!(status, if client == By::One { 101 } else { 200 }, "{head}");
                assert!(tunnel.writer.send(b"by TLS".to_vec()).await);
                assert_eq!(tunnel.reader.exactly(6).await, b"by TLS");
                tunnel.writer.end().await;
                assert_eq!(tunnel.reader.rest().await, Ok(Vec::new()));
            }
        });
        wait_for_nothing(&served, (client, By::One));
    }
}

#[test]
fn no_route_but_a_proxy_agrees_to_a_websocket() {
    let routes = "[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
        [[listener.route]]\npath = \"/echo\"\necho = true\n\
        [[listener.route]]\npath_prefix = \"/old\"\nredirect = \"/new\"\n\
        [[listener.route]]\npath = \"/up\"\nproxy = \"u\"\n";
    let upstream = upstream(&[answering("")], "");
    let served = web("", &format!("{routes}{upstream}"));
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for (path, expected) in [("/fixed", 501), ("/echo", 501), ("/old", 501), ("/none", 404)] {
            let (status, ..) = peer.connect(path).await;
            assert_eq!(status, expected, "{path}");
        }
        let answer = peer.get("/fixed").await.unwrap();
        assert_eq!(answer.body, b"hello");
    });
}

#[test]
fn the_line_of_a_websocket_is_written_when_it_is_answered() {
    for (client, behind) in PAIRS {
        let folder = Folder::new();
        let log = folder.path().join("access.log");
        let keys = format!(
            "[listener.access_log]\npath = \"{}\"\nformat = \"template\"\n\
             template = \"$method $path $status $upstream\"\n",
            log.display()
        );
        let server = Server::default();
        let served = proxy(behind, server.start(behind, Does::Echo), &keys);
        run(async {
            let (Answered { tunnel, .. }, peer) = ask(client, &served).await;
            let expected = match client {
                By::One => "GET /chat 101 u\n",
                By::Two => "GET /chat 200 u\n",
            };
            let text = || std::fs::read_to_string(&log).unwrap_or_default();
            until("the line is there while the tunnel is open", || text() == expected).await;
            drop((tunnel, peer));
            wait_for_the_end(&served).await;
            // It writes what it has before it ends.
            drop(served);
            assert_eq!(text(), expected, "one line");
        });
    }
}
