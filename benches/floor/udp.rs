//! A UDP echo as plain as it gets: receive many, send them back.

use std::net::UdpSocket;

use crate::datagrams::{Batch, coalesce, enlarge};

/// Messages of one call.
const MESSAGES: usize = 64;

/// A blocking loop of `recvmmsg(2)` and `sendmmsg(2)`; with `offload` also UDP_GRO and UDP_SEGMENT.
pub(crate) fn echo(address: &str, offload: bool) {
    let socket = UdpSocket::bind(address).expect("bind");
    enlarge(&socket);
    if offload {
        coalesce(&socket);
    }
    let mut batch = Batch::new(MESSAGES);
    loop {
        let count = match batch.receive(&socket, libc::MSG_WAITFORONE) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => panic!("receive: {error}"),
        };
        for index in 0..count {
            let (text, segment) = batch.received(index);
            let len = text.len();
            batch.describe(index, len, segment);
        }
        let mut sent = 0;
        while sent < count {
            sent += batch.send(&socket, sent, count, 0).expect("send");
        }
    }
}
