//! A load of WebSocket clients on one thread, over epoll. It prints one line of JSON.
//!
//! ```text
//! websocket-load echo   --target A --connections N --size B --pipeline K --seconds S [--deflate]
//! websocket-load fanout --target A --subscribers N --size B --publishes M [--deflate]
//!                       [--subscribe TEXT] [--publish TEXT]
//! websocket-load idle   --target A --connections N [--deflate]
//! ```
//!
//! All take `--path P`, by default `/`. `fanout` and `idle` first print a line of JSON once all
//! connections stand, and wait for a line of their input before they go on.

mod client;
mod echo;
mod epoll;
mod fanout;
mod frames;

use std::collections::HashMap;
use std::io::{BufRead, Write};

/// The arguments: names with their values, and switches with an empty one.
pub struct Options(HashMap<String, String>);

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = HashMap::new();
        let mut arguments = arguments.peekable();
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").expect("an option").to_owned();
            let value = arguments.next_if(|value| !value.starts_with("--"));
            options.insert(name, value.unwrap_or_default());
        }
        Self(options)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn text<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.0.get(name).map_or(otherwise, String::as_str)
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> T {
        let value = self.0.get(name).unwrap_or_else(|| panic!("missing option: --{name}"));
        value.parse().unwrap_or_else(|_| panic!("no number: --{name} {value}"))
    }
}

/// Tells that all connections stand, and waits for a line of input, or its end.
pub fn ready(connections: usize) {
    println!("{{\"ready\":{connections}}}");
    std::io::stdout().flush().expect("an output");
    std::io::stdin().lock().read_line(&mut String::new()).expect("an input");
}

fn idle(options: &Options) {
    let connections = options.number("connections");
    let held = client::connect_all(options, connections);
    // A connection that has done what it is for: a message of it came back.
    for one in &held {
        client::exchange(one, &[b'x'; 64], options.has("deflate"));
    }
    ready(connections);
    println!("{{\"connections\":{}}}", held.len());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().expect("echo, fanout or idle");
    let options = Options::parse(arguments);
    match &mode[..] {
        "echo" => echo::run(&options),
        "fanout" => fanout::run(&options),
        "idle" => idle(&options),
        _ => panic!("unknown: {mode}; known are echo, fanout and idle"),
    }
}
