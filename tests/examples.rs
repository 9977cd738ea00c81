//! Each program of `examples/` runs, and does what it says.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::proto::websocket::{Opcode, write};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// An example that runs. It is ended by SIGTERM, as an operator does it.
struct Example {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let deps = std::env::current_exe().unwrap();
        let path: PathBuf = deps.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(path.exists(), "{} is not built: `cargo build --examples`", path.display());
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "it has ended");
        line.trim_end().to_owned()
    }

    /// The address in the next line.
    fn address(&mut self) -> SocketAddr {
        let line = self.line();
        line.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"))
    }

    /// Ends it in order.
    fn end(mut self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It has ended, or a test has failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One exchange on a connection of its own: head and body of the answer.
fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> (String, String) {
    let mut stream = connect(address);
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn hello() {
    let mut example = Example::start("hello", &["127.0.0.1:0"]);
    assert_eq!(ask(example.address(), "GET", "/you", b"").1, "Hello, you!\n");
    example.end();
}

#[test]
fn upload() {
    let mut example = Example::start("upload", &["127.0.0.1:0"]);
    let address = example.address();
    let million = vec![b'a'; 1_000_000];
    let sum = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0\n";
    assert_eq!(ask(address, "PUT", "/sha256", &million).1, sum);
    let numbers = ask(address, "GET", "/numbers", b"").1;
    assert_eq!(numbers.lines().count(), 100_000);
    assert!(numbers.ends_with("\n99999\n"));
    assert!(ask(address, "GET", "/", b"").0.contains(" 404 "));
    example.end();
}

#[test]
fn events() {
    let mut example = Example::start("events", &["127.0.0.1:0"]);
    let address = example.address();
    let mut listener = BufReader::new(connect(address));
    listener.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        listener.read_line(&mut line).unwrap();
    }
    assert_eq!(ask(address, "POST", "/", b"news").1, "told 1\n");
    let mut event = [0; 4 + "data: news\n\n".len()];
    listener.read_exact(&mut event).unwrap();
    assert_eq!(
        &event,
        b"c\r\n\
        data: news\n\n\r",
        "{:?}",
        event.escape_ascii().to_string()
    );
    // Its answer never ends: it is cut when the time of the shutdown is over.
    drop(listener);
    example.end();
}

#[test]
fn frames() {
    let mut example = Example::start("frames", &["127.0.0.1:0"]);
    let _frames = example.address();
    let mut stream = connect(example.address());
    let request = b"{\"id\":\"1\",\"type\":\"add\",\"payload\":\"WzEsIDIsIDNd\"}\n";
    stream.write_all(request).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["payload"], "Ng==", "{line}");
    example.end();
}

/// A server of HTTP that says one thing.
fn server(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 4096];
            let _count = stream.read(&mut head);
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{text}");
            let _sent = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn proxy() {
    let (one, two) = (server("one"), server("two"));
    let mut example = Example::start("proxy", &["127.0.0.1:0", &one.to_string()]);
    let address = example.address();
    assert_eq!(ask(address, "GET", "/", b"").1, "one");
    let mut input = example.child.stdin.take().unwrap();
    writeln!(input, "{two}").unwrap();
    assert_eq!(example.line(), "2");
    assert_eq!(ask(address, "GET", "/", b"").1, "two");
    drop(input);
    assert!(example.child.wait().unwrap().success());
}

#[test]
fn grpc() {
    let mut example = Example::start("grpc", &["127.0.0.1:0"]);
    let address = example.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        let _end = tokio::spawn(connection);
        // A message with the field 1 "you", to each method.
        for (method, expected) in [
            ("Hello", &b"\0\0\0\0\x0d\x0a\x0bHello, you!"[..]),
            ("SlowHello", b"\0\0\0\0\x16\x0a\x14At last, hello, you!"),
            ("Chat", b"\0\0\0\0\x0d\x0a\x0bHello, you!"),
        ] {
            let request = http::Request::post(format!("http://a/example.Greeter/{method}"));
            let request = request.header("content-type", "application/grpc").body(()).unwrap();
            let (answer, mut body) = send.send_request(request, false).unwrap();
            body.send_data(bytes::Bytes::from_static(b"\0\0\0\0\x05\x0a\x03you"), true).unwrap();
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), expected, "{method}");
            assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        }
    });
    example.end();
}

#[test]
fn websocket_cases() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        while asked.last().is_none_or(|path: &String| !path.starts_with("/updateReports")) {
            let (stream, _) = listener.accept().unwrap();
            let mut path = String::new();
            let mut socket = tungstenite::accept_hdr(
                stream,
                #[expect(clippy::result_large_err, reason = "the crate's callback is so")]
                |request: &tungstenite::handshake::server::Request, response| {
                    path = request.uri().to_string();
                    Ok(response)
                },
            )
            .unwrap();
            if path == "/getCaseCount" {
                socket.send("2".into()).unwrap();
            } else if path.starts_with("/runCase") {
                socket.send("hello".into()).unwrap();
                assert_eq!(socket.read().unwrap(), "hello".into());
            }
            socket.close(None).unwrap();
            while socket.read().is_ok() {}
            asked.push(path);
        }
        asked
    });
    let mut example = Example::start("websocket_cases", &[&format!("ws://{address}"), "me"]);
    assert_eq!(example.line(), "2 cases");
    assert!(example.child.wait().unwrap().success());
    assert_eq!(
        server.join().unwrap(),
        [
            "/getCaseCount",
            "/runCase?case=1&agent=me",
            "/runCase?case=2&agent=me",
            "/updateReports?agent=me"
        ]
    );
}

/// A WebSocket of the chat: sends text, and waits for a text that is not the time.
struct Member(BufReader<TcpStream>);

impl Member {
    fn open(address: SocketAddr, target: &str) -> Self {
        let mut stream = BufReader::new(connect(address));
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.contains(" 101 "), "{line}");
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        let mut frame = Vec::new();
        let payload = text.as_bytes();
        write::frame(Opcode::Text, (true, false), payload, Some([1, 2, 3, 4]), &mut frame);
        self.0.get_mut().write_all(&frame).unwrap();
    }

    /// The next short frame, whatever it is: its first byte and its payload.
    fn frame(&mut self) -> (u8, String) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], String::from_utf8_lossy(&payload).into_owned())
    }

    fn next(&mut self) -> String {
        loop {
            let (_, text) = self.frame();
            if !text.contains("has been running for") {
                return text;
            }
        }
    }
}

#[test]
fn websocket_chat() {
    let mut example = Example::start("websocket_chat", &["127.0.0.1:0"]);
    let address = example.address();
    let mut ann = Member::open(address, "/tea?ann");
    assert_eq!(ann.next(), "* ann joins");
    let mut elsewhere = Member::open(address, "/coffee?cid");
    assert_eq!(elsewhere.next(), "* cid joins");
    let mut bob = Member::open(address, "/tea?bob");
    assert_eq!((ann.next(), bob.next()), ("* bob joins".into(), "* bob joins".into()));
    bob.send("hello");
    assert_eq!((ann.next(), bob.next()), ("bob: hello".into(), "bob: hello".into()));
    bob.send("/quit");
    assert!(bob.next().ends_with("goodbye"));
    drop(bob);
    assert_eq!(ann.next(), "* bob leaves");
    assert!(elsewhere.frame().1.contains("has been running for"), "a thread tells the time");
    let mut nameless = connect(address);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    nameless.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    nameless.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 400");
    drop((ann, elsewhere, nameless));
    example.end();
}
