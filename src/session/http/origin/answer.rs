//! Reading a server's answer.

use super::Origin;
use crate::mem::Key;
use crate::proto::http::{Method, ResponseHead, status};
use crate::proto::http1::write::{self, Connection, Delimit};
use crate::proto::http1::{BodyPart, BodyReader, Framing, HeadLimits, Refusal, ResponseMeta};
use crate::ring::Driver;
use crate::service::cluster::identity::authenticates_connection;
use crate::service::http::interim;
use crate::session::context::Context;
use crate::session::http::flow::Flow;
use crate::session::http::forward;
use crate::session::http::input::Input;

/// Bytes of the interim answers that may go before one answer.
pub(super) const INTERIM_BYTES_MAX: usize = 64 * 1024;

impl Origin {
    /// Reads what there is of the answer; `own` is the connection's key, `key` the exchange's.
    pub(super) fn read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        own: Key,
        key: Key,
    ) -> Result<Progress, Refusal> {
        if self.body.is_none() {
            match self.read_head(context, own, key)? {
                Found::Nothing => return Ok(Progress::Waiting),
                Found::Dropped => return Ok(Progress::Dropped),
                Found::Flooded => return Ok(Progress::Flooded),
                Found::Head => {}
            }
        }
        let Some(body) = &mut self.body else { return Ok(Progress::Switched) };
        let Some(exchange) = context.http.exchanges.get_mut(key) else {
            return Ok(Progress::Waiting);
        };
        let before = exchange.response.waiting();
        let is_over = read_body(body, &mut self.input, &mut exchange.response)?;
        let is_over =
            is_over || (self.ended && !self.broken && self.input.is_empty() && body.at_end());
        if is_over {
            exchange.response.ended = true;
        }
        if exchange.response.waiting() > before {
            context.http.filled.push(key);
            context.wake_client(key);
        } else if is_over {
            context.wake_client(key);
        }
        Ok(if is_over { Progress::Answered } else { Progress::Waiting })
    }

    /// Reads the head of the answer, and those that go before it; false when there is none.
    fn read_head<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        own: Key,
        key: Key,
    ) -> Result<Found, Refusal> {
        let limits = HeadLimits::default();
        loop {
            let Some(exchange) = context.http.exchanges.get_mut(key) else {
                return Ok(Found::Nothing);
            };
            let method = exchange.head.method;
            let mut answer = context.http.spare_answers.take();
            let Self { input, reader, .. } = self;
            let found = input.read_head(|bytes| {
                let meta = reader.read(bytes, method, &limits, &mut answer)?;
                Ok(meta.map(|meta| (meta.len, meta)))
            });
            let meta = match found {
                Ok(Some(meta)) => meta,
                Ok(None) => {
                    context.http.spare_answers.give(answer);
                    return Ok(Found::Nothing);
                }
                Err(refusal) => return Err(refusal),
            };
            if answer.is_interim() {
                self.interim += meta.len;
                let is_flooded = self.interim > INTERIM_BYTES_MAX;
                if !is_flooded {
                    self.note_interim(context);
                    self.pass_interim(context, key, &mut answer);
                }
                context.http.spare_answers.give(answer);
                if is_flooded {
                    return Ok(Found::Flooded);
                }
                continue;
            }
            return self.take_head(context, (own, key), answer, &meta);
        }
    }

    /// Forwards an interim answer to the client, if its version has them. The exchange may still be
    /// tried again, and the second try may answer it.
    fn pass_interim<D: Driver>(
        &self,
        context: &mut Context<D>,
        key: Key,
        answer: &mut ResponseHead,
    ) {
        let Context { http, options, .. } = context;
        let Some(exchange) = http.exchanges.get_mut(key) else { return };
        if exchange.has_head() || !interim::passes(answer.status, exchange.head.version) {
            return;
        }
        let listener = options.listeners.get(exchange.asked.listener);
        let route = listener.zip(exchange.told.route).and_then(|(one, at)| one.service.route(at));
        interim::filter(&mut answer.fields, route.map(|route| &route.response_edits));
        answer.fields.push(b"via", forward::VIA);
        let (framing, length, connection) = (Framing::None, None, Connection::Persist);
        let delimit = Delimit { framing, length, connection };
        let reason = status::reason(answer.status);
        write::response(answer, reason, delimit, &mut exchange.interim);
        context.cell().stats.upstreams[self.upstream].http.interim.add(1);
        context.wake_client(key);
    }

    /// The head of the answer has come.
    fn take_head<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (own, key): (Key, Key),
        mut answer: Box<ResponseHead>,
        meta: &ResponseMeta,
    ) -> Result<Found, Refusal> {
        let now = context.now();
        let Some(exchange) = context.http.exchanges.get_mut(key) else { return Ok(Found::Nothing) };
        exchange.told.first_byte = Some(now.saturating_duration_since(exchange.tried_by(own)));
        let status = answer.status;
        if status == 101 && !exchange.asked.upgrade {
            return Err(Refusal::StatusLine);
        }
        if self.retries(context, key, status) {
            context.http.spare_answers.give(answer);
            return Ok(Found::Dropped);
        }
        context.settle_hedge(key, own);
        let Some(exchange) = context.http.exchanges.get_mut(key) else { return Ok(Found::Nothing) };
        let method = exchange.head.method;
        let is_personal = authenticates_connection(&exchange.head.fields, status, &answer.fields);
        self.keep_alive &= meta.keep_alive && !is_personal;
        exchange.length = match meta.framing {
            // Of what would be there, or is elsewhere, only the server can say the length.
            Framing::None if method == Method::Head || status == 304 => meta.length,
            Framing::None => meta.length.or(Some(0)),
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => meta.framing.length(),
        };
        answer.fields.push(b"via", forward::VIA);
        exchange.answer = Some(answer);
        if status != 101 {
            self.body = Some(BodyReader::new(meta.framing, u64::MAX)?);
        }
        context.wake_client(key);
        Ok(Found::Head)
    }

    /// Whether an answer of that status is dropped and the exchange tried again.
    fn retries<D: Driver>(&mut self, context: &mut Context<D>, key: Key, status: u16) -> bool {
        if status < 500 {
            return false;
        }
        let retries = context.retry_on_status(key, self.server, status);
        if retries {
            // What follows of the answer is not wanted.
            self.keep_alive = false;
        }
        retries
    }
}

/// How far the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More has to come.
    Waiting,
    /// All of it is there.
    Answered,
    /// The connection changes to another protocol.
    Switched,
    /// The answer is not wanted: the exchange is tried again elsewhere.
    Dropped,
    /// Its interim answers are larger than they may be.
    Flooded,
}

/// What was found of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// More has to come.
    Nothing,
    /// The head of the answer.
    Head,
    /// The head of an answer that is not wanted.
    Dropped,
    /// Interim answers beyond their limit.
    Flooded,
}

/// Moves what came of a body to its flow; true when it is over.
fn read_body(body: &mut BodyReader, input: &mut Input, flow: &mut Flow) -> Result<bool, Refusal> {
    while !body.is_done() {
        if flow.is_full() {
            return Ok(false);
        }
        let Some(mut buf) = input.pop() else { return Ok(false) };
        match body.next(&buf)? {
            BodyPart::Data(range) => {
                flow.push(buf.slice(range.start, range.len()));
                buf.advance(range.end);
                input.put_back(buf);
            }
            BodyPart::More => {}
            BodyPart::End(len) => {
                buf.advance(len);
                input.put_back(buf);
                flow.trailers = body.take_trailers()?.map(Box::new);
            }
        }
    }
    Ok(true)
}
