//! Any text, with variables or without: a configuration or a list of errors, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::config::{self, ConfigText};

fuzz_target!(|text: &str| {
    drop(std::hint::black_box(config::parse("fuzz.toml", text)));
    let variables = |name: &str| (!name.starts_with('N')).then(|| name.to_lowercase());
    let text = ConfigText::new("fuzz.toml", text);
    drop(std::hint::black_box(config::parse_whole(
        &text,
        Some(&variables),
    )));
});
