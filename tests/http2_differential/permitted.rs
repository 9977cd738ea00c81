//! Where ours and theirs may differ, and what allows it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ringway::proto::http2::frame::{STREAM_MAX, flag, kind};

use super::conversation::Frame;
use super::ours::HEAD_STREAM;
use super::told::{Event, Step};

/// What is not compared any more after a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The streams on which it was.
    Streams,
    /// The connection.
    End,
}

/// What is known of the streams of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Streams on which ours and theirs have differed.
    pub(crate) left_out: BTreeSet<u32>,
    /// Streams of which ours has told the end.
    closed: BTreeSet<u32>,
    /// Streams whose answers have no content.
    bodiless: BTreeSet<u32>,
    /// Streams with interim answers.
    interim: BTreeSet<u32>,
}

impl Known {
    /// What ours has told of a frame.
    pub(crate) fn note(&mut self, ours: &Step) {
        for Event { stream, text } in &ours.events {
            if ["ends", "reset", "fails"].iter().any(|end| text.starts_with(end)) {
                self.closed.insert(*stream);
            }
            if ["head 204", "head 304"].iter().any(|head| text.starts_with(head)) {
                self.bodiless.insert(*stream);
            }
            if text.starts_with("interim") {
                self.interim.insert(*stream);
            }
        }
    }
}

/// A frame of which they tell different things.
pub(crate) struct Difference<'a> {
    pub(crate) frames: &'a [Frame],
    pub(crate) at: usize,
    /// What ours and theirs tell.
    pub(crate) parts: (&'a Step, &'a Step),
    /// Whether ours and theirs are at their end.
    pub(crate) over: (bool, bool),
    /// What is known of streams.
    pub(crate) known: &'a Known,
}

impl Difference<'_> {
    fn frame(&self) -> &Frame {
        &self.frames[self.at]
    }

    fn is_kind(&self, kind: u8) -> bool {
        self.frame().head.kind == kind
    }

    /// The rule that ours found broken.
    fn why(&self) -> &'static str {
        self.parts.0.why.unwrap_or_default()
    }

    /// What one of them tells and the other does not.
    fn only(&self) -> (Vec<&Event>, Vec<&Event>) {
        let (ours, theirs) = (&self.parts.0.events, &self.parts.1.events);
        let only = |one: &'_ [Event], other: &[Event]| -> Vec<usize> {
            (0..one.len()).filter(|at| !other.contains(&one[*at])).collect()
        };
        let (left, right) = (only(ours, theirs), only(theirs, ours));
        let left = left.into_iter().map(|at| &ours[at]).collect();
        (left, right.into_iter().map(|at| &theirs[at]).collect())
    }

    /// Whether theirs tells something of this that ours does not, or the other way round.
    fn ours_says(&self, text: &str) -> bool {
        self.only().0.iter().any(|event| event.text.starts_with(text))
    }

    fn theirs_says(&self, text: &str) -> bool {
        self.only().1.iter().any(|event| event.text.starts_with(text))
    }

    /// Whether theirs tells nothing that ours does not, or the other way round.
    fn ours_is_silent(&self) -> bool {
        self.only().0.is_empty()
    }

    fn theirs_is_silent(&self) -> bool {
        self.only().1.is_empty()
    }

    /// Whether the frame is a part of a field block that goes on behind it.
    fn is_partial_block(&self) -> bool {
        let is_block = self.is_kind(kind::HEADERS) || self.is_kind(kind::CONTINUATION);
        is_block && !self.frame().head.has(flag::END_HEADERS)
    }

    /// Whether the frame is on a stream that ours has no more, and no rule is broken by it.
    fn is_on_closed(&self) -> bool {
        let stream = self.frame().head.stream;
        let is_gone = self.known.closed.contains(&stream) || self.known.left_out.contains(&stream);
        is_gone && self.why().is_empty()
    }

    /// Whether this frame or one before it makes its stream depend on itself, by the priorities of
    /// RFC 7540.
    fn has_own_dependency(&self) -> bool {
        self.frames[..=self.at].iter().any(|Frame { head, payload }| {
            let payload = match head.kind {
                kind::PRIORITY => &payload[..],
                kind::HEADERS if head.has(flag::PRIORITY) => {
                    payload.get(usize::from(head.has(flag::PADDED))..).unwrap_or_default()
                }
                _ => return false,
            };
            let on = payload.first_chunk::<4>().map(|on| u32::from_be_bytes(*on) & STREAM_MAX);
            on == Some(head.stream)
        })
    }

    /// The streams on which they differ.
    pub(crate) fn streams(&self) -> BTreeSet<u32> {
        let (ours, theirs) = self.only();
        ours.iter().chain(&theirs).map(|event| event.stream).collect()
    }

    /// For people.
    pub(crate) fn describe(&self, seed: u64) -> String {
        let mut text = format!("seed {seed}, frame {} of these:\n", self.at);
        for (at, frame) in self.frames.iter().enumerate().take(self.at + 1) {
            writeln!(text, "{at:4} {}", frame.describe()).expect("a String takes it");
        }
        for (name, step, is_over) in
            [("ours", self.parts.0, self.over.0), ("theirs", self.parts.1, self.over.1)]
        {
            let why = step.why.unwrap_or_default();
            let end = if is_over { ", at its end" } else { "" };
            writeln!(text, "{name}{end}: {why}").expect("a String takes it");
            for Event { stream, text: what } in &step.events {
                writeln!(text, "    {stream} {what}").expect("a String takes it");
            }
        }
        text
    }
}

/// A difference that is permitted.
struct Permitted {
    /// The sections that demand or allow what ours does; of RFC 9113 if no other is named.
    section: &'static str,
    is: fn(&Difference<'_>) -> bool,
    scope: Scope,
}

const fn streams(section: &'static str, is: fn(&Difference<'_>) -> bool) -> Permitted {
    Permitted { section, is, scope: Scope::Streams }
}

const fn end(section: &'static str, is: fn(&Difference<'_>) -> bool) -> Permitted {
    Permitted { section, is, scope: Scope::End }
}

/// The differences in conversations that break no rule.
const VALID: [Permitted; 1] = [
    // h2 does not tell it while its answer waits for a window.
    streams("5.1: a reset closes the stream", |found| {
        found.is_kind(kind::RST_STREAM) && found.ours_says("reset ") && found.theirs_is_silent()
    }),
];

/// Rules of messages, which cost their stream.
const MALFORMED: [&str; 15] = [
    "h2_field_name",
    "h2_field_value",
    "connection_field",
    "pseudo_unknown",
    "pseudo_repeated",
    "pseudo_misplaced",
    "pseudo_missing",
    "pseudo_value",
    "host_differs",
    "h2_length_invalid",
    "length_differs",
    "trailers_unended",
    "body_before_head",
    "h2_head_too_large",
    "interim_flood",
];

/// Requests that are answered with a status of their own.
const REFUSED: [&str; 5] = ["host", "host_missing", "host_repeated", "target", "expectation"];

/// The differences in conversations that may break rules.
const MUTATED: [Permitted; 26] = [
    end(
        "4.2, 4.3, 5.1, 6.9.1: these have codes of their own, where h2 has PROTOCOL_ERROR",
        |found| {
            let rules = ["frame_size", "compression", "window_overflow", "stream_ended"];
            rules.contains(&found.why())
                && found.over == (true, true)
                && found.theirs_says("leaves 1")
        },
    ),
    end("5.4.1: an error of a stream may be taken for one of the connection", |found| {
        let rules = ["frame_size", "stream_ended", "window_increment"];
        let rules = rules.iter().chain(&MALFORMED).chain(&REFUSED);
        rules.into_iter().any(|rule| *rule == found.why())
            && found.over == (false, true)
            && found.theirs_says("leaves 1")
    }),
    end("3.4: SETTINGS come first", |found| {
        found.why() == "settings_missing" && found.ours_says("leaves 1")
    }),
    end("5.1: a frame on a closed stream may cost the connection", |found| {
        found.why() == "stream_ended" && found.ours_says("leaves 5")
    }),
    end("5.1, 5.1.1: what a stream cannot get that is idle costs the connection", |found| {
        ["stream_idle", "stream_parity"].contains(&found.why()) && found.ours_says("leaves 1")
    }),
    end("6.6, 8.4: nobody of these is pushed to", |found| {
        found.why() == "push_promise" && found.ours_says("leaves 1")
    }),
    end("RFC 9218, 7.1: PRIORITY_UPDATE, which h2 does not know", |found| {
        found.is_kind(kind::PRIORITY_UPDATE)
            && ["frame_stream", "frame_size"].contains(&found.why())
            && found.theirs_is_silent()
    }),
    end("RFC 8441, 3: the setting cannot be taken back", |found| {
        found.why() == "setting_value" && found.theirs_says("acknowledges")
    }),
    end("RFC 7541, 4.2: a table changes its size before all fields, and twice at most", |found| {
        found.why() == "compression" && found.ours_says("leaves 9")
    }),
    streams("8.1.1: a malformed message costs its stream", |found| {
        MALFORMED.contains(&found.why()) && found.ours_says("resets 1")
    }),
    streams("8.1.1: a server may answer what is malformed", |found| {
        REFUSED.contains(&found.why()) && found.ours_says("sends 4")
    }),
    streams("8.1.1: what came before the fault may be used", |found| {
        let (ours, theirs) = found.only();
        found.why() == "length_differs"
            && theirs.is_empty()
            && ours.iter().all(|event| event.text.starts_with("body"))
    }),
    streams("5.1: a message that has ended does not go on: STREAM_CLOSED", |found| {
        found.why() == "stream_ended"
            && found.ours_says("resets 5")
            && found.theirs_says("resets 1")
    }),
    streams("6.9.1: a window too large costs its stream", |found| {
        found.why() == "window_overflow" && found.ours_says("resets 3") && found.theirs_is_silent()
    }),
    end("6.9.2: a setting that makes a window too large costs the connection", |found| {
        found.why() == "window_overflow"
            && found.is_kind(kind::SETTINGS)
            && found.theirs_says("acknowledges")
    }),
    end("4.3: a block is decoded when it is whole", |found| {
        found.is_partial_block() && found.ours_is_silent() && found.why().is_empty()
    }),
    end("6.5.3: nothing is said of SETTINGS that are acknowledged once more", |found| {
        found.is_kind(kind::SETTINGS)
            && found.frame().head.has(flag::ACK)
            && found.ours_is_silent()
            && found.theirs_says("leaves 1")
    }),
    end("5.1: WINDOW_UPDATE may come for a closed stream, and is of no use", |found| {
        found.is_kind(kind::WINDOW_UPDATE)
            && found.ours_is_silent()
            && found.why().is_empty()
            && found.theirs_says("leaves 1")
    }),
    // h2 takes an idle stream for one that has begun then, and leaves out what a block does to its
    // table.
    end("5.3.2: the priorities of RFC 7540 are not looked at", |found| {
        let is_refused = found.theirs_says("resets 1") || found.theirs_says("leaves 1");
        found.has_own_dependency() && is_refused && found.why().is_empty()
    }),
    streams("8.3.1: nothing demands that a query has only the characters of RFC 3986", |found| {
        let is_odd = |event: &&Event| {
            event.text.starts_with("request") && event.text.contains(['"', '<', '>'])
        };
        found.only().0.iter().any(is_odd) && found.theirs_says("resets 1")
    }),
    streams(
        "RFC 9110, 6.4.1: there is no content in a 204, a 304 and what HEAD asks for",
        |found| {
            let stream = found.frame().head.stream;
            let is_bodiless = found.known.bodiless.contains(&stream) || stream == HEAD_STREAM;
            is_bodiless
                && found.is_kind(kind::DATA)
                && found.why().is_empty()
                && (found.theirs_says("body") || found.theirs_says("fails"))
        },
    ),
    streams("RFC 9110, 8.6: there is no length in an interim answer", |found| {
        let is_body = found.ours_says("body") || found.ours_says("ends");
        found.known.interim.contains(&found.frame().head.stream)
            && found.why().is_empty()
            && is_body
            && found.theirs_says("fails")
    }),
    streams("RFC 9110, 10.1.4: trailers may be asked for in any case, and twice", |found| {
        let (ours, theirs) = found.only();
        let asks = |event: &&Event| event.text.contains("[te: trailers]");
        let differs = |event: &&Event| event.text.contains("[te: ") || event.text == "resets 1";
        ours.iter().any(asks) && theirs.iter().any(differs)
    }),
    end("6.8: who is told that the other leaves may leave, too", |found| {
        found.is_kind(kind::GOAWAY) && found.why().is_empty() && !found.over.0
    }),
    streams("5.1: a frame on a closed stream may be ignored", |found| {
        found.is_on_closed() && found.ours_is_silent() && found.theirs_says("resets ")
    }),
    end("5.1, 5.4.1: the same, where h2 leaves", |found| {
        found.is_on_closed() && found.ours_is_silent() && found.theirs_says("leaves 1")
    }),
];

/// What permits a difference, and what is not compared after it.
fn look_up(table: &[Permitted], found: &Difference<'_>) -> Option<(&'static str, Scope)> {
    let row = table.iter().find(|row| (row.is)(found))?;
    // What is about one stream says nothing of others.
    let is_wide = found.streams().iter().any(|stream| *stream != found.frame().head.stream);
    (row.scope == Scope::End || !is_wide).then_some((row.section, row.scope))
}

pub(crate) fn of_valid(found: &Difference<'_>) -> Option<(&'static str, Scope)> {
    look_up(&VALID, found)
}

pub(crate) fn of_mutated(found: &Difference<'_>) -> Option<(&'static str, Scope)> {
    look_up(&VALID, found).or_else(|| look_up(&MUTATED, found))
}

/// All that permit something.
pub(crate) fn sections() -> impl Iterator<Item = &'static str> {
    VALID.iter().chain(&MUTATED).map(|row| row.section)
}
