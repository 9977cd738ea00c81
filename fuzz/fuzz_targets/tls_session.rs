//! Any bytes of a peer to our end of a TLS connection: it never panics, tells nothing in clear text,
//! and finds no fault of its own.
#![no_main]

#[path = "../../tests/corpus/forger.rs"]
mod forger;
#[path = "../../tests/corpus/tls_session.rs"]
mod tls_session;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    assert_ne!(tls_session::tls_session(input), Some("internal"));
});
