//! Any bytes: no panic, and no answer for a part of the input contradicts the one for all of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::proto::proxy_protocol::{
    Endpoints, Header, Parsed, Source, Version, parse, write_v1, write_v2,
};

fuzz_target!(|input: &[u8]| {
    let whole = parse(input);
    // The last byte also chooses where to cut: it may be anything, behind a header.
    let last = usize::from(input.last().copied().unwrap_or_default());
    let at = last * 17 % (input.len() + 1);
    for part in [
        &input[..at],
        &input[..input.len() / 2],
        &input[..input.len().saturating_sub(1)],
    ] {
        match parse(part) {
            Ok(Parsed::Incomplete { at_least }) => assert!(at_least > 0),
            complete @ Ok(Parsed::Complete { .. }) => assert_eq!(complete, whole),
            Err(_) => assert!(whole.is_err()),
        }
    }
    if let Ok(Parsed::Complete { header, consumed }) = whole {
        assert!(consumed <= input.len());
        check_round_trip(header.source);
    }
});

/// What is read can be written, and then says the same, except that an IPv4 address inside an IPv6
/// one may be unwrapped.
fn check_round_trip(source: Source) {
    let Source::Inet {
        source,
        destination,
    } = source
    else {
        return;
    };
    let writers: [(Version, fn(&Endpoints, &mut Vec<u8>)); 2] =
        [(Version::V1, write_v1), (Version::V2, write_v2)];
    for (version, write) in writers {
        let mut bytes = Vec::new();
        write(&Some((source, destination)), &mut bytes);
        let Ok(Parsed::Complete { header, consumed }) = parse(&bytes) else {
            panic!("not a header: {}", bytes.escape_ascii())
        };
        assert_eq!((header.version, consumed), (version, bytes.len()));
        let Header {
            source:
                Source::Inet {
                    source: a,
                    destination: b,
                },
            ..
        } = header
        else {
            panic!("no addresses: {}", bytes.escape_ascii())
        };
        assert_eq!(a.ip().to_canonical(), source.ip().to_canonical());
        assert_eq!(b.ip().to_canonical(), destination.ip().to_canonical());
        assert_eq!((a.port(), b.port()), (source.port(), destination.port()));
    }
}
