//! Any text: a configuration or a list of errors, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    drop(std::hint::black_box(ringway::config::parse(
        "fuzz.toml",
        text,
    )));
});
