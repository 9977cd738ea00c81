//! Bodies in both directions, by threads that may wait: `cargo run --example upload`, then
//! `curl -T FILE http://127.0.0.1:8080/sha256` and `curl http://127.0.0.1:8080/numbers`.
//!
//! However large a body is, only a few parts of it are in memory: a client that sends faster than it is
//! read is slowed down, and so is whoever writes faster than the client takes it.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use std::io::{Read, Write};

use ringway::{
    Answer, BodyReceiver, HttpHandler, HttpHandlers, HttpRequest, Response, Server, StartOptions,
    blocking_body, config,
};
use sha2::{Digest, Sha256};

/// Answers by two paths.
struct Files;

impl HttpHandler for Files {
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>> {
        match request.path() {
            "/sha256" => {
                let (receiver, body) = blocking_body(&answer);
                answer.spawn_blocking(|answer| match sum(body) {
                    Ok(text) => answer.send(Response::text(200), text),
                    // The client has gone: nobody reads this.
                    Err(error) => answer.fail(&error.to_string()),
                });
                Some(receiver)
            }
            "/numbers" => {
                answer.spawn_blocking(|mut answer| {
                    if answer.begin(Response::text(200)).is_err() {
                        return;
                    }
                    for number in 0..100_000 {
                        if writeln!(answer, "{number}").is_err() {
                            return;
                        }
                    }
                    answer.end();
                });
                None
            }
            _ => {
                answer.send(Response::text(404), "try /sha256 or /numbers\n");
                None
            }
        }
    }
}

fn sum(mut body: impl Read) -> std::io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match body.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(digits + "\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let text = format!(
        "admin.enabled = false\n[[listener]]\nname = 'web'\nlisten = '{listen}'\n\
         protocol = 'http'\nbody_max = 'off'\n[[listener.route]]\nhandler = 'files'\n"
    );
    let http_handlers = HttpHandlers::new().with("files", || Files);
    let options = StartOptions { http_handlers, ..StartOptions::default() };
    let server = Server::start_with(config::parse("upload", &text)?, options)?;
    server.handle_signals();
    println!("listening on {}", server.address("web").expect("it has one"));
    let _ended = server.wait();
    Ok(())
}
