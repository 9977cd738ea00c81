//! What tables take over: defaults, headers of listeners, sets of hosts and networks; captures and
//! secrets in what they say.

use ringway::config::{
    Action, Config, HIDDEN_VALUE, HostPattern, HttpOptions, ListenerService, Route, Secret, Users,
};
use ringway::service::http::template::Template;

use super::{bad, good};

const WEB: &str = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"http\"\n";
const ECHO: &str = "[[listener.route]]\necho = true\n";
const PROXY: &str = "[[listener.route]]\nproxy = \"api\"\n";
const API: &str = "[upstream.api]\nservers = \"127.0.0.1:2\"\n";

fn web(text: &str) -> String {
    format!("{WEB}{text}")
}

fn http(config: &Config) -> &HttpOptions {
    let ListenerService::Http(http) = &config.listeners[0].service else { panic!("HTTP") };
    http
}

fn routes(config: &Config) -> &[Route] {
    &http(config).routes
}

/// The first mistakes, each with its line.
fn mistakes(text: &str) -> Vec<(usize, String, String)> {
    let report = bad(text);
    let all = report.diagnostics().iter();
    all.map(|one| (one.line, one.message.clone(), one.help.clone())).collect()
}

fn set_of(route: &Route) -> Vec<(&str, &str)> {
    let each = route.response_headers.set.iter().map(|(name, value)| match value {
        Secret::Written(template) => (name.as_str(), template.text()),
        Secret::File(path) => (name.as_str(), path.to_str().unwrap()),
    });
    each.collect()
}

#[test]
fn defaults_hold_where_a_table_says_nothing_and_they_apply() {
    let config = good(&format!(
        "[defaults.listener]\nkeepalive_timeout = \"3s\"\nbacklog = 7\nmax_flows = 9\n\
         access_log = {{ format = \"json\" }}\n\
         [defaults.route]\ncompress = true\ngrpc_web = true\nlisting = true\nhost = \"a.example\"\n\
         auth = {{ users_file = \"/u\" }}\n\
         [defaults.upstream]\nretries = 5\nhealth = {{ kind = \"tcp\" }}\nrequest_timeout = \"9s\"\n\
         {WEB}backlog = 8\n{PROXY}[[listener.route]]\nfiles = \"/srv\"\nhost = \"*\"\nauth = \"off\"\n\
         [[listener]]\nname = \"u\"\nlisten = \"127.0.0.1:1\"\nprotocol = \"udp\"\nupstream = \"dns\"\n\
         [[listener]]\nname = \"t\"\nlisten = \"127.0.0.1:3\"\nprotocol = \"echo\"\n\
         {API}health = \"off\"\n[upstream.dns]\nservers = \"127.0.0.1:4\"\n"
    ));
    let [web, udp, echo] = config.listeners.as_slice() else { panic!("three") };
    assert_eq!((web.backlog, echo.backlog), (8, 7));
    assert_eq!(udp.backlog, 4096, "a listener of UDP has none");
    let ListenerService::Udp { flows, .. } = &udp.service else { panic!("UDP") };
    assert_eq!(flows.max_flows, 9);
    assert_eq!(http(&config).keepalive_timeout.as_secs(), 3);
    assert!(http(&config).access_log.is_some());
    let [proxy, files] = routes(&config) else { panic!("two") };
    assert!(proxy.compression.enabled && proxy.grpc_web && proxy.auth.is_some());
    assert_eq!(proxy.hosts, [HostPattern::Exact("a.example".to_owned())]);
    assert!(files.compression.enabled && !files.grpc_web && files.auth.is_none());
    assert_eq!(files.hosts, [HostPattern::Any]);
    assert!(matches!(&files.action, Action::Files(files) if files.listing));
    let [api, dns] = config.upstreams.as_slice() else { panic!("two") };
    assert_eq!((api.retries, dns.retries), (5, 1), "a proxy of UDP does not connect");
    assert!(api.http.health.is_none() && dns.http.health.is_some());
    // What is written out says the same without them.
    assert_eq!(good(&config.to_toml()), config);
}

#[test]
fn tables_stand_in_the_place_of_defaults_but_for_tls_and_headers() {
    let config = good(&format!(
        "[defaults.listener.tls]\nmin_version = \"1.3\"\nkey = \"/default.key\"\n\
         [defaults.route]\nrate_limit = {{ rate = 7, burst = 70 }}\n\
         {WEB}tls = {{ certificate = \"/own.pem\" }}\n{ECHO}rate_limit = {{ rate = 9 }}\n{ECHO}"
    ));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates[0].chain.to_str(), Some("/own.pem"));
    assert_eq!(tls.certificates[0].key.to_str(), Some("/default.key"));
    let bursts = routes(&config).iter().map(|route| route.rate_limit.as_ref().unwrap().burst);
    assert_eq!(bursts.collect::<Vec<_>>(), [9, 70]);
}

#[test]
fn headers_of_a_listener_are_those_of_its_routes_unless_they_decide_themselves() {
    let config = good(&format!(
        "[defaults.route]\nresponse_headers = {{ set = {{ x-a = \"default\", x-d = \"default\" }} }}\n\
         {WEB}response_headers = {{ set = {{ X-A = \"listener\", x-b = \"listener\" }}, remove = \"server\" }}\n\
         request_headers = {{ set = {{ x-to = \"server\" }} }}\n\
         {ECHO}\
         {ECHO}response_headers = {{ set = {{ x-a = \"own\" }}, remove = [\"X-B\", \"via\"] }}\n\
         {PROXY}response_headers = {{ add = {{ x-b = \"more\" }} }}\n{API}"
    ));
    let [first, second, third] = routes(&config) else { panic!("three") };
    let all = [("x-a", "listener"), ("x-b", "listener"), ("x-d", "default")];
    assert_eq!(set_of(first), all);
    assert_eq!(first.response_headers.remove, ["server"]);
    assert_eq!(set_of(second), [("x-a", "own"), ("x-d", "default")]);
    assert_eq!(second.response_headers.remove, ["server", "via", "x-b"]);
    assert_eq!(set_of(third), all);
    assert_eq!(third.response_headers.add.len(), 1);
    // Nothing is sent to a server where there is none.
    assert!(first.request_headers.set.is_empty() && !third.request_headers.set.is_empty());
    assert_eq!(good(&config.to_toml()), config);
}

#[test]
fn a_table_of_a_listener_that_is_off_leaves_the_defaults_of_routes() {
    let config = good(&format!(
        "[defaults.listener]\nresponse_headers = {{ set = {{ x-a = \"1\" }} }}\n\
         [defaults.route]\nresponse_headers = {{ set = {{ x-b = \"1\" }} }}\n\
         {WEB}response_headers = \"off\"\n{ECHO}{ECHO}response_headers = {{ add = {{ x-c = \"1\" }} }}\n"
    ));
    for route in routes(&config) {
        assert_eq!(set_of(route), [("x-b", "1")]);
    }
}

#[test]
fn sets_of_hosts_and_networks_stand_for_all_of_them() {
    let config = good(&format!(
        "[hosts]\nshop = [\"a.example\", \"*.b.example\"]\n\
         [networks]\noffice = [\"192.0.2.0/24\", \"2001:db8::1\"]\nlocal = \"unix\"\n\
         {WEB}trusted_proxies = [\"@office\", \"@local\"]\nallow = \"@office\"\n\
         {ECHO}host = [\"c.example\", \"@shop\"]\ndeny = [\"10.0.0.0/8\", \"@office\"]\n"
    ));
    assert_eq!(http(&config).trusted_proxies.len(), 3);
    assert_eq!(http(&config).access.allow.len(), 2);
    let [route] = routes(&config) else { panic!("one") };
    assert_eq!(route.hosts.len(), 3);
    assert_eq!(route.access.deny.len(), 3);
    let wrong = mistakes(&format!(
        "[hosts]\nshop = [\"a b\"]\n[networks]\n\"1\" = \"10.0.0.1/8\"\nx = [\"@1\"]\n{WEB}{ECHO}host = \"@shops\"\n"
    ));
    let found: Vec<_> =
        wrong.iter().map(|(line, message, help)| (*line, &**message, &**help)).collect();
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found[0].0 == 2 && found[0].1.contains("`shop`"), "{found:?}");
    assert!(found[1].0 == 4 && found[2].0 == 4, "{found:?}");
    assert!(found[3].0 == 5 && found[3].1.contains("a network"), "{found:?}");
    assert_eq!(found[4].1, "there is no set `shops` in [hosts]");
    assert_eq!(found[4].2, "did you mean \"@shop\"?");
}

#[test]
fn a_mistake_in_what_is_taken_over_is_told_once_where_it_stands() {
    let text = format!(
        "[defaults.route]\ncompress = 1\nnmae = \"x\"\n[defaults.listener]\nname = \"x\"\nlisten = 1\n\
         backlog = \"x\"\n[defaults.upstream]\nservers = \"x\"\nretry = 1\n[defaults.other]\n\
         {WEB}{ECHO}{ECHO}{ECHO}"
    );
    let lines: Vec<_> =
        mistakes(&text).into_iter().map(|(line, message, _)| (line, message)).collect();
    let expected = [
        (2, "`compress`: expected true or false, got an integer"),
        (3, "unknown key `nmae`"),
        (5, "`name` has no default: each listener has its own"),
        (6, "`listen` has no default: each listener has its own"),
        (7, "`backlog`: expected an integer from 1 to 65535, got a string"),
        (9, "`servers` has no default: each upstream has its own"),
        (10, "unknown key `retry`"),
        (11, "unknown key `other`"),
    ];
    assert_eq!(lines, expected.map(|(line, message)| (line, message.to_owned())));
    // Also where no table takes it over.
    assert_eq!(mistakes(&format!("[defaults.upstream]\nretries = 99\n{}", web(ECHO))).len(), 1);
    assert_eq!(mistakes(&format!("defaults = 1\n{}", web(ECHO))).len(), 1);
}

#[test]
fn what_is_taken_over_is_bounded_as_a_file_is() {
    let value = "x".repeat(4000);
    let many: Vec<_> = (0..256).map(|n| format!("h{n} = \"{value}\"")).collect();
    let headers = format!("[defaults.route.response_headers.set]\n{}\n", many.join("\n"));
    let text = format!("{headers}{WEB}{}", ECHO.repeat(400));
    let found = mistakes(&text);
    assert!(found.iter().any(|(_, message, _)| message.contains("more than a configuration")));
    // What is wrong is not taken over, and costs its own length alone.
    let unknown: String = (0..3000).map(|n| format!("k{n} = {{}}\n")).collect();
    let text = format!("[defaults.route]\n{unknown}{WEB}{}", ECHO.repeat(3000));
    assert!(mistakes(&text)[0].1.contains("unknown key `k0`"));
    let fields: String = (0..3000).map(|n| format!("h{n} = \"\"\n")).collect();
    let own = ECHO.replace("echo", "response_headers = { set = {} }\necho");
    let text = format!("{WEB}[listener.response_headers.set]\n{fields}{}", own.repeat(3000));
    assert_eq!(mistakes(&text).len(), 1);
    let networks = vec!["\"::\""; 10_000].join(", ");
    let names = vec!["\"@n\""; 10_000].join(", ");
    let text = format!("[networks]\nn = [{networks}]\n{WEB}allow = [{names}]\n{ECHO}");
    assert!(mistakes(&text)[0].1.contains("at most 10000 values, got 100000000"));
    let unknown = ECHO.replace("echo", "host = \"@shopp\"\necho").repeat(3000);
    let sets: String = (0..3000).map(|n| format!("shop{n} = \"a\"\n")).collect();
    assert!(mistakes(&format!("[hosts]\n{sets}{WEB}{unknown}"))[0].1.contains("no set `shopp`"));
}

#[test]
fn an_expression_that_is_a_mistake_is_one_mistake() {
    for text in ["path_rewrite = \"/$1\"\nproxy = \"api\"", "redirect = \"/$1\""] {
        let text = web(&format!("[[listener.route]]\npath_regex = \"(\"\n{text}\n{API}"));
        assert_eq!(mistakes(&text).len(), 1, "{text}");
    }
}

#[test]
fn groups_of_the_path_are_checked() {
    let route = |rest: &str| web(&format!("[[listener.route]]\n{rest}\n{API}"));
    for text in [
        "path_regex = \"^/(a)/(b)\"\npath_rewrite = \"/$2/${1}/$0\"\nproxy = \"api\"",
        "path_regex = \"^/(a)\"\npath_rewrite = \"/$1\"\nfiles = \"/srv\"",
        "path_regex = \"^/(a)\"\nredirect = \"https://$host/$1/$$\"",
        "path_regex = \"^/(a)\"\nredirect = \"https://a.example?$1\"",
        "path_regex = \"^/(a)\"\nredirect = \"/new/$1\"",
    ] {
        drop(good(&route(text)));
    }
    for (text, message) in [
        ("path_regex = \"^/a\"\nredirect = \"/$1\"", "there is no group $1"),
        ("path_regex = \"^/(a)\"\npath_rewrite = \"/$2\"\nproxy = \"api\"", "has 1"),
        ("path = \"/a\"\nredirect = \"/$1\"", "is a group of `path_regex`"),
        ("path_regex = \"^/(a)\"\nredirect = \"https://$1.example/\"", "the template of a URL"),
        ("path_regex = \"^/(a)\"\nredirect = \"https://a.example$1\"", "the template of a URL"),
        ("path_regex = \"^/(a)\"\nredirect = \"$scheme://a${1}b/\"", "the template of a URL"),
        (
            "path = \"/a\"\npath_rewrite = \"/b\"\nproxy = \"api\"",
            "is for a route with `path_regex`",
        ),
        (
            "path_regex = \"a\"\npath_rewrite = \"/b\"\necho = true",
            "is for a route with `proxy` or `files`",
        ),
        (
            "path_regex = \"(a)\"\npath_rewrite = \"$1\"\nproxy = \"api\"",
            "expected the template of a path",
        ),
        (
            "path_regex = \"(a)\"\npath_rewrite = \"/%$1\"\nproxy = \"api\"",
            "expected the template of a path",
        ),
        (
            "path_regex = \"(a)\"\npath_rewrite = \"/$host\"\nproxy = \"api\"",
            "expected the template of a path",
        ),
        (
            "path_regex = \"(a)\"\nresponse_headers.set.x = \"$1\"\necho = true",
            "expected a template",
        ),
    ] {
        let found = mistakes(&route(text));
        assert!(found.len() == 1 && found[0].1.contains(message), "{text}: {found:?}");
    }
}

#[test]
fn secrets_are_referred_to_and_not_shown() {
    let hash = "$2y$05$yT8vbxmcYzM2cBz0B0zO8eP9CI0cLdFAZLvyLhuNxdRDyzyOsY5dS";
    let mut config = good(&web(&format!(
        "{PROXY}header = {{ x-api-key = \"hunter1\" }}\n\
         request_headers.set = {{ authorization = \"file:token\", x-token = \"hunter2\", x-a = \"$host\" }}\n\
         auth.users = {{ a = \"{hash}\", b = \"file:/run/b\" }}\n{API}"
    )));
    config.resolve_paths("/etc/ringway".as_ref());
    let shown = config.without_secrets();
    let text = shown.to_toml();
    for secret in ["hunter", hash] {
        assert!(!text.contains(secret), "{text}");
    }
    for reference in ["file:/etc/ringway/token", "file:/run/b", HIDDEN_VALUE, "$host"] {
        assert!(text.contains(reference), "{reference}: {text}");
    }
    assert_eq!(good(&text), shown);
    let [route] = routes(&config) else { panic!("one") };
    let Users::Listed(users) = &route.auth.as_ref().unwrap().users else { panic!("listed") };
    assert!(matches!(&users[1].1, Secret::File(path) if path.ends_with("b")));
    let debugged = format!("{:?} {:?}", route.request_headers, route.auth);
    assert!(!debugged.contains("hunter") && !debugged.contains(hash), "{debugged}");
    let is_template = |value: &Secret<Template>| matches!(value, Secret::Written(_));
    assert_eq!(route.request_headers.set.iter().filter(|(_, value)| is_template(value)).count(), 2);
    for wrong in ["file:", "file:~/x", "file:a\\u0000b"] {
        let text = format!("{PROXY}request_headers.set.a = \"{wrong}\"\n{API}");
        assert_eq!(mistakes(&web(&text)).len(), 1, "{wrong}");
    }
}
