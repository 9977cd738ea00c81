//! Conversations and blocks in files, for judges that are no crates: `scripts/http2_oracles.sh`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use ringway::proto::http2::hpack::{BlockCursor, Decoder, Encoder, HpackError, Keep, Name};
use ringway::ring::sim::Random;
use serde_json::{Value, json};

use super::conversation::{Frame, steps};
use super::ours::OurServer;
use super::{conversation, mutation};

/// Blocks of a connection.
const BLOCKS: usize = 10;

/// Writes a line for each conversation: what comes, and what our server makes of it; and a line for
/// the blocks of a connection as our encoder writes them.
pub(crate) fn write(path: &Path, seeds: impl Iterator<Item = u64>) {
    let mut out = BufWriter::new(File::create(path).expect("it can be written"));
    for seed in seeds {
        let valid = conversation::client(seed).frames;
        let mutated = mutation::client(seed);
        for line in [told(seed, &valid, true), told(seed, &mutated, false), encoded(seed)] {
            writeln!(out, "{line}").expect("there is room");
        }
    }
    out.flush().expect("there is room");
}

fn told(seed: u64, frames: &[Frame], is_valid: bool) -> Value {
    let mut server = OurServer::new();
    let mut heard = Vec::new();
    for bytes in steps(frames, true) {
        if server.has_failed {
            break;
        }
        let step = server.step(&bytes);
        let events = step.events.iter().map(|event| json!([event.stream, event.text]));
        heard.push(json!({
            "bytes": hex(&bytes),
            "events": events.collect::<Vec<_>>(),
            "why": step.why,
            "over": server.has_failed,
        }));
    }
    json!({ "seed": seed, "valid": is_valid, "steps": heard })
}

/// Blocks of any fields, as our encoder writes them while the peer changes its table.
fn encoded(seed: u64) -> Value {
    let mut random = Random::new(seed);
    let mut encoder = Encoder::default();
    let names = ["x-a", "cookie", "server", ":path", "accept", "user-agent", "authorization", "x"];
    let mut blocks = Vec::new();
    for _ in 0..BLOCKS {
        let mut size = None;
        if random.below(6) == 0 {
            size = Some(random.below(5000));
            encoder.set_max(size.unwrap_or(0));
        }
        let (mut block, mut fields) = (Vec::new(), Vec::new());
        encoder.begin(&mut block);
        for _ in 0..random.below(8) {
            let name = names[random.below(names.len())];
            let len = if random.below(40) == 0 { 2000 } else { 30 };
            let any = random.below(2) == 0;
            let value: Vec<u8> = (0..random.below(len))
                .map(|_| match any {
                    true => random.bits().to_le_bytes()[0],
                    false => b"abc 012"[random.below(7)],
                })
                .collect();
            let keep = [Keep::Table, Keep::No, Keep::Never][random.below(3)];
            encoder.field((Name::of(name.as_bytes()), name.as_bytes()), &value, keep, &mut block);
            fields.push(json!([hex(name.as_bytes()), hex(&value)]));
        }
        blocks.push(json!({ "size": size, "block": hex(&block), "fields": fields }));
    }
    let last = blocks.last().map_or(&Value::Null, |block| &block["block"]);
    let broken = broken(unhex(last.as_str().expect("a block")), &blocks, &mut random);
    json!({ "seed": seed, "blocks": blocks, "broken": broken })
}

/// A block with a few changed bytes behind these ones, and what our decoder makes of it.
fn broken(mut block: Vec<u8>, before: &[Value], random: &mut Random) -> Value {
    let mut decoder = Decoder::default();
    for one in before {
        let bytes = unhex(one["block"].as_str().expect("a block"));
        decode(&mut decoder, &bytes).expect("it is ours");
    }
    for _ in 0..=random.below(3) {
        let at = random.below(block.len() + 1);
        match random.below(4) {
            0 => block.truncate(at),
            1 => block.insert(at, random.bits().to_le_bytes()[0]),
            _ if at < block.len() => block[at] ^= 1 << random.below(8),
            _ => block.push(random.bits().to_le_bytes()[0]),
        }
    }
    let (fields, error) = match decode(&mut decoder, &block) {
        Ok(fields) => (Some(fields), None),
        Err(error) => (None, Some(format!("{error:?}"))),
    };
    json!({ "block": hex(&block), "fields": fields, "error": error })
}

/// The fields of a block.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Value>, HpackError> {
    let (mut cursor, mut text) = (BlockCursor::default(), Vec::new());
    let mut fields = Vec::new();
    while let Some(field) = decoder.next(block, &mut cursor, &mut text)? {
        fields.push(json!([hex(field.name), hex(field.value)]));
    }
    Ok(fields)
}

/// Reads blocks that others have encoded. Returns how many there are.
pub(crate) fn read(path: &Path) -> usize {
    let lines = BufReader::new(File::open(path).expect("it can be read")).lines();
    let mut count = 0;
    for line in lines {
        let line = line.expect("it can be read");
        let connection: Value = serde_json::from_str(&line).expect("it is JSON");
        let mut decoder = Decoder::default();
        for block in connection["blocks"].as_array().expect("blocks") {
            let bytes = unhex(block["block"].as_str().expect("a block"));
            let fields = decode(&mut decoder, &bytes);
            let fields = fields.unwrap_or_else(|error| panic!("{error:?} in {connection}"));
            assert_eq!(Value::from(fields), block["fields"], "{connection}");
            count += 1;
        }
    }
    count
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).expect("ASCII"), 16);
    digits.map(|digits| byte(digits).expect("hexadecimal")).collect()
}
