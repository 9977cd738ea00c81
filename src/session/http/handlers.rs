//! The program's handlers of HTTP requests, as one worker has them.

use std::sync::Arc;

use crate::handler::{
    HandlerExchange, Host, HttpHandler, HttpHandlers, HttpRequest, Panicked, contain,
};
use crate::mem::Key;
use crate::runtime::Task;
use crate::session::offloaded::Finished;
use crate::session::options::SessionOptions;
use crate::session::stats::ErrorKind;
use crate::session::workers::{WorkerMessage, Workers};

/// The handlers of a worker: each is made when its first request comes.
pub(super) struct Handlers {
    factories: HttpHandlers,
    /// By their places.
    made: Vec<Option<Box<dyn HttpHandler>>>,
    worker: Arc<ThisWorker>,
}

/// How handlers reach their worker.
struct ThisWorker {
    workers: Arc<Workers>,
    number: usize,
}

impl Handlers {
    pub(super) fn new(options: &SessionOptions) -> Self {
        Self {
            factories: options.http_handlers.clone(),
            made: Vec::new(),
            worker: Arc::new(ThisWorker {
                workers: Arc::clone(&options.workers),
                number: options.worker,
            }),
        }
    }

    /// Hands a request to the handler at a place. One that panics is made again.
    pub(super) fn begin(
        &mut self,
        place: usize,
        request: &HttpRequest<'_>,
        key: Key,
        limit: usize,
    ) -> Result<HandlerExchange, Panicked> {
        if place >= self.made.len() {
            self.made.resize_with(place + 1, || None);
        }
        let host = Arc::clone(&self.worker) as Arc<dyn Host>;
        let made = &mut self.made[place];
        let begun = contain(|| made.is_none().then(|| self.factories.make(place)).flatten())
            .and_then(|new| {
                *made = made.take().or(new);
                let missing = || Panicked("there is no such handler".to_owned());
                let handler = made.as_deref_mut().ok_or_else(missing)?;
                HandlerExchange::begin(handler, request, (host, key, limit))
            });
        begun.inspect_err(|panicked| self.failed(place, panicked))
    }

    /// The handler at a place has panicked. It is made again for the next request, as what a panic
    /// leaves half done is not to be trusted.
    pub(super) fn failed(&mut self, place: usize, Panicked(text): &Panicked) {
        let half_done = self.made.get_mut(place).and_then(Option::take);
        let _panicked = contain(|| drop(half_done));
        let worker = self.worker.number;
        self.worker.workers.cells()[worker].stats.error(ErrorKind::Handler);
        tracing::error!(worker, "the program's handler panicked at a request: {text}");
    }
}

impl Host for ThisWorker {
    fn wake(&self, request: Key) {
        let note = WorkerMessage::Finished { request, finished: Finished::Answered };
        // A worker that has ended has no use for it.
        let _ended = self.workers.send(self.number, note);
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> bool {
        let contained = move || {
            // The answer that it has is dropped, and so the request fails.
            if let Err(Panicked(text)) = contain(work) {
                tracing::error!("a thread of the program's handler panicked: {text}");
            }
        };
        self.workers.offload(Task::Handler, Box::new(contained)).is_ok()
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.factories.fmt(f)
    }
}
