//! Certificates and tickets while the server runs: what expires is told in time, and random keys of
//! tickets are changed in time.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::build::tls::Changing;
use super::watch::LOOK_EVERY;

/// How often certificates that expire soon are told of.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Looks after the certificates and tickets of all listeners, until the server ends.
pub(super) async fn watch(all: Vec<Changing>) {
    let mut rotated = vec![Instant::now(); all.len()];
    all.iter().for_each(Changing::tell);
    let mut told = Instant::now();
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            all.iter().for_each(Changing::tell);
        }
        for (one, rotated) in all.iter().zip(&mut rotated) {
            let is_random = one.files.ticket_keys.is_empty();
            if is_random && rotated.elapsed() >= one.files.ticket_rotation {
                *rotated = Instant::now();
                one.tickets.rotate();
                tracing::debug!(listener = %one.listener, "the key of TLS tickets was changed");
            }
        }
    }
}
