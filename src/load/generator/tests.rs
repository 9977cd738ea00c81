//! A generator on a simulated kernel, before a server that follows a plan. The clock is simulated,
//! too: what is measured is exact.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::load::recorder::{Failure, Tally};
use crate::load::schedule::Arrivals;
use crate::load::setup::{Speaks, Weights};
use crate::load::wire::http1;
use crate::mem::Text;
use crate::proto::http::Method;
use crate::ring::SocketAddress;
use crate::ring::sim::{Behaviour, Faults, PeerId, Sim};

const SIZE: usize = 16;

fn address() -> SocketAddress {
    SocketAddress::inet(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
}

fn setup(speaks: Speaks, pace: Pace) -> Setup {
    Setup {
        addresses: vec![address()],
        sources: Vec::new(),
        tls: None,
        speaks,
        weights: Weights::new([1]),
        connections: 20,
        streams: 1,
        threads: 1,
        pace,
        keepalive: true,
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        duration: Some(Duration::from_secs(20)),
        count: None,
        slice: Duration::from_secs(1),
        seed: 7,
        // The simulated clock stands while nothing waits.
        spin: Duration::ZERO,
    }
}

fn raw() -> Speaks {
    Speaks::Raw { question: Text::from(&[b'q'; SIZE][..]), answer: SIZE }
}

fn http() -> Speaks {
    let bytes = Text::from(&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..]);
    Speaks::Http1 { targets: [http1::Prepared { method: Method::Get, bytes }].into() }
}

/// What a server does with what has come: how many bytes it takes as one request, and its answer.
type Answers<'a> = &'a dyn Fn(&[u8], Duration) -> Option<(usize, Vec<u8>)>;

/// A generator, and a server that is looked at between its turns.
struct Rig<'a> {
    generator: Generator<Sim>,
    control: Arc<Control>,
    reports: Receiver<Report>,
    peers: BTreeMap<PeerId, Vec<u8>>,
    answers: Answers<'a>,
    started: Option<Instant>,
}

impl<'a> Rig<'a> {
    fn new(seed: u64, faults: Faults, setup: Setup, answers: Answers<'a>) -> Self {
        let mut sim = Sim::new(seed, faults, 64, 1024);
        sim.serve(address(), Behaviour::Accept { capacity: 4096 });
        let (sender, reports) = channel();
        let control = Arc::new(Control::default());
        let mut generator = Generator::new(sim, 0, Arc::new(setup), Arc::clone(&control), sender);
        generator.prepare();
        Self { generator, control, reports, peers: BTreeMap::new(), answers, started: None }
    }

    /// Runs to the end: the sum of all slices, and what is left.
    fn run(mut self) -> (Slice, u64, u64) {
        let mut sum = Slice::new(0);
        for turn in 0.. {
            assert!(turn < 3_000_000, "the run has an end");
            let goes_on = self.generator.turn().expect("the simulated kernel does not fail");
            for report in self.reports.try_iter() {
                match report {
                    Report::Ready => {
                        let at = self.generator.reactor.driver().now() + Duration::from_millis(5);
                        self.control.start_at(at);
                        self.started = Some(at);
                    }
                    Report::Slice(slice) => sum.add(&slice),
                    Report::Ended(_) | Report::Agent(_) | Report::Lost(_) => {
                        unreachable!("the test ends it")
                    }
                }
            }
            if !goes_on {
                break;
            }
            if self.generator.stage == Stage::Ready {
                // The time of the start comes from outside.
                self.generator.reactor.driver().wake();
            }
            self.serve();
        }
        sum.add(&self.generator.slice);
        let connections = self.generator.slots.iter().filter_map(|slot| slot.connection.as_ref());
        let unfinished = connections.map(|one| one.requests.len() as u64).sum();
        (sum, unfinished, self.generator.unsent)
    }

    fn serve(&mut self) {
        let sim = self.generator.reactor.driver();
        let since =
            self.started.map_or(Duration::ZERO, |at| sim.now().saturating_duration_since(at));
        for (_, peer) in sim.take_accepted() {
            self.peers.insert(peer, Vec::new());
        }
        for (peer, unread) in &mut self.peers {
            unread.extend(sim.peer_read(*peer, 4096));
            while let Some((taken, answer)) = (self.answers)(unread, since) {
                unread.drain(..taken);
                let written = sim.peer_write(*peer, &answer);
                assert_eq!(written, answer.len(), "answers are short");
                if answer.is_empty() {
                    sim.peer_reset(*peer);
                    break;
                }
            }
        }
    }
}

fn echo(unread: &[u8]) -> Option<(usize, Vec<u8>)> {
    (unread.len() >= SIZE).then(|| (SIZE, unread[..SIZE].to_vec()))
}

fn answer_http(unread: &[u8]) -> Option<(usize, Vec<u8>)> {
    let end = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some((end, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()))
}

/// The generator waits for its server no more than it must, and its clock goes on by steps.
const RATE: f64 = 1000.0;

#[test]
fn a_stall_of_the_server_is_seen_as_its_users_would_see_it() {
    type Server = fn(&[u8]) -> Option<(usize, Vec<u8>)>;
    let servers: [(Speaks, Server); 2] = [(raw(), echo), (http(), answer_http)];
    for (speaks, answer) in servers {
        let stall = Duration::from_secs(10)..Duration::from_millis(10_100);
        let answers = |unread: &[u8], since: Duration| {
            if stall.contains(&since) { None } else { answer(unread) }
        };
        let pace = Pace::Open(Arrivals::Constant { rate: RATE });
        // As many as are due within the stall: else some wait for others on top.
        let setup = Setup { connections: 120, ..setup(speaks, pace) };
        let (sum, unfinished, unsent) = Rig::new(1, Faults::NONE, setup, &answers).run();
        assert_eq!((sum.tally.errors, unfinished, unsent), (0, 0, 0));
        assert_eq!(sum.tally.completed, 20_000, "each request of 20 s was sent");
        // 100 requests were due within the stall: of 20,000, a thousandth waited 80 ms or longer.
        // On top comes what each answer takes here: steps of the simulated clock.
        let [usual, found] = [0.5, 0.999].map(|share| sum.total.quantile_us(share) / 1000.0);
        let expected = 80.0 + usual;
        assert!((found / expected - 1.0).abs() < 0.02, "p99.9 is {found} ms, not {expected}");
        assert!(usual < 3.0 && sum.total.quantile_us(0.99) < 3000.0, "the others did not wait");
        // The generator itself was late only while all connections waited.
        assert!(sum.lateness.quantile_us(0.99) < 1100.0);
    }
}

#[test]
fn a_closed_loop_sends_less_while_the_server_stalls() {
    let stall = Duration::from_secs(10)..Duration::from_secs(11);
    let answers =
        |unread: &[u8], since: Duration| if stall.contains(&since) { None } else { echo(unread) };
    let think = Duration::from_millis(10);
    let setup = Setup { timeout: Duration::from_secs(5), ..setup(raw(), Pace::Closed { think }) };
    let (sum, ..) = Rig::new(1, Faults::NONE, setup, &answers).run();
    assert_eq!(sum.tally.errors, 0);
    assert!(sum.total.quantile_us(0.999) < 900_000.0, "20 requests alone have seen it");
    assert_eq!(sum.lateness.count(), 0, "nothing is late in a closed loop");
}

#[test]
fn every_request_is_answered_failed_or_unfinished_whatever_the_kernel_does() {
    for seed in 0..60 {
        let pace = match seed % 3 {
            0 => Pace::Closed { think: Duration::ZERO },
            1 => Pace::Open(Arrivals::Poisson { rate: 400.0 }),
            _ => Pace::Open(Arrivals::Ramp { from: 10.0, to: 900.0, over: Duration::from_secs(1) }),
        };
        // Servers that reset, that answer garbage, and that answer nothing, now and then.
        let answers = |unread: &[u8], since: Duration| {
            let (taken, answer) = answer_http(unread)?;
            match since.as_millis() % 97 {
                3 => Some((taken, Vec::new())),
                5 => Some((taken, b"garbage\r\n\r\n".to_vec())),
                7 => Some((taken, b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec())),
                11..13 => None,
                _ => Some((taken, answer)),
            }
        };
        let setup = Setup {
            duration: Some(Duration::from_secs(1)),
            keepalive: seed % 2 == 0,
            timeout: Duration::from_millis(200),
            ..setup(http(), pace)
        };
        let (sum, unfinished, _) = Rig::new(seed, Faults::ALL, setup, &answers).run();
        let Tally { sent, completed, errors, .. } = sum.tally;
        assert!(completed > 0, "seed {seed}: something is answered");
        // Connects that fail are errors without a request.
        assert!(
            completed + errors + unfinished >= sent,
            "seed {seed}: {sent} {completed} {errors}"
        );
        assert!(completed <= sent && unfinished <= 20, "seed {seed}");
    }
}

#[test]
fn a_rate_that_cannot_be_met_is_told_and_takes_no_memory() {
    // Each connection waits 10 ms for its answer, so that 20 of them bring 2,000 a second.
    let answers = |unread: &[u8], since: Duration| {
        if since.as_millis().is_multiple_of(10) { echo(unread) } else { None }
    };
    let pace = Pace::Open(Arrivals::Constant { rate: 100_000.0 });
    let setup = Setup { duration: Some(Duration::from_secs(2)), ..setup(raw(), pace) };
    let (sum, unfinished, unsent) = Rig::new(1, Faults::NONE, setup, &answers).run();
    let due = sum.tally.sent + unsent;
    assert!((199_000..=201_000).contains(&due), "{due}");
    assert!(sum.tally.sent < 20_000 && unfinished == 0, "{}", sum.tally.sent);
    assert!(sum.total.quantile_us(0.5) > 500_000.0, "what was sent late counts from its time");
    // It is the server that was slow: the generator asked as soon as a connection was free.
    assert!(sum.lateness.quantile_us(0.99) < 2000.0, "{}", sum.lateness.quantile_us(0.99));
}

#[test]
fn a_count_is_kept_exactly_and_servers_that_refuse_are_told() {
    let answers = |unread: &[u8], _: Duration| echo(unread);
    let pace = Pace::Closed { think: Duration::ZERO };
    let counted = Setup { duration: None, count: Some(777), ..setup(raw(), pace) };
    let (sum, ..) = Rig::new(1, Faults::NONE, counted, &answers).run();
    assert_eq!((sum.tally.sent, sum.tally.completed, sum.tally.connects), (777, 777, 20));
    let short = Setup { duration: Some(Duration::from_secs(3)), ..setup(raw(), pace) };
    let mut rig = Rig::new(1, Faults::NONE, short, &answers);
    rig.generator.reactor.driver().serve(address(), Behaviour::Refuse);
    let (sum, ..) = rig.run();
    assert_eq!((sum.tally.sent, sum.tally.completed), (0, 0));
    let told = &sum.failures[&Failure::Connect];
    assert!(told.count >= 20 && told.example.contains("127.0.0.1:7"), "{told:?}");
    assert!(told.count < 400, "it rests between connects: {}", told.count);
}

#[test]
fn connections_that_the_server_ends_in_order_are_made_again_without_an_error() {
    let heads: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ];
    for (place, head) in heads.into_iter().enumerate() {
        let answers = |unread: &[u8], _: Duration| {
            let (taken, _) = answer_http(unread)?;
            Some((taken, head.to_vec()))
        };
        let pace = Pace::Closed { think: Duration::ZERO };
        let setup = Setup { duration: None, count: Some(300), ..setup(http(), pace) };
        let (sum, ..) = Rig::new(1, Faults::NONE, setup, &answers).run();
        assert_eq!((sum.tally.completed, sum.tally.errors), (300, 0), "{place}");
        let connects = if place == 2 { 20 } else { 300 };
        assert!(sum.tally.connects >= connects, "{place}: {}", sum.tally.connects);
    }
}

#[test]
fn a_count_that_cannot_be_reached_has_an_end() {
    let answers = |_: &[u8], _: Duration| None;
    for pace in
        [Pace::Closed { think: Duration::ZERO }, Pace::Open(Arrivals::Constant { rate: RATE })]
    {
        let setup = Setup { duration: None, count: Some(50), ..setup(raw(), pace) };
        let mut rig = Rig::new(1, Faults::NONE, setup, &answers);
        rig.generator.reactor.driver().serve(address(), Behaviour::Refuse);
        let (sum, unfinished, unsent) = rig.run();
        assert_eq!((sum.tally.sent, unfinished, unsent), (0, 0, 50));
    }
}

#[test]
fn what_was_due_in_the_warm_up_is_not_owed() {
    let answers = |_: &[u8], _: Duration| None;
    let pace = Pace::Open(Arrivals::Constant { rate: RATE });
    let second = Some(Duration::from_secs(1));
    let setup = Setup {
        warm_up: Duration::from_secs(1),
        duration: second,
        timeout: Duration::from_millis(1500),
        ..setup(raw(), pace)
    };
    let (sum, _, unsent) = Rig::new(1, Faults::NONE, setup, &answers).run();
    let due = sum.tally.sent + unsent;
    assert!((990..=1010).contains(&due), "{due}");
}
