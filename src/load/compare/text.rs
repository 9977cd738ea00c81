//! A comparison as text.

use super::{Comparison, Resampled, Row, Versus};
use crate::load::report::format;
use crate::load::statistics::{Measure, Ratio};

/// Characters of a name.
const NAME_MAX: usize = 100;

/// The tables, the verdict of each side in front.
#[must_use]
pub fn render(comparison: &Comparison) -> String {
    let mut text = String::new();
    for warning in &comparison.warnings {
        line(&mut text, &format!("warning: {warning}"));
    }
    for versus in &comparison.against {
        if !text.is_empty() {
            text.push('\n');
        }
        table(&comparison.base, versus, &mut text);
    }
    text.push('\n');
    for note in notes(comparison) {
        line(&mut text, &note);
    }
    text
}

fn table(base: &str, versus: &Versus, text: &mut String) {
    let (base, name) = (format::plain(base, NAME_MAX), format::plain(&versus.name, NAME_MAX));
    line(text, &format!("{name} beside {base}: {}", versus.summary()));
    for difference in &versus.differences {
        line(text, &format!("warning: not alike: {difference}"));
    }
    let head = ["", "base", "other", "ratio", "95 % interval", "detectable", "verdict"];
    line(text, &columns(&head.map(str::to_owned)));
    for row in &versus.rows {
        line(text, &columns(&cells(row)));
    }
}

fn columns(cells: &[String; 7]) -> String {
    let [name, base, other, ratio, interval, detectable, verdict] = cells;
    format!(
        "{name:<20} {base:>10} {other:>10} {ratio:>7} {interval:>16} {detectable:>10}  {verdict}"
    )
}

/// The columns of a row: name, base, other, ratio, interval, detectable effect, verdict.
pub(super) fn cells(row: &Row) -> [String; 7] {
    let value = |value: Option<f64>| match (value, row.measure) {
        (None, _) => "-".to_owned(),
        (Some(rate), Measure::Throughput) => format!("{}/s", format::rate(rate)),
        (Some(us), _) => format::latency(us),
    };
    let of = |show: fn(&Ratio) -> String| row.ratio.as_ref().map_or_else(|| "-".to_owned(), show);
    [
        row.name.clone(),
        value(row.base),
        value(row.other),
        of(|ratio| format!("{:.3}", ratio.ratio)),
        of(|ratio| format!("{:.3} to {:.3}", ratio.low, ratio.high)),
        of(|ratio| format!("{} %", format::short(ratio.detectable * 100.0))),
        row.verdict.word(row.measure).to_owned(),
    ]
}

/// How it is to be read.
pub(super) fn notes(comparison: &Comparison) -> Vec<String> {
    let pieces: Vec<String> = comparison.pieces.iter().map(usize::to_string).collect();
    let pieces = pieces.join(" and ");
    let method = match comparison.resampled {
        Resampled::Runs => format!("Resampled: whole runs ({pieces})."),
        Resampled::Blocks => format!(
            "Resampled: blocks of time ({pieces}). What varies from run to run (memory layout, \
             clock, neighbours) is not in these intervals: give several runs of each side for that."
        ),
    };
    vec![
        method,
        "Each line is wrong by chance in 5 of 100 comparisons of equal servers. Detectable: the \
         change that would be shown in 80 of 100."
            .to_owned(),
    ]
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}
