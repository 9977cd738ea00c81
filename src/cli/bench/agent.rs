//! `ringway bench agent`: a machine that runs loads for a coordinator.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::load::failed;
use crate::cli::connect::{Failure, status, tls::eprint};
use crate::cli::switches::quoted;
use crate::config;
use crate::load::agents::Token;
use crate::load::agents::agent::Agent;
use crate::server::{Server, StartOptions};

pub(super) const AFTER_HELP: &str = "\
An agent waits for `ringway bench URL --agents HOST:PORT`, runs the part of the load that it is
given, and reports to it. It carries out one run at a time, and stops it when its coordinator is
gone for 10 s. Anyone with the token can direct load at any server that the agent can reach: keep
the token secret, and the port closed to others.

Examples:
  (umask 077; openssl rand -hex 16 > token)
  ringway cert load1.example load2.example --out pki
  ringway bench agent --token-file token --cert pki/server.pem --key pki/server.key
  ringway bench http://10.0.0.1:8080/ -c 1000 --rate 200k \\
      --agents load1.example:7600,load2.example:7600 --agents-token-file token \\
      --agents-ca pki/ca.pem

Exit status: 0 ended by a signal; 1 failure; 2 wrong usage.";

/// Bytes of a file with a token, at most.
const TOKEN_FILE_MAX: u64 = 4096;

/// The address that an agent listens on, and its token and certificate.
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:7600")]
    listen: SocketAddr,
    /// The file with the token that coordinators have to know: at least 16 characters
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The certificate of this agent (PEM), for example of `ringway cert`
    #[arg(long, value_name = "FILE", requires = "key", required_unless_present = "plain")]
    cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Speak without TLS: the token and all requests are readable on the network
    #[arg(long, conflicts_with_all = ["cert", "key"])]
    plain: bool,
}

/// Runs the verb.
pub(super) fn run(args: &AgentArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => status("bench agent", Err(failure)),
    }
}

/// Reads a token.
pub(super) fn read_token(switch: &str, path: &Path) -> Result<Token, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{switch} {}: {reason}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let read = file.take(TOKEN_FILE_MAX + 1).read_to_string(&mut text);
    if read.map_err(|error| wrong(error.to_string()))? as u64 > TOKEN_FILE_MAX {
        return Err(wrong(format!(
            "a token is one line, and this file has over {TOKEN_FILE_MAX} bytes"
        )));
    }
    Token::new(&text).map_err(wrong)
}

fn serve(args: &AgentArgs) -> Result<(), Failure> {
    let token = read_token("--token-file", &args.token_file)?;
    let agent = Agent::new(token, |notice| eprint(&notice.to_string()));
    let options = StartOptions { handler: agent.into_handlers(), ..StartOptions::default() };
    let text = configuration(args);
    let config = config::parse("bench agent", &text).map_err(|errors| failed(&errors))?;
    let server = Server::start_with(config, options).map_err(failed)?;
    server.handle_signals();
    if args.plain {
        eprint("--plain: traffic is not encrypted; use it only on a trusted network");
    }
    if let Some(address) = server.address("agent") {
        eprint(&format!("an agent listens on {address}"));
    }
    match server.wait().failed_workers {
        0 => Ok(()),
        _ => Err(failed("its worker failed: the lines above tell why")),
    }
}

fn configuration(args: &AgentArgs) -> String {
    let mut text = format!(
        "[runtime]\nworkers = 1\npin = false\n[admin]\nenabled = false\n[[listener]]\n\
         name = \"agent\"\nlisten = {}\nprotocol = \"frame\"\nmax_connections = 64\n\
         idle_timeout = \"30s\"\n",
        quoted(&args.listen.to_string())
    );
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        let (cert, key) = (quoted(&cert.to_string_lossy()), quoted(&key.to_string_lossy()));
        let _written = write!(text, "[listener.tls]\ncertificate = {cert}\nkey = {key}\n");
    }
    text
}
