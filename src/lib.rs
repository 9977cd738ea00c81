#![deny(unsafe_code)]
//! Ringway
pub mod config;
pub mod mem;
pub mod net;
pub mod proto;
pub mod ring;
pub mod runtime;
pub mod server;
pub mod service;
pub mod session;
