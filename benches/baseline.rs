//! Echo servers as one writes them with tokio and with tokio-uring, to be measured beside ours.
//!
//! - `baseline tokio-echo LISTEN`
//! - `baseline tokio-uring-echo LISTEN`
#![allow(clippy::print_stdout, reason = "the usage")]

use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_uring::buf::BoundedBuf;

const USAGE: &str = "usage: baseline tokio-echo|tokio-uring-echo LISTEN";
const SIZE: usize = 16 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // `cargo bench` runs all there is: this is a program that scripts/compare.sh runs.
        [.., "--bench"] => {}

        ["tokio-echo", listen] => tokio_echo(listen),
        ["tokio-uring-echo", listen] => tokio_uring_echo(listen),
        // Cargo runs benches without arguments, or with its own.
        [] | ["--bench" | "--test", ..] => println!("{USAGE}"),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn tokio_echo(listen: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.expect("listen");
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            tokio::spawn(async move {
                let mut buffer = vec![0; SIZE];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn tokio_uring_echo(listen: &str) {
    let address = listen.parse().expect("an address");
    tokio_uring::start(async move {
        let listener = tokio_uring::net::TcpListener::bind(address).expect("listen");
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            tokio_uring::spawn(async move {
                let mut buffer = vec![0; SIZE];
                loop {
                    let (result, filled) = stream.read(buffer).await;
                    let Ok(count @ 1..) = result else { return };
                    let (result, sent) = stream.write_all(filled.slice(..count)).await;
                    if result.is_err() {
                        return;
                    }
                    buffer = sent.into_inner();
                }
            });
        }
    });
}
