//! What is told of WebSockets, by route, and of topics.

use std::borrow::Borrow;
use std::sync::Arc;

use super::{Exporter, Metric, MetricFamily, MetricType, counter, counter_float, family, sample};
use crate::proto::websocket::{CloseCode, Violation};
use crate::service::topics::{Fault, TopicsStats};
use crate::session::SocketStats;
use crate::session::topic_set::TopicSet;

/// A number of things of one kind: its name, help and type, and its values.
type Told<T> = (&'static str, &'static str, MetricType, &'static [Value<T>]);
/// A label that the value has, if it has one, and what is read for it.
type Value<T> = (Option<(&'static str, &'static str)>, fn(&T) -> u64);
/// A thing: its labels, and what each worker has of it.
type Counted<T> = (Vec<(&'static str, String)>, Vec<T>);
/// What a worker counts of topics, and what was lost on the way to it.
type OfTopics = (TopicsStats, u64);

const RECEIVED: Option<(&str, &str)> = Some(("direction", "received"));
const SENT: Option<(&str, &str)> = Some(("direction", "sent"));

const OF_ROUTES: [Told<SocketStats>; 9] = [
    (
        "ringway_websocket_connections_total",
        "WebSockets that were opened, by listener and route.",
        MetricType::COUNTER,
        &[(None, |stats| stats.opened.get())],
    ),
    (
        "ringway_websocket_connections_active",
        "WebSockets that are open.",
        MetricType::GAUGE,
        &[(None, |stats| stats.active.get())],
    ),
    (
        "ringway_websocket_messages_total",
        "Messages of WebSockets.",
        MetricType::COUNTER,
        &[(RECEIVED, |stats| stats.received.get()), (SENT, |stats| stats.sent.get())],
    ),
    (
        "ringway_websocket_message_bytes_total",
        "Bytes of messages of WebSockets, uncompressed.",
        MetricType::COUNTER,
        &[(RECEIVED, |stats| stats.received_bytes.get()), (SENT, |stats| stats.sent_bytes.get())],
    ),
    (
        "ringway_websocket_wire_bytes_total",
        "Bytes of payloads of WebSockets as they are on the wire, compressed or not.",
        MetricType::COUNTER,
        &[
            (RECEIVED, |stats| stats.received_wire_bytes.get()),
            (SENT, |stats| stats.sent_wire_bytes.get()),
        ],
    ),
    (
        "ringway_websocket_pongs_total",
        "Pings of WebSockets that were answered.",
        MetricType::COUNTER,
        &[(None, |stats| stats.pongs.get())],
    ),
    (
        "ringway_websocket_dropped_total",
        "Messages that were dropped, as their subscribers did not take them.",
        MetricType::COUNTER,
        &[(None, |stats| stats.dropped.get())],
    ),
    (
        "ringway_websocket_takeover_refused_total",
        "WebSockets that keep no window of compression, as websocket_takeover_memory is used.",
        MetricType::COUNTER,
        &[(None, |stats| stats.takeover_refused.get())],
    ),
    (
        "ringway_websocket_starved_total",
        "WebSockets that were closed, as waiting_memory was used when a long message came.",
        MetricType::COUNTER,
        &[(None, |stats| stats.starved.get())],
    ),
];

const OF_TOPICS: [Told<OfTopics>; 11] = [
    (
        "ringway_topics_published_total",
        "Messages that clients have published.",
        MetricType::COUNTER,
        &[(None, |(stats, _)| stats.published)],
    ),
    (
        "ringway_topics_delivered_total",
        "Messages to subscribers, those among them that were dropped.",
        MetricType::COUNTER,
        &[(None, |(stats, _)| stats.delivered)],
    ),
    (
        "ringway_topics_dropped_total",
        "Messages that had no room in the queue of their subscriber.",
        MetricType::COUNTER,
        &[
            (Some(("which", "oldest")), |(stats, _)| stats.dropped_oldest),
            (Some(("which", "newest")), |(stats, _)| stats.dropped_newest),
        ],
    ),
    (
        "ringway_topics_closed_total",
        "Subscribers that were closed, as they were too slow.",
        MetricType::COUNTER,
        &[(None, |(stats, _)| stats.closed)],
    ),
    (
        "ringway_topics_retained_skipped_total",
        "Retained messages that a worker or a subscription had no room for.",
        MetricType::COUNTER,
        &[(None, |(stats, _)| stats.retained_skipped + stats.retained_left_out)],
    ),
    (
        "ringway_topics_subscribers",
        "Clients of topics.",
        MetricType::GAUGE,
        &[(None, |(stats, _)| stats.subscribers as u64)],
    ),
    (
        "ringway_topics_subscriptions",
        "Subscriptions of all clients.",
        MetricType::GAUGE,
        &[(None, |(stats, _)| stats.subscriptions as u64)],
    ),
    (
        "ringway_topics_filters",
        "Different filters, each counted by each worker that has it.",
        MetricType::GAUGE,
        &[(None, |(stats, _)| stats.filters as u64)],
    ),
    (
        "ringway_topics_filters_bytes",
        "Bytes of memory that filters and subscriptions take on all workers.",
        MetricType::GAUGE,
        &[(None, |(stats, _)| stats.filters_bytes as u64)],
    ),
    (
        "ringway_topics_retained_bytes",
        "Bytes that retained messages take; each worker counts them.",
        MetricType::GAUGE,
        &[(None, |(stats, _)| stats.retained_bytes as u64)],
    ),
    (
        "ringway_topics_lost_total",
        "Messages that did not reach the subscribers of another worker, which was behind.",
        MetricType::COUNTER,
        &[(None, |(_, lost)| *lost)],
    ),
];

impl Exporter {
    pub(super) fn websocket_families(&self) -> Vec<MetricFamily> {
        let routes = self.socket_routes();
        if routes.is_empty() {
            return Vec::new();
        }
        let mut families = families_of(&OF_ROUTES, &routes);
        families.push(ping_seconds(&routes));
        families.push(family(
            "ringway_websocket_closed_total",
            "WebSockets that were closed, by the code of the close frame.",
            MetricType::COUNTER,
            by_place(&routes, "code", &CloseCode::CLASSES, |stats, place| {
                stats.closed[place].get()
            }),
        ));
        let rules = Violation::ALL.map(Violation::name);
        families.push(family(
            "ringway_websocket_violations_total",
            "Rules of WebSocket that clients broke, and limits that they exceeded, by rule.",
            MetricType::COUNTER,
            by_place(&routes, "rule", &rules, |stats, place| stats.violations[place].get()),
        ));
        families.extend(self.topics_families());
        families
    }

    /// The routes that answer or inspect WebSockets: their labels, and what workers have counted.
    fn socket_routes(&self) -> Vec<Counted<&SocketStats>> {
        let mut found = Vec::new();
        for (listener, http) in &self.inventory.http {
            for route in http.routes.iter().filter(|route| route.action.counts_sockets()) {
                let labels =
                    vec![("listener", listener.name.clone()), ("route", route.name.to_string())];
                let stats = route.counters.used().filter_map(|stats| stats.used_sockets());
                found.push((labels, stats.collect()));
            }
        }
        found
    }

    fn topics_families(&self) -> Vec<MetricFamily> {
        let mut sets: Vec<&Arc<TopicSet>> = Vec::new();
        for set in self.inventory.http.iter().flat_map(|(_, http)| http.topics()) {
            if !sets.iter().any(|other| Arc::ptr_eq(other, set)) {
                sets.push(set);
            }
        }
        let named = |set: &&Arc<TopicSet>| vec![("topics", set.name.to_string())];
        let sets: Vec<Counted<OfTopics>> =
            sets.iter().map(|set| (named(set), set.stats())).collect();
        if sets.is_empty() {
            return Vec::new();
        }
        let mut families = families_of(&OF_TOPICS, &sets);
        let refused = sets.iter().flat_map(|(labels, workers)| {
            Fault::CODES.iter().enumerate().map(move |(place, code)| {
                let value = workers.iter().map(|(stats, _)| stats.refused[place]).sum();
                counter(&with(labels, Some(("reason", code))), value)
            })
        });
        families.push(family(
            "ringway_topics_refused_total",
            "What clients of topics said and was refused, by the code of the answer.",
            MetricType::COUNTER,
            refused.collect(),
        ));
        families
    }
}

/// The families of a table, for all things of a kind.
fn families_of<T, B: Borrow<T>>(table: &[Told<T>], things: &[Counted<B>]) -> Vec<MetricFamily> {
    let families = table.iter().map(|(name, help, kind, values)| {
        let metrics = things.iter().flat_map(|(labels, workers)| {
            values.iter().map(move |(label, read)| {
                sample(
                    *kind,
                    &with(labels, *label),
                    workers.iter().map(|one| read(one.borrow())).sum(),
                )
            })
        });
        family(name, help, *kind, metrics.collect())
    });
    families.collect()
}

fn with(
    labels: &[(&'static str, String)],
    more: Option<(&'static str, &str)>,
) -> Vec<(&'static str, String)> {
    let more = more.map(|(name, value)| (name, value.to_owned()));
    labels.iter().cloned().chain(more).collect()
}

/// A counter for each place of an array, where it is not 0.
fn by_place(
    routes: &[Counted<&SocketStats>],
    label: &'static str,
    names: &[&str],
    read: fn(&SocketStats, usize) -> u64,
) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for (labels, stats) in routes {
        for (place, name) in names.iter().enumerate() {
            let value: u64 = stats.iter().map(|stats| read(stats, place)).sum();
            if value > 0 {
                metrics.push(counter(&with(labels, Some((label, name))), value));
            }
        }
    }
    metrics
}

fn ping_seconds(routes: &[Counted<&SocketStats>]) -> MetricFamily {
    let metrics = routes.iter().map(|(labels, stats)| {
        let micros: u64 = stats.iter().map(|stats| stats.pong_micros.get()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a sum of times, to be divided")]
        let seconds = micros as f64 / 1e6;
        counter_float(labels, seconds)
    });
    family(
        "ringway_websocket_ping_seconds_total",
        "Time that answers to pings took, together: divided by the pongs, the mean round trip.",
        MetricType::COUNTER,
        metrics.collect(),
    )
}
