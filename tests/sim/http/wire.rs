//! HTTP/1.1 as the models of clients and servers read it: strictly, and by no code of Ringway's, so
//! that what they read is not wrong in the same way as what was written.

use std::io::Read;

/// Bytes that nobody else sends and that differ at every place: `len` of them.
pub(super) fn pattern(marker: &str, kind: char, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 16);
    let mut number = 0;
    while out.len() < len {
        out.extend_from_slice(format!("{marker}{kind}{number:x};").as_bytes());
        number += 1;
    }
    out.truncate(len);
    out
}

/// The first line and the fields of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) first: String,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    /// Bytes of it.
    pub(super) len: usize,
}

impl Head {
    /// A head that came in another way.
    pub(super) const fn of(first: String, fields: Vec<(String, String)>) -> Self {
        Self { first, fields, len: 0 }
    }

    /// Reads a head, if all of it is there.
    pub(super) fn read(input: &[u8]) -> Option<Self> {
        let end = find(input, b"\r\n\r\n")?;
        let text = std::str::from_utf8(&input[..end]).expect("a head is text");
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let no_break = |line: &str| !line.contains(['\r', '\n']);
        assert!(no_break(&first), "{text}");
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{text}"));
            let is_token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            assert!(!name.is_empty() && name.chars().all(is_token) && no_break(value), "{text}");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Some(Self { fields: fields.collect(), first, len: end + 4 })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter().filter(|(own, _)| own == name);
        let first = all.next().map(|(_, value)| value.as_str());
        assert!(all.next().is_none(), "{name} twice: {self:?}");
        first
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.get(name).map(|value| value.parse().expect("a number"))
    }

    fn framing(&self) -> Option<Framing> {
        let is_chunked = self.get("transfer-encoding").map(|coding| coding == "chunked");
        assert_ne!(is_chunked, Some(false), "{self:?}");
        match (is_chunked, self.number("content-length")) {
            (Some(_), Some(_)) => panic!("two framings: {self:?}"),
            (Some(_), None) => Some(Framing::Chunked),
            (None, Some(length)) => Some(Framing::Length(length)),
            (None, None) => None,
        }
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// A body, or as much of it as has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) trailers: Option<Head>,
    /// Bytes that it takes on the wire, when all of it is there.
    pub(super) len: Option<usize>,
}

impl Body {
    fn read(input: &[u8], framing: Framing, at_end: bool) -> Self {
        let plain = |bytes: &[u8], len| Self { bytes: bytes.to_vec(), trailers: None, len };
        match framing {
            Framing::None => plain(b"", Some(0)),
            Framing::Length(length) if input.len() >= length => {
                plain(&input[..length], Some(length))
            }
            Framing::Length(_) => plain(input, None),
            Framing::UntilClose => plain(input, at_end.then_some(input.len())),
            Framing::Chunked => Self::read_chunks(input),
        }
    }

    fn read_chunks(input: &[u8]) -> Self {
        let mut body = Self::default();
        let mut at = 0;
        while let Some(line) = find(&input[at..], b"\r\n") {
            let digits = std::str::from_utf8(&input[at..at + line]).expect("the size of a chunk");
            let size = usize::from_str_radix(digits, 16).expect("the size of a chunk");
            at += line + 2;
            if size == 0 {
                let rest = &input[at..];
                if rest.starts_with(b"\r\n") {
                    body.len = Some(at + 2);
                } else if let Some(trailers) = Head::read(&[b"x\r\n", rest].concat()) {
                    body.len = Some(at + trailers.len - 3);
                    body.trailers = Some(trailers);
                }
                break;
            }
            let end = input.len().min(at + size);
            body.bytes.extend_from_slice(&input[at..end]);
            at += size + 2;
            if at > input.len() {
                break;
            }
            assert_eq!(&input[at - 2..at], b"\r\n", "a chunk ends where its size says");
        }
        body
    }
}

/// A request, or as much of it as has come.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) body: Body,
}

impl Request {
    pub(super) fn read(input: &[u8]) -> Option<Self> {
        let head = Head::read(input)?;
        let framing = head.framing().unwrap_or(Framing::None);
        let body = Body::read(&input[head.len..], framing, false);
        Some(Self { head, body })
    }

    pub(super) fn method(&self) -> &str {
        self.head.first.split(' ').next().unwrap_or_default()
    }

    /// Bytes that it takes, when all of it is there.
    pub(super) fn len(&self) -> Option<usize> {
        self.body.len.map(|len| self.head.len + len)
    }
}

/// An answer, or as much of it as has come.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: Head,
    pub(super) framing: Framing,
    pub(super) body: Body,
}

impl Answer {
    /// Reads an answer to a request of that method; `at_end`: nothing more comes, in order.
    pub(super) fn read(input: &[u8], method: &str, at_end: bool) -> Option<Self> {
        let head = Head::read(input)?;
        let status = head.first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status: u16 = status.expect("a status line").parse().expect("a status");
        assert!((100..600).contains(&status), "{head:?}");
        let has_none = method == "HEAD" || status < 200 || status == 204 || status == 304;
        let framing = match head.framing() {
            _ if has_none => Framing::None,
            framing => framing.unwrap_or(Framing::UntilClose),
        };
        let body = Body::read(&input[head.len..], framing, at_end);
        Some(Self { status, head, framing, body })
    }

    /// Bytes that it takes, when all of it is there.
    pub(super) fn len(&self) -> Option<usize> {
        self.body.len.map(|len| self.head.len + len)
    }

    pub(super) fn closes(&self) -> bool {
        self.head.get("connection") == Some("close")
    }

    /// What its body stands for, if it was compressed; as much of it as can be read of a part.
    pub(super) fn plain(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let bytes = self.body.bytes.as_slice();
        let result = match self.head.get("content-encoding") {
            _ if bytes.is_empty() => return out,
            None => return bytes.to_vec(),
            Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Some("zstd") => {
                zstd::stream::read::Decoder::new(bytes).expect("zstd").read_to_end(&mut out)
            }
            Some(other) => panic!("{other}"),
        };
        assert!(self.body.len.is_none() || result.is_ok(), "a whole answer that is not whole");
        out
    }
}

pub(super) fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|window| window == what)
}
