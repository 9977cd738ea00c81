//! Why a message of a client was refused. Each is an answer; the connection goes on.

use thiserror::Error;

use super::name::TopicError;
use super::publication::DATA_DEPTH_MAX;

/// What is wrong with a message, or why it is not done. The text says it to a person,
/// [`Fault::code`] and [`Fault::number`] to a program.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The message cannot be read. Where and why.
    #[error("{0}")]
    BadMessage(String),
    /// There is no such operation.
    #[error("unknown operation; there are \"subscribe\", \"unsubscribe\", \"publish\", \"ping\"")]
    UnknownOp,
    /// The topic to publish to is invalid. Why.
    #[error("invalid topic: {0}")]
    InvalidTopic(TopicError),
    /// The filter is invalid. Why.
    #[error("invalid filter: {0}")]
    InvalidFilter(TopicError),
    /// The client may not do this. What.
    #[error("this client may not {0}")]
    NotPermitted(&'static str),
    /// The subscriber has so many subscriptions, and no more may be.
    #[error("{0} subscriptions are the most of one client; unsubscribe from others first")]
    TooManySubscriptions(usize),
    /// The server has so many filters, and no more may be.
    #[error("the server has {0} different filters, which is the most; try again later")]
    TooManyFilters(usize),
    /// There is no such subscription to end.
    #[error("there is no subscription with this filter")]
    NotSubscribed,
    /// The retained publications take as much room as they may.
    #[error("there is no room for another retained message; nothing was published")]
    RetainedFull,
    /// Data is nested too deep.
    #[error("the data is nested too deep; {DATA_DEPTH_MAX} levels are the most")]
    TooDeep,
    /// The payload is longer than so many bytes, which is the most.
    #[error("the payload is longer than {0} bytes, which is the most")]
    TooLarge(usize),
}

impl Fault {
    /// Every code, in the order of [`Fault::index`].
    pub const CODES: [&'static str; 11] = [
        "bad_message",
        "unknown_op",
        "invalid_topic",
        "invalid_filter",
        "not_permitted",
        "too_many_subscriptions",
        "too_many_filters",
        "not_subscribed",
        "retained_full",
        "too_deep",
        "too_large",
    ];

    /// The code's place in [`Fault::CODES`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::BadMessage(_) => 0,
            Self::UnknownOp => 1,
            Self::InvalidTopic(_) => 2,
            Self::InvalidFilter(_) => 3,
            Self::NotPermitted(_) => 4,
            Self::TooManySubscriptions(_) => 5,
            Self::TooManyFilters(_) => 6,
            Self::NotSubscribed => 7,
            Self::RetainedFull => 8,
            Self::TooDeep => 9,
            Self::TooLarge(_) => 10,
        }
    }

    /// What programs of the JSON format, and the metrics, know it by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        Self::CODES[self.index()]
    }

    /// What programs of the binary format know it by: 1 for the first code, and so on.
    ///
    /// # Panics
    /// Never: there are few codes.
    #[must_use]
    pub fn number(&self) -> u8 {
        u8::try_from(self.index() + 1).expect("there are few codes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_code_and_a_number_of_its_own() {
        let all = [
            Fault::BadMessage(String::new()),
            Fault::UnknownOp,
            Fault::InvalidTopic(TopicError::Empty),
            Fault::InvalidFilter(TopicError::Empty),
            Fault::NotPermitted("publish"),
            Fault::TooManySubscriptions(1),
            Fault::TooManyFilters(1),
            Fault::NotSubscribed,
            Fault::RetainedFull,
            Fault::TooDeep,
            Fault::TooLarge(1),
        ];
        let codes: Vec<&str> = all.iter().map(Fault::code).collect();
        assert_eq!(codes, Fault::CODES);
        let numbers: Vec<u8> = all.iter().map(Fault::number).collect();
        assert_eq!(numbers, (1..=11).collect::<Vec<u8>>());
    }
}
