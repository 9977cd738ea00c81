//! A server that drains, and reloads.

use std::sync::mpsc::channel;
use std::time::Duration;

use ringway::runtime::clock;

use super::*;

#[test]
fn sockets_are_closed_one_after_the_other_when_the_server_drains() {
    // Those on which nothing goes for five seconds are quiet: pings tell that they are over.
    let keys = "ping_interval = \"1s\"\nidle_timeout = \"off\"\ndrain_window = \"2s\"";
    let served = served(1, keys, "");
    let quiet: Vec<Peer> = (0..25).map(|_| Peer::open(&served, "/echo")).collect();
    let mut clock_of_server = Peer::open(&served, "/topics");
    for _ in 0..6 {
        assert!(matches!(clock_of_server.next(), Came::Ping(_)));
    }
    let mut lively: Vec<Peer> = (0..25).map(|_| Peer::open(&served, "/echo")).collect();
    lively.iter_mut().for_each(Peer::round_trip);
    let begin = clock::now();
    served.running().drain();
    let (tell, told) = channel();
    let all = quiet.into_iter().map(|peer| (peer, true));
    for (mut peer, is_quiet) in all.chain(lively.into_iter().map(|peer| (peer, false))) {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let came = peer.next_but_pings();
            tell.send((is_quiet, came, begin.elapsed())).unwrap();
            peer.close(1012, "");
            assert_eq!(peer.next(), Came::End);
        });
    }
    let closes: Vec<(bool, Came, Duration)> =
        (0..50).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    for (is_quiet, came, after) in &closes {
        assert_eq!(*came, Came::Close(1012, "the server restarts".into()));
        // The second half of the window is theirs.
        assert!(*is_quiet || *after >= Duration::from_secs(1), "{after:?}");
    }
    // Not at once: the machine may delay what is sent, and does not make it earlier.
    let first = closes.iter().map(|(_, _, after)| *after).min().unwrap();
    let last = closes.iter().map(|(_, _, after)| *after).max().unwrap();
    assert!(last - first >= Duration::from_millis(500), "{first:?} {last:?}");
    let quiet_first = closes[..25].iter().filter(|(is_quiet, ..)| *is_quiet).count();
    assert!(quiet_first >= 20, "{quiet_first} of the first 25 are quiet ones");
    // While it drains, no other comes: the listener is gone. The clock's socket is open still.
    let _closed = clock_of_server.next_but_pings();
    clock_of_server.close(1012, "");
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn the_code_of_a_drain_is_the_routes() {
    let served = served(1, "drain_window = \"0s\"\ndrain_code = 4321", "");
    let mut peers = [Peer::open(&served, "/echo"), Peer::open(&served, "/topics")];
    served.running().drain();
    for peer in &mut peers {
        assert_eq!(peer.next(), Came::Close(4321, "the server restarts".into()));
        peer.close(4321, "");
        assert_eq!(peer.next(), Came::End);
    }
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn a_reload_closes_the_sockets_of_listeners_that_go() {
    let keys = "drain_window = \"0s\"\nmessage_max = 1000";
    let text = configuration(1, keys, "");
    let served = Served::new(&text);
    let mut peer = Peer::open(&served, "/echo");
    let mut subscriber = Peer::open(&served, "/topics");
    subscriber.text(r#"{"op":"subscribe","topic":"a"}"#);
    assert_eq!(subscriber.next(), Came::text(r#"{"op":"ok"}"#));
    peer.round_trip();
    // Other options are for those who come.
    served.reload(&text.replace("1000", "50")).unwrap();
    let message = "longer than so many bytes, ".repeat(3);
    wait_until("new ones have the new limit", || {
        let mut other = Peer::open(&served, "/echo");
        other.text(&message);
        matches!(other.next(), Came::Close(1009, _))
    });
    peer.text(&message);
    assert_eq!(peer.next(), Came::text(&message));
    let mut publisher = Peer::open(&served, "/topics");
    publisher.text(r#"{"op":"publish","topic":"a","data":1}"#);
    assert_eq!(subscriber.next(), Came::text(r#"{"op":"message","topic":"a","data":1}"#));
    // Another listener takes the place of the first.
    served.reload(&text.replace("name = \"web\"", "name = \"other\"")).unwrap();
    for peer in [&mut peer, &mut subscriber, &mut publisher] {
        assert_eq!(peer.next(), Came::Close(1012, "the server restarts".into()));
        peer.close(1012, "");
        assert_eq!(peer.next(), Came::End);
    }
}
