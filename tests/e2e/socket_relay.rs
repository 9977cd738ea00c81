//! WebSockets whose messages go to TCP servers, and come from them. The client is built on the
//! frames of the library.

#[path = "socket_relay/http2.rs"]
mod http2;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use ringway::proto::websocket::deflate::{Codec, Level};
use ringway::proto::websocket::{
    CloseCode, Closing, Endpoint, Item, Kind, Limits, Opcode, Role, write,
};
use ringway::service::proxy::ConnectFailure;

use crate::pki::Pki;
use crate::support::*;

const MASK: Option<[u8; 4]> = Some([0x1f, 0x80, 0x33, 0xc5]);
const LIMITS: Limits = Limits { frame: u64::MAX, message: u64::MAX, deflate: true };

/// What a client has received.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Text(String),
    Binary(Vec<u8>),
    /// A close frame with this code.
    Closed(u16),
}

/// Takes frames apart, whatever they come by.
struct Frames {
    endpoint: Endpoint,
    input: Vec<u8>,
    message: Vec<u8>,
    codec: Codec,
}

impl Frames {
    fn new() -> Self {
        let endpoint = Endpoint::new(Role::Client);
        Self { endpoint, input: Vec::new(), message: Vec::new(), codec: Codec::new() }
    }

    /// What is next, and what is to be answered at once.
    fn next(&mut self) -> Option<(Came, Vec<u8>)> {
        while !self.input.is_empty() {
            let (count, item) = self.endpoint.read(&mut self.input, &LIMITS).unwrap();
            let mut came = None;
            let mut answer = Vec::new();
            if let Some(Item::Part(part)) = &item {
                self.message.extend_from_slice(&self.input[part.payload.clone()]);
                if part.last {
                    let mut message = std::mem::take(&mut self.message);
                    if part.compressed {
                        let raw = std::mem::take(&mut message);
                        self.codec.inflate([&raw[..]], usize::MAX, &mut message).unwrap();
                    }
                    came = Some(match part.kind {
                        Kind::Text => Came::Text(String::from_utf8(message).unwrap()),
                        Kind::Binary => Came::Binary(message),
                    });
                }
            } else if let Some(item) = &item {
                self.endpoint.answer(item, MASK, &mut answer);
                if let Item::Close(code, _) = item {
                    came = Some(Came::Closed(code.0));
                }
            }
            self.input.drain(..count);
            if let Some(came) = came {
                return Some((came, answer));
            }
        }
        None
    }
}

/// A client.
struct Client {
    stream: TcpStream,
    frames: Frames,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self::offering(address, "")
    }

    /// A client whose handshake has these lines besides.
    fn offering(address: SocketAddr, lines: &str) -> Self {
        let mut stream = connect(address);
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {lines}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(answer.contains("permessage-deflate"), lines.contains("permessage-deflate"));
        Self { stream, frames: Frames::new() }
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        self.stream.write_all(&frame(opcode, payload)).unwrap();
    }

    fn next(&mut self) -> Came {
        loop {
            if let Some((came, answer)) = self.frames.next() {
                // It may have closed already.
                let _gone = self.stream.write_all(&answer);
                return came;
            }
            let mut part = [0; 65_536];
            let count = self.stream.read(&mut part).unwrap();
            assert!(count > 0, "the connection ends without a close frame");
            self.frames.input.extend_from_slice(&part[..count]);
        }
    }

    /// The bytes of so many messages as make up `len`.
    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            match self.next() {
                Came::Binary(bytes) => all.extend_from_slice(&bytes),
                other @ (Came::Text(_) | Came::Closed(_)) => {
                    panic!("{other:?} after {} bytes", all.len())
                }
            }
        }
        all
    }

    /// All that comes, until the server closes, and the code of that.
    fn rest(mut self) -> (Vec<u8>, u16) {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Came::Binary(bytes) => all.extend_from_slice(&bytes),
                Came::Text(text) => all.extend_from_slice(text.as_bytes()),
                Came::Closed(code) => {
                    assert_eq!(self.stream.read(&mut [0; 9]).unwrap_or(0), 0, "nothing follows");
                    return (all, code);
                }
            }
        }
    }

    /// Closes in order.
    fn close(mut self) {
        let mut out = Vec::new();
        self.frames.endpoint.close(CloseCode::NORMAL, "", MASK, &mut out);
        self.stream.write_all(&out).unwrap();
        while self.frames.endpoint.closing() != Closing::Done {
            self.next();
        }
        assert_eq!(self.stream.read(&mut [0; 9]).unwrap_or(0), 0);
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::frame(opcode, (true, false), payload, MASK, &mut out);
    out
}

/// A configuration whose sockets go to these servers.
fn config(workers: usize, servers: &[SocketAddr], keys: &str, upstream_keys: &str) -> String {
    let listener = format!(
        "[[listener]]\nname = \"w\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\npath = \"/ws\"\n[listener.route.websocket]\nservice = \"relay\"\n\
         upstream = \"u\"\n{keys}\n"
    );
    let upstream = upstream(servers, upstream_keys);
    [&runtime(workers), NO_ADMIN, &listener, &*upstream].concat()
}

fn relay(servers: &[SocketAddr], keys: &str) -> Served {
    Served::new(&config(1, servers, keys, ""))
}

const LINES: &str = "relay_format = \"lines\"";

/// A server that says this once something has come, and then does something with its connection.
fn says(
    text: &'static [u8],
    then: impl Fn(TcpStream) + Send + Sync + Clone + 'static,
) -> SocketAddr {
    serve(move |mut stream| {
        let _come = stream.read(&mut [0; 100]);
        stream.write_all(text).unwrap();
        then(stream);
    })
}

fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}

/// A server that tells all that came on each connection, when that has ended.
fn recorder() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel();
    let server = serve(move |mut stream| {
        let mut all = Vec::new();
        let _broken = stream.read_to_end(&mut all);
        sender.send(all).unwrap();
    });
    (server, receiver)
}

fn waiting(served: &Served) -> u64 {
    served.sum(|cell| cell.stats.waiting.bytes.get())
}

#[test]
fn bytes_of_messages_of_either_kind_go_both_ways() {
    for workers in [1, 2] {
        let served = Served::new(&config(workers, &[echo_server()], "", ""));
        let mut client = Client::new(served.address());
        client.send(Opcode::Text, "zw\u{f6}lf".as_bytes());
        assert_eq!(client.take(5), "zw\u{f6}lf".as_bytes());
        client.send(Opcode::Binary, &[0, 255, 10]);
        client.send(Opcode::Binary, b"");
        client.send(Opcode::Ping, b"between");
        assert_eq!(client.take(3), [0, 255, 10]);
        // A message in parts goes on as it comes.
        let mut part = Vec::new();
        write::frame(Opcode::Binary, (false, false), b"first, ", MASK, &mut part);
        client.stream.write_all(&part).unwrap();
        assert_eq!(client.take(7), b"first, ");
        client.send(Opcode::Continuation, b"last");
        assert_eq!(client.take(4), b"last");
        client.close();
        let open = || served.sum(|cell| cell.stats.upstreams.get(0).active.get());
        wait_until("the connection to the server is over", || open() == 0);
        assert_eq!(served.sum(|cell| cell.stats.upstreams.get(0).connected.get()), 1);
        served.drain();
    }
}

#[test]
fn compressed_messages_go_on_as_they_are() {
    let served = relay(&[echo_server()], "deflate_min = \"10B\"");
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut client = Client::offering(served.address(), offer);
    let text = "again and ".repeat(3_000);
    let (mut deflated, mut out) = (Vec::new(), Vec::new());
    client.frames.codec.deflate(text.as_bytes(), 15, Level::Fast, &mut deflated);
    assert!(deflated.len() < 3_000);
    write::frame(Opcode::Text, (true, true), &deflated, MASK, &mut out);
    client.stream.write_all(&out).unwrap();
    assert!(client.take(text.len()) == text.as_bytes());
    client.close();
}

#[test]
fn lines_are_messages() {
    let server = serve(|mut stream| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut reader, &mut line).unwrap_or(0) > 0 {
            let end = if line.len().is_multiple_of(2) { "\r\n" } else { "\n" };
            let text = format!("<{}>{end}", line.strip_suffix('\n').unwrap());
            stream.write_all(text.as_bytes()).unwrap();
            line.clear();
        }
    });
    let served = relay(&[server], LINES);
    let mut client = Client::new(served.address());
    let mut all = Vec::new();
    let messages: Vec<String> = (0..500).map(|number| "x".repeat(number * 7 % 300)).collect();
    messages.iter().for_each(|message| all.extend(frame(Opcode::Text, message.as_bytes())));
    client.stream.write_all(&all).unwrap();
    for message in &messages {
        assert_eq!(client.next(), Came::Text(format!("<{message}>")));
    }
    // In parts, and binary.
    let mut parts = Vec::new();
    write::frame(Opcode::Binary, (false, false), b"a\r", MASK, &mut parts);
    write::frame(Opcode::Continuation, (true, false), b"b", MASK, &mut parts);
    client.stream.write_all(&parts).unwrap();
    assert_eq!(client.next(), Came::Text("<a\rb>".into()));
    client.send(Opcode::Text, b"two\nlines");
    assert_eq!(client.rest(), (Vec::new(), 1007));
}

#[test]
fn the_messages_protocol_goes_over_a_socket() {
    let messages = Served::new(&format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"m\"\nlisten = \"127.0.0.1:0\"\n\
         protocol = \"messages\"\n",
        runtime(1)
    ));
    let served = relay(&[messages.address()], LINES);
    let mut client = Client::new(served.address());
    for number in 0..100 {
        let text = format!(r#"{{"type":"echo","id":{number},"payload":"eA=="}}"#);
        client.send(Opcode::Text, text.as_bytes());
    }
    for number in 0..100 {
        let Came::Text(answer) = client.next() else { panic!("lines are text") };
        assert!(answer.contains(&format!("\"id\":{number}")), "{answer}");
    }
    client.close();
}

#[test]
fn lines_that_are_no_messages_close_the_socket() {
    let table: [(&[u8], u16, &[u8]); 5] = [
        (b"good\nb\xffd\nmore\n", 1007, b"good"),
        (b"good\n0123456789012345678901234567890123456789", 1009, b"good"),
        (b"good\n0123456789012345678901234567890123456789\n", 1009, b"good"),
        (b"good\ncut", 1011, b"good"),
        (b"good\r\n\nlast\n", 1000, b"goodlast"),
    ];
    for (says_this, code, text) in table {
        let server = says(says_this, drop);
        let keys = format!("{LINES}\nmessage_max = \"32B\"");
        let served = relay(&[server], &keys);
        let mut client = Client::new(served.address());
        client.send(Opcode::Text, b"go");
        assert_eq!(client.rest(), (text.to_vec(), code), "{}", says_this.escape_ascii());
    }
}

#[test]
fn long_messages_go_both_ways_at_once() {
    for workers in [1, 2] {
        let served = Served::new(&config(workers, &[echo_server()], "", ""));
        let mut client = Client::new(served.address());
        let mut writer = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            for number in 0..16 {
                writer.write_all(&frame(Opcode::Binary, &bytes(number, 1 << 20))).unwrap();
            }
        });
        for number in 0..16 {
            // It is all of one message as long as no other was sent.
            let mut expected = bytes(number, 1 << 20);
            while !expected.is_empty() {
                let Came::Binary(part) = client.next() else { panic!("it is binary") };
                let (own, next) = part.split_at(part.len().min(expected.len()));
                assert!(own == &expected[..own.len()]);
                expected.drain(..own.len());
                if !next.is_empty() {
                    client.frames.input.splice(0..0, {
                        let mut rest = Vec::new();
                        write::frame(Opcode::Binary, (true, false), next, None, &mut rest);
                        rest
                    });
                }
            }
        }
        sender.join().unwrap();
        client.close();
    }
}

#[test]
fn a_client_that_takes_nothing_stops_its_own_server_alone() {
    let (sender, receiver) = mpsc::channel();
    const LEN: usize = 32 << 20;
    let server = serve(move |mut stream| {
        let mut what = [0; 5];
        stream.read_exact(&mut what).unwrap();
        if &what == b"flood" {
            let text = bytes(7, LEN);
            for part in text.chunks(64 * 1024) {
                stream.write_all(part).unwrap();
                sender.send(part.len()).unwrap();
            }
        } else {
            stream.write_all(&what).unwrap();
        }
    });
    let served = relay(&[server], "");
    let mut slow = Client::new(served.address());
    slow.send(Opcode::Text, b"flood");
    let mut sent = 0;
    while let Ok(len) = receiver.recv_timeout(Duration::from_millis(500)) {
        sent += len;
    }
    assert!(sent < LEN, "the server is not read");
    let most = waiting(&served);
    assert!(most > 0 && most < 600 * 1024, "{most} bytes wait");
    for _ in 0..3 {
        let mut quick = Client::new(served.address());
        quick.send(Opcode::Text, b"quick");
        assert_eq!(quick.rest(), (b"quick".to_vec(), 1000));
    }
    // What it sends meanwhile goes on all the same: pings are answered, too.
    slow.send(Opcode::Ping, b"still here");
    let (all, code) = slow.rest();
    assert!(all == bytes(7, LEN));
    assert_eq!(code, 1000);
    wait_until("nothing waits", || waiting(&served) == 0);
}

#[test]
fn a_server_that_takes_nothing_stops_its_own_client_alone() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Arc::new(std::sync::Mutex::new(gone));
    let (sender, receiver) = mpsc::channel();
    let server = serve(move |mut stream| {
        let mut what = [0; 5];
        stream.read_exact(&mut what).unwrap();
        if &what == b"quick" {
            stream.write_all(&what).unwrap();
            return;
        }
        gone.lock().unwrap().recv().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        sender.send(all).unwrap();
    });
    let served = relay(&[server], "");
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"slow!");
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (message, mut left) = (frame(Opcode::Binary, &bytes(3, 100_000)), Vec::new());
    let mut count = 0;
    while left.is_empty() {
        let mut rest = &message[..];
        while !rest.is_empty() {
            match client.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(_would_block) => {
                    left = rest.to_vec();
                    break;
                }
            }
        }
        count += 1;
        assert!(count < 1_000, "the client is not stopped");
    }
    let most = waiting(&served);
    assert!(most > 0 && most < 600 * 1024, "{most} bytes wait");
    let mut quick = Client::new(served.address());
    quick.send(Opcode::Text, b"quick");
    assert_eq!(quick.rest(), (b"quick".to_vec(), 1000));
    go.send(()).unwrap();
    client.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    client.stream.write_all(&left).unwrap();
    client.close();
    let all = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(all == bytes(3, 100_000).repeat(count));
}

#[test]
fn a_socket_whose_servers_cannot_be_reached_is_closed() {
    let served = relay(&[nobody(), nobody()], "");
    let client = Client::new(served.address());
    assert_eq!(client.rest(), (Vec::new(), 1014));
    let refused = |cell: &ringway::session::WorkerCell| {
        cell.stats.upstreams.get(0).failed[ConnectFailure::Refused as usize].get()
    };
    assert_eq!(served.sum(refused), 2, "each was tried");
    served.drain();

    let served = relay(&[nobody(), echo_server()], "");
    for _ in 0..4 {
        let mut client = Client::new(served.address());
        client.send(Opcode::Text, b"some other server answers");
        assert_eq!(client.take(25), b"some other server answers");
        client.close();
    }
}

#[test]
fn an_upstream_has_no_more_sockets_than_it_may_have() {
    let served = Served::new(&config(1, &[echo_server()], "", "requests_max = 1"));
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"first");
    assert_eq!(client.take(5), b"first");
    assert_eq!(Client::new(served.address()).rest(), (Vec::new(), 1013));
    client.close();
    let open = || served.sum(|cell| cell.stats.upstreams.get(0).active.get());
    wait_until("its connection is over", || open() == 0);
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"again");
    assert_eq!(client.take(5), b"again");
}

#[test]
fn the_end_of_a_server_closes_its_socket() {
    let served = relay(&[says(b"all", drop)], "");
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"go");
    assert_eq!(client.rest(), (b"all".to_vec(), 1000));

    let served = relay(&[says(b"", reset)], "");
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"go");
    assert_eq!(client.rest(), (Vec::new(), 1011));

    // A server that has ended its side alone still gets what came before the close.
    let (sender, receiver) = mpsc::channel();
    let server = says(b"half", move |mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        sender.send(all).unwrap();
    });
    let served = relay(&[server], "");
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"go");
    assert_eq!(client.rest(), (b"half".to_vec(), 1000));
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), b"");
}

#[test]
fn what_a_client_has_sent_goes_out_whatever_its_end_is() {
    let (server, receiver) = recorder();
    let served = relay(&[server], "");
    let text = bytes(5, 3_000_000);
    let send = |client: &mut Client| {
        for part in text.chunks(500_000) {
            client.send(Opcode::Binary, part);
        }
    };
    let mut client = Client::new(served.address());
    send(&mut client);
    client.close();
    assert!(receiver.recv_timeout(PATIENCE).unwrap() == text, "a close in order");

    let mut client = Client::new(served.address());
    send(&mut client);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(receiver.recv_timeout(PATIENCE).unwrap() == text, "an end without a close");

    let mut client = Client::new(served.address());
    send(&mut client);
    client.send(Opcode::Continuation, b"continues nothing");
    assert_eq!(client.rest(), (Vec::new(), 1002));
    assert!(receiver.recv_timeout(PATIENCE).unwrap() == text, "a violation");
    wait_until("nothing waits", || waiting(&served) == 0);
}

#[test]
fn what_comes_before_there_is_a_server_waits() {
    let pki = Pki::new();
    // The handshake of TLS takes some turns, and the first messages come with the request.
    for with_tls in [false, true] {
        let server = if with_tls { pki.shouter() } else { echo_server() };
        let tls = if with_tls { pki.upstream_tls("u", "") } else { String::new() };
        let served = Served::new(&[&config(1, &[server], "", ""), &*tls].concat());
        let mut client = Client::new(served.address());
        let text = "hello, ".repeat(100_000);
        let mut writer = client.stream.try_clone().unwrap();
        let message = frame(Opcode::Text, text.as_bytes());
        let sender = std::thread::spawn(move || writer.write_all(&message).unwrap());
        let back = client.take(text.len());
        sender.join().unwrap();
        let expected = if with_tls { text.to_uppercase() } else { text };
        assert!(back == expected.as_bytes());
        client.close();
    }
}

#[test]
fn a_server_is_told_who_its_client_is() {
    let server = serve(|mut stream| {
        let mut all = Vec::new();
        while !all.ends_with(b"go") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            all.push(byte[0]);
        }
        stream.write_all(&all).unwrap();
    });
    let served = Served::new(&config(1, &[server], "", "send_proxy_protocol = \"v1\""));
    let mut client = Client::new(served.address());
    let (own, other) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
    client.send(Opcode::Text, b"go");
    let header =
        format!("PROXY TCP4 {} {} {} {}\r\ngo", own.ip(), other.ip(), own.port(), other.port());
    assert_eq!(client.rest(), (header.into_bytes(), 1000));
}

#[test]
fn each_client_gets_what_is_its_own() {
    let served = Served::new(&config(2, &[echo_server(), echo_server()], "", ""));
    let address = served.address();
    let threads: Vec<_> = (0..24_u64)
        .map(|number| {
            std::thread::spawn(move || {
                for round in 0..4 {
                    let mut client = Client::new(address);
                    let mut writer = client.stream.try_clone().unwrap();
                    let text = bytes(number * 100 + round, 150_000);
                    let sent = text.clone();
                    let sender = std::thread::spawn(move || {
                        for part in sent.chunks(9_973) {
                            writer.write_all(&frame(Opcode::Binary, part)).unwrap();
                        }
                    });
                    assert!(client.take(text.len()) == text, "{number}, {round}");
                    sender.join().unwrap();
                    client.close();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let open = || served.sum(|cell| cell.stats.upstreams.get(0).active.get());
    wait_until("all connections are over", || open() == 0 && waiting(&served) == 0);
    served.drain();
}

#[test]
fn a_drain_closes_sockets_and_their_connections() {
    let (server, receiver) = recorder();
    let served = relay(&[server], "drain_window = \"0s\"");
    let mut client = Client::new(served.address());
    client.send(Opcode::Text, b"before");
    wait_until("it is connected", || {
        served.sum(|cell| cell.stats.upstreams.get(0).connected.get()) == 1
    });
    let drained = std::thread::spawn(move || served.drain());
    assert_eq!(client.rest(), (Vec::new(), 1012));
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), b"before");
    drained.join().unwrap();
}

#[test]
fn a_server_that_does_not_end_is_not_waited_for_without_end() {
    // It sends on and on, and does not look at what it gets.
    let (sender, receiver) = mpsc::channel();
    let server = serve(move |mut stream| {
        while stream.write_all(&[b'x'; 16_384]).is_ok() {}
        sender.send(()).unwrap();
    });
    let served = relay(&[server], "");
    let mut client = Client::new(served.address());
    client.take(100_000);
    client.close();
    receiver.recv_timeout(PATIENCE).unwrap();
    let open = || served.sum(|cell| cell.stats.upstreams.get(0).active.get());
    wait_until("its connection is over", || open() == 0);
}
