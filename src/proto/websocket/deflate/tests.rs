use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::*;

const LEVELS: [Level; 4] = [Level::Fastest, Level::Fast, Level::Default, Level::Best];
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const KEPT: Direction = Direction { context_takeover: true, window_bits: 15 };
const FRESH: Direction = Direction { context_takeover: false, window_bits: 15 };

/// Section 7.2.3 of RFC 7692: what is sent, and what it stands for.
const EXAMPLES: [(&[u8], &[u8]); 7] = [
    (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"Hello"),
    (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
    (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
    (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
    (b"\x00", b""),
    (b"\x02\x00", b""),
    (b"", b""),
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }
}

/// An inflater that is nothing but RFC 1951, and refuses distances beyond the window. `out` has
/// what came before.
struct Reference<'a> {
    data: &'a [u8],
    at: usize,
}

impl Reference<'_> {
    fn bits(&mut self, count: u32) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.data.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    /// `codes` has the symbols of each length of code.
    fn symbol(&mut self, codes: &[Vec<usize>]) -> Option<usize> {
        let (mut code, mut first) = (0, 0);
        for symbols in &codes[1..] {
            code |= self.bits(1)?;
            if code < first + symbols.len() {
                return Some(symbols[code - first]);
            }
            (first, code) = ((first + symbols.len()) << 1, code << 1);
        }
        None
    }

    fn codes(&mut self) -> Option<[Vec<Vec<usize>>; 2]> {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (self.bits(5)? + 257, self.bits(5)? + 1);
        let mut of_lengths = [0; 19];
        for at in 0..self.bits(4)? + 4 {
            of_lengths[ORDER[at]] = self.bits(3)?;
        }
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (length, more) = match self.symbol(&by_length(&of_lengths))? {
                16 => (*lengths.last()?, self.bits(2)? + 3),
                17 => (0, self.bits(3)? + 3),
                18 => (0, self.bits(7)? + 11),
                length => (length, 1),
            };
            lengths.extend(std::iter::repeat_n(length, more));
        }
        let of_distances = lengths.split_off(literals);
        // A code uses all of its room (zlib refuses others).
        for of in [&lengths, &of_distances] {
            let room: usize = of.iter().filter(|of| **of > 0).map(|of| 32_768 >> of).sum();
            assert_eq!(room, 32_768, "a code uses all of its room");
        }
        Some([by_length(&lengths), by_length(&of_distances)])
    }

    fn block(&mut self, window: usize, out: &mut Vec<u8>) -> Option<()> {
        let [literals, distances] = match self.bits(2)? {
            0 => {
                self.at = self.at.next_multiple_of(8);
                let (len, inverse) = (self.bits(16)?, self.bits(16)?);
                assert_eq!(len, !inverse & 0xffff);
                let start = self.at / 8;
                out.extend_from_slice(self.data.get(start..start + len)?);
                self.at += 8 * len;
                return Some(());
            }
            1 => {
                let of = |symbol| match symbol {
                    0..144 | 280..288 => 8,
                    144..256 => 9,
                    _ => 7,
                };
                let literals: Vec<_> = (0..288).map(of).collect();
                [by_length(&literals), by_length(&[5; 30])]
            }
            2 => self.codes()?,
            _ => return None,
        };
        loop {
            let length = match self.symbol(&literals)? {
                byte @ 0..256 => {
                    out.push(u8::try_from(byte).unwrap());
                    continue;
                }
                256 => return Some(()),
                symbol @ 257..265 => symbol - 254,
                285 => 258,
                symbol => {
                    let extra = (symbol - 261) / 4;
                    ((4 + (symbol - 1) % 4) << extra)
                        + 3
                        + self.bits(u32::try_from(extra).unwrap())?
                }
            };
            let distance = match self.symbol(&distances)? {
                symbol @ 0..2 => symbol + 1,
                symbol => {
                    let extra = symbol / 2 - 1;
                    ((2 + symbol % 2) << extra) + 1 + self.bits(u32::try_from(extra).unwrap())?
                }
            };
            assert!(distance <= window, "{distance} bytes back, in a window of {window}");
            for _ in 0..length {
                out.push(out[out.len().checked_sub(distance)?]);
            }
        }
    }
}

fn by_length(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut symbols = vec![Vec::new(); 16];
    lengths.iter().enumerate().for_each(|(symbol, length)| symbols[*length].push(symbol));
    symbols
}

/// Reads a message with [`Reference`], behind what came before.
fn reference(message: &[u8], window_bits: u8, before: &[u8]) -> Vec<u8> {
    let data = [message, &TAIL].concat();
    let mut reference = Reference { data: &data, at: 0 };
    let mut out = before.to_vec();
    while reference.at < 8 * data.len() {
        assert_eq!(reference.bits(1), Some(0), "no last block is sent");
        reference.block(1 << window_bits, &mut out).expect("it is valid");
    }
    out.split_off(before.len())
}

fn json(len: usize, random: &mut Random) -> Vec<u8> {
    let mut text = String::from("[");
    while text.len() < len {
        let (id, price, kind) = (random.below(100_000), random.below(9999), random.below(4));
        let kind = ["trade", "quote", "order", "cancel"][kind];
        text += &format!(r#"{{"id":{id},"type":"{kind}","price":{price}.25,"active":true}},"#);
    }
    text.truncate(len);
    text.into_bytes()
}

/// Messages of all kinds and sizes.
fn messages() -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let mut messages = vec![b"Hello".to_vec(), vec![b'a'; 70_000], b"abcabcabcabc".to_vec()];
    for len in [0, 1, 2, 3, 4, 5, 7, 64, 255, 256, 257, 1024, 4096, 16_384, 32_768, 32_769, 90_000]
    {
        messages.push(json(len, &mut random));
        messages.push((0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect());
        messages.push((0..len).map(|_| u8::try_from(random.below(3)).unwrap()).collect());
    }
    // The longest codes: each byte is as frequent as the two rarer ones together.
    let (mut low, mut high, mut rare) = (1, 1, Vec::new());
    for byte in 0..20 {
        rare.extend(std::iter::repeat_n(byte, low));
        (low, high) = (high, low + high);
    }
    for at in (1..rare.len()).rev() {
        rare.swap(at, random.below(at + 1));
    }
    messages.push(rare);
    messages
}

fn deflated(message: &[u8], window_bits: u8, level: Level) -> Vec<u8> {
    let mut out = Vec::new();
    Codec::new().deflate(message, window_bits, level, &mut out);
    out
}

fn inflated(parts: &[&[u8]], max: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = b"before".to_vec();
    let read = Codec::new().inflate(parts.iter().copied(), max, &mut out);
    assert!(out.starts_with(b"before") && out.len() - 6 <= max);
    read.map(|()| out.split_off(6))
}

/// A message that the other implementation compresses.
fn foreign(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * message.len() + 100);
    compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(out.split_off(out.len() - 4), TAIL);
    out
}

fn read_by_other(decompress: &mut Decompress, message: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 100);
    let data = [message, &TAIL].concat();
    decompress.decompress_vec(&data, &mut out, FlushDecompress::Sync).unwrap();
    out
}

#[test]
fn the_examples_of_the_rfc_are_read_wherever_they_are_cut() {
    for (sent, message) in EXAMPLES {
        assert_eq!(inflated(&[sent], 5).as_deref(), Ok(message), "{sent:x?}");
        for first in 0..=sent.len() {
            for second in first..=sent.len() {
                let parts = [&sent[..first], &sent[first..second], &sent[second..]];
                assert_eq!(inflated(&parts, 5).as_deref(), Ok(message), "{parts:x?}");
            }
        }
    }
    let mut codec = Codec::new();
    let mut context = Context::new(FRESH, KEPT).unwrap();
    for sent in [&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\xf2\x00\x11\x00\x00"] {
        let mut out = Vec::new();
        context.inflate(&mut codec, [sent], 5, &mut out).unwrap();
        assert_eq!(out, b"Hello");
    }
}

#[test]
fn small_messages_are_written_as_the_rfc_has_them() {
    for level in LEVELS {
        for window_bits in 8..=15 {
            assert_eq!(deflated(b"Hello", window_bits, level), EXAMPLES[0].0);
            assert_eq!(deflated(b"", window_bits, level), EXAMPLES[4].0);
        }
    }
}

#[test]
fn each_message_is_read_by_others_within_its_window() {
    for message in messages() {
        for level in LEVELS {
            for window_bits in 8..=15 {
                let sent = deflated(&message, window_bits, level);
                let most = message.len() + 5 * message.len().div_ceil(32_768) + 1;
                assert!(sent.len() <= most, "{} of {}", sent.len(), message.len());
                let read = read_by_other(&mut Decompress::new(false), &sent, message.len());
                assert_eq!(read, message, "{level:?}, {window_bits} bits");
                if message.len() < 5000 || window_bits % 6 == 2 {
                    let read = reference(&sent, window_bits, b"");
                    assert_eq!(read, message, "{level:?}, {window_bits} bits");
                }
                assert_eq!(inflated(&[&sent], message.len()), Ok(message.clone()));
            }
        }
    }
}

#[test]
fn levels_compress_as_much_as_they_say() {
    let message = json(16_384, &mut Random(3));
    let sizes = LEVELS.map(|level| deflated(&message, 15, level).len());
    assert!(sizes.is_sorted_by(|worse, better| worse > better), "{sizes:?}");
    let other = foreign(&mut Compress::new(Compression::new(6), false), &message).len();
    assert!(sizes[2] < other * 11 / 10, "{sizes:?} {other}");
}

#[test]
fn messages_of_others_are_read() {
    for message in messages() {
        for level in [0, 1, 6, 9] {
            let sent = foreign(&mut Compress::new(Compression::new(level), false), &message);
            assert_eq!(inflated(&[&sent], message.len()), Ok(message.clone()));
            let parts: Vec<&[u8]> = sent.chunks(7).collect();
            assert_eq!(inflated(&parts, usize::MAX), Ok(message.clone()));
        }
    }
}

#[test]
fn a_message_may_be_cut_anywhere_but_not_short() {
    let message = json(600, &mut Random(5));
    for level in LEVELS {
        let sent = deflated(&message, 15, level);
        for at in 0..=sent.len() {
            let (first, second) = sent.split_at(at);
            assert_eq!(inflated(&[first, &[], second], 600), Ok(message.clone()));
            if at > 0 && at < sent.len() {
                assert_eq!(inflated(&[first], 600), Err(InflateError::Corrupt), "{at}");
            }
        }
    }
}

#[test]
fn what_is_no_deflate_data_is_corrupt() {
    let long = deflated(&json(3000, &mut Random(5)), 15, Level::Default);
    for sent in [
        // A kind of block that does not exist.
        &b"\x06"[..],
        b"\xff\xff\xff\xff",
        // A stored block whose length is not repeated, and one that is cut short.
        b"\x00\x05\x00\x05\x00Hello",
        b"\x00\x05\x00\xfa\xffHell",
        // Two bytes back, at the beginning.
        b"\xf2\x00\x11\x00\x00",
        // Something behind the end.
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\xff",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff",
        b"\x01",
        &long[..2000.min(long.len() - 1)],
        &long[5..],
    ] {
        assert_eq!(inflated(&[sent], 4000), Err(InflateError::Corrupt), "{sent:x?}");
        let single: Vec<&[u8]> = sent.chunks(1).collect();
        assert_eq!(inflated(&single, 4000), Err(InflateError::Corrupt), "{sent:x?}");
    }
}

#[test]
fn no_message_becomes_longer_than_allowed() {
    let message = vec![0; 10 << 20];
    let sent = deflated(&message, 15, Level::Best);
    assert!(sent.len() < 16 * 1024);
    for max in [0, 1, 255, 256, 257, 1000, 65_536, 1 << 20, (10 << 20) - 1] {
        let mut out = Vec::new();
        let read = Codec::new().inflate([&sent[..]], max, &mut out);
        assert_eq!(read, Err(InflateError::TooLong), "{max}");
        assert!(out.len() <= max);
        assert!(out.capacity() <= max + 256, "{} of {max}", out.capacity());
        let single: Vec<&[u8]> = sent.chunks(1).collect();
        assert_eq!(inflated(&single, max), Err(InflateError::TooLong), "{max}");
    }
    // A byte too much, and behind it a kind of block that does not exist.
    for cut in 0..3 {
        let sent = b"\x4a\x04\x18";
        let parts = [&sent[..cut], &sent[cut..]];
        assert_eq!(inflated(&parts, 0), Err(InflateError::TooLong), "{cut}");
    }
    assert_eq!(inflated(&[&sent], 10 << 20).map(|read| read.len()), Ok(10 << 20));
    for len in [1, 255, 256, 257, 1024, 1025] {
        let message = json(len, &mut Random(9));
        let sent = deflated(&message, 15, Level::Default);
        assert_eq!(inflated(&[&sent], len), Ok(message));
        assert_eq!(inflated(&[&sent], len - 1), Err(InflateError::TooLong), "{len}");
    }
}

#[test]
fn a_codec_knows_nothing_of_earlier_messages() {
    let mut codec = Codec::new();
    let mut random = Random(11);
    for _ in 0..3 {
        for message in messages() {
            let (level, window_bits) = (LEVELS[random.below(4)], [9, 15][random.below(2)]);
            let mut sent = Vec::new();
            codec.deflate(&message, window_bits, level, &mut sent);
            assert_eq!(sent, deflated(&message, window_bits, level), "{level:?}");
            let mut read = Vec::new();
            codec.inflate([&sent[..]], message.len(), &mut read).unwrap();
            assert_eq!(read, message);
            // One that refers to what came before it.
            let mut read = Vec::new();
            let refers = codec.inflate([&b"\xf2\x00\x11\x00\x00"[..]], 5, &mut read);
            assert_eq!(refers, Err(InflateError::Corrupt));
            // One that is given up.
            codec.inflater.begin(100_000);
            codec.inflater.feed(&sent[..sent.len() / 2], &mut Vec::new()).unwrap();
        }
    }
    // Positions start again.
    let message = json(1000, &mut random);
    for _ in 0..3 {
        codec.table.advance(1 << 30);
        let mut sent = Vec::new();
        codec.deflate(&message, 15, Level::Default, &mut sent);
        assert_eq!(sent, deflated(&message, 15, Level::Default));
    }
}

#[test]
fn parts_of_many_messages_may_come_in_turn_and_inflaters_are_used_again() {
    let messages: Vec<_> = (1..=6).map(|seed| json(2000, &mut Random(seed))).collect();
    let sent: Vec<_> = messages.iter().map(|of| deflated(of, 15, Level::Fast)).collect();
    let mut inflaters: Vec<_> = messages.iter().map(|_| Inflater::default()).collect();
    for _ in 0..2 {
        let mut lent: Vec<_> =
            inflaters.iter_mut().zip(&sent).map(|(one, of)| (one, of.chunks(100))).collect();
        let mut outs = vec![Vec::new(); lent.len()];
        lent.iter_mut().for_each(|(inflater, _)| inflater.begin(2000));
        for _ in 0..20 {
            for ((inflater, chunks), out) in lent.iter_mut().zip(&mut outs) {
                chunks.next().map_or(Ok(()), |chunk| inflater.feed(chunk, out)).unwrap();
            }
        }
        for ((inflater, _), out) in lent.into_iter().zip(&mut outs) {
            inflater.end(out).unwrap();
        }
        assert_eq!(outs, messages);
    }
}

#[test]
fn contexts_take_over_in_both_directions() {
    for window_bits in 8..=15 {
        let direction = Direction { context_takeover: true, window_bits };
        let mut codec = Codec::new();
        let mut sender = Context::new(direction, FRESH).unwrap();
        let mut receiver = Context::new(FRESH, direction).unwrap();
        let mut other = Decompress::new(false);
        let mut before = Vec::new();
        for (at, message) in messages().into_iter().enumerate() {
            let mut sent = Vec::new();
            sender.deflate(&mut codec, &message, LEVELS[at % 4], &mut sent);
            let mut read = Vec::new();
            receiver.inflate(&mut codec, [&sent[..]], message.len(), &mut read).unwrap();
            assert_eq!(read, message, "{window_bits} bits");
            assert_eq!(read_by_other(&mut other, &sent, message.len()), message);
            if message.len() < 5000 {
                assert_eq!(reference(&sent, window_bits, &before), message, "{window_bits} bits");
            }
            before.extend_from_slice(&message);
        }
    }
}

#[test]
fn a_window_that_lives_on_makes_messages_smaller() {
    let mut codec = Codec::new();
    let mut context = Context::new(KEPT, FRESH).unwrap();
    let message = json(1000, &mut Random(1));
    let mut sizes = [0; 3];
    for size in &mut sizes {
        let mut sent = Vec::new();
        context.deflate(&mut codec, &message, Level::Default, &mut sent);
        *size = sent.len();
    }
    assert!(sizes[1] < sizes[0] / 10 && sizes[2] < sizes[0] / 10, "{sizes:?}");
}

#[test]
fn messages_of_others_with_context_are_read() {
    let mut codec = Codec::new();
    let mut context = Context::new(FRESH, KEPT).unwrap();
    let mut compress = Compress::new(Compression::new(6), false);
    for message in messages() {
        let sent = foreign(&mut compress, &message);
        let mut read = Vec::new();
        context.inflate(&mut codec, sent.chunks(11), message.len(), &mut read).unwrap();
        assert_eq!(read, message);
    }
}

#[test]
fn last_blocks_do_not_end_a_context() {
    // A last block, and what comes behind it refers to what came before: in the same message, the
    // next one and the one after that, with the end of the message left out or not.
    let hello = &b"\xf3\x48\xcd\xc9\xc9\x07\x00"[..];
    let refers = b"\xf2\x00\x11\x00\x00";
    let last_refers = b"\xf3\x00\x11\x00\x00";
    let mut codec = Codec::new();
    for end in [&b"\x00"[..], b""] {
        let mut context = Context::new(FRESH, KEPT).unwrap();
        for (parts, message) in [
            (vec![hello, &refers[..]], "HelloHello"),
            (vec![&refers[..]], "Hello"),
            (vec![&last_refers[..4], end], "Hello"),
            (vec![hello, hello, hello, end], "HelloHelloHello"),
            (vec![&refers[..]], "Hello"),
        ] {
            let mut read = Vec::new();
            context.inflate(&mut codec, parts.clone(), 15, &mut read).unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), message, "{parts:x?}");
        }
    }
    // Without takeover that holds within a message.
    assert_eq!(inflated(&[hello, refers], 10).as_deref(), Ok(&b"HelloHello"[..]));
    assert_eq!(inflated(&[refers], 10), Err(InflateError::Corrupt));
    // More than a window lies between.
    let mut context = Context::new(FRESH, KEPT).unwrap();
    let mut compress = Compress::new(Compression::new(6), false);
    let start = codec.inflate([hello], 5, &mut Vec::new());
    assert_eq!(start, Ok(()));
    for message in messages() {
        let sent = [&foreign(&mut compress, &message)[..], &TAIL, b"\x03\x00\x00"].concat();
        let mut read = Vec::new();
        context.inflate(&mut codec, sent.chunks(13), message.len(), &mut read).unwrap();
        assert_eq!(read, message);
    }
}

#[test]
fn a_context_holds_what_the_parameters_say() {
    let parameters = Parameters {
        server_no_context_takeover: false,
        client_no_context_takeover: true,
        server_max_window_bits: 10,
        client_max_window_bits: 12,
    };
    let (server, client) = (parameters.server(), parameters.client());
    assert_eq!(server, Direction { context_takeover: true, window_bits: 10 });
    assert_eq!(client, Direction { context_takeover: false, window_bits: 12 });
    let context = Context::new(server, client).unwrap();
    assert!(context.window.is_some() && context.inflater.is_none());
    let context = Context::new(client, server).unwrap();
    assert!(context.window.is_none() && context.inflater.is_some());
    assert!(Context::new(client, client).is_none());

    assert_eq!(Context::memory_cost(client, client), 0);
    assert_eq!(Context::memory_cost(client, server), Inflater::MEMORY_MAX);
    let kept = |window_bits| Direction { context_takeover: true, window_bits };
    let costs = [8, 9, 10, 11, 12, 13, 14, 15].map(|bits| Context::memory_cost(kept(bits), client));
    assert_eq!(costs, [5376, 5632, 6144, 8192, 12288, 24576, 49152, 98304]);
    let both = Context::memory_cost(kept(15), kept(15));
    assert_eq!(both, 98304 + Inflater::MEMORY_MAX);
}

#[test]
fn a_context_takes_no_more_than_its_cost() {
    for window_bits in 8..=15 {
        let direction = Direction { context_takeover: true, window_bits };
        let mut codec = Codec::new();
        let mut context = Context::new(direction, direction).unwrap();
        let mut compress = Compress::new(Compression::new(6), false);
        for message in messages() {
            context.deflate(&mut codec, &message, Level::Default, &mut Vec::new());
            let sent = [&foreign(&mut compress, &message)[..], &TAIL, b"\x03\x00\x00"].concat();
            context.inflate(&mut codec, [&sent[..]], 1 << 20, &mut Vec::new()).unwrap();
        }
        let window = context.window.as_ref().unwrap();
        let table = Table::memory(Window::table_bits(window_bits));
        assert_eq!(table + window.data.capacity(), Window::memory(window_bits));
        assert_eq!(context.inflater.as_ref().unwrap().history_memory(), 32 * 1024);
    }
}
