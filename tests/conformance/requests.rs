//! Requests, by family.

#[path = "requests/chunk_extensions.rs"]
mod chunk_extensions;
#[path = "requests/chunks.rs"]
mod chunks;
#[path = "requests/connection.rs"]
mod connection;
#[path = "requests/content_length.rs"]
mod content_length;
#[path = "requests/fields.rs"]
mod fields;
#[path = "requests/host.rs"]
mod host;
#[path = "requests/limits.rs"]
mod limits;
#[path = "requests/line_endings.rs"]
mod line_endings;
#[path = "requests/request_line.rs"]
mod request_line;
#[path = "requests/smuggling.rs"]
mod smuggling;
#[path = "requests/target_form.rs"]
mod target_form;
#[path = "requests/target_path.rs"]
mod target_path;
#[path = "requests/trailers.rs"]
mod trailers;
#[path = "requests/transfer_encoding.rs"]
mod transfer_encoding;

use crate::cases::RequestCase;

/// The families, with their names.
pub(crate) const FAMILIES: &[(&str, &[RequestCase])] = &[
    ("request_line", request_line::CASES),
    ("target_path", target_path::CASES),
    ("target_form", target_form::CASES),
    ("host", host::CASES),
    ("line_endings", line_endings::CASES),
    ("fields", fields::CASES),
    ("content_length", content_length::CASES),
    ("transfer_encoding", transfer_encoding::CASES),
    ("smuggling", smuggling::CASES),
    ("chunks", chunks::CASES),
    ("chunk_extensions", chunk_extensions::CASES),
    ("trailers", trailers::CASES),
    ("connection", connection::CASES),
    ("limits", limits::CASES),
];
