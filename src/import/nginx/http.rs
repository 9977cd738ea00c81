//! `http`: servers become listeners with routes.

use std::collections::{HashMap, HashSet};

use super::super::convert::{self, digits, duration, nginx_time};
use super::super::document::{Listener, Path, Route, Table};
use super::super::network::Network;
use super::Import;
use super::listen::{Address, addresses, without_overlaps};
use super::location;
use super::parse::Directive;
use super::rewrite::rules;
use super::scope::Scope;
use super::secure::{self, Certificates};
use super::site::{Group, Site, order, with_hosts};
use super::template::View;
use super::{content, known, logs, words};

/// Translates the directives of an `http` block.
pub(super) fn translate<'d>(import: &mut Import<'d>, http: &'d [Directive]) {
    for directive in http {
        let name = directive.arg(0);
        let zone = || {
            let zone = directive.args.iter().find_map(|arg| arg.strip_prefix("zone="));
            zone.and_then(|zone| zone.split(':').next()).unwrap_or_default()
        };
        match directive.name.as_str() {
            "upstream" => {
                import.groups.insert(name, directive);
            }
            "limit_req_zone" => {
                import.request_zones.insert(zone(), directive);
            }
            "limit_conn_zone" => {
                import.connection_zones.insert(zone(), directive);
            }
            "log_format" => {
                import.log_formats.insert(name, directive);
            }
            "map" => map(import, directive),
            _ => {}
        }
    }
    import.is_closed = known::has_closing(http);
    let scope = Scope::default().within(http);
    let mut sites = Vec::new();
    let outer = words(http);
    for server in scope.own("server").to_vec() {
        sites.push(Site::new(import, server, &scope, outer));
    }
    let listens: Vec<_> = sites.iter().map(|site| site.listens.clone()).collect();
    let (addresses, dropped) = without_overlaps(addresses(&listens));
    let mut refusing: HashMap<usize, bool> = HashMap::new();
    for address in dropped {
        let Some(first) = address.servers.first() else { continue };
        if let Some(site) = sites.get(*first) {
            let why = format!(
                "`{}` was left out: another server listens on all addresses of this port",
                address.listen.address
            );
            let refuses = || location::refuses_within(&site.scope, site.at);
            match *refusing.entry(*first).or_insert_with(refuses) {
                true => import.security(site.at, format!("{why}, which gets its requests")),
                false => import.note(site.at, why),
            }
        }
    }
    for group in joined(addresses) {
        listener(import, &sites, &group);
    }
    import.finish_part();
}

/// A variable of `map` is not there, but for that of WebSockets, which need none.
fn map(import: &mut Import<'_>, directive: &Directive) {
    if directive.arg(0) != "$http_upgrade" {
        let why = "there is no map; write a route for each case";
        import.note(directive, why);
    }
}

/// Addresses with the same servers become one listener.
fn joined(addresses: Vec<Address>) -> Vec<Vec<Address>> {
    let mut groups: Vec<Vec<Address>> = Vec::new();
    let mut known: HashMap<(bool, bool, Vec<usize>, usize), usize> = HashMap::new();
    for address in addresses {
        let listen = &address.listen;
        let key = (listen.tls, listen.proxy_protocol, address.servers.clone(), address.default);
        let next = groups.len();
        let place = *known.entry(key).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.push(address),
            None => groups.push(vec![address]),
        }
    }
    groups
}

/// Makes a listener of addresses that have the same servers.
fn listener<'d>(import: &mut Import<'d>, all: &[Site<'d>], group: &[Address]) {
    let Some(first) = group.first() else { return };
    let mut sites: Vec<(usize, &Site<'d>)> =
        first.servers.iter().filter_map(|number| Some((*number, all.get(*number)?))).collect();
    sites.sort_by_key(|(number, _)| *number != first.default);
    let Some((_, default)) = sites.first().copied() else { return };
    let tls = first.listen.tls;
    let mut listener = Listener {
        name: import.listener_names.unique(&secure::name(tls, first.listen.port), "http"),
        listen: group.iter().map(|address| address.listen.address.clone()).collect(),
        protocol: "http",
        ..Listener::default()
    };
    if first.listen.proxy_protocol {
        listener.table.set("accept_proxy_protocol", true);
    }
    let mut certificates = Certificates::default();
    if tls {
        match secure::table(import, &sites) {
            Some((table, found)) => {
                listener.table.tables.push(("tls", table));
                certificates = found;
            }
            None => {
                let why = "it speaks TLS and has no certificate, so it was left out";
                return import.note(default.at, why);
            }
        }
    }
    settings(import, &sites, &mut listener.table);
    listener.table.tables.extend(logs::table(import, &sites).map(|log| ("access_log", log)));
    let view = View {
        tls,
        ports: group.iter().map(|address| address.listen.port).collect(),
        ..View::default()
    };
    let names: Vec<(usize, &[String])> =
        sites.iter().map(|(number, site)| (*number, site.names.as_slice())).collect();
    let (groups, has_lost) = groups(&sites, &names, (default, first.default));
    let is_alone = groups.len() == 1;
    let names = default.names.join(", ");
    listener.comment = (is_alone && !names.is_empty()).then(|| convert::shown(&names));
    for one in groups {
        let Some(site) = all.get(one.site) else { continue };
        let view = View {
            server_name: site.first_name(),
            is_default: one.hosts.is_empty(),
            needs_certificate: certificates.needed_by.contains(&one.site),
            ..view.clone()
        };
        let mut routes = match certificates.closed.contains(&one.site) {
            true => vec![Route::closed(Path::Any)],
            false => site_routes(import, &view, site, &one.hosts),
        };
        tunnel(site, &mut listener.table);
        if let Some(first) = routes.first_mut().filter(|_| !is_alone && one.hosts.is_empty()) {
            comment_default(first, site);
        }
        let routes = with_hosts(routes, &one.hosts);
        let behind = behind(&routes, &one.hosts, view.needs_certificate);
        listener.routes.extend(routes.into_iter().chain(behind));
    }
    if has_lost {
        listener.routes.push(Route::closed(Path::Any));
    }
    if listener.routes.is_empty() {
        listener.routes.push(Route::respond(Path::Any, 404, convert::reason(404)));
    }
    import.document.listeners.push(listener);
}

/// The order in which the servers of a listener are asked, and whether hosts of some cannot be told
/// apart: these must not go to the default server, which then has its own names alone.
fn groups(
    sites: &[(usize, &Site<'_>)],
    names: &[(usize, &[String])],
    (default, number): (&Site<'_>, usize),
) -> (Vec<Group>, bool) {
    let mut groups = order(names, number);
    let has_lost = sites.iter().any(|(other, site)| site.is_lost && *other != number);
    if let Some(last) = groups.last_mut().filter(|_| has_lost) {
        last.hosts.clone_from(&default.names);
    }
    groups.retain(|group| !has_lost || !group.hosts.is_empty());
    (groups, has_lost)
}

/// A route that keeps what no route of a server takes from the servers behind it.
fn behind(routes: &[Route], hosts: &[String], needs_certificate: bool) -> Option<Route> {
    let is_for_all = |route: &&Route| {
        let is_any = match &route.path {
            Path::Any => true,
            Path::Prefix(prefix) => prefix == "/",
            Path::Exact(_) | Path::Regex(_) => false,
        };
        is_any
            && route.methods.is_empty()
            && route.headers.is_empty()
            && route.table.find_table("client_certificate").is_none()
    };
    let covered: HashSet<&String> =
        routes.iter().filter(is_for_all).flat_map(|route| &route.hosts).collect();
    if routes.is_empty() || hosts.iter().all(|host| covered.contains(host)) {
        return None;
    }
    let status = if needs_certificate { 403 } else { 404 };
    let route = Route::respond(Path::Any, status, convert::reason(status));
    let comment = match needs_certificate {
        true => "For clients without a certificate.",
        false => "Nothing else of this server goes to the ones below.",
    };
    Some(Route { hosts: hosts.to_vec(), comment: Some(comment.to_owned()), ..route })
}

/// Says which server the first route of a default one is of.
fn comment_default(route: &mut Route, site: &Site<'_>) {
    let hosts = match site.names.is_empty() {
        true => "All other hosts.".to_owned(),
        false => format!("{}, and all other hosts.", convert::shown(&site.names.join(", "))),
    };
    route.comment = Some(match route.comment.take() {
        None => hosts,
        Some(comment) => format!("{hosts} {comment}"),
    });
}

/// The routes of a server, without its hosts.
fn site_routes<'d>(
    import: &mut Import<'d>,
    view: &View,
    site: &Site<'d>,
    hosts: &[String],
) -> Vec<Route> {
    let block = site.at.inner();
    if import.is_closed || known::has_closing(block) {
        return vec![Route::closed(Path::Any)];
    }
    // Clients that get no handshake need no route.
    if site.scope.is_on("ssl_reject_handshake") && view.tls {
        return Vec::new();
    }
    let mut rules = rules(import, view, &site.scope, block, (&Path::Any, hosts));
    if rules.is_lost {
        return vec![Route::closed(Path::Any)];
    }
    let mut routes = std::mem::take(&mut rules.before);
    if rules.is_final {
        return routes;
    }
    let Some((mut own, has_root)) =
        location::routes(import, view, &site.scope, (block, site.outer + hosts.len()))
    else {
        return vec![Route::closed(Path::Any)];
    };
    if !has_root {
        own.extend(rest(import, view, site, &rules.rewrites));
    }
    for route in &mut own {
        if route.hosts.is_empty() {
            route.hosts.extend(rules.hosts.iter().cloned());
        }
        // A rule before answers for the others.
        if route.hosts.is_empty() && !rules.covered.is_empty() && rules.covered.len() <= 64 {
            let left = hosts.iter().filter(|host| !rules.covered.contains(host)).cloned();
            route.hosts = left.collect();
        }
        if route.methods.is_empty() {
            route.methods.extend(rules.methods.iter().cloned());
        }
    }
    routes.extend(own);
    routes.append(&mut rules.after);
    with_slashes(site, routes)
}

/// What a server answers where no location is asked: files, or nothing.
fn rest<'d>(
    import: &mut Import<'d>,
    view: &View,
    site: &Site<'d>,
    rewrites: &[super::rewrite::PathRewrite],
) -> Vec<Route> {
    let asked = location::Match::Prefix { text: "/".to_owned(), no_regex: false };
    if site.scope.last("root").is_none() {
        // The last routes of a listener may leave requests without an answer, which is 404, too.
        return match view.is_default {
            true => Vec::new(),
            false => vec![Route::respond(Path::Any, 404, convert::reason(404))],
        };
    }
    content::routes(import, view, &site.scope, &asked, Path::Any, rewrites)
}

/// What keeps requests out of a route: who may use it, or that all are refused.
type Guards<'r> = (bool, &'r [String], &'r [String], Option<&'r Table>);

/// What keeps requests out of a route. A rate lets everybody in.
fn guards(route: &Route) -> Guards<'_> {
    let is_answer = route.table.has("respond") && route.table.has("status");
    (is_answer, &route.allow, &route.deny, route.table.find_table("auth"))
}

/// nginx takes `//` and `%2F` for `/` when it looks for a location, and Ringway does not. Where a
/// server behind a route with other guards could do so, too, such paths would pass by a guarded
/// route.
fn with_slashes(site: &Site<'_>, mut routes: Vec<Route>) -> Vec<Route> {
    let is_guarded = |route: &&Route| route.path != Path::Any && guards(route) != Guards::default();
    let proxies = || routes.iter().filter(|route| route.table.has("proxy")).map(guards);
    let is_bypassed = proxies().next().is_some_and(|first| {
        let mut guarded = routes.iter().filter(is_guarded).map(guards).peekable();
        let has_guarded = guarded.peek().is_some();
        guarded.any(|own| own != first) || has_guarded && proxies().any(|own| own != first)
    });
    if is_bypassed {
        let merges = site.scope.word("merge_slashes") != "off";
        let regex = if merges { "//|%2F" } else { "%2F" };
        let mut guard = Route::respond(Path::Regex(regex.to_owned()), 404, convert::reason(404));
        let comment = "nginx reads these as `/`. Servers may, too, so that such a path would pass \
                       by the\nroutes below that guard one.";
        guard.comment = Some(comment.to_owned());
        let first = routes.iter().position(|route| !route.table.has("redirect"));
        routes.insert(first.unwrap_or_default(), guard);
    }
    routes
}

/// What the servers of a listener say of its connections. Where they differ, the default server's
/// holds.
fn settings(import: &mut Import<'_>, sites: &[(usize, &Site<'_>)], table: &mut Table) {
    let Some((_, first)) = sites.first() else { return };
    let times = [
        ("client_header_timeout", "head_timeout", 10_000, 3_600_000),
        ("client_body_timeout", "body_timeout", 30_000, 3_600_000),
        ("send_timeout", "write_timeout", 30_000, 3_600_000),
        ("keepalive_timeout", "keepalive_timeout", 75_000, 86_400_000),
    ];
    for (name, key, default, most) in times {
        let Some(directive) = first.scope.last(name) else { continue };
        match nginx_time(directive.arg(0)) {
            Some(0) if key == "keepalive_timeout" => table.set("keepalive_requests", 1_u64),
            Some(time) if (1..=most).contains(&time) => {
                if time != default {
                    table.set(key, duration(time));
                }
            }
            Some(_) | None => import.note(directive, "this time is out of Ringway's range"),
        }
    }
    let requests = first.scope.last("keepalive_requests").and_then(|one| digits(one.arg(0)));
    if let Some(requests) = requests.filter(|requests| *requests > 0 && *requests != 10_000) {
        table.set("keepalive_requests", requests.min(4_294_967_295));
    }
    if first.scope.is_on("underscores_in_headers") {
        table.set("underscore_headers", "pass");
    }
    trusted(import, sites, table);
    connections(import, sites, table);
}

/// Whether two servers say the same. What both take over is the same without a look at it.
fn is_same(one: &[&Directive], other: &[&Directive]) -> bool {
    let is_shared = |(a, b): (&&Directive, &&Directive)| std::ptr::eq(*a, *b);
    one.len() == other.len()
        && (one.first().zip(other.first()).is_some_and(is_shared)
            || one.iter().zip(other).all(|(a, b)| a.args == b.args))
}

/// `set_real_ip_from`: who is believed about the client.
fn trusted(import: &mut Import<'_>, sites: &[(usize, &Site<'_>)], table: &mut Table) {
    let Some((_, first)) = sites.first() else { return };
    let list = first.scope.all("set_real_ip_from");
    let own: Vec<String> = list.iter().map(|directive| directive.arg(0).to_owned()).collect();
    let differs =
        |(_, site): &&(usize, &Site<'_>)| !is_same(site.scope.all("set_real_ip_from"), list);
    if let Some((_, other)) = sites.iter().find(differs) {
        let differs =
            other.scope.last("set_real_ip_from").or_else(|| first.scope.last("set_real_ip_from"));
        if let Some(directive) = differs {
            let why = "servers of one address trust different proxies; a listener has one list, so \
                       nobody is trusted";
            import.security(directive, why);
        }
        return;
    }
    let Some(directive) = first.scope.last("set_real_ip_from") else { return };
    if first.scope.word("real_ip_header") == "proxy_protocol" {
        return;
    }
    let mut networks: Vec<String> = Vec::new();
    for text in own {
        match Network::parse(&text).map(|network| network.to_string()) {
            Some(network) => networks.push(network),
            None if text == "unix:" => networks.push("unix".to_owned()),
            None => {
                let why = format!("`{}` is no network, and is not trusted", convert::shown(&text));
                import.note(directive, why);
            }
        }
    }
    if !first.scope.word("real_ip_header").eq_ignore_ascii_case("x-forwarded-for") {
        let why = "the client is taken from `x-forwarded-for`, whatever `real_ip_header` says: \
                   make sure that these proxies set it";
        import.security(directive, why);
    }
    if !networks.is_empty() {
        table.set("trusted_proxies", networks);
    }
}

/// `limit_conn` by address of all servers of a listener.
fn connections(import: &mut Import<'_>, sites: &[(usize, &Site<'_>)], table: &mut Table) {
    let Some((_, first)) = sites.first() else { return };
    let common = first.scope.all("limit_conn").to_vec();
    if !sites.iter().all(|(_, site)| is_same(site.scope.all("limit_conn"), &common)) {
        for directive in sites.iter().flat_map(|(_, site)| site.scope.all("limit_conn").to_vec()) {
            let why = "connections are bounded by listener (`source_connections_max`), and servers \
                       of this one differ; left out";
            import.security(directive, why);
        }
        return;
    }
    for directive in common {
        let zone = import.connection_zones.get(directive.arg(0)).copied();
        let key = zone.map(|zone| zone.arg(0)).unwrap_or_default();
        let most = digits(directive.arg(1)).filter(|most| (1..=1_000_000).contains(most));
        match most.filter(|_| matches!(key, "$binary_remote_addr" | "$remote_addr")) {
            Some(most) => table.set("source_connections_max", most),
            None => import.security(directive, "only connections by address are bounded; left out"),
        }
    }
}

/// How long WebSockets may be idle: as long as the servers of locations that upgrade.
fn tunnel(site: &Site<'_>, table: &mut Table) {
    let mut longest = 0;
    let mut blocks: Vec<(Scope<'_>, &[Directive])> = vec![(site.scope.clone(), site.at.inner())];
    while let Some((scope, block)) = blocks.pop() {
        let upgrades = scope
            .all("proxy_set_header")
            .iter()
            .any(|one| one.arg(0).eq_ignore_ascii_case("upgrade"));
        if upgrades && let Some(time) = scope.last("proxy_read_timeout") {
            longest = longest.max(nginx_time(time.arg(0)).unwrap_or_default());
        }
        for inner in block.iter().filter(|one| one.name == "location") {
            blocks.push((scope.within(inner.inner()), inner.inner()));
        }
    }
    if longest > 600_000 && !table.has("tunnel_timeout") {
        table.set("tunnel_timeout", duration(longest.min(604_800_000)));
    }
}
