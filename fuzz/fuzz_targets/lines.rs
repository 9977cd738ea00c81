//! Any bytes: each line is answered by one line of JSON, and where the input is cut makes no
//! difference.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringway::proto::lines::LineReader;
use ringway::service::handler::{Handler, Refusal, Request};
use ringway::service::messages::Messages;

/// As in `tests/corpus.rs`, whose seeds this starts from.
const LINE_LIMIT: usize = 256;

/// Answers what it does not like with an error, and the rest with what came.
#[derive(Debug)]
struct Mirror;

impl Handler for Mirror {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        answer.extend_from_slice(request.payload);
        match request.payload.first() {
            Some(0) => {
                Err(Refusal::Unavailable(String::from_utf8_lossy(request.payload).into_owned()))
            }
            Some(_) => Ok(()),
            None => Err(Refusal::Unknown),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let whole = answers(&[input]);
    for line in whole.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("an answer ends with a line feed");
        // Not a `Value`: an id may be a number that no double holds.
        let json: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(line);
        assert!(json.is_ok(), "not JSON: {}", line.escape_ascii());
    }
    let last = usize::from(input.last().copied().unwrap_or_default());
    let (first, second) = input.split_at(last * 17 % (input.len() + 1));
    assert_eq!(answers(&[first, second]), whole);
    let single: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(answers(&single), whole);
});

fn answers(inputs: &[&[u8]]) -> Vec<u8> {
    let (mut reader, mut messages) = (LineReader::new(LINE_LIMIT), Messages::default());
    let mut out = Vec::new();
    let mut lines = 0;
    for input in inputs {
        let mut input = *input;
        while let Some(line) = reader.next(&mut input) {
            let mut stats = |out: &mut Vec<u8>| out.extend_from_slice(b"{}");
            let now = Duration::from_secs(1);
            let _outcome = match line {
                Ok(line) => messages.answer(line, now, &mut stats, &mut Mirror, &mut out),
                Err(error) => Err(Messages::refuse(error, &mut out)),
            };
            lines += 1;
        }
        assert!(input.is_empty() && reader.memory() <= 2 * (LINE_LIMIT + 1).max(512));
    }
    if let Some(error) = reader.at_end() {
        Messages::refuse(error, &mut out);
        lines += 1;
    }
    let ends = out.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(ends, lines, "one answer a line");
    out
}
