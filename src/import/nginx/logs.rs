//! `access_log` and `log_format`.

use super::super::convert::shown;
use super::super::document::Table;
use super::Import;
use super::site::Site;
use super::template::{Part, parts, unbraced};

/// The table `access_log` of a listener: that of the first server, which is the default one.
pub(super) fn table(import: &mut Import<'_>, sites: &[(usize, &Site<'_>)]) -> Option<Table> {
    let mut all = sites.iter().flat_map(|(_, site)| site.scope.all("access_log"));
    let mut all = all.by_ref().copied().filter(|log| log.arg(0) != "off");
    let first = all.next()?;
    for other in all {
        if other.args != first.args {
            let why = "a listener has one access log, that of its first server";
            import.note(other, why);
        }
    }
    let mut table = Table::default();
    let path = first.arg(0);
    match path {
        "/dev/stdout" => {}
        _ if path.starts_with("syslog:") || path.contains('$') || path.starts_with("memory:") => {
            import.note(first, "an access log goes to a file or to standard output; it goes there");
        }
        _ => table.set("path", path),
    }
    let format = first.args.get(1).filter(|arg| !arg.contains('=')).map_or("combined", |arg| arg);
    if format != "combined" {
        format_of(import, format, &mut table);
    }
    if table.keys.is_empty() {
        table.set("format", "combined");
    }
    if first.args.iter().any(|arg| arg.starts_with("if=")) {
        import.note(first, "all requests are logged: there is no condition");
    }
    Some(table)
}

/// A format of one's own as a template, or the next best one.
fn format_of(import: &mut Import<'_>, name: &str, table: &mut Table) {
    let Some(directive) = import.log_formats.get(name).copied() else { return };
    let mut text = String::new();
    let mut is_json = false;
    for arg in directive.args.iter().skip(1) {
        match arg.strip_prefix("escape=") {
            Some(kind) => is_json = kind == "json",
            None => text.push_str(arg),
        }
    }
    if is_json || text.trim_start().starts_with('{') {
        table.set("format", "json");
        return import.note(directive, "`format = \"json\"` has keys of its own");
    }
    match template(&text) {
        Ok(template) => {
            table.set("format", "template");
            table.set("template", template);
        }
        Err(variable) => {
            let why =
                format!("{} is not known in Ringway; the format is \"combined\"", shown(&variable));
            import.note(directive, why);
        }
    }
}

fn template(text: &str) -> Result<String, String> {
    let mut template = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => template.push_str(&text.replace('$', "$$")),
            Part::Variable(name) => {
                let own = variable(name).ok_or_else(|| format!("${name}"))?;
                template.push_str(&format!("${{{own}}}"));
            }
        }
    }
    let clean = unbraced(&template).replace(['\n', '\r'], " ");
    match clean.trim().is_empty() || clean.len() > 4 << 10 {
        true => Err("its length".to_owned()),
        false => Ok(clean.trim().to_owned()),
    }
}

fn variable(name: &str) -> Option<&'static str> {
    const VARIABLES: &[(&str, &str)] = &[
        ("remote_addr", "source"),
        ("remote_port", "source_port"),
        ("remote_user", "user"),
        ("time_local", "time"),
        ("time_iso8601", "time"),
        ("request", "request_line"),
        ("request_method", "method"),
        ("request_uri", "target"),
        ("uri", "path"),
        ("host", "host"),
        ("http_host", "host"),
        ("scheme", "scheme"),
        ("server_protocol", "version"),
        ("status", "status"),
        ("bytes_sent", "bytes_sent"),
        ("body_bytes_sent", "bytes_sent"),
        ("request_length", "bytes_received"),
        ("http_referer", "referer"),
        ("http_user_agent", "user_agent"),
        ("request_time", "duration"),
        ("request_id", "request_id"),
        ("upstream_addr", "server"),
        ("upstream_response_time", "upstream_duration"),
        ("upstream_connect_time", "connect_duration"),
        ("upstream_header_time", "first_byte_duration"),
        ("proxy_host", "upstream"),
        ("ssl_protocol", "tls_version"),
        ("ssl_cipher", "tls_cipher"),
    ];
    VARIABLES.iter().find(|(own, _)| *own == name).map(|(_, found)| *found)
}
