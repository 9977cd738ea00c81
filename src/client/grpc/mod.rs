//! Calls of gRPC, on connections of HTTP/2.
//!
//! | file | job |
//! |---|---|
//! | `call` | one call: messages both ways, and how it ends |
//! | `metadata` | what goes with it beside messages |
//! | `status` | how it has ended |

mod call;
mod metadata;
mod status;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use prost::Message;

pub use self::call::{Call, CallEvent};
pub use self::metadata::Metadata;
pub use self::status::CallStatus;
pub use crate::handler::grpc::MessageCoding;
pub use crate::service::grpc::Code as GrpcCode;

use super::deadline::Deadline;
use super::http::{Http, HttpOptions, HttpProtocol, HttpUrl, Prepared, Scheme};
use super::retry::Tries;
use super::{ClientError, ConnectOptions, RetryPolicy};
use crate::proto::http::{BodySize, Known, RequestHead};
use crate::service::grpc::CONTENT_TYPE;

const USER_AGENT: &[u8] = concat!("grpc-ringway/", env!("CARGO_PKG_VERSION")).as_bytes();

/// How gRPC is spoken.
#[derive(Debug, Clone)]
pub struct GrpcOptions {
    /// How to connect. Its `tls` is for `https://` and `grpcs://`; without it, whom the system
    /// trusts.
    pub connect: ConnectOptions,
    /// The authority that the server is told, if not that of the URL.
    pub authority: Option<String>,
    /// Bytes of a message that is received, at most, as it is sent and when it is decompressed.
    pub receive_max: usize,
    /// Bytes of a message that is sent, at most.
    pub send_max: usize,
    /// How often unary calls are tried again that certainly were not carried out, or that
    /// [may be carried out twice](CallOptions::is_idempotent) and ended with UNAVAILABLE. One try
    /// by default: what a server says to have done nothing for is sent again once in any case.
    pub retry: RetryPolicy,
    /// How long an idle connection is kept.
    pub idle_time: Duration,
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            connect: ConnectOptions::default(),
            authority: None,
            receive_max: 4 * 1024 * 1024,
            send_max: usize::MAX,
            retry: RetryPolicy { tries_max: 1, ..RetryPolicy::default() },
            idle_time: Duration::from_secs(60),
        }
    }
}

/// What holds for one call.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// What goes with it.
    pub metadata: Metadata,
    /// The time for all of it, which the server is told (`grpc-timeout`). Of unary calls, their
    /// patience is one, too.
    pub deadline: Option<Duration>,
    /// How messages are compressed that are sent. Received ones may be compressed by gzip or zstd
    /// in any case.
    pub coding: MessageCoding,
    /// It may be carried out twice.
    pub is_idempotent: bool,
}

/// What a unary call has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReply<M> {
    /// The message.
    pub message: M,
    /// What came before it.
    pub initial: Metadata,
    /// What came behind it.
    pub trailing: Metadata,
}

/// A client of gRPC for one server. Calls are independent of each other, and of this value: any
/// number may be open at a time, and they share a connection.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{CallOptions, Grpc, GrpcOptions};
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Text {
///     #[prost(string, tag = "1")]
///     text: String,
/// }
///
/// let patience = Duration::from_secs(5);
/// let mut grpc = Grpc::new("http://127.0.0.1:50051", GrpcOptions::default())?;
/// let hello = Text { text: "hello".to_owned() };
/// let answer: Text = grpc.unary("demo.Echo/Say", &hello, patience)?;
///
/// // Both sides speak at once.
/// let mut call = grpc.call("demo.Echo/Talk", &CallOptions::default(), patience)?;
/// call.send(&hello, patience)?;
/// while let Some(text) = call.receive::<Text>(patience)? {
///     println!("{}", text.text);
///     call.finish_sending()?;
/// }
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Grpc {
    url: HttpUrl,
    options: GrpcOptions,
    http: Rc<RefCell<Http>>,
}

impl Grpc {
    /// A client for the server of a URL: `http://`, `h2://` or `grpc://` in clear, `https://` or
    /// `grpcs://` by TLS, without a path. Nothing is connected yet.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn new(url: &str, options: GrpcOptions) -> Result<Self, ClientError> {
        let as_http = match url.split_once("://") {
            Some(("grpc", rest)) => format!("h2://{rest}"),
            Some(("grpcs", rest)) => format!("https://{rest}"),
            Some(_) | None => url.to_owned(),
        };
        let mut parsed: HttpUrl = as_http.parse()?;
        if parsed.path != "/" || parsed.query.is_some() {
            let (text, reason) = (url.to_owned(), "a server of gRPC has no path".to_owned());
            return Err(ClientError::Url { text, reason });
        }
        if parsed.scheme == Scheme::Http {
            parsed.scheme = Scheme::H2;
        }
        let http = Http::new(HttpOptions {
            connect: options.connect.clone(),
            protocol: HttpProtocol::Http2,
            idle_time: options.idle_time,
            ..HttpOptions::default()
        });
        Ok(Self { url: parsed, options, http: Rc::new(RefCell::new(http)) })
    }

    /// Calls a unary method, such as `package.Service/Method`. `patience` is the deadline of the
    /// call, connecting and further tries among it.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the status when it is not OK, and what else can fail: see
    /// [`ClientError::status_code`].
    pub fn unary<Q: Message, A: Message + Default>(
        &mut self,
        method: &str,
        request: &Q,
        patience: Duration,
    ) -> Result<A, ClientError> {
        let reply = self.unary_with(method, request, &CallOptions::default(), patience)?;
        Ok(reply.message)
    }

    /// The same with options, and with the metadata of the answer.
    ///
    /// # Errors
    /// As of [`Grpc::unary`].
    pub fn unary_with<Q: Message, A: Message + Default>(
        &mut self,
        method: &str,
        request: &Q,
        options: &CallOptions,
        patience: Duration,
    ) -> Result<CallReply<A>, ClientError> {
        let bytes = request.encode_to_vec();
        let CallReply { message, initial, trailing } =
            self.unary_bytes(method, &bytes, options, patience)?;
        let message = A::decode(&*message)
            .map_err(|error| call::failed(&self.url.authority, method, call::no_message(&error)))?;
        Ok(CallReply { message, initial, trailing })
    }

    /// The same with messages as bytes.
    ///
    /// # Errors
    /// As of [`Grpc::unary`].
    pub fn unary_bytes(
        &mut self,
        method: &str,
        request: &[u8],
        options: &CallOptions,
        patience: Duration,
    ) -> Result<CallReply<Vec<u8>>, ClientError> {
        let patience = options.deadline.map_or(patience, |deadline| deadline.min(patience));
        let deadline = Deadline::new(patience);
        let mut tries = Tries::new(self.options.retry);
        loop {
            let error = match self.try_unary(method, request, options, deadline) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let is_harmless = options.is_idempotent && error.status_code() == GrpcCode::Unavailable;
            if !is_harmless && !error.is_not_done() {
                return Err(error);
            }
            tries.rest(error, deadline)?;
        }
    }

    fn try_unary(
        &self,
        method: &str,
        request: &[u8],
        options: &CallOptions,
        deadline: Deadline,
    ) -> Result<CallReply<Vec<u8>>, ClientError> {
        let mut call = self.begin(method, options, deadline, deadline)?;
        call.send_last(request)?;
        let message = call.receive_bytes(deadline.rest())?;
        let rest = match message {
            Some(_) => call.receive_bytes(deadline.rest())?,
            None => None,
        };
        match (message, rest) {
            (Some(message), None) => {
                let trailing = call.status().map(|status| status.metadata.clone());
                let initial = call.initial().cloned().unwrap_or_default();
                Ok(CallReply { message, initial, trailing: trailing.unwrap_or_default() })
            }
            (None, _) => Err(call.refuse(GrpcCode::Unimplemented, "the answer has no message")),
            (Some(_), Some(_)) => {
                Err(call.refuse(GrpcCode::Unimplemented, "the answer has several messages"))
            }
        }
    }

    /// Begins a call of any kind of method. `patience` is for connecting; the call itself has the
    /// deadline of its options.
    ///
    /// # Errors
    /// When nothing can be sent.
    pub fn call(
        &mut self,
        method: &str,
        options: &CallOptions,
        patience: Duration,
    ) -> Result<Call, ClientError> {
        let own = Deadline::new(options.deadline.unwrap_or(Duration::MAX));
        self.begin(method, options, own, Deadline::new(patience).min(own))
    }

    fn begin(
        &self,
        method: &str,
        options: &CallOptions,
        own: Deadline,
        connect: Deadline,
    ) -> Result<Call, ClientError> {
        let request = self.prepare(method, options)?;
        let limits = (self.options.receive_max, self.options.send_max);
        Call::begin(&self.http, request, options, limits, (own, connect))
    }

    /// The head of a call.
    fn prepare(&self, method: &str, options: &CallOptions) -> Result<Prepared, ClientError> {
        let path = format!("/{}", method.strip_prefix('/').unwrap_or(method));
        let is_named = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
        if path.matches('/').count() < 2 || !is_named {
            let reason = format!("{method:?} is no method: it is called package.Service/Method");
            return Err(ClientError::Request { reason });
        }
        let mut head = RequestHead::default();
        head.set_method(b"POST");
        head.takes_trailers = true;
        head.fields.push_known(Known::ContentType, CONTENT_TYPE);
        head.fields.push_known(Known::UserAgent, USER_AGENT);
        let accepted = MessageCoding::ACCEPTED.as_bytes();
        head.fields.push(b"grpc-accept-encoding", accepted);
        if options.coding != MessageCoding::Identity {
            head.fields.push(b"grpc-encoding", options.coding.name().as_bytes());
        }
        for field in options.metadata.fields.iter() {
            head.fields.push(field.name, field.value);
        }
        let url = HttpUrl { path, ..self.url.clone() };
        let authority = self.options.authority.clone();
        let authority = authority.unwrap_or_else(|| url.authority.clone());
        Ok(Prepared { head, authority, size: BodySize::Unknown, url })
    }
}
