//! Files that are read again when they change, while the server runs.

use std::collections::HashSet;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::interval;

/// How often files are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Files that are used together, and how to load them again.
pub(super) struct Watched {
    /// Whose they are, such as `listener https`.
    pub(super) owner: String,
    /// What they are.
    pub(super) what: &'static str,
    pub(super) files: Files,
    /// Reads the files and uses them. After an error, nothing is changed.
    pub(super) reload: Box<dyn Fn() -> Result<(), String> + Send>,
    pub(super) counts: Arc<Counts>,
    /// How the files were when they could not be used, and looks since.
    failed: Option<(Vec<Option<State>>, u32)>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({} of {})", self.what, self.owner)
    }
}

/// How often files were read again.
#[derive(Debug, Default)]
pub(super) struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Successful reloads, then failed ones.
    pub(super) fn read(&self) -> [u64; 2] {
        [&self.done, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Files and folders, and how they were at the last look. The first look is before they are read,
/// so that no change is missed.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    states: Vec<Option<State>>,
}

/// Looks between two tries to read files that could not be used: a minute.
const RETRY_LOOKS: u32 = 12;

/// When a file was last changed, its length, and which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    changed: (i64, i64),
    len: u64,
    inode: (u64, u64),
}

impl State {
    /// None for a file that cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        // A pipe would be waited for. A folder changes with its entries.
        let is_plain = |found: &std::fs::Metadata| found.is_file() || found.is_dir();
        let found = std::fs::metadata(path).ok().filter(is_plain)?;
        Some(Self {
            changed: (found.ctime(), found.ctime_nsec()),
            len: found.len(),
            inode: (found.dev(), found.ino()),
        })
    }
}

impl Files {
    pub(super) fn look<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
        let states = paths.iter().map(|path| State::of(path)).collect();
        Self { paths, states }
    }

    /// Whether they have changed since the last look: once for each change.
    pub(super) fn note_change(&mut self) -> bool {
        match self.changed() {
            Some(states) => {
                self.states = states;
                true
            }
            None => false,
        }
    }

    /// How they are now, if that is not how they were when they were last read.
    fn changed(&self) -> Option<Vec<Option<State>>> {
        let states: Vec<_> = self.paths.iter().map(|path| State::of(path)).collect();
        (states != self.states).then_some(states)
    }
}

impl Watched {
    /// Files of `owner`, which `reload` reads and uses.
    pub(super) fn new(
        owner: String,
        what: &'static str,
        files: Files,
        reload: impl Fn() -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self { owner, what, files, reload: Box::new(reload), counts: Arc::default(), failed: None }
    }

    /// Whether there are any files.
    pub(super) fn is_needed(&self) -> bool {
        !self.files.paths.is_empty()
    }

    /// Reads the files again if they have changed. A file that is being written may be read too
    /// early: then it changes again.
    fn refresh(&mut self) {
        let Some(states) = self.files.changed() else {
            self.failed = None;
            return;
        };
        if let Some((failed, looks)) = &mut self.failed
            && *failed == states
            && *looks < RETRY_LOOKS
        {
            *looks += 1;
            return;
        }
        let Self { owner, what, counts, .. } = self;
        // Reading a pipe, or what takes its place, could take for ever.
        let gone = self.files.paths.iter().zip(&states).find(|(_, state)| state.is_none());
        let read = match gone {
            Some((path, _)) => Err(format!("{} is missing, or no file", path.display())),
            None => (self.reload)(),
        };
        match read {
            Ok(()) => {
                self.files.states = states;
                self.failed = None;
                counts.done.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%owner, files = what, "files were read again");
            }
            Err(error) => {
                // It may be for want of a descriptor: they are read again in a while, changed or
                // not.
                self.failed = Some((states, 0));
                counts.failed.fetch_add(1, Ordering::Relaxed);
                let paths: Vec<_> = self.files.paths.iter().map(|path| path.display()).collect();
                tracing::error!(
                    %owner, files = what, ?paths, %error,
                    "files cannot be used: what was read before stays in use"
                );
            }
        }
    }
}

/// The files that are looked after. Looking may block: only threads that may be blocked take it.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchList(Arc<Mutex<Vec<Watched>>>);

impl WatchList {
    /// These are looked after from now on, and those of before that are `kept`, by owner and kind.
    /// What is new goes on counting what was counted of its owner and kind.
    pub(super) fn replace(&self, new: Vec<Watched>, kept: &HashSet<(String, &'static str)>) {
        let mut all = self.lock();
        let before = std::mem::take(&mut *all);
        for mut one in new {
            let is_same = |other: &&Watched| (&other.owner, other.what) == (&one.owner, one.what);
            if let Some(same) = before.iter().find(is_same) {
                one.counts = Arc::clone(&same.counts);
            }
            all.push(one);
        }
        all.extend(before.into_iter().filter(|one| kept.contains(&(one.owner.clone(), one.what))));
        all.retain(Watched::is_needed);
    }

    /// Reads those again that have changed.
    pub(super) fn refresh(&self) {
        self.lock().iter_mut().for_each(Watched::refresh);
    }

    /// Whose files they are, what they are, and how often they were read again.
    pub(super) fn counts(&self) -> Vec<(String, &'static str, Arc<Counts>)> {
        let all = self.lock();
        all.iter().map(|one| (one.owner.clone(), one.what, Arc::clone(&one.counts))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after all files, until the server ends.
pub(super) async fn watch(all: WatchList) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        // A file system that hangs must not stop the control plane.
        let own = all.clone();
        if tokio::task::spawn_blocking(move || own.refresh()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_again_when_they_change_and_counted() {
        let path = std::env::temp_dir().join(format!("ringway-watch-{}", std::process::id()));
        let _gone = std::fs::remove_file(&path);
        let files = Files::look([&*path]);
        let own = path.clone();
        let reload = move || match std::fs::read_to_string(&own) {
            Ok(text) if text != "bad" => Ok(()),
            Ok(_) | Err(_) => Err("it is bad".to_owned()),
        };
        let mut watched = Watched::new("test".to_owned(), "files", files, reload);
        let mut counts_after = |text: Option<&str>| {
            match text {
                // A new file in the place of the old one, as most tools do.
                Some(text) => {
                    let new = path.with_extension("new");
                    std::fs::write(&new, text).expect("a file");
                    std::fs::rename(&new, &path).expect("a rename");
                }
                None => std::fs::remove_file(&path).expect("a file"),
            }
            watched.refresh();
            watched.refresh();
            watched.counts.read()
        };
        assert_eq!(counts_after(Some("one")), [1, 0]);
        assert_eq!(counts_after(Some("two")), [2, 0]);
        assert_eq!(counts_after(Some("bad")), [2, 1]);
        assert_eq!(counts_after(None), [2, 2]);
        assert_eq!(counts_after(Some("two")), [3, 2]);
        std::fs::remove_file(&path).expect("a file");
    }
}
