//! What the servers of a new cluster take over from those of the one that it replaces.

use std::time::Instant;

use super::Servers;
use crate::service::cluster::eject::{Ejection, Ejector};
use crate::service::cluster::hashed::RAMP_FULL;
use crate::service::cluster::latency::Latency;

/// What is known of a server beyond what its configuration says. Exchanges under way, and what was
/// counted, are not of it.
#[derive(Debug, Clone, Copy)]
pub struct ServerMemory {
    /// What active checks say.
    healthy: bool,
    drained: bool,
    /// The weight that was set by hand.
    weight: Option<u32>,
    ejection: Option<Ejection>,
    /// When its slow start began, if that goes on.
    slow_since: Option<Instant>,
    latency: Latency,
    /// Since when its state is what it is.
    since: Option<Instant>,
}

impl ServerMemory {
    /// Without what active checks have found: for a server that is checked no longer, or in another
    /// way.
    #[must_use]
    pub const fn unchecked(self) -> Self {
        Self { healthy: true, ..self }
    }
}

impl Servers {
    /// The servers that are down, ejected, drained, start slowly, or have a weight that was set by
    /// hand, in no order. Takes no step for the others.
    pub fn remarkable(&self) -> impl Iterator<Item = usize> + '_ {
        self.remarkable.iter()
    }

    /// What another cluster with this server is to know of it; `None` when there is nothing. Those
    /// that are not [`Servers::remarkable`] have something only where the policy goes by latencies.
    #[must_use]
    pub fn remember(&self, server: usize) -> Option<ServerMemory> {
        let one = self.servers.get(server)?;
        let has_latency = self.goes_by_latency && one.latency.is_known();
        if !has_latency && !one.is_remarkable() {
            return None;
        }
        Some(ServerMemory {
            healthy: one.healthy,
            drained: one.drained,
            weight: one.weight_by_hand(),
            ejection: self.ejector.as_ref().and_then(|ejector| ejector.ejection(server)),
            slow_since: one.slow_since.filter(|_| one.ramp < RAMP_FULL),
            latency: one.latency,
            since: one.since,
        })
    }

    /// A server is what another cluster remembers it as. An ejection that is over by now, or that
    /// would leave too few of these servers, is not taken over.
    pub fn recall(&mut self, server: usize, memory: ServerMemory, now: Instant) {
        self.recall_all([(server, memory)], now);
    }

    /// As [`Servers::recall`], for many: tables of hashes are built again once for all of them.
    pub fn recall_all(
        &mut self,
        memories: impl IntoIterator<Item = (usize, ServerMemory)>,
        now: Instant,
    ) {
        self.advance(now);
        let mut reweighed = Vec::new();
        for (server, memory) in memories {
            let level = memory.weight.and_then(|weight| self.change_weight(server, weight));
            reweighed.extend(level.filter(|level| !reweighed.contains(level)));
            self.recall_state(server, memory, now);
        }
        for level in reweighed {
            self.levels[level].reweigh(&self.servers);
        }
    }

    fn recall_state(&mut self, server: usize, memory: ServerMemory, now: Instant) {
        if server >= self.servers.len() {
            return;
        }
        if memory.drained {
            self.drain(server, now);
        }
        if !memory.healthy {
            self.set_health(server, false, now);
        }
        let ejector = self.ejector.as_mut().zip(memory.ejection);
        let resume = |(ejector, ejection): (&mut Ejector, _)| ejector.resume(server, ejection, now);
        if ejector.is_some_and(resume) {
            self.follow_ejections(now);
            self.pardon_if_none(now);
        }
        let one = &mut self.servers[server];
        one.latency = memory.latency;
        if one.is_remarkable() || memory.slow_since.is_some() {
            one.since = memory.since;
        }
        if memory.slow_since.is_some() {
            one.slow_since = memory.slow_since;
            self.step(server, now);
            self.reseat(server);
        }
    }

    /// Takes over what was known of servers that are among these as well: of each pair, the first
    /// is the number that it has there, the second the one that it has here.
    pub fn adopt(
        &mut self,
        old: &Self,
        pairs: impl IntoIterator<Item = (usize, usize)>,
        now: Instant,
    ) {
        let remembered = |(there, here)| Some((here, old.remember(there)?));
        self.recall_all(pairs.into_iter().filter_map(remembered), now);
    }
}
