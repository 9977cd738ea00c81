//! How a worker's sessions are set up. Made by `server` from the configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::http::options::{ClusterOptions, HttpOptions};
use super::resources::Folder;
use super::topic_set::TopicSet;
use super::workers::Workers;
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::net::tls::kernel::Report;
use crate::net::tls::{
    ClientConfig, Resolver, ServerConfig, ServerName, Session as TlsSession, TlsError,
};
use crate::net::{ListenOptions, Stream};
use crate::proto::frame::ServerOptions;
use crate::proto::proxy_protocol::Version;
use crate::ring::{Fd, SocketAddress, StreamOptions};
use crate::runtime::Current;
use crate::service::frame::FrameService;
use crate::service::handler::{Handler, NoHandler};
use crate::service::proxy::{ExchangerOptions, MeterOptions};

/// All of one worker's setting.
#[derive(Debug)]
pub struct SessionOptions {
    /// What is listened on.
    pub listeners: Vec<ListenerOptions>,
    /// Where datagrams are received.
    pub datagrams: Vec<DatagramOptions>,
    /// Where connections go.
    pub upstreams: Vec<UpstreamOptions>,
    /// How bytes are moved.
    pub relay: RelayOptions,
    /// Bytes of memory that compressors may take at most.
    pub compression_memory: u64,
    /// Bytes of memory that may wait for slow peers of HTTP.
    pub waiting_memory: u64,
    /// Bytes of memory that WebSockets may keep for compression between messages at most.
    pub websocket_takeover_memory: u64,
    /// Connections that this worker may have at most.
    pub connections_max: u32,
    /// Whether every connection is logged with a line.
    pub access_log: bool,
    /// All workers, and which one this is.
    pub workers: Arc<Workers>,
    /// This worker's place among them.
    pub worker: usize,
    /// Makes what a program adds to the built-in services.
    pub handler: HandlerFactory,
    /// The program's handlers of HTTP requests.
    pub http_handlers: HttpHandlers,
    /// Its handlers of WebSockets.
    pub websocket_handlers: WebSocketHandlers,
    /// What hashes and random choices begin with, unlike in any other process.
    pub seed: u64,
    /// From which descriptors on no more connections are taken.
    pub descriptors: DescriptorLimits,
    /// Times the mean load above which new connections are handed over; `None`: never.
    pub hand_off_ratio: Option<f64>,
}

/// What is kept of the limit of open files for connects to servers, files and the admin interface,
/// when clients would use it all. Descriptors are given out lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimits {
    /// A connection with this descriptor or a higher one is the last that is accepted for a while.
    pub pause: i32,
    /// One with this descriptor or a higher one is refused: many were accepted at once.
    pub refuse: i32,
}

impl DescriptorLimits {
    /// Nothing is kept.
    pub const OPEN: Self = Self { pause: i32::MAX, refuse: i32::MAX };

    /// An eighth of the limit is kept, 32 to 4,096 descriptors, but no more than half of it.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let reserve = (limit / 8).clamp(32, 4_096).min(limit / 2);
        let door = |at: u64| i32::try_from(at).unwrap_or(i32::MAX);
        Self { pause: door(limit - reserve), refuse: door(limit - reserve / 2) }
    }
}

/// A listener.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Its name, for logs.
    pub name: String,
    /// This worker's listening sockets, one per address.
    pub sockets: Vec<Fd>,
    /// How they are set up, if a reload may change that.
    pub listen: Option<ListenOptions>,
    /// What its connections are for.
    pub service: ServiceOptions,
    /// Connections at most, over all workers.
    pub connections_max: u64,
    /// A connection on which no byte moves for so long is closed.
    pub idle_timeout: Duration,
    /// Whether connections must begin with a PROXY protocol header.
    pub accept_header: bool,
    /// How long that header may take.
    pub header_timeout: Duration,
    /// How its connections speak TLS, if they do.
    pub tls: Option<Arc<TlsOptions>>,
}

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct TlsOptions {
    /// Certificates and what is allowed.
    pub config: Current<ServerConfig>,
    /// The certificates that `config` has.
    pub resolver: Arc<Resolver>,
    /// What the kernel can encrypt, if it may.
    pub kernel: Option<Arc<Report>>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Bytes of a client's part of a handshake at most.
    pub handshake_max: usize,
    /// Handshakes of the listener at a time on one worker.
    pub handshakes_max: usize,
}

/// How an upstream's servers are spoken to by TLS.
#[derive(Debug)]
pub struct UpstreamTls {
    /// Whom is trusted, and what is allowed.
    pub config: Current<ClientConfig>,
    /// The name of each server.
    pub names: Vec<ServerName<'static>>,
    /// What the kernel can encrypt, if it may.
    pub kernel: Option<Arc<Report>>,
}

/// Bytes of a server's part of a handshake at most.
const SERVER_HANDSHAKE_MAX: usize = 256 * 1024;

impl UpstreamTls {
    /// A connection to a server.
    ///
    /// # Errors
    /// When the configuration allows none.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn session(&self, server: usize) -> Result<TlsSession, TlsError> {
        TlsSession::client(&self.config.get(), self.names[server].clone(), SERVER_HANDSHAKE_MAX)
    }

    /// The same for one that speaks HTTP/1.1, whatever else the server may choose.
    fn session_of_http1(&self, server: usize) -> Result<TlsSession, TlsError> {
        let (config, name) = (self.config.get(), self.names[server].clone());
        TlsSession::client_with(&config, name, vec![b"http/1.1".to_vec()], SERVER_HANDSHAKE_MAX)
    }
}

/// How connections of TLS are passed on by the name that their clients ask for.
#[derive(Debug)]
pub struct SniOptions {
    /// Upstreams by name, in lower case; those with a wildcard without their `*`.
    pub names: HashMap<String, usize>,
    /// The upstream of other names, and of clients that ask for none. None: they are refused.
    pub other: Option<usize>,
    /// How long the first message may take.
    pub hello_timeout: Duration,
    /// Connections of which that is waited for, at a time on one worker.
    pub hellos_max: usize,
}

impl SniOptions {
    /// The upstreams that a connection may go to.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = usize> + '_ {
        self.names.values().copied().chain(self.other)
    }

    /// The upstream of a name: its own, that of the wildcard above it, that of others.
    #[must_use]
    pub fn upstream(&self, name: Option<&str>) -> Option<usize> {
        let own = name.and_then(|name| self.names.get(name));
        let above = || {
            let name = name?;
            self.names.get(name.get(name.find('.')?..)?)
        };
        own.or_else(above).copied().or(self.other)
    }
}

/// What a listener's connections are for.
#[derive(Debug, Clone)]
pub enum ServiceOptions {
    /// Every byte goes back.
    Echo,
    /// Every byte goes to a server of an upstream, and back.
    Tcp {
        /// The upstream's number.
        upstream: usize,
    },
    /// Every byte, of TLS, goes to a server of the upstream of a name, and back.
    Sni(Arc<SniOptions>),
    /// Every line is a message and is answered by one.
    Messages {
        /// Bytes of a line at most.
        line_limit: u32,
    },
    /// Requests of HTTP are answered.
    Http(Arc<HttpOptions>),
    /// Requests of the framed protocol are answered.
    Frame(Arc<FrameOptions>),
    /// Requests of the framed protocol go to a server of an upstream, on connections that all
    /// clients share.
    FrameProxy {
        /// The upstream's number; it has [`UpstreamOptions::exchanges`].
        upstream: usize,
        /// What clients are offered.
        server: ServerOptions,
    },
}

impl ServiceOptions {
    /// What is done with requests, if it answers HTTP.
    #[must_use]
    pub const fn http(&self) -> Option<&Arc<HttpOptions>> {
        match self {
            Self::Http(http) => Some(http),
            Self::Echo
            | Self::Tcp { .. }
            | Self::Sni(_)
            | Self::Messages { .. }
            | Self::Frame(_)
            | Self::FrameProxy { .. } => None,
        }
    }

    /// The topics that clients of frames publish to, if there are any.
    #[must_use]
    pub fn frame_topics(&self) -> Option<&Arc<TopicSet>> {
        match self {
            Self::Frame(options) => options.topics.as_ref(),
            Self::Echo
            | Self::Tcp { .. }
            | Self::Sni(_)
            | Self::Messages { .. }
            | Self::Http(_)
            | Self::FrameProxy { .. } => None,
        }
    }

    /// The numbers of the upstreams that its connections may go to, each once.
    #[must_use]
    pub fn upstreams(&self) -> Vec<usize> {
        let mut all: Vec<usize> = match self {
            Self::Echo | Self::Messages { .. } | Self::Frame(_) => Vec::new(),
            Self::Tcp { upstream } | Self::FrameProxy { upstream, .. } => vec![*upstream],
            Self::Sni(sni) => sni.upstreams().collect(),
            Self::Http(http) => http.upstreams.to_vec(),
        };
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The framed protocol's built-in service.
#[derive(Debug)]
pub struct FrameOptions {
    /// What it offers.
    pub service: FrameService,
    /// The folder of the files that it gives.
    pub root: Option<Folder>,
    /// The topics that its clients may publish to.
    pub topics: Option<Arc<TopicSet>>,
}

/// Makes a worker's own [`Handler`].
#[derive(Clone)]
pub struct HandlerFactory(Arc<MakeHandler>);

type MakeHandler = dyn Fn(usize) -> Box<dyn Handler> + Send + Sync;

impl HandlerFactory {
    /// A factory that calls `make` with the number of each worker, on that worker's thread.
    pub fn new(make: impl Fn(usize) -> Box<dyn Handler> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The handler of one worker.
    #[must_use]
    pub fn make(&self, worker: usize) -> Box<dyn Handler> {
        (self.0)(worker)
    }
}

impl Default for HandlerFactory {
    fn default() -> Self {
        Self::new(|_worker| Box::new(NoHandler))
    }
}

impl std::fmt::Debug for HandlerFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandlerFactory")
    }
}

/// A UDP listener.
#[derive(Debug, Clone)]
pub struct DatagramOptions {
    /// Its name, for logs.
    pub name: String,
    /// This worker's sockets, one per address, as [`crate::net::bind_datagrams`] makes them.
    pub sockets: Vec<Fd>,
    /// What becomes of its datagrams.
    pub service: DatagramService,
    /// Whether datagrams are handed to the kernel, and taken from it, several at a time (UDP GSO
    /// and GRO).
    pub offload: bool,
}

/// What becomes of a UDP listener's datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramService {
    /// Each goes back.
    Echo,
    /// Each goes to a server of an upstream, and what the server answers goes back.
    Proxy {
        /// The upstream's number.
        upstream: usize,
        /// Flows at most, over all workers.
        flows_max: u64,
        /// A flow ends when no datagram came for so long.
        flow_timeout: Duration,
    },
}

/// An upstream.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// Its name, for logs.
    pub name: String,
    /// Its servers; at least one.
    pub servers: Vec<SocketAddress>,
    /// How one of them is chosen, and how exchanges of HTTP use them.
    pub cluster: ClusterOptions,
    /// How long one connect may take.
    pub connect_timeout: Duration,
    /// Further servers that are tried when a connect fails.
    pub retries: u32,
    /// The PROXY protocol header that servers are sent.
    pub send_header: Option<Version>,
    /// Options of the connections to it.
    pub stream: StreamOptions,
    /// How exchanges share its connections, if it is a frame proxy's.
    pub exchanges: Option<ExchangerOptions>,
    /// How its servers are spoken to by TLS, if they are.
    pub tls: Option<Arc<UpstreamTls>>,
}

/// What is spoken on a connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// What the upstream is set up for.
    Any,
    /// HTTP/1.1, whatever else that allows.
    Http1,
}

impl UpstreamOptions {
    /// Lets a stream that is to be connected to a server speak TLS, if the servers do.
    ///
    /// # Errors
    /// When no TLS connection can be made: then there must be none at all.
    pub(super) fn secure(
        &self,
        stream: &mut Stream,
        server: usize,
        speaks: Speaks,
    ) -> Result<(), Errno> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let session = match speaks {
            Speaks::Any => tls.session(server),
            Speaks::Http1 => tls.session_of_http1(server),
        };
        match session {
            Ok(session) => {
                stream.secure(session);
                tls.kernel.iter().for_each(|report| stream.offer_kernel(Arc::clone(report)));
                Ok(())
            }
            Err(error) => {
                tracing::error!(upstream = %self.name, %error, "no TLS connection can be made");
                Err(Errno::EPROTO)
            }
        }
    }
}

/// How bytes are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayOptions {
    /// When a direction is spliced.
    pub meter: MeterOptions,
    /// Bytes in a receive buffer.
    pub buffer_size: usize,
    /// Bytes that one direction may splice in one turn.
    pub turn_budget: usize,
    /// Bytes in a pipe.
    pub pipe_capacity: usize,
    /// Empty pipes that are kept open.
    pub pipes_idle_max: usize,
}
