//! HTTP/1.1 on real sockets: a client that writes its requests byte for byte, and servers that
//! answer likewise.

#[path = "http/compression.rs"]
mod compression;
#[path = "http/files.rs"]
mod files;
#[path = "http/handlers.rs"]
pub(crate) mod handlers;
#[path = "http/interim.rs"]
mod interim;
#[path = "http/load.rs"]
mod load;
#[path = "http/peers.rs"]
mod peers;
#[path = "http/proxy.rs"]
mod proxy;
#[path = "http/rewrite.rs"]
mod rewrite;
#[path = "http/server.rs"]
mod server;
#[path = "http/shortage.rs"]
mod shortage;
#[path = "http/websocket_page.rs"]
mod websocket_page;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::*;

/// An HTTP listener with `keys` of its own, then `routes`.
fn web(keys: &str, routes: &str) -> Served {
    web_on(1, keys, routes)
}

fn web_on(workers: usize, keys: &str, routes: &str) -> Served {
    let listener = format!(
        "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n{keys}\n"
    );
    Served::new(&[&runtime(workers), NO_ADMIN, &listener, routes].concat())
}

/// An answer as it came.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A client's end of a connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self(BufReader::new(connect(address)))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn ask(&mut self, text: &str) -> Answer {
        self.send(text);
        self.answer()
    }

    fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"))
    }

    /// The head of an answer.
    fn head(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the answer breaks off: {answer:?}");
            if line == "\r\n" {
                break;
            }
            answer.head.push_str(&line.replace("\r\n", "\n"));
        }
        let status = answer.head.get(9..12).unwrap_or_default();
        answer.status = status.parse().unwrap_or_else(|_| panic!("{}", answer.head));
        answer
    }

    /// A whole answer.
    fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if let Some(length) = answer.field("content-length") {
            answer.body.resize(length.parse().unwrap(), 0);
            self.0.read_exact(&mut answer.body).unwrap();
        } else if answer.field("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks();
        } else if !matches!(answer.status, 100..=199 | 204 | 304) {
            self.0.read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let start = body.len();
            body.resize(start + size, 0);
            self.0.read_exact(&mut body[start..]).unwrap();
            if size == 0 {
                while self.0.read_line(&mut line).unwrap() > 2 {}
                return body;
            }
            self.0.read_exact(&mut [0; 2]).unwrap();
        }
    }

    /// Whether the server has closed, in order or not.
    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// The head of the next request on a server's connection; empty when the peer has ended.
fn read_head(reader: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return String::new(),
            Ok(_) if line == "\r\n" => return head,
            Ok(_) => head.push_str(&line),
        }
    }
}

/// A server that answers each request without a body by what `answer` makes of its head.
fn origin(answer: impl Fn(&str) -> String + Send + Sync + Clone + 'static) -> SocketAddr {
    serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        loop {
            let head = read_head(&mut reader);
            if head.is_empty() || writer.write_all(answer(&head).as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
