//! The configuration is read again, by a signal, a request, or as its file has changed; one that is
//! wrong changes nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::*;

/// A client of HTTP on one connection.
pub(crate) struct Http<S = TcpStream>(pub(crate) S);

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(connect(address))
    }
}

impl<S: Read + Write> Http<S> {
    pub(crate) fn get(&mut self, path: &str) -> (String, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer()
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// The head and the body of the next answer.
    pub(crate) fn answer(&mut self) -> (String, String) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                other => panic!("{other:?} after {}", String::from_utf8_lossy(&head)),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Whether the connection ends, and nothing comes before.
    pub(crate) fn ends(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof
            ),
        }
    }
}

/// A listener of HTTP at a port of the kernel's choice.
pub(crate) fn web(name: &str, rest: &str) -> String {
    format!("[[listener]]\nname = '{name}'\nlisten = '127.0.0.1:0'\nprotocol = 'http'\n{rest}\n")
}

/// A route that answers all.
pub(crate) fn respond(text: &str) -> String {
    format!("[[listener.route]]\nrespond = '{text}'\n")
}

/// A server of HTTP on kept connections that always says the same.
pub(crate) fn answering(body: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        loop {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    Ok(_) | Err(_) => return,
                }
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}
