//! The pages `/latency` and `/latency/histograms`: how long requests took.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::metrics::Exporter;
use crate::session::{Distribution, Latencies, LatencyPhase};

/// Quantiles that are shown, by their names.
const QUANTILES: [(&str, f64); 8] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];
/// The version of what [`Exporter::histograms_json`] writes.
const HISTOGRAMS_VERSION: u32 = 1;
/// Fewer durations above a quantile say nothing about it.
const ABOVE_MIN: f64 = 10.0;

impl Exporter {
    /// Quantiles of all routes and upstreams, in microseconds, as JSON.
    pub(super) fn latency_json(&self, latencies: &Latencies) -> String {
        let mut told = self.all_of(latencies, described);
        told["resolution_us"] = micros(Distribution::RESOLUTION).into();
        told["error"] = Distribution::ERROR.into();
        line(&told)
    }

    /// The distributions themselves, as JSON: what `ringway report` reads.
    pub(super) fn histograms_json(&self, latencies: &Latencies) -> String {
        let mut told = self.all_of(latencies, counted);
        told["tool"] = concat!("ringway ", env!("CARGO_PKG_VERSION")).into();
        told["version"] = HISTOGRAMS_VERSION.into();
        line(&told)
    }

    fn all_of(
        &self,
        latencies: &Latencies,
        describe: fn(&Distribution) -> Map<String, Value>,
    ) -> Value {
        let named = |labels: &[(&str, &str)], distribution: &Distribution| {
            let mut all = describe(distribution);
            all.extend(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
            Value::Object(all)
        };
        let mut routes = Vec::new();
        for (number, listener, route) in self.route_names() {
            if let Some(found) = latencies.route(number) {
                routes.push(named(&[("listener", listener), ("route", route)], found));
            }
        }
        let mut upstreams = Vec::new();
        for (number, upstream) in self.upstream_names() {
            for phase in LatencyPhase::ALL {
                if let Some(found) = latencies.upstream(number, phase) {
                    let labels = [("upstream", upstream), ("phase", phase.name())];
                    upstreams.push(named(&labels, found));
                }
            }
        }
        json!({ "routes": routes, "upstreams": upstreams })
    }
}

fn line(value: &Value) -> String {
    let mut text = value.to_string();
    text.push('\n');
    text
}

/// The counts of all steps.
fn counted(distribution: &Distribution) -> Map<String, Value> {
    let steps: Vec<[u64; 2]> = distribution.steps().map(|(most, count)| [most, count]).collect();
    let mut all = Map::new();
    all.insert("sum_us".to_owned(), micros(distribution.sum()).into());
    all.insert("steps".to_owned(), json!(steps));
    all
}

/// Quantiles.
fn described(distribution: &Distribution) -> Map<String, Value> {
    let mut all = Map::new();
    let count = distribution.count();
    all.insert("count".to_owned(), count.into());
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^53")]
    let total = count as f64;
    let mean = if count == 0 { 0.0 } else { distribution.sum().as_secs_f64() / total * 1e6 };
    all.insert("mean_us".to_owned(), decimal(mean).into());
    for (name, share) in QUANTILES {
        let is_known = share >= 1.0 || total * (1.0 - share) + 1e-6 >= ABOVE_MIN;
        // What is told is what all of them are below: never 0, which no answer takes.
        let bound = || micros(distribution.quantile(share) + Distribution::RESOLUTION);
        all.insert(format!("{name}_us"), is_known.then(bound).into());
    }
    all
}

fn micros(time: Duration) -> f64 {
    decimal(time.as_secs_f64() * 1e6)
}

/// With one decimal.
fn decimal(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_that_few_durations_are_above_is_not_shown() {
        let mut distribution = Distribution::default();
        for n in 1..=100_u64 {
            distribution.record(Duration::from_millis(n));
        }
        let shown = described(&distribution);
        assert_eq!(shown["count"].as_u64(), Some(100));
        let p50 = shown["p50_us"].as_f64().unwrap();
        assert!((49_000.0..52_000.0).contains(&p50), "{p50}");
        assert!(shown["p90_us"].is_number());
        assert!(shown["p95_us"].is_null() && shown["p99.9_us"].is_null());
        assert!((99_000.0..102_000.0).contains(&shown["max_us"].as_f64().unwrap()));
        // What took less than can be told is not told as nothing.
        let mut at_once = Distribution::default();
        (0..100).for_each(|_| at_once.record(Duration::ZERO));
        let shown = described(&at_once);
        assert_eq!((shown["p50_us"].as_f64(), shown["max_us"].as_f64()), (Some(1.0), Some(1.0)));
    }
}
