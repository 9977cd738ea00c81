//! Sockets over HTTP/2 (RFC 8441), by the `h2` crate: many on one connection.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request};

use super::*;

/// One socket.
struct Stream {
    send: SendStream<Bytes>,
    body: RecvStream,
    frames: Frames,
}

/// The requests of one connection, which a task of its own works on.
async fn open_connection(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let (send, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    let mut send = send.ready().await.unwrap();
    while !send.is_extended_connect_protocol_enabled() {
        // The server's settings come first of all.
        tokio::time::sleep(Duration::from_millis(1)).await;
        send = send.ready().await.unwrap();
    }
    send
}

impl Stream {
    async fn open(send: &SendRequest<Bytes>) -> Self {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri("http://a.example/ws")
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let mut send = send.clone().ready().await.unwrap();
        let (answer, send) = send.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { send, body: answer.into_body(), frames: Frames::new() }
    }

    async fn send(&mut self, mut bytes: Vec<u8>) {
        send_on(&mut self.send, &mut bytes).await;
    }

    /// Closes in order.
    async fn close(mut self) {
        let mut out = Vec::new();
        self.frames.endpoint.close(CloseCode::NORMAL, "", MASK, &mut out);
        self.send(out).await;
        assert_eq!(self.next().await, Came::Closed(1000));
    }

    async fn next(&mut self) -> Came {
        loop {
            if let Some((came, answer)) = self.frames.next() {
                if !answer.is_empty() {
                    self.send(answer).await;
                }
                return came;
            }
            let part = self.body.data().await.expect("a close frame comes first").unwrap();
            self.body.flow_control().release_capacity(part.len()).unwrap();
            self.frames.input.extend_from_slice(&part);
        }
    }

    async fn take(&mut self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            match self.next().await {
                Came::Binary(bytes) => all.extend_from_slice(&bytes),
                other @ (Came::Text(_) | Came::Closed(_)) => panic!("{other:?}"),
            }
        }
        all
    }
}

/// Sends bytes as the windows allow it.
async fn send_on(send: &mut SendStream<Bytes>, bytes: &mut Vec<u8>) {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|context| send.poll_capacity(context)).await;
        let room = room.unwrap().unwrap().min(bytes.len());
        let part: Vec<u8> = bytes.drain(..room).collect();
        send.send_data(part.into(), false).unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() });
}

#[test]
fn many_sockets_share_a_connection_of_http2() {
    let served = relay(&[echo_server()], "");
    run(async {
        let connection = open_connection(served.address()).await;
        let all: Vec<_> = (0..20)
            .map(|number| {
                let connection = connection.clone();
                tokio::spawn(async move {
                    let mut stream = Stream::open(&connection).await;
                    let text = bytes(number, 100_000);
                    for part in text.chunks(33_333) {
                        stream.send(frame(Opcode::Binary, part)).await;
                        assert!(stream.take(part.len()).await == part, "{number}");
                    }
                    stream.close().await;
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
    });
    let open = || served.sum(|cell| cell.stats.upstreams.get(0).active.get());
    wait_until("all connections are over", || open() == 0 && waiting(&served) == 0);
}

#[test]
fn a_socket_that_is_not_read_does_not_stop_the_others_of_its_connection() {
    let server = serve(|mut stream| {
        let mut what = [0; 5];
        stream.read_exact(&mut what).unwrap();
        if &what == b"flood" {
            let _cut = stream.write_all(&bytes(9, 8 << 20));
        } else {
            stream.write_all(&what).unwrap();
            let _end = stream.read(&mut [0; 9]);
        }
    });
    let served = relay(&[server], "");
    run(async {
        let connection = open_connection(served.address()).await;
        let mut slow = Stream::open(&connection).await;
        slow.send(frame(Opcode::Text, b"flood")).await;
        for _ in 0..20 {
            let mut quick = Stream::open(&connection).await;
            quick.send(frame(Opcode::Text, b"quick")).await;
            assert_eq!(quick.take(5).await, b"quick");
        }
        let most = waiting(&served);
        assert!(most < 1 << 20, "{most} bytes wait");
        assert!(slow.take(8 << 20).await == bytes(9, 8 << 20));
        assert_eq!(slow.next().await, Came::Closed(1000));
    });
}

#[test]
fn a_reset_of_a_stream_ends_its_connection_alone() {
    let (sender, receiver) = mpsc::channel();
    let server = serve(move |mut stream| {
        let (mut all, mut part) = (Vec::new(), [0; 100]);
        while let Ok(count @ 1..) = stream.read(&mut part) {
            all.extend_from_slice(&part[..count]);
            stream.write_all(&part[..count]).unwrap();
        }
        sender.send(all).unwrap();
    });
    let served = relay(&[server], "");
    run(async {
        let connection = open_connection(served.address()).await;
        let mut gone = Stream::open(&connection).await;
        let mut stays = Stream::open(&connection).await;
        gone.send(frame(Opcode::Text, b"gone")).await;
        stays.send(frame(Opcode::Text, b"stays")).await;
        assert_eq!(gone.take(4).await, b"gone");
        assert_eq!(stays.take(5).await, b"stays");
        gone.send.send_reset(h2::Reason::CANCEL);
        let came = tokio::task::spawn_blocking(move || {
            (receiver.recv_timeout(PATIENCE).unwrap(), receiver)
        });
        let (came, receiver) = came.await.unwrap();
        assert_eq!(came, b"gone");
        stays.send(frame(Opcode::Text, b", and ends")).await;
        assert_eq!(stays.take(10).await, b", and ends");
        stays.close().await;
        let came = tokio::task::spawn_blocking(move || receiver.recv_timeout(PATIENCE).unwrap());
        assert_eq!(came.await.unwrap(), b"stays, and ends");
    });
}
