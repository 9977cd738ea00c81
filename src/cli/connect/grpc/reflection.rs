//! What a server says of its services, by gRPC's reflection: version 1, or, where that is not
//! known, its alpha, whose messages are the same.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

use crate::client::{
    Call, CallOptions, ClientError, Grpc, GrpcCode, Metadata, Patience, RetryPolicy, retry,
};
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
/// Bytes of one file, and of all files, at most.
const FILE_SIZE_MAX: usize = 1024 * 1024;
const TOTAL_SIZE_MAX: usize = 16 * 1024 * 1024;

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

/// A server that is asked for its definitions. All questions of one call have one deadline.
pub(super) struct Reflection {
    call: Call,
    method: &'static str,
    files: Files,
    pool: DescriptorPool,
}

/// How a server is asked.
pub(super) struct Asking<'a> {
    pub(super) metadata: &'a Metadata,
    /// For connecting, each time it is tried; and for all questions together.
    pub(super) timeout: Duration,
    pub(super) policy: RetryPolicy,
}

impl Asking<'_> {
    fn begin(&self, grpc: &mut Grpc, method: &str, time: Duration) -> Result<Call, ClientError> {
        let (metadata, deadline) = (self.metadata.clone(), Some(time));
        let options = CallOptions { metadata, deadline, ..CallOptions::default() };
        retry(&self.policy, || grpc.call(method, &options, self.timeout))
    }
}

impl Reflection {
    /// Asks for the services, by the version that the server knows.
    pub(super) fn begin(
        grpc: &mut Grpc,
        asking: &Asking<'_>,
    ) -> Result<(Self, Vec<String>), ReflectionError> {
        let mut patience: Option<Patience> = None;
        for method in METHODS {
            let time = patience.map_or(asking.timeout, |patience| patience.rest());
            let call = asking.begin(grpc, method, time)?;
            patience.get_or_insert_with(|| Patience::new(asking.timeout));
            let (files, pool) = (Files::default(), DescriptorPool::new());
            let mut this = Self { call, method, files, pool };
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

    /// The definitions that are known, with those of a symbol and of all that it needs.
    pub(super) fn pool_of(&mut self, symbol: &str) -> Result<&mut DescriptorPool, ReflectionError> {
        if !self.knows(symbol) {
            let answer =
                self.ask(MessageRequest::FileContainingSymbol(symbol.to_owned()), symbol)?;
            self.enter(answer, symbol)?;
            self.complete()?;
            let added = self.pool.add_file_descriptor_protos(self.files.take());
            added.map_err(|error| nonsense(symbol, &error.to_string()))?;
        }
        Ok(&mut self.pool)
    }

    /// What is known of some types now, of which those are asked for that are not known; what the
    /// server does not tell of is passed over.
    pub(super) fn learn(
        &mut self,
        grpc: &mut Grpc,
        asking: &Asking<'_>,
        names: &BTreeSet<String>,
    ) -> &mut DescriptorPool {
        // The time of the questions before is over, perhaps.
        if let Ok(call) = asking.begin(grpc, self.method, asking.timeout) {
            self.call = call;
            for name in names {
                match self.pool_of(name) {
                    Ok(_) | Err(ReflectionError::Refused { .. }) => {}
                    Err(
                        ReflectionError::Call(_)
                        | ReflectionError::None
                        | ReflectionError::Nonsense { .. },
                    ) => break,
                }
            }
        }
        &mut self.pool
    }

    fn knows(&self, symbol: &str) -> bool {
        self.pool.get_service_by_name(symbol).is_some()
            || self.pool.get_message_by_name(symbol).is_some()
            || self.pool.get_enum_by_name(symbol).is_some()
    }

    /// Asks for the files that others need.
    fn complete(&mut self) -> Result<(), ReflectionError> {
        while let Some(missing) = self.files.wanted.first().cloned() {
            let answer = self.ask(MessageRequest::FileByFilename(missing.clone()), &missing);
            let own = DescriptorPool::global().get_file_by_name(&missing);
            match (answer, own) {
                (Ok(answer), _) => self.enter(answer, &missing)?,
                // Some servers do not have what comes with protobuf itself.
                (Err(ReflectionError::Refused { .. }), Some(own)) => {
                    let own = own.file_descriptor_proto().clone();
                    self.files.add(own).map_err(|reason| nonsense(&missing, &reason))?;
                }
                (Err(error), _) => return Err(error),
            }
            if self.files.wanted.contains(&missing) {
                return Err(nonsense(&missing, "the answer is another file"));
            }
        }
        Ok(())
    }

    fn enter(&mut self, answer: MessageResponse, name: &str) -> Result<(), ReflectionError> {
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            return Err(nonsense(name, "the answer is no file"));
        };
        let mut files = files.file_descriptor_proto.into_iter();
        let entered = files.try_for_each(|bytes| self.files.enter(&bytes));
        entered.map_err(|reason| nonsense(name, &reason))
    }

    fn ask(
        &mut self,
        question: MessageRequest,
        name: &str,
    ) -> Result<MessageResponse, ReflectionError> {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        // The call has its own deadline.
        self.call.send(&request, Duration::MAX)?;
        let response = self.call.receive::<ServerReflectionResponse>(Duration::MAX)?;
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

/// The files of a server, as they come, within limits.
#[derive(Default)]
struct Files {
    /// Those that nobody has taken.
    came: Vec<FileDescriptorProto>,
    /// The names of all that came.
    known: BTreeSet<String>,
    /// What they need, and what has not come.
    wanted: BTreeSet<String>,
    /// How many came, the same one several times perhaps, and their bytes.
    count: usize,
    size: usize,
}

impl Files {
    /// A file has come.
    fn enter(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.size = self.size.saturating_add(bytes.len());
        if bytes.len() > FILE_SIZE_MAX {
            return Err(format!("it has a file of more than {FILE_SIZE_MAX} bytes"));
        }
        if self.size > TOTAL_SIZE_MAX {
            return Err(format!("it has files of more than {TOTAL_SIZE_MAX} bytes together"));
        }
        let file = FileDescriptorProto::decode(bytes);
        self.add(file.map_err(|error| error.to_string())?)
    }

    fn add(&mut self, file: FileDescriptorProto) -> Result<(), String> {
        self.count += 1;
        let too_many = || format!("it has more than {FILES_MAX} files");
        if self.count > FILES_MAX {
            return Err(too_many());
        }
        let name = file.name().to_owned();
        self.wanted.remove(&name);
        if !self.known.insert(name) {
            return Ok(());
        }
        for needed in &file.dependency {
            if !self.known.contains(needed) && !self.wanted.contains(needed) {
                self.wanted.insert(needed.clone());
            }
            if self.wanted.len() + self.known.len() > FILES_MAX {
                return Err(too_many());
            }
        }
        self.came.push(file);
        Ok(())
    }

    fn take(&mut self) -> Vec<FileDescriptorProto> {
        std::mem::take(&mut self.came)
    }
}

fn nonsense(name: &str, reason: &str) -> ReflectionError {
    ReflectionError::Nonsense { name: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, dependency: &[&str]) -> Vec<u8> {
        let dependency = dependency.iter().map(|&name| name.to_owned()).collect();
        let name = Some(name.to_owned());
        FileDescriptorProto { name, dependency, ..FileDescriptorProto::default() }.encode_to_vec()
    }

    #[test]
    fn files_are_wanted_until_they_come() {
        let mut files = Files::default();
        files.enter(&file("a", &["b", "c"])).unwrap();
        files.enter(&file("b", &["a", "c"])).unwrap();
        assert_eq!(files.wanted.iter().collect::<Vec<_>>(), ["c"]);
        files.enter(&file("c", &[])).unwrap();
        files.enter(&file("c", &["d"])).unwrap();
        assert!(files.wanted.is_empty());
        assert_eq!((files.take().len(), files.take().len()), (3, 0));
    }

    #[test]
    fn a_server_cannot_tell_without_end() {
        let mut files = Files::default();
        let entered = (0..=FILES_MAX).try_for_each(|n| files.enter(&file(&n.to_string(), &[])));
        assert_eq!(entered, Err("it has more than 1000 files".to_owned()));
        // The same one, again and again.
        let mut files = Files::default();
        let entered = (0..=FILES_MAX).try_for_each(|_| files.enter(&file("a", &[])));
        assert_eq!(entered, Err("it has more than 1000 files".to_owned()));
        // One that needs too many.
        let names: Vec<String> = (0..FILES_MAX).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let entered = Files::default().enter(&file("a", &names));
        assert_eq!(entered, Err("it has more than 1000 files".to_owned()));
        let long = "x".repeat(FILE_SIZE_MAX);
        let entered = Files::default().enter(&file(&long, &[]));
        assert_eq!(entered, Err("it has a file of more than 1048576 bytes".to_owned()));
        let mut files = Files::default();
        let part = |n: usize| file(&format!("{n}{}", "x".repeat(1_000_000)), &[]);
        let entered = (0..20).try_for_each(|n| files.enter(&part(n)));
        assert_eq!(entered, Err("it has files of more than 16777216 bytes together".to_owned()));
        assert!(files.size < TOTAL_SIZE_MAX + FILE_SIZE_MAX);
    }
}
