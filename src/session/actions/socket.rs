//! Carries out what WebSockets and their connections to servers want of each other.

use crate::mem::Key;
use crate::ring::Driver;
use crate::service::proxy::ServerEnd;
use crate::session::Sessions;
use crate::session::http::links::LinkWish;
use crate::session::kind::Session;
use crate::session::socket_relay::SocketRelay;

impl<D: Driver> Sessions<D> {
    /// Carries out what is wanted for links between sockets and servers.
    pub(super) fn settle_links(&mut self) {
        while let Some(wish) = self.context.http.links.next_wish() {
            match wish {
                LinkWish::Connect(link) => self.connect_socket(link),
                LinkWish::WakeClient(connection, stream) => {
                    if let Some(Session::Http(http)) = self.slab.get_mut(connection) {
                        http.wake(&mut self.context, connection, stream);
                    }
                }
                LinkWish::WakeServer(server) => {
                    if let Some(Session::SocketRelay(relay)) = self.slab.get_mut(server) {
                        relay.wake(&mut self.context, server);
                    }
                }
            }
        }
    }

    fn connect_socket(&mut self, link: Key) {
        let Some(target) = self.context.http.links.target(link).cloned() else { return };
        let relay = SocketRelay::new(&self.context, link, target);
        let Ok(key) = self.slab.insert(Session::SocketRelay(Box::new(relay))) else {
            self.context.http.links.close_server(link, ServerEnd::Overloaded);
            return;
        };
        self.context.http.links.set_server(link, key);
        if let Some(session) = self.slab.get_mut(key) {
            session.start(&mut self.context, key);
        }
        self.remove_if_finished(key);
    }
}
