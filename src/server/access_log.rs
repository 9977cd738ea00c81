//! The files that access logs go to: workers hand over whole lines, a thread for each file writes
//! them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::StartError;
use super::sink::{LostLines, Output, Sink};
use crate::session::LineSink;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// Standard output.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
}

/// The files of all access logs, each opened once, and the threads that write to them: one for each
/// file, so that one that blocks holds up no other.
#[derive(Debug, Clone, Default)]
pub(super) struct AccessFiles {
    open: Arc<Mutex<Vec<OpenLog>>>,
    lost: LostLines,
}

#[derive(Debug)]
struct OpenLog {
    target: Target,
    lines: LineSink,
    sink: Sink,
}

impl AccessFiles {
    /// Where the lines for a file go. It is opened now, if it is not open.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn lines(&self, target: &Target) -> Result<LineSink, StartError> {
        let mut open = self.lock();
        if let Some(known) = open.iter().find(|one| one.target == *target) {
            return Ok(known.lines.clone());
        }
        let name = match target {
            Target::Stdout => "standard output".to_owned(),
            Target::File(path) => path.display().to_string(),
        };
        let opened = LogFile::open(target);
        let file =
            opened.map_err(|source| StartError::AccessLog { path: name.clone().into(), source })?;
        let sink = Sink::start(&name, file, self.lost.clone()).map_err(StartError::Thread)?;
        let own = sink.clone();
        let lines = LineSink::new(move |lines| own.send(lines));
        open.push(OpenLog { target: target.clone(), lines: lines.clone(), sink });
        Ok(lines)
    }

    /// Closes the files that no plan and no worker has any more, once their lines are written.
    pub(super) fn close_unused(&self) {
        self.lock().retain(|one| !one.lines.is_unused());
    }

    /// Opens the files again, once what was handed over before is written: somebody has moved them
    /// away.
    pub(super) fn reopen(&self) {
        self.lock().iter().for_each(|one| one.sink.reopen());
    }

    /// Waits until all that was handed over is written, as what follows may be the end of the
    /// process. A file that takes nothing is not waited for.
    pub(super) fn finish(&self) {
        for OpenLog { sink, .. } in self.lock().iter() {
            if !sink.finish() {
                tracing::error!(?sink, "an access log is blocked: its last lines may be lost");
            }
        }
    }

    /// Lines whose write failed.
    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OpenLog>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct LogFile {
    target: Target,
    file: File,
}

impl LogFile {
    fn open(target: &Target) -> io::Result<Self> {
        let file = match target {
            // A descriptor of its own: a write that blocks must not hold the lock of the library.
            Target::Stdout => io::stdout().as_fd().try_clone_to_owned()?.into(),
            Target::File(path) => open(path)?,
        };
        Ok(Self { target: target.clone(), file })
    }
}

impl Output for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    fn reopen(&mut self) {
        let Target::File(path) = &self.target else { return };
        match open(path) {
            Ok(file) => self.file = file,
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "the access log cannot be reopened");
            }
        }
    }
}

/// Opens a log to append to it. A named pipe that nobody reads is an error, and not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path).map_err(|error| {
        if error.raw_os_error() == Some(Errno::ENXIO as i32) {
            io::Error::other("it is a pipe that nobody reads: start its reader first")
        } else {
            error
        }
    })?;
    // Only opening must not wait: writes have a thread of their own.
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More lines than a pipe would hold.
    const LINES: usize = 1024;

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let folder = std::env::temp_dir().join(format!("ringway-pipe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("nobody reads"), "{error}");
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        open(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn lines_are_written_in_order_and_go_to_a_new_file_after_it_was_moved() {
        let folder = std::env::temp_dir().join(format!("ringway-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, moved) = (folder.join("access.log"), folder.join("access.log.1"));
        let files = AccessFiles::default();
        let target = Target::File(path.clone());
        let lines = files.lines(&target).unwrap();
        assert!(lines.is(&files.lines(&target).unwrap()));
        assert!(lines.send(b"one\n".to_vec()));
        let wait_for = |path: &Path, text: &str| {
            let until = crate::runtime::clock::now() + std::time::Duration::from_secs(10);
            while std::fs::read_to_string(path).unwrap_or_default() != text {
                assert!(crate::runtime::clock::now() < until, "{path:?}");
                std::thread::yield_now();
            }
        };
        wait_for(&path, "one\n");
        std::fs::rename(&path, &moved).unwrap();
        files.reopen();
        assert!(lines.send(b"two\n".to_vec()));
        wait_for(&path, "two\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        for number in 0..LINES {
            assert!(lines.send(format!("{number}\n").into_bytes()));
        }
        files.close_unused();
        files.finish();
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written.lines().count(), 1 + LINES, "all is written when it is finished");
        std::fs::remove_dir_all(&folder).unwrap();
        drop(lines);
        files.close_unused();
        assert!(files.lock().is_empty(), "nobody has it any more");
        assert!(files.lines(&Target::File(folder.join("none/access.log"))).is_err());
    }
}
