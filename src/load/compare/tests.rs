//! Comparisons of invented results.

use super::*;
use crate::load::example::Example;
use crate::load::report::style::checks::{assert_balanced, assert_self_contained};

fn side(name: &str, runs: Vec<RunResult>) -> Side {
    Side { name: name.to_owned(), runs }
}

fn example(seed: u64) -> Example {
    Example::constant(400.0).seconds(16).seed(seed)
}

fn word(versus: &Versus, name: &str) -> &'static str {
    let row = versus.rows.iter().find(|row| row.name == name).unwrap();
    row.verdict.word(row.measure)
}

#[test]
fn a_slower_server_is_found_in_single_runs_and_an_equal_one_is_not() {
    let sides = [
        side("a", vec![example(1).build()]),
        side("same", vec![example(2).build()]),
        side("slower", vec![example(3).median_us(500.0).build()]),
        side("faster", vec![example(4).median_us(300.0).build()]),
    ];
    let found = compare(&sides).unwrap();
    assert_eq!((found.resampled, &found.pieces[..]), (Resampled::Blocks, &[16, 16, 16, 16][..]));
    let [same, slower, faster] = &found.against[..] else { panic!() };
    assert_eq!(word(same, "p50"), "no difference shown");
    assert_eq!((word(slower, "p50"), word(slower, "mean")), ("slower", "slower"));
    assert_eq!(
        (word(faster, "p50"), word(faster, "throughput")),
        ("faster", "no difference shown")
    );
    assert_eq!(word(faster, "p99.9"), "unknown", "6,400 requests have 6 above it");
    assert!(
        found.any_worse() && slower.summary().starts_with("worse: p50"),
        "{}",
        slower.summary()
    );
    let ratio = slower.rows[0].ratio.unwrap();
    assert!(ratio.low < 1.25 && 1.25 < ratio.high && ratio.detectable < 0.1, "{ratio:?}");
}

#[test]
fn runs_are_resampled_where_all_sides_have_several() {
    let runs = |seed: u64, median: f64| {
        let run =
            |n: u32| example(seed + u64::from(n)).median_us(median + 2.0 * f64::from(n)).build();
        (0..4).map(run).collect()
    };
    let found = compare(&[side("a", runs(10, 400.0)), side("b", runs(20, 500.0))]).unwrap();
    assert_eq!((found.resampled, &found.pieces[..]), (Resampled::Runs, &[4, 4][..]));
    assert_eq!(word(&found.against[0], "p50"), "slower");
    let mixed =
        compare(&[side("a", runs(10, 400.0)), side("b", vec![example(1).build()])]).unwrap();
    assert_eq!((mixed.resampled, &mixed.pieces[..]), (Resampled::Blocks, &[64, 16][..]));
}

#[test]
fn too_little_is_said_to_be_too_little() {
    let short = Example::constant(400.0).seconds(7).build();
    let long = example(1).build();
    let error = |sides: &[Side]| compare(sides).unwrap_err().to_string();
    assert!(error(&[side("a", vec![long.clone()])]).contains("two sides"));
    assert!(error(&[]).contains("two sides"));
    let text = error(&[side("a", vec![long.clone()]), side("b", vec![short])]);
    assert!(text.starts_with("b has 7 intervals with answers, and a verdict"), "{text}");
    assert_eq!(error(&[side("a", vec![long]), side("b", Vec::new())]), "b has no result");
}

#[test]
fn what_is_not_alike_is_said() {
    let base = example(1).build();
    let mut other = example(2).build();
    other.load.connections = 128;
    other.environment.kernel = "5.19\x1b".to_owned();
    (other.seconds, other.protocol) = (60.0, "HTTP/2".to_owned());
    let found = compare(&[side("a", vec![base]), side("b", vec![other])]).unwrap();
    assert_eq!(
        found.against[0].differences,
        [
            "load: constant rate at 400/s, 64 connections, 2 threads and constant rate at 400/s, \
             128 connections, 2 threads",
            "length: 16 s and 60 s",
            "protocol: HTTP/1.1 and HTTP/2",
            "kernel: 6.18.5 and 5.19\\u{1b}",
        ]
    );
}

#[test]
fn closed_loops_are_warned_of() {
    let closed = |seed| vec![Example::closed().seconds(8).seed(seed).build()];
    let found = compare(&[side("a", closed(1)), side("b", closed(2))]).unwrap();
    assert_eq!(found.warnings.len(), 2);
    assert!(render_text(&found).starts_with("warning: a: closed loop: coordinated"));
}

#[test]
fn the_cpu_of_the_server_is_compared_where_it_is_known() {
    let mut dearer = example(2).build();
    for (_, cpu) in &mut dearer.server.as_mut().unwrap().samples {
        *cpu *= 1.5;
    }
    let mut coarse = example(3).build();
    coarse.server.as_mut().unwrap().samples.truncate(4);
    let mut unwatched = example(4).build();
    unwatched.server = None;
    let sides = [dearer, coarse, unwatched].map(|run| side("b", vec![run]));
    let mut words = Vec::new();
    for other in sides {
        let found = compare(&[side("a", vec![example(1).build()]), other]).unwrap();
        words.push(word(&found.against[0], "server CPU/request"));
    }
    assert_eq!(words, ["dearer", "unknown", "unknown"]);
}

#[test]
fn the_text_is_a_table() {
    let sides = [
        side("a.json", vec![example(1).build()]),
        side("b\x1b.json", vec![example(3).median_us(500.0).build()]),
    ];
    let text = render_text(&compare(&sides).unwrap());
    assert!(text.starts_with("b\\u{1b}.json beside a.json: worse: p50, p90"), "{text}");
    assert!(text.contains("\nthroughput                400/s      400/s   1.000   0.99"), "{text}");
    assert!(text.contains("\nResampled: blocks of time (16 and 16)."), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn the_page_is_whole() {
    let bad = "<script>\"'&";
    let mut sides =
        [side(bad, vec![example(1).build()]), side("b", vec![example(3).median_us(500.0).build()])];
    sides[1].runs[0].targets[0].url = bad.to_owned();
    sides[1].runs[0].protocol = bad.to_owned();
    let page = render_html(&compare(&sides).unwrap(), &sides);
    assert_balanced(&page);
    assert_self_contained(&page);
    if let Some(folder) = std::env::var_os("RINGWAY_PAGES") {
        let sides = [
            side("before", vec![Example::constant(20_000.0).build()]),
            side("after", vec![Example::constant(20_000.0).seed(2).median_us(460.0).build()]),
            side("other", vec![Example::constant(20_000.0).seed(3).stall(20).build()]),
        ];
        let page = render_html(&compare(&sides).unwrap(), &sides);
        std::fs::write(std::path::Path::new(&folder).join("compare.html"), page).unwrap();
    }
}
