//! What an operation and its completions are called.

use crate::mem::Key;

/// How many lanes a slot has.
pub const LANES: usize = 2;

/// One of the two descriptors that a slot may drive at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The connection that was accepted.
    Client = 0,
    /// The connection that was opened for it.
    Upstream = 1,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; LANES] = [Self::Client, Self::Upstream];

    /// The lane's place in an array of lanes.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other lane.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// The kind of an operation, as far as its completion must tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// [`Op::Accept`](super::Op::Accept), and the arrival of a handed-over connection.
    Accept = 0,
    /// [`Op::Receive`](super::Op::Receive).
    Receive = 1,
    /// [`Op::Send`](super::Op::Send).
    Send = 2,
    /// [`Op::Connect`](super::Op::Connect).
    Connect = 3,
    /// [`Op::PollIn`](super::Op::PollIn).
    PollIn = 4,
    /// [`Op::PollOut`](super::Op::PollOut).
    PollOut = 5,
    /// [`Op::Cancel`](super::Op::Cancel) and [`Op::CancelAll`](super::Op::CancelAll).
    Cancel = 6,
    /// [`Op::Close`](super::Op::Close).
    Close = 7,
    /// [`Op::HandOff`](super::Op::HandOff), on the sending ring.
    HandOff = 8,
    /// The worker's own mailbox.
    Wake = 9,
    /// A connection that another worker handed over.
    Arrival = 10,
    /// [`Op::Read`](super::Op::Read).
    Read = 11,
    /// [`Op::ReceiveFrom`](super::Op::ReceiveFrom).
    ReceiveFrom = 12,
    /// The cancelling of an [`Op::ReceiveFrom`](super::Op::ReceiveFrom).
    CancelFrom = 13,
}

impl Verb {
    const ALL: [Self; 14] = [
        Self::Accept,
        Self::Receive,
        Self::Send,
        Self::Connect,
        Self::PollIn,
        Self::PollOut,
        Self::Cancel,
        Self::Close,
        Self::HandOff,
        Self::Wake,
        Self::Arrival,
        Self::Read,
        Self::ReceiveFrom,
        Self::CancelFrom,
    ];
}

/// Who an operation belongs to: a slot and its generation, a lane, a verb. Packs into the 64 bits
/// that the kernel carries; a completion whose generation is not the slot's is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The slot and its generation.
    pub key: Key,
    /// Which of the slot's descriptors.
    pub lane: Lane,
    /// What kind of operation.
    pub verb: Verb,
}

impl Token {
    /// A token made of its parts.
    #[must_use]
    pub const fn new(key: Key, lane: Lane, verb: Verb) -> Self {
        Self { key, lane, verb }
    }

    /// `verb(8) | lane(8) | generation(16) | slot(32)`, from the top.
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.verb as u64) << 56
            | (self.lane as u64) << 48
            | (self.key.generation as u64) << 32
            | self.key.index as u64
    }

    /// The token that packs to `bits`, if there is one.
    #[must_use]
    pub fn unpack(bits: u64) -> Option<Self> {
        let [verb, lane, g1, g0, s3, s2, s1, s0] = bits.to_be_bytes();
        let verb = *Verb::ALL.get(usize::from(verb))?;
        let lane = *Lane::ALL.get(usize::from(lane))?;
        let key = Key::new(u32::from_be_bytes([s3, s2, s1, s0]), u16::from_be_bytes([g1, g0]));
        Some(Self { key, lane, verb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_unpacks_to_itself() {
        for verb in Verb::ALL {
            for lane in Lane::ALL {
                for key in [Key::new(0, 0), Key::new(u32::MAX, u16::MAX), Key::new(70_000, 513)] {
                    let token = Token::new(key, lane, verb);
                    assert_eq!(Token::unpack(token.pack()), Some(token));
                }
            }
        }
    }

    #[test]
    fn bits_that_are_no_token_unpack_to_none() {
        assert_eq!(Token::unpack(u64::MAX), None);
        assert_eq!(Token::unpack(14 << 56), None, "no such verb");
        assert_eq!(Token::unpack(2 << 48), None, "no such lane");
    }

    #[test]
    fn lanes_are_each_other_s_other() {
        for lane in Lane::ALL {
            assert_ne!(lane, lane.other());
            assert_eq!(lane, lane.other().other());
        }
    }
}
