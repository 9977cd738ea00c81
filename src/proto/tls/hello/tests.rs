use super::*;

fn vector8(body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len()).unwrap()], body].concat()
}

fn vector16(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(body)].concat()
}

fn server_name(name: &str) -> Vec<u8> {
    extension(SERVER_NAME, &vector16(&[&[0], &vector16(name.as_bytes())[..]].concat()))
}

fn alpn(names: &[&str]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|name| vector8(name.as_bytes())).collect();
    extension(ALPN, &vector16(&names))
}

fn versions(numbers: &[u16]) -> Vec<u8> {
    let list: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    extension(SUPPORTED_VERSIONS, &vector8(&list))
}

/// What stands before the extensions.
fn beginning() -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &vector8(&[9; 32]), &vector16(&[0x13, 1]), &vector8(&[0])].concat()
}

fn body(extensions: &[Vec<u8>]) -> Vec<u8> {
    [beginning(), vector16(&extensions.concat())].concat()
}

fn message(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO], &len[1..], body].concat()
}

fn record(payload: &[u8]) -> Vec<u8> {
    [&[HANDSHAKE, 3, 1][..], &vector16(payload)].concat()
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    record(&message(&body(extensions)))
}

fn usual() -> Vec<u8> {
    hello(&[
        versions(&[0x5a5a, 0x0304, 0x0303]),
        extension(51, &[1; 1300]),
        server_name("Www.Example.com"),
        alpn(&["h2", "http/1.1"]),
    ])
}

fn read(bytes: &[u8]) -> HelloRead {
    HelloReader::new().handle_bytes(bytes)
}

fn expect_hello(progress: HelloRead) -> ClientHello {
    let HelloRead::Hello(hello) = progress else { panic!("{progress:?}") };
    hello
}

/// Shows the reader one byte more at a time.
fn read_byte_by_byte(bytes: &[u8]) -> HelloRead {
    let mut reader = HelloReader::new();
    (0..=bytes.len())
        .map(|len| reader.handle_bytes(&bytes[..len]))
        .find(|progress| *progress != HelloRead::NeedMore)
        .unwrap_or(HelloRead::NeedMore)
}

#[test]
fn name_protocols_and_versions_are_read() {
    let hello = expect_hello(read(&usual()));
    assert_eq!(hello.server_name.as_deref(), Some("www.example.com"));
    assert_eq!(hello.alpn.names().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert!(hello.versions.contains(0x0304) && hello.versions.contains(0x0303));
    assert!(!hello.versions.contains(0x0302) && !hello.versions.contains(0x5a5a));
    assert_eq!(hello.versions.highest(), Some(0x0304));
}

#[test]
fn what_a_client_does_not_say_is_not_there() {
    for bytes in [record(&message(&beginning())), hello(&[]), hello(&[extension(65_281, &[0])])] {
        let hello = expect_hello(read(&bytes));
        assert_eq!(hello.server_name, None);
        assert_eq!(hello.alpn.names().count(), 0);
        assert_eq!(hello.versions.highest(), Some(0x0303));
        assert!(hello.versions.contains(0x0301) && !hello.versions.contains(0x0304));
    }
}

#[test]
fn every_split_in_two_and_every_byte_alone_say_the_same() {
    let bytes = usual();
    let whole = read(&bytes);
    for at in 0..bytes.len() {
        let mut reader = HelloReader::new();
        assert_eq!(reader.handle_bytes(&bytes[..at]), HelloRead::NeedMore, "{at} bytes");
        assert_eq!(reader.handle_bytes(&bytes), whole, "split at {at}");
    }
    assert_eq!(read_byte_by_byte(&bytes), whole);
}

#[test]
fn a_hello_in_any_two_records_is_the_same() {
    let message = message(&body(&[server_name("a.example"), extension(51, &[1; 700])]));
    let whole = read(&record(&message));
    for at in 1..message.len() {
        let bytes = [record(&message[..at]), record(&message[at..])].concat();
        assert_eq!(read(&bytes), whole, "records split at {at}");
        assert_eq!(read_byte_by_byte(&bytes), whole, "records split at {at}, byte by byte");
    }
    let bytes: Vec<u8> = message.chunks(1).flat_map(record).collect();
    assert_eq!(read(&bytes), whole);
    assert_eq!(read_byte_by_byte(&bytes), whole);
}

#[test]
fn bytes_behind_the_hello_are_not_looked_at() {
    let bytes = [usual(), vec![23, 3, 3, 0, 1, 0]].concat();
    assert_eq!(read(&bytes), read(&usual()));
}

#[test]
fn each_rule_is_found() {
    let name = || server_name("a.example");
    let mut cut_name = name();
    cut_name.pop();
    let psk = extension(PRE_SHARED_KEY, &[0; 8]);
    let with = |at: usize, byte: u8| {
        let mut bytes = hello(&[]);
        bytes[at] = byte;
        bytes
    };
    let listed = |body: &[u8]| hello(&[extension(SERVER_NAME, body)]);
    let entry = vector16(b"a.example");
    let twice = vector16(&[&[0], &entry[..], &[0], &entry[..]].concat());
    let [first, second] = [message(&body(&[])), vec![11, 0, 0, 0]];
    let no_suites = [&[3, 3][..], &[7; 32], &[0], &vector16(&[]), &vector8(&[0])].concat();
    let half_suite = [&[3, 3][..], &[7; 32], &[0], &vector16(&[1; 3]), &vector8(&[0])].concat();
    let packed = [&[3, 3][..], &[7; 32], &[0], &vector16(&[1; 2]), &vector8(&[1])].concat();
    let long_session =
        [&[3, 3][..], &[7; 32], &vector8(&[1; 33]), &vector16(&[1; 2]), &vector8(&[0])].concat();
    let cases = [
        (Rule::TooLarge, record(&[1, 0, 0x40, 0])),
        (Rule::TooLarge, record(&message(&[0; HELLO_MAX - 8]))),
        (Rule::TooLarge, record(&[1, 0xff, 0xff, 0xff])),
        (Rule::RecordType, [record(&first[..9]), vec![21]].concat()),
        (Rule::RecordVersion, [record(&first[..9]), vec![HANDSHAKE, 2]].concat()),
        (Rule::RecordLength, record(&[])),
        (Rule::RecordLength, vec![HANDSHAKE, 3, 1, 0x40, 1]),
        (Rule::MessageType, with(5, 2)),
        (Rule::MessageTrailing, record(&[first.clone(), second].concat())),
        (Rule::Structure, with(76, 40)),
        (Rule::Structure, record(&message(&[3; 20]))),
        (Rule::Structure, record(&message(&[]))),
        (Rule::Structure, record(&message(&[body(&[]), vec![0]].concat()))),
        (Rule::Structure, hello(&[cut_name])),
        (Rule::ClientVersion, with(9, 2)),
        (Rule::SessionId, record(&message(&long_session))),
        (Rule::CipherSuites, record(&message(&no_suites))),
        (Rule::CipherSuites, record(&message(&half_suite))),
        (Rule::Compression, record(&message(&packed))),
        (Rule::ExtensionRepeated, hello(&[name(), name()])),
        (Rule::ExtensionRepeated, hello(&[extension(0xffff, &[]), extension(0xffff, &[])])),
        (Rule::PreSharedKeyOrder, hello(&[psk.clone(), name()])),
        (Rule::ServerNameList, listed(&[])),
        (Rule::ServerNameList, listed(&[0, 0])),
        (Rule::ServerNameList, listed(&twice)),
        (Rule::ServerNameList, listed(&vector16(&[&[1], &entry[..]].concat()))),
        (Rule::Alpn, hello(&[alpn(&[])])),
        (Rule::Alpn, hello(&[alpn(&["h2", ""])])),
        (Rule::Alpn, hello(&[extension(ALPN, &[0, 3, 9, b'h', b'2'])])),
        (Rule::SupportedVersions, hello(&[versions(&[])])),
        (Rule::SupportedVersions, hello(&[extension(SUPPORTED_VERSIONS, &[3, 3, 4, 3])])),
    ];
    for (index, (rule, bytes)) in cases.iter().enumerate() {
        let expected = HelloRead::Malformed(*rule);
        assert_eq!(read(bytes), expected, "case {index}");
        assert_eq!(read_byte_by_byte(bytes), expected, "case {index}, byte by byte");
        assert!(rule.alert() > 0 && !rule.to_string().is_empty());
    }
    assert!(matches!(read(&hello(&[name(), psk])), HelloRead::Hello(_)));
}

#[test]
fn what_is_no_host_name_asks_for_none() {
    for name in ["", "a..example", "192.0.2.1", "::1", "a b", "\0"] {
        assert_eq!(expect_hello(read(&hello(&[server_name(name)]))).server_name, None, "{name}");
    }
    let found = expect_hello(read(&hello(&[server_name("A_b.Example.")])));
    assert_eq!(found.server_name.as_deref(), Some("a_b.example"));
}

#[test]
fn the_limit_is_named_and_is_the_wires() {
    assert_eq!(Rule::TooLarge.to_string(), "a ClientHello of more than 16384 bytes");
    let room = HELLO_MAX - hello(&[extension(21, &[])]).len();
    assert!(matches!(read(&hello(&[extension(21, &vec![0; room])])), HelloRead::Hello(_)));
    let above = hello(&[extension(21, &vec![0; room + 1])]);
    assert_eq!(read(&above), HelloRead::Malformed(Rule::TooLarge));
    // The heads of many small records count, too.
    let many: Vec<u8> =
        message(&body(&[extension(21, &[0; 4000])])).chunks(1).flat_map(record).collect();
    assert_eq!(read(&many), HelloRead::Malformed(Rule::TooLarge));
    assert_eq!(read_byte_by_byte(&many), HelloRead::Malformed(Rule::TooLarge));
}

#[test]
fn other_protocols_are_told_apart_at_every_split() {
    let cases: [(&[u8], bool); 10] = [
        (b"GET / HTTP/1.1\r\n", true),
        (b"OPTIONS * HTTP/1.1\r\n", true),
        (b"CONNECT a:443 HTTP/1.1\r\n", true),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true),
        (b"GETTING", false),
        (b"SSH-2.0-x\r\n", false),
        (b"EHLO a\r\n", false),
        (b"\x80\x2e\x01\x03\x01", false),
        (b"\x16\x02\x00", false),
        (b"\0", false),
    ];
    for (bytes, looks_like_http) in cases {
        assert_eq!(read(bytes), HelloRead::NotTls { looks_like_http });
        assert_eq!(read_byte_by_byte(bytes), HelloRead::NotTls { looks_like_http });
    }
    for part in [&b""[..], b"G", b"GET", b"PRI * HTTP/2", b"\x16", b"\x16\x03"] {
        assert_eq!(read(part), HelloRead::NeedMore, "{part:?}");
    }
}

#[test]
fn no_single_changed_or_missing_byte_does_harm() {
    let bytes = hello(&[versions(&[0x0304]), server_name("a.example"), alpn(&["h2"])]);
    for at in 0..bytes.len() {
        for byte in 0..=255 {
            let mut changed = bytes.clone();
            changed[at] = byte;
            let whole = read(&changed);
            assert_eq!(read_byte_by_byte(&changed), whole, "byte {at} is {byte}");
        }
        let mut shorter = bytes.clone();
        shorter.remove(at);
        assert_eq!(read_byte_by_byte(&shorter), read(&shorter), "without byte {at}");
    }
}
