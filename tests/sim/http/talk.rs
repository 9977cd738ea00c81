//! HTTP/2 as the models of clients and servers speak it: frames, streams and windows, kept strictly
//! and by no code of Ringway's but for how frames look and for header compression, which have tests
//! with other implementations.

use std::collections::{BTreeMap, BTreeSet};

use ringway::proto::http2::frame::{
    self, FRAME_MAX, FrameHead, HEAD_LEN, PREFACE, WINDOW_INITIAL, WINDOW_MAX, flag, kind, setting,
};
use ringway::proto::http2::hpack::{BlockCursor, Decoder, Encoder, Keep, Name};
use ringway::proto::http2::{ErrorCode, StreamId};
use ringway::ring::sim::Random;

use super::wire::Head;

/// Bytes that may wait to be written before bodies wait: so that what is said later is not far
/// behind them.
const AHEAD: usize = 3_000;
/// What is granted at once to a stream that begins with a window of nothing.
const GRANT: i64 = 500;

pub(super) type Fields = Vec<(String, String)>;

/// What has come.
#[derive(Debug)]
pub(super) enum Heard {
    /// A head, or trailers.
    Head {
        stream: StreamId,
        fields: Fields,
        ends: bool,
    },
    Data {
        stream: StreamId,
        bytes: Vec<u8>,
        ends: bool,
    },
    Reset {
        stream: StreamId,
        code: ErrorCode,
    },
    GoAway {
        last: StreamId,
        code: ErrorCode,
    },
}

/// A stream that one of both sides has not ended.
#[derive(Debug, Default)]
struct Flow {
    /// Bytes that the other side takes, that it may send, and that were taken and not given back.
    send: i64,
    receive: i64,
    owed: i64,
    heard_end: bool,
    said_end: bool,
    /// What waits to be sent, and what follows behind it, once that is known.
    body: Vec<u8>,
    trailers: Option<Fields>,
}

/// One end of one connection.
#[derive(Debug)]
pub(super) struct Talk {
    is_client: bool,
    input: Vec<u8>,
    /// Frames that wait to be written.
    pub(super) out: Vec<u8>,
    /// The preface has come, and the settings.
    is_begun: bool,
    is_greeted: bool,
    decoder: Decoder,
    encoder: Encoder,
    /// A field block that is not all there.
    block: Option<(StreamId, bool, Vec<u8>)>,
    /// Bytes of a new stream's window: what we say, what the other side knows, and what it says.
    own_window: i64,
    known_window: i64,
    peer_window: i64,
    /// Streams that the other side takes at a time.
    streams_max: usize,
    /// The other side has said that it knows WebSockets.
    pub(super) takes_sockets: bool,
    /// The windows of the connection.
    send: i64,
    receive: i64,
    owed: i64,
    flows: BTreeMap<StreamId, Flow>,
    /// Streams that we have given up, of which something may still come.
    given_up: BTreeSet<StreamId>,
    /// The next stream that we begin, and the last one that the other side has begun.
    next: StreamId,
    pub(super) last: StreamId,
}

impl Talk {
    pub(super) fn new(
        is_client: bool,
        window: u32,
        streams_max: Option<u32>,
        takes_sockets: bool,
    ) -> Self {
        let mut out = if is_client { PREFACE.to_vec() } else { Vec::new() };
        let mut settings = vec![(setting::INITIAL_WINDOW_SIZE, window)];
        settings.extend(is_client.then_some((setting::ENABLE_PUSH, 0)));
        settings.extend(takes_sockets.then_some((setting::ENABLE_CONNECT_PROTOCOL, 1)));
        settings.extend(streams_max.map(|most| (setting::MAX_CONCURRENT_STREAMS, most)));
        frame::write_settings(&settings, &mut out);
        let initial = i64::from(WINDOW_INITIAL);
        Self {
            is_client,
            input: Vec::new(),
            out,
            is_begun: is_client,
            is_greeted: false,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            block: None,
            own_window: i64::from(window),
            known_window: initial,
            peer_window: initial,
            streams_max: usize::MAX,
            takes_sockets: false,
            send: initial,
            receive: initial,
            owed: 0,
            flows: BTreeMap::new(),
            given_up: BTreeSet::new(),
            next: 1,
            last: 0,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether nothing waits to be said.
    pub(super) fn has_said_all(&self) -> bool {
        let is_said = |flow: &Flow| flow.body.is_empty() && flow.trailers.is_none();
        self.out.is_empty() && self.flows.values().all(is_said)
    }

    /// The next thing that has come.
    pub(super) fn hear(&mut self) -> Option<Heard> {
        if !self.is_begun {
            if self.input.len() < PREFACE.len() {
                return None;
            }
            assert_eq!(&self.input[..PREFACE.len()], PREFACE);
            self.input.drain(..PREFACE.len());
            self.is_begun = true;
        }
        loop {
            let head = FrameHead::read(*self.input.first_chunk::<HEAD_LEN>()?);
            assert!(head.len <= FRAME_MAX, "{head:?}");
            if self.input.len() < HEAD_LEN + head.len {
                return None;
            }
            let payload: Vec<u8> = self.input.drain(..HEAD_LEN + head.len).skip(HEAD_LEN).collect();
            if let Some(heard) = self.take(head, &payload) {
                return Some(heard);
            }
        }
    }

    fn take(&mut self, head: FrameHead, payload: &[u8]) -> Option<Heard> {
        let is_settings = head.kind == kind::SETTINGS && !head.has(flag::ACK);
        assert!(self.is_greeted || is_settings, "settings go before all else: {head:?}");
        self.is_greeted = true;
        let continues = self.block.as_ref().map(|(stream, ..)| *stream);
        let is_next = head.kind == kind::CONTINUATION && continues == Some(head.stream);
        assert_eq!(continues.is_some(), is_next, "{head:?}");
        match head.kind {
            kind::HEADERS | kind::CONTINUATION => self.take_block(head, payload),
            kind::DATA => self.take_data(head, payload),
            kind::RST_STREAM => {
                let code = ErrorCode(frame::only_number(payload).expect("a code"));
                self.assert_begun(head.stream);
                self.flows.remove(&head.stream)?;
                Some(Heard::Reset { stream: head.stream, code })
            }
            kind::GOAWAY => {
                let (last, code) = frame::read_go_away(payload).expect("a last stream");
                Some(Heard::GoAway { last, code })
            }
            kind::SETTINGS => {
                self.take_settings(head, payload);
                None
            }
            kind::WINDOW_UPDATE => {
                let more = i64::from(frame::only_number(payload).expect("an increment"));
                assert!(more > 0, "{head:?}");
                let window = if head.stream == 0 {
                    Some(&mut self.send)
                } else {
                    self.assert_begun(head.stream);
                    self.flows.get_mut(&head.stream).map(|flow| &mut flow.send)
                };
                if let Some(window) = window {
                    *window += more;
                    assert!(*window <= WINDOW_MAX, "{head:?}");
                }
                None
            }
            kind::PING => {
                let payload = *payload.first_chunk::<8>().expect("eight bytes");
                frame::write_ping(payload, flag::ACK, &mut self.out);
                None
            }
            other => panic!("a frame of kind {other}: {head:?}"),
        }
    }

    fn assert_begun(&self, stream: StreamId) {
        let is_begun = if self.is_client { stream < self.next } else { stream <= self.last };
        assert!(stream % 2 == 1 && is_begun, "nobody has begun stream {stream}");
    }

    fn take_block(&mut self, head: FrameHead, payload: &[u8]) -> Option<Heard> {
        assert!(!head.has(flag::PADDED) && !head.has(flag::PRIORITY), "{head:?}");
        let ends = head.has(flag::END_STREAM) && head.kind == kind::HEADERS;
        let (stream, ends, mut block) =
            self.block.take().unwrap_or_else(|| (head.stream, ends, Vec::new()));
        block.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            self.block = Some((stream, ends, block));
            return None;
        }
        let fields = self.decode(&block);
        if !self.is_client && stream > self.last {
            assert_eq!(stream % 2, 1);
            self.last = stream;
            let (send, receive) = (self.peer_window, self.known_window);
            self.flows.insert(stream, Flow { send, receive, ..Flow::default() });
        }
        self.assert_begun(stream);
        let Some(flow) = self.flows.get_mut(&stream) else {
            assert!(self.given_up.contains(&stream), "a head behind the end of {stream}");
            return None;
        };
        assert!(!flow.heard_end, "a head behind the end of {stream}");
        flow.heard_end = ends;
        self.forget_if_over(stream);
        Some(Heard::Head { stream, fields, ends })
    }

    fn decode(&mut self, block: &[u8]) -> Fields {
        let (mut cursor, mut text, mut fields) = (BlockCursor::default(), Vec::new(), Vec::new());
        while let Some(field) = self.decoder.next(block, &mut cursor, &mut text).expect("a block") {
            assert!(field.flaw.is_none(), "{field:?}");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            fields.push((text(field.name), text(field.value)));
        }
        fields
    }

    fn take_data(&mut self, head: FrameHead, payload: &[u8]) -> Option<Heard> {
        assert!(!head.has(flag::PADDED), "{head:?}");
        let (len, ends) = (count(payload.len()), head.has(flag::END_STREAM));
        self.assert_begun(head.stream);
        self.receive -= len;
        self.owed += len;
        assert!(self.receive >= 0, "more than the window of the connection: {head:?}");
        let Some(flow) = self.flows.get_mut(&head.stream) else {
            assert!(self.given_up.contains(&head.stream), "data behind the end: {head:?}");
            return None;
        };
        assert!(!flow.heard_end, "data behind the end: {head:?}");
        flow.receive -= len;
        flow.owed += len;
        assert!(len == 0 || flow.receive >= 0, "more than the window of the stream: {head:?}");
        flow.heard_end = ends;
        self.forget_if_over(head.stream);
        Some(Heard::Data { stream: head.stream, bytes: payload.to_vec(), ends })
    }

    fn take_settings(&mut self, head: FrameHead, payload: &[u8]) {
        if head.has(flag::ACK) {
            let change = self.own_window - self.known_window;
            self.known_window = self.own_window;
            self.flows.values_mut().for_each(|flow| flow.receive += change);
            return;
        }
        for (id, value) in frame::read_settings(payload) {
            match id {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.peer_window;
                    self.peer_window = i64::from(value);
                    self.flows.values_mut().for_each(|flow| flow.send += change);
                }
                setting::MAX_CONCURRENT_STREAMS => self.streams_max = value as usize,
                setting::ENABLE_CONNECT_PROTOCOL => self.takes_sockets = value == 1,
                setting::HEADER_TABLE_SIZE => self.encoder.set_max(value as usize),
                _ => {}
            }
        }
        frame::write_settings_ack(&mut self.out);
    }

    fn forget_if_over(&mut self, stream: StreamId) {
        self.flows.retain(|id, flow| *id != stream || !flow.heard_end || !flow.said_end);
    }

    /// Begins a stream.
    pub(super) fn begin(
        &mut self,
        fields: &[(String, String)],
        ends: bool,
        most: usize,
    ) -> StreamId {
        let stream = self.next;
        self.next += 2;
        let (send, receive) = (self.peer_window, self.known_window);
        self.flows.insert(stream, Flow { send, receive, ..Flow::default() });
        self.say_head(stream, fields, ends, most);
        stream
    }

    /// Sends a head, in frames of `most` bytes.
    pub(super) fn say_head(
        &mut self,
        stream: StreamId,
        fields: &[(String, String)],
        ends: bool,
        most: usize,
    ) {
        let Some(flow) = self.flows.get_mut(&stream) else { return };
        assert!(!flow.said_end, "a head behind our end");
        flow.said_end = ends;
        let at = frame::begin_block(&mut self.out);
        self.encoder.begin(&mut self.out);
        for (name, value) in fields {
            let name = (Name::of(name.as_bytes()), name.as_bytes());
            self.encoder.field(name, value.as_bytes(), Keep::of(name.0, name.1), &mut self.out);
        }
        let flags = if ends { flag::END_STREAM } else { 0 };
        frame::finish_block(at, stream, flags, most, &mut self.out);
        self.forget_if_over(stream);
    }

    /// A part of a body, behind which something follows: nothing but the end, or trailers.
    pub(super) fn say_body(&mut self, stream: StreamId, body: &[u8], end: Option<Fields>) {
        let Some(flow) = self.flows.get_mut(&stream) else { return };
        flow.body.extend_from_slice(body);
        flow.trailers = end;
    }

    /// Whether something waits to be said on a stream.
    pub(super) fn is_saying(&self, stream: StreamId) -> bool {
        let flow = self.flows.get(&stream);
        flow.is_some_and(|flow| !flow.body.is_empty() || flow.trailers.is_some())
    }

    /// Whether the other side takes another stream.
    pub(super) fn can_begin(&self) -> bool {
        self.flows.len() < self.streams_max
    }

    /// Whether no stream is open.
    pub(super) fn is_quiet(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whether a side has not ended a stream.
    pub(super) fn is_open(&self, stream: StreamId) -> bool {
        self.flows.contains_key(&stream)
    }

    /// Gives a stream up.
    pub(super) fn give_up(&mut self, stream: StreamId, code: ErrorCode) {
        if self.flows.remove(&stream).is_some() {
            self.given_up.insert(stream);
            frame::write_reset(stream, code, &mut self.out);
        }
    }

    pub(super) fn say_go_away(&mut self, last: StreamId, code: ErrorCode) {
        frame::write_go_away(last, code, "", &mut self.out);
    }

    /// A stream is forgotten, as the other side was told that nothing is done for it.
    pub(super) fn forget(&mut self, stream: StreamId) {
        if self.flows.remove(&stream).is_some() {
            self.given_up.insert(stream);
        }
    }

    /// Whether something was taken that is not given back.
    pub(super) const fn owes(&self) -> bool {
        self.owed > 0
    }

    /// Gives back what was taken, but for some streams.
    pub(super) fn give_back(&mut self, but_for: &[StreamId]) {
        let mut grant = |stream, owed: &mut i64, window: &mut i64| {
            let bytes = u32::try_from(std::mem::take(owed)).expect("bytes that were taken");
            if bytes > 0 {
                *window += i64::from(bytes);
                frame::write_window_update(stream, bytes, &mut self.out);
            }
        };
        grant(0, &mut self.owed, &mut self.receive);
        for (stream, flow) in &mut self.flows {
            if flow.heard_end || but_for.contains(stream) {
                continue;
            }
            if self.own_window == 0 && flow.receive <= 0 && flow.owed == 0 {
                flow.owed = GRANT;
            }
            grant(*stream, &mut flow.owed, &mut flow.receive);
        }
    }

    /// Writes what windows take of what waits, in parts of any size and a random order.
    pub(super) fn pump(&mut self, random: &mut Random, part: usize) {
        let is_saying = |flow: &Flow| !flow.body.is_empty() || flow.trailers.is_some();
        let mut ready: Vec<StreamId> =
            self.flows.iter().filter(|(_, flow)| is_saying(flow)).map(|(id, _)| *id).collect();
        random.shuffle(&mut ready);
        for stream in ready {
            if self.out.len() > AHEAD {
                return;
            }
            self.pump_one(stream, random, part);
        }
    }

    fn pump_one(&mut self, stream: StreamId, random: &mut Random, part: usize) {
        let Some(flow) = self.flows.get_mut(&stream) else { return };
        let window = usize::try_from(self.send.min(flow.send)).unwrap_or(0);
        let mut len = flow.body.len().min(window).min(1 + random.below(part)).min(FRAME_MAX / 2);
        let is_last = len == flow.body.len() && flow.trailers.is_some();
        if len == 0 && !is_last {
            return;
        }
        let trailers = if is_last { flow.trailers.take() } else { None };
        let ends = trailers.as_ref().is_some_and(Fields::is_empty);
        let body: Vec<u8> = flow.body.drain(..len).collect();
        if len > 0 || ends {
            // Padding, where the window has room for it.
            let padding = if random.chance(50) { random.below(20) } else { 0 };
            let is_padded = padding > 0 && len + 1 + padding <= window;
            let mut flags = if ends { flag::END_STREAM } else { 0 };
            if is_padded {
                flags |= flag::PADDED;
                len += 1 + padding;
            }
            FrameHead { len, kind: kind::DATA, flags, stream }.write(&mut self.out);
            if is_padded {
                self.out.push(u8::try_from(padding).expect("little"));
            }
            self.out.extend_from_slice(&body);
            self.out.resize(self.out.len() + if is_padded { padding } else { 0 }, 0);
            flow.send -= count(len);
            self.send -= count(len);
            flow.said_end = ends;
        }
        if let Some(trailers) = trailers.filter(|_| !ends) {
            self.say_head(stream, &trailers, true, FRAME_MAX);
        }
        self.forget_if_over(stream);
    }
}

fn count(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("few bytes")
}

/// The first of the fields of that name.
fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(own, _)| own == name);
    found.map_or("", |(_, value)| value)
}

/// The other fields: none of them is about the connection.
fn others(fields: &[(String, String)]) -> Fields {
    let is_of_connection = |name: &str| {
        matches!(name, "connection" | "transfer-encoding" | "keep-alive" | "upgrade" | "host")
    };
    let is_wrong = fields.iter().any(|(name, _)| is_of_connection(name));
    assert!(!is_wrong, "a field of the connection: {fields:?}");
    fields.iter().filter(|(name, _)| !name.starts_with(':')).cloned().collect()
}

/// The head of an answer, and its status.
pub(super) fn answer_head(fields: &[(String, String)]) -> (u16, Head) {
    let status = field(fields, ":status").parse().expect("a status");
    (status, Head::of(format!("HTTP/2 {status}"), others(fields)))
}

/// The head of a request, as HTTP/1.1 would have it.
pub(super) fn request_head(fields: &[(String, String)], ends: bool) -> Head {
    let (method, path) = (field(fields, ":method"), field(fields, ":path"));
    assert_eq!(field(fields, ":scheme"), "http");
    let mut all = others(fields);
    all.push(("host".to_owned(), field(fields, ":authority").to_owned()));
    let has_length = all.iter().any(|(name, _)| name == "content-length");
    if method == "CONNECT" {
        assert_eq!(field(fields, ":protocol"), "websocket");
        let is_of_http1 = |name: &str| matches!(name, "sec-websocket-key" | "sec-websocket-accept");
        assert!(!has_length && !ends && !all.iter().any(|(name, _)| is_of_http1(name)), "{all:?}");
        all.push(("upgrade".to_owned(), "websocket".to_owned()));
        return Head::of(format!("GET {path} HTTP/1.1"), all);
    }
    if !ends && !has_length {
        all.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
    }
    Head::of(format!("{method} {path} HTTP/1.1"), all)
}

/// Trailers.
pub(super) fn trailer_head(fields: Fields) -> Head {
    assert!(fields.iter().all(|(name, _)| !name.starts_with(':')), "{fields:?}");
    Head::of("x".to_owned(), fields)
}
