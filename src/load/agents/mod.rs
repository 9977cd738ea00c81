//! Several machines that run one load: a coordinator, and agents that do the sending.
//!
//! The threads of all agents are those of one load: each has its place among all, and sends what
//! that place would send if all ran on one machine. So their reports are those of threads, and the
//! coordinator adds them up as it would its own ([`run`](super::run)).
//!
//! | module | what it is |
//! |---|---|
//! | [`plan`] | a load as data, to be sent to an agent |
//! | `message` | the messages between a coordinator and an agent, in frames |
//! | [`agent`] | an agent: the handler of a frame server, and the run that it carries out |
//! | `remote` | an agent as the coordinator sees it |

pub mod agent;
mod message;
pub mod plan;
pub(super) mod remote;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::client::tls_plan::TlsPlan;
use crate::client::{Target, Tls};

/// Characters of a token, at least.
pub const TOKEN_MIN: usize = 16;
/// Agents of one run, at most.
pub const AGENTS_MAX: usize = 256;

/// The secret that a coordinator and its agents share: an agent refuses requests without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token; spaces and line ends around it do not count.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.len() {
            0 => Err("there is no token".to_owned()),
            length if length < TOKEN_MIN => Err(format!(
                "a token has at least {TOKEN_MIN} characters, this one has {length}: write a new \
                 one, for example with `openssl rand -hex 16`"
            )),
            _ => Ok(Self(text.to_owned())),
        }
    }

    fn text(&self) -> &str {
        &self.0
    }

    /// Whether a text is this token, in a time that does not depend on where they differ.
    fn is(&self, other: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), other.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(own, other).is_ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(-)")
    }
}

/// The agents of a run, and how to connect to them.
#[derive(Debug, Clone)]
pub struct Agents {
    /// Where they listen.
    pub targets: Vec<Target>,
    /// The token that they know.
    pub token: Token,
    /// The TLS options for them; `None`: no TLS.
    pub tls: Option<Tls>,
    /// The TLS options of the agents for the server under load.
    pub load_tls: Option<TlsPlan>,
}
