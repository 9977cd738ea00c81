//! Many, slow, large, cold: what a server of HTTP has to bear.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::*;

fn program(listener_keys: &str, routes: &str) -> Program {
    let listener = format!(
        "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         {listener_keys}\n"
    );
    Program::serve(&[&runtime(1), NO_ADMIN, &listener, routes].concat())
}

/// A number from the environment, for longer runs.
fn wanted(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Enough connections, and waits that no machine is too slow for.
const WAITS: &str = "max_connections = 100000\nhead_timeout = \"10m\"\nwrite_timeout = \"10m\"";

fn files_below(folder: &Folder) -> String {
    let root = folder.path().display();
    format!("[[listener.route]]\nfiles = \"{root}\"\nfile_cache_ttl = \"0s\"\n")
}

/// Copies `length` bytes, which all are `byte`, from a stream that may have some buffered.
fn drain(reader: &mut impl Read, mut length: u64, byte: u8) {
    let mut buffer = vec![0; 256 * 1024];
    while length > 0 {
        let most = usize::try_from(length.min(buffer.len() as u64)).unwrap();
        let count = reader.read(&mut buffer[..most]).unwrap();
        assert!(count > 0, "{length} bytes are missing");
        assert!(buffer[..count].iter().all(|one| *one == byte));
        length -= count as u64;
    }
}

/// `RINGWAY_SOAK_BODY=10737418240 cargo test --release --test e2e large_body` is the long run.
#[test]
fn a_large_body_goes_both_ways_in_bounded_memory() {
    let length = wanted("RINGWAY_SOAK_BODY", 256 << 20);
    let server = serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        if read_head(&mut reader).is_empty() {
            return;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        writer.write_all(head.as_bytes()).unwrap();
        drain(&mut reader, length, b'u');
        let part = vec![b'd'; 256 * 1024];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left.min(part.len() as u64)).unwrap();
            writer.write_all(&part[..most]).unwrap();
            left -= most as u64;
        }
    });
    let routes = format!(
        "[[listener.route]]\nproxy = \"u\"\nbody_max = \"off\"\n\
         [upstream.u]\nservers = [\"{server}\"]\n"
    );
    let program = program("", &routes);
    let before = program.resident_kib();
    let mut client = Client::new(program.addresses[0]);
    client.send(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let mut writer = client.0.get_ref().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let part = vec![b'u'; 256 * 1024];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left.min(part.len() as u64)).unwrap();
            writer.write_all(&part[..most]).unwrap();
            left -= most as u64;
        }
    });
    assert_eq!(client.head().status, 200);
    drain(&mut client.0, length, b'd');
    sending.join().unwrap();
    let grown = program.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more after {length} bytes each way");
}

/// `RINGWAY_SOAK_SLOW=5000 cargo test --release --test e2e slow_clients` is the long run.
#[test]
fn slow_clients_hold_up_nobody_and_little_memory() {
    let slow = usize::try_from(wanted("RINGWAY_SOAK_SLOW", 200)).unwrap();
    let folder = Folder::new();
    folder.file("large", &"l".repeat(4 << 20));
    folder.file("small", "s");
    let program = program(WAITS, &files_below(&folder));
    let address = program.addresses[0];
    assert_eq!(Client::new(address).get("/large").status, 200);
    let before = program.resident_kib();
    let mut readers: Vec<_> = (0..slow).map(|_| Client::new(address)).collect();
    for reader in &mut readers {
        reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let mut writers: Vec<_> = (0..slow).map(|_| Client::new(address)).collect();
    for writer in &mut writers {
        writer.send("POST /small HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    }
    let mut fast = Client::new(address);
    for _ in 0..100 {
        assert_eq!(fast.get("/small").text(), "s");
    }
    let grown = program.resident_kib().saturating_sub(before);
    let most = 2 * slow * 8 + 4 * 1024;
    assert!(grown < most, "{grown} KiB for {slow} slow readers and writers");
    // Who was slow is not forgotten.
    assert_eq!(readers[0].answer().body.len(), 4 << 20);
    writers[0].send("x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(writers[0].answer().status, 405);
    drop((readers, writers, fast));
    wait_until("all connections are closed", || program.descriptors() < 60);
}

#[test]
fn a_file_that_is_not_in_memory_comes_whole_while_others_are_served() {
    let folder = Folder::new();
    let body = "c".repeat(8 << 20);
    folder.file("cold", &body);
    folder.file("warm", "w");
    let served = web("", &files_below(&folder));
    let address = served.address();
    let file = File::open(folder.path().join("cold")).unwrap();
    file.sync_all().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let others = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let mut client = Client::new(address);
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.get("/warm").text(), "w");
            }
        })
    };
    let mut client = Client::new(address);
    for _ in 0..5 {
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        assert_eq!(client.get("/cold").body, body.as_bytes());
    }
    done.store(true, Ordering::Relaxed);
    others.join().unwrap();
}

#[test]
fn a_file_that_is_replaced_under_load_is_always_one_of_its_versions() {
    let folder = Folder::new();
    folder.file("page", &"a".repeat(1 << 20));
    let served = web("", &files_below(&folder));
    let address = served.address();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let done = Arc::clone(&done);
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) || seen == 0 {
                    let answer = client.get("/page");
                    let first = answer.body[0];
                    assert!(answer.body.iter().all(|one| *one == first), "two versions in one");
                    let length = if first % 2 == 1 { 1 << 20 } else { 300 };
                    assert_eq!(answer.body.len(), length);
                    seen += 1;
                }
            })
        })
        .collect();
    for version in 0..100_u8 {
        let letter = char::from(b'a' + version % 26);
        let length = if u32::from(letter) % 2 == 1 { 1 << 20 } else { 300 };
        folder.file("next", &letter.to_string().repeat(length));
        std::fs::rename(folder.path().join("next"), folder.path().join("page")).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// Clients that read nothing of endless answers.
const STALLED: usize = 40;

/// A proxy of which so many bytes may wait, with clients that have stalled.
fn stalled(memory: &str) -> (Served, Vec<Client>) {
    let server = serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        loop {
            let head = read_head(&mut reader);
            if head.is_empty() {
                return;
            }
            let is_endless = head.starts_with("GET /endless");
            let length = if is_endless { 1_u64 << 40 } else { 2 << 20 };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            if writer.write_all(head.as_bytes()).is_err() {
                return;
            }
            let part = vec![b'd'; 64 * 1024];
            for _ in 0..length / part.len() as u64 {
                if writer.write_all(&part).is_err() {
                    return;
                }
            }
        }
    });
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         write_timeout = \"10m\"\nsend_buffer = \"64KiB\"\n\
         [[listener.route]]\nproxy = \"u\"\n";
    let runtime = format!("{}waiting_memory = \"{memory}\"\n", runtime(1));
    let served = Served::new(&[&runtime, NO_ADMIN, listener, &upstream(&[server], "")].concat());
    let mut clients: Vec<_> = (0..STALLED).map(|_| Client::new(served.address())).collect();
    for client in &mut clients {
        client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    (served, clients)
}

fn waiting(served: &Served) -> u64 {
    served.sum(|cell| cell.stats.waiting.bytes.get())
}

#[test]
fn clients_that_stall_take_no_more_memory_than_their_budget_and_hold_up_nobody() {
    // A part of 4 KiB for each connection in each queue, and the pool of receive buffers twice.
    const MOST: u64 = (1 << 20) + (STALLED as u64 + 1) * 32 * 1024 + 2 * 64 * 4096;
    let (served, clients) = stalled("1MiB");
    wait_until("the budget is short", || {
        served.sum(|cell| cell.stats.waiting.limited.get()) > 0 && waiting(&served) >= 1 << 19
    });
    for _ in 0..5 {
        let mut fast = Client::new(served.address());
        fast.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = fast.head();
        assert_eq!((head.status, head.field("content-length")), (200, Some("2097152")));
        let mut left = 2 << 20;
        while left > 0 {
            drain(&mut fast.0, 64 * 1024, b'd');
            left -= 64 * 1024;
            let now = waiting(&served);
            assert!(now <= MOST, "{now} bytes wait");
        }
    }
    drop(clients);
    wait_until("nothing waits", || waiting(&served) == 0);
}

#[test]
fn within_the_budget_each_client_that_stalls_has_its_full_share() {
    let (served, clients) = stalled("64GiB");
    // 256 KiB each, of which a part may be in the gaps of pages.
    wait_until("much waits", || waiting(&served) >= STALLED as u64 * 200 * 1024);
    let now = waiting(&served);
    let most = STALLED as u64 * 400 * 1024;
    assert!(now <= most, "{now} bytes wait: exchange and write buffer share one limit");
    assert_eq!(served.sum(|cell| cell.stats.waiting.limited.get()), 0);
    drop(clients);
    wait_until("nothing waits", || waiting(&served) == 0);
}
