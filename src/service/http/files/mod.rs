//! Static files: what a request for one asks for, and what is answered. No file is touched here.

pub mod attempt;
pub mod coding;
pub mod condition;
pub mod listing;
pub mod path;
mod plan;
pub mod range;
pub mod types;

pub use plan::{Body, FileRules, Plan, page_plan, plan};

use std::time::{Duration, UNIX_EPOCH};

use crate::service::cluster::stable_hash;
use crate::service::date;

/// The latest time of modification that builds set to say none.
const SET_BY_BUILDS: u64 = 1;

/// Which bytes a file has, as far as the file system can tell. Times are seconds since 1970-01-01
/// UTC, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// When it was last written, or what somebody has set that to.
    pub modified: (i64, u32),
    /// When it was last written, renamed or otherwise changed; nobody can set that.
    pub changed: (i64, u32),
    /// Which file it is.
    pub inode: u64,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes.
    pub len: u64,
    /// What it was made of.
    pub stamp: Stamp,
    etag: String,
    last_modified: String,
}

/// What tells versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Its `etag` field.
    pub etag: &'a str,
    /// When it was last changed, in seconds since 1970-01-01 UTC.
    pub modified: u64,
    /// Its `last-modified` field.
    pub last_modified: &'a str,
}

impl FileInfo {
    /// A file with that stamp.
    ///
    /// The tag is a strong one. Length and time of modification alone do not make it so: tools
    /// that build or copy set that time, to the same for all versions. So the time of the last
    /// change and the inode are in it, too, which nobody can set.
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        let Stamp { len, modified: (seconds, nanos), changed, inode } = stamp;
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let date = UNIX_EPOCH + Duration::from_secs(seconds.min(date::LAST));
        // A hash, so that the tag is short. It is not a secret: the inode can be computed from the
        // times.
        let mut own = Vec::with_capacity(20);
        own.extend_from_slice(&changed.0.to_le_bytes());
        own.extend_from_slice(&changed.1.to_le_bytes());
        own.extend_from_slice(&inode.to_le_bytes());
        let own = stable_hash(&own);
        Self {
            len,
            stamp,
            etag: format!("\"{seconds:x}.{nanos:x}-{len:x}-{own:x}\""),
            last_modified: httpdate::fmt_http_date(date),
        }
    }

    /// What tells versions of the file apart. `None` when its time of modification says nothing:
    /// it is 0 or 1, as reproducible builds set it, or lies after `now`, in seconds since
    /// 1970-01-01 UTC.
    #[must_use]
    pub fn validators(&self, now: u64) -> Option<Validators<'_>> {
        let modified = u64::try_from(self.stamp.modified.0).ok()?;
        let is_told = modified > SET_BY_BUILDS && modified <= now;
        let Self { etag, last_modified, .. } = self;
        is_told.then_some(Validators { etag, modified, last_modified })
    }
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
pub(super) mod tests {
    use super::*;

    /// A file that was last changed when it was written.
    pub(in crate::service::http::files) const fn stamp(len: u64, time: (i64, u32)) -> Stamp {
        Stamp { len, modified: time, changed: time, inode: 7 }
    }

    #[test]
    fn a_type_is_one_of_a_pattern() {
        assert!(is_kind("image/png", "image/*") && is_kind("a/b", "*"));
        assert!(is_kind("text/html; charset=utf-8", "text/html"));
        assert!(!is_kind("image/png", "image/p") && !is_kind("a", "image/*"));
    }

    #[test]
    fn a_changed_file_has_another_tag() {
        let stamp = stamp(10, (1_795_443_505, 1));
        let one = FileInfo::new(stamp);
        assert_eq!(one.last_modified, "Mon, 23 Nov 2026 14:18:25 GMT");
        let others = [
            Stamp { len: 11, ..stamp },
            Stamp { modified: (1_795_443_505, 2), ..stamp },
            Stamp { modified: (1_795_443_506, 1), ..stamp },
            Stamp { changed: (1_795_443_506, 1), ..stamp },
            Stamp { changed: (1_795_443_505, 2), ..stamp },
            Stamp { inode: 8, ..stamp },
        ];
        for other in others {
            assert_ne!(FileInfo::new(other).etag, one.etag, "{other:?}");
        }
        assert_eq!(FileInfo::new(stamp), one, "for all workers, and after a restart");
    }

    #[test]
    fn a_time_that_says_nothing_makes_no_validators() {
        let now = 1_795_443_505;
        for (modified, is_told) in [
            (i64::MIN, false),
            (-5, false),
            (0, false),
            (1, false),
            (2, true),
            (315_532_800, true),
            (1_795_443_505, true),
            (1_795_443_506, false),
            (i64::MAX, false),
        ] {
            let file = FileInfo::new(stamp(1, (modified, 999)));
            assert_eq!(file.validators(now).is_some(), is_told, "{modified}");
        }
        let late = FileInfo::new(stamp(1, (i64::MAX, 0)));
        let told = late.validators(u64::MAX).unwrap();
        assert_eq!(told.last_modified, "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
