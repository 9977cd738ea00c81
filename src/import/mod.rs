//! Configurations of nginx and HAProxy, translated into Ringway's: text in, text and notes out.
//!
//! Each translator reads its text into a tree, and writes what it understands into a
//! `document::Document`, which is written as a person would write it. What it does not
//! understand becomes a note. Access rules are never dropped: where one cannot be translated, the
//! route that it guards answers 403, or its listener is left out, and the note begins with
//! `SECURITY:`.
//!
//! Nothing here reads a file: `include` of nginx goes through a closure. Work and memory are linear
//! in the length of the text, and nesting is bounded, so that hostile text costs nothing more.

use std::error::Error;
use std::fmt;

use self::document::Document;
use self::notes::{Notes, Place};

mod convert;
mod document;
mod haproxy;
mod network;
mod nginx;
mod notes;
mod regex;
mod write;

pub use self::haproxy::haproxy;
pub use self::nginx::nginx;

/// Bytes of all files of one configuration.
const TEXT_MAX: usize = 64 << 20;

/// A translated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The text of a configuration of Ringway.
    pub toml: String,
    /// What was not translated, or means something else now: what concerns security first, then in
    /// the order of the text.
    pub notes: Vec<Note>,
}

/// Something that was not translated as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file that it stands in.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The directive.
    pub what: String,
    /// Why it was not translated, and what to do instead. Begins with `SECURITY:` if the result may
    /// let in, or shut out, other requests than the original.
    pub why: String,
}

impl Note {
    /// Whether it is about who may do what.
    #[must_use]
    pub fn is_security(&self) -> bool {
        self.why.starts_with(SECURITY)
    }
}

/// How notes begin that are about who may do what.
const SECURITY: &str = "SECURITY:";

/// Bounds what combinations of a text may cost: so many steps may still be taken.
struct Work<const MOST: usize>(usize);

impl<const MOST: usize> Default for Work<MOST> {
    fn default() -> Self {
        Self(MOST)
    }
}

impl<const MOST: usize> Work<MOST> {
    /// Takes so many steps. `false`: there are no more.
    fn take(&mut self, steps: usize) -> bool {
        self.0 = self.0.saturating_sub(steps.max(1));
        self.0 > 0
    }
}

/// What became of a file of a program; `listener` is what the program calls a listener.
fn imported(
    (mut document, mut notes): (Document, Notes),
    file: &str,
    (program, listener): (&str, &str),
) -> Imported {
    if document.listeners.is_empty() {
        let at = Place { file: file.into(), line: 1 };
        notes.add(&at, listener, format!("there is no {listener} that could be translated"));
    }
    document.comment =
        format!("Translated from {file} by `ringway import {program}`. Look through the notes.");
    document.condense();
    Imported { toml: write::text(&document), notes: notes.finish() }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.what, self.why)
    }
}

/// A text that its program would not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl Error for SyntaxError {}

/// Reads what an `include` names: the files of a pattern with their texts, in their order. A
/// pattern with `*` may have none; another name that cannot be read is an error.
pub type Include<'a> = dyn Fn(&str) -> Result<Vec<(String, String)>, String> + 'a;
