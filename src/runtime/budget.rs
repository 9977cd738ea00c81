//! Bounded work: what one connection may do before the others have their turn.

/// An amount that is spent in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// A budget of `amount` units.
    #[must_use]
    pub const fn new(amount: usize) -> Self {
        Self { left: amount }
    }

    /// Spends `amount`; the last piece may overdraw, because it was already done.
    pub fn spend(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
    }

    /// What is left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_and_may_be_overdrawn() {
        let mut budget = Budget::new(10);
        budget.spend(9);
        assert!(!budget.is_spent());
        budget.spend(5);
        assert!(budget.is_spent());
    }
}
