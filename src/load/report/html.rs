//! A result as one page that needs nothing else: no script, no file, no network.

use super::style::{Key, Page};
use super::text::{COLUMNS, cells, describe_load};
use super::{format, page_charts as charts};
use crate::load::result::RunResult;
use crate::load::slo::Purpose;
use crate::load::warnings::warnings;

/// Characters of a string that somebody else may have chosen.
const STRING_MAX: usize = 500;
/// Rows of a table.
const ROWS_MAX: usize = 50;

/// The page.
#[must_use]
pub fn render(result: &RunResult) -> String {
    let first = result.targets.first().map_or("nothing", |target| target.url.as_str());
    let mut page = Page::new(&format!("Load on {}", cut(first)));
    introduction(result, &mut page);
    tiles(result, &mut page);
    verdict(result, &mut page);
    page.markup("<div class=\"charts\">\n");
    charts::all(result, &mut page);
    page.markup("</div>\n");
    percentiles(result, &mut page);
    outcomes(result, &mut page);
    search(result, &mut page);
    environment(result, &mut page);
    page.end(&format!("Written by {}.", cut(&result.tool)))
}

/// Text of somebody else, of a bounded length.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(STRING_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

fn introduction(result: &RunResult, page: &mut Page) {
    for target in result.targets.iter().skip(1).take(ROWS_MAX) {
        page.element("p", "", &format!("and {}", cut(&target.url)));
    }
    let text = format!(
        "{}, {}. {} measured from {}, after {} of warm-up.",
        cut(&result.protocol),
        describe_load(&result.load),
        format::seconds(result.seconds),
        cut(&result.began),
        format::seconds(result.warm_up),
    );
    page.element("p", "dim", &text);
    for warning in warnings(result) {
        page.element("p", "warning", &warning);
    }
}

fn tiles(result: &RunResult, page: &mut Page) {
    let summary = result.latency.total.summary();
    let latency = |us: f64| if summary.is_empty() { "-".to_owned() } else { format::latency(us) };
    let mut tiles = vec![
        (format!("{}/s", format::rate(result.rate())), "answers"),
        (latency(summary.p50), "p50"),
        (latency(summary.p99), "p99"),
        (latency(summary.p99_9), "p99.9"),
        (latency(summary.max), "max"),
        (format::percent(result.error_share()), "errors"),
    ];
    if let Some(cpu) = result.server_cpu_us() {
        tiles.push((format::latency(cpu), "server CPU/request"));
    }
    if let Some(knee) = &result.knee {
        tiles.push((format!("{}/s", format::rate(knee.rate)), "knee"));
    }
    page.markup("<div class=\"tiles\">\n");
    for (value, name) in tiles {
        page.markup("<div>");
        let class = if name == "errors" && result.error_count() > 0 { "bad" } else { "" };
        page.element("b", class, &value);
        page.element("span", "", name);
        page.markup("</div>\n");
    }
    page.markup("</div>\n");
}

fn verdict(result: &RunResult, page: &mut Page) {
    if result.verdict.is_empty() {
        return;
    }
    page.element("h2", "", "Checks");
    for check in result.verdict.iter().take(ROWS_MAX) {
        let value =
            check.value.map_or_else(|| "not measured".to_owned(), |value| check.unit.show(value));
        let what = if check.purpose == Purpose::FailIf { "fail if " } else { "" };
        page.markup("<p>");
        let (word, class) = if check.passed() { ("pass", "good") } else { ("FAIL", "bad") };
        page.element("b", class, word);
        page.text(&format!("{what}{} ({value})", cut(&check.expression)));
        page.markup("</p>\n");
    }
}

fn percentiles(result: &RunResult, page: &mut Page) {
    page.element("h2", "", "Percentiles");
    let mut head = vec![""];
    let mut rows: Vec<Vec<String>> = COLUMNS.iter().map(|name| vec![(*name).to_owned()]).collect();
    for (name, packed) in result.latency.named() {
        head.push(name);
        for (row, cell) in rows.iter_mut().zip(cells(packed.summary())) {
            row.push(cell);
        }
    }
    page.table("", &head, &rows, 1);
    let lateness = if result.is_open_loop() {
        "Total is counted from the time at which a request was due. Lateness is the generator's \
         own: from then to when the request was sent."
    } else {
        "Total is counted from the time at which a request was sent. Corrected adds the requests \
         that were not sent while answers were waited for."
    };
    page.element("p", "dim", lateness);
}

fn outcomes(result: &RunResult, page: &mut Page) {
    let counts = &result.counts;
    page.element("h2", "", "Requests and answers");
    let numbers = [
        ("due", format::count(counts.due)),
        ("sent", format::count(counts.sent)),
        ("answered", format::count(counts.completed)),
        ("errors", format::count(result.error_count())),
        ("unfinished at the end", format::count(counts.unfinished)),
        ("due and never sent", format::count(counts.late)),
        ("connections opened", format::count(counts.connects)),
        ("bytes sent", format::bytes(counts.bytes_sent)),
        ("bytes received", format::bytes(counts.bytes_received)),
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, value) in numbers {
        rows.push(vec![name.to_owned(), value]);
    }
    for (status, count) in result.statuses.iter().take(ROWS_MAX) {
        rows.push(vec![format!("status {}", cut(status)), format::count(*count)]);
    }
    page.table("narrow", &[], &rows, 1);
    if result.errors.is_empty() {
        return;
    }
    page.element("h2", "", "Errors");
    let rows = result.errors.iter().take(ROWS_MAX).map(|kind| {
        vec![kind.kind.chars().take(60).collect(), format::count(kind.count), cut(&kind.example)]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    page.table("fit", &["kind", "count", "the first one"], &rows, 3);
}

fn search(result: &RunResult, page: &mut Page) {
    let Some(search) = &result.search else { return };
    page.element("h2", "", &format!("Search: {}", cut(&search.slo)));
    let found = search.rate.map_or_else(
        || "It held at no rate.".to_owned(),
        |rate| format!("It held up to {}/s.", format::rate(rate)),
    );
    page.element("p", "", &found);
    let rows = search.steps.iter().take(ROWS_MAX).map(|step| {
        let values = step.checks.iter().filter_map(|check| Some(check.unit.show(check.value?)));
        let held = if step.holds { "holds" } else { "fails" };
        vec![
            held.to_owned(),
            format!("{}/s", format::rate(step.rate)),
            values.collect::<Vec<_>>().join(", "),
        ]
    });
    page.table("", &["", "rate", "value"], &rows.collect::<Vec<_>>(), 1);
}

fn environment(result: &RunResult, page: &mut Page) {
    page.element("h2", "", "Environment");
    let environment = &result.environment;
    let mut rows = vec![
        ("generator", result.tool.clone()),
        ("kernel", environment.kernel.clone()),
        ("CPU", format!("{} ({} for the generator)", environment.cpu, environment.cpus)),
        ("driver", environment.driver.clone()),
        ("open files", format::count(environment.open_files)),
        ("CPU of the generator", format::seconds(result.generator_cpu)),
    ];
    for agent in result.agents.iter().take(ROWS_MAX) {
        let machine = &agent.environment;
        let text = format!(
            "{}: {}, {} threads, {} of CPU, {} away",
            agent.address,
            machine.kernel,
            agent.threads,
            format::seconds(agent.cpu_seconds),
            format::latency(agent.round_trip_us)
        );
        rows.push(("agent", text));
    }
    if let Some(server) = &result.server {
        rows.push(("server seen by", server.source.clone()));
        let cpu = server.cpu_seconds.map(format::seconds);
        rows.extend(cpu.map(|cpu| ("CPU of the server", cpu)));
        let rss = server.rss_bytes.map(format::bytes);
        rows.extend(rss.map(|rss| ("resident memory of the server", rss)));
        let requests = server.requests.map(format::count);
        rows.extend(requests.map(|count| ("requests by the server's count", count)));
    }
    if let Some(knee) = &result.knee {
        let at = format::seconds(knee.at);
        rows.push(("knee", format!("{}/s after {at}: {}", format::rate(knee.rate), knee.why)));
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), cut(&value)]).collect();
    page.table("fit", &[], &rows, 2);
    page.element("pre", "", &cut(&format::command(&result.command)));
    for note in result.notes.iter().take(ROWS_MAX) {
        page.element("p", "", &cut(note));
    }
}

/// A key of a legend for each of some names, in the colours of curves.
pub(crate) const NUMBERS: [&str; super::style::COLOURS] = ["0", "1", "2", "3", "4", "5"];

/// Keys of curves in the colours that [`NUMBERS`] gives them.
pub(crate) fn keys<'a>(names: &'a [String]) -> Vec<Key<'a>> {
    let numbers = NUMBERS.into_iter().cycle();
    names.iter().zip(numbers).map(|(name, colour)| Key::solid(name, colour)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;
    use crate::load::histogram::Packed;
    use crate::load::report::style::checks::{assert_balanced, assert_self_contained};
    use crate::load::result::{Counts, ErrorKind, Interval, Search};

    #[test]
    fn pages_of_all_kinds_are_whole() {
        let examples = [
            Example::constant(20_000.0).stall(12).errors(),
            Example::closed(),
            Example::ramp(1_000.0, 50_000.0),
        ];
        for example in examples {
            let page = render(&example.seconds(20).build());
            assert_balanced(&page);
            assert_self_contained(&page);
            assert!(page.len() < 300_000, "{}", page.len());
        }
    }

    #[test]
    fn strings_of_others_stay_text() {
        let mut result = Example::constant(1_000.0).seconds(8).errors().build();
        let bad = "</pre><script>alert(1)</script><img src=x onerror=\"a\">'\"&\u{0}";
        result.targets =
            vec![crate::load::result::Target { url: bad.repeat(100), weight: 1.0 }; 200];
        (result.protocol, result.tool, result.began) = (bad.into(), bad.into(), bad.into());
        result.command = vec![bad.to_owned(); 3];
        result.notes = vec![bad.to_owned(); 3];
        result.statuses.insert(bad.to_owned(), 1);
        result.errors = vec![ErrorKind { kind: bad.into(), count: 1, example: bad.into() }; 300];
        result.environment.cpu = bad.to_owned();
        result.verdict[0].expression = bad.to_owned();
        result.search = Some(Search { slo: bad.to_owned(), rate: None, steps: Vec::new() });
        let page = render(&result);
        assert_balanced(&page);
        assert!(!page.contains("<script") && !page.contains("<img"), "{page:.2000}");
        assert!(page.len() < 500_000, "{}", page.len());
    }

    #[test]
    fn odd_numbers_are_drawn() {
        let whole = Example::constant(1_000.0).seconds(8).build();
        let interval = whole.intervals[0].clone();
        let odd = |change: &dyn Fn(&mut Interval)| {
            let mut interval = interval.clone();
            change(&mut interval);
            let mut result = whole.clone();
            result.intervals = vec![interval; 3];
            result
        };
        let mut empty = whole.clone();
        empty.intervals.clear();
        empty.counts = Counts::default();
        empty.latency = crate::load::result::Latencies::default();
        empty.seconds = 0.0;
        empty.targets.clear();
        let results = [
            empty,
            odd(&|interval| (interval.start, interval.seconds) = (1e8, 0.0)),
            odd(&|interval| (interval.seconds, interval.completed) = (1e-300, u64::MAX)),
            odd(&|interval| (interval.seconds, interval.errors) = (1e8, u64::MAX)),
            odd(&|interval| interval.wanted_rate = Some(1e15)),
            odd(&|interval| interval.lateness_p99_us = Some(1e15)),
            odd(&|interval| interval.histogram = Packed::default()),
        ];
        for result in results {
            let page = render(&result);
            assert_balanced(&page);
            assert_self_contained(&page);
        }
    }

    /// Writes pages to the folder that a variable names, to be looked at in a browser.
    #[test]
    fn pages_can_be_looked_at() {
        let Some(folder) = std::env::var_os("RINGWAY_PAGES") else { return };
        let folder = std::path::Path::new(&folder);
        let mut stalled = Example::constant(20_000.0).seconds(60).stall(37).errors().build();
        stalled.notes.push("The server was stopped for 100 ms, once.".to_owned());
        for (name, result) in [
            ("constant.html", stalled),
            ("closed.html", Example::closed().build()),
            ("ramp.html", Example::ramp(1_000.0, 50_000.0).build()),
        ] {
            std::fs::write(folder.join(name), render(&result)).unwrap();
        }
    }
}
