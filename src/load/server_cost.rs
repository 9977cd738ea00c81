//! What a run costs the server: sampled beside it, from a process of this machine or from a page of
//! metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::LoadError;
use super::result::ServerCost;
use crate::client::{Http, HttpOptions};
use crate::runtime::clock::now;

/// How often the server is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The same of a process of this machine, which costs little.
const EVERY_OF_PROCESS: Duration = Duration::from_millis(100);
/// How long a page of metrics may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Samples that are kept, at most.
const SAMPLES_MAX: usize = 4000;
/// Names of counters of CPU seconds, of gauges of memory, and of counters of requests. The first
/// that a page has counts; of a name with several labels, the sum.
const CPU: &[&str] = &["process_cpu_seconds_total", "ringway_worker_cpu_seconds_total"];
const MEMORY: &[&str] = &["process_resident_memory_bytes"];
const REQUESTS: &[&str] =
    &["ringway_http_requests_total", "http_requests_total", "nginx_http_requests_total"];

/// Where it is known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostSource {
    /// A process of this machine.
    Process(u32),
    /// A page of metrics, as Prometheus reads them.
    Metrics(String),
}

/// What was seen at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sample {
    cpu: Option<f64>,
    memory: Option<f64>,
    requests: Option<f64>,
}

/// Looks at a server until it is asked what came of it.
#[derive(Debug)]
pub struct CostSampler {
    source: CostSource,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, Sample)>>,
}

impl CostSampler {
    /// Begins; the first look is made at once, so that a source that cannot be read is told before
    /// the run.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn begin(source: CostSource) -> Result<Self, LoadError> {
        let reader = Reader::new(source.clone());
        let first = reader.read()?;
        if first.cpu.is_none() {
            return Err(LoadError::Options(format!(
                "{} has no {}: CPU per request cannot be told",
                reader.source.name(),
                CPU[0]
            )));
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&is_over);
        let thread = std::thread::Builder::new().name("load-server".to_owned());
        let thread = thread.spawn(move || sample(&reader, first, &stops));
        let thread = thread.map_err(|error| LoadError::Thread(error.to_string()))?;
        Ok(Self { source, is_over, thread })
    }

    /// Ends, with what the server used between two times.
    #[must_use]
    pub fn end(self, from: Instant, to: Instant) -> Option<ServerCost> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let samples = self.thread.join().ok()?;
        Some(cost(self.source.name(), &samples, from, to))
    }
}

impl CostSource {
    fn name(&self) -> String {
        match self {
            Self::Process(id) => format!("process {id}"),
            Self::Metrics(url) => url.clone(),
        }
    }
}

fn sample(reader: &Reader, first: Sample, stops: &AtomicBool) -> Vec<(Instant, Sample)> {
    let mut samples = vec![(now(), first)];
    let mut every = match reader.source {
        CostSource::Process(_) => EVERY_OF_PROCESS,
        CostSource::Metrics(_) => EVERY,
    };
    loop {
        let is_last = stops.load(Ordering::Relaxed);
        if samples.len() >= SAMPLES_MAX {
            // A long run is looked at less often.
            let mut number = 0;
            samples.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            every *= 2;
        }
        if let Ok(sample) = reader.read() {
            samples.push((now(), sample));
        }
        if is_last {
            return samples;
        }
        std::thread::park_timeout(every);
    }
}

/// The cost between two times: between two samples it grows evenly.
fn cost(source: String, samples: &[(Instant, Sample)], from: Instant, to: Instant) -> ServerCost {
    let part = |read: fn(&Sample) -> Option<f64>| {
        Some((value_at(samples, to, read)? - value_at(samples, from, read)?).max(0.0))
    };
    let start = value_at(samples, from, |sample| sample.cpu).unwrap_or_default();
    let within = samples.iter().filter(|(taken, _)| *taken >= from && *taken <= to);
    let told = within.filter_map(|(taken, sample)| {
        let since = taken.saturating_duration_since(from).as_secs_f64();
        Some((since, (sample.cpu? - start).max(0.0)))
    });
    let memory = samples.iter().rfind(|(taken, _)| *taken <= to).or_else(|| samples.last());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    let whole = |value: f64| value.max(0.0) as u64;
    ServerCost {
        source,
        cpu_seconds: part(|sample| sample.cpu),
        rss_bytes: memory.and_then(|(_, sample)| sample.memory).map(whole),
        requests: part(|sample| sample.requests).map(whole),
        samples: told.collect(),
    }
}

/// What was read at a time, or would have been.
fn value_at(
    samples: &[(Instant, Sample)],
    at: Instant,
    read: fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    let place = samples.partition_point(|(taken, _)| *taken <= at);
    let before = place.checked_sub(1).and_then(|place| samples.get(place));
    match (before, samples.get(place)) {
        (Some((earlier, first)), Some((later, second))) => {
            let (first, second) = (read(first)?, read(second)?);
            let whole = later.saturating_duration_since(*earlier).as_secs_f64();
            let part = at.saturating_duration_since(*earlier).as_secs_f64();
            Some(if whole > 0.0 { first + (second - first) * part / whole } else { first })
        }
        (Some((_, only)), None) | (None, Some((_, only))) => read(only),
        (None, None) => None,
    }
}

/// Reads a source.
struct Reader {
    source: CostSource,
}

impl Reader {
    const fn new(source: CostSource) -> Self {
        Self { source }
    }

    fn read(&self) -> Result<Sample, LoadError> {
        match &self.source {
            CostSource::Process(id) => read_process(*id),
            CostSource::Metrics(url) => {
                // A client has a loop of its own, which stays with its thread.
                let mut http = Http::new(HttpOptions::default());
                let mut answer = http.get(url, PATIENCE).map_err(LoadError::Client)?;
                if answer.status() != 200 {
                    let status = answer.status();
                    return Err(LoadError::Options(format!("{url} answers with status {status}")));
                }
                let page = answer.collect(PATIENCE).map_err(LoadError::Client)?;
                Ok(read_page(&String::from_utf8_lossy(&page)))
            }
        }
    }
}

fn read_process(id: u32) -> Result<Sample, LoadError> {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/{id}/{name}")).map_err(|error| {
            LoadError::Options(format!("the process {id} cannot be looked at: {error}"))
        })
    };
    let (stat, memory) = (read("stat")?, read("statm")?);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (page, ticks) = (page.unwrap_or(4096) as f64, ticks.unwrap_or(100) as f64);
    // The name, which stands in parentheses, may have anything in it.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks_of = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok());
    let cpu = ticks_of(11).zip(ticks_of(12)).map(|(user, system)| (user + system) / ticks);
    let resident = memory.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok());
    Ok(Sample { cpu, memory: resident.map(|pages| pages * page), requests: None })
}

/// Reads a page of metrics.
fn read_page(page: &str) -> Sample {
    let sum = |names: &[&str]| {
        names.iter().find_map(|name| {
            let values = page.lines().filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let is_it = rest.starts_with('{') || rest.starts_with(' ');
                let value = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
                value.split_whitespace().next().filter(|_| is_it)?.parse::<f64>().ok()
            });
            let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        })
    };
    Sample { cpu: sum(CPU), memory: sum(MEMORY), requests: sum(REQUESTS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_by_name_and_summed_over_labels() {
        let page = "# HELP process_cpu_seconds_total CPU\nprocess_cpu_seconds_total 12.5\n\
            process_cpu_seconds_total_other 99\nringway_http_requests_total{route=\"a}b\"} 3\n\
            ringway_http_requests_total{route=\"c\"} 4 1700000000\n\
            process_resident_memory_bytes NaN\n";
        let expected = Sample { cpu: Some(12.5), memory: None, requests: Some(7.0) };
        assert_eq!(read_page(page), expected);
        assert_eq!(read_page(""), Sample::default());
    }

    #[test]
    fn a_process_of_this_machine_is_looked_at() {
        let own = read_process(std::process::id()).unwrap();
        assert!(own.cpu.is_some() && own.memory.is_some_and(|bytes| bytes > 1e5), "{own:?}");
        let error = read_process(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("cannot be looked at"), "{error}");
    }

    #[test]
    fn the_cost_is_that_between_two_times() {
        let start = now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let samples: Vec<_> = (0..10)
            .map(|second| {
                let sample = Sample {
                    cpu: Some(second as f64 * 0.5),
                    memory: Some(1000.0),
                    requests: Some(second as f64 * 100.0),
                };
                (at(second), sample)
            })
            .collect();
        let found = cost("x".to_owned(), &samples, at(2), at(6));
        assert_eq!((found.cpu_seconds, found.requests), (Some(2.0), Some(400)));
        assert_eq!(found.samples.first(), Some(&(0.0, 0.0)));
        // Between two samples.
        let half = at(2) + Duration::from_millis(500);
        let found = cost("x".to_owned(), &samples, half, half + Duration::from_secs(2));
        assert_eq!((found.cpu_seconds, found.requests), (Some(1.0), Some(200)));
        assert_eq!(found.rss_bytes, Some(1000));
    }
}
