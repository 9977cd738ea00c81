//! Rules that let some clients use a part of what a route is for.

use super::super::document::{Route, Value};
use super::Import;
use super::parse::Line;
use super::region::{Meet, Region};

/// Restrictions that are held against each other.
pub(super) const LIMITS_MAX: usize = 64;

/// Who may use a region.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Limit {
    pub(super) region: Region,
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    pub(super) auth: Option<Vec<(String, Value)>>,
    pub(super) realm: Option<String>,
}

/// A route in the place of one whose rule could not be translated.
pub(super) fn closed(region: &Region) -> Route {
    let bare = region.route(true);
    Route {
        hosts: bare.hosts,
        methods: bare.methods,
        headers: bare.headers,
        ..Route::closed(bare.path)
    }
}

/// The routes of a region with what restricts parts of it: those parts come first.
pub(super) fn restricted(
    import: &mut Import<'_>,
    line: &Line,
    (route, region): (Route, &Region),
    limits: &[Limit],
) -> Vec<Route> {
    let mut parts: Vec<(Region, &Limit)> = Vec::new();
    for limit in limits {
        match region.meet(&limit.region) {
            Meet::Nothing => {}
            Meet::Region(part) => parts.push((part, limit)),
            Meet::Unknown => {
                let why = "who may use this cannot be told apart from another rule; it answers 403";
                import.security(line, 3, why);
                return vec![closed(region)];
            }
        }
    }
    // Two restrictions of one request are one of a route, if the first leaves something out.
    let mut joined: Vec<(Region, Limit)> = Vec::new();
    for (part, limit) in parts {
        if !import.work.take(joined.len()) {
            return vec![closed(region)];
        }
        let overlaps: Vec<usize> = (0..joined.len())
            .filter(|at| joined.get(*at).is_some_and(|(own, _)| own.meet(&part) != Meet::Nothing))
            .collect();
        match overlaps.as_slice() {
            [] => joined.push((part, limit.clone())),
            [only] => {
                let own = joined.get_mut(*only).filter(|(own, _)| *own == part);
                if !own.is_some_and(|(_, old)| merge(old, limit)) {
                    return unclear(import, line, region);
                }
            }
            _ => return unclear(import, line, region),
        }
    }
    let mut routes = Vec::new();
    let mut is_covered = false;
    for (part, limit) in joined {
        is_covered |= part == *region;
        // The path is exact, so that nothing of the part is left to other routes.
        let bare = part.route(true);
        let mut own = Route {
            path: bare.path,
            hosts: bare.hosts,
            methods: bare.methods,
            headers: bare.headers,
            allow: limit.allow,
            deny: limit.deny,
            ..route.clone()
        };
        if let Some(users) = limit.auth {
            let auth = own.table.table("auth");
            if let Some(realm) = limit.realm.filter(|realm| !realm.trim().is_empty()) {
                auth.set("realm", realm.trim());
            }
            auth.set("users", Value::Pairs(users));
        }
        routes.push(own);
    }
    if !is_covered {
        routes.push(route);
    }
    routes
}

fn unclear(import: &mut Import<'_>, line: &Line, region: &Region) -> Vec<Route> {
    let why = "several rules say who may use parts of this, and a route has one; it answers 403";
    import.security(line, 3, why);
    vec![closed(region)]
}

/// Adds a restriction to another one of the same requests. `false`: a route cannot have both.
fn merge(old: &mut Limit, more: &Limit) -> bool {
    if !old.allow.is_empty() && !more.allow.is_empty() || old.auth.is_some() && more.auth.is_some()
    {
        return false;
    }
    old.allow.extend(more.allow.iter().cloned());
    old.deny.extend(more.deny.iter().cloned());
    if more.auth.is_some() {
        old.auth.clone_from(&more.auth);
        old.realm.clone_from(&more.realm);
    }
    true
}
