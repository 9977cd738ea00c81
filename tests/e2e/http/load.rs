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
