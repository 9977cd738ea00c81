//! `[topics.NAME]`: what is published and subscribed to, by endpoints of WebSockets.

use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::accept;
use super::http::Action;
use super::listener::RawListener;
use super::report::Mistake;
use super::schema::{TableKeys, Words, word};
use super::section::{Section, of_fault};
use super::units::Size;
use super::{WebSocketService, defaults};

/// `[topics.NAME]`: topics that workers and endpoints share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Its name in logs and metrics, unique among topics.
    pub name: String,
    /// `message_max`: bytes of the payload of a publication, at most.
    pub message_max: u32,
    /// `subscriptions_max`: filters of one subscriber.
    pub subscriptions_max: u32,
    /// `filters_max`: filters of one worker.
    pub filters_max: u32,
    /// `queue_max`: messages that wait for one subscriber.
    pub queue_max: u32,
    /// `queue_bytes`: the same in bytes.
    pub queue_bytes: u32,
    /// `queue_policy`: what becomes of messages beyond that.
    pub queue_policy: QueuePolicy,
    /// `retained_max`: topics of which the last message is retained.
    pub retained_max: u32,
    /// `retained_bytes`: the same in bytes.
    pub retained_bytes: u64,
    /// `exchange_bytes`: bytes of publications that wait for another worker.
    pub exchange_bytes: u64,
}

impl Topics {
    /// Topics of this name, with defaults.
    #[must_use]
    pub const fn new(name: String) -> Self {
        Self {
            name,
            message_max: defaults::TOPICS_MESSAGE_MAX,
            subscriptions_max: defaults::TOPICS_SUBSCRIPTIONS_MAX,
            filters_max: defaults::TOPICS_FILTERS_MAX,
            queue_max: defaults::TOPICS_QUEUE_MAX,
            queue_bytes: defaults::TOPICS_QUEUE_BYTES,
            queue_policy: defaults::TOPICS_QUEUE_POLICY,
            retained_max: defaults::TOPICS_RETAINED_MAX,
            retained_bytes: defaults::TOPICS_RETAINED_BYTES,
            exchange_bytes: defaults::TOPICS_EXCHANGE_BYTES,
        }
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

pub(super) const TOPICS: TableKeys = TableKeys {
    table: "[topics.NAME]",
    keys: &[
        "message_max",
        "subscriptions_max",
        "filters_max",
        "queue_max",
        "queue_bytes",
        "queue_policy",
        "retained_max",
        "retained_bytes",
        "exchange_bytes",
    ],
};

const MESSAGE_RANGE: RangeInclusive<u32> = 1..=16 << 20;
const SUBSCRIPTIONS_RANGE: RangeInclusive<u32> = 1..=10_000;
const FILTERS_RANGE: RangeInclusive<u32> = 1..=10_000_000;
const QUEUE_RANGE: RangeInclusive<u32> = 1..=1_000_000;
const QUEUE_BYTES_RANGE: RangeInclusive<u32> = 1..=1 << 30;
const RETAINED_RANGE: RangeInclusive<u32> = 0..=10_000_000;
const RETAINED_BYTES_RANGE: RangeInclusive<u64> = 0..=64 << 30;
const EXCHANGE_BYTES_RANGE: RangeInclusive<u64> = 1..=64 << 30;

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
    let mut topics = Topics::new(name);
    let message = section.optional("message_max", |v| accept::size(v, &MESSAGE_RANGE));
    let mut whole = |key, range: &RangeInclusive<u32>, default| {
        section.optional(key, |v| accept::whole(v, range)).or(default)
    };
    topics.subscriptions_max =
        whole("subscriptions_max", &SUBSCRIPTIONS_RANGE, topics.subscriptions_max);
    topics.filters_max = whole("filters_max", &FILTERS_RANGE, topics.filters_max);
    topics.queue_max = whole("queue_max", &QUEUE_RANGE, topics.queue_max);
    topics.retained_max = whole("retained_max", &RETAINED_RANGE, topics.retained_max);
    let queue = section.optional("queue_bytes", |v| accept::size(v, &QUEUE_BYTES_RANGE));
    let policy = section.optional("queue_policy", |v| accept::choice(v, QUEUE_POLICY_WORDS));
    let retained = section.optional("retained_bytes", |v| accept::size(v, &RETAINED_BYTES_RANGE));
    let exchange = section.optional("exchange_bytes", |v| accept::size(v, &EXCHANGE_BYTES_RANGE));
    topics.message_max = message.or(topics.message_max);
    topics.queue_bytes = queue.or(topics.queue_bytes);
    topics.queue_policy = policy.or(topics.queue_policy);
    topics.retained_bytes = retained.or(topics.retained_bytes);
    topics.exchange_bytes = exchange.or(topics.exchange_bytes);
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
    writeln!(f, "message_max = \"{}\"", Size(topics.message_max.into()))?;
    writeln!(f, "subscriptions_max = {}", topics.subscriptions_max)?;
    writeln!(f, "filters_max = {}", topics.filters_max)?;
    writeln!(f, "queue_max = {}", topics.queue_max)?;
    writeln!(f, "queue_bytes = \"{}\"", Size(topics.queue_bytes.into()))?;
    writeln!(f, "queue_policy = \"{}\"", word(QUEUE_POLICY_WORDS, topics.queue_policy))?;
    writeln!(f, "retained_max = {}", topics.retained_max)?;
    writeln!(f, "retained_bytes = \"{}\"", Size(topics.retained_bytes))?;
    writeln!(f, "exchange_bytes = \"{}\"", Size(topics.exchange_bytes))
}
