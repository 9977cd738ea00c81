//! gRPC: a call whose messages are JSON, and what a server has: services, methods, messages.

mod any;
mod describe;
mod input;
mod reflection;
mod schema;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{DescriptorPool, MethodDescriptor};

use self::any::Printer;
use self::input::{Batch, Input, Then, read_messages};
use self::schema::Schema;
use super::{ConnectArgs, Failure, screen, write};
use crate::client::{
    Call, CallEvent, CallOptions, ClientError, Grpc, GrpcOptions, Metadata, retry,
};

/// Padding is taken as it comes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Runs the command.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let options = GrpcOptions { connect: args.options()?, ..GrpcOptions::default() };
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

/// The messages of the method that a URL names, of JSON.
pub(super) fn messages(args: &ConnectArgs, json: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let options = GrpcOptions { connect: args.options()?, ..GrpcOptions::default() };
    let scheme = if args.url.secure { "grpcs" } else { "grpc" };
    let mut grpc = Grpc::new(&format!("{scheme}://{}", args.url.host), options)?;
    let metadata = metadata(args)?;
    let name = args.url.path.strip_prefix('/').unwrap_or_default();
    let Some(parts) = name.split_once('/') else {
        let text = format!("{name:?} is no method: it is called package.Service/Method");
        return Err(Failure::Usage(text));
    };
    let mut schema = Schema::of(args, &mut grpc, &metadata)?;
    let method = schema.method(parts)?;
    let messages = read_messages(json.as_bytes(), &method.input()).map_err(Failure::Usage)?;
    check_count(&method, messages.len(), true).map_err(Failure::Usage)?;
    Ok(messages)
}

/// What goes with each call.
fn metadata(args: &ConnectArgs) -> Result<Metadata, Failure> {
    let mut metadata = Metadata::default();
    for (name, value) in &args.headers {
        let pushed = if name.ends_with("-bin") {
            let bytes = BASE64.decode(value);
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
    let mut schema = Schema::of(args, grpc, &metadata)?;
    let method = schema.method(parts)?;
    let is_stream = method.is_client_streaming();
    let input = match json {
        Some("-") => Input::Stream,
        Some(text) => Input::Messages(
            read_messages(text.as_bytes(), &method.input()).map_err(Failure::Usage)?,
        ),
        None if is_stream => Input::Stream,
        None => Input::Messages(vec![Vec::new()]),
    };
    if let (Input::Messages(messages), false) = (&input, is_stream) {
        check_count(&method, messages.len(), true).map_err(Failure::Usage)?;
    }
    // A stream may last: it ends when one side ends it, unless there is a limit.
    let is_long = is_stream || method.is_server_streaming();
    let deadline = if is_long { args.timeout } else { Some(args.timeout()) };
    let options = CallOptions { metadata, deadline, ..CallOptions::default() };
    let begun = retry(&args.policy(), || grpc.call(name, &options, args.timeout()));
    let mut exchange = Exchange {
        args,
        call: begun.map_err(|error| explain(args, error))?,
        method: &method,
        printer: Printer::new(method.output()),
        learn: &mut |names| schema.learn(grpc, &options.metadata, names),
        answer: None,
        sent: 0,
        is_told: false,
    };
    let done = exchange.run(input);
    exchange.tell_end()?;
    done
}

/// Refuses more messages than one, and none at the end, where there is no stream.
fn check_count(method: &MethodDescriptor, count: usize, is_over: bool) -> Result<(), String> {
    let name = method.full_name();
    match count {
        _ if method.is_client_streaming() => Ok(()),
        0 if is_over => Err(format!("{name} takes one message: there is no message")),
        0 | 1 => Ok(()),
        _ => Err(format!("{name} takes one message: it is no stream")),
    }
}

/// A call whose messages are printed.
struct Exchange<'a> {
    args: &'a ConnectArgs,
    call: Call,
    method: &'a MethodDescriptor,
    printer: Printer,
    /// Asks for definitions of types.
    learn: &'a mut dyn FnMut(&BTreeSet<String>) -> DescriptorPool,
    /// The only answer, where there is no stream of them: it is one once the call has ended well.
    answer: Option<Vec<u8>>,
    /// How many messages were sent.
    sent: usize,
    /// The metadata before the messages was shown.
    is_told: bool,
}

impl Exchange<'_> {
    /// Sends the input, and prints what comes meanwhile.
    fn run(&mut self, input: Input) -> Result<(), Failure> {
        let mut reader = match input {
            Input::Messages(messages) => {
                self.send(messages)?;
                self.finish_sending()?;
                None
            }
            Input::Stream => Some(input::Reader::new(self.method.input())?),
        };
        while let Some(open) = &mut reader {
            let event = self.call.receive_or_input(open.descriptor(), Duration::MAX);
            match event.map_err(|error| self.explain(error))? {
                CallEvent::Message(message) => self.take(message)?,
                CallEvent::End => return self.end(),
                CallEvent::Input => {
                    let Batch { messages, then } = open.read()?;
                    let (count, is_over) = (self.sent + messages.len(), matches!(then, Then::End));
                    check_count(self.method, count, is_over).map_err(Failure::Failed)?;
                    self.send(messages)?;
                    match then {
                        Then::More => {}
                        Then::Wrong(why) => return Err(Failure::Failed(why)),
                        Then::End => {
                            self.finish_sending()?;
                            reader = None;
                        }
                    }
                }
            }
        }
        while let Some(message) =
            self.call.receive_bytes(Duration::MAX).map_err(|error| self.explain(error))?
        {
            self.take(message)?;
        }
        self.end()
    }

    fn send(&mut self, messages: Vec<Vec<u8>>) -> Result<(), Failure> {
        self.sent += messages.len();
        let mut messages = messages.iter();
        messages
            .try_for_each(|message| self.call.queue_bytes(message))
            .map_err(|error| self.explain(error))
    }

    fn finish_sending(&mut self) -> Result<(), Failure> {
        self.call.finish_sending().map_err(|error| self.explain(error))
    }

    /// An answer has come.
    fn take(&mut self, message: Vec<u8>) -> Result<(), Failure> {
        if self.method.is_server_streaming() {
            return self.print(&message);
        }
        match self.answer.replace(message) {
            None => Ok(()),
            Some(_) => {
                self.call.cancel();
                Err(self.failed("the answer has several messages, and the method answers with one"))
            }
        }
    }

    /// The call has ended well.
    fn end(&mut self) -> Result<(), Failure> {
        match self.answer.take() {
            Some(message) => self.print(&message),
            None if self.method.is_server_streaming() => Ok(()),
            None => Err(self.failed("the answer has no message")),
        }
    }

    fn print(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.tell_begin()?;
        let printed = self.printer.json(message, &mut self.learn);
        let json = printed.map_err(|error| {
            let text: String = error.chars().map(screen::shown).collect();
            self.failed(&format!("an answer is no {}: {text}", self.printer.name()))
        })?;
        write(format_args!("{json}\n"))
    }

    fn failed(&self, text: &str) -> Failure {
        Failure::Failed(format!("{}: {text}", self.args.url))
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
    let status = if let ClientError::Call { status, .. } = &error {
        status.to_string()
    } else if let ClientError::Reset { .. } = &error {
        let code = error.status_code();
        format!("status {} ({}): {error}", code.name().to_uppercase(), code.number())
    } else {
        return args.explain(error);
    };
    // What a server says does not move the cursor.
    let status: String = status.chars().map(screen::shown).collect();
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
