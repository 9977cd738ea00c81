//! Services and their methods.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use prost::Message;

use super::coding::MessageCoding;
use super::inbound::{
    BlockingMessages, CallReceiver, Each, EncodedReceiver, MessageReceiver, One, Reader,
};
use super::metadata::{CallContext, KeptContext, SpareContexts};
use super::outbound::{Outbound, Reply, Sink};
use super::status::Status;
use crate::handler::http::{BodyReceiver, HttpHandler, HttpRequest};
use crate::handler::{Answer, Response};
use crate::service::grpc::{self, Code};

/// Bytes of a message at most, unless [`Services::message_max`] says otherwise.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// A service of gRPC. Each worker has its own value; its methods are called on the worker's loop,
/// so they must not block: what takes its time goes to a thread ([`Reply::spawn_blocking`],
/// [`Sink::spawn_blocking`], [`Methods::blocking`]), or is answered later by whoever holds the
/// [`Reply`] or [`Sink`].
pub trait Service: Sized + 'static {
    /// Its full name, such as `package.Service`.
    const NAME: &'static str;

    /// The files that describe it: an encoded `google.protobuf.FileDescriptorSet`, as `protoc
    /// --include_imports --descriptor_set_out` or `protox` write it. It is told by reflection.
    const DESCRIPTORS: &'static [u8] = &[];

    /// Names its methods.
    fn methods(methods: &mut Methods<Self>);
}

/// The methods of a service.
#[derive(Debug)]
pub struct Methods<S> {
    service: Rc<RefCell<S>>,
    all: HashMap<String, Method>,
}

/// One method. Given a call, it says who takes its messages.
struct Method(Box<BeginCall>);

type BeginCall = dyn Fn(Call<'_, '_>) -> Box<dyn BodyReceiver>;

/// Who takes the messages of a call that may have many.
type Receiver<M> = Box<dyn MessageReceiver<M>>;

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Method")
    }
}

/// A call that begins.
struct Call<'a, 'b> {
    request: &'a HttpRequest<'b>,
    answer: Answer,
    reader: Reader,
    /// How answers may be compressed.
    coding: MessageCoding,
    contexts: &'a SpareContexts,
}

impl<S: Service> Methods<S> {
    fn of(service: S) -> HashMap<String, Method> {
        let mut methods = Self { service: Rc::new(RefCell::new(service)), all: HashMap::new() };
        S::methods(&mut methods);
        methods.all
    }

    /// A method that takes one message and answers with one. It is called when all of the request
    /// has come.
    pub fn unary<M, R>(
        &mut self,
        name: &str,
        method: impl Fn(&mut S, &CallContext, M, Reply<R>) + Copy + 'static,
    ) where
        M: Message + Default + 'static,
        R: Message + 'static,
    {
        self.receiving(name, move |service: &Rc<RefCell<S>>, context, out| {
            let service = Rc::clone(service);
            let call = move |message: M, reply: Reply<R>| {
                method(&mut service.borrow_mut(), &context, message, reply);
            };
            One::new(Reply::new(out), call)
        });
    }

    /// A method that takes one message and answers with any number of them.
    pub fn server_streaming<M, R>(
        &mut self,
        name: &str,
        method: impl Fn(&mut S, &CallContext, M, Sink<R>) + Copy + 'static,
    ) where
        M: Message + Default + 'static,
        R: Message + 'static,
    {
        self.receiving(name, move |service: &Rc<RefCell<S>>, context, out| {
            let service = Rc::clone(service);
            let call = move |message: M, sink: Sink<R>| {
                method(&mut service.borrow_mut(), &context, message, sink);
            };
            One::new(Sink::new(out), call)
        });
    }

    /// A method that takes any number of messages and answers with one.
    pub fn client_streaming<M, R>(
        &mut self,
        name: &str,
        method: impl Fn(&mut S, &CallContext, Reply<R>) -> Receiver<M> + Copy + 'static,
    ) where
        M: Message + Default + 'static,
        R: Message + 'static,
    {
        self.receiving(name, move |service, context, out| {
            Each::new(method(&mut service.borrow_mut(), &context, Reply::new(out)))
        });
    }

    /// A method that takes any number of messages and answers with any number of them, in any
    /// order.
    pub fn bidirectional<M, R>(
        &mut self,
        name: &str,
        method: impl Fn(&mut S, &CallContext, Sink<R>) -> Receiver<M> + Copy + 'static,
    ) where
        M: Message + Default + 'static,
        R: Message + 'static,
    {
        self.receiving(name, move |service, context, out| {
            Each::new(method(&mut service.borrow_mut(), &context, Sink::new(out)))
        });
    }

    /// A method of any kind, carried out by a thread that may wait: it reads the messages, sends
    /// its own ([`Sink::send_blocking`]) and returns how the call ends. It has no access to the
    /// service, which belongs to the worker; what it needs it is given by `make`, on the worker.
    pub fn blocking<M, R, W>(
        &mut self,
        name: &str,
        make: impl Fn(&mut S, &CallContext) -> W + Copy + 'static,
    ) where
        M: Message + Default + 'static,
        R: Message + 'static,
        W: FnOnce(BlockingMessages<M>, &mut Sink<R>) -> Status + Send + 'static,
    {
        let service = Rc::clone(&self.service);
        let method = move |call: Call<'_, '_>| {
            let context = call.contexts.of(call.request);
            let (receiver, messages) = BlockingMessages::new(&call.answer, call.reader);
            let sink = Sink::new(Outbound::new(call.answer, call.coding));
            let work = make(&mut service.borrow_mut(), &context);
            sink.spawn_blocking(move |mut sink| {
                let status = work(messages, &mut sink);
                sink.finish(status);
            });
            receiver
        };
        self.add(name, Method(Box::new(method)));
    }

    /// A method whose messages are received on the loop.
    fn receiving<E: EncodedReceiver + 'static>(
        &mut self,
        name: &str,
        begin: impl Fn(&Rc<RefCell<S>>, KeptContext, Outbound) -> E + 'static,
    ) {
        let service = Rc::clone(&self.service);
        let method = move |call: Call<'_, '_>| {
            let out = Outbound::new(call.answer, call.coding);
            let receiver = begin(&service, call.contexts.of(call.request), out.clone());
            Box::new(CallReceiver::new(call.reader, receiver, out)) as Box<dyn BodyReceiver>
        };
        self.add(name, Method(Box::new(method)));
    }

    fn add(&mut self, name: &str, method: Method) {
        self.all.insert(format!("/{}/{name}", S::NAME), method);
    }
}

/// The services of one handler: they answer the calls of the routes that name it.
///
/// ```
/// use ringway::handler::HttpHandlers;
/// use ringway::handler::grpc::{Methods, Service, Services, Status};
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Text {
///     #[prost(string, tag = "1")]
///     text: String,
/// }
///
/// struct Shout;
///
/// impl Service for Shout {
///     const NAME: &'static str = "example.Shout";
///
///     fn methods(methods: &mut Methods<Self>) {
///         methods.unary("Loud", |_, _, request: Text, reply| {
///             reply.send(&Text { text: request.text.to_uppercase() });
///         });
///     }
/// }
///
/// let handlers = HttpHandlers::new().with("grpc", || Services::new().with(Shout));
/// ```
#[derive(Debug)]
pub struct Services {
    methods: HashMap<String, Method>,
    /// The names of the services.
    names: Vec<&'static str>,
    /// What describes them, and the messages that they use.
    descriptors: Vec<Cow<'static, [u8]>>,
    message_max: usize,
    coding: MessageCoding,
    contexts: SpareContexts,
}

impl Default for Services {
    fn default() -> Self {
        Self::new()
    }
}

impl Services {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self {
            methods: HashMap::new(),
            names: Vec::new(),
            descriptors: Vec::new(),
            message_max: MESSAGE_MAX,
            coding: MessageCoding::Identity,
            contexts: SpareContexts::default(),
        }
    }

    /// The same, and one more.
    #[must_use]
    pub fn with<S: Service>(mut self, service: S) -> Self {
        self.methods.extend(Methods::of(service));
        self.names.push(S::NAME);
        self.descriptors.push(Cow::Borrowed(S::DESCRIPTORS));
        self
    }

    /// The same, and files that describe services and messages, as [`Service::DESCRIPTORS`] does:
    /// for those that are made when the program runs.
    #[must_use]
    pub fn with_descriptors(mut self, descriptors: &[u8]) -> Self {
        self.descriptors.push(Cow::Owned(descriptors.to_vec()));
        self
    }

    /// Bytes that a message of a client may have, as it was sent and when it is decompressed.
    #[must_use]
    pub fn message_max(self, max: usize) -> Self {
        Self { message_max: max, ..self }
    }

    /// Compresses messages of 1 KiB and more so, for clients that take it.
    #[must_use]
    pub fn compress(self, coding: MessageCoding) -> Self {
        Self { coding, ..self }
    }

    /// The names of the services.
    pub(super) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// What describes them.
    pub(super) fn descriptors(&self) -> &[Cow<'static, [u8]>] {
        &self.descriptors
    }

    /// Why there is no method of this path.
    fn missing(&self, path: &str) -> Status {
        let service = path.get(1..).and_then(|path| path.rsplit_once('/')).map(|(name, _)| name);
        let is_known = service.is_some_and(|name| self.names.contains(&name));
        let text = if is_known { "unknown method" } else { "unknown service" };
        Status::new(Code::Unimplemented, format!("{text} {path}"))
    }
}

impl HttpHandler for Services {
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>> {
        if !grpc::is_call(request.head) {
            let text = "this is for calls of gRPC: POST with content-type application/grpc\n";
            answer.send(Response::text(415), text);
            return None;
        }
        let Some(method) = self.methods.get(request.path()) else {
            let status = self.missing(request.path());
            Outbound::new(answer, MessageCoding::Identity).finish(&mut None, status);
            return None;
        };
        let sent = request.field("grpc-encoding").unwrap_or(b"identity");
        let Some(coding) = MessageCoding::of_name(sent) else {
            let text = format!(
                "grpc-encoding {} is unknown: send one of {}",
                sent.escape_ascii(),
                MessageCoding::ACCEPTED
            );
            let status = Status::new(Code::Unimplemented, text);
            Outbound::new(answer, MessageCoding::Identity).refuse_coding(status);
            return None;
        };
        let compresses = self.coding != MessageCoding::Identity
            && self.coding.is_in(request.field("grpc-accept-encoding").unwrap_or_default());
        let call = Call {
            request,
            answer,
            reader: Reader { coding, max: self.message_max },
            coding: if compresses { self.coding } else { MessageCoding::Identity },
            contexts: &self.contexts,
        };
        Some(method.0(call))
    }
}
