//! Connections that change to another protocol: both become one relay, which may splice.

use crate::mem::{Buf, Key};
use crate::ring::{Driver, SocketAddress};
use crate::session::Sessions;
use crate::session::http::Switched;
use crate::session::http::state::HttpState;
use crate::session::kind::Session;
use crate::session::relay::{Adopted, Relay};

impl<D: Driver> Sessions<D> {
    /// Makes one relay of an exchange's two connections.
    pub(super) fn join(&mut self, key: Key, upstream_key: Key) {
        let context = &mut self.context;
        let now = context.now();
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let Some(exchange) = proxy.get(key) else { return };
        let (client, upstream) = (exchange.client, exchange.cluster);
        let Some(server) = proxy.switched(key, clusters, now) else { return };
        let Some(Session::Upstream(one)) = self.slab.get_mut(upstream_key) else { return };
        let (mut stream, early) = one.give_stream(context, upstream_key);
        let Some(Session::Http(http)) = self.slab.get_mut(client) else {
            stream.close(&mut context.reactor, upstream_key);
            return;
        };
        let Switched { client: address, source, ahead } = http.switch(context, key);
        let adopted = Adopted {
            stream,
            upstream,
            server,
            client: address.map(SocketAddress::inet),
            source,
            to_server: ahead,
            to_client: (!early.is_empty()).then(|| Buf::copy_of(&early)),
        };
        self.slab.replace(client, |session| {
            let Session::Http(http) = session else { return session };
            Session::Relay(Box::new(Relay::adopt(context, http.into_parts(), adopted)))
        });
        context.upstream_stats(upstream).active.increment();
        if let Some(Session::Relay(relay)) = self.slab.get_mut(client) {
            relay.resume(&mut self.context, client);
        }
    }
}
