//! Frontends of HTTP: listeners with routes.

use super::super::convert::{self, duration};
use super::super::document::{Listener, Path, Route, Table};
use super::Import;
use super::acl::{Case, condition};
use super::backend::upstream;
use super::bind::{Bind, binds};
use super::limits::closed;
use super::parse::Line;
use super::proxy::Proxy;
use super::region::{PathPart, Region};
use super::rules::{self, State};
use super::tcp;

/// Makes the listeners of a `frontend` or `listen`.
pub(super) fn translate(import: &mut Import<'_>, proxy: &Proxy<'_>, number: usize) {
    let lines = proxy.own("bind").to_vec();
    let mut binds = binds(import, &lines);
    for bind in &mut binds {
        bind.addresses.retain(|address| {
            let is_new = import.taken.insert(address.clone());
            if !is_new {
                let why = format!("`{address}` is listened on already, and was left out here");
                import.notes.add(&proxy.section.at, &proxy.section.kind, why);
            }
            is_new
        });
    }
    binds.retain(|bind| !bind.addresses.is_empty());
    if binds.is_empty() {
        let why = "it has no `bind` that could be translated, and was left out";
        return import.notes.add(&proxy.section.at, &proxy.section.kind, why);
    }
    let has_plain = binds.iter().any(|bind| bind.tls.is_none());
    for bind in binds {
        // One of two that have the same name says what it speaks.
        let name = match bind.tls.is_some() && has_plain {
            true => format!("{}-tls", proxy.section.name),
            false => proxy.section.name.clone(),
        };
        if proxy.is_http() {
            listener(import, proxy, (number, bind), &name);
        } else {
            tcp::listener(import, proxy, (number, bind), &name);
        }
    }
}

fn listener(import: &mut Import<'_>, proxy: &Proxy<'_>, (number, bind): (usize, Bind), name: &str) {
    let mut listener = Listener {
        name: import.listener_names.unique(name, "http"),
        listen: bind.addresses,
        protocol: "http",
        table: bind.keys,
        ..Listener::default()
    };
    let mut state = State::new(bind.tls.is_some(), bind.ports);
    if let Some(tls) = bind.tls {
        listener.table.tables.push(("tls", tls));
    }
    settings(proxy, &mut listener.table);
    if connections(import, proxy, &mut listener.table) {
        listener.routes.push(Route::closed(Path::Any));
        import.document.listeners.push(listener);
        return;
    }
    if let Some(line) = proxy.last("monitor-uri")
        && let Ok(path) = convert::path(line.word(1))
    {
        listener.routes.push(Route::respond(Path::Exact(path), 200, "OK\n"));
    }
    if proxy.section.kind == "listen" && !proxy.own("stats").is_empty() {
        let why = "pages of statistics are at the admin interface: http://127.0.0.1:9901/";
        import.notes.add(&proxy.section.at, "stats", why);
    }
    let all = Region::default();
    listener.routes.extend(rules::read(import, proxy, &all, &mut state));
    if state.response.remove.iter().any(|name| name == "server") {
        listener.table.set("server_header", "off");
    }
    if !state.is_final {
        choices(import, proxy, number, &state, &mut listener);
    }
    listener.routes.append(&mut state.tail);
    if listener.routes.is_empty() {
        listener.routes.push(Route::respond(Path::Any, 503, convert::reason(503)));
    }
    import.document.listeners.push(listener);
}

/// `use_backend` in their order, and what is behind them.
fn choices(
    import: &mut Import<'_>,
    proxy: &Proxy<'_>,
    number: usize,
    state: &State,
    listener: &mut Listener,
) {
    let acls = proxy.acls();
    for line in proxy.own("use_backend").to_vec() {
        let (_, words) = condition(line.from(2));
        let known = import.backends.get(line.word(1)).copied();
        let guards = match known {
            Some(backend) => guards(import, backend),
            None => any_guards(import),
        };
        let mut regions: Vec<Region> = Vec::new();
        let mut is_final = false;
        for case in rules::within(acls.cases(words, state.tls), &state.base) {
            let is_known = known.is_some() && (case.is_plain() || case.is_narrow && !guards);
            if is_known {
                add(case, &mut regions);
            } else if guards {
                let why = "who goes to this backend cannot be told, and it refuses requests; what \
                           it could be for answers 403";
                import.notes.security(&line.at, &line.shown(8), why);
                let region = case.wide(&state.base);
                listener.routes.push(closed(&region));
                is_final |= region == state.base;
            } else {
                let why = match known {
                    Some(_) => {
                        "this condition cannot be translated: its requests go by the rules behind \
                         it"
                    }
                    None => "there is no such backend, or it depends on the request",
                };
                import.notes.add(&line.at, &line.shown(8), why);
            }
        }
        if !import.work.take(regions.len()) {
            listener.routes.push(Route::closed(Path::Any));
            return;
        }
        if is_final {
            return;
        }
        let Some(backend) = known else { continue };
        for region in regions {
            let routes = backend_routes(import, line, (backend, &region), state);
            listener.routes.extend(routes);
        }
    }
    let all = state.base.clone();
    let last = proxy.last("default_backend");
    if let Some(line) = last.filter(|line| !import.backends.contains_key(line.word(1))) {
        return import.note(line, 2, "there is no such backend");
    }
    let target = last.and_then(|line| Some((line, *import.backends.get(line.word(1))?)));
    let own = proxy.own("server").first().map(|line| (*line, number));
    if let Some((line, backend)) = target.or(own) {
        let routes = match backend == number {
            true => proxy_routes(import, line, (backend, &all), state),
            false => backend_routes(import, line, (backend, &all), state),
        };
        listener.routes.extend(routes);
    }
}

/// Whether a backend keeps out some of the requests that come to it: other ones may not.
pub(super) fn guards(import: &Import<'_>, backend: usize) -> bool {
    const RULES: &[&str] = &["tcp-request", "redirect", "filter"];
    const EDITS: &[&str] = &["set-", "add-", "del-", "replace-", "track-", "capture"];
    let is_edit = |line: &&Line| EDITS.iter().any(|start| line.word(1).starts_with(start));
    import.proxies.get(backend).is_none_or(|proxy| {
        proxy.own("server").is_empty()
            || !proxy.own("http-request").iter().all(is_edit)
            || RULES.iter().any(|name| !proxy.own(name).is_empty())
            || proxy.refuses_of_old().is_some()
    })
}

/// The same of any backend, for those whose name depends on the request.
fn any_guards(import: &mut Import<'_>) -> bool {
    let count = import.proxies.len();
    !import.work.take(count) || import.backends.values().any(|backend| guards(import, *backend))
}

/// Adds the region of a case; those that differ by their hosts alone become one.
fn add(case: Case, regions: &mut Vec<Region>) {
    let is_like = |last: &&mut Region| {
        !last.hosts.is_empty()
            && !case.region.hosts.is_empty()
            && last.path == case.region.path
            && last.methods == case.region.methods
            && last.headers == case.region.headers
    };
    match regions.last_mut().filter(is_like) {
        Some(last) => last.hosts.extend(case.region.hosts),
        None => regions.push(case.region),
    }
}

/// The routes of a backend for a region: what its own rules answer, and its servers.
fn backend_routes(
    import: &mut Import<'_>,
    line: &Line,
    (backend, region): (usize, &Region),
    state: &State,
) -> Vec<Route> {
    let Some(proxy) = import.proxies.get(backend).cloned() else { return Vec::new() };
    let mut state = state.for_backend();
    let rejects = |line: &&Line| matches!(line.word(2), "reject" | "silent-drop");
    let reject = proxy.own("tcp-request").iter().copied().find(rejects);
    if let Some(line) = proxy.refuses_of_old().or(reject) {
        import.security(line, 3, "is not known in a backend; it answers 403");
        return vec![closed(region)];
    }
    let mut routes = rules::read(import, &proxy, region, &mut state);
    if !state.is_final {
        let left = state.base.clone();
        routes.extend(proxy_routes(import, line, (backend, &left), &state));
    }
    routes.append(&mut state.tail);
    routes
}

fn proxy_routes(
    import: &mut Import<'_>,
    line: &Line,
    (backend, region): (usize, &Region),
    state: &State,
) -> Vec<Route> {
    let mut route = region.route(false);
    let index = upstream(import, backend, "http");
    let name =
        index.and_then(|index| import.document.upstreams.get(index)).map(|own| own.name.clone());
    let Some(name) = name else {
        route.table.set("respond", convert::reason(503));
        route.table.set("status", 503_u64);
        return vec![route];
    };
    if let PathPart::Starts(start) = &region.path
        && !start.ends_with('/')
    {
        let why = "`path_prefix` takes whole segments: of `/api` it takes `/api/x`, not `/apix`";
        import.note(line, 2, why);
    }
    route.table.set("proxy", name);
    let routes = rules::push(import, line, (route, region), state);
    rules::proxied(import, routes, state)
}

/// What a frontend says of its connections.
fn settings(proxy: &Proxy<'_>, table: &mut Table) {
    const HOUR: u64 = 3_600_000;
    let client = proxy.timeout("client");
    let head = proxy.timeout("http-request").or(client);
    let keep = proxy.timeout("http-keep-alive").or(head);
    let times = [
        ("head_timeout", head, 10_000, HOUR),
        ("body_timeout", client, 30_000, HOUR),
        ("write_timeout", client, 30_000, HOUR),
        ("keepalive_timeout", keep, 75_000, 24 * HOUR),
        ("tunnel_timeout", proxy.timeout("tunnel"), 600_000, 168 * HOUR),
    ];
    for (key, time, default, most) in times {
        if let Some(time) = time.map(|time| time.min(most)).filter(|time| *time != default) {
            table.set(key, duration(time));
        }
    }
    if let Some(most) = proxy.number("maxconn").filter(|most| *most != 10_000 && *most > 0) {
        table.set("max_connections", most.min(10_000_000));
    }
    if proxy.option("abortonclose").is_some() {
        table.set("half_close", "refuse");
    }
}

/// `tcp-request connection`: lists of the listener. `true`: a rule was lost.
fn connections(import: &mut Import<'_>, proxy: &Proxy<'_>, table: &mut Table) -> bool {
    if let Some(line) = proxy.refuses_of_old() {
        import.security(line, 2, "is of old versions; the section answers 403");
        return true;
    }
    let acls = proxy.acls();
    let (mut allow, mut deny): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut accepted, mut has_limit) = (Vec::new(), false);
    for line in proxy.own("tcp-request").to_vec() {
        let (words, asked) = condition(&line.words);
        let action = words.get(2).map(String::as_str).unwrap_or_default();
        let is_reject = matches!(action, "reject" | "silent-drop");
        if action != "accept" && !is_reject {
            continue;
        }
        for case in acls.cases(asked, false) {
            let bare = Case { sources: Vec::new(), ..case.clone() };
            let is_plain = bare == Case::default();
            match (case.sources.as_slice(), is_reject) {
                ([(true, list)], true) if is_plain && accepted.is_empty() => {
                    deny.extend(list.iter().cloned());
                }
                ([(false, list)], true) if is_plain && !has_limit && accepted.is_empty() => {
                    allow.extend(list.iter().cloned());
                    has_limit = true;
                }
                ([], true) if is_plain && !accepted.is_empty() && !has_limit => {
                    allow.append(&mut accepted);
                    has_limit = true;
                }
                ([(true, list)], false) if is_plain && deny.is_empty() => {
                    accepted.extend(list.iter().cloned());
                }
                (_, false) if line.word(1) == "content" => {}
                (_, false) => {}
                (_, true) => {
                    let why = "this condition cannot be translated; the frontend answers 403";
                    import.notes.security(&line.at, &line.shown(8), why);
                    return true;
                }
            }
        }
    }
    if !allow.is_empty() {
        table.set("allow", allow);
    }
    if !deny.is_empty() {
        table.set("deny", deny);
    }
    false
}
