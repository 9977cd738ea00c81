//! The frame proxies of a worker, by upstream.

use super::Due;
use super::context::Context;
use crate::ring::Driver;
use crate::service::cluster::Cluster;
use crate::service::proxy::Exchanger;

impl<D: Driver> Context<D> {
    /// The frame proxy of an upstream.
    ///
    /// # Panics
    /// When the upstream has none: sessions that ask for it are made only where there is one.
    pub(super) fn exchanger(&mut self, upstream: usize) -> &mut Exchanger {
        let exchanger = self.exchangers.get_mut(upstream).and_then(Option::as_mut);
        exchanger.expect("the upstream of a frame proxy")
    }

    /// The frame proxy of an upstream, and the servers that it shares with others.
    pub(super) fn exchanger_and_cluster(
        &mut self,
        upstream: usize,
    ) -> (&mut Exchanger, &mut Cluster) {
        let Self { exchangers, http, .. } = self;
        let exchanger = exchangers.get_mut(upstream).and_then(Option::as_mut);
        (exchanger.expect("the upstream of a frame proxy"), http.cluster(upstream))
    }

    /// Arms a timer for what a frame proxy has to do next, unless one fires early enough.
    pub(super) fn arm_exchanger(&mut self, upstream: usize) {
        let (exchanger, cluster) = self.exchanger_and_cluster(upstream);
        let next = exchanger.next_deadline(cluster);
        let armed = &mut self.exchanger_timers[upstream];
        if let (Some((_, at)), Some(next)) = (&armed, next)
            && *at <= next
        {
            return;
        }
        if let Some((timer, _)) = armed.take() {
            self.reactor.disarm(timer);
        }
        let Some(next) = next else { return };
        let number = u32::try_from(upstream).unwrap_or(u32::MAX);
        let timer = self.reactor.arm(next, Due::Exchanger(number));
        self.exchanger_timers[upstream] = Some((timer, next));
    }
}
