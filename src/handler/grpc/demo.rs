//! The service that `handler = "demo"` answers with: see `docs/proto/ringway/v1/stream.proto`.

use super::HealthReporter;
use super::generated::DESCRIPTORS;
use super::generated::stream::{Request, Response};
use super::inbound::MessageReceiver;
use super::queue::SendQueue;
use super::service::{Methods, Service, Services};
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
        methods.bidirectional("StreamData", |_, _, sink| Box::new(Echo(SendQueue::new(sink))));
    }
}

struct Echo(SendQueue<Response>);

impl MessageReceiver<Request> for Echo {
    fn message(&mut self, Request { sequence, data }: Request) -> Reading {
        self.0.send(Response { sequence, data })
    }

    fn end(&mut self) {
        self.0.end();
    }

    fn room(&mut self) {
        self.0.room();
    }
}
