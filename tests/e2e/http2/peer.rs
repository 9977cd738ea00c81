//! A client of HTTP/2, and the threads of servers, by the `h2` crate.

use std::net::SocketAddr;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use crate::support::until;

type Bytes = bytes::Bytes;

/// Runs a test of HTTP/2.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let all = tokio::time::timeout(Duration::from_secs(60), test);
        all.await.expect("it takes no minute");
    });
}

/// One connection.
pub(super) struct Peer {
    send: SendRequest<Bytes>,
    end: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// An answer that has come whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

/// An answer that is waited for.
pub(super) struct Waiting(ResponseFuture);

/// An answer whose head has come.
#[derive(Debug)]
pub(super) struct Open {
    status: u16,
    fields: HeaderMap,
    body: RecvStream,
}

impl Peer {
    pub(super) async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // One answer that is not taken leaves room for others.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 20);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, end: tokio::spawn(connection) }
    }

    /// One whose streams have a window of so many bytes.
    pub(super) async fn with_window(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, end: tokio::spawn(connection) }
    }

    /// One that gives up more requests than clients usually do.
    pub(super) async fn that_gives_up(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder
            .initial_connection_window_size(1 << 20)
            .max_concurrent_reset_streams(100_000)
            .max_local_error_reset_streams(None);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, end: tokio::spawn(connection) }
    }

    /// Begins a request whose body follows.
    pub(super) async fn open(&mut self, method: &str, path: &str) -> (Waiting, SendStream<Bytes>) {
        let uri = format!("http://a.example{path}");
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        self.send = self.send.clone().ready().await.unwrap();
        let (answer, body) = self.send.send_request(request, false).unwrap();
        (Waiting(answer), body)
    }

    /// Begins an extended CONNECT, once the server has said that it knows that.
    pub(super) async fn send_extended(
        &mut self,
        request: Request<()>,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.settle(|| self.send.is_extended_connect_protocol_enabled()).await;
        self.send = self.send.clone().ready().await.unwrap();
        self.send.send_request(request, false).unwrap()
    }

    /// Sends a request.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Waiting {
        let mut request = Request::builder().method(method).uri(format!("http://a.example{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send = self.send.clone().ready().await.unwrap();
        let is_empty = body.is_empty();
        let (answer, stream) = self.send.send_request(request.body(()).unwrap(), is_empty).unwrap();
        if !is_empty {
            tokio::spawn(send_all(stream, body));
        }
        Waiting(answer)
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, h2::Error> {
        self.ask("GET", path, &[], Vec::new()).await.whole().await
    }

    /// Waits for something that others do, while the connection goes on.
    pub(super) async fn settle(&self, done: impl Fn() -> bool) {
        until("others have done it", done).await;
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(self) -> Option<h2::Error> {
        let Self { send, end } = self;
        let ended = end.await.unwrap();
        drop(send);
        ended.err()
    }
}

/// Sends a body as windows let it, until it is sent or the stream is over.
pub(super) async fn send_all(mut stream: SendStream<Bytes>, body: Vec<u8>) {
    let mut rest = Bytes::from(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(100_000));
        let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await
        else {
            return;
        };
        let part = rest.split_to(room.min(rest.len()));
        let is_last = rest.is_empty();
        if stream.send_data(part, is_last).is_err() {
            return;
        }
    }
}

impl Waiting {
    /// The head of the answer.
    pub(super) async fn head(self) -> Result<Open, h2::Error> {
        let (head, body) = self.0.await?.into_parts();
        Ok(Open { status: head.status.as_u16(), fields: head.headers, body })
    }

    /// All of the answer.
    pub(super) async fn whole(self) -> Result<Answer, h2::Error> {
        self.head().await?.whole().await
    }
}

impl Open {
    /// The next part of the body.
    pub(super) async fn part(&mut self) -> Option<Result<Vec<u8>, h2::Error>> {
        let part = self.body.data().await?;
        Some(part.map(|part| {
            self.body.flow_control().release_capacity(part.len()).unwrap();
            part.to_vec()
        }))
    }

    pub(super) async fn whole(mut self) -> Result<Answer, h2::Error> {
        let mut body = Vec::new();
        while let Some(part) = self.part().await {
            body.extend_from_slice(&part?);
        }
        let trailers = self.body.trailers().await?;
        Ok(Answer { status: self.status, fields: self.fields, body, trailers })
    }
}
