//! A client: it sends its requests, reads the answers, and knows what each of them has to be.

mod streams;

use ringway::proto::websocket::handshake;
use ringway::ring::sim::PeerId;
use ringway::service::cluster::failure::Failure;

pub(super) use self::streams::Manners;
use self::streams::Streams;
use super::net::Net;
use super::orders::Ask;
use super::wire::{Answer, Framing, pattern};

/// How a client behaves.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// Chance that it reads in a turn, in a thousand; 0 is a client that never does.
    pub(super) reads: u32,
    /// Bytes that it reads, or sends, at once.
    pub(super) part: usize,
    /// Chance that it resets in a turn, in a thousand.
    pub(super) resets: u32,
    /// Requests that it sends ahead of their answers, and one.
    pub(super) ahead: usize,
    /// It says that it sends no more as soon as it has sent all.
    pub(super) ends_early: bool,
    /// It ends when it has all answers. Else it waits for the other side to do so.
    pub(super) leaves: bool,
    /// What goes before its first request.
    pub(super) preface: Vec<u8>,
    /// Turns after which it connects.
    pub(super) comes_at: usize,
    /// It speaks HTTP/2, and how.
    pub(super) http2: Option<Manners>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            reads: 500,
            part: 4_000,
            resets: 0,
            ahead: 1,
            ends_early: false,
            leaves: true,
            preface: Vec::new(),
            comes_at: 0,
            http2: None,
        }
    }
}

/// An answer that has come whole.
#[derive(Debug, Clone)]
pub(super) struct Got {
    /// The place of its request.
    pub(super) of: usize,
    pub(super) status: u16,
    /// The failure that it stands for.
    pub(super) reason: Option<String>,
    /// A server has given it.
    pub(super) is_passed_on: bool,
    /// The plan that it was made by, and the server that has given it, if they are told.
    pub(super) plan: Option<u64>,
    pub(super) server: Option<usize>,
    /// The plans that held when the request was begun, and when all of the answer was there.
    pub(super) held: (u64, u64),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// In order.
    Whole,
    /// The other side has reset it.
    Cut,
    /// The client has.
    Own,
}

/// Turns that a client waits to be told to send a body.
const CONTINUE_TURNS: usize = 40;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: PeerId,
    habits: Habits,
    pub(super) asks: Vec<Ask>,
    /// Requests that were begun.
    pub(super) begun: usize,
    /// The plans that held when they were.
    begun_in: Vec<u64>,
    /// The plan that held when it connected.
    pub(super) came_in: u64,
    /// The present plan.
    plan: u64,
    pub(super) answers: Vec<Got>,
    /// Interim answers of servers.
    pub(super) hints: usize,
    pub(super) end: End,
    /// Requests that it has given up, and how often one was refused, by HTTP/2.
    pub(super) cancelled: usize,
    pub(super) refused: usize,
    /// The places of those for which the other side says that it has done nothing.
    pub(super) untouched: Vec<usize>,
    streams: Option<Box<Streams>>,
    input: Vec<u8>,
    out: Vec<u8>,
    /// A body that is sent when the other side says so, and the turns for which it has waited.
    held: Option<(Vec<u8>, usize)>,
    /// It says nothing more.
    stopped: bool,
    finished: bool,
    /// The last answer said that the connection ends.
    last: bool,
    tunnel: Option<Tunnel>,
}

/// Another protocol than HTTP.
#[derive(Debug)]
struct Tunnel {
    expected: Vec<u8>,
    received: usize,
}

impl Client {
    pub(super) fn new(peer: PeerId, asks: Vec<Ask>, habits: Habits, plan: u64) -> Self {
        let count = asks.len();
        Self {
            peer,
            out: habits.preface.clone(),
            streams: habits
                .http2
                .map(|manners| Box::new(Streams::new(manners, &habits.preface, count))),
            habits,
            asks,
            begun: 0,
            begun_in: Vec::new(),
            came_in: plan,
            plan,
            answers: Vec::new(),
            hints: 0,
            end: End::Open,
            cancelled: 0,
            refused: 0,
            untouched: Vec::new(),
            input: Vec::new(),
            held: None,
            stopped: false,
            finished: false,
            last: false,
            tunnel: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.end != End::Open
    }

    /// Whether it speaks HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        self.streams.is_some()
    }

    /// The answers with their requests, in the order in which they were asked for.
    pub(super) fn answered(&self) -> Vec<(&Ask, &Got)> {
        let mut all: Vec<_> = self.answers.iter().collect();
        all.sort_by_key(|answer| answer.of);
        all.into_iter().map(|answer| (&self.asks[answer.of], answer)).collect()
    }

    /// It reads all that there is.
    pub(super) const fn hurry(&mut self) {
        self.habits.reads = 1000;
        self.habits.part = 100_000;
    }

    pub(super) fn play(&mut self, net: &mut Net<'_>) {
        if self.is_done() {
            return;
        }
        self.plan = net.plan;
        if let Some(mut streams) = self.streams.take() {
            streams.play(self, net);
            self.streams = Some(streams);
            return;
        }
        if net.chance(self.habits.reads) {
            let most = 1 + net.below(self.habits.part);
            let bytes = net.read(self.peer, most);
            self.input.extend(bytes);
            self.understand(false);
        }
        if net.sim.peer_was_reset(self.peer) {
            net.stay_awake();
            return self.finish(End::Cut);
        }
        if net.sim.peer_at_end(self.peer) {
            self.understand(true);
            if self.tunnel.is_some() && !self.finished && !self.out.is_empty() {
                // Only the other side has said all.
                return self.say(net);
            }
            if !self.finished {
                net.finish(self.peer);
            }
            return self.finish(End::Whole);
        }
        if net.chance(self.habits.resets) {
            net.reset(self.peer);
            return self.finish(End::Own);
        }
        self.say(net);
    }

    fn say(&mut self, net: &mut Net<'_>) {
        if self.finished {
            return;
        }
        self.go_on_with_body(net);
        while !self.stopped && !self.last && self.held.is_none() && self.may_begin() {
            self.begin(net);
        }
        let most = 1 + net.below(self.habits.part);
        net.write(self.peer, &mut self.out, most);
        let has_said = self.out.is_empty() && self.held.is_none() && !self.stopped;
        let has_all = match &self.tunnel {
            Some(tunnel) => tunnel.received == tunnel.expected.len(),
            None => {
                let has_begun = self.begun == self.asks.len() || self.last;
                has_begun && self.answers.len() == self.begun
            }
        };
        let may_end = has_all && self.habits.leaves
            || self.habits.ends_early && self.begun == self.asks.len();
        if has_said && may_end && net.chance(300) {
            net.finish(self.peer);
            self.finished = true;
        }
    }

    fn may_begin(&self) -> bool {
        self.begun < self.asks.len()
            && self.begun - self.answers.len() < self.habits.ahead
            && self.begun.checked_sub(1).is_none_or(|at| {
                let before = &self.asks[at];
                !before.closes && before.upgrade.is_none() && before.broken.is_none()
            })
    }

    fn begin(&mut self, net: &mut Net<'_>) {
        let ask = &self.asks[self.begun];
        let (mut head, rest) = ask.compose(net.random);
        self.begun += 1;
        self.begun_in.push(net.plan);
        if ask.expects {
            self.held = Some((rest, 0));
        } else {
            head.extend(rest);
        }
        if let Some(at) = ask.stops_at {
            head.truncate(at.min(head.len() - 1));
            self.stopped = true;
            self.held = None;
        }
        self.out.extend(head);
    }

    /// A body is sent when that was asked for, or when nobody says anything.
    fn go_on_with_body(&mut self, net: &mut Net<'_>) {
        let Some((body, waited)) = &mut self.held else { return };
        *waited += 1;
        net.stay_awake();
        if self.answers.len() == self.begun {
            // The answer is there without it.
            self.held = None;
        } else if *waited > CONTINUE_TURNS {
            self.out.append(body);
            self.held = None;
        }
    }

    /// Reads the answers that have come.
    fn understand(&mut self, at_end: bool) {
        loop {
            if let Some(tunnel) = &mut self.tunnel {
                let end = tunnel.received + self.input.len();
                let expected = tunnel.expected.get(tunnel.received..end);
                assert!(expected == Some(&self.input[..]), "bytes of somebody else");
                tunnel.received = end;
                self.input.clear();
                if at_end {
                    assert_eq!(tunnel.received, tunnel.expected.len(), "a cut that looks whole");
                }
                return;
            }
            let at = self.answers.len();
            let Some(ask) = self.asks.get(at).filter(|_| at < self.begun) else {
                let is_garbage = self.asks.last().is_some_and(|ask| ask.upgrade.is_some());
                let text = String::from_utf8_lossy(&self.input);
                assert!(self.input.is_empty() || is_garbage, "nobody asked for {text}: {self:?}");
                return;
            };
            let Some(answer) = Answer::read(&self.input, ask.method_heard(), at_end) else {
                return;
            };
            if let (false, Some(_)) = (answer.status == 101, answer.len()) {
                check(ask, &answer);
            }
            let Some(len) = answer.len() else { return };
            if answer.status < 200 && answer.status != 101 {
                self.input.drain(..len);
                self.hear(&answer);
                continue;
            }
            assert!(!self.last, "an answer behind the last one: {answer:?}");
            self.take(&answer);
            self.input.drain(..len);
        }
    }

    fn hear(&mut self, interim: &Answer) {
        self.hints += usize::from(interim.status != 100);
        assert!(!self.asks[self.answers.len()].http10, "HTTP/1.0 has no {interim:?}");
        let is_own = self.answers.len() + 1 == self.begun;
        if let (100, true, Some((body, _))) = (interim.status, is_own, &mut self.held) {
            self.out.append(body);
            self.held = None;
        }
    }

    fn take(&mut self, answer: &Answer) {
        let ask = &self.asks[self.answers.len()];
        if answer.status == 101 {
            let (early, all) = ask.upgrade.expect("a request for another protocol");
            if let Some(key) = ask.socket {
                let accept = handshake::accept(key.as_bytes());
                let accept = std::str::from_utf8(&accept).expect("base64");
                assert_eq!(answer.head.get("sec-websocket-accept"), Some(accept));
                assert_eq!(answer.head.get("upgrade"), Some("websocket"));
            }
            let expected = pattern(&ask.marker, 'd', ask.orders.len);
            self.out.extend_from_slice(&pattern(&ask.marker, 'u', all)[early..]);
            self.tunnel = Some(Tunnel { expected, received: 0 });
        }
        let reason = answer.head.get("x-ringway-reason").map(str::to_owned);
        let is_passed_on = answer.head.get("x-marker").is_some();
        self.last = answer.closes();
        self.answers.push(Got {
            of: self.answers.len(),
            status: answer.status,
            reason,
            is_passed_on,
            plan: answer.head.number("x-plan").map(|plan| plan as u64),
            server: answer.head.number("x-server"),
            held: (self.begun_in[self.answers.len()], self.plan),
        });
    }

    fn finish(&mut self, end: End) {
        self.end = end;
        if end == End::Own || self.tunnel.is_some() {
            return;
        }
        // What is left is a part of an answer.
        let at = self.answers.len();
        let Some(ask) = self.asks.get(at).filter(|_| at < self.begun) else { return };
        if let Some(answer) = Answer::read(&self.input, ask.method_heard(), false) {
            assert!(answer.len().is_none(), "it was read before");
            check(ask, &answer);
        }
    }
}

/// Whether an answer is one to this request, and has nothing in it that it must not have.
fn check(ask: &Ask, answer: &Answer) {
    let Answer { status, head, framing, .. } = answer;
    if ask.http10 {
        assert_ne!(*framing, Framing::Chunked, "HTTP/1.0 has no chunks: {head:?}");
    }
    if *status < 200 {
        return;
    }
    if ask.broken.is_some() {
        return;
    }
    let (whole, plain) = (answer.body.len.is_some(), answer.plain());
    if let Some(target) = head.get("x-back") {
        assert_eq!(target, ask.target(), "an answer to another request: {head:?}");
    }
    if let Some(reason) = head.get("x-ringway-reason") {
        let failure = Failure::ALL.iter().find(|failure| failure.name() == reason);
        assert_eq!(failure.map(|failure| failure.status()), Some(*status), "{head:?}");
    }
    let body = match head.get("x-marker") {
        Some(marker) => {
            assert_eq!(marker, ask.marker, "another's answer");
            assert_eq!(head.get("x-back"), Some(&*ask.target()));
            pattern(marker, 'a', head.number("x-len").expect("a length"))
        }
        None if ask.path == "/fixed" && *status == 200 => b"hello".to_vec(),
        None if matches!(ask.path, "/handled" | "/broken") && *status == 200 => {
            pattern(&ask.marker, 'q', ask.body.map_or(0, |(len, _)| len))
        }
        None if ask.path == "/echo" && *status == 200 && ask.has_body() => {
            pattern(&ask.marker, 'q', ask.body.map_or(0, |(len, _)| len))
        }
        None if ask.path == "/files" && *status == 200 => pattern(&ask.marker, 'f', ask.orders.len),
        None => return,
    };
    if *framing == Framing::None {
        return;
    }
    assert!(body.starts_with(&plain), "bytes of somebody else: {ask:?} {answer:?}");
    // A file that became shorter before it was asked for is as long as its head says.
    let may_be_short = ask.path == "/files" && ask.orders.fault.is_some();
    if whole && !may_be_short {
        assert_eq!(plain.len(), body.len(), "a cut answer looks whole: {ask:?} {head:?}");
        let has_trailers = *framing == Framing::Chunked && ask.orders.framing == "trailers";
        let trailers = answer.body.trailers.as_ref().and_then(|head| head.get("x-behind"));
        if has_trailers && head.get("x-marker").is_some() && ask.orders.fault.is_none() {
            assert_eq!(trailers, Some(&*ask.marker), "{answer:?}");
        }
    }
}
