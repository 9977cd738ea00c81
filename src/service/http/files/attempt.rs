//! Which files are tried for a request, one after the other.

use std::borrow::Cow;
use std::fmt;

use super::listing::escape_link;

/// One of the files that are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The file that the path names, with this text behind the name. A text that begins with `/`
    /// names a file within the folder that the path names.
    Path(Box<str>),
    /// The folder that the path names: its index, or its listing.
    Folder,
    /// Always this file, by its name below the root.
    File(Box<str>),
    /// No file: the answer has this status.
    Status(u16),
}

impl fmt::Display for Attempt {
    /// As an entry of `try_files`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(behind) => write!(f, "$path{behind}"),
            Self::Folder => f.write_str("$path/"),
            Self::File(name) => {
                let mut path = Vec::new();
                for segment in name.split('/') {
                    path.push(b'/');
                    escape_link(segment, &mut path);
                }
                f.write_str(&String::from_utf8_lossy(&path))
            }
            Self::Status(status) => write!(f, "={status}"),
        }
    }
}

impl Attempt {
    /// What is tried where nothing is said.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        vec![Self::Path("".into()), Self::Folder]
    }

    /// The name of the file to be tried, for a path that names `name`: empty for the root, with a
    /// `/` at its end for what must be a folder. `None` when this attempt has none for it.
    #[must_use]
    pub fn file<'a>(&'a self, name: Option<&'a str>) -> Option<Cow<'a, str>> {
        match self {
            Self::Path(behind) => {
                let name = name?;
                if let Some(within) = behind.strip_prefix('/') {
                    let folder = name.trim_end_matches('/');
                    return Some(match folder {
                        "" => Cow::Borrowed(within),
                        _ => Cow::Owned(format!("{folder}{behind}")),
                    });
                }
                // `/file/` is no other name of `/file`.
                let is_folder = name.is_empty() || name.ends_with('/');
                match (is_folder, behind.is_empty()) {
                    (true, _) => None,
                    (false, true) => Some(Cow::Borrowed(name)),
                    (false, false) => Some(Cow::Owned(format!("{name}{behind}"))),
                }
            }
            Self::File(file) => Some(Cow::Borrowed(file)),
            Self::Folder | Self::Status(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_names_its_file() {
        let path = |behind: &str| Attempt::Path(behind.into());
        let table = [
            (path(""), Some("a/b"), Some("a/b")),
            (path(""), Some("a/"), None),
            (path(""), Some(""), None),
            (path(""), None, None),
            (path(".html"), Some("a"), Some("a.html")),
            (path(".html"), Some("a/"), None),
            (path(".html"), Some(""), None),
            (path("/index.html"), Some("a"), Some("a/index.html")),
            (path("/index.html"), Some("a/"), Some("a/index.html")),
            (path("/index.html"), Some(""), Some("index.html")),
            (path("/index.html"), None, None),
            (Attempt::File("app.html".into()), Some("a"), Some("app.html")),
            (Attempt::File("app.html".into()), None, Some("app.html")),
            (Attempt::Folder, Some("a/"), None),
            (Attempt::Status(404), Some("a"), None),
        ];
        for (attempt, name, expected) in table {
            assert_eq!(attempt.file(name).as_deref(), expected, "{attempt:?} {name:?}");
        }
        assert_eq!(Attempt::usual(), [path(""), Attempt::Folder]);
    }
}
