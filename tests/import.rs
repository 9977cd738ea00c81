//! Configurations of nginx and HAProxy as they are in use: each sample of `tests/import` becomes the
//! text beside it, with the notes beside it, and Ringway reads that text. With `BLESS=1`, the files
//! are written.

use std::fs;
use std::path::{Path, PathBuf};

use ringway::import::{Imported, SyntaxError, haproxy, nginx};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

/// The samples: their names and texts, in the order of their names.
fn samples() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder()).expect("the folder of samples");
    let mut samples: Vec<(String, String)> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf" || end == "cfg"))
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    samples.sort();
    samples
}

fn import(name: &str, text: &str) -> Result<Imported, SyntaxError> {
    let none = |pattern: &str| match pattern {
        "snippets/proxy.conf" => {
            let text = "proxy_set_header Host $host;\nproxy_set_header X-Real-IP $remote_addr;\n";
            Ok(vec![("snippets/proxy.conf".to_owned(), text.to_owned())])
        }
        _ => Err("there is no such file".to_owned()),
    };
    match name.ends_with(".cfg") {
        true => haproxy(name, text),
        false => nginx(name, text, &none),
    }
}

/// The text of a file, which is written first where that is asked for.
fn expected(name: &str, found: &str) -> String {
    let path = folder().join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, found).expect("the folder can be written");
    }
    fs::read_to_string(&path).unwrap_or_default()
}

#[test]
fn samples_become_what_a_person_would_write() {
    let samples = samples();
    assert!(samples.len() >= 7, "{}", samples.len());
    for (name, text) in &samples {
        let imported = import(name, text).unwrap_or_else(|error| panic!("{error}"));
        let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
        let stem = name.rsplit_once('.').expect("an end").0;
        assert_eq!(imported.toml, expected(&format!("{stem}.toml"), &imported.toml), "{name}");
        assert_eq!(notes, expected(&format!("{stem}.notes"), &notes), "{name}");
    }
}

#[test]
fn ringway_reads_what_samples_become() {
    for (name, text) in &samples() {
        let imported = import(name, text).unwrap_or_else(|error| panic!("{error}"));
        if let Err(report) = ringway::config::parse(name, &imported.toml) {
            panic!("{name}:\n{report}\n{}", imported.toml);
        }
    }
}

/// Numbers that depend on nothing but the state (xorshift64).
fn random(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).expect("31 bits") % bound.max(1)
}

/// A sample with lines, words and signs cut, repeated and exchanged.
fn mutated(state: &mut u64, text: &str, other: &str) -> String {
    const SIGNS: &[&str] = &[
        "{", "}", ";", "\"", "'", "\\", "#", "$", "%[", "(", "\n", " ", "\0", "ü", "..", "/", "~",
        "!",
    ];
    let mut text = text.to_owned();
    for _ in 0..=random(state, 4) {
        let mut at = random(state, text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        match random(state, 5) {
            0 => text.truncate(at),
            1 => text.insert_str(at, SIGNS[random(state, SIGNS.len())]),
            2 => {
                let line = other.lines().nth(random(state, other.lines().count())).unwrap_or("");
                let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
                text.insert_str(end, &format!("\n{line}"));
            }
            3 => {
                let end = text[at..].find(['\n', ' ', ';']).map_or(text.len(), |end| at + end);
                text.replace_range(at..end, "");
            }
            _ => {
                let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
                let part = text[at..end].to_owned();
                text.insert_str(at, &part);
            }
        }
    }
    text
}

#[test]
fn broken_texts_are_refused_or_translated_and_never_panic() {
    let samples = samples();
    let mut state = 0x5eed_cafe_u64;
    let mut translated = 0;
    for round in 0..4_000 {
        let (name, text) = &samples[round % samples.len()];
        let other = &samples[random(&mut state, samples.len())].1;
        let text = mutated(&mut state, text, other);
        // What is translated has notes of its own lines alone.
        if let Ok(imported) = import(name, &text) {
            translated += 1;
            let lines = text.lines().count();
            assert!(imported.notes.iter().all(|note| note.line <= lines.max(1)), "{text}");
        }
    }
    assert!(translated > 500, "{translated}");
}

#[test]
fn broken_texts_of_haproxy_are_read_by_nginx_and_the_other_way_round() {
    for (name, text) in samples() {
        let swapped = if name.ends_with(".cfg") { "x.conf" } else { "x.cfg" };
        // There is nothing to expect but an end.
        let _ended = import(swapped, &text).is_ok();
    }
}

#[test]
fn what_is_long_or_deep_takes_no_more_than_its_length() {
    let many_servers: String = (0..20_000)
        .map(|n| format!("server {{ listen 80; server_name h{n}.example; return 301 /{n}; }}\n"))
        .collect();
    let many_locations: String = (0..20_000)
        .map(|n| format!("location /l{n}/ {{ proxy_pass http://10.0.0.1; }}\n"))
        .collect();
    let rules = "deny 10.0.0.1;\n".repeat(20_000);
    let deep = "location / {".repeat(100_000);
    let includes = "include snippets/proxy.conf;\n".repeat(5_000);
    for text in [
        many_servers,
        format!("server {{ {many_locations} }}"),
        format!("server {{ {rules} {many_locations} }}"),
        format!("server {{ {deep}"),
        format!("server {{ {includes} }}"),
        "a ".repeat(1_000_000),
        "{".repeat(1_000_000),
    ] {
        let _ended = import("x.conf", &text).is_ok();
    }
    let acls: String = (0..20_000).map(|n| format!("acl a path_beg /{n}/\n")).collect();
    let uses: String =
        (0..2_000).map(|n| format!("use_backend b if a {{ path_reg x{n} }}\n")).collect();
    let denies = "http-request deny if a !{ src 10.0.0.0/8 }\n".repeat(2_000);
    for text in [
        format!("frontend f\nmode http\nbind :80\n{acls}{uses}{denies}backend b\nserver s a:80\n"),
        format!("frontend f\nbind :1-1000\n{}", "bind :80 ssl crt x\n".repeat(20_000)),
    ] {
        let _ended = import("x.cfg", &text).is_ok();
    }
}
