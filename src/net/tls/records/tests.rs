use super::*;
use crate::net::tls::keys::KeySource;
use crate::net::tls::peers::{Ours, Pair, combinations, give, heard, pair, said, take};

const BOTH: [Ours; 2] = [Ours::Server, Ours::Client];

/// Everything that a receiver makes of bytes: data, and how often a key was updated with a reply.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    data: Vec<u8>,
    updates: u32,
    replies: u32,
    closed: bool,
}

/// Gives a receiver bytes in pieces, as a socket would.
fn receive<'a>(
    receiver: &mut Receiver,
    source: &mut KeySource,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Heard, RecordError> {
    let (mut gathered, mut all) = (Vec::new(), Heard::default());
    for piece in pieces {
        gathered.extend_from_slice(piece);
        while !gathered.is_empty() {
            let before = gathered.clone();
            match receiver.receive(source, &mut gathered)? {
                RecordRead::NeedMore(wanted) => {
                    assert!(wanted > 0);
                    assert_eq!(gathered, before, "what is not whole is left as it is");
                    break;
                }
                RecordRead::Record { len, event } => {
                    match event {
                        Event::Data(range) => all.data.extend_from_slice(&gathered[range]),
                        Event::Quiet => {}
                        Event::KeyUpdate { reply } => {
                            all.updates += 1;
                            all.replies += u32::from(reply);
                        }
                        Event::Closed => all.closed = true,
                    }
                    gathered.drain(..len);
                }
            }
        }
    }
    Ok(all)
}

fn text(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

#[test]
fn what_a_peer_says_is_heard_with_every_cipher_version_and_end() {
    for (version, aead) in combinations() {
        for ours in BOTH {
            let Pair { receive: key, mut source, mut peer, .. } = pair(ours, version, aead);
            let mut receiver = Receiver::new(&key).unwrap();
            // A server begins with its tickets.
            let mut wire = take(&mut peer);
            wire.extend(said(&mut peer, &text(100_000)));
            peer.send_close_notify();
            wire.extend(take(&mut peer));
            let heard = receive(&mut receiver, &mut source, [&wire[..]]).unwrap();
            assert_eq!(heard.data, text(100_000), "{version:?} {aead:?} {ours:?}");
            assert!(heard.closed && receiver.is_closed());
        }
    }
}

#[test]
fn what_we_seal_is_heard_with_every_cipher_version_and_end() {
    for (version, aead) in combinations() {
        for ours in BOTH {
            let Pair { transmit, mut peer, .. } = pair(ours, version, aead);
            let mut sealer = Sealer::new(&transmit).unwrap();
            let mut wire = Vec::new();
            sealer.seal_data(&text(50_000), 1_300, &mut wire).unwrap();
            sealer.seal_data(&text(7), usize::MAX, &mut wire).unwrap();
            sealer.alert(0, &mut wire).unwrap();
            let mut all = Vec::new();
            for part in wire.chunks(4_000) {
                give(&mut peer, part).unwrap();
                all.extend(heard(&mut peer));
            }
            assert_eq!(all, [text(50_000), text(7)].concat());
            assert_eq!(sealer.records_left(), aead.records_max() - transmit.sequence() - 41);
        }
    }
}

#[test]
fn every_split_says_the_same() {
    for (version, aead) in combinations() {
        let Pair { receive: key, mut source, mut peer, .. } = pair(Ours::Server, version, aead);
        let mut wire = said(&mut peer, b"one");
        wire.extend(said(&mut peer, &text(100)));
        for at in 0..=wire.len() {
            let mut receiver = Receiver::new(&key).unwrap();
            let halves = [&wire[..at], &wire[at..]];
            let heard = receive(&mut receiver, &mut source, halves).unwrap();
            assert_eq!(heard.data, [&b"one"[..], &text(100)].concat(), "split at {at}");
        }
        let mut receiver = Receiver::new(&key).unwrap();
        let heard = receive(&mut receiver, &mut source, wire.chunks(1)).unwrap();
        assert_eq!(heard.data.len(), 103);
    }
}

#[test]
fn no_changed_byte_passes() {
    for (version, aead) in combinations() {
        let Pair { receive: key, mut source, mut peer, .. } = pair(Ours::Server, version, aead);
        let wire = said(&mut peer, b"some bytes");
        for at in 0..wire.len() {
            for bit in 0..8 {
                let mut changed = wire.clone();
                changed[at] ^= 1 << bit;
                let mut receiver = Receiver::new(&key).unwrap();
                let result = receive(&mut receiver, &mut source, [&changed[..]]);
                let is_longer = matches!(&result, Ok(heard) if heard.data.is_empty());
                let is_in_length = at == 3 || at == 4;
                assert!(result.is_err() || (is_in_length && is_longer), "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn records_that_are_reordered_repeated_or_left_out_are_refused() {
    for (version, aead) in combinations() {
        let Pair { receive: key, mut source, mut peer, .. } = pair(Ours::Server, version, aead);
        let [one, two, three] = [b"one", b"two", b"six"].map(|text| said(&mut peer, text));
        for wrong in [[&two, &one], [&one, &one], [&one, &three]] {
            let mut receiver = Receiver::new(&key).unwrap();
            let result = receive(&mut receiver, &mut source, wrong.map(|bytes| &bytes[..]));
            assert_eq!(result, Err(RecordError::Decrypt));
        }
    }
}

#[test]
fn keys_are_updated_in_both_directions() {
    for (_, aead) in combinations().filter(|(version, _)| *version == Version::Tls13) {
        for ours in BOTH {
            let Pair { transmit, receive: key, mut source, mut peer } =
                pair(ours, Version::Tls13, aead);
            let mut receiver = Receiver::new(&key).unwrap();
            let mut sealer = Sealer::new(&transmit).unwrap();
            let mut wire = said(&mut peer, b"before");
            peer.refresh_traffic_keys().unwrap();
            wire.extend(take(&mut peer));
            wire.extend(said(&mut peer, b", after"));
            let all = receive(&mut receiver, &mut source, wire.chunks(3)).unwrap();
            assert_eq!((all.data.as_slice(), all.updates), (&b"before, after"[..], 1));
            assert_eq!(all.replies, 1);
            let mut wire = Vec::new();
            sealer.seal_data(b"before", 99, &mut wire).unwrap();
            sealer.update_key(&mut source, true, &mut wire).unwrap();
            sealer.seal_data(b", after", 99, &mut wire).unwrap();
            assert_eq!(sealer.records_left(), aead.records_max() - 1);
            give(&mut peer, &wire).unwrap();
            assert_eq!(heard(&mut peer), b"before, after");
            // The peer's answer to our request comes with what it says next.
            let mut wire = take(&mut peer);
            wire.extend(said(&mut peer, b"and on"));
            let all = receive(&mut receiver, &mut source, [&wire[..]]).unwrap();
            assert_eq!((all.data.as_slice(), all.updates, all.replies), (&b"and on"[..], 1, 0));
        }
    }
}

#[test]
fn what_comes_after_the_end_is_dropped() {
    let (mut receiver, mut source, mut sealer) = forged(Ours::Server, Version::Tls13);
    let mut wire = Vec::new();
    sealer.alert(0, &mut wire).unwrap();
    wire.extend_from_slice(b"GET / HTTP/1.1");
    let all = receive(&mut receiver, &mut source, wire.chunks(9)).unwrap();
    assert!(all.closed && all.data.is_empty());
    assert_eq!(receiver.receive(&mut source, &mut []), Ok(RecordRead::NeedMore(HEAD)));
}

#[test]
fn bytes_of_no_meaning_end_the_connection_and_nothing_else() {
    for (version, aead) in combinations() {
        let Pair { receive: key, mut source, .. } = pair(Ours::Server, version, aead);
        let mut state = 7_u32;
        for round in 0..2_000_u32 {
            let mut bytes: Vec<u8> = (0..round % 90)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0]
                })
                .collect();
            // Some get past the head.
            let head = [23, 3, 3, 0, 40];
            let known = bytes.len().min(head.len());
            bytes[..known].copy_from_slice(&head[..known]);
            let mut receiver = Receiver::new(&key).unwrap();
            let result = receiver.receive(&mut source, &mut bytes);
            let is_cut = bytes.len() < 45;
            assert_eq!(matches!(result, Ok(RecordRead::NeedMore(_))), is_cut);
            assert_eq!(result.is_err(), !is_cut);
        }
    }
}

/// A receiver whose peer is a sealer with the same key, which says what no good peer would.
fn forged(ours: Ours, version: Version) -> (Receiver, KeySource, Sealer) {
    let Pair { receive: key, source, .. } = pair(ours, version, Aead::Aes128Gcm);
    (Receiver::new(&key).unwrap(), source, Sealer::new(&key).unwrap())
}

/// Records that a peer sends.
type Said<'a> = &'a [(Kind, &'a [u8])];

#[test]
fn what_may_not_come_in_tls_13_is_refused() {
    const UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
    let cut_update: [(Kind, &[u8]); 2] = [(Kind::Handshake, &UPDATE[..3]), (Kind::Data, b"x")];
    let cases: [(Said<'_>, RecordError); 13] = [
        (&[(Kind::Alert, &[])], RecordError::Empty),
        (&[(Kind::Handshake, &[])], RecordError::Empty),
        (&[(Kind::Alert, &[2])], RecordError::AlertLength),
        (&[(Kind::Alert, &[1, 0, 0])], RecordError::AlertLength),
        (&[(Kind::Alert, &[2, 40])], RecordError::Alert(40)),
        (&[(Kind::Alert, &[1, 40])], RecordError::Alert(40)),
        (&[(Kind::Alert, &[1, 90][..]); 5], RecordError::Warnings),
        (&[(Kind::Handshake, &[1, 0, 0, 0])], RecordError::Message(1)),
        (&[(Kind::Handshake, &[24, 0, 0, 1, 2])], RecordError::KeyUpdate),
        (&[(Kind::Handshake, &[24, 0, 0, 2])], RecordError::KeyUpdate),
        (&[(Kind::Handshake, &[24, 0, 0, 1, 0, 4])], RecordError::MessageBoundary),
        (&[(Kind::Handshake, &[4, 1, 0, 0])], RecordError::MessageTooLarge),
        (&cut_update, RecordError::MessageBoundary),
    ];
    for (records, error) in cases {
        let (mut receiver, mut source, mut sealer) = forged(Ours::Client, Version::Tls13);
        let mut wire = Vec::new();
        records.iter().for_each(|(kind, bytes)| sealer.seal(*kind, bytes, &mut wire).unwrap());
        assert_eq!(receive(&mut receiver, &mut source, [&wire[..]]), Err(error.clone()));
        assert_eq!(error.alert().is_none(), matches!(error, RecordError::Alert(_)));
        assert!(!error.to_string().is_empty());
    }
    let (mut receiver, mut source, mut sealer) = forged(Ours::Server, Version::Tls13);
    let mut wire = Vec::new();
    sealer.seal(Kind::Handshake, &TICKET, &mut wire).unwrap();
    let refused = receive(&mut receiver, &mut source, [&wire[..]]).unwrap_err();
    assert_eq!(refused, RecordError::Message(4), "a client sends no tickets");
}

/// A `NewSessionTicket` with a ticket of one byte (RFC 8446, section 4.6.1).
const TICKET: [u8; 18] = [4, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0];

#[test]
fn tickets_come_many_in_a_record_or_one_in_many() {
    let (mut receiver, mut source, mut sealer) = forged(Ours::Client, Version::Tls13);
    let mut wire = Vec::new();
    sealer.seal(Kind::Handshake, &[TICKET; 3].concat(), &mut wire).unwrap();
    for part in [TICKET; 2].concat().chunks(5) {
        sealer.seal(Kind::Handshake, part, &mut wire).unwrap();
    }
    sealer.seal(Kind::Data, b"data", &mut wire).unwrap();
    let update = [&TICKET[..], &[24, 0, 0, 1, 1]].concat();
    sealer.seal(Kind::Handshake, &update, &mut wire).unwrap();
    let all = receive(&mut receiver, &mut source, wire.chunks(11)).unwrap();
    assert_eq!((all.data.as_slice(), all.updates, all.replies), (&b"data"[..], 1, 1));
    assert_eq!(receiver.message.capacity(), 0, "nothing is kept");
}

#[test]
fn what_may_not_come_in_tls_12_is_refused() {
    let cases: [(Said<'_>, RecordError); 6] = [
        (&[(Kind::Handshake, &[0, 0, 0, 0])], RecordError::Renegotiation),
        (&[(Kind::Handshake, &[1, 0, 0, 9])], RecordError::Renegotiation),
        (&[(Kind::Handshake, &[24, 0, 0, 1, 0])], RecordError::Message(24)),
        (&[(Kind::Alert, &[2, 40])], RecordError::Alert(40)),
        (&[(Kind::Alert, &[1, 40][..]); 5], RecordError::Warnings),
        (&[(Kind::Alert, &[])], RecordError::Empty),
    ];
    for (records, error) in cases {
        let (mut receiver, mut source, mut sealer) = forged(Ours::Server, Version::Tls12);
        let mut wire = Vec::new();
        records.iter().for_each(|(kind, bytes)| sealer.seal(*kind, bytes, &mut wire).unwrap());
        assert_eq!(receive(&mut receiver, &mut source, [&wire[..]]), Err(error));
    }
}

#[test]
fn heads_of_no_good_record_are_refused_at_once() {
    let cases: [(&[u8], Version, RecordError); 9] = [
        (&[20], Version::Tls13, RecordError::Type(20)),
        (&[22], Version::Tls13, RecordError::Type(22)),
        (&[20], Version::Tls12, RecordError::Type(20)),
        (b"G", Version::Tls13, RecordError::Type(b'G')),
        (&[23, 3, 1, 0, 32], Version::Tls13, RecordError::Version),
        (&[23, 3, 3, 0x41, 1], Version::Tls13, RecordError::TooLong),
        (&[23, 3, 3, 0x48, 1], Version::Tls12, RecordError::TooLong),
        (&[23, 3, 3, 0, 16], Version::Tls13, RecordError::Decrypt),
        (&[23, 3, 3, 0, 23], Version::Tls12, RecordError::Decrypt),
    ];
    for (bytes, version, error) in cases {
        let key = TrafficKey::new(version, Aead::Aes128Gcm, &[1; 16], [2; 12], 0).unwrap();
        let mut bytes = bytes.to_vec();
        assert_eq!(Opener::new(&key).unwrap().open(&mut bytes), Err(error));
    }
}

#[test]
fn padding_is_taken_off_and_padding_alone_is_refused() {
    let key = TrafficKey::new(Version::Tls13, Aead::Aes256Gcm, &[1; 32], [2; 12], 5).unwrap();
    let sealed = |inner: &[u8]| {
        let raw = RecordKey::new(&key).unwrap();
        let len = u16::try_from(inner.len() + TAG).unwrap().to_be_bytes();
        let head = [23, 3, 3, len[0], len[1]];
        let mut body = inner.to_vec();
        let nonce = Nonce::assume_unique_for_key(raw.nonce(5));
        raw.key.seal_in_place_append_tag(nonce, Aad::from(head), &mut body).unwrap();
        [&head[..], &body].concat()
    };
    let open = |inner: &[u8]| {
        let mut bytes = sealed(inner);
        let opened = Opener::new(&key).unwrap().open(&mut bytes)?.unwrap();
        Ok((opened.kind, bytes[opened.payload].to_vec()))
    };
    assert_eq!(open(b"ab\x17\0\0\0"), Ok((Kind::Data, b"ab".to_vec())));
    assert_eq!(open(b"\0\0\x17"), Ok((Kind::Data, b"\0\0".to_vec())));
    assert_eq!(open(b"\x17"), Ok((Kind::Data, Vec::new())));
    assert_eq!(open(&[0; 40]), Err(RecordError::Padding));
    assert_eq!(open(b"ab\x14"), Err(RecordError::Type(20)));
    let full = [vec![7; PAYLOAD_MAX], vec![23]].concat();
    assert_eq!(open(&full).map(|(_, payload)| payload.len()), Ok(PAYLOAD_MAX));
    assert_eq!(open(&[vec![7; PAYLOAD_MAX + 1], vec![23]].concat()), Err(RecordError::TooLong));
    assert_eq!(open(&[&full[..], &[0]].concat()), Err(RecordError::TooLong));
}

#[test]
fn numbers_and_keys_are_not_used_up() {
    let key = |aead: Aead, sequence| {
        let bytes = vec![1; aead.key_len()];
        TrafficKey::new(Version::Tls13, aead, &bytes, [2; 12], sequence).unwrap()
    };
    let last = Aead::Aes128Gcm.records_max() - 1;
    let mut wire = Vec::new();
    let mut sealer = Sealer::new(&key(Aead::Aes128Gcm, last)).unwrap();
    assert_eq!(sealer.records_left(), 1);
    sealer.seal(Kind::Data, b"x", &mut wire).unwrap();
    let len = wire.len();
    assert_eq!(sealer.seal(Kind::Data, b"x", &mut wire), Err(RecordError::KeyUsedUp));
    assert_eq!(wire.len(), len, "nothing is appended");
    assert_eq!(
        sealer.seal(Kind::Data, &[0; PAYLOAD_MAX + 1], &mut wire),
        Err(RecordError::TooLong)
    );
    let mut sealer = Sealer::new(&key(Aead::ChaCha20Poly1305, u64::MAX - 1)).unwrap();
    let mut wire = Vec::new();
    sealer.seal(Kind::Data, b"x", &mut wire).unwrap();
    assert_eq!(sealer.seal(Kind::Data, b"x", &mut wire), Err(RecordError::KeyUsedUp));
    let mut opener = Opener::new(&key(Aead::ChaCha20Poly1305, u64::MAX - 1)).unwrap();
    let again = wire.clone();
    assert!(opener.open(&mut wire).unwrap().is_some());
    assert_eq!(opener.open(&mut again.clone()), Err(RecordError::Sequence));
}

#[test]
fn key_updates_without_data_are_limited() {
    let Pair { receive: key, mut source, mut peer, .. } =
        pair(Ours::Server, Version::Tls13, Aead::Aes128Gcm);
    let mut receiver = Receiver::new(&key).unwrap();
    let updates = |peer: &mut _, count: usize| {
        let mut wire = Vec::new();
        for _ in 0..count {
            rustls::Connection::refresh_traffic_keys(peer).unwrap();
            wire.extend(take(peer));
        }
        wire
    };
    let mut wire = updates(&mut peer, 32);
    wire.extend(said(&mut peer, b"x"));
    wire.extend(updates(&mut peer, 32));
    assert_eq!(receive(&mut receiver, &mut source, [&wire[..]]).unwrap().updates, 64);
    let wire = updates(&mut peer, 1);
    let refused = receive(&mut receiver, &mut source, [&wire[..]]);
    assert_eq!(refused, Err(RecordError::KeyUpdates));
}

#[test]
fn nothing_of_a_key_is_printed() {
    let key = TrafficKey::new(Version::Tls13, Aead::Aes128Gcm, &[0xee; 16], [0xdd; 12], 3).unwrap();
    let receiver = Receiver::new(&key).unwrap();
    let sealer = Sealer::new(&key).unwrap();
    let text = format!("{key:?} {receiver:?} {sealer:?}");
    assert!(!text.contains("238") && !text.contains("221") && !text.contains("ee, "), "{text}");
}
