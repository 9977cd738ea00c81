//! What is shown of a result. All of it is made from a [`RunResult`] alone.
//!
//! [`RunResult`]: super::result::RunResult
//!
//! | module | what it makes |
//! |---|---|
//! | [`text`] | the final table, for a terminal |
//! | [`live`] | the line of a run that is under way |
//! | [`csv`] | the intervals |
//! | [`hgrm`] | percentiles, as `HdrHistogram`'s plotters read them |
//! | [`log`] | the intervals, as `HdrHistogram`'s log processors read them |
//! | [`html`] | one page with charts, which needs nothing else |

pub mod csv;
pub mod format;
pub mod hgrm;
pub mod html;
pub mod live;
pub mod log;
mod outputs;
pub(super) mod page_charts;
pub(super) mod style;
pub(super) mod svg;
pub mod text;

pub use outputs::{OutputError, OutputFile, Outputs, Paths};
