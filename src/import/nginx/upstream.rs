//! Where requests and connections go: `upstream` blocks, and addresses in `proxy_pass`.

use std::collections::HashSet;

use super::super::convert::{self, address, digits, duration, nginx_time};
use super::super::document::{Server, Upstream, Value};
use super::Import;
use super::parse::Directive;
use super::scope::Scope;

/// What an upstream of Ringway stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// Of the listeners: `http`, `tcp`, `udp` or `sni`.
    pub(super) protocol: &'static str,
    /// By TLS.
    pub(super) tls: bool,
    /// By HTTP/2 in clear text, or by TLS with gRPC.
    pub(super) grpc: bool,
    /// The name of a block, or an address.
    pub(super) target: String,
}

/// The index of the upstream for an origin, which is made if it is not there. `hint` is what it is
/// named after where the address is none to remember.
///
/// # Errors
///
/// Why there is none.
pub(super) fn upstream(
    import: &mut Import<'_>,
    origin: Origin,
    hint: &str,
) -> Result<usize, String> {
    if let Some(index) = import.origins.get(&origin) {
        return Ok(*index);
    }
    let mut upstream = Upstream { protocol: origin.protocol, ..Upstream::default() };
    let group = import.groups.get(origin.target.as_str()).copied();
    let name = match group {
        Some(group) => {
            import.used_groups.insert(origin.target.clone());
            fill(import, group, &origin, &mut upstream);
            origin.target.clone()
        }
        None => {
            let port = if origin.tls { 443 } else { 80 };
            let address = address(&origin.target, port)?;
            let name = name_of(&address, hint);
            upstream.servers.push(Server { address, weight: 1, priority: 0 });
            name
        }
    };
    if upstream.servers.is_empty() {
        return Err(format!("`{name}` has no server that could be translated"));
    }
    if origin.tls {
        upstream.table.table("tls");
    }
    if origin.grpc && !origin.tls {
        upstream.table.set("protocol", "http2");
    }
    upstream.name = import.upstream_names.unique(&name, "upstream");
    let renamed = convert::name(&name).as_deref() != Some(&*upstream.name) || upstream.name != name;
    if let Some(group) = group.filter(|_| renamed) {
        let why = format!("`{name}` is `{}` here", upstream.name);
        import.note(group, why);
    }
    import.document.upstreams.push(upstream);
    let index = import.document.upstreams.len() - 1;
    import.origins.insert(origin, index);
    Ok(index)
}

/// A name for an address: its first label, or what it is for.
fn name_of(address: &str, hint: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    if let Some(path) = address.strip_prefix("unix:") {
        let file = path.rsplit('/').next().unwrap_or_default();
        return file.split('.').next().unwrap_or_default().to_owned();
    }
    let is_name = convert::is_tls_name(host) && host != "localhost";
    let named = if is_name { host.split('.').next().unwrap_or_default() } else { hint };
    named.to_owned()
}

/// Reads an `upstream` block.
fn fill(import: &mut Import<'_>, group: &Directive, origin: &Origin, upstream: &mut Upstream) {
    let is_http = origin.protocol == "http";
    let mut fails: Vec<(Option<u64>, Option<u64>)> = Vec::new();
    let mut places: Vec<u64> = Vec::new();
    let mut known = HashSet::new();
    for directive in group.inner() {
        match directive.name.as_str() {
            "server" => {
                if let Some(server) = server(import, directive, &mut fails, &mut places) {
                    if known.insert(server.address.clone()) {
                        upstream.servers.push(server);
                    } else {
                        import.note(directive, "is there already: each server stands once");
                    }
                }
            }
            "least_conn" => {
                let policy = if is_http { "least_requests" } else { "least_connections" };
                upstream.table.set("balance", policy);
            }
            "ip_hash" => upstream.table.set("balance", "source_hash"),
            "hash" => hash(import, directive, is_http, upstream),
            "keepalive_timeout" if is_http => {
                if let Some(time) = nginx_time(directive.arg(0)).filter(|time| *time != 60_000) {
                    upstream.table.set("pool_idle_timeout", duration(time.clamp(1, 86_400_000)));
                }
            }
            _ => {}
        }
    }
    ejection(import, group, &fails, upstream);
    let most = places.iter().copied().max().unwrap_or_default();
    if most > 0 {
        let sum = most.saturating_mul(upstream.servers.len() as u64).clamp(1, 1_000_000);
        upstream.table.set("requests_max", sum);
        let why = "`max_conns` is one bound for all servers of the upstream here: `requests_max`";
        import.note(group, why);
    }
}

/// Reads a `server` of an `upstream` block.
fn server(
    import: &mut Import<'_>,
    directive: &Directive,
    fails: &mut Vec<(Option<u64>, Option<u64>)>,
    places: &mut Vec<u64>,
) -> Option<Server> {
    let address = match address(directive.arg(0), 80) {
        Ok(address) => address,
        Err(why) => {
            import.note(directive, why);
            return None;
        }
    };
    let mut server = Server { address, weight: 1, priority: 0 };
    let (mut most, mut time) = (None, None);
    let mut is_down = false;
    for parameter in directive.args.iter().skip(1) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "weight" => match digits(value).filter(|weight| (1..=1000).contains(weight)) {
                Some(weight) => server.weight = weight,
                None => import.note(directive, "a weight is from 1 to 1000 in Ringway"),
            },
            "backup" => server.priority = 1,
            "down" => is_down = true,
            "max_fails" => most = digits(value),
            "fail_timeout" => time = nginx_time(value),
            "max_conns" => places.extend(digits(value)),
            "slow_start" => import.note(directive, "set `slow_start` of the upstream"),
            "resolve" | "service" => {
                import.note(directive, "names of servers are resolved once, at the start");
            }
            _ => import.note(directive, format!("`{}` is not known here", convert::shown(name))),
        }
    }
    if is_down {
        import.note(directive, "a server that is `down` was left out");
        return None;
    }
    fails.push((most, time));
    Some(server)
}

/// `max_fails` and `fail_timeout`: failed connects in a row, after which a server is left out.
fn ejection(
    import: &mut Import<'_>,
    group: &Directive,
    fails: &[(Option<u64>, Option<u64>)],
    upstream: &mut Upstream,
) {
    let Some(first) = fails.iter().find(|(most, time)| most.is_some() || time.is_some()) else {
        return;
    };
    if fails.iter().any(|one| one != first) {
        import.note(group, "`max_fails` and `fail_timeout` of the first server hold for all");
    }
    let (most, time) = (first.0.unwrap_or(1), first.1.unwrap_or(10_000));
    let eject = upstream.table.table("eject");
    // Only failed connects: by default, nginx does not count answers such as 502 either.
    eject.set("consecutive_failures", 0_u64);
    eject.set("error_rate", Value::Real(0.0));
    if most.min(10_000) != 3 {
        eject.set("consecutive_connect_failures", most.min(10_000));
    }
    if time != 30_000 {
        eject.set("time", duration(time.clamp(1, 86_400_000)));
    }
}

fn hash(import: &mut Import<'_>, directive: &Directive, is_http: bool, upstream: &mut Upstream) {
    let key = directive.arg(0);
    let is_consistent = directive.arg(1) == "consistent";
    let on = match key {
        "$remote_addr" | "$binary_remote_addr" => {
            let policy = if is_consistent { "consistent_hash" } else { "source_hash" };
            upstream.table.set("balance", policy);
            return;
        }
        "$request_uri" | "$uri" | "$host$request_uri" | "$scheme$proxy_host$request_uri" => {
            "path".to_owned()
        }
        "$host" | "$http_host" => "header:host".to_owned(),
        _ => match (key.strip_prefix("$cookie_"), key.strip_prefix("$http_")) {
            (Some(cookie), _) if convert::is_field(cookie) => format!("cookie:{cookie}"),
            (_, Some(field)) if convert::is_field(field) => {
                format!("header:{}", field.replace('_', "-"))
            }
            (_, _) => String::new(),
        },
    };
    if on.is_empty() || !is_http {
        let why = "this key cannot be hashed; `hash_on` has source, path, header:NAME, cookie:NAME";
        return import.note(directive, why);
    }
    if key.contains("request_uri") {
        import.note(directive, "`hash_on = \"path\"` leaves out the query");
    }
    upstream.table.set("balance", "hash");
    upstream.table.set("hash_on", on);
}

/// Sets what locations say of an upstream, which has it for all of them.
pub(super) fn settle(import: &mut Import<'_>, index: usize, scope: &Scope<'_>) {
    let times = [
        ("proxy_connect_timeout", "connect_timeout", 3_000, 600_000),
        ("grpc_connect_timeout", "connect_timeout", 3_000, 600_000),
        ("proxy_read_timeout", "first_byte_timeout", 30_000, 86_400_000),
        ("grpc_read_timeout", "first_byte_timeout", 30_000, 86_400_000),
        ("proxy_read_timeout", "response_idle_timeout", 60_000, 86_400_000),
    ];
    for (name, key, default, most) in times {
        let Some(directive) = scope.last(name) else { continue };
        let Some(time) = nginx_time(directive.arg(0)).filter(|time| *time > 0) else { continue };
        let time = time.min(most);
        if time != default {
            set(import, index, directive, key, duration(time).into());
        }
        // A request waits for a connection that is being made no longer than for a place.
        if key == "connect_timeout" && time > 1_000 && time != default {
            set(import, index, directive, "pool_queue_timeout", duration(time).into());
        }
    }
    if let Some(directive) = scope.last("proxy_next_upstream") {
        next_upstream(import, index, directive);
    }
    if let Some(directive) = scope.last("proxy_next_upstream_tries")
        && let Some(tries) = digits(directive.arg(0)).filter(|tries| *tries > 0)
        && tries != 2
    {
        set(import, index, directive, "retries", (tries - 1).min(16).into());
    }
    settle_tls(import, index, scope);
}

/// Sets a key of an upstream, unless another location has set it to something else.
fn set(
    import: &mut Import<'_>,
    index: usize,
    directive: &Directive,
    key: &'static str,
    value: Value,
) {
    let Some(upstream) = import.document.upstreams.get_mut(index) else { return };
    match upstream.table.get(key) {
        None => upstream.table.set(key, value),
        Some(own) if *own == value => {}
        Some(_) => {
            let name = upstream.name.clone();
            let why = format!("the upstream `{name}` has one `{key}`, that of an earlier location");
            import.note(directive, why);
        }
    }
}

/// `proxy_next_upstream`: after which failures a request is tried again.
fn next_upstream(import: &mut Import<'_>, index: usize, directive: &Directive) {
    let mut reasons: Vec<String> = Vec::new();
    for word in &directive.args {
        match word.as_str() {
            "off" => return set(import, index, directive, "retries", 0_u64.into()),
            "error" => reasons.extend(["connect".to_owned(), "reset".to_owned()]),
            "timeout" => reasons.push("timeout".to_owned()),
            "http_500" | "http_502" | "http_503" | "http_504" => {
                reasons.push(word.trim_start_matches("http_").to_owned());
            }
            other => {
                let why = format!("`{}` is no reason to try again here", convert::shown(other));
                import.note(directive, why);
            }
        }
    }
    reasons.dedup();
    if !reasons.is_empty() {
        set(import, index, directive, "retry_on", reasons.into());
    }
}

/// How servers are spoken to by TLS.
fn settle_tls(import: &mut Import<'_>, index: usize, scope: &Scope<'_>) {
    let Some(upstream) = import.document.upstreams.get_mut(index) else { return };
    if upstream.table.find_table("tls").is_none() {
        return;
    }
    let paths = [
        ("proxy_ssl_trusted_certificate", "ca"),
        ("proxy_ssl_crl", "crl"),
        ("proxy_ssl_certificate", "certificate"),
        ("proxy_ssl_certificate_key", "key"),
        ("proxy_ssl_name", "server_name"),
    ];
    let tls = upstream.table.table("tls");
    for (name, key) in paths {
        let value = scope.word(name);
        if !value.is_empty() && !value.contains('$') {
            tls.set(key, value);
        }
    }
    if !scope.is_on("proxy_ssl_verify")
        && let Some(directive) = scope.last("proxy_pass").or_else(|| scope.last("grpc_pass"))
    {
        let why = "nginx does not verify this server's certificate, and Ringway does: name its \
                   issuer in `ca`, or set `verify = false`";
        import.note(directive, why);
    }
}
