//! Connections that change to another protocol: both become one relay, which may splice.

use super::client::{Http, Phase};
use super::state::HttpState;
use crate::mem::{Buf, Key};
use crate::ring::{Driver, SocketAddress};
use crate::session::Sessions;
use crate::session::context::Context;
use crate::session::kind::Session;
use crate::session::relay::{Adopted, Relay};

impl Http {
    /// Writes the head that tells the client that its protocol is spoken from now on.
    fn write_switch<D: Driver>(&mut self, context: &mut Context<D>, exchange: Key) {
        self.write_interim(context, exchange);
        let Context { http, pages, .. } = context;
        let Some(exchange) = http.proxy.get_mut(exchange) else { return };
        let Some(answer) = exchange.answer.head.take() else { return };
        exchange.record.status = answer.status;
        let mut out = self.io.writer(pages);
        exchange.record.sent += self.wire.send_switch(&answer, &mut out) as u64;
        http.spare_answers.give(answer);
    }
}

impl<D: Driver> Sessions<D> {
    /// Makes one relay of an exchange's two connections.
    pub(in crate::session) fn join(&mut self, key: Key, origin_key: Key) {
        let context = &mut self.context;
        let now = context.now();
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let Some(exchange) = proxy.get(key) else { return };
        let (client, upstream) = (exchange.client, exchange.cluster);
        let Some(server) = proxy.switched(key, clusters, now) else { return };
        let Some(Session::Upstream(origin)) = self.slab.get_mut(origin_key) else { return };
        let (mut stream, early) = origin.give_stream(context, origin_key);
        let Some(Session::Http(http)) = self.slab.get_mut(client) else {
            stream.close(&mut context.reactor, origin_key);
            return;
        };
        http.write_switch(context, key);
        if let Some((head, told)) = context.end_exchange(key) {
            http.finish_request(context, head, &told);
        }
        http.drop_request(context);
        http.forget_waiting(context);
        http.phase = Phase::Head;
        http.io.buffer.finish(&mut context.pages, &mut http.io.stream);
        let ahead = http.wire.take_rest();
        let peer = http.client.take();
        let source = peer.as_ref().filter(|peer| peer.is_counted).and_then(|peer| peer.ip());
        http.stop_deadline(context);
        let adopted = Adopted {
            stream,
            upstream,
            server,
            client: peer.and_then(|peer| peer.address).map(SocketAddress::inet),
            source,
            to_server: (!ahead.is_empty()).then(|| Buf::copy_of(&ahead)),
            to_client: (!early.is_empty()).then(|| Buf::copy_of(&early)),
        };
        self.slab.replace(client, |session| {
            let Session::Http(http) = session else { return session };
            let Http { io, wire, .. } = *http;
            let parts = (io.common, io.stream, wire.has_ended());
            Session::Relay(Box::new(Relay::adopt(context, parts, adopted)))
        });
        context.upstream_stats(upstream).active.increment();
        if let Some(Session::Relay(relay)) = self.slab.get_mut(client) {
            relay.resume(&mut self.context, client);
        }
    }
}
