//! Peers that do too much of something.

use super::*;

/// What a server says last when the same bytes come again and again.
fn flooded(mut peer: Peer, mut bytes: impl FnMut(u32) -> Vec<u8>, most: u32) -> (u32, String) {
    for round in 0..most {
        peer.send(&bytes(round));
        if let Some(last) = peer.said().last()
            && last.starts_with("goaway")
        {
            assert!(peer.server.cost() == 0, "nothing is kept");
            return (round, last.split(' ').next_back().unwrap().to_owned());
        }
    }
    (most, "endures".to_owned())
}

#[test]
fn each_flood_ends_at_its_limit() {
    let calm = "enhance_your_calm".to_owned();
    // Rapid reset (CVE-2023-44487).
    let reset = |round: u32| {
        let id = round * 2 + 1;
        let mut bytes = get(id, "/");
        frame::write_reset(id, ErrorCode::CANCEL, &mut bytes);
        bytes
    };
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), reset, 1000), (100, calm.clone()));
    // Resets of streams that are answered count, too.
    assert_eq!(flooded(Peer::greeted(Answers::Word), reset, 1000), (100, calm.clone()));
    // We are made to reset (CVE-2025-8671).
    let forced = |round: u32| {
        let id = round * 2 + 1;
        [get(id, "/"), framed(kind::WINDOW_UPDATE, 0, id, &[0; 4])].concat()
    };
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), forced, 1000), (100, calm.clone()));
    let malformed = |round: u32| {
        let fields = block(&[(":method", "GET")]);
        framed(kind::HEADERS, END, round * 2 + 1, &fields)
    };
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), malformed, 1000), (100, calm.clone()));
    let ping = |_: u32| framed(kind::PING, 0, 0, &[0; 8]);
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), ping, 5000), (1000, calm.clone()));
    let settings = |_: u32| framed(kind::SETTINGS, 0, 0, &[]);
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), settings, 5000), (1000, calm.clone()));
    let priority = |_: u32| framed(kind::PRIORITY, 0, 1, &[0; 5]);
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), priority, 5000), (1000, calm.clone()));
    let unknown = |_: u32| framed(0x77, 0, 1, &[0; 5]);
    assert_eq!(flooded(Peer::greeted(Answers::Nothing), unknown, 5000), (1000, calm.clone()));
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&post(1, &[]));
    assert_eq!(flooded(peer, |_| data(1, b"", false), 1000), (100, calm.clone()));
    // CONTINUATION without end.
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&framed(kind::HEADERS, flag::END_STREAM, 1, &block(&request_line("GET", "/"))));
    let more = |_: u32| framed(kind::CONTINUATION, 0, 1, &block(&[("x", "y")]));
    assert_eq!(flooded(peer, more, 100), (8, calm));
}

#[test]
fn the_same_in_time_is_no_flood() {
    let mut peer = Peer::greeted(Answers::Word);
    for round in 0..1000_u32 {
        peer.now += std::time::Duration::from_millis(101);
        let id = round * 2 + 1;
        let mut bytes = get(id, "/");
        frame::write_reset(id, ErrorCode::CANCEL, &mut bytes);
        peer.send(&bytes);
    }
    assert!(peer.events.iter().all(|event| !event.contains("fails")));
}

#[test]
fn frames_that_come_too_late_for_their_streams_are_no_flood() {
    let mut peer = Peer::greeted(Answers::Word);
    for round in 0..5000_u32 {
        let id = round * 2 + 1;
        let mut bytes = get(id, "/");
        // The answer has ended when these come.
        frame::write_window_update(id, 4, &mut bytes);
        bytes.extend(framed(kind::PRIORITY, 0, id, &[0; 5]));
        peer.send(&bytes);
    }
    assert!(peer.events.iter().all(|event| !event.contains("fails")));
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let mut peer = Peer::greeted(Answers::Nothing);
    for at in 0..150_u32 {
        peer.send(&get(at * 2 + 1, "/"));
    }
    assert_eq!(peer.server.streams(), 100);
    let said = peer.said();
    assert_eq!(said.len(), 50);
    assert!(said.iter().all(|word| word.ends_with("reset refused_stream")), "{said:?}");
    // Before our settings have come, it cannot know; afterwards it is an offence.
    peer.send(&framed(kind::SETTINGS, flag::ACK, 0, b""));
    for at in 150..252_u32 {
        peer.send(&get(at * 2 + 1, "/"));
    }
    assert_eq!(peer.said().last().unwrap(), "goaway 501 enhance_your_calm");
}

#[test]
fn heads_in_memory_are_in_proportion_to_what_was_sent() {
    // One large entry of the table, then references to it, each a byte (CVE-2026-49975).
    let mut peer = Peer::greeted(Answers::Nothing);
    let mut encoder = Encoder::default();
    let value = "v".repeat(600);
    let mut sent = 0;
    let (mut refused, mut largest) = (0, 0);
    for at in 0..2000_u32 {
        let mut block = Vec::new();
        for (name, value) in request_line("GET", "/") {
            let of = (Name::of(name.as_bytes()), name.as_bytes());
            encoder.field(of, value.as_bytes(), Keep::Table, &mut block);
        }
        for _ in 0..90 {
            let name = (Name::of(b"x-bomb"), &b"x-bomb"[..]);
            encoder.field(name, value.as_bytes(), Keep::Table, &mut block);
        }
        let bytes = framed(kind::HEADERS, END, at * 2 + 1, &block);
        sent += bytes.len();
        peer.send(&bytes);
        refused += peer.said().iter().filter(|word| word.contains("refused_stream")).count();
        largest = largest.max(peer.server.heads());
        assert!(peer.server.heads() <= 8 * sent + 16 * 1024 + 8 * 100, "{at}");
    }
    assert!(refused > 50, "{refused}");
    assert!(largest < 10 * sent + 16 * 1024);
}

#[test]
fn parts_of_a_cookie_and_fields_are_counted_apart() {
    let mut peer = Peer::greeted(Answers::Word);
    let fields = |crumbs: usize, others: usize| {
        let mut all: Vec<(String, String)> = request_line("GET", "/")
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        all.extend((0..crumbs).map(|at| ("cookie".to_owned(), format!("c{at}=1"))));
        all.extend((0..others).map(|at| (format!("x-{at}"), "1".to_owned())));
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        block(&all)
    };
    let mut id = 1;
    for (crumbs, others, status) in [(150, 40, 200), (256, 100, 200), (257, 0, 431), (0, 101, 431)]
    {
        peer.send(&framed(kind::HEADERS, END, id, &fields(crumbs, others)));
        let said = peer.said();
        assert!(said[0].starts_with(&format!("{id} head :status={status}")), "{said:?}");
        id += 2;
    }
}

#[test]
fn requests_that_are_refused_count_among_the_streams_and_have_a_limit() {
    let limits = Limits { streams: 4, forced_resets: 20, ..Limits::default() };
    let mut peer = Peer::limited(Answers::Nothing, limits);
    // Their answers cannot be sent.
    peer.send(&hello(&[(frame::setting::INITIAL_WINDOW_SIZE, 0)]));
    let nameless = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    for at in 0..4 {
        peer.send(&framed(kind::HEADERS, END, at * 2 + 1, &nameless));
    }
    assert_eq!(peer.server.streams(), 4, "{:?}", peer.events);
    for at in 4..40 {
        peer.send(&framed(kind::HEADERS, END, at * 2 + 1, &nameless));
        assert!(peer.server.streams() <= 4);
    }
    let came = |what: &str| peer.events.iter().any(|event| event.contains(what));
    assert!(came("too many"), "{:?}", peer.events);
}
