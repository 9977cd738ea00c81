//! Sections 1 to 5 and 7: frames, control frames, reserved bits, opcodes, fragments, closes.

use ringway::proto::websocket::Kind;

use crate::machine::{
    Case, Frame, Out, back, binary, bytes, close, echo, fail, hex, next, ping, pong, text,
};

type Take<'a> = &'a mut dyn FnMut(Case);

pub(crate) fn each(take: Take<'_>) {
    lengths(take);
    pings(take);
    reserved(take);
    opcodes(take);
    fragments(take);
    closes(take);
    close_codes(take);
}

fn hello() -> (Frame, Out) {
    (text("Hello, world!"), Out::Text(b"Hello, world!".to_vec()))
}

fn repeated(name: String, case: Case, chop: usize) -> Case {
    Case { name, chop, ..case }
}

fn lengths(take: Take<'_>) {
    for (n, len) in [0, 125, 126, 127, 128, 65_535, 65_536, 65_536].into_iter().enumerate() {
        for (kind, byte) in [(Kind::Text, b'*'), (Kind::Binary, 0xfe)] {
            let section = if kind == Kind::Text { 1 } else { 2 };
            let payload = vec![byte; len];
            let frame = Frame::new(kind.opcode() as u8, &payload);
            let case = echo("", &[frame], vec![back(kind, &payload)]);
            let chop = if n == 7 { 997 } else { 0 };
            take(repeated(format!("1.{section}.{}", n + 1), case, chop));
        }
    }
}

fn pings(take: Take<'_>) {
    let odd = hex("00fffefdfcfb00ff");
    let long = vec![0xfe; 125];
    let payloads = [vec![], b"Hello, world!".to_vec(), odd, long.clone()];
    for (n, payload) in payloads.into_iter().enumerate() {
        take(echo(format!("2.{}", n + 1), &[ping(&payload)], vec![Out::Pong(payload)]));
    }
    take(fail("2.5", &[ping([0xfe; 126])], vec![], 1002));
    take(Case { chop: 1, ..echo("2.6", &[ping(&long)], vec![Out::Pong(long)]) });
    take(echo("2.7", &[pong("")], vec![]));
    take(echo("2.8", &[pong("unsolicited pong payload")], vec![]));
    let frames = [pong("unsolicited pong payload"), ping("ping payload")];
    take(echo("2.9", &frames, vec![Out::Pong(b"ping payload".to_vec())]));
    let payloads: Vec<String> = (0..10).map(|n| format!("payload-{n}")).collect();
    let frames: Vec<Frame> = payloads.iter().map(ping).collect();
    let pongs: Vec<Out> =
        payloads.iter().map(|payload| Out::Pong(payload.clone().into_bytes())).collect();
    take(echo("2.10", &frames, pongs.clone()));
    take(Case { chop: 1, ..echo("2.11", &frames, pongs) });
}

fn reserved(take: Take<'_>) {
    let (hello, echoed) = hello();
    take(fail("3.1", &[hello.clone().reserved(1)], vec![], 1002));
    for (name, bits) in [("3.2", 2), ("3.3", 3), ("3.4", 4)] {
        let frames = [hello.clone(), hello.clone().reserved(bits), ping("")];
        take(fail(name, &frames, vec![echoed.clone()], 1002));
    }
    take(fail("3.5", &[binary(hex("00fffefdfcfb00ff")).reserved(5)], vec![], 1002));
    take(fail("3.6", &[binary("Hello, world!").reserved(6)], vec![], 1002));
    take(fail("3.7", &[Frame::new(8, "").reserved(7)], vec![], 1002));
}

fn opcodes(take: Take<'_>) {
    let (hello, echoed) = hello();
    for (section, base) in [(1, 3), (2, 11)] {
        let name = |n: u8| format!("4.{section}.{n}");
        take(fail(name(1), &[Frame::new(base, "")], vec![], 1002));
        let payload = "reserved opcode payload";
        take(fail(name(2), &[Frame::new(base + 1, payload)], vec![], 1002));
        for (n, payload) in [(2, ""), (3, "Hello, world!"), (4, "Hello, world!")] {
            let frames = [hello.clone(), Frame::new(base + n, payload), ping("")];
            take(fail(name(n + 1), &frames, vec![echoed.clone()], 1002));
        }
    }
}

fn fragments(take: Take<'_>) {
    let joined = || vec![Out::Text(b"fragment1fragment2".to_vec())];
    let ponged = |payload: &str| Out::Pong(payload.as_bytes().to_vec());
    take(fail("5.1", &[ping("fragment1").more(), next("fragment2")], vec![], 1002));
    take(fail("5.2", &[pong("fragment1").more(), next("fragment2")], vec![], 1002));
    let start = || text("fragment1").more();
    // At once, a read for each frame, and by the byte: all splits are heard anyway.
    for (n, chop) in [0, 15, 1].into_iter().enumerate() {
        let name = |base: usize| format!("5.{}", base + n);
        let two = [start(), next("fragment2")];
        take(repeated(name(3), echo("", &two, joined()), chop));
        let three = [start(), ping("ping payload"), next("fragment2")];
        let out = [vec![ponged("ping payload")], joined()].concat();
        take(repeated(name(6), echo("", &three, out), chop));
        let stray = next("non-continuation payload");
        let hello = || text("Hello, world!");
        take(repeated(name(9), fail("", &[stray.clone(), hello()], vec![], 1002), chop));
        take(repeated(name(12), fail("", &[stray.more(), hello()], vec![], 1002), chop));
    }
    let frames = [start(), next("fragment2"), next("fragment3").more(), text("fragment4")];
    take(fail("5.15", &frames, joined(), 1002));
    let frames = [next("fragment1").more(), text("fragment2").more(), next("fragment3")];
    take(fail("5.16", &[frames.clone(), frames].concat(), vec![], 1002));
    let frames = [next("fragment1"), text("fragment2").more(), next("fragment3")];
    take(fail("5.17", &[frames.clone(), frames].concat(), vec![], 1002));
    take(fail("5.18", &[start(), text("fragment2").more()], vec![], 1002));
    let frames = [
        start(),
        next("fragment2").more(),
        ping("pongme 1!"),
        next("fragment3").more(),
        next("fragment4").more(),
        ping("pongme 2!"),
        next("fragment5"),
    ];
    let message = b"fragment1fragment2fragment3fragment4fragment5".to_vec();
    let out = vec![ponged("pongme 1!"), ponged("pongme 2!"), Out::Text(message)];
    take(echo("5.19", &frames, out.clone()));
    take(Case { chop: 15, ..echo("5.20", &frames, out) });
}

/// A conversation that the client ends, and what is answered.
fn ends(name: impl Into<String>, frames: &[Frame], expected: Vec<Out>) -> Case {
    Case { name: name.into(), sent: bytes(frames), expected, chop: 0 }
}

fn closes(take: Take<'_>) {
    let normal = || vec![Out::Close(Some(1000))];
    let hello = || text("Hello World!");
    let end = || close(1000, "");
    let echoed = Out::Text(b"Hello World!".to_vec());
    take(echo("7.1.1", &[hello()], vec![echoed.clone()]));
    take(ends("7.1.2", &[end(), Frame::new(8, "")], normal()));
    take(ends("7.1.3", &[end(), ping("")], normal()));
    take(ends("7.1.4", &[end(), hello()], normal()));
    take(ends("7.1.5", &[text("fragment1").more(), end(), next("fragment2")], normal()));
    let long: Vec<u8> = b"BAsd7&jh23".iter().copied().cycle().take(256 * 1024).collect();
    let out = vec![Out::Text(long.clone()), echoed, Out::Close(Some(1000))];
    take(ends("7.1.6", &[text(long), hello(), end(), ping("")], out));
    take(ends("7.3.1", &[Frame::new(8, "")], vec![Out::Close(None)]));
    take(fail("7.3.2", &[Frame::new(8, "a")], vec![], 1002));
    take(ends("7.3.3", &[end()], normal()));
    take(ends("7.3.4", &[close(1000, "Hello World!")], normal()));
    take(ends("7.3.5", &[close(1000, "*".repeat(123))], normal()));
    take(fail("7.3.6", &[close(1000, "*".repeat(124))], vec![], 1002));
    let reason = hex("cebae1bdb9cf83cebcceb5eda080656469746564");
    take(fail("7.5.1", &[close(1000, reason)], vec![], 1007));
}

fn close_codes(take: Take<'_>) {
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for (n, code) in valid.into_iter().enumerate() {
        let out = vec![Out::Close(Some(code))];
        take(ends(format!("7.7.{}", n + 1), &[close(code, "")], out));
    }
    for (n, code) in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].into_iter().enumerate() {
        take(fail(format!("7.9.{}", n + 1), &[close(code, "")], vec![], 1002));
    }
    // The suite leaves these open.
    take(fail("7.13.1", &[close(5000, "")], vec![], 1002));
    take(fail("7.13.2", &[close(65_535, "")], vec![], 1002));
}
