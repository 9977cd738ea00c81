//! A web server in ten lines: `cargo run --example hello`, then `curl http://127.0.0.1:8080/you`.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use ringway::{Answer, HttpHandlers, HttpRequest, Response, Server, StartOptions, config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let text = format!(
        "listener = [{{ name = 'web', listen = '{listen}', protocol = 'http', \
         route = [{{ handler = 'hello' }}] }}]\nadmin.enabled = false"
    );
    // One handler for each worker: no locks, however many cores there are.
    let http_handlers = HttpHandlers::new().with("hello", || {
        |request: &HttpRequest<'_>, answer: Answer| {
            answer.send(Response::text(200), format!("Hello, {}!\n", &request.path()[1..]));
            None
        }
    });
    let options = StartOptions { http_handlers, ..StartOptions::default() };
    let server = Server::start_with(config::parse("hello", &text)?, options)?;
    server.handle_signals();
    println!("listening on {}", server.address("web").expect("it has one"));
    let _ended = server.wait();
    Ok(())
}
