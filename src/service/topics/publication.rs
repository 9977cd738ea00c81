//! What is published, and its encodings, each of which is made once.

use std::fmt;

use serde::de::IgnoredAny;

use super::binary;
use super::fault::Fault;
use super::format::Command;
use super::name::{Topic, TopicError};
use super::queue::Cost;
use crate::mem::Text;

/// Levels of arrays and objects in the data of a publication at most. Data that is nested deeper
/// is refused from clients of the JSON format, and from others passed on as base64, so that no
/// subscriber's parser meets it.
pub const DATA_DEPTH_MAX: usize = 128;

/// Bytes of memory that a publication takes beside its topic and payload: two allocations with
/// their counts, and its place in an ordered set.
const OVERHEAD: usize = 128;

/// One message to a topic. Cloning counts, and copies nothing. It may be sent to other workers.
#[derive(Clone)]
pub struct Publication {
    topic: Text,
    payload: Text,
    /// Which of two publications with `retain` to one topic is the later one, for all hubs.
    pub(super) order: u64,
    retain: bool,
    is_json: bool,
}

impl Publication {
    /// A publication. With `retain` it is kept for subscribers to come; with an empty payload, it
    /// ends that of an earlier one.
    ///
    /// # Errors
    /// When the topic is invalid.
    pub fn new(topic: &[u8], payload: impl Into<Text>, retain: bool) -> Result<Self, TopicError> {
        let topic = Topic::parse(topic)?.as_str().as_bytes().into();
        let payload = payload.into();
        let is_json = is_json(&payload);
        Ok(Self { topic, payload, order: 0, retain, is_json })
    }

    /// The same with a payload that was read as JSON of at most [`DATA_DEPTH_MAX`] levels.
    pub(super) fn of_json(topic: &[u8], payload: &[u8], retain: bool) -> Result<Self, TopicError> {
        let topic = Topic::parse(topic)?.as_str().as_bytes().into();
        Ok(Self { topic, payload: payload.into(), order: 0, retain, is_json: true })
    }

    /// A publication as the binary format has it behind the id: flags, topic, payload.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_binary(bytes: &[u8]) -> Result<Self, Fault> {
        match binary::publish(bytes)? {
            Command::Publish { topic, payload, retain, .. } => {
                Self::new(&topic, &*payload, retain).map_err(Fault::InvalidTopic)
            }
            Command::Subscribe(_) | Command::Unsubscribe(_) | Command::Ping => {
                Err(Fault::UnknownOp)
            }
        }
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> Topic<'_> {
        Topic::of_checked(&self.topic)
    }

    /// The topic, as it may be sent without a copy.
    #[must_use]
    pub const fn topic_text(&self) -> &Text {
        &self.topic
    }

    /// The payload, as it may be sent without a copy.
    #[must_use]
    pub const fn payload(&self) -> &Text {
        &self.payload
    }

    /// Whether it is kept for subscribers to come.
    #[must_use]
    pub const fn retain(&self) -> bool {
        self.retain
    }

    /// Whether the payload is JSON of at most [`DATA_DEPTH_MAX`] levels.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.is_json
    }
}

impl Cost for Publication {
    /// What its memory costs, in bytes.
    fn cost(&self) -> usize {
        self.topic.len() + self.payload.len() + OVERHEAD
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, bytes) = (self.topic.escape_ascii(), self.payload.len());
        let retain = if self.retain { ", retain" } else { "" };
        write!(f, "Publication({topic}, {bytes} bytes{retain})")
    }
}

/// Whether bytes are one JSON value that is not too deep.
fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
        && std::str::from_utf8(bytes).is_ok()
        && depth(bytes) <= DATA_DEPTH_MAX
}

/// Levels of arrays and objects in a JSON value.
pub(super) fn depth(json: &[u8]) -> usize {
    let (mut depth, mut most) = (0, 0_usize);
    let mut bytes = json.iter();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match (byte, in_string) {
            (b'"', _) => in_string = !in_string,
            // What is escaped ends no string.
            (b'\\', true) => drop(bytes.next()),
            (b'[' | b'{', false) => {
                depth += 1;
                most = most.max(depth);
            }
            (b']' | b'}', false) => depth -= 1,
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(payload: &[u8]) -> Publication {
        Publication::new(b"a/b", payload, false).unwrap()
    }

    #[test]
    fn json_is_told_from_other_payloads() {
        for json in ["null", "1", "\"a\"", "{\"a\":[1,{}]}", " [1] \n", "\"\\ud800\"", "1e999"] {
            assert!(publication(json.as_bytes()).is_json(), "{json}");
        }
        for other in ["", "{", "nul", "1 2", "{\"a\":1}x", "'a'", "\u{feff}1"] {
            assert!(!publication(other.as_bytes()).is_json(), "{other}");
        }
        assert!(!publication(b"\"\xff\"").is_json(), "JSON is UTF-8");
    }

    #[test]
    fn depth_counts_levels_outside_strings() {
        for (json, expected) in
            [("1", 0), ("[]", 1), ("[[],{\"[[[\":[]}]", 3), ("\"[\\\"[\"", 0), ("\"\\\\\"", 0)]
        {
            assert_eq!(depth(json.as_bytes()), expected, "{json}");
        }
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(publication(nested(DATA_DEPTH_MAX).as_bytes()).is_json());
        assert!(!publication(nested(DATA_DEPTH_MAX + 1).as_bytes()).is_json());
        assert!(!publication(nested(1_000_000).as_bytes()).is_json());
    }

    #[test]
    fn a_publication_crosses_threads_and_is_not_copied() {
        fn is_send<T: Send + Sync>(_: &T) {}
        let one = publication(b"payload");
        is_send(&one);
        let other = one.clone();
        assert_eq!(one.payload().as_ptr(), other.payload().as_ptr());
        assert_eq!(one.cost(), 3 + 7 + 128);
        assert_eq!(format!("{one:?}"), "Publication(a/b, 7 bytes)");
        assert_eq!(
            Publication::new(b"a/+", &b""[..], true).unwrap_err(),
            TopicError::WildcardInTopic
        );
    }
}
