//! Passwords: most were checked before; the others are checked by a thread that may take its time,
//! because a good hash is slow on purpose.

use super::client::{Http, Phase};
use super::options::AuthOptions;
use super::state::Told;
use crate::mem::Key;
use crate::proto::http::{Known, RequestHead};
use crate::proto::http1::RequestMeta;
use crate::ring::Driver;
use crate::service::http::auth::{Lookup, verify};
use crate::session::context::Context;
use crate::session::fleet::{Finished, Note};

/// A request that waits until its password is checked.
#[derive(Debug)]
pub(super) struct Pending {
    head: Box<RequestHead>,
    told: Told,
    meta: RequestMeta,
    /// What to remember if the password is right.
    secret: [u8; 32],
}

/// What is known of a request's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// It is right.
    Yes,
    /// It is wrong, or there is none.
    No,
    /// It is being checked.
    Later,
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
    ) -> (Allowed, [u8; 32]) {
        let given = head.fields.get(Known::Authorization);
        let (hash, password, user) = match auth.users.lookup(given) {
            Lookup::Known { hash, password, user } => (hash, password, Some(user)),
            // As slow as for a user that there is, so that nobody learns who there is.
            Lookup::Unknown { hash, password } => (hash, password, None),
            Lookup::Missing | Lookup::Malformed => return (Allowed::No, [0; 32]),
        };
        let now = context.now();
        let secret =
            context.http.verified.key(user.as_deref().unwrap_or_default(), &password, &hash);
        if user.is_some() && context.http.verified.contains(&secret, now) {
            told.user = user.map(Into::into);
            return (Allowed::Yes, secret);
        }
        let is_known = user.is_some();
        told.user = user.map(Into::into);
        let worker = context.options.worker;
        let fleet = std::sync::Arc::clone(&context.options.fleet);
        let job = move || {
            let right = verify(&hash, &password) && is_known;
            let note = Note::Finished { connection: key, finished: Finished::Verified(right) };
            // A worker that has ended has no use for it.
            let _ended = fleet.send(worker, note);
        };
        if context.options.fleet.offload(Box::new(job)) {
            (Allowed::Later, secret)
        } else {
            (Allowed::Busy, secret)
        }
    }

    /// A request waits until its password is checked.
    pub(super) fn wait_for_password(
        &mut self,
        head: Box<RequestHead>,
        told: Told,
        meta: RequestMeta,
        secret: [u8; 32],
    ) {
        self.phase = Phase::Verify(Box::new(Pending { head, told, meta, secret }));
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
            Finished::Verified(right) => self.verified(context, key, right),
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
        let Pending { head, mut told, meta, secret } = *pending;
        if right {
            let now = context.now();
            context.http.verified.insert(secret, now);
            self.serve(context, key, head, told, &meta);
        } else {
            told.user = None;
            self.answer_unauthorized(context, head, told);
        }
    }
}
