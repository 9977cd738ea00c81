//! The passwords that are being checked for a worker. Requests with one password share a check.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use crate::mem::Key;
use crate::service::http::limit::Concurrency;
use crate::session::offloaded::Verified;

/// Passwords of one source that a worker has checked at a time. Requests with one password share a
/// check, and a right one is remembered, so that only guessing needs many.
const SOURCE_CHECKS_MAX: u32 = 8;

/// A check that was handed over, as a request that waits for it has it.
#[derive(Debug)]
pub(super) struct Check {
    /// What to remember if the password is right.
    pub(super) secret: [u8; 32],
    /// The request that waits.
    pub(super) request: Key,
    /// While there is one of these, the result is wanted.
    pub(super) wanted: Arc<()>,
}

/// The requests that wait for one check.
#[derive(Debug)]
struct Waiting {
    number: u64,
    wanted: Weak<()>,
    requests: Vec<Key>,
}

/// The passwords that are being checked for a worker.
#[derive(Debug, Default)]
pub(super) struct Checks {
    by_source: Concurrency,
    by_secret: HashMap<[u8; 32], Waiting>,
    last: u64,
}

impl Checks {
    /// Joins a check of that password that is under way.
    pub(super) fn join(&mut self, secret: [u8; 32], request: Key) -> Option<Check> {
        let waiting = self.by_secret.get_mut(&secret)?;
        let wanted = waiting.wanted.upgrade()?;
        waiting.requests.push(request);
        Some(Check { secret, request, wanted })
    }

    /// Begins a check, if its source may have one more.
    pub(super) fn begin(
        &mut self,
        secret: [u8; 32],
        source: Option<IpAddr>,
        request: Key,
    ) -> Option<(Check, Verified)> {
        if let Some(ip) = source {
            self.by_source.enter(0, ip, SOURCE_CHECKS_MAX, 0)?;
        }
        self.last += 1;
        let (number, wanted) = (self.last, Arc::new(()));
        let requests = vec![request];
        let waiting = Waiting { number, wanted: Arc::downgrade(&wanted), requests };
        self.by_secret.insert(secret, waiting);
        let verified = Verified { right: false, secret, number, source };
        Some((Check { secret, request, wanted }, verified))
    }

    /// A check has ended, or was not made. Returns the requests that wait for it.
    pub(super) fn end(&mut self, verified: &Verified) -> Vec<Key> {
        if let Some(ip) = verified.source {
            self.by_source.leave(0, ip);
        }
        // One that nobody waited for may have been followed by another of the same password.
        let is_it = |waiting: &Waiting| waiting.number == verified.number;
        if !self.by_secret.get(&verified.secret).is_some_and(is_it) {
            return Vec::new();
        }
        self.by_secret.remove(&verified.secret).map_or_else(Vec::new, |one| one.requests)
    }
}
