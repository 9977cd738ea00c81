//! Heads and trailers that go out.

use super::hpack::{Encoder, Keep, Name, Pseudo, plain_field};
use crate::proto::http::{Fields, Known, ResponseHead};

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
    write_fields(&head.fields, encoder, out);
    if let Some(length) = length {
        let mut digits = itoa(length);
        let name = (Name::Field(Known::ContentLength), &b"content-length"[..]);
        encoder.field(name, digits.text(), Keep::No, out);
    }
}

/// Writes a block of trailers.
pub(super) fn write_trailers(fields: &Fields, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    write_fields(fields, encoder, out);
}

fn write_fields(fields: &Fields, encoder: &mut Encoder, out: &mut Vec<u8>) {
    for field in fields.iter() {
        // Fields about the connection are HTTP/1.1's (RFC 9113, section 8.2.2).
        if field.known.is_hop_by_hop() && field.known != Known::Te || field.known == Known::Upgrade
        {
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

/// A number as text.
struct Digits {
    text: [u8; 20],
    from: usize,
}

impl Digits {
    fn text(&mut self) -> &[u8] {
        self.text.get(self.from..).unwrap_or_default()
    }
}

fn itoa(mut number: u64) -> Digits {
    let mut digits = Digits { text: [0; 20], from: 20 };
    loop {
        digits.from -= 1;
        digits.text[digits.from] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return digits;
        }
    }
}
