//! Subscribers that take less than is published.

use serde_json::json;

use super::*;

/// Messages that are published, of 32 KiB each.
const COUNT: u64 = 1000;

/// Publishes while one subscriber takes nothing and another takes all. Returns the slow one.
fn publish_past(served: &Served) -> Peer {
    let mut slow = Peer::open(served, "/topics");
    slow.subscribe("t");
    let mut fast = Peer::open(served, "/topics");
    fast.subscribe("t");
    let mut publisher = Peer::open(served, "/topics");
    let text = "x".repeat(32 * 1024);
    for n in 0..COUNT {
        publisher.say(&json!({"op": "publish", "topic": "t", "data": [n, text]}));
        assert_eq!(fast.hear()["data"][0], n, "it waits for nobody");
        let waiting = served.sum(|cell| cell.stats.waiting.bytes.get());
        assert!(waiting <= 2 << 20, "{waiting} bytes wait");
    }
    fast.finish();
    publisher.finish();
    slow
}

#[test]
fn messages_that_wait_longest_are_dropped() {
    let served = served(1, "", "queue_policy = \"drop_oldest\"");
    let mut slow = publish_past(&served);
    let (mut next, mut dropped, mut came) = (0, 0, 0);
    while next < COUNT {
        let heard = slow.hear();
        if heard["op"] == "dropped" {
            let count = heard["count"].as_u64().unwrap();
            (next, dropped) = (next + count, dropped + count);
        } else {
            assert_eq!(heard["data"][0], next, "the notice tells how many are missing");
            (next, came) = (next + 1, came + 1);
        }
    }
    assert!(dropped > 0 && came > 0, "{dropped} {came}");
    assert_eq!(dropped + came, COUNT, "the last one has come");
    assert_eq!(of_topics(&served, "dropped_total", ",which=\"oldest\""), dropped);
    assert_eq!(of_route(&served, "dropped_total", "topics", ""), dropped);
}

#[test]
fn new_messages_are_dropped() {
    let served = served(1, "", "queue_policy = \"drop_newest\"");
    let mut slow = publish_past(&served);
    let mut publisher = Peer::open(&served, "/topics");
    // What waits is what came first; the notice comes before the next one of these.
    let (mut last, mut came, mut dropped) = (None, 0, 0);
    while came + dropped < COUNT {
        let heard = slow.hear();
        if heard["op"] == "dropped" {
            dropped += heard["count"].as_u64().unwrap();
        } else {
            let place = heard["data"][0].as_u64();
            assert!(last < place, "{last:?} {place:?}");
            (last, came) = (place, came + 1);
        }
    }
    assert!(dropped > 0 && came > 0, "{dropped} {came}");
    assert_eq!(of_topics(&served, "dropped_total", ",which=\"newest\""), dropped);
    publisher.say(&json!({"op": "publish", "topic": "t", "data": "there is room again"}));
    assert_eq!(slow.hear()["data"], "there is room again");
}

#[test]
fn a_slow_subscriber_is_closed() {
    let served = served(1, "", "queue_policy = \"close\"");
    let mut slow = publish_past(&served);
    let mut next = 0;
    let code = loop {
        match slow.next() {
            Came::Text(text) => {
                let heard: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(heard["data"][0], next);
                next += 1;
            }
            Came::Close(code, reason) => break (code, reason),
            came @ (Came::Binary(_) | Came::Ping(_) | Came::Pong(_) | Came::End) => {
                panic!("{came:?}")
            }
        }
    };
    assert_eq!(code, (1013, "too slow".into()));
    assert!(next < COUNT);
    slow.close(1013, "");
    assert_eq!(slow.next(), Came::End);
    wait_until("it is counted", || closed(&served, "topics", "1013") == 1);
    assert_eq!(of_topics(&served, "closed_total", ""), 1);
}

#[test]
fn a_slow_subscriber_that_never_reads_again_is_cut() {
    let served = served(1, "close_timeout = \"100ms\"", "queue_policy = \"close\"");
    let slow = publish_past(&served);
    wait_until("nothing of it is left", || served.sum(|cell| cell.active.get()) == 0);
    assert_eq!(served.sum(|cell| cell.stats.waiting.bytes.get()), 0);
    assert_eq!(of_topics(&served, "subscribers", ""), 0);
    drop(slow);
}
