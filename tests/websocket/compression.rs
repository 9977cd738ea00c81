//! Sections 12 and 13: compressed messages (RFC 7692), with every set of parameters.

use ringway::proto::websocket::deflate::{Codec, Context, InflateError, Level};
use ringway::proto::websocket::extension::{Parameters, Policy, accept};
use ringway::proto::websocket::{Endpoint, Item, Kind, Limits, Role, Utf8Check, Violation, write};
use ringway::ring::sim::Random;

use crate::machine::hex;

/// Messages of each case. The suite sends 1000.
const MESSAGES: usize = 4;
/// The lengths of messages and of their frames, 0 for one frame.
const SHAPES: [(usize, usize); 18] = [
    (16, 0),
    (64, 0),
    (256, 0),
    (1 << 10, 0),
    (4 << 10, 0),
    (8 << 10, 0),
    (16 << 10, 0),
    (32 << 10, 0),
    (64 << 10, 0),
    (128 << 10, 0),
    (8 << 10, 256),
    (16 << 10, 256),
    (32 << 10, 256),
    (64 << 10, 256),
    (128 << 10, 256),
    (128 << 10, 1 << 10),
    (128 << 10, 4 << 10),
    (128 << 10, 32 << 10),
];

/// One end's compression.
struct End {
    codec: Codec,
    context: Option<Context>,
    window_bits: u8,
}

impl End {
    fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        let (mut out, level) = (Vec::new(), Level::Fastest);
        match &mut self.context {
            Some(context) => context.deflate(&mut self.codec, message, level, &mut out),
            None => self.codec.deflate(message, self.window_bits, level, &mut out),
        }
        out
    }

    fn inflate(&mut self, message: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        match &mut self.context {
            Some(context) => context.inflate(&mut self.codec, [message], max, &mut out)?,
            None => self.codec.inflate([message], max, &mut out)?,
        }
        Ok(out)
    }
}

/// A server and its client.
fn ends(parameters: &Parameters) -> (End, End) {
    let (server, client) = (parameters.server(), parameters.client());
    let end = |own, peer, window_bits| End {
        codec: Codec::new(),
        context: Context::new(own, peer),
        window_bits,
    };
    (
        end(server, client, parameters.server_max_window_bits),
        end(client, server, parameters.client_max_window_bits),
    )
}

fn agreed(offer: &str, policy: &Policy) -> Parameters {
    accept([offer.as_bytes()], policy).expect("a list").expect("an answer").parameters
}

/// Sends messages there and back.
fn converse(name: &str, parameters: &Parameters, messages: &[&[u8]], kind: Kind, frame: usize) {
    let (mut server, mut client) = ends(parameters);
    let mut endpoint = Endpoint::new(Role::Server);
    let limits = Limits { frame: 1 << 20, message: 1 << 20, deflate: true };
    for message in messages {
        let deflated = client.deflate(message);
        let size = if frame == 0 { deflated.len() } else { frame };
        let (mut sent, count) = (Vec::new(), deflated.chunks(size).count());
        for (n, part) in deflated.chunks(size).enumerate() {
            let (opcode, fin) = (if n == 0 { kind.opcode() as u8 } else { 0 }, n + 1 == count);
            let first = opcode | if fin { 0x80 } else { 0 } | if n == 0 { 0x40 } else { 0 };
            let mut one = crate::machine::bytes(&[crate::machine::Frame::new(0, part)]);
            one[0] = first;
            sent.extend(one);
        }
        let (mut at, mut gathered, mut came) = (0, Vec::new(), None);
        while at < sent.len() {
            let (count, item) = endpoint.read(&mut sent[at..], &limits).expect("a valid frame");
            let Some(Item::Part(part)) = item else { panic!("{name}: a part of a message") };
            assert!(part.compressed && part.kind == kind, "{name}");
            gathered.extend_from_slice(&sent[at..at + count][part.payload]);
            at += count;
            if part.last {
                came = Some(server.inflate(&gathered, 1 << 20).expect("it is valid"));
            }
        }
        let came = came.expect("a message");
        assert!(came == *message, "{name}: {} bytes", message.len());
        assert!(kind == Kind::Binary || Utf8Check::is_text(&came));
        let back = server.deflate(&came);
        assert!(client.inflate(&back, 1 << 20).expect("it is valid") == *message, "{name}");
        let mut frame = Vec::new();
        write::frame(kind.opcode(), (true, true), &back, None, &mut frame);
        assert_eq!(frame[0] & 0x40, 0x40);
    }
}

/// Something like what the suite sends.
fn data(set: usize) -> (Vec<u8>, Kind) {
    let mut random = Random::new(set as u64);
    let mut out = Vec::new();
    let words = ["time", "stream", "frame", "müssen", "window", "κόσμε", "and", "so", "on"];
    while out.len() < 260_000 {
        let bits = random.bits();
        let word = words[usize::try_from(bits % 9).expect("it is small")];
        match set {
            0 => out.extend(format!("{{\"id\": {}, \"name\": \"{word}\"}},\n", bits % 977).bytes()),
            1 => out.extend([out.len().to_le_bytes()[1], 0x40, bits.to_le_bytes()[0] & 3]),
            2 => out.extend(format!("{word} ").bytes()),
            3 => out.extend(format!("<li class=\"{word}\"><a href=\"/{word}\">x</a>").bytes()),
            _ => out.extend(bits.to_le_bytes()),
        }
    }
    let is_text = set == 0 || set == 3;
    (out, if is_text { Kind::Text } else { Kind::Binary })
}

/// Windows of `len` bytes that move on through the data; of text, whole characters.
fn windows(data: &[u8], len: usize, kind: Kind) -> Vec<&[u8]> {
    let is_start = |at: usize| kind == Kind::Binary || data[at] & 0xc0 != 0x80;
    let border = |at: usize| (at..data.len()).find(|at| is_start(*at)).expect("a character");
    let start = |n: usize| border((n * len) % (data.len() - len - 8));
    (0..MESSAGES).map(|n| &data[start(n)..border(start(n) + len)]).collect()
}

/// Runs all cases; their names.
pub(crate) fn each() -> Vec<String> {
    let client = "permessage-deflate; client_no_context_takeover; client_max_window_bits";
    let mut names = Vec::new();
    let takeover = |context_takeover| Policy { context_takeover, window_bits_max: 15 };
    for set in 0..5 {
        let (data, kind) = data(set);
        for (n, (len, frame)) in SHAPES.into_iter().enumerate() {
            let name = format!("12.{}.{}", set + 1, n + 1);
            for policy in [takeover(false), takeover(true)] {
                let parameters = agreed(client, &policy);
                converse(&name, &parameters, &windows(&data, len, kind), kind, frame);
            }
            names.push(name);
        }
    }
    let asked = [
        "",
        "; server_no_context_takeover",
        "; server_max_window_bits=9",
        "; server_max_window_bits=15",
        "; server_no_context_takeover; server_max_window_bits=9",
        "; server_no_context_takeover; server_max_window_bits=15",
    ];
    let mut offers: Vec<String> = asked.iter().map(|asked| [client, asked].concat()).collect();
    offers.push([&*offers[4], &*offers[1], &*offers[0]].join(", "));
    let (data, kind) = data(0);
    for (group, offer) in offers.iter().enumerate() {
        for (n, (len, frame)) in SHAPES.into_iter().enumerate() {
            let name = format!("13.{}.{}", group + 1, n + 1);
            for policy in [takeover(false), takeover(true)] {
                let parameters = agreed(offer, &policy);
                let is_small = offer.contains("=9");
                assert_eq!(parameters.server_max_window_bits, if is_small { 9 } else { 15 });
                converse(&name, &parameters, &windows(&data, len, kind), kind, frame);
            }
            names.push(name);
        }
    }
    names
}

/// RFC 7692, sections 7.2.3.1 to 7.2.3.6, and what else may be on the wire.
#[test]
fn messages_in_every_kind_of_block_are_read() {
    let cases = [
        ("one block", "f248cdc9c90700", "Hello"),
        ("a block without compression", "000500faff48656c6c6f00", "Hello"),
        ("a last block, and an empty one", "f348cdc9c9070000", "Hello"),
        ("two blocks", "f248050000 00ffffcac9c90700", "Hello"),
        ("an empty message", "00", ""),
        ("no bytes at all", "", ""),
        ("an empty block with fixed codes", "0200", ""),
    ];
    for (name, bytes, expected) in cases {
        let mut out = Vec::new();
        let bytes = hex(&bytes.replace(' ', ""));
        let read = Codec::new().inflate([&*bytes], 100, &mut out);
        assert_eq!((read, &*out), (Ok(()), expected.as_bytes()), "{name}");
    }
    // With the window of the message before.
    let keeps = Policy { context_takeover: true, window_bits_max: 15 };
    let (mut server, _) = ends(&agreed("permessage-deflate", &keeps));
    for bytes in ["f248cdc9c90700", "f200110000", "f200110000"] {
        assert_eq!(server.inflate(&hex(bytes), 100).as_deref(), Ok(&b"Hello"[..]), "{bytes}");
    }
    // Without it, there is nothing that it could refer to.
    let mut out = Vec::new();
    let read = Codec::new().inflate([&*hex("f200110000")], 100, &mut out);
    assert_eq!(read, Err(InflateError::Corrupt));
}

#[test]
fn corrupt_streams_are_refused_and_the_next_one_is_read() {
    let mut codec = Codec::new();
    // The reserved kind of block; a length whose complement is wrong; a distance before the start;
    // codes that are no tree.
    for bytes in ["06", "000500fafe48656c6c6f00", "f2001100", "04ffffffffff", "ffffffff"] {
        let mut out = Vec::new();
        let read = codec.inflate([&*hex(bytes)], 100, &mut out);
        assert_eq!(read, Err(InflateError::Corrupt), "{bytes}");
        let mut out = Vec::new();
        assert_eq!(codec.inflate([&*hex("f248cdc9c90700")], 100, &mut out), Ok(()));
        assert_eq!(out, b"Hello");
    }
}

#[test]
fn bombs_take_no_more_memory_than_the_limit() {
    let mut codec = Codec::new();
    let mut bomb = Vec::new();
    codec.deflate(&vec![0; 64 << 20], 15, Level::Best, &mut bomb);
    assert!(bomb.len() * 700 < 64 << 20, "{} bytes", bomb.len());
    for max in [0, 1, 1000, 64 << 10] {
        let mut out = Vec::new();
        assert_eq!(codec.inflate([&*bomb], max, &mut out), Err(InflateError::TooLong));
        assert!(out.capacity() <= 2 * max + (128 << 10), "{max}: {}", out.capacity());
    }
    // Just the limit is no more than it.
    let mut small = Vec::new();
    codec.deflate(&[7; 1000], 15, Level::Fastest, &mut small);
    assert_eq!(codec.inflate([&*small], 1000, &mut Vec::new()), Ok(()));
    assert_eq!(codec.inflate([&*small], 999, &mut Vec::new()), Err(InflateError::TooLong));
}

/// RFC 7692, section 6: the bit stands on the first frame of a message, and on no other.
#[test]
fn the_bit_of_compression_stands_where_it_may() {
    let limits = Limits { frame: 1000, message: 1000, deflate: true };
    let read = |bytes: &[u8]| {
        let mut endpoint = Endpoint::new(Role::Server);
        let (mut bytes, mut at) = (bytes.to_vec(), 0);
        while at < bytes.len() {
            at += endpoint.read(&mut bytes[at..], &limits)?.0;
        }
        Ok(())
    };
    let head = |first: u8| [first, 0x80, 1, 2, 3, 4];
    assert_eq!(read(&head(0xc1)), Ok(()));
    assert_eq!(read(&[head(0x41), head(0x80)].concat()), Ok(()));
    for control in [0xc8, 0xc9, 0xca] {
        assert_eq!(read(&head(control)), Err(Violation::CompressedFragment), "{control:x}");
    }
    for first in [0x41, 0x01] {
        let sent = [head(first), head(0xc0)].concat();
        assert_eq!(read(&sent), Err(Violation::CompressedFragment), "{first:x}");
    }
    for first in [0xe1, 0xd1, 0xf1] {
        assert_eq!(read(&head(first)), Err(Violation::ReservedBit), "{first:x}");
    }
}
