//! Messages of publish and subscribe on any bytes: hubs never panic, answers are of the client's
//! format, and what is published reaches subscribers as it was sent.

use ringway::service::topics::{
    Fault, Format, Hub, HubLimits, Outcome, Permissions, Publication, Pushed, encode,
};

/// Small, so that every limit is met.
const LIMITS: HubLimits = HubLimits {
    payload_max: 300,
    subscriptions_max: 2,
    filters_max: 3,
    retained_max: 2,
    retained_bytes: 600,
    retained_burst: 1,
};

/// The codes of the messages that were refused. The first byte of an input says which format it
/// is: `b` is the binary one. The second byte ends each message, if it is not the same as the
/// first.
pub(crate) fn messages(input: &[u8]) -> Vec<&'static str> {
    let Some((&kind, rest)) = input.split_first() else { return Vec::new() };
    let Some((&end, rest)) = rest.split_first() else { return Vec::new() };
    let format = if kind == b'b' { Format::Binary } else { Format::Json };
    let all = Permissions { publish: true, subscribe: true };
    let mut hub = Hub::new(LIMITS, 0);
    let subscribers = [hub.open(0), hub.open(1)];
    let mut refused = Vec::new();
    for (turn, message) in rest.split(|&byte| byte == end && end != kind).enumerate() {
        let mut out = Vec::new();
        let outcome = hub.handle(subscribers[turn % 2], message, format, all, &mut out);
        check_answer(format, &outcome, &out);
        match outcome {
            Outcome::Refused(code) => refused.push(code),
            Outcome::Publish(publication) => {
                check_encodings(&publication);
                let mut told = Vec::new();
                let number = hub.admit(&publication);
                let count = hub.deliver(&publication, number, |key| {
                    told.push(key);
                    Pushed::Queued
                });
                told.sort_unstable();
                told.dedup();
                assert_eq!(told.len(), count, "each subscriber once");
            }
            Outcome::Subscribed { retained, left_out } => {
                assert!(retained.len() <= 1 && retained.len() + left_out <= 2);
                retained.iter().for_each(check_encodings);
            }
            Outcome::Done => {}
        }
        let stats = hub.stats();
        assert!(stats.filters <= 3 && stats.subscriptions <= 4 && stats.retained <= 2);
        assert!(stats.retained_bytes <= 600);
    }
    subscribers.into_iter().for_each(|id| hub.close(id));
    assert_eq!((hub.stats().subscriptions, hub.stats().filters), (0, 0));
    refused
}

fn check_answer(format: Format, outcome: &Outcome, out: &[u8]) {
    let refused = match outcome {
        Outcome::Refused(code) => Some(*code),
        Outcome::Done | Outcome::Publish(_) | Outcome::Subscribed { .. } => None,
    };
    if out.is_empty() {
        assert_eq!(refused, None, "what is refused is answered");
        return;
    }
    match format {
        Format::Json => {
            let json: serde_json::Value = serde_json::from_slice(out).expect("an answer is JSON");
            assert_eq!(json.get("error").and_then(|code| code.as_str()), refused);
            assert_eq!(json["op"] == "error", refused.is_some());
        }
        Format::Binary => {
            assert!(out.len() >= 5);
            assert_eq!(out[0] == 0x82, refused.is_some());
            if let Some(code) = refused {
                assert_eq!(Fault::CODES[usize::from(out[5]) - 1], code);
                assert!(std::str::from_utf8(&out[6..]).is_ok());
            }
        }
    }
}

/// Subscribers get the topic and the payload as they were published, in both formats.
fn check_encodings(publication: &Publication) {
    let (topic, payload) = (publication.topic().as_str(), &**publication.payload());
    let mut out = Vec::new();
    encode(publication, Format::Binary, true, &mut out);
    let len = usize::from(u16::from_be_bytes([out[2], out[3]]));
    assert_eq!((out[0], out[1], &out[4..4 + len]), (0x83, 1, topic.as_bytes()));
    assert_eq!(&out[4 + len..], payload);
    out.clear();
    encode(publication, Format::Json, false, &mut out);
    // Not a `Value`: data may have numbers that no double holds, and escapes that are no characters.
    let json: Message<'_> = serde_json::from_slice(&out).expect("a message is JSON");
    assert_eq!((&*json.op, &*json.topic), ("message", topic));
    match (json.data, json.base64) {
        (Some(data), None) => {
            let text = std::str::from_utf8(payload).expect("JSON is UTF-8");
            assert_eq!(data.get(), text.trim_matches([' ', '\t', '\r', '\n']));
        }
        (None, Some(base64)) => assert_eq!(base64.len(), payload.len().div_ceil(3) * 4),
        _ => panic!("a message has data or base64: {}", out.escape_ascii()),
    }
}

#[derive(serde::Deserialize)]
struct Message<'a> {
    op: String,
    topic: String,
    #[serde(default, borrow, deserialize_with = "some")]
    data: Option<&'a serde_json::value::RawValue>,
    base64: Option<String>,
}

/// `null` is data as well.
fn some<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a serde_json::value::RawValue>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}
