//! Limits and shortages: idle time, maximum connections, descriptors, locked memory, growth.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use ringway::service::CloseReason;

use crate::support::*;

const ECHO: &str = "[[listener]]\nname = \"e\"\nprotocol = \"echo\"\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn an_idle_connection_is_closed_and_one_that_moves_is_not() {
    let idle = format!("{ECHO}idle_timeout = \"300ms\"\n");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &idle].concat());
    let mut still = served.connect();
    let mut moving = served.connect();
    let (sender, pause) = std::sync::mpsc::channel::<()>();
    for _ in 0..10 {
        moving.write_all(b"x").unwrap();
        moving.read_exact(&mut [0]).unwrap();
        let _time_out = pause.recv_timeout(std::time::Duration::from_millis(60));
    }
    drop(sender);
    assert_eq!(still.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(served.closed(CloseReason::IdleTimeout), 1);
    moving.write_all(b"y").unwrap();
    moving.read_exact(&mut [0]).unwrap();
}

#[test]
fn connections_beyond_the_maximum_are_refused_and_counted() {
    for workers in [1, 2] {
        let few = format!("{ECHO}max_connections = 3\n");
        let served = Served::new(&[&runtime(workers), NO_ADMIN, &few].concat());
        let mut kept: Vec<TcpStream> = Vec::new();
        for _ in 0..3 {
            let mut stream = served.connect();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            kept.push(stream);
        }
        assert_eq!(served.connect().read(&mut [0; 8]).unwrap_or(0), 0);
        wait_until("counted", || served.closed(CloseReason::TooManyConnections) == 1);
        kept.pop();
        wait_until("one is free", || served.sum(|cell| cell.active.get()) == 2);
        let mut again = served.connect();
        again.write_all(b"x").unwrap();
        again.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn a_worker_with_too_many_hands_new_connections_over() {
    let ratio = runtime(2) + "handoff_ratio = 1.05\n";
    let served = Served::new(&[&ratio, NO_ADMIN, ECHO].concat());
    let load = |worker: usize| served.running().workers().cells()[worker].active.get();
    let mut by_worker: [Vec<TcpStream>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..60 {
        let before = load(0);
        let mut stream = served.connect();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        by_worker[usize::from(load(0) == before)].push(stream);
    }
    // All of one worker's go; what comes then and hashes to the other is handed over.
    by_worker[1].clear();
    wait_until("one worker is free", || load(1) == 0);
    let more: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = served.connect();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let handed = served.sum(|cell| cell.stats.handed_over.get());
    assert!(handed > 0, "loads {} and {}", load(0), load(1));
    assert_eq!(served.sum(|cell| cell.stats.taken_over.get()), handed);
    assert!(served.running().workers().imbalance() < 1.5);
    drop(more);
    drop(by_worker);
    wait_until("all are gone", || load(0) + load(1) == 0);
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn when_descriptors_run_out_operators_and_accepted_clients_are_served() {
    let server = crate::support::echo_server();
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let config =
        |extra: &str| [&runtime(1), admin, &proxy(extra), &upstream(&[server], "")].concat();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", BINARY]);
    let program = Program::start(&config(""), &mut limited);
    let (address, admin) = (program.addresses[0], program.addresses[1]);
    let mut streams: Vec<TcpStream> = (0..120).map(|_| connect(address)).collect();
    for stream in &mut streams {
        // One that was refused at the door may be reset by now.
        let _reset = stream.write_all(b"x");
        stream.set_nonblocking(true).unwrap();
    }
    let mut served = 0;
    while served < 20 {
        let answered = |stream: &mut TcpStream| stream.read(&mut [0]).is_ok_and(|read| read == 1);
        served += streams.iter_mut().map(|one| usize::from(answered(one))).sum::<usize>();
        std::thread::yield_now();
    }
    for page in ["GET /healthz", "GET /readyz", "GET /metrics"] {
        assert!(crate::admin::get(admin, page).starts_with("HTTP/1.1 200"), "{page}");
    }
    // As they go, others get their descriptors.
    drop(streams);
    wait_until("a late client is served", || {
        let mut late = connect(address);
        late.write_all(b"y").and_then(|()| late.read_exact(&mut [0])).is_ok()
    });
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, errors) = program.wait();
    assert!(status.success(), "{errors}");
    assert!(errors.contains("too many open files"), "{errors}");
    let level = |errors: &str| {
        let line = errors.lines().find(|line| line.contains("max_connections may need")).unwrap();
        ["INFO", "WARN"].into_iter().find(|level| line.contains(level))
    };
    assert_eq!(level(&errors), Some("INFO"), "nobody has asked for more: {errors}");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\"", BINARY]);
    let program = Program::start(&config("max_connections = 20000"), &mut limited);
    program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(level(&program.wait().1), Some("WARN"));
}

#[test]
fn an_ordinary_user_with_little_locked_memory_is_served() {
    let folder = Folder::new();
    // Where that user may run it.
    let copy = folder.path().join("ringway");
    std::fs::copy(BINARY, &copy).unwrap();
    let config = format!("[runtime]\nworkers = 2\n{NO_ADMIN}{ECHO}");
    for kib in [8192, 320] {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -l {kib}; exec \"$0\" \"$@\"")]).arg(&copy);
        limited.env(ringway::ring::DRIVER_VARIABLE, "uring");
        if nix::unistd::geteuid().is_root() {
            // A user of its own: the limit is counted by user.
            limited.uid(54_321).gid(54_321);
        }
        let program = Program::start(&config, &mut limited);
        let sent = bytes(5, 1_000_000);
        assert!(exchange(connect(program.addresses[0]), sent.clone()) == sent);
        program.signal(nix::sys::signal::Signal::SIGTERM);
        let (status, errors) = program.wait();
        assert!(status.success(), "{errors}");
        assert!(kib > 1024 || errors.matches("smaller rings").count() == 1, "{errors}");
        assert!(!errors.contains("\"WARN\""), "{errors}");
    }
}

/// `RINGWAY_SOAK_CONNECTIONS=200000 cargo test --release --test e2e growth` is the long run.
#[test]
fn no_growth_of_descriptors_or_memory_over_many_connections() {
    let many = std::env::var("RINGWAY_SOAK_CONNECTIONS").ok();
    let many = many.and_then(|text| text.parse().ok()).unwrap_or(6_000);
    let echo = ECHO.replace("name = \"e\"", "name = \"echo\"");
    let inner = Program::serve(&[&runtime(1), NO_ADMIN, &echo].concat());
    let to = upstream(&[inner.addresses[0]], "");
    let program = Program::serve(&[&runtime(2), NO_ADMIN, &proxy(""), &to].concat());
    let address = program.addresses[0];
    let run = |connections: usize| {
        for number in 0..connections {
            let mut stream = connect(address);
            stream.write_all(&[1; 64]).unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            if number % 3 == 0 {
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            }
        }
    };
    run(2_000);
    wait_until("the first are closed", || program.descriptors() < 60);
    let (fds, kib) = (program.descriptors(), program.resident_kib());
    run(many);
    wait_until("no descriptor is left", || program.descriptors() <= fds);
    let grown = program.resident_kib().saturating_sub(kib);
    assert!(grown < 512, "{grown} KiB more after {many} connections");
}
