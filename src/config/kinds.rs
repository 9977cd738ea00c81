//! Kinds of values: how each is read from a file, written to one, and described to an editor.
//!
//! A key of a [`table`](super::table) has a kind, so that each property of it is declared once.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Schema, json};
use toml::de::DeValue;
use toml::{Spanned, Value};

use super::accept::{self, Fault};
use super::schema::{Words, word};
use super::section::{Field, Section};
use super::units::{Period, Size};

/// What the value of a key may be.
pub(super) trait Kind {
    /// The value in memory.
    type Value;

    /// Reads a value, or says what was expected in its place.
    fn accept(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault>;

    /// Reads a key of a table.
    fn read(&self, key: &str, section: &mut Section<'_, '_>) -> Field<Self::Value> {
        section.optional(key, |value| self.accept(value))
    }

    /// Writes a value so that it is read back.
    fn write(&self, value: &Self::Value) -> Value;

    /// The value as JSON Schema (draft 2020-12).
    fn schema(&self) -> Schema;

    /// What values there are, for people, unless what is said of the key tells it.
    fn words(&self) -> Option<String> {
        None
    }

    /// The word that stands in the place of a value, for none.
    fn none_word(&self) -> Option<&'static str> {
        None
    }
}

/// True or false.
pub(super) struct Bool;

impl Kind for Bool {
    type Value = bool;

    fn accept(&self, value: &DeValue<'_>) -> Result<bool, Fault> {
        accept::boolean(value)
    }

    fn write(&self, value: &bool) -> Value {
        Value::from(*value)
    }

    fn schema(&self) -> Schema {
        json!({ "type": "boolean" })
    }

    fn words(&self) -> Option<String> {
        Some("true or false".to_owned())
    }
}

/// A whole number of a range.
pub(super) struct Whole<T>(pub(super) RangeInclusive<T>);

impl<T> Kind for Whole<T>
where
    T: Copy + Display + PartialOrd + TryFrom<i128> + Into<i64>,
{
    type Value = T;

    fn accept(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        accept::whole(value, &self.0)
    }

    fn write(&self, value: &T) -> Value {
        Value::Integer((*value).into())
    }

    fn schema(&self) -> Schema {
        let [least, most] = [*self.0.start(), *self.0.end()].map(Into::<i64>::into);
        json!({ "type": "integer", "minimum": least, "maximum": most })
    }

    fn words(&self) -> Option<String> {
        Some(format!("{} to {}", self.0.start(), self.0.end()))
    }
}

/// A power of two of a range whose ends are powers of two.
pub(super) struct PowerOfTwo(pub(super) RangeInclusive<u32>);

impl Kind for PowerOfTwo {
    type Value = u32;

    fn accept(&self, value: &DeValue<'_>) -> Result<u32, Fault> {
        accept::power_of_two(value, &self.0)
    }

    fn write(&self, value: &u32) -> Value {
        Value::from(*value)
    }

    fn schema(&self) -> Schema {
        let (least, most) = (self.0.start().ilog2(), self.0.end().ilog2());
        let powers: Vec<u32> = (least..=most).map(|bit| 1 << bit).collect();
        json!({ "enum": powers })
    }

    fn words(&self) -> Option<String> {
        Some(format!("a power of two from {} to {}", self.0.start(), self.0.end()))
    }
}

/// A size in bytes, of a range.
pub(super) struct Bytes<T>(pub(super) RangeInclusive<T>);

impl<T> Kind for Bytes<T>
where
    T: Copy + Into<u64> + PartialOrd + TryFrom<u64>,
{
    type Value = T;

    fn accept(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        accept::size(value, &self.0)
    }

    fn write(&self, value: &T) -> Value {
        Value::from(Size((*value).into()).to_string())
    }

    fn schema(&self) -> Schema {
        let [least, most] = [*self.0.start(), *self.0.end()].map(Into::<u64>::into);
        json!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$",
            "minimum": least,
            "maximum": most,
        })
    }

    fn words(&self) -> Option<String> {
        let [least, most] = [*self.0.start(), *self.0.end()].map(|size| Size(size.into()));
        Some(format!("{least} to {most}"))
    }
}

/// A time of a range.
pub(super) struct Time(pub(super) RangeInclusive<Duration>);

impl Kind for Time {
    type Value = Duration;

    fn accept(&self, value: &DeValue<'_>) -> Result<Duration, Fault> {
        accept::duration(value, &self.0)
    }

    fn write(&self, value: &Duration) -> Value {
        Value::from(Period(*value).to_string())
    }

    fn schema(&self) -> Schema {
        json!({ "type": "string", "pattern": "^[0-9]+(ns|us|ms|s|m|h|d)$" })
    }

    fn words(&self) -> Option<String> {
        Some(format!("{} to {}", Period(*self.0.start()), Period(*self.0.end())))
    }
}

/// A number of a range, with a fraction or without.
pub(super) struct Number(pub(super) RangeInclusive<f64>);

impl Kind for Number {
    type Value = f64;

    fn accept(&self, value: &DeValue<'_>) -> Result<f64, Fault> {
        accept::number(value, &self.0)
    }

    fn write(&self, value: &f64) -> Value {
        Value::from(*value)
    }

    fn schema(&self) -> Schema {
        json!({ "type": "number", "minimum": self.0.start(), "maximum": self.0.end() })
    }

    fn words(&self) -> Option<String> {
        Some(format!("{:?} to {:?}", self.0.start(), self.0.end()))
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static>(pub(super) Words<T>);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn accept(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        accept::choice(value, self.0)
    }

    fn write(&self, value: &T) -> Value {
        Value::from(word(self.0, *value))
    }

    fn schema(&self) -> Schema {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        json!({ "enum": words })
    }

    fn words(&self) -> Option<String> {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        Some(accept::either(&words))
    }
}

/// A word that stands for nothing, or a value of another kind.
pub(super) struct Unless<K>(pub(super) &'static str, pub(super) K);

impl<K: Kind> Kind for Unless<K> {
    type Value = Option<K::Value>;

    fn accept(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault> {
        accept::unless(value, self.0, |value| self.1.accept(value))
    }

    fn write(&self, value: &Self::Value) -> Value {
        value.as_ref().map_or_else(|| Value::from(self.0), |value| self.1.write(value))
    }

    fn schema(&self) -> Schema {
        json!({ "anyOf": [{ "const": self.0 }, self.1.schema()] })
    }

    fn words(&self) -> Option<String> {
        self.1.words()
    }

    fn none_word(&self) -> Option<&'static str> {
        Some(self.0)
    }
}

/// The path of a file or folder, or a word that stands for none.
pub(super) struct PathUnless(pub(super) &'static str, pub(super) &'static str);

impl Kind for PathUnless {
    type Value = Option<PathBuf>;

    fn accept(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault> {
        accept::path_unless(value, self.0, |value| accept::path(value, self.1))
    }

    fn write(&self, value: &Self::Value) -> Value {
        let path = value.as_ref().map(|path| path.display().to_string());
        Value::from(path.unwrap_or_else(|| self.0.to_owned()))
    }

    fn schema(&self) -> Schema {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// An IP address and a port.
pub(super) struct IpAddress;

impl Kind for IpAddress {
    type Value = SocketAddr;

    fn accept(&self, value: &DeValue<'_>) -> Result<SocketAddr, Fault> {
        accept::ip_address(value)
    }

    fn write(&self, value: &SocketAddr) -> Value {
        Value::from(value.to_string())
    }

    fn schema(&self) -> Schema {
        json!({ "type": "string", "pattern": ":[0-9]+$" })
    }

    fn words(&self) -> Option<String> {
        Some("IP:PORT".to_owned())
    }
}

/// The permissions of a file, in octal.
pub(super) struct Permissions;

impl Kind for Permissions {
    type Value = u32;

    fn accept(&self, value: &DeValue<'_>) -> Result<u32, Fault> {
        accept::mode(value)
    }

    fn write(&self, value: &u32) -> Value {
        Value::from(format!("{value:04o}"))
    }

    fn schema(&self) -> Schema {
        json!({ "type": "string", "pattern": "^0?[0-7]{3}$" })
    }

    fn words(&self) -> Option<String> {
        Some("octal digits in a string, \"0000\" to \"0777\"".to_owned())
    }
}

/// A text that a function takes.
pub(super) struct Text {
    /// Reads it.
    pub(super) accept: fn(&DeValue<'_>) -> Result<String, Fault>,
}

impl Kind for Text {
    type Value = String;

    fn accept(&self, value: &DeValue<'_>) -> Result<String, Fault> {
        (self.accept)(value)
    }

    fn write(&self, value: &String) -> Value {
        Value::from(value.as_str())
    }

    fn schema(&self) -> Schema {
        json!({ "type": "string" })
    }
}

/// A kind of one key alone.
pub(super) struct Custom<T> {
    /// Reads it.
    pub(super) accept: fn(&DeValue<'_>) -> Result<T, Fault>,
    /// Writes it.
    pub(super) write: fn(&T) -> Value,
    /// Describes it.
    pub(super) schema: fn() -> Schema,
}

impl<T> Kind for Custom<T> {
    type Value = T;

    fn accept(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        (self.accept)(value)
    }

    fn write(&self, value: &T) -> Value {
        (self.write)(value)
    }

    fn schema(&self) -> Schema {
        (self.schema)()
    }
}

/// One value of a kind, or an array of them, whose number is limited. Elements that are not
/// accepted are reported one by one.
pub(super) struct List<K> {
    /// How many there may be.
    pub(super) counts: RangeInclusive<usize>,
    /// What each is.
    pub(super) each: K,
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn accept(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault> {
        match value.as_array() {
            Some(values) => values.iter().map(|one| self.each.accept(one.get_ref())).collect(),
            None => self.each.accept(value).map(|one| vec![one]),
        }
    }

    fn read(&self, key: &str, section: &mut Section<'_, '_>) -> Field<Self::Value> {
        let values = section.list(key, &self.counts, |value| self.each.accept(value));
        // A list has no place of its own to report.
        values.map_or(Field::Nothing, |values| Field::Value(Spanned::new(0..0, values)))
    }

    fn write(&self, value: &Self::Value) -> Value {
        Value::Array(value.iter().map(|one| self.each.write(one)).collect())
    }

    fn schema(&self) -> Schema {
        let (each, counts) = (self.each.schema(), &self.counts);
        let (least, most) = (counts.start(), counts.end());
        let array = json!({ "type": "array", "items": each, "minItems": least, "maxItems": most });
        json!({ "anyOf": [each, array] })
    }
}

/// A table whose keys are names that the file chooses, each with a text, sorted by name.
pub(super) struct Pairs<K> {
    /// How many there may be.
    pub(super) counts: RangeInclusive<usize>,
    /// What the names are called in messages.
    pub(super) names: &'static str,
    /// Reads a name, or says what would be right.
    pub(super) name: fn(&str) -> Result<K, String>,
    /// Reads a value.
    pub(super) accept: fn(&DeValue<'_>) -> Result<String, Fault>,
}

impl<K: Ord + Display> Kind for Pairs<K> {
    type Value = Vec<(K, String)>;

    fn accept(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault> {
        // Names of tables are told by their places: see `read`.
        Err(Fault::of_type(value, "a table", "write names with their values"))
    }

    fn read(&self, key: &str, section: &mut Section<'_, '_>) -> Field<Self::Value> {
        let pairs = section.pairs(key, &self.counts, self.names, self.name, self.accept);
        Field::Value(Spanned::new(0..0, pairs))
    }

    fn write(&self, value: &Self::Value) -> Value {
        let pairs = value.iter().map(|(name, value)| (name.to_string(), Value::from(&**value)));
        Value::Table(pairs.collect())
    }

    fn schema(&self) -> Schema {
        json!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "minProperties": self.counts.start(),
            "maxProperties": self.counts.end(),
        })
    }
}
