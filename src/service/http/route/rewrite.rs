//! Paths with another prefix.

use std::borrow::Cow;

/// A path with `replacement` in the place of `prefix`. The result begins with one `/`, has one `/`
/// at the seam besides those that the path has behind the prefix, and ends with `/` where the path
/// does, as that tells folders from files. A path that does not begin with the prefix, as a whole
/// segment, stays as it is; one that lacks only the `/` at the prefix's end begins with it.
///
/// Slashes in a row within the path are kept: only at the very beginning of the result they become
/// one, because `//host/` in a redirect would be another host.
///
/// Nothing is allocated when a prefix is only taken away.
#[must_use]
pub fn prefix_rewrite<'p>(path: &'p str, prefix: &str, replacement: &str) -> Cow<'p, str> {
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
