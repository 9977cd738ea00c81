//! Answers that come later, from another thread: `cargo run --example events`, then
//! `curl -N http://127.0.0.1:8080/events` in some terminals, and in another one
//! `curl -d 'something happened' http://127.0.0.1:8080/`.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use std::sync::{Arc, Mutex};

use ringway::{
    Answer, BodyReceiver, HttpHandler, HttpHandlers, HttpRequest, Response, Server, StartOptions,
    collect, config,
};

/// Everybody who listens, whichever worker has the connection.
type Listeners = Arc<Mutex<Vec<Answer>>>;

struct Events {
    listeners: Listeners,
}

impl HttpHandler for Events {
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        mut answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>> {
        if request.method() == "POST" {
            let listeners = Arc::clone(&self.listeners);
            return collect(answer, move |text, answer| {
                let told = tell(&listeners, &text);
                answer.send(Response::text(200), format!("told {told}\n"));
            });
        }
        let head = Response::new(200).with("content-type", "text/event-stream");
        if let Ok(head) = head
            && answer.begin(head).is_ok()
        {
            let mut listeners = self.listeners.lock().expect("nobody panics with it");
            listeners.retain(|listener| !listener.is_gone());
            listeners.push(answer);
        }
        None
    }
}

/// Tells everybody who takes it. Those who have gone, or do not keep up, are let go.
fn tell(listeners: &Listeners, text: &[u8]) -> usize {
    let event = [b"data: ", text, b"\n\n"].concat();
    let mut listeners = listeners.lock().expect("nobody panics with it");
    listeners.retain_mut(|listener| listener.part(event.as_slice()).is_ok());
    listeners.len()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let text = format!(
        "admin.enabled = false\nruntime.shutdown_timeout = '1s'\n[[listener]]\nname = 'web'\n\
         listen = '{listen}'\nprotocol = 'http'\n[[listener.route]]\nhandler = 'events'\n"
    );
    let listeners = Listeners::default();
    let http_handlers =
        HttpHandlers::new().with("events", move || Events { listeners: Arc::clone(&listeners) });
    let options = StartOptions { http_handlers, ..StartOptions::default() };
    let server = Server::start_with(config::parse("events", &text)?, options)?;
    server.handle_signals();
    println!("listening on {}", server.address("web").expect("it has one"));
    let _ended = server.wait();
    Ok(())
}
