//! What is counted of the exchanges with a cluster.

use crate::service::cluster::failure::Failure;

/// Counts since the cluster has been there.
#[derive(Debug, Clone)]
pub struct ProxyTally {
    /// Exchanges that began.
    pub begun: u64,
    /// Exchanges that a server answered.
    pub answered: u64,
    /// Exchanges that were tried again.
    pub retried: u64,
    /// Exchanges for which a second server was asked, as the first was slow.
    pub hedges: u64,
    /// Those that it answered first.
    pub hedges_won: u64,
    /// Interim answers that went on to clients.
    pub interim: u64,
    /// Exchanges that failed, in the order of [`Failure::ALL`].
    pub failed: [u64; Failure::ALL.len()],
}

impl ProxyTally {
    /// Nothing was counted.
    pub const NONE: Self = Self {
        begun: 0,
        answered: 0,
        retried: 0,
        hedges: 0,
        hedges_won: 0,
        interim: 0,
        failed: [0; Failure::ALL.len()],
    };
}

impl Default for ProxyTally {
    fn default() -> Self {
        Self::NONE
    }
}
