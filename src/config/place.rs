//! Places in a configuration, for what is found out about it after it was read: the way to a key,
//! and where that stands in the text.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::parse::complete;
use super::report::{Mistake, Report, Severity};
use super::text::ConfigText;

/// The way to a key or table of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    /// The table `[name]`.
    #[must_use]
    pub fn table(name: &str) -> Self {
        Self(vec![Step::Key(name.to_owned())])
    }

    /// The listener with this index in [`Config::listeners`](super::Config::listeners).
    #[must_use]
    pub fn listener(index: usize) -> Self {
        Self::table("listener").at(index)
    }

    /// The upstream of this name.
    #[must_use]
    pub fn upstream(name: &str) -> Self {
        Self::table("upstream").key(name)
    }

    /// The topics of this name.
    #[must_use]
    pub fn topics(name: &str) -> Self {
        Self::table("topics").key(name)
    }

    /// A key of this table.
    #[must_use]
    pub fn key(mut self, name: &str) -> Self {
        self.0.push(Step::Key(name.to_owned()));
        self
    }

    /// An element of this array. A single value counts as an array of one element.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }
}

/// What was found out about a configuration that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// Whether the server would not start, or only not do what is likely meant.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// The findings with their places in the text that the configuration was read from. A key that the
/// text does not have is looked for in the tables around it.
#[must_use]
pub fn report(file_name: &str, text: &str, findings: &[Finding]) -> Report {
    report_of(&ConfigText::new(file_name, text), findings)
}

/// [`report`] of a text of several files.
#[must_use]
pub fn report_of(text: &ConfigText, findings: &[Finding]) -> Report {
    if findings.is_empty() {
        return Report::new(text, Vec::new());
    }
    let (tree, _no_mistake) = DeTable::parse_recoverable(text.text());
    let mut tree = tree.into_inner();
    complete(&mut tree, text.text().len(), &mut Vec::new());
    let mistakes = findings.iter().map(|finding| Mistake {
        span: locate(&tree, &finding.place),
        severity: finding.severity,
        message: finding.message.clone(),
        help: finding.help.clone(),
    });
    Report::new(text, mistakes.collect())
}

/// Where a place is, or the closest table around it.
fn locate(root: &DeTable<'_>, place: &Place) -> Range<usize> {
    let mut span = 0..0;
    let mut here: Option<&Spanned<DeValue<'_>>> = None;
    for step in &place.0 {
        match step {
            Step::Key(name) => {
                let table = here.map_or(Some(root), |value| value.get_ref().as_table());
                let found = table.and_then(|table| table.get_key_value(name.as_str()));
                let Some((key, value)) = found else { return span };
                // A table is meant by its name: its span may be all of its lines.
                let has_tables = value.get_ref().is_table() || value.get_ref().is_array();
                span = if has_tables { key.span() } else { value.span() };
                here = Some(value);
            }
            Step::Index(index) => {
                let array = here.and_then(|value| value.get_ref().as_array());
                let Some(array) = array else { continue };
                let Some(value) = array.get(*index) else { return span };
                (span, here) = (value.span(), Some(value));
            }
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_or_the_table_around_them() {
        let text = "[admin]\nlisten = \"x\"\n[[listener]]\na = 1\n[[listener]]\n\
            listen = [\"one\", \"two\"]\n[listener.tls]\ncertificate = \"c\"\n\
            [upstream.u]\nservers = [{ address = \"s\" }]\n";
        let tls = || Place::listener(1).key("tls");
        let table = [
            (Place::table("admin").key("listen"), "\"x\""),
            (Place::listener(1).key("listen").at(1), "\"two\""),
            (Place::listener(1).key("listen").at(9), "listen"),
            (tls().key("certificate").at(0), "\"c\""),
            (tls().key("client_ca"), "tls"),
            (Place::listener(0).key("nothing"), "[[listener]]"),
            (Place::upstream("u"), "u"),
            (Place::upstream("u").key("servers").at(0), "{ address = \"s\" }"),
            (Place::upstream("v"), "upstream"),
            (Place::table("log"), ""),
        ];
        let tree = DeTable::parse(text).unwrap();
        for (place, expected) in table {
            let span = locate(tree.get_ref(), &place);
            assert_eq!(text.get(span), Some(expected), "{place:?}");
        }
    }
}
