//! A topic whose messages go to all subscribers by `tokio::sync::broadcast`, over tokio-tungstenite,
//! on one thread. The argument is where it listens.

use ringway_peers::{argument, fanout, serve};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

fn main() {
    let (topic, _) = tokio::sync::broadcast::channel::<Message>(1024);
    // What the library's documentation advises for many connections.
    let config = WebSocketConfig::default().read_buffer_size(4096);
    serve(&argument(1, "where to listen"), move |socket| {
        let topic = topic.clone();
        async move {
            if let Ok(socket) = accept_async_with_config(socket, Some(config)).await {
                fanout(socket, topic).await;
            }
        }
    });
}
