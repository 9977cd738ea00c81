//! A server of gRPC: `cargo run --example grpc`, then with any client of gRPC that uses reflection, such
//! as `ringway connect grpc://127.0.0.1:8080/example.Greeter/Hello '{"name": "you"}'`.
//!
//! Messages are written by hand here. For larger ones, `prost-build` makes them of `.proto` files, and
//! `protox` the descriptors, without `protoc`.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};
use ringway::handler::grpc::{
    Code, HealthReporter, MessageCoding, MessageReceiver, Methods, Service, Services, Sink, Status,
};
use ringway::{HttpHandlers, Reading, Server, StartOptions, config};

#[derive(Clone, PartialEq, prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    text: String,
}

/// One for each worker.
#[derive(Default)]
struct Greeter {
    greeted: u64,
}

impl Service for Greeter {
    const NAME: &'static str = "example.Greeter";

    fn methods(methods: &mut Methods<Self>) {
        methods.unary("Hello", |this, _, request: HelloRequest, reply| {
            this.greeted += 1;
            if request.name.is_empty() {
                return reply.fail(Status::new(Code::InvalidArgument, "whom?"));
            }
            reply.send(&HelloReply { text: format!("Hello, {}!", request.name) });
        });
        // What takes its time is done by a thread.
        methods.unary("SlowHello", |_, _, request: HelloRequest, reply| {
            reply.spawn_blocking(move || {
                let digest =
                    (0..200_000_u64).fold(7, |sum, n| std::hint::black_box(sum ^ (n * sum)));
                tracing::debug!(digest, "that took its time");
                Ok(HelloReply { text: format!("At last, hello, {}!", request.name) })
            });
        });
        methods.bidirectional("Chat", |_, _, sink| Box::new(Chat { sink: Some(sink) }));
    }
}

/// Greets everybody whose name comes.
struct Chat {
    sink: Option<Sink<HelloReply>>,
}

impl MessageReceiver<HelloRequest> for Chat {
    fn message(&mut self, message: HelloRequest) -> Reading {
        let text = format!("Hello, {}!", message.name);
        if let Some(sink) = &mut self.sink
            && sink.send(&HelloReply { text }).is_err()
        {
            // The client does not take what it is sent, or has gone.
            self.sink = None;
        }
        Reading::On
    }

    fn end(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink.finish(Status::ok());
        }
    }
}

/// Describes the service to those who ask by reflection: what `protox` would make of its `.proto`.
fn described() -> Vec<u8> {
    let message = |name: &str, field: &str| DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![FieldDescriptorProto {
            name: Some(field.to_owned()),
            number: Some(1),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::String.into()),
            ..FieldDescriptorProto::default()
        }],
        ..DescriptorProto::default()
    };
    let method = |name: &str, streams: bool| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".example.HelloRequest".to_owned()),
        output_type: Some(".example.HelloReply".to_owned()),
        client_streaming: Some(streams),
        server_streaming: Some(streams),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("example.proto".to_owned()),
        package: Some("example".to_owned()),
        message_type: vec![message("HelloRequest", "name"), message("HelloReply", "text")],
        service: vec![ServiceDescriptorProto {
            name: Some("Greeter".to_owned()),
            method: vec![method("Hello", false), method("SlowHello", false), method("Chat", true)],
            ..ServiceDescriptorProto::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    prost::Message::encode_to_vec(&FileDescriptorSet { file: vec![file] })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let text = format!(
        "admin.enabled = false\n[[listener]]\nname = 'grpc'\nlisten = '{listen}'\n\
         protocol = 'http'\n[[listener.route]]\nhandler = 'greeter'\n"
    );
    let health = HealthReporter::new();
    health.set(Greeter::NAME, true);
    let descriptors = described();
    let http_handlers = HttpHandlers::new().with("greeter", move || {
        Services::new()
            .with(Greeter::default())
            .with_descriptors(&descriptors)
            .with_health(&health)
            .with_reflection()
            .compress(MessageCoding::Gzip)
    });
    let options = StartOptions { http_handlers, ..StartOptions::default() };
    let server = Server::start_with(config::parse("grpc", &text)?, options)?;
    server.handle_signals();
    println!("listening on {}", server.address("grpc").expect("it has one"));
    let _ended = server.wait();
    Ok(())
}
