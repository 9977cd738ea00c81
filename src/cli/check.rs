//! `ringway check`: all mistakes of a configuration file at once.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{CheckArgs, EXIT_USAGE, fail, print, running, warn};
use crate::config::{self, Config, ConfigText, Finding, Report, json_schema, reference};
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::server::{Inspection, budget, cpus, explain, inspect, unresolved};

/// The name by which standard input is read.
const STDIN: &str = "-";

/// Whether a path stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// Where relative paths of a file start.
fn folder_of(path: &Path) -> std::io::Result<PathBuf> {
    std::path::absolute(Path::new(".").join(path.parent().unwrap_or_else(|| Path::new(""))))
}

/// A configuration file, and where a change of what it includes is seen. What cannot be read now is
/// told by those who need it.
pub(super) fn watched_files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    if let (Ok(text), Ok(folder)) = (std::fs::read_to_string(path), folder_of(path)) {
        files.extend(config::included_files(&path.display().to_string(), &text, &folder));
    }
    files
}

/// A configuration and the text that it was read from.
pub(super) struct Source {
    pub(super) config: Config,
    text: ConfigText,
}

/// Runs the verb.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    if args.tls.is_given() && args.against_running.is_none() {
        let _told = fail("the switches of TLS are for --against-running");
        return ExitCode::from(EXIT_USAGE);
    }
    let Some(config) = &args.config else {
        let text = if args.reference { reference() } else { json_schema() };
        return print(text.as_bytes());
    };
    let source = match Source::read(config) {
        Ok(source) => source,
        Err(message) => return fail(&message),
    };
    if let Some(request) = &args.explain {
        return explain_request(args, &source.config, request);
    }
    let report = source.whole_report();
    if report.errors() > 0 {
        return fail(&format!("the configuration is wrong\n{report}"));
    }
    if report.warnings() > 0 && args.strict {
        return fail(&format!("with --strict, warnings are errors\n{report}"));
    }
    if report.warnings() > 0 {
        warn(&format!("{report}\n"));
    }
    if let Some(url) = &args.against_running {
        return running::compare(source.text.name(), &source.config, url.as_deref(), &args.tls);
    }
    if args.budget {
        return print_budget(&source.config);
    }
    if args.print {
        return print(source.config.to_toml().as_bytes());
    }
    let (listeners, upstreams) = (source.config.listeners.len(), source.config.upstreams.len());
    let warnings = match report.warnings() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        more => format!(", {more} warnings"),
    };
    let Source { config, text } = source;
    let name = text.name();
    let line = format!("{name}: good ({listeners} listeners, {upstreams} upstreams{warnings})\n");
    // The process ends: to free 100,000 routes one by one would take a good part of its time.
    std::mem::forget((config, text));
    print(line.as_bytes())
}

fn print_budget(config: &Config) -> ExitCode {
    let cpus = cpus().map_or(1, |cpus| cpus.len());
    let budget = budget::budget(config, cpus);
    for warning in budget.warnings(&budget::machine_limits()) {
        warn(&format!("{warning}\n"));
    }
    print(budget.to_string().as_bytes())
}

fn explain_request(args: &CheckArgs, config: &Config, request: &str) -> ExitCode {
    let certificate = match args.client_certificate.as_deref().map(std::fs::read) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(error)) => return fail(&format!("--client-certificate: {error}")),
    };
    match explain(config, request, certificate.as_deref()) {
        Ok(text) => print(text.as_bytes()),
        Err(message) => fail(&message),
    }
}

impl Source {
    /// Reads a configuration file, or standard input for `-`. The error is for a person.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let is_stdin = is_stdin(path);
        let name = if is_stdin { "standard input".into() } else { path.display().to_string() };
        let text = if is_stdin {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.map_err(|error| {
            if error.kind() == std::io::ErrorKind::InvalidData {
                format!("{name} is not UTF-8 text")
            } else {
                format!("reading {name} failed: {error}")
            }
        })?;
        // Of standard input, the folder is that in which the process runs.
        let folder = folder_of(if is_stdin { Path::new("") } else { path })
            .map_err(|error| format!("the folder of {name} cannot be found: {error}"))?;
        let wrong = |report: Report| format!("the configuration is wrong\n{report}");
        let text = config::with_includes(&name, &text, &folder).map_err(wrong)?;
        let variables = |name: &str| std::env::var(name).ok();
        let mut config = config::parse_whole(&text, Some(&variables)).map_err(wrong)?;
        config.resolve_paths(&folder);
        Ok(Self { config, text })
    }

    /// What is found outside of it. This program adds no handlers.
    fn inspect(&self) -> Inspection {
        inspect(&self.config, &HttpHandlers::new(), &WebSocketHandlers::new())
    }

    /// What a start would refuse, and what is likely not meant.
    pub(super) fn report(&self) -> Report {
        self.report_with(self.inspect().findings)
    }

    /// The same, with what a start tells of itself.
    fn whole_report(&self) -> Report {
        let Inspection { mut findings, expiring } = self.inspect();
        findings.extend(expiring);
        findings.extend(unresolved(&self.config));
        self.report_with(findings)
    }

    fn report_with(&self, mut findings: Vec<Finding>) -> Report {
        findings.extend(self.config.warnings());
        config::report_of(&self.text, &findings)
    }
}
