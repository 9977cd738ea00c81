use super::super::tests::{Random, any_filter, any_topic};
use super::*;
use std::collections::BTreeSet;

const MAX: usize = usize::MAX;

fn filter(text: &str) -> Filter<'_> {
    Filter::parse(text.as_bytes()).unwrap()
}

fn matches(subscriptions: &mut Subscriptions<u32>, topic: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let topic = Topic::parse(topic.as_bytes()).unwrap();
    let count = subscriptions.each(topic, 1, |key| found.push(key));
    assert_eq!(count, found.len());
    assert!(subscriptions.scratch.told.iter().all(|&word| word == 0));
    found.sort_unstable();
    found
}

/// All invariants between nodes, lists and places.
fn check(subscriptions: &Subscriptions<u32>) {
    let Subscriptions { nodes, subscribers, .. } = subscriptions;
    let mut places = 0;
    for subscriber in subscribers.values() {
        for place in &subscriber.places {
            let entry = nodes[place.node as usize].subscribers[place.position as usize];
            assert_eq!(entry.key, subscriber.key);
            places += 1;
        }
    }
    let lists = nodes.iter().map(|node| node.subscribers.len());
    assert_eq!(lists.clone().sum::<usize>(), places);
    assert_eq!(subscriptions.subscriptions(), places);
    assert_eq!(subscriptions.filters(), lists.filter(|&len| len > 0).count());
    let of_nodes = nodes.iter().map(|node| bytes_of(&node.subscribers)).sum::<usize>();
    let of_subscribers = subscribers.values().map(|one| bytes_of(&one.places)).sum::<usize>();
    assert_eq!(subscriptions.lists, of_nodes + of_subscribers);
    let children: usize = nodes.iter().map(|node| node.children as usize).sum();
    assert_eq!(children, subscriptions.children.len());
    let unused = nodes.iter().skip(1).filter(|node| node.is_unused()).count();
    assert_eq!(unused, subscriptions.free.len());
    if subscriptions.filters() == 0 {
        assert_eq!((nodes.len(), subscriptions.free.capacity()), (1, 0));
        assert_eq!(subscriptions.children.capacity(), 0);
        assert!(subscriptions.segments.get("a").is_none());
        let idle = subscribers.values().map(|one| bytes_of(&one.places)).sum::<usize>();
        assert_eq!(subscriptions.bytes(), bytes_of(nodes) + idle);
    }
}

/// Random subscriptions and ends of them: what is found is what a look at all filters finds.
#[test]
fn matches_are_those_of_a_look_at_all_filters() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut subscriptions = Subscriptions::new();
        let mut naive: Vec<(u32, SubscriberId, BTreeSet<String>)> = Vec::new();
        for step in 0..300 {
            match random.below(10) {
                0 => naive.push((step, subscriptions.open(step), BTreeSet::new())),
                1 if !naive.is_empty() => {
                    let (_, id, _) = naive.swap_remove(random.below(naive.len()));
                    subscriptions.close(id);
                    assert_eq!(
                        subscriptions.subscribe(id, filter("a"), 0, (MAX, MAX)),
                        Err(NotAdded::Closed)
                    );
                }
                2..6 if !naive.is_empty() => {
                    let at = random.below(naive.len());
                    let (_, id, filters) = &mut naive[at];
                    let text = any_filter(&mut random);
                    let added = subscriptions.subscribe(*id, filter(&text), 0, (MAX, MAX));
                    assert_eq!(added, Ok(filters.insert(text)));
                }
                6 if !naive.is_empty() => {
                    let at = random.below(naive.len());
                    let (_, id, filters) = &mut naive[at];
                    let text = match filters.iter().next() {
                        Some(first) if random.below(2) == 0 => first.clone(),
                        _ => any_filter(&mut random),
                    };
                    let ended = subscriptions.unsubscribe(*id, filter(&text));
                    assert_eq!(ended, filters.remove(&text));
                }
                _ => {
                    let topic = any_topic(&mut random);
                    let parsed = Topic::parse(topic.as_bytes()).unwrap();
                    let does = |filters: &BTreeSet<String>| {
                        filters.iter().any(|text| filter(text).matches(parsed))
                    };
                    let mut expected: Vec<u32> =
                        naive.iter().filter(|one| does(&one.2)).map(|one| one.0).collect();
                    expected.sort_unstable();
                    assert_eq!(matches(&mut subscriptions, &topic), expected, "{seed} {topic}");
                }
            }
            check(&subscriptions);
        }
        while let Some((_, id, _)) = naive.pop() {
            subscriptions.close(id);
            check(&subscriptions);
        }
        assert_eq!((subscriptions.filters(), subscriptions.subscribers()), (0, 0));
    }
}

#[test]
fn limits_refuse_and_what_is_there_stays() {
    let mut subscriptions = Subscriptions::new();
    let (one, other) = (subscriptions.open(1), subscriptions.open(2));
    assert_eq!(subscriptions.subscribe(one, filter("a"), 0, (2, 3)), Ok(true));
    assert_eq!(subscriptions.subscribe(one, filter("b"), 0, (2, 3)), Ok(true));
    let refused = subscriptions.subscribe(one, filter("c"), 0, (2, 3));
    assert_eq!(refused, Err(NotAdded::Subscriptions));
    assert_eq!(subscriptions.subscribe(one, filter("a"), 0, (2, 3)), Ok(false), "it is there");
    // A node that only leads to others is no filter.
    assert_eq!(subscriptions.subscribe(other, filter("d/e"), 0, (2, 3)), Ok(true));
    assert_eq!(subscriptions.subscribe(other, filter("d"), 0, (2, 3)), Err(NotAdded::Filters));
    assert_eq!(
        subscriptions.subscribe(other, filter("a"), 0, (2, 3)),
        Ok(true),
        "a filter of others"
    );
    assert!(subscriptions.unsubscribe(one, filter("b")));
    assert!(!subscriptions.unsubscribe(one, filter("b")));
    check(&subscriptions);
    assert_eq!(matches(&mut subscriptions, "a"), [1, 2]);
    assert!(matches(&mut subscriptions, "b").is_empty());
}

#[test]
fn one_subscriber_takes_at_most_half_of_the_filters_that_are_free() {
    let mut subscriptions = Subscriptions::new();
    for (key, gets) in [(1, 50), (2, 25), (3, 13), (4, 6), (5, 3), (6, 2), (7, 1), (8, 0)] {
        let id = subscriptions.open(key);
        let mut own = 0;
        let refused = loop {
            let text = format!("{key}/{own}");
            match subscriptions.subscribe(id, filter(&text), 0, (MAX, 100)) {
                Ok(is_new) => own += usize::from(is_new),
                Err(refused) => break refused,
            }
        };
        assert_eq!((own, refused), (gets, NotAdded::Filters), "{key}");
        // What others have is no new filter.
        assert_eq!(subscriptions.subscribe(id, filter("1/7"), 0, (MAX, 100)), Ok(key != 1));
    }
    check(&subscriptions);
}

#[test]
fn memory_of_filters_is_counted_and_given_back() {
    let mut subscriptions = Subscriptions::new();
    let empty = subscriptions.bytes();
    let ids: Vec<SubscriberId> = (0..10).map(|key| subscriptions.open(key)).collect();
    for number in 0..1000 {
        let text = format!("{}/{number}", "x".repeat(100));
        for id in &ids {
            subscriptions.subscribe(*id, filter(&text), 0, (MAX, MAX)).unwrap();
        }
    }
    // A node, a segment and two entries of a map for each filter, and two places for each
    // subscription.
    let subscription = size_of::<Entry<u32>>() + size_of::<Place>();
    let least = 1000 * (size_of::<Node<u32>>() + 10 * subscription);
    let bytes = subscriptions.bytes();
    assert!(bytes > least && bytes < 4 * least, "{bytes} {least}");
    ids.into_iter().for_each(|id| subscriptions.close(id));
    assert_eq!(subscriptions.bytes(), empty);
}

#[test]
fn a_subscriber_with_several_filters_that_match_is_called_once() {
    let mut subscriptions = Subscriptions::new();
    for key in 0..1000 {
        let id = subscriptions.open(key);
        for text in ["a/b", "a/+", "#", "a/#"].iter().take(1 + key as usize % 4) {
            subscriptions.subscribe(id, filter(text), 0, (MAX, MAX)).unwrap();
        }
    }
    assert_eq!(matches(&mut subscriptions, "a/b"), (0..1000).collect::<Vec<_>>());
    check(&subscriptions);
}

/// Ten thousand subscribers of one topic are one list, and those of others are not looked at.
#[test]
fn a_topic_with_many_subscribers_is_one_list() {
    let mut subscriptions = Subscriptions::new();
    let ids: Vec<SubscriberId> = (0..20_000).map(|key| subscriptions.open(key)).collect();
    for (key, id) in (0..).zip(&ids) {
        let text = if key < 10_000 { "news".to_owned() } else { format!("other/{key}") };
        subscriptions.subscribe(*id, filter(&text), 0, (MAX, MAX)).unwrap();
    }
    assert_eq!(matches(&mut subscriptions, "news").len(), 10_000);
    assert_eq!(subscriptions.scratch.found.len(), 1);
    assert_eq!(subscriptions.scratch.told.capacity(), 0);
    for id in ids {
        subscriptions.close(id);
    }
    check(&subscriptions);
}

/// Every filter that leads towards a topic: the nodes that are visited have a bound.
#[test]
fn a_publication_meets_a_bounded_number_of_nodes() {
    let mut subscriptions = Subscriptions::new();
    let id = subscriptions.open(1);
    let masks = (0..1_u32 << 16).filter(|mask| mask.count_ones() as usize <= 4);
    for mask in masks {
        let segment = |at: u32| if mask >> at & 1 == 1 { "+" } else { "s" };
        let text = (0..16).map(segment).collect::<Vec<_>>().join("/");
        let parsed = filter(&text);
        // What is asked is how many nodes there are, so no list of places is needed.
        subscriptions.make(parsed);
    }
    subscriptions.subscribe(id, filter("s"), 0, (MAX, MAX)).unwrap();
    // The root, then those at each depth.
    let mut visited = 1;
    for segments in 1..=16 {
        let topic = vec!["s"; segments].join("/");
        subscriptions.find_matches(Topic::parse(topic.as_bytes()).unwrap());
        visited += subscriptions.scratch.here.len();
    }
    assert_eq!(visited, 9401);
}

/// What an idle subscriber costs beside its subscriptions, with its queue in the session.
#[test]
fn a_subscriber_takes_little_memory() {
    let hub = size_of::<Option<Subscriber<Key>>>() + size_of::<u64>();
    let queue = size_of::<super::super::Queue<crate::mem::Buf>>();
    assert!(hub + queue + size_of::<SubscriberId>() <= 100, "{hub} {queue}");
    assert_eq!(size_of::<Entry<Key>>(), 24);
    assert_eq!(size_of::<Place>(), 8);
}
