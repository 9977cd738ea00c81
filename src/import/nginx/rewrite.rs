//! What is decided before a location answers: `if`, `rewrite` and `return`, in their order.

use super::super::convert::shown;
use super::super::document::{Path, Route};
use super::super::regex;
use super::Import;
use super::action::{answer, redirect};
use super::condition::{Condition, answers, condition};
use super::dress;
use super::parse::Directive;
use super::scope::Scope;
use super::template::{Part, View, parts};

/// A rewrite of the path for the server or the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathRewrite {
    pub(super) regex: String,
    pub(super) target: String,
}

/// What the rules of a block come to.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Routes before those of the block.
    pub(super) before: Vec<Route>,
    /// Routes behind those of the block, for what `hosts` and `methods` leave out.
    pub(super) after: Vec<Route>,
    /// The block is for these hosts and methods only. Empty: for all.
    pub(super) hosts: Vec<String>,
    pub(super) methods: Vec<String>,
    /// A rule for all requests ends the block.
    pub(super) is_final: bool,
    /// A rule that refuses requests was not understood.
    pub(super) is_lost: bool,
    pub(super) rewrites: Vec<PathRewrite>,
    /// Hosts of which a rule answers all requests.
    pub(super) covered: Vec<String>,
}

/// Reads the rules of a block whose routes have a path. `own_hosts` are those of the server; empty
/// means all hosts.
pub(super) fn rules<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    block: &'d [Directive],
    (path, own_hosts): (&Path, &[String]),
) -> Rules {
    let mut rules = Rules::default();
    for directive in block {
        match directive.name.as_str() {
            "if" => rule(import, view, scope, directive, (path, own_hosts), &mut rules),
            "rewrite" => rewrite(import, view, scope, directive, path, &mut rules),
            "return" => {
                let groups = groups_of(path);
                let mut route = answer(import, view, scope, directive, path.clone(), groups);
                dress::answers(import, view, scope, &mut route);
                rules.before.push(route);
                rules.is_final = true;
            }
            "set" => note_set(import, directive),
            _ => {}
        }
        if rules.is_final || rules.is_lost {
            break;
        }
    }
    rules
}

/// So many groups of a path may be named in a target.
pub(super) fn groups_of(path: &Path) -> usize {
    match path {
        Path::Regex(regex) => regex::groups(regex),
        Path::Any | Path::Exact(_) | Path::Prefix(_) => 0,
    }
}

/// A variable with a fixed value is put in its place; others are not there.
fn note_set(import: &mut Import<'_>, directive: &Directive) {
    if directive.arg(1).contains('$') {
        import.note(directive, "there are no variables of your own in Ringway");
    }
}

fn rule<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    directive: &'d Directive,
    (path, own_hosts): (&Path, &[String]),
    rules: &mut Rules,
) {
    let asked = condition(directive);
    // Which requests of this listener it is for may be known already.
    if let Condition::Tls(tls) = asked
        && tls != view.tls
    {
        return;
    }
    let inner = scope.within(directive.inner());
    let Some(mut route) = outcome(import, view, &inner, directive, path) else {
        return lost(import, directive, rules);
    };
    dress::answers(import, view, &inner, &mut route);
    match asked {
        Condition::Tls(_) => {
            rules.before.push(route);
            rules.is_final = true;
        }
        Condition::Hosts { names, is: true } => {
            route.hosts = names;
            rule_of_hosts(route, own_hosts, rules);
        }
        Condition::Hosts { names, is: false } if own_hosts.is_empty() => {
            rules.hosts = names;
            rules.after.push(route);
        }
        Condition::Hosts { names, is: false } => {
            let others = own_hosts.iter().filter(|host| !names.contains(host)).cloned();
            route.hosts = others.collect();
            if !route.hosts.is_empty() {
                rule_of_hosts(route, own_hosts, rules);
            }
        }
        Condition::Methods { names, is: true } => {
            route.methods = names;
            rules.before.push(route);
        }
        Condition::Methods { names, is: false } if rules.methods.is_empty() => {
            rules.methods = names;
            rules.after.push(route);
        }
        Condition::Header { name, value } => {
            route.headers.push((name, value));
            rules.before.push(route);
        }
        Condition::Path { regex } if *path == Path::Any => {
            route.path = Path::Regex(regex);
            rules.before.push(route);
        }
        Condition::Exact { path: exact } if *path == Path::Any => {
            route.path = Path::Exact(exact);
            rules.before.push(route);
        }
        Condition::Methods { .. }
        | Condition::Path { .. }
        | Condition::Exact { .. }
        | Condition::Unknown => lost(import, directive, rules),
    }
}

/// A rule that answers for some hosts, perhaps for all that the server has.
fn rule_of_hosts(route: Route, own_hosts: &[String], rules: &mut Rules) {
    rules.covered.extend(route.hosts.iter().cloned());
    match rules.before.last_mut().filter(|last| last.is_like(&route)) {
        Some(last) => last.hosts.extend(route.hosts),
        None => rules.before.push(route),
    }
    rules.is_final = !own_hosts.is_empty()
        && own_hosts.len().max(rules.covered.len()) <= 256
        && own_hosts.iter().all(|host| rules.covered.contains(host));
}

/// An `if` that was not understood. One that refuses requests, or answers them, closes its block:
/// what it keeps from the routes behind it must not go there.
fn lost(import: &mut Import<'_>, directive: &Directive, rules: &mut Rules) {
    let shown = directive.shown();
    if answers(directive) {
        let why = "this condition cannot be translated; what it is in answers 403 here";
        import.notes.security(&directive.at, &shown, why);
        rules.is_lost = true;
    } else {
        let why = "this condition was left out: routes ask for host, path, method and fields";
        import.notes.add(&directive.at, &shown, why);
    }
}

/// What an `if` does with a request, if it answers it.
fn outcome<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    directive: &'d Directive,
    path: &Path,
) -> Option<Route> {
    if let Condition::Unknown = condition(directive) {
        return None;
    }
    for inner in directive.inner() {
        match inner.name.as_str() {
            "return" => {
                return Some(answer(import, view, scope, inner, path.clone(), groups_of(path)));
            }
            "rewrite" => {
                let status = redirect_status(inner)?;
                let target = target_for_all(inner)?;
                return Some(redirect(import, view, inner, path.clone(), (&target, 0), status));
            }
            _ => {}
        }
    }
    None
}

/// The target of a `rewrite` that is for every path, with the path in the place of its groups.
fn target_for_all(directive: &Directive) -> Option<String> {
    let target = directive.arg(1);
    let target = match directive.arg(0) {
        "^" | ".*" | "^.*" | "^.*$" => target.to_owned(),
        "^(.*)$" | "(.*)" | "^(.*)" | "^(/.*)$" | "^(/.*)" => target.replace("$1", "$uri"),
        "^/(.*)$" | "^/(.*)" if target.matches('$').count() == 1 => target.replace("/$1", "$uri"),
        "^/(.*)$" | "^/(.*)" if target.contains("$host/$1") => target.replace("/$1", "$uri"),
        _ => return None,
    };
    (!target.contains("$1")).then(|| with_query(&target))
}

/// A target with the query behind it: nginx adds it, unless the target ends with a question mark.
fn with_query(target: &str) -> String {
    match target.strip_suffix('?') {
        Some(bare) => bare.to_owned(),
        None if target.contains('?') => format!("{target}&$args"),
        None if target.ends_with("$request_uri") => target.to_owned(),
        None => format!("{target}$is_args$args"),
    }
}

/// The status of a `rewrite` that sends the client elsewhere.
pub(super) fn redirect_status(directive: &Directive) -> Option<u16> {
    let is_url = ["http://", "https://", "$scheme"].iter().any(|s| directive.arg(1).starts_with(s));
    match directive.arg(2) {
        "permanent" => Some(301),
        "redirect" => Some(302),
        _ if is_url => Some(302),
        _ => None,
    }
}

fn rewrite<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    directive: &Directive,
    path: &Path,
    rules: &mut Rules,
) {
    let regex = match regex::translated(directive.arg(0), false) {
        Ok(regex) => regex,
        Err(why) => return import.note(directive, format!("{why}; it was left out")),
    };
    if !is_within(&regex, path) {
        let why = "its expression may match paths of other routes; write a route with `path_regex`";
        return import.note(directive, why);
    }
    let Some(status) = redirect_status(directive) else {
        return rewrite_path(import, directive, regex, path, rules);
    };
    let groups = regex::groups(&regex);
    let is_whole = match path {
        Path::Prefix(prefix) => {
            let rest = regex.replace('\\', "");
            let rest = rest.strip_prefix('^').and_then(|rest| rest.strip_prefix(prefix.as_str()));
            rest.is_some_and(|rest| matches!(rest, "(.*)$" | "(.*)" | ".*" | "" | ".*$"))
        }
        Path::Any | Path::Exact(_) | Path::Regex(_) => false,
    };
    let all = target_for_all(directive);
    rules.is_final = all.is_some();
    let path = if all.is_some() { path.clone() } else { Path::Regex(regex) };
    let target = all.unwrap_or_else(|| with_query(directive.arg(1)));
    let mut route = redirect(import, view, directive, path, (&target, groups), status);
    if !route.table.has("redirect") {
        // It answers in the place of what the redirect would have kept requests from.
        rules.before.push(route);
        return;
    }
    dress::answers(import, view, scope, &mut route);
    rules.before.push(route);
    rules.is_final |= is_whole;
}

/// Whether all paths of an expression are those of a route.
fn is_within(regex: &str, path: &Path) -> bool {
    match path {
        Path::Any => true,
        Path::Prefix(prefix) => regex::leading_text(regex).starts_with(prefix.as_str()),
        Path::Exact(_) | Path::Regex(_) => false,
    }
}

/// A `rewrite` that only the server, or the choice of a file, sees.
fn rewrite_path(
    import: &mut Import<'_>,
    directive: &Directive,
    regex: String,
    path: &Path,
    rules: &mut Rules,
) {
    let target = directive.arg(1);
    let groups = regex::groups(&regex);
    let is_plain = parts(target).iter().all(|part| match part {
        Part::Text(text) => *text != "$",
        Part::Variable(name) => {
            name.parse().is_ok_and(|number: usize| (1..=groups).contains(&number))
        }
    });
    let is_break = directive.arg(2) == "break";
    // With `last`, nginx looks for a location again, which a route does not.
    if !is_plain
        || !target.starts_with('/')
        || target.contains('?')
        || *path == Path::Any && !is_break
    {
        let why = format!(
            "`{}` is not looked for among routes again; write a route with `path_regex` and \
             `path_rewrite`",
            shown(target)
        );
        return import.note(directive, why);
    }
    if !is_break {
        import.note(directive, "the rewritten path goes to the same route, and to no other one");
    }
    rules.rewrites.push(PathRewrite { regex, target: target.to_owned() });
}
