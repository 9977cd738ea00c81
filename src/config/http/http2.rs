//! The keys of HTTP/2 in a `[[listener]]` table.

use super::super::kinds::{Bool, Bytes, Whole};
use super::super::table::table;

table! {
    /// What a listener says of HTTP/2.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Http2Options {
        /// Whether HTTP/2 is offered: by ALPN on TLS, by prior knowledge in clear text.
        "http2" enabled: bool = true, Bool;
        /// Requests at a time on one connection.
        "http2_streams_max" streams_max: u32 = 100, Whole(1..=10_000);
        /// Bytes that a client may send ahead of one request, or of all of its connection, at most;
        /// at least what each has by the protocol.
        "http2_window_max" window_max: u32 = 4 << 20, Bytes(64 << 10..=1 << 30);
        /// Fields that are parts of the cookie, beside `fields_max`: browsers send a field for each
        /// part.
        "http2_cookie_parts_max" cookie_parts_max: u32 = 256, Whole(1..=10_000);
        /// CONTINUATION frames of one head.
        "http2_continuations_max" continuations_max: u32 = 8, Whole(0..=1_000);
        /// Requests that a client may give up within 10 seconds.
        "http2_resets_max" resets_max: u32 = 100, RATE;
        /// Requests that a client may make us reset within 10 seconds.
        "http2_forced_resets_max" forced_resets_max: u32 = 100, RATE;
        /// Frames that need an answer or say nothing, within 10 seconds.
        "http2_control_frames_max" control_frames_max: u32 = 1_000, RATE;
        /// DATA frames without data, within 10 seconds.
        "http2_empty_frames_max" empty_frames_max: u32 = 100, RATE;
    }
}

/// What may happen within 10 seconds.
const RATE: Whole<u32> = Whole(1..=1_000_000);
