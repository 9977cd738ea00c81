//! Orders of small numbers (servers, slots of connections) that change in constant or logarithmic
//! time, so that nothing is scanned for each exchange.

mod heap;
mod list;
mod set;

pub(super) use self::heap::IndexedHeap;
pub(super) use self::list::List;
pub(super) use self::set::IndexSet;

/// No place.
const NONE: usize = usize::MAX;
