//! The keys of HTTP/2 in a `[[listener]]` table.

use super::super::kinds::{Bool, Bytes, Whole};
use super::super::table::table;

table! {
    /// What a listener says of HTTP/2.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Http2Options {
        /// Whether HTTP/2 is spoken, too: by TLS to clients that ask for it, in clear text to those
        /// that begin with it.
        "http2" enabled: bool = true, Bool;
        /// Requests at a time on one connection of HTTP/2; more are refused, and may be sent again.
        "http2_streams_max" streams_max: u32 = 100, Whole(1..=10_000);
        /// Bytes that a client of HTTP/2 may send ahead of one request, and of all of a connection,
        /// at most. It begins with 64 KiB and grows where that holds a client up.
        "http2_window_max" window_max: u32 = 4 << 20, Bytes(64 << 10..=1 << 30);
        /// Fields that are parts of the cookie, beside `fields_max`; browsers send a field for each
        /// part.
        "http2_cookie_parts_max" cookie_parts_max: u32 = 256, Whole(1..=10_000);
        /// CONTINUATION frames of one head.
        "http2_continuations_max" continuations_max: u32 = 8, Whole(0..=1_000);
        /// Requests that a client of HTTP/2 may give up within 10 seconds before its connection
        /// ends.
        "http2_resets_max" resets_max: u32 = 100, RATE;
        /// Requests that a client may make us reset within 10 seconds, by breaking rules.
        "http2_forced_resets_max" forced_resets_max: u32 = 100, RATE;
        /// Frames that need an answer or say nothing, such as PING, within 10 seconds.
        "http2_control_frames_max" control_frames_max: u32 = 1_000, RATE;
        /// DATA frames without data, within 10 seconds.
        "http2_empty_frames_max" empty_frames_max: u32 = 100, RATE;
    }
}

/// What may happen within 10 seconds.
const RATE: Whole<u32> = Whole(1..=1_000_000);
