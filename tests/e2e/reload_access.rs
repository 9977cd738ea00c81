//! Who may come, and how TLS is spoken with them, changes while connections go on.

use std::io::{Read, Write};
use std::net::SocketAddr;

use rustls::HandshakeKind;

use crate::pki::{self, Pki};
use crate::reload_config::{Http, respond, web};
use crate::reload_listeners::free;
use crate::support::*;

fn plan(workers: usize, rest: &[&str]) -> String {
    [&runtime(workers), NO_ADMIN, &rest.concat()].concat()
}

fn secured(pki: &Pki, text: &str, name: &str, keys: &str) -> String {
    let tls = pki.listener_tls(keys).replace("server.", &format!("{name}."));
    web("web", &(respond(text) + &tls))
}

/// The page of a connection, and the certificate that was shown.
fn shown(pki: &Pki, address: SocketAddr) -> (Vec<u8>, HandshakeKind) {
    let mut stream = pki.connect(address);
    assert!(pki::get(&mut stream, "/").0.starts_with("HTTP/1.1 200"));
    let certificate = stream.conn.peer_certificates().unwrap()[0].to_vec();
    (certificate, stream.conn.handshake_kind().unwrap())
}

#[test]
fn another_certificate_ends_kept_connections_and_the_same_one_does_not() {
    let pki = Pki::new();
    pki.write("other", &["localhost"]);
    let served = Served::new(&plan(2, &[&secured(&pki, "1", "server", "")]));
    let address = served.at("web");
    let first = shown(&pki, address).0;
    let client = pki.client();
    let connect = || Http(pki.connect_with(&client, address));
    let mut kept = connect();
    assert_eq!(kept.get("/").1, "1");
    for text in ["2", "3", "3"] {
        served.reload(&plan(2, &[&secured(&pki, text, "server", "")])).unwrap();
        assert_eq!(kept.get("/").1, text);
        let mut again = connect();
        assert_eq!(again.get("/").1, text);
        assert_eq!(again.0.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{text}");
    }
    assert_eq!(shown(&pki, address).0, first);
    // Connections that are between requests, have had none, and are in the middle of one.
    let (mut fresh, mut within) = (connect(), connect());
    assert_eq!(within.get("/").1, "3");
    within.send("GET / HTTP/1.1\r\n");
    fresh.0.conn.complete_io(&mut fresh.0.sock).unwrap();
    let received = || served.sum(|cell| cell.stats.listeners.get(0).received.get());
    let before = received();
    within.send("Host: a\r\n");
    wait_until("it has come", || received() > before);
    served.reload(&plan(2, &[&secured(&pki, "4", "other", "")])).unwrap();
    assert!(kept.ends());
    within.send("\r\n");
    assert_eq!(within.answer().1, "3", "its request had begun");
    assert!(within.ends());
    assert_eq!(fresh.get("/").1, "4");
    assert!(fresh.ends());
    assert_ne!(shown(&pki, address).0, first);
    // A listener without TLS, and back.
    let mut kept = connect();
    assert_eq!(kept.get("/").1, "4");
    served.reload(&plan(2, &[&web("web", &respond("plain"))])).unwrap();
    assert!(kept.ends());
    let mut plain = Http::new(address);
    assert_eq!(plain.get("/").1, "plain");
    served.reload(&plan(2, &[&secured(&pki, "5", "server", "")])).unwrap();
    assert!(plain.ends());
    assert_eq!(shown(&pki, address).0, first);
}

#[test]
fn a_client_without_a_certificate_has_one_answer_at_most_once_one_is_required() {
    let pki = Pki::new();
    pki.write("alice", &["client.example"]);
    let served = Served::new(&plan(2, &[&secured(&pki, "1", "server", "")]));
    let address = served.at("web");
    let mut kept: Vec<_> = (0..4).map(|_| Http(pki.connect(address))).collect();
    assert!(kept.iter_mut().all(|one| one.get("/").1 == "1"));
    let mut fresh = Http(pki.connect(address));
    fresh.0.conn.complete_io(&mut fresh.0.sock).unwrap();
    let ca = pki.path("ca.pem");
    let keys = format!("client_auth = 'required'\nclient_ca = '{}'", ca.display());
    served.reload(&plan(2, &[&secured(&pki, "2", "server", &keys)])).unwrap();
    for one in &mut kept {
        assert!(one.ends());
    }
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    fresh.send(&requests);
    let mut all = String::new();
    let _cut = fresh.0.read_to_string(&mut all);
    assert!(all.matches("HTTP/1.1 200").count() <= 1, "{all}");
    let mut refused = pki.connect(address);
    let asked = write!(refused, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(asked.and_then(|()| refused.read_exact(&mut [0])).is_err());
    let mut allowed = Http(pki.connect_with(&pki.client_with("alice"), address));
    assert_eq!(allowed.get("/").1, "2");
}

#[test]
fn who_is_denied_by_the_newest_plan_is_closed() {
    let served = Served::new(&plan(2, &[&web("web", &respond("1"))]));
    let (mut kept, mut fresh) = (Http::new(served.at("web")), Http::new(served.at("web")));
    assert_eq!(kept.get("/").1, "1");
    wait_until("both are accepted", || served.sum(|cell| cell.active.get()) == 2);
    let denied = format!("deny = ['127.0.0.0/8']\n{}", respond("2"));
    served.reload(&plan(2, &[&web("web", &denied)])).unwrap();
    assert!(kept.ends());
    assert!(fresh.ends());
    let by_route = "[[listener.route]]\nrespond = '3'\ndeny = ['127.0.0.0/8']\n";
    served.reload(&plan(2, &[&web("web", &respond("4"))])).unwrap();
    let mut kept = Http::new(served.at("web"));
    assert_eq!(kept.get("/").1, "4");
    served.reload(&plan(2, &[&web("web", by_route)])).unwrap();
    assert!(kept.get("/").0.starts_with("HTTP/1.1 403"));
}

#[test]
fn who_came_by_one_address_is_not_answered_what_is_for_another_one() {
    let (one, other) = (free(), free());
    let of = |inner: SocketAddr, outer: SocketAddr| {
        let at = |name: &str, address: SocketAddr| {
            format!(
                "[[listener]]\nname = '{name}'\nlisten = '{address}'\nprotocol = 'http'\n{}",
                respond(name)
            )
        };
        plan(2, &[&at("inner", inner), &at("outer", outer)])
    };
    let served = Served::new(&of(one, other));
    let (mut kept, mut fresh) = (Http::new(other), Http::new(other));
    assert_eq!(kept.get("/").1, "outer");
    wait_until("both are accepted", || served.sum(|cell| cell.active.get()) == 2);
    served.reload(&of(other, one)).unwrap();
    assert!(kept.ends());
    assert_eq!(fresh.get("/").1, "outer");
    assert!(fresh.ends());
    assert_eq!(Http::new(one).get("/").1, "outer");
    assert_eq!(Http::new(other).get("/").1, "inner");
}

#[test]
fn connections_of_a_source_are_counted_on_over_reloads() {
    for workers in [1, 2] {
        let of = |most: &str, text: &str| {
            let keys = format!("source_connections_max = {most}\n{}", respond(text));
            plan(workers, &[&web("web", &keys)])
        };
        let served = Served::new(&of("2", "1"));
        let mut kept: Vec<Http> = (0..2).map(|_| Http::new(served.at("web"))).collect();
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "1"));
        let is_refused = || Http::new(served.at("web")).ends();
        assert!(is_refused());
        served.reload(&of("2", "2")).unwrap();
        assert!(is_refused());
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "2"));
        // More, then fewer than there are: who is in stays.
        served.reload(&of("3", "3")).unwrap();
        kept.push(Http::new(served.at("web")));
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "3"));
        served.reload(&of("1", "4")).unwrap();
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "4"));
        assert!(is_refused());
        served.reload(&of("'off'", "5")).unwrap();
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "5"));
        kept.push(Http::new(served.at("web")));
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "5"));
        // Those that came without being counted are counted from now on, as far as there is room.
        served.reload(&of("4", "6")).unwrap();
        assert!(kept.iter_mut().all(|one| one.get("/").1 == "6"));
        assert!(is_refused());
        kept.clear();
        wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
        let mut all: Vec<Http> = (0..4).map(|_| Http::new(served.at("web"))).collect();
        assert!(all.iter_mut().all(|one| one.get("/").1 == "6"), "none is counted too often");
        assert!(is_refused());
    }
}

#[test]
fn a_rate_limit_that_is_the_same_goes_on_and_another_one_begins_anew() {
    let of = |burst: u32, text: &str| {
        let route = format!(
            "[[listener.route]]\nrespond = '{text}'\nrate_limit = {{ rate = 1, burst = {burst} }}\n"
        );
        plan(1, &[&web("web", &route)])
    };
    let served = Served::new(&of(50, "1"));
    let mut client = Http::new(served.at("web"));
    let mut left = || {
        let limited = (0..1000).position(|_| client.get("/").0.starts_with("HTTP/1.1 429"));
        limited.unwrap()
    };
    assert!(left() >= 50);
    served.reload(&of(50, "2")).unwrap();
    assert!(left() < 40, "the limit is used up still");
    // A plan that is refused changes nothing of it.
    let refused = [
        &*of(60, "3"),
        "[[listener]]\nname = 'f'\nlisten = '127.0.0.1:0'\n\
        protocol = 'http'\n[[listener.route]]\nfiles = '/no/such/folder'\n",
    ]
    .concat();
    assert!(served.reload(&refused).is_err());
    assert!(left() < 40);
    served.reload(&of(50, "4")).unwrap();
    assert!(left() < 40, "nothing has changed of it");
    served.reload(&of(60, "5")).unwrap();
    assert!(left() >= 50, "another one begins with all it has");
    served.reload(&plan(1, &[&web("web", &respond("none"))])).unwrap();
    served.reload(&of(60, "6")).unwrap();
    assert!(left() >= 50);
}

#[test]
fn counters_go_on_by_name() {
    let with_admin = |rest: &[&str]| {
        [&runtime(2), "[admin]\nlisten = '127.0.0.1:0'\n", &*rest.concat()].concat()
    };
    let server = crate::reload_config::answering("s");
    let other = crate::reload_config::answering("t");
    let route = |name: &str| format!("[[listener.route]]\nname = '{name}'\nproxy = 'u'\n");
    let served = Served::new(&with_admin(&[&web("web", &route("r")), &upstream(&[server], "")]));
    let admin = served.running().admin().unwrap();
    let count = |line: &str| {
        let text = crate::admin::get(admin, "GET /metrics");
        let found = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        found.map(|number| number.parse::<u64>().unwrap())
    };
    let requests = "ringway_http_requests_total{listener=\"web\",route=\"r\",status=\"2xx\"}";
    let connects = "ringway_upstream_connects_total{upstream=\"u\"}";
    let accepted = "ringway_connections_accepted_total{listener=\"web\"}";
    for round in 1..=6_u64 {
        Http::new(served.at("web")).get("/");
        wait_until("it is counted", || count(requests) == Some(round));
        assert_eq!(count(accepted), Some(round));
        assert!(count(connects).is_some_and(|connects| connects >= 1));
        let servers = match round % 3 {
            0 => vec![server],
            1 => vec![server, other],
            _ => vec![other],
        };
        let more = if round % 2 == 0 { web("more", &route("r")) } else { String::new() };
        let text = [&*more, &web("web", &(route("r") + &route("s"))), &upstream(&servers, "")];
        served.reload(&with_admin(&text)).unwrap();
        let before = count(connects);
        assert!(before >= Some(1));
        assert_eq!((count(requests), count(accepted)), (Some(round), Some(round)));
    }
}
