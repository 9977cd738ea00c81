//! Messages on their way to sockets, and those that many of them get.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mem::Text;
use crate::proto::websocket::deflate::Level;
use crate::proto::websocket::{HEAD_MAX, Kind, write};

/// What a message costs beside its bytes while it waits.
const MESSAGE_COST: usize = 64;

/// A message for many sockets: its frame is made once, and sent to each without a copy of its own.
/// For sockets without a compression window of their own, it is compressed once for each window
/// size. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Prepared(Arc<Made>);

#[derive(Debug)]
struct Made {
    kind: Kind,
    /// The frame as it is for sockets without compression.
    frame: Text,
    /// Bytes of its head.
    head: usize,
    /// The frames of those with compression. Held only to look one up and to add one.
    deflated: Mutex<Vec<(Deflated, Text)>>,
}

/// How a frame is compressed: the bits of its window, and the level.
type Deflated = (u8, Level);

impl Prepared {
    /// A message of text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(Kind::Text, text.as_bytes())
    }

    /// A message of bytes.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        Self::new(Kind::Binary, bytes)
    }

    fn new(kind: Kind, payload: &[u8]) -> Self {
        let (frame, head) = frame_of(kind, payload);
        let frame = Text::from(frame.as_slice());
        Self(Arc::new(Made { kind, frame, head, deflated: Mutex::default() }))
    }

    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.frame[self.0.head..]
    }

    /// The frame for sockets without compression.
    pub(crate) fn frame(&self) -> &Text {
        &self.0.frame
    }

    /// The frame that is compressed so, which `make` makes if it is not there. Two workers that
    /// need it at the same time both make it, and neither waits for the other.
    pub(crate) fn deflated(&self, how: Deflated, make: impl FnOnce(&Self) -> Text) -> Text {
        let find = |all: &[(Deflated, Text)]| {
            all.iter().find(|(of, _)| *of == how).map(|(_, frame)| frame.clone())
        };
        let found = find(&self.all());
        found.unwrap_or_else(|| {
            let made = make(self);
            let mut all = self.all();
            find(&all).unwrap_or_else(|| {
                all.push((how, made.clone()));
                made
            })
        })
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Deflated, Text)>> {
        self.0.deflated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that waits for its socket.
#[derive(Debug)]
pub(crate) enum Frame {
    /// For this socket alone: the frame as it is without compression, and the bytes of its head.
    Own { kind: Kind, frame: Vec<u8>, head: usize },
    /// For others as well.
    Prepared(Prepared),
}

impl Frame {
    pub(super) fn own(kind: Kind, payload: &[u8]) -> Self {
        let (frame, head) = frame_of(kind, payload);
        Self::Own { kind, frame, head }
    }

    /// What it costs while it waits, in bytes.
    pub(super) fn cost(&self) -> usize {
        let len = match self {
            Self::Own { frame, .. } => frame.len(),
            Self::Prepared(prepared) => prepared.frame().len(),
        };
        len + MESSAGE_COST
    }
}

/// An unmasked frame, and the bytes of its head.
fn frame_of(kind: Kind, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut frame = Vec::with_capacity(payload.len() + HEAD_MAX);
    write::frame(kind.opcode(), (true, false), payload, None, &mut frame);
    let head = frame.len() - payload.len();
    (frame, head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_made_once_and_compressed_once_for_each_class() {
        let prepared = Prepared::text("hello");
        assert_eq!(&**prepared.frame(), b"\x81\x05hello");
        assert_eq!((prepared.payload(), prepared.len()), (&b"hello"[..], 5));
        let calls = std::cell::Cell::new(0);
        let make = |_: &Prepared| {
            calls.set(calls.get() + 1);
            Text::from(&b"compressed"[..])
        };
        for how in [(15, Level::Fast), (15, Level::Fast), (9, Level::Fast), (15, Level::Best)] {
            assert_eq!(&*prepared.clone().deflated(how, make), b"compressed");
        }
        assert_eq!(calls.get(), 3);
        assert!(Prepared::binary(b"").is_empty());
    }
}
