//! Paths with another prefix.

use std::borrow::Cow;

/// A path with `replacement` in the place of `prefix`. What comes of it begins with `/` and has
/// one `/`, and no more, at the seam; it ends with `/` where the path does, as that tells folders
/// from files. A path that does not begin with the prefix, as a whole segment, stays as it is.
///
/// Nothing is allocated when a prefix is only taken away.
#[must_use]
pub fn prefix_rewrite<'p>(path: &'p str, prefix: &str, replacement: &str) -> Cow<'p, str> {
    let Some(rest) = path.strip_prefix(prefix) else { return Cow::Borrowed(path) };
    if !rest.is_empty() && !rest.starts_with('/') && !prefix.ends_with('/') {
        return Cow::Borrowed(path);
    }
    let start = replacement.trim_matches('/');
    let tail = rest.trim_start_matches('/');
    if start.is_empty() {
        // The slash before the tail is the path's own.
        let tail_at = path.len() - tail.len();
        let with_slash = tail_at.checked_sub(1).and_then(|at| path.get(at..));
        return match with_slash {
            Some(whole) if whole.starts_with('/') => Cow::Borrowed(whole),
            Some(_) | None => Cow::Owned(format!("/{tail}")),
        };
    }
    let is_folder = replacement.ends_with('/') || path.ends_with('/');
    if tail.is_empty() && !is_folder {
        return Cow::Owned(format!("/{start}"));
    }
    Cow::Owned(format!("/{start}/{tail}"))
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
            if is_segment && replacement.trim_matches('/').is_empty() {
                assert!(!rewritten.starts_with("//"), "{path} {prefix} {replacement}: {rewritten}");
            }
        }
    }
}
