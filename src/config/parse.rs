//! From text to raw values: each has its type and is within its range, and those that must be held
//! against others still know where they stood.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::accept;
use super::environment::{self, Variables};
use super::http::routes::default_route;
use super::inherit::{self, Defaults, Room};
use super::listener::{RawListener, listener};
use super::report::Mistake;
use super::schema::{ADMIN, LISTENER, LOG, RUNTIME, UPSTREAM};
use super::section::Section;
use super::sets;
use super::tls::{self, ADMIN_TLS};
use super::topics::{TOPICS, topics};
use super::upstream::{RawUpstream, default_upstream, upstreams};
use super::{Admin, Log, Runtime, SpliceOptions, Topics};

/// The longest text, in bytes: 100,000 routes with all of their keys. A longer one is likely no
/// configuration.
pub(super) const TEXT_MAX: usize = 256 << 20;
/// So many mistakes of syntax are shown: the first are the likeliest to be no mere consequence.
const SYNTAX_MISTAKES_MAX: usize = 10;

/// A file whose values are good by themselves.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) runtime: Runtime,
    /// Where the sizes of the rings are set, if both could be read.
    pub(super) rings: Option<Range<usize>>,
    pub(super) admin: Admin,
    pub(super) log: Log,
    pub(super) listeners: Vec<RawListener>,
    pub(super) upstreams: Vec<RawUpstream>,
    pub(super) topics: Vec<Topics>,
}

/// Reads a text. `None` if it is too long or its syntax is wrong; other mistakes leave defaults
/// behind.
pub(super) fn read(
    text: &str,
    variables: Option<&Variables<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Raw> {
    if text.len() > TEXT_MAX {
        let message = format!("a configuration of {} bytes", text.len());
        let help = format!("a file may have {TEXT_MAX} bytes; is this the right one?");
        mistakes.push(Mistake::new(0..0, message, help));
        return None;
    }
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        mistakes.extend(syntax_mistakes(text, &errors));
        return None;
    }
    let mut tree = tree.into_inner();
    if let Some(variables) = variables {
        environment::replace(&mut tree, variables, mistakes);
    }
    check_defaults(complete(&mut tree, text.len(), mistakes), mistakes);
    let mut root = Section::root(tree, mistakes);
    if let Some(include) = root.take("include") {
        let message = "`include` is for a configuration that is read from a file";
        root.report(Mistake::new(include.span(), message, "put all into this text"));
    }
    let [runtime_table, admin_table, log_table, upstream_tables, topics_tables] =
        ["runtime", "admin", "log", "upstream", "topics"].map(|key| root.take(key));
    let listener_tables = listener_tables(&mut root);
    root.finish();

    let (runtime, rings) = runtime(Section::open(RUNTIME, runtime_table, mistakes));
    let admin = admin(Section::open(ADMIN, admin_table, mistakes));
    let log = log(Section::open(LOG, log_table, mistakes));
    let listener = |table| listener(Section::open(LISTENER, Some(table), mistakes));
    let listeners = listener_tables.into_iter().map(listener).collect();
    let upstream_tables = Section::open(UPSTREAM, upstream_tables, mistakes).into_entries();
    let topics_tables = Section::open(TOPICS, topics_tables, mistakes).into_entries();
    Some(Raw {
        runtime,
        rings,
        admin,
        log,
        listeners,
        upstreams: upstreams(upstream_tables, mistakes),
        topics: topics(topics_tables, mistakes),
    })
}

/// Completes the tables of a file by what they name or take over.
pub(super) fn complete<'i>(
    tree: &mut DeTable<'i>,
    text_size: usize,
    mistakes: &mut Vec<Mistake>,
) -> Defaults<'i> {
    let mut room = Room::new(TEXT_MAX.saturating_sub(text_size));
    sets::replace(tree, &mut room, mistakes);
    let defaults = Defaults::take(tree, mistakes);
    defaults.apply(tree, &mut room);
    inherit::switch_off(tree);
    room.finish(mistakes);
    defaults
}

/// Reads the defaults by themselves: one that no table takes over may be a mistake, too.
fn check_defaults(defaults: Defaults<'_>, mistakes: &mut Vec<Mistake>) {
    let Defaults { listener: of_listeners, route, upstream } = defaults;
    if let Some(table) = of_listeners {
        let section = Section::open(LISTENER, Some(table), mistakes).partial();
        drop(listener(section.titled("[defaults.listener]".to_owned())));
    }
    if let Some(table) = route {
        default_route(table, mistakes);
    }
    if let Some(table) = upstream {
        default_upstream(table, mistakes);
    }
}

/// The first mistake of each line, from the top.
fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let spans = errors.iter().map(|error| (error.span().unwrap_or_default(), error.message()));
    let mut spans: Vec<_> = spans.collect();
    spans.sort_by_key(|(span, _)| span.start);
    let mut mistakes = Vec::new();
    let mut next_line = 0;
    for (span, message) in spans {
        if span.start < next_line || mistakes.len() == SYNTAX_MISTAKES_MAX {
            continue;
        }
        let rest = text.get(span.start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        next_line = span.start + line.len() + 1;
        let meant = text.get(span.clone()).unwrap_or_default();
        mistakes.push(Mistake::new(span, message, syntax_help(message, meant)));
    }
    mistakes
}

fn syntax_help(message: &str, meant: &str) -> String {
    // A word without quotes, which may look like the start of `inf`, `nan`, `true` or `false`.
    let is_bare = ["string values must be quoted", "invalid float", "invalid boolean"]
        .iter()
        .any(|start| message.starts_with(start));
    if is_bare && meant.starts_with(char::is_alphabetic) {
        format!("a text needs quotes: {}", accept::quoted(meant))
    } else if is_bare && meant.is_empty() {
        "a value is missing here".to_owned()
    } else if message == "duplicate key" {
        "a key or table stands once; remove one, or rename it".to_owned()
    } else {
        "this is no TOML; the rest of the file is checked when its syntax is right".to_owned()
    }
}

/// The tables of the listeners. One listener at least is required.
fn listener_tables<'i>(root: &mut Section<'i, '_>) -> Vec<Spanned<DeValue<'i>>> {
    const HELP: &str =
        "write each listener as a [[listener]] table, with name, listen and protocol";
    let Some(value) = root.take("listener") else {
        let message = "there is no [[listener]], and a file needs one at least";
        root.miss("listener", message.to_owned(), HELP.to_owned());
        return Vec::new();
    };
    let (span, got) = (value.span(), accept::kind(value.get_ref()));
    let DeValue::Array(elements) = value.into_inner() else {
        let message = format!("`listener`: expected an array of tables, got {got}");
        root.report(Mistake::new(span, message, HELP));
        return Vec::new();
    };
    if elements.is_empty() {
        let message = "there is no [[listener]], and a file needs one at least";
        root.report(Mistake::new(span, message, HELP));
    }
    elements.into_iter().collect()
}

fn runtime(mut section: Section<'_, '_>) -> (Runtime, Option<Range<usize>>) {
    let splice = SpliceOptions::read(&mut section);
    let runtime = Runtime { splice, ..Runtime::read(&mut section) };
    let rings = section.later_key("ring_entries", "completion_entries");
    section.finish();
    (runtime, rings)
}

fn admin(mut section: Section<'_, '_>) -> Admin {
    let tls = section.table("tls", ADMIN_TLS).map(tls::listener);
    let admin = Admin { tls: tls.map(Box::new), ..Admin::read(&mut section) };
    section.finish();
    admin
}

fn log(mut section: Section<'_, '_>) -> Log {
    let log = Log::read(&mut section);
    section.finish();
    log
}
