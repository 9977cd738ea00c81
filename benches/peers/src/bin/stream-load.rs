//! A load of bidirectional streams: `stream-load ADDRESS PATH CONNECTIONS STREAMS SECONDS`. On each
//! stream, a message of 100 bytes is sent once the one before has come back. Prints how many did.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

const DATA: usize = 100;

/// A message with the field 1, framed.
fn message() -> Bytes {
    let mut message = BytesMut::new();
    message.extend_from_slice(&[0, 0, 0, 0, 2 + DATA as u8, 0x0a, DATA as u8]);
    message.extend_from_slice(&[b'x'; DATA]);
    message.freeze()
}

async fn stream(
    send: h2::client::SendRequest<Bytes>,
    path: String,
    count: Rc<Cell<u64>>,
) -> Result<(), h2::Error> {
    let request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = request.body(()).expect("a request");
    let (answer, mut body) = send.ready().await?.send_request(request, false)?;
    let message = message();
    body.send_data(message.clone(), false)?;
    let mut answer = answer.await?.into_body();
    let mut received = 0;
    while let Some(part) = answer.data().await {
        let part = part?;
        answer.flow_control().release_capacity(part.len())?;
        received += part.len();
        while received >= message.len() {
            received -= message.len();
            count.set(count.get() + 1);
            body.send_data(message.clone(), false)?;
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, connections, streams, seconds] = &arguments[..] else {
        panic!("stream-load ADDRESS PATH CONNECTIONS STREAMS SECONDS");
    };
    let count = Rc::new(Cell::new(0));
    let local = tokio::task::LocalSet::new();
    let load = async {
        for _ in 0..connections.parse().expect("connections") {
            let socket = tokio::net::TcpStream::connect(address).await.expect("a connection");
            socket.set_nodelay(true).expect("no delay");
            let (send, connection) = h2::client::Builder::new()
                .initial_connection_window_size(1 << 24)
                .handshake(socket)
                .await
                .expect("HTTP/2");
            tokio::task::spawn_local(connection);
            for _ in 0..streams.parse().expect("streams") {
                let (send, path, count) = (send.clone(), path.clone(), Rc::clone(&count));
                tokio::task::spawn_local(async move {
                    if let Err(error) = stream(send, path, count).await {
                        eprintln!("a stream ended: {error}");
                        std::process::exit(1);
                    }
                });
            }
        }
        let seconds = seconds.parse().expect("seconds");
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    };
    local.run_until(load).await;
    println!("{}", count.get());
}
