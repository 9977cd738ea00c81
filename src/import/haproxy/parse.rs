//! The text of HAProxy as sections of lines of words.

use std::rc::Rc;

use super::super::notes::Place;
use super::super::{SyntaxError, TEXT_MAX};

/// A line: its words, of which there is one at least.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    pub(super) at: Place,
}

impl Line {
    /// A word, or nothing.
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map(String::as_str).unwrap_or_default()
    }

    /// The words from one on.
    pub(super) fn from(&self, at: usize) -> &[String] {
        self.words.get(at..).unwrap_or_default()
    }

    /// What a note calls it: its first words.
    pub(super) fn shown(&self, count: usize) -> String {
        let words: Vec<&str> = self.words.iter().take(count).map(String::as_str).collect();
        super::super::convert::shown(&words.join(" "))
    }
}

/// A section.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    pub(super) kind: String,
    pub(super) name: String,
    /// Of `frontend NAME from DEFAULTS`.
    pub(super) from: Option<String>,
    pub(super) at: Place,
    pub(super) lines: Vec<Line>,
}

const KINDS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "peers",
    "resolvers",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "crt-store",
    "fcgi-app",
    "traces",
    "acme",
    "log-profile",
];

/// Reads a text.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Section>, SyntaxError> {
    let name: Rc<str> = file.into();
    let error = |line: usize, message: String| SyntaxError { file: file.to_owned(), line, message };
    if text.len() > TEXT_MAX {
        return Err(error(1, "the file is too long".to_owned()));
    }
    let mut sections: Vec<Section> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let words = words(content).map_err(|message| error(line, message))?;
        let at = Place { file: Rc::clone(&name), line };
        let Some(first) = words.first() else { continue };
        if first.starts_with('.') {
            let message = format!("`{first}`: conditions are not read, resolve them first");
            return Err(error(line, message));
        }
        if KINDS.contains(&first.as_str()) {
            let from = words.iter().position(|word| word == "from");
            sections.push(Section {
                kind: first.clone(),
                name: words.get(1).filter(|word| *word != "from").cloned().unwrap_or_default(),
                from: from.and_then(|at| words.get(at + 1)).cloned(),
                at,
                lines: Vec::new(),
            });
            continue;
        }
        match sections.last_mut() {
            Some(section) => section.lines.push(Line { words, at }),
            None => {
                let message = format!("`{}` stands before any section", super::shown(first));
                return Err(error(line, message));
            }
        }
    }
    Ok(sections)
}

/// The words of a line, without quotes and comments.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut is_open = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '#' => break,
            c if c.is_ascii_whitespace() || c == '\u{feff}' => {
                if std::mem::take(&mut is_open) {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            '\\' => match characters.next() {
                Some('n') => word.push('\n'),
                Some('r') => word.push('\r'),
                Some('t') => word.push('\t'),
                Some(c @ (' ' | '#' | '\\' | '"' | '\'')) => word.push(c),
                // A regular expression keeps its backslash.
                Some(c) => word.extend(['\\', c]),
                None => return Err("the line ends with a backslash".to_owned()),
            },
            '\'' => loop {
                match characters.next() {
                    Some('\'') => break,
                    Some(c) => word.push(c),
                    None => return Err("a quote is not closed".to_owned()),
                }
            },
            '"' => loop {
                match characters.next() {
                    Some('"') => break,
                    Some('\\') => match characters.next() {
                        Some(c @ ('"' | '\\' | '$')) => word.push(c),
                        Some(c) => word.extend(['\\', c]),
                        None => return Err("a quote is not closed".to_owned()),
                    },
                    Some(c) => word.push(c),
                    None => return Err("a quote is not closed".to_owned()),
                }
            },
            c => word.push(c),
        }
        is_open = true;
    }
    if is_open {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_words() {
        let table = [
            ("", Ok("")),
            ("  a  b\t#c", Ok("a|b")),
            (r"a\ b \#c", Ok("a b|#c")),
            (r#"a "b \" c" 'd "' "#, Ok(r#"a|b " c|d ""#)),
            (r"path_reg ^/\d+$", Ok(r"path_reg|^/\d+$")),
            ("a \"\" b", Ok("a||b")),
            ("a \"b", Err("a quote is not closed")),
            ("a\\", Err("the line ends with a backslash")),
        ];
        for (line, expected) in table {
            let found = words(line).map(|words| words.join("|"));
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{line}");
        }
    }

    #[test]
    fn sections_have_names_and_lines() {
        let text = "global\n  daemon\n\nfrontend web from base\n  bind :80\n";
        let sections = parse("t", text).expect("sections");
        let shown: Vec<_> =
            sections.iter().map(|s| (s.kind.as_str(), s.name.as_str(), s.lines.len())).collect();
        assert_eq!(shown, [("global", "", 1), ("frontend", "web", 1)]);
        assert_eq!(sections[1].from.as_deref(), Some("base"));
        for (text, message) in [
            ("bind :80", "t:1: `bind` stands before any section"),
            ("global\n.if x", "t:2: `.if`: conditions are not read, resolve them first"),
        ] {
            assert_eq!(parse("t", text).map_err(|e| e.to_string()), Err(message.to_owned()));
        }
    }
}
