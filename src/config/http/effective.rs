//! The part of HTTP of the configuration in effect.

use std::fmt;

use toml::{Table, Value};

use super::super::effective::{quoted, write_all};
use super::super::kinds::Kind;
use super::super::schema::word;
use super::super::units::Size;
use super::super::{Config, ServerAddress};
use super::schema::actions_of;
use super::websocket::RELAY_FORMAT_WORDS;
use super::{
    AccessLog, AccessLogFormat, AccessLogTarget, Action, Auth, BODY_MAX, CertificateCondition,
    HashOn, HeaderEdits, HealthKind, HealthOptions, HostPattern, HttpOptions, HttpUpstream,
    Origins, PathPattern, RateLimit, Route, Secret, ServerShare, SocketLimits, Users,
    WebSocketOptions, WebSocketService,
};
use crate::service::http::template::Template;

/// A line: a key and its value.
type Line = (&'static str, Value);

/// Writes the keys and tables of HTTP of a listener.
pub(in super::super) fn listener(
    options: &HttpOptions,
    config: &Config,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let lines = options.lines().into_iter().chain(options.http2.lines());
    write_all(lines.chain(options.access.lines()), f)?;
    if let Some(log) = &options.access_log {
        writeln!(f, "\n[listener.access_log]")?;
        write_all(access_log(log), f)?;
    }
    for item in &options.routes {
        writeln!(f, "\n[[listener.route]]")?;
        write_all(route(item, config), f)?;
    }
    Ok(())
}

fn access_log(log: &AccessLog) -> Vec<Line> {
    let (form, template) = match &log.format {
        AccessLogFormat::Common => ("common", None),
        AccessLogFormat::Combined => ("combined", None),
        AccessLogFormat::Json => ("json", None),
        AccessLogFormat::Template(template) => ("template", Some(template)),
    };
    let mut lines = vec![("format", quoted(form))];
    lines.extend(template.map(|template| ("template", quoted(template.text()))));
    lines.push((
        "path",
        match &log.target {
            AccessLogTarget::Stdout => quoted("stdout"),
            AccessLogTarget::File(path) => quoted(&path.display().to_string()),
        },
    ));
    lines
}

/// The keys of a route, in their order.
pub(in super::super) fn route(route: &Route, config: &Config) -> Vec<Line> {
    let mut lines =
        vec![("name", quoted(&route.name)), ("host", list(route.hosts.iter().map(host)))];
    match &route.path {
        PathPattern::Any => {}
        PathPattern::Exact(path) => lines.push(("path", quoted(path))),
        PathPattern::Prefix(prefix) => lines.push(("path_prefix", quoted(prefix))),
        PathPattern::Regex(regex) => lines.push(("path_regex", quoted(regex.as_str()))),
    }
    lines.push((
        "method",
        match route.methods.as_slice() {
            [] => quoted("*"),
            methods => list(methods.iter().cloned()),
        },
    ));
    let conditions = route.headers.iter();
    let conditions = conditions.map(|one| (&*one.name, one.value.as_deref().unwrap_or("*")));
    lines.push(("header", table(conditions)));
    let chosen = action(&route.action, config, &mut lines);
    let rewrite = route.prefix_rewrite.as_deref().map(quoted);
    let whole = route.path_rewrite.as_ref();
    let mut rest =
        vec![("prefix_rewrite", or_off(rewrite)), ("body_max", BODY_MAX.write(&route.body_max))];
    rest.extend(whole.map(|path| ("path_rewrite", quoted(path.text()))));
    rest.extend(route.lines());
    rest.extend(route.compression.lines());
    rest.extend([
        ("request_headers", edits(&route.request_headers)),
        ("response_headers", edits(&route.response_headers)),
    ]);
    rest.extend(route.access.lines());
    rest.extend(route.rate_limit.as_ref().map(|limit| ("rate_limit", rate_limit(limit))));
    rest.extend(route.auth.as_ref().map(|item| ("auth", auth(item))));
    let inspect = route.websocket_inspect.as_ref();
    rest.extend(inspect.map(|limits| ("websocket_inspect", values(socket_limits(limits)))));
    let certificate = route.client_certificate.as_ref();
    rest.extend(certificate.map(|item| ("client_certificate", certificate_condition(item))));
    let applies = |key: &str| actions_of(key).is_none_or(|actions| actions.contains(&chosen));
    lines.extend(rest.into_iter().filter(|(key, _)| applies(key)));
    lines
}

fn host(host: &HostPattern) -> String {
    match host {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(parent) => format!("*.{parent}"),
    }
}

/// Adds the keys of an action, and gives the one that it is chosen by.
fn action(action: &Action, config: &Config, lines: &mut Vec<Line>) -> &'static str {
    match action {
        Action::Proxy { upstream } => {
            lines.push(("proxy", upstream_name(*upstream, config)));
            "proxy"
        }
        Action::Files(options) => {
            lines.push(("files", quoted(&options.root.display().to_string())));
            lines.extend(options.lines());
            "files"
        }
        Action::Redirect { location, status } => {
            lines.push(("redirect", quoted(location.text())));
            lines.push(("status", Value::from(u32::from(*status))));
            "redirect"
        }
        Action::Respond { body, status, content_type } => {
            lines.push(("respond", quoted(body)));
            lines.push(("status", Value::from(u32::from(*status))));
            lines.push(("content_type", quoted(content_type)));
            "respond"
        }
        Action::Echo => {
            lines.push(("echo", Value::from(true)));
            "echo"
        }
        Action::Handler(name) => {
            lines.push(("handler", quoted(name)));
            "handler"
        }
        Action::WebSocket(options) => {
            lines.push(("websocket", websocket(options, config)));
            "websocket"
        }
        Action::StatusPage => {
            lines.push(("status_page", Value::from(true)));
            "status_page"
        }
        Action::WebSocketPage => {
            lines.push(("websocket_page", Value::from(true)));
            "websocket_page"
        }
    }
}

fn upstream_name(index: usize, config: &Config) -> Value {
    quoted(config.upstreams.get(index).map_or("", |upstream| upstream.name.as_str()))
}

fn websocket(options: &WebSocketOptions, config: &Config) -> Value {
    let service = &options.service;
    let mut lines = vec![("service", quoted(service.word()))];
    match service {
        WebSocketService::Echo => {}
        WebSocketService::Topics { topics, publish, subscribe } => {
            let name = config.topics.get(*topics).map_or("", |topics| topics.name.as_str());
            lines.push(("topics", quoted(name)));
            lines.push(("publish", Value::from(*publish)));
            lines.push(("subscribe", Value::from(*subscribe)));
        }
        WebSocketService::Relay { upstream, format } => {
            lines.push(("upstream", upstream_name(*upstream, config)));
            lines.push(("relay_format", quoted(word(RELAY_FORMAT_WORDS, *format))));
        }
        WebSocketService::Handler(name) => lines.push(("handler", quoted(name))),
    }
    if service.has("subprotocols") {
        lines.push(("subprotocols", list(options.subprotocols.iter().cloned())));
    }
    lines.push(("origins", origins(&options.origins)));
    lines.extend(socket_limits(&options.limits));
    lines.extend(options.lines());
    values(lines)
}

fn socket_limits(limits: &SocketLimits) -> Vec<Line> {
    let (rate, burst) = limits.message_rate.unzip();
    let mut lines = vec![
        ("message_max", size(limits.message_max)),
        ("frame_max", size(limits.frame_max)),
        ("message_rate", or_off(rate.map(Value::from))),
    ];
    lines.extend(burst.map(|burst| ("message_burst", Value::from(burst))));
    lines.extend(limits.lines());
    lines
}

fn origins(origins: &Origins) -> Value {
    match origins {
        Origins::Any => list(["*".to_owned()]),
        Origins::Listed { same, others } => {
            let same = same.then(|| "same".to_owned());
            list(same.into_iter().chain(others.iter().cloned()))
        }
    }
}

fn edits(edits: &HeaderEdits) -> Value {
    let pairs = |pairs: &[(String, Secret<Template>)]| {
        let pairs = pairs.iter();
        table(pairs.map(|(name, value)| (&**name, value.text(Template::text))))
    };
    values([
        ("set", pairs(&edits.set)),
        ("add", pairs(&edits.add)),
        ("remove", list(edits.remove.iter().cloned())),
    ])
}

fn rate_limit(limit: &RateLimit) -> Value {
    values([("rate", Value::from(limit.rate))].into_iter().chain(limit.lines()))
}

fn certificate_condition(condition: &CertificateCondition) -> Value {
    let CertificateCondition { subject, name, fingerprint } = condition;
    let text = |text: &Option<String>| quoted(text.as_deref().unwrap_or("*"));
    values([("subject", text(subject)), ("name", text(name)), ("fingerprint", text(fingerprint))])
}

fn auth(auth: &Auth) -> Value {
    let users = match &auth.users {
        Users::Listed(users) => {
            let users = users.iter().map(|(name, hash)| (&**name, hash.text(String::as_str)));
            ("users", table(users))
        }
        Users::File(path) => ("users_file", quoted(&path.display().to_string())),
    };
    values([("realm", quoted(&auth.realm)), users])
}

/// The servers of an upstream, with their shares.
pub(in super::super) fn servers(addresses: &[ServerAddress], shares: &[ServerShare]) -> Value {
    let usual = ServerShare::default();
    let shares = shares.iter().chain(std::iter::repeat(&usual));
    let servers = addresses.iter().zip(shares).map(|(address, share)| {
        values([
            ("address", Value::from(address.to_string())),
            ("weight", Value::from(share.weight)),
            ("priority", Value::from(u32::from(share.priority))),
        ])
    });
    Value::Array(servers.collect())
}

/// The keys and tables of an upstream of which HTTP proxies use all, and others some.
pub(in super::super) fn upstream(
    options: &HttpUpstream,
    applies: impl Fn(&str) -> bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut lines = options.lines();
    lines.extend(options.health.as_ref().map(|item| ("health", health(item))));
    lines.extend(options.eject.as_ref().map(|item| ("eject", values(item.lines()))));
    lines.extend(options.hash_on.as_ref().map(|on| ("hash_on", quoted(&hash_on(on)))));
    lines.retain(|(key, _)| applies(key));
    write_all(lines, f)
}

fn hash_on(on: &HashOn) -> String {
    match on {
        HashOn::Source => "source".to_owned(),
        HashOn::Path => "path".to_owned(),
        HashOn::Header(name) => format!("header:{name}"),
        HashOn::Cookie(name) => format!("cookie:{name}"),
    }
}

fn health(health: &HealthOptions) -> Value {
    let mut lines = match &health.kind {
        HealthKind::Tcp => vec![("kind", quoted("tcp"))],
        HealthKind::Tls => vec![("kind", quoted("tls"))],
        HealthKind::Frame => vec![("kind", quoted("frame"))],
        HealthKind::Grpc(check) => vec![
            ("kind", quoted("grpc")),
            ("service", quoted(&check.service)),
            ("host", quoted(check.host.as_deref().unwrap_or("server"))),
        ],
        HealthKind::Http(check) => {
            let statuses = check.statuses.iter().map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => Value::from(u32::from(*first)),
                (first, last) => Value::from(format!("{first}-{last}")),
            });
            vec![
                ("kind", quoted("http")),
                ("path", quoted(&check.path)),
                ("status", Value::Array(statuses.collect())),
                ("body", quoted(check.body.as_deref().unwrap_or_default())),
                ("host", quoted(check.host.as_deref().unwrap_or("server"))),
            ]
        }
    };
    lines.extend(health.lines());
    values(lines)
}

fn size(bytes: impl Into<u64>) -> Value {
    Value::from(Size(bytes.into()).to_string())
}

fn or_off(value: Option<Value>) -> Value {
    value.unwrap_or_else(|| quoted("off"))
}

fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(items.into_iter().map(Into::into).collect())
}

fn table<'t, T: AsRef<str>>(pairs: impl IntoIterator<Item = (&'t str, T)>) -> Value {
    values(pairs.into_iter().map(|(name, value)| (name, quoted(value.as_ref()))))
}

fn values<'t>(pairs: impl IntoIterator<Item = (&'t str, Value)>) -> Value {
    Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Table>())
}
