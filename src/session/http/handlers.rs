//! The program's handlers of HTTP requests, as one worker has them.

mod sockets;

use std::sync::{Arc, Mutex, PoisonError};

use self::sockets::Sockets;
use crate::handler::{
    HandlerExchange, Host, HttpHandler, HttpHandlers, HttpRequest, Panicked, SpareExchange, Work,
    contain,
};
use crate::mem::Key;
use crate::proto::http::Fields;
use crate::runtime::Task;
use crate::service::grpc::{self, Code};
use crate::session::offloaded::Finished;
use crate::session::options::SessionOptions;
use crate::session::stats::ErrorKind;
use crate::session::workers::{WorkerMessage, Workers};

/// The handlers of a worker: each is made when its first request comes.
pub(super) struct Handlers {
    factories: HttpHandlers,
    /// By their places.
    made: Vec<Option<Box<dyn HttpHandler>>>,
    /// Those of WebSockets.
    sockets: Sockets,
    worker: Arc<ThisWorker>,
    /// Memory of exchanges that are over.
    spare: Vec<SpareExchange>,
    /// What comes behind the messages of a call that went well.
    call_ok: Fields,
}

/// Exchanges of which the memory is kept.
const SPARE_MAX: usize = 256;

/// How handlers reach their worker.
struct ThisWorker {
    workers: Arc<Workers>,
    number: usize,
    /// Requests that the worker is to look at. It is told of the first of them: so it is woken once
    /// for all that is said until it looks.
    answered: Mutex<Vec<Key>>,
}

impl Handlers {
    pub(super) fn new(options: &SessionOptions) -> Self {
        Self {
            factories: options.http_handlers.clone(),
            made: Vec::new(),
            sockets: Sockets::new(options.websocket_handlers.clone()),
            spare: Vec::new(),
            call_ok: call_ok(),
            worker: Arc::new(ThisWorker {
                workers: Arc::clone(&options.workers),
                number: options.worker,
                answered: Mutex::default(),
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
                let spare = self.spare.pop();
                HandlerExchange::begin(handler, request, (host, key, limit), spare)
            });
        begun.inspect_err(|panicked| self.failed(place, panicked))
    }

    /// The requests of which programs have said more since this was asked last.
    pub(super) fn take_answered(&self) -> Vec<Key> {
        self.worker.take_answered()
    }

    /// An exchange is over.
    pub(super) fn recycle(&mut self, exchange: HandlerExchange) {
        let spare = exchange.recycle().filter(|_| self.spare.len() < SPARE_MAX);
        self.spare.extend(spare);
    }

    /// What comes behind the messages of a call that went well. It is to be given back.
    pub(super) fn take_call_ok(&mut self) -> Fields {
        std::mem::take(&mut self.call_ok)
    }

    pub(super) fn give_call_ok(&mut self, fields: Fields) {
        self.call_ok = fields;
    }

    /// The handler at a place has panicked. It is made again for the next request, as what a panic
    /// leaves half done is not to be trusted.
    pub(super) fn failed(&mut self, place: usize, Panicked(text): &Panicked) {
        let half_done = self.made.get_mut(place).and_then(Option::take);
        let _panicked = contain(|| drop(half_done));
        self.note_panic(text, "request");
    }

    fn note_panic(&self, text: &str, at: &str) {
        let worker = self.worker.number;
        self.worker.workers.cells()[worker].stats.error(ErrorKind::Handler);
        tracing::error!(worker, "the program's handler panicked at a {at}: {text}");
    }
}

fn call_ok() -> Fields {
    let mut fields = Fields::default();
    grpc::write_status(Code::Ok, "", &mut fields);
    fields
}

impl ThisWorker {
    fn take_answered(&self) -> Vec<Key> {
        std::mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host for ThisWorker {
    fn wake(&self, request: Key) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.push(request);
        let is_told = answered.len() > 1;
        drop(answered);
        if is_told {
            return;
        }
        let note = WorkerMessage::Finished { request, finished: Finished::Answered };
        if !self.workers.send(self.number, note) {
            // A worker that has ended has no use for it.
            self.take_answered();
        }
    }

    fn run(&self, work: Work) -> Result<(), Work> {
        let contained = move || {
            // The answer that it has is dropped, and so the request fails.
            if let Err(Panicked(text)) = contain(work) {
                tracing::error!("a thread of the program's handler panicked: {text}");
            }
        };
        self.workers.offload(Task::Handler, Box::new(contained))
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.factories.fmt(f)
    }
}
