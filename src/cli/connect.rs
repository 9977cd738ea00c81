//! `ringway connect`: talks to a server, one file a scheme.

mod frame;
mod messages;
mod ping;
mod tcp;
mod udp;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::{EXIT_USAGE, fail};
use crate::client::{ClientError, ConnectOptions, PumpError, RetryPolicy, Target, TargetError};
use crate::config::units::Period;

/// The longest line of the input that is taken.
const LINE_MAX: u64 = 1024 * 1024;

const EXAMPLES: &str = "\
URL is one of
  tcp://HOST:PORT        standard input to the peer, the peer to standard output
  udp://HOST:PORT        each read of standard input (a line, in a terminal) is a datagram
  messages://HOST:PORT   [TYPE [PAYLOAD]]  JSON objects, one a line
  frame://HOST:PORT      echo TEXT | get NAME | ping | stats | message TYPE [PAYLOAD]
Instead of HOST:PORT there may be unix:/PATH (not for udp). Without a command, messages and frame
send each line of standard input and print the answers.

Examples:
  echo hello | ringway connect tcp://127.0.0.1:7000
  ringway connect tcp://unix:/run/echo.sock < request > answer
  ringway connect udp://127.0.0.1:7000 --wait 300ms
  ringway connect messages://127.0.0.1:7200 echo hello
  ringway connect frame://127.0.0.1:7100 ping -c 3 -i 200ms
  ringway connect frame://127.0.0.1:7100 get motd --retries 2 > motd

Exit status: 0 success, 1 failure, 2 wrong usage.";

/// What to connect to, and what to do there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConnectArgs {
    /// Whom to connect to: tcp://, udp://, messages:// or frame://, and HOST:PORT or unix:/PATH
    #[arg(value_name = "URL")]
    url: Url,
    /// What to ask; standard input is sent without
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// How long connecting, and each exchange, may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = period)]
    timeout: Duration,
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
}

/// A scheme and a target.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    scheme: Scheme,
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Tcp,
    Udp,
    Messages,
    Frame,
}

impl Scheme {
    const NAMES: [(&str, Self); 4] = [
        ("tcp", Self::Tcp),
        ("udp", Self::Udp),
        ("messages", Self::Messages),
        ("frame", Self::Frame),
    ];
}

/// A text that is no URL of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum UrlError {
    #[error("begin with tcp://, udp://, messages:// or frame://")]
    Scheme,
    #[error("udp has no unix sockets here")]
    UnixDatagram,
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((name, rest)) => {
                let known = Scheme::NAMES.into_iter().find(|(known, _)| *known == name);
                (known.ok_or(UrlError::Scheme)?.1, rest)
            }
            // As it is everywhere else: a path says what it is.
            None if text.starts_with("unix:") => (Scheme::Tcp, text),
            None => return Err(UrlError::Scheme),
        };
        let target = rest.strip_suffix('/').filter(|rest| !rest.starts_with("unix:"));
        let target: Target = target.unwrap_or(rest).parse()?;
        if scheme == Scheme::Udp && rest.starts_with("unix:") {
            return Err(UrlError::UnixDatagram);
        }
        Ok(Self { scheme, target })
    }
}

fn period(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(Period(time)) => Ok(time),
        Err(error) => Err(format!("{error}, such as 300ms or 5s")),
    }
}

/// Why the verb ends early.
#[derive(Debug)]
enum Failure {
    /// What was asked for makes no sense.
    Usage(String),
    /// It failed.
    Failed(String),
    /// Nobody reads what would be written.
    NoReader,
}

impl Failure {
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

/// Runs the verb.
pub(super) fn run(args: &ConnectArgs) -> ExitCode {
    let done = check(args).and_then(|()| match args.url.scheme {
        Scheme::Tcp => tcp::run(args),
        Scheme::Udp => udp::run(args),
        Scheme::Messages => messages::run(args),
        Scheme::Frame => frame::run(args),
    });
    match done {
        Ok(()) | Err(Failure::NoReader) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => fail(&message),
        Err(Failure::Usage(message)) => {
            let _told = fail(&format!("{message} (ringway connect --help shows how)"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Refuses what would be passed over.
fn check(args: &ConnectArgs) -> Result<(), Failure> {
    let scheme = args.url.scheme;
    let wrong = |text: &str| Err(Failure::Usage(text.to_owned()));
    if matches!(scheme, Scheme::Tcp | Scheme::Udp) && !args.command.is_empty() {
        return wrong("tcp and udp take no command");
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
    fn options(&self) -> ConnectOptions {
        ConnectOptions { deadline: self.timeout, ..ConnectOptions::default() }
    }

    fn policy(&self) -> RetryPolicy {
        let tries = self.retries.saturating_add(1);
        RetryPolicy { tries_max: tries, deadline: Duration::MAX, ..RetryPolicy::default() }
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
    let mut out = io::stdout().lock();
    out.write_fmt(parts).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes bytes and, where `text` says so or people read it, the end of the line.
fn write_bytes(bytes: &[u8], text: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let end: &[u8] = match bytes.last() {
        Some(b'\n') => b"",
        Some(_) | None if text || out.is_terminal() => b"\n",
        Some(_) | None => b"",
    };
    let written = out.write_all(bytes).and_then(|()| out.write_all(end));
    written.and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
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
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, word) in [
            ("127.0.0.1:7000", "begin with tcp://"),
            ("http://127.0.0.1:7000", "begin with tcp://"),
            ("udp://unix:/run/x", "no unix sockets"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://", "port is missing"),
            ("frame://host:7/path", "below 65536"),
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
