//! Answers that are compressed on their way: what their fields say, and what memory they take.

use std::fs;
use std::io::{Read, Write};
use std::sync::{Arc, Barrier};

use super::files::Folder;
use super::proxy::proxied;
use super::*;
use ringway::session::CompressionStats;

const GZIP: &str = "Accept-Encoding: gzip\r\n";

fn ask(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// The fields that describe a representation, with HEAD's own view of them.
fn described(answer: &Answer) -> Vec<Option<String>> {
    let names = ["content-encoding", "content-length", "etag", "vary", "accept-ranges"];
    names.map(|name| answer.field(name).map(str::to_owned)).to_vec()
}

fn head(client: &mut Client, path: &str, fields: &str) -> Answer {
    client.send(&ask("HEAD", path, fields));
    client.head()
}

fn stats<T>(served: &Served, read: impl Fn(&CompressionStats) -> T) -> Vec<T> {
    let cells = served.running().workers().cells().iter();
    cells.map(|cell| read(&cell.stats.compression)).collect()
}

#[test]
fn answers_about_a_file_describe_the_one_that_get_has() {
    let folder = Folder::new("describe");
    fs::write(folder.0.join("text.txt"), "text ".repeat(2000)).unwrap();
    let served = folder.served("compress = true\n");
    let mut client = Client::new(served.address());
    let plain = client.get("/text.txt");
    let tag = plain.field("etag").unwrap().to_owned();
    let weak = format!("W/{tag}");
    for fields in ["", GZIP] {
        let whole = client.ask(&ask("GET", "/text.txt", fields));
        let about = head(&mut client, "/text.txt", fields);
        assert_eq!((about.status, described(&about)), (200, described(&whole)), "{fields}");
    }
    let coded = client.ask(&ask("GET", "/text.txt", GZIP));
    assert_eq!(coded.field("etag"), Some(weak.as_str()));
    for (fields, expected) in [("", &tag), (GZIP, &weak)] {
        let with = |condition: &str| format!("{fields}{condition}\r\n");
        let same = client.ask(&ask("GET", "/text.txt", &with(&format!("If-None-Match: {weak}"))));
        assert_eq!((same.status, same.field("etag")), (304, Some(expected.as_str())), "{fields}");
        assert_eq!(same.field("vary"), Some("accept-encoding"));
        assert_eq!(same.field("content-encoding"), None);
        let part = client.ask(&ask("GET", "/text.txt", &with("Range: bytes=0-3")));
        assert_eq!((part.status, part.text()), (206, "text"));
        assert_eq!(part.field("etag"), Some(expected.as_str()), "{fields}");
        assert_eq!(part.field("vary"), Some("accept-encoding"));
    }
    // What is too short to be compressed is what it is, whoever asks.
    let small = client.ask(&ask("GET", "/small.txt", GZIP));
    assert_eq!(described(&small), described(&head(&mut client, "/small.txt", GZIP)));
    assert!(small.field("etag").unwrap().starts_with('"'));
    // So is a page for an error.
    let pages = "error_pages = { \"404\" = \"/text.txt\" }\ncompress = true\n";
    let served = folder.served(pages);
    let mut client = Client::new(served.address());
    let page = client.ask(&ask("GET", "/none", GZIP));
    assert_eq!((page.status, page.field("content-encoding")), (404, Some("gzip")));
    assert_eq!(described(&page), described(&head(&mut client, "/none", GZIP)));
}

#[test]
fn a_server_s_answer_without_its_body_describes_the_one_with_it() {
    const ABOUT: &str = "Content-Type: text/plain\r\nETag: \"x\"\r\nAccept-Ranges: bytes\r\n\
        Content-MD5: AA==\r\nDigest: md5=AA==\r\nContent-Digest: md5=:AA==:\r\n\
        Repr-Digest: md5=:AA==:\r\n";
    let server = origin(|head| {
        let body = "0123456789".repeat(200);
        match head {
            _ if head.contains("if-none-match") => {
                "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_owned()
            }
            _ if head.contains("range: ") => format!(
                "HTTP/1.1 206 Part\r\n{ABOUT}Content-Range: bytes 0-3/2000\r\n\
                 Content-Length: 4\r\n\r\n0123"
            ),
            _ if head.starts_with("HEAD") => {
                format!("HTTP/1.1 200 OK\r\n{ABOUT}Content-Length: 2000\r\n\r\n")
            }
            _ => format!("HTTP/1.1 200 OK\r\n{ABOUT}Content-Length: 2000\r\n\r\n{body}"),
        }
    });
    let served = proxied(&[server], "", "compress = true\n");
    let mut client = Client::new(served.address());
    for fields in ["", GZIP] {
        let whole = client.ask(&ask("GET", "/", fields));
        let about = head(&mut client, "/", fields);
        assert_eq!((about.status, described(&about)), (200, described(&whole)), "{fields}");
        for name in ["content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"] {
            let is_there = fields.is_empty();
            assert_eq!(whole.field(name).is_some(), is_there, "{name} {fields}");
            assert_eq!(about.field(name).is_some(), is_there, "{name} {fields}");
        }
    }
    let table = [
        ("If-None-Match: W/\"x\"\r\n", 304, "\"x\""),
        ("Accept-Encoding: gzip\r\nIf-None-Match: W/\"x\"\r\n", 304, "W/\"x\""),
        ("Accept-Encoding: gzip\r\nIf-None-Match: \"x\"\r\n", 304, "\"x\""),
        ("Range: bytes=0-3\r\n", 206, "\"x\""),
        ("Accept-Encoding: gzip\r\nRange: bytes=0-3\r\n", 206, "W/\"x\""),
    ];
    for (fields, status, tag) in table {
        let answer = client.ask(&ask("GET", "/", fields));
        assert_eq!((answer.status, answer.field("etag")), (status, Some(tag)), "{fields}");
        assert_eq!(answer.field("vary"), Some("accept-encoding"), "{fields}");
        assert_eq!(answer.field("content-digest").is_some(), status == 206, "{fields}");
    }
    // A client may want it as it is.
    let kept = client.ask(&ask("GET", "/", &format!("{GZIP}Cache-Control: no-transform\r\n")));
    assert_eq!((kept.field("content-encoding"), kept.field("etag")), (None, Some("\"x\"")));
}

#[test]
fn trailers_that_stand_for_the_bytes_go_with_them() {
    let server = origin(|_| {
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\
         Trailer: content-digest, x-kept\r\n\r\n4\r\ntext\r\n0\r\nContent-Digest: md5=:AA==:\r\n\
         X-Kept: 1\r\n\r\n"
            .to_owned()
    });
    let served = proxied(&[server], "", "compress = true\n");
    for (fields, is_there) in [("", true), (GZIP, false)] {
        let mut client = Client::new(served.address());
        client.send(&ask("GET", "/", &format!("{fields}Connection: close\r\n")));
        let mut text = Vec::new();
        client.0.read_to_end(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("x-kept: 1\r\n"), "{text}");
        assert_eq!(text.contains("md5=:AA==:"), is_there, "{text}");
    }
}

/// A proxy whose compressors have so much memory.
fn with_memory(memory: &str, server: SocketAddr) -> Served {
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
        [[listener.route]]\nproxy = \"u\"\ncompress = true\n";
    let runtime = format!("{}compression_memory = \"{memory}\"\n", runtime(1));
    Served::new(&[&runtime, NO_ADMIN, listener, &upstream(&[server], "")].concat())
}

#[test]
fn beyond_the_memory_for_it_answers_go_as_they_are() {
    const CLIENTS: usize = 5;
    let released = Arc::new(Barrier::new(CLIENTS + 1));
    let barrier = Arc::clone(&released);
    let server = serve(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        read_head(&mut BufReader::new(stream));
        writer
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"x\"\r\n\
                  Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n",
            )
            .unwrap();
        barrier.wait();
        writer.write_all(b"5\r\nworld\r\n0\r\n\r\n").unwrap();
    });
    // A compressor of gzip takes 352 KiB: one has half of the memory, two have the other half.
    let served = with_memory("1300KiB", server);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(served.address())).collect();
    let heads = clients.iter_mut().map(|client| {
        client.send(&ask("GET", "/", GZIP));
        client.head()
    });
    let heads: Vec<_> = heads.collect();
    let codings: Vec<_> = heads.iter().map(|head| head.field("content-encoding")).collect();
    assert_eq!(codings, [Some("gzip"), Some("gzip"), Some("gzip"), None, None]);
    let tags: Vec<_> = heads.iter().map(|head| head.field("etag").unwrap()).collect();
    assert_eq!(tags, ["W/\"x\"", "W/\"x\"", "W/\"x\"", "\"x\"", "\"x\""]);
    assert!(heads.iter().all(|head| head.field("vary") == Some("accept-encoding")));
    let counted = |stats: &CompressionStats| {
        (stats.memory.used() / 1024, stats.full.get(), stats.small.get(), stats.refused.get())
    };
    assert_eq!(stats(&served, counted), [(3 * 352, 1, 2, 2)]);
    released.wait();
    for (client, head) in clients.iter_mut().zip(&heads) {
        let body = client.chunks();
        let mut text = String::new();
        match head.field("content-encoding") {
            Some(_) => flate2::read::GzDecoder::new(&*body).read_to_string(&mut text).unwrap(),
            None => (&*body).read_to_string(&mut text).unwrap(),
        };
        assert_eq!(text, "hello world");
    }
    wait_until("the memory is free again", || stats(&served, |one| one.memory.used()) == [0]);
}

#[test]
fn clients_that_go_leave_no_compressor_behind() {
    let server = serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        read_head(&mut BufReader::new(stream));
        let _gone = writer.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        let part = "text ".repeat(20_000);
        while write!(writer, "{:x}\r\n{part}\r\n", part.len()).is_ok() {}
    });
    let served = with_memory("64MiB", server);
    for coding in ["gzip", "br", "zstd"] {
        let clients = (0..8).map(|_| {
            let mut client = Client::new(served.address());
            client.send(&ask("GET", "/", &format!("Accept-Encoding: {coding}\r\n")));
            assert_eq!(client.head().field("content-encoding"), Some(coding));
            client
        });
        let clients: Vec<_> = clients.collect();
        assert!(stats(&served, |one| one.memory.used() > 0) == [true]);
        drop(clients);
        wait_until("the memory is free", || stats(&served, |one| one.memory.used()) == [0]);
    }
}
