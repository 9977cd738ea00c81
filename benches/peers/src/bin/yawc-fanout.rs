//! A topic whose messages go to all subscribers by `tokio::sync::broadcast`, over yawc, on one
//! thread, with permessage-deflate for clients that offer it. The argument is where it listens.

use futures_util::StreamExt;
use ringway_peers::yawc_server::{accept, options};
use ringway_peers::{argument, fanout, serve};
use yawc::Frame;

fn main() {
    let (topic, _) = tokio::sync::broadcast::channel::<Frame>(1024);
    let options = options();
    serve(&argument(1, "where to listen"), move |socket| {
        let topic = topic.clone();
        accept(socket, options.clone(), move |socket| fanout(socket.map(Ok), topic))
    });
}
