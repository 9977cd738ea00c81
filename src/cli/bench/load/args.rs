//! The switches of a load.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::Screen;
use super::agents::AgentsArgs;
use crate::cli::connect::tls::TlsArgs;
use crate::cli::connect::{Failure, call_messages, header, period};
use crate::client::HttpProtocol;
use crate::load::options::{LoadOptions, random_bytes};
use crate::load::report::Paths;
use crate::load::schedule::Arrivals;
use crate::load::server_cost::CostSource;
use crate::load::slo::{Expression, parse};
use crate::load::target::{LoadUrl, Scheme};

/// URLs of a file, at most.
const URLS_MAX: usize = 100_000;
/// Bytes that are sent, at most.
const SIZE_MAX: u64 = 1 << 30;

const CONNECTIONS_MAX: u32 = 1_000_000;
const STREAMS_MAX: u32 = 100_000;
const THREADS_MAX: u32 = 1024;

fn up_to(most: u32) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(most))
}

/// What to load, and how.
#[derive(Debug, Args)]
pub(in crate::cli::bench) struct LoadArgs {
    /// What to ask for; several of one server are taken at random
    #[arg(value_name = "URL", required_unless_present = "urls")]
    urls_given: Vec<LoadUrl>,
    /// Read URLs from a file, one a line, with a weight behind each [default: 1]
    #[arg(long, value_name = "FILE")]
    urls: Option<PathBuf>,
    /// Connections
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = up_to(CONNECTIONS_MAX))]
    connections: u32,
    /// Requests at a time on each connection: streams of HTTP/2 and gRPC, messages of WebSocket,
    /// frames, datagrams
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = up_to(STREAMS_MAX))]
    streams: u32,
    /// Threads, each with a loop of its own [default: 1]
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = up_to(THREADS_MAX))]
    threads: u32,
    /// How long to measure [default: 10s, or until --requests]
    #[arg(short, long, value_name = "DURATION", value_parser = period)]
    duration: Option<Duration>,
    /// How many requests to send in all
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// How long to load before it is measured
    #[arg(long, value_name = "DURATION", value_parser = period, default_value = "0s")]
    warm_up: Duration,
    /// Open loop: requests a second, at equal distances
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with_all = ["poisson", "ramp"])]
    rate: Option<f64>,
    /// Open loop: requests a second, independent of each other
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "ramp")]
    poisson: Option<f64>,
    /// Open loop: a rate that grows linearly; the report marks where the server no longer kept up
    #[arg(long, value_name = "FROM..TO/DURATION", value_parser = ramp)]
    ramp: Option<Ramp>,
    /// Search the highest rate at which this holds, such as 'p99<5ms,errors<0.1%'
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["ramp", "requests"])]
    pub(super) slo: Option<String>,
    /// Exit with 1 if this holds, such as 'p99>20ms'; may be given several times
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) fail_if: Vec<String>,
    /// Failed requests that are no failure of the run: a number, or a percentage such as 0.1%
    #[arg(long, value_name = "N|PERCENT%", default_value = "0")]
    pub(super) max_errors: MaxErrors,
    /// Closed loop: how long a connection rests between an answer and the next request
    #[arg(long, value_name = "DURATION", value_parser = period, default_value = "0s")]
    think: Duration,
    /// How long an answer may take
    #[arg(long, value_name = "DURATION", value_parser = period, default_value = "10s")]
    timeout: Duration,
    /// How long a connect may take, with the handshake of TLS
    #[arg(long, value_name = "DURATION", value_parser = period, default_value = "5s")]
    connect_timeout: Duration,
    /// HTTP/1.1: a connection for each request
    #[arg(long)]
    no_keepalive: bool,
    /// Connect from this address of this machine; may be given several times, to be taken in turn
    #[arg(long, value_name = "IP")]
    source: Vec<IpAddr>,
    /// HTTP: the method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// HTTP, gRPC and WebSocket: a field to be sent; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// What is sent: the body of HTTP, the message of WebSocket and frames, the bytes of TCP and
    /// UDP
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["body_file", "body_random"])]
    body: Option<String>,
    /// The same from a file
    #[arg(long, value_name = "FILE", conflicts_with = "body_random")]
    body_file: Option<PathBuf>,
    /// So many random bytes of it
    #[arg(long, value_name = "SIZE", value_parser = size)]
    body_random: Option<usize>,
    /// TCP, UDP, frames, WebSocket: bytes that are sent where no body is given
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64")]
    size: usize,
    /// TCP: bytes of an answer [default: as many as are sent]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    answer_size: Option<usize>,
    /// WebSocket: messages are of bytes, and not of text
    #[arg(long)]
    binary: bool,
    /// HTTP: speak HTTP/1.1
    #[arg(long, conflicts_with = "http2")]
    http1: bool,
    /// HTTP: speak HTTP/2
    #[arg(long)]
    http2: bool,
    /// gRPC: the message of a call as JSON; several, one behind the other, for a stream
    #[arg(long, value_name = "JSON", conflicts_with = "message_file")]
    message: Option<String>,
    /// gRPC: the message as it is on the wire, from a file
    #[arg(long, value_name = "FILE")]
    message_file: Option<PathBuf>,
    /// gRPC: read definitions from this file, and do not ask the server; may be given several times
    #[arg(long, value_name = "FILE")]
    proto: Vec<PathBuf>,
    /// gRPC: where --proto and its imports are searched for
    #[arg(long, value_name = "DIR", requires = "proto")]
    import_path: Vec<PathBuf>,
    /// Write the result as JSON, for `ringway bench compare`; - is standard output
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    json: Option<PathBuf>,
    /// Write the intervals as CSV
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    csv: Option<PathBuf>,
    /// Write percentiles as HdrHistogram prints them
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    hgrm: Option<PathBuf>,
    /// Write an interval log of HdrHistogram (version 2)
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    log: Option<PathBuf>,
    /// Write a page with charts
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    html: Option<PathBuf>,
    /// The time of one interval of reports
    #[arg(long, value_name = "DURATION", value_parser = period, default_value = "1s")]
    #[arg(help_heading = "Reports")]
    interval: Duration,
    /// Tell CPU per request of the server from a page of metrics (Prometheus)
    #[arg(long, value_name = "URL", conflicts_with = "server_pid", help_heading = "Reports")]
    server_metrics: Option<String>,
    /// Tell it from a process of this machine
    #[arg(long, value_name = "PID", help_heading = "Reports")]
    server_pid: Option<u32>,
    /// Do not show how it goes
    #[arg(short, long, help_heading = "Reports")]
    quiet: bool,
    /// What random numbers begin with: the same seed gives the same requests at the same times
    #[arg(long, value_name = "N", default_value_t = 24301)]
    seed: u64,
    #[command(flatten)]
    agents: AgentsArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

/// A rate that grows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ramp {
    from: f64,
    to: f64,
    over: Duration,
}

/// Failed requests that are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MaxErrors {
    Count(u64),
    Percent(f64),
}

impl MaxErrors {
    pub(super) fn allowed(self, sent: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                #[expect(clippy::cast_precision_loss, reason = "a share")]
                let share = sent as f64 * percent / 100.0;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "not negative"
                )]
                let share = share as u64;
                share
            }
        }
    }
}

impl FromStr for MaxErrors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a number, or a percentage from 0% to 100%, such as 0.1%".to_owned();
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
                (0.0..=100.0).contains(&percent).then_some(Self::Percent(percent)).ok_or_else(wrong)
            }
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// A number of requests a second: `500`, `20k`, `1.5M`.
fn rate(text: &str) -> Result<f64, String> {
    let wrong = || "write requests a second, such as 500, 20k or 1.5M".to_owned();
    let (number, scale) = match text.trim_end_matches("/s") {
        text if text.ends_with(['k', 'K']) => (&text[..text.len() - 1], 1e3),
        text if text.ends_with('M') => (&text[..text.len() - 1], 1e6),
        text => (text, 1.0),
    };
    let value: f64 = number.parse().map_err(|_| wrong())?;
    let value = value * scale;
    if value.is_finite() && value > 0.0 && value <= 1e9 { Ok(value) } else { Err(wrong()) }
}

fn ramp(text: &str) -> Result<Ramp, String> {
    let wrong = || "write FROM..TO/DURATION, such as 1k..50k/30s".to_owned();
    let (rates, over) = text.rsplit_once('/').ok_or_else(wrong)?;
    let (from, to) = rates.split_once("..").ok_or_else(wrong)?;
    let from = if from == "0" { 0.0 } else { rate(from)? };
    let (to, over) = (rate(to)?, period(over)?);
    if over.is_zero() { Err(wrong()) } else { Ok(Ramp { from, to, over }) }
}

fn size(text: &str) -> Result<usize, String> {
    let size: crate::config::units::Size =
        text.parse().map_err(|error| format!("{error}, such as 64 or 16KiB"))?;
    let is_valid = size.0 <= SIZE_MAX;
    let size = usize::try_from(size.0).ok().filter(|_| is_valid);
    size.ok_or_else(|| "at most 1GiB is sent".to_owned())
}

/// Reads `--urls`.
fn read_urls(text: &str) -> Result<Vec<(LoadUrl, u32)>, String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason: String| format!("line {number}: {reason}");
        let mut words = line.split_whitespace();
        let (url, weight) = (words.next().unwrap_or_default(), words.next());
        let url = url.parse().map_err(|error| wrong(format!("{url}: {error}")))?;
        let weight = weight.map_or(Ok(1), str::parse);
        let weight = weight.map_err(|_| wrong("a weight is a whole number".to_owned()))?;
        if words.next().is_some() {
            return Err(wrong("a URL and a weight stand in a line, and no more".to_owned()));
        }
        found.push((url, weight));
        if found.len() > URLS_MAX {
            return Err(format!("there are more than {URLS_MAX} URLs"));
        }
    }
    if found.is_empty() { Err("there is no URL in it".to_owned()) } else { Ok(found) }
}

impl LoadArgs {
    /// Where reports go.
    pub(super) fn paths(&self) -> Result<Paths, Failure> {
        let all = [&self.json, &self.csv, &self.hgrm, &self.log, &self.html];
        let mut places: Vec<PathBuf> = Vec::new();
        for path in all.into_iter().flatten() {
            // The file may not be there yet: its folder is.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or_else(|| Path::new(".")).canonicalize().ok();
            let place = folder.zip(path.file_name()).map(|(folder, name)| folder.join(name));
            let place = place.unwrap_or_else(|| path.clone());
            let place = place.canonicalize().unwrap_or(place);
            if places.contains(&place) {
                let text = format!("{}: two reports cannot be one file", path.display());
                return Err(Failure::Usage(text));
            }
            places.push(place);
        }
        Ok(Paths {
            json: self.json.clone(),
            csv: self.csv.clone(),
            hgrm: self.hgrm.clone(),
            log: self.log.clone(),
            html: self.html.clone(),
        })
    }

    pub(super) const fn requests(&self) -> Option<u64> {
        self.requests
    }

    /// Where the cost of the server is known from.
    pub(in crate::cli::bench) fn cost_source(&self) -> Option<CostSource> {
        let process = self.server_pid.map(CostSource::Process);
        process.or_else(|| self.server_metrics.clone().map(CostSource::Metrics))
    }

    pub(super) const fn has_duration(&self) -> bool {
        self.duration.is_some()
    }

    /// What an expression of `--slo` or `--fail-if` says.
    #[expect(clippy::unused_self, reason = "it belongs to the switches")]
    pub(super) fn expressions(&self, text: &str) -> Result<Vec<Expression>, Failure> {
        parse(text).map_err(|error| Failure::Usage(format!("{text:?}: {error}")))
    }

    /// What shows how it goes.
    pub(in crate::cli::bench) fn screen(&self, is_terminal: bool) -> Screen {
        Screen::new(self.quiet, is_terminal)
    }

    /// The two servers of a comparison.
    pub(in crate::cli::bench) fn two_urls(&self) -> Result<[LoadUrl; 2], Failure> {
        if self.urls.is_some() || self.slo.is_some() || self.json.is_some() {
            let text = "two servers are compared without --urls, --slo and --json";
            return Err(Failure::Usage(text.to_owned()));
        }
        <[LoadUrl; 2]>::try_from(self.urls_given.clone())
            .map_err(|given| Failure::Usage(format!("two URLs are compared, not {}", given.len())))
    }

    /// Where the page goes.
    pub(in crate::cli::bench) fn html_path(&self) -> Option<&Path> {
        self.html.as_deref()
    }

    /// What the run does.
    pub(super) fn options(&self) -> Result<LoadOptions, Failure> {
        self.options_of(self.targets()?)
    }

    /// The same for other targets.
    pub(in crate::cli::bench) fn options_of(
        &self,
        targets: Vec<(LoadUrl, u32)>,
    ) -> Result<LoadOptions, Failure> {
        self.slo
            .iter()
            .chain(&self.fail_if)
            .try_for_each(|text| self.expressions(text).map(drop))?;
        let Some((first, _)) = targets.first().cloned() else {
            return Err(Failure::Usage("there is no URL".to_owned()));
        };
        if !first.is_secure && self.tls.is_given() {
            return Err(Failure::Usage(format!("{first}: the switches of TLS are for TLS")));
        }
        let arrivals = match (self.rate, self.poisson, self.ramp) {
            (Some(rate), _, _) => Some(Arrivals::Constant { rate }),
            (None, Some(rate), _) => Some(Arrivals::Poisson { rate }),
            (None, None, Some(Ramp { from, to, over })) => Some(Arrivals::Ramp { from, to, over }),
            (None, None, None) => None,
        };
        let duration = match (self.duration, self.ramp, self.requests) {
            (Some(duration), _, _) => Some(duration),
            (None, Some(ramp), _) => Some(ramp.over),
            (None, None, Some(_)) => None,
            (None, None, None) => Some(Duration::from_secs(10)),
        };
        let protocol = match (self.http1, self.http2) {
            (true, _) => HttpProtocol::Http1,
            (false, true) => HttpProtocol::Http2,
            (false, false) => HttpProtocol::Auto,
        };
        let body = self.body()?;
        let method = self.method.clone();
        let method =
            method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        Ok(LoadOptions {
            connections: self.connections as usize,
            streams: self.streams as usize,
            threads: self.threads as usize,
            arrivals,
            think: self.think,
            duration,
            count: self.requests,
            warm_up: self.warm_up,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            keepalive: !self.no_keepalive,
            sources: self.source.clone(),
            tls: if first.is_secure { Some(self.tls.tls()?) } else { None },
            protocol,
            method,
            fields: self.headers.clone(),
            body,
            size: self.size,
            answer_size: self.answer_size,
            is_binary: self.binary,
            messages: self.messages(&first)?,
            interval: self.interval,
            seed: self.seed,
            agents: self
                .agents
                .agents(|| first.is_secure.then(|| self.tls.plan_for_agents()).transpose())?,
            targets,
        })
    }

    fn targets(&self) -> Result<Vec<(LoadUrl, u32)>, Failure> {
        let mut targets: Vec<_> = self.urls_given.iter().cloned().map(|url| (url, 1)).collect();
        if let Some(path) = &self.urls {
            let wrong =
                |reason: String| Failure::Usage(format!("--urls {}: {reason}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
            targets.extend(read_urls(&text).map_err(wrong)?);
        }
        Ok(targets)
    }

    fn body(&self) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(path) = &self.body_file {
            return read("--body-file", path).map(Some);
        }
        if let Some(size) = self.body_random {
            return Ok(Some(random_bytes(self.seed, size)));
        }
        Ok(self.body.clone().map(String::into_bytes))
    }

    /// The messages of a call.
    fn messages(&self, first: &LoadUrl) -> Result<Vec<Vec<u8>>, Failure> {
        if first.scheme != Scheme::Grpc {
            let is_given = self.message.is_some() || self.message_file.is_some();
            if is_given || !self.proto.is_empty() {
                let text = "--message, --message-file and --proto are for grpc:// and grpcs://";
                return Err(Failure::Usage(text.to_owned()));
            }
            return Ok(Vec::new());
        }
        if let Some(path) = &self.message_file {
            return Ok(vec![read("--message-file", path)?]);
        }
        match &self.message {
            None => Ok(vec![Vec::new()]),
            Some(json) => call_messages(
                &first.to_string(),
                json,
                (&self.headers, self.connect_timeout),
                (&self.proto, &self.import_path),
                &self.tls,
            ),
        }
    }
}

pub(super) fn read(switch: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(path);
    let bytes =
        bytes.map_err(|error| Failure::Usage(format!("{switch} {}: {error}", path.display())))?;
    match bytes.len() as u64 > SIZE_MAX {
        true => Err(Failure::Usage(format!("{switch} {}: at most 1GiB is sent", path.display()))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_ramps_are_read() {
        assert_eq!((rate("500"), rate("20k"), rate("1.5M/s")), (Ok(500.0), Ok(2e4), Ok(1.5e6)));
        for wrong in ["", "0", "-5", "k", "1e300", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        let over = Duration::from_secs(30);
        assert_eq!(ramp("1k..50k/30s"), Ok(Ramp { from: 1e3, to: 5e4, over }));
        assert_eq!(ramp("0..10/30s"), Ok(Ramp { from: 0.0, to: 10.0, over }));
        for wrong in ["1k..50k", "1k/30s", "1..0/5s", "1..2/0s", "../1s"] {
            assert!(ramp(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_are_allowed_by_number_or_share() {
        assert_eq!("5".parse::<MaxErrors>().unwrap().allowed(100), 5);
        assert_eq!("0.5%".parse::<MaxErrors>().unwrap().allowed(1000), 5);
        for wrong in ["", "x", "-1", "101%", "%"] {
            assert!(wrong.parse::<MaxErrors>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_of_a_file_have_weights() {
        let urls = read_urls("# of a site\nhttp://a/x 3\n\n  http://a/y\n").unwrap();
        let told: Vec<_> = urls.iter().map(|(url, weight)| (url.to_string(), *weight)).collect();
        assert_eq!(told, [("http://a/x".to_owned(), 3), ("http://a/y".to_owned(), 1)]);
        for (text, word) in [
            ("", "no URL"),
            ("http://a/ x", "line 1: a weight"),
            ("\nhttp://a/ 1 2", "line 2: a URL and a weight"),
            ("a", "line 1: a: begin with"),
        ] {
            assert!(read_urls(text).unwrap_err().contains(word), "{text}");
        }
    }
}
