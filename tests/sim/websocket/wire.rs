//! Frames of WebSocket and of HTTP/2, as a client writes and reads them.

use ringway::ring::sim::Random;

/// A frame of the server.
#[derive(Debug)]
pub(super) enum Came {
    Data { opcode: u8, fin: bool, packed: bool, payload: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

/// Appends a frame.
pub(super) fn frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ 0..=125), _) => out.push(0x80 | len),
        (_, Ok(len)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    let key = [0x1d, 0xc3, 0x5a, out.len().to_le_bytes()[0]];
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Appends a message, in as many frames as it comes, with control frames between them.
pub(super) fn message(
    (opcode, packed): (u8, bool),
    payload: &[u8],
    random: &mut Random,
    out: &mut Vec<u8>,
) {
    let mut first = opcode | if packed { 0x40 } else { 0 };
    let mut rest = payload;
    while random.chance(300) {
        let (part, later) = rest.split_at(random.below(rest.len() + 1));
        frame(first, part, out);
        (first, rest) = (0, later);
        if random.chance(300) {
            frame(0x89, b"sim", out);
        }
    }
    frame(first | 0x80, rest, out);
}

/// Takes a whole frame.
pub(super) fn take(input: &mut Vec<u8>) -> Option<Came> {
    let [first, short, rest @ ..] = &**input else { return None };
    let (len, rest) = match short {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = usize::from(u16::from_be_bytes(*len));
            assert!(len > 125, "the shortest form");
            (len, rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = usize::try_from(u64::from_be_bytes(*len)).expect("it fits");
            assert!(len > 65_535, "the shortest form");
            (len, rest)
        }
        short => (usize::from(*short), rest),
    };
    let payload = rest.get(..len)?.to_vec();
    let head = input.len() - rest.len();
    let (first, fin) = (*first, first & 0x80 != 0);
    input.drain(..head + len);
    assert_eq!(first & 0x30, 0, "RSV2 and RSV3");
    Some(match first & 0x0f {
        opcode @ 0..=2 => Came::Data { opcode, fin, packed: first & 0x40 != 0, payload },
        control => {
            assert!(fin && first & 0x40 == 0 && len <= 125, "a control frame");
            match control {
                8 => Came::Close(payload),
                9 => Came::Ping(payload),
                10 => Came::Pong(payload),
                other => panic!("opcode {other}"),
            }
        }
    })
}

/// A frame of HTTP/2.
#[derive(Debug)]
pub(super) struct Http2Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// Appends one.
pub(super) fn http2(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    out.extend_from_slice(&len[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Takes a whole one.
pub(super) fn take_http2(input: &mut Vec<u8>) -> Option<Http2Frame> {
    let head: [u8; 9] = *input.first_chunk()?;
    let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let payload = input.get(9..9 + len)?.to_vec();
    input.drain(..9 + len);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Http2Frame { kind: head[3], flags: head[4], stream, payload })
}

/// A field that no table keeps, with a name of its own.
pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(0);
    for text in [name, value] {
        let len = u8::try_from(text.len()).expect("it is short");
        assert!(len < 127);
        out.push(len);
        out.extend_from_slice(text.as_bytes());
    }
}
