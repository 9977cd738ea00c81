//! Any bytes to the reader of a `ClientHello`: the same comes of them wherever they are cut.
#![no_main]

#[path = "../../tests/corpus/client_hello.rs"]
mod client_hello;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _read = client_hello::client_hello(input);
});
