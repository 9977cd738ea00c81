//! Certificates and ticket keys while the server runs: files that change are read anew, and random
//! keys of tickets are changed in time.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval};

use super::build::tls::{Changing, LOOK_EVERY, certificates, tell_expiry, ticket_keys};
use crate::config::ListenerTls;

/// How often certificates that expire soon are told of.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// When each file was last changed, and its length; none for one that can not be looked at.
type State = Vec<Option<(SystemTime, u64)>>;

/// Looks after the certificates of all listeners, until the server ends.
pub(super) async fn watch(all: Vec<Changing>) {
    let mut states: Vec<State> = all.iter().map(|one| look(&one.files)).collect();
    let mut rotated = vec![Instant::now(); all.len()];
    all.iter().for_each(tell);
    let mut told = Instant::now();
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            all.iter().for_each(tell);
        }
        for ((one, state), rotated) in all.iter().zip(&mut states).zip(&mut rotated) {
            let seen = look(&one.files);
            if seen != *state {
                // A file that is being written may be read too early: then it changes again.
                *state = seen;
                reload(one);
            }
            let is_random = one.files.ticket_keys.is_empty();
            if is_random && rotated.elapsed() >= one.files.ticket_rotation {
                *rotated = Instant::now();
                one.tickets.rotate();
                tracing::debug!(listener = %one.listener, "the key of TLS tickets was changed");
            }
        }
    }
}

/// Reads all files of a listener; what can not be used changes nothing.
fn reload(one: &Changing) {
    let listener = &one.listener;
    match certificates(&one.files) {
        Ok(certificates) => {
            one.resolver.replace(certificates);
            tell(one);
            tracing::info!(%listener, "certificates were read anew");
        }
        Err(error) => {
            tracing::error!(%listener, %error, "certificates stay as they were");
        }
    }
    if one.files.ticket_keys.is_empty() {
        return;
    }
    match ticket_keys(&one.files.ticket_keys) {
        Ok(keys) => one.tickets.replace(keys),
        Err(error) => tracing::error!(%listener, %error, "keys of TLS tickets stay as they were"),
    }
}

/// Warns of certificates that have expired, or will soon.
fn tell(one: &Changing) {
    for (files, not_after) in one.files.certificates.iter().zip(one.resolver.not_after()) {
        tell_expiry(&files.chain, not_after);
    }
}

fn look(files: &ListenerTls) -> State {
    let certificates = files.certificates.iter().flat_map(|one| {
        let ocsp = one.ocsp.as_deref();
        [Some(one.chain.as_path()), Some(one.key.as_path()), ocsp].into_iter().flatten()
    });
    let keys = files.ticket_keys.iter().map(std::path::PathBuf::as_path);
    certificates.chain(keys).map(state).collect()
}

fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
