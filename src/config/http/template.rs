//! The variables of templates: whether a text has known ones only.

use super::schema::VALUE_SIZE_MAX;

/// The variables of values of header fields and of redirects.
pub(super) const VARIABLES: &[&str] = &[
    "host",
    "path",
    "query",
    "target",
    "method",
    "source",
    "source_port",
    "scheme",
    "request_id",
    "upstream",
    "status",
    "route",
    "tls_version",
    "tls_cipher",
    "tls_client_subject",
    "tls_client_names",
    "tls_client_fingerprint",
];

/// The variables that only access logs have besides those.
const LOG_VARIABLES: &[&str] = &[
    "time",
    "grpc_status",
    "bytes_sent",
    "bytes_received",
    "duration",
    "upstream_duration",
    "queue_duration",
    "connect_duration",
    "first_byte_duration",
    "user_agent",
    "referer",
    "reason",
    "version",
    "request_line",
    "refused_line",
    "user",
    "server",
];

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The value of a header field.
    Field,
    /// A line of an access log.
    Log,
}

impl Purpose {
    fn has(self, name: &str) -> bool {
        VARIABLES.contains(&name)
            || match self {
                Self::Field => false,
                Self::Log => LOG_VARIABLES.contains(&name),
            }
    }

    fn names(self) -> String {
        let own = match self {
            Self::Field => [].as_slice(),
            Self::Log => LOG_VARIABLES,
        };
        let names: Vec<_> = VARIABLES.iter().chain(own).map(|name| format!("${name}")).collect();
        names.join(", ")
    }
}

/// Checks a template: `$name` or `${name}` is a variable, and `$$` a dollar.
///
/// # Errors
///
/// What would be right.
pub(super) fn check(text: &str, purpose: Purpose) -> Result<(), String> {
    if text.len() > VALUE_SIZE_MAX {
        return Err(format!("write {VALUE_SIZE_MAX} bytes at most"));
    }
    if text.chars().any(|character| character.is_control() && character != '\t') {
        return Err("leave out line ends and other control characters".to_owned());
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let (name, after) = variable(after)?;
        if !purpose.has(name) {
            let name = super::super::accept::shown(name);
            return Err(format!(
                "there is no variable `${name}`; there are: {}; `$$` is a dollar",
                purpose.names()
            ));
        }
        rest = after;
    }
    Ok(())
}

/// The name of a variable after its dollar, and what follows it.
fn variable(text: &str) -> Result<(&str, &str), String> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').ok_or_else(|| "close the brace after `${`".to_owned());
    }
    let length = text.bytes().take_while(|byte| matches!(byte, b'a'..=b'z' | b'_')).count();
    match text.split_at_checked(length) {
        Some((name, after)) if !name.is_empty() => Ok((name, after)),
        Some(_) | None => Err("write `$$` for a dollar, or a name after it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_with_known_variables_are_right() {
        for text in
            ["", "plain", "$host", "${host}s", "$$5", "a$$$path", "$source:$source_port", "\t", "ü"]
        {
            assert_eq!(check(text, Purpose::Field), Ok(()), "{text}");
        }
        for name in VARIABLES.iter().chain(LOG_VARIABLES) {
            assert_eq!(check(&format!("<${name}>${{{name}}}"), Purpose::Log), Ok(()));
        }
    }

    #[test]
    fn templates_are_refused_with_their_reason() {
        let long = "x".repeat(VALUE_SIZE_MAX + 1);
        let table = [
            ("$", "write `$$` for a dollar"),
            ("100$", "write `$$` for a dollar"),
            ("$$$", "write `$$` for a dollar"),
            ("$5", "write `$$` for a dollar"),
            ("${host", "close the brace"),
            ("${}", "there is no variable `$`"),
            ("$hosts", "there is no variable `$hosts`; there are: $host, $path"),
            ("$time", "there is no variable `$time`"),
            ("a\r\nb", "control characters"),
            ("\0", "control characters"),
            (&long, "at most"),
        ];
        for (text, reason) in table {
            let error = check(text, Purpose::Field).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
