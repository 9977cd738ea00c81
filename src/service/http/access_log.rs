//! The line of a request in an access log.
//!
//! Whatever a client says is escaped: no line has another one in it, and no terminal is moved by
//! it.

use std::time::{Duration, UNIX_EPOCH};

use super::certificate::ClientCertificate;
use super::template::{Template, Variable, Variables};
use crate::service::grpc::Code;

/// How a line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// As of old: source, user, time, request line, status, bytes.
    Common,
    /// The same, with referer and user agent.
    Combined,
    /// One JSON object.
    Json,
    /// As one likes.
    Template(Template),
}

/// What is known of a request that is over. Texts of the client are as they came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// When its head had come, since 1970-01-01 UTC.
    pub time: Duration,
    /// The client's address.
    pub source: Option<std::net::SocketAddr>,
    /// The user that was authenticated.
    pub user: &'a str,
    /// The method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host.
    pub host: &'a [u8],
    /// The path.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// The version.
    pub version: &'a str,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// How a call of gRPC ended, if it was one.
    pub call: Option<Code>,
    /// Bytes of the answer.
    pub sent: u64,
    /// Bytes of the request.
    pub received: u64,
    /// The `referer` field.
    pub referer: &'a [u8],
    /// The `user-agent` field.
    pub user_agent: &'a [u8],
    /// The number of the request.
    pub request_id: u64,
    /// The name of the route.
    pub route: &'a str,
    /// The name of the upstream.
    pub upstream: &'a str,
    /// The server that answered, or was to.
    pub server: &'a str,
    /// Tries of servers.
    pub tries: u32,
    /// What went wrong.
    pub reason: Option<&'a str>,
    /// What came, if it was refused before it was understood: its first line, and the line with
    /// the fault. Method, path and version are empty then.
    pub refused: Option<(&'a [u8], &'a [u8])>,
    /// Version and cipher suite of TLS, if that is spoken.
    pub secured: Option<(&'a str, &'a str)>,
    /// What the client has shown of itself.
    pub certificate: Option<&'a ClientCertificate>,
    /// From the head to the end of the answer.
    pub duration: Duration,
    /// Waiting for a connection to a server.
    pub queued: Option<Duration>,
    /// Connecting to it.
    pub connect: Option<Duration>,
    /// To the head of the server's answer.
    pub first_byte: Option<Duration>,
    /// From the beginning of the first try to the end of the server's answer.
    pub upstream_duration: Option<Duration>,
}

impl Record<'_> {
    fn tls_version(&self) -> &str {
        self.secured.map_or("", |(version, _)| version)
    }

    fn tls_cipher(&self) -> &str {
        self.secured.map_or("", |(_, cipher)| cipher)
    }

    fn shown(&self, read: impl Fn(&ClientCertificate) -> &str) -> &[u8] {
        self.certificate.map(read).unwrap_or_default().as_bytes()
    }
}

/// Writes a line, its end among it.
pub fn write_line(format: &Format, record: &Record<'_>, out: &mut Vec<u8>) {
    match format {
        Format::Common => write_common(record, out),
        Format::Combined => {
            write_common(record, out);
            for text in [record.referer, record.user_agent] {
                out.extend_from_slice(b" \"");
                escape(if text.is_empty() { b"-" } else { text }, out);
                out.push(b'"');
            }
        }
        Format::Json => write_json(record, out),
        Format::Template(template) => template.write(record, out),
    }
    out.push(b'\n');
}

fn write_common(record: &Record<'_>, out: &mut Vec<u8>) {
    match record.source {
        Some(source) => text(out, format_args!("{}", source.ip())),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - ");
    out.extend_from_slice(if record.user.is_empty() { b"-" } else { b"" });
    for (number, word) in record.user.split(' ').enumerate() {
        // A space in a name would look like the end of it.
        out.extend_from_slice(if number > 0 { b"\\x20" } else { b"" });
        escape(word.as_bytes(), out);
    }
    out.extend_from_slice(b" [");
    write_clf_time(record.time, out);
    out.extend_from_slice(b"] \"");
    write_request_line(record, out);
    text(out, format_args!("\" {} {}", record.status, record.sent));
}

fn write_request_line(record: &Record<'_>, out: &mut Vec<u8>) {
    match record.refused {
        Some((b"", _)) => out.push(b'-'),
        Some((line, _)) => escape(line, out),
        None => {
            escape(record.method.as_bytes(), out);
            out.push(b' ');
            write_target(record, out);
            text(out, format_args!(" {}", record.version));
        }
    }
}

fn write_target(record: &Record<'_>, out: &mut Vec<u8>) {
    escape(record.path.as_bytes(), out);
    if let Some(query) = record.query {
        out.push(b'?');
        escape(query.as_bytes(), out);
    }
}

/// `23/Nov/2026:14:18:25 +0000`, made of the date of HTTP: `Mon, 23 Nov 2026 14:18:25 GMT`.
fn write_clf_time(time: Duration, out: &mut Vec<u8>) {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + time);
    let part = |range| date.get(range).unwrap_or_default();
    let (day, month, year, clock) = (part(5..7), part(8..11), part(12..16), part(17..25));
    text(out, format_args!("{day}/{month}/{year}:{clock} +0000"));
}

/// `2026-11-23T14:18:25.123Z` (RFC 3339).
fn write_time(time: Duration, out: &mut Vec<u8>) {
    /// Up to the milliseconds.
    const LEN: usize = 23;
    let start = out.len();
    text(out, format_args!("{}", crate::service::date::Rfc3339(time)));
    out.truncate(start + LEN);
    out.push(b'Z');
}

fn seconds(time: Duration, out: &mut Vec<u8>) {
    text(out, format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()));
}

fn write_json(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    write_time(record.time, out);
    out.push(b'"');
    if let Some(source) = record.source {
        text(out, format_args!(",\"source\":\"{}\"", source.ip()));
        if source.port() != 0 {
            text(out, format_args!(",\"source_port\":{}", source.port()));
        }
    }
    let (request_line, refused_line) = record.refused.unwrap_or_default();
    for (key, value) in [
        ("user", record.user.as_bytes()),
        ("method", record.method.as_bytes()),
        ("host", record.host),
        ("path", record.path.as_bytes()),
        ("query", record.query.unwrap_or_default().as_bytes()),
        ("version", record.version.as_bytes()),
        ("request_line", request_line),
        ("refused_line", refused_line),
        ("referer", record.referer),
        ("user_agent", record.user_agent),
        ("route", record.route.as_bytes()),
        ("upstream", record.upstream.as_bytes()),
        ("server", record.server.as_bytes()),
        ("reason", record.reason.unwrap_or_default().as_bytes()),
        ("tls_version", record.tls_version().as_bytes()),
        ("tls_cipher", record.tls_cipher().as_bytes()),
        ("tls_client_subject", record.shown(|one| &one.subject)),
        ("tls_client_names", record.shown(|one| &one.names)),
        ("tls_client_fingerprint", record.shown(|one| &one.fingerprint)),
    ] {
        if !value.is_empty() {
            text(out, format_args!(",\"{key}\":\""));
            escape_json(value, out);
            out.push(b'"');
        }
    }
    let Record { status, sent, received, request_id, tries, .. } = record;
    text(out, format_args!(",\"status\":{status},\"bytes_sent\":{sent}"));
    text(out, format_args!(",\"bytes_received\":{received}"));
    if let Some(code) = record.call {
        text(out, format_args!(",\"grpc_status\":\"{}\"", code.name()));
    }
    if *request_id != 0 {
        text(out, format_args!(",\"request_id\":\"{request_id:016x}\""));
    }
    if *tries != 0 {
        text(out, format_args!(",\"tries\":{tries}"));
    }
    let durations = [
        ("duration", Some(record.duration)),
        ("queue_duration", record.queued),
        ("connect_duration", record.connect),
        ("first_byte_duration", record.first_byte),
        ("upstream_duration", record.upstream_duration),
    ];
    for (key, time) in durations {
        if let Some(time) = time {
            text(out, format_args!(",\"{key}\":"));
            seconds(time, out);
        }
    }
    out.push(b'}');
}

impl Variables for Record<'_> {
    fn write(&self, variable: Variable, out: &mut Vec<u8>) {
        let before = out.len();
        match variable {
            Variable::Host => escape(self.host, out),
            Variable::Path => escape(self.path.as_bytes(), out),
            Variable::Query => {
                if let Some(query) = self.query {
                    out.push(b'?');
                    escape(query.as_bytes(), out);
                }
            }
            Variable::Target => write_target(self, out),
            Variable::Method => escape(self.method.as_bytes(), out),
            Variable::Source => {
                self.source.into_iter().for_each(|one| text(out, format_args!("{}", one.ip())));
            }
            Variable::SourcePort => {
                let known = self.source.filter(|source| source.port() != 0);
                known.into_iter().for_each(|one| text(out, format_args!("{}", one.port())));
            }
            Variable::Scheme => out.extend_from_slice(self.scheme.as_bytes()),
            Variable::RequestId => text(out, format_args!("{:016x}", self.request_id)),
            Variable::Upstream => escape(self.upstream.as_bytes(), out),
            Variable::Route => escape(self.route.as_bytes(), out),
            Variable::User => escape(self.user.as_bytes(), out),
            Variable::TlsVersion => escape(self.tls_version().as_bytes(), out),
            Variable::TlsCipher => escape(self.tls_cipher().as_bytes(), out),
            Variable::TlsClientSubject => escape(self.shown(|one| &one.subject), out),
            Variable::TlsClientNames => escape(self.shown(|one| &one.names), out),
            Variable::TlsClientFingerprint => escape(self.shown(|one| &one.fingerprint), out),
            Variable::Status => text(out, format_args!("{}", self.status)),
            Variable::GrpcStatus => {
                out.extend_from_slice(self.call.map(Code::name).unwrap_or_default().as_bytes());
            }
            Variable::Time => write_time(self.time, out),
            Variable::BytesSent => text(out, format_args!("{}", self.sent)),
            Variable::BytesReceived => text(out, format_args!("{}", self.received)),
            Variable::Duration => seconds(self.duration, out),
            Variable::UpstreamDuration => {
                self.upstream_duration.into_iter().for_each(|one| seconds(one, out))
            }
            Variable::QueueDuration => self.queued.into_iter().for_each(|one| seconds(one, out)),
            Variable::ConnectDuration => self.connect.into_iter().for_each(|one| seconds(one, out)),
            Variable::FirstByteDuration => {
                self.first_byte.into_iter().for_each(|one| seconds(one, out));
            }
            Variable::Server => escape(self.server.as_bytes(), out),
            Variable::UserAgent => escape(self.user_agent, out),
            Variable::Referer => escape(self.referer, out),
            Variable::Reason => out.extend_from_slice(self.reason.unwrap_or_default().as_bytes()),
            Variable::Version => out.extend_from_slice(self.version.as_bytes()),
            Variable::RequestLine => write_request_line(self, out),
            Variable::RefusedLine => {
                escape(self.refused.map(|(_, line)| line).unwrap_or_default(), out);
            }
        }
        if out.len() == before {
            out.push(b'-');
        }
    }
}

pub(super) fn text(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    /// Appends text to bytes.
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // A vector takes all that is written.
    let _taken = std::fmt::Write::write_fmt(&mut Bytes(out), arguments);
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(byte: u8, out: &mut Vec<u8>) {
    for digit in [byte >> 4, byte & 0xf] {
        out.push(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'));
    }
}

/// Quotes, backslashes, control characters and all that is not ASCII as `\xHH`.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\x");
            hex(byte, out);
        }
    }
}

/// As strings of JSON have it (RFC 8259, section 7). Characters that turn the direction of writing
/// are escaped too, and bytes that are no UTF-8 become the replacement character.
fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', u8::try_from(c).unwrap_or(b'?')]),
                '\u{0}'..='\u{1f}'
                | '\u{7f}'..='\u{9f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    out.extend_from_slice(b"\\u");
                    let [.., high, low] = u32::from(c).to_be_bytes();
                    hex(high, out);
                    hex(low, out);
                }
                _ => {
                    let mut bytes = [0; 4];
                    out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
                }
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::Purpose;
    use super::*;

    fn record() -> Record<'static> {
        Record {
            time: Duration::from_millis(1_795_443_505_123),
            source: Some("192.0.2.1:5000".parse().unwrap()),
            method: "GET",
            scheme: "http",
            host: b"a.example",
            path: "/x",
            query: Some("q=1"),
            version: "HTTP/1.1",
            status: 200,
            sent: 1234,
            received: 56,
            user_agent: b"curl/8 \"x\"\n",
            route: "web",
            duration: Duration::from_micros(1_500),
            first_byte: Some(Duration::from_micros(1_000)),
            request_id: 0xab,
            ..Record::default()
        }
    }

    fn line(format: &Format, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write_line(format, record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_look_as_everybody_knows_them() {
        let common = "192.0.2.1 - - [23/Nov/2026:14:18:25 +0000] \"GET /x?q=1 HTTP/1.1\" 200 1234";
        assert_eq!(line(&Format::Common, &record()), format!("{common}\n"));
        let combined = format!("{common} \"-\" \"curl/8 \\x22x\\x22\\x0a\"\n");
        assert_eq!(line(&Format::Combined, &record()), combined);
        let template =
            Template::parse("$time $route $status $duration $upstream $user", Purpose::Log)
                .unwrap();
        let expected = "2026-11-23T14:18:25.123Z web 200 0.001500 - -\n";
        assert_eq!(line(&Format::Template(template), &record()), expected);
    }

    #[test]
    fn a_refused_request_is_told_as_it_came() {
        let refused = Record {
            method: "",
            path: "",
            query: None,
            version: "",
            host: b"h\x7f",
            status: 400,
            reason: Some("field_name"),
            refused: Some((b"GET  / \"x\" HTTP/1.1", b"a b\x1b[2J: \xff")),
            ..record()
        };
        let common = line(&Format::Common, &refused);
        assert!(common.contains("] \"GET  / \\x22x\\x22 HTTP/1.1\" 400 1234"), "{common}");
        let template =
            Template::parse("$request_line|$refused_line|$host|$reason", Purpose::Log).unwrap();
        assert_eq!(
            line(&Format::Template(template.clone()), &refused),
            "GET  / \\x22x\\x22 HTTP/1.1|a b\\x1b[2J: \\xff|h\\x7f|field_name\n"
        );
        let expected = "GET /x?q=1 HTTP/1.1|-|a.example|-\n";
        assert_eq!(line(&Format::Template(template), &record()), expected);
        let value: serde_json::Value =
            serde_json::from_str(&line(&Format::Json, &refused)).unwrap();
        assert_eq!(value["request_line"], "GET  / \"x\" HTTP/1.1");
        assert_eq!(value["refused_line"], "a b\u{1b}[2J: \u{fffd}");
        assert_eq!(
            (&value["method"], &value["host"]),
            (&serde_json::Value::Null, &"h\u{7f}".into())
        );
        let nothing = Record { refused: Some((b"", b"")), ..refused };
        assert!(line(&Format::Common, &nothing).contains("] \"-\" 400"));
    }

    #[test]
    fn a_json_line_is_json_whatever_the_client_says() {
        let mut state = 1_u64;
        for round in 0..2_000_usize {
            let mut bytes = Vec::new();
            for _ in 0..round % 40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                bytes.push(state.to_be_bytes()[2]);
            }
            bytes.extend_from_slice("\u{202e}\u{2066}".as_bytes());
            let record = Record { user_agent: &bytes, referer: &bytes, ..record() };
            let text = line(&Format::Json, &record);
            let value: serde_json::Value = serde_json::from_str(&text).expect(&text);
            assert_eq!(value["status"], 200);
            assert_eq!(value["request_id"], "00000000000000ab");
            assert_eq!(text.matches('\n').count(), 1);
            assert!(!text.contains('\u{202e}') && !text.contains('\u{2066}'));
            for format in [Format::Common, Format::Combined] {
                let text = line(&format, &record);
                assert!(
                    text.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte))
                );
            }
        }
    }
}
