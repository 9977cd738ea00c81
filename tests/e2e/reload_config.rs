//! The configuration is read again, by a signal, a request, or as its file has changed; one that is
//! wrong changes nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use nix::sys::signal::Signal;
use ringway::server::{ConfigSource, Reread, StartOptions};

use crate::support::*;

/// A client of HTTP on one connection.
pub(crate) struct Http<S = TcpStream>(pub(crate) S);

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(connect(address))
    }
}

impl<S: Read + Write> Http<S> {
    pub(crate) fn get(&mut self, path: &str) -> (String, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer()
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// The head and the body of the next answer.
    pub(crate) fn answer(&mut self) -> (String, String) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                other => panic!("{other:?} after {}", String::from_utf8_lossy(&head)),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Whether the connection ends, and nothing comes before.
    pub(crate) fn ends(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof
            ),
        }
    }
}

/// A listener of HTTP at a port of the kernel's choice.
pub(crate) fn web(name: &str, rest: &str) -> String {
    format!("[[listener]]\nname = '{name}'\nlisten = '127.0.0.1:0'\nprotocol = 'http'\n{rest}\n")
}

/// A route that answers all.
pub(crate) fn respond(text: &str) -> String {
    format!("[[listener.route]]\nrespond = '{text}'\n")
}

/// A server of HTTP on kept connections that always says the same.
pub(crate) fn answering(body: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        loop {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    Ok(_) | Err(_) => return,
                }
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

const TOKEN: &str = "0123456789abcdef-of-operators";

/// The runtime, and an admin interface with a token.
fn head(folder: &Folder, keys: &str) -> String {
    let tokens = folder.file("tokens", TOKEN);
    let admin = format!("[admin]\nlisten = '127.0.0.1:0'\ntoken_file = '{}'\n", tokens.display());
    [&runtime(2), keys, "\n", &*admin].concat()
}

/// The program with a page of its own, and where it has its admin interface and the page.
fn program(config: &str) -> (Program, SocketAddr, SocketAddr) {
    let program = Program::serve(config);
    let (page, admin) = (program.addresses[0], *program.addresses.last().unwrap());
    (program, page, admin)
}

fn page(address: SocketAddr) -> String {
    Http::new(address).get("/").1
}

fn post(admin: SocketAddr, token: &str) -> (String, String) {
    let mut client = Http::new(admin);
    client.send(&format!(
        "POST /reload HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n\r\n"
    ));
    client.answer()
}

/// A sample of the metrics.
fn sample(admin: SocketAddr, name: &str) -> String {
    let text = crate::admin::get(admin, "GET /metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_the_next_one_is_taken() {
    let folder = Folder::new();
    let head = head(&folder, "");
    let (program, address, admin) = program(&[&*head, &web("web", &respond("first"))].concat());
    let mut kept = Http::new(address);
    assert_eq!(kept.get("/").1, "first");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = holder.local_addr().unwrap().to_string();
    let descriptors = program.descriptors();
    let good = web("web", &respond("next")) + &web("new", &respond("new"));
    let of = |rest: &str| [&*head, &good, rest].concat();
    let echo = |listen: &str, more: &str| {
        format!("[[listener]]\nname = 'e'\nlisten = '{listen}'\nprotocol = 'echo'\n{more}\n")
    };
    let tls = "[listener.tls]\ncertificate = '/none.pem'\nkey = '/none.key'";
    let name = "[upstream.u]\nservers = ['no-such-host.invalid:80']\n";
    let files = "[[listener]]\nname = 'f'\nlisten = '127.0.0.1:0'\nprotocol = 'http'\n\
                 [[listener.route]]\nfiles = '/no/such/folder'\n";
    let to_name = "[[listener]]\nname = 'f'\nlisten = '127.0.0.1:0'\nprotocol = 'tcp'\n\
                   upstream = 'u'\n";
    let bad = [
        (of("[[[\n"), "ringway.toml"),
        (of("unknown = 1\n"), "unknown"),
        (of(&echo("127.0.0.1:0", tls)), "/none.pem"),
        (of(&echo(&in_use, "")), &*in_use),
        (of(files), "/no/such/folder"),
        (of(&format!("{to_name}{name}")), "no-such-host.invalid"),
        (String::new(), "listener"),
    ];
    for (at, (text, why)) in bad.iter().enumerate() {
        program.write(text);
        let (head, body) = post(admin, TOKEN);
        assert!(head.starts_with("HTTP/1.1 422"), "{head}{body}");
        assert!(body.contains(why), "{why}: {body}");
        assert_eq!((kept.get("/").1.as_str(), page(address).as_str()), ("first", "first"));
        let failed = (at + 1).to_string();
        assert_eq!(sample(admin, "ringway_reloads_total{result=\"failed\"}"), failed);
        assert_eq!(sample(admin, "ringway_config_last_reload_success"), "0");
        assert_eq!(sample(admin, "ringway_config_generation"), "1");
    }
    wait_until("what was opened is closed", || program.descriptors() <= descriptors);
    program.write(&of(""));
    let (head, body) = post(admin, TOKEN);
    assert!(head.starts_with("HTTP/1.1 200") && body.contains("\"added\":[\"new\"]"), "{body}");
    assert_eq!((kept.get("/").1.as_str(), page(address).as_str()), ("next", "next"));
    for (name, value) in [
        ("ringway_reloads_total{result=\"reloaded\"}", "1"),
        ("ringway_config_last_reload_success", "1"),
        ("ringway_config_generation", "2"),
    ] {
        assert_eq!(sample(admin, name), value, "{name}");
    }
    let (_, body) = post(admin, TOKEN);
    assert!(body.contains("\"result\":\"unchanged\""), "{body}");
    program.signal(Signal::SIGTERM);
    let (status, log) = program.wait();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("not reloaded, nothing was changed").count(), bad.len(), "{log}");
    assert!(log.contains("the configuration is reloaded"), "{log}");
}

#[test]
fn a_reload_is_asked_for_by_a_signal_a_request_and_a_command() {
    let folder = Folder::new();
    let head = head(&folder, "");
    let of = |text: &str| [&*head, &web("web", &respond(text))].concat();
    let (program, address, admin) = program(&of("1"));
    for (token, status) in [("", "401"), ("a-token-that-is-not-in-the-file", "401")] {
        program.write(&of("2"));
        let (head, body) = post(admin, token);
        assert!(head.contains(status), "{head}{body}");
        assert_eq!(page(address), "1");
    }
    program.signal(Signal::SIGHUP);
    wait_until("the signal has reloaded", || page(address) == "2");
    program.write(&of("3"));
    assert!(post(admin, TOKEN).0.starts_with("HTTP/1.1 200"));
    assert_eq!(page(address), "3");
    let tokens = folder.path().join("tokens");
    let command = |json: &[&str]| {
        let out = Command::new(BINARY)
            .args(["reload", "--admin", &admin.to_string(), "--token-file"])
            .arg(&tokens)
            .args(json)
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8(text).unwrap())
    };
    program.write(&of("4"));
    let (status, text) = command(&[]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("reloaded: plan 4; ") && text.contains("listeners changed: web"));
    assert_eq!(page(address), "4");
    let (status, text) = command(&["--json"]);
    assert!(status == Some(0) && text.contains("\"unchanged\""), "{text}");
    program.write("[[listener]]\nname = 1\n");
    let (status, text) = command(&[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("422") && text.contains("ringway.toml:2:8"), "{text}");
    assert_eq!(page(address), "4");
    std::fs::remove_file(program.file()).unwrap();
    assert_eq!(command(&[]).0, Some(1));
    // A file of tokens of its own for the next one.
    let other = folder.file("other", "another-token-of-operators");
    program.write(&of("5").replace(tokens.to_str().unwrap(), other.to_str().unwrap()));
    assert!(post(admin, TOKEN).0.starts_with("HTTP/1.1 200"));
    assert!(post(admin, TOKEN).0.starts_with("HTTP/1.1 401"));
    assert!(post(admin, "another-token-of-operators").0.starts_with("HTTP/1.1 200"));
    assert_eq!(page(address), "5");
}

#[test]
fn a_watched_file_is_read_when_it_changes() {
    let folder = Folder::new();
    let head = head(&folder, "watch = true");
    let of = |text: &str| [&*head, &web("web", &respond(text))].concat();
    let (program, address, admin) = program(&of("1"));
    let holds = |text: &str| wait_until(text, || page(address) == text);
    program.write(&of("2"));
    holds("2");
    let failed = |count: &str| {
        wait_until("it is refused", || {
            sample(admin, "ringway_reloads_total{result=\"failed\"}") == count
        });
    };
    // A half, and then all of it.
    let whole = of("3");
    std::fs::write(program.file(), &whole[..whole.len() - 4]).unwrap();
    failed("1");
    assert_eq!(page(address), "2");
    std::fs::write(program.file(), &whole).unwrap();
    holds("3");
    std::fs::remove_file(program.file()).unwrap();
    failed("2");
    assert_eq!(page(address), "3");
    program.write(&of("4"));
    holds("4");
    // It says itself that it is watched no more.
    program.write(&of("5").replace("watch = true", ""));
    holds("5");
    program.write(&of("6"));
    program.signal(Signal::SIGHUP);
    holds("6");
    program.write(&of("7"));
    program.signal(Signal::SIGHUP);
    holds("7");
    assert_eq!(sample(admin, "ringway_config_generation"), "7");
}

#[test]
fn included_files_are_watched_and_texts_have_variables_of_the_environment() {
    let (folder, parts) = (Folder::new(), Folder::new());
    // Each is put there whole.
    let put = |name: &str, text: &str| {
        let new = parts.file("new", text);
        std::fs::rename(new, parts.path().join(name)).unwrap();
    };
    put("10.toml", &web("web", &respond("${RINGWAY_GREETING}-1")));
    let include = format!("include = \"{}/*.toml\"\n", parts.path().display());
    let config = [&*include, &*head(&folder, "watch = true")].concat();
    let mut command = Command::new(BINARY);
    let program = Program::start(&config, command.env("RINGWAY_GREETING", "hello"));
    let address = program.addresses[0];
    assert_eq!(page(address), "hello-1");
    put("10.toml", &web("web", &respond("${RINGWAY_GREETING}-2")));
    wait_until("the file is read again", || page(address) == "hello-2");
    // A further file of the pattern.
    put("20.toml", "[log]\naccess = \"loud\"\n");
    let admin = *program.addresses.last().unwrap();
    let reloaded = "ringway_reloads_total{result=\"reloaded\"}";
    let failed = "ringway_reloads_total{result=\"failed\"}";
    wait_until("the wrong file is told", || sample(admin, failed) == "1");
    put("20.toml", "[log]\naccess = true\n");
    put("10.toml", &web("web", &respond("${RINGWAY_NONE:-none}-3")));
    wait_until("both are read", || page(address) == "none-3");
    // What was not there at the start is looked at, too, written over in its place.
    put("30.toml", &web("second", &respond("${RINGWAY_NONE:-none}-4")));
    wait_until("it is read", || sample(admin, reloaded) == "3");
    std::fs::write(parts.path().join("30.toml"), web("second", &respond("5"))).unwrap();
    wait_until("it is read again", || sample(admin, reloaded) == "4");
}

#[test]
fn without_a_file_nothing_is_reloaded() {
    let folder = Folder::new();
    let config = [&*head(&folder, ""), &web("web", &respond("1"))].concat();
    let mut child = Command::new(BINARY)
        .args(["serve", "--config", "-", "--log-format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let mut next = |text: &str| loop {
        let line = lines.next().unwrap().unwrap();
        if line.contains(text) {
            return line;
        }
    };
    let line = next("\"admin\"");
    let admin = line.split('"').find_map(|word| word.parse::<SocketAddr>().ok()).unwrap();
    next("\"serving\"");
    let (head, body) = post(admin, TOKEN);
    assert!(head.starts_with("HTTP/1.1 409") && body.contains("standard input"), "{head}{body}");
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, Signal::SIGHUP).unwrap();
    next("not reloaded: there is no configuration file");
    nix::sys::signal::kill(id, Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn one_reload_is_under_way_at_a_time_and_none_while_the_server_ends() {
    let folder = Folder::new();
    let text = [&*head(&folder, ""), &web("web", &respond("1"))].concat();
    let (began, has_begun) = channel();
    let (go, may_go) = channel::<()>();
    let (may_go, own) = (std::sync::Mutex::new(may_go), text.clone());
    let source = ConfigSource::new(Vec::new, move || {
        began.send(()).unwrap();
        let _gone = may_go.lock().unwrap().recv_timeout(PATIENCE);
        let config = ringway::config::parse("test.toml", &own).unwrap();
        Ok(Reread { config, warnings: Vec::new() })
    });
    let options = StartOptions { source: Some(source), ..StartOptions::default() };
    let served = Arc::new(Served::with_options(&text, options));
    let admin = served.running().admin().unwrap();
    let first = std::thread::spawn(move || post(admin, TOKEN));
    has_begun.recv_timeout(PATIENCE).unwrap();
    let (head, body) = post(admin, TOKEN);
    assert!(head.starts_with("HTTP/1.1 409") && body.contains("another reload"), "{head}{body}");
    go.send(()).unwrap();
    assert!(first.join().unwrap().0.starts_with("HTTP/1.1 200"));
    // One that is under way when the server begins to end.
    let mut stays = Http::new(served.at("web"));
    stays.send("GET / HTTP/1.1\r\n");
    wait_until("it is accepted", || served.sum(|cell| cell.active.get()) == 1);
    let second = std::thread::spawn(move || post(admin, TOKEN));
    has_begun.recv_timeout(PATIENCE).unwrap();
    served.running().drain();
    wait_until("it drains", || crate::admin::get(admin, "GET /readyz").contains("503"));
    let (head, _) = post(admin, TOKEN);
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    go.send(()).unwrap();
    assert!(second.join().unwrap().0.starts_with("HTTP/1.1 503"));
    stays.send("Host: a\r\n\r\n");
    assert_eq!(stays.answer().1, "1");
}

#[test]
fn the_end_does_not_wait_for_a_reload_that_hangs() {
    let folder = Folder::new();
    let text = [&*head(&folder, ""), &web("web", &respond("1"))].concat();
    let (began, has_begun) = channel();
    let (go, may_go) = channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let source = ConfigSource::new(Vec::new, move || {
        began.send(()).unwrap();
        // For ever, as far as the server knows.
        let _gone = may_go.lock().unwrap().recv();
        Err("too late".to_owned())
    });
    let options = StartOptions { source: Some(source), ..StartOptions::default() };
    let served = Served::with_options(&text, options);
    let admin = served.running().admin().unwrap();
    let mut client = Http::new(admin);
    client.send(&format!(
        "POST /reload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ));
    has_begun.recv_timeout(PATIENCE).unwrap();
    let (done, is_done) = channel();
    std::thread::spawn(move || done.send(served.drain()));
    assert_eq!(is_done.recv_timeout(PATIENCE).unwrap().failed_workers, 0);
    drop(go);
}

#[test]
fn what_needs_a_restart_is_told_and_the_rest_is_changed() {
    let folder = Folder::new();
    let own = head(&folder, "");
    let (program, address, admin) = program(&[&*own, &web("web", &respond("1"))].concat());
    let changed = own
        .replace("workers = 2", "workers = 3")
        .replace("buffers = 64", "buffers = 128")
        .replace("[admin]\nlisten = '127.0.0.1:0'", "[admin]\nlisten = '127.0.0.1:1'");
    let log = "[log]\nlevel = 'debug'\nformat = 'json'\n";
    program.write(&[&*changed, log, &web("web", &respond("2"))].concat());
    for result in ["reloaded", "unchanged"] {
        let (_, body) = post(admin, TOKEN);
        for what in [
            &*format!("\"result\":\"{result}\""),
            "runtime: workers 2 -> 3",
            "runtime: buffers 64 -> 128",
            "admin: listen",
            "log: format",
        ] {
            assert!(body.contains(what), "{what}: {body}");
        }
        assert_eq!(page(address), "2");
    }
    assert!(crate::admin::get(admin, "GET /log").contains("debug"));
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    let names = threads.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    let workers = names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("worker-")));
    assert_eq!(workers.count(), 2);
}

#[test]
fn access_logs_change_and_one_that_is_gone_is_closed_with_all_its_lines() {
    let folder = Folder::new();
    let of = |name: Option<&str>, rest: &str| {
        let path = name.map(|name| folder.path().join(name).display().to_string());
        let log =
            path.map(|path| format!("access_log = {{ path = '{path}', format = 'common' }}\n"));
        let web = web("web", &(log.unwrap_or_default() + &respond(rest)));
        [&runtime(2), NO_ADMIN, &web].concat()
    };
    let program = Program::serve(&of(Some("one"), "1"));
    let address = program.addresses[0];
    let lines = |name: &str| {
        std::fs::read_to_string(folder.path().join(name)).unwrap_or_default().lines().count()
    };
    let threads = |name: &str| {
        let all = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
        let names =
            all.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|one| one.trim_end() == name).count()
    };
    let mut kept = Http::new(address);
    kept.get("/");
    let reload = |name: Option<&str>, rest: &str| {
        program.write(&of(name, rest));
        program.signal(Signal::SIGHUP);
        wait_until("it is reloaded", || page(address) == rest);
    };
    reload(Some("one"), "2");
    kept.get("/");
    wait_until("the same file goes on", || lines("one") >= 3);
    reload(Some("two"), "3");
    kept.get("/");
    wait_until("another file", || lines("two") >= 2);
    let old = lines("one");
    reload(None, "4");
    kept.get("/");
    let open = || {
        let all = std::fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap();
        let links = all.filter_map(|one| std::fs::read_link(one.ok()?.path()).ok());
        links.filter(|link| link.starts_with(folder.path())).count()
    };
    wait_until("nothing is open", || open() == 0);
    wait_until("the program's own log is left", || threads("log") == 1);
    assert_eq!((lines("one") >= old, lines("two") >= 2), (true, true));
}
