//! Mistakes with their place in the text, rendered the way `rustc` does it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::text::ConfigText;

/// A mistake, at bytes of the text.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) span: Range<usize>,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) help: String,
}

impl Mistake {
    pub(super) fn new(
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (message, help) = (message.into(), help.into());
        Self { span, severity: Severity::Error, message, help }
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The server does not start so.
    Error,
    /// It starts, and likely does not do what is meant.
    Warning,
}

/// One mistake of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The name of its file, as it was given.
    pub file_name: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, in characters, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
    /// The line of the file, without its end.
    pub source_line: String,
    /// How many characters from `column` on are meant, at least one.
    pub length: usize,
}

/// The mistakes of a file, in the order of their places. Its display shows each with its line of
/// the file, and ends with their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    file_name: String,
    /// How many files were read.
    files: usize,
    diagnostics: Vec<Diagnostic>,
    /// Errors, those among them that are not shown.
    errors: usize,
    /// Warnings, likewise.
    warnings: usize,
}

/// So many mistakes of a file are shown. One with more is likely of another program.
const SHOWN_MISTAKES_MAX: usize = 256;

impl Report {
    pub(super) fn new(text: &ConfigText, mut mistakes: Vec<Mistake>) -> Self {
        // What many tables take over is read with each of them.
        let mut seen = HashSet::new();
        mistakes.retain(|mistake| seen.insert((mistake.span.clone(), mistake.message.clone())));
        mistakes.sort_by_key(|mistake| mistake.span.start);
        let lines = Lines::new(text);
        let is_error = |mistake: &&Mistake| mistake.severity == Severity::Error;
        let errors = mistakes.iter().filter(is_error).count();
        let warnings = mistakes.len() - errors;
        let shown = mistakes.into_iter().take(SHOWN_MISTAKES_MAX);
        Self {
            file_name: text.name().to_owned(),
            files: text.files(),
            diagnostics: shown.map(|mistake| lines.locate(mistake)).collect(),
            errors,
            warnings,
        }
    }

    /// The name of the file, as it was given.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// How many errors there are.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are.
    #[must_use]
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// The mistakes by line and column, the first 256 of them.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            render(diagnostic, f)?;
            writeln!(f)?;
        }
        let counted = |count: usize, noun: &str| match count {
            0 => None,
            1 => Some(format!("1 {noun}")),
            more => Some(format!("{more} {noun}s")),
        };
        let counts = [counted(self.errors, "mistake"), counted(self.warnings, "warning")];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        write!(f, "{} in {}", counts.join(" and "), self.file_name)?;
        if self.files > 1 {
            write!(f, " and the files that it includes")?;
        }
        if self.errors + self.warnings > self.diagnostics.len() {
            write!(f, ", of which the first {} are shown", self.diagnostics.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// A text with the places where its lines start.
struct Lines<'t> {
    text: &'t ConfigText,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t ConfigText) -> Self {
        let after_ends = text.text().bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { text, starts: std::iter::once(0).chain(after_ends.map(|(at, _)| at + 1)).collect() }
    }

    fn locate(&self, mistake: Mistake) -> Diagnostic {
        let line = self.starts.partition_point(|start| *start <= mistake.span.start);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index));
        let start = start.copied().unwrap_or_default();
        let rest = self.text.text().get(start..).unwrap_or_default();
        let (file_name, file_start) = self.text.file_at(mistake.span.start);
        let lines_before = self.starts.partition_point(|start| *start < file_start);
        let source = rest.split('\n').next().unwrap_or_default();
        let source = source.strip_suffix('\r').unwrap_or(source);
        let before = chars_before(source, mistake.span.start.saturating_sub(start));
        let within = chars_before(source, mistake.span.end.saturating_sub(start));
        // A byte order mark belongs to the file, and an editor counts no column for it.
        let mark = usize::from(source.starts_with(BYTE_ORDER_MARK));
        Diagnostic {
            file_name: file_name.to_owned(),
            line: line - lines_before,
            column: before.saturating_sub(mark) + 1,
            severity: mistake.severity,
            message: mistake.message,
            help: mistake.help,
            source_line: source.trim_start_matches(BYTE_ORDER_MARK).to_owned(),
            length: within.saturating_sub(before).max(1),
        }
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// How many characters of a line start before a byte of it.
fn chars_before(line: &str, byte: usize) -> usize {
    line.char_indices().take_while(|(at, _)| *at < byte).count()
}

/// So many columns a report has, at most: longer lines are cut around the mistake.
const WIDTH_MAX: usize = 120;

/// Shows a mistake with its line. What would move the cursor of a terminal is shown by signs.
fn render(diagnostic: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Diagnostic { file_name, line, column, source_line, length, .. } = diagnostic;
    let byte = |character: usize| {
        source_line.char_indices().nth(character).map_or(source_line.len(), |(at, _)| at)
    };
    let before = column.saturating_sub(1);
    let place = AnnotationKind::Primary.span(byte(before)..byte(before + length));
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let snippet = Snippet::source(source_line).line_start(*line).path(file_name).annotation(place);
    let title = level.primary_title(&diagnostic.message);
    let report = title.element(snippet).element(Level::HELP.message(&diagnostic.help));
    writeln!(f, "{}", Renderer::plain().term_width(WIDTH_MAX).render(&[report]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str, spans: &[Range<usize>]) -> Report {
        let mistake = |span: &Range<usize>| Mistake::new(span.clone(), "bad", "do better");
        let text = ConfigText::new("f.toml", text);
        Report::new(&text, spans.iter().map(mistake).collect())
    }

    #[test]
    fn a_mistake_is_shown_as_rustc_shows_it() {
        let text = "a = 1\n\tkéy = 2\r\n";
        let expected = "\
error: bad
 --> f.toml:1:5
  |
1 | a = 1
  |     ^
  |
  = help: do better

error: bad
 --> f.toml:2:2
  |
2 |     kéy = 2
  |     ^^^
  |
  = help: do better

2 mistakes in f.toml";
        assert_eq!(report(text, &[7..11, 4..5]).to_string(), expected);
    }

    #[test]
    fn places_are_counted_in_characters_and_never_missed() {
        let table = [
            ("", 0..0, (1, 1, 1)),
            ("", 9..99, (1, 1, 1)),
            ("a\n", 2..2, (2, 1, 1)),
            ("é = 'ß'\n", 5..9, (1, 5, 3)),
            ("a\r\nb", 1..3, (1, 2, 1)),
            ("a = [\n1]", 4..8, (1, 5, 1)),
            ("\u{feff}a", 3..4, (1, 1, 1)),
            ("é", 1..1, (1, 2, 1)),
        ];
        for (text, span, place) in table {
            let report = report(text, std::slice::from_ref(&span));
            let [found] = report.diagnostics() else { panic!("{text:?}: one diagnostic") };
            assert_eq!((found.line, found.column, found.length), place, "{text:?} {span:?}");
            assert!(report.to_string().contains('^'), "{report}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake_and_control_characters_are_hidden() {
        let text = format!("{}X{}\u{1b}[1m", "a".repeat(500), "b".repeat(500));
        let shown = report(&text, &[500..501, 1001..1002]).to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
        let [line, marks] = [3, 4].map(|at| shown.lines().nth(at).expect("a line"));
        assert_eq!(line.chars().position(|c| c == 'X'), marks.chars().position(|c| c == '^'));
        assert!(!shown.contains('\u{1b}'));
    }
}
