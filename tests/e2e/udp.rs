//! Datagrams through workers on the real kernel, with real sockets.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt, sockopt};
use ringway::net::{DatagramBindOptions, Steering, bind_datagrams};
use ringway::ring::uring::{RingOptions, Uring};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::runtime::{Sender, mailbox};
use ringway::server::{Message, Worker};
use ringway::service::cluster::ClusterOptions;
use ringway::service::cluster::servers::Policy;
use ringway::service::flows::FlowEnd;
use ringway::service::proxy::MeterOptions;
use ringway::session::{
    DatagramOptions, DatagramService, DatagramStats, DropReason, RelayOptions, SessionOptions,
    UpstreamOptions, Workers,
};

use crate::support::{PATIENCE, nobody_by_udp, wait_until};

/// What a UDP server in this process does.
#[derive(Debug, Clone)]
struct Setting {
    listen: &'static str,
    workers: usize,
    servers: Vec<SocketAddr>,
    flows_max: u64,
    flow_timeout: Duration,
    offload: bool,
}

impl Setting {
    fn echo(listen: &'static str) -> Self {
        Self {
            listen,
            workers: 1,
            servers: Vec::new(),
            flows_max: 100,
            flow_timeout: Duration::from_secs(60),
            offload: true,
        }
    }

    fn proxy(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.to_vec(), ..Self::echo("127.0.0.1:0") }
    }
}

/// Workers on threads of their own, drained at the end.
struct Served {
    address: SocketAddr,
    fleet: Arc<Workers>,
    workers: Vec<(Sender<Message>, JoinHandle<u64>)>,
}

impl Served {
    fn new(setting: &Setting) -> Self {
        let Setting { listen, workers, offload, .. } = *setting;
        let address = SocketAddress::inet(listen.parse().unwrap());
        let bind = DatagramBindOptions {
            offload,
            steering: Steering::Flow,
            ..DatagramBindOptions::default()
        };
        let (sockets, bound) = bind_datagrams(&address, &bind, workers).unwrap();
        let fleet = Arc::new(Workers::with_plan(
            workers,
            &ringway::session::Counted { datagrams: 1, ..ringway::session::Counted::plain(0, 1) },
        ));
        let workers = sockets.into_iter().enumerate().map(|(worker, socket)| {
            let socket = Fd(socket.into_raw_fd());
            let options = options(setting, &fleet, worker, socket);
            let (sender, inbox) = mailbox().unwrap();
            let (ready, started) = mpsc::channel();
            let thread = std::thread::spawn(move || {
                let ring = RingOptions {
                    entries: 64,
                    completions: 1024,
                    buffers: 8,
                    buffer_size: 4096,
                    datagram_buffers: 64,
                    ..RingOptions::default()
                };
                let mut worker = Worker::new(Uring::new(&ring).unwrap(), options, Some(inbox));
                worker.start(None);
                ready.send(()).unwrap();
                worker.run(|_| ()).unwrap()
            });
            started.recv().unwrap();
            (sender, thread)
        });
        let workers = workers.collect();
        Self { address: bound.ip().unwrap(), fleet, workers }
    }

    fn sum(&self, read: impl Fn(&DatagramStats) -> u64) -> u64 {
        self.fleet.cells().iter().map(|cell| read(&cell.stats.datagrams.get(0))).sum()
    }

    fn ended(&self, end: FlowEnd) -> u64 {
        self.sum(|stats| stats.flows_ended[end.index()].get())
    }

    /// A client of this server.
    fn client(&self) -> UdpSocket {
        let any = if self.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.connect(self.address).unwrap();
        client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        for (sender, _) in &self.workers {
            sender.send(Message::Drain { deadline: ringway::runtime::clock::now() }).unwrap();
            sender.send(Message::Release).unwrap();
        }
        for (_, thread) in self.workers.drain(..) {
            let ended = thread.join();
            assert!(std::thread::panicking() || matches!(ended, Ok(0)), "nothing was cut");
        }
        if !std::thread::panicking() {
            assert_eq!(self.fleet.flows(0).iter().sum::<u64>(), 0, "every flow has ended");
        }
    }
}

fn options(setting: &Setting, fleet: &Arc<Workers>, worker: usize, socket: Fd) -> SessionOptions {
    let Setting { ref servers, flows_max, flow_timeout, offload, .. } = *setting;
    let service = if servers.is_empty() {
        DatagramService::Echo
    } else {
        DatagramService::Proxy { upstream: 0, flows_max, flow_timeout }
    };
    let datagrams =
        DatagramOptions { name: "udp".to_owned(), sockets: vec![socket], service, offload };
    let nobody = SocketAddress::inet("127.0.0.1:1".parse().unwrap());
    let mut servers: Vec<SocketAddress> =
        servers.iter().map(|server| SocketAddress::inet(*server)).collect();
    if servers.is_empty() {
        servers.push(nobody);
    }
    SessionOptions {
        listeners: Vec::new(),
        datagrams: vec![datagrams],
        upstreams: vec![UpstreamOptions {
            name: "servers".to_owned(),
            cluster: ClusterOptions::plain(
                Policy::RoundRobin,
                servers.iter().map(ToString::to_string),
            ),
            servers,
            connect_timeout: PATIENCE,
            retries: 0,
            send_header: None,
            stream: StreamOptions::default(),
            exchanges: None,
            tls: None,
        }],
        relay: RelayOptions {
            meter: MeterOptions { enabled: false, after: 0, mean_min: 0 },
            buffer_size: 4096,
            turn_budget: 64 * 1024,
            pipe_capacity: 64 * 1024,
            pipes_idle_max: 2,
        },
        compression_memory: 1 << 20,
        waiting_memory: 1 << 20,
        websocket_takeover_memory: 1 << 20,
        connections_max: 16,
        access_log: true,
        handler: ringway::session::HandlerFactory::default(),
        http_handlers: ringway::handler::HttpHandlers::new(),
        websocket_handlers: ringway::handler::WebSocketHandlers::new(),
        workers: Arc::clone(fleet),
        worker,
        descriptors: ringway::session::DescriptorLimits::OPEN,
        hand_off_ratio: None,
        seed: 1,
    }
}

/// A server that gives every datagram back, until the test's process ends.
fn echo_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            let _gone = socket.send_to(&buffer[..len], client);
        }
    });
    address
}

fn ask(client: &UdpSocket, text: &[u8]) {
    let mut buffer = vec![0; 65_536];
    client.send(text).unwrap();
    let len = client.recv(&mut buffer).unwrap();
    assert!(buffer[..len] == *text, "{len} bytes, not what was sent");
}

/// Asks until an answer comes, for as long as it may take.
fn ask_until_answered(client: &UdpSocket, text: &[u8]) {
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    wait_until("an answer", || {
        let _refused = client.send(text);
        client.recv(&mut [0; 2048]).is_ok()
    });
    client.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// Sends `data` as datagrams of `segment` bytes, in one call.
fn send_segments(client: &UdpSocket, data: &[u8], segment: u16) {
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let sent = sendmsg::<SockaddrIn>(
        client.as_raw_fd(),
        &[IoSlice::new(data)],
        &control,
        MsgFlags::empty(),
        None,
    );
    assert_eq!(sent.unwrap(), data.len());
}

const SIZES: [usize; 7] = [5, 0, 1_200, 1_473, 9_000, 40_000, 65_507];

#[test]
fn an_echo_answers_datagrams_of_every_size_on_both_families() {
    for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
        for offload in [true, false] {
            let served = Served::new(&Setting { offload, ..Setting::echo(listen) });
            let client = served.client();
            for (number, size) in (1..).zip(SIZES) {
                ask(&client, &crate::support::bytes(number, size));
            }
            drop(client);
            assert_eq!(served.sum(|stats| stats.received.get()), SIZES.len() as u64);
            let bytes: usize = SIZES.iter().sum();
            // An answer is counted after it has left.
            wait_until("the bytes", || served.sum(|stats| stats.sent_bytes.get()) == bytes as u64);
        }
    }
}

#[test]
fn on_a_wildcard_the_answer_comes_from_the_address_that_was_asked() {
    let mut settings = vec![Setting::echo("0.0.0.0:0")];
    settings.push(Setting { listen: "0.0.0.0:0", ..Setting::proxy(&[echo_server()]) });
    for setting in settings {
        let served = Served::new(&setting);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for last in [2, 3, 2] {
            let asked = SocketAddr::new(IpAddr::from([127, 0, 0, last]), served.address.port());
            client.send_to(b"who are you", asked).unwrap();
            assert_eq!(client.recv_from(&mut [0; 64]).unwrap(), (11, asked));
        }
    }
}

#[test]
fn batches_come_and_go_joined() {
    let server = Served::new(&Setting::echo("127.0.0.1:0"));
    let proxy = Served::new(&Setting::proxy(&[server.address]));
    for served in [&server, &proxy] {
        let client = served.client();
        setsockopt(&client, sockopt::RcvBuf, &(1 << 20)).unwrap();
        for round in 0..20 {
            let data = crate::support::bytes(round, 1_200 * 49 + 300);
            send_segments(&client, &data, 1_200);
            let mut buffer = [0; 2_048];
            let mut back = Vec::new();
            for number in 0..50 {
                let len = client.recv(&mut buffer).unwrap();
                assert_eq!(len, if number < 49 { 1_200 } else { 300 });
                back.extend_from_slice(&buffer[..len]);
            }
            assert!(back == data);
        }
        assert!(served.sum(|stats| stats.joined_received.get()) > 0);
        assert!(served.sum(|stats| stats.joined_sent.get()) > 0);
    }
    // A whole batch in few calls: far fewer than datagrams.
    assert!(proxy.sum(|stats| stats.joined_sent.get()) <= 200);
    assert_eq!(proxy.sum(|stats| stats.received.get()), 1_000);
    wait_until("the last ones", || proxy.sum(|stats| stats.sent.get()) == 1_000);
}

#[test]
fn a_proxy_keeps_clients_apart_on_several_workers() {
    let setting = Setting { workers: 2, ..Setting::proxy(&[echo_server(), echo_server()]) };
    let served = Served::new(&setting);
    let clients: Vec<UdpSocket> = (0..20).map(|_| served.client()).collect();
    for round in 0..10 {
        for (number, client) in (0..).zip(&clients) {
            client.send(&crate::support::bytes(number * 100 + round, 500)).unwrap();
        }
        for (number, client) in (0..).zip(&clients) {
            let mut buffer = [0; 1_000];
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], crate::support::bytes(number * 100 + round, 500));
        }
    }
    assert_eq!(served.fleet.flows(0).iter().sum::<u64>(), 20);
    assert_eq!(served.sum(|stats| stats.flows_opened.get()), 20);
    for (number, size) in (1..).zip(SIZES) {
        ask(&clients[0], &crate::support::bytes(number, size));
    }
}

#[test]
fn each_worker_has_flows_whatever_the_others_have() {
    for _ in 0..4 {
        let setting =
            Setting { workers: 2, flows_max: 6, ..Setting::proxy(&[echo_server(), echo_server()]) };
        let served = Served::new(&setting);
        let clients: Vec<UdpSocket> = (0..40).map(|_| served.client()).collect();
        for (number, client) in (0..).zip(&clients) {
            // Which worker a client comes to, the kernel decides.
            ask(client, &crate::support::bytes(number, 100));
        }
        wait_until("what was lent to be given back", || {
            served.fleet.flows(0).iter().sum::<u64>() <= 6
        });
        assert!(served.fleet.flows(0).iter().all(|flows| *flows >= 3), "the share of each");
    }
}

#[test]
fn a_server_that_is_not_there_ends_the_flow_and_the_next_one_answers() {
    let served = Served::new(&Setting::proxy(&[nobody_by_udp(), echo_server()]));
    let clients: Vec<UdpSocket> = (0..3).map(|_| served.client()).collect();
    for client in &clients {
        ask_until_answered(client, b"is anybody there");
    }
    assert!(served.ended(FlowEnd::ServerUnreachable) >= 1);
    let failed = &served.fleet.cells()[0].stats.upstreams.get(0).failed;
    assert!(failed.iter().map(ringway::runtime::Counter::get).sum::<u64>() >= 1);
}

#[test]
fn a_client_that_is_gone_loses_its_flow_at_once() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let address = server.local_addr().unwrap();
        let served = Served::new(&Setting { listen, ..Setting::proxy(&[address]) });
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let asked = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), served.address.port());
        client.send_to(b"hello", asked).unwrap();
        let (_, flow) = server.recv_from(&mut [0; 8]).unwrap();
        drop(client);
        server.send_to(b"too late", flow).unwrap();
        wait_until("the flow's end", || {
            // What is sent next meets the error of what was sent before.
            let _refused = server.send_to(b"too late", flow);
            served.ended(FlowEnd::ClientUnreachable) == 1
        });
    }
}

#[test]
fn an_idle_flow_ends_and_an_active_one_does_not() {
    let timeout = Duration::from_millis(300);
    let setting = Setting { flow_timeout: timeout, ..Setting::proxy(&[echo_server()]) };
    let served = Served::new(&setting);
    let (idle, active) = (served.client(), served.client());
    ask(&idle, b"only once");
    let begin = ringway::runtime::clock::now();
    wait_until("the end of the idle flow", || {
        ask(&active, b"again and again");
        served.ended(FlowEnd::Idle) == 1
    });
    assert!(ringway::runtime::clock::now() - begin >= timeout / 2);
    assert_eq!(served.fleet.flows(0).iter().sum::<u64>(), 1);
    ask(&idle, b"a new flow");
    assert_eq!(served.sum(|stats| stats.flows_opened.get()), 3);
}

#[test]
fn a_flood_of_source_ports_is_bounded_and_evictions_are_counted() {
    let setting = Setting { flows_max: 100, ..Setting::proxy(&[echo_server()]) };
    let served = Served::new(&setting);
    let mut most = 0;
    let mut sockets = Vec::new();
    for number in 0..2_000 {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"flood", served.address).unwrap();
        most = most.max(served.fleet.flows(0).iter().sum::<u64>());
        if number % 50 == 49 {
            let seen = number + 1;
            wait_until("the datagrams", || served.sum(|stats| stats.received.get()) >= seen);
        }
        sockets.push(client);
    }
    assert!(most <= 100, "{most} flows");
    assert_eq!(served.fleet.flows(0).iter().sum::<u64>(), 100);
    assert_eq!(served.ended(FlowEnd::Evicted), 1_900);
    // The last ones are still served.
    let last = sockets.pop().unwrap();
    last.connect(served.address).unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.recv(&mut [0; 8]).unwrap();
    ask(&last, b"still here");
    assert_eq!(served.ended(FlowEnd::Evicted), 1_900);
}

#[test]
fn the_limit_of_flows_holds_over_workers() {
    let setting = Setting { workers: 2, flows_max: 10, ..Setting::proxy(&[echo_server()]) };
    let served = Served::new(&setting);
    let clients: Vec<UdpSocket> = (0..300).map(|_| served.client()).collect();
    for (number, client) in (1..).zip(&clients) {
        client.send(b"x").unwrap();
        wait_until("the datagram", || served.sum(|stats| stats.received.get()) == number);
        // A worker that is told to give a flow up does so in its next turn.
        wait_until("the limit", || served.fleet.flows(0).iter().sum::<u64>() <= 10 + 2);
    }
    let dropped = served.sum(|stats| stats.dropped[DropReason::NoFlow as usize].get());
    let opened = served.sum(|stats| stats.flows_opened.get());
    assert_eq!(opened + dropped, 300);
    assert!(served.ended(FlowEnd::Evicted) > 0);
}

#[test]
fn a_burst_beyond_the_buffers_is_delivered_in_order() {
    let served = Served::new(&Setting { offload: false, ..Setting::proxy(&[echo_server()]) });
    let client = served.client();
    setsockopt(&client, sockopt::RcvBuf, &(1 << 20)).unwrap();
    for _ in 0..5 {
        for number in 0..150_u32 {
            client.send(&number.to_be_bytes()).unwrap();
        }
        for number in 0..150_u32 {
            let mut buffer = [0; 8];
            assert_eq!(client.recv(&mut buffer).unwrap(), 4);
            assert_eq!(buffer[..4], number.to_be_bytes());
        }
    }
}
