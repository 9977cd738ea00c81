//! The files that access logs go to: workers hand over whole lines, one thread writes them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::StartError;
use crate::session::LineSink;

/// Blocks of lines that may wait for the disk; beyond it they are lost, and counted.
const WAITING_MAX: usize = 1024;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// Standard output.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
}

enum Job {
    Lines(usize, Vec<u8>),
    Reopen,
    /// Says when all before it is done.
    Mark(SyncSender<()>),
}

/// How long the end of the process waits for the disk.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// The files of all access logs, each opened once.
#[derive(Debug, Default)]
pub(super) struct AccessFiles {
    targets: Vec<Target>,
    numbers: HashMap<Target, usize>,
}

/// The thread that writes. Lines are lost once it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Writer(Arc<Mutex<SyncSender<Job>>>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
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
    /// A file can not be opened.
    pub(super) fn start(self) -> Result<(Vec<LineSink>, Option<Writer>), StartError> {
        if self.targets.is_empty() {
            return Ok((Vec::new(), None));
        }
        let mut outputs = Vec::new();
        for target in &self.targets {
            outputs.push(Output::open(target)?);
        }
        let (sender, jobs) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(outputs, &jobs))
            .map_err(StartError::Thread)?;
        let sinks = (0..self.targets.len()).map(|number| {
            let sender = sender.clone();
            LineSink::new(move |lines| sender.try_send(Job::Lines(number, lines)).is_ok())
        });
        Ok((sinks.collect(), Some(Writer(Arc::new(Mutex::new(sender.clone()))))))
    }
}

impl Writer {
    /// Opens the files anew, once what was handed over before is written: somebody has moved them
    /// away.
    pub(super) fn reopen(&self) {
        if let Ok(sender) = self.0.lock() {
            // Without the thread there is nothing to reopen.
            let _ended = sender.send(Job::Reopen);
        }
    }

    /// Waits until all that was handed over is written, as what follows may be the end of the
    /// process.
    pub(super) fn finish(&self) {
        let (done, wait) = sync_channel(1);
        let sent = self.0.lock().is_ok_and(|sender| sender.send(Job::Mark(done)).is_ok());
        if sent && wait.recv_timeout(FINISH_MAX).is_err() {
            tracing::error!("the disk is too slow: the last lines of access logs may be lost");
        }
    }
}

#[derive(Debug)]
struct Output {
    target: Target,
    file: Option<File>,
}

impl Output {
    fn open(target: &Target) -> Result<Self, StartError> {
        let file = match target {
            Target::Stdout => None,
            Target::File(path) => Some(
                open(path)
                    .map_err(|source| StartError::AccessLog { path: path.clone(), source })?,
            ),
        };
        Ok(Self { target: target.clone(), file })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(lines),
            None => io::stdout().lock().write_all(lines),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write_all(mut outputs: Vec<Output>, jobs: &Receiver<Job>) {
    let mut failing = false;
    for job in jobs {
        match job {
            Job::Lines(number, lines) => {
                let Some(output) = outputs.get_mut(number) else { continue };
                match output.write(&lines) {
                    Ok(()) => failing = false,
                    Err(error) if !failing => {
                        failing = true;
                        let target = &output.target;
                        tracing::error!(?target, %error, "the access log can not be written");
                    }
                    Err(_told_already) => {}
                }
            }
            Job::Mark(done) => {
                // Who has waited for it too long does so no more.
                let _gone = done.send(());
            }
            Job::Reopen => {
                for output in &mut outputs {
                    let Target::File(path) = &output.target else { continue };
                    match open(path) {
                        Ok(file) => output.file = Some(file),
                        Err(error) => {
                            tracing::error!(?path, %error, "the access log can not be reopened");
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_order_and_go_to_a_new_file_after_it_was_moved() {
        let folder = std::env::temp_dir().join(format!("ringway-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, moved) = (folder.join("access.log"), folder.join("access.log.1"));
        let mut files = AccessFiles::default();
        let target = Target::File(path.clone());
        assert_eq!((files.number(&target), files.number(&target)), (0, 0));
        let (sinks, writer) = files.start().unwrap();
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
        writer.as_ref().unwrap().reopen();
        assert!(sinks[0].send(b"two\n".to_vec()));
        wait_for(&path, "two\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        for number in 0..WAITING_MAX {
            assert!(sinks[0].send(format!("{number}\n").into_bytes()));
        }
        writer.as_ref().unwrap().finish();
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 1 + WAITING_MAX, "all is written when it is finished");
        std::fs::remove_dir_all(&folder).unwrap();
        let mut nowhere = AccessFiles::default();
        nowhere.number(&Target::File(folder.join("none/access.log")));
        assert!(nowhere.start().is_err());
    }
}
