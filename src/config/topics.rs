//! `[topics.NAME]`: what is published and subscribed to, by endpoints of WebSockets.

use std::fmt;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::WebSocketService;
use super::accept;
use super::effective::write_all;
use super::http::Action;
use super::kinds::{Bytes, Choice, Whole};
use super::listener::RawListener;
use super::report::Mistake;
use super::schema::{TableKeys, Words};
use super::section::{Section, of_fault};
use super::table::table;

table! {
    /// `[topics.NAME]`: topics that workers and endpoints share.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Topics {
        /// Bytes of the payload of a publication, at most.
        "message_max" message_max: u32 = 64 << 10, Bytes(1..=16 << 20);
        /// Filters of one subscriber.
        "subscriptions_max" subscriptions_max: u32 = 64, Whole(1..=10_000);
        /// Different filters on each worker.
        "filters_max" filters_max: u32 = 100_000, Whole(1..=10_000_000);
        /// Messages that may wait for one subscriber.
        "queue_max" queue_max: u32 = 1024, Whole(1..=1_000_000);
        /// Bytes of messages that may wait for one subscriber. One message waits whatever its size.
        "queue_bytes" queue_bytes: u32 = 256 << 10, Bytes(1..=1 << 30);
        /// What becomes of messages beyond that: "drop_oldest", "drop_newest", or "close" to close
        /// the subscriber with 1013.
        "queue_policy" queue_policy: QueuePolicy = QueuePolicy::DropOldest,
            Choice(QUEUE_POLICY_WORDS);
        /// Topics of which the last message is retained, on each worker.
        "retained_max" retained_max: u32 = 10_000, Whole(0..=10_000_000);
        /// Bytes of retained messages, on each worker.
        "retained_bytes" retained_bytes: u64 = 16 << 20, Bytes(0..=64 << 30);
        /// Bytes of publications that may wait for each other worker. More are lost there.
        "exchange_bytes" exchange_bytes: u64 = 16 << 20, Bytes(1..=64 << 30);
        .. {
            /// Its name in logs and metrics, unique among topics.
            name: String = String::new();
        }
    }
}

impl Topics {
    /// Topics of this name, with defaults.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }
}

/// What becomes of messages that a subscriber has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The oldest one that waits is dropped.
    DropOldest,
    /// The new one is dropped.
    DropNewest,
    /// The subscriber is closed, with 1013.
    Close,
}

const QUEUE_POLICY_WORDS: Words<QueuePolicy> = &[
    ("drop_oldest", QueuePolicy::DropOldest),
    ("drop_newest", QueuePolicy::DropNewest),
    ("close", QueuePolicy::Close),
];

pub(super) const TOPICS: TableKeys = TableKeys { table: "[topics.NAME]", keys: Topics::KEYS };

/// The topics, in the order of the file, each with the place of its name.
pub(super) fn topics(
    tables: Vec<(Spanned<DeString<'_>>, Spanned<DeValue<'_>>)>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Topics> {
    let mut all = Vec::new();
    for (key, value) in tables {
        let name = key.get_ref().to_string();
        if !accept::is_name(&name) {
            mistakes.push(of_fault("topics", key.span(), accept::bad_name(&name)));
        }
        if !value.get_ref().is_table() && TOPICS.keys.contains(&name.as_str()) {
            mistakes.push(Mistake::new(
                key.span(),
                format!("`{name}` stands in [topics], which has no name"),
                "name the topics: [topics.NAME]",
            ));
            continue;
        }
        let title = format!("[topics.{}]", accept::shown(&name));
        let section = Section::open(TOPICS, Some(value), mistakes).titled(title);
        all.push(one(name, section));
    }
    all
}

fn one(name: String, mut section: Section<'_, '_>) -> Topics {
    let topics = Topics { name, ..Topics::read(&mut section) };
    section.finish();
    topics
}

/// Lets endpoints lead to the topics that they name.
pub(super) fn refer(listeners: &mut [RawListener], topics: &[Topics], mistakes: &mut Vec<Mistake>) {
    let mut find = |name: &Spanned<String>| {
        let found = topics.iter().position(|topics| topics.name == *name.get_ref());
        if found.is_none() {
            mistakes.push(dangling(name, topics));
        }
        found
    };
    for listener in listeners {
        let keys = &mut listener.service;
        keys.frame.topics = keys.topics.as_ref().and_then(&mut find);
        for route in &mut listener.service.http.routes {
            let Some(name) = &route.topics else { continue };
            let found = find(name);
            let action = route.rest.as_mut().map(|rest| &mut rest.action);
            if let (Some(Action::WebSocket(options)), Some(index)) = (action, found)
                && let WebSocketService::Topics { topics, .. } = &mut options.service
            {
                *topics = index;
            }
        }
    }
}

/// A reference that leads nowhere.
fn dangling(name: &Spanned<String>, topics: &[Topics]) -> Mistake {
    /// So many names are listed.
    const LISTED_MAX: usize = 16;
    let names = || topics.iter().map(|topics| topics.name.as_str());
    let listed: Vec<_> = names().take(LISTED_MAX).map(accept::shown).collect();
    let help = match accept::nearest(name.get_ref(), names()) {
        Some(likely) => format!("did you mean \"{}\"?", accept::shown(likely)),
        None if listed.is_empty() => format!("add a table [topics.{}]", name.get_ref()),
        None => {
            format!("add a table [topics.{}], or use one of: {}", name.get_ref(), listed.join(", "))
        }
    };
    let message = format!("there are no topics named `{}`", name.get_ref());
    Mistake::new(name.span(), message, help)
}

/// Writes a table.
pub(super) fn write(topics: &Topics, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n[topics.{}]", topics.name)?;
    write_all(topics.lines(), f)
}
