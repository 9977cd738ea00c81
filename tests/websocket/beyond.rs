//! What the suite has no cases of: masks, lengths, codes, and orders of rules.

use crate::machine::{Case, Frame, MAX, Out, bytes, close, echo, fail, next, ping, text};

fn raw(name: &str, sent: &[u8], before: Vec<Out>, code: u16) -> Case {
    Case { name: name.to_owned(), sent: sent.to_vec(), ..fail("", &[], before, code) }
}

pub(crate) fn each(take: &mut dyn FnMut(Case)) {
    masks_and_lengths(take);
    closes(take);
    sizes(take);
}

/// RFC 6455, sections 5.1, 5.2 and 5.5.
fn masks_and_lengths(take: &mut dyn FnMut(Case)) {
    take(raw("a frame without a mask", b"\x81\x02hi", vec![], 1002));
    take(raw("a ping without a mask", b"\x89\x00", vec![], 1002));
    take(raw("a close without a mask", b"\x88\x02\x03\xe8", vec![], 1002));
    let hello = bytes(&[text("hello")]);
    let sent = [&hello, &b"\x81\x02hi"[..]].concat();
    take(raw("the second without a mask", &sent, vec![Out::Text(b"hello".to_vec())], 1002));
    // A key of zeros is a key.
    let zeros = [b"\x81\x82\0\0\0\0hi", &*bytes(&[close(1000, "")])].concat();
    let expected = vec![Out::Text(b"hi".to_vec()), Out::Close(Some(1000))];
    take(Case { name: "a key of zeros".to_owned(), sent: zeros, expected, chop: 0 });
    let lengths: [(&str, &[u8]); 7] = [
        ("0 in 16 bits", b"\x82\xfe\0\0"),
        ("125 in 16 bits", b"\x82\xfe\0\x7d"),
        ("126 in 64 bits", b"\x82\xff\0\0\0\0\0\0\0\x7e"),
        ("65,535 in 64 bits", b"\x82\xff\0\0\0\0\0\0\xff\xff"),
        ("the highest bit", b"\x82\xff\x80\0\0\0\0\0\0\0"),
        ("a ping of 126 bytes", b"\x89\xfe\0\x7e"),
        ("a ping of 64 bits", b"\x89\xff"),
    ];
    for (name, sent) in lengths {
        take(raw(name, sent, vec![], 1002));
    }
    // Each reserved bit by itself, and on a continuation.
    for bits in [1, 2, 4, 7] {
        let frames = [text("a").more(), next("b").reserved(bits)];
        take(fail(format!("reserved bits {bits} on a continuation"), &frames, vec![], 1002));
        take(fail(
            format!("reserved bits {bits} on a ping"),
            &[ping("").reserved(bits)],
            vec![],
            1002,
        ));
    }
}

/// RFC 6455, sections 5.5.1 and 7.4; the registry of IANA.
fn closes(take: &mut dyn FnMut(Case)) {
    for code in [1012, 1013, 1014] {
        let expected = vec![Out::Close(Some(code))];
        let sent = bytes(&[close(code, "why")]);
        take(Case { name: format!("code {code}"), sent, expected, chop: 0 });
    }
    take(fail("code 1015", &[close(1015, "")], vec![], 1002));
    take(fail("half a character as a reason", &[close(1000, b"\xc3")], vec![], 1007));
    take(fail("a fragmented close", &[close(1000, "").more()], vec![], 1002));
    let within = [text("a").more(), ping("1"), close(1000, ""), next("b")];
    let expected = vec![Out::Pong(b"1".to_vec()), Out::Close(Some(1000))];
    let sent = bytes(&within);
    take(Case { name: "a close within a message".to_owned(), sent, expected, chop: 0 });
    // What follows a close is not looked at.
    let sent = [bytes(&[close(1000, "")]), vec![0xff; 50]].concat();
    let expected = vec![Out::Close(Some(1000))];
    take(Case { name: "no frames behind a close".to_owned(), sent, expected, chop: 0 });
}

/// Limits are ours: 1009.
fn sizes(take: &mut dyn FnMut(Case)) {
    // It is refused by its head: nothing of it needs to come.
    let head = [&[0x82, 0xff][..], &(MAX + 1).to_be_bytes(), &[1, 2, 3, 4]].concat();
    take(raw("a frame that is too long", &head, vec![], 1009));
    let most = [&[0x82, 0xff][..], &((1_u64 << 63) - 1).to_be_bytes(), &[1, 2, 3, 4]].concat();
    take(raw("the longest frame", &most, vec![], 1009));
    let part = |len: u64| {
        let sixteen = u16::try_from(len).expect("it is short");
        [&[0x80, 0xfe][..], &sixteen.to_be_bytes(), &[1, 2, 3, 4]].concat()
    };
    let mut sent = bytes(&[Frame::new(2, vec![0; usize::try_from(MAX).expect("it fits")]).more()]);
    sent.extend(part(200));
    take(Case { chop: 64 << 10, ..raw("fragments that are too long", &sent, vec![], 1009) });
    // Empty fragments are no message, however many there are.
    let mut frames = vec![text("").more()];
    frames.extend(std::iter::repeat_n(next("").more(), 10_000));
    frames.push(next("end"));
    take(echo("empty fragments", &frames, vec![Out::Text(b"end".to_vec())]));
}
