//! Answers of upstreams, by family.

#[path = "responses/bodiless.rs"]
mod bodiless;
#[path = "responses/chunks.rs"]
mod chunks;
#[path = "responses/framing.rs"]
mod framing;
#[path = "responses/interim.rs"]
mod interim;
#[path = "responses/limits.rs"]
mod limits;
#[path = "responses/line_endings.rs"]
mod line_endings;
#[path = "responses/status_line.rs"]
mod status_line;
#[path = "responses/truncated.rs"]
mod truncated;

use crate::cases::ResponseCase;

/// The families, with their names.
pub(crate) const FAMILIES: &[(&str, &[ResponseCase])] = &[
    ("status_line", status_line::CASES),
    ("line_endings", line_endings::CASES),
    ("framing", framing::CASES),
    ("bodiless", bodiless::CASES),
    ("interim", interim::CASES),
    ("chunks", chunks::CASES),
    ("truncated", truncated::CASES),
    ("limits", limits::CASES),
];
