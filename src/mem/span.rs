//! Spans.
/// A span.
#[derive(Debug, Clone, Copy)]
pub struct Span;
