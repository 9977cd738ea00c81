//! Clients of HTTP/2 that send frames to do harm, beside one that behaves.

use std::cell::{Cell, RefCell};

use ringway::proto::http2::Violation;
use ringway::proto::http2::frame::{flag, kind};

use super::attacker::Attacker;
use super::peer::{Peer, run};
use super::web;
use crate::support::*;

const ROUTES: &str = "[[listener.route]]\npath = \"/echo\"\necho = true\n\
    [[listener.route]]\nrespond = \"hello\"\n";

fn violations(served: &Served, violation: Violation) -> u64 {
    let index = violation.index();
    served.sum(|cell| cell.stats.listeners.get(0).http.http2.violations[index].get())
}

#[test]
fn each_flood_ends_its_connection_and_no_other() {
    let served = web("", ROUTES);
    let reset = |attacker: &mut Attacker| {
        let id = attacker.script.request(&[], true);
        attacker.frame(kind::RST_STREAM, 0, id, &8_u32.to_be_bytes())
    };
    let forced = |attacker: &mut Attacker| {
        let id = attacker.script.request(&[(":path", "/echo")], false);
        attacker.frame(kind::WINDOW_UPDATE, 0, id, &[0; 4])
    };
    let continuation = |attacker: &mut Attacker| {
        if attacker.script.next == 1 {
            attacker.script.next = 3;
            return attacker.frame(kind::HEADERS, flag::END_STREAM, 1, &[0x82]);
        }
        attacker.frame(kind::CONTINUATION, 0, 1, &[0x82])
    };
    let empty = |attacker: &mut Attacker| {
        if attacker.script.next == 1 {
            attacker.script.request(&[(":path", "/echo")], false);
        }
        attacker.frame(kind::DATA, 0, 1, &[])
    };
    let ping = |attacker: &mut Attacker| attacker.frame(kind::PING, 0, 0, &[0; 8]);
    let settings = |attacker: &mut Attacker| attacker.frame(kind::SETTINGS, 0, 0, &[]);
    let priority = |attacker: &mut Attacker| attacker.frame(kind::PRIORITY, 0, 1, &[0; 5]);
    type Flood<'a> = &'a dyn Fn(&mut Attacker) -> bool;
    let floods: [(Violation, Flood<'_>); 7] = [
        (Violation::ResetFlood, &reset),
        (Violation::ForcedResetFlood, &forced),
        (Violation::ContinuationFlood, &continuation),
        (Violation::EmptyFlood, &empty),
        (Violation::ControlFlood, &ping),
        (Violation::ControlFlood, &settings),
        (Violation::ControlFlood, &priority),
    ];
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for (violation, flood) in floods {
            let before = violations(&served, violation);
            let mut attacker = Attacker::new(served.address(), &[]);
            for round in 0..5000 {
                if !flood(&mut attacker) {
                    break;
                }
                if round % 50 == 0 {
                    assert_eq!(peer.get("/").await.unwrap().body, b"hello");
                }
            }
            wait_until("it is counted", || violations(&served, violation) == before + 1);
            // It is told why, unless its own bytes have destroyed what it was told.
            let code = attacker.farewell();
            assert!(code.is_none_or(|code| code == 0xb), "{violation:?}: {code:?}");
            assert_eq!(peer.get("/").await.unwrap().body, b"hello");
        }
    });
}

#[test]
fn a_request_with_many_parts_of_a_cookie_passes() {
    let served = web("", ROUTES);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let crumbs: Vec<String> = (0..150).map(|at| format!("c{at}=value-of-{at}")).collect();
        let names: Vec<String> = (0..40).map(|at| format!("x-field-{at}")).collect();
        let cookies = crumbs.iter().map(|crumb| ("cookie", crumb.as_str()));
        let others = names.iter().map(|name| (name.as_str(), "value"));
        let fields: Vec<(&str, &str)> = cookies.chain(others).collect();
        let answer = peer.ask("GET", "/", &fields, Vec::new()).await.whole().await.unwrap();
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn an_answer_that_is_not_taken_is_given_up() {
    let long = format!("[[listener.route]]\nrespond = \"{}\"\n", "x".repeat(20_000));
    let served = web("write_timeout = \"300ms\"", &long);
    let mut attacker = Attacker::new(served.address(), &[(4, 0)]);
    for _ in 0..50 {
        attacker.request(&[]).unwrap();
    }
    let attacker = RefCell::new(attacker);
    let stalled = || served.sum(|cell| cell.stats.listeners.get(0).http.http2.stalled.get());
    // A byte now and then is no progress.
    wait_until("all are given up", || {
        let _sent = attacker.borrow_mut().frame(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        stalled() == 50
    });
    wait_until("nothing waits", || served.sum(|cell| cell.stats.waiting.bytes.get()) == 0);
}

#[test]
fn a_stalled_answer_is_given_up_though_its_client_says_nothing_more() {
    let long = format!("[[listener.route]]\nrespond = \"{}\"\n", "x".repeat(20_000));
    let served = web("write_timeout = \"100ms\"", &long);
    let mut attacker = Attacker::new(served.address(), &[(4, 0)]);
    let id = attacker.request(&[]).unwrap();
    let mut heads = std::iter::from_fn(|| attacker.next_frame()).map(|(head, _)| head);
    let reset = heads.find(|head| head.kind == kind::RST_STREAM);
    assert_eq!(reset.map(|head| head.stream), Some(id));
}

#[test]
fn answers_that_a_client_does_not_take_leave_the_worker_at_rest() {
    let folder = Folder::new();
    folder.file("large", &"l".repeat(8 << 20));
    let files = format!("[[listener.route]]\nfiles = \"{}\"\n", folder.path().display());
    let served = web("", &files);
    let mut client = Attacker::new(served.address(), &[(4, 1 << 30)]);
    client.script.frame(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    // More than are looked at in a turn.
    client.script.requests(100, &[(":path", "/large")], true);
    assert!(client.send());
    let sent = || served.sum(|cell| cell.stats.listeners.get(0).sent.get());
    wait_until("answers go out", || sent() > 0);
    // Timers look now and then; nothing else does.
    let last = Cell::new((0, 0));
    wait_until("the worker rests", || {
        let (rested, before) = last.get();
        let now = served.sum(|cell| cell.loops.turns.get());
        last.set(if now == before { (rested + 1, now) } else { (0, now) });
        rested == 5
    });
}
