//! What a run does, and what is made of that for its threads.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::LoadError;
use super::agents::Agents;
use super::schedule::Arrivals;
use super::setup::{Pace, Setup, Speaks, Weights};
use super::target::{LoadUrl, Scheme};
use super::wire::{http1, http2, websocket};
use crate::client::{HttpProtocol, PreparedRequest, Request, Tls};
use crate::mem::Text;
use crate::net::tls::ClientOptions;
use crate::proto::grpc::framed;
use crate::proto::http::{BodySize, Known};
use crate::proto::http1::{Framing, write};
use crate::proto::websocket::{Opcode, handshake};
use crate::ring::SocketAddress;
use crate::service::cluster::random::next_random;
use crate::service::grpc::CONTENT_TYPE;

/// How long an open loop polls before a request is due: a little more than a sleep is late.
const SPIN: Duration = Duration::from_micros(40);
/// Bytes of a datagram of UDP over IPv4, at most.
const DATAGRAM_MAX: usize = 65_507;

/// What a run does.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// What is asked for, and how often each in relation to the others. All are of one server.
    pub targets: Vec<(LoadUrl, u32)>,
    /// Connections.
    pub connections: usize,
    /// Requests at a time on each of them.
    pub streams: usize,
    /// Threads of a machine, each with a loop and its part of the connections.
    pub threads: usize,
    /// When requests are due. `None`: a closed loop.
    pub arrivals: Option<Arrivals>,
    /// Closed loop: how long each connection rests between an answer and the next request.
    pub think: Duration,
    /// How long it is measured. `None`: until `count` is reached.
    pub duration: Option<Duration>,
    /// Requests in all. `None`: any number.
    pub count: Option<u64>,
    /// Time before that is not measured.
    pub warm_up: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// How long a connection is.
    pub connect_timeout: Duration,
    /// Whether connections carry more than one request.
    pub keepalive: bool,
    /// Addresses of this machine that connections are made from, in turn.
    pub sources: Vec<IpAddr>,
    /// How TLS is spoken; without it, with the issuers that the system trusts.
    pub tls: Option<Tls>,
    /// Which version of HTTP is spoken.
    pub protocol: HttpProtocol,
    /// The method of HTTP.
    pub method: String,
    /// Fields of HTTP, and metadata of gRPC.
    pub fields: Vec<(String, String)>,
    /// The body of HTTP, the message of WebSocket and of frames, the bytes of TCP and UDP.
    pub body: Option<Vec<u8>>,
    /// Bytes of what is sent where no body is given.
    pub size: usize,
    /// Bytes of an answer of TCP. `None`: as many as were sent.
    pub answer_size: Option<usize>,
    /// WebSocket: whether messages are of bytes.
    pub is_binary: bool,
    /// gRPC: the messages of each call.
    pub messages: Vec<Vec<u8>>,
    /// The time of one interval in reports.
    pub interval: Duration,
    /// What random numbers begin with.
    pub seed: u64,
    /// Machines that run the load in place of this one, each with so many threads.
    pub agents: Option<Agents>,
}

impl LoadOptions {
    /// A closed loop of 10 s on 10 connections.
    #[must_use]
    pub fn new(url: LoadUrl) -> Self {
        Self {
            targets: vec![(url, 1)],
            connections: 10,
            streams: 1,
            threads: 1,
            arrivals: None,
            think: Duration::ZERO,
            duration: Some(Duration::from_secs(10)),
            count: None,
            warm_up: Duration::ZERO,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            keepalive: true,
            sources: Vec::new(),
            tls: None,
            protocol: HttpProtocol::Auto,
            method: "GET".to_owned(),
            fields: Vec::new(),
            body: None,
            size: 64,
            answer_size: None,
            is_binary: false,
            messages: Vec::new(),
            interval: Duration::from_secs(1),
            seed: 0x5eed,
            agents: None,
        }
    }

    /// Threads of all machines that run it.
    #[must_use]
    pub fn all_threads(&self) -> usize {
        self.threads * self.agents.as_ref().map_or(1, |agents| agents.targets.len())
    }

    /// What the URLs have in common.
    fn first(&self) -> Result<&LoadUrl, LoadError> {
        let Some(((first, _), others)) = self.targets.split_first() else {
            return Err(LoadError::Options("there is no URL".to_owned()));
        };
        for (other, _) in others {
            let is_alike = (other.scheme, other.is_secure, &other.target)
                == (first.scheme, first.is_secure, &first.target);
            if !is_alike || !first.scheme.has_path() {
                return Err(LoadError::Options(format!(
                    "{other} is not of the same server as {first}: several URLs are of one scheme, \
                     host and port, and differ in their paths"
                )));
            }
        }
        if self.targets.iter().all(|(_, weight)| *weight == 0) {
            return Err(LoadError::Options("every weight is 0".to_owned()));
        }
        Ok(first)
    }

    fn check(&self, first: &LoadUrl, is_http2: bool) -> Result<(), LoadError> {
        let wrong = |reason: &str| Err(LoadError::Options(reason.to_owned()));
        if self.connections == 0 || self.streams == 0 || self.threads == 0 {
            return wrong("connections, streams and threads are at least 1");
        }
        if self.threads > self.connections {
            return wrong("there are more threads than connections");
        }
        if self.duration.is_none() && self.count.is_none() {
            return wrong("a run has a duration or a number of requests");
        }
        let shortest = Duration::from_millis(10);
        if self.interval < shortest || self.duration.is_some_and(|time| time < shortest) {
            return wrong("a run, and an interval of its report, take at least 10 ms");
        }
        if first.scheme == Scheme::Udp && !(1..=DATAGRAM_MAX).contains(&self.payload_size()) {
            return wrong("a datagram has 1 to 65,507 bytes");
        }
        if self.streams > 1 && first.scheme == Scheme::Http && !is_http2 {
            return wrong("HTTP/1.1 carries one request at a time: more connections, or HTTP/2");
        }
        if !self.keepalive && (is_http2 || first.scheme != Scheme::Http) {
            return wrong("a connection for each request is for HTTP/1.1");
        }
        if self.arrivals.is_some() && !self.think.is_zero() {
            return wrong("an open loop does not think: its requests are due at their own times");
        }
        if let Some(arrivals) = self.arrivals {
            let rates = match arrivals {
                Arrivals::Constant { rate } | Arrivals::Poisson { rate } => [rate, rate],
                Arrivals::Ramp { from, to, .. } => [from, to],
            };
            let is_valid = |rate: &f64| rate.is_finite() && *rate >= 0.0 && *rate <= 1e9;
            if !rates.iter().all(is_valid) || rates[1] <= 0.0 {
                return wrong("a rate is above 0, and at most 1,000,000,000 a second");
            }
        }
        Ok(())
    }

    /// What TLS is spoken, with this protocol alone (ALPN).
    fn tls_of(&self, first: &LoadUrl, protocols: &[&[u8]]) -> Result<Option<Tls>, LoadError> {
        if !first.is_secure {
            return Ok(None);
        }
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => Tls::new(ClientOptions::default()).map_err(LoadError::Client)?,
        };
        let tls = if protocols.is_empty() { tls } else { tls.with_protocols(protocols) };
        tls.of_target(&first.target).map(Some).map_err(LoadError::Client)
    }

    /// What the threads of the run share. Names are resolved, and by `https://` a connection may be
    /// made to learn which version of HTTP the server prefers.
    pub(super) fn setup(&self) -> Result<(Setup, &'static str), LoadError> {
        let first = self.first()?;
        let is_http2 = match (first.scheme, self.protocol) {
            (Scheme::Http2 | Scheme::Grpc, _) | (Scheme::Http, HttpProtocol::Http2) => true,
            (Scheme::Http, HttpProtocol::Auto) if first.is_secure => self.prefers_http2(first)?,
            _ => false,
        };
        self.check(first, is_http2)?;
        let protocols: &[&[u8]] = match first.scheme {
            Scheme::Tcp | Scheme::Udp | Scheme::Frame => &[],
            Scheme::WebSocket => &[b"http/1.1"],
            Scheme::Http | Scheme::Http2 | Scheme::Grpc if is_http2 => &[b"h2"],
            Scheme::Http | Scheme::Http2 | Scheme::Grpc => &[b"http/1.1"],
        };
        let tls = self.tls_of(first, protocols)?;
        let addresses = self.addresses(first)?;
        let (speaks, protocol) = match first.scheme {
            Scheme::Tcp => {
                let question = Text::from(&*self.payload());
                let answer = self.answer_size.unwrap_or(question.len());
                if question.is_empty() || answer == 0 {
                    return Err(LoadError::Options("sizes are at least 1".to_owned()));
                }
                (Speaks::Raw { question, answer }, "TCP")
            }
            Scheme::Udp => (Speaks::Datagrams { question: Text::from(&*self.payload()) }, "UDP"),
            Scheme::Frame => (Speaks::Frames { payload: Text::from(&*self.payload()) }, "frame"),
            Scheme::WebSocket => {
                (Speaks::WebSocket { prepared: self.websocket(first)? }, "WebSocket")
            }
            Scheme::Grpc => (Speaks::Http2 { targets: self.http2(true)? }, "gRPC"),
            Scheme::Http | Scheme::Http2 if is_http2 => {
                (Speaks::Http2 { targets: self.http2(false)? }, "HTTP/2")
            }
            Scheme::Http | Scheme::Http2 => (Speaks::Http1 { targets: self.http1()? }, "HTTP/1.1"),
        };
        let pace = match self.arrivals {
            Some(arrivals) => Pace::Open(arrivals),
            None => Pace::Closed { think: self.think },
        };
        let setup = Setup {
            addresses,
            sources: self.sources.clone(),
            tls,
            speaks,
            weights: Weights::new(self.targets.iter().map(|(_, weight)| *weight)),
            connections: self.connections,
            streams: self.streams,
            threads: self.threads,
            pace,
            keepalive: self.keepalive,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            warm_up: self.warm_up,
            duration: self.duration,
            count: self.count,
            slice: self.interval,
            seed: self.seed,
            spin: SPIN,
        };
        Ok((setup, protocol))
    }

    fn addresses(&self, first: &LoadUrl) -> Result<Vec<SocketAddress>, LoadError> {
        let all = first.target.resolve(self.connect_timeout).map_err(LoadError::Client)?;
        let is_usable = |address: &SocketAddress| {
            // Sources of one family reach servers of that one only.
            let families = || self.sources.iter().map(IpAddr::is_ipv6);
            self.sources.is_empty()
                || address.ip().is_some_and(|ip| families().any(|family| family == ip.is_ipv6()))
        };
        let usable: Vec<_> = all.into_iter().filter(is_usable).collect();
        // One server is loaded: the first address, as a client would take it.
        match usable.into_iter().next() {
            Some(address) => Ok(vec![address]),
            None => Err(LoadError::Options(format!(
                "{} has no address of the family of the source addresses",
                first.target
            ))),
        }
    }

    fn payload_size(&self) -> usize {
        self.body.as_ref().map_or(self.size, Vec::len)
    }

    fn payload(&self) -> Vec<u8> {
        self.body.clone().unwrap_or_else(|| filler(self.size))
    }

    fn request(&self, url: &LoadUrl) -> Result<PreparedRequest, LoadError> {
        self.request_of(url, &self.method, self.body.as_deref().unwrap_or_default())
    }

    fn request_of(
        &self,
        url: &LoadUrl,
        method: &str,
        body: &[u8],
    ) -> Result<PreparedRequest, LoadError> {
        let http =
            url.http.clone().ok_or_else(|| LoadError::Options(format!("{url} has no path")))?;
        let mut request = Request::to(method, http);
        for (name, value) in &self.fields {
            request = match name.eq_ignore_ascii_case("host") {
                true => request.authority(value),
                false => request.field(name, value),
            };
        }
        request.body(body).prepare().map_err(LoadError::Client)
    }

    fn http1(&self) -> Result<Arc<[http1::Prepared]>, LoadError> {
        let each = self.targets.iter().map(|(url, _)| {
            let request = self.request(url)?;
            let framing = match request.size {
                BodySize::None => Framing::None,
                BodySize::Known(length) => Framing::Length(length),
                BodySize::Unknown => Framing::Chunked,
            };
            let connection = match self.keepalive {
                true => write::Connection::Persist,
                false => write::Connection::Close,
            };
            let delimit = write::Delimit { framing, length: request.length(), connection };
            let mut bytes = Vec::new();
            let line = (request.url.path(), request.authority.as_bytes());
            write::request(&request.head, line, None, delimit, &mut bytes);
            bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
            Ok(http1::Prepared { method: request.head.method, bytes: Text::from(&*bytes) })
        });
        each.collect()
    }

    fn http2(&self, is_call: bool) -> Result<Arc<[http2::Prepared]>, LoadError> {
        let each = self.targets.iter().map(|(url, _)| {
            let (request, body) = match is_call {
                true => {
                    let messages = self.messages.iter().flat_map(|one| framed(one));
                    (self.call(url)?, Some(messages.collect()))
                }
                false => (self.request(url)?, self.body.clone()),
            };
            Ok(http2::Prepared {
                path: request.url.path().to_owned(),
                authority: request.authority,
                scheme: if url.is_secure { "https" } else { "http" },
                head: Arc::new(request.head),
                body: body.filter(|body: &Vec<u8>| !body.is_empty()).map(|body| Text::from(&*body)),
                is_call,
            })
        });
        each.collect()
    }

    /// A call of gRPC, without its messages.
    fn call(&self, url: &LoadUrl) -> Result<PreparedRequest, LoadError> {
        let mut request = self.request_of(url, "POST", b"")?;
        request.head.fields.push_known(Known::ContentType, CONTENT_TYPE);
        request.head.takes_trailers = true;
        Ok(request)
    }

    fn websocket(&self, url: &LoadUrl) -> Result<websocket::Prepared, LoadError> {
        const KEY_PLACE: &str = "\r\nsec-websocket-key: ";
        let mut request = self.request_of(url, "GET", b"")?;
        let fields = &mut request.head.fields;
        fields.push(b"upgrade", b"websocket");
        fields.push(handshake::VERSION_FIELD, b"13");
        fields.push(handshake::KEY, b"-");
        let delimit = write::Delimit {
            framing: Framing::None,
            length: None,
            connection: write::Connection::Upgrade,
        };
        let mut bytes = Vec::new();
        let line = (request.url.path(), request.authority.as_bytes());
        write::request(&request.head, line, None, delimit, &mut bytes);
        let place =
            memchr::memmem::find(&bytes, KEY_PLACE.as_bytes()).map(|at| at + KEY_PLACE.len());
        let place =
            place.ok_or_else(|| LoadError::Options("the handshake has no key".to_owned()))?;
        let message = self.payload();
        if !self.is_binary && std::str::from_utf8(&message).is_err() {
            return Err(LoadError::Options(
                "the message is not UTF-8, and messages of text are: send it as bytes".to_owned(),
            ));
        }
        Ok(websocket::Prepared {
            before_key: Text::from(&bytes[..place]),
            behind_key: Text::from(&bytes[place + 1..]),
            opcode: if self.is_binary { Opcode::Binary } else { Opcode::Text },
            message: Text::from(&*message),
        })
    }

    /// Whether a server of TLS prefers HTTP/2.
    fn prefers_http2(&self, first: &LoadUrl) -> Result<bool, LoadError> {
        let tls = self.tls_of(first, &[b"h2", b"http/1.1"])?;
        let options = crate::client::ConnectOptions {
            deadline: self.connect_timeout,
            tls,
            ..crate::client::ConnectOptions::default()
        };
        crate::client::agreed_protocol(&first.target, &options)
            .map(|protocol| protocol.as_deref() == Some(b"h2"))
            .map_err(LoadError::Client)
    }
}

/// Random bytes for a body: the same for the same seed.
#[must_use]
pub fn random_bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut random = seed;
    let bytes = (0..size.div_ceil(8)).flat_map(|_| next_random(&mut random).to_le_bytes());
    bytes.take(size).collect()
}

/// So many bytes that are text, and do not compress to nothing.
fn filler(size: usize) -> Vec<u8> {
    let mut random = 0x5eed;
    let letters = b"abcdefghijklmnopqrstuvwxyz012345";
    let letter = |_| {
        let number = next_random(&mut random);
        letters[usize::try_from(number % 32).unwrap_or(0)]
    };
    (0..size).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::Method;

    fn speaks(url: &str) -> Speaks {
        let options = LoadOptions::new(url.parse().unwrap());
        options.setup().unwrap().0.speaks
    }

    #[test]
    fn a_call_asks_for_trailers() {
        let Speaks::Http2 { targets } = speaks("grpc://127.0.0.1:1/p.S/M") else { panic!() };
        let head = &targets[0].head;
        assert_eq!((head.method, head.takes_trailers), (Method::Post, true));
        assert_eq!(head.fields.get(Known::ContentType), Some(&b"application/grpc"[..]));
    }

    #[test]
    fn a_handshake_asks_for_a_websocket() {
        let Speaks::WebSocket { prepared } = speaks("ws://127.0.0.1:1/x") else { panic!() };
        let head = String::from_utf8(prepared.before_key.to_vec()).unwrap();
        assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    }
}
