//! Requests that others do something for, such as a helper thread.

use crate::mem::{Key, Slab};
use crate::proto::http2::StreamId;

/// Requests that wait for others at a time: more than there are connections.
const WAITING_MAX: u32 = 1 << 20;

/// Which connections the requests are on that others do something for, and on which streams, where
/// there are any.
#[derive(Debug)]
pub(in crate::session) struct Waiting(Slab<(Key, StreamId)>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Slab::with_limit(WAITING_MAX))
    }
}

impl Waiting {
    /// A key for a request on a connection; `None` when there are too many.
    pub(super) fn enter(&mut self, of: (Key, StreamId)) -> Option<Key> {
        self.0.insert(of).ok()
    }

    /// Connection and stream of a request that still waits.
    pub(in crate::session) fn of(&self, request: Key) -> Option<(Key, StreamId)> {
        self.0.get(request).copied()
    }

    /// A request is over.
    pub(super) fn leave(&mut self, request: Key) {
        self.0.remove(request);
    }

    /// Whether nobody waits.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
