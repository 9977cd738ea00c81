//! The latency of a server as one page that needs nothing else.

use super::Name;
use super::report::ServerLatency;
use super::snapshot::Steps;
use crate::load::report::format;
use crate::load::report::html::{NUMBERS, cut, keys};
use crate::load::report::page_charts::{curve_of, over_time};
use crate::load::report::style::Page;
use crate::load::report::svg::{Axis, Chart};
use crate::load::report::text::{COLUMNS, cells};

/// Rows of a table.
const ROWS_MAX: usize = 200;
/// Curves of a chart.
const CURVES_MAX: usize = NUMBERS.len();
/// Upstreams with a chart of their own.
const UPSTREAMS_MAX: usize = 6;
/// The height of a chart in its units.
const HEIGHT: f64 = 290.0;

/// The page.
#[must_use]
pub fn render(report: &ServerLatency) -> String {
    let mut page = Page::new(&format!("Latency of {}", cut(&report.url)));
    page.element("p", "", &introduction(report));
    if report.series.is_empty() {
        page.element("p", "warning", NOTHING);
        return page.end(&footer(report));
    }
    tiles(report, &mut page);
    page.markup("<div class=\"charts\">\n");
    let routes = report.routes();
    curves(&mut page, "Routes", "How many requests took at most how long.", &routes);
    if !report.intervals.is_empty() {
        over_time(&report.intervals, None, &mut page);
    }
    let upstreams = report.upstreams();
    let groups = upstreams.chunk_by(|(one, _), (other, _)| upstream(one) == upstream(other));
    for phases in groups.take(UPSTREAMS_MAX) {
        let Some((name, _)) = phases.first() else { continue };
        let title = format!("Upstream {}", cut(upstream(name)));
        curves(&mut page, &title, "The phases of exchanges with its servers.", phases);
    }
    page.markup("</div>\n");
    table(&mut page, "Routes", &["listener", "route"], &routes);
    table(&mut page, "Upstreams", &["upstream", "phase"], &upstreams);
    page.element("p", "dim", ABOUT);
    page.end(&footer(report))
}

/// The text for a period without answers.
pub(super) const NOTHING: &str = "No requests completed in this period.";
const ABOUT: &str = "Of a route: from the head of a request to the end of its answer. Of an \
    upstream: queue is the wait for a connection, connect the making of one, first byte the time \
    from the last try to the head of the answer, total that from the head of the request to the \
    end of the answer. Durations are exact to 1 us, beyond 256 us to 0.8 %; each counts as the \
    upper bound of its step.";

/// Since when, and until when.
pub(super) fn introduction(report: &ServerLatency) -> String {
    let (tool, date) = (cut(&report.tool), cut(&report.date));
    let failures = match report.failures {
        0 => String::new(),
        count => format!(" The server could not be read {count} times meanwhile."),
    };
    match report.seconds {
        Some(seconds) => format!("{tool}: {} up to {date}.{failures}", format::seconds(seconds)),
        None => format!("{tool}: since the start of the server, up to {date}."),
    }
}

fn footer(report: &ServerLatency) -> String {
    let tool = concat!("ringway ", env!("CARGO_PKG_VERSION"));
    format!("Written by {tool} report {}.", cut(&report.url))
}

fn upstream(name: &Name) -> &str {
    match name {
        Name::Upstream { upstream, .. } => upstream,
        Name::Route { .. } => "",
    }
}

fn tiles(report: &ServerLatency, page: &mut Page) {
    let all = report.all_routes();
    let summary = all.histogram().summary();
    let latency = |us: f64| if summary.is_empty() { "-".to_owned() } else { format::latency(us) };
    let count = match report.seconds {
        Some(seconds) if seconds > 0.0 => {
            let rate = crate::load::result::per_second(all.count(), seconds);
            (format!("{}/s", format::rate(rate)), "requests of routes")
        }
        _ => (format::count(all.count()), "requests of routes"),
    };
    page.markup("<div class=\"tiles\">\n");
    for (value, name) in [
        count,
        (latency(summary.p50), "p50"),
        (latency(summary.p99), "p99"),
        (latency(summary.p99_9), "p99.9"),
        (latency(summary.max), "max"),
    ] {
        page.markup("<div>");
        page.element("b", "", &value);
        page.element("span", "", name);
        page.markup("</div>\n");
    }
    page.markup("</div>\n");
}

fn curves(page: &mut Page, title: &str, about: &str, series: &[(&Name, &Steps)]) {
    let shown: Vec<_> = series.iter().take(CURVES_MAX).collect();
    let histograms: Vec<_> = shown.iter().map(|(_, steps)| steps.histogram()).collect();
    let most = histograms.iter().map(|one| one.count()).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let summaries = || histograms.iter().map(|one| one.summary());
    let min = summaries().map(|one| one.p50).fold(f64::MAX, f64::min);
    let max = summaries().map(|one| one.max).fold(0.0, f64::max);
    let x = Axis::percentiles(most);
    let mut chart = Chart::new(title, x.clone(), Axis::latency(min, max * 1.5), HEIGHT);
    for (histogram, colour) in histograms.iter().zip(NUMBERS) {
        chart.curve(&format!("s{colour}"), curve_of(histogram, &x));
    }
    let names: Vec<String> = shown.iter().map(|(name, _)| cut(&name.to_string())).collect();
    page.figure(title, about, &chart.end(), &keys(&names));
}

fn table(page: &mut Page, title: &str, columns: &[&str; 2], series: &[(&Name, &Steps)]) {
    if series.is_empty() {
        return;
    }
    page.element("h2", "", title);
    let head: Vec<&str> = columns.iter().chain(&COLUMNS).copied().collect();
    let rows = series.iter().take(ROWS_MAX).map(|(name, steps)| {
        let [first, second] = match name {
            Name::Route { listener, route } => [listener, route],
            Name::Upstream { upstream, phase } => [upstream, phase],
        };
        let mut row = vec![cut(first), cut(second)];
        row.extend(figures(steps));
        row
    });
    page.table("", &head, &rows.collect::<Vec<_>>(), 2);
    if series.len() > ROWS_MAX {
        page.element("p", "dim", &format!("and {} more", series.len() - ROWS_MAX));
    }
}

/// Count, mean and percentiles, as they are shown.
pub(super) fn figures(steps: &Steps) -> [String; 8] {
    let mut summary = steps.histogram().summary();
    summary.mean = steps.mean_us();
    cells(&summary)
}
