//! Writes lines from a thread of its own, so that a pipe that nobody reads, or a slow disk, blocks
//! neither a worker nor the control plane nor the end of the process. Lines that cannot be taken
//! are dropped and counted.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Bytes of lines that may wait for one sink, with what they cost in memory.
pub(super) const WAITING_MAX: usize = 4 << 20;
/// What an entry of the queue costs beside its bytes, about.
const ENTRY_COST: usize = 64;
/// How long the end of the process waits for a sink.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// How long it waits for a sink that takes nothing.
const STALL_MAX: Duration = Duration::from_millis(500);

/// Lines that were dropped, or whose write failed.
#[derive(Debug, Clone, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts the lines of a text.
    fn count(&self, lines: &[u8]) {
        let ends = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.0.fetch_add(ends.max(1), Ordering::Relaxed);
    }
}

/// What a sink writes to. Its calls may block.
pub(crate) trait Output: Send + 'static {
    /// Writes whole lines.
    ///
    /// # Errors
    /// As `write(2)`.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Opens it again, if it is a file that may have been moved.
    fn reopen(&mut self) {}
}

enum Job {
    Lines(Vec<u8>),
    Reopen,
    /// Says when all before it is done.
    Mark(SyncSender<()>),
}

/// A sink of lines. Its thread ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Sink {
    sender: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    name: Arc<str>,
    lost: LostLines,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.name).finish()
    }
}

impl Sink {
    /// Starts the thread that writes. Lines whose write fails are counted in `lost`.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(crate) fn start(
        name: &str,
        output: impl Output,
        lost: LostLines,
    ) -> Result<Self, io::Error> {
        let (sender, jobs) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let sink = Self { sender, waiting: Arc::clone(&waiting), name: name.into(), lost };
        let (name, lost) = (Arc::clone(&sink.name), sink.lost.clone());
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&name, output, &jobs, &waiting, &lost))?;
        Ok(sink)
    }

    /// Hands over whole lines. False when they are dropped, because too much waits already.
    #[must_use]
    pub(crate) fn send(&self, lines: Vec<u8>) -> bool {
        let cost = lines.len() + ENTRY_COST;
        if self.waiting.fetch_add(cost, Ordering::Relaxed) + cost > WAITING_MAX {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        self.sender.send(Job::Lines(lines)).is_ok()
    }

    /// Hands over whole lines, or drops and counts them.
    pub(crate) fn send_or_count(&self, lines: &[u8]) {
        if !self.send(lines.to_vec()) {
            self.lost.count(lines);
        }
    }

    /// Opens the file again, once what was handed over before is written.
    pub(crate) fn reopen(&self) {
        // Without the thread there is nothing to reopen.
        let _ended = self.sender.send(Job::Reopen);
    }

    /// Waits until all that was handed over is written, or the sink takes nothing. False: some
    /// lines may be lost with the end of the process.
    #[must_use]
    pub(crate) fn finish(&self) -> bool {
        let (done, wait) = sync_channel(1);
        if self.sender.send(Job::Mark(done)).is_err() {
            return false;
        }
        let mut left = FINISH_MAX;
        while !left.is_zero() {
            let before = self.waiting.load(Ordering::Relaxed);
            if wait.recv_timeout(STALL_MAX).is_ok() {
                return true;
            }
            if self.waiting.load(Ordering::Relaxed) == before {
                return false;
            }
            left = left.saturating_sub(STALL_MAX);
        }
        false
    }
}

fn write_all(
    name: &str,
    mut output: impl Output,
    jobs: &Receiver<Job>,
    waiting: &AtomicUsize,
    lost: &LostLines,
) {
    let mut failing = false;
    for job in jobs {
        match job {
            Job::Lines(lines) => {
                let result = output.write(&lines);
                waiting.fetch_sub(lines.len() + ENTRY_COST, Ordering::Relaxed);
                if let Err(error) = &result {
                    lost.count(&lines);
                    if !failing {
                        tracing::error!(log = name, %error, "a log cannot be written");
                    }
                }
                failing = result.is_err();
            }
            Job::Mark(done) => {
                // Best effort: whoever asked may have given up.
                let _gone = done.send(());
            }
            Job::Reopen => output.reopen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    struct Pipe(io::PipeWriter);

    impl Output for Pipe {
        fn write(&mut self, lines: &[u8]) -> io::Result<()> {
            self.0.write_all(lines)
        }
    }

    #[test]
    fn what_a_pipe_that_nobody_reads_cannot_take_is_dropped_and_counted() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lost = LostLines::default();
        let sink = Sink::start("pipe", Pipe(writer), lost.clone()).unwrap();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let sent = 2 * WAITING_MAX / line.len();
        (0..sent).for_each(|_| sink.send_or_count(&line));
        assert!(!sink.finish(), "nothing is taken, so it gives up");
        let dropped = lost.get();
        assert!(dropped > 0 && sink.waiting.load(Ordering::Relaxed) <= WAITING_MAX);
        let drain = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all.len()
        });
        while !sink.finish() {}
        sink.send_or_count(b"after\n");
        assert!(sink.finish());
        assert_eq!(lost.get(), dropped, "what was taken is written");
        drop(sink);
        let expected = (sent - usize::try_from(dropped).unwrap()) * line.len() + 6;
        assert_eq!(drain.join().unwrap(), expected);
    }

    #[test]
    fn lines_whose_write_fails_are_counted() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let lost = LostLines::default();
        let sink = Sink::start("pipe", Pipe(writer), lost.clone()).unwrap();
        sink.send_or_count(b"one\ntwo\n");
        assert!(sink.finish());
        assert_eq!(lost.get(), 2);
    }
}
