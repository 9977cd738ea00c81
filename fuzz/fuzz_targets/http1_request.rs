//! Any bytes to the HTTP/1.1 end that reads requests: the same comes of them wherever they are cut.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/http.rs"]
mod http;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _read = http::http1_request(input);
});
