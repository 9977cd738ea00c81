//! In what two sides are not alike, but for the server.

use super::Side;
use crate::load::report::format;
use crate::load::report::text::describe_load;
use crate::load::result::RunResult;
use crate::load::warnings::warnings;

/// Characters of a value.
const VALUE_MAX: usize = 100;
/// Lines of warnings about single results.
const WARNINGS_MAX: usize = 20;
/// Lengths of runs within this factor are the same.
const LENGTH_MAX: f64 = 1.5;

/// What differs between the base and another side, each time by the first run that does.
pub(super) fn between(base: &Side, other: &Side) -> Vec<String> {
    let Some(first) = base.runs.first() else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    for run in base.runs.iter().skip(1).chain(&other.runs) {
        for (what, one, two) in differing(first, run) {
            let start = format!("{what}: ");
            if !found.iter().any(|line| line.starts_with(&start)) {
                let (one, two) = (format::plain(&one, VALUE_MAX), format::plain(&two, VALUE_MAX));
                found.push(format!("{start}{one} and {two}"));
            }
        }
    }
    found
}

fn differing(one: &RunResult, two: &RunResult) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    if one.load != two.load {
        found.push(("load", describe_load(&one.load), describe_load(&two.load)));
    }
    let length = one.seconds.max(two.seconds) / one.seconds.min(two.seconds).max(1e-9);
    if length > LENGTH_MAX {
        found.push(("length", format::seconds(one.seconds), format::seconds(two.seconds)));
    }
    let texts = [
        ("protocol", &one.protocol, &two.protocol),
        ("kernel", &one.environment.kernel, &two.environment.kernel),
        ("CPU", &one.environment.cpu, &two.environment.cpu),
        ("driver", &one.environment.driver, &two.environment.driver),
        ("generator", &one.tool, &two.tool),
    ];
    let texts = texts.into_iter().filter(|(_, one, two)| one != two);
    found.extend(texts.map(|(what, one, two)| (what, one.clone(), two.clone())));
    let (one, two) = (one.environment.cpus, two.environment.cpus);
    if one != two {
        found.push(("CPUs", one.to_string(), two.to_string()));
    }
    found
}

/// What is wrong with single results.
pub(super) fn within(sides: &[Side]) -> Vec<String> {
    let mut found = Vec::new();
    for side in sides {
        let name = format::plain(&side.name, VALUE_MAX);
        for run in &side.runs {
            for warning in warnings(run) {
                let line = format!("{name}: {warning}");
                if !found.contains(&line) && found.len() < WARNINGS_MAX {
                    found.push(line);
                }
            }
        }
    }
    found
}
