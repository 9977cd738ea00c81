//! Who may do what: `allow` and `deny`, passwords, rates.

use super::super::convert::{self, digits, shown};
use super::super::document::Route;
use super::super::network::Network;
use super::Import;
use super::parse::Directive;
use super::scope::Scope;

/// Pairs of networks that are held against each other at most.
const PAIRS_MAX: usize = 1_000_000;

/// Which addresses may use something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    /// Nobody may.
    pub(super) nobody: bool,
}

/// The lists that mean the same as rules of which the first that holds decides.
///
/// # Errors
///
/// Why there are none.
pub(super) fn lists(rules: &[&Directive]) -> Result<Lists, String> {
    let mut lists = Lists::default();
    let (mut allowed, mut denied): (Vec<Network>, Vec<Network>) = (Vec::new(), Vec::new());
    let mut pairs = 0_usize;
    let mut unix = false;
    for rule in rules {
        let is_allow = rule.name == "allow";
        match (rule.arg(0), is_allow) {
            ("all", true) => return Ok(finished(lists, &denied, &[])),
            ("all", false) => {
                lists.nobody = allowed.is_empty() && !unix;
                // Clients of Unix sockets are let in by any list, so that one is needed.
                if unix && allowed.is_empty() {
                    return Err("clients of Unix sockets alone cannot be let in".to_owned());
                }
                return Ok(finished(lists, &denied, &allowed));
            }
            ("unix:", true) => unix = true,
            ("unix:", false) => return Err("clients of Unix sockets are let in".to_owned()),
            (text, _) => {
                let network = Network::parse(text)
                    .ok_or_else(|| format!("`{}` is no network", shown(text)))?;
                if is_allow {
                    allowed.push(network);
                    continue;
                }
                pairs = pairs.saturating_add(allowed.len());
                if pairs > PAIRS_MAX || allowed.iter().any(|one| one.overlaps(network)) {
                    let why = "`deny` goes before `allow` in Ringway, and these two overlap";
                    return Err(why.to_owned());
                }
                denied.push(network);
            }
        }
    }
    // Without a last rule, all others may.
    Ok(finished(lists, &denied, &[]))
}

fn finished(mut lists: Lists, denied: &[Network], allowed: &[Network]) -> Lists {
    let texts = |networks: &[Network]| {
        let mut texts: Vec<String> = Vec::with_capacity(networks.len());
        let mut known = std::collections::HashSet::new();
        for network in networks {
            if known.insert(*network) {
                texts.push(network.to_string());
            }
        }
        texts
    };
    lists.allow = texts(allowed);
    lists.deny = if lists.nobody { Vec::new() } else { texts(denied) };
    lists
}

/// What guards a route, or that it stays closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The rules are in the route.
    Kept,
    /// Nobody may use it.
    Closed,
    /// A rule could not be translated: all requests are refused.
    Lost,
}

/// Writes the access rules of a scope into a route.
pub(super) fn guard(import: &mut Import<'_>, scope: &Scope<'_>, route: &mut Route) -> Guard {
    let found = restrict(import, scope, route);
    if found == Guard::Kept {
        rate(import, scope, route);
    }
    found
}

/// Guards the routes of a named location by the rules of the location before it, too: nginx asks
/// both. What cannot have both answers 403.
pub(super) fn guard_again(
    import: &mut Import<'_>,
    scope: &Scope<'_>,
    directive: &Directive,
    routes: &mut [Route],
) {
    let mut outer = Route::default();
    let guard = restrict(import, scope, &mut outer);
    let auth = outer.table.find_table("auth").cloned();
    for route in routes.iter_mut().filter(|route| !route.refuses()) {
        let own = route.table.find_table("auth").cloned();
        let is_clear =
            (outer.allow.is_empty() || route.allow.is_empty() || outer.allow == route.allow)
                && (auth.is_none() || own.is_none() || auth == own);
        match guard {
            Guard::Closed => {
                *route = Route::respond(route.path.clone(), 403, convert::reason(403));
            }
            Guard::Lost => *route = Route::closed(route.path.clone()),
            Guard::Kept if !is_clear => {
                let why = "two locations have rules for these requests, and a route has one; it \
                           answers 403";
                import.security(directive, why);
                *route = Route::closed(route.path.clone());
            }
            Guard::Kept => {
                if route.allow.is_empty() {
                    route.allow.clone_from(&outer.allow);
                }
                for network in &outer.deny {
                    if !route.deny.contains(network) {
                        route.deny.push(network.clone());
                    }
                }
                if let (None, Some(auth)) = (own, &auth) {
                    route.table.tables.push(("auth", auth.clone()));
                }
                if route.table.find_table("rate_limit").is_none() {
                    rate(import, scope, route);
                } else if scope.own("limit_req").last().is_some() {
                    let why = "a route has one rate, that of the named location; left out";
                    import.security(directive, why);
                }
            }
        }
    }
}

/// Writes the rules of addresses and passwords into a route.
fn restrict(import: &mut Import<'_>, scope: &Scope<'_>, route: &mut Route) -> Guard {
    let rules = scope.all_of_two("allow", "deny");
    let realm = scope.last("auth_basic").filter(|one| one.arg(0) != "off");
    if let (Some(satisfy), Some(_), false) = (scope.last("satisfy"), realm, rules.is_empty())
        && satisfy.arg(0) == "any"
    {
        let why = "a password or an address: Ringway asks for both, so the route answers 403";
        import.security(satisfy, why);
        return Guard::Lost;
    }
    match lists(&rules) {
        Ok(Lists { nobody: true, .. }) => return Guard::Closed,
        Ok(lists) if lists.allow.len().max(lists.deny.len()) > 10_000 => {
            if let Some(first) = rules.first() {
                import.security(first, "there are more than 10000 rules; the route answers 403");
            }
            return Guard::Lost;
        }
        Ok(lists) => (route.allow, route.deny) = (lists.allow, lists.deny),
        Err(why) => {
            if let Some(first) = rules.first() {
                import.security(first, format!("{why}; the route answers 403"));
            }
            return Guard::Lost;
        }
    }
    if let Some(realm) = realm {
        let file = scope.last("auth_basic_user_file");
        let path =
            file.map(|file| file.arg(0)).filter(|path| !path.is_empty() && !path.contains('$'));
        let Some(path) = path else {
            import.security(realm, "there is no fixed file of users; the route answers 403");
            return Guard::Lost;
        };
        let auth = route.table.table("auth");
        let text = realm.arg(0).trim();
        if !text.is_empty() && !text.contains('$') && text != "restricted" {
            auth.set("realm", text);
        }
        auth.set("users_file", path);
        if let Some(file) = file.filter(|_| !import.told.hashes) {
            import.told.hashes = true;
            let why = "hashes have to be bcrypt or SHA-crypt (`htpasswd -B`): others are refused";
            import.note(file, why);
        }
    }
    Guard::Kept
}

/// Whether a block has rules, of its own or of a block around it. Rates and methods are rules of
/// the block that has them.
pub(super) fn has_rules(scope: &Scope<'_>) -> bool {
    const OWN: &[&str] = &["limit_req", "satisfy", "limit_except", "auth_basic"];
    OWN.iter().any(|name| !scope.own(name).is_empty())
        || !scope.all_of_two("allow", "deny").is_empty()
        || scope.last("auth_basic").is_some_and(|one| one.arg(0) != "off")
}

/// `limit_req`: the first one of a route.
fn rate(import: &mut Import<'_>, scope: &Scope<'_>, route: &mut Route) {
    let limits = scope.all("limit_req").to_vec();
    for further in limits.iter().skip(1) {
        let why = "a route has one rate, that of the first `limit_req`; this one was left out";
        import.security(further, why);
    }
    let Some(limit) = limits.first() else { return };
    let parameter = |directive: &Directive, name: &str| {
        let found = directive.args.iter().find_map(|arg| arg.strip_prefix(name));
        found.map(|value| value.trim_start_matches('=').to_owned())
    };
    let zone = parameter(limit, "zone=").unwrap_or_default();
    let Some(zone) = import.request_zones.get(zone.as_str()).copied() else {
        return import.security(limit, "its zone is not there, so no rate is limited");
    };
    let by = match zone.arg(0) {
        "$binary_remote_addr" | "$remote_addr" => None,
        "$host" | "$http_host" => Some("header:host".to_owned()),
        key => match key.strip_prefix("$http_").filter(|name| convert::is_field(name)) {
            Some(name) => Some(format!("header:{}", name.replace('_', "-"))),
            None => {
                let why = format!(
                    "a rate by `{}` is not there, only by address or by a field; it was left out",
                    shown(key)
                );
                return import.security(limit, why);
            }
        },
    };
    let Some((rate, is_minute)) = parameter(zone, "rate=").and_then(|rate| {
        let per_second = rate.strip_suffix("r/s").map(|number| (number, false));
        let (number, is_minute) =
            per_second.or_else(|| rate.strip_suffix("r/m").map(|number| (number, true)))?;
        digits(number).filter(|number| *number > 0).map(|number| (number, is_minute))
    }) else {
        return import.security(limit, "its rate was not understood, so no rate is limited");
    };
    let burst = parameter(limit, "burst=").and_then(|burst| digits(&burst)).unwrap_or(0);
    let per_second = if is_minute { rate.div_ceil(60) } else { rate };
    if is_minute && !rate.is_multiple_of(60) {
        let why = format!(
            "{rate} requests a minute became {per_second} a second: rates are whole numbers a \
             second, and this one lets in more"
        );
        import.security(zone, why);
    }
    if !import.used_zones.insert(zone.arg(0).to_owned() + &zone.shown()) {
        let why = "several routes share its zone, and each counts by itself here: more is let in";
        import.security(limit, why);
    }
    let table = route.table.table("rate_limit");
    table.set("rate", per_second.min(1_000_000));
    // nginx lets in one request, and as many beside it as `burst` says.
    let burst = burst.saturating_add(1).min(1_000_000);
    if burst != per_second {
        table.set("burst", burst);
    }
    if let Some(by) = by {
        table.set("by", by);
    }
    if burst > 1 && !limit.args.iter().any(|arg| arg == "nodelay") && !import.told.delays {
        import.told.delays = true;
        let why = "requests above the rate are not delayed: up to `burst` are answered at once";
        import.note(limit, why);
    }
}

/// `limit_conn` of a location: Ringway bounds connections of a listener only.
pub(super) fn connections_within(import: &mut Import<'_>, scope: &Scope<'_>) {
    for limit in scope.own("limit_conn").to_vec() {
        let why = "connections are bounded by listener: `source_connections_max`; left out here";
        import.security(limit, why);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn rules_in_order_become_lists() {
        let table = [
            ("", Ok(("", "", false))),
            ("deny 10.0.0.0/8;", Ok(("", "10.0.0.0/8", false))),
            ("allow 10.1.2.3/8; deny all;", Ok(("10.0.0.0/8", "", false))),
            ("deny 10.0.0.1; allow 10.0.0.0/8; deny all;", Ok(("10.0.0.0/8", "10.0.0.1", false))),
            ("allow 10.0.0.0/8; deny 192.0.2.0/24;", Ok(("", "192.0.2.0/24", false))),
            ("deny all;", Ok(("", "", true))),
            ("allow all; deny all;", Ok(("", "", false))),
            ("allow unix:; allow ::1; deny all;", Ok(("::1", "", false))),
            ("allow 10.0.0.0/8; deny 10.0.0.1; deny all;", Err("overlap")),
            ("allow unix:; deny all;", Err("Unix")),
            ("deny example.com;", Err("no network")),
        ];
        for (text, expected) in table {
            let directives = parse("t", text, &|_| Ok(Vec::new())).expect(text);
            let rules: Vec<_> = directives.iter().collect();
            match (lists(&rules), expected) {
                (Ok(found), Ok((allow, deny, nobody))) => {
                    assert_eq!(found.allow.join(" "), allow, "{text}");
                    assert_eq!(found.deny.join(" "), deny, "{text}");
                    assert_eq!(found.nobody, nobody, "{text}");
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
