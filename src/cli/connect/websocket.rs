//! WebSocket: lines of standard input to the server, its messages to standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::{ConnectArgs, Failure, input, period, screen};
use crate::client::{
    ClientError, ProxyUrl, ReconnectPolicy, Reconnecting, WebSocket, WebSocketClose,
    WebSocketEvent, WebSocketMessage, WebSocketOptions, retry,
};
use crate::proto::http::status::reason;

/// Bytes that are read of standard input at a time.
const PIECE: usize = 64 * 1024;
/// The longest line that is sent.
const LINE_MAX: usize = 16 * 1024 * 1024;
/// The code that is sent at the end of standard input.
const CLOSE_CODE: u16 = 1000;

/// How WebSocket is spoken.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "WebSocket, for ws and wss")]
pub(super) struct WebSocketArgs {
    /// Offer this subprotocol; may be given several times, the best first
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// Tell the server this origin, as a browser does of a page
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// Do not offer compression (permessage-deflate)
    #[arg(long)]
    no_deflate: bool,
    /// Pass bytes on as they are: each read of standard input is a message of bytes, and what comes
    /// goes to standard output without line ends
    #[arg(long)]
    binary: bool,
    /// Send a ping so often, and print the round trips on standard error
    #[arg(long, value_name = "DURATION", value_parser = period)]
    ping: Option<Duration>,
    /// Connect again when the connection is lost, or closed with 1001, 1011, 1012 or 1013
    #[arg(long)]
    reconnect: bool,
    /// Connect through this proxy (CONNECT)
    #[arg(long, value_name = "http://[USER:PASSWORD@]HOST[:PORT]", value_parser = proxy)]
    proxy: Option<ProxyUrl>,
    /// Follow up to so many redirects, 5 at most [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=5))]
    redirects: Option<u8>,
    /// The code that is sent at the end of standard input [default: 1000]
    #[arg(long, value_name = "CODE")]
    close_code: Option<u16>,
}

fn proxy(text: &str) -> Result<ProxyUrl, String> {
    text.parse().map_err(ClientError::into_url_reason)
}

impl WebSocketArgs {
    /// Whether any of them was given.
    pub(super) const fn is_given(&self) -> bool {
        let Self { subprotocol, origin, no_deflate, binary, ping, .. } = self;
        let Self { reconnect, proxy, redirects, close_code, .. } = self;
        !subprotocol.is_empty()
            || origin.is_some()
            || *no_deflate
            || *binary
            || ping.is_some()
            || *reconnect
            || proxy.is_some()
            || redirects.is_some()
            || close_code.is_some()
    }

    fn options(&self, args: &ConnectArgs) -> Result<WebSocketOptions, Failure> {
        let own = WebSocketOptions::default();
        let field = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
        Ok(WebSocketOptions {
            connect: args.options()?,
            handshake_timeout: args.timeout(),
            fields: args.headers.iter().map(field).collect(),
            origin: self.origin.clone(),
            subprotocols: self.subprotocol.clone(),
            deflate: own.deflate.filter(|_| !self.no_deflate),
            proxy: self.proxy.clone(),
            redirects_max: self.redirects.unwrap_or(0),
            ping_interval: self.ping,
            close_timeout: args.timeout(),
            tell_control: self.ping.is_some(),
            ..own
        })
    }
}

/// Runs until one of the two ends closes.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let Some(url) = &args.url.websocket else {
        return Err(Failure::Usage("begin with ws:// or wss://".to_owned()));
    };
    let (own, file) = (&args.websocket, input()?);
    let options = own.options(args)?;
    let opened = retry(&args.policy(), || WebSocket::open(url, &options));
    let socket = opened.map_err(|error| usage_or(args, error))?;
    if args.verbose {
        tell(&socket)?;
    }
    // Without a reconnect, no attempt follows the end.
    let attempts_max = if own.reconnect { u32::MAX } else { 0 };
    let policy = ReconnectPolicy { attempts_max, ..ReconnectPolicy::default() };
    let socket = Reconnecting::of(socket, url.clone(), options, policy);
    let (lines, is_closing) = (Lines::default(), false);
    Session { args, socket, file: Some(file), lines, is_closing }.run()
}

/// The same, where it is not what was asked for that cannot be sent.
fn usage_or(args: &ConnectArgs, error: ClientError) -> Failure {
    if let ClientError::Request { reason } = error {
        return Failure::Usage(reason);
    }
    explain(args, &error)
}

/// A failure, under the URL that was opened.
fn explain(args: &ConnectArgs, error: &ClientError) -> Failure {
    Failure::Failed(format!("{}: {error}", args.url))
}

struct Session<'a> {
    args: &'a ConnectArgs,
    socket: Reconnecting,
    /// Standard input, as long as it goes on.
    file: Option<File>,
    lines: Lines,
    /// A close frame was sent.
    is_closing: bool,
}

impl Session<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        loop {
            let event = match &self.file {
                Some(file) => self.socket.receive_or_input(file, Duration::MAX),
                None => self.socket.receive(Duration::MAX),
            };
            match event.map_err(|error| explain(self.args, &error))? {
                WebSocketEvent::Message(message) => self.print(&message)?,
                WebSocketEvent::Input => self.read()?,
                WebSocketEvent::Pong { round_trip: Some(time), .. } => {
                    note(&format!("pong after {:.3} ms", time.as_secs_f64() * 1e3))?;
                }
                WebSocketEvent::Lost { why, rest } => {
                    note(&format!("{why}; connecting again after {:.1} s", rest.as_secs_f64()))?;
                }
                WebSocketEvent::Reconnected => note("connected again")?,
                WebSocketEvent::Ping(_) | WebSocketEvent::Pong { .. } => {}
                WebSocketEvent::Closed(close) => return self.end(&close),
            }
        }
    }

    fn print(&self, message: &WebSocketMessage) -> Result<(), Failure> {
        let mut out = screen::output();
        let written = match message {
            message if self.args.websocket.binary => out.write_all(message.bytes()),
            WebSocketMessage::Text(text) => writeln!(out, "{text}"),
            WebSocketMessage::Binary(bytes) => writeln!(out, "{}", STANDARD.encode(bytes)),
        };
        written.and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
    }

    /// Reads once of standard input, and sends what that brings.
    fn read(&mut self) -> Result<(), Failure> {
        let mut piece = vec![0; PIECE];
        let Some(file) = &mut self.file else { return Ok(()) };
        let count = match file.read(&mut piece) {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
            {
                return Ok(());
            }
            Err(error) => return Err(Failure::input(&error)),
        };
        piece.truncate(count);
        let messages = match count {
            0 if self.args.websocket.binary => Vec::new(),
            0 => self.lines.end()?,
            _ if self.args.websocket.binary => vec![WebSocketMessage::Binary(piece)],
            _ => self.lines.take(&piece)?,
        };
        let Some(socket) = self.socket.socket() else { return Ok(()) };
        let mut messages = messages.iter();
        let queued = messages.try_for_each(|message| socket.queue(message));
        if count == 0 {
            self.file = None;
            let code = self.args.websocket.close_code.unwrap_or(CLOSE_CODE);
            let unwatched = queued.and_then(|()| socket.unwatch());
            self.is_closing = true;
            let closed = unwatched.and_then(|()| self.socket.start_close(code, ""));
            return closed.map_err(|error| usage_or(self.args, error));
        }
        match queued {
            // What the server sent before, and why it has closed, comes next.
            Ok(()) | Err(ClientError::AfterClose { .. } | ClientError::Network(_)) => Ok(()),
            Err(error) => Err(explain(self.args, &error)),
        }
    }

    /// Whether the way it was closed is a success.
    fn end(&self, close: &WebSocketClose) -> Result<(), Failure> {
        let own = self.args.websocket.close_code.unwrap_or(CLOSE_CODE);
        let is_answer = self.is_closing && (close.code.0 == own || close.code.0 == 1005);
        if matches!(close.code.0, 1000 | 1001) || is_answer {
            return Ok(());
        }
        let reason: String = close.reason.chars().map(screen::shown).collect();
        let separator = if reason.is_empty() { "" } else { ": " };
        let code = close.code;
        Err(Failure::Failed(format!("{}: closed with {code}{separator}{reason}", self.args.url)))
    }
}

/// Lines of standard input.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of one.
    partial: Vec<u8>,
    /// Lines before it.
    count: u64,
}

impl Lines {
    /// The lines that end in `piece`.
    fn take(&mut self, piece: &[u8]) -> Result<Vec<WebSocketMessage>, Failure> {
        let mut messages = Vec::new();
        let mut parts = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if self.partial.len() + part.len() > LINE_MAX {
                return Err(Failure::Failed(format!("a line of more than {LINE_MAX} bytes")));
            }
            self.partial.extend_from_slice(part);
            if parts.peek().is_some() {
                messages.push(self.line()?);
            }
        }
        Ok(messages)
    }

    /// The last line, if it has no end.
    fn end(&mut self) -> Result<Vec<WebSocketMessage>, Failure> {
        if self.partial.is_empty() { Ok(Vec::new()) } else { Ok(vec![self.line()?]) }
    }

    fn line(&mut self) -> Result<WebSocketMessage, Failure> {
        self.count += 1;
        let text = String::from_utf8(std::mem::take(&mut self.partial)).map_err(|_| {
            let count = self.count;
            Failure::Failed(format!("line {count} is not UTF-8: send bytes with --binary"))
        })?;
        Ok(WebSocketMessage::Text(text))
    }
}

/// A line on standard error.
fn note(text: &str) -> Result<(), Failure> {
    let text: String = text.chars().map(screen::shown).collect();
    writeln!(io::stderr(), "ringway: {text}").map_err(|error| Failure::output(&error))
}

/// The head of the answer, and the connection by TLS, on standard error.
fn tell(socket: &WebSocket) -> Result<(), Failure> {
    let mut text = String::new();
    if let Some(info) = socket.tls() {
        let group = info.group.unwrap_or("no group");
        text.push_str(&format!("* {} {} {group}\n", info.version, info.suite));
    }
    let mut line = |line: String| {
        text.push_str("< ");
        // What a server sends does not move the cursor.
        text.extend(line.chars().map(screen::shown));
        text.push('\n');
    };
    let head = socket.response();
    line(format!("HTTP/1.1 {} {}", head.status, reason(head.status)).trim_end().to_owned());
    for field in head.fields.iter() {
        let [name, value] = [field.name, field.value].map(String::from_utf8_lossy);
        line(format!("{name}: {value}"));
    }
    io::stderr().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(messages: Result<Vec<WebSocketMessage>, Failure>) -> Vec<String> {
        let text = |message: WebSocketMessage| match message {
            WebSocketMessage::Text(text) => text,
            WebSocketMessage::Binary(bytes) => panic!("{bytes:?}"),
        };
        messages.unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn lines_are_messages_however_they_come() {
        let mut lines = Lines::default();
        assert_eq!(texts(lines.take(b"a\n\nb")), ["a", ""]);
        assert_eq!(texts(lines.take(b"c\nd")), ["bc"]);
        assert_eq!(texts(lines.end()), ["d"]);
        assert_eq!(texts(lines.end()), [""; 0]);
        let error = lines.take(b"\xff\n").unwrap_err().message();
        assert_eq!(error, "line 5 is not UTF-8: send bytes with --binary");
        let long = vec![b'x'; LINE_MAX];
        assert_eq!(texts(lines.take(&long)), [""; 0]);
        assert!(lines.take(b"x").unwrap_err().message().contains("a line of more than"));
    }
}
