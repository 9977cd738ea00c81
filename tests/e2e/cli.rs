//! The command line: every verb, and what is said when something is wrong.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::pki::Pki;
use crate::support::*;

fn ringway(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_version_completions_and_manual_are_printed() {
    for (args, word) in [
        (&["--help"][..], "Usage: ringway"),
        (&["serve", "--help"], "--config"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completions", "bash"], "_ringway"),
        (&["completions", "zsh"], "#compdef ringway"),
        (&["man"], ".TH"),
        (&["man"], "tls\\-key\\-log"),
        (&["man"], "BENCH COMPARE"),
    ] {
        let output = ringway(args);
        assert!(output.status.success(), "{args:?}");
        assert!(text(&output.stdout).contains(word), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [&["serve", "--nonsense"][..], &["nothing"], &["check"]] {
        let output = ringway(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains("Usage") || !output.stderr.is_empty());
    }
}

#[test]
fn check_prints_a_budget_and_warns_where_the_machine_allows_less() {
    let folder = Folder::new();
    let config = format!(
        "{NO_ADMIN}[runtime]\nworkers = 1\n[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
         protocol = \"echo\"\nmax_connections = 10000000\n"
    );
    let file = folder.file("a.toml", &config).display().to_string();
    let output = ringway(&["check", "--budget", "--config", &file]);
    let out = text(&output.stdout);
    assert!(output.status.success() && out.contains("listener web"), "{out}");
    assert!(out.contains("max_connections 10000000"), "{out}");
    let warned = text(&output.stderr);
    assert!(warned.contains("RLIMIT_NOFILE") && warned.contains("listener web"), "{warned}");
}

#[test]
fn import_translates_and_tells_what_it_does_not() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let main = "http {\n  include conf.d/*.conf;\n}\n";
    let main = folder.file("nginx.conf", main).display().to_string();
    folder.file(
        "conf.d/a.conf",
        "server {\n  listen 127.0.0.1:8080;\n  image_filter resize 1 1;\n  location / { return 200 hello; }\n}\n",
    );
    let output = ringway(&["import", "nginx", &main]);
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(out.contains("respond = \"hello\"") && out.contains("127.0.0.1:8080"), "{out}");
    assert!(told.contains("a.conf:3: image_filter"), "{told}");
    ringway::config::parse("a.toml", &out).unwrap();
    let target = folder.path().join("out.toml").display().to_string();
    let to_file = || ringway(&["import", "nginx", &main, "--output", &target]);
    assert!(to_file().status.success());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), out);
    let again = to_file();
    assert!(!again.status.success() && text(&again.stderr).contains("out.toml"));
    assert!(!ringway(&["import", "nginx", &main, "--strict"]).status.success());
    let proxy = "frontend a\n  bind :80\n  default_backend b\nbackend b\n  server s 127.0.0.1:1\n";
    let proxy = folder.file("haproxy.cfg", proxy).display().to_string();
    assert!(text(&ringway(&["import", "haproxy", &proxy]).stdout).contains("[upstream.b]"));
    let wrong = folder.file("wrong.conf", "http {").display().to_string();
    let output = ringway(&["import", "nginx", &wrong]);
    assert!(!output.status.success() && text(&output.stderr).contains("wrong.conf:1"));
}

#[test]
fn check_tells_good_from_bad() {
    let folder = Folder::new();
    let issuers = crate::pki::Pki::new().ca;
    let issuers = folder.file("issuers.pem", &issuers).display().to_string();
    // The files of certificates are read, too.
    folder.file("users", "");
    std::fs::create_dir(folder.path().join("www")).unwrap();
    let here = folder.path().display().to_string();
    let text_of_all = include_str!("../../docs/ringway.toml")
        .replace("/etc/ringway/users", &format!("{here}/users"))
        .replace("\"/srv/", &format!("\"{here}/"))
        .replace("[\"/etc/ringway/example.pem\"]", "\"self_signed\"")
        .replace("[\"/etc/ringway/example.key\"]", "\"self_signed\"")
        .replace("/etc/ringway/clients.pem", &issuers)
        .replace("[\"/etc/ringway/admin.pem\"]", "\"self_signed\"")
        .replace("[\"/etc/ringway/admin.key\"]", "\"self_signed\"")
        // No program adds that here.
        .replace("service = \"handler\"", "service = \"echo\"")
        .replace("handler = \"chat\"\n", "");
    let good = folder.file("good.toml", &text_of_all);
    let output = ringway(&["check", "--config", good.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("good"));
    let printed = ringway(&["check", "--print", "--config", good.to_str().unwrap()]);
    ringway::config::parse("printed", &text(&printed.stdout)).unwrap();
    let bad = "[runtime]\nworkers = 0\nwrkers = 1\n[[listener]]\nname = \"x\"\n";
    let bad = folder.file("bad.toml", bad);
    let output = ringway(&["check", "--config", bad.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    for word in ["bad.toml:2:11", "bad.toml:3:1", "wrkers", "listen", "protocol"] {
        assert!(errors.contains(word), "{word}: {errors}");
    }
    let output = ringway(&["check", "--config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/no/such/file"));
}

/// The good configuration of the tests of `check`: what it names is relative to its folder.
const INSPECTED: &str = r#"
[admin]
enabled = false
[[listener]]
name = "web"
listen = "127.0.0.1:1"
protocol = "http"
[listener.access_log]
path = "access.log"
[[listener.route]]
name = "files"
path_prefix = "/files"
files = "www"
[listener.route.auth]
users_file = "users"
[[listener.route]]
name = "rest"
proxy = "u"
[listener.tls]
certificate = ["server.pem"]
key = ["server.key"]
[[listener]]
name = "frames"
listen = "127.0.0.1:2"
protocol = "frame"
files = "www"
[upstream.u]
servers = "127.0.0.1:3"
[upstream.u.tls]
ca = "ca.pem"
"#;

fn inspected(folder: &Folder, text: &str) -> Output {
    let file = folder.file("ringway.toml", text);
    ringway(&["check", "--config", file.to_str().unwrap()])
}

fn inspection_folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    folder.file("users", "alice:$2b$04$abcdefghijklmnopqrstuuxVdlvNrTUBIBqCGd7DEvyZoS2Wxpl1a\n");
    let made = ringway(&["cert", "localhost", "--out", folder.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    folder
}

#[test]
fn a_handler_that_the_program_does_not_have_is_refused() {
    let folder = Folder::new();
    let of = |name: &str| {
        format!(
            "admin.enabled = false\n[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\n\
             protocol = \"http\"\n[[listener.route]]\nhandler = \"{name}\"\n"
        )
    };
    assert!(inspected(&folder, &of("demo")).status.success());
    let output = inspected(&folder, &of("mine"));
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(
        errors.contains("toml:7:11") && errors.contains("there is no handler `mine`"),
        "{errors}"
    );
    assert!(errors.contains("name one that this program has: demo"), "{errors}");
}

#[test]
fn check_refuses_what_a_start_would_with_the_place_of_each_key() {
    let folder = inspection_folder();
    let good = inspected(&folder, INSPECTED);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert!(!folder.path().join("access.log").exists(), "nothing is created");
    folder.file("weak", "alice:{SHA}x\n");
    folder.file("garbage.pem", "no certificate\n");
    let bad = INSPECTED
        .replace("\"www\"", "\"none\"")
        .replace("\"users\"", "\"weak\"")
        .replace("\"access.log\"", "\"none/access.log\"")
        .replace("[\"server.pem\"]", "[\"none.pem\", \"garbage.pem\"]")
        .replace("[\"server.key\"]", "[\"none.key\", \"server.key\"]")
        .replace("\"ca.pem\"", "\"none.pem\"")
        .replace("\"127.0.0.1:2\"", "\"unix:/no/such/folder/socket\"");
    let output = inspected(&folder, &bad);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    for place in [
        "toml:9:8",
        "toml:13:9",
        "toml:15:14",
        "toml:20:16",
        "toml:20:28",
        "toml:21:8",
        "toml:24:10",
        "toml:26:9",
        "toml:30:6",
    ] {
        assert!(errors.contains(place), "{place}: {errors}");
    }
    assert!(errors.contains("9 mistakes in ") && errors.contains("SHA-1"), "{errors}");
    let file = folder.path().join("ringway.toml");
    let served = ringway(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(served.status.code(), Some(1));
    assert!(text(&served.stderr).contains("9 mistakes in "), "{}", text(&served.stderr));
}

#[test]
fn check_tells_all_that_is_wrong_with_tls_at_once() {
    let folder = inspection_folder();
    folder.file("empty.pem", "");
    let all = INSPECTED
        .replace(
            "key = [\"server.key\"]\n",
            "key = [\"server.key\"]\nclient_auth = \"required\"\n\
             client_ca = \"empty.pem\"\nclient_crl = \"ca.pem\"\nticket_keys = [\"users\"]\n",
        )
        .replace(
            "ca = \"ca.pem\"\n",
            "ca = \"empty.pem\"\ncertificate = \"server.pem\"\nkey = \"ca.key\"\n",
        );
    let output = inspected(&folder, &all);
    let errors = text(&output.stderr);
    for place in ["toml:23:13", "toml:24:14", "toml:25:16", "toml:34:6", "toml:35:15"] {
        assert!(errors.contains(place), "{place}: {errors}");
    }
    assert!(errors.contains("5 mistakes in "), "{errors}");
}

#[test]
fn check_warns_of_certificates_that_end_and_of_issuers_that_nothing_asks_for() {
    let folder = inspection_folder();
    let new = folder.path().join("new");
    let made = ringway(&["cert", "localhost", "--out", new.to_str().unwrap(), "--days", "5"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let pki = Pki::new();
    let (chain, key) =
        pki.write_with("old", &["a"], |old| old.not_after = rcgen::date_time_ymd(2001, 1, 1));
    folder.file("old.pem", &chain);
    folder.file("old.key", &key);
    let odd = INSPECTED
        .replace("[\"server.pem\"]", "[\"new/server.pem\", \"old.pem\"]")
        .replace("[\"server.key\"]", "[\"new/server.key\", \"old.key\"]\nclient_ca = \"ca.pem\"");
    let output = inspected(&folder, &odd);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for part in
        ["toml:20:16", "expires in ", "toml:20:34", "has expired", "toml:22:13", "no effect"]
    {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(errors.contains("3 warnings"), "{errors}");
}

#[test]
fn warnings_of_check_are_errors_with_strict() {
    let folder = inspection_folder();
    let odd = format!("{INSPECTED}[upstream.unused]\nservers = \"does-not-exist.invalid:80\"\n");
    let output = inspected(&folder, &odd);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    for part in ["no listener uses", "toml:31:11", "does not resolve", "toml:32:11", "2 warnings"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(text(&output.stdout).contains("2 warnings"));
    let file = folder.path().join("ringway.toml");
    let strict = ringway(&["check", "--strict", "--config", file.to_str().unwrap()]);
    assert_eq!(strict.status.code(), Some(1), "{}", text(&strict.stderr));
    let good = inspected(&folder, INSPECTED);
    assert!(good.status.success());
    let strict = ringway(&["check", "--strict", "--config", file.to_str().unwrap()]);
    assert!(strict.status.success(), "{}", text(&strict.stderr));
}

#[test]
fn certificates_go_to_a_new_folder_and_an_issuer_signs_again() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = ringway(&["cert", "localhost", "--out", &path("a/b")]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    // The program is not on the search path, and is called as it was.
    assert!(text(&made.stdout).contains(&format!("{BINARY} cert NAME --ca ")));
    let again = ["cert", "example.com", "--ca", &path("a/b"), "--out", &path("c")];
    let made = ringway(&again);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let names = std::fs::read_dir(path("c")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["server.key", "server.pem"]);
    let taken = ringway(&again);
    assert_eq!(taken.status.code(), Some(1));
    assert!(text(&taken.stderr).contains("is there already"));
    let none = ringway(&["cert", "a", "--ca", &path("c"), "--out", &path("d")]);
    assert!(text(&none.stderr).contains("ca.pem"), "{}", text(&none.stderr));
}

#[test]
fn a_configuration_is_read_from_standard_input() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    let config = "[admin]\nenabled = false\n[[listener]]\nname = \"a\"\nprotocol = \"http\"\n\
        listen = \"127.0.0.1:1\"\n[[listener.route]]\nfiles = \"www\"\n";
    for (config, code, place) in
        [(config.to_owned(), 0, "good"), (config.replace("www", "none"), 1, "standard input:8:9")]
    {
        let mut child = Command::new(BINARY)
            .args(["check", "--config", "-"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(place), "{told}");
    }
}

#[test]
fn switches_serve_without_an_admin_interface_and_tell_where_on_standard_error() {
    let folder = Folder::new();
    folder.file("hello.txt", "hello");
    let mut command = Command::new(BINARY);
    command.args(["serve", "--admin", "off", "--listen", "127.0.0.1:0", "--log-format", "text"]);
    command.arg("--files").arg(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("try: ")).unwrap();
    let address = line.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    let answer = crate::admin::get(address, "GET /hello.txt");
    assert!(answer.ends_with("hello"), "{answer}");
    let rest = lines.next().unwrap();
    assert!(rest.starts_with("Stop it"), "nothing else listens: {rest}");
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
}

#[test]
fn a_port_that_is_taken_names_the_switch_for_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, switch) in [
        (["--files", "/", "--listen", &taken, "--admin", "off"], "--listen IP:PORT"),
        (["--proxy", ":1", "--listen", "127.0.0.1:0", "--admin", &taken], "--admin IP:PORT"),
    ] {
        let output = ringway(&[&["serve"], &args[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        let errors = text(&output.stderr);
        assert!(errors.contains(&taken) && errors.contains(switch), "{errors}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::new();
    for config in [
        format!(
            "[admin]\nenabled = false\n[[listener]]\nname = \"e\"\nprotocol = \"echo\"\nlisten = \"{address}\"\n"
        ),
        format!(
            "[admin]\nlisten = \"{address}\"\n[[listener]]\nname = \"e\"\nprotocol = \"echo\"\nlisten = \"127.0.0.1:0\"\n"
        ),
    ] {
        let file = folder.file("taken.toml", &config);
        let output = ringway(&["serve", "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(&address.to_string()), "{}", text(&output.stderr));
    }
}

#[test]
fn doctor_lists_what_is_used() {
    let output = ringway(&["doctor"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}{}", text(&output.stderr));
    for word in ["kernel", "receive, multishot", "splice", "ulimit -l", "ring flags"] {
        assert!(table.contains(word), "{word}: {table}");
    }
}

#[test]
fn logs_are_json_when_asked_for() {
    let to = upstream(&[echo_server()], "");
    let access = "[log]\naccess = true\nformat = \"json\"\n";
    let program = Program::serve(&[&runtime(1), NO_ADMIN, access, &proxy(""), &to].concat());
    assert_eq!(exchange(connect(program.addresses[0]), b"hello".to_vec()), b"hello");
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, errors) = program.wait();
    assert!(status.success(), "{errors}");
    let access = errors.lines().find(|line| line.contains("\"access\"")).unwrap();
    for part in
        ["\"received\":5", "\"sent\":5", "\"reason\":\"finished\"", "\"client\":\"127.0.0.1:"]
    {
        assert!(access.contains(part), "{part}: {access}");
    }
    assert!(errors.lines().all(|line| line.starts_with('{')), "{errors}");
}

#[test]
fn check_refuses_tokens_that_a_start_would_refuse_and_repeats_none() {
    let folder = Folder::new();
    let echo = "[[listener]]\nname = \"t\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"echo\"\n";
    let config = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"tokens\"\n{echo}");
    let config = folder.file("ringway.toml", &config);
    let config = config.to_str().unwrap();
    for (tokens, why) in [
        (None, "No such file"),
        (Some(""), "there is no token in it"),
        (Some("hush-hush"), "line 1: a token has 16 to 256 characters, got 9"),
        (Some("hush-hush-hush-hush"), ""),
    ] {
        if let Some(tokens) = tokens {
            folder.file("tokens", tokens);
        }
        let output = ringway(&["check", "--config", config]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.success(), why.is_empty(), "{errors}");
        assert!(errors.contains(why) && !errors.contains("hush"), "{errors}");
        if !why.is_empty() {
            assert!(errors.contains("ringway.toml:3:14") && errors.contains("tokens"), "{errors}");
            let start = ringway(&["serve", "--config", config]);
            assert_eq!(start.status.code(), Some(1));
            assert!(text(&start.stderr).contains(why), "{}", text(&start.stderr));
        }
    }
}
