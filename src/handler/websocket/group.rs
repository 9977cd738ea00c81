//! Sockets that get the same messages.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepared::Prepared;
use super::sender::{SendError, WebSocketSender};

/// Members from which on a group looks for those that are closed when others join.
const SWEEP_MIN: usize = 64;

/// Sockets that get the same messages, whichever workers have them. Clones are the same group.
///
/// All members get the messages of a group in the same order. The frame of a message is made once.
/// Sockets that are closed leave by themselves.
#[derive(Clone, Default)]
pub struct WebSocketGroup {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    slow: SlowMembers,
    /// No code of the program runs while it is locked. It is held while a message is given to the
    /// members, which makes the order the same for all of them.
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    by_id: HashMap<u64, WebSocketSender>,
    /// With so many, those that are closed are looked for.
    sweep_at: usize,
}

/// What happens to a member for which too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowMembers {
    /// It does not get the message. That counts as dropped in the metrics of its route.
    #[default]
    Skip,
    /// It is closed with 1013 at once, without what waits for it.
    Close,
}

impl WebSocketGroup {
    /// A group without members, of which slow ones miss messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A group without members.
    #[must_use]
    pub fn with_slow(slow: SlowMembers) -> Self {
        Self { shared: Arc::new(Shared { slow, members: Mutex::default() }) }
    }

    /// A socket gets the messages of the group from now on. One that is a member stays one.
    pub fn join(&self, socket: &WebSocketSender) {
        let mut members = self.members();
        if members.by_id.len() >= members.sweep_at {
            members.sweep();
        }
        members.by_id.insert(socket.id(), socket.clone());
    }

    /// A socket gets no more messages of the group. Returns whether it was a member.
    pub fn leave(&self, socket: &WebSocketSender) -> bool {
        self.members().by_id.remove(&socket.id()).is_some()
    }

    /// Sends a message of text to all members. Returns how many have taken it.
    pub fn broadcast_text(&self, text: &str) -> usize {
        self.broadcast(&Prepared::text(text))
    }

    /// Sends a message of bytes to all members. Returns how many have taken it.
    pub fn broadcast_binary(&self, bytes: &[u8]) -> usize {
        self.broadcast(&Prepared::binary(bytes))
    }

    /// Sends a message to all members. Returns how many have taken it.
    pub fn broadcast(&self, message: &Prepared) -> usize {
        let mut count = 0;
        let slow = self.shared.slow;
        self.members().by_id.retain(|_, member| match member.send_as_member(message) {
            Ok(()) => {
                count += 1;
                true
            }
            Err(SendError::Full) if slow == SlowMembers::Close => {
                member.close_slow();
                false
            }
            Err(SendError::Full) => true,
            Err(SendError::Closed | SendError::TooLong) => false,
        });
        count
    }

    /// How many members are open. It looks at each.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut members = self.members();
        members.sweep();
        members.by_id.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// Those that are closed leave. What that costs is spread over those that join meanwhile.
    fn sweep(&mut self) {
        self.by_id.retain(|_, member| member.is_open());
        self.sweep_at = (self.by_id.len() * 2).max(SWEEP_MIN);
    }
}

impl fmt::Debug for WebSocketGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketGroup").field("slow", &self.shared.slow).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::shared::{Host, Work};
    use crate::handler::websocket::{SocketLook, SocketSaid};
    use crate::mem::{Key, Slab};

    struct Deaf;

    impl Host for Deaf {
        fn wake(&self, _request: Key) {}

        fn run(&self, work: Work) -> Result<(), Work> {
            Err(work)
        }
    }

    fn socket(limit: usize) -> WebSocketSender {
        let key = Slab::with_limit(1).insert(()).unwrap();
        WebSocketSender::new(Arc::new(Deaf), key, limit)
    }

    #[test]
    fn members_get_each_message_once_while_they_are_members() {
        let group = WebSocketGroup::new();
        let (one, other) = (socket(1000), socket(1000));
        assert_eq!(group.broadcast_text("nobody"), 0);
        group.join(&one);
        group.join(&one.clone());
        group.clone().join(&other);
        assert_eq!((group.len(), group.broadcast_text("both")), (2, 2));
        assert!(group.leave(&other) && !group.leave(&other));
        assert_eq!(group.broadcast_binary(b"one"), 1);
        one.close(1000, "");
        assert_eq!(group.broadcast_binary(b"none"), 0);
        assert!(group.is_empty());
    }

    #[test]
    fn slow_members_miss_messages_or_are_closed() {
        for (slow, stays) in [(SlowMembers::Skip, true), (SlowMembers::Close, false)] {
            let group = WebSocketGroup::with_slow(slow);
            let (quick, late) = (socket(1000), socket(1));
            group.join(&quick);
            group.join(&late);
            assert_eq!(group.broadcast_text("first"), 2);
            assert_eq!(group.broadcast_text("second"), 1);
            assert_eq!((late.is_open(), group.len() == 2), (stays, stays));
            let (look, ..) = late.shared().look(1, true);
            let is_closed = matches!(look, SocketLook::Said(SocketSaid::Close(..)));
            assert_eq!(is_closed, !stays, "{look:?}");
        }
    }

    #[test]
    fn closed_members_take_no_memory_for_long_if_nothing_is_sent() {
        let group = WebSocketGroup::new();
        let stays: Vec<_> = (0..10).map(|_| socket(1)).collect();
        stays.iter().for_each(|socket| group.join(socket));
        for _ in 0..10_000 {
            let short = socket(1);
            group.join(&short);
            short.close(1000, "");
        }
        assert!(group.members().by_id.len() <= SWEEP_MIN);
        assert_eq!(group.len(), 10);
    }
}
