//! Reloads one after the other: nothing of the plans before stays behind, and no request fails.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::runtime::clock;

use crate::reload_config::{Http, answering, web};
use crate::support::*;

/// How long requests and reloads go on at the same time.
const LOAD: Duration = Duration::from_secs(3);
/// Reloads in a row: in the first half, memory that is used again and again comes to its size.
const RELOADS: usize = 400;
/// Memory that may come and go, in KiB.
const SLACK_KIB: usize = 4 * 1024;

/// A plan of which everything differs from that of the next number.
fn plan(number: usize, servers: [SocketAddr; 2], folder: &Folder) -> String {
    let (server, folder) = (servers[number % 2], folder.path().display());
    let routes = format!(
        "access_log.path = '{folder}/log-{log}'\n\
         [[listener.route]]\nname = 'r{number}'\npath = '/fixed'\nrespond = 'f{number}'\n\
         rate_limit = {{ rate = 1000000, burst = {burst}, entries_max = 1024 }}\n\
         [[listener.route]]\npath = '/proxy'\nproxy = 'u{number}'\n\
         [[listener.route]]\npath = '/same'\nproxy = 'same'\n\
         [[listener.route]]\nfiles = '{folder}/files-{files}'\n",
        log = number % 3,
        burst = 100_000 + number,
        files = number % 2,
    );
    let other = format!(
        "[[listener]]\nname = 't{number}'\nlisten = '127.0.0.1:0'\nprotocol = 'tcp'\n\
         upstream = 't'\n\
         [[listener]]\nname = 'd{number}'\nlisten = '127.0.0.1:0'\nprotocol = 'udp'\n\
         upstream = 't'\n\
         [[listener]]\nname = 'f{number}'\nlisten = '127.0.0.1:0'\nprotocol = 'frame'\n\
         upstream = 'f'\n\
         [upstream.t]\nservers = ['{server}']\n\
         [upstream.f]\nservers = ['{server}']\npool_max = {pool}\n\
         [upstream.u{number}]\nservers = ['{server}']\n\
         [upstream.same]\nservers = ['{server}']\n\
         health = {{ kind = 'tcp', interval = '1h' }}\n",
        pool = 4 + number % 2,
    );
    [&*web("web", &routes), &other].concat()
}

/// A folder with the files of the plans.
fn folder() -> Folder {
    let folder = Folder::new();
    for number in 0..2 {
        let files = folder.path().join(format!("files-{number}"));
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("file"), format!("file-{number}")).unwrap();
    }
    folder
}

fn servers() -> [SocketAddr; 2] {
    [answering("server-0"), answering("server-1")]
}

/// Whether the last half of the reloads has taken no memory that stays.
fn has_settled(after: &[(usize, usize, usize)]) -> bool {
    let memory = |from_end: usize| after[after.len() - from_end].2;
    memory(1) <= memory(2) + SLACK_KIB
}

#[test]
fn many_reloads_that_change_everything_leave_nothing_behind() {
    for workers in [1, 2, 4] {
        let (folder, servers) = (folder(), servers());
        let admin = "[admin]\nenabled = false\n";
        let start = |number| [&runtime(workers), admin, &plan(number, servers, &folder)].concat();
        // Else each thread that happens to make a plan keeps some memory for the next one.
        let mut command = Command::new(BINARY);
        let program = Program::start(&start(0), command.env("MALLOC_ARENA_MAX", "1"));
        let threads = || std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap().count();
        let mut after = Vec::new();
        // Memory grows until each worker had its largest plan: what leaks grows for ever.
        for number in 1..=3 * RELOADS {
            program.write(&start(number));
            program.signal(Signal::SIGHUP);
            let expected = format!("f{number}");
            wait_until("the plan holds", || {
                Http::new(program.addresses[0]).get("/fixed").1 == expected
            });
            for path in ["/proxy", "/same", "/file"] {
                assert!(Http::new(program.addresses[0]).get(path).0.starts_with("HTTP/1.1 200"));
            }
            if number % (RELOADS / 2) == 0 {
                after.push((program.descriptors(), threads(), program.resident_kib()));
                if after.len() > 1 && has_settled(&after) {
                    break;
                }
            }
        }
        let (descriptors, tasks, _) = after[0];
        wait_until("no descriptor and thread stays", || {
            program.descriptors() <= descriptors + 2 * workers && threads() <= tasks + 2
        });
        assert!(has_settled(&after), "{after:?}");
    }
}

/// What a client may be answered.
fn is_right(path: &str, body: &str) -> bool {
    match path {
        "/fixed" => body.strip_prefix('f').is_some_and(|rest| rest.parse::<usize>().is_ok()),
        "/proxy" | "/same" => matches!(body, "server-0" | "server-1"),
        _ => matches!(body, "file-0" | "file-1"),
    }
}

#[test]
fn no_request_fails_while_everything_changes() {
    for workers in [1, 2, 4] {
        let (folder, servers) = (folder(), servers());
        let start =
            |number| [&runtime(workers), NO_ADMIN, &plan(number, servers, &folder)].concat();
        let served = Served::new(&start(0));
        let address = served.at("web");
        let is_over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let is_over = Arc::clone(&is_over);
                std::thread::spawn(move || {
                    let (mut kept, mut count) = (Http::new(address), 0_usize);
                    while !is_over.load(Ordering::Relaxed) {
                        let path = ["/fixed", "/proxy", "/same", "/file"][count % 4];
                        if client % 2 == 1 {
                            kept = Http::new(address);
                        }
                        let (head, body) = kept.get(path);
                        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}{body}");
                        assert!(is_right(path, &body), "{path}: {body}");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let until = clock::now() + LOAD;
        let mut number = 0;
        while clock::now() < until {
            number += 1;
            let done = served.reload(&start(number)).unwrap();
            assert_eq!(done.late_workers, Vec::<usize>::new());
        }
        is_over.store(true, Ordering::Relaxed);
        let answers: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(answers > 0 && number > 0, "{answers} answers over {number} reloads");
        wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
    }
}
