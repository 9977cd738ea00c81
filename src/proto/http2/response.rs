//! Heads of answers, and trailers: how they are written and read.

use super::error::Violation;
use super::hpack::{
    BlockCursor, DecodedField, Decoder, Encoder, Flaw, HpackError, Keep, Name, Pseudo, plain_field,
};
use super::request::{FIELD_OVERHEAD, HeadFault};
use super::workspace::Workspace;
use crate::proto::http::{Digits, Fields, Known, ResponseHead, Version, read_length};
use crate::proto::http1::{HeadLimits, Refusal};

/// A status as text.
fn status_text(status: u16) -> [u8; 3] {
    let digit = |place: u16| b'0' + u8::try_from(status / place % 10).unwrap_or(0);
    [digit(100), digit(10), digit(1)]
}

/// Writes the block of an answer's head. `length` is that of its body, if it is told.
pub(super) fn write_response(
    head: &ResponseHead,
    length: Option<u64>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    encoder.begin(out);
    let status = (Name::Pseudo(Pseudo::Status), &b":status"[..]);
    encoder.field(status, &status_text(head.status), Keep::Table, out);
    write_fields(&head.fields, None, encoder, out);
    write_length(length, encoder, out);
}

/// Writes how long a body is, if that is known.
pub(super) fn write_length(length: Option<u64>, encoder: &mut Encoder, out: &mut Vec<u8>) {
    if let Some(length) = length {
        let name = (Name::Field(Known::ContentLength), &b"content-length"[..]);
        encoder.field(name, Digits::of(length).text(), Keep::No, out);
    }
}

/// Writes a block of trailers.
pub(super) fn write_trailers(fields: &Fields, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    write_fields(fields, None, encoder, out);
}

/// Writes fields, but those of one name.
pub(super) fn write_fields(
    fields: &Fields,
    without: Option<&[u8]>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    for field in fields.iter() {
        // Fields about the connection are HTTP/1.1's (RFC 9113, section 8.2.2).
        if field.known.is_hop_by_hop() || without == Some(field.name) {
            continue;
        }
        let name = (Name::Field(field.known), field.name);
        let keep = if field.never_indexed { Keep::Never } else { Keep::of(name.0, name.1) };
        encoder.field(name, field.value, keep, out);
    }
}

/// Writes the block of a head that is always the same, for any connection: no table changes for
/// it.
pub fn write_constant(status: u16, fields: &[(&str, &[u8])], out: &mut Vec<u8>) {
    plain_field((Name::Pseudo(Pseudo::Status), b":status"), &status_text(status), out);
    for (name, value) in fields {
        plain_field((Name::of(name.as_bytes()), name.as_bytes()), value, out);
    }
}

/// Writes a `date` field, for any connection.
pub fn write_date(value: &[u8], out: &mut Vec<u8>) {
    plain_field((Name::Field(Known::Date), b"date"), value, out);
}

/// What the head of an answer says beside what [`ResponseHead`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ResponseInfo {
    /// Bytes of the body, if that is said.
    pub(super) length: Option<u64>,
    /// A field has come that is no pseudo-header field.
    has_field: bool,
}

/// Reads the block of an answer's head into `head` (RFC 9113, section 8.3.2). One with a fault is
/// read to its end, too, as the tables of header compression go on.
///
/// # Errors
/// It cannot be decoded.
pub(super) fn read_response(
    block: &[u8],
    decoder: &mut Decoder,
    space: &mut Workspace,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Result<ResponseInfo, HeadFault>, HpackError> {
    head.clear();
    head.version = Version::Http2;
    space.clear();
    let mut cursor = BlockCursor::default();
    let (mut info, mut size, mut fault) = (ResponseInfo::default(), 0, None);
    while let Some(field) = decoder.next(block, &mut cursor, &mut space.text)? {
        size += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        if fault.is_none() {
            fault = take_field(&field, size, limits, head, &mut info).err();
        }
    }
    if fault.is_none() && head.status == 0 {
        fault = Some(HeadFault::Malformed(Violation::PseudoMissing));
    }
    Ok(fault.map_or(Ok(info), Err))
}

fn take_field(
    field: &DecodedField<'_>,
    size: usize,
    limits: &HeadLimits,
    head: &mut ResponseHead,
    info: &mut ResponseInfo,
) -> Result<(), HeadFault> {
    let malformed = |violation| Err(HeadFault::Malformed(violation));
    match field.flaw {
        Some(Flaw::Name) => return malformed(Violation::FieldName),
        Some(Flaw::Value) => return malformed(Violation::FieldValue),
        None => {}
    }
    let known = match field.kind {
        Name::Pseudo(Pseudo::Status) if head.status != 0 => {
            return malformed(Violation::PseudoRepeated);
        }
        Name::Pseudo(Pseudo::Status) if info.has_field => {
            return malformed(Violation::PseudoMisplaced);
        }
        Name::Pseudo(Pseudo::Status) => {
            let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = *field.value else {
                return malformed(Violation::PseudoValue);
            };
            let digit = |digit: u8| u16::from(digit - b'0');
            head.status = digit(a) * 100 + digit(b) * 10 + digit(c);
            // Protocols are changed otherwise (RFC 9113, section 8.6).
            let is_switch = head.status == 101;
            return if is_switch { malformed(Violation::PseudoValue) } else { Ok(()) };
        }
        Name::Pseudo(_) => return malformed(Violation::PseudoUnknown),
        Name::Field(known) => known,
    };
    info.has_field = true;
    if known.is_hop_by_hop() {
        return malformed(Violation::ConnectionField);
    }
    if size > limits.size || head.fields.len() >= limits.fields {
        return Err(HeadFault::Refused(Refusal::HeadTooLarge));
    }
    if known == Known::ContentLength {
        let length = read_length(field.value).filter(|_| info.length.is_none());
        info.length = Some(length.ok_or(HeadFault::Malformed(Violation::LengthInvalid))?);
        return Ok(());
    }
    if known == Known::Other {
        head.fields.push(field.name, field.value);
    } else {
        head.fields.push_known(known, field.value);
    }
    if field.never_indexed {
        head.fields.mark_last_never_indexed();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_statuses_are_written_in_decimal() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(Digits::of(number).text(), number.to_string().as_bytes());
        }
        assert_eq!((status_text(200), status_text(999)), (*b"200", *b"999"));
    }
}
