//! Conversations of WebSocket, valid ones and mutated ones, that our reader and the crate
//! `tungstenite` read alike, as server and as client.
//!
//! Both are given the same bytes, and have to tell the same messages, and to fail or not; what may
//! differ is in `permitted`, with the section that allows it.
//!
//! `RINGWAY_WEBSOCKET_RUNS=1000000 cargo test --release --test websocket_differential` runs more of
//! them, `RINGWAY_WEBSOCKET_SEED=7` one.

#[path = "websocket_differential/conversation.rs"]
mod conversation;
#[path = "websocket_differential/ours.rs"]
mod ours;
#[path = "websocket_differential/permitted.rs"]
mod permitted;
#[path = "websocket_differential/theirs.rs"]
mod theirs;

use std::collections::BTreeSet;

use conversation::Frame;
use ringway::proto::websocket::{Role, Violation};
use ringway::ring::sim::Random;

/// Conversations of each kind.
const RUNS: u64 = 20_000;
/// Bytes of a frame, and of a message, at most.
const FRAME_MAX: usize = 70_000;
const MESSAGE_MAX: usize = 72_000;

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A code, if there is one, and a reason.
    Close(Option<u16>, Vec<u8>),
}

/// How reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// More may come.
    More,
    /// The peer has closed.
    Closed,
    /// A rule was broken: which, where that is known.
    Failed(Option<Violation>, String),
}

impl End {
    const fn has_failed(&self) -> bool {
        matches!(self, Self::Failed(..))
    }
}

/// What one end makes of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    events: Vec<Event>,
    end: End,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seeds that are run.
fn seeds() -> std::ops::Range<u64> {
    match number("RINGWAY_WEBSOCKET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGWAY_WEBSOCKET_RUNS").unwrap_or(RUNS),
    }
}

/// Has both hear the frames. Returns the entry that permitted a difference.
fn compare(seed: u64, role: Role, frames: &[Frame], tail: &[u8]) -> Option<&'static str> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut bytes));
    bytes.extend_from_slice(tail);
    let mut random = Random::new(seed);
    let ours = ours::hear(role, &bytes, &mut random);
    let theirs = theirs::hear(role, &bytes, &mut random);
    let is_same = ours.events == theirs.events && ours.end.has_failed() == theirs.end.has_failed();
    // One that has not failed has closed or waits, and the other one likewise.
    if is_same && (ours.end.has_failed() || ours.end == theirs.end) {
        return None;
    }
    let permitted = permitted::reason(&ours, &theirs);
    assert!(
        permitted.is_some(),
        "seed {seed}, {role:?}\n{}\ntail {tail:x?}\nours:   {ours:?}\ntheirs: {theirs:?}",
        frames.iter().map(Frame::describe).collect::<Vec<_>>().join("\n")
    );
    permitted
}

#[test]
fn valid_conversations_are_read_alike() {
    for seed in seeds() {
        for role in [Role::Server, Role::Client] {
            let frames = conversation::valid(seed, role);
            let mut bytes = Vec::new();
            frames.iter().for_each(|frame| frame.write(&mut bytes));
            let heard = ours::hear(role, &bytes, &mut Random::new(seed));
            assert!(!heard.end.has_failed(), "seed {seed}: {heard:?}");
            assert_eq!(compare(seed, role, &frames, b""), None, "seed {seed}");
        }
    }
}

#[test]
fn mutated_conversations_are_read_alike_but_for_what_is_permitted() {
    let mut met = BTreeSet::new();
    for seed in seeds() {
        for role in [Role::Server, Role::Client] {
            let (frames, tail) = conversation::mutated(seed, role);
            met.extend(compare(seed, role, &frames, &tail));
        }
    }
    if seeds().end - seeds().start >= RUNS {
        // What is not needed any more is not permitted any more.
        let unmet: Vec<_> = permitted::REASONS.iter().filter(|one| !met.contains(*one)).collect();
        assert!(unmet.is_empty(), "no conversation needs these: {unmet:#?}");
    }
}
