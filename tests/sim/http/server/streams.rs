//! A server's connection that speaks HTTP/2: it answers many requests side by side, in any order.

use std::collections::BTreeMap;

use ringway::proto::http2::frame::{FRAME_MAX, STREAM_MAX};
use ringway::proto::http2::{ErrorCode, StreamId};
use ringway::ring::sim::PeerId;

use super::{AllSeen, Moods, Tunnel, check};
use crate::http_runs::net::Net;
use crate::http_runs::orders::{Fault, Orders};
use crate::http_runs::talk::{Fields, Heard, Talk, request_head, trailer_head};
use crate::http_runs::wire::{Body, Request, pattern};

/// Turns for which windows are shut at most, and after which a server that leaves says so again.
const SHUT_TURNS: usize = 30;
/// Interim answers of a flood, of a thousand bytes each.
const FLOOD: usize = 90;

#[derive(Debug)]
pub(super) struct Streams {
    peer: PeerId,
    number: usize,
    talk: Talk,
    open: BTreeMap<StreamId, Asked>,
    shut: usize,
    leaving: Leaving,
    pub(super) gone: bool,
}

/// How a server ends its connection in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// It has said that it will, and says which request is the last one after so many turns.
    Soon(usize),
    /// It does not look at requests behind this one.
    Behind(StreamId),
}

/// A request that is not answered, or not whole.
#[derive(Debug)]
struct Asked {
    request: Request,
    marker: String,
    orders: Orders,
    fault: Option<Fault>,
    hold: usize,
    is_whole: bool,
    after: After,
    /// It was answered by a tunnel.
    tunnel: Option<Tunnel>,
}

/// What it does when all of what it says on a stream has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It has not answered.
    Answer,
    /// It waits for the rest of the request.
    Wait,
    Reset(ErrorCode),
    Stall,
    /// It ends the tunnel, some time.
    Tunnel,
}

impl Streams {
    pub(super) fn new(peer: PeerId, number: usize, moods: Moods) -> Self {
        Self {
            peer,
            number,
            talk: Talk::new(false, moods.window, moods.streams_max, moods.takes_sockets),
            open: BTreeMap::new(),
            shut: 0,
            leaving: Leaving::No,
            gone: false,
        }
    }

    pub(super) fn play(&mut self, net: &mut Net<'_>, moods: Moods, seen: &mut AllSeen) {
        let part = if moods.part == 0 { usize::MAX } else { 1 + net.below(moods.part) };
        if net.chance(500) {
            let bytes = net.read(self.peer, part);
            self.talk.receive(&bytes);
            self.understand(seen);
        }
        if net.sim.peer_was_reset(self.peer) {
            net.stay_awake();
            self.gone = true;
            return;
        }
        self.work(net);
        if self.gone {
            return;
        }
        self.leave_in_order(net, moods);
        self.give_back(net, moods);
        self.talk.pump(net.random, if moods.part == 0 { FRAME_MAX } else { moods.part });
        net.write(self.peer, &mut self.talk.out, part);
        let is_over = matches!(self.leaving, Leaving::Behind(_)) && self.open.is_empty();
        if net.chance(moods.reset) {
            net.reset(self.peer);
            self.gone = true;
        } else if net.sim.peer_at_end(self.peer)
            || is_over && self.talk.has_said_all()
            || net.chance(moods.end)
        {
            net.finish(self.peer);
            self.gone = true;
        }
    }

    fn give_back(&mut self, net: &mut Net<'_>, moods: Moods) {
        if self.shut > 0 {
            self.shut -= 1;
            return net.stay_awake();
        }
        let deaf = |asked: &Asked| asked.fault == Some(Fault::Deaf);
        let deaf: Vec<_> =
            self.open.iter().filter(|(_, asked)| deaf(asked)).map(|(id, _)| *id).collect();
        let has_owed = self.talk.owes();
        self.talk.give_back(&deaf);
        if has_owed && net.chance(moods.shuts) {
            self.shut = net.below(SHUT_TURNS);
        }
    }

    /// It takes no further requests from some time on.
    fn leave_in_order(&mut self, net: &mut Net<'_>, moods: Moods) {
        self.leaving = match self.leaving {
            Leaving::No if net.chance(moods.go_away) => {
                let turns = net.below(SHUT_TURNS);
                if turns > 0 {
                    self.talk.say_go_away(STREAM_MAX, ErrorCode::NO_ERROR);
                }
                Leaving::Soon(turns)
            }
            Leaving::Soon(0) => {
                self.talk.say_go_away(self.talk.last, ErrorCode::NO_ERROR);
                Leaving::Behind(self.talk.last)
            }
            Leaving::Soon(turns) => {
                net.stay_awake();
                Leaving::Soon(turns - 1)
            }
            kept @ (Leaving::No | Leaving::Behind(_)) => kept,
        };
    }

    /// Reads what has come.
    fn understand(&mut self, seen: &mut AllSeen) {
        while let Some(heard) = self.talk.hear() {
            match heard {
                Heard::Head { stream, fields, ends } => self.take_head(stream, fields, ends, seen),
                Heard::Data { stream, bytes, ends } => {
                    let Some(asked) = self.open.get_mut(&stream) else { continue };
                    if asked.is_socket() {
                        asked.take_of_tunnel(bytes, ends);
                        continue;
                    }
                    asked.request.body.bytes.extend(bytes);
                    asked.take_end(ends, seen);
                }
                Heard::Reset { stream, .. } => {
                    self.open.remove(&stream);
                }
                Heard::GoAway { code, .. } => assert_eq!(code, ErrorCode::NO_ERROR),
            }
        }
    }

    fn take_head(&mut self, stream: StreamId, fields: Fields, ends: bool, seen: &mut AllSeen) {
        if let Some(asked) = self.open.get_mut(&stream) {
            assert!(ends, "trailers that are not the end: {fields:?}");
            asked.request.body.trailers = Some(trailer_head(fields));
            return asked.take_end(true, seen);
        }
        if matches!(self.leaving, Leaving::Behind(last) if stream > last) {
            // The other side knows that it is not looked at.
            return self.talk.forget(stream);
        }
        let head = request_head(&fields, ends);
        let request = Request { head, body: Body::default() };
        let marker = check(&request);
        let orders = Orders::read(request.head.get("x-do").expect("orders"));
        let seen_before = seen.entry(marker.clone()).or_default();
        request.method().clone_into(&mut seen_before.method);
        let tries = seen_before.tries + seen_before.refused;
        let fault = orders.fault.filter(|(times, _)| tries < *times).map(|(_, fault)| fault);
        if fault == Some(Fault::Refused) {
            // Nothing is done for it.
            seen_before.refused += 1;
            return self.talk.give_up(stream, ErrorCode::REFUSED_STREAM);
        }
        seen_before.tries += 1;
        let (hold, after) = (orders.hold, After::Answer);
        let (is_whole, tunnel) = (false, None);
        let mut asked = Asked { request, marker, orders, fault, hold, is_whole, after, tunnel };
        let ends = ends || asked.is_socket();
        asked.take_end(ends, seen);
        self.open.insert(stream, asked);
    }

    fn work(&mut self, net: &mut Net<'_>) {
        let mut streams: Vec<StreamId> = self.open.keys().copied().collect();
        net.random.shuffle(&mut streams);
        for stream in streams {
            self.work_on(stream, net);
            if self.gone {
                return;
            }
        }
    }

    fn work_on(&mut self, stream: StreamId, net: &mut Net<'_>) {
        let Some(asked) = self.open.get_mut(&stream) else { return };
        if asked.after != After::Answer && !self.talk.is_open(stream) {
            // Both sides have said all.
            self.open.remove(&stream);
            return;
        }
        match asked.after {
            After::Answer if asked.fault == Some(Fault::Deaf) => {}
            After::Answer if asked.is_whole || asked.orders.early => {
                if asked.hold > 0 {
                    asked.hold -= 1;
                    return net.stay_awake();
                }
                self.answer(stream, net);
            }
            After::Answer | After::Stall => {}
            After::Wait | After::Reset(_) | After::Tunnel if self.talk.is_saying(stream) => {}
            After::Wait => {
                net.stay_awake();
                // The rest of the request is not wanted.
                if net.chance(100) {
                    self.talk.give_up(stream, ErrorCode::NO_ERROR);
                    self.open.remove(&stream);
                }
            }
            After::Tunnel => {
                let finished = asked.tunnel.as_mut().map(|tunnel| &mut tunnel.finished);
                let Some(finished) = finished.filter(|finished| !**finished) else { return };
                net.stay_awake();
                if net.chance(30) || !asked.is_whole {
                    *finished = true;
                    self.talk.say_body(stream, &[], Some(Fields::new()));
                }
            }
            After::Reset(code) => {
                self.talk.give_up(stream, code);
                self.open.remove(&stream);
            }
        }
    }

    fn answer(&mut self, stream: StreamId, net: &mut Net<'_>) {
        let Some(asked) = self.open.get_mut(&stream) else { return };
        asked.after = After::Stall;
        let line = |status: &str| vec![(":status".to_owned(), status.to_owned())];
        match asked.fault {
            Some(Fault::Silent | Fault::Deaf) => {}
            Some(Fault::Reset | Fault::Refused) => {
                asked.after = After::Reset(ErrorCode::INTERNAL_ERROR);
            }
            Some(Fault::End) => asked.after = After::Reset(ErrorCode::CANCEL),
            Some(Fault::ResetInHead) => {
                net.reset(self.peer);
                self.gone = true;
            }
            Some(Fault::Malformed) => self.talk.say_head(stream, &line("2x0"), true, FRAME_MAX),
            Some(Fault::LargeHead) => {
                let mut fields = line("200");
                fields.push(("x-large".to_owned(), "x".repeat(70_000)));
                self.talk.say_head(stream, &fields, false, FRAME_MAX);
            }
            Some(Fault::Flood) => {
                for number in 0..FLOOD {
                    let mut fields = line("102");
                    fields.push(("x".to_owned(), format!("{number}{}", "y".repeat(1_000))));
                    self.talk.say_head(stream, &fields, false, FRAME_MAX);
                }
            }
            Some(Fault::Status(status)) => {
                asked.orders.status = status;
                asked.orders.len = asked.orders.len.min(100);
                self.answer_in_order(stream, None);
            }
            Some(
                Fault::ResetInBody | Fault::EndInBody | Fault::StallInBody | Fault::WrongAccept,
            )
            | None => {
                let fault = asked.fault;
                self.answer_in_order(stream, fault);
            }
        }
    }

    fn answer_in_order(&mut self, stream: StreamId, fault: Option<Fault>) {
        let Some(asked) = self.open.get_mut(&stream) else { return };
        let Asked { marker, orders, request, after, tunnel, .. } = asked;
        let field = |name: &str, value: String| (name.to_owned(), value);
        for _ in 0..orders.interims {
            let interim = vec![field(":status", "103".to_owned()), field("x-hint", marker.clone())];
            self.talk.say_head(stream, &interim, false, FRAME_MAX);
        }
        let status = if orders.status == 101 { 200 } else { orders.status };
        let opens = asked_for_socket(request) && status == 200;
        let mut body = pattern(marker, if opens { 'd' } else { 'a' }, orders.len);
        let mut fields = vec![
            field(":status", status.to_string()),
            field("x-marker", marker.clone()),
            field("x-len", orders.len.to_string()),
            field("x-server", self.number.to_string()),
            field("content-type", "text/plain".to_owned()),
        ];
        let has_length = orders.framing == "length" && status != 204 && !opens;
        if has_length {
            fields.push(field("content-length", body.len().to_string()));
        }
        let has_body = request.method() != "HEAD" && status != 204 && status != 304;
        let ends = !opens && (!has_body || body.is_empty() && orders.framing == "close");
        self.talk.say_head(stream, &fields, ends, FRAME_MAX);
        *after = After::Wait;
        if ends {
            return;
        }
        if opens {
            *tunnel = Some(Tunnel::new(marker, request));
            *after = match fault {
                Some(Fault::ResetInBody | Fault::EndInBody) => After::Reset(ErrorCode::CANCEL),
                Some(Fault::StallInBody) => After::Stall,
                _ => After::Tunnel,
            };
            if *after != After::Tunnel {
                body.truncate(body.len() / 2);
            }
            return self.talk.say_body(stream, &body, None);
        }
        let behind = (orders.framing == "trailers").then(|| field("x-behind", marker.clone()));
        let mut end: Option<Fields> = Some(behind.into_iter().collect());
        if let Some(fault) = fault {
            body.truncate(body.len() / 2);
            end = None;
            *after = After::Reset(ErrorCode::INTERNAL_ERROR);
            if fault == Fault::StallInBody {
                *after = After::Stall;
            } else if fault == Fault::EndInBody && has_length && orders.len > 0 {
                // Only the length tells that it is not whole.
                (*after, end) = (After::Wait, Some(Fields::new()));
            }
        }
        self.talk.say_body(stream, &body, end);
    }
}

fn asked_for_socket(request: &Request) -> bool {
    request.head.get("upgrade").is_some()
}

impl Asked {
    fn is_socket(&self) -> bool {
        asked_for_socket(&self.request)
    }

    /// Something has come into the tunnel.
    fn take_of_tunnel(&mut self, mut bytes: Vec<u8>, ends: bool) {
        let Some(tunnel) = &mut self.tunnel else {
            // The answer was none that opens one: its end is all that may come.
            return assert!(bytes.is_empty(), "bytes before the tunnel is open");
        };
        tunnel.take(&mut bytes);
        if ends {
            assert_eq!(tunnel.received, tunnel.expected.len(), "a cut that looks whole");
            self.is_whole = false;
        }
    }

    /// Something has come, or all of it.
    fn take_end(&mut self, is_whole: bool, seen: &mut AllSeen) {
        if is_whole && !std::mem::replace(&mut self.is_whole, true) {
            self.request.body.len = Some(self.request.body.bytes.len());
            seen.get_mut(&self.marker).expect("it was seen").whole += 1;
        }
        check(&self.request);
    }
}
