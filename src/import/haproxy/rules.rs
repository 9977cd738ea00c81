//! What the rules of a frontend of HTTP and its backends come to: routes, restrictions, edits.

use super::super::convert;
use super::super::document::{Edits, Path, Route, Value};
use super::super::notes::Place;
use super::Import;
use super::acl::{Case, condition};
use super::edits::{self, Replace, template};
use super::limits::{LIMITS_MAX, Limit, closed, restricted};
use super::parse::Line;
use super::proxy::Proxy;
use super::region::{Meet, Region};

/// Actions of `http-request` that Ringway needs no counterpart of, and those that it has not.
const NEEDLESS: &[&str] = &[
    "capture",
    "disable-l7-retry",
    "early-hint",
    "normalize-uri",
    "sc-inc-gpc",
    "sc-inc-gpc0",
    "set-log-level",
    "set-mark",
    "set-nice",
    "set-tos",
    "set-var",
    "track-sc0",
    "track-sc1",
    "track-sc2",
    "unset-var",
    "wait-for-body",
];
const ABSENT: &[&str] = &[
    "cache-use",
    "do-resolve",
    "replace-uri",
    "replace-value",
    "set-method",
    "set-pathq",
    "set-query",
    "set-src",
    "set-timeout",
    "set-uri",
];

/// What the rules come to that were read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) tls: bool,
    pub(super) ports: Vec<u16>,
    limits: Vec<Limit>,
    pub(super) request: Edits,
    pub(super) response: Edits,
    replace: Vec<Replace>,
    /// More requests than the first number in so many milliseconds are refused, as a rule says.
    rate: Option<(u64, u64, Place)>,
    compress: bool,
    /// A rule for all requests has answered.
    pub(super) is_final: bool,
    /// What rules answer, while they are read.
    routes: Vec<Route>,
    /// The requests that are left.
    pub(super) base: Region,
    /// What answers those that are not, behind all other routes.
    pub(super) tail: Vec<Route>,
    /// The defaults whose rules were read already, by their line.
    from: Option<usize>,
}

impl State {
    /// Before the first rule of a listener.
    pub(super) fn new(tls: bool, ports: Vec<u16>) -> Self {
        Self { tls, ports, ..Self::default() }
    }

    /// For the rules of a backend.
    pub(super) fn for_backend(&self) -> Self {
        let mut state = self.clone();
        state.tail.clear();
        state
    }
}

/// Reads the `http-request`, `redirect` and `http-response` rules of a section, for requests of a
/// region, and gives the routes of those that answer.
pub(super) fn read(
    import: &mut Import<'_>,
    proxy: &Proxy<'_>,
    base: &Region,
    state: &mut State,
) -> Vec<Route> {
    state.base.clone_from(base);
    // A backend has the rules of the defaults that its frontend has asked already.
    let is_again = proxy.from.is_some() && proxy.from == state.from;
    state.from = proxy.from;
    let is_own = |line: &&&Line| !is_again || line.at.line > proxy.section.at.line;
    let mut lines: Vec<&Line> = proxy.own("http-request").iter().filter(is_own).copied().collect();
    lines.extend(proxy.own("redirect"));
    state.compress |= proxy.all("compression").iter().any(|line| line.word(1) == "algo");
    for line in lines {
        if state.is_final {
            break;
        }
        if !import.work.take(1) {
            exhausted(import, line, state);
            break;
        }
        rule(import, proxy, line, state);
    }
    let answers = proxy.own("http-response").iter().chain(proxy.own("http-after-response"));
    for line in answers.filter(is_own) {
        if !import.work.take(1) {
            break;
        }
        response(import, proxy, line, state);
    }
    if let Some(line) = proxy.option("forwardfor")
        && let Some(at) = line.words.iter().position(|word| word == "header")
        && !line.word(at + 1).eq_ignore_ascii_case("x-forwarded-for")
    {
        state.request.set(line.word(at + 1), "$source");
    }
    std::mem::take(&mut state.routes)
}

/// Closes what is left when there are too many rules of rules.
fn exhausted(import: &mut Import<'_>, line: &Line, state: &mut State) {
    let why = "there are too many rules for too many backends; what is left answers 403";
    import.security(line, 1, why);
    state.routes.push(closed(&state.base));
    state.is_final = true;
}

fn rule(import: &mut Import<'_>, proxy: &Proxy<'_>, line: &Line, state: &mut State) {
    let base = &state.base.clone();
    let (words, asked) = condition(&line.words);
    let action = if line.word(0) == "redirect" { "redirect" } else { line.word(1) };
    let cases = within(proxy.acls().cases(asked, state.tls), base);
    if !import.work.take(cases.len()) {
        return exhausted(import, line, state);
    }
    match action {
        "deny" | "tarpit" | "reject" | "silent-drop" => {
            let status = words.iter().position(|word| matches!(&**word, "deny_status" | "status"));
            let status = status.and_then(|at| words.get(at + 1)).and_then(|word| word.parse().ok());
            let status = status.filter(|status| (400..=599).contains(status)).unwrap_or(403);
            for case in cases {
                deny(import, proxy, line, (case, status, base), state);
            }
        }
        "auth" => auth(import, line, (cases, base), state),
        "allow" => {
            let why = "rules that let in before others refuse are not known; what follows holds \
                       for all";
            import.security(line, 2, why);
        }
        "redirect" => {
            for case in cases {
                redirect(import, line, (words, case, base), state);
            }
        }
        "return" => {
            for case in cases {
                give(import, proxy, line, (words, case, base), state);
            }
        }
        "set-header" | "add-header" | "del-header" | "replace-header" => {
            edit(import, line, &cases, state);
        }
        "replace-path" | "replace-pathq" | "set-path" => replace(import, line, &cases, state),
        _ if NEEDLESS.contains(&action) => {}
        _ if ABSENT.contains(&action) => import.note(line, 2, "is not there, and was left out"),
        "use-service" => {
            import.note(line, 3, "there are no services of HAProxy; it answers 501");
            let text = convert::reason(501);
            for case in cases {
                match case.is_plain() {
                    true => state.routes.push(respond(&case.region, 501, text)),
                    false => lost(import, line, (&case, base), state),
                }
            }
        }
        _ if action.starts_with("lua.") => {
            for case in cases {
                lost(import, line, (&case, base), state);
            }
        }
        _ => import.security(line, 2, "is not known here, and was left out"),
    }
}

/// A rule that changes a field of requests. Where it is for some requests alone, the field is
/// removed from all: what the client sends in its place may be believed.
fn edit(import: &mut Import<'_>, line: &Line, cases: &[Case], state: &mut State) {
    if cases.is_empty() {
        return;
    }
    if cases.iter().any(|case| case.is_plain() && case.region == state.base) {
        let mut own = std::mem::take(&mut state.request);
        edits::edit(import, line, (true, state.tls, &state.ports), &mut own);
        state.request = own;
        return;
    }
    let name = line.word(2);
    let is_own = convert::is_field(name) && !convert::is_framing(name);
    if line.word(1) == "add-header" || !is_own || name.eq_ignore_ascii_case("host") {
        return import.note(line, 3, "an edit has no condition; it was left out");
    }
    state.request.remove(name);
    let why = "an edit has no condition; the field is removed from all requests, so that no client \
               can set it";
    import.security(line, 3, why);
}

/// A rule that changes the path.
fn replace(import: &mut Import<'_>, line: &Line, cases: &[Case], state: &mut State) {
    let is_all = cases.iter().any(|case| case.is_plain() && case.region == state.base);
    match edits::replace(import, line).filter(|_| is_all) {
        Some(replace) => state.replace.push(replace),
        None if cases.is_empty() => {}
        None => {
            let why =
                "write a route with `path_regex` and `path_rewrite`; the path passes as it is";
            import.note(line, 2, why);
        }
    }
}

/// Cases of requests that are in a region.
pub(super) fn within(cases: Vec<Case>, base: &Region) -> Vec<Case> {
    cases
        .into_iter()
        .filter_map(|case| match case.region.meet(base) {
            Meet::Nothing => None,
            Meet::Region(region) => Some(Case { region, ..case }),
            Meet::Unknown => Some(Case { region: base.clone(), is_open: true, ..case }),
        })
        .collect()
}

/// A route of a region that answers with a text.
fn respond(region: &Region, status: u16, text: &str) -> Route {
    let bare = region.route(true);
    let answer = Route::respond(Path::Any, status, text);
    Route { table: answer.table, ..bare }
}

/// A rule that refuses the requests of a case.
fn deny(
    import: &mut Import<'_>,
    proxy: &Proxy<'_>,
    line: &Line,
    (case, status, base): (Case, u16, &Region),
    state: &mut State,
) {
    let is_all = case.region == *base;
    let is_known = !case.is_open
        && !case.is_narrow
        && case.user.is_none()
        && case.names.is_empty()
        && case.other_hosts.is_empty();
    if let Some(hosts) = other_hosts(&case, base) {
        let route = respond(base, status, convert::reason(status));
        return leave(state, hosts, vec![route]);
    }
    match (case.sources.as_slice(), case.rate) {
        _ if !is_known => lost(import, line, (&case, base), state),
        ([], None) => {
            let text = convert::reason(status);
            state.routes.push(respond(&case.region, status, text));
            state.is_final |= is_all;
        }
        ([(is, list)], None) if state.limits.len() < LIMITS_MAX => {
            let mut limit = Limit { region: case.region.clone(), ..Limit::default() };
            if *is {
                limit.deny.clone_from(list)
            } else {
                limit.allow.clone_from(list)
            }
            state.limits.push(limit);
        }
        ([], Some(rate)) if is_all && state.rate.is_none() => match period(proxy) {
            Some(period) => state.rate = Some((rate, period, line.at.clone())),
            None => lost(import, line, (&case, base), state),
        },
        _ => lost(import, line, (&case, base), state),
    }
}

/// The hosts that a rule is not for, if it is for all others.
fn other_hosts(case: &Case, base: &Region) -> Option<Vec<String>> {
    let rest = Case { other_hosts: Vec::new(), region: Region::default(), ..case.clone() };
    let is_whole = case.region == *base && rest == Case::default();
    (is_whole && !case.other_hosts.is_empty()).then(|| case.other_hosts.clone())
}

/// Goes on with some hosts. Routes behind all others answer for the rest.
fn leave(state: &mut State, hosts: Vec<String>, routes: Vec<Route>) {
    state.tail.splice(0..0, routes);
    match state.base.meet(&Region { hosts, ..Region::default() }) {
        Meet::Region(left) => state.base = left,
        Meet::Nothing | Meet::Unknown => state.is_final = true,
    }
}

/// A rule that refuses requests and is not understood closes all that it could be for.
fn lost(import: &mut Import<'_>, line: &Line, (case, base): (&Case, &Region), state: &mut State) {
    let region = case.wide(base);
    let is_all = region == *base;
    let what = if is_all { "everything behind it" } else { "what it could be for" };
    let why = format!("this condition cannot be translated; {what} answers 403");
    import.notes.security(&line.at, &line.shown(8), why);
    state.routes.push(closed(&region));
    state.is_final |= is_all;
}

/// The time in which the table of a section counts requests, in milliseconds.
fn period(proxy: &Proxy<'_>) -> Option<u64> {
    let line = proxy.last("stick-table")?;
    let is_address = line.words.iter().any(|word| matches!(word.as_str(), "ip" | "ipv6"));
    let stored = line.words.iter().find_map(|word| {
        let at = word.find("http_req_rate(")?;
        word.get(at..)?.strip_prefix("http_req_rate(")?.split(')').next()
    });
    let time = stored.and_then(convert::haproxy_time);
    time.filter(|time| is_address && *time > 0)
}

/// `http-request auth unless { http_auth(users) }`.
fn auth(
    import: &mut Import<'_>,
    line: &Line,
    (cases, base): (Vec<Case>, &Region),
    state: &mut State,
) {
    let realm = line.words.iter().position(|word| word == "realm");
    let realm = realm.and_then(|at| line.words.get(at + 1)).cloned();
    for case in cases {
        let rest = Case { region: Region::default(), user: None, ..case.clone() };
        let list = match &case.user {
            Some((false, list)) if rest == Case::default() => users(import, list),
            Some(_) | None => None,
        };
        match list.filter(|_| state.limits.len() < LIMITS_MAX) {
            Some(users) => state.limits.push(Limit {
                region: case.region,
                auth: Some(users),
                realm: realm.clone(),
                ..Limit::default()
            }),
            None => lost(import, line, (&case, base), state),
        }
    }
}

/// The users of a list with hashes that Ringway knows.
fn users(import: &mut Import<'_>, name: &str) -> Option<Vec<(String, Value)>> {
    let section = import.users.get(name).copied()?;
    let mut users: Vec<(String, Value)> = Vec::new();
    for line in section.lines.iter().filter(|line| line.word(0) == "user").take(1024) {
        let at = line.words.iter().position(|word| word == "password");
        let hash = at.and_then(|at| line.words.get(at + 1)).map(String::as_str).unwrap_or_default();
        let is_known =
            ["$5$", "$6$", "$2y$", "$2b$", "$2a$"].iter().any(|kind| hash.starts_with(kind));
        let is_new = users.iter().all(|(own, _)| own != line.word(1));
        if is_known && is_new && convert::is_field(line.word(1)) {
            users.push((line.word(1).to_owned(), hash.into()));
        } else {
            let why = "passwords are hashes of bcrypt, SHA-256-crypt or SHA-512-crypt; this user \
                       is not let in";
            import.notes.add(&line.at, &line.shown(2), why);
        }
    }
    (!users.is_empty()).then_some(users)
}

fn redirect(
    import: &mut Import<'_>,
    line: &Line,
    (words, case, base): (&[String], Case, &Region),
    state: &mut State,
) {
    let others = other_hosts(&case, base);
    // What it keeps from the servers must not go there.
    if others.is_none() && !case.is_plain() {
        return lost(import, line, (&case, base), state);
    }
    let after = |name: &str| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let code = after("code").and_then(convert::digits);
    let code = code.filter(|code| matches!(code, 301 | 302 | 303 | 307 | 308)).unwrap_or(302);
    let target = match (after("scheme"), after("location"), after("prefix")) {
        (Some("https"), _, _) => Ok("https://$host$target".to_owned()),
        (Some("http"), _, _) => Ok("http://$host$target".to_owned()),
        (_, Some(location), _) => template(location, &state.ports),
        (_, _, Some(prefix)) => {
            let end =
                if words.iter().any(|word| word == "drop-query") { "$path" } else { "$target" };
            template(prefix, &state.ports)
                .map(|prefix| format!("{}{end}", prefix.trim_end_matches('/')))
        }
        (_, _, _) => Err("its target".to_owned()),
    };
    let starts = ["/", "http://", "https://", "$path"];
    let route = match target {
        Ok(target)
            if starts.iter().any(|start| target.starts_with(start)) && !target.contains(' ') =>
        {
            let mut route = case.region.route(true);
            route.table.set("redirect", target);
            if code != 302 {
                route.table.set("status", code);
            }
            route
        }
        Ok(target) => {
            let why = format!("`{}` is no URL; it answers 404", super::shown(&target));
            import.note(line, 3, why);
            respond(&case.region, 404, convert::reason(404))
        }
        Err(sample) => {
            import.note(line, 3, format!("{sample} is not known in Ringway; it answers 404"));
            respond(&case.region, 404, convert::reason(404))
        }
    };
    let made = push(import, line, (route, &case.region), state);
    if let Some(hosts) = others {
        return leave(state, hosts, made);
    }
    state.is_final |= case.region == *base;
    state.routes.extend(made);
}

/// A rule that answers with a text, or that refuses.
fn give(
    import: &mut Import<'_>,
    proxy: &Proxy<'_>,
    line: &Line,
    (words, case, base): (&[String], Case, &Region),
    state: &mut State,
) {
    let after = |name: &str| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let status = after("status").and_then(|word| word.parse().ok());
    let status: u16 = status.filter(|status| (200..=599).contains(status)).unwrap_or(200);
    if !case.is_plain() {
        return match status {
            400.. => deny(import, proxy, line, (case, status, base), state),
            // What it keeps from the servers must not go there.
            _ => lost(import, line, (&case, base), state),
        };
    }
    let text = after("string").or_else(|| after("lf-string")).unwrap_or_default();
    if after("file").is_some() || after("lf-file").is_some() || text.contains("%[") {
        import.note(line, 2, "the text of an answer stands in `respond`; it was left empty");
    }
    let text = if text.contains("%[") { "" } else { text };
    let mut route = respond(&case.region, status, text);
    if let Some(kind) =
        after("content-type").filter(|kind| *kind != "text/plain" && kind.is_ascii())
    {
        route.table.set("content_type", kind);
    }
    state.is_final |= case.region == *base;
    let made = push(import, line, (route, &case.region), state);
    state.routes.extend(made);
}

fn response(import: &mut Import<'_>, proxy: &Proxy<'_>, line: &Line, state: &mut State) {
    let (_, asked) = condition(&line.words);
    let cases = proxy.acls().cases(asked, state.tls);
    let is_all = cases.iter().any(|case| *case == Case::default());
    if cases.is_empty() {
        return;
    }
    if !is_all {
        return import.note(line, 3, "an edit has no condition; it was left out");
    }
    let mut own = std::mem::take(&mut state.response);
    let ports = std::mem::take(&mut state.ports);
    if !edits::edit(import, line, (false, state.tls, &ports), &mut own) {
        import.note(line, 2, "is not known here, and was left out");
    }
    (state.response, state.ports) = (own, ports);
}

/// The routes of a region with what restricts parts of it: those parts come first.
pub(super) fn push(
    import: &mut Import<'_>,
    line: &Line,
    (route, region): (Route, &Region),
    state: &State,
) -> Vec<Route> {
    let route = dressed(route, state);
    restricted(import, line, (route, region), &state.limits)
}

/// A route with the edits, the rate and the compression that hold for all.
fn dressed(mut route: Route, state: &State) -> Route {
    route.response = state.response.clone();
    if let Some((rate, period, _)) = &state.rate {
        let per_second = rate.saturating_mul(1_000).div_ceil(*period).clamp(1, 1_000_000);
        let table = route.table.table("rate_limit");
        table.set("rate", per_second);
        let burst = (*rate).clamp(1, 1_000_000);
        if burst != per_second {
            table.set("burst", burst);
        }
    }
    if route.table.has("proxy") {
        route.request = state.request.clone();
        if state.compress {
            route.table.set("compress", true);
        }
    }
    route
}

/// The routes of a backend, with the change of their paths.
pub(super) fn proxied(import: &mut Import<'_>, routes: Vec<Route>, state: &State) -> Vec<Route> {
    let routes = match state.replace.first() {
        Some(replace) => {
            routes.into_iter().flat_map(|route| edits::with_replace(route, replace)).collect()
        }
        None => routes,
    };
    if let Some((_, _, at)) = &state.rate {
        let count = import.rates.entry(at.line).or_insert(0);
        *count += routes.len();
        if *count > 1 {
            let why = "several routes have this rate, and each counts by itself: more is let in";
            import.notes.security(at, "http-request deny", why);
        }
    }
    routes
}
