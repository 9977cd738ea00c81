#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use super::*;
use crate::proto::frame::{
    Command, Features, Header, PAYLOAD_MAX, Server, ServerEvent, ServerOptions, write_frame,
};
use crate::service::cluster::ClusterOptions;
use crate::service::cluster::servers::Policy;

const OFFERED: ServerOptions =
    ServerOptions { window: 256, max_payload: PAYLOAD_MAX, features: Features::ALL };

/// A proxy with one client and one connection to a server of the test's.
struct Scene {
    proxy: Exchanger,
    cluster: Cluster,
    client: Key,
    trunk: Key,
    server: Server,
    now: Instant,
}

impl Scene {
    fn new(highest: Version) -> Self {
        Self::on(ClientOptions { highest, ..ClientOptions::default() })
    }

    /// With a server that agrees to flow control.
    fn with_flow(credit: u32) -> Self {
        Self::on(ClientOptions { features: Features::ALL, credit, ..ClientOptions::default() })
    }

    fn on(client: ClientOptions) -> Self {
        let now = Instant::now();
        let pool = PoolOptions {
            min_idle: 1,
            capacity: 8,
            spread_at: 4,
            idle_timeout: Duration::from_secs(60),
            max_age: None,
            queue_max: 100,
            queue_timeout: Duration::from_secs(1),
        };
        let options = ExchangerOptions { client, pool, retry: RetryPolicy::default(), budget: 0.2 };
        let servers = ClusterOptions {
            connections_max: 1,
            ..ClusterOptions::plain(Policy::RoundRobin, ["one".to_owned()])
        };
        let mut cluster = Cluster::new(&servers, (0, 1), 1, now);
        let mut proxy = Exchanger::new(options, 1, now);
        let client = proxy.open_client(OFFERED);
        proxy.client_attached(client, Key::new(0, 0));
        proxy.settle(&mut cluster, now);
        let mut actions = Vec::new();
        proxy.take_actions(&mut actions);
        let [FrameAction::Connect { trunk, .. }] = *actions else { panic!("{actions:?}") };
        proxy.trunk_attached(trunk, Key::new(1, 0));
        proxy.trunk_connected(trunk);
        let mut scene = Self { proxy, cluster, client, trunk, server: Server::new(OFFERED), now };
        assert!(scene.serve().is_empty(), "HELLO");
        scene
    }

    fn ask(&mut self, command: Command, payload: &[u8]) {
        let mut asked = Vec::new();
        write_frame(&Header::new(Version::V1, command), payload, &mut asked);
        self.proxy
            .client_bytes(self.client, &mut &*asked, &mut self.cluster, self.now)
            .expect("a good client");
        self.proxy.settle(&mut self.cluster, self.now);
    }

    /// What the server reads: streams and commands. HELLO is answered.
    fn serve(&mut self) -> Vec<(u32, Command)> {
        let sent = std::mem::take(self.proxy.trunk_out(self.trunk).expect("it is open"));
        let (mut rest, mut out, mut open) = (&*sent, Vec::new(), Vec::new());
        while let Some(event) = self.server.next(&mut rest, &mut out).expect("a good proxy") {
            if let ServerEvent::Request(request) = event {
                open.push((request.stream, request.command));
            }
        }
        self.answer(&out);
        open
    }

    /// What is due; what the proxy wants then.
    fn expire(&mut self) -> Vec<FrameAction> {
        self.proxy.expire(self.now);
        let mut actions = Vec::new();
        self.proxy.take_actions(&mut actions);
        actions
    }

    /// Bytes of the server; how many of them were read.
    fn answer(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        self.proxy.trunk_bytes(self.trunk, &mut rest, self.now).expect("a good server");
        self.proxy.settle(&mut self.cluster, self.now);
        bytes.len() - rest.len()
    }
}

/// Bytes that single answers to all requests of the window may need.
const HELD_MAX: usize = OFFERED.window as usize * (OFFERED.max_payload as usize + 16);

#[test]
fn answers_that_wait_for_their_turn_are_bounded() {
    let mut scene = Scene::new(Version::V2);
    scene.ask(Command(0x40), b"slow");
    scene.ask(Command(0x41), b"large");
    let open = scene.serve();
    let [(_, Command(0x40)), (large, Command(0x41))] = *open else { panic!("{open:?}") };
    let mut taken = 0;
    while !scene.proxy.trunk_is_clogged(scene.trunk) {
        let mut data = Vec::new();
        scene.server.answer(large, Command::DATA, &[7; 60_000], &mut data);
        taken += scene.answer(&data);
        assert!(taken < 2 * HELD_MAX.max(CLOG_BYTES), "{taken} bytes are held");
    }
    scene.proxy.client_backlog(scene.client, taken, scene.now);
    let close = FrameAction::CloseClient(Key::new(0, 0), CloseReason::SlowReader);
    let look = FrameAction::LookAtClient(Key::new(0, 0));
    for acknowledged in [1, 2, 3] {
        scene.now += CLOG_TIME;
        let actions = scene.expire();
        assert!(actions.contains(&look) && !actions.contains(&close), "{actions:?}");
        scene.proxy.client_taken(scene.client, acknowledged, scene.now);
        assert!(!scene.expire().contains(&close), "it is slow, but takes something");
    }
    scene.now += CLOG_TIME;
    assert!(scene.expire().contains(&look));
    scene.proxy.client_taken(scene.client, 3, scene.now);
    assert!(scene.expire().contains(&close), "others wait behind it");
    scene.proxy.close_client(scene.client, scene.now);
    assert!(!scene.proxy.trunk_is_clogged(scene.trunk));
}

#[test]
fn what_may_be_large_is_asked_for_when_it_can_be_passed_on() {
    let mut scene = Scene::new(Version::V2);
    scene.ask(Command::ECHO, b"first");
    scene.ask(Command::GET, b"large");
    scene.ask(Command::ECHO, b"third");
    let open = scene.serve();
    let [(first, Command::ECHO), (third, Command::ECHO)] = *open else { panic!("{open:?}") };
    let mut data = Vec::new();
    scene.server.answer(third, Command::ECHO, b"third", &mut data);
    scene.answer(&data);
    assert_eq!(scene.serve(), [], "the first is not answered");
    data.clear();
    scene.server.answer(first, Command::ECHO, b"first", &mut data);
    scene.answer(&data);
    assert!(matches!(*scene.serve(), [(_, Command::GET)]));
    assert!(!scene.proxy.trunk_is_clogged(scene.trunk));
}

#[test]
fn a_silent_server_of_version_1_gets_nothing_more() {
    let mut scene = Scene::new(Version::V1);
    scene.ask(Command::ECHO, b"never answered");
    assert_eq!(scene.serve(), [(0, Command::ECHO)]);
    scene.now += RetryPolicy::default().deadline;
    scene.proxy.expire(scene.now);
    scene.ask(Command::ECHO, b"after it");
    assert_eq!(scene.serve(), [], "nothing is sent behind what is never answered");
    let mut actions = Vec::new();
    scene.proxy.take_actions(&mut actions);
    assert!(actions.contains(&FrameAction::CloseTrunk(Key::new(1, 0))));
}

#[test]
fn a_silent_connection_of_version_2_is_given_up_when_nobody_waits_on_it() {
    let mut scene = Scene::new(Version::V2);
    for _ in 0..3 {
        scene.ask(Command(0x40), b"never answered");
    }
    assert_eq!(scene.serve().len(), 3);
    scene.now += RetryPolicy::default().deadline;
    scene.proxy.expire(scene.now);
    let mut actions = Vec::new();
    scene.proxy.take_actions(&mut actions);
    assert!(actions.contains(&FrameAction::CloseTrunk(Key::new(1, 0))), "{actions:?}");
}

#[test]
fn refused_requests_keep_their_places_until_they_are_answered() {
    let mut scene = Scene::new(Version::V2);
    scene.ask(Command(0x40), b"slow");
    assert_eq!(scene.serve().len(), 1);
    let mut flood = Vec::new();
    for _ in 0..10_000 {
        write_frame(&Header::new(Version::V1, Command(0x33)), b"", &mut flood);
    }
    let mut rest = &*flood;
    scene
        .proxy
        .client_bytes(scene.client, &mut rest, &mut scene.cluster, scene.now)
        .expect("only refused");
    let read = (flood.len() - rest.len()) / (flood.len() / 10_000);
    assert!(read < usize::from(OFFERED.window), "{read} requests were read");
}

#[test]
fn a_server_that_goes_away_again_and_again_is_read_to_the_end() {
    let mut scene = Scene::new(Version::V2);
    scene.ask(Command(0x40), b"slow");
    assert_eq!(scene.serve().len(), 1);
    let mut flood = Vec::new();
    for _ in 0..200_000 {
        scene.server.go_away(Code::ShuttingDown, "", &mut flood);
    }
    assert_eq!(scene.answer(&flood), flood.len());
}

#[test]
fn a_server_that_greets_and_goes_is_connected_to_less_and_less_often() {
    for says_goaway in [true, false] {
        let mut scene = Scene::new(Version::V2);
        let mut connects = 0;
        let mut trunk = scene.trunk;
        for millisecond in 0..3_000 {
            if says_goaway {
                let mut out = Vec::new();
                scene.server.go_away(Code::ShuttingDown, "bye", &mut out);
                // A proxy that has given it up hears nothing more.
                let _heard = scene.proxy.trunk_bytes(trunk, &mut &*out, scene.now);
            }
            scene.proxy.trunk_closed(trunk, scene.now);
            if millisecond % 10 == 0 {
                scene.ask(Command::ECHO, b"is anybody there");
            }
            scene.now += Duration::from_millis(1);
            scene.proxy.expire(scene.now);
            scene.proxy.settle(&mut scene.cluster, scene.now);
            let mut actions = Vec::new();
            scene.proxy.take_actions(&mut actions);
            for action in actions {
                if let FrameAction::Connect { trunk: next, .. } = action {
                    connects += 1;
                    trunk = next;
                    scene.proxy.trunk_attached(next, Key::new(1, 0));
                    scene.proxy.trunk_connected(next);
                    scene.trunk = next;
                    scene.server = Server::new(OFFERED);
                    assert!(scene.serve().len() <= 8, "HELLO, and what waits");
                }
            }
        }
        assert!((2..40).contains(&connects), "{connects} connects");
    }
}

/// A client of version 2 with flow control, and what has been answered to it.
struct Careful {
    machine: crate::proto::frame::Client<u32>,
    out: Vec<u8>,
    answers: Vec<(u32, Command, usize)>,
}

impl Careful {
    fn new(scene: &mut Scene, credit: u32) -> Self {
        let options = ClientOptions { features: Features::ALL, credit, ..ClientOptions::default() };
        let machine = crate::proto::frame::Client::new(options);
        let mut this = Self { machine, out: Vec::new(), answers: Vec::new() };
        this.machine.hello(&mut this.out);
        this.talk(scene);
        assert!(this.machine.has_flow());
        this
    }

    fn ask(&mut self, scene: &mut Scene, command: Command) -> u32 {
        let name = u32::try_from(self.answers.len()).expect("few");
        let stream = self.machine.begin(command, false, b"name", name, &mut self.out);
        self.talk(scene);
        stream.expect("a place in the window")
    }

    fn credit(&mut self, scene: &mut Scene, stream: u32, bytes: u32) {
        self.machine.credit(stream, bytes, &mut self.out);
        self.talk(scene);
    }

    /// Sends, and hears what the proxy says.
    fn talk(&mut self, scene: &mut Scene) {
        let said = std::mem::take(&mut self.out);
        scene
            .proxy
            .client_bytes(scene.client, &mut &*said, &mut scene.cluster, scene.now)
            .expect("a good client");
        scene.proxy.settle(&mut scene.cluster, scene.now);
        let heard = std::mem::take(scene.proxy.client_out(scene.client).expect("it is there"));
        let mut rest = &*heard;
        while let Some(event) = self.machine.next(&mut rest).expect("a good proxy") {
            if let crate::proto::frame::ClientEvent::Answer(answer) = event {
                let name = answer.who.expect("nobody gave up");
                self.answers.push((name, answer.command, answer.payload.len()));
            }
        }
    }
}

#[test]
fn what_a_client_has_not_allowed_is_bounded_whatever_servers_speak() {
    let mut scene = Scene::new(Version::V1);
    let mut client = Careful::new(&mut scene, 0);
    let stream = client.ask(&mut scene, Command::GET);
    assert_eq!(scene.serve().len(), 1);
    let mut taken = 0;
    while !scene.proxy.trunk_is_clogged(scene.trunk) {
        let mut data = Vec::new();
        scene.server.answer(0, Command::DATA, &[7; 60_000], &mut data);
        taken += scene.answer(&data);
        assert!(taken < 2 * CLOG_BYTES, "{taken} bytes are held");
    }
    assert!(!scene.proxy.client_waits(scene.client), "it is the client that is waited for");
    scene.proxy.client_backlog(scene.client, 0, scene.now);
    assert!(scene.proxy.trunk_is_clogged(scene.trunk), "the client takes all, but allows nothing");
    client.credit(&mut scene, stream, 1_000);
    scene.proxy.client_backlog(scene.client, 0, scene.now);
    assert!(scene.proxy.trunk_is_clogged(scene.trunk));
    client.credit(&mut scene, stream, 1 << 20);
    assert!(!scene.proxy.trunk_is_clogged(scene.trunk), "it goes on");
    let got: usize = client.answers.iter().map(|(_, _, len)| len).sum();
    assert!(got > CLOG_BYTES);
    // It allows nothing more for long: the server is not waited for, and the answer is ended.
    while scene.proxy.client_waits(scene.client) {
        let mut data = Vec::new();
        scene.server.answer(0, Command::DATA, &[7; 60_000], &mut data);
        scene.answer(&data);
        client.talk(&mut scene);
    }
    scene.now += Duration::from_secs(600);
    scene.proxy.expire(scene.now);
    scene.proxy.expire_stalled(scene.client, Duration::from_secs(600), scene.now);
    client.talk(&mut scene);
    assert_eq!(client.answers.last().map(|last| last.1), Some(Command::ERROR));
    assert!(!scene.proxy.client_is_busy(scene.client));
}

#[test]
fn who_allows_nothing_blocks_a_shared_connection_for_a_short_time_only() {
    let mut scene = Scene::new(Version::V1);
    let mut client = Careful::new(&mut scene, 0);
    let stream = client.ask(&mut scene, Command::GET);
    assert_eq!(scene.serve().len(), 1);
    let fill = |scene: &mut Scene| {
        while !scene.proxy.trunk_is_clogged(scene.trunk) {
            let mut data = Vec::new();
            scene.server.answer(0, Command::DATA, &[7; 60_000], &mut data);
            scene.answer(&data);
        }
    };
    fill(&mut scene);
    // As long as it allows something now and then, it is only slow.
    for _ in 0..3 {
        scene.now += CLOG_TIME * 3 / 4;
        client.credit(&mut scene, stream, 1_000);
        scene.expire();
        assert!(scene.proxy.trunk_is_clogged(scene.trunk));
    }
    assert_eq!(client.answers.len(), 3);
    assert_eq!(scene.proxy.next_deadline(&scene.cluster), Some(scene.now + CLOG_TIME));
    scene.now += CLOG_TIME;
    scene.expire();
    assert!(!scene.proxy.trunk_is_clogged(scene.trunk), "the others go on");
    client.talk(&mut scene);
    assert_eq!(client.answers.last().map(|last| last.1), Some(Command::ERROR));
    // The rest of it is read and dropped.
    for _ in 0..20 {
        let mut data = Vec::new();
        scene.server.answer(0, Command::DATA, &[7; 60_000], &mut data);
        assert_eq!(scene.answer(&data), data.len());
    }
}

#[test]
fn an_answer_that_stops_at_what_is_allowed_waits_for_the_client() {
    let mut scene = Scene::with_flow(1_000);
    let mut client = Careful::new(&mut scene, 1_000);
    let stream = client.ask(&mut scene, Command::GET);
    assert_eq!(scene.serve(), [(1, Command::GET)]);
    let mut data = Vec::new();
    scene.server.answer(1, Command::DATA, &[7; 1_000], &mut data);
    scene.answer(&data);
    client.talk(&mut scene);
    assert_eq!(client.answers, [(0, Command::DATA, 1_000)]);
    assert!(!scene.proxy.client_waits(scene.client));
    scene.now += Duration::from_secs(3_600);
    assert!(!scene.expire().iter().any(|one| matches!(one, FrameAction::CloseTrunk(_))));
    client.credit(&mut scene, stream, 10);
    assert!(scene.proxy.client_waits(scene.client), "the server has to go on");
    scene.now += Duration::from_secs(3_600);
    scene.expire();
    client.talk(&mut scene);
    assert_eq!(client.answers.last().map(|last| last.1), Some(Command::ERROR), "it did not");
}

#[test]
fn a_begun_answer_is_not_asked_for_again_and_a_server_that_refuses_takes_nothing_more() {
    let mut scene = Scene::with_flow(1_000);
    let mut client = Careful::new(&mut scene, 1_000);
    client.ask(&mut scene, Command::GET);
    assert_eq!(scene.serve(), [(1, Command::GET)]);
    let mut said = Vec::new();
    scene.server.answer(1, Command::DATA, b"a part", &mut said);
    scene.answer(&said);
    said.clear();
    let mut payload = Vec::new();
    crate::proto::frame::GoAway::write(0, Code::ShuttingDown, "bye", PAYLOAD_MAX, &mut payload);
    scene.server.answer(0, Command::GOAWAY, &payload, &mut said);
    scene.answer(&said);
    client.talk(&mut scene);
    let kinds: Vec<Command> = client.answers.iter().map(|answer| answer.1).collect();
    assert_eq!(kinds, [Command::DATA, Command::ERROR]);

    let mut scene = Scene::with_flow(1_000);
    scene.ask(Command::ECHO, b"x");
    scene.ask(Command::ECHO, b"y");
    assert_eq!(scene.serve().len(), 2);
    let mut said = Vec::new();
    scene.server.refuse(1, Code::ShuttingDown, "bye", &mut said);
    scene.answer(&said);
    scene.ask(Command::ECHO, b"z");
    assert_eq!(scene.serve(), [], "it is not asked again");
}

#[test]
fn a_server_that_is_drained_gets_no_new_exchange() {
    let mut scene = Scene::new(Version::V2);
    scene.ask(Command::ECHO, b"before");
    let open = scene.serve();
    let [(stream, Command::ECHO)] = *open else { panic!("{open:?}") };
    assert!(scene.cluster.servers.drain(0, scene.now));
    scene.proxy.settle(&mut scene.cluster, scene.now);
    scene.ask(Command::ECHO, b"after");
    assert_eq!(scene.serve(), [], "it is not asked");
    let told = |scene: &mut Scene| {
        let out = std::mem::take(scene.proxy.client_out(scene.client).expect("it is there"));
        String::from_utf8_lossy(&out).into_owned()
    };
    assert!(!told(&mut scene).contains("before"));
    let mut answer = Vec::new();
    scene.server.answer(stream, Command::ECHO, b"before", &mut answer);
    scene.answer(&answer);
    let all = told(&mut scene);
    assert!(all.contains("before"), "what it has is answered: {all}");
    assert!(all.contains("no server can be connected to"), "the other waits for nothing: {all}");
    let mut actions = Vec::new();
    scene.proxy.take_actions(&mut actions);
    assert!(actions.contains(&FrameAction::CloseTrunk(Key::new(1, 0))), "{actions:?}");
    scene.proxy.trunk_closed(scene.trunk, scene.now);
    scene.proxy.settle(&mut scene.cluster, scene.now);
    assert_eq!(scene.cluster.servers.view(0, scene.now).unwrap().active, 0);
    assert!(scene.cluster.servers.lift(0, scene.now));
    // After the rest that follows a look for servers in vain.
    scene.now += Duration::from_millis(250);
    scene.expire();
    scene.proxy.settle(&mut scene.cluster, scene.now);
    scene.proxy.take_actions(&mut actions);
    let is_connect = |action: &FrameAction| matches!(action, FrameAction::Connect { .. });
    assert!(actions.iter().any(is_connect), "it is used again");
}

#[test]
fn a_limit_on_exchanges_refuses_those_beyond_it() {
    use crate::service::cluster::breaker::{Limits, Refused};
    let mut scene = Scene::new(Version::V2);
    scene.cluster.breaker.set_limits(Limits { in_flight: Some(2), ..Limits::default() });
    for text in [b"one", b"two", b"not"] {
        scene.ask(Command::ECHO, text);
    }
    let open = scene.serve();
    assert_eq!(open.len(), 2);
    let taken = |scene: &Scene| scene.cluster.breaker.taken()[Refused::InFlight.index()];
    assert_eq!((taken(&scene), scene.cluster.breaker.refused()[0]), (2, 1));
    for (stream, command) in open {
        let mut answer = Vec::new();
        scene.server.answer(stream, command, b"done", &mut answer);
        scene.answer(&answer);
    }
    let out = scene.proxy.client_out(scene.client).expect("it is there");
    assert!(String::from_utf8_lossy(out).contains("maximum of requests"));
    assert_eq!(taken(&scene), 0);
    scene.ask(Command::ECHO, b"more");
    assert_eq!(scene.serve().len(), 1);
}
