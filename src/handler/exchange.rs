//! A request that a handler answers, as its worker has it.

use std::sync::Arc;

use super::answer::Answer;
use super::http::{BodyReceiver, HttpHandler, HttpRequest, Reading};
use super::shared::{Host, Look, Shared, Takes};
use crate::mem::Key;
use crate::proto::http::Fields;
use crate::service::handler::{Panicked, contain};

/// See above. Dropping it lets the program know that the request is over.
pub(crate) struct HandlerExchange {
    shared: Arc<Shared>,
    receiver: Option<Box<dyn BodyReceiver>>,
    is_paused: bool,
    /// Bytes of the answer that waited at the last look.
    queued: usize,
}

impl HandlerExchange {
    /// Hands a request to its handler. Of the answer, `limit` bytes may wait.
    pub(crate) fn begin(
        handler: &mut dyn HttpHandler,
        request: &HttpRequest<'_>,
        (host, key, limit): (Arc<dyn Host>, Key, usize),
        spare: Option<SpareExchange>,
    ) -> Result<Self, Panicked> {
        let shared = match spare {
            Some(SpareExchange(mut shared)) => {
                // Nobody else has it.
                if let Some(own) = Arc::get_mut(&mut shared) {
                    own.renew(host, key, limit);
                    shared
                } else {
                    Arc::new(Shared::new(host, key, limit))
                }
            }
            None => Arc::new(Shared::new(host, key, limit)),
        };
        let answer = Answer::new(Arc::clone(&shared));
        let mut exchange = Self { shared, receiver: None, is_paused: false, queued: 0 };
        exchange.receiver = contain(|| handler.handle(request, answer))?;
        Ok(exchange)
    }

    /// Whether the request's body is wanted.
    pub(crate) const fn takes_body(&self) -> bool {
        self.receiver.is_some() && !self.is_paused
    }

    /// Whether somebody takes the request's body, if perhaps not now.
    pub(crate) const fn has_receiver(&self) -> bool {
        self.receiver.is_some()
    }

    /// A part of the request's body has come.
    pub(crate) fn receive(&mut self, part: &[u8]) -> Result<(), Panicked> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        if part.is_empty() {
            return Ok(());
        }
        self.shared.expect();
        // It may have been resumed by another thread before it had said that it pauses: it is asked
        // to go on then, as after any pause.
        self.is_paused = contain(|| receiver.part(part))? == Reading::Paused;
        Ok(())
    }

    /// All of the request's body has come.
    pub(crate) fn receive_end(&mut self, trailers: Option<&Fields>) -> Result<(), Panicked> {
        self.is_paused = false;
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        self.shared.expect();
        contain(|| receiver.end(trailers))
    }

    /// What the program has said next. After [`Look::Nothing`], the worker is woken when there is
    /// more. Of the answer, `limit` bytes may wait from now on.
    pub(crate) fn look(&mut self, limit: usize, takes: Takes) -> Look {
        let (look, queued) = self.shared.look(limit, takes);
        self.queued = queued;
        look
    }

    /// Goes on with the request's body, if the program has asked for that since it paused: true
    /// when something may have been said.
    pub(crate) fn resume(&mut self) -> Result<bool, Panicked> {
        if !self.is_paused || !self.shared.take_resumed() {
            return Ok(false);
        }
        let Some(receiver) = &mut self.receiver else { return Ok(false) };
        self.shared.expect();
        self.is_paused = contain(|| receiver.resumed())? == Reading::Paused;
        Ok(true)
    }

    /// Somebody was refused a part, and there is room.
    pub(crate) fn give_room(&mut self) -> Result<(), Panicked> {
        let Some(receiver) = &mut self.receiver else { return Ok(()) };
        self.shared.expect();
        contain(|| receiver.room())
    }

    /// What waited of the answer at the last look, and what is held of the request, in bytes of
    /// memory.
    pub(crate) fn cost(&self) -> usize {
        let held = self.receiver.as_ref().map(|receiver| contain(|| receiver.held()).unwrap_or(0));
        self.queued + held.unwrap_or(0)
    }
}

/// The memory of an exchange that is over.
#[derive(Debug)]
pub(crate) struct SpareExchange(Arc<Shared>);

impl HandlerExchange {
    /// The exchange is over: its memory, if the program has nothing of it any more.
    pub(crate) fn recycle(self) -> Option<SpareExchange> {
        let mut shared = Arc::clone(&self.shared);
        drop(self);
        Arc::get_mut(&mut shared).is_some().then_some(SpareExchange(shared))
    }
}

impl Drop for HandlerExchange {
    fn drop(&mut self) {
        self.shared.close();
        let receiver = self.receiver.take();
        if let Err(Panicked(text)) = contain(|| drop(receiver)) {
            tracing::error!("the program's handler panicked as its request ended: {text}");
        }
    }
}

impl std::fmt::Debug for HandlerExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerExchange").field("shared", &self.shared).finish_non_exhaustive()
    }
}
