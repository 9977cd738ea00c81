//! Section 6: text is UTF-8, and a message that is none is refused as soon as that is known.

use crate::machine::{Case, Frame, Out, bytes, echo, fail, hex, next, text};

/// Groups of one text frame each: those that come back, and those that are refused, each as its
/// number and the payload.
#[rustfmt::skip]
const GROUPS: [(&str, &str, &str); 19] = [
    // Valid, of 1 to 4 octets.
    (
        "6.5",
        "1:68656c6c6f24776f726c64 2:68656c6c6fc2a2776f726c64 3:68656c6c6fe282ac776f726c\
         64 4:68656c6c6ff0a4ada2776f726c64 5:cebae1bdb9cf83cebcceb5",
        "",
    ),
    // Every prefix of "κόσμε".
    (
        "6.6",
        "2:ceba 5:cebae1bdb9 7:cebae1bdb9cf83 9:cebae1bdb9cf83cebc 11:cebae1bdb9cf83ceb\
         cceb5",
        "1:ce 3:cebae1 4:cebae1bd 6:cebae1bdb9cf 8:cebae1bdb9cf83ce 10:cebae1bdb9cf83ce\
         bcce",
    ),
    // First sequence of each length.
    (
        "6.7",
        "1:00 2:c280 3:e0a080 4:f0908080",
        "",
    ),
    // First of 5 and 6 octets.
    (
        "6.8",
        "",
        "1:f888808080 2:fc8480808080",
    ),
    // Last of each length.
    (
        "6.9",
        "1:7f 2:dfbf 3:efbfbf 4:f48fbfbf",
        "",
    ),
    // Last of 4, 5, 6 octets above U+10FFFF.
    (
        "6.10",
        "",
        "1:f7bfbfbf 2:fbbfbfbfbf 3:fdbfbfbfbfbf",
    ),
    // Other boundaries.
    (
        "6.11",
        "1:ed9fbf 2:ee8080 3:efbfbd 4:f48fbfbf",
        "5:f4908080",
    ),
    // Stray continuation octets.
    (
        "6.12",
        "",
        "1:80 2:bf 3:80bf 4:80bf80 5:80bf80bf 6:80bf80bf80 7:80bf80bf80bf 8:80818283848\
         5868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaaba\
         cadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbe",
    ),
    // Lonely first octets.
    (
        "6.13",
        "",
        "1:c020c120c220c320c420c520c620c720c820c920ca20cb20cc20cd20ce20cf20d020d120d220\
         d320d420d520d620d720d820d920da20db20dc20dd20de20 2:e020e120e220e320e420e520e62\
         0e720e820e920ea20eb20ec20ed20ee20 3:f020f120f220f320f420f520f620 4:f820f920fa2\
         0 5:fc20",
    ),
    // Last continuation missing.
    (
        "6.14",
        "",
        "1:c0 2:e080 3:f08080 4:f8808080 5:fc80808080 6:df 7:efbf 8:f7bfbf 9:fbbfbfbf 1\
         0:fdbfbfbfbf",
    ),
    // All incomplete, concatenated.
    (
        "6.15",
        "",
        "1:c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf",
    ),
    // Impossible octets.
    (
        "6.16",
        "",
        "1:fe 2:ff 3:fefeffff",
    ),
    // Overlong ASCII.
    (
        "6.17",
        "",
        "1:c0af 2:e080af 3:f08080af 4:f8808080af 5:fc80808080af",
    ),
    // Longest overlong.
    (
        "6.18",
        "",
        "1:c1bf 2:e09fbf 3:f08fbfbf 4:f887bfbfbf 5:fc83bfbfbfbf",
    ),
    // Overlong NUL.
    (
        "6.19",
        "",
        "1:c080 2:e08080 3:f0808080 4:f880808080 5:fc8080808080",
    ),
    // Single surrogates.
    (
        "6.20",
        "",
        "1:eda080 2:edadbf 3:edae80 4:edafbf 5:edb080 6:edbe80 7:edbfbf",
    ),
    // Paired surrogates.
    (
        "6.21",
        "",
        "1:eda080edb080 2:eda080edbfbf 3:edadbfedb080 4:edadbfedbfbf 5:edae80edb080 6:e\
         dae80edbfbf 7:edafbfedb080 8:edafbfedbfbf",
    ),
    // Noncharacters.
    (
        "6.22",
        "1:efbfbe 2:efbfbf 3:f09fbfbe 4:f09fbfbf 5:f0afbfbe 6:f0afbfbf 7:f0bfbfbe 8:f0b\
         fbfbf 9:f18fbfbe 10:f18fbfbf 11:f19fbfbe 12:f19fbfbf 13:f1afbfbe 14:f1afbfbf 1\
         5:f1bfbfbe 16:f1bfbfbf 17:f28fbfbe 18:f28fbfbf 19:f29fbfbe 20:f29fbfbf 21:f2af\
         bfbe 22:f2afbfbf 23:f2bfbfbe 24:f2bfbfbf 25:f38fbfbe 26:f38fbfbf 27:f39fbfbe 2\
         8:f39fbfbf 29:f3afbfbe 30:f3afbfbf 31:f3bfbfbe 32:f3bfbfbf 33:f48fbfbe 34:f48f\
         bfbf",
        "",
    ),
    // U+FFF9 to U+FFFF.
    (
        "6.23",
        "1:efbfb9 2:efbfba 3:efbfbb 4:efbfbc 5:efbfbd 6:efbfbe 7:efbfbf",
        "",
    ),
];

/// "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}", with which most of them begin.
const KOSME: &str = "cebae1bdb9cf83cebcceb5";
const EDITED: &str = "656469746564";

/// A message in fragments of one octet.
fn octets(payload: &[u8]) -> Vec<Frame> {
    let mut frames = vec![text("").more()];
    frames.extend(payload.iter().map(|byte| next([*byte]).more()));
    frames.push(next(""));
    frames
}

pub(crate) fn each(take: &mut dyn FnMut(Case)) {
    for (group, valid, invalid) in GROUPS {
        for case in valid.split_whitespace() {
            let (number, payload) = case.split_once(':').expect("a number");
            let payload = hex(payload);
            let name = format!("{group}.{number}");
            take(echo(name, &[text(&payload)], vec![Out::Text(payload)]));
        }
        for case in invalid.split_whitespace() {
            let (number, payload) = case.split_once(':').expect("a number");
            take(fail(format!("{group}.{number}"), &[text(hex(payload))], vec![], 1007));
        }
    }
    fragments(take);
    fail_fast(take);
}

fn fragments(take: &mut dyn FnMut(Case)) {
    let same = |payload: &[u8]| vec![Out::Text(payload.to_vec())];
    take(echo("6.1.1", &[text("")], same(b"")));
    let empty = [text("").more(), next("").more(), next("")];
    take(echo("6.1.2", &empty, same(b"")));
    let middle = b"middle frame payload";
    let frames = [text("").more(), next(middle).more(), next("")];
    take(echo("6.1.3", &frames, same(middle)));
    let payload = hex("48656c6c6f2dc2b540c39fc3b6c3a4c3bcc3a0c3a12d5554462d382121");
    take(echo("6.2.1", &[text(&payload)], same(&payload)));
    let frames = [text(&payload[..15]).more(), next(&payload[15..])];
    take(echo("6.2.2", &frames, same(&payload)));
    take(echo("6.2.3", &octets(&payload), same(&payload)));
    let payload = hex(KOSME);
    take(echo("6.2.4", &octets(&payload), same(&payload)));
    let payload = hex("cebae1bdb9cf83cebcceb5eda080656469746564");
    take(fail("6.3.1", &[text(&payload)], vec![], 1007));
    take(fail("6.3.2", &octets(&payload), vec![], 1007));
}

/// What the endpoint has when it must refuse: nothing else needs to come.
fn fail_fast(take: &mut dyn FnMut(Case)) {
    let cases = [("6.4.1", "", "f4908080", ""), ("6.4.2", "f4", "90", "8080")];
    for (name, first, second, third) in cases {
        let first = hex(&[KOSME, first].concat());
        let (second, third) = (hex(second), hex(&[third, EDITED].concat()));
        let start = text(&first).more();
        let open = bytes(std::slice::from_ref(&start));
        assert!(crate::hear(&open, &[1]).is_empty(), "{name}: it waits for more");
        take(fail(name, &[start, next(&second).more()], vec![], 1007));
        // Within one frame.
        let mut sent = bytes(&[text([&*first, &*second, &*third].concat())]);
        sent.truncate(sent.len() - third.len());
        let name = if name == "6.4.1" { "6.4.3" } else { "6.4.4" };
        let before = &sent[..sent.len() - second.len()];
        assert!(crate::hear(before, &[1]).is_empty(), "{name}: it waits for more");
        let expected = vec![Out::Close(Some(1007))];
        take(Case { name: name.to_owned(), sent, expected, chop: 0 });
    }
}
