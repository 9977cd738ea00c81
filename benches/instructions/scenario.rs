//! One worker on the simulated kernel, its clients and servers, and what they do over and over.

use std::net::SocketAddr;

use ringway::handler::HttpHandlers;
use ringway::proto::frame::{Command, Header, Version, write_frame};
use ringway::ring::SocketAddress;
use ringway::ring::sim::{Behaviour, Faults, PeerId, Sim};
use ringway::server::{Worker, simulated};

use crate::http2;
use crate::meter::{Metered, turn};

/// Bytes that a connection holds each way: nobody waits for room.
const CAPACITY: usize = 64 * 1024;
const BUFFERS: u16 = 256;
const BUFFER_SIZE: u32 = 16 * 1024;
/// Turns after which an answer that has not come will not come.
const TURNS_MAX: usize = 100;
const FILE_LEN: usize = 1024;
/// Streams of HTTP/2 that a connection has open at a time.
const STREAMS: usize = 32;
const PAYLOAD: [u8; 64] = [0x5a; 64];
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 80);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    content-type: text/plain\r\ncontent-length: 12\r\n\r\nhello world\n";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fixed,
    File,
    Proxy,
    /// Fixed answers by HTTP/2, [`STREAMS`] at a time on each connection.
    Http2,
    Relay,
    Frame,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Fixed, Self::File, Self::Proxy, Self::Http2, Self::Relay, Self::Frame];

    /// Requests that a connection asks at once.
    pub(crate) const fn at_once(self) -> usize {
        match self {
            Self::Http2 => STREAMS,
            Self::Fixed | Self::File | Self::Proxy | Self::Relay | Self::Frame => 1,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::File => "file",
            Self::Proxy => "proxy",
            Self::Http2 => "http2",
            Self::Relay => "relay",
            Self::Frame => "frame",
        }
    }

    /// The listener and, where there is one, the upstream.
    fn config(self, folder: &str) -> String {
        let listener = "[admin]\nenabled = false\n[[listener]]\nname = \"l\"\n\
             listen = \"127.0.0.1:1\"\n";
        let upstream = "[upstream.u]\nservers = [\"10.0.0.1:80\"]\n";
        let http = "protocol = \"http\"\nkeepalive_requests = \"off\"\n[[listener.route]]\n";
        match self {
            Self::Fixed | Self::Http2 => format!("{listener}{http}respond = \"hello world\\n\"\n"),
            Self::File => {
                format!("{listener}{http}files = \"{folder}\"\nfile_cache_ttl = \"1h\"\n")
            }
            Self::Proxy => format!("{listener}{http}proxy = \"u\"\n{upstream}"),
            Self::Relay => format!("{listener}protocol = \"tcp\"\nupstream = \"u\"\n{upstream}"),
            Self::Frame => format!("{listener}protocol = \"frame\"\n"),
        }
    }

    /// What a client sends each time.
    fn request(self) -> Vec<u8> {
        match self {
            Self::Fixed | Self::File | Self::Proxy => {
                b"GET /a.txt HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: wrk\r\n\
                  Accept: */*\r\n\r\n"
                    .to_vec()
            }
            Self::Relay => PAYLOAD.to_vec(),
            // Each has numbers of its own.
            Self::Http2 => Vec::new(),
            Self::Frame => {
                let mut frame = Vec::new();
                write_frame(&Header::new(Version::V1, Command::ECHO), &PAYLOAD, &mut frame);
                frame
            }
        }
    }

    /// Whether an answer is all that is to come.
    fn is_whole(self, answer: &[u8], request: &[u8]) -> bool {
        let body = match self {
            Self::Fixed | Self::Proxy => 12,
            Self::File => FILE_LEN,
            Self::Relay | Self::Frame => return answer == request,
            Self::Http2 => return http2::ends(answer) == STREAMS,
        };
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        head.is_some_and(|head| answer.len() == head + 4 + body)
    }
}

/// The other end of a connection.
struct Peer {
    id: PeerId,
    received: Vec<u8>,
    http2: http2::Requests,
}

impl Peer {
    fn new(id: PeerId) -> Self {
        Self { id, received: Vec::new(), http2: http2::Requests::new() }
    }
}

/// A worker, its kernel and its peers.
pub(crate) struct Scenario {
    kind: Kind,
    worker: Worker<Metered>,
    clients: Vec<Peer>,
    servers: Vec<Peer>,
    request: Vec<u8>,
}

impl Scenario {
    /// `connections` clients, each on a connection of its own.
    pub(crate) fn new(kind: Kind, connections: usize) -> Self {
        let mut sim = Sim::new(1, Faults::NONE, BUFFERS, BUFFER_SIZE);
        let listener = sim.listen();
        let address = SocketAddress::inet(SocketAddr::from(SERVER));
        sim.serve(address, Behaviour::Accept { capacity: CAPACITY });
        sim.put_file("a.txt", &[b'a'; FILE_LEN]);
        let clients = (0..connections).map(|_| Peer::new(sim.connect(listener, CAPACITY)));
        let clients = clients.collect();
        // The simulated kernel finds its files whatever the folder is; this one only has to exist.
        let text = kind.config("/");
        let config = ringway::config::parse("instructions", &text)
            .unwrap_or_else(|report| panic!("{report}"));
        let worker = simulated(&config, Metered(sim), &[vec![listener]], &HttpHandlers::new())
            .expect("a worker");
        Self { kind, worker, clients, servers: Vec::new(), request: kind.request() }
    }

    fn sim(&mut self) -> &mut Sim {
        &mut self.worker.sessions().reactor().driver().0
    }

    /// Every client asks once, and all are answered.
    pub(crate) fn round(&mut self) {
        for at in 0..self.clients.len() {
            let id = self.clients[at].id;
            if self.kind == Kind::Http2 {
                let requests = self.clients[at].http2.next(STREAMS);
                assert_eq!(self.sim().peer_write(id, &requests), requests.len());
                continue;
            }
            let request = std::mem::take(&mut self.request);
            assert_eq!(self.sim().peer_write(id, &request), request.len(), "there is room");
            self.request = request;
        }
        let mut open = self.clients.len();
        for _ in 0..TURNS_MAX {
            turn(&mut self.worker);
            self.serve();
            open -= self.take_answers();
            if open == 0 {
                return;
            }
        }
        panic!("{open} clients of {} wait for an answer", self.kind.name());
    }

    /// How many answers have become whole.
    fn take_answers(&mut self) -> usize {
        let (mut clients, mut whole) = (std::mem::take(&mut self.clients), 0);
        for client in &mut clients {
            let bytes = self.sim().peer_read(client.id, CAPACITY);
            client.received.extend_from_slice(&bytes);
            if self.kind.is_whole(&client.received, &self.request) {
                client.received.clear();
                whole += 1;
            }
        }
        self.clients = clients;
        whole
    }

    /// The servers answer what has come.
    fn serve(&mut self) {
        let accepted = self.sim().take_accepted();
        self.servers.extend(accepted.into_iter().map(|(_, id)| Peer::new(id)));
        let mut servers = std::mem::take(&mut self.servers);
        for server in &mut servers {
            let bytes = self.sim().peer_read(server.id, CAPACITY);
            server.received.extend_from_slice(&bytes);
            let is_relay = self.kind == Kind::Relay;
            if !server.received.is_empty() && (is_relay || server.received.ends_with(b"\r\n\r\n")) {
                let answer = if is_relay { &server.received } else { ANSWER };
                assert_eq!(self.sim().peer_write(server.id, answer), answer.len());
                server.received.clear();
            }
        }
        self.servers = servers;
    }

    /// How many connections to servers were opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.servers.len()
    }
}
