//! Windows and priorities.

use super::*;

const INITIAL_WINDOW: u16 = frame::setting::INITIAL_WINDOW_SIZE;

#[test]
fn a_body_goes_out_as_the_windows_allow() {
    let mut peer = Peer::new(Answers::Bytes(100));
    peer.send(&[hello(&[(INITIAL_WINDOW, 0)]), get(1, "/")].concat());
    assert_eq!(peer.said()[2..], ["1 head :status=200 content-length=100"]);
    assert!(peer.server.is_held_up());
    let mut update = Vec::new();
    frame::write_window_update(1, 30, &mut update);
    peer.send(&update);
    assert_eq!(peer.said(), [format!("1 data {}", "x".repeat(30))]);
    // Settings change the windows of open streams, to less than nothing too (section 6.9.2).
    let settings = |size| {
        let mut out = Vec::new();
        frame::write_settings(&[(INITIAL_WINDOW, size)], &mut out);
        out
    };
    peer.send(&settings(10));
    assert_eq!(peer.said(), ["settings ack".to_owned(), format!("1 data {}", "x".repeat(10))]);
    peer.send(&settings(0));
    peer.send(&update);
    assert_eq!(peer.said(), ["settings ack".to_owned(), format!("1 data {}", "x".repeat(20))]);
    peer.send(&settings(1000));
    assert_eq!(peer.said(), ["settings ack".to_owned(), format!("1 data {} end", "x".repeat(40))]);
    assert_eq!(peer.server.streams(), 0);
}

#[test]
fn the_window_of_the_connection_holds_for_all() {
    let mut peer = Peer::new(Answers::Bytes(40_000));
    peer.send(&[hello(&[(INITIAL_WINDOW, 1 << 20)]), get(1, "/"), get(3, "/")].concat());
    let sent = |said: &[String]| {
        let sizes = said.iter().filter_map(|word| word.split_once("data of ")?.1.split(' ').next());
        sizes.map(|size| size.parse::<usize>().unwrap()).sum::<usize>()
    };
    let said = peer.said();
    assert_eq!(sent(&said), 65_535, "{said:?}");
    let mut update = Vec::new();
    frame::write_window_update(0, 20_000, &mut update);
    peer.send(&update);
    assert_eq!(sent(&peer.said()), 80_000 - 65_535);
    assert_eq!(peer.server.streams(), 0);
}

#[test]
fn what_was_taken_is_given_back_in_halves_of_the_window() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&post(1, &[]));
    for _ in 0..2 {
        peer.send(&data(1, &[b'a'; 16_384], false));
    }
    assert!(peer.said().is_empty(), "nothing was taken");
    while peer.server.next_of_body(1).unwrap().is_some() {}
    peer.turn();
    assert_eq!(peer.said(), ["0 window 32768", "1 window 32768"]);
    // Used up again within two round trips: both grow.
    for _ in 0..2 {
        peer.send(&data(1, &[b'a'; 16_384], false));
    }
    while peer.server.next_of_body(1).unwrap().is_some() {}
    peer.turn();
    let grown = 32_768 + 65_535;
    assert_eq!(peer.said(), [format!("0 window {grown}"), format!("1 window {grown}")]);
    peer.now += std::time::Duration::from_secs(1);
    for _ in 0..4 {
        peer.send(&data(1, &[b'a'; 16_384], false));
    }
    while peer.server.next_of_body(1).unwrap().is_some() {}
    peer.turn();
    assert_eq!(peer.said(), ["0 window 65536", "1 window 65536"], "slow enough");
}

#[test]
fn what_nobody_takes_of_a_stream_is_given_back_to_the_connection() {
    let mut peer = Peer::greeted(Answers::Nothing);
    for round in 0..10 {
        let id = round * 2 + 1;
        peer.send(&[post(id, &[]), data(id, &[b'a'; 16_384], false)].concat());
        peer.server.reset(id, ErrorCode::CANCEL, &mut peer.space);
        // It was on its way, and is dropped.
        peer.send(&data(id, &[b'a'; 16_384], false));
    }
    let said = peer.said();
    let given: u32 = said
        .iter()
        .filter_map(|word| word.strip_prefix("0 window "))
        .map(|bytes| bytes.parse::<u32>().unwrap())
        .sum();
    assert!(given >= 20 * 16_384 - 32_768, "{said:?}");
    assert!(peer.events.iter().all(|event| !event.contains("fails")), "{:?}", peer.events);
}

#[test]
fn a_stream_that_nobody_takes_holds_no_other_one_up() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.server.set_waiting_max(100_000);
    for id in [1, 3] {
        peer.send(&post(id, &[]));
        for _ in 0..3 {
            peer.send(&data(id, &[b'a'; 16_384], false));
        }
        assert!(!peer.said().is_empty(), "the window of the connection is given back");
    }
    assert!(!peer.server.holds_up());
    peer.send(&post(5, &[]));
    peer.send(&data(5, &[b'a'; 16_384], false));
    assert!(peer.server.holds_up(), "there is a limit to what may wait");
    assert!(peer.events.iter().all(|event| !event.contains("fails")), "{:?}", peer.events);
    while peer.server.next_of_body(1).unwrap().is_some() {}
    assert!(!peer.server.holds_up());
}

#[test]
fn an_answer_that_waits_for_the_window_of_the_connection_has_a_time() {
    let mut peer = Peer::new(Answers::Nothing);
    peer.send(&[hello(&[(INITIAL_WINDOW, 1 << 30)]), get(1, "/")].concat());
    peer.head(1, 200, None);
    peer.server.send_part(1, Buf::copy_of(&[b'x'; 65_535]));
    peer.turn();
    assert!(!peer.server.is_held_up(), "all that there was has gone");
    let timeout = std::time::Duration::from_secs(30);
    assert_eq!(peer.server.room(1), 0);
    assert_eq!(peer.server.stalls_at(timeout), Some(peer.now + timeout));
    assert_eq!(peer.server.stalled(peer.now + timeout, timeout), Some(1));
}

#[test]
fn an_answer_that_begins_while_the_window_opens_and_shuts_has_a_time_too() {
    let mut peer = Peer::new(Answers::Nothing);
    peer.send(&[hello(&[(INITIAL_WINDOW, 1 << 30)]), get(1, "/"), get(3, "/")].concat());
    peer.head(1, 200, None);
    peer.server.send_part(1, Buf::copy_of(&[b'x'; 100_000]));
    peer.turn();
    let mut update = Vec::new();
    frame::write_window_update(0, 16_384, &mut update);
    peer.server.receive(Buf::copy_of(&update));
    let Peer { server, limits, now, space, spare, .. } = &mut peer;
    assert!(matches!(server.poll(*now, limits, space, spare), Ok(Some(ServerEvent::Opened(None)))));
    peer.head(3, 200, None);
    // The other answer takes all of it.
    peer.turn();
    assert_eq!(peer.server.room(3), 0);
    let timeout = std::time::Duration::from_secs(30);
    let at = peer.now + timeout;
    for stream in [1, 3] {
        assert_eq!(peer.server.stalled(at, timeout), Some(stream));
        peer.server.reset(stream, ErrorCode::CANCEL, &mut peer.space);
    }
    assert_eq!(peer.server.stalled(at, timeout), None);
}

#[test]
fn a_frame_that_is_cut_where_the_steps_of_a_turn_end_has_its_time() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.server.receive(Buf::copy_of(&get(1, "/")[..HEAD_LEN]));
    peer.server.begin_turn(1);
    peer.turn();
    assert!(peer.server.has_nothing_new());
    assert_eq!(peer.server.partial_since(), Some(peer.now));
}

#[test]
fn a_frame_that_came_in_two_parts_is_forgotten_once_it_is_there() {
    let mut peer = Peer::greeted(Answers::Nothing);
    let request = get(1, "/");
    peer.send(&request[..12]);
    assert_eq!(peer.server.partial_since(), Some(peer.now));
    peer.server.receive(Buf::copy_of(&request[12..]));
    let Peer { server, limits, now, space, spare, .. } = &mut peer;
    assert!(matches!(server.poll(*now, limits, space, spare), Ok(Some(ServerEvent::Request(..)))));
    assert!(server.has_nothing_new());
    assert_eq!(server.partial_since(), None, "nobody polls again before more has come");
}

#[test]
fn more_than_the_window_is_refused() {
    let mut peer = Peer::greeted(Answers::Nothing);
    peer.send(&post(1, &[]));
    for _ in 0..4 {
        peer.send(&data(1, &[b'a'; 16_384], false));
    }
    assert_eq!(peer.said().last().unwrap(), "goaway 1 flow_control_error");
}

#[test]
fn urgent_answers_go_first_and_incremental_ones_share() {
    let mut peer = Peer::greeted(Answers::Bytes(40_000));
    let mut windows = Vec::new();
    frame::write_window_update(0, 1 << 20, &mut windows);
    peer.send(&windows);
    peer.room = 0;
    let with = |id, priority| {
        let fields = [&request_line("GET", "/")[..], &[("priority", priority)]].concat();
        framed(kind::HEADERS, END, id, &block(&fields))
    };
    peer.send(&[with(1, "u=7"), with(3, "i"), with(5, "i"), with(7, "u=1"), get(9, "/")].concat());
    peer.said();
    peer.room = 1 << 20;
    peer.turn();
    let order = |said: Vec<String>| -> Vec<u32> {
        said.iter().map(|word| word.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(order(peer.said()), [7, 7, 7, 9, 9, 9, 3, 5, 3, 5, 3, 5, 1, 1, 1]);
    // A priority may change while an answer waits.
    peer.room = 0;
    peer.send(&[with(11, "u=5"), with(13, "u=6")].concat());
    peer.said();
    let mut update = vec![0, 0, 0, 13];
    update.extend_from_slice(b"u=0");
    peer.room = 16_384;
    peer.send(&framed(kind::PRIORITY_UPDATE, 0, 0, &update));
    assert_eq!(order(peer.said()), [13]);
}

#[test]
fn a_stream_without_window_takes_nothing() {
    let mut peer = Peer::new(Answers::Nothing);
    peer.send(&[hello(&[(INITIAL_WINDOW, 100)]), get(1, "/")].concat());
    peer.head(1, 200, None);
    assert_eq!(peer.server.room(1), 100);
    peer.server.send_part(1, Buf::copy_of(&[0; 70]));
    assert_eq!(peer.server.room(1), 30);
    peer.turn();
    assert_eq!(peer.server.room(1), 30);
    peer.server.send_part(1, Buf::copy_of(&[0; 70]));
    assert_eq!(peer.server.room(1), 0);
}

#[test]
fn a_turn_ends_with_its_steps_and_the_next_one_goes_on_where_it_was() {
    let streams = || (0..60).map(|at| at * 2 + 1);
    let large = "x".repeat(4_000);
    let kinds: [(&str, Vec<u8>, usize); 4] = [
        ("requests", streams().flat_map(|id| get(id, "/")).collect(), 4),
        (
            "large heads",
            streams()
                .flat_map(|id| {
                    let fields = [&request_line("GET", "/")[..], &[("x", large.as_str())]].concat();
                    framed(kind::HEADERS, END, id, &block(&fields))
                })
                .collect(),
            1,
        ),
        ("frames that say nothing", framed(0x77, 0, 0, b"").repeat(100), 0),
        ("bodies", [post(1, &[]), data(1, b"x", false).repeat(100)].concat(), 20),
    ];
    for (name, bytes, most) in kinds {
        let mut peer = Peer::greeted(Answers::Nothing);
        peer.send(&bytes);
        let (events, is_read) = (peer.events, peer.server.is_read());
        assert!(is_read, "without a limit all is read: {name}");
        let mut peer = Peer::greeted(Answers::Nothing);
        peer.server.receive(Buf::copy_of(&bytes));
        let mut turns = 0;
        while !peer.server.has_nothing_new() {
            let before = peer.events.len();
            peer.server.begin_turn(20);
            peer.turn();
            let heads = |events: &[String]| events.iter().filter(|one| one.contains("GET")).count();
            assert!(heads(&peer.events[before..]) <= most, "{name}: {:?}", &peer.events[before..]);
            assert_eq!(peer.server.partial_since(), None, "{name}: it is not the client's time");
            turns += 1;
            assert!(turns < 100, "{name}: each turn goes on");
        }
        assert!(turns > 4, "{name}: {turns} turns");
        assert_eq!(peer.events, events, "{name}: nothing is lost");
    }
}

#[test]
fn a_text_that_waits_takes_no_memory() {
    let mut peer = Peer::new(Answers::Nothing);
    peer.send(&hello(&[(INITIAL_WINDOW, 0)]));
    let text = crate::mem::Text::from(&[b't'; 100_000][..]);
    let window = |id, bytes| {
        let mut update = Vec::new();
        frame::write_window_update(id, bytes, &mut update);
        update
    };
    for id in [1, 3] {
        peer.send(&get(id, "/"));
        peer.head(id, 200, Some(100_000));
        peer.server.send_whole(id, Whole::Text(&text), &mut peer.out);
        peer.server.end_answer(id, &mut peer.space);
    }
    peer.turn();
    assert_eq!((peer.server.queued(), peer.server.cost(), peer.server.streams()), (0, 0, 2));
    peer.out.clear();
    // A part, a reset, and the rest.
    peer.send(&window(1, 10));
    peer.send(&framed(kind::RST_STREAM, 0, 3, &8_u32.to_be_bytes()));
    assert_eq!((peer.server.queued(), peer.server.cost(), peer.server.streams()), (0, 0, 1));
    peer.send(&window(1, 200_000));
    peer.send(&window(0, 200_000));
    assert_eq!((peer.server.queued(), peer.server.cost(), peer.server.streams()), (0, 0, 0));
    let sent: usize = peer.out.iter().filter(|byte| **byte == b't').count();
    assert_eq!(sent, 100_000);
}
