//! Any bytes as a compressed message of WebSocket: the same comes of them wherever they are cut,
//! and what was read survives compression.
#![no_main]

#[path = "../../tests/corpus/deflate.rs"]
mod deflate;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _found = deflate::inflate(input);
});
