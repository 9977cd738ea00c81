//! From the path of a request to the name of a file below the root.

use crate::proto::http::target;

/// Bytes of one segment of a name: what file systems take.
const SEGMENT_MAX: usize = 255;

/// Why a path names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathRefusal {
    /// No file has such a name.
    NotFound,
    /// It has a segment that begins with a dot.
    Dot,
}

/// Writes the name, without a `/` at its beginning, to `name`: empty for the root, with a `/` at
/// its end for what must be a folder. `.well-known` is no dot file (RFC 8615).
///
/// # Errors
/// Why there is no such file.
pub fn file_name(path: &str, dot_files: bool, name: &mut String) -> Result<(), PathRefusal> {
    name.clear();
    let rest = path.strip_prefix('/').ok_or(PathRefusal::NotFound)?;
    let mut decoded = Vec::new();
    let mut segments = rest.split('/').peekable();
    let mut is_first = true;
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let text = if segment.contains('%') {
            decoded.clear();
            target::decode(segment.as_bytes(), &mut decoded).map_err(|_| PathRefusal::NotFound)?;
            std::str::from_utf8(&decoded).map_err(|_| PathRefusal::NotFound)?
        } else {
            segment
        };
        if text.is_empty() && is_last {
            break;
        }
        // An escaped slash would be another file's path; a backslash is one on other systems.
        let is_odd = |c: char| c == '/' || c == '\\' || c.is_control();
        if text.is_empty() || matches!(text, "." | "..") || text.contains(is_odd) {
            return Err(PathRefusal::NotFound);
        }
        if text.len() > SEGMENT_MAX {
            return Err(PathRefusal::NotFound);
        }
        if text.starts_with('.') && !dot_files && !(is_first && text == ".well-known") {
            return Err(PathRefusal::Dot);
        }
        name.push_str(text);
        if !is_last {
            name.push('/');
        }
        is_first = false;
    }
    Ok(())
}

/// Where a client that asked for a folder without the `/` at its end is sent: links within the page
/// are relative to the folder.
#[must_use]
pub fn folder_location(path: &str, query: Option<&str>) -> String {
    // A path that begins with two slashes would be taken for another host.
    let path = path.trim_start_matches('/');
    match query {
        Some(query) => format!("/{path}/?{query}"),
        None => format!("/{path}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_name_of_a_file_below_the_root_or_of_none() {
        let table = [
            ("/", Ok("")),
            ("/a", Ok("a")),
            ("/a/", Ok("a/")),
            ("/a/b.html", Ok("a/b.html")),
            ("/a%20b/%C3%A9", Ok("a b/é")),
            ("/.well-known/x", Ok(".well-known/x")),
            ("/.git/config", Err(PathRefusal::Dot)),
            ("/a/.htaccess", Err(PathRefusal::Dot)),
            ("/a/.well-known", Err(PathRefusal::Dot)),
            ("/%2e%2e/etc", Err(PathRefusal::NotFound)),
            ("/..", Err(PathRefusal::NotFound)),
            ("/a/../b", Err(PathRefusal::NotFound)),
            ("/a//b", Err(PathRefusal::NotFound)),
            ("//etc", Err(PathRefusal::NotFound)),
            ("/a%2Fb", Err(PathRefusal::NotFound)),
            ("/a%5Cb", Err(PathRefusal::NotFound)),
            ("/a%00", Err(PathRefusal::NotFound)),
            ("/a%0A", Err(PathRefusal::NotFound)),
            ("/%FF", Err(PathRefusal::NotFound)),
            ("a", Err(PathRefusal::NotFound)),
            ("*", Err(PathRefusal::NotFound)),
        ];
        let mut name = String::new();
        for (path, expected) in table {
            let found = file_name(path, false, &mut name).map(|()| name.as_str());
            assert_eq!(found, expected, "{path}");
        }
        assert!(file_name("/.git/config", true, &mut name).is_ok());
        let long = format!("/{}", "a".repeat(SEGMENT_MAX + 1));
        assert_eq!(file_name(&long, false, &mut name), Err(PathRefusal::NotFound));
    }

    #[test]
    fn a_folder_s_place_is_never_another_host() {
        assert_eq!(folder_location("/a/b", None), "/a/b/");
        assert_eq!(folder_location("/a", Some("b=c")), "/a/?b=c");
        assert_eq!(folder_location("//evil.example", None), "/evil.example/");
    }
}
