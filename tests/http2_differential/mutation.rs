//! Conversations that break rules, here and there.

use ringway::proto::http2::frame::{FRAME_LIMIT, STREAM_MAX, flag, kind, setting};
use ringway::ring::sim::Random;

use super::block::literals;
use super::conversation::{
    Frame, Speaker, client as valid_client, reframe, server as valid_server,
};

/// What a client says, with a few changes.
pub(crate) fn client(seed: u64) -> Vec<Frame> {
    mutate(valid_client(seed), seed, true)
}

/// The same of a server.
pub(crate) fn server(seed: u64, asked: u32) -> Vec<Frame> {
    mutate(valid_server(seed, asked), seed, false)
}

fn mutate(mut speaker: Speaker, seed: u64, is_client: bool) -> Vec<Frame> {
    let mut random = Random::new(!seed);
    for _ in 0..=random.below(3) {
        let at = random.below(speaker.frames.len());
        match random.below(10) {
            0 => drop(speaker.frames.remove(at)),
            1 => {
                let again = speaker.frames[at].clone();
                let to = at + random.below(speaker.frames.len() - at);
                speaker.frames.insert(to, again);
            }
            2 => {
                let other = random.below(speaker.frames.len());
                speaker.frames.swap(at, other);
            }
            3 => change_payload(&mut speaker.frames[at], &mut random),
            4 | 5 => change_head(&mut speaker.frames[at], &mut random),
            6 | 7 => {
                let odd = odd_frame(&mut random);
                speaker.frames.insert(at.max(1), odd);
            }
            _ => {
                // Streams that are there, and some that are not.
                let streams = if is_client { 30 } else { 8 };
                let stream = 1 + 2 * u32::try_from(random.below(streams)).expect("it is small");
                let fields =
                    if is_client { odd_request(&mut random) } else { odd_answer(&mut random) };
                let ends = if random.below(2) == 0 { flag::END_STREAM } else { 0 };
                let flags = flag::END_HEADERS | ends;
                let odd = Frame::new(kind::HEADERS, flags, stream, &literals(&fields));
                speaker.frames.insert(at.max(1), odd);
                if random.below(2) == 0 {
                    let body = Frame::new(kind::DATA, ends, stream, b"odd");
                    speaker.frames.insert(at.max(1) + 1, body);
                }
            }
        }
        if speaker.frames.is_empty() {
            break;
        }
    }
    let mut bytes = Vec::new();
    for frame in &speaker.frames {
        frame.write(&mut bytes);
    }
    reframe(&bytes)
}

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).expect("a byte")
}

fn change_payload(frame: &mut Frame, random: &mut Random) {
    if frame.payload.is_empty() {
        return frame.payload.push(byte(random));
    }
    let at = random.below(frame.payload.len());
    match random.below(4) {
        0 => frame.payload[at] ^= 1 << random.below(8),
        1 => frame.payload[at] = byte(random),
        2 => drop(frame.payload.remove(at)),
        _ => frame.payload.insert(at, byte(random)),
    }
    // As long as it is, or not.
    if random.below(4) > 0 {
        frame.head.len = frame.payload.len();
    }
}

fn change_head(frame: &mut Frame, random: &mut Random) {
    let head = &mut frame.head;
    match random.below(5) {
        0 => head.kind = u8::try_from(random.below(12)).expect("it is small"),
        1 => head.flags ^= 1 << random.below(8),
        2 => {
            let streams = [0, 1, 2, 3, 5, 7, 9, 101, STREAM_MAX];
            head.stream = streams[random.below(streams.len())];
        }
        3 => {
            let lens = [0, 1, 4, 5, 6, 8, 16_384, 16_385, FRAME_LIMIT];
            head.len = lens[random.below(lens.len())];
        }
        _ => head.len = (head.len + random.below(7)).saturating_sub(3).min(FRAME_LIMIT),
    }
}

/// A frame that is hardly in order anywhere.
fn odd_frame(random: &mut Random) -> Frame {
    let stream = u32::try_from(random.below(12)).expect("it is small");
    let setting = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    match random.below(19) {
        0 => Frame::new(kind::WINDOW_UPDATE, 0, stream, &[0; 4]),
        1 => Frame::new(kind::WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        2 => Frame::new(kind::WINDOW_UPDATE, 0, stream, &[0, 1, 0]),
        3 => Frame::new(kind::PING, 0, stream, &[7; 8]),
        4 => Frame::new(kind::PING, 0, 0, &[7; 7]),
        5 => Frame::new(kind::SETTINGS, 0, 0, &setting(setting::ENABLE_PUSH, 2)),
        6 => {
            let size = (1 << 31) - u32::try_from(random.below(2)).expect("it is small");
            let size = setting(setting::INITIAL_WINDOW_SIZE, size);
            Frame::new(kind::SETTINGS, 0, 0, &size)
        }
        7 => Frame::new(kind::SETTINGS, 0, 0, &setting(setting::MAX_FRAME_SIZE, 16_383)),
        8 => {
            let value = u32::try_from(random.below(3)).expect("it is small");
            let connects = setting(setting::ENABLE_CONNECT_PROTOCOL, value);
            Frame::new(kind::SETTINGS, 0, 0, &connects)
        }
        9 => Frame::new(kind::SETTINGS, 0, stream, &setting(setting::ENABLE_PUSH, 0)),
        10 => Frame::new(kind::SETTINGS, flag::ACK, 0, &[0; 6]),
        11 => Frame::new(kind::SETTINGS, flag::ACK, 0, &[]),
        12 => Frame::new(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        13 => Frame::new(kind::PUSH_PROMISE, flag::END_HEADERS, stream, &[0, 0, 0, 2, 0x82]),
        14 => Frame::new(kind::CONTINUATION, flag::END_HEADERS, stream, &[0x82]),
        15 => Frame::new(kind::GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0, b'b', b'y', b'e']),
        16 => {
            let data = vec![b'd'; 1 + random.below(16_384)];
            Frame::new(kind::DATA, flag::END_STREAM, stream, &data)
        }
        17 => {
            let on = [&stream.to_be_bytes()[..], &[7]].concat();
            Frame::new(kind::PRIORITY, 0, stream, &on)
        }
        _ => {
            let kinds = [kind::PRIORITY, kind::PRIORITY_UPDATE];
            let mut payload = stream.to_be_bytes().to_vec();
            payload.extend(vec![1; random.below(3)]);
            Frame::new(kinds[random.below(2)], 0, stream, &payload)
        }
    }
}

/// Fields that are no request in order.
fn odd_request(random: &mut Random) -> Vec<(&'static str, &'static str)> {
    let mut fields =
        vec![(":method", "POST"), (":scheme", "http"), (":path", "/odd"), (":authority", "a")];
    let odd = [
        ("connection", "close"),
        ("keep-alive", "5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("te", "trailers"),
        ("te", "Trailers"),
        ("Upper", "case"),
        ("x y", "space"),
        ("", "no name"),
        ("x:y", "colon"),
        ("x-nul", "a\0b"),
        ("x-line", "a\r\nb: c"),
        ("x-space", " a "),
        ("content-length", "5"),
        ("content-length", "05"),
        ("content-length", "x"),
        ("content-length", "18446744073709551616"),
        ("host", "a"),
        ("host", "b"),
        ("host", ""),
        ("expect", "100-continue"),
        ("expect", "more"),
        (":method", "GET"),
        (":status", "200"),
        (":protocol", "websocket"),
        (":unknown", "x"),
        (":path", "/again"),
        (":authority", "b"),
    ];
    let odd_values =
        ["", "*", "x", "/a b", "//", "http://b/", "/%zz", "/a/../b", "a@b", "/odd?a=\"<b>\""];
    for _ in 0..=random.below(2) {
        let at = random.below(fields.len() + 1);
        match random.below(4) {
            0 => drop(fields.remove(at.min(fields.len() - 1))),
            1 => {
                let at = at.min(fields.len() - 1);
                fields[at].1 = odd_values[random.below(odd_values.len())];
            }
            _ => fields.insert(at, odd[random.below(odd.len())]),
        }
        if fields.is_empty() {
            break;
        }
    }
    fields
}

/// Fields that are no answer in order.
fn odd_answer(random: &mut Random) -> Vec<(&'static str, &'static str)> {
    let mut fields = vec![(":status", "200"), ("x-a", "one")];
    let odd = [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
        ("Upper", "case"),
        ("x y", "space"),
        ("x-nul", "a\0b"),
        ("x-space", " a "),
        ("content-length", "5"),
        ("content-length", "x"),
        (":status", "201"),
        (":method", "GET"),
        (":unknown", "x"),
    ];
    match random.below(5) {
        0 => drop(fields.remove(random.below(2))),
        2 => fields = vec![(":status", "100"), ("content-length", "5")],
        1 => {
            let statuses =
                ["", "20", "2000", "abc", "099", "100", "101", "600", "199", "204", "304"];
            fields[0].1 = statuses[random.below(statuses.len())];
        }
        _ => {
            let at = random.below(3);
            fields.insert(at, odd[random.below(odd.len())]);
        }
    }
    fields
}
