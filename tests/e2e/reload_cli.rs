//! `ringway reload`: what it asks the admin interface of a running process, and what it says of the
//! answer.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

use crate::pki::Pki;
use crate::support::*;

const TOKEN: &str = "0123456789abcdef-of-operators";
const OTHER: &str = "another-token-of-the-switch";

/// A server that answers each request with `answer`, and the requests that came.
fn answering(answer: &str) -> (SocketAddr, Receiver<String>) {
    let (sender, requests) = channel();
    let answer = answer.to_owned();
    let address = serve(move |mut stream| {
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                Ok(_) | Err(_) => return,
            }
        }
        sender.send(String::from_utf8(request).unwrap()).unwrap();
        // The client may have ended.
        let _gone = stream.write_all(answer.as_bytes());
    });
    (address, requests)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

fn reload(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(BINARY).arg("reload").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, errors) = (text(stdout), text(stderr));
    for token in [TOKEN, OTHER] {
        assert!(!out.contains(token) && !errors.contains(token), "{out}{errors}");
    }
    (status.code(), out, errors)
}

fn token_file(folder: &Folder, name: &str, token: &str) -> String {
    let text = format!("# of the operators\n\n  {token}  \nnot-the-first-token\n");
    folder.file(name, &text).display().to_string()
}

/// A configuration whose admin interface is at an address.
fn configuration(folder: &Folder, admin: &str, keys: &str) -> String {
    let text = format!(
        "[admin]\nlisten = \"{admin}\"\n{keys}\n[[listener]]\nname = \"t\"\n\
         listen = \"127.0.0.1:0\"\nprotocol = \"echo\"\n"
    );
    folder.file("ringway.toml", &text).display().to_string()
}

#[test]
fn the_request_has_the_token_and_no_body() {
    let folder = Folder::new();
    let file = token_file(&folder, "tokens", TOKEN);
    let other = token_file(&folder, "other", OTHER);
    let (address, requests) = answering(&answer("200 OK", "application/json", UNCHANGED));
    let (address, url) = (address.to_string(), format!("http://{address}"));
    // A relative path is taken from the folder of the file.
    let config = configuration(&folder, &address, "token_file = \"tokens\"");
    let nobody = nobody().to_string();
    for (args, path, token) in [
        (&["--admin", &address, "--token-file", &file][..], "/reload", TOKEN),
        (&["--admin", &url, "--token-file", &other], "/reload", OTHER),
        (&["--config", &config], "/reload", TOKEN),
        (&["-c", &config, "--token-file", &other], "/reload", OTHER),
        (&["--config", &config, "--admin", &format!("{url}/r/reload")], "/r/reload", TOKEN),
    ] {
        let (status, out, errors) = reload(args);
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{args:?}");
        assert_eq!(out, "unchanged: plan 3\n", "{args:?}");
        let request = requests.recv_timeout(PATIENCE).unwrap();
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
        let fields: Vec<&str> = request.lines().skip(1).collect();
        for field in [
            format!("host: {address}"),
            format!("authorization: Bearer {token}"),
            "content-length: 0".to_owned(),
        ] {
            assert_eq!(fields.iter().filter(|one| **one == field).count(), 1, "{request}");
        }
        assert!(!request.to_ascii_lowercase().contains("transfer-encoding"), "{request}");
        assert_eq!(request.matches(" Bearer ").count(), 1, "{request}");
    }
    let (status, _, errors) = reload(&["--config", &config, "--admin", &nobody]);
    assert_eq!(status, Some(1));
    assert!(errors.contains(&nobody) && errors.contains("--admin URL says where"), "{errors}");
    assert!(requests.try_recv().is_err(), "another one was asked");
}

const UNCHANGED: &str = r#"{"result":"unchanged","plan":3}"#;
const RELOADED: &str = r#"{"result":"reloaded","plan":7,"seconds":0.012,"listeners":{"kept":["a"],
"changed":["b"],"added":["c"],"removed":["d"]},"upstreams":{"kept":["u"],"changed":[],"added":[],
"removed":[]},"connections":{"kept":12,"drained":3,"closed":0},"needs_restart":
["runtime.workers: 2 -> 4"],"warnings":["\u001b]0;x\u0007"]}"#;

#[test]
fn a_reload_is_shown_to_people_and_to_programs() {
    let folder = Folder::new();
    let file = token_file(&folder, "tokens", TOKEN);
    let (address, _requests) = answering(&answer("200 OK", "application/json", RELOADED));
    let args = ["--admin", &address.to_string(), "--token-file", &file];
    let (status, out, errors) = reload(&args);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "reloaded: plan 7; in 0.012 s; connections: 12 kept, 3 drained, 0 closed",
            "listeners kept: a",
            "listeners changed: b",
            "listeners added: c",
            "listeners removed: d",
            "upstreams kept: u",
            "warning: \\u{1b}]0;x\\u{7}",
            "needs a restart: runtime.workers: 2 -> 4",
        ]
    );
    let (status, out, errors) = reload(&[&args[..], &["--json"]].concat());
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert_eq!(out.trim_end(), RELOADED);
}

#[test]
fn a_refusal_is_status_1_and_says_why() {
    let folder = Folder::new();
    let file = token_file(&folder, "tokens", TOKEN);
    let report = "error: `workers`: expected\n --> ringway.toml:2:11\n\x1b[2J\n";
    let echo = format!("{TOKEN} is no token of this process\n");
    for (status, body, why) in [
        ("422 Unprocessable Content", report, "--> ringway.toml:2:11\n\\u{1b}[2J\n"),
        ("409 Conflict", "another reload is under way\n", ": another reload is under way\n"),
        ("401 Unauthorized", &echo, ": (token) is no token of this process\n"),
        ("403 Forbidden", "set `token_file` in [admin]\n", ": set `token_file` in [admin]\n"),
        ("503 Service Unavailable", "draining\n", ": draining\n"),
        ("404 Not Found", "", "(does another version run, which does not reload?)\n"),
        ("302 Found", "", "status 302 Found\n"),
        ("204 No Content", "", "status 204 No Content\n"),
    ] {
        let (address, _requests) = answering(&answer(status, "text/plain", body));
        for json in [&[][..], &["--json"]] {
            let args = ["--admin", &address.to_string(), "--token-file", &file];
            let (code, out, errors) = reload(&[&args[..], json].concat());
            assert_eq!((code, out.as_str()), (Some(1), ""), "{status}");
            let start = format!("ringway: not reloaded: http://{address}/reload: status ");
            assert!(errors.starts_with(&(start + status)), "{errors}");
            assert!(errors.ends_with(why), "{errors}");
        }
    }
}

#[test]
fn what_is_no_answer_to_a_reload_is_said() {
    let folder = Folder::new();
    let file = token_file(&folder, "tokens", TOKEN);
    let echo = format!("{{\"result\":\"{TOKEN}\"}}");
    let json = |body: &str| answer("200 OK", "application/json", body);
    let cases = [
        (json("ok\n"), "the answer is none to a reload"),
        (json("{}"), "missing field `result`"),
        (json(&echo), "the result is (token)"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(), "cannot be asked to reload"),
        ("nonsense\r\n\r\n".to_owned(), "no HTTP/1.1"),
        (String::new(), "closed the connection before it answered"),
    ];
    for (bytes, why) in &cases {
        let (address, _requests) = answering(bytes);
        for json in [&[][..], &["--json"]] {
            let args = ["--admin", &address.to_string(), "--token-file", &file];
            let (code, out, errors) = reload(&[&args[..], json].concat());
            assert_eq!((code, out.as_str()), (Some(1), ""), "{why}");
            assert!(errors.contains(why), "{errors}");
        }
    }
    // One that never answers is given up.
    let silent = serve(|mut stream| {
        let _end = stream.read_to_end(&mut Vec::new());
    });
    let silent = silent.to_string();
    let (code, out, errors) =
        reload(&["--admin", &silent, "--token-file", &file, "--timeout", "100ms"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(errors.contains("not done within 100ms"), "{errors}");
}

#[test]
fn what_is_missing_or_wrong_is_said_before_anything_is_asked() {
    let folder = Folder::new();
    let (address, requests) = answering(&answer("200 OK", "application/json", UNCHANGED));
    let (address, url) = (address.to_string(), format!("http://{address}"));
    let file = token_file(&folder, "tokens", TOKEN);
    let short = folder.file("short", "# a\nshort\n").display().to_string();
    let empty = folder.file("empty", "# a\n").display().to_string();
    let bare = configuration(&folder, &address, "");
    let broken = folder.file("broken.toml", "[admin]\nlisten = 1\n").display().to_string();
    for (args, code, why) in [
        (&[][..], 2, "give --token-file FILE, or"),
        (&["--admin", &url], 2, "--help shows how"),
        (&["--admin", "ftp://a", "--token-file", &file], 2, "begin with http:// or https://"),
        (&["--admin", "http://", "--token-file", &file], 2, "http://"),
        (&["--admin", &url, "--token-file", &file, "--insecure"], 2, "for https://"),
        (&["--admin", &url, "--token-file", &file, "--timeout", "5"], 2, "300ms"),
        (&["--admin", &url, "--token-file", &file, "more"], 2, "more"),
        (&["--config", &bare], 1, "has no token_file in [admin]"),
        (&["--config", &broken], 1, "broken.toml:2:10"),
        (&["--config", "/no/such/file"], 1, "/no/such/file"),
        (&["--admin", &url, "--token-file", "/no/such/file"], 1, "the token file /no/such/file"),
        (&["--admin", &url, "--token-file", &empty], 1, "there is no token in it"),
        (&["--admin", &url, "--token-file", &short], 1, "line 2: a token has 16 to 256"),
    ] {
        let (status, out, errors) = reload(args);
        assert_eq!((status, out.as_str()), (Some(code), ""), "{args:?}: {errors}");
        assert!(errors.contains(why), "{args:?}: {errors}");
    }
    assert!(requests.try_recv().is_err(), "nothing was to be asked");
}

#[test]
fn an_admin_interface_with_tls_is_asked_by_tls() {
    let (folder, pki) = (Folder::new(), Pki::new());
    pki.write("server", &["localhost"]);
    let path = |name: &str| pki.path(name).display().to_string();
    let keys = |path: &dyn Fn(&str) -> String| {
        format!(
            "token_file = \"{}\"\n[admin.tls]\ncertificate = \"{}\"\nkey = \"{}\"",
            token_file(&folder, "tokens", TOKEN),
            path("server.pem"),
            path("server.key")
        )
    };
    let config = configuration(&folder, "127.0.0.1:0", &keys(&path));
    let served = Served::new(&std::fs::read_to_string(Path::new(&config)).unwrap());
    let admin = served.running().admin().unwrap().to_string();
    let config = configuration(&folder, &admin, &keys(&path));
    let ca = path("ca.pem");
    // This one was started without a file: it reads none, and says so itself.
    let args = ["--config", &config, "--ca", &ca, "--server-name", "localhost"];
    let (status, _, errors) = reload(&args);
    assert_eq!(status, Some(1));
    assert!(errors.contains(&format!("not reloaded: https://{admin}/reload")), "{errors}");
    let (status, _, errors) = reload(&args[..2]);
    assert_eq!(status, Some(1), "nobody of the system vouches for it");
    assert!(errors.contains("cannot be asked to reload"), "{errors}");
}
