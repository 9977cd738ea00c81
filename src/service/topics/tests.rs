//! The hub as a whole: messages in, answers and deliveries out.

use super::*;
use crate::mem::Key;

/// Numbers that depend on nothing but the seed.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A topic of few segments, of few texts, so that filters match.
pub(super) fn any_topic(random: &mut Random) -> String {
    let segments: Vec<&str> =
        (0..1 + random.below(4)).map(|_| ["a", "b", "cc", ""][random.below(4)]).collect();
    match segments.join("/") {
        empty if empty.is_empty() => "a".to_owned(),
        topic => topic,
    }
}

/// Such a filter.
pub(super) fn any_filter(random: &mut Random) -> String {
    let topic = any_topic(random);
    let mut segments: Vec<&str> =
        topic.split('/').map(|one| if random.below(3) == 0 { "+" } else { one }).collect();
    match random.below(5) {
        0 => segments.push("#"),
        1 => *segments.last_mut().unwrap() = "#",
        _ => {}
    }
    segments.join("/")
}

const ALL: Permissions = Permissions { publish: true, subscribe: true };

fn hub() -> Hub<Key> {
    Hub::new(HubLimits::default(), 0)
}

fn key(index: u32) -> Key {
    Key::new(index, 0)
}

/// What comes of a message in JSON, and the answer.
fn say(hub: &mut Hub<Key>, from: SubscriberId, message: &str) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = hub.handle(from, message.as_bytes(), Format::Json, ALL, &mut out);
    (outcome, String::from_utf8(out).unwrap())
}

fn refusal(hub: &mut Hub<Key>, from: SubscriberId, message: &str) -> &'static str {
    let (Outcome::Refused(code), answer) = say(hub, from, message) else {
        panic!("it was not refused: {message}");
    };
    assert!(answer.contains(&format!(r#""error":"{code}""#)), "{answer}");
    code
}

/// Admits a publication and delivers it at once.
fn deliver(
    hub: &mut Hub<Key>,
    publication: &Publication,
    each: impl FnMut(Key) -> Pushed,
) -> usize {
    let number = hub.admit(publication);
    hub.deliver(publication, number, each)
}

fn delivered(hub: &mut Hub<Key>, publication: &Publication) -> Vec<u32> {
    let mut keys = Vec::new();
    deliver(hub, publication, |key| {
        keys.push(key.index);
        Pushed::Queued
    });
    keys.sort_unstable();
    keys
}

fn retained_topics(hub: &Hub<Key>) -> Vec<(String, Vec<u8>)> {
    let one = |one: &Publication| (one.topic().as_str().to_owned(), one.payload().to_vec());
    hub.retained().map(one).collect()
}

#[test]
fn a_conversation_in_json() {
    let mut hub = hub();
    let (one, other) = (hub.open(key(1)), hub.open(key(2)));
    let (outcome, answer) = say(&mut hub, one, r#"{"op":"subscribe","topic":"chat/+","id":1}"#);
    assert!(
        matches!(outcome, Outcome::Subscribed { ref retained, left_out: 0 } if retained.is_empty())
    );
    assert_eq!(answer, r#"{"op":"ok","id":1}"#);
    let (outcome, answer) =
        say(&mut hub, other, r#"{"op":"publish","topic":"chat/a","data":{"n": 1},"id":"p"}"#);
    assert_eq!(answer, r#"{"op":"ok","id":"p"}"#);
    let Outcome::Publish(publication) = outcome else { panic!("{outcome:?}") };
    assert_eq!(delivered(&mut hub, &publication), [1]);
    let mut out = Vec::new();
    encode(&publication, Format::Json, false, &mut out);
    assert_eq!(out, br#"{"op":"message","topic":"chat/a","data":{"n": 1}}"#);
    let (_, answer) = say(&mut hub, one, r#"{"op":"unsubscribe","topic":"chat/+"}"#);
    assert_eq!(answer, "", "without an id, what is done is not answered");
    assert!(delivered(&mut hub, &publication).is_empty());
    hub.close(one);
    hub.close(other);
    hub.close(other);
    let stats = hub.stats();
    assert_eq!((stats.published, stats.received, stats.delivered), (1, 2, 1));
    assert_eq!((stats.subscribers, stats.subscriptions, stats.filters), (0, 0, 0));
}

#[test]
fn what_is_answered() {
    let mut hub = hub();
    let one = hub.open(key(1));
    for (message, expected) in [
        (r#"{"op":"ping"}"#, r#"{"op":"pong"}"#),
        (r#"{"op":"ping","id":3}"#, r#"{"op":"pong","id":3}"#),
        (r#"{"op":"subscribe","topic":"a"}"#, r#"{"op":"ok"}"#),
        (r#"{"op":"publish","topic":"a"}"#, ""),
        (r#"{"op":"publish","topic":"a","id":""}"#, r#"{"op":"ok","id":""}"#),
        (r#"{"op":"unsubscribe","topic":"a","id":0}"#, r#"{"op":"ok","id":0}"#),
    ] {
        assert_eq!(say(&mut hub, one, message).1, expected);
    }
    let mut binary = |message: &[u8]| {
        let mut out = Vec::new();
        hub.handle(one, message, Format::Binary, ALL, &mut out);
        out
    };
    assert_eq!(binary(b"\x01\0\0\0\0a"), b"\x81\0\0\0\0");
    assert_eq!(binary(b"\x03\0\0\0\0\0\0\x01ax"), b"");
    assert_eq!(binary(b"\x03\0\0\0\x05\0\0\x01ax"), b"\x81\0\0\0\x05");
    assert_eq!(binary(b"\x02\0\0\0\0a"), b"");
    assert_eq!(binary(b"\x04\0\0\0\0"), b"\x85\0\0\0\0");
    assert_eq!(binary(b"\x02\0\0\0\0a")[..6], *b"\x82\0\0\0\0\x08");
}

#[test]
fn each_limit_and_rule_refuses_by_name_and_is_counted() {
    let limits = HubLimits {
        payload_max: 1 << 16,
        subscriptions_max: 2,
        filters_max: 3,
        retained_max: 1,
        retained_bytes: 200,
        retained_burst: 1,
    };
    let mut hub = Hub::new(limits, 0);
    let (one, other) = (hub.open(key(1)), hub.open(key(2)));
    for topic in ["a", "b"] {
        say(&mut hub, one, &format!(r#"{{"op":"subscribe","topic":"{topic}"}}"#));
    }
    say(&mut hub, other, r#"{"op":"subscribe","topic":"c"}"#);
    say(&mut hub, other, r#"{"op":"publish","topic":"r","data":1,"retain":true}"#);
    let deep = format!(
        r#"{{"op":"publish","topic":"a","data":{0}1{1}}}"#,
        "[".repeat(129),
        "]".repeat(129)
    );
    let large =
        format!(r#"{{"op":"publish","topic":"r","data":"{}","retain":true}}"#, "x".repeat(99));
    for (from, message, code) in [
        (one, "x", "bad_message"),
        (one, r#"{"op":"x"}"#, "unknown_op"),
        (one, r#"{"op":"publish","topic":"a/+"}"#, "invalid_topic"),
        (one, r#"{"op":"subscribe","topic":"a+"}"#, "invalid_filter"),
        (one, r#"{"op":"unsubscribe","topic":""}"#, "invalid_filter"),
        (one, r#"{"op":"subscribe","topic":"c"}"#, "too_many_subscriptions"),
        (other, r#"{"op":"subscribe","topic":"d"}"#, "too_many_filters"),
        (other, r#"{"op":"unsubscribe","topic":"a"}"#, "not_subscribed"),
        (one, r#"{"op":"publish","topic":"s","data":1,"retain":true}"#, "retained_full"),
        (one, &*large, "retained_full"),
        (one, &*deep, "too_deep"),
    ] {
        assert_eq!(refusal(&mut hub, from, message), code, "{message}");
    }
    let mut out = Vec::new();
    let none = Permissions { publish: false, subscribe: false };
    for message in [r#"{"op":"subscribe","topic":"x"}"#, r#"{"op":"publish","topic":"x"}"#] {
        let outcome = hub.handle(one, message.as_bytes(), Format::Json, none, &mut out);
        assert!(matches!(outcome, Outcome::Refused("not_permitted")));
    }
    let full = Publication::new(b"s", &b"1"[..], true).unwrap();
    assert_eq!(hub.publish(full).unwrap_err(), Fault::RetainedFull);
    let stats = hub.stats();
    assert_eq!(stats.refused, [1, 1, 1, 2, 2, 1, 1, 1, 3, 1, 0]);
    assert_eq!((stats.published, stats.retained), (1, 1));
    assert_eq!((stats.subscribers, stats.subscriptions, stats.filters), (2, 3, 3));
}

#[test]
fn a_new_subscription_gets_what_is_retained_within_its_burst() {
    let mut hub = Hub::new(HubLimits { retained_burst: 2, ..HubLimits::default() }, 0);
    let one = hub.open(key(1));
    for topic in ["a/1", "a/2", "a/3", "b"] {
        let publication = Publication::new(topic.as_bytes(), &b"1"[..], true).unwrap();
        let publication = hub.publish(publication).unwrap();
        assert!(delivered(&mut hub, &publication).is_empty());
    }
    let (outcome, _) = say(&mut hub, one, r#"{"op":"subscribe","topic":"a/#"}"#);
    let Outcome::Subscribed { retained, left_out } = outcome else { panic!("{outcome:?}") };
    let topics: Vec<&str> = retained.iter().map(|one| one.topic().as_str()).collect();
    assert_eq!((topics, left_out), (vec!["a/1", "a/2"], 1));
    // It is no new subscription the second time.
    let (outcome, answer) = say(&mut hub, one, r#"{"op":"subscribe","topic":"a/#"}"#);
    assert!(matches!(outcome, Outcome::Done));
    assert_eq!(answer, r#"{"op":"ok"}"#);
    let stats = hub.stats();
    assert_eq!((stats.retained_sent, stats.retained_left_out, stats.retained), (2, 1, 4));
    say(&mut hub, one, r#"{"op":"publish","topic":"a/1","retain":true}"#);
    assert_eq!(hub.stats().retained, 3);
}

/// Retained publications of several workers, spread in any order among the workers but in the
/// order of each: all hubs keep the same in the end, which is the publication that came last where
/// one was known to the publisher of the other.
#[test]
fn all_workers_come_to_retain_the_same() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut hubs: Vec<Hub<Key>> =
            (0..3).map(|worker| Hub::new(HubLimits::default(), worker)).collect();
        // What is on its way from one worker to another.
        let mut on_the_way: Vec<std::collections::VecDeque<Publication>> =
            (0..9).map(|_| std::collections::VecDeque::new()).collect();
        for _ in 0..60 {
            let (from, to) = (random.below(3), random.below(3));
            if random.below(2) == 0 {
                let topic = ["a", "b"][random.below(2)].as_bytes();
                let payload = ["", "x", "y", "z"][random.below(4)].as_bytes();
                let publication = Publication::new(topic, payload, true).unwrap();
                let publication = hubs[from].publish(publication).unwrap();
                let was = retained_topics(&hubs[from]);
                deliver(&mut hubs[from], &publication, |_| Pushed::Queued);
                assert_eq!(retained_topics(&hubs[from]), was, "its hub retained it already");
                for to in (0..3).filter(|&to| to != from) {
                    on_the_way[from * 3 + to].push_back(publication.clone());
                }
            } else if let Some(publication) = on_the_way[from * 3 + to].pop_front() {
                deliver(&mut hubs[to], &publication, |_| Pushed::Queued);
            }
        }
        for (way, mut rest) in on_the_way.into_iter().enumerate() {
            for one in rest.drain(..) {
                deliver(&mut hubs[way % 3], &one, |_| Pushed::Queued);
            }
        }
        assert_eq!(retained_topics(&hubs[0]), retained_topics(&hubs[1]), "{seed}");
        assert_eq!(retained_topics(&hubs[0]), retained_topics(&hubs[2]), "{seed}");
        let last = hubs[2].publish(Publication::new(b"a", &b"last"[..], true).unwrap()).unwrap();
        deliver(&mut hubs[0], &last, |_| Pushed::Queued);
        assert!(retained_topics(&hubs[0]).contains(&("a".to_owned(), b"last".to_vec())));
    }
}

#[test]
fn a_retained_publication_without_room_elsewhere_is_delivered_and_counted() {
    let mut first = hub();
    let mut second = Hub::new(HubLimits { retained_max: 0, ..HubLimits::default() }, 1);
    let one = second.open(key(1));
    say(&mut second, one, r#"{"op":"subscribe","topic":"a"}"#);
    let publication = first.publish(Publication::new(b"a", &b"1"[..], true).unwrap()).unwrap();
    assert_eq!(delivered(&mut second, &publication), [1]);
    assert_eq!((second.stats().retained_skipped, second.stats().retained), (1, 0));
    second.set_limits(HubLimits::default());
    for one in first.retained() {
        deliver(&mut second, one, |_| Pushed::Queued);
    }
    assert_eq!(second.stats().retained, 1);
}

#[test]
fn a_subscription_gets_what_was_admitted_before_only_as_retained() {
    let mut hub = hub();
    let one = hub.open(key(1));
    let other = hub.open(key(2));
    let subscribe = r#"{"op":"subscribe","topic":"a"}"#;
    let retained_of = |outcome: Outcome| {
        let Outcome::Subscribed { retained, .. } = outcome else { panic!("{outcome:?}") };
        retained.iter().map(|one| one.payload().to_vec()).collect::<Vec<_>>()
    };
    for id in [one, other] {
        assert!(retained_of(say(&mut hub, id, subscribe).0).is_empty());
    }
    let publish = |hub: &mut Hub<Key>, payload: &[u8], retain| {
        let publication = Publication::new(b"a", payload, retain).unwrap();
        let publication = hub.publish(publication).unwrap();
        let number = hub.admit(&publication);
        (publication, number)
    };
    let all = [publish(&mut hub, b"1", false), publish(&mut hub, b"2", true)];
    // Both wait for their delivery, and the first is older than what is retained.
    say(&mut hub, one, r#"{"op":"unsubscribe","topic":"a"}"#);
    assert_eq!(retained_of(say(&mut hub, one, subscribe).0), [b"2"]);
    let after = publish(&mut hub, b"3", false);
    // A second filter that matches, of one that has the first since before.
    say(&mut hub, other, r##"{"op":"subscribe","topic":"#"}"##);
    let mut got = Vec::new();
    for (publication, number) in all.iter().chain([&after]) {
        let payload = publication.payload()[0];
        hub.deliver(publication, *number, |key| {
            got.push((key.index, payload));
            Pushed::Queued
        });
    }
    got.sort_unstable();
    assert_eq!(got, [(1, b'3'), (2, b'1'), (2, b'2'), (2, b'3')]);
}

#[test]
fn drops_are_counted_by_policy() {
    let mut hub = hub();
    for index in 0..4 {
        let id = hub.open(key(index));
        say(&mut hub, id, r#"{"op":"subscribe","topic":"a"}"#);
    }
    let publication = Publication::new(b"a", &b"1"[..], false).unwrap();
    let mut all = [Pushed::Queued, Pushed::DroppedOldest(3), Pushed::DroppedNewest, Pushed::Close]
        .into_iter();
    assert_eq!(deliver(&mut hub, &publication, |_| all.next().unwrap()), 4);
    hub.note_pushed(Pushed::DroppedNewest);
    let stats = hub.stats();
    assert_eq!((stats.dropped_oldest, stats.dropped_newest, stats.closed), (3, 2, 1));
    assert_eq!(stats.delivered, 4);
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let HubLimits {
        payload_max,
        subscriptions_max,
        filters_max,
        retained_max,
        retained_bytes,
        retained_burst,
    } = HubLimits::default();
    assert_eq!(payload_max, 64 << 10);
    assert_eq!((subscriptions_max, filters_max, retained_max), (64, 100_000, 10_000));
    assert_eq!((retained_bytes, retained_burst), (16 << 20, 1000));
    let QueueLimits { bytes, messages, policy } = QueueLimits::default();
    assert_eq!((bytes, messages, policy), (256 << 10, 1024, Policy::DropOldest));
}

#[test]
fn a_payload_that_is_too_long_is_published_to_nobody() {
    let mut hub: Hub<u32> = Hub::new(HubLimits { payload_max: 4, ..HubLimits::default() }, 0);
    let short = Publication::new(b"a", &b"1234"[..], false).unwrap();
    let long = Publication::new(b"a", &b"12345"[..], true).unwrap();
    assert!(hub.publish(short).is_ok());
    assert_eq!(hub.publish(long).unwrap_err(), Fault::TooLarge(4));
    assert_eq!(hub.stats().retained, 0);
}
