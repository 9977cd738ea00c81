//! What a line says: its three members, checked but for the payload's encoding.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::excerpt;
use super::{ID_MAX, MessageError, TYPE_MAX};

const NOT_A_TYPE: &str = "\"type\" must be a string of 1 to 255 bytes";
const TWO_TYPES: &str = "\"type\" is given twice";
const NOT_A_PAYLOAD: &str = "\"payload\" must be a string, of base64";
const TWO_PAYLOADS: &str = "\"payload\" is given twice";
const NOT_AN_ID: &str = "\"id\" must be a string or a number of at most 128 bytes";
const TWO_IDS: &str = "\"id\" is given twice";

/// The members of a message, as they stand in the line. Nothing is copied, and values are passed
/// over without recursion, however deep they are nested: a message has no use for nested ones.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    kind: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    /// The id as it came, to be put into the answer; also of a message that is refused.
    pub(super) id: Option<&'a str>,
    /// An id that is the client's if the line goes on as JSON: `12` may be the beginning of `12x`.
    unsettled: Option<&'a str>,
    has_two_ids: bool,
    /// The first thing that is wrong, if the line is JSON at all.
    fault: Option<MessageError>,
}

impl<'a> Envelope<'a> {
    /// Reads a line. An id that came before the error is known all the same.
    pub(super) fn read(&mut self, line: &'a [u8]) -> Result<(), MessageError> {
        let text = std::str::from_utf8(line).map_err(|error| {
            let column = error.valid_up_to() + 1;
            MessageError::BadJson(format!("not UTF-8 at column {column}"))
        })?;
        let mut json = serde_json::Deserializer::from_str(text);
        Fill(self).deserialize(&mut json).and_then(|()| json.end()).map_err(|error| match error
            .classify()
        {
            Category::Data => MessageError::NotAnObject,
            Category::Syntax | Category::Eof | Category::Io => bad_json(&error),
        })?;
        self.fault.take().map_or(Ok(()), Err)
    }

    /// The type.
    pub(super) fn kind(&self) -> Result<Cow<'a, str>, MessageError> {
        let raw = self.kind.ok_or(MessageError::MissingType)?;
        let kind = string(raw).ok_or(MessageError::BadType(NOT_A_TYPE))?;
        if kind.is_empty() || kind.len() > TYPE_MAX {
            return Err(MessageError::BadType(NOT_A_TYPE));
        }
        Ok(kind)
    }

    /// The payload's text; empty when there is none.
    pub(super) fn payload(&self) -> Result<Cow<'a, str>, MessageError> {
        match self.payload {
            None => Ok(Cow::Borrowed("")),
            Some(raw) => {
                string(raw).ok_or_else(|| MessageError::BadPayload(NOT_A_PAYLOAD.to_owned()))
            }
        }
    }

    fn take(&mut self, member: Member, raw: &'a RawValue) {
        let first = match member {
            Member::Type => self.kind.replace(raw).is_none(),
            Member::Payload => self.payload.replace(raw).is_none(),
            Member::Id => return self.take_id(raw.get()),
            Member::Unknown(name) => return self.blame(MessageError::UnknownMember(name)),
        };
        if !first {
            self.blame(match member {
                Member::Type => MessageError::BadType(TWO_TYPES),
                Member::Payload => MessageError::BadPayload(TWO_PAYLOADS.to_owned()),
                Member::Id | Member::Unknown(_) => return,
            });
        }
    }

    fn take_id(&mut self, raw: &'a str) {
        let starts_well = raw.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        if !starts_well || raw.len() > ID_MAX {
            self.blame(MessageError::BadId(NOT_AN_ID));
        } else if self.id.is_some() || self.has_two_ids {
            // Neither of them is the one that the client would know its message by.
            (self.id, self.has_two_ids) = (None, true);
            self.blame(MessageError::BadId(TWO_IDS));
        } else {
            self.unsettled = Some(raw);
        }
    }

    /// What was read last stands where it ends.
    fn settle_id(&mut self) {
        if let Some(id) = self.unsettled.take() {
            self.id = Some(id);
        }
    }

    fn blame(&mut self, error: MessageError) {
        self.fault.get_or_insert(error);
    }
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

/// A message is one line, so the line's number says nothing.
fn bad_json(error: &serde_json::Error) -> MessageError {
    MessageError::BadJson(error.to_string().replace(" at line 1 column ", " at column "))
}

/// The name of a member.
#[derive(Debug)]
enum Member {
    Type,
    Payload,
    Id,
    Unknown(String),
}

/// Reads a name without keeping it, if it is known.
#[derive(Debug)]
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(match name {
            "type" => Member::Type,
            "payload" => Member::Payload,
            "id" => Member::Id,
            other => Member::Unknown(excerpt(other)),
        })
    }
}

/// Reads an object into an envelope, to its end even if a member is wrong: what is wrong with the
/// JSON comes first, and an id may follow.
#[derive(Debug)]
struct Fill<'m, 'a>(&'m mut Envelope<'a>);

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
        loop {
            let member = members.next_key_seed(Name)?;
            self.0.settle_id();
            let Some(member) = member else { return Ok(()) };
            self.0.take(member, members.next_value()?);
        }
    }
}
