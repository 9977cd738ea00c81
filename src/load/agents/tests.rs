//! The messages between a coordinator and an agent, and what an agent refuses.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::agent::{Agent, Notice};
use super::message::{
    COUNT_MAX, EndedLine, Line, PLAN_MAX, POLL, Poll, START, STOP, SliceLine, Start, Stop, UPLOAD,
    Upload,
};
use super::plan::Plan;
use super::{Agents, TOKEN_MIN, Token};
use crate::client::tls_plan::{Blob, TlsPlan};
use crate::load::generator::Ended;
use crate::load::options::LoadOptions;
use crate::load::recorder::{EXAMPLE_MAX, Failure, Slice};
use crate::load::schedule::Arrivals;
use crate::service::handler::{Handler, Kind, Refusal, Request};

const TOKEN: &str = "0123456789abcdef";

fn options() -> LoadOptions {
    LoadOptions {
        connections: 7,
        threads: 2,
        arrivals: Some(Arrivals::Poisson { rate: 1234.5 }),
        body: Some(vec![0, 255, 1]),
        messages: vec![vec![8], Vec::new()],
        duration: None,
        count: Some(99),
        fields: vec![("a".to_owned(), "b".to_owned())],
        agents: Some(Agents {
            targets: vec!["a:1".parse().unwrap(), "b:1".parse().unwrap(), "c:1".parse().unwrap()],
            token: Token::new(TOKEN).unwrap(),
            tls: None,
            load_tls: None,
        }),
        ..LoadOptions::new("http://server:8080/path?x".parse().unwrap())
    }
}

#[test]
fn a_plan_says_what_the_options_say_and_has_its_places() {
    let options = options();
    let tls = TlsPlan { pins: vec!["x".to_owned()], ..TlsPlan::default() };
    let plan = Plan::of(&options, 1, Some(&tls));
    assert_eq!((plan.first, plan.own), (2, 2));
    let text = serde_json::to_vec(&plan).unwrap();
    let read: Plan = serde_json::from_slice(&text).unwrap();
    assert_eq!(read, plan);
    assert!(read.options().is_err(), "the pin is wrong");
    let read = Plan::of(&options, 0, None).options().unwrap();
    let LoadOptions { targets, connections, threads, arrivals, body, messages, .. } = &read;
    assert_eq!((targets, *connections, *threads), (&options.targets, 7, 6));
    assert_eq!((arrivals, body), (&options.arrivals, &options.body));
    assert_eq!(
        (messages, read.count, &read.fields),
        (&options.messages, Some(99), &options.fields)
    );
    // Keys are not shown by mistake.
    let identity = Some((Blob(b"cert".to_vec()), Blob(b"key".to_vec())));
    let shown = format!("{:?}", TlsPlan { identity, ..TlsPlan::default() });
    assert!(!shown.contains("107") && shown.contains("4 bytes"), "{shown}");
}

#[test]
fn a_plan_beyond_limits_is_refused() {
    let change = |key: &str, value: &str| {
        let mut plan = serde_json::to_value(Plan::of(&options(), 0, None)).unwrap();
        plan[key] = serde_json::from_str(value).unwrap();
        serde_json::from_value::<Plan>(plan).unwrap().options()
    };
    for (key, value) in [
        ("version", "99"),
        ("own", "7"),
        ("first", "18446744073709551615"),
        ("threads", "1000000"),
        ("connections", "1000001"),
        ("connect_timeout", r#"{"secs": 61, "nanos": 0}"#),
        ("targets", r#"[["tcp://unix:/run/x.sock", 1]]"#),
        ("streams", "1000000"),
        ("size", "10000000000"),
        ("answer_size", "10000000000"),
        ("duration", r#"{"secs": 99999999, "nanos": 0}"#),
        ("targets", r#"[["nonsense", 1]]"#),
    ] {
        assert!(change(key, value).is_err(), "{key}");
    }
    assert!(change("seed", "5").is_ok());
}

#[test]
fn a_slice_comes_as_it_went() {
    let mut slice = Slice::new(17);
    slice.total.record(Duration::from_micros(321));
    slice.lateness.record(Duration::from_nanos(50));
    slice.tally.sent = 3;
    slice.fail(Failure::Timeout, || "late".to_owned());
    slice.statuses.insert(404, 2);
    let text = serde_json::to_string(&SliceLine::of(&slice)).unwrap();
    assert!(text.len() < 2000, "{}", text.len());
    let read = serde_json::from_str::<SliceLine>(&text).unwrap().slice().unwrap();
    assert_eq!((read.number, &read.tally), (17, &slice.tally));
    assert_eq!((&read.failures, &read.statuses), (&slice.failures, &slice.statuses));
    assert_eq!(read.total.summary(), slice.total.summary());
    assert_eq!((read.lateness.count(), read.tls.count()), (1, 0));
    let ended = Ended { unsent: 4, error: Some("why".to_owned()), ..Ended::default() };
    let ended = EndedLine::of(&ended).ended();
    assert_eq!((ended.unsent, ended.error.as_deref()), (4, Some("why")));
}

#[test]
fn a_slice_that_no_agent_writes_is_refused_or_cut() {
    let read = |text: &str| serde_json::from_str::<SliceLine>(text).unwrap().slice();
    assert!(read(&format!(r#"{{"sent": {}}}"#, COUNT_MAX + 1)).is_none());
    assert!(read(r#"{"failures": [["nonsense", 1, ""]]}"#).is_none());
    assert!(read(r#"{"number": 18446744073709551615}"#).is_none());
    assert!(read(r#"{"threads": 5000}"#).is_none());
    let statuses: Vec<_> = (0..3000).map(|status| format!("\"{status}\": 1")).collect();
    assert!(read(&format!(r#"{{"statuses": {{{}}}}}"#, statuses.join(","))).is_none());
    let long = "é".repeat(EXAMPLE_MAX);
    let slice = read(&format!(r#"{{"failures": [["reset", 1, "{long}"]]}}"#)).unwrap();
    assert_eq!(slice.failures[&Failure::Reset].example.len(), EXAMPLE_MAX);
    let packed = r#"{"total": {"hdr": "bm9uc2Vuc2U="}}"#;
    assert!(serde_json::from_str::<SliceLine>(packed).is_err());
}

#[test]
fn a_token_is_long_enough_and_not_shown() {
    for text in ["", "  \n", "short"] {
        assert!(Token::new(text).is_err(), "{text:?}");
    }
    let token = Token::new(&format!(" {TOKEN}\n")).unwrap();
    assert!(token.is(TOKEN) && !token.is("0123456789abcdee") && !token.is(""));
    assert!(!format!("{token:?}").contains(TOKEN));
    assert_eq!(TOKEN.len(), TOKEN_MIN);
}

/// An agent, and its notices.
fn agent() -> (Agent, Receiver<Notice>) {
    let (told, notices) = channel();
    let tell = std::sync::Mutex::new(told);
    let tell = move |notice| drop(tell.lock().unwrap().send(notice));
    (Agent::new(Token::new(TOKEN).unwrap(), tell), notices)
}

fn ask(
    agent: &mut Agent,
    command: u8,
    request: &impl serde::Serialize,
) -> Result<Vec<u8>, Refusal> {
    let payload = serde_json::to_vec(request).unwrap();
    let mut answer = Vec::new();
    let request = Request { kind: Kind::Command(command), payload: &payload };
    agent.handle(&request, &mut answer).map(|()| answer)
}

/// A part of a plan, by the upload and the number of the part.
fn upload(token: &str, (upload, number): (u64, u32), part: &[u8], is_last: bool) -> Upload {
    Upload { token: token.to_owned(), upload, number, part: Blob(part.to_vec()), is_last }
}

#[test]
fn an_agent_refuses_what_it_does_not_know() {
    let (mut agent, notices) = agent();
    let mut refused = |command, payload: &[u8], word: &str| {
        let request = Request { kind: Kind::Command(command), payload };
        let error = agent.handle(&request, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(UPLOAD, b"", "invalid request");
    refused(0x60, b"{}", "unknown");
    for command in [POLL, STOP] {
        let wrong = br#"{"token": "0123456789abcdee", "run": 1, "forget": true}"#;
        refused(command, wrong, "token");
        let right = br#"{"token": "0123456789abcdef", "run": 1, "forget": true}"#;
        refused(command, right, "no such run");
    }
    let far = Start { token: TOKEN.to_owned(), run: 1, in_us: u64::MAX };
    assert!(ask(&mut agent, START, &far).unwrap_err().to_string().contains("more than 60 s away"));
    let error =
        ask(&mut agent, UPLOAD, &upload("wrong token, 16 c", (1, 0), b"", true)).unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
    let error = ask(&mut agent, UPLOAD, &upload(TOKEN, (1, 0), b"{}", true)).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
    let seen: Vec<_> = notices.try_iter().collect();
    // A flood of them gives one notice per second.
    assert_eq!(seen, [Notice::WrongToken(1)]);
}

#[test]
fn an_upload_takes_no_more_memory_than_its_limit() {
    let (mut agent, _notices) = agent();
    let part = vec![b' '; 1 << 20];
    for number in 0..32 {
        ask(&mut agent, UPLOAD, &upload(TOKEN, (1, number), &part, false)).unwrap();
    }
    assert_eq!(PLAN_MAX, 32 << 20);
    let error = ask(&mut agent, UPLOAD, &upload(TOKEN, (1, 32), b" ", false)).unwrap_err();
    assert!(error.to_string().contains("at most 32 MiB"), "{error}");
    // Another upload starts from its first part.
    ask(&mut agent, UPLOAD, &upload(TOKEN, (2, 0), &part, false)).unwrap();
    // The first coordinator gets an error: another one has started an upload.
    let error = ask(&mut agent, UPLOAD, &upload(TOKEN, (1, 33), b" ", false)).unwrap_err();
    assert!(error.to_string().contains("another coordinator"), "{error}");
}

#[test]
fn a_run_that_cannot_begin_says_why_and_makes_room_for_another() {
    let (mut agent, notices) = agent();
    let options = LoadOptions { streams: 2, ..options() };
    let plan = serde_json::to_vec(&Plan::of(&options, 0, None)).unwrap();
    for number in 1..=2 {
        let (one, other) = plan.split_at(50);
        ask(&mut agent, UPLOAD, &upload(TOKEN, (number, 0), one, false)).unwrap();
        let answer = ask(&mut agent, UPLOAD, &upload(TOKEN, (number, 1), other, true)).unwrap();
        assert_eq!(answer, format!(r#"{{"run":{number}}}"#).into_bytes());
        assert!(matches!(notices.recv().unwrap(), Notice::Accepted { connections: 7, .. }));
        let Notice::Ended(Some(reason)) = notices.recv().unwrap() else { panic!("it has ended") };
        assert!(reason.contains("one request at a time"), "{reason}");
        // Until its reports are fetched, the agent accepts no other run.
        let busy = ask(&mut agent, UPLOAD, &upload(TOKEN, (9, 0), one, false)).unwrap_err();
        assert!(busy.to_string().contains("another run"), "{busy}");
        let poll = Poll { token: TOKEN.to_owned(), run: number };
        let lines = ask(&mut agent, POLL, &poll).unwrap();
        let line = serde_json::from_slice(lines.trim_ascii_end()).unwrap();
        assert!(matches!(line, Line::Failed { reason } if reason.contains("one request")));
    }
}

#[test]
fn a_forgotten_run_makes_room_though_its_reports_were_not_taken() {
    let (mut agent, notices) = agent();
    let options = LoadOptions { streams: 2, ..options() };
    let plan = serde_json::to_vec(&Plan::of(&options, 0, None)).unwrap();
    ask(&mut agent, UPLOAD, &upload(TOKEN, (1, 0), &plan, true)).unwrap();
    assert!(matches!(notices.recv().unwrap(), Notice::Accepted { .. }));
    assert!(matches!(notices.recv().unwrap(), Notice::Ended(Some(_))));
    let stop = Stop { token: TOKEN.to_owned(), run: 1, forget: true };
    ask(&mut agent, STOP, &stop).unwrap();
    ask(&mut agent, UPLOAD, &upload(TOKEN, (2, 0), &plan, true)).unwrap();
}

#[test]
fn a_plan_of_another_version_is_told_so() {
    let (mut agent, _notices) = agent();
    let plan = br#"{"version": 99}"#;
    let error = ask(&mut agent, UPLOAD, &upload(TOKEN, (1, 0), plan, true)).unwrap_err();
    assert!(error.to_string().contains("run the same ringway on both"), "{error}");
}
