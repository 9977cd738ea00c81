//! Services, messages and enums as a person reads them: as in a file of definitions.

use std::fmt::Write;

use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

/// A service with its methods.
pub(super) fn service(service: &ServiceDescriptor) -> String {
    let mut text = format!("service {} {{\n", service.full_name());
    for one in service.methods() {
        text.push_str("  ");
        text.push_str(&method(&one));
    }
    text.push_str("}\n");
    text
}

/// A method with its types.
pub(super) fn method(method: &MethodDescriptor) -> String {
    let side = |kind: MessageDescriptor, is_stream| {
        format!("{}{}", if is_stream { "stream " } else { "" }, kind.full_name())
    };
    let input = side(method.input(), method.is_client_streaming());
    let output = side(method.output(), method.is_server_streaming());
    format!("rpc {}({input}) returns ({output});\n", method.name())
}

/// A message with its fields.
pub(super) fn message(message: &MessageDescriptor) -> String {
    let mut text = format!("message {} {{\n", message.full_name());
    for one in message.fields().filter(|field| real_oneof(field).is_none()) {
        line(&mut text, "  ", &one);
    }
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        text.push_str(&format!("  oneof {} {{\n", oneof.name()));
        oneof.fields().for_each(|one| line(&mut text, "    ", &one));
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// An enum with its values.
pub(super) fn values(kind: &EnumDescriptor) -> String {
    let mut text = format!("enum {} {{\n", kind.full_name());
    for value in kind.values() {
        text.push_str(&format!("  {} = {};\n", value.name(), value.number()));
    }
    text.push_str("}\n");
    text
}

/// The oneof that a field is written in.
fn real_oneof(field: &FieldDescriptor) -> Option<prost_reflect::OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

fn line(text: &mut String, indent: &str, field: &FieldDescriptor) {
    let is_optional = field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic());
    let label = match field.cardinality() {
        _ if field.is_map() => "",
        Cardinality::Repeated => "repeated ",
        Cardinality::Required => "required ",
        Cardinality::Optional if is_optional => "optional ",
        Cardinality::Optional => "",
    };
    let kind = kind(field);
    // A String takes it.
    let _done = writeln!(text, "{indent}{label}{kind} {} = {};", field.name(), field.number());
}

fn kind(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let [key, value] = [entry.map_entry_key_field(), entry.map_entry_value_field()];
            format!("map<{}, {}>", kind(&key), kind(&value))
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn definitions_are_written_as_they_are_read() {
        let pool = DescriptorPool::global();
        let message = |name: &str| message(&pool.get_message_by_name(name).unwrap());
        assert_eq!(
            message("google.protobuf.Timestamp"),
            "message google.protobuf.Timestamp {\n  int64 seconds = 1;\n  int32 nanos = 2;\n}\n"
        );
        assert!(
            message("google.protobuf.Struct")
                .contains("  map<string, google.protobuf.Value> fields = 1;\n")
        );
        let value = message("google.protobuf.Value");
        assert!(value.contains("  oneof kind {\n"), "{value}");
        assert!(value.contains("    double number_value = 2;\n"), "{value}");
        let list = message("google.protobuf.ListValue");
        assert!(list.contains("  repeated google.protobuf.Value values = 1;\n"), "{list}");
        let null = pool.get_enum_by_name("google.protobuf.NullValue").unwrap();
        assert_eq!(values(&null), "enum google.protobuf.NullValue {\n  NULL_VALUE = 0;\n}\n");
    }
}
