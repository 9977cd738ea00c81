//! Where log lines go: to standard error, written by a thread of its own, so that no worker waits
//! for a terminal or a pipe. What a blocked pipe does not take is dropped and counted.

use std::backtrace::Backtrace;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::LogFormat;
use crate::config::LogLevel;
use crate::server::sink::{Output, Sink};
use crate::server::{LogLevelControl, LostLines};

/// Standard error by a descriptor of its own: a write that blocks must not hold the library's lock,
/// which the end of the process would wait for.
struct StandardError(File);

impl Output for StandardError {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)
    }
}

/// The log: lines for standard error.
#[derive(Debug, Clone)]
pub(super) struct Log {
    sink: Sink,
    lost: LostLines,
}

impl Log {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// Standard error is closed, or its writer thread cannot be started.
    pub(super) fn start() -> io::Result<Self> {
        let lost = LostLines::default();
        let output = StandardError(io::stderr().as_fd().try_clone_to_owned()?.into());
        let sink = Sink::start("standard error", output, lost.clone())?;
        Ok(Self { sink, lost })
    }

    /// Sends the lines of the program's events here. The level can be changed later; what it does
    /// not let pass costs one comparison, whatever it was before.
    pub(super) fn init(&self, is_json: bool, level: LogLevel) -> LogLevelControl {
        let (filter, handle) = reload::Layer::<_, Registry>::new(filter(level));
        let lines = fmt::layer().with_writer(self.clone()).with_ansi(io::stderr().is_terminal());
        let all = tracing_subscriber::registry().with(filter);
        // A second call in one process (tests) keeps the first one's settings.
        let _already_set = if is_json {
            all.with(lines.json().flatten_event(true)).try_init()
        } else {
            all.with(lines).try_init()
        };
        let current = handle.clone();
        LogLevelControl::new(
            move || current.with_current(|filter| self::level(*filter)).unwrap_or(level),
            move |level| {
                let failed = |error| format!("the level of the log cannot be changed: {error}");
                handle.reload(self::filter(level)).map_err(failed)
            },
        )
    }

    /// Sends what is said of a panic here, too: written directly, it could block the end of the
    /// process.
    pub(super) fn take_panics(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let backtrace = Backtrace::capture();
            tracing::error!(%backtrace, "{panic}");
            // The process may be aborted next.
            log.finish();
        }));
    }

    /// Writes a text as it is.
    pub(super) fn print(&self, text: &str) {
        self.sink.send_or_count(text.as_bytes());
    }

    /// Lines that were dropped.
    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
    }

    /// Waits until all is written, or standard error takes nothing any more.
    pub(super) fn finish(&self) {
        // Best effort: there is nowhere to tell of it.
        let _written = self.sink.finish();
    }
}

/// Whether lines are JSON: with `auto`, where no terminal shows them.
pub(super) fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

/// One line after the other: each event is one write.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.sink.send_or_count(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
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

/// The level of a filter that [`filter`] has made.
fn level(found: LevelFilter) -> LogLevel {
    let levels = LogLevel::ALL.into_iter();
    levels.rev().find(|level| filter(*level) <= found).unwrap_or(LogLevel::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_belong_to_each_other() {
        for one in LogLevel::ALL {
            assert_eq!(level(filter(one)), one);
        }
    }
}
