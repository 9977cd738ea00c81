//! A load as data, as an agent needs it.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::HttpProtocol;
use crate::client::tls_plan::{Blob, TlsPlan};
use crate::load::LoadError;
use crate::load::options::LoadOptions;
use crate::load::result::VERSION;
use crate::load::schedule::Arrivals;
use crate::load::target::LoadUrl;

/// Threads of an agent, at most.
pub(super) const THREADS_MAX: usize = 1024;
/// Connections of all agents, at most, and requests at a time on each.
const CONNECTIONS_MAX: usize = 1_000_000;
const STREAMS_MAX: usize = 100_000;
/// An answer of TCP, at most.
const ANSWER_MAX: usize = 1 << 30;
/// The longest time of a run and of its waits.
const TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest time of a connect, for which an agent cannot be stopped.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes that are sent, at most.
const SIZE_MAX: usize = 32 << 20;

/// The part of one agent of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The version of results, which is also that of plans and reports.
    version: u32,
    /// The first place of this agent among all threads, and how many it has.
    pub(super) first: usize,
    pub(super) own: usize,
    /// Threads of all agents.
    threads: usize,
    targets: Vec<(String, u32)>,
    connections: usize,
    streams: usize,
    arrivals: Option<Arrivals>,
    think: Duration,
    duration: Option<Duration>,
    count: Option<u64>,
    warm_up: Duration,
    timeout: Duration,
    connect_timeout: Duration,
    keepalive: bool,
    sources: Vec<IpAddr>,
    tls: Option<TlsPlan>,
    protocol: HttpProtocol,
    method: String,
    fields: Vec<(String, String)>,
    body: Option<Blob>,
    size: usize,
    answer_size: Option<usize>,
    is_binary: bool,
    messages: Vec<Blob>,
    interval: Duration,
    seed: u64,
}

impl Plan {
    /// The part of agent `number` of a load.
    pub(super) fn of(options: &LoadOptions, number: usize, tls: Option<&TlsPlan>) -> Self {
        Self {
            version: VERSION,
            first: number * options.threads,
            own: options.threads,
            threads: options.all_threads(),
            targets: options.targets.iter().map(|(url, w)| (url.to_string(), *w)).collect(),
            connections: options.connections,
            streams: options.streams,
            arrivals: options.arrivals,
            think: options.think,
            duration: options.duration,
            count: options.count,
            warm_up: options.warm_up,
            timeout: options.timeout,
            connect_timeout: options.connect_timeout,
            keepalive: options.keepalive,
            sources: options.sources.clone(),
            tls: tls.cloned(),
            protocol: options.protocol,
            method: options.method.clone(),
            fields: options.fields.clone(),
            body: options.body.clone().map(Blob),
            size: options.size,
            answer_size: options.answer_size,
            is_binary: options.is_binary,
            messages: options.messages.iter().cloned().map(Blob).collect(),
            interval: options.interval,
            seed: options.seed,
        }
    }

    /// The options of this plan, if they are within the limits of an agent.
    pub(super) fn options(self) -> Result<LoadOptions, LoadError> {
        self.check()?;
        let urls = self.targets.iter().map(|(url, weight)| {
            let parsed: LoadUrl = url.parse().map_err(|error| wrong(format!("{url}: {error}")))?;
            if parsed.target.host().is_none() {
                let text = format!("{url}: agents load servers by TCP and UDP, no Unix sockets");
                return Err(wrong(text));
            }
            Ok((parsed, *weight))
        });
        let tls = self.tls.as_ref().map(TlsPlan::tls).transpose().map_err(LoadError::Client)?;
        Ok(LoadOptions {
            targets: urls.collect::<Result<_, LoadError>>()?,
            connections: self.connections,
            streams: self.streams,
            threads: self.threads,
            arrivals: self.arrivals,
            think: self.think,
            duration: self.duration,
            count: self.count,
            warm_up: self.warm_up,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            keepalive: self.keepalive,
            sources: self.sources,
            tls,
            protocol: self.protocol,
            method: self.method,
            fields: self.fields,
            body: self.body.map(|body| body.0),
            size: self.size,
            answer_size: self.answer_size,
            is_binary: self.is_binary,
            messages: self.messages.into_iter().map(|message| message.0).collect(),
            interval: self.interval,
            seed: self.seed,
            agents: None,
        })
    }

    fn check(&self) -> Result<(), LoadError> {
        PlanHead { version: self.version }.check()?;
        let bounds = [
            ("threads", self.own, THREADS_MAX.min(self.threads)),
            ("threads of all agents", self.threads, THREADS_MAX * super::AGENTS_MAX),
            ("the first thread", self.first, self.threads.saturating_sub(self.own)),
            ("connections", self.connections, CONNECTIONS_MAX),
            ("streams", self.streams, STREAMS_MAX),
            ("size", self.size, SIZE_MAX),
            ("answer size", self.answer_size.unwrap_or(0), ANSWER_MAX),
        ];
        for (name, number, most) in bounds {
            if number > most {
                return Err(wrong(format!("{name}: {number} exceeds the limit of agents, {most}")));
            }
        }
        let waits = [("think", self.think), ("warm-up", self.warm_up), ("timeout", self.timeout)];
        let times = waits.into_iter().chain([("interval", self.interval)]);
        let times = times.chain(self.duration.map(|time| ("duration", time)));
        let times = times.map(|(name, time)| (name, time, TIME_MAX));
        for (name, time, most) in
            times.chain([("connect timeout", self.connect_timeout, CONNECT_TIME_MAX)])
        {
            if time > most {
                let (time, most) = (time.as_secs(), most.as_secs());
                return Err(wrong(format!(
                    "{name}: {time} s exceeds the limit of agents, {most} s"
                )));
            }
        }
        Ok(())
    }
}

/// What every version has of a plan.
#[derive(Deserialize)]
pub(super) struct PlanHead {
    version: u32,
}

impl PlanHead {
    /// Checks that the version is supported.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        if self.version == VERSION {
            return Ok(());
        }
        Err(wrong(format!(
            "the coordinator has version {} of loads, this agent has {VERSION}: run the same \
             ringway on both",
            self.version
        )))
    }
}

fn wrong(reason: String) -> LoadError {
    LoadError::Options(reason)
}
