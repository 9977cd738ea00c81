//! Answers of handlers that are not whole: the handler has failed, the request's body or messages
//! are wrong, or the time is over.

use super::{FAILED, Progress};
use crate::handler::Panicked;
use crate::mem::Key;
use crate::proto::http::Fields;
use crate::proto::http1::Refusal;
use crate::proto::http2::ErrorCode;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::service::cluster::failure::Failure;
use crate::service::grpc::{self, BadMessages, Code};
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::client::request::{Request, Responder};

/// What went wrong with a request's body, or with messages.
pub(super) enum Flaw {
    Body(Refusal),
    Messages(BadMessages),
    Panicked(Panicked),
}

/// How an answer that has begun ends.
struct Cut {
    /// What logs say, and the client of a call.
    reason: &'static str,
    /// The status of a call.
    code: Code,
    /// What the stream of another request is reset with.
    reset: ErrorCode,
}

impl Http {
    /// The request cannot go on.
    pub(super) fn end_flawed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        flaw: Flaw,
    ) -> Progress {
        match flaw {
            Flaw::Panicked(panicked) => {
                if let Responder::Handler(handled) = &request.responder {
                    context.http.handlers.failed(handled.place, &panicked);
                }
                self.fail_handled(context, (key, request), 500)
            }
            Flaw::Messages(bad) => self.end_bad_messages(context, (key, request), bad),
            Flaw::Body(refusal) => {
                tracing::debug!(id = self.io.common.id(), refusal = refusal.name(), "body refused");
                self.io.common.listener.stats.http.refuse(refusal);
                self.wire.refuse_body();
                let cut = Cut {
                    reason: refusal.name(),
                    code: Code::of_status(refusal.status()),
                    reset: ErrorCode::PROTOCOL_ERROR,
                };
                let progress = self.break_off(context, (key, request), refusal.status(), cut);
                if !self.wire.is_http2() && !self.io.is_closing() {
                    self.end(CloseReason::ProtocolError);
                }
                progress
            }
        }
    }

    /// A call cannot go on because of its messages.
    fn end_bad_messages<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        bad: BadMessages,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Over };
        self.wire.refuse_body();
        handled.record.reason = Some(bad.name());
        if !handled.has_replied() {
            let (head, record) = handled.take_request();
            request.responder = Responder::Done;
            self.answer_call(context, (head, record), bad.code(), None);
            return Progress::Over;
        }
        let cut = Cut { reason: bad.name(), code: bad.code(), reset: ErrorCode::CANCEL };
        self.break_off(context, (key, request), 500, cut)
    }

    /// The handler has failed.
    pub(super) fn fail_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, &mut Request),
        status: u16,
    ) -> Progress {
        let (code, reset) = (Code::Internal, ErrorCode::INTERNAL_ERROR);
        self.break_off(context, of, status, Cut { reason: FAILED, code, reset })
    }

    /// There will be no whole answer: a status says so where nothing was said yet or something may
    /// follow, a cut otherwise.
    fn break_off<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        status: u16,
        Cut { reason, code, reset }: Cut,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Over };
        handled.record.reason = Some(reason);
        if !handled.has_replied() {
            let (head, record) = handled.take_request();
            request.responder = Responder::Done;
            self.answer_status(context, head, record, status, None);
            return Progress::Over;
        }
        if self.tells_status(&handled.record) {
            let mut trailers = Fields::default();
            grpc::write_status(code, reason, &mut trailers);
            self.end_handled(context, request, Some(&trailers));
            return Progress::Over;
        }
        if !self.wire.is_http2() {
            // What is under way on a connection that closes is given up, and cut if it has begun.
            self.close(context, key, CloseReason::HandlerFailed);
            return Progress::Waits;
        }
        let (head, record) = handled.take_request();
        request.responder = Responder::Done;
        self.finish_request(context, head, &record);
        self.reset_stream(context, reset);
        Progress::Over
    }

    /// The time of the request is over.
    pub(super) fn end_late<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
    ) -> Progress {
        let failure = Failure::TotalTimeout;
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Over };
        if !handled.has_replied() {
            let (head, record) = handled.take_request();
            request.responder = Responder::Done;
            self.answer_failure(context, head, record, failure);
            return Progress::Over;
        }
        let cut = Cut {
            reason: failure.name(),
            code: Code::of_failure(failure),
            reset: ErrorCode::CANCEL,
        };
        self.break_off(context, (key, request), failure.status(), cut)
    }

    /// The body of the request did not come in time; true when a handler waits for it, and has not
    /// said anything.
    pub(in crate::session::http::client) fn handled_body_timed_out<D: Driver>(
        &mut self,
        context: &mut Context<D>,
    ) -> bool {
        let waits = |request: &mut Request| request.handled().is_some_and(|one| !one.has_replied());
        let Some(mut request) = self.request.take_if(waits) else { return false };
        self.wire.refuse_body();
        request.forget(&mut context.http.waiting);
        let Responder::Handler(handled) = &mut request.responder else { return false };
        let (head, mut record) = handled.take_request();
        record.reason = Some(CloseReason::BodyTimeout.name());
        self.answer_status(context, head, record, 408, None);
        true
    }
}
