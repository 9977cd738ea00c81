//! The end of a connection, and of what is under way on it.

use super::request::Responder;
use super::{Http, Phase};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::session::context::Context;

impl Http {
    pub(in crate::session::http) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        if self.io.is_closing() {
            return;
        }
        let is_cut = self.give_request_up(context, reason);
        self.give_streams_up(context, reason);
        self.leave(context);
        self.forget_waiting(context);
        self.stop_deadline(context);
        self.wire.clear();
        self.io.close(context, key, reason);
        if is_cut {
            // The end of the connection may be that of the answer's body.
            self.io.stream.reset_on_close(&mut context.reactor);
        }
    }

    /// The request that is under way is over, without an answer or with a part of one: true for a
    /// part.
    pub(super) fn give_request_up<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        reason: CloseReason,
    ) -> bool {
        let Some(mut request) = self.request.take() else { return false };
        request.forget(&mut context.http.waiting);
        let given_up = match &mut request.responder {
            Responder::Proxy(exchange) => context.end_exchange(*exchange),
            Responder::File(transfer) => transfer.take_request(),
            Responder::Listing(asked) | Responder::Encoding(asked) | Responder::Echo(asked) => {
                let (head, record) = &mut **asked;
                Some((std::mem::take(head), record.clone()))
            }
            Responder::Verify(pending) => Some(pending.take_request()),
            Responder::Publish(publishing) => Some(publishing.take_request()),
            Responder::Handler(handled) => Some(handled.take_request()),
            Responder::Socket(socket) => {
                self.leave_socket(context, socket);
                None
            }
            Responder::Done => None,
        };
        let mut is_cut = false;
        if let Some((head, told)) = given_up {
            let mut told = request.settled(told);
            told.reason = told.reason.or_else(|| Some(reason.name()));
            self.finish_request(context, head, &told);
            is_cut = told.status != 0;
        }
        if let Responder::File(transfer) = &request.responder
            && !transfer.is_quiet()
        {
            // A read is in flight: the file is kept until it has ended.
            self.request = Some(request);
        }
        is_cut
    }

    /// What is written is out: the client is told that nothing more follows.
    pub(super) fn say_end<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        if !self.io.stream.is_drained() {
            return;
        }
        let is_read = self.wire.is_body_read() && self.wire.is_read();
        if self.wire.has_ended() || (is_read && reason == CloseReason::Finished) {
            if self.io.stream.say_end(&mut context.reactor, key) {
                self.close(context, key, reason);
            }
            return;
        }
        match self.io.stream.shutdown_write(&mut context.reactor, key) {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                self.close(context, key, reason);
                return;
            }
        }
        self.phase = Phase::Lingering(reason);
        self.waits.progress = context.now();
        self.io.stream.receive(&mut context.reactor, key, false);
    }
}
