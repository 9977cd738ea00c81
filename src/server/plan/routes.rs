//! What of routes goes on from plan to plan: their counters as long as their names stay, their rate
//! limits and open files as long as nothing of these has changed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};

use super::numbers::Numbers;
use crate::config::{FilesOptions, Listener, RateLimit, Route};
use crate::server::build::open_folder;
use crate::session::http_options::LimitBoards;
use crate::session::{Folder, Lease, RouteCounters};

/// What goes on of all routes, by listener and route.
#[derive(Debug, Default)]
pub(in crate::server) struct Routes {
    by_listener: HashMap<String, HashMap<String, Memory>>,
    /// What the plan that is being made has: it is remembered once that holds.
    planned: HashMap<String, HashMap<String, Parts>>,
    numbers: Numbers<u64>,
    folders: Numbers<u64>,
    /// Keys that were given so far.
    keys: u64,
    workers: usize,
}

/// What goes on of one route. What no plan uses any more is found to be gone.
#[derive(Debug, Default)]
struct Memory {
    counters: Weak<RouteCounters>,
    parts: Parts,
}

/// What goes on of a route if its keys are as before.
#[derive(Debug, Default)]
struct Parts {
    limit: Option<(RateLimit, Weak<LimitBoards>)>,
    folder: Option<OpenFolder>,
}

/// A folder whose files workers keep open.
#[derive(Debug)]
struct OpenFolder {
    options: FilesOptions,
    /// Which folder it is: another one may have its name by now.
    id: (u64, u64),
    root: Weak<Folder>,
    lease: Weak<usize>,
}

impl Routes {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }

    /// A plan is being made: what no earlier one uses any more is forgotten.
    pub(super) fn sweep(&mut self) {
        self.planned.clear();
        self.numbers.sweep();
        self.folders.sweep();
        self.by_listener.retain(|_, routes| {
            routes.retain(|_, memory| memory.counters.strong_count() > 0);
            !routes.is_empty()
        });
    }

    /// The plan that was made holds. Returns the numbers of routes that had other owners before.
    pub(super) fn adopt(&mut self) -> Vec<usize> {
        let Self { by_listener, planned, .. } = self;
        by_listener.iter_mut().for_each(|(listener, routes)| {
            let mut own = planned.remove(listener).unwrap_or_default();
            routes.iter_mut().for_each(|(route, memory)| {
                memory.parts = own.remove(route).unwrap_or_default();
            });
        });
        self.folders.take_fresh();
        self.numbers.take_fresh()
    }

    fn memory(&mut self, listener: &Listener, route: &Route) -> &mut Memory {
        let routes = self.by_listener.entry(listener.name.clone()).or_default();
        routes.entry(route.name.clone()).or_default()
    }

    fn planned(&mut self, listener: &Listener, route: &Route) -> &mut Parts {
        let routes = self.planned.entry(listener.name.clone()).or_default();
        routes.entry(route.name.clone()).or_default()
    }

    fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    /// The counters of a route.
    pub(in crate::server) fn counters(
        &mut self,
        listener: &Listener,
        route: &Route,
    ) -> Arc<RouteCounters> {
        if let Some(counters) = self.memory(listener, route).counters.upgrade() {
            return counters;
        }
        let key = self.next_key();
        let lease = self.numbers.lease(&key);
        let counters = Arc::new(RouteCounters::new(lease, self.workers));
        self.memory(listener, route).counters = Arc::downgrade(&counters);
        counters
    }

    /// What workers show each other of a route's rate limit.
    pub(in crate::server) fn limit(
        &mut self,
        listener: &Listener,
        route: &Route,
        limit: &RateLimit,
    ) -> Arc<LimitBoards> {
        let workers = self.workers;
        let known = self.memory(listener, route).parts.limit.as_ref();
        let known = known.filter(|(own, _)| own == limit);
        let known = known.and_then(|(_, boards)| boards.upgrade());
        let boards = known
            .unwrap_or_else(|| Arc::new(LimitBoards::new(workers, limit.entries_max as usize)));
        let own = (limit.clone(), Arc::downgrade(&boards));
        self.planned(listener, route).limit = Some(own);
        boards
    }

    /// The folder of a route that gives files, and the number of what is kept open of it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(in crate::server) fn folder(
        &mut self,
        listener: &Listener,
        route: &Route,
        options: &FilesOptions,
    ) -> Result<(Arc<Folder>, Lease), Errno> {
        let (opened, id) = open(&options.root)?;
        let known = self.memory(listener, route).parts.folder.as_ref();
        let known = known.filter(|folder| folder.options == *options && folder.id == id);
        let goes_on =
            known.and_then(|folder| folder.root.upgrade().zip(Lease::renew(&folder.lease)));
        let key = self.next_key();
        let (root, lease) = goes_on.unwrap_or_else(|| (Arc::new(opened), self.folders.lease(&key)));
        self.planned(listener, route).folder = Some(OpenFolder {
            options: options.clone(),
            id,
            root: Arc::downgrade(&root),
            lease: lease.watch(),
        });
        Ok((root, lease))
    }
}

/// Opens a folder, and tells which one it is.
fn open(path: &Path) -> Result<(Folder, (u64, u64)), Errno> {
    let folder = open_folder(path)?;
    let FileStat { st_dev, st_ino, .. } = fstat(&folder)?;
    Ok((Folder::new(folder), (st_dev, st_ino)))
}
