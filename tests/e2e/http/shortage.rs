//! Few receive buffers and peers that stall: nobody else waits for them.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use super::*;
use crate::pki::Pki;

const ROUTES: &str = "[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
    [[listener.route]]\nproxy = \"u\"\n";

fn few_buffers(buffers: u32) -> String {
    runtime(1).replace("buffers = 64", &format!("buffers = {buffers}"))
}

fn web_with(buffers: u32, keys: &str, rest: &str) -> Served {
    let listener = format!(
        "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n{keys}\n"
    );
    Served::new(&[&few_buffers(buffers), NO_ADMIN, &listener, ROUTES, rest].concat())
}

/// A server whose answers to `/stream` come in pieces of `size` bytes, one after the other, without
/// end; those to anything else are short.
fn in_pieces(size: usize, sent: &mpsc::Sender<usize>) -> SocketAddr {
    let sent = sent.clone();
    serve(move |stream| {
        stream.set_nodelay(true).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        loop {
            let head = read_head(&mut reader);
            if head.is_empty() {
                return;
            }
            if !head.contains("/stream") {
                writer.write_all(ok("short").as_bytes()).unwrap();
                continue;
            }
            writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            let piece = [format!("{size:x}\r\n").as_bytes(), &vec![7; size], b"\r\n"].concat();
            writer.set_nonblocking(true).unwrap();
            for count in 0.. {
                let mut rest = &piece[..];
                while !rest.is_empty() {
                    match writer.write(rest) {
                        Ok(count) => rest = &rest[count..],
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                            // The proxy takes no more: it has what it holds for its client.
                            let _over = sent.send(count);
                            writer.set_nonblocking(false).unwrap();
                        }
                        Err(_) => return,
                    }
                }
                // Enough that arrives apart to take each buffer ten times over; with a yield for
                // each of the tens of thousands that fill a socket, a busy machine needs a minute.
                if count < 10 * 16 {
                    std::thread::yield_now();
                }
            }
        }
    })
}

#[test]
fn clients_that_do_not_read_take_no_buffer_from_the_others() {
    for (stalled, size) in [(4, 1_400), (1, 100)] {
        let (sender, blocked) = mpsc::channel();
        let upstream = upstream(&[in_pieces(size, &sender)], "");
        let served = web_with(16, "send_buffer = \"16KiB\"", &upstream);
        let mut silent = Vec::new();
        for _ in 0..stalled {
            let mut client = Client::new(served.address());
            client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
            silent.push(client);
        }
        for _ in 0..stalled {
            blocked.recv_timeout(PATIENCE).expect("the proxy reads no further");
        }
        let mut other = Client::new(served.address());
        for _ in 0..50 {
            assert_eq!(other.get("/fixed").text(), "hello");
            assert_eq!(other.get("/short").text(), "short");
        }
        drop(silent);
    }
}

#[test]
fn a_body_in_tiny_pieces_that_waits_for_a_connection_takes_no_buffer_from_the_others() {
    let (is_free, held) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    let busy = held.0.clone();
    let free = Arc::clone(&is_free);
    let server = serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut client = Client(BufReader::new(stream));
        loop {
            let head = read_head(&mut client.0);
            if head.is_empty() {
                return;
            }
            if head.contains("/hold") {
                busy.send(()).unwrap();
                while !free.load(Ordering::Acquire) {
                    std::thread::park_timeout(std::time::Duration::from_millis(1));
                }
            }
            let body = if head.contains("chunked") { client.chunks() } else { Vec::new() };
            writer.write_all(ok(&format!("{} bytes", body.len())).as_bytes()).unwrap();
        }
    });
    let served = web_with(16, "", &upstream(&[server], "pool_max = 1\n"));
    let mut first = Client::new(served.address());
    first.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    held.1.recv_timeout(PATIENCE).unwrap();
    let mut waiting = Client::new(served.address());
    waiting.0.get_mut().set_nodelay(true).unwrap();
    waiting.send("POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut other = Client::new(served.address());
    for _ in 0..400 {
        waiting.send("1\r\nx\r\n");
        assert_eq!(other.get("/fixed").text(), "hello");
    }
    is_free.store(true, Ordering::Release);
    assert_eq!(first.answer().status, 200);
    waiting.send("0\r\n\r\n");
    assert_eq!(waiting.answer().text(), "400 bytes");
}

#[test]
fn a_shortage_of_buffers_fails_no_handshake_with_a_server() {
    let pki = Pki::new();
    let config = pki.server("server");
    let server = serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
        loop {
            let mut line = String::new();
            let mut head = String::new();
            while line != "\r\n" {
                line.clear();
                match stream.read_line(&mut line) {
                    Ok(1..) => head.push_str(&line),
                    Ok(0) | Err(_) => return,
                }
            }
            stream.get_mut().write_all(ok("by TLS").as_bytes()).unwrap();
        }
    });
    // The certificate is for the name as well as for the address.
    let upstream = [upstream(&[server], "pool_max = 200\n"), pki.upstream_tls("u", "")].concat();
    let served = web_with(16, "", &upstream);
    let mut clients: Vec<_> = (0..200).map(|_| Client::new(served.address())).collect();
    clients.iter_mut().for_each(|client| client.send("GET /tls HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answers: Vec<u16> = clients.iter_mut().map(|client| client.answer().status).collect();
    assert_eq!(answers, vec![200; 200]);
}
