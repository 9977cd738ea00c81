//! `ringway serve`: runs the server until a signal ends it.

use std::fmt::Write;
use std::process::ExitCode;

use super::check::Source;
use super::logs::{Log, is_json};
use super::{LogFormat, LogLevel, ServeArgs, fail, switches};
use crate::config::{self, Config, Diagnostic, ListenerService};
use crate::ring::SocketAddress;
use crate::server::{AdminError, Running, Server, StartError, StartOptions};

/// Runs the verb.
pub(super) fn run(args: &ServeArgs, program: &str) -> ExitCode {
    let log = match Log::start() {
        Ok(log) => log,
        Err(error) => return fail(&format!("the log can not be written: {error}")),
    };
    let outcome = serve(args, &log, program);
    if let Err(message) = &outcome {
        log.print(&format!("ringway: {message}\n"));
    }
    log.finish();
    outcome.unwrap_or(ExitCode::FAILURE)
}

/// Serves until the end. All that is told goes through the log, which never blocks.
fn serve(args: &ServeArgs, log: &Log, program: &str) -> Result<ExitCode, String> {
    let (config, warnings) = configuration(args)?;
    let format = args.log_format.unwrap_or(match config.log.format {
        config::LogFormat::Auto => LogFormat::Auto,
        config::LogFormat::Text => LogFormat::Text,
        config::LogFormat::Json => LogFormat::Json,
    });
    let is_json = is_json(format);
    let level = args.log_level.unwrap_or(match config.log.level {
        config::LogLevel::Error => LogLevel::Error,
        config::LogLevel::Warn => LogLevel::Warn,
        config::LogLevel::Info => LogLevel::Info,
        config::LogLevel::Debug => LogLevel::Debug,
        config::LogLevel::Trace => LogLevel::Trace,
    });
    log.init(is_json, level);
    log.take_panics();
    for warning in &warnings {
        let Diagnostic { line, column, message, help, .. } = warning;
        tracing::warn!(line, column, "the configuration: {message} ({help})");
    }
    let options = StartOptions {
        tls_key_log: args.tls_key_log.clone(),
        log_lost: Some(log.lost()),
        ..StartOptions::default()
    };
    let server = Server::start_with(config.clone(), options)
        .map_err(|error| refusal(&error, args, &config))?;
    server.handle_signals();
    let places = places(&config, &server, program);
    if is_json {
        tell(&places);
    } else {
        log.print(&banner(&places));
    }
    let outcome = server.wait();
    tracing::info!(cut = outcome.cut, failed_workers = outcome.failed_workers, "ended");
    let has_failed = outcome.failed_workers > 0;
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is served, with what it likely does not mean: a file's configuration, that of the switches,
/// or the built-in one.
fn configuration(args: &ServeArgs) -> Result<(Config, Vec<Diagnostic>), String> {
    if let Some(path) = &args.config {
        let source = Source::read(path)?;
        let report = source.report(Vec::new());
        if report.errors() > 0 {
            return Err(format!("the configuration is wrong\n{report}"));
        }
        return Ok((source.config, report.diagnostics().to_vec()));
    }
    Ok((switches::configuration(args)?, Vec::new()))
}

/// Why the server does not start, and of an address of ours, which switch chooses another.
fn refusal(error: &StartError, args: &ServeArgs, config: &Config) -> String {
    if args.config.is_some() {
        return error.to_string();
    }
    if let StartError::Admin(AdminError { address, source }) = error {
        return format!(
            "listen on {address} for the admin interface: {source}: choose another address with \
             --admin IP:PORT, or none with --admin off"
        );
    }
    let StartError::Bind(bind) = error else { return error.to_string() };
    let own = config.listeners.iter().find(|listener| {
        listener.listen.iter().any(|own| own.to_string() == bind.address.to_string())
    });
    if own.is_some_and(|listener| listener.name == switches::PAGE) {
        return format!("{error}; choose another address with --listen IP:PORT");
    }
    format!(
        "{error}; this port is one of the built-in configuration: `--files` and `--proxy` listen \
         on the address of --listen only, and a file of your own (--config) on what it says"
    )
}

/// Something that listens.
struct Listening {
    name: String,
    what: String,
    address: String,
    /// A line to try.
    line: String,
}

/// What listens where, for people.
fn banner(places: &[Listening]) -> String {
    let mut text = format!("Ringway {} serves\n", env!("CARGO_PKG_VERSION"));
    for Listening { name, what, address, line } in places {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "  {name:<12} {what:<28} {address:<24} try: {line}");
    }
    text.push_str("Stop it with ^C: connections may finish; a second ^C cuts them.\n");
    text
}

/// The same for programs.
fn tell(places: &[Listening]) {
    for Listening { name, what, address, .. } in places {
        tracing::info!(listener = name, service = what, address, "listening");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "serving");
}

/// What listens where, with one line to try for each.
fn places(config: &Config, server: &Running, program: &str) -> Vec<Listening> {
    let mut places = Vec::new();
    let mut add = |name: &str, what: &str, address: &str, line: &str| {
        let [name, what, address, line] = [name, what, address, line].map(str::to_owned);
        places.push(Listening { name, what, address, line });
    };
    for (name, address) in server.addresses() {
        let Some(listener) = config.listeners.iter().find(|listener| listener.name == *name) else {
            continue;
        };
        let upstream = |index: usize| {
            config.upstreams.get(index).map_or("", |upstream| upstream.name.as_str())
        };
        let address_text = address.to_string();
        let connect =
            |scheme: &str, rest: &str| format!("{program} connect {scheme}://{address_text}{rest}");
        let is_tls = listener.tls.is_some();
        let (what, line) = match &listener.service {
            ListenerService::Tcp { upstream: index } => {
                (format!("TCP proxy to {}", upstream(*index)), line_to_try(address))
            }
            ListenerService::Echo => ("echo".to_owned(), line_to_try(address)),
            ListenerService::Udp { upstream: index, .. } => {
                let line = format!("echo hello | {}", connect("udp", ""));
                (format!("UDP proxy to {}", upstream(*index)), line)
            }
            ListenerService::UdpEcho { .. } => {
                ("UDP echo".to_owned(), format!("echo hello | {}", connect("udp", "")))
            }
            ListenerService::Frame { upstream: Some(index), .. } => {
                (format!("frame proxy to {}", upstream(*index)), connect("frame", " ping -c 3"))
            }
            ListenerService::Frame { upstream: None, options } => {
                let value = options.values.first().map(|(name, _)| format!(" get {name}"));
                let what = value.unwrap_or_else(|| " echo hello".to_owned());
                ("frames".to_owned(), connect("frame", &what))
            }
            ListenerService::Messages { .. } => {
                ("messages, JSON lines".to_owned(), connect("messages", " time"))
            }
            ListenerService::Sni { options, .. } => {
                let line = match options.names.first() {
                    Some((name, _)) => {
                        format!("curl --connect-to {name}:443:{address_text} https://{name}/")
                    }
                    None => String::new(),
                };
                ("TLS by name".to_owned(), line)
            }
            ListenerService::Http(_) => {
                let line = match address.path() {
                    Some(path) => {
                        format!("curl --unix-socket {} http://localhost/", path.display())
                    }
                    None if is_tls => format!("curl --insecure https://{address_text}/"),
                    None => format!("curl http://{address_text}/"),
                };
                (if is_tls { "HTTPS" } else { "HTTP" }.to_owned(), line)
            }
        };
        add(name, &what, &address_text, &line);
    }
    if let Some(admin) = server.admin() {
        add("admin", "metrics and health", &admin.to_string(), &format!("curl {admin}/metrics"));
    }
    places
}

fn line_to_try(address: &SocketAddress) -> String {
    match (address.ip(), address.path()) {
        (Some(ip), _) => format!("echo hello | nc -N {} {}", ip.ip(), ip.port()),
        (None, Some(path)) => format!("echo hello | nc -NU {}", path.display()),
        (None, None) => String::new(),
    }
}
