//! The latency report of a running server, made of the histograms that its admin interface shows.
//!
//! A server counts since its start. So that a report is of some time of its own, the histograms
//! are read again and again, and earlier counts are subtracted.
//!
//! | module | what it is |
//! |---|---|
//! | [`snapshot`] | histograms as they were read at one time |
//! | [`report`] | what came between two times |
//! | [`page`], [`text`] | the report as a page and as text |

pub mod page;
pub mod report;
pub mod snapshot;
#[cfg(test)]
mod tests;
pub mod text;

use std::fmt;

use serde::Serialize;

/// What a histogram is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Name {
    /// Requests of a route, from the head of the request to the end of the answer.
    Route {
        /// The listener.
        listener: String,
        /// The route.
        route: String,
    },
    /// Exchanges with the servers of an upstream.
    Upstream {
        /// The upstream.
        upstream: String,
        /// The part of the time: `queue`, `connect`, `first_byte`, `total`.
        phase: String,
    },
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { listener, route } => write!(f, "{listener} {route}"),
            Self::Upstream { upstream, phase } => write!(f, "{upstream} {phase}"),
        }
    }
}
