//! No byte of one client reaches another: every connection of every protocol on one worker says a
//! marker of its own wherever it can, and nothing that it receives may hold anybody else's.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::time::Duration;

use ringway::client::{ConnectOptions, Frame, FrameOptions, Target, Tls};
use ringway::proto::frame::Command;
use ringway::ring::sim::Random;
use ringway::ring::uring::{Feature, Presence, probe};
use ringway::ring::{DriverChoice, DriverKind, SocketAddress};

use crate::pki::*;
use crate::support::*;

/// What every marker begins with.
const MARK: &[u8] = b"mrk";

/// The marker of a connection.
fn marker(number: usize) -> String {
    format!("mrk{number:05}q")
}

/// The markers in some bytes, whatever their case.
fn markers(bytes: &[u8]) -> BTreeSet<String> {
    let lower = bytes.to_ascii_lowercase();
    let whole = lower.windows(MARK.len() + 6).filter(|window| {
        let digits = &window[MARK.len()..MARK.len() + 5];
        window.starts_with(MARK) && digits.iter().all(u8::is_ascii_digit) && window.ends_with(b"q")
    });
    whole.map(|window| String::from_utf8_lossy(window).into_owned()).collect()
}

/// Only a connection's own marker may be in what it was sent.
fn check(own: &str, what: &str, received: &[u8]) {
    let found = markers(received);
    let foreign: Vec<_> = found.iter().filter(|marker| *marker != own).collect();
    assert!(
        foreign.is_empty(),
        "{what}: {own} got bytes of {foreign:?}: {}",
        String::from_utf8_lossy(received)
    );
}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

type Stream = BufReader<Box<dyn Duplex>>;

fn plain(address: SocketAddr) -> Stream {
    BufReader::new(Box::new(connect(address)))
}

fn secured(pki: &Pki, address: SocketAddr) -> Stream {
    BufReader::new(Box::new(pki.connect(address)))
}

/// A whole answer of HTTP, as it came; less when the connection ends.
fn http_answer(stream: &mut Stream, is_head: bool) -> Vec<u8> {
    let mut all = Vec::new();
    let line = |all: &mut Vec<u8>, stream: &mut Stream| {
        let before = all.len();
        let _broken = stream.read_until(b'\n', all);
        all[before..].to_ascii_lowercase()
    };
    let (mut length, mut is_chunked) = (None, false);
    loop {
        let line = line(&mut all, stream);
        let text = String::from_utf8_lossy(&line);
        if let Some(value) = text.strip_prefix("content-length: ") {
            length = value.trim().parse::<usize>().ok();
        }
        is_chunked |= text.starts_with("transfer-encoding: chunked");
        if line.len() <= 2 {
            break;
        }
    }
    if is_head {
        return all;
    }
    if let Some(length) = length {
        let start = all.len();
        all.resize(start + length, 0);
        stream.read_exact(&mut all[start..]).unwrap();
    }
    while is_chunked {
        let head = line(&mut all, stream);
        let size = usize::from_str_radix(String::from_utf8_lossy(&head).trim(), 16).unwrap();
        let start = all.len();
        all.resize(start + size, 0);
        stream.read_exact(&mut all[start..]).unwrap();
        let mut end = line(&mut all, stream);
        while size == 0 && end.len() > 2 {
            end = line(&mut all, stream);
        }
        is_chunked = size > 0;
    }
    all
}

/// A server of HTTP that sends back all that a request said, in its head and its body.
fn mirror() -> SocketAddr {
    serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader: Stream = BufReader::new(Box::new(stream));
        loop {
            let request = http_answer(&mut reader, false);
            if request.is_empty() {
                return;
            }
            assert!(markers(&request).len() <= 1, "one request has the marker of one client");
            let text = String::from_utf8_lossy(&request).into_owned();
            if text.contains("/fails") {
                let _gone = writer.shutdown(Shutdown::Both);
                return;
            }
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Path: {path}\r\n\
                 Content-Length: {}\r\n\r\n",
                request.len()
            );
            let body: &[u8] = if text.starts_with("HEAD") { b"" } else { &request };
            if writer.write_all(&[head.as_bytes(), body].concat()).is_err() {
                return;
            }
        }
    })
}

/// A request that says `own` in every place that can say it, and whether its answer has no body and
/// whether the connection ends with it.
fn http_request(own: &str, random: &mut Random) -> (String, bool, bool) {
    let fields = format!(
        "Host: {own}.example\r\nCookie: session={own}\r\nUser-Agent: {own}\r\nReferer: /{own}\r\n\
         X-Forwarded-For: {own}\r\nX-{own}: {own}\r\nAccept: {own}\r\nX-Request-Id: {own}\r\n"
    );
    let targets = [
        "/echo",
        "/fixed",
        "/moved",
        "/status",
        "/files",
        "/files/sub",
        "/proxy",
        "/proxy/fails",
        "/nothing",
        "/secret",
        "/edited",
    ];
    let target = targets[random.below(targets.len())];
    let target = format!("{target}/{own}?{own}={own}");
    let target = if random.chance(200) { "/echo".to_owned() } else { target };
    match random.below(8) {
        0 => {
            let body = format!("{own} {}", own.repeat(random.below(700)));
            let length = body.len();
            (
                format!("POST {target} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}"),
                false,
                false,
            )
        }
        1 => {
            let chunk = format!("{:x};{own}\r\n{own}\r\n", own.len());
            let chunks = chunk.repeat(1 + random.below(20));
            let text = format!(
                "POST {target} HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\
                 X-Trailer: {own}\r\n\r\n"
            );
            (text, false, false)
        }
        2 => (format!("HEAD {target} HTTP/1.1\r\n{fields}\r\n"), true, false),
        3 => (format!("GET {target} HTTP/1.1\r\n{fields}Broken {own}\r\n\r\n"), false, true),
        4 => {
            let text = format!(
                "GET {target} HTTP/1.1\r\n{fields}Accept-Encoding: gzip\r\nAuthorization: Basic \
                 {own}\r\n\r\n"
            );
            (text, false, false)
        }
        5 => (
            format!("PROP{own} {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n"),
            false,
            true,
        ),
        _ => (format!("GET {target} HTTP/1.1\r\n{fields}\r\n"), false, false),
    }
}

/// A line of messages that says `own`.
fn message(own: &str, random: &mut Random) -> String {
    match random.below(6) {
        0 => "{\"type\":\"time\"}\n".to_owned(),
        1 => format!("{{\"type\":\"{own}\",\"payload\":\"{own}\"}}\n"),
        2 => format!("{own} is no JSON\n"),
        3 => "{\"type\":\"stats\"}\n".to_owned(),
        4 => format!("{}\n", own.repeat(300)),
        _ => {
            let payload = own.repeat(1 + random.below(30));
            format!("{{\"type\":\"echo\",\"payload\":\"{payload}\",\"id\":\"{own}\"}}\n")
        }
    }
}

/// What a connection speaks.
enum Client {
    Http(Stream),
    Messages(Stream),
    Bytes(Stream),
    Frame(Box<Frame>),
    Datagrams(UdpSocket),
}

/// Makes a connection.
type Open<'a> = Box<dyn Fn() -> Client + 'a>;

/// A client and how it is made again.
struct Party<'a> {
    what: &'static str,
    own: String,
    open: Open<'a>,
    client: Option<Client>,
}

impl Party<'_> {
    /// One exchange.
    fn play(&mut self, random: &mut Random) {
        let mut client = self.client.take().unwrap_or_else(|| (self.open)());
        let own = &self.own;
        let mut goes_on = true;
        let received = match &mut client {
            Client::Http(stream) => {
                let (request, is_head, ends) = http_request(own, random);
                stream.get_mut().write_all(request.as_bytes()).unwrap();
                stream.get_mut().flush().unwrap();
                let answer = http_answer(stream, is_head);
                let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
                goes_on = !ends && !head.contains("\nconnection: close");
                answer
            }
            Client::Messages(stream) => {
                let line = message(own, random);
                stream.get_mut().write_all(line.as_bytes()).unwrap();
                stream.get_mut().flush().unwrap();
                let mut answer = Vec::new();
                stream.read_until(b'\n', &mut answer).unwrap();
                answer
            }
            Client::Bytes(stream) => {
                let sent = own.repeat(1 + random.below(2_000));
                stream.get_mut().write_all(sent.as_bytes()).unwrap();
                stream.get_mut().flush().unwrap();
                let mut back = vec![0; sent.len()];
                stream.read_exact(&mut back).unwrap();
                assert!(back == sent.as_bytes(), "{}: not what was sent", self.what);
                back
            }
            Client::Frame(frame) => {
                let (command, payload) = match random.below(5) {
                    0 => (Command::PING, own.as_bytes().to_vec()),
                    1 => (Command::GET, own.as_bytes().to_vec()),
                    2 => (Command::STATS, Vec::new()),
                    3 => (Command(0x66), own.as_bytes().to_vec()),
                    _ => (Command::ECHO, own.repeat(1 + random.below(500)).into_bytes()),
                };
                match frame.call(command, &payload, PATIENCE) {
                    Ok(answer) => answer,
                    Err(error) => error.to_string().into_bytes(),
                }
            }
            Client::Datagrams(socket) => {
                let sent = own.repeat(1 + random.below(100));
                socket.send(sent.as_bytes()).unwrap();
                let mut back = vec![0; 4_096];
                // Other clients' rings on this thread may interrupt it.
                let len = loop {
                    match socket.recv(&mut back) {
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        received => break received.unwrap(),
                    }
                };
                back.truncate(len);
                back
            }
        };
        check(own, self.what, &received);
        if goes_on && !random.chance(50) {
            self.client = Some(client);
        }
    }
}

fn target(address: SocketAddr) -> Target {
    Target::address(SocketAddress::inet(address))
}

fn datagrams(address: SocketAddr) -> Client {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(address).unwrap();
    Client::Datagrams(socket)
}

/// Servers of all protocols that are answered here, and the folder of their files.
fn behind(pki: &Pki, folder: &Folder, own: &str) -> Served {
    let root = folder.path().display();
    let text = [
        runtime(1) + own,
        NO_ADMIN.to_owned(),
        listener("frame", &format!("protocol = \"frame\"\nfiles = \"{root}\"")),
        listener("udp", "protocol = \"udp_echo\""),
        listener("secured", "protocol = \"echo\"") + &pki.listener_tls(""),
    ];
    Served::new(&text.concat())
}

/// One worker that speaks everything.
fn front(pki: &Pki, folder: &Folder, behind: &Served, own: &str) -> Served {
    let root = folder.path().display();
    let log = folder.path().join("access.log");
    let web = format!(
        "protocol = \"http\"\nreason_header = true\n\
         [listener.access_log]\npath = \"{}\"\nformat = \"combined\"\n",
        log.display()
    );
    let routes = format!(
        "[[listener.route]]\npath = \"/echo\"\necho = true\n\
         [[listener.route]]\npath_prefix = \"/echo\"\necho = true\n\
         [[listener.route]]\npath_prefix = \"/fixed\"\nrespond = \"hello\"\n\
         [[listener.route]]\npath_prefix = \"/moved\"\nredirect = \"https://$host/new$path$query\"\n\
         [[listener.route]]\npath_prefix = \"/status\"\nstatus_page = true\n\
         [[listener.route]]\npath_prefix = \"/files\"\nfiles = \"{root}\"\nlisting = true\n\
         [[listener.route]]\npath_prefix = \"/secret\"\nrespond = \"x\"\n[listener.route.auth]\n\
         users = {{ ann = \"$2b$04$abcdefghijklmnopqrstuuS9t7yQVvGfJ3vGf7X0lPwxcVh2uwjVO\" }}\n\
         [[listener.route]]\npath_prefix = \"/edited\"\nproxy = \"web\"\n\
         [listener.route.request_headers]\nset = {{ x-edit = \"$path $query $host\" }}\n\
         [listener.route.response_headers]\nset = {{ x-back = \"$path\" }}\n\
         [[listener.route]]\npath_prefix = \"/proxy\"\nproxy = \"web\"\n\
         compress = true\ncompress_min = \"1B\"\n"
    );
    let addresses = behind.running().addresses();
    let address = |at: usize| addresses[at].1.ip().unwrap();
    let upstreams = format!(
        "[upstream.web]\nservers = [\"{}\", \"{}\"]\nretries = 1\nhedge_after = \"1ms\"\n\
         [upstream.frame]\nservers = [\"{}\"]\n[upstream.udp]\nservers = [\"{}\"]\n\
         [upstream.bytes]\nservers = [\"{}\"]\n[upstream.secured]\nservers = [\"{}\"]\n",
        mirror(),
        mirror(),
        address(0),
        address(1),
        echo_server(),
        address(2),
    );
    let text = [
        runtime(1) + own,
        NO_ADMIN.to_owned(),
        listener("web", &format!("{web}{routes}")),
        listener("webs", &format!("{web}{routes}")) + &pki.listener_tls(""),
        listener("messages", "protocol = \"messages\"\nline_limit = \"2KiB\""),
        listener("messages_tls", "protocol = \"messages\"") + &pki.listener_tls(""),
        listener("frame", &format!("protocol = \"frame\"\nfiles = \"{root}\"")),
        listener("frame_proxy", "protocol = \"frame\"\nupstream = \"frame\""),
        listener("frame_tls", "protocol = \"frame\"") + &pki.listener_tls(""),
        listener("echo", "protocol = \"echo\""),
        listener("tcp", "protocol = \"tcp\"\nupstream = \"bytes\""),
        listener("tcp_tls", "protocol = \"tcp\"\nupstream = \"bytes\"") + &pki.listener_tls(""),
        listener("sni", "protocol = \"sni\"\nupstream = \"secured\""),
        listener("udp_echo", "protocol = \"udp_echo\""),
        listener("udp", "protocol = \"udp\"\nupstream = \"udp\""),
        upstreams,
    ];
    Served::new(&text.concat())
}

#[test]
fn no_byte_of_one_client_reaches_another() {
    everybody_plays("");
}

/// What is sent stays where it lies until the peer has it: nobody may write there before.
#[test]
fn no_byte_of_one_client_reaches_another_by_sends_without_a_copy() {
    let sends = everybody_plays("zero_copy_send = \"1B\"\n");
    let is_there = |one: &Feature| one.name == "send without a copy";
    let found = probe().ok().and_then(|all| all.into_iter().find(is_there));
    let driver = DriverChoice::Auto.or_environment().unwrap().resolve().kind;
    if driver == DriverKind::Uring
        && found.is_some_and(|feature| feature.presence == Presence::Present)
    {
        assert!(sends > 1000, "only {sends} sends were made without a copy");
    }
}

/// All clients do what they can, in turn. How many sends were made without a copy.
fn everybody_plays(own: &str) -> u64 {
    let (pki, folder) = (Pki::new(), Folder::new());
    folder.file("index.txt", "nothing of anybody");
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let behind = behind(&pki, &folder, own);
    let front = front(&pki, &folder, &behind, own);
    let at = |name: &str| front.running().address(name).unwrap().ip().unwrap();
    let trusted = Tls::new(ringway::net::tls::ClientOptions {
        roots: ringway::net::tls::Roots::Given(pki.ca.clone().into_bytes()),
        ..Default::default()
    })
    .unwrap()
    .with_server_name("localhost")
    .unwrap();
    let frame = |name: &str| {
        let address = at(name);
        let tls = name.ends_with("tls").then(|| trusted.clone());
        move || {
            let connect = ConnectOptions {
                deadline: Duration::from_secs(30),
                tls: tls.clone(),
                ..Default::default()
            };
            let options = FrameOptions { connect, ..FrameOptions::default() };
            Client::Frame(Box::new(Frame::connect(&target(address), &options).unwrap()))
        }
    };
    let pki = &pki;
    let mut parties: Vec<Party<'_>> = Vec::new();
    for _ in 0..3 {
        let (web, webs, lines) = (at("web"), at("webs"), at("messages"));
        let (lines_tls, echo, tcp) = (at("messages_tls"), at("echo"), at("tcp"));
        let (tcp_tls, sni, udp_echo, udp) = (at("tcp_tls"), at("sni"), at("udp_echo"), at("udp"));
        let opens: [(&'static str, Open<'_>); 13] = [
            ("http", Box::new(move || Client::Http(plain(web)))),
            ("https", Box::new(move || Client::Http(secured(pki, webs)))),
            ("messages", Box::new(move || Client::Messages(plain(lines)))),
            ("messages by TLS", Box::new(move || Client::Messages(secured(pki, lines_tls)))),
            ("frame", Box::new(frame("frame"))),
            ("frame proxy", Box::new(frame("frame_proxy"))),
            ("frame by TLS", Box::new(frame("frame_tls"))),
            ("echo", Box::new(move || Client::Bytes(plain(echo)))),
            ("tcp", Box::new(move || Client::Bytes(plain(tcp)))),
            ("tcp by TLS", Box::new(move || Client::Bytes(secured(pki, tcp_tls)))),
            ("sni", Box::new(move || Client::Bytes(secured(pki, sni)))),
            ("udp echo", Box::new(move || datagrams(udp_echo))),
            ("udp", Box::new(move || datagrams(udp))),
        ];
        for (what, open) in opens {
            parties.push(Party { what, own: marker(parties.len()), open, client: None });
        }
    }
    let mut random = Random::new(11);
    for _ in 0..4_000 {
        let at = random.below(parties.len());
        parties[at].play(&mut random);
    }
    drop(parties);
    let sends = front.sum(|cell| cell.loops.zero_copy_sends.get());
    assert_eq!(front.drain().cut, 0);
    let log = std::fs::read(folder.path().join("access.log")).unwrap();
    assert!(log.len() > 10_000, "there is a line of each request");
    for line in log.split(|byte| *byte == b'\n') {
        assert!(markers(line).len() <= 1, "{}", String::from_utf8_lossy(line));
    }
    sends
}

/// What was found once: a page of HTTP's, and then an answer of messages that began with it.
#[test]
fn an_answer_of_messages_holds_nothing_of_a_request_of_http() {
    let web = listener("web", "protocol = \"http\"\n[[listener.route]]\necho = true\n");
    let lines = listener("lines", "protocol = \"messages\"");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &web, &lines].concat());
    let mut http = plain(served.running().addresses()[0].1.ip().unwrap());
    let mut messages = plain(served.running().addresses()[1].1.ip().unwrap());
    for request in [
        "GET /echo HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\nX-Secret: secret\r\n\r\n",
    ] {
        http.get_mut().write_all(request.as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&http_answer(&mut http, false)).contains("secret"));
        messages.get_mut().write_all(b"{\"type\":\"time\"}\n").unwrap();
        let mut answer = String::new();
        messages.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"type\":\"time\""), "{answer}");
    }
}
