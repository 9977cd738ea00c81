//! The content types of files, by the ends of their names.

use std::collections::HashMap;

/// The type of a file of which nothing is known.
pub const DEFAULT_TYPE: &str = "application/octet-stream";

/// The content types of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentTypes {
    /// By the end of a name, in lower case and without the dot before it.
    own: HashMap<Box<str>, Box<str>>,
    default: Box<str>,
}

impl Default for ContentTypes {
    fn default() -> Self {
        Self::new([], DEFAULT_TYPE)
    }
}

impl ContentTypes {
    /// Types by the ends of names, in lower case; names with other ends have the well-known types,
    /// and `default` where there is none.
    pub fn new<'a>(own: impl IntoIterator<Item = (&'a str, &'a str)>, default: &str) -> Self {
        let own = own.into_iter().map(|(end, kind)| (end.into(), kind.into()));
        Self { own: own.collect(), default: default.into() }
    }

    /// The content type of a file by its name. The well-known texts are in UTF-8, and say so; a
    /// type of one's own is told as it was given.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        if let Some(kind) = self.own_type(name) {
            return kind.to_owned();
        }
        let Some(kind) = mime_guess::from_path(name).first_raw() else {
            return self.default.to_string();
        };
        let is_text = kind.starts_with("text/")
            || matches!(kind, "application/javascript" | "application/json" | "application/xml");
        if is_text { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
    }

    /// The type of the longest end that has one: of `tar.gz` before `gz`.
    fn own_type(&self, name: &str) -> Option<&str> {
        if self.own.is_empty() {
            return None;
        }
        let name = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
        let mut ends = dots.filter_map(|(at, _)| name.get(at + 1..));
        ends.find_map(|end| self.own.get(end)).map(|kind| &**kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_name() {
        let own = [("gz", "a/gz"), ("tar.gz", "a/tar"), ("html", "text/x; charset=iso-8859-1")];
        let own = ContentTypes::new(own, "a/none");
        let table = [
            ("a.html", "text/html; charset=utf-8", "text/x; charset=iso-8859-1"),
            ("a.png", "image/png", "image/png"),
            ("a.json", "application/json; charset=utf-8", "application/json; charset=utf-8"),
            ("a", "application/octet-stream", "a/none"),
            ("a.unknown-kind", "application/octet-stream", "a/none"),
            ("x.tar/b.GZ", "application/gzip", "a/gz"),
            ("a.tar.gz", "application/gzip", "a/tar"),
            (".gz", "application/octet-stream", "a/none"),
            ("a.", "application/octet-stream", "a/none"),
        ];
        for (name, known, kind) in table {
            assert_eq!(ContentTypes::default().of(name), known, "{name}");
            assert_eq!(own.of(name), kind, "{name}");
        }
    }
}
