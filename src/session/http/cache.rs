//! Files that are kept open, and the small ones among them in memory.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::options::FilesOptions;
use crate::mem::Buf;
use crate::ring::{Driver, Fd, OpenFile};
use crate::runtime::Reactor;
use crate::service::http::files::types::ContentTypes;
use crate::service::http::files::{FileInfo, Stamp};

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
}

/// What is known of a name.
#[derive(Debug)]
struct Slot {
    found: Result<Rc<Opened>, Errno>,
    content: Option<Buf>,
    /// When it was last looked at on the disk.
    checked: Instant,
    /// When it was last asked for, counted in requests.
    used: u64,
}

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
    root: Fd,
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
        for (number, slot) in self.caches.iter_mut().enumerate() {
            if !folders.contains(&number)
                && let Some(mut cache) = slot.take()
            {
                cache.close(reactor);
                self.leaving.push(cache);
            }
        }
        self.close_leaving(reactor);
    }

    /// Closes all, at the end.
    pub(super) fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        self.caches.iter_mut().flatten().for_each(|cache| cache.close(reactor));
        self.close_leaving(reactor);
    }

    /// Closes what is no longer being sent of folders that no route has.
    pub(super) fn close_leaving<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        self.leaving.retain_mut(|cache| {
            cache.close(reactor);
            !cache.leaving.is_empty()
        });
    }

    /// Whether files of such folders are still being sent.
    pub(super) const fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
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
            root: options.root.fd(),
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
            if is_fresh && slot.is_current(reactor.driver()) {
                return slot.found();
            }
        }
        let mut opened = reactor.driver().open_below(self.root, name, self.follow);
        if let Err(Errno::EMFILE | Errno::ENFILE) = opened {
            self.shed(reactor);
            opened = reactor.driver().open_below(self.root, name, self.follow);
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

    /// Closes all, at the end.
    pub(super) fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        let slots = std::mem::take(&mut self.slots);
        slots.into_values().for_each(|slot| self.let_go(reactor, slot));
        // There may be nothing but files that were still being sent when they were forgotten.
        self.close_unused(reactor);
    }
}

impl Slot {
    /// Whether the bytes that would be sent are those that the tag stands for. What is in memory
    /// stays as it was; what is sent from an open file may have been written meanwhile.
    fn is_current<D: Driver>(&self, driver: &mut D) -> bool {
        match &self.found {
            Ok(file) if self.content.is_none() && !file.is_folder => {
                driver.look_at(file.fd).is_ok_and(|now| file.is_same(&now))
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
        Self { fd: file.fd, info, kind, is_folder: file.is_folder }
    }

    fn is_same(&self, file: &OpenFile) -> bool {
        self.info.stamp == stamp(file) && self.is_folder == file.is_folder
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
