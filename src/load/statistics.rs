//! Intervals of ratios, by resampling.
//!
//! What varies between measurements is not the single request: thousands of requests share one
//! state of the machine, and resampling them would take noise for knowledge. So whole runs are
//! resampled, or blocks of time within a run. The logarithm of a figure gets a standard error by
//! the bootstrap, corrected for the few pieces there are; the interval of a ratio is that of
//! Student's t distribution with the degrees of freedom of Welch.

use std::f64::consts::{FRAC_PI_2, TAU};

use serde::Serialize;

use super::histogram::LatencyHistogram;
use super::result::real;
use crate::service::cluster::random;

/// How sure an interval is.
pub const CONFIDENCE: f64 = 0.95;
/// How often an effect of the smallest detectable size would be found.
pub const POWER: f64 = 0.8;
/// The fewest values above a percentile that say something about it.
const ABOVE_MIN: f64 = 10.0;
/// Histograms have steps of up to 0.1 %: nothing smaller is known of a logarithm.
const RESOLUTION: f64 = 0.000_5;
/// Neighbouring blocks that are alike count for less, up to this correlation.
const CORRELATION_MAX: f64 = 0.8;
/// More degrees of freedom make no difference.
const FREEDOM_MAX: f64 = 1_000.0;
/// Steps of the integration of Student's distribution.
const STEPS: u32 = 4_000;

/// Numbers that depend on nothing but their seed.
#[derive(Debug, Clone)]
pub struct Random(random::Random);

impl Random {
    /// Seeds that follow each other give numbers that do not.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(random::Random::new(seed))
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// Normally distributed, with mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A percentile of the total latency, as a share from 0 to 1.
    Quantile(f64),
    /// The mean latency.
    Mean,
    /// Answers in a second.
    Throughput,
    /// CPU time of the server for each request.
    ServerCpu,
}

impl Measure {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Quantile(0.5),
        Self::Quantile(0.9),
        Self::Quantile(0.99),
        Self::Quantile(0.999),
        Self::Mean,
        Self::Throughput,
        Self::ServerCpu,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Quantile(share) => format!("p{}", super::report::format::short(share * 100.0)),
            Self::Mean => "mean".to_owned(),
            Self::Throughput => "throughput".to_owned(),
            Self::ServerCpu => "server CPU/request".to_owned(),
        }
    }

    /// Whether more of it is better.
    #[must_use]
    pub const fn is_better_when_larger(self) -> bool {
        matches!(self, Self::Throughput)
    }
}

/// A run, or a block of time of one: what is resampled as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// Distinct latencies in nanoseconds, ascending, and how often each was.
    pub values: Vec<(u64, u64)>,
    /// Its length.
    pub seconds: f64,
    /// Requests that were answered.
    pub completed: u64,
    /// CPU seconds of the server, and the requests that they were for.
    pub server: Option<(f64, f64)>,
}

impl Piece {
    /// Takes the latencies out of a histogram.
    #[must_use]
    pub fn new(
        histogram: &LatencyHistogram,
        seconds: f64,
        completed: u64,
        server: Option<(f64, f64)>,
    ) -> Self {
        let recorded = histogram.inner().iter_recorded();
        let values = recorded.map(|step| (step.value_iterated_to(), step.count_at_value()));
        Self { values: values.collect(), seconds, completed, server }
    }
}

/// The pieces of one side.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Distinct latencies of all pieces, in nanoseconds, ascending.
    grid: Vec<u64>,
    pieces: Vec<Prepared>,
    /// Whether the pieces follow each other in time.
    is_series: bool,
}

#[derive(Debug, Clone)]
struct Prepared {
    /// For each latency of the grid, how many values of the piece are not above it.
    cumulative: Vec<u64>,
    count: f64,
    /// Sum of the latencies in microseconds.
    sum: f64,
    seconds: f64,
    completed: f64,
    server: Option<(f64, f64)>,
}

impl Prepared {
    fn new(piece: &Piece, grid: &[u64]) -> Self {
        let mut values = piece.values.iter().peekable();
        let (mut total, mut sum) = (0_u64, 0.0);
        let mut cumulative = Vec::with_capacity(grid.len());
        for latency in grid {
            while let Some((value, count)) = values.next_if(|(value, _)| value <= latency) {
                total = total.saturating_add(*count);
                sum += real(*value) / 1_000.0 * real(*count);
            }
            cumulative.push(total);
        }
        Self {
            cumulative,
            count: real(total),
            sum,
            seconds: piece.seconds,
            completed: real(piece.completed),
            server: piece.server,
        }
    }
}

impl Sample {
    /// Of pieces that follow each other in time (blocks of a run), or do not (runs).
    #[must_use]
    pub fn new(pieces: &[Piece], is_series: bool) -> Self {
        let values = pieces.iter().flat_map(|piece| &piece.values);
        let mut grid: Vec<u64> = values.map(|(latency, _)| *latency).collect();
        grid.sort_unstable();
        grid.dedup();
        let pieces = pieces.iter().map(|piece| Prepared::new(piece, &grid)).collect();
        Self { grid, pieces, is_series }
    }

    /// How many pieces there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// A figure of all pieces together: microseconds, or answers in a second. None if too little
    /// was measured.
    #[must_use]
    pub fn value(&self, measure: Measure) -> Option<f64> {
        let value = self.weighted(measure, &vec![1; self.pieces.len()])?;
        if let Measure::Quantile(share) = measure {
            let count: f64 = self.pieces.iter().map(|piece| piece.count).sum();
            // One more than rounding leaves.
            if count * (1.0 - share) + 1e-6 < ABOVE_MIN {
                return None;
            }
        }
        Some(value)
    }

    /// The same where each piece is there so many times.
    fn weighted(&self, measure: Measure, weights: &[u32]) -> Option<f64> {
        let sum = |part: fn(&Prepared) -> f64| -> f64 {
            self.pieces
                .iter()
                .zip(weights)
                .map(|(piece, weight)| part(piece) * f64::from(*weight))
                .sum()
        };
        let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let found = match measure {
            Measure::Quantile(share) => self.quantile(share, weights),
            Measure::Mean => ratio(sum(|piece| piece.sum), sum(|piece| piece.count)),
            Measure::Throughput => ratio(sum(|piece| piece.completed), sum(|piece| piece.seconds)),
            Measure::ServerCpu => {
                if self.pieces.iter().any(|piece| piece.server.is_none()) {
                    return None;
                }
                let cpu = sum(|piece| piece.server.map_or(0.0, |(cpu, _)| cpu));
                let requests = sum(|piece| piece.server.map_or(0.0, |(_, requests)| requests));
                ratio(cpu * 1e6, requests)
            }
        };
        found.filter(|value| value.is_finite() && *value > 0.0)
    }

    fn quantile(&self, share: f64, weights: &[u32]) -> Option<f64> {
        let chosen = || self.pieces.iter().zip(weights).filter(|(_, weight)| **weight > 0);
        let count: f64 = chosen().map(|(piece, weight)| piece.count * f64::from(*weight)).sum();
        let wanted = (count * share).ceil().max(1.0);
        let below = |at: usize| -> f64 {
            let not_above = |piece: &Prepared| real(piece.cumulative.get(at).copied().unwrap_or(0));
            chosen().map(|(piece, weight)| not_above(piece) * f64::from(*weight)).sum()
        };
        let (mut low, mut high) = (0, self.grid.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if below(middle) >= wanted { high = middle } else { low = middle + 1 }
        }
        self.grid.get(low).map(|latency| real(*latency) / 1_000.0)
    }

    /// The standard errors of the logarithms of all measures; none where a measure is not known.
    fn errors(&self, random: &mut Random, resamples: u32) -> [Option<f64>; Measure::ALL.len()] {
        let known = Measure::ALL.map(|measure| self.value(measure).is_some());
        let mut spreads = [Spread::default(); Measure::ALL.len()];
        let mut weights = vec![0_u32; self.pieces.len()];
        for _ in 0..resamples {
            weights.fill(0);
            for _ in 0..self.pieces.len() {
                let chosen = random.0.below(self.pieces.len());
                weights[chosen] += 1;
            }
            for ((spread, measure), known) in spreads.iter_mut().zip(Measure::ALL).zip(known) {
                if known && let Some(value) = self.weighted(measure, &weights) {
                    spread.add(value.ln());
                }
            }
        }
        let pieces = f64::from(u32::try_from(self.pieces.len()).unwrap_or(u32::MAX));
        let few = (pieces / (pieces - 1.0)).sqrt();
        let mut errors = [None; Measure::ALL.len()];
        for (number, measure) in Measure::ALL.into_iter().enumerate() {
            if known[number] && self.pieces.len() > 1 {
                let found = spreads[number].deviation() * few * self.alikeness(measure);
                errors[number] = Some(found.max(RESOLUTION));
            }
        }
        errors
    }

    /// By how much the error grows because neighbours in time are alike; 1 if they are not.
    fn alikeness(&self, measure: Measure) -> f64 {
        if !self.is_series {
            return 1.0;
        }
        let mut weights = vec![0; self.pieces.len()];
        let mut logs = Vec::with_capacity(self.pieces.len());
        for chosen in 0..self.pieces.len() {
            weights[chosen] = 1;
            logs.extend(self.weighted(measure, &weights).map(f64::ln));
            weights[chosen] = 0;
        }
        let correlation = neighbours(&logs).clamp(0.0, CORRELATION_MAX);
        ((1.0 + correlation) / (1.0 - correlation)).sqrt()
    }
}

/// The correlation of numbers with those before them; 0 if they are all the same.
fn neighbours(numbers: &[f64]) -> f64 {
    let count = f64::from(u32::try_from(numbers.len()).unwrap_or(u32::MAX)).max(1.0);
    let mean = numbers.iter().sum::<f64>() / count;
    let both: f64 = numbers.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let own: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    // Rounding leaves less.
    if own > 1e-18 { both / own } else { 0.0 }
}

/// Mean and deviation of numbers that come one by one (Welford).
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, number: f64) {
        self.count += 1.0;
        let off = number - self.mean;
        self.mean += off / self.count;
        self.squares += off * (number - self.mean);
    }

    fn deviation(self) -> f64 {
        if self.count > 1.0 { (self.squares / (self.count - 1.0)).sqrt() } else { 0.0 }
    }
}

/// What is known of the ratio of two figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The second figure by the first.
    pub ratio: f64,
    /// With [`CONFIDENCE`], the true ratio is not below this.
    pub low: f64,
    /// With [`CONFIDENCE`], the true ratio is not above this.
    pub high: f64,
    /// The smallest change that would be found with [`POWER`], as a share: 0.05 is 5 %.
    pub detectable: f64,
}

impl Ratio {
    /// Whether the interval holds no 1.
    #[must_use]
    pub fn is_different(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

/// The ratios of all measures of the second sample to the first, in the order of [`Measure::ALL`].
/// None where one of them is not known, or a sample has fewer than two pieces. The same samples and
/// the same seed give the same ratios.
#[must_use]
pub fn ratios(
    base: &Sample,
    other: &Sample,
    seed: u64,
    resamples: u32,
) -> [Option<Ratio>; Measure::ALL.len()] {
    let mut random = Random::new(seed);
    let base_errors = base.errors(&mut random, resamples);
    let other_errors = other.errors(&mut random, resamples);
    let freedom =
        |sample: &Sample| f64::from(u32::try_from(sample.len()).unwrap_or(u32::MAX)) - 1.0;
    let mut found = [None; Measure::ALL.len()];
    for (number, measure) in Measure::ALL.into_iter().enumerate() {
        let values = base.value(measure).zip(other.value(measure));
        if let (Some((first, second)), Some(one), Some(two)) =
            (values, base_errors[number], other_errors[number])
        {
            let freedom = welch((one, freedom(base)), (two, freedom(other)));
            found[number] = Some(ratio(second / first, one.hypot(two), freedom));
        }
    }
    found
}

fn ratio(ratio: f64, error: f64, freedom: f64) -> Ratio {
    let width = student(CONFIDENCE, freedom) * error;
    // One side of a symmetric interval of 0.6 leaves 0.2 above it.
    let detectable = width + student(2.0 * POWER - 1.0, freedom) * error;
    Ratio {
        ratio,
        low: ratio * (-width).exp(),
        high: ratio * width.exp(),
        detectable: detectable.exp_m1(),
    }
}

/// Degrees of freedom of a difference, by the errors and degrees of both sides.
fn welch((one, one_freedom): (f64, f64), (two, two_freedom): (f64, f64)) -> f64 {
    let (one, two) = (one.powi(2), two.powi(2));
    let freedom = (one + two).powi(2) / (one.powi(2) / one_freedom + two.powi(2) / two_freedom);
    if freedom.is_finite() { freedom.clamp(1.0, FREEDOM_MAX) } else { 1.0 }
}

/// Half the width of the symmetric interval that holds such a share of Student's distribution.
///
/// With t = sqrt(n) tan(a), the density is that of cos(a)^(n-1), which is summed up.
fn student(share: f64, freedom: f64) -> f64 {
    let step = FRAC_PI_2 / f64::from(STEPS);
    let density = |at: u32| ((f64::from(at) + 0.5) * step).cos().powf(freedom - 1.0);
    let wanted = share * (0..STEPS).map(density).sum::<f64>();
    let mut sum = 0.0;
    for at in 0..STEPS {
        let next = sum + density(at);
        if next >= wanted {
            let part = (wanted - sum) / (next - sum);
            return freedom.sqrt() * ((f64::from(at) + part) * step).tan();
        }
        sum = next;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESAMPLES: u32 = 200;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, positive")]
    fn whole(number: f64) -> u64 {
        number.ceil() as u64
    }

    /// Pieces of 400 requests; the level of each varies, as that of runs does.
    fn pieces(random: &mut Random, count: u32, median: f64, drift: f64) -> Vec<Piece> {
        alike(random, count, median, drift, 0.0)
    }

    /// The same where the level of each is correlated with that of the one before.
    fn alike(
        random: &mut Random,
        count: u32,
        median: f64,
        drift: f64,
        correlation: f64,
    ) -> Vec<Piece> {
        let mut state = random.normal();
        let mut piece = |random: &mut Random| {
            state = correlation * state + (1.0 - correlation.powi(2)).sqrt() * random.normal();
            let level = median * (drift * state).exp();
            let mut values: Vec<u64> = (0..400)
                .map(|_| level * (0.3 * random.normal()).exp())
                .map(|us| whole(us) * 1_000)
                .collect();
            values.sort_unstable();
            let values = values.chunk_by(|one, other| one == other);
            Piece {
                values: values
                    .map(|equal| (equal[0], u64::try_from(equal.len()).unwrap()))
                    .collect(),
                seconds: 1.0,
                completed: 400,
                server: Some((0.003 * (drift * random.normal()).exp(), 400.0)),
            }
        };
        (0..count).map(|_| piece(random)).collect()
    }

    /// How often a difference is shown, of p50, p99, the mean and the CPU.
    fn shown(rounds: u32, pieces_a_side: u32, change: f64, is_series: bool) -> [u32; 4] {
        let mut random = Random::new(7);
        let mut shown = [0; 4];
        for round in 0..rounds {
            let mut sample =
                |median| Sample::new(&pieces(&mut random, pieces_a_side, median, 0.06), is_series);
            let (base, other) = (sample(100.0), sample(100.0 * change));
            let [p50, _, p99, _, mean, _, cpu] = ratios(&base, &other, round.into(), RESAMPLES);
            for (count, ratio) in shown.iter_mut().zip([p50, p99, mean, cpu]) {
                *count += u32::from(ratio.unwrap().is_different());
            }
        }
        shown
    }

    #[test]
    fn equal_sides_differ_in_about_5_of_100_comparisons() {
        // Of 300 with 5 %, 15 are expected, with a deviation of 3.8.
        for (pieces, is_series) in [(3, false), (5, false), (12, true)] {
            let shown = shown(300, pieces, 1.0, is_series);
            for count in shown {
                assert!((2..=33).contains(&count), "{count} of 300 with {pieces} pieces");
            }
        }
    }

    #[test]
    fn a_change_of_20_percent_is_found() {
        let [p50, p99, mean, cpu] = shown(100, 10, 1.2, true);
        assert!(p50 >= 95 && p99 >= 90 && mean >= 95, "{p50} {p99} {mean}");
        assert!(cpu <= 12, "the CPU was not changed: {cpu}");
    }

    #[test]
    fn the_detectable_effect_is_found_about_as_often_as_it_says() {
        let mut random = Random::new(3);
        let mut sample = |median| Sample::new(&pieces(&mut random, 10, median, 0.06), false);
        // It varies by a sixth from comparison to comparison.
        let mut detectable = 0.0;
        for seed in 0..50 {
            let [p50, ..] = ratios(&sample(100.0), &sample(100.0), seed, RESAMPLES);
            detectable += p50.unwrap().detectable / 50.0;
        }
        // By the levels and the requests of a piece, 0.09.
        assert!((0.08..0.105).contains(&detectable), "{detectable}");
        let [found, ..] = shown(200, 10, 1.0 + detectable, false);
        assert!((140..=180).contains(&found), "{found} of 200");
    }

    #[test]
    fn blocks_that_are_alike_are_not_taken_for_many() {
        let shown = |is_series: bool| {
            let mut random = Random::new(9);
            let mut shown = 0;
            for round in 0..300 {
                let mut sample =
                    || Sample::new(&alike(&mut random, 20, 100.0, 0.06, 0.5), is_series);
                let [p50, ..] = ratios(&sample(), &sample(), round, RESAMPLES);
                shown += u32::from(p50.unwrap().is_different());
            }
            shown
        };
        let (naive, corrected) = (shown(false), shown(true));
        // What is left comes from the few blocks by which the correlation is found.
        assert!(corrected * 3 < naive * 2 && corrected < 45, "{naive} {corrected}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let mut random = Random::new(1);
        let one = Sample::new(&pieces(&mut random, 8, 100.0, 0.1), true);
        let two = Sample::new(&pieces(&mut random, 8, 110.0, 0.1), true);
        assert_eq!(ratios(&one, &two, 5, 100), ratios(&one, &two, 5, 100));
        assert_ne!(ratios(&one, &two, 5, 100), ratios(&one, &two, 6, 100));
    }

    #[test]
    fn figures_are_those_of_all_pieces_together() {
        let piece = |latency: u64, count| Piece {
            values: vec![(latency * 1_000, count)],
            seconds: 2.0,
            completed: count,
            server: None,
        };
        let sample = Sample::new(&[piece(100, 60), piece(200, 40)], false);
        let value = |measure| sample.value(measure);
        assert_eq!(value(Measure::Quantile(0.5)), Some(100.0));
        assert_eq!(value(Measure::Quantile(0.9)), Some(200.0));
        assert_eq!(value(Measure::Quantile(0.99)), None, "one value is above it");
        assert_eq!((value(Measure::Mean), value(Measure::Throughput)), (Some(140.0), Some(25.0)));
        assert_eq!(value(Measure::ServerCpu), None);
        let nothing = Sample::new(&[], true);
        assert!(ratios(&nothing, &sample, 1, 10).iter().all(Option::is_none));
        assert!(
            ratios(&sample, &Sample::new(&[piece(1, 1)], true), 1, 10).iter().all(Option::is_none)
        );
    }

    #[test]
    fn neighbours_that_are_alike_widen_the_interval() {
        let levels = |levels: [u64; 8]| {
            let piece = |level| Piece { values: vec![(level * 1_000, 100)], ..Piece::default() };
            Sample::new(&levels.map(piece), true).alikeness(Measure::Mean)
        };
        assert!(levels([100, 101, 102, 103, 110, 111, 112, 113]) > 1.5);
        assert!(levels([100, 113, 100, 113, 100, 113, 100, 113]) <= 1.0);
        assert!((levels([100; 8]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, two_sided, one_sided) in [
            (1.0, 12.706, 1.376),
            (2.0, 4.303, 1.061),
            (5.0, 2.571, 0.920),
            (10.0, 2.228, 0.879),
            (30.0, 2.042, 0.854),
            (1_000.0, 1.962, 0.842),
        ] {
            assert!((student(0.95, freedom) - two_sided).abs() < 0.003, "{freedom}");
            assert!((student(0.6, freedom) - one_sided).abs() < 0.003, "{freedom}");
        }
    }
}
