use std::path::Path;

use super::machine::{may_lock, memory_of_groups, memory_of_machine};
use super::*;

/// A proxy with two workers and buffers of set sizes.
const PROXY: &str = r#"
    [runtime]
    workers = 2
    [admin]
    enabled = false
    [[listener]]
    name = "in"
    listen = "127.0.0.1:9000"
    protocol = "tcp"
    upstream = "out"
    max_connections = 100
    receive_buffer = "64KiB"
    send_buffer = "32KiB"
    [upstream.out]
    servers = ["127.0.0.1:9001"]
"#;

/// A listener of HTTP, with a route for each shared bound.
const HTTP: &str = r#"
    [runtime]
    workers = 2
    [admin]
    enabled = false
    [[listener]]
    name = "web"
    listen = ["127.0.0.1:9000", "127.0.0.1:9002"]
    protocol = "http"
    max_connections = 100
    http2_streams_max = 10
    [listener.access_log]
    path = "/var/log/web"
    [[listener.route]]
    name = "api"
    path_prefix = "/api"
    proxy = "out"
    compress = true
    [listener.route.rate_limit]
    rate = 10
    entries_max = 1000
    [[listener.route]]
    name = "files"
    path_prefix = "/files"
    files = "/srv"
    file_cache_entries = 10
    small_file_max = "1KiB"
    [[listener.route]]
    name = "news"
    path = "/news"
    websocket = { service = "topics", topics = "news" }
    [[listener.route]]
    name = "chat"
    path = "/chat"
    websocket = { service = "handler", handler = "chat", deflate_takeover = true }
    [upstream.out]
    servers = ["127.0.0.1:9001", "server.example:80"]
    pool_max = 20
    [upstream.out.health]
    [topics.news]
    filters_max = 1000
"#;

fn parse(text: &str) -> Config {
    crate::config::parse("budget.toml", text).unwrap()
}

fn of(text: &str) -> Budget {
    budget(&parse(text), 3)
}

/// The items of a part, by kind, with their amounts.
fn figures(budget: &Budget, title: &str) -> [Vec<(String, u64)>; 3] {
    let part = budget.parts.iter().find(|part| part.title == title).unwrap();
    [&part.memory, &part.descriptors, &part.locked]
        .map(|items| items.iter().map(|item| (item.name.clone(), item.amount)).collect())
}

/// Those of all kinds.
fn amount(budget: &Budget, title: &str, name: &str) -> u64 {
    let all = figures(budget, title).into_iter().flatten();
    let found: Vec<u64> = all.filter(|(own, _)| own == name).map(|(_, amount)| amount).collect();
    assert!(!found.is_empty(), "{title}: {name}");
    found.into_iter().fold(0, u64::saturating_add)
}

fn named(items: &[(&str, u64)]) -> Vec<(String, u64)> {
    items.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect()
}

#[test]
fn without_rings_no_memory_is_locked() {
    let budget = of(&PROXY.replace("workers = 2", "workers = 2\ndriver = \"epoll\""));
    assert_eq!(budget.totals().locked, 0);
    let [memory, ..] = figures(&budget, "process");
    assert_eq!(memory.first(), Some(&("receive buffers".to_owned(), 2 * 256 * 16_384)));
}

#[test]
fn a_proxy_comes_to_exactly_these_sums() {
    let budget = of(PROXY);
    assert_eq!(budget.parts.len(), 2, "the upstream has nothing of its own");
    let [memory, descriptors, locked] = figures(&budget, "process");
    let rings = 2 * (64 * 1024 + 16 * 8192 + 4096 + 16 * 256 + 16 * 256);
    assert_eq!(rings, 2 * 51 * 4096, "as measured");
    let expected =
        [("rings", rings), ("receive buffers", 2 * 256 * 16_384), ("log of the program", 4 << 20)];
    assert_eq!(memory, named(&expected));
    let expected = [
        ("standard streams", 3),
        ("control plane", 16),
        ("drivers and mailboxes", 10),
        ("connections that were told their end", 1024),
        ("idle pipes", 2 * 64 * 2),
    ];
    assert_eq!(descriptors, named(&expected));
    assert_eq!(locked.iter().map(|(_, amount)| amount).sum::<u64>(), rings);
    let [memory, descriptors, locked] = figures(&budget, "listener in");
    let expected = [
        ("socket buffers in the kernel", 100 * 2 * (65_536 + 32_768)),
        ("connections", 100 * 841),
        ("bytes for slow peers", 100 * 2 * 256 * 16_384),
        ("pipes", 100 * 2 * (1 << 20)),
    ];
    assert_eq!(memory, named(&expected));
    let expected = [
        ("listening sockets", 2),
        ("connections", 100),
        ("connections to servers", 100),
        ("pipes", 400),
    ];
    assert_eq!(descriptors, named(&expected));
    assert!(locked.is_empty());
    let totals = budget.totals();
    assert_eq!(totals.descriptors, 1309 + 602);
    assert_eq!(totals.locked, rings);
    assert_eq!(totals.memory, 13_000_704 + 1_068_320_900);
}

#[test]
fn twice_a_limit_is_twice_its_item() {
    let cases = [
        (PROXY, "workers = 2", "workers = 4", "process", "receive buffers"),
        (PROXY, "max_connections = 100", "max_connections = 200", "listener in", "connections"),
        (PROXY, "max_connections = 100", "max_connections = 200", "listener in", "pipes"),
        (HTTP, "workers = 2", "workers = 4", "process", "bytes that wait for HTTP peers"),
        (HTTP, "workers = 2", "workers = 4", "process", "compressors"),
        (HTTP, "streams_max = 10", "streams_max = 20", "listener web", "heads of requests"),
        (HTTP, "entries_max = 1000", "entries_max = 2000", "listener web", "rate limits"),
        (HTTP, "entries = 10\n", "entries = 20\n", "listener web", "small files"),
        (HTTP, "pool_max = 20", "pool_max = 40", "upstream out", "connections"),
        (HTTP, "filters_max = 1000", "filters_max = 2000", "topics news", "filters"),
    ];
    for (text, before, after, title, name) in cases {
        assert!(text.contains(before), "{before}");
        let (one, two) = (of(text), of(&text.replace(before, after)));
        let before = amount(&one, title, name);
        assert_eq!(amount(&two, title, name), 2 * before, "{after}: {title}: {name}");
    }
}

#[test]
fn what_connections_share_is_counted_once_for_each_worker() {
    let second = HTTP.replace("\"web\"", "\"again\"").replace(":900", ":800");
    let (_, second) = second.split_once("[[listener]]").unwrap();
    let (second, _) = second.split_once("[upstream.out]").unwrap();
    let (first, rest) = HTTP.split_once("[upstream.out]").unwrap();
    let two = of(&format!("{first}[[listener]]{second}[upstream.out]{rest}"));
    let one = of(HTTP);
    for (name, each) in [
        ("bytes that wait for HTTP peers", 256 << 20),
        ("compressors", 64 << 20),
        ("windows of WebSockets", 16 << 20),
        ("access logs", (2 << 20) + (32 << 10)),
    ] {
        assert_eq!(amount(&one, "process", name), 2 * each, "{name}");
        assert_eq!(amount(&two, "process", name), 2 * each, "{name}");
    }
    assert_eq!(amount(&one, "process", "files of access logs"), 1);
    assert_eq!(amount(&two, "process", "files of access logs"), 1);
    let plain = of(PROXY);
    let [memory, ..] = figures(&plain, "process");
    assert!(!memory.iter().any(|(name, _)| name == "compressors"), "{memory:?}");
}

#[test]
fn requests_of_http_count_for_each_stream() {
    let budget = of(HTTP);
    let web = |name: &str| amount(&budget, "listener web", name);
    assert_eq!(web("listening sockets"), 4);
    assert_eq!(web("heads of requests"), 100 * 10 * (64 << 10));
    let beyond = 100 * 10 * (16 << 10) + 100 * (16 << 10) + 100 * (4 << 20);
    assert_eq!(web("bytes beyond runtime.waiting_memory"), beyond);
    assert_eq!(web("queues of subscribers"), 100 * 10 * (256 << 10));
    assert_eq!(web("messages in part"), 100 * 10 * (16 << 10));
    assert_eq!(web("rate limits"), 2 * 1000 * 72);
    assert_eq!(web("files that are kept open"), 20);
    assert_eq!(web("files that are sent"), 1000);
    assert_eq!(web("upgraded: to servers"), 100);
    let upstream = |name: &str| amount(&budget, "upstream out", name);
    assert_eq!(upstream("heads of answers"), 20 * 2 * (64 << 10));
    assert_eq!(upstream("health checks"), 2 * (80 << 10) + 2);
    let old = of(&HTTP.replace("http2_streams_max = 10", "http2 = false"));
    assert_eq!(amount(&old, "listener web", "heads of requests"), 100 * (64 << 10));
    assert_eq!(amount(&old, "listener web", "files that are sent"), 100);
}

#[test]
fn what_an_upstream_takes_limits_what_goes_there() {
    let limited = PROXY.replace("[upstream.out]", "[upstream.out]\nrequests_max = 3");
    // Each worker has two.
    assert_eq!(amount(&of(&limited), "listener in", "connections to servers"), 4);
    let wide = PROXY.replace("[upstream.out]", "[upstream.out]\nrequests_max = 3000");
    assert_eq!(amount(&of(&wide), "listener in", "connections to servers"), 100);
}

#[test]
fn buffers_of_sockets_to_servers_count_for_each_connection() {
    let set = "[upstream.out]\nreceive_buffer = \"64KiB\"\nsend_buffer = \"16KiB\"";
    let budget = of(&PROXY.replace("[upstream.out]", set));
    let sockets = amount(&budget, "listener in", "socket buffers to servers");
    assert_eq!(sockets, 100 * 2 * (80 << 10));
    let text = budget.to_string();
    assert!(text.contains("upstream.out.send_buffer 16KiB"), "{text}");
    // One that is set is counted, and the other one is told to be open.
    let half = of(&PROXY.replace("[upstream.out]", "[upstream.out]\nsend_buffer = \"16KiB\""));
    let sockets = amount(&half, "listener in", "socket buffers to servers");
    assert_eq!(sockets, 100 * 2 * (16 << 10));
    assert!(half.unbounded.iter().any(|text| text.contains("upstream out")));
}

#[test]
fn pipes_are_for_directions_that_may_be_spliced() {
    let off = PROXY.replace("workers = 2", "workers = 2\nsplice = \"off\"");
    let [_, descriptors, _] = figures(&of(&off), "listener in");
    assert!(!descriptors.iter().any(|(name, _)| name == "pipes"), "{descriptors:?}");
    let secured = PROXY.replace("[upstream.out]", "[upstream.out.tls]\n[upstream.out]");
    let [_, descriptors, _] = figures(&of(&secured), "listener in");
    assert!(descriptors.contains(&("pipes".to_owned(), 200)), "{descriptors:?}");
    let sealed = secured.replace("workers = 2", "workers = 2\nkernel_tls = \"off\"");
    let [_, descriptors, _] = figures(&of(&sealed), "listener in");
    assert!(!descriptors.iter().any(|(name, _)| name == "pipes"), "{descriptors:?}");
}

#[test]
fn flows_and_frames_have_limits_of_their_own() {
    let text = r#"
        [runtime]
        workers = 2
        [admin]
        enabled = false
        [[listener]]
        name = "udp"
        listen = "127.0.0.1:9000"
        protocol = "udp"
        upstream = "dns"
        max_flows = 50
        [[listener]]
        name = "frames"
        listen = "127.0.0.1:9000"
        protocol = "frame"
        upstream = "frames"
        max_connections = 10
        max_payload = "1KiB"
        [upstream.dns]
        servers = ["127.0.0.1:53"]
        [upstream.frames]
        servers = ["127.0.0.1:9001"]
        pool_max = 2
        pool_queue = 8
        streams_max = 4
    "#;
    let budget = of(text);
    assert_eq!(amount(&budget, "process", "datagram buffers"), 2 * 256 * 65_664);
    assert_eq!(amount(&budget, "listener udp", "flows"), 52 * 400);
    assert_eq!(amount(&budget, "listener udp", "sockets of flows"), 52);
    let sockets = amount(&budget, "listener udp", "socket buffers in the kernel");
    assert_eq!(sockets, 2 * 2 * (8 << 20));
    let frames = amount(&budget, "listener frames", "answers");
    assert_eq!(frames, 10 * ((256 << 10) + (1 << 20)));
    assert_eq!(amount(&budget, "upstream frames", "payloads"), (2 * 8 + 2 * 4) * 1024);
    assert_eq!(amount(&budget, "upstream frames", "connections"), 2 + 2 * 691);
}

#[test]
fn enormous_limits_saturate() {
    let text = HTTP
        .replace("max_connections = 100", "max_connections = 10000000")
        .replace("http2_streams_max = 10", "http2_streams_max = 10000")
        .replace("filters_max = 1000", "queue_bytes = \"1GiB\"");
    let budget = of(&text);
    assert_eq!(amount(&budget, "listener web", "queues of subscribers"), u64::MAX);
    assert_eq!(budget.totals().memory, u64::MAX);
    assert!(budget.to_string().contains(">= 16EiB"));
    let machine = MachineLimits { memory: Some(u64::MAX - 1), ..MachineLimits::default() };
    assert_eq!(budget.warnings(&machine).len(), 1);
}

#[test]
fn what_has_no_bound_is_named_and_has_no_figure() {
    let unbounded = of(HTTP).unbounded;
    let [buffers, handlers, names, ..] = &unbounded[..] else { panic!("too few") };
    assert!(buffers.contains("listener web, upstream out"), "{buffers}");
    assert!(handlers.contains("web/chat"), "{handlers}");
    assert!(names.contains("upstreams out"), "{names}");
    let sized = PROXY.replace(
        "[upstream.out]",
        "[upstream.out]\nreceive_buffer = \"64KiB\"\nsend_buffer = \"64KiB\"",
    );
    assert!(!of(&sized).unbounded.iter().any(|text| text.contains("socket buffers")));
}

#[test]
fn many_names_are_not_all_listed() {
    let open =
        Open { handlers: (0..10).map(|at| format!("web/{at}")).collect(), ..Open::default() };
    let words = open.into_words();
    let handlers = words.first().unwrap();
    assert!(handlers.ends_with("web/6, web/7, 2 more"), "{handlers}");
}

#[test]
fn a_warning_has_the_limit_the_keys_and_a_remedy() {
    let budget = of(PROXY);
    assert_eq!(budget.warnings(&MachineLimits::default()), Vec::<String>::new());
    let totals = budget.totals();
    let enough = MachineLimits {
        descriptors: Some(totals.descriptors),
        locked: Some(totals.locked),
        memory: Some(totals.memory),
    };
    assert_eq!(budget.warnings(&enough), Vec::<String>::new());
    let little = MachineLimits {
        descriptors: Some(totals.descriptors - 1),
        locked: Some(4096),
        memory: Some(1 << 20),
    };
    let warnings = budget.warnings(&little);
    let [descriptors, locked, memory] = &warnings[..] else { panic!("one for each") };
    for (text, words) in [
        (descriptors, ["allows 1911", "RLIMIT_NOFILE 1910", "LimitNOFILE=", "max_connections 100"]),
        (locked, ["allows 408KiB", "RLIMIT_MEMLOCK 4KiB", "LimitMEMLOCK=", "completion_entries"]),
        (memory, ["allows 1.1GiB", "memory.max 1MiB", "MemoryMax=", "runtime.buffer_size 16KiB"]),
    ] {
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn the_table_has_each_item_with_its_formula() {
    let text = of(PROXY).to_string();
    for words in [
        "process\n  memory",
        "receive buffers",
        "runtime.workers 2 x runtime.buffers 256 x runtime.buffer_size 16KiB",
        "listener in\n",
        "max_connections 100 x 2 spliced x 2 ends",
        "in all, at most\n",
        "not bounded by the configuration\n  - ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
    // Every part of the configuration that runs without a file is there.
    let embedded = budget(&crate::config::embedded(), 1);
    let titles: Vec<&str> = embedded.parts.iter().map(|part| part.title.as_str()).collect();
    let expected = [
        "process",
        "listener web",
        "listener web-tls",
        "listener echo",
        "listener udp-echo",
        "listener proxy",
        "listener udp-proxy",
        "listener frame",
        "listener frame-proxy",
        "listener messages",
        "upstream frame",
        "topics demo",
    ];
    assert_eq!(titles, expected);
}

#[test]
fn limits_of_the_machine_are_read_from_the_texts_of_the_kernel() {
    let meminfo = "MemTotal:       24684084 kB\nMemFree: 1 kB\n";
    assert_eq!(memory_of_machine(meminfo), Some(24_684_084 * 1024));
    assert_eq!(memory_of_machine(""), None);
    let limit = |group: &Path| {
        let text = match group.to_str() {
            Some("a/b") => "max\n",
            Some("a") => "4096\n",
            Some(_) | None => "",
        };
        text.to_owned()
    };
    assert_eq!(memory_of_groups("4:memory:/x\n0::/a/b\n", limit), Some(4096));
    assert_eq!(memory_of_groups("0::/\n", limit), None);
    assert_eq!(memory_of_groups("4:memory:/x\n", limit), None);
    assert!(may_lock("Name:\tx\nCapEff:\t000001fffeffffff\n"));
    assert!(!may_lock("CapEff:\t0000000000000000\n"));
    assert!(!may_lock(""));
    // What this machine has can be read, whatever it is.
    assert!(machine_limits().memory.is_some_and(|memory| memory > 1 << 20));
}
