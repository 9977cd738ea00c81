//! HTTP and HTTPS: one GET, its body on standard output; one exchange, for other verbs.

use std::io::{self, Write};
use std::time::Duration;

use super::{ConnectArgs, Failure, Reply, Request, screen};
use crate::client::{
    Answer, ClientError, ConnectOptions, Http, HttpOptions, Patience, Received,
    Request as HttpRequest, retry,
};
use crate::proto::http::status::reason;
use crate::proto::http::{Method, Version};

/// Gets what the URL names.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let request = Request { method: Method::Get, url: &args.url, token: None };
    let mut http = client(args.options()?);
    // The time is for each try.
    let sent = retry(&args.policy(), || http.send(with_fields(args, &request), args.timeout()));
    let mut answer = sent.map_err(|error| {
        if let ClientError::Request { reason } = &error {
            return Failure::Usage(format!("--header: {reason}"));
        }
        args.explain(error)
    })?;
    if args.verbose {
        tell(&answer)?;
    }
    let mut out = screen::output();
    read_body(&mut answer, args.timeout(), &mut |bytes| {
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
    })?;
    out.end_line().map_err(|error| Failure::output(&error))?;
    match answer.status() {
        status @ 400.. => {
            Err(Failure::Failed(format!("{}: status {status} {}", args.url, reason(status))))
        }
        _ => Ok(()),
    }
}

/// One exchange, tried once; the body of the answer may have `len_max` bytes.
pub(super) fn exchange(
    request: &Request<'_>,
    options: &ConnectOptions,
    timeout: Duration,
    len_max: usize,
) -> Result<Reply, Failure> {
    let mut http = client(options.clone());
    let mut answer = http.send(written(request), timeout)?;
    let (status, mut body) = (answer.status(), Vec::new());
    read_body(&mut answer, timeout, &mut |bytes| {
        if body.len() + bytes.len() > len_max {
            let text = format!("{}: the answer has more than {len_max} bytes", request.url);
            return Err(Failure::Failed(text));
        }
        body.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(Reply { status, body })
}

/// A client for one exchange.
fn client(connect: ConnectOptions) -> Http {
    Http::new(HttpOptions { connect, idle_max: 0, ..HttpOptions::default() })
}

/// The request with the fields of the command, which replace those of its own.
fn with_fields(args: &ConnectArgs, request: &Request<'_>) -> HttpRequest<'static> {
    let has_accept = args.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept"));
    let own = if has_accept { bare(request) } else { written(request) };
    args.headers.iter().fold(own, |own, (name, value)| own.field(name, value))
}

/// The request without fields that it has by default.
fn bare(request: &Request<'_>) -> HttpRequest<'static> {
    HttpRequest::new(request.method.name(), &request.url.to_string())
}

/// The request as it is sent.
fn written(request: &Request<'_>) -> HttpRequest<'static> {
    let own = bare(request).field("accept", "*/*");
    match request.token {
        Some(token) => own.field("authorization", format!("Bearer {token}")),
        None => own,
    }
}

/// The head of the answer, and the connection by TLS, on standard error.
fn tell(answer: &Answer<'_>) -> Result<(), Failure> {
    let mut text = String::new();
    if let Some(info) = answer.tls() {
        let group = info.group.unwrap_or("no group");
        text.push_str(&format!("* {} {} {group}\n", info.version, info.suite));
    }
    let version = match answer.version() {
        Version::Http2 => "HTTP/2",
        version @ (Version::Http10 | Version::Http11) => version.name(),
    };
    let mut line = |line: String| {
        text.push_str("< ");
        // What a server sends does not move the cursor.
        text.extend(line.chars().map(screen::shown));
        text.push('\n');
    };
    let status = answer.status();
    line(format!("{version} {status} {}", reason(status)).trim_end().to_owned());
    for field in answer.fields().iter() {
        let [name, value] = [field.name, field.value].map(String::from_utf8_lossy);
        line(format!("{name}: {value}"));
    }
    if let Some(length) = answer.length() {
        line(format!("content-length: {length}"));
    }
    io::stderr().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

/// Gives the body to `take`, in parts, as they come. The timeout bounds the silence between two
/// parts; one that drips counts as silent.
fn read_body(
    answer: &mut Answer<'_>,
    timeout: Duration,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut patience = Patience::new(timeout);
    let mut part = Vec::new();
    loop {
        part.clear();
        let read = answer.read(&mut part, patience.rest());
        if read.map_err(|error| patience.explain(error))? == Received::End {
            return Ok(());
        }
        take(&part)?;
        patience.count(part.len());
    }
}
