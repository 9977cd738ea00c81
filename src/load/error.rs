//! Why a run cannot begin, or does not end as it should.

use crate::client::ClientError;

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Options(String),
    /// The server cannot be found, or its protocol not be agreed on.
    #[error(transparent)]
    Client(ClientError),
    /// No loop can be made here.
    #[error("no io_uring loop can be made here: {0}; `ringway doctor` says what is missing")]
    Ring(String),
    /// A thread cannot be made, or has failed.
    #[error("{0}")]
    Thread(String),
    /// An agent cannot be reached, refused its part, or was lost.
    #[error("the agent {agent}: {reason}")]
    Agent {
        /// Where it listens.
        agent: String,
        /// What happened.
        reason: String,
    },
}
