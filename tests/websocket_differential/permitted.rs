//! What both may read differently, and why.

use ringway::proto::websocket::Violation;

use super::{End, Event, Heard};

/// They take a length that is not in its shortest form, which is forbidden.
const LENGTH: &str = "RFC 6455, section 5.2: the minimal number of bytes MUST be used";
/// They look at a frame once it is whole; we fail as soon as it can be no valid one.
const EARLY: &str = "RFC 6455, section 7.1.7: a connection may fail before a frame is whole";
/// They do not know close code 1014 (bad gateway).
const GATEWAY: &str = "the registry of close codes of IANA: 1014 was added in 2016";

/// Every entry.
pub(crate) const REASONS: [&str; 3] = [LENGTH, EARLY, GATEWAY];

/// The entry that permits a difference.
pub(crate) fn reason(ours: &Heard, theirs: &Heard) -> Option<&'static str> {
    let is_prefix = theirs.events.starts_with(&ours.events);
    // The payload of a control frame is so short that a long form is never its shortest one.
    if let End::Failed(Some(Violation::Length | Violation::LongControl), _) = ours.end {
        return is_prefix.then_some(LENGTH);
    }
    if ours.end.has_failed() && theirs.end == End::More && ours.events == theirs.events {
        return Some(EARLY);
    }
    let (last, before) = ours.events.split_last()?;
    let is_gateway = matches!(last, Event::Close(Some(1014), _));
    (is_gateway && before == theirs.events && theirs.end.has_failed()).then_some(GATEWAY)
}
