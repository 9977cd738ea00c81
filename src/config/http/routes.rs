//! From `[[listener.route]]` tables to raw values.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::super::accept as values;
use super::super::kinds::Kind;
use super::super::report::Mistake;
use super::super::section::{Field, Section};
use super::accept;
use super::endpoint::{RawWebSocket, websocket, websocket_inspect};
use super::route_parts::{
    auth, client_certificate as client_certificate_of, edits, files_options, header_conditions,
    rate_limit,
};
use super::schema::{
    ACTIONS, CLIENT_CERTIFICATE, CONDITIONS_MAX, HANDLER_NAME_MAX, PATHS, RATE_LIMIT,
    REQUEST_HEADERS, RESPOND_STATUS_RANGE, RESPONSE_HEADERS, ROUTE, ROUTES_MAX, TEXT_SIZE_MAX,
    actions_of,
};
use super::websocket::{WEBSOCKET, WEBSOCKET_INSPECT};
use super::{
    AccessLists, Action, BODY_MAX, Compression, HostPattern, PathPattern, Route, WebSocketOptions,
};
use crate::service::http::template::Template;

/// `status` of a redirect: found for now.
const REDIRECT_STATUS: u16 = 302;
/// `status` of a text.
const RESPOND_STATUS: u16 = 200;
/// `content_type` of a text.
const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// A route whose reference is still a name.
#[derive(Debug)]
pub(in super::super) struct RawRoute {
    /// Its name, if the file gives one.
    pub(in super::super) name: Option<Spanned<String>>,
    /// The upstream of a proxy, or of a relay of WebSockets.
    pub(in super::super) upstream: Field<String>,
    /// Whether it is one of a relay.
    pub(in super::super) is_relay: bool,
    /// The topics of an endpoint of WebSockets.
    pub(in super::super) topics: Option<Spanned<String>>,
    /// Whether it is clear which upstream it has, or that it has none.
    pub(in super::super) is_known: bool,
    /// Where it asks for a certificate of the client, if it does.
    pub(in super::super) certificate: Option<Range<usize>>,
    /// The rest of it: it has no upstream and no topics yet. `None` if its action is not
    /// understood.
    pub(in super::super) rest: Option<Route>,
}

/// The routes of a listener, and whether all that may be one could be read.
pub(super) fn routes(
    section: &mut Section<'_, '_>,
    listener_body_max: Option<u64>,
) -> (Vec<RawRoute>, bool) {
    const HELP: &str = "write each route as a [[listener.route]] table, with one action: proxy, \
                        files, redirect, respond, echo, status_page, websocket_page, handler or \
                        websocket";
    let Some(value) = section.take("route") else {
        let is_misspelt = section.has_misspelt("route");
        return (Vec::new(), !is_misspelt);
    };
    let (span, got) = (value.span(), values::kind(value.get_ref()));
    let DeValue::Array(elements) = value.into_inner() else {
        let message = format!("`route`: expected an array of tables, got {got}");
        section.report(Mistake::new(span, message, HELP));
        return (Vec::new(), false);
    };
    if !(1..=ROUTES_MAX).contains(&elements.len()) {
        let message = format!("`route`: expected 1 to {ROUTES_MAX} tables, got {}", elements.len());
        section.report(Mistake::new(span, message, HELP));
    }
    let mut are_known = true;
    let mut routes = Vec::with_capacity(elements.len());
    let mut regexes = accept::Regexes::default();
    for (number, element) in (1_usize..).zip(elements) {
        are_known &= element.get_ref().is_table();
        let section = section.nested(ROUTE, element);
        routes.push(route(section, number, listener_body_max, &mut regexes));
    }
    (routes, are_known)
}

/// Reads the defaults of routes, for the mistakes in them.
pub(in super::super) fn default_route(table: Spanned<DeValue<'_>>, mistakes: &mut Vec<Mistake>) {
    let section = Section::open(ROUTE, Some(table), mistakes).partial();
    let section = section.titled("[defaults.route]".to_owned());
    drop(route(section, 0, None, &mut accept::Regexes::default()));
}

fn route(
    mut section: Section<'_, '_>,
    number: usize,
    listener_body_max: Option<u64>,
    regexes: &mut accept::Regexes,
) -> RawRoute {
    let given = section.given();
    let name = section.optional("name", values::name).value();
    let conditions = 1..=CONDITIONS_MAX;
    let hosts = section.list("host", &conditions, accept::host);
    let path = path(&mut section, &given, regexes);
    let methods = section.list("method", &conditions, accept::method).unwrap_or_default();
    let headers = header_conditions(&mut section);
    let proxy = section.optional("proxy", values::name);
    let (socket, upstream, topics) = endpoint(&mut section);
    let action = action(&mut section, &given, (&proxy, socket));
    let rewrites = rewrites(&mut section, &path, &given);
    if is_read(&given, &path) {
        check_captures(&mut section, &path, action.as_ref(), rewrites.1.as_ref());
    }
    let body_max = BODY_MAX.read("body_max", &mut section);
    let rest = Route::read(&mut section);
    let inspect = section.table("websocket_inspect", WEBSOCKET_INSPECT).map(websocket_inspect);
    let access = AccessLists::read(&mut section);
    let compression = Compression::read(&mut section);
    let request_headers = section.table("request_headers", REQUEST_HEADERS);
    let request_headers = request_headers.map(|section| edits(section, true));
    let response_headers = section.table("response_headers", RESPONSE_HEADERS);
    let response_headers = response_headers.map(|section| edits(section, false));
    let rate_limit = section.table("rate_limit", RATE_LIMIT).and_then(rate_limit);
    let auth = auth(&mut section);
    let certificate_key = given.iter().find(|key| *key.get_ref() == "client_certificate");
    let client_certificate = section.table("client_certificate", CLIENT_CERTIFICATE);
    let client_certificate = client_certificate.map(client_certificate_of);
    let has_action = has_action(&mut section, &given);
    section.finish();
    let any_method = methods.iter().any(Option::is_none);
    RawRoute {
        is_known: has_action
            && !matches!(proxy, Field::Mistake)
            && !matches!(upstream, Some(Field::Mistake)),
        is_relay: upstream.is_some(),
        upstream: upstream.unwrap_or(proxy),
        topics,
        certificate: certificate_key.map(Spanned::span),
        rest: action.map(|(action, _)| Route {
            name: name
                .as_ref()
                .map_or_else(|| format!("route-{number}"), |name| name.get_ref().clone()),
            hosts: hosts.unwrap_or_else(|| vec![HostPattern::Any]),
            path,
            methods: if any_method { Vec::new() } else { methods.into_iter().flatten().collect() },
            headers,
            client_certificate,
            action,
            prefix_rewrite: rewrites.0,
            path_rewrite: rewrites.1.map(Spanned::into_inner),
            request_headers: request_headers.unwrap_or_default(),
            response_headers: response_headers.unwrap_or_default(),
            body_max: body_max.or(listener_body_max),
            websocket_inspect: inspect,
            access,
            rate_limit,
            auth,
            compression,
            ..rest
        }),
        name,
    }
}

/// The endpoint of WebSockets that a route may be: its options, its upstream and its topics.
type Endpoint = (Option<WebSocketOptions>, Option<Field<String>>, Option<Spanned<String>>);

fn endpoint(section: &mut Section<'_, '_>) -> Endpoint {
    match section.table("websocket", WEBSOCKET).map(websocket) {
        Some(RawWebSocket { options, upstream, topics }) => (options, Some(upstream), topics),
        None => (None, None, None),
    }
}

/// Whether a route has an action; one that has none is reported.
fn has_action(section: &mut Section<'_, '_>, given: &[Spanned<&'static str>]) -> bool {
    let is_misspelt = ACTIONS.iter().any(|action| section.has_misspelt(action));
    let has_action = given.iter().any(|key| ACTIONS.contains(key.get_ref()));
    if !has_action && !is_misspelt {
        let message = "this route has no action";
        section.miss("proxy", message.to_owned(), format!("add one of: {}", ACTIONS.join(", ")));
    }
    has_action
}

/// The keys of a choice that a table has: the first holds, and the others are reported.
fn only(
    section: &mut Section<'_, '_>,
    given: &[Spanned<&'static str>],
    choice: &[&str],
) -> Option<&'static str> {
    let mut chosen: Vec<_> = given.iter().filter(|key| choice.contains(key.get_ref())).collect();
    chosen.sort_by_key(|key| key.span().start);
    let (first, others) = chosen.split_first()?;
    for other in others {
        section.report(Mistake::new(
            other.span(),
            format!("`{}` stands beside `{}`", other.get_ref(), first.get_ref()),
            format!("a route has one of: {}", choice.join(", ")),
        ));
    }
    Some(*first.get_ref())
}

fn path(
    section: &mut Section<'_, '_>,
    given: &[Spanned<&'static str>],
    regexes: &mut accept::Regexes,
) -> PathPattern {
    only(section, given, PATHS);
    let exact = section.optional("path", accept::path).value();
    let prefix = section.optional("path_prefix", accept::path).value();
    let regex = section.optional("path_regex", |v| accept::regex(v, regexes)).value();
    let exact = exact.map(|path| PathPattern::Exact(path.into_inner()));
    let prefix = prefix.map(|path| PathPattern::Prefix(path.into_inner()));
    let regex = regex.map(|regex| PathPattern::Regex(regex.into_inner()));
    exact.or(prefix).or(regex).unwrap_or(PathPattern::Any)
}

/// Whether the path of a route is known: one that is a mistake is told of already.
fn is_read(given: &[Spanned<&'static str>], path: &PathPattern) -> bool {
    let has_one = given.iter().any(|key| PATHS.contains(key.get_ref()));
    !has_one || *path != PathPattern::Any
}

/// What stands in the place of the matched prefix, and of the whole path.
fn rewrites(
    section: &mut Section<'_, '_>,
    path: &PathPattern,
    given: &[Spanned<&'static str>],
) -> (Option<String>, Option<Spanned<Template>>) {
    let prefix = section.optional("prefix_rewrite", |v| values::unless(v, "off", accept::path));
    let prefix = prefix.value();
    let is_prefix = matches!(path, PathPattern::Prefix(_));
    let is_wrong = !is_prefix && is_read(given, path);
    if let Some(prefix) = prefix.as_ref().filter(|one| one.get_ref().is_some() && is_wrong) {
        section.report(Mistake::new(
            prefix.span(),
            "`prefix_rewrite` replaces `path_prefix`, and this route has none",
            "set `path_prefix`, or remove it",
        ));
    }
    let whole = section.optional("path_rewrite", accept::path_template).value();
    if let Some(whole) = &whole
        && !matches!(path, PathPattern::Regex(_))
        && is_read(given, path)
    {
        section.report(Mistake::new(
            whole.span(),
            "`path_rewrite` is for a route with `path_regex`",
            "set `path_regex`, or use `prefix_rewrite` with `path_prefix`",
        ));
    }
    (prefix.and_then(Spanned::into_inner), whole)
}

/// Templates name groups that the regular expression has.
fn check_captures(
    section: &mut Section<'_, '_>,
    path: &PathPattern,
    action: Option<&(Action, Range<usize>)>,
    rewrite: Option<&Spanned<Template>>,
) {
    let groups = match path {
        PathPattern::Regex(regex) => Some(regex.groups()),
        PathPattern::Any | PathPattern::Exact(_) | PathPattern::Prefix(_) => None,
    };
    let location = action.and_then(|(action, span)| Some((action.location()?, span.clone())));
    let rewrite = rewrite.map(|rewrite| (rewrite.get_ref(), rewrite.span()));
    for (template, span) in location.into_iter().chain(rewrite) {
        let Some(most) = template.capture_max() else { continue };
        let (message, help) = match groups {
            Some(groups) if usize::from(most) <= groups => continue,
            Some(groups) => (
                format!("there is no group ${most}: the `path_regex` of this route has {groups}"),
                "a group is what stands in parentheses; `$0` is all that was found",
            ),
            None => (
                format!("`${most}` is a group of `path_regex`, and this route has none"),
                "set `path_regex`; `$$` is a dollar",
            ),
        };
        section.report(Mistake::new(span, message, help));
    }
}

/// The action of a route, and the keys that only some actions have.
fn action(
    section: &mut Section<'_, '_>,
    given: &[Spanned<&'static str>],
    (proxy, socket): (&Field<String>, Option<WebSocketOptions>),
) -> Option<(Action, Range<usize>)> {
    let chosen = only(section, given, ACTIONS);
    for key in given {
        let own = actions_of(key.get_ref());
        if let (Some(own), Some(chosen)) = (own, chosen)
            && !own.contains(&chosen)
        {
            let list: Vec<_> = own.iter().map(|own| format!("`{own}`")).collect();
            section.report(Mistake::new(
                key.span(),
                format!("`{}` is for a route with {}", key.get_ref(), values::either(&list)),
                format!("remove it: this route has `{chosen}`"),
            ));
        }
    }
    let is_of_files =
        |key: &&'static str| *key == "files" || actions_of(key) == Some(&["files"] as &[_]);
    let has_files = given.iter().map(Spanned::get_ref).any(is_of_files);
    let files = if has_files { files_options(section) } else { None };
    let location = section.optional("redirect", accept::location).value();
    let place = location.as_ref().map(Spanned::span).unwrap_or_default();
    let is_redirect = chosen == Some("redirect");
    let status = section.optional("status", |v| match is_redirect {
        true => accept::redirect_status(v),
        false => values::whole(v, &RESPOND_STATUS_RANGE),
    });
    let body = section.optional("respond", |v| values::text(v, TEXT_SIZE_MAX)).value();
    let content_type = section.optional("content_type", accept::value_of_field);
    let echo = section.optional("echo", accept::truth).value();
    let status_page = section.optional("status_page", accept::truth).value();
    let websocket_page = section.optional("websocket_page", accept::truth).value();
    let handler = section.optional("handler", |v| values::text(v, HANDLER_NAME_MAX)).value();
    let action = match chosen? {
        "proxy" => matches!(proxy, Field::Value(_)).then_some(Action::Proxy { upstream: 0 }),
        "files" => files.map(Box::new).map(Action::Files),
        "redirect" => location.map(|location| Action::Redirect {
            location: location.into_inner(),
            status: status.or(REDIRECT_STATUS),
        }),
        "respond" => body.map(|body| Action::Respond {
            body: body.into_inner(),
            status: status.or(RESPOND_STATUS),
            content_type: content_type.or(CONTENT_TYPE.to_owned()),
        }),
        "echo" => echo.map(|_| Action::Echo),
        "handler" => handler.map(|name| Action::Handler(name.into_inner())),
        "websocket" => socket.map(Box::new).map(Action::WebSocket),
        "websocket_page" => websocket_page.map(|_| Action::WebSocketPage),
        _ => status_page.map(|_| Action::StatusPage),
    };
    Some((action?, place))
}
