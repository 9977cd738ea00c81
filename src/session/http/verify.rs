//! Passwords: most were checked before; the others are checked by a thread that may take its time,
//! because a good hash is slow on purpose.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::client::{Http, Phase};
use super::options::AuthOptions;
use super::state::{HttpState, Told};
use crate::mem::Key;
use crate::proto::http::{Known, RequestHead};
use crate::proto::http1::RequestMeta;
use crate::ring::Driver;
use crate::runtime::Task;
use crate::service::http::auth::{Lookup, verify};
use crate::session::context::Context;
use crate::session::fleet::{Finished, Note};

/// Passwords of one source that a worker has checked at a time. A right one is checked once and
/// remembered, so that only who guesses needs many.
const SOURCE_CHECKS_MAX: u32 = 8;

/// Whether the result of a check is still wanted: the connection that waits for it may end.
#[derive(Debug)]
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A check that was handed over.
#[derive(Debug)]
pub(super) struct Check {
    /// What to remember if the password is right.
    secret: [u8; 32],
    _wanted: Wanted,
}

/// A request that waits until its password is checked.
#[derive(Debug)]
pub(super) struct Pending {
    head: Box<RequestHead>,
    told: Told,
    meta: RequestMeta,
    check: Check,
}

/// What is known of a request's password.
#[derive(Debug)]
pub(super) enum Allowed {
    /// It is right.
    Yes,
    /// It is wrong, or there is none.
    No,
    /// It is being checked.
    Later(Check),
    /// Nobody can check it: too many are being checked.
    Busy,
}

impl Http {
    /// Whether the request's user may ask. With [`Allowed::Later`], the request waits for
    /// [`Http::verified`].
    pub(super) fn authenticate<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        head: &RequestHead,
        told: &mut Told,
        auth: &AuthOptions,
    ) -> Allowed {
        let given = head.fields.get(Known::Authorization);
        let (hash, password, user) = match auth.users.lookup(given) {
            Lookup::Known { hash, password, user } => (hash, password, Some(user)),
            // As slow as for a user that there is, so that nobody learns who there is.
            Lookup::Unknown { hash, password } => (hash, password, None),
            Lookup::Missing | Lookup::Malformed => return Allowed::No,
        };
        let now = context.now();
        let secret =
            context.http.verified.key(user.as_deref().unwrap_or_default(), &password, &hash);
        if user.is_some() && context.http.verified.contains(&secret, now) {
            told.user = user.map(Into::into);
            return Allowed::Yes;
        }
        let is_known = user.is_some();
        told.user = user.map(Into::into);
        let source = told.ip();
        let mut fits = |ip| context.http.checks.enter(0, ip, SOURCE_CHECKS_MAX, 0).is_some();
        if source.is_some_and(|ip| !fits(ip)) {
            return Allowed::Busy;
        }
        let worker = context.options.worker;
        let fleet = Arc::clone(&context.options.fleet);
        let wanted = Arc::new(AtomicBool::new(true));
        let is_wanted = Arc::clone(&wanted);
        let job = move || {
            // Nobody waits for it any more: the place is given back all the same.
            let right = is_wanted.load(Ordering::Relaxed) && verify(&hash, &password) && is_known;
            let note =
                Note::Finished { connection: key, finished: Finished::Verified { right, source } };
            // A worker that has ended has no use for it.
            let _ended = fleet.send(worker, note);
        };
        if context.options.fleet.offload(Task::Password, Box::new(job)).is_err() {
            context.http.checked(source);
            return Allowed::Busy;
        }
        Allowed::Later(Check { secret, _wanted: Wanted(wanted) })
    }

    /// A request waits until its password is checked.
    pub(super) fn wait_for_password(
        &mut self,
        head: Box<RequestHead>,
        told: Told,
        meta: RequestMeta,
        check: Check,
    ) {
        self.phase = Phase::Verify(Box::new(Pending { head, told, meta, check }));
    }

    /// A thread has done its work for this connection.
    pub(in crate::session) fn finished_work<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        finished: Finished,
    ) {
        if self.common.closing().is_some() {
            return;
        }
        match finished {
            Finished::Verified { right, .. } => self.verified(context, key, right),
            Finished::Listed(page) => self.listed(context, page),
            Finished::Encoded(encoded) => self.encoded(context, *encoded),
        }
        self.common.mark_dirty(context, key);
    }

    fn verified<D: Driver>(&mut self, context: &mut Context<D>, key: Key, right: bool) {
        if !matches!(self.phase, Phase::Verify(_)) {
            return;
        }
        let Phase::Verify(pending) = std::mem::replace(&mut self.phase, Phase::Head) else {
            return;
        };
        let Pending { head, mut told, meta, check } = *pending;
        if right {
            let now = context.now();
            context.http.verified.insert(check.secret, now);
            self.serve(context, key, head, told, &meta);
        } else {
            told.user = None;
            self.answer_unauthorized(context, head, told);
        }
    }
}

impl HttpState {
    /// A password of that source was checked, or will not be.
    pub(in crate::session) fn checked(&mut self, source: Option<IpAddr>) {
        if let Some(ip) = source {
            self.checks.leave(0, ip);
        }
    }
}
