//! Where log lines go: to standard error, written by a thread of its own, so that no worker waits
//! for a terminal or a pipe.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::LevelFilter;

use super::{LogFormat, LogLevel};

/// Sends log lines on their way; what is still under way is written when the guard is dropped.
pub(super) fn init(format: LogFormat, level: LogLevel) -> WorkerGuard {
    let terminal = io::stderr().is_terminal();
    let (writer, guard) = tracing_appender::non_blocking(io::stderr());
    let lines = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_max_level(filter(level))
        .with_ansi(terminal)
        .with_target(true);
    // A second call in one process (tests) keeps the first one's settings.
    let _already_set = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    guard
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
