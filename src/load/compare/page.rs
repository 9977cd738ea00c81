//! A comparison as one page, with the curves of all sides laid over each other.

use super::text::{cells, notes};
use super::{Comparison, Side, Verdict};
use crate::load::histogram::LatencyHistogram;
use crate::load::report::format;
use crate::load::report::html::{NUMBERS, cut, keys};
use crate::load::report::page_charts::curve_of;
use crate::load::report::style::Page;
use crate::load::report::svg::{Axis, Chart, POINTS_MAX};
use crate::load::report::text::describe_load;
use crate::load::result::Interval;

const HEIGHT: f64 = 290.0;

/// The page. The sides are those that were compared.
#[must_use]
pub fn render(comparison: &Comparison, sides: &[Side]) -> String {
    let mut page = Page::new("Load compared");
    let names: Vec<String> = sides.iter().map(|side| cut(&side.name)).collect();
    page.element("p", "dim", &format!("{} beside {}", names[1..].join(", "), names[0]));
    for warning in &comparison.warnings {
        page.element("p", "warning", &cut(warning));
    }
    for versus in &comparison.against {
        page.element("h2", "", &format!("{}: {}", cut(&versus.name), versus.summary()));
        for difference in &versus.differences {
            page.element("p", "warning", &format!("Not alike: {}", cut(difference)));
        }
        table(versus, &mut page);
    }
    for note in notes(comparison) {
        page.element("p", "dim", &note);
    }
    page.markup("<div class=\"charts\">\n");
    curves(sides, &names, &mut page);
    over_time(sides, &names, &mut page);
    page.markup("</div>\n");
    runs(sides, &mut page);
    page.end(&format!(
        "{} resamples of each side, seed {}.",
        format::count(comparison.resamples.into()),
        comparison.seed
    ))
}

fn table(versus: &super::Versus, page: &mut Page) {
    let head = ["", "verdict", "base", "other", "ratio", "95 % interval", "detectable"];
    let rows: Vec<Vec<String>> = versus
        .rows
        .iter()
        .map(|row| {
            let [name, base, other, ratio, interval, detectable, verdict] = cells(row);
            let mark = match row.verdict {
                Verdict::Better => "\u{25b2} ",
                Verdict::Worse => "\u{25bc} ",
                Verdict::NotShown | Verdict::Unknown => "",
            };
            vec![name, format!("{mark}{verdict}"), base, other, ratio, interval, detectable]
        })
        .collect();
    page.table("lined", &head, &rows, 2);
}

fn curves(sides: &[Side], names: &[String], page: &mut Page) {
    let merged: Vec<LatencyHistogram> = sides.iter().map(merged).collect();
    let count = merged.iter().map(LatencyHistogram::count).max().unwrap_or(0);
    let max = merged.iter().map(|one| one.quantile_us(1.0)).fold(0.0, f64::max);
    let min = merged.iter().map(|one| one.quantile_us(0.5)).fold(max, f64::min);
    let x = Axis::percentiles(count);
    let mut chart = Chart::new("Latency by percentile", x.clone(), Axis::latency(min, max), HEIGHT);
    for (histogram, colour) in merged.iter().zip(NUMBERS.into_iter().cycle()) {
        chart.curve(&format!("s{colour}"), curve_of(histogram, &x));
    }
    let about = "How many requests took at most how long, of all runs of a side.";
    page.figure("Latency by percentile", about, &chart.end(), &keys(names));
}

fn merged(side: &Side) -> LatencyHistogram {
    let mut all = LatencyHistogram::new();
    for run in &side.runs {
        all.add(&run.latency.total.unpack());
    }
    all
}

/// Each run is a thin curve.
fn over_time(sides: &[Side], names: &[String], page: &mut Page) {
    let intervals = || sides.iter().flat_map(|side| &side.runs).flat_map(|run| &run.intervals);
    let end = intervals().map(Interval::end).fold(0.0, f64::max);
    let known = || intervals().map(|one| one.histogram.summary()).filter(|one| !one.is_empty());
    let (Some(max), Some(min)) =
        (known().map(|one| one.p99).reduce(f64::max), known().map(|one| one.p99).reduce(f64::min))
    else {
        return;
    };
    let p99 = |interval: &Interval| {
        let summary = interval.histogram.summary();
        (!summary.is_empty()).then_some(summary.p99)
    };
    let axis = (Axis::time(end), Axis::latency(min, max));
    let svg = series("p99 over time", axis, sides, p99);
    page.figure("p99 over time", "A thin curve for each run.", &svg, &keys(names));
    let max = intervals().map(Interval::rate).fold(0.0, f64::max);
    let axis = (Axis::time(end), Axis::linear(max * 1.08, format::compact));
    let svg = series("Throughput over time", axis, sides, |interval| Some(interval.rate()));
    page.figure("Throughput over time", "Answers in a second.", &svg, &keys(names));
}

fn series(
    title: &str,
    (x, y): (Axis, Axis),
    sides: &[Side],
    value: impl Fn(&Interval) -> Option<f64>,
) -> String {
    let mut chart = Chart::new(title, x, y, HEIGHT);
    for (side, colour) in sides.iter().zip(NUMBERS.into_iter().cycle()) {
        for run in &side.runs {
            let step = run.intervals.len().div_ceil(POINTS_MAX).max(1);
            let points = run.intervals.iter().step_by(step);
            let points = points.map(|one| Some((f64::midpoint(one.start, one.end()), value(one)?)));
            chart.curve(&format!("s{colour} thin"), points);
        }
    }
    chart.end()
}

fn runs(sides: &[Side], page: &mut Page) {
    page.element("h2", "", "Runs");
    let rows = sides.iter().flat_map(|side| {
        side.runs.iter().map(|run| {
            let target = run.targets.first().map(|target| cut(&target.url)).unwrap_or_default();
            let load = format!("{}, {}", cut(&run.protocol), describe_load(&run.load));
            vec![cut(&side.name), target, load, cut(&run.environment.kernel), cut(&run.began)]
        })
    });
    let rows: Vec<Vec<String>> = rows.take(200).collect();
    page.table("", &["side", "target", "load", "kernel", "began"], &rows, 5);
}
