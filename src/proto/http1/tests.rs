//! Messages at every split position, and back to back.

use super::write::{self, Delimit};
use super::*;
use crate::proto::http::{Fields, Known, Method, RequestHead, ResponseHead, Version};

const LIMITS: HeadLimits = HeadLimits { size: 1024, fields: 16, target: 128, underscores: true };

/// Reads a request that comes in pieces which end at `cuts`.
fn read_in_pieces(
    input: &[u8],
    cuts: &[usize],
) -> Result<Option<(RequestHead, RequestMeta)>, Refusal> {
    let mut reader = RequestReader::default();
    let mut head = RequestHead::default();
    for &cut in cuts.iter().chain(&[input.len()]) {
        if let Some(meta) = reader.read(&input[..cut], &LIMITS, &mut head)? {
            return Ok(Some((head, meta)));
        }
    }
    Ok(None)
}

fn refused(input: &str) -> Refusal {
    let error = read_in_pieces(input.as_bytes(), &[]).expect_err(input);
    for cut in 0..input.len() {
        assert_eq!(read_in_pieces(input.as_bytes(), &[cut]).expect_err(input), error, "{cut}");
    }
    error
}

#[test]
fn a_request_is_the_same_at_every_split_position() {
    let input =
        b"\r\nPOST http://Example.com:80/a/%7eb?x=1 HTTP/1.1\r\nHost: other\r\nX-A:  1 \r\n\
        Content-Length: 5\r\nConnection: x-b, close\r\nX-B: 2\r\nExpect: 100-Continue\r\n\r\nhello";
    let end = input.len() - 5;
    for first in 0..end {
        for second in [first, (first + end) / 2] {
            let (head, meta) = read_in_pieces(input, &[first, second]).unwrap().expect("all of it");
            assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
            assert_eq!((head.authority(), head.host()), ("example.com:80", "example.com"));
            assert_eq!((head.path(), head.query()), ("/a/~b", Some("x=1")));
            let fields: Vec<_> = head.fields.iter().map(|one| (one.name, one.value)).collect();
            assert_eq!(fields, [(&b"x-a"[..], &b"1"[..])]);
            let expected = RequestMeta {
                len: end,
                framing: Framing::Length(5),
                keep_alive: false,
                expects_continue: true,
                upgrade: false,
            };
            assert_eq!(meta, expected);
        }
    }
    for cut in 0..end {
        assert!(read_in_pieces(&input[..cut], &[]).unwrap().is_none(), "{cut}");
    }
}

#[test]
fn what_is_wrong_with_a_request_has_a_name() {
    let host = "Host: a\r\n";
    let table = [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), Refusal::BareLineFeed),
        (format!("GET / HTTP/1.1\r\n{host}A: b\rc\r\n\r\n"), Refusal::FieldValue),
        (format!("GET / HTTP/1.1\r\n{host}A : b\r\n\r\n"), Refusal::FieldName),
        (format!("GET / HTTP/1.1\r\n{host}A: b\r\n c\r\n\r\n"), Refusal::FieldName),
        (format!("GET / HTTP/1.1\r\n{host}: b\r\n\r\n"), Refusal::FieldName),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Refusal::HostMissing),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), Refusal::HostRepeated),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), Refusal::VersionUnsupported),
        (format!("GET / HTTX/1.1\r\n{host}\r\n"), Refusal::Version),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), Refusal::RequestLine),
        (format!("GET /\r\n{host}\r\n"), Refusal::RequestLine),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), Refusal::TargetForm),
        (format!("GET ftp://a/ HTTP/1.1\r\n{host}\r\n"), Refusal::TargetForm),
        (format!("CONNECT /a HTTP/1.1\r\n{host}\r\n"), Refusal::TargetForm),
        (
            format!(
                "POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            Refusal::LengthWithCoding,
        ),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\n"), Refusal::LengthInvalid),
        (
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            Refusal::LengthRepeated,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            Refusal::CodingUnknown,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, chunked\r\n\r\n"),
            Refusal::CodingOrder,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Refusal::CodingInHttp10,
        ),
        (format!("GET / HTTP/1.1\r\n{host}Expect: x\r\n\r\n"), Refusal::Expectation),
        ("\r\n\r\n\r\nGET / HTTP/1.1\r\n".to_owned(), Refusal::EmptyLines),
    ];
    for (input, refusal) in table {
        assert_eq!(read_in_pieces(input.as_bytes(), &[]).expect_err(&input), refusal, "{input}");
        assert!(!refusal.name().is_empty() && (400..506).contains(&refusal.status()));
    }
    assert_eq!(refused("GET / HTTP/1.1\nHost: a\r\n\r\n"), Refusal::BareLineFeed);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(LIMITS.target));
    assert_eq!(read_in_pieces(long.as_bytes(), &[]).unwrap_err(), Refusal::TargetTooLong);
    let endless = format!("GET /{}", "a".repeat(LIMITS.target + 100));
    assert_eq!(read_in_pieces(endless.as_bytes(), &[]).unwrap_err(), Refusal::TargetTooLong);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n", "a".repeat(LIMITS.size));
    assert_eq!(read_in_pieces(large.as_bytes(), &[]).unwrap_err(), Refusal::HeadTooLarge);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(LIMITS.fields));
    assert_eq!(read_in_pieces(many.as_bytes(), &[]).unwrap_err(), Refusal::TooManyFields);
}

#[test]
fn another_protocol_is_told_so_as_soon_as_that_is_certain() {
    let table: [(&[u8], Refusal); 6] = [
        (b"SSH-2.0-OpenSSH_9.2\r\n", Refusal::RequestLine),
        (b"GET / FOO\r\n", Refusal::Version),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Refusal::RequestLine),
        (b"GET /\r\n", Refusal::RequestLine),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Refusal::RequestLine),
        (b"PRI * HTTP/2.0\r\n", Refusal::VersionUnsupported),
    ];
    for (input, refusal) in table {
        for cut in 0..input.len() {
            assert_eq!(read_in_pieces(input, &[cut]).unwrap_err(), refusal, "{input:?} at {cut}");
        }
    }
    assert!(read_in_pieces(b"\x16", &[]).is_err(), "no method begins so");
    for begun in ["G", "GET / HTTP/1.", "GET / HTTP/1.2\r\nHost", "\r\nGET / HTTP/1.1\r\n"] {
        assert!(read_in_pieces(begun.as_bytes(), &[]).unwrap().is_none(), "{begun}");
    }
}

#[test]
fn a_later_minor_version_is_treated_as_1() {
    for minor in 1..=9 {
        let input = format!("GET /a HTTP/1.{minor}\r\nHost: a\r\n\r\n");
        for cut in 0..input.len() {
            let (head, meta) = read_in_pieces(input.as_bytes(), &[cut]).unwrap().unwrap();
            assert_eq!((head.version, head.path()), (Version::Http11, "/a"), "{input}");
            assert_eq!((meta.len, meta.keep_alive), (input.len(), true), "{input}");
        }
        let input = format!("HTTP/1.{minor} 204 No\r\nX: y\r\n\r\n");
        let mut head = ResponseHead::default();
        let read =
            ResponseReader::default().read(input.as_bytes(), Method::Get, &LIMITS, &mut head);
        let meta = read.unwrap().unwrap();
        assert_eq!((head.status, meta.len, meta.keep_alive), (204, input.len(), true), "{input}");
    }
    assert_eq!(refused("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), Refusal::RequestLine);
}

/// The bytes of a body that comes in two pieces, and how much of the input it takes.
fn read_body(framing: Framing, input: &[u8], cut: usize) -> Result<(Vec<u8>, usize), Refusal> {
    let mut reader = BodyReader::new(framing, 1000)?;
    let mut body = Vec::new();
    let (mut at, mut limit) = (0, cut);
    loop {
        match reader.next(&input[at..limit])? {
            BodyPart::Data(range) => {
                body.extend_from_slice(&input[at..limit][range.clone()]);
                at += range.end;
            }
            BodyPart::More if limit < input.len() => (at, limit) = (limit, input.len()),
            BodyPart::More => return Ok((body, usize::MAX)),
            BodyPart::End(len) => {
                reader.take_trailers()?;
                assert!(reader.is_done());
                return Ok((body, at + len));
            }
        }
    }
}

#[test]
fn a_chunked_body_is_the_same_at_every_split_position() {
    let whole = b"3 \t;a=b\r\nabc\r\n000A \r\n0123456789\r\n0\t\r\nX-T: 1\r\nHost: b\r\n\r\nGET";
    for cut in 0..whole.len() {
        let (body, end) = read_body(Framing::Chunked, whole, cut).unwrap();
        assert_eq!((&body[..], end), (&b"abc0123456789"[..], whole.len() - 3), "{cut}");
    }
    for cut in 0..whole.len() - 3 {
        assert_eq!(read_body(Framing::Chunked, &whole[..cut], cut).unwrap().1, usize::MAX);
    }
    let length = b"abcGET";
    for cut in 0..=length.len() {
        assert_eq!(read_body(Framing::Length(3), length, cut).unwrap(), (b"abc".to_vec(), 3));
    }
}

#[test]
fn what_is_wrong_with_a_chunked_body_has_a_name() {
    let table = [
        ("g\r\n", Refusal::ChunkSize),
        ("+1\r\n", Refusal::ChunkSize),
        (" 1\r\n", Refusal::ChunkSize),
        ("1 a\r\n", Refusal::ChunkSize),
        ("1 1\r\n", Refusal::ChunkSize),
        (";a\r\n", Refusal::ChunkSize),
        ("1 \n", Refusal::ChunkSize),
        ("0x1\r\n", Refusal::ChunkSize),
        ("\r\n", Refusal::ChunkSize),
        ("1\n", Refusal::ChunkSize),
        ("1\rx", Refusal::ChunkSize),
        ("11111111111111111\r\n", Refusal::ChunkSize),
        ("1;a\nb\r\n", Refusal::ChunkExtension),
        ("1\r\nab\r\n", Refusal::ChunkEnd),
        ("1\r\na\n", Refusal::ChunkEnd),
        ("0\r\nA : b\r\n\r\n", Refusal::Trailers),
        ("0\r\n\n", Refusal::BareLineFeed),
    ];
    for (input, refusal) in table {
        for cut in 0..input.len() {
            let result = read_body(Framing::Chunked, input.as_bytes(), cut);
            assert_eq!(result.unwrap_err(), refusal, "{input} at {cut}");
        }
    }
    let large = format!("400\r\n{}", "a".repeat(1024));
    let result = read_body(Framing::Chunked, large.as_bytes(), large.len());
    assert_eq!(result.unwrap_err(), Refusal::BodyTooLarge);
    for long in [format!("1;{}\r\n", "a".repeat(300)), format!("1{};\r\n", " ".repeat(300))] {
        let result = read_body(Framing::Chunked, long.as_bytes(), 5);
        assert_eq!(result.unwrap_err(), Refusal::ChunkExtension);
    }
    assert_eq!(BodyReader::new(Framing::Length(1001), 1000).unwrap_err(), Refusal::BodyTooLarge);
}

#[test]
fn trailers_that_may_not_be_there_are_dropped() {
    let mut reader = BodyReader::new(Framing::Chunked, 10).unwrap();
    let end = reader.next(b"0\r\nX-T: 1\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert_eq!(end, BodyPart::End(32));
    let trailers = reader.take_trailers().unwrap().unwrap();
    assert_eq!((trailers.len(), trailers.get_named(b"x-t")), (1, Some(&b"1"[..])));
}

#[test]
fn a_response_s_body_is_delimited_as_its_head_says() {
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::Get, Framing::Length(3), true),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Method::Get, Framing::None, true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Method::Get,
            Framing::Chunked,
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::Get, Framing::UntilClose, false),
        ("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", Method::Get, Framing::None, true),
        ("HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", Method::Get, Framing::None, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::Head, Framing::None, true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", Method::Get, Framing::Length(3), false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
            Method::Get,
            Framing::Length(3),
            false,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", Method::Get, Framing::None, true),
    ];
    for (input, method, framing, keep_alive) in table {
        let mut head = ResponseHead::default();
        let mut reader = ResponseReader::default();
        for cut in 0..input.len() {
            let part = &input.as_bytes()[..cut];
            assert_eq!(reader.read(part, method, &LIMITS, &mut head), Ok(None), "{input} at {cut}");
        }
        let meta = reader.read(input.as_bytes(), method, &LIMITS, &mut head).unwrap().unwrap();
        assert_eq!((meta.framing, meta.keep_alive, meta.len), (framing, keep_alive, input.len()));
    }
}

#[test]
fn what_is_wrong_with_a_response_has_a_name() {
    let table = [
        ("HTTP/1.1 20 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 2xx OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", Refusal::StatusLine),
        ("HTTP/2 200 OK\r\n\r\n", Refusal::Version),
        ("HTTP/1.1 200 OK\n\r\n", Refusal::BareLineFeed),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Refusal::FieldName),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            Refusal::LengthWithCoding,
        ),
    ];
    for (input, refusal) in table {
        let mut head = ResponseHead::default();
        let result =
            ResponseReader::default().read(input.as_bytes(), Method::Get, &LIMITS, &mut head);
        assert_eq!(result, Err(refusal), "{input}");
    }
}

#[test]
fn a_message_is_written_anew_and_read_back() {
    let mut head = RequestHead::default();
    head.set_method(b"POST");
    head.set_path("/a");
    head.set_query(Some("b=c"));
    head.fields.push(b"X-A", b"1");
    let mut out = Vec::new();
    let delimit =
        Delimit { framing: Framing::Chunked, length: None, connection: write::Connection::Persist };
    write::request(&head, (head.path(), b"a:80"), None, delimit, &mut out);
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        "POST /a?b=c HTTP/1.1\r\nhost: a:80\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    for (len, text) in [(0, "0\r\n"), (9, "9\r\n"), (16, "10\r\n"), (0xabc, "abc\r\n")] {
        let mut out = Vec::new();
        write::chunk_head(len, &mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), text);
    }
    let mut out = Vec::new();
    let mut trailers = Fields::default();
    trailers.push(b"x-t", b"1");
    write::last_chunk(Some(&trailers), &mut out);
    write::last_chunk(None, &mut out);
    assert_eq!(out, b"0\r\nx-t: 1\r\n\r\n0\r\n\r\n");
    let mut out = Vec::new();
    let response = ResponseHead { status: 200, ..ResponseHead::default() };
    let delimit =
        Delimit { framing: Framing::None, length: Some(12), connection: write::Connection::Close };
    write::response(&response, "OK", delimit, &mut out);
    assert_eq!(out, b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n");
    assert_eq!(write::framing_for(Version::Http10, None), Framing::UntilClose);
    assert!(write::is_of_framing(Known::Host));
}

#[test]
fn an_upgrade_field_is_kept_by_101_and_426_alone() {
    for (status, kept) in [(101, true), (426, true), (103, false), (200, false), (400, false)] {
        let input = format!("HTTP/1.1 {status} x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        let mut head = ResponseHead::default();
        let mut reader = ResponseReader::default();
        reader.read(input.as_bytes(), Method::Head, &LIMITS, &mut head).unwrap();
        assert_eq!(head.fields.has(Known::Upgrade), kept, "{status}");
        assert!(!head.fields.has(Known::Connection), "{status}");
    }
}
