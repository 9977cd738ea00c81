//! Whether a flow is bulk: when copying should give way to splicing, and back.

/// Weight of the newest reading in the mean: one in `2^MEAN_SHIFT`.
const MEAN_SHIFT: u32 = 3;
/// A spliced flow goes back to copying when its mean falls below the promoting mean divided by
/// this: far enough apart that a flow does not swing between the two.
const DEMOTE_DIVISOR: u32 = 8;
/// Most doublings of what a flow must move again after it was demoted.
const BACKOFF_MAX: u8 = 8;

/// What makes a flow bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterOptions {
    /// Whether flows are promoted at all.
    pub enabled: bool,
    /// Bytes that must have moved before.
    pub after: u64,
    /// Mean bytes of one turn that make the flow bulk.
    pub mean_min: u32,
}

/// The decision to change the mode of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Splice from now on.
    Promote,
    /// Copy from now on.
    Demote,
}

/// Watches one direction of one connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    /// Bytes since the last change of mode.
    moved: u64,
    /// Mean bytes per turn in which any came, times `2^MEAN_SHIFT`.
    mean_scaled: u32,
    demotions: u8,
    spliced: bool,
}

impl Meter {
    /// Takes the bytes that came in one turn, and says when the mode should change.
    pub fn handle_turn(&mut self, options: &MeterOptions, bytes: usize) -> Option<Switch> {
        // Readings are capped, so that the scaled mean fits.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(1 << 24);
        self.moved = self.moved.saturating_add(u64::from(bytes));
        self.mean_scaled = match self.mean_scaled {
            0 => bytes << MEAN_SHIFT,
            mean => mean - (mean >> MEAN_SHIFT) + bytes,
        };
        let mean = self.mean_scaled >> MEAN_SHIFT;
        if self.spliced {
            let low = mean < options.mean_min / DEMOTE_DIVISOR;
            return low.then(|| self.switch(Switch::Demote));
        }
        let after = options.after << self.demotions.min(BACKOFF_MAX);
        let bulk = options.enabled && self.moved >= after && mean >= options.mean_min;
        bulk.then(|| self.switch(Switch::Promote))
    }

    /// Whether the flow ought to be spliced.
    #[must_use]
    pub const fn is_spliced(&self) -> bool {
        self.spliced
    }

    /// The promotion could not be carried out: there was no pipe to be had.
    pub fn handle_refusal(&mut self) {
        if self.spliced {
            self.switch(Switch::Demote);
        }
    }

    fn switch(&mut self, switch: Switch) -> Switch {
        self.spliced = switch == Switch::Promote;
        self.moved = 0;
        if switch == Switch::Demote {
            self.demotions = self.demotions.saturating_add(1);
        }
        switch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: MeterOptions = MeterOptions { enabled: true, after: 100_000, mean_min: 16_000 };

    #[test]
    fn a_bulk_flow_is_promoted_after_enough_bytes() {
        let mut meter = Meter::default();
        let turns = (1..).find(|_| meter.handle_turn(&OPTIONS, 20_000).is_some());
        assert_eq!(turns, Some(5));
    }

    #[test]
    fn small_messages_are_never_promoted() {
        let mut meter = Meter::default();
        assert!((0..10_000).all(|_| meter.handle_turn(&OPTIONS, 4_000).is_none()));
    }

    #[test]
    fn a_flow_that_gets_small_is_demoted_and_must_move_more_to_come_back() {
        let mut meter = Meter::default();
        while meter.handle_turn(&OPTIONS, 64_000) != Some(Switch::Promote) {}
        let small = (1..).find(|_| meter.handle_turn(&OPTIONS, 100).is_some()).unwrap();
        assert!((8..64).contains(&small), "{small} small turns until demotion");
        let mut moved = 0;
        while meter.handle_turn(&OPTIONS, 64_000) != Some(Switch::Promote) {
            moved += 64_000;
        }
        assert!(moved >= 2 * OPTIONS.after - 64_000, "{moved}");
    }

    #[test]
    fn nothing_is_promoted_when_switched_off_and_huge_readings_do_no_harm() {
        let off = MeterOptions { enabled: false, ..OPTIONS };
        let mut meter = Meter::default();
        assert!((0..1000).all(|_| meter.handle_turn(&off, usize::MAX).is_none()));
    }

    #[test]
    fn a_refused_promotion_is_tried_again_later() {
        let mut meter = Meter::default();
        while meter.handle_turn(&OPTIONS, 64_000) != Some(Switch::Promote) {}
        meter.handle_refusal();
        assert_eq!(meter.handle_turn(&OPTIONS, 64_000), None);
        while meter.handle_turn(&OPTIONS, 64_000) != Some(Switch::Promote) {}
    }
}
