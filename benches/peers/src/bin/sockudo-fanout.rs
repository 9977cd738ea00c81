//! A topic whose messages go to all subscribers by `tokio::sync::broadcast`, over sockudo-ws, on one
//! thread, with permessage-deflate for clients that offer it. The argument is where it listens.

use ringway_peers::sockudo::{Socket, accept};
use ringway_peers::{argument, fanout, serve};
use sockudo_ws::Message;

fn main() {
    sockudo_ws::init_clock();
    let (topic, _) = tokio::sync::broadcast::channel::<Message>(1024);
    serve(&argument(1, "where to listen"), move |socket| {
        let topic = topic.clone();
        async move {
            match accept(socket).await {
                Some(Socket::Plain(socket)) => fanout(socket, topic).await,
                Some(Socket::Deflate(socket)) => fanout(socket, topic).await,
                None => {}
            }
        }
    });
}
