//! What listeners and routes use of the system: folders, and where lines of access logs go.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::ring::Fd;

/// Where the lines of an access log go. Taking them never waits.
#[derive(Clone)]
pub struct LineSink(Arc<TakeLines>);

type TakeLines = dyn Fn(Vec<u8>) -> bool + Send + Sync;

impl LineSink {
    /// A sink that gives whole lines to `take`, which says whether they will be written.
    pub fn new(take: impl Fn(Vec<u8>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Whether it is the same as another one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nothing has it but the caller.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Hands over whole lines; false when they are lost.
    #[must_use]
    pub fn send(&self, lines: Vec<u8>) -> bool {
        (self.0)(lines)
    }
}

impl std::fmt::Debug for LineSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LineSink")
    }
}

/// A folder that files are served from; closed with its last use.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// An open folder.
    #[must_use]
    pub const fn new(folder: OwnedFd) -> Self {
        Self(folder)
    }

    /// Opens a folder below it to be read; the folder itself for an empty name. May wait for a
    /// disk.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_folder(&self, name: &str, follow: bool) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let links = if follow {
            ResolveFlag::RESOLVE_NO_MAGICLINKS
        } else {
            ResolveFlag::RESOLVE_NO_SYMLINKS
        };
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | links);
        openat2(&self.0, if name.is_empty() { "." } else { name }, how)
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> Fd {
        Fd(self.0.as_raw_fd())
    }
}
