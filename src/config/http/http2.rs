//! The keys of HTTP/2 in a `[[listener]]` table.

use std::ops::RangeInclusive;

use super::super::accept as values;
use super::super::defaults;
use super::super::section::Section;

/// What a listener says of HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Options {
    /// `http2`: whether it is spoken: by TLS to clients that ask for it, in clear text to those
    /// that begin with it.
    pub enabled: bool,
    /// `http2_streams_max`: requests at a time on one connection.
    pub streams_max: u32,
    /// `http2_window_max`: bytes that a client may send ahead of one request, or of all of its
    /// connection, at most.
    pub window_max: u32,
    /// `http2_cookie_parts_max`: fields that are parts of the cookie, beside `fields_max`.
    pub cookie_parts_max: u32,
    /// `http2_continuations_max`: CONTINUATION frames of one head.
    pub continuations_max: u32,
    /// `http2_resets_max`: requests that a client may give up within 10 seconds.
    pub resets_max: u32,
    /// `http2_forced_resets_max`: requests that a client may make us reset within 10 seconds.
    pub forced_resets_max: u32,
    /// `http2_control_frames_max`: frames that need an answer or say nothing, within 10 seconds.
    pub control_frames_max: u32,
    /// `http2_empty_frames_max`: DATA frames without data, within 10 seconds.
    pub empty_frames_max: u32,
}

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            enabled: defaults::HTTP2,
            streams_max: defaults::HTTP2_STREAMS_MAX,
            window_max: defaults::HTTP2_WINDOW_MAX,
            cookie_parts_max: defaults::HTTP2_COOKIE_PARTS_MAX,
            continuations_max: defaults::HTTP2_CONTINUATIONS_MAX,
            resets_max: defaults::HTTP2_RESETS_MAX,
            forced_resets_max: defaults::HTTP2_FORCED_RESETS_MAX,
            control_frames_max: defaults::HTTP2_CONTROL_FRAMES_MAX,
            empty_frames_max: defaults::HTTP2_EMPTY_FRAMES_MAX,
        }
    }
}

/// Requests at a time.
const STREAMS_RANGE: RangeInclusive<u32> = 1..=10_000;
/// Bytes of a window: at least those that each has by the protocol.
const WINDOW_RANGE: RangeInclusive<u32> = 64 << 10..=1 << 30;
/// Parts of a cookie.
const COOKIE_PARTS_RANGE: RangeInclusive<u32> = 1..=10_000;
/// Frames of a head.
const CONTINUATIONS_RANGE: RangeInclusive<u32> = 0..=1_000;
/// What may happen within 10 seconds.
const RATE_RANGE: RangeInclusive<u32> = 1..=1_000_000;

/// Reads the keys of HTTP/2.
pub(super) fn http2(section: &mut Section<'_, '_>) -> Http2Options {
    let mut whole = |key, range: &RangeInclusive<u32>, default| {
        section.optional(key, |v| values::whole(v, range)).or(default)
    };
    let is = Http2Options::default();
    let mut read = Http2Options {
        streams_max: whole("http2_streams_max", &STREAMS_RANGE, is.streams_max),
        cookie_parts_max: whole("http2_cookie_parts_max", &COOKIE_PARTS_RANGE, is.cookie_parts_max),
        continuations_max: whole(
            "http2_continuations_max",
            &CONTINUATIONS_RANGE,
            is.continuations_max,
        ),
        resets_max: whole("http2_resets_max", &RATE_RANGE, is.resets_max),
        forced_resets_max: whole("http2_forced_resets_max", &RATE_RANGE, is.forced_resets_max),
        control_frames_max: whole("http2_control_frames_max", &RATE_RANGE, is.control_frames_max),
        empty_frames_max: whole("http2_empty_frames_max", &RATE_RANGE, is.empty_frames_max),
        ..is
    };
    read.enabled = section.optional("http2", values::boolean).or(is.enabled);
    let window = section.optional("http2_window_max", |v| values::size(v, &WINDOW_RANGE));
    read.window_max = window.or(is.window_max);
    read
}
