//! `ringway check --against-running`: a file against what runs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::pki::Pki;
use crate::support::*;

const TEXT: &str = r#"
[runtime]
workers = 1
pin = false
[admin]
listen = "127.0.0.1:0"
[[listener]]
name = "web"
listen = "127.0.0.1:0"
protocol = "http"
[[listener.route]]
name = "app"
proxy = "app"
[listener.route.auth]
users = { alice = "$2y$05$yT8vbxmcYzM2cBz0B0zO8eP9CI0cLdFAZLvyLhuNxdRDyzyOsY5dS" }
[upstream.app]
servers = ["127.0.0.1:1"]
"#;

/// What the verb says of a text, and its status.
fn check(folder: &Folder, text: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let file = folder.file("ringway.toml", text);
    let mut command = Command::new(BINARY);
    command.args(["check", "--config"]).arg(file).arg("--against-running").args(args);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_file_is_compared_with_what_runs() {
    let folder = Folder::new();
    let served = Served::new(TEXT);
    let url = format!("http://{}", served.running().admin().unwrap());
    let (status, out, errors) = check(&folder, TEXT, &[&url]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert!(out.contains("the same as what runs at http://127.0.0.1:"), "{out}");
    let other = TEXT
        .replace("workers = 1", "workers = 2")
        .replace("alice", "bob")
        .replace("\"127.0.0.1:1\"", "\"127.0.0.1:2\"")
        + "balance = \"ewma\"\n[[listener]]\nname = \"more\"\nlisten = \"127.0.0.1:0\"\n\
           protocol = \"echo\"\n";
    let (status, out, errors) = check(&folder, &other, &[&url]);
    assert_eq!((status, errors.as_str()), (Some(3), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "! runtime: workers 1 -> 2 (needs a restart)",
            "~ listener web route app: auth.users alice (passwords not shown) -> bob (passwords \
             not shown)",
            "+ listener more",
            "~ upstream app: balance \"round_robin\" -> \"ewma\"",
            "~ upstream app: server +127.0.0.1:2",
            "~ upstream app: server -127.0.0.1:1",
        ]
    );
    // A file that is wrong is not compared.
    let (status, out, errors) = check(&folder, "[runtime]\nworkers = 0\n", &[&url]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(errors.contains("workers"), "{errors}");
}

#[test]
fn relative_paths_of_both_are_taken_from_the_folder_of_the_file() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    let text = TEXT.replace("proxy = \"app\"", "files = \"www\"");
    let file = folder.file("ringway.toml", &text);
    let mut config = ringway::config::parse("ringway.toml", &text).unwrap();
    config.resolve_paths(file.parent().unwrap());
    let running = ringway::server::Server::start(config).unwrap();
    let url = running.admin().unwrap().to_string();
    let (status, out, errors) = check(&folder, &text, &[&url]);
    running.stop();
    let _outcome = running.wait();
    assert_eq!(status, Some(0), "{out}{errors}");
}

/// A server that answers each connection with these bytes.
fn answering(answer: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let _request = stream.read(&mut [0; 1024]);
        let _gone = stream.write_all(answer.as_bytes());
    })
}

#[test]
fn what_cannot_be_asked_or_read_is_said() {
    let folder = Folder::new();
    let not_found = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
    let cases = [
        (nobody().to_string(), "cannot be asked for its configuration"),
        (answering(not_found).to_string(), "status 404"),
        (answering(page).to_string(), "is no configuration that this version reads"),
        (answering("nonsense\r\n\r\n").to_string(), "no HTTP/1.1"),
        ("ftp://127.0.0.1:1".to_owned(), "begin with"),
        ("tcp://127.0.0.1:1".to_owned(), "begin with http:// or https://"),
    ];
    for (url, why) in &cases {
        let (status, out, errors) = check(&folder, TEXT, &[url]);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{url}: {errors}");
        assert!(errors.contains(why), "{url}: {errors}");
    }
    // The file's own address cannot be asked, as its port is chosen at the start.
    let (status, _, errors) = check(&folder, TEXT, &[]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("--against-running http://127.0.0.1:9901"), "{errors}");
    // Where the file says where, that is asked.
    let closed = nobody();
    let text = TEXT.replacen("127.0.0.1:0", &closed.to_string(), 1);
    let (status, _, errors) = check(&folder, &text, &[]);
    assert_eq!(status, Some(1));
    assert!(errors.contains(&closed.to_string()), "{errors}");
    for args in [&["http://127.0.0.1:1", "--insecure"][..], &["http://127.0.0.1:1", "--print"]] {
        let (status, ..) = check(&folder, TEXT, args);
        assert!(matches!(status, Some(1 | 2)), "{args:?}");
    }
}

#[test]
fn an_admin_interface_with_tls_is_asked_by_tls() {
    let (folder, pki) = (Folder::new(), Pki::new());
    pki.write("server", &["localhost"]);
    let (chain, key) = (pki.path("server.pem"), pki.path("server.key"));
    let tls = format!(
        "[admin.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n[[listener]]",
        chain.display(),
        key.display()
    );
    let text = TEXT.replacen("[[listener]]", &tls, 1);
    let served = Served::new(&text);
    let url = format!("https://localhost:{}", served.running().admin().unwrap().port());
    let ca = pki.path("ca.pem");
    let (status, out, errors) = check(&folder, &text, &[&url, "--ca", ca.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{out}{errors}");
    let (status, _, errors) = check(&folder, &text, &[&url]);
    assert_eq!(status, Some(1), "nobody of the system vouches for it");
    assert!(errors.contains("cannot be asked"), "{errors}");
}
