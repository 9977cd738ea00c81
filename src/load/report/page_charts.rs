//! The charts of a page.

use super::format;
use super::style::{Key, Page};
use super::svg::{Axis, Cell, Chart, Label, POINTS_MAX};
use crate::load::histogram::{LatencyHistogram, Packed};
use crate::load::result::{Interval, Knee, RunResult, per_second};

/// Heights in the units of a chart.
const TALL: f64 = 290.0;
const LOW: f64 = 190.0;
/// Room above the largest value, as a factor.
const HEADROOM: f64 = 1.08;
/// Cells of the heat map.
const COLUMNS: usize = 60;
const ROWS: usize = 36;
/// Steps of darkness.
const LEVELS: usize = 8;
/// Percentiles that have a dot on the curve, with their names.
const DOTS: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// All of them.
pub(super) fn all(result: &RunResult, page: &mut Page) {
    percentile_curve(result, page);
    if result.intervals.is_empty() {
        return;
    }
    over_time(&result.intervals, result.knee.as_ref(), page);
    lateness(result, page);
    errors(result, page);
}

/// Latency and throughput over time.
pub(crate) fn over_time(intervals: &[Interval], knee: Option<&Knee>, page: &mut Page) {
    heat_map(intervals, knee, page);
    throughput(intervals, knee, page);
}

/// The curve of a histogram: (1/(1-p), latency in microseconds).
pub(crate) fn curve_of(histogram: &LatencyHistogram, axis: &Axis) -> Vec<Option<(f64, f64)>> {
    let count = crate::load::result::real(histogram.count());
    let places = (0..=POINTS_MAX).map(|n| axis.at(share(n, POINTS_MAX)));
    // Beyond the last value there is nothing to be known.
    let known = places.filter(|inverse| *inverse <= count);
    known.map(|inverse| Some((inverse, histogram.quantile_us(1.0 - 1.0 / inverse)))).collect()
}

fn share(part: usize, whole: usize) -> f64 {
    let number = |n: usize| u32::try_from(n).map_or(f64::MAX, f64::from);
    number(part) / number(whole.max(1))
}

fn percentile_curve(result: &RunResult, page: &mut Page) {
    let total = result.latency.total.unpack();
    let summary = *result.latency.total.summary();
    let corrected = result.latency.corrected.as_ref().filter(|packed| !packed.is_empty());
    let lateness = Some(&result.latency.lateness).filter(|packed| !packed.is_empty());
    let max = corrected.map_or(summary.max, |packed| packed.summary().max.max(summary.max));
    let min = lateness.map_or(summary.p50, |packed| packed.summary().p50.min(summary.p50));
    let x = Axis::percentiles(summary.count);
    let mut chart =
        Chart::new("Latency by percentile", x.clone(), Axis::latency(min, max * 1.5), TALL);
    let mut legend = vec![Key::solid("total", "0")];
    if let Some(packed) = lateness {
        chart.curve("sd thin dash", curve_of(&packed.unpack(), &x));
        legend.push(Key::dashed("lateness of the generator", "d"));
    }
    if let Some(packed) = corrected {
        chart.curve("s1", curve_of(&packed.unpack(), &x));
        legend.push(Key::solid("corrected", "1"));
    }
    chart.curve("s0", curve_of(&total, &x));
    for (name, quantile) in DOTS {
        let inverse = 1.0 / (1.0 - quantile);
        if inverse <= crate::load::result::real(summary.count) {
            let us = total.quantile_us(quantile);
            let text = format!("{name} {}", format::latency(us));
            // On a phone it would cover the one before.
            let is_minor = name == "p99.99";
            chart.dot("f0", inverse, us, &Label { text, is_minor });
        }
    }
    let about = "How many requests took at most how long.";
    page.figure("Latency by percentile", about, &chart.end(), &legend);
}

/// Intervals of which one column or point is made.
fn groups(intervals: &[Interval], max: usize) -> impl Iterator<Item = &[Interval]> {
    intervals.chunks(intervals.len().div_ceil(max.max(1)).max(1))
}

fn span(group: &[Interval]) -> (f64, f64) {
    let start = group.first().map_or(0.0, |interval| interval.start);
    (start, group.last().map_or(start, Interval::end))
}

fn middle(group: &[Interval]) -> f64 {
    let (start, end) = span(group);
    f64::midpoint(start, end)
}

fn time_axis(intervals: &[Interval]) -> Axis {
    let end = intervals.iter().map(Interval::end).fold(0.0, f64::max);
    Axis::time(end)
}

/// The largest of the summaries of a group.
fn largest(group: &[Interval], value: impl Fn(&Packed) -> f64) -> Option<f64> {
    let known = group.iter().filter(|interval| !interval.histogram.is_empty());
    known.map(|interval| value(&interval.histogram)).reduce(f64::max)
}

fn heat_map(intervals: &[Interval], knee: Option<&Knee>, page: &mut Page) {
    let known = || intervals.iter().map(|interval| interval.histogram.summary());
    let full = || known().filter(|summary| !summary.is_empty());
    let min = full().map(|summary| summary.min).reduce(f64::min).unwrap_or(1.0);
    let max = full().map(|summary| summary.max).reduce(f64::max).unwrap_or(10.0);
    let y = Axis::log_latency(min, max);
    let columns: Vec<((f64, f64), [u64; ROWS])> =
        groups(intervals, COLUMNS).map(|group| (span(group), column(group, &y))).collect();
    let most = columns.iter().flat_map(|(_, rows)| rows).copied().max().unwrap_or(0);
    let mut chart = Chart::new("Latency over time", time_axis(intervals), y.clone(), TALL);
    for level in 1..=LEVELS {
        let mut cells = Vec::new();
        for (time, rows) in &columns {
            let of_level =
                rows.iter().enumerate().filter(|(_, count)| darkness(**count, most) == level);
            let rows =
                of_level.map(|(row, _)| (y.at(share(row, ROWS)), y.at(share(row + 1, ROWS))));
            cells.extend(rows.map(|row| Cell { x: *time, y: row }));
        }
        chart.cells(0.1 + 0.75 * share(level, LEVELS), &cells);
    }
    let line = |value: fn(&Packed) -> f64| {
        let points =
            groups(intervals, COLUMNS).map(|group| Some((middle(group), largest(group, value)?)));
        points.collect::<Vec<_>>()
    };
    chart.curve("st thin", line(|packed| packed.summary().p50));
    chart.curve("s1 thin", line(|packed| packed.summary().p99));
    mark_knee(knee, &mut chart);
    let legend = [
        Key::solid("requests, by strength of colour", "0"),
        Key::solid("p50", "t"),
        Key::solid("p99", "1"),
    ];
    page.figure("Latency over time", "By when requests were answered.", &chart.end(), &legend);
}

/// How many values of a group are in each row.
fn column(group: &[Interval], y: &Axis) -> [u64; ROWS] {
    let mut rows = [0_u64; ROWS];
    for interval in group {
        let histogram = interval.histogram.unpack();
        for step in histogram.inner().iter_recorded() {
            let us = ns_to_us(step.value_iterated_to());
            let place = y.place(us);
            let row = (1..ROWS).take_while(|row| place >= share(*row, ROWS)).count();
            rows[row] = rows[row].saturating_add(step.count_at_value());
        }
    }
    rows
}

#[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds is far below 2^53")]
fn ns_to_us(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

/// From 0 (none) to [`LEVELS`] (the most): logarithmic, so that single slow requests are seen.
fn darkness(count: u64, most: u64) -> usize {
    if count == 0 {
        return 0;
    }
    let log = |count: u64| crate::load::result::real(count).ln_1p();
    let share_of_most = log(count) / log(most);
    1 + (1..LEVELS).take_while(|level| share_of_most > share(*level, LEVELS)).count()
}

fn mark_knee(knee: Option<&Knee>, chart: &mut Chart) {
    if let Some(knee) = knee {
        chart.mark(knee.at, &format!("knee {}/s", format::rate(knee.rate)));
    }
}

fn rate_of(group: &[Interval], count: impl Fn(&Interval) -> u64) -> f64 {
    let sum = group.iter().map(count).fold(0, u64::saturating_add);
    per_second(sum, group.iter().map(|interval| interval.seconds).sum())
}

fn throughput(intervals: &[Interval], knee: Option<&Knee>, page: &mut Page) {
    let wanted: Vec<Option<(f64, f64)>> = groups(intervals, POINTS_MAX)
        .map(|group| Some((middle(group), group.first()?.wanted_rate?)))
        .collect();
    let rates: Vec<Option<(f64, f64)>> = groups(intervals, POINTS_MAX)
        .map(|group| Some((middle(group), rate_of(group, |interval| interval.completed))))
        .collect();
    let max = rates.iter().chain(&wanted).flatten().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let y = Axis::linear(max * HEADROOM, format::compact);
    let mut chart = Chart::new("Throughput over time", time_axis(intervals), y, TALL);
    let mut legend = vec![Key::solid("answers", "0")];
    if wanted.iter().any(Option::is_some) {
        chart.curve("sd dash", wanted);
        legend.push(Key::dashed("wanted rate", "d"));
    }
    chart.curve("s0", rates);
    mark_knee(knee, &mut chart);
    page.figure("Throughput over time", "Answers in a second.", &chart.end(), &legend);
}

fn errors(result: &RunResult, page: &mut Page) {
    if result.error_count() == 0 && result.intervals.iter().all(|interval| interval.errors == 0) {
        return;
    }
    let bars: Vec<(f64, f64, f64)> = groups(&result.intervals, POINTS_MAX)
        .map(|group| (span(group).0, span(group).1, rate_of(group, |interval| interval.errors)))
        .collect();
    let max = bars.iter().map(|(.., rate)| *rate).fold(0.0, f64::max);
    let y = Axis::linear(max * HEADROOM, format::compact);
    let mut chart = Chart::new("Errors over time", time_axis(&result.intervals), y, LOW);
    chart.bars("fb", bars);
    page.figure("Errors over time", "Failures in a second.", &chart.end(), &[]);
}

fn lateness(result: &RunResult, page: &mut Page) {
    let points: Vec<Option<(f64, f64)>> = groups(&result.intervals, POINTS_MAX)
        .map(|group| {
            let late =
                group.iter().filter_map(|interval| interval.lateness_p99_us).reduce(f64::max)?;
            Some((middle(group), late))
        })
        .collect();
    let known = || points.iter().flatten().map(|(_, us)| *us);
    let Some(max) = known().reduce(f64::max) else { return };
    let y = Axis::latency(known().fold(max, f64::min), max);
    let mut chart = Chart::new("Lateness over time", time_axis(&result.intervals), y, TALL);
    chart.curve("s3", points);
    let about = "The generator's own delay, from due to sent. It should be small.";
    page.figure("Lateness over time", about, &chart.end(), &[Key::solid("p99", "3")]);
}
