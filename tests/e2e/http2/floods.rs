//! How long a client that behaves waits while others flood the server, as against quiet times. It
//! measures, and so is run by `scripts/http2_floods.sh`, not with the other tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::{Pid, gettid};
use ringway::proto::http2::frame::{FRAME_MAX, FrameHead, HEAD_LEN, flag, kind};
use ringway::runtime::clock;

use super::attacker::Script;
use crate::support::*;

/// How much longer it may wait: of the medians over all rounds.
const RATIO_MAX: f64 = 2.0;
/// How much longer than the median the 99th percentile may be in quiet times. Where others use the
/// processors, it is longer, and says nothing about floods.
const NOISE_MAX: f64 = 5.0;

/// What attackers do, over and over.
struct Flood {
    name: &'static str,
    /// What each connection begins with.
    first: Vec<u8>,
    /// What follows as long as it is taken; empty if the connection then ends.
    again: Vec<u8>,
}

impl Flood {
    fn new(name: &'static str, settings: &[(u16, u32)], write: impl FnOnce(&mut Script)) -> Self {
        let mut script = Script::new(settings);
        write(&mut script);
        Self { name, first: script.bytes, again: Vec::new() }
    }

    /// Writes what follows the first bytes, on the same connection.
    fn goes_on(
        name: &'static str,
        settings: &[(u16, u32)],
        first: impl FnOnce(&mut Script),
        again: impl FnOnce(&mut Script),
    ) -> Self {
        let mut script = Script::new(settings);
        first(&mut script);
        let bytes = std::mem::take(&mut script.bytes);
        again(&mut script);
        Self { name, first: bytes, again: script.bytes }
    }
}

fn floods() -> Vec<Flood> {
    let echo = [(":path", "/echo")];
    let many = |kind, payload: &'static [u8]| {
        move |script: &mut Script| (0..5000).for_each(|_| script.frame(kind, 0, 0, payload))
    };
    let large = "b".repeat(900);
    let references = [&echo[..], &[("x-large", large.as_str()); 60]].concat();
    let crumbs = [&echo[..], &[("cookie", "name=value"); 250]].concat();
    vec![
        Flood::new("connections", &[], |_| {}),
        Flood::new("requests given up", &[], |script| {
            for _ in 0..2000 {
                let id = script.request(&[], true);
                script.frame(kind::RST_STREAM, 0, id, &8_u32.to_be_bytes());
            }
        }),
        Flood::new("requests that have to be reset", &[], |script| {
            for _ in 0..2000 {
                let id = script.request(&echo, false);
                script.frame(kind::WINDOW_UPDATE, 0, id, &[0; 4]);
            }
        }),
        Flood::new("requests beyond the limit", &[], |script| {
            script.requests(2000, &echo, false);
        }),
        Flood::new("parts of a head", &[], |script| {
            script.frame(kind::HEADERS, flag::END_STREAM, 1, &[0x82]);
            (0..2000).for_each(|_| script.frame(kind::CONTINUATION, 0, 1, &[0x82]));
        }),
        Flood::new("references to a large field", &[], |script| {
            script.requests(500, &references, false);
        }),
        Flood::new("parts of a cookie", &[], |script| {
            script.requests(500, &crumbs, false);
        }),
        Flood::new("DATA without data", &[], |script| {
            script.request(&echo, false);
            (0..5000).for_each(|_| script.frame(kind::DATA, 0, 1, &[]));
        }),
        Flood::new("DATA of one byte", &[], |script| {
            script.request(&echo, false);
            (0..60_000).for_each(|_| script.frame(kind::DATA, 0, 1, b"x"));
        }),
        Flood::new("PING", &[], many(kind::PING, &[0; 8])),
        Flood::new("SETTINGS", &[], many(kind::SETTINGS, &[])),
        Flood::new("SETTINGS that move windows", &[(4, 0)], |script| {
            script.requests(100, &[], true);
            for _ in 0..1000 {
                for size in [0, 1] {
                    script.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, size]);
                }
            }
        }),
        Flood::new("PRIORITY", &[], |script| {
            (0..5000).for_each(|_| script.frame(kind::PRIORITY, 0, 1, &[0; 5]));
        }),
        Flood::new("unknown frames", &[], |script| {
            (0..100).for_each(|_| script.frame(0x7f, 0, 0, &[0; FRAME_MAX]));
        }),
        Flood::goes_on(
            "windows of a byte",
            &[(4, 0)],
            |script| script.requests(100, &[(":path", "/large")], true),
            |script| {
                for at in 0..100 {
                    script.frame(kind::WINDOW_UPDATE, 0, 1 + 2 * at, &1_u32.to_be_bytes());
                }
            },
        ),
    ]
}

/// Puts the thread on a processor of its own, beside the server's.
fn pin() {
    let mut set = CpuSet::new();
    set.set(1).unwrap();
    sched_setaffinity(Pid::from_raw(0), &set).expect("two processors: one for the server");
}

/// Attacks until it is told to stop. The client that is measured goes first on their processor.
fn attack(address: SocketAddr, flood: &Flood, stop: &AtomicBool, sent: &AtomicU64) {
    pin();
    let mut idle = Command::new("chrt");
    idle.args(["--idle", "--pid", "0", &gettid().to_string()]);
    assert!(idle.status().expect("chrt, of util-linux").success());
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let mut is_taken = stream.write_all(&flood.first).is_ok();
        sent.fetch_add(1, Ordering::Relaxed);
        while is_taken && !flood.again.is_empty() && !stop.load(Ordering::Relaxed) {
            // What it answers is dropped.
            while recv(stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).is_ok_and(|n| n > 0)
            {
            }
            is_taken = stream.write_all(&flood.again).is_ok();
            sent.fetch_add(1, Ordering::Relaxed);
        }
        let _gone = stream.shutdown(std::net::Shutdown::Write);
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }
}

/// A client that asks for one thing after the other.
struct Good {
    stream: TcpStream,
    script: Script,
}

impl Good {
    fn new(address: SocketAddr) -> Self {
        let stream = connect(address);
        stream.set_nodelay(true).unwrap();
        let mut script = Script::new(&[]);
        script.frame(kind::WINDOW_UPDATE, 0, 0, &0x4000_0000_u32.to_be_bytes());
        Self { stream, script }
    }

    fn ask(&mut self) {
        let id = self.script.request(&[], true);
        self.stream.write_all(&self.script.bytes).unwrap();
        self.script.bytes.clear();
        let (mut buffer, mut filled) = ([0; 4096], 0);
        loop {
            let count = self.stream.read(&mut buffer[filled..]).unwrap();
            assert!(count > 0, "the server has ended");
            filled += count;
            let mut at = 0;
            while let Some(head) = buffer[..filled].get(at..at + HEAD_LEN) {
                let head = FrameHead::read(head.try_into().unwrap());
                if at + HEAD_LEN + head.len > filled {
                    break;
                }
                assert!(![kind::GOAWAY, kind::RST_STREAM].contains(&head.kind));
                let ends = [kind::HEADERS, kind::DATA].contains(&head.kind);
                if ends && head.stream == id && head.flags & flag::END_STREAM != 0 {
                    return;
                }
                at += HEAD_LEN + head.len;
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
        }
    }

    /// Asks for so long: the median and the 99th percentile of how long it waited, in microseconds.
    fn measure(&mut self, time: Duration) -> (f64, f64) {
        let (begin, mut waits) = (clock::now(), Vec::new());
        while clock::now() - begin < time {
            let asked = clock::now();
            self.ask();
            waits.push(clock::now() - asked);
        }
        waits.sort_unstable();
        let at = |percent: usize| waits[waits.len() * percent / 100].as_secs_f64() * 1e6;
        (at(50), at(99))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "it measures: scripts/http2_floods.sh"]
fn a_good_client_waits_no_longer_while_others_flood() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let rounds = number("RINGWAY_FLOOD_ROUNDS", 5);
    let time = Duration::from_millis(number("RINGWAY_FLOOD_TIME", 400));
    let attackers = number("RINGWAY_FLOOD_ATTACKERS", 1);
    let folder = Folder::new();
    folder.file("large", &"l".repeat(1 << 20));
    let text = format!(
        "[runtime]\nworkers = 1\npin = false\n{NO_ADMIN}\
         [[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         keepalive_requests = \"off\"\n\
         [[listener.route]]\npath = \"/echo\"\necho = true\nbody_max = \"off\"\n\
         [[listener.route]]\npath = \"/large\"\nfiles = \"{}\"\n\
         [[listener.route]]\nrespond = \"hello\"\n",
        folder.path().display()
    );
    let mut taskset = Command::new("taskset");
    let program = Program::start(&text, taskset.args(["--cpu-list", "0", BINARY]));
    let address = program.addresses[0];
    pin();
    let mut good = Good::new(address);
    good.measure(time);
    let floods: Vec<_> = floods().into_iter().map(Arc::new).collect();
    let mut noise = Vec::new();
    let mut measured = vec![Vec::new(); floods.len()];
    for _ in 0..rounds {
        for (flood, measured) in floods.iter().zip(&mut measured) {
            let (usual, quiet) = good.measure(time);
            noise.push(quiet / usual);
            let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let attackers: Vec<_> = (0..attackers)
                .map(|_| {
                    let (flood, stop, sent) = (flood.clone(), stop.clone(), sent.clone());
                    std::thread::spawn(move || attack(address, &flood, &stop, &sent))
                })
                .collect();
            let is_under_way = || sent.load(Ordering::Relaxed) > 0;
            wait_until("the flood is under way", is_under_way);
            let (before, begin) = (sent.load(Ordering::Relaxed), clock::now());
            let (_, flooded) = good.measure(time);
            let rate = (sent.load(Ordering::Relaxed) - before) as f64
                / (clock::now() - begin).as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
            measured.push((quiet, flooded, rate));
        }
    }
    println!("| flood | a second | p99 quiet, us | p99 flooded, us | ratio |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut beyond = Vec::new();
    for (flood, measured) in floods.iter().zip(measured) {
        let of = |read: fn(&(f64, f64, f64)) -> f64| median(measured.iter().map(read).collect());
        let (quiet, flooded, rate) = (of(|one| one.0), of(|one| one.1), of(|one| one.2));
        let ratio = of(|one| one.1 / one.0);
        println!("| {} | {rate:.0} | {quiet:.0} | {flooded:.0} | {ratio:.2} |", flood.name);
        if ratio > RATIO_MAX {
            beyond.push(flood.name);
        }
    }
    let noise = median(noise);
    if noise > NOISE_MAX {
        println!("NOT QUIET: without floods, the p99 is {noise:.1} times the median");
        return;
    }
    assert!(beyond.is_empty(), "a good client waits too long: {beyond:?}");
}
