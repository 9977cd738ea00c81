//! Hashing that moves few keys when servers come and go ("Maglev": a table of a prime size that
//! each server fills in an order of its own, in turn).

use super::mix;

/// The table's size up to [`FEW`] servers, and beyond. Primes, so that any step visits every slot.
///
/// When a server is only not usable, its own keys move and no others. A list without it makes
/// another table, where some others move too, the more the fewer slots a server has: at worst 1.25
/// times its share with 12 servers, 1.3 times with 48, 1.7 times with 100. A list that grows beyond
/// [`FEW`], or shrinks to it, moves most keys.
const SIZE_FEW: usize = 4_099;
const SIZE_MANY: usize = 65_537;
const FEW: usize = 12;

/// A server, as the table sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub server: usize,
    /// What it is known by, which decides its slots: a hash of its address.
    pub id: u64,
    /// Its share of the slots, to the others' weights.
    pub weight: u32,
}

/// Which server each slot belongs to.
#[derive(Debug)]
pub(in crate::service) struct Maglev {
    slots: Box<[u32]>,
}

/// A server that takes its turns.
struct Turn {
    server: u32,
    slot: usize,
    step: usize,
    weight: u64,
    /// Parts of a turn it has saved up: the heaviest has one each round.
    saved: u64,
}

impl Maglev {
    /// The table of these servers, in whatever order they stand.
    pub(in crate::service) fn new(members: &[Member]) -> Self {
        let size = if members.len() <= FEW { SIZE_FEW } else { SIZE_MANY };
        let heaviest = members.iter().map(|member| u64::from(member.weight.max(1))).max();
        let Some(heaviest) = heaviest else { return Self { slots: Box::default() } };
        let mut members = members.to_vec();
        members.sort_by_key(|member| member.id);
        let mut turns: Vec<Turn> = members.iter().map(|member| Turn::new(member, size)).collect();
        let mut slots = vec![None; size];
        let mut left = size;
        while left > 0 {
            for turn in &mut turns {
                turn.saved += turn.weight;
                if turn.saved >= heaviest && left > 0 {
                    turn.saved -= heaviest;
                    turn.take(&mut slots);
                    left -= 1;
                }
            }
        }
        Self { slots: slots.into_iter().map(Option::unwrap_or_default).collect() }
    }

    /// The servers in the order in which a hash asks for them: the one whose slot it is, then those
    /// of the slots that follow, which come again and again. Ends after every slot.
    pub(in crate::service) fn servers(&self, hash: u64) -> impl Iterator<Item = usize> {
        let first = usize::try_from(hash % (self.slots.len().max(1) as u64)).unwrap_or(0);
        let (before, from) = self.slots.split_at(first.min(self.slots.len()));
        from.iter().chain(before).filter_map(|server| usize::try_from(*server).ok())
    }
}

impl Turn {
    fn new(member: &Member, size: usize) -> Self {
        let below =
            |hash: u64, bound: usize| usize::try_from(hash % (bound as u64)).unwrap_or_default();
        Self {
            server: u32::try_from(member.server).unwrap_or(u32::MAX),
            slot: below(mix(member.id), size),
            step: 1 + below(mix(member.id ^ 0x9e37_79b9_7f4a_7c15), size - 1),
            weight: u64::from(member.weight.max(1)),
            saved: 0,
        }
    }

    /// Takes the next slot of its order that is free; there is one.
    fn take(&mut self, slots: &mut [Option<u32>]) {
        for _ in 0..slots.len() {
            let slot = self.slot;
            self.slot = (slot + self.step) % slots.len();
            if let Some(free) = slots.get_mut(slot).filter(|slot| slot.is_none()) {
                *free = Some(self.server);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::cluster::stable_hash;

    fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(server, weight): (usize, &u32)| Member {
            server,
            id: stable_hash(format!("192.0.2.{server}:80").as_bytes()),
            weight: *weight,
        };
        weights.iter().enumerate().map(member).collect()
    }

    fn slots_of(maglev: &Maglev, server: usize) -> usize {
        maglev.servers(0).filter(|owner| *owner == server).count()
    }

    #[test]
    fn slots_are_shared_by_weight() {
        let cases: [&[u32]; 6] =
            [&[1], &[1, 1, 1], &[5, 1, 1], &[1_000, 999, 1], &[0, 1], &[3; 13]];
        for weights in cases {
            let maglev = Maglev::new(&members(weights));
            let size = maglev.slots.len();
            assert_eq!(size, if weights.len() > FEW { SIZE_MANY } else { SIZE_FEW });
            let sum: u32 = weights.iter().map(|weight| weight.max(&1)).sum();
            for (server, weight) in weights.iter().enumerate() {
                let due = size as f64 * f64::from(*weight.max(&1)) / f64::from(sum);
                let found = slots_of(&maglev, server) as f64;
                assert!((found - due).abs() <= 3.0, "{weights:?} {server}: {found} of {due}");
            }
        }
    }

    #[test]
    fn a_table_made_without_one_server_moves_few_other_keys() {
        let every = |count: usize| (0..count).collect::<Vec<_>>();
        let few = (2..=FEW).map(|count| (count, every(count), 1.3));
        let many = [(14, 1.3), (20, 1.3), (32, 1.3), (48, 1.3), (100, 1.7)];
        let many = many.map(|(count, limit)| (count, vec![0, count / 2, count - 1], limit));
        for (count, leavers, limit) in few.chain(many) {
            let all = members(&vec![1; count]);
            let before = Maglev::new(&all);
            for gone in leavers {
                let rest: Vec<Member> =
                    all.iter().copied().filter(|member| member.server != gone).collect();
                let after = Maglev::new(&rest);
                assert_eq!(before.slots.len(), after.slots.len());
                let slots = before.slots.iter().zip(&after.slots);
                let moved = slots.filter(|(before, after)| before != after).count();
                let share = moved as f64 / before.slots.len() as f64;
                assert!(share <= limit / count as f64, "{gone} of {count}: {share}");
            }
        }
    }

    /// The part of the keys that another address answers.
    fn moved(before: &[Member], after: &[Member]) -> f64 {
        let id = |members: &[Member], slot: &u32| {
            members.iter().find(|member| member.server == *slot as usize).map(|member| member.id)
        };
        let (one, other) = (Maglev::new(before), Maglev::new(after));
        let slots = one.slots.iter().zip(&other.slots);
        let moved = slots.filter(|(a, b)| id(before, a) != id(after, b)).count();
        moved as f64 / one.slots.len() as f64
    }

    #[test]
    fn servers_that_come_take_their_share_and_an_order_means_nothing() {
        for count in 2..FEW {
            let all = members(&vec![1; count + 1]);
            let due = 1.0 / (count + 1) as f64;
            for comer in 0..=count {
                let mut before = all.clone();
                before.remove(comer);
                // The numbers are those of a list without it.
                for (number, member) in before.iter_mut().enumerate() {
                    member.server = number;
                }
                let share = moved(&before, &all);
                assert!((due * 0.95..due * 1.3).contains(&share), "{comer} of {count}: {share}");
            }
            let mut turned = all.clone();
            turned.rotate_left(1);
            turned.reverse();
            for (number, member) in turned.iter_mut().enumerate() {
                member.server = number;
            }
            assert!(moved(&all, &turned) == 0.0);
        }
    }

    #[test]
    fn every_slot_is_asked_once() {
        let maglev = Maglev::new(&members(&[1, 2, 3]));
        for hash in [0, 1, 4_098, 4_099, u64::MAX] {
            assert_eq!(maglev.servers(hash).count(), SIZE_FEW);
        }
        assert_eq!(Maglev::new(&[]).servers(7).next(), None);
    }

    #[test]
    fn the_table_does_not_depend_on_anything_but_its_servers() {
        let (one, same) = (Maglev::new(&members(&[1, 4])), Maglev::new(&members(&[1, 4])));
        assert_eq!(one.slots, same.slots);
    }
}
