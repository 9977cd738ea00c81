use serde_json::Value;

use super::*;

const NOW: Duration = Duration::new(1_795_428_000, 123_456_789);

/// Answers a few types, in every way there is.
#[derive(Debug)]
struct Program;

impl Handler for Program {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        assert!(answer.is_empty());
        answer.extend_from_slice(b"dropped when refused");
        match request.kind {
            Kind::Message("reverse") => {
                answer.clear();
                answer.extend(request.payload.iter().rev());
                Ok(())
            }
            Kind::Message("later") => Err(Refusal::Unavailable("come back".to_owned())),
            Kind::Message("broken") => Err(Refusal::Internal("a \"defect\"\n".to_owned())),
            Kind::Message("picky") => Err(Refusal::BadPayload("not a number".to_owned())),
            Kind::Message(_) | Kind::Command(_) => Err(Refusal::Unknown),
        }
    }
}

/// The answer and its outcome. Holds for every answer: one line, JSON, appended.
fn ask(line: &[u8]) -> (String, Result<(), MessageError>) {
    let mut out = b"before".to_vec();
    let mut stats = |out: &mut Vec<u8>| out.extend_from_slice(br#"{"x":1}"#);
    let outcome = Messages::default().answer(line, NOW, &mut stats, &mut Program, &mut out);
    let answer = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
    let body = answer.strip_suffix('\n').unwrap();
    assert!(!body.contains('\n'));
    let value: Value = serde_json::from_str(body).unwrap();
    let code = value.get("code").map(|code| code.as_str().unwrap());
    assert_eq!(code, outcome.as_ref().err().map(MessageError::code));
    assert_eq!(code.is_some(), value["type"] == "error");
    (body.to_owned(), outcome)
}

fn answer(line: &str) -> String {
    ask(line.as_bytes()).0
}

/// The code, message and id of an error.
fn error(line: &[u8]) -> (String, String, Value) {
    let value: Value = serde_json::from_str(&ask(line).0).unwrap();
    let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"), value["id"].clone())
}

#[test]
fn echo_gives_the_payload_and_the_id_back() {
    let cases = [
        (r#"{"type":"echo"}"#, r#"{"type":"echo","payload":""}"#),
        (r#"{"type":"echo","payload":""}"#, r#"{"type":"echo","payload":""}"#),
        (r#"{"type":"echo","payload":"aGk="}"#, r#"{"type":"echo","payload":"aGk="}"#),
        (
            r#" { "id" : "a\u0062\"" , "payload":"+/+/" , "type":"echo" } "#,
            r#"{"type":"echo","payload":"+/+/","id":"a\u0062\""}"#,
        ),
        (r#"{"type":"echo","id":1.50e+3}"#, r#"{"type":"echo","payload":"","id":1.50e+3}"#),
        (
            r#"{"type":"echo","id":-12345678901234567890123}"#,
            r#"{"type":"echo","payload":"","id":-12345678901234567890123}"#,
        ),
        (
            r#"{"\u0074ype":"ech\u006f","payload":"\/\/\/\/"}"#,
            r#"{"type":"echo","payload":"////"}"#,
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(answer(line), expected);
    }
}

#[test]
fn every_payload_comes_back_as_it_was() {
    let bytes: Vec<u8> = (0..=255).collect();
    for len in 0..=bytes.len() {
        let text = STANDARD.encode(&bytes[..len]);
        let line = format!(r#"{{"type":"echo","payload":"{text}","id":{len}}}"#);
        assert_eq!(answer(&line), line);
        let reversed = answer(&format!(r#"{{"type":"reverse","payload":"{text}"}}"#));
        let value: Value = serde_json::from_str(&reversed).unwrap();
        assert_eq!(value["type"], "reverse");
        let back = STANDARD.decode(value["payload"].as_str().unwrap()).unwrap();
        assert!(back.iter().rev().eq(&bytes[..len]));
    }
}

#[test]
fn time_stats_and_the_program_answer() {
    let time = answer(r#"{"type":"time","id":"t"}"#);
    let date = STANDARD.encode("2026-11-23T10:00:00.123456789Z");
    let expected = format!(r#"{{"type":"time","unix":1795428000,"payload":"{date}","id":"t"}}"#);
    assert_eq!(time, expected);
    assert_eq!(answer(r#"{"type":"stats"}"#), r#"{"type":"stats","payload":"eyJ4IjoxfQ=="}"#);
    assert_eq!(
        answer(r#"{"type":"reverse","payload":"YWJj","id":7}"#),
        r#"{"type":"reverse","payload":"Y2Jh","id":7}"#
    );
}

#[test]
fn what_is_wrong_is_told() {
    let long_type = format!(r#"{{"type":"{}"}}"#, "t".repeat(TYPE_MAX + 1));
    let long_id = format!(r#"{{"type":"echo","id":"{}"}}"#, "i".repeat(ID_MAX - 1));
    let cases: &[(&str, &str, &str)] = &[
        ("{", "bad_json", "EOF while parsing an object at column 1"),
        ("   ", "bad_json", "EOF while parsing a value at column 3"),
        ("echo", "bad_json", "expected value at column 1"),
        (r#"{"type":echo}"#, "bad_json", "expected value at column 9"),
        (r#"{"type":"echo"} x"#, "bad_json", "trailing characters at column 17"),
        (r#"{"type":"echo",}"#, "bad_json", "trailing comma at column 16"),
        (r#"{type:"echo"}"#, "bad_json", "key must be a string at column 2"),
        (r#"{"x":1,"type":}"#, "bad_json", "expected value at column 15"),
        ("[]", "not_an_object", "a message is a JSON object"),
        ("null", "not_an_object", "a message is a JSON object"),
        (r#""echo""#, "not_an_object", "a message is a JSON object"),
        ("{}", "missing_type", "the member \"type\" is missing"),
        (r#"{"payload":"!"}"#, "missing_type", "the member \"type\" is missing"),
        (r#"{"type":null}"#, "bad_type", "\"type\" must be a string of 1 to 255 bytes"),
        (r#"{"type":""}"#, "bad_type", "\"type\" must be a string of 1 to 255 bytes"),
        (r#"{"type":"\ud800"}"#, "bad_type", "\"type\" must be a string of 1 to 255 bytes"),
        (&long_type, "bad_type", "\"type\" must be a string of 1 to 255 bytes"),
        (r#"{"type":"echo","type":"echo"}"#, "bad_type", "\"type\" is given twice"),
        (
            r#"{"type":"echo","payload":1}"#,
            "bad_payload",
            "\"payload\" must be a string, of base64",
        ),
        (r#"{"type":"no","payload":{}}"#, "bad_payload", "\"payload\" must be a string, of base64"),
        (
            r#"{"type":"echo","payload":"","payload":""}"#,
            "bad_payload",
            "\"payload\" is given twice",
        ),
        (r#"{"type":"picky"}"#, "bad_payload", "not a number"),
        (
            r#"{"type":"echo","id":null}"#,
            "bad_id",
            "\"id\" must be a string or a number of at most 128 bytes",
        ),
        (&long_id, "bad_id", "\"id\" must be a string or a number of at most 128 bytes"),
        (r#"{"type":"echo","id":1,"id":2}"#, "bad_id", "\"id\" is given twice"),
        (
            r#"{"kind":"echo","type":3}"#,
            "unknown_member",
            "unknown member \"kind\"; there are \"type\", \"payload\" and \"id\"",
        ),
        (r#"{"type":"nobody"}"#, "unknown_type", "unknown type \"nobody\""),
        (r#"{"type":"error"}"#, "unknown_type", "unknown type \"error\""),
        (r#"{"type":"Echo"}"#, "unknown_type", "unknown type \"Echo\""),
        (r#"{"type":"later"}"#, "unavailable", "come back"),
        (r#"{"type":"broken"}"#, "internal", "a \"defect\"\n"),
    ];
    for (line, code, message) in cases {
        let (found, text, _) = error(line.as_bytes());
        assert_eq!((found.as_str(), text.as_str()), (*code, *message), "{line}");
    }
}

#[test]
fn a_payload_has_one_encoding() {
    for text in ["a", "aa", "aGk", "aGl=", "aGk==", "a Gk=", "aGk=\\n", "-_-_", "====", "aGk=aGk="]
    {
        let line = format!(r#"{{"type":"echo","payload":"{text}","id":5}}"#);
        let (code, message, id) = error(line.as_bytes());
        assert_eq!(code, "bad_payload", "{text}");
        assert!(!message.is_empty());
        assert_eq!(id, 5);
    }
}

#[test]
fn an_error_carries_the_id_wherever_it_could_be_read() {
    let cases = [
        (r#"{"id":1,"type":}"#, Value::from(1)),
        (r#"{"type":,"id":1}"#, Value::Null),
        (r#"{"id":1,"type":"echo"}}"#, Value::from(1)),
        (r#"{"id":"one","x":[{"deep":[]}]}"#, Value::from("one")),
        (r#"{"x":[{"deep":[]}],"id":"one"}"#, Value::from("one")),
        (r#"{"id":2,"id":3}"#, Value::Null),
        (r#"{"id":2,"id":3,"id":4}"#, Value::Null),
        (r#"{"id":12x}"#, Value::Null),
        (r#"{"id":12"#, Value::Null),
        (r#"{"id":"a" "#, Value::Null),
        (r#"{"id":[],"type":"echo"}"#, Value::Null),
        (r#"{"type":"nobody","id":4.5}"#, Value::from(4.5)),
    ];
    for (line, id) in cases {
        assert_eq!(error(line.as_bytes()).2, id, "{line}");
    }
}

#[test]
fn limits_are_what_they_say() {
    let kind = "t".repeat(TYPE_MAX);
    let (code, message, _) = error(format!(r#"{{"type":"{kind}"}}"#).as_bytes());
    assert_eq!(code, "unknown_type");
    assert!(message.len() < 100, "told back in part: {message}");
    let id = "i".repeat(ID_MAX - 2);
    let found = answer(&format!(r#"{{"type":"echo","id":"{id}"}}"#));
    assert_eq!(found, format!(r#"{{"type":"echo","payload":"","id":"{id}"}}"#));
}

#[test]
fn what_is_not_utf_8_is_not_json() {
    let (code, message, _) = error(b"{\"type\":\"\xff\"}");
    assert_eq!((code.as_str(), message.as_str()), ("bad_json", "not UTF-8 at column 10"));
}

#[test]
fn nesting_has_no_depth_that_hurts() {
    for member in ["type", "payload", "id", "x"] {
        let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
        let (code, ..) = error(format!("{{\"{member}\":{open}{close}}}").as_bytes());
        assert!(["bad_type", "missing_type", "bad_id", "unknown_member"].contains(&code.as_str()));
        let (code, ..) = error(format!("{{\"{member}\":{open}").as_bytes());
        assert_eq!(code, "bad_json");
        assert_eq!(error(open.as_bytes()).0, "not_an_object");
    }
}

#[test]
fn a_line_that_could_not_be_read_is_answered_too() {
    let cases = [
        (LineError::TooLong { limit: 9 }, "line_too_long"),
        (LineError::Unfinished, "unfinished_line"),
    ];
    for (error, code) in cases {
        let mut out = Vec::new();
        assert_eq!(Messages::refuse(error, &mut out).code(), code);
        let value: Value = serde_json::from_slice(out.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((&value["type"], &value["code"]), (&"error".into(), &code.into()));
    }
}

#[test]
fn a_changed_byte_anywhere_is_answered_by_a_line() {
    let line = br#"{"type":"reverse","payload":"aGVsbG8=","id":"x\u0041"}"#;
    for at in 0..line.len() {
        for byte in (0..=255).filter(|&byte| byte != b'\n') {
            let mut changed = line.to_vec();
            changed[at] = byte;
            drop(ask(&changed));
        }
        drop(ask(&line[..at]));
    }
}

#[test]
fn memory_of_a_large_message_is_given_back() {
    let mut messages = Messages::default();
    let text = STANDARD.encode(vec![7; 4 * KEPT]);
    let line = format!(r#"{{"type":"reverse","payload":"{text}"}}"#);
    let mut out = Vec::new();
    let mut stats = |_: &mut Vec<u8>| {};
    messages.answer(line.as_bytes(), NOW, &mut stats, &mut Program, &mut out).unwrap();
    assert!(messages.payload.capacity() <= KEPT && messages.answer.capacity() <= KEPT);
    assert!(out.len() > 5 * KEPT);
}
