//! Compressed messages of WebSocket on any bytes: the same comes of them wherever they are cut, no
//! more than is allowed, and what was read is the same once it was compressed and read again.

use ringway::proto::websocket::deflate::{Codec, Context, Direction, InflateError, Level};

/// Bytes of a message.
const MAX: usize = 4096;
/// Set in the first byte of an input: the message comes behind another one, in one context.
const TAKEOVER: u8 = 0x20;
/// "Hello", as section 7.2.3 of RFC 7692 has it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const FRESH: Direction = Direction { context_takeover: false, window_bits: 15 };

fn read(codec: &mut Codec, settings: u8, parts: &[&[u8]]) -> Result<Vec<u8>, InflateError> {
    let parts = parts.iter().copied();
    let mut out = b"before".to_vec();
    let found = if settings & TAKEOVER == 0 {
        codec.inflate(parts, MAX, &mut out)
    } else {
        let kept = Direction { context_takeover: true, window_bits: 15 };
        let mut context = Context::new(FRESH, kept).expect("it is kept");
        let hello = context.inflate(codec, [HELLO], MAX, &mut Vec::new());
        assert_eq!(hello, Ok(()));
        context.inflate(codec, parts, MAX, &mut out)
    };
    assert!(out.starts_with(b"before") && out.len() <= 6 + MAX, "{} bytes", out.len());
    found.map(|()| out.split_off(6))
}

/// Compresses what was read, and reads it again.
fn check_message(codec: &mut Codec, settings: u8, message: &[u8]) {
    let levels = [Level::Fastest, Level::Fast, Level::Default, Level::Best];
    let level = levels[usize::from(settings & 3)];
    let window_bits = 8 + (settings >> 2 & 7);
    let mut sent = Vec::new();
    codec.deflate(message, window_bits, level, &mut sent);
    let mut fresh = Vec::new();
    Codec::new().deflate(message, window_bits, level, &mut fresh);
    assert_eq!(sent, fresh, "nothing of earlier messages is seen");
    assert_eq!(read(codec, 0, &[&sent]).as_deref(), Ok(message));

    let kept = Direction { context_takeover: true, window_bits };
    let mut sender = Context::new(kept, FRESH).expect("it is kept");
    let mut receiver = Context::new(FRESH, kept).expect("it is kept");
    for _ in 0..3 {
        let (mut sent, mut out) = (Vec::new(), Vec::new());
        sender.deflate(codec, message, level, &mut sent);
        receiver.inflate(codec, [&sent[..]], MAX, &mut out).expect("it was compressed here");
        assert_eq!(out, message);
    }
}

/// What comes of a compressed message behind a byte with settings: its bytes, or what is wrong.
pub(crate) fn inflate(input: &[u8]) -> Result<Vec<u8>, &'static str> {
    let Some((&settings, sent)) = input.split_first() else { return Ok(Vec::new()) };
    let mut codec = Codec::new();
    let whole = read(&mut codec, settings, &[sent]);
    for cut in (1..sent.len()).step_by(sent.len() / 24 + 1) {
        let (first, second) = sent.split_at(cut);
        assert_eq!(read(&mut codec, settings, &[first, &[], second]), whole, "cut at {cut}");
    }
    for len in [1, 7] {
        let parts: Vec<&[u8]> = sent.chunks(len).collect();
        assert_eq!(read(&mut codec, settings, &parts), whole, "in parts of {len}");
    }
    match whole {
        Ok(message) => {
            check_message(&mut codec, settings, &message);
            Ok(message)
        }
        Err(InflateError::TooLong) => Err("too_long"),
        Err(InflateError::Corrupt) => Err("corrupt"),
    }
}
