//! Where definitions come from: from files, or from the server itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use super::super::{ConnectArgs, Failure, screen};
use super::reflection::{Asking, Reflection, ReflectionError};
use super::{describe, explain};
use crate::client::{Grpc, Metadata};

/// The definitions of services and messages.
pub(super) struct Schema<'a> {
    args: &'a ConnectArgs,
    services: Vec<String>,
    source: Source,
}

enum Source {
    Files(DescriptorPool),
    Server(Box<Reflection>),
}

impl<'a> Schema<'a> {
    /// The definitions of `--proto`, or else of the server.
    pub(super) fn of(
        args: &'a ConnectArgs,
        grpc: &mut Grpc,
        metadata: &Metadata,
    ) -> Result<Self, Failure> {
        if args.proto.is_empty() {
            let begun = Reflection::begin(grpc, &asking(args, metadata));
            let (reflection, mut services) = begun.map_err(|error| failure(args, error))?;
            services.sort();
            return Ok(Self { args, services, source: Source::Server(Box::new(reflection)) });
        }
        let (pool, services) = compile(&args.proto, &args.import_path).map_err(Failure::Failed)?;
        Ok(Self { args, services, source: Source::Files(pool) })
    }

    /// The names of all services.
    pub(super) fn services(&self) -> Result<Vec<String>, Failure> {
        if self.services.is_empty() {
            return Err(self.failed("there is no service"));
        }
        Ok(self.services.clone())
    }

    /// A service by its name.
    pub(super) fn service(&mut self, name: &str) -> Result<ServiceDescriptor, Failure> {
        let found = self.pool_of(name)?.get_service_by_name(name);
        found.ok_or_else(|| self.failed(&format!("there is no service {name:?}")))
    }

    /// A method of a service.
    pub(super) fn method(
        &mut self,
        (service, method): (&str, &str),
    ) -> Result<MethodDescriptor, Failure> {
        let service = self.service(service)?;
        let found = service.methods().find(|one| one.name() == method);
        found.ok_or_else(|| {
            let text = format!("{} has no method {method:?}", service.full_name());
            self.failed(&text)
        })
    }

    /// The definition of a symbol.
    pub(super) fn describe(&mut self, symbol: &str) -> Result<String, Failure> {
        let symbol = symbol.replace('/', ".");
        let symbol = symbol.trim_start_matches('.');
        let pool = self.pool_of(symbol)?;
        if let Some(service) = pool.get_service_by_name(symbol) {
            return Ok(describe::service(&service));
        }
        if let Some(message) = pool.get_message_by_name(symbol) {
            return Ok(describe::message(&message));
        }
        if let Some(values) = pool.get_enum_by_name(symbol) {
            return Ok(describe::values(&values));
        }
        let method = symbol.rsplit_once('.').and_then(|(service, method)| {
            let service = pool.get_service_by_name(service)?;
            service.methods().find(|one| one.name() == method)
        });
        let method = method.map(|method| describe::method(&method));
        method.ok_or_else(|| {
            self.failed(&format!("{symbol:?} is no service, method, message or enum"))
        })
    }

    /// The definitions that a symbol is among.
    fn pool_of(&mut self, symbol: &str) -> Result<DescriptorPool, Failure> {
        match &mut self.source {
            Source::Files(pool) => Ok(pool.clone()),
            Source::Server(reflection) => {
                let pool = reflection.pool_of(symbol);
                pool.map(|pool| pool.clone()).map_err(|error| failure(self.args, error))
            }
        }
    }

    /// All definitions, after the server was asked for some more types.
    pub(super) fn learn(
        &mut self,
        grpc: &mut Grpc,
        metadata: &Metadata,
        names: &BTreeSet<String>,
    ) -> DescriptorPool {
        let pool = match &mut self.source {
            Source::Files(pool) => pool,
            Source::Server(reflection) => {
                reflection.learn(grpc, &asking(self.args, metadata), names)
            }
        };
        // What comes with protobuf itself is known everywhere.
        for name in names {
            let own = DescriptorPool::global().get_message_by_name(name);
            if let Some(own) = own.filter(|_| pool.get_message_by_name(name).is_none()) {
                let file = own.parent_file().file_descriptor_proto().clone();
                // Where it does not fit, its type stays unknown.
                let _fits = pool.add_file_descriptor_proto(file);
            }
        }
        pool.clone()
    }

    fn failed(&self, text: &str) -> Failure {
        Failure::Failed(format!("{}: {text}", self.args.url))
    }
}

fn asking<'a>(args: &ConnectArgs, metadata: &'a Metadata) -> Asking<'a> {
    Asking { metadata, timeout: args.timeout(), policy: args.policy() }
}

fn failure(args: &ConnectArgs, error: ReflectionError) -> Failure {
    match error {
        ReflectionError::Call(error) => explain(args, error),
        ReflectionError::None
        | ReflectionError::Refused { .. }
        | ReflectionError::Nonsense { .. } => {
            // What a server says does not move the cursor.
            let text: String = error.to_string().chars().map(screen::shown).collect();
            Failure::Failed(format!("{}: {text}", args.url))
        }
    }
}

/// Reads files of definitions: all that they have, and the services in them.
fn compile(
    files: &[PathBuf],
    folders: &[PathBuf],
) -> Result<(DescriptorPool, Vec<String>), String> {
    let own = files.iter().filter_map(|file| file.parent()).map(|folder| {
        if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned()
    });
    let folders: Vec<PathBuf> = match folders {
        [] => own.chain([PathBuf::from(".")]).collect(),
        _ => folders.to_owned(),
    };
    let told = |error: protox::Error| format!("--proto: {error:?}");
    let mut compiler = protox::Compiler::new(folders).map_err(told)?;
    compiler.include_imports(true).open_files(files).map_err(told)?;
    let asked: Vec<String> = compiler
        .files()
        .filter(|file| !file.is_import())
        .map(|file| file.name().to_owned())
        .collect();
    let pool = compiler.descriptor_pool();
    let mut services: Vec<String> = pool
        .services()
        .filter(|service| asked.iter().any(|name| name == service.parent_file().name()))
        .map(|service| service.full_name().to_owned())
        .collect();
    services.sort();
    Ok((pool, services))
}
