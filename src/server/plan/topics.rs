//! What of topics goes on from plan to plan: a set whose table is as before is the same one, with
//! all subscribers and retained messages.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::config::{QueuePolicy, Topics};
use crate::session::topic_set::{QueuePolicy as Policy, TopicOptions, TopicSet};

/// The topics of the present plan, by name.
#[derive(Debug)]
pub(in crate::server) struct TopicSets {
    present: HashMap<String, Known>,
    /// What the plan that is being made has: it is remembered once that holds.
    planned: HashMap<String, Known>,
    workers: usize,
}

/// A set, and the table that it was made of. Its endpoints have it: what no plan uses any more is
/// found to be gone.
#[derive(Debug)]
struct Known {
    table: Topics,
    set: Weak<TopicSet>,
}

impl TopicSets {
    pub(super) fn new(workers: usize) -> Self {
        Self { present: HashMap::new(), planned: HashMap::new(), workers }
    }

    /// A plan is being made: what no earlier one uses any more is forgotten.
    pub(super) fn sweep(&mut self) {
        self.planned.clear();
        self.present.retain(|_, known| known.set.strong_count() > 0);
    }

    /// The set of a table, one for all endpoints of a plan: the one before, if nothing of the table
    /// has changed; else one that goes on with its subscribers and what is retained.
    pub(in crate::server) fn set(&mut self, table: &Topics) -> Arc<TopicSet> {
        let known = self.planned.get(&table.name).or_else(|| self.present.get(&table.name));
        let known = known.and_then(|known| Some((&known.table, known.set.upgrade()?)));
        let set = match known {
            Some((before, set)) if before == table => set,
            Some((_, set)) => Arc::new(set.with_options(options(table))),
            None => Arc::new(TopicSet::new(&table.name, options(table), self.workers)),
        };
        let known = Known { table: table.clone(), set: Arc::downgrade(&set) };
        self.planned.insert(table.name.clone(), known);
        set
    }

    /// The plan that was made holds.
    pub(super) fn adopt(&mut self) {
        self.present = std::mem::take(&mut self.planned);
    }
}

fn options(table: &Topics) -> TopicOptions {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    TopicOptions {
        message_max: table.message_max as usize,
        subscriptions_max: table.subscriptions_max as usize,
        filters_max: table.filters_max as usize,
        queue_max: table.queue_max as usize,
        queue_bytes: table.queue_bytes as usize,
        queue_policy: match table.queue_policy {
            QueuePolicy::DropOldest => Policy::DropOldest,
            QueuePolicy::DropNewest => Policy::DropNewest,
            QueuePolicy::Close => Policy::Close,
        },
        retained_max: table.retained_max as usize,
        retained_bytes: bytes(table.retained_bytes),
        exchange_bytes: bytes(table.exchange_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, message_max: u32) -> Topics {
        Topics { message_max, ..Topics::new(name.to_owned()) }
    }

    #[test]
    fn a_set_goes_on_until_its_table_changes_or_nobody_has_it() {
        let mut sets = TopicSets::new(2);
        let first = sets.set(&table("a", 1));
        assert!(Arc::ptr_eq(&first, &sets.set(&table("a", 1))), "endpoints share it");
        let other = sets.set(&table("b", 1));
        assert!(!Arc::ptr_eq(&first, &other));
        sets.adopt();

        // A plan that does not come to hold changes nothing.
        sets.sweep();
        assert!(!Arc::ptr_eq(&first, &sets.set(&table("a", 2))));
        sets.sweep();
        assert!(Arc::ptr_eq(&first, &sets.set(&table("a", 1))));
        assert!(Arc::ptr_eq(&other, &sets.set(&table("b", 1))));
        sets.adopt();

        sets.sweep();
        let second = sets.set(&table("a", 2));
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!((second.options.message_max, &*second.name), (2, "a"));
        assert_eq!(first.options.message_max, 1, "sockets of the plan before have theirs");
        sets.adopt();
        drop(second);

        sets.sweep();
        assert!(sets.present.is_empty(), "nobody has them");
        assert_eq!(sets.set(&table("a", 2)).options.message_max, 2);
    }
}
