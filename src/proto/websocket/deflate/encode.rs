//! The search for matches. What tells messages apart from what came before is a position that only
//! grows: a table of positions needs no reset, and what lies before a message is never looked at.

use super::Level;
use super::huffman::{Bits, Block, MATCH_MAX};

/// Bytes of the largest block.
pub(super) const BLOCK_MAX: usize = 32 * 1024;
/// Bytes that are hashed: no shorter match is looked for.
const HASHED: usize = 4;
/// Matches of so many bytes are taken without a look at the next byte.
const ENOUGH: usize = 32;
/// Positions of a table that are used where only one is kept of each word: as fast as the nearest
/// cache.
const NEAR_BITS: u32 = 12;
/// Where positions begin anew, with an empty table.
const POSITION_MAX: usize = 1 << 31;

/// Where words were seen last.
#[derive(Debug)]
pub(super) struct Table {
    /// Positions, lowest bits only: what is found there is compared before it is used.
    slots: Box<[u32]>,
    /// Where the data begins that is searched.
    base: usize,
}

impl Table {
    pub(super) fn new(bits: u32) -> Self {
        Self { slots: vec![0; 1 << bits].into_boxed_slice(), base: 1 }
    }

    /// Bytes that a table takes.
    pub(super) const fn memory(bits: u32) -> usize {
        size_of::<u32>() << bits
    }

    /// Goes on behind `len` bytes. What was found in them lies before whatever comes next.
    pub(super) fn advance(&mut self, len: usize) {
        self.base += len;
        if self.base > POSITION_MAX {
            self.slots.fill(0);
            self.base = 1;
        }
    }

    fn position(&self, position: usize) -> u32 {
        u32::try_from((self.base + position) & 0xffff_ffff).unwrap_or(0)
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + HASHED).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

/// How many bytes from `at` on are the same as those from `from` on, of `max`.
fn common(data: &[u8], from: usize, at: usize, max: usize) -> usize {
    let (old, new) = (&data[from..from + max], &data[at..at + max]);
    let (old_words, old_rest) = old.as_chunks::<8>();
    let (new_words, new_rest) = new.as_chunks::<8>();
    let mut same = 0;
    for (old, new) in old_words.iter().zip(new_words) {
        let difference = u64::from_le_bytes(*old) ^ u64::from_le_bytes(*new);
        if difference != 0 {
            return same + difference.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + old_rest.iter().zip(new_rest).take_while(|(old, new)| old == new).count()
}

/// A search in `data`, of which the part from `from` on is to be written, in one block.
struct Search<'a, const WAYS: usize> {
    table: &'a mut Table,
    shift: u32,
    data: &'a [u8],
    end: usize,
    window: usize,
}

impl<const WAYS: usize> Search<'_, WAYS> {
    /// The longest match at a position, if it is longer than `than`: its length and distance.
    /// The position can be found from now on.
    #[inline(always)]
    fn find(&mut self, at: usize, than: usize) -> Option<(usize, usize)> {
        let word_here = word(self.data, at)?;
        let position = self.table.position(at);
        let bucket = (word_here.wrapping_mul(0x9e37_79b1) >> self.shift) as usize * WAYS;
        let slots = self.table.slots.get_mut(bucket..bucket + WAYS)?;
        let max = MATCH_MAX.min(self.end - at);
        let reach = self.window.min(at);
        let mut best = (than, 0);
        for slot in slots.iter() {
            let distance = position.wrapping_sub(*slot) as usize;
            // Slots have the latest position first: what is behind this one is older still.
            if distance.wrapping_sub(1) >= reach || max < HASHED {
                break;
            }
            let from = at - distance;
            if word(self.data, from) != Some(word_here) {
                continue;
            }
            let rest = common(self.data, from + HASHED, at + HASHED, max - HASHED);
            if rest + HASHED > best.0 {
                best = (rest + HASHED, distance);
            }
        }
        if WAYS > 1 {
            slots.copy_within(..WAYS - 1, 1);
        }
        slots[0] = position;
        (best.1 > 0).then_some(best)
    }

    fn insert(&mut self, at: usize) {
        let Some(word_here) = word(self.data, at) else { return };
        let position = self.table.position(at);
        let bucket = (word_here.wrapping_mul(0x9e37_79b1) >> self.shift) as usize * WAYS;
        let Some(slots) = self.table.slots.get_mut(bucket..bucket + WAYS) else { return };
        if WAYS > 1 {
            slots.copy_within(..WAYS - 1, 1);
        }
        slots[0] = position;
    }

    /// Takes the first match that there is.
    fn greedy(&mut self, from: usize, block: &mut Block) {
        let mut at = from;
        let mut missed = from;
        while at < self.end {
            let Some((length, distance)) = self.find(at, HASHED - 1) else {
                // Where nothing is found for long, not every position is looked at.
                let step = 1 + ((at - missed) >> 7);
                let next = self.end.min(at + step);
                self.data[at..next].iter().for_each(|&byte| block.literal(byte));
                at = next;
                continue;
            };
            block.copy(length, distance);
            let last = at + length - 1;
            self.insert(at + 1);
            self.insert(last - 1);
            at += length;
            missed = at;
        }
    }

    /// Leaves a match for a longer one that begins a byte later.
    fn lazy(&mut self, from: usize, block: &mut Block) {
        let mut at = from;
        let mut found = None;
        while at < self.end {
            let Some((length, distance)) = found.take().or_else(|| self.find(at, HASHED - 1))
            else {
                block.literal(self.data[at]);
                at += 1;
                continue;
            };
            let mut inserted = at + 1;
            if length < ENOUGH {
                found = self.find(at + 1, length);
                inserted += 1;
                if found.is_some() {
                    block.literal(self.data[at]);
                    at += 1;
                    continue;
                }
            }
            block.copy(length, distance);
            at += length;
            (inserted..at).for_each(|at| self.insert(at));
        }
    }
}

/// Writes `data` from `from` on, with matches that may begin before it.
pub(super) fn encode(
    table: &mut Table,
    (data, from): (&[u8], usize),
    (window_bits, level): (u8, Level),
    block: &mut Block,
    (bits, out): (&mut Bits, &mut Vec<u8>),
) {
    let mut start = from;
    while start < data.len() {
        let end = data.len().min(start + BLOCK_MAX);
        block.begin(end - start);
        let window = 1 << window_bits;
        let slots = table.slots.len().ilog2();
        match level {
            Level::Fastest | Level::Fast => {
                let shift = 32 - slots.min(NEAR_BITS);
                Search::<1> { table, shift, data, end, window }.greedy(start, block);
            }
            Level::Default => {
                let shift = 32 - slots + 1;
                Search::<2> { table, shift, data, end, window }.lazy(start, block);
            }
            Level::Best => {
                let shift = 32 - slots + 3;
                Search::<8> { table, shift, data, end, window }.lazy(start, block);
            }
        }
        block.write(&data[start..end], level != Level::Fastest, bits, out);
        start = end;
    }
}
