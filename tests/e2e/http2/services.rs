//! Services of gRPC in this process, called with the `h2` crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use ringway::handler::grpc::{
    Code, HealthReporter, MessageCoding, MessageReceiver, Methods, Service, Services, Sink, Status,
};
use ringway::handler::grpc::{demo_messages, health_messages, reflection_messages};
use ringway::handler::{HttpHandlers, Reading};
use ringway::proto::grpc::{MessageHead, MessageReader};
use ringway::server::StartOptions;

use super::peer::{Answer, Open, Peer, run};
use crate::support::*;

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn text(text: &str) -> Text {
    Text { text: text.to_owned() }
}

/// What tests see of the service.
#[derive(Clone, Default)]
struct Words {
    dropped: Arc<AtomicUsize>,
}

impl Service for Words {
    const NAME: &'static str = "test.Words";

    fn methods(methods: &mut Methods<Self>) {
        methods.unary("Upper", |_, context, request: Text, mut reply| {
            let told = context.metadata("x-bin").map(|value| value.len());
            reply.metadata("x-told", told.unwrap_or(0).to_string()).unwrap();
            reply.send(&text(&request.text.to_uppercase()));
        });
        methods.unary("Same", |_, _, request: Text, reply| reply.send(&request));
        methods.unary("Fail", |_, _, request: Text, reply| {
            let status = Status::new(Code::NotFound, format!("no {}", request.text));
            let status = status.with_details([1, 2, 3]).with("x-more", "yes").unwrap();
            reply.give(Err::<Text, _>(status));
        });
        methods.unary("Slow", |_, _, request: Text, reply| {
            reply.spawn_blocking(move || Ok(text(&format!("slow {}", request.text))));
        });
        methods.unary("Panic", |_, _, _: Text, _: ringway::handler::grpc::Reply<Text>| {
            panic!("as it was asked to");
        });
        methods.unary("Drop", |_, _, _: Text, _: ringway::handler::grpc::Reply<Text>| {});
        methods.server_streaming("Count", |_, _, request: Text, mut sink| {
            for number in 0..request.text.len() {
                sink.send(&text(&number.to_string())).unwrap();
            }
            sink.finish(Status::ok());
        });
        methods.client_streaming("Join", |_, _, reply| {
            Box::new(Join { parts: Vec::new(), reply: Some(reply) })
        });
        methods.bidirectional("Hang", |this, _, sink: Sink<Text>| {
            Box::new(Hang { _sink: sink, dropped: Arc::clone(&this.dropped) })
        });
        methods.blocking("Echo", |_, _| {
            |messages, sink: &mut Sink<Text>| {
                for message in messages {
                    let message: Text = match message {
                        Ok(message) => message,
                        Err(status) => return status,
                    };
                    if sink.send_blocking(&message).is_err() {
                        break;
                    }
                }
                Status::ok()
            }
        });
    }
}

struct Join {
    parts: Vec<String>,
    reply: Option<ringway::handler::grpc::Reply<Text>>,
}

impl MessageReceiver<Text> for Join {
    fn message(&mut self, message: Text) -> Reading {
        self.parts.push(message.text);
        Reading::On
    }

    fn end(&mut self) {
        self.reply.take().unwrap().send(&text(&self.parts.join(" ")));
    }
}

struct Hang {
    _sink: Sink<Text>,
    dropped: Arc<AtomicUsize>,
}

impl MessageReceiver<Text> for Hang {
    fn message(&mut self, _message: Text) -> Reading {
        Reading::On
    }

    fn end(&mut self) {}
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A server of these services.
fn serve(services: impl Fn() -> Services + Send + Sync + 'static, keys: &str) -> Served {
    let text = format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"grpc\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\nhandler = \"grpc\"\nbody_max = \"off\"\n{keys}\n",
        runtime(1)
    );
    let http_handlers = HttpHandlers::new().with("grpc", services);
    Served::with_options(&text, StartOptions { http_handlers, ..StartOptions::default() })
}

/// A server of the services of these tests, with keys of its route.
pub(super) fn words_with(keys: &str) -> Served {
    serve(|| Services::new().with(Words::default()), keys)
}

fn words() -> Served {
    serve(|| Services::new().with(Words::default()).message_max(100_000), "")
}

const CALL: (&str, &str) = ("content-type", "application/grpc");

/// Messages as they are sent.
fn body(messages: &[Text]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        let encoded = message.encode_to_vec();
        let len = u32::try_from(encoded.len()).unwrap();
        body.extend_from_slice(&MessageHead { is_compressed: false, len }.write());
        body.extend_from_slice(&encoded);
    }
    body
}

/// The messages of an answer.
fn messages<M: Message + Default>(mut body: &[u8]) -> Vec<M> {
    let mut reader = MessageReader::new(usize::MAX);
    let mut found = Vec::new();
    while let Some(message) = reader.next(&mut body).unwrap() {
        assert!(!message.is_compressed);
        found.push(M::decode(&*message.bytes).unwrap());
    }
    reader.end().unwrap();
    found
}

/// How a call ended: its status and what is said of it.
fn ended(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.fields["content-type"], "application/grpc");
    let fields = answer.trailers.as_ref().unwrap_or(&answer.fields);
    let value = |name: &str| {
        fields.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    (value("grpc-status"), value("grpc-message"))
}

async fn call(peer: &mut Peer, path: &str, body: Vec<u8>) -> Answer {
    let fields = [CALL, ("te", "trailers"), ("x-bin", "AQID")];
    peer.ask("POST", path, &fields, body).await.whole().await.unwrap()
}

fn ok() -> (String, String) {
    ("0".to_owned(), String::new())
}

#[test]
fn unary_calls_are_answered_now_or_later() {
    let served = words();
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let answer = call(&mut peer, "/test.Words/Upper", body(&[text("abc")])).await;
        assert_eq!(messages::<Text>(&answer.body), [text("ABC")]);
        assert_eq!(answer.fields["x-told"], "3");
        assert_eq!(ended(&answer), ok());
        let answer = call(&mut peer, "/test.Words/Slow", body(&[text("x")])).await;
        assert_eq!(messages::<Text>(&answer.body), [text("slow x")]);
        let answer = call(&mut peer, "/test.Words/Fail", body(&[text("such thing")])).await;
        assert_eq!(ended(&answer), ("5".to_owned(), "no such thing".to_owned()));
        assert_eq!(answer.fields["grpc-status-details-bin"], "AQID");
        assert_eq!(answer.fields["x-more"], "yes");
    });
}

#[test]
fn streams_go_in_each_direction_and_both() {
    let served = words();
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let answer = call(&mut peer, "/test.Words/Count", body(&[text("xxx")])).await;
        assert_eq!(messages::<Text>(&answer.body), ["0", "1", "2"].map(text));
        assert_eq!(ended(&answer), ok());
        let all = ["to", "be", "or", "not"].map(text);
        let answer = call(&mut peer, "/test.Words/Join", body(&all)).await;
        assert_eq!(messages::<Text>(&answer.body), [text("to be or not")]);
        let answer = call(&mut peer, "/test.Words/Join", Vec::new()).await;
        assert_eq!((messages::<Text>(&answer.body), ended(&answer)), (vec![text("")], ok()));
        // More than may wait, both ways.
        let many: Vec<Text> = (0..3_000).map(|n| text(&format!("{n} ").repeat(200))).collect();
        let answer = call(&mut peer, "/test.Words/Echo", body(&many)).await;
        assert!(messages::<Text>(&answer.body) == many);
        assert_eq!(ended(&answer), ok());
    });
}

#[test]
fn what_breaks_a_rule_gets_its_status() {
    let served = words();
    let (one, two) = (body(&[text("a")]), body(&[text("a"), text("b")]));
    let mut broken = one.clone();
    broken[5] = 0xff;
    let mut flagged = one.clone();
    flagged[0] = 2;
    let mut compressed = one.clone();
    compressed[0] = 1;
    let upper = "/test.Words/Upper";
    let cases = [
        (upper, Vec::new(), "12", "the method takes one message, and there is none"),
        (upper, two, "12", "the method takes one message, and there are more"),
        (upper, one[..6].to_vec(), "13", "the body ends within a message"),
        (upper, flagged, "13", "a message begins with the byte 0x02, which is neither 0 nor 1"),
        (upper, compressed, "13", "a message is compressed, and grpc-encoding is identity"),
        (
            upper,
            body(&[text(&"x".repeat(100_000))]),
            "8",
            "a message has 100004 bytes, and at most",
        ),
        (upper, broken, "13", "a message cannot be decoded"),
        ("/test.Words/Other", one.clone(), "12", "unknown method /test.Words/Other"),
        ("/test.Other/Upper", one.clone(), "12", "unknown service /test.Other/Upper"),
        ("/", one.clone(), "12", "unknown service /"),
        ("/test.Words/Drop", one.clone(), "13", "the service dropped the call"),
    ];
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for (path, body, code, why) in cases {
            let answer = call(&mut peer, path, body).await;
            let (status, message) = ended(&answer);
            assert_eq!(status, code, "{path} {message}");
            assert!(message.starts_with(why), "{message}");
        }
        let answer = call(&mut peer, "/test.Words/Panic", one.clone()).await;
        assert_eq!(ended(&answer).0, "2");
        let fields = [CALL, ("grpc-encoding", "snappy")];
        let answer = peer.ask("POST", upper, &fields, one.clone()).await.whole().await.unwrap();
        assert_eq!(ended(&answer).0, "12");
        assert_eq!(answer.fields["grpc-accept-encoding"], "identity,gzip,zstd");
        let answer = peer.ask("POST", upper, &[], one).await.whole().await.unwrap();
        assert_eq!(answer.status, 415);
        assert_eq!(peer.get(upper).await.unwrap().status, 415);
    });
}

#[test]
fn messages_are_compressed_where_both_sides_can() {
    for coding in [MessageCoding::Gzip, MessageCoding::Zstd] {
        let services = move || Services::new().with(Words::default()).compress(coding);
        let served = serve(services, "");
        let long = text(&"abc ".repeat(1000));
        let mut packed = Vec::new();
        coding.compress(&long.encode_to_vec(), &mut packed).unwrap();
        let len = u32::try_from(packed.len()).unwrap();
        let head = MessageHead { is_compressed: true, len }.write();
        let sent = [&head[..], &packed].concat();
        run(async {
            let mut peer = Peer::new(served.address()).await;
            for (accepted, is_packed) in [("identity", false), (coding.name(), true)] {
                let fields =
                    [CALL, ("grpc-encoding", coding.name()), ("grpc-accept-encoding", accepted)];
                let asked = peer.ask("POST", "/test.Words/Upper", &fields, sent.clone()).await;
                let answer = asked.whole().await.unwrap();
                let message = MessageReader::new(100_000).next(&mut &answer.body[..]).unwrap();
                let message = message.unwrap();
                assert_eq!(message.is_compressed, is_packed);
                let plain = match is_packed {
                    true => coding.decompress(&message.bytes, 100_000).unwrap(),
                    false => message.bytes.into_owned(),
                };
                assert_eq!(Text::decode(&*plain).unwrap().text, long.text.to_uppercase());
                assert_eq!(ended(&answer), ok());
            }
        });
    }
}

#[test]
fn a_call_with_too_much_in_all_ends_with_a_status() {
    let served = serve(|| Services::new().with(Words::default()), "");
    let text = format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"grpc\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\nhandler = \"grpc\"\nbody_max = \"10KiB\"\n",
        runtime(1)
    );
    served.reload(&text).unwrap();
    let many: Vec<Text> = (0..1_000).map(text_of).collect();
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let answer = call(&mut peer, "/test.Words/Echo", body(&many)).await;
        assert_eq!(ended(&answer).0, "8");
    });
}

fn text_of(number: usize) -> Text {
    text(&format!("{number:0>50}"))
}

#[test]
fn a_bomb_is_refused_by_what_it_would_become() {
    let served = words();
    let mut packed = Vec::new();
    MessageCoding::Zstd.compress(&vec![0; 50_000_000], &mut packed).unwrap();
    let len = u32::try_from(packed.len()).unwrap();
    assert!(len < 100_000);
    let sent = [&MessageHead { is_compressed: true, len }.write()[..], &packed].concat();
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let fields = [CALL, ("grpc-encoding", "zstd")];
        let asked = peer.ask("POST", "/test.Words/Upper", &fields, sent).await;
        let answer = asked.whole().await.unwrap();
        assert_eq!(ended(&answer).0, "8");
    });
}

#[test]
fn a_call_has_the_time_that_its_client_gives_it_and_may_be_given_up() {
    let state = Words::default();
    let own = state.clone();
    let served = serve(move || Services::new().with(own.clone()), "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let fields = [CALL, ("grpc-timeout", "50m")];
        let asked = peer.ask("POST", "/test.Words/Hang", &fields, body(&[text("x")])).await;
        let answer = asked.whole().await.unwrap();
        assert_eq!(ended(&answer).0, "4");
        assert_eq!(state.dropped.load(Ordering::Relaxed), 1);
        let (answer, mut stream) = peer.open("POST", "/test.Words/Hang").await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        assert_eq!(call(&mut peer, "/test.Words/Upper", body(&[text("x")])).await.status, 200);
        let fields = [CALL];
        let asked = peer.ask("POST", "/test.Words/Hang", &fields, body(&[text("x")])).await;
        drop(asked);
        peer.settle(|| state.dropped.load(Ordering::Relaxed) == 2).await;
    });
}

#[test]
fn the_demonstration_gives_back_what_it_gets_and_describes_itself() {
    let text = format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"grpc\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\nhandler = \"demo\"\nbody_max = \"off\"\n",
        runtime(1)
    );
    let served = Served::new(&text);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let path = "/ringway.v1.Stream/StreamData";
        let request =
            |sequence, size| demo_messages::Request { sequence, data: vec![7; size].into() };
        let mut sent = Vec::new();
        for sequence in 0..2_000 {
            let encoded = request(sequence, 1_000).encode_to_vec();
            let len = u32::try_from(encoded.len()).unwrap();
            sent.extend_from_slice(&MessageHead { is_compressed: false, len }.write());
            sent.extend_from_slice(&encoded);
        }
        let answer = call(&mut peer, path, sent).await;
        assert_eq!(ended(&answer), ok());
        let found: Vec<demo_messages::Response> = messages(&answer.body);
        assert_eq!(found.len(), 2_000);
        for (sequence, message) in (0..).zip(&found) {
            assert_eq!((message.sequence, message.data.len()), (sequence, 1_000));
        }
        let services = reflect(&mut peer, Question::ListServices(String::new())).await;
        let Some(Told::ListServicesResponse(list)) = services else { panic!("{services:?}") };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        let expected = [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "ringway.v1.Stream",
        ];
        assert_eq!(names, expected);
        for symbol in ["ringway.v1.Stream", "ringway.v1.Stream.StreamData", "ringway.v1.Request"] {
            let told = reflect(&mut peer, Question::FileContainingSymbol(symbol.to_owned())).await;
            let Some(Told::FileDescriptorResponse(files)) = told else { panic!("{told:?}") };
            assert_eq!(files.file_descriptor_proto.len(), 1, "{symbol}");
        }
        let name = "grpc/health/v1/health.proto".to_owned();
        let told = reflect(&mut peer, Question::FileByFilename(name)).await;
        assert!(matches!(told, Some(Told::FileDescriptorResponse(_))), "{told:?}");
        let told = reflect(&mut peer, Question::FileContainingSymbol("no.Such".to_owned())).await;
        let Some(Told::ErrorResponse(error)) = told else { panic!("{told:?}") };
        assert_eq!(error.error_code, 5);
    });
}

use reflection_messages::server_reflection_request::MessageRequest as Question;
use reflection_messages::server_reflection_response::MessageResponse as Told;

/// Asks the server to describe itself.
async fn reflect(peer: &mut Peer, question: Question) -> Option<Told> {
    let request = reflection_messages::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let answer =
        call(peer, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", encoded(&request));
    let answer = answer.await;
    assert_eq!(ended(&answer), ok());
    let mut told: Vec<reflection_messages::ServerReflectionResponse> = messages(&answer.body);
    assert_eq!(told.len(), 1);
    told.remove(0).message_response
}

/// One message as it is sent.
fn encoded(message: &impl Message) -> Vec<u8> {
    let encoded = message.encode_to_vec();
    let len = u32::try_from(encoded.len()).unwrap();
    [&MessageHead { is_compressed: false, len }.write()[..], &encoded].concat()
}

#[test]
fn health_is_told_once_or_whenever_it_changes() {
    let reporter = HealthReporter::new();
    let own = reporter.clone();
    let served = serve(move || Services::new().with_health(&own), "");
    let request = |service: &str| {
        encoded(&health_messages::HealthCheckRequest { service: service.to_owned() })
    };
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let check = "/grpc.health.v1.Health/Check";
        let answer = call(&mut peer, check, request("")).await;
        let told: Vec<health_messages::HealthCheckResponse> = messages(&answer.body);
        assert_eq!(told[0].status, 1);
        let answer = call(&mut peer, check, request("a")).await;
        assert_eq!(ended(&answer).0, "5");
        let watch = "/grpc.health.v1.Health/Watch";
        let asked = peer.ask("POST", watch, &[CALL], request("a")).await;
        let mut open = asked.head().await.unwrap();
        let next = async |open: &mut Open| {
            let part = open.part().await.unwrap().unwrap();
            messages::<health_messages::HealthCheckResponse>(&part)[0].status
        };
        assert_eq!(next(&mut open).await, 3);
        for (is_serving, status) in [(true, 1), (false, 2), (true, 1)] {
            reporter.set("a", is_serving);
            // What has not changed is not told again.
            reporter.set("a", is_serving);
            reporter.set("b", is_serving);
            assert_eq!(next(&mut open).await, status);
        }
        drop(reporter);
    });
}
