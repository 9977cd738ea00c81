//! Reading files: what is in memory at once, the rest by threads that may wait for a disk.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::ring::kernel::errno_of;
use crate::ring::{Fd, Token, kernel};

/// Threads of one driver.
const THREADS: usize = 2;

/// A read, and its own descriptor of the file: the caller may close the other one.
struct Request {
    token: Token,
    file: File,
    offset: u64,
    most: usize,
}

/// What a read has brought: no bytes are the end of the file.
pub(super) type Answer = (Token, Result<Vec<u8>, Errno>);

/// What the threads have read.
struct Answers {
    list: Mutex<Vec<Answer>>,
    wake: EventFd,
}

/// The threads, which begin with the first read that has to wait, and end with this value.
pub(super) struct FileReader {
    answers: Arc<Answers>,
    requests: Option<Sender<Request>>,
    /// Reads under way.
    reading: Vec<Token>,
}

impl FileReader {
    /// No thread yet.
    ///
    /// # Errors
    /// As `eventfd(2)`.
    pub(super) fn new() -> Result<Self, Errno> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_value_and_flags(0, flags)?;
        let answers = Arc::new(Answers { list: Mutex::new(Vec::new()), wake });
        Ok(Self { answers, requests: None, reading: Vec::new() })
    }

    /// What becomes readable when a read has ended.
    pub(super) fn fd(&self) -> Fd {
        Fd(self.answers.wake.as_raw_fd())
    }

    /// Reads under way.
    pub(super) fn len(&self) -> usize {
        self.reading.len()
    }

    /// Whether this read is under way: it cannot be stopped.
    pub(super) fn is_reading(&self, token: Token) -> bool {
        self.reading.contains(&token)
    }

    /// Hands a read to the threads.
    ///
    /// # Errors
    /// As `fcntl(2)` with `F_DUPFD_CLOEXEC`; `EAGAIN` when no thread can be started.
    pub(super) fn start(
        &mut self,
        token: Token,
        file: Fd,
        offset: u64,
        most: usize,
    ) -> Result<(), Errno> {
        let file = File::from(kernel::duplicate(file)?);
        let requests = match &self.requests {
            Some(requests) => requests,
            None => self.requests.insert(start_threads(&self.answers)?),
        };
        let request = Request { token, file, offset, most };
        requests.send(request).map_err(|_ended| Errno::EAGAIN)?;
        self.reading.push(token);
        Ok(())
    }

    /// What has been read since the last call.
    pub(super) fn take(&mut self) -> Vec<Answer> {
        // An error is EAGAIN: nothing was told since the last time.
        let _count = self.answers.wake.read();
        let mut list = self.answers.list.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = std::mem::take(&mut *list);
        self.reading.retain(|token| !answers.iter().any(|(ended, _)| ended == token));
        answers
    }
}

fn start_threads(answers: &Arc<Answers>) -> Result<Sender<Request>, Errno> {
    let (requests, queue) = channel();
    let queue = Arc::new(Mutex::new(queue));
    for number in 0..THREADS {
        let (queue, answers) = (Arc::clone(&queue), Arc::clone(answers));
        let thread = std::thread::Builder::new().name(format!("read-{number}"));
        thread.spawn(move || run(&queue, &answers)).map_err(|error| errno_of(&error))?;
    }
    Ok(requests)
}

/// A thread, until there are no more requests.
fn run(queue: &Mutex<Receiver<Request>>, answers: &Answers) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Request { token, file, offset, most }) = next else { return };
        let mut bytes = vec![0; most];
        let read = file.read_at(&mut bytes, offset).map_err(|error| errno_of(&error));
        let read = read.map(|len| {
            bytes.truncate(len);
            bytes
        });
        answers.list.lock().unwrap_or_else(PoisonError::into_inner).push((token, read));
        // EAGAIN: so much was told that the loop is awake already.
        let _told = answers.wake.write(1);
    }
}
