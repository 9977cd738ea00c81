//! Files that are kept open, and the small ones among them in memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::options::FilesOptions;
use super::residency::Residency;
use crate::mem::Buf;
use crate::ring::{Driver, Fd, OpenFile};
use crate::runtime::Reactor;
use crate::service::http::files::types::ContentTypes;
use crate::service::http::files::{FileInfo, Stamp};
use crate::session::{Folder, Lease};

/// Names that are looked at to find one that can be forgotten.
const EVICT_SAMPLE: usize = 16;

/// An open file or folder. Whoever uses it holds it; it is closed when nobody does.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: Fd,
    pub(super) info: FileInfo,
    /// Its `content-type`, by its name.
    pub(super) kind: String,
    pub(super) is_folder: bool,
    residency: RefCell<Residency>,
    /// The turn in which it was last found to be as it was opened: whoever asks within a turn has
    /// asked before it began.
    looked: Cell<Option<Instant>>,
}

/// What is known of a name.
#[derive(Debug)]
struct Slot {
    found: Result<Rc<Opened>, Errno>,
    content: Option<Buf>,
    /// When it was last looked up on the disk.
    checked: Instant,
    /// When it was last asked for, counted in requests.
    used: u64,
}

/// Files of folders that no route has any more that are closed in one turn.
const CLOSED_PER_TURN: usize = 64;

/// Files that are forgotten at once when descriptors are short.
const SHED: usize = 8;

/// The files of one folder that one worker knows.
#[derive(Debug)]
pub(super) struct FileCache {
    slots: HashMap<Box<str>, Slot>,
    entries_max: usize,
    ttl: Duration,
    follow: bool,
    types: Arc<ContentTypes>,
    root: Arc<Folder>,
    /// The folder's number: no other folder gets it while this is here.
    _lease: Lease,
    /// A file with this descriptor or a higher one is not kept: what is left is for others.
    fd_max: i32,
    requests: u64,
    /// Files that somebody still used when their slot went.
    leaving: Vec<Rc<Opened>>,
}

/// The files of all folders that one worker knows, by the numbers of the folders.
#[derive(Debug)]
pub(super) struct FileCaches {
    caches: Vec<Option<FileCache>>,
    /// Of folders that no route has any more: files of them are still being sent.
    leaving: Vec<FileCache>,
    fd_max: i32,
}

impl FileCaches {
    /// None yet. Files with descriptors from `fd_max` on are not kept.
    pub(super) const fn new(fd_max: i32) -> Self {
        Self { caches: Vec::new(), leaving: Vec::new(), fd_max }
    }

    /// The files of a folder.
    pub(super) fn of(&mut self, files: &FilesOptions) -> &mut FileCache {
        let number = files.cache.number();
        if number >= self.caches.len() {
            self.caches.resize_with(number + 1, || None);
        }
        self.caches[number].get_or_insert_with(|| FileCache::new(files, self.fd_max))
    }

    /// The files of a folder that something was asked of before.
    pub(super) fn find(&mut self, number: usize) -> Option<&mut FileCache> {
        self.caches.get_mut(number)?.as_mut()
    }

    /// Descriptors are short: files that are only kept for the next request are closed.
    pub(super) fn shed<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        self.caches.iter_mut().flatten().for_each(|cache| cache.shed(reactor));
    }

    /// Keeps the files of these folders only. What is being sent is sent to its end.
    pub(super) fn keep<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        folders: &[usize],
    ) {
        let mut stays = vec![false; self.caches.len()];
        for number in folders {
            stays.get_mut(*number).into_iter().for_each(|stays| *stays = true);
        }
        for (slot, stays) in self.caches.iter_mut().zip(stays) {
            if !stays {
                self.leaving.extend(slot.take());
            }
        }
        self.close_leaving(reactor);
    }

    /// Closes all, at the end.
    pub(super) fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        for cache in self.caches.iter_mut().flatten().chain(&mut self.leaving) {
            cache.close(reactor, usize::MAX);
        }
        self.leaving.retain(|cache| !cache.is_empty());
    }

    /// Closes a few of what is no longer being sent of folders that no route has.
    pub(super) fn close_leaving<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        let mut left = CLOSED_PER_TURN;
        self.leaving.retain_mut(|cache| {
            left -= cache.close(reactor, left);
            !cache.is_empty()
        });
    }

    /// Whether files of such folders are still open.
    pub(super) const fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether some of them are to be closed in the next turn: the others are still being sent.
    pub(super) fn has_closable(&self) -> bool {
        self.leaving.iter().any(|cache| !cache.slots.is_empty())
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) file: Rc<Opened>,
    /// The whole of it, if it is kept in memory.
    pub(super) content: Option<Buf>,
}

impl FileCache {
    fn new(options: &FilesOptions, fd_max: i32) -> Self {
        Self {
            slots: HashMap::new(),
            entries_max: options.cache_entries.max(1),
            ttl: options.cache_ttl,
            follow: options.follow_symlinks,
            types: Arc::clone(&options.types),
            root: Arc::clone(&options.root),
            _lease: options.cache.clone(),
            fd_max,
            requests: 0,
            leaving: Vec::new(),
        }
    }

    /// The file of that name below the root; the root itself for an empty name.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub(super) fn open<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        name: &str,
    ) -> Result<Found, Errno> {
        let now = reactor.now();
        self.requests += 1;
        self.close_unused(reactor);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.used = self.requests;
            let is_fresh = now.saturating_duration_since(slot.checked) < self.ttl;
            if is_fresh && slot.is_current(reactor.driver(), now) {
                return slot.found();
            }
        }
        let root = self.root.fd();
        let mut opened = reactor.driver().open_below(root, name, self.follow);
        if let Err(Errno::EMFILE | Errno::ENFILE) = opened {
            self.shed(reactor);
            opened = reactor.driver().open_below(root, name, self.follow);
        }
        // Descriptors that ran out say nothing about the file.
        if let Err(errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) = opened {
            return Err(errno);
        }
        self.renew(reactor, name, opened, now)
    }

    /// Notes what was found on the disk.
    fn renew<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        name: &str,
        opened: Result<OpenFile, Errno>,
        now: Instant,
    ) -> Result<Found, Errno> {
        if let (Some(slot), Ok(file)) = (self.slots.get_mut(name), &opened)
            && slot.found.as_ref().is_ok_and(|known| known.is_same(file))
        {
            reactor.driver().close(file.fd);
            slot.checked = now;
            return slot.found();
        }
        if self.slots.len() >= self.entries_max && !self.slots.contains_key(name) {
            self.evict(reactor);
        }
        let found = opened.map(|file| Rc::new(Opened::new(&file, self.types.of(name))));
        if let Ok(file) = &found
            && file.fd.0 >= self.fd_max
        {
            // It is closed when it was sent, and makes others known files go.
            self.shed(reactor);
            self.leaving.push(Rc::clone(file));
            return Ok(Found { file: Rc::clone(file), content: None });
        }
        let slot = Slot { found, content: None, checked: now, used: self.requests };
        let result = slot.found();
        if let Some(old) = self.slots.insert(name.into(), slot) {
            self.let_go(reactor, old);
        }
        result
    }

    /// The content of a file was read. If the file was written since it was opened, its tag is not
    /// that of these bytes: it is forgotten, and opened again when it is asked for. False then.
    pub(super) fn keep<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        name: &str,
        file: &Rc<Opened>,
        content: &Buf,
    ) -> bool {
        let is_known = |slot: &Slot| slot.found.as_ref().is_ok_and(|known| Rc::ptr_eq(known, file));
        let now = reactor.driver().look_at(file.fd);
        let is_unwritten = now.as_ref().is_ok_and(|now| file.is_unwritten(now));
        let Some(slot) = self.slots.get_mut(name).filter(|slot| is_known(slot)) else {
            return is_unwritten;
        };
        if now.is_ok_and(|now| file.is_same(&now)) {
            slot.content = Some(content.clone());
        } else if let Some(slot) = self.slots.remove(name) {
            self.let_go(reactor, slot);
        }
        is_unwritten
    }

    /// Forgets what was not asked for longest, of a few that come first in the table's order, which
    /// is a random one.
    fn evict<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        let few = self.slots.iter().take(EVICT_SAMPLE);
        let oldest = few.min_by_key(|(_, slot)| slot.used);
        if let Some(name) = oldest.map(|(name, _)| name.clone())
            && let Some(slot) = self.slots.remove(&name)
        {
            self.let_go(reactor, slot);
        }
    }

    /// Descriptors are short: forgets some files.
    pub(super) fn shed<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        for _ in 0..SHED {
            self.evict(reactor);
        }
        self.close_unused(reactor);
    }

    fn let_go<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, slot: Slot) {
        self.leaving.extend(slot.found);
        self.close_unused(reactor);
    }

    fn close_unused<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if self.leaving.is_empty() {
            return;
        }
        for file in std::mem::take(&mut self.leaving) {
            match Rc::try_unwrap(file) {
                Ok(file) => reactor.driver().close(file.fd),
                Err(used) => self.leaving.push(used),
            }
        }
    }

    /// Closes so many of those that are known, and those that are no longer being sent. Returns how
    /// many were known.
    fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, most: usize) -> usize {
        let count = self.slots.len().min(most);
        if count == self.slots.len() {
            self.leaving.extend(self.slots.drain().filter_map(|(_, slot)| slot.found.ok()));
        } else {
            let few = self.slots.extract_if(|_, _| true).take(count);
            self.leaving.extend(few.filter_map(|(_, slot)| slot.found.ok()));
        }
        // There may be nothing but files that were still being sent when they were forgotten.
        self.close_unused(reactor);
        count
    }

    /// Whether nothing of it is open.
    fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.leaving.is_empty()
    }
}

impl Slot {
    /// Whether the bytes that would be sent are those that the tag stands for. What is in memory
    /// stays as it was; what is sent from an open file may have been written meanwhile.
    fn is_current<D: Driver>(&self, driver: &mut D, now: Instant) -> bool {
        match &self.found {
            Ok(file) if self.content.is_none() && !file.is_folder => {
                if file.looked.get() == Some(now) {
                    return true;
                }
                let is_same = driver.look_at(file.fd).is_ok_and(|found| file.is_same(&found));
                file.looked.set(is_same.then_some(now));
                is_same
            }
            Ok(_) | Err(_) => true,
        }
    }

    fn found(&self) -> Result<Found, Errno> {
        match &self.found {
            Ok(file) => Ok(Found { file: Rc::clone(file), content: self.content.clone() }),
            Err(errno) => Err(*errno),
        }
    }
}

impl Opened {
    fn new(file: &OpenFile, kind: String) -> Self {
        let info = FileInfo::new(stamp(file));
        let (residency, looked) = (RefCell::default(), Cell::new(None));
        Self { fd: file.fd, info, kind, is_folder: file.is_folder, residency, looked }
    }

    fn is_same(&self, file: &OpenFile) -> bool {
        self.info.stamp == stamp(file) && self.is_folder == file.is_folder
    }

    /// Whether so many bytes from a place on, which are not more than a window, are in memory.
    pub(super) fn is_resident<D: Driver>(
        &self,
        driver: &mut D,
        now: Instant,
        (start, len): (u64, usize),
    ) -> bool {
        let ask = |start, len| driver.residence(self.fd, start, len);
        self.residency.borrow_mut().covers(now, (start, len, self.info.len), ask)
    }

    /// Whether it was found to be as it was opened in this turn.
    pub(super) fn was_looked_at(&self, now: Instant) -> bool {
        self.looked.get() == Some(now)
    }

    /// Whether the open file was not written since. Its name may be another file's by now, which
    /// changes its `ctime`.
    pub(super) fn is_unwritten(&self, now: &OpenFile) -> bool {
        let Stamp { len, modified, .. } = self.info.stamp;
        (len, modified) == (now.len, now.modified)
    }
}

const fn stamp(file: &OpenFile) -> Stamp {
    let OpenFile { len, modified, changed, inode, .. } = *file;
    Stamp { len, modified, changed, inode }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::sim::{Faults, Sim};
    use crate::service::http::files::FileRules;

    fn folder(lease: Lease) -> FilesOptions {
        let root = std::fs::File::open("/").unwrap();
        FilesOptions {
            root: Arc::new(Folder::new(root.into())),
            rules: FileRules {
                dot_files: false,
                cache_control: None,
                cache_control_by: Vec::new(),
                precompressed: Vec::new(),
            },
            below: None,
            index: Vec::new(),
            attempts: Vec::new(),
            types: Arc::default(),
            listing: false,
            follow_symlinks: false,
            rewrite: None,
            cache_entries: 2,
            cache_ttl: Duration::ZERO,
            small_max: 0,
            error_pages: Vec::new(),
            cache: lease,
        }
    }

    #[test]
    fn the_number_of_a_folder_is_taken_while_something_of_it_is_kept() {
        let lease = Lease::new(3);
        let watch = lease.watch();
        let files = folder(lease);
        let sim = Sim::new(1, Faults::NONE, 8, 256);
        let mut reactor = Reactor::<Sim, ()>::new(sim, Arc::default());
        let mut caches = FileCaches::new(i32::MAX);
        caches.of(&files);
        caches.keep(&mut reactor, &[]);
        // A request that began by the plan before.
        caches.of(&files);
        drop(files);
        assert!(Lease::renew(&watch).is_some(), "no other folder gets the number");
        caches.keep(&mut reactor, &[]);
        assert!(Lease::renew(&watch).is_none());
    }

    #[test]
    fn files_of_a_folder_that_goes_are_closed_a_few_at_a_time_and_not_while_they_are_sent() {
        let mut sim = Sim::new(1, Faults::NONE, 8, 256);
        (0..200).for_each(|number| sim.put_file(&format!("f{number}"), b"abc"));
        let mut reactor = Reactor::<Sim, ()>::new(sim, Arc::default());
        let mut caches = FileCaches::new(i32::MAX);
        let files = FilesOptions { cache_entries: 500, ..folder(Lease::new(0)) };
        let mut open = |number| caches.of(&files).open(&mut reactor, &format!("f{number}"));
        let sent = open(7).unwrap();
        (0..200).for_each(|number| assert!(open(number).is_ok()));
        assert_eq!(reactor.driver().open(), 200);
        for left in [136, 72, 8, 1, 1] {
            caches.keep(&mut reactor, &[]);
            let open = reactor.driver().open();
            assert!(open == left || open == left + 1, "{open} of {left}");
            assert_eq!(caches.has_closable(), left > 1);
        }
        assert!(caches.has_leaving());
        drop(sent);
        caches.close_leaving(&mut reactor);
        assert_eq!((caches.has_leaving(), reactor.driver().open()), (false, 0));
    }
}
