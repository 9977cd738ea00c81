//! The client's half of the handshake (RFC 6455, section 4.1), pure: the request, and what its
//! answer has to have.

use std::time::Duration;

use super::options::WebSocketOptions;
use super::url::{ProxyUrl, WebSocketUrl};
use crate::client::ClientError;
use crate::client::http::{USER_AGENT, push_field};
use crate::proto::http::{Fields, Known, RequestHead, ResponseHead, Version, is_secret, is_token};
use crate::proto::http1::Framing;
use crate::proto::http1::write::{self, Connection, Delimit};
use crate::proto::websocket::extension::{self, Parameters};
use crate::proto::websocket::handshake::{self, ACCEPT, EXTENSIONS, KEY, PROTOCOL, VERSION_FIELD};

/// What both ends have agreed upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    /// The subprotocol that the server has chosen.
    pub(super) subprotocol: Option<String>,
    /// How messages are compressed.
    pub(super) deflate: Option<Parameters>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The WebSocket is open.
    Open(Agreed),
    /// The server names another place.
    Redirect(String),
    /// It is not open: status, how long to wait, and why.
    Refused(u16, Option<Duration>, String),
}

/// Refuses options that no server can be sent.
pub(super) fn check_options(options: &WebSocketOptions) -> Result<(), ClientError> {
    let wrong = |reason| Err(ClientError::Request { reason });
    let mut fields = Fields::default();
    for (name, value) in &options.fields {
        push_field(&mut fields, name, value)?;
        let lower = name.to_ascii_lowercase();
        let is_own = lower.starts_with("sec-websocket-") || lower == "proxy-authorization";
        if is_own || (lower == "origin" && options.origin.is_some()) {
            return wrong(format!("the field {name} is the client's own"));
        }
    }
    if let Some(origin) = &options.origin {
        push_field(&mut fields, "origin", origin.as_bytes())?;
    }
    for (place, name) in options.subprotocols.iter().enumerate() {
        if !is_token(name.as_bytes()) {
            return wrong(format!("{name:?} is no name of a subprotocol"));
        }
        if options.subprotocols.iter().take(place).any(|other| other == name) {
            return wrong(format!("the subprotocol {name} is offered twice"));
        }
    }
    if options.redirects_max > REDIRECTS_MAX {
        return wrong(format!("at most {REDIRECTS_MAX} redirects are followed"));
    }
    Ok(())
}

/// Redirects that are followed at most.
const REDIRECTS_MAX: u8 = 5;

/// The request. Options are checked; secrets among the fields go to the authority that the program
/// has named, and to no other one.
pub(super) fn request(
    url: &WebSocketUrl,
    options: &WebSocketOptions,
    key: &str,
    with_secrets: bool,
) -> Vec<u8> {
    let mut head = RequestHead::default();
    head.set_method(b"GET");
    head.set_query(url.http.query());
    let fields = &mut head.fields;
    fields.push_known(Known::Upgrade, b"websocket");
    fields.push(VERSION_FIELD, b"13");
    fields.push(KEY, key.as_bytes());
    if !options.subprotocols.is_empty() {
        fields.push(PROTOCOL, options.subprotocols.join(", ").as_bytes());
    }
    if let Some(policy) = &options.deflate {
        fields.push_with(EXTENSIONS, |out| extension::offer(policy, out));
    }
    if let Some(origin) = &options.origin {
        fields.push(b"origin", origin.as_bytes());
    }
    if let Some(basic) = &url.basic {
        fields.push_known(Known::Authorization, basic.as_bytes());
    }
    for (name, value) in &options.fields {
        // What the URL says of the user counts.
        let is_given = fields.has(Known::of_any_case(name.as_bytes()));
        let is_twice = name.eq_ignore_ascii_case("authorization") && is_given;
        if !is_twice && (with_secrets || !is_secret(name.as_bytes())) {
            fields.push(name.as_bytes(), value.trim_ascii());
        }
    }
    if !fields.has(Known::UserAgent) {
        fields.push_known(Known::UserAgent, USER_AGENT.as_bytes());
    }
    let delimit = Delimit { framing: Framing::None, length: None, connection: Connection::Upgrade };
    let mut out = Vec::new();
    let to = (url.http.path(), url.http.authority.as_bytes());
    write::request(&head, to, None, delimit, &mut out);
    out
}

/// The request for a tunnel (RFC 9110, section 9.3.6).
pub(super) fn tunnel(url: &WebSocketUrl, proxy: &ProxyUrl) -> Vec<u8> {
    let target = url.target();
    let mut out = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n").into_bytes();
    write::field(b"user-agent", USER_AGENT.as_bytes(), &mut out);
    if let Some(basic) = &proxy.basic {
        write::field(b"proxy-authorization", basic.as_bytes(), &mut out);
    }
    write::end_with(Connection::Persist, &mut out);
    out
}

/// Judges an answer. `raw` is its head as it came: what it says of the connection is not among the
/// parsed fields.
///
/// # Errors
/// Which rule of the handshake it breaks.
pub(super) fn check(
    head: &ResponseHead,
    raw: &[u8],
    key: &str,
    options: &WebSocketOptions,
) -> Result<Verdict, String> {
    let wrong = |reason: &str| Err(reason.to_owned());
    if head.status != 101 {
        return Ok(refused(head));
    }
    if head.version != Version::Http11 {
        return wrong("a 101 of HTTP/1.0");
    }
    let mut upgrade = head.fields.list(Known::Upgrade);
    if !upgrade.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
        || upgrade.next().is_some()
    {
        return wrong("its Upgrade is not websocket");
    }
    if !names_upgrade(raw) {
        return wrong("its Connection does not name Upgrade");
    }
    match handshake::only(&head.fields, ACCEPT) {
        Some(value) if value == handshake::accept(key.as_bytes()) => {}
        Some(_) => return wrong("its Sec-WebSocket-Accept does not fit the key that was sent"),
        None => return wrong("it has no Sec-WebSocket-Accept, or several"),
    }
    let deflate = check_extensions(&head.fields, options)?;
    if head.fields.get_named(PROTOCOL).is_none() {
        return Ok(Verdict::Open(Agreed { subprotocol: None, deflate }));
    }
    let chosen = handshake::only(&head.fields, PROTOCOL).and_then(|one| str::from_utf8(one).ok());
    match chosen {
        Some(chosen) if options.subprotocols.iter().any(|offered| offered == chosen) => {
            Ok(Verdict::Open(Agreed { subprotocol: Some(chosen.to_owned()), deflate }))
        }
        Some(chosen) => Err(format!("it chose the subprotocol {chosen:?}, which was not offered")),
        None => wrong("it chose several subprotocols, or one that is not text"),
    }
}

fn check_extensions(
    fields: &Fields,
    options: &WebSocketOptions,
) -> Result<Option<Parameters>, String> {
    let mut lines = fields.all_named(EXTENSIONS).peekable();
    match &options.deflate {
        Some(policy) => extension::check(lines, policy).map_err(|error| error.to_string()),
        None if lines.peek().is_some() => {
            Err("it chose an extension, and none was offered".to_owned())
        }
        None => Ok(None),
    }
}

/// Whether the head has a `connection` field with the option `upgrade`.
fn names_upgrade(raw: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').any(|line| {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { return false };
        let (name, value) = (&line[..at], &line[at + 1..]);
        let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        name.eq_ignore_ascii_case(b"connection")
            && options.any(|option| option.eq_ignore_ascii_case(b"upgrade"))
    })
}

/// What another status than 101 means.
fn refused(head: &ResponseHead) -> Verdict {
    let status = head.status;
    let location = head.fields.get(Known::Location).and_then(|value| str::from_utf8(value).ok());
    if let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, location) {
        return Verdict::Redirect(location.to_owned());
    }
    let hint = match status {
        200..=299 => ": it answers as to any request: is this the path of a WebSocket?",
        401 => ": give a user and a password in the URL, or the field Authorization",
        403 => ": is it this origin that it takes?",
        404 => ": is this the path of a WebSocket?",
        426 => ": it speaks another version or protocol",
        429 | 503 => ": try again later",
        _ => "",
    };
    let after = retry_after(&head.fields);
    Verdict::Refused(status, after, format!("status {status} instead of 101{hint}"))
}

/// How long the server asks to wait (RFC 9110, section 10.2.3): a date counts from that of the
/// answer, so that no clock has to be right.
fn retry_after(fields: &Fields) -> Option<Duration> {
    let value = str::from_utf8(fields.get_named(b"retry-after")?).ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let then = date(value)?;
    let now = date(str::from_utf8(fields.get(Known::Date)?).ok()?)?;
    Some(then.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::Method;
    use crate::proto::http1::{HeadLimits, ResponseReader};

    const SAMPLE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPTED: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n";

    fn options() -> WebSocketOptions {
        let subprotocols = vec!["chat".to_owned(), "v2".to_owned()];
        WebSocketOptions { subprotocols, deflate: None, ..WebSocketOptions::default() }
    }

    fn verdict(answer: &str) -> Result<Verdict, String> {
        verdict_of(answer, &options())
    }

    fn verdict_of(answer: &str, options: &WebSocketOptions) -> Result<Verdict, String> {
        let mut head = ResponseHead::default();
        let limits = HeadLimits::default();
        let read =
            ResponseReader::default().read(answer.as_bytes(), Method::Get, &limits, &mut head);
        read.unwrap().expect("it is whole");
        check(&head, answer.as_bytes(), SAMPLE, options)
    }

    #[test]
    fn an_answer_has_what_the_rfc_asks_for() {
        let open = |subprotocol: Option<&str>| {
            let subprotocol = subprotocol.map(str::to_owned);
            Ok(Verdict::Open(Agreed { subprotocol, deflate: None }))
        };
        let cases: [(String, Result<Verdict, String>); 12] = [
            (format!("{UPGRADE}{ACCEPTED}"), open(None)),
            (format!("{UPGRADE}{ACCEPTED}Sec-WebSocket-Protocol: v2\r\n"), open(Some("v2"))),
            (format!("Upgrade: websocket\r\n{ACCEPTED}"), Err("Connection".into())),
            (format!("Connection: upgrade\r\n{ACCEPTED}"), Err("Upgrade is not".into())),
            (
                format!("Upgrade: h2c\r\nConnection: upgrade\r\n{ACCEPTED}"),
                Err("Upgrade is".into()),
            ),
            (format!("{UPGRADE}Upgrade: websocket\r\n{ACCEPTED}"), Err("Upgrade is not".into())),
            (UPGRADE.to_owned(), Err("no Sec-WebSocket-Accept".into())),
            (format!("{UPGRADE}{ACCEPTED}{ACCEPTED}"), Err("or several".into())),
            (format!("{UPGRADE}Sec-WebSocket-Accept: s3p\r\n"), Err("does not fit".into())),
            (
                format!("{UPGRADE}{ACCEPTED}Sec-WebSocket-Protocol: Chat\r\n"),
                Err("\"Chat\", which was not offered".into()),
            ),
            (
                format!(
                    "{UPGRADE}{ACCEPTED}Sec-WebSocket-Protocol: v2\r\n\
                     Sec-WebSocket-Protocol: v2\r\n"
                ),
                Err("several subprotocols".into()),
            ),
            (
                format!("{UPGRADE}{ACCEPTED}Sec-WebSocket-Extensions: x-other\r\n"),
                Err("none was offered".into()),
            ),
        ];
        for (fields, expected) in cases {
            let found = verdict(&format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n"));
            match (found, expected) {
                (Err(found), Err(expected)) => assert!(found.contains(&expected), "{found}"),
                (found, expected) => assert_eq!(found, expected, "{fields}"),
            }
        }
        let old = verdict(&format!("HTTP/1.0 101 Switching\r\n{UPGRADE}{ACCEPTED}\r\n"));
        assert!(old.is_err_and(|reason| reason.contains("HTTP/1.0")));
    }

    #[test]
    fn compression_is_what_was_offered() {
        let options = WebSocketOptions::default();
        let url: WebSocketUrl = "ws://a/".parse().unwrap();
        let head = String::from_utf8(request(&url, &options, SAMPLE, true)).unwrap();
        let offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
        assert!(head.to_ascii_lowercase().contains(offer), "{head}");
        for (extensions, is_deflate) in [
            ("", Ok(false)),
            ("Sec-WebSocket-Extensions: permessage-deflate\r\n", Ok(true)),
            ("Sec-WebSocket-Extensions: x-other\r\n", Err("not offered")),
            ("Sec-WebSocket-Extensions: permessage-deflate; x\r\n", Err("invalid")),
        ] {
            let answer = format!("HTTP/1.1 101 Go\r\n{UPGRADE}{ACCEPTED}{extensions}\r\n");
            match (verdict_of(&answer, &options), is_deflate) {
                (Ok(Verdict::Open(agreed)), Ok(expected)) => {
                    assert_eq!(agreed.deflate.is_some(), expected, "{extensions}");
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{extensions}: {found:?}"),
            }
        }
    }

    #[test]
    fn other_answers_say_what_may_help_and_when() {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        for (answer, status, after, word) in [
            ("200 OK\r\n", 200, None, "path of a WebSocket"),
            ("401 No\r\n", 401, None, "user and a password"),
            ("302 Found\r\n", 302, None, "status 302"),
            ("503 Busy\r\nRetry-After: 7\r\n", 503, Some(7), "later"),
            ("429 Slow\r\nRetry-After: 99999999999999999999999\r\n", 429, Some(u64::MAX), "later"),
            ("503 Busy\r\nRetry-After: soon\r\n", 503, None, "later"),
            ("503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:57 GMT\r\nDATE", 503, Some(20), ""),
            ("503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:07 GMT\r\nDATE", 503, Some(0), ""),
            ("503 Busy\r\nRetry-After: Sun, 06 Nov 1994 08:49:57 GMT\r\n", 503, None, ""),
        ] {
            let answer = format!("HTTP/1.1 {}\r\n", answer.replace("DATE", date));
            let Ok(Verdict::Refused(found, wait, reason)) = verdict(&answer) else {
                panic!("{answer}");
            };
            let wait = wait.map(|wait| wait.min(Duration::from_secs(u64::MAX)).as_secs());
            assert_eq!((found, wait), (status, after), "{answer}");
            assert!(reason.contains(word), "{reason}");
        }
        let moved = verdict("HTTP/1.1 307 Moved\r\nLocation: /b\r\n\r\n");
        assert_eq!(moved, Ok(Verdict::Redirect("/b".to_owned())));
    }

    #[test]
    fn a_request_has_what_was_asked_for_and_secrets_for_one_authority() {
        let url: WebSocketUrl = "ws://u:p@a.example:81/x?y".parse().unwrap();
        let fields = vec![
            ("X-A".to_owned(), b" b ".to_vec()),
            ("Cookie".to_owned(), b"c=d".to_vec()),
            ("Authorization".to_owned(), b"Bearer e".to_vec()),
        ];
        let options = WebSocketOptions { fields, origin: Some("http://o".to_owned()), ..options() };
        check_options(&options).unwrap();
        let text = |url: &WebSocketUrl, with| {
            String::from_utf8(request(url, &options, SAMPLE, with)).unwrap().to_ascii_lowercase()
        };
        let head = text(&url, true);
        assert!(head.starts_with("get /x?y http/1.1\r\nhost: a.example:81\r\n"), "{head}");
        for line in [
            "upgrade: websocket",
            "connection: upgrade",
            "sec-websocket-version: 13",
            "sec-websocket-protocol: chat, v2",
            "origin: http://o",
            "authorization: basic dtpw",
            "x-a: b",
            "cookie: c=d",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        assert_eq!(head.matches("authorization").count(), 1, "{head}");
        let other: WebSocketUrl = "ws://b.example/".parse().unwrap();
        let head = text(&other, false);
        assert!(head.contains("x-a: b") && !head.contains("cookie"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
        let proxy: ProxyUrl = "http://u:p@c:1".parse().unwrap();
        let head = String::from_utf8(tunnel(&url, &proxy)).unwrap();
        assert!(head.starts_with("CONNECT a.example:81 HTTP/1.1\r\nhost: a.example:81\r\n"));
        assert!(head.ends_with("\r\nproxy-authorization: Basic dTpw\r\n\r\n"), "{head}");
    }

    #[test]
    fn options_that_cannot_be_sent_are_refused() {
        let fields = |name: &str, value: &str| WebSocketOptions {
            fields: vec![(name.to_owned(), value.as_bytes().to_vec())],
            ..WebSocketOptions::default()
        };
        let subprotocols = |names: &[&str]| WebSocketOptions {
            subprotocols: names.iter().map(|name| (*name).to_owned()).collect(),
            ..WebSocketOptions::default()
        };
        let origin = WebSocketOptions { origin: Some("a\nb".to_owned()), ..fields("x", "y") };
        for (options, word) in [
            (fields("Upgrade", "x"), "client's own"),
            (fields("Sec-WebSocket-Key", "x"), "client's own"),
            (fields("Proxy-Authorization", "x"), "client's own"),
            (fields("a b", "x"), "no name of a field"),
            (fields("a", "x\r\ny"), "control character"),
            (origin, "control character"),
            (subprotocols(&["a b"]), "no name of a subprotocol"),
            (subprotocols(&["a", "b", "a"]), "offered twice"),
            (WebSocketOptions { redirects_max: 6, ..fields("a", "b") }, "at most 5"),
        ] {
            let error = check_options(&options).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
