//! What a program and a worker share of one socket. The program says messages, the worker takes
//! them; each of them may be the first to go.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepared::{Frame, Prepared};
use crate::handler::shared::Host;
use crate::mem::Key;
use crate::proto::websocket::{CloseCode, Kind};

/// What a message costs at most: a buffer has fewer than 4 GiB.
const COST_MAX: usize = u32::MAX as usize;
/// Bytes of a reason at most (RFC 6455, section 5.5).
const REASON_MAX: usize = 123;

/// The number of the next socket.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Sends to one socket, from any thread. Clones send to the same socket. Dropping them does not
/// close it.
///
/// Messages go out in the order in which they were sent. Of those that the client has not taken, up
/// to 256 KiB wait here (fewer when `waiting_memory` is short), each counted with 64 bytes beside
/// its own; a message that no other waits before is always taken.
#[derive(Clone)]
pub struct WebSocketSender {
    shared: Arc<Shared>,
}

/// A message cannot be sent, or not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits for the client already. [`WebSocketReceiver::room`] is called when there is
    /// room.
    ///
    /// [`WebSocketReceiver::room`]: super::WebSocketReceiver::room
    #[error("too much waits for the client of the WebSocket")]
    Full,
    /// The socket is closed, or is being closed.
    #[error("the WebSocket is closed")]
    Closed,
    /// The message has 4 GiB or more.
    #[error("a message has less than 4 GiB")]
    TooLong,
}

impl WebSocketSender {
    pub(super) fn new(host: Arc<dyn Host>, request: Key, limit: usize) -> Self {
        let state = State {
            said: VecDeque::new(),
            queued: 0,
            limit,
            closes_with: None,
            dropped: 0,
            wants_room: false,
            // The program is called: what it says meanwhile is taken afterwards.
            is_told: true,
            is_closed: false,
        };
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::new(Shared { host, request, id, state: Mutex::new(state) }) }
    }

    /// Sends a message of text.
    ///
    /// # Errors
    /// When too much waits, when the socket is closed, or when the message is too long.
    pub fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.send_own(Kind::Text, text.as_bytes())
    }

    /// Sends a message of bytes.
    ///
    /// # Errors
    /// When too much waits, when the socket is closed, or when the message is too long.
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.send_own(Kind::Binary, bytes)
    }

    /// Sends a message that other sockets get as well, without a copy of it.
    ///
    /// # Errors
    /// When too much waits, when the socket is closed, or when the message is too long.
    pub fn send(&self, prepared: &Prepared) -> Result<(), SendError> {
        self.shared.say(Frame::Prepared(prepared.clone()), true)
    }

    fn send_own(&self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        // It is not copied in vain.
        self.shared.check(payload.len())?;
        self.shared.say(Frame::own(kind, payload), true)
    }

    /// Closes the socket when what was sent before has gone out. It does nothing when it is closed.
    /// A reason is cut after 123 bytes. A code that may not be sent (RFC 6455, section 7.4), such
    /// as 1005, makes a close frame without code and reason.
    pub fn close(&self, code: u16, reason: &str) {
        let code = CloseCode(code);
        let reason = crate::proto::websocket::write::cut(reason, REASON_MAX);
        let with = match code.is_valid() {
            true => (code, reason.to_owned()),
            false => (CloseCode::NO_STATUS, String::new()),
        };
        self.shared.close_with(with, false);
    }

    /// A number that no other socket of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Whether messages are still taken. Between that and a send, the socket may be closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shared.state().is_closed
    }

    /// A member of a group gets a message. One that is full is not told when there is room.
    pub(super) fn send_as_member(&self, prepared: &Prepared) -> Result<(), SendError> {
        self.shared.say(Frame::Prepared(prepared.clone()), false)
    }

    /// A member that takes too little is closed at once: what waits for it is dropped.
    pub(super) fn close_slow(&self) {
        let with = (CloseCode::TRY_AGAIN, "too slow".to_owned());
        self.shared.close_with(with, true);
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl fmt::Debug for WebSocketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSender")
            .field("id", &self.id())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// See above.
pub(super) struct Shared {
    host: Arc<dyn Host>,
    request: Key,
    id: u64,
    /// No code of the program runs while it is locked.
    state: Mutex<State>,
}

struct State {
    said: VecDeque<Frame>,
    /// What that costs.
    queued: usize,
    /// How much there may be.
    limit: usize,
    /// The program closes the socket behind what was said.
    closes_with: Option<(CloseCode, String)>,
    /// Messages that were not taken from a group since the last look.
    dropped: u32,
    /// A message was refused.
    wants_room: bool,
    /// The worker looks, or was told to.
    is_told: bool,
    /// Nothing is taken any more.
    is_closed: bool,
}

impl State {
    const fn is_full(&self, cost: usize) -> bool {
        // One message is always taken, so that one of any size passes.
        self.queued > 0 && self.queued + cost > self.limit
    }
}

/// Something for the worker to do.
#[derive(Debug)]
pub(crate) enum SocketSaid {
    /// A message goes out.
    Frame(Frame),
    /// The socket is closed with this code and reason.
    Close(CloseCode, String),
}

/// What a worker finds.
#[derive(Debug)]
pub(crate) enum SocketLook {
    /// What was said next waits for the connection.
    Blocked,
    /// Something was said.
    Said(SocketSaid),
    /// There is room that was asked for.
    Room,
    /// Nothing.
    Nothing,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the worker look, unless it does already.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let is_told = std::mem::replace(&mut state.is_told, true);
        drop(state);
        if !is_told {
            self.host.wake(self.request);
        }
    }

    /// Whether a message that costs at least so much would be taken now.
    fn check(&self, cost: usize) -> Result<(), SendError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(SendError::Closed);
        }
        if cost > COST_MAX {
            return Err(SendError::TooLong);
        }
        if state.is_full(cost) {
            state.wants_room = true;
            return Err(SendError::Full);
        }
        Ok(())
    }

    fn say(&self, frame: Frame, wants_room: bool) -> Result<(), SendError> {
        let cost = frame.cost();
        let mut state = self.state();
        if state.is_closed {
            return Err(SendError::Closed);
        }
        if cost > COST_MAX {
            return Err(SendError::TooLong);
        }
        if state.is_full(cost) {
            // What waits makes the worker look again: it sees that room is wanted.
            state.wants_room |= wants_room;
            state.dropped = state.dropped.saturating_add(u32::from(!wants_room));
            return Err(SendError::Full);
        }
        state.queued += cost;
        state.said.push_back(frame);
        self.tell(state);
        Ok(())
    }

    fn close_with(&self, with: (CloseCode, String), is_at_once: bool) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        state.is_closed = true;
        state.closes_with = Some(with);
        let dropped = if is_at_once { state.drop_said() } else { VecDeque::new() };
        self.tell(state);
        drop(dropped);
    }
}

impl State {
    fn drop_said(&mut self) -> VecDeque<Frame> {
        self.queued = 0;
        std::mem::take(&mut self.said)
    }
}

/// The worker's side.
impl Shared {
    /// The program is called: what it says meanwhile is taken afterwards.
    pub(super) fn expect(&self) {
        self.state().is_told = true;
    }

    /// What was said next, if the connection takes messages. After [`SocketLook::Nothing`] and
    /// [`SocketLook::Blocked`], the worker is told when there is more. From now on, `limit` bytes
    /// may wait. Returns it with the bytes that wait behind it, and the messages that were dropped.
    pub(super) fn look(&self, limit: usize, takes: bool) -> (SocketLook, usize, u32) {
        let mut state = self.state();
        state.limit = limit;
        let dropped = std::mem::take(&mut state.dropped);
        let look = if state.said.is_empty() {
            if let Some((code, reason)) = state.closes_with.take() {
                SocketLook::Said(SocketSaid::Close(code, reason))
            } else {
                state.is_told = false;
                let wants_room = std::mem::take(&mut state.wants_room) && !state.is_closed;
                if wants_room { SocketLook::Room } else { SocketLook::Nothing }
            }
        } else if takes {
            let said = state.said.pop_front();
            said.map_or(SocketLook::Nothing, |frame| {
                state.queued -= frame.cost();
                SocketLook::Said(SocketSaid::Frame(frame))
            })
        } else {
            state.is_told = false;
            SocketLook::Blocked
        };
        (look, state.queued, dropped)
    }

    /// The socket is being closed: nothing is taken any more.
    pub(super) fn shut(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.closes_with = None;
        let dropped = state.drop_said();
        drop(state);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::handler::shared::Work;
    use crate::mem::Slab;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Host for Wakes {
        fn wake(&self, _request: Key) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn run(&self, work: Work) -> Result<(), Work> {
            Err(work)
        }
    }

    fn sender(limit: usize) -> (WebSocketSender, Arc<Wakes>) {
        let wakes = Arc::new(Wakes::default());
        let key = Slab::with_limit(1).insert(()).unwrap();
        (WebSocketSender::new(Arc::clone(&wakes) as Arc<dyn Host>, key, limit), wakes)
    }

    fn next(sender: &WebSocketSender, limit: usize) -> (Option<Vec<u8>>, usize) {
        match sender.shared().look(limit, true) {
            (SocketLook::Said(SocketSaid::Frame(Frame::Own { frame, .. })), queued, _) => {
                (Some(frame), queued)
            }
            (_, queued, _) => (None, queued),
        }
    }

    #[test]
    fn a_worker_is_woken_once_for_all_that_is_said_until_it_looks() {
        let (sender, wakes) = sender(1000);
        let count = || wakes.0.load(Ordering::Relaxed);
        sender.send_text("at the opening").unwrap();
        assert_eq!(count(), 0, "it looks when the program has returned");
        assert_eq!(next(&sender, 1000), (Some(b"\x81\x0eat the opening".to_vec()), 0));
        assert!(matches!(sender.shared().look(1000, true).0, SocketLook::Nothing));
        sender.send_text("a").unwrap();
        sender.clone().send_binary(b"b").unwrap();
        assert_eq!(count(), 1);
        assert_eq!(next(&sender, 1000).0.unwrap(), b"\x81\x01a");
        sender.send_text("c").unwrap();
        assert_eq!(count(), 1, "it looks on");
        assert_eq!(next(&sender, 1000).0.unwrap(), b"\x82\x01b");
        assert_eq!(next(&sender, 1000), (Some(b"\x81\x01c".to_vec()), 0));
        assert_eq!(next(&sender, 1000).0, None);
        sender.shared().expect();
        sender.send_text("d").unwrap();
        assert_eq!(count(), 1, "the program is called by it");
        assert!(matches!(sender.shared().look(1000, false).0, SocketLook::Blocked));
        sender.send_text("e").unwrap();
        assert_eq!(count(), 2, "so that it counts what waits");
    }

    #[test]
    fn what_waits_is_bounded_and_room_is_told_when_it_was_missed() {
        let (sender, _) = sender(300);
        let long = vec![7; 100_000];
        sender.send_binary(&long).unwrap();
        assert_eq!(sender.send_text("x"), Err(SendError::Full), "one of any size is taken");
        assert!(matches!(sender.shared().look(300, false).0, SocketLook::Blocked));
        assert_eq!(next(&sender, 300).0.unwrap().len(), long.len() + 10);
        assert!(matches!(sender.shared().look(300, true).0, SocketLook::Room));
        assert!(matches!(sender.shared().look(300, true).0, SocketLook::Nothing), "once");
        let taken = (0..10).take_while(|_| sender.send_text("0123456789").is_ok()).count();
        assert_eq!(taken, 3, "of 12 bytes and 64 each");
        assert_eq!(next(&sender, 100).1, 2 * 76, "the limit is another one now");
        assert_eq!(sender.send_text(""), Err(SendError::Full));
        let (_, queued, _) = sender.shared().look(100, true);
        assert_eq!(queued, 76);
    }

    #[test]
    fn a_close_goes_behind_what_was_said_and_nothing_follows_it() {
        let (sender, wakes) = sender(1000);
        sender.shared().look(1000, true);
        sender.send_text("a").unwrap();
        sender.close(1000, &"é".repeat(100));
        assert!(!sender.is_open());
        assert_eq!(sender.send_text("b"), Err(SendError::Closed));
        sender.close(1001, "again");
        assert_eq!(next(&sender, 1000).0.unwrap(), b"\x81\x01a");
        let SocketLook::Said(SocketSaid::Close(code, reason)) = sender.shared().look(1000, true).0
        else {
            panic!("it closes");
        };
        assert_eq!((code, reason.len()), (CloseCode::NORMAL, 122));
        assert!(matches!(sender.shared().look(1000, true).0, SocketLook::Nothing));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn codes_that_may_not_be_sent_are_none() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000, u16::MAX] {
            let (sender, _) = sender(1000);
            sender.close(code, "because");
            let SocketLook::Said(SocketSaid::Close(told, reason)) =
                sender.shared().look(1000, true).0
            else {
                panic!("it closes");
            };
            assert_eq!((told, reason.as_str()), (CloseCode::NO_STATUS, ""), "{code}");
        }
    }

    #[test]
    fn a_socket_that_is_shut_takes_nothing() {
        let (sender, wakes) = sender(1000);
        sender.send_text("a").unwrap();
        sender.shared().shut();
        assert!(!sender.is_open());
        assert_eq!(sender.send(&Prepared::text("b")), Err(SendError::Closed));
        sender.close(1000, "");
        assert!(matches!(sender.shared().look(1000, true), (SocketLook::Nothing, 0, 0)));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_slow_member_loses_messages_or_is_closed_at_once() {
        let (sender, _) = sender(100);
        let prepared = Prepared::text("0123456789");
        sender.send_as_member(&prepared).unwrap();
        assert_eq!(sender.send_as_member(&prepared), Err(SendError::Full));
        let (look, queued, dropped) = sender.shared().look(100, false);
        assert!(matches!(look, SocketLook::Blocked));
        assert_eq!((queued, dropped), (76, 1));
        sender.close_slow();
        let (look, queued, dropped) = sender.shared().look(100, false);
        let SocketLook::Said(SocketSaid::Close(code, _)) = look else { panic!("{look:?}") };
        assert_eq!((code, queued, dropped), (CloseCode::TRY_AGAIN, 0, 0));
    }

    #[test]
    fn each_socket_has_a_number_of_its_own() {
        let (one, _) = sender(1);
        let (other, _) = sender(1);
        assert!(one.id() != other.id() && one.clone().id() == one.id());
    }
}
