//! From text to raw values: each has its type and is within its range, and those that must be held
//! against others still know where they stood.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::accept;
use super::listener::{RawListener, listener};
use super::report::Mistake;
use super::schema::{
    ADMIN, BUFFER_SIZE_RANGE, BUFFERS_RANGE, COMPLETION_ENTRIES_RANGE, COMPRESSION_MEMORY_RANGE,
    KEEPALIVE_RANGE, KERNEL_TLS_WORDS, LISTENER, LOG, LOG_FORMAT_WORDS, LOG_LEVEL_WORDS,
    PIPE_SIZE_RANGE, PIPES_RANGE, RING_ENTRIES_RANGE, RUNTIME, SHUTDOWN_TIMEOUT_RANGE,
    SOCKET_BUFFER_RANGE, SPLICE_AFTER_RANGE, SPLICE_MIN_READ_RANGE, SPLICE_WORDS,
    TAKEOVER_MEMORY_RANGE, TURN_BUDGET_RANGE, UPSTREAM, WAITING_MEMORY_RANGE,
};
use super::section::{Section, later};
use super::tls::{self, ADMIN_TLS};
use super::topics::{TOPICS, topics};
use super::upstream::{RawUpstream, upstreams};
use super::{Admin, Log, Runtime, SocketOptions, SpliceOptions, Topics, WorkerCount, defaults};

/// The longest text, in bytes: 100,000 routes with all of their keys. A longer one is likely no
/// configuration.
const TEXT_MAX: usize = 256 << 20;
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
pub(super) fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Raw> {
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
    let mut root = Section::root(tree.into_inner(), mistakes);
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
    let size = accept::size::<u32>;
    let workers = section.optional("workers", accept::workers);
    let pin = section.optional("pin", accept::boolean);
    let ring_entries =
        section.optional("ring_entries", |v| accept::power_of_two(v, &RING_ENTRIES_RANGE));
    let completion_entries = section
        .optional("completion_entries", |v| accept::power_of_two(v, &COMPLETION_ENTRIES_RANGE));
    let rings = later(&ring_entries, &completion_entries);
    let buffers = section.optional("buffers", |v| accept::power_of_two(v, &BUFFERS_RANGE));
    let buffer_size = section.optional("buffer_size", |v| size(v, &BUFFER_SIZE_RANGE));
    let turn_budget = section.optional("turn_budget", |v| size(v, &TURN_BUDGET_RANGE));
    let compression_memory =
        section.optional("compression_memory", |v| accept::size(v, &COMPRESSION_MEMORY_RANGE));
    let waiting_memory =
        section.optional("waiting_memory", |v| accept::size(v, &WAITING_MEMORY_RANGE));
    let takeover_memory =
        section.optional("websocket_takeover_memory", |v| accept::size(v, &TAKEOVER_MEMORY_RANGE));
    let shutdown_timeout =
        section.optional("shutdown_timeout", |v| accept::duration(v, &SHUTDOWN_TIMEOUT_RANGE));
    let handoff_ratio = section.optional("handoff_ratio", accept::handoff_ratio);
    let splice = splice_options(&mut section);
    let kernel_tls = section.optional("kernel_tls", |v| accept::choice(v, KERNEL_TLS_WORDS));
    let watch = section.optional("watch", accept::boolean);
    section.finish();
    let runtime = Runtime {
        workers: workers.or(WorkerCount::Auto),
        pin: pin.or(defaults::PIN),
        ring_entries: ring_entries.or(defaults::RING_ENTRIES),
        completion_entries: completion_entries.or(defaults::COMPLETION_ENTRIES),
        buffers: buffers.or(defaults::BUFFERS),
        buffer_size: buffer_size.or(defaults::BUFFER_SIZE),
        turn_budget: turn_budget.or(defaults::TURN_BUDGET),
        compression_memory: compression_memory.or(defaults::COMPRESSION_MEMORY),
        waiting_memory: waiting_memory.or(defaults::WAITING_MEMORY),
        websocket_takeover_memory: takeover_memory.or(defaults::WEBSOCKET_TAKEOVER_MEMORY),
        shutdown_timeout: shutdown_timeout.or(defaults::SHUTDOWN_TIMEOUT),
        handoff_ratio: handoff_ratio.or(defaults::HANDOFF_RATIO),
        splice,
        kernel_tls: kernel_tls.or(defaults::KERNEL_TLS),
        watch: watch.or(defaults::WATCH),
    };
    (runtime, rings)
}

fn splice_options(section: &mut Section<'_, '_>) -> SpliceOptions {
    let mode = section.optional("splice", |v| accept::choice(v, SPLICE_WORDS));
    let after = section.optional("splice_after", |v| accept::size(v, &SPLICE_AFTER_RANGE));
    let min_read = section.optional("splice_min_read", |v| accept::size(v, &SPLICE_MIN_READ_RANGE));
    let pipe_size = section.optional("pipe_size", |v| accept::size(v, &PIPE_SIZE_RANGE));
    let pipes = section.optional("pipes", |v| accept::whole(v, &PIPES_RANGE));
    SpliceOptions {
        mode: mode.or(defaults::SPLICE),
        after: after.or(defaults::SPLICE_AFTER),
        min_read: min_read.or(defaults::SPLICE_MIN_READ),
        pipe_size: pipe_size.or(defaults::PIPE_SIZE),
        pipes: pipes.or(defaults::PIPES),
    }
}

fn admin(mut section: Section<'_, '_>) -> Admin {
    let enabled = section.optional("enabled", accept::boolean);
    let listen = section.optional("listen", accept::ip_address);
    let token_file = section.optional("token_file", |v| {
        accept::path_unless(v, "off", |v| accept::path(v, "the path of a file"))
    });
    let tls = section.table("tls", ADMIN_TLS).map(tls::listener);
    section.finish();
    Admin {
        tls: tls.map(Box::new),
        enabled: enabled.or(defaults::ADMIN_ENABLED),
        listen: listen.or(defaults::ADMIN_LISTEN),
        token_file: token_file.or(defaults::ADMIN_TOKEN_FILE),
    }
}

fn log(mut section: Section<'_, '_>) -> Log {
    let format = section.optional("format", |v| accept::choice(v, LOG_FORMAT_WORDS));
    let level = section.optional("level", |v| accept::choice(v, LOG_LEVEL_WORDS));
    let access = section.optional("access", accept::boolean);
    section.finish();
    Log {
        format: format.or(defaults::LOG_FORMAT),
        level: level.or(defaults::LOG_LEVEL),
        access: access.or(defaults::LOG_ACCESS),
    }
}

/// The options of sockets, of a listener or an upstream.
pub(super) fn socket_options(section: &mut Section<'_, '_>) -> SocketOptions {
    let buffer =
        |v: &DeValue<'_>| accept::unless(v, "auto", |v| accept::size(v, &SOCKET_BUFFER_RANGE));
    let nodelay = section.optional("nodelay", accept::boolean);
    let keepalive = section.optional("keepalive", |v| {
        accept::unless(v, "off", |v| accept::duration(v, &KEEPALIVE_RANGE))
    });
    let receive_buffer = section.optional("receive_buffer", buffer);
    let send_buffer = section.optional("send_buffer", buffer);
    SocketOptions {
        nodelay: nodelay.or(defaults::NODELAY),
        keepalive: keepalive.or(defaults::KEEPALIVE),
        receive_buffer: receive_buffer.or(defaults::SOCKET_BUFFER),
        send_buffer: send_buffer.or(defaults::SOCKET_BUFFER),
    }
}
