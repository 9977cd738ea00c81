//! `return`: texts and redirects.

use super::super::convert::{self, digits, shown};
use super::super::document::{Path, Route};
use super::Import;
use super::parse::Directive;
use super::scope::Scope;
use super::template::{View, is_location, template};

/// The route of a `return`. `groups`: what the path captures may be named.
pub(super) fn answer(
    import: &mut Import<'_>,
    view: &View,
    scope: &Scope<'_>,
    directive: &Directive,
    path: Path,
    groups: usize,
) -> Route {
    let (status, text) = match digits(directive.arg(0)) {
        Some(status) => (status, directive.arg(1)),
        None => (302, directive.arg(0)),
    };
    let status = u16::try_from(status).unwrap_or_default();
    if matches!(status, 301 | 302 | 303 | 307 | 308) && !text.is_empty() {
        return redirect(import, view, directive, path, (text, groups), status);
    }
    if status == 444 {
        import.note(directive, "Ringway always answers: 444 became 403");
        return Route::respond(path, 403, "");
    }
    if !(200..=599).contains(&status) {
        import.note(directive, "this status cannot be answered, and became 404");
        return Route::respond(path, 404, convert::reason(404));
    }
    if text.is_empty() {
        return Route::respond(path, status, convert::reason(status));
    }
    if text.contains('$') {
        import.note(directive, "texts have no variables in Ringway; the answer was left empty");
        return Route::respond(path, status, "");
    }
    if text.len() > 64 << 10 {
        import.note(directive, "texts have 64 KiB at most; the answer was left empty");
        return Route::respond(path, status, "");
    }
    let mut route = Route::respond(path, status, text);
    let kind = scope.word("default_type");
    if !matches!(kind, "" | "text/plain" | "application/octet-stream") && kind.is_ascii() {
        route.table.set("content_type", kind);
    }
    route
}

/// A route that sends the client elsewhere, or, where the target cannot be said, answers 404.
pub(super) fn redirect(
    import: &mut Import<'_>,
    view: &View,
    directive: &Directive,
    path: Path,
    (target, groups): (&str, usize),
    status: u16,
) -> Route {
    let found = template(target, view, groups);
    let location = match found {
        Ok(location) if is_location(&location) => location,
        Ok(_) => {
            let why = format!(
                "`{}` is no URL that a redirect can have (no `$1` may be a part of its host: write \
                 `/` before it); the route answers 404",
                shown(target)
            );
            import.note(directive, why);
            return Route::respond(path, 404, convert::reason(404));
        }
        Err(variable) => {
            let why = format!("{variable} is not known in Ringway; the route answers 404");
            import.note(directive, why);
            return Route::respond(path, 404, convert::reason(404));
        }
    };
    let mut route = Route { path, ..Route::default() };
    route.table.set("redirect", location);
    if status != 302 {
        route.table.set("status", u64::from(status));
    }
    route
}
