//! Certificates and tickets while the server runs: what expires is told in time, and random keys of
//! tickets are changed in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::build::tls::Changing;
use super::watch::LOOK_EVERY;

/// How often certificates that expire soon are told of.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The certificates and tickets of the listeners that there are.
#[derive(Debug, Clone, Default)]
pub(super) struct CertificateList(Arc<Mutex<Vec<Tended>>>);

/// Those of one listener.
#[derive(Debug)]
struct Tended {
    of: Changing,
    /// When the key of its tickets was changed last.
    rotated: Instant,
}

impl CertificateList {
    /// These are looked after from now on. Those that were before go on.
    pub(super) fn replace(&self, all: Vec<Changing>) {
        let mut tended = self.lock();
        let before = std::mem::take(&mut *tended);
        for of in all {
            let is_same = |one: &&Tended| Arc::ptr_eq(&one.of.resolver, &of.resolver);
            let known = before.iter().find(is_same).map(|one| one.rotated);
            if known.is_none() {
                of.tell();
            }
            let rotated = known.unwrap_or_else(Instant::now);
            tended.push(Tended { of, rotated });
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Changing> {
        self.lock().iter().map(|one| one.of.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tended>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rotate(&self) {
        for Tended { of, rotated } in self.lock().iter_mut() {
            let is_random = of.files.ticket_keys.is_empty();
            if is_random && rotated.elapsed() >= of.files.ticket_rotation {
                *rotated = Instant::now();
                of.tickets.rotate();
                tracing::debug!(listener = %of.listener, "the key of TLS tickets was changed");
            }
        }
    }
}

/// Looks after the certificates and tickets of all listeners, until the server ends.
pub(super) async fn watch(all: CertificateList) {
    let mut told = Instant::now();
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            all.lock().iter().for_each(|one| one.of.tell());
        }
        all.rotate();
    }
}
