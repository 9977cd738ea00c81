//! Tables, every position at which received bytes can be cut, and both ends against each other.

use super::*;

const SERVER: ServerOptions =
    ServerOptions { window: 256, max_payload: PAYLOAD_MAX, features: Features::ALL };

/// The frames of `tests/vectors/frame.txt`, made by another implementation.
fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("../../../tests/vectors/frame.txt");
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let hex = line.and_then(|line| line.split(' ').nth(2)).expect("the vector is there");
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn vectors(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| vector(name)).collect()
}

/// What a server makes of `pieces`: a line for each event, and what it sends by itself.
fn serve(options: ServerOptions, pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let mut server = Server::new(options);
    let (mut events, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        loop {
            match server.next(&mut input, &mut out) {
                Ok(Some(ServerEvent::Request(Request { stream, command, payload, .. }))) => {
                    events.push(format!("{command} {stream} {}", payload.escape_ascii()));
                }
                Ok(Some(ServerEvent::Refused { stream, code, .. })) => {
                    events.push(format!("refused {stream} {}", code.name()));
                }
                Ok(Some(ServerEvent::Greeted)) => events.push("greeted".to_owned()),
                Ok(Some(ServerEvent::Credit { stream, bytes })) => {
                    events.push(format!("credit {stream} {bytes}"));
                }
                Ok(Some(ServerEvent::Reset { stream })) => events.push(format!("reset {stream}")),
                Ok(None) => break,
                Err(error) => {
                    server.fail(&error, &mut out);
                    events.push(error.to_string());
                    return (events, out);
                }
            }
        }
        assert!(input.is_empty(), "a reader takes all");
    }
    if let Err(error) = server.at_end() {
        events.push(error.to_string());
    }
    (events, out)
}

#[test]
fn flow_control_is_as_the_specification_shows() {
    let (events, out) = serve(SERVER, &[&vector("hello-offer-flow")]);
    assert_eq!(events, ["greeted"]);
    assert_eq!(out, vector("hello-answer-flow"));
    let asked = [vector("hello-offer-flow"), v2_get(4), vectors(&["v2-credit", "v2-reset"])];
    let (events, _) = serve(SERVER, &[&asked.concat()]);
    assert_eq!(events, ["greeted", "GET 4 motd", "credit 4 100000", "reset 4"]);
    let asked = [vector("hello-offer-flow"), v2_get(4), vector("v2-credit-of-none")].concat();
    let (events, _) = serve(SERVER, &[&asked]);
    let text = "CREDIT on stream 4: credit of 0 bytes, which is 0 or above 2147483647";
    assert_eq!(events, ["greeted", "GET 4 motd", text]);
    // Nothing of it without an agreement, and nothing for what was not asked yet.
    let plain = [vector("hello-offer"), v2_get(4), vector("v2-credit")].concat();
    assert_eq!(serve(SERVER, &[&plain]).0[2], "a request on stream 4, after one on 4");
    let early = [vector("hello-offer-flow"), vector("v2-reset")].concat();
    assert_eq!(serve(SERVER, &[&early]).0[1], "a request on stream 4, after one on 0");
}

fn v2_get(stream: u32) -> Vec<u8> {
    let header = Header { stream, flags: FLAG_LAST, ..Header::new(Version::V2, Command::GET) };
    let mut frame = Vec::new();
    write_frame(&header, b"motd", &mut frame);
    frame
}

#[test]
fn a_client_gives_credit_and_holds_servers_to_it() {
    let options = ClientOptions { features: Features::ALL, credit: 9, ..ClientOptions::default() };
    let mut client = Client::new(options);
    let mut out = Vec::new();
    client.hello(&mut out);
    let mut answer = Vec::new();
    let mut server = Server::new(SERVER);
    assert_eq!(server.next(&mut &*out, &mut answer), Ok(Some(ServerEvent::Greeted)));
    assert!(matches!(client.next(&mut &*answer), Ok(Some(ClientEvent::Ready(_)))));
    assert!(client.has_flow() && server.credit() == Some(9));
    assert_eq!(begin(&mut client, Command::GET, 'a'), Some(1));
    let data = |len| self::answer(Version::V2, 1, Command::DATA, &vec![0; len]);
    assert_eq!(answered(&mut client, &data(9)), Ok((Some('a'), false)));
    assert_eq!(client.credit_of(1), 0);
    out.clear();
    client.credit(1, 5, &mut out);
    client.credit(1, u32::MAX, &mut out);
    client.credit(7, 1, &mut out);
    client.reset(1, &mut out);
    client.reset(1, &mut out);
    assert_eq!(out.len(), 17 + 17 + 13, "no more than a stream may have, and one RESET");
    assert_eq!(client.credit_of(1), CREDIT_MAX);
    assert_eq!(client.open(), 1, "until the last frame has come");
    let exceeded = FrameError::CreditExceeded { stream: 2, len: 10, credit: 9 };
    assert_eq!(begin(&mut client, Command::GET, 'b'), Some(2));
    let data = self::answer(Version::V2, 2, Command::DATA, &[0; 10]);
    assert_eq!(answered(&mut client, &data), Err(exceeded));
    assert_eq!(exceeded.code(), Some(Code::BadCredit));
}

#[test]
fn a_server_reads_what_the_specification_shows() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["ping-empty"], &["PING 0 "]),
        (&["echo", "ping"], &["ECHO 0 hello", "PING 0 are you there?"]),
        (&["hello-offer", "v2-ping", "v2-echo"], &["greeted", "PING 1 ", "ECHO 2 hello"]),
        (&["message", "get", "stats"], &["MESSAGE 0 \\x04chathello", "GET 0 motd", "STATS 0 "]),
        (&["custom"], &["command 0x40 0 \\x00\\x01"]),
        (&["pong-empty", "echo"], &["refused 0 wrong_state", "ECHO 0 hello"]),
        (&["bad-command", "echo"], &["refused 0 unknown_command", "ECHO 0 hello"]),
        (&["echo", "hello-offer"], &["ECHO 0 hello", "refused 0 wrong_state"]),
        (&["goaway", "data", "end"], &["refused 0 wrong_state"; 3]),
        (&["hello-from-the-future"], &["versions 3 to 9 are not spoken here, only 1 to 2"]),
        (&["bad-version"], &["version 3 instead of 1"]),
        (&["echo", "v2-echo"], &["ECHO 0 hello", "version 2 instead of 1"]),
        (&["hello-offer", "echo"], &["greeted", "version 1 instead of 2"]),
        (
            &["hello-offer", "v2-echo", "v2-ping"],
            &["greeted", "ECHO 2 hello", "a request on stream 1, after one on 2"],
        ),
        (&["bad-checksum"], &["checksum 0xc33fd39f on ECHO, whose bytes give 0xc33fd39e"]),
    ];
    for (names, expected) in cases {
        let bytes = vectors(names);
        let (events, _) = serve(SERVER, &[&bytes]);
        let same = match (events.last(), expected.last()) {
            (Some(a), Some(b)) if b.starts_with("checksum") => a.starts_with("checksum"),
            _ => events == *expected,
        };
        assert!(same, "{names:?}: {events:?}");
    }
}

#[test]
fn where_the_bytes_are_cut_changes_nothing() {
    let sequences: &[&[&str]] = &[
        &[
            "ping-empty",
            "echo",
            "ping",
            "message",
            "get",
            "stats",
            "custom",
            "bad-command",
            "echo-64",
        ],
        &["hello-offer", "v2-ping", "v2-echo", "v2-message"],
        &["hello-from-the-future"],
        &["echo", "bad-checksum"],
        &["hello-offer", "v2-echo", "v2-ping"],
        &["echo", "hello-offer", "pong"],
        &["bad-version"],
    ];
    for names in sequences {
        let bytes = vectors(names);
        let whole = serve(SERVER, &[&bytes]);
        for first in 0..=bytes.len() {
            for second in [first, first + 1, first + 7, bytes.len()] {
                let second = second.min(bytes.len());
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(serve(SERVER, &pieces), whole, "{names:?} cut at {first}, {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(serve(SERVER, &single), whole, "{names:?} byte by byte");
    }
}

#[test]
fn a_run_of_echoes_ends_where_anything_else_begins() {
    let cases: &[(&[&str], u64)] = &[
        (&[], 0),
        (&["ping", "echo"], 0),
        (&["echo", "echo-64", "echo"], 3),
        (&["echo", "ping", "echo"], 1),
        (&["echo", "bad-checksum"], 1),
        (&["echo", "bad-version"], 1),
        (&["v2-echo"], 0),
    ];
    for (names, expected) in cases {
        let bytes = vectors(names);
        for len in 0..=bytes.len() {
            let mut server = Server::new(SERVER);
            let mut input = &bytes[..len];
            let (count, taken) = server.next_echoes(&mut input);
            assert!(count <= *expected && taken + input.len() == len);
            assert!(len < bytes.len() || count == *expected, "{names:?}");
        }
    }
    let mut part = Server::new(SERVER);
    let (bytes, mut out) = (vector("echo"), Vec::new());
    assert_eq!(part.next(&mut &bytes[..5], &mut out), Ok(None));
    assert_eq!(part.next_echoes(&mut &bytes[5..]), (0, 0), "the first frame has begun");
}

#[test]
fn a_stream_of_bytes_that_ends_within_a_frame_is_truncated() {
    let bytes = vector("echo");
    for len in 1..bytes.len() {
        let (events, _) = serve(SERVER, &[&bytes[..len]]);
        assert_eq!(events, [format!("the bytes end within a frame, after {len} of it")]);
    }
    assert!(serve(SERVER, &[&bytes]).0.last().is_some_and(|event| event == "ECHO 0 hello"));
}

#[test]
fn a_hello_is_answered_with_what_both_can() {
    let (_, out) = serve(SERVER, &[&vector("hello-offer")]);
    assert_eq!(out, vector("hello-answer-v2"));
    let (_, out) = serve(SERVER, &[&vector("hello-from-the-future")]);
    assert!(out.starts_with(&vector("hello-none-in-common")), "the range that is spoken");
    let mut small = Vec::new();
    let offer = Hello {
        lowest: 1,
        highest: 1,
        chosen: 0,
        window: 3,
        max_payload: 64,
        features: Features::GET,
        credit: 0,
    };
    write_frame(&Header::new(Version::V1, Command::HELLO), &offer.to_bytes(), &mut small);
    let (_, out) = serve(SERVER, &[&small]);
    let answer = Hello::parse(&out[4..]).unwrap();
    assert_eq!(answer, Hello { highest: 2, chosen: 1, ..offer });
}

#[test]
fn another_version_is_told_which_ones_are_spoken() {
    for input in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x03", &vector("bad-version"), b"\0\0"] {
        let (events, out) = serve(SERVER, &[input]);
        assert_eq!(events, [format!("version {} instead of 1", input[0])]);
        assert!(out.starts_with(&vector("hello-none-in-common")));
        let error = &out[vector("hello-none-in-common").len()..];
        assert_eq!(error[..2], [1, Command::ERROR.0]);
        assert_eq!(error[4..6], Code::UnsupportedVersion.number().to_be_bytes());
    }
}

#[test]
fn a_payload_beyond_the_limit_is_refused_by_its_header() {
    let small = ServerOptions { max_payload: 64, ..SERVER };
    assert_eq!(serve(small, &[&vector("echo-64")]).0.len(), 1);
    let (events, out) = serve(small, &[&[1, 4, 0, 65]]);
    assert_eq!(events, ["a payload of 65 bytes; at most 64 were agreed on"]);
    assert_eq!(out[4..6], Code::PayloadTooLarge.number().to_be_bytes());
}

#[test]
fn payloads_that_are_none_are_refused() {
    let short = |found, least| PayloadError::Short { found, least };
    assert_eq!(Hello::parse(&[1; 11]), Err(short(11, 12)));
    assert_eq!(Hello::parse(&[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]), Err(PayloadError::Range));
    assert_eq!(Hello::parse(&[2, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]), Err(PayloadError::Range));
    assert_eq!(Hello::parse(&[1, 1, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0]), Err(PayloadError::Small));
    assert_eq!(Hello::parse(&[1, 1, 0, 0, 0, 1, 0, 63, 0, 0, 0, 0]), Err(PayloadError::Small));
    assert_eq!(End::parse(&[0; 11]), Err(short(11, 12)));
    assert_eq!(GoAway::parse(&[0; 9]), Err(short(9, 10)));
    assert_eq!(parse_error(&[0]), Err(short(1, 2)));
    assert_eq!(parse_message(b""), Err(short(0, 2)));
    assert_eq!(parse_message(b"\x04cha"), Err(short(4, 5)));
    assert_eq!(parse_message(b"\0x"), Err(PayloadError::NameLength));
    assert_eq!(parse_message(b"\x02\xff\xfe"), Err(PayloadError::NameText));
    assert_eq!(parse_name(&[b'a'; 256]), Err(PayloadError::NameLength));
    assert_eq!(parse_message(&message("chat", b"hello")), Ok(("chat", &b"hello"[..])));
    assert_eq!(message(&"x".repeat(256), b""), b"", "no name, no head");
    let long = "ü".repeat(2_000);
    let mut payload = Vec::new();
    write_error_payload(Code::Internal, &long, PAYLOAD_MAX, &mut payload);
    let (code, text) = parse_error(&payload).unwrap();
    assert_eq!((code, text.len(), long.starts_with(&*text)), (0x2f, 1024, true));
    payload.clear();
    write_error_payload(Code::Internal, &long, 65, &mut payload);
    assert_eq!(payload.len(), 64, "a character is not cut");
}

#[test]
fn codes_and_commands_know_their_numbers() {
    for (index, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(Code::from_number(code.number()), Some(code));
        assert_eq!(code.index(), index);
        assert_eq!(Code::ends_connection(code.number()), code.number() < 0x10);
    }
    assert_eq!(Code::from_number(0x7777), None);
    assert_eq!(Command(0x33).to_string(), "command 0x33");
    assert_eq!(format!("{:?}", Command::GOAWAY), "GOAWAY");
    let requests: Vec<u8> = (0..=255).filter(|&code| Command(code).is_request()).collect();
    assert_eq!(requests[..5], [2, 4, 5, 6, 9]);
    assert_eq!(requests[5..], (0x40..=0x7f).collect::<Vec<u8>>());
}

/// A client with HELLO agreed, with `window`, in `version`.
fn open_client(version: Version, window: u16) -> Client<char> {
    let mut client = Client::new(ClientOptions { highest: version, ..ClientOptions::default() });
    let mut out = Vec::new();
    assert!(!client.can_begin(), "nothing before HELLO");
    client.hello(&mut out);
    let mut server = Server::new(ServerOptions { window, ..SERVER });
    let mut answer = Vec::new();
    assert_eq!(server.next(&mut &*out, &mut answer), Ok(Some(ServerEvent::Greeted)));
    let event = client.next(&mut &*answer).unwrap();
    let ready = Ready { version, window, max_payload: PAYLOAD_MAX, features: Features::REQUESTS };
    assert_eq!(event, Some(ClientEvent::Ready(ready)));
    client
}

fn begin(client: &mut Client<char>, command: Command, who: char) -> Option<u32> {
    client.begin(command, command.is_idempotent(), b"hello", who, &mut Vec::new())
}

fn answer(version: Version, stream: u32, command: Command, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&Header::answer(version, command, stream), payload, &mut out);
    out
}

/// Who is answered by `bytes`, and whether for the last time.
fn answered(client: &mut Client<char>, bytes: &[u8]) -> Result<(Option<char>, bool), FrameError> {
    match client.next(&mut &*bytes)? {
        Some(ClientEvent::Answer(Answer { who, last, .. })) => Ok((who, last)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_of_version_1_go_to_the_oldest_request() {
    let mut client = open_client(Version::V1, 3);
    for (who, number) in [('a', 1), ('b', 2), ('c', 3)] {
        let command = if who == 'b' { Command::GET } else { Command::ECHO };
        assert_eq!(begin(&mut client, command, who), Some(number));
    }
    assert_eq!(begin(&mut client, Command::ECHO, 'd'), None, "the window is full");
    let v1 = |command, payload: &[u8]| answer(Version::V1, 0, command, payload);
    assert_eq!(answered(&mut client, &v1(Command::ECHO, b"hello")), Ok((Some('a'), true)));
    assert_eq!(answered(&mut client, &v1(Command::DATA, b"1")), Ok((Some('b'), false)));
    client.give_up(2);
    assert_eq!(answered(&mut client, &v1(Command::END, &[0; 12])), Ok((None, true)));
    let error = v1(Command::ERROR, &Code::Internal.number().to_be_bytes());
    assert_eq!(answered(&mut client, &error), Ok((Some('c'), true)));
    assert_eq!(client.open(), 0);
    let nobody_s = FrameError::UnexpectedAnswer { command: Command::ECHO, stream: 0 };
    assert_eq!(answered(&mut client, &v1(Command::ECHO, b"")), Err(nobody_s));
}

#[test]
fn answers_of_version_2_may_overtake_each_other() {
    let mut client = open_client(Version::V2, 8);
    let streams: Vec<u32> =
        "abcd".chars().map(|who| begin(&mut client, Command::GET, who).unwrap()).collect();
    assert_eq!(streams, [1, 2, 3, 4]);
    let v2 = |stream, command| answer(Version::V2, stream, command, &[0; 12]);
    assert_eq!(answered(&mut client, &v2(3, Command::DATA)), Ok((Some('c'), false)));
    assert_eq!(answered(&mut client, &v2(2, Command::END)), Ok((Some('b'), true)));
    assert_eq!(answered(&mut client, &v2(3, Command::END)), Ok((Some('c'), true)));
    assert_eq!(answered(&mut client, &v2(1, Command::DATA)), Ok((Some('a'), false)));
    assert_eq!(client.open(), 2);
    let again = FrameError::UnexpectedAnswer { command: Command::END, stream: 2 };
    assert_eq!(answered(&mut client, &v2(2, Command::END)), Err(again));
    let mut lost = Vec::new();
    client.take_open(&mut lost);
    assert_eq!((lost, client.open()), (vec!['a', 'd'], 0));
}

#[test]
fn an_answer_of_another_kind_ends_the_connection() {
    let cases = [
        (Command::PING, Command::ECHO),
        (Command::ECHO, Command::PONG),
        (Command::ECHO, Command::DATA),
        (Command::GET, Command::GET),
        (Command::STATS, Command::HELLO),
        (Command::MESSAGE, Command::ECHO),
        (Command(0x41), Command(0x42)),
    ];
    for (asked, came) in cases {
        let mut client = open_client(Version::V2, 8);
        begin(&mut client, asked, 'x').unwrap();
        let wrong = FrameError::UnexpectedAnswer { command: came, stream: 1 };
        assert_eq!(answered(&mut client, &answer(Version::V2, 1, came, b"")), Err(wrong));
    }
    let fits = [
        (Command::PING, Command::PONG),
        (Command::STATS, Command::STATS),
        (Command(0x41), Command(0x41)),
        (Command(0x41), Command::END),
        (Command::MESSAGE, Command::MESSAGE),
    ];
    for (asked, came) in fits {
        let mut client = open_client(Version::V2, 8);
        begin(&mut client, asked, 'x').unwrap();
        assert_eq!(
            answered(&mut client, &answer(Version::V2, 1, came, b"")),
            Ok((Some('x'), true))
        );
    }
}

#[test]
fn a_server_that_goes_away_says_what_it_has_not_done() {
    for version in [Version::V1, Version::V2] {
        let mut client = open_client(version, 8);
        let begun: Vec<_> =
            "abcd".chars().map(|who| begin(&mut client, Command::ECHO, who)).collect();
        assert_eq!(begun, [Some(1), Some(2), Some(3), Some(4)]);
        let mut payload = Vec::new();
        GoAway::write(2, Code::ShuttingDown, "bye", PAYLOAD_MAX, &mut payload);
        let bytes = answer(version, 0, Command::GOAWAY, &payload);
        match client.next(&mut &*bytes).unwrap() {
            Some(ClientEvent::GoAway(going)) => assert_eq!((going.last, &*going.text), (2, "bye")),
            other => panic!("{other:?}"),
        }
        let mut lost = Vec::new();
        client.take_after(2, &mut lost);
        assert_eq!(lost, ['c', 'd']);
        assert!(!client.can_begin());
        assert_eq!(client.open(), 2);
    }
}

#[test]
fn errors_of_the_connection_end_it_on_the_client_too() {
    let mut client = open_client(Version::V1, 8);
    begin(&mut client, Command::ECHO, 'a').unwrap();
    let code = Code::BadChecksum.number();
    let bytes = answer(Version::V1, 0, Command::ERROR, &code.to_be_bytes());
    assert_eq!(answered(&mut client, &bytes), Err(FrameError::PeerError { code }));
    let mut fresh: Client<char> = Client::new(ClientOptions::default());
    fresh.hello(&mut Vec::new());
    let none = FrameError::NoCommonVersion { lowest: 1, highest: 2 };
    assert_eq!(fresh.next(&mut &*vector("hello-none-in-common")), Err(none));
    let mut fresh: Client<char> = Client::new(ClientOptions::default());
    fresh.hello(&mut Vec::new());
    assert!(matches!(fresh.next(&mut &*vector("goaway")), Ok(Some(ClientEvent::GoAway(_)))));
    let mut fresh: Client<char> = Client::new(ClientOptions::default());
    fresh.hello(&mut Vec::new());
    let other = FrameError::NoHello { command: Command::ECHO };
    assert_eq!(fresh.next(&mut &*vector("echo")), Err(other));
}

#[test]
fn a_request_without_an_answer_fails_none_that_overtake_it() {
    let mut client = open_client(Version::V2, 2);
    begin(&mut client, Command::ECHO, 'a').unwrap();
    for round in 0..1_000 {
        let stream = begin(&mut client, Command::ECHO, 'b').unwrap();
        assert_eq!(stream, round + 2);
        let bytes = answer(Version::V2, stream, Command::ECHO, b"");
        assert_eq!(answered(&mut client, &bytes), Ok((Some('b'), true)));
        let again = FrameError::UnexpectedAnswer { command: Command::ECHO, stream };
        let forgotten = client.next(&mut &*bytes).map(drop);
        assert_eq!(forgotten, Err(again));
    }
    let oldest = answer(Version::V2, 1, Command::ECHO, b"");
    assert_eq!(answered(&mut client, &oldest), Ok((Some('a'), true)));
    assert!(begin(&mut client, Command::ECHO, 'c').is_some() && !client.is_spent());
}

#[test]
fn what_a_payload_is_sent_from_does_not_matter() {
    for version in [Version::V1, Version::V2] {
        let header = Header::answer(version, Command::DATA, 9);
        let mut whole = Vec::new();
        write_frame(&header, b"Ringway", &mut whole);
        let mut parts = Vec::new();
        let checksum = write_around(&header, b"Ringway", &mut parts);
        parts.extend_from_slice(b"Ringway");
        parts.extend_from_slice(&checksum);
        assert_eq!(parts, whole);
        assert_eq!(whole.len(), version.frame_len(7));
    }
}
