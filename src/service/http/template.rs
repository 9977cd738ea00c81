//! Values with variables in them, such as `https://$host$path`, and with what a regular expression
//! has found, such as `/new/$1`.

#[cfg(test)]
pub(super) mod tests;

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

    /// Appends what a group of the route's regular expression has found; nothing, if it has found
    /// nothing.
    fn write_capture(&self, _group: u8, _out: &mut Vec<u8>) {}
}

/// What a template is for, and so what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A value of a header field: what is known before a request is over.
    Field,
    /// The URL of a redirect: the same, and captures.
    Location,
    /// The path of a rewritten request: captures alone.
    Path,
    /// A line of an access log: every variable.
    Log,
}

impl Purpose {
    fn has(self, variable: Variable) -> bool {
        match self {
            Self::Field | Self::Location => !variable.is_of_logs(),
            Self::Path => false,
            Self::Log => true,
        }
    }

    const fn has_captures(self) -> bool {
        match self {
            Self::Location | Self::Path => true,
            Self::Field | Self::Log => false,
        }
    }
}

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// As it was written.
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Variable(Variable),
    Capture(u8),
}

/// Bytes of a template, at most.
pub const TEMPLATE_SIZE_MAX: usize = 4 << 10;

/// Why a text is no template. Its display says what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// There is no variable of that name for this purpose.
    Unknown(String, Purpose),
    /// A `$` without a name behind it.
    NoName,
    /// A `${` without a `}`.
    Open,
    /// A control character other than a tab.
    Control,
    /// More than [`TEMPLATE_SIZE_MAX`] bytes.
    Long,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name, purpose) => {
                let known = Variable::ALL.into_iter().filter(|one| purpose.has(*one));
                let mut names: Vec<_> = known.map(|one| format!("${}", one.name())).collect();
                if purpose.has_captures() {
                    names.push("$1 to $99 for groups of `path_regex`".to_owned());
                }
                let names = names.join(", ");
                write!(f, "there is no variable `${name}`; there are: {names}; `$$` is a dollar")
            }
            Self::NoName => f.write_str("write `$$` for a dollar, or a name after it"),
            Self::Open => f.write_str("close the brace after `${`"),
            Self::Control => f.write_str("leave out line ends and other control characters"),
            Self::Long => write!(f, "write {TEMPLATE_SIZE_MAX} bytes at most"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a template. `$name` and `${name}` are variables, `$1` and `${1}` what a group of a
    /// regular expression has found, and `$$` is a dollar.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_SIZE_MAX {
            return Err(TemplateError::Long);
        }
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
            let (part, after) = reference(after, purpose)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(part);
            rest = after;
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self { text: text.into(), parts })
    }

    /// A text in which nothing is a variable.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self {
            text: text.replace('$', "$$").into(),
            parts: vec![Part::Text(text.as_bytes().into())],
        }
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its text with another in the place of each capture.
    #[must_use]
    pub fn with_captures(&self, found: &str) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Part::Variable(variable) => format!("${{{}}}", variable.name()),
            Part::Capture(_) => found.to_owned(),
        });
        parts.collect()
    }

    /// The highest group of a regular expression in it.
    #[must_use]
    pub fn capture_max(&self) -> Option<u8> {
        let groups = self.parts.iter().filter_map(|part| match part {
            Part::Capture(group) => Some(*group),
            Part::Variable(_) | Part::Text(_) => None,
        });
        groups.max()
    }

    /// The variables in it, in their order; one that stands in it twice comes twice.
    pub fn variables(&self) -> impl Iterator<Item = Variable> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(*variable),
            Part::Capture(_) | Part::Text(_) => None,
        })
    }

    /// Whether there are no other variables in it than these, and no captures.
    #[must_use]
    pub fn has_only(&self, variables: &[Variable]) -> bool {
        self.capture_max().is_none()
            && self.variables().all(|variable| variables.contains(&variable))
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
            [Part::Variable(_) | Part::Capture(_)] | [_, _, ..] => None,
        }
    }

    /// Appends the text with its variables' values. What may stand in no field of a head, such as
    /// the end of a line, becomes `_`, and so does a tab: so no value can add a field, or another
    /// column of a log. Bytes beyond ASCII stay (RFC 9110, section 5.5).
    pub fn write(&self, variables: &dyn Variables, out: &mut Vec<u8>) {
        for part in &self.parts {
            let start = out.len();
            match part {
                Part::Text(text) => {
                    out.extend_from_slice(text);
                    continue;
                }
                Part::Variable(variable) => variables.write(*variable, out),
                Part::Capture(group) => variables.write_capture(*group, out),
            }
            for byte in out.get_mut(start..).unwrap_or_default() {
                if byte.is_ascii_control() {
                    *byte = b'_';
                }
            }
        }
    }
}

/// What is named behind a dollar, and what follows the name. A number without braces has one digit,
/// as `$10` is likelier a `$1` and a zero.
fn reference(text: &str, purpose: Purpose) -> Result<(Part, &str), TemplateError> {
    let (name, after) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or(TemplateError::Open)?,
        None => {
            let is_name = |one: char| one.is_ascii_lowercase() || one == '_';
            let is_number = text.starts_with(|first: char| first.is_ascii_digit());
            let end = text.find(|one| !is_name(one)).unwrap_or(text.len());
            let end = if is_number && purpose.has_captures() { 1 } else { end };
            text.split_at_checked(end).unwrap_or((text, ""))
        }
    };
    if name.is_empty() && !text.starts_with('{') {
        return Err(TemplateError::NoName);
    }
    let group = name.parse().ok().filter(|group: &u8| purpose.has_captures() && *group < 100);
    if let Some(group) = group.filter(|_| name.bytes().all(|byte| byte.is_ascii_digit())) {
        return Ok((Part::Capture(group), after));
    }
    let found = Variable::of(name).filter(|variable| purpose.has(*variable));
    let found = found.ok_or_else(|| TemplateError::Unknown(name.to_owned(), purpose))?;
    Ok((Part::Variable(found), after))
}
