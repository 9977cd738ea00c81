//! Any bytes as the body of a call of gRPC-Web, and of its answer: the same comes of them wherever
//! they are cut.
#![no_main]

#[expect(dead_code, reason = "each target drives one part")]
#[path = "../../tests/corpus/grpc.rs"]
mod grpc;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _found = grpc::web(input);
});
