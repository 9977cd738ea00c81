//! Random numbers for choices that need not be secret, and hashes that are the same everywhere.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes names of our own, which nobody outside chooses.
pub(super) type Mixing = BuildHasherDefault<MixingHasher>;

/// The hasher of [`Mixing`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MixingHasher(u64);

impl Hasher for MixingHasher {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    }
}

/// A small generator (xorshift64*).
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Numbers that depend on nothing but `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        // Seeds that follow each other, as those of workers do, shall not give numbers that do; and
        // a state of 0 would give nothing but 0.
        Self { state: mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) | 1 }
    }

    /// The next 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 when that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        let upper = u32::try_from(self.bits() >> 32).unwrap_or(0);
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The next number of a sequence (`SplitMix64`): any state begins one.
pub(crate) const fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*state)
}

/// Spreads what differs in a few bits over all of them (the last step of `SplitMix64`).
pub(in crate::service) const fn mix(value: u64) -> u64 {
    let mut mixed = value;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A hash that is the same on every worker, in every process and on every machine, for what an
/// exchange or a server is known by (FNV-1a, mixed). It has no secret: who chooses the bytes can
/// choose the server, which balancing by a hash allows anyway.
#[must_use]
pub const fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_neighbours_give_others() {
        for seed in [0, 1, u64::MAX, 0_u64.wrapping_sub(0x9e37_79b9_7f4a_7c15)] {
            let (mut one, mut same) = (Random::new(seed), Random::new(seed));
            let mut other = Random::new(seed ^ 2);
            let numbers: Vec<u64> = (0..100).map(|_| one.bits()).collect();
            assert!(numbers.iter().all(|number| *number == same.bits()));
            assert!(numbers.iter().filter(|number| **number == other.bits()).count() < 2);
        }
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_every_one() {
        let mut random = Random::new(5);
        let mut seen = [0; 7];
        for _ in 0..70_000 {
            seen[random.below(7)] += 1;
            assert!((0.0..1.0).contains(&random.unit()));
        }
        assert!(seen.iter().all(|count| (9_600..10_400).contains(count)), "{seen:?}");
        assert_eq!((random.below(0), random.below(1)), (0, 0));
    }

    #[test]
    fn a_stable_hash_never_changes() {
        assert_eq!(stable_hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(stable_hash(b"a"), mix(0xaf63_dc4c_8601_ec8c));
        assert_ne!(stable_hash(b"ab"), stable_hash(b"ba"));
    }
}
