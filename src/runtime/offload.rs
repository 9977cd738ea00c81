//! Work that takes too long for a loop: done by threads that may take their time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

/// Work that waits at most; beyond it, work is refused, so that it can not pile up.
const WAITING_MAX: usize = 1024;

/// A piece of work. It tells by itself whom its result is for.
pub type Work = Box<dyn FnOnce() + Send>;

/// Threads that work off what loops hand to them. They end with the last handle.
#[derive(Debug, Clone)]
pub struct Offload {
    queue: SyncSender<Work>,
}

impl Offload {
    /// So many threads.
    ///
    /// # Errors
    /// When a thread can not be started.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let (queue, work) = sync_channel(WAITING_MAX);
        let work = Arc::new(Mutex::new(work));
        for number in 0..threads {
            let work = Arc::clone(&work);
            let name = format!("helper-{number}");
            std::thread::Builder::new().name(name).spawn(move || run(&work))?;
        }
        Ok(Self { queue })
    }

    /// Hands over a piece of work; false when too much waits.
    #[must_use]
    pub fn submit(&self, work: Work) -> bool {
        self.queue.try_send(work).is_ok()
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
        let offload = Offload::new(1).unwrap();
        let (block, blocked) = sync_channel::<()>(0);
        let (done, finished) = sync_channel(WAITING_MAX * 2);
        assert!(offload.submit(Box::new(move || {
            let _released = blocked.recv();
        })));
        let mut taken = 0;
        let mut refused = false;
        for _ in 0..WAITING_MAX + 2 {
            let done = done.clone();
            let work = Box::new(move || {
                let _received = done.send(());
            });
            if offload.submit(work) { taken += 1 } else { refused = true }
        }
        assert!(refused);
        drop(block);
        drop(done);
        assert_eq!(finished.iter().count(), taken);
    }
}
