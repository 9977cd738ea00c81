use std::net::{SocketAddr, TcpListener};

use super::*;
use crate::mem::Key;
use crate::ring::uring::{RingOptions, Uring};
use crate::ring::{Completion, Driver, Lane, Op, Outcome, SocketAddress, Syscalls, Token, Verb};

/// What a program says of a context, as the kernel runs it.
fn run(program: &[Instruction], context: &[u8; 40]) -> bool {
    let (mut at, mut word) = (0, 0);
    loop {
        let Instruction { code: kind, jf, k, .. } = program[at];
        at += 1;
        if kind == load(0).code {
            let place = usize::try_from(k).unwrap();
            word = u32::from_ne_bytes(context[place..place + 4].try_into().unwrap());
        } else if kind == mask(0).code {
            word &= k;
        } else if kind == equals(0).code {
            at += if word == k { 0 } else { usize::from(jf) };
        } else {
            assert_eq!(kind, answer(true).code);
            return k != 0;
        }
    }
}

/// What the kernel tells of a connect.
fn context(address: Option<SocketAddr>) -> [u8; 40] {
    let mut bytes = [0; 40];
    let family = match address {
        None => libc::AF_UNIX,
        Some(SocketAddr::V4(_)) => libc::AF_INET,
        Some(SocketAddr::V6(_)) => libc::AF_INET6,
    };
    bytes[16..20].copy_from_slice(&family.to_ne_bytes());
    if let Some(address) = address {
        bytes[20..22].copy_from_slice(&address.port().to_be_bytes());
        match address.ip() {
            std::net::IpAddr::V4(ip) => bytes[24..28].copy_from_slice(&ip.octets()),
            std::net::IpAddr::V6(ip) => bytes[24..40].copy_from_slice(&ip.octets()),
        }
    }
    bytes
}

#[test]
fn a_program_allows_what_its_targets_cover() {
    let lists: [&[&str]; 7] = [
        &[],
        &["unix"],
        &["10.0.0.0/8", "192.0.2.1:443"],
        &["fd00::/8", "[2001:db8::1]:80", "[2001:db8::/60]:8080"],
        &["0.0.0.0/0:53"],
        &["::/0"],
        &["172.16.0.0/12", "unix", "127.0.0.1"],
    ];
    let addresses = [
        "10.1.2.3:80",
        "11.1.2.3:80",
        "192.0.2.1:443",
        "192.0.2.1:444",
        "192.0.2.2:443",
        "172.31.255.255:1",
        "172.32.0.0:1",
        "127.0.0.1:65535",
        "8.8.8.8:53",
        "[fd12::1]:9",
        "[fe80::1]:9",
        "[2001:db8::1]:80",
        "[2001:db8::1]:81",
        "[2001:db8:0:f::1]:8080",
        "[2001:db8:0:10::1]:8080",
        "[::ffff:10.1.2.3]:80",
        "[::fffe:10.1.2.3]:80",
    ];
    for list in lists {
        let targets: Vec<ConnectTarget> = list.iter().map(|text| text.parse().unwrap()).collect();
        let program = program(&targets);
        for text in addresses {
            let address: SocketAddr = text.parse().unwrap();
            let covers = targets.iter().any(|one| one.covers(&SocketAddress::inet(address)));
            assert_eq!(run(&program, &context(Some(address))), covers, "{list:?}: {text}");
        }
        assert_eq!(run(&program, &context(None)), list.contains(&"unix"), "{list:?}");
        assert!(!run(&program, &[0; 40]), "{list:?}: an address of no family");
    }
}

#[test]
fn too_many_targets_are_refused_before_the_kernel_is_asked() {
    let target: ConnectTarget = "[2001:db8::1]:80".parse().unwrap();
    let refused = filter_connects(&[target; 500]).unwrap_err();
    assert!(matches!(refused, FilterError::TooLong(PROGRAM_MAX..)), "{refused}");
}

/// How a connect ends that a ring of this thread makes.
fn connect(to: SocketAddr) -> Result<(), Errno> {
    let mut driver = Uring::new(&RingOptions::small()).unwrap();
    let address = SocketAddress::inet(to);
    let socket = driver.socket(&address).unwrap();
    let token = Token::new(Key::new(0, 0), Lane::Client, Verb::Connect);
    driver.push(token, Op::Connect { socket, address: Box::new(address) }).unwrap();
    let mut completions: Vec<Completion> = Vec::new();
    while completions.is_empty() {
        driver.wait(None).unwrap();
        driver.reap(&mut completions);
    }
    driver.close(socket);
    let outcome = completions.pop().unwrap().outcome;
    if let Outcome::Failed(errno) = outcome { Err(errno) } else { Ok(()) }
}

#[test]
#[ignore = "needs a kernel that filters io_uring: scripts/vm.sh"]
fn on_a_kernel_with_filters_connects_go_where_they_may() {
    let [near, far] = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [near, far] = [&near, &far].map(|one| one.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let target = near.to_string().parse().unwrap();
        match filter_connects(&[target]) {
            Err(error @ FilterError::Unknown(_)) => return println!("not here: {error}"),
            added => added.unwrap(),
        }
        println!("connects are filtered");
        // A thread that is started from here has the same filters.
        let thread = std::thread::spawn(move || {
            assert_eq!(connect(near), Ok(()));
            assert_eq!(connect(far), Err(Errno::EACCES));
        });
        thread.join().unwrap();
        let mut ring = io_uring::IoUring::new(8).unwrap();
        let nothing = io_uring::opcode::Nop::new().build();
        // SAFETY: the request points to no memory.
        unsafe { ring.submission().push(&nothing) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        let result = ring.completion().next().unwrap().result();
        assert_eq!(result, -libc::EACCES, "a ring of another's making takes nothing else");
        // Filters are added to, never taken away.
        filter_connects(&[far.to_string().parse().unwrap()]).unwrap();
        assert_eq!([near, far].map(connect), [Err(Errno::EACCES); 2]);
    });
    thread.join().unwrap();
    assert_eq!(connect(far), Ok(()), "other threads are as they were");
}
