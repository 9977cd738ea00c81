//! What the log says of ejections.

use std::fmt::Display;

use crate::service::cluster::eject::Event;

/// Logs that a server is ejected, or used again. Returns the number of one that is ejected.
pub(super) fn log<N: Display>(
    upstream: &str,
    event: &Event,
    name: impl Fn(usize) -> N,
) -> Option<usize> {
    match *event {
        Event::Ejected { server, reason, time } => {
            let (name, reason, seconds) = (name(server), reason.name(), time.as_secs_f64());
            tracing::warn!(upstream, server = %name, reason, seconds, "server ejected");
            Some(server)
        }
        Event::Returned { server } => {
            tracing::info!(upstream, server = %name(server), "server is used again");
            None
        }
    }
}
