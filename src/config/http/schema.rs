//! What a file may say of HTTP: the keys of its tables, words and ranges.

use std::ops::RangeInclusive;

use super::super::schema::{TableKeys, Words, keys};
use super::{
    AccessLists, Coding, Compression, EjectOptions, FilesOptions, Forwarded, HalfClose,
    HealthOptions, RateLimit, Route, ServerProtocol, Symlinks, UnderscoreHeaders,
};
use crate::service::http::template::TEMPLATE_SIZE_MAX;

pub(in super::super) const ACCESS_LOG: TableKeys =
    TableKeys { table: "[listener.access_log]", keys: &["format", "path", "template"] };

pub(in super::super) const ROUTE: TableKeys = TableKeys {
    table: "[[listener.route]]",
    keys: keys![
        &["name", "host", "path_prefix", "method", "header", "proxy"],
        &["prefix_rewrite", "body_max"],
        Route::KEYS,
        AccessLists::KEYS,
        Compression::KEYS,
        &[
            "request_headers",
            "response_headers",
            "rate_limit",
            "auth",
            "websocket_inspect",
            "files",
        ],
        FilesOptions::KEYS,
        &[
            "path",
            "redirect",
            "status",
            "path_regex",
            "path_rewrite",
            "respond",
            "content_type",
            "echo",
            "status_page",
            "websocket_page",
            "handler",
            "websocket",
            "client_certificate",
        ],
    ],
};

/// Statuses of calls of gRPC that `retry_on` may name, as `"grpc:NAME"`.
pub(super) const RETRY_CODES: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// What `protocol` of an upstream may be.
pub(super) const SERVER_PROTOCOL_WORDS: Words<ServerProtocol> = &[
    ("auto", ServerProtocol::Auto),
    ("http1", ServerProtocol::Http1),
    ("http2", ServerProtocol::Http2),
];

/// The keys of a route of which one, and only one, is needed.
pub(in super::super) const ACTIONS: &[&str] = &[
    "proxy",
    "files",
    "redirect",
    "respond",
    "echo",
    "status_page",
    "websocket_page",
    "handler",
    "websocket",
];

/// The keys of a route of which there is one at most.
pub(in super::super) const PATHS: &[&str] = &["path", "path_prefix", "path_regex"];

/// The keys of a route that only some actions have, each group with those.
const KEYS_OF_ACTIONS: &[(&[&str], &[&str])] = &[
    (&["prefix_rewrite", "path_rewrite"], &["proxy", "files"]),
    (&["request_headers", "grpc_message_max", "websocket_inspect"], &["proxy"]),
    (&["grpc_web", "total_timeout"], &["proxy", "handler"]),
    (FilesOptions::KEYS, &["files"]),
    (&["status"], &["redirect", "respond"]),
    (&["content_type"], &["respond"]),
];

/// The actions that a key of a route is for. `None`: all.
pub(in super::super) fn actions_of(key: &str) -> Option<&'static [&'static str]> {
    let found = KEYS_OF_ACTIONS.iter().find(|(keys, _)| keys.contains(&key));
    found.map(|(_, actions)| *actions)
}

const EDITS: &[&str] = &["set", "add", "remove"];

pub(in super::super) const REQUEST_HEADERS: TableKeys =
    TableKeys { table: "[listener.route.request_headers]", keys: EDITS };
pub(in super::super) const RESPONSE_HEADERS: TableKeys =
    TableKeys { table: "[listener.route.response_headers]", keys: EDITS };
pub(in super::super) const RATE_LIMIT: TableKeys =
    TableKeys { table: "[listener.route.rate_limit]", keys: keys![&["rate"], RateLimit::KEYS] };
pub(in super::super) const AUTH: TableKeys =
    TableKeys { table: "[listener.route.auth]", keys: &["realm", "users", "users_file"] };

pub(in super::super) const CLIENT_CERTIFICATE: TableKeys = TableKeys {
    table: "[listener.route.client_certificate]",
    keys: &["subject", "name", "fingerprint"],
};

pub(in super::super) const HEALTH: TableKeys = TableKeys {
    table: "[upstream.NAME.health]",
    keys: keys![&["kind", "path", "status", "body", "host"], HealthOptions::KEYS, &["service"]],
};

/// The keys of a check by a GET.
pub(super) const HTTP_HEALTH_KEYS: &[&str] = &["path", "status", "body", "host"];
/// The keys of a check by a call of gRPC.
pub(super) const GRPC_HEALTH_KEYS: &[&str] = &["service", "host"];

pub(in super::super) const EJECT: TableKeys =
    TableKeys { table: "[upstream.NAME.eject]", keys: EjectOptions::KEYS };

pub(in super::super) const SERVER: TableKeys =
    TableKeys { table: "[[upstream.NAME.servers]]", keys: &["address", "weight", "priority"] };

pub(super) const FORWARDED_WORDS: Words<Forwarded> =
    &[("append", Forwarded::Append), ("replace", Forwarded::Replace), ("off", Forwarded::Off)];
pub(super) const HALF_CLOSE_WORDS: Words<HalfClose> =
    &[("auto", HalfClose::Auto), ("allow", HalfClose::Allow), ("refuse", HalfClose::Refuse)];
pub(super) const UNDERSCORE_WORDS: Words<UnderscoreHeaders> =
    &[("pass", UnderscoreHeaders::Pass), ("drop", UnderscoreHeaders::Drop)];
pub(super) const SYMLINKS_WORDS: Words<Symlinks> =
    &[("never", Symlinks::Never), ("beneath", Symlinks::Beneath)];
pub(super) const CODING_WORDS: Words<Coding> =
    &[("br", Coding::Brotli), ("zstd", Coding::Zstd), ("gzip", Coding::Gzip)];

/// A word of `access_log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum LogForm {
    Common,
    Combined,
    Json,
    Template,
}

pub(in super::super) const LOG_FORM_WORDS: Words<LogForm> = &[
    ("common", LogForm::Common),
    ("combined", LogForm::Combined),
    ("json", LogForm::Json),
    ("template", LogForm::Template),
];

/// A word of `health.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum CheckWord {
    Tcp,
    Tls,
    Http,
    Frame,
    Grpc,
}

pub(in super::super) const HEALTH_KIND_WORDS: Words<CheckWord> = &[
    ("tcp", CheckWord::Tcp),
    ("tls", CheckWord::Tls),
    ("http", CheckWord::Http),
    ("frame", CheckWord::Frame),
    ("grpc", CheckWord::Grpc),
];

pub(super) const RATE_RANGE: RangeInclusive<u32> = 1..=1_000_000;
pub(super) const RESPOND_STATUS_RANGE: RangeInclusive<u16> = 200..=599;
pub(super) const REDIRECT_STATUSES: &[u16] = &[301, 302, 303, 307, 308];
/// Statuses of errors, which may have a page of their own.
pub(super) const ERROR_STATUS_RANGE: RangeInclusive<u16> = 400..=599;
/// Statuses of failures of a server.
pub(super) const RETRY_STATUS_RANGE: RangeInclusive<u16> = 500..=599;
pub(super) const STATUS_RANGE: RangeInclusive<u16> = 100..=599;

pub(super) const WEIGHT_RANGE: RangeInclusive<u32> = 1..=1000;
pub(super) const PRIORITY_RANGE: RangeInclusive<u8> = 0..=9;

/// Routes of one listener.
pub(super) const ROUTES_MAX: usize = 100_000;
/// Bytes of the compiled regular expressions of one listener's routes, each counted once: those of
/// some thousand routes.
pub(super) const REGEXES_SIZE_MAX: usize = 256 << 20;
/// Hosts, methods and other conditions of one route.
pub(in super::super) const CONDITIONS_MAX: usize = 256;
/// Networks of one list.
pub(in super::super) const NETWORKS_MAX: usize = 10_000;
/// Edits of one list, and other entries of a small table.
pub(in super::super) const ENTRIES_MAX: usize = 256;
/// Files that are tried for one request.
pub(super) const TRY_FILES_MAX: usize = 16;
/// Users of one route.
pub(super) const USERS_MAX: usize = 1024;
/// Bytes of a name of a field, of a value or template, and of a path.
pub(super) const FIELD_NAME_MAX: usize = 256;
pub(super) const VALUE_SIZE_MAX: usize = TEMPLATE_SIZE_MAX;
/// Bytes of a message of gRPC.
pub(super) const GRPC_MESSAGE_RANGE: RangeInclusive<u32> = 0..=4095 << 20;
/// Bytes of the name of a handler.
pub(super) const HANDLER_NAME_MAX: usize = 255;
/// Bytes of a text that is given.
pub(super) const TEXT_SIZE_MAX: usize = 64 << 10;
/// Bytes of a compiled regular expression: what some hundred plain ones take.
pub(super) const REGEX_SIZE_MAX: usize = 1 << 20;
/// Bytes of a regular expression.
pub(super) const REGEX_LENGTH_MAX: usize = 1 << 10;
