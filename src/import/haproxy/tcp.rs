//! Frontends of `mode tcp`: TCP, and TLS that is passed on by name.

use std::collections::HashSet;

use super::super::convert::{self, duration};
use super::super::document::{Listener, Value};
use super::Import;
use super::acl::{Case, condition};
use super::backend::upstream;
use super::bind::Bind;
use super::frontend::guards;
use super::parse::Line;
use super::proxy::Proxy;

/// Makes a listener of a bind.
pub(super) fn listener(
    import: &mut Import<'_>,
    proxy: &Proxy<'_>,
    (number, bind): (usize, Bind),
    name: &str,
) {
    if is_guarded(import, proxy) {
        return;
    }
    let inspects = proxy.own("tcp-request").iter().any(|line| line.word(1) == "inspect-delay");
    let by_name = proxy.own("use_backend").iter().any(|line| {
        line.words.iter().any(|word| word.contains("ssl_sni")) || inspects && line.words.len() > 2
    });
    let is_sni = bind.tls.is_none() && by_name;
    let mut listener = Listener {
        listen: bind.addresses,
        protocol: if is_sni { "sni" } else { "tcp" },
        table: bind.keys,
        ..Listener::default()
    };
    if let Some(tls) = bind.tls {
        listener.table.tables.push(("tls", tls));
    }
    listener.table.remove("http2");
    bounds(proxy, &mut listener);
    let target = if proxy.section.kind == "listen" && proxy.own("default_backend").is_empty() {
        upstream(import, number, listener.protocol)
    } else {
        let line = proxy.last("default_backend");
        line.and_then(|line| {
            let backend = import.backends.get(line.word(1)).copied();
            if backend.is_none() {
                import.note(line, 2, "there is no such backend");
            }
            backend.and_then(|backend| open_upstream(import, backend, listener.protocol))
        })
    };
    if is_sni {
        if names(import, proxy, &mut listener) {
            return;
        }
    } else {
        for line in proxy.own("use_backend").to_vec() {
            if is_lost(import, line) {
                return;
            }
            import.note(line, 2, "a TCP listener has one upstream, that of `default_backend`");
        }
    }
    if let Some(name) = target.and_then(|index| name_of(import, index)) {
        // Before the names.
        listener.table.keys.insert(0, ("upstream", name.into()));
    } else if !listener.table.has("names") {
        let why = "it leads nowhere, and was left out";
        return import.notes.add(&proxy.section.at, &proxy.section.kind, why);
    }
    listener.name = import.listener_names.unique(name, "tcp");
    import.document.listeners.push(listener);
}

/// The upstream of a backend, unless that refuses connections.
fn open_upstream(import: &mut Import<'_>, backend: usize, protocol: &'static str) -> Option<usize> {
    let proxy = import.proxies.get(backend)?.clone();
    if is_guarded(import, &proxy) { None } else { upstream(import, backend, protocol) }
}

fn name_of(import: &Import<'_>, index: usize) -> Option<String> {
    import.document.upstreams.get(index).map(|upstream| upstream.name.clone())
}

/// Connections at a time, and how long they may be idle.
fn bounds(proxy: &Proxy<'_>, listener: &mut Listener) {
    let idle = proxy.timeout("client").into_iter().chain(proxy.timeout("server")).max();
    let idle = proxy.timeout("tunnel").or(idle);
    if let Some(idle) = idle.filter(|idle| *idle != 600_000) {
        listener.table.set("idle_timeout", duration(idle.min(604_800_000)));
    }
    if let Some(most) = proxy.number("maxconn").filter(|most| *most != 10_000 && *most > 0) {
        listener.table.set("max_connections", most.min(10_000_000));
    }
}

/// Whether a rule refuses connections, which only listeners of HTTP do in Ringway.
fn is_guarded(import: &mut Import<'_>, proxy: &Proxy<'_>) -> bool {
    let mut is_guarded = false;
    for line in proxy.own("tcp-request").to_vec() {
        match (line.word(1), line.word(2)) {
            ("inspect-delay", _) | ("content", "accept" | "set-var" | "capture") => {}
            (_, action) if action.starts_with("track-sc") => {}
            (_, "reject" | "silent-drop" | "tarpit") => {
                let why = "only listeners of HTTP have access rules; it was left out. Use the \
                           firewall for it";
                import.security(line, 3, why);
                is_guarded = true;
            }
            ("connection" | "session", "accept") if line.words.len() > 3 => {}
            _ => import.note(line, 3, "is not known here, and was left out"),
        }
    }
    is_guarded
}

/// Whether what a line leads to refuses connections, which must not go elsewhere.
fn is_lost(import: &mut Import<'_>, line: &Line) -> bool {
    let backend = import.backends.get(line.word(1)).copied();
    let refuses = backend.is_some_and(|backend| guards(import, backend));
    if refuses {
        let why = "this backend refuses connections, and who goes to it cannot be told; the \
                   listener was left out";
        import.security(line, 2, why);
    }
    refuses
}

/// `use_backend` by the name that a client asks for. `true`: the listener is left out.
fn names(import: &mut Import<'_>, proxy: &Proxy<'_>, listener: &mut Listener) -> bool {
    let acls = proxy.acls();
    let mut names: Vec<(String, Value)> = Vec::new();
    let mut known = HashSet::new();
    for line in proxy.own("use_backend").to_vec() {
        let (_, words) = condition(line.from(2));
        let cases = acls.cases(words, false);
        let only_names = |case: &Case| {
            let bare = Case { names: Vec::new(), ..case.clone() };
            !case.names.is_empty()
                && bare == Case::default()
                && case.names.iter().all(|name| convert::is_tls_name(name))
        };
        if cases.is_empty() || !cases.iter().all(only_names) {
            if !cases.is_empty() && is_lost(import, line) {
                return true;
            }
            import.note(line, 2, "only the name that clients ask for leads to an upstream");
            continue;
        }
        let backend = import.backends.get(line.word(1)).copied();
        let index = backend.and_then(|backend| open_upstream(import, backend, "sni"));
        let Some(own) = index.and_then(|index| name_of(import, index)) else {
            if is_lost(import, line) {
                return true;
            }
            import.note(line, 2, "there is no such backend with a server");
            continue;
        };
        for name in cases.into_iter().flat_map(|case| case.names) {
            if name.starts_with("*.") {
                let why = "`*.` stands for one label: of `*.a.example` it takes `b.a.example`, not \
                           `c.b.a.example`";
                import.note(line, 2, why);
            }
            if known.insert(name.clone()) && names.len() < 10_000 {
                names.push((name, own.clone().into()));
            }
        }
    }
    if !names.is_empty() {
        listener.table.set("names", Value::Pairs(names));
    }
    false
}
