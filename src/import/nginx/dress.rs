//! What the routes of a location have beside their action: header edits, limits, compression.

use super::super::convert::{self, digits, nginx_size, shown, size};
use super::super::document::{Edits, Route, Value};
use super::Import;
use super::access::{self, Guard};
use super::parse::Directive;
use super::scope::Scope;
use super::template::{Part, View, parts, template};

/// Content types that Ringway compresses unless it is told otherwise.
const TYPES: &[&str] = &[
    "text/html",
    "text/css",
    "text/plain",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/xml",
    "image/svg+xml",
];

/// Edits of one list.
const EDITS_MAX: usize = 64;

/// What all answers have: also those of `return`, which nginx gives before it asks access rules.
pub(super) fn answers(import: &mut Import<'_>, view: &View, scope: &Scope<'_>, route: &mut Route) {
    if view.needs_certificate {
        route.table.table("client_certificate");
    }
    for directive in scope.all("add_header").iter().take(EDITS_MAX).copied().collect::<Vec<_>>() {
        let (name, value) = (directive.arg(0), directive.arg(1));
        if !convert::is_field(name) || convert::is_framing(name) || value.trim().is_empty() {
            import.note(directive, "this field cannot be added");
            continue;
        }
        let is_type = name.eq_ignore_ascii_case("content-type");
        if is_type && route.table.has("respond") && !value.contains('$') {
            route.table.set("content_type", value.trim());
            continue;
        }
        let is_cache = name.eq_ignore_ascii_case("cache-control");
        if is_cache && route.table.has("files") && !value.contains('$') {
            let old = match route.table.get("cache_control") {
                Some(Value::Text(old)) => format!("{old}, "),
                Some(_) | None => String::new(),
            };
            route.table.set("cache_control", format!("{old}{}", value.trim()));
            continue;
        }
        let value = match template(value.trim(), view, 0) {
            Ok(value) if value.starts_with("file:") => {
                import.note(directive, "a value that begins with `file:` names a file in Ringway");
                continue;
            }
            Ok(value) => value,
            Err(variable) => {
                import.note(directive, format!("{variable} is not known in Ringway; left out"));
                continue;
            }
        };
        route.response.add(name, value);
        if directive.arg(2) != "always" && !import.told.errors {
            import.told.errors = true;
            let why = "fields are added to errors as well, as with `always`";
            import.note(directive, why);
        }
    }
}

/// What routes with a body have, too. `true`: the route is closed.
pub(super) fn content(
    import: &mut Import<'_>,
    view: &View,
    scope: &Scope<'_>,
    route: &mut Route,
) -> bool {
    match access::guard(import, scope, route) {
        Guard::Kept => {}
        Guard::Closed => {
            *route = Route::respond(route.path.clone(), 403, convert::reason(403));
            return true;
        }
        Guard::Lost => {
            *route = Route::closed(route.path.clone());
            return true;
        }
    }
    expires(import, scope, route);
    answers(import, view, scope, route);
    for directive in scope.all("proxy_hide_header").to_vec() {
        if convert::is_field(directive.arg(0)) && !convert::is_framing(directive.arg(0)) {
            route.response.remove(directive.arg(0));
        }
    }
    if let Some(directive) = scope.last("client_max_body_size") {
        match nginx_size(directive.arg(0)) {
            Some(0) => route.table.set("body_max", "off"),
            // The default of Ringway.
            Some(bytes) if bytes == 16 << 20 => {}
            Some(bytes) => route.table.set("body_max", size(bytes.min(1 << 40))),
            None => import.note(directive, "is no size"),
        }
    }
    compression(scope, route);
    false
}

fn compression(scope: &Scope<'_>, route: &mut Route) {
    if !scope.is_on("gzip") && !scope.is_on("brotli") {
        return;
    }
    route.table.set("compress", true);
    let types = scope.all_of_two("gzip_types", "brotli_types");
    let given = types.iter().flat_map(|directive| &directive.args);
    let mut list: Vec<String> = vec!["text/html".to_owned()];
    for kind in given.map(|kind| kind.to_ascii_lowercase()) {
        let is_type = kind.split_once('/').is_some_and(|(kind, sub)| {
            convert::is_field(kind) && convert::is_field(sub) && !sub.contains('*')
        });
        if is_type && !list.contains(&kind) && list.len() < 256 {
            list.push(kind);
        }
    }
    if list.iter().any(|kind| !TYPES.contains(&kind.as_str())) {
        route.table.set("compress_types", list);
    }
    let least = scope.last("gzip_min_length").and_then(|directive| digits(directive.arg(0)));
    if let Some(least) = least.filter(|least| !matches!(least, 1000 | 1024)) {
        route.table.set("compress_min", size(least.min(1 << 30)));
    }
}

/// `expires`: the field `cache-control`.
fn expires(import: &mut Import<'_>, scope: &Scope<'_>, route: &mut Route) {
    let Some(directive) = scope.last("expires") else { return };
    let word = if directive.arg(0) == "modified" { directive.arg(1) } else { directive.arg(0) };
    let value = match word {
        "off" => return,
        "epoch" => "no-cache".to_owned(),
        "max" => "max-age=315360000".to_owned(),
        word if word.starts_with('-') => "no-cache".to_owned(),
        word => match convert::nginx_time(word.trim_start_matches('+')) {
            Some(time) => format!("max-age={}", time / 1_000),
            None => {
                let why = format!("`{}` is no fixed time; set `cache_control_by`", shown(word));
                return import.note(directive, why);
            }
        },
    };
    match route.table.has("files") {
        true => route.table.set("cache_control", value),
        false => route.response.set("cache-control", value),
    }
}

/// `proxy_set_header` or `grpc_set_header`: what servers get.
pub(super) fn requests(
    import: &mut Import<'_>,
    view: &View,
    scope: &Scope<'_>,
    name: &str,
    edits: &mut Edits,
) -> bool {
    let mut passes_host = false;
    for directive in scope.all(name).iter().take(EDITS_MAX).copied().collect::<Vec<_>>() {
        let (field, value) = (directive.arg(0).to_ascii_lowercase(), directive.arg(1));
        if field == "host" {
            passes_host = true;
        }
        if !is_default(&field, value) {
            request_field(import, view, directive, &field, edits);
        }
    }
    passes_host
}

/// Whether Ringway sends a field so of its own accord.
fn is_default(field: &str, value: &str) -> bool {
    match field {
        "host" => matches!(value, "$host" | "$http_host" | "${host}" | "$host:$server_port"),
        "x-forwarded-for" => value == "$proxy_add_x_forwarded_for",
        "x-forwarded-proto" => value == "$scheme",
        "x-forwarded-host" => matches!(value, "$host" | "$http_host"),
        "x-request-id" => matches!(value, "$request_id" | "$http_x_request_id"),
        // WebSockets and other upgrades are passed on of themselves.
        _ => convert::is_framing(field),
    }
}

fn request_field(
    import: &mut Import<'_>,
    view: &View,
    directive: &Directive,
    field: &str,
    edits: &mut Edits,
) {
    if !convert::is_field(field) {
        return import.note(directive, "is no field");
    }
    if value_is_own(field, directive.arg(1)) {
        return;
    }
    match directive.arg(1).trim() {
        "" => edits.remove(field),
        // The list starts again with the client's address.
        "$remote_addr" | "$realip_remote_addr" if field == "x-forwarded-for" => {
            edits.set(field, "$source");
        }
        value => match template(value, view, 0) {
            Ok(value) if value.starts_with("file:") => {
                edits.remove(field);
                let why = "a value that begins with `file:` names a file in Ringway; the field is \
                           removed from requests, so that no client can set it";
                import.security(directive, why);
            }
            Ok(value) => edits.set(field, value),
            Err(variable) if field == "host" => {
                import
                    .note(directive, format!("{variable} is not known here; `host` passes as is"));
            }
            Err(variable) => {
                // A server may believe this field: a client must not be able to send it.
                edits.remove(field);
                let why = format!(
                    "{variable} is not known in Ringway; the field is removed from requests, so \
                     that no client can set it"
                );
                import.security(directive, why);
            }
        },
    }
}

/// Whether a value is that of the same field of the client, which passes as it is.
fn value_is_own(field: &str, value: &str) -> bool {
    match parts(value).as_slice() {
        [Part::Variable(name)] => {
            name.strip_prefix("http_").is_some_and(|own| own.replace('_', "-") == field)
        }
        _ => false,
    }
}
