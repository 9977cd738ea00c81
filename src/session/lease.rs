//! Numbers that something keeps while it is used.

use std::sync::Arc;

/// A number, for as long as anybody has this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease(Arc<usize>);

impl Lease {
    /// A number of which the caller knows that nobody has it.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self(Arc::new(number))
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> usize {
        *self.0
    }

    /// Sees whether somebody has it, and keeps nobody from giving it back.
    #[must_use]
    pub fn watch(&self) -> std::sync::Weak<usize> {
        Arc::downgrade(&self.0)
    }

    /// The lease, if somebody still has it.
    #[must_use]
    pub fn renew(watch: &std::sync::Weak<usize>) -> Option<Self> {
        watch.upgrade().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_renewed_only_while_somebody_has_it() {
        let lease = Lease::new(3);
        let watch = lease.watch();
        assert_eq!(Lease::renew(&watch).map(|lease| lease.number()), Some(3));
        drop(lease);
        assert_eq!(Lease::renew(&watch), None);
    }
}
