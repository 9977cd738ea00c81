//! A proxy within a program, whose servers it changes while requests go on:
//! `cargo run --example proxy -- 127.0.0.1:8080 127.0.0.1:3000 127.0.0.1:3001`. Each line of standard
//! input is the servers from then on; the end of the input ends the program.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use std::io::BufRead;

use ringway::{Config, Server, config};

/// What is served, with these servers.
fn plan(listen: &str, servers: &[String]) -> Result<Config, config::Report> {
    let servers: Vec<String> = servers.iter().map(|server| format!("'{server}'")).collect();
    let text = format!(
        "admin.enabled = false\n[[listener]]\nname = 'web'\nlisten = '{listen}'\n\
         protocol = 'http'\n[[listener.route]]\nproxy = 'servers'\n\
         [upstream.servers]\nservers = [{}]\nbalance = 'least_requests'\n",
        servers.join(", ")
    );
    config::parse("proxy", &text)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let servers: Vec<String> = arguments.collect();
    let server = Server::start(plan(&listen, &servers)?)?;
    let listen = server.address("web").expect("it has one").to_string();
    println!("listening on {listen}");
    for line in std::io::stdin().lock().lines() {
        let servers: Vec<String> = line?.split_whitespace().map(str::to_owned).collect();
        match plan(&listen, &servers) {
            Ok(plan) => println!("{:?}", server.reload(plan)?.plan),
            Err(report) => eprintln!("{report}"),
        }
    }
    server.drain();
    let _ended = server.wait();
    Ok(())
}
