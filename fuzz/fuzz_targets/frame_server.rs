//! Any bytes to a server of the framed protocol: it answers in whole frames, wherever they are cut.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/frames.rs"]
mod frames;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| frames::frame_server(input));
