//! Any script of what clients, servers and time do to a frame proxy: each exchange has one end.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/frames.rs"]
mod frames;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| frames::frame_proxy(input));
