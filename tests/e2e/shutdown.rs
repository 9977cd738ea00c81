//! The end: draining, cutting, signals under load.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;

use crate::support::*;

#[test]
fn a_drain_lets_connections_finish_and_takes_no_new_ones() {
    for workers in [1, 2] {
        let served = Served::proxy(workers, &[echo_server()]);
        let address = served.address();
        let mut open = served.connect();
        open.write_all(b"before").unwrap();
        open.read_exact(&mut [0; 6]).unwrap();
        served.running().drain();
        wait_until("nothing listens any more", || TcpStream::connect(address).is_err());
        assert_eq!(exchange(open, b"after".to_vec()), b"after");
        assert_eq!(served.drain().cut, 0);
    }
}

#[test]
fn what_is_open_at_the_deadline_is_cut_and_counted() {
    let short = runtime(2).replace("20s", "200ms");
    let server = echo_server();
    let served = Served::new(&[&short, NO_ADMIN, &proxy(""), &upstream(&[server], "")].concat());
    let mut open: Vec<TcpStream> = (0..5).map(|_| served.connect()).collect();
    for stream in &mut open {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(served.drain().cut, 5);
    for mut stream in open {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
}

#[test]
fn a_second_signal_cuts_at_once() {
    for first in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let to = upstream(&[echo_server()], "");
        let program = Program::serve(&[&runtime(2), NO_ADMIN, &proxy(""), &to].concat());
        let address = program.addresses[0];
        let mut open = connect(address);
        open.write_all(b"x").unwrap();
        open.read_exact(&mut [0]).unwrap();
        program.signal(first);
        wait_until("it drains", || TcpStream::connect(address).is_err());
        program.signal(Signal::SIGTERM);
        let (status, errors) = program.wait();
        assert!(status.success(), "{errors}");
        // The last connect that succeeded may be cut as well: not exactly one.
        assert!(errors.contains("second signal") && !errors.contains("\"cut\":0"), "{errors}");
        assert_eq!(open.read(&mut [0]).unwrap_or(0), 0);
    }
}

#[test]
fn a_signal_under_load_loses_no_byte_of_what_was_accepted() {
    for workers in [1, 2] {
        let to = upstream(&[echo_server()], "");
        let program = Program::serve(&[&runtime(workers), NO_ADMIN, &proxy(""), &to].concat());
        let address = program.addresses[0];
        let (sender, started) = std::sync::mpsc::channel();
        let all: Vec<_> = (0..30)
            .map(|number| {
                let mut stream = connect(address);
                let sender = sender.clone();
                std::thread::spawn(move || {
                    stream.write_all(b"s").unwrap();
                    stream.read_exact(&mut [0]).unwrap();
                    sender.send(()).unwrap();
                    let sent = bytes(number, 3_000_000);
                    assert!(exchange(stream, sent.clone()) == sent, "connection {number}");
                })
            })
            .collect();
        for _ in 0..30 {
            started.recv_timeout(PATIENCE).unwrap();
        }
        program.signal(Signal::SIGTERM);
        all.into_iter().for_each(|thread| thread.join().unwrap());
        let (status, errors) = program.wait();
        assert!(status.success(), "{errors}");
        assert!(errors.contains("\"cut\":0"), "{errors}");
    }
}
