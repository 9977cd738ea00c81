//! Handshakes (RFC 6455, sections 4.2.1, 4.2.2 and 4.4) and the parameters of compression (RFC
//! 7692, section 7.1).

use ringway::proto::http::RequestHead;
use ringway::proto::websocket::extension::{Policy, accept};
use ringway::proto::websocket::handshake::{HandshakeError, accept as accept_key, check};

const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");

#[test]
fn handshakes_are_held_against_each_rule() {
    use HandshakeError::{Key, Method, Protocol, Version};
    let key = |value| ("sec-websocket-key", value);
    let offers = |value| ("sec-websocket-protocol", value);
    let versions = |value| ("sec-websocket-version", value);
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Fields<'_>, Option<HandshakeError>); 22] = [
        ("GET", &[KEY, VERSION], None),
        ("GET", &[KEY, versions("  13 ")], None),
        ("GET", &[KEY, VERSION, offers("chat, superchat")], None),
        ("GET", &[KEY, VERSION, offers("chat"), offers("superchat")], None),
        ("POST", &[KEY, VERSION], Some(Method)),
        ("HEAD", &[KEY, VERSION], Some(Method)),
        ("GET", &[KEY], Some(Version)),
        ("GET", &[KEY, versions("")], Some(Version)),
        ("GET", &[KEY, versions("12")], Some(Version)),
        ("GET", &[KEY, versions("013")], Some(Version)),
        ("GET", &[KEY, versions("13, 8")], Some(Version)),
        ("GET", &[KEY, VERSION, VERSION], Some(Version)),
        ("GET", &[VERSION], Some(Key)),
        ("GET", &[VERSION, key("")], Some(Key)),
        ("GET", &[VERSION, key("dGhlIHNhbXBsZSBub25jZQ")], Some(Key)),
        ("GET", &[VERSION, key("dGhlIHNhbXBsZSBub25jZWE=")], Some(Key)),
        ("GET", &[VERSION, key("dGhlIHNhbXBsZSBub25j")], Some(Key)),
        ("GET", &[VERSION, key("dGhlIHNhbXBsZSBub25jZ!==")], Some(Key)),
        ("GET", &[VERSION, KEY, KEY], Some(Key)),
        ("GET", &[KEY, VERSION, offers("a b")], Some(Protocol)),
        ("GET", &[KEY, VERSION, offers("a, b, a")], Some(Protocol)),
        ("GET", &[KEY, VERSION, offers("a"), offers("a")], Some(Protocol)),
    ];
    for (method, fields, expected) in cases {
        let mut head = RequestHead::default();
        head.set_method(method.as_bytes());
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(check(&head).err(), expected, "{method} {fields:?}");
    }
}

#[test]
fn keys_are_answered_as_the_rfc_has_it() {
    assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(&accept_key(b"x3JJHMbDL1EzLkh9GBhXDw=="), b"HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

#[test]
fn the_four_parameters_of_compression_are_answered() {
    let keeps = Policy { context_takeover: true, window_bits_max: 15 };
    let plain = Policy { context_takeover: false, window_bits_max: 15 };
    let small = Policy { context_takeover: true, window_bits_max: 10 };
    let name = "permessage-deflate";
    let none = "; server_no_context_takeover; client_no_context_takeover";
    let cases = [
        (keeps, "", Some("")),
        (plain, "", Some(none)),
        (keeps, "; server_no_context_takeover", Some("; server_no_context_takeover")),
        (keeps, "; client_no_context_takeover", Some("; client_no_context_takeover")),
        (keeps, "; server_max_window_bits=9", Some("; server_max_window_bits=9")),
        (keeps, "; server_max_window_bits=15", Some("; server_max_window_bits=15")),
        (keeps, "; server_max_window_bits=\"12\"", Some("; server_max_window_bits=12")),
        (keeps, "; client_max_window_bits", Some("")),
        (keeps, "; client_max_window_bits=10", Some("; client_max_window_bits=10")),
        (small, "", Some("; server_max_window_bits=10")),
        (
            small,
            "; client_max_window_bits",
            Some("; server_max_window_bits=10; client_max_window_bits=10"),
        ),
        (keeps, "; server_max_window_bits", None),
        (keeps, "; server_max_window_bits=7", None),
        (keeps, "; server_max_window_bits=16", None),
        (keeps, "; server_max_window_bits=09", None),
        (keeps, "; client_max_window_bits=7", None),
        (keeps, "; server_no_context_takeover=1", None),
        (keeps, "; server_no_context_takeover; server_no_context_takeover", None),
        (keeps, "; unknown", None),
    ];
    for (policy, offered, answered) in cases {
        let offer = [name, offered].concat();
        let found = accept([offer.as_bytes()], &policy).unwrap();
        let text = found.map(|answer| {
            let mut out = Vec::new();
            answer.write(&mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(text, answered.map(|answered| [name, answered].concat()), "{offer}");
        // The next offer is taken in its place.
        let two = [&offer, ", ", name, "; server_max_window_bits=11"].concat();
        let found = accept([two.as_bytes()], &keeps).unwrap().expect("one of them");
        let is_second = found.parameters.server_max_window_bits == 11;
        assert_eq!(is_second, answered.is_none(), "{two}");
    }
}
