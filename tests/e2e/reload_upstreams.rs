//! Upstreams come, change and go while what uses them goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::reload_config::{Http, respond, web};
use crate::support::*;

const TOKEN: &str = "a-token-of-the-operators-of-all-servers";
const PROXY: &str = "[[listener.route]]\nproxy = 'u'\n";

/// The runtime, and an admin interface on which servers may be changed.
fn admin(workers: usize, folder: &Folder) -> String {
    let file = folder.file("tokens", TOKEN);
    let keys = format!("[admin]\nlisten = '127.0.0.1:0'\ntoken_file = '{}'\n", file.display());
    [runtime(workers), keys].concat()
}

/// A server of HTTP that says its name, and is asked to go on with `/wait` by the test. It tells of
/// connections that come and go.
struct Web {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
    waiting: Receiver<std::sync::mpsc::Sender<()>>,
}

impl Web {
    fn new(name: &'static str) -> Self {
        let (open, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sender, waiting) = channel();
        let counts = (Arc::clone(&open), Arc::clone(&all));
        let address = serve(move |stream| {
            counts.0.fetch_add(1, Ordering::SeqCst);
            counts.1.fetch_add(1, Ordering::SeqCst);
            Self::answer(name, stream, &sender);
            counts.0.fetch_sub(1, Ordering::SeqCst);
        });
        Self { address, open, all, waiting }
    }

    fn answer(
        name: &str,
        mut stream: TcpStream,
        waiting: &std::sync::mpsc::Sender<std::sync::mpsc::Sender<()>>,
    ) {
        loop {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    Ok(_) | Err(_) => return,
                }
            }
            if head.starts_with(b"GET /wait") {
                let (go, may_go) = channel();
                let _gone = waiting.send(go);
                let _gone = may_go.recv_timeout(PATIENCE);
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn all(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }
}

fn get_json(served: &Served) -> Value {
    let answer = crate::admin::get(served.running().admin().unwrap(), "GET /upstreams");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// What the page tells of a server of the first upstream.
fn state(served: &Served, server: usize) -> Value {
    get_json(served)["upstreams"][0]["servers"][server].clone()
}

fn change(served: &Served, server: &str, json: &str) {
    let mut client = Http::new(served.running().admin().unwrap());
    client.send(&format!(
        "POST /upstreams/u/servers/{server} HTTP/1.1\r\nHost: admin\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    ));
    let (head, body) = client.answer();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}{body}");
}

/// Waits until all gauges of upstreams are at zero.
fn wait_for_rest(served: &Served) {
    let gauges = [
        "ringway_connections_active",
        "ringway_upstream_connections_active",
        "ringway_upstream_requests_waiting",
        "ringway_server_requests_active",
        "ringway_pool_waiting",
    ];
    let admin = served.running().admin().unwrap();
    let busy = || {
        let text = crate::admin::get(admin, "GET /metrics");
        let lines = text.lines().filter(|line| gauges.iter().any(|gauge| line.starts_with(gauge)));
        lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("all gauges are at zero", || busy().is_empty());
}

#[test]
fn an_upstream_that_is_the_same_keeps_its_connections_and_what_is_known_of_its_servers() {
    for workers in [1, 2] {
        let folder = Folder::new();
        let servers = [Web::new("a"), Web::new("b")];
        let of = |text: &str| {
            let routes = format!("{PROXY}path_prefix = '/p'\n{}", respond(text));
            let to = upstream(&[servers[0].address, servers[1].address], "");
            [admin(workers, &folder), web("web", &routes), to].concat()
        };
        let served = Served::new(&of("1"));
        let mut kept = Http::new(served.at("web"));
        change(&served, &servers[1].address.to_string(), r#"{"drain": true}"#);
        change(&served, &servers[0].address.to_string(), r#"{"weight": 7}"#);
        assert!((0..5).all(|_| kept.get("/p").1 == "a"));
        let connects = servers[0].all();
        for text in ["2", "3", "3"] {
            let done = served.reload(&of(text)).unwrap();
            assert_eq!(done.upstreams.kept, ["u"]);
            assert_eq!(kept.get("/").1, text);
            assert!((0..5).all(|_| kept.get("/p").1 == "a"), "the other is drained");
        }
        assert_eq!(servers[0].all(), connects, "its connection was used again");
        assert_eq!(
            (&state(&served, 1)["state"], &state(&served, 0)["weight"]),
            (&"drained".into(), &7.into())
        );
        // One that has changed begins with new connections, and knows its servers.
        let done = served.reload(&(of("4") + "connect_timeout = '7s'\n")).unwrap();
        assert_eq!(done.upstreams.changed, ["u"]);
        assert!((0..5).all(|_| kept.get("/p").1 == "a"));
        assert_eq!(
            (&state(&served, 1)["state"], &state(&served, 0)["weight"]),
            (&"drained".into(), &7.into())
        );
        wait_until("the old connection is closed", || servers[0].open() == 1);
    }
}

#[test]
fn a_change_by_hand_that_comes_with_a_reload_is_made_where_the_servers_are() {
    let folder = Folder::new();
    let servers = [Web::new("a"), Web::new("b")];
    let of = |keys: &str| {
        let to = upstream(&[servers[0].address, servers[1].address], keys);
        [&*admin(2, &folder), &web("web", PROXY), &to].concat()
    };
    let served = Served::new(&of(""));
    let mut client = Http::new(served.running().admin().unwrap());
    let body = r#"{"drain": true}"#;
    client.send(&format!(
        "POST /upstreams/u/servers/{} HTTP/1.1\r\nHost: admin\r\nExpect: 100-continue\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        servers[1].address,
        body.len()
    ));
    // Then it is asked for: it has been let in.
    assert!(client.answer().0.starts_with("HTTP/1.1 100"));
    served.reload(&of("connect_timeout = '7s'")).unwrap();
    client.send(body);
    let (head, answer) = client.answer();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}{answer}");
    assert_eq!(state(&served, 1)["state"], "drained");
}

#[test]
fn requests_on_servers_that_are_gone_end_and_their_connections_are_closed() {
    for workers in [1, 2, 4] {
        let folder = Folder::new();
        let (old, new) = (Web::new("old"), Web::new("new"));
        let of = |server: &Web, keys: &str| {
            [&*admin(workers, &folder), &web("web", PROXY), &upstream(&[server.address], keys)]
                .concat()
        };
        let served = Served::new(&of(&old, ""));
        let mut idle = Http::new(served.at("web"));
        assert_eq!(idle.get("/").1, "old");
        let mut busy: Vec<_> = (0..4).map(|_| Http::new(served.at("web"))).collect();
        busy.iter_mut().for_each(|one| one.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
        let go: Vec<_> = (0..4).map(|_| old.waiting.recv_timeout(PATIENCE).unwrap()).collect();
        served.reload(&of(&new, "")).unwrap();
        assert_eq!(idle.get("/").1, "new");
        wait_until("idle connections are closed", || old.open() == 4);
        // Another change while they are under way still.
        served.reload(&of(&new, "connect_timeout = '7s'")).unwrap();
        assert_eq!(idle.get("/").1, "new");
        // No upstream at all.
        served
            .reload(&[&*admin(workers, &folder), &web("web", &respond("none"))].concat())
            .unwrap();
        assert_eq!(idle.get("/").1, "none");
        go.iter().for_each(|go| go.send(()).unwrap());
        for one in &mut busy {
            assert_eq!(one.answer().1, "old");
            assert_eq!(one.get("/").1, "none");
        }
        wait_until("all are closed", || old.open() == 0 && new.open() == 0);
        served.reload(&of(&old, "")).unwrap();
        assert_eq!(idle.get("/").1, "old");
        drop((idle, busy));
        // The counters of the name go on, and nobody has asked these servers.
        served.reload(&of(&new, "")).unwrap();
        wait_for_rest(&served);
    }
}

#[test]
fn what_checks_have_found_stays_as_long_as_they_are_made() {
    let folder = Folder::new();
    let bad = nobody();
    let good = Web::new("good");
    let health = "health = { kind = 'tcp', interval = '10ms', timeout = '10ms', rise = 100 }\n";
    let of = |servers: &str, keys: &str| {
        let to = format!("[upstream.u]\nservers = [{servers}]\n{keys}");
        [&*admin(2, &folder), &web("web", PROXY), &to].concat()
    };
    let both = format!("'{bad}', '{}'", good.address);
    let served = Served::new(&of(&both, health));
    wait_until("it is down", || state(&served, 0)["state"] == "down");
    let again = |servers: &str, keys: &str| {
        served.reload(&of(servers, keys)).unwrap();
        let mut client = Http::new(served.at("web"));
        assert!((0..10).all(|_| client.get("/").1 == "good"));
        assert_eq!(state(&served, 0)["state"], "down", "{servers} {keys}");
    };
    again(&both, health);
    again(&both, &format!("{health}connect_timeout = '7s'\n"));
    // Its name is another one, and its address is not.
    let named = format!("'localhost:{}', '{}'", bad.port(), good.address);
    again(&named, &health.replace("interval = '10ms'", "interval = '1h'"));
    // Without checks it is used, and tried.
    served.reload(&of(&both, "eject = { consecutive_connect_failures = 0 }\n")).unwrap();
    assert_eq!(state(&served, 0)["state"], "up");
}

#[test]
fn relays_and_flows_go_on_with_the_server_that_they_have() {
    for workers in [1, 2] {
        let folder = Folder::new();
        let named = |name: u8| {
            serve(move |mut stream| {
                let mut byte = [0];
                while stream.read(&mut byte).unwrap_or(0) == 1 {
                    if stream.write_all(&[name]).is_err() {
                        return;
                    }
                }
            })
        };
        let udp_named = |name: u8| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 100];
                while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    let _gone = socket.send_to(&[name], peer);
                }
            });
            address
        };
        let (tcp, udp) = ([named(b'a'), named(b'b')], [udp_named(b'a'), udp_named(b'b')]);
        let of = |number: usize| {
            format!(
                "{}[[listener]]\nname = 't'\nlisten = '127.0.0.1:0'\nprotocol = 'tcp'\n\
                 upstream = 't'\n\
                 [[listener]]\nname = 'd'\nlisten = '127.0.0.1:0'\nprotocol = 'udp'\n\
                 upstream = 'd'\n\
                 [upstream.t]\nservers = ['{}']\n[upstream.d]\nservers = ['{}']\n",
                admin(workers, &folder),
                tcp[number],
                udp[number]
            )
        };
        let served = Served::new(&of(0));
        let ask = |stream: &mut TcpStream| {
            let mut name = [0];
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut name).unwrap();
            name[0]
        };
        let flow = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(served.at("d")).unwrap();
            socket
        };
        let ask_flow = |socket: &UdpSocket| {
            let mut name = [0];
            socket.send(b"x").unwrap();
            socket.recv(&mut name).unwrap();
            name[0]
        };
        let (mut first, first_flow) = (connect(served.at("t")), flow());
        assert_eq!((ask(&mut first), ask_flow(&first_flow)), (b'a', b'a'));
        for number in [1, 0, 1] {
            served.reload(&of(number)).unwrap();
            let (mut next, next_flow) = (connect(served.at("t")), flow());
            let expected = b"ab"[number];
            assert_eq!((ask(&mut next), ask_flow(&next_flow)), (expected, expected));
            assert_eq!((ask(&mut first), ask_flow(&first_flow)), (b'a', b'a'));
        }
        let gone = [&*admin(workers, &folder), &web("web", &respond("none"))].concat();
        let done = served.reload(&gone).unwrap();
        assert_eq!((done.connections.drained >= 1, done.connections.closed >= 1), (true, true));
        assert_eq!(ask(&mut first), b'a');
        drop(first);
        served.reload(&of(1)).unwrap();
        assert_eq!(ask_flow(&flow()), b'b');
        wait_for_rest_of_streams(&served);
    }
}

/// Waits until no connection is open.
fn wait_for_rest_of_streams(served: &Served) {
    wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
}

#[test]
fn clients_that_give_up_on_servers_that_are_gone_leave_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let (server, good) = (listener.local_addr().unwrap(), Web::new("good"));
    let of = |server: SocketAddr| {
        [&*admin(1, &folder), &web("web", PROXY), &upstream(&[server], "")].concat()
    };
    let served = Served::new(&of(server));
    let mut waiting: Vec<Http> = (0..3).map(|_| Http::new(served.at("web"))).collect();
    waiting.iter_mut().for_each(|one| one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let mut accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
    served.reload(&of(good.address)).unwrap();
    assert_eq!(Http::new(served.at("web")).get("/").1, "good");
    waiting.clear();
    for stream in &mut accepted {
        let mut all = Vec::new();
        let _reset = stream.read_to_end(&mut all);
    }
    wait_until("all are closed", || good.open() <= 1);
    wait_for_rest_of_streams(&served);
}

/// A client of frames.
fn frames(address: SocketAddr) -> ringway::client::Frame {
    use ringway::client::{Frame, FrameOptions, Target};
    let target = Target::address(ringway::ring::SocketAddress::inet(address));
    Frame::connect(&target, &FrameOptions::default()).unwrap()
}

fn value(client: &mut ringway::client::Frame) -> String {
    let mut value = Vec::new();
    client.get("name", PATIENCE, &mut |part| value.extend_from_slice(part)).unwrap();
    String::from_utf8(value).unwrap()
}

/// A server of frames that has one value.
fn frame_server(value: &str) -> Served {
    let text = format!(
        "{}{NO_ADMIN}[[listener]]\nname = 'f'\nlisten = '127.0.0.1:0'\nprotocol = 'frame'\n\
         values = {{ name = '{value}' }}\n",
        runtime(1)
    );
    Served::new(&text)
}

#[test]
fn clients_of_a_frame_proxy_stay_when_its_servers_change() {
    for workers in [1, 2, 4] {
        let folder = Folder::new();
        let servers = [frame_server("a"), frame_server("b")];
        let of = |number: usize, pool: usize| {
            format!(
                "{}[[listener]]\nname = 'f'\nlisten = '127.0.0.1:0'\nprotocol = 'frame'\n\
                 upstream = 'f'\n[upstream.f]\nservers = ['{}']\npool_max = {pool}\n",
                admin(workers, &folder),
                servers[number].address()
            )
        };
        let served = Served::new(&of(0, 4));
        let mut kept = frames(served.at("f"));
        assert_eq!(value(&mut kept), "a");
        for round in 1..20_usize {
            // With fewer connections than workers, some have to borrow.
            served.reload(&of(round % 2, 1 + round % 4)).unwrap();
            let mut fresh = frames(served.at("f"));
            assert_eq!(value(&mut fresh), ["a", "b"][round % 2]);
            assert_eq!(value(&mut kept), "a", "it goes on with the plan that it began with");
        }
        drop(kept);
        served
            .reload(&[&*admin(workers, &folder), &web("web", &respond("none"))].concat())
            .unwrap();
        for one in &servers {
            wait_until("its connections are closed", || one.sum(|cell| cell.active.get()) == 0);
        }
        wait_for_rest(&served);
    }
}
