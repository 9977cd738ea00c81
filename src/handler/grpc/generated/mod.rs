//! Code and descriptors of `docs/proto`. `tests/proto.rs` writes them, and fails when they differ.

#![expect(clippy::doc_markdown, reason = "generated code has a style of its own")]

/// The files of `docs/proto`: an encoded `google.protobuf.FileDescriptorSet`.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// The demonstration service.
pub mod stream {
    include!("ringway.v1.rs");
}

/// Health checks.
pub mod health {
    include!("grpc.health.v1.rs");
}

/// Reflection; the messages of v1alpha are the same.
pub mod reflection {
    include!("grpc.reflection.v1.rs");
}
