//! A server of gRPC for `scripts/compare.sh grpc`: `/bench.Echo/Unary` and `/bench.Echo/Stream` give back
//! what they get. The argument is where it listens; one worker.

use ringway::handler::grpc::{MessageReceiver, Methods, SendQueue, Service, Services};
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
        methods.bidirectional("Stream", |_, _, sink| Box::new(Back(SendQueue::new(sink))));
    }
}

struct Back(SendQueue<Message>);

impl MessageReceiver<Message> for Back {
    fn message(&mut self, message: Message) -> Reading {
        self.0.send(message)
    }

    fn end(&mut self) {
        self.0.end();
    }

    fn room(&mut self) {
        self.0.room();
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
