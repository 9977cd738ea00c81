//! The service that `handler = "demo"` answers with: see `docs/proto/ringway/v1/stream.proto`.

use std::collections::VecDeque;

use super::HealthReporter;
use super::generated::DESCRIPTORS;
use super::generated::stream::{Request, Response};
use super::inbound::MessageReceiver;
use super::outbound::{SendError, Sink};
use super::service::{Methods, Service, Services};
use super::status::Status;
use crate::handler::Reading;

/// What `handler = "demo"` answers: the demonstration service, health checks and reflection.
pub(crate) fn demo() -> Services {
    Services::new().with(Demo).with_health(&HealthReporter::new()).with_reflection()
}

/// Gives messages back as they come.
struct Demo;

impl Service for Demo {
    const NAME: &'static str = "ringway.v1.Stream";
    const DESCRIPTORS: &'static [u8] = DESCRIPTORS;

    fn methods(methods: &mut Methods<Self>) {
        methods.bidirectional("StreamData", |_, _, sink| {
            Box::new(Echo { sink: Some(sink), waiting: VecDeque::new(), has_ended: false })
        });
    }
}

struct Echo {
    /// `None`: the call is over.
    sink: Option<Sink<Response>>,
    /// What the client has not taken.
    waiting: VecDeque<Response>,
    has_ended: bool,
}

impl Echo {
    /// Sends what there is room for.
    fn proceed(&mut self) -> Reading {
        let Some(sink) = &mut self.sink else { return Reading::On };
        while let Some(next) = self.waiting.front() {
            match sink.send(next) {
                Ok(()) => self.waiting.pop_front(),
                Err(SendError::Full) => return Reading::Paused,
                Err(SendError::Gone | SendError::TooLarge) => {
                    self.sink = None;
                    return Reading::On;
                }
            };
        }
        if self.has_ended
            && let Some(sink) = self.sink.take()
        {
            sink.finish(Status::ok());
        }
        Reading::On
    }
}

impl MessageReceiver<Request> for Echo {
    fn message(&mut self, Request { sequence, data }: Request) -> Reading {
        self.waiting.push_back(Response { sequence, data });
        self.proceed()
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.proceed();
    }

    fn room(&mut self) {
        if self.proceed() == Reading::On
            && let Some(sink) = &self.sink
        {
            sink.resume();
        }
    }
}
