//! The JSON format: one object a message. Data is passed on byte for byte: it is checked, and
//! never made into values.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::format::{ClientMessage, Command, ID_BYTES_MAX, ID_MAX, Id, Reply};
use super::publication::{DATA_DEPTH_MAX, Publication, depth};

/// The members that a message may have. Others are ignored, so that later clients may send more.
const NAMES: [&str; 6] = ["op", "topic", "id", "data", "base64", "retain"];
const OP: usize = 0;
const TOPIC: usize = 1;
const ID: usize = 2;
const DATA: usize = 3;
const BASE64: usize = 4;
const RETAIN: usize = 5;

/// Reads a client's message.
pub(super) fn read(message: &[u8]) -> ClientMessage<'_> {
    match Members::read(message) {
        Err(fault) => ClientMessage { id: Id::None, command: Err(fault) },
        Ok(members) => match members.id() {
            Err(fault) => ClientMessage { id: Id::None, command: Err(fault) },
            Ok(id) => ClientMessage { id, command: members.command() },
        },
    }
}

/// The members of a message, as they stand in it. Nothing is copied, and values are passed over
/// without recursion, however deep they are nested.
#[derive(Debug, Default)]
struct Members<'a> {
    values: [Option<&'a RawValue>; NAMES.len()],
    /// A member that is given twice.
    twice: Option<usize>,
}

impl<'a> Members<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(message).map_err(|error| {
            Fault::BadMessage(format!("not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let mut members = Self::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Fill(&mut members).deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| match error.classify() {
            Category::Data => bad("a message is a JSON object"),
            Category::Syntax | Category::Eof | Category::Io => bad(&format!("not JSON: {error}")),
        })?;
        Ok(members)
    }

    fn id(&self) -> Result<Id<'a>, Fault> {
        // Neither of two is the one that the client would know its message by.
        if self.twice == Some(ID) {
            return Err(bad("\"id\" is given twice"));
        }
        let Some(raw) = self.values[ID] else { return Ok(Id::None) };
        let id = match string(raw) {
            Some(text) => (text.len() <= ID_BYTES_MAX).then_some(Id::Text(text)),
            None => raw.get().parse().ok().filter(|&id| id <= ID_MAX).map(Id::Number),
        };
        id.ok_or_else(|| {
            bad("\"id\" must be an integer from 0 to 2^53-1, or a string of at most 64 bytes")
        })
    }

    fn command(&self) -> Result<Command<'a>, Fault> {
        if let Some(twice) = self.twice {
            return Err(bad(&format!("\"{}\" is given twice", NAMES[twice])));
        }
        let op = self.values[OP].ok_or_else(|| bad("the member \"op\" is missing"))?;
        let op = string(op).ok_or_else(|| bad("\"op\" must be a string"))?;
        match &*op {
            "subscribe" => Ok(Command::Subscribe(self.topic()?)),
            "unsubscribe" => Ok(Command::Unsubscribe(self.topic()?)),
            "publish" => Ok(Command::Publish {
                topic: self.topic()?,
                payload: self.payload()?,
                is_json: self.values[DATA].is_some(),
                retain: self.retain()?,
            }),
            "ping" => Ok(Command::Ping),
            _ => Err(Fault::UnknownOp),
        }
    }

    fn topic(&self) -> Result<Cow<'a, [u8]>, Fault> {
        let raw = self.values[TOPIC].ok_or_else(|| bad("the member \"topic\" is missing"))?;
        match string(raw) {
            Some(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
            Some(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
            None => Err(bad("\"topic\" must be a string")),
        }
    }

    /// The data, or the bytes that `base64` stands for; without both, no byte.
    fn payload(&self) -> Result<Cow<'a, [u8]>, Fault> {
        match (self.values[DATA], self.values[BASE64]) {
            (None, None) => Ok(Cow::Borrowed(b"")),
            (Some(_), Some(_)) => Err(bad("\"data\" and \"base64\" exclude each other")),
            (Some(data), None) => {
                let data = data.get().as_bytes();
                if depth(data) > DATA_DEPTH_MAX {
                    return Err(Fault::TooDeep);
                }
                Ok(Cow::Borrowed(data))
            }
            (None, Some(raw)) => {
                let text = string(raw).ok_or_else(|| bad("\"base64\" must be a string"))?;
                let bytes = STANDARD
                    .decode(&*text)
                    .map_err(|error| bad(&format!("\"base64\" is not base64: {error}")))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    fn retain(&self) -> Result<bool, Fault> {
        match self.values[RETAIN].map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad("\"retain\" must be true or false")),
        }
    }
}

fn bad(why: &str) -> Fault {
    Fault::BadMessage(why.to_owned())
}

/// The text of a JSON string; `None` for other values, and for escapes that are no characters.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Reads the name of a member: its place in [`NAMES`], if it is there.
#[derive(Debug)]
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(NAMES.iter().position(|known| *known == name))
    }
}

/// Reads an object to its end.
#[derive(Debug)]
struct Fill<'m, 'a>(&'m mut Members<'a>);

impl<'a> DeserializeSeed<'a> for Fill<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Fill<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(member) = members.next_key_seed(Name)? {
            let Some(member) = member else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.0.values[member].replace(members.next_value()?).is_some() {
                // What is wrong with the id has to be known before anything is answered.
                self.0.twice = if member == ID { Some(ID) } else { self.0.twice.or(Some(member)) };
            }
        }
        Ok(())
    }
}

/// Appends an answer to a client.
pub(super) fn write(id: &Id<'_>, reply: Reply<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(match reply {
        Reply::Ok => br#"{"op":"ok""#,
        Reply::Error(_) => br#"{"op":"error""#,
        Reply::Pong => br#"{"op":"pong""#,
    });
    match id {
        Id::None => {}
        Id::Number(number) => {
            out.extend_from_slice(br#","id":"#);
            push_json(number, out);
        }
        Id::Text(text) => {
            out.extend_from_slice(br#","id":"#);
            push_json(text, out);
        }
    }
    if let Reply::Error(fault) = reply {
        out.extend_from_slice(br#","error":"#);
        push_json(fault.code(), out);
        out.extend_from_slice(br#","message":"#);
        push_json(&fault.to_string(), out);
    }
    out.push(b'}');
}

/// Appends the notice that so many messages were dropped.
pub(super) fn write_dropped(count: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"op":"dropped","count":"#);
    push_json(&count, out);
    out.push(b'}');
}

/// Appends a message to subscribers: a payload that is JSON as it is, any other as base64.
pub(super) fn encode(publication: &Publication, retained: bool, out: &mut Vec<u8>) {
    let payload = publication.payload();
    let len = if publication.is_json() { payload.len() } else { payload.len().div_ceil(3) * 4 };
    out.reserve(64 + publication.topic_text().len() + len);
    out.extend_from_slice(br#"{"op":"message","topic":"#);
    push_json(publication.topic().as_str(), out);
    if publication.is_json() {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(payload);
    } else {
        out.extend_from_slice(br#","base64":""#);
        let start = out.len();
        out.resize(start + len, 0);
        let written = STANDARD.encode_slice(&**payload, &mut out[start..]);
        assert_eq!(written, Ok(len), "the room is as long as the encoding");
        out.push(b'"');
    }
    if retained {
        out.extend_from_slice(br#","retained":true"#);
    }
    out.push(b'}');
}

fn push_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a Vec takes any text and number");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish<'a>(topic: &'a str, payload: &'a [u8], is_json: bool, retain: bool) -> Command<'a> {
        let (topic, payload) = (topic.as_bytes().into(), payload.into());
        Command::Publish { topic, payload, is_json, retain }
    }

    #[test]
    fn clients_messages_are_read() {
        let subscribe = || Command::Subscribe(b"chat/+"[..].into());
        let text = |text: &'static str| Id::Text(text.into());
        for (message, id, command) in [
            (r#"{"op":"subscribe","topic":"chat/+","id":1}"#, Id::Number(1), subscribe()),
            (r#" { "id" : "x" , "topic":"chat/+","op":"subscribe"} "#, text("x"), subscribe()),
            (r#"{"op":"subscribe","topic":"\u0063hat\/+"}"#, Id::None, subscribe()),
            (
                r#"{"op":"unsubscribe","topic":"","id":9007199254740991}"#,
                Id::Number(ID_MAX),
                Command::Unsubscribe(b""[..].into()),
            ),
            (r#"{"op":"ping","id":"\u00e9","more":[{"op":1}]}"#, text("\u{e9}"), Command::Ping),
            (r#"{"op":"publish","topic":"a"}"#, Id::None, publish("a", b"", false, false)),
            (
                r#"{"op":"publish","topic":"a","data": {"b" : [1e999,"\ud800"]} ,"retain":true}"#,
                Id::None,
                publish("a", br#"{"b" : [1e999,"\ud800"]}"#, true, true),
            ),
            (
                r#"{"op":"publish","topic":"a","data":null,"retain":false,"id":0}"#,
                Id::Number(0),
                publish("a", b"null", true, false),
            ),
            (
                r#"{"op":"publish","topic":"a","base64":"AP8="}"#,
                Id::None,
                publish("a", b"\0\xff", false, false),
            ),
        ] {
            let read = read(message.as_bytes());
            assert_eq!(read, ClientMessage { id, command: Ok(command) }, "{message}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_id() {
        let one = || Id::Number(1);
        for (message, id, why) in [
            (r"{", Id::None, "not JSON: EOF while parsing an object at line 1 column 1"),
            ("{} {}", Id::None, "not JSON: trailing characters at line 1 column 4"),
            ("[]", Id::None, "a message is a JSON object"),
            ("null", Id::None, "a message is a JSON object"),
            (r#"{"id":1}"#, one(), "the member \"op\" is missing"),
            (r#"{"id":1,"op":5}"#, one(), "\"op\" must be a string"),
            (r#"{"op":"publish","id":1}"#, one(), "the member \"topic\" is missing"),
            (r#"{"op":"publish","topic":[],"id":1}"#, one(), "\"topic\" must be a string"),
            (r#"{"op":"publish","topic":"\ud800","id":1}"#, one(), "\"topic\" must be a string"),
            (
                r#"{"op":"publish","topic":"a","retain":1,"id":1}"#,
                one(),
                "\"retain\" must be true or false",
            ),
            (
                r#"{"op":"publish","topic":"a","data":1,"base64":"","id":1}"#,
                one(),
                "\"data\" and \"base64\" exclude each other",
            ),
            (
                r#"{"op":"publish","topic":"a","base64":1,"id":1}"#,
                one(),
                "\"base64\" must be a string",
            ),
            (r#"{"op":"ping","op":"ping","id":1}"#, one(), "\"op\" is given twice"),
            (r#"{"op":"ping","op":"ping","id":1,"id":2}"#, Id::None, "\"id\" is given twice"),
        ] {
            let expected = ClientMessage { id, command: Err(bad(why)) };
            assert_eq!(read(message.as_bytes()), expected, "{message}");
        }
        let message = read(br#"{"op":"publish","topic":"a","base64":"A","id":1}"#);
        assert!(matches!(message.command, Err(Fault::BadMessage(why)) if why.contains("base64")));
        assert_eq!(read(b"{\xff}").command, Err(bad("not UTF-8 at byte 1")));
        assert_eq!(read(br#"{"op":"Ping"}"#).command, Err(Fault::UnknownOp));
    }

    #[test]
    fn an_id_is_an_integer_or_a_short_string() {
        let long = format!("\"{}\"", "x".repeat(ID_BYTES_MAX));
        for good in ["0", "9007199254740991", "\"\"", &long, "\"\\u0000\""] {
            let message = format!(r#"{{"op":"ping","id":{good}}}"#);
            let read = read(message.as_bytes());
            assert_eq!(read.command, Ok(Command::Ping), "{good}");
            let mut out = Vec::new();
            write(&read.id, Reply::Pong, &mut out);
            assert_eq!(out, format!(r#"{{"op":"pong","id":{good}}}"#).as_bytes());
        }
        let long = format!("\"{}\"", "x".repeat(ID_BYTES_MAX + 1));
        for bad in ["-1", "1.0", "1e2", "9007199254740992", "null", "[]", "true", &long] {
            let message = format!(r#"{{"op":"ping","id":{bad}}}"#);
            let ClientMessage { id, command } = read(message.as_bytes());
            assert_eq!(id, Id::None, "{bad}");
            assert!(matches!(command, Err(Fault::BadMessage(_))), "{bad}");
        }
    }

    #[test]
    fn deep_values_are_refused_or_passed_over_without_recursion() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let with = |name: &str, levels| {
            format!(r#"{{"op":"publish","topic":"a","{name}":{}}}"#, deep(levels))
        };
        let text = with("data", DATA_DEPTH_MAX);
        assert!(read(text.as_bytes()).command.is_ok());
        for levels in [DATA_DEPTH_MAX + 1, 1_000_000] {
            let text = with("data", levels);
            assert_eq!(read(text.as_bytes()).command, Err(Fault::TooDeep));
            assert!(read(with("other", levels).as_bytes()).command.is_ok());
        }
    }

    #[test]
    fn the_servers_messages_are_written() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        let id = Id::Text("a\"b".into());
        assert_eq!(written(&|out| write(&id, Reply::Ok, out)), r#"{"op":"ok","id":"a\"b"}"#);
        let error = Reply::Error(&Fault::NotPermitted("publish"));
        assert_eq!(
            written(&|out| write(&Id::None, error, out)),
            r#"{"op":"error","error":"not_permitted","message":"this client may not publish"}"#
        );
        assert_eq!(written(&|out| write_dropped(3, out)), r#"{"op":"dropped","count":3}"#);
        let message = |payload: &[u8], retained| {
            let publication = Publication::new(b"a\"/b", payload, true).unwrap();
            written(&|out| encode(&publication, retained, out))
        };
        assert_eq!(message(b"[1, 2]", false), r#"{"op":"message","topic":"a\"/b","data":[1, 2]}"#);
        assert_eq!(
            message(b"\0\xff", true),
            r#"{"op":"message","topic":"a\"/b","base64":"AP8=","retained":true}"#
        );
        assert_eq!(message(b"", false), r#"{"op":"message","topic":"a\"/b","base64":""}"#);
    }
}
