//! Connections: the handshake, and messages for which there is time.

use std::io::{Error, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::FromRawFd;

use crate::Options;
use crate::frames::{self, Random};

/// So many connections of one source address to one port at most.
const PER_ADDRESS: usize = 20_000;

fn address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn done(result: i32, what: &str) -> i32 {
    assert!(result >= 0, "{what}: {}", Error::last_os_error());
    result
}

/// Connects from 127.0.0.1, or an address after it once that one has too few ports.
fn connect(target: SocketAddrV4, number: usize) -> TcpStream {
    let addresses = (number / PER_ADDRESS) as u32;
    let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + addresses);
    let (source, target) = (address(SocketAddrV4::new(source, 0)), address(target));
    let length = size_of::<libc::sockaddr_in>() as u32;
    let on = 1;
    // SAFETY: the pointers are to values that outlive the calls, with their sizes; the descriptor is
    // new, and the stream its only owner.
    unsafe {
        let socket = done(
            libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
            "cannot open a socket",
        );
        let stream = TcpStream::from_raw_fd(socket);
        // The port is chosen with the target, so that another target may have the same.
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        let size = size_of::<i32>() as u32;
        done(
            libc::setsockopt(socket, libc::IPPROTO_IP, option, (&raw const on).cast(), size),
            "cannot set an option",
        );
        done(libc::bind(socket, (&raw const source).cast(), length), "cannot bind a socket");
        done(libc::connect(socket, (&raw const target).cast(), length), "cannot connect");
        stream.set_nodelay(true).expect("no delay");
        stream
    }
}

// The example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The handshake; contexts are not taken over, so that all servers do the same work.
fn handshake(mut stream: &TcpStream, options: &Options) {
    let is_deflate = options.has("deflate");
    let offer = if is_deflate {
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n"
    } else {
        ""
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n",
        options.text("path", "/")
    );
    stream.write_all(request.as_bytes()).expect("a request is sent");
    let mut answer = Vec::new();
    let mut byte = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut byte).expect("an answer");
        assert!(read > 0, "no answer: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&byte[..read]);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains(ACCEPT), "{answer}");
    assert!(answer.contains("permessage-deflate") == is_deflate, "{answer}");
    if is_deflate {
        assert!(answer.contains("server_no_context_takeover"), "{answer}");
    }
}

/// As many connections, one after the other, each with its handshake.
pub fn connect_all(options: &Options, count: usize) -> Vec<TcpStream> {
    let target = options.text("target", "127.0.0.1:8080").parse().expect("--target ADDRESS:PORT");
    (0..count)
        .map(|number| {
            let stream = connect(target, number);
            handshake(&stream, options);
            stream
        })
        .collect()
}

/// Sends a message of its own mask.
pub fn send(mut stream: &TcpStream, message: &[u8], is_deflated: bool) {
    let mut frame = Vec::new();
    frames::append(&mut frame, message, is_deflated, [0x37, 0xfa, 0x21, 0x3d]);
    stream.write_all(&frame).expect("a message is sent");
}

/// Reads one message, of which nothing has been read, and nothing beyond it. Gives its payload, and
/// whether it is compressed.
pub fn receive(mut stream: &TcpStream) -> (Vec<u8>, bool) {
    let (mut message, mut is_deflated) = (Vec::new(), false);
    loop {
        let mut bytes = [0; 10];
        let mut length = 0;
        let head = loop {
            stream.read_exact(&mut bytes[length..length + 1]).expect("a message");
            length += 1;
            if let Some((head, _)) = frames::head(&bytes[..length]) {
                break head;
            }
        };
        let start = message.len();
        message.resize(start + head.length, 0);
        stream.read_exact(&mut message[start..]).expect("a message");
        if bytes[0] & 0x08 != 0 {
            // A ping of a server whose connection was idle for long.
            message.truncate(start);
            continue;
        }
        is_deflated |= head.is_deflated;
        if head.is_last {
            return (message, is_deflated);
        }
    }
}

/// Sends a message, and checks that it comes back.
pub fn exchange(stream: &TcpStream, message: &[u8], is_deflate: bool) {
    if is_deflate {
        send(stream, &frames::deflate(message), true);
    } else {
        send(stream, message, false);
    }
    let (answer, is_deflated) = receive(stream);
    assert!(is_deflate || !is_deflated, "compressed without an agreement");
    let answer = if is_deflated { frames::inflate(&answer, message.len()) } else { answer };
    assert!(answer == message, "another message comes back");
}

/// An object of JSON with so many bytes, at least 64, which compresses, but not to nothing.
pub fn json(size: usize, seed: u64) -> String {
    let mut random = Random(seed | 1);
    let mut text = String::from("{\"orders\":[");
    let end = "null],\"note\":\"\"}";
    loop {
        let (id, price) = (random.next() % 1_000_000, random.next() % 100_000);
        let side = if random.next() % 2 == 0 { "buy" } else { "sell" };
        let amount = random.next() % 1000;
        let order = format!(
            "{{\"id\":{id},\"side\":\"{side}\",\"price\":{price},\"amount\":{amount},\"open\":true}},"
        );
        if text.len() + order.len() + end.len() > size {
            break;
        }
        text += &order;
    }
    let rest = size - text.len() - end.len();
    text + &end[..end.len() - 2] + &"x".repeat(rest) + "\"}"
}
