//! What a client asks for, and what the server that it reaches is to do: it stands in the request,
//! so that any server can follow it.

use ringway::ring::sim::Random;

use super::talk::Fields;
use super::wire::pattern;

/// How a server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It says nothing.
    Silent,
    /// It takes no more of the request.
    Deaf,
    /// It resets, or ends, before its answer.
    Reset,
    End,
    /// It resets within the head of its answer.
    ResetInHead,
    /// It resets, ends, or falls silent within the body of its answer.
    ResetInBody,
    EndInBody,
    StallInBody,
    /// What it says is no answer.
    Malformed,
    /// Its head is too large.
    LargeHead,
    /// It sends interim answers without end.
    Flood,
    /// It does nothing for the request, and says so, by HTTP/2.
    Refused,
    /// It agrees to another WebSocket than was asked for, by HTTP/1.1.
    WrongAccept,
    /// Its answer has this status.
    Status(u16),
}

impl Fault {
    const ALL: [(&'static str, Self); 15] = [
        ("silent", Self::Silent),
        ("deaf", Self::Deaf),
        ("reset", Self::Reset),
        ("end", Self::End),
        ("reset_in_head", Self::ResetInHead),
        ("reset_in_body", Self::ResetInBody),
        ("end_in_body", Self::EndInBody),
        ("stall_in_body", Self::StallInBody),
        ("malformed", Self::Malformed),
        ("large_head", Self::LargeHead),
        ("flood", Self::Flood),
        ("refused", Self::Refused),
        ("wrong_accept", Self::WrongAccept),
        ("status_503", Self::Status(503)),
        ("status_500", Self::Status(500)),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, fault)| *fault == self).expect("one of all").0
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, fault)| *fault)
    }
}

/// What a server is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) status: u16,
    /// Bytes of the answer's body.
    pub(super) len: usize,
    /// `length`, `chunked`, `trailers` or `close`.
    pub(super) framing: &'static str,
    /// Interim answers before the answer.
    pub(super) interims: usize,
    /// It answers before it has all of the request.
    pub(super) early: bool,
    /// Turns before it answers.
    pub(super) hold: usize,
    /// It closes behind the answer, and says so.
    pub(super) close: bool,
    /// What the first so many tries meet.
    pub(super) fault: Option<(usize, Fault)>,
}

pub(super) const FRAMINGS: [&str; 4] = ["length", "chunked", "trailers", "close"];

impl Default for Orders {
    fn default() -> Self {
        Self {
            status: 200,
            len: 0,
            framing: FRAMINGS[0],
            interims: 0,
            early: false,
            hold: 0,
            close: false,
            fault: None,
        }
    }
}

impl Orders {
    fn write(&self) -> String {
        let Self { status, len, framing, interims, early, hold, close, fault } = self;
        let (times, name) = fault.map_or((0, "none"), |(times, fault)| (times, fault.name()));
        let (early, close) = (u8::from(*early), u8::from(*close));
        format!("{status} {len} {framing} {interims} {early} {hold} {close} {times} {name}")
    }

    pub(super) fn read(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().expect("a number");
        let fault = Fault::named(words[8]);
        Self {
            status: u16::try_from(number(0)).expect("a status"),
            len: number(1),
            framing: FRAMINGS.iter().find(|one| **one == words[2]).expect("a framing"),
            interims: number(3),
            early: number(4) > 0,
            hold: number(5),
            close: number(6) > 0,
            fault: fault.map(|fault| (number(7), fault)),
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// It is in no other request of the run.
    pub(super) marker: String,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) http10: bool,
    /// Bytes of its body, if it has one, and whether it is chunked.
    pub(super) body: Option<(usize, bool)>,
    /// The client waits to be told to send the body.
    pub(super) expects: bool,
    pub(super) closes: bool,
    /// It asks for another protocol; so many bytes of that follow at once, and so many in all.
    pub(super) upgrade: Option<(usize, usize)>,
    /// That is a WebSocket, and the key of its handshake by HTTP/1.1.
    pub(super) socket: Option<&'static str>,
    /// Further fields, each with its line end.
    pub(super) fields: String,
    /// What is sent instead, if it is no request.
    pub(super) broken: Option<Vec<u8>>,
    /// What the body breaks off with, behind a chunk; `?` is its next byte.
    pub(super) bad_body: Option<&'static [u8]>,
    /// The client says nothing more after so many bytes of it.
    pub(super) stops_at: Option<usize>,
    pub(super) orders: Orders,
}

impl Ask {
    pub(super) fn get(marker: String, path: &'static str, orders: Orders) -> Self {
        Self {
            marker,
            method: "GET",
            path,
            http10: false,
            body: None,
            expects: false,
            closes: false,
            upgrade: None,
            socket: None,
            fields: String::new(),
            broken: None,
            bad_body: None,
            stops_at: None,
            orders,
        }
    }

    pub(super) fn target(&self) -> String {
        format!("{}/{}", self.path, self.marker)
    }

    /// The method of its answer: of a head that has not come whole, nobody knows it.
    pub(super) fn method_heard(&self) -> &'static str {
        if self.stops_at.is_some() && self.body.is_none() { "GET" } else { self.method }
    }

    /// Interim answers of its server come to it.
    pub(super) fn hears_interims(&self) -> bool {
        let is_proxied = matches!(self.path, "/up" | "/zip" | "/timed" | "/short");
        is_proxied && !self.http10
    }

    /// An empty body of known length is none.
    pub(super) fn has_body(&self) -> bool {
        self.body.is_some_and(|(len, is_chunked)| len > 0 || is_chunked)
    }

    /// The head, and what follows it.
    pub(super) fn compose(&self, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
        if let Some(broken) = &self.broken {
            return (broken.clone(), Vec::new());
        }
        let Self { marker, method, fields, .. } = self;
        let version = if self.http10 { "1.0" } else { "1.1" };
        let (target, orders) = (self.target(), self.orders.write());
        let mut head = format!(
            "{method} {target} HTTP/{version}\r\nHost: {marker}.example\r\nX-Marker: {marker}\r\n\
             X-Do: {orders}\r\n{fields}"
        );
        let mut rest = Vec::new();
        match self.body {
            None => {}
            Some((len, is_chunked)) => {
                head += &format!("X-Len: {len}\r\n");
                let body = pattern(marker, 'q', len);
                if is_chunked {
                    head += "Transfer-Encoding: chunked\r\n";
                    for part in body.chunks(1 + random.below(300)) {
                        rest.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                        rest.extend_from_slice(part);
                        rest.extend_from_slice(b"\r\n");
                    }
                    rest.extend_from_slice(format!("0\r\nX-Behind: {marker}\r\n\r\n").as_bytes());
                } else {
                    head += &format!("Content-Length: {len}\r\n");
                    rest = body;
                }
            }
        }
        if let (Some(bad), Some((len, _))) = (self.bad_body, self.body) {
            let body = pattern(marker, 'q', len);
            rest = format!("{:x}\r\n", len / 2).into_bytes();
            rest.extend_from_slice(&body[..len / 2]);
            rest.extend_from_slice(b"\r\n");
            rest.extend(bad.iter().map(|byte| if *byte == b'?' { body[len / 2] } else { *byte }));
        }
        if self.expects {
            head += "Expect: 100-continue\r\n";
        }
        if let Some((early, all)) = self.upgrade {
            let protocol = if self.socket.is_some() { "websocket" } else { "other" };
            head += &format!("Connection: upgrade\r\nUpgrade: {protocol}\r\nX-Up: {all}\r\n");
            if let Some(key) = self.socket {
                head += &format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n");
            }
            rest = pattern(marker, 'u', all)[..early].to_vec();
        } else if self.closes {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        (head.into_bytes(), rest)
    }

    /// The head as HTTP/2 has it.
    pub(super) fn compose_fields(&self) -> Fields {
        let Self { marker, method, fields, .. } = self;
        let (target, orders) = (self.target(), self.orders.write());
        let authority = format!("{marker}.example");
        let is_socket = self.socket.is_some();
        let protocol = is_socket.then_some((":protocol", "websocket"));
        let line = [
            (":method", if is_socket { "CONNECT" } else { *method }),
            (":scheme", "http"),
            (":path", &*target),
            (":authority", &*authority),
        ];
        let own = [("x-marker", &**marker), ("x-do", &*orders)];
        let line = line.into_iter().chain(protocol).chain(own);
        let mut all: Fields =
            line.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let Some((_, len)) = self.upgrade.filter(|_| is_socket) {
            all.push(("x-up".to_owned(), len.to_string()));
            all.push(("sec-websocket-version".to_owned(), "13".to_owned()));
        }
        for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
            all.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        if let Some((len, is_chunked)) = self.body {
            all.push(("x-len".to_owned(), len.to_string()));
            if !is_chunked {
                all.push(("content-length".to_owned(), len.to_string()));
            }
        }
        if self.expects {
            all.push(("expect".to_owned(), "100-continue".to_owned()));
        }
        all
    }

    /// The body, and the trailers of one of unknown length.
    pub(super) fn compose_body(&self) -> (Vec<u8>, Fields) {
        let (len, is_chunked) = self.body.unwrap_or_default();
        let trailers = is_chunked.then(|| ("x-behind".to_owned(), self.marker.clone()));
        (pattern(&self.marker, 'q', len), trailers.into_iter().collect())
    }
}
