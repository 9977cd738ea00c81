//! Interim answers on their way from servers to clients, and how far requests are forwarded.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::proxy::{failed, proxied};
use super::*;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\
    Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Inner: 1\r\n\r\n";

#[test]
fn hints_reach_the_client_before_the_answer_without_what_is_of_the_hop() {
    let server = origin(|_| {
        let other = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199\r\nX-Other: 1\r\n\r\n";
        format!("HTTP/1.1 100 Continue\r\n\r\n{HINT}{other}{}", ok("there"))
    });
    let edits = "[listener.route.response_headers]\nremove = [\"x-inner\"]\n";
    let served = proxied(&[server], "", edits);
    let mut client = Client::new(served.address());
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let hint = client.head();
        assert_eq!(
            hint.head,
            "HTTP/1.1 103 Early Hints\nlink: </a.css>; rel=preload\nvia: 1.1 ringway\n"
        );
        assert_eq!(client.head().head, "HTTP/1.1 102 Processing\nvia: 1.1 ringway\n");
        assert_eq!(client.head().head, "HTTP/1.1 199 \nx-other: 1\nvia: 1.1 ringway\n");
        assert_eq!(client.answer().text(), "there");
    }
    let passed = served.sum(|cell| cell.stats.upstreams.get(0).http.interim.get());
    assert_eq!(passed, 6);
}

#[test]
fn a_hint_is_there_while_the_server_still_works() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let server = serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        if read_head(&mut reader).is_empty() {
            return;
        }
        writer.write_all(HINT.as_bytes()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        writer.write_all(ok("late").as_bytes()).unwrap();
        read_head(&mut reader);
    });
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 103);
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "late");
}

#[test]
fn a_client_of_http_1_0_gets_the_answer_alone() {
    let server = origin(|_| format!("{HINT}{}", ok("there")));
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    assert_eq!(client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").status, 200);
}

#[test]
fn a_client_that_waits_to_send_its_body_is_told_once() {
    let server = serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut client = Client(BufReader::new(stream));
        while !read_head(&mut client.0).is_empty() {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            let mut body = [0; 5];
            client.0.read_exact(&mut body).unwrap();
            writer.write_all(format!("{HINT}{}", ok("done")).as_bytes()).unwrap();
        }
    });
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("hello");
    assert_eq!(client.head().status, 103);
    assert_eq!(client.answer().text(), "done");
}

#[test]
fn many_hints_pass_and_too_many_are_the_servers_failure() {
    let server = origin(|head| {
        let length = head.lines().next().and_then(|line| line.split('/').nth(1));
        let count = length.and_then(|word| word.split(' ').next()).unwrap();
        HINT.repeat(count.parse().unwrap()) + &ok("there")
    });
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    client.send("GET /400 HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..400 {
        assert_eq!(client.head().status, 103);
    }
    assert_eq!(client.answer().text(), "there");
    client.send("GET /4000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut passed = 0;
    let answer = loop {
        let head = client.head();
        if head.status != 103 {
            break head;
        }
        passed += 1;
    };
    assert_eq!(passed, 64 * 1024 / HINT.len());
    assert_eq!(answer.status, 502);
    assert_eq!(answer.field("x-ringway-reason"), Some("response_too_large"));
    assert_eq!(failed(&served, "response_too_large"), 1);
}

#[test]
fn a_try_that_is_given_up_behind_its_hint_is_made_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while !read_head(&mut reader).is_empty() {
            let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            let rest = if is_first { String::new() } else { ok("again") };
            writer.write_all(format!("{HINT}{rest}").as_bytes()).unwrap();
            if is_first {
                return;
            }
        }
    });
    const KEYS: &str = "retry_on = [\"reset\"]\nretries = 2\nretry_backoff = \"1ms\"\n\
        retry_budget = 1.0\n";
    let served = proxied(&[server], KEYS, "");
    let mut client = Client::new(served.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 103);
    assert_eq!(client.head().status, 103);
    assert_eq!(client.answer().text(), "again");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // What is not safe to repeat is not, hint or no hint.
    asked.store(0, Ordering::SeqCst);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.head().status, 103);
    assert_eq!(client.answer().status, 502);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn hints_of_two_tries_go_before_one_answer() {
    let slow = serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while !read_head(&mut reader).is_empty() {
            writer.write_all(HINT.as_bytes()).unwrap();
        }
    });
    let quick = origin(|_| format!("{HINT}{}", ok("quick")));
    let served = proxied(&[slow, quick], "hedge_after = \"20ms\"\nretry_budget = 1.0\n", "");
    let mut client = Client::new(served.address());
    for _ in 0..4 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut hints, mut last) = (0, client.answer());
        while last.status == 103 {
            hints += 1;
            last = client.answer();
        }
        assert_eq!((last.status, last.text()), (200, "quick"));
        assert!((1..=2).contains(&hints), "{hints}");
    }
}

#[test]
fn a_hint_goes_before_an_upgrade() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
    let server = origin(move |_| format!("{HINT}{switch}tunnelled"));
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.head().status, 103);
    assert_eq!(client.head().status, 101);
    let mut bytes = [0; 9];
    client.0.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"tunnelled");
}

#[test]
fn what_a_426_asks_for_is_passed_on() {
    let server = origin(|head| {
        let status = if head.contains("/old") { "426 Upgrade Required" } else { "200 OK" };
        format!(
            "HTTP/1.1 {status}\r\nUpgrade: TLS/1.3\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"
        )
    });
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    let answer = client.get("/old");
    assert_eq!(answer.status, 426);
    assert_eq!(answer.field("upgrade"), Some("TLS/1.3"));
    assert_eq!(answer.field("connection"), Some("upgrade"));
    assert_eq!(client.get("/").field("upgrade"), None);
    let closes = "GET /old HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(client.ask(closes).field("connection"), Some("close, upgrade"));
    let mut old = Client::new(served.address());
    let answer = old.ask("GET /old HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((answer.field("upgrade"), answer.field("connection")), (None, Some("close")));
}

#[test]
fn max_forwards_counts_down_and_ends_here() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = origin(move |head| {
        counted.fetch_add(1, Ordering::SeqCst);
        ok(&head.replace("\r\n", "|"))
    });
    let served = proxied(&[server], "", "");
    let mut client = Client::new(served.address());
    let with = |method: &str, value: &str| {
        let secret = "Authorization: Basic c2VjcmV0\r\nX-Kept: 1\r\n";
        format!("{method} /a?b HTTP/1.1\r\nHost: a\r\n{secret}Max-Forwards: {value}\r\n\r\n")
    };
    for (method, value, left) in [("OPTIONS", "3", "2"), ("TRACE", "1", "0"), ("GET", "0", "0")] {
        let answer = client.ask(&with(method, value));
        let there = format!("max-forwards: {left}|");
        assert!(answer.text().contains(&there), "{method}: {}", answer.text());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let answer = client.ask(&with("OPTIONS", "0"));
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("0")));
    let answer = client.ask(&with("TRACE", "0"));
    assert_eq!(answer.field("content-type"), Some("message/http"));
    assert_eq!(
        answer.text(),
        "TRACE /a?b HTTP/1.1\r\nhost: a\r\nx-kept: 1\r\nmax-forwards: 0\r\n\r\n"
    );
    assert_eq!(client.ask(&with("OPTIONS", "few")).status, 400);
    let star = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(client.ask(star).status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}
