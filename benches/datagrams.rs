//! A UDP server of one worker, and a load for it: what a datagram costs.
//!
//! ```text
//! cargo bench --bench datagrams -- serve 127.0.0.1:7000              # echo
//! cargo bench --bench datagrams -- serve 127.0.0.1:7001 127.0.0.1:7000   # proxy
//! cargo bench --bench datagrams -- load 127.0.0.1:7001 --size 64 --clients 16 --window 8 \
//!     [--segments 20] [--seconds 5] [--pid PID]
//! ```
//!
//! The load keeps so many datagrams of each client under way and counts the answers. With a process
//! id it tells how much CPU time that process took for a datagram there and back.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by a panic")]
#![allow(clippy::print_stdout, reason = "it reports")]

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt, sockopt};
use ringway::net::{DatagramBindOptions, bind_datagrams};
use ringway::ring::uring::{RingOptions, Uring};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::runtime::clock;
use ringway::server::Worker;
use ringway::service::balance::Policy;
use ringway::service::proxy::MeterOptions;
use ringway::session::{
    DatagramOptions, DatagramService, Fleet, RelayOptions, SessionOptions, UpstreamOptions,
};

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", listen] => serve(listen, None),
        ["serve", listen, upstream] => serve(listen, Some(upstream)),
        ["load", address, options @ ..] => load(address.parse().unwrap(), options),
        _ => {
            println!("serve ADDRESS [UPSTREAM] | load ADDRESS [OPTIONS]: see benches/datagrams.rs")
        }
    }
}

fn serve(listen: &str, upstream: Option<&str>) {
    let address = SocketAddress::inet(listen.parse().unwrap());
    let offload = std::env::var_os("NO_OFFLOAD").is_none();
    let bind = DatagramBindOptions { offload, ..DatagramBindOptions::default() };
    let (sockets, _) = bind_datagrams(&address, &bind, 1).unwrap();
    let sockets = sockets.into_iter().map(|socket| Fd(socket.into_raw_fd())).collect();
    let fleet = Arc::new(Fleet::with_datagrams(1, 0, 1, &["udp".to_owned()]));
    let service = match upstream {
        None => DatagramService::Echo,
        Some(_) => DatagramService::Proxy {
            upstream: 0,
            flows_max: 65_536,
            flow_timeout: Duration::from_secs(60),
        },
    };
    let server = SocketAddress::inet(upstream.unwrap_or("127.0.0.1:1").parse().unwrap());
    let options = SessionOptions {
        listeners: Vec::new(),
        datagrams: vec![DatagramOptions { name: "udp".to_owned(), sockets, service, offload }],
        upstreams: vec![UpstreamOptions {
            name: "servers".to_owned(),
            servers: vec![server],
            policy: Policy::RoundRobin,
            connect_timeout: Duration::from_secs(1),
            retries: 0,
            send_header: None,
            stream: StreamOptions::default(),
        }],
        relay: RelayOptions {
            meter: MeterOptions { enabled: false, after: 0, mean_min: 0 },
            buffer_size: 16 * 1024,
            turn_budget: 1 << 20,
            pipe_capacity: 1 << 20,
            pipes_idle_max: 0,
        },
        connections_max: 16,
        access_log: false,
        fleet,
        worker: 0,
        hand_off_ratio: None,
    };
    let driver = Uring::new(&RingOptions::default()).unwrap();
    let mut worker = Worker::new(driver, options, None);
    worker.start(None);
    loop {
        worker.turn().unwrap();
    }
}

fn option(options: &[&str], name: &str, default: u64) -> u64 {
    let at = options.iter().position(|word| *word == name);
    at.map_or(default, |at| options[at + 1].parse().unwrap())
}

fn load(address: SocketAddr, options: &[&str]) {
    let size = usize::try_from(option(options, "--size", 64)).unwrap();
    let clients = usize::try_from(option(options, "--clients", 16)).unwrap();
    let window = option(options, "--window", 8);
    let segments = option(options, "--segments", 1);
    let seconds = option(options, "--seconds", 5);
    let pid = option(options, "--pid", 0);
    let sockets: Vec<UdpSocket> = (0..clients).map(|_| client(address, segments > 1)).collect();
    let text = vec![7; size * usize::try_from(segments).unwrap()];
    let mut under_way = vec![0; clients];
    let mut buffer = vec![0; 65_536];
    let begin = clock::now();
    let (mut cpu, mut from) = (0, begin);
    let (mut received, mut rounds_without) = (0, 0);
    // The first half second is not counted.
    let mut counting = false;
    while clock::now() - begin < Duration::from_secs(seconds) {
        if !counting && clock::now() - begin > Duration::from_millis(500) {
            (counting, received, cpu, from) = (true, 0, cpu_of(pid), clock::now());
        }
        let before = received;
        for (socket, under_way) in sockets.iter().zip(&mut under_way) {
            while *under_way + segments <= window {
                send(socket, &text, size, segments);
                *under_way += segments;
            }
        }
        for (socket, under_way) in sockets.iter().zip(&mut under_way) {
            while let Ok(len) = socket.recv(&mut buffer) {
                let count = len.div_ceil(size) as u64;
                received += count;
                *under_way -= count.min(*under_way);
            }
        }
        if received == before {
            rounds_without += 1;
            std::thread::yield_now();
            if rounds_without > 200_000 {
                // Some were lost.
                under_way.fill(0);
                rounds_without = 0;
            }
        } else {
            rounds_without = 0;
        }
    }
    let time = (clock::now() - from).as_secs_f64();
    let cpu = Duration::from_millis(10 * (cpu_of(pid) - cpu));
    #[expect(clippy::cast_precision_loss, reason = "a report")]
    let received = received as f64;
    println!(
        "{received} answers, {:.0} a second, {:.3} us of CPU each ({:.0} % of a core)",
        received / time,
        cpu.as_secs_f64() * 1e6 / received,
        cpu.as_secs_f64() / time * 100.0
    );
}

fn client(address: SocketAddr, joined: bool) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)).unwrap();
    if joined {
        setsockopt(&socket, sockopt::UdpGroSegment, &true).unwrap();
    }
    socket
}

fn send(socket: &UdpSocket, text: &[u8], size: usize, segments: u64) {
    let segment = u16::try_from(size).unwrap();
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let control = if segments > 1 { &control[..] } else { &[] };
    let slices = [IoSlice::new(text)];
    let fd = socket.as_raw_fd();
    let _full = sendmsg::<SockaddrIn>(fd, &slices, control, MsgFlags::empty(), None);
}

/// CPU time of a process, in ticks of 10 ms.
fn cpu_of(pid: u64) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0;
    };
    let after = text.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
