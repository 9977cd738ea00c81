//! What the seeds of each scenario have to reach, as the census names it. Together, and with what
//! the census excuses, that is all there is.

pub(super) const PLAIN_WITH_FAULTS: [&str; 4] =
    ["close idle_timeout", "pool lent", "pool max_age", "failure total_timeout"];
pub(super) const BODIES_WITH_FAULTS: [&str; 3] =
    ["class 3xx", "failure resources", "failure reset_in_body"];
pub(super) const RESETS: [&str; 8] = [
    "pool failed",
    "class 0xx",
    "close client_reset",
    "close upstream_reset",
    "stop unsafe",
    "stop body",
    "pool stale",
    "failure reset_before_head",
];
pub(super) const DRAIN: [&str; 2] = ["close shutdown_timeout", "pool shutdown"];
pub(super) const RETRIES: [&str; 19] = [
    "class 5xx",
    "failure connect_refused",
    "failure connect_timeout",
    "failure connect_unreachable",
    "failure connect_no_address",
    "failure connect_failed",
    "failure bad_response",
    "failure response_too_large",
    "failure first_byte_timeout",
    "failure try_timeout",
    "failure write_timeout",
    "failure idle_timeout",
    "stop not_wanted",
    "stop unsafe",
    "stop body",
    "stop tries",
    "stop deadline",
    "stop budget",
    "stop limit",
];
pub(super) const DYING: [&str; 4] = [
    "failure no_server",
    "failure stale_connection",
    "failure reset_before_head",
    "failure reset_in_body",
];
pub(super) const HEDGING: [&str; 3] = ["failure queue_timeout", "stop budget", "stop limit"];
pub(super) const UPGRADES_WITH_FAULTS: [&str; 4] =
    ["pool retired", "class 1xx", "close shutdown_timeout", "failure total_timeout"];
pub(super) const COMPRESSION_WITH_FAULTS: [&str; 3] =
    ["close upstream_reset", "failure idle_timeout", "failure reset_in_body"];
pub(super) const LIMITS: [&str; 7] = [
    "class 3xx",
    "class 4xx",
    "close client_gone",
    "failure breaker",
    "failure queue_full",
    "pool max_age",
    "refusal body_too_large",
];
pub(super) const SLOW: [&str; 6] = [
    "close head_timeout",
    "close body_timeout",
    "close slow_reader",
    "close idle_timeout",
    "failure first_byte_timeout",
    "failure client_timeout",
];
pub(super) const DOORS: [&str; 8] = [
    "close denied",
    "close file_cut",
    "close proxy_header_invalid",
    "close proxy_header_timeout",
    "close resources",
    "close too_many_connections",
    "close too_many_of_source",
    "failure resources",
];
pub(super) const REFUSALS: [&str; 27] = [
    "close protocol_error",
    "refusal bare_line_feed",
    "refusal empty_lines",
    "refusal request_line",
    "refusal version",
    "refusal version_unsupported",
    "refusal target_form",
    "refusal target",
    "refusal target_too_long",
    "refusal head_too_large",
    "refusal too_many_fields",
    "refusal field_name",
    "refusal field_value",
    "refusal host_missing",
    "refusal host_repeated",
    "refusal host",
    "refusal length_invalid",
    "refusal length_repeated",
    "refusal length_with_coding",
    "refusal coding_in_http10",
    "refusal coding_unknown",
    "refusal coding_order",
    "refusal expectation",
    "refusal chunk_size",
    "refusal chunk_extension",
    "refusal chunk_end",
    "refusal trailers",
];
pub(super) const RELOADS: [&str; 8] = [
    "class 2xx",
    "class 4xx",
    "close denied",
    "close finished",
    "close idle_timeout",
    "close shutdown_timeout",
    "failure reset_before_head",
    "pool retired",
];
pub(super) const STREAMS: [&str; 9] = [
    "class 0xx",
    "close finished",
    "close client_reset",
    "failure reset_before_head",
    "failure reset_in_body",
    "http2 connections",
    "http2 resets",
    "http2 refused",
    "http2 stalled",
];
pub(super) const SHARED: [&str; 9] = [
    "failure bad_response",
    "failure first_byte_timeout",
    "failure idle_timeout",
    "failure refused_stream",
    "failure reset_before_head",
    "failure reset_in_body",
    "failure response_too_large",
    "failure stale_connection",
    "pool retired",
];
pub(super) const BOTH: [&str; 7] = [
    "class 0xx",
    "failure refused_stream",
    "failure reset_before_head",
    "failure reset_in_body",
    "http2 resets",
    "http2 stalled",
    "pool retired",
];
pub(super) const HANDLERS: [&str; 3] =
    ["close handler_failed", "failure total_timeout", "class 5xx"];
pub(super) const SOCKETS: [&str; 9] = [
    "class 1xx",
    "class 2xx",
    "class 4xx",
    "class 5xx",
    "failure bad_handshake",
    "failure client_handshake",
    "failure no_websocket",
    "failure first_byte_timeout",
    "http2 resets",
];
