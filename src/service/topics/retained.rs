//! The last publication of each topic that was published with `retain`.
//!
//! Publications reach the hubs of several workers in different orders. Each has an order of its
//! own, and the latest stays, so that all hubs come to keep the same one. For this, a hub remembers
//! the latest topics whose publications were ended.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

use super::name::Filter;
use super::publication::Publication;
use super::queue::Cost;

/// Topics whose retained publication was ended that a hub remembers at most.
pub const ENDED_MAX: usize = 1024;

/// There is no room for another retained publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetainedFull;

/// Publications by topic.
#[derive(Debug, Default)]
pub(super) struct Retained {
    by_topic: BTreeSet<ByTopic>,
    /// Those in `by_topic` that only say that there is none, the earliest first; some may have
    /// been replaced since.
    ended: VecDeque<Publication>,
    count: usize,
    bytes: usize,
}

/// A publication that is compared by its topic.
#[derive(Debug)]
struct ByTopic(Publication);

impl ByTopic {
    /// Whether it only says that there is none.
    fn is_end(&self) -> bool {
        self.0.payload().is_empty()
    }
}

impl Borrow<[u8]> for ByTopic {
    fn borrow(&self) -> &[u8] {
        self.0.topic_text()
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByTopic {}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.topic_text().cmp(other.0.topic_text())
    }
}

impl Retained {
    /// Publications that are kept.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of memory that they cost.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a publication, unless a later one is kept already. An empty one ends what was kept.
    pub(super) fn put(
        &mut self,
        publication: &Publication,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<(), RetainedFull> {
        let topic: &[u8] = publication.topic_text();
        let known = self.by_topic.get(topic);
        // The same order is the same publication.
        if known.is_some_and(|known| known.0.order >= publication.order) {
            return Ok(());
        }
        let (known_count, known_bytes) =
            known.filter(|known| !known.is_end()).map_or((0, 0), |known| (1, known.0.cost()));
        let new = ByTopic(publication.clone());
        let (new_count, new_bytes) = if new.is_end() { (0, 0) } else { (1, publication.cost()) };
        let count = self.count - known_count + new_count;
        let bytes = self.bytes - known_bytes + new_bytes;
        // What takes no more memory than before is taken, also where the limits were lowered.
        let exceeds = |value, limit, before| value > limit && value > before;
        if exceeds(count, count_max, self.count) || exceeds(bytes, bytes_max, self.bytes) {
            return Err(RetainedFull);
        }
        (self.count, self.bytes) = (count, bytes);
        if new.is_end() {
            self.ended.push_back(publication.clone());
        }
        self.by_topic.replace(new);
        if self.ended.len() > ENDED_MAX {
            self.forget_an_end();
        }
        Ok(())
    }

    fn forget_an_end(&mut self) {
        let Some(first) = self.ended.pop_front() else { return };
        let topic: &[u8] = first.topic_text();
        let known = self.by_topic.get(topic);
        if known.is_some_and(|known| known.is_end() && known.0.order == first.order) {
            self.by_topic.remove(topic);
        }
    }

    /// All that is kept, by topic.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &Publication> {
        self.by_topic.iter().filter(|one| !one.is_end()).map(|one| &one.0)
    }

    /// At most `most` of those that a filter matches, by topic, and how many more there are. The
    /// cost is that of those whose topics begin with what stands before the first wildcard.
    pub(super) fn matching(&self, filter: Filter<'_>, most: usize) -> (Vec<Publication>, usize) {
        let literal = filter.literal();
        let mut found = Vec::new();
        let mut left_out = 0;
        let mut add = |one: &ByTopic| {
            if !one.is_end() && filter.matches(one.0.topic()) {
                if found.len() < most {
                    found.push(one.0.clone());
                } else {
                    left_out += 1;
                }
            }
        };
        // The filter without wildcards, or `a` of `a/#`, which is not within `a/`.
        let parent = literal.strip_suffix('/').filter(|_| literal != filter.as_str());
        let exact = parent.unwrap_or(literal);
        self.by_topic.get(exact.as_bytes()).into_iter().for_each(&mut add);
        if literal != filter.as_str() {
            let from = (Bound::Included(literal.as_bytes()), Bound::Unbounded);
            let range = self.by_topic.range::<[u8], _>(from);
            let begins = |one: &&ByTopic| one.0.topic_text().starts_with(literal.as_bytes());
            range.take_while(begins).for_each(&mut add);
        }
        (found, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Random, any_filter, any_topic};
    use super::*;
    use std::collections::BTreeMap;

    fn publication(topic: &str, payload: &str, order: u64) -> Publication {
        let mut made = Publication::new(topic.as_bytes(), payload.as_bytes(), true).unwrap();
        made.order = order;
        made
    }

    fn matching(retained: &Retained, filter: &str, most: usize) -> (Vec<String>, usize) {
        let (found, left_out) = retained.matching(Filter::parse(filter.as_bytes()).unwrap(), most);
        (found.iter().map(|one| one.topic().as_str().to_owned()).collect(), left_out)
    }

    #[test]
    fn the_last_one_is_kept_until_an_empty_one_ends_it() {
        let mut retained = Retained::default();
        retained.put(&publication("a", "one", 1), 9, 9999).unwrap();
        retained.put(&publication("a", "other", 2), 9, 9999).unwrap();
        assert_eq!((retained.count(), retained.bytes()), (1, 1 + 5 + 128));
        assert_eq!(&**retained.all().next().unwrap().payload(), b"other");
        retained.put(&publication("a", "", 3), 9, 9999).unwrap();
        assert_eq!((retained.count(), retained.bytes()), (0, 0));
        assert_eq!(matching(&retained, "#", 9), (vec![], 0));
        assert!(retained.all().next().is_none());
    }

    #[test]
    fn limits_refuse_what_is_new_and_take_what_is_no_larger() {
        let mut retained = Retained::default();
        let bytes = publication("a", "12345", 0).cost();
        retained.put(&publication("a", "12345", 0), 1, bytes).unwrap();
        let full = Err(RetainedFull);
        assert_eq!(retained.put(&publication("b", "1", 0), 1, 9999), full);
        assert_eq!(retained.put(&publication("a", "123456", 1), 1, bytes), full);
        assert_eq!(retained.put(&publication("a", "1234", 1), 0, 1), Ok(()), "limits were lowered");
        assert_eq!(retained.put(&publication("b", "", 0), 0, 0), Ok(()));
        assert_eq!(retained.put(&publication("a", "", 2), 0, 0), Ok(()));
        assert_eq!((retained.count(), retained.bytes()), (0, 0));
        assert_eq!(retained.put(&publication("b", "1", 3), 0, 9999), full);
        assert_eq!(retained.put(&publication("b", "1", 3), 9, 129), full);
        assert_eq!(retained.put(&publication("b", "1", 3), 9, 130), Ok(()));
    }

    #[test]
    fn filters_find_what_they_match() {
        let mut retained = Retained::default();
        for topic in ["a", "a!", "a/", "a/b", "a/b/c", "ab", "b/b", "/a"] {
            retained.put(&publication(topic, "1", 0), 99, 99_999).unwrap();
        }
        for (filter, expected) in [
            ("a", &["a"][..]),
            ("a/", &["a/"]),
            ("a/#", &["a", "a/", "a/b", "a/b/c"]),
            ("a/+", &["a/", "a/b"]),
            ("+/b", &["a/b", "b/b"]),
            ("a/+/c", &["a/b/c"]),
            ("#", &["/a", "a", "a!", "a/", "a/b", "a/b/c", "ab", "b/b"]),
            ("/#", &["/a"]),
            ("x", &[]),
        ] {
            assert_eq!(matching(&retained, filter, 99).0, expected, "{filter}");
        }
        assert_eq!(matching(&retained, "a/#", 1), (vec!["a".to_owned()], 3));
    }

    /// Publications in any order, to hubs in any order, within any limits: the counts are those of
    /// what is kept, within the limits, and what is found is what a look at all finds.
    #[test]
    fn counts_and_matches_are_those_of_a_look_at_all() {
        for seed in 0..60 {
            let mut random = Random(seed);
            let (count_max, bytes_max) = (random.below(40), random.below(6000));
            let mut retained = Retained::default();
            let mut naive: BTreeMap<String, Publication> = BTreeMap::new();
            for order in 1..300 {
                let topic = any_topic(&mut random);
                let payload = "x".repeat(random.below(4) * random.below(30));
                let one = publication(&topic, &payload, order);
                let rest = naive.iter().filter(|(other, _)| **other != topic);
                let (count, bytes) =
                    rest.fold((1, one.cost()), |(n, bytes), (_, one)| (n + 1, bytes + one.cost()));
                let was = naive.get(&topic).map(|was| (naive.len(), was.cost()));
                let result = retained.put(&one, count_max, bytes_max);
                if payload.is_empty() {
                    naive.remove(&topic);
                    assert_eq!(result, Ok(()));
                } else if count <= count_max && bytes <= bytes_max {
                    naive.insert(topic, one);
                    assert_eq!(result, Ok(()));
                } else {
                    // A smaller one takes the place of a larger one in any case.
                    let is_smaller = was.is_some_and(|(_, cost)| one.cost() <= cost);
                    assert!(!is_smaller && result == Err(RetainedFull), "{seed}");
                }
                assert_eq!(retained.count(), naive.len());
                assert_eq!(retained.bytes(), naive.values().map(Cost::cost).sum::<usize>());
                assert!(retained.count() <= count_max && retained.bytes() <= bytes_max);
            }
            for _ in 0..50 {
                let filter = any_filter(&mut random);
                let parsed = Filter::parse(filter.as_bytes()).unwrap();
                let expected: Vec<&String> = naive
                    .iter()
                    .filter(|(_, one)| parsed.matches(one.topic()))
                    .map(|x| x.0)
                    .collect();
                let most = random.below(20);
                let (found, left_out) = matching(&retained, &filter, most);
                assert_eq!(found.iter().collect::<Vec<_>>(), expected[..most.min(expected.len())]);
                assert_eq!(found.len() + left_out, expected.len());
            }
        }
    }

    #[test]
    fn hubs_come_to_keep_the_same_whatever_came_first() {
        let mut random = Random(5);
        for _ in 0..200 {
            let mut all: Vec<Publication> = (1..9)
                .map(|order| {
                    let topic = ["a", "b"][random.below(2)];
                    publication(topic, ["", "1", "2"][random.below(3)], order)
                })
                .collect();
            let mut kept = || {
                random.shuffle(&mut all);
                let mut retained = Retained::default();
                all.iter().for_each(|one| retained.put(one, 9, 9999).unwrap());
                let kept = retained.all().map(|one| (one.topic().as_str().to_owned(), one.order));
                kept.collect::<Vec<_>>()
            };
            assert_eq!(kept(), kept());
        }
    }

    #[test]
    fn what_was_ended_is_remembered_within_a_limit() {
        let mut retained = Retained::default();
        for number in 0..3 * ENDED_MAX {
            retained.put(&publication(&format!("t/{number}"), "", 7), 9, 9999).unwrap();
        }
        assert_eq!((retained.by_topic.len(), retained.ended.len()), (ENDED_MAX, ENDED_MAX));
        let last = format!("t/{}", 3 * ENDED_MAX - 1);
        retained.put(&publication(&last, "late", 6), 9, 9999).unwrap();
        assert_eq!(retained.count(), 0);
        retained.put(&publication(&last, "new", 8), 9, 9999).unwrap();
        assert_eq!(retained.count(), 1);
        for number in 0..2 * ENDED_MAX {
            retained.put(&publication(&format!("u/{number}"), "", 9), 9, 9999).unwrap();
        }
        assert_eq!(
            matching(&retained, "#", 9),
            (vec![last], 0),
            "an old end does not end a new one"
        );
        assert_eq!(retained.by_topic.len(), ENDED_MAX + 1);
    }
}
