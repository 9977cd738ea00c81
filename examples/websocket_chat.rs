//! A chat over WebSocket, with rooms by path and names by query: `cargo run --example
//! websocket_chat`, then `ringway connect` or a browser at `ws://127.0.0.1:8080/ROOM?NAME`. Whoever
//! joins or leaves is announced, and a thread tells all rooms how long the server has been running.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ringway::{
    HttpRequest, Message, Opened, Prepared, Server, StartOptions, WebSocketGroup, WebSocketHandler,
    WebSocketHandlers, WebSocketReceiver, WebSocketSender, config,
};

/// Bytes of a name at most.
const NAME_MAX: usize = 32;

/// The rooms, whichever workers their members are on. An empty one is dropped.
#[derive(Default)]
struct Rooms {
    by_path: Mutex<BTreeMap<String, WebSocketGroup>>,
}

impl Rooms {
    fn join(&self, path: &str, socket: &WebSocketSender) -> WebSocketGroup {
        let mut rooms = self.by_path.lock().expect("nobody panics with it");
        let room = rooms.entry(path.to_owned()).or_default().clone();
        room.join(socket);
        room
    }

    fn leave(&self, path: &str, socket: &WebSocketSender) {
        let mut rooms = self.by_path.lock().expect("nobody panics with it");
        if let Some(room) = rooms.get(path) {
            room.leave(socket);
            if room.is_empty() {
                rooms.remove(path);
            }
        }
    }

    /// Sends one message to all: its frame is made once.
    fn tell(&self, text: &str) {
        let message = Prepared::text(text);
        let rooms = self.by_path.lock().expect("nobody panics with it");
        for room in rooms.values() {
            room.broadcast(&message);
        }
    }
}

/// One for each worker.
struct Chat {
    rooms: Arc<Rooms>,
}

impl WebSocketHandler for Chat {
    fn open(&mut self, request: &HttpRequest<'_>, socket: &WebSocketSender) -> Opened {
        let name = request.query().unwrap_or_default();
        if name.is_empty() || name.len() > NAME_MAX {
            return Opened::refuse(400);
        }
        let room = self.rooms.join(request.path(), socket);
        let member = Member {
            name: name.to_owned(),
            path: request.path().to_owned(),
            room,
            rooms: Arc::clone(&self.rooms),
            socket: socket.clone(),
        };
        member.room.broadcast_text(&format!("* {name} joins"));
        Opened::accept(member)
    }
}

/// One for each socket.
struct Member {
    name: String,
    path: String,
    room: WebSocketGroup,
    rooms: Arc<Rooms>,
    socket: WebSocketSender,
}

impl WebSocketReceiver for Member {
    fn message(&mut self, message: Message<'_>) {
        match message {
            Message::Text("/quit") => self.socket.close(1000, "goodbye"),
            Message::Text(text) => {
                self.room.broadcast_text(&format!("{}: {text}", self.name));
            }
            Message::Binary(_) => self.socket.close(1003, "text only"),
        }
    }

    fn close(&mut self, _code: u16, _reason: &str) {
        self.rooms.leave(&self.path, &self.socket);
        self.room.broadcast_text(&format!("* {} leaves", self.name));
    }
}

/// Sends the time every second, as long as the server runs.
#[expect(clippy::disallowed_methods, reason = "it waits for the time, which is no event")]
fn tell_time(rooms: &Weak<Rooms>) {
    for seconds in 1_u64.. {
        std::thread::sleep(Duration::from_secs(1));
        let Some(rooms) = rooms.upgrade() else { return };
        rooms.tell(&format!("* the server has been running for {seconds} s"));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let text = format!(
        "admin.enabled = false\nruntime.shutdown_timeout = '1s'\n[[listener]]\nname = 'web'\n\
         listen = '{listen}'\nprotocol = 'http'\n[[listener.route]]\n\
         websocket = {{ service = 'handler', handler = 'chat' }}\n"
    );
    let rooms = Arc::new(Rooms::default());
    let clock = Arc::downgrade(&rooms);
    std::thread::spawn(move || tell_time(&clock));
    let websocket_handlers =
        WebSocketHandlers::new().with("chat", move || Chat { rooms: Arc::clone(&rooms) });
    let options = StartOptions { websocket_handlers, ..StartOptions::default() };
    let server = Server::start_with(config::parse("chat", &text)?, options)?;
    server.handle_signals();
    println!("listening on {}", server.address("web").expect("it has one"));
    let _ended = server.wait();
    Ok(())
}
