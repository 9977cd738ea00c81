//! An echo server of yawc on one thread, with permessage-deflate for clients that offer it. The
//! argument is where it listens.

use futures_util::StreamExt;
use ringway_peers::yawc_server::{accept, options};
use ringway_peers::{argument, echo, serve};

fn main() {
    let options = options();
    serve(&argument(1, "where to listen"), move |socket| {
        accept(socket, options.clone(), |socket| echo(socket.map(Ok)))
    });
}
