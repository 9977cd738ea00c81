//! An echo server of fastwebsockets on one thread, as its example, but on the socket itself and not
//! on hyper's wrapper of it. The argument is where it listens.
//!
//! The library writes each frame at once; it has nothing that collects them. Pongs, closes and
//! vectored writes are its defaults, and so is that text is checked to be UTF-8.

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ringway_peers::{argument, serve};
use tokio::net::TcpStream;

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let upgraded = upgraded.await?.into_inner().into_inner();
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().expect("the socket");
    assert!(parts.read_buf.is_empty(), "the load waits for the answer");
    let socket = WebSocket::after_handshake(parts.io.into_inner(), Role::Server);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn handshake(
    mut request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(async {
        // A client that goes away is no failure.
        let _ = echo(upgraded).await;
    }));
    Ok(response)
}

fn main() {
    serve(&argument(1, "where to listen"), |socket| async {
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(handshake));
        let _ = connection.with_upgrades().await;
    });
}
