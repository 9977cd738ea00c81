//! What helper threads bring back.

use std::net::IpAddr;

use super::http::Encoded;

/// What a check of a password has said.
#[derive(Debug, Clone, Copy)]
pub struct Verified {
    /// Whether it is right.
    pub right: bool,
    /// What stands for user and password.
    pub(super) secret: [u8; 32],
    /// Which check it was.
    pub(super) number: u64,
    /// Whose it is: there are only so many checks for each.
    pub(super) source: Option<IpAddr>,
}

/// What came of work that was handed to another thread.
#[derive(Debug)]
pub enum Finished {
    /// A password was checked.
    Verified(Verified),
    /// The page that lists a folder; `None` when it cannot be read.
    Listed(Option<Vec<u8>>),
    /// A part of an answer that was compressed.
    Encoded(Box<Encoded>),
    /// A handler of the program has said more of its answer.
    Answered,
}
