//! What is shown while a load goes on: a line that changes on a terminal, and lines elsewhere.

use std::io::{self, Write};

use crate::load::options::LoadOptions;
use crate::load::report::live::{Live, Phase};
use crate::load::result::Interval;
use crate::load::run::Progress;

/// Columns of a terminal whose width is not known.
const WIDTH: usize = 80;

/// Standard error.
#[derive(Debug)]
pub(in crate::cli::bench) struct Screen {
    is_quiet: bool,
    is_terminal: bool,
    planned: Option<f64>,
    warm_up: f64,
    is_line_open: bool,
    told: Option<Phase>,
}

impl Screen {
    pub(super) const fn new(is_quiet: bool, is_terminal: bool) -> Self {
        let (planned, warm_up, is_line_open, told) = (None, 0.0, false, None);
        Self { is_quiet, is_terminal, planned, warm_up, is_line_open, told }
    }

    /// A run begins.
    pub(super) fn plan(&mut self, options: &LoadOptions) {
        self.planned = options.duration.map(|time| time.as_secs_f64());
        self.warm_up = options.warm_up.as_secs_f64();
        self.told = None;
    }

    /// A line of its own.
    pub(in crate::cli::bench) fn say(&mut self, text: &str) {
        self.end();
        if !self.is_quiet {
            // Nobody reads it, then.
            let _gone = writeln!(io::stderr(), "{text}");
        }
    }

    pub(super) fn tell(&mut self, progress: &Progress<'_>) {
        if self.is_quiet {
            return;
        }
        let (phase, elapsed, planned, intervals, errors): (_, _, _, &[Interval], _) = match progress
        {
            Progress::Connecting => (Phase::Connecting, 0.0, None, &[], 0),
            Progress::WarmingUp(elapsed) => (Phase::WarmUp, *elapsed, Some(self.warm_up), &[], 0),
            Progress::Measured { elapsed, intervals, errors, .. } => {
                (Phase::Measuring, *elapsed, self.planned, intervals, *errors)
            }
            Progress::Draining => (Phase::Ending, 0.0, None, &[], 0),
        };
        // Where lines stay, what has not changed is not told again.
        let is_new = self.told != Some(phase);
        if !self.is_terminal && !is_new && phase != Phase::Measuring {
            return;
        }
        self.told = Some(phase);
        let rates: Vec<f64> = intervals.iter().map(Interval::rate).collect();
        let last = intervals.last();
        let summary = last.map(|one| *one.histogram.summary()).filter(|one| !one.is_empty());
        let live = Live {
            phase,
            elapsed,
            planned,
            rate: rates.last().copied().unwrap_or_default(),
            wanted_rate: last.and_then(|one| one.wanted_rate),
            p50_us: summary.map(|one| one.p50),
            p99_us: summary.map(|one| one.p99),
            max_us: summary.map(|one| one.max),
            errors,
            lateness_p99_us: last.and_then(|one| one.lateness_p99_us),
            rates: &rates,
        };
        let mut out = io::stderr();
        if self.is_terminal {
            let _gone = write!(out, "\r\x1b[K{}", live.line(width()));
            self.is_line_open = true;
        } else {
            let _gone = writeln!(out, "{}", live.plain());
        }
        let _gone = out.flush();
    }

    /// The run is over.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_line_open) {
            let _gone = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Columns, as the shell tells them.
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(WIDTH)
}
