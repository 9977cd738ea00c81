//! Histograms of a server, what came between two of them, and what is shown.

use std::time::Duration;

use super::report::{LatencyRecorder, ServerLatency, watch};
use super::snapshot::Snapshot;
use super::{Name, page, text};
use crate::load::report::style::checks::{assert_balanced, assert_self_contained};
use crate::load::run::Stopper;

/// A snapshot of one route and one upstream with these steps.
fn snapshot(route: &str, total: &str) -> Snapshot {
    let text = format!(
        r#"{{"version": 1, "tool": "ringway 9",
        "routes": [{{"listener": "web", "route": "/<a>", "sum_us": 5000.0, "steps": {route}}}],
        "upstreams": [
            {{"upstream": "u", "phase": "total", "sum_us": 10.0, "steps": {total}}},
            {{"upstream": "u", "phase": "queue", "sum_us": 10.0, "steps": [[3, 1]]}}]}}"#
    );
    Snapshot::parse(text.as_bytes()).unwrap()
}

fn route() -> Name {
    Name::Route { listener: "web".to_owned(), route: "/<a>".to_owned() }
}

#[test]
fn what_came_is_the_difference() {
    let before = snapshot("[[99, 10], [199, 1]]", "[[5, 2]]");
    let after = snapshot("[[99, 15], [199, 1], [299, 2]]", "[[5, 2]]");
    let came = after.since(&before);
    assert_eq!(came.len(), 1, "nothing came of the upstream");
    assert_eq!(came[&route()].count(), 7);
    let histogram = came[&route()].histogram();
    let (p50, max) = (histogram.quantile_us(0.5), histogram.summary().max);
    // Each is the bound of its step, to the three digits of the histogram.
    assert!((p50 - 100.0).abs() < 0.2 && (max - 300.0).abs() < 0.5, "{p50} {max}");
    // A server that was restarted counts from 0 again.
    let anew = snapshot("[[99, 3]]", "[[5, 9]]");
    assert_eq!(anew.since(&after)[&route()].count(), 3);
    // Then nothing is subtracted of any series.
    let upstream =
        |phase: &str| Name::Upstream { upstream: "u".to_owned(), phase: phase.to_owned() };
    assert_eq!(anew.since(&after)[&upstream("total")].count(), 9);
    assert_eq!(anew.since(&after)[&upstream("queue")].count(), 1);
    assert_eq!(after.since(&after).len(), 0);
}

#[test]
fn answers_that_no_server_gives_are_refused() {
    let refused = |text: &str| Snapshot::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(refused("{").contains("not a response with histograms"));
    assert!(refused(r#"{"routes": []}"#).contains("not a response with histograms"));
    let head = r#"{"version": 1, "tool": "x", "upstreams": [], "routes": "#;
    let route = |steps: &str, sum: &str| {
        format!(r#"{head}[{{"listener": "l", "route": "r", "sum_us": {sum}, "steps": {steps}}}]}}"#)
    };
    for bad in [
        route("[[1, 18446744073709551615], [2, 1]]", "1"),
        route("[[1, 9007199254740992]]", "1"),
        route("[[99999999999999, 1]]", "1"),
        route("[[1, 1]]", "-1"),
        route(&format!("[{}[9, 1]]", "[1, 1],".repeat(9000)), "1"),
    ] {
        assert!(refused(&bad).contains("l r is damaged"), "{}", &bad[..60]);
    }
    let newer = r#"{"version": 2, "tool": "x", "routes": [], "upstreams": []}"#;
    assert!(refused(newer).contains("format 2"));
}

fn watched() -> ServerLatency {
    let mut recorder = LatencyRecorder::new(snapshot("[[99, 10]]", "[[5, 2]]"));
    recorder.add(snapshot("[[99, 110], [1999, 1]]", "[[5, 102]]"), Duration::from_secs(1));
    recorder.add(snapshot("[[99, 110], [1999, 1]]", "[[5, 102]]"), Duration::from_secs(2));
    recorder.add(snapshot("[[99, 210], [1999, 2]]", "[[5, 202]]"), Duration::from_secs(3));
    recorder.finish("http://127.0.0.1:9901/<x>", "2026-11-29T00:00:00Z".to_owned())
}

#[test]
fn the_course_is_that_of_the_routes() {
    let report = watched();
    let counts: Vec<_> = report.intervals.iter().map(|one| one.completed).collect();
    assert_eq!((counts, report.seconds), (vec![101, 0, 101], Some(3.0)));
    assert_eq!(report.all_routes().count(), 202);
    let names: Vec<_> = report.upstreams().iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["u total"], "nothing came of the queue");
    let all = ServerLatency::since_start("u", String::new(), snapshot("[[9, 1]]", "[[5, 1]]"));
    let names: Vec<_> = all.upstreams().iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!((names, all.seconds), (vec!["u queue".to_owned(), "u total".to_owned()], None));
}

#[test]
fn a_restart_meanwhile_loses_nothing() {
    let mut recorder = LatencyRecorder::new(snapshot("[[99, 10]]", "[[5, 2]]"));
    recorder.add(snapshot("[[99, 110]]", "[[5, 102]]"), Duration::from_secs(1));
    recorder.add(snapshot("[[99, 7]]", "[[5, 4]]"), Duration::from_secs(2));
    let report = recorder.finish("http://a", String::new());
    assert_eq!(report.all_routes().count(), 107);
    let counts: Vec<_> = report.intervals.iter().map(|one| one.completed).collect();
    assert_eq!(counts, [100, 7]);
}

#[test]
fn a_read_that_fails_does_not_end_the_watch() {
    let stopper = Stopper::default();
    let mut number = 0;
    let fetch = || {
        number += 1;
        match number {
            2 => Err("503"),
            _ => Ok(snapshot(&format!("[[99, {}]]", 10 * number), "[[5, 2]]")),
        }
    };
    let ms = Duration::from_millis;
    let report = watch("http://a", (ms(30), ms(10)), &stopper, fetch).unwrap();
    assert_eq!(report.failures, 1);
    assert!(report.all_routes().count() >= 20 && report.intervals.len() < 3);
    let mut is_first = true;
    let fetch = || match std::mem::take(&mut is_first) {
        true => Ok(snapshot("[]", "[]")),
        false => Err("gone"),
    };
    let error = watch("http://a", (ms(20), ms(10)), &stopper, fetch).unwrap_err();
    assert_eq!(error, "gone");
}

#[test]
fn the_text_and_the_page_show_all_and_load_nothing() {
    let report = watched();
    let shown = text::render(&report);
    assert!(shown.contains("ringway 9: 3 s up to 2026-11-29T00:00:00Z."), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("web /<a>")).unwrap();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells[2], "202", "{line}");
    for report in [
        report,
        ServerLatency::since_start("http://a", String::new(), Snapshot::default()),
        ServerLatency::since_start("http://a", String::new(), snapshot("[[9, 1]]", "[[5, 1]]")),
    ] {
        let page = page::render(&report);
        assert_balanced(&page);
        assert_self_contained(&page);
        assert!(!page.contains("<a>") && !page.contains("<x>"));
    }
    let empty = ServerLatency::since_start("http://a", String::new(), Snapshot::default());
    assert!(text::render(&empty).contains("No requests completed"));
}

#[test]
fn the_json_can_be_read() {
    let mut bytes = Vec::new();
    watched().write(&mut bytes).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (read["routes"][0]["count"].as_u64(), &read["routes"][0]["route"]),
        (Some(202), &"/<a>".into())
    );
    assert_eq!(read["upstreams"][0]["phase"], "total");
    assert_eq!(read["intervals"].as_array().map(Vec::len), Some(3));
}
