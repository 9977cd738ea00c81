//! Values with variables in them, such as `https://$host$path`.

use std::fmt;

/// Something that is known of a request or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// The host that was asked for, without the port.
    Host,
    /// The path, in normal form.
    Path,
    /// The query, with its `?`; nothing without one.
    Query,
    /// Path and query.
    Target,
    /// The method.
    Method,
    /// The client's address.
    Source,
    /// The client's port.
    SourcePort,
    /// `http`.
    Scheme,
    /// The number of the request.
    RequestId,
    /// The name of the upstream.
    Upstream,
    /// The name of the route.
    Route,
    /// The user that was authenticated.
    User,
    /// The status of the answer.
    Status,
    /// When the request came, as RFC 3339 has it. For access logs, as all that follow.
    Time,
    /// Bytes of the answer.
    BytesSent,
    /// Bytes of the request.
    BytesReceived,
    /// Seconds from the request's head to the end of the answer.
    Duration,
    /// Seconds that a connection to a server was waited for.
    QueueDuration,
    /// Seconds that connecting to a server took.
    ConnectDuration,
    /// Seconds to the head of the server's answer.
    FirstByteDuration,
    /// The server that answered.
    Server,
    /// The `user-agent` field.
    UserAgent,
    /// The `referer` field.
    Referer,
    /// What went wrong.
    Reason,
    /// The version of the request.
    Version,
}

impl Variable {
    /// Every variable with its name.
    pub const ALL: [(&'static str, Self); 25] = [
        ("host", Self::Host),
        ("path", Self::Path),
        ("query", Self::Query),
        ("target", Self::Target),
        ("method", Self::Method),
        ("source", Self::Source),
        ("source_port", Self::SourcePort),
        ("scheme", Self::Scheme),
        ("request_id", Self::RequestId),
        ("upstream", Self::Upstream),
        ("route", Self::Route),
        ("user", Self::User),
        ("status", Self::Status),
        ("time", Self::Time),
        ("bytes_sent", Self::BytesSent),
        ("bytes_received", Self::BytesReceived),
        ("duration", Self::Duration),
        ("queue_duration", Self::QueueDuration),
        ("connect_duration", Self::ConnectDuration),
        ("first_byte_duration", Self::FirstByteDuration),
        ("server", Self::Server),
        ("user_agent", Self::UserAgent),
        ("referer", Self::Referer),
        ("reason", Self::Reason),
        ("version", Self::Version),
    ];

    /// Whether it is known only when the request is over.
    #[must_use]
    pub fn is_of_logs(self) -> bool {
        let at = Self::ALL.iter().position(|(_, one)| *one == self);
        at.is_some_and(|at| at >= 13)
    }
}

/// Gives the values of variables.
pub trait Variables {
    /// Appends the value of a variable; nothing, if there is none.
    fn write(&self, variable: Variable, out: &mut Vec<u8>);
}

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Variable(Variable),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// There is no variable of that name.
    Unknown(String),
    /// A `$` without a name behind it.
    NoName,
    /// A `${` without a `}`.
    Open,
    /// A control character.
    Control,
    /// The variable is known only in access logs.
    OfLogs(&'static str),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let names = Variable::ALL.map(|(name, _)| format!("${name}"));
                write!(f, "there is no variable `${name}`; there are {}", names.join(", "))
            }
            Self::NoName => f.write_str("a `$` needs a variable's name; write `$$` for a dollar"),
            Self::Open => f.write_str("a `${` needs a `}`"),
            Self::Control => f.write_str("no control characters may be in it"),
            Self::OfLogs(name) => write!(f, "`${name}` is known in access logs only"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a template. `$name` and `${name}` are variables, `$$` is a dollar.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.chars().any(char::is_control) {
            return Err(TemplateError::Control);
        }
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.extend_from_slice(before.as_bytes());
            if let Some(after) = after.strip_prefix('$') {
                literal.push(b'$');
                rest = after;
                continue;
            }
            let (name, after) = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}').ok_or(TemplateError::Open)?,
                None => {
                    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
                    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                    after.split_at_checked(end).unwrap_or((after, ""))
                }
            };
            if name.is_empty() {
                return Err(TemplateError::NoName);
            }
            let found = Variable::ALL.iter().find(|(known, _)| *known == name);
            let (_, variable) = found.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Variable(*variable));
            rest = after;
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self { parts })
    }

    /// The same for what is needed before a request is over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_for_heads(text: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(text)?;
        let of_logs = template.parts.iter().find_map(|part| match part {
            Part::Variable(variable) if variable.is_of_logs() => Some(*variable),
            Part::Variable(_) | Part::Text(_) => None,
        });
        match Variable::ALL.iter().find(|(_, one)| Some(*one) == of_logs) {
            Some((name, _)) => Err(TemplateError::OfLogs(name)),
            None => Ok(template),
        }
    }

    /// Appends the text with its variables' values. What may stand in no field of a head, such as
    /// the end of a line, becomes `_`: so no value can add a field.
    pub fn write(&self, variables: &dyn Variables, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(variable) => {
                    let start = out.len();
                    variables.write(*variable, out);
                    for byte in out.get_mut(start..).unwrap_or_default() {
                        if byte.is_ascii_control() {
                            *byte = b'_';
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Variables that give their names.
    #[derive(Debug)]
    pub(in crate::service::http) struct Names;

    impl Variables for Names {
        fn write(&self, variable: Variable, out: &mut Vec<u8>) {
            if variable == Variable::Referer {
                out.extend_from_slice(b"a\r\nx: y");
                return;
            }
            let name = Variable::ALL.iter().find(|(_, one)| *one == variable).unwrap().0;
            out.extend_from_slice(name.to_uppercase().as_bytes());
        }
    }

    #[test]
    fn variables_are_put_into_the_text() {
        let table = [
            ("plain", "plain"),
            ("", ""),
            ("https://$host$path", "https://HOSTPATH"),
            ("${host}name $$1", "HOSTname $1"),
            ("$query", "QUERY"),
            ("$referer!", "a__x: y!"),
        ];
        for (text, written) in table {
            let mut out = Vec::new();
            Template::parse(text).unwrap().write(&Names, &mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_reason() {
        let table = [
            ("$nothing", TemplateError::Unknown("nothing".to_owned())),
            ("a $", TemplateError::NoName),
            ("$1", TemplateError::NoName),
            ("${host", TemplateError::Open),
            ("a\nb", TemplateError::Control),
        ];
        for (text, error) in table {
            assert_eq!(Template::parse(text), Err(error.clone()), "{text}");
            assert!(!error.to_string().is_empty());
        }
        assert_eq!(Template::parse_for_heads("$duration"), Err(TemplateError::OfLogs("duration")));
        assert!(Template::parse_for_heads("$user").is_ok());
    }
}
