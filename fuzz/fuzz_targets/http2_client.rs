//! Any bytes to the client's end of HTTP/2: the same comes of them wherever they are cut.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/http2.rs"]
mod http2;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _read = http2::http2_client(input);
});
