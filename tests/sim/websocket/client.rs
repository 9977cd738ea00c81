//! A connection with its sockets: one by HTTP/1.1, several by HTTP/2.

use ringway::proto::http2::hpack::{BlockCursor, Decoder};
use ringway::ring::sim::{PeerId, Random, Sim};

use super::Plan;
use super::model::Model;
use super::wire;

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const WINDOW: i64 = 65_535;

/// Kinds of frames of HTTP/2, and their flags.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RESET: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const ACK: u8 = 1;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
}

/// A stream of HTTP/2.
#[derive(Debug)]
struct Stream {
    model: Model,
    window: i64,
    is_asked: bool,
    /// Our side has ended.
    has_ended: bool,
}

#[derive(Debug)]
enum By {
    Http1(Box<Model>),
    Http2 { streams: Vec<Stream>, window: i64, first_window: i64, offers: bool, decoder: Decoder },
}

#[derive(Debug)]
pub(super) struct Client {
    peer: PeerId,
    by: By,
    to_send: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    done: bool,
}

impl Client {
    pub(super) fn new(
        peer: PeerId,
        plan: &Plan,
        publisher: &mut usize,
        random: &mut Random,
    ) -> Self {
        let offers = random.chance(700);
        let mut to_send = Vec::new();
        let by = if random.chance(500) {
            let model = Model::new(plan, publisher, random);
            let offer = if offers {
                format!("Sec-WebSocket-Extensions: {OFFER}\r\n")
            } else {
                String::new()
            };
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 {offer}\r\n",
                model.path()
            );
            to_send.extend_from_slice(request.as_bytes());
            By::Http1(Box::new(model))
        } else {
            to_send.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            // Windows in which all that comes has room; no table of fields.
            let settings = [0, 1, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff];
            wire::http2(kind::SETTINGS, 0, 0, &settings, &mut to_send);
            let more = (1_u32 << 30).to_be_bytes();
            wire::http2(kind::WINDOW_UPDATE, 0, 0, &more, &mut to_send);
            let streams = (0..1 + random.below(4))
                .map(|_| {
                    let model = Model::new(plan, publisher, random);
                    Stream { model, window: WINDOW, is_asked: false, has_ended: false }
                })
                .collect();
            let decoder = Decoder::default();
            By::Http2 { streams, window: WINDOW, first_window: WINDOW, offers, decoder }
        };
        Self { peer, by, to_send, sent: 0, input: Vec::new(), done: false }
    }

    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.by, By::Http2 { .. })
    }

    pub(super) fn models(&self) -> Box<dyn Iterator<Item = &Model> + '_> {
        match &self.by {
            By::Http1(model) => Box::new(std::iter::once(&**model)),
            By::Http2 { streams, .. } => Box::new(streams.iter().map(|stream| &stream.model)),
        }
    }

    pub(super) fn play(&mut self, sim: &mut Sim, random: &mut Random, plan: &Plan) {
        if self.done {
            return;
        }
        if random.chance(plan.reads) {
            self.input.extend(sim.peer_read(self.peer, 1 + random.below(plan.capacity)));
        }
        if sim.peer_was_reset(self.peer) {
            self.done = true;
            return;
        }
        let is_patient = plan.queue_max > 100;
        let is_over = match &mut self.by {
            By::Http1(model) => {
                take_answer(&mut self.input, model);
                let is_over = model.proceed(is_patient);
                self.to_send.append(&mut model.out);
                is_over
            }
            By::Http2 { .. } => self.proceed_streams(random, is_patient),
        };
        let end = self.to_send.len().min(self.sent + 1 + random.below(2_000));
        self.sent += sim.peer_write(self.peer, &self.to_send[self.sent..end]);
        if random.chance(plan.resets) {
            sim.peer_reset(self.peer);
            self.done = true;
        } else if sim.peer_at_end(self.peer) || is_over && self.sent == self.to_send.len() {
            sim.peer_finish(self.peer);
            self.done = true;
        }
    }

    fn proceed_streams(&mut self, random: &mut Random, is_patient: bool) -> bool {
        while let Some(frame) = wire::take_http2(&mut self.input) {
            self.take_frame(frame);
        }
        let By::Http2 { streams, window, offers, .. } = &mut self.by else { return false };
        for (place, stream) in streams.iter_mut().enumerate() {
            let id = id_of(place);
            if !stream.is_asked {
                stream.is_asked = true;
                let block = ask(stream.model.path(), *offers);
                wire::http2(kind::HEADERS, kind::END_HEADERS, id, &block, &mut self.to_send);
            }
            if stream.model.is_over || stream.has_ended {
                continue;
            }
            if stream.model.proceed(is_patient) && stream.model.out.is_empty() {
                stream.has_ended = true;
                if random.chance(500) {
                    wire::http2(kind::DATA, kind::END_STREAM, id, b"", &mut self.to_send);
                } else {
                    stream.model.is_over = true;
                    wire::http2(kind::RESET, 0, id, &[0, 0, 0, 8], &mut self.to_send);
                }
                continue;
            }
            let most = (*window).min(stream.window).max(0);
            let most = usize::try_from(most).expect("it is small").min(1 + random.below(9_000));
            let count = stream.model.out.len().min(most);
            if count > 0 {
                let part: Vec<u8> = stream.model.out.drain(..count).collect();
                wire::http2(kind::DATA, 0, id, &part, &mut self.to_send);
                *window -= count as i64;
                stream.window -= count as i64;
            }
        }
        streams.iter().all(|stream| stream.model.is_over)
    }

    fn take_frame(&mut self, frame: wire::Http2Frame) {
        let By::Http2 { streams, window, first_window, decoder, .. } = &mut self.by else {
            return;
        };
        let place = (frame.stream / 2) as usize;
        let number = || frame.payload.first_chunk().map_or(0, |four| u32::from_be_bytes(*four));
        match frame.kind {
            kind::SETTINGS if frame.flags & kind::ACK == 0 => {
                for setting in frame.payload.chunks_exact(6) {
                    if setting[..2] == [0, 4] {
                        let value =
                            u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                        let change = i64::from(value) - *first_window;
                        *first_window += change;
                        streams.iter_mut().for_each(|stream| stream.window += change);
                    }
                }
                wire::http2(kind::SETTINGS, kind::ACK, 0, b"", &mut self.to_send);
            }
            kind::PING if frame.flags & kind::ACK == 0 => {
                wire::http2(kind::PING, kind::ACK, 0, &frame.payload, &mut self.to_send);
            }
            kind::WINDOW_UPDATE if frame.stream == 0 => *window += i64::from(number()),
            kind::WINDOW_UPDATE => streams[place].window += i64::from(number()),
            kind::GOAWAY => {
                // Streams behind the last one are not answered.
                for (place, stream) in streams.iter_mut().enumerate() {
                    stream.model.is_over |= id_of(place) > number();
                }
            }
            kind::RESET => {
                let stream = &mut streams[place];
                stream.model.is_over = true;
            }
            kind::HEADERS | kind::DATA => {
                let stream = &mut streams[place];
                if frame.kind == kind::DATA {
                    if stream.model.is_open {
                        stream.model.input.extend_from_slice(&frame.payload);
                    }
                } else if let (200, extension) = answer_of(decoder, &frame.payload) {
                    stream.model.open(extension.as_deref());
                }
                if frame.flags & kind::END_STREAM != 0 {
                    stream.model.proceed(true);
                    stream.model.is_over = true;
                    if !stream.has_ended {
                        stream.has_ended = true;
                        let id = frame.stream;
                        wire::http2(kind::DATA, kind::END_STREAM, id, b"", &mut self.to_send);
                    }
                }
            }
            _ => {}
        }
    }
}

fn id_of(place: usize) -> u32 {
    u32::try_from(2 * place + 1).expect("there are few")
}

/// The head of a request for a socket.
fn ask(path: &str, offers: bool) -> Vec<u8> {
    let mut block = Vec::new();
    wire::field(":method", "CONNECT", &mut block);
    wire::field(":protocol", "websocket", &mut block);
    wire::field(":scheme", "http", &mut block);
    wire::field(":path", path, &mut block);
    wire::field(":authority", "a", &mut block);
    wire::field("sec-websocket-version", "13", &mut block);
    if offers {
        wire::field("sec-websocket-extensions", OFFER, &mut block);
    }
    block
}

/// The status of an answer, and the extension that was agreed on.
fn answer_of(decoder: &mut Decoder, block: &[u8]) -> (u16, Option<String>) {
    let (mut cursor, mut text) = (BlockCursor::default(), Vec::new());
    let (mut status, mut extension) = (0, None);
    while let Some(field) = decoder.next(block, &mut cursor, &mut text).expect("a valid block") {
        let value = String::from_utf8_lossy(field.value).into_owned();
        match field.name {
            b":status" => status = value.parse().expect("a status"),
            b"sec-websocket-extensions" => extension = Some(value),
            _ => {}
        }
    }
    (status, extension)
}

/// By HTTP/1.1: takes the answer to the handshake, and then all that comes.
fn take_answer(input: &mut Vec<u8>, model: &mut Model) {
    if !model.is_open {
        let end = input.windows(4).position(|part| part == b"\r\n\r\n");
        let Some(end) = end.filter(|_| input.starts_with(b"HTTP/1.1 101 ")) else { return };
        let head: Vec<u8> = input.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("a head").to_ascii_lowercase();
        let extension = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-extensions: ").map(str::to_owned));
        model.open(extension.as_deref());
    }
    model.input.append(input);
}
