//! Servers by a hash of the exchange.

use std::collections::BTreeSet;

use super::maglev::{Maglev, Member};
use super::random::mix;

/// Slots of the table that are looked at before the server is chosen among those that are left: so
/// many servers in a row are not usable by chance only when nearly all are not.
const PROBES_MAX: usize = 256;
/// Servers that a hash goes on to after it met one that starts slowly and did not take it.
const DETOUR_MAX: usize = 32;
/// Parts of a weight that a server has which does not start slowly.
pub(super) const RAMP_FULL: u64 = 1_000;

/// Which servers a hash leads to, and which of them may be chosen.
#[derive(Debug)]
pub(super) struct Hashed {
    table: Table,
    /// A bit for each server that may be chosen, by number.
    admitted: Vec<u64>,
    /// The servers that may be chosen, in the order in which one stands in for another.
    order: BTreeSet<(u64, usize)>,
}

#[derive(Debug)]
enum Table {
    /// By the addresses of the servers.
    Maglev(Maglev),
    /// By their places in the list: the sums of the weights up to each, and the servers.
    Places(Vec<u64>, Vec<usize>),
}

impl Hashed {
    /// A table by the servers' addresses.
    pub(super) fn by_address(members: &[Member]) -> Self {
        Self::new(Table::Maglev(Maglev::new(members)))
    }

    /// A table by their places in the list.
    pub(super) fn by_place(members: &[Member]) -> Self {
        let sums = members.iter().scan(0, |sum, member| {
            *sum += u64::from(member.weight.max(1));
            Some(*sum)
        });
        let numbers = members.iter().map(|member| member.server);
        Self::new(Table::Places(sums.collect(), numbers.collect()))
    }

    fn new(table: Table) -> Self {
        Self { table, admitted: Vec::new(), order: BTreeSet::new() }
    }

    /// The servers have other weights now.
    pub(super) fn rebuild(&mut self, members: &[Member]) {
        let fresh = match self.table {
            Table::Maglev(_) => Self::by_address(members),
            Table::Places(..) => Self::by_place(members),
        };
        self.table = fresh.table;
    }

    /// Lets a server be chosen, or not.
    pub(super) fn put(&mut self, member: &Member, is_in: bool) {
        let (word, bit) = (member.server / 64, 1 << (member.server % 64));
        if word >= self.admitted.len() {
            self.admitted.resize(word + 1, 0);
        }
        let entry = match &self.table {
            Table::Maglev(_) => (member.id, member.server),
            Table::Places(..) => (0, member.server),
        };
        if is_in {
            self.admitted[word] |= bit;
            self.order.insert(entry);
        } else {
            self.admitted[word] &= !bit;
            self.order.remove(&entry);
        }
    }

    fn is_admitted(&self, server: usize) -> bool {
        self.admitted.get(server / 64).is_some_and(|word| word >> (server % 64) & 1 == 1)
    }

    /// The server that the hash leads to, or the next that may be chosen and is not in `tried`,
    /// which is short. One that starts slowly takes the part of the hashes that its weight has
    /// reached, always the same ones, and more with time: `ramp` tells its parts, and its id.
    pub(super) fn find(
        &self,
        hash: u64,
        tried: &[usize],
        ramp: impl Fn(usize) -> (u64, u64),
    ) -> Option<usize> {
        let mut slow = None;
        let mut takes = |server: usize| {
            let (parts, id) = ramp(server);
            let is_taken = parts >= RAMP_FULL || mix(hash ^ id) % RAMP_FULL < parts;
            if !is_taken {
                slow.get_or_insert(server);
            }
            is_taken
        };
        let suits = |server: &usize| self.is_admitted(*server) && !tried.contains(server);
        let found = match &self.table {
            Table::Maglev(table) => {
                let near = table.servers(hash).take(PROBES_MAX);
                near.filter(suits).take(DETOUR_MAX).find(|server| takes(*server))
            }
            Table::Places(sums, servers) => {
                let total = sums.last().copied().filter(|total| *total > 0)?;
                let at = sums.partition_point(|sum| *sum <= hash % total);
                let first = servers.get(at).copied()?;
                if suits(&first) && takes(first) {
                    return Some(first);
                }
                let others = self.behind((0, first + 1)).filter(suits);
                others.take(DETOUR_MAX).find(|one| takes(*one))
            }
        };
        // Nearly none is left, or all of them start slowly.
        found.or(slow).or_else(|| self.behind((mix(hash), 0)).find(suits))
    }

    /// The servers that may be chosen from a place of their order on, and then the others.
    fn behind(&self, from: (u64, usize)) -> impl Iterator<Item = usize> + '_ {
        let before = self.order.range(..from);
        self.order.range(from..).chain(before).map(|(_, server)| *server)
    }
}
