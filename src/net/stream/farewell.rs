//! The end of a stream whose peer was told why.

use nix::errno::Errno;

use super::{Farewell, Stream};
use crate::ring::{Driver, Fd};
use crate::runtime::Reactor;

impl Stream {
    /// Tells the peer, in these few bytes as they are, why the connection ends. Nothing was queued.
    pub fn say_last<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, bytes: &[u8]) {
        let Some(socket) = self.fd else { return };
        if reactor.driver().send_now(socket, bytes, false) == Ok(bytes.len()) {
            self.farewell = Farewell::Said;
        }
    }

    /// TLS has failed: the alert that says why is sent behind all that is sealed. `told` says
    /// whether there is one.
    pub(super) fn say_failure<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        told: bool,
    ) {
        let (Some(tls), Some(socket)) = (&mut self.tls, self.fd) else { return };
        if tls.is_offloaded() {
            if tls.alert_by_kernel(reactor.driver(), socket) {
                self.farewell = Farewell::Said;
            }
        } else if told && self.sending {
            self.farewell = Farewell::Due;
        } else if self.send_last(reactor).is_none() && told {
            self.farewell = Farewell::Said;
        }
    }

    /// Has the peer see a reset when the socket is closed, unless it was told why the connection
    /// ends: a reset may destroy that.
    pub fn reset_on_close<D: Driver, T: Copy>(&self, reactor: &mut Reactor<D, T>) {
        if let (Farewell::No, Some(socket)) = (self.farewell, self.fd) {
            reactor.driver().reset_on_close(socket);
        }
    }

    /// After the final alert and FIN: the socket, to be drained before it is closed, as a close
    /// with unread data sends a reset. No operation is in flight. None where nothing was told, or
    /// the peer has gone.
    pub fn part<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) -> Option<Fd> {
        debug_assert!(self.is_quiet(), "an operation knows the socket");
        let is_told = match self.farewell {
            Farewell::No => false,
            Farewell::Due => self.send_last(reactor).is_none(),
            Farewell::Said => true,
        };
        let ended: Result<(), Errno> =
            reactor.driver().shutdown_write(self.fd.filter(|_| is_told)?);
        self.fd.take_if(|_| ended.is_ok())
    }
}
