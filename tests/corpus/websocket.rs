//! Frames of WebSocket on any bytes: both roles never panic, keep no more than a control frame, and
//! read the same wherever the bytes are cut.

use ringway::proto::websocket::{FrameHead, HEAD_MAX, Item, Kind, Limits, Reader, Role, Violation};

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Messages and control frames, in their order.
    pub(crate) words: Vec<(&'static str, Vec<u8>)>,
    /// The rule that was broken.
    pub(crate) failed: Option<Violation>,
}

/// Reads an input. Its first byte says how: bit 0 is the client's role, bit 1 that messages may be
/// compressed, bit 2 small limits.
pub(crate) fn frames(input: &[u8]) -> Read {
    let Some((&how, input)) = input.split_first() else { return Read::default() };
    let role = if how & 1 == 0 { Role::Server } else { Role::Client };
    let (frame, message) = if how & 4 == 0 { (u64::MAX, u64::MAX) } else { (100, 150) };
    let limits = Limits { frame, message, deflate: how & 2 != 0 };
    let whole = read(role, &limits, &[input]);
    let step = input.len() / 16 + 1;
    for cut in (1..input.len()).step_by(step) {
        let (first, second) = input.split_at(cut);
        assert_eq!(read(role, &limits, &[first, second]), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(read(role, &limits, &single), whole, "byte by byte");
    whole
}

fn read(role: Role, limits: &Limits, parts: &[&[u8]]) -> Read {
    let mut reader = Reader::new(role);
    let (mut told, mut message) = (Read::default(), Vec::new());
    for part in parts {
        let mut bytes = part.to_vec();
        let mut at = 0;
        while at < bytes.len() {
            let (count, item) = match reader.read(&mut bytes[at..], limits) {
                Ok(read) => read,
                Err(violation) => {
                    told.failed = Some(violation);
                    return told;
                }
            };
            assert!(count > 0 || item.is_some(), "it goes on");
            if let Some(item) = item {
                take(item, &bytes[at..], limits, &mut message, &mut told);
            }
            at += count;
            assert!(at <= bytes.len());
        }
    }
    told
}

fn take(item: Item, input: &[u8], limits: &Limits, message: &mut Vec<u8>, told: &mut Read) {
    let mut say = |word, bytes: &[u8]| told.words.push((word, bytes.to_vec()));
    match item {
        Item::Ping(one) => say("ping", one.bytes()),
        Item::Pong(one) => say("pong", one.bytes()),
        Item::Close(code, one) => {
            assert!(code.is_valid() || one.bytes().is_empty());
            say("close", one.bytes());
        }
        Item::Part(part) => {
            assert_eq!(part.first, part.first && message.is_empty());
            assert!(part.head <= part.payload.start && part.head <= HEAD_MAX);
            if part.head > 0 {
                check_head(&input[part.payload.start - part.head..], part.head);
            }
            message.extend_from_slice(&input[part.payload]);
            let len = message.len() as u64;
            assert!(part.compressed || len <= limits.message, "{len} bytes of a message");
            if part.last {
                assert_eq!(part.left, 0);
                let is_text = std::str::from_utf8(message).is_ok();
                match part.kind {
                    Kind::Text => assert!(part.compressed || is_text),
                    Kind::Binary => {}
                }
                say(if part.compressed { "compressed" } else { "message" }, message);
                message.clear();
            }
        }
    }
}

/// A head that was read is written as it was.
fn check_head(bytes: &[u8], len: usize) {
    let (head, size) = FrameHead::read(bytes).ok().flatten().expect("it was read");
    assert_eq!((size, head.size()), (len, len));
    let mut out = [0; HEAD_MAX];
    let written = head.write(&mut out);
    assert_eq!(&bytes[..len], &out[..written]);
}
