//! The latency of a server as text.

use std::fmt::Write;

use super::Name;
use super::page::{NOTHING, figures, introduction};
use super::report::ServerLatency;
use super::snapshot::Steps;
use crate::load::report::format;
use crate::load::report::text::COLUMNS;

/// Lines of a table.
const LINES_MAX: usize = 40;
/// Characters of a name.
const NAME_MAX: usize = 60;

/// The text, with a line end.
#[must_use]
pub fn render(report: &ServerLatency) -> String {
    let mut text = format!("{}\n{}\n", format::plain(&report.url, 200), introduction(report));
    if report.series.is_empty() {
        text.push_str(NOTHING);
        text.push('\n');
    }
    table(&mut text, "route", &report.routes());
    table(&mut text, "upstream", &report.upstreams());
    text
}

fn table(text: &mut String, title: &str, series: &[(&Name, &Steps)]) {
    if series.is_empty() {
        return;
    }
    let rows: Vec<(String, [String; 8])> = series
        .iter()
        .take(LINES_MAX)
        .map(|(name, steps)| (format::plain(&name.to_string(), NAME_MAX), figures(steps)))
        .collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(8);
    let head = COLUMNS.map(ToOwned::to_owned);
    text.push('\n');
    for (name, cells) in std::iter::once((title.to_owned(), head)).chain(rows) {
        // Writing to a string does not fail.
        let _infallible = write!(text, "{name:<width$}");
        for cell in cells {
            let _infallible = write!(text, " {cell:>10}");
        }
        text.push('\n');
    }
    if series.len() > LINES_MAX {
        let _infallible = writeln!(text, "and {} more", series.len() - LINES_MAX);
    }
}
