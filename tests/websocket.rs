//! What an endpoint of WebSockets makes of frames: tables with one fact a case, in the numbers of
//! the Autobahn test suite, whose sections they cover; and what that does not cover. The endpoint is
//! the pure machine with a small echo around it.
//!
//! The suite itself was run against the server: see docs/conformance.md.

#[path = "websocket/beyond.rs"]
mod beyond;
#[path = "websocket/compression.rs"]
mod compression;
#[path = "websocket/framing.rs"]
mod framing;
#[path = "websocket/handshake.rs"]
mod handshake;
#[path = "websocket/limits.rs"]
mod limits;
#[path = "websocket/machine.rs"]
mod machine;
#[path = "websocket/utf8.rs"]
mod utf8;

use std::collections::{BTreeMap, BTreeSet};

use machine::{Case, hear};

/// Cases of each section of the suite, 0.8.2 and 25.10.1.
const SECTIONS: [(&str, usize); 11] = [
    ("1", 16),
    ("2", 11),
    ("3", 7),
    ("4", 10),
    ("5", 20),
    ("6", 145),
    ("7", 37),
    ("9", 54),
    ("10", 1),
    ("12", 90),
    ("13", 126),
];

/// Bytes of a conversation that is heard at every split.
const SPLIT_MAX: usize = 400;

fn check(case: &Case) {
    let Case { name, sent, expected, chop } = case;
    let whole = [sent.len()];
    let heard = hear(sent, if *chop == 0 { &whole } else { std::slice::from_ref(chop) });
    assert!(heard == *expected, "{name}: {heard:?}, and not {expected:?}");
    if sent.len() <= SPLIT_MAX {
        assert!(hear(sent, &[1]) == *expected, "{name}: byte by byte");
        for cut in 1..sent.len() {
            let heard = hear(sent, &[cut, sent.len()]);
            assert!(heard == *expected, "{name}, cut at {cut}: {heard:?}, and not {expected:?}");
        }
    }
}

#[test]
fn every_case_ends_as_the_suite_expects() {
    let mut names = BTreeSet::new();
    let mut take = |case: Case| {
        check(&case);
        assert!(names.insert(case.name.clone()), "{}: twice", case.name);
    };
    framing::each(&mut take);
    utf8::each(&mut take);
    limits::each(&mut take);
    names.extend(compression::each());
    let mut counts = BTreeMap::new();
    for name in &names {
        *counts.entry(name.split('.').next().unwrap_or_default()).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from(SECTIONS));
}

#[test]
fn what_the_suite_does_not_cover() {
    beyond::each(&mut |case| check(&case));
}
