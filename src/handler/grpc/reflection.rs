//! Server reflection, v1 and v1alpha: which services there are, and what their messages look like.

use std::collections::BTreeSet;
use std::rc::Rc;

use prost_reflect::{DescriptorPool, FileDescriptor};

use super::generated::DESCRIPTORS;
use super::generated::reflection::server_reflection_request::MessageRequest;
use super::generated::reflection::server_reflection_response::MessageResponse;
use super::generated::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use super::inbound::MessageReceiver;
use super::outbound::Sink;
use super::queue::SendQueue;
use super::service::{Methods, Service, Services};
use super::status::Status;
use crate::handler::Reading;
use crate::service::grpc::Code;

/// The number of the status of what is not there.
const NOT_FOUND: i32 = 5;

/// What is told.
#[derive(Debug)]
struct Described {
    pool: DescriptorPool,
    services: BTreeSet<&'static str>,
}

impl Described {
    fn of(services: &Services) -> Self {
        let mut pool = DescriptorPool::new();
        let own = std::iter::once(DESCRIPTORS);
        for descriptors in services.descriptors().iter().map(|one| &**one).chain(own) {
            if let Err(error) = pool.decode_file_descriptor_set(descriptors) {
                tracing::error!(%error, "descriptors cannot be told by reflection");
            }
        }
        let own = [V1::NAME, V1Alpha::NAME];
        Self { pool, services: services.names().iter().copied().chain(own).collect() }
    }

    fn answer(&self, question: &MessageRequest) -> MessageResponse {
        let found = match question {
            MessageRequest::FileByFilename(name) => {
                self.pool.get_file_by_name(name).map(|file| described(&file))
            }
            MessageRequest::FileContainingSymbol(name) => {
                self.file_of(name).map(|file| described(&file))
            }
            MessageRequest::FileContainingExtension(asked) => {
                let number = u32::try_from(asked.extension_number).unwrap_or(0);
                let message = self.pool.get_message_by_name(&asked.containing_type);
                let extension = message.and_then(|message| message.get_extension(number));
                extension.map(|extension| described(&extension.parent_file()))
            }
            MessageRequest::AllExtensionNumbersOfType(name) => {
                self.pool.get_message_by_name(name).map(|message| {
                    let numbers = message.extensions().map(|one| one.number());
                    MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: numbers.filter_map(|one| one.try_into().ok()).collect(),
                    })
                })
            }
            MessageRequest::ListServices(_) => {
                let named = |name: &&str| ServiceResponse { name: (*name).to_owned() };
                let service = self.services.iter().map(named).collect();
                Some(MessageResponse::ListServicesResponse(ListServiceResponse { service }))
            }
        };
        found.unwrap_or_else(|| {
            MessageResponse::ErrorResponse(ErrorResponse {
                error_code: NOT_FOUND,
                error_message: "nothing here has that name".to_owned(),
            })
        })
    }

    /// The file that declares a symbol.
    fn file_of(&self, name: &str) -> Option<FileDescriptor> {
        let pool = &self.pool;
        let method = || {
            let (service, method) = name.rsplit_once('.')?;
            let service = pool.get_service_by_name(service)?;
            let has_it = service.methods().any(|one| one.name() == method);
            has_it.then(|| service.parent_file())
        };
        pool.get_service_by_name(name)
            .map(|found| found.parent_file())
            .or_else(|| pool.get_message_by_name(name).map(|found| found.parent_file()))
            .or_else(|| pool.get_enum_by_name(name).map(|found| found.parent_file()))
            .or_else(|| pool.get_extension_by_name(name).map(|found| found.parent_file()))
            .or_else(method)
    }
}

/// A file and all that it imports.
fn described(file: &FileDescriptor) -> MessageResponse {
    let mut files = vec![file.clone()];
    let mut at = 0;
    while let Some(file) = files.get(at) {
        let new: Vec<_> = file.dependencies().filter(|other| !files.contains(other)).collect();
        files.extend(new);
        at += 1;
    }
    let file_descriptor_proto = files.iter().map(|file| file.encode_to_vec().into()).collect();
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
}

/// Answers one question after the other.
struct Answers {
    described: Rc<Described>,
    queue: SendQueue<ServerReflectionResponse>,
}

impl MessageReceiver<ServerReflectionRequest> for Answers {
    fn message(&mut self, asked: ServerReflectionRequest) -> Reading {
        let Some(question) = &asked.message_request else {
            self.queue.finish(Status::new(Code::InvalidArgument, "nothing is asked"));
            return Reading::On;
        };
        let answer = self.described.answer(question);
        self.queue.send(ServerReflectionResponse {
            valid_host: asked.host.clone(),
            original_request: Some(asked),
            message_response: Some(answer),
        })
    }

    fn end(&mut self) {
        self.queue.end();
    }

    fn room(&mut self) {
        self.queue.room();
    }
}

struct V1(Rc<Described>);

struct V1Alpha(Rc<Described>);

impl V1 {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl V1Alpha {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

/// The only method of both.
const METHOD: &str = "ServerReflectionInfo";

impl Service for V1 {
    const NAME: &'static str = Self::NAME;

    fn methods(methods: &mut Methods<Self>) {
        methods.bidirectional(METHOD, |this, _, sink| answers(&this.0, sink));
    }
}

impl Service for V1Alpha {
    const NAME: &'static str = Self::NAME;

    fn methods(methods: &mut Methods<Self>) {
        methods.bidirectional(METHOD, |this, _, sink| answers(&this.0, sink));
    }
}

fn answers(
    described: &Rc<Described>,
    sink: Sink<ServerReflectionResponse>,
) -> Box<dyn MessageReceiver<ServerReflectionRequest>> {
    Box::new(Answers { described: Rc::clone(described), queue: SendQueue::new(sink) })
}

impl Services {
    /// The same, and server reflection (v1 and v1alpha) of all services that it has by now.
    #[must_use]
    pub fn with_reflection(self) -> Self {
        let described = Rc::new(Described::of(&self));
        self.with(V1(Rc::clone(&described))).with(V1Alpha(described))
    }
}
