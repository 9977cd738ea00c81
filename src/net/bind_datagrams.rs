//! Datagram sockets of a listener: one per worker and address, in the order of the workers.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind as bind_socket, setsockopt,
    socket, sockopt,
};

use super::BindError;
use super::listener::{claim, local_address};
use crate::ring::SocketAddress;

/// What is asked for where no size is set. The kernel grants `net.core.rmem_max` and
/// `net.core.wmem_max` at most: a burst that finds no room is lost.
pub(crate) const BUFFER_WANTED: u32 = 4 * 1024 * 1024;

/// Which of the workers' sockets a datagram goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Steering {
    /// By the kernel's hash of both addresses and ports: a client stays with its worker.
    #[default]
    Flow,
    /// By the CPU that took the datagram from the network card, modulo the workers. For cards that
    /// spread flows over as many queues as there are workers, each pinned to its CPU.
    Cpu,
}

/// How to bind datagram sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramBindOptions {
    /// `SO_RCVBUF` in bytes; `None`: as much as the kernel grants, up to 4 MiB.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes; `None`: as much as the kernel grants, up to 4 MiB.
    pub send_buffer: Option<u32>,
    /// Whether the kernel may join datagrams that were received (UDP GRO).
    pub offload: bool,
    /// Which socket a datagram goes to.
    pub steering: Steering,
}

/// Binds `count` datagram sockets to `address`, one for each worker, and tells the address that
/// they have (a port 0 was chosen by the kernel). Sockets on an unspecified address tell which
/// local address a datagram was sent to; all of them report ICMP errors.
///
/// # Errors
/// The address, with what the kernel said of it; `EAFNOSUPPORT` for one that is not IP.
pub fn bind_datagrams(
    address: &SocketAddress,
    options: &DatagramBindOptions,
    count: usize,
) -> Result<(Vec<OwnedFd>, SocketAddress), BindError> {
    if let Some(ip) = address.ip().filter(|ip| ip.port() != 0) {
        // SO_REUSEPORT would let a second server of the same user share the port in silence.
        let claimed = claim(|| open(ip, options, false));
        claimed.map_err(|source| BindError { address: *address, source })?;
    }
    bind_datagrams_beside(address, options, count)
}

/// The same beside sockets of this process that have a part of the address, or all of it, and will
/// be closed: it is not looked whether anybody has it.
///
/// # Errors
/// As [`bind_datagrams`].
pub fn bind_datagrams_beside(
    address: &SocketAddress,
    options: &DatagramBindOptions,
    count: usize,
) -> Result<(Vec<OwnedFd>, SocketAddress), BindError> {
    let failed = |source| BindError { address: *address, source };
    let ip = address.ip().ok_or_else(|| failed(Errno::EAFNOSUPPORT))?;
    bind_all(ip, options, count).map_err(failed)
}

fn bind_all(
    address: SocketAddr,
    options: &DatagramBindOptions,
    count: usize,
) -> Result<(Vec<OwnedFd>, SocketAddress), Errno> {
    let mut bound = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = open(bound, options, true)?;
        bound = local_address(&socket, address)?;
        sockets.push(socket);
    }
    if let (Steering::Cpu, Some(first)) = (options.steering, sockets.first()) {
        steer_by_cpu(first, count)?;
    }
    Ok((sockets, SocketAddress::inet(bound)))
}

fn open(
    address: SocketAddr,
    options: &DatagramBindOptions,
    shared: bool,
) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    if shared {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    let size = |asked: Option<u32>| asked.unwrap_or(BUFFER_WANTED) as usize;
    setsockopt(&socket, sockopt::RcvBuf, &size(options.receive_buffer))?;
    setsockopt(&socket, sockopt::SndBuf, &size(options.send_buffer))?;
    if options.offload {
        // A kernel before 5.0 does not know it and delivers datagrams one by one.
        setsockopt(&socket, sockopt::UdpGroSegment, &true).or_else(unknown)?;
    }
    let wildcard = address.ip().is_unspecified();
    match address {
        SocketAddr::V4(v4) => {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            if wildcard {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            bind_socket(socket.as_raw_fd(), &SockaddrIn::from(v4))?;
        }
        SocketAddr::V6(v6) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            if wildcard {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            bind_socket(socket.as_raw_fd(), &SockaddrIn6::from(v6))?;
        }
    }
    Ok(socket)
}

fn unknown(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::ENOPROTOOPT { Ok(()) } else { Err(errno) }
}

/// Has the group's socket chosen by a classic BPF program: the CPU's number modulo their count.
fn steer_by_cpu(socket: &OwnedFd, count: usize) -> Result<(), Errno> {
    let code = |parts: u32| u16::try_from(parts).unwrap_or(0);
    let instruction = |parts: u32, k: u32| libc::sock_filter { code: code(parts), jt: 0, jf: 0, k };
    let cpu = (libc::SKF_AD_OFF + libc::SKF_AD_CPU).cast_unsigned();
    let count = u32::try_from(count).unwrap_or(1).max(1);
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, cpu),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let len = u16::try_from(program.len()).unwrap_or(0);
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    setsockopt(socket, sockopt::AttachReusePortCbpf, &program)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn all_sockets_of_an_address_share_its_port_and_no_stranger_does() {
        for any in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let any = SocketAddress::inet(any.parse().unwrap());
            let options = DatagramBindOptions { offload: true, ..DatagramBindOptions::default() };
            let (sockets, bound) = bind_datagrams(&any, &options, 3).unwrap();
            assert_eq!(sockets.len(), 3);
            assert_ne!(bound.ip().unwrap().port(), 0);
        }
        let any = SocketAddress::inet("127.0.0.1:0".parse().unwrap());
        let (_sockets, bound) = bind_datagrams(&any, &DatagramBindOptions::default(), 1).unwrap();
        let error = bind_datagrams(&bound, &DatagramBindOptions::default(), 1).unwrap_err();
        assert_eq!(error.source, Errno::EADDRINUSE);
        let unix = SocketAddress::unnamed();
        let error = bind_datagrams(&unix, &DatagramBindOptions::default(), 1).unwrap_err();
        assert_eq!(error.source, Errno::EAFNOSUPPORT);
    }

    #[test]
    fn steering_by_cpu_gives_all_datagrams_of_a_cpu_to_one_socket() {
        let any = SocketAddress::inet("127.0.0.1:0".parse().unwrap());
        let options =
            DatagramBindOptions { steering: Steering::Cpu, ..DatagramBindOptions::default() };
        let (sockets, bound) = bind_datagrams(&any, &options, 4).unwrap();
        let sockets: Vec<UdpSocket> = sockets.into_iter().map(UdpSocket::from).collect();
        let mut cpus = nix::sched::CpuSet::new();
        let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
        let cpu = (0..nix::sched::CpuSet::count()).find(|&cpu| allowed.is_set(cpu).unwrap());
        cpus.set(cpu.unwrap()).unwrap();
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus).unwrap();
        for _ in 0..20 {
            // Each from a port of its own: the hash would spread them.
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"x", bound.ip().unwrap()).unwrap();
        }
        let counts: Vec<usize> = sockets
            .iter()
            .map(|socket| (0..).take_while(|_| socket.recv(&mut [0; 8]).is_ok()).count())
            .collect();
        assert_eq!(counts.iter().filter(|&&count| count == 20).count(), 1, "{counts:?}");
        assert_eq!(counts[cpu.unwrap() % 4], 20);
    }
}
