//! What peers do to their connections, and the trace of it.

use std::fmt::Write;

use ringway::ring::sim::{PeerId, Random, Sim};

/// All that peers have sent and received, with the turn in which they did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) turn: usize,
    bytes: Vec<u8>,
}

impl Trace {
    /// Another plan holds.
    pub(super) fn note_plan(&mut self, what: &impl std::fmt::Debug) {
        self.bytes.extend_from_slice(format!("\n@{} plan {what:?}", self.turn).as_bytes());
    }

    fn note(&mut self, what: &str, who: PeerId, bytes: &[u8]) {
        let head = format!("\n@{} {who:?} {what} {} ", self.turn, bytes.len());
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    /// What was counted, at the end.
    pub(super) fn note_counters(&mut self, counters: &impl std::fmt::Debug) {
        let mut text = String::new();
        write!(text, "{counters:?}").expect("a string takes all");
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Where two traces differ.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        if self.bytes == other.bytes {
            return None;
        }
        let same = self.bytes.iter().zip(&other.bytes).take_while(|(a, b)| a == b).count();
        let part = |bytes: &[u8]| {
            let range = same.saturating_sub(300)..bytes.len().min(same + 200);
            String::from_utf8_lossy(&bytes[range]).into_owned()
        };
        Some(format!("{}\n--- or ---\n{}", part(&self.bytes), part(&other.bytes)))
    }
}

/// The kernel as peers see it, for one turn.
pub(super) struct Net<'a> {
    pub(super) sim: &'a mut Sim,
    pub(super) trace: &'a mut Trace,
    pub(super) random: &'a mut Random,
    /// Somebody has done something, or is about to.
    pub(super) moved: bool,
    /// The present plan.
    pub(super) plan: u64,
}

impl Net<'_> {
    /// Somebody will do something in one of the next turns.
    pub(super) fn stay_awake(&mut self) {
        self.moved = true;
    }

    pub(super) fn read(&mut self, peer: PeerId, most: usize) -> Vec<u8> {
        let bytes = self.sim.peer_read(peer, most);
        if !bytes.is_empty() {
            self.moved = true;
            self.trace.note("got", peer, &bytes);
        }
        bytes
    }

    /// Writes some of `out`, and takes it away.
    pub(super) fn write(&mut self, peer: PeerId, out: &mut Vec<u8>, most: usize) {
        let part = out.len().min(most);
        let sent = if part == 0 { 0 } else { self.sim.peer_write(peer, &out[..part]) };
        if sent > 0 {
            self.moved = true;
            self.trace.note("sent", peer, &out[..sent]);
            out.drain(..sent);
        }
    }

    pub(super) fn finish(&mut self, peer: PeerId) {
        self.moved = true;
        self.trace.note("ended", peer, b"");
        self.sim.peer_finish(peer);
    }

    pub(super) fn reset(&mut self, peer: PeerId) {
        self.moved = true;
        self.trace.note("reset", peer, b"");
        self.sim.peer_reset(peer);
    }

    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.random.chance(per_mille)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound)
    }
}
