//! Paths with another prefix, and paths of what a regular expression has found.

use std::borrow::Cow;

use super::PathRegex;
use crate::proto::http::target;
use crate::service::http::template::{Template, Variable, Variables};

/// How the path of a request is changed before it is used.
#[derive(Debug, Clone)]
pub enum Rewrite {
    /// Something stands in the place of the matched prefix.
    Prefix {
        /// The matched prefix.
        prefix: Box<str>,
        /// What takes its place.
        replacement: Box<str>,
    },
    /// It is made of what a regular expression has found in it.
    Captures {
        /// The expression.
        regex: PathRegex,
        /// The path.
        path: Template,
    },
}

/// What the groups of a regular expression find in a path.
struct Captures<'a>(&'a PathRegex, &'a str);

impl Variables for Captures<'_> {
    fn write(&self, _: Variable, _: &mut Vec<u8>) {}

    fn write_capture(&self, group: u8, out: &mut Vec<u8>) {
        self.0.write_capture(self.1, group, out);
    }
}

impl Rewrite {
    /// The path that a request gets. `None`: it would be no path in normal form, as something was
    /// put together to `..`, or an escape was cut apart. Such a request must not be answered by its
    /// old path, nor by one that it made itself: it could lead to where the route does not.
    #[must_use]
    pub fn apply<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        match self {
            Self::Prefix { prefix, replacement } => Some(prefix_rewrite(path, prefix, replacement)),
            Self::Captures { regex, path: template } => {
                let mut written = Vec::new();
                template.write(&Captures(regex, path), &mut written);
                // Two slashes would be taken for another host.
                let slashes = written.iter().take_while(|byte| **byte == b'/').count();
                written.drain(..slashes.saturating_sub(1));
                let is_path = written.starts_with(b"/")
                    && target::normalize(&written).is_ok_and(|normal| *normal == *written);
                String::from_utf8(written).ok().filter(|_| is_path).map(Cow::Owned)
            }
        }
    }
}

/// A path with `replacement` in the place of `prefix`. The result begins with one `/`, has one `/`
/// at the seam besides those that the path has behind the prefix, and ends with `/` where the path
/// does, as that tells folders from files. A path that does not begin with the prefix, as a whole
/// segment, stays as it is; one that lacks only the `/` at the prefix's end begins with it.
///
/// Slashes in a row within the path are kept: only at the very beginning of the result they become
/// one, because `//host/` in a redirect would be another host.
///
/// Nothing is allocated when a prefix is only taken away.
fn prefix_rewrite<'p>(path: &'p str, prefix: &str, replacement: &str) -> Cow<'p, str> {
    let is_bare = prefix.strip_suffix('/') == Some(path) && !path.is_empty();
    let rest = if is_bare { Some("") } else { path.strip_prefix(prefix) };
    let Some(rest) = rest else { return Cow::Borrowed(path) };
    let has_slash = prefix.ends_with('/');
    if !rest.is_empty() && !rest.starts_with('/') && !has_slash {
        return Cow::Borrowed(path);
    }
    let start = replacement.trim_matches('/');
    if start.is_empty() {
        let tail = rest.trim_start_matches('/');
        // The slash before the tail is the path's own.
        let tail_at = path.len() - tail.len();
        let with_slash = tail_at.checked_sub(1).and_then(|at| path.get(at..));
        return match with_slash {
            Some(whole) if whole.starts_with('/') => Cow::Borrowed(whole),
            Some(_) | None => Cow::Owned(format!("/{tail}")),
        };
    }
    let is_folder = replacement.ends_with('/') || path.ends_with('/');
    // A prefix that ends with a slash has taken the one at the seam.
    let seam = if rest.is_empty() && is_folder || !rest.is_empty() && has_slash { "/" } else { "" };
    Cow::Owned(format!("/{start}{seam}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::http::template::Purpose;

    #[test]
    fn a_path_is_made_of_what_was_found() {
        for (regex, template, path, expected) in [
            ("^/a/([0-9]+)/(.*)$", "/b/$2/$1", "/a/7/x/y", Some("/b/x/y/7")),
            ("^/a/(.*)$", "/$1", "/a//evil.example/", Some("/evil.example/")),
            ("^/a/(.*)$", "$1", "/a/x", None),
            ("/u/([a-z]+)", "/user/$1", "/pre/u/bob/post", Some("/user/bob")),
            ("^/(a)?(b)?", "/x$1-$2", "/b", Some("/x-b")),
            ("^/(.*)$", "/v1/$0", "/x", Some("/v1//x")),
            // No path leads out of its folder, or to another host, whatever is put together.
            ("^/a/([.]).*$", "/b/$1./$1./etc/passwd", "/a/.x", None),
            ("^/f/x(.*)$", "/pub/$1", "/f/x../secret", None),
            ("^/f/x(.*)$", "/pub/$1", "/f/x..", None),
            ("^/f/x(.*)$", "/$1", "/f/x.//evil.example/", None),
            ("^/f/x(.*)$", "/pub/$1", "/f/x..a", Some("/pub/..a")),
            // A path with an escape that is cut apart is refused.
            ("^/(.)C3%A9$", "/$1", "/%C3%A9", None),
            ("^/(..)3%A9$", "/$1", "/%C3%A9", None),
            ("^/(.*)$", "/n/$1", "/%C3%A9%2F", Some("/n/%C3%A9%2F")),
        ] {
            let rewrite = Rewrite::Captures {
                regex: PathRegex::new(regex).unwrap(),
                path: Template::parse(template, Purpose::Path).unwrap(),
            };
            assert_eq!(rewrite.apply(path).as_deref(), expected, "{regex} {template} {path}");
        }
    }

    #[test]
    fn a_prefix_is_rewritten_without_a_double_slash() {
        let table = [
            ("/api/x", "/api/", "/", "/x"),
            ("/api/x", "/api", "/", "/x"),
            ("/api/x", "/api", "", "/x"),
            ("/api//x", "/api", "/", "/x"),
            ("/api///evil.example/", "/api/", "/", "/evil.example/"),
            ("//evil.example/x", "/", "/", "/evil.example/x"),
            ("/api/x//y", "/api", "/", "/x//y"),
            ("/api//x", "/api", "/new", "/new//x"),
            ("/api//x", "/api/", "/new", "/new//x"),
            ("/api//x//", "/api/", "/new/", "/new//x//"),
            ("/api//", "/api", "/new", "/new//"),
            ("/api//", "/api/", "/new", "/new//"),
            ("//evil.example/x", "/", "/new", "/new//evil.example/x"),
            ("/api", "/api/", "/", "/"),
            ("/api", "/api/", "/new/", "/new/"),
            ("/api", "/api/", "/new", "/new"),
            ("/api", "/api", "/", "/"),
            ("/api/", "/api/", "/", "/"),
            ("/api/", "/api", "/", "/"),
            ("/", "/", "/", "/"),
            ("/x/y", "/", "/", "/x/y"),
            ("/x/y", "/", "/new", "/new/x/y"),
            ("/", "/", "/new/", "/new/"),
            ("/api/x", "/api", "/new", "/new/x"),
            ("/api/x", "/api/", "/new", "/new/x"),
            ("/api/x", "/api", "/new/", "/new/x"),
            ("/api/x", "/api/", "/new/", "/new/x"),
            ("/api/x", "/api", "new", "/new/x"),
            ("/api/x", "/api", "//new//", "/new/x"),
            ("/api/x", "/api", "/a/b", "/a/b/x"),
            ("/api", "/api", "/new", "/new"),
            ("/api", "/api", "/new/", "/new/"),
            ("/api/", "/api/", "/new/", "/new/"),
            ("/api/", "/api", "/new", "/new/"),
            ("/api/x/", "/api", "/new", "/new/x/"),
            ("/other", "/api", "/", "/other"),
            ("/apix", "/api", "/new", "/apix"),
            ("*", "/", "/new", "*"),
            ("/%C3%A9/x", "/%C3%A9", "/\u{e9}", "/\u{e9}/x"),
            ("x", "", "", "x"),
            ("/x", "", "/a", "/a/x"),
            ("", "", "", "/"),
        ];
        for (path, prefix, replacement, expected) in table {
            assert_eq!(prefix_rewrite(path, prefix, replacement), expected, "{path} {prefix}");
        }
        assert!(matches!(prefix_rewrite("/api/x", "/api/", "/"), Cow::Borrowed("/x")));
    }

    #[test]
    fn whatever_the_texts_the_seam_is_one_slash() {
        let mut state: u64 = 0x5eed;
        for _ in 0..20_000 {
            let mut text = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let bits =
                    (0..state % 6).map(|at| if state >> (8 + at) & 1 == 1 { '/' } else { 'a' });
                bits.collect::<String>()
            };
            let (prefix, tail, replacement) = (format!("/{}", text()), text(), text());
            let path = format!("{prefix}{tail}");
            let rewritten = prefix_rewrite(&path, &prefix, &replacement);
            assert!(rewritten.starts_with('/'), "{path} {prefix} {replacement}: {rewritten}");
            let is_segment = tail.is_empty() || prefix.ends_with('/') || tail.starts_with('/');
            if !is_segment {
                continue;
            }
            let case = format!("{path} {prefix} {replacement}: {rewritten}");
            assert!(!rewritten.starts_with("//"), "{case}");
            let start = replacement.trim_matches('/');
            if !start.is_empty() {
                // What is behind the prefix is there, byte for byte.
                let behind = match tail.strip_prefix('/') {
                    Some(behind) if !prefix.ends_with('/') => behind,
                    Some(_) | None => tail.as_str(),
                };
                let kept = rewritten.strip_prefix(&format!("/{start}")).expect(&case);
                assert_eq!(kept.strip_prefix('/').unwrap_or(kept), behind, "{case}");
            }
        }
    }
}
