//! What HTTP proxies need of an upstream: its servers, when a try is repeated, and which servers
//! are left out.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value as Schema, json};
use toml::de::DeValue;
use toml::{Spanned, Value};

use super::super::accept::{Fault, parsed};
use super::super::kinds::{Bool, Bytes, Choice, Custom, Kind, List, Number, Time, Unless, Whole};
use super::super::schema::{DAY, HOUR, MILLISECOND, MINUTE, SECOND};
use super::super::section::{Field, Section};
use super::super::table::table;
use super::accept::{self, RetryReason};
use super::schema::{CONDITIONS_MAX, SERVER_PROTOCOL_WORDS};

table! {
    /// Load balancing, health checks, ejection and limits of an upstream. Some keys apply to HTTP
    /// proxies only, and are at their defaults for others.
    #[derive(Debug, Clone, PartialEq)]
    pub struct HttpUpstream {
        /// How long the share of a server grows after it became healthy. "off": it gets all of it
        /// at once.
        "slow_start" slow_start: Option<Duration> = None, Unless("off", Time(MILLISECOND..=HOUR));
        /// The failures after which a request is tried again, an array of: "connect" (no connection
        /// could be made), "reset" (it was lost before any byte of the answer), "timeout"
        /// (`try_timeout` was over), statuses from "500" to "599", and statuses of calls of gRPC
        /// that have failed before their first message, as in "grpc:unavailable".
        "retry_on" retry_on: RetryOn = RetryOn::default(), RetryReasons;
        /// Bytes of a body, at most, that is kept to be sent again; a request with a larger one is
        /// not tried again.
        "retry_body_max" retry_body_max: u32 = 64 << 10, Bytes(0..=16 << 20);
        /// How long one try may take, up to the head of its answer. "off": any time.
        "try_timeout" try_timeout: Option<Duration> = None, Unless("off", LONG_TIMEOUT);
        /// After this time without an answer, a second server is asked, and the first answer is
        /// taken. Only for requests without a body whose method is idempotent. It counts as a
        /// retry. "off": never.
        "hedge_after" hedge_after: Option<Duration> = None, Unless("off", LONG_TIMEOUT);
        /// Whether calls of gRPC are asked of another server in this way, too. Only where all
        /// methods may be carried out twice.
        "hedge_calls" hedge_calls: bool = false, Bool;
        /// How long the first byte of an answer may take.
        "first_byte_timeout" first_byte_timeout: Duration = Duration::from_secs(30), LONG_TIMEOUT;
        /// How long no byte of an answer may come.
        "response_idle_timeout" response_idle_timeout: Duration = MINUTE, LONG_TIMEOUT;
        /// Requests, connections of TCP and SNI proxies, and flows of UDP proxies in flight, in the
        /// whole process, of which each worker has an equal part. "off": any number.
        "requests_max" requests_max: Option<u32> = None, Unless("off", Whole(1..=1_000_000));
        /// Retries in flight, in the whole process, of which each worker has an equal part.
        "retries_max" retries_max: u32 = 64, Whole(1..=1_000_000);
        /// Which version of HTTP servers are spoken to in: "http1", "http2" (in clear text, they
        /// are known to speak it), or "auto" for the one that a server prefers by TLS, and HTTP/1.1
        /// in clear text.
        "protocol" protocol: ServerProtocol = ServerProtocol::Auto, Choice(SERVER_PROTOCOL_WORDS);
        /// The field `host` that servers get: "pass" for that of the client, "server" for the
        /// address of the server, or a host.
        "host_header" host_header: HostHeader = HostHeader::Pass, HOST_HEADER;
        /// Below this share of healthy servers, all are used; 0.0 for never.
        "panic_ratio" panic_ratio: f64 = 0.0, SHARE;
        .. {
            /// What each of [`Upstream::servers`](super::super::Upstream::servers) gets, in their
            /// order; one for each server.
            shares: Vec<ServerShare> = Vec::new();
            /// `hash_on`: what is hashed. Set if, and only if, the balance is
            /// [`Balance::Hash`](super::super::Balance::Hash).
            hash_on: Option<HashOn> = None;
            /// `[upstream.NAME.health]`: active checks. `None`: none are made.
            health: Option<HealthOptions> = None;
            /// `[upstream.NAME.eject]`: which servers are ejected for a time. `None`: those to
            /// which connects fail.
            eject: Option<EjectOptions> = None;
        }
    }
}

/// The range of timeouts of answers.
const LONG_TIMEOUT: Time = Time(MILLISECOND..=DAY);
/// A ratio.
const SHARE: Number = Number(0.0..=1.0);

const HOST_HEADER: Custom<HostHeader> = Custom {
    accept: |value| {
        parsed(value, "\"pass\", \"server\" or a host", |text| match text {
            "pass" => Ok(HostHeader::Pass),
            "server" => Ok(HostHeader::Server),
            _ => accept::authority(text).map(HostHeader::Name),
        })
    },
    write: |header| match header {
        HostHeader::Pass => Value::from("pass"),
        HostHeader::Server => Value::from("server"),
        HostHeader::Name(name) => Value::from(name.as_str()),
    },
    schema: || json!({ "type": "string", "minLength": 1 }),
};

/// Words, statuses and names of `retry_on`.
struct RetryReasons;

impl RetryReasons {
    const LIST: List<Custom<RetryReason>> = List {
        counts: 0..=CONDITIONS_MAX,
        each: Custom {
            accept: accept::retry_reason,
            write: |reason| match reason {
                RetryReason::Connect => Value::from("connect"),
                RetryReason::Reset => Value::from("reset"),
                RetryReason::Timeout => Value::from("timeout"),
                RetryReason::Status(status) => Value::from(status.to_string()),
                RetryReason::Code(code) => Value::from(format!("grpc:{code}")),
            },
            schema: || json!({ "type": ["string", "integer"] }),
        },
    };

    fn conditions(reasons: &[RetryReason]) -> RetryOn {
        let mut on = RetryOn { connect: false, ..RetryOn::default() };
        for reason in reasons {
            match reason {
                RetryReason::Connect => on.connect = true,
                RetryReason::Reset => on.reset = true,
                RetryReason::Timeout => on.timeout = true,
                RetryReason::Status(status) => on.statuses.push(*status),
                RetryReason::Code(code) => on.codes.push(code),
            }
        }
        on.statuses.sort_unstable();
        on.statuses.dedup();
        on.codes.sort_unstable();
        on.codes.dedup();
        on
    }

    fn reasons(on: &RetryOn) -> Vec<RetryReason> {
        let words = [
            (RetryReason::Connect, on.connect),
            (RetryReason::Reset, on.reset),
            (RetryReason::Timeout, on.timeout),
        ];
        let words = words.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason);
        let statuses = on.statuses.iter().map(|status| RetryReason::Status(*status));
        words.chain(statuses).chain(on.codes.iter().map(|code| RetryReason::Code(code))).collect()
    }
}

impl Kind for RetryReasons {
    type Value = RetryOn;

    fn accept(&self, value: &DeValue<'_>) -> Result<RetryOn, Fault> {
        Self::LIST.accept(value).map(|reasons| Self::conditions(&reasons))
    }

    fn read(&self, key: &str, section: &mut Section<'_, '_>) -> Field<RetryOn> {
        match Self::LIST.read(key, section).value() {
            Some(reasons) => {
                Field::Value(Spanned::new(reasons.span(), Self::conditions(reasons.get_ref())))
            }
            None => Field::Nothing,
        }
    }

    fn write(&self, value: &RetryOn) -> Value {
        Self::LIST.write(&Self::reasons(value))
    }

    fn schema(&self) -> Schema {
        Self::LIST.schema()
    }
}

/// The version of HTTP for the connections to servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProtocol {
    /// By TLS, the one that a server prefers of both; in clear text HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text, servers are known to speak it.
    Http2,
}

/// What a server gets of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerShare {
    /// `weight`: its share, in proportion to those of the others.
    pub weight: u32,
    /// `priority`: servers of a lower number are used first.
    pub priority: u8,
}

impl Default for ServerShare {
    fn default() -> Self {
        Self { weight: 1, priority: 0 }
    }
}

/// What is hashed to choose a server. Names are in lower case, but for those of cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// `"source"`: the address of the client.
    Source,
    /// `"path"`: the path of the request.
    Path,
    /// `"header:NAME"`: the value of a field.
    Header(String),
    /// `"cookie:NAME"`: the value of a cookie.
    Cookie(String),
}

/// The failures after which a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// `"connect"`: no connection could be made.
    pub connect: bool,
    /// `"reset"`: the connection was lost before any byte of the answer.
    pub reset: bool,
    /// `"timeout"`: a try took too long.
    pub timeout: bool,
    /// Statuses, 500 to 599, sorted.
    pub statuses: Vec<u16>,
    /// `"grpc:NAME"`: the names of statuses of calls of gRPC, sorted.
    pub codes: Vec<&'static str>,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            connect: true,
            reset: false,
            timeout: false,
            statuses: Vec::new(),
            codes: Vec::new(),
        }
    }
}

/// What servers get as `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// `"pass"`: what the client sent.
    Pass,
    /// `"server"`: the address of the server, as the file has it.
    Server,
    /// This text.
    Name(String),
}

table! {
    /// `[upstream.NAME.health]`: active checks of each server.
    #[derive(Debug, Clone, PartialEq)]
    pub struct HealthOptions {
        /// The time from one check to the next.
        "interval" interval: Duration = Duration::from_secs(2), Time(MILLISECOND..=DAY);
        /// How long a check may take, not above `interval`.
        "timeout" timeout: Duration = SECOND, Time(MILLISECOND..=MINUTE.saturating_mul(10));
        /// By which share of it the interval varies, so that checks do not come all at once.
        "jitter" jitter: f64 = 0.1, SHARE;
        /// Good checks in a row that make a server healthy.
        "rise" rise: u32 = 2, CHECKS;
        /// Bad checks in a row after which it is not.
        "fall" fall: u32 = 3, CHECKS;
        .. {
            /// The request of a check, and the expected answer.
            kind: HealthKind = HealthKind::Http(HttpCheck::default());
        }
    }
}

/// Checks in a row.
const CHECKS: Whole<u32> = Whole(1..=100);

/// The kind of an active check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthKind {
    /// `"tcp"`: a connection can be made.
    Tcp,
    /// `"tls"`: a TLS handshake can be done, as `[upstream.NAME.tls]` has it.
    Tls,
    /// `"frame"`: a PING of the framed protocol is answered.
    Frame,
    /// `"http"`: a GET is answered as expected.
    Http(HttpCheck),
    /// `"grpc"`: `grpc.health.v1.Health/Check` says that a service is served.
    Grpc(GrpcCheck),
}

/// A check by a call of gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrpcCheck {
    /// `service`: the service that is asked for. Empty: the server as a whole.
    pub service: String,
    /// `host`: the value of `:authority`. `None`: the address of the server.
    pub host: Option<String>,
}

/// A check by a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// `path`: the target, with a query or without.
    pub path: String,
    /// `status`: the statuses of a good answer.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// `body`: what the start of the body contains. `None`: anything.
    pub body: Option<String>,
    /// `host`: the value of `host`. `None`: the address of the server.
    pub host: Option<String>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self { path: "/".to_owned(), statuses: vec![200..=200], body: None, host: None }
    }
}

table! {
    /// `[upstream.NAME.eject]`: when a server is left out for a time, by what requests find.
    #[derive(Debug, Clone, PartialEq)]
    pub struct EjectOptions {
        /// Failures in a row; 0 for not by them.
        "consecutive_failures" consecutive_failures: u32 = 5, Whole(0..=10_000);
        /// Failed connects in a row; 0 for not by them. After its time, the first failed connect
        /// ejects the server again.
        "consecutive_connect_failures" consecutive_connect_failures: u32 = 3, Whole(0..=10_000);
        /// The share of failures within an interval; 0.0 for not by it.
        "error_rate" error_rate: f64 = 0.5, SHARE;
        /// How many times slower than the median of the servers, which may differ on purpose; 0.0
        /// for not by it.
        "latency_factor" latency_factor: f64 = 0.0, Number(0.0..=1000.0);
        /// Requests of a server within an interval, without which rates say nothing.
        "min_requests" min_requests: u32 = 20, Whole(1..=1_000_000);
        /// How long requests are counted together.
        "interval" interval: Duration = Duration::from_secs(10), Time(SECOND..=HOUR);
        /// How long a server is left out the first time.
        "time" time: Duration = Duration::from_secs(30), Time(MILLISECOND..=DAY);
        /// The share of the servers that may be left out.
        "share_max" share_max: f64 = 0.5, SHARE;
    }
}
