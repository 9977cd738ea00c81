//! Memory with an owner: generational slots, pooled receive buffers, counted slices, spans.
//!
//! Everything here belongs to one worker and is `!Send`. Nothing here knows a ring, a socket or a
//! protocol. The buffers' raw memory makes this one of the three homes of `unsafe`.
#![expect(unsafe_code, reason = "pooled buffers are raw memory that the kernel fills")]

mod backlog;
mod buf;
mod map;
mod page;
mod pool;
mod reuse;
mod slab;
mod span;

pub use backlog::Backlog;
pub use buf::{Buf, Outgoing, SEGMENTS_MAX, Text};
pub use map::Mapping;
pub use page::{Page, Pages};
pub use pool::Pool;
pub use reuse::{FreeList, Reuse, Scratch};
pub use slab::{Key, Slab};
pub use span::Span;
