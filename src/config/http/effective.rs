//! The part of HTTP of the configuration in effect.

use std::fmt;

use toml::{Table, Value};

use super::super::effective::{quoted, write_lines};
use super::super::schema::word;
use super::super::units::{Period, Size};
use super::super::{Config, ServerAddress};
use super::schema::{
    CODING_WORDS, FORWARDED_WORDS, HALF_CLOSE_WORDS, SERVER_PROTOCOL_WORDS, SYMLINKS_WORDS,
    UNDERSCORE_WORDS, actions_of,
};
use super::websocket::RELAY_FORMAT_WORDS;
use super::{
    AccessLists, AccessLog, AccessLogFormat, AccessLogTarget, Action, Auth, CertificateCondition,
    EjectOptions, FilesOptions, HashOn, HeaderEdits, HealthKind, HealthOptions, HostHeader,
    HostPattern, HttpOptions, HttpUpstream, Origins, PathPattern, RateKey, RateLimit, RetryOn,
    Route, ServerShare, SocketLimits, Users, WebSocketOptions, WebSocketService,
};

/// A line: a key and its value.
type Line = (&'static str, Value);

/// Writes the keys and tables of HTTP of a listener.
pub(in super::super) fn listener(
    options: &HttpOptions,
    config: &Config,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write(listener_lines(options), f)?;
    if let Some(log) = &options.access_log {
        writeln!(f, "\n[listener.access_log]")?;
        write(access_log(log), f)?;
    }
    for item in &options.routes {
        writeln!(f, "\n[[listener.route]]")?;
        write(route(item, config), f)?;
    }
    Ok(())
}

fn write(lines: Vec<Line>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let lines = lines.into_iter().map(|(key, value)| (key, value.to_string()));
    write_lines(lines, |_| true, f)
}

fn listener_lines(options: &HttpOptions) -> Vec<Line> {
    let requests = options.keepalive_requests.map(Value::from);
    let connections = options.source_connections_max.map(Value::from);
    let mut lines = vec![
        ("head_size_max", size(options.head_size_max)),
        ("fields_max", Value::from(u32::from(options.fields_max))),
        ("target_size_max", size(options.target_size_max)),
        ("body_max", or_off(options.body_max.map(size))),
        ("head_timeout", period(options.head_timeout)),
        ("body_timeout", period(options.body_timeout)),
        ("body_rate_min", or_off(options.body_rate_min.map(size))),
        ("write_timeout", period(options.write_timeout)),
        ("write_rate_min", or_off(options.write_rate_min.map(size))),
        ("keepalive_timeout", period(options.keepalive_timeout)),
        ("keepalive_requests", or_off(requests)),
        ("keepalive_max_age", or_off(options.keepalive_max_age.map(period))),
        ("tunnel_timeout", period(options.tunnel_timeout)),
        ("half_close", quoted(word(HALF_CLOSE_WORDS, options.half_close))),
        ("server_header", or_off(options.server_header.as_deref().map(quoted))),
        ("reason_header", Value::from(options.reason_header)),
        ("forwarded", quoted(word(FORWARDED_WORDS, options.forwarded))),
        ("trusted_proxies", trusted_proxies(options)),
        ("underscore_headers", quoted(word(UNDERSCORE_WORDS, options.underscore_headers))),
        ("request_id_header", or_off(options.request_id_header.as_deref().map(quoted))),
        ("http2", Value::from(options.http2.enabled)),
        ("http2_streams_max", Value::from(options.http2.streams_max)),
        ("http2_window_max", size(options.http2.window_max)),
        ("http2_cookie_parts_max", Value::from(options.http2.cookie_parts_max)),
        ("http2_continuations_max", Value::from(options.http2.continuations_max)),
        ("http2_resets_max", Value::from(options.http2.resets_max)),
        ("http2_forced_resets_max", Value::from(options.http2.forced_resets_max)),
        ("http2_control_frames_max", Value::from(options.http2.control_frames_max)),
        ("http2_empty_frames_max", Value::from(options.http2.empty_frames_max)),
        ("source_connections_max", or_off(connections)),
    ];
    lines.extend(access_lists(&options.access));
    lines
}

fn trusted_proxies(options: &HttpOptions) -> Value {
    let unix = options.trusts_unix.then(|| "unix".to_owned());
    list(options.trusted_proxies.iter().map(ToString::to_string).chain(unix))
}

fn access_lists(lists: &AccessLists) -> [Line; 2] {
    let shown = |networks: &[ipnet::IpNet]| list(networks.iter().map(ToString::to_string));
    [("allow", shown(&lists.allow)), ("deny", shown(&lists.deny))]
}

fn access_log(log: &AccessLog) -> Vec<Line> {
    let (form, template) = match &log.format {
        AccessLogFormat::Common => ("common", None),
        AccessLogFormat::Combined => ("combined", None),
        AccessLogFormat::Json => ("json", None),
        AccessLogFormat::Template(template) => ("template", Some(template)),
    };
    let mut lines = vec![("format", quoted(form))];
    lines.extend(template.map(|template| ("template", quoted(template))));
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
        PathPattern::Regex(regex) => lines.push(("path_regex", quoted(regex))),
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
    let mut rest = vec![
        ("prefix_rewrite", or_off(rewrite)),
        ("body_max", or_off(route.body_max.map(size))),
        ("total_timeout", or_off(route.total_timeout.map(period))),
        ("grpc_web", Value::from(route.grpc_web)),
        ("grpc_message_max", or_off(route.grpc_message_max.map(size))),
        ("compress", Value::from(route.compression.enabled)),
        ("compress_types", list(route.compression.types.iter().cloned())),
        ("compress_min", size(route.compression.min)),
        ("request_headers", edits(&route.request_headers)),
        ("response_headers", edits(&route.response_headers)),
    ];
    rest.extend(access_lists(&route.access));
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
            lines.extend(files(options));
            "files"
        }
        Action::Redirect { location, status } => {
            lines.push(("redirect", quoted(location)));
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
    lines.extend([
        ("deflate", Value::from(options.deflate)),
        ("deflate_min", size(options.deflate_min)),
        ("deflate_level", Value::from(u32::from(options.deflate_level))),
        ("deflate_takeover", Value::from(options.deflate_takeover)),
        ("deflate_window_bits", Value::from(u32::from(options.deflate_window_bits))),
        ("drain_code", Value::from(u32::from(options.drain_code))),
        ("drain_window", period(options.drain_window)),
    ]);
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
    lines.extend([
        ("ping_interval", or_off(limits.ping_interval.map(period))),
        ("idle_timeout", or_off(limits.idle_timeout.map(period))),
        ("close_timeout", period(limits.close_timeout)),
    ]);
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

fn files(options: &FilesOptions) -> [Line; 15] {
    let codings = options.precompressed.iter().map(|coding| word(CODING_WORDS, *coding));
    let types = options.content_types.iter().map(|(end, kind)| (&**end, &**kind));
    let by_type = options.cache_control_by.iter().map(|(kind, value)| (&**kind, &**value));
    let pages: Vec<_> =
        options.error_pages.iter().map(|(status, page)| (status.to_string(), page)).collect();
    let pages = pages.iter().map(|(status, page)| (&**status, page.as_str()));
    [
        ("files", quoted(&options.root.display().to_string())),
        ("index", list(options.index.iter().cloned())),
        ("try_files", list(options.try_files.iter().map(ToString::to_string))),
        ("listing", Value::from(options.listing)),
        ("symlinks", quoted(word(SYMLINKS_WORDS, options.symlinks))),
        ("dot_files", Value::from(options.dot_files)),
        ("content_types", table(types)),
        ("default_type", quoted(&options.default_type)),
        ("precompressed", list(codings)),
        ("cache_control", or_off(options.cache_control.as_deref().map(quoted))),
        ("cache_control_by", table(by_type)),
        ("error_pages", table(pages)),
        ("file_cache_entries", Value::from(options.cache_entries)),
        ("file_cache_ttl", period(options.cache_ttl)),
        ("small_file_max", size(options.small_file_max)),
    ]
}

fn edits(edits: &HeaderEdits) -> Value {
    let pairs =
        |pairs: &[(String, String)]| table(pairs.iter().map(|(name, value)| (&**name, &**value)));
    values([
        ("set", pairs(&edits.set)),
        ("add", pairs(&edits.add)),
        ("remove", list(edits.remove.iter().cloned())),
    ])
}

fn rate_limit(limit: &RateLimit) -> Value {
    let by = match &limit.by {
        RateKey::Source => "source".to_owned(),
        RateKey::Header(name) => format!("header:{name}"),
    };
    values([
        ("rate", Value::from(limit.rate)),
        ("burst", Value::from(limit.burst)),
        ("by", quoted(&by)),
        ("entries_max", Value::from(limit.entries_max)),
    ])
}

fn certificate_condition(condition: &CertificateCondition) -> Value {
    let CertificateCondition { subject, name, fingerprint } = condition;
    let text = |text: &Option<String>| quoted(text.as_deref().unwrap_or("*"));
    values([("subject", text(subject)), ("name", text(name)), ("fingerprint", text(fingerprint))])
}

fn auth(auth: &Auth) -> Value {
    let users = match &auth.users {
        Users::Listed(users) => {
            ("users", table(users.iter().map(|(name, hash)| (&**name, &**hash))))
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
    let mut lines = vec![
        ("slow_start", or_off(options.slow_start.map(period))),
        ("retry_on", retry_on(&options.retry_on)),
        ("retry_body_max", size(options.retry_body_max)),
        ("try_timeout", or_off(options.try_timeout.map(period))),
        ("hedge_after", or_off(options.hedge_after.map(period))),
        ("hedge_calls", Value::from(options.hedge_calls)),
        ("first_byte_timeout", period(options.first_byte_timeout)),
        ("response_idle_timeout", period(options.response_idle_timeout)),
        ("requests_max", or_off(options.requests_max.map(Value::from))),
        ("retries_max", Value::from(options.retries_max)),
        ("protocol", quoted(word(SERVER_PROTOCOL_WORDS, options.protocol))),
        (
            "host_header",
            match &options.host_header {
                HostHeader::Pass => quoted("pass"),
                HostHeader::Server => quoted("server"),
                HostHeader::Name(name) => quoted(name),
            },
        ),
        ("panic_ratio", Value::from(options.panic_ratio)),
    ];
    lines.extend(options.health.as_ref().map(|item| ("health", health(item))));
    lines.extend(options.eject.as_ref().map(|item| ("eject", eject(item))));
    lines.extend(options.hash_on.as_ref().map(|on| ("hash_on", quoted(&hash_on(on)))));
    lines.retain(|(key, _)| applies(key));
    write(lines, f)
}

fn retry_on(on: &RetryOn) -> Value {
    let words = [("connect", on.connect), ("reset", on.reset), ("timeout", on.timeout)];
    let words = words.into_iter().filter(|(_, holds)| *holds).map(|(word, _)| word.to_owned());
    let codes = on.codes.iter().map(|code| format!("grpc:{code}"));
    list(words.chain(on.statuses.iter().map(ToString::to_string)).chain(codes))
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
    lines.extend([
        ("interval", period(health.interval)),
        ("timeout", period(health.timeout)),
        ("jitter", Value::from(health.jitter)),
        ("rise", Value::from(health.rise)),
        ("fall", Value::from(health.fall)),
    ]);
    values(lines)
}

fn eject(eject: &EjectOptions) -> Value {
    values([
        ("consecutive_failures", Value::from(eject.consecutive_failures)),
        ("consecutive_connect_failures", Value::from(eject.consecutive_connect_failures)),
        ("error_rate", Value::from(eject.error_rate)),
        ("latency_factor", Value::from(eject.latency_factor)),
        ("min_requests", Value::from(eject.min_requests)),
        ("interval", period(eject.interval)),
        ("time", period(eject.time)),
        ("share_max", Value::from(eject.share_max)),
    ])
}

fn size(bytes: impl Into<u64>) -> Value {
    Value::from(Size(bytes.into()).to_string())
}

fn period(duration: std::time::Duration) -> Value {
    Value::from(Period(duration).to_string())
}

fn or_off(value: Option<Value>) -> Value {
    value.unwrap_or_else(|| quoted("off"))
}

fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(items.into_iter().map(Into::into).collect())
}

fn table<'t>(pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> Value {
    values(pairs.into_iter().map(|(name, value)| (name, quoted(value))))
}

fn values<'t>(pairs: impl IntoIterator<Item = (&'t str, Value)>) -> Value {
    Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Table>())
}
