//! Who subscribed to what: a trie of filters, with the subscribers of each.
//!
//! The cost of a publication is that of the nodes that its segments lead to, and one step for each
//! subscriber. Subscribers of a node lie next to each other, so that a publication to many of them
//! is a walk over one list.

use std::collections::HashMap;

use super::name::{Filter, Topic};
use super::segments::Segments;
use super::{map_bytes, shrink_map};
use crate::mem::{Key, Slab};

/// No node.
const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

/// Names one subscriber of one hub, until it is closed. A name of an earlier subscriber finds
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(Key);

/// Why a subscription was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAdded {
    /// The subscriber has as many as it may.
    Subscriptions,
    /// The hub has as many filters as it may.
    Filters,
    /// The subscriber was closed.
    Closed,
}

/// Filters, their subscribers, and the subscribers' filters.
#[derive(Debug)]
pub(super) struct Subscriptions<K> {
    subscribers: Slab<Subscriber<K>>,
    /// Slots of subscribers that were ever used.
    slots: usize,
    nodes: Vec<Node<K>>,
    free: Vec<u32>,
    /// Children by parent and segment, wildcards aside.
    children: HashMap<(u32, u32), u32>,
    segments: Segments,
    filters: usize,
    subscriptions: usize,
    /// Bytes of memory of the lists of nodes and of subscribers.
    lists: usize,
    scratch: Scratch,
}

/// Memory of one delivery, which the next one uses again.
#[derive(Debug, Default)]
struct Scratch {
    here: Vec<u32>,
    below: Vec<u32>,
    /// The nodes that match.
    found: Vec<u32>,
    /// One bit for each slot of a subscriber: whether it was told already. Zero between deliveries.
    told: Vec<u64>,
}

#[derive(Debug)]
struct Subscriber<K> {
    key: K,
    places: Vec<Place>,
}

/// Where a subscriber stands: which node, and which place in its list.
#[derive(Debug, Clone, Copy)]
struct Place {
    node: u32,
    position: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry<K> {
    key: K,
    id: SubscriberId,
    /// The last publication that was admitted before: it and those before it are not delivered.
    since: u64,
}

#[derive(Debug)]
struct Node<K> {
    parent: u32,
    edge: Edge,
    /// The child `+`, or [`NONE`].
    any: u32,
    /// The child `#`, or [`NONE`].
    rest: u32,
    /// How many other children there are.
    children: u32,
    subscribers: Vec<Entry<K>>,
}

/// What leads from a node to its child.
#[derive(Debug, Clone, Copy)]
enum Edge {
    Any,
    Rest,
    Segment(u32),
}

impl<K> Node<K> {
    const fn new(parent: u32, edge: Edge) -> Self {
        Self { parent, edge, any: NONE, rest: NONE, children: 0, subscribers: Vec::new() }
    }

    const fn is_unused(&self) -> bool {
        self.subscribers.is_empty() && self.children == 0 && self.any == NONE && self.rest == NONE
    }
}

impl<K: Copy> Subscriptions<K> {
    pub(super) fn new() -> Self {
        Self {
            subscribers: Slab::with_limit(u32::MAX),
            slots: 0,
            nodes: vec![Node::new(NONE, Edge::Rest)],
            free: Vec::new(),
            children: HashMap::new(),
            segments: Segments::default(),
            filters: 0,
            subscriptions: 0,
            lists: 0,
            scratch: Scratch::default(),
        }
    }

    /// Subscribers, whether they subscribed to anything or not.
    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// Different filters.
    pub(super) const fn filters(&self) -> usize {
        self.filters
    }

    /// Subscriptions of all subscribers.
    pub(super) const fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Bytes of memory that filters and subscriptions take.
    pub(super) fn bytes(&self) -> usize {
        let tree = bytes_of(&self.nodes) + bytes_of(&self.free);
        tree + map_bytes(&self.children) + self.segments.bytes() + self.lists
    }

    pub(super) fn open(&mut self, key: K) -> SubscriberId {
        let added = self.subscribers.insert(Subscriber { key, places: Vec::new() });
        let id = added.ok().expect("fewer subscribers than 2^32");
        self.slots = self.slots.max(id.index as usize + 1);
        SubscriberId(id)
    }

    /// Ends all subscriptions of a subscriber. The cost is that of these.
    pub(super) fn close(&mut self, id: SubscriberId) {
        let Some(subscriber) = self.subscribers.remove(id.0) else { return };
        self.lists -= bytes_of(&subscriber.places);
        for place in subscriber.places {
            self.detach(place);
        }
    }

    /// Adds a subscription to what is admitted after the publication `since`. Whether it is new.
    pub(super) fn subscribe(
        &mut self,
        id: SubscriberId,
        filter: Filter<'_>,
        since: u64,
        (subscriptions_max, filters_max): (usize, usize),
    ) -> Result<bool, NotAdded> {
        let subscriber = self.subscribers.get(id.0).ok_or(NotAdded::Closed)?;
        let (key, known) = (subscriber.key, self.find(filter));
        let has = |node| subscriber.places.iter().any(|place| Some(place.node) == node);
        if known.is_some() && has(known) {
            return Ok(false);
        }
        if subscriber.places.len() >= subscriptions_max {
            return Err(NotAdded::Subscriptions);
        }
        let is_new = known.is_none_or(|node| self.node(node).subscribers.is_empty());
        // More have to be free than the subscriber has, so that it takes at most half of them.
        if is_new && filters_max.saturating_sub(self.filters) <= subscriber.places.len() {
            return Err(NotAdded::Filters);
        }
        let node = self.make(filter);
        let list = &mut self.nodes[node as usize].subscribers;
        let position = u32::try_from(list.len()).expect("fewer subscribers than 2^32");
        self.lists += grow(list, Entry { key, id, since });
        if let Some(subscriber) = self.subscribers.get_mut(id.0) {
            self.lists += grow(&mut subscriber.places, Place { node, position });
        }
        self.filters += usize::from(is_new);
        self.subscriptions += 1;
        Ok(true)
    }

    /// Ends a subscription. Whether there was one.
    pub(super) fn unsubscribe(&mut self, id: SubscriberId, filter: Filter<'_>) -> bool {
        let Some(node) = self.find(filter) else { return false };
        let Some(subscriber) = self.subscribers.get_mut(id.0) else { return false };
        let places = &mut subscriber.places;
        let Some(at) = places.iter().position(|place| place.node == node) else { return false };
        let place = places.swap_remove(at);
        self.lists -= shrink(places);
        self.detach(place);
        true
    }

    /// Calls `each` once for each subscriber that gets the publication `number` to a topic. How
    /// many there are.
    pub(super) fn each(&mut self, topic: Topic<'_>, number: u64, mut each: impl FnMut(K)) -> usize {
        self.find_matches(topic);
        match *self.scratch.found {
            [] => 0,
            // No other list could name a subscriber again.
            [node] => {
                let list = self.node(node).subscribers.iter();
                list.filter(|entry| entry.since < number).map(|entry| each(entry.key)).count()
            }
            [_, _, ..] => self.each_of_many(number, each),
        }
    }

    /// The same where several lists may name a subscriber. The longest list comes last, and leaves
    /// no marks.
    fn each_of_many(&mut self, number: u64, mut each: impl FnMut(K)) -> usize {
        let Self { nodes, scratch: Scratch { found, told, .. }, slots, .. } = self;
        let list = |node: u32| &nodes[node as usize].subscribers;
        let entries = |node| list(node).iter().filter(|entry| entry.since < number);
        found.sort_unstable_by_key(|&node| list(node).len());
        told.resize(slots.div_ceil(64), 0);
        let Some((&last, short)) = found.split_last() else { return 0 };
        let mut count = 0;
        for &node in short {
            for entry in entries(node) {
                let (word, bit) = bit_of(entry.id);
                if told[word] & bit == 0 {
                    told[word] |= bit;
                    count += 1;
                    each(entry.key);
                }
            }
        }
        for entry in entries(last) {
            let (word, bit) = bit_of(entry.id);
            if told[word] & bit == 0 {
                count += 1;
                each(entry.key);
            }
        }
        for &node in short {
            list(node).iter().for_each(|entry| told[bit_of(entry.id).0] = 0);
        }
        count
    }

    /// Finds the nodes with subscribers whose filters match a topic.
    fn find_matches(&mut self, topic: Topic<'_>) {
        let Self { nodes, scratch: Scratch { here, below, found, .. }, .. } = self;
        here.clear();
        found.clear();
        here.push(ROOT);
        for segment in topic.as_str().split('/') {
            let number = self.segments.get(segment);
            below.clear();
            for &parent in &*here {
                let node = &nodes[parent as usize];
                found.extend((node.rest != NONE).then_some(node.rest));
                below.extend((node.any != NONE).then_some(node.any));
                if let Some(number) = number.filter(|_| node.children > 0) {
                    below.extend(self.children.get(&(parent, number)));
                }
            }
            std::mem::swap(here, below);
            if here.is_empty() {
                return;
            }
        }
        for &last in &*here {
            let node = &nodes[last as usize];
            found.extend((!node.subscribers.is_empty()).then_some(last));
            found.extend((node.rest != NONE).then_some(node.rest));
        }
    }

    fn node(&self, node: u32) -> &Node<K> {
        &self.nodes[node as usize]
    }

    fn edge_of(&self, segment: &str) -> Option<Edge> {
        match segment {
            "+" => Some(Edge::Any),
            "#" => Some(Edge::Rest),
            text => self.segments.get(text).map(Edge::Segment),
        }
    }

    fn child(&self, parent: u32, edge: Edge) -> Option<u32> {
        let node = self.node(parent);
        let child = match edge {
            Edge::Any => node.any,
            Edge::Rest => node.rest,
            Edge::Segment(number) => *self.children.get(&(parent, number))?,
        };
        (child != NONE).then_some(child)
    }

    fn find(&self, filter: Filter<'_>) -> Option<u32> {
        let mut segments = filter.as_str().split('/');
        segments.try_fold(ROOT, |node, segment| self.child(node, self.edge_of(segment)?))
    }

    /// The node of a filter, made with all above it where it is missing.
    fn make(&mut self, filter: Filter<'_>) -> u32 {
        filter.as_str().split('/').fold(ROOT, |parent, segment| {
            let known = self.edge_of(segment).and_then(|edge| self.child(parent, edge));
            known.unwrap_or_else(|| self.add_child(parent, segment))
        })
    }

    fn add_child(&mut self, parent: u32, segment: &str) -> u32 {
        let edge = match segment {
            "+" => Edge::Any,
            "#" => Edge::Rest,
            text => Edge::Segment(self.segments.take(text)),
        };
        let node = Node::new(parent, edge);
        let child = match self.free.pop() {
            Some(child) => {
                self.nodes[child as usize] = node;
                child
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("fewer nodes than 2^32")
            }
        };
        let above = &mut self.nodes[parent as usize];
        match edge {
            Edge::Any => above.any = child,
            Edge::Rest => above.rest = child,
            Edge::Segment(number) => {
                above.children += 1;
                self.children.insert((parent, number), child);
            }
        }
        child
    }

    /// Takes a subscriber from the list of a node, and the node away if nothing needs it.
    fn detach(&mut self, place: Place) {
        let list = &mut self.nodes[place.node as usize].subscribers;
        list.swap_remove(place.position as usize);
        self.lists -= shrink(list);
        self.subscriptions -= 1;
        if list.is_empty() {
            self.filters -= 1;
            self.prune(place.node);
            return;
        }
        let Some(moved) = list.get(place.position as usize).map(|entry| entry.id) else { return };
        let Some(moved) = self.subscribers.get_mut(moved.0) else { return };
        let its = moved.places.iter_mut().find(|its| its.node == place.node);
        if let Some(its) = its {
            its.position = place.position;
        }
    }

    /// Removes a node that is unused, then those above it.
    fn prune(&mut self, mut node: u32) {
        while node != ROOT && self.node(node).is_unused() {
            let Node { parent, edge, .. } = *self.node(node);
            let above = &mut self.nodes[parent as usize];
            match edge {
                Edge::Any => above.any = NONE,
                Edge::Rest => above.rest = NONE,
                Edge::Segment(number) => {
                    above.children -= 1;
                    self.children.remove(&(parent, number));
                    self.segments.give_back(number);
                }
            }
            self.free.push(node);
            node = parent;
        }
        if self.filters == 0 {
            self.nodes = vec![Node::new(NONE, Edge::Rest)];
            self.free = Vec::new();
            self.scratch = Scratch::default();
        }
        shrink_map(&mut self.children);
    }
}

/// Where a subscriber's bit is.
const fn bit_of(id: SubscriberId) -> (usize, u64) {
    (id.0.index as usize / 64, 1 << (id.0.index % 64))
}

/// Bytes of memory that a list takes.
const fn bytes_of<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

/// Adds to a list. Returns the bytes of memory that this took.
fn grow<T>(list: &mut Vec<T>, item: T) -> usize {
    let before = bytes_of(list);
    list.push(item);
    bytes_of(list) - before
}

/// Gives memory back when most of it is unused. Returns how many bytes.
fn shrink<T>(list: &mut Vec<T>) -> usize {
    let before = bytes_of(list);
    if list.len() <= list.capacity() / 4 {
        list.shrink_to(list.len() * 2);
    }
    before - bytes_of(list)
}

#[cfg(test)]
mod tests;
