//! Many requests on few connections, of which many are given up at any moment: nothing of them
//! stays, and no answer has a byte of another one.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ringway::handler::{
    Answer, AnswerError, BodyReceiver, HttpHandlers, HttpRequest, Reading, Response,
};
use ringway::proto::http::Fields;
use ringway::ring::sim::Random;
use ringway::server::StartOptions;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::peer::{Peer, run, send_all};
use crate::support::*;

const CONNECTIONS: u64 = 10;
const STREAMS: u64 = 1000;
/// Requests that a client has under way at a time on a connection.
const AT_A_TIME: usize = 40;
const FILES: u64 = 32;
const SIZE_MAX: usize = 60_000;

/// Counts what is there of something.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted(Count);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an answer has to be: the mark and the size at the end of a path, or the request's body.
fn marked(path: &str) -> Vec<u8> {
    let mut parts = path.rsplit('/');
    let size = parts.next().unwrap().parse().unwrap();
    bytes(parts.next().unwrap().parse().unwrap(), size)
}

/// A server that is asked for what `marked` says, or gives bodies back as they come.
fn start_server(count: &Count) -> SocketAddr {
    let count = count.clone();
    serve_async(move |stream| {
        let count = count.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            builder.max_local_error_reset_streams(None).max_pending_accept_reset_streams(100_000);
            let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let counted = count.enter();
                tokio::spawn(async move {
                    let _counted = counted;
                    let head = http::Response::new(());
                    let Ok(mut answer) = respond.send_response(head, false) else { return };
                    if request.method() == "GET" {
                        return send_all(answer, marked(request.uri().path())).await;
                    }
                    let mut body = request.into_body();
                    while let Some(Ok(part)) = body.data().await {
                        let _gone = body.flow_control().release_capacity(part.len());
                        if answer.send_data(part, false).is_err() {
                            return;
                        }
                    }
                    let _gone = answer.send_data(Bytes::new(), true);
                });
            }
        }
    })
}

/// A request of the handler: the answer goes out as there is room for it.
struct Handled {
    answer: Option<Answer>,
    rest: Vec<u8>,
    has_ended: bool,
    _counted: Counted,
}

impl Handled {
    fn new(request: &HttpRequest<'_>, mut answer: Answer, counted: Counted) -> Self {
        let is_get = request.method() == "GET";
        let rest = if is_get { marked(request.path()) } else { Vec::new() };
        answer.begin(Response::new(200)).unwrap();
        let mut this = Self { answer: Some(answer), rest, has_ended: is_get, _counted: counted };
        this.room();
        this
    }
}

impl BodyReceiver for Handled {
    fn part(&mut self, part: &[u8]) -> Reading {
        self.rest.extend_from_slice(part);
        self.room();
        if self.rest.is_empty() { Reading::On } else { Reading::Paused }
    }

    fn end(&mut self, _trailers: Option<&Fields>) {
        self.has_ended = true;
        self.room();
    }

    fn held(&self) -> usize {
        self.rest.len()
    }

    fn room(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        if !self.rest.is_empty() {
            match answer.part(std::mem::take(&mut self.rest)) {
                Err(AnswerError::Full(rest)) => {
                    self.rest = rest;
                    return;
                }
                Ok(()) | Err(AnswerError::Gone) => answer.resume(),
                Err(AnswerError::Order) => panic!("a part where none may be"),
            }
        }
        if self.has_ended {
            self.answer.take().unwrap().end();
        }
    }
}

/// When a request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not at all.
    Whole,
    /// At once, or a little later.
    Early,
    /// When the head of the answer has come.
    Head,
    /// When a part of its body has.
    Part,
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    whole: AtomicUsize,
    cancelled: AtomicUsize,
}

/// Makes a request and looks at what comes.
async fn ask(peer: &mut Peer, number: u64, seen: Arc<Seen>) -> impl Future<Output = ()> + use<> {
    let mut random = Random::new(number);
    let size = 1 + random.below(SIZE_MAX);
    let (method, path) = match random.below(7) {
        0 => ("GET", format!("/files/{}/{}", number % FILES, size_of_file(number % FILES))),
        1 => ("GET", format!("/proxied/{number}/{size}")),
        2 => ("GET", format!("/handled/{number}/{size}")),
        3 => ("GET", format!("/echo/{number}/{size}")),
        4 => ("POST", "/proxied/body".to_owned()),
        5 => ("POST", "/handled/body".to_owned()),
        _ => ("POST", "/echo/body".to_owned()),
    };
    let fates = [Fate::Whole, Fate::Whole, Fate::Whole, Fate::Early, Fate::Head, Fate::Part];
    let fate = fates[random.below(fates.len())];
    let body = if method == "POST" { bytes(number, size) } else { Vec::new() };
    let (answer, mut sending) = if fate == Fate::Whole || body.is_empty() {
        (peer.ask(method, &path, &[], body.clone()).await, None)
    } else {
        let (answer, mut sending) = peer.open(method, &path).await;
        sending.send_data(Bytes::from(body[..body.len() / 2 + 1].to_vec()), false).unwrap();
        (answer, Some(sending))
    };
    async move {
        if fate == Fate::Early {
            for _ in 0..random.below(20) {
                yield_now().await;
            }
            drop(answer);
        } else {
            let mut open = answer.head().await.unwrap();
            if fate == Fate::Part {
                let _part = open.part().await;
            } else if fate == Fate::Whole {
                let answer = open.whole().await.unwrap();
                let fields = &answer.fields;
                assert_eq!(answer.status, 200, "{number}: {method} {path} {fields:?}");
                let is_its_own = match (method, path.starts_with("/echo/")) {
                    ("POST", _) => answer.body == body,
                    (_, true) => String::from_utf8(answer.body).unwrap().contains(&path),
                    _ => answer.body == marked(&path),
                };
                assert!(is_its_own, "{number}: {method} {path} has another answer");
                seen.whole.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        if let Some(sending) = &mut sending {
            sending.send_reset(h2::Reason::CANCEL);
        }
        seen.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}

fn size_of_file(number: u64) -> usize {
    Random::new(number).below(SIZE_MAX)
}

fn start(folder: &Folder, server: SocketAddr, handled: &Count) -> Served {
    for number in 0..FILES {
        let path = folder.path().join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        let size = size_of_file(number);
        std::fs::write(path.join(size.to_string()), bytes(number, size)).unwrap();
    }
    let text = format!(
        "{}{NO_ADMIN}[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         http2_resets_max = 100000\n\
         [[listener.route]]\npath_prefix = \"/files/\"\nprefix_rewrite = \"/\"\nfiles = \"{}\"\n\
         [[listener.route]]\npath_prefix = \"/handled/\"\nhandler = \"marked\"\n\
         [[listener.route]]\npath_prefix = \"/echo/\"\necho = true\n\
         [[listener.route]]\npath_prefix = \"/proxied/\"\nproxy = \"u\"\n{}",
        runtime(1),
        folder.path().display(),
        upstream(&[server], "protocol = \"http2\"\n")
    );
    let handled = handled.clone();
    let handler = move |request: &HttpRequest<'_>, answer: Answer| {
        let receiver = Handled::new(request, answer, handled.enter());
        Some(Box::new(receiver) as Box<dyn BodyReceiver>)
    };
    let http_handlers = HttpHandlers::new().with("marked", move || handler.clone());
    Served::with_options(&text, StartOptions { http_handlers, ..StartOptions::default() })
}

/// What is there while requests are under way, by name.
fn under_way(served: &Served) -> [(&'static str, u64); 8] {
    let origin = |read: fn(&ringway::session::OriginStats) -> u64| {
        served.sum(|cell| read(&cell.stats.upstreams.get(0).http))
    };
    [
        ("exchanges", origin(|http| http.active.get())),
        ("connections to the server in use", origin(|http| http.in_use.get())),
        ("connections to the server being made", origin(|http| http.opening.get())),
        ("exchanges that wait", origin(|http| http.waiting.get())),
        ("of the server", served.sum(|cell| cell.stats.servers.get(0)[0].active.get())),
        ("bytes that wait", served.sum(|cell| cell.stats.waiting.bytes.get())),
        ("memory of compression", served.sum(|cell| cell.stats.compression.memory.used())),
        ("late completions", served.sum(|cell| cell.stats.stale.get())),
    ]
}

/// `RINGWAY_SOAK_CANCELS=100 cargo test --release --test e2e given_up_leave_nothing` is the long run:
/// a million requests. Buffers of the pool have no gauge, but there are 64 of them: a request in a
/// hundred that kept one would leave none.
#[test]
fn ten_thousand_requests_of_which_many_are_given_up_leave_nothing() {
    let (folder, at_server, handled) = (Folder::new(), Count::default(), Count::default());
    let served = start(&folder, start_server(&at_server), &handled);
    let rounds = std::env::var("RINGWAY_SOAK_CANCELS").map_or(1, |text| text.parse().unwrap());
    for round in 0..rounds {
        one_round(&served, round, (&at_server, &handled));
    }
    let http2 = |cell: &ringway::session::WorkerCell| {
        let stats = cell.stats.listeners.get(0);
        let violations: u64 = stats.http.http2.violations.iter().map(|one| one.get()).sum();
        (stats.http.http2.resets.get(), violations)
    };
    let resets = served.sum(|cell| http2(cell).0);
    assert!(resets > 1000 * rounds, "most are given up while they are under way: {resets}");
    assert_eq!(served.sum(|cell| http2(cell).1), 0);
    let exit = served.drain();
    assert_eq!(exit.cut, 0);
}

fn one_round(served: &Served, round: u64, (at_server, handled): (&Count, &Count)) {
    let address = served.address();
    let seen = Arc::new(Seen::default());
    let is_at_rest = || {
        under_way(served).iter().all(|(_, value)| *value == 0)
            && (at_server.get(), handled.get()) == (0, 0)
    };
    run(async {
        let mut clients = JoinSet::new();
        for client in 0..CONNECTIONS {
            let first = (round * CONNECTIONS + client) * STREAMS;
            clients.spawn(one_client(address, first..first + STREAMS, Arc::clone(&seen)));
        }
        let mut peers = Vec::new();
        while let Some(peer) = clients.join_next().await {
            peers.push(peer.unwrap());
        }
        // All connections stand, and carry nothing.
        let rests = tokio::time::timeout(PATIENCE, peers[0].settle(is_at_rest)).await;
        let left = (under_way(served), at_server.get(), handled.get());
        assert!(rests.is_ok(), "{left:?}");
        let open = served.sum(|cell| cell.stats.listeners.get(0).active.get());
        assert_eq!(open, CONNECTIONS);
        for peer in &mut peers {
            let path = "/proxied/5/1000";
            assert!(peer.get(path).await.unwrap().body == marked(path));
        }
    });
    let (whole, cancelled) = (&seen.whole, &seen.cancelled);
    let (whole, cancelled) = (whole.load(Ordering::Relaxed), cancelled.load(Ordering::Relaxed));
    assert_eq!((whole + cancelled) as u64, CONNECTIONS * STREAMS);
    assert!(whole > 4000 && cancelled > 4000, "{whole} {cancelled}");
    wait_until("all connections are closed", || {
        served.sum(|cell| cell.active.get()) == served.sum(idle_connections)
            && served.sum(|cell| cell.stats.listeners.get(0).active.get()) == 0
    });
    wait_until("nothing is under way", is_at_rest);
}

/// Connections to the server that carry nothing.
fn idle_connections(cell: &ringway::session::WorkerCell) -> u64 {
    cell.stats.upstreams.get(0).http.idle.get()
}

/// One connection with requests of these numbers.
async fn one_client(address: SocketAddr, numbers: Range<u64>, seen: Arc<Seen>) -> Peer {
    let mut peer = Peer::that_gives_up(address).await;
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut asked = JoinSet::new();
    for number in numbers {
        let permit = Arc::clone(&room).acquire_owned().await.unwrap();
        let answered = ask(&mut peer, number, Arc::clone(&seen)).await;
        asked.spawn(async move {
            let _permit = permit;
            answered.await;
        });
    }
    while let Some(ended) = asked.join_next().await {
        ended.unwrap();
    }
    peer
}
