//! The rules of the source tree that no lint checks: which folder may import which, what the pure
//! folders may not name, where `unsafe` may live, how long files and functions may be, and marks
//! of unfinished work. Every check lists all that it finds, with file and line.

#[path = "tidy/circles.rs"]
mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Which folders of `src/` a folder may import, besides itself. Imports point one way, down:
/// `docs/architecture.md` says why. `mem::Span`, `mem::Slab`, `mem::Key` and
/// `mem::Reuse` are plain data, or what is asked of it.
const IMPORTS: &[(&str, &[&str])] = &[
    ("mem", &[]),
    ("ring", &["mem"]),
    ("runtime", &["ring", "mem"]),
    ("net", &["proto::tls", "runtime", "ring", "mem"]),
    ("fs", &["runtime", "ring", "mem"]),
    (
        "proto",
        &["mem::Reuse", "mem::Span", "mem::Buf", "mem::Backlog", "mem::FreeList", "mem::Text"],
    ),
    (
        "service",
        &[
            "proto",
            "mem::Span",
            "mem::Key",
            "mem::Slab",
            "mem::Buf",
            "mem::Backlog",
            "mem::Text",
            "mem::Page",
            "mem::Pages",
        ],
    ),
    ("handler", &["service", "proto", "mem::Key", "mem::Slab", "mem::Text"]),
    ("session", &["handler", "service", "proto", "net", "fs", "runtime", "ring", "mem"]),
    (
        "server",
        &["session", "handler", "service", "proto", "net", "runtime", "ring", "mem", "config"],
    ),
    ("client", &["handler", "service", "proto", "net", "runtime", "ring", "mem"]),
    (
        "config",
        &[
            "service::http",
            "proto::tls",
            "ring::DriverChoice",
            "ring::DRIVER_WORDS",
            "ring::ConnectTarget",
            "ring::NotATarget",
            "ring::ZeroCopySend",
        ],
    ),
    ("import", &[]),
    ("load", &["client", "session", "service", "proto", "net", "runtime", "ring", "mem"]),
    ("cli", &["config", "import", "server", "handler", "client", "load", "proto", "ring", "net"]),
    ("main.rs", &["cli"]),
];

/// Folders without input, output, threads or a clock.
const PURE: &[&str] = &["proto", "service"];
const IMPURE_WORDS: &[&str] = &[
    "std::io",
    "std::os",
    "std::fs",
    "std::thread",
    "std::sync",
    "Instant::now",
    "SystemTime",
    "unsafe",
    "RawFd",
    "tokio",
];

/// Starts of the paths, within `src/`, that may hold `unsafe`.
const UNSAFE_HOMES: &[&str] = &["ring/kernel", "ring/uring", "mem/"];
/// So many lines above an `unsafe` block its `SAFETY` comment may stand.
const SAFETY_DISTANCE: usize = 6;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_WIDTH_MAX: usize = 100;
/// What is too long already: the file, the function (or `""` for the file itself) and its lines
/// now. An entry may only become smaller, and goes when it fits the limit.
const RATCHET: &[(&str, &str, usize)] = &[];

/// Marks of unfinished work. Put together here, so that this file does not have them.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("dbg", "!"),
    concat!("#[ign", "ore"),
];

/// What scripts run, on another kernel or where nothing else is run, is not unfinished.
const ELSEWHERE: [&str; 3] = [
    "needs a kernel with CONFIG_TLS: scripts/vm.sh",
    "needs a kernel that filters io_uring: scripts/vm.sh",
    "it measures: scripts/http2_floods.sh",
];

/// One source file.
struct Source {
    /// Its path within the package, with `/`.
    path: String,
    text: String,
    /// The text with comments, strings and character literals blanked out, line for line.
    code: String,
    /// The number of lines before its tests.
    body_lines: usize,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let code = blank(&text);
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let body_lines = if is_test { 0 } else { lines_before_tests(&code) };
        Self { path, text, code, body_lines }
    }

    /// The path within `src/`.
    fn in_src(&self) -> &str {
        self.path.strip_prefix("src/").unwrap_or(&self.path)
    }

    /// The folder below `src/`, or the file's name if it lies in none.
    fn folder(&self) -> &str {
        self.in_src().split('/').next().unwrap_or_default()
    }

    /// Line numbers and code before the tests.
    fn body(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines()).take(self.body_lines)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the package, sorted, but for hidden ones and test corpora; none if
/// there is no such folder.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name {
                "corpus" | "target" => {}
                _ if name.starts_with('.') => {}
                _ if path.is_dir() => folders.push(path),
                _ => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// The text files below a folder; what is not UTF-8 is none.
fn texts_below(folder: &str) -> impl Iterator<Item = (String, String)> {
    files_below(folder).into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root()).unwrap_or(&path).to_str()?.to_owned();
        Some((path, text))
    })
}

fn sources() -> Vec<Source> {
    texts_below("src")
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| Source::new(path, text))
        .collect()
}

/// Fails with all findings together.
fn report(rule: &str, findings: &[String]) {
    let mut message = String::new();
    for finding in findings {
        writeln!(message, "  {finding}").expect("a String takes it");
    }
    assert!(findings.is_empty(), "{rule}: {} finding(s)\n{message}", findings.len());
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The positions of `needle` in `text`, but for those within a longer word.
fn words<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let starts_as_word = needle.starts_with(is_word);
    let ends_as_word = needle.ends_with(is_word);
    text.match_indices(needle).map(|(at, _)| at).filter(move |&at| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + needle.len()..).unwrap_or_default();
        !(starts_as_word && before.ends_with(is_word) || ends_as_word && after.starts_with(is_word))
    })
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// Blanks out comments, strings and character literals; lines stay lines.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let skipped = literal_len(&chars, at);
        if skipped == 0 {
            code.push(chars[at]);
            at += 1;
        } else {
            let blanked = chars[at..at + skipped].iter();
            code.extend(blanked.map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at += skipped;
        }
    }
    code
}

/// The length of the comment or literal that starts at `at`, or 0.
fn literal_len(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let in_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_len(rest),
        ['"', ..] => 1 + quoted_len(&rest[1..], '"'),
        ['r', '"' | '#', ..] if !in_word => raw_string_len(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !in_word => raw_string_len(rest, 2),
        ['\'', '\\', ..] => 1 + quoted_len(&rest[1..], '\''),
        // Anything else after a single quote is a lifetime or a label.
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

/// Up to and with the closing quote.
fn quoted_len(rest: &[char], quote: char) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string_len(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return 0; // A raw identifier.
    }
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    (open + 1..rest.len()).find(|&at| closes(at)).map_or(rest.len(), |at| at + 1 + hashes)
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Lines before `#[cfg(test)]`, possibly more attributes, and `mod`.
fn lines_before_tests(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let starts_tests = |at: usize| {
        lines[at].starts_with("#[cfg(test)]")
            && lines[at + 1..]
                .iter()
                .find(|line| line.starts_with(is_word))
                .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    (0..lines.len()).find(|&at| starts_tests(at)).unwrap_or(lines.len())
}

/// A use of something at the root of the crate.
#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    /// `mem::Span`: the folder, and the next name if there is one.
    path: String,
}

/// Everything that `crate::`, or `ringway::`, is followed by, groups taken apart.
fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for prefix in ["crate::", "ringway::"] {
        for at in words(code, prefix) {
            let rest = code.get(at + prefix.len()..).unwrap_or_default();
            let line = line_of(code, at);
            found.extend(leading_paths(rest).into_iter().map(|path| Import { line, path }));
        }
    }
    found
}

/// The first two names of each path at the start of `text`: `a::{b, c::d}` is `a::b` and `a::c`.
fn leading_paths(text: &str) -> Vec<String> {
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let (heads, rest) = match (name, rest.strip_prefix("::")) {
        ("", _) => (vec![String::new()], Some(text)),
        (name, Some(rest)) => (vec![format!("{name}::")], Some(rest)),
        (name, None) => (vec![name.to_owned()], None),
    };
    let Some(rest) = rest else { return heads };
    let tails = match rest.strip_prefix('{') {
        Some(group) => group_members(group).into_iter().flat_map(leading_paths).collect(),
        None if name.is_empty() => Vec::new(),
        None => vec![rest.split(|c| !is_word(c)).next().unwrap_or_default().to_owned()],
    };
    let two = |path: String| path.splitn(3, "::").take(2).collect::<Vec<_>>().join("::");
    let head = heads.concat();
    tails.into_iter().map(|tail| two(format!("{head}{tail}"))).collect()
}

/// The members of a group, from behind its opening brace.
fn group_members(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

fn is_allowed(allowed: &[&str], import: &str) -> bool {
    allowed.iter().any(|&path| match path.split_once("::") {
        None => import.split("::").next() == Some(path),
        // One type of a folder, also by the name of its module.
        Some(_) => import == path || import == path.to_lowercase(),
    })
}

#[test]
fn imports_point_one_way() {
    let sources = sources();
    let folders: BTreeSet<&str> =
        sources.iter().map(Source::folder).filter(|folder| !folder.ends_with(".rs")).collect();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.folder() != "lib.rs") {
        let own = source.folder();
        let Some((_, allowed)) = IMPORTS.iter().find(|(folder, _)| *folder == own) else {
            findings.push(format!("{}:1: tests/tidy.rs has no imports for {own}", source.path));
            continue;
        };
        for Import { line, path } in imports(&source.code) {
            let to = path.split("::").next().unwrap_or_default();
            if folders.contains(to) && to != own && !is_allowed(allowed, &path) {
                findings.push(format!("{}:{line}: {own} imports {path}", source.path));
            }
        }
    }
    report("imports that point up or aside", &findings);
}

#[test]
fn pure_folders_name_nothing_impure() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.folder())) {
        for (line, code) in source.body() {
            for word in IMPURE_WORDS.iter().filter(|word| words(code, word).next().is_some()) {
                findings.push(format!("{}:{line}: {word}", source.path));
            }
        }
        // `use std::{fs, io}` says the same.
        for at in source.code.match_indices("std::{").map(|(at, _)| at) {
            let line = line_of(&source.code, at);
            let names = leading_paths(source.code.get(at..).unwrap_or_default());
            let impure = names.iter().filter(|name| IMPURE_WORDS.contains(&name.as_str()));
            findings.extend(
                impure
                    .filter(|_| line <= source.body_lines)
                    .map(|name| format!("{}:{line}: {name}", source.path)),
            );
        }
    }
    report("the pure folders are not", &findings);
}

#[test]
fn sessions_push_no_ring_operation() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.folder() == "session") {
        for (line, code) in source.body() {
            if words(code, "Op::").next().is_some() {
                findings.push(format!("{}:{line}: {}", source.path, code.trim()));
            }
        }
    }
    report("session pushes ring operations itself, which is the work of net and fs", &findings);
}

/// Whether a line of code opens an unsafe block or implementation.
fn opens_unsafe(code: &str) -> bool {
    words(code, "unsafe").any(|at| {
        let after = code.get(at + "unsafe".len()..).unwrap_or_default().trim_start();
        after.starts_with('{') || words(after, "impl").next() == Some(0)
    })
}

#[test]
fn unsafe_stays_at_home_and_says_why_it_holds() {
    let mut findings = Vec::new();
    for source in sources() {
        let home = UNSAFE_HOMES.iter().any(|home| source.in_src().starts_with(home));
        let lines: Vec<&str> = source.text.lines().collect();
        for (line, code) in (1_usize..).zip(source.code.lines()) {
            if words(code, "unsafe").next().is_none() {
                continue;
            }
            let nearby = &lines[line.saturating_sub(1 + SAFETY_DISTANCE)..line];
            if !home {
                findings.push(format!("{}:{line}: unsafe away from its homes", source.path));
            } else if opens_unsafe(code) && !nearby.iter().any(|l| l.contains("// SAFETY:")) {
                findings.push(format!("{}:{line}: no SAFETY comment above", source.path));
            }
        }
    }
    report("unsafe", &findings);
}

/// The functions with a body before the tests: name, first line, number of lines.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = source.code.as_str();
    words(code, "fn")
        .filter_map(|at| {
            let first = line_of(code, at);
            let rest = code.get(at + "fn".len()..)?;
            let name: String =
                rest.strip_prefix(' ')?.chars().take_while(|&c| is_word(c)).collect();
            let length = line_of(rest, body_end(rest)?);
            (!name.is_empty() && first <= source.body_lines).then_some((name, first, length))
        })
        .collect()
}

/// Where the body that follows a signature ends; `None` when there is none.
fn body_end(signature: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => {}
        }
        if c == '}' && braces == 0 && brackets == 0 {
            return Some(at);
        }
    }
    None
}

#[test]
fn files_and_functions_are_short() {
    let mut too_long = BTreeMap::new();
    for source in sources() {
        if source.body_lines > FILE_LINES_MAX {
            too_long.insert((source.path.clone(), String::new()), (1, source.body_lines));
        }
        for (name, line, length) in functions(&source) {
            let longest = too_long.get(&(source.path.clone(), name.clone()));
            if length > FUNCTION_LINES_MAX && longest.is_none_or(|&(_, other)| other < length) {
                too_long.insert((source.path.clone(), name), (line, length));
            }
        }
    }
    let mut findings = Vec::new();
    for &(path, name, allowed) in RATCHET {
        match too_long.remove(&(path.to_owned(), name.to_owned())) {
            Some((_, length)) if length == allowed => {}
            Some((line, length)) if length > allowed => findings
                .push(format!("{path}:{line}: {name} grew from {allowed} to {length} lines")),
            Some((line, length)) => findings
                .push(format!("{path}:{line}: {name} has {length} lines now: lower its entry")),
            None => findings.push(format!("{path}:1: {name} is short now: remove its entry")),
        }
    }
    for ((path, name), (line, length)) in too_long {
        let limit = if name.is_empty() { FILE_LINES_MAX } else { FUNCTION_LINES_MAX };
        let what = if name.is_empty() { "the file".to_owned() } else { format!("fn {name}") };
        findings.push(format!("{path}:{line}: {what} has {length} lines, more than {limit}"));
    }
    report("too long, so probably two things in one", &findings);
}

#[test]
fn the_architecture_page_names_every_folder() {
    let Ok(page) = fs::read_to_string(root().join("docs/architecture.md")) else {
        return;
    };
    let mut folders = BTreeSet::new();
    for source in sources() {
        let parents = source.in_src().match_indices('/');
        folders.extend(parents.map(|(at, _)| source.in_src()[..at].to_owned()));
    }
    let findings: Vec<String> = folders
        .iter()
        .filter(|folder| words(&page, &format!("{folder}/")).next().is_none())
        .map(|folder| format!("docs/architecture.md:1: {folder}/ is missing"))
        .collect();
    report("folders of src/ that the architecture page does not name", &findings);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut findings = Vec::new();
    for (path, text) in ["src", "tests", "benches", "scripts"].into_iter().flat_map(texts_below) {
        for (line, content) in (1..).zip(text.lines()) {
            let is_elsewhere =
                ELSEWHERE.iter().any(|one| content.contains(one)) && !content.contains("const");
            let found = MARKS.iter().filter(|mark| words(content, mark).next().is_some());
            for mark in found.filter(|_| !is_elsewhere) {
                findings.push(format!("{path}:{line}: {mark}"));
            }
        }
    }
    report("marks of unfinished work", &findings);
}

#[test]
fn lines_are_short_and_end_where_they_end() {
    let mut findings = Vec::new();
    let folders = ["src", "tests", "benches", "scripts", "fuzz/fuzz_targets"];
    for (path, text) in folders.into_iter().flat_map(texts_below) {
        for (line, content) in (1..).zip(text.lines()) {
            let width = content.chars().count();
            if path.starts_with("src/") && path.ends_with(".rs") && width > LINE_WIDTH_MAX {
                findings.push(format!("{path}:{line}: {width} columns"));
            }
            if content.ends_with(char::is_whitespace) {
                findings.push(format!("{path}:{line}: white space at the end"));
            }
        }
    }
    report("lines", &findings);
}

/// The checks check something: each helper on a text of its own.
mod helpers {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/folder/file.rs".to_owned(), text.to_owned())
    }

    #[test]
    fn literals_and_comments_are_blanked() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("{ \" }", x)"#, "f(        , x)"),
            (r##"f(r#"{ " }"#, br"\", x)"##, "f(          ,      , x)"),
            ("'{' '\\'' '\\u{7d}' b'{' x", "                  b    x"),
            ("fn f<'a>(x: &'a str) { 'l: loop {} }", "fn f<'a>(x: &'a str) { 'l: loop {} }"),
            ("r#type", "r#type"),
            ("\"two\nlines\" x", "    \n       x"),
        ];
        for (text, expected) in cases {
            assert_eq!(blank(text), expected);
        }
    }

    #[test]
    fn imports_are_taken_apart() {
        let code = "use crate::mem::Span;\nuse crate::{\n    net::{self, tcp::Stream},\n    ring,\n};\n\
                    fn f(x: crate::proto::http::Head) { mycrate::x(); crate::run() }";
        let found: Vec<_> = imports(code).into_iter().map(|i| (i.line, i.path)).collect();
        let expected = [
            (1, "mem::Span"),
            (2, "net::self"),
            (2, "net::tcp"),
            (2, "ring"),
            (6, "proto::http"),
            (6, "run"),
        ];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
        assert_eq!(imports("use crate::mem::{Buf, span::Span};").len(), 2);
        assert!(is_allowed(&["mem::Span"], "mem::Span"));
        assert!(is_allowed(&["mem::Span"], "mem::span"));
        assert!(!is_allowed(&["mem::Span"], "mem::Buf"));
        assert!(!is_allowed(&["mem::Span"], "mem"));
        assert!(is_allowed(&["mem"], "mem::Buf"));
    }

    #[test]
    fn functions_are_measured() {
        let text = "trait T {\n    fn none(&self, x: [u8; 2]);\n    fn one(&self) {}\n}\n\
                    const fn three<F: Fn() -> u8>(\n    f: F,\n) -> u8 { '{'; f() }\n\
                    type P = fn(u8);\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn t() {}\n}\n";
        let source = source(text);
        assert_eq!(source.body_lines, 8);
        let expected = [("one".to_owned(), 3, 1), ("three".to_owned(), 5, 3)];
        assert_eq!(functions(&source), expected);
    }

    #[test]
    fn unsafe_is_told_from_words_that_contain_it() {
        let cases = [
            ("unsafe { x }", true),
            ("unsafe impl Send for X {}", true),
            ("unsafe fn f() {", false),
            ("#![deny(unsafe_code)]", false),
        ];
        for (code, expected) in cases {
            assert_eq!(opens_unsafe(code), expected, "{code}");
        }
    }
}
