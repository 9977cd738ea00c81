//! Any bytes to the reader of a `ClientHello`: the same comes of them wherever they are cut.
#![no_main]

#[path = "../../tests/corpus/tls.rs"]
mod tls;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _read = tls::client_hello(input);
});
