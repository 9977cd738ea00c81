//! Messages as JSON: one object after the other, from an argument or from standard input.

use std::fs::File;
use std::io::{ErrorKind, Read};

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::value::RawValue;

use super::super::{Failure, input};

/// Bytes of one message in JSON, at most.
const JSON_MAX: usize = 16 * 1024 * 1024;
/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// What is sent.
pub(super) enum Input {
    /// These messages.
    Messages(Vec<Vec<u8>>),
    /// What standard input has.
    Stream,
}

/// The messages of a text, encoded.
pub(super) fn read_messages(text: &[u8], kind: &MessageDescriptor) -> Result<Vec<Vec<u8>>, String> {
    let (messages, rest) = split(text, kind);
    match rest?.trim_ascii() {
        b"" => Ok(messages),
        _ => Err(no_message(kind, "it ends within a value")),
    }
}

/// The messages that a text has whole, and what is behind them, or why that is no message.
fn split<'a>(text: &'a [u8], kind: &MessageDescriptor) -> (Vec<Vec<u8>>, Result<&'a [u8], String>) {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    let mut messages = Vec::new();
    loop {
        let at = values.byte_offset();
        match values.next() {
            None => return (messages, Ok(&[])),
            Some(Ok(value)) => match encode(value.get(), kind) {
                Ok(message) => messages.push(message),
                Err(error) => return (messages, Err(error)),
            },
            Some(Err(error)) if error.is_eof() => {
                return (messages, Ok(text.get(at..).unwrap_or_default()));
            }
            Some(Err(error)) => return (messages, Err(no_message(kind, &error.to_string()))),
        }
    }
}

fn encode(json: &str, kind: &MessageDescriptor) -> Result<Vec<u8>, String> {
    let mut source = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(kind.clone(), &mut source);
    let message = message.map_err(|error| no_message(kind, &error.to_string()))?;
    Ok(message.encode_to_vec())
}

fn no_message(kind: &MessageDescriptor, why: &str) -> String {
    format!("the input is no {} in JSON: {why}", kind.full_name())
}

/// What one read has brought.
pub(super) struct Batch {
    /// Messages that are whole.
    pub(super) messages: Vec<Vec<u8>>,
    /// What follows them.
    pub(super) then: Then,
}

/// What follows messages.
pub(super) enum Then {
    /// More, perhaps.
    More,
    /// The end of the input.
    End,
    /// What is no message.
    Wrong(String),
}

/// Standard input, read as far as it is there.
pub(super) struct Reader {
    file: File,
    kind: MessageDescriptor,
    /// The beginning of a value.
    partial: Vec<u8>,
}

impl Reader {
    pub(super) fn new(kind: MessageDescriptor) -> Result<Self, Failure> {
        Ok(Self { file: input()?, kind, partial: Vec::new() })
    }

    /// What is to be watched.
    pub(super) const fn descriptor(&self) -> &File {
        &self.file
    }

    /// Reads once.
    pub(super) fn read(&mut self) -> Result<Batch, Failure> {
        let before = self.partial.len();
        self.partial.resize(before + PIECE, 0);
        let read = self.file.read(self.partial.get_mut(before..).unwrap_or_default());
        let count = match read {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
            {
                self.partial.truncate(before);
                return Ok(Batch { messages: Vec::new(), then: Then::More });
            }
            Err(error) => return Err(Failure::input(&error)),
        };
        self.partial.truncate(before + count);
        let (messages, rest) = split(&self.partial, &self.kind);
        let then = match rest.map(<[u8]>::to_vec) {
            Err(why) => Then::Wrong(why),
            Ok(rest) if count == 0 && rest.trim_ascii().is_empty() => Then::End,
            Ok(_) if count == 0 => Then::Wrong(no_message(&self.kind, "it ends within a value")),
            Ok(rest) if rest.len() > JSON_MAX => {
                Then::Wrong(format!("a message of more than {JSON_MAX} bytes"))
            }
            Ok(rest) => {
                self.partial = rest;
                Then::More
            }
        };
        Ok(Batch { messages, then })
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    fn kind(name: &str) -> MessageDescriptor {
        DescriptorPool::global().get_message_by_name(name).unwrap()
    }

    #[test]
    fn values_follow_each_other_however_they_are_written() {
        let kind = kind("google.protobuf.Value");
        for (text, count) in [
            ("", 0),
            (" \n", 0),
            ("{}", 1),
            ("{} {}", 2),
            ("{\"a\":\n 1}{\"a\": 2}\n", 2),
            ("[1] \"x\" 2", 3),
        ] {
            let messages = read_messages(text.as_bytes(), &kind).unwrap();
            assert_eq!(messages.len(), count, "{text:?}");
        }
        let (messages, rest) = split(b"{} {\"a\"", &kind);
        assert_eq!((messages.len(), rest.unwrap().trim_ascii()), (1, &b"{\"a\""[..]));
    }

    #[test]
    fn what_is_no_message_says_why() {
        let kind = kind("google.protobuf.FileDescriptorProto");
        for (text, word) in [
            ("{", "ends within a value"),
            ("{]", "key must be a string"),
            ("{\"no_such\": 1}", "no_such"),
            ("{\"name\": 1}", "string"),
            ("1", "google.protobuf.FileDescriptorProto in JSON: "),
        ] {
            let error = read_messages(text.as_bytes(), &kind).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        // What comes before is kept.
        let (messages, wrong) = split(b"{} {\"name\": \"a\"} {\"no_such\": 1} {}", &kind);
        assert_eq!((messages.len(), wrong.is_err()), (2, true));
        let name = read_messages(b"{\"name\": \"a\"}", &kind).unwrap();
        assert_eq!(name, [[10, 1, b'a']]);
    }
}
