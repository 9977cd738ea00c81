//! Results read again. A file may be cut short, of another program, or hostile: it has a named
//! fault, and takes neither more memory than its limit nor a panic.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;

use super::result::{RunResult, VERSION};

/// Bytes of a file. One with [`INTERVALS_MAX`] intervals has about 100 MB.
pub const FILE_MAX: u64 = 256 << 20;
/// Intervals of a result.
pub const INTERVALS_MAX: usize = 20_000;
/// Members of any other list of a result.
pub const MEMBERS_MAX: usize = 100_000;
/// Seconds of a run: three years.
const SECONDS_MAX: f64 = 1e8;
/// Any other number of a result.
const NUMBER_MAX: f64 = 1e15;

/// What is wrong with a result.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
    /// It is larger than [`FILE_MAX`].
    #[error(
        "the file is larger than {} MiB: it is no result of `ringway bench --json`",
        FILE_MAX >> 20
    )]
    TooLarge,
    /// There is nothing in it.
    #[error("the file is empty: the run that should have written it has not ended")]
    Empty,
    /// It ends before its end.
    #[error(
        "the file ends in the middle of line {line}: the run was interrupted or the disk was full; \
         make the run again"
    )]
    Truncated {
        /// The line, from 1.
        line: usize,
    },
    /// It is something else.
    #[error("the file is no result of `ringway bench --json`: {0}")]
    NoResult(String),
    /// It is of a newer program.
    #[error(
        "the file has version {found} of the format, and this ringway reads up to {VERSION}: \
         compare with the ringway that wrote it ({tool})"
    )]
    Newer {
        /// The version of the file.
        found: u64,
        /// The program that wrote it.
        tool: String,
    },
    /// A value that no run has.
    #[error("the result is damaged: {0}")]
    Damaged(String),
}

/// [`ReadError`] with the file's name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: ReadError,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    version: Option<u64>,
    tool: Option<String>,
}

/// Reads a file.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_file(path: &Path) -> Result<RunResult, FileError> {
    let read = || -> Result<RunResult, ReadError> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
        parse(&bytes)
    };
    read().map_err(|source| FileError { path: path.to_owned(), source })
}

/// Reads the text of a result.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<RunResult, ReadError> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_MAX) {
        return Err(ReadError::TooLarge);
    }
    if bytes.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| fault(bytes, &error))?;
    let (Some(version), Some(tool)) = (head.version, head.tool) else {
        return Err(ReadError::NoResult("it has no `version` and `tool`".to_owned()));
    };
    if version > u64::from(VERSION) {
        let tool = tool.chars().take(80).collect();
        return Err(ReadError::Newer { found: version, tool });
    }
    let result: RunResult = serde_json::from_slice(bytes).map_err(|error| fault(bytes, &error))?;
    check(&result).map_err(ReadError::Damaged)?;
    Ok(result)
}

fn fault(bytes: &[u8], error: &serde_json::Error) -> ReadError {
    match error.classify() {
        Category::Eof => ReadError::Truncated { line: error.line() },
        // Half a number, such as `2.`, is not called an end.
        Category::Syntax if is_at_end(bytes, error) => ReadError::Truncated { line: error.line() },
        Category::Io | Category::Syntax => ReadError::NoResult(error.to_string()),
        Category::Data => ReadError::NoResult(error.to_string()),
    }
}

fn is_at_end(bytes: &[u8], error: &serde_json::Error) -> bool {
    let starts_as_object = bytes.trim_ascii_start().starts_with(b"{");
    let last = bytes.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    starts_as_object && error.line() == lines && error.column() >= last
}

/// Whether all numbers are such that reports can be drawn of them.
fn check(result: &RunResult) -> Result<(), String> {
    let within = |what: &str, number: f64, max: f64| {
        if (0.0..=max).contains(&number) {
            return Ok(());
        }
        Err(format!("`{what}` is {number}, and must be from 0 to {max}"))
    };
    if result.intervals.len() > INTERVALS_MAX {
        return Err(format!("it has more than {INTERVALS_MAX} intervals"));
    }
    let lists = [
        result.command.len(),
        result.targets.len(),
        result.errors.len(),
        result.statuses.len(),
        result.verdict.len(),
        result.notes.len(),
        result.agents.len(),
        result.server.as_ref().map_or(0, |server| server.samples.len()),
        result.search.as_ref().map_or(0, |search| search.steps.len()),
    ];
    if lists.into_iter().any(|length| length > MEMBERS_MAX) {
        return Err(format!("a list has more than {MEMBERS_MAX} members"));
    }
    within("warm_up", result.warm_up, SECONDS_MAX)?;
    within("seconds", result.seconds, SECONDS_MAX)?;
    within("generator_cpu", result.generator_cpu, NUMBER_MAX)?;
    within("load.rate", result.load.rate.unwrap_or(0.0), NUMBER_MAX)?;
    within("load.think_time", result.load.think_time.unwrap_or(0.0), SECONDS_MAX)?;
    if let Some(ramp) = result.load.ramp {
        within("load.ramp.from", ramp.from, NUMBER_MAX)?;
        within("load.ramp.to", ramp.to, NUMBER_MAX)?;
        within("load.ramp.seconds", ramp.seconds, SECONDS_MAX)?;
    }
    for agent in &result.agents {
        within("agents.cpu_seconds", agent.cpu_seconds, NUMBER_MAX)?;
        within("agents.round_trip_us", agent.round_trip_us, NUMBER_MAX)?;
    }
    for target in &result.targets {
        within("targets.weight", target.weight, NUMBER_MAX)?;
    }
    for interval in &result.intervals {
        within("intervals.start", interval.start, SECONDS_MAX)?;
        within("intervals.seconds", interval.seconds, SECONDS_MAX)?;
        within("intervals.wanted_rate", interval.wanted_rate.unwrap_or(0.0), NUMBER_MAX)?;
        within("intervals.lateness_p99_us", interval.lateness_p99_us.unwrap_or(0.0), NUMBER_MAX)?;
    }
    if !result.intervals.is_sorted_by(|one, next| one.start <= next.start) {
        return Err("its intervals are not in order".to_owned());
    }
    if let Some(knee) = &result.knee {
        within("knee.rate", knee.rate, NUMBER_MAX)?;
        within("knee.at", knee.at, SECONDS_MAX)?;
    }
    check_costs(result, within)
}

fn check_costs(
    result: &RunResult,
    within: impl Fn(&str, f64, f64) -> Result<(), String>,
) -> Result<(), String> {
    if let Some(server) = &result.server {
        within("server.cpu_seconds", server.cpu_seconds.unwrap_or(0.0), NUMBER_MAX)?;
        for (at, cpu) in &server.samples {
            within("server.samples", *at, SECONDS_MAX)?;
            within("server.samples", *cpu, NUMBER_MAX)?;
        }
        if !server.samples.is_sorted_by(|one, next| one.0 <= next.0) {
            return Err("the samples of the server are not in order".to_owned());
        }
    }
    if let Some(search) = &result.search {
        within("search.rate", search.rate.unwrap_or(0.0), NUMBER_MAX)?;
        for step in &search.steps {
            within("search.steps.rate", step.rate, NUMBER_MAX)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::load::example::Example;
    use crate::load::histogram::Packed;
    use crate::load::result::Latencies;

    fn text(result: &RunResult) -> Vec<u8> {
        let mut text = Vec::new();
        result.write(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_written_is_read() {
        for example in [Example::constant(2_000.0), Example::closed(), Example::ramp(100.0, 900.0)]
        {
            let result = example.seconds(10).build();
            assert_eq!(parse(&text(&result)).unwrap(), result);
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_written_as_0() {
        let mut result = Example::constant(100.0).seconds(8).build();
        (result.generator_cpu, result.load.rate) = (f64::NAN, Some(f64::INFINITY));
        let read = parse(&text(&result)).unwrap();
        assert_eq!((read.generator_cpu, read.load.rate), (0.0, None));
    }

    #[test]
    fn truncated_at_any_byte_it_is_said_to_be() {
        let mut result = Example::closed().seconds(8).build();
        // Short, so that there is time for every byte. Histograms have a test of their own.
        result.intervals.truncate(1);
        result.intervals[0].histogram = Packed::default();
        result.latency = Latencies::default();
        let whole = text(&result);
        for at in 0..whole.trim_ascii_end().len() {
            match parse(&whole[..at]) {
                Err(ReadError::Truncated { .. }) => {}
                Err(ReadError::Empty) => assert_eq!(at, 0),
                other => panic!("{at}: {other:?}"),
            }
        }
    }

    #[test]
    fn changed_bytes_never_panic() {
        let mut result = Example::constant(100.0).seconds(8).build();
        result.intervals.truncate(1);
        let whole = text(&result);
        for at in (0..whole.len()).step_by(11) {
            let mut changed = whole.clone();
            changed[at] = b'9';
            let _either = parse(&changed);
        }
    }

    #[test]
    fn other_files_are_told_from_results() {
        let result = Example::constant(100.0).seconds(8).build();
        let good: Value = serde_json::from_slice(&text(&result)).unwrap();
        let with = |at: &str, value: Value| {
            let mut changed = good.clone();
            *changed.pointer_mut(at).unwrap() = value;
            changed.to_string()
        };
        let deep = "[".repeat(100_000);
        let cases = [
            (String::new(), "empty"),
            (" \n".to_owned(), "empty"),
            ("{}".to_owned(), "no `version`"),
            ("[1,2]".to_owned(), "no result"),
            ("requests per second: 5".to_owned(), "no result"),
            (deep, "no result"),
            (with("/version", json!(7)), "version 7"),
            (with("/seconds", json!(-1)), "`seconds` is -1"),
            (with("/seconds", json!(1e300)), "`seconds`"),
            (with("/intervals/0/start", json!(5)), "not in order"),
            (with("/latency/total/hdr", json!("?")), "not base64"),
            (with("/load/mode", json!("fast")), "unknown variant"),
            (with("/server/samples", json!([[2, 1], [1, 1]])), "not in order"),
        ];
        for (text, expected) in cases {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let error = read_file(Path::new("/nowhere/a.json")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/a.json: reading failed: No such file"), "{error}");
    }
}
