//! What the server answers itself.

use std::io::Write;
use std::net::Shutdown;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringway::service::CloseReason;

use super::*;

const FIXED: &str = "[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
    [[listener.route]]\npath = \"/echo\"\necho = true\n\
    [[listener.route]]\npath = \"/moved\"\nredirect = \"https://$host/new$query\"\nstatus = 308\n\
    [[listener.route]]\npath_prefix = \"/up\"\nredirect = \"$path\"\n";

#[test]
fn requests_are_answered_in_their_order_on_one_connection() {
    let served = web("", FIXED);
    let mut client = Client::new(served.address());
    let first = client.get("/fixed");
    assert_eq!((first.status, first.text()), (200, "hello"));
    assert_eq!(first.field("server"), Some("ringway"));
    assert!(first.field("date").is_some_and(|date| date.ends_with(" GMT")));
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client.send(&[&one("/fixed"), body, &one("/none"), &one("/fixed")].concat());
    let all: Vec<_> =
        (0..4).map(|_| client.answer()).map(|one| (one.status, one.body.len())).collect();
    assert_eq!(all[0], (200, 5));
    assert_eq!(all[1], (200, 3));
    assert_eq!((all[2].0, all[3]), (404, (200, 5)));
    let head =
        client.ask("HEAD /fixed HTTP/1.1\r\nHost: a\r\n\r\nGET /fixed HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.field("content-length"), Some("5"));
    drop(client);
    let mut close = Client::new(served.address());
    let last = close.ask("GET /fixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(last.field("connection"), Some("close"));
    assert!(close.is_closed());
}

#[test]
fn a_request_is_the_same_however_its_bytes_come() {
    let served = web("", FIXED);
    let request = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nX-T: 1\r\n\r\n";
    for cut in (1..request.len()).step_by(3) {
        let mut client = Client::new(served.address());
        client.0.get_mut().set_nodelay(true).unwrap();
        client.0.get_mut().write_all(&request[..cut]).unwrap();
        client.0.get_mut().flush().unwrap();
        std::thread::yield_now();
        client.0.get_mut().write_all(&request[cut..]).unwrap();
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, "abc0123456789abcdef"), "{cut}");
    }
}

#[test]
fn http_1_0_is_answered_and_closed_unless_it_asks_otherwise() {
    let served = web("", FIXED);
    let mut client = Client::new(served.address());
    let kept = client.ask("GET /fixed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((kept.status, kept.field("connection")), (200, Some("keep-alive")));
    let last = client.ask("GET /fixed HTTP/1.0\r\n\r\n");
    assert_eq!((last.status, last.text()), (200, "hello"));
    assert!(client.is_closed());
    let mut chunked = Client::new(served.address());
    chunked.send("POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nab");
    assert_eq!(chunked.answer().text(), "ab");
}

#[test]
fn what_breaks_a_rule_is_told_so_and_the_connection_ends() {
    let served = web("head_size_max = \"2KiB\"\nbody_max = \"1KiB\"\n", FIXED);
    let table = [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(3000)), 431),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
    ];
    // What is no HTTP is answered without the rest of a head.
    let greetings = ["SSH-2.0-x\r\n", "GET / FOO\r\n", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0"];
    let greetings = greetings.map(|text| (text.to_owned(), 400));
    for (request, status) in table.into_iter().chain(greetings) {
        let mut client = Client::new(served.address());
        let answer = client.ask(&request);
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.field("connection"), Some("close"), "{request}");
        assert!(client.is_closed());
    }
    let refused = |cell: &ringway::session::WorkerCell| {
        cell.stats.listeners.get(0).http.refused.iter().map(ringway::runtime::Counter::get).sum()
    };
    assert_eq!(served.sum(refused), 9);
}

#[test]
fn a_client_that_waits_for_leave_gets_it_or_an_answer() {
    let served = web("", FIXED);
    let mut client = Client::new(served.address());
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    assert_eq!(client.head().status, 100);
    client.send("ok");
    assert_eq!(client.answer().text(), "ok");
    // Nobody reads the body: the client is answered, and not told to send it.
    let refused =
        "POST /fixed HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let answer = client.ask(refused);
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn redirects_are_made_of_the_request_and_never_lead_elsewhere() {
    let served = web("", FIXED);
    let mut client = Client::new(served.address());
    let moved = client.get("/moved?a=b");
    let location = moved.field("location").map(str::to_owned);
    assert_eq!((moved.status, location.as_deref()), (308, Some("https://a.example/new?a=b")));
    let mut other = Client::new(served.address());
    assert_eq!(other.get("/up//evil.example").field("location"), Some("/up//evil.example"));
}

#[test]
fn waits_for_a_client_end_in_time_and_are_counted_by_name() {
    let keys =
        "head_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nkeepalive_timeout = \"300ms\"\n";
    let served = web(keys, FIXED);
    let mut slow_head = Client::new(served.address());
    slow_head.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(slow_head.answer().status, 408);
    assert!(slow_head.is_closed());
    let mut idle = Client::new(served.address());
    assert_eq!(idle.get("/fixed").status, 200);
    assert!(idle.is_closed());
    let mut slow_body = Client::new(served.address());
    slow_body.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na");
    slow_body.head();
    let mut rest = Vec::new();
    let _cut = slow_body.0.read_to_end(&mut rest);
    for reason in [CloseReason::HeadTimeout, CloseReason::IdleTimeout, CloseReason::BodyTimeout] {
        wait_until(reason.name(), || served.closed(reason) == 1);
    }
}

#[test]
fn the_number_of_requests_of_a_connection_is_limited() {
    let served = web("keepalive_requests = 2\n", FIXED);
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/fixed").field("connection"), None);
    assert_eq!(client.get("/fixed").field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_connection_that_is_old_gets_no_further_requests() {
    let served = web("keepalive_max_age = \"1ms\"\n", FIXED);
    let mut client = Client::new(served.address());
    while client.get("/fixed").field("connection").is_none() {}
    assert!(client.is_closed());
    let aged = || served.sum(|cell| cell.stats.listeners.get(0).http.aged.get());
    assert_eq!(aged(), 1);
}

#[test]
fn a_client_that_half_closes_gets_its_answers() {
    let served = web("", FIXED);
    let mut client = Client::new(served.address());
    client.send("GET /fixed HTTP/1.1\r\nHost: a\r\n\r\nGET /fixed HTTP/1.1\r\nHost: a\r\n\r\n");
    client.0.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!((client.answer().status, client.answer().status), (200, 200));
    assert!(client.is_closed());
}

#[test]
fn who_may_not_ask_is_told_so() {
    let routes = "[[listener.route]]\npath = \"/none\"\nrespond = \"x\"\ndeny = [\"127.0.0.0/8\"]\n\
        [[listener.route]]\npath = \"/few\"\nrespond = \"x\"\n\
        rate_limit = { rate = 1, burst = 2 }\n\
        [[listener.route]]\npath = \"/secret\"\nrespond = \"x\"\n[listener.route.auth]\n\
        realm = \"the cellar\"\nusers = { ann = \
        \"$2b$04$abcdefghijklmnopqrstuuS9t7yQVvGfJ3vGf7X0lPwxcVh2uwjVO\" }\n";
    let served = web("source_connections_max = 3\n", routes);
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/none").status, 403);
    let few: Vec<u16> = (0..3).map(|_| client.get("/few").status).collect();
    assert_eq!(few, [200, 200, 429]);
    let secret = client.get("/secret");
    assert_eq!(secret.status, 401);
    let challenge = secret.field("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic realm=\"the cellar\""), "{challenge}");
    // ann:wrong
    let wrong = "GET /secret HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOndyb25n\r\n\r\n";
    assert_eq!(client.ask(wrong).status, 401);
    let mut others: Vec<Client> = (0..2).map(|_| Client::new(served.address())).collect();
    assert!(others.iter_mut().all(|client| client.get("/few").status == 429));
    assert!(Client::new(served.address()).is_closed(), "the fourth of one source");
    wait_until("counted", || served.closed(CloseReason::TooManyOfSource) == 1);
}

#[test]
fn limits_of_a_source_hold_for_all_workers_together() {
    for workers in [1, 2, 8] {
        let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
            source_connections_max = 40\n[[listener.route]]\nrespond = \"x\"\n\
            rate_limit = { rate = 1, burst = 3 }\n";
        let served = Served::new(&[&runtime(workers), NO_ADMIN, listener].concat());
        let begin = ringway::runtime::clock::now();
        let mut clients: Vec<Client> = (0..40).map(|_| Client::new(served.address())).collect();
        let mut allowed = 0;
        for _ in 0..3 {
            let statuses = clients.iter_mut().map(|client| client.get("/").status);
            allowed += statuses.filter(|status| *status == 200).count() as u64;
        }
        let most = 3 + begin.elapsed().as_secs();
        assert!((3..=most).contains(&allowed), "{workers} workers: {allowed} of {most}");
        let cells = served.running().workers().cells();
        let at_work = cells.iter().filter(|cell| cell.active.get() > 0).count();
        assert!(workers == 1 || at_work > 1, "{at_work} of {workers} workers");
        // Others of the same source are too many, whoever gets them, until one goes.
        (0..8).for_each(|_| assert!(Client::new(served.address()).is_closed(), "{workers}"));
        drop(clients.pop());
        wait_until("one has gone", || {
            cells.iter().map(|cell| cell.active.get()).sum::<u64>() == 39
        });
        assert!([200, 429].contains(&Client::new(served.address()).get("/").status));
    }
}

#[test]
fn who_guesses_passwords_is_waited_for_by_nobody() {
    // Hashes that take long: 100,000 rounds.
    let users = "users = { ann = \"$6$rounds=100000$saltsalt$eI8uFKzDJu4aZkXBNDYdZQyUCOBGxrtZ\
        tDkUHTJRgVnBTo3Nv8OwYrWSAsiB1ihqmGRDdBqt9B2dgQGnTZkbU0\" }\n";
    let folder = Folder::new();
    let words = "words and more words, ".repeat(2_000);
    std::fs::write(folder.path().join("words.txt"), words).unwrap();
    let routes = format!(
        "[[listener.route]]\npath = \"/secret\"\nrespond = \"x\"\n[listener.route.auth]\n{users}\
         [[listener.route]]\nfiles = \"{}\"\ncompress = true\n",
        folder.path().display()
    );
    let served = web("", &routes);
    let guess = |number: u32| {
        let given = STANDARD.encode(format!("ann:{number:05}").as_bytes());
        format!("GET /secret HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {given}\r\n\r\n")
    };
    let mut guessers: Vec<Client> = (0..200)
        .map(|number| {
            let mut client = Client::new(served.address());
            client.send(&guess(number));
            client
        })
        .collect();
    // What is compressed elsewhere does not wait behind them.
    let mut client = Client::new(served.address());
    let ask = "GET /words.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    assert_eq!(client.ask(ask).field("content-encoding"), Some("gzip"));
    let statuses: Vec<u16> = guessers.iter_mut().map(|client| client.answer().status).collect();
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 503).count() > 100, "{statuses:?}");
    // When all are over, there is room again.
    assert_eq!(Client::new(served.address()).ask(&guess(300)).status, 401);
    // Those that nobody waits for are given back as well.
    for number in 400..440 {
        Client::new(served.address()).send(&guess(number));
    }
    wait_until("they are not checked", || {
        Client::new(served.address()).ask(&guess(500)).status == 401
    });
}

#[test]
fn many_requests_with_one_right_password_share_a_check() {
    // The password is `secret`; 50,000 rounds.
    let users = "users = { ann = \"$6$rounds=50000$saltsalt$7gbR05y.uvOwUDejqr39kOFo1./Wba9Zb\
        uMT/8YAvmpCrjGpTmLDweAcoz8p43lkh2KyaW53DuTKzn3OEt5wb.\" }\n";
    let routes = format!("[[listener.route]]\nrespond = \"x\"\n[listener.route.auth]\n{users}");
    let served = web("", &routes);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOnNlY3JldA==\r\n\r\n";
    let mut clients: Vec<Client> = (0..40).map(|_| Client::new(served.address())).collect();
    clients.iter_mut().for_each(|client| client.send(request));
    // The one that came first need not stay.
    drop(clients.remove(0));
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.answer().status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[test]
fn a_drain_lets_requests_end_and_closes_what_is_idle() {
    let served = web("", FIXED);
    let mut idle = Client::new(served.address());
    assert_eq!(idle.get("/fixed").status, 200);
    let mut busy = Client::new(served.address());
    busy.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(busy.head().status, 200);
    served.running().drain();
    assert!(idle.is_closed());
    busy.send("cd");
    let mut body = [0; 4];
    busy.0.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"abcd");
    assert!(busy.is_closed());
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn pages_for_people_need_nothing_from_elsewhere() {
    let folder = Folder::new();
    folder.file("photo <1>.jpg", &"x".repeat(3000));
    let routes = format!(
        "[[listener.route]]\nname = \"page\"\npath = \"/\"\nstatus_page = true\n\
         [[listener.route]]\nname = \"echo\"\npath = \"/echo\"\necho = true\n\
         [[listener.route]]\npath_prefix = \"/files/\"\nprefix_rewrite = \"/\"\n\
         files = \"{}\"\nlisting = true\n",
        folder.path().display()
    );
    let served = web("", &routes);
    let mut client = Client::new(served.address());
    let address = served.address();
    let line = format!("<code>curl -d hello http://{address}/echo</code>");
    for (path, status, there) in [
        ("/", 200, line.as_str()),
        ("/files/", 200, "photo &lt;1&gt;.jpg</a></td><td>2.9 KiB</td>"),
        ("/nothing", 404, "<h1>404 Not Found</h1>"),
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, status, "{path}");
        let policy = answer.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let page = answer.text();
        assert!(page.contains(there), "{page}");
        assert!(page.contains("prefers-color-scheme:dark") && page.contains("viewport"));
        for gone in ["<script", "src=", "@import", "url(", "<td></td>", "style=", "onclick"] {
            assert!(!page.contains(gone), "{gone} is in {page}");
        }
    }
    // The page itself was asked for on this connection.
    let page = client.get("/");
    assert!(page.text().contains("1 open of 1, "), "{}", page.text());
    let worker = "<b>worker 0</b> <small>1 open</small> <small class=\"end\">busy ";
    assert!(page.text().contains(worker), "{}", page.text());
}
