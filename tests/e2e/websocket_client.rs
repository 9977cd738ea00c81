//! The client of WebSocket, and `ringway connect ws://`, against servers of the `tungstenite` crate,
//! against this server, and through proxies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringway::client::{
    ConnectOptions, Tls, WebSocket, WebSocketEvent, WebSocketMessage, WebSocketOptions,
};
use ringway::net::tls::{ClientOptions, Roots};
use rustls::{ServerConnection, StreamOwned};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, accept_hdr};

use crate::pki::Pki;
use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Chooses the last subprotocol that was offered, then sends messages back. `ping` is a message
/// that it answers by a ping, `bytes` by a message of bytes, `close CODE` one that it closes on,
/// `drop` one that it ends on.
fn talk(stream: impl Read + Write) {
    #[expect(clippy::result_large_err, reason = "the crate's callback is so")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers().get("sec-websocket-protocol");
        let offered = offered.map(|list| list.to_str().unwrap().to_owned());
        if let Some(last) = offered.as_deref().and_then(|list| list.split(", ").last()) {
            response.headers_mut().insert("sec-websocket-protocol", last.parse().unwrap());
        }
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr(stream, choose) else { return };
    while let Ok(message) = socket.read() {
        let text = message.to_text().unwrap_or_default().to_owned();
        let done = match &message {
            Message::Text(_) if text == "ping" => socket.send(Message::Ping("alive".into())),
            Message::Text(_) if text == "bytes" => socket.send(Message::Binary("alive".into())),
            Message::Text(_) if text == "drop" => return,
            Message::Text(_) if text.starts_with("close ") => {
                let code: u16 = text["close ".len()..].parse().unwrap();
                let frame = CloseFrame { code: CloseCode::from(code), reason: "asked".into() };
                socket.close(Some(frame))
            }
            Message::Text(_) | Message::Binary(_) => socket.send(message),
            Message::Pong(payload) => socket.send(Message::Binary(payload.clone())),
            Message::Ping(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        };
        if done.is_err() {
            return;
        }
    }
}

fn echo() -> SocketAddr {
    serve(talk)
}

/// The same by TLS.
fn secure_echo(pki: &Pki) -> SocketAddr {
    pki.write("server", &["localhost"]);
    let config = pki.server("server");
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        talk(StreamOwned::new(connection, stream));
    })
}

/// A proxy of HTTP that joins its clients with what they ask for, if they give the password.
fn connect_proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let joined = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&joined);
    let address = serve(move |stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut stream) = (String::new(), stream);
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0);
        }
        if !head.contains("\r\nproxy-authorization: Basic dTpw\r\n") {
            stream.write_all(b"HTTP/1.1 407 Password\r\nContent-Length: 0\r\n\r\n").unwrap();
            return;
        }
        let target = head.split(' ').nth(1).unwrap().replace("localhost", "127.0.0.1");
        let server = TcpStream::connect(target).unwrap();
        stream.write_all(b"HTTP/1.1 200 Joined\r\n\r\n").unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        let (mut up, mut down) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || {
            let _reset = std::io::copy(&mut up, &mut down);
            let _gone = down.shutdown(std::net::Shutdown::Write);
        });
        let mut server = server;
        let _reset = std::io::copy(&mut stream, &mut server);
        let _gone = server.shutdown(std::net::Shutdown::Write);
    });
    (address, joined)
}

fn trusting(pki: &Pki) -> WebSocketOptions {
    let roots = Roots::Given(pki.ca.clone().into_bytes());
    let tls = Tls::new(ClientOptions { roots, ..ClientOptions::default() }).unwrap();
    let connect = ConnectOptions { tls: Some(tls), ..ConnectOptions::default() };
    WebSocketOptions { connect, ..WebSocketOptions::default() }
}

/// Messages of many lengths go there and back.
fn exchange_messages(socket: &mut WebSocket) {
    for len in [0, 1, 125, 126, 4000, 65_535, 65_536, 1_000_000] {
        let binary = WebSocketMessage::Binary(bytes(7, len));
        socket.send(&binary, PATIENCE).unwrap();
        assert_eq!(socket.receive_message(PATIENCE), Ok(Some(binary)));
        let text = WebSocketMessage::Text("\u{e9}".repeat(len / 2));
        socket.send(&text, PATIENCE).unwrap();
        assert_eq!(socket.receive_message(PATIENCE), Ok(Some(text)));
    }
}

#[test]
fn messages_go_there_and_back_with_another_implementation() {
    let url = format!("ws://{}/x?y", echo());
    let subprotocols = vec!["one".to_owned(), "two".to_owned()];
    let options = WebSocketOptions { subprotocols, ..WebSocketOptions::default() };
    let mut socket = WebSocket::connect(&url, &options).unwrap();
    assert_eq!(socket.subprotocol(), Some("two"));
    assert!(socket.deflate().is_none(), "it has none");
    exchange_messages(&mut socket);
    socket.send_text("ping", PATIENCE).unwrap();
    let pong = WebSocketMessage::Binary(b"alive".to_vec());
    assert_eq!(socket.receive_message(PATIENCE), Ok(Some(pong)));
    socket.ping(b"timed").unwrap();
    let event = socket.receive(PATIENCE).unwrap();
    assert!(matches!(event, WebSocketEvent::Pong { round_trip: Some(_), .. }), "{event:?}");
    let close = socket.close(1000, "done").unwrap();
    assert_eq!((close.code.0, &*close.reason), (1000, "done"));
}

#[test]
fn tls_and_proxies_go_together() {
    let pki = Pki::new();
    let address = secure_echo(&pki);
    let url = format!("wss://localhost:{}/", address.port());
    let mut socket = WebSocket::connect(&url, &trusting(&pki)).unwrap();
    assert!(socket.tls().is_some());
    exchange_messages(&mut socket);
    socket.close(1000, "").unwrap();
    let (proxy, joined) = connect_proxy();
    let with = |user: &str| {
        let proxy = Some(format!("http://{user}{proxy}").parse().unwrap());
        WebSocketOptions { proxy, ..trusting(&pki) }
    };
    let mut socket = WebSocket::connect(&url, &with("u:p@")).unwrap();
    assert!(socket.tls().is_some());
    exchange_messages(&mut socket);
    socket.close(1000, "").unwrap();
    assert_eq!(joined.load(Ordering::SeqCst), 1);
    let error = WebSocket::connect(&url, &with("")).unwrap_err().to_string();
    let port = address.port();
    let expected = format!(
        "http://{proxy} opened no tunnel to localhost:{port}: status 407: give a user and a \
         password in the proxy's URL"
    );
    assert_eq!(error, expected);
    // A server whose certificate is not trusted is refused, behind a proxy too.
    let stranger = trusting(&Pki::new());
    let proxy = with("u:p@").proxy;
    for options in [stranger.clone(), WebSocketOptions { proxy, ..stranger }] {
        let error = WebSocket::connect(&url, &options).unwrap_err().to_string();
        assert!(error.starts_with("TLS with 127.0.0.1:"), "{error}");
    }
}

#[test]
fn the_command_sends_lines_and_prints_messages() {
    let url = format!("ws://{}/", echo());
    let output = run_connect(&[&url, "--subprotocol", "a"], b"one\n\ntw\xc3\xb6\nlast");
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\n\ntw\u{f6}\nlast\n");
    assert_eq!(errors(&output), "");
    // Bytes are shown in base64, or passed on.
    let output = run_connect(&[&url], b"bytes\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "YWxpdmU=\n");
    let sent = bytes(3, 300_000);
    let output = run_connect(&[&url, "--binary"], &sent);
    assert!(output.status.success() && output.stdout == sent, "{}", errors(&output));
    let output = run_connect(&[&url, "--verbose", "--close-code", "4001"], b"");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).starts_with("< HTTP/1.1 101 Switching Protocols\n< "));
}

#[test]
fn the_command_says_how_it_ended() {
    let address = echo();
    let url = format!("ws://{address}/");
    let fails = |args: &[&str], input: &[u8], status, message: &str| {
        let output = run_connect(args, input);
        assert_eq!(errors(&output), format!("ringway: {message}\n"), "{args:?}");
        assert_eq!(output.status.code(), Some(status), "{args:?}");
    };
    fails(&[&url], b"close 1008\n", 1, &format!("{url}: closed with 1008: asked"));
    let unclosed = format!("{url}: {address} ended the WebSocket without a close frame");
    let mut child = spawn_connect(&[&url]);
    // Its input goes on, so that the server has read all when it ends.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"drop\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(errors(&output), format!("ringway: {unclosed}\n"));
    assert_eq!(output.status.code(), Some(1));
    drop(input);
    fails(&[&url], b"\xff\n", 1, "line 1 is not UTF-8: send bytes with --binary");
    for code in ["1000", "1001"] {
        let output = run_connect(&[&url], format!("close {code}\n").as_bytes());
        assert!(output.status.success(), "{}", errors(&output));
    }
    let page = serve(|mut stream| {
        let _head = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let refused = format!(
        "ws://{page}/x: {page} opened no WebSocket: status 404 instead of 101: is this the path of \
         a WebSocket?"
    );
    fails(&[&format!("ws://u:p@{page}/x")], b"", 1, &refused);
    let how = "(ringway connect --help shows how)";
    let only = format!("the switches of WebSocket are for ws and wss {how}");
    fails(&["tcp://127.0.0.1:1", "--binary"], b"", 2, &only);
    let own = format!("the field upgrade is the client's own {how}");
    fails(&[&url, "-H", "upgrade: x"], b"", 2, &own);
    let code = format!("1005 is no close code that can be sent {how}");
    fails(&[&url, "--close-code", "1005"], b"", 2, &code);
}

#[test]
fn the_command_pings_and_connects_again() {
    let url = format!("ws://{}/", echo());
    let mut child = spawn_connect(&[&url, "--ping", "5ms", "--reconnect"]);
    let mut input = child.stdin.take().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut note_with = |word: &str| {
        let found = notes.find(|line| line.as_ref().unwrap().contains(word));
        assert!(found.is_some(), "{word}");
    };
    note_with("pong after");
    input.write_all(b"drop\n").unwrap();
    note_with("; connecting again after");
    note_with("connected again");
    input.write_all(b"close 1012\n").unwrap();
    note_with("closed with 1012; connecting again after");
    note_with("connected again");
    input.write_all(b"hello\n").unwrap();
    drop(input);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    // What it still says has to be read until the end.
    notes.for_each(|line| drop(line.unwrap()));
    assert!(child.wait().unwrap().success());
}

#[test]
fn this_server_and_this_client_agree() {
    let server = Served::new(&format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"ws\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\npath = \"/echo\"\n\
         websocket = {{ service = \"echo\", deflate_takeover = true }}\n",
        runtime(1)
    ));
    let url = format!("ws://{}/echo", server.at("ws"));
    for deflate in [WebSocketOptions::default().deflate, None] {
        let options = WebSocketOptions { deflate, ..WebSocketOptions::default() };
        let mut socket = WebSocket::connect(&url, &options).unwrap();
        assert_eq!(socket.deflate().is_some(), deflate.is_some());
        exchange_messages(&mut socket);
        let close = socket.close(1000, "done").unwrap();
        assert_eq!(close.code.0, 1000);
    }
}
