//! Sections 9 and 10: long messages, and many of them.

use ringway::proto::websocket::Kind;

use crate::machine::{Case, Frame, back, echo};

const MIB: usize = 1 << 20;

/// Its first bytes again and again.
fn filled(pattern: &[u8], len: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(len).collect()
}

fn in_fragments(kind: Kind, payload: &[u8], size: usize) -> Vec<Frame> {
    let last = payload.len().div_ceil(size) - 1;
    let frame = |(n, part): (usize, &[u8])| {
        let frame = Frame::new(if n == 0 { kind.opcode() as u8 } else { 0 }, part);
        if n == last { frame } else { frame.more() }
    };
    payload.chunks(size).enumerate().map(frame).collect()
}

pub(crate) fn each(take: &mut dyn FnMut(Case)) {
    let text = b"BAsd7&jh23";
    let binary = [0x00, 0xfe, 0x23, 0xfa, 0xf0];
    let kinds = [(Kind::Text, &text[..], b'*', 0), (Kind::Binary, &binary[..], 0xfe, 1)];
    for (kind, pattern, byte, odd) in kinds {
        let sizes = [64 << 10, 256 << 10, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
        for (n, size) in sizes.into_iter().enumerate() {
            let payload = filled(pattern, size);
            let frame = Frame::new(kind.opcode() as u8, &payload);
            let name = format!("9.{}.{}", 1 + odd, n + 1);
            let case = echo(name, &[frame], vec![back(kind, &payload)]);
            // As a server reads.
            take(Case { chop: 64 << 10, ..case });
        }
        let payload = vec![byte; 4 * MIB];
        for n in 0..9 {
            let frames = in_fragments(kind, &payload, 64 << (2 * n));
            let name = format!("9.{}.{}", 3 + odd, n + 1);
            take(Case { chop: 16 << 10, ..echo(name, &frames, vec![back(kind, &payload)]) });
        }
        let payload = filled(pattern, MIB);
        for n in 0..6 {
            let frame = Frame::new(kind.opcode() as u8, &payload);
            let name = format!("9.{}.{}", 5 + odd, n + 1);
            take(Case { chop: 64 << n, ..echo(name, &[frame], vec![back(kind, &payload)]) });
        }
        for (n, size) in [0, 16, 64, 256, 1024, 4096].into_iter().enumerate() {
            let payload = vec![byte; size];
            let frames = vec![Frame::new(kind.opcode() as u8, &payload); 1000];
            let name = format!("9.{}.{}", 7 + odd, n + 1);
            take(echo(name, &frames, vec![back(kind, &payload); 1000]));
        }
    }
    let payload = vec![b'*'; 65_536];
    let frames = in_fragments(Kind::Text, &payload, 1300);
    assert_eq!(frames.len(), 51);
    take(echo("10.1.1", &frames, vec![back(Kind::Text, &payload)]));
}
