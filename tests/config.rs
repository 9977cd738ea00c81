//! The configuration from outside: the reference in `docs/` against the code, broken files
//! against their reports, and the way back to text.

use std::collections::BTreeSet;
use std::time::Duration;

use ringway::config::{
    self, Balance, Config, KEYS, ListenAddress, ListenerService, LogFormat, LogLevel, Report,
    SendProxyProtocol, ServerAddress, SpliceMode, Workers,
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
shutdown_timeout = "0s"
handoff_ratio = false
splice = "off"
splice_after = 0
splice_min_read = "1024"
pipe_size = "64KiB"
pipes = 0

[admin]
enabled = false
listen = "[::1]:0"

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

#[test]
fn the_reference_shows_the_defaults() {
    assert_eq!(good(REFERENCE), good(MINIMAL));
    let minimal = good(MINIMAL);
    assert_eq!(minimal.runtime, Config::default().runtime);
    assert_eq!(minimal.admin, Config::default().admin);
    assert_eq!(minimal.log, Config::default().log);
}

#[test]
fn the_reference_shows_every_key_in_its_order_and_with_a_comment() {
    let mut table = String::new();
    let mut keys: Vec<(String, Vec<&str>)> = Vec::new();
    let mut previous = "";
    for line in REFERENCE.lines() {
        if line.starts_with('[') {
            table = line.replace("backend", "NAME");
            keys.push((table.clone(), Vec::new()));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let (_, keys) = keys.last_mut().expect("a table comes first");
            keys.push(key);
            assert!(previous.starts_with("# "), "{table} {key} has a comment");
        }
        previous = line;
    }
    let known = KEYS.iter().map(|keys| (keys.table.to_owned(), keys.keys.to_vec()));
    assert_eq!(keys, known.collect::<Vec<_>>());
    assert!(REFERENCE.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn every_key_of_the_code_is_read() {
    let tree: toml::Table = UNUSUAL.parse().expect("TOML");
    let tables = [
        &tree["runtime"],
        &tree["admin"],
        &tree["log"],
        &tree["listener"][0],
        &tree["upstream"]["z-last"],
    ];
    for (keys, table) in KEYS.iter().zip(tables) {
        let known: BTreeSet<_> = keys.keys.iter().copied().collect();
        let table = table.as_table().expect("a table");
        let used: BTreeSet<_> = table.keys().map(String::as_str).collect();
        assert_eq!(used, known, "{}", keys.table);
    }
}

#[test]
fn values_of_the_process_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let Workers::Fixed(workers) = config.runtime.workers else { panic!("a number of workers") };
    assert_eq!(workers.get(), 3);
    assert!(!config.runtime.pin);
    assert_eq!(config.runtime.ring_entries, 64);
    assert_eq!(config.runtime.completion_entries, 128);
    assert_eq!(config.runtime.buffers, 32_768);
    assert_eq!(config.runtime.buffer_size, 1025);
    assert_eq!(config.runtime.turn_budget, 16 << 20);
    assert_eq!(config.runtime.shutdown_timeout, Duration::ZERO);
    assert_eq!(config.runtime.handoff_ratio, None);
    let splice = &config.runtime.splice;
    assert_eq!((splice.mode, splice.after, splice.pipes), (SpliceMode::Off, 0, 0));
    assert_eq!((splice.min_read, splice.pipe_size), (1024, 65_536));
    assert!(!config.admin.enabled);
    assert_eq!(config.admin.listen.to_string(), "[::1]:0");
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Trace));
    assert!(config.log.access);
}

#[test]
fn values_of_upstreams_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let [last, first] = config.upstreams.as_slice() else { panic!("two upstreams") };
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
}

#[test]
fn values_of_listeners_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let services = config.listeners.iter().map(|listener| listener.service);
    let expected = [
        ListenerService::Tcp { upstream: 1 },
        ListenerService::Tcp { upstream: 0 },
        ListenerService::Echo,
    ];
    assert_eq!(services.collect::<Vec<_>>(), expected);
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
    for text in [REFERENCE, MINIMAL, UNUSUAL] {
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
    let tree: toml::Table = good(MINIMAL).to_toml().parse().expect("TOML");
    let reference: toml::Table = REFERENCE.parse().expect("TOML");
    for (name, keys) in
        [("runtime", &tree["runtime"]), ("admin", &tree["admin"]), ("log", &tree["log"])]
    {
        let keys: Vec<_> = keys.as_table().expect("a table").keys().collect();
        let expected: Vec<_> = reference[name].as_table().expect("a table").keys().collect();
        assert_eq!(keys, expected);
    }
    let keys = |tree: &toml::Table| {
        let tables = [&tree["listener"][0], &tree["upstream"]["backend"]];
        tables.map(|table| table.as_table().expect("a table").keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(keys(&tree), keys(&reference));
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
error: "round_robin" or "least_connections"
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
help: did you mean `listener`? Keys of the file are: runtime, admin, log

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
protocol = "http"
           ^^^^^^
error: `protocol`: expected "tcp" or "echo", got "http"
help: write "tcp" or "echo"

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
protocol = "echo"
[upstream.b]
          ^
servers = "10.0.0.1:1"
error: no listener uses the upstream `b`
help: set `upstream = "b"` in a [[listener]], or remove this table

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
error: expected "tcp" or "echo"
help: did you mean "echo"?
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
    const BASE: &str = "[runtime]\n[admin]\n[log]\n[[listener]]\nname = \"web\"\n\
        listen = \"127.0.0.1:8080\"\nprotocol = \"tcp\"\nupstream = \"backend\"\n\
        [upstream.backend]\nservers = [\"10.0.0.5:6379\"]\n";
    assert!(BROKEN_LINES.split("\n\n").count() >= 60);
    for block in BROKEN_LINES.split("\n\n") {
        let mut expected = expected(block);
        let (header, line) = expected.text.split_once('\n').expect("a table and a line");
        let (before, after) = BASE.split_once(&format!("{header}\n")).expect("a table of the base");
        expected.line = before.lines().count() + 2;
        expected.text = format!("{before}{header}\n{line}{after}");
        assert_reported(&expected);
    }
}

#[test]
fn each_broken_file_is_reported_where_it_is() {
    assert!(BROKEN_FILES.split("\n\n").count() >= 30);
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
        (17, "`servers`: expected 1 to 1024 values"),
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
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let base = [REFERENCE, UNUSUAL, MINIMAL][round % 3];
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
fn odd_texts_are_refused_and_do_not_panic() {
    let deep = format!("a = {}", "[".repeat(100_000));
    let dotted = format!("{}a = 1", "a.".repeat(100_000));
    let long = format!("{} = 1", "k".repeat(100_000));
    let many = "k = 1\n".repeat(1000);
    let huge = "#\n".repeat(1 << 20);
    for text in [
        "", "\r", "\r\n\r\n", "\u{feff}", "\0", "=", "[", "é", "\t\t=", &many, &huge, &deep,
        &dotted, &long,
    ] {
        assert_places_hold(&bad(text), text);
    }
}
