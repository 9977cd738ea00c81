//! An echo server of sockudo-ws on one thread, with permessage-deflate for clients that offer it.
//! The argument is where it listens.

use ringway_peers::sockudo::{Socket, accept};
use ringway_peers::{argument, echo, serve};

fn main() {
    sockudo_ws::init_clock();
    serve(&argument(1, "where to listen"), |socket| async {
        match accept(socket).await {
            Some(Socket::Plain(socket)) => echo(socket).await,
            Some(Socket::Deflate(socket)) => echo(socket).await,
            None => {}
        }
    });
}
