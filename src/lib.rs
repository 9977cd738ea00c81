//! Ringway: one io_uring event loop per core.
#![deny(unsafe_code)]
pub mod mem;
pub mod ring;
