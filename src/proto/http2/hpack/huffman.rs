//! The Huffman code of strings (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and
//! all of them come before those that are longer. So the lengths say everything, and the tables
//! are made of them when the program is compiled.

use super::HpackError;

/// Bits of each symbol's code; the last one is the end of the string, which is never sent.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30, //
];

/// Symbols, with the end of the string.
const SYMBOLS: usize = 257;
/// The end of the string.
const END: u16 = 256;
/// Bits of the longest code.
const LONGEST: usize = 30;
/// Bits that one look-up goes by: most symbols that are sent have fewer than half of them, so that
/// one look-up gives two.
const LOOK: u32 = 12;
/// Fewer bits than a byte fill the last byte.
const PADDING_MAX: u32 = 7;

/// Codes in the order of their lengths.
struct Canonical {
    /// The symbols in the order of their codes.
    order: [u16; SYMBOLS],
    /// For each length: the first code, and the place of its symbol in the order.
    first: [(u32, u16); LONGEST + 2],
    /// The code of each symbol.
    codes: [u32; SYMBOLS],
}

const CANONICAL: Canonical = {
    let mut order = [0; SYMBOLS];
    let mut first = [(0, 0); LONGEST + 2];
    let mut codes = [0; SYMBOLS];
    let (mut next, mut place, mut len) = (0_u32, 0_u16, 1);
    while len <= LONGEST {
        next <<= 1;
        first[len] = (next, place);
        let mut symbol = 0_u16;
        while (symbol as usize) < SYMBOLS {
            if LENGTHS[symbol as usize] as usize == len {
                order[place as usize] = symbol;
                codes[symbol as usize] = next;
                next += 1;
                place += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    first[LONGEST + 1] = (0, place);
    Canonical { order, first, codes }
};

/// What some bits begin with: one symbol or two that have their whole code there.
#[derive(Clone, Copy)]
struct Found {
    /// How many; none when the first code is longer.
    count: u8,
    /// Bits of the first code.
    first_bits: u8,
    /// Bits of all codes.
    bits: u8,
    symbols: [u8; 2],
}

static FOUND: [Found; 1 << LOOK] = {
    let none = Found { count: 0, first_bits: 0, bits: 0, symbols: [0; 2] };
    let mut table = [none; 1 << LOOK];
    let mut at = 0_u32;
    while at < 1 << LOOK {
        let mut found = none;
        while found.count < 2 {
            match short_code(at, found.bits) {
                Some((symbol, len)) => {
                    found.symbols[found.count as usize] = symbol;
                    found.count += 1;
                    found.bits += len;
                    if found.count == 1 {
                        found.first_bits = len;
                    }
                }
                None => break,
            }
        }
        table[at as usize] = found;
        at += 1;
    }
    table
};

/// The symbol whose code stands in so many bits, behind those that were used, and its length.
const fn short_code(bits: u32, used: u8) -> Option<(u8, u8)> {
    let left = LOOK - used as u32;
    let rest = bits & ((1 << left) - 1);
    let mut len = 1_u8;
    while len as u32 <= left {
        let (first, place) = CANONICAL.first[len as usize];
        let next = CANONICAL.first[len as usize + 1].1;
        let code = rest >> (left - len as u32);
        if next > place && code >= first && code - first < (next - place) as u32 {
            // Symbols of such lengths are bytes.
            let [low, _] = CANONICAL.order[place as usize + (code - first) as usize].to_le_bytes();
            return Some((low, len));
        }
        len += 1;
    }
    None
}

/// Bits that were read and not used, the next one highest; fewer than 64.
struct Bits {
    held: u64,
    count: u32,
}

impl Bits {
    /// The next bits, filled with ones behind the last.
    const fn peek(&self, bits: u32) -> u64 {
        (self.held | u64::MAX >> self.count) >> (64 - bits)
    }

    const fn drop(&mut self, bits: u32) {
        self.held <<= bits;
        self.count -= bits;
    }
}

/// Decodes a string and appends it to `out`.
///
/// # Errors
/// It has the code of its end within it, or is not filled up with fewer than eight ones.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    // No code has fewer than five bits.
    out.reserve(input.len() * 8 / 5 + 1);
    let mut bits = Bits { held: 0, count: 0 };
    let mut rest = input.iter();
    loop {
        while bits.count < 56
            && let Some(byte) = rest.next()
        {
            bits.held |= u64::from(*byte) << (56 - bits.count);
            bits.count += 8;
        }
        while bits.count >= 32 {
            take(&mut bits, out)?;
        }
        if rest.as_slice().is_empty() {
            break;
        }
    }
    while bits.count > PADDING_MAX || bits.peek(8) != 0xff {
        take(&mut bits, out)?;
    }
    Ok(())
}

/// Takes the next symbols.
fn take(bits: &mut Bits, out: &mut Vec<u8>) -> Result<(), HpackError> {
    let at = usize::try_from(bits.peek(LOOK)).unwrap_or(0);
    let found = FOUND[at];
    if found.count == 2 && u32::from(found.bits) <= bits.count {
        out.extend_from_slice(&found.symbols);
        bits.drop(found.bits.into());
        return Ok(());
    }
    if found.count > 0 && u32::from(found.first_bits) <= bits.count {
        out.push(found.symbols[0]);
        bits.drop(found.first_bits.into());
        return Ok(());
    }
    let (symbol, len) = long_code(bits)?;
    bits.drop(len);
    out.push(symbol);
    Ok(())
}

/// The symbol of a code that is longer than a look-up.
fn long_code(bits: &Bits) -> Result<(u8, u32), HpackError> {
    for len in LOOK + 1..=30 {
        if len > bits.count {
            break;
        }
        let (first, place) = CANONICAL.first[len as usize];
        let next = CANONICAL.first[len as usize + 1].1;
        let code = u32::try_from(bits.peek(len)).unwrap_or(0);
        if next > place && code >= first && code - first < u32::from(next - place) {
            let symbol = CANONICAL.order[place as usize + (code - first) as usize];
            return match u8::try_from(symbol) {
                Ok(symbol) => Ok((symbol, len)),
                Err(_) => {
                    debug_assert_eq!(symbol, END, "all other symbols are bytes");
                    Err(HpackError::HuffmanEnd)
                }
            };
        }
    }
    Err(HpackError::HuffmanPadding)
}

/// Bytes of a string in this code.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Encodes a string.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut held, mut count) = (0_u64, 0);
    for byte in text {
        let symbol = usize::from(*byte);
        let len = u32::from(LENGTHS[symbol]);
        held = held << len | u64::from(CANONICAL.codes[symbol]);
        count += len;
        while count >= 8 {
            count -= 8;
            let [.., low] = (held >> count).to_be_bytes();
            out.push(low);
        }
    }
    if count > 0 {
        let filled = held << (8 - count) | u64::from(u8::MAX >> count);
        let [.., low] = filled.to_be_bytes();
        out.push(low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(out.len(), encoded_len(text));
        out
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541, appendix C.4 and C.6.
        let cases: [(&str, &[u8]); 5] = [
            (
                "www.example.com",
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
            ),
            ("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            ("custom-key", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]),
            ("302", &[0x64, 0x02]),
            ("private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]),
        ];
        for (text, bytes) in cases {
            assert_eq!(encoded(text.as_bytes()), bytes, "{text}");
            assert_eq!(decoded(bytes).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn each_byte_and_each_pair_comes_back() {
        assert_eq!(CANONICAL.codes[256], (1 << 30) - 1, "the end is all ones");
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                for text in [&[first, second][..], &[first, second, b'a', first]] {
                    assert_eq!(decoded(&encoded(text)).unwrap(), text);
                }
            }
        }
        let long: Vec<u8> = (0..5000_u32).map(|at| (at * at % 251).to_le_bytes()[0]).collect();
        assert_eq!(decoded(&encoded(&long)).unwrap(), long);
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn what_fills_the_last_byte_is_fewer_than_eight_ones() {
        // `0` is 00000, `a` is 00011.
        type Case = (&'static [u8], Result<&'static [u8], HpackError>);
        let cases: [Case; 8] = [
            (&[0b0000_0111], Ok(b"0")),
            (&[0b0000_0110], Err(HpackError::HuffmanPadding)),
            (&[0b0000_0000], Err(HpackError::HuffmanPadding)),
            (&[0b0000_0111, 0xff], Err(HpackError::HuffmanPadding)),
            (&[0xff], Err(HpackError::HuffmanPadding)),
            (&[0b0001_1000, 0b1111_1111], Ok(b"aa")),
            (&[0xff, 0xff, 0xff, 0xff], Err(HpackError::HuffmanEnd)),
            (&[0x07, 0xff, 0xff, 0xff, 0xff, 0xff], Err(HpackError::HuffmanEnd)),
        ];
        for (input, expected) in cases {
            assert_eq!(decoded(input).as_deref(), expected.as_ref().copied(), "{input:x?}");
        }
    }

    #[test]
    fn no_input_is_read_in_two_ways() {
        // Whatever is accepted encodes to what was read: there is one spelling.
        let mut state = 1_u64;
        for len in 0..200_000_u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bytes = state.to_le_bytes();
            let input = &bytes[..(len % 9) as usize];
            if let Ok(text) = decoded(input) {
                assert_eq!(encoded(&text), input);
            }
        }
    }
}
