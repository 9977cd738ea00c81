//! Reading a server's answer: the wire's machine tells what has come, and the proxy what becomes of
//! it.

use super::UpstreamConnection;
use super::tunnel::Tunnel;
use crate::mem::Key;
use crate::proto::http::{Known, ResponseHead};
use crate::proto::http1::{ClientError, ClientEvent, INTERIM_BYTES_MAX, Refusal};
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::http::forwarded::VIA;
use crate::service::proxy::http::{HeadVerdict, InterimVerdict};
use crate::session::context::Context;
use crate::session::http::state::HttpState;

/// Why reading an answer has stopped.
pub(super) enum Stopped {
    /// More has to come, or the client has to take more.
    Waiting,
    /// All of the answer has come.
    Answered,
    /// The connection changes to another protocol.
    Switched,
    /// The answer is not wanted: the exchange is tried again elsewhere.
    Dropped,
    /// There is no answer, or no more of it.
    Failed(Failure),
}

/// An interim answer goes to the client, or is dropped.
pub(super) fn pass_interim<D>(context: &mut Context<D>, exchange: Key, head: Box<ResponseHead>) {
    let http = &mut context.http;
    if let InterimVerdict::Dropped(head) = http.proxy.interim_came(exchange, head) {
        http.spare_answers.give(head);
    }
}

impl UpstreamConnection {
    /// Reads what there is of the answer.
    pub(super) fn read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) -> Stopped {
        let now = context.now();
        loop {
            let HttpState { proxy, spare_answers, .. } = &mut context.http;
            let has_room = proxy.takes_answer(exchange);
            match self.wire.poll_event(has_room, spare_answers) {
                Ok(None) => return Stopped::Waiting,
                Ok(Some(ClientEvent::Interim(head))) => self.take_interim(context, exchange, head),
                Ok(Some(ClientEvent::Head(head, length))) => {
                    if let Some(stopped) = self.take_head(context, key, exchange, head, length) {
                        return stopped;
                    }
                }
                Ok(Some(ClientEvent::Switched)) => return Stopped::Switched,
                Ok(Some(ClientEvent::Body(part))) => proxy.answer_came(exchange, part, now),
                Ok(Some(ClientEvent::End(_))) if self.tunnel != Tunnel::No => {
                    proxy.tunnel_ended(exchange);
                }
                Ok(Some(ClientEvent::End(trailers))) => {
                    let HttpState { proxy, clusters, .. } = &mut context.http;
                    proxy.answer_ended(exchange, trailers, clusters, now);
                    return Stopped::Answered;
                }
                Err(error) => return Stopped::Failed(self.failure_of(context, error)),
            }
        }
    }

    /// An interim answer has come: the server is at work.
    fn take_interim<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        exchange: Key,
        head: Box<ResponseHead>,
    ) {
        self.note_interim(context);
        pass_interim(context, exchange, head);
    }

    /// The head of the answer has come: why reading stops, if it does.
    fn take_head<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
        mut head: Box<ResponseHead>,
        length: Option<u64>,
    ) -> Option<Stopped> {
        let now = context.now();
        head.fields.push_known(Known::Via, VIA);
        let HttpState { proxy, clusters, spare_answers, .. } = &mut context.http;
        match proxy.head_came((exchange, key), head, length, clusters, now) {
            HeadVerdict::Taken => None,
            HeadVerdict::Tunnel => {
                self.open_tunnel();
                None
            }
            HeadVerdict::Personal => {
                self.wire.close_after();
                None
            }
            HeadVerdict::Dropped(head) => {
                spare_answers.give(head);
                Some(Stopped::Dropped)
            }
            HeadVerdict::Refused(head, failure) => {
                spare_answers.give(head);
                let is_handshake = failure == Failure::BadHandshake;
                let reason = if is_handshake { failure.name() } else { Refusal::StatusLine.name() };
                self.tell_refused(context, reason);
                Some(Stopped::Failed(failure))
            }
        }
    }

    /// What an error of the wire means for the exchange. What breaks a rule is logged.
    fn failure_of<D: Driver>(&self, context: &mut Context<D>, error: ClientError) -> Failure {
        let now = context.now();
        let upstream = &context.plan.upstreams[self.cluster];
        let (name, server) = (&upstream.name, upstream.servers[self.server]);
        match error {
            ClientError::LostBeforeHead => Failure::ResetBeforeHead,
            ClientError::LostInBody => Failure::ResetInBody,
            ClientError::Flooded => {
                if let Some(others) = context.notices.protocol.due(now) {
                    let (most, text) = (INTERIM_BYTES_MAX, "too many interim answers");
                    tracing::warn!(upstream = %name, %server, most, others, "{text}");
                }
                Failure::ResponseTooLarge
            }
            ClientError::Refused(refusal) => {
                self.tell_refused(context, refusal.name());
                Failure::BadResponse
            }
        }
    }

    /// What the server has answered breaks a rule.
    pub(super) fn tell_refused<D: Driver>(&self, context: &mut Context<D>, reason: &'static str) {
        let now = context.now();
        let upstream = &context.plan.upstreams[self.cluster];
        if let Some(others) = context.notices.protocol.due(now) {
            let (name, server) = (&upstream.name, upstream.servers[self.server]);
            let text = "the server's answer is refused";
            tracing::warn!(upstream = %name, %server, reason, others, "{text}");
        }
    }
}
