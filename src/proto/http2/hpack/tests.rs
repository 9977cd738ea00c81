use super::*;
use crate::proto::http::Known;

/// The fields of a block, as `name: value` or `name: value (never)`.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, HpackError> {
    let (mut cursor, mut text, mut all) = (BlockCursor::default(), Vec::new(), Vec::new());
    while let Some(field) = decoder.next(block, &mut cursor, &mut text)? {
        let never = if field.never_indexed { " (never)" } else { "" };
        let (name, value) = (field.name.escape_ascii(), field.value.escape_ascii());
        all.push(format!("{name}: {value}{never}"));
        assert_eq!(Name::of(field.name), field.kind);
        assert_eq!(Flaw::of(field.name, field.value), field.flaw);
    }
    Ok(all)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn the_requests_of_the_rfc() {
    // RFC 7541, appendix C.3 and C.4: the same without and with the Huffman code.
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let huffman = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        let mut all = Vec::new();
        for block in blocks {
            all.push(decode(&mut decoder, &bytes(block)).unwrap().join(", "));
        }
        assert_eq!(
            all,
            [
                ":method: GET, :scheme: http, :path: /, :authority: www.example.com",
                ":method: GET, :scheme: http, :path: /, :authority: www.example.com, \
                 cache-control: no-cache",
                ":method: GET, :scheme: https, :path: /index.html, \
                 :authority: www.example.com, custom-key: custom-value",
            ]
        );
    }
}

#[test]
fn blocks_that_break_a_rule_are_refused_and_named() {
    let cases = [
        ("80", HpackError::IndexUnknown),
        ("be", HpackError::IndexUnknown),
        ("7e00", HpackError::IndexUnknown),
        ("ff", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("400161", HpackError::Truncated),
        ("40016105", HpackError::Truncated),
        ("ffffffffffff7f", HpackError::IntegerTooLarge),
        ("8220", HpackError::ResizeMisplaced),
        ("20202082", HpackError::ResizeMisplaced),
        ("3fe21f", HpackError::ResizeTooLarge),
        ("00016184ffffffff", HpackError::HuffmanEnd),
        ("00016181ff", HpackError::HuffmanPadding),
    ];
    for (block, error) in cases {
        assert_eq!(decode(&mut Decoder::default(), &bytes(block)), Err(error), "{block}");
    }
    // Every prefix of a block ends within a field, or at its end.
    let whole = bytes("828684418cf1e3c2e5f23a6ba0ab90f4ff");
    for cut in 0..whole.len() {
        let read = decode(&mut Decoder::default(), &whole[..cut]);
        let is_end = cut <= 3;
        assert_eq!(read.is_ok(), is_end, "{cut}: {read:?}");
    }
}

#[test]
fn a_field_too_large_for_the_table_keeps_its_name_and_empties_the_table() {
    let mut decoder = Decoder::default();
    let mut block = bytes("400161013140016202");
    block.extend_from_slice(b"xy");
    assert_eq!(decode(&mut decoder, &block).unwrap(), ["a: 1", "b: xy"]);
    // The name of index 63 is `a`; the value has 5,000 bytes.
    let mut block = vec![0x7f, 0x00, 0x7f, 0x89, 0x26];
    block.extend(std::iter::repeat_n(b'v', 5000));
    let all = decode(&mut decoder, &block).unwrap();
    assert!(all[0].starts_with("a: vvv") && all[0].len() == 5003);
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(HpackError::IndexUnknown));
}

#[test]
fn what_is_encoded_is_decoded_and_repeats_are_one_byte() {
    let fields: [(&str, &str); 7] = [
        (":status", "200"),
        (":status", "418"),
        ("content-type", "text/html; charset=utf-8"),
        ("server", "ringway"),
        ("set-cookie", "secret=1"),
        ("x-other", "some value"),
        ("etag", "\"abc\""),
    ];
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut lens = Vec::new();
    for _ in 0..3 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in fields {
            let name = (Name::of(name.as_bytes()), name.as_bytes());
            encoder.field(name, value.as_bytes(), Keep::of(name.0, name.1), &mut block);
        }
        let all = decode(&mut decoder, &block).unwrap();
        for ((name, value), read) in fields.iter().zip(&all) {
            let never = if *name == "set-cookie" { " (never)" } else { "" };
            assert_eq!(*read, format!("{name}: {}{never}", value.escape_default()));
        }
        lens.push(block.len());
    }
    assert!(lens[1] < lens[0] / 2 && lens[1] == lens[2], "{lens:?}");
}

#[test]
fn the_peer_is_told_of_every_size_of_the_table() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut send = |encoder: &mut Encoder| {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        let name = (Name::Field(Known::Server), &b"server"[..]);
        encoder.field(name, b"x", Keep::Table, &mut block);
        assert_eq!(decode(&mut decoder, &block).unwrap(), ["server: x"]);
        block
    };
    assert_eq!(send(&mut encoder), bytes("760178"));
    assert_eq!(send(&mut encoder), bytes("be"));
    encoder.set_max(0);
    encoder.set_max(4096);
    assert_eq!(send(&mut encoder), bytes("20 3fe11f 760178"));
    encoder.set_max(70_000);
    assert_eq!(send(&mut encoder), bytes("be"));
    encoder.set_max(10);
    assert_eq!(send(&mut encoder), bytes("2a 0f27 0178"), "it does not fit");
}

#[test]
fn random_conversations_keep_both_tables_alike() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let names = ["x-a", "cookie", "server", ":path", "accept", "user-agent", "authorization"];
    for _ in 0..200 {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for _ in 0..50 {
            if random(10) == 0 {
                encoder.set_max(usize::try_from(random(5000)).unwrap());
            }
            let mut sent = Vec::new();
            let mut block = Vec::new();
            encoder.begin(&mut block);
            for _ in 0..random(8) {
                let name = names[usize::try_from(random(names.len() as u64)).unwrap()];
                let len = if random(20) == 0 { random(3000) } else { random(30) };
                let letter = b'a' + u8::try_from(random(3)).unwrap();
                let value = vec![letter; usize::try_from(len).unwrap()];
                let keep =
                    [Keep::Table, Keep::No, Keep::Never][usize::try_from(random(3)).unwrap()];
                let of = (Name::of(name.as_bytes()), name.as_bytes());
                encoder.field(of, &value, keep, &mut block);
                let never = if keep == Keep::Never { " (never)" } else { "" };
                sent.push(format!("{name}: {}{never}", value.escape_ascii()));
            }
            assert_eq!(decode(&mut decoder, &block).unwrap(), sent);
        }
    }
}
