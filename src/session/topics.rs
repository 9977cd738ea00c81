//! Topics of the configuration, as all workers share them.

/// How topics are set up: a table `[topics.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOptions {
    /// Bytes of a publication's payload.
    pub message_max: usize,
    /// Filters of one subscriber.
    pub subscriptions_max: usize,
    /// Filters of one worker.
    pub filters_max: usize,
    /// Messages that wait for one subscriber.
    pub queue_max: usize,
    /// The same in bytes.
    pub queue_bytes: usize,
    /// What becomes of messages beyond that.
    pub queue_policy: QueuePolicy,
    /// Topics of which the last message is retained.
    pub retained_max: usize,
    /// The same in bytes.
    pub retained_bytes: usize,
    /// Bytes of publications that wait for another worker.
    pub exchange_bytes: usize,
}

/// What becomes of messages that a subscriber has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The oldest one that waits is dropped.
    DropOldest,
    /// The new one is dropped.
    DropNewest,
    /// The subscriber is closed, with 1013.
    Close,
}

/// Topics, by name.
#[derive(Debug)]
pub struct TopicSet {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// How it is set up.
    pub options: TopicOptions,
}

impl TopicSet {
    /// Topics that nobody uses yet, on so many workers.
    #[must_use]
    pub fn new(name: &str, options: TopicOptions, _workers: usize) -> Self {
        Self { name: name.into(), options }
    }
}
