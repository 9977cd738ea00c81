//! Any bytes to a client of the framed protocol: each request has one end.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/frames.rs"]
mod frames;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| frames::frame_client(input));
