//! `stream`: TCP, UDP, and TLS that is passed on by name.

use std::collections::HashSet;

use super::super::convert::{self, duration, nginx_time, shown};
use super::super::document::{Listener, Value};
use super::Import;
use super::known;
use super::listen::{Listen, listen};
use super::parse::Directive;
use super::scope::Scope;
use super::upstream::{Origin, upstream};

/// Names of a listener that passes TLS on by name.
const NAMES_MAX: usize = 10_000;

/// Translates the directives of a `stream` block.
pub(super) fn translate<'d>(import: &mut Import<'d>, stream: &'d [Directive]) {
    for directive in stream {
        match directive.name.as_str() {
            "upstream" => {
                import.groups.insert(directive.arg(0), directive);
            }
            "map" => {
                if let Some(name) = directive.arg(1).strip_prefix('$') {
                    import.maps.insert(name, directive);
                }
            }
            _ => {}
        }
    }
    let scope = Scope::default().within(stream);
    let mut taken = HashSet::new();
    for at in scope.own("server").to_vec() {
        let scope = scope.within(at.inner());
        let mut listens: Vec<Listen> = Vec::new();
        for directive in scope.own("listen").to_vec() {
            let Some(one) = listen(import, directive) else { continue };
            match taken.insert((one.address.clone(), one.udp)) {
                true => listens.push(one),
                false => import.note(directive, "another server listens on this address already"),
            }
        }
        let (udp, tcp): (Vec<_>, Vec<_>) = listens.into_iter().partition(|one| one.udp);
        for listens in [tcp, udp] {
            server(import, at, &scope, &listens);
        }
    }
    import.finish_part();
}

/// Makes a listener of a server.
fn server<'d>(import: &mut Import<'d>, at: &'d Directive, scope: &Scope<'d>, listens: &[Listen]) {
    let Some(first) = listens.first() else { return };
    if is_guarded(import, at, scope) {
        return;
    }
    let Some(pass) = scope.own("proxy_pass").last().copied() else {
        return import.note(at, "it has no `proxy_pass`, and was left out");
    };
    let is_sni = scope.is_on("ssl_preread") && !first.udp;
    let protocol = if first.udp { "udp" } else { "tcp" };
    let mut listener = Listener {
        listen: listens.iter().map(|one| one.address.clone()).collect(),
        protocol,
        ..Listener::default()
    };
    settings(import, scope, listens, &mut listener);
    let found = match pass.arg(0).strip_prefix('$') {
        Some(variable) if is_sni => by_name(import, variable, &mut listener),
        Some(_) => Err("its target is a variable".to_owned()),
        None => {
            let tls = scope.is_on("proxy_ssl");
            target(import, scope, (protocol, tls), pass.arg(0)).map(|name| {
                listener.table.keys.insert(0, ("upstream", name.into()));
            })
        }
    };
    if let Err(why) = found {
        return import.note(pass, format!("{why}; the server was left out"));
    }
    let speaks_tls = listens.iter().any(|one| one.tls) || scope.is_on("ssl");
    if speaks_tls && !tls(import, at, scope, &mut listener) {
        return;
    }
    let hint = match (listener.protocol, listener.table.get("upstream")) {
        ("sni", _) => format!("tls-{}", first.port),
        (protocol, Some(Value::Text(name))) => match first.port {
            0 => name.clone(),
            _ if convert::name(name).as_deref() == Some(name) => name.clone(),
            port => format!("{protocol}-{port}"),
        },
        (protocol, _) => format!("{protocol}-{}", first.port),
    };
    listener.name = import.listener_names.unique(&hint, protocol);
    import.document.listeners.push(listener);
}

/// Whether something refuses connections, which only listeners of HTTP do in Ringway.
fn is_guarded(import: &mut Import<'_>, at: &Directive, scope: &Scope<'_>) -> bool {
    let rules = scope.all_of_two("allow", "deny");
    let rules = rules.iter().find(|rule| rule.name == "deny");
    let limit = scope.last("limit_conn");
    if let Some(rule) = rules.copied().or(limit) {
        let why = "only listeners of HTTP have access rules; the server was left out. Use the \
                   firewall for it";
        import.security(rule, why);
        return true;
    }
    if known::has_closing(at.inner()) {
        return true;
    }
    if scope.word("ssl_verify_client") == "optional_no_ca" {
        import.security(at, "certificates that nobody verifies cannot be asked for; left out");
        return true;
    }
    false
}

fn settings(
    import: &mut Import<'_>,
    scope: &Scope<'_>,
    listens: &[Listen],
    listener: &mut Listener,
) {
    let is_udp = listener.protocol == "udp";
    if let Some(directive) = scope.last("proxy_timeout")
        && let Some(time) = nginx_time(directive.arg(0)).filter(|time| *time > 0)
    {
        let (key, default, most) = match is_udp {
            true => ("flow_timeout", 60_000, 86_400_000),
            false => ("idle_timeout", 600_000, 604_800_000),
        };
        if time != default {
            listener.table.set(key, duration(time.min(most)));
        }
    }
    if listens.iter().any(|one| one.proxy_protocol) && !is_udp {
        listener.table.set("accept_proxy_protocol", true);
    }
    if let Some(directive) = scope.last("access_log").filter(|one| one.arg(0) != "off") {
        import.note(directive, "`access = true` in [log] writes a line for each connection");
    }
}

/// The upstream that a server leads to.
fn target(
    import: &mut Import<'_>,
    scope: &Scope<'_>,
    (protocol, tls): (&'static str, bool),
    text: &str,
) -> Result<String, String> {
    if !import.groups.contains_key(text) && !text.starts_with("unix:") && !text.contains(':') {
        return Err(format!("`{}` has no port", shown(text)));
    }
    let origin = Origin { protocol, tls, grpc: false, target: text.to_owned() };
    let index = upstream(import, origin, protocol)?;
    let Some(upstream) = import.document.upstreams.get_mut(index) else {
        return Err("there is no upstream".to_owned());
    };
    if protocol == "udp" {
        return Ok(upstream.name.clone());
    }
    let time = scope.last("proxy_connect_timeout").and_then(|one| nginx_time(one.arg(0)));
    if let Some(time) = time.filter(|time| *time != 3_000 && *time > 0) {
        upstream.table.set("connect_timeout", duration(time.min(600_000)));
    }
    if scope.word("proxy_next_upstream") == "off" {
        upstream.table.set("retries", 0_u64);
    }
    if scope.is_on("proxy_protocol") && protocol == "tcp" {
        upstream.table.set("send_proxy_protocol", "v1");
    }
    if tls {
        let own = upstream.table.table("tls");
        for (name, key) in [
            ("proxy_ssl_trusted_certificate", "ca"),
            ("proxy_ssl_certificate", "certificate"),
            ("proxy_ssl_certificate_key", "key"),
            ("proxy_ssl_name", "server_name"),
        ] {
            let value = scope.word(name);
            if !value.is_empty() && !value.contains('$') {
                own.set(key, value);
            }
        }
        let name = upstream.name.clone();
        if !scope.is_on("proxy_ssl_verify")
            && let Some(directive) = scope.last("proxy_ssl")
        {
            let why = format!(
                "nginx does not verify the servers of `{name}`, and Ringway does: name the issuer \
                 in `ca`, or set `verify = false`"
            );
            import.note(directive, why);
        }
        return Ok(name);
    }
    Ok(upstream.name.clone())
}

/// TLS by the name that a client asks for: a map of `$ssl_preread_server_name`.
fn by_name(import: &mut Import<'_>, variable: &str, listener: &mut Listener) -> Result<(), String> {
    listener.protocol = "sni";
    let Some(map) = import.maps.get(variable).copied() else {
        return Err(format!("there is no map that makes `${}`", shown(variable)));
    };
    if map.arg(0) != "$ssl_preread_server_name" {
        return Err(format!("`{}` cannot be asked for, only names", shown(map.arg(0))));
    }
    let scope = Scope::default();
    let mut names: Vec<(String, Value)> = Vec::new();
    let mut known = HashSet::new();
    for entry in map.inner() {
        let (key, value) = (entry.name.to_ascii_lowercase(), entry.arg(0));
        if matches!(&*key, "hostnames" | "volatile") {
            continue;
        }
        let hosts = match key.strip_prefix('.') {
            Some(name) => vec![name.to_owned(), format!("*.{name}")],
            None => vec![key.clone()],
        };
        let is_default = key == "default";
        if !is_default && !hosts.iter().all(|host| convert::is_tls_name(host)) {
            let why = format!("`{}` is no name that clients ask for; left out", shown(&key));
            import.notes.add(&entry.at, "map", why);
            continue;
        }
        let own = match target(import, &scope, ("sni", false), value) {
            Ok(own) => own,
            Err(why) => {
                import.notes.add(&entry.at, "map", format!("{why}; left out"));
                continue;
            }
        };
        if is_default {
            listener.table.set("upstream", own);
            continue;
        }
        for host in hosts {
            if host.starts_with("*.") {
                let why = "`*.` stands for one label: of `*.a.example` it takes `b.a.example`, not \
                           `c.b.a.example`";
                import.notes.add(&entry.at, "map", why);
            }
            if known.insert(host.clone()) && names.len() < NAMES_MAX {
                names.push((host, own.clone().into()));
            }
        }
    }
    if names.is_empty() && !listener.table.has("upstream") {
        return Err("no name leads anywhere".to_owned());
    }
    if !names.is_empty() {
        listener.table.set("names", Value::Pairs(names));
    }
    Ok(())
}

/// The table `tls` of a listener. `false`: it cannot speak TLS, and was left out.
fn tls(
    import: &mut Import<'_>,
    at: &Directive,
    scope: &Scope<'_>,
    listener: &mut Listener,
) -> bool {
    let (certificate, key) = (scope.word("ssl_certificate"), scope.word("ssl_certificate_key"));
    if certificate.is_empty() || key.is_empty() || certificate.contains('$') {
        import.note(at, "it speaks TLS and has no fixed certificate, so it was left out");
        return false;
    }
    let table = listener.table.table("tls");
    table.set("certificate", certificate);
    table.set("key", key);
    let mode = scope.word("ssl_verify_client");
    if matches!(mode, "on" | "optional") {
        let authority = match scope.word("ssl_client_certificate") {
            "" => scope.word("ssl_trusted_certificate"),
            path => path,
        };
        table.set("client_auth", if mode == "on" { "required" } else { "optional" });
        table.set("client_ca", authority);
    }
    true
}
