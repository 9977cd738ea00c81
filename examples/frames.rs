//! Requests of one's own in the framed protocol and in messages: `cargo run --example frames`, then
//! `ringway connect messages://127.0.0.1:7004 add '[1, 2, 3]'`.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use ringway::session::HandlerFactory;
use ringway::{Handler, Kind, Refusal, Request, Server, StartOptions, config};

/// The command of a frame that adds its bytes up.
const ADD: u8 = 0x40;

#[derive(Debug)]
struct Adder;

impl Handler for Adder {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        match request.kind {
            Kind::Command(ADD) => {
                let sum: u64 = request.payload.iter().map(|byte| u64::from(*byte)).sum();
                answer.extend_from_slice(&sum.to_be_bytes());
                Ok(())
            }
            Kind::Message("add") => {
                let numbers: Vec<i64> = serde_json::from_slice(request.payload)
                    .map_err(|error| Refusal::BadPayload(error.to_string()))?;
                let sum: i64 = numbers.iter().sum();
                answer.extend_from_slice(sum.to_string().as_bytes());
                Ok(())
            }
            Kind::Command(_) | Kind::Message(_) => Err(Refusal::Unknown),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7002".to_owned());
    let text = format!(
        "admin.enabled = false\n[[listener]]\nname = 'frames'\nlisten = '{host}'\n\
         protocol = 'frame'\n[[listener]]\nname = 'messages'\nlisten = '127.0.0.1:{port}'\n\
         protocol = 'messages'\n",
        port = if host.ends_with(":0") { 0 } else { 7004 }
    );
    let handler = HandlerFactory::new(|_worker| Box::new(Adder));
    let options = StartOptions { handler, ..StartOptions::default() };
    let server = Server::start_with(config::parse("frames", &text)?, options)?;
    server.handle_signals();
    println!("listening on {}", server.address("frames").expect("it has one"));
    println!("messages on {}", server.address("messages").expect("it has one"));
    let _ended = server.wait();
    Ok(())
}
