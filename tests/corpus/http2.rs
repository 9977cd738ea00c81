//! Both ends of HTTP/2, and header compression, on any bytes: they never panic, keep no more than
//! they may, and say the same however the bytes come.

use std::collections::BTreeMap;
use std::time::Instant;

use ringway::mem::{Buf, FreeList};
use ringway::proto::http::{BodySize, RequestHead, ResponseHead};
use ringway::proto::http2::hpack::{BlockCursor, Decoder, Encoder, Keep};
use ringway::proto::http2::{
    Client, ClientEvent, Growth, Limits, RequestLine, Server, ServerEvent, Workspace,
};
use ringway::runtime::clock;

/// Bytes of a request's body at most.
const BODY_MAX: u64 = 64 * 1024;
/// Requests that the client has sent.
const ASKED: u32 = 4;

/// What one end was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Heads and resets, in their order.
    pub(crate) words: Vec<String>,
    /// Bodies by stream.
    pub(crate) bodies: BTreeMap<u32, Vec<u8>>,
    /// The rule that cost the connection.
    pub(crate) failed: Option<&'static str>,
}

/// Bytes that an end may keep of what it was sent: a frame or a block, and bodies within windows.
const KEPT_MAX: usize = 512 * 1024;

/// The parts of an input that is cut.
fn parts(input: &[u8], cut: usize) -> [&[u8]; 2] {
    let (first, second) = input.split_at(cut.min(input.len()));
    [first, second]
}

/// Checks that nothing depends on where an input is cut.
fn same_everywhere(input: &[u8], hear: impl Fn(&[&[u8]]) -> Heard) -> Heard {
    let whole = hear(&[input]);
    let step = input.len() / 16 + 1;
    for cut in (1..input.len()).step_by(step) {
        let cut_up = hear(&parts(input, cut));
        assert_eq!(cut_up, whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = input.chunks(7).collect();
    assert_eq!(hear(&single), whole, "in pieces of seven bytes");
    whole
}

/// A server hears an input behind the preface, answers each request and sends bodies back.
pub(crate) fn http2_server(input: &[u8]) -> Heard {
    let now = clock::now();
    same_everywhere(input, |parts| serve(parts, now))
}

fn serve(parts: &[&[u8]], now: Instant) -> Heard {
    let limits = Limits::default();
    let mut server = Server::new(&limits);
    let (mut space, mut spare) = (Workspace::default(), FreeList::<RequestHead>::new(4, 65_536));
    let (mut heard, mut out) = (Heard::default(), Vec::new());
    server.receive(Buf::copy_of(ringway::proto::http2::PREFACE));
    for part in parts {
        server.receive(Buf::copy_of(part));
        loop {
            match server.poll(now, &limits, &mut space, &mut spare) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    take(&mut server, event, &mut heard, &mut space, &mut out);
                }
                Err(violation) => {
                    heard.failed = Some(violation.name());
                    server.fail(violation);
                }
            }
        }
        server.hold();
        assert!(server.cost() <= KEPT_MAX, "{} bytes are kept", server.cost());
        assert!(server.streams() <= limits.streams as usize);
    }
    // What has gone out by then would decide what the rest means.
    let growth = Growth { most: limits.window, is_allowed: true };
    server.transmit(1 << 20, (now, growth), &mut space, &mut out);
    heard
}

fn take(
    server: &mut Server,
    event: ServerEvent,
    heard: &mut Heard,
    space: &mut Workspace,
    out: &mut Vec<u8>,
) {
    match event {
        ServerEvent::Request(id, head, meta) => {
            heard.words.push(format!("{id} {head:?} {meta:?}"));
            let is_long = server.begin_body(id, &meta, BODY_MAX).is_err();
            let answer =
                ResponseHead { status: if is_long { 413 } else { 200 }, ..ResponseHead::default() };
            server.send_head(id, &answer, None, true, out);
            if is_long {
                server.end_answer(id, space);
            }
            echo(server, id, heard, space);
        }
        ServerEvent::Refused(id, refusal, _) => {
            heard.words.push(format!("{id} {}", refusal.name()));
            let status = refusal.status();
            let answer = ResponseHead { status, ..ResponseHead::default() };
            server.send_head(id, &answer, None, false, out);
            server.end_answer(id, space);
        }
        ServerEvent::Body(id) => echo(server, id, heard, space),
        ServerEvent::Reset(id, code) => {
            heard.bodies.remove(&id);
            heard.words.push(format!("{id} reset {}", code.name()));
        }
        ServerEvent::Violated(id, violation) => {
            // How much of it had come before depends on where it was cut.
            heard.bodies.remove(&id);
            heard.words.push(format!("{id} {}", violation.name()));
        }
        ServerEvent::TooMany(id) => heard.words.push(format!("{id} too many")),
        ServerEvent::Opened(_) => {}
    }
}

fn echo(server: &mut Server, id: u32, heard: &mut Heard, space: &mut Workspace) {
    loop {
        match server.next_of_body(id) {
            Ok(Some(part)) => {
                heard.bodies.entry(id).or_default().extend_from_slice(&part);
                server.send_part(id, part);
            }
            Ok(None) => break,
            Err(_) => {
                server.reset(id, ringway::proto::http2::ErrorCode::CANCEL, space);
                return;
            }
        }
    }
    if server.is_body_read(id) && server.streams() > 0 {
        let trailers = server.take_trailers_of(id);
        server.send_end(id, trailers.as_deref());
        server.end_answer(id, space);
    }
}

/// A client that has asked four times hears an input.
pub(crate) fn http2_client(input: &[u8]) -> Heard {
    let now = clock::now();
    same_everywhere(input, |parts| ask(parts, now))
}

fn ask(parts: &[&[u8]], now: Instant) -> Heard {
    let limits = Limits::default();
    let mut client = Client::new(&limits);
    let (mut space, mut spare) = (Workspace::default(), FreeList::<ResponseHead>::new(4, 65_536));
    let (mut heard, mut out) = (Heard::default(), Vec::new());
    for number in 0..ASKED {
        let mut head = RequestHead::default();
        head.set_method(if number == 1 { b"HEAD" } else { b"POST" });
        let size = if number == 3 { BodySize::Unknown } else { BodySize::None };
        let line = RequestLine {
            head: &head,
            path: "/",
            authority: "a",
            scheme: "http",
            length: None,
            websocket: false,
        };
        let id = client.open(&line, size == BodySize::None, &mut space, &mut out);
        client.send_part(id, Buf::copy_of(&[b'x'; 100_000]));
    }
    for part in parts {
        client.receive(Buf::copy_of(part));
        loop {
            let event = match client.poll(now, &limits, &mut space, &mut spare) {
                Ok(None) => break,
                Ok(Some(event)) => event,
                Err(violation) => {
                    heard.failed = Some(violation.name());
                    client.fail(violation);
                    continue;
                }
            };
            let (word, id) = match event {
                ClientEvent::Interim(id, head) => (format!("{id} {head:?}"), id),
                ClientEvent::Head(id, head, length) => (format!("{id} {head:?} {length:?}"), id),
                ClientEvent::Body(id) => (String::new(), id),
                // How much of a body had come before depends on where it was cut.
                ClientEvent::Reset(id, code) => {
                    heard.bodies.remove(&id);
                    (format!("{id} reset {}", code.name()), id)
                }
                ClientEvent::Violated(id, rule) => {
                    heard.bodies.remove(&id);
                    (format!("{id} {}", rule.name()), id)
                }
                ClientEvent::GoAway(last, code, _) => (format!("goaway {last} {}", code.name()), 0),
                ClientEvent::Opened(_) => continue,
            };
            if !word.is_empty() {
                heard.words.push(word);
            }
            while let Some(part) = client.next_of_body(id) {
                heard.bodies.entry(id).or_default().extend_from_slice(&part);
            }
            if client.is_body_read(id) {
                let trailers = client.take_trailers_of(id);
                heard.words.push(format!("{id} ends {trailers:?}"));
                client.end(id, &mut space);
            }
        }
        client.hold();
        let most = KEPT_MAX + 100_000 * ASKED as usize;
        assert!(client.cost() <= most, "{} bytes are kept", client.cost());
    }
    let growth = Growth { most: limits.window, is_allowed: true };
    client.transmit(1 << 20, (now, growth), &mut space, &mut out);
    heard
}

/// Decodes an input as one block, and what was read once more after it was encoded; false when it
/// cannot be decoded.
pub(crate) fn hpack(input: &[u8]) -> bool {
    let mut decoder = Decoder::default();
    let (mut cursor, mut text) = (BlockCursor::default(), Vec::new());
    let mut fields = Vec::new();
    loop {
        match decoder.next(input, &mut cursor, &mut text) {
            Ok(None) => break,
            Ok(Some(field)) => {
                let keep = if field.never_indexed { Keep::Never } else { Keep::Table };
                fields.push((field.name.to_vec(), field.value.to_vec(), field.kind, keep));
            }
            Err(_) => return false,
        }
    }
    let mut encoder = Encoder::default();
    let mut other = Decoder::default();
    for _ in 0..2 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value, kind, keep) in &fields {
            encoder.field((*kind, name), value, *keep, &mut block);
        }
        let (mut cursor, mut read) = (BlockCursor::default(), 0);
        while let Some(field) = other.next(&block, &mut cursor, &mut text).expect("it is ours") {
            let (name, value, kind, keep) = &fields[read];
            assert_eq!((field.name, field.value, field.kind), (&**name, &**value, *kind));
            assert_eq!(field.never_indexed, *keep == Keep::Never);
            read += 1;
        }
        assert_eq!(read, fields.len());
    }
    assert!(decoder.capacity() <= 32 * 1024 && encoder.capacity() <= 32 * 1024);
    true
}
