//! What a server says of its services, by gRPC's reflection: version 1, or, where that is not
//! known, its alpha, whose messages are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

use crate::client::{Call, CallOptions, ClientError, Grpc, GrpcCode};
use crate::handler::grpc::reflection_messages::server_reflection_request::MessageRequest;
use crate::handler::grpc::reflection_messages::server_reflection_response::MessageResponse;
use crate::handler::grpc::reflection_messages::{
    ErrorResponse, ServerReflectionRequest, ServerReflectionResponse,
};

/// The methods of both versions, the best first.
const METHODS: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Files that a server may have its definitions in.
const FILES_MAX: usize = 1000;

/// Why a server does not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReflectionError {
    /// The call has failed.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// It knows no reflection.
    #[error("the server has no reflection: give its definitions with --proto")]
    None,
    /// It refuses to answer.
    #[error("the server does not describe {name}: {message}")]
    Refused {
        /// What it was asked for.
        name: String,
        /// What it says.
        message: String,
    },
    /// What it says makes no sense.
    #[error("what the server says of {name} makes no sense: {reason}")]
    Nonsense {
        /// What it was asked for.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// A server that is asked for its definitions.
pub(super) struct Reflection {
    call: Call,
    timeout: Duration,
    files: BTreeMap<String, FileDescriptorProto>,
}

impl Reflection {
    /// Asks for the services, by the version that the server knows.
    pub(super) fn begin(
        grpc: &mut Grpc,
        options: &CallOptions,
        timeout: Duration,
    ) -> Result<(Self, Vec<String>), ReflectionError> {
        for method in METHODS {
            let call = grpc.call(method, options, timeout)?;
            let mut this = Self { call, timeout, files: BTreeMap::new() };
            match this.services() {
                Err(ReflectionError::Call(error))
                    if error.status_code() == GrpcCode::Unimplemented => {}
                Err(error) => return Err(error),
                Ok(services) => return Ok((this, services)),
            }
        }
        Err(ReflectionError::None)
    }

    fn services(&mut self) -> Result<Vec<String>, ReflectionError> {
        let question = MessageRequest::ListServices("*".to_owned());
        let MessageResponse::ListServicesResponse(list) = self.ask(question, "its services")?
        else {
            return Err(nonsense("its services", "the answer is no list"));
        };
        Ok(list.service.into_iter().map(|service| service.name).collect())
    }

    /// The definitions of a symbol, with all that they need.
    pub(super) fn pool_of(&mut self, symbol: &str) -> Result<DescriptorPool, ReflectionError> {
        let answer = self.ask(MessageRequest::FileContainingSymbol(symbol.to_owned()), symbol)?;
        self.enter(answer, symbol)?;
        while let Some(missing) = self.missing() {
            if self.files.len() >= FILES_MAX {
                return Err(nonsense(symbol, &format!("it has more than {FILES_MAX} files")));
            }
            let answer = self.ask(MessageRequest::FileByFilename(missing.clone()), &missing);
            let own = DescriptorPool::global().get_file_by_name(&missing);
            match (answer, own) {
                (Ok(answer), _) => self.enter(answer, &missing)?,
                // Some servers do not have what comes with protobuf itself.
                (Err(ReflectionError::Refused { .. }), Some(own)) => {
                    self.files.insert(missing.clone(), own.file_descriptor_proto().clone());
                }
                (Err(error), _) => return Err(error),
            }
            if !self.files.contains_key(&missing) {
                return Err(nonsense(&missing, "the answer is another file"));
            }
        }
        let mut pool = DescriptorPool::new();
        let added = pool.add_file_descriptor_protos(self.files.values().cloned());
        added.map_err(|error| nonsense(symbol, &error.to_string()))?;
        Ok(pool)
    }

    /// A file that another one needs, and that is not there.
    fn missing(&self) -> Option<String> {
        let needed: BTreeSet<&String> =
            self.files.values().flat_map(|file| &file.dependency).collect();
        needed.into_iter().find(|name| !self.files.contains_key(*name)).cloned()
    }

    fn enter(&mut self, answer: MessageResponse, name: &str) -> Result<(), ReflectionError> {
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            return Err(nonsense(name, "the answer is no file"));
        };
        for bytes in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(bytes);
            let file = file.map_err(|error| nonsense(name, &error.to_string()))?;
            self.files.insert(file.name().to_owned(), file);
        }
        Ok(())
    }

    fn ask(
        &mut self,
        question: MessageRequest,
        name: &str,
    ) -> Result<MessageResponse, ReflectionError> {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        self.call.send(&request, self.timeout)?;
        let response = self.call.receive::<ServerReflectionResponse>(self.timeout)?;
        match response.and_then(|response| response.message_response) {
            Some(MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })) => {
                let (name, number) = (name.to_owned(), format!("error {error_code}"));
                let message = if error_message.is_empty() { number } else { error_message };
                Err(ReflectionError::Refused { name, message })
            }
            Some(answer) => Ok(answer),
            None => Err(nonsense(name, "there is no answer")),
        }
    }
}

fn nonsense(name: &str, reason: &str) -> ReflectionError {
    ReflectionError::Nonsense { name: name.to_owned(), reason: reason.to_owned() }
}
