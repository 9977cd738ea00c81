//! A result as text, for a terminal.

use std::fmt::Write;

use super::format;
use crate::load::histogram::Summary;
use crate::load::result::{Load, RunResult, Search, ServerCost};
use crate::load::warnings::warnings;

/// Characters of a string that the server or a file may have chosen.
const STRING_MAX: usize = 200;
/// Lines of targets, errors, statuses, steps.
const LINES_MAX: usize = 20;
/// The columns of [`cells`].
pub(crate) const COLUMNS: [&str; 8] =
    ["count", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// The final table. Warnings come first.
#[must_use]
pub fn render(result: &RunResult) -> String {
    let mut text = String::new();
    for warning in warnings(result) {
        line(&mut text, &format!("warning: {warning}"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    introduction(result, &mut text);
    latencies(result, &mut text);
    counts(result, &mut text);
    if let Some(server) = &result.server {
        server_cost(server, result, &mut text);
    }
    findings(result, &mut text);
    text
}

/// What the load was, in a few words: `constant rate of 20,000/s, 64 connections, 2 threads`.
#[must_use]
pub fn describe_load(load: &Load) -> String {
    let mut text = match (load.rate, load.ramp) {
        (_, Some(ramp)) => format!(
            "ramp from {}/s to {}/s in {}",
            format::rate(ramp.from),
            format::rate(ramp.to),
            format::seconds(ramp.seconds)
        ),
        (Some(rate), None) => format!("{} at {}/s", load.mode.name(), format::rate(rate)),
        (None, None) => load.mode.name().to_owned(),
    };
    let mut add = |part: String| {
        text.push_str(", ");
        text.push_str(&part);
    };
    add(counted(load.connections, "connection"));
    if load.streams > 1 {
        add(format!("{} requests at a time on each", load.streams));
    }
    if !load.keepalive {
        add("a connection for each request".to_owned());
    }
    if let Some(think) = load.think_time {
        add(format!("think time {}", format::latency(think * 1e6)));
    }
    add(counted(load.threads, "thread"));
    text
}

fn counted(count: u32, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", format::count(count.into()))
}

fn introduction(result: &RunResult, text: &mut String) {
    let has_weights = result.targets.len() > 1;
    for target in result.targets.iter().take(LINES_MAX) {
        let url = format::plain(&target.url, STRING_MAX);
        let weight = if has_weights {
            format!("  (weight {})", format::short(target.weight))
        } else {
            String::new()
        };
        line(text, &format!("{url}{weight}"));
    }
    more(text, result.targets.len());
    let protocol = format::plain(&result.protocol, STRING_MAX);
    let warm_up = if result.warm_up > 0.0 {
        format!(" after {} of warm-up", format::seconds(result.warm_up))
    } else {
        String::new()
    };
    let seconds = format::seconds(result.seconds);
    line(text, &format!("{protocol}, {}, {seconds}{warm_up}", describe_load(&result.load)));
    text.push('\n');
}

fn latencies(result: &RunResult, text: &mut String) {
    let mut head = format!("{:<11}", "latency");
    for column in COLUMNS {
        // Writing to a string does not fail.
        let _infallible = write!(head, " {column:>10}");
    }
    line(text, &head);
    for (name, packed) in result.latency.named() {
        let mut row = format!("{name:<11}");
        for cell in cells(packed.summary()) {
            let _infallible = write!(row, " {cell:>10}");
        }
        line(text, &row);
    }
    text.push('\n');
}

/// The figures of a histogram, in the order of [`COLUMNS`].
pub(crate) fn cells(summary: &Summary) -> [String; 8] {
    let values = [
        summary.mean,
        summary.p50,
        summary.p90,
        summary.p99,
        summary.p99_9,
        summary.p99_99,
        summary.max,
    ];
    let [mean, p50, p90, p99, p99_9, p99_99, max] =
        values.map(|us| if summary.is_empty() { "-".to_owned() } else { format::latency(us) });
    [format::count(summary.count), mean, p50, p90, p99, p99_9, p99_99, max]
}

fn counts(result: &RunResult, text: &mut String) {
    let counts = &result.counts;
    let mut requests = format!(
        "{}/s; {} due, {} sent, {} answered",
        format::rate(result.rate()),
        format::count(counts.due),
        format::count(counts.sent),
        format::count(counts.completed),
    );
    for (count, what) in [(counts.unfinished, "unfinished"), (counts.late, "never sent")] {
        if count > 0 {
            let _infallible = write!(requests, ", {} {what}", format::count(count));
        }
    }
    row(text, "requests", &requests);
    let received = super::super::result::per_second(counts.bytes_received, result.seconds);
    row(
        text,
        "bytes",
        &format!(
            "{} sent, {} received ({}/s)",
            format::bytes(counts.bytes_sent),
            format::bytes(counts.bytes_received),
            format::bytes(whole(received)),
        ),
    );
    row(text, "connections", &format!("{} opened", format::count(counts.connects)));
    let statuses = result.statuses.iter().take(LINES_MAX);
    let statuses = statuses
        .map(|(status, count)| format!("{} {}", format::plain(status, 40), format::count(*count)));
    let statuses = statuses.collect::<Vec<_>>().join(", ");
    if !statuses.is_empty() {
        row(text, "statuses", &statuses);
        more(text, result.statuses.len());
    }
    errors(result, text);
    let cpu = match result.counts.completed {
        0 => String::new(),
        completed => format!(
            " ({} for each answer)",
            format::latency(result.generator_cpu * 1e6 / crate::load::result::real(completed))
        ),
    };
    row(text, "generator", &format!("{} of CPU{cpu}", format::seconds(result.generator_cpu)));
    agents(result, text);
}

fn agents(result: &RunResult, text: &mut String) {
    let shown = result.agents.iter().take(LINES_MAX).map(|agent| {
        let address = format::plain(&agent.address, STRING_MAX);
        let (cpu, trip) =
            (format::seconds(agent.cpu_seconds), format::latency(agent.round_trip_us));
        format!("{address} ({} threads, {cpu} of CPU, {trip} away)", agent.threads)
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    if !shown.is_empty() {
        row(text, "agents", &shown);
        more(text, result.agents.len());
    }
}

fn errors(result: &RunResult, text: &mut String) {
    let count = result.error_count();
    let share = format::percent(result.error_share());
    let shown =
        if count == 0 { "none".to_owned() } else { format!("{} ({share})", format::count(count)) };
    row(text, "errors", &shown);
    for kind in result.errors.iter().take(LINES_MAX) {
        let name = format::plain(&kind.kind, 40);
        let example = format::plain(&kind.example, STRING_MAX);
        line(text, &format!("  {name:<10} {:>9}  {example}", format::count(kind.count)));
    }
    more(text, result.errors.len());
}

fn server_cost(server: &ServerCost, result: &RunResult, text: &mut String) {
    let mut parts = Vec::new();
    if let Some(cpu) = server.cpu_seconds {
        parts.push(format!("{} of CPU", format::seconds(cpu)));
    }
    if let Some(cpu) = result.server_cpu_us() {
        parts.push(format!("{} for each request", format::latency(cpu)));
    }
    if let Some(rss) = server.rss_bytes {
        parts.push(format!("{} resident", format::bytes(rss)));
    }
    if let Some(requests) = server.requests {
        parts.push(format!("{} requests by its own count", format::count(requests)));
    }
    let source = format::plain(&server.source, STRING_MAX);
    let known = if parts.is_empty() { "nothing known".to_owned() } else { parts.join(", ") };
    row(text, "server", &format!("{known} ({source})"));
}

fn findings(result: &RunResult, text: &mut String) {
    if let Some(knee) = &result.knee {
        let (rate, at) = (format::rate(knee.rate), format::seconds(knee.at));
        let why = format::plain(&knee.why, STRING_MAX);
        row(text, "knee", &format!("{rate}/s, after {at}: {why}"));
    }
    if let Some(found) = &result.search {
        search(found, text);
    }
    for check in &result.verdict {
        let passed = if check.passed() { "pass" } else { "FAIL" };
        let value =
            check.value.map_or_else(|| "not measured".to_owned(), |value| check.unit.show(value));
        let what = match check.purpose {
            crate::load::slo::Purpose::Slo => "slo",
            crate::load::slo::Purpose::FailIf => "fail if",
        };
        let expression = format::plain(&check.expression, STRING_MAX);
        row(text, what, &format!("{passed}  {expression}  ({value})"));
    }
    for note in result.notes.iter().take(LINES_MAX) {
        row(text, "note", &format::plain(note, 4 * STRING_MAX));
    }
    more(text, result.notes.len());
}

fn search(found: &Search, text: &mut String) {
    let rate = found.rate.map_or_else(
        || "held at no rate".to_owned(),
        |rate| format!("held up to {}/s", format::rate(rate)),
    );
    row(text, "search", &format!("{} {rate}", format::plain(&found.slo, STRING_MAX)));
    for step in found.steps.iter().take(LINES_MAX) {
        let held = if step.holds { "holds" } else { "fails" };
        let values = step.checks.iter().filter_map(|check| {
            Some(format!(
                "{} ({})",
                format::plain(&check.expression, 80),
                check.unit.show(check.value?)
            ))
        });
        let values = values.collect::<Vec<_>>().join(", ");
        line(text, &format!("  {:>10}/s  {held}  {values}", format::rate(step.rate)));
    }
    more(text, found.steps.len());
}

fn row(text: &mut String, name: &str, value: &str) {
    line(text, &format!("{name:<11} {value}"));
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Says that some lines are left out.
fn more(text: &mut String, length: usize) {
    if length > LINES_MAX {
        line(text, &format!("  and {} more", length - LINES_MAX));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;
    use crate::load::result::{ErrorKind, Step};
    use crate::load::slo::{Purpose, evaluate, parse};

    #[test]
    fn the_table_of_a_sound_run() {
        let mut result = Example::constant(1_000.0).seconds(10).build();
        result.intervals.clear();
        let text = render(&result);
        let expected = "\
http://127.0.0.1:8080/
HTTP/1.1, constant rate at 1,000/s, 64 connections, 2 threads, 10 s after 2 s of warm-up

latency          count       mean        p50        p90        p99      p99.9     p99.99        max
total           10,000     ";
        assert!(text.starts_with(expected), "{text}");
        let rest = &text[text.find("requests ").unwrap()..];
        let expected = "\
requests    1,000/s; 10,000 due, 10,000 sent, 10,000 answered
bytes       900 kB sent, 1.80 MB received (180 kB/s)
connections 64 opened
statuses    200 10,000
errors      none
generator   4 s of CPU (400 us for each answer)
server      0.15 s of CPU, 15.3 us for each request, 12.3 MB resident (process 4711)
slo         pass  p99<50ms  (";
        assert!(rest.starts_with(expected), "{rest}");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }

    #[test]
    fn warnings_come_first() {
        let text = render(&Example::closed().seconds(8).build());
        let first =
            "warning: closed loop: coordinated omission is not corrected; see corrected\n\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("\ncorrected  "), "{text}");
    }

    #[test]
    fn strings_of_servers_do_not_reach_the_terminal() {
        let mut result = Example::ramp(1_000.0, 50_000.0).seconds(8).errors().build();
        let bad = "\x1b]0;x\x07\n\u{202e}";
        result.targets[0].url = bad.to_owned();
        result.protocol = bad.to_owned();
        result.notes = vec![bad.to_owned(); 30];
        result.statuses.insert(bad.to_owned(), 1);
        result.errors =
            vec![ErrorKind { kind: bad.into(), count: 5, example: bad.repeat(500) }; 25];
        let checks = evaluate(&parse("p99<1us").unwrap(), Purpose::Slo, &result);
        let steps = vec![Step { rate: 5.0, checks, holds: false }; 3];
        result.search = Some(Search { slo: bad.to_owned(), rate: None, steps });
        let text = render(&result);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        assert!(text.contains("and 5 more") && text.contains("and 10 more"), "{text}");
        assert!(text.contains("knee        40,000/s, after 6.37 s: p99 doubled"), "{text}");
        assert!(
            text.contains("held at no rate") && text.contains("5/s  fails  p99<1us ("),
            "{text}"
        );
    }
}
