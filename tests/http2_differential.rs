//! Whole conversations of HTTP/2, valid ones and mutated ones, that our ends and those of the crate
//! `h2` hear alike.
//!
//! Both are told the same bytes, frame by frame, and answer in the same way. After each frame what
//! they tell their applications and what they send is compared: of valid conversations it is the
//! same, of mutated ones the same or a difference that `permitted` has with the section that allows
//! it.
//!
//! `RINGWAY_HTTP2_RUNS=100000 cargo test --release --test http2_differential` runs more of them,
//! `RINGWAY_HTTP2_SEED=7` one. `scripts/http2_oracles.sh` has nghttp2 and PyPI's `h2` hear them.

#[path = "http2_differential/block.rs"]
mod block;
#[path = "http2_differential/conversation.rs"]
mod conversation;
#[path = "http2_differential/mutation.rs"]
mod mutation;
#[path = "http2_differential/ours.rs"]
mod ours;
#[path = "http2_differential/permitted.rs"]
mod permitted;
#[path = "http2_differential/theirs.rs"]
mod theirs;
#[path = "http2_differential/told.rs"]
mod told;
#[path = "http2_differential/written.rs"]
mod written;

use std::collections::BTreeSet;

use conversation::{Frame, steps};
use ours::{ASKED, OurClient, OurServer};
use permitted::{Difference, Known, Scope};
use theirs::{TheirClient, TheirServer};
use told::{Event, Step};

/// Conversations of each kind.
const RUNS: u64 = 3000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seeds that are run.
fn seeds() -> std::ops::Range<u64> {
    match number("RINGWAY_HTTP2_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGWAY_HTTP2_RUNS").unwrap_or(RUNS),
    }
}

/// The two that hear a conversation.
trait Ends {
    /// A frame comes. What ours and theirs make of it, as far as they are not at their end.
    fn step(&mut self, bytes: &[u8]) -> (Step, Step);
    /// Whether ours and theirs are at their end.
    fn are_over(&self) -> (bool, bool);
}

struct Servers(OurServer, TheirServer);

impl Ends for Servers {
    fn step(&mut self, bytes: &[u8]) -> (Step, Step) {
        (self.0.step(bytes), self.1.step(bytes))
    }

    fn are_over(&self) -> (bool, bool) {
        (self.0.has_failed, self.1.is_over())
    }
}

struct Clients(OurClient, TheirClient);

impl Ends for Clients {
    fn step(&mut self, bytes: &[u8]) -> (Step, Step) {
        (self.0.step(bytes), self.1.step(bytes))
    }

    fn are_over(&self) -> (bool, bool) {
        (self.0.has_failed, self.1.is_over())
    }
}

/// Which differences are permitted: with the section, and what is not compared any more.
type IsPermitted = fn(&Difference<'_>) -> Option<(&'static str, Scope)>;

/// Compares a conversation, step by step. Returns the sections that permitted a difference.
fn compare(
    (seed, frames): (u64, &[Frame]),
    is_client: bool,
    mut ends: impl Ends,
    is_permitted: IsPermitted,
) -> BTreeSet<&'static str> {
    let mut met = BTreeSet::new();
    let mut known = Known::default();
    for (at, bytes) in steps(frames, is_client).iter().enumerate() {
        let (mut ours, mut theirs) = ends.step(bytes);
        let over = ends.are_over();
        if over.1 {
            // A connection that fails fails all of its streams.
            theirs.events.retain(|event| event.text != "fails");
        }
        let is_compared = |event: &Event| !known.left_out.contains(&event.stream);
        ours.events.retain(is_compared);
        theirs.events.retain(is_compared);
        if ours.events != theirs.events || over.0 != over.1 {
            let parts = (&ours, &theirs);
            let difference = Difference { frames, at, parts, over, known: &known };
            let Some((section, scope)) = is_permitted(&difference) else {
                panic!("{}", difference.describe(seed));
            };
            met.insert(section);
            if scope == Scope::End {
                return met;
            }
            let streams = difference.streams();
            known.left_out.extend(streams);
        }
        if over.0 || over.1 {
            return met;
        }
        known.note(&ours);
    }
    met
}

fn hear_client(seed: u64, frames: &[Frame], permitted: IsPermitted) -> BTreeSet<&'static str> {
    let ends = Servers(OurServer::new(), TheirServer::new());
    compare((seed, frames), true, ends, permitted)
}

fn hear_server(seed: u64, frames: &[Frame], permitted: IsPermitted) -> BTreeSet<&'static str> {
    let ends = Clients(OurClient::new(), TheirClient::new());
    compare((seed, frames), false, ends, permitted)
}

#[test]
fn valid_conversations_are_heard_alike() {
    for seed in seeds() {
        hear_client(seed, &conversation::client(seed).frames, permitted::of_valid);
        hear_server(seed, &conversation::server(seed, ASKED).frames, permitted::of_valid);
    }
}

#[test]
fn mutated_conversations_are_heard_alike_but_for_what_is_permitted() {
    let mut met = BTreeSet::new();
    for seed in seeds() {
        met.extend(hear_client(seed, &mutation::client(seed), permitted::of_mutated));
        met.extend(hear_server(seed, &mutation::server(seed, ASKED), permitted::of_mutated));
    }
    if seeds().end - seeds().start >= RUNS {
        // What is not needed any more is not permitted any more.
        let unmet: Vec<_> = permitted::sections().filter(|one| !met.contains(one)).collect();
        assert!(unmet.is_empty(), "no conversation needs these: {unmet:#?}");
    }
}

/// For `scripts/http2_oracles.sh`, which names the files.
#[test]
fn conversations_are_written_and_blocks_are_read_where_that_is_asked() {
    if let Some(path) = std::env::var_os("RINGWAY_HTTP2_WRITE") {
        written::write(path.as_ref(), seeds());
    }
    if let Some(path) = std::env::var_os("RINGWAY_HTTP2_READ") {
        let count = written::read(path.as_ref());
        assert!(count > 0, "there are blocks");
    }
}
