//! What is different between two configurations.

use ringway::config::{ChangeKind, Config, Difference, Effect, HIDDEN_HASH, Subject};

use super::good;

const TCP: &str = r#"
[[listener]]
name = "db"
listen = ["10.0.0.1:5432", "10.0.0.2:5432"]
protocol = "tcp"
upstream = "db"
[upstream.db]
servers = ["10.1.0.1:5432", "10.1.0.2:5432"]
"#;

const HTTP: &str = r#"
[[listener]]
name = "web"
listen = "10.0.0.1:80"
protocol = "http"
[[listener.route]]
name = "api"
path_prefix = "/api"
proxy = "app"
[[listener.route]]
name = "old"
path = "/old"
redirect = "/new"
[[listener.route]]
name = "rest"
respond = "hello"
[upstream.app]
servers = ["10.1.0.1:80", { address = "10.1.0.2:80", weight = 2 }]
"#;

/// The lines of what has changed from one text to another.
fn lines(old: &str, new: &str) -> Vec<String> {
    let [old, new] = [good(old), good(new)];
    Difference::between(&old, &new).to_string().lines().map(str::to_owned).collect()
}

#[test]
fn equal_configurations_have_no_difference_however_they_are_written() {
    let reference = include_str!("../../docs/ringway.toml");
    for text in [TCP, HTTP, reference] {
        assert_eq!(lines(text, text), [""; 0]);
        let config = good(text);
        let effective = good(&config.to_toml());
        assert!(Difference::between(&config, &effective).is_empty());
        assert!(Difference::between(&effective, &config).is_empty());
    }
    // A default that is written out, and another order of listeners, upstreams and servers.
    let written = TCP.replace("protocol = \"tcp\"", "protocol = \"tcp\"\nidle_timeout = \"600s\"");
    assert_eq!(lines(TCP, &written), [""; 0]);
    assert_eq!(lines(&[TCP, HTTP].concat(), &[HTTP, TCP].concat()), [""; 0]);
    let turned =
        TCP.replace("\"10.1.0.1:5432\", \"10.1.0.2:5432\"", "\"10.1.0.2:5432\", \"10.1.0.1:5432\"");
    assert_eq!(lines(TCP, &turned), [""; 0]);
}

#[test]
fn each_change_is_a_line() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        // The text, what is replaced by what, and the lines.
        (
            TCP,
            "[[listener]]",
            "[runtime]\nworkers = 3\n[[listener]]",
            &["! runtime: workers \"auto\" -> 3 (needs a restart)"],
        ),
        (
            TCP,
            "[[listener]]",
            "[runtime]\nturn_budget = \"2MiB\"\npin = false\n[[listener]]",
            &[
                "! runtime: pin true -> false (needs a restart)",
                "~ runtime: turn_budget \"1MiB\" -> \"2MiB\"",
            ],
        ),
        (
            TCP,
            "[[listener]]",
            "[runtime]\nwatch = true\n[[listener]]",
            &["~ runtime: watch false -> true"],
        ),
        (
            TCP,
            "[[listener]]",
            "[log]\nlevel = \"debug\"\nformat = \"json\"\n[[listener]]",
            &[
                "! log: format \"auto\" -> \"json\" (needs a restart)",
                "~ log: level \"info\" -> \"debug\"",
            ],
        ),
        (
            TCP,
            "[[listener]]",
            "[admin]\nlisten = \"127.0.0.1:1\"\ntoken_file = \"/t\"\n[[listener]]",
            &[
                "! admin: listen \"127.0.0.1:9901\" -> \"127.0.0.1:1\" (needs a restart)",
                "~ admin: token_file \"off\" -> \"/t\"",
            ],
        ),
        (
            TCP,
            "[[listener]]",
            "[admin]\nenabled = false\n[[listener]]",
            &["! admin: enabled true -> false (needs a restart)"],
        ),
        (
            TCP,
            "\"10.0.0.2:5432\"",
            "\"10.0.0.3:5432\"",
            &["~ listener db: listens +10.0.0.3:5432 -10.0.0.2:5432"],
        ),
        (
            TCP,
            "protocol = \"tcp\"",
            "protocol = \"tcp\"\nmax_connections = 5\nbacklog = 9",
            &[
                "~ listener db: backlog 4096 -> 9 (sockets are set up again)",
                "~ listener db: max_connections 10000 -> 5",
            ],
        ),
        (TCP, "name = \"db\"", "name = \"sql\"", &["+ listener sql", "- listener db"]),
        (
            TCP,
            "[upstream.db]",
            "[upstream.db]\nbalance = \"least_connections\"\nretries = 7",
            &[
                "~ upstream db: balance \"round_robin\" -> \"least_connections\"",
                "~ upstream db: retries 1 -> 7",
            ],
        ),
        (
            TCP,
            "\"10.1.0.1:5432\", ",
            "\"10.1.0.9:5432\", ",
            &["~ upstream db: server +10.1.0.9:5432", "~ upstream db: server -10.1.0.1:5432"],
        ),
        (
            TCP,
            "\"db\"\n[upstream.db]",
            "\"pg\"\n[upstream.pg]",
            &["~ listener db: upstream \"db\" -> \"pg\"", "+ upstream pg", "- upstream db"],
        ),
        (
            HTTP,
            "weight = 2",
            "weight = 3, priority = 1",
            &["~ upstream app: server 10.1.0.2:80 weight 2 -> 3 priority 0 -> 1"],
        ),
        (
            HTTP,
            "redirect = \"/new\"",
            "redirect = \"/newer\"",
            &["~ listener web route old: redirect \"/new\" -> \"/newer\""],
        ),
        (
            HTTP,
            "redirect = \"/new\"",
            "echo = true",
            &[
                "~ listener web route old: echo (none) -> true",
                "~ listener web route old: redirect \"/new\" -> (none)",
                "~ listener web route old: status 302 -> (none)",
            ],
        ),
        (
            HTTP,
            "name = \"old\"",
            "name = \"older\"",
            &["+ listener web route older", "- listener web route old"],
        ),
        (
            HTTP,
            "protocol = \"http\"",
            "protocol = \"http\"\nhead_timeout = \"9s\"",
            &["~ listener web: head_timeout \"10s\" -> \"9s\""],
        ),
        (
            HTTP,
            "[upstream.app]",
            "[upstream.app]\nhealth = { path = \"/up\" }",
            &["~ upstream app: health (none) -> { body = \"\", fall = 3, host = \"server\", \
                interval = \"2s\", jitter = 0.1, kind = \"http\", path = \"/up\", rise = 2, \
                status = [..."],
        ),
    ];
    for (text, from, to, expected) in cases {
        assert!(text.contains(from), "{from}");
        assert_eq!(lines(text, &text.replacen(from, to, 1)), *expected, "{from} -> {to}");
    }
}

#[test]
fn certificates_access_logs_and_checks_are_compared_key_by_key() {
    let tls = |name: &str| {
        format!(
            "{HTTP}health = {{ path = \"/{name}\" }}\n{}",
            "[[listener]]\nname = \"tls\"\nlisten = \"10.0.0.1:443\"\nprotocol = \"http\"\n\
             access_log = { path = \"/log/NAME\" }\n[[listener.route]]\nproxy = \"app\"\n\
             rate_limit = { rate = 5 }\n\
             [listener.tls]\ncertificate = \"/NAME.pem\"\nkey = \"/NAME.key\"\n"
                .replace("NAME", name)
        )
    };
    let found = lines(&tls("a"), &tls("b").replace("rate = 5", "rate = 6"));
    assert_eq!(
        found,
        [
            "~ listener tls: access_log.path \"/log/a\" -> \"/log/b\"",
            "~ listener tls: tls.certificate [\"/a.pem\"] -> [\"/b.pem\"]",
            "~ listener tls: tls.key [\"/a.key\"] -> [\"/b.key\"]",
            "~ listener tls route route-1: rate_limit.burst 5 -> 6",
            "~ listener tls route route-1: rate_limit.rate 5 -> 6",
            "~ upstream app: health.path \"/a\" -> \"/b\"",
        ]
    );
}

#[test]
fn the_order_of_routes_is_a_change() {
    let moved = HTTP.replace(
        "name = \"api\"\npath_prefix = \"/api\"\nproxy = \"app\"\n",
        "name = \"rest\"\nrespond = \"hello\"\n",
    );
    let moved = moved.replacen(
        "[[listener.route]]\nname = \"rest\"\nrespond = \"hello\"\n[upstream",
        "[[listener.route]]\nname = \"api\"\npath_prefix = \"/api\"\nproxy = \"app\"\n[upstream",
        1,
    );
    assert_eq!(lines(HTTP, &moved), ["~ listener web: routes in another order"]);
    // One more in front of the others moves none of them.
    let more = HTTP.replacen(
        "[[listener.route]]",
        "[[listener.route]]\nname = \"new\"\npath = \"/n\"\necho = true\n[[listener.route]]",
        1,
    );
    assert_eq!(lines(HTTP, &more), ["+ listener web route new"]);
}

#[test]
fn secrets_are_not_shown() {
    let bcrypt = "$2y$05$yT8vbxmcYzM2cBz0B0zO8eP9CI0cLdFAZLvyLhuNxdRDyzyOsY5dS";
    let with = |users: &str, token: &str| {
        HTTP.replacen(
            "proxy = \"app\"\n",
            &format!(
                "proxy = \"app\"\nauth = {{ realm = \"r\", users = {{ {users} }} }}\n\
                 request_headers = {{ set = {{ Authorization = \"Bearer {token}\" }} }}\n"
            ),
            1,
        )
    };
    let user = |name: &str, hash: &str| format!("{name} = \"{hash}\"");
    let other = bcrypt.replace("yT8", "aaa");
    let old = with(&user("alice", bcrypt), "one");
    assert_eq!(
        lines(&old, &with(&user("alice", &other), "one")),
        ["~ listener web route api: auth.users changed, and is not shown",]
    );
    assert_eq!(
        lines(&old, &with(&user("bob", bcrypt), "two")),
        [
            "~ listener web route api: auth.users alice (passwords not shown) -> bob \
             (passwords not shown)",
            "~ listener web route api: request_headers.set changed, and is not shown",
        ]
    );
    let all = lines(HTTP, &old).join("\n") + &lines(&old, HTTP).join("\n");
    assert!(!all.contains("yT8vb") && !all.contains("Bearer one"), "{all}");
    // What a running server shows is read back, and its hashes may be any.
    let shown = good(&old).without_secrets().to_toml();
    assert!(shown.contains(HIDDEN_HASH) && !shown.contains("yT8vb"));
    assert_eq!(lines(&shown, &old), [""; 0]);
    assert_eq!(lines(&shown, &with(&user("bob", bcrypt), "one")).len(), 1);
}

#[test]
fn what_a_change_takes_is_said() {
    let [old, new] = [good(TCP), good(&TCP.replace("tcp\"", "tcp\"\nmax_connections = 5"))];
    let found = Difference::between(&old, &new);
    assert!(found.keeps_sockets("db") && !found.needs_restart() && !found.is_empty());
    let subject = Subject::Listener("db".to_owned());
    assert_eq!((&found.changes[0].subject, found.changes[0].effect), (&subject, Effect::Reload));
    // The same address by another protocol has other sockets.
    let udp = TCP.replace("\"tcp\"", "\"udp\"");
    let found = Difference::between(&old, &good(&udp));
    assert!(!found.keeps_sockets("db"));
    let ChangeKind::Addresses { opened, closed } = &found.changes[0].kind else { panic!() };
    assert_eq!((opened.len(), closed.len()), (2, 2));
    let workers = format!("[runtime]\nworkers = 9\n{TCP}");
    assert!(Difference::between(&old, &good(&workers)).needs_restart());
}

#[test]
fn ten_thousand_routes_and_servers_are_compared() {
    let many = |changed: usize| -> Config {
        let mut config = good(HTTP);
        let upstream = &mut config.upstreams[0];
        let server = |number: usize| {
            let (high, low) = (number / 250, number % 250);
            let own = if number == changed { 81 } else { 80 };
            format!("10.2.{high}.{low}:{own}").parse().unwrap()
        };
        upstream.servers =
            (0..10_000).map(|n| ringway::config::ServerAddress::Ip(server(n))).collect();
        upstream.http.shares = Vec::new();
        let ringway::config::ListenerService::Http(http) = &mut config.listeners[0].service else {
            panic!("HTTP")
        };
        let route = http.routes[0].clone();
        http.routes = (0..10_000)
            .map(|number| {
                let mut route = route.clone();
                route.name = format!("r{number}");
                route.body_max = (number == changed).then_some(7);
                route
            })
            .collect();
        config
    };
    let (old, new) = (many(10_000), many(5_000));
    let text = Difference::between(&old, &new).to_string();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "~ listener web route r5000: body_max \"off\" -> \"7B\"",
            "~ upstream app: server +10.2.20.0:81",
            "~ upstream app: server -10.2.20.0:80",
        ]
    );
    // All of it is different.
    let none = Difference::between(&good(HTTP), &new);
    assert_eq!(none.changes.len(), 10_000 + 3 + 10_000 + 2);
}

#[test]
fn all_keys_of_the_tls_of_the_admin_interface_need_a_restart() {
    let tls = "[admin.tls]\ncertificate = \"self_signed\"\nkey = \"self_signed\"\n";
    let with = |keys: &str| format!("{tls}{keys}{TCP}");
    let one = |old: &str, new: &str| {
        let [line] = &lines(old, new)[..] else { panic!("one line") };
        line.clone()
    };
    let line = one(&with(""), &with("min_version = \"1.3\"\n"));
    assert_eq!(line, "! admin: tls.min_version \"1.2\" -> \"1.3\" (needs a restart)");
    for (old, new) in [(TCP, &*with("")), (&*with(""), TCP)] {
        let line = one(old, new);
        assert!(line.starts_with("! admin: tls ") && line.ends_with("(needs a restart)"), "{line}");
    }
}
