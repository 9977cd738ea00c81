//! The configuration from outside: the reference in `docs/` against the code, broken files
//! against their reports, and the way back to text.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::time::Duration;

#[path = "config/difference.rs"]
mod difference;
#[path = "config/http.rs"]
mod http;
#[path = "config/include.rs"]
mod include;
#[path = "config/inherit.rs"]
mod inherit;
#[path = "config/pages.rs"]
mod pages;
#[path = "config/schema.rs"]
mod schema;
#[path = "config/websocket.rs"]
mod websocket;

use ringway::config::{
    self, Balance, Config, ExchangeOptions, FlowOptions, FrameOptions, HashOn, HealthKind,
    HttpCheck, KEYS, LineOptions, ListenAddress, ListenerService, LogFormat, LogLevel, PoolOptions,
    Report, SendProxyProtocol, ServerAddress, ServerShare, SpliceMode, Steering, UdpOptions,
    WorkerCount,
};

const REFERENCE: &str = include_str!("../docs/ringway.toml");

/// A file with the required keys of the reference, and no others.
const MINIMAL: &str = r#"
[[listener]]
name = "web"
listen = "127.0.0.1:8080"
protocol = "tcp"
upstream = "backend"
[upstream.backend]
servers = ["10.0.0.5:6379"]
"#;

/// Further tables in which no optional key has its default.
const UNUSUAL_SERVICES: &str = r#"
[[listener]]
name = "frames"
listen = "unix:/run/frames.sock"
protocol = "frame"
window = 1
max_payload = "64B"
files = "/srv/a \"b\""
topics = "z"
[listener.values]
zebra = "last\n\ttabs, \"quotes\" and \u0000\u007f"
"two words\n" = '''
first''''
a = ""

[[listener]]
name = "frame-proxy"
listen = "0.0.0.0:3"
protocol = "frame"
upstream = "frames"
window = 65535
max_payload = 65535
max_connections = 1
unix_mode = "000"

[[listener]]
name = "messages"
listen = "0.0.0.0:4"
protocol = "messages"
line_limit = "16MiB"
idle_timeout = "1ms"

[[listener]]
name = "datagrams"
listen = ["0.0.0.0:1", "0.0.0.0:2"]
protocol = "udp"
upstream = "datagrams"
receive_buffer = "256MiB"
send_buffer = "4KiB"
offload = false
steering = "cpu"
max_flows = 1_000_000
flow_timeout = "1d"

[[listener]]
name = "datagram-echo"
listen = "[::1]:1"
protocol = "udp_echo"
offload = false
steering = "cpu"

[[listener]]
name = "by-name"
listen = "0.0.0.0:55"
protocol = "sni"
names = { "*.B.example" = "passed", "a.example" = "z-last" }
hello_timeout = "1h"
hellos_max = 1

[[listener]]
name = "by-name-or-not"
listen = "0.0.0.0:56"
protocol = "sni"
upstream = "passed"

[upstream.frames]
servers = ["unix:/run/frames.sock", "10.0.0.1:2"]
balance = "least_requests"
connect_timeout = "10m"
retries = 0
send_proxy_protocol = "off"
pool_max = 100_000
pool_min_idle = 1000
pool_idle_timeout = "1d"
pool_max_age = "off"
pool_queue = 1_000_000
pool_queue_timeout = "10m"
streams_max = 65535
request_timeout = "1d"
retry_backoff = "1m"
retry_backoff_max = "10m"
retry_budget = 1

[upstream.datagrams]
servers = ["10.0.0.1:53", "dns.example.net:53"]
balance = "consistent_hash"
send_proxy_protocol = "off"
receive_buffer = "1MiB"
send_buffer = "1MiB"

[upstream.passed]
servers = "10.0.0.2:443"
balance = "source_hash"
send_proxy_protocol = "v2"
"#;

/// A file in which no optional key has its default.
const UNUSUAL: &str = r#"
[runtime]
workers = 3
pin = false
ring_entries = 0x40
completion_entries = 128
buffers = 32_768
buffer_size = 1025
turn_budget = "16MiB"
compression_memory = 0
waiting_memory = "512MiB"
websocket_takeover_memory = 0
shutdown_timeout = "0s"
handoff_ratio = false
splice = "off"
splice_after = 0
splice_min_read = "1024"
pipe_size = "64KiB"
pipes = 0
kernel_tls = "off"
driver = "epoll"
zero_copy_send = "4KiB"
connect_to = ["10.0.0.0/8", "[::1]:443", "unix"]
watch = true

[admin]
enabled = false
listen = "[::1]:0"
token_file = "/admin.tokens"
[admin.tls]
certificate = "/admin.pem"
key = "/admin.key"
min_version = "1.3"
cipher_suites = "TLS_AES_128_GCM_SHA256"
groups = ["X25519"]
client_auth = "required"
client_ca = "/ops.pem"
client_crl = "/ops.crl"
handshake_timeout = "1s"

[log]
format = "json"
level = "trace"
access = true

[upstream.z-last]
servers = ["unix:/run/a \"b\".sock", "Example.NET:80", '[fe80::1]:5']
balance = "least_connections"
connect_timeout = "1ms"
retries = 16
send_proxy_protocol = "v2"
nodelay = false
keepalive = "off"
receive_buffer = "4KiB"
send_buffer = 268435456

[upstream]
a_first.servers = "10.0.0.1:1"
a_first.send_proxy_protocol = "v1"

[[listener]]
name = "one"
listen = ["[::]:0", "[::]:0", "unix:/run/täst.sock"]
protocol = "tcp"
upstream = "a_first"
max_connections = 10_000_000
idle_timeout = "7d"
accept_proxy_protocol = true
proxy_header_timeout = "1500ms"
nodelay = false
keepalive = "90s"
backlog = 1
receive_buffer = "1MiB"
send_buffer = "auto"
unix_mode = "777"

[[listener]]
name = "two"
listen = "0.0.0.0:1"
protocol = "tcp"
upstream = "z-last"

[[listener]]
name = "three"
listen = "0.0.0.0:2"
protocol = "echo"

[defaults]
listener = {}
route = {}
upstream = {}
"#;

fn good(text: &str) -> Config {
    config::parse("t.toml", text).unwrap_or_else(|report| panic!("{report}"))
}

fn bad(text: &str) -> Report {
    match config::parse("t.toml", text) {
        Ok(config) => panic!("this was accepted:\n{text}\nas {config:?}"),
        Err(report) => report,
    }
}

/// [`UNUSUAL`], and what is added to it.
fn unusual() -> String {
    format!("{UNUSUAL}{UNUSUAL_SERVICES}{}{}", http::UNUSUAL, websocket::UNUSUAL)
}

/// The tables of a file that [`KEYS`] has under one title.
fn tables<'t>(tree: &'t toml::Table, title: &str) -> Vec<&'t toml::Table> {
    let mut found = vec![tree];
    for name in title.trim_matches(['[', ']']).split('.') {
        let values: Vec<&toml::Value> = match name {
            "NAME" => found.iter().flat_map(|table| table.values()).collect(),
            _ => found.iter().filter_map(|table| table.get(name)).collect(),
        };
        let tables = values.into_iter().flat_map(|value| match value.as_array() {
            Some(elements) => elements.iter().collect(),
            None => vec![value],
        });
        found = tables.filter_map(toml::Value::as_table).collect();
    }
    assert!(!found.is_empty(), "{title}");
    found
}

/// The title of a table in [`KEYS`], by its header.
fn title_of(header: &str) -> String {
    let path = header.trim_matches(['[', ']']);
    let mut names: Vec<_> = path.split('.').collect();
    if matches!(names[0], "upstream" | "topics") {
        names[1] = "NAME";
    }
    header.replace(path, &names.join("."))
}

/// The title of the table that a table stands in, and its key there.
fn key_of_table(title: &str) -> Option<(&'static str, String)> {
    let (parent, key) = title.trim_matches(['[', ']']).rsplit_once('.')?;
    let parent = KEYS.iter().find(|keys| keys.table.trim_matches(['[', ']']) == parent)?;
    Some((parent.table, key.to_owned()))
}

/// The key of a line, if it sets one.
fn key_of(line: &str) -> Option<&str> {
    line.split_once(" = ").map(|(key, _)| key).filter(|_| !line.starts_with('#'))
}

#[test]
fn the_reference_shows_the_defaults() {
    /// What has no default.
    const REQUIRED: &[&str] = &[
        "name",
        "listen",
        "protocol",
        "upstream",
        "servers",
        "path_prefix",
        "path",
        "path_regex",
        "path_rewrite",
        "proxy",
        "files",
        "redirect",
        "respond",
        "echo",
        "status_page",
        "websocket_page",
        "handler",
        "service",
        "topics",
        "rate",
        "users",
        "users_file",
        "template",
        "address",
        "hash_on",
        "certificate",
        "key",
        "client_auth",
        "client_ca",
    ];
    /// What has another default, and is not shown with it a second time.
    const OTHERS: &[&str] =
        &["balance = \"hash\"", "format = \"template\"", "kind = \"grpc\"", "message_rate = 1000"];
    let is_kept = |line: &&str| {
        let is_rest_of_array = line.starts_with([' ', ']']);
        let key = key_of(line);
        OTHERS.contains(line)
            || (!is_rest_of_array && key.is_none_or(|key| REQUIRED.contains(&key)))
    };
    let (process, services) = REFERENCE.split_at(REFERENCE.find("[[listener]]").expect("one"));
    assert!(
        process.contains("[runtime]") && process.contains("[admin]") && process.contains("[log]")
    );
    let bare: Vec<_> = services.lines().filter(is_kept).collect();
    // Without it, none is spoken on the admin interface.
    let admin = process.lines().skip_while(|line| *line != "[admin.tls]");
    let admin = admin.take_while(|line| *line != "[log]").filter(is_kept);
    let bare: Vec<_> = admin.chain(bare).collect();
    assert_eq!(good(REFERENCE), good(&bare.join("\n")));
    let minimal = good(MINIMAL);
    assert_eq!(minimal.runtime, Config::default().runtime);
    assert_eq!(minimal.admin, Config::default().admin);
    assert_eq!(minimal.log, Config::default().log);
}

#[test]
fn the_reference_shows_every_key_in_its_order_and_with_a_comment() {
    let mut title = String::new();
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    let mut previous = "";
    for line in REFERENCE.lines() {
        let entry = if line.starts_with('[') {
            title = title_of(line);
            key_of_table(&title).map(|(parent, key)| (parent.to_owned(), key))
        } else {
            key_of(line).map(|key| (title.clone(), key.to_owned()))
        };
        // `[upstream.NAME]` is an entry of no table that has keys of its own.
        if let Some((table, key)) = entry {
            let place = shown.iter().position(|(other, _)| *other == table);
            let place = place.unwrap_or_else(|| {
                shown.push((table.clone(), Vec::new()));
                shown.len() - 1
            });
            let keys = &mut shown[place].1;
            // A key that further tables have again has its comment where it is first.
            if !keys.contains(&key) {
                assert!(previous.starts_with("# "), "{table} {key} has a comment");
                keys.push(key);
            }
        }
        previous = line;
    }
    let text = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let known = KEYS.iter().map(|keys| (keys.table.to_owned(), text(keys.keys)));
    assert_eq!(shown, known.collect::<Vec<_>>());
    assert!(REFERENCE.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn every_key_of_the_code_is_read() {
    let tree: toml::Table = unusual().parse().expect("TOML");
    for keys in KEYS {
        let known: BTreeSet<_> = keys.keys.iter().copied().collect();
        let tables = tables(&tree, keys.table);
        let used = tables.iter().flat_map(|table| table.keys()).map(String::as_str);
        assert_eq!(used.collect::<BTreeSet<_>>(), known, "{}", keys.table);
    }
}

#[test]
fn values_of_the_process_arrive_where_they_belong() {
    let config = good(&unusual());
    let WorkerCount::Fixed(workers) = config.runtime.workers else { panic!("a number of workers") };
    assert_eq!(workers.get(), 3);
    assert!(!config.runtime.pin);
    assert_eq!(config.runtime.ring_entries, 64);
    assert_eq!(config.runtime.completion_entries, 128);
    assert_eq!(config.runtime.buffers, 32_768);
    assert_eq!(config.runtime.buffer_size, 1025);
    assert_eq!(config.runtime.turn_budget, 16 << 20);
    assert_eq!(config.runtime.compression_memory, 0);
    assert_eq!(config.runtime.waiting_memory, 512 << 20);
    assert_eq!(config.runtime.websocket_takeover_memory, 0);
    assert_eq!(config.runtime.shutdown_timeout, Duration::ZERO);
    assert_eq!(config.runtime.handoff_ratio, None);
    let splice = &config.runtime.splice;
    assert_eq!((splice.mode, splice.after, splice.pipes), (SpliceMode::Off, 0, 0));
    assert_eq!((splice.min_read, splice.pipe_size), (1024, 65_536));
    assert!(config.runtime.watch);
    assert!(!config.admin.enabled);
    assert_eq!(config.admin.listen.to_string(), "[::1]:0");
    assert_eq!(config.admin.token_file, Some("/admin.tokens".into()));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Trace));
    assert!(config.log.access);
}

#[test]
fn values_of_upstreams_arrive_where_they_belong() {
    let config = good(&unusual());
    let [last, first, frames, datagrams, ..] = config.upstreams.as_slice() else { panic!("four") };
    assert_eq!((last.name.as_str(), first.name.as_str()), ("z-last", "a_first"));
    let host = "example.net".to_owned();
    assert_eq!(last.servers[0], ServerAddress::Unix("/run/a \"b\".sock".into()));
    assert_eq!(last.servers[1], ServerAddress::Name { host, port: 80 });
    assert_eq!(last.servers[2], ServerAddress::Ip("[fe80::1]:5".parse().unwrap()));
    assert_eq!((last.balance, last.retries), (Balance::LeastConnections, 16));
    assert_eq!(last.connect_timeout, Duration::from_millis(1));
    assert_eq!(last.send_proxy_protocol, SendProxyProtocol::V2);
    assert_eq!(first.send_proxy_protocol, SendProxyProtocol::V1);
    assert_eq!((last.socket.nodelay, last.socket.keepalive), (false, None));
    assert_eq!(last.socket.receive_buffer, Some(4096));
    assert_eq!(last.socket.send_buffer, Some(256 << 20));
    for defaults in [last, first, datagrams] {
        assert_eq!(defaults.pool, PoolOptions::default());
        assert_eq!(defaults.exchange, ExchangeOptions::default());
    }
    assert_eq!((frames.balance, frames.retries), (Balance::LeastRequests, 0));
    let pool = PoolOptions {
        max: 100_000,
        min_idle: 1000,
        idle_timeout: Duration::from_secs(86_400),
        max_age: None,
        queue: 1_000_000,
        queue_timeout: Duration::from_secs(600),
        streams_max: 65_535,
    };
    assert_eq!(frames.pool, pool);
    let exchange = ExchangeOptions {
        timeout: Duration::from_secs(86_400),
        backoff: Duration::from_secs(60),
        backoff_max: Duration::from_secs(600),
        budget: 1.0,
    };
    assert_eq!(frames.exchange, exchange);
    assert_eq!(datagrams.balance, Balance::ConsistentHash);
    assert_eq!(datagrams.socket.receive_buffer, Some(1 << 20));
}

#[test]
fn values_of_listeners_arrive_where_they_belong() {
    let config = good(&unusual());
    let services = config.listeners.iter().map(|listener| listener.service.clone()).take(8);
    let text = |text: &str| text.to_owned();
    let server = FrameOptions {
        window: 1,
        max_payload: 64,
        values: vec![
            (text("a"), String::new()),
            (text("two words\n"), text("first'")),
            (text("zebra"), text("last\n\ttabs, \"quotes\" and \0\u{7f}")),
        ],
        files: Some("/srv/a \"b\"".into()),
        topics: Some(0),
    };
    let proxy = FrameOptions { window: 65_535, ..FrameOptions::default() };
    let udp = UdpOptions { offload: false, steering: Steering::Cpu };
    let expected = [
        ListenerService::Tcp { upstream: 1 },
        ListenerService::Tcp { upstream: 0 },
        ListenerService::Echo,
        ListenerService::Frame { upstream: None, options: server },
        ListenerService::Frame { upstream: Some(2), options: proxy },
        ListenerService::Messages(LineOptions { line_limit: 16 << 20 }),
        ListenerService::Udp {
            upstream: 3,
            options: udp,
            flows: FlowOptions { max_flows: 1_000_000, timeout: Duration::from_secs(86_400) },
        },
        ListenerService::UdpEcho { options: udp },
    ];
    assert_eq!(services.collect::<Vec<_>>(), expected);
    let udp = config.listeners.iter().filter(|listener| listener.is_udp());
    let udp: Vec<_> = udp.map(|listener| listener.name.as_str()).collect();
    assert_eq!(udp, ["datagrams", "datagram-echo"]);
    assert_eq!(config.listeners[6].socket.receive_buffer, Some(256 << 20));
    let one = &config.listeners[0];
    assert_eq!((one.name.as_str(), one.listen.len()), ("one", 3));
    assert_eq!(one.listen[2], ListenAddress::Unix("/run/täst.sock".into()));
    assert_eq!((one.max_connections, one.backlog), (10_000_000, 1));
    assert_eq!(one.idle_timeout, Duration::from_secs(7 * 86_400));
    assert!(one.accept_proxy_protocol);
    assert_eq!(one.proxy_header_timeout, Duration::from_millis(1500));
    assert_eq!(one.socket.keepalive, Some(Duration::from_secs(90)));
    assert_eq!((one.socket.nodelay, one.socket.receive_buffer), (false, Some(1 << 20)));
    assert_eq!((one.socket.send_buffer, one.unix_mode), (None, 0o777));
}

#[test]
fn the_effective_configuration_is_read_back_as_it_was() {
    for text in [REFERENCE, MINIMAL, UNUSUAL, &unusual()] {
        let config = good(text);
        let effective = config.to_toml();
        assert_eq!(good(&effective), config, "{effective}");
        assert_eq!(good(&effective).to_toml(), effective);
    }
    let embedded = config::embedded();
    assert_eq!(good(&embedded.to_toml()), embedded);
}

#[test]
fn the_effective_configuration_has_every_key() {
    for text in [REFERENCE, &unusual()] {
        let tree: toml::Table = good(text).to_toml().parse().expect("TOML");
        // What is taken over is written where it holds.
        for keys in KEYS.iter().filter(|keys| keys.table != "[defaults]") {
            let tables = tables(&tree, keys.table);
            let written = tables.iter().flat_map(|table| table.keys()).map(String::as_str);
            let mut known: BTreeSet<_> = keys.keys.iter().copied().collect();
            if keys.table == "[[listener]]" {
                // They are written with the routes.
                known.retain(|key| !matches!(*key, "request_headers" | "response_headers"));
            }
            assert_eq!(written.collect::<BTreeSet<_>>(), known, "{}", keys.table);
        }
    }
}

#[test]
fn the_effective_configuration_has_the_keys_that_apply() {
    const ALL: &str = "name listen protocol receive_buffer send_buffer";
    const STREAM: &str = "max_connections idle_timeout nodelay keepalive backlog unix_mode";
    const HEADER: &str = "accept_proxy_protocol proxy_header_timeout";
    const LISTENERS: [(&str, &[&str]); 10] = [
        ("one", &["upstream", STREAM, HEADER]),
        ("two", &["upstream", STREAM, HEADER]),
        ("three", &[STREAM, HEADER]),
        ("frames", &[STREAM, HEADER, "window max_payload values files topics"]),
        ("frame-proxy", &["upstream", STREAM, HEADER, "window max_payload"]),
        ("messages", &[STREAM, HEADER, "line_limit"]),
        ("datagrams", &["upstream offload steering max_flows flow_timeout"]),
        ("datagram-echo", &["offload steering"]),
        ("by-name", &[STREAM, HEADER, "names hello_timeout hellos_max"]),
        ("by-name-or-not", &["upstream", STREAM, HEADER, "names hello_timeout hellos_max"]),
    ];
    const GROUP: &str = "servers balance send_proxy_protocol receive_buffer send_buffer slow_start \
        requests_max panic_ratio";
    const CONNECT: &str = "connect_timeout retries nodelay keepalive";
    const POOL: &str = "pool_max pool_min_idle pool_idle_timeout pool_max_age pool_queue \
        pool_queue_timeout streams_max";
    const EXCHANGE: &str = "request_timeout retry_backoff retry_backoff_max retry_budget";
    const UPSTREAMS: [(&str, &[&str]); 5] = [
        ("z-last", &[CONNECT]),
        ("passed", &[CONNECT]),
        ("a_first", &[CONNECT]),
        ("frames", &[CONNECT, POOL, EXCHANGE]),
        ("datagrams", &[]),
    ];
    let assert_keys = |table: &toml::Value, name: &str, all: &str, own: &[&str]| {
        let expected = own.iter().flat_map(|keys| keys.split(' ')).chain(all.split(' '));
        let keys = table.as_table().expect("a table").keys().map(String::as_str);
        assert_eq!(keys.collect::<BTreeSet<_>>(), expected.collect(), "{name}");
    };
    let tree: toml::Table = good(&unusual()).to_toml().parse().expect("TOML");
    for (index, (name, own)) in LISTENERS.into_iter().enumerate() {
        assert_eq!(tree["listener"][index]["name"].as_str(), Some(name));
        assert_keys(&tree["listener"][index], name, ALL, own);
    }
    for (name, own) in UPSTREAMS {
        assert_keys(&tree["upstream"][name], name, GROUP, own);
    }
}

/// Mistakes of one line each: the table that the line is added to, the line with what is
/// underlined, and parts of the message and the help.
const BROKEN_LINES: &str = r#"
[runtime]
wokers = 1
^^^^^^
error: unknown key `wokers`
help: did you mean `workers`? Keys of [runtime] are: workers, pin,

[runtime]
'frobnicate' = 1
^^^^^^^^^^^^
error: unknown key `frobnicate`
help: Keys of [runtime] are: workers

[runtime]
"\u001b" = 1
^^^^^^^^
error: unknown key `\u{1b}`
help: Keys of [runtime]

[runtime]
workers = 0
          ^
error: `workers`: expected "auto" or an integer from 1 to 1024, got 0
help: the least is 1, the most 1024

[runtime]
workers = 1025
          ^^^^
error: got 1025
help: 1024

[runtime]
workers = "all"
          ^^^^^
error: "auto" or an integer
help: write a number

[runtime]
workers = "4"
          ^^^
error: got a string
help: leave out the quotes

[runtime]
workers = 99999999999999999999999999999999999999999999
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
error: got 99999
help: 1024

[runtime]
workers = -1
          ^^
error: got -1
help: 1024

[runtime]
pin = 1
      ^
error: `pin`: expected true or false, got an integer
help: write true or false

[runtime]
pin = "true"
      ^^^^^^
error: got a string
help: leave out the quotes

[runtime]
ring_entries = 1000
               ^^^^
error: expected a power of two from 64 to 32768, got 1000
help: the nearest are 512 and 1024

[runtime]
ring_entries = 65536
               ^^^^^
error: a power of two from 64 to 32768, got 65536
help: the most 32768

[runtime]
ring_entries = 8192
               ^^^^
error: `completion_entries` is 8192, and `ring_entries` 8192
help: at least twice as much: 16384

[runtime]
completion_entries = 1_024
                     ^^^^^
error: `completion_entries` is 1024
help: 2048

[runtime]
buffers = 8
          ^
error: got 8
help: the least is 16

[runtime]
buffers = 1e3
          ^^^
error: got a float
help: write a number

[runtime]
buffer_size = "16KB"
              ^^^^^^
error: expected a size from 1KiB to 1MiB, such as "64KiB", got "16KB"
help: the units are B, KiB, MiB and GiB

[runtime]
buffer_size = true
              ^^^^
error: got a boolean
help: KiB

[runtime]
buffer_size = "2MiB"
              ^^^^^^
error: got "2MiB"
help: the least is 1KiB, the most 1MiB

[runtime]
buffer_size = -4096
              ^^^^^
error: got -4096
help: the least is 1KiB

[runtime]
turn_budget = "99999999999999GiB"
              ^^^^^^^^^^^^^^^^^^^
error: got "99999999999999GiB"
help: the most 16MiB

[runtime]
websocket_takeover_memory = "65GiB"
                            ^^^^^^^
error: `websocket_takeover_memory`: expected a size from 0B to 64GiB
help: the most 64GiB

[runtime]
compression_memory = "65GiB"
                     ^^^^^^^
error: `compression_memory`: expected a size from 0B to 64GiB
help: the most 64GiB

[runtime]
waiting_memory = "1023KiB"
                 ^^^^^^^^^
error: `waiting_memory`: expected a size from 1MiB to 64GiB
help: the least is 1MiB

[runtime]
shutdown_timeout = "30"
                   ^^^^
error: expected a duration such as "5s", got "30"
help: add a unit; the units are ms, s, m, h and d

[runtime]
shutdown_timeout = 30
                   ^^
error: expected a duration such as "5s", got an integer
help: add a unit and quotes: "30s" or "30ms"; from 0s to 1d

[runtime]
shutdown_timeout = "2d"
                   ^^^^
error: expected a duration from 0s to 1d, got "2d"
help: the most 1d

[runtime]
shutdown_timeout = 1979-05-27
                   ^^^^^^^^^^
error: got a date or time
help: one of ms, s, m, h and d

[runtime]
handoff_ratio = 0.5
                ^^^
error: a number from 1.0 to 100.0, "off" or false, got 0.5
help: 1.5

[runtime]
handoff_ratio = nan
                ^^^
error: got nan
help: 1.5

[runtime]
handoff_ratio = true
                ^^^^
error: got a boolean
help: 1.5

[runtime]
handoff_ratio = "on"
                ^^^^
error: got "on"
help: 1.5

[runtime]
splice = "on"
         ^^^^
error: expected "auto" or "off", got "on"
help: write "auto" or "off"

[runtime]
splice = true
         ^^^^
error: got a boolean
help: write "auto" in its quotes

[runtime]
splice_after = "2GiB"
               ^^^^^^
error: a size from 0B to 1GiB
help: the most 1GiB

[runtime]
pipe_size = "1.5MiB"
            ^^^^^^^^
error: got "1.5MiB"
help: a whole number of a smaller unit

[runtime]
pipes = {}
        ^^
error: got a table
help: write a number

[admin]
listen = "localhost:9901"
         ^^^^^^^^^^^^^^^^
error: `listen`: expected an address (IP:PORT or [IPV6]:PORT)
help: needs an IP address

[admin]
listen = "unix:/run/admin"
         ^^^^^^^^^^^^^^^^^
error: got "unix:/run/admin"
help: a Unix socket is not possible here

[admin]
listen = 9901
         ^^^^
error: got an integer
help: write the address in quotes

[admin]
token_file = ""
             ^^
error: `token_file`: expected "off" or the path of a file

[admin]
token_file = "of"
             ^^^^
error: expected "off" or a path, got "of"
help: did you mean "off"? A file of this name is "./of"

[log]
format = "xml"
         ^^^^^
error: one of "auto", "text", "json", got "xml"
help: write "auto" or

[log]
level = "warning"
        ^^^^^^^^^
error: got "warning"
help: write "error" or "warn"

[log]
level = "INF"
        ^^^^^
error: got "INF"
help: did you mean "info"?

[[listener]]
max-connections = 5
^^^^^^^^^^^^^^^
error: unknown key `max-connections`
help: did you mean `max_connections`? Keys of [[listener]] are

[[listener]]
  idleTimeout = 5
  ^^^^^^^^^^^
error: unknown key `idleTimeout`
help: did you mean `idle_timeout`?

[[listener]]
idle_timeout = "0s"
               ^^^^
error: a duration from 1ms to 7d, got "0s"
help: the least is 1ms

[[listener]]
idle_timeout = "1h30m"
               ^^^^^^^
error: got "1h30m"
help: one number and one unit

[[listener]]
idle_timeout = "soon"
               ^^^^^^
error: got "soon"
help: start with a whole number

[[listener]]
keepalive = false
            ^^^^^
error: `keepalive`: expected "off" or a duration such as "5s", got a boolean
help: write a number

[[listener]]
keepalive = "500ms"
            ^^^^^^^
error: "off" or a duration from 1s to 1d
help: the least is 1s

[[listener]]
backlog = 65536
          ^^^^^
error: from 1 to 65535, got 65536
help: 65535

[[listener]]
receive_buffer = "1KiB"
                 ^^^^^^
error: "auto" or a size from 4KiB to 256MiB
help: the least is 4KiB

[[listener]]
unix_mode = 660
            ^^^
error: `unix_mode`: expected permissions in octal such as "0660", got an integer
help: put the octal digits in quotes

[[listener]]
unix_mode = "0888"
            ^^^^^^
error: got "0888"
help: octal digits

[[listener]]
unix_mode = "1777"
            ^^^^^^
error: got "1777"
help: up to "0777"

[[listener]]
unix_mode = "+77"
            ^^^^^
error: got "+77"
help: octal digits

[upstream.backend]
balance = "roundrobin"
          ^^^^^^^^^^^^
error: one of "round_robin", "least_connections", "least_requests", "source_hash", "consistent_hash", "ewma", "hash"
help: did you mean "round_robin"?

[upstream.backend]
connect_timeout = ["3s"]
                  ^^^^^^
error: got an array
help: write a number

[upstream.backend]
retries = 17
          ^^
error: an integer from 0 to 16, got 17
help: the most 16

[upstream.backend]
send_proxy_protocol = 2
                      ^
error: one of "off", "v1", "v2", got an integer
help: in its quotes

[upstream.backend]
send_buffer = "größer"
              ^^^^^^^^
error: got "größer"
help: start with a whole number

[upstream.backend]
server = []
^^^^^^
error: unknown key `server`
help: did you mean `servers`? Keys of [upstream.backend] are: servers, balance

[upstream.backend]
pin.x = 1
^^^
error: unknown key `pin`
help: Keys of [upstream.backend]

[[listener]] # frame
window = 0
         ^
error: `window`: expected an integer from 1 to 65535, got 0
help: the least is 1, the most 65535

[[listener]] # frame
window = 65536
         ^^^^^
error: got 65536
help: the most 65535

[[listener]] # frame
max_payload = "63B"
              ^^^^^
error: `max_payload`: expected a size from 64B to 65535B
help: the least is 64B

[[listener]] # frame
max_payload = "64KiB"
              ^^^^^^^
error: got "64KiB"
help: the most 65535B

[[listener]] # frame
values = "motd"
         ^^^^^^
error: `values`: expected a table, got a string
help: write each name with its value

[[listener]] # frame
values = []
         ^^
error: `values`: expected a table, got an array
help: as in values = { motd

[[listener]] # frame
values = { a = 1 }
               ^
error: `values`: expected a string, got an integer
help: in quotes

[[listener]] # frame
values.a.b = "c"
       ^
error: `values`: expected a string, got a table
help: in quotes

[[listener]] # frame
values = { "" = "" }
           ^^
error: `values`: expected names of 1 to 255 bytes, got 0 bytes
help: another name

[[listener]] # frame
valeus = {}
^^^^^^
error: unknown key `valeus`
help: did you mean `values`?

[[listener]] # frame
files = true
        ^^^^
error: `files`: expected "off" or the path of a directory, got a boolean
help: in quotes

[[listener]] # frame
files = "of"
        ^^^^
error: expected "off" or a path, got "of"
help: did you mean "off"? A file of this name is "./of"

[[listener]] # frame
files = ""
        ^^
error: expected "off" or the path of a directory, got ""
help: the folder of this file is "."

[[listener]] # frame
files = "~/srv"
        ^^^^^^^
error: expected "off" or the path of a directory, got "~/srv"
help: give the whole path

[[listener]] # frame
files = "/a\u0000"
        ^^^^^^^^^^
error: `files`: expected "off" or the path
help: no zero byte

[[listener]] # frame
hellos_max = 1
^^^^^^^^^^
error: `hellos_max` is for `protocol = "sni"`
help: remove it: this listener has `protocol = "frame"`

[[listener]] # frame
max_flows = 1
^^^^^^^^^
error: `max_flows` is for `protocol = "udp"`
help: `protocol = "frame"`

[[listener]] # frame proxy
values = {}
^^^^^^
error: `values` is for a frame server, and this listener is a proxy
help: remove it, or remove `upstream`

[[listener]] # frame proxy
values.a = ""
^^^^^^
error: `values` is for a frame server
help: remove it

[[listener]] # frame proxy
files = "off"
^^^^^
error: `files` is for a frame server, and this listener is a proxy
help: remove it

[[listener]] # messages
line_limit = "127B"
             ^^^^^^
error: `line_limit`: expected a size from 128B to 16MiB
help: the least is 128B

[[listener]] # messages
line_limit = 16777217
             ^^^^^^^^
error: got 16777217
help: the most 16MiB

[[listener]] # messages
names = {}
^^^^^
error: `names` is for `protocol = "sni"`
help: `protocol = "messages"`

[[listener]] # messages
window = 7
^^^^^^
error: `window` is for `protocol = "frame"`
help: remove it: this listener has `protocol = "messages"`

[[listener]] # messages
upstream = "backend"
           ^^^^^^^^^
error: a listener with `protocol = "messages"` has no upstream
help: remove `upstream`

[[listener]]
window = 256
^^^^^^
error: `window` is for `protocol = "frame"`
help: remove it: this listener has `protocol = "tcp"`

[[listener]]
line_limit = "1KiB"
^^^^^^^^^^
error: `line_limit` is for `protocol = "messages"`
help: `protocol = "tcp"`

[[listener]]
  offload = true
  ^^^^^^^
error: `offload` is for a `protocol` of "udp" or "udp_echo"
help: `protocol = "tcp"`

[[listener]] # udp
offload = "auto"
          ^^^^^^
error: `offload`: expected true or false, got a string
help: write true or false

[[listener]] # udp
steering = "core"
           ^^^^^^
error: `steering`: expected "flow" or "cpu", got "core"
help: write "flow" or "cpu"

[[listener]] # udp
max_flows = 1000001
            ^^^^^^^
error: `max_flows`: expected an integer from 1 to 1000000
help: the most 1000000

[[listener]] # udp
flow_timeout = "0s"
               ^^^^
error: `flow_timeout`: expected a duration from 1ms to 1d
help: the least is 1ms

[[listener]] # udp
max_connections = 10
^^^^^^^^^^^^^^^
error: `max_connections` is for a `protocol` of "tcp", "echo", "frame", "messages", "sni" or "http"
help: remove it: this listener has `protocol = "udp"`

[[listener]] # udp
idle_timeout = "1m"
^^^^^^^^^^^^
error: `idle_timeout` is for a `protocol` of "tcp", "echo", "frame", "messages" or "sni"
help: "udp"

[[listener]] # udp
accept_proxy_protocol = true
^^^^^^^^^^^^^^^^^^^^^
error: `accept_proxy_protocol` is for a `protocol` of "tcp", "echo", "frame", "messages", "sni" or "http"
help: "udp"

[[listener]] # udp
proxy_header_timeout = "1s"
^^^^^^^^^^^^^^^^^^^^
error: `proxy_header_timeout` is for
help: "udp"

[[listener]] # udp
nodelay = true
^^^^^^^
error: `nodelay` is for
help: "udp"

[[listener]] # udp
keepalive = "off"
^^^^^^^^^
error: `keepalive` is for
help: "udp"

[[listener]] # udp echo
backlog = 4096
^^^^^^^
error: `backlog` is for
help: "udp_echo"

[[listener]] # udp echo
unix_mode = "0660"
^^^^^^^^^
error: `unix_mode` is for
help: "udp_echo"

[[listener]] # udp echo
flow_timeout = "1s"
^^^^^^^^^^^^
error: `flow_timeout` is for `protocol = "udp"`
help: "udp_echo"

[[listener]] # udp echo
upstream = "datagrams"
           ^^^^^^^^^^^
error: a listener with `protocol = "udp_echo"` has no upstream
help: remove `upstream`, or set `protocol = "udp"`

[upstream.backend]
balance = "hash"
          ^^^^^^
error: `balance = "hash"` needs `hash_on`
help: add hash_on = "source"

[upstream.backend]
health = { kind = "tls" }
                  ^^^^^
error: checks by TLS need a table [upstream.backend.tls]
help: or set `kind` to "tcp"

[upstream.backend]
pool_max = 64
^^^^^^^^
error: only frame and HTTP proxies use `pool_max`
help: remove it: no listener with a `protocol` of "frame" or "http" has this upstream

[upstream.backend]
request_timeout = "5s"
^^^^^^^^^^^^^^^
error: only frame proxies use `request_timeout`
help: remove it

[upstream.backend]
retry_budget = 0.5
^^^^^^^^^^^^
error: only frame and HTTP proxies use `retry_budget`
help: remove it

[upstream.datagrams]
balance = "ewma"
          ^^^^^^
error: `balance = "ewma"` is for TCP, frame, SNI and HTTP proxies, and a UDP proxy uses this upstream
help: how long a server takes is not known of datagrams; a UDP proxy takes "round_robin"

[upstream.datagrams]
send_proxy_protocol = "v1"
                      ^^^^
error: `send_proxy_protocol = "v1"` is for TCP and SNI proxies, and a UDP proxy uses this upstream
help: set it to "off"

[upstream.datagrams]
connect_timeout = "1s"
^^^^^^^^^^^^^^^
error: only TCP, frame, SNI and HTTP proxies use `connect_timeout`
help: no listener with a `protocol` of "tcp", "frame", "sni" or "http" has this upstream

[upstream.datagrams]
retries = 1
^^^^^^^
error: only TCP, frame, SNI and HTTP proxies use `retries`
help: remove it

[upstream.datagrams]
streams_max = 1
^^^^^^^^^^^
error: only frame and HTTP proxies use `streams_max`
help: remove it

[upstream.frames]
balance = "source_hash"
          ^^^^^^^^^^^^^
error: `balance = "source_hash"` is for TCP, UDP, SNI and HTTP proxies, and a frame proxy uses this upstream
help: a frame proxy takes "round_robin", "least_connections", "least_requests" or "ewma"

[upstream.frames]
balance = "consistent_hash"
          ^^^^^^^^^^^^^^^^^
error: `balance = "consistent_hash"` is for TCP, UDP, SNI and HTTP proxies
help: requests of many clients share its connections

[upstream.frames]
send_proxy_protocol = "v2"
                      ^^^^
error: `send_proxy_protocol = "v2"` is for TCP and SNI proxies, and a frame proxy uses this upstream
help: set it to "off"

[upstream.frames]
pool_max = 0
           ^
error: `pool_max`: expected an integer from 1 to 100000
help: the least is 1

[upstream.frames]
pool_min_idle = 1001
                ^^^^
error: `pool_min_idle`: expected an integer from 0 to 1000
help: the most 1000

[upstream.frames]
pool_min_idle = 65
                ^^
error: `pool_min_idle` is 65, and `pool_max` 64
help: must not be above

[upstream.frames]
pool_idle_timeout = "0ms"
                    ^^^^^
error: `pool_idle_timeout`: expected a duration from 1ms to 1d
help: the least is 1ms

[upstream.frames]
pool_max_age = "500ms"
               ^^^^^^^
error: `pool_max_age`: expected "off" or a duration from 1s to 7d
help: the least is 1s

[upstream.frames]
pool_max_age = "never"
               ^^^^^^^
error: "off" or a duration
help: start with a whole number

[upstream.frames]
pool_queue = 0
             ^
error: `pool_queue`: expected an integer from 1 to 1000000
help: the least is 1

[upstream.frames]
pool_queue_timeout = "11m"
                     ^^^^^
error: `pool_queue_timeout`: expected a duration from 1ms to 10m
help: the most 10m

[upstream.frames]
streams_max = 65536
              ^^^^^
error: `streams_max`: expected an integer from 1 to 65535
help: the most 65535

[upstream.frames]
request_timeout = 30
                  ^^
error: `request_timeout`: expected a duration
help: "30s"

[upstream.frames]
retry_backoff = "2m"
                ^^^^
error: `retry_backoff`: expected a duration from 1ms to 1m
help: the most 1m

[upstream.frames]
retry_backoff = "1001ms"
                ^^^^^^^^
error: `retry_backoff` is 1001ms, and `retry_backoff_max` 1s
help: must not be below

[upstream.frames]
retry_backoff_max = "24ms"
                    ^^^^^^
error: `retry_backoff` is 25ms, and `retry_backoff_max` 24ms
help: must not be below

[upstream.frames]
retry_backoff_max = "1h"
                    ^^^^
error: `retry_backoff_max`: expected a duration from 1ms to 10m
help: the most 10m

[upstream.frames]
retry_budget = 1.01
               ^^^^
error: `retry_budget`: expected a number from 0.0 to 1.0, got 1.01
help: the least is 0.0, the most 1.0

[upstream.frames]
retry_budget = "20%"
               ^^^^^
error: `retry_budget`: expected a number from 0.0 to 1.0, got "20%"
help: the most 1.0

[upstream.frames]
retry_budget = nan
               ^^^
error: got nan
help: the most 1.0
"#;

/// Mistakes of whole files, in the same form.
const BROKEN_FILES: &str = r#"
#
^
error: there is no [[listener]], and a file needs one at least
help: write each listener as a [[listener]] table

# only a comment
error: there is no [[listener]]
help: with name, listen and protocol

[[listner]]
  ^^^^^^^
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = "10.0.0.1:1"
error: unknown key `listner`
help: did you mean `listener`? Keys of the file are: include, runtime, admin, log

[listener]
^^^^^^^^^^
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: `listener`: expected an array of tables, got a table
help: as a [[listener]] table

listener = []
           ^^
error: there is no [[listener]]
help: [[listener]]

listener = ["a"]
            ^^^
error: expected a table, got a string
help: write it as [[listener]], with the keys: name, listen, protocol

runtime = 4
          ^
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: expected a table, got an integer
help: write it as [runtime], with the keys: workers

[[log]]
^^^^^^^
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: expected a table, got an array
help: write it as [log], with the keys: format, level, access

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[server]
 ^^^^^^
error: unknown key `server`
help: Keys of the file are

[[listener]]
^^^^^^^^^^^^
listen = "127.0.0.1:1"
protocol = "echo"
error: missing key `name` in [[listener]]
help: add name = "web"

[[listener]]
^^^^^^^^^^^^
name = "a"
protocol = "echo"
error: missing key `listen` in [[listener]]
help: add listen = "127.0.0.1:8080"

[[listener]]
name = "a"
lisen = "127.0.0.1:1"
^^^^^
protocol = "echo"
error: unknown key `lisen`
help: did you mean `listen`? Keys of [[listener]] are: name, listen, protocol

[[listener]]
^^^^^^^^^^^^
name = "a"
listen = "127.0.0.1:1"
error: missing key `protocol` in [[listener]]
help: add protocol = "tcp"

[[listener]]
^^^^^^^^^^^^
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
error: missing key `upstream` in [[listener]]
help: add upstream = "NAME"

[[listener]]
name = "Web"
       ^^^^^
listen = "127.0.0.1:1"
protocol = "echo"
error: `name`: expected a name, got "Web"
help: a name is a letter a-z

[[listener]]
name = 7
       ^
listen = "127.0.0.1:1"
protocol = "echo"
error: `name`: expected a name, got an integer
help: in quotes

[[listener]]
name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
listen = "127.0.0.1:1"
protocol = "echo"
error: expected a name
help: up to 63

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "quic"
           ^^^^^^
error: `protocol`: expected one of "tcp", "echo", "udp", "udp_echo", "frame", "messages", "sni", "http", got
help: write "tcp" or "echo" or "udp"

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[[listener]]
name = "a"
       ^^^
listen = "127.0.0.1:2"
protocol = "echo"
error: there is already a listener named `a`
help: a name of its own

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[[listener]]
name = "b"
listen = "127.0.0.1:1"
         ^^^^^^^^^^^^^
protocol = "echo"
error: `127.0.0.1:1` is listened on already
help: over all listeners

[[listener]]
name = "a"
listen = ["unix:/a", "unix:/a"]
                     ^^^^^^^^^
protocol = "echo"
error: `unix:/a` is listened on already
help: each address stands once

[[listener]]
name = "a"
listen = ["unix:/a/b", "unix:/a/.//b"]
                       ^^^^^^^^^^^^^^
protocol = "echo"
error: `unix:/a/.//b` is listened on already
help: each address stands once

[[listener]]
name = "a"
listen = ["127.0.0.1:80", "0.0.0.0:80", "[::]:80"]
                          ^^^^^^^^^^^^
protocol = "echo"
error: `0.0.0.0:80` overlaps `127.0.0.1:80`, which is listened on already
help: include every address of this machine

[[listener]]
name = "a"
listen = ["[::]:80", "[::1]:81", "[::1]:80"]
                                 ^^^^^^^^^^
protocol = "udp_echo"
error: `[::1]:80` overlaps `[::]:80`, which is listened on already
help: give each address by itself

[[listener]]
name = "a"
listen = "0.0.0.0:9901"
         ^^^^^^^^^^^^^^
protocol = "echo"
error: `0.0.0.0:9901` is the address of the administration endpoint, `127.0.0.1:9901`
help: choose another port

[[listener]]
name = "a"
listen = ["unix:/\u001b[1m", 'unix:/a', "unix:/\u001b[1m"]
                                        ^^^^^^^^^^^^^^^^^
protocol = "echo"
error: `unix:/\u{1b}[1m` is listened on already
help: each address stands once

[[listener]]
name = "a"
listen = "127.0.0.1:9901"
         ^^^^^^^^^^^^^^^^
protocol = "echo"
error: `127.0.0.1:9901` is the address of the administration endpoint
help: another port

[[listener]]
name = "a"
listen = []
         ^^
protocol = "echo"
error: `listen`: expected 1 to 1024 values, got 0
help: write listen = "127.0.0.1:8080"

[[listener]]
name = "a"
listen = ["127.0.0.1:1", 2]
                         ^
protocol = "echo"
error: `listen`: expected an address (IP:PORT, [IPV6]:PORT or unix:/PATH), got an integer
help: in quotes

[[listener]]
name = "a"
listen = "127.0.0.1"
         ^^^^^^^^^^^
protocol = "echo"
error: got "127.0.0.1"
help: add a port

[[listener]]
name = "a"
listen = "::1:80"
         ^^^^^^^^
protocol = "echo"
error: got "::1:80"
help: in brackets: [::1]:80

[[listener]]
name = "a"
listen = "unix:a.sock"
         ^^^^^^^^^^^^^
protocol = "echo"
error: got "unix:a.sock"
help: give the whole path

[[listener]]
name = "a"
listen = "unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
protocol = "echo"
error: `listen`: expected an address
help: the path has 108 bytes, and a Unix socket has room for 107

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
upstream = "b"
           ^^^
[upstream.b]
servers = "10.0.0.1:1"
error: a listener with `protocol = "echo"` has no upstream
help: remove `upstream`, or set `protocol = "tcp"`

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
           ^^^
error: there is no upstream named `b`
help: add a table [upstream.b]

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "bakend"
           ^^^^^^^^
[upstream.backend]
servers = "10.0.0.1:1"
error: there is no upstream named `bakend`
help: did you mean "backend"?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
^^^^^^^^^^^^
error: missing key `servers` in [upstream.b]
help: add servers = ["10.0.0.5:6379"]

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = ["a:1", "A:1"]
                  ^^^^^
error: `a:1` is already a server of this upstream
help: each server stands once

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = ["10.0.0.256:80"]
           ^^^^^^^^^^^^^^^
error: `servers`: expected an address (IP:PORT, HOST:PORT or unix:/PATH), got "10.0.0.256:80"
help: a host is an IP address, or a name

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = ["a:0"]
           ^^^^^
error: got "a:0"
help: nobody can connect to port 0

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = ["http://a:80"]
           ^^^^^^^^^^^^^
error: got "http://a:80"
help: leave out the scheme

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream]
b = "10.0.0.1:1"
    ^^^^^^^^^^^^
error: expected a table, got a string
help: write it as [upstream.NAME]

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "b"
[upstream.b]
servers = "10.0.0.1:1"
[upstream]
retries = 1
^^^^^^^
error: `retries` stands in [upstream], which has no name
help: [upstream.NAME]

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
name = "b"
^^^^
error: duplicate key
help: a key or table stands once

[log]
level = info
        ^^^^
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: invalid float
help: a text needs quotes: "info"

[log]
level = warn
        ^^^^
error: string values must be quoted
help: a text needs quotes: "warn"

[log]
level =
       ^
error: string values must be quoted
help: a value is missing here

[log
    ^
level = "info"
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: unclosed table
help: this is no TOML

[log]
level = "info
             ^
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: invalid basic string
help: the rest of the file is checked when its syntax is right

<BOM>[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "eco"
           ^^^^^
error: expected one of "tcp", "echo"
help: did you mean "echo"?

[[listener]]
^^^^^^^^^^^^
name = "a"
listen = "127.0.0.1:1"
protocol = "udp"
error: missing key `upstream` in [[listener]]
help: add upstream = "NAME"

[[listener]]
name = "a"
listen = ["127.0.0.1:1", "unix:/a"]
                         ^^^^^^^^^
protocol = "udp_echo"
error: `unix:/a` is a Unix socket, which `protocol = "udp_echo"` has no use for
help: IP:PORT or [IPV6]:PORT

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "udp"
upstream = "b"
[upstream.b]
servers = ["10.0.0.1:1", "unix:/a"]
                         ^^^^^^^^^
error: `unix:/a` is no server for UDP, and a UDP proxy uses this upstream
help: give a server of UDP as IP:PORT or HOST:PORT

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "udp_echo"
[[listener]]
name = "b"
listen = ["127.0.0.1:2", "127.0.0.1:1"]
                         ^^^^^^^^^^^^^
protocol = "udp_echo"
error: `127.0.0.1:1` is listened on already
help: over those of UDP

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[[listener]]
name = "b"
listen = "127.0.0.1:1"
protocol = "udp_ecko"
           ^^^^^^^^^^
error: got "udp_ecko"
help: did you mean "udp_echo"?

[[listener]]
name = "a"
listen = "127.0.0.1:9901"
         ^^^^^^^^^^^^^^^^
protocol = "messages"
error: `127.0.0.1:9901` is the address of the administration endpoint
help: another port

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "frame"
upsteam = "b"
^^^^^^^
[upstream.b]
servers = "10.0.0.1:1"
error: unknown key `upsteam`
help: did you mean `upstream`?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "frame"
upstream = "c"
           ^^^
[upstream.frames]
servers = "10.0.0.1:1"
pool_max = 1
[[listener]]
name = "b"
listen = "127.0.0.1:2"
protocol = "frame"
upstream = "frames"
error: there is no upstream named `c`
help: or use one of: frames

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "both"
[[listener]]
name = "b"
listen = "127.0.0.1:1"
protocol = "udp"
upstream = "both"
[upstream.both]
servers = "10.0.0.1:1"
connect_timeout = "1s"
send_proxy_protocol = "v1"
                      ^^^^
error: `send_proxy_protocol = "v1"` is for TCP and SNI proxies, and a UDP proxy uses this upstream
help: an upstream of their own

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "frames"
           ^^^^^^^^
upstream = "b"
window = 3
[upstream.b]
servers = "10.0.0.1:1"
pool_max = 3
error: `protocol`: expected one of
help: did you mean "frame"?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "frame"
upstream = "bakend"
           ^^^^^^^^
[upstream.backend]
servers = "10.0.0.1:1"
pool_max = 3
error: there is no upstream named `bakend`
help: did you mean "backend"?
"#;

/// What a block of the tables above says.
struct Expected {
    text: String,
    /// The number of the underlined line, counted from 1.
    line: usize,
    column: usize,
    length: usize,
    message: String,
    help: String,
}

fn expected(block: &str) -> Expected {
    let mut expected = Expected {
        text: String::new(),
        line: 1,
        column: 1,
        length: 1,
        message: String::new(),
        help: String::new(),
    };
    for line in block.trim_start_matches('\n').lines() {
        let marks = line.trim_start_matches(' ');
        if let Some(message) = line.strip_prefix("error: ") {
            message.clone_into(&mut expected.message);
        } else if let Some(help) = line.strip_prefix("help: ") {
            help.clone_into(&mut expected.help);
        } else if !marks.is_empty() && marks.bytes().all(|byte| byte == b'^') {
            expected.line = expected.text.lines().count();
            expected.column = line.len() - marks.len() + 1;
            expected.length = marks.len();
        } else {
            expected.text.push_str(&line.replace("<BOM>", "\u{feff}"));
            expected.text.push('\n');
        }
    }
    expected
}

fn assert_reported(expected: &Expected) {
    for end in ["\n", "\r\n"] {
        let report = bad(&expected.text.replace('\n', end));
        let [found] = report.diagnostics() else { panic!("not one mistake, but this:\n{report}") };
        let place = (expected.line, expected.column, expected.length);
        assert_eq!((found.line, found.column, found.length), place, "{report}");
        assert!(found.message.contains(&expected.message), "{}\n{report}", expected.message);
        assert!(found.help.contains(&expected.help), "{}\n{report}", expected.help);
        assert!(report.to_string().ends_with("\n1 mistake in t.toml"));
    }
}

#[test]
fn each_broken_line_is_reported_where_it_is() {
    const BASE: &str = r#"[runtime]
[admin]
[log]
[[listener]]
name = "web"
listen = "127.0.0.1:8080"
protocol = "tcp"
upstream = "backend"
[[listener]] # frame
name = "frames"
listen = "127.0.0.1:8081"
protocol = "frame"
[[listener]] # frame proxy
name = "frame-proxy"
listen = "127.0.0.1:8082"
protocol = "frame"
upstream = "frames"
[[listener]] # messages
name = "messages"
listen = "127.0.0.1:8083"
protocol = "messages"
[[listener]] # udp
name = "datagrams"
listen = "127.0.0.1:8080"
protocol = "udp"
upstream = "datagrams"
[[listener]] # udp echo
name = "datagram-echo"
listen = "127.0.0.1:8081"
protocol = "udp_echo"
[upstream.backend]
servers = ["10.0.0.5:6379"]
[upstream.frames]
servers = ["10.0.0.6:8081", "unix:/run/frames"]
[upstream.datagrams]
servers = ["10.0.0.7:53"]
"#;
    assert!(BROKEN_LINES.split("\n\n").count() >= 120);
    assert_lines_are_reported(BASE, BROKEN_LINES);
}

/// Each block adds a line to a table of the base.
fn assert_lines_are_reported(base: &str, blocks: &str) {
    for block in blocks.split("\n\n") {
        let mut expected = expected(block);
        let (header, line) = expected.text.split_once('\n').expect("a table and a line");
        let (before, after) = base.split_once(&format!("{header}\n")).expect("a table of the base");
        expected.line = before.lines().count() + 2;
        expected.text = format!("{before}{header}\n{line}{after}");
        assert_reported(&expected);
    }
}

#[test]
fn each_broken_file_is_reported_where_it_is() {
    assert!(BROKEN_FILES.split("\n\n").count() >= 50);
    for block in BROKEN_FILES.split("\n\n") {
        assert_reported(&expected(block));
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_their_order() {
    const TEXT: &str = r#"
[runtime]
workers = 0
buffer_sise = "16KiB"
ring_entries = 32768
[admin]
listen = "nowhere"
[[listener]]
name = "a"
listen = ["127.0.0.1:1", "localhost:2", "127.0.0.1:1"]
protocol = "tcp"
upstream = "c"
[[listener]]
name = "a"
protocol = "quic"
[upstream.b]
servers = []
retries = "many"
[extra]
"#;
    let report = bad(TEXT);
    let found = report.diagnostics().iter();
    let found: Vec<_> = found.map(|found| (found.line, found.message.as_str())).collect();
    let expected = [
        (3, "`workers`: expected"),
        (4, "unknown key `buffer_sise`"),
        (5, "`completion_entries` is 8192"),
        (7, "`listen`: expected an address"),
        (10, "`listen`: expected an address"),
        (10, "`127.0.0.1:1` is listened on already"),
        (12, "there is no upstream named `c`"),
        (13, "missing key `listen`"),
        (14, "there is already a listener named `a`"),
        (15, "`protocol`: expected"),
        (17, "`servers`: expected 1 to 10000 values"),
        (18, "`retries`: expected an integer"),
        (19, "unknown key `extra`"),
    ];
    assert_eq!(found.len(), expected.len(), "{report}");
    for ((line, message), (expected_line, start)) in found.into_iter().zip(expected) {
        assert_eq!(line, expected_line, "{report}");
        assert!(message.starts_with(start), "{message}\n{report}");
    }
    assert!(report.to_string().ends_with("\n13 mistakes in t.toml"), "{report}");
    assert_eq!(report.file_name(), "t.toml");
}

#[test]
fn values_are_limited() {
    let file = |values: &str| {
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"frame\"\n\
             values = {{ {values} }}\n"
        )
    };
    let many = |count| (0..count).map(|name| format!("n{name} = \"\", ")).collect::<String>();
    let [name, value] = [255, 64 << 10].map(|length| "x".repeat(length));
    for good_values in [many(1024), format!("{name} = \"{value}\"")] {
        let config = good(&file(&good_values));
        assert_eq!(good(&config.to_toml()), config);
    }
    let table = [
        (many(1025), "`values`: expected at most 1024 values, got 1025"),
        (format!("{name}x = \"\""), "`values`: expected names of 1 to 255 bytes, got 256 bytes"),
        (format!("a = \"{value}x\""), "`values`: expected a value of at most 64KiB, got 65537 b"),
    ];
    for (values, message) in table {
        let report = bad(&file(&values));
        let [found] = report.diagnostics() else { panic!("not one mistake, but this:\n{report}") };
        assert_eq!(found.line, 5);
        assert!(found.message.starts_with(message), "{report}");
    }
}

#[test]
fn the_admin_interface_has_only_the_keys_of_tls_that_it_uses() {
    for (lines, message) in [
        ("", "missing key `certificate`"),
        ("certificate = \"/c\"\nkey = \"/k\"\nstrict_sni = true", "unknown key `strict_sni`"),
        ("certificate = \"/c\"\nkey = \"/k\"\nclient_auth = \"required\"", "`client_ca`"),
    ] {
        let report = bad(&format!("{MINIMAL}[admin.tls]\n{lines}\n"));
        assert!(report.to_string().contains(message), "{report}");
    }
    let config = good(&format!("{MINIMAL}[admin.tls]\ncertificate = \"/c\"\nkey = \"/k\"\n"));
    assert!(config.to_toml().contains("[admin.tls]") && !config.to_toml().contains("ocsp"));
}

#[test]
fn names_of_tls_are_known_ones_and_pins_are_digests() {
    let listener = "[[listener]]\nname = \"a\"\nlisten = \"[::1]:1\"\nprotocol = \"echo\"\n\
                    tls.certificate = \"a.pem\"\ntls.key = \"a.key\"\n";
    let upstream = "[upstream.u]\nservers = \"[::1]:2\"\n";
    let rows = [
        (listener, "tls.groups = [\"x25519\"]", "\"X25519\""),
        (listener, "tls.cipher_suites = \"RC4\"", "TLS_AES_256_GCM_SHA384"),
        (
            listener,
            "tls.cipher_suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"\ntls.min_version = \"1.3\"",
            "none of them is of an allowed version",
        ),
        (upstream, "tls.pins = [\"spki:0\"]", "64 hexadecimal digits"),
        (upstream, "tls.groups = \"p-256\"", "X25519MLKEM768"),
    ];
    for (table, line, said) in rows {
        let report = bad(&format!("{table}{line}\n"));
        assert!(report.to_string().contains(said), "{line}: {report}");
    }
}

#[test]
fn tickets_are_a_number_or_off() {
    let with = |tickets: &str| {
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"echo\"\n\
             [listener.tls]\ncertificate = \"/c\"\nkey = \"/k\"\n{tickets}\n"
        )
    };
    for (tickets, expected) in [
        ("", Some(1)),
        ("tickets = 1", Some(1)),
        ("tickets = 16", Some(16)),
        ("tickets = \"off\"", None),
    ] {
        let config = good(&with(tickets));
        let found = config.listeners[0].tls.as_ref().map(|tls| tls.tickets);
        assert_eq!(found, Some(expected), "{tickets}");
        let line = expected.map_or_else(|| "\"off\"".to_owned(), |each| each.to_string());
        assert!(config.to_toml().contains(&format!("\ntickets = {line}\n")), "{tickets}");
    }
    for wrong in ["0", "17", "-1", "\"on\"", "true", "[1]"] {
        assert!(bad(&with(&format!("tickets = {wrong}"))).to_string().contains("tickets"));
    }
}

#[test]
fn names_of_sni_proxies_lead_to_upstreams_that_suit_them() {
    const TEXT: &str = r#"
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "sni"
names = { "a.example" = "typo", "127.0.0.1" = "one", "*.b.example" = "tls" }
[[listener]]
name = "b"
listen = "127.0.0.1:2"
protocol = "sni"
upstream = "one"
hellos_max = 0
[listener.tls]
certificate = "/c"
key = "/k"
[upstream.one]
servers = "10.0.0.1:1"
[upstream.tls]
servers = "10.0.0.1:2"
[upstream.tls.tls]
"#;
    let report = bad(TEXT);
    let found = report.diagnostics().iter();
    let found: Vec<_> = found.map(|found| (found.line, found.message.as_str())).collect();
    let expected = [
        (6, "there is no upstream named `typo`"),
        (6, "expected host names such as"),
        (12, "`hellos_max`: expected an integer from 1"),
        (13, "`tls` is for"),
        (20, "only TCP, frame and HTTP proxies use `tls`"),
    ];
    assert_eq!(found.len(), expected.len(), "{report}");
    for ((line, message), (expected_line, part)) in found.into_iter().zip(expected) {
        assert_eq!(line, expected_line, "{report}");
        assert!(message.contains(part), "{message}\n{report}");
    }
}

#[test]
fn all_mistakes_of_services_are_reported_in_their_order() {
    const TEXT: &str = r#"
[[listener]]
name = "a"
listen = ["127.0.0.1:9901", "unix:/a"]
protocol = "udp"
upstream = "shared"
backlog = 0
window = 1
[[listener]]
name = "b"
listen = "127.0.0.1:9901"
protocol = "frame"
upstream = "shared"
files = "off"
line_limit = "1KiB"
[[listener]]
name = "c"
listen = "127.0.0.1:1"
protocol = "messages"
upstream = "unused"
[upstream.shared]
servers = ["unix:/b", "10.0.0.1:1"]
balance = "source_hash"
send_proxy_protocol = "v2"
pool_max = 2
pool_min_idle = 3
[upstream.unused]
servers = "10.0.0.1:1"
"#;
    let report = bad(TEXT);
    let found = report.diagnostics().iter();
    let found: Vec<_> = found.map(|found| (found.line, found.message.as_str())).collect();
    let expected = [
        (4, "`unix:/a` is a Unix socket"),
        (7, "`backlog` is for"),
        (7, "`backlog`: expected an integer"),
        (8, "`window` is for"),
        (11, "`127.0.0.1:9901` is the address of the administration endpoint"),
        (14, "`files` is for a frame server"),
        (15, "`line_limit` is for"),
        (20, "a listener with `protocol = \"messages\"` has no upstream"),
        (22, "`unix:/b` is no server for UDP"),
        (23, "`balance = \"source_hash\"` is for TCP, UDP, SNI and HTTP proxies"),
        (24, "`send_proxy_protocol = \"v2\"` is for TCP and SNI proxies"),
        (26, "`pool_min_idle` is 3"),
    ];
    assert_eq!(found.len(), expected.len(), "{report}");
    for ((line, message), (expected_line, start)) in found.into_iter().zip(expected) {
        assert_eq!(line, expected_line, "{report}");
        assert!(message.starts_with(start), "{message}\n{report}");
    }
}

#[test]
fn an_upstream_may_suit_several_protocols() {
    const TEXT: &str = r#"
[[listener]]
name = "stream"
listen = "127.0.0.1:1"
protocol = "tcp"
upstream = "shared"
[[listener]]
name = "datagrams"
listen = "127.0.0.1:1"
protocol = "udp"
upstream = "shared"
[[listener]]
name = "frames"
listen = "127.0.0.1:2"
protocol = "frame"
upstream = "shared"
[upstream.shared]
servers = "10.0.0.1:1"
balance = "least_connections"
send_proxy_protocol = "off"
connect_timeout = "1s"
pool_max = 1
pool_min_idle = 1
retry_backoff = "2s"
retry_backoff_max = "2s"
retry_budget = 0
"#;
    let config = good(TEXT);
    let upstreams = config.listeners.iter().map(|listener| listener.service.upstream());
    assert_eq!(upstreams.collect::<Vec<_>>(), [Some(0); 3]);
    assert_eq!(good(&config.to_toml()), config);
}

#[test]
fn mistakes_of_syntax_are_reported_one_a_line() {
    let report = bad("a = 1\na = 2\nb =\n[log\n");
    let lines: Vec<_> = report.diagnostics().iter().map(|found| found.line).collect();
    assert_eq!(lines, [2, 3, 4], "{report}");
}

#[test]
fn a_report_looks_like_that_of_rustc() {
    let report = bad(&MINIMAL.replacen("listen =", "lisen =", 1));
    let expected = r#"error: unknown key `lisen`
 --> t.toml:4:1
  |
4 | lisen = "127.0.0.1:8080"
  | ^^^^^
  |
  = help: did you mean `listen`? Keys of [[listener]] are: name, listen, protocol, upstream, "#;
    assert!(report.to_string().starts_with(expected), "{report}");
}

#[test]
fn more_mistakes_than_are_shown_are_counted() {
    let unknown: String = (0..1000).map(|key| format!("k{key} = 1\n")).collect();
    let report = bad(&format!("{unknown}{MINIMAL}"));
    assert_eq!(report.diagnostics().len(), 256);
    let end = "\n1000 mistakes in t.toml, of which the first 256 are shown";
    assert!(report.to_string().ends_with(end));
}

/// A xorshift generator: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let end = u64::try_from(end.max(1)).expect("a usize fits");
        usize::try_from(self.0 % end).expect("it is below a usize")
    }
}

/// What mutations put in: pieces of syntax, and values at the edges.
const PIECES: &[&str] = &[
    "\t",
    "\r",
    "\r\n",
    "\n",
    "\0",
    "é",
    "日本",
    "\u{feff}",
    "\u{301}",
    "\"",
    "'",
    "\"\"\"",
    "=",
    ".",
    ",",
    "#",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "-",
    "0",
    "1e999",
    "-nan",
    "18446744073709551616",
    "\\u0000",
    "0x",
    "inf",
    "false",
    "1979-05-27",
    "unix:",
    ":0",
    "[::1]",
    "\"0s\"",
    "upstream.x.y = 1\n",
];

#[test]
fn no_mutation_of_the_reference_panics() {
    const ROUNDS: usize = 6_000;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let unusual = unusual();
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let base = [REFERENCE, &unusual, MINIMAL][round % 3];
        let mut characters: Vec<char> = base.chars().collect();
        for _ in 0..=random.below(4) {
            let start = random.below(characters.len());
            let end = characters.len().min(start + random.below(12));
            let piece = PIECES[random.below(PIECES.len())];
            match random.below(4) {
                0 => drop(characters.splice(start..start, piece.chars())),
                1 => drop(characters.drain(start..end)),
                2 => drop(characters.splice(start..end, piece.chars())),
                _ => characters.truncate(start),
            }
        }
        let text: String = characters.into_iter().collect();
        match config::parse("t.toml", &text) {
            Ok(config) => {
                accepted += 1;
                assert_eq!(good(&config.to_toml()), config, "{text}");
            }
            Err(report) => {
                refused += 1;
                assert_places_hold(&report, &text);
            }
        }
    }
    assert!(accepted > ROUNDS / 100 && refused > ROUNDS / 4, "{accepted} {refused}");
}

/// Every place lies within the text, and the report can be shown.
fn assert_places_hold(report: &Report, text: &str) {
    assert!(!report.diagnostics().is_empty(), "{text}");
    for found in report.diagnostics() {
        let line = text.split('\n').nth(found.line - 1).expect("the line exists");
        assert!(found.column <= line.chars().count() + 1, "{found:?}\n{text}");
        assert!(found.length >= 1 && !found.message.is_empty() && !found.help.is_empty());
    }
    let shown = report.to_string();
    assert!(shown.chars().all(|shown| shown == '\n' || !shown.is_control()), "{shown:?}");
}

#[test]
fn servers_of_an_upstream_and_addresses_of_a_listener_have_limits_of_their_own() {
    let file = |addresses: usize, servers: usize| {
        let listen: String = (1..=addresses).map(|port| format!("\"127.0.0.1:{port}\",")).collect();
        let servers: String =
            (0..servers).map(|n| format!("\"10.0.{}.{}:1\",", n / 256, n % 256)).collect();
        format!(
            "[[listener]]\nname = \"a\"\nlisten = [{listen}]\nprotocol = \"tcp\"\n\
             upstream = \"u\"\n[upstream.u]\nservers = [{servers}]\n"
        )
    };
    let config = good(&file(1_024, 10_000));
    assert_eq!(config.upstreams[0].servers.len(), 10_000);
    assert_eq!(good(&config.to_toml()), config);
    let table = [
        (file(1, 10_001), "`servers`: expected 1 to 10000 values, got 10001"),
        (file(1_025, 1), "`listen`: expected 1 to 1024 values, got 1025"),
    ];
    for (text, message) in table {
        let report = bad(&text);
        let [found] = report.diagnostics() else { panic!("not one mistake, but this:\n{report}") };
        assert_eq!(found.message, message);
    }
}

#[test]
fn a_text_that_is_too_long_is_not_read() {
    let report = bad(&" ".repeat((256 << 20) + 1));
    let [found] = report.diagnostics() else { panic!("not one mistake, but this:\n{report}") };
    assert_eq!(found.message, "a configuration of 268435457 bytes");
}

/// A look at each would take hours.
#[test]
fn references_that_lead_nowhere_are_told_at_once_however_many_there_are() {
    let routes: String = (0..20_000)
        .map(|n| format!("[[listener.route]]\npath = \"/{n}\"\nproxy = \"none-{n}\"\n"))
        .collect();
    let upstreams: String = (0..10_000)
        .map(|n| format!("[upstream.a-rather-long-name-{n}]\nservers = \"10.0.0.1:1\"\n"))
        .collect();
    let report = bad(&format!(
        "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n{routes}{upstreams}"
    ));
    assert_eq!(report.errors(), 20_000);
    assert_eq!(report.diagnostics()[0].message, "there is no upstream named `none-0`");
}

#[test]
fn odd_texts_are_refused_and_do_not_panic() {
    let deep = format!("a = {}", "[".repeat(100_000));
    let dotted = format!("{}a = 1", "a.".repeat(100_000));
    let long = format!("{} = 1", "k".repeat(100_000));
    let many = "k = 1\n".repeat(1000);
    let huge = "#\n".repeat(1 << 20);
    for text in [
        "",
        "\r",
        "\r\n\r\n",
        "\u{feff}",
        "\0",
        "=",
        "[",
        "é",
        "\t\t=",
        &many,
        &huge,
        &deep,
        &dotted,
        &long,
        "runtime.workers = 1_0\u{1}0",
        "runtime.buffer_size = 1\u{0}0",
        "runtime.handoff_ratio = 1\u{7}.5",
        "runtime.shutdown_timeout = 1\u{1b}0",
    ] {
        assert_places_hold(&bad(text), text);
    }
}

/// The warnings of a text without mistakes: their lines, columns and messages.
fn warnings(text: &str) -> Vec<(usize, usize, String)> {
    let config = config::parse("test.toml", text).unwrap_or_else(|report| panic!("{report}"));
    let report = config::report("test.toml", text, &config.warnings());
    assert_eq!(report.errors(), 0);
    let found = report.diagnostics().iter();
    found.map(|found| (found.line, found.column, found.message.clone())).collect()
}

#[test]
fn upstreams_that_nothing_uses_are_warnings() {
    let text = "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"sni\"\n\
        names = { \"a.example\" = \"used\" }\nupstream = \"other\"\n\
        [upstream.used]\nservers = \"10.0.0.1:1\"\n[upstream.other]\nservers = \"10.0.0.1:1\"\n\
        [upstream.unused]\nservers = \"10.0.0.1:1\"\n";
    let expected = (11, 11, "no listener uses the upstream `unused`".to_owned());
    assert_eq!(warnings(text), [expected]);
    let config = config::parse("test.toml", text).unwrap();
    let report = config::report("test.toml", text, &config.warnings()).to_string();
    assert!(report.starts_with("warning: ") && report.ends_with("1 warning in test.toml"));
}

#[test]
fn routes_that_no_request_reaches_are_warnings() {
    // The routes, and which of them are never reached.
    let table: &[(&[&str], &[&str])] = &[
        (&["", ""], &["route-2"]),
        (&["path_prefix = \"/\"", ""], &["route-2"]),
        (&["path_prefix = \"/a\"", "path = \"/a/b\"", "path = \"/ab\""], &["route-2"]),
        (&["path_prefix = \"/a/\"", "path_prefix = \"/a\""], &[]),
        (&["path_prefix = \"/a\"", "path_prefix = \"/a/\""], &["route-2"]),
        (&["path = \"/a\"", "path_prefix = \"/a\""], &[]),
        (&["path_regex = \"^/a+$\"", "path = \"/aa\"", "path = \"/b\""], &["route-2"]),
        (&["path_regex = \"a\"", "path_regex = \"a\"", "path_regex = \"b\""], &["route-2"]),
        (&["path_regex = \"a\"", "path_prefix = \"/a\""], &[]),
        (&["method = \"GET\"", ""], &[]),
        (&["", "method = \"GET\""], &["route-2"]),
        (&["method = \"GET\"", "method = \"PUT\"", "method = [\"GET\", \"PUT\"]"], &["route-3"]),
        (&["method = \"GET\"", "method = [\"GET\", \"PUT\"]"], &[]),
        (&["host = \"*.a.b\"", "host = \"x.a.b\"", "host = \"a.b\""], &["route-2"]),
        (&["host = \"*.b\"", "host = \"*.a.b\"", "host = \"y.x.b\""], &["route-2", "route-3"]),
        (&["host = \"*.a.b\"", "host = \"*.b\"", "host = \"*\""], &[]),
        (&["host = \"a\"", "host = [\"a\", \"b\"]"], &[]),
        (&["host = \"a\"", "host = \"b\"", "host = [\"a\", \"b\"]"], &["route-3"]),
        (&["header = { x = \"1\" }", "header = { x = \"1\", y = \"2\" }"], &["route-2"]),
        (
            &["header = { x = \"*\" }", "header = { x = \"1\" }", "header = { y = \"1\" }"],
            &["route-2"],
        ),
        (&["header = { x = \"1\" }", "header = { x = \"*\" }", ""], &[]),
    ];
    for (routes, expected) in table {
        let mut text = "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\n\
            protocol = \"http\"\n"
            .to_owned();
        for route in *routes {
            text.push_str(&format!("[[listener.route]]\necho = true\n{route}\n"));
        }
        let found = warnings(&text);
        let found: Vec<_> = found.iter().map(|(_, _, message)| message.as_str()).collect();
        let expected = expected.iter();
        let expected: Vec<_> =
            expected.map(|name| format!("no request ever reaches the route `{name}`")).collect();
        assert_eq!(found, expected, "{routes:?}");
    }
    let [(line, column, _)] = &warnings(
        "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n\
         [[listener.route]]\necho = true\n[[listener.route]]\necho = true\n",
    )[..] else {
        panic!("one warning");
    };
    assert_eq!((*line, *column), (7, 1));
}

#[test]
fn tokens_that_are_sent_in_clear_are_a_warning() {
    let text = |listen: &str, more: &str| {
        format!("[admin]\nlisten = \"{listen}\"\ntoken_file = \"/t\"\n{more}{MINIMAL}")
    };
    let [(line, column, message)] = &warnings(&text("0.0.0.0:9901", ""))[..] else {
        panic!("one warning");
    };
    assert_eq!((*line, *column), (3, 14));
    assert_eq!(message, "tokens are sent in clear to 0.0.0.0:9901");
    let tls = "[admin.tls]\ncertificate = \"/c\"\nkey = \"/k\"\n";
    for fine in [text("127.0.0.1:9901", ""), text("[::1]:9901", ""), text("0.0.0.0:9901", tls)] {
        assert_eq!(warnings(&fine), []);
    }
}

#[test]
fn relative_paths_are_taken_from_the_folder_of_the_file() {
    const TEXT: &str = r#"
[admin]
token_file = "tokens"
[admin.tls]
certificate = "a.pem"
key = "/keys/a.key"
client_auth = "required"
client_ca = "ca.pem"
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[listener.access_log]
path = "logs/access.log"
[[listener.route]]
files = "."
[listener.route.auth]
users_file = "users"
[[listener.route]]
path = "/p"
proxy = "u"
[listener.tls]
certificate = "self_signed"
key = "self_signed"
ticket_keys = ["tickets"]
[[listener]]
name = "b"
listen = "127.0.0.1:2"
protocol = "frame"
files = "../b"
[upstream.u]
servers = "10.0.0.1:1"
[upstream.u.tls]
ca = "servers.pem"
certificate = "own.pem"
key = "own.key"
crl = "crl.pem"
"#;
    let mut config = config::parse("test.toml", TEXT).unwrap_or_else(|report| panic!("{report}"));
    config.resolve_paths(std::path::Path::new("/etc/ringway"));
    let text = config.to_toml();
    for path in [
        "\"/etc/ringway/a.pem\"",
        "\"/keys/a.key\"",
        "\"/etc/ringway/tokens\"",
        "\"/etc/ringway/ca.pem\"",
        "\"/etc/ringway/logs/access.log\"",
        "files = \"/etc/ringway/.\"",
        "\"/etc/ringway/users\"",
        "certificate = [\"self_signed\"]",
        "\"/etc/ringway/tickets\"",
        "\"/etc/ringway/../b\"",
        "\"/etc/ringway/servers.pem\"",
        "\"/etc/ringway/own.pem\"",
        "\"/etc/ringway/own.key\"",
        "\"/etc/ringway/crl.pem\"",
    ] {
        assert!(text.contains(path), "{path}\n{text}");
    }
    assert_eq!(config::parse("printed", &text).as_ref(), Ok(&config));
}

/// How servers are chosen, checked, ejected and limited is said in the same way for every proxy.
#[test]
fn every_proxy_takes_the_keys_of_its_servers() {
    const SERVERS: &str = r#"
slow_start = "10s"
requests_max = 100
panic_ratio = 0.5
eject = { consecutive_connect_failures = 2 }
health = { interval = "3s" }
servers = ["10.0.0.1:1", { address = "10.0.0.2:1", weight = 5, priority = 1 }]
"#;
    let by_protocol = [
        ("tcp", "upstream = \"b\"", "ewma", HealthKind::Tcp),
        ("udp", "upstream = \"b\"", "least_requests", HealthKind::Tcp),
        ("sni", "upstream = \"b\"", "consistent_hash", HealthKind::Tcp),
        ("frame", "upstream = \"b\"", "ewma", HealthKind::Frame),
        (
            "http",
            "route = [{ proxy = \"b\" }]",
            "source_hash",
            HealthKind::Http(HttpCheck::default()),
        ),
    ];
    for (protocol, upstream, balance, kind) in by_protocol {
        let text = format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"{protocol}\"\n\
             {upstream}\n[upstream.b]\nbalance = \"{balance}\"{SERVERS}"
        );
        let config = good(&text);
        let http = &config.upstreams[0].http;
        assert_eq!(http.slow_start, Some(Duration::from_secs(10)), "{protocol}");
        assert_eq!((http.requests_max, http.panic_ratio), (Some(100), 0.5));
        assert_eq!(http.shares[1], ServerShare { weight: 5, priority: 1 });
        let health = http.health.as_ref().expect("checks");
        assert_eq!((health.interval, &health.kind), (Duration::from_secs(3), &kind), "{protocol}");
        assert_eq!(http.eject.as_ref().expect("a table").consecutive_connect_failures, 2);
        assert_eq!(good(&config.to_toml()), config, "{protocol}");
    }
}

#[test]
fn only_requests_of_http_have_more_than_an_address_to_hash() {
    let text = |protocol: &str, on: &str| {
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"{protocol}\"\n\
             upstream = \"b\"\n[upstream.b]\nservers = \"10.0.0.1:1\"\nbalance = \"hash\"\n\
             hash_on = \"{on}\"\n"
        )
    };
    for protocol in ["tcp", "udp", "sni"] {
        let config = good(&text(protocol, "source"));
        assert_eq!(config.upstreams[0].http.hash_on, Some(HashOn::Source));
        assert_eq!(good(&config.to_toml()), config, "{protocol}");
        let report = bad(&text(protocol, "path"));
        let message = &report.diagnostics()[0].message;
        assert!(message.starts_with("only a request of HTTP has this to hash"), "{report}");
    }
    let report = bad(&text("frame", "source"));
    assert!(report.to_string().contains("requests of many clients share"), "{report}");
}
