//! `/log`: the level of the log, shown and changed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::change::{Change, Gate, Verdict};
use super::{PLAIN, RequestBody, page};
use crate::config::LogLevel;

/// Bytes of a body that says a level, at most.
const BODY_MAX: usize = 256;
/// In the query or the body: the key of the level.
const KEY: &str = "level";

/// How the level of the program's log is read and changed. The program knows; the server does not.
#[derive(Clone)]
pub struct LogLevelControl {
    get: Arc<dyn Fn() -> LogLevel + Send + Sync>,
    set: Arc<dyn Fn(LogLevel) -> Result<(), String> + Send + Sync>,
}

impl LogLevelControl {
    /// A control that reads the level with `get` and changes it with `set`.
    pub fn new(
        get: impl Fn() -> LogLevel + Send + Sync + 'static,
        set: impl Fn(LogLevel) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { get: Arc::new(get), set: Arc::new(set) }
    }
}

impl LogLevelControl {
    /// Changes the level.
    pub(in crate::server) fn set(&self, level: LogLevel) -> Result<(), String> {
        (self.set)(level)
    }
}

impl fmt::Debug for LogLevelControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevelControl").field("level", &(self.get)()).finish()
    }
}

/// What `GET /log` shows.
pub(super) fn show(control: Option<&LogLevelControl>) -> Response<Bytes> {
    match control {
        Some(control) => {
            let level = (control.get)().word();
            page(StatusCode::OK, "application/json", format!("{}\n", json!({ KEY: level })))
        }
        None => page(StatusCode::NOT_IMPLEMENTED, PLAIN, NO_CONTROL),
    }
}

/// Carries out `POST /log`, which was allowed.
pub(super) async fn change(
    control: Option<&LogLevelControl>,
    gate: &Gate,
    peer: SocketAddr,
    (query, body): (&str, impl RequestBody),
) -> Response<Bytes> {
    let invalid = |status, what: &str| {
        gate.note(Change::LogLevel, Verdict::Invalid, peer, what);
        page(status, PLAIN, format!("{what}\n"))
    };
    let Some(control) = control else {
        return invalid(StatusCode::NOT_IMPLEMENTED, NO_CONTROL.trim_end());
    };
    let Ok(body) = body.read(BODY_MAX).await else {
        return invalid(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long for a level");
    };
    let level = match asked(query, &body) {
        Ok(level) => level,
        Err(what) => return invalid(StatusCode::BAD_REQUEST, &what),
    };
    let old = (control.get)();
    let (from, to) = (old.word(), level.word());
    // Said while the more talkative of both levels is in use.
    let note = || gate.note(Change::LogLevel, Verdict::Made, peer, &format!("{from} -> {to}"));
    let is_quieter = position(level) < position(old);
    if is_quieter {
        note();
    }
    if let Err(error) = (control.set)(level) {
        return invalid(StatusCode::INTERNAL_SERVER_ERROR, &error);
    }
    if !is_quieter {
        note();
    }
    let text = format!("{}\n", json!({ "old": from, "new": to }));
    page(StatusCode::OK, "application/json", text)
}

fn position(level: LogLevel) -> Option<usize> {
    LogLevel::ALL.iter().position(|one| *one == level)
}

/// The level that a request asks for, in its query or in its body: `level=WORD`, or the word alone.
fn asked(query: &str, body: &[u8]) -> Result<LogLevel, String> {
    let body = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let given: Vec<&str> =
        [query, body.trim()].into_iter().filter(|text| !text.is_empty()).collect();
    let words = || LogLevel::ALL.map(LogLevel::word).join(", ");
    let [one] = given[..] else {
        let what = if given.is_empty() { "no level is given" } else { "two levels are given" };
        return Err(format!("{what}: write ?level=WORD with one of {}", words()));
    };
    let word = one.strip_prefix(KEY).and_then(|rest| rest.strip_prefix('=')).unwrap_or(one);
    LogLevel::ALL.into_iter().find(|level| level.word() == word).ok_or_else(|| {
        let shown: String = word.chars().take(32).collect();
        format!("`{}` is no level: write one of {}", shown.escape_debug(), words())
    })
}

const NO_CONTROL: &str =
    "the program that runs this server does not let the level of its log be changed\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_asked_for_in_the_query_or_in_the_body() {
        for (query, body, level) in [
            ("level=debug", "", LogLevel::Debug),
            ("", "level=trace", LogLevel::Trace),
            ("", "warn\n", LogLevel::Warn),
            ("error", "", LogLevel::Error),
        ] {
            assert_eq!(asked(query, body.as_bytes()), Ok(level), "{query} {body}");
        }
        for (query, body, why) in [
            ("", "", "no level is given"),
            ("level=debug", "info", "two levels"),
            ("level=loud", "", "`loud` is no level: write one of error, warn, info, debug, trace"),
            ("level=", "", "`` is no level"),
            ("Level=debug", "", "is no level"),
            ("", "\u{1b}[31m", "`\\u{1b}[31m` is no level"),
        ] {
            let error = asked(query, body.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(asked("", &[0xff]).is_err());
    }
}
