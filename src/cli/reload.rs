//! `ringway reload`: has the running process read its configuration file again.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::admin::{address_of, complete, token};
use super::check::Source;
use super::connect::{self, Failure, Reply, Request, Url, http_url, screen, tls::TlsArgs};
use crate::config::Admin;
use crate::proto::http::Method;
use crate::proto::http::status::reason;

/// Bytes of an answer at most: the names of a million listeners and upstreams.
const LEN_MAX: usize = 64 << 20;
/// Where the admin interface reloads.
const PATH: &str = "/reload";
/// Names of a group that people are shown.
const NAMES_MAX: usize = 20;

/// What is told after the options.
pub(super) const AFTER_HELP: &str = "\
The process reads the file that it was started with (serve --config), not one that is given here:
--config only says where the process is, and with which token it is asked.

Examples:
  ringway reload --config /etc/ringway/ringway.toml
  ringway reload --admin https://proxy.example:9901 --ca ca.pem --token-file admin.tokens --json

Exit status: 0 reloaded, or nothing was different; 1 refused (the file is wrong, the token is, or a
reload is under way: nothing was changed) or the process cannot be asked; 2 wrong usage.";

/// Whom to ask, and how the answer is shown.
#[derive(Debug, Default, Args)]
pub(super) struct ReloadArgs {
    /// The configuration file of the running process, or `-` for standard input: its [admin] says
    /// where to ask, and has the token file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin interface of the running process; wins over that of --config [default:
    /// http://127.0.0.1:9901]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A file whose first token is sent, lines as in the file of `admin.token_file`; wins over that
    /// of --config
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the answer as it came, in JSON
    #[arg(long)]
    json: bool,
    /// How long connecting, and the answer, may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = connect::period)]
    timeout: Duration,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    url: String,
    token_file: PathBuf,
}

/// The answer to a reload. What is missing is empty.
#[derive(Debug, Deserialize)]
struct Report {
    result: String,
    plan: Option<u64>,
    seconds: Option<f64>,
    #[serde(default)]
    listeners: Groups,
    #[serde(default)]
    upstreams: Groups,
    connections: Option<Connections>,
    #[serde(default)]
    needs_restart: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Names, by what became of what has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Groups {
    kept: Vec<String>,
    changed: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
}

/// How many connections there were, by what becomes of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Connections {
    kept: u64,
    drained: u64,
    closed: u64,
}

/// Runs the verb.
pub(super) fn run(args: &ReloadArgs) -> ExitCode {
    connect::status("reload", reload(args))
}

fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let source = args.config.as_deref().map(Source::read).transpose().map_err(Failure::Failed)?;
    let place = place(args, source.as_ref().map(|source| &source.config.admin))?;
    let url = http_url(&place.url)?;
    let token = token(&place.token_file).map_err(Failure::Failed)?;
    // It belongs into no terminal and no log, whatever the other side answers.
    let without_token = |text: String| text.replace(&token, "(token)");
    let request = Request { method: Method::Post, url: &url, token: Some(&token) };
    let (body, report) = ask(&request, args).map_err(|error| error.explained(without_token))?;
    match args.json {
        true => connect::write_bytes(&body, true),
        false => connect::write_bytes(without_token(report.to_text()).as_bytes(), true),
    }
}

/// The answer that says that the process has reloaded, as it came and as it was read.
fn ask(request: &Request<'_>, args: &ReloadArgs) -> Result<(Vec<u8>, Report), Failure> {
    let asked = connect::ask(request, &args.tls, args.timeout, LEN_MAX);
    let Reply { status, body } = asked.map_err(|failure| {
        failure.explained(|error| {
            format!(
                "the running process cannot be asked to reload: {error} (does it run, with \
                 [admin] enabled? --admin URL says where)"
            )
        })
    })?;
    if status != 200 {
        return Err(Failure::Failed(refused(request.url, status, &body)));
    }
    let report = read(&body).map_err(|why| {
        Failure::Failed(format!(
            "{}: the answer is none to a reload that this version reads: {why} (does another \
             version run? what holds now is shown by ringway check --against-running)",
            request.url
        ))
    })?;
    Ok((body, report))
}

/// Whom to ask: what is given wins over the file, and the file over what is usual.
fn place(args: &ReloadArgs, of_file: Option<&Admin>) -> Result<Place, Failure> {
    let usual = Admin::default();
    let url = match &args.admin {
        Some(url) => Ok(complete(url, PATH)),
        None => address_of(of_file.unwrap_or(&usual), PATH, "--admin"),
    };
    let url = url.map_err(Failure::Failed)?;
    let own = of_file.and_then(|admin| admin.token_file.as_ref());
    match (args.token_file.as_ref().or(own), of_file) {
        (Some(file), _) => Ok(Place { url, token_file: file.clone() }),
        (None, None) => Err(Failure::Usage(
            "a reload needs a token: give --token-file FILE, or the configuration that has \
             token_file in [admin] with --config FILE"
                .to_owned(),
        )),
        (None, Some(_)) => Err(Failure::Failed(
            "a reload needs a token, and the configuration has no token_file in [admin]: the \
             running process needs one, too; or give --token-file FILE"
                .to_owned(),
        )),
    }
}

/// An answer that is a refusal, for people.
fn refused(url: &Url, status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_end();
    let hint = match status {
        404 | 405 => " (does another version run, which does not reload?)",
        _ => "",
    };
    let between = match text {
        "" => "",
        text if text.contains('\n') => "\n",
        _ => ": ",
    };
    format!("not reloaded: {url}: status {status} {}{hint}{between}{text}", reason(status))
}

fn read(body: &[u8]) -> Result<Report, String> {
    let report: Report = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match report.result.as_str() {
        "reloaded" | "unchanged" => Ok(report),
        other => Err(format!("the result is {other}")),
    }
}

impl Report {
    /// A summary, and a line for each thing to know.
    fn to_text(&self) -> String {
        let mut text = shown(&self.result);
        let plan = self.plan.map(|plan| format!("plan {plan}"));
        let time = self.seconds.map(|seconds| format!("in {seconds:.3} s"));
        let connections = self.connections.as_ref().map(|connections| {
            let Connections { kept, drained, closed } = connections;
            format!("connections: {kept} kept, {drained} drained, {closed} closed")
        });
        for (at, part) in [plan, time, connections].into_iter().flatten().enumerate() {
            text.push_str(if at == 0 { ": " } else { "; " });
            text.push_str(&part);
        }
        text.push('\n');
        for (what, groups) in [("listeners", &self.listeners), ("upstreams", &self.upstreams)] {
            let Groups { kept, changed, added, removed } = groups;
            let all =
                [("kept", kept), ("changed", changed), ("added", added), ("removed", removed)];
            for (became, names) in all.into_iter().filter(|(_, names)| !names.is_empty()) {
                // Writing to a string does not fail.
                let _infallible = writeln!(text, "{what} {became}: {}", listed(names));
            }
        }
        let warnings = self.warnings.iter().map(|line| ("warning", line));
        let restart = self.needs_restart.iter().map(|line| ("needs a restart", line));
        for (what, line) in warnings.chain(restart) {
            let _infallible = writeln!(text, "{what}: {}", shown(line));
        }
        text
    }
}

/// Names in one line.
fn listed(names: &[String]) -> String {
    let some: Vec<String> = names.iter().take(NAMES_MAX).map(|name| shown(name)).collect();
    let more = match names.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more (--json has all)"),
    };
    some.join(", ") + &more
}

/// A text of one line, without what moves a cursor.
fn shown(text: &str) -> String {
    let escaped = |one: char| match one {
        '\n' | '\t' => one.escape_default().to_string(),
        _ => screen::shown(one),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(listen: &str, token_file: Option<&str>) -> Admin {
        let listen = listen.parse().unwrap();
        Admin { listen, token_file: token_file.map(PathBuf::from), ..Admin::default() }
    }

    #[test]
    fn what_is_given_wins_over_the_file() {
        let bare = admin("127.0.0.1:0", None);
        let off = Admin { enabled: false, ..admin("10.0.0.1:1", Some("/of/file")) };
        let own = admin("0.0.0.0:77", Some("/of/file"));
        let with = |url: Option<&str>, file: Option<&str>, of_file: Option<&Admin>| {
            let args = ReloadArgs {
                admin: url.map(str::to_owned),
                token_file: file.map(PathBuf::from),
                ..ReloadArgs::default()
            };
            place(&args, of_file)
        };
        let (url, file) = (Some("https://a.example"), Some("/given"));
        let (usual, given) = ("http://127.0.0.1:9901/reload", "https://a.example/reload");
        for (url, file, of_file, expected) in [
            (None, file, None, (usual, "/given")),
            (url, file, None, (given, "/given")),
            (Some("10.0.0.1:1/"), file, None, ("http://10.0.0.1:1/reload", "/given")),
            (Some("http://a:1/b/reload"), file, None, ("http://a:1/b/reload", "/given")),
            (None, None, Some(&own), ("http://127.0.0.1:77/reload", "/of/file")),
            (url, None, Some(&own), (given, "/of/file")),
            (None, file, Some(&own), ("http://127.0.0.1:77/reload", "/given")),
            (url, file, Some(&own), (given, "/given")),
            (url, None, Some(&off), (given, "/of/file")),
            (url, file, Some(&bare), (given, "/given")),
        ] {
            let place = with(url, file, of_file).unwrap();
            assert_eq!((place.url.as_str(), place.token_file.to_str().unwrap()), expected);
        }
        for (url, file, of_file, is_usage, why) in [
            (None, None, None, true, "give --token-file FILE, or"),
            (url, None, None, true, "give --token-file FILE, or"),
            (url, None, Some(&bare), false, "has no token_file in [admin]"),
            (None, file, Some(&bare), false, "--admin http://127.0.0.1:9901"),
            (None, None, Some(&off), false, "--admin http://127.0.0.1:9901"),
        ] {
            let failure = with(url, file, of_file).unwrap_err();
            assert_eq!(matches!(failure, Failure::Usage(_)), is_usage, "{failure:?}");
            let message = failure.message();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn an_answer_is_shown_to_people() {
        let names: Vec<String> = (0..22).map(|number| format!("\"n{number}\"")).collect();
        let many =
            format!(r#"{{"result":"unchanged","upstreams":{{"kept":[{}]}}}}"#, names.join(","));
        let twenty: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
        let many_shown = format!(
            "unchanged\nupstreams kept: {} and 2 more (--json has all)\n",
            twenty.join(", ")
        );
        for (body, text) in [
            (r#"{"result":"unchanged"}"#, "unchanged\n"),
            (r#"{"result":"unchanged","plan":7,"more":[1]}"#, "unchanged: plan 7\n"),
            (r#"{"result":"reloaded","seconds":0.01249}"#, "reloaded: in 0.012 s\n"),
            (
                r#"{"result":"reloaded","plan":8,"connections":{"kept":1},"listeners":{}}"#,
                "reloaded: plan 8; connections: 1 kept, 0 drained, 0 closed\n",
            ),
            (
                r#"{"result":"reloaded","plan":7,"seconds":0.012,
                    "listeners":{"kept":["a"],"changed":["b"],"added":["c","d"],"removed":["e"]},
                    "upstreams":{"kept":[],"changed":["f"],"removed":[]},
                    "connections":{"kept":12,"drained":3,"closed":0},
                    "needs_restart":["runtime.workers: 2 -> 4"],
                    "warnings":["one","two"]}"#,
                "reloaded: plan 7; in 0.012 s; connections: 12 kept, 3 drained, 0 closed\n\
                 listeners kept: a\n\
                 listeners changed: b\n\
                 listeners added: c, d\n\
                 listeners removed: e\n\
                 upstreams changed: f\n\
                 warning: one\n\
                 warning: two\n\
                 needs a restart: runtime.workers: 2 -> 4\n",
            ),
            (
                "{\"result\":\"reloaded\",\"listeners\":{\"added\":[\"a\u{202e}b\"]},\
                 \"warnings\":[\"\\u001b[2J\\u009b1m\\r\\nwarning: x\\ty\"]}",
                "reloaded\nlisteners added: a\\u{202e}b\n\
                 warning: \\u{1b}[2J\\u{9b}1m\\r\\nwarning: x\\ty\n",
            ),
            (&many, &many_shown),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap().to_text(), text, "{body}");
        }
    }

    #[test]
    fn an_answer_that_is_none_says_why() {
        for (body, why) in [
            ("", "EOF"),
            ("ok\n", "expected value"),
            ("[]", "expected struct Report"),
            ("{}", "missing field `result`"),
            (r#"{"result":"later"}"#, "the result is later"),
            (r#"{"result":"reloaded","plan":-1}"#, "-1"),
            (r#"{"result":"reloaded","warnings":"one"}"#, "expected a sequence"),
            (r#"{"result":"reloaded"} x"#, "trailing"),
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(format!(r#"{{"result":"reloaded","x":{deep}"#).as_bytes()).is_err());
    }

    #[test]
    fn a_refusal_has_the_text_of_the_answer() {
        let url: Url = "http://127.0.0.1:1/reload".parse().unwrap();
        let start = "not reloaded: http://127.0.0.1:1/reload: status ";
        for (status, body, text) in [
            (409, "no file\n", "409 Conflict: no file"),
            (503, "", "503 Service Unavailable"),
            (404, "not found", "(does another version run, which does not reload?): not found"),
            (422, "error: a\n --> b\n", "422 Unprocessable Content\nerror: a\n --> b"),
        ] {
            let found = refused(&url, status, body.as_bytes());
            assert!(found.starts_with(start) && found.ends_with(text), "{found}");
        }
    }
}
