//! What is asked of operations and their outcomes.

use crate::ring::{Fd, Op};

/// Whether an operation ends in the turn in which it is submitted.
pub(super) fn is_immediate(op: &Op) -> bool {
    match op {
        Op::Send { .. }
        | Op::Cancel { .. }
        | Op::CancelAll { .. }
        | Op::Close { .. }
        | Op::HandOff { .. } => true,
        Op::Accept { .. }
        | Op::Receive { .. }
        | Op::Read { .. }
        | Op::ReceiveFrom { .. }
        | Op::Connect { .. }
        | Op::PollIn { .. }
        | Op::PollOut { .. } => false,
    }
}

/// The descriptor that an operation works on.
pub(super) fn descriptor(op: &Op) -> Option<Fd> {
    match op {
        Op::Accept { listener: fd }
        | Op::Receive { socket: fd, .. }
        | Op::Read { file: fd, .. }
        | Op::ReceiveFrom { socket: fd }
        | Op::Send { socket: fd, .. }
        | Op::Connect { socket: fd, .. }
        | Op::PollIn { fd }
        | Op::PollOut { fd }
        | Op::HandOff { socket: fd, .. } => Some(*fd),
        Op::Cancel { .. } | Op::CancelAll { .. } | Op::Close { .. } => None,
    }
}
