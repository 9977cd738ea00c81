//! Passwords: most were checked before; the others are checked by a thread that may take its time,
//! because a good hash is slow on purpose.

use std::sync::Arc;

use super::Http;
use super::request::{Request, Responder};
use crate::mem::Key;
use crate::proto::http::{Known, RequestHead};
use crate::proto::http1::RequestMeta;
use crate::ring::Driver;
use crate::runtime::Task;
use crate::service::http::auth::{Lookup, verify};
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::checks::Check;
use crate::session::http::options::AuthOptions;
use crate::session::http::state::HttpState;
use crate::session::offloaded::Finished;
use crate::session::workers::WorkerMessage;

/// A request that waits until its password is checked.
#[derive(Debug)]
pub(in crate::session::http) struct Pending {
    head: Box<RequestHead>,
    told: RequestRecord,
    meta: RequestMeta,
    check: Check,
}

impl Pending {
    /// The request, once: it is over.
    pub(in crate::session::http) fn take_request(&mut self) -> (Box<RequestHead>, RequestRecord) {
        (std::mem::take(&mut self.head), self.told.clone())
    }
}

/// What is known of a request's password.
#[derive(Debug)]
pub(in crate::session::http) enum Allowed {
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
    pub(in crate::session::http) fn authenticate<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        head: &RequestHead,
        told: &mut RequestRecord,
        auth: &AuthOptions,
    ) -> Allowed {
        let given = head.fields.get(Known::Authorization);
        let (hash, password, user) = match auth.users.get().lookup(given) {
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
        let Some(request) = context.http.waiting.enter((key, self.wire.stream())) else {
            return Allowed::Busy;
        };
        let HttpState { checks, waiting, .. } = &mut context.http;
        if let Some(check) = checks.join(secret, request) {
            return Allowed::Later(check);
        }
        let Some((check, mut verified)) = checks.begin(secret, told.ip(), request) else {
            waiting.leave(request);
            return Allowed::Busy;
        };
        let worker = context.options.worker;
        let workers = Arc::clone(&context.options.workers);
        let (unmade, wanted) = (verified, Arc::downgrade(&check.wanted));
        let job = move || {
            // When nobody waits for it any more, only its place is given back.
            verified.right = wanted.strong_count() > 0 && verify(&hash, &password) && is_known;
            let finished = Finished::Verified(verified);
            // A worker that has ended has no use for it.
            let _ended = workers.send(worker, WorkerMessage::Finished { request, finished });
        };
        if context.options.workers.offload(Task::Password, Box::new(job)).is_err() {
            let _waiters = context.http.checks.end(&unmade);
            context.http.waiting.leave(request);
            return Allowed::Busy;
        }
        Allowed::Later(check)
    }

    /// A request waits until its password is checked.
    pub(in crate::session::http) fn wait_for_password(
        &mut self,
        head: Box<RequestHead>,
        told: RequestRecord,
        meta: RequestMeta,
        check: Check,
    ) {
        let waiter = check.request;
        let pending = Box::new(Pending { head, told, meta, check });
        self.begin_answer(Request::new(Responder::Verify(pending)).known_by(waiter));
    }

    /// A thread has done its work for this connection.
    pub(in crate::session) fn finished_work<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (of, finished): (Key, Finished),
    ) {
        if self.io.is_closing() {
            return;
        }
        let stream = context.http.waiting.of(of).map_or(0, |(_, stream)| stream);
        if let Finished::Answered = finished {
            // What a handler says is taken when the request is looked at.
            return self.wake(context, key, stream);
        }
        self.with_stream_of(context, stream, |this, context| {
            this.take_finished(context, key, (of, finished));
        });
    }

    fn take_finished<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (of, finished): (Key, Finished),
    ) {
        let Some(mut request) = self.request.take_if(|request| request.is(of)) else { return };
        match (std::mem::replace(&mut request.responder, Responder::Done), finished) {
            (Responder::Verify(pending), Finished::Verified(verified)) => {
                request.forget(&mut context.http.waiting);
                self.verified(context, key, *pending, verified.right);
            }
            (Responder::Listing(asked), Finished::Listed(page)) => {
                request.forget(&mut context.http.waiting);
                self.listed(context, *asked, page);
            }
            (responder, finished) => {
                request.responder = responder;
                if let Finished::Encoded(encoded) = finished {
                    self.encoded(context, &mut request, *encoded);
                }
                self.request = Some(request);
            }
        }
        self.io.mark_dirty(context, key);
    }

    fn verified<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        pending: Pending,
        right: bool,
    ) {
        let Pending { head, mut told, meta, check } = pending;
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
