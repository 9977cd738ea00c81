//! From the keys of HTTP in a `[[listener]]` table to raw values.

use toml::Spanned;
use toml::de::DeValue;

use super::super::accept::{self as values, Fault};
use super::super::inherit::HEADERS;
use super::super::report::Mistake;
use super::super::section::{Field, Section};
use super::accept;
use super::route_parts::edits;
use super::routes::{RawRoute, routes};
use super::schema::{ACCESS_LOG, LOG_FORM_WORDS, LogForm, REQUEST_HEADERS, RESPONSE_HEADERS};
use super::{AccessLists, AccessLog, AccessLogFormat, AccessLogTarget, Http2Options, HttpOptions};

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
    let mut rest = HttpOptions {
        http2: Http2Options::read(section),
        access: AccessLists::read(section),
        ..HttpOptions::read(section)
    };
    rest.access_log = section.table("access_log", ACCESS_LOG).map(access_log);
    // They are those of its routes: see `inherit`.
    for (key, keys) in HEADERS.into_iter().zip([REQUEST_HEADERS, RESPONSE_HEADERS]) {
        if let Some(table) = section.table(key, keys) {
            drop(edits(table, key == "request_headers"));
        }
    }
    let (routes, routes_are_known) = routes(section, rest.body_max);
    RawHttp { routes, routes_are_known, rest }
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
