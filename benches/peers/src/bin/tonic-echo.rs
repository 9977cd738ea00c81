//! A server of tonic on one thread: `/bench.Echo/Unary` and `/bench.Echo/Stream` give back what they
//! get. The argument is where it listens.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "bytes", tag = "1")]
    data: bytes::Bytes,
}

#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl UnaryService<Message> for Echo {
    type Response = Message;
    type Future = Ready<Result<Response<Message>, Status>>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl StreamingService<Message> for Echo {
    type Response = Message;
    type ResponseStream = Streaming<Message>;
    type Future = Ready<Result<Response<Streaming<Message>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl tower_service::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is_unary = request.uri().path() == "/bench.Echo/Unary";
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Message, Message>::default());
            Ok(if is_unary {
                grpc.unary(Self, request).await
            } else {
                grpc.streaming(Self, request).await
            })
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).ok_or("where to listen?")?.parse()?;
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .initial_connection_window_size(1 << 24)
        .initial_stream_window_size(1 << 20)
        .add_service(Echo)
        .serve(listen)
        .await?;
    Ok(())
}
