//! Listeners and routes come, change and go while connections go on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use ringway::server::ReloadError;

use crate::reload_config::{Http, respond, web};
use crate::support::*;

/// A configuration without an admin interface.
fn plan(workers: usize, rest: &[&str]) -> String {
    [&runtime(workers), NO_ADMIN, &rest.concat()].concat()
}

/// The answer to a request on a connection of its own.
fn ask(address: SocketAddr) -> String {
    Http::new(address).get("/").1
}

/// The same, unless the connection ends before.
fn try_ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// A server of HTTP whose answers are sent one by one by the test.
fn slow() -> (SocketAddr, std::sync::mpsc::Receiver<TcpStream>) {
    let (sender, asked) = channel();
    let address = serve(move |mut stream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) | Err(_) => return,
            }
        }
        let _gone = sender.send(stream);
    });
    (address, asked)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow";

#[test]
fn a_kept_connection_takes_routes_with_its_next_request() {
    for workers in [1, 2] {
        let route = |path: &str, text: &str| {
            format!("[[listener.route]]\npath = '{path}'\nrespond = '{text}'\n")
        };
        let served =
            Served::new(&plan(workers, &[&web("web", &(route("/a", "1") + &respond("rest")))]));
        let mut kept = Http::new(served.at("web"));
        assert_eq!([kept.get("/a").1, kept.get("/b").1], ["1", "rest"]);
        for (routes, expected) in [
            (route("/a", "2") + &respond("rest"), ["2", "rest"]),
            (route("/a", "2") + &route("/b", "3") + &respond("rest"), ["2", "3"]),
            (respond("first") + &route("/a", "2"), ["first", "first"]),
            (route("/b", "4") + &respond("last"), ["last", "4"]),
        ] {
            let done = served.reload(&plan(workers, &[&web("web", &routes)])).unwrap();
            assert_eq!((done.connections.kept, done.connections.drained), (1, 0));
            assert_eq!([kept.get("/a").1, kept.get("/b").1], expected);
        }
        let same =
            served.reload(&plan(workers, &[&web("web", &(route("/b", "4") + &respond("last")))]));
        assert_eq!(same.unwrap().changes, Vec::<String>::new());
        // Requests that follow each other at once.
        kept.send(&"GET /b HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
        assert_eq!([kept.answer().1, kept.answer().1, kept.answer().1], ["4", "4", "4"]);
    }
}

#[test]
fn a_request_under_way_ends_by_the_plan_that_it_began_with() {
    let (server, asked) = slow();
    let folder = Folder::new();
    let large = bytes(1, 8 << 20);
    std::fs::write(folder.path().join("large"), &large).unwrap();
    let own = format!(
        "body_max = '16MiB'\n\
         [[listener.route]]\npath = '/slow'\nproxy = 'u'\n\
         [[listener.route]]\npath = '/echo'\necho = true\n\
         [[listener.route]]\nfiles = '{}'\n",
        folder.path().display()
    );
    let served = Served::new(&plan(2, &[&web("web", &own), &upstream(&[server], "")]));
    let mut clients: Vec<Http> = (0..3).map(|_| Http::new(served.at("web"))).collect();
    clients[0].send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut waiting = asked.recv_timeout(PATIENCE).unwrap();
    let body = bytes(2, 1 << 20);
    clients[1]
        .send(&format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    clients[1].0.write_all(&body[..1000]).unwrap();
    let mut start = [0; 1000];
    clients[2].send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    clients[2].0.read_exact(&mut start).unwrap();
    let head = {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            clients[1].0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // Nothing of what they use is there any more.
    served.reload(&plan(2, &[&web("web", &respond("new"))])).unwrap();
    std::fs::remove_file(folder.path().join("large")).unwrap();
    waiting.write_all(OK).unwrap();
    assert_eq!(clients[0].answer().1, "slow");
    assert_eq!(clients[0].answer().1, "new", "the next one takes the new plan");
    let mut writer = clients[1].0.try_clone().unwrap();
    let rest = body[1000..].to_vec();
    let sender = std::thread::spawn(move || writer.write_all(&rest).unwrap());
    let mut echoed = vec![0; body.len()];
    clients[1].0.read_exact(&mut echoed).unwrap();
    sender.join().unwrap();
    assert!(echoed == body);
    let end = start.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let mut file = vec![0; large.len() - (start.len() - end)];
    clients[2].0.read_exact(&mut file).unwrap();
    assert!([&start[end..], &file].concat() == large);
    for client in &mut clients[1..] {
        assert_eq!(client.get("/").1, "new");
    }
}

#[test]
fn a_tunnel_goes_on_when_its_route_upstream_and_listener_are_gone() {
    let server = serve(|mut stream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
            head.push(byte[0]);
        }
        let switch = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        stream.write_all(switch).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let _broken = std::io::copy(&mut reader, &mut stream);
    });
    let proxy = web("web", "[[listener.route]]\nproxy = 'u'\n");
    let served = Served::new(&plan(2, &[&proxy, &upstream(&[server], "")]));
    let mut client = Http::new(served.at("web"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert!(client.answer().0.starts_with("HTTP/1.1 101"));
    let mut number = 0_u8;
    let mut goes_on = |client: &mut Http| {
        number += 1;
        client.0.write_all(&[number]).unwrap();
        let mut echoed = [0];
        client.0.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, [number]);
    };
    goes_on(&mut client);
    served.reload(&plan(2, &[&web("web", &respond("new"))])).unwrap();
    goes_on(&mut client);
    served.reload(&plan(2, &[&web("other", &respond("new"))])).unwrap();
    goes_on(&mut client);
    client.0.shutdown(Shutdown::Write).unwrap();
    assert!(client.ends());
    wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
}

/// An address that was free a moment ago.
pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn at(name: &str, listen: &str, rest: &str) -> String {
    format!("[[listener]]\nname = '{name}'\nlisten = '{listen}'\n{rest}\n")
}

#[test]
fn listeners_of_an_address_take_turns_without_a_refused_connection() {
    for workers in [1, 2, 4] {
        let address = free();
        let listen = address.to_string();
        let http = |text: &str| format!("protocol = 'http'\n{}", respond(text));
        let plans = [
            at("a", &listen, &http("a")),
            at("b", &listen, &http("b")),
            at("a", "127.0.0.1:0", &http("other")) + &at("c", &listen, &http("c")),
            at("c", "127.0.0.1:0", &http("other")) + &at("a", &listen, &http("d")),
        ];
        let served = Served::new(&plan(workers, &[&plans[0]]));
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = [(); 4].map(|()| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let body = ask(address);
                    assert!(["a", "b", "c", "d"].contains(&&*body), "{body}");
                }
            })
        });
        for round in 0..100 {
            served.reload(&plan(workers, &[&plans[(round + 1) % plans.len()]])).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    }
}

#[test]
fn a_connection_that_waits_to_be_accepted_is_served_by_who_has_the_address() {
    let address = free();
    let listen = address.to_string();
    let one = at("a", &listen, "protocol = 'echo'");
    let served = Served::new(&plan(1, &[&one]));
    for (next, expected) in [
        (at("b", &listen, "protocol = 'echo'"), "echo"),
        (at("b", &listen, &format!("protocol = 'http'\n{}", respond("page"))), "page"),
        (at("c", "127.0.0.1:0", "protocol = 'echo'"), "page"),
    ] {
        let mut waiting: Vec<TcpStream> = (0..10).map(|_| connect(address)).collect();
        served.reload(&plan(1, &[&next])).unwrap();
        for stream in &mut waiting {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            // It may have been accepted before.
            assert!(text.contains(expected) || text.contains("echo"), "{text}");
        }
    }
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
}

#[test]
fn a_listener_may_grow_to_all_addresses_and_shrink_again() {
    for workers in [1, 2] {
        let port = free().port();
        let of = |ip: &str| {
            at("a", &format!("{ip}:{port}"), &format!("protocol = 'http'\n{}", respond(ip)))
        };
        let served = Served::new(&plan(workers, &[&of("127.0.0.1")]));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
        served.reload(&plan(workers, &[&of("0.0.0.0")])).unwrap();
        // The socket before may still be there, and is closed with what came to it.
        let answers = |text| move || try_ask(address).is_some_and(|answer| answer == text);
        wait_until("the new socket answers", answers("0.0.0.0"));
        assert_eq!(ask(elsewhere), "0.0.0.0");
        served.reload(&plan(workers, &[&of("127.0.0.1")])).unwrap();
        wait_until("the new socket answers", answers("127.0.0.1"));
        wait_until("nobody listens there", || TcpStream::connect(elsewhere).is_err());
        // A port of the kernel's choice becomes one of ours.
        let chosen = web("b", &respond("chosen"));
        served.reload(&plan(workers, &[&chosen])).unwrap();
        let place = served.at("b");
        let fixed =
            at("b", &place.to_string(), &format!("protocol = 'http'\n{}", respond("fixed")));
        served.reload(&plan(workers, &[&fixed])).unwrap();
        assert_eq!(served.at("b"), place);
        let answers = || try_ask(place).is_some_and(|answer| answer == "fixed");
        wait_until("the new socket answers", answers);
        // The same of UDP.
        let udp = |ip: &str| at("u", &format!("{ip}:{port}"), "protocol = 'udp_echo'");
        for ip in ["127.0.0.1", "0.0.0.0", "127.0.0.1"] {
            served.reload(&plan(workers, &[&udp(ip)])).unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE / 20)).unwrap();
            socket.connect(address).unwrap();
            // The socket before may still be there, and is closed with what came to it.
            wait_until("a datagram comes back", || {
                socket.send(b"datagram").unwrap();
                socket.recv(&mut [0; 100]).is_ok_and(|count| count == 8)
            });
        }
    }
}

#[test]
fn an_address_in_use_changes_nothing_and_what_was_bound_for_it_is_closed_again() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (new, in_use) = (free().to_string(), holder.local_addr().unwrap().to_string());
    let folder = Folder::new();
    let unix = format!("unix:{}", folder.path().join("socket").display());
    let own = web("a", &respond("a"));
    let served = Served::new(&plan(2, &[&own]));
    let other = |listen: &str, name: &str| at(name, listen, "protocol = 'echo'");
    let text = plan(
        2,
        &[&web("a", &respond("b")), &other(&new, "n"), &other(&unix, "x"), &other(&in_use, "t")],
    );
    let error = served.reload(&text).unwrap_err();
    assert!(matches!(&error, ReloadError::Invalid(why) if why.contains(&in_use)), "{error}");
    assert_eq!(ask(served.at("a")), "a");
    assert!(TcpStream::connect(&*new).is_err());
    assert!(UnixStream::connect(folder.path().join("socket")).is_err());
    assert_eq!(served.running().addresses().len(), 1);
    // Our own address twice is no mistake of the next one.
    drop(holder);
    let done = served.reload(&text).unwrap();
    assert_eq!(done.plan, 2);
    assert_eq!(ask(served.at("a")), "b");
    for name in ["n", "t"] {
        connect(served.at(name));
    }
}

#[test]
fn unix_sockets_change_their_mode_and_come_back() {
    for workers in [1, 4] {
        let folder = Folder::new();
        let path = folder.path().join("socket");
        let unix = |mode: &str| {
            at(
                "x",
                &format!("unix:{}", path.display()),
                &format!("protocol = 'echo'\nunix_mode = '{mode}'"),
            )
        };
        let served = Served::new(&plan(workers, &[&unix("0600")]));
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let mut stays = UnixStream::connect(&path).unwrap();
        assert_eq!(mode(), 0o600);
        served.reload(&plan(workers, &[&unix("0666")])).unwrap();
        assert_eq!(mode(), 0o666);
        for _ in 0..10 {
            let done = served.reload(&plan(workers, &[&web("a", &respond("a"))])).unwrap();
            assert_eq!(done.listeners.removed, ["x"]);
            served.reload(&plan(workers, &[&unix("0600")])).unwrap();
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        stays.write_all(b"x").unwrap();
        stays.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn connections_of_a_listener_that_is_gone_may_finish_in_time() {
    let (server, asked) = slow();
    let runtime = |time: &str| runtime(2).replace("\"20s\"", &format!("\"{time}\""));
    let of = |time: &str, rest: &[&str]| [&runtime(time), NO_ADMIN, &rest.concat()].concat();
    let proxy = web(
        "web",
        "[[listener.route]]\npath = '/slow'\nproxy = 'u'\n\
         [[listener.route]]\nrespond = 'at once'\n",
    );
    let to = upstream(&[server], "");
    let other = web("other", &respond("other"));
    let served = Served::new(&of(
        "1h",
        &[
            &proxy,
            &to,
            &other,
            &*at("e", "127.0.0.1:0", "protocol = 'tcp'\nupstream = 'e'"),
            &format!("[upstream.e]\nservers = ['{}']\n", echo_server()),
        ],
    ));
    let (mut idle, mut busy, mut late) =
        (Http::new(served.at("web")), Http::new(served.at("web")), Http::new(served.at("web")));
    assert_eq!(idle.get("/").1, "at once");
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = asked.recv_timeout(PATIENCE).unwrap();
    late.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let _never_answered = asked.recv_timeout(PATIENCE).unwrap();
    let mut relay = connect(served.at("e"));
    relay.write_all(b"x").unwrap();
    relay.read_exact(&mut [0]).unwrap();
    // One listener goes with much time, then the others with little: each has its own.
    let rest = [&*proxy, &to, &other].concat();
    served.reload(&of("1h", &[&rest])).unwrap();
    let done = served.reload(&of("300ms", &[&other])).unwrap();
    assert_eq!(done.connections.drained, 3);
    assert_eq!(ask(served.at("other")), "other");
    assert!(idle.ends());
    first.write_all(OK).unwrap();
    let (head, body) = busy.answer();
    assert!(head.to_lowercase().contains("connection: close") && body == "slow", "{head}");
    assert!(busy.ends());
    assert!(late.ends(), "its time is over");
    relay.write_all(b"y").unwrap();
    relay.read_exact(&mut [0]).unwrap();
    // It comes back, and is another one for who was there.
    served.reload(&of("300ms", &[&rest])).unwrap();
    assert_eq!(ask(served.at("web")), "at once");
    drop(relay);
    wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
}

/// Whether probes are sent on the server's side of a connection, by what the kernel shows.
fn has_keepalive(client: &TcpStream) -> bool {
    let shown = |address: SocketAddr| {
        let SocketAddr::V4(v4) = address else { panic!("{address} is not of IPv4") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port())
    };
    let (local, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let own = format!(" {} {} ", shown(peer), shown(local));
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = all.lines().find(|line| line.contains(&own)).unwrap();
    line.split_whitespace().nth(5).unwrap().starts_with("02:")
}

#[test]
fn what_connections_inherit_is_set_on_the_listening_socket() {
    let of =
        |keys: &str| plan(1, &[&at("e", "127.0.0.1:0", &format!("protocol = 'echo'\n{keys}"))]);
    let served = Served::new(&of("keepalive = '60s'"));
    let accepted = || {
        let mut stream = served.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    };
    let first = accepted();
    wait_until("there are probes", || has_keepalive(&first));
    served.reload(&of("keepalive = 'off'\nbacklog = 7")).unwrap();
    assert!(!has_keepalive(&accepted()));
    served.reload(&of("keepalive = '60s'\nnodelay = false")).unwrap();
    let last = accepted();
    wait_until("there are probes", || has_keepalive(&last));
}

#[test]
fn a_listener_may_change_from_streams_to_datagrams_and_back() {
    for workers in [1, 2] {
        let address = free();
        let of = |protocol: &str| {
            plan(workers, &[&at("e", &address.to_string(), &format!("protocol = '{protocol}'"))])
        };
        let served = Served::new(&of("echo"));
        for round in 0..5 {
            let mut stream = connect(address);
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            let done = served.reload(&of("udp_echo")).unwrap();
            assert_eq!(done.listeners.changed, ["e"], "round {round}");
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(address).unwrap();
            socket.send(b"datagram").unwrap();
            assert_eq!(socket.recv(&mut [0; 100]).unwrap(), 8);
            wait_until("nobody listens", || TcpStream::connect(address).is_err());
            served.reload(&of("echo")).unwrap();
        }
    }
}

#[test]
fn connections_that_are_handed_over_find_their_listener_on_the_other_worker() {
    // One worker has many connections, so that it hands over what it accepts.
    let idle = at("idle", "127.0.0.1:0", "protocol = 'echo'");
    let of = |number: usize| {
        let http = format!("protocol = 'http'\n{}", respond(&number.to_string()));
        plan(2, &[&idle, &at(&format!("n{number}"), "127.0.0.1:0", &http)])
    };
    let served = Served::new(&of(0));
    let cells = served.running().workers().cells();
    let active = |worker: usize| cells[worker].active.get();
    let mut kept = Vec::new();
    for _ in 0..100 {
        let before = (active(0), active(1));
        let stream = connect(served.at("idle"));
        wait_until("it is served", || active(0) + active(1) > before.0 + before.1);
        if active(1) > before.1 {
            kept.push(stream);
        } else {
            drop(stream);
            wait_until("it has ended", || active(0) == before.0);
        }
    }
    let before = served.sum(|cell| cell.stats.handed_over.get());
    for number in 1..100 {
        served.reload(&of(number)).unwrap();
        for _ in 0..4 {
            assert_eq!(ask(served.at(&format!("n{number}"))), number.to_string());
        }
    }
    assert!(served.sum(|cell| cell.stats.handed_over.get()) > before, "{} idle", kept.len());
}
