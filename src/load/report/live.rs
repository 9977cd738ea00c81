//! The line of a run that is under way.

use super::format;

/// Narrower terminals get this width.
const WIDTH_MIN: usize = 20;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The narrowest sparkline worth its place, and the widest.
const SPARKLINE: std::ops::RangeInclusive<usize> = 8..=60;

/// What a run does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connections are made.
    Connecting,
    /// What is measured does not count.
    WarmUp,
    /// What is measured counts.
    Measuring,
    /// Nothing is sent any more; answers are waited for.
    Ending,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::WarmUp => "warm-up",
            Self::Measuring => "measuring",
            Self::Ending => "ending",
        }
    }
}

/// A run that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    /// What it does.
    pub phase: Phase,
    /// Seconds in this phase.
    pub elapsed: f64,
    /// Seconds that the phase takes; none if it ends by a count.
    pub planned: Option<f64>,
    /// Answers in a second, of the last interval.
    pub rate: f64,
    /// Requests that should be sent in a second.
    pub wanted_rate: Option<f64>,
    /// Median of the last interval in microseconds; none without an answer.
    pub p50_us: Option<f64>,
    /// The same at p99.
    pub p99_us: Option<f64>,
    /// The same of the longest.
    pub max_us: Option<f64>,
    /// Failures so far.
    pub errors: u64,
    /// The generator's own lateness at p99, in the last interval, in microseconds.
    pub lateness_p99_us: Option<f64>,
    /// Rates of all intervals, the last one at the end.
    pub rates: &'a [f64],
}

impl Live<'_> {
    /// The line for a terminal of such a width, in columns: never wider, without control characters
    /// and without a line end. What matters least is left out first.
    #[must_use]
    pub fn line(&self, width: usize) -> String {
        let width = width.max(WIDTH_MIN);
        let mut line = String::new();
        let mut used = 0;
        for part in self.parts() {
            let length = part.chars().count();
            let gap = if used == 0 { 0 } else { 2 };
            if used + gap + length > width {
                break;
            }
            line.push_str(if gap == 0 { "" } else { "  " });
            line.push_str(&part);
            used += gap + length;
        }
        let room = width.saturating_sub(used + 2).min(*SPARKLINE.end());
        if room >= *SPARKLINE.start() && !self.rates.is_empty() {
            line.push_str("  ");
            line.push_str(&sparkline(self.rates, room));
        }
        line
    }

    /// The whole line in plain ASCII, for output that is not a terminal.
    #[must_use]
    pub fn plain(&self) -> String {
        self.parts().join("  ")
    }

    /// In order of importance.
    fn parts(&self) -> Vec<String> {
        let latency = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), format::latency);
        let elapsed = format!("{:.0}", self.elapsed);
        let time = match self.planned {
            Some(planned) => format!("{elapsed}/{planned:.0} s"),
            None => format!("{elapsed} s"),
        };
        let time = match self.phase {
            Phase::Measuring => time,
            Phase::WarmUp | Phase::Connecting | Phase::Ending => {
                format!("{} {time}", self.phase.name())
            }
        };
        let rate = match self.wanted_rate {
            Some(wanted) => format!("{}/s of {}", format::rate(self.rate), format::rate(wanted)),
            None => format!("{}/s", format::rate(self.rate)),
        };
        let mut parts = vec![
            time,
            rate,
            format!("p50 {}", latency(self.p50_us)),
            format!("p99 {}", latency(self.p99_us)),
        ];
        let errors = format!("errors {}", format::count(self.errors));
        let max = format!("max {}", latency(self.max_us));
        // Errors matter more than the maximum, if there are any.
        let rest = if self.errors > 0 { [errors, max] } else { [max, errors] };
        parts.extend(rest);
        parts.extend(self.lateness_p99_us.map(|us| format!("late {}", format::latency(us))));
        parts
    }
}

/// The last numbers as bars, as many as there are columns. The highest bar is the largest of them.
#[must_use]
pub fn sparkline(numbers: &[f64], columns: usize) -> String {
    let shown = &numbers[numbers.len().saturating_sub(columns)..];
    let max = shown.iter().copied().filter(|number| number.is_finite()).fold(0.0, f64::max);
    let top = f64::from(7_u8);
    let bar = |number: &f64| {
        let share = if max > 0.0 { (number / max).clamp(0.0, 1.0) } else { 0.0 };
        let steps = (1..SPARKS.len()).zip(1_u8..);
        let height = steps.take_while(|(_, step)| share * top >= f64::from(*step) - 0.5).count();
        SPARKS[height]
    };
    shown.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Live<'_> = Live {
        phase: Phase::Measuring,
        elapsed: 12.3,
        planned: Some(30.0),
        rate: 19_998.4,
        wanted_rate: Some(20_000.0),
        p50_us: Some(412.0),
        p99_us: Some(1_234.0),
        max_us: Some(23_456.0),
        errors: 0,
        lateness_p99_us: Some(21.0),
        rates: &[0.0, 10.0, 20.0, 15.0, f64::NAN, 20.0, 20.0, 20.0, 20.0],
    };

    #[test]
    fn the_line_fits() {
        assert_eq!(
            RUN.line(100),
            "12/30 s  19,998/s of 20,000  p50 412 us  p99 1.23 ms  \
             max 23.5 ms  errors 0  late 21.0 us  ▁▅█▆▁████"
        );
        assert_eq!(RUN.line(60), "12/30 s  19,998/s of 20,000  p50 412 us  p99 1.23 ms");
        assert_eq!(RUN.line(30), "12/30 s  19,998/s of 20,000");
        for width in 0..200 {
            assert!(RUN.line(width).chars().count() <= width.max(WIDTH_MIN), "{width}");
        }
    }

    #[test]
    fn errors_come_before_the_maximum() {
        let run = Live { errors: 1_234, ..RUN };
        assert!(run.plain().contains("errors 1,234  max"), "{}", run.plain());
        let run = Live {
            phase: Phase::WarmUp,
            planned: None,
            p50_us: None,
            wanted_rate: None,
            rates: &[],
            ..RUN
        };
        assert!(run.plain().starts_with("warm-up 12 s  19,998/s  p50 -  p99"), "{}", run.plain());
        assert!(run.plain().is_ascii() && run.line(300) == run.plain());
    }

    #[test]
    fn bars_show_the_last_numbers() {
        assert_eq!(sparkline(&[1.0, 2.0, 3.0], 2), "▆█");
        assert_eq!(sparkline(&[0.0, 0.0], 5), "▁▁");
        assert_eq!(sparkline(&[], 5), "");
    }
}
