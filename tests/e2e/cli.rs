//! The command line: every verb, and what is said when something is wrong.

use std::net::TcpListener;
use std::process::{Command, Output};

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
        .replace("[\"/etc/ringway/admin.key\"]", "\"self_signed\"");
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
        .replace("\"ca.pem\"", "\"none.pem\"");
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
        "toml:26:9",
        "toml:30:6",
    ] {
        assert!(errors.contains(place), "{place}: {errors}");
    }
    assert!(errors.contains("8 mistakes in ") && errors.contains("SHA-1"), "{errors}");
    let file = folder.path().join("ringway.toml");
    let served = ringway(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(served.status.code(), Some(1));
    assert!(text(&served.stderr).contains("8 mistakes in "), "{}", text(&served.stderr));
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
