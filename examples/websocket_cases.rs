//! Runs all cases of a fuzzing server of WebSocket, such as that of the Autobahn test suite: each
//! message of a case is sent back until the server closes.
//!
//! `cargo run --example websocket_cases -- ws://127.0.0.1:9001 ringway`

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use ringway::client::{ClientError, WebSocket, WebSocketEvent, WebSocketOptions};

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the longest message of a case.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;

fn open(url: &str) -> Result<WebSocket, ClientError> {
    let (message_max, frame_max) = (MESSAGE_MAX, MESSAGE_MAX);
    let options = WebSocketOptions { message_max, frame_max, ..WebSocketOptions::default() };
    WebSocket::connect(url, &options)
}

/// Sends each message back, until one end closes.
fn echo(url: &str) -> Result<(), ClientError> {
    let mut socket = open(url)?;
    loop {
        let event = socket.receive(PATIENCE)?;
        if let WebSocketEvent::Message(message) = event {
            socket.send(&message, PATIENCE)?;
        } else if let WebSocketEvent::Closed(_) = event {
            return Ok(());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(server), Some(agent)) = (args.next(), args.next()) else {
        return Err("give the URL of a fuzzing server, and the name of the agent".into());
    };
    let mut counter = open(&format!("{server}/getCaseCount"))?;
    let count = counter.receive_message(PATIENCE)?.ok_or("the server does not count its cases")?;
    let count: u32 = std::str::from_utf8(count.bytes())?.trim().parse()?;
    // Both ends may close; what the server says is read before.
    while counter.receive_message(PATIENCE)?.is_some() {}
    for case in 1..=count {
        // Many cases break a rule, so that they have to end with an error.
        if let Err(error) = echo(&format!("{server}/runCase?case={case}&agent={agent}")) {
            eprintln!("case {case}: {error}");
        }
    }
    let mut last = open(&format!("{server}/updateReports?agent={agent}"))?;
    while last.receive_message(PATIENCE)?.is_some() {}
    writeln!(std::io::stdout(), "{count} cases")?;
    Ok(())
}
