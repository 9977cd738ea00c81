//! HTTP/2 on real sockets: the `h2` crate is the client, and servers behind speak HTTP/1.1.

#[path = "http2/attacker.rs"]
mod attacker;
#[path = "http2/cancels.rs"]
mod cancels;
#[path = "http2/floods.rs"]
mod floods;
#[path = "http2/foreign.rs"]
mod foreign;
#[path = "http2/grpc.rs"]
mod grpc;
#[path = "http2/handlers.rs"]
mod handlers;
#[path = "http2/hostile.rs"]
mod hostile;
#[path = "http2/memory.rs"]
mod memory;
#[path = "http2/peer.rs"]
mod peer;
#[path = "http2/servers.rs"]
mod servers;
#[path = "http2/services.rs"]
mod services;
#[path = "http2/sockets.rs"]
mod sockets;
#[path = "http2/upstream.rs"]
mod upstream;
#[path = "http2/web.rs"]
mod web;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringway::proto::http2::frame::{flag, kind, read_go_away};

use self::attacker::Attacker;
use self::peer::{Peer, run};
use crate::support::*;

fn web(keys: &str, routes: &str) -> Served {
    let listener = format!(
        "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n{keys}\n"
    );
    Served::new(&[&runtime(1), "[admin]\nenabled = false\n", &listener, routes].concat())
}

/// All requests go to a server by HTTP/2.
fn proxied(server: SocketAddr, keys: &str) -> Served {
    let keys = format!("protocol = \"http2\"\n{keys}");
    let routes = format!(
        "[[listener.route]]\nproxy = \"u\"\nbody_max = \"off\"\n{}",
        upstream(&[server], &keys)
    );
    web("", &routes)
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

/// A server of HTTP/1.1 that answers by what `answer` makes of a request's head and body.
fn origin(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + Clone + 'static) -> SocketAddr {
    serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        loop {
            let head = read_head(&mut reader);
            if head.is_empty() {
                return;
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            if head.contains("transfer-encoding: chunked") {
                body = chunks(&mut reader);
            }
            let out = answer(&head, &body);
            if out.is_empty() || writer.write_all(&out).is_err() {
                return;
            }
        }
    })
}

/// A body in chunks; trailers are put behind it, a line each.
fn chunks(reader: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        if size == 0 {
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                if line == "\r\n" {
                    return body;
                }
                body.extend_from_slice(line.as_bytes());
            }
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..]).unwrap();
        reader.read_exact(&mut [0; 2]).unwrap();
    }
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn every_responder_answers_side_by_side() {
    let folder = Folder::new();
    let (small, large) = (bytes(1, 900), bytes(2, 700_000));
    std::fs::write(folder.path().join("small"), &small).unwrap();
    std::fs::write(folder.path().join("large"), &large).unwrap();
    let server = origin(|head, body| ok(&[head.lines().next().unwrap().as_bytes(), body].concat()));
    let routes = format!(
        "[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
         [[listener.route]]\npath = \"/echo\"\necho = true\n\
         [[listener.route]]\npath_prefix = \"/files/\"\nfiles = \"{}\"\nprefix_rewrite = \"/\"\n\
         [[listener.route]]\npath_prefix = \"/old\"\nredirect = \"/new\"\n\
         [[listener.route]]\nproxy = \"u\"\n{}",
        folder.path().display(),
        crate::support::upstream(&[server], "")
    );
    let served = web("", &routes);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let mut waiting = Vec::new();
        for round in 0..10 {
            for (method, path, body) in [
                ("GET", "/fixed", Vec::new()),
                ("GET", "/files/small", Vec::new()),
                ("GET", "/files/large", Vec::new()),
                ("GET", "/files/none", Vec::new()),
                ("HEAD", "/files/small", Vec::new()),
                ("GET", "/old/x", Vec::new()),
                ("POST", "/echo", bytes(round, 3000)),
                ("POST", "/proxied", bytes(round, 200)),
                ("GET", "/proxied", Vec::new()),
            ] {
                waiting.push((method, path, body.clone(), peer.ask(method, path, &[], body).await));
            }
        }
        for (method, path, body, answer) in waiting {
            let answer = answer.whole().await.unwrap();
            let expected: (u16, Vec<u8>) = match (method, path) {
                ("GET", "/fixed") => (200, b"hello".to_vec()),
                ("GET", "/files/small") => (200, small.clone()),
                ("GET", "/files/large") => (200, large.clone()),
                ("HEAD", _) => (200, Vec::new()),
                ("GET", "/files/none") => (404, answer.body.clone()),
                ("GET", "/old/x") => (302, answer.body.clone()),
                ("POST", "/echo") => (200, body),
                (_, _) => {
                    let line = format!("{method} {path} HTTP/1.1");
                    (200, [line.as_bytes(), &body].concat())
                }
            };
            assert_eq!(answer.status, expected.0, "{method} {path}");
            assert!(answer.body == expected.1, "{method} {path}");
            assert!(answer.fields.contains_key("date"));
        }
    });
    wait_until("all is at rest", || served.sum(|cell| cell.stats.waiting.bytes.get()) == 0);
}

#[test]
fn both_versions_are_spoken_on_one_port_and_http2_may_be_off() {
    let served = web("", "[[listener.route]]\nrespond = \"hello\"\n");
    let mut old = connect(served.address());
    old.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        assert_eq!(peer.get("/").await.unwrap().body, b"hello");
    });
    let served = web("http2 = false", "[[listener.route]]\nrespond = \"hello\"\n");
    let mut new = connect(served.address());
    new.write_all(ringway::proto::http2::PREFACE).unwrap();
    let mut text = String::new();
    new.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 505 "), "{text}");
}

#[test]
fn a_preface_is_known_however_it_comes() {
    let served = web("", "[[listener.route]]\nrespond = \"hello\"\n");
    let greeting = [ringway::proto::http2::PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    for at in 1..greeting.len() {
        let mut stream = connect(served.address());
        stream.set_nodelay(true).unwrap();
        stream.write_all(&greeting[..at]).unwrap();
        // The first part is taken before the second comes, or with it: both are right.
        std::thread::yield_now();
        stream.write_all(&greeting[at..]).unwrap();
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[3..5], [4, 0], "settings come first: split at {at}");
    }
}

#[test]
fn bodies_and_trailers_pass_the_proxy_both_ways() {
    let server = origin(|head, body| {
        assert!(head.contains("via: 2.0 ringway") || head.contains("via: "), "{head}");
        let cookie = head.lines().find(|line| line.starts_with("cookie: ")).unwrap_or("none");
        let mut out =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n".to_vec();
        for part in [cookie.as_bytes(), body].into_iter().flat_map(|all| all.chunks(40_000)) {
            out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("0\r\nx-sum: {}\r\n\r\n", body.len()).as_bytes());
        out
    });
    let routes =
        format!("[[listener.route]]\nproxy = \"u\"\n{}", crate::support::upstream(&[server], ""));
    let served = web("", &routes);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let sent = bytes(7, 3_000_000);
        let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")];
        let answer = peer.ask("POST", "/", &fields, sent.clone()).await.whole().await.unwrap();
        let expected = [&b"cookie: a=1; b=2"[..], &sent].concat();
        assert!(answer.body == expected, "{} bytes", answer.body.len());
        let trailers = answer.trailers.unwrap();
        assert_eq!(trailers.get("x-sum").unwrap(), "3000000");
    });
}

#[test]
fn a_slow_reader_holds_up_nobody_else() {
    let large = bytes(3, 4_000_000);
    let body = large.clone();
    let server = origin(move |_, _| ok(&body));
    let routes = format!(
        "[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
         [[listener.route]]\nproxy = \"u\"\n{}",
        crate::support::upstream(&[server], "")
    );
    let served = web("", &routes);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        // Its window is not opened: it takes 64 KiB and waits.
        let slow = peer.ask("GET", "/large", &[], Vec::new()).await.head().await.unwrap();
        for _ in 0..100 {
            assert_eq!(peer.get("/fixed").await.unwrap().body, b"hello");
        }
        let answer = slow.whole().await.unwrap();
        assert!(answer.body == large);
    });
}

#[test]
fn a_client_that_gives_up_frees_the_server() {
    // The server never answers.
    let server = serve(|stream| {
        let mut reader = BufReader::new(stream);
        while !read_head(&mut reader).is_empty() {}
    });
    let routes =
        format!("[[listener.route]]\nproxy = \"u\"\n{}", crate::support::upstream(&[server], ""));
    let served = web("", &routes);
    let active = || served.sum(|cell| cell.stats.upstreams.get(0).active.get());
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(peer.ask("GET", "/", &[], Vec::new()).await);
        }
        let held = waiting.split_off(10);
        peer.settle(|| active() == 20).await;
        drop(waiting);
        peer.settle(|| active() == 10).await;
        drop(held);
        peer.settle(|| active() == 0).await;
    });
}

#[test]
fn a_server_that_dies_within_an_answer_costs_its_stream_only() {
    let server = origin(|_, _| ok(b"whole"));
    let (dies, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Arc::new(std::sync::Mutex::new(told));
    let dying = serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        if !read_head(&mut reader).is_empty() {
            writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").unwrap();
            let _told = told.lock().unwrap().recv();
        }
    });
    let routes = format!(
        "[[listener.route]]\npath = \"/dies\"\nproxy = \"v\"\n[[listener.route]]\nproxy = \"u\"\n{}\
         [upstream.v]\nservers = [\"{dying}\"]\n",
        crate::support::upstream(&[server], "")
    );
    let served = web("", &routes);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let mut cut = peer.ask("GET", "/dies", &[], Vec::new()).await.head().await.unwrap();
        assert_eq!(cut.part().await.unwrap().unwrap(), b"part");
        let lives = peer.ask("GET", "/", &[], Vec::new()).await;
        assert_eq!(lives.whole().await.unwrap().body, b"whole");
        dies.send(()).unwrap();
        let error = cut.whole().await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
        assert_eq!(peer.get("/").await.unwrap().body, b"whole");
    });
}

#[test]
fn a_drain_loses_no_request() {
    let served = web("", "[[listener.route]]\npath = \"/echo\"\necho = true\n");
    let address = served.address();
    run(async {
        let mut peer = Peer::new(address).await;
        let (answer, mut body) = peer.open("POST", "/echo").await;
        body.send_data(b"first".to_vec().into(), false).unwrap();
        let mut answer = answer.head().await.unwrap();
        assert_eq!(answer.part().await.unwrap().unwrap(), b"first");
        let drained = tokio::task::spawn_blocking(move || served.drain());
        // The client is told; what is under way goes on, and so does what was on its way.
        peer.settle(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()).await;
        body.send_data(b"second".to_vec().into(), true).unwrap();
        assert_eq!(answer.part().await.unwrap().unwrap(), b"second");
        assert!(answer.part().await.is_none());
        drop((answer, body));
        let exit = drained.await.unwrap();
        assert_eq!(exit.cut, 0);
    });
}

#[test]
fn an_old_connection_ends_in_two_steps_and_loses_no_request() {
    let keys = "keepalive_max_age = \"1ms\"";
    let served = web(keys, "[[listener.route]]\nrespond = \"hello\"\n");
    let mut client = Attacker::new(served.address(), &[]);
    client.request(&[]).unwrap();
    let (mut late, mut answered) = (0, 0);
    let mut said = Vec::new();
    while let Some((head, payload)) = client.next_frame() {
        if head.kind == kind::GOAWAY {
            said.push(read_go_away(&payload).map(|(last, code)| (last, code.0)).unwrap());
        }
        if head.kind == kind::DATA {
            assert_eq!((&*payload, head.flags), (&b"hello"[..], flag::END_STREAM));
            answered += 1;
            // It goes on for a while, as if it had not read the first GOAWAY yet.
            if late < 20 && said.len() < 2 {
                client.request(&[]).unwrap();
                late += usize::from(!said.is_empty());
            }
        }
    }
    let [(first, 0), (last, 0)] = said[..] else { panic!("{said:?}") };
    assert_eq!(first, 0x7fff_ffff);
    assert_eq!(answered, last.div_ceil(2), "all up to the last are answered");
    assert_eq!(served.sum(|cell| cell.stats.listeners.get(0).http.aged.get()), 1);
}

#[test]
fn answers_are_compressed_and_limits_hold() {
    let server = origin(|_, _| {
        let body = "x".repeat(20_000);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20000\r\n\r\n";
        [head, &body].concat().into_bytes()
    });
    let routes = format!(
        "[[listener.route]]\npath = \"/small\"\necho = true\nbody_max = \"1KiB\"\n\
         [[listener.route]]\nproxy = \"u\"\ncompress = true\n{}",
        crate::support::upstream(&[server], "")
    );
    let served = web("", &routes);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let fields = [("accept-encoding", "gzip")];
        let answer = peer.ask("GET", "/", &fields, Vec::new()).await.whole().await.unwrap();
        assert_eq!(answer.fields.get("content-encoding").unwrap(), "gzip");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text.len(), 20_000);
        let answer = peer.ask("POST", "/small", &[], vec![0; 5000]).await.whole().await;
        // The status comes before the reset, if the client still looks.
        assert!(answer.is_err() || answer.unwrap().status == 413);
        assert_eq!(peer.get("/small").await.unwrap().status, 200);
        let long = "y".repeat(10_000);
        let answer = peer.get(&format!("/{long}")).await.unwrap();
        assert_eq!(answer.status, 414);
    });
}

#[test]
fn an_idle_connection_ends_in_order() {
    let served = web("keepalive_timeout = \"200ms\"", "[[listener.route]]\nrespond = \"hello\"\n");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        assert_eq!(peer.get("/").await.unwrap().status, 200);
        let error = peer.ended().await;
        assert!(error.is_none(), "{error:?}");
    });
    let closed = || served.closed(ringway::service::CloseReason::IdleTimeout);
    wait_until("the reason is told", || closed() == 1);
}
