//! Sends whose bytes the kernel goes on reading after their completion, as those without a copy.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::mem::Outgoing;

/// Most turns that bytes are held.
const TURNS_MAX: u64 = 23;

/// What is held, each until a turn. They are let go of in no order.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<(u64, Outgoing, u64)>);

impl Held {
    /// Holds what was sent, but for what lies in receive buffers: a kernel would copy that.
    pub(super) fn hold(&mut self, turn: u64, data: &Outgoing) {
        if !data.is_pooled() {
            // Not by chance: seeds give the same runs with this and without.
            let turns = (turn ^ data.len() as u64) % TURNS_MAX;
            self.0.push((turn + turns, data.clone(), digest(data)));
        }
    }

    /// Lets go of what is due.
    ///
    /// # Panics
    /// When somebody has changed it meanwhile: a peer would have got other bytes.
    pub(super) fn release(&mut self, turn: u64) {
        self.0.retain(|(due, data, before)| {
            let is_over = *due <= turn;
            assert!(!is_over || digest(data) == *before, "bytes were changed while they were sent");
            !is_over
        });
    }
}

fn digest(data: &Outgoing) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.segments().iter().for_each(|buf| (**buf).hash(&mut hasher));
    hasher.finish()
}
