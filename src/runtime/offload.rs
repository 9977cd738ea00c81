//! Work that takes too long for a loop: done by threads that may take their time.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

/// Work of a kind that waits at most; beyond it, work is refused, so that it cannot pile up.
const WAITING_MAX: usize = 1024;

/// A piece of work. It tells by itself whom its result is for.
pub type Work = Box<dyn FnOnce() + Send>;

/// What work is for. Each kind has a queue and threads of its own, so that none waits for another:
/// anybody can send passwords, and hashes are slow on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A password is checked.
    Password,
    /// A folder is read.
    Listing,
    /// A part of an answer is compressed.
    Compression,
    /// A handler of the program does what takes its time.
    Handler,
}

impl Task {
    const ALL: [Self; 4] = [Self::Password, Self::Listing, Self::Compression, Self::Handler];

    const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Listing => "listing",
            Self::Compression => "compress",
            Self::Handler => "handler",
        }
    }
}

/// Threads that work off what loops hand to them. They end with the last handle.
#[derive(Debug, Clone)]
pub struct Offload {
    /// In the order of [`Task::ALL`].
    queues: [SyncSender<Work>; Task::ALL.len()],
}

impl Offload {
    /// So many threads for each kind of work, and for that of handlers.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(threads: usize, handlers: usize) -> std::io::Result<Self> {
        let start = |task: Task| {
            let (queue, work) = sync_channel(WAITING_MAX);
            let work = Arc::new(Mutex::new(work));
            let threads = if task == Task::Handler { handlers } else { threads };
            for number in 0..threads {
                let work = Arc::clone(&work);
                let name = format!("{}-{number}", task.name());
                std::thread::Builder::new().name(name).spawn(move || run(&work))?;
            }
            Ok::<_, std::io::Error>(queue)
        };
        let [password, listing, compression, handler] = Task::ALL.map(start);
        Ok(Self { queues: [password?, listing?, compression?, handler?] })
    }

    /// Hands over a piece of work.
    ///
    /// # Errors
    /// The work, when too much of its kind waits.
    pub fn submit(&self, task: Task, work: Work) -> Result<(), Work> {
        self.queues[task as usize].try_send(work).map_err(|refused| match refused {
            TrySendError::Full(work) | TrySendError::Disconnected(work) => work,
        })
    }
}

fn run(queue: &Mutex<Receiver<Work>>) {
    loop {
        let next = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_poisoned) => return,
        };
        match next {
            Ok(work) => work(),
            Err(_no_more) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_and_too_much_of_it_is_refused() {
        let offload = Offload::new(1, 1).unwrap();
        let (block, blocked) = sync_channel::<()>(0);
        let (done, finished) = sync_channel(WAITING_MAX * 2);
        let wait = Box::new(move || {
            let _released = blocked.recv();
        });
        assert!(offload.submit(Task::Password, wait).is_ok());
        let mut taken = 0;
        let mut refused = false;
        for _ in 0..WAITING_MAX + 2 {
            let done = done.clone();
            let work = Box::new(move || {
                let _received = done.send(());
            });
            if offload.submit(Task::Password, work).is_ok() { taken += 1 } else { refused = true }
        }
        assert!(refused);
        // Other work does not wait behind that.
        for task in [Task::Listing, Task::Compression, Task::Handler] {
            let (told, tells) = sync_channel(1);
            assert!(offload.submit(task, Box::new(move || told.send(()).unwrap())).is_ok());
            tells.recv().unwrap();
        }
        drop(block);
        drop(done);
        assert_eq!(finished.iter().count(), taken);
    }
}
