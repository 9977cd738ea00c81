//! The worst case that a configuration allows: memory, descriptors and locked memory, by listener
//! and upstream, as sums of limits with a name. For `ringway check --budget`.
//!
//! | file | job |
//! |---|---|
//! | `formula` | limits with their values, products and sums of them |
//! | `process` | what the process and its workers have once; sets of topics |
//! | `listener` | the connections and flows of a listener |
//! | `http` | what a listener of HTTP has beside its connections |
//! | `upstream` | the connections to the servers of an upstream |
//! | `show` | the table |
//! | `machine` | the limits of the machine, and warnings where they are lower |
//!
//! A bound that a worker's connections share is counted once for each worker. Bytes that they are
//! known to exceed it by are items of their own. What no limit bounds is named in
//! [`Budget::unbounded`] and has no figure.
//!
//! Everything but `machine` is pure. All arithmetic saturates: limits may be enormous.

mod formula;
mod http;
mod listener;
mod machine;
mod process;
mod show;
#[cfg(test)]
mod tests;
mod upstream;

use std::collections::BTreeSet;

pub use self::machine::{MachineLimits, machine_limits};

use self::formula::{Factor, count, size};
use crate::config::{Action, Config, WebSocketService, WorkerCount};

/// A figure, and the limits that it follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is, as in "receive buffers".
    pub name: String,
    /// Limits with their values, as in "runtime.workers 2 x runtime.buffers 256". Keys are those of
    /// the part's own table, or have the name of theirs in front.
    pub formula: String,
    /// Bytes, or descriptors.
    pub amount: u64,
}

/// What one part of the server may take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Whose it is: "process", "listener NAME", "upstream NAME" or "topics NAME".
    pub title: String,
    /// Bytes of memory.
    pub memory: Vec<Item>,
    /// Descriptors.
    pub descriptors: Vec<Item>,
    /// Bytes that the kernel charges to the limit of locked memory.
    pub locked: Vec<Item>,
}

/// The worst case of a configuration. Displayed, it is a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// Its parts, in the order of the file, behind the process.
    pub parts: Vec<Part>,
    /// What the configuration does not bound, in words.
    pub unbounded: Vec<String>,
}

/// Bytes or descriptors in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of memory.
    pub memory: u64,
    /// Descriptors.
    pub descriptors: u64,
    /// Bytes of locked memory.
    pub locked: u64,
}

impl Part {
    fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    /// What its items come to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum =
            |items: &[Item]| items.iter().map(|item| item.amount).fold(0, u64::saturating_add);
        Totals {
            memory: sum(&self.memory),
            descriptors: sum(&self.descriptors),
            locked: sum(&self.locked),
        }
    }
}

impl Budget {
    /// What its parts come to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.parts.iter().map(Part::totals).fold(Totals::default(), |sum, one| Totals {
            memory: sum.memory.saturating_add(one.memory),
            descriptors: sum.descriptors.saturating_add(one.descriptors),
            locked: sum.locked.saturating_add(one.locked),
        })
    }
}

/// The worst case of a configuration on a machine where the process may use so many CPUs.
#[must_use]
pub fn budget(config: &Config, cpus: usize) -> Budget {
    let scope = Scope::new(config, cpus);
    let mut open = Open::default();
    let mut parts = vec![process::process(&scope)];
    parts.extend(config.listeners.iter().map(|one| listener::listener(&scope, one, &mut open)));
    for (index, one) in config.upstreams.iter().enumerate() {
        parts.extend(upstream::upstream(&scope, (index, one), &mut open));
    }
    let topics = config.topics.iter().enumerate();
    let topics = topics.filter(|(index, _)| scope.topics.contains(index));
    parts.extend(topics.map(|(_, one)| process::topics(&scope, one)));
    Budget { parts, unbounded: open.into_words() }
}

/// What figures are made of.
struct Scope<'a> {
    config: &'a Config,
    workers: u64,
    /// The upstreams to whose servers connections are kept, by index: those of HTTP proxies.
    origins: BTreeSet<usize>,
    /// Those of frame proxies.
    exchanges: BTreeSet<usize>,
    /// The topics that a route or a listener uses, by index.
    topics: BTreeSet<usize>,
}

impl<'a> Scope<'a> {
    fn new(config: &'a Config, cpus: usize) -> Self {
        let workers = match config.runtime.workers {
            WorkerCount::Auto => cpus.max(1) as u64,
            WorkerCount::Fixed(number) => u64::from(number.get()),
        };
        let services = || config.listeners.iter().map(|listener| &listener.service);
        let http = || services().filter_map(|service| service.http());
        let sockets = http().flat_map(|http| &http.routes).filter_map(|one| one.action.websocket());
        let of_sockets = sockets.filter_map(|options| options.topics());
        let of_frames = services().filter_map(|service| service.frame_topics());
        Self {
            config,
            workers,
            origins: http().flat_map(|http| http.origins()).collect(),
            exchanges: services().filter_map(listener::frame_upstream).collect(),
            topics: of_sockets.chain(of_frames).collect(),
        }
    }

    /// The number of workers.
    fn workers(&self) -> Factor {
        count("runtime.workers", self.workers)
    }

    /// What one turn of a worker may bring, all of it to one connection: its receive buffers.
    fn turn(&self) -> [Factor; 2] {
        let runtime = &self.config.runtime;
        [
            count("runtime.buffers", runtime.buffers),
            size("runtime.buffer_size", runtime.buffer_size),
        ]
    }

    /// Requests, connections or flows that an upstream takes at a time, if it has a limit. Each
    /// worker has an equal part, which is rounded up.
    fn requests_max(&self, upstream: usize) -> Option<u64> {
        let most = u64::from(self.config.upstreams.get(upstream)?.http.requests_max?);
        Some(most.div_ceil(self.workers).saturating_mul(self.workers))
    }
}

/// What the configuration does not bound, as it is found.
#[derive(Debug, Default)]
struct Open {
    /// Whose sockets have buffers that the kernel sizes.
    buffers: Vec<String>,
    /// Routes that code of the program answers.
    handlers: Vec<String>,
    /// Upstreams with host names.
    names: Vec<String>,
}

impl Open {
    /// The kernel sizes buffers of somebody's sockets.
    fn note_buffers(&mut self, whose: String) {
        if !self.buffers.contains(&whose) {
            self.buffers.push(whose);
        }
    }

    /// A route may be answered by code of the program.
    fn note_action(&mut self, listener: &str, route: &str, action: &Action) {
        let socket = action.websocket().map(|options| &options.service);
        let is_own = matches!(action, Action::Handler(_))
            || matches!(socket, Some(WebSocketService::Handler(_)));
        if is_own {
            self.handlers.push(format!("{listener}/{route}"));
        }
    }

    fn into_words(self) -> Vec<String> {
        /// So many names are listed.
        const LISTED_MAX: usize = 8;
        let listed = |names: &[String]| {
            let more = names.len().saturating_sub(LISTED_MAX);
            let rest = (more > 0).then(|| format!("{more} more"));
            names.iter().take(LISTED_MAX).cloned().chain(rest).collect::<Vec<_>>().join(", ")
        };
        let mut words = Vec::new();
        if !self.buffers.is_empty() {
            words.push(format!(
                "socket buffers in the kernel where `receive_buffer` or `send_buffer` is \"auto\" \
                 ({}): the sysctls net.ipv4.tcp_rmem, tcp_wmem and tcp_mem bound them, for UDP \
                 net.core.rmem_default and wmem_default",
                listed(&self.buffers)
            ));
        }
        if !self.handlers.is_empty() {
            words.push(format!(
                "what handlers of the program keep, messages of gRPC among it: routes {}",
                listed(&self.handlers)
            ));
        }
        if !self.names.is_empty() {
            words.push(format!(
                "addresses of host names, each of which counts as a server: upstreams {}",
                listed(&self.names)
            ));
        }
        words.push(
            "what an earlier configuration still uses after a reload: sockets, connections of \
             pools, open files"
                .to_owned(),
        );
        words.push(
            "the program itself: code, stacks of threads, certificates, lists of users and \
             networks, counters, what the allocator keeps"
                .to_owned(),
        );
        words
    }
}
