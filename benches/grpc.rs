//! A server of gRPC for `scripts/compare.sh grpc`: `/bench.Echo/Unary` and `/bench.Echo/Stream` give back
//! what they get. The argument is where it listens; one worker.

use std::collections::VecDeque;

use ringway::handler::grpc::{
    MessageReceiver, Methods, SendError, Service, Services, Sink, Status,
};
use ringway::{HttpHandlers, Reading, Server, StartOptions, config};

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "bytes", tag = "1")]
    data: bytes::Bytes,
}

struct Echo;

impl Service for Echo {
    const NAME: &'static str = "bench.Echo";

    fn methods(methods: &mut Methods<Self>) {
        methods.unary("Unary", |_, _, message: Message, reply| reply.send(&message));
        methods.bidirectional("Stream", |_, _, sink| {
            Box::new(Back { sink: Some(sink), waiting: VecDeque::new(), has_ended: false })
        });
    }
}

struct Back {
    sink: Option<Sink<Message>>,
    waiting: VecDeque<Message>,
    has_ended: bool,
}

impl Back {
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
        if self.has_ended {
            self.sink.take().into_iter().for_each(|sink| sink.finish(Status::ok()));
        }
        Reading::On
    }
}

impl MessageReceiver<Message> for Back {
    fn message(&mut self, message: Message) -> Reading {
        self.waiting.push_back(message);
        self.proceed()
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.proceed();
    }

    fn room(&mut self) {
        if self.proceed() == Reading::On {
            self.sink.iter().for_each(Sink::resume);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(listen) = std::env::args().nth(1).filter(|one| !one.starts_with('-')) else {
        // Run by `cargo bench` or `cargo test`: nothing is measured without a load.
        return Ok(());
    };
    let text = format!(
        "admin.enabled = false\nruntime.workers = 1\nruntime.pin = false\n[[listener]]\n\
         name = 't'\nlisten = '{listen}'\nprotocol = 'http'\nkeepalive_requests = 'off'\n\
         body_max = 'off'\n[[listener.route]]\nhandler = 'echo'\n"
    );
    let http_handlers = HttpHandlers::new().with("echo", || Services::new().with(Echo));
    let options = StartOptions { http_handlers, ..StartOptions::default() };
    let server = Server::start_with(config::parse("grpc", &text)?, options)?;
    server.handle_signals();
    let _ended = server.wait();
    Ok(())
}
