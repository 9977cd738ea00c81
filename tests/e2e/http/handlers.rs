//! Requests that the program's own handlers answer.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use ringway::handler::{
    Answer, AnswerError, BodyReceiver, HttpHandler, HttpHandlers, HttpRequest, Reading, Response,
    Trailers, blocking_body, collect,
};
use ringway::proto::http::Fields;
use ringway::server::{Server, StartError, StartOptions};
use ringway::service::CloseReason;

use super::*;

/// Bytes of the body of `/many`.
pub(crate) const MANY: usize = 3_000_000;

/// What tests see of the handlers.
#[derive(Clone)]
pub(crate) struct Seen {
    /// Answers of `/later`, which the test gives.
    later: Arc<Mutex<Receiver<Answer>>>,
    give: Arc<Mutex<Sender<Answer>>>,
    /// Receivers of `/hang` that were dropped.
    pub(crate) cancelled: Arc<AtomicUsize>,
    /// Handlers that were made.
    made: Arc<AtomicUsize>,
    /// While it is held, `/slow` reads nothing.
    gate: Arc<Mutex<()>>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        let (give, later) = channel();
        Self {
            later: Arc::new(Mutex::new(later)),
            give: Arc::new(Mutex::new(give)),
            cancelled: Arc::default(),
            made: Arc::default(),
            gate: Arc::default(),
        }
    }

    /// The next answer that somebody waits for.
    pub(crate) fn next(&self) -> Answer {
        self.later.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn handlers(&self) -> HttpHandlers {
        let this = self.clone();
        HttpHandlers::new().with("test", move || {
            this.made.fetch_add(1, Ordering::Relaxed);
            Program { seen: this.clone(), requests: 0 }
        })
    }

    pub(crate) fn serve(&self, keys: &str, route: &str) -> Served {
        let listener = format!(
            "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n{keys}\n"
        );
        let route = format!(
            "[[listener.route]]\nname = \"own\"\nhandler = \"test\"\nbody_max = \"off\"\n{route}\n"
        );
        let options = StartOptions { http_handlers: self.handlers(), ..StartOptions::default() };
        Served::with_options(&[&runtime(1), NO_ADMIN, &listener, &route].concat(), options)
    }
}

struct Program {
    seen: Seen,
    requests: usize,
}

impl HttpHandler for Program {
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        mut answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>> {
        self.requests += 1;
        match request.path() {
            "/count" => answer.send(Response::text(200), self.requests.to_string()),
            "/what" => {
                let text = format!(
                    "{} {} {:?} {} {:?} {:?}",
                    request.method(),
                    request.path(),
                    request.query(),
                    request.route,
                    request.length,
                    request.field("x-field").map(<[u8]>::escape_ascii).map(|text| text.to_string())
                );
                answer.send(Response::text(200).with("x-own", "1").unwrap(), text);
            }
            "/later" => self.seen.give.lock().unwrap().send(answer).unwrap(),
            "/upper" => {
                return collect(answer, |body, answer| {
                    answer.send(Response::text(200), body.to_ascii_uppercase());
                });
            }
            "/echo" => {
                let (receiver, mut body) = blocking_body(&answer);
                answer.spawn_blocking(move |mut answer| {
                    answer.begin(Response::new(200)).unwrap();
                    if let Ok(count) = std::io::copy(&mut body, &mut answer) {
                        let mut trailers = Trailers::new();
                        for field in body.trailers().unwrap_or_default().iter() {
                            let name = std::str::from_utf8(field.name).unwrap();
                            trailers = trailers.with(name, field.value).unwrap();
                        }
                        let length = count.to_string();
                        answer.end_with(trailers.with("x-length", length).unwrap());
                    }
                });
                return Some(receiver);
            }
            "/many" => {
                answer.begin(Response::new(200).with_length(MANY as u64)).unwrap();
                let mut many = Many { answer: Some(answer), left: MANY };
                many.room();
                return Some(Box::new(many));
            }
            "/hang" => {
                let cancelled = Arc::clone(&self.seen.cancelled);
                return Some(Box::new(Hang { _answer: answer, cancelled }));
            }
            "/hints" => {
                let hints = Response::new(103).with("link", "</a.css>; rel=preload").unwrap();
                answer.interim(hints).unwrap();
                assert_eq!(answer.interim(Response::new(200)), Err(AnswerError::Order));
                answer.send(Response::text(200), "page");
            }
            "/panic" => panic!("as it was asked to"),
            "/panic-body" => return Some(Box::new(Panics { _answer: answer })),
            "/panic-thread" => answer.spawn_blocking(|_answer| panic!("on its thread")),
            "/drop" => drop(answer),
            "/fail" => {
                answer.begin(Response::new(200)).unwrap();
                answer.part("the beginning").unwrap();
                answer.fail("it was asked to");
            }
            "/short" | "/long" => {
                answer.begin(Response::new(200).with_length(10)).unwrap();
                let count = if request.path() == "/short" { 9 } else { 11 };
                answer.part(vec![b'x'; count]).unwrap();
                answer.end();
            }
            "/interim" => answer.send(Response::text(103), "no answer"),
            "/reset" => answer.send(Response::text(205), "no content"),
            "/slow" => {
                let (receiver, mut body) = blocking_body(&answer);
                let seen = self.seen.clone();
                answer.spawn_blocking(move |answer| {
                    // The test says when it reads on.
                    drop(seen.gate.lock().unwrap());
                    let mut text = Vec::new();
                    match body.read_to_end(&mut text) {
                        Ok(count) => answer.send(Response::text(200), count.to_string()),
                        Err(error) => answer.fail(&error.to_string()),
                    }
                });
                return Some(receiver);
            }
            "/empty" => {
                answer.begin(Response::new(204)).unwrap();
                answer.part("nobody may see this").unwrap();
                answer.end();
            }
            _ => answer.send(Response::text(404), "no such thing"),
        }
        None
    }
}

/// Gives parts as there is room for them.
struct Many {
    answer: Option<Answer>,
    left: usize,
}

impl BodyReceiver for Many {
    fn part(&mut self, _part: &[u8]) -> Reading {
        Reading::On
    }

    fn end(&mut self, _trailers: Option<&Fields>) {}

    fn room(&mut self) {
        while let Some(answer) = &mut self.answer
            && self.left > 0
        {
            let count = self.left.min(7_000);
            match answer.part(vec![b'm'; count]) {
                Ok(()) => self.left -= count,
                Err(AnswerError::Full(_)) => return,
                Err(other) => panic!("{other}"),
            }
        }
        if let Some(answer) = self.answer.take() {
            answer.end();
        }
    }
}

/// Never answers.
struct Hang {
    _answer: Answer,
    cancelled: Arc<AtomicUsize>,
}

impl BodyReceiver for Hang {
    fn part(&mut self, _part: &[u8]) -> Reading {
        Reading::Paused
    }

    fn end(&mut self, _trailers: Option<&Fields>) {}
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}

struct Panics {
    _answer: Answer,
}

impl BodyReceiver for Panics {
    fn part(&mut self, _part: &[u8]) -> Reading {
        panic!("at a part");
    }

    fn end(&mut self, _trailers: Option<&Fields>) {}
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn a_handler_answers_at_once_and_sees_the_request() {
    let served = Seen::new().serve("", "");
    let mut client = Client::new(served.address());
    let answer = client
        .ask("GET /what?q=1 HTTP/1.1\r\nHost: a.example\r\nX-Field: a b\r\nConnection: x\r\n\r\n");
    assert_eq!(answer.text(), "GET /what Some(\"q=1\") own Some(0) Some(\"a b\")");
    assert_eq!((answer.status, answer.field("x-own")), (200, Some("1")));
    assert_eq!(client.get("/nothing").status, 404);
    client.send("HEAD /what HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.head().status, 200);
    // One handler for all requests of a worker.
    assert_eq!(client.get("/count").text(), "4");
}

#[test]
fn an_answer_may_come_later_from_any_thread_and_in_parts() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    let mut client = Client::new(served.address());
    client.send("GET /later HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut answer = seen.next();
    assert_eq!(answer.part("too early"), Err(AnswerError::Order));
    answer.begin(Response::text(201)).unwrap();
    assert_eq!(answer.begin(Response::text(201)), Err(AnswerError::Order));
    assert_eq!(client.head().status, 201);
    for text in ["one", "two"] {
        answer.part(text).unwrap();
        let mut chunk = [0; 8];
        client.0.read_exact(&mut chunk).unwrap();
        assert_eq!(chunk, format!("3\r\n{text}\r\n").as_bytes());
    }
    answer.end();
    assert_eq!(client.chunks(), b"");
    // The connection goes on, with what was sent ahead.
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /count HTTP/1.1\r\nHost: a\r\n\r\n");
    seen.next().send(Response::text(200), "now");
    assert_eq!((client.answer().text(), client.answer().text()), ("now", "3"));
}

#[test]
fn bodies_are_collected_streamed_and_dropped() {
    let served = Seen::new().serve("", "");
    let mut client = Client::new(served.address());
    client.0.get_mut().write_all(&post("/upper", b"some text")).unwrap();
    assert_eq!(client.answer().text(), "SOME TEXT");
    client.0.get_mut().write_all(&post("/upper", b"")).unwrap();
    assert_eq!(client.answer().text(), "");
    // One that nobody takes.
    client.0.get_mut().write_all(&post("/count", &bytes(1, 10_000))).unwrap();
    assert_eq!(client.answer().text(), "3");
    assert_eq!(client.get("/count").text(), "4");
    // More than may wait, both ways at a time.
    let body = bytes(2, 5_000_000);
    let (mut writer, sent) = (client.0.get_ref().try_clone().unwrap(), post("/echo", &body));
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    assert_eq!(client.answer().body, body);
    writing.join().unwrap();
    // A client that wants to be asked.
    let head =
        "POST /upper HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.ask(head).status, 100);
    client.send("ab");
    assert_eq!(client.answer().text(), "AB");
}

#[test]
fn parts_go_out_as_their_client_takes_them() {
    let served = Seen::new().serve("", "");
    let mut client = Client::new(served.address());
    let answer = client.get("/many");
    assert_eq!(answer.body.len(), MANY);
    assert_eq!(answer.field("content-length"), Some("3000000"));
    assert_eq!(client.get("/hints").status, 103);
    assert_eq!(client.answer().text(), "page");
    let empty = client.get("/empty");
    assert_eq!((empty.status, empty.field("content-length")), (204, None));
    assert_eq!(client.get("/count").text(), "4");
}

#[test]
fn what_a_handler_breaks_costs_its_request_and_no_other() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    let mut client = Client::new(served.address());
    for path in ["/panic", "/panic-thread", "/drop"] {
        assert_eq!(client.get(path).status, 500, "{path}");
    }
    client.0.get_mut().write_all(&post("/panic-body", b"x")).unwrap();
    assert_eq!(client.answer().status, 500);
    // What has panicked was made again.
    assert_eq!(client.get("/count").text(), "1");
    assert_eq!(seen.made.load(Ordering::Relaxed), 3);
    // An answer that has begun is cut.
    for path in ["/fail", "/short", "/long"] {
        let mut client = Client::new(served.address());
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut all = Vec::new();
        let ended = client.0.read_to_end(&mut all);
        let text = String::from_utf8_lossy(&all).into_owned();
        let is_whole = text.ends_with("\r\n0\r\n\r\n") || text.ends_with("xxxxxxxxxx");
        assert!(ended.is_err() || !is_whole, "{path}: {text}");
    }
    wait_until("counted", || served.closed(CloseReason::HandlerFailed) == 3);
}

#[test]
fn a_handler_learns_that_its_client_has_gone() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    let cancelled = |count| {
        wait_until("it was told", || seen.cancelled.load(Ordering::Relaxed) == count);
    };
    let mut client = Client::new(served.address());
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(client);
    cancelled(1);
    let mut client = Client::new(served.address());
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = seen.next();
    answer.begin(Response::new(200)).unwrap();
    assert_eq!(client.head().status, 200);
    drop(client);
    wait_until("nobody waits", || answer.is_gone());
    assert_eq!(answer.part("x"), Err(AnswerError::Gone));
    // A half-closed connection that asked for its end waits for its answer.
    let mut client = Client::new(served.address());
    client.send("GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.0.get_mut().shutdown(Shutdown::Write).unwrap();
    seen.next().send(Response::text(200), "still");
    assert_eq!(client.answer().text(), "still");
}

#[test]
fn a_request_of_a_handler_has_its_time() {
    let seen = Seen::new();
    let served = seen.serve("body_timeout = \"300ms\"", "total_timeout = \"200ms\"");
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/hang").status, 504);
    assert_eq!(seen.cancelled.load(Ordering::Relaxed), 1);
    assert_eq!(client.get("/count").text(), "2");
    // A part of an answer is cut.
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut answer = seen.next();
    answer.begin(Response::new(200)).unwrap();
    assert_eq!(client.head().status, 200);
    assert!(client.is_closed());
    // A client that does not go on with its body.
    let served = Seen::new().serve("body_timeout = \"200ms\"", "");
    let mut client = Client::new(served.address());
    client.send("POST /upper HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.answer().status, 408);
    // One that is not read is in no hurry.
    let seen = Seen::new();
    let served = seen.serve("body_timeout = \"100ms\"", "total_timeout = \"500ms\"");
    let mut client = Client::new(served.address());
    client.send("POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.answer().status, 504);
}

#[test]
fn a_handler_that_is_not_there_is_told_at_the_start_and_at_a_reload() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    let text = |name: &str| {
        format!(
            "{}{NO_ADMIN}[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
             [[listener.route]]\nname = \"r\"\nhandler = \"{name}\"\n",
            runtime(1)
        )
    };
    let error = served.reload(&text("other")).unwrap_err().to_string();
    assert!(
        error.contains("route r: there is no handler \"other\": this program has test"),
        "{error}"
    );
    let config = ringway::config::parse("test.toml", &text("other")).unwrap();
    let error = Server::start(config).unwrap_err();
    assert!(matches!(&error, StartError::Handler { known, .. } if *known == ["demo"]), "{error}");
    assert!(error.to_string().ends_with("this program has demo"), "{error}");
    served.reload(&text("test")).unwrap();
    assert_eq!(Client::new(served.address()).get("/count").status, 200);
}

#[test]
fn threads_that_are_all_busy_refuse_no_other_request() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    // Each of these has a thread, or waits for one.
    let mut clients: Vec<Client> = (0..50).map(|_| Client::new(served.address())).collect();
    for client in &mut clients {
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    }
    assert_eq!(Client::new(served.address()).get("/what").status, 200);
    for client in &mut clients {
        client.send("x");
    }
    for client in &mut clients {
        assert_eq!(client.answer().body, b"x");
    }
}

#[test]
fn an_interim_status_is_no_answer_and_a_reset_of_content_has_none() {
    let served = Seen::new().serve("", "");
    let mut client = Client::new(served.address());
    assert_eq!(client.get("/interim").status, 500);
    let reset = client.get("/reset");
    assert_eq!((reset.status, reset.text()), (205, ""));
    assert_eq!(client.get("/count").status, 200);
    // A client of HTTP/1.0 knows no interim answers.
    client.send("GET /hints HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().text(), "page");
}

#[test]
fn a_body_that_a_thread_was_slow_to_read_is_not_held_against_its_client() {
    let seen = Seen::new();
    let served = seen.serve("body_timeout = \"300ms\"", "");
    let mut client = Client::new(served.address());
    let held = seen.gate.lock().unwrap();
    let (first, length) = (bytes(3, 300_000), 300_001);
    let head = format!("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    client.send(&head);
    client.0.get_mut().write_all(&first).unwrap();
    // Longer than the time of a body.
    let other = Client::new(served.address())
        .ask("POST /upper HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(other.status, 408);
    drop(held);
    client.send("x");
    assert_eq!(client.answer().text(), "300001");
}

#[test]
fn work_whose_client_has_gone_is_not_done_and_too_much_is_told() {
    let seen = Seen::new();
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
                    [[listener.route]]\nhandler = \"test\"\n";
    let options = StartOptions {
        http_handlers: seen.handlers(),
        handler_threads: Some(1),
        ..StartOptions::default()
    };
    let served = Served::with_options(&[&runtime(1), NO_ADMIN, listener].concat(), options);
    let held = seen.gate.lock().unwrap();
    // One has the thread, and as many wait as may.
    let mut clients: Vec<Client> = (0..1_100).map(|_| Client::new(served.address())).collect();
    for client in &mut clients {
        client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    }
    let mut refused = clients.split_off(1_050);
    for client in &mut refused {
        assert_eq!(client.answer().status, 503);
    }
    drop(clients.split_off(1));
    wait_until("they have gone", || served.sum(|cell| cell.active.get()) <= 51);
    drop(held);
    assert_eq!(clients[0].answer().text(), "0");
    assert_eq!(Client::new(served.address()).get("/count").status, 200);
}

#[test]
fn an_answer_that_is_no_call_is_not_translated_for_a_browser() {
    let served = Seen::new().serve("", "grpc_web = true");
    let mut client = Client::new(served.address());
    let mut ask = |path: &str| {
        client.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\n\
             Content-Length: 4\r\n\r\nYWJj"
        ));
        client.answer().text().to_owned()
    };
    assert_eq!(ask("/echo"), "abc");
    // What comes is shorter than the browser has told.
    assert_eq!(ask("/what"), "POST /what None own None None");
}
