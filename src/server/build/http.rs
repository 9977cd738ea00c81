//! The configuration of HTTP becomes the sessions' own options.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::config::{
    self, Action, Config, HttpOptions as HttpConfig, Listener, PathPattern, Route, Secret,
};
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::proto::http1::HeadLimits;
use crate::proto::http2::{Limits, RequestLimits};
use crate::runtime::Current;
use crate::server::StartError;
use crate::server::access_log::{AccessFiles, Target};
use crate::server::build::tls::read;
use crate::server::plan::{Routes, TopicSets};
use crate::server::watch::{Files, Watched};
use crate::service::http::access::AccessList;
use crate::service::http::access_log::Format;
use crate::service::http::auth::Users;
use crate::service::http::certificate::CertificateMatch;
use crate::service::http::compression::CompressionRules;
use crate::service::http::edit::HeaderEdits;
use crate::service::http::route::{HeaderMatch, HostMatch, PathMatch, Rewrite, RouteMatch, Router};
use crate::service::http::template::{TEMPLATE_SIZE_MAX, Template};
use crate::service::proxy::http::InspectRules;
use crate::session::http_options::{
    AccessLogOptions, AuthOptions, FixedAnswer, Forwarded, HalfClose, HandlerOptions, HttpOptions,
    ProxyOptions, RateLimitOptions, RouteAction, RouteOptions, TrustedProxies,
};

/// Builds the options of one HTTP listener after the other.
#[derive(Debug)]
pub(in crate::server) struct HttpBuilder<'a> {
    /// What of routes goes on from plan to plan.
    pub(in crate::server) routes: &'a mut Routes,
    /// What of topics goes on from plan to plan.
    pub(in crate::server) topics: &'a mut TopicSets,
    /// The files of access logs; `None`: lines are written nowhere.
    pub(in crate::server) lines: Option<&'a AccessFiles>,
    /// The program's handlers of requests.
    pub(in crate::server) handlers: &'a HttpHandlers,
    /// Its handlers of WebSockets.
    pub(in crate::server) websocket_handlers: &'a WebSocketHandlers,
    /// Files of users.
    pub(in crate::server) watched: Vec<Watched>,
    /// The numbers of the upstreams, by their places in the configuration.
    pub(in crate::server) upstreams: &'a [usize],
    /// What is kept open of folders.
    pub(in crate::server) folders: Vec<usize>,
}

impl HttpBuilder<'_> {
    /// The options of a listener.
    pub(in crate::server) fn listener(
        &mut self,
        listener: &Listener,
        http: &HttpConfig,
        config: &Config,
    ) -> Result<HttpOptions, StartError> {
        let mut routes = Vec::with_capacity(http.routes.len());
        for route in &http.routes {
            routes.push(self.route(listener, route, config)?);
        }
        let access_log = http.access_log.as_ref();
        let access_log = access_log.map(|log| self.access_log(log)).transpose()?.flatten();
        let access = AccessList::new(&http.access.allow, &http.access.deny);
        let trusted: Vec<_> = http.trusted_proxies.iter().flatten().copied().collect();
        let trusts_unix = http.trusted_proxies.contains(&None);
        let trusted_proxies = TrustedProxies::new(&trusted, trusts_unix);
        let needs_source = access_log.is_some()
            || http.source_connections_max.is_some()
            || !access.is_open()
            || !trusted_proxies.is_empty()
            || routes.iter().any(RouteOptions::needs_source);
        Ok(HttpOptions {
            router: router(http),
            routes,
            limits: head_limits(http),
            http2: http.http2.enabled.then(|| http2_limits(http)),
            body_max: http.body_max.unwrap_or(u64::MAX),
            head_timeout: http.head_timeout,
            body_timeout: http.body_timeout,
            body_rate_min: http.body_rate_min,
            write_timeout: http.write_timeout,
            write_rate_min: http.write_rate_min,
            keepalive_timeout: http.keepalive_timeout,
            keepalive_requests: http.keepalive_requests.unwrap_or(u32::MAX),
            keepalive_max_age: http.keepalive_max_age,
            half_close: match http.half_close {
                config::HalfClose::Auto => HalfClose::Auto,
                config::HalfClose::Allow => HalfClose::Allow,
                config::HalfClose::Refuse => HalfClose::Refuse,
            },
            server: http.server_header.as_deref().map(Into::into),
            reason_header: http.reason_header,
            forwarded: match http.forwarded {
                config::Forwarded::Append => Forwarded::Append,
                config::Forwarded::Replace => Forwarded::Replace,
                config::Forwarded::Off => Forwarded::Off,
            },
            trusted_proxies,
            request_id: http.request_id_header.as_deref().map(Into::into),
            source_connections_max: http.source_connections_max,
            access,
            access_log,
            scheme: if listener.tls.is_some() { "https" } else { "http" },
            needs_source,
            upstreams: http
                .upstreams()
                .map(|place| self.upstreams[place])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        })
    }

    fn access_log(&self, log: &config::AccessLog) -> Result<Option<AccessLogOptions>, StartError> {
        let Some(files) = self.lines else { return Ok(None) };
        let format = match &log.format {
            config::AccessLogFormat::Common => Format::Common,
            config::AccessLogFormat::Combined => Format::Combined,
            config::AccessLogFormat::Json => Format::Json,
            config::AccessLogFormat::Template(template) => Format::Template(template.clone()),
        };
        let target = match &log.target {
            config::AccessLogTarget::Stdout => Target::Stdout,
            config::AccessLogTarget::File(path) => Target::File(path.clone()),
        };
        Ok(Some(AccessLogOptions { format, sink: files.lines(&target)? }))
    }

    fn route(
        &mut self,
        listener: &Listener,
        route: &Route,
        config: &Config,
    ) -> Result<RouteOptions, StartError> {
        let action = self.action(listener, route, config)?;
        let upstream = route.action.upstream().and_then(|index| config.upstreams.get(index));
        let compression = &route.compression;
        Ok(RouteOptions {
            name: route.name.as_str().into(),
            counters: self.routes.counters(listener, route),
            upstream_name: upstream.map(|upstream| upstream.name.as_str().into()),
            action,
            request_edits: edits(&route.request_headers)
                .map_err(|message| wrong(&listener.name, message))?,
            response_edits: edits(&route.response_headers)
                .map_err(|message| wrong(&listener.name, message))?,
            body_max: route.body_max.unwrap_or(u64::MAX),
            total_timeout: route.total_timeout,
            grpc_web: route.grpc_web,
            grpc_message_max: route.grpc_message_max,
            access: AccessList::new(&route.access.allow, &route.access.deny),
            rate_limit: route.rate_limit.as_ref().map(|limit| RateLimitOptions {
                rate: limit.rate,
                burst: limit.burst,
                entries_max: limit.entries_max as usize,
                header: match &limit.by {
                    config::RateKey::Source => None,
                    config::RateKey::Header(name) => Some(name.as_str().into()),
                },
                shown: self.routes.limit(listener, route, limit),
            }),
            auth: route.auth.as_ref().map(|auth| self.auth(listener, auth)).transpose()?,
            compression: compression.enabled.then(|| CompressionRules {
                types: compression.types.iter().map(|kind| kind.as_str().into()).collect(),
                min: compression.min.into(),
            }),
        })
    }

    fn auth(
        &mut self,
        listener: &Listener,
        auth: &config::Auth,
    ) -> Result<Arc<AuthOptions>, StartError> {
        let path = match &auth.users {
            config::Users::Listed(_) => None,
            config::Users::File(path) => Some(path.as_path()),
        };
        let files = Files::look(path);
        let users = users(&auth.users).map_err(|message| StartError::Users {
            listener: listener.name.clone(),
            path: path.unwrap_or_else(|| Path::new("users")).to_owned(),
            message,
        })?;
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", quoted(&auth.realm));
        let users = Current::new(Arc::new(users));
        let options = Arc::new(AuthOptions { challenge: challenge.into(), users });
        let (owner, target) = (format!("listener {}", listener.name), Arc::clone(&options));
        let given = auth.users.clone();
        self.watched.push(Watched::new(owner, "users", files, move || {
            let users = self::users(&given)?;
            if users.is_empty() {
                // It may be written at this moment; and nobody could log in.
                return Err("there is no user in it".to_owned());
            }
            target.users.replace(Arc::new(users));
            Ok(())
        }));
        Ok(options)
    }

    fn action(
        &mut self,
        listener: &Listener,
        route: &Route,
        config: &Config,
    ) -> Result<RouteAction, StartError> {
        let http = listener.service.http();
        let server_header = http.and_then(|http| http.server_header.as_deref());
        Ok(match &route.action {
            Action::Proxy { upstream } => {
                let upstream = self.upstreams[*upstream];
                let inspect = route.websocket_inspect.as_ref().map(inspect_rules);
                RouteAction::Proxy(ProxyOptions { upstream, rewrite: rewrite(route), inspect })
            }
            Action::Files(files) => {
                RouteAction::Files(Box::new(self.files(listener, route, files)?))
            }
            Action::Redirect { location, status } => {
                RouteAction::Redirect { status: *status, location: location.clone() }
            }
            Action::Respond { body, status, content_type } => RouteAction::Respond(
                FixedAnswer::new(*status, content_type, body.as_bytes(), server_header),
            ),
            Action::Echo => RouteAction::Echo,
            Action::StatusPage => RouteAction::StatusPage,
            Action::WebSocketPage => RouteAction::WebSocketPage,
            Action::WebSocket(options) => {
                RouteAction::WebSocket(Box::new(self.websocket(listener, route, options, config)?))
            }
            Action::Handler(name) => {
                let place = self.handlers.place(name).ok_or_else(|| StartError::Handler {
                    listener: listener.name.clone(),
                    route: route.name.clone(),
                    name: name.clone(),
                    known: self.handlers.names().map(str::to_owned).collect(),
                })?;
                RouteAction::Handler(HandlerOptions::new(place, server_header))
            }
        })
    }
}

fn inspect_rules(limits: &config::SocketLimits) -> InspectRules {
    let config::SocketLimits {
        message_max,
        frame_max,
        message_rate,
        ping_interval,
        idle_timeout,
        close_timeout,
    } = *limits;
    InspectRules {
        frame_max: frame_max.into(),
        message_max: message_max.into(),
        message_rate,
        ping_interval,
        idle_timeout,
        close_timeout,
    }
}

fn wrong(listener: &str, message: String) -> StartError {
    StartError::Http { listener: listener.to_owned(), message }
}

/// A value, from where it is.
fn revealed<T: Clone>(value: &Secret<T>, of_line: impl FnOnce(String) -> T) -> Result<T, String> {
    match value {
        Secret::Written(value) => Ok(value.clone()),
        Secret::File(path) => secret(path).map(of_line),
    }
}

/// What a file with a secret has, without the end of its line.
pub(in crate::server) fn secret(path: &Path) -> Result<String, String> {
    let text =
        String::from_utf8(read(path)?).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    // It is not repeated here.
    if line.is_empty() || line.len() > TEMPLATE_SIZE_MAX || line.contains(char::is_control) {
        let shown = path.display();
        return Err(format!("{shown} does not have one line of 1 to {TEMPLATE_SIZE_MAX} bytes"));
    }
    Ok(line.to_owned())
}

/// The users, as they are listed or as the file has them now.
pub(in crate::server) fn users(users: &config::Users) -> Result<Users, String> {
    let users = match users {
        config::Users::Listed(users) => {
            let users = users
                .iter()
                .map(|(name, hash)| revealed(hash, |line| line).map(|hash| (name, hash)));
            let users = users.collect::<Result<Vec<_>, _>>()?;
            Users::new(users.iter().map(|(name, hash)| (name.as_str(), hash.as_str())))
        }
        config::Users::File(path) => {
            let text = String::from_utf8(read(path)?)
                .map_err(|_| format!("{} is not UTF-8", path.display()))?;
            Users::parse(&text)
        }
    };
    users.map_err(|error| error.to_string())
}

/// A text within the quotes of a field's parameter (RFC 9110, section 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

pub(super) fn rewrite(route: &Route) -> Option<Rewrite> {
    match &route.path {
        PathPattern::Prefix(prefix) => {
            let replacement = route.prefix_rewrite.as_deref()?.into();
            Some(Rewrite::Prefix { prefix: prefix.as_str().into(), replacement })
        }
        PathPattern::Regex(regex) => {
            let path = route.path_rewrite.clone()?;
            Some(Rewrite::Captures { regex: regex.clone(), path })
        }
        PathPattern::Any | PathPattern::Exact(_) => None,
    }
}

/// Edits of fields, with the secrets that are in files.
fn edits(edits: &config::HeaderEdits) -> Result<HeaderEdits, String> {
    let fields = |fields: &[(String, Secret<Template>)]| {
        let each = fields.iter().map(|(name, value)| {
            let value = revealed(value, |line| Template::literal(&line))?;
            Ok((name.as_str().into(), value))
        });
        each.collect::<Result<Vec<_>, String>>()
    };
    Ok(HeaderEdits {
        remove: edits.remove.iter().map(|name| name.as_str().into()).collect(),
        set: fields(&edits.set)?,
        add: fields(&edits.add)?,
    })
}

/// The router of a listener.
pub(in crate::server) fn router(http: &HttpConfig) -> Router {
    let mut routes = Vec::with_capacity(http.routes.len());
    for route in &http.routes {
        let path = match &route.path {
            PathPattern::Any => PathMatch::Any,
            PathPattern::Exact(path) => PathMatch::Exact(path.as_str().into()),
            PathPattern::Prefix(path) => PathMatch::Prefix(path.as_str().into()),
            PathPattern::Regex(regex) => PathMatch::Regex(regex.clone()),
        };
        let hosts = route.hosts.iter().map(|host| match host {
            config::HostPattern::Any => HostMatch::Any,
            config::HostPattern::Exact(host) => HostMatch::Exact(host.as_str().into()),
            config::HostPattern::Below(host) => HostMatch::Suffix(format!(".{host}").into()),
        });
        let hosts: Vec<_> = hosts.collect();
        let is_any = hosts.contains(&HostMatch::Any);
        routes.push(RouteMatch {
            hosts: if is_any { Vec::new() } else { hosts },
            path,
            methods: route.methods.iter().map(|method| method.as_str().into()).collect(),
            headers: route
                .headers
                .iter()
                .map(|condition| {
                    let value = condition.value.as_deref();
                    let matched = value
                        .map_or(HeaderMatch::Present, |value| HeaderMatch::Equal(value.into()));
                    (condition.name.as_str().into(), matched)
                })
                .collect(),
            certificate: route.client_certificate.as_ref().map(certificate_match),
            is_folder: matches!(route.action, Action::Files(_)),
        });
    }
    Router::new(routes)
}

fn certificate_match(condition: &config::CertificateCondition) -> CertificateMatch {
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    CertificateMatch {
        subject: text(&condition.subject),
        name: text(&condition.name),
        fingerprint: text(&condition.fingerprint),
    }
}

/// The upstreams with whose servers routes speak HTTP.
pub(in crate::server) fn origins_of(config: &Config) -> HashSet<usize> {
    let http = config.listeners.iter().filter_map(|listener| listener.service.http());
    http.flat_map(HttpConfig::origins).collect()
}

/// What the head of a request may have.
fn head_limits(http: &HttpConfig) -> HeadLimits {
    HeadLimits {
        size: http.head_size_max as usize,
        fields: usize::from(http.fields_max),
        target: http.target_size_max as usize,
        underscores: http.underscore_headers == config::UnderscoreHeaders::Pass,
    }
}

/// What a connection of HTTP/2 may have.
fn http2_limits(http: &HttpConfig) -> Limits {
    let config::Http2Options { streams_max, window_max, cookie_parts_max, .. } = http.http2;
    let crumbs = cookie_parts_max as usize;
    Limits {
        request: RequestLimits { head: head_limits(http), crumbs },
        streams: streams_max,
        continuations: http.http2.continuations_max,
        resets: http.http2.resets_max,
        forced_resets: http.http2.forced_resets_max,
        control_frames: http.http2.control_frames_max,
        empty_frames: http.http2.empty_frames_max,
        window: window_max,
        extended_connect: http
            .routes
            .iter()
            .any(|route| matches!(route.action, Action::WebSocket(_) | Action::Proxy { .. })),
        ..Limits::default()
    }
}
