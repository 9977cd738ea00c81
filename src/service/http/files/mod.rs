//! Static files: what a request for one asks for, and what is answered. No file is touched here.

pub mod coding;
pub mod condition;
pub mod listing;
pub mod path;
mod plan;
pub mod range;

pub use plan::{Body, FileRules, Plan, plan};

use std::time::{Duration, UNIX_EPOCH};

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes.
    pub len: u64,
    /// When it was last changed, in seconds since 1970-01-01 UTC.
    pub modified: u64,
    /// Its `etag` field.
    pub etag: String,
    /// Its `last-modified` field.
    pub last_modified: String,
}

impl FileInfo {
    /// A file of `len` bytes that was last changed at `modified` (seconds, nanoseconds).
    ///
    /// The tag is a strong one: a file that is written anew has another time, to the nanosecond,
    /// and a file that changes while it is served is taken for broken anyway.
    #[must_use]
    pub fn new(len: u64, modified: (i64, u32)) -> Self {
        let (seconds, nanos) = modified;
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let date = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
        Self {
            len,
            modified: seconds,
            etag: format!("\"{seconds:x}.{nanos:x}-{len:x}\""),
            last_modified: httpdate::fmt_http_date(date),
        }
    }
}

/// The content type of a file by its name, and whether it is a text whose characters are UTF-8.
#[must_use]
pub fn content_type(name: &str) -> String {
    let kind = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let is_text = kind.starts_with("text/")
        || matches!(kind, "application/javascript" | "application/json" | "application/xml");
    if is_text { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
}

/// Whether a content type is one of a pattern: `text/html`, `image/*` or `*`.
#[must_use]
pub fn is_kind(kind: &str, pattern: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if pattern == "*/*" {
        return true;
    }
    match pattern.strip_suffix('*') {
        Some(start) => kind.get(..start.len()).is_some_and(|one| one.eq_ignore_ascii_case(start)),
        None => kind.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_name_and_by_pattern() {
        let table = [
            ("a.html", "text/html; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.json", "application/json; charset=utf-8"),
            ("a", "application/octet-stream"),
            ("a.unknown-kind", "application/octet-stream"),
        ];
        for (name, kind) in table {
            assert_eq!(content_type(name), kind, "{name}");
        }
        assert!(is_kind("image/png", "image/*") && is_kind("a/b", "*"));
        assert!(is_kind("text/html; charset=utf-8", "text/html"));
        assert!(!is_kind("image/png", "image/p") && !is_kind("a", "image/*"));
    }

    #[test]
    fn a_changed_file_has_another_tag() {
        let one = FileInfo::new(10, (1_795_443_505, 1));
        assert_eq!(one.last_modified, "Mon, 23 Nov 2026 14:18:25 GMT");
        for other in [(11, (1_795_443_505, 1)), (10, (1_795_443_505, 2)), (10, (1_795_443_506, 1))]
        {
            assert_ne!(FileInfo::new(other.0, other.1).etag, one.etag);
        }
        assert_eq!(FileInfo::new(0, (-5, 0)).modified, 0);
    }
}
