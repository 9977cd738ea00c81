//! The ends of `h2`, polled by hand: nothing waits, and no time passes.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ours::{ASKED, HEAD_STREAM, answer_to, limits};
use super::told::{Step, Wire, fields_text, normal_target};

/// Most streams that are remembered after a reset, and frames that need not say anything.
const MANY: usize = 1000;

/// Both directions of a connection: what comes, and what was sent.
#[derive(Debug, Clone, Default)]
struct Pipe(Arc<Mutex<(VecDeque<u8>, Vec<u8>)>>);

impl Pipe {
    fn push(&self, bytes: &[u8]) {
        self.0.lock().expect("one thread").0.extend(bytes);
    }

    fn take_sent(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("one thread").1)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let coming = &mut self.0.lock().expect("one thread").0;
        if coming.is_empty() {
            return Poll::Pending;
        }
        let len = coming.len().min(buf.remaining());
        let bytes: Vec<u8> = coming.drain(..len).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().expect("one thread").1.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What comes on a stream, as far as it was taken.
enum Coming {
    Body(RecvStream),
    Over,
}

impl Coming {
    /// Takes what is there; whether the end is among it.
    fn read(&mut self, stream: u32, step: &mut Step, cx: &mut Context<'_>) -> bool {
        let Self::Body(body) = self else { return false };
        loop {
            match body.poll_data(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(part))) => {
                    step.body(stream, &part);
                    body.flow_control().release_capacity(part.len()).expect("it has come");
                }
                Poll::Ready(Some(Err(error))) => {
                    self.fail(stream, &error, step);
                    return false;
                }
                Poll::Ready(None) => break,
            }
        }
        match body.poll_trailers(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(trailers)) => {
                let trailers = trailers.map(|all| map_text(&all)).unwrap_or_default();
                step.tell(stream, format!("ends{trailers}"));
                *self = Self::Over;
                true
            }
            Poll::Ready(Err(error)) => {
                self.fail(stream, &error, step);
                false
            }
        }
    }

    fn fail(&mut self, stream: u32, error: &h2::Error, step: &mut Step) {
        tell_reset(stream, error, step);
        *self = Self::Over;
    }
}

fn tell_reset(stream: u32, error: &h2::Error, step: &mut Step) {
    if error.is_reset() {
        let code: u32 = error.reason().map_or(0, u32::from);
        let is_remote = error.is_remote();
        step.tell(stream, if is_remote { format!("reset {code}") } else { "fails".to_owned() });
    }
}

fn map_text(map: &HeaderMap) -> String {
    fields_text(map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

/// A request on the server of `h2`.
struct Exchange {
    stream: u32,
    is_bodiless: bool,
    coming: Coming,
    /// Its body came to no end.
    has_failed: bool,
    respond: Option<SendResponse<Bytes>>,
    sending: Option<SendStream<Bytes>>,
}

impl Exchange {
    fn go_on(&mut self, step: &mut Step, cx: &mut Context<'_>) {
        let was_open = matches!(self.coming, Coming::Body(_));
        let has_ended = self.coming.read(self.stream, step, cx);
        self.has_failed |= was_open && !has_ended && matches!(self.coming, Coming::Over);
        if has_ended && let Some(mut respond) = self.respond.take() {
            let head = Response::new(());
            if let Ok(mut sending) = respond.send_response(head, self.is_bodiless)
                && !self.is_bodiless
            {
                // It may be reset by now.
                let _sent = sending.send_data(answer_to(self.stream).into(), true);
                self.sending = Some(sending);
            }
        }
        let reset = match (&mut self.respond, &mut self.sending) {
            (Some(respond), _) => respond.poll_reset(cx),
            (None, Some(sending)) => sending.poll_reset(cx),
            (None, None) => Poll::Pending,
        };
        if let Poll::Ready(result) = reset {
            // Whoever reads a body is told by it.
            if let Ok(code) = result
                && !self.has_failed
            {
                step.tell(self.stream, format!("reset {}", u32::from(code)));
            }
            (self.respond, self.sending) = (None, None);
        }
    }
}

enum Server {
    Handshake(Box<h2::server::Handshake<Pipe, Bytes>>),
    Open(Box<h2::server::Connection<Pipe, Bytes>>),
    Over,
}

/// The server of `h2`, which answers each request when it has come whole.
pub(crate) struct TheirServer {
    pipe: Pipe,
    server: Server,
    exchanges: Vec<Exchange>,
    wire: Wire,
}

impl TheirServer {
    pub(crate) fn new() -> Self {
        let (limits, pipe) = (limits(), Pipe::default());
        let mut builder = h2::server::Builder::new();
        let list = u32::try_from(limits.request.head.size).expect("it is small");
        builder
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(list)
            .max_concurrent_reset_streams(MANY)
            .max_local_error_reset_streams(Some(MANY))
            .max_pending_accept_reset_streams(MANY)
            .data_frame_budget(1 << 20);
        let server = Server::Handshake(Box::new(builder.handshake(pipe.clone())));
        Self { pipe, server, exchanges: Vec::new(), wire: Wire::default() }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.server, Server::Over)
    }

    /// A frame comes.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        let mut cx = Context::from_waker(Waker::noop());
        self.pipe.push(bytes);
        loop {
            let before = step.events.len();
            self.turn(&mut step, &mut cx);
            let sent = self.pipe.take_sent();
            self.wire.read(&sent, &mut step);
            // Ends of streams are told in order before all is forgotten.
            for exchange in &mut self.exchanges {
                exchange.go_on(&mut step, &mut cx);
                if self.wire.ended.contains(&exchange.stream) {
                    (exchange.respond, exchange.sending) = (None, None);
                }
            }
            if step.events.len() == before && sent.is_empty() {
                break;
            }
        }
        // A reset of its own is told on the wire.
        let reset = &self.wire.reset;
        step.events
            .retain(|event| !(event.text.starts_with("reset ") && reset.contains(&event.stream)));
        step.sorted()
    }

    fn turn(&mut self, step: &mut Step, cx: &mut Context<'_>) {
        if let Server::Handshake(handshake) = &mut self.server {
            self.server = match Pin::new(&mut **handshake).poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(connection)) => Server::Open(Box::new(connection)),
                Poll::Ready(Err(_)) => Server::Over,
            };
        }
        let Server::Open(connection) = &mut self.server else { return };
        loop {
            match connection.poll_accept(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.exchanges.push(begin(request, respond, step));
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    self.server = Server::Over;
                    break;
                }
            }
        }
    }
}

fn begin(request: Request<RecvStream>, respond: SendResponse<Bytes>, step: &mut Step) -> Exchange {
    let stream = respond.stream_id().as_u32();
    step.tell(stream, request_text(&request));
    Exchange {
        stream,
        is_bodiless: request.method() == http::Method::HEAD,
        coming: Coming::Body(request.into_body()),
        has_failed: false,
        respond: Some(respond),
        sending: None,
    }
}

/// The head of a request, without what our heads have in another form.
fn request_text(request: &Request<RecvStream>) -> String {
    let (uri, headers) = (request.uri(), request.headers());
    let host = headers.get(http::header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    let authority = uri.authority().map(|authority| authority.as_str().into()).or(host);
    let authority = authority.unwrap_or_default().to_ascii_lowercase();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let length =
        headers.get(http::header::CONTENT_LENGTH).filter(|_| !request.body().is_end_stream());
    let length = length.map(|length| length.to_str().unwrap_or("?").trim_start_matches('0'));
    let length =
        length.map(|length| format!(" of {}", if length.is_empty() { "0" } else { length }));
    let mut fields = headers.clone();
    for name in [http::header::HOST, http::header::CONTENT_LENGTH, http::header::EXPECT] {
        fields.remove(name);
    }
    let (method, target) = (request.method(), normal_target(target));
    let (length, fields) = (length.unwrap_or_default(), map_text(&fields));
    format!("request {method} {authority} {target}{length}{fields}")
}

enum Client {
    Open(Box<h2::client::Connection<Pipe, Bytes>>),
    Over,
}

/// An answer of the client of `h2`.
struct Answer {
    stream: u32,
    waiting: Option<ResponseFuture>,
    coming: Coming,
}

/// The client of `h2`.
pub(crate) struct TheirClient {
    pipe: Pipe,
    client: Client,
    answers: Vec<Answer>,
    wire: Wire,
    _requests: h2::client::SendRequest<Bytes>,
}

impl TheirClient {
    pub(crate) fn new() -> Self {
        let (limits, pipe) = (limits(), Pipe::default());
        let mut builder = h2::client::Builder::new();
        let list = u32::try_from(limits.request.head.size).expect("it is small");
        builder
            .enable_push(false)
            .max_header_list_size(list)
            .initial_max_send_streams(MANY)
            .max_concurrent_reset_streams(MANY)
            .max_local_error_reset_streams(Some(MANY))
            .data_frame_budget(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        let handshake = std::pin::pin!(builder.handshake(pipe.clone()));
        let Poll::Ready(Ok((mut requests, connection))) = handshake.poll(&mut cx) else {
            panic!("nothing is waited for")
        };
        let mut answers = Vec::new();
        for number in 0..ASKED {
            let method = if number * 2 + 1 == HEAD_STREAM { "HEAD" } else { "POST" };
            let request = Request::builder().method(method).uri("http://a/").body(());
            let (waiting, _) =
                requests.send_request(request.expect("valid"), true).expect("it may be sent");
            let stream = waiting.stream_id().as_u32();
            answers.push(Answer { stream, waiting: Some(waiting), coming: Coming::Over });
        }
        let client = Client::Open(Box::new(connection));
        let wire = Wire::default();
        let mut made = Self { pipe, client, answers, wire, _requests: requests };
        made.step(&[]);
        made
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.client, Client::Over)
    }

    /// A frame comes.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        let mut cx = Context::from_waker(Waker::noop());
        self.pipe.push(bytes);
        loop {
            let before = step.events.len();
            if let Client::Open(connection) = &mut self.client
                && Pin::new(connection).poll(&mut cx).is_ready()
            {
                self.client = Client::Over;
            }
            let sent = self.pipe.take_sent();
            self.wire.read(&sent, &mut step);
            for answer in &mut self.answers {
                answer.go_on(&mut step, &mut cx);
            }
            if step.events.len() == before && sent.is_empty() {
                break;
            }
        }
        step.sorted()
    }
}

impl Answer {
    fn go_on(&mut self, step: &mut Step, cx: &mut Context<'_>) {
        if let Some(waiting) = &mut self.waiting {
            while let Poll::Ready(Some(Ok(interim))) = waiting.poll_informational(cx) {
                let (status, mut fields) = (interim.status().as_u16(), interim.headers().clone());
                fields.remove(http::header::CONTENT_LENGTH);
                step.tell(self.stream, format!("interim {status}{}", map_text(&fields)));
            }
            match Pin::new(waiting).poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(response)) => {
                    let (status, mut fields) =
                        (response.status().as_u16(), response.headers().clone());
                    fields.remove(http::header::CONTENT_LENGTH);
                    step.tell(self.stream, format!("head {status}{}", map_text(&fields)));
                    self.coming = Coming::Body(response.into_body());
                }
                Poll::Ready(Err(error)) => tell_reset(self.stream, &error, step),
            }
            self.waiting = None;
        }
        self.coming.read(self.stream, step, cx);
    }
}
