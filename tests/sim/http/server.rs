//! A server: it reads requests, checks them, and does what they order.

mod streams;

use std::collections::BTreeMap;

use ringway::proto::websocket::handshake;
use ringway::ring::sim::PeerId;

use self::streams::Streams;
use super::net::Net;
use super::orders::{Fault, Orders};
use super::wire::{Request, pattern};

/// What servers do at any time: chances in a thousand, in each turn.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moods {
    pub(super) reset: u32,
    pub(super) end: u32,
    /// Bytes that are read, or sent, at once; 0 is as many as there are.
    pub(super) part: usize,
    /// They speak HTTP/2.
    pub(super) http2: bool,
    /// They know WebSockets by HTTP/2.
    pub(super) takes_sockets: bool,
    /// Of HTTP/2: they take no further requests on a connection, and give no windows back for a
    /// while.
    pub(super) go_away: u32,
    pub(super) shuts: u32,
    /// Bytes of a new stream's window, and streams at a time.
    pub(super) window: u32,
    pub(super) streams_max: Option<u32>,
}

impl Moods {
    /// They do nothing of their own accord.
    pub(super) fn calm(self) -> Self {
        let Self { http2, takes_sockets, window, streams_max, .. } = self;
        Self { http2, takes_sockets, window, streams_max, ..Self::default() }
    }
}

/// What servers have seen of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Connections on which its head came, or a part of it that names it.
    pub(super) tries: usize,
    /// Tries of which all of it came.
    pub(super) whole: usize,
    /// How often it was refused before anything was done for it.
    pub(super) refused: usize,
}

pub(super) type AllSeen = BTreeMap<String, Seen>;

/// One connection.
#[derive(Debug)]
pub(super) struct Server {
    peer: PeerId,
    number: usize,
    input: Vec<u8>,
    out: Vec<u8>,
    present: Option<Present>,
    /// What it does when `out` is written.
    after: After,
    deaf: bool,
    tunnel: Option<Tunnel>,
    streams: Option<Box<Streams>>,
    pub(super) gone: bool,
}

#[derive(Debug)]
struct Present {
    orders: Orders,
    /// What it does wrong.
    fault: Option<Fault>,
    hold: usize,
    answered: bool,
    counted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    End,
    Reset,
    Stall,
}

#[derive(Debug)]
struct Tunnel {
    expected: Vec<u8>,
    received: usize,
    finished: bool,
}

impl Server {
    pub(super) fn new(peer: PeerId, number: usize, moods: Moods) -> Self {
        let streams = moods.http2.then(|| Box::new(Streams::new(peer, number, moods)));
        Self {
            peer,
            number,
            input: Vec::new(),
            out: Vec::new(),
            present: None,
            after: After::Nothing,
            deaf: false,
            tunnel: None,
            streams,
            gone: false,
        }
    }

    pub(super) fn play(&mut self, net: &mut Net<'_>, moods: Moods, seen: &mut AllSeen) {
        if self.gone {
            return;
        }
        if let Some(streams) = &mut self.streams {
            streams.play(net, moods, seen);
            self.gone = streams.gone;
            return;
        }
        let part = if moods.part == 0 { usize::MAX } else { 1 + net.below(moods.part) };
        if !self.deaf && net.chance(500) {
            let bytes = net.read(self.peer, part);
            self.input.extend(bytes);
        }
        if net.sim.peer_was_reset(self.peer) {
            net.stay_awake();
            return self.leave(seen);
        }
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.take(&mut self.input);
        } else {
            self.work(net, seen);
        }
        if self.gone {
            return;
        }
        net.write(self.peer, &mut self.out, part);
        if net.chance(moods.reset) {
            net.reset(self.peer);
            return self.leave(seen);
        }
        self.end_if_over(net, moods, seen);
    }

    fn end_if_over(&mut self, net: &mut Net<'_>, moods: Moods, seen: &mut AllSeen) {
        let at_end = net.sim.peer_at_end(self.peer);
        if let Some(tunnel) = &mut self.tunnel {
            if self.out.is_empty() && !tunnel.finished && (at_end || net.chance(30)) {
                tunnel.finished = true;
                net.finish(self.peer);
            }
            if at_end && tunnel.finished {
                let whole = tunnel.received == tunnel.expected.len();
                assert!(whole, "a cut that looks whole");
                self.gone = true;
            }
            return;
        }
        let is_over = self.out.is_empty() && self.after == After::End;
        if self.out.is_empty() && self.after == After::Reset {
            net.reset(self.peer);
            self.leave(seen);
        } else if at_end || is_over {
            net.finish(self.peer);
            self.leave(seen);
        } else if net.chance(moods.end) {
            // The end would be that of the body.
            let until_close =
                self.present.as_ref().is_some_and(|present| present.orders.framing == "close");
            if until_close && (!self.out.is_empty() || self.after == After::Stall) {
                net.reset(self.peer);
            } else {
                net.finish(self.peer);
            }
            self.leave(seen);
        }
    }

    /// The connection ends. Of a request that has come in part, as much counts as names it.
    fn leave(&mut self, seen: &mut AllSeen) {
        self.gone = true;
        if self.present.is_none() {
            let text = String::from_utf8_lossy(&self.input);
            let mut words = text.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next());
            let marker = target.and_then(|target| target.rsplit('/').next());
            // The word is over when another one follows.
            if let (Some(marker), true) = (marker, words.next().is_some()) {
                let seen = seen.entry(marker.to_owned()).or_default();
                method.clone_into(&mut seen.method);
                seen.tries += 1;
            }
        }
    }

    fn work(&mut self, net: &mut Net<'_>, seen: &mut AllSeen) {
        let Some(request) = Request::read(&self.input) else { return };
        let marker = check(&request);
        let present = self.present.get_or_insert_with(|| {
            let orders = Orders::read(request.head.get("x-do").expect("orders"));
            let seen = seen.entry(marker.clone()).or_default();
            request.method().clone_into(&mut seen.method);
            let fault = orders.fault.filter(|(times, _)| seen.tries < *times);
            seen.tries += 1;
            let (hold, fault) = (orders.hold, fault.map(|(_, fault)| fault));
            Present { orders, fault, hold, answered: false, counted: false }
        });
        if present.fault == Some(Fault::Deaf) {
            self.deaf = true;
            return;
        }
        let is_whole = request.len().is_some();
        if is_whole && !std::mem::replace(&mut present.counted, true) {
            seen.get_mut(&marker).expect("it was seen").whole += 1;
        }
        if !present.answered && (is_whole || present.orders.early) {
            if present.hold > 0 {
                present.hold -= 1;
                return net.stay_awake();
            }
            self.answer(net, &request, &marker, seen);
            if self.gone || self.tunnel.is_some() {
                return;
            }
        }
        let is_answered = self.present.as_ref().is_some_and(|present| present.answered);
        if let (true, true, Some(len)) = (is_answered, self.out.is_empty(), request.len())
            && self.after == After::Nothing
        {
            self.input.drain(..len);
            self.present = None;
        }
    }

    fn answer(&mut self, net: &mut Net<'_>, request: &Request, marker: &str, seen: &mut AllSeen) {
        let Some(present) = &mut self.present else { return };
        present.answered = true;
        let (orders, fault) = (present.orders.clone(), present.fault);
        match fault {
            Some(Fault::Silent | Fault::Deaf) => self.after = After::Stall,
            Some(Fault::Reset | Fault::Refused) => {
                net.reset(self.peer);
                self.leave(seen);
            }
            Some(Fault::End) => {
                net.finish(self.peer);
                self.leave(seen);
            }
            Some(Fault::ResetInHead) => {
                self.out.extend_from_slice(b"HTTP/1.1 200 OK\r\nx-part: ");
                self.after = After::Reset;
            }
            Some(Fault::Malformed) => {
                self.out.extend_from_slice(b"HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n");
                self.after = After::Stall;
            }
            Some(Fault::LargeHead) => {
                let large = "x".repeat(70_000);
                let head = format!("HTTP/1.1 200 OK\r\nx-large: {large}\r\n\r\n");
                self.out.extend_from_slice(head.as_bytes());
                self.after = After::Stall;
            }
            Some(Fault::Flood) => {
                let interim = format!("HTTP/1.1 102 Processing\r\nx: {}\r\n\r\n", "y".repeat(1000));
                self.out.extend_from_slice(interim.repeat(70).as_bytes());
                self.after = After::Stall;
            }
            Some(Fault::Status(status)) => {
                let orders = Orders { status, len: orders.len.min(100), ..orders };
                self.answer_in_order(&orders, None, request, marker);
            }
            Some(
                Fault::ResetInBody | Fault::EndInBody | Fault::StallInBody | Fault::WrongAccept,
            )
            | None => {
                self.answer_in_order(&orders, fault, request, marker);
            }
        }
    }

    fn answer_in_order(
        &mut self,
        orders: &Orders,
        fault: Option<Fault>,
        request: &Request,
        marker: &str,
    ) {
        let (len, number) = (orders.len, self.number);
        let mark = format!("x-marker: {marker}\r\nx-len: {len}\r\nx-server: {number}\r\n");
        for _ in 0..orders.interims {
            let interim = format!("HTTP/1.1 103 Early Hints\r\nx-hint: {marker}\r\n\r\n");
            self.out.extend_from_slice(interim.as_bytes());
        }
        let body = pattern(marker, 'a', orders.len);
        if orders.status == 101 && request.head.get("upgrade").is_some() {
            let accept = accept_of(request, fault);
            let protocol = if accept.is_empty() { "other" } else { "websocket" };
            let head = format!(
                "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\
                 {accept}{mark}\r\n"
            );
            self.out.extend_from_slice(head.as_bytes());
            self.out.extend(pattern(marker, 'd', orders.len));
            let mut tunnel = Tunnel::new(marker, request);
            self.input.drain(..request.head.len);
            tunnel.take(&mut self.input);
            self.tunnel = Some(tunnel);
            return;
        }
        let status = if orders.status == 101 { 200 } else { orders.status };
        let kind = "content-type: text/plain\r\n";
        let mut head = format!("HTTP/1.1 {status} Fine\r\n{mark}{kind}");
        if orders.close || orders.framing == "close" {
            head += "connection: close\r\n";
            self.after = After::End;
        }
        let has_body = request.method() != "HEAD" && status != 204 && status != 304;
        let mut wire = Vec::new();
        match orders.framing {
            "length" if status != 204 => {
                head += &format!("content-length: {}\r\n", body.len());
                wire = body;
            }
            "chunked" | "trailers" if status != 204 => {
                head += "transfer-encoding: chunked\r\n";
                for part in body.chunks(700) {
                    wire.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    wire.extend_from_slice(part);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n");
                if orders.framing == "trailers" {
                    wire.extend_from_slice(format!("x-behind: {marker}\r\n").as_bytes());
                }
                wire.extend_from_slice(b"\r\n");
            }
            _ => wire = body,
        }
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        if !has_body {
            return;
        }
        let cut = match (fault, orders.framing) {
            (Some(Fault::ResetInBody), _) | (Some(Fault::EndInBody), "close") => After::Reset,
            (Some(Fault::EndInBody), _) => After::End,
            (Some(Fault::StallInBody), _) => After::Stall,
            (_, _) => {
                self.out.extend(wire);
                return;
            }
        };
        wire.truncate(wire.len() / 2);
        self.out.extend(wire);
        self.after = cut;
    }
}

/// The field that agrees to a WebSocket, if that is what is asked for.
fn accept_of(request: &Request, fault: Option<Fault>) -> String {
    if request.head.get("upgrade") != Some("websocket") {
        return String::new();
    }
    let key = request.head.get("sec-websocket-key").expect("a key");
    let key = if fault == Some(Fault::WrongAccept) { "another" } else { key };
    let accept = handshake::accept(key.as_bytes());
    format!("sec-websocket-accept: {}\r\n", String::from_utf8_lossy(&accept))
}

impl Tunnel {
    fn new(marker: &str, request: &Request) -> Self {
        let expected = request.head.number("x-up").expect("bytes to come");
        Self { expected: pattern(marker, 'u', expected), received: 0, finished: false }
    }

    fn take(&mut self, input: &mut Vec<u8>) {
        let end = self.received + input.len();
        let expected = self.expected.get(self.received..end);
        assert!(expected == Some(&input[..]), "bytes of somebody else");
        self.received = end;
        input.clear();
    }
}

/// Whether a request is as it was sent: its marker.
fn check(request: &Request) -> String {
    let Request { head, body } = request;
    let marker = head.get("x-marker").expect("a marker").to_owned();
    let target = head.first.split(' ').nth(1).expect("a target");
    assert_eq!(target.rsplit('/').next(), Some(&*marker), "{head:?}");
    assert_eq!(head.get("host"), Some(&*format!("{marker}.example")));
    assert!(head.first.ends_with(" HTTP/1.1") && head.get("expect").is_none(), "{head:?}");
    let expected = pattern(&marker, 'q', head.number("x-len").unwrap_or(0));
    assert!(expected.starts_with(&body.bytes), "bytes of somebody else: {request:?}");
    if body.len.is_some() {
        assert_eq!(body.bytes.len(), expected.len(), "a cut request looks whole: {request:?}");
        if head.get("transfer-encoding").is_some() {
            let behind = body.trailers.as_ref().and_then(|head| head.get("x-behind"));
            assert_eq!(behind, Some(&*marker), "{request:?}");
        }
    }
    marker
}
