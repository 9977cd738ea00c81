//! Any bytes as messages of publish and subscribe: each is answered as the formats say, and what is
//! published can be read by subscribers of both formats.
#![no_main]

#[path = "../../tests/corpus/topics.rs"]
mod topics;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _found = topics::messages(input);
});
