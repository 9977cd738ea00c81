//! The switches of a load that agents run.

use std::path::PathBuf;

use clap::Args;

use super::args::read;
use crate::cli::bench::agent::read_token;
use crate::cli::connect::Failure;
use crate::client::tls_plan::TlsPlan;
use crate::client::{Target, Tls};
use crate::load::agents::Agents;
use crate::net::tls::{ClientOptions, Roots};
use crate::proto::tls::Pin;

/// The agents, and how to connect to them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agents, which run the load in place of this machine")]
pub(super) struct AgentsArgs {
    /// Run the load on these machines, on which `ringway bench agent` runs; connections, requests
    /// and rates are those of all together, threads those of each
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    agents: Vec<Target>,
    /// The file with the token that the agents know
    #[arg(long, value_name = "FILE", requires = "agents")]
    agents_token_file: Option<PathBuf>,
    /// Trust the issuers in this file (PEM) for the agents' certificates
    #[arg(long, value_name = "FILE", requires = "agents")]
    agents_ca: Option<PathBuf>,
    /// A SHA-256 sum that an agent's key or certificate may have; repeat it for several agents
    #[arg(long, value_name = "spki:HEX|cert:HEX", requires = "agents")]
    agents_pin: Vec<Pin>,
    /// Connect to the agents without TLS: the token and all requests are readable on the network
    #[arg(long, requires = "agents", conflicts_with_all = ["agents_ca", "agents_pin"])]
    agents_plain: bool,
}

impl AgentsArgs {
    /// The agents, if any. `tls`: the TLS options for their connections to the server under load.
    pub(super) fn agents(
        &self,
        tls: impl FnOnce() -> Result<Option<TlsPlan>, Failure>,
    ) -> Result<Option<Agents>, Failure> {
        if self.agents.is_empty() {
            return Ok(None);
        }
        let Some(token) = &self.agents_token_file else {
            let text = "--agents needs --agents-token-file: the file with their token";
            return Err(Failure::Usage(text.to_owned()));
        };
        Ok(Some(Agents {
            targets: self.agents.clone(),
            token: read_token("--agents-token-file", token)?,
            tls: self.tls()?,
            load_tls: tls()?,
        }))
    }

    /// How the agents are spoken to.
    fn tls(&self) -> Result<Option<Tls>, Failure> {
        if self.agents_plain {
            return Ok(None);
        }
        let roots = match &self.agents_ca {
            Some(path) => Roots::Given(read("--agents-ca", path)?),
            // A pin alone is enough, as with --insecure --pin.
            None if !self.agents_pin.is_empty() => Roots::Nobody,
            None => Roots::System,
        };
        let pins = self.agents_pin.clone();
        Ok(Some(Tls::new(ClientOptions { roots, pins, ..ClientOptions::default() })?))
    }
}
