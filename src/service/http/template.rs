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
    /// The version of TLS that the client speaks.
    TlsVersion,
    /// The cipher suite of that.
    TlsCipher,
    /// The subject of the certificate that the client has shown.
    TlsClientSubject,
    /// The other names in it.
    TlsClientNames,
    /// SHA-256 of it.
    TlsClientFingerprint,
    /// The status of the answer.
    Status,
    /// When the request came, as RFC 3339 has it. For access logs, as all that follow.
    Time,
    /// How a call of gRPC ended.
    GrpcStatus,
    /// Bytes of the answer.
    BytesSent,
    /// Bytes of the request.
    BytesReceived,
    /// Seconds from the request's head to the end of the answer.
    Duration,
    /// Seconds from when the request was given to an upstream to the end of the server's answer.
    UpstreamDuration,
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
    /// The first line of the request; of one that was refused, as it came.
    RequestLine,
    /// The line for which a request was refused.
    RefusedLine,
}

impl Variable {
    /// Every variable.
    pub const ALL: [Self; 34] = [
        Self::Host,
        Self::Path,
        Self::Query,
        Self::Target,
        Self::Method,
        Self::Source,
        Self::SourcePort,
        Self::Scheme,
        Self::RequestId,
        Self::Upstream,
        Self::Route,
        Self::User,
        Self::TlsVersion,
        Self::TlsCipher,
        Self::TlsClientSubject,
        Self::TlsClientNames,
        Self::TlsClientFingerprint,
        Self::Status,
        Self::Time,
        Self::GrpcStatus,
        Self::BytesSent,
        Self::BytesReceived,
        Self::Duration,
        Self::UpstreamDuration,
        Self::QueueDuration,
        Self::ConnectDuration,
        Self::FirstByteDuration,
        Self::Server,
        Self::UserAgent,
        Self::Referer,
        Self::Reason,
        Self::Version,
        Self::RequestLine,
        Self::RefusedLine,
    ];

    /// The variable of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Its name, without the dollar.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Target => "target",
            Self::Method => "method",
            Self::Source => "source",
            Self::SourcePort => "source_port",
            Self::Scheme => "scheme",
            Self::RequestId => "request_id",
            Self::Upstream => "upstream",
            Self::Route => "route",
            Self::User => "user",
            Self::TlsVersion => "tls_version",
            Self::TlsCipher => "tls_cipher",
            Self::TlsClientSubject => "tls_client_subject",
            Self::TlsClientNames => "tls_client_names",
            Self::TlsClientFingerprint => "tls_client_fingerprint",
            Self::Status => "status",
            Self::Time => "time",
            Self::GrpcStatus => "grpc_status",
            Self::BytesSent => "bytes_sent",
            Self::BytesReceived => "bytes_received",
            Self::Duration => "duration",
            Self::UpstreamDuration => "upstream_duration",
            Self::QueueDuration => "queue_duration",
            Self::ConnectDuration => "connect_duration",
            Self::FirstByteDuration => "first_byte_duration",
            Self::Server => "server",
            Self::UserAgent => "user_agent",
            Self::Referer => "referer",
            Self::Reason => "reason",
            Self::Version => "version",
            Self::RequestLine => "request_line",
            Self::RefusedLine => "refused_line",
        }
    }

    /// Whether it is for access logs only: most of these are known only when a request is over.
    #[must_use]
    pub const fn is_of_logs(self) -> bool {
        match self {
            Self::Host
            | Self::Path
            | Self::Query
            | Self::Target
            | Self::Method
            | Self::Source
            | Self::SourcePort
            | Self::Scheme
            | Self::RequestId
            | Self::Upstream
            | Self::Route
            | Self::User
            | Self::TlsVersion
            | Self::TlsCipher
            | Self::TlsClientSubject
            | Self::TlsClientNames
            | Self::TlsClientFingerprint
            | Self::Status => false,
            Self::Time
            | Self::GrpcStatus
            | Self::BytesSent
            | Self::BytesReceived
            | Self::Duration
            | Self::UpstreamDuration
            | Self::QueueDuration
            | Self::ConnectDuration
            | Self::FirstByteDuration
            | Self::Server
            | Self::UserAgent
            | Self::Referer
            | Self::Reason
            | Self::Version
            | Self::RequestLine
            | Self::RefusedLine => true,
        }
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
    /// A control character other than a tab.
    Control,
    /// The variable is known only in access logs.
    OfLogs(&'static str),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let names = Variable::ALL.map(|one| format!("${}", one.name()));
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
        // A tab may stand in a field's value (RFC 9110, section 5.5).
        if text.chars().any(|one| one.is_control() && one != '\t') {
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
            let (variable, after) = variable(after)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Variable(variable));
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
        let of_logs = template.variables().find(|variable| variable.is_of_logs());
        match of_logs {
            Some(variable) => Err(TemplateError::OfLogs(variable.name())),
            None => Ok(template),
        }
    }

    /// The variables in it, in their order; one that stands in it twice comes twice.
    pub fn variables(&self) -> impl Iterator<Item = Variable> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(*variable),
            Part::Text(_) => None,
        })
    }

    /// Whether there are no other variables in it than these.
    #[must_use]
    pub fn has_only(&self, variables: &[Variable]) -> bool {
        self.variables().all(|variable| variables.contains(&variable))
    }

    /// Whether it is the same for every request.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// What it is, when it is the same for every request.
    #[must_use]
    pub fn constant(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            [Part::Variable(_)] | [_, _, ..] => None,
        }
    }

    /// Appends the text with its variables' values. What may stand in no field of a head, such as
    /// the end of a line, becomes `_`, and so does a tab: so no value can add a field, or another
    /// column of a log. Bytes beyond ASCII stay (RFC 9110, section 5.5).
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

/// The variable whose name follows a dollar, and what follows it.
fn variable(text: &str) -> Result<(Variable, &str), TemplateError> {
    let (name, after) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or(TemplateError::Open)?,
        None => {
            let is_name = |one: char| one.is_ascii_lowercase() || one == '_';
            let end = text.find(|one| !is_name(one)).unwrap_or(text.len());
            text.split_at_checked(end).unwrap_or((text, ""))
        }
    };
    if name.is_empty() {
        return Err(TemplateError::NoName);
    }
    let found = Variable::of(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
    Ok((found, after))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Variables that give their names, and one that is hostile.
    #[derive(Debug)]
    pub(in crate::service::http) struct Names;

    impl Variables for Names {
        fn write(&self, variable: Variable, out: &mut Vec<u8>) {
            match variable.name() {
                "referer" => out.extend_from_slice(b"a\r\nx: y"),
                "query" => {}
                name => out.extend_from_slice(name.to_uppercase().as_bytes()),
            }
        }
    }

    /// Variables that all have one value.
    struct Same<'a>(&'a [u8]);

    impl Variables for Same<'_> {
        fn write(&self, _: Variable, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0);
        }
    }

    fn written(template: &Template, variables: &dyn Variables) -> Vec<u8> {
        let mut out = b"> ".to_vec();
        template.write(variables, &mut out);
        out.split_off(2)
    }

    #[test]
    fn variables_are_put_into_the_text() {
        let table = [
            ("plain", "plain"),
            ("", ""),
            ("https://$host$path$query", "https://HOSTPATH"),
            ("${host}name $$1", "HOSTname $1"),
            ("$$", "$"),
            ("$$$host$$host", "$HOST$host"),
            ("$source:$source_port", "SOURCE:SOURCE_PORT"),
            ("$method!", "METHOD!"),
            ("$referer!", "a__x: y!"),
            ("a\tb", "a\tb"),
            ("\u{fc}$host}", "\u{fc}HOST}"),
        ];
        for (text, expected) in table {
            let out = written(&Template::parse(text).unwrap(), &Names);
            assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        }
    }

    #[test]
    fn no_value_brings_a_control_character() {
        let template = Template::parse("<$user_agent>").unwrap();
        for byte in 0..=u8::MAX {
            let out = written(&template, &Same(&[b'a', byte, b'b']));
            let shown = if byte.is_ascii_control() { b'_' } else { byte };
            assert_eq!(out, [b'<', b'a', shown, b'b', b'>'], "{byte}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_reason() {
        let table = [
            ("$nothing", TemplateError::Unknown("nothing".to_owned())),
            ("${no name}", TemplateError::Unknown("no name".to_owned())),
            ("$hostname", TemplateError::Unknown("hostname".to_owned())),
            ("a $", TemplateError::NoName),
            ("$$$", TemplateError::NoName),
            ("$1", TemplateError::NoName),
            ("$Host", TemplateError::NoName),
            ("${}", TemplateError::NoName),
            ("${host", TemplateError::Open),
            ("a\nb", TemplateError::Control),
            ("a\u{7f}", TemplateError::Control),
            ("a\u{85}", TemplateError::Control),
        ];
        for (text, error) in table {
            assert_eq!(Template::parse(text), Err(error.clone()), "{text}");
            assert!(!error.to_string().is_empty());
        }
        let error = Template::parse("$nothing").unwrap_err().to_string();
        assert!(error.contains("`$nothing`") && error.contains("$host, $path"), "{error}");
        assert_eq!(Template::parse_for_heads("$duration"), Err(TemplateError::OfLogs("duration")));
        assert!(Template::parse_for_heads("$user").is_ok());
    }

    #[test]
    fn a_variable_is_found_by_its_name() {
        for variable in Variable::ALL {
            assert_eq!(Variable::of(variable.name()), Some(variable));
            let text = format!("a${{{}}}", variable.name());
            let template = Template::parse(&text).unwrap();
            assert_eq!(template.variables().collect::<Vec<_>>(), [variable]);
            assert_eq!(Template::parse_for_heads(&text).is_err(), variable.is_of_logs());
        }
        assert_eq!(Variable::of(""), None);
        assert_eq!(Variable::ALL.iter().filter(|one| one.is_of_logs()).count(), 16);
    }

    #[test]
    fn a_template_knows_what_is_in_it() {
        let table = [
            ("", Some("")),
            ("plain", Some("plain")),
            ("a$$b", Some("a$b")),
            ("$host", None),
            ("a$host", None),
        ];
        for (text, constant) in table {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.constant(), constant.map(str::as_bytes), "{text}");
            assert_eq!(template.is_constant(), constant.is_some());
        }
        let template = Template::parse("$host$path").unwrap();
        assert!(template.has_only(&[Variable::Path, Variable::Host]));
        assert!(!template.has_only(&[Variable::Host]));
        assert!(Template::default().has_only(&[]));
    }
}
