//! Any bytes to the reader of WebSocket frames, in both roles: the same comes of them wherever they
//! are cut.
#![no_main]

#[path = "../../tests/corpus/websocket.rs"]
mod websocket;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _read = websocket::frames(input);
});
