//! From the keys of HTTP in a `[[listener]]` table to raw values.

use toml::Spanned;
use toml::de::DeValue;

use super::super::accept::{self as values, Fault};
use super::super::defaults;
use super::super::report::Mistake;
use super::super::section::{Field, Section};
use super::accept;
use super::http2::http2;
use super::routes::{RawRoute, routes};
use super::schema::{
    ACCESS_LOG, BODY_RANGE, BODY_RATE_RANGE, FIELDS_RANGE, FORWARDED_WORDS, HALF_CLOSE_WORDS,
    HEAD_SIZE_RANGE, KEEPALIVE_AGE_RANGE, KEEPALIVE_REQUESTS_RANGE, LOG_FORM_WORDS,
    LONG_TIMEOUT_RANGE, LogForm, NETWORKS_MAX, SOURCE_CONNECTIONS_RANGE, TARGET_SIZE_RANGE,
    TIMEOUT_RANGE, TUNNEL_TIMEOUT_RANGE, UNDERSCORE_WORDS,
};
use super::{AccessLists, AccessLog, AccessLogFormat, AccessLogTarget, HttpOptions};

/// What a listener says of HTTP, whichever protocol it has.
#[derive(Debug)]
pub(in super::super) struct RawHttp {
    /// Its routes, whose references are still names.
    pub(in super::super) routes: Vec<RawRoute>,
    /// Whether all that may be a route could be read.
    pub(in super::super) routes_are_known: bool,
    /// The rest of it: no route yet.
    pub(in super::super) rest: HttpOptions,
}

/// Reads the keys of HTTP.
pub(in super::super) fn http(section: &mut Section<'_, '_>) -> RawHttp {
    let mut rest = HttpOptions::default();
    sizes(section, &mut rest);
    timeouts(section, &mut rest);
    fields(section, &mut rest);
    rest.http2 = http2(section);
    let connections = section.optional("source_connections_max", |v| {
        values::unless(v, "off", |v| values::whole(v, &SOURCE_CONNECTIONS_RANGE))
    });
    rest.source_connections_max = connections.or(defaults::SOURCE_CONNECTIONS_MAX);
    rest.access = access_lists(section);
    rest.access_log = section.table("access_log", ACCESS_LOG).map(access_log);
    let (routes, routes_are_known) = routes(section, rest.body_max);
    RawHttp { routes, routes_are_known, rest }
}

fn sizes(section: &mut Section<'_, '_>, options: &mut HttpOptions) {
    let head_size = section.optional("head_size_max", |v| values::size(v, &HEAD_SIZE_RANGE));
    let fields = section.optional("fields_max", |v| values::whole(v, &FIELDS_RANGE));
    let target_size = section.optional("target_size_max", |v| values::size(v, &TARGET_SIZE_RANGE));
    options.head_size_max = head_size.or(defaults::HEAD_SIZE_MAX);
    options.fields_max = fields.or(defaults::FIELDS_MAX);
    options.target_size_max = target_size.or(defaults::TARGET_SIZE_MAX);
    options.body_max = body_max(section).or(defaults::BODY_MAX);
}

/// `body_max`, of a listener or a route.
pub(super) fn body_max(section: &mut Section<'_, '_>) -> Field<Option<u64>> {
    section.optional("body_max", |v| values::unless(v, "off", |v| values::size(v, &BODY_RANGE)))
}

fn timeouts(section: &mut Section<'_, '_>, options: &mut HttpOptions) {
    let timeout = |v: &DeValue<'_>| values::duration(v, &TIMEOUT_RANGE);
    options.head_timeout = section.optional("head_timeout", timeout).or(defaults::HEAD_TIMEOUT);
    options.body_timeout = section.optional("body_timeout", timeout).or(defaults::BODY_TIMEOUT);
    let rate = section.optional("body_rate_min", |v| {
        values::unless(v, "off", |v| values::size(v, &BODY_RATE_RANGE))
    });
    options.body_rate_min = rate.or(defaults::BODY_RATE_MIN);
    options.write_timeout = section.optional("write_timeout", timeout).or(defaults::WRITE_TIMEOUT);
    let rate = section.optional("write_rate_min", |v| {
        values::unless(v, "off", |v| values::size(v, &BODY_RATE_RANGE))
    });
    options.write_rate_min = rate.or(defaults::WRITE_RATE_MIN);
    let keepalive =
        section.optional("keepalive_timeout", |v| values::duration(v, &LONG_TIMEOUT_RANGE));
    options.keepalive_timeout = keepalive.or(defaults::KEEPALIVE_TIMEOUT);
    let requests = section.optional("keepalive_requests", |v| {
        values::unless(v, "off", |v| values::whole(v, &KEEPALIVE_REQUESTS_RANGE))
    });
    options.keepalive_requests = requests.or(defaults::KEEPALIVE_REQUESTS);
    let age = section.optional("keepalive_max_age", |v| {
        values::unless(v, "off", |v| values::duration(v, &KEEPALIVE_AGE_RANGE))
    });
    options.keepalive_max_age = age.or(defaults::KEEPALIVE_MAX_AGE);
    let tunnel = section.optional("tunnel_timeout", |v| values::duration(v, &TUNNEL_TIMEOUT_RANGE));
    options.tunnel_timeout = tunnel.or(defaults::TUNNEL_TIMEOUT);
}

fn fields(section: &mut Section<'_, '_>, options: &mut HttpOptions) {
    let half_close = section.optional("half_close", |v| values::choice(v, HALF_CLOSE_WORDS));
    options.half_close = half_close.or(defaults::HALF_CLOSE);
    let server = section
        .optional("server_header", |v| values::unless(v, "off", accept::value_of_field))
        .value();
    if let Some(server) = server {
        options.server_header = server.into_inner();
    }
    let reason = section.optional("reason_header", values::boolean);
    options.reason_header = reason.or(defaults::REASON_HEADER);
    let forwarded = section.optional("forwarded", |v| values::choice(v, FORWARDED_WORDS));
    options.forwarded = forwarded.or(defaults::FORWARDED);
    let trusted = section.list("trusted_proxies", &(0..=NETWORKS_MAX), |v| {
        values::unless(v, "unix", accept::network)
    });
    let trusted = trusted.unwrap_or_default();
    options.trusts_unix = trusted.iter().any(Option::is_none);
    options.trusted_proxies = trusted.into_iter().flatten().collect();
    let underscores =
        section.optional("underscore_headers", |v| values::choice(v, UNDERSCORE_WORDS));
    options.underscore_headers = underscores.or(defaults::UNDERSCORE_HEADERS);
    let name = |v: &DeValue<'_>| {
        values::parsed(v, "the name of a header field", |text| accept::edited_name(text, false))
    };
    let id = section.optional("request_id_header", |v| values::unless(v, "off", name)).value();
    if let Some(id) = id {
        options.request_id_header = id.into_inner();
    }
}

/// `allow` and `deny`, of a listener or a route.
pub(super) fn access_lists(section: &mut Section<'_, '_>) -> AccessLists {
    let sizes = 0..=NETWORKS_MAX;
    AccessLists {
        allow: section.list("allow", &sizes, accept::network).unwrap_or_default(),
        deny: section.list("deny", &sizes, accept::network).unwrap_or_default(),
    }
}

fn access_log(mut section: Section<'_, '_>) -> AccessLog {
    let form = section.optional("format", |v| values::choice(v, LOG_FORM_WORDS));
    let is_told = !matches!(form, Field::Mistake);
    let form = form.or(LogForm::Combined);
    let template = section.optional("template", accept::log_template);
    let target = section.optional("path", target);
    if is_told && form == LogForm::Template && matches!(template, Field::Nothing) {
        let message = "missing key `template` in [listener.access_log]";
        let help = "add template = \"$time $source $method $target $status\"";
        section.miss("template", message.to_owned(), help.to_owned());
    }
    let template = template.value();
    if let Some(template) = template.as_ref().filter(|_| is_told && form != LogForm::Template) {
        section.report(Mistake::new(
            template.span(),
            "`template` is for `format = \"template\"`",
            "remove it, or set `format` to \"template\"",
        ));
    }
    section.finish();
    let format = match form {
        LogForm::Common => AccessLogFormat::Common,
        LogForm::Combined => AccessLogFormat::Combined,
        LogForm::Json => AccessLogFormat::Json,
        LogForm::Template => {
            AccessLogFormat::Template(template.map(Spanned::into_inner).unwrap_or_default())
        }
    };
    AccessLog { format, target: target.or(AccessLogTarget::Stdout) }
}

fn target(value: &DeValue<'_>) -> Result<AccessLogTarget, Fault> {
    let path = values::path_unless(value, "stdout", |v| values::path(v, "the path of a file"))?;
    Ok(path.map_or(AccessLogTarget::Stdout, AccessLogTarget::File))
}
