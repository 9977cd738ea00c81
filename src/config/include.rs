//! `include`: further files of a configuration. Each is read by itself, and then joined to one
//! text, so that all mistakes of all files are told at once, each with its file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::accept::{self, quoted};
use super::report::{Mistake, Report};
use super::text::ConfigText;

/// What makes a part of a pattern stand for several names.
const WILDCARDS: [char; 3] = ['*', '?', '['];
/// Files within files, at most.
const DEPTH_MAX: usize = 16;
/// Files of a configuration, at most.
const FILES_MAX: usize = 10_000;
/// Bytes of all of them, at most: those of one file.
const BYTES_MAX: usize = super::parse::TEXT_MAX;

/// Joins a file and those that it includes. `folder` is where relative patterns start.
///
/// # Errors
/// What is wrong with an `include`: a file that is not there or cannot be read, a circle, or an
/// included file that begins with keys of no table.
pub fn with_includes(name: &str, text: &str, folder: &Path) -> Result<ConfigText, Report> {
    let Joined { text, mistakes, .. } = Joined::of(name, text, folder);
    let text = text.unwrap_or_else(|| ConfigText::new(name, ""));
    match mistakes.is_empty() {
        true => Ok(text),
        false => Err(Report::new(&text, mistakes)),
    }
}

/// Where a change of what a file includes is seen: the files, and the folders in which patterns
/// look for them. Files with mistakes are among them.
#[must_use]
pub fn included_files(name: &str, text: &str, folder: &Path) -> Vec<PathBuf> {
    let mut watched = Joined::of(name, text, folder).watched;
    watched.sort();
    watched.dedup();
    watched
}

struct Joined<'a> {
    /// The files so far, in one text.
    text: Option<ConfigText>,
    bytes: usize,
    folder: &'a Path,
    /// The canonical paths of the files that are being read, each included by the one before.
    stack: Vec<PathBuf>,
    /// Those of all included files so far.
    seen: HashSet<PathBuf>,
    watched: Vec<PathBuf>,
    mistakes: Vec<Mistake>,
}

impl<'a> Joined<'a> {
    fn of(name: &str, text: &str, folder: &'a Path) -> Self {
        let mut joined = Self {
            text: None,
            bytes: 0,
            folder,
            stack: Vec::new(),
            seen: HashSet::new(),
            watched: Vec::new(),
            mistakes: Vec::new(),
        };
        joined.add(name, text, canonical(Path::new(name)));
        joined
    }

    /// Adds a file, and what it includes.
    fn add(&mut self, name: &str, text: &str, own: PathBuf) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // Most files include nothing, and are parsed only as a part of the joined text. A key may
        // be written with escapes.
        let may_include = text.contains("include") || text.contains('\\');
        let (tree, errors) = DeTable::parse_recoverable(if may_include { text } else { "" });
        let include = tree.get_ref().get_key_value("include");
        let statement = include.map(|(key, value)| key.span().start..value.span().end);
        let text_without = without(text, statement);
        let start = self.push(name, &text_without);
        let is_included = !self.stack.is_empty();
        if is_included && let Some(place) = first_key(&text_without) {
            let message = "an included file has tables only, and this key stands before the first";
            let help = "write it below the header of its table";
            self.mistakes.push(Mistake::new(shifted(place, start), message, help));
        }
        // Mistakes of syntax are reported when the joined text is parsed.
        if !errors.is_empty() {
            return;
        }
        self.stack.push(own);
        if let Some((_, value)) = include {
            for (pattern, span) in self.patterns(value, start) {
                self.include(&pattern, span);
            }
        }
        self.stack.pop();
    }

    fn push(&mut self, name: &str, text: &str) -> usize {
        self.bytes += text.len();
        if let Some(joined) = &mut self.text {
            return joined.push(name, text);
        }
        self.text = Some(ConfigText::new(name, text));
        0
    }

    /// The patterns of an `include`, each with its place in the text.
    fn patterns(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        start: usize,
    ) -> Vec<(String, Range<usize>)> {
        let one = |value: &Spanned<DeValue<'_>>| {
            let place = shifted(value.span(), start);
            value.get_ref().as_str().map(|text| (text.to_owned(), place))
        };
        let found: Option<Vec<_>> = match value.get_ref().as_array() {
            Some(values) => values.iter().map(one).collect(),
            None => one(value).map(|one| vec![one]),
        };
        found.unwrap_or_else(|| {
            let got = accept::kind(value.get_ref());
            self.mistakes.push(Mistake::new(
                shifted(value.span(), start),
                format!("`include`: expected a file, a pattern, or an array of them, got {got}"),
                "write include = [\"conf.d/*.toml\"]",
            ));
            Vec::new()
        })
    }

    /// Adds the files of a pattern, in the order of their names.
    fn include(&mut self, pattern: &str, span: Range<usize>) {
        let wrong = |message: String, help: &str| Mistake::new(span.clone(), message, help);
        let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
        let whole = Path::new(&folder).join(pattern);
        let found = match glob::glob(&whole.to_string_lossy()) {
            Ok(found) => found,
            Err(error) => {
                let message = format!("`include`: {} is no pattern: {error}", quoted(pattern));
                return self.mistakes.push(wrong(message, "a `*` stands for a part of a name"));
            }
        };
        self.watched.push(folder_of(&self.folder.join(pattern)));
        let mut files: Vec<PathBuf> = Vec::new();
        for path in found {
            match path {
                Ok(path) if path.is_dir() => {}
                Ok(path) => files.push(path),
                Err(error) => {
                    let message =
                        format!("`include`: {} cannot be searched: {error}", quoted(pattern));
                    self.mistakes.push(wrong(message, "let the server read the folder"));
                }
            }
        }
        if files.is_empty() && !pattern.contains(WILDCARDS) {
            let message = format!("`include`: there is no file {}", quoted(pattern));
            let help = "relative files are looked for in the folder of the configuration file";
            return self.mistakes.push(wrong(message, help));
        }
        for path in files {
            self.watched
                .extend([Some(&*path), path.parent()].into_iter().flatten().map(Path::to_owned));
            self.include_file(&path, &span);
        }
    }

    fn include_file(&mut self, path: &Path, span: &Range<usize>) {
        let shown = path.display().to_string();
        let mut wrong = |message: String, help: &str| {
            self.mistakes.push(Mistake::new(span.clone(), message, help));
        };
        let own = canonical(path);
        if self.stack.contains(&own) {
            return wrong(
                format!("`include`: {} includes itself, by way of others or not", quoted(&shown)),
                "remove one of the includes",
            );
        }
        if self.seen.contains(&own) {
            return wrong(
                format!("`include`: {} is included a second time", quoted(&shown)),
                "remove one of the includes",
            );
        }
        if self.stack.len() >= DEPTH_MAX || self.seen.len() >= FILES_MAX {
            return wrong(
                format!("`include`: more than {FILES_MAX} files, or {DEPTH_MAX} within each other"),
                "include fewer files",
            );
        }
        match fs::read_to_string(path) {
            Ok(text) if self.bytes + text.len() > BYTES_MAX => wrong(
                format!("`include`: all files have more than {BYTES_MAX} bytes"),
                "are these the right ones?",
            ),
            Ok(text) => {
                self.seen.insert(own.clone());
                self.add(&shown, &text, own);
            }
            Err(error) => wrong(
                format!("`include`: reading {} failed: {error}", quoted(&shown)),
                "let the server read it, or remove the include",
            ),
        }
    }
}

/// The folder below which all files of a pattern are.
fn folder_of(pattern: &Path) -> PathBuf {
    let is_fixed = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(WILDCARDS);
    pattern.parent().unwrap_or(pattern).components().take_while(is_fixed).collect()
}

/// The path without links; one that cannot be resolved is left as it is.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn shifted(span: Range<usize>, start: usize) -> Range<usize> {
    span.start + start..span.end + start
}

/// The text with a part of it blank, so that all places stay.
fn without(text: &str, part: Option<Range<usize>>) -> Cow<'_, str> {
    let Some(part) = part else { return text.into() };
    let (before, rest) = text.split_at(part.start);
    let (blank, behind) = rest.split_at(part.end - part.start);
    let blank: String = blank.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    [before, &blank, behind].concat().into()
}

/// The first line that stands before any table, if it has a key.
fn first_key(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        if content.starts_with('[') {
            return None;
        }
        if !content.is_empty() && !content.starts_with('#') {
            let start = at + (line.len() - line.trim_start().len());
            return Some(start..start + content.len());
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_blank_and_places_stay() {
        assert_eq!(without("abc", None), "abc");
        assert_eq!(without("a = [\n\"é\"\n]\nb", Some(0..12)), "     \n    \n \nb");
    }

    #[test]
    fn patterns_have_a_folder_without_wildcards() {
        for (pattern, folder) in
            [("/a/b/*.toml", "/a/b"), ("/a/*/c.toml", "/a"), ("/a/b.toml", "/a"), ("/*/a", "/")]
        {
            assert_eq!(folder_of(Path::new(pattern)), Path::new(folder), "{pattern}");
        }
    }

    #[test]
    fn a_key_before_tables_is_found() {
        for (text, found) in [
            ("", None),
            ("# a = 1\n\n[runtime]\na = 1\n", None),
            ("\n  a = 1\n[runtime]\n", Some("a = 1")),
            ("[[listener]]\nname = 1", None),
            ("upstream.a = 1", Some("upstream.a = 1")),
        ] {
            let place = first_key(text);
            assert_eq!(place.map(|place| &text[place]), found, "{text}");
        }
    }
}
