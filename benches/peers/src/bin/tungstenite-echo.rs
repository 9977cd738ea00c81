//! An echo server of tokio-tungstenite on one thread: `tungstenite-echo ADDRESS READ_BUFFER`.
//!
//! The library fills the free part of its read buffer with zeros before each read, and allocates it
//! when a connection begins: its default of 128 KiB suits few connections with large messages only.

use ringway_peers::{argument, echo, serve};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

fn main() {
    let read_buffer = argument(2, "the bytes of the read buffer").parse().expect("bytes");
    let config = WebSocketConfig::default().read_buffer_size(read_buffer);
    serve(&argument(1, "where to listen"), move |socket| async move {
        if let Ok(socket) = accept_async_with_config(socket, Some(config)).await {
            echo(socket).await;
        }
    });
}
