//! Static files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use super::*;
use ringway::service::CloseReason;

/// A folder of its own, gone at the end.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-http-{}-{name}", std::process::id()));
        let _none = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("sub")).unwrap();
        fs::write(path.join("small.txt"), "small file").unwrap();
        fs::write(path.join("large.bin"), bytes(7, 3_000_000)).unwrap();
        fs::write(path.join("index.html"), "<p>index</p>").unwrap();
        fs::write(path.join(".secret"), "no").unwrap();
        fs::write(path.join("empty"), "").unwrap();
        Self(path)
    }

    pub(super) fn served(&self, keys: &str) -> Served {
        let root = self.0.display();
        web("", &format!("[[listener.route]]\nfiles = \"{root}\"\n{keys}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_given_whole_in_ranges_and_not_again() {
    let folder = Folder::new("whole");
    let served = folder.served("");
    let mut client = Client::new(served.address());
    for _ in 0..2 {
        let small = client.get("/small.txt");
        assert_eq!((small.status, small.text()), (200, "small file"));
        assert_eq!(small.field("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(client.get("/large.bin").body, bytes(7, 3_000_000));
        assert_eq!(client.get("/").text(), "<p>index</p>");
        assert_eq!(client.get("/empty").body, b"");
    }
    let etag = client.get("/small.txt").field("etag").unwrap().to_owned();
    let ask =
        |path: &str, field: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    assert_eq!(client.ask(&ask("/small.txt", &format!("If-None-Match: {etag}"))).status, 304);
    let part = client.ask(&ask("/large.bin", "Range: bytes=1000000-1999999"));
    assert_eq!((part.status, part.body.len()), (206, 1_000_000));
    assert_eq!(part.body, bytes(7, 3_000_000)[1_000_000..2_000_000]);
    let parts = client.ask(&ask("/small.txt", "Range: bytes=0-1,6-"));
    assert!(parts.text().contains("\r\n\r\nsm\r\n") && parts.text().contains("\r\n\r\nfile\r\n"));
    assert_eq!(client.ask(&ask("/small.txt", "Range: bytes=10-")).status, 416);
    let head = "HEAD /large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(head);
    assert_eq!(client.head().field("content-length"), Some("3000000"));
    assert_eq!(client.ask("POST /small.txt HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
}

#[test]
fn nothing_outside_of_the_folder_and_no_dot_file_is_given() {
    let folder = Folder::new("outside");
    symlink("/etc/passwd", folder.0.join("link")).unwrap();
    symlink("small.txt", folder.0.join("inner")).unwrap();
    fs::write(folder.0.join("sub/a"), "a").unwrap();
    let served = folder.served("");
    let table = [
        ("/.secret", 403),
        ("/link", 404),
        ("/inner", 404),
        ("/sub/../small.txt", 200),
        ("/%2e%2e/small.txt", 400),
        ("/sub%2Fa", 404),
        ("/small.txt/", 404),
        ("/none", 404),
        ("/sub/", 403),
        ("/sub", 301),
    ];
    for (path, status) in table {
        // A refusal ends its connection.
        let mut client = Client::new(served.address());
        assert_eq!(client.get(path).status, status, "{path}");
    }
    let following = folder.served("symlinks = \"beneath\"\nlisting = true\n");
    let mut client = Client::new(following.address());
    assert_eq!(client.get("/inner").text(), "small file");
    assert_eq!(client.get("/link").status, 404);
    assert!(client.get("/sub/").text().contains("href=\"./a\""));
}

#[test]
fn a_changed_file_is_noticed_and_one_that_shrinks_cuts_the_connection() {
    let folder = Folder::new("changed");
    let served = folder.served("file_cache_ttl = \"1ms\"\n");
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/small.txt").text(), "small file");
    fs::write(folder.0.join("small.txt"), "another text").unwrap();
    wait_until("the change is seen", || {
        Client::new(served.address()).get("/small.txt").text() == "another text"
    });
    let big = folder.0.join("big.bin");
    fs::write(&big, bytes(3, 40_000_000)).unwrap();
    client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("40000000"));
    fs::OpenOptions::new().write(true).open(&big).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    let cut = client.0.read_to_end(&mut rest);
    assert!(cut.is_err() || rest.len() < 40_000_000);
    wait_until("counted", || served.closed(CloseReason::FileCut) == 1);
}

#[test]
fn a_file_beside_the_file_is_given_to_who_takes_its_coding() {
    let folder = Folder::new("coding");
    fs::write(folder.0.join("small.txt.gz"), "gzipped").unwrap();
    let served = folder.served("precompressed = [\"br\", \"gzip\"]\n");
    let mut client = Client::new(served.address());
    let ask = "GET /small.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip\r\n\r\n";
    let coded = client.ask(ask);
    assert_eq!((coded.text(), coded.field("content-encoding")), ("gzipped", Some("gzip")));
    assert_eq!(coded.field("vary"), Some("accept-encoding"));
    assert_eq!(coded.field("content-type"), Some("text/plain; charset=utf-8"));
    let plain = client.get("/small.txt");
    assert_eq!((plain.text(), plain.field("content-encoding")), ("small file", None));
    let pages = "error_pages = { \"404\" = \"/small.txt\" }\n";
    let served = folder.served(&format!("{pages}precompressed = [\"gzip\"]\n"));
    let page = Client::new(served.address()).ask(&ask.replace("small.txt", "none"));
    assert_eq!((page.status, page.field("content-encoding")), (404, Some("gzip")));
}

#[test]
fn files_are_compressed_for_who_likes_it() {
    let folder = Folder::new("compress");
    fs::write(folder.0.join("text.txt"), "text ".repeat(2000)).unwrap();
    let served = folder.served("compress = true\n");
    let mut client = Client::new(served.address());
    for _ in 0..2 {
        let ask = "GET /text.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
        let coded = client.ask(ask);
        assert_eq!(coded.field("content-encoding"), Some("gzip"));
        assert!(coded.body.len() < 1000 && coded.body.starts_with(&[0x1f, 0x8b]));
        assert_eq!(client.get("/text.txt").body.len(), 10_000);
        let small = "GET /small.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
        assert_eq!(client.ask(small).field("content-encoding"), None);
    }
}

#[test]
fn a_folder_at_the_bare_prefix_of_its_route_is_redirected() {
    let folder = Folder::new("bare");
    fs::create_dir_all(folder.0.join("docs")).unwrap();
    fs::write(folder.0.join("docs/index.html"), "docs").unwrap();
    fs::write(folder.0.join("file"), "file").unwrap();
    let root = folder.0.display();
    let with = |keys: &str| web("", &format!("[[listener.route]]\nfiles = \"{root}\"\n{keys}"));
    let table = [
        ("path_prefix = \"/docs\"\n", "docs"),
        ("path_prefix = \"/docs/\"\n", "docs"),
        ("path_prefix = \"/docs\"\nprefix_rewrite = \"/\"\n", "<p>index</p>"),
        ("path_prefix = \"/docs/\"\nprefix_rewrite = \"/\"\n", "<p>index</p>"),
        ("path_prefix = \"/docs\"\nprefix_rewrite = \"/docs/\"\n", "docs"),
        ("path_prefix = \"/docs/\"\nprefix_rewrite = \"/docs\"\n", "docs"),
    ];
    for (keys, text) in table {
        let served = with(keys);
        let mut client = Client::new(served.address());
        for (path, location) in [("/docs", "/docs/"), ("/docs?a=b", "/docs/?a=b")] {
            let answer = client.get(path);
            let found = (answer.status, answer.field("location"));
            assert_eq!(found, (301, Some(location)), "{keys} {path}");
        }
        assert_eq!(client.get("/docs/").text(), text, "{keys}");
    }
    // A file is not a folder, and is not below the prefix.
    let served = with("path_prefix = \"/file/\"\n");
    assert_eq!(Client::new(served.address()).get("/file").status, 404);
    // What a client sends never becomes the name of another host.
    let served = with("path_prefix = \"/\"\nprefix_rewrite = \"/\"\n");
    let answer = Client::new(served.address()).get("//docs");
    assert_eq!((answer.status, answer.field("location")), (301, Some("/docs/")));
    let served = with("path_prefix = \"/a\"\nprefix_rewrite = \"/docs\"\n");
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/a//index.html").status, 404);
}

/// Sets when a file was last written.
fn set_modified(path: &std::path::Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Writes other bytes of the same length to a file in its place, and leaves its time of
/// modification as it was. The clock of the file system may be coarse: until that tells.
fn overwrite(path: &std::path::Path, other: &[u8]) {
    let before = fs::metadata(path).unwrap();
    let changed = |found: &fs::Metadata| (found.ctime(), found.ctime_nsec());
    wait_until("the file system's clock goes on", || {
        let mut file = fs::File::options().write(true).open(path).unwrap();
        file.write_all(other).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        changed(&fs::metadata(path).unwrap()) != changed(&before)
    });
}

#[test]
fn a_time_that_a_build_has_set_makes_no_validators() {
    let folder = Folder::new("times");
    let served = folder.served("");
    let future = 4_102_444_800;
    for (name, seconds) in [("zero", 0), ("one", 1), ("later", future)] {
        fs::write(folder.0.join(name), "0123456789").unwrap();
        set_modified(&folder.0.join(name), seconds);
        let mut client = Client::new(served.address());
        for ask in [
            format!("GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!(
                "GET /{name} HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: \
                     Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\n"
            ),
            format!(
                "GET /{name} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: \
                     Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\n"
            ),
        ] {
            let answer = client.ask(&ask);
            assert_eq!((answer.status, answer.text()), (200, "0123456789"), "{ask}");
            assert_eq!(answer.field("etag"), None);
            assert_eq!(answer.field("last-modified"), None);
        }
        let part = format!("GET /{name} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n");
        let part = client.ask(&part);
        assert_eq!((part.status, part.text(), part.field("etag")), (206, "01", None));
    }
}

#[test]
fn two_versions_of_one_length_and_time_have_two_tags() {
    let folder = Folder::new("versions");
    let path = folder.0.join("app.js");
    let write = |path: &std::path::Path, text: &str| {
        fs::write(path, text).unwrap();
        set_modified(path, 315_532_800);
    };
    write(&path, "version 1");
    let served = folder.served("file_cache_ttl = \"1ms\"\n");
    let mut client = Client::new(served.address());
    let ask =
        |tag: &str| format!("GET /app.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n");
    let first = client.get("/app.js");
    let tag = first.field("etag").unwrap().to_owned();
    assert_eq!((first.text(), client.ask(&ask(&tag)).status), ("version 1", 304));
    // In the same place, and renamed onto it: both are seen, by this worker and by any other.
    overwrite(&path, b"version 2");
    wait_until("the change is seen", || {
        Client::new(served.address()).get("/app.js").text() == "version 2"
    });
    let second = client.ask(&ask(&tag));
    assert_eq!((second.status, second.text()), (200, "version 2"));
    let tag = second.field("etag").unwrap().to_owned();
    write(&folder.0.join("new.js"), "version 3");
    fs::rename(folder.0.join("new.js"), &path).unwrap();
    wait_until("the change is seen", || {
        Client::new(served.address()).get("/app.js").text() == "version 3"
    });
    assert_eq!(client.ask(&ask(&tag)).text(), "version 3");
    let other = folder.served("");
    let here = client.get("/app.js").field("etag").unwrap().to_owned();
    assert_eq!(Client::new(other.address()).ask(&ask(&here)).status, 304);
}

#[test]
fn a_large_file_that_is_written_in_its_place_has_another_tag_at_once() {
    let folder = Folder::new("in-place");
    let served = folder.served("file_cache_ttl = \"1h\"\n");
    let mut client = Client::new(served.address());
    let first = client.get("/large.bin");
    let tag = first.field("etag").unwrap().to_owned();
    let path = folder.0.join("large.bin");
    let other = bytes(8, 3_000_000);
    overwrite(&path, &other);
    let part =
        format!("GET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=9-\r\nIf-Range: {tag}\r\n\r\n");
    let second = client.ask(&part);
    assert_eq!((second.status, second.body == other), (200, true), "not a part of each");
    assert_ne!(second.field("etag"), Some(tag.as_str()));
    fs::write(folder.0.join("new"), bytes(9, 3_000_000)).unwrap();
    fs::rename(folder.0.join("new"), &path).unwrap();
    assert!(client.get("/large.bin").body == bytes(9, 3_000_000));
}

#[test]
fn a_single_page_application_gets_its_page_for_what_is_no_file() {
    let folder = Folder::new("spa");
    let page = "page ".repeat(1000);
    fs::write(folder.0.join("app.html"), &page).unwrap();
    fs::write(folder.0.join("about.html"), "about").unwrap();
    fs::write(folder.0.join("app.html.gz"), "gzipped").unwrap();
    fs::create_dir_all(folder.0.join("docs")).unwrap();
    fs::write(folder.0.join("docs/index.html"), "docs").unwrap();
    symlink("/etc/passwd", folder.0.join("link")).unwrap();
    let list = "try_files = [\"$path\", \"$path.html\", \"$path/\", \"/app.html\"]\n";
    let served = folder.served(&format!("{list}precompressed = [\"gzip\"]\n"));
    let mut client = Client::new(served.address());
    let table = [
        ("/small.txt", "small file"),
        ("/about", "about"),
        ("/", "<p>index</p>"),
        ("/docs/", "docs"),
        ("/users/12", page.as_str()),
        ("/users/12/", page.as_str()),
        ("/sub", page.as_str()),
        ("/sub/", page.as_str()),
        ("/small.txt/", page.as_str()),
        ("/small.txt/x", page.as_str()),
        ("/a%2Fb", page.as_str()),
        ("//x", page.as_str()),
        ("/link", page.as_str()),
        ("/etc/passwd", page.as_str()),
    ];
    for (path, text) in table {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text()), (200, text), "{path}");
    }
    let moved = client.get("/docs?a");
    assert_eq!((moved.status, moved.field("location")), (301, Some("/docs/?a")));
    assert_eq!(client.get("/.secret").status, 403);
    // The fallback is a file like others.
    let ask = |method: &str, field: &str| {
        format!("{method} /users/12 HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")
    };
    let whole = client.get("/users/12");
    assert_eq!(whole.field("content-type"), Some("text/html; charset=utf-8"));
    let tag = whole.field("etag").unwrap().to_owned();
    assert_eq!(client.ask(&ask("GET", &format!("If-None-Match: {tag}"))).status, 304);
    let part = client.ask(&ask("GET", "Range: bytes=0-3"));
    assert_eq!((part.status, part.text()), (206, "page"));
    let coded = client.ask(&ask("GET", "Accept-Encoding: gzip"));
    assert_eq!((coded.text(), coded.field("content-encoding")), ("gzipped", Some("gzip")));
    client.send(&ask("HEAD", "Accept: */*"));
    let head = client.head();
    assert_eq!((head.status, head.field("content-length")), (200, Some("5000")));
    assert_eq!(client.ask(&ask("POST", "Accept: */*")).status, 405);
}

#[test]
fn what_is_tried_ends_with_a_status_or_with_nothing() {
    let folder = Folder::new("tried");
    let root = folder.0.display();
    fs::write(folder.0.join("404.html"), "gone").unwrap();
    let with = |keys: &str| web("", &format!("[[listener.route]]\nfiles = \"{root}\"\n{keys}"));
    let pages = "error_pages = { \"404\" = \"/404.html\" }\n";
    let served = with(&format!("{pages}try_files = [\"$path\", \"$path/\", \"=404\"]\n"));
    for path in ["/none", "/sub/", "/sub", "/a%2Fb"] {
        let answer = Client::new(served.address()).get(path);
        assert_eq!((answer.status, answer.text()), (404, "gone"), "{path}");
    }
    let served = with("try_files = [\"/small.txt\"]\n");
    for path in ["/", "/none", "/large.bin"] {
        assert_eq!(Client::new(served.address()).get(path).text(), "small file", "{path}");
    }
    // A fallback below a prefix, which is redirected as a folder is.
    let served = with(
        "path_prefix = \"/app/\"\nprefix_rewrite = \"/\"\n\
         try_files = [\"$path\", \"$path/\", \"/small.txt\"]\n",
    );
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/app/none").text(), "small file");
    assert_eq!(client.get("/app/").text(), "<p>index</p>");
    assert_eq!(client.get("/app").field("location"), Some("/app/"));
    let served = with("path_prefix = \"/app/\"\ntry_files = [\"$path\", \"/small.txt\"]\n");
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/app/none").text(), "small file");
    assert_eq!(Client::new(served.address()).get("/app").status, 404);
    // Nothing that is tried may lead outside.
    symlink("/etc/passwd", folder.0.join("page.html")).unwrap();
    let served = with("symlinks = \"beneath\"\ntry_files = [\"$path.html\", \"/page.html\"]\n");
    assert_eq!(Client::new(served.address()).get("/page").status, 404);
}

#[test]
fn types_of_one_s_own_go_before_the_well_known_ones() {
    let folder = Folder::new("types");
    for name in ["a.wasm", "a.tar.gz", "a.GZ", "LICENSE", "a.css"] {
        fs::write(folder.0.join(name), "x").unwrap();
    }
    let served = folder.served(
        "content_types = { wasm = \"application/x-w\", \"tar.gz\" = \"application/x-tar\", \
         css = \"text/css; charset=iso-8859-1\" }\ndefault_type = \"text/plain\"\n",
    );
    let mut client = Client::new(served.address());
    for (path, kind) in [
        ("/a.wasm", "application/x-w"),
        ("/a.tar.gz", "application/x-tar"),
        ("/a.GZ", "application/gzip"),
        ("/LICENSE", "text/plain"),
        ("/a.css", "text/css; charset=iso-8859-1"),
        ("/small.txt", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(client.get(path).field("content-type"), Some(kind), "{path}");
    }
}
