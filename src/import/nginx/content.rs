//! What answers in a location: a server or files.

use super::super::convert::{self, shown};
use super::super::document::{Path, Route, Value};
use super::super::regex;
use super::Import;
use super::location::{self, Match};
use super::parse::Directive;
use super::rewrite::PathRewrite;
use super::scope::Scope;
use super::template::{Part, View, parts};
use super::upstream::{Origin, settle, upstream};
use super::{access, dress};

/// Directives that answer by something that Ringway has not.
const ELSEWHERE: &[&str] = &[
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "memcached_pass",
    "stub_status",
    "empty_gif",
    "content_by_lua_block",
    "content_by_lua",
    "content_by_lua_file",
    "js_content",
    "perl",
    "api",
    "status",
    "dav_methods",
    "hls",
    "mp4",
    "flv",
];

/// The routes of a location whose rules have not answered. `path` is that of its route.
pub(super) fn routes<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    asked: &Match,
    path: Path,
    rewrites: &[PathRewrite],
) -> Vec<Route> {
    let own = |name: &&str| scope.own(name).last().copied();
    if let Some(directive) = ELSEWHERE.iter().find_map(own) {
        let mut route = Route::respond(path, 501, convert::reason(501));
        route.comment = Some(format!("Not translated: {}.", directive.name));
        return vec![route];
    }
    if let Some(pass) = scope.own("proxy_pass").last().or_else(|| scope.own("grpc_pass").last()) {
        return proxy(import, view, scope, asked, (path, pass), rewrites);
    }
    files(import, view, scope, asked, path, rewrites)
}

/// Where a `proxy_pass` leads.
struct Target {
    tls: bool,
    grpc: bool,
    address: String,
    uri: Option<String>,
}

fn target(scope: &Scope<'_>, pass: &Directive) -> Option<Target> {
    let text = substituted(scope, pass.arg(0));
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None if pass.name == "grpc_pass" => ("grpc", text.as_str()),
        None => return None,
    };
    let (tls, grpc) = match scheme {
        "http" => (false, false),
        "https" => (true, false),
        "grpc" => (false, true),
        "grpcs" => (true, true),
        _ => return None,
    };
    let (address, uri) = match rest.strip_prefix("unix:") {
        Some(path) => match path.split_once(':') {
            Some((path, uri)) => (format!("unix:{path}"), Some(uri.to_owned())),
            None => (format!("unix:{path}"), None),
        },
        None => match rest.find(['/', '$', '?']) {
            Some(at) => {
                let (address, uri) = rest.split_at_checked(at)?;
                (address.to_owned(), Some(uri.to_owned()))
            }
            None => (rest.to_owned(), None),
        },
    };
    // The path as the client sent it.
    let is_whole = |uri: &String| {
        matches!(uri.as_str(), "$request_uri" | "$uri$is_args$args" | "$uri" | "$document_uri")
    };
    Some(Target { tls, grpc, address, uri: uri.filter(|uri| !is_whole(uri)) })
}

/// A text with the values of variables that were `set` to a fixed one.
fn substituted(scope: &Scope<'_>, text: &str) -> String {
    let mut found = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => found.push_str(text),
            Part::Variable(name) => {
                let is_own = |set: &&&Directive| set.arg(0).strip_prefix('$') == Some(name);
                match scope.all("set").iter().rfind(is_own) {
                    Some(set) if !set.arg(1).contains('$') => found.push_str(set.arg(1)),
                    Some(_) | None => found.push_str(&format!("${name}")),
                }
            }
        }
    }
    found
}

/// Names the server of a location, if it is the first one that leads there.
pub(super) fn name_server(import: &mut Import<'_>, scope: &Scope<'_>, hint: &str) {
    let Some(pass) = scope.own("proxy_pass").last().copied() else { return };
    let Some(Target { tls, grpc, address, .. }) = target(scope, pass) else { return };
    let origin = Origin { protocol: "http", tls, grpc, target: address };
    // What is wrong with it is told where the location is translated.
    let _named = upstream(import, origin, hint).is_ok();
}

fn unsupported(path: Path, directive: &Directive) -> Vec<Route> {
    let mut route = Route::respond(path, 501, convert::reason(501));
    route.comment = Some(format!("Not translated: {}.", directive.shown()));
    vec![route]
}

fn proxy<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    asked: &Match,
    (path, pass): (Path, &Directive),
    rewrites: &[PathRewrite],
) -> Vec<Route> {
    let Some(target) = target(scope, pass) else {
        let why = "this URL is not fixed; name an upstream. The route answers 501";
        import.note(pass, why);
        return unsupported(path, pass);
    };
    let origin = Origin {
        protocol: "http",
        tls: target.tls,
        grpc: target.grpc,
        target: target.address.clone(),
    };
    let hint = asked.hint();
    let index = match upstream(import, origin, &hint) {
        Ok(index) => index,
        Err(why) => {
            import.note(pass, format!("{why}. The route answers 501"));
            return unsupported(path, pass);
        }
    };
    settle(import, index, scope);
    let mut route = Route { path, ..Route::default() };
    let name = import.document.upstreams.get(index).map(|one| one.name.clone());
    route.table.set("proxy", name.unwrap_or_default());
    if let Some(uri) = target.uri.filter(|_| rewrites.is_empty()) {
        rewritten(import, pass, asked, &mut route, &uri);
    }
    if dress::content(import, view, scope, &mut route) {
        return vec![route];
    }
    for directive in scope.all("error_page").to_vec() {
        import.note(directive, "failures of a proxy have pages of Ringway's own");
    }
    let header = if target.grpc { "grpc_set_header" } else { "proxy_set_header" };
    let mut edits = std::mem::take(&mut route.request);
    let passes_host = dress::requests(import, view, scope, header, &mut edits);
    route.request = edits;
    if !passes_host {
        own_host(import, pass, &target.address, index);
    }
    with_rewrites(route, asked, rewrites)
}

/// Without a `proxy_set_header Host`, servers get their own name.
fn own_host(import: &mut Import<'_>, pass: &Directive, address: &str, index: usize) {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let is_name = convert::is_tls_name(host) && host.contains('.');
    let Some(upstream) = import.document.upstreams.get_mut(index) else { return };
    if is_name {
        return upstream.table.set("host_header", address.to_ascii_lowercase());
    }
    let why = "servers get the client's field `host`, and not their own name: see `host_header`";
    import.note(pass, why);
}

/// Puts the path of a `proxy_pass` in the place of that of the location.
fn rewritten(
    import: &mut Import<'_>,
    pass: &Directive,
    asked: &Match,
    route: &mut Route,
    uri: &str,
) {
    let bare = uri.trim_end_matches("$is_args$args").trim_end_matches("?$args");
    let groups = super::rewrite::groups_of(&route.path);
    let is_known = parts(bare).iter().all(|part| match part {
        Part::Text(text) => *text != "$",
        Part::Variable(name) => name.parse().is_ok_and(|n: usize| (1..=groups).contains(&n)),
    });
    if bare.contains('?') || !is_known || !bare.starts_with('/') {
        let why =
            format!("`{}` cannot be put in the place of the path; it passes as it is", shown(uri));
        return import.note(pass, why);
    }
    match asked {
        Match::Exact(own) if own == bare => {}
        Match::Prefix { text, .. } if text == bare => {}
        Match::Exact(own) => {
            route.path = Path::Regex(format!("^{}$", regex::literal(own)));
            route.table.set("path_rewrite", bare);
        }
        Match::Prefix { text, .. } => match (&route.path, convert::path(bare)) {
            (Path::Regex(_), _) => {
                route.path = Path::Regex(format!("^{}(.*)", regex::literal(text)));
                route.table.set("path_rewrite", format!("{bare}$1"));
            }
            (Path::Any, Ok(bare)) => {
                route.path = Path::Prefix("/".to_owned());
                route.table.set("prefix_rewrite", bare);
            }
            (_, Ok(bare)) => route.table.set("prefix_rewrite", bare),
            (_, Err(why)) => import.note(pass, why),
        },
        Match::Regex(_) => route.table.set("path_rewrite", bare),
    }
}

/// A route with those for the paths that a `rewrite` changes before it.
fn with_rewrites(route: Route, asked: &Match, rewrites: &[PathRewrite]) -> Vec<Route> {
    // `rewrite ^/api/(.*)$ /$1 break` in `location /api/` changes the prefix alone.
    if let (Match::Prefix { text, .. }, [only], Path::Prefix(_)) = (asked, rewrites, &route.path)
        && let Some(new) = only.target.strip_suffix("$1")
        && new.starts_with('/')
        && !new.contains('$')
        && [format!("^{text}(.*)$"), format!("^{text}(.*)")].contains(&only.regex.replace('\\', ""))
        && let Ok(new) = convert::path(new)
    {
        let mut route = route;
        route.table.set("prefix_rewrite", new);
        return vec![route];
    }
    let changed = rewrites.iter().map(|rewrite| {
        let mut route = route.clone();
        route.path = Path::Regex(rewrite.regex.clone());
        route.table.set("path_rewrite", rewrite.target.as_str());
        route
    });
    let mut routes: Vec<Route> = changed.collect();
    routes.push(route);
    routes
}

/// The folder of a location, and what stands in the place of its path.
fn folder(
    import: &mut Import<'_>,
    scope: &Scope<'_>,
    asked: &Match,
    route: &mut Route,
) -> Option<()> {
    let alias = scope.own("alias").last().copied();
    let root = scope.last("root");
    let directive = alias.or(root)?;
    let path = directive.arg(0);
    let wrong = |import: &mut Import<'_>| {
        import.note(directive, "this folder is not fixed. The route answers 501");
        None
    };
    let Some(_) = alias else {
        if path.contains('$') || path.is_empty() {
            return wrong(import);
        }
        route.table.set("files", trimmed(path));
        return Some(());
    };
    match asked {
        Match::Exact(_) => {
            // One file.
            let (folder, file) = path.rsplit_once('/').filter(|_| !path.contains('$'))?;
            let Ok(file) = convert::path(&format!("/{file}")) else { return wrong(import) };
            route.table.set("files", trimmed(folder));
            route.table.set("try_files", Value::List(vec![file.into()]));
        }
        Match::Prefix { .. } if path.contains('$') => return wrong(import),
        Match::Prefix { text, .. } => {
            route.table.set("files", trimmed(path));
            match &route.path {
                Path::Regex(_) => {
                    let end = if text.ends_with('/') { "(.*)" } else { "/?(.*)" };
                    route.path = Path::Regex(format!("^{}{end}", regex::literal(text)));
                    route.table.set("path_rewrite", "/$1");
                }
                Path::Any => {}
                Path::Prefix(_) | Path::Exact(_) => route.table.set("prefix_rewrite", "/"),
            }
        }
        Match::Regex(_) => {
            let (before, _) = path.split_once('$').unwrap_or((path, ""));
            let at = before.rfind('/')?;
            let (folder, rest) = path.split_at_checked(at)?;
            let groups = super::rewrite::groups_of(&route.path);
            let is_group = |part: &Part<'_>| match part {
                Part::Text(text) => *text != "$",
                Part::Variable(name) => {
                    name.parse().is_ok_and(|n: usize| (1..=groups).contains(&n))
                }
            };
            if !parts(rest).iter().all(is_group) {
                return wrong(import);
            }
            route.table.set("files", trimmed(folder));
            route.table.set("path_rewrite", rest);
        }
    }
    Some(())
}

/// A folder without the `/` at its end.
fn trimmed(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

fn files<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    asked: &Match,
    path: Path,
    rewrites: &[PathRewrite],
) -> Vec<Route> {
    let mut route = Route { path: path.clone(), ..Route::default() };
    if folder(import, scope, asked, &mut route).is_none() {
        let Some(root) = scope.last("alias").or_else(|| scope.last("root")) else {
            // nginx has a folder of its own there, with its page of welcome.
            return vec![Route::respond(path, 404, convert::reason(404))];
        };
        return unsupported(path, root);
    }
    if let Some(root) = scope.last("root").filter(|_| !import.told.links) {
        import.told.links = true;
        let why = "symbolic links and names with a dot first are not given, unless `symlinks` and \
                   `dot_files` say so";
        import.note(root, why);
    }
    index(import, scope, &mut route);
    if scope.is_on("autoindex") {
        route.table.set("listing", true);
    }
    let mut codings: Vec<String> = Vec::new();
    for (name, coding) in [("brotli_static", "br"), ("gzip_static", "gzip")] {
        if matches!(scope.word(name), "on" | "always") {
            codings.push(coding.to_owned());
        }
    }
    if !codings.is_empty() {
        route.table.set("precompressed", codings);
    }
    let kind = scope.word("default_type");
    if !matches!(kind, "" | "application/octet-stream") && kind.contains('/') {
        route.table.set("default_type", kind);
    }
    if let Some(tried) = scope.own("try_files").last().copied()
        && let Some(routes) = tries(import, view, (scope, asked), (tried, &mut route), rewrites)
    {
        return routes;
    }
    error_pages(import, scope, &mut route);
    if dress::content(import, view, scope, &mut route) {
        return vec![route];
    }
    with_rewrites(route, asked, rewrites)
}

fn index(import: &mut Import<'_>, scope: &Scope<'_>, route: &mut Route) {
    let Some(directive) = scope.last("index") else { return };
    let is_plain = |name: &&String| !name.contains(['/', '$']) && !name.ends_with(".php");
    let names: Vec<String> = directive.args.iter().filter(is_plain).cloned().collect();
    if names.len() < directive.args.len() {
        import.note(directive, "only names of files without variables and PHP are kept");
    }
    if !names.is_empty() && names != ["index.html"] {
        route.table.set("index", names);
    }
}

/// `try_files`. Some: other routes than files answer.
fn tries<'d>(
    import: &mut Import<'d>,
    view: &View,
    (scope, asked): (&Scope<'d>, &Match),
    (directive, route): (&Directive, &mut Route),
    rewrites: &[PathRewrite],
) -> Option<Vec<Route>> {
    let mut list: Vec<Value> = Vec::new();
    for word in &directive.args {
        if word.starts_with('@') {
            let mut routes = named(import, view, asked, (directive, word, &route.path), rewrites)?;
            access::guard_again(import, scope, directive, &mut routes);
            return Some(routes);
        }
        let bare = word.split('?').next().unwrap_or_default();
        let status = word.strip_prefix('=').and_then(convert::digits);
        let entry = match bare.strip_prefix("$uri") {
            Some(rest) if !rest.contains('$') => Some(format!("$path{rest}")),
            Some(_) => None,
            None if status.is_some_and(|status| (400..=599).contains(&status)) => {
                Some(word.clone())
            }
            None if bare.ends_with(".php") || bare.contains('$') || bare.ends_with('/') => None,
            None => convert::path(bare).ok(),
        };
        match entry {
            Some(entry) => list.push(entry.into()),
            None => {
                let why = format!("`{}` cannot be tried, and was left out", shown(word));
                import.note(directive, why);
            }
        }
    }
    if list.is_empty() {
        return None;
    }
    let usual: [Value; 2] = ["$path".into(), "$path/".into()];
    // nginx answers 403 for a folder without an index, and so does Ringway by default.
    let rest = list.strip_prefix(usual.as_slice());
    if !rest.is_some_and(|rest| rest.is_empty() || rest == [Value::from("=404")]) {
        route.table.set("try_files", Value::List(list));
    }
    None
}

/// A named location that `try_files` ends with: what it does is for all requests then.
fn named<'d>(
    import: &mut Import<'d>,
    view: &View,
    asked: &Match,
    (directive, word, path): (&Directive, &str, &Path),
    rewrites: &[PathRewrite],
) -> Option<Vec<Route>> {
    let Some((at, scope)) = import.named_locations.get(word).cloned() else {
        import.note(directive, format!("there is no location `{}`", shown(word)));
        return None;
    };
    if scope.own("proxy_pass").is_empty() && scope.own("grpc_pass").is_empty() {
        let why = format!("`{}` is no proxy; the route answers 501", shown(word));
        import.note(directive, why);
        return Some(unsupported(path.clone(), directive));
    }
    let why = format!(
        "files are not tried before a server: `{}` gets all requests; add a route with `files` for \
         the folders that have some",
        shown(word)
    );
    import.note(directive, why);
    Some(location::answered(import, view, (at, &scope, asked), path, rewrites))
}

/// `error_page`: files for errors of files.
fn error_pages(import: &mut Import<'_>, scope: &Scope<'_>, route: &mut Route) {
    let mut pages: Vec<(String, Value)> = Vec::new();
    for directive in scope.all("error_page").to_vec() {
        let Some((page, statuses)) = directive.args.split_last() else { continue };
        let changes = statuses.iter().any(|status| status.starts_with('='));
        let Some(page) = convert::path(page).ok().filter(|_| !changes && !page.contains('$'))
        else {
            // `error_page 404 =200 /index.html` is another way to write `try_files`.
            let is_app = statuses.first().is_some_and(|first| first == "404")
                && statuses.len() == 2
                && page.ends_with(".html")
                && !route.table.has("try_files");
            match convert::path(page).ok().filter(|_| is_app) {
                Some(page) => {
                    let list = ["$path".into(), "$path/".into(), page.into()];
                    route.table.set("try_files", Value::List(list.to_vec()));
                }
                None => import.note(directive, "an error page is a fixed file of the folder"),
            }
            continue;
        };
        for status in statuses
            .iter()
            .filter(|status| matches!(status.as_str(), "403" | "404" | "500" | "503"))
        {
            if pages.iter().all(|(own, _)| own != status) {
                pages.push((status.clone(), page.clone().into()));
            }
        }
    }
    if !pages.is_empty() {
        route.table.set("error_pages", Value::Pairs(pages));
    }
}
