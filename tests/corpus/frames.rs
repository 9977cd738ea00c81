//! What has to hold of the framed protocol's ends and its proxy, whatever bytes come. The seeds'
//! replay and the fuzz targets run the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringway::mem::Key;
use ringway::proto::frame::{
    Client, ClientEvent, ClientOptions, Code, Command, End, Features, FrameError, PAYLOAD_MAX,
    Reader, Server, ServerEvent, ServerOptions, Version,
};
use ringway::ring::sim::Random;
use ringway::service::cluster::pool::PoolOptions;
use ringway::service::cluster::servers::Policy;
use ringway::service::cluster::{Cluster, ClusterOptions};
use ringway::service::frame::{FrameService, Responder, Served, Sources};
use ringway::service::handler::{Handler, Refusal, Request};
use ringway::service::proxy::{Exchanger, ExchangerOptions, FrameAction};
use ringway::service::retry::RetryPolicy;

/// Answers what it does not like with an error, and the rest with what came.
#[derive(Debug)]
struct Mirror;

impl Handler for Mirror {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        answer.extend_from_slice(request.payload);
        let why = || String::from_utf8_lossy(request.payload).into_owned();
        match request.payload.first() {
            Some(0) => Err(Refusal::Unavailable(why())),
            Some(1) => Err(Refusal::Internal(why())),
            Some(_) => Ok(()),
            None => Err(Refusal::Unknown),
        }
    }
}

/// Pieces of an input, cut in some ways: whole, in two, byte by byte.
fn cuts(input: &[u8]) -> [Vec<&[u8]>; 3] {
    // The last byte also chooses where.
    let last = usize::from(input.last().copied().unwrap_or_default());
    let (first, second) = input.split_at(last * 17 % (input.len() + 1));
    [vec![input], vec![first, second], input.chunks(1).collect()]
}

/// What a server says to these bytes, and what ended the connection.
pub(crate) fn serve(pieces: &[&[u8]]) -> (Vec<u8>, Option<FrameError>) {
    let service = FrameService {
        server: ServerOptions { window: 8, max_payload: 200, features: Features::ALL },
        values: [("motd".to_owned(), b"Ringway carries frames".to_vec())].into(),
        has_files: true,
        publishes: false,
    };
    let stats = |out: &mut Vec<u8>| out.extend_from_slice(b"{}");
    let mut responder = Responder::new(&service);
    let mut out = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let mut sources =
                Sources { handler: &mut Mirror, stats: &stats, publish: &mut |_| Ok(()) };
            match responder.next(&service, &mut input, &mut sources, &mut out) {
                Ok(Served::Nothing) => break,
                Ok(Served::Written) => {}
                Ok(Served::Same(len)) => {
                    let at = piece.len() - input.len();
                    out.extend_from_slice(&piece[at - len..at]);
                }
                Ok(Served::File { stream, name }) if name.len() % 2 == 0 => {
                    let header = responder.header(stream, Command::DATA);
                    ringway::proto::frame::write_frame(&header, b"file", &mut out);
                    let end = End { total: 4, checksum: crc(b"file") };
                    responder.end_parts(stream, end, &mut out);
                }
                Ok(Served::Credit { stream, bytes }) => {
                    out.extend_from_slice(format!("credit {stream} {bytes}").as_bytes());
                }
                Ok(Served::Reset { stream }) => {
                    out.extend_from_slice(format!("reset {stream}").as_bytes());
                }
                Ok(Served::File { stream, name } | Served::Value { stream, name }) => {
                    responder.refuse(stream, Code::NotFound, &name, &mut out);
                }
                Err(error) => {
                    responder.fail(&error, &mut out);
                    return (out, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "all is read");
    }
    let failed = responder.at_end().err();
    if let Some(error) = failed {
        responder.fail(&error, &mut out);
    }
    (out, failed)
}

fn crc(bytes: &[u8]) -> u32 {
    // CRC-32 bit by bit: these tests need nothing but the crate.
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| step(c)))
}

/// Any bytes to a server: it answers in whole frames, wherever the bytes are cut.
pub(crate) fn frame_server(input: &[u8]) {
    let [whole, two, single] = cuts(input);
    let said = serve(&whole);
    assert_eq!(serve(&two), said, "cut in two");
    assert_eq!(serve(&single), said, "byte by byte");
    let (out, _) = said;
    let mut rest = &out[..];
    // The first frame may be the answer to HELLO, behind which the version is another one.
    let mut reader = Reader::new(Version::V1, PAYLOAD_MAX);
    while let Some(&version) = rest.first() {
        let version = Version::from_number(version).expect("a version");
        reader.agree(version, PAYLOAD_MAX);
        let frame = reader.next(&mut rest).expect("a server keeps the rules");
        assert!(frame.is_some(), "whole frames");
    }
}

/// What a client hears: a line for each event, and what ended the connection. Begins requests when
/// it may: how many, and in which version, `setting` says.
pub(crate) fn listen(setting: u8, pieces: &[&[u8]]) -> (Vec<String>, Option<FrameError>) {
    let highest = if setting & 1 == 0 { Version::V1 } else { Version::V2 };
    let many = u32::from(setting >> 1) % 32;
    let options = ClientOptions { highest, window: 9, ..ClientOptions::default() };
    let mut client = Client::new(options);
    let (mut out, mut heard) = (Vec::new(), Vec::new());
    client.hello(&mut out);
    let (mut begun, mut ended, mut failed) = (0, Vec::new(), None);
    let commands = [Command::ECHO, Command::GET, Command::PING, Command(0x40), Command::MESSAGE];
    'all: for piece in pieces {
        let mut input = *piece;
        loop {
            while client.can_begin() && begun < many {
                let command = commands[begun as usize % commands.len()];
                let stream = client.begin(command, begun % 2 == 0, b"x", begun, &mut out);
                assert!(stream.is_some(), "a request may begin");
                begun += 1;
            }
            match client.next(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    heard.push(format!("{event:?}"));
                    match event {
                        ClientEvent::Answer(answer) if answer.last => ended.extend(answer.who),
                        ClientEvent::GoAway(going) => {
                            let last = going.last;
                            client.take_after(last, &mut ended);
                        }
                        ClientEvent::Answer(_) | ClientEvent::Ready(_) => {}
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    break 'all;
                }
            }
        }
        assert!(input.is_empty(), "all is read");
    }
    assert_eq!(client.open() + ended.len(), begun as usize, "each is open or has ended");
    client.take_open(&mut ended);
    assert_eq!(client.open(), 0);
    ended.sort_unstable();
    assert!(ended.iter().copied().eq(0..begun), "each has one end: {ended:?} of {begun}");
    (heard, failed.or_else(|| client.at_end().err()))
}

/// A setting and any bytes to a client: no panic, one end of each request, wherever it is cut.
pub(crate) fn frame_client(input: &[u8]) {
    let Some((&setting, input)) = input.split_first() else { return };
    let [whole, two, single] = cuts(input);
    let heard = listen(setting, &whole);
    assert_eq!(listen(setting, &two), heard, "cut in two");
    assert_eq!(listen(setting, &single), heard, "byte by byte");
}

/// A client of the proxy.
struct Asker {
    key: Key,
    machine: Client<u32>,
    out: Vec<u8>,
    owner: Key,
    /// Requests that it has begun, and how often each has ended.
    ends: Vec<u32>,
    /// Their streams.
    streams: Vec<u32>,
    /// It has sent bytes that are no frames of its machine's.
    wild: bool,
}

/// A connection to a server, and that server's end of it.
struct Line {
    key: Key,
    owner: Key,
    machine: Server,
    connected: bool,
    /// What was asked and is not answered.
    open: Vec<(u32, Command, Vec<u8>)>,
    /// With flow control: what each stream may carry.
    credit: BTreeMap<u32, u32>,
    /// It has said things that are no answers of its machine's.
    wild: bool,
}

/// A frame proxy, its clients and its servers, driven by a script.
struct World<'s> {
    script: std::slice::Iter<'s, u8>,
    proxy: Exchanger,
    cluster: Cluster,
    now: Instant,
    clients: Vec<Asker>,
    lines: Vec<Line>,
    owners: u32,
    /// Time goes on: connections may be given up with requests on them.
    expiring: bool,
    begun: u64,
    ended: u64,
}

const TIME: Duration = Duration::from_secs(3);

/// Bytes as a script of what clients, servers and time do to a frame proxy: no panic, one end of
/// each exchange, and a pool whose numbers are right after each step.
pub(crate) fn frame_proxy(script: &[u8]) {
    let mut world = World::new(script);
    while let Some(&step) = world.script.next() {
        world.step(step);
        world.settle();
        world.check();
    }
    world.finish();
}

impl<'s> World<'s> {
    fn new(script: &'s [u8]) -> Self {
        let mut script = script.iter();
        let setting = script.next().copied().unwrap_or_default();
        let now = ringway::runtime::clock::now();
        let highest = if setting & 1 == 0 { Version::V1 } else { Version::V2 };
        let options = ExchangerOptions {
            client: ClientOptions {
                highest,
                window: 4,
                features: if setting & 0x20 == 0 { Features::ALL } else { Features::REQUESTS },
                credit: 6,
                ..ClientOptions::default()
            },
            pool: PoolOptions {
                min_idle: u32::from(setting >> 1 & 1),
                capacity: [1, 4][usize::from(setting >> 2 & 1)],
                spread_at: 2,
                idle_timeout: Duration::from_millis(500),
                max_age: (setting >> 3 & 1 == 1).then_some(Duration::from_millis(900)),
                queue_max: 6,
                queue_timeout: Duration::from_millis(300),
            },
            retry: RetryPolicy {
                tries_max: 3,
                backoff: Duration::from_millis(10),
                backoff_max: Duration::from_millis(50),
                deadline: TIME,
            },
            budget: 1.0,
        };
        let proxy = Exchanger::new(options, 7, now);
        let servers = ClusterOptions {
            connections_max: 1 + u32::from(setting >> 4 & 3),
            ..ClusterOptions::plain(Policy::RoundRobin, ["one".to_owned(), "two".to_owned()])
        };
        let cluster = Cluster::new(&servers, (0, 1 + usize::from(setting >> 6)), 7, now);
        let (clients, lines) = (Vec::new(), Vec::new());
        let (owners, expiring, begun, ended) = (0, false, 0, 0);
        Self { script, proxy, cluster, now, clients, lines, owners, expiring, begun, ended }
    }

    fn byte(&mut self) -> u8 {
        self.script.next().copied().unwrap_or_default()
    }

    /// Bytes that the script has for somebody to say.
    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()).min(self.script.len());
        self.script.by_ref().take(len).copied().collect()
    }

    fn owner(&mut self) -> Key {
        self.owners += 1;
        Key::new(self.owners, 0)
    }

    fn step(&mut self, step: u8) {
        let number = usize::from(step >> 4);
        match step & 0xf {
            0 => self.open_client(),
            1..=4 => self.ask(number),
            5 => self.say_wild_client(number),
            6 | 7 => self.answer(number),
            8 => self.say_wild_server(number),
            9 => self.connect(number, true),
            10 => self.connect(number, false),
            11 => self.close_line(number),
            12 => self.close_client(number),
            13 => self.pass_time(),
            14 => self.go_away(number),
            _ => self.other_workers(number),
        }
    }

    fn open_client(&mut self) {
        if self.clients.len() >= 8 {
            return;
        }
        let setting = self.byte();
        let server = ServerOptions {
            window: 1 + u16::from(setting >> 1 & 7),
            max_payload: 100,
            features: Features::ALL,
        };
        let key = self.proxy.open_client(server);
        let owner = self.owner();
        self.proxy.client_attached(key, owner);
        let highest = if setting & 1 == 0 { Version::V1 } else { Version::V2 };
        let features = if setting & 0x10 == 0 { Features::REQUESTS } else { Features::ALL };
        let credit = u32::from(setting >> 5);
        let options = ClientOptions { highest, features, credit, ..ClientOptions::default() };
        let mut machine = Client::new(options);
        let mut out = Vec::new();
        machine.hello(&mut out);
        let (ends, streams) = (Vec::new(), Vec::new());
        self.clients.push(Asker { key, owner, machine, out, ends, streams, wild: false });
    }

    fn ask(&mut self, number: usize) {
        let what = self.byte();
        let Some(place) = number.checked_rem(self.clients.len()) else { return };
        let commands = [Command::ECHO, Command::PING, Command::GET, Command(0x40)];
        let command = commands[usize::from(what & 3)];
        let payload = vec![what; usize::from(what >> 2)];
        let client = &mut self.clients[place];
        let name = u32::try_from(client.ends.len()).unwrap_or(u32::MAX);
        let begun = client.machine.begin(command, false, &payload, name, &mut client.out);
        if let Some(stream) = begun {
            client.ends.push(0);
            client.streams.push(stream);
            if client.machine.has_flow() && client.machine.credit_of(stream) == 0 {
                client.machine.credit(stream, 3, &mut client.out);
            }
        }
    }

    fn say_wild_client(&mut self, number: usize) {
        let bytes = self.bytes();
        let Some(place) = number.checked_rem(self.clients.len()) else { return };
        self.clients[place].wild = true;
        self.clients[place].out.extend_from_slice(&bytes);
    }

    fn answer(&mut self, number: usize) {
        let how = self.byte();
        let Some(place) = number.checked_rem(self.lines.len()) else { return };
        let line = &mut self.lines[place];
        let many = if line.machine.version() == Version::V2 { line.open.len() } else { 1 };
        if line.open.is_empty() {
            return;
        }
        let which = usize::from(how >> 4) % many;
        let (stream, command, payload) = line.open[which].clone();
        let mut out = Vec::new();
        match how & 0xf {
            0 if command == Command::GET => {
                let mut part = &b"part"[..];
                if let Some(first) = line.machine.credit() {
                    let credit = line.credit.entry(stream).or_insert(first);
                    part = &part[..part.len().min(*credit as usize)];
                    *credit -= u32::try_from(part.len()).expect("four bytes");
                }
                if !part.is_empty() {
                    line.machine.answer(stream, Command::DATA, part, &mut out);
                }
            }
            1 => line.machine.refuse(stream, Code::Overloaded, "not now", &mut out),
            2 => line.machine.refuse(stream, Code::NotFound, "no", &mut out),
            3 => line.machine.refuse(stream, Code::ShuttingDown, "bye", &mut out),
            _ => {
                let (command, payload) = match command {
                    Command::PING => (Command::PONG, payload),
                    Command::GET => (Command::END, vec![0; 12]),
                    other => (other, payload),
                };
                line.machine.answer(stream, command, &payload, &mut out);
            }
        }
        if how & 0xf != 0 || command != Command::GET {
            line.open.remove(which);
        }
        self.hear(place, &out);
    }

    fn say_wild_server(&mut self, number: usize) {
        let bytes = self.bytes();
        let Some(place) = number.checked_rem(self.lines.len()) else { return };
        if self.lines[place].connected {
            self.lines[place].wild = true;
            self.hear(place, &bytes);
        }
    }

    fn go_away(&mut self, number: usize) {
        let Some(place) = number.checked_rem(self.lines.len()) else { return };
        let line = &mut self.lines[place];
        if !line.connected {
            return;
        }
        // One that was refused in the same breath counts as answered.
        let mut out = Vec::new();
        if line.open.len() > 1 {
            let (stream, _, _) = line.open.remove(0);
            line.machine.refuse(stream, Code::Overloaded, "not now", &mut out);
        }
        line.machine.go_away(Code::ShuttingDown, "bye", &mut out);
        self.hear(place, &out);
    }

    /// The proxy hears what a server says.
    fn hear(&mut self, place: usize, bytes: &[u8]) {
        let Line { key, .. } = self.lines[place];
        let mut rest = bytes;
        match self.proxy.trunk_bytes(key, &mut rest, self.now) {
            Ok(()) if rest.is_empty() => {}
            // Nobody is clogged here for long: a session would keep the rest for later.
            Ok(()) => self.drop_line(place),
            Err(_) => self.drop_line(place),
        }
    }

    fn connect(&mut self, number: usize, stands: bool) {
        let pending: Vec<usize> =
            (0..self.lines.len()).filter(|place| !self.lines[*place].connected).collect();
        let Some(place) = number.checked_rem(pending.len()) else { return };
        let place = pending[place];
        if stands {
            self.lines[place].connected = true;
            self.proxy.trunk_connected(self.lines[place].key);
        } else {
            self.drop_line(place);
        }
    }

    fn close_line(&mut self, number: usize) {
        if let Some(place) = number.checked_rem(self.lines.len()) {
            self.drop_line(place);
        }
    }

    fn drop_line(&mut self, place: usize) {
        let line = self.lines.remove(place);
        self.proxy.trunk_closed(line.key, self.now);
    }

    fn close_client(&mut self, number: usize) {
        if let Some(place) = number.checked_rem(self.clients.len()) {
            self.drop_client(place);
        }
    }

    fn drop_client(&mut self, place: usize) {
        let client = self.clients.remove(place);
        self.proxy.close_client(client.key, self.now);
    }

    fn pass_time(&mut self) {
        let millis = u64::from(self.byte()) * 4;
        self.now += Duration::from_millis(millis);
        self.expiring = true;
        self.proxy.expire(self.now);
    }

    fn other_workers(&mut self, number: usize) {
        match number & 3 {
            0 => {
                let places = self.proxy.asked(&mut self.cluster, self.now);
                self.cluster.quota.keep(places);
            }
            1 => drop(self.proxy.asked(&mut self.cluster, self.now)),
            _ => {
                let place = number.checked_rem(self.clients.len());
                if let Some(client) = place.and_then(|place| self.clients.get(place)) {
                    let waiting = [0, 300_000][number >> 2 & 1];
                    self.proxy.client_backlog(client.key, waiting, self.now);
                }
            }
        }
    }

    /// Carries out what the proxy wants, and moves all bytes, until nothing moves.
    fn settle(&mut self) {
        let mut actions = Vec::new();
        loop {
            self.proxy.settle(&mut self.cluster, self.now);
            self.proxy.take_actions(&mut actions);
            let mut moved = !actions.is_empty();
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            moved |= self.move_clients();
            moved |= self.move_lines();
            if !moved {
                self.expiring = false;
                return;
            }
        }
    }

    fn carry_out(&mut self, action: FrameAction) {
        match action {
            FrameAction::Connect { trunk, .. } => {
                let owner = self.owner();
                self.proxy.trunk_attached(trunk, owner);
                let server = ServerOptions { window: 3, max_payload: 100, features: Features::ALL };
                let machine = Server::new(server);
                let (connected, open, wild) = (false, Vec::new(), false);
                let (key, credit) = (trunk, BTreeMap::new());
                self.lines.push(Line { key, owner, machine, connected, open, credit, wild });
            }
            FrameAction::CloseTrunk(owner) => {
                if let Some(place) = self.lines.iter().position(|line| line.owner == owner) {
                    let line = &self.lines[place];
                    // A large answer is not read to its end when no client waits for it.
                    let is_large = line.open.iter().any(|(_, what, _)| *what == Command::GET);
                    assert!(
                        self.expiring || line.wild || is_large || line.open.is_empty(),
                        "closed with requests on it: {:?}",
                        line.open
                    );
                    self.drop_line(place);
                }
            }
            FrameAction::CloseClient(owner, _) => {
                // The keys of clients and of their sessions are not the same here.
                assert!(owner.index <= self.owners);
            }
            // All bytes move anyway.
            FrameAction::Flush(_) => {}
            FrameAction::LookAtClient(owner) => {
                if let Some(client) = self.clients.iter().find(|client| client.owner == owner) {
                    self.proxy.client_taken(client.key, 0, self.now);
                }
            }
            FrameAction::Ask(_) => self.cluster.quota.answered(0, self.now),
        }
    }

    fn move_clients(&mut self) -> bool {
        let mut moved = false;
        let mut place = 0;
        while place < self.clients.len() {
            let client = &mut self.clients[place];
            let mut input = &client.out[..];
            let asked =
                self.proxy.client_bytes(client.key, &mut input, &mut self.cluster, self.now);
            moved |= input.len() < client.out.len();
            client.out = input.to_vec();
            let said = self.proxy.client_out(client.key).map(std::mem::take).unwrap_or_default();
            moved |= !said.is_empty();
            if !client.wild {
                assert_eq!(asked, Ok(()), "a client that keeps the rules");
                client.hear(&said);
            }
            if let Err(error) = asked {
                self.proxy.fail_client(client.key, &error);
                self.drop_client(place);
                moved = true;
            } else {
                place += 1;
            }
        }
        moved
    }

    fn move_lines(&mut self) -> bool {
        let mut moved = false;
        for place in (0..self.lines.len()).rev() {
            let line = &mut self.lines[place];
            let asked = self.proxy.trunk_out(line.key).map(std::mem::take).unwrap_or_default();
            moved |= !asked.is_empty();
            let (mut input, mut out) = (&asked[..], Vec::new());
            loop {
                match line.machine.next(&mut input, &mut out) {
                    Ok(None) => break,
                    Ok(Some(ServerEvent::Request(request))) => {
                        let payload = request.payload.to_vec();
                        line.open.push((request.stream, request.command, payload));
                    }
                    Ok(Some(ServerEvent::Greeted)) => {}
                    Ok(Some(ServerEvent::Credit { stream, bytes })) => {
                        let first = line.machine.credit().unwrap_or_default();
                        *line.credit.entry(stream).or_insert(first) += bytes;
                    }
                    Ok(Some(ServerEvent::Reset { stream })) => {
                        let place = line.open.iter().position(|(other, ..)| *other == stream);
                        if let Some(place) = place {
                            line.open.remove(place);
                            line.machine.refuse(stream, Code::Cancelled, "reset", &mut out);
                        }
                    }
                    Ok(Some(ServerEvent::Refused { .. })) | Err(_) => {
                        // Only one who believes what it never said.
                        assert!(line.wild, "a proxy keeps the rules");
                        break;
                    }
                }
            }
            if !out.is_empty() {
                self.hear(place, &out);
                moved = true;
            }
        }
        moved
    }

    fn check(&mut self) {
        let tally = self.proxy.take_tally();
        self.begun += tally.begun;
        self.ended += tally.answered;
        let gauges = self.proxy.pool().gauges();
        let ready = |line: &&Line| self.proxy.trunk_is_ready(line.key);
        let (all, free) = (
            self.lines.iter().filter(ready).count(),
            self.lines.iter().filter(|line| !self.proxy.trunk_is_ready(line.key)).count(),
        );
        assert_eq!((gauges.idle + gauges.in_use) as usize, all, "{gauges:?}");
        assert_eq!(gauges.opening as usize, free, "{gauges:?}");
        let wild = self.lines.iter().any(|line| line.wild);
        let carrying = self.lines.iter().filter(ready).filter(|line| !line.open.is_empty()).count();
        assert!(wild || gauges.in_use as usize == carrying, "{gauges:?}, {carrying} carry some");
        assert!(gauges.waiting <= 6 && self.ended <= self.begun);
        assert!(self.proxy.open_exchanges() as u64 <= self.begun - self.ended);
        for client in self.clients.iter().filter(|client| !client.wild) {
            let open = client.ends.iter().filter(|ends| **ends == 0).count();
            assert_eq!(open, client.machine.open());
            assert!(client.ends.iter().all(|ends| *ends <= 1));
        }
    }

    /// When clients take their answers, and all time is over, all is answered.
    fn finish(mut self) {
        for client in &self.clients {
            self.proxy.client_backlog(client.key, 0, self.now);
        }
        self.settle();
        // A large answer's time begins when those before it are over.
        for _ in 0..40 {
            self.now += TIME;
            self.expiring = true;
            self.proxy.expire(self.now);
            self.settle();
            self.check();
        }
        // What never allows an answer is closed by its session.
        for place in (0..self.clients.len()).rev() {
            let client = &self.clients[place];
            if client.wild && !self.proxy.client_waits(client.key) {
                self.drop_client(place);
            }
        }
        assert_eq!(self.proxy.open_exchanges(), 0);
        for client in self.clients.iter().filter(|client| !client.wild) {
            assert!(client.ends.iter().all(|ends| *ends == 1), "{:?}", client.ends);
        }
        assert_eq!(self.proxy.pool().gauges().waiting, 0);
        while !self.clients.is_empty() {
            self.drop_client(0);
        }
        self.proxy.drain();
        self.expiring = true;
        self.settle();
        assert!(self.lines.is_empty(), "who is needed by nobody is closed");
        self.now += TIME;
        self.proxy.expire(self.now);
        assert_eq!(self.proxy.open_exchanges(), 0);
    }
}

impl Asker {
    fn hear(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.machine.next(&mut rest).expect("a proxy keeps the rules") {
            let ClientEvent::Answer(answer) = event else { continue };
            let who = answer.who.expect("nobody gave up") as usize;
            if answer.last {
                self.ends[who] += 1;
            } else if self.machine.has_flow() {
                self.machine.credit(self.streams[who], 5, &mut self.out);
            }
        }
    }
}

/// Scripts and bytes at random, for who has no fuzzer at hand.
pub(crate) fn any_bytes(random: &mut Random) -> Vec<u8> {
    let len = random.below(400);
    std::iter::repeat_with(|| (random.bits() & 0xff) as u8).take(len).collect()
}
