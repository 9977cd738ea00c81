//! `ringway report`: the latency of a running server, from its admin interface.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::admin::complete;
use super::bench::{failed, stop_at_signals};
use super::connect::{self, Failure, Request, http_url, period, tls::TlsArgs};
use super::print;
use crate::client::ConnectOptions;
use crate::load::report::OutputFile;
use crate::load::run::Stopper;
use crate::load::server_latency::report::{ServerLatency, date, watch};
use crate::load::server_latency::snapshot::Snapshot;
use crate::load::server_latency::{page, text};
use crate::proto::http::Method;
use crate::proto::http::status::reason;

pub(super) const AFTER_HELP: &str = "\
The report has quantiles by route, and by upstream and phase: the wait for a connection, the
connect, the first byte, the whole exchange. Without --for it is of all since the start of the
server; with it, it covers the requests of that period, and their latency over time.

Examples:
  ringway report http://127.0.0.1:9901 --html latency.html
  ringway report http://127.0.0.1:9901 --for 30s --html latency.html

Exit status: 0 success; 1 failure; 2 wrong usage.";

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of its answer, at most.
const LEN_MAX: usize = 256 << 20;
/// Where its admin interface has the histograms.
const PATH: &str = "/latency/histograms";
/// The shortest interval.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Which server, and what is made of it.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The admin interface: http://HOST:PORT, or https://
    #[arg(value_name = "URL")]
    url: String,
    /// Watch the server for so long; Ctrl-C ends it earlier
    #[arg(long = "for", value_name = "DURATION", value_parser = period)]
    time: Option<Duration>,
    /// How often to read with --for: the time of a column of charts
    #[arg(long, value_name = "DURATION", value_parser = period, default_value = "1s")]
    #[arg(requires = "time")]
    interval: Duration,
    /// Write a page with charts; - is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the histograms as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Runs the verb.
pub(super) fn run(args: &ReportArgs) -> ExitCode {
    match report(args) {
        Ok(text) => print(text.as_bytes()),
        Err(failure) => connect::status("report", Err(failure)),
    }
}

fn report(args: &ReportArgs) -> Result<String, Failure> {
    if args.interval < INTERVAL_MIN {
        return Err(Failure::Usage("--interval is at least 100ms".to_owned()));
    }
    if args.html.is_some() && args.html == args.json {
        return Err(Failure::Usage("--html and --json write to the same place".to_owned()));
    }
    let open = |option, path: &Option<PathBuf>| {
        path.as_deref().map(|path| OutputFile::open(option, path)).transpose().map_err(failed)
    };
    // An output file that cannot be written fails before the server is watched.
    let (html, json) = (open("--html", &args.html)?, open("--json", &args.json)?);
    let url = complete(&args.url, PATH);
    let request = Request { method: Method::Get, url: &http_url(&url)?, token: None };
    let options = connect::ask_options(request.url, &args.tls, PATIENCE)?;
    let fetch = || fetch(&request, &options);
    let found = match args.time {
        None => ServerLatency::since_start(&url, date(), fetch()?),
        Some(time) => {
            let stopper = Stopper::default();
            stop_at_signals(&stopper)?;
            watch(&url, (time, args.interval), &stopper, fetch)?
        }
    };
    let mut shown = text::render(&found);
    let mut write = |file: OutputFile, content: &[u8]| {
        if file.is_stdout() {
            shown.clear();
        }
        file.write(|out| out.write_all(content)).map_err(failed)
    };
    if let Some(file) = html {
        write(file, page::render(&found).as_bytes())?;
    }
    if let Some(file) = json {
        write(file, &to_json(&found)?)?;
    }
    Ok(shown)
}

fn to_json(found: &ServerLatency) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    found.write(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn fetch(request: &Request<'_>, options: &ConnectOptions) -> Result<Snapshot, Failure> {
    let (url, reply) = (request.url, connect::ask_with(request, options, LEN_MAX)?);
    match reply.status {
        200 => Snapshot::parse(&reply.body).map_err(|error| failed(format!("{url}: {error}"))),
        404 => Err(failed(format!(
            "{url}: status 404: not a Ringway admin interface, or one without {PATH}"
        ))),
        status => Err(failed(format!("{url}: status {status} {}", reason(status)))),
    }
}
