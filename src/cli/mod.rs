//! The command line: one file a verb.

mod admin;
mod bench;
mod cert;
mod check;
mod connect;
mod doctor;
mod import;
mod logs;
mod probe;
mod program;
mod reload;
mod report;
mod running;
mod seccomp;
mod serve;
mod switches;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::connect::tls::TlsArgs;
use self::switches::AdminSwitch;

/// Wrong usage, as for all commands of the system.
const EXIT_USAGE: u8 = 2;
/// Two configurations that were compared are different.
const EXIT_DIFFERENT: u8 = 3;

/// A proxy and server whose data plane is one io_uring event loop per core, or epoll where there is
/// no io_uring.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, propagate_version = true)]
#[command(after_help = "Without a command, `ringway serve` is run.\n\
    Exit status: 0 success, 1 failure, 2 wrong usage, 3 different (check --against-running).")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what the configuration says; without one, a page on http://127.0.0.1:8080/, each of
    /// the other services with a proxy to it, and the admin interface, on loopback
    #[command(after_help = "Signals: SIGTERM, SIGQUIT and SIGINT stop accepting and let \
        connections finish within runtime.shutdown_timeout; a second one cuts them at once. \
        SIGUSR1 opens the access logs again. SIGHUP reloads the configuration file: one that is \
        wrong changes nothing and is logged; without --config the signal is logged and ignored. \
        SIGUSR2 is logged and ignored: there is no upgrade of the program yet.")]
    Serve(ServeArgs),
    /// Check a configuration file and show all mistakes in it
    #[command(after_help = "Exit status: 0 success, 1 failure, 2 wrong usage; with \
        --against-running 0 the same, 3 different, 1 the file is wrong or the process cannot be \
        asked.")]
    Check(Box<CheckArgs>),
    /// Translate a configuration of nginx or HAProxy
    #[command(after_help = import::AFTER_HELP)]
    Import(import::ImportArgs),
    /// Have the running process read its configuration file again
    #[command(after_help = reload::AFTER_HELP)]
    Reload(Box<reload::ReloadArgs>),
    /// Talk to a server: bytes, datagrams, messages, frames, HTTP, gRPC
    Connect(Box<connect::ConnectArgs>),
    /// Measure servers under load, and compare what was measured
    Bench(Box<bench::BenchArgs>),
    /// Show how long the requests of a running server take, by route and upstream
    #[command(after_help = report::AFTER_HELP)]
    Report(Box<report::ReportArgs>),
    /// Make an issuer of one's own and a server certificate, for a first try of TLS
    Cert(cert::CertArgs),
    /// Show what this kernel offers, what is missing, and what is done instead
    Doctor {
        /// Show what a server of TLS shows instead: versions, certificates, pins
        #[arg(long, value_name = "HOST:PORT")]
        tls: Option<String>,
        /// Print a seccomp profile for Docker, containerd or Podman instead: the system calls that
        /// are made, those of io_uring among them
        #[arg(long, conflicts_with = "tls")]
        seccomp: bool,
    },
    /// Print shell completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, in roff
    Man,
}

#[derive(Debug, Default, Args)]
struct ServeArgs {
    /// The configuration file (TOML; docs/ringway.toml shows every key), or `-` for standard input.
    /// Relative paths in it are taken from its folder
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve the files of a directory over HTTP, with listings, without a configuration file
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "proxy"])]
    files: Option<PathBuf>,
    /// Pass requests of HTTP on to this server, by TLS if the URL begins with https://, without a
    /// configuration file. `:PORT` is a server on this machine
    #[arg(long, value_name = "[http[s]://]HOST[:PORT]", conflicts_with = "config")]
    proxy: Option<String>,
    /// Where to listen with --files or --proxy, and where the page is without either [default:
    /// 127.0.0.1:8080]. `:PORT` is all addresses of this machine
    #[arg(long, value_name = "[IP]:PORT", conflicts_with = "config")]
    listen: Option<String>,
    /// Where the admin interface listens, or `off`, without a configuration file [default:
    /// 127.0.0.1:9901]
    #[arg(long, value_name = "IP:PORT|off", conflicts_with = "config")]
    admin: Option<AdminSwitch>,
    /// Append the secrets of all TLS connections to a file, as Wireshark reads them: whoever has it
    /// can read what was sent
    #[arg(long, value_name = "FILE")]
    tls_key_log: Option<PathBuf>,
    /// How log lines look [default: log.format of the configuration, or auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// The least important log lines to show [default: log.level of the configuration, or info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The configuration file, or `-` for standard input. Relative paths in it are taken from its
    /// folder
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["schema", "reference"])]
    config: Option<PathBuf>,
    /// Print the JSON Schema of configuration files, by which editors complete and check them
    #[arg(long, exclusive = true)]
    schema: bool,
    /// Print a configuration file with every key, its default and what it means
    #[arg(long, exclusive = true)]
    reference: bool,
    /// Take warnings for errors: unused upstreams, routes that no request reaches, names that do
    /// not resolve here
    #[arg(long, conflicts_with = "explain")]
    strict: bool,
    /// Print the effective configuration, defaults and all
    #[arg(long)]
    print: bool,
    /// Print the worst case of memory, descriptors and locked memory that the configuration allows,
    /// by listener and upstream, and warn where the machine allows less
    #[arg(long, conflicts_with_all = ["explain", "print", "against_running"])]
    budget: bool,
    /// Say which route a request takes, and why those before it do not
    #[arg(long, value_name = "\"GET http://HOST/PATH\"", conflicts_with = "print")]
    explain: Option<String>,
    /// With --explain: the certificate that the client shows (PEM)
    #[arg(long, value_name = "FILE", requires = "explain")]
    client_certificate: Option<PathBuf>,
    /// Show what the file would change in the running process, whose admin interface is asked: at
    /// URL, or where the file has it. Lines begin with + (added), - (removed), ~ (changed) or !
    /// (needs a restart)
    #[arg(long, value_name = "URL", num_args = 0..=1, conflicts_with_all = ["explain", "print"])]
    against_running: Option<Option<String>>,
    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    /// Only what needs somebody's hand
    Error,
    /// And what may soon
    Warn,
    /// And what happens to the server
    Info,
    /// And what happens to connections
    Debug,
    /// Everything
    Trace,
}

impl From<LogLevel> for crate::config::LogLevel {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// Runs the command that `args` say, the program's name first.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let first = args.first().cloned();
    let program = || program::name(first.as_deref());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Where even that cannot be printed, the status tells.
            let _unprintable = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        None => serve::run(&ServeArgs::default(), &program()),
        Some(Command::Serve(args)) => serve::run(&args, &program()),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Import(args)) => import::run(&args),
        Some(Command::Reload(args)) => reload::run(&args),
        Some(Command::Connect(args)) => connect::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Cert(args)) => cert::run(&args, &program()),
        Some(Command::Doctor { tls: Some(target), .. }) => probe::run(&target),
        Some(Command::Doctor { seccomp: true, .. }) => seccomp::run(),
        Some(Command::Doctor { .. }) => doctor::run(),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ringway", &mut script);
            print(&script)
        }
        Some(Command::Man) => match manual() {
            Ok(page) => print(&page),
            Err(error) => fail(&error.to_string()),
        },
    }
}

/// The manual page, with the options of every command.
fn manual() -> io::Result<Vec<u8>> {
    let mut cli = Cli::command();
    // So that commands know how they are called.
    cli.build();
    let mut first = Vec::new();
    clap_mangen::Man::new(cli.clone()).render(&mut first)?;
    // Commands have parts of this page, and no pages of their own.
    let first = String::from_utf8_lossy(&first).replace("ringway\\-", "ringway ");
    let mut page = first.replace("(1)\n", "\n").into_bytes();
    write_commands(&cli, &mut page)?;
    Ok(page)
}

/// The parts of the manual page for the commands of a command.
fn write_commands(of: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    for command in of.get_subcommands().filter(|command| command.get_name() != "help") {
        let man = clap_mangen::Man::new(command.clone());
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part)?;
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        man.render_extra_section(&mut part)?;
        // Its sections are parts of one of the page.
        let part = String::from_utf8_lossy(&part).replace(".SH ", ".SS ");
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
        write!(page, ".SH {:?}\n{part}", name.to_uppercase())?;
        write_commands(command, page)?;
    }
    Ok(())
}

/// Writes to standard output. A reader that has gone is no failure.
fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format!("writing to standard output failed: {error}")),
    }
}

/// Says what failed, on standard error.
fn fail(message: &str) -> ExitCode {
    // Some of it may be a server's.
    let message: String = message.chars().map(connect::screen::shown).collect();
    warn(&format!("ringway: {message}\n"));
    ExitCode::FAILURE
}

/// Writes to standard error.
fn warn(text: &str) {
    // Best effort: where even that cannot be printed, the status tells.
    let _unprintable = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_is_in_the_manual_and_in_the_completions() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        for option in
            ["tls\\-key\\-log", "strict", "retries", "days", "token\\-file", "RINGWAY SERVE"]
        {
            assert!(page.contains(option), "{option}");
        }
        assert_eq!(page.matches(".SH NAME").count(), 1);
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "ringway", &mut script);
        let script = String::from_utf8(script).unwrap();
        for verb in [
            "serve",
            "check",
            "import",
            "reload",
            "connect",
            "bench",
            "doctor",
            "completions",
            "man",
        ] {
            assert!(page.contains(verb) && script.contains(verb), "{verb}");
        }
    }
}
