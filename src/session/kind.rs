//! The kinds of sessions, and what is asked of every one of them.

use super::arrival::Arrival;
use super::common::Common;
use super::context::Context;
use super::echo::Echo;
use super::frame::Frames;
use super::handshake::Handshake;
use super::http::{Http, UpstreamConnection};
use super::messages::MessageSession;
use super::options::ServiceOptions;
use super::parting::Parting;
use super::plan::ListenerPlan;
use super::relay::Relay;
use super::socket_relay::SocketRelay;
use super::trunk::TrunkConnection;
use crate::mem::{Buf, Key};
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, Lane};

/// One connection. Each kind has a size of its own, and none pays for the largest.
#[derive(Debug)]
pub(super) enum Session {
    Echo(Box<Echo>),
    Relay(Box<Relay>),
    Messages(Box<MessageSession>),
    Frames(Box<Frames>),
    Trunk(Box<TrunkConnection>),
    SocketRelay(Box<SocketRelay>),
    Http(Box<Http>),
    Upstream(Box<UpstreamConnection>),
    Handshake(Box<Handshake>),
    Parting(Box<Parting>),
}

impl Session {
    /// The session that a listener's connections are for.
    pub(super) fn serve<D: Driver>(
        context: &mut Context<D>,
        common: Common,
        stream: Stream,
        arrival: &Arrival,
    ) -> Self {
        let client = arrival.client;
        match common.listener.options.service.clone() {
            ServiceOptions::Echo => Self::Echo(Box::new(Echo::new(common, stream, client))),
            ServiceOptions::Tcp { upstream } => {
                Self::Relay(Box::new(Relay::new(context, common, stream, (upstream, arrival))))
            }
            ServiceOptions::Sni(options) => {
                // A connection is open only when there is an upstream for it.
                let upstream = arrival.upstream.or(options.other).unwrap_or_default();
                Self::Relay(Box::new(Relay::new(context, common, stream, (upstream, arrival))))
            }
            ServiceOptions::Messages { line_limit } => {
                Self::Messages(Box::new(MessageSession::new(common, stream, line_limit, client)))
            }
            ServiceOptions::Frame(options) => {
                Self::Frames(Box::new(Frames::local(common, stream, client, options)))
            }
            ServiceOptions::Http(options) => {
                let now = context.now();
                Self::Http(Box::new(Http::new((common, stream), arrival, options, now)))
            }
            ServiceOptions::FrameProxy { upstream, server } => {
                let frames = Frames::proxied(context, (common, stream, client), upstream, server);
                Self::Frames(Box::new(frames))
            }
        }
    }

    /// Bytes that came with the end of a handshake, before the session was there.
    pub(super) fn take_early<D: Driver>(&mut self, context: &mut Context<D>, key: Key, buf: Buf) {
        let event = StreamEvent::Data(buf);
        match self {
            Self::Echo(echo) => echo.handle_event(context, key, event),
            Self::Messages(messages) => messages.handle_event(context, key, event),
            Self::Relay(relay) => relay.handle_event(context, key, Lane::Client, event),
            Self::Frames(frames) => frames.handle_event(context, key, event),
            Self::Http(http) => http.handle_event(context, key, event),
            Self::Trunk(_)
            | Self::SocketRelay(_)
            | Self::Upstream(_)
            | Self::Handshake(_)
            | Self::Parting(_) => {}
        }
    }

    /// The listener that it came by, if it is a client's.
    pub(super) fn listener(&self) -> Option<&ListenerPlan> {
        let common = match self {
            Self::Echo(echo) => &echo.io.common,
            Self::Relay(relay) => &relay.common,
            Self::Messages(messages) => &messages.io.common,
            Self::Frames(frames) => &frames.io.common,
            Self::Http(http) => http.common(),
            Self::Handshake(handshake) => &handshake.common,
            Self::Trunk(_) | Self::SocketRelay(_) | Self::Upstream(_) | Self::Parting(_) => {
                return None;
            }
        };
        Some(&common.listener)
    }

    /// Another plan holds: a connection that takes it does so, if nothing is under way on it.
    pub(super) fn renew<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Http(http) => http.renew(context, key),
            // They go on with the plan that they began with.
            Self::Echo(_)
            | Self::Messages(_)
            | Self::Relay(_)
            | Self::Frames(_)
            | Self::Handshake(_)
            | Self::Trunk(_)
            | Self::SocketRelay(_)
            | Self::Upstream(_)
            | Self::Parting(_) => {}
        }
    }

    /// Its listener is gone: it ends with what is under way.
    pub(super) fn depart<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Http(http) => http.depart(context, key),
            Self::Echo(_)
            | Self::Messages(_)
            | Self::Relay(_)
            | Self::Frames(_)
            | Self::Handshake(_)
            | Self::Trunk(_)
            | Self::SocketRelay(_)
            | Self::Upstream(_)
            | Self::Parting(_) => self.drain(context, key),
        }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Echo(echo) => echo.start(context, key),
            Self::Messages(messages) => messages.start(context, key),
            Self::Relay(relay) => relay.start(context, key),
            Self::Frames(frames) => frames.start(context, key),
            Self::Trunk(trunk) => trunk.start(context, key),
            Self::SocketRelay(relay) => relay.start(context, key),
            Self::Http(http) => http.start(context, key),
            Self::Upstream(upstream) => upstream.start(context, key),
            Self::Handshake(handshake) => handshake.start(context, key),
            Self::Parting(parting) => parting.start(context, key),
        }
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        match self {
            Self::Echo(echo) => echo.handle(context, key, completion),
            Self::Messages(messages) => messages.handle(context, key, completion),
            Self::Relay(relay) => relay.handle(context, key, completion),
            Self::Frames(frames) => frames.handle(context, key, completion),
            Self::Trunk(trunk) => trunk.handle(context, key, completion),
            Self::SocketRelay(relay) => relay.handle(context, key, completion),
            Self::Http(http) => http.handle(context, key, completion),
            Self::Upstream(upstream) => upstream.handle(context, key, completion),
            Self::Handshake(handshake) => handshake.handle(context, key, completion),
            Self::Parting(parting) => parting.handle(context, key, completion),
        }
    }

    /// Works on what has come, as far as that goes; nothing is sent yet.
    pub(super) fn work<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Http(http) => http.work(context, key),
            Self::Upstream(one) => one.work(context, key),
            // They pass nothing on to others, or do so in another way: all is done by `transmit`.
            Self::Echo(_)
            | Self::Messages(_)
            | Self::Relay(_)
            | Self::Frames(_)
            | Self::Trunk(_)
            | Self::SocketRelay(_)
            | Self::Handshake(_)
            | Self::Parting(_) => {}
        }
    }

    /// Sends what the turn has written, once.
    pub(super) fn transmit<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Echo(echo) => echo.flush(context, key),
            Self::Messages(messages) => messages.flush(context, key),
            Self::Relay(relay) => relay.flush(context, key),
            Self::Frames(frames) => frames.flush(context, key),
            Self::Trunk(trunk) => trunk.flush(context, key),
            Self::SocketRelay(relay) => relay.transmit(context, key),
            Self::Http(http) => http.transmit(context, key),
            Self::Upstream(one) => one.transmit(context, key),
            Self::Handshake(handshake) => handshake.flush(context, key),
            // It sends nothing.
            Self::Parting(_) => {}
        }
    }

    /// A receive or read that found no buffer may go on.
    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key, lane: Lane) {
        match self {
            Self::Echo(echo) => echo.feed(context, key),
            Self::Messages(messages) => messages.feed(context, key),
            Self::Relay(relay) => relay.feed(context, key, lane),
            Self::Frames(frames) => frames.feed(context, key, lane),
            Self::Trunk(trunk) => trunk.feed(context, key),
            Self::SocketRelay(relay) => relay.feed(context, key),
            Self::Http(http) => http.feed(context, key, lane),
            Self::Upstream(upstream) => upstream.feed(context, key),
            Self::Handshake(handshake) => handshake.feed(context, key),
            Self::Parting(parting) => parting.feed(context, key),
        }
    }

    /// The end of a turn: what the session keeps holds nothing of the pool. Streams see to what
    /// they send themselves.
    pub(super) fn hold(&mut self) {
        match self {
            Self::Messages(messages) => messages.hold(),
            Self::Frames(frames) => frames.hold(),
            Self::Trunk(trunk) => trunk.hold(),
            Self::Http(http) => http.hold(),
            Self::Upstream(upstream) => upstream.hold(),
            // They keep no received bytes, or keep them on the heap.
            Self::Echo(_)
            | Self::Relay(_)
            | Self::SocketRelay(_)
            | Self::Handshake(_)
            | Self::Parting(_) => {}
        }
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Echo(echo) => echo.handle_timeout(context, key),
            Self::Messages(messages) => messages.handle_timeout(context, key),
            Self::Relay(relay) => relay.handle_timeout(context, key),
            Self::Frames(frames) => frames.handle_timeout(context, key),
            Self::Trunk(trunk) => trunk.handle_timeout(context, key),
            Self::SocketRelay(relay) => relay.handle_timeout(context, key),
            Self::Http(http) => http.handle_timeout(context, key),
            Self::Upstream(upstream) => upstream.handle_timeout(context, key),
            Self::Handshake(handshake) => handshake.handle_timeout(context, key),
            Self::Parting(parting) => parting.handle_timeout(context, key),
        }
    }

    /// The server ends: a protocol that knows an orderly end begins it.
    pub(super) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Frames(frames) => frames.drain(context, key),
            Self::Http(http) => http.drain(context, key),
            Self::Upstream(upstream) => upstream.drain(context, key),
            Self::SocketRelay(relay) => relay.drain(context, key),
            Self::Handshake(_)
            | Self::Parting(_)
            | Self::Echo(_)
            | Self::Messages(_)
            | Self::Relay(_)
            | Self::Trunk(_) => {}
        }
    }

    /// The shutdown's time is over. True for what counts as a client that was cut.
    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        match self {
            Self::Echo(echo) => echo.cut(context, key),
            Self::Messages(messages) => messages.cut(context, key),
            Self::Relay(relay) => relay.cut(context, key),
            Self::Frames(frames) => frames.cut(context, key),
            Self::Http(http) => http.cut(context, key),
            Self::Trunk(trunk) => {
                trunk.close(context, key);
                return false;
            }
            Self::SocketRelay(relay) => {
                relay.cut(context, key);
                return false;
            }
            Self::Handshake(handshake) => handshake.cut(context, key),
            Self::Parting(parting) => {
                parting.close(context, key);
                return false;
            }
            Self::Upstream(upstream) => {
                upstream.close(context, key, crate::service::cluster::pool::CloseCause::Shutdown);
                return false;
            }
        }
        true
    }

    /// Whether it has ended, and no operation of it is in flight.
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Echo(echo) => echo.is_finished(),
            Self::Messages(messages) => messages.is_finished(),
            Self::Relay(relay) => relay.is_finished(),
            Self::Frames(frames) => frames.is_finished(),
            Self::Trunk(trunk) => trunk.is_finished(),
            Self::SocketRelay(relay) => relay.is_finished(),
            Self::Http(http) => http.is_finished(),
            Self::Upstream(upstream) => upstream.is_finished(),
            Self::Handshake(handshake) => handshake.is_finished(),
            Self::Parting(parting) => parting.is_finished(),
        }
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        match self {
            Self::Echo(echo) => echo.finish(context, key),
            Self::Messages(messages) => messages.finish(context, key),
            Self::Relay(relay) => relay.finish(context, key),
            Self::Frames(frames) => frames.finish(context, key),
            Self::Trunk(trunk) => trunk.finish(context, key),
            Self::SocketRelay(relay) => relay.finish(context, key),
            Self::Http(http) => http.finish(context, key),
            Self::Upstream(upstream) => upstream.finish(context, key),
            Self::Handshake(handshake) => handshake.finish(context, key),
            Self::Parting(parting) => parting.finish(context, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_no_larger_than_a_relay() {
        assert!(size_of::<Session>() <= size_of::<Relay>() + 8, "{}", size_of::<Session>());
    }
}
