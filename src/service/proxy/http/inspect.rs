//! Inspection of proxied WebSockets: limits, keep-alive pings and counts, where a route asks for
//! them. Bytes go through an [`Inspector`] for each direction when they come; a close frame or a
//! ping of ours is put behind them where a frame ends.
//!
//! When one side breaks a rule, both are told by a close frame: the one that broke it why, and the
//! other that its peer is gone (1001) or not usable (1014). Nothing passes any more, and both have
//! `close_timeout` to end.

use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::{HttpProxy, Surroundings};
use crate::mem::{Buf, Key};
use crate::proto::http::Fields;
use crate::proto::websocket::handshake::EXTENSIONS;
use crate::proto::websocket::{
    CloseCode, Counts, InspectLimits, Inspector, Opcode, Passed, Sender, Violation, write,
};
use crate::service::cluster::random::next_random;
use crate::service::http::record::Inspected;

/// What a proxied WebSocket may bring, and how it is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectRules {
    /// Bytes of a frame's payload, as it is on the wire.
    pub frame_max: u64,
    /// Bytes of a message, likewise.
    pub message_max: u64,
    /// Messages a second of each side, and at once after a pause.
    pub message_rate: Option<(u32, u32)>,
    /// How long a side may be silent before it is pinged.
    pub ping_interval: Option<Duration>,
    /// How long a side may be silent before the WebSocket is closed.
    pub idle_timeout: Option<Duration>,
    /// How long both sides may take to end once it is closed.
    pub close_timeout: Duration,
}

/// Why a WebSocket was closed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One side has broken a rule.
    Broken(Sender, Violation),
    /// One side was silent for too long.
    Silent(Sender),
}

/// The inspection of one WebSocket.
#[derive(Debug)]
pub(super) struct Inspection {
    rules: InspectRules,
    client: Side,
    server: Side,
    random: u64,
    fault: Option<Fault>,
    /// Both sides were told so.
    is_closed: bool,
    /// What the session was not told yet.
    news: Inspected,
}

/// The state of one side.
#[derive(Debug)]
struct Side {
    inspector: Inspector,
    /// When something came from it last.
    heard: Instant,
    /// When it was pinged last, if it has said nothing since.
    pinged: Option<Instant>,
    told: Counts,
}

impl Side {
    fn new(sender: Sender, rules: &InspectRules, now: Instant) -> Self {
        let limits = InspectLimits {
            frame: rules.frame_max,
            message: rules.message_max,
            rate: rules.message_rate,
            // Nothing is known before the server has agreed.
            extensions: true,
        };
        Self {
            inspector: Inspector::new(sender, limits),
            heard: now,
            pinged: None,
            told: Counts::default(),
        }
    }

    /// What was counted since the last look.
    fn news(&mut self) -> Counts {
        let now = self.inspector.counts();
        let before = std::mem::replace(&mut self.told, now);
        Counts {
            messages: now.messages - before.messages,
            bytes: now.bytes - before.bytes,
            pings: now.pings - before.pings,
            pongs: now.pongs - before.pongs,
        }
    }

    /// When it is due to be pinged, or has been silent for too long.
    fn due(&self, rules: &InspectRules) -> Option<Instant> {
        let ping = rules.ping_interval.map(|every| self.pinged.unwrap_or(self.heard) + every);
        let silent = rules.idle_timeout.map(|most| self.heard + most);
        [ping, silent].into_iter().flatten().min()
    }
}

impl Inspection {
    pub(super) fn new(rules: InspectRules, random: u64, now: Instant) -> Box<Self> {
        Box::new(Self {
            rules,
            client: Side::new(Sender::Client, &rules, now),
            server: Side::new(Sender::Server, &rules, now),
            random,
            fault: None,
            is_closed: false,
            news: Inspected::default(),
        })
    }

    /// A server has agreed, with these fields.
    pub(super) fn agree(&mut self, fields: &Fields, now: Instant) {
        let has_extensions = fields.get_named(EXTENSIONS).is_some();
        for side in [&mut self.client, &mut self.server] {
            side.inspector.allow_extensions(has_extensions);
            side.heard = now;
        }
    }

    /// A part has come from one side: what passes of it, in order. Nothing does behind a fault.
    fn came(&mut self, sender: Sender, part: &Buf, now: Instant, mut pass: impl FnMut(Buf)) {
        if self.fault.is_some() {
            return;
        }
        let Self { client, server, news, .. } = self;
        let side = if sender == Sender::Client { client } else { server };
        let awaited = side.pinged.filter(|_| side.inspector.awaits_pong());
        side.heard = now;
        // What passes of the input in one piece.
        let mut whole = 0..0;
        let mut at = 0;
        while let Some(rest) = part.get(at..).filter(|rest| !rest.is_empty()) {
            let (taken, passed) = match side.inspector.next(rest, now) {
                Ok(next) => next,
                Err(violation) => {
                    self.fault = Some(Fault::Broken(sender, violation));
                    break;
                }
            };
            if let Passed::Input(range) = &passed
                && at + range.start == whole.end
            {
                whole.end = at + range.end;
            } else if passed != Passed::Nothing {
                pass_range(part, &whole, &mut pass);
                whole = match passed {
                    Passed::Input(range) => at + range.start..at + range.end,
                    Passed::Held | Passed::Nothing => {
                        pass(Buf::copy_of(side.inspector.held()));
                        at + taken..at + taken
                    }
                };
            }
            at += taken;
        }
        pass_range(part, &whole, &mut pass);
        if let Some(pinged) = awaited.filter(|_| !side.inspector.awaits_pong())
            && sender == Sender::Client
        {
            news.pongs += 1;
            news.pong_time += now.saturating_duration_since(pinged);
        }
        side.pinged = None;
    }

    /// When it has to be looked at next.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.fault.is_some() {
            return None;
        }
        [&self.client, &self.server].into_iter().filter_map(|side| side.due(&self.rules)).min()
    }

    /// Resets the silence of a side that is not read.
    fn excuse(&mut self, sender: Sender, now: Instant) {
        let side = if sender == Sender::Client { &mut self.client } else { &mut self.server };
        side.heard = now;
    }

    /// A ping for a side that was silent, or the fault that it was so for too long.
    fn look_at(&mut self, sender: Sender, now: Instant) -> Option<Vec<u8>> {
        let random = next_random(&mut self.random);
        let mask = next_random(&mut self.random);
        let (side, other) = match sender {
            Sender::Client => (&mut self.client, &self.server),
            Sender::Server => (&mut self.server, &self.client),
        };
        if self.rules.idle_timeout.is_some_and(|most| side.heard + most <= now) {
            self.fault.get_or_insert(Fault::Silent(sender));
            return None;
        }
        let every = self.rules.ping_interval?;
        if side.pinged.unwrap_or(side.heard) + every > now {
            return None;
        }
        side.pinged = Some(now);
        if !other.inspector.is_between_frames() {
            // It is being sent a message: what is due is looked at again after another interval.
            return None;
        }
        side.inspector.expect_pong(random.to_be_bytes());
        let mask = mask_towards(sender, mask);
        let mut out = Vec::new();
        write::control(Opcode::Ping, &random.to_be_bytes(), mask, &mut out);
        Some(out)
    }

    /// The close frame that a side gets, if one can stand behind what it has got.
    fn close_frame(&mut self, to: Sender, fault: Fault) -> Option<Vec<u8>> {
        let code = code_for(to, fault);
        let mask = mask_towards(to, next_random(&mut self.random));
        let before = if to == Sender::Client { &self.server } else { &self.client };
        if !before.inspector.is_between_frames() {
            return None;
        }
        let mut out = Vec::new();
        write::close(code, reason_for(to, fault), mask, &mut out);
        Some(out)
    }
}

/// Passes on a piece of a part, if there is any of it.
fn pass_range(part: &Buf, range: &std::ops::Range<usize>, pass: &mut impl FnMut(Buf)) {
    if !range.is_empty() {
        pass(part.slice(range.start, range.len()));
    }
}

/// What a side is told when the WebSocket is closed.
const fn code_for(to: Sender, fault: Fault) -> CloseCode {
    match (fault, to) {
        (Fault::Broken(Sender::Client, violation), Sender::Client)
        | (Fault::Broken(Sender::Server, violation), Sender::Server) => violation.code(),
        (Fault::Broken(Sender::Server, _) | Fault::Silent(Sender::Server), Sender::Client) => {
            CloseCode::BAD_GATEWAY
        }
        (Fault::Broken(Sender::Client, _), Sender::Server) | (Fault::Silent(_), _) => {
            CloseCode::GOING_AWAY
        }
    }
}

const fn reason_for(to: Sender, fault: Fault) -> &'static str {
    match (fault, to) {
        (Fault::Broken(Sender::Client, violation), Sender::Client)
        | (Fault::Broken(Sender::Server, violation), Sender::Server) => violation.name(),
        (Fault::Broken(Sender::Server, _), Sender::Client) => "the server broke a rule",
        (Fault::Silent(Sender::Server), Sender::Client) => "the server is silent",
        (Fault::Broken(Sender::Client, _), Sender::Server) => "the client broke a rule",
        (Fault::Silent(Sender::Client), Sender::Server) => "the client is silent",
        (Fault::Silent(Sender::Client), Sender::Client)
        | (Fault::Silent(Sender::Server), Sender::Server) => "silent for too long",
    }
}

/// Servers get masked frames, clients do not (RFC 6455, section 5.1).
const fn mask_towards(to: Sender, random: u64) -> Option<[u8; 4]> {
    let [a, b, c, d, ..] = random.to_be_bytes();
    match to {
        Sender::Client => None,
        Sender::Server => Some([a, b, c, d]),
    }
}

impl Exchange {
    fn inspection(&mut self) -> Option<&mut Inspection> {
        self.request.websocket.as_mut()?.inspection.as_deref_mut()
    }

    /// Whether the frames of its WebSocket are looked at.
    #[must_use]
    pub fn is_inspected(&self) -> bool {
        self.request.websocket.as_ref().is_some_and(|asked| asked.inspection.is_some())
    }

    /// What was seen of its WebSocket since the last call, if that is inspected and open.
    pub fn take_inspected(&mut self) -> Option<Inspected> {
        if !self.is_open() {
            return None;
        }
        let Inspection { client, server, news, .. } = self.inspection()?;
        let news = std::mem::take(news);
        Some(Inspected { from_client: client.news(), from_server: server.news(), ..news })
    }

    /// A part has come from one side: what passes of it goes into the body of that direction.
    pub(super) fn push_inspected(&mut self, sender: Sender, part: Buf, now: Instant) {
        let asked = self.request.websocket.as_mut();
        let inspection = asked.and_then(|asked| asked.inspection.as_deref_mut());
        let body = match sender {
            Sender::Client => &mut self.request.body,
            Sender::Server => &mut self.answer.body,
        };
        match inspection {
            Some(inspection) => inspection.came(sender, &part, now, |part| body.push(part)),
            None => body.push(part),
        }
    }

    /// A fault was found: both sides are told, and nothing passes any more. True when that was done
    /// now.
    pub(super) fn close_inspected(&mut self, now: Instant) -> bool {
        if !self.is_open() {
            return false;
        }
        let Some(inspection) = self.inspection() else { return false };
        let Some(fault) = inspection.fault.filter(|_| !inspection.is_closed) else { return false };
        inspection.is_closed = true;
        inspection.news.closed = Some(code_for(Sender::Client, fault));
        if let Fault::Broken(Sender::Client, violation) = fault {
            inspection.news.violation = Some(violation);
        }
        let close_timeout = inspection.rules.close_timeout;
        let frames = [Sender::Client, Sender::Server].map(|to| inspection.close_frame(to, fault));
        let bodies = [&mut self.answer.body, &mut self.request.body];
        for (body, frame) in bodies.into_iter().zip(frames) {
            if !body.has_ended() {
                frame.into_iter().for_each(|frame| body.push(Buf::from(frame)));
                body.end(None);
            }
        }
        if let Some(asked) = &mut self.request.websocket {
            let _new = asked.close_within(close_timeout, now);
        }
        true
    }

    /// One side has closed: both have some time to end. True when that is new.
    pub(super) fn begin_close(&mut self, now: Instant) -> bool {
        let Some(inspection) = self.inspection() else { return false };
        let is_closed =
            inspection.client.inspector.is_closed() || inspection.server.inspector.is_closed();
        let close_timeout = inspection.rules.close_timeout;
        let Some(asked) = self.request.websocket.as_mut().filter(|_| is_closed) else {
            return false;
        };
        asked.close_within(close_timeout, now)
    }

    /// Pings sides that are silent, and closes a WebSocket of which one was so for too long.
    pub(super) fn keep_alive(&mut self, key: Key, around: &mut Surroundings<'_>) {
        let now = around.now;
        // A side that is not read cannot be heard: its silence does not count.
        let (client_waits, server_waits) =
            (self.request.body.waiting() > 0, self.answer.body.waiting() > 0);
        let Some(inspection) = self.inspection().filter(|one| !one.is_closed) else { return };
        if client_waits {
            inspection.excuse(Sender::Client, now);
        }
        if server_waits {
            inspection.excuse(Sender::Server, now);
        }
        let pings = [Sender::Client, Sender::Server].map(|to| inspection.look_at(to, now));
        let bodies = [&mut self.answer.body, &mut self.request.body];
        let mut has_pinged = false;
        for (body, ping) in bodies.into_iter().zip(pings) {
            if let Some(ping) = ping.filter(|_| !body.has_ended()) {
                body.push(Buf::from(ping));
                has_pinged = true;
            }
        }
        let has_closed = self.close_inspected(now);
        if has_pinged || has_closed {
            around.filled.push(key);
            self.wake_client(around.actions);
            self.wake_server(key, around.actions);
        }
    }
}

impl HttpProxy {
    /// What has come may have broken a rule: both sides are told.
    pub(super) fn check_inspected(&mut self, key: Key, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if exchange.close_inspected(now) {
            self.filled.push(key);
            exchange.wake_client(&mut self.actions);
            exchange.wake_server(key, &mut self.actions);
            self.actions.extend(exchange.tunnel_timer(key));
        } else if exchange.begin_close(now) {
            self.actions.extend(exchange.tunnel_timer(key));
        }
    }
}
