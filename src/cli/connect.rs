//! `ringway connect`: talks to a server, one file a scheme.

mod frame;
mod grpc;
mod http;
mod messages;
mod ping;
pub(super) mod screen;
mod tcp;
pub(super) mod tls;
mod udp;
mod websocket;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use self::tls::TlsArgs;
use self::websocket::WebSocketArgs;
use super::{EXIT_USAGE, fail};
use crate::client::{
    ClientError, ConnectOptions, HttpUrl, PumpError, RetryPolicy, Target, TargetError, WebSocketUrl,
};
use crate::config::units::Period;
use crate::proto::http::Method;

/// How long connecting, and each exchange, may take, unless that is given.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest line of the input that is taken.
const LINE_MAX: u64 = 1024 * 1024;

const EXAMPLES: &str = "\
URL is one of
  tcp://HOST:PORT        standard input to the peer, the peer to standard output
  udp://HOST:PORT        each read of standard input (a line, in a terminal) is a datagram
  messages://HOST:PORT   [TYPE [PAYLOAD]]  JSON objects, one a line
  frame://HOST:PORT      echo TEXT | get NAME | ping | stats | message TYPE [PAYLOAD]
  http://HOST[:PORT]/PATH  GET; the body goes to standard output
  h2://HOST[:PORT]/PATH  the same by HTTP/2 in clear, which the server is known to speak
  grpc://HOST:PORT/package.Service/Method [JSON | -]
                         a call; messages are JSON. Without JSON, a stream is read from standard
                         input, and another method is called with an empty message
  grpc://HOST:PORT       list [SERVICE] | describe [SYMBOL]
  ws://HOST[:PORT]/PATH  WebSocket: each line of standard input is a message of text, each message
                         that comes a line of standard output (one of bytes in base64)
By TLS: tls:// for tcp://, messages+tls://, frame+tls://, grpcs://, wss://, and https://, which
speaks the version of HTTP that the server prefers.
Instead of HOST:PORT there may be unix:/PATH (for tcp, messages and frame). Without a command,
messages and frame send each line of standard input and print the answers.

Examples:
  echo hello | ringway connect tcp://127.0.0.1:7000
  ringway connect tcp://unix:/run/echo.sock < request > answer
  ringway connect udp://127.0.0.1:7000 --wait 300ms
  ringway connect messages://127.0.0.1:7004 echo hello
  ringway connect frame://127.0.0.1:7002 ping -c 3 -i 200ms
  ringway connect frame://127.0.0.1:7002 get motd --retries 2 > motd
  ringway connect https://example.com/ > page.html
  ringway connect grpc://127.0.0.1:50051 list
  ringway connect grpc://127.0.0.1:50051/demo.Notes/Get '{\"id\": 7}' -H 'x-tenant: blue'
  ringway connect grpcs://notes.example/demo.Notes/Watch --proto notes.proto - < requests.json
  ringway connect wss://example.com/feed --subprotocol v2.feed --ping 20s --reconnect
  ringway connect tls://db.example:7000 --ca ca.pem --pin spki:6a1f...

Exit status: 0 success, 1 failure, 2 wrong usage.";

/// What to connect to, and what to do there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConnectArgs {
    /// Whom to connect to: a scheme, and HOST:PORT or unix:/PATH
    #[arg(value_name = "URL")]
    url: Url,
    /// What to ask; standard input is sent without
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// How long connecting, and each exchange, may take [default: 5s]; calls of gRPC in all, of
    /// which streams have no limit without it
    #[arg(long, value_name = "DURATION", value_parser = period)]
    timeout: Option<Duration>,
    /// How often to try again, after a growing pause
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// udp: how long to wait for answers after the end of the input [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = period)]
    wait: Option<Duration>,
    /// ping: how many [default: until interrupted]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// ping: the time from one to the next [default: 1s]
    #[arg(short, long, value_name = "DURATION", value_parser = period)]
    interval: Option<Duration>,
    /// HTTP and WebSocket: the head of the answer, and how TLS is spoken; gRPC: the metadata of the
    /// answer; to standard error
    #[arg(short, long)]
    verbose: bool,
    /// HTTP, gRPC and WebSocket: a field to be sent; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// gRPC: read messages and services from this file, and do not ask the server for them; may be
    /// given several times
    #[arg(long, value_name = "FILE")]
    proto: Vec<PathBuf>,
    /// gRPC: where --proto and its imports are searched for [default: the file's folder, and the
    /// current one]; may be given several times
    #[arg(long, value_name = "DIR", requires = "proto")]
    import_path: Vec<PathBuf>,
    #[command(flatten)]
    websocket: WebSocketArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

/// A scheme and a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    scheme: Scheme,
    /// Whether it is spoken by TLS.
    secure: bool,
    target: Target,
    /// The host as it was written, with its port if that was written, too.
    host: String,
    /// What is asked for there, of HTTP.
    path: String,
    /// All of it, of WebSocket.
    websocket: Option<WebSocketUrl>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Tcp,
    Udp,
    Messages,
    Frame,
    Http,
    /// HTTP/2 in clear.
    Http2,
    Grpc,
    WebSocket,
}

impl Scheme {
    /// Names, and whether they stand for TLS.
    const NAMES: [(&str, Self, bool); 14] = [
        ("tcp", Self::Tcp, false),
        ("tls", Self::Tcp, true),
        ("udp", Self::Udp, false),
        ("messages", Self::Messages, false),
        ("messages+tls", Self::Messages, true),
        ("frame", Self::Frame, false),
        ("frame+tls", Self::Frame, true),
        ("http", Self::Http, false),
        ("https", Self::Http, true),
        ("h2", Self::Http2, false),
        ("grpc", Self::Grpc, false),
        ("grpcs", Self::Grpc, true),
        ("ws", Self::WebSocket, false),
        ("wss", Self::WebSocket, true),
    ];

    /// Whether a path follows the host.
    const fn has_path(self) -> bool {
        match self {
            Self::Http | Self::Http2 | Self::Grpc | Self::WebSocket => true,
            Self::Tcp | Self::Udp | Self::Messages | Self::Frame => false,
        }
    }

    /// Whether it is HTTP, and no more than that.
    const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2)
    }
}

/// A text that is no URL of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error(
        "begin with tcp://, tls://, udp://, messages://, messages+tls://, frame://, frame+tls://, \
         http://, https://, h2://, grpc://, grpcs://, ws:// or wss://"
    )]
    Scheme,
    #[error("udp has no unix sockets here")]
    UnixDatagram,
    #[error("HTTP, gRPC and WebSocket have no unix sockets here: name HOST:PORT")]
    UnixHttp,
    #[error("{0}")]
    Http(String),
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, secure, rest) = match text.split_once("://") {
            Some((name, rest)) => {
                let mut known = Scheme::NAMES.into_iter();
                let known = known.find(|(known, ..)| known.eq_ignore_ascii_case(name));
                let (_, scheme, secure) = known.ok_or(UrlError::Scheme)?;
                (scheme, secure, rest)
            }
            // As it is everywhere else: a path says what it is.
            None if text.starts_with("unix:") => (Scheme::Tcp, false, text),
            None => return Err(UrlError::Scheme),
        };
        if scheme.has_path() {
            return match scheme {
                Scheme::WebSocket => Self::of_websocket(secure, text),
                Scheme::Http | Scheme::Http2 | Scheme::Grpc => {
                    Self::with_path(scheme, secure, rest)
                }
                Scheme::Tcp | Scheme::Udp | Scheme::Messages | Scheme::Frame => {
                    Err(UrlError::Scheme)
                }
            };
        }
        let target = rest.strip_suffix('/').filter(|rest| !rest.starts_with("unix:"));
        let target: Target = target.unwrap_or(rest).parse()?;
        if scheme == Scheme::Udp && rest.starts_with("unix:") {
            return Err(UrlError::UnixDatagram);
        }
        let (host, path) = (rest.to_owned(), String::new());
        Ok(Self { scheme, secure, target, host, path, websocket: None })
    }
}

impl Url {
    /// A host, a port where it is not the usual one, and a path.
    fn with_path(scheme: Scheme, secure: bool, rest: &str) -> Result<Self, UrlError> {
        if rest.starts_with("unix:") {
            return Err(UrlError::UnixHttp);
        }
        // gRPC has URLs as HTTP has them.
        let http = if secure { "https" } else { "http" };
        let url: HttpUrl = format!("{http}://{rest}")
            .parse()
            .map_err(|error: ClientError| UrlError::Http(error.into_url_reason()))?;
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let (target, host) = (url.target().clone(), url.authority().to_owned());
        let path = format!("{}{query}", url.path());
        Ok(Self { scheme, secure, target, host, path, websocket: None })
    }

    /// As of HTTP, perhaps with a user and a password.
    fn of_websocket(secure: bool, text: &str) -> Result<Self, UrlError> {
        let url: WebSocketUrl =
            text.parse().map_err(|error: ClientError| UrlError::Http(error.into_url_reason()))?;
        let shown = url.to_string();
        let (_, rest) = shown.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, path, target) = (host.to_owned(), path.to_owned(), url.target().clone());
        let scheme = Scheme::WebSocket;
        Ok(Self { scheme, secure, target, host, path, websocket: Some(url) })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_named =
            |name: &&(&str, Scheme, bool)| (name.1, name.2) == (self.scheme, self.secure);
        let scheme = Scheme::NAMES.iter().find(is_named).map_or("", |(name, ..)| name);
        write!(f, "{scheme}://{}{}", self.host, self.path)
    }
}

/// A request of HTTP without a body. It has a secret, so it cannot be shown.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    /// What the field `Authorization` carries, as `Bearer`: visible ASCII characters.
    pub(super) token: Option<&'a str>,
}

/// The answer to it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A field as it is written.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field is written 'name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn period(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(Period(time)) => Ok(time),
        Err(error) => Err(format!("{error}, such as 300ms or 5s")),
    }
}

/// Why the verb ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked for makes no sense.
    Usage(String),
    /// It failed.
    Failed(String),
    /// Nobody reads what would be written.
    NoReader,
}

impl Failure {
    /// What is wrong, for a person.
    pub(super) fn message(self) -> String {
        match self {
            Self::Usage(message) | Self::Failed(message) => message,
            Self::NoReader => "nobody reads standard output".to_owned(),
        }
    }

    /// The same with another text, where it failed.
    pub(super) fn explained(self, explain: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Failed(message) => Self::Failed(explain(message)),
            Self::Usage(_) | Self::NoReader => self,
        }
    }

    fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::NoReader;
        }
        Self::Failed(format!("writing to standard output failed: {error}"))
    }

    fn input(error: &io::Error) -> Self {
        Self::Failed(format!("reading standard input failed: {error}"))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<PumpError> for Failure {
    fn from(error: PumpError) -> Self {
        match error {
            PumpError::Client(error) => error.into(),
            PumpError::Input(error) => Self::input(&error),
            PumpError::Output(error) => Self::output(&error),
        }
    }
}

/// The messages of a call of gRPC, given as JSON, as they are on the wire.
pub(super) fn call_messages(
    url: &str,
    json: &str,
    (headers, timeout): (&[(String, String)], Duration),
    (proto, import_path): (&[PathBuf], &[PathBuf]),
    tls: &TlsArgs,
) -> Result<Vec<Vec<u8>>, Failure> {
    let url = url.parse().map_err(|error| Failure::Usage(format!("{url}: {error}")))?;
    let args = ConnectArgs {
        url,
        command: Vec::new(),
        timeout: Some(timeout),
        retries: 0,
        wait: None,
        count: None,
        interval: None,
        verbose: false,
        headers: headers.to_vec(),
        proto: proto.to_vec(),
        import_path: import_path.to_vec(),
        websocket: WebSocketArgs::default(),
        tls: tls.clone(),
    };
    grpc::messages(&args, json)
}

/// Runs the verb.
pub(super) fn run(args: &ConnectArgs) -> ExitCode {
    let done = check(args).and_then(|()| match args.url.scheme {
        Scheme::Tcp => tcp::run(args),
        Scheme::Udp => udp::run(args),
        Scheme::Messages => messages::run(args),
        Scheme::Frame => frame::run(args),
        Scheme::Http | Scheme::Http2 => http::run(args),
        Scheme::Grpc => grpc::run(args),
        Scheme::WebSocket => websocket::run(args),
    });
    status("connect", done)
}

/// The exit status of a verb; says what failed.
pub(super) fn status(verb: &str, done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) | Err(Failure::NoReader) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => fail(&message),
        Err(Failure::Usage(message)) => {
            let _told = fail(&format!("{message} (ringway {verb} --help shows how)"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// A URL of HTTP.
pub(super) fn http_url(text: &str) -> Result<Url, Failure> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(Failure::Usage(format!("{text}: begin with http:// or https://")));
    }
    text.parse().map_err(|error| Failure::Usage(format!("{text}: {error}")))
}

/// Carries out one exchange of HTTP; the body of the answer may have `len_max` bytes.
pub(super) fn ask(
    request: &Request<'_>,
    tls: &TlsArgs,
    timeout: Duration,
    len_max: usize,
) -> Result<Reply, Failure> {
    ask_with(request, &ask_options(request.url, tls, timeout)?, len_max)
}

/// The options of [`ask_with`]: files of TLS are read, and mistakes are found.
pub(super) fn ask_options(
    url: &Url,
    tls: &TlsArgs,
    timeout: Duration,
) -> Result<ConnectOptions, Failure> {
    if !url.secure && tls.is_given() {
        return Err(Failure::Usage(format!("{url}: the switches of TLS are for https://")));
    }
    options(url, tls, timeout)
}

/// [`ask`] with options that serve several exchanges.
pub(super) fn ask_with(
    request: &Request<'_>,
    options: &ConnectOptions,
    len_max: usize,
) -> Result<Reply, Failure> {
    http::exchange(request, options, options.deadline, len_max)
}

fn options(url: &Url, tls: &TlsArgs, timeout: Duration) -> Result<ConnectOptions, Failure> {
    let tls = if url.secure { Some(tls.tls()?) } else { None };
    Ok(ConnectOptions { deadline: timeout, tls, ..ConnectOptions::default() })
}

/// Refuses what would be passed over.
fn check(args: &ConnectArgs) -> Result<(), Failure> {
    let scheme = args.url.scheme;
    let wrong = |text: &str| Err(Failure::Usage(text.to_owned()));
    let is_websocket = scheme == Scheme::WebSocket;
    let is_without = matches!(scheme, Scheme::Tcp | Scheme::Udp) || scheme.is_http();
    if (is_without || is_websocket) && !args.command.is_empty() {
        return wrong("tcp, udp, http and ws take no command");
    }
    if !is_websocket && args.websocket.is_given() {
        return wrong("the switches of WebSocket are for ws and wss");
    }
    if !scheme.has_path() && args.verbose {
        return wrong("--verbose is for http, https, h2, grpc, grpcs, ws and wss");
    }
    if !scheme.has_path() && !args.headers.is_empty() {
        return wrong("--header is for http, https, h2, grpc, grpcs, ws and wss");
    }
    if scheme != Scheme::Grpc && !args.proto.is_empty() {
        return wrong("--proto is for grpc and grpcs");
    }
    if !args.url.secure && args.tls.is_given() {
        return wrong(
            "the switches of TLS are for tls, messages+tls, frame+tls, https, grpcs and wss",
        );
    }
    if scheme != Scheme::Udp && args.wait.is_some() {
        return wrong("--wait is for udp");
    }
    let is_ping = scheme == Scheme::Frame && args.command.first().is_some_and(|c| c == "ping");
    if !is_ping && (args.count.is_some() || args.interval.is_some()) {
        return wrong("--count and --interval are for the ping of frame");
    }
    Ok(())
}

impl ConnectArgs {
    /// How long connecting, and each exchange, may take.
    fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    fn options(&self) -> Result<ConnectOptions, Failure> {
        options(&self.url, &self.tls, self.timeout())
    }

    fn policy(&self) -> RetryPolicy {
        let tries = self.retries.saturating_add(1);
        RetryPolicy { tries_max: tries, deadline: Duration::MAX, ..RetryPolicy::default() }
    }

    /// A failure of HTTP or gRPC, with what may help.
    fn explain(&self, error: ClientError) -> Failure {
        let cause =
            if let ClientError::RetriesExhausted { last, .. } = &error { last } else { &error };
        let is_other = matches!(cause, ClientError::Http { version: "HTTP/2", .. });
        let hint = match self.url.scheme {
            Scheme::Http2 => "use https:// if the server speaks TLS, http:// if it has HTTP/1.1",
            Scheme::Grpc => "use grpcs:// if the server speaks TLS",
            Scheme::Tcp
            | Scheme::Udp
            | Scheme::Messages
            | Scheme::Frame
            | Scheme::Http
            | Scheme::WebSocket => "",
        };
        if is_other && !self.url.secure && !hint.is_empty() {
            return Failure::Failed(format!("{error}; {hint}"));
        }
        error.into()
    }

    fn words(&self) -> Vec<&str> {
        self.command.iter().map(String::as_str).collect()
    }
}

/// Standard input, without the buffer in which a poll would not see bytes.
fn input() -> Result<File, Failure> {
    let descriptor = io::stdin().as_fd().try_clone_to_owned();
    descriptor.map(File::from).map_err(|error| Failure::input(&error))
}

/// Gives each line of standard input to `each`, without its end, until there are no more.
fn lines(mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| Failure::input(&error))? == 0 {
            return Ok(());
        }
        if line.pop_if(|last| *last == b'\n').is_none() && line.len() as u64 == LINE_MAX {
            return Err(Failure::Failed(format!("a line of more than {LINE_MAX} bytes")));
        }
        each(&line)?;
    }
}

/// Writes to standard output.
fn write(parts: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = screen::output();
    out.write_fmt(parts).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes bytes and, where `text` says so or people read it, the end of the line.
pub(super) fn write_bytes(bytes: &[u8], text: bool) -> Result<(), Failure> {
    let mut out = screen::output();
    let is_ended = bytes.last() == Some(&b'\n');
    let end: &[u8] = if text && !is_ended { b"\n" } else { b"" };
    let written = out.write_all(bytes).and_then(|()| out.write_all(end));
    written.and_then(|()| out.end_line()).map_err(|error| Failure::output(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_scheme_and_target() {
        for (text, scheme, target) in [
            ("tcp://127.0.0.1:7000", Scheme::Tcp, "127.0.0.1:7000"),
            ("tcp://[::1]:7000/", Scheme::Tcp, "[::1]:7000"),
            ("tcp://unix:/run/x", Scheme::Tcp, "unix:/run/x"),
            ("unix:/run/x", Scheme::Tcp, "unix:/run/x"),
            ("udp://localhost:53", Scheme::Udp, "localhost:53"),
            ("messages://unix:/run/x", Scheme::Messages, "unix:/run/x"),
            ("frame://localhost:7100", Scheme::Frame, "localhost:7100"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.scheme, url.target.to_string().as_str()), (scheme, target));
            assert!(!url.secure);
        }
        for (text, scheme, target, path) in [
            ("tls://localhost:7000", Scheme::Tcp, "localhost:7000", ""),
            ("messages+tls://a:1", Scheme::Messages, "a:1", ""),
            ("frame+tls://a:1", Scheme::Frame, "a:1", ""),
            ("https://a", Scheme::Http, "a:443", "/"),
            ("https://a?q", Scheme::Http, "a:443", "/?q"),
            ("https://a:8443/b?c=d#e", Scheme::Http, "a:8443", "/b?c=d"),
            ("https://[::1]/b", Scheme::Http, "[::1]:443", "/b"),
            ("https://[::1]:8443", Scheme::Http, "[::1]:8443", "/"),
            ("grpcs://a:1/b.C/D", Scheme::Grpc, "a:1", "/b.C/D"),
            ("wss://u:p@a/b?c", Scheme::WebSocket, "a:443", "/b?c"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.scheme, url.target.to_string().as_str()), (scheme, target));
            assert_eq!((url.secure, url.path.as_str()), (true, path));
        }
        let url: Url = "http://a/b".parse().unwrap();
        assert_eq!((url.secure, url.target.to_string().as_str()), (false, "a:80"));
        assert_eq!(url.to_string(), "http://a/b");
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, word) in [
            ("127.0.0.1:7000", "begin with tcp://"),
            ("ftp://127.0.0.1:7000", "begin with tcp://"),
            ("https://a/b c", "must be escaped"),
            ("https:///", "name or an address"),
            ("tls://localhost", "port is missing"),
            ("udp://unix:/run/x", "no unix sockets"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://", "port is missing"),
            ("frame://host:7/path", "below 65536"),
            ("grpc://", "name or an address"),
            ("grpc://unix:/run/x", "no unix sockets here"),
            ("http://unix:/run/x", "no unix sockets here"),
            ("https://user@a/", "name or an address"),
            ("ws://u:p@", "name or an address"),
            ("wss://a/b#c", "no fragment"),
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
