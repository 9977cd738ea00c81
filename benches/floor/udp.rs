//! A UDP echo and a UDP proxy as plain as they get: receive many, send them on. No ring: one system
//! call for many datagrams is as good. The proxy never forgets a sender.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::datagrams::{Batch, coalesce, enlarge};

/// Messages of one call.
const MESSAGES: usize = 64;
const EVENTS: usize = 64;
/// Stands for the listening socket where others have the number of their flow.
const LISTENER: u64 = u64::MAX;

fn open(address: &str, offload: bool) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("bind");
    enlarge(&socket);
    if offload {
        coalesce(&socket);
    }
    socket
}

/// Nothing, where there is nothing.
fn receive(batch: &mut Batch, socket: &UdpSocket, flags: libc::c_int) -> usize {
    match batch.receive(socket, flags) {
        Ok(count) => count,
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => 0,
        Err(error) => panic!("receive: {error}"),
    }
}

fn send(batch: &mut Batch, socket: &UdpSocket, mut from: usize, to: usize) {
    while from < to {
        from += batch.send(socket, from, to, 0).expect("send");
    }
}

/// What was received goes on as it came, cut the same way.
fn pass_on(batch: &mut Batch, index: usize, to: Option<libc::sockaddr_in>) {
    let (text, segment) = batch.received(index);
    let len = text.len();
    batch.describe(index, len, segment, to);
}

/// A blocking loop of `recvmmsg(2)` and `sendmmsg(2)`; with `offload` also UDP_GRO and UDP_SEGMENT.
pub(crate) fn echo(address: &str, offload: bool) {
    let socket = open(address, offload);
    let mut batch = Batch::new(MESSAGES);
    loop {
        let count = receive(&mut batch, &socket, libc::MSG_WAITFORONE);
        for index in 0..count {
            let sender = batch.names[index];
            pass_on(&mut batch, index, Some(sender));
        }
        send(&mut batch, &socket, 0, count);
    }
}

struct Relay {
    listener: UdpSocket,
    upstream: String,
    offload: bool,
    epoll: Epoll,
    batch: Batch,
    flows: Vec<(UdpSocket, libc::sockaddr_in)>,
    /// Flows by address and port of the sender.
    numbers: HashMap<(u32, u16), usize>,
}

/// The same between senders and an upstream, to which each sender has a socket.
pub(crate) fn relay(address: &str, upstream: &str, offload: bool) {
    let mut relay = Relay {
        listener: open(address, offload),
        upstream: upstream.to_owned(),
        offload,
        epoll: Epoll::new(EpollCreateFlags::empty()).expect("epoll"),
        batch: Batch::new(MESSAGES),
        flows: Vec::new(),
        numbers: HashMap::new(),
    };
    let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
    relay.epoll.add(relay.listener.as_fd(), event).expect("epoll");
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        let count = relay.epoll.wait(&mut events, EpollTimeout::NONE).expect("epoll");
        for event in &events[..count] {
            match event.data() {
                LISTENER => relay.forth(),
                number => relay.back(number as usize),
            }
        }
    }
}

impl Relay {
    /// What one sender sent in a row goes on in one call.
    fn forth(&mut self) {
        let count = receive(&mut self.batch, &self.listener, libc::MSG_DONTWAIT);
        let mut from = 0;
        while from < count {
            let sender = self.batch.names[from];
            let key = key(&sender);
            let mut to = from;
            while to < count && self::key(&self.batch.names[to]) == key {
                pass_on(&mut self.batch, to, None);
                to += 1;
            }
            let number = match self.numbers.get(&key) {
                Some(&number) => number,
                None => self.open(sender),
            };
            send(&mut self.batch, &self.flows[number].0, from, to);
            from = to;
        }
    }

    fn open(&mut self, sender: libc::sockaddr_in) -> usize {
        let number = self.flows.len();
        let socket = open("127.0.0.1:0", self.offload);
        socket.connect(&self.upstream).expect("connect");
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        self.epoll.add(socket.as_fd(), event).expect("epoll");
        self.flows.push((socket, sender));
        self.numbers.insert(key(&sender), number);
        number
    }

    fn back(&mut self, number: usize) {
        let (socket, sender) = &self.flows[number];
        let count = receive(&mut self.batch, socket, libc::MSG_DONTWAIT);
        (0..count).for_each(|index| pass_on(&mut self.batch, index, Some(*sender)));
        send(&mut self.batch, &self.listener, 0, count);
    }
}

fn key(name: &libc::sockaddr_in) -> (u32, u16) {
    (name.sin_addr.s_addr, name.sin_port)
}
