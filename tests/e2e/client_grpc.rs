//! The client of gRPC and the verb `connect` for it, against a server of the `h2` crate.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use prost::{Message, Oneof};
use ringway::client::{
    CallOptions, CallReply, ConnectOptions, Grpc, GrpcCode, GrpcOptions, MessageCoding,
    RetryPolicy, Tls,
};
use ringway::handler::grpc::demo_messages;
use ringway::net::tls::{ClientOptions, Roots};

use crate::client_http::send_all;
use crate::pki::Pki;
use crate::support::*;

const PROTO: &str = r#"
syntax = "proto3";
package demo;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
import "kinds.proto";

message Note {
  string text = 1;
  int64 id = 2;
  map<string, int32> counts = 3;
  optional bool seen = 4;
  google.protobuf.Timestamp at = 5;
  Kind kind = 6;
  oneof place { string shelf = 7; int32 page = 8; }
}
message Wrapped { google.protobuf.Any detail = 1; }
service Notes {
  rpc Say(Note) returns (Note);
  rpc Fail(Note) returns (Note);
  rpc Hang(Note) returns (Note);
  rpc Talk(stream Note) returns (stream Note);
  rpc List(Note) returns (stream Note);
  rpc Nothing(Note) returns (Note);
  rpc Twice(Note) returns (Note);
  rpc Break(Note) returns (Note);
  rpc Refuse(Note) returns (Note);
  rpc Wrap(Note) returns (Wrapped);
}
"#;
/// What no file needs: a server is asked for it.
const HIDDEN: &str = "syntax = \"proto3\"; package demo; message Hidden { int32 level = 1; }";
const KINDS: &str = "syntax = \"proto3\"; package demo; enum Kind { OPEN = 0; SHUT = 1; }";

/// A folder with the definitions.
fn definitions() -> Folder {
    let folder = Folder::new();
    folder.file("notes.proto", PROTO);
    folder.file("kinds.proto", KINDS);
    folder.file("hidden.proto", HIDDEN);
    folder
}

#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(int64, tag = "2")]
    id: i64,
}

/// A server of `demo.Notes`, and of reflection in one of its versions, or none.
#[derive(Clone)]
struct Server {
    reflection: &'static str,
    /// Files by their names, and what is in them.
    files: Arc<Vec<(String, Vec<u8>)>>,
}

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(oneof = "Asked", tags = "3, 4, 7")]
    asked: Option<Asked>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Asked {
    #[prost(string, tag = "3")]
    File(String),
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(string, tag = "7")]
    Services(String),
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, tag = "4")]
    files: Option<Files>,
    #[prost(message, tag = "6")]
    services: Option<Services>,
    #[prost(message, tag = "7")]
    refused: Option<Note>,
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Note>,
}

impl Server {
    fn start(reflection: &'static str) -> SocketAddr {
        let folder = definitions();
        let files = ["notes.proto", "hidden.proto"].map(|name| folder.path().join(name));
        let set = protox::compile(files, [folder.path()]).unwrap();
        let encode =
            |file: prost_types::FileDescriptorProto| (file.name().to_owned(), file.encode_to_vec());
        // What comes with protobuf itself, the server does not have.
        let files = set.file.into_iter().map(encode);
        let files = files.filter(|(name, _)| !name.starts_with("google/")).collect();
        let this = Self { reflection, files: Arc::new(files) };
        serve_async(move |stream| this.clone().serve(stream))
    }

    async fn serve(self, stream: tokio::net::TcpStream) {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(10_000);
        let Ok(mut connection) = builder.handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(self.clone().answer(request, respond));
        }
    }

    async fn answer(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (head, mut body) = request.into_parts();
        let mut response = Response::builder().header("content-type", "application/grpc");
        if let Some(value) = head.headers.get("x-tenant") {
            response = response.header("x-tenant", value);
        }
        if let Some(coding) = head.headers.get("grpc-encoding") {
            response = response.header("grpc-encoding", coding);
        }
        let path = head.uri.path().to_owned();
        let is_reflection = path == format!("/{}/ServerReflectionInfo", self.reflection);
        let (code, text) = match path.as_str() {
            "/demo.Notes/Say" | "/demo.Notes/Talk" | "/demo.Notes/List" => ("0", ""),
            "/demo.Notes/Fail" => ("5", "no%20note%0a"),
            "/demo.Notes/Nothing" | "/demo.Notes/Twice" | "/demo.Notes/Wrap" => ("0", ""),
            "/demo.Notes/Break" => return respond.send_reset(h2::Reason::ENHANCE_YOUR_CALM),
            "/demo.Notes/Refuse" => {
                let only = response.header("grpc-status", "7").header("x-why", "so");
                let _gone = respond.send_response(only.body(()).unwrap(), true);
                return;
            }
            "/demo.Notes/Hang" => return std::future::pending().await,
            _ if is_reflection => ("0", ""),
            _ => {
                let only = response.header("grpc-status", "12").body(()).unwrap();
                let _gone = respond.send_response(only, true);
                return;
            }
        };
        let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
        let mut asked = BytesMut::new();
        while let Some(Ok(part)) = body.data().await {
            body.flow_control().release_capacity(part.len()).unwrap();
            asked.extend_from_slice(&part);
            let said = match path.as_str() {
                "/demo.Notes/Talk" => asked.split().freeze(),
                _ if is_reflection => self.reflect(&mut asked),
                _ => Bytes::new(),
            };
            if send_all(&mut stream, said).await.is_none() {
                return;
            }
        }
        let said = match path.as_str() {
            "/demo.Notes/Say" | "/demo.Notes/Wrap" => asked.freeze(),
            "/demo.Notes/Twice" => asked.repeat(2).into(),
            "/demo.Notes/List" => asked.repeat(3).into(),
            _ => Bytes::new(),
        };
        let _gone = send_all(&mut stream, said).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        trailers.insert("grpc-message", text.parse().unwrap());
        let _gone = stream.send_trailers(trailers);
    }

    /// The answers to the questions that have come whole.
    fn reflect(&self, asked: &mut BytesMut) -> Bytes {
        let mut said = BytesMut::new();
        while asked.len() >= 5 {
            let len = u32::from_be_bytes(asked[1..5].try_into().unwrap()) as usize;
            if asked.len() < 5 + len {
                break;
            }
            let question = Question::decode(&asked.split_to(5 + len)[5..]).unwrap();
            let file = |name: &str| {
                let file = self.files.iter().find(|(known, _)| known == name)?;
                Some(Files { files: vec![file.1.clone()] })
            };
            let note = |text: &str| Note { text: text.to_owned(), id: 0 };
            let mut told = Told::default();
            match question.asked.unwrap() {
                Asked::Services(_) => {
                    let services = vec![note("demo.Notes"), note(self.reflection)];
                    told.services = Some(Services { services });
                }
                // Each file needs another one, and takes its time.
                Asked::File(name) if name.starts_with("chain") => {
                    #[expect(clippy::disallowed_methods, reason = "it is a slow server")]
                    std::thread::sleep(Duration::from_millis(20));
                    told.files = Some(chained(&format!("{name}x"), &name));
                }
                Asked::File(name) => told.files = file(&name),
                Asked::Symbol(name) if name == "demo.Chain" => {
                    told.files = Some(chained("chain", "first"));
                }
                Asked::Symbol(name) if name == "demo.Hidden" => told.files = file("hidden.proto"),
                Asked::Symbol(name) if name.starts_with("demo.Kind") => {
                    told.files = file("kinds.proto");
                }
                Asked::Symbol(name) if name.starts_with("demo.No") => {
                    told.files = file("notes.proto");
                }
                Asked::Symbol(_) => {}
            }
            if told == Told::default() {
                told.refused = Some(Note { text: String::new(), id: 0 });
                // Its fields are a number and a text.
                let refused = [&[58, 12, 8, 5, 18, 8][..], b"no such\x1b"].concat();
                told = Told::decode(&*refused).unwrap_or_default();
                said.extend_from_slice(&[0, 0, 0, 0, u8::try_from(refused.len()).unwrap()]);
                said.extend_from_slice(&refused);
                continue;
            }
            let bytes = told.encode_to_vec();
            said.extend_from_slice(&[0]);
            said.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            said.extend_from_slice(&bytes);
        }
        said.freeze()
    }
}

/// A file that needs another one.
fn chained(needed: &str, name: &str) -> Files {
    let file = prost_types::FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: vec![needed.to_owned()],
        ..Default::default()
    };
    Files { files: vec![file.encode_to_vec()] }
}

const V1: &str = "grpc.reflection.v1.ServerReflection";
const ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

fn note(text: &str) -> Note {
    Note { text: text.to_owned(), id: 7 }
}

#[test]
fn calls_of_every_kind_are_answered_by_a_foreign_server() {
    let mut grpc =
        Grpc::new(&format!("http://{}", Server::start(V1)), GrpcOptions::default()).unwrap();
    let long = note(&"long ".repeat(100_000));
    for coding in [MessageCoding::Identity, MessageCoding::Gzip, MessageCoding::Zstd] {
        let mut options = CallOptions { coding, ..CallOptions::default() };
        options.metadata.push("x-tenant", "blue").unwrap();
        let reply: CallReply<Note> =
            grpc.unary_with("demo.Notes/Say", &long, &options, PATIENCE).unwrap();
        assert!(reply.message == long);
        assert_eq!(reply.initial.get("x-tenant"), Some("blue"));
    }
    let error = grpc.unary::<_, Note>("demo.Notes/Fail", &long, PATIENCE).unwrap_err();
    assert_eq!(error.status_code(), GrpcCode::NotFound);
    let error = grpc.unary::<_, Note>("demo.Notes/None", &long, PATIENCE).unwrap_err();
    assert_eq!(error.status_code(), GrpcCode::Unimplemented);
    let short = Duration::from_millis(50);
    let error = grpc.unary::<_, Note>("demo.Notes/Hang", &long, short).unwrap_err();
    assert_eq!(error.status_code(), GrpcCode::DeadlineExceeded);
    // Several calls at a time, and far more than fits into the windows.
    let options = CallOptions::default();
    let mut calls: Vec<_> =
        (0..3).map(|_| grpc.call("demo.Notes/Talk", &options, PATIENCE).unwrap()).collect();
    for call in &mut calls {
        assert_eq!(call.send(&long, PATIENCE), Ok(true));
        assert_eq!(call.send(&long, PATIENCE), Ok(true));
        call.finish_sending().unwrap();
    }
    for mut call in calls.into_iter().rev() {
        for _ in 0..2 {
            assert!(call.receive::<Note>(PATIENCE).unwrap().unwrap() == long);
        }
        assert_eq!(call.receive::<Note>(PATIENCE), Ok(None));
    }
    let mut call = grpc.call("demo.Notes/List", &options, PATIENCE).unwrap();
    call.send(&note("x"), PATIENCE).unwrap();
    call.finish_sending().unwrap();
    let mut count = 0;
    while let Some(got) = call.receive::<Note>(PATIENCE).unwrap() {
        assert_eq!(got, note("x"));
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn nobody_to_call_is_unavailable() {
    let retry = RetryPolicy { tries_max: 2, backoff: Duration::ZERO, ..RetryPolicy::default() };
    let options = GrpcOptions { retry, ..GrpcOptions::default() };
    let mut grpc = Grpc::new(&format!("grpc://{}", nobody()), options).unwrap();
    let error = grpc.unary::<_, Note>("demo.Notes/Say", &note("x"), PATIENCE).unwrap_err();
    assert!(error.to_string().starts_with("gave up after 2 tries: connect "), "{error}");
    assert_eq!(error.status_code(), GrpcCode::Unavailable);
}

fn good(args: &[&str], input: &str) -> String {
    let output = run_connect(args, input.as_bytes());
    assert!(output.status.success(), "{args:?}: {}", errors(&output));
    assert_eq!(errors(&output), "", "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn bad(args: &[&str], status: i32, part: &str) {
    let output = run_connect(args, b"");
    assert!(errors(&output).contains(part), "{args:?}: {}", errors(&output));
    assert_eq!(output.status.code(), Some(status), "{args:?}: {}", errors(&output));
}

#[test]
fn messages_are_json_by_reflection_and_from_files() {
    let folder = definitions();
    let file = folder.path().join("notes.proto").display().to_string();
    let dir = folder.path().display().to_string();
    for (reflection, more) in [
        (V1, &[][..]),
        (ALPHA, &[]),
        ("none", &["--proto", &*file]),
        ("none", &["--proto", "notes.proto", "--import-path", &*dir]),
    ] {
        let server = format!("grpc://{}", Server::start(reflection));
        let url = |method: &str| format!("{server}/demo.Notes/{method}");
        let with = |args: &[&str], input: &str| good(&[args, more].concat(), input);
        let json = r#"{"text":"hi","id":"7","counts":{"a":1},"at":"2026-01-02T03:04:05Z","kind":"SHUT","page":3}"#;
        assert_eq!(with(&[&url("Say"), json], ""), format!("{json}\n"));
        assert_eq!(with(&[&url("Say")], ""), "{}\n");
        assert_eq!(with(&[&url("Say"), "-"], "{\"text\":\n \"a\"}"), "{\"text\":\"a\"}\n");
        let listed = "{\"id\":\"1\"}\n".repeat(3);
        assert_eq!(with(&[&url("List"), "{\"id\": 1}"], ""), listed);
        assert_eq!(
            with(&[&url("Talk")], "{\"id\":1}{\"id\":\n2}\n"),
            "{\"id\":\"1\"}\n{\"id\":\"2\"}\n"
        );
        assert_eq!(with(&[&url("Talk"), "{\"id\":1} {}"], ""), "{\"id\":\"1\"}\n{}\n");
        let services = with(&[&server, "list"], "");
        assert!(services.lines().any(|line| line == "demo.Notes"), "{services}");
        let methods = with(&[&server, "list", "demo.Notes"], "");
        assert!(methods.starts_with("demo.Notes/Say\ndemo.Notes/Fail\n"), "{methods}");
        for (symbol, word) in [
            ("demo.Notes", "  rpc Talk(stream demo.Note) returns (stream demo.Note);\n"),
            ("demo.Notes/Say", "rpc Say(demo.Note) returns (demo.Note);\n"),
            ("demo.Note", "  optional bool seen = 4;\n"),
            ("demo.Note", "  map<string, int32> counts = 3;\n"),
            ("demo.Note", "  google.protobuf.Timestamp at = 5;\n"),
            ("demo.Note", "  oneof place {\n    string shelf = 7;\n"),
            ("demo.Kind", "enum demo.Kind {\n  OPEN = 0;\n  SHUT = 1;\n}\n"),
        ] {
            let text = with(&[&server, "describe", symbol], "");
            assert!(text.contains(word), "{symbol}: {text}");
        }
        let bad = |args: &[&str], status, part: &str| bad(&[args, more].concat(), status, part);
        let fails = url("Fail");
        bad(&[&fails], 1, &format!("ringway: {fails}: status NOT_FOUND (5): no note\\n\n"));
        let slow = url("Hang");
        let late = format!("{slow}: status DEADLINE_EXCEEDED (4): not done within 80ms");
        bad(&[&slow, "--timeout", "80ms"], 1, &late);
        bad(&[&url("Other")], 1, "demo.Notes has no method \"Other\"");
        bad(&[&url("Say"), "{\"no\": 1}"], 2, "no demo.Note in JSON: ");
        bad(&[&url("Say"), "{} {}"], 2, "takes one message");
        bad(&[&url("Say"), "-"], 1, "there is no message");
        bad(&[&url("Say"), " "], 2, "there is no message");
        bad(&[&url("Nothing")], 1, "Nothing: the answer has no message");
        bad(&[&url("Twice")], 1, "Twice: the answer has several messages");
        let broken = url("Break");
        let reset = format!("{broken}: status RESOURCE_EXHAUSTED (8): 127.0.0.1:");
        bad(&[&broken], 1, &reset);
        // An answer is not lost for what is unknown in it.
        let wrap = |name: &str| {
            let any = prost_types::Any { type_url: format!("t/{name}"), value: vec![8, 7] };
            let text = String::from_utf8(any.encode_to_vec()).unwrap();
            let said = with(&[&url("Wrap"), &serde_json::json!({ "text": text }).to_string()], "");
            said.trim_end().to_owned()
        };
        let unknown =
            |name| format!("{{\"detail\":{{\"@type\":\"t/{name}\",\"value\":\"CAc=\"}}}}");
        assert_eq!(wrap("demo.None"), unknown("demo.None"));
        let hidden = r#"{"detail":{"@type":"t/demo.Hidden","level":7}}"#;
        let expected = if more.is_empty() { hidden.to_owned() } else { unknown("demo.Hidden") };
        assert_eq!(wrap("demo.Hidden"), expected);
        let int = r#"{"detail":{"@type":"t/google.protobuf.Int32Value","value":7}}"#;
        assert_eq!(wrap("google.protobuf.Int32Value"), int);
    }
}

#[test]
fn a_talk_goes_on_while_input_is_read() {
    let url = format!("grpc://{}/demo.Notes/Talk", Server::start(V1));
    let mut child = spawn_connect(&[&url, "-v", "-H", "x-tenant: blue"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in 1..4 {
        writeln!(stdin, "{{\"id\": {id}}}").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), format!("{{\"id\":\"{id}\"}}"));
    }
    drop(stdin);
    assert!(answers.next().is_none());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(errors(&output), "< x-tenant: blue\n");
    // Far more than fits into all windows and pipes, both ways.
    let text = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1000)).repeat(8_000);
    assert!(good(&[&url], &text) == text);
}

#[test]
fn input_that_is_no_message_ends_a_talk() {
    let url = format!("grpc://{}/demo.Notes/Talk", Server::start(V1));
    let mut child = spawn_connect(&[&url]);
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"{\"id\":1} {\"id\":2}\n").unwrap();
    for id in 1..3 {
        assert_eq!(answers.next().unwrap().unwrap(), format!("{{\"id\":\"{id}\"}}"));
    }
    stdin.write_all(b"{\"no\":2}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("no demo.Note in JSON: "), "{}", errors(&output));
}

#[test]
fn metadata_is_sent_and_told_as_it_is() {
    let server = format!("grpc://{}", Server::start(V1));
    let refuse = format!("{server}/demo.Notes/Refuse");
    let output = run_connect(&[&refuse, "-v", "-H", "y-bin: AAE", "-H", "z-bin: AA=="], b"");
    let told = format!("< x-why: so\nringway: {refuse}: status PERMISSION_DENIED (7)\n");
    assert_eq!(errors(&output), told);
    bad(&[&refuse, "-H", "y-bin: A?"], 2, "base64");
}

#[test]
fn reflection_has_one_deadline_and_its_connection_is_tried_again() {
    let server = format!("grpc://{}", Server::start(V1));
    let late = "status DEADLINE_EXCEEDED (4): not done within 300ms";
    bad(&[&server, "describe", "demo.Chain", "--timeout", "300ms"], 1, late);
    let peer = nobody();
    let told = format!("gave up after 2 tries: connect {peer}: connection refused");
    bad(&[&format!("grpc://{peer}"), "list", "--retries", "1"], 1, &told);
}

#[test]
fn a_server_of_something_else_is_told_with_what_may_help() {
    const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 70];
    const HTTP1: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    for said in [ALERT, HTTP1] {
        let server = serve(move |mut stream| {
            // The preface of HTTP/2.
            std::io::Read::read_exact(&mut stream, &mut [0; 24]).unwrap();
            stream.write_all(said).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        });
        let told = format!("{server}: its answer is no HTTP/2: ");
        let output = run_connect(&[&format!("h2://{server}/")], b"");
        assert!(errors(&output).contains(&told), "{}", errors(&output));
        assert!(errors(&output).contains("use https:// if the server speaks TLS"));
        bad(&[&format!("grpc://{server}"), "list"], 1, "use grpcs:// if the server speaks TLS");
    }
    bad(&["grpc://unix:/run/x", "list"], 2, "no unix sockets here");
}

/// Our own server, with the demonstration service, in clear and by TLS.
fn demonstration(pki: &Pki) -> Served {
    let listener = |name: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
             [[listener.route]]\npath_prefix = \"/\"\nhandler = \"demo\"\nbody_max = \"off\"\n"
        )
    };
    let tls = pki.listener_tls("");
    Served::new(&[&*runtime(1), NO_ADMIN, &listener("plain"), &listener("safe"), &tls].concat())
}

#[test]
fn our_own_services_are_called_in_clear_and_by_tls() {
    let pki = Pki::new();
    let served = demonstration(&pki);
    let ca = pki.path("ca.pem").display().to_string();
    let (plain, safe) = (served.at("plain"), served.at("safe").port());
    let (plain, safe) = (format!("grpc://{plain}"), format!("grpcs://localhost:{safe}"));
    for (server, more) in [(plain, &[][..]), (safe, &["--ca", &*ca])] {
        let with = |args: &[&str], input: &str| good(&[args, more].concat(), input);
        let listed = with(&[&server, "list"], "");
        assert!(listed.lines().any(|line| line == "ringway.v1.Stream"), "{listed}");
        let described = with(&[&server, "describe", "ringway.v1.Stream"], "");
        let rpc = "rpc StreamData(stream ringway.v1.Request) returns (stream ringway.v1.Response);";
        assert!(described.contains(rpc), "{described}");
        let url = format!("{server}/ringway.v1.Stream/StreamData");
        let lines: String = (1..2_000)
            .map(|id| format!("{{\"sequence\":\"{id}\",\"data\":\"{}\"}}\n", "A".repeat(1000)))
            .collect();
        assert!(with(&[&url], &lines) == lines);
        let health = format!("{server}/grpc.health.v1.Health/Check");
        assert_eq!(with(&[&health], ""), "{\"status\":\"SERVING\"}\n");
        let unknown = format!("{health}: status NOT_FOUND (5): unknown service \"nobody\"");
        bad(&[&[&*health, "{\"service\":\"nobody\"}"], more].concat(), 1, &unknown);
    }
    let roots = Roots::Given(pki.ca.clone().into_bytes());
    let tls = Tls::new(ClientOptions { roots, ..ClientOptions::default() }).unwrap();
    let connect = ConnectOptions { tls: Some(tls), ..ConnectOptions::default() };
    let options = GrpcOptions { connect, ..GrpcOptions::default() };
    let safe = format!("grpcs://localhost:{}", served.at("safe").port());
    let mut grpc = Grpc::new(&safe, options).unwrap();
    let method = "ringway.v1.Stream/StreamData";
    for coding in [MessageCoding::Identity, MessageCoding::Gzip, MessageCoding::Zstd] {
        let options = CallOptions { coding, ..CallOptions::default() };
        let mut call = grpc.call(method, &options, PATIENCE).unwrap();
        for sequence in 0..20 {
            let request =
                demo_messages::Request { sequence, data: bytes(sequence, 100_000).into() };
            assert_eq!(call.send(&request, PATIENCE), Ok(true));
            let got: demo_messages::Response = call.receive(PATIENCE).unwrap().unwrap();
            assert!(got.sequence == sequence && got.data == request.data);
        }
        call.finish_sending().unwrap();
        assert_eq!(call.receive::<demo_messages::Response>(PATIENCE), Ok(None));
    }
    assert_eq!(served.sum(|cell| cell.stats.listeners.get(1).accepted.get()), 6);
}

#[test]
fn what_cannot_be_described_is_told() {
    let server = Server::start("none");
    let url = format!("grpc://{server}");
    bad(&[&url, "list"], 1, "the server has no reflection: give its definitions with --proto");
    let told = format!("grpc://{}", Server::start(V1));
    bad(&[&told, "describe", "no.Such"], 1, "does not describe no.Such: no such\\u{1b}");
    bad(&[&url, "list", "--proto", "/nonexistent.proto"], 1, "--proto: ");
    let folder = Folder::new();
    let wrong = folder.file("wrong.proto", "message {").display().to_string();
    bad(&[&url, "list", "--proto", &wrong], 1, "wrong.proto");
    for (args, word) in [
        (&[&*url][..], "name a method"),
        (&[&url, "nonsense"], "name a method"),
        (&[&format!("{url}/method")], "is no method"),
        (&[&format!("{url}/a.B/C"), "{}", "{}"], "takes JSON"),
        (&[&url, "list", "--import-path", "."], "--proto"),
        (&[&url, "list", "-H", "nonsense"], "name: value"),
        (&[&url, "list", "-H", "grpc-x: y"], "gRPC's own"),
        (&["tcp://127.0.0.1:1", "-H", "a: b"], "--header is for"),
        (&["http://127.0.0.1:1", "--proto", "x"], "--proto is for"),
    ] {
        bad(args, 2, word);
    }
    let peer = nobody();
    bad(&[&format!("grpc://{peer}"), "list"], 1, &format!("connect {peer}: connection refused"));
}
