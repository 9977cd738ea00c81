//! One turn of the loop and what it needs: timers, a clock, a budget, counters, boards, a
//! mailbox, values that are replaced, values by number.
//!
//! Nothing here calls upward: the [`Reactor`] hands a batch of completions and due timers to its
//! caller.

mod board;
mod budget;
pub mod clock;
mod counter;
mod current;
mod mailbox;
mod offload;
mod quota;
mod reactor;
mod registry;
mod timers;
mod turns;

pub use board::Board;
pub use budget::Budget;
pub use counter::{Counter, Gauge};
pub use current::Current;
pub use mailbox::{Mailbox, MailboxError, Sender, mailbox};
pub use offload::{Offload, Task, Work};
pub use quota::{Quota, Share};
pub use reactor::{LoopMemory, LoopStats, Reactor};
pub use registry::Registry;
pub use timers::{TICK, TimerId, Timers};
pub use turns::TurnStats;
