//! Endpoints of WebSockets and topics in the configuration.

use std::time::Duration;

use ringway::config::{
    self, Config, Difference, HealthKind, Origins, QueuePolicy, RelayFormat, SocketLimits, Topics,
    WebSocketOptions, WebSocketService,
};

use super::{assert_lines_are_reported, assert_reported, bad, expected, good, warnings};

/// Further tables in which no optional key has its default.
pub(super) const UNUSUAL: &str = r#"
[[listener]]
name = "sockets"
listen = "0.0.0.0:7"
protocol = "http"

[[listener.route]]
name = "echo"
path = "/echo"
[listener.route.websocket]
service = "echo"
subprotocols = ["chat.v2", "Chat.v2"]
origins = ["HTTPS://Example.com:443", "same", "http://[::1]:08080"]
message_max = "1GiB"
frame_max = 1
message_rate = 1_000_000
message_burst = 1
ping_interval = "1s"
idle_timeout = "1d"
close_timeout = "100ms"
deflate = false
deflate_min = "1MiB"
deflate_level = 9
deflate_takeover = true
deflate_window_bits = 9
drain_code = 4999
drain_window = "0s"

[[listener.route]]
name = "topics"
path = "/topics"
[listener.route.websocket]
service = "topics"
topics = "a-b"
publish = false
origins = "*"
message_max = "1KiB"
ping_interval = "off"
idle_timeout = "1s"

[[listener.route]]
name = "readers"
path = "/readers"
websocket = { service = "topics", topics = "z", subscribe = false, origins = [] }

[[listener.route]]
name = "relay"
path = "/relay"
websocket = { service = "relay", upstream = "relayed", relay_format = "lines", idle_timeout = "off" }

[[listener.route]]
name = "handler"
path = "/handler"
websocket = { service = "handler", handler = "own", message_rate = 5, drain_code = 1000 }

[[listener.route]]
name = "looked-at"
host = "a.example"
proxy = "origins"
websocket_inspect = { message_max = "64KiB", frame_max = "2KiB", message_rate = 9, message_burst = 4, ping_interval = "off", idle_timeout = "2m", close_timeout = "1m" }

[[listener.route]]
name = "looked-at-by-default"
host = "b.example"
proxy = "origins"
[listener.route.websocket_inspect]

[upstream.relayed]
servers = "10.0.0.3:1"
connect_timeout = "1s"
balance = "source_hash"
health = {}

[upstream.origins]
servers = "10.0.0.4:1"

[topics.z]
[topics.a-b]
message_max = "16MiB"
subscriptions_max = 10_000
filters_max = 1
queue_max = 1
queue_bytes = "1GiB"
queue_policy = "close"
retained_max = 0
retained_bytes = 0
exchange_bytes = "64GiB"
"#;

fn endpoints(config: &Config) -> Vec<&WebSocketOptions> {
    let http = config.listeners.iter().filter_map(|listener| listener.service.http());
    let routes = http.flat_map(|http| &http.routes);
    routes.filter_map(|route| route.action.websocket()).collect()
}

#[test]
fn values_of_endpoints_arrive_where_they_belong() {
    let config = good(UNUSUAL);
    let [echo, topics, readers, relay, handler] = endpoints(&config)[..] else { panic!("five") };
    let expected = WebSocketOptions {
        service: WebSocketService::Echo,
        subprotocols: ["chat.v2", "Chat.v2"].map(str::to_owned).to_vec(),
        origins: Origins::Listed {
            same: true,
            others: ["https://example.com", "http://[::1]:8080"].map(str::to_owned).to_vec(),
        },
        limits: SocketLimits {
            message_max: 1 << 30,
            frame_max: 1,
            message_rate: Some((1_000_000, 1)),
            ping_interval: Some(Duration::from_secs(1)),
            idle_timeout: Some(Duration::from_secs(86_400)),
            close_timeout: Duration::from_millis(100),
        },
        deflate: false,
        deflate_min: 1 << 20,
        deflate_level: 9,
        deflate_takeover: true,
        deflate_window_bits: 9,
        drain_code: 4999,
        drain_window: Duration::ZERO,
    };
    assert_eq!(*echo, expected);
    let service =
        |topics, publish, subscribe| WebSocketService::Topics { topics, publish, subscribe };
    // The table that stands first is the first, whatever its name.
    let expected = WebSocketOptions {
        origins: Origins::Any,
        limits: SocketLimits {
            message_max: 1 << 10,
            frame_max: 1 << 10,
            ping_interval: None,
            idle_timeout: Some(Duration::from_secs(1)),
            ..SocketLimits::default()
        },
        ..WebSocketOptions::new(service(1, false, true))
    };
    assert_eq!(*topics, expected);
    let expected = WebSocketOptions {
        origins: Origins::Listed { same: false, others: Vec::new() },
        ..WebSocketOptions::new(service(0, true, false))
    };
    assert_eq!(*readers, expected);
    let format = RelayFormat::Lines;
    let expected = WebSocketOptions {
        limits: SocketLimits { idle_timeout: None, ..SocketLimits::default() },
        ..WebSocketOptions::new(WebSocketService::Relay { upstream: 0, format })
    };
    assert_eq!(*relay, expected);
    let expected = WebSocketOptions {
        limits: SocketLimits { message_rate: Some((5, 5)), ..SocketLimits::default() },
        drain_code: 1000,
        ..WebSocketOptions::new(WebSocketService::Handler("own".to_owned()))
    };
    assert_eq!(*handler, expected);
    let routes = &config.listeners[0].service.http().unwrap().routes;
    let inspected: Vec<_> =
        routes.iter().filter_map(|route| route.websocket_inspect.as_ref()).collect();
    let expected = SocketLimits {
        message_max: 64 << 10,
        frame_max: 2 << 10,
        message_rate: Some((9, 4)),
        ping_interval: None,
        idle_timeout: Some(Duration::from_secs(120)),
        close_timeout: Duration::from_secs(60),
    };
    assert_eq!(inspected, [&expected, &SocketLimits::default()]);
    let expected = Topics {
        name: "a-b".to_owned(),
        message_max: 16 << 20,
        subscriptions_max: 10_000,
        filters_max: 1,
        queue_max: 1,
        queue_bytes: 1 << 30,
        queue_policy: QueuePolicy::Close,
        retained_max: 0,
        retained_bytes: 0,
        exchange_bytes: 64 << 30,
    };
    assert_eq!(config.topics, [Topics::new("z".to_owned()), expected]);
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
}

#[test]
fn a_relay_is_a_tcp_proxy_to_its_servers() {
    let config = good(UNUSUAL);
    let kind = config.upstreams[0].http.health.as_ref().map(|health| &health.kind);
    assert_eq!(kind, Some(&HealthKind::Tcp));
    let tree: toml::Table = config.to_toml().parse().expect("TOML");
    let upstream = tree["upstream"]["relayed"].as_table().expect("a table");
    assert!(upstream.contains_key("connect_timeout") && !upstream.contains_key("retry_on"));
    let http = config.listeners[0].service.http().expect("HTTP");
    assert_eq!(
        (http.upstreams().count(), http.origins().count(), http.relayed().count()),
        (3, 2, 1)
    );
    // One that has both kinds of routes has the keys of both.
    let both = UNUSUAL.replace(
        "[upstream.relayed]",
        "[[listener]]\nname = \"more\"\n\
        listen = \"127.0.0.1:8\"\nprotocol = \"http\"\nroute = [{ proxy = \"relayed\" }]\n\
        [upstream.relayed]\nretry_on = \"reset\"",
    );
    let config = good(&both);
    let tree: toml::Table = config.to_toml().parse().expect("TOML");
    assert!(tree["upstream"]["relayed"].get("retry_on").is_some());
    assert_eq!(good(&config.to_toml()), config);
}

#[test]
fn the_keys_of_endpoints_are_written_that_apply() {
    let tree: toml::Table = good(UNUSUAL).to_toml().parse().expect("TOML");
    let routes = tree["listener"][0]["route"].as_array().expect("routes");
    let (routes, inspecting) = routes.split_at(5);
    assert_eq!(inspecting[0]["websocket_inspect"]["message_burst"].as_integer(), Some(4));
    assert_eq!(inspecting[1]["websocket_inspect"]["idle_timeout"].as_str(), Some("75s"));
    let table = [
        ("service", [true; 5]),
        ("topics", [false, true, true, false, false]),
        ("publish", [false, true, true, false, false]),
        ("upstream", [false, false, false, true, false]),
        ("relay_format", [false, false, false, true, false]),
        ("handler", [false, false, false, false, true]),
        ("subprotocols", [true, false, false, true, true]),
        ("message_rate", [true; 5]),
        ("message_burst", [true, false, false, false, true]),
        ("drain_window", [true; 5]),
    ];
    for (key, expected) in table {
        let has = |route: &toml::Value| route["websocket"].get(key).is_some();
        assert_eq!(routes.iter().map(has).collect::<Vec<_>>(), expected, "{key}");
    }
}

const BASE: &str = r#"[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]] # echo
path = "/echo"
websocket.service = "echo"
[[listener.route]]
path = "/topics"
[listener.route.websocket] # topics
service = "topics"
topics = "news"
[[listener.route]]
path = "/relay"
[listener.route.websocket] # relay
service = "relay"
upstream = "lines"
[[listener.route]]
path = "/handler"
[listener.route.websocket] # handler
service = "handler"
handler = "own"
[upstream.lines]
servers = "10.0.0.1:1"
[upstream.others]
servers = "10.0.0.1:1"
[topics.news]
[topics.weather]
"#;

/// Mistakes of one line each: the table that the line is added to, the line with what is
/// underlined, and parts of the message and the help.
const BROKEN_LINES: &str = r#"
[listener.route.websocket] # handler
servise = 1
^^^^^^^
error: unknown key `servise`
help: did you mean `service`? Keys of [listener.route.websocket] are: service, topics, publish

[[listener.route]] # echo
grpc_message_max = "1MiB"
^^^^^^^^^^^^^^^^
error: `grpc_message_max` is for a route with `proxy`
help: remove it: this route has `websocket`

[[listener.route]] # echo
total_timeout = "1s"
^^^^^^^^^^^^^
error: `total_timeout` is for a route with `proxy` or `handler`
help: remove it: this route has `websocket`

[listener.route.websocket] # topics
upstream = "lines"
^^^^^^^^
error: `upstream` is for `service = "relay"`
help: remove it: this endpoint has `service = "topics"`

[listener.route.websocket] # topics
relay_format = "lines"
^^^^^^^^^^^^
error: `relay_format` is for `service = "relay"`
help: remove it: this endpoint has `service = "topics"`

[listener.route.websocket] # topics
handler = "own"
^^^^^^^
error: `handler` is for `service = "handler"`
help: remove it

[listener.route.websocket] # topics
subprotocols = "chat"
^^^^^^^^^^^^
error: `subprotocols` is for a `service` of "echo", "relay" or "handler"
help: remove it: `service = "topics"` has its own

[listener.route.websocket] # relay
topics = "news"
^^^^^^
error: `topics` is for `service = "topics"`
help: remove it: this endpoint has `service = "relay"`

[listener.route.websocket] # handler
publish = true
^^^^^^^
error: `publish` is for `service = "topics"`
help: remove it: this endpoint has `service = "handler"`

[listener.route.websocket] # relay
relay_format = "line"
               ^^^^^^
error: `relay_format`: expected "bytes" or "lines"
help: did you mean "lines"?

[listener.route.websocket] # relay
subprotocols = ["a b"]
                ^^^^^
error: `subprotocols`: expected the name of a subprotocol, got "a b"
help: a name has letters, digits

[listener.route.websocket] # relay
subprotocols = ["a", "b", "a"]
                          ^^^
error: `subprotocols`: "a" is there already
help: remove it

[[listener.route]] # echo
websocket_inspect = {}
^^^^^^^^^^^^^^^^^
error: `websocket_inspect` is for a route with `proxy`
help: remove it: this route has `websocket`

[listener.route.websocket] # relay
origins = ["same", "*"]
                   ^^^
error: `origins`: "*" stands beside others
help: remove it, or all others

[listener.route.websocket] # relay
origins = ["https://a.example", "HTTPS://A.example:443"]
                                ^^^^^^^^^^^^^^^^^^^^^^^
error: `origins`: "https://a.example" is there already
help: remove it

[listener.route.websocket] # relay
origins = "https://a.example/"
          ^^^^^^^^^^^^^^^^^^^^
error: `origins`: expected "same", "*" or an origin such as "https://example.com"
help: without a `/`

[listener.route.websocket] # relay
message_max = "2GiB"
              ^^^^^^
error: `message_max`: expected a size from 1B to 1GiB
help: the most 1GiB

[listener.route.websocket] # relay
frame_max = "2MiB"
            ^^^^^^
error: `frame_max` is 2MiB, and `message_max` 1MiB
help: `frame_max` must not be above `message_max`

[listener.route.websocket] # relay
message_rate = 0
               ^
error: `message_rate`: expected "off" or an integer from 1 to 1000000
help: the least is 1

[listener.route.websocket] # relay
message_burst = 5
^^^^^^^^^^^^^
error: `message_burst` is for a `message_rate`
help: set `message_rate`

[listener.route.websocket] # relay
ping_interval = "75s"
                ^^^^^
error: `idle_timeout` is 75s, and `ping_interval` 75s
help: `idle_timeout` must be above `ping_interval`

[listener.route.websocket] # relay
idle_timeout = "20s"
               ^^^^^
error: `idle_timeout` is 20s, and `ping_interval` 30s
help: `idle_timeout` must be above `ping_interval`, or one of them "off"

[listener.route.websocket] # relay
ping_interval = "2h"
                ^^^^
error: `ping_interval`: expected "off" or a duration from 1s to 1h
help: the most 1h

[listener.route.websocket] # relay
idle_timeout = "2d"
               ^^^^
error: `idle_timeout`: expected "off" or a duration from 1s to 1d
help: the most 1d

[listener.route.websocket] # relay
close_timeout = "99ms"
                ^^^^^^
error: `close_timeout`: expected a duration from 100ms to 1m
help: the least is 100ms

[listener.route.websocket] # relay
deflate = "on"
          ^^^^
error: `deflate`: expected true or false
help: write true or false

[listener.route.websocket] # relay
deflate_min = "2MiB"
              ^^^^^^
error: `deflate_min`: expected a size from 0B to 1MiB
help: the most 1MiB

[listener.route.websocket] # relay
deflate_level = 0
                ^
error: `deflate_level`: expected an integer from 1 to 9
help: the least is 1

[listener.route.websocket] # relay
deflate_takeover = 1
                   ^
error: `deflate_takeover`: expected true or false
help: write true or false

[listener.route.websocket] # relay
deflate_window_bits = 8
                      ^
error: `deflate_window_bits`: expected an integer from 9 to 15
help: the least is 9

[listener.route.websocket] # relay
drain_code = 1006
             ^^^^
error: `drain_code`: expected 1000, 1001, 1012, 1013, or a code from 3000 to 4999, got 1006
help: 1012 is a restart

[listener.route.websocket] # relay
drain_code = 2999
             ^^^^
error: `drain_code`: expected 1000, 1001, 1012, 1013, or a code from 3000 to 4999, got 2999
help: 1012 is a restart

[listener.route.websocket] # relay
drain_code = 5000
             ^^^^
error: `drain_code`: expected 1000, 1001, 1012, 1013, or a code from 3000 to 4999, got 5000
help: 1012 is a restart

[listener.route.websocket] # relay
drain_window = "11m"
               ^^^^^
error: `drain_window`: expected a duration from 0s to 10m
help: the most 10m

[upstream.lines]
retry_on = "reset"
^^^^^^^^
error: only HTTP proxies use `retry_on`
help: remove it: to these servers, a relay of WebSockets is a TCP proxy

[upstream.lines]
protocol = "http2"
^^^^^^^^
error: only HTTP proxies use `protocol`
help: remove it: to these servers, a relay of WebSockets is a TCP proxy

[upstream.lines]
pool_max = 5
^^^^^^^^
error: only frame and HTTP proxies use `pool_max`
help: remove it: to these servers, a relay of WebSockets is a TCP proxy

[topics.news]
mesage_max = 1
^^^^^^^^^^
error: unknown key `mesage_max`
help: did you mean `message_max`? Keys of [topics.news] are: message_max, subscriptions_max

[topics.news]
message_max = "17MiB"
              ^^^^^^^
error: `message_max`: expected a size from 1B to 16MiB
help: the most 16MiB

[topics.news]
queue_bytes = 0
              ^
error: `queue_bytes`: expected a size from 1B to 1GiB
help: the least is 1B

[topics.news]
exchange_bytes = "0B"
                 ^^^^
error: `exchange_bytes`: expected a size from 1B to 64GiB
help: the least is 1B

[topics.news]
subscriptions_max = 0
                    ^
error: `subscriptions_max`: expected an integer from 1 to 10000
help: the least is 1

[topics.news]
filters_max = 0
              ^
error: `filters_max`: expected an integer from 1 to 10000000
help: the least is 1

[topics.news]
queue_max = 0
            ^
error: `queue_max`: expected an integer from 1 to 1000000
help: the least is 1

[topics.news]
queue_policy = "drop"
               ^^^^^^
error: `queue_policy`: expected one of "drop_oldest", "drop_newest", "close"
help: write "drop_oldest" or

[topics.news]
retained_max = -1
               ^^
error: `retained_max`: expected an integer from 0 to 10000000
help: the least is 0

[topics.news]
retained_bytes = "65GiB"
                 ^^^^^^^
error: `retained_bytes`: expected a size from 0B to 64GiB
help: the most 64GiB
"#;

/// Mistakes of whole files.
const BROKEN_FILES: &str = r#"
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
echo = true
[listener.route.websocket]
                ^^^^^^^^^
service = "echo"
error: `websocket` stands beside `echo`
help: a route has one of: proxy, files, redirect, respond, echo, status_page, websocket_page

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
websocket = true
            ^^^^
error: expected a table, got a boolean
help: write it as [listener.route.websocket], with the keys: service, topics

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
^^^^^^^^^^^^^^^^^^^^^^^^^^
error: missing key `service` in [listener.route.websocket]
help: add service = "echo"

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
servce = "echo"
^^^^^^
error: unknown key `servce`
help: did you mean `service`?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
websoket = { service = "echo" }
^^^^^^^^
error: unknown key `websoket`
help: did you mean `websocket`?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
websocket = { service = "topic" }
                        ^^^^^^^
error: `service`: expected one of "echo", "topics", "relay", "handler", got "topic"
help: did you mean "topics"?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
websocket = { service = "topics" }
            ^^^^^^^^^^^^^^^^^^^^^^
error: missing key `topics` in [listener.route.websocket]
help: add topics = "NAME", the name of a [topics.NAME] table

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
websocket = { service = "relay" }
            ^^^^^^^^^^^^^^^^^^^^^
error: missing key `upstream` in [listener.route.websocket]
help: add upstream = "NAME", the name of an upstream

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
websocket = { service = "handler" }
            ^^^^^^^^^^^^^^^^^^^^^^^
error: missing key `handler` in [listener.route.websocket]
help: add handler = "NAME"

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "topics"
topics = "new"
         ^^^^^
[topics.weather]
[topics.news]
error: there are no topics named `new`
help: did you mean "news"?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "topics"
topics = "sport"
         ^^^^^^^
[topics.weather]
[topics.news]
error: there are no topics named `sport`
help: add a table [topics.sport], or use one of: weather, news

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "topics"
topics = "sport"
         ^^^^^^^
error: there are no topics named `sport`
help: add a table [topics.sport]

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "topics"
topics = "news"
publish = false
subscribe = false
            ^^^^^
[topics.news]
error: neither `publish` nor `subscribe` is true
help: set one of them to true

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "relay"
upstream = "line"
           ^^^^^^
[upstream.lines]
servers = "10.0.0.1:1"
retry_on = "reset"
error: there is no upstream named `line`
help: did you mean "lines"?

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "relay"
upstream = "b"
[upstream.b]
servers = "10.0.0.1:1"
balance = "hash"
hash_on = "path"
          ^^^^^^
error: only a request of HTTP has this to hash, and a TCP proxy uses this upstream
help: set it to "source"

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "http"
[[listener.route]]
[listener.route.websocket]
service = "relay"
message_max = "1KiB"
upstream = "b"
frame_max = "2KiB"
            ^^^^^^
[upstream.b]
servers = "10.0.0.1:1"
error: `frame_max` is 2KiB, and `message_max` 1KiB
help: `frame_max` must not be above `message_max`

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[topics]
message_max = "1KiB"
^^^^^^^^^^^
error: `message_max` stands in [topics], which has no name
help: name the topics: [topics.NAME]

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[topics.News]
        ^^^^
error: `topics`: expected a name, got "News"
help: a name is a letter a-z

[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
[topic.news]
 ^^^^^
error: unknown key `topic`
help: did you mean `topics`?

topics = 1
         ^
[[listener]]
name = "a"
listen = "127.0.0.1:1"
protocol = "echo"
error: expected a table, got an integer
help: write it as [topics.NAME]
"#;

#[test]
fn each_broken_line_is_reported_where_it_is() {
    good(BASE);
    assert_lines_are_reported(BASE, BROKEN_LINES.trim_start_matches('\n'));
}

#[test]
fn each_broken_file_is_reported_where_it_is() {
    for block in BROKEN_FILES.split("\n\n") {
        assert_reported(&expected(block));
    }
}

#[test]
fn lists_of_endpoints_are_limited() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| -> String {
        let items: Vec<_> = (0..count).map(|number| format!("\"{}\"", item(number))).collect();
        format!("[{}]", items.join(", "))
    };
    let text = |key: &str, list: &str| {
        format!(
            "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n\
             [[listener.route]]\n[listener.route.websocket]\nservice = \"echo\"\n{key} = {list}\n"
        )
    };
    let token = |number: usize| format!("v{number}");
    good(&text("subprotocols", &list(64, &token)));
    let report = bad(&text("subprotocols", &list(65, &token))).to_string();
    assert!(report.contains("`subprotocols`: expected 0 to 64 values, got 65"), "{report}");
    let origin = |number: usize| format!("https://v{number}.example");
    good(&text("origins", &list(256, &origin)));
    let report = bad(&text("origins", &list(257, &origin))).to_string();
    assert!(report.contains("`origins`: expected 0 to 256 values, got 257"), "{report}");
}

#[test]
fn topics_and_upstreams_that_nothing_uses_are_warnings() {
    let found = warnings(BASE);
    let expected = [
        (25, 11, "no listener uses the upstream `others`".to_owned()),
        (28, 9, "no route uses the topics `weather`".to_owned()),
    ];
    assert_eq!(found, expected);
    let report = config::report("t", BASE, &good(BASE).warnings()).to_string();
    assert!(
        report.contains("set `topics = \"weather\"` in a [listener.route.websocket]"),
        "{report}"
    );
}

#[test]
fn each_change_is_a_line() {
    let relay = "listener a route route-3";
    let cases: &[(&str, &str, &[String])] = &[
        (
            "[topics.news]",
            "[topics.news]\nqueue_max = 5",
            &["~ topics news: queue_max 1024 -> 5".to_owned()],
        ),
        (
            "[topics.weather]",
            "[topics.sport]",
            &["+ topics sport".to_owned(), "- topics weather".to_owned()],
        ),
        ("[topics.news]\n[topics.weather]", "[topics.weather]\n[topics.news]", &[]),
        (
            "topics = \"news\"",
            "topics = \"weather\"",
            &["~ listener a route route-2: websocket.topics \"news\" -> \"weather\"".to_owned()],
        ),
        (
            "upstream = \"lines\"",
            "upstream = \"others\"\nidle_timeout = \"off\"",
            &[
                format!("~ {relay}: websocket.idle_timeout \"75s\" -> \"off\""),
                format!("~ {relay}: websocket.upstream \"lines\" -> \"others\""),
            ],
        ),
        (
            "[[listener]]",
            "[runtime]\nwebsocket_takeover_memory = \"1MiB\"\n[[listener]]",
            &["! runtime: websocket_takeover_memory \"16MiB\" -> \"1MiB\" (needs a restart)"
                .to_owned()],
        ),
    ];
    for (from, to, expected) in cases {
        assert!(BASE.contains(from), "{from}");
        let [old, new] = [good(BASE), good(&BASE.replacen(from, to, 1))];
        let found = Difference::between(&old, &new).to_string();
        assert_eq!(found.lines().collect::<Vec<_>>(), *expected, "{from} -> {to}");
    }
    let mut kept = good(&format!("[runtime]\nwebsocket_takeover_memory = 0\n{BASE}"));
    kept.keep_of_start(&good(BASE));
    assert_eq!(kept, good(BASE));
}
