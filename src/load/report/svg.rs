//! Charts as SVG: axes, curves, bars, and maps of many cells. What is drawn has a bounded size,
//! whatever the numbers are.

use std::fmt::Write;

use super::format;
use super::style::escape;

/// The size of a chart in its own units. Text has 12 of them, and 16 on a phone.
const WIDTH: f64 = 540.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;
/// What the text beside a dot takes.
const ROOM: f64 = 100.0;
/// Points of a curve.
pub(crate) const POINTS_MAX: usize = 400;
/// Decades of a logarithmic axis.
const DECADES_MAX: i32 = 12;

/// A place on an axis that has a line and a label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    at: f64,
    label: String,
    /// Left out where there is little room.
    is_minor: bool,
}

/// From numbers to places.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    pub(crate) ticks: Vec<Tick>,
}

impl Axis {
    /// From 0 to at least `max`, with round steps.
    pub(crate) fn linear(max: f64, label: impl Fn(f64) -> String) -> Self {
        let max = if max.is_finite() && max > 1e-9 { max.min(1e18) } else { 1.0 };
        let step = round_step(max / 4.5);
        let steps = (1_u8..=12).find(|n| f64::from(*n) * step >= max * 0.999).unwrap_or(12);
        let tick = |n: u8| {
            let at = f64::from(n) * step;
            Tick { at, label: label(at), is_minor: n % 2 == 1 && steps > 3 }
        };
        let ticks = (0..=steps).map(tick).collect();
        Self { from: 0.0, to: f64::from(steps) * step, is_log: false, ticks }
    }

    /// Latencies in microseconds, linear from 0 where the largest is less than 30 times the
    /// smallest.
    pub(crate) fn latency(min: f64, max: f64) -> Self {
        if max < 30.0 * min.max(0.1) {
            let unit = [1e6, 1e3, 1.0].into_iter().find(|unit| max >= *unit).unwrap_or(1.0);
            return Self::linear(max, move |us| {
                let name = if unit >= 1e6 {
                    "s"
                } else if unit >= 1e3 {
                    "ms"
                } else {
                    "us"
                };
                format!("{} {name}", format::short(us / unit))
            });
        }
        Self::log_latency(min, max)
    }

    /// Latencies in microseconds, logarithmic.
    pub(crate) fn log_latency(min: f64, max: f64) -> Self {
        let min = if min.is_finite() { min.clamp(0.1, 1e9) } else { 0.1 };
        let max = if max.is_finite() { max.clamp(min * 2.0, 1e10) } else { min * 10.0 };
        let span = (max / min).log10();
        let (mut from, mut to) = (min, max);
        let mut marks = Vec::new();
        for decade in -1..=DECADES_MAX {
            for digit in [1.0, 2.0, 5.0] {
                marks.push((digit * 10_f64.powi(decade), digit > 1.0));
            }
        }
        for (mark, _) in &marks {
            if *mark <= min * 1.0001 {
                from = *mark;
            }
        }
        if let Some((mark, _)) = marks.iter().find(|(mark, _)| *mark >= max * 0.9999) {
            to = *mark;
        }
        let ticks = marks
            .into_iter()
            .filter(|(mark, is_part)| (from..=to).contains(mark) && (!is_part || span < 2.2));
        let tick = |(at, is_minor)| {
            let (value, name) = match at {
                at if at >= 1e6 => (at / 1e6, "s"),
                at if at >= 1e3 => (at / 1e3, "ms"),
                at => (at, "us"),
            };
            Tick { at, label: format!("{} {name}", format::short(value)), is_minor }
        };
        Self { from, to, is_log: true, ticks: ticks.map(tick).collect() }
    }

    /// Time from 0, in seconds.
    pub(crate) fn time(seconds: f64) -> Self {
        let seconds = if seconds.is_finite() { seconds.clamp(0.001, 1e9) } else { 1.0 };
        let (unit, name) = match seconds {
            s if s < 180.0 => (1.0, "s"),
            s if s < 3.0 * 3_600.0 => (60.0, "min"),
            _ => (3_600.0, "h"),
        };
        let mut axis = Self::linear(seconds / unit, |at| format!("{} {name}", format::short(at)));
        for tick in &mut axis.ticks {
            tick.at *= unit;
        }
        axis.ticks.retain(|tick| tick.at <= seconds * 1.001);
        axis.to = seconds;
        axis
    }

    /// Percentiles, by how many values are above them: 1/(1-p), logarithmic.
    pub(crate) fn percentiles(count: u64) -> Self {
        let decades = count.max(1).ilog10().clamp(2, 5);
        let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
        let main = (0_u32..=decades).zip(names).map(|(decade, name)| Tick {
            at: 10_f64.powf(f64::from(decade)),
            label: name.to_owned(),
            is_minor: decades > 3 && decade % 2 == 1,
        });
        // Where there are many decades, it has no room beside 0 %.
        let half = Tick { at: 2.0, label: "50 %".to_owned(), is_minor: true };
        let mut ticks: Vec<Tick> = main.chain((decades < 4).then_some(half)).collect();
        ticks.sort_by(|one, other| one.at.total_cmp(&other.at));
        Self { from: 1.0, to: 10_f64.powf(f64::from(decades)), is_log: true, ticks }
    }

    /// Where a number is, from 0 to 1.
    pub(crate) fn place(&self, number: f64) -> f64 {
        let place = if self.is_log {
            (number.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (number - self.from) / (self.to - self.from)
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The number at a place from 0 to 1.
    pub(crate) fn at(&self, place: f64) -> f64 {
        if self.is_log {
            self.from * (self.to / self.from).powf(place)
        } else {
            self.from + (self.to - self.from) * place
        }
    }
}

/// 1, 2 or 5 times a power of ten.
fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= rough * 0.999);
    digit.unwrap_or(10.0) * power
}

/// A rectangle of a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// From and to on the x axis.
    pub(crate) x: (f64, f64),
    /// From and to on the y axis.
    pub(crate) y: (f64, f64),
}

/// The text beside a dot.
#[derive(Debug)]
pub(crate) struct Label {
    /// Text of anybody.
    pub(crate) text: String,
    /// Left out where there is little room.
    pub(crate) is_minor: bool,
}

/// A chart that is drawn.
#[derive(Debug)]
pub(crate) struct Chart {
    x: Axis,
    y: Axis,
    height: f64,
    out: String,
}

impl Chart {
    /// Axes and grid. The label is for those who cannot see it.
    pub(crate) fn new(label: &str, x: Axis, y: Axis, height: f64) -> Self {
        let mut chart = Self { x, y, height, out: String::new() };
        let mut escaped = String::new();
        escape(label, &mut escaped);
        chart.push(format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{escaped}\">\n"
        ));
        chart.grid();
        chart
    }

    fn grid(&mut self) {
        let (right, bottom) = (WIDTH - RIGHT, self.height - BOTTOM);
        for tick in self.y.ticks.clone() {
            let (_, y) = self.point(self.x.from, tick.at);
            let minor = if tick.is_minor { " class=\"minor\"" } else { "" };
            self.push(format_args!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text{minor} x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 8.0,
                y + 4.0,
                tick.label
            ));
        }
        for tick in self.x.ticks.clone() {
            let (x, _) = self.point(tick.at, self.y.from);
            let minor = if tick.is_minor { " class=\"minor\"" } else { "" };
            let anchor = if x > right - 20.0 { "end" } else { "middle" };
            let x_text = if anchor == "end" { right + 8.0 } else { x };
            self.push(format_args!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text{minor} x=\"{x_text:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
                bottom + 20.0,
                tick.label
            ));
        }
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _infallible = self.out.write_fmt(arguments);
    }

    fn point(&self, x: f64, y: f64) -> (f64, f64) {
        let across = WIDTH - LEFT - RIGHT;
        let down = self.height - TOP - BOTTOM;
        (LEFT + across * self.x.place(x), TOP + down * (1.0 - self.y.place(y)))
    }

    /// A curve through points. Its class is of ours: `s0`, `s1 dash`. A point that is missing ends
    /// one part of it.
    pub(crate) fn curve(
        &mut self,
        class: &str,
        points: impl IntoIterator<Item = Option<(f64, f64)>>,
    ) {
        let mut path = String::new();
        let mut is_open = false;
        let mut last = None;
        for point in points {
            let Some((x, y)) = point else {
                is_open = false;
                continue;
            };
            let (x, y) = self.point(x, y);
            let place = format!("{x:.1} {y:.1}");
            if is_open && last.as_ref() == Some(&place) {
                continue;
            }
            path.push_str(if is_open { "L" } else { "M" });
            path.push_str(&place);
            // A point alone is seen as a dot.
            if !is_open {
                path.push_str("h.01");
            }
            is_open = true;
            last = Some(place);
        }
        if !path.is_empty() {
            self.push(format_args!("<path class=\"curve {class}\" d=\"{path}\"/>\n"));
        }
    }

    /// Bars from 0, of (from, to, height).
    pub(crate) fn bars(&mut self, class: &str, bars: impl IntoIterator<Item = (f64, f64, f64)>) {
        let mut path = String::new();
        for (from, to, height) in bars {
            let (left, top) = self.point(from, height);
            let (right, bottom) = self.point(to, self.y.from);
            if height > 0.0 {
                // What is there is seen, however small it is.
                let (width, tall) = ((right - left - 0.5).max(1.5), (bottom - top).max(1.5));
                let top = bottom - tall;
                let _infallible =
                    write!(path, "M{left:.1} {top:.1}h{width:.1}v{tall:.1}h-{width:.1}z");
            }
        }
        if !path.is_empty() {
            self.push(format_args!("<path class=\"{class}\" d=\"{path}\"/>\n"));
        }
    }

    /// Cells of one strength, from 0 to 1.
    pub(crate) fn cells(&mut self, opacity: f64, cells: &[Cell]) {
        let mut path = String::new();
        for Cell { x: (left, right), y: (low, high) } in cells {
            let ((x, bottom), (x_end, y)) = (self.point(*left, *low), self.point(*right, *high));
            let (width, height) = ((x_end - x).max(0.5), (bottom - y).max(0.5));
            let _infallible = write!(path, "M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z");
        }
        if !path.is_empty() {
            self.push(format_args!(
                "<path class=\"f0\" fill-opacity=\"{opacity:.2}\" d=\"{path}\"/>\n"
            ));
        }
    }

    /// A dot on a rising curve with a text beside it: above it to the left, or where there is no
    /// room, below it to the right.
    pub(crate) fn dot(&mut self, class: &str, x: f64, y: f64, label: &Label) {
        let (x, y) = self.point(x, y);
        let mut text = String::new();
        escape(&label.text, &mut text);
        let (anchor, across, down) = if x < LEFT + ROOM || y < TOP + 14.0 {
            ("start", x + 6.0, y + 17.0)
        } else {
            ("end", x - 6.0, y - 6.0)
        };
        // A label to the right must end within the chart.
        let (anchor, across) = if anchor == "start" && x > WIDTH - RIGHT - ROOM {
            ("end", x)
        } else {
            (anchor, across)
        };
        let minor = if label.is_minor { " minor" } else { "" };
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>\
             <text class=\"value{minor}\" x=\"{across:.1}\" y=\"{down:.1}\" \
             text-anchor=\"{anchor}\">{text}</text>\n"
        ));
    }

    /// A place on the x axis that is marked, with a text beside it.
    pub(crate) fn mark(&mut self, x: f64, text: &str) {
        let (x, _) = self.point(x, self.y.from);
        let bottom = self.height - BOTTOM;
        let (anchor, at) = if x > WIDTH * 0.6 { ("end", x - 5.0) } else { ("start", x + 5.0) };
        let mut escaped = String::new();
        escape(text, &mut escaped);
        self.push(format_args!(
            "<path class=\"mark\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
             <text class=\"value\" x=\"{at:.1}\" y=\"{:.1}\" \
             text-anchor=\"{anchor}\">{escaped}</text>\n",
            TOP + 12.0
        ));
    }

    /// The drawing.
    pub(crate) fn end(mut self) -> String {
        let (width, height) = (WIDTH - LEFT - RIGHT, self.height - TOP - BOTTOM);
        self.push(format_args!(
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" \
             height=\"{height}\"/>\n</svg>\n"
        ));
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::style::checks::assert_balanced;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn axes_have_round_ticks() {
        assert_eq!(
            labels(&Axis::linear(19_998.0, format::rate)),
            ["0", "5,000", "10,000", "15,000", "20,000"]
        );
        assert_eq!(
            labels(&Axis::latency(100.0, 900.0)),
            ["0 us", "200 us", "400 us", "600 us", "800 us", "1000 us"]
        );
        assert_eq!(labels(&Axis::latency(100.0, 30_000.0)), ["100 us", "1 ms", "10 ms"]);
        assert_eq!(
            labels(&Axis::log_latency(100.0, 900.0)),
            ["100 us", "200 us", "500 us", "1 ms"]
        );
        assert_eq!(labels(&Axis::time(30.0)), ["0 s", "10 s", "20 s", "30 s"]);
        assert_eq!(labels(&Axis::time(600.0)), ["0 min", "5 min", "10 min"]);
        assert_eq!(
            labels(&Axis::percentiles(12_345)),
            ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
    }

    #[test]
    fn places_are_within_the_chart_whatever_the_numbers() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1.0, 0.0, 1e-300, 5.0];
        for one in odd {
            for other in odd {
                let axes = [
                    Axis::linear(one, format::rate),
                    Axis::latency(one, other),
                    Axis::log_latency(one, other),
                    Axis::time(one),
                ];
                for axis in axes {
                    assert!(axis.ticks.len() <= 40, "{one} {other}");
                    assert!(odd.iter().all(|number| (0.0..=1.0).contains(&axis.place(*number))));
                }
            }
        }
        let axis = Axis::log_latency(10.0, 1_000.0);
        assert!((axis.at(axis.place(70.0)) - 70.0).abs() < 1e-9);
    }

    #[test]
    fn drawings_are_balanced() {
        let mut chart =
            Chart::new("<a\"", Axis::time(10.0), Axis::linear(5.0, format::rate), 260.0);
        chart.curve("s0", [Some((0.0, 1.0)), None, Some((2.0, 3.0)), Some((3.0, f64::NAN))]);
        chart.curve("s0", []);
        chart.bars("fb", [(0.0, 1.0, 2.0), (1.0, 2.0, 0.0)]);
        chart.cells(0.5, &[Cell { x: (0.0, 1.0), y: (0.0, 1.0) }]);
        chart.dot("f0", 9.0, 5.0, &Label { text: "<x>".to_owned(), is_minor: true });
        chart.mark(1.0, "<y>");
        let svg = chart.end();
        assert_balanced(&svg);
        assert!(!svg.contains("NaN") && svg.contains("aria-label=\"&lt;a&quot;\""), "{svg}");
    }
}
