//! Why connections leave a pool, how many there are, and what was counted.

/// Why a connection left the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// It was idle for long.
    IdleTimeout,
    /// It was old.
    MaxAge,
    /// The server closed it, or sent bytes without a request, while it was idle.
    Stale,
    /// It was lost with exchanges on it.
    Failed,
    /// The server goes away.
    Retired,
    /// Another worker needs the place.
    Lent,
    /// The process ends, or the upstream is no longer used.
    Shutdown,
}

impl CloseCause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::IdleTimeout,
        Self::MaxAge,
        Self::Stale,
        Self::Failed,
        Self::Retired,
        Self::Lent,
        Self::Shutdown,
    ];

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::MaxAge => "max_age",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Retired => "retired",
            Self::Lent => "lent",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolGauges {
    /// Connections that carry nothing.
    pub idle: u32,
    /// Connections that carry something.
    pub in_use: u32,
    /// Connections that are being made.
    pub opening: u32,
    /// Exchanges that wait.
    pub waiting: u32,
}

impl PoolGauges {
    /// Puts what a pool has now in the place of what it had before.
    pub(in crate::service::cluster) const fn replace(&mut self, before: Self, now: Self) {
        self.idle = self.idle + now.idle - before.idle;
        self.in_use = self.in_use + now.in_use - before.in_use;
        self.opening = self.opening + now.opening - before.opening;
        self.waiting = self.waiting + now.waiting - before.waiting;
    }

    /// Connections that stand or are being made.
    #[must_use]
    pub const fn open(self) -> u32 {
        self.idle + self.in_use + self.opening
    }
}

/// What was counted since the pool was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Connections that stood.
    pub created: u64,
    /// Exchanges that got a connection which had carried one before.
    pub reused: u64,
    /// Exchanges that got a connection at once.
    pub hits: u64,
    /// Exchanges that had to wait for one.
    pub misses: u64,
    /// Exchanges that found the queue full.
    pub refused: u64,
    /// Exchanges that waited too long.
    pub timed_out: u64,
    /// Connections that left, in the order of [`CloseCause::ALL`].
    pub closed: [u64; CloseCause::ALL.len()],
}

impl PoolCounters {
    /// Adds another pool's.
    pub fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.reused += other.reused;
        self.hits += other.hits;
        self.misses += other.misses;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        for (sum, one) in self.closed.iter_mut().zip(other.closed) {
            *sum += one;
        }
    }
}
