//! A load as data: all that an agent has to know of it.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::{ClientError, HttpProtocol, Tls};
use crate::load::LoadError;
use crate::load::options::LoadOptions;
use crate::load::result::VERSION;
use crate::load::schedule::Arrivals;
use crate::net::tls::{ClientOptions, Policy, Roots, Version};

/// Threads of an agent, at most.
const THREADS_MAX: usize = 1024;
/// Connections of all agents, at most, and requests at a time on each.
const CONNECTIONS_MAX: usize = 10_000_000;
const STREAMS_MAX: usize = 100_000;
/// An answer of TCP, at most.
const ANSWER_MAX: usize = 1 << 30;
/// The longest time of a run and of its waits.
const TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How TLS is spoken with a server, as data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Issuers that are trusted, in PEM; `None`: those of the system.
    pub ca: Option<Blob>,
    /// Issuers and names are not verified.
    pub is_insecure: bool,
    /// The name that the server has to show, in place of that of the URL.
    pub server_name: Option<String>,
    /// The certificate of the client and its key, in PEM.
    pub identity: Option<(Blob, Blob)>,
    /// Certificates or keys that the server may have.
    pub pins: Vec<String>,
    /// Only TLS 1.3 is spoken.
    pub is_tls13: bool,
}

impl TlsPlan {
    /// TLS as it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn tls(&self) -> Result<Tls, ClientError> {
        let roots = match &self.ca {
            _ if self.is_insecure => Roots::Nobody,
            Some(pem) => Roots::Given(pem.0.clone()),
            None => Roots::System,
        };
        let min_version = if self.is_tls13 { Version::Tls13 } else { Version::Tls12 };
        let pins = self.pins.iter().map(|pin| pin.parse()).collect::<Result<_, _>>();
        let pins = pins.map_err(|error: crate::net::tls::PinError| ClientError::TlsOptions {
            reason: error.to_string(),
        })?;
        let tls = Tls::new(ClientOptions {
            policy: Policy { min_version, ..Policy::default() },
            roots,
            pins,
            identity: self.identity.clone().map(|(cert, key)| (cert.0, key.0)),
            ..ClientOptions::default()
        })?;
        match &self.server_name {
            Some(name) => tls.with_server_name(name),
            None => Ok(tls),
        }
    }
}

/// Bytes that JSON has as base64.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    /// Without the bytes: they may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Protocol {
    Auto,
    Http1,
    Http2,
}

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
    protocol: Protocol,
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
            protocol: match options.protocol {
                HttpProtocol::Auto => Protocol::Auto,
                HttpProtocol::Http1 => Protocol::Http1,
                HttpProtocol::Http2 => Protocol::Http2,
            },
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

    /// What it says, if it is within the limits of an agent.
    pub(super) fn options(self) -> Result<LoadOptions, LoadError> {
        self.check()?;
        let urls = self.targets.iter().map(|(url, weight)| {
            let parsed = url.parse().map_err(|error| wrong(format!("{url}: {error}")));
            Ok((parsed?, *weight))
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
            protocol: match self.protocol {
                Protocol::Auto => HttpProtocol::Auto,
                Protocol::Http1 => HttpProtocol::Http1,
                Protocol::Http2 => HttpProtocol::Http2,
            },
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
        if self.version != VERSION {
            return Err(wrong(format!(
                "the coordinator has version {} of loads, this agent has {VERSION}: run the same \
                 ringway on both",
                self.version
            )));
        }
        let times = [self.think, self.warm_up, self.timeout, self.connect_timeout, self.interval];
        let fits = self.own <= THREADS_MAX
            && self.first.checked_add(self.own).is_some_and(|end| end <= self.threads)
            && self.threads <= THREADS_MAX * super::AGENTS_MAX
            && self.connections <= CONNECTIONS_MAX
            && self.streams <= STREAMS_MAX
            && self.size <= ANSWER_MAX
            && self.answer_size.is_none_or(|size| size <= ANSWER_MAX)
            && times.into_iter().chain(self.duration).all(|time| time <= TIME_MAX);
        if fits { Ok(()) } else { Err(wrong("a number of it is beyond its limit".to_owned())) }
    }
}

fn wrong(reason: String) -> LoadError {
    LoadError::Options(reason)
}
