//! Any bytes to header compression: what is read is read again when it was written.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/http2.rs"]
mod http2;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _read = http2::hpack(input);
});
