//! gRPC: a call whose messages are JSON, and what a server has: services, methods, messages.

mod describe;
mod input;
mod reflection;
mod schema;

use std::io::{self, Write};
use std::time::Duration;

use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};

use self::input::{Input, read_messages};
use self::schema::Schema;
use super::{ConnectArgs, Failure, screen, write};
use crate::client::{
    Call, CallEvent, CallOptions, ClientError, Grpc, GrpcOptions, Metadata, retry,
};

/// Runs the command.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let options =
        GrpcOptions { connect: args.options()?, retry: args.policy(), ..GrpcOptions::default() };
    let scheme = if args.url.secure { "grpcs" } else { "grpc" };
    let server = format!("{scheme}://{}", args.url.host);
    let mut grpc = Grpc::new(&server, options)?;
    let metadata = metadata(args)?;
    let method = args.url.path.strip_prefix('/').unwrap_or_default();
    match (method, &args.words()[..]) {
        ("", ["list"]) => {
            let services = Schema::of(args, &mut grpc, &metadata)?.services()?;
            services.iter().try_for_each(|name| write(format_args!("{name}\n")))
        }
        ("", ["list", service]) => {
            let mut schema = Schema::of(args, &mut grpc, &metadata)?;
            let service = schema.service(service)?;
            let name = service.full_name();
            service
                .methods()
                .try_for_each(|method| write(format_args!("{name}/{}\n", method.name())))
        }
        ("", ["describe"]) => {
            let mut schema = Schema::of(args, &mut grpc, &metadata)?;
            for name in schema.services()? {
                let service = schema.service(&name)?;
                write(format_args!("{}", describe::service(&service)))?;
            }
            Ok(())
        }
        ("", ["describe", symbol]) => {
            let mut schema = Schema::of(args, &mut grpc, &metadata)?;
            write(format_args!("{}", schema.describe(symbol)?))
        }
        ("", _) => Err(Failure::Usage(
            "name a method behind the address, as in grpc://HOST:PORT/package.Service/Method; \
             without one, grpc takes list [SERVICE] or describe [SYMBOL]"
                .to_owned(),
        )),
        (method, []) => call(args, &mut grpc, metadata, method, None),
        (method, [json]) => call(args, &mut grpc, metadata, method, Some(json)),
        (_, _) => Err(Failure::Usage("a method of grpc takes JSON, or -".to_owned())),
    }
}

/// What goes with each call.
fn metadata(args: &ConnectArgs) -> Result<Metadata, Failure> {
    use base64::Engine as _;
    let mut metadata = Metadata::default();
    for (name, value) in &args.headers {
        let pushed = if name.ends_with("-bin") {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value);
            let bytes = bytes.map_err(|error| {
                Failure::Usage(format!("--header {name}: a binary value is base64: {error}"))
            })?;
            metadata.push_binary(name, &bytes)
        } else {
            metadata.push(name, value)
        };
        pushed.map_err(|error| Failure::Usage(format!("--header: {error}")))?;
    }
    Ok(metadata)
}

/// Calls a method.
fn call(
    args: &ConnectArgs,
    grpc: &mut Grpc,
    metadata: Metadata,
    name: &str,
    json: Option<&str>,
) -> Result<(), Failure> {
    let Some(parts) = name.split_once('/') else {
        let text = format!("{name:?} is no method: it is called package.Service/Method");
        return Err(Failure::Usage(text));
    };
    let method = Schema::of(args, grpc, &metadata)?.method(parts)?;
    let is_stream = method.is_client_streaming();
    let input = match json {
        Some("-") => Input::Stream,
        Some(text) => Input::Messages(
            read_messages(text.as_bytes(), &method.input()).map_err(Failure::Usage)?,
        ),
        None if is_stream => Input::Stream,
        None => Input::Messages(vec![Vec::new()]),
    };
    let has_one = |messages: &Vec<Vec<u8>>| messages.len() == 1;
    if let (Input::Messages(messages), false) = (&input, is_stream)
        && !has_one(messages)
    {
        return Err(Failure::Usage(format!("{name} takes one message: it is no stream")));
    }
    // A stream may last: it ends when one side ends it, unless there is a limit.
    let is_long = is_stream || method.is_server_streaming();
    let deadline = if is_long { args.timeout } else { Some(args.timeout()) };
    let options = CallOptions { metadata, deadline, ..CallOptions::default() };
    let begun = retry(&args.policy(), || grpc.call(name, &options, args.timeout()))?;
    let mut exchange = Exchange { args, call: begun, output: method.output(), is_told: false };
    let done = exchange.run(input, &method);
    exchange.tell_end()?;
    done
}

/// A call whose messages are printed.
struct Exchange<'a> {
    args: &'a ConnectArgs,
    call: Call,
    output: MessageDescriptor,
    /// The metadata before the messages was shown.
    is_told: bool,
}

impl Exchange<'_> {
    /// Sends the input, and prints what comes meanwhile.
    fn run(&mut self, input: Input, method: &MethodDescriptor) -> Result<(), Failure> {
        let mut reader = match input {
            Input::Messages(messages) => {
                for message in messages {
                    self.call.queue_bytes(&message).map_err(|error| self.explain(error))?;
                }
                self.finish_sending()?;
                None
            }
            Input::Stream => Some(input::Reader::new(method.input())?),
        };
        let mut count = 0_usize;
        while let Some(open) = &mut reader {
            let event = self.call.receive_or_input(open.descriptor(), Duration::MAX);
            match event.map_err(|error| self.explain(error))? {
                CallEvent::Message(message) => self.print(&message)?,
                CallEvent::End => return Ok(()),
                CallEvent::Input => {
                    let (messages, is_over) = open.read()?;
                    count += messages.len();
                    if !method.is_client_streaming() && (count > 1 || is_over && count == 0) {
                        let name = method.full_name();
                        let text = format!("{name} takes one message: it is no stream");
                        return Err(Failure::Failed(text));
                    }
                    for message in messages {
                        self.call.queue_bytes(&message).map_err(|error| self.explain(error))?;
                    }
                    if is_over {
                        self.finish_sending()?;
                        reader = None;
                    }
                }
            }
        }
        while let Some(message) =
            self.call.receive_bytes(Duration::MAX).map_err(|error| self.explain(error))?
        {
            self.print(&message)?;
        }
        Ok(())
    }

    fn finish_sending(&mut self) -> Result<(), Failure> {
        self.call.finish_sending().map_err(|error| self.explain(error))
    }

    fn print(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.tell_begin()?;
        let wrong = |error: String| {
            Failure::Failed(format!("{}: an answer is no {}: {error}", self.args.url, self.name()))
        };
        let message = DynamicMessage::decode(self.output.clone(), message)
            .map_err(|error| wrong(error.to_string()))?;
        let json = serde_json::to_string(&message).map_err(|error| wrong(error.to_string()))?;
        write(format_args!("{json}\n"))
    }

    fn name(&self) -> &str {
        self.output.full_name()
    }

    /// The metadata before the messages, on standard error.
    fn tell_begin(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.is_told, true) {
            return Ok(());
        }
        self.call.initial().map_or(Ok(()), |initial| tell(self.args, initial))
    }

    /// The metadata behind them.
    fn tell_end(&mut self) -> Result<(), Failure> {
        self.tell_begin()?;
        self.call.status().map_or(Ok(()), |status| tell(self.args, &status.metadata))
    }

    fn explain(&self, error: ClientError) -> Failure {
        explain(self.args, error)
    }
}

/// A failure of a call, under the URL that was called.
fn explain(args: &ConnectArgs, error: ClientError) -> Failure {
    let ClientError::Call { status, .. } = error else { return error.into() };
    // What a server says does not move the cursor.
    let status: String = status.to_string().chars().map(screen::shown).collect();
    Failure::Failed(format!("{}: {status}", args.url))
}

/// Metadata on standard error, if that is asked for.
fn tell(args: &ConnectArgs, metadata: &Metadata) -> Result<(), Failure> {
    if !args.verbose {
        return Ok(());
    }
    let mut text = String::new();
    for (name, value) in metadata.iter() {
        let value = match std::str::from_utf8(&value) {
            Ok(value) => value.chars().map(screen::shown).collect(),
            Err(_) => value.escape_ascii().to_string(),
        };
        text.push_str(&format!("< {name}: {value}\n"));
    }
    io::stderr().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}
