//! A kept connection takes the newest plan: its next requests are answered by it.

use std::rc::Rc;
use std::sync::Arc;

use super::{Http, HttpOptions, Phase};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::session::context::Context;
use crate::session::plan::ListenerPlan;

impl Http {
    /// Another plan holds. A connection between two requests takes it at once, so that it keeps
    /// nothing of an earlier one; others do so with their next request. One that is to end does so
    /// after the request that is under way.
    pub(in crate::session) fn renew<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let goes_on = self.goes_on(context);
        if self.io.is_closing() || (!goes_on && self.is_fresh()) {
            return;
        }
        if matches!(self.phase, Phase::Head) && self.is_between_requests() {
            self.take_newest(context, key);
            if !self.io.is_closing() {
                // It may be idle for a shorter time than before.
                self.set_deadline(context, key);
            }
        } else if !goes_on {
            self.drain(context, key);
        }
    }

    /// The listener is gone: the connection ends with the request that is under way.
    pub(in crate::session) fn depart<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.is_fresh() {
            self.drain(context, key);
        }
    }

    /// Whether nothing of the next request has come.
    fn is_between_requests(&self) -> bool {
        self.waits.began.is_none() && self.wire.is_read() && self.has_no_streams()
    }

    /// Whether its client has had no answer: its first request may be on its way, and is answered
    /// even if the connection is to end.
    fn is_fresh(&self) -> bool {
        self.requests == 0
    }

    /// Whether the newest plan lets the connection go on.
    fn goes_on<D: Driver>(&self, context: &Context<D>) -> bool {
        let own = &self.io.common.listener;
        self.newest(context).is_some_and(|newest| {
            newest.options.service.http().is_some_and(|options| self.speaks(options))
                && has_same_tls(own, newest)
        })
    }

    /// Whether other settings of a listener admit what the connection speaks.
    const fn speaks(&self, options: &HttpOptions) -> bool {
        !self.wire.is_http2() || options.http2.is_some()
    }

    /// The listener as the newest plan has it. One that has moved to other addresses is another
    /// one: what is for those who reach them is not for who came by the earlier ones.
    fn newest<'a, D: Driver>(&self, context: &'a Context<D>) -> Option<&'a Rc<ListenerPlan>> {
        let own = &self.io.common.listener;
        let newest = context.plan.listener(own.number())?;
        let (before, now) = (&own.options.sockets, &newest.options.sockets);
        let is_there = before.is_empty() || before.iter().any(|socket| now.contains(socket));
        is_there.then_some(newest)
    }

    /// Takes the newest plan of the listener for the request that follows. A listener that is gone,
    /// or has another service or other settings of TLS now, answers that request as its last one.
    pub(super) fn take_newest<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let own = &self.io.common.listener;
        let newest = match self.newest(context) {
            Some(newest) if Rc::ptr_eq(newest, own) => return,
            Some(newest) => Rc::clone(newest),
            None => return self.drain(context, key),
        };
        let Some(options) = newest.options.service.http() else {
            return self.drain(context, key);
        };
        if !has_same_tls(own, &newest) || !self.speaks(options) {
            // What its client has shown was asked by the earlier settings.
            self.drain(context, key);
        }
        self.options = Arc::clone(options);
        self.io.common.listener = newest;
        self.note_peer(context, key);
    }

    /// What the newest plan wants to know of the peer, and whether it is still admitted.
    fn note_peer<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let listener = Rc::clone(&self.io.common.listener);
        let is_known = self.client.as_ref().is_some_and(|peer| peer.address.is_some());
        if self.options.needs_source
            && !is_known
            && let Some(socket) = self.io.stream.fd()
            && let Ok(address) = context.reactor.driver().peer_address(socket)
        {
            self.client.get_or_insert_default().address = address.ip();
            self.note_tls();
        }
        if let Some(peer) = &mut self.client {
            peer.is_trusted = false;
        }
        self.note_trust();
        let Some(peer) = &mut self.client else { return };
        let Some(ip) = peer.ip().filter(|_| !peer.is_trusted) else { return };
        if !self.options.access.allows(ip) {
            self.close(context, key, CloseReason::Denied);
        } else if let Some(most) = self.options.source_connections_max
            && !peer.is_counted
        {
            // It is in: it is counted if there is room, and not refused if there is none.
            peer.is_counted = context.enter_source(listener.number(), ip, most);
        }
    }
}

/// Whether two plans of a listener ask the same of its clients by TLS.
fn has_same_tls(one: &ListenerPlan, other: &ListenerPlan) -> bool {
    match (&one.options.tls, &other.options.tls) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
