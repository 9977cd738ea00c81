//! A client that speaks HTTP/2: it asks for many things at a time, gives some of them up, and lets
//! the other side wait for windows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringway::proto::http2::{ErrorCode, StreamId};

use super::{CONTINUE_TURNS, Client, End, Got, check};
use crate::http_runs::net::Net;
use crate::http_runs::orders::Ask;
use crate::http_runs::talk::{Fields, Heard, Talk, answer_head, trailer_head};
use crate::http_runs::wire::{Answer, Body, Framing, Head, pattern};

/// How a client behaves that speaks HTTP/2.
#[derive(Debug, Clone, Copy)]
pub(in crate::http_runs) struct Manners {
    /// Bytes of a new stream's window.
    pub(in crate::http_runs) window: u32,
    /// Chances, in a thousand, in each turn: that it gives a request up, and that it gives no
    /// windows back for a while.
    pub(in crate::http_runs) cancels: u32,
    pub(in crate::http_runs) shuts: u32,
}

/// Turns for which nothing is under way before a client leaves.
const CALM_TURNS: usize = 20;
/// Turns for which windows are shut at most.
const SHUT_TURNS: usize = 40;

#[derive(Debug)]
pub(super) struct Streams {
    manners: Manners,
    talk: Talk,
    open: BTreeMap<StreamId, Open>,
    /// Requests that were answered by a tunnel: what has to come, and how much of it has.
    tunnels: BTreeMap<StreamId, (Vec<u8>, usize)>,
    /// Those of which the other side has said all: it may still take no more.
    heard: BTreeSet<StreamId>,
    /// The places of requests that are still to be sent.
    left: VecDeque<usize>,
    /// Turns for which no window is given back.
    shut: usize,
    /// The other side takes no further requests.
    is_last: bool,
    /// Turns in a row in which no stream was open.
    calm: usize,
}

/// A request whose answer is not whole.
#[derive(Debug)]
struct Open {
    place: usize,
    /// A connection has another plan only when nothing is under way, which nobody can tell from
    /// here: an answer without a body is out before its server has ended it.
    first_plan: u64,
    head: Option<(u16, Head)>,
    body: Vec<u8>,
    trailers: Option<Head>,
    /// Something has come for it.
    is_heard: bool,
    /// Its body waits for the word to go on, for so many turns.
    held: Option<usize>,
}

impl Streams {
    pub(super) fn new(manners: Manners, preface: &[u8], count: usize) -> Self {
        let mut talk = Talk::new(true, manners.window, None, false);
        talk.out.splice(0..0, preface.iter().copied());
        Self {
            manners,
            talk,
            open: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            heard: BTreeSet::new(),
            left: (0..count).collect(),
            shut: 0,
            is_last: false,
            calm: 0,
        }
    }

    pub(super) fn play(&mut self, client: &mut Client, net: &mut Net<'_>) {
        if net.chance(client.habits.reads) {
            let most = 1 + net.below(client.habits.part);
            let bytes = net.read(client.peer, most);
            self.talk.receive(&bytes);
            self.understand(client);
        }
        if net.sim.peer_was_reset(client.peer) {
            net.stay_awake();
            return self.finish(client, End::Cut);
        }
        if net.sim.peer_at_end(client.peer) {
            if !client.finished {
                net.finish(client.peer);
            }
            return self.finish(client, End::Whole);
        }
        if net.chance(client.habits.resets) {
            net.reset(client.peer);
            return self.finish(client, End::Own);
        }
        if !client.finished {
            self.say(client, net);
        }
    }

    /// Reads what has come.
    fn understand(&mut self, client: &mut Client) {
        while let Some(heard) = self.talk.hear() {
            match heard {
                Heard::Head { stream, fields, ends } => {
                    self.take_head(client, stream, fields, ends);
                }
                Heard::Data { stream, bytes, ends } if self.tunnels.contains_key(&stream) => {
                    self.take_of_tunnel(stream, &bytes, ends);
                }
                Heard::Data { stream, bytes, ends } => {
                    let open = self.open.get_mut(&stream).expect("a request that waits");
                    assert!(open.head.is_some(), "a body without a head");
                    open.body.extend(bytes);
                    if ends {
                        self.take_answer(client, stream);
                    }
                }
                Heard::Reset { stream, code } => self.take_reset(client, stream, code),
                Heard::GoAway { last, code } => {
                    assert_eq!(code, ErrorCode::NO_ERROR, "we have broken no rule");
                    self.is_last = true;
                    for (stream, open) in self.open.split_off(&last.saturating_add(1)) {
                        self.talk.forget(stream);
                        self.leave_untouched(client, &open);
                    }
                }
            }
        }
    }

    fn take_head(&mut self, client: &mut Client, stream: StreamId, fields: Fields, ends: bool) {
        let open = self.open.get_mut(&stream).expect("a request that waits");
        open.is_heard = true;
        if open.head.is_some() {
            assert!(ends, "trailers that are not the end: {fields:?}");
            open.trailers = Some(trailer_head(fields));
            return self.take_answer(client, stream);
        }
        let (status, head) = answer_head(&fields);
        if status < 200 {
            assert!(!ends && status != 101, "{head:?}");
            client.hints += usize::from(status != 100);
            if status == 100 && open.held.take().is_some() {
                self.say_body(&client.asks, stream);
            }
            return;
        }
        let ask = &client.asks[open.place];
        if ask.socket.is_some() && status == 200 {
            let open = self.open.remove(&stream).expect("it is there");
            return self.open_tunnel(client, stream, &open, &head, ends);
        }
        open.head = Some((status, head));
        if ends {
            self.take_answer(client, stream);
        }
    }

    /// A request is answered by a tunnel.
    fn open_tunnel(
        &mut self,
        client: &mut Client,
        stream: StreamId,
        open: &Open,
        head: &Head,
        ends: bool,
    ) {
        let ask = &client.asks[open.place];
        assert_eq!(head.get("x-marker"), Some(&*ask.marker), "another's tunnel");
        assert!(head.get("sec-websocket-accept").is_none(), "{head:?}");
        let (_, all) = ask.upgrade.expect("bytes to say");
        self.talk.say_body(stream, &pattern(&ask.marker, 'u', all), Some(Fields::new()));
        self.tunnels.insert(stream, (pattern(&ask.marker, 'd', ask.orders.len), 0));
        client.answers.push(Got {
            of: open.place,
            status: 200,
            reason: None,
            is_passed_on: true,
            plan: None,
            server: head.number("x-server"),
            held: (open.first_plan, client.plan),
        });
        if ends {
            self.take_of_tunnel(stream, &[], true);
        }
    }

    fn take_of_tunnel(&mut self, stream: StreamId, bytes: &[u8], ends: bool) {
        let Some((expected, received)) = self.tunnels.get_mut(&stream) else { return };
        let end = *received + bytes.len();
        assert_eq!(expected.get(*received..end), Some(bytes), "bytes of somebody else");
        *received = end;
        if ends {
            assert_eq!(end, expected.len(), "a cut that looks whole");
            self.tunnels.remove(&stream);
            self.heard.insert(stream);
        }
    }

    /// All of an answer has come.
    fn take_answer(&mut self, client: &mut Client, stream: StreamId) {
        let open = self.open.remove(&stream).expect("a request that waits");
        let ask = &client.asks[open.place];
        let answer = open.answer(ask, true).expect("a head");
        check(ask, &answer);
        if open.held.is_some() && open.place.is_multiple_of(2) {
            // What nobody has asked for is not sent any more.
            self.talk.give_up(stream, ErrorCode::CANCEL);
            client.cancelled += 1;
        } else if open.held.is_some() {
            let (body, trailers) = ask.compose_body();
            self.talk.say_body(stream, &body, Some(trailers));
        }
        client.answers.push(Got {
            of: open.place,
            status: answer.status,
            reason: answer.head.get("x-ringway-reason").map(str::to_owned),
            is_passed_on: answer.head.get("x-marker").is_some(),
            plan: answer.head.number("x-plan").map(|plan| plan as u64),
            server: answer.head.number("x-server"),
            held: (open.first_plan, client.plan),
        });
    }

    /// The other side gives a request up. One that it has refused was not looked at.
    fn take_reset(&mut self, client: &mut Client, stream: StreamId, code: ErrorCode) {
        if self.tunnels.remove(&stream).is_some() || self.heard.contains(&stream) {
            return assert_eq!(code, ErrorCode::CANCEL, "a tunnel that was cut");
        }
        // Behind the whole answer: the rest of the request is not wanted.
        let Some(open) = self.open.remove(&stream) else {
            return assert_eq!(code, ErrorCode::NO_ERROR);
        };
        if code != ErrorCode::REFUSED_STREAM {
            return open.check_part(&client.asks);
        }
        client.refused += 1;
        if self.is_last {
            return self.leave_untouched(client, &open);
        }
        assert!(!open.is_heard, "something was done for it");
        self.left.push_back(open.place);
    }

    /// The other side says that it has done nothing for a request.
    fn leave_untouched(&mut self, client: &mut Client, open: &Open) {
        assert!(!open.is_heard, "something was done for it");
        client.untouched.push(open.place);
    }

    fn say(&mut self, client: &mut Client, net: &mut Net<'_>) {
        self.go_on_with_bodies(client, net);
        while !self.is_last
            && !self.left.is_empty()
            && self.open.len() < client.habits.ahead
            && self.talk.can_begin()
            && self.may_begin(client)
        {
            self.begin(client, net);
        }
        if net.chance(if self.tunnels.is_empty() { 0 } else { self.manners.cancels }) {
            let at = net.below(self.tunnels.len());
            let stream = *self.tunnels.keys().nth(at).expect("one of them");
            self.tunnels.remove(&stream);
            self.talk.give_up(stream, ErrorCode::CANCEL);
            client.cancelled += 1;
            net.stay_awake();
        }
        let cancels = if self.open.is_empty() { 0 } else { self.manners.cancels };
        if net.chance(cancels) {
            self.cancel_one(client, net);
        }
        if self.shut > 0 {
            self.shut -= 1;
            net.stay_awake();
        } else {
            let has_owed = self.talk.owes();
            self.talk.give_back(&[]);
            if has_owed && net.chance(self.manners.shuts) {
                self.shut = net.below(SHUT_TURNS);
            }
        }
        self.talk.pump(net.random, client.habits.part);
        let most = 1 + net.below(client.habits.part);
        net.write(client.peer, &mut self.talk.out, most);
        let has_begun = self.left.is_empty() || self.is_last;
        let has_said = self.talk.has_said_all();
        let has_all = has_begun && self.open.is_empty() && self.tunnels.is_empty();
        let is_held = self.open.values().any(|open| open.held.is_some());
        // An answer without a body is there before its server has ended it: who leaves at once has
        // given it up.
        self.calm = if self.talk.is_quiet() { self.calm + 1 } else { 0 };
        let leaves = client.habits.leaves && self.calm > CALM_TURNS;
        if has_all && client.habits.leaves {
            net.stay_awake();
        }
        let may_end = has_all && leaves || client.habits.ends_early && has_begun;
        if has_said && !is_held && may_end && net.chance(300) {
            net.finish(client.peer);
            client.finished = true;
        }
    }

    /// A WebSocket is asked for once the other side has said that it knows them.
    fn may_begin(&self, client: &Client) -> bool {
        let next = self.left.front().map(|place| &client.asks[*place]);
        next.is_some_and(|ask| ask.socket.is_none() || self.talk.takes_sockets)
    }

    fn begin(&mut self, client: &mut Client, net: &mut Net<'_>) {
        let Some(place) = self.left.pop_front() else { return };
        let ask = &client.asks[place];
        let ends = match ask.body {
            None => ask.socket.is_none(),
            // An empty body is none, or one that ends at once.
            Some((0, false)) => net.chance(500),
            Some(_) => false,
        };
        client.begun = client.begun.max(place + 1);
        let most = if net.chance(100) { 90 } else { 16_000 };
        let stream = self.talk.begin(&ask.compose_fields(), ends, most);
        let held = (ask.expects && !ends).then_some(0);
        let (head, body, trailers, first_plan) = (None, Vec::new(), None, client.came_in);
        let open = Open { place, first_plan, head, body, trailers, is_heard: false, held };
        self.open.insert(stream, open);
        if held.is_none() && !ends && client.asks[place].socket.is_none() {
            self.say_body(&client.asks, stream);
        }
    }

    fn say_body(&mut self, asks: &[Ask], stream: StreamId) {
        let ask = &asks[self.open[&stream].place];
        let (body, trailers) = ask.compose_body();
        self.talk.say_body(stream, &body, Some(trailers));
    }

    /// A body is sent when that was asked for, or when nobody says anything.
    fn go_on_with_bodies(&mut self, client: &Client, net: &mut Net<'_>) {
        let mut due = Vec::new();
        for (stream, open) in &mut self.open {
            let Some(waited) = &mut open.held else { continue };
            *waited += 1;
            net.stay_awake();
            if *waited > CONTINUE_TURNS {
                open.held = None;
                due.push(*stream);
            }
        }
        due.into_iter().for_each(|stream| self.say_body(&client.asks, stream));
    }

    /// A request is not wanted any more.
    fn cancel_one(&mut self, client: &mut Client, net: &mut Net<'_>) {
        let at = net.below(self.open.len());
        let Some(stream) = self.open.keys().nth(at).copied() else { return };
        let Some(open) = self.open.remove(&stream) else { return };
        self.talk.give_up(stream, ErrorCode::CANCEL);
        open.check_part(&client.asks);
        client.cancelled += 1;
        net.stay_awake();
    }

    fn finish(&mut self, client: &mut Client, end: End) {
        client.end = end;
        // What is left are parts of answers.
        self.open.values().for_each(|open| open.check_part(&client.asks));
    }
}

impl Open {
    /// The answer, or as much of it as has come.
    fn answer(&self, ask: &Ask, is_whole: bool) -> Option<Answer> {
        let (status, head) = self.head.clone()?;
        let has_none = ask.method == "HEAD" || status == 204 || status == 304;
        let length = head.number("content-length");
        if has_none {
            assert!(self.body.is_empty(), "a body where there is none: {head:?}");
        } else if let Some(length) = length {
            let came = self.body.len();
            assert!(came == length || came < length && !is_whole, "{came}: {head:?}");
        }
        let framing = match length {
            _ if has_none => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let (bytes, trailers) = (self.body.clone(), self.trailers.clone());
        let len = is_whole.then_some(self.body.len());
        Some(Answer { status, head, framing, body: Body { bytes, trailers, len } })
    }

    /// Checks a part of an answer that will never be whole.
    fn check_part(&self, asks: &[Ask]) {
        let ask = &asks[self.place];
        self.answer(ask, false).iter().for_each(|answer| check(ask, answer));
    }
}
