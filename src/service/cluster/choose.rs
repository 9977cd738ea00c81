//! How one of the servers that may be chosen is chosen.

use std::time::Instant;

use super::random::{Random, mix};
use super::server::Server;
use crate::service::cluster::maglev::Maglev;

/// Slots that a hash goes on after it met a server that starts slowly and did not take it.
const DETOUR_MAX: usize = 32;

/// Which servers may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eligible<'a> {
    /// Those of one priority.
    pub(super) members: &'a [usize],
    /// Those that are not usable, too.
    pub(super) all: bool,
    /// Not these.
    pub(super) tried: &'a [usize],
}

impl<'a> Eligible<'a> {
    fn admits(self, number: usize, server: &Server) -> bool {
        (self.all || server.is_usable()) && !self.tried.contains(&number)
    }

    fn iter<'b>(self, servers: &'b [Server]) -> impl Iterator<Item = (usize, &'b Server)>
    where
        'a: 'b,
    {
        let known = self.members.iter().filter_map(|number| Some((*number, servers.get(*number)?)));
        known.filter(move |(number, server)| self.admits(*number, server))
    }
}

/// Turns by weight, spread evenly: each turn every server saves up its weight, and the one that has
/// most pays what all have saved.
pub(super) fn in_turn(
    servers: &mut [Server],
    eligible: Eligible<'_>,
    weight: impl Fn(&Server) -> u64,
    among: impl Fn(&Server) -> bool,
) -> Option<usize> {
    let mut total: i128 = 0;
    let mut best: Option<(usize, i128)> = None;
    for number in eligible.members {
        let Some(server) = servers.get_mut(*number) else { continue };
        if !eligible.admits(*number, server) || !among(server) {
            continue;
        }
        let weight = i128::from(weight(server));
        server.turn += weight;
        total += weight;
        if best.is_none_or(|(_, most)| server.turn > most) {
            best = Some((*number, server.turn));
        }
    }
    let (number, _) = best?;
    servers.get_mut(number)?.turn -= total;
    Some(number)
}

/// The one with the fewest requests under way for its weight; equals take turns.
pub(super) fn least_requests(
    servers: &mut [Server],
    eligible: Eligible<'_>,
    now: Instant,
) -> Option<usize> {
    let load = |server: &Server| (u128::from(server.active), u128::from(server.weight_at(now)));
    let loads = eligible.iter(servers).map(|(_, server)| load(server));
    // a / b < c / d, without dividing.
    let least = loads.min_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)))?;
    in_turn(
        servers,
        eligible,
        |server| server.weight_at(now),
        |server| {
            let (active, weight) = load(server);
            active * least.1 == least.0 * weight
        },
    )
}

/// Of two at random, the one with the lower latency times requests under way and this one, for its
/// weight. As long as nothing is known of one of them, latency is left out.
pub(super) fn quicker_of_two(
    servers: &[Server],
    eligible: Eligible<'_>,
    random: &mut Random,
    now: Instant,
) -> Option<usize> {
    let count = eligible.iter(servers).count();
    if count < 2 {
        return eligible.iter(servers).next().map(|(number, _)| number);
    }
    let first = random.below(count);
    let second = (first + 1 + random.below(count - 1)) % count;
    let (number, one) = eligible.iter(servers).nth(first)?;
    let (other_number, other) = eligible.iter(servers).nth(second)?;
    let load =
        |server: &Server| (f64::from(server.active) + 1.0) / server.weight_at(now).max(1) as f64;
    let known = one.latency.estimate(now).zip(other.latency.estimate(now));
    let (latency, other_latency) = known.unwrap_or((1.0, 1.0));
    let better = latency * load(one) <= other_latency * load(other);
    Some(if better { number } else { other_number })
}

/// The one that the hash leads to, or the next that may be chosen. One that starts slowly takes the
/// part of the hashes that its weight has reached, always the same ones, and more with time.
pub(super) fn by_hash(
    maglev: &Maglev,
    servers: &[Server],
    eligible: Eligible<'_>,
    hash: u64,
    now: Instant,
) -> Option<usize> {
    eligible.iter(servers).next()?;
    let mut slow = None;
    let mut detour = 0;
    for number in maglev.servers(hash) {
        detour += usize::from(slow.is_some());
        if detour > DETOUR_MAX {
            break;
        }
        let Some(server) = servers.get(number) else { continue };
        if !eligible.admits(number, server) {
            continue;
        }
        let ramp = server.ramp(now);
        if ramp >= 1_000 || mix(hash ^ server.options.id) % 1_000 < ramp {
            return Some(number);
        }
        slow.get_or_insert(number);
    }
    // A server whose weight is next to nothing may have no slot at all.
    slow.or_else(|| eligible.iter(servers).next().map(|(number, _)| number))
}
