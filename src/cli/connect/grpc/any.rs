//! Messages as JSON, with what they carry in `google.protobuf.Any`: the types of that may be
//! unknown, and an answer is not lost for it.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{Any, DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

const ANY: &str = "google.protobuf.Any";
/// The numbers of the fields of `Any`.
const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;
/// `Any` within `Any`, at most.
const DEPTH_MAX: usize = 32;
/// Types that may stay unknown.
const UNKNOWN_MAX: usize = 1000;

/// What messages are of, with stand-ins for the types that nobody knows. A stand-in has one field,
/// `value`, which is what the `Any` has: it is printed as base64.
pub(super) struct Printer {
    kind: MessageDescriptor,
    stand_ins: BTreeSet<String>,
}

impl Printer {
    pub(super) fn new(kind: MessageDescriptor) -> Self {
        Self { kind, stand_ins: BTreeSet::new() }
    }

    /// The name of the type.
    pub(super) fn name(&self) -> &str {
        self.kind.full_name()
    }

    /// A message as JSON. `learn` is asked for the types that are not known: it gives all
    /// definitions that there are then.
    pub(super) fn json(
        &mut self,
        bytes: &[u8],
        mut learn: impl FnMut(&BTreeSet<String>) -> DescriptorPool,
    ) -> Result<String, String> {
        loop {
            let message = DynamicMessage::decode(self.kind.clone(), bytes);
            let mut message = message.map_err(|error| error.to_string())?;
            let mut unknown = BTreeSet::new();
            self.replace(&mut message, 0, &mut unknown)?;
            if unknown.is_empty() {
                return serde_json::to_string(&message).map_err(|error| error.to_string());
            }
            let pool = learn(&unknown);
            self.add(pool, unknown)?;
        }
    }

    /// Goes by other definitions; of what they do not have, there will be stand-ins.
    fn add(&mut self, mut pool: DescriptorPool, unknown: BTreeSet<String>) -> Result<(), String> {
        self.stand_ins.extend(unknown);
        self.stand_ins.retain(|name| pool.get_message_by_name(name).is_none());
        if self.stand_ins.len() > UNKNOWN_MAX {
            return Err(format!("it has more than {UNKNOWN_MAX} unknown types"));
        }
        for (number, name) in self.stand_ins.iter().enumerate() {
            pool.add_file_descriptor_proto(stand_in(number, name))
                .map_err(|_| format!("it has the unknown type {name:?}"))?;
        }
        let name = self.name();
        let kind = pool.get_message_by_name(name);
        self.kind = kind.ok_or_else(|| format!("{name} is not known any more"))?;
        Ok(())
    }

    /// Puts stand-ins where the type is unknown for good, and gathers other unknown types. Whether
    /// something was changed.
    fn replace(
        &self,
        message: &mut DynamicMessage,
        depth: usize,
        unknown: &mut BTreeSet<String>,
    ) -> Result<bool, String> {
        if message.descriptor().full_name() == ANY {
            return self.replace_any(message, depth, unknown);
        }
        let mut has_changed = false;
        let mut without_type = Vec::new();
        for (field, value) in message.fields_mut() {
            if matches!(value, Value::Message(one) if is_without_type(one)) {
                without_type.push(field);
            } else {
                has_changed |= self.replace_in(value, depth, unknown)?;
            }
        }
        // It says nothing, so it is left out, as it is where it was not set.
        has_changed |= !without_type.is_empty();
        without_type.iter().for_each(|field| message.clear_field(field));
        Ok(has_changed)
    }

    fn replace_in(
        &self,
        value: &mut Value,
        depth: usize,
        unknown: &mut BTreeSet<String>,
    ) -> Result<bool, String> {
        let mut has_changed = false;
        match value {
            Value::Message(message) => has_changed = self.replace(message, depth, unknown)?,
            Value::List(values) => {
                for value in values {
                    has_changed |= self.replace_in(value, depth, unknown)?;
                }
            }
            // Their order does not matter.
            Value::Map(values) => {
                values.values_mut().try_for_each(|value| {
                    has_changed |= self.replace_in(value, depth, unknown)?;
                    Ok::<(), String>(())
                })?;
            }
            Value::Bool(_)
            | Value::I32(_)
            | Value::I64(_)
            | Value::U32(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::EnumNumber(_) => {}
        }
        Ok(has_changed)
    }

    fn replace_any(
        &self,
        message: &mut DynamicMessage,
        depth: usize,
        unknown: &mut BTreeSet<String>,
    ) -> Result<bool, String> {
        if depth >= DEPTH_MAX {
            return Err(format!("it has more than {DEPTH_MAX} {ANY} within each other"));
        }
        let any: Any = message.transcode_to().map_err(|error| error.to_string())?;
        let mut set = |number, value| message.set_field_by_number(number, value);
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        if !any.type_url.contains('/') {
            // Without a slash it is no type, but it can be told.
            set(TYPE_URL, Value::String(format!("/{name}")));
        }
        if self.stand_ins.contains(name) {
            let mut value = Vec::new();
            prost::encoding::bytes::encode(1, &any.value, &mut value);
            set(VALUE, Value::Bytes(value.into()));
            return Ok(true);
        }
        let Some(kind) = self.kind.parent_pool().get_message_by_name(name) else {
            unknown.insert(name.to_owned());
            return Ok(false);
        };
        // What it is not is told when it is printed.
        let Ok(mut own) = DynamicMessage::decode(kind, &*any.value) else { return Ok(false) };
        let has_changed = self.replace(&mut own, depth + 1, unknown)?;
        if has_changed {
            set(VALUE, Value::Bytes(own.encode_to_vec().into()));
        }
        Ok(has_changed)
    }
}

/// Whether a message is an `Any` that has nothing.
fn is_without_type(message: &DynamicMessage) -> bool {
    message.descriptor().full_name() == ANY && message.fields().next().is_none()
}

/// A file with the stand-in of one type. Its name has no package, so that it does not matter what
/// else begins with it.
fn stand_in(number: usize, name: &str) -> FileDescriptorProto {
    let value = FieldDescriptorProto {
        name: Some("value".to_owned()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Bytes.into()),
        ..FieldDescriptorProto::default()
    };
    let message = DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![value],
        ..DescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some(format!("stand-in {number}")),
        // An empty value is told, too.
        syntax: Some("proto2".to_owned()),
        message_type: vec![message],
        ..FileDescriptorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use prost_types::ListValue;

    use super::*;

    fn any(type_url: &str, value: &[u8]) -> Any {
        Any { type_url: type_url.to_owned(), value: value.to_vec() }
    }

    fn global() -> DescriptorPool {
        DescriptorPool::global()
    }

    fn json_of(any: &Any) -> Result<String, String> {
        let kind = global().get_message_by_name(ANY).unwrap();
        Printer::new(kind).json(&any.encode_to_vec(), |_| global())
    }

    #[test]
    fn what_nobody_knows_is_base64() {
        let url = "type.googleapis.com/demo.No-type";
        for (message, expected) in [
            (any(url, b"\x01\x02"), format!("{{\"@type\":\"{url}\",\"value\":\"AQI=\"}}")),
            (any(url, b""), format!("{{\"@type\":\"{url}\",\"value\":\"\"}}")),
            // What begins like a known type is another one.
            (
                any("/google.protobuf.Any.More", b"x"),
                "{\"@type\":\"/google.protobuf.Any.More\",\"value\":\"eA==\"}".to_owned(),
            ),
            (any("bare", b"x"), "{\"@type\":\"/bare\",\"value\":\"eA==\"}".to_owned()),
        ] {
            assert_eq!(json_of(&message).as_ref(), Ok(&expected));
        }
        // Within another one.
        let outer = any("/google.protobuf.Any", &any(url, b"\x01").encode_to_vec());
        let inner = format!("{{\"@type\":\"{url}\",\"value\":\"AQ==\"}}");
        let expected = format!("{{\"@type\":\"/google.protobuf.Any\",\"value\":{inner}}}");
        assert_eq!(json_of(&outer), Ok(expected));
    }

    #[test]
    fn what_is_known_or_learned_is_told_as_it_is() {
        let empty = ListValue::default().encode_to_vec();
        let list = any("/google.protobuf.ListValue", &empty);
        assert_eq!(
            json_of(&list).as_deref(),
            Ok("{\"@type\":\"/google.protobuf.ListValue\",\"value\":[]}")
        );
        let mut pool = global();
        pool.add_file_descriptor_proto(stand_in(7, "demo.Late")).unwrap();
        let late = any("/demo.Late", &[10, 1, b'x']);
        let kind = global().get_message_by_name(ANY).unwrap();
        let mut printer = Printer::new(kind);
        let mut asked = Vec::new();
        for _ in 0..2 {
            let json = printer.json(&late.encode_to_vec(), |names| {
                asked.extend(names.iter().cloned());
                pool.clone()
            });
            assert_eq!(json.as_deref(), Ok("{\"@type\":\"/demo.Late\",\"value\":\"eA==\"}"));
        }
        assert_eq!(asked, ["demo.Late"]);
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        let mut nested = any("/demo.Nothing", b"");
        for _ in 0..10_000 {
            nested = any("/google.protobuf.Any", &nested.encode_to_vec());
        }
        let error = json_of(&nested).unwrap_err();
        assert!(error.contains("within each other"), "{error}");
    }
}
