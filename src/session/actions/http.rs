//! Carries out what the HTTP proxy decides.

use crate::mem::Key;
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::service::proxy::http::ProxyAction;
use crate::session::Sessions;
use crate::session::http::UpstreamConnection;
use crate::session::http::state::HttpState;
use crate::session::kind::Session;

impl<D: Driver> Sessions<D> {
    /// Carries out what the HTTP proxy wants done.
    pub(in crate::session) fn settle_proxy(&mut self) {
        let mut actions = std::mem::take(&mut self.context.http.acting);
        self.context.http.proxy.take_actions(&mut actions);
        for action in actions.drain(..) {
            self.carry_out_http(action);
        }
        self.context.http.acting = actions;
        while let Some((exchange, connection)) = self.context.http.tunnels.pop() {
            self.join(exchange, connection);
            self.remove_if_finished(connection);
        }
        self.settle_links();
    }

    fn carry_out_http(&mut self, action: ProxyAction) {
        match action {
            ProxyAction::WakeClient { connection, stream } => {
                if let Some(Session::Http(http)) = self.slab.get_mut(connection) {
                    http.wake(&mut self.context, connection, stream);
                }
            }
            ProxyAction::WakeServer { connection, exchange } => {
                if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
                    one.wake(&mut self.context, connection, exchange);
                }
            }
            ProxyAction::Send { connection, exchange } => self.assign(connection, exchange),
            ProxyAction::Cancel { connection, exchange } => {
                if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
                    one.cancel(&mut self.context, connection, exchange);
                }
                self.remove_if_finished(connection);
            }
            ProxyAction::Close { connection } => {
                if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
                    one.close(&mut self.context, connection, CloseCause::Retired);
                }
                self.remove_if_finished(connection);
            }
            ProxyAction::Connect { cluster, server } => self.connect((cluster, server), None),
            ProxyAction::ConnectAlone { cluster, server, exchange } => {
                self.connect((cluster, server), Some(exchange));
            }
            ProxyAction::Borrow { cluster, worker } => self.context.borrow(cluster, worker),
            ProxyAction::Arm { exchange, at } => self.context.arm_exchange(exchange, at),
            ProxyAction::Watch { cluster, at } => self.context.watch_cluster(cluster, at),
            ProxyAction::Report { cluster } => self.context.tell_ejections(cluster),
        }
    }

    fn assign(&mut self, connection: Key, exchange: Key) {
        if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
            one.assign(&mut self.context, connection, exchange);
            self.remove_if_finished(connection);
        } else {
            let of = (exchange, connection);
            self.context.connection_lost(of, Failure::StaleConnection, true);
        }
    }

    fn connect(&mut self, (cluster, server): (usize, usize), alone: Option<Key>) {
        let now = self.context.now();
        let plan = self.context.plan.upstreams.keep(cluster);
        plan.stats().active.increment();
        let connection = UpstreamConnection::new((cluster, server), plan, now);
        let connection = match alone {
            Some(exchange) => connection.for_one(exchange),
            None => connection,
        };
        match self.slab.insert(Session::Upstream(Box::new(connection))) {
            Ok(key) => {
                if let Some(session) = self.slab.get_mut(key) {
                    session.start(&mut self.context, key);
                }
                self.remove_if_finished(key);
            }
            Err(_full) => {
                self.context.upstream_stats(cluster).active.decrement();
                let HttpState { proxy, clusters, .. } = &mut self.context.http;
                let (place, failure) = ((cluster, server), Failure::Resources);
                match alone {
                    Some(exchange) => {
                        proxy.connection_failed_alone(place, exchange, failure, clusters, now);
                    }
                    None => proxy.connection_failed(place, failure, clusters, now),
                }
            }
        }
    }
}
