//! From one TOML value to one typed value of HTTP, or to what was expected instead of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use regex_automata::meta;
use toml::de::DeValue;

use super::super::accept::{self, Fault, parsed};
use super::super::units::Size;
use super::route::SECRET_FILE;
use super::schema::{
    ERROR_STATUS_RANGE, FIELD_NAME_MAX, REDIRECT_STATUSES, REGEX_LENGTH_MAX, REGEX_SIZE_MAX,
    REGEXES_SIZE_MAX, RETRY_CODES, RETRY_STATUS_RANGE, STATUS_RANGE, VALUE_SIZE_MAX,
};
use super::{HashOn, HostPattern, RateKey, Secret};
use crate::service::http::route::PathRegex;
use crate::service::http::template::{Purpose, Template};

/// The longest host name, in bytes, and the longest part of one (RFC 1035 §2.3.4).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Names of fields that belong to one connection or frame a message (RFC 9110 §7.6.1, RFC 9112
/// §6): no edit may touch them.
const FRAMING_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a text is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= FIELD_NAME_MAX && text.bytes().all(allowed)
}

/// The name of a field, in lower case, or what would be right.
pub(super) fn field_name(text: &str) -> Result<String, String> {
    let help = "a name has letters, digits and `-`, as in \"x-request-id\"";
    is_token(text).then(|| text.to_ascii_lowercase()).ok_or_else(|| help.to_owned())
}

/// The name of a field that an edit may touch.
pub(super) fn edited_name(text: &str, may_be_host: bool) -> Result<String, String> {
    let name = field_name(text)?;
    if FRAMING_FIELDS.contains(&name.as_str()) {
        return Err(format!("`{name}` belongs to one connection, and no edit may touch it"));
    }
    if name == "host" && !may_be_host {
        return Err("`host` can be set in request_headers only".to_owned());
    }
    Ok(name)
}

/// The value of a field (RFC 9110 §5.5), or what would be right.
pub(super) fn field_value(text: &str) -> Result<String, String> {
    if text.is_empty() || text.trim() != text {
        return Err("write a value that neither starts nor ends with a space".to_owned());
    }
    if text.len() > VALUE_SIZE_MAX {
        return Err(format!("write {VALUE_SIZE_MAX} bytes at most"));
    }
    match text.chars().any(|character| character.is_control() && character != '\t') {
        true => Err("leave out line ends and other control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// The name of a field, which is not `host`.
pub(super) fn name_of_field(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "the name of a header field", |text| edited_name(text, false))
}

/// A value of a field, as a value of the file.
pub(super) fn value_of_field(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "the value of a header field", field_value)
}

/// A value, or a file that has it.
pub(super) fn secret<T>(
    value: &DeValue<'_>,
    accept: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
) -> Result<Secret<T>, Fault> {
    let file = value.as_str().and_then(|text| text.strip_prefix(SECRET_FILE));
    match file {
        Some(path) => {
            let path = DeValue::String(path.into());
            accept::path(&path, "the path of a file behind `file:`").map(Secret::File)
        }
        None => accept(value).map(Secret::Written),
    }
}

fn template_for(text: &str, purpose: Purpose) -> Result<Template, String> {
    Template::parse(text, purpose).map_err(|error| error.to_string())
}

/// A template of the value of a field.
pub(super) fn template(value: &DeValue<'_>) -> Result<Template, Fault> {
    parsed(value, "a template", |text| template_for(text, Purpose::Field))
}

/// The template of a path, of what a regular expression has found.
pub(super) fn path_template(value: &DeValue<'_>) -> Result<Template, Fault> {
    parsed(value, "the template of a path such as \"/new/$1\"", |text| {
        let template = template_for(text, Purpose::Path)?;
        url_path(&template.with_captures("x"))?;
        Ok(template)
    })
}

/// A template of a line of an access log.
pub(super) fn log_template(value: &DeValue<'_>) -> Result<Template, Fault> {
    parsed(value, "a template", |text| match text {
        "" => Err("write what a line has, as in \"$source $method $target $status\"".to_owned()),
        _ => template_for(text, Purpose::Log),
    })
}

/// The template of a URL.
pub(super) fn location(value: &DeValue<'_>) -> Result<Template, Fault> {
    parsed(value, "the template of a URL", |text| {
        let template = template_for(text, Purpose::Location)?;
        if text.chars().any(|character| !character.is_ascii_graphic()) {
            return Err("a URL has no spaces, and others than ASCII are escaped: %C3%BC".into());
        }
        // What a client has sent must not choose where others are sent.
        const MARK: &str = "\u{1}";
        let marked = template.with_captures(MARK);
        let authority =
            marked.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next());
        if authority.flatten().is_some_and(|authority| authority.contains(MARK)) {
            return Err(
                "no group of `path_regex` may be a part of the host: a client would choose \
                        where it leads; write `/` behind the host"
                    .to_owned(),
            );
        }
        let starts = ["/", "http://", "https://", "$scheme://", "${scheme}://"];
        match starts.iter().any(|start| text.starts_with(start)) || text.starts_with("$path") {
            true => Ok(template),
            false => {
                Err("start with https://, http:// or /, as in \"https://$host$target\"".into())
            }
        }
    })
}

/// A network, or one address.
pub(in super::super) fn network(value: &DeValue<'_>) -> Result<IpNet, Fault> {
    parsed(value, "a network such as \"10.0.0.0/8\"", |text| {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(IpNet::from(address));
        }
        let network: IpNet = text.parse().map_err(
            |_| "write an address and the length of a prefix: 10.0.0.0/8, 192.0.2.1 or fd00::/8",
        )?;
        match network.trunc() {
            start if start == network => Ok(network),
            start => Err(format!("bits beyond the prefix are set; did you mean \"{start}\"?")),
        }
    })
}

/// A subject or a name of a certificate: printable text with one `*` at most. `None`: any.
pub(super) fn certificate_pattern(value: &DeValue<'_>) -> Result<Option<String>, Fault> {
    let form = "\"*\", or a text such as \"CN=alice,O=Example\" or \"DNS:*.example.com\"";
    parsed(value, form, |text| {
        if text.is_empty() || text.len() > 2048 || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err("it has 1 to 2048 printable characters of ASCII".to_owned());
        }
        if text.bytes().filter(|byte| *byte == b'*').count() > 1 {
            return Err("one `*` can stand for anything, and no second one".to_owned());
        }
        Ok((text != "*").then(|| text.to_owned()))
    })
}

/// The SHA-256 of a certificate. `None`: any.
pub(super) fn fingerprint(value: &DeValue<'_>) -> Result<Option<String>, Fault> {
    parsed(value, "\"*\", or 64 hexadecimal digits", |text| {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let is_sum = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text {
            "*" => Ok(None),
            _ if is_sum => Ok(Some(digits.to_ascii_lowercase())),
            _ => Err("`openssl x509 -noout -fingerprint -sha256` prints them".to_owned()),
        }
    })
}

/// A host that a route is for.
pub(in super::super) fn host(value: &DeValue<'_>) -> Result<HostPattern, Fault> {
    parsed(value, "a host such as \"example.com\", \"*.example.com\" or \"*\"", |text| {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(parent) => host_name(parent).map(|()| HostPattern::Below(parent.to_owned())),
            None => host_name(&lower).map(|()| HostPattern::Exact(lower.clone())),
        }
    })
}

/// Checks a name of labels, an IPv4 address, or an IPv6 address in brackets.
fn host_name(text: &str) -> Result<(), String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return match address {
            Some(address) if format!("[{address}]") == text => Ok(()),
            Some(address) => Err(format!("write the address as \"[{address}]\"")),
            None => Err("write an IPv6 address in brackets: [::1]".to_owned()),
        };
    }
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.contains("://") || text.contains('/') {
        Err("leave out the scheme and the path".to_owned())
    } else if text.contains(':') {
        Err("leave out the port: a route is for each".to_owned())
    } else if text.contains('*') {
        Err("a `*` stands alone, or for the labels before the first dot: *.example.com".to_owned())
    } else if text.len() > HOST_MAX || !text.split('.').all(is_label) {
        Err("a host is an IP address, or a name of letters, digits, `-`, `_` and `.`".to_owned())
    } else {
        Ok(())
    }
}

/// A method, or `"*"` for all.
pub(super) fn method(value: &DeValue<'_>) -> Result<Option<String>, Fault> {
    parsed(value, "a method such as \"GET\"", |text| {
        let upper = text.to_ascii_uppercase();
        match text {
            "*" => Ok(None),
            _ if !is_token(text) => Err("a method is a word of letters, as in \"GET\"".to_owned()),
            _ if upper != text => Err(format!("did you mean \"{upper}\"?")),
            _ => Ok(Some(upper)),
        }
    })
}

/// A path in the form in which requests are compared with it.
pub(super) fn path(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "a path such as \"/api/\"", |text| url_path(text).map(|()| text.to_owned()))
}

/// Checks that a path is in its normal form (RFC 3986 §6.2.2): a request's path is brought into it
/// before it is compared, so that another form would never match.
pub(super) fn url_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("start with a `/`".to_owned());
    }
    if text.len() > VALUE_SIZE_MAX {
        return Err(format!("write {VALUE_SIZE_MAX} bytes at most"));
    }
    if text.contains(['?', '#']) {
        return Err("a path ends before `?` and `#`".to_owned());
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("leave out `.` and `..`: requests come without them".to_owned());
    }
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'%' => escape(after)?,
            _ if first.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(first) => after,
            _ => {
                return Err("escape what is no letter, digit or sign of a path, as in %20".into());
            }
        };
    }
    Ok(())
}

/// Checks an escape after its `%`, and gives what follows it.
fn escape(text: &[u8]) -> Result<&[u8], String> {
    let Some((&[high, low], after)) = text.split_first_chunk::<2>() else {
        return Err("two digits follow a `%`".to_owned());
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (Some(first), Some(second)) = (digit(high), digit(low)) else {
        return Err("two hexadecimal digits follow a `%`".to_owned());
    };
    if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
        return Err("write the digits of escapes in upper case: requests come so".to_owned());
    }
    let meant = first << 4 | second;
    match meant {
        0 => Err("no request has a zero byte".to_owned()),
        _ if meant.is_ascii_alphanumeric() || b"-._~".contains(&meant) => {
            Err(format!("write `{}` without the escape: requests come so", char::from(meant)))
        }
        _ => Ok(after),
    }
}

/// The target of a check: a path, with a query or without.
pub(super) fn target(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "a path such as \"/health\"", |text| {
        let is_good = text.starts_with('/')
            && text.len() <= VALUE_SIZE_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let help = "start with a `/`, and escape what is no ASCII, as in %20";
        is_good.then(|| text.to_owned()).ok_or_else(|| help.to_owned())
    })
}

/// The regular expressions of a listener so far.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    known: HashMap<String, PathRegex>,
    /// Bytes that they take when they are compiled.
    size: usize,
}

/// A regular expression, with a bounded size: its own, and that of all of the listener.
pub(super) fn regex(value: &DeValue<'_>, all: &mut Regexes) -> Result<PathRegex, Fault> {
    parsed(value, "a regular expression", |text| {
        if text.len() > REGEX_LENGTH_MAX {
            return Err(format!("write {REGEX_LENGTH_MAX} bytes at most"));
        }
        if let Some(known) = all.known.get(text) {
            return Ok(known.clone());
        }
        let limits = meta::Config::new().nfa_size_limit(Some(REGEX_SIZE_MAX));
        let regex = meta::Builder::new().configure(limits).build(text);
        let size = regex.map_err(|error| reason(&error))?.memory_usage();
        if all.size.saturating_add(size) > REGEXES_SIZE_MAX {
            let most = Size(REGEXES_SIZE_MAX as u64);
            return Err(format!(
                "with this one, all those of the listener take more than {most} of memory; write \
                 fewer, or smaller ones: `path_prefix` needs none"
            ));
        }
        all.size += size;
        let regex = PathRegex::new(text).map_err(|error| error.to_string())?;
        all.known.insert(text.to_owned(), regex.clone());
        Ok(regex)
    })
}

/// What is wrong with a regular expression.
fn reason(error: &meta::BuildError) -> String {
    if error.size_limit().is_some() {
        return "it takes too much memory; write smaller repetitions".to_owned();
    }
    let syntax = error.syntax_error().map(ToString::to_string);
    let text = syntax.unwrap_or_else(|| error.to_string());
    // The last line of an error of many is the one that says what is wrong.
    let line = text.lines().last().unwrap_or_default().trim();
    accept::shown(line.trim_start_matches("error: "))
}

/// Whether a route has an action that has nothing to be told.
pub(super) fn truth(value: &DeValue<'_>) -> Result<(), Fault> {
    let fault = |got: &str| Fault {
        expected: "true".to_owned(),
        got: got.to_owned(),
        help: "write true, or remove it".to_owned(),
    };
    match value.as_bool() {
        Some(true) => Ok(()),
        Some(false) => Err(fault("false")),
        None => Err(fault(accept::kind(value))),
    }
}

/// The status of a redirect.
pub(super) fn redirect_status(value: &DeValue<'_>) -> Result<u16, Fault> {
    let list: Vec<_> = REDIRECT_STATUSES.iter().map(u16::to_string).collect();
    let fault = |fault| Fault {
        expected: accept::either(&list),
        help: "302 is for now, 301 for good; 307 and 308 are so too, and keep the method".into(),
        ..fault
    };
    let status = accept::whole(value, &STATUS_RANGE).map_err(fault)?;
    REDIRECT_STATUSES.contains(&status).then_some(status).ok_or_else(|| {
        fault(Fault { expected: String::new(), got: status.to_string(), help: String::new() })
    })
}

/// The status of an error, as a key.
pub(super) fn error_status(text: &str) -> Result<u16, String> {
    status_of(text, &ERROR_STATUS_RANGE)
}

fn status_of(text: &str, range: &RangeInclusive<u16>) -> Result<u16, String> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = text.parse().ok().filter(|status| digits && range.contains(status));
    status.ok_or_else(|| format!("a status is from {} to {} here", range.start(), range.end()))
}

/// Statuses of a good answer: one, or `"FIRST-LAST"`.
pub(super) fn statuses(value: &DeValue<'_>) -> Result<RangeInclusive<u16>, Fault> {
    if value.as_integer().is_some() {
        return accept::whole(value, &STATUS_RANGE).map(|status| status..=status);
    }
    parsed(value, "a status such as 200, or a range such as \"200-399\"", |text| {
        let (first, last) = text.split_once('-').ok_or("write the first and the last status")?;
        let [first, last] = [first, last].map(|text| status_of(text, &STATUS_RANGE));
        let (first, last) = (first?, last?);
        match first <= last {
            true => Ok(first..=last),
            false => Err(format!("did you mean \"{last}-{first}\"?")),
        }
    })
}

/// A failure after which a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryReason {
    Connect,
    Reset,
    Timeout,
    Status(u16),
    Code(&'static str),
}

/// One of `retry_on`.
pub(super) fn retry_reason(value: &DeValue<'_>) -> Result<RetryReason, Fault> {
    const WORDS: [(&str, RetryReason); 3] = [
        ("connect", RetryReason::Connect),
        ("reset", RetryReason::Reset),
        ("timeout", RetryReason::Timeout),
    ];
    const EXPECTED: &str = concat!(
        "\"connect\", \"reset\", \"timeout\", a status such as \"503\", ",
        "or one of gRPC such as \"grpc:unavailable\"",
    );
    parsed(value, EXPECTED, |text| {
        if let Some((_, reason)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(*reason);
        }
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return status_of(text, &RETRY_STATUS_RANGE).map(RetryReason::Status);
        }
        if let Some(name) = text.strip_prefix("grpc:") {
            return retry_code(name).map(RetryReason::Code);
        }
        Err(match accept::nearest(text, WORDS.iter().map(|(word, _)| *word)) {
            Some(likely) => format!("did you mean \"{likely}\"?"),
            None => "write a word or a status in quotes".to_owned(),
        })
    })
}

/// A status of gRPC after which a call is tried again.
fn retry_code(name: &str) -> Result<&'static str, String> {
    RETRY_CODES.into_iter().find(|code| *code == name).ok_or_else(|| {
        match accept::nearest(name, RETRY_CODES) {
            Some(likely) => format!("did you mean \"grpc:{likely}\"?"),
            None => "write a status of gRPC, as in \"grpc:unavailable\"".to_owned(),
        }
    })
}

/// `rate_limit.by`.
pub(super) fn rate_key(value: &DeValue<'_>) -> Result<RateKey, Fault> {
    parsed(value, "\"source\" or \"header:NAME\"", |text| match text.split_once(':') {
        Some(("header", name)) => field_name(name).map(RateKey::Header),
        None if text == "source" => Ok(RateKey::Source),
        Some(_) | None => Err("write \"source\", or a field as in \"header:x-api-key\"".into()),
    })
}

/// `hash_on`.
pub(super) fn hash_on(value: &DeValue<'_>) -> Result<HashOn, Fault> {
    const EXPECTED: &str = "\"source\", \"path\", \"header:NAME\" or \"cookie:NAME\"";
    parsed(value, EXPECTED, |text| match (text, text.split_once(':')) {
        ("source", _) => Ok(HashOn::Source),
        ("path", _) => Ok(HashOn::Path),
        (_, Some(("header", name))) => field_name(name).map(HashOn::Header),
        (_, Some(("cookie", name))) if is_token(name) => Ok(HashOn::Cookie(name.to_owned())),
        (_, Some(("cookie", _))) => Err("write the name of a cookie after the colon".to_owned()),
        (_, Some(_) | None) => Err(format!("write {EXPECTED}")),
    })
}

/// The value of `host` that servers get: a host, with a port or without.
pub(super) fn authority(text: &str) -> Result<String, String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (text, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n != 0)
    };
    let lower = name.to_ascii_lowercase();
    if lower.contains(':') && !lower.starts_with('[') {
        return Err("write an IPv6 address in brackets: [::1]".to_owned());
    }
    match host_name(&lower) {
        Ok(()) if port.is_none_or(is_port) => Ok(text.to_ascii_lowercase()),
        Ok(()) => Err("a port is a number from 1 to 65535".to_owned()),
        Err(help) => Err(help),
    }
}

/// A content type without parameters, in lower case; also `type/*`, if wanted.
pub(super) fn media_type(text: &str, may_be_pattern: bool) -> Result<String, String> {
    let help = match may_be_pattern {
        true => "write a type as in \"image/png\", or \"image/*\" or \"*/*\"",
        false => "write a type as in \"text/html\", without parameters",
    };
    let is_part = |part: &str| is_token(part) && !part.contains('*');
    let is_good = match text.split_once('/') {
        Some(("*", "*")) => may_be_pattern,
        Some((kind, "*")) => may_be_pattern && is_part(kind),
        Some((kind, of_kind)) => is_part(kind) && is_part(of_kind),
        None => false,
    };
    is_good.then(|| text.to_ascii_lowercase()).ok_or_else(|| help.to_owned())
}

/// The name of a file in a directory.
pub(super) fn file_name(value: &DeValue<'_>) -> Result<String, Fault> {
    parsed(value, "the name of a file", |text| {
        let is_good = !matches!(text, "" | "." | "..")
            && text.len() <= 255
            && !text.contains('/')
            && !text.chars().any(char::is_control);
        let help = "a name as in \"index.html\", without a `/`";
        is_good.then(|| text.to_owned()).ok_or_else(|| help.to_owned())
    })
}

/// The name of a user (RFC 7617 §2: without a colon).
pub(super) fn user_name(text: &str) -> Result<String, String> {
    let is_good = (1..=FIELD_NAME_MAX).contains(&text.len())
        && !text.contains(':')
        && !text.chars().any(char::is_control);
    let help = "a name has no colon and no control characters";
    is_good.then(|| text.to_owned()).ok_or_else(|| help.to_owned())
}

/// The hash of a password, never repeated in a message: it may be the password itself.
pub(super) fn password_hash(value: &DeValue<'_>) -> Result<String, Fault> {
    const STARTS: [&str; 5] = ["$2a$", "$2b$", "$2y$", "$5$", "$6$"];
    let fault = |got: &str, help: &str| Fault {
        expected: "the hash of a password".to_owned(),
        got: got.to_owned(),
        help: help.to_owned(),
    };
    let Some(text) = value.as_str() else {
        return Err(fault(accept::kind(value), "write the hash in quotes"));
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if text.starts_with("$apr1$") || text.starts_with('{') {
        return Err(fault("a weak one", "make a hash of bcrypt: htpasswd -nB NAME"));
    }
    let known = STARTS.iter().any(|start| text.starts_with(start));
    // A hash of bcrypt has its one length; the others have at least that of SHA-256 in base 64.
    let is_whole = match text.starts_with("$2") {
        true => text.len() == 60,
        false => (46..=160).contains(&text.len()),
    };
    match known && is_whole && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(fault(
            "something else",
            "give a hash that starts with $2b$ (bcrypt), $5$ or $6$: htpasswd -nB NAME",
        )),
    }
}
