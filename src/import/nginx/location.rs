//! `location`: in which order routes are asked for what nginx finds by its rules.
//!
//! nginx takes an exact path, then the longest prefix if it has `^~`, then the first regular
//! expression that matches, then the longest prefix. Ringway takes the first route that holds.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::super::convert;
use super::super::document::{Path, Route};
use super::super::regex;
use super::Import;
use super::access;
use super::levels::{Around, Levels};
use super::parse::Directive;
use super::rewrite::{PathRewrite, rules};
use super::scope::Scope;
use super::template::View;
use super::{content, words};

/// What a location is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    Exact(String),
    Prefix { text: String, no_regex: bool },
    Regex(String),
}

impl Match {
    /// What a server is called after that has no name: the last part of the path.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Exact(text) | Self::Prefix { text, .. } => {
                let last = text.rsplit('/').find(|part| !part.is_empty());
                last.unwrap_or("app").trim_end_matches(".html").to_owned()
            }
            Self::Regex(_) => "app".to_owned(),
        }
    }
}

/// A location.
#[derive(Debug, Clone)]
struct Location<'d> {
    at: &'d Directive,
    scope: Scope<'d>,
    asked: Match,
    /// Of an expression: the length of the prefix that it is within.
    within: Option<usize>,
    /// The prefixes around it, the outermost first.
    around: Vec<Around>,
    /// It cannot stand where nginx asks it, and answers 403.
    is_closed: bool,
}

/// The locations of a server.
#[derive(Debug, Default)]
struct Found<'d> {
    list: Vec<Location<'d>>,
    levels: Levels,
    /// One that refuses requests has an expression that cannot be translated.
    is_lost: bool,
}

/// The routes of all locations within a server, in Ringway's order, and whether one is for all
/// paths. `outer`: so many words are taken over from around the server. `None`: one that refuses
/// requests was lost.
pub(super) fn routes<'d>(
    import: &mut Import<'d>,
    view: &View,
    scope: &Scope<'d>,
    (block, outer): (&'d [Directive], usize),
) -> Option<(Vec<Route>, bool)> {
    let mut found = Found::default();
    import.named_locations.clear();
    collect(import, scope, block, (None, &[], outer), &mut found);
    if found.is_lost {
        return None;
    }
    let ordered = ordered(import, found);
    note_fallbacks(import, scope, &ordered);
    name_main(import, view, &ordered);
    let is_root =
        |one: &Location<'_>| matches!(&one.asked, Match::Prefix { text, .. } if text == "/");
    let has_root = ordered.iter().any(is_root);
    let mut routes = Vec::new();
    for location in &ordered {
        routes.extend(one(import, view, location));
    }
    Some((routes, has_root))
}

/// nginx asks the locations again for an index and for the last file of `try_files`.
fn note_fallbacks(import: &mut Import<'_>, scope: &Scope<'_>, locations: &[Location<'_>]) {
    let tried = locations.iter().filter_map(|one| one.scope.own("try_files").last());
    let mut again: HashSet<&str> = tried.map(|one| one.args.last().map_or("", |arg| arg)).collect();
    again.extend(scope.own("try_files").last().and_then(|one| one.args.last()).map(String::as_str));
    again.insert("/index.html");
    for location in locations {
        let Match::Exact(path) = &location.asked else { continue };
        if again.contains(path.as_str()) && location.scope.own("return").is_empty() {
            let why = "nginx takes it for an index and for `try_files` as well, and Ringway for \
                       this path alone: repeat it in the route that tries the file \
                       (`cache_control_by` for caching)";
            import.notes.add(&location.at.at, &location.at.shown(), why);
        }
    }
}

/// The server of the location `/`, if it has no name, is named after the site.
fn name_main(import: &mut Import<'_>, view: &View, locations: &[Location<'_>]) {
    let label = view.server_name.trim_start_matches("www.").split('.').next().unwrap_or_default();
    let is_root =
        |one: &&Location<'_>| matches!(&one.asked, Match::Prefix { text, .. } if text == "/");
    if let Some(root) = locations.iter().find(is_root) {
        content::name_server(import, &root.scope, if label.is_empty() { "app" } else { label });
    }
}

/// Finds locations, those within others too. Depth is bounded by the parser.
fn collect<'d>(
    import: &mut Import<'d>,
    around: &Scope<'d>,
    block: &'d [Directive],
    (parent, outside, outer): (Option<&Match>, &[Around], usize),
    found: &mut Found<'d>,
) {
    let level = found.levels.open();
    let outer = outer.saturating_add(words(block));
    for at in block.iter().filter(|directive| directive.name == "location") {
        if !import.work.take(outer) {
            let why = "there is too much to take over; the server answers 403";
            import.security(at, why);
            found.is_lost = true;
            return;
        }
        let scope = around.within(at.inner());
        if let Some(name) = at.args.first().filter(|name| name.starts_with('@')) {
            import.named_locations.insert(name, (at, scope));
            continue;
        }
        let Some(asked) = asked(import, at, &scope, parent, found) else { continue };
        found.levels.add(level, outside, &asked);
        let mut inner = outside.to_vec();
        if let Match::Prefix { text, .. } = &asked {
            inner.push((level, text.as_str().into()));
        }
        collect(import, &scope, at.inner(), (Some(&asked), &inner, outer), found);
        let within = match (parent, &asked) {
            (Some(Match::Prefix { text, .. }), Match::Regex(_)) => Some(text.len()),
            (_, _) => None,
        };
        let around = outside.to_vec();
        found.list.push(Location { at, scope, asked, within, around, is_closed: false });
    }
}

/// What a location is for.
fn asked(
    import: &mut Import<'_>,
    at: &Directive,
    scope: &Scope<'_>,
    parent: Option<&Match>,
    found: &mut Found<'_>,
) -> Option<Match> {
    let (modifier, text) = match at.args.as_slice() {
        [text] => {
            // `location =/x` is `location = /x`.
            let sign = ["^~", "~*", "=", "~"].into_iter().find(|sign| text.starts_with(sign));
            let rest = sign.and_then(|sign| text.strip_prefix(sign));
            (sign.unwrap_or(""), rest.unwrap_or(text))
        }
        [modifier, text] => (modifier.as_str(), text.as_str()),
        _ => ("?", ""),
    };
    let result = match modifier {
        _ if matches!(parent, Some(Match::Exact(_) | Match::Regex(_))) => {
            Err("it stands within a location that is no prefix".to_owned())
        }
        "=" => convert::path(text).map(Match::Exact),
        "" => convert::path(text).map(|text| Match::Prefix { text, no_regex: false }),
        "^~" => convert::path(text).map(|text| Match::Prefix { text, no_regex: true }),
        "~" | "~*" => regex::translated(text, modifier == "~*")
            .and_then(|regex| joined(parent, regex))
            .map(Match::Regex),
        _ => Err("it is not understood".to_owned()),
    };
    match result {
        Ok(asked) => Some(asked),
        Err(why) => {
            let refuses = refuses_within(scope, at);
            found.is_lost |= refuses;
            let shown = at.shown();
            if refuses {
                let why = format!("{why}. It refuses requests, so the whole server answers 403");
                import.notes.security(&at.at, &shown, why);
            } else {
                let why = format!("{why}. Its requests go to other routes");
                import.notes.add(&at.at, &shown, why);
            }
            None
        }
    }
}

/// An expression within a prefix.
fn joined(parent: Option<&Match>, regex: String) -> Result<String, String> {
    let prefix = match parent {
        None => return Ok(regex),
        Some(Match::Prefix { text, .. }) => text,
        Some(Match::Exact(_) | Match::Regex(_)) => {
            return Err("an expression stands within a location that is no prefix".to_owned());
        }
    };
    if prefix == "/" || regex::leading_text(&regex).starts_with(prefix.as_str()) {
        return Ok(regex);
    }
    let is_anchored = regex.starts_with('^') || regex.starts_with("(?i)") || regex.contains('|');
    // What begins with a dot or a slash is not found within the prefix itself.
    match regex.strip_prefix('/') {
        Some(rest) if prefix.ends_with('/') && !is_anchored => {
            let bare = prefix.trim_end_matches('/');
            Ok(format!("^{}(?:/.*)?/{rest}", regex::literal(bare)))
        }
        None if regex.starts_with("\\.") && !prefix.contains('.') && !is_anchored => {
            Ok(format!("^{}.*{regex}", regex::literal(prefix)))
        }
        Some(_) | None => Err("an expression and the prefix around it cannot be joined".to_owned()),
    }
}

/// Whether a location refuses some requests.
fn refuses(scope: &Scope<'_>) -> bool {
    let returns =
        |one: &&Directive| convert::digits(one.arg(0)).is_some_and(|status| status >= 400);
    access::has_rules(scope)
        || scope.own("return").iter().any(returns)
        || !scope.all("internal").is_empty()
        || scope.is_closed()
        || scope.own("if").iter().any(|one| super::condition::refuses(one))
        // The source of a program must not be given as a file.
        || scope.own("fastcgi_pass").last().is_some()
}

/// Whether a block that is left out, or a location within it, refuses some requests, or answers
/// them itself.
pub(super) fn refuses_within(scope: &Scope<'_>, at: &Directive) -> bool {
    let mut inner = at.inner().iter().filter(|one| one.name == "location");
    refuses(scope)
        || !scope.own("return").is_empty()
        || scope.own("if").iter().any(|one| super::condition::answers(one))
        || inner.any(|one| refuses_within(&scope.within(one.inner()), one))
}

/// The order in which routes are asked.
fn ordered<'d>(import: &mut Import<'_>, found: Found<'d>) -> Vec<Location<'d>> {
    let Found { list, levels, .. } = found;
    let mut known: HashSet<String> = HashSet::new();
    let (mut exact, mut regexes, mut nested, mut prefixes) = (vec![], vec![], vec![], vec![]);
    for location in list {
        if levels.is_hidden(&location.around, &location.asked) {
            let why = "another location takes all of its requests, in nginx as well; left out";
            import.notes.add(&location.at.at, &location.at.shown(), why);
            continue;
        }
        let list = match (&location.asked, location.within) {
            (Match::Regex(_), Some(_)) => &mut nested,
            (Match::Regex(_), None) => &mut regexes,
            // The first of two that are for the same path.
            (asked, _) if !known.insert(format!("{asked:?}")) => continue,
            (Match::Exact(_), _) => &mut exact,
            (Match::Prefix { .. }, _) => &mut prefixes,
        };
        list.push(location);
    }
    let length = |one: &Location<'_>| match &one.asked {
        Match::Prefix { text, .. } | Match::Exact(text) | Match::Regex(text) => text.len(),
    };
    prefixes.sort_by_key(|one| Reverse(length(one)));
    nested.sort_by_key(|one| Reverse(one.within));
    let mut late = late(import, &levels, &mut nested, regexes.is_empty());
    let hats: HashSet<String> = prefixes
        .iter()
        .filter_map(|one| match &one.asked {
            Match::Prefix { text, no_regex: true } => Some(text.clone()),
            Match::Prefix { .. } | Match::Exact(_) | Match::Regex(_) => None,
        })
        .collect();
    let has_regex = !regexes.is_empty() || !nested.is_empty() || !late.is_empty();
    let mut first = Vec::new();
    let mut last = Vec::new();
    for mut location in prefixes {
        let Match::Prefix { text, no_regex } = &location.asked else { continue };
        let is_below = !hats.is_empty() && starts(text).any(|start| hats.contains(start));
        if is_below && !no_regex && has_regex {
            let why = "this prefix is below one with `^~`, and regular expressions could be asked \
                       before it; it answers 403";
            import.notes.security(&location.at.at, &location.at.shown(), why);
            location.is_closed = true;
        }
        if is_below && has_regex { first.push(location) } else { last.push(location) }
    }
    let mut all = exact;
    // An expression within a prefix is asked before that prefix, and before those outside.
    all.extend(merged(first, &mut nested));
    all.append(&mut nested);
    all.append(&mut regexes);
    all.extend(merged(last, &mut late));
    all.append(&mut late);
    all
}

/// nginx asks an expression within a prefix only where that is the longest one of its block. Where
/// a longer one is beside it, the expression has to be asked behind that, or, if others have to be
/// asked between both, answers 403.
fn late<'d>(
    import: &mut Import<'_>,
    levels: &Levels,
    nested: &mut Vec<Location<'d>>,
    are_alone: bool,
) -> Vec<Location<'d>> {
    let mut late = Vec::new();
    let mut early = Vec::new();
    for mut location in std::mem::take(nested) {
        let Match::Regex(regex) = &location.asked else { continue };
        if !levels.has_longer(&location.around, regex) {
            early.push(location);
        } else if are_alone && !levels.has_prefix_within(&location.around) {
            late.push(location);
        } else {
            let why = "nginx asks this expression behind longer prefixes, and Ringway would \
                       before them; it answers 403";
            import.notes.security(&location.at.at, &location.at.shown(), why);
            location.is_closed = true;
            early.push(location);
        }
    }
    *nested = early;
    late
}

/// Prefixes with the expressions that stand within them before each.
fn merged<'d>(prefixes: Vec<Location<'d>>, nested: &mut Vec<Location<'d>>) -> Vec<Location<'d>> {
    let mut all = Vec::new();
    let mut left: Vec<Location<'d>> = std::mem::take(nested);
    left.reverse();
    for prefix in prefixes {
        let Match::Prefix { text, .. } = &prefix.asked else { continue };
        // Both are sorted by the length of the prefix, the longest first.
        while let Some(one) = left.pop_if(|one| one.within >= Some(text.len())) {
            all.push(one);
        }
        all.push(prefix);
    }
    left.reverse();
    *nested = left;
    all
}

/// The beginnings of a path, itself among them.
fn starts(text: &str) -> impl Iterator<Item = &str> {
    (1..=text.len()).filter_map(move |end| text.get(..end))
}

/// The routes of one location.
fn one<'d>(import: &mut Import<'d>, view: &View, location: &Location<'d>) -> Vec<Route> {
    let Location { at, scope, asked, .. } = location;
    let path = path(import, at, asked, refuses(scope) || location.is_closed);
    if location.is_closed {
        return vec![Route::closed(path)];
    }
    if !scope.all("internal").is_empty() {
        return vec![Route::respond(path, 404, convert::reason(404))];
    }
    answered(import, view, (at, scope, asked), &path, &[])
}

/// The routes of a location, or of a named one that goes on for it, for a path. `rewrites`: how the
/// path was changed before.
pub(super) fn answered<'d>(
    import: &mut Import<'d>,
    view: &View,
    (at, scope, asked): (&'d Directive, &Scope<'d>, &Match),
    path: &Path,
    rewrites: &[PathRewrite],
) -> Vec<Route> {
    if scope.is_closed() {
        return vec![Route::closed(path.clone())];
    }
    access::connections_within(import, scope);
    let mut rules = rules(import, view, scope, at.inner(), (path, &[]));
    if rules.is_lost {
        return vec![Route::closed(path.clone())];
    }
    let mut routes = std::mem::take(&mut rules.before);
    if rules.is_final {
        return routes;
    }
    let rewrites: Vec<PathRewrite> = rewrites.iter().cloned().chain(rules.rewrites).collect();
    let mut own = content::routes(import, view, scope, asked, path.clone(), &rewrites);
    if let Some(except) = scope.own("limit_except").last() {
        own = limited(import, except, own, path);
    }
    for route in &mut own {
        route.hosts.extend(rules.hosts.iter().cloned());
        if route.methods.is_empty() {
            route.methods.extend(rules.methods.iter().cloned());
        }
    }
    routes.extend(own);
    routes.append(&mut rules.after);
    routes
}

/// `limit_except`: other methods are denied. Only `deny all` is known.
fn limited(
    import: &mut Import<'_>,
    except: &Directive,
    mut routes: Vec<Route>,
    path: &Path,
) -> Vec<Route> {
    let mut methods: Vec<String> = except.args.clone();
    if methods.iter().any(|method| method == "GET") && methods.iter().all(|one| one != "HEAD") {
        methods.push("HEAD".to_owned());
    }
    let is_all = except.inner().iter().all(|one| one.name == "deny" && one.arg(0) == "all");
    if !is_all || except.inner().is_empty() {
        let why = "other methods are refused for everybody here, whatever the block says";
        import.security(except, why);
    }
    routes.iter_mut().for_each(|route| route.methods.clone_from(&methods));
    routes.push(Route::respond(path.clone(), 403, convert::reason(403)));
    routes
}

/// The path of a route. A prefix in the middle of a segment is exact only as an expression, which
/// is needed where something is refused.
fn path(import: &mut Import<'_>, at: &Directive, asked: &Match, guarded: bool) -> Path {
    match asked {
        Match::Exact(path) => Path::Exact(path.clone()),
        Match::Regex(regex) => Path::Regex(regex.clone()),
        Match::Prefix { text, .. } if text == "/" => Path::Any,
        Match::Prefix { text, .. } if text.ends_with('/') => Path::Prefix(text.clone()),
        Match::Prefix { text, .. } if guarded => Path::Regex(format!("^{}", regex::literal(text))),
        Match::Prefix { text, .. } => {
            let why =
                "`path_prefix` takes whole segments: of `/api` it takes `/api/x`, not `/apix`";
            import.note(at, why);
            Path::Prefix(text.clone())
        }
    }
}
