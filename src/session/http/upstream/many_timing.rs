//! What is waited for on a connection of HTTP/2 to a server: each exchange has clocks of its own.

use super::UpstreamConnection;
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::cluster::clock::Sent;
use crate::session::Due;
use crate::session::context::Context;

impl UpstreamConnection {
    /// Arms the timer for the first of what is waited for.
    pub(super) fn watch_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let patience = self.patience(context);
        let (now, written) = (context.now(), self.stream.written());
        let is_blocked = self.stream.is_blocked();
        let unsent = self.buffer.unsent(&self.stream) as u64;
        let Some(many) = &mut self.many else { return };
        let mut first = many.due_from;
        for one in many.carried.iter_mut().filter(|one| one.is_changed) {
            let Some(found) = context.http.proxy.get(one.exchange) else { continue };
            if one.is_tunnel {
                // The exchange has a time in which something has to move, and no other runs.
                one.clock.wait_for_client();
                one.is_changed = false;
                continue;
            }
            let is_full = !context.http.proxy.takes_answer(one.exchange);
            let queued = one.stream.map_or(0, |stream| many.wire.queued_of(stream));
            if queued < std::mem::replace(&mut one.queued, queued) {
                one.clock.note_progress(now);
            }
            let is_sending = one.stream.is_some_and(|stream| many.wire.is_sending(stream));
            if one.stream.is_some() && !is_sending && queued == 0 {
                one.whole_at.get_or_insert(written + unsent);
            }
            // What is sent whole waits for its answer: nothing else changes that.
            one.is_changed = one.whole_at.is_none_or(|whole| whole > written);
            // What others send later says nothing of this one.
            let written = one.whole_at.map_or(written, |whole| whole.min(written));
            let waits_for_client = is_full
                || is_sending
                    && queued == 0
                    && !is_blocked
                    && found.request.body.waiting() == 0
                    && !found.holds_body();
            let at = if waits_for_client {
                one.clock.wait_for_client();
                found.until()
            } else {
                let at = one.clock.wait_for_server(written, &patience, found.carried_by(key));
                Some(found.until().map_or(at, |until| at.min(until)))
            };
            first = [first, at].into_iter().flatten().min();
        }
        many.due_from = first;
        match first {
            Some(at) => self.deadline.set(&mut context.reactor, Due::Session(key), at),
            None => self.deadline.clear(),
        }
    }

    /// The time of an exchange may be over: those whose time is fail, and no others.
    pub(super) fn many_due<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let (now, patience) = (context.now(), self.patience(context));
        let sent = self.sent(context);
        let Some(many) = &mut self.many else { return };
        many.due_from = None;
        for one in &mut many.carried {
            one.is_changed = true;
            let Some(found) = context.http.proxy.get(one.exchange) else { continue };
            if one.is_tunnel {
                continue;
            }
            if found.until().is_some_and(|until| until <= now) {
                one.is_due = true;
                one.failed = Some(found.total_failure());
                continue;
            }
            let own = one.whole_at.map_or(sent, |whole| Sent {
                written: whole,
                acknowledged: sent.acknowledged.min(whole),
                is_blocked: sent.is_blocked && sent.written < whole,
            });
            one.clock.look(now, own);
            let late = one.clock.failure(now, &patience, found.carried_by(key));
            one.failed = one.failed.or(late);
            one.is_due |= one.failed.is_some();
        }
        self.mark_dirty(context, key);
    }
}
