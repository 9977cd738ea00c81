//! Blocks of DEFLATE (RFC 1951, section 3.2): the codes of what the search for matches found, and
//! how they are written.

/// Literals, the end of a block and lengths of matches (RFC 1951, section 3.2.5).
const LITERALS: usize = 286;
/// Distances of matches.
const DISTANCES: usize = 30;
/// What lengths of codes are written with (section 3.2.7).
const CODE_LENGTHS: usize = 19;
/// The symbol which ends a block.
const END: usize = 256;
/// The longest code of literals and distances, and that of lengths of codes.
const CODE_BITS_MAX: usize = 15;
const CODE_LENGTH_BITS_MAX: usize = 7;
/// The order in which lengths of codes come in a block's head.
const CODE_LENGTH_ORDER: [usize; CODE_LENGTHS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// A block's head with codes of its own takes no less, and what it saves on so small a block is
/// less: its codes are not computed.
const OWN_CODES_FROM_BITS: u32 = 1300;
/// Shortest match.
pub(super) const MATCH_MIN: usize = 3;
/// Longest match.
pub(super) const MATCH_MAX: usize = 258;

/// A symbol's bits, as they are written, and how many there are.
#[derive(Debug, Clone, Copy, Default)]
struct Code {
    bits: u32,
    len: u32,
}

/// The symbol of each length of a match, counted from `MATCH_MIN`.
static LENGTH_SYMBOLS: [u32; 256] = {
    let mut symbols = [0; 256];
    let mut length: u32 = 0;
    while length < 256 {
        symbols[length as usize] = match length {
            0..4 => 257 + length,
            255 => 285,
            _ => {
                let log = length.ilog2();
                257 + 4 * (log - 1) + ((length >> (log - 2)) & 3)
            }
        };
        length += 1;
    }
    symbols
};

/// The lowest length of each symbol of lengths, counted from `MATCH_MIN`, and its extra bits.
static LENGTHS: [(u32, u32); 29] = {
    let mut lengths = [(0, 0); 29];
    let mut symbol: u32 = 0;
    while symbol < 28 {
        lengths[symbol as usize] = match symbol {
            0..8 => (symbol, 0),
            _ => {
                let extra = symbol / 4 - 1;
                ((4 + symbol % 4) << extra, extra)
            }
        };
        symbol += 1;
    }
    lengths[28] = (255, 0);
    lengths
};

/// The symbol of a distance that is counted from 0, and the number of its extra bits, which are its
/// lowest ones.
const fn distance_symbol(distance: u32) -> (usize, u32) {
    if distance < 4 {
        return (distance as usize, 0);
    }
    let extra = distance.ilog2() - 1;
    ((2 * extra + (distance >> extra)) as usize, extra)
}

/// Extra bits of a symbol of distances.
const fn distance_extra(symbol: u32) -> u32 {
    if symbol < 4 { 0 } else { symbol / 2 - 1 }
}

/// A literal, or a match: its length and distance.
#[derive(Debug, Clone, Copy)]
struct Token(u32);

impl Token {
    const MATCH: u32 = 1 << 31;
}

/// Codes of one kind of block.
#[derive(Debug)]
struct Codes {
    literals: [Code; LITERALS + 2],
    distances: [Code; DISTANCES + 2],
}

/// What is written with the codes that each block may have (section 3.2.6).
static FIXED: Codes = {
    let mut codes = Codes {
        literals: [Code { bits: 0, len: 0 }; LITERALS + 2],
        distances: [Code { bits: 0, len: 5 }; DISTANCES + 2],
    };
    let mut symbol: u32 = 0;
    while symbol < 288 {
        let (bits, len) = match symbol {
            0..144 => (0x30 + symbol, 8),
            144..256 => (0x190 + symbol - 144, 9),
            256..280 => (symbol - 256, 7),
            _ => (0xc0 + symbol - 280, 8),
        };
        codes.literals[symbol as usize] = Code { bits: reversed(bits, len), len };
        symbol += 1;
    }
    let mut symbol: u32 = 0;
    while symbol < 32 {
        codes.distances[symbol as usize].bits = reversed(symbol, 5);
        symbol += 1;
    }
    codes
};

/// Codes are written from their highest bit on, into bytes that are filled from their lowest.
const fn reversed(bits: u32, len: u32) -> u32 {
    bits.reverse_bits() >> (32 - len)
}

/// A number that has to do with one block, none of which is large.
fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a block is small")
}

/// Bits that are not yet a whole byte of the output.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bits {
    bits: u64,
    count: u32,
}

impl Bits {
    /// Appends up to 56 bits; `out` has room for eight more bytes than are written.
    fn put(&mut self, bits: u64, count: u32, out: &mut [u8], at: &mut usize) {
        self.bits |= bits << self.count;
        self.count += count;
        out[*at..*at + 8].copy_from_slice(&self.bits.to_le_bytes());
        let bytes = self.count / 8;
        *at += bytes as usize;
        self.bits >>= bytes * 8;
        self.count %= 8;
    }

    /// Ends a message (RFC 7692, section 7.2.1): behind it comes an empty block without
    /// compression, of which the last four bytes are left out.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        let [first, second, ..] = self.bits.to_le_bytes();
        out.push(first);
        if self.count + 3 > 8 {
            out.push(second);
        }
    }
}

/// The tokens of one block, and what it takes to write them. It keeps its memory from block to
/// block, and nothing else.
#[derive(Debug)]
pub(super) struct Block {
    tokens: Vec<Token>,
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
    own: Codes,
    /// Symbols that lengths of codes are written with, and their extra bits.
    head: Vec<(usize, u32)>,
    head_codes: [Code; CODE_LENGTHS],
    /// How many codes of each kind, and of lengths of codes, the head has.
    sizes: (usize, usize, usize),
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            tokens: Vec::new(),
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
            own: Codes {
                literals: [Code::default(); LITERALS + 2],
                distances: [Code::default(); DISTANCES + 2],
            },
            head: Vec::with_capacity(LITERALS + DISTANCES),
            head_codes: [Code::default(); CODE_LENGTHS],
            sizes: (0, 0, 0),
        }
    }

    /// Begins a block of up to so many bytes.
    pub(super) fn begin(&mut self, bytes: usize) {
        self.tokens.clear();
        self.tokens.reserve(bytes);
        self.literals.fill(0);
        self.distances.fill(0);
        self.literals[END] = 1;
    }

    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
        self.tokens.push(Token(u32::from(byte)));
    }

    /// A match of 3 to 258 bytes, 1 to 32768 bytes back.
    pub(super) fn copy(&mut self, length: usize, distance: usize) {
        let (length, distance) = (length - MATCH_MIN, small(distance - 1));
        self.literals[LENGTH_SYMBOLS[length] as usize] += 1;
        self.distances[distance_symbol(distance).0] += 1;
        let length = small(length);
        self.tokens.push(Token(Token::MATCH | length << 16 | distance));
    }

    /// Writes the block in the shortest of its three forms, or of two if it `may_have_codes` of its
    /// own not. `raw` is what the tokens stand for.
    pub(super) fn write(
        &mut self,
        raw: &[u8],
        may_have_codes: bool,
        bits: &mut Bits,
        out: &mut Vec<u8>,
    ) {
        let extra = self.extra_bits();
        let fixed = extra + self.cost(&FIXED);
        let mut best = fixed;
        let mut is_own = false;
        if may_have_codes && fixed >= OWN_CODES_FROM_BITS {
            let own = extra + self.build() + self.cost(&self.own);
            is_own = own < fixed;
            best = best.min(own);
        }
        let stored = 8 * (small(raw.len()) + 5);
        if stored <= best {
            return store(raw, bits, out);
        }
        let start = out.len();
        // What is left of the byte before, three bits of head, and room for a word.
        out.resize(start + (best as usize + 7 + 3).div_ceil(8) + 8, 0);
        let room = &mut out[start..];
        let mut at = 0;
        if is_own {
            bits.put(0b100, 3, room, &mut at);
            self.write_head(bits, room, &mut at);
            write_tokens(&self.tokens, &self.own, bits, room, &mut at);
        } else {
            bits.put(0b010, 3, room, &mut at);
            write_tokens(&self.tokens, &FIXED, bits, room, &mut at);
        }
        out.truncate(start + at);
    }

    fn extra_bits(&self) -> u32 {
        let lengths = self.literals[257..].iter().zip(&LENGTHS);
        let lengths: u32 = lengths.map(|(count, length)| count * length.1).sum();
        let distances = (0..).zip(&self.distances);
        lengths + distances.map(|(symbol, count)| count * distance_extra(symbol)).sum::<u32>()
    }

    fn cost(&self, codes: &Codes) -> u32 {
        let sum = |counts: &[u32], codes: &[Code]| -> u32 {
            counts.iter().zip(codes).map(|(count, code)| count * code.len).sum()
        };
        sum(&self.literals, &codes.literals) + sum(&self.distances, &codes.distances)
    }

    /// Computes codes of the block's own, and the bits of its head.
    fn build(&mut self) -> u32 {
        // A decoder may want two codes of each kind.
        let few = self.distances.iter().filter(|&&count| count > 0).count() < 2;
        if few {
            self.distances[0] = self.distances[0].max(1);
            self.distances[1] = self.distances[1].max(1);
        }
        make_codes(&self.literals, CODE_BITS_MAX, &mut self.own.literals);
        make_codes(&self.distances, CODE_BITS_MAX, &mut self.own.distances);
        self.make_head()
    }

    /// Makes the head of a block with codes of its own (section 3.2.7), and counts its bits.
    fn make_head(&mut self) -> u32 {
        let used = |codes: &[Code], min: usize| {
            codes.iter().rposition(|code| code.len > 0).map_or(min, |last| min.max(last + 1))
        };
        let literals = used(&self.own.literals[..LITERALS], 257);
        let distances = used(&self.own.distances[..DISTANCES], 1);
        let lengths = self.own.literals[..literals].iter();
        let lengths = lengths.chain(&self.own.distances[..distances]).map(|code| code.len);
        self.head.clear();
        runs(lengths, &mut self.head);
        let mut counts = [0; CODE_LENGTHS];
        for &(symbol, _) in &self.head {
            counts[symbol] += 1;
        }
        make_codes(&counts, CODE_LENGTH_BITS_MAX, &mut self.head_codes);
        let is_used = |&symbol: &usize| self.head_codes[symbol].len > 0;
        let last = CODE_LENGTH_ORDER.iter().rposition(is_used);
        let code_lengths = last.map_or(4, |last| (last + 1).max(4));
        self.sizes = (literals, distances, code_lengths);
        let written = self
            .head
            .iter()
            .map(|&(symbol, _)| self.head_codes[symbol].len + RUN_EXTRA[symbol.saturating_sub(15)]);
        14 + 3 * small(code_lengths) + written.sum::<u32>()
    }

    fn write_head(&self, bits: &mut Bits, out: &mut [u8], at: &mut usize) {
        let (literals, distances, code_lengths) = self.sizes;
        let sizes = (literals - 257) | (distances - 1) << 5 | (code_lengths - 4) << 10;
        bits.put(u64::from(small(sizes)), 14, out, at);
        for &symbol in &CODE_LENGTH_ORDER[..code_lengths] {
            bits.put(u64::from(self.head_codes[symbol].len), 3, out, at);
        }
        for &(symbol, extra) in &self.head {
            let code = self.head_codes[symbol];
            let whole = code.bits | extra << code.len;
            bits.put(u64::from(whole), code.len + RUN_EXTRA[symbol.saturating_sub(15)], out, at);
        }
    }
}

/// Extra bits of the symbols from 15 on of lengths of codes: those of runs have some.
const RUN_EXTRA: [u32; 4] = [0, 2, 3, 7];

/// Lengths of codes with runs of the same put together: symbols and their extra bits.
fn runs(lengths: impl Iterator<Item = u32>, out: &mut Vec<(usize, u32)>) {
    let mut lengths = lengths.peekable();
    while let Some(length) = lengths.next() {
        let mut more = 0;
        let max = if length == 0 { 137 } else { 6 };
        while more < max && lengths.next_if_eq(&length).is_some() {
            more += 1;
        }
        if length > 0 {
            out.push((length as usize, 0));
        } else {
            more += 1;
        }
        match (length, more) {
            (0, 11..) => out.push((18, more - 11)),
            (0, 3..) => out.push((17, more - 3)),
            (1.., 3..) => out.push((16, more - 3)),
            _ => out.extend((0..more).map(|_| (length as usize, 0))),
        }
    }
}

/// Codes for symbols that occur so often, none longer than `max` bits (RFC 1951, section 3.2.2).
fn make_codes(counts: &[u32], max: usize, codes: &mut [Code]) {
    // The symbols that occur, rarest first: the count above the symbol.
    let mut order = [0_u32; LITERALS];
    let mut used = 0;
    for (symbol, &count) in (0_u32..).zip(counts) {
        if count > 0 {
            order[used] = count << 9 | symbol;
            used += 1;
        }
    }
    codes.fill(Code::default());
    let order = &mut order[..used];
    order.sort_unstable();
    let mut per_length = depths(order);
    limit(&mut per_length, max);
    let mut next = [0_u32; CODE_BITS_MAX + 2];
    for length in 1..=max {
        next[length + 1] = (next[length] + per_length[length]) << 1;
    }
    // The rarest have the longest codes; among those of one length, the lower symbol comes first.
    let mut rarest = order.iter();
    for length in (1..=max).rev() {
        for key in rarest.by_ref().take(per_length[length] as usize) {
            codes[(key & 0x1ff) as usize].len = small(length);
        }
    }
    for code in codes.iter_mut().filter(|code| code.len > 0) {
        let bits = &mut next[code.len as usize];
        code.bits = reversed(*bits, code.len);
        *bits += 1;
    }
}

/// How many leaves of a tree of least weight lie at each depth (Moffat and Katajainen, "In-place
/// calculation of minimum-redundancy codes"); `order` has the weights, lowest first.
fn depths(order: &[u32]) -> [u32; LITERALS] {
    let mut per_depth = [0; LITERALS];
    let count = order.len();
    if count < 2 {
        per_depth[1] = small(count);
        return per_depth;
    }
    // First weights, then parents, then depths.
    let mut nodes = [0_u32; LITERALS];
    let weight = |leaf: usize| order[leaf] >> 9;
    let (mut root, mut leaf) = (0, 0);
    for next in 0..count - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            if leaf >= count || (root < next && nodes[root] < weight(leaf)) {
                sum += nodes[root];
                nodes[root] = small(next);
                root += 1;
            } else {
                sum += weight(leaf);
                leaf += 1;
            }
        }
        nodes[next] = sum;
    }
    nodes[count - 2] = 0;
    for next in (0..count - 2).rev() {
        nodes[next] = nodes[nodes[next] as usize] + 1;
    }
    // Inner nodes by depth: what a depth has room for besides is leaves.
    let mut inner = nodes[..count - 1].iter().rev().peekable();
    let (mut room, mut depth, mut placed) = (1, 0, 0);
    while placed < count {
        let mut here = 0;
        while inner.next_if(|&&of| of as usize == depth).is_some() {
            here += 1;
        }
        per_depth[depth] = room - here;
        placed += (room - here) as usize;
        room = 2 * here;
        depth += 1;
    }
    per_depth
}

/// Makes leaves which lie too deep shorter, and others longer for it.
fn limit(per_depth: &mut [u32; LITERALS], max: usize) {
    let deep: u32 = per_depth[max + 1..].iter().sum();
    if deep == 0 {
        return;
    }
    per_depth[max] += deep;
    per_depth[max + 1..].fill(0);
    let mut total: u32 = (1..=max).map(|depth| per_depth[depth] << (max - depth)).sum();
    while total > 1 << max {
        per_depth[max] -= 1;
        let above = (1..max).rev().find(|&depth| per_depth[depth] > 0);
        if let Some(depth) = above {
            per_depth[depth] -= 1;
            per_depth[depth + 1] += 2;
        }
        total -= 1;
    }
}

fn write_tokens(tokens: &[Token], codes: &Codes, bits: &mut Bits, out: &mut [u8], at: &mut usize) {
    let mut local = *bits;
    for &Token(token) in tokens {
        if token & Token::MATCH == 0 {
            let code = codes.literals[token as usize & 0xff];
            local.put(u64::from(code.bits), code.len, out, at);
            continue;
        }
        let length = token >> 16 & 0xff;
        let symbol = LENGTH_SYMBOLS[length as usize] as usize;
        let code = codes.literals[symbol];
        let (lowest, extra) = LENGTHS[symbol - 257];
        let mut whole = u64::from(code.bits | (length - lowest) << code.len);
        let mut len = code.len + extra;
        let distance = token & 0x7fff;
        let (symbol, extra) = distance_symbol(distance);
        let code = codes.distances[symbol];
        whole |= u64::from(code.bits) << len;
        len += code.len;
        whole |= u64::from(distance & ((1 << extra) - 1)) << len;
        local.put(whole, len + extra, out, at);
    }
    let end = codes.literals[END];
    local.put(u64::from(end.bits), end.len, out, at);
    *bits = local;
}

/// Writes a block without compression (section 3.2.4).
fn store(raw: &[u8], bits: &mut Bits, out: &mut Vec<u8>) {
    bits.end(out);
    *bits = Bits::default();
    let len = u16::try_from(raw.len()).expect("a block is small");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(raw);
}
