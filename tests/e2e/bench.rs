//! The load generator, on servers of every protocol and on such that behave badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::client::{HttpProtocol, Tls};
use ringway::load::options::LoadOptions;
use ringway::load::read::read_file;
use ringway::load::result::RunResult;
use ringway::load::run::{Progress, Stopper, run};
use ringway::load::schedule::Arrivals;
use ringway::net::tls::{ClientOptions, Roots};

use crate::pki::Pki;
use crate::support::*;

fn counted(url: &str, count: u64) -> LoadOptions {
    LoadOptions {
        connections: 4,
        count: Some(count),
        duration: None,
        interval: Duration::from_millis(100),
        ..LoadOptions::new(url.parse().unwrap())
    }
}

fn load(options: &LoadOptions) -> RunResult {
    run(options, &[], &Stopper::default(), |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// All requests were answered as they should.
fn assert_clean(result: &RunResult, count: u64) {
    let what = format!("{} {:?}", result.protocol, result.errors);
    assert_eq!((result.counts.sent, result.counts.completed), (count, count), "{what}");
    assert!(result.errors.is_empty() && result.counts.unfinished == 0, "{what}");
    assert_eq!(result.latency.total.summary().count, count, "{what}");
    let in_intervals = result.intervals.iter().map(|one| one.completed).sum::<u64>();
    assert_eq!(in_intervals, count, "{what}");
}

const LISTENERS: &str = r#"
[[listener]]
name = "tcp"
listen = "127.0.0.1:0"
protocol = "echo"
[[listener]]
name = "udp"
listen = "127.0.0.1:0"
protocol = "udp_echo"
[[listener]]
name = "frame"
listen = "127.0.0.1:0"
protocol = "frame"
[[listener]]
name = "web"
listen = "127.0.0.1:0"
protocol = "http"
[[listener.route]]
path = "/"
respond = "hello"
[[listener.route]]
path = "/echo"
echo = true
[[listener.route]]
path = "/none"
respond = "no"
status = 404
[[listener.route]]
path = "/ws"
[listener.route.websocket]
service = "echo"
[[listener.route]]
handler = "demo"
"#;

fn served() -> Served {
    Served::new(&[&runtime(2), "[admin]\nenabled = false\n", LISTENERS].concat())
}

#[test]
fn every_protocol_is_loaded_in_closed_and_open_loops() {
    let served = served();
    let [tcp, udp, frame, web] = ["tcp", "udp", "frame", "web"].map(|name| served.at(name));
    for (url, streams) in [
        (format!("tcp://{tcp}"), 4),
        (format!("udp://{udp}"), 1),
        (format!("frame://{frame}"), 8),
        (format!("http://{web}/"), 1),
        (format!("h2://{web}/"), 8),
        (format!("ws://{web}/ws"), 4),
        (format!("grpc://{web}/grpc.health.v1.Health/Check"), 4),
    ] {
        // Of gRPC: one empty message.
        let messages = vec![Vec::new()];
        let closed = LoadOptions { streams, threads: 2, messages, ..counted(&url, 300) };
        let result = load(&closed);
        assert_clean(&result, 300);
        assert!(result.latency.corrected.is_some() && result.latency.lateness.is_empty());
        assert_eq!(result.counts.connects, 4, "{url}");
        let arrivals = Some(Arrivals::Poisson { rate: 5000.0 });
        let open = LoadOptions { arrivals, ..closed };
        let result = load(&open);
        assert_clean(&result, 300);
        assert_eq!(result.latency.lateness.summary().count, 300, "{url}");
    }
}

#[test]
fn http_sends_what_is_asked_for_and_tells_statuses() {
    let served = served();
    let web = served.at("web");
    // A call that ends with a status is an error.
    let url = format!("grpc://{web}/grpc.health.v1.Health/None");
    let result = load(&LoadOptions { messages: vec![Vec::new()], ..counted(&url, 20) });
    assert_eq!((result.counts.completed, result.errors[0].count), (0, 20));
    assert!(result.errors[0].example.contains("unimplemented"), "{:?}", result.errors);
    for protocol in [HttpProtocol::Http1, HttpProtocol::Http2] {
        let body = bytes(1, 20_000);
        let options = LoadOptions {
            protocol,
            method: "POST".to_owned(),
            body: Some(body),
            ..counted(&format!("http://{web}/echo"), 50)
        };
        let result = load(&options);
        assert_clean(&result, 50);
        assert!(result.counts.bytes_sent > 1_000_000 && result.counts.bytes_received > 1_000_000);
        assert_eq!(result.statuses["200"], 50);
        // Three of four requests are for what is not there.
        let urls = [("/", 1), ("/none", 3)];
        let targets =
            urls.map(|(path, weight)| (format!("http://{web}{path}").parse().unwrap(), weight));
        let options = LoadOptions {
            protocol,
            targets: targets.to_vec(),
            ..counted(&format!("http://{web}/"), 400)
        };
        let result = load(&options);
        let (good, bad) = (result.statuses["200"], result.statuses["404"]);
        assert_eq!((good + bad, result.counts.completed), (400, good));
        assert!((250..350).contains(&bad), "{bad}");
        assert_eq!((&*result.errors[0].kind, result.errors[0].count), ("status", bad));
        assert!(result.errors[0].example.contains("404"));
    }
    let single = LoadOptions { keepalive: false, ..counted(&format!("http://{web}/"), 100) };
    let result = load(&single);
    assert_clean(&result, 100);
    assert_eq!(result.counts.connects, 100, "each request has a connection");
}

#[test]
fn tls_is_spoken_and_the_version_of_http_is_the_servers_choice() {
    let pki = Pki::new();
    let routes = "[[listener.route]]\nrespond = \"hello\"\n";
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let text = [&runtime(1), "[admin]\nenabled = false\n", listener, routes, &pki.listener_tls("")];
    let served = Served::new(&text.concat());
    let roots = Roots::Given(std::fs::read(pki.path("ca.pem")).unwrap());
    let tls = Tls::new(ClientOptions { roots, ..ClientOptions::default() }).unwrap();
    let tls = tls.with_server_name("localhost").unwrap();
    let url = format!("https://{}/", served.at("web"));
    for (protocol, told) in [(HttpProtocol::Auto, "HTTP/2"), (HttpProtocol::Http1, "HTTP/1.1")] {
        let options = LoadOptions { tls: Some(tls.clone()), protocol, ..counted(&url, 60) };
        let result = load(&options);
        assert_clean(&result, 60);
        assert_eq!(result.protocol, told);
        assert_eq!(result.latency.tls.summary().count, 4);
    }
    // A certificate that is not trusted is a reported error, and not a request.
    let options = LoadOptions {
        connections: 1,
        count: None,
        duration: Some(Duration::from_millis(100)),
        protocol: HttpProtocol::Http1,
        ..counted(&url, 1)
    };
    let result = load(&options);
    assert_eq!(result.counts.sent, 0);
    assert_eq!(result.errors[0].kind, "tls");
    assert!(result.errors[0].example.contains("certificate"), "{:?}", result.errors);
}

#[test]
fn servers_that_behave_badly_are_told_by_kind() {
    let closing = |answer: &'static [u8]| {
        serve(move |mut stream| {
            let _asked = stream.read(&mut [0; 1000]);
            let _sent = stream.write_all(answer);
        })
    };
    let head: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    for (address, kind) in [
        (nobody(), "connect"),
        (closing(b""), "closed"),
        (closing(head), "closed"),
        (closing(b"this is no answer\r\n\r\n"), "protocol"),
        (serve(|mut stream| drop(stream.read_to_end(&mut Vec::new()))), "timeout"),
    ] {
        let options = LoadOptions {
            connections: 2,
            count: None,
            duration: Some(Duration::from_millis(300)),
            timeout: Duration::from_millis(100),
            ..counted(&format!("http://{address}/"), 1)
        };
        let result = load(&options);
        assert_eq!(result.counts.completed, 0, "{kind}");
        assert!(result.errors.iter().any(|one| one.kind == kind), "{kind}: {:?}", result.errors);
        // A server that fails is not hammered.
        let errors = result.errors.iter().map(|one| one.count).sum::<u64>();
        assert!(errors < 1000, "{kind}: {errors}");
    }
}

#[test]
fn a_run_that_is_stopped_has_a_result() {
    let served = served();
    let options = LoadOptions {
        count: None,
        duration: Some(Duration::from_secs(600)),
        ..counted(&format!("tcp://{}", served.at("tcp")), 1)
    };
    let stopper = Stopper::default();
    let result = run(&options, &[], &stopper, |progress| {
        if let Progress::Measured { intervals, .. } = progress
            && intervals.len() >= 2
        {
            stopper.stop();
        }
    });
    let result = result.unwrap();
    assert!(result.counts.completed > 0 && result.seconds < 60.0, "{}", result.seconds);
    assert_eq!(result.latency.total.summary().count, result.counts.completed);
}

fn bench(args: &[&str]) -> std::process::Output {
    Command::new(BINARY).arg("bench").args(args).output().unwrap()
}

#[test]
fn the_verb_writes_all_reports_and_its_status_says_what_is_wrong() {
    let (served, folder) = (served(), Folder::new());
    let url = format!("http://{}/", served.at("web"));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let files =
        ["json", "csv", "hgrm", "log", "html"].map(|kind| (format!("--{kind}"), path(kind)));
    let mut args = vec![&*url, "-n", "200", "--interval", "100ms"];
    args.extend(files.iter().flat_map(|(switch, path)| [&**switch, &**path]));
    let output = bench(&args);
    assert!(output.status.success(), "{}", errors(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("p99") && printed.contains("closed loop"), "{printed}");
    let result = read_file(files[0].1.as_ref()).unwrap();
    assert_clean(&result, 200);
    for (_, path) in &files {
        assert!(std::fs::metadata(path).unwrap().len() > 100, "{path}");
    }
    for (args, status, word) in [
        (&[&*url, "-n", "50", "-q", "--fail-if", "p99<1000s"][..], 1, ""),
        (&[&*url, "-n", "50", "-q", "--fail-if", "p99>1000s"], 0, ""),
        (&[&*url, "-n", "50", "-q", "--fail-if", "p99>"], 2, "p99>"),
        (&[&*url, "-n", "50", "-q", "-s", "4"], 1, "HTTP/1.1 carries one request"),
        (&["nonsense"], 2, "begin with one of tcp://"),
        (&[], 2, "URL"),
        (&[&*url, "--rate", "0"], 2, "requests a second"),
        (&[&*url, "--ca", "x.pem"], 2, "TLS"),
    ] {
        let output = bench(args);
        assert_eq!(output.status.code(), Some(status), "{args:?} {}", errors(&output));
        assert!(errors(&output).contains(word), "{args:?}: {}", errors(&output));
    }
    let none = format!("{url}none");
    assert_eq!(bench(&[&none, "-n", "20", "-q"]).status.code(), Some(1), "errors are a failure");
    let allowed = bench(&[&none, "-n", "20", "-q", "--max-errors", "100%"]);
    assert!(allowed.status.success(), "{}", errors(&allowed));
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anybody_is_asked() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let address: SocketAddr = serve(|_| {
        ASKED.fetch_add(1, Ordering::Relaxed);
    });
    let output = bench(&[&format!("http://{address}/"), "--json", "/no/such/folder/run.json"]);
    assert_eq!(output.status.code(), Some(1));
    let told = errors(&output);
    assert!(told.contains("--json") && told.contains("/no/such/folder/run.json"), "{told}");
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
}

#[test]
fn ctrl_c_ends_with_a_report() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let child = Command::new(BINARY)
        .args(["bench", &url, "-c", "1", "-d", "10m", "-q", "--timeout", "9m"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It has asked, and waits for an answer.
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    stream.write_all(&[b'a'; 64]).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("stopped before its end"), "{printed} {}", errors(&output));
}

#[test]
fn a_report_of_a_running_server_has_its_routes_and_its_upstreams() {
    let folder = Folder::new();
    let behind = Served::new(&format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"behind\"\nlisten = \"127.0.0.1:0\"\n\
         protocol = \"http\"\nroute = [{{ respond = \"hello\" }}]\n",
        runtime(1)
    ));
    let front = format!(
        "{}[admin]\nlisten = \"127.0.0.1:0\"\n[[listener]]\nname = \"front\"\n\
         listen = \"127.0.0.1:0\"\nprotocol = \"http\"\nroute = [{{ path = \"/\", proxy = \"u\" }}]\n\
         [upstream.u]\nservers = [\"{}\"]\n",
        runtime(2),
        behind.at("behind")
    );
    let served = Served::new(&front);
    let admin = format!("http://{}", served.running().admin().unwrap());
    assert_clean(&load(&counted(&format!("http://{}/", served.at("front")), 200)), 200);
    let (json, html) = (folder.path().join("latency.json"), folder.path().join("latency.html"));
    let report = |args: &[&str]| Command::new(BINARY).arg("report").args(args).output().unwrap();
    let written = ["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let output = report(&[&[&*admin][..], &written].concat());
    assert!(output.status.success(), "{}", errors(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("since the start") && printed.contains("front route-1"), "{printed}");
    let read = |path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let found = read(&json);
    assert_eq!(found["routes"][0]["count"], 200, "{found}");
    let phases = found["upstreams"].as_array().unwrap().iter();
    let counts: Vec<_> = phases.map(|one| (one["phase"].clone(), one["count"].clone())).collect();
    assert!(counts.contains(&("total".into(), 200.into())), "{counts:?}");
    assert!(std::fs::read_to_string(&html).unwrap().contains("Upstream u"));
    // Of some time, it has no more than what came in it.
    let args = [&[&*admin, "--for", "200ms", "--interval", "100ms"][..], &written].concat();
    let output = report(&args);
    assert!(output.status.success(), "{}", errors(&output));
    let found = read(&json);
    assert_eq!(found["routes"].as_array().map(Vec::len), Some(0), "{found}");
    assert_eq!(found["intervals"].as_array().map(Vec::len), Some(2));
    let none = nobody().to_string();
    for (args, status, word) in [
        (&[&*format!("http://{}", served.at("front"))][..], 1, "not a Ringway admin interface"),
        (&[&*none], 1, "connect"),
        (&[&*admin, "--interval", "1s"], 2, "--for"),
        (&[&*admin, "--for", "1s", "--interval", "1ms"], 2, "at least 100ms"),
        (&[&*admin, "--html", "/no/such/page.html"], 1, "/no/such/page.html"),
    ] {
        let output = report(args);
        assert_eq!(output.status.code(), Some(status), "{args:?} {}", errors(&output));
        assert!(errors(&output).contains(word), "{args:?}: {}", errors(&output));
    }
}
