//! How much memory the bytes of a worker may take that wait for a slow peer.

/// Bytes of memory that may wait for one peer, before the source is read no further: a body in its
/// exchange together with what waits in the peer's write buffer.
pub const WAITING_MAX: usize = 256 * 1024;

/// The waiting bytes of one worker, in what their memory costs: bodies in exchanges, and what waits
/// on connections.
///
/// It refuses nothing. It says how much may wait for one peer now ([`WaitingBudget::allowance`]):
/// less in steps as the budget runs out, and in the end one part. A source whose bytes have all
/// been taken is always read again, so that no peer starves or waits for another one.
/// The sum may therefore exceed the budget by one part for each exchange.
#[derive(Debug)]
pub struct WaitingBudget {
    most: usize,
    used: usize,
    limited: u64,
}

impl Default for WaitingBudget {
    fn default() -> Self {
        Self { most: usize::MAX, used: 0, limited: 0 }
    }
}

impl WaitingBudget {
    /// So many bytes from now on.
    pub fn set_most(&mut self, most: u64) {
        self.most = usize::try_from(most).unwrap_or(usize::MAX);
    }

    /// Bytes of memory that wait now.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// How often a source was not read because the budget was short.
    #[must_use]
    pub const fn limited(&self) -> u64 {
        self.limited
    }

    /// A source is not read because the budget is short.
    pub const fn note_limited(&mut self) {
        self.limited += 1;
    }

    /// Whether less may wait for one peer than [`WAITING_MAX`].
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.used >= self.most / 2
    }

    /// Whether all of it is used.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.used >= self.most
    }

    /// Bytes that may wait for one peer: where so many wait, the source is not read. At least one
    /// byte, so that what is empty takes a part.
    #[must_use]
    pub const fn allowance(&self) -> usize {
        if !self.is_short() {
            return WAITING_MAX;
        }
        if self.is_exhausted() {
            return 1;
        }
        let eighth = self.most / 8;
        match (self.most - self.used) / if eighth == 0 { 1 } else { eighth } {
            0 => WAITING_MAX / 16,
            1 => WAITING_MAX / 8,
            2 => WAITING_MAX / 4,
            _ => WAITING_MAX / 2,
        }
    }

    /// So many bytes more wait.
    pub const fn add(&mut self, bytes: usize) {
        self.used += bytes;
    }

    /// So many bytes wait no longer.
    pub const fn remove(&mut self, bytes: usize) {
        debug_assert!(self.used >= bytes, "what is taken back was counted");
        self.used = self.used.saturating_sub(bytes);
    }

    /// Something that was counted as `counted` costs `now`.
    pub const fn recount(&mut self, counted: &mut usize, now: usize) {
        self.remove(*counted);
        self.add(now);
        *counted = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_may_wait_for_one_peer_as_the_budget_runs_out() {
        const KIB: usize = 1024;
        for most in [8_000, 1 << 20, 256 << 20] {
            let mut budget = WaitingBudget::default();
            budget.set_most(most as u64);
            // In sixteenths of the budget.
            let steps = [
                (0, 256 * KIB),
                (7, 256 * KIB),
                (8, 128 * KIB),
                (10, 128 * KIB),
                (11, 64 * KIB),
                (12, 64 * KIB),
                (13, 32 * KIB),
                (14, 32 * KIB),
                (15, 16 * KIB),
                (16, 1),
                (40, 1),
            ];
            let mut counted = 0;
            for (used, allowance) in steps {
                budget.recount(&mut counted, most / 16 * used);
                assert_eq!(budget.allowance(), allowance, "{used}/16 of {most}");
                assert_eq!(budget.is_short(), used >= 8);
                assert_eq!(budget.is_exhausted(), used >= 16);
            }
            budget.recount(&mut counted, most - 1);
            assert_eq!(budget.allowance(), 16 * KIB);
            budget.recount(&mut counted, 0);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn a_budget_may_be_changed_while_it_is_used() {
        let mut budget = WaitingBudget::default();
        budget.add(1_000);
        assert_eq!(budget.allowance(), WAITING_MAX, "no limit was set");
        for (most, allowance) in [(0, 1), (1, 1), (1_000, 1), (1_001, 16 * 1024)] {
            budget.set_most(most);
            assert_eq!(budget.allowance(), allowance, "{most}");
        }
        budget.set_most(2_002);
        assert_eq!(budget.allowance(), WAITING_MAX);
        budget.remove(1_000);
        assert_eq!(budget.used(), 0);
    }
}
