//! What listeners do, and what frame and HTTP proxies need of their upstreams.

use std::path::PathBuf;
use std::time::Duration;

use super::{HttpOptions, SniOptions, defaults};

/// What a listener does: the key `protocol`, and those that only some protocols have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerService {
    /// `"tcp"`: bytes of a connection go to a server of an upstream, and back.
    Tcp {
        /// The index of the upstream in [`Config::upstreams`](super::Config::upstreams).
        upstream: usize,
    },
    /// `"echo"`: bytes go back to the client.
    Echo,
    /// `"udp"`: datagrams of a flow go to a server of an upstream, and back.
    Udp {
        /// The index of the upstream in [`Config::upstreams`](super::Config::upstreams).
        upstream: usize,
        /// How datagrams are received and sent.
        options: UdpOptions,
        /// `max_flows`: flows at a time, in the whole process.
        max_flows: u32,
        /// `flow_timeout`: how long nothing may move on a flow before it is forgotten.
        flow_timeout: Duration,
    },
    /// `"udp_echo"`: datagrams go back to where they came from.
    UdpEcho {
        /// How datagrams are received and sent.
        options: UdpOptions,
    },
    /// `"frame"`: requests in frames, many at a time on one connection.
    Frame {
        /// The index of the upstream in [`Config::upstreams`](super::Config::upstreams) whose
        /// servers answer. `None`: this process answers.
        upstream: Option<usize>,
        /// What a connection may ask for.
        options: FrameOptions,
    },
    /// `"messages"`: one JSON message a line, answered by this process.
    Messages {
        /// `line_limit`: bytes of a line, at most.
        line_limit: u32,
    },
    /// `"sni"`: connections of TLS go to a server of the upstream of the name that the client asks
    /// for, as they are.
    Sni {
        /// The index of the upstream in [`Config::upstreams`](super::Config::upstreams) of other
        /// names, and of clients that ask for none. `None`: they are refused.
        upstream: Option<usize>,
        /// The names.
        options: SniOptions,
    },
    /// `"http"`: requests of HTTP, each of which its route answers.
    Http(
        /// What clients may do, and the routes.
        Box<HttpOptions>,
    ),
}

impl ListenerService {
    /// The topics that clients of frames publish to, if there are any.
    #[must_use]
    pub const fn frame_topics(&self) -> Option<usize> {
        match self {
            Self::Frame { options, .. } => options.topics,
            Self::Tcp { .. }
            | Self::Echo
            | Self::Udp { .. }
            | Self::UdpEcho { .. }
            | Self::Http(_)
            | Self::Messages { .. }
            | Self::Sni { .. } => None,
        }
    }

    /// What a listener of HTTP answers.
    #[must_use]
    pub const fn http(&self) -> Option<&HttpOptions> {
        match self {
            Self::Http(http) => Some(http),
            Self::Tcp { .. }
            | Self::Echo
            | Self::Udp { .. }
            | Self::UdpEcho { .. }
            | Self::Frame { .. }
            | Self::Messages { .. }
            | Self::Sni { .. } => None,
        }
    }

    /// The index of the upstream in [`Config::upstreams`](super::Config::upstreams), of a proxy
    /// that has one alone. The routes of HTTP have theirs: see [`Self::uses`].
    #[must_use]
    pub const fn upstream(&self) -> Option<usize> {
        match self {
            Self::Tcp { upstream } | Self::Udp { upstream, .. } => Some(*upstream),
            Self::Frame { upstream, .. } | Self::Sni { upstream, .. } => *upstream,
            Self::Echo | Self::UdpEcho { .. } | Self::Messages { .. } | Self::Http(_) => None,
        }
    }

    /// Flows that it may have at a time, of a proxy of datagrams.
    pub(crate) const fn max_flows(&self) -> Option<u32> {
        match self {
            Self::Udp { max_flows, .. } => Some(*max_flows),
            Self::Tcp { .. }
            | Self::Echo
            | Self::UdpEcho { .. }
            | Self::Frame { .. }
            | Self::Messages { .. }
            | Self::Sni { .. }
            | Self::Http(_) => None,
        }
    }

    /// The indexes of all upstreams that it names, some of them more than once.
    pub fn upstreams(&self) -> impl Iterator<Item = usize> + '_ {
        let (routes, names) = match self {
            Self::Http(options) => (Some(options.upstreams()), None),
            Self::Sni { options, .. } => (None, Some(&options.names)),
            Self::Tcp { .. }
            | Self::Echo
            | Self::Udp { .. }
            | Self::UdpEcho { .. }
            | Self::Frame { .. }
            | Self::Messages { .. } => (None, None),
        };
        let names = names.into_iter().flatten().map(|(_, index)| *index);
        routes.into_iter().flatten().chain(names).chain(self.upstream())
    }

    /// Whether an upstream gets connections, flows or requests from it.
    #[must_use]
    pub fn uses(&self, upstream: usize) -> bool {
        self.upstreams().any(|index| index == upstream)
    }

    /// Whether it takes datagrams, and not connections.
    #[must_use]
    pub const fn is_udp(&self) -> bool {
        match self {
            Self::Udp { .. } | Self::UdpEcho { .. } => true,
            Self::Tcp { .. }
            | Self::Echo
            | Self::Frame { .. }
            | Self::Messages { .. }
            | Self::Sni { .. }
            | Self::Http(_) => false,
        }
    }
}

/// How a listener receives and sends datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpOptions {
    /// Whether the kernel passes many datagrams of a flow at once, in (GRO) and out (GSO).
    pub offload: bool,
    /// Which core gets a datagram.
    pub steering: Steering,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { offload: defaults::OFFLOAD, steering: defaults::STEERING }
    }
}

/// Which core gets a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// That of its flow: the kernel's hash keeps a flow on one core.
    Flow,
    /// That which received it from the network card.
    Cpu,
}

/// What a connection of frames may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameOptions {
    /// Requests of one connection that may be open.
    pub window: u16,
    /// Bytes of the payload of one frame, at most.
    pub max_payload: u16,
    /// What a GET of a name gives, sorted by name. Empty for a proxy.
    pub values: Vec<(String, String)>,
    /// The directory whose files a GET gives. `None` for a proxy.
    pub files: Option<PathBuf>,
    /// The topics that clients publish to, by their index in `Config::topics`. `None` for a proxy.
    pub topics: Option<usize>,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self {
            window: defaults::WINDOW,
            max_payload: defaults::MAX_PAYLOAD,
            values: Vec::new(),
            files: None,
            topics: None,
        }
    }
}

/// The connections that frame and HTTP proxies keep to the servers of an upstream: the keys
/// `pool_*` and `streams_max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// `pool_max`: connections at a time, in the whole process.
    pub max: u32,
    /// `pool_min_idle`: idle connections that are kept, not above `max`.
    pub min_idle: u32,
    /// `pool_idle_timeout`: how long a connection beyond those may be idle before it is closed.
    pub idle_timeout: Duration,
    /// `pool_max_age`: how old a connection may be to get further requests. `None`: any age.
    pub max_age: Option<Duration>,
    /// `pool_queue`: exchanges that may wait for a connection.
    pub queue: u32,
    /// `pool_queue_timeout`: how long an exchange may wait for a connection.
    pub queue_timeout: Duration,
    /// `streams_max`: requests in flight on one connection, of a frame proxy.
    pub streams_max: u16,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max: defaults::POOL_MAX,
            min_idle: defaults::POOL_MIN_IDLE,
            idle_timeout: defaults::POOL_IDLE_TIMEOUT,
            max_age: defaults::POOL_MAX_AGE,
            queue: defaults::POOL_QUEUE,
            queue_timeout: defaults::POOL_QUEUE_TIMEOUT,
            streams_max: defaults::STREAMS_MAX,
        }
    }
}

/// One request of a frame or HTTP proxy with its answer: the keys `request_timeout` and `retry_*`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeOptions {
    /// `request_timeout`: how long it may take until its answer begins, with its tries, and then
    /// between two parts of it that its client takes; of a frame proxy. Routes of HTTP have
    /// [`Route::total_timeout`](super::Route::total_timeout).
    pub timeout: Duration,
    /// `retry_backoff`: the pause before the second try.
    pub backoff: Duration,
    /// `retry_backoff_max`: the longest pause before a try, not below `backoff`.
    pub backoff_max: Duration,
    /// `retry_budget`: retries as a share of requests.
    pub budget: f64,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            timeout: defaults::REQUEST_TIMEOUT,
            backoff: defaults::RETRY_BACKOFF,
            backoff_max: defaults::RETRY_BACKOFF_MAX,
            budget: defaults::RETRY_BUDGET,
        }
    }
}
