//! `backend` sections as upstreams.

use std::collections::HashSet;

use super::super::convert::{self, digits, duration};
use super::super::document::{Table, Upstream, Value};
use super::Import;
use super::parse::Line;
use super::proxy::Proxy;
use super::server::{self, Options};

/// The index of the upstream of a backend, for listeners of a protocol. `None`: it has no server.
pub(super) fn upstream(
    import: &mut Import<'_>,
    number: usize,
    protocol: &'static str,
) -> Option<usize> {
    if let Some(known) = import.upstreams.get(&(number, protocol)) {
        return *known;
    }
    let proxy = import.proxies.get(number)?.clone();
    let made = make(import, &proxy, protocol);
    let index = made.map(|upstream| {
        import.document.upstreams.push(upstream);
        import.document.upstreams.len() - 1
    });
    import.upstreams.insert((number, protocol), index);
    index
}

fn make(import: &mut Import<'_>, proxy: &Proxy<'_>, protocol: &'static str) -> Option<Upstream> {
    let mut upstream = Upstream { protocol, ..Upstream::default() };
    let mut base = Options::default();
    for line in proxy.all("default-server") {
        base = server::options(import, line, line.from(1), base);
    }
    let mut known = HashSet::new();
    let mut first: Option<Options> = None;
    let mut most = 0_u64;
    for line in proxy.own("server").to_vec() {
        let options = server::options(import, line, line.from(3), base.clone());
        let Some(server) = server::server(import, line, &options, 80) else { continue };
        if !known.insert(server.address.clone()) {
            import.note(line, 2, "its address is there already: each server stands once");
            continue;
        }
        upstream.servers.push(server);
        most = most.saturating_add(options.maxconn.unwrap_or(0));
        let same = first.get_or_insert_with(|| options.clone());
        if !is_like(same, &options) {
            let why = "TLS, checks and the PROXY protocol are those of the first server for all";
            import.note(line, 2, why);
        }
    }
    let Some(options) = first else {
        let why = "it has no server that could be translated";
        import.notes.add(&proxy.section.at, "backend", why);
        return None;
    };
    even(&mut upstream);
    upstream.name = import.upstream_names.unique(&proxy.section.name, "backend");
    if upstream.name != proxy.section.name {
        let why = format!("`{}` is `{}` here", super::shown(&proxy.section.name), upstream.name);
        import.notes.add(&proxy.section.at, &proxy.section.kind, why);
    }
    balance(import, proxy, &mut upstream);
    settings(proxy, &mut upstream, most);
    retry(import, proxy, &mut upstream);
    speak(import, proxy, &options, &mut upstream);
    health(import, proxy, &options, &mut upstream);
    Some(upstream)
}

/// Equal weights are no weights.
fn even(upstream: &mut Upstream) {
    let weight = upstream.servers.first().map(|server| server.weight);
    if upstream.servers.iter().all(|server| Some(server.weight) == weight) {
        upstream.servers.iter_mut().for_each(|server| server.weight = 1);
    }
}

/// Whether two servers have what an upstream has for all.
fn is_like(one: &Options, other: &Options) -> bool {
    let bare = |options: &Options| Options {
        weight: None,
        is_backup: false,
        maxconn: None,
        name: None,
        certificate: options.certificate.clone(),
        ..options.clone()
    };
    bare(one) == bare(other)
}

fn balance(import: &mut Import<'_>, proxy: &Proxy<'_>, upstream: &mut Upstream) {
    let Some(line) = proxy.last("balance") else { return };
    let is_http = upstream.protocol == "http";
    let is_consistent = proxy.last("hash-type").is_some_and(|line| line.word(1) == "consistent");
    let argument = |text: &str, name: &str| {
        let inner = text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?;
        convert::is_field(inner).then(|| inner.to_ascii_lowercase())
    };
    let policy = line.word(1);
    match policy {
        "roundrobin" | "static-rr" => {}
        "leastconn" => {
            upstream
                .table
                .set("balance", if is_http { "least_requests" } else { "least_connections" });
        }
        "source" => {
            let policy = if is_consistent { "consistent_hash" } else { "source_hash" };
            upstream.table.set("balance", policy);
        }
        "hash" if matches!(line.word(2), "src" | "path" | "pathq") => {
            upstream.table.set("balance", "hash");
            upstream.table.set("hash_on", if line.word(2) == "src" { "source" } else { "path" });
        }
        "uri" if is_http => {
            upstream.table.set("balance", "hash");
            upstream.table.set("hash_on", "path");
        }
        _ => match argument(policy, "hdr").filter(|_| is_http) {
            Some(name) => {
                upstream.table.set("balance", "hash");
                upstream.table.set("hash_on", format!("header:{name}"));
            }
            None => import.note(line, 2, "is not there; `balance` is round_robin here"),
        },
    }
}

/// Times and bounds.
fn settings(proxy: &Proxy<'_>, upstream: &mut Upstream, places: u64) {
    const DAY: u64 = 86_400_000;
    let is_http = upstream.protocol == "http";
    let table = &mut upstream.table;
    let connect = proxy.timeout("connect");
    let mut time = |key: &'static str, value: Option<u64>, default: u64, most: u64| {
        if let Some(value) = value.map(|value| value.min(most)).filter(|value| *value != default) {
            table.set(key, duration(value));
        }
    };
    time("connect_timeout", connect, 3_000, 600_000);
    if is_http {
        // HAProxy lets requests wait for a place as long as for a connection, unless it is told.
        let queue = proxy.timeout("queue").or_else(|| connect.filter(|time| *time > 1_000));
        time("pool_queue_timeout", queue, 1_000, 600_000);
        time("first_byte_timeout", proxy.timeout("server"), 30_000, DAY);
        time("response_idle_timeout", proxy.timeout("server"), 60_000, DAY);
    }
    match places {
        0 => {}
        _ if is_http => table.set("pool_max", places.min(100_000)),
        _ => table.set("requests_max", places.min(1_000_000)),
    }
}

fn retry(import: &mut Import<'_>, proxy: &Proxy<'_>, upstream: &mut Upstream) {
    if let Some(retries) = proxy.number("retries").filter(|retries| *retries != 1) {
        upstream.table.set("retries", retries.min(16));
    }
    let Some(line) = proxy.last("retry-on").filter(|_| upstream.protocol == "http") else { return };
    let mut reasons: Vec<String> = Vec::new();
    for word in line.from(1) {
        let list: &[&str] = match word.as_str() {
            "none" => return upstream.table.set("retries", 0_u64),
            "conn-failure" => &["connect"],
            "empty-response" | "junk-response" => &["reset"],
            "response-timeout" => &["timeout"],
            "all-retryable-errors" => &["connect", "reset", "timeout", "500", "502", "503", "504"],
            status if digits(status).is_some_and(|status| (500..=599).contains(&status)) => {
                reasons.push(status.to_owned());
                continue;
            }
            other => {
                let why = format!("`{}` is no reason to try again here", super::shown(other));
                import.note(line, 1, why);
                continue;
            }
        };
        reasons.extend(list.iter().map(ToString::to_string));
    }
    let mut known = HashSet::new();
    reasons.retain(|reason| known.insert(reason.clone()));
    if !reasons.is_empty() && reasons != ["connect"] {
        upstream.table.set("retry_on", reasons);
    }
}

/// How servers are spoken to.
fn speak(import: &mut Import<'_>, proxy: &Proxy<'_>, options: &Options, upstream: &mut Upstream) {
    if options.http2 && upstream.protocol == "http" {
        upstream.table.set("protocol", "http2");
    }
    match (options.proxy_protocol, upstream.protocol) {
        (Some(version), "tcp") => upstream.table.set("send_proxy_protocol", version),
        (Some(_), _) => {
            let why = "only TCP proxies send PROXY headers: let these servers do without";
            import.notes.add(&proxy.section.at, "send-proxy", why);
        }
        (None, _) => {}
    }
    if !options.tls {
        return;
    }
    if upstream.protocol == "sni" {
        let why = "what is passed on by name is TLS already, and is not encrypted again";
        return import.notes.add(&proxy.section.at, "ssl", why);
    }
    let tls = upstream.table.table("tls");
    for (key, value) in [
        ("ca", &options.ca),
        ("crl", &options.crl),
        ("server_name", &options.name),
        ("certificate", &options.certificate),
        ("key", &options.certificate),
    ] {
        if let Some(value) = value.as_ref().filter(|value| *value != "@system-ca") {
            tls.set(key, value.as_str());
        }
    }
    if options.verify_none || import.verifies_none && options.ca.is_none() {
        tls.set("verify", false);
    }
}

/// Active checks.
fn health(import: &mut Import<'_>, proxy: &Proxy<'_>, options: &Options, upstream: &mut Upstream) {
    if !options.check {
        return;
    }
    let has_tls = upstream.table.find_table("tls").is_some();
    let mut health = Table::default();
    let is_http = upstream.protocol == "http";
    let http = proxy.option("httpchk");
    if let Some(line) = http.filter(|_| is_http) {
        http_check(import, proxy, line, &mut health);
    } else if is_http {
        health.set("kind", "tcp");
    }
    if http.is_some() && !is_http {
        import.notes.add(
            &proxy.section.at,
            "option httpchk",
            "checks of TCP proxies only connect here: `kind = \"http\"` in the table `health`",
        );
    }
    let protocols =
        ["mysql-check", "pgsql-check", "redis-check", "smtpchk", "ldap-check", "tcp-check"];
    for name in protocols {
        if let Some(line) = proxy.option(name) {
            import.note(line, 2, "checks only connect to the server");
        }
    }
    if let Some(line) = proxy.option("ssl-hello-chk") {
        match has_tls {
            true => health.set("kind", "tls"),
            false => import.note(line, 2, "checks only connect to the server"),
        }
    }
    let interval = options.inter.unwrap_or(2_000).clamp(1, 86_400_000);
    if interval != 2_000 {
        health.set("interval", duration(interval));
    }
    let timeout = proxy.timeout("check").unwrap_or(1_000).min(interval).min(600_000);
    if timeout != 1_000 {
        health.set("timeout", duration(timeout));
    }
    if let Some(rise) = options.rise.filter(|rise| *rise != 2) {
        health.set("rise", rise.clamp(1, 100));
    }
    if let Some(fall) = options.fall.filter(|fall| *fall != 3) {
        health.set("fall", fall.clamp(1, 100));
    }
    upstream.table.tables.push(("health", health));
    if let Some(time) = options.slow_start.filter(|time| *time > 0) {
        upstream.table.set("slow_start", duration(time.min(3_600_000)));
    }
}

/// `option httpchk` and `http-check`.
fn http_check(import: &mut Import<'_>, proxy: &Proxy<'_>, line: &Line, health: &mut Table) {
    let words = line.from(2);
    let (mut method, mut path) = match words {
        [] => ("OPTIONS", "/"),
        [path] => ("OPTIONS", path.as_str()),
        [method, path, ..] => (method.as_str(), path.as_str()),
    };
    let version = words.get(2..).unwrap_or_default().join(" ").replace("\\r\\n", "\r\n");
    let field = version.split("\r\n").find_map(|line| line.strip_prefix("Host:"));
    let mut host = field.map(|host| host.replace('\\', "").trim().to_owned());
    // What is good by default: 2xx and 3xx.
    let mut statuses: Vec<Value> = vec!["200-399".into()];
    for check in proxy.all("http-check") {
        let mut words = check.from(2).iter().map(String::as_str);
        match check.word(1) {
            "send" => {
                while let Some(word) = words.next() {
                    match word {
                        "meth" => method = words.next().unwrap_or_default(),
                        "uri" => path = words.next().unwrap_or_default(),
                        "hdr" => {
                            let name = words.next().unwrap_or_default();
                            let value = words.next().unwrap_or_default();
                            if name.eq_ignore_ascii_case("host") {
                                host = Some(value.to_owned());
                            }
                        }
                        _ => {}
                    }
                }
            }
            "expect" => expect(import, check, health, &mut statuses),
            "disable-on-404" | "send-state" | "connect" | "comment" => {}
            _ => import.note(check, 2, "is not known here"),
        }
    }
    if method != "GET" {
        import.note(line, 2, "checks are made by GET");
    }
    if path != "/" && path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
        health.set("path", path);
    }
    if let Some(host) = host.filter(|host| convert::is_host(host) && !host.contains('*')) {
        health.set("host", host);
    }
    health.set("status", Value::List(statuses));
}

/// What a good answer to a check is.
fn expect(import: &mut Import<'_>, check: &Line, health: &mut Table, statuses: &mut Vec<Value>) {
    let words: Vec<&str> = check.from(2).iter().map(String::as_str).collect();
    match words.as_slice() {
        ["status", list] => {
            if let Some(list) = status_list(list) {
                *statuses = list;
            }
        }
        ["string", text] => health.set("body", *text),
        ["rstatus", "^2" | "2[0-9][0-9]" | "^2[0-9][0-9]"] => *statuses = vec!["200-299".into()],
        ["rstatus", "(2|3)[0-9][0-9]" | "^[23]" | "[23].."] => {}
        _ => import.note(check, 3, "this answer cannot be expected; set `status` or `body`"),
    }
}

/// Statuses such as `200`, `200,204` or `200-399`.
fn status_list(text: &str) -> Option<Vec<Value>> {
    let number = |text: &str| digits(text).filter(|status| (100..=599).contains(status));
    text.split(',')
        .map(|one| match one.split_once('-') {
            None => number(one).map(Value::from),
            Some((first, last)) => {
                let is_range = number(first)? <= number(last)?;
                is_range.then(|| Value::from(one))
            }
        })
        .collect()
}
