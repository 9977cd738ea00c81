//! Binary values of metadata, which fields have as base64.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The field with details of a status: an encoded `google.rpc.Status`.
pub const DETAILS: &[u8] = b"grpc-status-details-bin";

/// Padding is not written, and taken as it comes.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a binary value: of several in one field, the first.
#[must_use]
pub fn decode_binary(value: &[u8]) -> Option<Vec<u8>> {
    let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
    BASE64.decode(first.trim_ascii()).ok()
}
