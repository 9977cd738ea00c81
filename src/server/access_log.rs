//! The files that access logs go to: workers hand over whole lines, a thread for each file writes
//! them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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

/// The files of all access logs, each opened once.
#[derive(Debug, Default)]
pub(super) struct AccessFiles {
    targets: Vec<Target>,
    numbers: HashMap<Target, usize>,
}

/// The threads that write, one for each file, so that one that blocks holds up no other.
#[derive(Debug, Clone, Default)]
pub(super) struct Writers {
    sinks: Vec<Sink>,
    lost: LostLines,
}

impl AccessFiles {
    /// The number of a file, which is opened at the start.
    pub(super) fn number(&mut self, target: &Target) -> usize {
        if let Some(number) = self.numbers.get(target) {
            return *number;
        }
        self.targets.push(target.clone());
        self.numbers.insert(target.clone(), self.targets.len() - 1);
        self.targets.len() - 1
    }

    /// Opens the files and starts to write to them.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(super) fn start(self) -> Result<(Vec<LineSink>, Writers), StartError> {
        let (mut sinks, lost) = (Vec::new(), LostLines::default());
        for target in &self.targets {
            let name = match target {
                Target::Stdout => "standard output".to_owned(),
                Target::File(path) => path.display().to_string(),
            };
            let opened = LogFile::open(target);
            let file = opened
                .map_err(|source| StartError::AccessLog { path: name.clone().into(), source })?;
            let sink = Sink::start(&name, file, lost.clone()).map_err(StartError::Thread)?;
            sinks.push(sink);
        }
        let lines = sinks.iter().map(|sink| {
            let sink = sink.clone();
            LineSink::new(move |lines| sink.send(lines))
        });
        Ok((lines.collect(), Writers { sinks, lost }))
    }
}

impl Writers {
    /// Opens the files again, once what was handed over before is written: somebody has moved them
    /// away.
    pub(super) fn reopen(&self) {
        self.sinks.iter().for_each(Sink::reopen);
    }

    /// Waits until all that was handed over is written, as what follows may be the end of the
    /// process. A file that takes nothing is not waited for.
    pub(super) fn finish(&self) {
        for sink in &self.sinks {
            if !sink.finish() {
                tracing::error!(?sink, "an access log is blocked: its last lines may be lost");
            }
        }
    }

    /// Lines whose write failed.
    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
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
        let mut files = AccessFiles::default();
        let target = Target::File(path.clone());
        assert_eq!((files.number(&target), files.number(&target)), (0, 0));
        let (sinks, writers) = files.start().unwrap();
        assert!(sinks[0].send(b"one\n".to_vec()));
        let wait_for = |path: &Path, text: &str| {
            let until = crate::runtime::clock::now() + std::time::Duration::from_secs(10);
            while std::fs::read_to_string(path).unwrap_or_default() != text {
                assert!(crate::runtime::clock::now() < until, "{path:?}");
                std::thread::yield_now();
            }
        };
        wait_for(&path, "one\n");
        std::fs::rename(&path, &moved).unwrap();
        writers.reopen();
        assert!(sinks[0].send(b"two\n".to_vec()));
        wait_for(&path, "two\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        for number in 0..LINES {
            assert!(sinks[0].send(format!("{number}\n").into_bytes()));
        }
        writers.finish();
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 1 + LINES, "all is written when it is finished");
        std::fs::remove_dir_all(&folder).unwrap();
        let mut nowhere = AccessFiles::default();
        nowhere.number(&Target::File(folder.join("none/access.log")));
        assert!(nowhere.start().is_err());
    }
}
