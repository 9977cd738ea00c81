//! Replays the committed corpus in a plain `cargo test`: what a fuzzer found once, or a person
//! thought of, stays found.
//!
//! The name of a seed says what comes of it. In `proxy_protocol`: `ok-` is a whole header (more may
//! follow), `part-` the start of one, `bad-` is refused. In `lines`: all messages of `ok-` are
//! answered; the last one of `bad-CODE` is refused with that code. In `frame_server`, `bad-CODE` ends
//! the connection with that code, and `ok-` does not; `frame_client` likewise. In `http1_request` and
//! `http1_response`: `ok-` is read, `part-` wants more, `bad-` is refused; in `client_hello`, `http-`
//! and `other-` are no TLS besides. In `tls_session`, `bad-FAULT` ends the connection with that fault,
//! and `ok-` does not; `http2_server` and `http2_client` likewise with the rule that was broken, and
//! `bad-` of `hpack` cannot be decoded. In `grpc_messages` and `grpc_web`, `bad-FAULT` ends a call
//! with that fault, and `ok-` does not; likewise a message of `websocket_inflate`. In `topics_messages`, the
//! last message of `bad-CODE` is refused with that code, and none of `ok-` is. In `websocket_frames`, `bad-RULE`
//! ends with that rule, and `ok-` does not. A fuzzer's findings begin with anything else; nothing but the
//! general rules is asked of them.

#[path = "corpus/client_hello.rs"]
mod client_hello;
#[path = "corpus/deflate.rs"]
mod deflate;
#[path = "corpus/forger.rs"]
mod forger;
#[path = "corpus/frames.rs"]
mod frames;
#[path = "corpus/grpc.rs"]
mod grpc;
#[path = "corpus/http.rs"]
mod http;
#[path = "corpus/http2.rs"]
mod http2;
#[path = "corpus/tls_session.rs"]
mod tls_session;
#[path = "corpus/topics.rs"]
mod topics;
#[path = "corpus/websocket.rs"]
mod websocket;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringway::proto::frame::FrameError;
use ringway::proto::lines::LineReader;
use ringway::proto::proxy_protocol::{HEADER_MAX, Parsed, PeerError, parse};
use ringway::proto::tls::{ClientHello, HelloRead};
use ringway::ring::sim::Random;
use ringway::service::handler::NoHandler;
use ringway::service::messages::{MessageError, Messages};
use ringway::service::topics::Fault;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Bytes of a line in the seeds of `lines`.
const LINE_LIMIT: usize = 256;

/// The seeds of one parser, by name. Files that start with a dot are not seeds.
fn seeds(parser: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(parser);
    let entries = fs::read_dir(&folder).expect("the corpus is committed");
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.expect("its folder can be read").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let bytes = fs::read(&path).expect("a seed can be read");
            (!name.starts_with('.')).then_some((name, bytes))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    seeds
}

/// What has to hold of any input: the answer for a part of it does not contradict the answer for
/// all of it, and no answer claims more than is there.
fn check_part(name: &str, part: &[u8], whole: &Result<Parsed, PeerError>) {
    let len = part.len();
    match parse(part) {
        Ok(Parsed::Incomplete { at_least }) => {
            assert!(at_least > 0, "{name}, {len} bytes: asks for nothing");
            assert!(len + at_least <= HEADER_MAX, "{name}, {len} bytes: asks for too much");
            if let Ok(Parsed::Complete { consumed, .. }) = whole {
                assert!(len + at_least <= *consumed, "{name}, {len} bytes: asks beyond the end");
            }
        }
        complete @ Ok(Parsed::Complete { consumed, .. }) => {
            assert!(consumed <= len, "{name}, {len} bytes: consumes more than there is");
            assert_eq!(&complete, whole, "{name}, {len} bytes: more bytes change the header");
        }
        Err(_) => assert!(whole.is_err(), "{name}, {len} bytes: more bytes mend an error"),
    }
}

#[test]
fn proxy_protocol_seeds_are_what_their_names_say() {
    for (name, bytes) in seeds("proxy_protocol") {
        let kind = name.split('-').next().unwrap_or_default();
        let found = match parse(&bytes) {
            Ok(Parsed::Complete { .. }) => "ok",
            Ok(Parsed::Incomplete { .. }) => "part",
            Err(_) => "bad",
        };
        if matches!(kind, "ok" | "part" | "bad") {
            assert_eq!(found, kind, "{name}: {:?}", parse(&bytes));
        }
    }
}

#[test]
fn proxy_protocol_seeds_can_be_cut_anywhere() {
    for (name, bytes) in seeds("proxy_protocol") {
        let whole = parse(&bytes);
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            // Arriving in two parts: the first alone, then both together.
            check_part(&name, first, &whole);
            // Each part as a connection of its own.
            check_part(&name, second, &parse(second));
        }
    }
}

/// All that comes of these inputs: the answers, and the codes of those that are errors.
fn answers(inputs: &[&[u8]]) -> (Vec<u8>, Vec<Option<&'static str>>) {
    let (mut reader, mut messages) = (LineReader::new(LINE_LIMIT), Messages::default());
    let (mut out, mut codes) = (Vec::new(), Vec::new());
    let now = Duration::from_secs(1);
    for input in inputs {
        let mut input = *input;
        while let Some(line) = reader.next(&mut input) {
            let mut stats = |out: &mut Vec<u8>| out.extend_from_slice(b"{}");
            let outcome = match line {
                Ok(line) => messages.answer(line, now, &mut stats, &mut NoHandler, &mut out),
                Err(error) => Err(Messages::refuse(error, &mut out)),
            };
            codes.push(outcome.as_ref().err().map(MessageError::code));
        }
    }
    codes.extend(reader.at_end().map(|error| Some(Messages::refuse(error, &mut out).code())));
    (out, codes)
}

#[test]
fn lines_seeds_are_answered_as_their_names_say() {
    for (name, bytes) in seeds("lines") {
        let (out, codes) = answers(&[&bytes]);
        let lines: Vec<&[u8]> = out.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!(lines.len(), codes.len(), "{name}: an answer each");
        for line in lines {
            let json: Result<serde_json::Value, _> = serde_json::from_slice(line);
            assert!(json.is_ok_and(|json| json.is_object()), "{name}: {}", line.escape_ascii());
        }
        let mut words = name.split('-');
        match (words.next(), words.next()) {
            (Some("ok"), _) => assert!(codes.iter().all(Option::is_none), "{name}: {codes:?}"),
            (Some("bad"), code) => assert_eq!(codes.last(), Some(&code), "{name}"),
            _ => {}
        }
    }
}

#[test]
fn lines_seeds_can_be_cut_anywhere() {
    for (name, bytes) in seeds("lines") {
        let whole = answers(&[&bytes]);
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(answers(&[first, second]), whole, "{name} cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(answers(&single), whole, "{name} byte by byte");
    }
}

/// Whether a connection ended as the name of the seed says.
fn assert_ended(name: &str, failed: Option<FrameError>) {
    let code = failed.map(|error| error.code().map_or("peer", |code| code.name()));
    let mut words = name.split('-');
    match (words.next(), words.next()) {
        (Some("ok"), _) => assert_eq!(code, None, "{name}"),
        (Some("bad"), expected) => assert_eq!(code, expected, "{name}"),
        _ => {}
    }
}

#[test]
fn frame_seeds_end_as_their_names_say() {
    for (name, bytes) in seeds("frame_server") {
        assert_ended(&name, frames::serve(&[&bytes]).1);
    }
    for (name, bytes) in seeds("frame_client") {
        let (setting, bytes) = bytes.split_first().expect("a setting");
        assert_ended(&name, frames::listen(*setting, &[bytes]).1);
    }
}

/// What replays one seed.
type Replay = fn(&[u8]);

/// The parts that are fuzzed, by the name of their seeds.
const FRAMES: [(&str, Replay); 3] = [
    ("frame_server", frames::frame_server),
    ("frame_client", frames::frame_client),
    ("frame_proxy", frames::frame_proxy),
];

#[test]
fn frame_seeds_can_be_cut_anywhere() {
    for (parser, check) in FRAMES {
        for (_, bytes) in seeds(parser) {
            (0..=bytes.len()).for_each(|at| check(&bytes[..at]));
        }
    }
}

/// `RINGWAY_RANDOM_STRINGS=1000000 cargo test --release --test corpus` is the long run.
#[test]
fn frames_hold_what_they_promise_on_changed_seeds_and_random_bytes() {
    let many = std::env::var("RINGWAY_RANDOM_STRINGS").ok();
    let many = many.and_then(|text| text.parse().ok()).unwrap_or(5_000);
    for (parser, check) in FRAMES {
        let seeds = seeds(parser);
        let mut random = Random::new(1);
        for _ in 0..many {
            let mut bytes = if random.chance(500) {
                seeds[random.below(seeds.len())].1.clone()
            } else {
                frames::any_bytes(&mut random)
            };
            for _ in 0..random.below(4) {
                if !bytes.is_empty() {
                    let at = random.below(bytes.len());
                    bytes[at] = (random.bits() & 0xff) as u8;
                }
            }
            let shown = bytes.clone();
            let result = std::panic::catch_unwind(move || check(&bytes));
            assert!(result.is_ok(), "{parser}: {}", shown.escape_ascii());
        }
    }
}

/// What comes of an input of HTTP/1.1, as the names of its seeds have it.
fn outcome(read: &http::Read) -> &'static str {
    match (&read.refused, read.messages.last()) {
        (Some(_), _) => "bad",
        (None, None) => "part",
        (None, Some((text, _, is_whole))) if !is_whole && !text.contains("UntilClose") => "part",
        (None, Some(_)) => "ok",
    }
}

/// Changes a few bytes, of which it keeps none sacred.
fn mutate(bytes: &mut Vec<u8>, seed: &[u8], random: &mut Random) {
    for _ in 0..=random.bits() % 4 {
        let mut below = |most: usize| {
            let most = u64::try_from(most.max(1)).expect("it is small");
            usize::try_from(random.bits() % most).expect("it is small")
        };
        let at = below(bytes.len());
        let other = b"\r\n :;,0"[below(7)];
        match random.bits() % 4 {
            0 => bytes[at] = random.bits().to_le_bytes()[0],
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, other),
            _ => bytes.extend_from_slice(seed),
        }
        if bytes.is_empty() {
            break;
        }
    }
}

/// A corpus, and the reader it is for.
type Parser = (&'static str, fn(&[u8]) -> http::Read);

#[test]
fn http1_seeds_are_what_their_names_say_and_mutations_do_no_harm() {
    let parsers: [Parser; 2] =
        [("http1_request", http::http1_request), ("http1_response", http::http1_response)];
    for (parser, read) in parsers {
        let seeds = seeds(parser);
        for (name, bytes) in &seeds {
            let kind = name.split('-').next().unwrap_or_default();
            let found = read(bytes);
            if matches!(kind, "ok" | "part" | "bad") {
                assert_eq!(outcome(&found), kind, "{parser}/{name}: {found:?}");
            }
        }
        let mut random = Random::new(4);
        for round in 0..20_000_u64 {
            let (_, seed) = &seeds[usize::try_from(round % seeds.len() as u64).unwrap()];
            let mut bytes = seed.clone();
            mutate(&mut bytes, seed, &mut random);
            read(&bytes);
        }
    }
}

#[test]
fn http2_seeds_end_as_their_names_say_and_mutations_do_no_harm() {
    type Hears = fn(&[u8]) -> http2::Heard;
    let ends: [(&str, Hears); 2] =
        [("http2_server", http2::http2_server), ("http2_client", http2::http2_client)];
    for (end, hear) in ends {
        let seeds = seeds(end);
        for (name, bytes) in &seeds {
            let heard = hear(bytes);
            match name.split_once('-') {
                Some(("ok", _)) => assert_eq!(heard.failed, None, "{end}/{name}: {heard:?}"),
                Some(("bad", rule)) => {
                    assert_eq!(heard.failed, Some(rule), "{end}/{name}: {heard:?}");
                }
                _ => {}
            }
        }
        let mut random = Random::new(5);
        for round in 0..1_500_u64 {
            let (_, seed) = &seeds[usize::try_from(round % seeds.len() as u64).unwrap()];
            let mut bytes = seed.clone();
            mutate(&mut bytes, seed, &mut random);
            hear(&bytes);
        }
    }
}

#[test]
fn hpack_seeds_are_what_their_names_say_and_mutations_do_no_harm() {
    let seeds = seeds("hpack");
    for (name, bytes) in &seeds {
        assert_eq!(http2::hpack(bytes), name.starts_with("ok-"), "{name}");
    }
    let mut random = Random::new(6);
    for round in 0..20_000_u64 {
        let (_, seed) = &seeds[usize::try_from(round % seeds.len() as u64).unwrap()];
        let mut bytes = seed.clone();
        mutate(&mut bytes, seed, &mut random);
        http2::hpack(&bytes);
    }
}

fn greeting(progress: &HelloRead) -> &'static str {
    match progress {
        HelloRead::NeedMore => "part",
        HelloRead::Hello(_) => "ok",
        HelloRead::NotTls { looks_like_http: true } => "http",
        HelloRead::NotTls { looks_like_http: false } => "other",
        HelloRead::Malformed(_) => "bad",
    }
}

#[test]
fn client_hello_seeds_are_what_their_names_say_and_mutations_do_no_harm() {
    let seeds = seeds("client_hello");
    for (name, bytes) in &seeds {
        let found = client_hello::client_hello(bytes);
        let kind = name.split('-').next().unwrap_or_default();
        if ["ok", "part", "bad", "http", "other"].contains(&kind) {
            assert_eq!(greeting(&found), kind, "{name}: {found:?}");
        }
    }
    let mut random = Random::new(4);
    for round in 0..4_000 {
        let seed = &seeds[round % seeds.len()].1;
        let mut bytes = seed.clone();
        mutate(&mut bytes, seed, &mut random);
        let _any = client_hello::client_hello(&bytes);
    }
}

fn read_hello(bytes: &[u8]) -> ClientHello {
    let HelloRead::Hello(hello) = client_hello::client_hello(bytes) else { panic!("none") };
    hello
}

#[test]
fn hellos_of_other_clients_say_what_they_were_asked_to_say() {
    let find = |name: &str| {
        read_hello(&seeds("client_hello").into_iter().find(|seed| seed.0 == name).unwrap().1)
    };
    let hello = find("ok-openssl-tls13");
    assert_eq!(hello.server_name.as_deref(), Some("www.example.com"));
    assert_eq!(hello.alpn.names().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert_eq!(hello.versions.highest(), Some(0x0304));
    assert_eq!(find("ok-a-byte-a-record"), hello);
    let hello = find("ok-openssl-tls12");
    assert_eq!((hello.server_name.as_deref(), hello.versions.highest()), (None, Some(0x0303)));
    let hello = find("ok-openssl-fragments");
    assert_eq!(
        (hello.server_name.as_deref(), hello.alpn.names().count()),
        (Some("fragments.example"), 40)
    );
    assert_eq!(find("ok-curl").server_name.as_deref(), Some("curl.example"));
}

#[test]
fn a_post_quantum_hello_is_read_from_several_segments() {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("Pq.Example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    assert!(bytes.len() > 1_460, "{} bytes fit in one segment", bytes.len());
    let hello = read_hello(&bytes);
    assert_eq!(hello.server_name.as_deref(), Some("pq.example"));
    assert_eq!(hello.alpn.names().collect::<Vec<_>>(), [b"h2"]);
    assert!(hello.versions.contains(0x0304) && hello.versions.contains(0x0303));
}

/// Whether a connection ended with the fault that the name of the seed says.
fn assert_fault(name: &str, fault: Option<&str>) {
    let mut words = name.split('-');
    match (words.next(), words.next()) {
        (Some("ok"), _) => assert_eq!(fault, None, "{name}"),
        (Some("bad"), expected) => assert_eq!(fault, expected, "{name}"),
        _ => {}
    }
    assert_ne!(fault, Some("internal"), "{name}");
}

#[test]
fn tls_sessions_end_as_their_seeds_say_and_mutations_do_no_harm() {
    let seeds = seeds("tls_session");
    for (name, bytes) in &seeds {
        for step in 0..4 {
            let mut bytes = bytes.clone();
            bytes[0] |= step << 4;
            assert_fault(name, tls_session::tls_session(&bytes));
        }
    }
    let mut random = Random::new(5);
    for round in 0..4_000 {
        let (name, seed) = &seeds[round % seeds.len()];
        let mut bytes = seed.clone();
        mutate(&mut bytes, seed, &mut random);
        let fault = tls_session::tls_session(&bytes);
        assert_ne!(fault, Some("internal"), "{name}: {}", bytes.escape_ascii());
    }
}

#[test]
fn a_tls_handshake_can_be_cut_anywhere() {
    tls_session::cut_anywhere();
}

#[test]
fn of_a_message_in_many_tls_records_not_much_is_kept() {
    for (is_client, is_old) in [(false, false), (false, true), (true, false), (true, true)] {
        let taken = tls_session::many_fragments(is_client, is_old);
        assert!(taken < 100_000, "{taken} bytes");
    }
}

#[test]
fn grpc_seeds_end_as_their_names_say_and_mutations_do_no_harm() {
    type Reads = fn(&[u8]) -> grpc::Found;
    let readers: [(&str, Reads); 2] = [("grpc_messages", grpc::messages), ("grpc_web", grpc::web)];
    for (reader, read) in readers {
        let seeds = seeds(reader);
        for (name, bytes) in &seeds {
            let found = read(bytes);
            let mut words = name.split('-');
            match (words.next(), words.next()) {
                (Some("ok"), _) => assert_eq!(found.failed, None, "{reader}/{name}: {found:?}"),
                (Some("bad"), fault) => {
                    assert_eq!(found.failed, fault, "{reader}/{name}: {found:?}");
                }
                _ => {}
            }
        }
        let mut random = Random::new(7);
        for round in 0..5_000_u64 {
            let (_, seed) = &seeds[usize::try_from(round % seeds.len() as u64).unwrap()];
            let mut bytes = seed.clone();
            mutate(&mut bytes, seed, &mut random);
            read(&bytes);
        }
    }
}

#[test]
fn topics_seeds_are_answered_as_their_names_say_and_mutations_do_no_harm() {
    let seeds = seeds("topics_messages");
    let mut met = Vec::new();
    for (name, bytes) in &seeds {
        let refused = topics::messages(bytes);
        let mut words = name.split('-');
        match (words.next(), words.next()) {
            (Some("ok"), _) => assert!(refused.is_empty(), "{name}: {refused:?}"),
            (Some("bad"), code) => assert_eq!(refused.last().copied(), code, "{name}"),
            _ => {}
        }
        met.extend(refused);
    }
    for code in Fault::CODES.iter().filter(|&&code| code != "not_permitted") {
        assert!(met.contains(code), "no seed is refused with {code}");
    }
    let mut random = Random::new(7);
    for round in 0..20_000_u64 {
        let (_, seed) = &seeds[usize::try_from(round % seeds.len() as u64).unwrap()];
        let mut bytes = seed.clone();
        mutate(&mut bytes, seed, &mut random);
        topics::messages(&bytes);
    }
}

#[test]
fn websocket_seeds_are_inflated_as_their_names_say_and_mutations_do_no_harm() {
    let seeds = seeds("websocket_inflate");
    for (name, bytes) in &seeds {
        let found = deflate::inflate(bytes);
        let mut words = name.split('-');
        match (words.next(), words.next()) {
            (Some("ok"), _) => assert!(found.is_ok(), "{name}: {found:?}"),
            (Some("bad"), fault) => assert_eq!(found.err(), fault, "{name}"),
            _ => {}
        }
    }
    let mut random = Random::new(9);
    for round in 0..3_000_u64 {
        let (_, seed) = &seeds[usize::try_from(round % seeds.len() as u64).unwrap()];
        let mut bytes = seed.clone();
        mutate(&mut bytes, seed, &mut random);
        let _found = deflate::inflate(&bytes);
    }
}

#[test]
fn websocket_seeds_are_read_as_their_names_say_and_mutations_do_no_harm() {
    let seeds = seeds("websocket_frames");
    for (name, bytes) in &seeds {
        let failed =
            websocket::frames(bytes).failed.map(ringway::proto::websocket::Violation::name);
        match name.split_once('-') {
            Some(("bad", rule)) => assert_eq!(failed, Some(rule), "{name}"),
            Some(("ok", _)) => assert_eq!(failed, None, "{name}"),
            Some(_) | None => {}
        }
    }
    let mut random = Random::new(6);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].1.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            let byte = random.bits().to_le_bytes()[0];
            match random.below(4) {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at + 1),
            }
        }
        let shown = bytes.clone();
        let result = std::panic::catch_unwind(move || websocket::frames(&bytes));
        assert!(result.is_ok(), "{}", shown.escape_ascii());
    }
}
