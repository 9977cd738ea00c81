//! What listeners do, and what frame and HTTP proxies need of their upstreams.

use std::path::PathBuf;
use std::time::Duration;

use super::kinds::{Bool, Bytes, Choice, Number, Time, Unless, Whole};
use super::schema::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, STEERING_WORDS};
use super::table::table;
use super::{HttpOptions, SniOptions};

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
        /// How many flows there may be, and for how long.
        flows: FlowOptions,
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
    Messages(
        /// What a client may send.
        LineOptions,
    ),
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
            | Self::Messages(_)
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
            | Self::Messages(_)
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
            Self::Echo | Self::UdpEcho { .. } | Self::Messages(_) | Self::Http(_) => None,
        }
    }

    /// Flows that it may have at a time, of a proxy of datagrams.
    pub(crate) const fn max_flows(&self) -> Option<u32> {
        match self {
            Self::Udp { flows, .. } => Some(flows.max_flows),
            Self::Tcp { .. }
            | Self::Echo
            | Self::UdpEcho { .. }
            | Self::Frame { .. }
            | Self::Messages(_)
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
            | Self::Messages(_) => (None, None),
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
            | Self::Messages(_)
            | Self::Sni { .. }
            | Self::Http(_) => false,
        }
    }
}

table! {
    /// How a listener receives and sends datagrams.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct UdpOptions {
        /// Whether the kernel passes many datagrams of a flow at once, in (GRO) and out (GSO).
        "offload" offload: bool = true, Bool;
        /// Which core gets a datagram: "flow" (the kernel's hash keeps a flow on its core), or
        /// "cpu" (the core that received it from the network card). By default what holds with any
        /// network card.
        "steering" steering: Steering = Steering::Flow, Choice(STEERING_WORDS);
    }
}

table! {
    /// Flows of a proxy of datagrams.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct FlowOptions {
        /// Flows at a time, in the whole process.
        "max_flows" max_flows: u32 = 4096, Whole(1..=1_000_000);
        /// How long nothing may move on a flow before it is forgotten.
        "flow_timeout" timeout: Duration = MINUTE, Time(MILLISECOND..=DAY);
    }
}

table! {
    /// What clients of messages may send.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct LineOptions {
        /// Bytes of a line, at most.
        "line_limit" line_limit: u32 = 64 << 10, Bytes(128..=16 << 20);
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

table! {
    /// What a connection of frames may ask for.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FrameOptions {
        /// Requests of one connection that may be open. By default what covers a distant client at
        /// some milliseconds a request.
        "window" window: u16 = 256, Whole(1..=u16::MAX);
        /// Bytes of the payload of one frame, at most. By default the most that a frame can carry.
        "max_payload" max_payload: u16 = u16::MAX, Bytes(64..=u16::MAX);
        .. {
            /// What a GET of a name gives, sorted by name. Empty for a proxy.
            values: Vec<(String, String)> = Vec::new();
            /// The directory whose files a GET gives. `None` for a proxy.
            files: Option<PathBuf> = None;
            /// The topics that clients publish to, by their index in `Config::topics`. `None` for
            /// a proxy.
            topics: Option<usize> = None;
        }
    }
}

table! {
    /// The connections that frame and HTTP proxies keep to the servers of an upstream: the keys
    /// `pool_*` and `streams_max`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PoolOptions {
        /// Connections at a time, in the whole process. For HTTP proxies, where each carries one
        /// request, the default is 4096.
        "pool_max" max: u32 = 64, Whole(1..=100_000);
        /// Idle connections that are kept, not above `pool_max`. By default they are made when they
        /// are needed.
        "pool_min_idle" min_idle: u32 = 0, Whole(0..=1000);
        /// How long a connection beyond those may be idle before it is closed.
        "pool_idle_timeout" idle_timeout: Duration = MINUTE, Time(MILLISECOND..=DAY);
        /// How old a connection may be to get further requests. "off": any age.
        "pool_max_age" max_age: Option<Duration> = Some(HOUR),
            Unless("off", Time(SECOND..=DAY.saturating_mul(7)));
        /// Requests that may wait for a connection.
        "pool_queue" queue: u32 = 1024, Whole(1..=1_000_000);
        /// How long a request may wait for a connection, one that is being made among them.
        "pool_queue_timeout" queue_timeout: Duration = SECOND,
            Time(MILLISECOND..=MINUTE.saturating_mul(10));
        /// Requests in flight on one connection, of frame proxies and HTTP/2.
        "streams_max" streams_max: u16 = 128, Whole(1..=u16::MAX);
    }
}

table! {
    /// One request of a frame or HTTP proxy with its answer: the keys `request_timeout` and
    /// `retry_*`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ExchangeOptions {
        /// How long a request may take until its answer begins, with its tries, and then between
        /// two parts of it while the client takes them.
        "request_timeout" timeout: Duration = Duration::from_secs(30), Time(MILLISECOND..=DAY);
        /// The longest pause before the second try of a request; the actual one is random.
        "retry_backoff" backoff: Duration = Duration::from_millis(25), Time(MILLISECOND..=MINUTE);
        /// The longest pause before a try, not below `retry_backoff`.
        "retry_backoff_max" backoff_max: Duration = SECOND,
            Time(MILLISECOND..=MINUTE.saturating_mul(10));
        /// Further tries as a share of all requests, so that failing servers are not asked twice as
        /// much.
        "retry_budget" budget: f64 = 0.2, Number(0.0..=1.0);
    }
}
