//! `ringway serve`: runs the server until a signal ends it.

use std::fmt::Write;
use std::process::ExitCode;

use super::check::{Source, is_stdin, watched_files};
use super::logs::{Log, is_json};
use super::{LogFormat, ServeArgs, fail, switches};
use crate::config::{self, Config, Diagnostic};
use crate::server::{
    AdminError, ConfigSource, Listening, Reread, Server, StartError, StartOptions, listening,
};

/// Runs the verb.
pub(super) fn run(args: &ServeArgs, program: &str) -> ExitCode {
    let log = match Log::start() {
        Ok(log) => log,
        Err(error) => return fail(&format!("the log cannot be written: {error}")),
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
    // Before the file is read, so that no change of it is missed.
    let source = source(args);
    let (config, warnings) = configuration(args)?;
    let format = args.log_format.unwrap_or(match config.log.format {
        config::LogFormat::Auto => LogFormat::Auto,
        config::LogFormat::Text => LogFormat::Text,
        config::LogFormat::Json => LogFormat::Json,
    });
    let is_json = is_json(format);
    let level = args.log_level.map_or(config.log.level, config::LogLevel::from);
    let log_level = log.init(is_json, level);
    log.take_panics();
    for warning in &warnings {
        let Diagnostic { file_name, line, column, message, help, .. } = warning;
        tracing::warn!(file = %file_name, line, column, "the configuration: {message} ({help})");
    }
    let options = StartOptions {
        tls_key_log: args.tls_key_log.clone(),
        log_lost: Some(log.lost()),
        log_level: Some(log_level),
        source,
        ..StartOptions::default()
    };
    let server = Server::start_with(config.clone(), options)
        .map_err(|error| refusal(&error, args, &config))?;
    server.handle_signals();
    let places = listening(&config, &server, program);
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

/// Where a reload reads the configuration: a file, but not standard input, which is read once.
fn source(args: &ServeArgs) -> Option<ConfigSource> {
    let path = args.config.as_ref().filter(|path| !is_stdin(path))?;
    // The folder in which the process runs is not that of a later one.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let own = path.clone();
    Some(ConfigSource::new(
        move || watched_files(&path),
        move || {
            let source = Source::read(&own)?;
            let report = source.report();
            if report.errors() > 0 {
                return Err(format!("the configuration is wrong\n{report}"));
            }
            let warnings = report.diagnostics().iter().map(|one| {
                let Diagnostic { file_name, line, message, help, .. } = one;
                format!("{file_name}, line {line}: {message} ({help})")
            });
            Ok(Reread { warnings: warnings.collect(), config: source.config })
        },
    ))
}

/// Loads the configuration (a file's, that of the switches, or the built-in one) and its warnings.
fn configuration(args: &ServeArgs) -> Result<(Config, Vec<Diagnostic>), String> {
    if let Some(path) = &args.config {
        let source = Source::read(path)?;
        let report = source.report();
        if report.errors() > 0 {
            return Err(format!("the configuration is wrong\n{report}"));
        }
        return Ok((source.config, report.diagnostics().to_vec()));
    }
    Ok((switches::configuration(args)?, Vec::new()))
}

/// The error of a start; for an address that is a default, it names the switch that changes it.
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
        "{error}; this port is fixed in the built-in configuration: use --files, --proxy or \
         --config instead"
    )
}

/// What listens where, for people.
fn banner(places: &[Listening]) -> String {
    let mut text = format!("Ringway {} serves\n", env!("CARGO_PKG_VERSION"));
    for Listening { name, what, address, command } in places {
        let line = command.as_ref().map(|command| format!(" try: {command}"));
        let line = line.unwrap_or_default();
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "  {name:<12} {what:<28} {address:<24}{line}");
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
